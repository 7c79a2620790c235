//! The numbers of a stream's packets, read as a receiver reads them (RFC 3550 Appendix A.1).

use netmidi_wire::{RtpTimestamp, SeqNum};

/// A jump forward by this many packets or more is not loss but another numbering (MAX_DROPOUT).
const MAX_DROPOUT: i16 = 3000;
/// A packet further back than this is not reordered (MAX_MISORDER).
const MAX_MISORDER: i16 = -100;

/// Where a packet stands in its stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// The first.
    First,
    /// The one after the last.
    InOrder,
    /// This many are missing before it.
    Gap(u16),
    /// After a later one, for the first time.
    Late,
    /// It was here before.
    Twice,
    /// The stream goes on at a number far away.
    Jump,
    /// The number fell back although time went on.
    FellBack,
    /// The same number on other content.
    Stuck,
    /// So far off that a second one must confirm it.
    HeldBack,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Sequence {
    stream: Option<Numbers>,
}

#[derive(Clone, Copy, Debug)]
struct Numbers {
    highest: SeqNum,
    timestamp: RtpTimestamp,
    /// Bit n: `highest - n` was seen.
    seen: u128,
    /// What would confirm a jump.
    probation: Option<SeqNum>,
}

impl Numbers {
    const fn starting(seq: SeqNum, timestamp: RtpTimestamp) -> Self {
        // What came before the capture began is not missing.
        Self {
            highest: seq,
            timestamp,
            seen: u128::MAX,
            probation: None,
        }
    }
}

impl Sequence {
    /// The highest number so far, with the timestamp of its packet.
    pub(super) fn highest(&self) -> Option<(SeqNum, RtpTimestamp)> {
        self.stream.map(|it| (it.highest, it.timestamp))
    }

    pub(super) fn observe(&mut self, seq: SeqNum, timestamp: RtpTimestamp) -> Place {
        let Some(stream) = &mut self.stream else {
            self.stream = Some(Numbers::starting(seq, timestamp));
            return Place::First;
        };
        let distance = seq.distance_from(stream.highest);
        match distance {
            1..MAX_DROPOUT => {
                let shift = u32::from(distance.unsigned_abs());
                stream.seen = stream.seen.checked_shl(shift).unwrap_or(0) | 1;
                stream.highest = seq;
                stream.timestamp = timestamp;
                stream.probation = None;
                match distance.unsigned_abs() - 1 {
                    0 => Place::InOrder,
                    missing => Place::Gap(missing),
                }
            }
            0 if timestamp != stream.timestamp => {
                stream.timestamp = timestamp;
                Place::Stuck
            }
            MAX_MISORDER..0 if timestamp.distance_from(stream.timestamp) > 0 => {
                *stream = Numbers::starting(seq, timestamp);
                Place::FellBack
            }
            MAX_MISORDER..=0 => {
                let bit = 1u128 << distance.unsigned_abs();
                if stream.seen & bit != 0 {
                    return Place::Twice;
                }
                stream.seen |= bit;
                Place::Late
            }
            _ if stream.probation == Some(seq) => {
                *stream = Numbers::starting(seq, timestamp);
                Place::Jump
            }
            _ => {
                stream.probation = Some(seq.next());
                Place::HeldBack
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_is_told_from_reordering_duplicates_and_jumps() {
        let mut sequence = Sequence::default();
        for (seq, at, place) in [
            (65_534, 1, Place::First),
            (0, 3, Place::Gap(1)),
            (65_535, 2, Place::Late),
            (65_535, 2, Place::Twice),
            (0, 3, Place::Twice),
            (1, 4, Place::InOrder),
            (1, 5, Place::Stuck),
            (9000, 6, Place::HeldBack),
            (9001, 7, Place::Jump),
            (8990, 8, Place::FellBack),
        ] {
            assert_eq!(
                sequence.observe(SeqNum(seq), RtpTimestamp(at)),
                place,
                "{seq}"
            );
        }
    }
}
