//! Whether a peer is still there: when its clock is asked, and what doubts about it lead to.

use core::time::Duration;

use crate::time::Time;

/// Exchanges of the burst at the beginning: an Apple peer passes no MIDI before about six.
const BURST: u8 = 8;
/// Between two of those.
const BURST_INTERVAL: Duration = Duration::from_millis(250);
/// A question without an answer is asked again after this long, ...
const FIRST_REPEAT: Duration = Duration::from_millis(500);
/// ... and then so often until there is one, or the peer counts as silent.
const REPEAT: Duration = Duration::from_millis(250);
/// A peer that may have forgotten the session has so long to prove the contrary.
const DOUBT: Duration = Duration::from_millis(400);
/// And is asked so often meanwhile.
const DOUBT_INTERVAL: Duration = Duration::from_millis(120);
/// Exchanges in a row, each so soon after the last, that make a peer one that always does so: more
/// than any known peer sends in the burst at its beginning.
const STEADY: u8 = 12;
/// How soon.
const STEADY_INTERVAL: Duration = Duration::from_secs(2);

/// When we ask a peer for its clock (CK0).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Questions {
    next: Time,
    asked_at: Time,
    /// Of the burst.
    left: u8,
    /// Questions since the last answer.
    unanswered: u8,
    /// Whether it has ever answered.
    answers: bool,
    /// It has to answer by then, or is gone.
    doubted_until: Option<Time>,
    /// Nobody asks but for this doubt, and any sign of life ends it: when it began.
    only_doubt: Option<Time>,
}

impl Questions {
    pub(crate) const fn starting(now: Time) -> Self {
        Self {
            next: now,
            asked_at: now,
            left: BURST,
            unanswered: 0,
            answers: false,
            doubted_until: None,
            only_doubt: None,
        }
    }

    /// Those to a peer that asks for our clock itself, and that may be gone.
    pub(crate) fn doubting(now: Time, round_trip: Option<Duration>) -> Self {
        let mut questions = Self {
            left: 0,
            only_doubt: Some(now),
            ..Self::starting(now)
        };
        questions.doubt(now, round_trip);
        questions
    }

    /// When the doubt began, if there is nothing else to ask.
    pub(crate) const fn only_doubt(&self) -> Option<Time> {
        self.only_doubt
    }

    /// Whether the peer has to prove now that it is there.
    pub(crate) const fn is_doubting(&self) -> bool {
        self.doubted_until.is_some()
    }

    /// When the next one is due, or a doubt ends.
    pub(crate) fn due(&self) -> Time {
        self.doubted_until
            .map_or(self.next, |until| until.min(self.next))
    }

    /// Whether one is to be asked now.
    pub(crate) fn is_due(&self, now: Time) -> bool {
        self.next <= now
    }

    /// Whether the peer was doubted and has not answered in time.
    pub(crate) fn is_gone(&self, now: Time) -> bool {
        self.doubted_until.is_some_and(|until| until <= now)
    }

    /// Whether this peer answers at all: if it never has, its silence says nothing.
    pub(crate) const fn is_answering(&self) -> bool {
        self.answers
    }

    /// One is asked now.
    pub(crate) fn asked(&mut self, now: Time) {
        self.unanswered = self.unanswered.saturating_add(1);
        self.asked_at = now;
        self.next = now
            + match self.doubted_until {
                Some(_) => DOUBT_INTERVAL,
                None if self.left > 0 => BURST_INTERVAL,
                None if self.unanswered > 1 => REPEAT,
                None => FIRST_REPEAT,
            };
    }

    /// The peer's part is done by somebody else: the next question of ours is not needed yet.
    pub(crate) fn put_off(&mut self, now: Time, interval: Duration) {
        self.next = now + interval;
    }

    /// One was answered. The next comes an `interval` after it, once the burst is over.
    pub(crate) fn answered(&mut self, now: Time, interval: Duration) {
        self.answers = true;
        self.unanswered = 0;
        self.doubted_until = None;
        self.left = self.left.saturating_sub(1);
        let interval = if self.left > 0 {
            BURST_INTERVAL
        } else {
            interval
        };
        self.next = now.max(self.asked_at + interval);
    }

    /// Somebody at the peer's address does not know the session: is the peer still there?
    pub(crate) fn doubt(&mut self, now: Time, round_trip: Option<Duration>) {
        if self.doubted_until.is_none() {
            let patience = round_trip.map_or(DOUBT, |it| DOUBT.max(it * 4));
            self.doubted_until = Some(now + patience);
            self.next = now;
        }
    }
}

/// How often a peer asks for our clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    last: Option<Time>,
    in_a_row: u8,
}

impl Asked {
    /// It asked (CK0).
    pub(crate) fn note(&mut self, now: Time) {
        self.in_a_row = match self.last {
            Some(last) if now.since(last) <= STEADY_INTERVAL => self.in_a_row.saturating_add(1),
            _ => 0,
        };
        self.last = Some(now);
    }

    /// Whether it asked lately.
    pub(crate) fn is_recent(&self, now: Time) -> bool {
        self.last
            .is_some_and(|last| now.since(last) <= STEADY_INTERVAL)
    }

    /// Whether it asks so often, and has for so long, that its silence tells something soon.
    pub(crate) const fn is_steady(&self) -> bool {
        self.in_a_row >= STEADY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use alloc::vec::Vec;

    const INTERVAL: Duration = Duration::from_secs(1);

    #[test]
    fn eight_exchanges_a_quarter_of_a_second_apart_then_steady() {
        let mut questions = Questions::starting(Time::ZERO);
        let mut asked = Vec::new();
        while asked.len() < 11 {
            let now = questions.due();
            assert!(questions.is_due(now));
            asked.push(now.as_micros() / 1000);
            questions.asked(now);
            questions.answered(now + Duration::from_millis(30), INTERVAL);
        }
        assert_eq!(
            asked,
            [0, 250, 500, 750, 1000, 1250, 1500, 1750, 2750, 3750, 4750]
        );
    }

    #[test]
    fn what_is_not_answered_is_asked_again() {
        let mut questions = Questions::starting(Time::ZERO);
        for _ in 0..8 {
            let now = questions.due();
            questions.asked(now);
            questions.answered(now, INTERVAL);
        }
        let first = questions.due();
        questions.asked(first);
        let second = questions.due();
        assert_eq!(second.since(first), FIRST_REPEAT);
        questions.asked(second);
        assert_eq!(questions.due().since(second), REPEAT);
        questions.answered(second, INTERVAL);
        assert_eq!(questions.due().since(second), INTERVAL);
    }

    #[test]
    fn a_doubt_ends_with_an_answer_or_the_peer() {
        let mut questions = Questions::starting(Time::ZERO);
        questions.asked(Time::ZERO);
        questions.answered(Time::ZERO, INTERVAL);
        let now = Time::from_secs(5);
        questions.doubt(now, None);
        assert!(questions.is_due(now));
        questions.asked(now);
        assert!(!questions.is_gone(now + DOUBT / 2));
        questions.doubt(now + DOUBT / 2, None);
        assert!(
            questions.is_gone(now + DOUBT),
            "a second doubt adds no time"
        );
        questions.answered(now + DOUBT / 2, INTERVAL);
        assert!(!questions.is_gone(now + DOUBT));
    }

    #[test]
    fn only_who_asks_often_for_long_is_steady() {
        let mut asked = Asked::default();
        for step in 0..=STEADY {
            assert!(!asked.is_steady(), "after {step}");
            asked.note(Time::from_secs(step.into()));
        }
        assert!(asked.is_steady());
        asked.note(Time::from_secs(30));
        assert!(!asked.is_steady());
    }
}
