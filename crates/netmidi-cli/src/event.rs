//! What happens at any place that MIDI comes from and goes to, and how it is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use netmidi::message::MessageBuf;
use netmidi::{ClockEstimate, Origin, Peer};
use serde_json::{Value, json};

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

    fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Rtp(peer) => json!({
                "name": peer.name,
                "ssrc": ssrc(peer),
                "control": peer.control.to_string(),
                "data": peer.data.to_string(),
                "role": match peer.role {
                    netmidi::Role::Initiator => "initiator",
                    netmidi::Role::Participant => "participant",
                },
            }),
            Kind::Tcp { address } => json!({ "address": address.to_string() }),
            Kind::Port { name } => json!({ "port": name }),
            Kind::File { name } => json!({ "file": name }),
            Kind::Stdio => json!({ "file": "-" }),
        }
    }
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
    /// Standard input has ended; what stands there was played.
    EndOfInput,
    Disconnected {
        member: Arc<Member>,
        reason: Reason,
        detail: String,
    },
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
    /// For programs; null when it is only for people. Times count from `started`.
    pub(crate) fn to_json(&self, started: Instant) -> Value {
        match self {
            Self::Listening {
                control,
                data,
                name,
            } => json!({
                "event": "listening",
                "control": control.to_string(),
                "data": data.to_string(),
                "name": name,
            }),
            Self::ListeningTcp { address } => {
                json!({ "event": "listening", "address": address.to_string() })
            }
            Self::Announced { name } => json!({ "event": "announced", "name": name }),
            Self::Trying { to, state } => json!({ "event": "trying", "to": to, "state": state }),
            Self::Connected { member } => {
                json!({ "event": "connected", "peer": member.to_json() })
            }
            Self::Midi {
                member,
                at,
                message,
                origin,
            } => {
                let time = at.saturating_duration_since(started).as_micros();
                json!({
                    "event": "midi",
                    "hex": hex(&message.as_message().to_vec()),
                    "text": message.to_string(),
                    "peer": member.key(),
                    "repaired": *origin == Origin::Repaired,
                    "time_us": u64::try_from(time).unwrap_or(u64::MAX),
                })
            }
            Self::Sync { member, clock } => json!({
                "event": "sync",
                "peer": member.key(),
                "latency_us": micros(clock.latency),
                "offset_us": clock.offset,
                "uncertainty_us": micros(clock.uncertainty),
            }),
            Self::Loss {
                member,
                lost,
                repaired,
                ..
            } => json!({
                "event": "loss",
                "peer": member.key(),
                "lost": lost,
                "repaired": repaired,
            }),
            Self::EndOfInput => Value::Null,
            Self::Disconnected {
                member,
                reason,
                detail,
            } => json!({
                "event": "disconnected",
                "peer": member.key(),
                "reason": reason.word(),
                "detail": detail,
            }),
            Self::NotConnected { to, reason, detail } => json!({
                "event": "disconnected",
                "peer": to,
                "reason": reason.word(),
                "detail": detail,
            }),
            Self::Warning { message } => json!({ "event": "warning", "message": message }),
            Self::Error { message } => json!({ "event": "error", "message": message }),
        }
    }

    /// For people; none when there is nothing to say.
    pub(crate) fn to_line(&self, quiet: bool) -> Option<String> {
        Some(match self {
            Self::Midi {
                member,
                message,
                origin,
                ..
            } => {
                let mark = match origin {
                    Origin::Live => "",
                    Origin::Repaired => "  (repaired)",
                    Origin::Silence => "  (silenced)",
                    Origin::Restored => "  (restored)",
                };
                format!("{:<20} {message}{mark}", member.name())
            }
            _ if quiet => return None,
            Self::Listening {
                control,
                data,
                name,
            } => {
                format!("listening as {:?} on {control}, data {data}", tame(name))
            }
            Self::ListeningTcp { address } => format!("listening on TCP {address}"),
            Self::Announced { name } => format!("shown in the network as {:?}", tame(name)),
            Self::Trying { to, state } => format!("{to}: {state}"),
            Self::Connected { member } => format!("{:<20} connected", member.name()),
            Self::Sync { .. } | Self::Warning { .. } | Self::Error { .. } => return None,
            Self::Loss {
                member,
                lost,
                repaired,
                covered,
            } => {
                let rest = if *covered {
                    ""
                } else {
                    ", not all could be put right"
                };
                format!(
                    "{:<20} {lost} lost, {repaired} repaired{rest}",
                    member.name()
                )
            }
            Self::EndOfInput => "the end of standard input".to_owned(),
            Self::Disconnected { member, detail, .. } => {
                format!("{:<20} disconnected: {detail}", member.name())
            }
            Self::NotConnected { to, detail, .. } => format!("{to}: {detail}"),
        })
    }
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
