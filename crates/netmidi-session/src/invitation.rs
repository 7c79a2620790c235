//! The two-port invitation, as the one who is invited.
//!
//! A control invitation makes a [`Pending`] entry and nothing else: participants that exist are
//! left alone until the data invitation has come from the same host with the same SSRC and the
//! same token, or token 0 (midimonster). Only then does a peer join.
//!
//! Anybody can begin many invitations and from any address. When there is no room for another one,
//! the host that has begun most gives up its oldest: whoever goes on within milliseconds, as peers
//! do, comes in during a flood.

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::net::SocketAddr;

use netmidi_wire::{Ssrc, Token};

use crate::admission::{Crowd, RequestId};
use crate::participant::PeerKey;
use crate::time::Time;
use crate::transmit::PairId;

/// Names an unfinished invitation.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct InvitationId(u64);

impl InvitationId {
    /// What the application calls it.
    pub(crate) const fn request(self) -> RequestId {
        RequestId(self.0)
    }
}

impl From<RequestId> for InvitationId {
    fn from(request: RequestId) -> Self {
        Self(request.0)
    }
}

/// What was said to an invitation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    /// OK: it waits for its data half.
    Accepted,
    /// Nothing yet: the application is to decide.
    Undecided,
    /// NO, by the application. Kept for a while, so that repetitions are not asked about.
    Refused,
}

/// An invitation of which only the control half has come.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) id: InvitationId,
    pub(crate) token: Token,
    pub(crate) control: SocketAddr,
    pub(crate) name: String,
    pub(crate) standing: Standing,
    pub(crate) expires_at: Time,
}

/// The unfinished invitations, one for each peer.
#[derive(Debug, Default)]
pub(crate) struct Invitations {
    pending: BTreeMap<PeerKey, Pending>,
    /// Whose they are.
    keys: BTreeMap<InvitationId, PeerKey>,
    /// Those that wait for their data half.
    crowd: Crowd,
    next: u64,
}

impl Invitations {
    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether somebody at this host has begun to invite us.
    pub(crate) fn is_pending_at(&self, pair: PairId, from: SocketAddr) -> bool {
        let (first, last) = (
            PeerKey::new(Ssrc(0), from, pair),
            PeerKey::new(Ssrc(u32::MAX), from, pair),
        );
        self.pending.range(first..=last).next().is_some()
    }

    pub(crate) fn get(&self, key: &PeerKey) -> Option<&Pending> {
        self.pending.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &PeerKey) -> Option<&mut Pending> {
        self.pending.get_mut(key)
    }

    /// How many wait for the application, or have had its NO.
    pub(crate) fn asked(&self) -> usize {
        self.pending.len() - self.crowd.len()
    }

    /// The one that gives up its place when there is no other.
    pub(crate) fn first_to_go(&self) -> Option<PeerKey> {
        let id = self.crowd.first_to_go()?;
        self.keys.get(&InvitationId(id)).copied()
    }

    /// The one of this name.
    pub(crate) fn key_of(&self, id: InvitationId) -> Option<PeerKey> {
        self.keys.get(&id).copied()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = PeerKey> {
        self.pending.keys().copied()
    }

    /// Enters an invitation and names it. The same peer has no other one.
    pub(crate) fn insert(
        &mut self,
        key: PeerKey,
        token: Token,
        control: SocketAddr,
        name: String,
        standing: Standing,
        expires_at: Time,
    ) -> InvitationId {
        let id = InvitationId(self.next);
        self.next += 1;
        let pending = Pending {
            id,
            token,
            control,
            name,
            standing,
            expires_at,
        };
        let old = self.pending.insert(key, pending);
        debug_assert!(old.is_none(), "its timer is still set");
        self.keys.insert(id, key);
        if standing == Standing::Accepted {
            self.crowd.insert(key.host(), id.0);
        }
        id
    }

    /// The application has decided.
    pub(crate) fn set_standing(&mut self, key: &PeerKey, standing: Standing) {
        if let Some(pending) = self.pending.get_mut(key) {
            pending.standing = standing;
            match standing {
                Standing::Accepted => self.crowd.insert(key.host(), pending.id.0),
                Standing::Undecided | Standing::Refused => {
                    self.crowd.remove(key.host(), pending.id.0);
                }
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &PeerKey) -> Option<Pending> {
        let pending = self.pending.remove(key)?;
        self.keys.remove(&pending.id);
        self.crowd.remove(key.host(), pending.id.0);
        Some(pending)
    }
}
