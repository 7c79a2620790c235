//! The system journal and its five chapters.

mod active_sense;
mod data;
mod sequencer;
mod simple;
mod sysex;
mod timecode;

pub use active_sense::ActiveSense;
pub use data::LogData;
pub use sequencer::Sequencer;
pub use simple::{CountLog, DataSize, RealTimeLog, Simple, SongLog, UndefinedLog};
pub use sysex::{SysExLog, SysExLogIter, SysExLogs, SysExStatus};
pub use timecode::{Complete, Timecode};

#[cfg(feature = "alloc")]
pub(crate) use {
    active_sense::receiver::ActiveSenseModel,
    sequencer::receiver::SequencerModel,
    simple::receiver::SimpleModel,
    sysex::receiver::{ResetBy, Step, SysExModel, resets_state},
    timecode::receiver::{TimecodeModel, full_frame_time},
};

use nom::Parser;
use nom::number::complete::be_u8;

use crate::channel::finish;
use crate::encode::{Cursor, bit, top};
use crate::error::{Chapter, EncodeError, JournalError};
use crate::parse::{Fault, Parsed, chapter};

/// What a journal says about commands that belong to no channel (RFC 6295 §5.1).
///
/// ```text
///  0                   1
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |S|D|V|Q|F|X|      LENGTH       |  chapters …
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SystemJournal<'a> {
    /// 0 if something in it codes a command of the packet just before. Written as 0 also if that
    /// is so in one of the chapters.
    pub s: bool,
    /// Chapter D.
    pub simple: Option<Simple<'a>>,
    /// Chapter V.
    pub active_sense: Option<ActiveSense>,
    /// Chapter Q.
    pub sequencer: Option<Sequencer>,
    /// Chapter F.
    pub timecode: Option<Timecode>,
    /// Chapter X.
    pub sysex: Option<SysExLogs<'a>>,
    surplus: &'a [u8],
}

impl<'a> SystemJournal<'a> {
    /// The most octets that it can have.
    pub const MAX_LEN: usize = 1023;
    /// Octets of its header.
    pub const HEADER_LEN: usize = 2;

    /// One without chapters and with S=1, to be filled.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            s: true,
            simple: None,
            active_sense: None,
            sequencer: None,
            timecode: None,
            sysex: None,
            surplus: &[],
        }
    }

    /// The letters of its table of contents, in the order of the chapters.
    pub fn toc(&self) -> impl Iterator<Item = Chapter> + use<> {
        let toc = self.toc_bits();
        CHAPTERS
            .into_iter()
            .filter_map(move |(flag, chapter)| (toc & flag != 0).then_some(chapter))
    }

    /// Whether it has no chapter, which is legal and useless.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.toc_bits() == 0
    }

    /// The octets after the last chapter that LENGTH still counts: nobody knows what they are, and
    /// there should be none. They are not written again.
    #[must_use]
    pub const fn surplus(&self) -> &'a [u8] {
        self.surplus
    }

    /// S as it is written: 0 if it is 0 here or in a chapter.
    #[must_use]
    pub fn effective_s(&self) -> bool {
        self.s
            && self.simple.is_none_or(|it| it.effective_s())
            && self.active_sense.is_none_or(|it| it.s)
            && self.sequencer.is_none_or(|it| it.s)
            && self.timecode.is_none_or(|it| it.s)
            && self.sysex.is_none_or(|it| it.s())
    }

    /// How many octets [`encode`](Self::encode) writes. More than [`MAX_LEN`](Self::MAX_LEN) can
    /// not be written.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let mut out = Cursor::new(&mut []);
        self.write(&mut out);
        out.len()
    }

    /// Writes the system journal to the beginning of `out` and returns how many octets it took.
    ///
    /// # Errors
    /// When `out` is shorter than [`encoded_len`](Self::encoded_len), or that is more than
    /// [`MAX_LEN`](Self::MAX_LEN); what is in `out` then means nothing.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut out = Cursor::new(out);
        self.write(&mut out);
        finish(out, Self::MAX_LEN)
    }

    /// The system journal as octets.
    ///
    /// # Errors
    /// When it would be longer than [`MAX_LEN`](Self::MAX_LEN).
    #[cfg(feature = "alloc")]
    pub fn to_vec(&self) -> Result<alloc::vec::Vec<u8>, EncodeError> {
        let mut out = alloc::vec![0; self.encoded_len()];
        self.encode(&mut out)?;
        Ok(out)
    }

    /// Splits the octets of a system journal off, by their LENGTH, and looks at nothing but whether
    /// there are so many.
    pub(crate) fn extent(input: &'a [u8]) -> Parsed<'a, &'a [u8]> {
        let &[head, low, ..] = input else {
            return Err(Fault::new(
                input,
                JournalError::TruncatedSystemJournal { offset: 0 },
            ));
        };
        let length = u16::from_be_bytes([head & LENGTH, low]);
        if usize::from(length) < Self::HEADER_LEN {
            return Err(Fault::new(
                input,
                JournalError::SystemLengthTooSmall { offset: 0, length },
            ));
        }
        match input.split_at_checked(length.into()) {
            Some((body, rest)) => Ok((rest, body)),
            None => Err(Fault::new(
                input,
                JournalError::SystemLengthOverrun {
                    offset: 0,
                    length,
                    available: input.len(),
                },
            )),
        }
    }

    /// Reads one that has `body` to itself: as many octets as its LENGTH says.
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, nom::Err<Fault>> {
        let (rest, (head, _)) = (be_u8, be_u8).parse(body)?;
        let has = |flag| head & flag != 0;
        let (rest, simple) = chapter(has(D), Chapter::D, Simple::read, rest)?;
        let (rest, active_sense) = chapter(has(V), Chapter::V, ActiveSense::read, rest)?;
        let (rest, sequencer) = chapter(has(Q), Chapter::Q, Sequencer::read, rest)?;
        let (rest, timecode) = chapter(has(F), Chapter::F, Timecode::read, rest)?;
        let (surplus, sysex) = chapter(has(X), Chapter::X, SysExLogs::read, rest)?;
        Ok(Self {
            s: head & S != 0,
            simple,
            active_sense,
            sequencer,
            timecode,
            sysex,
            surplus,
        })
    }

    fn write(&self, out: &mut Cursor<'_>) {
        let start = out.len();
        out.put(0);
        out.put(0);
        if let Some(it) = &self.simple {
            it.write(out);
        }
        if let Some(it) = &self.active_sense {
            it.write(out);
        }
        if let Some(it) = &self.sequencer {
            it.write(out);
        }
        if let Some(it) = &self.timecode {
            it.write(out);
        }
        if let Some(it) = &self.sysex {
            it.write(out);
        }
        // What is longer than LENGTH can say is refused by `finish`.
        let [high, low] = ((out.len() - start) as u16).to_be_bytes();
        let head = top(self.effective_s()) | self.toc_bits() | high & LENGTH;
        out.patch(start, head);
        out.patch(start + 1, low);
    }

    const fn toc_bits(&self) -> u8 {
        bit(self.simple.is_some(), D)
            | bit(self.active_sense.is_some(), V)
            | bit(self.sequencer.is_some(), Q)
            | bit(self.timecode.is_some(), F)
            | bit(self.sysex.is_some(), X)
    }
}

impl Default for SystemJournal<'_> {
    fn default() -> Self {
        Self::new()
    }
}

const S: u8 = 0x80;
const D: u8 = 0x40;
const V: u8 = 0x20;
const Q: u8 = 0x10;
const F: u8 = 0x08;
const X: u8 = 0x04;
/// The upper part of LENGTH.
const LENGTH: u8 = 0x03;

const CHAPTERS: [(u8, Chapter); 5] = [
    (D, Chapter::D),
    (V, Chapter::V),
    (Q, Chapter::Q),
    (F, Chapter::F),
    (X, Chapter::X),
];

#[cfg(feature = "alloc")]
pub(crate) mod sent {
    use netmidi_message::{Message, RealTime, SystemCommon, U7};

    use super::{SysExLog, SysExLogs, SysExStatus, SystemJournal};
    use super::{active_sense, sequencer, simple, sysex, timecode};
    use crate::error::EncodeError;
    use crate::recent::{Packet, View};
    use crate::system::sysex::sent::Effect;
    use crate::writer::JournalWriter;

    /// How many data octets of system exclusive messages can be kept.
    pub(crate) const SYSEX_ROOM: usize = sysex::sent::History::MAX_DATA;

    /// What was sent that belongs to no channel.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct History {
        simple: simple::sent::History,
        active_sense: active_sense::sent::History,
        sequencer: sequencer::sent::History,
        timecode: timecode::sent::History,
        sysex: sysex::sent::History,
    }

    /// Which parts of a system journal are told.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Picks {
        pub(crate) simple: bool,
        pub(crate) active_sense: bool,
        pub(crate) sequencer: bool,
        pub(crate) timecode: bool,
        /// So many logs from the first on: receivers take what is behind an unknown one as lost.
        pub(crate) sysex: usize,
    }

    /// A part of a system journal that can be left out of it.
    #[derive(Clone, Copy, Debug)]
    pub(crate) enum Piece {
        Simple,
        ActiveSense,
        Sequencer,
        Timecode,
        /// The log with this index.
        SysEx(u8),
    }

    impl Picks {
        pub(crate) const ALL: Self = Self {
            simple: true,
            active_sense: true,
            sequencer: true,
            timecode: true,
            sysex: usize::MAX,
        };

        pub(crate) const NONE: Self = Self {
            simple: false,
            active_sense: false,
            sequencer: false,
            timecode: false,
            sysex: 0,
        };

        pub(crate) const fn add(&mut self, piece: Piece) {
            match piece {
                Piece::Simple => self.simple = true,
                Piece::ActiveSense => self.active_sense = true,
                Piece::Sequencer => self.sequencer = true,
                Piece::Timecode => self.timecode = true,
                Piece::SysEx(index) => self.sysex = index as usize + 1,
            }
        }
    }

    impl Piece {
        /// Two numbers below 16 and 256 that stand for it, and put pieces into their order.
        pub(crate) const fn to_numbers(self) -> (u8, u8) {
            match self {
                Self::Simple => (0, 0),
                Self::ActiveSense => (1, 0),
                Self::Sequencer => (2, 0),
                Self::Timecode => (3, 0),
                Self::SysEx(index) => (4, index),
            }
        }

        pub(crate) const fn from_numbers((kind, index): (u8, u8)) -> Option<Self> {
            Some(match kind {
                0 => Self::Simple,
                1 => Self::ActiveSense,
                2 => Self::Sequencer,
                3 => Self::Timecode,
                4 => Self::SysEx(index),
                _ => return None,
            })
        }
    }

    impl History {
        /// Keeps so many data octets of system exclusive messages.
        pub(crate) fn new(sysex_octets: usize) -> Self {
            Self {
                sysex: sysex::sent::History::new(sysex_octets),
                ..Self::default()
            }
        }

        /// Records a message of this kind, but not a system exclusive one.
        pub(crate) fn record(&mut self, message: Message<'_>, packet: Packet) {
            match message {
                Message::Common(SystemCommon::QuarterFrame {
                    frame_type,
                    frame_value,
                }) => self.timecode.quarter_frame(frame_type, frame_value, packet),
                Message::Common(SystemCommon::SongPosition { pos }) => {
                    self.sequencer.seek(pos, packet);
                }
                Message::Common(SystemCommon::SongSelect { song }) => {
                    self.simple.song_select(song, packet);
                }
                Message::Common(SystemCommon::TuneRequest) => self.simple.tune_request(packet),
                Message::RealTime(RealTime::ActiveSensing) => self.active_sense.record(packet),
                Message::RealTime(
                    message @ (RealTime::UndefinedF9 | RealTime::UndefinedFd | RealTime::Reset),
                ) => self.simple.real_time(message, packet),
                Message::RealTime(message) => self.sequencer.record(message, packet),
                Message::Undefined(message) => self.simple.undefined(message, packet),
                Message::Channel(_) | Message::SysEx(_) => {}
            }
        }

        /// Records a part of a system exclusive message. Returns whether it resets the receiver:
        /// then [`reset`](Self::reset) has been done here already.
        pub(crate) fn record_sysex(
            &mut self,
            message: &[u8],
            start: usize,
            octets: &[u8],
            finished: bool,
            packet: Packet,
        ) -> bool {
            match self.sysex.record(message, start, octets, finished, packet) {
                Effect::None => false,
                Effect::FullFrame(octets) => {
                    self.timecode
                        .full_frame(octets.map(U7::from_low_bits), packet);
                    false
                }
                Effect::Reset => {
                    self.reset_all_but_sysex();
                    true
                }
            }
        }

        pub(crate) fn cancel_sysex(&mut self, packet: Packet) {
            self.sysex.cancel(packet);
        }

        /// A command that sets everything to its start goes out.
        pub(crate) fn reset(&mut self) {
            self.reset_all_but_sysex();
            self.sysex.reset();
        }

        fn reset_all_but_sysex(&mut self) {
            self.simple.clear();
            self.active_sense.mark.clear();
            self.sequencer.reset();
            self.timecode.reset();
        }

        /// How many more data octets of system exclusive messages can be kept.
        pub(crate) fn shorten_sysex(&mut self, octets: usize) {
            self.sysex.shorten_to(octets);
        }

        pub(crate) fn sysex_room(&self) -> usize {
            self.sysex.room()
        }

        pub(crate) const fn sysex_dropped(&self) -> u64 {
            self.sysex.dropped()
        }

        /// Whether anything is unacknowledged.
        pub(crate) fn is_pending(&self) -> bool {
            self.oldest().is_some()
        }

        /// Whether anything but active sense is.
        pub(crate) fn is_needed(&self) -> bool {
            self.simple.is_pending()
                || self.sequencer.mark.is_pending()
                || self.timecode.mark.is_pending()
                || self.sysex.len() > 0
        }

        /// The first packet that something unacknowledged is from.
        pub(crate) fn oldest(&self) -> Option<Packet> {
            [
                self.simple.oldest(),
                self.active_sense.mark.packet(),
                self.sequencer.mark.packet(),
                self.timecode.oldest(),
                self.sysex.oldest(),
            ]
            .into_iter()
            .flatten()
            .min()
        }

        /// All packets have numbers that are lower by so much from now on.
        pub(crate) fn rebase(&mut self, by: Packet) {
            self.simple.rebase(by);
            self.active_sense.mark.rebase(by);
            self.sequencer.mark.rebase(by);
            self.timecode.rebase(by);
            self.sysex.rebase(by);
        }

        /// Gives back what memory it does not need now.
        pub(crate) fn shrink(&mut self) {
            self.simple.shrink();
            self.sysex.shrink();
        }

        pub(crate) fn acknowledge(&mut self, report: Packet) {
            self.simple.acknowledge(report);
            self.active_sense.mark.acknowledge(report);
            self.sequencer.mark.acknowledge(report);
            self.timecode.acknowledge(report);
            self.sysex.acknowledge(report);
        }

        /// The journals before the packet `since` tell only `picks`. Returns whether anything was
        /// left out.
        pub(crate) fn omit_except(&mut self, picks: &Picks, since: Packet) -> bool {
            let mut any = self.sysex.omit_from(picks.sysex, since);
            any |= !picks.simple && self.simple.omit(since);
            any |= !picks.active_sense && self.active_sense.mark.omit(since);
            any |= !picks.sequencer && self.sequencer.mark.omit(since);
            any |= !picks.timecode && self.timecode.omit(since);
            any
        }

        /// Writes the system journal, if there is anything to tell.
        pub(crate) fn write(
            &self,
            view: &View,
            picks: &Picks,
            writer: &mut JournalWriter<'_>,
        ) -> Result<(), EncodeError> {
            let mut journal = SystemJournal::new();
            if picks.simple {
                journal.simple = self.simple.chapter(view);
            }
            if picks.active_sense {
                journal.active_sense = self.active_sense.chapter(view);
            }
            if picks.sequencer {
                journal.sequencer = self.sequencer.chapter(view);
            }
            if picks.timecode {
                journal.timecode = self.timecode.chapter(view);
            }
            if picks.sysex > 0 && self.sysex.len() > 0 {
                let blank = SysExLog::new(true, SysExStatus::Finished);
                let mut logs = [blank; sysex::sent::History::MAX_LOGS];
                let mut len = 0;
                let told = self.sysex.logs(view).take(picks.sysex);
                for (slot, (log, ..)) in logs.iter_mut().zip(told) {
                    *slot = log;
                    len += 1;
                }
                let logs = logs.get(..len).unwrap_or_default();
                // The S bit of the first log speaks for all; the others have their own.
                journal.sysex = SysExLogs::new(logs);
                return writer.system(&journal);
            }
            if journal.is_empty() {
                return Ok(());
            }
            writer.system(&journal)
        }

        /// All that can be left out: with the packet that changed it last, its octets, and whether
        /// it sets everything to its start.
        pub(crate) fn pieces(&self, view: &View, mut tell: impl FnMut(Piece, Packet, usize, bool)) {
            if let Some(simple) = self.simple.chapter(view) {
                let resets = self.simple.holds_reset();
                tell(Piece::Simple, 0, simple.encoded_len(), resets);
            }
            if let Some(packet) = self.active_sense.mark.packet() {
                tell(Piece::ActiveSense, packet, 1, false);
            }
            if let (Some(sequencer), Some(packet)) =
                (self.sequencer.chapter(view), self.sequencer.mark.packet())
            {
                tell(Piece::Sequencer, packet, sequencer.encoded_len(), false);
            }
            if let (Some(timecode), Some(packet)) =
                (self.timecode.chapter(view), self.timecode.mark.packet())
            {
                tell(Piece::Timecode, packet, timecode.encoded_len(), false);
            }
            for (index, (_, packet, len)) in (0..).zip(self.sysex.logs(view)) {
                let resets = index == 0 && self.sysex.begins_with_reset();
                tell(Piece::SysEx(index), packet, len, resets);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use netmidi_message::U7;

    use super::*;

    #[test]
    fn the_header_gathers_s_and_length() {
        let mut journal = SystemJournal::new();
        journal.active_sense = Some(ActiveSense {
            s: false,
            count: U7::MAX,
        });
        let mut out = [0; 8];
        assert_eq!(journal.encode(&mut out), Ok(3));
        assert_eq!(out[..3], [0x20, 3, 0x7F]);
        assert!(journal.toc().eq([Chapter::V]));
    }

    #[test]
    fn more_than_the_length_field_can_say_is_refused() {
        let data = [1; 1100];
        let mut log = SysExLog::new(true, SysExStatus::Finished);
        let mut encode = |len| {
            log.data = LogData::new(&data[..len]);
            let logs = [log];
            let mut journal = SystemJournal::new();
            journal.sysex = SysExLogs::new(&logs);
            journal.encode(&mut [0; 2000])
        };
        assert_eq!(encode(1020), Ok(1023));
        let (needed, max) = (1024, 1023);
        assert_eq!(encode(1021), Err(EncodeError::TooLong { needed, max }));
    }
}
