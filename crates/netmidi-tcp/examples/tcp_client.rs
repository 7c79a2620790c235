//! A client: prints what a server plays, and sends it what is typed or piped in.
//!
//! `cargo run --example tcp_client -- --help` tells what it can do.

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::thread;

use clap::Parser;
use netmidi_message::{LineReader, MessageBuf};
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
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tcp_client: {error}");
            ExitCode::FAILURE
        }
    }
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
    let port = connector.connect(arguments.address).await?;
    println!("connected: {}", port.name());
    let (mut receiver, sender) = port.split();
    if arguments.stdin {
        tokio::spawn(send_lines(sender, lines()));
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

/// A thread: a read of standard input cannot be cancelled.
fn lines() -> mpsc::Receiver<MessageBuf> {
    let (sender, lines) = mpsc::channel(64);
    thread::spawn(move || {
        let mut reader = LineReader::new();
        for line in io::stdin().lines() {
            let line = match line {
                Ok(line) => line,
                Err(error) => return eprintln!("tcp_client: standard input: {error}"),
            };
            match reader.read(&line) {
                Ok(None) => {}
                Ok(Some(message)) => {
                    if sender.blocking_send(message).is_err() {
                        return;
                    }
                }
                Err(error) => eprintln!("tcp_client: {error}"),
            }
        }
    });
    lines
}
