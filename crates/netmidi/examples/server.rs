//! A server that prints who connects and what they play.
//!
//! `cargo run --example server -- --help` tells what it can do.

mod lines;
mod show;

use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use futures::StreamExt;
use netmidi::{Endpoint, Event, JournalPolicy, Route};

use lines::Lines;
use show::{journal, show, stop_signal};

/// Accepts RTP-MIDI (AppleMIDI) sessions and prints what is played.
///
/// It shows up in the local network by its name, and prints that: another one than was asked for when
/// somebody else has it. Or connect to it from the Audio MIDI Setup of a Mac, rtpMIDI on Windows, rtpmidid on Linux, or an
/// app on a phone: add a device with the address of this machine and the control port.
#[derive(Parser)]
#[command(after_help = "\
Examples:
  server                                   every interface, ports 5004 and 5005
  server --listen 192.168.1.7:5006         one interface, ports 5006 and 5007
  server --listen 127.0.0.1:0 --echo       this machine only, any free ports; plays back
  server --forward                         a hub: everybody who connects plays with the others")]
struct Options {
    /// Control port to listen on; the data port is the one above it, 0 finds two free ones.
    /// May be given more than once.
    #[arg(long, value_name = "ADDR:PORT", default_value = "[::]:5004", value_parser = address)]
    listen: Vec<SocketAddr>,
    /// The name that peers see.
    #[arg(long, default_value = "netmidi")]
    name: String,
    /// Send each message back to the peer that it came from.
    #[arg(long)]
    echo: bool,
    /// Send what is read on standard input to every peer: one message a line, as hex (`90 3c 64`)
    /// or in words (`note_on channel=0 note=60 velocity=100`). Reading starts with the first peer.
    #[arg(long)]
    stdin: bool,
    /// Do not show the session in the local network. One that listens on this machine only is not
    /// shown anyway.
    #[arg(long)]
    no_announce: bool,
    /// Pass on what each peer plays to all others.
    #[arg(long)]
    forward: bool,
    /// Whether peers are sent recovery journals: `auto` finds out what each of them can take,
    /// `off` is for peers that journals break.
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = journal)]
    journal: JournalPolicy,
}

/// An address in numbers: which interface a name stands for is not for us to guess.
fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| {
        "write it in numbers with a port from 0 to 65534, such as 192.168.1.7:5004 or [::]:5004"
    })
}

// One thread is plenty, and the quickest: a message never has to wake another one.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = error
                .source()
                .map(|cause| format!(" ({cause})"))
                .unwrap_or_default();
            eprintln!("server: {error}{cause}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let mut builder = Endpoint::builder()
        .name(options.name.as_str())
        .journal(options.journal);
    if options.forward {
        builder = builder.route(Route::Everybody);
    }
    #[cfg(feature = "discovery")]
    if !options.no_announce && options.listen.iter().any(|it| !it.ip().is_loopback()) {
        builder = builder.announce(true);
    }
    for address in options.listen {
        builder = builder.listen(address);
    }
    let mut endpoint = builder.bind().await?;
    let mut out = io::stdout();
    for pair in endpoint.addresses() {
        let (control, data, name) = (pair.control, pair.data, &options.name);
        writeln!(
            out,
            "listening: control {control}, data {data}, name {name:?}"
        )?;
        if !control.port().is_multiple_of(2) {
            eprintln!(
                "server: control port {} is odd, some peers need an even one",
                control.port()
            );
        }
    }
    let handle = endpoint.handle();
    let mut stop = std::pin::pin!(stop_signal());
    let mut lines = Lines::none();
    let mut to_read = options.stdin;
    loop {
        let ended = tokio::select! {
            event = endpoint.next() => match event {
                Some(event) => {
                    if to_read && matches!(event, Event::Connected { .. }) {
                        lines = Lines::read("server");
                        to_read = false;
                    }
                    show(&mut out, &event, options.echo.then_some(&handle), "server")
                }
                None => return Ok(()),
            },
            Some(message) = lines.next() => {
                if let Err(error) = handle.send_to_all(&message) {
                    eprintln!("server: {error}");
                }
                Ok(())
            }
            result = &mut stop => result.and(Err(io::ErrorKind::Interrupted.into())),
        };
        if let Err(error) = ended {
            // Tells every peer before it ends.
            endpoint.close().await;
            return match error.kind() {
                // Stopped, or nobody reads what is printed any more (`server | head`).
                io::ErrorKind::Interrupted | io::ErrorKind::BrokenPipe => Ok(()),
                _ => Err(error.into()),
            };
        }
    }
}
