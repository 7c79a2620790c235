//! A simulated one-way link: latency, jitter, loss one by one and in bursts, reordering, duplicates,
//! from a seed.

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

/// Datagrams lost in a row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bursts {
    /// Chance of a datagram to be the first of a burst, in parts per million.
    pub chance: u32,
    /// A burst loses this many at most; every number from 1 on is as likely.
    pub longest: u32,
}

/// Carries datagrams one way.
#[derive(Debug)]
pub struct Link<T> {
    quality: LinkQuality,
    bursts: Option<Bursts>,
    /// How many more the burst takes.
    burst_left: u32,
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
            bursts: None,
            burst_left: 0,
            rng: Rng::new(seed),
            on_the_way: BTreeMap::new(),
            sent: 0,
            lost: 0,
        }
    }

    /// From now on datagrams are lost in bursts as well, or no more.
    ///
    /// # Panics
    /// When the longest burst has no datagram.
    pub fn set_bursts(&mut self, bursts: Option<Bursts>) {
        assert!(
            bursts.is_none_or(|it| it.longest > 0),
            "a burst of no datagram"
        );
        self.bursts = bursts;
        self.burst_left = 0;
    }

    /// The next `datagrams` are lost.
    pub const fn lose_next(&mut self, datagrams: u32) {
        self.burst_left = datagrams;
    }

    /// How bad the link is from now on.
    pub const fn set_quality(&mut self, quality: LinkQuality) {
        self.quality = quality;
    }

    fn in_burst(&mut self) -> bool {
        if let Some(Bursts { chance, longest }) = self.bursts
            && self.burst_left == 0
            && self.rng.chance(chance)
        {
            self.burst_left = 1 + self.rng.below(longest);
        }
        let lost = self.burst_left > 0;
        self.burst_left = self.burst_left.saturating_sub(1);
        lost
    }

    /// A datagram enters.
    pub fn send(&mut self, now: Time, datagram: T) {
        if self.in_burst() {
            self.lost += 1;
            return;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_are_as_long_as_they_may_be() {
        let mut link = Link::new(LinkQuality::default(), 1);
        link.set_bursts(Some(Bursts {
            chance: 5_000,
            longest: 200,
        }));
        let mut runs = Vec::new();
        let mut run = 0;
        for n in 0..100_000 {
            let before = link.lost();
            link.send(Time::ZERO, n);
            if link.lost() > before {
                run += 1;
            } else if run > 0 {
                runs.push(run);
                run = 0;
            }
        }
        let longest = runs.iter().max().unwrap();
        assert!((150..=400).contains(longest), "{longest} in a row");
        assert!(runs.len() > 100, "{} bursts", runs.len());
    }

    #[test]
    fn as_many_are_lost_as_asked() {
        let mut link = Link::new(LinkQuality::default(), 1);
        link.lose_next(3);
        for n in 0..5 {
            link.send(Time::ZERO, n);
        }
        assert_eq!(link.receive(Time::ZERO), Some(3));
        assert_eq!(link.lost(), 3);
    }
}
