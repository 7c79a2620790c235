//! When something was seen, and numbers of which smallest, middle and largest are told.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// A frame of the capture.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Moment {
    /// Its number, from 1.
    pub(super) frame: u64,
    /// Since the first frame of the capture; `None` where the capture has no times.
    pub(super) at: Option<Duration>,
}

impl Moment {
    /// How long after an earlier one.
    pub(super) fn since(&self, earlier: &Self) -> Option<Duration> {
        Some(self.at?.saturating_sub(earlier.at?))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "frame {}", self.frame)?;
        match self.at {
            Some(at) => write!(f, " at {:.6} s", at.as_secs_f64()),
            None => Ok(()),
        }
    }
}

/// Times that are remembered of one thing at most; of more every second is forgotten, then every
/// second of those, and so on.
const MAX_TIMES: usize = 2048;

/// Many times, of which [`Spread`] is told. Smallest and largest are of all, the middle of those
/// that are remembered, evenly spread over the whole.
#[derive(Clone, Debug)]
pub(super) struct Times {
    count: u64,
    least: Duration,
    most: Duration,
    kept: Vec<Duration>,
    /// One in so many is kept.
    every: u64,
}

/// Smallest, middle and largest, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) count: u64,
    pub(crate) min_ms: f64,
    pub(crate) median_ms: f64,
    pub(crate) max_ms: f64,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            count: 0,
            least: Duration::MAX,
            most: Duration::ZERO,
            kept: Vec::new(),
            every: 1,
        }
    }
}

impl Times {
    pub(super) fn note(&mut self, time: Duration) {
        self.least = self.least.min(time);
        self.most = self.most.max(time);
        if self.count.is_multiple_of(self.every) {
            if self.kept.len() >= MAX_TIMES {
                let mut index = 0;
                self.kept.retain(|_| {
                    index += 1;
                    index % 2 == 1
                });
                self.every *= 2;
            }
            if self.count.is_multiple_of(self.every) {
                self.kept.push(time);
            }
        }
        self.count += 1;
    }

    pub(super) fn spread(&self) -> Option<Spread> {
        let mut kept = self.kept.clone();
        kept.sort_unstable();
        let median = kept.get(kept.len() / 2)?;
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        Some(Spread {
            count: self.count,
            min_ms: ms(self.least),
            median_ms: ms(*median),
            max_ms: ms(self.most),
        })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "min {:.3}, median {:.3}, max {:.3} ms",
            self.min_ms, self.median_ms, self.max_ms
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_times_take_bounded_memory_and_keep_their_middle() {
        let mut times = Times::default();
        assert_eq!(times.spread(), None);
        for ms in 1..=100_000 {
            times.note(Duration::from_millis(ms));
        }
        assert!(times.kept.len() <= MAX_TIMES);
        let spread = times.spread().unwrap();
        assert_eq!(
            (spread.count, spread.min_ms, spread.max_ms),
            (100_000, 1.0, 100_000.0)
        );
        assert!((49_000.0..51_000.0).contains(&spread.median_ms), "{spread}");
    }
}
