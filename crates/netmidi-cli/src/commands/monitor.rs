//! `netmidi monitor`: what goes on, live.

use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Instant;

use clap::Args;
use netmidi::bridge::Circles;

use crate::failure::Failure;
use crate::hub::{Hub, Ways};
use crate::monitor::{self, Lines, Own, Source};
use crate::place::{Options, Place, Spec};
use crate::stop::Stop;

/// Watch sessions and messages live, on a terminal.
///
/// Without a place it lets others connect by RTP-MIDI, as `netmidi serve` does, and shows what they
/// play. Or it watches a `netmidi serve` that runs already: one that was started with --socket, or
/// one that writes --json into a pipe. The key ? shows what can be done.
#[derive(Debug, Args)]
#[command(after_help = "\
Places:
  rtp-listen:PORT  others connect by RTP-MIDI       rtp:HOST[:PORT]  an RTP-MIDI peer
  tcp-listen:PORT  programs connect by TCP          tcp:HOST:PORT    a server by TCP
  port:NAME        a port of this computer
  -                lines of `netmidi ... --json`

Examples:
  netmidi monitor                          let others connect, and watch what they play
  netmidi monitor rtp:piano.local          watch what one plays
  netmidi monitor --attach ~/netmidi.sock  watch `netmidi serve --socket ~/netmidi.sock`
  ssh stage netmidi serve --json | netmidi monitor -")]
pub(crate) struct Monitor {
    /// What to watch. [default: rtp-listen:5004]
    #[arg(value_name = "PLACE")]
    places: Vec<Watched>,
    /// Watch a netmidi that runs already, by the path that it was given with --socket.
    #[cfg(unix)]
    #[arg(long, value_name = "PATH", conflicts_with_all = ["places", "name", "no_announce"])]
    attach: Option<PathBuf>,
    /// The name that others see.
    #[arg(long, default_value = "netmidi")]
    name: String,
    /// Do not show the session in the local network.
    #[arg(long)]
    no_announce: bool,
}

/// What can be watched.
#[derive(Clone, Debug)]
enum Watched {
    Place(Spec),
    Lines,
}

impl FromStr for Watched {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "-" => Ok(Self::Lines),
            text => text.parse().map(Self::Place),
        }
    }
}

impl Monitor {
    pub(crate) async fn run(self, started: Instant) -> Result<(), Failure> {
        let mut stop = Stop::listen()?;
        #[cfg(unix)]
        if let Some(path) = self.attach {
            let socket = monitor::Socket::connect(path).await?;
            return monitor::watch(&mut stop, Source::Socket(socket), started).await;
        }
        let lines = self.places.iter().any(|it| matches!(it, Watched::Lines));
        if lines && self.places.len() > 1 {
            return Err(Failure::usage(
                "- is watched alone; start another `netmidi monitor` for the other places",
            ));
        }
        if lines {
            let source = Source::Lines(Lines::of_stdin());
            return monitor::watch(&mut stop, source, started).await;
        }
        let options = Options {
            name: self.name,
            announce: !self.no_announce,
            ..Options::default()
        };
        let default = Spec::RtpListen((Ipv6Addr::UNSPECIFIED, netmidi::DEFAULT_PORT).into());
        let mut specs: Vec<Spec> = self
            .places
            .into_iter()
            .filter_map(|it| match it {
                Watched::Place(spec) => Some(spec),
                Watched::Lines => None,
            })
            .collect();
        if specs.is_empty() {
            specs.push(default);
        }
        let mut places = Vec::new();
        for (number, spec) in specs.iter().enumerate() {
            match Place::open(number, spec, &options).await {
                Ok(place) => places.push(place),
                Err(failure) => return Err(explain(failure, spec)),
            }
        }
        let hub = Hub::new(places, Ways::default(), Circles::Tell);
        let source = Source::Hub(Box::new(Own::new(hub, started)));
        monitor::watch(&mut stop, source, started).await
    }
}

/// Somebody who has the port is most likely a `netmidi serve` that is to be watched.
fn explain(failure: Failure, spec: &Spec) -> Failure {
    match (failure, spec) {
        (Failure::Failed(sentence), Spec::RtpListen(address)) if is_taken(*address) => {
            Failure::Failed(format!(
                "{sentence}; to watch the program that has the port, start it as `netmidi serve \
                 --socket PATH` and this as `netmidi monitor --attach PATH`, or listen elsewhere: \
                 `netmidi monitor rtp-listen:5006`"
            ))
        }
        (failure, _) => failure,
    }
}

fn is_taken(address: SocketAddr) -> bool {
    let ports = [address.port(), address.port().saturating_add(1)];
    ports.iter().any(|port| {
        let taken = UdpSocket::bind((address.ip(), *port));
        taken.is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
    })
}
