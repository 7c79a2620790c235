//! What is due to whom.

use crate::deadlines::Deadlines;
use crate::event::ParticipantId;
use crate::invitation::InvitationId;
use crate::invitee::InviteeId;

/// What is due.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Timer {
    /// An invitation has waited long enough for its data half.
    Invitation(InvitationId),
    /// Somebody is to be invited again, or was invited often enough.
    Invitee(InviteeId),
    /// Has the successor of this participant proved that it is there, or this one?
    Succession(ParticipantId),
    /// MIDI may go to this participant even if nothing came from it.
    Ready(ParticipantId),
    /// Has this participant been silent for too long?
    ///
    /// Not moved with every packet: when it comes due it looks at when the participant was heard
    /// last and sets itself again.
    Silence(ParticipantId),
    /// Something is due to this participant: a guard packet, feedback, a scheduled message, what the
    /// bitrate limit held back, or system exclusive data that has waited long enough.
    ///
    /// Like `Silence` it is not moved with every packet: it stands in the table no later than what
    /// comes first, and when it comes due too early it is set again.
    Wake(ParticipantId),
    /// Another BY to a participant that left.
    Farewell(ParticipantId),
}

/// The deadlines of a session. A timer whose subject is gone comes due and does nothing.
pub(crate) type Timers = Deadlines<Timer>;
