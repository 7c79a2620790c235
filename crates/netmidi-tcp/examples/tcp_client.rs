//! A client: prints what a server plays, and sends it what is typed or piped in.
//!
//! `cargo run --example tcp_client -- --help` tells what it can do.

mod end;
mod lines;

use std::error::Error;
#[cfg(feature = "tls")]
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use netmidi_message::MessageBuf;
#[cfg(feature = "tls")]
use netmidi_tcp::tls;
use netmidi_tcp::{Backoff, Connector, Event, Header, Options, SendHalf};
use tokio::sync::mpsc;

/// Connects to a server for MIDI over TCP, one of mido or of this crate.
#[derive(Parser)]
#[command(after_help = "\
Examples:
  tcp_client localhost:8080                                prints what the server plays
  echo 'note_on note=60' | tcp_client localhost:8080 --stdin   sends one message and ends
  tcp_client stage-left.local:8080 --reconnect             comes back when the server does")]
struct Arguments {
    /// Where the server is.
    #[arg(value_name = "HOST:PORT")]
    address: String,
    /// Send what is read on standard input: one message a line, as hex (`90 3c 64`) or in words
    /// (`note_on channel=0 note=60 velocity=100`). Ends at its end.
    #[arg(long)]
    stdin: bool,
    /// Connect again whenever the connection is lost.
    #[arg(long)]
    reconnect: bool,
    /// Tell the server this name, in a header line before the first message.
    #[arg(long)]
    name: Option<String>,
    /// Encrypt, and trust the certificates of this file.
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    end::of("tcp_client", run(Arguments::parse()).await)
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let mut connector = Connector::new();
    if arguments.reconnect {
        connector = connector.reconnect(Backoff::default());
    }
    if let Some(name) = &arguments.name {
        let header = Header::new().field(Header::NAME, name)?;
        connector = connector.options(Options::new().header(header));
    }
    #[cfg(feature = "tls")]
    if let Some(file) = &arguments.trust {
        let trusted =
            std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        connector = connector.tls(tls::Client::new().trust(trusted)?);
    }
    let port = connector.connect(arguments.address).await?;
    println!("connected: {}", port.name());
    let (mut receiver, sender) = port.split();
    if arguments.stdin {
        tokio::spawn(send_lines(sender, lines::read("tcp_client")));
    } else {
        // Receiving alone keeps the connection.
        drop(sender);
    }
    while let Some(event) = receiver.next_event().await {
        match event {
            Event::Message(message) => println!("midi: {message}"),
            Event::Silence(message) => println!("silenced: {message}"),
            Event::Disconnected(closed) => println!("disconnected: {closed}"),
            Event::Reconnected { peer } => println!("connected: {peer}"),
            Event::Header(header) => show_header(&header),
            Event::Discarded(report) => println!("discarded: {report}"),
            other => println!("{other:?}"),
        }
    }
    Ok(())
}

fn show_header(header: &Header) {
    for (name, value) in header.iter() {
        println!("header: {name}: {value}");
    }
}

async fn send_lines(sender: SendHalf, mut lines: mpsc::Receiver<MessageBuf>) {
    while let Some(message) = lines.recv().await {
        if let Err(error) = sender.send(&message).await {
            eprintln!("tcp_client: {message} is not sent: {error}");
        }
    }
    sender.close();
}
