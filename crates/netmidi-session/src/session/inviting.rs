//! How we invite: both halves of an invitation, again and again, until there is a session.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use netmidi_wire::{Exchange, ExchangeKind, Token};

use super::Session;
use super::joining::bounded_name;
use super::sending::Answer;
use crate::error::InviteError;
use crate::event::{Event, LeaveReason, ParticipantId, Role};
use crate::invitee::{Asking, InviteeId, InviteeState, Persistence, Progress, Target};
use crate::participant::{Introduction, PeerKey, is_same_host};
use crate::time::Time;
use crate::timer::Timer;
use crate::transmit::{LocalPort, PairId, Port};

/// Invitations with one token to one port, after which the application hears that nobody answers:
/// they take as long as those of Apple's driver before it gives up, 12 s.
const SERIES: u32 = 24;
/// Between two invitations. No longer, since who comes back is found again by the next one, and that
/// may be lost.
const INTERVAL: Duration = Duration::from_millis(500);
/// The control port has answered, so somebody is there: the first data invitations follow each other
/// faster.
const QUICK_INTERVAL: Duration = Duration::from_millis(250);
/// How many of them.
const QUICK: u32 = 4;
/// So many data invitations in a row may be answered NO although the control port has said OK.
const MAX_HALF_REFUSALS: u8 = 3;
/// Who ends a session is left alone so long: it may be about to close, and would say NO.
const AFTER_BYE: Duration = Duration::from_secs(1);
/// A session that lasted no longer than this may be one that the peer does not want.
const SHORT_LIFE: Duration = Duration::from_secs(2);
/// So many of those in a row lead to no pause.
const FREE_SHORT_LIVES: u8 = 2;
/// One whose BY has no token is left alone so long: it may only not know us, as when our address has
/// changed.
const AFTER_STRANGER: Duration = Duration::from_millis(100);
/// The longest pause after several of those.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

impl Session {
    /// Invites somebody, at all of these addresses at once until one answers, and again whenever the
    /// session is lost ([`Persistence::Forever`]).
    ///
    /// How far it is comes as [`Event::Invitee`]; once there is a session, [`Event::Joined`] names
    /// the invitee in its peer. Who is connected already at one of the addresses counts as invited.
    /// At most [`MAX_TARGETS`](crate::MAX_TARGETS) addresses are asked.
    ///
    /// # Errors
    /// Without an address, when somebody else is invited at one of them, when there are
    /// [`Config::max_invitees`](crate::Config::max_invitees) already, or after
    /// [`close`](Self::close).
    pub fn invite(
        &mut self,
        now: Time,
        targets: &[Target],
        persistence: Persistence,
    ) -> Result<InviteeId, InviteError> {
        self.advance(now);
        if !self.open {
            return Err(InviteError::Closed);
        }
        if self.invitees.len() >= self.config.max_invitees {
            return Err(InviteError::TooMany {
                limit: self.config.max_invitees,
            });
        }
        let id = self.invitees.insert(targets, persistence)?;
        self.ask(id);
        Ok(id)
    }

    /// Invites somebody no longer. A session that it led to is ended, as by
    /// [`leave`](Self::leave).
    ///
    /// # Errors
    /// When there is no such invitee.
    pub fn withdraw(&mut self, now: Time, id: InviteeId) -> Result<(), InviteError> {
        self.advance(now);
        let progress = match self.invitees.get(id) {
            Some(invitee) => invitee.progress.clone(),
            None => return Err(InviteError::Unknown { invitee: id }),
        };
        match progress {
            Progress::Joined(participant) => {
                // It ends the invitation as well.
                let left = self.leave(now, participant);
                debug_assert!(left.is_ok(), "an invitee was bound to nobody");
            }
            Progress::Asking {
                token,
                step: Asking::Data { target, .. },
                ..
            } => {
                // Its control half waits for the other one.
                let local = LocalPort::control(target.pair);
                let kind = ExchangeKind::End;
                self.answer(local, target.control, Answer::Exchange { kind, token });
            }
            Progress::Asking { .. } | Progress::Waiting => {}
        }
        self.end_invitee(id);
        Ok(())
    }

    /// Somebody whom we invite is to be found elsewhere from now on: its name has other addresses,
    /// for instance. A session with it goes on if it still answers where it was.
    ///
    /// # Errors
    /// Like [`invite`](Self::invite), and when there is no such invitee.
    pub fn readdress(
        &mut self,
        now: Time,
        id: InviteeId,
        targets: &[Target],
    ) -> Result<(), InviteError> {
        self.advance(now);
        let Some(invitee) = self.invitees.get(id) else {
            return Err(InviteError::Unknown { invitee: id });
        };
        if invitee.targets == targets {
            return Ok(());
        }
        match &invitee.progress {
            Progress::Joined(participant) => {
                let participant = *participant;
                self.invitees.move_to(id, targets)?;
                if !self.is_at_one_of(participant, targets) {
                    self.doubt_place(participant);
                }
            }
            // The one that answered may be the right one still.
            Progress::Asking {
                step: Asking::Data { target, .. },
                ..
            } if is_one_of(targets, target.pair, target.control) => {
                self.invitees.move_to(id, targets)?;
            }
            Progress::Asking { .. } => {
                self.invitees.move_to(id, targets)?;
                self.ask(id);
            }
            Progress::Waiting => self.invitees.move_to(id, targets)?,
        }
        Ok(())
    }

    fn is_at_one_of(&self, id: ParticipantId, targets: &[Target]) -> bool {
        let peer = self.participants.get(&id).map(|it| &it.peer);
        peer.is_some_and(|peer| is_one_of(targets, peer.pair, peer.control))
    }

    /// How far an invitation is.
    #[must_use]
    pub fn invitee(&self, id: InviteeId) -> Option<InviteeState> {
        self.invitees.get(id).map(|invitee| invitee.told)
    }

    /// Begins a series of invitations.
    pub(super) fn ask(&mut self, id: InviteeId) {
        if let Some(participant) = self.already_joined(id) {
            self.bind(id, participant);
            return;
        }
        let token = loop {
            let token = Token(self.rng.nonzero_u32());
            if !self.invitees.is_token_used(token) {
                break token;
            }
        };
        self.invitees.forget_token(id);
        let Some(invitee) = self.invitees.get_mut(id) else {
            return;
        };
        invitee.progress = Progress::Asking {
            token,
            step: Asking::Control,
            sent: 0,
        };
        self.invitees.remember_token(id, token);
        self.invite_again(id);
    }

    /// Sends the invitations of the present step once more.
    fn invite_again(&mut self, id: InviteeId) {
        let now = self.now;
        let Some(invitee) = self.invitees.get_mut(id) else {
            return;
        };
        let Progress::Asking { token, step, sent } = &mut invitee.progress else {
            return;
        };
        *sent += 1;
        let token = *token;
        let (port, only, wait) = match step {
            Asking::Control => (Port::Control, None, INTERVAL),
            Asking::Data { target, .. } if *sent <= QUICK => {
                (Port::Data, Some(*target), QUICK_INTERVAL)
            }
            Asking::Data { target, .. } => (Port::Data, Some(*target), INTERVAL),
        };
        let targets: &[Target] = match &only {
            Some(target) => core::slice::from_ref(target),
            None => &invitee.targets,
        };
        // At most MAX_TARGETS of them, once a second.
        let targets: Vec<Target> = targets.to_vec();
        for target in targets {
            let to = match port {
                Port::Control => target.control,
                Port::Data => target.data,
            };
            let local = LocalPort {
                pair: target.pair,
                port,
            };
            let kind = ExchangeKind::Invitation;
            self.answer(local, to, Answer::Exchange { kind, token });
            self.stats.invitations_sent += 1;
        }
        self.set_invitee_timer(id, now + wait);
    }

    /// The time of an invitee has come.
    pub(super) fn attend_invitee(&mut self, id: InviteeId) {
        let Some(invitee) = self.invitees.get_mut(id) else {
            return;
        };
        invitee.due = None;
        match &invitee.progress {
            Progress::Asking { sent, step, .. } if *sent >= SERIES => {
                let state = InviteeState::Unanswered {
                    port: step.port(),
                    invitations: *sent,
                };
                self.stats.invitations_unanswered += 1;
                self.tell_invitee(id, state);
                self.ask_again_or_end(id);
            }
            Progress::Asking { .. } => self.invite_again(id),
            Progress::Waiting => {
                self.tell_invitee(id, InviteeState::Asking);
                self.ask(id);
            }
            Progress::Joined(_) => {}
        }
    }

    fn ask_again_or_end(&mut self, id: InviteeId) {
        match self.invitees.get(id).map(|invitee| invitee.persistence) {
            Some(Persistence::Forever) => self.ask(id),
            Some(Persistence::Once) => self.end_invitee(id),
            None => {}
        }
    }

    /// OK or NO.
    pub(super) fn handle_reply(
        &mut self,
        local: LocalPort,
        from: SocketAddr,
        exchange: &Exchange<'_>,
    ) {
        let Some((id, invitee)) = self
            .invitees
            .asked_with(exchange.token)
            .and_then(|id| Some((id, self.invitees.get_mut(id)?)))
        else {
            self.stats.unexpected_answer += 1;
            return;
        };
        let Progress::Asking { step, sent, .. } = &mut invitee.progress else {
            self.stats.unexpected_answer += 1;
            return;
        };
        let target = match step {
            Asking::Control => invitee
                .targets
                .iter()
                .find(|it| it.pair == local.pair && is_same_host(it.control, from))
                .copied(),
            Asking::Data { target, .. } => {
                let fits = target.pair == local.pair && is_same_host(target.data, from);
                fits.then_some(*target)
            }
        };
        let Some(target) = target else {
            self.stats.wrong_source += 1;
            return;
        };
        let accepted = exchange.kind == ExchangeKind::Accepted;
        match (&mut *step, local.port) {
            (Asking::Control, Port::Control) if accepted => {
                if exchange.ssrc == self.ssrc {
                    self.stats.unexpected_answer += 1;
                    return;
                }
                *step = Asking::Data {
                    // Feedback goes to where the answer came from; MIDI to where the next one does.
                    target: Target {
                        control: from,
                        ..target
                    },
                    ssrc: exchange.ssrc,
                    name: exchange.name.map(bounded_name).unwrap_or_default(),
                };
                *sent = 0;
                self.invite_again(id);
            }
            (Asking::Data { ssrc, name, .. }, Port::Data) if accepted => {
                let (control_ssrc, name) = (*ssrc, core::mem::take(name));
                self.join_invited(id, target, control_ssrc, name, from, exchange);
            }
            // The same answer again.
            (Asking::Data { .. }, Port::Control) if accepted => {}
            (Asking::Control, Port::Control) => self.be_refused(id),
            (Asking::Data { .. }, _) => {
                // It has forgotten that it had said OK, as after a restart between the two; but not
                // again and again.
                invitee.half_refusals += 1;
                if invitee.half_refusals > MAX_HALF_REFUSALS {
                    self.be_refused(id);
                } else {
                    self.ask(id);
                }
            }
            (Asking::Control, Port::Data) => self.stats.unexpected_answer += 1,
        }
    }

    fn be_refused(&mut self, id: InviteeId) {
        self.stats.refusals_received += 1;
        let again_at = self.now + self.config.refused_pause;
        let again_at = match self.invitees.get(id).map(|invitee| invitee.persistence) {
            Some(Persistence::Forever) => Some(again_at),
            Some(Persistence::Once) => None,
            None => return,
        };
        self.tell_invitee(id, InviteeState::Refused { again_at });
        match again_at {
            Some(at) => self.pause(id, at),
            None => self.end_invitee(id),
        }
    }

    /// Both halves of our invitation were answered OK.
    fn join_invited(
        &mut self,
        id: InviteeId,
        target: Target,
        control_ssrc: netmidi_wire::Ssrc,
        name: String,
        data: SocketAddr,
        exchange: &Exchange<'_>,
    ) {
        if self.events.is_full() || exchange.ssrc == self.ssrc {
            // Nobody listens to us: a join could not be told. We ask again.
            self.stats.unexpected_answer += 1;
            return;
        }
        let name = match exchange.name.map(bounded_name) {
            Some(given) if !given.is_empty() => given,
            _ => name,
        };
        self.invitees.forget_token(id);
        let who = Introduction {
            name,
            ssrc: exchange.ssrc,
            control_ssrc,
            token: exchange.token,
            control: target.control,
            data,
            pair: target.pair,
            role: Role::Initiator,
        };
        let key = PeerKey::new(exchange.ssrc, data, target.pair);
        // It knows our token, so our invitation has reached it.
        self.enter(key, who, Some(id), true);
        if let Some(participant) = self.peers.get(&key).copied() {
            self.prove(participant);
        }
    }

    /// The participant that an invitee is, when it has come by itself, and is nobody else whom we
    /// invite.
    fn already_joined(&self, id: InviteeId) -> Option<ParticipantId> {
        let invitee = self.invitees.get(id)?;
        let is_free = |id: &ParticipantId| {
            let participant = self.participants.get(id);
            participant.is_some_and(|it| it.peer.invitee.is_none())
        };
        invitee
            .targets
            .iter()
            .filter_map(|target| self.joined_at(target.pair, target.control))
            .find(is_free)
    }

    /// An invitee is in the session, whoever invited whom.
    pub(super) fn bind(&mut self, id: InviteeId, participant: ParticipantId) {
        self.invitees.forget_token(id);
        let Some(invitee) = self.invitees.get_mut(id) else {
            return;
        };
        let token = match &invitee.progress {
            Progress::Asking { token, .. } => Some(*token),
            _ => None,
        };
        invitee.progress = Progress::Joined(participant);
        invitee.half_refusals = 0;
        if let Some(due) = invitee.due.take() {
            self.timers.cancel(due, Timer::Invitee(id));
        }
        self.tell_invitee(id, InviteeState::Joined { participant });
        let now = self.now;
        if let Some(member) = self.participants.get_mut(&participant) {
            member.peer.invitee = Some(id);
            member.other_token = token.filter(|token| *token != member.token);
            member.begin_syncing(now);
        }
    }

    /// The session with an invitee is over.
    pub(super) fn lose_invitee(&mut self, id: InviteeId, joined_at: Time, reason: LeaveReason) {
        let now = self.now;
        let Some(invitee) = self.invitees.get_mut(id) else {
            return;
        };
        invitee.progress = Progress::Waiting;
        if invitee.persistence == Persistence::Once || !self.open || reason == LeaveReason::Local {
            self.end_invitee(id);
            return;
        }
        if now.since(joined_at) < SHORT_LIFE {
            invitee.short_lives = invitee.short_lives.saturating_add(1);
        } else {
            invitee.short_lives = 0;
        }
        let pause = match invitee.short_lives {
            0..=FREE_SHORT_LIVES => Duration::ZERO,
            // 1, 2, 4 ... 30 s.
            lives => {
                let doublings = (lives - FREE_SHORT_LIVES - 1).min(5);
                LONGEST_PAUSE.min(Duration::from_secs(1 << doublings))
            }
        };
        let pause = match reason {
            LeaveReason::Bye => pause.max(AFTER_BYE),
            _ => pause,
        };
        self.tell_invitee(id, InviteeState::Asking);
        if pause.is_zero() {
            self.ask(id);
        } else {
            self.pause(id, now + pause);
        }
    }

    /// Somebody whom we invite has told that it does not know us: it is not about to close.
    pub(super) fn hurry_invitee(&mut self, id: InviteeId) {
        let soon = self.now + AFTER_STRANGER;
        if let Some(invitee) = self.invitees.get(id)
            && matches!(invitee.progress, Progress::Waiting)
            && invitee.short_lives <= FREE_SHORT_LIVES
            && invitee.due.is_some_and(|due| due > soon)
        {
            self.set_invitee_timer(id, soon);
        }
    }

    /// Leaves an invitee alone until then.
    fn pause(&mut self, id: InviteeId, until: Time) {
        self.invitees.forget_token(id);
        if let Some(invitee) = self.invitees.get_mut(id) {
            invitee.progress = Progress::Waiting;
            invitee.half_refusals = 0;
            self.set_invitee_timer(id, until);
        }
    }

    fn set_invitee_timer(&mut self, id: InviteeId, at: Time) {
        if let Some(invitee) = self.invitees.get_mut(id) {
            let timer = Timer::Invitee(id);
            if let Some(due) = invitee.due.replace(at) {
                self.timers.cancel(due, timer);
            }
            self.timers.set(at, timer);
        }
    }

    fn end_invitee(&mut self, id: InviteeId) {
        self.tell_invitee(id, InviteeState::Ended);
        if let Some(invitee) = self.invitees.remove(id)
            && let Some(due) = invitee.due
        {
            self.timers.cancel(due, Timer::Invitee(id));
        }
    }

    /// All invitations end.
    pub(super) fn end_invitees(&mut self) {
        let ids: Vec<InviteeId> = self.invitees.ids().collect();
        for id in ids {
            self.end_invitee(id);
        }
    }

    fn tell_invitee(&mut self, id: InviteeId, state: InviteeState) {
        let Some(invitee) = self.invitees.get_mut(id) else {
            return;
        };
        if invitee.told == state {
            return;
        }
        if self.events.is_full() && state != InviteeState::Ended {
            // Nobody listens; the next change may be told.
            invitee.told = state;
            return;
        }
        invitee.told = state;
        match state {
            // `Joined` says so, or has said so.
            InviteeState::Joined { .. } => {}
            state => self.events.push(Event::Invitee { invitee: id, state }),
        }
    }
}

/// Whether one of these targets is at this host.
fn is_one_of(targets: &[Target], pair: PairId, control: SocketAddr) -> bool {
    let is_there = |it: &Target| it.pair == pair && is_same_host(it.control, control);
    targets.iter().any(is_there)
}

impl Asking {
    const fn port(&self) -> Port {
        match self {
            Self::Control => Port::Control,
            Self::Data { .. } => Port::Data,
        }
    }
}
