//! The journals that one participant is sent: which form it takes, and the packets that carry
//! nothing else.

use alloc::boxed::Box;
use core::time::Duration;

use netmidi_journal::{Form, Recorder, RecorderConfig, Written};
use netmidi_wire::{Feedback, RtpTimestamp, SeqNum};

use crate::config::{Config, JournalPolicy};
use crate::outbound::journal_room;
use crate::time::Time;

/// When guard packets follow the last packet with commands, as long as that is not acknowledged
/// (see docs/journal.md, "Guard packets").
const GUARDS: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
];
/// After those they come this far apart.
const GUARD_INTERVAL: Duration = Duration::from_secs(1);
/// One more, sooner, while what was lost may still be played in time, or holds up what comes after:
/// so long after it, or later where acknowledgements take longer, ...
const URGENT_GUARD: Duration = Duration::from_millis(25);
/// ... but not so late that a lost note is too old to be played (50 ms).
const LATEST_URGENT_GUARD: Duration = Duration::from_millis(45);
/// How soon another guard follows one with a journal that had no room for all, to a peer that
/// acknowledges nothing.
const ROTATION: Duration = Duration::from_millis(100);
/// Guard packets in a row without an answer, to a peer that has never acknowledged anything.
const MAX_GUARDS_UNHEARD: u8 = 5;
/// The same, to a peer that has: about as long as a silent peer stays in the session.
const MAX_GUARDS: u8 = 60;
/// Introductions at most.
const MAX_INTRODUCTIONS: u8 = 5;
/// A participant to whom nothing has been sent for so long, and who has acknowledged all or will
/// not, needs no memory for more.
const REST: Duration = Duration::from_secs(10);
/// How long system exclusive data waits for room in the history: this long at least, and longer
/// where acknowledgements take longer.
const SHORTEST_STALL: Duration = Duration::from_millis(100);
/// An acknowledgement that took longer counts as if it had taken so long.
const LONGEST_ANSWER: Duration = Duration::from_secs(1);
/// Who takes longer to acknowledge does so by the clock, once a second for instance, and not by what
/// arrives. ...
const PROMPT: Duration = Duration::from_millis(300);
/// ... Waiting for that would make a dump slower than a MIDI cable, which takes so long for what the
/// history holds.
const UNPROMPT_STALL: Duration = Duration::from_millis(200);

/// What one participant is sent besides MIDI, so that losing packets does no harm.
#[derive(Debug)]
pub(crate) struct Protection {
    policy: JournalPolicy,
    /// What was sent and not acknowledged; nothing with [`JournalPolicy::Off`].
    recorder: Option<Box<Recorder>>,
    /// The peer has shown that it knows journals.
    proven: bool,
    /// The peer has acknowledged something.
    acknowledging: bool,
    /// Its feedback has the number in the upper half, as it should: the lower half of such a peer
    /// is garbage.
    upper_half: bool,
    /// Introductions that may still be sent.
    introductions: u8,
    guard: Guard,
    /// Until when what was lost is worth a guard soon.
    urgent_until: Time,
    /// A packet whose acknowledgement is timed, and when it was sent.
    probe: Option<(SeqNum, Time)>,
    /// How long acknowledgements take, averaged.
    answer_time: Option<Duration>,
    /// The last journal could not hold all that it should.
    incomplete: bool,
    /// The same, and what was left out comes with later ones.
    rotating: bool,
}

/// The schedule of guard packets.
#[derive(Debug, Default)]
struct Guard {
    /// The last packet with commands; later by as much as a guard was late.
    since: Time,
    /// Which guard comes next, counted since then.
    step: u8,
    /// How many went out without an answer.
    unanswered: u8,
    due: Option<Time>,
}

/// What feedback brought.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Answer {
    /// It acknowledges what was not acknowledged before.
    News,
    /// It was told before, or makes no sense.
    Ignored,
}

impl Protection {
    pub(crate) fn new(first: SeqNum, policy: JournalPolicy, config: &Config) -> Self {
        let mut protection = Self {
            policy: JournalPolicy::Off,
            recorder: None,
            proven: false,
            acknowledging: false,
            upper_half: false,
            introductions: 0,
            guard: Guard::default(),
            urgent_until: Time::ZERO,
            probe: None,
            answer_time: None,
            incomplete: false,
            rotating: false,
        };
        protection.set_policy(first, policy, config);
        protection
    }

    /// From the packet `next` on.
    pub(crate) fn set_policy(&mut self, next: SeqNum, policy: JournalPolicy, config: &Config) {
        self.policy = policy;
        if policy == JournalPolicy::Off {
            self.recorder = None;
            self.introductions = 0;
            self.guard.due = None;
            // Nothing will end it.
            self.probe = None;
        } else if self.recorder.is_none() {
            let mut how = RecorderConfig::default();
            how.enhanced = config.enhanced_controllers;
            how.sysex_octets = how
                .sysex_octets
                .min(journal_room(config.packet_of(config.pacing)) * 3 / 5);
            self.recorder = Some(Box::new(Recorder::new(how, next)));
            self.acknowledging = false;
        }
    }

    /// Whether journals are sent at all.
    pub(crate) const fn is_on(&self) -> bool {
        self.recorder.is_some()
    }

    pub(crate) fn recorder(&mut self) -> Option<&mut Recorder> {
        self.recorder.as_deref_mut()
    }

    /// System exclusive messages that the journal could not protect.
    pub(crate) fn sysex_unprotected(&self) -> u64 {
        self.recorder.as_ref().map_or(0, |it| it.sysex_dropped())
    }

    /// The peer has sent a journal: it knows what they are.
    pub(crate) const fn prove(&mut self) {
        self.proven = true;
    }

    /// MIDI may flow: introduces us, so that the peer knows before the first note that we read and
    /// write journals.
    pub(crate) fn introduce(&mut self, now: Time) {
        if self.recorder.is_some() {
            self.introductions = MAX_INTRODUCTIONS;
            self.guard.restart(now, now);
        }
    }

    fn form(&self) -> Form {
        if self.policy == JournalPolicy::Full || self.proven {
            Form::Full
        } else {
            Form::Gentle
        }
    }

    /// Writes the journal of the next packet. `None`: it goes out without.
    pub(crate) fn write(&mut self, now: RtpTimestamp, out: &mut [u8]) -> Option<Written> {
        let form = self.form();
        let written = self.recorder.as_mut()?.write(now, form, out);
        self.incomplete = written.is_none_or(|it| !it.complete);
        let unheard = !self.acknowledging || self.guard.unanswered >= MAX_GUARDS_UNHEARD;
        self.rotating = form == Form::Full && self.incomplete && unheard;
        written
    }

    /// The next packet, `seq`, has gone out; with commands, or as a guard.
    pub(crate) fn sent(&mut self, now: Time, seq: SeqNum, commands: Option<Urgency>) {
        let Some(recorder) = &mut self.recorder else {
            return;
        };
        recorder.end_packet();
        if self.probe.is_none() {
            self.probe = Some((seq, now));
        }
        match commands {
            Some(urgency) => {
                if urgency == Urgency::Urgent {
                    self.urgent_until = now + LATEST_URGENT_GUARD;
                }
                // What follows a note at once does not put off its guard: both may be lost.
                let due = if self.urgent_until > now {
                    let usual = self.answer_time.unwrap_or_default() * 5 / 4;
                    let soon = usual.clamp(URGENT_GUARD, LATEST_URGENT_GUARD);
                    self.urgent_until.min(now + soon)
                } else {
                    let [first, ..] = GUARDS;
                    now + first
                };
                self.guard.restart(now, due);
            }
            None => self.guarded(now),
        }
    }

    /// A guard packet went out, or could not be made: when is the next?
    pub(crate) fn guarded(&mut self, now: Time) {
        self.urgent_until = now;
        self.introductions = self.introductions.saturating_sub(1);
        self.guard.advance(now);
        if self.rotating {
            self.guard.due = Some(now + ROTATION);
        }
        self.end_guard_if_idle();
    }

    fn end_guard_if_idle(&mut self) {
        // Without answers what a journal had no room for comes with one of the next.
        let limit = if self.acknowledging || self.rotating {
            MAX_GUARDS
        } else {
            MAX_GUARDS_UNHEARD
        };
        let settled = self.recorder.as_ref().is_none_or(|it| it.is_settled());
        if self.introductions == 0 && settled || self.guard.unanswered >= limit {
            self.guard.due = None;
            self.urgent_until = Time::ZERO;
        }
    }

    /// When the next guard packet is due.
    pub(crate) const fn guard_at(&self) -> Option<Time> {
        self.guard.due
    }

    /// Whether the number in feedback is in its lower half: rtpmidid's way. An upper half of 0 says
    /// nothing there, even when our numbers are near it.
    fn is_lower(&self, feedback: &Feedback) -> bool {
        feedback.seq == SeqNum(0) && feedback.low != 0 && !self.upper_half
    }

    /// The last packet that feedback says has arrived.
    pub(crate) fn acknowledged_by(&self, feedback: &Feedback) -> SeqNum {
        match self.is_lower(feedback) {
            true => SeqNum(feedback.low),
            false => feedback.seq,
        }
    }

    /// Feedback came.
    pub(crate) fn acknowledge(&mut self, now: Time, feedback: &Feedback) -> Answer {
        let is_lower = self.is_lower(feedback);
        let seq = self.acknowledged_by(feedback);
        let Some(recorder) = &mut self.recorder else {
            return Answer::Ignored;
        };
        let (upper, lower, zero) = (feedback.seq, SeqNum(feedback.low), SeqNum(0));
        if !recorder.acknowledge(seq) {
            return Answer::Ignored;
        }
        self.upper_half |= upper != zero;
        // An upper half with something below it is Apple's way; Arduino and node-rtpmidi, which
        // cannot read every journal, send 0 there.
        self.proven |= !is_lower && lower != zero;
        self.acknowledging = true;
        self.introductions = 0;
        self.guard.unanswered = 0;
        if let Some((probed, at)) = self.probe
            && seq.distance_from(probed) >= 0
        {
            self.probe = None;
            // One that comes after an outage of minutes is not how long they take.
            let took = now.since(at).min(LONGEST_ANSWER);
            self.answer_time = Some(match self.answer_time {
                Some(average) => (average * 7 + took) / 8,
                None => took,
            });
        }
        if self.incomplete {
            // There is room now for what the last journal left out.
            self.guard.due = Some(now);
        }
        self.end_guard_if_idle();
        Answer::News
    }

    /// A moment at which nothing else is to be done, as it comes every few seconds.
    pub(crate) fn rest(&mut self, now: Time) {
        if let Some(recorder) = &mut self.recorder
            && self.guard.due.is_none()
            && now.since(self.guard.since) >= REST
        {
            recorder.shrink();
        }
    }

    /// How long to wait for room before system exclusive data is sent that the journal cannot
    /// protect; `None` if there is no use in waiting.
    pub(crate) fn stall(&self) -> Option<Duration> {
        let waits = self.acknowledging && self.form() == Form::Full;
        let usual = self.answer_time.unwrap_or_default();
        waits.then(|| {
            if usual > PROMPT {
                UNPROMPT_STALL
            } else {
                SHORTEST_STALL.max(usual * 3)
            }
        })
    }
}

/// How soon a packet's commands are to be guarded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Urgency {
    Ordinary,
    /// It has a note-on, or part of a system exclusive message.
    Urgent,
}

impl Guard {
    fn restart(&mut self, since: Time, due: Time) {
        *self = Self {
            since,
            step: 0,
            unanswered: 0,
            due: Some(due),
        };
    }

    fn advance(&mut self, now: Time) {
        self.unanswered = self.unanswered.saturating_add(1);
        // An urgent guard comes before the schedule and is no step of it.
        if self.scheduled() <= now {
            // One that goes out late is followed by the others as late: after minutes in which
            // nobody called us they must not come all at once.
            self.since = self.since + now.since(self.scheduled());
            self.step = self.step.saturating_add(1);
        }
        self.due = Some(self.scheduled().max(now + URGENT_GUARD));
    }

    fn scheduled(&self) -> Time {
        let [.., last] = GUARDS;
        let regular = GUARDS.get(usize::from(self.step)).copied();
        let beyond = usize::from(self.step).saturating_sub(GUARDS.len() - 1) as u32;
        self.since + regular.unwrap_or(last + GUARD_INTERVAL * beyond)
    }
}
