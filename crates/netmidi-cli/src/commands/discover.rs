//! `netmidi discover`: who is in the local network.

use std::net::SocketAddr;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use clap::Args;
use futures::StreamExt;
use netmidi::discovery::{Discovery, Event, Session};
use serde::Serialize;

use crate::console::Console;
use crate::failure::Failure;
use crate::run::seconds;
use crate::stop::Stop;
use crate::text::tame;

/// List the RTP-MIDI sessions in the local network.
///
/// Each is shown as soon as it is heard of: most answer within a second. Connect to one by its name
/// or address with `netmidi connect`.
///
/// With --json one object a line: {"event": "found", "name", "host", "port", "addresses"}, "changed"
/// with the same fields, and {"event": "lost", "name"}. The address to try first stands first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netmidi discover                         who is there
  netmidi discover --timeout 60            and who comes and goes in the next minute
  netmidi discover --json | jq -r .name    their names, for a script")]
pub(crate) struct Discover {
    /// For how long to listen, in seconds.
    #[arg(long, value_name = "SECS", default_value = "3", value_parser = seconds)]
    timeout: Duration,
    /// Print one JSON object a line, for programs.
    #[arg(long)]
    json: bool,
}

/// An event for programs. Addresses are texts.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Told<'a> {
    Found(Known<'a>),
    Changed(Known<'a>),
    Lost { name: &'a str },
}

#[derive(Serialize)]
struct Known<'a> {
    name: &'a str,
    host: &'a str,
    port: u16,
    addresses: &'a [SocketAddr],
}

impl<'a> Known<'a> {
    fn of(session: &'a Session) -> Self {
        Self {
            name: &session.name,
            host: &session.host,
            port: session.port,
            addresses: &session.addresses,
        }
    }
}

impl Discover {
    pub(crate) async fn run(self, console: Console) -> Result<(), Failure> {
        let mut stop = Stop::listen()?;
        let discovery = Discovery::new().map_err(|error| Failure::of(&error))?;
        let mut browser = discovery.browse().map_err(|error| Failure::of(&error))?;
        let mut found = 0;
        let end = tokio::time::sleep(self.timeout);
        let mut end = std::pin::pin!(end);
        loop {
            let event = tokio::select! {
                event = browser.next() => event,
                () = end.as_mut() => break,
                () = stop.wait() => return Ok(()),
                () = console.reader_gone() => return Err(Failure::NobodyReads),
            };
            let Some(event) = event else {
                return Err(Failure::failed(
                    "the search has ended, because multicast DNS failed; see that a network is \
                     there and try again",
                ));
            };
            if found == 0 && !self.json {
                console.heading(&line(Style::new().bold(), "NAME", "ADDRESS", "HOST"))?;
            }
            found += 1;
            self.tell(&console, &event)?;
        }
        if found == 0 {
            console.note(&format!(
                "no session was shown in the network for {} s; see that the others are on, in the \
                 same network, and that UDP port 5353 is not stopped by a firewall",
                self.timeout.as_secs_f64()
            ));
        }
        Ok(())
    }

    fn tell(&self, console: &Console, event: &Event) -> Result<(), Failure> {
        let (told, style) = match event {
            Event::Found(session) => (Told::Found(Known::of(session)), Style::new()),
            Event::Changed(session) => (
                Told::Changed(Known::of(session)),
                AnsiColor::Yellow.on_default(),
            ),
            Event::Lost(name) => (Told::Lost { name }, AnsiColor::Red.on_default()),
            _ => return Ok(()),
        };
        if self.json {
            return console.object(&told);
        }
        match told {
            Told::Found(known) | Told::Changed(known) => {
                let address = known.addresses.first();
                let address = address.map_or_else(String::new, ToString::to_string);
                console.line(&line(style, &tame(known.name), &address, &tame(known.host)))
            }
            Told::Lost { name } => console.line(&line(style, &tame(name), "is gone", "")),
        }
    }
}

/// A line in columns.
fn line(style: Style, name: &str, address: &str, host: &str) -> String {
    let line = format!("{style}{name:<28}{style:#}  {address:<24}  {host}");
    line.trim_end().to_owned()
}
