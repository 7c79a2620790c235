//! A packet as programs read it: the schema of the project's test vectors (`expect`).
//!
//! Everything is written straight from what was read into the output; nothing is collected first.

use std::net::SocketAddr;

use netmidi_journal::{
    ChannelJournal, Complete, ControlLog, ControlTool, Entry, Extra, ExtraLog, Journal, NoteLog,
    Notes, ParameterLog, Parameters, Pending, PolyPressureLog, RealTimeLog, Sequencer, Simple,
    SysExLog, SystemJournal, Timecode, UndefinedLog,
};
use netmidi_message::{Message, Parameter, U4};
use netmidi_wire::{
    Command, CommandSection, Control, Exchange, RtpPacket, SegmentKind, SysExSegment, TimedCommand,
};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::packet::{Captured, Reading, Rtp};
use super::problem::Problem;

/// One packet: what is in it, and when and between whom it was seen where that is known.
#[derive(Debug)]
pub(crate) struct Described<'a> {
    pub(crate) captured: &'a Captured<'a>,
    pub(crate) reading: &'a Reading<'a>,
    /// Whether it comes from a capture, which numbers its frames.
    pub(crate) framed: bool,
    /// Whether what is whole of a damaged journal is wanted.
    pub(crate) verbose: bool,
}

impl Serialize for Described<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let captured = self.captured;
        if self.framed {
            map.serialize_entry("frame", &captured.number)?;
        }
        if let Some(time) = captured.time {
            map.serialize_entry("time", &time.as_secs_f64())?;
        }
        if let Some(from) = captured.from {
            map.serialize_entry("from", &Address(from))?;
        }
        if let Some(to) = captured.to {
            map.serialize_entry("to", &Address(to))?;
        }
        if captured.missing > 0 {
            map.serialize_entry("missing", &captured.missing)?;
        }
        match self.reading {
            Reading::AppleMidi(Ok(control)) => {
                map.serialize_entry("applemidi", &ControlFields(control))?;
            }
            Reading::Rtp(Ok(rtp)) => self.rtp(rtp, &mut map)?,
            Reading::AppleMidi(Err(_)) | Reading::Rtp(Err(_)) => {}
        }
        if let Some(problem) = Problem::of(self.reading) {
            map.serialize_entry("error", &problem)?;
        }
        map.end()
    }
}

impl Described<'_> {
    fn rtp<M: SerializeMap>(&self, rtp: &Rtp<'_>, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("rtp", &RtpFields(&rtp.packet))?;
        if let Ok(section) = &rtp.section {
            map.serialize_entry("midi", &SectionFields(section))?;
        }
        match &rtp.journal {
            Some(Ok(salvaged)) if salvaged.damage.is_none() => {
                map.serialize_entry("journal", &JournalFields(&salvaged.journal))
            }
            Some(Ok(salvaged)) if self.verbose => {
                map.serialize_entry("salvaged", &JournalFields(&salvaged.journal))
            }
            _ => Ok(()),
        }
    }
}

/// As `"192.0.2.7:5004"`.
#[derive(Debug)]
struct Address(SocketAddr);

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// What an iterator gives, as a list. The iterator is made when it is the list's turn.
struct List<F>(F);

impl<F, I> Serialize for List<F>
where
    F: Fn() -> I,
    I: Iterator<Item: Serialize>,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

/// Octets as hex digits.
struct Hex<I>(I);

impl<I: Iterator<Item = u8> + Clone> Serialize for Hex<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Most commands have up to three octets.
        let mut short = [0; 16];
        let mut octets = self.0.clone();
        let mut len = 0;
        for (pair, octet) in short.chunks_exact_mut(2).zip(octets.by_ref()) {
            pair.copy_from_slice(&digits(octet));
            len += 2;
        }
        if octets.next().is_none() {
            let text = short.get(..len).and_then(|it| str::from_utf8(it).ok());
            return serializer.serialize_str(text.unwrap_or_default());
        }
        let text: String = self.0.clone().flat_map(digits).map(char::from).collect();
        serializer.serialize_str(&text)
    }
}

fn digits(octet: u8) -> [u8; 2] {
    [octet >> 4, octet & 15].map(|digit| match digit {
        0..10 => b'0' + digit,
        _ => b'a' + digit - 10,
    })
}

/// The letters of a table of contents.
fn letters(toc: impl Iterator<Item = char>) -> String {
    toc.collect()
}

struct ControlFields<'a>(&'a Control<'a>);

impl Serialize for ControlFields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.0 {
            Control::Exchange(Exchange {
                kind,
                token,
                ssrc,
                name,
            }) => {
                map.serialize_entry("command", &kind.code().to_string())?;
                // Others are not accepted.
                map.serialize_entry("version", &2)?;
                map.serialize_entry("token", &token.0)?;
                map.serialize_entry("ssrc", &ssrc.0)?;
                map.serialize_entry("name", &name.map(|name| name.to_string()))?;
            }
            Control::Clock(clock) => {
                map.serialize_entry("command", "CK")?;
                map.serialize_entry("ssrc", &clock.ssrc.0)?;
                map.serialize_entry("count", &(clock.count as u8))?;
                map.serialize_entry("timestamps", &clock.timestamps.map(|it| it.0))?;
            }
            Control::Feedback(feedback) => {
                map.serialize_entry("command", "RS")?;
                map.serialize_entry("ssrc", &feedback.ssrc.0)?;
                map.serialize_entry("sequence", &feedback.seq.0)?;
                map.serialize_entry("low16", &feedback.low)?;
            }
            Control::BitrateLimit(limit) => {
                map.serialize_entry("command", "RL")?;
                map.serialize_entry("ssrc", &limit.ssrc.0)?;
                map.serialize_entry("bitrate", &limit.bits_per_second)?;
            }
        }
        map.end()
    }
}

struct RtpFields<'a>(&'a RtpPacket<'a>);

impl Serialize for RtpFields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let packet = self.0;
        let header = packet.header();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("marker", &u8::from(header.marker))?;
        map.serialize_entry("payload_type", &header.payload_type.get())?;
        map.serialize_entry("sequence", &header.seq.0)?;
        map.serialize_entry("timestamp", &header.timestamp.0)?;
        map.serialize_entry("ssrc", &header.ssrc.0)?;
        map.serialize_entry("padding", &u8::from(packet.is_padded()))?;
        map.serialize_entry("extension", &u8::from(packet.extension().is_some()))?;
        map.serialize_entry("csrc", &List(|| packet.csrc().map(|it| it.0)))?;
        map.end()
    }
}

struct SectionFields<'a>(&'a CommandSection<'a>);

impl Serialize for SectionFields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let section = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("b", &u8::from(section.is_long()))?;
        map.serialize_entry("j", &u8::from(section.has_journal()))?;
        map.serialize_entry("z", &u8::from(section.has_first_delta()))?;
        map.serialize_entry("p", &u8::from(section.is_phantom()))?;
        map.serialize_entry("len", &section.list().len())?;
        map.serialize_entry("list", &List(|| section.commands().map(CommandFields)))?;
        map.end()
    }
}

struct CommandFields<'a>(TimedCommand<'a>);

impl Serialize for CommandFields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let it = &self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("delta", &it.delta.get())?;
        map.serialize_entry("timestamp", &it.timestamp.0)?;
        match &it.command {
            None => map.serialize_entry("command", "")?,
            // Undefined commands have data, and in the list an end of their own.
            Some(Command::Message(message @ Message::Undefined(_))) => {
                let octets = message.to_vec();
                let octets = octets.iter().copied().chain([0xF7]);
                map.serialize_entry("command", &Hex(octets))?;
            }
            Some(Command::Message(message)) => {
                // No other message of a list is longer.
                let mut octets = [0; 3];
                let len = message.encode(&mut octets).unwrap_or_default();
                map.serialize_entry("command", &Hex(octets.into_iter().take(len)))?;
            }
            Some(Command::SysEx(segment)) => {
                map.serialize_entry("command", &Hex(segment_octets(segment)))?;
            }
        }
        if it.running {
            map.serialize_entry("running", &1)?;
        }
        if let Some(Command::SysEx(segment)) = &it.command {
            map.serialize_entry("sysex", segment_word(segment.kind()))?;
        }
        map.end()
    }
}

/// A segment as it is in the list.
fn segment_octets<'a>(segment: &SysExSegment<'a>) -> impl Iterator<Item = u8> + Clone + use<'a> {
    let kind = segment.kind();
    let data = segment.data().iter().copied();
    std::iter::once(kind.head())
        .chain(data)
        .chain([kind.tail()])
}

pub(super) const fn segment_word(kind: SegmentKind) -> &'static str {
    match kind {
        SegmentKind::Whole => "whole",
        SegmentKind::WholeDroppedEnd => "whole-dropped-f7",
        SegmentKind::First => "first",
        SegmentKind::Middle => "middle",
        SegmentKind::Last => "last",
        SegmentKind::LastDroppedEnd => "last-dropped-f7",
        SegmentKind::Cancel => "cancel",
    }
}

struct JournalFields<'a>(&'a Journal<'a>);

impl Serialize for JournalFields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let it = self.0;
        let count = it.channel_count();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("s", &u8::from(it.s()))?;
        map.serialize_entry("y", &u8::from(it.has_system()))?;
        map.serialize_entry("a", &u8::from(count > 0))?;
        map.serialize_entry("h", &u8::from(it.enhanced()))?;
        map.serialize_entry("totchan", &count.saturating_sub(1))?;
        map.serialize_entry("checkpoint", &it.checkpoint().0)?;
        if let Some(system) = it.system() {
            map.serialize_entry("system", &SystemFields(&system))?;
        }
        if count > 0 {
            map.serialize_entry("channels", &List(|| it.channels().map(ChannelFields)))?;
        }
        trailing(&mut map, it.surplus())?;
        map.end()
    }
}

fn trailing<M: SerializeMap>(map: &mut M, surplus: &[u8]) -> Result<(), M::Error> {
    match surplus.len() {
        0 => Ok(()),
        len => map.serialize_entry("trailing", &len),
    }
}

/// An entry that is there or not.
fn maybe<M: SerializeMap, T: Serialize>(
    map: &mut M,
    key: &'static str,
    value: Option<T>,
) -> Result<(), M::Error> {
    match value {
        Some(value) => map.serialize_entry(key, &value),
        None => Ok(()),
    }
}

struct ChannelFields<'a>(ChannelJournal<'a>);

impl Serialize for ChannelFields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let it = &self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("s", &u8::from(it.s))?;
        map.serialize_entry("chan", &it.channel.index())?;
        map.serialize_entry("h", &u8::from(it.enhanced))?;
        map.serialize_entry("length", &(it.encoded_len() + it.surplus().len()))?;
        map.serialize_entry("toc", &letters(it.toc().map(|chapter| chapter.letter())))?;
        if let Some(it) = it.program {
            let fields = ChapterP {
                s: u8::from(it.s),
                program: it.program.get(),
                b: u8::from(it.bank.is_some()),
                bank_msb: it.bank.map_or(0, |bank| bank.msb.get()),
                x: it.bank.map_or(0, |bank| u8::from(bank.reset)),
                bank_lsb: it.bank.map_or(0, |bank| bank.lsb.get()),
            };
            map.serialize_entry("chapter_p", &fields)?;
        }
        if let Some(it) = it.controls {
            let logs = it.logs();
            let fields = list_fields(it.s(), logs.len(), || logs.iter().map(control));
            map.serialize_entry("chapter_c", &fields)?;
        }
        if let Some(it) = &it.parameters {
            map.serialize_entry("chapter_m", &ChapterM(it))?;
        }
        if let Some(it) = it.wheel {
            let bend = it.bend.to_u14();
            let fields = ChapterW {
                s: u8::from(it.s),
                first: bend.lsb().get(),
                second: bend.msb().get(),
            };
            map.serialize_entry("chapter_w", &fields)?;
        }
        if let Some(it) = &it.notes {
            map.serialize_entry("chapter_n", &ChapterN(it))?;
        }
        if let Some(it) = it.extras {
            let logs = it.logs();
            let fields = list_fields(it.s(), logs.len(), || logs.iter().map(extra));
            map.serialize_entry("chapter_e", &fields)?;
        }
        if let Some(it) = it.pressure {
            let (s, pressure) = (u8::from(it.s), it.pressure.get());
            map.serialize_entry("chapter_t", &ChapterT { s, pressure })?;
        }
        if let Some(it) = it.poly_pressure {
            let logs = it.logs();
            let fields = list_fields(it.s(), logs.len(), || logs.iter().map(poly_pressure));
            map.serialize_entry("chapter_a", &fields)?;
        }
        trailing(&mut map, it.surplus())?;
        map.end()
    }
}

#[derive(Serialize)]
struct ChapterP {
    s: u8,
    program: u8,
    b: u8,
    bank_msb: u8,
    x: u8,
    bank_lsb: u8,
}

#[derive(Serialize)]
struct ChapterW {
    s: u8,
    first: u8,
    second: u8,
}

#[derive(Serialize)]
struct ChapterT {
    s: u8,
    pressure: u8,
}

/// Chapters C, E and A: LEN is one less than the number of logs.
#[derive(Serialize)]
struct ListFields<L> {
    s: u8,
    len: usize,
    logs: L,
}

fn list_fields<F>(s: bool, count: usize, logs: F) -> ListFields<List<F>> {
    ListFields {
        s: u8::from(s),
        len: count.saturating_sub(1),
        logs: List(logs),
    }
}

#[derive(Serialize)]
struct ControlFieldsOfLog {
    s: u8,
    number: u8,
    tool: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alt: Option<u8>,
}

fn control(log: ControlLog) -> ControlFieldsOfLog {
    let (tool, value, alt) = match log.tool {
        ControlTool::Value(value) => ("value", Some(value.get()), None),
        ControlTool::Toggle(alt) => ("toggle", None, Some(alt.get())),
        ControlTool::Count(alt) => ("count", None, Some(alt.get())),
    };
    ControlFieldsOfLog {
        s: u8::from(log.s),
        number: log.controller.get(),
        tool,
        value,
        alt,
    }
}

#[derive(Serialize)]
struct ExtraFields {
    s: u8,
    note: u8,
    v: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    release_velocity: Option<u8>,
}

fn extra(log: ExtraLog) -> ExtraFields {
    let (count, release_velocity) = match log.extra {
        Extra::Count(count) => (Some(count.get()), None),
        Extra::ReleaseVelocity(velocity) => (None, Some(velocity.get())),
    };
    ExtraFields {
        s: u8::from(log.s),
        note: log.note.get(),
        v: u8::from(release_velocity.is_some()),
        count,
        release_velocity,
    }
}

#[derive(Serialize)]
struct PolyPressureFields {
    s: u8,
    note: u8,
    x: u8,
    pressure: u8,
}

fn poly_pressure(log: PolyPressureLog) -> PolyPressureFields {
    PolyPressureFields {
        s: u8::from(log.s),
        note: log.note.get(),
        x: u8::from(log.stale),
        pressure: log.pressure.get(),
    }
}

#[derive(Serialize)]
struct NoteFields {
    s: u8,
    note: u8,
    y: u8,
    velocity: u8,
}

fn note(log: NoteLog) -> NoteFields {
    NoteFields {
        s: u8::from(log.s),
        note: log.note.get(),
        y: u8::from(log.play),
        velocity: log.velocity.get(),
    }
}

struct ChapterN<'a>(&'a Notes<'a>);

impl Serialize for ChapterN<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let it = self.0;
        let (low, high) = it.range();
        let logs = it.logs();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("b", &u8::from(it.b()))?;
        // 128 logs are coded as 127.
        map.serialize_entry("len", &logs.len().min(127))?;
        map.serialize_entry("low", &low.get())?;
        map.serialize_entry("high", &high.get())?;
        map.serialize_entry("logs", &List(|| logs.iter().map(note)))?;
        map.serialize_entry("off", &List(|| it.off().iter().map(|note| note.get())))?;
        map.end()
    }
}

struct ChapterM<'a>(&'a Parameters<'a>);

impl Serialize for ChapterM<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let it = self.0;
        let logs = it.logs();
        let flags = logs.flags();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("s", &u8::from(it.s()))?;
        map.serialize_entry("p", &u8::from(it.pending().is_some()))?;
        map.serialize_entry("e", &u8::from(it.in_progress()))?;
        map.serialize_entry("u", &u8::from(flags.registered))?;
        map.serialize_entry("w", &u8::from(flags.non_registered))?;
        map.serialize_entry("z", &u8::from(flags.low))?;
        map.serialize_entry("length", &it.encoded_len())?;
        if let Some(pending) = it.pending() {
            let (q, value) = match pending {
                Pending::Registered(value) => (0, value),
                Pending::NonRegistered(value) => (1, value),
            };
            map.serialize_entry("q", &q)?;
            map.serialize_entry("pending", &value.get())?;
        }
        map.serialize_entry("logs", &List(|| logs.iter().map(ParameterFields)))?;
        map.end()
    }
}

struct ParameterFields(ParameterLog);

#[derive(Serialize)]
struct EntryFields {
    x: u8,
    value: u8,
}

#[derive(Serialize)]
struct ButtonFields {
    g: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<u8>,
    value: u16,
}

impl Serialize for ParameterFields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let log = &self.0;
        let (q, number) = match log.parameter {
            Parameter::Registered(number) => (0, number),
            Parameter::NonRegistered(number) => (1, number),
        };
        let entry = |entry: Entry| EntryFields {
            x: u8::from(entry.stale),
            value: entry.value.get(),
        };
        let button = |steps: i16, stale: Option<bool>| ButtonFields {
            g: u8::from(steps < 0),
            x: stale.map(u8::from),
            value: steps.unsigned_abs(),
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("s", &u8::from(log.s))?;
        map.serialize_entry("pnum_lsb", &number.lsb().get())?;
        map.serialize_entry("q", &q)?;
        map.serialize_entry("pnum_msb", &number.msb().get())?;
        map.serialize_entry("j", &u8::from(log.entry_msb.is_some()))?;
        map.serialize_entry("k", &u8::from(log.entry_lsb.is_some()))?;
        map.serialize_entry("l", &u8::from(log.a_button.is_some()))?;
        map.serialize_entry("m", &u8::from(log.c_button.is_some()))?;
        map.serialize_entry("n", &u8::from(log.count.is_some()))?;
        map.serialize_entry("t", &u8::from(log.uses_count))?;
        map.serialize_entry("v", &u8::from(log.uses_value))?;
        maybe(&mut map, "entry_msb", log.entry_msb.map(entry))?;
        maybe(&mut map, "entry_lsb", log.entry_lsb.map(entry))?;
        let a_button = log
            .a_button
            .map(|(steps, stale)| button(steps.get(), Some(stale)));
        maybe(&mut map, "a_button", a_button)?;
        let c_button = log.c_button.map(|steps| button(steps.get(), None));
        maybe(&mut map, "c_button", c_button)?;
        maybe(&mut map, "count", log.count.map(entry))?;
        map.end()
    }
}

struct SystemFields<'a>(&'a SystemJournal<'a>);

impl Serialize for SystemFields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let it = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("s", &u8::from(it.s))?;
        map.serialize_entry("toc", &letters(it.toc().map(|chapter| chapter.letter())))?;
        map.serialize_entry("length", &(it.encoded_len() + it.surplus().len()))?;
        if let Some(it) = &it.simple {
            map.serialize_entry("chapter_d", &ChapterD(it))?;
        }
        if let Some(it) = it.active_sense {
            let (s, count) = (u8::from(it.s), it.count.get());
            map.serialize_entry("chapter_v", &CountFields { s, count })?;
        }
        maybe(&mut map, "chapter_q", it.sequencer.map(sequencer))?;
        if let Some(it) = &it.timecode {
            map.serialize_entry("chapter_f", &ChapterF(it))?;
        }
        if let Some(logs) = &it.sysex {
            map.serialize_entry("chapter_x", &List(|| logs.iter().map(SysExFields)))?;
        }
        trailing(&mut map, it.surplus())?;
        map.end()
    }
}

#[derive(Serialize)]
struct CountFields {
    s: u8,
    count: u8,
}

#[derive(Serialize)]
struct SongFields {
    s: u8,
    value: u8,
}

struct ChapterD<'a>(&'a Simple<'a>);

impl Serialize for ChapterD<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let it = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("s", &u8::from(it.s))?;
        map.serialize_entry("toc", &simple_toc(it))?;
        let count = |log: netmidi_journal::CountLog| CountFields {
            s: u8::from(log.s),
            count: log.count.get(),
        };
        maybe(&mut map, "reset", it.reset.map(count))?;
        maybe(&mut map, "tune_request", it.tune_request.map(count))?;
        let song = it.song_select.map(|log| SongFields {
            s: u8::from(log.s),
            value: log.song.get(),
        });
        maybe(&mut map, "song_select", song)?;
        maybe(&mut map, "f4", it.f4.as_ref().map(UndefinedFields))?;
        maybe(&mut map, "f5", it.f5.as_ref().map(UndefinedFields))?;
        maybe(&mut map, "f9", it.f9.as_ref().map(RealTimeFields))?;
        maybe(&mut map, "fd", it.fd.as_ref().map(RealTimeFields))?;
        map.end()
    }
}

/// The letters of chapter D's own table of contents.
pub(super) fn simple_toc(it: &Simple<'_>) -> String {
    let all = [
        ('B', it.reset.is_some()),
        ('G', it.tune_request.is_some()),
        ('H', it.song_select.is_some()),
        ('J', it.f4.is_some()),
        ('K', it.f5.is_some()),
        ('Y', it.f9.is_some()),
        ('Z', it.fd.is_some()),
    ];
    letters(all.into_iter().filter(|it| it.1).map(|it| it.0))
}

struct UndefinedFields<'a>(&'a UndefinedLog<'a>);

impl Serialize for UndefinedFields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let log = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("s", &u8::from(log.s()))?;
        map.serialize_entry("c", &u8::from(log.count().is_some()))?;
        map.serialize_entry("v", &u8::from(log.value().is_some()))?;
        map.serialize_entry("l", &u8::from(log.legal().is_some()))?;
        map.serialize_entry("dsz", &(log.size() as u8))?;
        map.serialize_entry("length", &log.encoded_len())?;
        maybe(&mut map, "count", log.count())?;
        maybe(&mut map, "value", log.value().map(|it| Hex(it.iter())))?;
        let legal = log.legal().map(|it| Hex(it.iter().copied()));
        maybe(&mut map, "legal", legal)?;
        map.end()
    }
}

struct RealTimeFields<'a>(&'a RealTimeLog<'a>);

impl Serialize for RealTimeFields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let log = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("s", &u8::from(log.s()))?;
        map.serialize_entry("c", &u8::from(log.count().is_some()))?;
        map.serialize_entry("l", &u8::from(log.legal().is_some()))?;
        map.serialize_entry("length", &log.encoded_len())?;
        maybe(&mut map, "count", log.count())?;
        let legal = log.legal().map(|it| Hex(it.iter().copied()));
        maybe(&mut map, "legal", legal)?;
        map.end()
    }
}

#[derive(Serialize)]
struct ChapterQ {
    s: u8,
    n: u8,
    d: u8,
    c: u8,
    t: u8,
    top: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    clock: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timetools: Option<u32>,
}

fn sequencer(it: Sequencer) -> ChapterQ {
    ChapterQ {
        s: u8::from(it.s),
        n: u8::from(it.running),
        d: u8::from(it.played),
        c: u8::from(it.clock.is_some()),
        t: u8::from(it.time_tools.is_some()),
        top: it.top.get(),
        clock: it.clock,
        timetools: it.time_tools.map(|it| it.get()),
    }
}

struct ChapterF<'a>(&'a Timecode);

#[derive(Serialize)]
struct FullFrame {
    hr: u8,
    mn: u8,
    sc: u8,
    fr: u8,
}

#[derive(Serialize)]
struct QuarterFrames {
    mt: [u8; 8],
}

impl Serialize for ChapterF<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let it = self.0;
        let quarters = |it: [U4; 8]| QuarterFrames {
            mt: it.map(U4::get),
        };
        let are_quarters = matches!(it.complete, Some(Complete::QuarterFrames(_)));
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("s", &u8::from(it.s))?;
        map.serialize_entry("c", &u8::from(it.complete.is_some()))?;
        map.serialize_entry("p", &u8::from(it.partial.is_some()))?;
        map.serialize_entry("q", &u8::from(are_quarters))?;
        map.serialize_entry("d", &u8::from(it.reverse))?;
        map.serialize_entry("point", &it.point.get())?;
        match it.complete {
            Some(Complete::FullFrame([hr, mn, sc, fr])) => {
                let (hr, mn, sc, fr) = (hr.get(), mn.get(), sc.get(), fr.get());
                map.serialize_entry("complete", &FullFrame { hr, mn, sc, fr })?;
            }
            Some(Complete::QuarterFrames(it)) => map.serialize_entry("complete", &quarters(it))?,
            None => {}
        }
        maybe(&mut map, "partial", it.partial.map(quarters))?;
        map.end()
    }
}

struct SysExFields<'a>(SysExLog<'a>);

impl Serialize for SysExFields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let log = &self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("s", &u8::from(log.s))?;
        map.serialize_entry("t", &u8::from(log.type_count.is_some()))?;
        map.serialize_entry("c", &u8::from(log.count.is_some()))?;
        map.serialize_entry("f", &u8::from(log.first.is_some()))?;
        map.serialize_entry("d", &u8::from(log.data.is_some()))?;
        map.serialize_entry("l", &u8::from(log.list))?;
        map.serialize_entry("sta", &(log.status as u8))?;
        maybe(&mut map, "tcount", log.type_count)?;
        maybe(&mut map, "count", log.count)?;
        maybe(&mut map, "first", log.first.map(|it| it.get()))?;
        maybe(&mut map, "data", log.data.map(|it| Hex(it.iter())))?;
        map.end()
    }
}
