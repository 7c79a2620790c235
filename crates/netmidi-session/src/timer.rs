//! The table of deadlines.

use alloc::collections::BTreeSet;

use crate::event::ParticipantId;
use crate::invitation::InvitationId;
use crate::time::Time;

/// What is due.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Timer {
    /// An invitation has waited long enough for its data half.
    Invitation(InvitationId),
    /// MIDI may go to this participant even if nothing came from it.
    Ready(ParticipantId),
    /// Has this participant been silent for too long?
    ///
    /// Not moved with every packet: when it comes due it looks at when the participant was heard
    /// last and sets itself again.
    Silence(ParticipantId),
    /// A packet that carries nothing but a journal goes to this participant.
    ///
    /// Like `Silence` it is not moved with every packet.
    Guard(ParticipantId),
    /// System exclusive data has waited long enough for room in the journal.
    Stall(ParticipantId),
    /// This participant is told what arrived.
    Feedback(ParticipantId),
    /// Another BY to a participant that left.
    Farewell(ParticipantId),
}

/// Deadlines in order. A timer whose subject is gone comes due and does nothing.
#[derive(Debug, Default)]
pub(crate) struct Timers(BTreeSet<(Time, Timer)>);

impl Timers {
    pub(crate) fn set(&mut self, at: Time, timer: Timer) {
        self.0.insert((at, timer));
    }

    pub(crate) fn cancel(&mut self, at: Time, timer: Timer) {
        self.0.remove(&(at, timer));
    }

    pub(crate) fn next(&self) -> Option<Time> {
        self.0.first().map(|(at, _)| *at)
    }

    /// The earliest timer that is due, taken off the table.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<Timer> {
        match self.0.first() {
            Some((at, _)) if *at <= now => self.0.pop_first().map(|(_, timer)| timer),
            _ => None,
        }
    }
}
