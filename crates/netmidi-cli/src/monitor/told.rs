//! What the monitor is told: by a hub of its own, or in the lines of `--json`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use netmidi::message::{ChannelMessage, Message, SysEx};
use netmidi::{Origin, Role};
use serde_json::Value;

use super::fit::fit;
use crate::event::{Event, Kind, Member};
use crate::numbers::Numbers;

/// Octets of a system exclusive message that are shown.
const SHOWN_OCTETS: usize = 24;
/// Signs of a sentence that is shown.
const SENTENCE: usize = 240;
/// Signs of a name or an address.
const NAME: usize = 64;

/// What happened, as far as it can be shown. Everything in it is bounded and fit for a terminal.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    /// The process that tells has run for so long.
    Began {
        at: Duration,
    },
    /// Somebody can connect here.
    Listening {
        text: String,
    },
    /// Somebody is invited or connected to.
    Trying {
        to: Arc<str>,
        state: String,
    },
    Connected {
        key: Arc<str>,
        name: Arc<str>,
        address: Arc<str>,
        /// Whether we invited.
        ours: bool,
    },
    Midi {
        key: Arc<str>,
        /// Since the process began that heard it.
        at: Duration,
        short: Short,
        mark: Mark,
    },
    Sync {
        key: Arc<str>,
        latency_us: u64,
    },
    Loss {
        key: Arc<str>,
        lost: u64,
    },
    Disconnected {
        key: Arc<str>,
        reason: String,
        detail: String,
    },
    Stats {
        key: Arc<str>,
        numbers: Figures,
    },
    /// A sentence for the person who watches.
    Sentence {
        text: String,
    },
}

/// What is known of a peer from its counters.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Figures {
    pub(crate) latency_us: Option<u64>,
    pub(crate) jitter_us: Option<u64>,
    pub(crate) lost: Option<u64>,
    pub(crate) repaired: Option<u64>,
    /// Grows with every sign of life.
    pub(crate) signs: u64,
    /// Whether its clock was compared with ours.
    pub(crate) synchronised: bool,
}

/// Where a message came from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mark {
    Live,
    Repaired,
    Silenced,
    Restored,
}

/// A message, as much of it as is shown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Short {
    Channel(ChannelMessage),
    /// Anything else, with its status.
    Other {
        status: u8,
        text: Arc<str>,
    },
}

impl Short {
    pub(crate) fn of(message: &Message<'_>) -> Self {
        if let Message::Channel(message) = message {
            return Self::Channel(*message);
        }
        let text = match message {
            Message::SysEx(sysex) => shortened(sysex),
            message => fit(&message.to_string(), SENTENCE),
        };
        Self::Other {
            status: message.status(),
            text: text.into(),
        }
    }

    /// In mido's words.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Channel(message) => Message::Channel(*message).to_string(),
            Self::Other { text, .. } => text.to_string(),
        }
    }

    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::Channel(message) => message.status().get(),
            Self::Other { status, .. } => *status,
        }
    }
}

fn shortened(sysex: &SysEx<'_>) -> String {
    let data = sysex.data();
    match data.get(..SHOWN_OCTETS).and_then(SysEx::new) {
        Some(head) if data.len() > SHOWN_OCTETS => {
            let text = Message::SysEx(head).to_string();
            let text = text.trim_end_matches(')');
            format!("{text},...) {} octets", data.len())
        }
        _ => Message::SysEx(*sysex).to_string(),
    }
}

impl Told {
    /// What our own hub tells; none when it is nothing to be shown. Times count from `started`.
    pub(crate) fn of(event: &Event, started: Instant) -> Option<Self> {
        Some(match event {
            Event::Midi {
                member,
                at,
                message,
                origin,
            } => Self::Midi {
                key: key(member),
                at: at.saturating_duration_since(started),
                short: Short::of(&message.as_message()),
                mark: match origin {
                    Origin::Live => Mark::Live,
                    Origin::Repaired => Mark::Repaired,
                    Origin::Silence => Mark::Silenced,
                    Origin::Restored => Mark::Restored,
                },
            },
            Event::Connected { member } => Self::Connected {
                key: key(member),
                name: fit(&member.name(), NAME).into(),
                address: match &member.kind {
                    Kind::Rtp(peer) => peer.control.to_string().into(),
                    Kind::Tcp { address } => address.to_string().into(),
                    _ => "".into(),
                },
                ours: matches!(&member.kind, Kind::Rtp(peer) if peer.role == Role::Initiator),
            },
            // All else says the same to programs.
            event => return Self::of_line(&event.to_json(started).ok()?).ok()?,
        })
    }

    /// A line of `--json`, or of a socket; none when it is nothing to be shown.
    pub(crate) fn of_line(line: &[u8]) -> Result<Option<Self>, String> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let value: Value = serde_json::from_slice(line).map_err(|error| {
            format!("this is no line of `netmidi … --json` ({error}); see `netmidi monitor --help`")
        })?;
        Ok(Self::of_json(&value))
    }

    fn of_json(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let number = |name: &str| value.get(name).and_then(Value::as_u64);
        let key = || Some::<Arc<str>>(fit(text("peer")?, NAME).into());
        Some(match text("event")? {
            "attached" => Self::Began {
                at: Duration::from_micros(number("time_us")?),
            },
            "listening" => {
                let address = text("control").or_else(|| text("address"))?;
                let address = fit(address, NAME);
                Self::Listening {
                    text: match text("name") {
                        Some(name) => format!("{address} as {}", fit(name, NAME)),
                        None => address,
                    },
                }
            }
            "trying" => Self::Trying {
                to: fit(text("to")?, NAME).into(),
                state: fit(text("state")?, SENTENCE),
            },
            "connected" => connected(value.get("peer")?)?,
            "midi" => {
                let octets = octets(text("hex")?)?;
                Self::Midi {
                    key: key()?,
                    at: Duration::from_micros(number("time_us").unwrap_or(0)),
                    short: Short::of(&Message::parse(&octets).ok()?),
                    mark: match value.get("repaired").and_then(Value::as_bool) {
                        Some(true) => Mark::Repaired,
                        _ => Mark::Live,
                    },
                }
            }
            "sync" => Self::Sync {
                key: key()?,
                latency_us: number("latency_us")?,
            },
            "loss" => Self::Loss {
                key: key()?,
                lost: number("lost")?,
            },
            "disconnected" => Self::Disconnected {
                key: key()?,
                reason: fit(text("reason")?, NAME),
                detail: fit(text("detail").unwrap_or(""), SENTENCE),
            },
            "stats" => Self::Stats {
                key: key()?,
                numbers: Figures {
                    latency_us: number("latency_us"),
                    jitter_us: number("jitter_us"),
                    lost: number("lost"),
                    repaired: number("repaired"),
                    signs: number("signs").unwrap_or(0),
                    synchronised: number("latency_us").is_some(),
                },
            },
            "error" | "warning" => Self::Sentence {
                text: fit(text("message")?, SENTENCE),
            },
            "announced" => Self::Sentence {
                text: format!("shown in the network as {}", fit(text("name")?, NAME)),
            },
            _ => return None,
        })
    }

    /// Our own counters.
    pub(crate) fn counted(numbers: &Numbers) -> Self {
        Self::Stats {
            key: fit(&numbers.key, NAME).into(),
            numbers: Figures {
                latency_us: numbers.clock.map(|clock| clock.latency_us),
                jitter_us: numbers.jitter_us,
                lost: numbers.lost,
                repaired: numbers.repaired,
                signs: numbers.signs,
                synchronised: numbers.clock.is_some(),
            },
        }
    }
}

fn key(member: &Member) -> Arc<str> {
    fit(&member.key(), NAME).into()
}

/// The `peer` of `connected`.
fn connected(peer: &Value) -> Option<Told> {
    let text = |name: &str| peer.get(name).and_then(Value::as_str);
    let other = || {
        ["address", "port", "file"]
            .iter()
            .find_map(|name| text(name))
    };
    let key = text("ssrc").or_else(other)?;
    let address = text("control").or_else(other)?;
    let name = text("name").filter(|name| !name.is_empty());
    Some(Told::Connected {
        key: fit(key, NAME).into(),
        name: fit(name.unwrap_or(address), NAME).into(),
        address: fit(address, NAME).into(),
        ours: text("role") == Some("initiator"),
    })
}

/// `90 3c 64`, with or without spaces.
fn octets(hex: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(hex.len() / 2);
    let mut high = None;
    for sign in hex.chars().filter(|sign| !sign.is_ascii_whitespace()) {
        let digit = u8::try_from(sign.to_digit(16)?).ok()?;
        match high.take() {
            None => high = Some(digit),
            Some(high) => octets.push(high << 4 | digit),
        }
    }
    high.is_none().then_some(octets)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is a failed test")]
mod tests {
    use super::*;

    fn line(line: &str) -> Option<Told> {
        Told::of_line(line.as_bytes()).unwrap()
    }

    #[test]
    fn the_lines_of_the_contract_are_read() {
        let told = line(
            r#"{"event":"connected","new":1,"peer":{"name":"Stage","ssrc":"0x01","control":"192.0.2.7:5004","data":"192.0.2.7:5005","role":"initiator","more":[]}}"#,
        );
        assert_eq!(
            told,
            Some(Told::Connected {
                key: "0x01".into(),
                name: "Stage".into(),
                address: "192.0.2.7:5004".into(),
                ours: true
            })
        );
        let told = line(
            r#"{"event":"midi","hex":"90 3c 64","text":"x","peer":"0x01","repaired":true,"time_us":1500}"#,
        );
        let Some(Told::Midi {
            short, mark, at, ..
        }) = told
        else {
            panic!("{told:?}")
        };
        assert_eq!(short.text(), "note_on channel=0 note=60 velocity=100");
        assert_eq!((mark, at), (Mark::Repaired, Duration::from_micros(1500)));
        let told = line(r#"{"event":"connected","peer":{"address":"127.0.0.1:9"}}"#);
        assert!(matches!(told, Some(Told::Connected { key, .. }) if &*key == "127.0.0.1:9"));
        for (text, word) in [
            (
                r#"{"event":"loss","peer":"0x01","lost":3,"repaired":2}"#,
                "Loss",
            ),
            (
                r#"{"event":"sync","peer":"0x01","latency_us":9,"offset_us":-1,"uncertainty_us":5}"#,
                "Sync",
            ),
            (
                r#"{"event":"disconnected","peer":"0x01","reason":"bye","detail":""}"#,
                "Disconnected",
            ),
            (
                r#"{"event":"listening","control":"[::]:5004","data":"[::]:5005","name":"n"}"#,
                "Listening",
            ),
            (r#"{"event":"error","message":"no"}"#, "Sentence"),
            (
                r#"{"event":"stats","peer":"0x01","lost":3,"jitter_us":2}"#,
                "Stats",
            ),
        ] {
            let told = format!("{:?}", line(text).unwrap());
            assert!(told.starts_with(word), "{text}: {told}");
        }
    }

    #[test]
    fn what_is_unknown_is_passed_over_and_what_is_no_line_is_told() {
        assert_eq!(line(r#"{"event":"new","peer":7}"#), None);
        assert_eq!(line("{}"), None);
        assert_eq!(line("  "), None);
        assert_eq!(line(r#"{"event":"midi","peer":"x","hex":"90 3c"}"#), None);
        let error = Told::of_line(b"note_on channel=0").unwrap_err();
        assert!(error.contains("--json"), "{error}");
    }

    #[test]
    fn long_messages_are_shortened() {
        let data = vec![7; 60_000];
        let short = Short::of(&Message::SysEx(SysEx::new(&data).unwrap()));
        let text = short.text();
        assert!(text.ends_with("7,...) 60000 octets"), "{text}");
        assert!(text.len() < 100, "{text}");
        let short = Short::of(&Message::SysEx(SysEx::new(&[1, 2]).unwrap()));
        assert_eq!(short.text(), "sysex data=(1,2)");
    }
}
