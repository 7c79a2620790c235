//! A server: prints all that its clients do, and sends to all of them what is typed or piped in.
//!
//! `cargo run --example tcp_server -- --help` tells what it can do.

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Parser;
use netmidi_message::{LineReader, MessageBuf};
use netmidi_tcp::{Header, ListenAddress, Options, PortServer, ServerEvent, ServerHandle};
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
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tcp_server: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let address: ListenAddress = arguments.address.parse()?;
    let options = arguments.options()?;
    let mut server = PortServer::builder()
        .listen(address)
        .options(options)
        .bind()
        .await?;
    println!("listening: {}", server.local_addr());
    if arguments.stdin {
        tokio::spawn(send_lines(server.handle(), lines()));
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

/// A thread: a read of standard input cannot be cancelled.
fn lines() -> mpsc::Receiver<MessageBuf> {
    let (sender, lines) = mpsc::channel(64);
    thread::spawn(move || {
        let mut reader = LineReader::new();
        for line in io::stdin().lines() {
            let line = match line {
                Ok(line) => line,
                Err(error) => return eprintln!("tcp_server: standard input: {error}"),
            };
            match reader.read(&line) {
                Ok(None) => {}
                Ok(Some(message)) => {
                    if sender.blocking_send(message).is_err() {
                        return;
                    }
                }
                Err(error) => eprintln!("tcp_server: {error}"),
            }
        }
    });
    lines
}
