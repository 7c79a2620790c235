//! A server: prints all that its clients do, and sends to all of them what is typed or piped in.
//!
//! `cargo run --example tcp_server -- --help` tells what it can do.

mod end;
mod lines;

use std::error::Error;
#[cfg(feature = "tls")]
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use netmidi_message::MessageBuf;
#[cfg(feature = "tls")]
use netmidi_tcp::tls;
use netmidi_tcp::{
    Header, IpNet, ListenAddress, Options, PortServer, ServerEvent, ServerHandle, SysEx,
};
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::sleep;

/// Serves MIDI over TCP, for clients of mido or of this crate.
#[derive(Parser)]
#[command(after_help = "\
Examples:
  tcp_server                                      prints what clients on this machine play
  tcp_server :8080 --stdin                        for every interface; what is typed goes to all
  tcp_server --pause 20 --receive-limit 4096      a slow instrument: clients have to wait for it")]
struct Arguments {
    /// Where to listen: a port of this machine only, `:PORT` for every interface, or `HOST:PORT`.
    #[arg(value_name = "ADDRESS", default_value = "8080")]
    address: String,
    /// Send what is read on standard input to all clients: one message a line, as hex (`90 3c 64`)
    /// or in words (`note_on channel=0 note=60 velocity=100`). Goes on after its end.
    #[arg(long)]
    stdin: bool,
    /// Let in only clients of this network, such as 192.168.1.0/24. May be given more than once.
    #[arg(long, value_name = "CIDR")]
    allow: Vec<IpNet>,
    /// Let in no more clients than this at once.
    #[arg(long, value_name = "COUNT")]
    max_clients: Option<usize>,
    /// Discard system exclusive messages.
    #[arg(long)]
    no_sysex: bool,
    /// Encrypt with the certificates of this file, and with `--key`.
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The private key that belongs to `--cert`.
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Tell clients this name, in a header line before the first message.
    #[arg(long)]
    name: Option<String>,
    /// Wait so many milliseconds after each message.
    #[arg(long, value_name = "MS")]
    pause: Option<u64>,
    /// Read no more from a client while its messages that are not printed yet take so many octets of
    /// memory.
    #[arg(long, value_name = "OCTETS")]
    receive_limit: Option<usize>,
    /// Discard system exclusive messages with more data octets than this.
    #[arg(long, value_name = "OCTETS")]
    sysex_limit: Option<usize>,
}

impl Arguments {
    fn options(&self) -> Result<Options, Box<dyn Error>> {
        let mut options = Options::new();
        if let Some(name) = &self.name {
            options = options.header(Header::new().field(Header::NAME, name)?);
        }
        if self.no_sysex {
            options = options.sysex(SysEx::Refuse);
        }
        if let Some(octets) = self.receive_limit {
            options = options.receive_limit(octets);
        }
        if let Some(octets) = self.sysex_limit {
            options = options.sysex_limit(octets);
        }
        Ok(options)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    end::of("tcp_server", run(Arguments::parse()).await)
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let address: ListenAddress = arguments.address.parse()?;
    let mut builder = PortServer::builder()
        .listen(address)
        .options(arguments.options()?);
    for network in &arguments.allow {
        builder = builder.allow(*network);
    }
    if let Some(clients) = arguments.max_clients {
        builder = builder.max_clients(clients);
    }
    #[cfg(feature = "tls")]
    if let (Some(cert), Some(key)) = (&arguments.cert, &arguments.key) {
        builder = builder.tls(tls::Server::from_files(cert, key)?);
    }
    let mut server = builder.bind().await?;
    println!("listening: {}", server.local_addr());
    if arguments.stdin {
        tokio::spawn(send_lines(server.handle(), lines::read("tcp_server")));
    }
    while let Some(event) = server.next_event().await {
        match event {
            ServerEvent::Connected { client } => println!("connected: {client}"),
            ServerEvent::Message { client, message } => {
                println!("midi: {client}: {message}");
                if let Some(pause) = arguments.pause {
                    sleep(Duration::from_millis(pause)).await;
                }
            }
            ServerEvent::Silence { client, message } => println!("silenced: {client}: {message}"),
            ServerEvent::Header { client, header } => {
                for (name, value) in header.iter() {
                    println!("header: {client}: {name}: {value}");
                }
            }
            ServerEvent::Discarded { client, report } => println!("discarded: {client}: {report}"),
            ServerEvent::Refused { address, refusal } => println!("refused: {address}: {refusal}"),
            ServerEvent::Disconnected { client, closed } => {
                println!("disconnected: {client}: {closed}");
            }
            other => println!("{other:?}"),
        }
    }
    Ok(())
}

async fn send_lines(server: ServerHandle, mut lines: mpsc::Receiver<MessageBuf>) {
    while let Some(message) = lines.recv().await {
        for (client, trouble) in server.send(&message).troubles() {
            eprintln!("tcp_server: {message} not to {client}: {trouble}");
        }
        // One that takes nothing is disconnected; the others have to have their turn before.
        yield_now().await;
    }
}
