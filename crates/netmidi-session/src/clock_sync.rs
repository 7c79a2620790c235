//! The clock exchange CK0, CK1, CK2 and what it tells about the peer's clock.
//!
//! A peer's clock reading was made after what we sent before it and before what we received after
//! it. So each exchange gives two bounds for the peer's clock minus ours, as far apart as the round
//! trip took, whatever the two ways of it were; and the bounds of several exchanges, carried on to
//! one moment, narrow each other down (K. A. Marzullo, "Maintaining the Time in a Distributed
//! System", 1984).

use alloc::boxed::Box;
use core::time::Duration;

use netmidi_wire::{ClockTicks, RtpTimestamp};

use crate::time::{Time, WireClock};

/// Exchanges that the estimate is drawn from.
const WINDOW: usize = 16;
/// Exchanges that may overlap, for each side that began them: a burst every 250 ms over a way of
/// two seconds there and back, each datagram delivered twice.
const OVERLAP: usize = 16;
/// An exchange counts for nothing whose round trip is so many times the median.
const OUTLIER: u64 = 3;

/// Microseconds in one tick.
const TICK: i128 = 100;
/// Clocks that count milliseconds (the Arduino library) move by so many ticks.
const COARSE: u64 = 10;
/// So many readings in a row that share their last digit can be of such a clock.
const COARSE_READINGS: u8 = 5;

/// Two quartz clocks part by no more than this, in parts per billion, until it has been measured.
const DRIFT: i64 = 100_000;
/// And during a burst of exchanges by no more than this: they have the same temperature then, and
/// most differ by less.
const BURST_DRIFT: i64 = 60_000;
/// So long a burst lasts, in microseconds.
const BURST: u64 = 3_000_000;
/// No clock is believed to run faster or slower than this; one that seems to has been set.
const MAX_DRIFT: i64 = 500_000;
/// What a drift that was measured may change by.
const WANDER: i64 = 1_000;
const BILLION: i128 = 1_000_000_000;

/// A participant's clock as seen from ours, by
/// [`Session::participant_clock`](crate::Session::participant_clock).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ClockEstimate {
    /// The participant's clock minus ours, in microseconds, at the moment of asking: its AppleMIDI
    /// clock minus the [`Time`] of the session. Both begin anywhere, so only changes of it say
    /// something. Saturates.
    pub offset: i64,
    /// How far off [`offset`](Self::offset) is at most: half the best round trip or less, half a
    /// step of the participant's clock, and what the clocks may have parted by since. It holds for
    /// any difference between the ways there and back, as long as clocks part by no more than 100
    /// millionths until their drift is known.
    pub uncertainty: Duration,
    /// How much faster the participant's clock runs than ours, in parts per billion (1,000 are one
    /// ppm): the middle of what the exchanges allow.
    pub drift_ppb: i32,
    /// The quickest of the last 16 exchanges, there and back.
    pub round_trip: Duration,
    /// Half of it: how long a packet is on the way, if both ways take equally long.
    pub latency: Duration,
    /// Exchanges that were completed, begun by either side.
    pub exchanges: u64,
    /// How long ago the last one was.
    pub age: Duration,
}

/// What one exchange told: as little of it as there can be, since every participant has many.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// What the peer's clock showed last.
    reading: ClockTicks,
    /// When we sent, on our clock.
    from: Time,
    /// How long after that we received, in microseconds.
    took: u32,
    /// How far apart the bounds are for the peer's clock minus ours, in microseconds: never more
    /// than the round trip took.
    width: u32,
}

impl Sample {
    const NONE: Self = Self {
        reading: ClockTicks(0),
        from: Time::ZERO,
        took: 0,
        width: 0,
    };

    /// The middle of the round trip, on our clock.
    fn at(&self) -> Time {
        self.from + Duration::from_micros(self.round_trip() / 2)
    }

    /// Time on the way there and back, in microseconds.
    fn round_trip(&self) -> u64 {
        self.took.into()
    }

    /// Between these the peer's clock minus ours was, in microseconds: wider by the steps of the
    /// peer's clock and by what it may have moved during the round trip.
    fn bounds(&self, step: i128) -> Bounds {
        let slack = (step + drifted(BURST_DRIFT, self.round_trip())) / 2 + 1;
        let high = micros(self.reading) - i128::from(self.from.as_micros());
        Bounds {
            at: self.at(),
            low: high - i128::from(self.width) - slack,
            high: high + slack,
        }
    }
}

/// The peer's clock minus ours at one moment, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Bounds {
    at: Time,
    low: i128,
    high: i128,
}

/// The last exchanges that are open: when we sent, and what we were sent before it.
#[derive(Clone, Debug)]
struct Open {
    sent: [(Time, ClockTicks); OVERLAP],
    /// Those that have not ended, as bits.
    open: u16,
    next: usize,
}

const _: () = assert!(OVERLAP == u16::BITS as usize);

impl Open {
    const NONE: Self = Self {
        sent: [(Time::ZERO, ClockTicks(0)); OVERLAP],
        open: 0,
        next: 0,
    };

    /// One more; of more than there is room for the oldest is forgotten.
    fn begin(&mut self, now: Time, theirs: ClockTicks) {
        if let Some(slot) = self.sent.get_mut(self.next) {
            *slot = (now, theirs);
        }
        self.open |= 1 << self.next;
        self.next = (self.next + 1) % OVERLAP;
    }

    /// Ends one of those that are meant, and returns when we sent.
    fn end(&mut self, is_meant: impl Fn(Time, ClockTicks) -> bool) -> Option<Time> {
        let mut sent = self.sent.iter().enumerate();
        let (n, (at, _)) =
            sent.find(|(n, (at, theirs))| self.open & (1 << n) != 0 && is_meant(*at, *theirs))?;
        self.open &= !(1 << n);
        Some(*at)
    }
}

/// The estimate: a straight line and how far beside it the truth may be.
#[derive(Clone, Copy, Debug)]
struct Line {
    at: Time,
    /// The peer's clock, as it shows, minus ours, in microseconds.
    offset: i128,
    /// In parts per billion.
    drift: i64,
    /// How far off the offset is at most, in microseconds.
    error: i128,
    /// By how much that grows, in parts per billion.
    growth: i64,
}

impl Line {
    fn offset(&self, now: Time) -> i128 {
        let (now, at) = (i128::from(now.as_micros()), i128::from(self.at.as_micros()));
        self.offset + i128::from(self.drift) * (now - at) / BILLION
    }

    fn error(&self, now: Time) -> i128 {
        self.error + drifted(self.growth, between(now, self.at))
    }
}

/// The peer's clock as seen from ours.
#[derive(Clone, Debug)]
pub(crate) struct ClockSync {
    clock: WireClock,
    /// The last CK0s we sent, once there was one: as a rule only one side asks.
    asked: Option<Box<Open>>,
    /// The last CK1s we sent, with the peer's first timestamp.
    answered: Option<Box<Open>>,
    /// The last exchanges, of which `kept` are one, in any order.
    samples: [Sample; WINDOW],
    kept: u8,
    next_sample: u8,
    /// An exchange that contradicts those before it: the next one decides.
    suspect: Option<Sample>,
    line: Option<Line>,
    /// The last digit of the peer's readings, and how many in a row had it.
    digit: (u64, u8),
    /// Whether it moves in steps of a millisecond.
    is_coarse: bool,
    exchanges: u64,
    last_at: Time,
}

impl ClockSync {
    /// Nothing is known yet. `clock` is what our own timestamps show.
    pub(crate) const fn new(clock: WireClock) -> Self {
        Self {
            clock,
            asked: None,
            answered: None,
            samples: [Sample::NONE; WINDOW],
            kept: 0,
            next_sample: 0,
            suspect: None,
            line: None,
            digit: (0, 0),
            is_coarse: false,
            exchanges: 0,
            last_at: Time::ZERO,
        }
    }

    /// The timestamps of a CK0 that we send now. Of more than 16 without an answer the oldest is
    /// forgotten.
    pub(crate) fn question(&mut self, now: Time) -> [ClockTicks; 3] {
        let first = self.clock.ticks(now);
        let asked = self.asked.get_or_insert_with(|| Box::new(Open::NONE));
        asked.begin(now, ClockTicks(0));
        [first, ClockTicks(0), ClockTicks(0)]
    }

    /// A CK1 came: the timestamps of the CK2 that ends the exchange. `None` when it answers no
    /// question of ours that is still open; nothing changes then.
    pub(crate) fn answered(
        &mut self,
        now: Time,
        timestamps: [ClockTicks; 3],
    ) -> Option<[ClockTicks; 3]> {
        let [first, second, _] = timestamps;
        let clock = self.clock;
        let asked = self.asked.as_mut()?;
        let asked_at = asked.end(|at, _| clock.ticks(at) == first)?;
        // The peer read its clock between our question and its answer.
        self.read(second);
        // One that took an hour tells nothing.
        if let Ok(took) = u32::try_from(between(asked_at, now)) {
            self.take(
                now,
                Sample {
                    reading: second,
                    from: asked_at,
                    took,
                    width: took,
                },
            );
        }
        Some([first, second, self.clock.ticks(now)])
    }

    /// A CK0 came: the timestamps of the CK1 that answers it.
    pub(crate) fn answer(&mut self, now: Time, first: ClockTicks) -> [ClockTicks; 3] {
        let answered = self.answered.get_or_insert_with(|| Box::new(Open::NONE));
        answered.begin(now, first);
        [first, self.clock.ticks(now), ClockTicks(0)]
    }

    /// A CK2 came. Returns whether it ends an exchange that we answered: a clock is moved by
    /// nothing else.
    pub(crate) fn complete(&mut self, now: Time, timestamps: [ClockTicks; 3]) -> bool {
        let [first, second, third] = timestamps;
        let clock = self.clock;
        let answered = self.answered.as_mut();
        let Some(answered_at) = answered.and_then(|answered| {
            answered.end(|at, theirs| theirs == first && clock.ticks(at) == second)
        }) else {
            return false;
        };
        if third < first {
            // It was set meanwhile, or is none.
            return true;
        }
        self.read(first);
        self.read(third);
        // It read its clock before our answer and after it, and then before now.
        let moved = u32::try_from(micros(third) - micros(first)).unwrap_or(u32::MAX);
        if let Ok(took) = u32::try_from(between(answered_at, now)) {
            self.take(
                now,
                Sample {
                    reading: third,
                    from: answered_at,
                    took,
                    width: moved.min(took),
                },
            );
        }
        true
    }

    /// The peer's clock as it is now, once there was an exchange.
    pub(crate) fn estimate(&self, now: Time) -> Option<ClockEstimate> {
        let line = self.line?;
        // A clock shows the step that has begun: it is half a step further, on average.
        let offset = line.offset(now) + self.step() / 2;
        let round_trip = self.round_trip().unwrap_or_default();
        Some(ClockEstimate {
            offset: i64::try_from(offset).unwrap_or(if offset < 0 { i64::MIN } else { i64::MAX }),
            uncertainty: duration(line.error(now)),
            drift_ppb: i32::try_from(line.drift).unwrap_or_default(),
            round_trip,
            latency: round_trip / 2,
            exchanges: self.exchanges,
            age: now.since(self.last_at),
        })
    }

    /// The shortest round trip lately.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        let samples = self.samples().iter();
        samples
            .map(|it| Duration::from_micros(it.round_trip()))
            .min()
    }

    /// Whether there was an exchange.
    pub(crate) const fn is_known(&self) -> bool {
        self.line.is_some()
    }

    /// The moment on our clock that a peer's RTP timestamp means, as far as its clock is known.
    ///
    /// The timestamp is the low 32 bits of the peer's clock: it is taken to be the one nearest to
    /// what that clock shows now.
    pub(crate) fn to_local(&self, now: Time, timestamp: RtpTimestamp) -> Option<Time> {
        let offset = self.line.as_ref()?.offset(now);
        let shown = (i128::from(now.as_micros()) + offset).div_euclid(TICK);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the low 32 bits are what RTP carries"
        )]
        let ahead = timestamp.distance_from(RtpTimestamp(shown as u32));
        let local = (shown + i128::from(ahead)) * TICK - offset;
        let local = u64::try_from(local.max(0)).unwrap_or(u64::MAX);
        Some(Time::from_micros(local))
    }

    /// The step in which the peer's clock moves, in microseconds.
    const fn step(&self) -> i128 {
        if self.is_coarse {
            TICK * COARSE as i128
        } else {
            TICK
        }
    }

    /// Learns in which steps the peer's clock moves.
    const fn read(&mut self, reading: ClockTicks) {
        let digit = reading.0 % COARSE;
        let (last, count) = self.digit;
        self.digit = if digit == last {
            (digit, count.saturating_add(1))
        } else {
            self.is_coarse = false;
            (digit, 1)
        };
    }

    /// An exchange has ended.
    fn take(&mut self, now: Time, sample: Sample) {
        self.exchanges += 1;
        self.last_at = now;
        let mut contradicts = self.contradicts(&sample);
        if contradicts && !self.is_coarse && self.digit.1 >= COARSE_READINGS {
            // Perhaps nobody has set it, and it only moves in large steps.
            self.is_coarse = true;
            contradicts = self.contradicts(&sample);
            self.is_coarse = !contradicts;
        }
        if !contradicts {
            self.suspect = None;
            self.push(sample);
        } else if let Some(before) = self.suspect.take() {
            self.restart(before, sample);
        } else {
            self.suspect = Some(sample);
            return;
        }
        self.line = self.fit();
    }

    fn push(&mut self, sample: Sample) {
        if let Some(slot) = self.samples.get_mut(usize::from(self.next_sample)) {
            *slot = sample;
        }
        self.next_sample = (self.next_sample + 1) % WINDOW as u8;
        self.kept = self.kept.saturating_add(1).min(WINDOW as u8);
    }

    fn samples(&self) -> &[Sample] {
        self.samples
            .get(..usize::from(self.kept))
            .unwrap_or_default()
    }

    /// Whether an exchange and the estimate cannot both be right. One that was on the way for so
    /// long that it does not count is not asked.
    fn contradicts(&self, sample: &Sample) -> bool {
        let Some(line) = &self.line else {
            return false;
        };
        let Bounds { at, low, high } = sample.bounds(self.step());
        let (offset, error) = (line.offset(at), line.error(at));
        sample.round_trip() <= self.longest_round_trip()
            && (offset + error < low || offset - error > high)
    }

    /// Two exchanges in a row contradict the estimate: the peer's clock was set, or it runs faster
    /// or slower than was thought.
    fn restart(&mut self, before: Sample, sample: Sample) {
        let step = self.step();
        let last = self.samples().iter().max_by_key(|it| it.at());
        let line = last.map(|last| [*last, before, sample]);
        self.kept = 0;
        self.next_sample = 0;
        if let Some(line) = line
            && drift_range(&line.map(|it| it.bounds(step))).is_some()
        {
            for sample in line {
                self.push(sample);
            }
            return;
        }
        if drift_range(&[before, sample].map(|it| it.bounds(step))).is_some() {
            self.push(before);
        }
        self.push(sample);
    }

    /// The longest round trip of an exchange that counts.
    fn longest_round_trip(&self) -> u64 {
        let mut sorted = [u64::MAX; WINDOW];
        let mut count: usize = 0;
        for (slot, sample) in sorted.iter_mut().zip(self.samples().iter()) {
            *slot = sample.round_trip();
            count += 1;
        }
        // Those that are not there stand at the end.
        sorted.sort_unstable();
        let median = sorted.get(count.saturating_sub(1) / 2);
        // A tick more: of nothing three times is nothing.
        let tick = TICK.unsigned_abs() as u64;
        median.map_or(u64::MAX, |it| {
            it.saturating_mul(OUTLIER).saturating_add(tick)
        })
    }

    /// The line that most exchanges allow.
    fn fit(&self) -> Option<Line> {
        let (step, longest) = (self.step(), self.longest_round_trip());
        // Each is asked for more than once below.
        let mut room = [Bounds::default(); WINDOW];
        let mut count = 0;
        let counting = self.samples().iter();
        let counting = counting.filter(|it| it.round_trip() <= longest);
        for (slot, sample) in room.iter_mut().zip(counting) {
            *slot = sample.bounds(step);
            count += 1;
        }
        let samples = room.get_mut(..count)?;
        let at = samples.iter().map(|it| it.at).max()?;
        let first = samples.iter().map(|it| it.at).min()?;
        let is_burst = between(at, first) <= BURST;
        let prior = if is_burst { BURST_DRIFT } else { DRIFT };
        let (min, max) = match drift_range(samples) {
            Some((min, max)) if min <= prior && max >= -prior => (min.max(-prior), max.min(prior)),
            Some(measured) => measured,
            None => (-prior, prior),
        };
        let drift = i64::midpoint(min, max);
        let spread = (max - min) / 2 + WANDER;
        // Carried on to the last.
        for it in &mut *samples {
            let age = between(at, it.at);
            let moved = i128::from(drift) * i128::from(age) / BILLION;
            let more = drifted(spread, age);
            it.low += moved - more;
            it.high += moved + more;
        }
        // Where most of the bounds overlap; that begins at a lower bound.
        let (_, _, low, high) = samples
            .iter()
            .map(|&Bounds { low, high, .. }| {
                let others = samples.iter().filter(|it| it.low <= low && it.high >= low);
                let (count, high) = others.fold((0u32, high), |(count, high), it| {
                    (count + 1, high.min(it.high))
                });
                (count, low - high, low, high)
            })
            .max()?;
        Some(Line {
            at,
            offset: low + (high - low) / 2,
            drift,
            error: ((high - low) / 2 + 1).max(TICK / 2),
            growth: if is_burst { DRIFT.max(spread) } else { spread },
        })
    }
}

/// Between which the drift lies that all of these allow, in parts per billion; `None` when there is
/// no such drift, or none to be believed.
fn drift_range(samples: &[Bounds]) -> Option<(i64, i64)> {
    let (mut min, mut max) = (i128::from(-MAX_DRIFT), i128::from(MAX_DRIFT));
    for later in samples {
        for earlier in samples.iter().filter(|it| it.at < later.at) {
            let time = i128::from(between(later.at, earlier.at));
            let least = (later.low - earlier.high) * BILLION;
            let most = (later.high - earlier.low) * BILLION;
            // To divide takes longest, and most pairs tell nothing new.
            if least > min * time {
                min = min.max(least / time);
            }
            if most < max * time {
                max = max.min(most / time);
            }
        }
    }
    let range = i64::try_from(min).ok()?..=i64::try_from(max).ok()?;
    (!range.is_empty()).then(|| range.into_inner())
}

fn micros(ticks: ClockTicks) -> i128 {
    i128::from(ticks.0) * TICK
}

const fn between(a: Time, b: Time) -> u64 {
    a.as_micros().abs_diff(b.as_micros())
}

/// What a drift comes to in this time, both in the same unit, rounded up.
fn drifted(drift: i64, time: u64) -> i128 {
    (i128::from(drift) * i128::from(time) + BILLION - 1) / BILLION
}

fn duration(micros: i128) -> Duration {
    Duration::from_micros(u64::try_from(micros.max(0)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use alloc::vec::Vec;

    use netmidi_testkit::Rng;

    use super::*;

    /// A peer whose clock shows steps of 100 µs and parts from ours.
    #[derive(Clone, Copy)]
    struct Clock {
        /// What it shows when ours shows 0, in microseconds.
        ahead: i128,
        /// In parts per billion.
        drift: i64,
        /// In microseconds.
        step: i128,
    }

    impl Clock {
        fn micros(self, now: Time) -> i128 {
            let now = i128::from(now.as_micros());
            self.ahead + now + now * i128::from(self.drift) / BILLION
        }

        fn reading(self, now: Time) -> ClockTicks {
            let ticks = self.micros(now) / self.step * (self.step / TICK);
            ClockTicks(u64::try_from(ticks).unwrap())
        }

        /// One exchange that begins now, each way for so many microseconds. Returns when it ends.
        fn exchange(self, sync: &mut ClockSync, side: Side, now: Time, ways: [u64; 3]) -> Time {
            let mut times = ways.into_iter().scan(now, |at, way| {
                *at = *at + Duration::from_micros(way);
                Some(*at)
            });
            let mut next = || times.next().unwrap();
            match side {
                Side::Initiator => {
                    let [first, ..] = sync.question(now);
                    let second = self.reading(next());
                    let end = next();
                    let ck1 = [first, second, ClockTicks(0)];
                    let ck2 = sync.answered(end, ck1);
                    assert_eq!(ck2, Some([first, second, sync.clock.ticks(end)]));
                    end
                }
                Side::Responder => {
                    let first = self.reading(now);
                    let [first, second, _] = sync.answer(next(), first);
                    let third = self.reading(next());
                    let end = next();
                    assert!(sync.complete(end, [first, second, third]));
                    end
                }
            }
        }

        /// How far off the estimate is, in microseconds.
        fn error(self, estimate: &ClockEstimate, now: Time) -> u64 {
            let truth = self.micros(now) - i128::from(now.as_micros());
            u64::try_from((i128::from(estimate.offset) - truth).abs()).unwrap()
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Side {
        Initiator,
        Responder,
    }

    const SIDES: [Side; 2] = [Side::Initiator, Side::Responder];
    const START: Time = Time::from_secs(1000);

    fn sync() -> ClockSync {
        ClockSync::new(WireClock::new(ClockTicks(0x123_4567_89AB)))
    }

    fn exact(ahead: i128) -> Clock {
        Clock {
            ahead,
            drift: 0,
            step: TICK,
        }
    }

    #[test]
    fn without_an_exchange_nothing_is_known() {
        assert_eq!(sync().to_local(START, RtpTimestamp(5)), None);
        assert_eq!(sync().estimate(START), None);
    }

    #[test]
    fn the_peers_time_becomes_ours() {
        for side in SIDES {
            let mut sync = sync();
            // 2,000 ticks on our clock are 0x1_0000_07C0 on the peer's.
            let clock = exact(0xFFFF_FFF0 * TICK);
            clock.exchange(&mut sync, side, Time::from_millis(100), [1000; 3]);
            let now = Time::from_millis(200);
            for ticks in [2000, 10] {
                let timestamp = clock.reading(Time::from_micros(ticks * 100)).to_rtp();
                let local = sync.to_local(now, timestamp);
                assert_eq!(local, Some(Time::from_micros(ticks * 100)), "{side:?}");
            }
        }
    }

    #[test]
    fn what_one_side_of_a_round_trip_costs_is_told() {
        // All of it on the way to the peer, then all on the way back.
        for (side, ways, off) in [
            (Side::Initiator, [10_000, 0, 0], 5_000),
            (Side::Initiator, [0, 10_000, 0], -5_000),
            (Side::Responder, [0, 10_000, 0], 5_000),
            // The peer's first reading tells that the way to us took no time.
            (Side::Responder, [0, 0, 10_000], 0),
        ] {
            let mut sync = sync();
            let end = exact(7_000_000).exchange(&mut sync, side, START, ways);
            let estimate = sync.estimate(end).unwrap();
            assert_eq!(estimate.offset, 7_000_050 + off, "{side:?}");
            assert_eq!(estimate.round_trip, Duration::from_millis(10));
            assert_eq!(estimate.latency, Duration::from_millis(5));
            assert!(estimate.uncertainty >= Duration::from_micros(off.unsigned_abs() + 50));
            assert!(estimate.uncertainty <= Duration::from_micros(5_060));
        }
    }

    #[test]
    fn exchanges_narrow_each_other_down() {
        let mut sync = sync();
        let clock = exact(7_000_000);
        let end = clock.exchange(&mut sync, Side::Initiator, START, [0, 10_000, 0]);
        let end = clock.exchange(&mut sync, Side::Initiator, end, [10_000, 0, 0]);
        let estimate = sync.estimate(end).unwrap();
        assert_eq!(estimate.offset, 7_000_050);
        assert!(
            estimate.uncertainty < Duration::from_micros(60),
            "{estimate:?}"
        );
        assert_eq!(estimate.exchanges, 2);
        assert_eq!(
            sync.estimate(end + Duration::from_secs(3))
                .unwrap()
                .age
                .as_secs(),
            3
        );
    }

    #[test]
    fn an_exchange_that_took_three_times_as_long_counts_for_nothing() {
        let mut sync = sync();
        let clock = exact(7_000_000);
        for n in 0..3 {
            let now = START + Duration::from_millis(n * 250);
            clock.exchange(&mut sync, Side::Initiator, now, [1000; 3]);
        }
        let before = sync.estimate(START).unwrap();
        // A clock that was read long before it was sent.
        let now = START + Duration::from_secs(1);
        exact(6_000_000).exchange(&mut sync, Side::Initiator, now, [4000, 4000, 0]);
        let after = sync.estimate(START).unwrap();
        assert_eq!(
            (before.offset, before.uncertainty),
            (after.offset, after.uncertainty)
        );
    }

    #[test]
    fn an_exchange_that_we_did_not_answer_moves_nothing() {
        let mut sync = sync();
        let at = |micros| START + Duration::from_micros(micros);
        assert!(!sync.complete(at(10), [1, 2, 3].map(ClockTicks)));
        let [first, second, _] = sync.answer(at(20), ClockTicks(7));
        let foreign = ClockTicks(second.0 + 1);
        assert!(!sync.complete(at(30), [first, foreign, ClockTicks(9)]));
        assert_eq!(sync.estimate(at(30)), None);
        assert!(sync.complete(at(30), [first, second, ClockTicks(9)]));
        assert!(!sync.complete(at(31), [first, second, ClockTicks(9)]));
        assert_eq!(sync.estimate(at(31)).unwrap().exchanges, 1);
    }

    #[test]
    fn an_answer_to_what_we_did_not_ask_moves_nothing() {
        let mut sync = sync();
        assert_eq!(sync.answered(START, [1, 2, 3].map(ClockTicks)), None);
        let [first, ..] = sync.question(START);
        let foreign = ClockTicks(first.0 + 1);
        let end = START + Duration::from_millis(1);
        assert_eq!(
            sync.answered(end, [foreign, ClockTicks(5), ClockTicks(0)]),
            None
        );
        assert_eq!(sync.estimate(end), None);
        let ck1 = [first, ClockTicks(5), ClockTicks(0)];
        assert_eq!(
            sync.answered(end, ck1),
            Some([first, ClockTicks(5), ClockTicks(first.0 + 10)])
        );
        assert_eq!(sync.answered(end, ck1), None, "once");
    }

    #[test]
    fn of_many_open_questions_the_oldest_is_forgotten() {
        let mut sync = sync();
        let at = |n: usize| START + Duration::from_millis(n as u64);
        let firsts: [ClockTicks; OVERLAP + 1] = core::array::from_fn(|n| {
            let [first, ..] = sync.question(at(n));
            first
        });
        for (n, first) in firsts.into_iter().enumerate() {
            let ck1 = [first, ClockTicks(5), ClockTicks(0)];
            assert_eq!(sync.answered(at(20), ck1).is_some(), n > 0, "question {n}");
        }
    }

    #[test]
    fn absurd_clocks_do_not_overflow() {
        let end = Time::from_micros(u64::MAX);
        for (first, third) in [(0, u64::MAX), (u64::MAX, u64::MAX), (0, 0), (u64::MAX, 0)] {
            let mut sync = sync();
            for now in [Time::ZERO, START, end] {
                let [first, second, _] = sync.answer(now, ClockTicks(first));
                assert!(sync.complete(now, [first, second, ClockTicks(third)]));
                let [first, ..] = sync.question(now);
                assert!(
                    sync.answered(now, [first, ClockTicks(third), first])
                        .is_some()
                );
            }
            for now in [Time::ZERO, START, end] {
                let estimate = sync.estimate(now).unwrap();
                assert_eq!(estimate.exchanges, if third < first { 3 } else { 6 });
                assert!(sync.to_local(now, RtpTimestamp(0)).is_some());
            }
        }
    }

    #[test]
    fn a_clock_that_was_set_is_believed_the_second_time() {
        for (side, step) in [
            (Side::Initiator, 3_600_000_000i128),
            (Side::Responder, -3_000_000_000),
            (Side::Initiator, 20_000),
        ] {
            let mut sync = sync();
            let (before, after) = (exact(90_000_000_000), exact(90_000_000_000 + step));
            for n in 0..16 {
                before.exchange(
                    &mut sync,
                    side,
                    START + Duration::from_secs(10 * n),
                    [500; 3],
                );
            }
            let at = |n: u64| START + Duration::from_secs(160 + 10 * n);
            let end = after.exchange(&mut sync, side, at(0), [700; 3]);
            assert!(
                before.error(&sync.estimate(end).unwrap(), end) < 500,
                "once is not enough"
            );
            let end = after.exchange(&mut sync, side, at(1), [700; 3]);
            let estimate = sync.estimate(end).unwrap();
            let error = after.error(&estimate, end);
            assert!(
                Duration::from_micros(error) <= estimate.uncertainty,
                "{error} {estimate:?}"
            );
            // 20 ms could also be a clock that has become fast; the next exchange tells.
            let end = after.exchange(&mut sync, side, at(2), [700; 3]);
            assert!(
                after.error(&sync.estimate(end).unwrap(), end) < 500,
                "{side:?} {step}"
            );
        }
    }

    #[test]
    fn one_wrong_exchange_changes_nothing() {
        let mut sync = sync();
        let clock = exact(90_000_000_000);
        for n in 0..30 {
            let now = START + Duration::from_millis(250 * n);
            let wrong = n % 4 == 3;
            let clock = if wrong { exact(91_000_000_000) } else { clock };
            clock.exchange(&mut sync, Side::Initiator, now, [500; 3]);
        }
        let now = START + Duration::from_secs(8);
        assert!(clock.error(&sync.estimate(now).unwrap(), now) < 200);
    }

    #[test]
    fn a_fast_clock_is_measured() {
        for drift in [-450_000, -40_000, 0, 100_000, 300_000] {
            let clock = Clock {
                drift,
                ..exact(90_000_000_000)
            };
            let mut sync = sync();
            let mut now = START;
            for n in 0..24 {
                clock.exchange(&mut sync, Side::Initiator, now, [600, 400, 0]);
                now = now + Duration::from_millis(if n < 8 { 250 } else { 10_000 });
            }
            let estimate = sync.estimate(now).unwrap();
            let off = i64::from(estimate.drift_ppb) - drift;
            assert!(off.abs() < 5_000, "{drift}: {estimate:?}");
            assert!(clock.error(&estimate, now) < 600, "{drift}: {estimate:?}");
        }
    }

    #[test]
    fn a_clock_that_counts_milliseconds_is_not_taken_for_one_that_is_set() {
        let mut rng = Rng::new(1);
        let clock = Clock {
            step: 1000,
            ..exact(90_000_000_000)
        };
        let mut sync = sync();
        for n in 0..200 {
            let now = START + Duration::from_micros(250_000 * n + u64::from(rng.below(1000)));
            let end = clock.exchange(&mut sync, Side::Responder, now, [100; 3]);
            if n >= 8 {
                let estimate = sync.estimate(end).unwrap();
                let error = Duration::from_micros(clock.error(&estimate, end));
                assert!(error <= estimate.uncertainty, "{n}: {error:?} {estimate:?}");
                assert!(estimate.uncertainty < Duration::from_millis(1));
            }
        }
    }

    /// A peer, the ways to it, and how exchanges with it go.
    struct Run {
        rng: Rng,
        side: Side,
        clock: Clock,
        /// The least that a datagram takes to the peer and back, in microseconds.
        least: [u32; 2],
        /// How much more it may take.
        jitter: [u32; 2],
        sync: ClockSync,
        now: Time,
    }

    impl Run {
        /// Round trips of 0.2 to 300 ms, clocks that part by up to 100 ppm.
        fn new(seed: u64, side: Side) -> Self {
            let mut rng = Rng::new(seed);
            let mut least = [0, 0].map(|_| 100 << rng.below(11));
            least = least.map(|it: u32| (it + rng.below(it)).min(75_000));
            // Jitter up to what the way takes, of each way another.
            let jitter = least.map(|it| rng.below(it + 1));
            let clock = Clock {
                ahead: i128::from(rng.bits() >> 16),
                drift: i64::from(rng.below(200_001)) - 100_000,
                step: TICK,
            };
            let now = START + Duration::from_micros(rng.below(1_000_000).into());
            Self {
                rng,
                side,
                clock,
                least,
                jitter,
                sync: sync(),
                now,
            }
        }

        fn way(&mut self, to: usize) -> u64 {
            // Short queues are more frequent than long ones.
            let queue = self.rng.below(1001) * self.rng.below(1001) / 1000;
            u64::from(self.least[to]) + u64::from(self.jitter[to]) * u64::from(queue) / 1000
        }

        /// One exchange; the next one may begin so many milliseconds after this one did.
        fn exchange(&mut self, interval: u64) -> Time {
            let ways = match self.side {
                Side::Initiator => [0, 1, 0],
                Side::Responder => [1, 0, 1],
            };
            let ways = ways.map(|to| self.way(to));
            let end = self
                .clock
                .exchange(&mut self.sync, self.side, self.now, ways);
            let late = self.rng.below(2000).into();
            self.now = self.now + Duration::from_millis(interval) + Duration::from_micros(late);
            end
        }

        /// Whether the truth lies within what the estimate allows, and how much of it is used up, in
        /// thousandths.
        fn check(&self, at: Time) -> (bool, u64) {
            let estimate = self.sync.estimate(at).unwrap();
            let error = self.clock.error(&estimate, at);
            let allowed = u64::try_from(estimate.uncertainty.as_micros()).unwrap();
            (error <= allowed, error * 1000 / allowed)
        }
    }

    #[test]
    fn the_truth_lies_within_the_stated_uncertainty() {
        for side in SIDES {
            let (mut within, mut used) = (0, 0);
            let mut errors = Vec::new();
            for seed in 0..1000 {
                let mut run = Run::new(seed, side);
                let mut end = run.now;
                for _ in 0..8 {
                    end = end.max(run.exchange(250));
                }
                let estimate = run.sync.estimate(end).unwrap();
                assert_eq!(estimate.exchanges, 8);
                let allowed = estimate.round_trip / 2 + Duration::from_micros(200);
                assert!(
                    estimate.uncertainty <= allowed,
                    "{side:?} {seed}: {estimate:?}"
                );
                let (is_within, share) = run.check(end);
                within += u32::from(is_within);
                used += share;
                errors.push(run.clock.error(&estimate, end));
            }
            errors.sort_unstable();
            std::println!(
                "{side:?}: {within} of 1000 within; error {} % of the uncertainty on average, \
                 median {} us, 95 % {} us",
                used / 10_000,
                errors[500],
                errors[950],
            );
            assert!(within >= 990, "{side:?}: {within} of 1000");
        }
    }

    #[test]
    fn it_does_so_at_any_time_in_a_long_session() {
        for side in SIDES {
            let (mut within, mut checks) = (0, 0);
            for seed in 0..100 {
                let mut run = Run::new(seed, side);
                for n in 0..48 {
                    let end = run.exchange(if n < 8 { 250 } else { 10_000 });
                    let late = Duration::from_millis(run.rng.below(9_000).into());
                    checks += 1;
                    within += u32::from(run.check(if n < 8 { end } else { end + late }).0);
                }
                let estimate = run.sync.estimate(run.now).unwrap();
                assert_eq!(estimate.exchanges, 48);
                let off = (i64::from(estimate.drift_ppb) - run.clock.drift).unsigned_abs();
                assert!(off <= 100_000, "{side:?} {seed}: {estimate:?}");
            }
            std::println!("{side:?}: {within} of {checks} within");
            assert!(
                within * 100 >= checks * 99,
                "{side:?}: {within} of {checks}"
            );
        }
    }
}
