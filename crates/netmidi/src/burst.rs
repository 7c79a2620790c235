//! How many datagrams to take before the user hears of them.
//!
//! One, as a rule: the answer to it goes out before the socket is asked again, and asking a socket
//! that is empty costs as much as a small packet. When there was one more every time for a while,
//! datagrams may be coming faster than they are answered one by one; then several are taken
//! together, so that the answers to them share packets and each costs less.

/// Never more than this at once.
const MOST: u32 = 64;
/// How long "a while" is at first, in datagrams, and how long it gets when it was wrong.
const PATIENCE: u32 = 16;
const MOST_PATIENCE: u32 = 1 << 14;

#[derive(Clone, Debug)]
pub(crate) struct Burst {
    size: u32,
    streak: u32,
    patience: u32,
}

impl Burst {
    pub(crate) const fn new() -> Self {
        Self {
            size: 1,
            streak: 0,
            patience: PATIENCE,
        }
    }

    /// How many to take.
    pub(crate) const fn size(&self) -> u32 {
        self.size
    }

    /// There were as many as that.
    pub(crate) fn was_full(&mut self) {
        if self.size > 1 {
            // A burst it is.
            self.patience = PATIENCE;
            self.size = (self.size * 2).min(MOST);
            return;
        }
        self.streak += 1;
        if self.streak >= self.patience {
            self.size = 2;
        }
    }

    /// There were only this many, then none.
    pub(crate) fn ended_after(&mut self, taken: u32) {
        if self.size > 1 && taken < 2 {
            // It was somebody who answers quickly.
            self.patience = (self.patience * 4).min(MOST_PATIENCE);
        }
        self.streak = 0;
        self.size = taken.clamp(1, MOST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_datagrams_are_taken_one_by_one() {
        let mut burst = Burst::new();
        for _ in 0..1000 {
            assert_eq!(burst.size(), 1);
            burst.was_full();
            burst.ended_after(0);
        }
    }

    #[test]
    fn a_burst_is_noticed_and_its_end_too() {
        let mut burst = Burst::new();
        for _ in 0..PATIENCE {
            burst.was_full();
        }
        for size in [2, 4, 8, 16, 32, 64, 64] {
            assert_eq!(burst.size(), size);
            burst.was_full();
        }
        burst.ended_after(5);
        assert_eq!(burst.size(), 5);
        burst.ended_after(0);
        assert_eq!(burst.size(), 1);
    }

    #[test]
    fn quick_answers_are_mistaken_for_a_burst_ever_more_rarely() {
        let mut burst = Burst::new();
        let mut mistakes = 0;
        for _ in 0..100_000 {
            if burst.size() > 1 {
                mistakes += 1;
                burst.ended_after(1);
            } else {
                burst.was_full();
            }
        }
        assert!(mistakes < 20, "{mistakes}");
    }
}
