//! Who may come in: the policy, the application's word, and who gives up a place.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use netmidi_wire::{ClockCount, ClockSync as ClockPacket, ExchangeKind, Token};

use super::Session;
use super::sending::Answer;
use crate::admission::{Admission, Inviter, Opinion, RequestId, Verdict};
use crate::clock_sync::ClockSync;
use crate::config::SysExPolicy;
use crate::error::{DecideError, SendError};
use crate::event::{Event, LeaveReason, ParticipantId};
use crate::invitation::{InvitationId, Pending, Proving, Standing};
use crate::participant::{Participant, PeerKey};
use crate::time::Time;
use crate::timer::Timer;
use crate::transmit::LocalPort;

/// So many participants that never compared clocks keep their places whoever comes: there are peers that
/// never do. Beyond it, in a session that is full, who proves that it is there takes the place of one
/// that has not.
const UNPROVED_KEPT: usize = 16;

impl Session {
    /// Changes who may connect from now on. Those who are connected stay.
    ///
    /// Invitations that are not complete yet are judged anew: under [`Admission::Ask`] those that
    /// were answered OK may go on, under any other policy those that wait for a decision get theirs
    /// from it.
    pub fn set_admission(&mut self, now: Time, admission: Admission) {
        self.advance(now);
        self.config.admission = admission;
        // At most max_invitations.
        let keys: Vec<PeerKey> = self.invitations.keys().collect();
        for key in keys {
            let Some(pending) = self.invitations.get(&key) else {
                continue;
            };
            let (id, standing) = (pending.id, pending.standing);
            let opinion = self.opinion(&key, pending.control, &pending.name);
            match (standing, opinion) {
                (Standing::Undecided, Opinion::Admitted | Opinion::Barred) => {
                    let request = id.request();
                    self.events.push(Event::Withdrawn { request });
                    self.settle(&key, opinion == Opinion::Admitted);
                }
                (Standing::Accepted, Opinion::Barred) => {
                    self.forget_invitation(&key);
                }
                // What was refused by hand under another policy is asked again.
                (Standing::Refused, _) => {
                    self.forget_invitation(&key);
                }
                _ => {}
            }
        }
    }

    /// Answers an invitation that [`Event::Invited`] told of.
    ///
    /// Accepted, it gets its OK at once; the peer is a participant when it has invited our data port
    /// as well ([`Event::Joined`]). Should it not, no event tells of it. When there is no place by
    /// then ([`Config::max_participants`](crate::Config::max_participants)), it gets its NO.
    ///
    /// # Errors
    /// When the request is decided already, or was withdrawn ([`Event::Withdrawn`]).
    pub fn decide(
        &mut self,
        now: Time,
        request: RequestId,
        verdict: Verdict,
    ) -> Result<(), DecideError> {
        self.advance(now);
        let unknown = DecideError::UnknownRequest { request };
        let key = self.invitations.key_of(InvitationId::from(request));
        let key = key.ok_or(unknown)?;
        let standing = self.invitations.get(&key).map(|it| it.standing);
        if standing != Some(Standing::Undecided) {
            return Err(unknown);
        }
        self.settle(&key, verdict == Verdict::Accept);
        Ok(())
    }

    /// Whether the system exclusive messages of one participant are delivered, from the next one on,
    /// repaired ones included.
    ///
    /// # Errors
    /// When there is no such participant.
    pub fn set_sysex(
        &mut self,
        now: Time,
        id: ParticipantId,
        policy: SysExPolicy,
    ) -> Result<(), SendError> {
        self.advance(now);
        let participant = self
            .participants
            .get_mut(&id)
            .filter(|participant| !participant.is_leaving())
            .ok_or(SendError::UnknownParticipant { participant: id })?;
        participant.sysex = policy;
        Ok(())
    }

    /// What the policy says of somebody. Those whom we invite may come.
    pub(super) fn opinion(&self, key: &PeerKey, control: SocketAddr, name: &str) -> Opinion {
        if self.invitees.at(key.pair(), control).is_some() {
            return Opinion::Admitted;
        }
        self.config.admission.opinion(control.ip(), name)
    }

    /// Puts an invitation to the application.
    pub(super) fn ask_about(
        &mut self,
        key: PeerKey,
        token: Token,
        control: SocketAddr,
        name: String,
    ) {
        let most = (self.config.max_invitations / 2).max(1);
        let full = self.invitations.asked() >= most || !self.make_room_for_invitation();
        if full || self.events.is_full() {
            self.stats.invitations_ignored += 1;
            return;
        }
        self.stats.invitations_begun += 1;
        let expires_at = self.now + self.config.decision_timeout;
        let inviter = Box::new(Inviter {
            name: name.clone(),
            ssrc: key.ssrc(),
            from: control,
            pair: key.pair(),
        });
        let standing = Standing::Undecided;
        let id = self
            .invitations
            .insert(key, token, control, name, standing, expires_at);
        self.timers.set(expires_at, Timer::Invitation(id));
        let request = id.request();
        self.events.push(Event::Invited { request, inviter });
    }

    /// An invitation is decided.
    fn settle(&mut self, key: &PeerKey, accepted: bool) {
        let now = self.now;
        let Some(pending) = self.invitations.get(key) else {
            return;
        };
        let (token, control) = (pending.token, pending.control);
        let local = LocalPort::control(key.pair());
        if accepted && !self.is_full_for(key, control) {
            self.invitations.set_standing(key, Standing::Accepted);
            self.expire_invitation_at(key, now + self.config.invitation_timeout);
            self.accept(local, control, token);
        } else {
            self.invitations.set_standing(key, Standing::Refused);
            self.expire_invitation_at(key, now + self.config.decision_timeout);
            self.refuse(local, control, token);
        }
    }

    pub(super) fn expire_invitation_at(&mut self, key: &PeerKey, at: Time) {
        if let Some(pending) = self.invitations.get_mut(key) {
            let timer = Timer::Invitation(pending.id);
            self.timers.cancel(pending.expires_at, timer);
            self.timers.set(at, timer);
            pending.expires_at = at;
        }
    }

    /// Takes an invitation off the table, with its timer.
    pub(super) fn forget_invitation(&mut self, key: &PeerKey) -> Option<Pending> {
        let pending = self.invitations.remove(key)?;
        self.timers
            .cancel(pending.expires_at, Timer::Invitation(pending.id));
        Some(pending)
    }

    /// Takes an invitation off the table that will come to nothing.
    pub(super) fn end_invitation(&mut self, key: &PeerKey) {
        if let Some(pending) = self.forget_invitation(key)
            && pending.standing == Standing::Undecided
        {
            let request = pending.id.request();
            self.events.push(Event::Withdrawn { request });
        }
    }

    /// Nobody comes in any more.
    pub(super) fn end_invitations(&mut self) {
        let keys: Vec<PeerKey> = self.invitations.keys().collect();
        for key in keys {
            self.end_invitation(&key);
        }
        let ids: Vec<ParticipantId> = self.successors.keys().copied().collect();
        for id in ids {
            self.forget_successor(id);
        }
    }

    /// The time of an invitation is up.
    pub(super) fn expire_invitation(&mut self, id: InvitationId) {
        let Some(key) = self.invitations.key_of(id) else {
            return;
        };
        let proving = self
            .invitations
            .get(&key)
            .and_then(|it| it.proving.as_ref());
        let data = proving.map(|it| it.data);
        if let Some(data) = data
            && self.joined < self.config.max_participants
            && !self.events.is_full()
        {
            // It proved nothing in all this time, as peers do that never compare clocks. There is
            // room for it all the same, and whoever needs its place may have it.
            if let Some(pending) = self.forget_invitation(&key) {
                self.join(key, pending, data, key.pair());
            }
            return;
        }
        self.stats.invitations_expired += 1;
        self.end_invitation(&key);
    }

    /// Sees to it that there is room for one more invitation. Returns whether there is.
    pub(super) fn make_room_for_invitation(&mut self) -> bool {
        while self.invitations.len() >= self.config.max_invitations {
            let Some(key) = self.invitations.first_to_go() else {
                return false;
            };
            self.forget_invitation(&key);
            self.stats.invitations_displaced += 1;
        }
        true
    }

    /// Whether there are many participants who never compared clocks, as when somebody writes
    /// invitations with addresses that are not its own.
    pub(super) fn is_crowded(&self) -> bool {
        self.unproved.len() > UNPROVED_KEPT
    }

    /// Whether a newcomer has to compare clocks before it is a participant, because it takes the place
    /// of another one. Who comes back with its old identity need not, nor whom we invite.
    pub(super) fn needs_proof(&self, key: &PeerKey, control: SocketAddr) -> bool {
        self.joined >= self.config.max_participants
            && self.peers_replaced_by(key, control).next().is_none()
            && self.asking_at(key.pair(), control).is_none()
    }

    /// Both halves of an invitation have come, and that is not enough.
    pub(super) fn begin_proof(&mut self, key: &PeerKey, data: SocketAddr) {
        let until = self.now + self.config.ready_timeout;
        if let Some(pending) = self.invitations.get_mut(key) {
            pending.proving = Some(Box::new(Proving::new(data)));
        }
        self.expire_invitation_at(key, until);
    }

    /// A clock packet, if it is that of somebody who has to prove itself. Returns whether it is.
    pub(super) fn handle_proof(
        &mut self,
        local: LocalPort,
        from: SocketAddr,
        clock: &ClockPacket,
    ) -> bool {
        let key = PeerKey::new(clock.ssrc, from, local.pair);
        let (now, ssrc) = (self.now, self.ssrc);
        let Some(pending) = self.invitations.get_mut(&key) else {
            return false;
        };
        let control = pending.control;
        let Some(proving) = &mut pending.proving else {
            return false;
        };
        if from != proving.data && from != control {
            self.stats.wrong_source += 1;
            return true;
        }
        let mut exchanges = ClockSync::new(self.clock);
        let [first, ..] = clock.timestamps;
        match clock.count {
            ClockCount::Ck0 => {
                self.stats.newcomer_clocks += 1;
                proving.note(now, first);
                let answer = ClockPacket {
                    ssrc,
                    count: ClockCount::Ck1,
                    timestamps: exchanges.answer(now, first),
                };
                self.answer(local, from, Answer::Clock(answer));
            }
            ClockCount::Ck1 => self.stats.unexpected_clock += 1,
            ClockCount::Ck2 => {
                for (first, at) in proving.answered() {
                    exchanges.answer(at, first);
                }
                let data = proving.data;
                if !exchanges.complete(now, clock.timestamps) {
                    self.stats.unexpected_clock += 1;
                    return true;
                }
                self.stats.newcomer_clocks += 1;
                // Nobody would hear of it: the next exchange will do.
                if !self.events.is_full() {
                    self.let_in_proved(&key, data, exchanges);
                }
            }
        }
        true
    }

    fn let_in_proved(&mut self, key: &PeerKey, data: SocketAddr, clock: ClockSync) {
        let Some(pending) = self.forget_invitation(key) else {
            return;
        };
        if self.joined >= self.config.max_participants {
            self.displace_unproved();
        }
        if self.joined >= self.config.max_participants {
            self.stats.invitations_expired += 1;
            return;
        }
        self.join(*key, pending, data, key.pair());
        if let Some(id) = self.peers.get(key).copied() {
            if let Some(participant) = self.participants.get_mut(&id) {
                participant.clock = clock;
            }
            self.clock_compared(id);
        }
    }

    /// Takes the place of one that never compared clocks: of the one that came last, since a flood is
    /// younger than those who are connected.
    fn displace_unproved(&mut self) {
        let Some(id) = self.unproved.last().copied() else {
            return;
        };
        if let Some(participant) = self.participants.get(&id) {
            let (to, token) = (participant.peer.control, participant.token);
            let local = LocalPort::control(participant.peer.pair);
            let kind = ExchangeKind::End;
            self.answer(local, to, Answer::Exchange { kind, token });
        }
        self.stats.participants_displaced += 1;
        // Nor is there a place for who would succeed it.
        if self.forget_successor(id).is_some() {
            self.stats.successions_failed += 1;
        }
        self.remove(id, LeaveReason::Displaced);
    }

    /// A participant has answered with what only somebody at its address can know.
    pub(super) fn prove(&mut self, id: ParticipantId) {
        if !self.unproved.remove(&id) {
            return;
        }
        // Nobody else can be where it is.
        let addresses = self.participants.get(&id).map(Participant::addresses);
        for address in addresses.into_iter().flatten() {
            let there = self.addresses.insert(address, id);
            if let Some(other) = there.filter(|other| *other != id) {
                self.forget_successor(other);
                self.remove(other, LeaveReason::Replaced);
                self.addresses.insert(address, id);
            }
        }
    }
}
