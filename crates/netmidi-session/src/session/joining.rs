//! How a peer comes in: both halves of its invitation, and whom it replaces.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::SocketAddr;

use netmidi_wire::{Exchange, ExchangeKind, SeqNum, SessionName, Ssrc, Token};

use super::Session;
use super::sending::Answer;
use crate::admission::Opinion;
use crate::event::{Event, LeaveReason, ParticipantId, Role};
use crate::invitation::{Pending, Standing};
use crate::invitee::{InviteeId, Progress};
use crate::participant::{Host, Introduction, Participant, PeerKey, Stage};
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
            self.refuse_at_pace(local, from, exchange.token);
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
            _ => self.is_of_successor(&key, Port::Control, token, from),
        };
        if repeated {
            self.stats.invitations_repeated += 1;
            self.accept(local, from, token);
            return;
        }
        if !self.pace.take(now, key.host()) {
            self.stats.invitations_limited += 1;
            return;
        }
        if self.handle_repetition(&key, local, from, exchange) {
            return;
        }
        if self.is_full_for(&key, from) {
            self.stats.invitations_refused += 1;
            self.refuse(local, from, token);
            return;
        }
        let name = exchange.name.map(bounded_name).unwrap_or_default();
        match self.opinion(&key, from, &name) {
            Opinion::Barred => {
                self.stats.invitations_barred += 1;
                self.refuse(local, from, token);
            }
            Opinion::Unknown => self.ask_about(key, token, from, name),
            Opinion::Admitted => {
                if !self.make_room_for_invitation() {
                    self.stats.invitations_ignored += 1;
                    return;
                }
                self.stats.invitations_begun += 1;
                let expires_at = now + self.config.invitation_timeout;
                let standing = Standing::Accepted;
                let id = self
                    .invitations
                    .insert(key, token, from, name, standing, expires_at);
                self.timers.set(expires_at, Timer::Invitation(id));
                self.accept(local, from, token);
            }
        }
    }

    /// An unfinished invitation came again: it waits anew from now on, for its data half or for the
    /// application. One with another token ends it, unless the application has yet to decide. Returns
    /// whether that was all.
    fn handle_repetition(
        &mut self,
        key: &PeerKey,
        local: LocalPort,
        from: SocketAddr,
        exchange: &Exchange<'_>,
    ) -> bool {
        let token = exchange.token;
        let (now, config) = (self.now, &self.config);
        let (for_data, for_word) = (
            now + config.invitation_timeout,
            now + config.decision_timeout,
        );
        let Some(pending) = self.invitations.get_mut(key) else {
            return false;
        };
        let same = pending.token == token && pending.control == from;
        match pending.standing {
            Standing::Undecided => {
                // Some take another token for each try.
                (pending.token, pending.control) = (token, from);
                self.stats.invitations_repeated += 1;
                self.expire_invitation_at(key, for_word);
                true
            }
            Standing::Accepted if same => {
                self.stats.invitations_repeated += 1;
                self.expire_invitation_at(key, for_data);
                self.accept(local, from, token);
                true
            }
            Standing::Refused if same => {
                self.stats.invitations_barred += 1;
                self.refuse(local, from, token);
                true
            }
            Standing::Accepted | Standing::Refused => {
                self.forget_invitation(key);
                false
            }
        }
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
        let pending = self.invitations.get(&key);
        if let Some(pending) = pending.filter(|pending| is_token(pending.token)) {
            let (standing, control) = (pending.standing, pending.control);
            let proving = pending.proving.as_ref().map(|it| it.data);
            match standing {
                // Our OK was lost. From elsewhere it is somebody else.
                Standing::Accepted if proving == Some(from) => {
                    self.stats.invitations_repeated += 1;
                    self.accept(local, from, exchange.token);
                }
                Standing::Accepted if proving.is_some() => {
                    self.refuse_at_pace(local, from, exchange.token);
                }
                // Nobody listens to us: a join could not be told. The peer asks again.
                Standing::Accepted if self.events.is_full() => self.stats.invitations_ignored += 1,
                Standing::Accepted if self.is_full_for(&key, control) => {
                    // Others came in between the two halves.
                    self.forget_invitation(&key);
                    self.stats.invitations_refused += 1;
                    self.refuse(local, from, exchange.token);
                }
                Standing::Accepted => {
                    self.stats.invitations_accepted += 1;
                    // First of all: it understands no question of ours before.
                    self.accept(local, from, exchange.token);
                    if self.needs_proof(&key, control) {
                        self.begin_proof(&key, from);
                    } else if let Some(pending) = self.forget_invitation(&key) {
                        self.join(key, pending, from, local.pair);
                    }
                }
                // Before our OK.
                Standing::Undecided => self.stats.invitations_ignored += 1,
                Standing::Refused => {
                    self.stats.invitations_barred += 1;
                    self.refuse(local, from, exchange.token);
                }
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
        if repeated || self.is_of_successor(&key, Port::Data, exchange.token, from) {
            self.stats.invitations_repeated += 1;
            self.accept(local, from, exchange.token);
        } else {
            self.refuse_at_pace(local, from, exchange.token);
        }
    }

    /// Both halves of an invitation have come.
    pub(super) fn join(&mut self, key: PeerKey, pending: Pending, data: SocketAddr, pair: PairId) {
        let Pending {
            token,
            control,
            name,
            ..
        } = pending;
        // When both invited, the smaller SSRC is the initiator's.
        let invitee = self.asking_at(pair, control);
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
            pair,
            role,
        };
        match self.predecessor(&key, control, data) {
            Some(old) => self.await_proof(old, key, who),
            None => self.enter(key, who, invitee, false),
        }
    }

    /// Whom we invite at this address, if it has not joined yet.
    pub(super) fn asking_at(&self, pair: PairId, control: SocketAddr) -> Option<InviteeId> {
        let id = self.invitees.at(pair, control)?;
        let invitee = self.invitees.get(id)?;
        (!matches!(invitee.progress, Progress::Joined(_))).then_some(id)
    }

    /// Somebody is in the session, whoever invited whom. Unless it `succeeds` whoever was at its control
    /// port, one who is alive there stays.
    pub(super) fn enter(
        &mut self,
        key: PeerKey,
        who: Introduction,
        mut invitee: Option<InviteeId>,
        succeeds: bool,
    ) {
        // One with its data port is its old self as well, whatever its router made of the other one.
        let replaced: Vec<ParticipantId> = self
            .peers_replaced_by(&key, who.control)
            .chain(self.at_data(&key, who.data))
            .collect();
        for old in replaced {
            let is_same = self.peers.get(&key) == Some(&old);
            if !is_same && !succeeds && self.is_joined(old) {
                continue;
            }
            // Who succeeds it does so now.
            self.forget_successor(old);
            // Who is invited stays invited: it is this one now. Of two invitees that turn out to be one
            // peer, the other is asked again.
            if let Some(participant) = self.participants.get_mut(&old)
                && (invitee.is_none() || invitee == participant.peer.invitee)
            {
                invitee = participant.peer.invitee.take();
            }
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
            let there = self.addresses.get(&address).copied();
            if there.is_none_or(|other| !self.is_joined(other)) {
                self.addresses.insert(address, id);
            }
        }
        self.unproved.insert(id);
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

    /// Whether there is no place for this peer, the one counted out that it would replace.
    pub(super) fn is_full_for(&self, key: &PeerKey, control: SocketAddr) -> bool {
        let replaces = self
            .peers_replaced_by(key, control)
            .any(|id| self.is_joined(id));
        if self.participants.is_full() {
            return true;
        }
        // Who proves itself takes the place of one that has not.
        self.joined - usize::from(replaces) >= self.config.max_participants && !self.is_crowded()
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

    /// NO to somebody whom we need not look at any closer, unless there are too many of them.
    fn refuse_at_pace(&mut self, local: LocalPort, from: SocketAddr, token: Token) {
        if self.pace.take(self.now, Host::new(from)) {
            self.stats.invitations_refused += 1;
            self.refuse(local, from, token);
        } else {
            self.stats.invitations_limited += 1;
        }
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
