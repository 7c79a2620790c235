//! The two-port invitation, as the one who is invited.
//!
//! A control invitation makes a [`Pending`] entry and nothing else: participants that exist are
//! left alone until the data invitation has come from the same host with the same SSRC and the
//! same token, or token 0 (midimonster). Only then does a peer join and replace its old self.

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::net::SocketAddr;

use netmidi_wire::{Ssrc, Token};

use crate::participant::PeerKey;
use crate::time::Time;
use crate::transmit::PairId;

/// Names an unfinished invitation.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct InvitationId(u64);

/// An invitation of which only the control half has come.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) id: InvitationId,
    pub(crate) token: Token,
    pub(crate) control: SocketAddr,
    pub(crate) name: String,
    pub(crate) expires_at: Time,
}

/// The unfinished invitations, one for each peer.
#[derive(Debug, Default)]
pub(crate) struct Invitations {
    pending: BTreeMap<PeerKey, Pending>,
    /// Whose they are.
    keys: BTreeMap<InvitationId, PeerKey>,
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

    /// Enters an invitation; returns its name and the one of the same peer that it replaces.
    pub(crate) fn insert(
        &mut self,
        key: PeerKey,
        token: Token,
        control: SocketAddr,
        name: String,
        expires_at: Time,
    ) -> (InvitationId, Option<Pending>) {
        let id = InvitationId(self.next);
        self.next += 1;
        let pending = Pending {
            id,
            token,
            control,
            name,
            expires_at,
        };
        let old = self.pending.insert(key, pending);
        if let Some(old) = &old {
            self.keys.remove(&old.id);
        }
        self.keys.insert(id, key);
        (id, old)
    }

    pub(crate) fn remove(&mut self, key: &PeerKey) -> Option<Pending> {
        let pending = self.pending.remove(key)?;
        self.keys.remove(&pending.id);
        Some(pending)
    }

    /// Forgets an invitation whose time is up. Returns whether it was still there.
    pub(crate) fn expire(&mut self, id: InvitationId) -> bool {
        let key = self.keys.get(&id).copied();
        key.is_some_and(|key| self.remove(&key).is_some())
    }
}
