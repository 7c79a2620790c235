//! The sequence of a participant's packets.

use netmidi_wire::{RtpTimestamp, SeqNum};

/// A jump forward by this many packets or more is not loss but perhaps another stream
/// (RFC 3550 Appendix A.1, MAX_DROPOUT).
const MAX_DROPOUT: i16 = 3000;
/// A packet further back than this is not reordered but perhaps of another stream
/// (RFC 3550 Appendix A.1, MAX_MISORDER).
const MAX_MISORDER: i16 = -100;

/// Where a packet stands in its stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Arrival {
    /// The first of a stream.
    First,
    /// The stream goes on at another number, far away: how many are missing nobody knows.
    Jump,
    /// The number fell back although time went on: a sender that numbers otherwise.
    FellBack,
    /// The one after the last.
    InOrder,
    /// This many are missing before it.
    Gap(u16),
    /// After a later one, for the first time.
    Reordered,
    /// It was here before.
    Duplicate,
    /// The same number again on other content: a sender that does not count.
    Stuck,
    /// So far off that a second one must confirm it.
    HeldBack,
}

/// Follows the sequence numbers of one stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct SeqTracker {
    stream: Option<Stream>,
}

#[derive(Clone, Copy, Debug)]
struct Stream {
    highest: SeqNum,
    /// Of the packet with the highest number.
    timestamp: RtpTimestamp,
    /// Bit n: `highest - n` was received.
    received: u128,
    /// What would confirm a jump.
    probation: Option<SeqNum>,
}

impl Stream {
    const fn starting(seq: SeqNum, timestamp: RtpTimestamp) -> Self {
        // Nothing before the first packet counts as missing: it came before we listened.
        Self {
            highest: seq,
            timestamp,
            received: u128::MAX,
            probation: None,
        }
    }
}

/// Whether a packet belongs before another one of its stream: its number is smaller, by no more than
/// packets are reordered, and it was not sent later.
pub(crate) fn is_before(
    (seq, timestamp): (SeqNum, RtpTimestamp),
    (other, other_timestamp): (SeqNum, RtpTimestamp),
) -> bool {
    (MAX_MISORDER + 1..0).contains(&seq.distance_from(other))
        && timestamp.distance_from(other_timestamp) <= 0
}

impl SeqTracker {
    /// Whether a packet is of no use any more where it belongs: it, or a later one, was here.
    pub(crate) fn is_past(&self, seq: SeqNum, timestamp: RtpTimestamp) -> bool {
        self.stream.is_some_and(|stream| {
            (seq, timestamp) == (stream.highest, stream.timestamp)
                || is_before((seq, timestamp), (stream.highest, stream.timestamp))
        })
    }

    /// Takes note of a packet and tells where it stands (RFC 3550 Appendix A.1).
    pub(crate) fn observe(&mut self, seq: SeqNum, timestamp: RtpTimestamp) -> Arrival {
        let Some(stream) = &mut self.stream else {
            self.stream = Some(Stream::starting(seq, timestamp));
            return Arrival::First;
        };
        let distance = seq.distance_from(stream.highest);
        match distance {
            1..MAX_DROPOUT => {
                let shift = u32::from(distance.unsigned_abs());
                stream.received = stream.received.checked_shl(shift).unwrap_or(0) | 1;
                stream.highest = seq;
                stream.timestamp = timestamp;
                stream.probation = None;
                match distance.unsigned_abs() - 1 {
                    0 => Arrival::InOrder,
                    missing => Arrival::Gap(missing),
                }
            }
            0 if timestamp != stream.timestamp => {
                stream.timestamp = timestamp;
                Arrival::Stuck
            }
            // Time does not run backwards from packet to packet (RFC 6295 §3.3), so this one is
            // newer than all before it, whatever its number: rtp-midi-rs goes on with the number
            // after the one that it received from us.
            MAX_MISORDER..0 if timestamp.distance_from(stream.timestamp) > 0 => {
                *stream = Stream::starting(seq, timestamp);
                Arrival::FellBack
            }
            MAX_MISORDER..=0 => {
                let bit = 1u128 << distance.unsigned_abs();
                if stream.received & bit != 0 {
                    return Arrival::Duplicate;
                }
                stream.received |= bit;
                Arrival::Reordered
            }
            _ if stream.probation == Some(seq) => {
                *stream = Stream::starting(seq, timestamp);
                Arrival::Jump
            }
            _ => {
                stream.probation = Some(seq.next());
                Arrival::HeldBack
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet of a sender whose clock goes with its numbers, over their end.
    fn observe(tracker: &mut SeqTracker, seq: u16) -> Arrival {
        let ticks = i32::from(SeqNum(seq).distance_from(SeqNum(0)));
        tracker.observe(SeqNum(seq), RtpTimestamp(ticks.cast_unsigned()))
    }

    #[test]
    fn a_stream_begins_anywhere_and_wraps() {
        let mut tracker = SeqTracker::default();
        assert_eq!(observe(&mut tracker, 65534), Arrival::First);
        assert_eq!(observe(&mut tracker, 65535), Arrival::InOrder);
        assert_eq!(observe(&mut tracker, 0), Arrival::InOrder);
        assert_eq!(observe(&mut tracker, 3), Arrival::Gap(2));
    }

    #[test]
    fn late_packets_and_duplicates_differ() {
        let mut tracker = SeqTracker::default();
        for (seq, arrival) in [
            (10, Arrival::First),
            (13, Arrival::Gap(2)),
            (11, Arrival::Reordered),
            (11, Arrival::Duplicate),
            (13, Arrival::Duplicate),
            (12, Arrival::Reordered),
            (14, Arrival::InOrder),
            (12, Arrival::Duplicate),
        ] {
            assert_eq!(observe(&mut tracker, seq), arrival, "packet {seq}");
        }
    }

    #[test]
    fn packets_from_before_the_first_are_not_taken_as_late() {
        let mut tracker = SeqTracker::default();
        observe(&mut tracker, 10);
        assert_eq!(observe(&mut tracker, 9), Arrival::Duplicate);
    }

    #[test]
    fn a_jump_needs_a_second_packet() {
        let mut tracker = SeqTracker::default();
        observe(&mut tracker, 10);
        assert_eq!(observe(&mut tracker, 5000), Arrival::HeldBack);
        assert_eq!(observe(&mut tracker, 11), Arrival::InOrder);
        assert_eq!(observe(&mut tracker, 5001), Arrival::HeldBack);
        assert_eq!(observe(&mut tracker, 5002), Arrival::Jump);
        assert_eq!(observe(&mut tracker, 5003), Arrival::InOrder);
        assert_eq!(observe(&mut tracker, 4800), Arrival::HeldBack);
        assert_eq!(observe(&mut tracker, 4801), Arrival::Jump);
    }

    #[test]
    fn a_sender_that_does_not_count_is_heard() {
        // pymidi's client sends the number 75 in every packet.
        let mut tracker = SeqTracker::default();
        assert_eq!(tracker.observe(SeqNum(75), RtpTimestamp(1)), Arrival::First);
        assert_eq!(tracker.observe(SeqNum(75), RtpTimestamp(2)), Arrival::Stuck);
        assert_eq!(
            tracker.observe(SeqNum(75), RtpTimestamp(2)),
            Arrival::Duplicate
        );
    }
}
