//! Inviting somebody: names become addresses, and what comes of it can be watched.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use netmidi_session::{InviteeState, Port, Time};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::address::PeerAddress;
use crate::error::SendError;
use crate::event::Peer;
use crate::shared::Shared;

/// While there is no session, a name is looked up this often: the peer may have another address.
const LOOK_UP_INTERVAL: Duration = Duration::from_secs(5);

/// Names an invitation for as long as the endpoint exists; never used twice.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct InvitationId(pub(crate) u64);

impl fmt::Display for InvitationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invitation {}", self.0)
    }
}

/// How far an invitation is. Its text is a sentence for the person who waits for the session.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvitationState {
    /// Its name is being looked up.
    Resolving,
    /// There is nowhere to ask. The name is looked up again.
    Unreachable {
        /// Why.
        reason: Arc<str>,
    },
    /// It is asked, once each second, and has not answered yet.
    Asking,
    /// This port did not answer so far. It is asked on, unless it was to be asked once.
    Unanswered {
        /// Which port: `Data` when the control port did answer.
        port: Port,
        /// How many invitations were sent there.
        invitations: u32,
    },
    /// It answered NO.
    Refused {
        /// When it is asked again; never when it was to be asked once.
        again_at: Option<Time>,
    },
    /// There is a session.
    Connected {
        /// With whom.
        peer: Arc<Peer>,
    },
    /// It is invited no longer.
    Ended,
}

impl InvitationState {
    pub(crate) fn of(state: InviteeState) -> Option<Self> {
        Some(match state {
            InviteeState::Asking => Self::Asking,
            InviteeState::Unanswered { port, invitations } => {
                Self::Unanswered { port, invitations }
            }
            InviteeState::Refused { again_at } => Self::Refused { again_at },
            InviteeState::Ended => Self::Ended,
            // `Connected` comes with the peer.
            _ => return None,
        })
    }

    /// Whether it says that there is no session for now, and that more than patience is needed.
    #[must_use]
    pub const fn is_failure(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Unanswered { .. } | Self::Refused { .. } | Self::Ended
        )
    }
}

impl fmt::Display for InvitationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolving => f.write_str("its name is being looked up"),
            Self::Unreachable { reason } => f.write_str(reason),
            Self::Asking => InviteeState::Asking.fmt(f),
            Self::Unanswered { port, invitations } => {
                let (port, invitations) = (*port, *invitations);
                InviteeState::Unanswered { port, invitations }.fmt(f)
            }
            Self::Refused { again_at } => {
                let again_at = *again_at;
                InviteeState::Refused { again_at }.fmt(f)
            }
            Self::Connected { peer } => write!(f, "connected to {:?}", peer.name),
            Self::Ended => InviteeState::Ended.fmt(f),
        }
    }
}

/// An invitation that goes on. Dropping this changes nothing about it: it ends with
/// [`withdraw`](Self::withdraw) or with the endpoint.
#[derive(Clone, Debug)]
pub struct Invitation {
    pub(crate) id: InvitationId,
    pub(crate) address: Arc<PeerAddress>,
    pub(crate) states: watch::Receiver<InvitationState>,
    pub(crate) shared: Arc<Shared>,
}

impl Invitation {
    /// Its name in events.
    #[must_use]
    pub const fn id(&self) -> InvitationId {
        self.id
    }

    /// Where it goes, as it was asked for.
    #[must_use]
    pub fn address(&self) -> &PeerAddress {
        &self.address
    }

    /// How far it is.
    #[must_use]
    pub fn state(&self) -> InvitationState {
        self.states.borrow().clone()
    }

    /// Waits for the next change, and gives the state after it.
    ///
    /// Cancel safe. After the end of the endpoint it is [`InvitationState::Ended`] at once.
    pub async fn changed(&mut self) -> InvitationState {
        match self.states.changed().await {
            Ok(()) => self.states.borrow_and_update().clone(),
            Err(_) => InvitationState::Ended,
        }
    }

    /// Waits until there is a session, or it is plain that there is none for now.
    ///
    /// Cancel safe.
    pub async fn settled(&mut self) -> InvitationState {
        let settled = |state: &InvitationState| {
            state.is_failure() || matches!(state, InvitationState::Connected { .. })
        };
        match self.states.wait_for(settled).await {
            Ok(state) => state.clone(),
            Err(_) => InvitationState::Ended,
        }
    }

    /// Invites no longer. A session that it led to is ended: what was sent before still goes out,
    /// then BY.
    ///
    /// # Errors
    /// When the endpoint is closed.
    pub fn withdraw(&self) -> Result<(), SendError> {
        self.shared.withdraw(self.id)
    }
}

/// Looks up the name of an invitation, again and again while there is no session.
pub(crate) async fn keep_resolving(
    shared: Arc<Shared>,
    id: InvitationId,
    address: Arc<PeerAddress>,
    mut states: watch::Receiver<InvitationState>,
) {
    loop {
        let sent = match address.resolve().await {
            Ok(addresses) if addresses.is_empty() => {
                shared.unreachable(id, format!("the name {} has no address", address.host()))
            }
            Ok(addresses) => shared.reachable(id, addresses),
            Err(error) => shared.unreachable(
                id,
                format!(
                    "the name {} cannot be looked up ({error}); see that it is right, or use the \
                     address in numbers",
                    address.host()
                ),
            ),
        };
        if sent.is_err() || address.is_number() {
            return;
        }
        let again_at = Instant::now() + LOOK_UP_INTERVAL;
        loop {
            let state = states.borrow_and_update().clone();
            let changed = match state {
                InvitationState::Ended => return,
                InvitationState::Connected { .. } => states.changed().await,
                _ => match timeout_at(again_at, states.changed()).await {
                    Ok(changed) => changed,
                    Err(_) => break,
                },
            };
            if changed.is_err() {
                return;
            }
        }
    }
}
