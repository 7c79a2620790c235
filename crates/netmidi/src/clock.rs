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
        Time::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
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
