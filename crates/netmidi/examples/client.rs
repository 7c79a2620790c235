//! A client that connects to a server, plays a scale, and prints what it hears.
//!
//! `cargo run --example client -- --help` tells what it can do.

mod lines;
mod show;

use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use netmidi::message::{Channel, ChannelMessage, Message, Note, U7};
use netmidi::{Client, InvitationState, JournalPolicy, PeerAddress};

use lines::Lines;
use show::{journal, show, stop_signal};

/// The white keys of one octave.
const SCALE: [u8; 8] = [60, 62, 64, 65, 67, 69, 71, 72];

/// Connects to an RTP-MIDI (AppleMIDI) session, and again whenever it is lost, and prints what is
/// played there.
#[derive(Parser)]
#[command(after_help = "\
Examples:
  client                                   the server on this machine, port 5004
  client --connect piano.local --play      another machine by name; plays a scale over and over
  echo 90 3c 64 | client --stdin           one note, and goodbye
  client --connect 'Stage Left'            a session by the name that it is shown by
  client --connect '[fe80::1%eth0]:5006'   a link-local address, with the interface that leads to it")]
struct Options {
    /// Whom to connect to: a host, or a session that is shown in the local network.
    #[arg(
        long,
        value_name = "HOST[:PORT]|NAME",
        default_value = "localhost:5004"
    )]
    connect: PeerAddress,
    /// The control port to connect from; the data port is the one above it. Any two unless given.
    #[arg(long, value_name = "ADDR:PORT")]
    local: Option<SocketAddr>,
    /// The name that the peer sees.
    #[arg(long, default_value = "netmidi client")]
    name: String,
    /// Play a scale, two notes a second, over and over.
    #[arg(long)]
    play: bool,
    /// Send what is read on standard input: one message a line, as hex (`90 3c 64`) or in words
    /// (`note_on channel=0 note=60 velocity=100`). Its end ends the session.
    #[arg(long)]
    stdin: bool,
    /// End with the first session.
    #[arg(long)]
    once: bool,
    /// Whether the peer is sent recovery journals: `auto` finds out what it can take, `off` is for
    /// one that journals break.
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = journal)]
    journal: JournalPolicy,
}

// One thread is plenty, and the quickest: a message never has to wake another one.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("client: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let mut builder = Client::builder()
        .name(options.name)
        .configure(|config| config.journal = options.journal);
    if let Some(local) = options.local {
        builder = builder.local(local);
    }
    if options.once {
        builder = builder.once();
    }
    let mut out = io::stdout();
    let mut stop = std::pin::pin!(stop_signal());
    let mut client = tokio::select! {
        client = builder.connect(options.connect) => client?,
        result = &mut stop => return Ok(result?),
    };
    let mut lines = if options.stdin {
        Lines::read("client")
    } else {
        Lines::none()
    };
    let mut step = tokio::time::interval(Duration::from_millis(250));
    let mut played = 0;
    loop {
        let ended = tokio::select! {
            event = client.next_event() => match event {
                Some(event) => show(&mut out, &event, None, "client"),
                None => return Ok(()),
            },
            message = lines.next() => match message {
                Some(message) => {
                    send(&client, message.as_message());
                    Ok(())
                }
                // Sends the rest first.
                None => Err(io::ErrorKind::Interrupted.into()),
            },
            _ = step.tick(), if options.play => {
                play(&client, played);
                played += 1;
                Ok(())
            }
            result = &mut stop => result.and(Err(io::ErrorKind::Interrupted.into())),
        };
        if let Err(error) = ended {
            // Tells the peer before it ends.
            client.close().await;
            return match error.kind() {
                // Stopped, all is sent, or nobody reads what is printed any more (`client | head`).
                io::ErrorKind::Interrupted | io::ErrorKind::BrokenPipe => Ok(()),
                _ => Err(error.into()),
            };
        }
        out.flush()?;
    }
}

/// Every note sounds for a quarter of a second, and is silent for another.
fn play(client: &Client, step: usize) {
    let key = SCALE.get(step / 2 % SCALE.len()).copied();
    let Some(note) = key.and_then(Note::new) else {
        return;
    };
    let message = match step % 2 {
        0 => ChannelMessage::note_on(Channel::C1, note, U7::MAX),
        _ => ChannelMessage::note_off(Channel::C1, note, U7::MAX),
    };
    if !matches!(client.state(), InvitationState::Connected { .. }) {
        return;
    }
    send(client, message.into());
}

fn send(client: &Client, message: Message<'_>) {
    if let Err(error) = client.send_now(message) {
        eprintln!("client: {error}");
    }
}
