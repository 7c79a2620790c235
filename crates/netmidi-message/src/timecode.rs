//! MIDI time code: quarter frames and the full frame message.

use core::fmt;

use crate::sysex::SysEx;
use crate::system::SystemCommon;
use crate::value::{U3, U4, U7};

/// How many frames a second has, and how they are counted.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum FrameRate {
    /// 24 frames a second (film).
    Fps24 = 0,
    /// 25 frames a second (EBU).
    Fps25 = 1,
    /// 29.97 frames a second, drop frame: counted as 30, but frames 0 and 1 do not exist in the
    /// first second of every minute that is not a multiple of 10.
    Fps2997Drop = 2,
    /// 30 frames a second, all of them counted.
    Fps30 = 3,
}

impl FrameRate {
    /// The rate with this code, the low two bits of which are looked at.
    #[must_use]
    pub const fn from_code(code: u8) -> Self {
        match code & 3 {
            0 => Self::Fps24,
            1 => Self::Fps25,
            2 => Self::Fps2997Drop,
            _ => Self::Fps30,
        }
    }

    /// The two bits that stand for it on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// One more than the highest frame number, 24 to 30.
    #[must_use]
    pub const fn frames_per_second(self) -> u8 {
        match self {
            Self::Fps24 => 24,
            Self::Fps25 => 25,
            Self::Fps2997Drop | Self::Fps30 => 30,
        }
    }

    const fn frames_per_day(self) -> u32 {
        let counted = self.frames_per_second() as u32 * 86_400;
        match self {
            // Two are left out in nine of ten minutes.
            Self::Fps2997Drop => counted - 2 * 9 * 6 * 24,
            _ => counted,
        }
    }
}

/// A position in hours, minutes, seconds and frames (MIDI time code, in the MIDI 1.0 detailed
/// specification).
///
/// Every part is in its range. Labels that drop-frame counting leaves out are accepted, because
/// devices send them.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct TimeCode {
    hours: u8,
    minutes: u8,
    seconds: u8,
    frames: u8,
    rate: FrameRate,
}

impl TimeCode {
    /// A position, or `None` unless hours are 0 to 23, minutes and seconds 0 to 59, and frames
    /// below [`FrameRate::frames_per_second`].
    #[must_use]
    pub const fn new(
        hours: u8,
        minutes: u8,
        seconds: u8,
        frames: u8,
        rate: FrameRate,
    ) -> Option<Self> {
        if hours < 24 && minutes < 60 && seconds < 60 && frames < rate.frames_per_second() {
            Some(Self {
                hours,
                minutes,
                seconds,
                frames,
                rate,
            })
        } else {
            None
        }
    }

    /// Hours, 0 to 23.
    #[must_use]
    pub const fn hours(self) -> u8 {
        self.hours
    }

    /// Minutes, 0 to 59.
    #[must_use]
    pub const fn minutes(self) -> u8 {
        self.minutes
    }

    /// Seconds, 0 to 59.
    #[must_use]
    pub const fn seconds(self) -> u8 {
        self.seconds
    }

    /// Frames, 0 to 29 at most.
    #[must_use]
    pub const fn frames(self) -> u8 {
        self.frames
    }

    /// How frames are counted.
    #[must_use]
    pub const fn rate(self) -> FrameRate {
        self.rate
    }

    /// How many frames lie between midnight and this position.
    #[must_use]
    pub const fn frame_number(self) -> u32 {
        let minutes = self.hours as u32 * 60 + self.minutes as u32;
        let seconds = minutes * 60 + self.seconds as u32;
        let counted = seconds * self.rate.frames_per_second() as u32 + self.frames as u32;
        match self.rate {
            // A label that is left out would come before its own minute: the first minute of a
            // ten has lost none yet, so this cannot go below 0.
            FrameRate::Fps2997Drop => counted - 2 * (minutes - minutes / 10),
            _ => counted,
        }
    }

    /// The position this many frames after midnight; days are not counted.
    #[must_use]
    pub const fn from_frame_number(number: u32, rate: FrameRate) -> Self {
        let number = number % rate.frames_per_day();
        let counted = match rate {
            FrameRate::Fps2997Drop => {
                // Ten minutes have 17,982 frames: 1,800 in the first, 1,798 in the others.
                let (tens, within) = (number / 17_982, number % 17_982);
                let minute = if within < 1_800 {
                    0
                } else {
                    (within - 1_800) / 1_798 + 1
                };
                number + 2 * (9 * tens + minute)
            }
            _ => number,
        };
        let per_second = rate.frames_per_second() as u32;
        let seconds = counted / per_second;
        Self {
            hours: (seconds / 3_600) as u8,
            minutes: (seconds / 60 % 60) as u8,
            seconds: (seconds % 60) as u8,
            frames: (counted % per_second) as u8,
            rate,
        }
    }

    /// The position `frames` later, past midnight if need be.
    #[must_use]
    pub const fn plus_frames(self, frames: u32) -> Self {
        let frames = frames % self.rate.frames_per_day();
        Self::from_frame_number(self.frame_number() + frames, self.rate)
    }

    /// The eight quarter frames that carry it, in the order in which they are sent when the tape
    /// runs forward; in reverse they are sent the other way round.
    #[must_use]
    pub fn to_quarter_frames(self) -> [SystemCommon; 8] {
        let hours = self.hours | self.rate.code() << 5;
        let values = [self.frames, self.seconds, self.minutes, hours];
        core::array::from_fn(|index| {
            let value = values.get(index / 2).copied().unwrap_or_default();
            let half = if index % 2 == 0 { value } else { value >> 4 };
            SystemCommon::QuarterFrame {
                frame_type: U3::from_low_bits(index as u8),
                frame_value: U4::from_low_bits(half),
            }
        })
    }

    /// `hr` of a full frame (`0rrhhhhh`), `mn`, `sc`, `fr`.
    const fn to_octets(self) -> [u8; 4] {
        let hours = self.hours | self.rate.code() << 5;
        [hours, self.minutes, self.seconds, self.frames]
    }

    const fn from_octets([hours, minutes, seconds, frames]: [u8; 4]) -> Option<Self> {
        let rate = FrameRate::from_code(hours >> 5);
        Self::new(hours & 0x1F, minutes, seconds, frames, rate)
    }
}

/// `01:02:03:04`, with a semicolon before the frames for drop frame.
impl fmt::Display for TimeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            hours,
            minutes,
            seconds,
            frames,
            rate,
        } = self;
        let mark = match rate {
            FrameRate::Fps2997Drop => ';',
            _ => ':',
        };
        write!(f, "{hours:02}:{minutes:02}:{seconds:02}{mark}{frames:02}")
    }
}

/// The universal real-time message that sends a whole position at once, after a jump:
/// `F0 7F cc 01 01 hr mn sc fr F7`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct FullFrame {
    /// For whom (`cc`); 7F means everybody.
    pub device: U7,
    /// The position.
    pub time: TimeCode,
}

impl FullFrame {
    /// Reads a full frame; `None` if it is another message or a part is out of range.
    #[must_use]
    pub fn parse(message: SysEx<'_>) -> Option<Self> {
        match *message.data() {
            [0x7F, device, 1, 1, hours, minutes, seconds, frames] => Some(Self {
                device: U7::new(device)?,
                time: TimeCode::from_octets([hours, minutes, seconds, frames])?,
            }),
            _ => None,
        }
    }

    /// The data octets, for [`SysEx::new`].
    ///
    /// ```
    /// use netmidi_message::{FrameRate, FullFrame, SysEx, TimeCode, U7};
    ///
    /// let time = TimeCode::new(1, 2, 3, 4, FrameRate::Fps25).ok_or("out of range")?;
    /// let frame = FullFrame { device: U7::MAX, time };
    /// let data = frame.to_data();
    /// assert_eq!(SysEx::new(&data).and_then(FullFrame::parse), Some(frame));
    /// # Ok::<(), &str>(())
    /// ```
    #[must_use]
    pub const fn to_data(self) -> [u8; 8] {
        let [hours, minutes, seconds, frames] = self.time.to_octets();
        [
            0x7F,
            self.device.get(),
            1,
            1,
            hours,
            minutes,
            seconds,
            frames,
        ]
    }
}

/// Which way the tape runs.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Direction {
    /// Quarter frames come with types 0 to 7.
    Forward,
    /// Quarter frames come with types 7 to 0.
    Reverse,
}

/// A position put together from eight quarter frames.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct AssembledTime {
    /// The position as it was coded.
    pub coded: TimeCode,
    /// In which order the quarter frames came.
    pub direction: Direction,
}

impl AssembledTime {
    /// Where the tape is when the quarter frames of the next position begin.
    ///
    /// Four quarter frames are one frame, so eight take two frames to send, and running forward the
    /// coded position, that of the first of them, is two frames late. In reverse the position
    /// coded is taken as it is (RFC 6295 appendix B.4 does the same).
    #[must_use]
    pub const fn now(self) -> TimeCode {
        match self.direction {
            Direction::Forward => self.coded.plus_frames(2),
            Direction::Reverse => self.coded,
        }
    }
}

/// Puts positions together from quarter frames.
///
/// A position begins with type 0 and goes up to 7 (forward), or begins with 7 and goes down to 0
/// (reverse). A quarter frame out of order ends the attempt, and begins a new one if it is of type
/// 0 or 7. A position with a part out of range (second 60, say) is dropped.
///
/// ```
/// use netmidi_message::{FrameRate, SystemCommon, TimeCode, TimeCodeAssembler};
///
/// let time = TimeCode::new(1, 2, 3, 4, FrameRate::Fps25).ok_or("out of range")?;
/// let mut assembler = TimeCodeAssembler::new();
/// let mut last = None;
/// for quarter_frame in time.to_quarter_frames() {
///     last = assembler.push(quarter_frame);
/// }
/// assert_eq!(last.map(|assembled| assembled.now().frames()), Some(6));
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TimeCodeAssembler {
    pieces: [u8; 8],
    run: Option<Run>,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    /// The type of the last quarter frame.
    last: u8,
    direction: Direction,
}

impl TimeCodeAssembler {
    /// An assembler that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next message; those other than quarter frames change nothing. Returns the position
    /// that it completes.
    pub fn push(&mut self, message: SystemCommon) -> Option<AssembledTime> {
        let SystemCommon::QuarterFrame {
            frame_type,
            frame_value,
        } = message
        else {
            return None;
        };
        let piece = frame_type.get();
        let direction = match self.run {
            Some(Run {
                last,
                direction: Direction::Forward,
            }) if last + 1 == piece => Direction::Forward,
            Some(Run {
                last,
                direction: Direction::Reverse,
            }) if piece + 1 == last => Direction::Reverse,
            _ if piece == 0 => Direction::Forward,
            _ if piece == 7 => Direction::Reverse,
            _ => {
                self.reset();
                return None;
            }
        };
        if let Some(slot) = self.pieces.get_mut(usize::from(piece)) {
            *slot = frame_value.get();
        }
        self.run = Some(Run {
            last: piece,
            direction,
        });
        let complete = match direction {
            Direction::Forward => piece == 7,
            Direction::Reverse => piece == 0,
        };
        if !complete {
            return None;
        }
        self.run = None;
        let [f0, f1, s0, s1, m0, m1, h0, h1] = self.pieces;
        let coded = TimeCode::from_octets([
            // The highest bits of these three are reserved.
            h0 | (h1 & 7) << 4,
            m0 | (m1 & 3) << 4,
            s0 | (s1 & 3) << 4,
            f0 | (f1 & 1) << 4,
        ])?;
        Some(AssembledTime { coded, direction })
    }

    /// Forgets the quarter frames so far: after a full frame, or a jump.
    pub fn reset(&mut self) {
        self.run = None;
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    const RATES: [FrameRate; 4] = [
        FrameRate::Fps24,
        FrameRate::Fps25,
        FrameRate::Fps2997Drop,
        FrameRate::Fps30,
    ];

    fn at(hours: u8, minutes: u8, seconds: u8, frames: u8, rate: FrameRate) -> TimeCode {
        TimeCode::new(hours, minutes, seconds, frames, rate).unwrap()
    }

    fn assemble(quarter_frames: impl IntoIterator<Item = SystemCommon>) -> Vec<AssembledTime> {
        let mut assembler = TimeCodeAssembler::new();
        quarter_frames
            .into_iter()
            .filter_map(|quarter_frame| assembler.push(quarter_frame))
            .collect()
    }

    #[test]
    fn parts_out_of_range_are_refused() {
        for rate in RATES {
            let top = rate.frames_per_second();
            assert!(TimeCode::new(23, 59, 59, top - 1, rate).is_some());
            assert_eq!(TimeCode::new(24, 0, 0, 0, rate), None);
            assert_eq!(TimeCode::new(0, 60, 0, 0, rate), None);
            assert_eq!(TimeCode::new(0, 0, 60, 0, rate), None);
            assert_eq!(TimeCode::new(0, 0, 0, top, rate), None);
        }
    }

    #[test]
    fn every_frame_of_a_day_has_a_label_of_its_own() {
        for rate in RATES {
            for number in (0..rate.frames_per_day()).step_by(7) {
                let time = TimeCode::from_frame_number(number, rate);
                assert_eq!(time.frame_number(), number, "{time}");
            }
        }
    }

    #[test]
    fn drop_frame_skips_two_labels_in_nine_minutes_of_ten() {
        let rate = FrameRate::Fps2997Drop;
        assert_eq!(rate.frames_per_day(), 2_589_408);
        let next = |time: TimeCode| time.plus_frames(1).to_string();
        assert_eq!(next(at(0, 0, 59, 29, rate)), "00:01:00;02");
        assert_eq!(next(at(0, 9, 59, 29, rate)), "00:10:00;00");
        assert_eq!(next(at(23, 59, 59, 29, rate)), "00:00:00;00");
        assert_eq!(next(at(0, 0, 59, 29, FrameRate::Fps30)), "00:01:00:00");
    }

    #[test]
    fn quarter_frames_are_laid_out_as_the_specification_says() {
        let data: Vec<u8> = at(17, 42, 37, 21, FrameRate::Fps25)
            .to_quarter_frames()
            .iter()
            .map(|quarter_frame| quarter_frame.to_octets()[1])
            .collect();
        assert_eq!(data, [0x05, 0x11, 0x25, 0x32, 0x4A, 0x52, 0x61, 0x73]);
    }

    #[test]
    fn both_directions_are_assembled() {
        for rate in RATES {
            let coded = at(23, 59, 59, 22, rate);
            let forward = coded.to_quarter_frames();
            let direction = Direction::Forward;
            assert_eq!(assemble(forward), [AssembledTime { coded, direction }]);
            let mut reverse = forward;
            reverse.reverse();
            let direction = Direction::Reverse;
            assert_eq!(assemble(reverse), [AssembledTime { coded, direction }]);
        }
    }

    #[test]
    fn forward_the_tape_is_two_frames_further_on() {
        let coded = at(23, 59, 59, 23, FrameRate::Fps24);
        let [forward, reverse] = [Direction::Forward, Direction::Reverse]
            .map(|direction| AssembledTime { coded, direction });
        assert_eq!(forward.now(), at(0, 0, 0, 1, FrameRate::Fps24));
        assert_eq!(reverse.now(), coded);
    }

    #[test]
    fn wrong_order_begins_again() {
        let frames = at(1, 2, 3, 4, FrameRate::Fps30).to_quarter_frames();
        // One is missing.
        let mut gap = frames.to_vec();
        gap.remove(3);
        assert_eq!(assemble(gap), []);
        // Begun in the middle, then whole.
        let late = [&frames[5..], &frames[..]].concat();
        assert_eq!(assemble(late).len(), 1);
        // A turn in the middle gives nothing, and the way back from the end one.
        let turn = [frames[0], frames[1], frames[2], frames[1], frames[0]];
        assert_eq!(assemble(turn), []);
        let mut back = vec![frames[0], frames[1], frames[7]];
        back.extend(frames[..7].iter().rev());
        assert_eq!(assemble(back)[0].direction, Direction::Reverse);
        // Twice the same.
        assert_eq!(assemble([frames[0], frames[0]]), []);
        // Eight of one kind never are a position.
        assert_eq!(assemble([frames[7]; 16]), []);
    }

    #[test]
    fn a_position_out_of_range_is_dropped() {
        let mut frames = at(1, 2, 3, 4, FrameRate::Fps30).to_quarter_frames();
        frames[3] = SystemCommon::quarter_frame(U7::new(0x33).unwrap());
        assert_eq!(assemble(frames).len(), 1, "second 51");
        frames[2] = SystemCommon::quarter_frame(U7::new(0x2F).unwrap());
        assert_eq!(assemble(frames), [], "second 63");
    }

    #[test]
    fn full_frames_are_read_and_written() {
        let frame = FullFrame {
            device: U7::MAX,
            time: at(17, 42, 37, 21, FrameRate::Fps25),
        };
        let data = frame.to_data();
        assert_eq!(data, [0x7F, 0x7F, 1, 1, 0x31, 42, 37, 21]);
        assert_eq!(FullFrame::parse(SysEx::new(&data).unwrap()), Some(frame));
        let short = SysEx::new(&data[..7]).unwrap();
        assert_eq!(FullFrame::parse(short), None);
        let out_of_range = SysEx::new(&[0x7F, 0x7F, 1, 1, 0x31, 60, 37, 21]).unwrap();
        assert_eq!(FullFrame::parse(out_of_range), None);
    }
}
