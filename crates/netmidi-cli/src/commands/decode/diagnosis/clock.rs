//! The clock exchanges of a session, CK0 CK1 CK2, as they pass the place of the capture.

use std::collections::VecDeque;
use std::time::Duration;

use netmidi_wire::{ClockCount, ClockSync, ClockTicks};

use super::moment::{Moment, Times};
use super::rules::{Rule, Violations};

/// Questions of one side that an answer may belong to.
const MAX_OPEN: usize = 8;

/// What one side asked.
#[derive(Debug, Default)]
pub(super) struct Asker {
    /// Questions that were not answered yet: their first timestamp, and when.
    open: VecDeque<(ClockTicks, Moment)>,
    /// Answered, but not completed.
    half: VecDeque<(ClockTicks, Moment)>,
    pub(super) asked: u64,
    pub(super) answered: u64,
    pub(super) completed: u64,
    pub(super) first: Option<Moment>,
    pub(super) last_answer: Option<Moment>,
    /// Questions in a row without an answer, and the first of them.
    pub(super) unanswered: (u64, Option<Moment>),
    /// Answers in a row that were not completed, and the first of them.
    pub(super) unfinished: (u64, Option<Moment>),
}

#[derive(Debug, Default)]
pub(super) struct ClockWatch {
    pub(super) askers: [Asker; 2],
    pub(super) last: Option<Moment>,
    /// The longest time without any.
    pub(super) longest: Option<(Moment, Moment)>,
    pub(super) round_trip: Times,
}

impl ClockWatch {
    pub(super) fn note(
        &mut self,
        side: usize,
        packet: &ClockSync,
        moment: Moment,
        violations: &mut Violations,
    ) {
        if let Some(before) = self.last.replace(moment) {
            let longest = |(from, to): (Moment, Moment)| to.since(&from).unwrap_or_default();
            if self
                .longest
                .is_none_or(|it| longest((before, moment)) > longest(it))
            {
                self.longest = Some((before, moment));
            }
        }
        let [first, _, third] = packet.timestamps;
        let asker = match packet.count {
            ClockCount::Ck1 => 1 - side,
            ClockCount::Ck0 | ClockCount::Ck2 => side,
        };
        let Some(it) = self.askers.get_mut(asker) else {
            return;
        };
        match packet.count {
            ClockCount::Ck0 => {
                it.asked += 1;
                it.first.get_or_insert(moment);
                it.unanswered.0 += 1;
                it.unanswered.1.get_or_insert(moment);
                push(&mut it.open, (first, moment));
            }
            ClockCount::Ck1 => {
                let open = it.open.iter().position(|(asked, _)| *asked == first);
                match open.and_then(|index| it.open.remove(index)) {
                    Some(question) => {
                        it.answered += 1;
                        it.last_answer = Some(moment);
                        it.unanswered = (0, None);
                        it.unfinished.0 += 1;
                        it.unfinished.1.get_or_insert(moment);
                        push(&mut it.half, question);
                    }
                    // Answered twice, or asked before the capture began.
                    None if it.asked == 0 || it.half.iter().any(|(asked, _)| *asked == first) => {}
                    None => violations.note(side, Rule::StrangeClock, moment, || {
                        "it answers a clock question (CK1) that nobody asked".to_owned()
                    }),
                }
            }
            ClockCount::Ck2 => {
                let half = it.half.iter().position(|(asked, _)| *asked == first);
                let question = half.and_then(|index| it.half.remove(index));
                if question.is_some() || it.asked == 0 {
                    it.completed += 1;
                    it.unfinished = (0, None);
                }
                // Between two clocks, both of the one who asked.
                if let Some((_, asked)) = question {
                    let shown = third.0.checked_sub(first.0);
                    let shown = shown.and_then(|it| it.checked_mul(100));
                    let seen = moment.since(&asked).filter(|it| *it > Duration::ZERO);
                    if let Some(time) = seen.or(shown.map(Duration::from_micros)) {
                        self.round_trip.note(time);
                    }
                }
            }
        }
    }
}

fn push<T>(queue: &mut VecDeque<T>, it: T) {
    if queue.len() >= MAX_OPEN {
        queue.pop_front();
    }
    queue.push_back(it);
}
