//! Moments on the session clock.

use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

use netmidi_wire::ClockTicks;

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

    /// This moment on our AppleMIDI clock, in ticks of 100 µs.
    pub(crate) const fn to_ticks(self) -> ClockTicks {
        ClockTicks(self.0 / MICROS_PER_TICK)
    }

    /// The beginning of a tick of our AppleMIDI clock.
    pub(crate) const fn from_ticks(ticks: ClockTicks) -> Self {
        Self(ticks.0.saturating_mul(MICROS_PER_TICK))
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
        assert_eq!(Time::from_millis(250).to_ticks(), ClockTicks(2500));
        assert_eq!(Time::from_ticks(ClockTicks(2500)), Time::from_millis(250));
        assert_eq!(
            Time::from_micros(u64::MAX / 2).to_ticks().to_rtp().0,
            ((u64::MAX / 200) & 0xFFFF_FFFF) as u32
        );
    }
}
