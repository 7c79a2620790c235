//! A simulated one-way link: latency, jitter, loss, reordering, duplicates, from a seed.

use core::time::Duration;
use std::collections::BTreeMap;

use netmidi_session::Time;

use crate::rng::Rng;

/// How bad a link is. Chances are in parts per million.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkQuality {
    /// How long every datagram is on the way.
    pub latency: Duration,
    /// Up to this much more, differently for each: what reorders them.
    pub jitter: Duration,
    /// Chance of a datagram to be lost.
    pub loss: u32,
    /// Chance of a datagram to come twice.
    pub duplication: u32,
}

/// Carries datagrams one way.
#[derive(Debug)]
pub struct Link<T> {
    quality: LinkQuality,
    rng: Rng,
    /// By time of arrival, then in order of sending.
    on_the_way: BTreeMap<(Time, u64), T>,
    sent: u64,
    lost: u64,
}

impl<T: Clone> Link<T> {
    /// A link that behaves the same for the same seed.
    #[must_use]
    pub const fn new(quality: LinkQuality, seed: u64) -> Self {
        Self {
            quality,
            rng: Rng::new(seed),
            on_the_way: BTreeMap::new(),
            sent: 0,
            lost: 0,
        }
    }

    /// A datagram enters.
    pub fn send(&mut self, now: Time, datagram: T) {
        if self.rng.chance(self.quality.loss) {
            self.lost += 1;
            return;
        }
        if self.rng.chance(self.quality.duplication) {
            self.put(now, datagram.clone());
        }
        self.put(now, datagram);
    }

    fn put(&mut self, now: Time, datagram: T) {
        let jitter = usize::try_from(self.quality.jitter.as_micros()).unwrap() + 1;
        let jitter = Duration::from_micros(self.rng.index(jitter) as u64);
        self.on_the_way
            .insert((now + self.quality.latency + jitter, self.sent), datagram);
        self.sent += 1;
    }

    /// When the next datagram arrives.
    #[must_use]
    pub fn next_arrival(&self) -> Option<Time> {
        self.on_the_way.first_key_value().map(|((at, _), _)| *at)
    }

    /// A datagram that has arrived by `now`.
    pub fn receive(&mut self, now: Time) -> Option<T> {
        let entry = self.on_the_way.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    /// How many datagrams were lost.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }
}
