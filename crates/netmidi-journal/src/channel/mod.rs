//! Channel journals and their eight chapters.

mod control;
mod extras;
mod note;
mod parameter;
mod poly_pressure;
mod pressure;
mod program;
mod wheel;

pub use control::{ControlLog, ControlTool, Controls};
pub use extras::{Extra, ExtraLog, Extras};
pub use note::{NoteLog, Notes, OffBits};
pub use parameter::{
    ButtonCount, Entry, ParameterFlags, ParameterLog, ParameterLogIter, ParameterLogs, Parameters,
    Pending,
};
pub use poly_pressure::{PolyPressure, PolyPressureLog};
pub use pressure::Pressure;
pub use program::{Bank, Program};
pub use wheel::Wheel;

#[cfg(feature = "alloc")]
pub(crate) use {
    control::receiver::{ControlModel, Phase, is_data},
    extras::receiver::ExtraTable,
    note::receiver::NoteModel,
    parameter::receiver::ParameterModel,
    poly_pressure::receiver::PolyPressureModel,
    program::receiver::ProgramModel,
    wheel::receiver::WheelModel,
};

use netmidi_message::Channel;
use nom::Parser;
use nom::bytes::complete::take;
use nom::number::complete::be_u8;

use crate::encode::{Cursor, bit, top};
use crate::error::{Chapter, EncodeError, JournalError};
use crate::logs::{Log, Logs};
use crate::parse::{Fault, Parsed, chapter, inside};

/// What a journal says about one channel (RFC 6295 §5.2).
///
/// ```text
///  0                   1                   2
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |S| CHAN  |H|      LENGTH       |P|C|M|W|N|E|T|A|  chapters …
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ChannelJournal<'a> {
    /// 0 if something in it codes a command of the packet just before. Written as 0 also if that
    /// is so in one of the chapters.
    pub s: bool,
    /// Which channel it is about.
    pub channel: Channel,
    /// Whether chapter C of this channel lists several commands of one controller (H, RFC 6295
    /// §A.3.3).
    pub enhanced: bool,
    /// Chapter P.
    pub program: Option<Program>,
    /// Chapter C.
    pub controls: Option<Controls<'a>>,
    /// Chapter M.
    pub parameters: Option<Parameters<'a>>,
    /// Chapter W.
    pub wheel: Option<Wheel>,
    /// Chapter N.
    pub notes: Option<Notes<'a>>,
    /// Chapter E.
    pub extras: Option<Extras<'a>>,
    /// Chapter T.
    pub pressure: Option<Pressure>,
    /// Chapter A.
    pub poly_pressure: Option<PolyPressure<'a>>,
    surplus: &'a [u8],
}

impl<'a> ChannelJournal<'a> {
    /// The most octets that it can have.
    pub const MAX_LEN: usize = 1023;
    /// Octets of its header.
    pub const HEADER_LEN: usize = 3;

    /// One without chapters and with S=1, to be filled.
    #[must_use]
    pub const fn new(channel: Channel) -> Self {
        Self {
            s: true,
            channel,
            enhanced: false,
            program: None,
            controls: None,
            parameters: None,
            wheel: None,
            notes: None,
            extras: None,
            pressure: None,
            poly_pressure: None,
            surplus: &[],
        }
    }

    /// The letters of its table of contents, in the order of the chapters.
    pub fn toc(&self) -> impl Iterator<Item = Chapter> + use<> {
        let toc = self.toc_octet();
        CHAPTERS
            .into_iter()
            .filter_map(move |(flag, chapter)| (toc & flag != 0).then_some(chapter))
    }

    /// Whether it has no chapter, which is legal and useless.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.toc_octet() == 0
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
            && self.program.is_none_or(|it| it.s)
            && self.controls.is_none_or(|it| it.effective_s())
            && self.parameters.is_none_or(|it| it.effective_s())
            && self.wheel.is_none_or(|it| it.s)
            && self.notes.is_none_or(|it| it.s())
            && self.extras.is_none_or(|it| it.effective_s())
            && self.pressure.is_none_or(|it| it.s)
            && self.poly_pressure.is_none_or(|it| it.effective_s())
    }

    /// How many octets [`encode`](Self::encode) writes. More than [`MAX_LEN`](Self::MAX_LEN) can
    /// not be written.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let mut out = Cursor::new(&mut []);
        self.write(&mut out);
        out.len()
    }

    /// Writes the channel journal to the beginning of `out` and returns how many octets it took.
    ///
    /// # Errors
    /// When `out` is shorter than [`encoded_len`](Self::encoded_len), or that is more than
    /// [`MAX_LEN`](Self::MAX_LEN); what is in `out` then means nothing.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut out = Cursor::new(out);
        self.write(&mut out);
        finish(out, Self::MAX_LEN)
    }

    /// The channel journal as octets.
    ///
    /// # Errors
    /// When it would be longer than [`MAX_LEN`](Self::MAX_LEN).
    #[cfg(feature = "alloc")]
    pub fn to_vec(&self) -> Result<alloc::vec::Vec<u8>, EncodeError> {
        let mut out = alloc::vec![0; self.encoded_len()];
        self.encode(&mut out)?;
        Ok(out)
    }

    /// Splits the octets of a channel journal off, by their LENGTH, and looks at nothing but
    /// whether there are so many and the channel is above `previous`.
    pub(crate) fn extent(
        input: &'a [u8],
        previous: Option<Channel>,
    ) -> Parsed<'a, (Channel, &'a [u8])> {
        let &[head, low, _, ..] = input else {
            return Err(Fault::new(
                input,
                JournalError::TruncatedChannelJournal { offset: 0 },
            ));
        };
        let length = u16::from_be_bytes([head & LENGTH, low]);
        if usize::from(length) < Self::HEADER_LEN {
            return Err(Fault::new(
                input,
                JournalError::ChannelLengthTooSmall { offset: 0, length },
            ));
        }
        let Some((body, rest)) = input.split_at_checked(length.into()) else {
            return Err(Fault::new(
                input,
                JournalError::ChannelLengthOverrun {
                    offset: 0,
                    length,
                    available: input.len(),
                },
            ));
        };
        let channel = Channel::from_status(head >> CHAN_SHIFT);
        match previous {
            Some(previous) if previous.index() >= channel.index() => Err(Fault::new(
                input,
                JournalError::ChannelOrder {
                    offset: 0,
                    channel,
                    previous,
                },
            )),
            _ => Ok((rest, (channel, body))),
        }
    }

    /// Reads one that has `body` to itself: as many octets as its LENGTH says.
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, nom::Err<Fault>> {
        let (rest, (head, _, toc)) = (be_u8, be_u8, be_u8).parse(body)?;
        let has = |flag| toc & flag != 0;
        let (rest, program) = chapter(has(P), Chapter::P, Program::read, rest)?;
        let (rest, controls) = chapter(has(C), Chapter::C, Controls::read, rest)?;
        let (rest, parameters) = chapter(has(M), Chapter::M, Parameters::read, rest)?;
        let (rest, wheel) = chapter(has(W), Chapter::W, Wheel::read, rest)?;
        let (rest, notes) = chapter(has(N), Chapter::N, Notes::read, rest)?;
        let (rest, extras) = chapter(has(E), Chapter::E, Extras::read, rest)?;
        let (rest, pressure) = chapter(has(T), Chapter::T, Pressure::read, rest)?;
        let (surplus, poly_pressure) = chapter(has(A), Chapter::A, PolyPressure::read, rest)?;
        Ok(Self {
            s: head & S != 0,
            channel: Channel::from_status(head >> CHAN_SHIFT),
            enhanced: head & H != 0,
            program,
            controls,
            parameters,
            wheel,
            notes,
            extras,
            pressure,
            poly_pressure,
            surplus,
        })
    }

    fn write(&self, out: &mut Cursor<'_>) {
        let start = out.len();
        out.put(0);
        out.put(0);
        out.put(self.toc_octet());
        if let Some(it) = &self.program {
            it.write(out);
        }
        if let Some(it) = &self.controls {
            it.write(out);
        }
        if let Some(it) = &self.parameters {
            it.write(out);
        }
        if let Some(it) = &self.wheel {
            it.write(out);
        }
        if let Some(it) = &self.notes {
            it.write(out);
        }
        if let Some(it) = &self.extras {
            it.write(out);
        }
        if let Some(it) = &self.pressure {
            it.write(out);
        }
        if let Some(it) = &self.poly_pressure {
            it.write(out);
        }
        // What is longer than LENGTH can say is refused by `finish`.
        let [high, low] = ((out.len() - start) as u16).to_be_bytes();
        let channel = self.channel.index() << CHAN_SHIFT;
        out.patch(
            start,
            top(self.effective_s()) | channel | bit(self.enhanced, H) | high & LENGTH,
        );
        out.patch(start + 1, low);
    }

    const fn toc_octet(&self) -> u8 {
        bit(self.program.is_some(), P)
            | bit(self.controls.is_some(), C)
            | bit(self.parameters.is_some(), M)
            | bit(self.wheel.is_some(), W)
            | bit(self.notes.is_some(), N)
            | bit(self.extras.is_some(), E)
            | bit(self.pressure.is_some(), T)
            | bit(self.poly_pressure.is_some(), A)
    }
}

/// Ends a channel or system journal that may have `max` octets.
pub(crate) fn finish(out: Cursor<'_>, max: usize) -> Result<usize, EncodeError> {
    let needed = out.len();
    if needed > max {
        return Err(EncodeError::TooLong { needed, max });
    }
    Ok(out.finish()?)
}

/// Reads the octets of something with a LENGTH of its own, `length`, by themselves.
pub(crate) fn sized<'a, T>(
    length: u16,
    input: &'a [u8],
    read: impl FnOnce(&'a [u8]) -> Result<T, nom::Err<Fault>>,
) -> Parsed<'a, T> {
    let (rest, inner) = take(length).parse(input)?;
    Ok((rest, inside(inner, rest, read)?))
}

/// Reads a header of S and LEN, the number of logs minus one, and the logs.
fn read_list<L: Log>(input: &[u8]) -> Parsed<'_, (bool, Logs<'_, L>)> {
    let (rest, head) = be_u8(input)?;
    let (rest, logs) = Logs::read(usize::from(head & 0x7F) + 1, rest)?;
    Ok((rest, (head & S != 0, logs)))
}

/// Writes such a header and the logs.
fn write_list<L: Log>(s: bool, logs: &Logs<'_, L>, out: &mut Cursor<'_>) {
    // There is at least one log, and there are at most 128.
    out.put(top(s) | logs.len().wrapping_sub(1) as u8 & 0x7F);
    logs.write(out);
}

const S: u8 = 0x80;
/// Enhanced chapter C.
const H: u8 = 0x04;
/// The upper part of LENGTH.
const LENGTH: u8 = 0x03;
const CHAN_SHIFT: u8 = 3;

const P: u8 = 0x80;
const C: u8 = 0x40;
const M: u8 = 0x20;
const W: u8 = 0x10;
const N: u8 = 0x08;
const E: u8 = 0x04;
const T: u8 = 0x02;
const A: u8 = 0x01;

const CHAPTERS: [(u8, Chapter); 8] = [
    (P, Chapter::P),
    (C, Chapter::C),
    (M, Chapter::M),
    (W, Chapter::W),
    (N, Chapter::N),
    (E, Chapter::E),
    (T, Chapter::T),
    (A, Chapter::A),
];

#[cfg(feature = "alloc")]
pub(crate) mod sent {
    use alloc::boxed::Box;
    use alloc::vec::Vec;

    use netmidi_message::{Channel, ChannelMessage, Controller, U7};
    use netmidi_wire::RtpTimestamp;

    use super::{ChannelJournal, ControlLog, ExtraLog, NoteLog, ParameterLog, PolyPressureLog};
    use super::{control, extras, note, parameter, poly_pressure, pressure, program, wheel};
    use crate::channel::parameter::sent::TooLong;
    use crate::recent::{Item, Packet, Recent, View, item_bit};

    /// Controllers that are told together, before all others.
    const SAFETY: u128 = control::sent::History::SAFETY;

    /// What was sent on one channel.
    #[derive(Clone, Debug)]
    pub(crate) struct History {
        program: program::sent::History,
        controls: control::sent::History,
        /// Many a channel never needs them.
        parameters: Option<Box<parameter::sent::History>>,
        wheel: wheel::sent::History,
        notes: note::sent::History,
        extras: extras::sent::History,
        pressure: pressure::sent::History,
        poly_pressure: Option<Box<poly_pressure::sent::History>>,
        enhanced: bool,
    }

    /// Which parts of a channel journal are told. A set bit without anything to tell means nothing.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Picks {
        pub(crate) program: bool,
        pub(crate) controls: u128,
        pub(crate) parameters: u128,
        /// The selected parameter, where no log tells it.
        pub(crate) selection: bool,
        pub(crate) wheel: bool,
        pub(crate) notes: u128,
        pub(crate) counts: u128,
        pub(crate) releases: u128,
        pub(crate) pressure: bool,
        pub(crate) poly_pressure: u128,
    }

    /// A part of a channel journal that can be left out of it.
    #[derive(Clone, Copy, Debug)]
    pub(crate) enum Piece {
        Program,
        /// The controllers without which notes hang.
        Safety,
        /// A controller, with the one that must not come without it, which is below.
        Controls(u8),
        Parameter(u8),
        Selection,
        Wheel,
        OffBits,
        Note(u8),
        Count(u8),
        Release(u8),
        Pressure,
        PolyPressure(u8),
    }

    /// Which pieces are looked for. Those that take no time are told in any case.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Parts {
        pub(crate) controls: bool,
        /// With the selected one.
        pub(crate) parameters: bool,
        /// With their counts.
        pub(crate) notes: bool,
        /// Release velocities, and the pressure of keys.
        pub(crate) releases: bool,
    }

    /// Room for the logs of one channel journal.
    #[derive(Debug, Default)]
    pub(crate) struct Buffers {
        controls: Vec<ControlLog>,
        parameters: Vec<ParameterLog>,
        notes: Vec<NoteLog>,
        extras: Vec<ExtraLog>,
        poly_pressure: Vec<PolyPressureLog>,
    }

    impl Picks {
        pub(crate) const ALL: Self = Self {
            program: true,
            controls: u128::MAX,
            parameters: u128::MAX,
            selection: true,
            wheel: true,
            notes: u128::MAX,
            counts: u128::MAX,
            releases: u128::MAX,
            pressure: true,
            poly_pressure: u128::MAX,
        };

        pub(crate) const NONE: Self = Self {
            program: false,
            controls: 0,
            parameters: 0,
            selection: false,
            wheel: false,
            notes: 0,
            counts: 0,
            releases: 0,
            pressure: false,
            poly_pressure: 0,
        };
    }

    impl Piece {
        /// Two numbers below 16 and 256 that stand for it, and put pieces into their order.
        pub(crate) const fn to_numbers(self) -> (u8, u8) {
            match self {
                Self::Program => (0, 0),
                Self::Safety => (1, 0),
                Self::Controls(item) => (2, item),
                Self::Parameter(item) => (3, item),
                Self::Selection => (4, 0),
                Self::Wheel => (5, 0),
                Self::OffBits => (6, 0),
                Self::Note(item) => (7, item),
                Self::Count(item) => (8, item),
                Self::Release(item) => (9, item),
                Self::Pressure => (10, 0),
                Self::PolyPressure(item) => (11, item),
            }
        }

        pub(crate) const fn from_numbers((kind, item): (u8, u8)) -> Option<Self> {
            Some(match kind {
                0 => Self::Program,
                1 => Self::Safety,
                2 => Self::Controls(item),
                3 => Self::Parameter(item),
                4 => Self::Selection,
                5 => Self::Wheel,
                6 => Self::OffBits,
                7 => Self::Note(item),
                8 => Self::Count(item),
                9 => Self::Release(item),
                10 => Self::Pressure,
                11 => Self::PolyPressure(item),
                _ => return None,
            })
        }
    }

    impl History {
        pub(crate) fn new(enhanced: bool) -> Self {
            Self {
                program: program::sent::History::default(),
                controls: control::sent::History::new(enhanced),
                parameters: None,
                wheel: wheel::sent::History::default(),
                notes: note::sent::History::new(),
                extras: extras::sent::History::new(),
                pressure: pressure::sent::History::default(),
                poly_pressure: None,
                enhanced,
            }
        }

        /// A command that sets everything to its start went out.
        pub(crate) fn reset(&mut self) {
            // What was allocated will be needed again.
            self.program = program::sent::History::default();
            self.controls.clear();
            if let Some(parameters) = &mut self.parameters {
                parameters.reset();
            }
            self.wheel.mark.clear();
            self.notes.reset();
            self.extras.clear();
            self.pressure.mark.clear();
            if let Some(poly_pressure) = &mut self.poly_pressure {
                poly_pressure.recent.clear();
            }
        }

        /// Gives back what memory it does not need now. Returns whether it is as it was when it was
        /// new.
        pub(crate) fn shrink(&mut self) -> bool {
            self.controls.shrink();
            self.notes.recent.shrink();
            self.extras.shrink();
            if let Some(parameters) = &mut self.parameters {
                parameters.shrink();
            }
            let blank = |it: &mut Box<parameter::sent::History>| it.is_blank();
            self.parameters.take_if(blank);
            if let Some(poly_pressure) = &mut self.poly_pressure {
                poly_pressure.recent.shrink();
            }
            self.poly_pressure.take_if(|it| it.recent.is_empty());
            !self.is_pending()
                && self.program.is_blank()
                && self.controls.is_blank()
                && self.parameters.is_none()
                && self.extras.is_blank()
        }

        /// All packets have numbers that are lower by so much from now on.
        pub(crate) fn rebase(&mut self, by: Packet) {
            self.program.mark.rebase(by);
            self.controls.rebase(by);
            if let Some(parameters) = &mut self.parameters {
                parameters.rebase(by);
            }
            self.wheel.mark.rebase(by);
            self.notes.rebase(by);
            self.pressure.mark.rebase(by);
            if let Some(poly_pressure) = &mut self.poly_pressure {
                poly_pressure.recent.rebase(by);
            }
        }

        pub(crate) fn record(&mut self, at: RtpTimestamp, message: ChannelMessage, packet: Packet) {
            match message {
                ChannelMessage::NoteOn { note, velocity, .. } if !message.is_note_off() => {
                    self.notes.on(at, note, velocity, packet);
                    self.extras.on(note);
                }
                ChannelMessage::NoteOn { note, .. } => {
                    let release = extras::sent::History::DEFAULT_RELEASE;
                    self.notes.off(at, note, release, packet);
                    self.extras.off(note);
                }
                ChannelMessage::NoteOff { note, velocity, .. } => {
                    self.notes.off(at, note, velocity, packet);
                    self.extras.off(note);
                }
                ChannelMessage::PolyPressure { note, value, .. } => self
                    .poly_pressure
                    .get_or_insert_with(|| Box::new(poly_pressure::sent::History::new()))
                    .record(note, value, packet),
                ChannelMessage::ControlChange { control, value, .. } => {
                    self.control(control, value, packet);
                }
                ChannelMessage::ProgramChange { program, .. } => {
                    self.program.record(program, packet);
                }
                ChannelMessage::ChannelPressure { value, .. } => {
                    self.pressure.record(value, packet);
                }
                ChannelMessage::PitchBend { bend, .. } => self.wheel.record(bend, packet),
            }
        }

        fn control(&mut self, control: Controller, value: U7, packet: Packet) {
            match control.get() {
                98..=101 => {
                    return self
                        .parameters
                        .get_or_insert_with(|| Box::new(parameter::sent::History::new()))
                        .select(control, value, packet);
                }
                6 | 38 | 96 | 97 => {
                    if let Some(parameters) = &mut self.parameters
                        && parameters.takes_data()
                    {
                        return parameters.data(control, value, packet);
                    }
                }
                0 => self.program.bank_msb(value),
                32 => self.program.bank_lsb(value),
                120 | 123..=127 => self.end_notes(),
                121 => self.reset_controllers(),
                _ => {}
            }
            self.controls.record(control, value, packet);
        }

        fn end_notes(&mut self) {
            self.notes.clear();
            self.extras.clear();
            self.pressure.mark.clear();
            if let Some(poly_pressure) = &mut self.poly_pressure {
                poly_pressure.end_notes();
            }
        }

        fn reset_controllers(&mut self) {
            self.program.reset_controllers();
            self.controls.reset();
            self.wheel.mark.clear();
            self.pressure.mark.clear();
            if let Some(parameters) = &mut self.parameters {
                parameters.reset_controllers();
            }
            if let Some(poly_pressure) = &mut self.poly_pressure {
                poly_pressure.recent.clear();
            }
        }

        /// Whether anything is unacknowledged.
        pub(crate) fn is_pending(&self) -> bool {
            self.program.mark.is_pending()
                || self.controls.is_pending()
                || self.parameters.as_ref().is_some_and(|it| it.is_pending())
                || self.wheel.mark.is_pending()
                || !self.notes.recent.is_empty()
                || self.pressure.mark.is_pending()
                || self.poly_pressure_recent().is_some_and(|it| !it.is_empty())
        }

        /// The first packet that something unacknowledged is from.
        pub(crate) fn oldest(&self) -> Option<Packet> {
            let parameters = self.parameters.as_ref();
            [
                self.program.mark.packet(),
                self.controls.oldest(),
                parameters.and_then(|it| it.recent.oldest()),
                parameters.and_then(|it| it.selection_mark.packet()),
                self.wheel.mark.packet(),
                self.notes.recent.oldest(),
                self.pressure.mark.packet(),
                self.poly_pressure_recent().and_then(Recent::oldest),
            ]
            .into_iter()
            .flatten()
            .min()
        }

        pub(crate) fn acknowledge(&mut self, report: Packet) {
            self.program.mark.acknowledge(report);
            self.controls.acknowledge(report);
            if let Some(parameters) = &mut self.parameters {
                parameters.recent.acknowledge(report);
                parameters.selection_mark.acknowledge(report);
            }
            self.wheel.mark.acknowledge(report);
            self.notes.acknowledge(report);
            self.pressure.mark.acknowledge(report);
            if let Some(poly_pressure) = &mut self.poly_pressure {
                poly_pressure.recent.acknowledge(report);
            }
        }

        /// Drops notes from before this packet: receivers would play them again.
        pub(crate) fn drop_notes_before(&mut self, packet: Packet) {
            self.notes.drop_before(packet);
        }

        /// The journals before the packet `since` tell only `picks`. Returns whether anything was
        /// left out.
        pub(crate) fn omit_except(&mut self, picks: &Picks, since: Packet) -> bool {
            let mut any = self.controls.omit_except(picks.controls, since);
            if let Some(parameters) = &mut self.parameters {
                any |= parameters.recent.omit_except(picks.parameters, since);
                any |= !picks.selection && parameters.selection_mark.omit(since);
            }
            // A note has arrived when all that is told of it has.
            let mut notes = picks.notes;
            if self.notes.recent.members() & !(picks.counts & picks.releases) != 0 {
                for item in self.notes.recent.iter() {
                    let bit = item_bit(item.number);
                    if picks.counts & bit == 0 && self.count(item).is_some()
                        || picks.releases & bit == 0 && Self::release(item).is_some()
                    {
                        notes &= !bit;
                    }
                }
            }
            any |= self.notes.recent.omit_except(notes, since);
            any |= !picks.program && self.program.mark.omit(since);
            any |= !picks.wheel && self.wheel.mark.omit(since);
            any |= !picks.pressure && self.pressure.mark.omit(since);
            if let Some(poly_pressure) = &mut self.poly_pressure {
                any |= poly_pressure.recent.omit_except(picks.poly_pressure, since);
            }
            any
        }

        /// The journal of the channel, if there is anything to tell.
        pub(crate) fn journal<'b>(
            &self,
            channel: Channel,
            view: &View,
            picks: &Picks,
            buffers: &'b mut Buffers,
        ) -> Result<Option<ChannelJournal<'b>>, TooLong> {
            let mut journal = ChannelJournal::new(channel);
            journal.enhanced = self.enhanced;
            if picks.program {
                journal.program = self.program.chapter(view);
            }
            if self.controls.is_pending() {
                journal.controls =
                    self.controls
                        .chapter(view, picks.controls, &mut buffers.controls);
            }
            if let Some(parameters) = &self.parameters
                && parameters.is_pending()
            {
                let logs = &mut buffers.parameters;
                journal.parameters =
                    parameters.chapter(view, picks.parameters, picks.selection, logs)?;
            }
            if picks.wheel {
                journal.wheel = self.wheel.chapter(view);
            }
            if !self.notes.recent.is_empty() {
                journal.notes = self.notes.chapter(view, picks.notes, &mut buffers.notes);
                let which = (picks.counts, picks.releases);
                journal.extras = self
                    .extras
                    .chapter(view, &self.notes, which, &mut buffers.extras);
            }
            if picks.pressure {
                journal.pressure = self.pressure.chapter(view);
            }
            if let Some(poly_pressure) = &self.poly_pressure
                && !poly_pressure.recent.is_empty()
            {
                let logs = &mut buffers.poly_pressure;
                journal.poly_pressure = poly_pressure.chapter(view, picks.poly_pressure, logs);
            }
            Ok((!journal.is_empty()).then_some(journal))
        }

        /// All that can be left out: with the packet that changed it last, and its octets.
        pub(crate) fn pieces(&self, parts: Parts, mut tell: impl FnMut(Piece, Packet, usize)) {
            let fixed = [
                (Piece::Program, self.program.mark, 3),
                (Piece::Wheel, self.wheel.mark, 2),
                (Piece::Pressure, self.pressure.mark, 1),
            ];
            for (piece, mark, len) in fixed {
                if let Some(packet) = mark.packet() {
                    tell(piece, packet, len);
                }
            }
            if parts.controls {
                self.controls.groups(|highest, packet, len| {
                    tell(highest.map_or(Piece::Safety, Piece::Controls), packet, len);
                });
            }
            if parts.parameters
                && let Some(parameters) = &self.parameters
            {
                if let Some(packet) = parameters.selection_mark.packet() {
                    tell(Piece::Selection, packet, 0);
                }
                for item in parameters.recent.iter() {
                    let packet = item.mark().packet().unwrap_or_default();
                    let len = match parameters.open_item() {
                        // Counted with the header.
                        Some(open) if open == item.number => 0,
                        _ => parameters.log_len(item.number),
                    };
                    tell(Piece::Parameter(item.number), packet, len);
                }
            }
            if self.notes.off_members() != 0 {
                tell(Piece::OffBits, 0, self.notes.off_len());
            }
            if parts.notes || parts.releases {
                for item in self.notes.recent.iter() {
                    let packet = item.mark().packet().unwrap_or_default();
                    if parts.notes && note::sent::History::is_on(item) {
                        tell(Piece::Note(item.number), packet, 2);
                    }
                    if parts.notes && self.count(item).is_some() {
                        tell(Piece::Count(item.number), packet, 2);
                    }
                    if parts.releases && Self::release(item).is_some() {
                        tell(Piece::Release(item.number), packet, 2);
                    }
                }
            }
            let poly_pressure = self.poly_pressure_recent().filter(|_| parts.releases);
            for item in poly_pressure.into_iter().flat_map(Recent::iter) {
                let packet = item.mark().packet().unwrap_or_default();
                tell(Piece::PolyPressure(item.number), packet, 2);
            }
        }

        /// Puts the piece in.
        pub(crate) const fn pick(&self, piece: Piece, picks: &mut Picks) {
            match piece {
                Piece::Program => picks.program = true,
                Piece::Safety => picks.controls |= self.controls.safety_group(),
                Piece::Controls(item) => picks.controls |= self.controls.group_of(item),
                Piece::Parameter(item) => picks.parameters |= item_bit(item),
                Piece::Selection => picks.selection = true,
                Piece::Wheel => picks.wheel = true,
                Piece::OffBits => picks.notes |= self.notes.off_members(),
                Piece::Note(item) => picks.notes |= item_bit(item),
                Piece::Count(item) => picks.counts |= item_bit(item),
                Piece::Release(item) => picks.releases |= item_bit(item),
                Piece::Pressure => picks.pressure = true,
                Piece::PolyPressure(item) => picks.poly_pressure |= item_bit(item),
            }
        }

        /// Whether a controller, a parameter or the selection is in.
        pub(crate) const fn is_picked(&self, piece: Piece, picks: &Picks) -> bool {
            match piece {
                Piece::Controls(item) => self.controls.group_of(item) & !picks.controls == 0,
                Piece::Parameter(item) => picks.parameters & item_bit(item) != 0,
                Piece::Selection => picks.selection,
                _ => false,
            }
        }

        /// Whether the controllers without which notes hang are left out.
        pub(crate) const fn lacks_safety(&self, picks: &Picks) -> bool {
            self.controls.members() & SAFETY & !picks.controls != 0
        }

        fn count(&self, item: &Item<RtpTimestamp>) -> Option<U7> {
            let on = note::sent::History::is_on(item);
            self.extras.count(item.number, on)
        }

        fn release(item: &Item<RtpTimestamp>) -> Option<U7> {
            note::sent::History::release(item).and_then(extras::sent::History::release)
        }

        /// The parameter in progress, as a bit.
        pub(crate) fn open_parameter(&self) -> u128 {
            let parameters = self.parameters.as_ref();
            parameters.and_then(|it| it.open_item()).map_or(0, item_bit)
        }

        /// The bit of the piece's chapter in the table of contents, and the octets that the chapter
        /// has besides its pieces.
        pub(crate) fn chapter_of(&self, piece: Piece) -> (u8, usize) {
            match piece {
                Piece::Program => (super::P, 0),
                Piece::Safety | Piece::Controls(_) => (super::C, 1),
                Piece::Parameter(_) | Piece::Selection => {
                    let len = self.parameters.as_ref().map_or(0, |it| it.base_len());
                    (super::M, len)
                }
                Piece::Wheel => (super::W, 0),
                Piece::OffBits | Piece::Note(_) => (super::N, 2),
                Piece::Count(_) | Piece::Release(_) => (super::E, 1),
                Piece::Pressure => (super::T, 0),
                Piece::PolyPressure(_) => (super::A, 1),
            }
        }

        fn poly_pressure_recent(&self) -> Option<&Recent> {
            self.poly_pressure.as_ref().map(|it| &it.recent)
        }
    }
}

#[cfg(test)]
mod tests {
    use netmidi_message::{Bend, U7};

    use super::*;

    #[test]
    fn the_header_gathers_s_and_length() {
        let mut journal = ChannelJournal::new(Channel::C16);
        journal.wheel = Some(Wheel {
            s: true,
            bend: Bend::CENTER,
        });
        journal.pressure = Some(Pressure {
            s: false,
            pressure: U7::MAX,
        });
        let mut out = [0; 8];
        assert_eq!(journal.encode(&mut out), Ok(6));
        assert_eq!(out[..6], [0x78, 6, 0x12, 0x80, 0x40, 0x7F]);
        assert!(journal.toc().eq([Chapter::W, Chapter::T]));
        journal.s = false;
        assert_eq!(ChannelJournal::read(&out[..6]).unwrap(), journal);
    }

    #[test]
    fn more_than_the_length_field_can_say_is_refused() {
        let logs = [PolyPressureLog::from_octets([0, 0]); 128];
        let notes = [NoteLog::from_octets([0, 1]); 128];
        let controls = [ControlLog::from_octets([0, 0]); 128];
        let extras = [ExtraLog::from_octets([0, 0]); 128];
        let mut journal = ChannelJournal::new(Channel::C1);
        journal.controls = Controls::new(true, Logs::new(&controls).unwrap());
        journal.notes = Notes::new(true, Logs::new(&notes).unwrap(), OffBits::EMPTY);
        journal.extras = Extras::new(true, Logs::new(&extras).unwrap());
        assert_eq!(journal.encode(&mut [0; 2000]), Ok(3 + 257 + 258 + 257));
        journal.poly_pressure = PolyPressure::new(true, Logs::new(&logs).unwrap());
        assert_eq!(
            journal.encode(&mut [0; 2000]),
            Err(EncodeError::TooLong {
                needed: 1032,
                max: 1023
            })
        );
    }
}
