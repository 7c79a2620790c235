//! Records what was played. It has no clock and no file: it is told times, and gives pieces of tracks.

use std::collections::BTreeMap;
use std::time::Duration;

use midly::num::{u4, u7, u15, u28};
use midly::{
    Format, Header, MetaMessage, MidiMessage, PitchBend, Timing, TrackEvent, TrackEventKind,
};
use netmidi::message::{ChannelMessage, Message, MessageBuf, RealTime, Sounding};

/// The most tracks of a recording: those who come when there are so many share the last one.
pub(crate) const MAX_TRACKS: usize = 256;
/// The longest time between two events of a file, in ticks.
const MAX_DELTA: u64 = (1 << 28) - 1;
/// Ticks are no longer than this, as far as a file can have them so short.
const FINE: u64 = 150_000;
/// What ticks a quarter are a multiple of: what most programs count in.
const BASE: u16 = 960;

/// How times become ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticks {
    /// Ticks a quarter.
    division: u16,
    /// Microseconds a quarter.
    tempo: u32,
}

impl Ticks {
    /// Quarters a minute, from 4 to 1,000: ticks take at most 150 µs, or 500 below 31.
    pub(crate) fn at_tempo(bpm: f64) -> Self {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is clamped to what a file can say"
        )]
        let tempo = (60_000_000.0 / bpm).round().clamp(1.0, 16_777_215.0) as u32;
        let fine = |division: &u16| u64::from(tempo) * 1000 <= FINE * u64::from(*division);
        let mut divisions = [1, 2, 4, 8, 16, 32].map(|by| BASE * by).into_iter();
        Self {
            division: divisions.find(fine).unwrap_or(BASE * 32),
            tempo,
        }
    }

    /// The tick that is nearest.
    fn of(self, at: Duration) -> u64 {
        let quarter = u128::from(self.tempo) * 1000;
        let tick = (at.as_nanos() * u128::from(self.division) + quarter / 2) / quarter;
        u64::try_from(tick).unwrap_or(u64::MAX)
    }

    /// How long so many ticks are.
    pub(super) fn time(self, ticks: u64) -> Duration {
        let nanos = u128::from(ticks) * u128::from(self.tempo) * 1000 / u128::from(self.division);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    pub(super) fn header(self, format: Format) -> Header {
        Header::new(format, Timing::Metrical(u15::new(self.division)))
    }

    /// What stands before the first message.
    pub(super) fn opening(self) -> [TrackEventKind<'static>; 3] {
        [
            MetaMessage::Text(b"recorded by netmidi"),
            MetaMessage::Tempo(self.tempo.into()),
            MetaMessage::TimeSignature(4, 2, 24, 8),
        ]
        .map(TrackEventKind::Meta)
    }
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Taken {
    Recorded,
    /// Clock, active sensing, and undefined messages: they say nothing later.
    LeftOut,
}

/// A piece of a track.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(super) track: usize,
    /// In their order.
    pub(super) events: Vec<(u64, MessageBuf)>,
}

/// Takes what is played, and hands it out in pieces for a file.
#[derive(Debug)]
pub(crate) struct Recorder {
    ticks: Ticks,
    tracks: Vec<Track>,
    /// Whose track is which, of those who are there.
    sources: BTreeMap<u64, usize>,
    /// When the first message was meant to sound, or the beginning.
    origin: Option<Duration>,
    /// Octets that were not handed out yet, about.
    waiting: usize,
    left_out: u64,
}

/// One who plays, or did.
#[derive(Debug)]
struct Track {
    name: String,
    events: Vec<(u64, MessageBuf)>,
    /// The last event.
    last: u64,
    messages: u64,
    sounding: Sounding,
    /// Those who play it.
    players: usize,
}

impl Recorder {
    /// Time begins at `origin`, or with the first message.
    pub(crate) const fn new(ticks: Ticks, origin: Option<Duration>) -> Self {
        Self {
            ticks,
            tracks: Vec::new(),
            sources: BTreeMap::new(),
            origin,
            waiting: 0,
            left_out: 0,
        }
    }

    /// Somebody is there: it gets a track of its own, or the one of that name that nobody plays any
    /// more.
    pub(crate) fn joined(&mut self, source: u64, name: &str) {
        if self.sources.contains_key(&source) {
            return;
        }
        let old = self
            .tracks
            .iter()
            .position(|track| track.players == 0 && track.name == name);
        let number = old.unwrap_or_else(|| {
            if self.tracks.len() < MAX_TRACKS {
                self.tracks.push(Track {
                    name: name.to_owned(),
                    events: Vec::new(),
                    last: 0,
                    messages: 0,
                    sounding: Sounding::new(),
                    players: 0,
                });
            }
            self.tracks.len() - 1
        });
        if let Some(track) = self.tracks.get_mut(number) {
            track.players += 1;
        }
        self.sources.insert(source, number);
    }

    /// Somebody is gone.
    pub(crate) fn left(&mut self, source: u64) {
        if let Some(number) = self.sources.remove(&source)
            && let Some(track) = self.tracks.get_mut(number)
        {
            track.players -= 1;
        }
    }

    /// A message of one who has joined that is meant to sound at `at`.
    pub(crate) fn take(&mut self, source: u64, at: Duration, message: &Message<'_>) -> Taken {
        let taken = match message {
            Message::RealTime(
                RealTime::Start | RealTime::Continue | RealTime::Stop | RealTime::Reset,
            ) => true,
            Message::RealTime(_) | Message::Undefined(_) => false,
            _ => true,
        };
        let number = self.sources.get(&source);
        let Some(track) = number.and_then(|number| self.tracks.get_mut(*number)) else {
            return Taken::LeftOut;
        };
        if !taken {
            self.left_out += 1;
            return Taken::LeftOut;
        }
        let origin = *self.origin.get_or_insert(at);
        // What came later was played later: its order says what sounds in the end.
        let tick = self.ticks.of(at.saturating_sub(origin)).max(track.last);
        track.last = tick;
        track.messages += 1;
        track.sounding.observe(message);
        track.events.push((tick, message.to_buf()));
        self.waiting += message.encoded_len() + size_of::<(u64, MessageBuf)>();
        Taken::Recorded
    }

    /// It is over: what is still down is let go at `at`.
    pub(crate) fn end(&mut self, at: Duration) {
        let at = at.saturating_sub(self.origin.unwrap_or(at));
        let end = self.tracks.iter().map(|track| track.last).max();
        let end = self.ticks.of(at).max(end.unwrap_or(0));
        for track in &mut self.tracks {
            let releases: Vec<ChannelMessage> = track.sounding.releases().collect();
            for message in releases {
                track.sounding.observe(&message.into());
                track.events.push((end, message.into()));
                track.last = end;
            }
        }
    }

    /// What was taken since the last time.
    pub(crate) fn pieces(&mut self) -> Vec<Piece> {
        self.waiting = 0;
        let tracks = self.tracks.iter_mut().enumerate();
        tracks
            .filter(|(_, track)| !track.events.is_empty())
            .map(|(number, track)| Piece {
                track: number,
                events: std::mem::take(&mut track.events),
            })
            .collect()
    }

    /// Octets that wait to be handed out, about.
    pub(crate) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Names and messages of the tracks.
    pub(crate) fn tracks(&self) -> impl ExactSizeIterator<Item = (&str, u64)> {
        self.tracks
            .iter()
            .map(|track| (track.name.as_str(), track.messages))
    }

    /// Messages that were recorded.
    pub(crate) fn messages(&self) -> u64 {
        self.tracks.iter().map(|track| track.messages).sum()
    }

    /// Messages that were left out.
    pub(crate) const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// From the first moment to the last event.
    pub(crate) fn length(&self) -> Duration {
        let last = self.tracks.iter().map(|track| track.last).max();
        self.ticks.time(last.unwrap_or(0))
    }
}

/// Octets that events borrow from.
#[derive(Debug, Default)]
pub(super) struct Octets(Vec<u8>);

/// One event of a file, with the ticks since the one before; `octets` is a place for its data.
pub(super) fn kind_of<'a>(message: &MessageBuf, octets: &'a mut Octets) -> TrackEventKind<'a> {
    octets.0.clear();
    match message {
        MessageBuf::Channel(message) => channel_event(*message),
        MessageBuf::SysEx(sysex) => {
            octets.0.extend_from_slice(sysex.as_sysex().data());
            octets.0.push(0xF7);
            TrackEventKind::SysEx(&octets.0)
        }
        // All else can only be escaped.
        other => {
            other.as_message().encode_to(&mut octets.0);
            TrackEventKind::Escape(&octets.0)
        }
    }
}

fn channel_event(message: ChannelMessage) -> TrackEventKind<'static> {
    let [status, first, second] = message.to_octets();
    let (first, second) = (u7::new(first & 0x7F), u7::new(second & 0x7F));
    TrackEventKind::Midi {
        channel: u4::new(status & 0x0F),
        message: match message {
            ChannelMessage::NoteOff { .. } => MidiMessage::NoteOff {
                key: first,
                vel: second,
            },
            ChannelMessage::NoteOn { .. } => MidiMessage::NoteOn {
                key: first,
                vel: second,
            },
            ChannelMessage::PolyPressure { .. } => MidiMessage::Aftertouch {
                key: first,
                vel: second,
            },
            ChannelMessage::ControlChange { .. } => MidiMessage::Controller {
                controller: first,
                value: second,
            },
            ChannelMessage::ProgramChange { .. } => MidiMessage::ProgramChange { program: first },
            ChannelMessage::ChannelPressure { .. } => MidiMessage::ChannelAftertouch { vel: first },
            ChannelMessage::PitchBend { bend, .. } => MidiMessage::PitchBend {
                bend: PitchBend(midly::num::u14::new(bend.to_u14().get())),
            },
        },
    }
}

/// Writes events as the octets of a track, from a tick on; returns the tick of the last one.
///
/// # Errors
/// When a message is longer than a file can hold.
pub(super) fn write_events(
    ticks: Ticks,
    from: u64,
    events: &[(u64, MessageBuf)],
    out: &mut Vec<u8>,
) -> std::io::Result<u64> {
    let mut last = from;
    let mut octets = Octets::default();
    for (tick, message) in events {
        last = pass(ticks, last, (*tick).max(last), out)?;
        let kind = kind_of(message, &mut octets);
        // One by one, each with its status: whoever is lost within finds back.
        write_event(ticks, tick.saturating_sub(last), kind, out)?;
        last = (*tick).max(last);
    }
    Ok(last)
}

/// Passes time that is too long for one event; returns where that leads.
pub(super) fn pass(ticks: Ticks, from: u64, to: u64, out: &mut Vec<u8>) -> std::io::Result<u64> {
    let mut at = from;
    while to - at > MAX_DELTA {
        write_event(
            ticks,
            MAX_DELTA,
            TrackEventKind::Meta(MetaMessage::Text(b"")),
            out,
        )?;
        at += MAX_DELTA;
    }
    Ok(at)
}

/// Writes one event.
pub(super) fn write_event(
    ticks: Ticks,
    delta: u64,
    kind: TrackEventKind<'_>,
    out: &mut Vec<u8>,
) -> std::io::Result<()> {
    /// The head of a file and that of a track, which midly writes before the event.
    const HEADS: usize = 14 + 8;
    let delta = u28::new(u32::try_from(delta.min(MAX_DELTA)).unwrap_or(0));
    let event = [TrackEvent { delta, kind }];
    let mut file = Vec::with_capacity(HEADS + 8);
    midly::write_std(
        &ticks.header(Format::SingleTrack),
        [event.iter()],
        &mut file,
    )?;
    out.extend_from_slice(file.get(HEADS..).unwrap_or_default());
    Ok(())
}
