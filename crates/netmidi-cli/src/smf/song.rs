//! A Standard MIDI File as it sounds: all tracks in one line of time.

use std::fmt;
use std::time::Duration;

use midly::{EventIter, Format, Fps, MetaMessage, Timing, TrackEventKind};
use netmidi::message::{Message, MessageBuf, StreamEvent, StreamParser};

/// The longest file that is read, in octets: hours of dense playing have a twentieth of it.
pub(crate) const MAX_FILE: u64 = 256 << 20;
/// The longest system exclusive message in a file, in octets.
const MAX_SYSEX: usize = 16 << 20;
/// The tempo of a file that tells none: 120 quarters a minute.
const TEMPO: u32 = 500_000;
/// The most damages that are told one by one.
const MAX_DAMAGES: usize = 64;

/// A message and when it sounds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Timed {
    /// From the beginning of the song.
    pub(crate) at: Duration,
    pub(crate) message: MessageBuf,
}

/// What a file holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Song {
    /// 0: one track; 1: tracks that sound together; 2: tracks that sound one after the other.
    pub(crate) format: u8,
    pub(crate) tracks: Vec<TrackInfo>,
    /// In the order in which they sound.
    pub(crate) messages: Vec<Timed>,
    /// The first one is at the beginning; there is none where the file counts frames.
    pub(crate) tempos: Vec<Tempo>,
    /// The first one is at the beginning; there is none where the file counts frames.
    meters: Vec<Meter>,
    /// Until the end of the longest track.
    pub(crate) length: Duration,
    /// How time is counted, for people.
    pub(crate) division: String,
    /// What could not be read.
    pub(crate) damages: Vec<Damage>,
    /// System exclusive messages that were cut by something else, and stray octets in escapes.
    pub(crate) discarded: u64,
}

/// What is to be told of a track.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrackInfo {
    pub(crate) name: String,
    pub(crate) messages: usize,
}

/// From here on it goes at this speed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Tempo {
    pub(crate) at: Duration,
    /// Microseconds a quarter.
    pub(crate) micros: u32,
}

impl Tempo {
    /// Quarters a minute.
    pub(crate) fn bpm(self) -> f64 {
        60_000_000.0 / f64::from(self.micros.max(1))
    }
}

/// From here on bars are so long.
#[derive(Clone, Copy, Debug)]
struct Meter {
    at: Duration,
    /// Bars before it.
    bars: u64,
    beats: u32,
    /// A beat, in quarters.
    beat: f64,
    /// Quarters before it.
    quarters: f64,
}

/// Something of the file that could not be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Damage {
    /// Where, in octets from the beginning of the file.
    pub(crate) offset: usize,
    /// In which track, counted from 1.
    pub(crate) track: Option<usize>,
    pub(crate) what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at octet {}", self.offset)?;
        if let Some(track) = self.track {
            write!(f, " (track {track})")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// Where in the music a moment is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spot {
    /// Counted from 1.
    pub(crate) bar: u64,
    /// Counted from 1.
    pub(crate) beat: u32,
    pub(crate) bpm: f64,
}

/// An event of a track, at its tick.
struct At<T> {
    tick: u64,
    what: T,
}

/// What all tracks say together.
#[derive(Default)]
struct Score {
    messages: Vec<At<MessageBuf>>,
    tempos: Vec<At<u32>>,
    meters: Vec<At<(u8, u8)>>,
    /// The last tick.
    end: u64,
}

impl Song {
    /// Reads a file.
    ///
    /// What can be read of a damaged one is read, and the damages are told.
    ///
    /// # Errors
    /// When it is no Standard MIDI File at all.
    pub(crate) fn read(octets: &[u8]) -> Result<Self, Damage> {
        let damage = |offset, what: String| Damage {
            offset,
            track: None,
            what,
        };
        let (header, rest) = match midly::parse(octets) {
            Ok((header, tracks)) => (header, tracks.unread()),
            Err(error) => {
                return Err(damage(
                    0,
                    format!("this is no Standard MIDI File ({error})"),
                ));
            }
        };
        let begin = rest.as_ptr() as usize - octets.as_ptr() as usize;
        let pulse = Pulse::of(header.timing)
            .ok_or_else(|| damage(begin.saturating_sub(2), "time is divided by 0".to_owned()))?;
        let mut song = Self {
            format: match header.format {
                Format::SingleTrack => 0,
                Format::Parallel => 1,
                Format::Sequential => 2,
            },
            division: pulse.to_string(),
            ..Self::default()
        };
        // As midly found the header; the octets of a RIFF file are further in.
        let announced = octets
            .get(begin.saturating_sub(4)..begin.saturating_sub(2))
            .and_then(|it| it.try_into().ok())
            .map_or(0, u16::from_be_bytes);
        let mut score = Score::default();
        for mut chunk in Chunks::of(rest, begin) {
            if let Some(damage) = chunk.damage.take() {
                song.damaged(damage);
            }
            if chunk.kind != *b"MTrk" {
                continue;
            }
            let track = song.read_track(&chunk, &mut score);
            song.tracks.push(track);
            if header.format == Format::Sequential {
                song.append(std::mem::take(&mut score), pulse);
            }
        }
        if usize::from(announced) > song.tracks.len() {
            song.damaged(damage(
                octets.len(),
                format!(
                    "the file ends after {} of {announced} tracks",
                    song.tracks.len()
                ),
            ));
        }
        if header.format != Format::Sequential {
            song.append(score, pulse);
        }
        Ok(song)
    }

    /// Where in the music a moment is; none where the file counts frames.
    pub(crate) fn spot(&self, at: Duration) -> Option<Spot> {
        let tempo = before(&self.tempos, |it| it.at <= at)?;
        let meter = before(&self.meters, |it| it.at <= at)?;
        let quarters = (self.quarters(at)? - meter.quarters).max(0.0);
        // A rounding error must not show the bar before.
        let beats = (quarters / meter.beat + 1e-6).floor();
        let bar = (beats / f64::from(meter.beats)).floor();
        let beat = beats - bar * f64::from(meter.beats);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "neither is negative, and a file has no room for more"
        )]
        let (bar, beat) = (bar as u64, beat as u32);
        Some(Spot {
            bar: meter.bars + bar + 1,
            beat: beat + 1,
            bpm: tempo.bpm(),
        })
    }

    /// Quarters from the beginning to a moment.
    fn quarters(&self, at: Duration) -> Option<f64> {
        let mut quarters = 0.0;
        let mut tempos = self.tempos.iter().peekable();
        while let Some(tempo) = tempos.next() {
            let until = tempos.peek().map_or(at, |next| next.at.min(at));
            let span = until.saturating_sub(tempo.at);
            quarters += span.as_secs_f64() * 1e6 / f64::from(tempo.micros.max(1));
        }
        (!self.tempos.is_empty()).then_some(quarters)
    }

    fn damaged(&mut self, damage: Damage) {
        if self.damages.len() < MAX_DAMAGES {
            self.damages.push(damage);
        }
    }

    fn read_track(&mut self, chunk: &Chunk<'_>, score: &mut Score) -> TrackInfo {
        let number = self.tracks.len() + 1;
        let mut info = TrackInfo::default();
        let mut events = EventIter::new(chunk.octets);
        // System exclusive messages may come in parts, and anything may be escaped.
        let mut parser = StreamParser::new().sysex_limit(MAX_SYSEX);
        let (mut tick, mut running, mut ended) = (0_u64, None, false);
        loop {
            let offset = chunk.begin + chunk.octets.len() - events.unread().len();
            if events.running_status().is_none() {
                // Many programs let running status go on behind meta events; a file where that is
                // not meant has none.
                *events.running_status_mut() = running;
            }
            let event = match events.next() {
                None => break,
                Some(Ok(event)) => event,
                Some(Err(error)) => {
                    self.damaged(Damage {
                        offset,
                        track: Some(number),
                        what: format!("an event cannot be read ({})", root(&error)),
                    });
                    ended = true;
                    break;
                }
            };
            running = events.running_status().or(running);
            tick += u64::from(event.delta.as_int());
            let mut wire = [0; 3];
            let piece: &[u8] = match &event.kind {
                TrackEventKind::Midi { channel, message } => short(*channel, *message, &mut wire),
                TrackEventKind::SysEx(data) => {
                    self.feed(&mut parser, &[0xF0], tick, score, &mut info);
                    data
                }
                TrackEventKind::Escape(data) => data,
                TrackEventKind::Meta(meta) => {
                    match *meta {
                        MetaMessage::Tempo(micros) => score.tempos.push(At {
                            tick,
                            what: micros.as_int(),
                        }),
                        MetaMessage::TimeSignature(beats, power, _, _) => score.meters.push(At {
                            tick,
                            what: (beats, power),
                        }),
                        MetaMessage::TrackName(name) if info.name.is_empty() => {
                            info.name = String::from_utf8_lossy(name).trim().to_owned();
                        }
                        MetaMessage::EndOfTrack => {
                            ended = true;
                            break;
                        }
                        _ => {}
                    }
                    continue;
                }
            };
            self.feed(&mut parser, piece, tick, score, &mut info);
        }
        if !ended && !chunk.cut {
            self.damaged(Damage {
                offset: chunk.begin + chunk.octets.len(),
                track: Some(number),
                what: "the track has no end".to_owned(),
            });
        }
        parser.finish(|event| {
            self.discarded += u64::from(matches!(event, StreamEvent::Discarded(_)))
        });
        score.end = score.end.max(tick);
        info
    }

    fn feed(
        &mut self,
        parser: &mut StreamParser<netmidi::message::HeapBuffer>,
        octets: &[u8],
        tick: u64,
        score: &mut Score,
        info: &mut TrackInfo,
    ) {
        parser.feed(octets, |event| match event {
            StreamEvent::Message(message) => {
                info.messages += 1;
                score.messages.push(At {
                    tick,
                    what: message.to_buf(),
                });
            }
            StreamEvent::Discarded(_) => self.discarded += 1,
        });
    }

    /// Puts what tracks say together behind what there is.
    fn append(&mut self, mut score: Score, pulse: Pulse) {
        // Of those at the same tick the earlier track comes first.
        score.messages.sort_by_key(|it| it.tick);
        score.tempos.sort_by_key(|it| it.tick);
        score.meters.sort_by_key(|it| it.tick);
        let begin = self.length;
        let mut clock = pulse.start();
        let mut segments = vec![clock];
        if pulse.is_metrical() {
            self.tempo(begin, TEMPO);
            for tempo in &score.tempos {
                self.tempo(begin + clock.at(tempo.tick), tempo.what);
                clock = clock.with(tempo.tick, tempo.what);
                segments.push(clock);
            }
        }
        let at = |tick: u64| {
            let clock = before(&segments, |clock| clock.tick <= tick);
            begin + clock.map_or(Duration::ZERO, |clock| clock.at(tick))
        };
        self.messages
            .extend(score.messages.into_iter().map(|message| Timed {
                at: at(message.tick),
                message: message.what,
            }));
        self.length = at(score.end);
        if let Pulse::Metrical { division } = pulse {
            let base = self.quarters(begin).unwrap_or_default();
            self.meter(begin, base, (4, 2));
            for meter in score.meters {
                #[allow(clippy::cast_precision_loss, reason = "a display of bars")]
                let quarters = base + meter.tick as f64 / f64::from(division);
                self.meter(at(meter.tick), quarters, meter.what);
            }
        }
    }

    fn tempo(&mut self, at: Duration, micros: u32) {
        if self.tempos.last().is_some_and(|last| last.at == at) {
            self.tempos.pop();
        }
        self.tempos.push(Tempo { at, micros });
    }

    fn meter(&mut self, at: Duration, quarters: f64, (beats, power): (u8, u8)) {
        let beats = u32::from(beats.max(1));
        let beat = 4.0 / f64::from(1_u32 << power.min(7));
        let bars = match self.meters.last() {
            Some(last) => {
                let bars = (quarters - last.quarters) / (last.beat * f64::from(last.beats));
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "it is not negative, and a file has no room for more"
                )]
                let bars = (bars - 1e-6).max(0.0).ceil() as u64;
                last.bars + bars
            }
            None => 0,
        };
        if self.meters.last().is_some_and(|last| last.at == at) {
            self.meters.pop();
        }
        self.meters.push(Meter {
            at,
            bars,
            beats,
            beat,
            quarters,
        });
    }
}

/// The last of those, in order, for which it holds; the first one if it holds for none.
fn before<T: Copy>(all: &[T], holds: impl Fn(&T) -> bool) -> Option<T> {
    let count = all.partition_point(holds);
    all.get(count.saturating_sub(1)).copied()
}

/// The last cause: what midly found.
fn root(error: &midly::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let text = cause.to_string();
    let kinds = ["invalid midi: ", "malformed midi: "];
    let plain = kinds.iter().find_map(|kind| text.strip_prefix(kind));
    plain.unwrap_or(&text).to_owned()
}

/// A channel message as octets.
fn short(channel: midly::num::u4, message: midly::MidiMessage, wire: &mut [u8; 3]) -> &[u8] {
    use midly::MidiMessage as M;
    let (status, first, second) = match message {
        M::NoteOff { key, vel } => (0x80, key.as_int(), Some(vel.as_int())),
        M::NoteOn { key, vel } => (0x90, key.as_int(), Some(vel.as_int())),
        M::Aftertouch { key, vel } => (0xA0, key.as_int(), Some(vel.as_int())),
        M::Controller { controller, value } => (0xB0, controller.as_int(), Some(value.as_int())),
        M::ProgramChange { program } => (0xC0, program.as_int(), None),
        M::ChannelAftertouch { vel } => (0xD0, vel.as_int(), None),
        M::PitchBend { bend } => {
            let [low, high] = [bend.0.as_int() & 0x7F, bend.0.as_int() >> 7];
            // Seven bits each.
            (0xE0, low.to_le_bytes()[0], Some(high.to_le_bytes()[0]))
        }
    };
    *wire = [status | channel.as_int(), first, second.unwrap_or(0)];
    match second {
        Some(_) => wire,
        None => wire.get(..2).unwrap_or_default(),
    }
}

/// A message of a file that this crate wrote, from its event; none for what is no message.
pub(super) fn message_of(kind: &TrackEventKind<'_>) -> Option<MessageBuf> {
    let mut wire = [0; 3];
    match kind {
        TrackEventKind::Midi { channel, message } => {
            let octets = short(*channel, *message, &mut wire);
            Message::parse(octets).ok().map(|it| it.to_buf())
        }
        TrackEventKind::SysEx(data) => {
            let whole = [&[0xF0], *data].concat();
            Message::parse(&whole).ok().map(|it| it.to_buf())
        }
        TrackEventKind::Escape(data) => Message::parse(data).ok().map(|it| it.to_buf()),
        TrackEventKind::Meta(_) => None,
    }
}

/// How a file divides time.
#[derive(Clone, Copy, Debug)]
enum Pulse {
    /// Into parts of a quarter.
    Metrical { division: u16 },
    /// Into parts of a frame; so many microseconds a second of film, frames a second and parts.
    Frames { micros: u32, fps: u32, parts: u8 },
}

impl Pulse {
    fn of(timing: Timing) -> Option<Self> {
        match timing {
            Timing::Metrical(division) if division.as_int() > 0 => Some(Self::Metrical {
                division: division.as_int(),
            }),
            Timing::Timecode(fps, parts) if parts > 0 => Some(match fps {
                Fps::Fps24 => Self::Frames {
                    micros: 1_000_000,
                    fps: 24,
                    parts,
                },
                Fps::Fps25 => Self::Frames {
                    micros: 1_000_000,
                    fps: 25,
                    parts,
                },
                // 30,000 frames in 1,001 seconds.
                Fps::Fps29 => Self::Frames {
                    micros: 1_001_000,
                    fps: 30,
                    parts,
                },
                Fps::Fps30 => Self::Frames {
                    micros: 1_000_000,
                    fps: 30,
                    parts,
                },
            }),
            _ => None,
        }
    }

    const fn is_metrical(self) -> bool {
        matches!(self, Self::Metrical { .. })
    }

    const fn start(self) -> TickClock {
        let (tempo, ticks) = match self {
            Self::Metrical { division } => (TEMPO, division as u64),
            Self::Frames { micros, fps, parts } => (micros, fps as u64 * parts as u64),
        };
        TickClock {
            tick: 0,
            units: 0,
            tempo,
            ticks,
        }
    }
}

impl fmt::Display for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Metrical { division } => write!(f, "{division} ticks a quarter"),
            Self::Frames { micros, fps, parts } => {
                let fps = match micros {
                    1_000_000 => fps.to_string(),
                    _ => "29.97".to_owned(),
                };
                write!(f, "{fps} frames a second, {parts} ticks a frame")
            }
        }
    }
}

/// From ticks to time without any rounding in between: it counts microseconds times `ticks`, in
/// which every tempo is a whole number.
#[derive(Clone, Copy, Debug)]
struct TickClock {
    tick: u64,
    units: u128,
    tempo: u32,
    ticks: u64,
}

impl TickClock {
    /// The same from this tick on, at another tempo.
    fn with(&self, tick: u64, tempo: u32) -> Self {
        Self {
            tick,
            units: self.units_at(tick),
            tempo,
            ..*self
        }
    }

    fn units_at(&self, tick: u64) -> u128 {
        self.units + u128::from(tick.saturating_sub(self.tick)) * u128::from(self.tempo)
    }

    fn at(&self, tick: u64) -> Duration {
        let ticks = u128::from(self.ticks);
        let nanos = (self.units_at(tick) * 1000 + ticks / 2) / ticks;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// A chunk of a file.
struct Chunk<'a> {
    kind: [u8; 4],
    /// Where its octets begin in the file.
    begin: usize,
    octets: &'a [u8],
    /// The file ends within it.
    cut: bool,
    damage: Option<Damage>,
}

/// The chunks of a file behind its header.
struct Chunks<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Chunks<'a> {
    const fn of(rest: &'a [u8], at: usize) -> Self {
        Self { rest, at }
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let Some((head, rest)) = self.rest.split_first_chunk::<8>() else {
            let offset = self.at;
            // Noise behind the last chunk that is no chunk is nothing to speak of when it is empty.
            let zeros = self.rest.iter().all(|it| *it == 0);
            self.rest = &[];
            return (!zeros).then(|| Chunk {
                kind: *b"    ",
                begin: offset,
                octets: &[],
                cut: true,
                damage: Some(Damage {
                    offset,
                    track: None,
                    what: "the file ends within the head of a chunk".to_owned(),
                }),
            });
        };
        let [a, b, c, d, length @ ..] = *head;
        let kind = [a, b, c, d];
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        let begin = self.at + head.len();
        let (octets, rest) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        let cut = octets.len() < length;
        self.at = begin + octets.len();
        self.rest = rest;
        Some(Chunk {
            kind,
            begin,
            octets,
            cut,
            damage: cut.then(|| Damage {
                offset: begin + octets.len(),
                track: None,
                what: format!(
                    "the file ends {} octets before the end of a chunk",
                    length - octets.len()
                ),
            }),
        })
    }
}
