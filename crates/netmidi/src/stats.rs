//! Counters for the operator.

use netmidi_session::{
    ClockEstimate, ParticipantId, ParticipantStats, Session, SessionStats, Ssrc,
};

use crate::route::RouteStats;

/// The counters of an endpoint at one moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// What belongs to no peer.
    pub session: SessionStats,
    /// What belongs to each connected peer, in the order in which they connected.
    pub peers: Vec<PeerStats>,
    /// What was passed on between them.
    pub routes: RouteStats,
}

/// The counters of one peer.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PeerStats {
    /// Its name in this endpoint.
    pub id: ParticipantId,
    /// The name it gave; empty when it gave none.
    pub name: String,
    /// Its identity in the session.
    pub ssrc: Ssrc,
    /// What was counted since it connected.
    pub counters: ParticipantStats,
    /// Its clock as seen from ours; none before the first exchange of clocks.
    pub clock: Option<ClockEstimate>,
}

impl Stats {
    pub(crate) fn of(session: &Session, routes: RouteStats) -> Self {
        let peers = session
            .participants()
            .filter_map(|(id, peer)| {
                Some(PeerStats {
                    id,
                    name: peer.name.clone(),
                    ssrc: peer.ssrc,
                    counters: session.participant_stats(id)?,
                    clock: session.participant_clock(id),
                })
            })
            .collect();
        Self {
            session: session.stats(),
            peers,
            routes,
        }
    }
}
