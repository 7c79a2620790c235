//! How a peer comes in: both halves of its invitation, and whom it replaces.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::SocketAddr;

use netmidi_wire::{Exchange, ExchangeKind, SeqNum, SessionName, Token};

use super::Session;
use super::sending::Answer;
use crate::event::{Event, LeaveReason, ParticipantId};
use crate::invitation::Pending;
use crate::participant::{Introduction, Participant, PeerKey, Stage};
use crate::timer::Timer;
use crate::transmit::{LocalPort, Port};

/// The most that is kept of a peer's name, in octets of UTF-8.
const MAX_PEER_NAME_OCTETS: usize = 255;

impl Session {
    pub(super) fn handle_invitation(
        &mut self,
        local: LocalPort,
        from: SocketAddr,
        exchange: &Exchange<'_>,
    ) {
        if !self.open || exchange.ssrc == self.ssrc {
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
            Some(participant) if participant.token == token && participant.peer.control == from => {
                participant.heard_at = now;
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
            let same = is_token(participant.token) && participant.peer.data == from;
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
        let replaced: Vec<ParticipantId> = self.peers_replaced_by(&key, pending.control).collect();
        for old in replaced {
            self.remove(old, LeaveReason::Replaced);
        }
        let Pending {
            token,
            control,
            name,
            ..
        } = pending;
        let who = Introduction {
            name,
            ssrc: key.ssrc(),
            token,
            control,
            data,
            pair: local.pair,
        };
        let id = ParticipantId(self.next_id);
        self.next_id += 1;
        let first_seq = SeqNum(self.rng.u16());
        let participant = Participant::new(self.now, who, first_seq, self.clock, &self.config);
        self.timers.set(participant.silence_at, Timer::Silence(id));
        if let Stage::Joined { ready_at } = participant.stage {
            self.timers.set(ready_at, Timer::Ready(id));
        }
        self.stats.invitations_accepted += 1;
        self.events.push(Event::Joined {
            participant: id,
            peer: (&participant).into(),
        });
        self.peers.insert(key, id);
        self.participants.insert(id, participant);
    }

    /// Whether there is no place for this peer, those counted out that it would replace.
    pub(super) fn is_full_for(&self, key: &PeerKey, control: SocketAddr) -> bool {
        let replaced = self
            .peers_replaced_by(key, control)
            .filter(|id| self.is_joined(*id))
            .count();
        let joined = self
            .participants
            .values()
            .filter(|other| !other.is_leaving())
            .count();
        joined - replaced >= self.config.max_participants
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
    ) -> impl Iterator<Item = ParticipantId> {
        let (key, pair) = (*key, key.pair());
        self.participants
            .iter()
            .filter(move |(_, old)| {
                old.key() == key || (old.peer.control == control && old.peer.pair == pair)
            })
            .map(|(id, _)| *id)
    }

    pub(super) fn joined_mut(&mut self, key: &PeerKey) -> Option<&mut Participant> {
        let id = self.peers.get(key)?;
        self.participants
            .get_mut(id)
            .filter(|participant| !participant.is_leaving())
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
fn bounded_name(name: SessionName<'_>) -> String {
    let mut name = name.to_string();
    let mut end = name.len().min(MAX_PEER_NAME_OCTETS);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    name
}
