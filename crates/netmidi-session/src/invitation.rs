//! The two-port invitation, as the one who is invited.
//!
//! A control invitation makes a [`Pending`] entry and nothing else: participants that exist are
//! left alone until the data invitation has come from the same host with the same SSRC and the
//! same token, or token 0 (midimonster). Only then does a peer join.
//!
//! Anybody can begin many invitations and from any address. When there is no room for another one,
//! the host that has begun most gives up its oldest: whoever goes on within milliseconds, as peers
//! do, comes in during a flood.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use core::net::SocketAddr;

use netmidi_wire::{ClockTicks, Ssrc, Token};

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
    /// Both halves have come, and a proof is needed.
    pub(crate) proving: Option<Box<Proving>>,
    pub(crate) expires_at: Time,
}

/// Somebody who has to compare clocks before it is a participant.
#[derive(Clone, Debug)]
pub(crate) struct Proving {
    pub(crate) data: SocketAddr,
    /// The last CK0s that were answered: the peer's timestamp, and when.
    answered: [Option<(ClockTicks, Time)>; ANSWERS],
    next: usize,
}

/// A burst of clock exchanges every 250 ms, over a way of half a second.
const ANSWERS: usize = 4;

impl Proving {
    pub(crate) fn new(data: SocketAddr) -> Self {
        Self {
            data,
            answered: [None; ANSWERS],
            next: 0,
        }
    }

    /// A CK0 came.
    pub(crate) fn note(&mut self, now: Time, first: ClockTicks) {
        if let Some(slot) = self.answered.get_mut(self.next) {
            *slot = Some((first, now));
        }
        self.next = (self.next + 1) % ANSWERS;
    }

    /// CK0s that were answered, and when.
    pub(crate) fn answered(&self) -> impl Iterator<Item = (ClockTicks, Time)> {
        self.answered.iter().flatten().copied()
    }
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
            proving: None,
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
