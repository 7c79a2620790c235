//! Chapter F: MIDI time code.

use netmidi_message::{U3, U4, U7};
use nom::Parser;
use nom::bytes::complete::take;
use nom::number::complete::be_u8;

use crate::encode::{Cursor, bit, encodes, top};
use crate::parse::{Fault, Parsed};

/// Chapter F: where the tape is (RFC 6295 §B.4).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |S|C|P|Q|D|POINT|
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |  MT0  |  MT1  |  MT2  |  MT3  |  MT4  |  MT5  |  MT6  |  MT7  |  COMPLETE if C, Q=1
/// |       HR      |       MN      |       SC      |       FR      |  COMPLETE if C, Q=0
/// |  MT0  |  MT1  |  MT2  |  MT3  |  MT4  |  MT5  |  MT6  |  MT7  |  PARTIAL if P
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
///
/// Without COMPLETE and PARTIAL it says that the last quarter frames make no time.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Timecode {
    /// 0 if the packet just before changed any of this.
    pub s: bool,
    /// Whether the tape runs backwards (D).
    pub reverse: bool,
    /// The type of the last quarter frame of the unfinished run (POINT). Without such a run 7, or
    /// 0 if the tape runs backwards.
    pub point: U3,
    /// The last complete time (C).
    pub complete: Option<Complete>,
    /// The quarter frames of an unfinished run (P), those of type 0 to 7; what has not come is 0.
    pub partial: Option<[U4; 8]>,
}

/// A complete time.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Complete {
    /// From a full frame message: hours with the rate, minutes, seconds, frames, as in its data
    /// (Q=0).
    FullFrame([U7; 4]),
    /// From quarter frames of type 0 to 7 (Q=1). Two frames are added already if the tape runs
    /// forwards.
    QuarterFrames([U4; 8]),
}

impl Timecode {
    pub(crate) fn read(input: &[u8]) -> Parsed<'_, Self> {
        let (rest, head) = be_u8(input)?;
        let (rest, complete) = if head & C == 0 {
            (rest, None)
        } else {
            let (rest, octets) = four(rest)?;
            let complete = if head & Q == 0 {
                Complete::FullFrame(octets.map(U7::from_low_bits))
            } else {
                Complete::QuarterFrames(nibbles(octets))
            };
            (rest, Some(complete))
        };
        let (rest, partial) = if head & P == 0 {
            (rest, None)
        } else {
            let (rest, octets) = four(rest)?;
            (rest, Some(nibbles(octets)))
        };
        Ok((
            rest,
            Self {
                s: head & S != 0,
                reverse: head & D != 0,
                point: U3::from_low_bits(head),
                complete,
                partial,
            },
        ))
    }

    pub(crate) fn write(&self, out: &mut Cursor<'_>) {
        let quarters = matches!(self.complete, Some(Complete::QuarterFrames(_)));
        out.put(
            top(self.s)
                | bit(self.complete.is_some(), C)
                | bit(self.partial.is_some(), P)
                | bit(quarters, Q)
                | bit(self.reverse, D)
                | self.point.get(),
        );
        match self.complete {
            Some(Complete::FullFrame(octets)) => out.put_all(&octets.map(U7::get)),
            Some(Complete::QuarterFrames(quarters)) => put_nibbles(quarters, out),
            None => {}
        }
        if let Some(quarters) = self.partial {
            put_nibbles(quarters, out);
        }
    }
}

encodes!(Timecode);

fn four(input: &[u8]) -> Parsed<'_, [u8; 4]> {
    let (rest, octets) = take(4usize).parse(input)?;
    match octets.try_into() {
        Ok(octets) => Ok((rest, octets)),
        Err(_) => Err(Fault::overrun(input)),
    }
}

fn nibbles([a, b, c, d]: [u8; 4]) -> [U4; 8] {
    [a >> 4, a, b >> 4, b, c >> 4, c, d >> 4, d].map(U4::from_low_bits)
}

fn put_nibbles(quarters: [U4; 8], out: &mut Cursor<'_>) {
    let (pairs, _) = quarters.as_chunks();
    for [first, second] in pairs {
        out.put(first.get() << 4 | second.get());
    }
}

const S: u8 = 0x80;
const C: u8 = 0x40;
const P: u8 = 0x20;
const Q: u8 = 0x10;
const D: u8 = 0x08;

#[cfg(feature = "alloc")]
pub(crate) mod sent {
    use netmidi_message::{Direction, SystemCommon, TimeCode, TimeCodeAssembler, U3, U4, U7};

    use super::{Complete, Timecode};
    use crate::recent::{Mark, View};

    /// Which time code was sent.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct History {
        pub(crate) mark: Mark,
        complete: Option<Complete>,
        complete_mark: Mark,
        assembler: TimeCodeAssembler,
        /// The quarter frames of the run.
        pieces: [U4; 8],
        run: Run,
    }

    /// What the last quarter frames are.
    #[derive(Clone, Copy, Debug, Default)]
    enum Run {
        /// Nothing: none came, or they make no time, or a full frame came later.
        #[default]
        None,
        Open {
            reverse: bool,
            last: u8,
        },
        Ended {
            reverse: bool,
        },
    }

    impl History {
        pub(crate) fn quarter_frame(&mut self, frame_type: U3, frame_value: U4, packet: u64) {
            let last = frame_type.get();
            let next = match self.run {
                Run::Open {
                    reverse: false,
                    last,
                } => Some((last + 1, false)),
                Run::Open {
                    reverse: true,
                    last,
                } => last.checked_sub(1).map(|it| (it, true)),
                Run::None | Run::Ended { .. } => None,
            };
            let reverse = match next {
                Some((expected, reverse)) if expected == last => Some(reverse),
                _ => {
                    self.pieces = [U4::MIN; 8];
                    match last {
                        0 => Some(false),
                        7 => Some(true),
                        _ => None,
                    }
                }
            };
            if let Some(slot) = self.pieces.get_mut(usize::from(last)) {
                *slot = frame_value;
            }
            let time = self.assembler.push(SystemCommon::QuarterFrame {
                frame_type,
                frame_value,
            });
            let end = |reverse| if reverse { 0 } else { 7 };
            self.run = match reverse {
                None => Run::None,
                Some(reverse) if next.is_some() && last == end(reverse) => Run::Ended { reverse },
                Some(reverse) => Run::Open { reverse, last },
            };
            if let Some(time) = time {
                self.complete = Some(Complete::QuarterFrames(match time.direction {
                    Direction::Forward => nibbles(time.now()),
                    Direction::Reverse => self.pieces,
                }));
                self.complete_mark = Mark::new(packet);
            }
            self.mark = Mark::new(packet);
        }

        /// Hours with the rate, minutes, seconds and frames.
        pub(crate) fn full_frame(&mut self, octets: [U7; 4], packet: u64) {
            self.complete = Some(Complete::FullFrame(octets));
            self.complete_mark = Mark::new(packet);
            self.assembler.reset();
            self.run = Run::None;
            self.mark = Mark::new(packet);
        }

        /// A command that sets everything to its start went out.
        pub(crate) fn reset(&mut self) {
            *self = Self::default();
        }

        pub(crate) fn acknowledge(&mut self, report: u64) {
            self.mark.acknowledge(report);
            self.complete_mark.acknowledge(report);
        }

        pub(crate) fn omit(&mut self, since: u64) -> bool {
            self.complete_mark.omit(since);
            self.mark.omit(since)
        }

        pub(crate) fn oldest(&self) -> Option<u64> {
            // The complete time, if that is unacknowledged, is the older one.
            self.complete_mark.packet().or(self.mark.packet())
        }

        pub(crate) fn chapter(&self, view: &View) -> Option<Timecode> {
            self.mark.packet()?;
            let (reverse, partial) = match self.run {
                Run::None => (false, None),
                Run::Open { reverse, last } => (reverse, Some((last, self.pieces))),
                Run::Ended { reverse } => (reverse, None),
            };
            let rest = if reverse { 0 } else { 7 };
            Some(Timecode {
                s: self.mark.s(view.previous),
                reverse,
                point: U3::from_low_bits(partial.map_or(rest, |(last, _)| last)),
                complete: self.complete.filter(|_| self.complete_mark.is_pending()),
                partial: partial.map(|(_, pieces)| pieces),
            })
        }
    }

    fn nibbles(time: TimeCode) -> [U4; 8] {
        time.to_quarter_frames().map(|message| match message {
            SystemCommon::QuarterFrame { frame_value, .. } => frame_value,
            _ => U4::MIN,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::assert_octets;

    #[test]
    fn a_full_frame() {
        let timecode = Timecode {
            s: true,
            reverse: false,
            point: U3::MAX,
            complete: Some(Complete::FullFrame([33, 2, 3, 4].map(U7::from_low_bits))),
            partial: None,
        };
        assert_octets!(Timecode, timecode, [0xC7, 0x21, 0x02, 0x03, 0x04]);
    }

    #[test]
    fn quarter_frames() {
        let timecode = Timecode {
            s: false,
            reverse: true,
            point: U3::from_low_bits(5),
            complete: Some(Complete::QuarterFrames(
                [1, 2, 3, 4, 5, 6, 7, 6].map(U4::from_low_bits),
            )),
            partial: Some([0, 0, 0, 0, 0, 9, 8, 7].map(U4::from_low_bits)),
        };
        assert_octets!(
            Timecode,
            timecode,
            [0x7D, 0x12, 0x34, 0x56, 0x76, 0, 0, 0x09, 0x87]
        );
    }

    #[test]
    fn neither() {
        let timecode = Timecode {
            s: true,
            reverse: false,
            point: U3::MAX,
            complete: None,
            partial: None,
        };
        assert_octets!(Timecode, timecode, [0x87]);
    }
}
