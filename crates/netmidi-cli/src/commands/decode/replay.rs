//! `--replay`: what was played in a captured session is played again, to a peer.

use std::future::Future;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use netmidi::{Client, ClientError, Event, PeerAddress};
use netmidi_message::{Message, MessageBuf, Sounding};
use netmidi_wire::RtpTimestamp;
use tokio::time::{Instant, sleep_until};

use super::Listener;
use super::diagnosis::{Diagnosis, Heard};
use super::packet::{Captured, Reading};
use crate::console::Console;
use crate::failure::{Failure, sentence};

/// Octets of MIDI that are held for a replay at most.
const MAX_OCTETS: usize = 256 << 20;
/// What one message takes besides long data.
const MESSAGE_OCTETS: usize = size_of::<(Duration, MessageBuf)>();
/// The clock of a sender and that of the capture may differ by so much; what differs by more begins
/// anew.
const MAX_DRIFT: Duration = Duration::from_secs(1);
/// So many messages are sent without asking whether they have gone out.
const BATCH: usize = 256;

/// What of a capture is played again, and how.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Replay")]
pub(crate) struct ReplayArgs {
    /// Play the MIDI of a captured session to this peer, with what the journal repaired, instead of
    /// printing packets.
    #[arg(long, value_name = "HOST[:PORT]", conflicts_with_all = ["hex", "json", "verbose", "summary"])]
    pub(crate) replay: Option<PeerAddress>,
    /// Replay so many times as fast.
    #[arg(long, value_name = "N", default_value = "1", value_parser = speed, requires = "replay")]
    pub(crate) speed: f64,
    /// Which to replay: the number of the session in the diagnosis, or an SSRC (0x9316668e). Without
    /// it the first that has MIDI.
    #[arg(long, value_name = "NUMBER", requires = "replay")]
    pub(crate) session: Option<Which>,
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if (0.001..=1000.0).contains(&speed) => Ok(speed),
        _ => Err("give a number from 0.001 to 1000, 1 is the original speed".to_owned()),
    }
}

/// Which stream of a capture.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Which {
    Session(u64),
    Ssrc(u32),
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ssrc = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        let which = match ssrc {
            Some(ssrc) => u32::from_str_radix(ssrc, 16).ok().map(Self::Ssrc),
            None => text.parse().ok().map(Self::Session),
        };
        which
            .ok_or_else(|| "give the number of a session, or an SSRC such as 0x9316668e".to_owned())
    }
}

/// Takes one stream out of a capture.
#[derive(Debug)]
pub(crate) struct Collector {
    diagnosis: Diagnosis,
    which: Option<Which>,
    part: Part,
    overfull: bool,
}

/// What one side played.
#[derive(Debug, Default)]
pub(crate) struct Part {
    /// Of which session and which SSRC.
    chosen: Option<(u64, u32)>,
    /// Since the first, and what.
    messages: Vec<(Duration, MessageBuf)>,
    octets: usize,
    repaired: u64,
    /// When a moment of the sender's clock is, since the first frame.
    anchor: Option<(Duration, RtpTimestamp)>,
    begin: Duration,
}

impl Collector {
    pub(crate) fn new(which: Option<Which>) -> Self {
        Self {
            diagnosis: Diagnosis::default(),
            which,
            part: Part::default(),
            overfull: false,
        }
    }

    /// What is to be played.
    pub(crate) fn into_part(self) -> Result<Part, Failure> {
        if self.overfull {
            return Err(Failure::failed(format!(
                "the session holds more than {} MiB of MIDI, too much to replay; cut the capture, \
                 with editcap for example",
                MAX_OCTETS >> 20
            )));
        }
        if self.part.chosen.is_some() {
            return Ok(self.part);
        }
        let reports = self.diagnosis.reports();
        let streams: Vec<String> = reports
            .iter()
            .flat_map(|report| report.directions.iter().map(move |it| (report.number, it)))
            .filter(|(_, it)| it.messages + it.repaired > 0)
            .map(|(number, it)| format!("{number} ({})", it.ssrc))
            .collect();
        Err(Failure::failed(match self.which {
            Some(_) if !streams.is_empty() => format!(
                "the capture holds no such session with MIDI; choose one of {}",
                streams.join(", ")
            ),
            _ => "the capture holds no MIDI to replay; `netmidi decode` tells what is in it"
                .to_owned(),
        }))
    }
}

impl Listener for Collector {
    fn packet(&mut self, captured: &Captured<'_>, reading: &Reading<'_>) -> Result<(), Failure> {
        let Self {
            diagnosis,
            which,
            part,
            overfull,
        } = self;
        diagnosis.see(captured, reading, &mut |heard| {
            let this = (heard.session, heard.ssrc.0);
            let wanted = match (part.chosen, *which) {
                (Some(chosen), _) => chosen == this,
                (None, None) => true,
                (None, Some(Which::Session(number))) => number == heard.session,
                (None, Some(Which::Ssrc(ssrc))) => ssrc == heard.ssrc.0,
            };
            if wanted && part.octets < MAX_OCTETS {
                part.chosen = Some(this);
                part.add(&heard);
            } else if wanted {
                *overfull = true;
            }
        });
        Ok(())
    }
}

impl Part {
    fn add(&mut self, heard: &Heard<'_>) {
        if is_undefined(&heard.message) {
            return;
        }
        let at = self.when(heard.captured, heard.timestamp);
        if self.messages.is_empty() {
            self.begin = at;
        }
        let last = self.messages.last().map_or(Duration::ZERO, |it| it.0);
        let at = at.saturating_sub(self.begin).max(last);
        let data = match heard.message {
            Message::SysEx(sysex) => sysex.data().len(),
            _ => 0,
        };
        self.octets += MESSAGE_OCTETS + data;
        self.repaired += u64::from(heard.repaired);
        self.messages.push((at, heard.message.to_buf()));
    }

    /// By the clock of the sender, which is even, as long as that goes with the clock of the capture.
    fn when(&mut self, captured: Option<Duration>, timestamp: RtpTimestamp) -> Duration {
        let now = captured.unwrap_or_default();
        let (anchor, stamp) = *self.anchor.get_or_insert((now, timestamp));
        let ticks = timestamp.distance_from(stamp);
        let passed = Duration::from_micros(u64::from(ticks.unsigned_abs()) * 100);
        let at = match ticks {
            0.. => anchor + passed,
            _ => anchor.saturating_sub(passed),
        };
        let at = match captured {
            Some(now) if at.abs_diff(now) > MAX_DRIFT => now,
            _ => at,
        };
        // Timestamps go round: none is compared with one long past.
        self.anchor = Some((at, timestamp));
        at
    }

    /// What is replayed, in a sentence.
    fn describe(&self) -> String {
        let (session, ssrc) = self.chosen.unwrap_or_default();
        let length = self.messages.last().map_or(Duration::ZERO, |it| it.0);
        let count = self.messages.len();
        let repaired = match self.repaired {
            0 => String::new(),
            repaired => format!(", {repaired} of them repaired by the journal"),
        };
        format!(
            "replaying session {session}, SSRC {ssrc:#010x}: {count} messages in {:.3} s{repaired}",
            length.as_secs_f64()
        )
    }

    /// Plays it to a peer. `stop` ends it before its time, and what it has begun is silenced then.
    pub(crate) async fn play(
        self,
        to: PeerAddress,
        speed: f64,
        console: &Console,
        stop: impl Future<Output = ()>,
    ) -> Result<(), Failure> {
        let mut stop = std::pin::pin!(stop);
        let mut client = tokio::select! {
            client = Client::builder().name("netmidi replay").once().connect(to) => {
                client.map_err(|error| Failure::of(&error))?
            }
            () = &mut stop => return Ok(()),
        };
        console.note(&self.describe());
        let begin = Instant::now();
        let mut sounding = Sounding::new();
        for (index, (at, message)) in self.messages.iter().enumerate() {
            let due = begin + at.div_f64(speed);
            let waited = tokio::select! {
                waited = wait(&mut client, due, index % BATCH == BATCH - 1) => waited,
                () = &mut stop => Err(None),
            };
            match waited {
                Ok(()) => {}
                Err(None) => {
                    for release in sounding.releases() {
                        send(&client, release.into())?;
                    }
                    client.close().await;
                    console.note("stopped; what was sounding has been ended");
                    return Ok(());
                }
                Err(Some(failure)) => return Err(failure),
            }
            let message = message.as_message();
            send(&client, message)?;
            sounding.observe(&message);
        }
        if let Some(peer) = client.peer() {
            let _ = client.handle().flush([peer.id]).await;
        }
        client.close().await;
        Ok(())
    }
}

/// Until the next message is due; `flush` waits for those before it, too. Fails when the session ends.
async fn wait(client: &mut Client, due: Instant, flush: bool) -> Result<(), Option<Failure>> {
    if flush && let Some(peer) = client.peer() {
        let _ = client.handle().flush([peer.id]).await;
    }
    loop {
        tokio::select! {
            biased;
            event = client.next_event() => match event {
                None | Some(Event::Disconnected { .. }) => {
                    return Err(Some(Failure::failed(
                        "the peer ended the session before all was played; see that it is still \
                         running, and replay again",
                    )));
                }
                Some(_) => {}
            },
            () = sleep_until(due) => return Ok(()),
        }
    }
}

fn send(client: &Client, message: Message<'_>) -> Result<(), Failure> {
    client.send_now(message).map_err(|error: ClientError| {
        Failure::failed(format!("cannot replay on: {}", sentence(&error)))
    })
}

/// F4, F5, F9 and FD mean nothing, and a session does not carry them.
const fn is_undefined(message: &Message<'_>) -> bool {
    match message {
        Message::Undefined(_) => true,
        Message::RealTime(it) => it.is_undefined(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

    use super::*;

    #[test]
    fn times_follow_the_sender_and_not_the_network() {
        let mut part = Part::default();
        let ms = Duration::from_millis;
        // 100 ms apart at the sender, whose timestamps go round.
        for (captured, ticks, at) in [(500, 0u32, 500), (640, 1000, 600), (701, 2000, 700)] {
            let stamp = RtpTimestamp(u32::MAX - 1500).wrapping_add(ticks);
            assert_eq!(part.when(Some(ms(captured)), stamp), ms(at));
        }
        // A sender that has no clock.
        assert_eq!(part.when(Some(ms(9_000)), RtpTimestamp(7)), ms(9_000));
    }

    #[test]
    fn a_session_is_named_by_number_or_ssrc() {
        assert_eq!("2".parse(), Ok(Which::Session(2)));
        assert_eq!("0x9316668e".parse(), Ok(Which::Ssrc(0x9316_668E)));
        assert!("piano".parse::<Which>().is_err());
    }

    #[test]
    fn only_sensible_speeds() {
        assert_eq!(speed("2.5"), Ok(2.5));
        for wrong in ["0", "-1", "nan", "inf", "x"] {
            assert!(speed(wrong).is_err(), "{wrong}");
        }
    }
}
