//! What happens at any place that MIDI comes from and goes to, and how it is told.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anstyle::{AnsiColor, Style};
use netmidi::message::MessageBuf;
use netmidi::{ClockEstimate, Origin, Peer};
use serde::Serialize;

use crate::output::Weight;
use crate::text::{hex, tame};

/// Names somebody who plays, for as long as the process runs; never used twice.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct MemberId(u64);

impl MemberId {
    /// The next one.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) const fn get(self) -> u64 {
        self.0
    }
}

/// Somebody who plays: a session, a connection, a port, a file.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) id: MemberId,
    /// The place that it is at, by its number on the command line.
    pub(crate) place: usize,
    pub(crate) kind: Kind,
}

/// What somebody is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// In an RTP-MIDI session.
    Rtp(Arc<Peer>),
    /// At the other end of a TCP connection: the client that connected here, or the server.
    Tcp { address: SocketAddr },
    /// A port of this computer.
    Port { name: String },
    /// A Standard MIDI File.
    File { name: String },
    /// Standard input and output.
    Stdio,
}

impl Member {
    pub(crate) fn new(place: usize, kind: Kind) -> Arc<Self> {
        Arc::new(Self {
            id: MemberId::new(),
            place,
            kind,
        })
    }

    /// What programs know it by: the SSRC of a session, the address of a connection, a name.
    pub(crate) fn key(&self) -> String {
        match &self.kind {
            Kind::Rtp(peer) => ssrc(peer),
            Kind::Tcp { address } => address.to_string(),
            Kind::Port { name } | Kind::File { name } => name.clone(),
            Kind::Stdio => "-".to_owned(),
        }
    }

    /// What people know it by.
    pub(crate) fn name(&self) -> String {
        match &self.kind {
            Kind::Rtp(peer) if peer.name.is_empty() => peer.control.to_string(),
            Kind::Rtp(peer) => tame(&peer.name).into_owned(),
            Kind::Tcp { address } => address.to_string(),
            Kind::Port { name } | Kind::File { name } => tame(name).into_owned(),
            Kind::Stdio => "standard input".to_owned(),
        }
    }

    fn to_json(&self) -> PeerJson<'_> {
        match &self.kind {
            Kind::Rtp(peer) => PeerJson::Rtp {
                name: &peer.name,
                ssrc: ssrc(peer),
                control: peer.control,
                data: peer.data,
                role: match peer.role {
                    netmidi::Role::Initiator => "initiator",
                    netmidi::Role::Participant => "participant",
                },
            },
            Kind::Tcp { address } => PeerJson::Tcp { address: *address },
            Kind::Port { name } => PeerJson::Port { port: name },
            Kind::File { name } => PeerJson::File { file: name },
            Kind::Stdio => PeerJson::File { file: "-" },
        }
    }
}

/// Somebody who plays, for programs. Addresses are texts.
#[derive(Serialize)]
#[serde(untagged)]
enum PeerJson<'a> {
    Rtp {
        name: &'a str,
        ssrc: String,
        control: SocketAddr,
        data: SocketAddr,
        role: &'static str,
    },
    Tcp {
        address: SocketAddr,
    },
    Port {
        port: &'a str,
    },
    File {
        file: &'a str,
    },
}

/// An event for programs: its name first, then its fields in the order of the contract.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum EventJson<'a> {
    Listening {
        control: SocketAddr,
        data: SocketAddr,
        name: &'a str,
    },
    #[serde(rename = "listening")]
    ListeningTcp {
        address: SocketAddr,
    },
    Announced {
        name: &'a str,
    },
    Trying {
        to: &'a str,
        state: &'a str,
    },
    Connected {
        peer: PeerJson<'a>,
    },
    Midi {
        hex: String,
        text: String,
        peer: String,
        repaired: bool,
        time_us: u64,
    },
    Sync {
        peer: String,
        latency_us: u64,
        offset_us: i64,
        uncertainty_us: u64,
    },
    Loss {
        peer: String,
        lost: u32,
        repaired: u32,
    },
    Disconnected {
        peer: String,
        reason: &'static str,
        detail: &'a str,
    },
    #[serde(rename = "end_of_input")]
    EndOfInput,
    Warning {
        message: &'a str,
    },
    Error {
        message: &'a str,
    },
}

/// An SSRC as programs read it.
fn ssrc(peer: &Peer) -> String {
    format!("{:#010x}", peer.ssrc.0)
}

/// Why somebody is gone, in the words of the contract.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reason {
    Bye,
    Timeout,
    Refused,
    Error,
    Local,
}

impl Reason {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Bye => "bye",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Error => "error",
            Self::Local => "local",
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// RTP-MIDI peers can connect here.
    Listening {
        control: SocketAddr,
        data: SocketAddr,
        name: String,
    },
    /// TCP clients can connect here.
    ListeningTcp {
        address: SocketAddr,
    },
    /// Others see us in the local network by this name.
    Announced {
        name: String,
    },
    /// How far an invitation or connection attempt is: for people.
    Trying {
        to: String,
        state: String,
    },
    Connected {
        member: Arc<Member>,
    },
    Midi {
        member: Arc<Member>,
        /// When it is meant to sound.
        at: Instant,
        message: MessageBuf,
        origin: Origin,
    },
    /// The clocks of a peer were compared.
    Sync {
        member: Arc<Member>,
        clock: ClockEstimate,
    },
    /// Packets of a peer were lost; so many messages put that right.
    Loss {
        member: Arc<Member>,
        lost: u32,
        repaired: u32,
        covered: bool,
    },
    Disconnected {
        member: Arc<Member>,
        reason: Reason,
        detail: String,
    },
    /// Standard input has ended; what stands there was played.
    EndOfInput,
    /// Somebody who was tried did not become a member, and is not tried any more or refused.
    NotConnected {
        to: String,
        reason: Reason,
        detail: String,
    },
    /// Something that a person should know, and programs need not; a sentence.
    Warning {
        message: String,
    },
    /// Something went wrong; a sentence.
    Error {
        message: String,
    },
}

impl Event {
    /// What may be left out when nobody reads: what begins, and what is told again and again.
    pub(crate) fn weight(&self) -> Weight {
        match self {
            Self::Midi { message, .. } => match message.as_message().to_vec().as_slice() {
                [0x80..=0x8F, ..] | [0x90..=0x9F, _, 0] | [0xB0..=0xBF, 120..=127, _] | [0xFF] => {
                    Weight::Heavy
                }
                // Pedals.
                [0xB0..=0xBF, 64..=69, 0..=63] => Weight::Heavy,
                _ => Weight::Light,
            },
            Self::Sync { .. } | Self::Warning { .. } | Self::Trying { .. } => Weight::Light,
            _ => Weight::Heavy,
        }
    }

    /// For programs: one object. Times count from `started`.
    pub(crate) fn to_json(&self, started: Instant) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&match self {
            Self::Listening {
                control,
                data,
                name,
            } => EventJson::Listening {
                control: *control,
                data: *data,
                name,
            },
            Self::ListeningTcp { address } => EventJson::ListeningTcp { address: *address },
            Self::Announced { name } => EventJson::Announced { name },
            Self::EndOfInput => EventJson::EndOfInput,
            Self::Trying { to, state } => EventJson::Trying { to, state },
            Self::Connected { member } => EventJson::Connected {
                peer: member.to_json(),
            },
            Self::Midi {
                member,
                at,
                message,
                origin,
            } => EventJson::Midi {
                hex: hex(&message.as_message().to_vec()),
                text: message.to_string(),
                peer: member.key(),
                repaired: *origin == Origin::Repaired,
                time_us: micros(at.saturating_duration_since(started)),
            },
            Self::Sync { member, clock } => EventJson::Sync {
                peer: member.key(),
                latency_us: micros(clock.latency),
                offset_us: clock.offset,
                uncertainty_us: micros(clock.uncertainty),
            },
            Self::Loss {
                member,
                lost,
                repaired,
                ..
            } => EventJson::Loss {
                peer: member.key(),
                lost: *lost,
                repaired: *repaired,
            },
            Self::Disconnected {
                member,
                reason,
                detail,
            } => EventJson::Disconnected {
                peer: member.key(),
                reason: reason.word(),
                detail,
            },
            Self::NotConnected { to, reason, detail } => EventJson::Disconnected {
                peer: to.clone(),
                reason: reason.word(),
                detail,
            },
            Self::Warning { message } => EventJson::Warning { message },
            Self::Error { message } => EventJson::Error { message },
        })
    }

    /// For people: what happened, to whom, and more about it; with colours, which are taken out where
    /// they are not wanted. None when there is nothing to say.
    pub(crate) fn to_line(&self, quiet: bool) -> Option<String> {
        Some(match self {
            Self::Midi {
                member,
                message,
                origin,
                ..
            } => {
                let (what, style) = match origin {
                    Origin::Live => ("midi", AnsiColor::Cyan.on_default()),
                    Origin::Repaired => ("repaired", AnsiColor::Yellow.on_default()),
                    Origin::Silence => ("silenced", AnsiColor::Magenta.on_default()),
                    Origin::Restored => ("restored", AnsiColor::Yellow.on_default()),
                };
                line(what, style, &member.name(), message)
            }
            _ if quiet => return None,
            Self::Listening {
                control,
                data,
                name,
            } => {
                let port = data.port();
                let about = format_args!("control {control}, data port {port}");
                line("listening", STATE, &tame(name), about)
            }
            Self::ListeningTcp { address } => line("listening", STATE, "TCP", address),
            Self::EndOfInput => "standard input has ended".to_owned(),
            Self::Announced { name } => line(
                "announced",
                STATE,
                &tame(name),
                "by this name others see it in the network",
            ),
            Self::Trying { to, state } => line("trying", STATE, &tame(to), tame(state)),
            Self::Connected { member } => {
                let style = AnsiColor::Green.on_default().bold();
                match &member.kind {
                    Kind::Rtp(peer) => {
                        let (control, ssrc) = (peer.control, ssrc(peer));
                        let about = format_args!("{control}, SSRC {ssrc}");
                        line("connected", style, &member.name(), about)
                    }
                    _ => line("connected", style, &member.name(), ""),
                }
            }
            Self::Sync { .. } | Self::Warning { .. } | Self::Error { .. } => return None,
            Self::Loss {
                member,
                lost,
                repaired,
                covered,
            } => {
                let packets = plural(*lost, "packet");
                let messages = plural(*repaired, "message");
                let rest = match covered {
                    true => "",
                    false => "; no journal tells all that was in them",
                };
                let about = format_args!("{packets} lost, {messages} put it right{rest}");
                line(
                    "loss",
                    AnsiColor::Yellow.on_default(),
                    &member.name(),
                    about,
                )
            }
            Self::Disconnected { member, detail, .. } => {
                line("disconnected", GONE, &member.name(), tame(detail))
            }
            Self::NotConnected { to, reason, detail } => {
                let what = match reason {
                    Reason::Refused => "refused",
                    Reason::Timeout => "no answer",
                    _ => "not reached",
                };
                line(what, GONE, &tame(to), tame(detail))
            }
        })
    }
}

const STATE: Style = AnsiColor::Blue.on_default();
const GONE: Style = AnsiColor::Red.on_default();

/// A line in columns.
fn line(what: &str, style: Style, who: &str, about: impl fmt::Display) -> String {
    let line = format!("{style}{what:<12}{style:#}  {who:<20}  {about}");
    line.trim_end().to_owned()
}

fn plural(count: u32, of: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {of}{s}")
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is a failed test")]
mod tests {
    use super::*;

    fn json(event: &Event) -> String {
        String::from_utf8(event.to_json(Instant::now()).unwrap()).unwrap()
    }

    #[test]
    fn the_name_comes_first_and_the_fields_as_in_the_contract() {
        let control: SocketAddr = "[fe80::1%2]:5004".parse().unwrap();
        let data = "192.0.2.7:5005".parse().unwrap();
        let name = "Örgel \"1\"".to_owned();
        assert_eq!(
            json(&Event::Listening {
                control,
                data,
                name
            }),
            r#"{"event":"listening","control":"[fe80::1%2]:5004","data":"192.0.2.7:5005","name":"Örgel \"1\""}"#
        );
        assert_eq!(
            json(&Event::ListeningTcp { address: data }),
            r#"{"event":"listening","address":"192.0.2.7:5005"}"#
        );
        let member = Member::new(0, Kind::Tcp { address: data });
        assert_eq!(
            json(&Event::Connected {
                member: Arc::clone(&member)
            }),
            r#"{"event":"connected","peer":{"address":"192.0.2.7:5005"}}"#
        );
        let at = Instant::now();
        let midi = Event::Midi {
            member: Arc::clone(&member),
            at,
            message: "note_on note=60 velocity=100".parse().unwrap(),
            origin: Origin::Repaired,
        };
        let text = String::from_utf8(midi.to_json(at).unwrap()).unwrap();
        assert_eq!(
            text,
            r#"{"event":"midi","hex":"90 3c 64","text":"note_on channel=0 note=60 velocity=100","peer":"192.0.2.7:5005","repaired":true,"time_us":0}"#
        );
        let loss = Event::Loss {
            member,
            lost: 2,
            repaired: 3,
            covered: true,
        };
        assert_eq!(
            json(&loss),
            r#"{"event":"loss","peer":"192.0.2.7:5005","lost":2,"repaired":3}"#
        );
        let (to, detail) = ("stage:5004".to_owned(), "it answered NO".to_owned());
        let reason = Reason::Refused;
        assert_eq!(
            json(&Event::NotConnected { to, reason, detail }),
            r#"{"event":"disconnected","peer":"stage:5004","reason":"refused","detail":"it answered NO"}"#
        );
    }

    #[test]
    fn people_read_columns() {
        let address = "192.0.2.7:9000".parse().unwrap();
        let member = Member::new(0, Kind::Tcp { address });
        let midi = |origin| {
            let message = "clock".parse().unwrap();
            let (member, at) = (Arc::clone(&member), Instant::now());
            let line = Event::Midi {
                member,
                at,
                message,
                origin,
            }
            .to_line(true);
            anstream::adapter::strip_str(&line.unwrap()).to_string()
        };
        assert_eq!(
            midi(Origin::Live),
            "midi          192.0.2.7:9000        clock"
        );
        assert_eq!(
            midi(Origin::Repaired),
            "repaired      192.0.2.7:9000        clock"
        );
        let connected = Event::Connected { member };
        assert!(connected.to_line(true).is_none(), "quiet");
        assert!(!connected.to_line(false).unwrap().ends_with(' '));
    }
}
