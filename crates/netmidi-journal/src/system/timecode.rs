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

#[cfg(feature = "alloc")]
pub(crate) mod receiver {
    use netmidi_message::{FrameRate, FullFrame, SysEx, SystemCommon, TimeCode, U3, U4, U7};

    use super::{Complete, Timecode};
    use crate::repairer::Repairs;

    /// Where the tape is.
    #[derive(Clone, Copy, Debug, Default)]
    pub(crate) struct TimecodeModel {
        /// hr, mn, sc and fr of the last complete time.
        complete: Option<[u8; 4]>,
        /// The same of the last that there is: instruments pass over the others.
        exists: Option<[u8; 4]>,
        run: Option<Run>,
    }

    /// Quarter frames in order that make no complete time yet.
    #[derive(Clone, Copy, Debug)]
    struct Run {
        reverse: bool,
        /// The type of the last one.
        last: u8,
        values: [U4; 8],
    }

    impl TimecodeModel {
        pub(crate) fn quarter_frame(&mut self, frame_type: U3, frame_value: U4) {
            let piece = frame_type.get();
            let mut run = match self.run {
                Some(run) if !run.reverse && run.last + 1 == piece => run,
                Some(run) if run.reverse && piece + 1 == run.last => run,
                _ if piece == 0 || piece == 7 => Run {
                    reverse: piece == 7,
                    last: piece,
                    values: [U4::MIN; 8],
                },
                _ => {
                    self.run = None;
                    return;
                }
            };
            run.last = piece;
            if let Some(value) = run.values.get_mut(usize::from(piece)) {
                *value = frame_value;
            }
            if piece == if run.reverse { 0 } else { 7 } {
                let time = octets(run.values);
                self.full_frame(if run.reverse { time } else { two_later(time) });
            } else {
                self.run = Some(run);
            }
        }

        pub(crate) fn full_frame(&mut self, time: [u8; 4]) {
            self.complete = Some(time);
            if time_code(time).is_some() {
                self.exists = self.complete;
            }
            self.run = None;
        }

        /// The receiver's rule of chapter F. Returns whether a lost full frame was made good.
        pub(crate) fn repair(&mut self, log: &Timecode, out: &mut Repairs<'_>) -> bool {
            if out.skips(log.s) {
                return false;
            }
            let time = match log.complete {
                Some(Complete::FullFrame(time)) => Some(time.map(U7::get)),
                Some(Complete::QuarterFrames(values)) => Some(octets(values)),
                None => None,
            };
            let news = time.filter(|_| time != self.complete);
            let lost = news.is_some() && matches!(log.complete, Some(Complete::FullFrame(_)));
            // A run that the sender has ended is still open at the instrument, which would take the
            // next quarter frames for its end: a full frame closes it.
            let stale = self.run.is_some() && !self.continues(log);
            let time = news.or(self.complete.filter(|_| stale));
            if let Some([hr, mn, sc, fr]) = time {
                let data = [0x7F, 0x7F, 1, 1, hr, mn, sc, fr];
                if let Some(sysex) = SysEx::new(&data) {
                    out.message(sysex.into());
                }
                self.full_frame([hr, mn, sc, fr]);
            }
            match log.partial {
                Some(values) => self.repair_run(log.reverse, log.point.get(), values, out),
                None => self.run = None,
            }
            lost
        }

        /// The last time and the run behind it. A run that was broken off before any time was
        /// told stays open: no message ends one without a time.
        pub(crate) fn restore(&mut self, now: &Self, out: &mut Repairs<'_>) {
            self.complete = self.exists.or(self.complete);
            let complete = now
                .exists
                .or(now.complete)
                .map(|time| Complete::FullFrame(time.map(U7::from_low_bits)));
            let log = Timecode {
                s: false,
                reverse: now.run.is_some_and(|run| run.reverse),
                point: U3::from_low_bits(now.run.map_or(7, |run| run.last)),
                complete,
                partial: now.run.map(|run| run.values),
            };
            self.repair(&log, out);
        }

        /// Whether the unfinished run of the journal goes on with that of the instrument.
        fn continues(&self, log: &Timecode) -> bool {
            let (Some(own), Some(values)) = (self.run, log.partial) else {
                return false;
            };
            let point = log.point.get();
            let pieces = if own.reverse {
                own.last..=7
            } else {
                0..=own.last
            };
            let (so_far, now) = if own.reverse {
                (point, own.last)
            } else {
                (own.last, point)
            };
            own.reverse == log.reverse
                && so_far <= now
                && pieces
                    .map(usize::from)
                    .all(|piece| own.values.get(piece) == values.get(piece))
        }

        /// An instrument that missed a quarter frame would drop the whole run.
        fn repair_run(&mut self, reverse: bool, point: u8, values: [U4; 8], out: &mut Repairs<'_>) {
            let of = |piece: u8| values.get(usize::from(piece)).copied().unwrap_or_default();
            // How many have come: 1 to 7, or else it is no unfinished run.
            let target = if reverse { 8 - point } else { point + 1 };
            let piece = |index: u8| if reverse { 7 - index } else { index };
            if target == 8 {
                return;
            }
            let own = match self.run {
                Some(run) if run.reverse == reverse => {
                    if reverse {
                        8 - run.last
                    } else {
                        run.last + 1
                    }
                }
                _ => 0,
            };
            let same = own <= target
                && self.run.is_none_or(|run| {
                    (0..own)
                        .map(piece)
                        .all(|piece| run.values.get(usize::from(piece)) == Some(&of(piece)))
                });
            for piece in (if same { own } else { 0 }..target).map(piece) {
                let frame_type = U3::from_low_bits(piece);
                let frame_value = of(piece);
                out.message(
                    SystemCommon::QuarterFrame {
                        frame_type,
                        frame_value,
                    }
                    .into(),
                );
                self.quarter_frame(frame_type, frame_value);
            }
        }
    }

    /// hr, mn, sc and fr of a full frame with any numbers in it.
    pub(crate) const fn full_frame_time(data: &[u8]) -> Option<[u8; 4]> {
        match *data {
            [0x7F, _, 1, 1, hr, mn, sc, fr] => Some([hr, mn, sc, fr]),
            _ => None,
        }
    }

    /// hr, mn, sc and fr of quarter frames, as data octets.
    fn octets([f0, f1, s0, s1, m0, m1, h0, h1]: [U4; 8]) -> [u8; 4] {
        let octet = |high: U4, low: U4| (high.get() << 4 | low.get()) & 0x7F;
        [octet(h1, h0), octet(m1, m0), octet(s1, s0), octet(f1, f0)]
    }

    /// Where the tape is when quarter frames have told a time running forwards. A time that there
    /// is not stays as it is.
    fn two_later(octets: [u8; 4]) -> [u8; 4] {
        let Some(time) = time_code(octets) else {
            return octets;
        };
        let frame = FullFrame {
            device: U7::MAX,
            time: time.plus_frames(2),
        };
        let [.., hr, mn, sc, fr] = frame.to_data();
        [hr, mn, sc, fr]
    }

    fn time_code([hr, mn, sc, fr]: [u8; 4]) -> Option<TimeCode> {
        TimeCode::new(hr & 0x1F, mn, sc, fr, FrameRate::from_code(hr >> 5))
    }
}

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
    use crate::recent::{Mark, Packet, View};

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
        pub(crate) fn quarter_frame(&mut self, frame_type: U3, frame_value: U4, packet: Packet) {
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
        pub(crate) fn full_frame(&mut self, octets: [U7; 4], packet: Packet) {
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

        pub(crate) fn acknowledge(&mut self, report: Packet) {
            self.mark.acknowledge(report);
            self.complete_mark.acknowledge(report);
        }

        pub(crate) const fn rebase(&mut self, by: Packet) {
            self.mark.rebase(by);
            self.complete_mark.rebase(by);
        }

        pub(crate) fn omit(&mut self, since: Packet) -> bool {
            self.complete_mark.omit(since);
            self.mark.omit(since)
        }

        pub(crate) fn oldest(&self) -> Option<Packet> {
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
