//! The clock exchange CK0, CK1, CK2 and what it tells about the peer's clock.

use netmidi_wire::{ClockTicks, RtpTimestamp};

use crate::time::Time;

/// Exchanges that the estimate is drawn from.
const WINDOW: usize = 8;
/// Exchanges that may overlap: a burst every 250 ms over a way of a second there and back, each
/// datagram delivered twice.
const OVERLAP: usize = 8;
/// An exchange loses one tick of its worth in so many: two quartz clocks part by up to 100
/// millionths, and half the round trip is what an exchange may be wrong by.
const DRIFT: u64 = 5000;

/// What one exchange told.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// The peer's clock minus ours, in ticks.
    offset: i64,
    /// Time on the way there and back, in ticks.
    round_trip: u64,
    /// When it ended, on our clock.
    at: ClockTicks,
}

/// The peer's clock as seen from ours.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClockSync {
    /// The last CK1s we sent: the peer's first timestamp and ours.
    answered: [Option<(ClockTicks, ClockTicks)>; OVERLAP],
    next_answer: usize,
    asked: [Option<ClockTicks>; OVERLAP],
    next_question: usize,
    samples: [Option<Sample>; WINDOW],
    next: usize,
}

impl ClockSync {
    /// The timestamps of a CK0 of ours.
    pub(crate) fn question(&mut self, now: Time) -> [ClockTicks; 3] {
        let first = now.to_ticks();
        if let Some(slot) = self.asked.get_mut(self.next_question) {
            *slot = Some(first);
        }
        self.next_question = (self.next_question + 1) % OVERLAP;
        [first, ClockTicks(0), ClockTicks(0)]
    }

    /// A CK1 came: the timestamps of the CK2 that answers it, if it answers a question of ours.
    pub(crate) fn answered(
        &mut self,
        now: Time,
        timestamps: [ClockTicks; 3],
    ) -> Option<[ClockTicks; 3]> {
        let [first, second, _] = timestamps;
        let asked = self.asked.iter_mut().find(|it| **it == Some(first))?;
        *asked = None;
        let third = now.to_ticks();
        let middle = (i128::from(first.0) + i128::from(third.0)) / 2;
        let offset = i64::try_from(i128::from(second.0) - middle).ok()?;
        if let Some(slot) = self.samples.get_mut(self.next) {
            *slot = Some(Sample {
                offset,
                round_trip: third.0.saturating_sub(first.0),
                at: third,
            });
        }
        self.next = (self.next + 1) % WINDOW;
        Some([first, second, third])
    }

    /// A CK0 came: the timestamps of the CK1 that answers it.
    pub(crate) fn answer(&mut self, now: Time, first: ClockTicks) -> [ClockTicks; 3] {
        let second = now.to_ticks();
        if let Some(slot) = self.answered.get_mut(self.next_answer) {
            *slot = Some((first, second));
        }
        self.next_answer = (self.next_answer + 1) % OVERLAP;
        [first, second, ClockTicks(0)]
    }

    /// A CK2 came. Returns whether it ends an exchange that we answered: a clock is moved by
    /// nothing else.
    pub(crate) fn complete(&mut self, now: Time, timestamps: [ClockTicks; 3]) -> bool {
        let [first, second, third] = timestamps;
        let mut answers = self.answered.iter_mut();
        let Some(answered) = answers.find(|answered| **answered == Some((first, second))) else {
            return false;
        };
        *answered = None;
        // (ts1 + ts3) / 2 - ts2, in a width that no timestamp of a peer can overflow.
        let middle = (i128::from(first.0) + i128::from(third.0)) / 2;
        let Ok(offset) = i64::try_from(middle - i128::from(second.0)) else {
            return false;
        };
        let at = now.to_ticks();
        let round_trip = at.0.saturating_sub(second.0);
        if let Some(slot) = self.samples.get_mut(self.next) {
            *slot = Some(Sample {
                offset,
                round_trip,
                at,
            });
        }
        self.next = (self.next + 1) % WINDOW;
        true
    }

    /// The offset of the exchange that was on the way for the shortest time, the one that queues
    /// disturbed least; unless it is so old that the clocks have parted by more.
    fn offset(&self, now: Time) -> Option<i64> {
        let now = now.to_ticks();
        self.samples
            .iter()
            .flatten()
            .min_by_key(|sample| {
                let age = now.0.saturating_sub(sample.at.0);
                (sample.round_trip.saturating_add(age / DRIFT), age)
            })
            .map(|sample| sample.offset)
    }

    /// The shortest round trip lately.
    pub(crate) fn round_trip(&self) -> Option<core::time::Duration> {
        let ticks = self
            .samples
            .iter()
            .flatten()
            .map(|it| it.round_trip)
            .min()?;
        Some(core::time::Duration::from_micros(ticks.saturating_mul(100)))
    }

    /// The moment on our clock that a peer's RTP timestamp means, as far as its clock is known.
    ///
    /// The timestamp is the low 32 bits of the peer's clock: it is taken to be the one nearest to
    /// what that clock shows now.
    pub(crate) fn to_local(&self, now: Time, timestamp: RtpTimestamp) -> Option<Time> {
        let offset = self.offset(now)?;
        let ours = now.to_ticks();
        let theirs = i128::from(ours.0) + i128::from(offset);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the low 32 bits are what RTP carries"
        )]
        let shown = RtpTimestamp(theirs as u32);
        let ahead = i64::from(timestamp.distance_from(shown));
        let ticks = i128::from(ours.0) + i128::from(ahead);
        Some(Time::from_ticks(ClockTicks(
            u64::try_from(ticks).unwrap_or(0),
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(clock: &mut ClockSync, sent: u64, way: u64, ahead: u64) -> bool {
        // The peer's clock is `ahead` of ours; every datagram takes `way` ticks.
        let first = ClockTicks(sent + ahead);
        let [first, second, _] = clock.answer(ticks(sent + way), first);
        let third = ClockTicks(sent + 2 * way + ahead);
        clock.complete(ticks(sent + 3 * way), [first, second, third])
    }

    fn ticks(ticks: u64) -> Time {
        Time::from_ticks(ClockTicks(ticks))
    }

    #[test]
    fn without_an_exchange_nothing_is_known() {
        assert_eq!(
            ClockSync::default().to_local(Time::from_secs(1), RtpTimestamp(5)),
            None
        );
    }

    #[test]
    fn the_peers_time_becomes_ours() {
        let mut clock = ClockSync::default();
        assert!(exchange(&mut clock, 1000, 10, 0xFFFF_FFF0));
        // 2,000 ticks on our clock are 0x1_0000_07C0 on the peer's.
        let local = clock.to_local(ticks(2000), RtpTimestamp(0x7C0));
        assert_eq!(local, Some(ticks(2000)));
        // And one that wraps back below the 32-bit border.
        let before = 0xFFFF_FFF0u32.wrapping_add(10);
        assert_eq!(
            clock.to_local(ticks(2000), RtpTimestamp(before)),
            Some(ticks(10))
        );
    }

    #[test]
    fn the_quickest_exchange_counts() {
        let mut clock = ClockSync::default();
        assert!(exchange(&mut clock, 1000, 2, 500));
        let first = ClockTicks(5000 + 900);
        let [first, second, _] = clock.answer(ticks(5040), first);
        assert!(clock.complete(ticks(9000), [first, second, ClockTicks(5900)]));
        assert_eq!(
            clock.to_local(ticks(6000), RtpTimestamp(6500)),
            Some(ticks(6000))
        );
    }

    #[test]
    fn an_exchange_that_we_did_not_answer_moves_nothing() {
        let mut clock = ClockSync::default();
        assert!(!clock.complete(ticks(10), [ClockTicks(1), ClockTicks(2), ClockTicks(3)]));
        let [first, second, _] = clock.answer(ticks(20), ClockTicks(7));
        assert!(!clock.complete(ticks(30), [first, ClockTicks(second.0 + 1), ClockTicks(9)]));
        assert!(clock.complete(ticks(30), [first, second, ClockTicks(9)]));
        assert!(!clock.complete(ticks(31), [first, second, ClockTicks(9)]));
        assert!(clock.offset(ticks(31)).is_some());
    }

    #[test]
    fn absurd_clocks_do_not_overflow() {
        let mut clock = ClockSync::default();
        let [first, second, _] = clock.answer(ticks(20), ClockTicks(u64::MAX));
        assert!(!clock.complete(ticks(30), [first, second, ClockTicks(u64::MAX)]));
        let [first, second, _] = clock.answer(Time::from_micros(u64::MAX), ClockTicks(0));
        assert!(clock.complete(Time::from_micros(u64::MAX), [first, second, ClockTicks(0)]));
        assert!(clock.to_local(Time::ZERO, RtpTimestamp(0)).is_some());
    }
}
