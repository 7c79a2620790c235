//! The table of deadlines.

use alloc::vec::Vec;

use crate::event::ParticipantId;
use crate::invitation::InvitationId;
use crate::invitee::InviteeId;
use crate::time::Time;

/// What is due.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Timer {
    /// An invitation has waited long enough for its data half.
    Invitation(InvitationId),
    /// Somebody is to be invited again, or was invited often enough.
    Invitee(InviteeId),
    /// MIDI may go to this participant even if nothing came from it.
    Ready(ParticipantId),
    /// Has this participant been silent for too long?
    ///
    /// Not moved with every packet: when it comes due it looks at when the participant was heard
    /// last and sets itself again.
    Silence(ParticipantId),
    /// Something is due to this participant: a guard packet, feedback, or system exclusive data that
    /// has waited long enough.
    ///
    /// Like `Silence` it is not moved with every packet: it stands in the table no later than what
    /// comes first, and when it comes due too early it is set again.
    Wake(ParticipantId),
    /// Another BY to a participant that left.
    Farewell(ParticipantId),
}

/// Deadlines in order, the next one last. A timer whose subject is gone comes due and does nothing.
///
/// A sorted vector: deadlines come and go near its end, and its memory stays.
#[derive(Debug, Default)]
pub(crate) struct Timers(Vec<(Time, Timer)>);

impl Timers {
    pub(crate) fn set(&mut self, at: Time, timer: Timer) {
        if let Err(index) = self.find(at, timer) {
            self.0.insert(index, (at, timer));
        }
    }

    pub(crate) fn cancel(&mut self, at: Time, timer: Timer) {
        if let Ok(index) = self.find(at, timer) {
            self.0.remove(index);
        }
    }

    pub(crate) fn next(&self) -> Option<Time> {
        self.0.last().map(|(at, _)| *at)
    }

    /// The earliest timer that is due, taken off the table.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<Timer> {
        match self.0.last() {
            Some((at, _)) if *at <= now => self.0.pop().map(|(_, timer)| timer),
            _ => None,
        }
    }

    /// Where it stands, or where it would.
    fn find(&self, at: Time, timer: Timer) -> Result<usize, usize> {
        self.0.binary_search_by(|set| (at, timer).cmp(set))
    }
}
