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
