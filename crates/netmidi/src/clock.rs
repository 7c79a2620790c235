//! tokio's time and the session's.

use std::time::{Duration, Instant};

use netmidi_session::Time;

/// Converts between [`Instant`] and the session clock, whose epoch is the opening of the endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            epoch: Instant::now(),
        }
    }

    /// This moment on the session clock.
    #[must_use]
    pub fn now(&self) -> Time {
        self.time(Instant::now())
    }

    /// A moment on the session clock; the epoch for one before it.
    #[must_use]
    pub fn time(&self, instant: Instant) -> Time {
        let since = instant.saturating_duration_since(self.epoch);
        // In 64 bits: this is asked for every packet, and lasts for 584,000 years.
        let micros = since.as_secs().saturating_mul(1_000_000);
        Time::from_micros(micros.saturating_add(u64::from(since.subsec_micros())))
    }

    /// A moment of the session clock as an [`Instant`].
    #[must_use]
    pub fn instant(&self, time: Time) -> Instant {
        // A century ahead stands for anything that the platform's clock cannot hold.
        const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 100);
        let since = Duration::from_micros(time.as_micros()).min(FAR);
        self.epoch.checked_add(since).unwrap_or(self.epoch)
    }
}
