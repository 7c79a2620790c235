//! From packets of one participant to messages: sequence and SysEx joining.

use alloc::vec::Vec;

use netmidi_message::SysEx;
use netmidi_wire::{RtpTimestamp, SegmentKind, SeqNum, SysExSegment};

/// A jump forward by this many packets or more is not loss but perhaps another stream
/// (RFC 3550 Appendix A.1, MAX_DROPOUT).
const MAX_DROPOUT: i16 = 3000;
/// A packet further back than this is not reordered but perhaps of another stream
/// (RFC 3550 Appendix A.1, MAX_MISORDER).
const MAX_MISORDER: i16 = -100;

/// Where a packet stands in its stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Arrival {
    /// The first of a stream, or of one taken up anew.
    First {
        /// Whether there was a stream before.
        resynchronised: bool,
    },
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

impl SeqTracker {
    /// Takes note of a packet and tells where it stands (RFC 3550 Appendix A.1).
    pub(crate) fn observe(&mut self, seq: SeqNum, timestamp: RtpTimestamp) -> Arrival {
        let Some(stream) = &mut self.stream else {
            self.stream = Some(Stream::starting(seq, timestamp));
            return Arrival::First {
                resynchronised: false,
            };
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
                Arrival::First {
                    resynchronised: true,
                }
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
                Arrival::First {
                    resynchronised: true,
                }
            }
            _ => {
                stream.probation = Some(seq.next());
                Arrival::HeldBack
            }
        }
    }
}

/// What a segment did to the message in progress.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Joined<'a> {
    /// More is to come.
    Partial,
    /// A whole message.
    Whole(SysEx<'a>),
    /// A message was given up: cut by another, cancelled, or a part of it is missing.
    Abandoned,
    /// A message was given up because it passed the bound.
    TooLong,
    /// Nothing was in progress and nothing came of it.
    Ignored,
}

/// Puts segmented system exclusive messages together (RFC 6295 §3.2).
#[derive(Clone, Debug)]
pub(crate) struct SysExJoiner {
    data: Vec<u8>,
    limit: usize,
    open: bool,
}

impl SysExJoiner {
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            data: Vec::new(),
            limit,
            open: false,
        }
    }

    /// Forgets a message in progress. Returns whether there was one.
    pub(crate) fn abandon(&mut self) -> bool {
        self.data.clear();
        core::mem::take(&mut self.open)
    }

    /// Gives back the memory of a long message that is done with.
    pub(crate) fn release(&mut self) {
        if !self.open {
            self.data.clear();
            self.data.shrink_to(KEPT_CAPACITY);
        }
    }

    /// Takes the next segment. The second value is whether a message in progress before it was
    /// given up for it.
    pub(crate) fn join<'a>(&'a mut self, segment: SysExSegment<'a>) -> (Joined<'a>, bool) {
        let data = segment.data();
        match segment.kind() {
            SegmentKind::Whole | SegmentKind::WholeDroppedEnd => {
                let cut = self.abandon();
                (self.whole(data), cut)
            }
            SegmentKind::First => {
                let cut = self.abandon();
                self.open = true;
                (self.append(data), cut)
            }
            // The beginning was lost: what follows it is of no use.
            _ if !self.open => (Joined::Ignored, false),
            SegmentKind::Middle => (self.append(data), false),
            SegmentKind::Last | SegmentKind::LastDroppedEnd => match self.append(data) {
                Joined::Partial => {
                    self.open = false;
                    (
                        SysEx::new(&self.data).map_or(Joined::Abandoned, Joined::Whole),
                        false,
                    )
                }
                given_up => (given_up, false),
            },
            SegmentKind::Cancel => {
                self.abandon();
                (Joined::Abandoned, false)
            }
        }
    }

    fn whole<'a>(&self, data: &'a [u8]) -> Joined<'a> {
        if data.len() > self.limit {
            return Joined::TooLong;
        }
        SysEx::new(data).map_or(Joined::Abandoned, Joined::Whole)
    }

    fn append<'a>(&mut self, data: &[u8]) -> Joined<'a> {
        if self.data.len() + data.len() > self.limit {
            self.abandon();
            self.release();
            return Joined::TooLong;
        }
        self.data.extend_from_slice(data);
        Joined::Partial
    }
}

/// Octets of buffer kept for the next message: a message near the bound must not keep its memory
/// for ever.
const KEPT_CAPACITY: usize = 4096;

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
        assert_eq!(
            observe(&mut tracker, 65534),
            Arrival::First {
                resynchronised: false
            }
        );
        assert_eq!(observe(&mut tracker, 65535), Arrival::InOrder);
        assert_eq!(observe(&mut tracker, 0), Arrival::InOrder);
        assert_eq!(observe(&mut tracker, 3), Arrival::Gap(2));
    }

    #[test]
    fn late_packets_and_duplicates_differ() {
        let mut tracker = SeqTracker::default();
        for (seq, arrival) in [
            (
                10,
                Arrival::First {
                    resynchronised: false,
                },
            ),
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
        assert_eq!(
            observe(&mut tracker, 5002),
            Arrival::First {
                resynchronised: true
            }
        );
        assert_eq!(observe(&mut tracker, 5003), Arrival::InOrder);
        assert_eq!(observe(&mut tracker, 4800), Arrival::HeldBack);
        assert_eq!(
            observe(&mut tracker, 4801),
            Arrival::First {
                resynchronised: true
            }
        );
    }

    #[test]
    fn a_sender_that_does_not_count_is_heard() {
        // pymidi's client sends the number 75 in every packet.
        let mut tracker = SeqTracker::default();
        assert_eq!(
            tracker.observe(SeqNum(75), RtpTimestamp(1)),
            Arrival::First {
                resynchronised: false
            }
        );
        assert_eq!(tracker.observe(SeqNum(75), RtpTimestamp(2)), Arrival::Stuck);
        assert_eq!(
            tracker.observe(SeqNum(75), RtpTimestamp(2)),
            Arrival::Duplicate
        );
    }

    fn segment(kind: SegmentKind, data: &[u8]) -> SysExSegment<'_> {
        SysExSegment::new(kind, data).unwrap()
    }

    #[test]
    fn segments_become_one_message() {
        let mut joiner = SysExJoiner::new(100);
        assert_eq!(
            joiner.join(segment(SegmentKind::First, &[1, 2])),
            (Joined::Partial, false)
        );
        assert_eq!(
            joiner.join(segment(SegmentKind::Middle, &[3])),
            (Joined::Partial, false)
        );
        let whole = SysEx::new(&[1, 2, 3, 4]).map(Joined::Whole);
        assert_eq!(Some(joiner.join(segment(SegmentKind::Last, &[4])).0), whole);
        assert_eq!(
            joiner.join(segment(SegmentKind::Last, &[4])),
            (Joined::Ignored, false)
        );
    }

    #[test]
    fn a_message_is_cut_by_the_next() {
        let mut joiner = SysExJoiner::new(100);
        joiner.join(segment(SegmentKind::First, &[1, 2]));
        assert_eq!(
            joiner.join(segment(SegmentKind::First, &[5])),
            (Joined::Partial, true)
        );
        let whole = SysEx::new(&[9]).map(Joined::Whole);
        let (joined, cut) = joiner.join(segment(SegmentKind::Whole, &[9]));
        assert_eq!((Some(joined), cut), (whole, true));
        assert_eq!(
            joiner.join(segment(SegmentKind::Last, &[])),
            (Joined::Ignored, false)
        );
    }

    #[test]
    fn a_cancelled_message_is_forgotten() {
        let mut joiner = SysExJoiner::new(100);
        joiner.join(segment(SegmentKind::First, &[1]));
        assert_eq!(
            joiner.join(segment(SegmentKind::Cancel, &[])),
            (Joined::Abandoned, false)
        );
        assert_eq!(
            joiner.join(segment(SegmentKind::Last, &[2])),
            (Joined::Ignored, false)
        );
    }

    #[test]
    fn the_memory_of_a_long_message_is_given_back() {
        let mut joiner = SysExJoiner::new(1 << 20);
        let data = alloc::vec![1; 100_000];
        joiner.join(segment(SegmentKind::First, &data));
        joiner.release();
        assert!(
            joiner.data.capacity() >= data.len(),
            "not while it is in progress"
        );
        assert!(matches!(
            joiner.join(segment(SegmentKind::Last, &[2])).0,
            Joined::Whole(_)
        ));
        joiner.release();
        assert!(joiner.data.capacity() <= KEPT_CAPACITY);
    }

    #[test]
    fn the_bound_holds_exactly() {
        let mut joiner = SysExJoiner::new(4);
        joiner.join(segment(SegmentKind::First, &[1, 2]));
        let whole = SysEx::new(&[1, 2, 3, 4]).map(Joined::Whole);
        assert_eq!(
            Some(joiner.join(segment(SegmentKind::Last, &[3, 4])).0),
            whole
        );
        joiner.join(segment(SegmentKind::First, &[1, 2]));
        assert_eq!(
            joiner.join(segment(SegmentKind::Middle, &[3, 4, 5])).0,
            Joined::TooLong
        );
        assert_eq!(
            joiner.join(segment(SegmentKind::Last, &[6])).0,
            Joined::Ignored
        );
        assert_eq!(
            joiner.join(segment(SegmentKind::Whole, &[0; 5])).0,
            Joined::TooLong
        );
    }
}
