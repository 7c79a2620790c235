//! How a peer comes in: both halves of its invitation, and whom it replaces.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::SocketAddr;

use netmidi_wire::{Exchange, ExchangeKind, SeqNum, SessionName, Ssrc, Token};

use super::Session;
use super::sending::Answer;
use crate::event::{Event, LeaveReason, ParticipantId, Role};
use crate::invitation::Pending;
use crate::invitee::{InviteeId, Progress};
use crate::participant::{Introduction, Participant, PeerKey, Stage};
use crate::timer::Timer;
use crate::transmit::{LocalPort, PairId, Port};

/// One who joins with the identity of so many others lets us look after no more of them.
const MAX_DOUBTED: usize = 4;
/// The most that is kept of a peer's name, in octets of UTF-8.
const MAX_PEER_NAME_OCTETS: usize = 255;

impl Session {
    pub(super) fn handle_invitation(
        &mut self,
        local: LocalPort,
        from: SocketAddr,
        exchange: &Exchange<'_>,
    ) {
        if !self.open {
            // NO would keep an initiator away for long from whoever takes our place here.
            self.stats.invitations_ignored += 1;
            return;
        }
        if exchange.ssrc == self.ssrc {
            // Ourselves, over a loop: a session of us with us would never end.
            self.stats.invitations_refused += 1;
            self.refuse(local, from, exchange.token);
            return;
        }
        let key = PeerKey::new(exchange.ssrc, from, local.pair);
        match local.port {
            Port::Control => self.handle_control_invitation(key, local, from, exchange),
            Port::Data => self.handle_data_invitation(key, local, from, exchange),
        }
    }

    pub(super) fn handle_control_invitation(
        &mut self,
        key: PeerKey,
        local: LocalPort,
        from: SocketAddr,
        exchange: &Exchange<'_>,
    ) {
        let now = self.now;
        let token = exchange.token;
        // Our OK was lost, on its way to one who is connected or about to be.
        let repeated = match self.joined_mut(&key) {
            Some(participant)
                if participant.has_token(token) && participant.peer.control == from =>
            {
                participant.heard_at = now;
                true
            }
            // Both invited, and our invitation was the first to be through.
            Some(participant)
                if participant.peer.role == Role::Initiator
                    && participant.peer.control == from
                    && participant.may_have_crossed(now) =>
            {
                participant.heard_at = now;
                participant.other_token = Some(token);
                true
            }
            _ => self.renew_invitation(&key, token, from),
        };
        if !repeated {
            if self.is_full_for(&key, from) {
                self.stats.invitations_refused += 1;
                self.refuse(local, from, token);
                return;
            }
            if self.invitations.len() >= self.config.max_invitations
                && self.invitations.get(&key).is_none()
            {
                self.stats.invitations_ignored += 1;
                return;
            }
            let name = exchange.name.map(bounded_name).unwrap_or_default();
            let expires_at = now + self.config.invitation_timeout;
            let (id, old) = self.invitations.insert(key, token, from, name, expires_at);
            if let Some(old) = old {
                self.timers
                    .cancel(old.expires_at, Timer::Invitation(old.id));
            }
            self.timers.set(expires_at, Timer::Invitation(id));
        }
        self.accept(local, from, token);
    }

    /// An unfinished invitation came again: it waits for its data half from now on. Returns whether
    /// there is one.
    pub(super) fn renew_invitation(
        &mut self,
        key: &PeerKey,
        token: Token,
        control: SocketAddr,
    ) -> bool {
        let expires_at = self.now + self.config.invitation_timeout;
        let Some(pending) = self
            .invitations
            .get_mut(key)
            .filter(|pending| pending.token == token && pending.control == control)
        else {
            return false;
        };
        let timer = Timer::Invitation(pending.id);
        self.timers.cancel(pending.expires_at, timer);
        self.timers.set(expires_at, timer);
        pending.expires_at = expires_at;
        true
    }

    pub(super) fn handle_data_invitation(
        &mut self,
        key: PeerKey,
        local: LocalPort,
        from: SocketAddr,
        exchange: &Exchange<'_>,
    ) {
        let now = self.now;
        // midimonster invites the data port with token 0.
        let is_token = |token: Token| exchange.token == token || exchange.token == Token(0);
        if self
            .invitations
            .get(&key)
            .is_some_and(|pending| is_token(pending.token))
        {
            if self.events.is_full() {
                // Nobody listens to us: a join could not be told. The peer asks again.
                self.stats.invitations_ignored += 1;
                return;
            }
            if let Some(pending) = self.invitations.remove(&key) {
                self.timers
                    .cancel(pending.expires_at, Timer::Invitation(pending.id));
                if self.is_full_for(&key, pending.control) {
                    // Others came in between the two halves.
                    self.stats.invitations_refused += 1;
                    self.refuse(local, from, exchange.token);
                    return;
                }
                self.join(key, pending, from, local);
                self.accept(local, from, exchange.token);
            }
            return;
        }
        // Our OK was lost.
        let repeated = self.joined_mut(&key).is_some_and(|participant| {
            let same = participant.has_token(exchange.token) && participant.peer.data == from;
            if same {
                participant.heard_at = now;
            }
            same
        });
        if repeated {
            self.accept(local, from, exchange.token);
        } else {
            self.stats.invitations_refused += 1;
            self.refuse(local, from, exchange.token);
        }
    }

    /// Both halves of an invitation have come.
    pub(super) fn join(
        &mut self,
        key: PeerKey,
        pending: Pending,
        data: SocketAddr,
        local: LocalPort,
    ) {
        let Pending {
            token,
            control,
            name,
            ..
        } = pending;
        // When both invited, the smaller SSRC is the initiator's.
        let invitee = self.invitees.at(local.pair, control);
        let is_asking = |id| {
            self.invitees
                .get(id)
                .is_some_and(|it| !matches!(it.progress, Progress::Joined(_)))
        };
        let invitee = invitee.filter(|id| is_asking(*id));
        let role = match invitee {
            Some(_) if self.ssrc < key.ssrc() => Role::Initiator,
            _ => Role::Participant,
        };
        let who = Introduction {
            name,
            ssrc: key.ssrc(),
            control_ssrc: key.ssrc(),
            token,
            control,
            data,
            pair: local.pair,
            role,
        };
        self.stats.invitations_accepted += 1;
        self.enter(key, who, invitee);
    }

    /// Somebody is in the session, whoever invited whom.
    pub(super) fn enter(
        &mut self,
        key: PeerKey,
        who: Introduction,
        mut invitee: Option<InviteeId>,
    ) {
        // One with its data port is its old self as well, whatever its router made of the other one.
        let same_data = (LocalPort::data(key.pair()), who.data);
        let same_data = self.addresses.get(&same_data).copied();
        let replaced: Vec<ParticipantId> = self
            .peers_replaced_by(&key, who.control)
            .chain(same_data)
            .collect();
        for old in replaced {
            // Who is invited stays invited: it is this one now.
            let bound = self
                .participants
                .get_mut(&old)
                .and_then(|participant| participant.peer.invitee.take());
            invitee = invitee.or(bound);
            self.remove(old, LeaveReason::Replaced);
        }
        let id = self.participants.next_id();
        let first_seq = SeqNum(self.rng.u16());
        let participant = Participant::new(self.now, who, first_seq, self.clock, &self.config);
        self.timers.set(participant.silence_at, Timer::Silence(id));
        if let Stage::Joined { ready_at } = participant.stage {
            self.timers.set(ready_at, Timer::Ready(id));
        }
        let control_key = participant.control_key();
        for address in participant.addresses() {
            self.addresses.insert(address, id);
        }
        self.peers.insert(control_key, id);
        self.peers.insert(key, id);
        let elsewhere = self.same_identity(key.ssrc());
        self.identities.insert((key.ssrc(), id));
        self.participants.insert(participant);
        self.joined += 1;
        if let Some(invitee) = invitee {
            self.bind(invitee, id);
            self.attend(id);
        }
        if let Some(participant) = self.participants.get(&id) {
            self.events.push(Event::Joined {
                participant: id,
                peer: participant.into(),
            });
        }
        // The same peer, perhaps, which has changed its address.
        for old in elsewhere {
            self.doubt_place(old);
        }
    }

    /// Who has this identity already, at whatever host: the last few.
    fn same_identity(&self, ssrc: Ssrc) -> Vec<ParticipantId> {
        let (first, last) = ParticipantId::BOUNDS;
        self.identities
            .range((ssrc, first)..=(ssrc, last))
            .rev()
            .take(MAX_DOUBTED)
            .map(|(_, id)| *id)
            .collect()
    }

    /// Whether there is no place for this peer, those counted out that it would replace.
    pub(super) fn is_full_for(&self, key: &PeerKey, control: SocketAddr) -> bool {
        let replaced = self
            .peers_replaced_by(key, control)
            .filter(|id| self.is_joined(*id))
            .count();
        self.participants.is_full() || self.joined - replaced >= self.config.max_participants
    }

    pub(super) fn is_joined(&self, id: ParticipantId) -> bool {
        self.participants
            .get(&id)
            .is_some_and(|participant| !participant.is_leaving())
    }

    /// Participants that are the same peer as `key`, or were at its control address before: a
    /// peer that restarts comes back with the same SSRC or from the same port.
    pub(super) fn peers_replaced_by(
        &self,
        key: &PeerKey,
        control: SocketAddr,
    ) -> impl Iterator<Item = ParticipantId> + use<> {
        let same = self.peers.get(key).copied();
        let local = LocalPort::control(key.pair());
        let there = self.addresses.get(&(local, control)).copied();
        // Each once, the one that joined first before the other.
        let first = same.min(there).or(same).or(there);
        let other = same.max(there).filter(|other| Some(*other) != first);
        first.into_iter().chain(other)
    }

    pub(super) fn joined_mut(&mut self, key: &PeerKey) -> Option<&mut Participant> {
        let id = self.peers.get(key)?;
        self.participants
            .get_mut(id)
            .filter(|participant| !participant.is_leaving())
    }

    /// Who has this address in the session and is not leaving.
    pub(super) fn joined_at(&self, pair: PairId, address: SocketAddr) -> Option<ParticipantId> {
        [LocalPort::control(pair), LocalPort::data(pair)]
            .into_iter()
            .filter_map(|local| self.addresses.get(&(local, address)).copied())
            .find(|id| self.is_joined(*id))
    }

    pub(super) fn accept(&mut self, local: LocalPort, to: SocketAddr, token: Token) {
        self.answer(
            local,
            to,
            Answer::Exchange {
                kind: ExchangeKind::Accepted,
                token,
            },
        );
    }

    pub(super) fn refuse(&mut self, local: LocalPort, to: SocketAddr, token: Token) {
        self.answer(
            local,
            to,
            Answer::Exchange {
                kind: ExchangeKind::Rejected,
                token,
            },
        );
    }
}

/// As much of a name as we keep.
pub(super) fn bounded_name(name: SessionName<'_>) -> String {
    let mut name = name.to_string();
    let mut end = name.len().min(MAX_PEER_NAME_OCTETS);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    name
}
