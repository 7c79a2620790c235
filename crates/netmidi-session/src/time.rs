//! Moments on the session clock.

use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

use netmidi_wire::ClockTicks;

use crate::rng::Rng;

/// A moment, in microseconds since an epoch that the caller chose.
///
/// The core never reads a clock: every `Time` comes in as an argument. Times of one session must
/// not run backwards; an earlier one is treated as "no time has passed".
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Time(u64);

/// Microseconds in one tick of the AppleMIDI clock (100 µs).
const MICROS_PER_TICK: u64 = 100;

impl Time {
    /// The caller's epoch.
    pub const ZERO: Self = Self(0);

    /// This many microseconds after the epoch.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// This many milliseconds after the epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// This many seconds after the epoch.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero when it is not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Our AppleMIDI clock: what our timestamps show, in clock exchanges and, its low 32 bits, in RTP
/// packets.
///
/// It begins anywhere (RFC 3550 §5.1), so that nobody can guess what it shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WireClock {
    /// What it shows at the caller's epoch.
    origin: ClockTicks,
}

impl WireClock {
    pub(crate) const fn new(origin: ClockTicks) -> Self {
        Self { origin }
    }

    /// A clock that begins somewhere in 44 bits: no further than clocks that count from 1970, which
    /// every peer can read, and far from the end of 64 bits.
    pub(crate) const fn random(rng: &mut Rng) -> Self {
        Self::new(ClockTicks(rng.u44()))
    }

    /// What it shows at a moment: the tick of 100 µs that has begun.
    pub(crate) const fn ticks(self, at: Time) -> ClockTicks {
        ClockTicks(self.origin.0.wrapping_add(at.0 / MICROS_PER_TICK))
    }
}

/// Seconds since the epoch: `1.000250 s`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06} s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

impl Sub<Duration> for Time {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(micros))
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn times_never_wrap() {
        assert_eq!(
            Time::from_micros(u64::MAX) + Duration::from_secs(1),
            Time(u64::MAX)
        );
        assert_eq!(Time::ZERO - Duration::from_secs(1), Time::ZERO);
        assert_eq!(Time::ZERO.since(Time::from_secs(1)), Duration::ZERO);
    }

    #[test]
    fn a_time_is_printed_in_seconds() {
        assert_eq!(Time::from_micros(1_000_250).to_string(), "1.000250 s");
        assert_eq!(Time::ZERO.to_string(), "0.000000 s");
    }

    #[test]
    fn a_tick_is_a_hundred_microseconds() {
        let clock = WireClock::new(ClockTicks(7));
        assert_eq!(clock.ticks(Time::ZERO), ClockTicks(7));
        assert_eq!(clock.ticks(Time::from_micros(250_099)), ClockTicks(2507));
        let late = clock.ticks(Time::from_micros(u64::MAX)).to_rtp().0;
        assert_eq!(late, ((u64::MAX / 100 + 7) & 0xFFFF_FFFF) as u32);
    }

    #[test]
    fn every_session_begins_elsewhere() {
        let origin = |seed| WireClock::random(&mut Rng::new(seed)).ticks(Time::ZERO).0;
        let origins: Vec<u64> = (0..1000).map(origin).collect();
        assert!(origins.iter().all(|it| it >> 44 == 0));
        for bit in 0..44 {
            let set = origins.iter().filter(|it| *it >> bit & 1 == 1).count();
            assert!((400..600).contains(&set), "bit {bit}: {set} of 1000");
        }
    }
}
