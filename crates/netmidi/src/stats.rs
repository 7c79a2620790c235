//! Counters for the operator.

use netmidi_session::{ParticipantId, ParticipantStats, Session, SessionStats};

/// The counters of an endpoint at one moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// What belongs to no peer.
    pub session: SessionStats,
    /// What belongs to each connected peer, in the order in which they connected.
    pub peers: Vec<(ParticipantId, ParticipantStats)>,
}

impl Stats {
    pub(crate) fn of(session: &Session) -> Self {
        let peers = session
            .participants()
            .filter_map(|(id, _)| Some((id, session.participant_stats(id)?)))
            .collect();
        Self {
            session: session.stats(),
            peers,
        }
    }
}
