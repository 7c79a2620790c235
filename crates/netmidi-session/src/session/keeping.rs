//! How a session is kept: clocks are asked, doubts cleared up, peers followed to another port.

use core::net::SocketAddr;
use core::time::Duration;

use netmidi_wire::{ClockCount, ClockSync as ClockPacket, ExchangeKind, Token};

use super::Session;
use super::sending::{Answer, enlist, make_ready, schedule};
use crate::event::{LeaveReason, ParticipantId, Role};
use crate::liveness::Questions;
use crate::participant::{Challenge, PeerKey};
use crate::time::Time;
use crate::timer::Timer;
use crate::transmit::{LocalPort, Port};

/// How often the new port of a participant is checked, at most.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// So much of something in a second, at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    per_second: u32,
    left: u32,
    /// When `left` was right.
    at: Time,
}

impl Allowance {
    pub(super) const fn new(now: Time, per_second: u32) -> Self {
        Self {
            per_second,
            left: per_second,
            at: now,
        }
    }

    /// Takes one, if there is one.
    pub(super) fn take(&mut self, now: Time) -> bool {
        let earned = now.since(self.at).as_micros() * u128::from(self.per_second) / 1_000_000;
        if earned > 0 {
            self.at = now;
            let left = u128::from(self.left) + earned;
            self.left = u32::try_from(left).unwrap_or(u32::MAX).min(self.per_second);
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

impl Session {
    /// Asks a participant for its clock if that is due, and gives up one that has proved to be gone.
    pub(super) fn ask_clock(&mut self, id: ParticipantId) {
        let (now, ours) = (self.now, self.ssrc);
        let interval = self.config.clock_interval;
        let Some(participant) = self.participants.get_mut(&id) else {
            return;
        };
        if participant.is_leaving() {
            return;
        }
        let Some(questions) = &mut participant.questions else {
            return;
        };
        if let Some(since) = questions.only_doubt()
            && participant.heard_at > since
        {
            participant.questions = None;
            return;
        }
        if questions.is_gone(now) {
            self.remove(id, LeaveReason::Forgotten);
            return;
        }
        if !questions.is_due(now) {
            return;
        }
        let is_asked =
            participant.peer.role == Role::Participant && participant.asked.is_recent(now);
        if is_asked && !questions.is_doubting() {
            // Both invited, and the other side asks.
            questions.put_off(now, interval);
            return;
        }
        questions.asked(now);
        let question = ClockPacket {
            ssrc: ours,
            count: ClockCount::Ck0,
            timestamps: participant.clock.question(now),
        };
        let (local, to) = (
            LocalPort::data(participant.peer.pair),
            participant.peer.data,
        );
        self.answer(local, to, Answer::Clock(question));
    }

    /// A participant has answered a question of ours.
    pub(super) fn clock_answered(&mut self, id: ParticipantId) {
        self.prove(id);
        self.tell_clock(id);
        let (now, interval) = (self.now, self.config.clock_interval);
        let Self {
            participants,
            timers,
            waiting,
            ..
        } = self;
        let Some(participant) = participants.get_mut(&id) else {
            return;
        };
        participant.stats.clock_exchanges += 1;
        if participant.is_held(now) {
            // It is there, and nobody else.
            participant.held_until = now;
            enlist(now, waiting, id, participant);
        }
        let mut first = false;
        match &mut participant.questions {
            Some(questions) if questions.only_doubt().is_some() => participant.questions = None,
            Some(questions) => {
                first = !questions.is_answering();
                questions.answered(now, interval);
            }
            None => {}
        }
        make_ready(now, timers, waiting, id, participant);
        schedule(now, timers, id, participant);
        if first {
            self.watch(id);
        }
    }

    /// The silence of this participant may tell something sooner from now on.
    pub(super) fn watch(&mut self, id: ParticipantId) {
        let Self {
            participants,
            timers,
            config,
            ..
        } = self;
        let Some(participant) = participants.get_mut(&id) else {
            return;
        };
        let silent_at = participant.heard_at + participant.silence_timeout(config);
        if silent_at < participant.silence_at {
            timers.cancel(participant.silence_at, Timer::Silence(id));
            timers.set(silent_at, Timer::Silence(id));
            participant.silence_at = silent_at;
        }
    }

    /// Somebody who is not in the session behaves as if: after a restart of ours, or when it has
    /// changed its address. BY tells it so.
    ///
    /// Not at the address of a participant, or of somebody who is about to become one: whoever
    /// borrows that address could make us end the session.
    pub(super) fn tell_stranger(&mut self, local: LocalPort, from: SocketAddr) {
        if !self.open
            || self.joined_at(local.pair, from).is_some()
            || self.invitees.at(local.pair, from).is_some()
            || self.invitations.is_pending_at(local.pair, from)
            || !self.strangers.take(self.now)
        {
            return;
        }
        self.stats.strangers_told += 1;
        let answer = Answer::Exchange {
            kind: ExchangeKind::End,
            token: Token(0),
        };
        self.answer(local, from, answer);
    }

    /// BY from the address of a participant, by somebody else: it may have restarted. Anybody can
    /// write such a packet, so the participant is asked.
    pub(super) fn doubt(&mut self, local: LocalPort, from: SocketAddr) {
        let now = self.now;
        let Some(id) = self.joined_at(local.pair, from) else {
            return;
        };
        let Some(participant) = self.participants.get_mut(&id) else {
            return;
        };
        let round_trip = participant.clock.round_trip();
        // One that has never answered may be of those that do not; unless it has never said anything.
        let is_mute = participant.heard_at == participant.joined_at;
        if let Some(questions) = &mut participant.questions
            && (questions.is_answering() || is_mute)
        {
            questions.doubt(now, round_trip);
            self.stats.doubts += 1;
            self.attend(id);
        }
    }

    /// A participant seems to be elsewhere now: is it still where it was?
    pub(super) fn doubt_place(&mut self, id: ParticipantId) {
        let now = self.now;
        let Some(participant) = self.participants.get_mut(&id) else {
            return;
        };
        if participant.is_leaving() {
            return;
        }
        let round_trip = participant.clock.round_trip();
        match &mut participant.questions {
            Some(questions) => questions.doubt(now, round_trip),
            None => participant.questions = Some(Questions::doubting(now, round_trip)),
        }
        self.stats.doubts += 1;
        self.attend(id);
    }

    /// A datagram with the identity of a participant came from another port of its host: the mapping
    /// of a router may have changed. Asks whoever is there for something that only the participant
    /// can know: nothing but our question itself.
    pub(super) fn check_move(&mut self, id: ParticipantId, local: LocalPort, from: SocketAddr) {
        let (now, ours) = (self.now, self.ssrc);
        let Some(participant) = self.participants.get_mut(&id) else {
            return;
        };
        let is_recent =
            |it: &Challenge| now.since(it.at) < CHECK_INTERVAL && it.local.port == local.port;
        // Some initiators take offence at clock packets on their control port (Windows rtpMIDI): only
        // where the data port has moved already.
        let is_futile = local.port == Port::Control && !participant.moved;
        if participant.is_leaving()
            || is_futile
            || participant.challenge.as_ref().is_some_and(is_recent)
        {
            return;
        }
        let timestamps = participant.clock.question(now);
        let [first, ..] = timestamps;
        participant.challenge = Some(Challenge {
            local,
            to: from,
            first,
            at: now,
        });
        self.stats.moves_checked += 1;
        let question = ClockPacket {
            ssrc: ours,
            count: ClockCount::Ck0,
            timestamps,
        };
        self.answer(local, from, Answer::Clock(question));
    }

    /// Whether this CK1 proves that a participant has moved; it has then.
    pub(super) fn has_moved(
        &mut self,
        local: LocalPort,
        from: SocketAddr,
        clock: &ClockPacket,
    ) -> bool {
        let [first, ..] = clock.timestamps;
        let key = PeerKey::new(clock.ssrc, from, local.pair);
        let Some(id) = self.peers.get(&key).copied() else {
            return false;
        };
        let Self {
            participants,
            addresses,
            stats,
            now,
            ssrc,
            ..
        } = self;
        let Some(participant) = participants.get_mut(&id) else {
            return false;
        };
        let proves = |it: &Challenge| it.to == from && it.local == local && it.first == first;
        if participant.is_leaving() || !participant.challenge.as_ref().is_some_and(proves) {
            return false;
        }
        let Some(timestamps) = participant.clock.answered(*now, clock.timestamps) else {
            return false;
        };
        participant.challenge = None;
        participant.heard_at = *now;
        let port = match local.port {
            Port::Data => {
                participant.moved = true;
                &mut participant.peer.data
            }
            Port::Control => &mut participant.peer.control,
        };
        let old = core::mem::replace(port, from);
        if addresses.get(&(local, old)) == Some(&id) {
            addresses.remove(&(local, old));
        }
        addresses.insert((local, from), id);
        stats.moves += 1;
        let answer = ClockPacket {
            ssrc: *ssrc,
            count: ClockCount::Ck2,
            timestamps,
        };
        self.answer(local, from, Answer::Clock(answer));
        self.clock_answered(id);
        true
    }
}
