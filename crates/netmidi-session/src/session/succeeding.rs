//! A peer with another SSRC at the control port of a participant: the same one after a restart, or
//! somebody who writes that address into packets.
//!
//! Both halves of an invitation can be written by somebody who sees no answer of ours. So the newcomer
//! waits beside the participant, unknown to the application, until one of them has proved something:
//! the newcomer, that an answer of ours has reached it (a clock exchange, begun by either side), or the
//! participant, that it is still there. Who restarts exchanges clocks at once, so this takes a round
//! trip. A participant that says nothing for a second although it is asked gives way as well, since
//! there are peers that never exchange clocks.

use core::net::SocketAddr;
use core::time::Duration;

use netmidi_wire::{ClockCount, ClockSync as ClockPacket, Ssrc, Token};

use super::Session;
use super::sending::Answer;
use crate::clock_sync::ClockSync;
use crate::event::ParticipantId;
use crate::participant::{Introduction, PeerKey};
use crate::time::Time;
use crate::timer::Timer;
use crate::transmit::{LocalPort, PairId, Port};

/// Between two questions to the participant.
const ASK_INTERVAL: Duration = Duration::from_millis(250);
/// So long without a sign of life after the newcomer came, and the participant gives way.
const SILENCE: Duration = Duration::from_secs(1);
/// MIDI to the participant waits while the newcomer may be it: so long, and for the three ways of a proof
/// each way twice. Once in [`PATIENCE`], and no longer than it takes the participant to answer.
const SHORTEST_HOLD: Duration = Duration::from_millis(20);
/// And no longer than this.
const LONGEST_HOLD: Duration = Duration::from_millis(250);
/// Where it is not known.
const UNKNOWN_ROUND_TRIP: Duration = Duration::from_millis(50);
/// So long without a proof, and the newcomer is forgotten.
const PATIENCE: Duration = Duration::from_secs(5);

/// Somebody who may be the successor of a participant.
#[derive(Debug)]
pub(crate) struct Successor {
    key: PeerKey,
    who: Introduction,
    clock: ClockSync,
    /// When it came.
    at: Time,
    /// When its timer comes due.
    due: Time,
}

impl Successor {
    fn is_invitation(&self, port: Port, token: Token, from: SocketAddr) -> bool {
        match port {
            Port::Control => token == self.who.token && from == self.who.control,
            Port::Data => (token == self.who.token || token == Token(0)) && from == self.who.data,
        }
    }

    fn is_at(&self, from: SocketAddr) -> bool {
        from == self.who.data || from == self.who.control
    }
}

impl Session {
    /// The participant whose place somebody with another SSRC would take: the one at the same control
    /// port, or at the same data port.
    pub(super) fn predecessor(
        &self,
        key: &PeerKey,
        control: SocketAddr,
        data: SocketAddr,
    ) -> Option<ParticipantId> {
        let there = (LocalPort::control(key.pair()), control);
        let there = self.addresses.get(&there).copied();
        let is_known = self.peers.get(key).is_some_and(|id| self.is_joined(*id));
        [there, self.at_data(key, data)]
            .into_iter()
            .flatten()
            .find(|id| !is_known && self.is_joined(*id))
    }

    /// Who has this data port, whichever control port it came from.
    pub(super) fn at_data(&self, key: &PeerKey, data: SocketAddr) -> Option<ParticipantId> {
        let local = LocalPort::data(key.pair());
        self.addresses.get(&(local, data)).copied()
    }

    /// Both halves of an invitation have come from somebody who would take the place of `old`.
    pub(super) fn await_proof(&mut self, old: ParticipantId, key: PeerKey, who: Introduction) {
        self.stats.successions += 1;
        let now = self.now;
        let mut holds = false;
        if let Some(participant) = self.participants.get_mut(&old)
            && now.since(participant.held_until) >= PATIENCE
        {
            // Whoever restarts would take the rest of the old stream for the beginning of the new one.
            let round_trip = participant.clock.round_trip().unwrap_or(UNKNOWN_ROUND_TRIP);
            participant.held_until = now + LONGEST_HOLD.min(round_trip * 3 + SHORTEST_HOLD);
            holds = true;
        }
        // One that waits already has proved nothing either; the participant is not asked more often for
        // that, unless it waits for the answer.
        let due = match self.forget_successor(old) {
            Some(before) => {
                self.stats.successions_failed += 1;
                if holds { now } else { before.due }
            }
            None => now,
        };
        self.successor_keys.insert(key, old);
        let successor = Successor {
            key,
            who,
            clock: ClockSync::new(self.clock),
            at: self.now,
            due,
        };
        self.successors.insert(old, successor);
        if due <= self.now {
            self.attend_succession(old);
        } else {
            self.timers.set(due, Timer::Succession(old));
        }
    }

    /// Asks who is there, or ends it.
    pub(super) fn attend_succession(&mut self, old: ParticipantId) {
        let now = self.now;
        let Self {
            participants,
            successors,
            timers,
            ssrc,
            ..
        } = self;
        let Some((successor, participant)) =
            successors.get_mut(&old).zip(participants.get_mut(&old))
        else {
            return;
        };
        let waited = now.since(successor.at);
        let is_silent = participant.heard_at <= successor.at;
        if waited >= PATIENCE {
            self.stats.successions_failed += 1;
            self.forget_successor(old);
            return;
        }
        if waited >= SILENCE && is_silent && !self.events.is_full() {
            self.succeed(old, false);
            return;
        }
        if waited < SILENCE && is_silent {
            // Either of them can answer: the SSRC in the answer tells which.
            let timestamps = participant.clock.question(now);
            successor.clock.question(now);
            let question = Answer::Clock(ClockPacket {
                ssrc: *ssrc,
                count: ClockCount::Ck0,
                timestamps,
            });
            let local = LocalPort::data(participant.peer.pair);
            let (to, also) = (participant.peer.data, successor.who.data);
            successor.due = now + ASK_INTERVAL;
            timers.set(successor.due, Timer::Succession(old));
            self.answer(local, to, question);
            if also != to {
                self.answer(local, also, question);
            }
            return;
        }
        successor.due = if is_silent {
            now + ASK_INTERVAL
        } else {
            successor.at + PATIENCE
        };
        timers.set(successor.due, Timer::Succession(old));
    }

    /// Whether this invitation is one that a successor repeats.
    pub(super) fn is_of_successor(
        &self,
        key: &PeerKey,
        port: Port,
        token: Token,
        from: SocketAddr,
    ) -> bool {
        self.successor_keys
            .get(key)
            .and_then(|old| self.successors.get(old))
            .is_some_and(|it| it.is_invitation(port, token, from))
    }

    /// A clock packet, if it is that of a successor. Returns whether it is.
    pub(super) fn handle_successor_clock(
        &mut self,
        local: LocalPort,
        from: SocketAddr,
        clock: &ClockPacket,
    ) -> bool {
        let key = PeerKey::new(clock.ssrc, from, local.pair);
        let Some(old) = self.successor_keys.get(&key).copied() else {
            return false;
        };
        let (now, ours) = (self.now, self.ssrc);
        let is_full = self.events.is_full();
        let Some(successor) = self.successors.get_mut(&old).filter(|it| it.is_at(from)) else {
            self.stats.wrong_source += 1;
            return true;
        };
        let [first, ..] = clock.timestamps;
        let (count, timestamps) = match clock.count {
            ClockCount::Ck0 => (ClockCount::Ck1, successor.clock.answer(now, first)),
            // Nobody would hear of it: the next exchange will do.
            _ if is_full => {
                self.stats.newcomer_clocks += 1;
                return true;
            }
            ClockCount::Ck1 => match successor.clock.answered(now, clock.timestamps) {
                Some(timestamps) => (ClockCount::Ck2, timestamps),
                None => {
                    self.stats.unexpected_clock += 1;
                    return true;
                }
            },
            ClockCount::Ck2 if successor.clock.complete(now, clock.timestamps) => {
                self.stats.newcomer_clocks += 1;
                self.succeed(old, true);
                return true;
            }
            ClockCount::Ck2 => {
                self.stats.unexpected_clock += 1;
                return true;
            }
        };
        self.stats.newcomer_clocks += 1;
        let packet = |count, timestamps| {
            Answer::Clock(ClockPacket {
                ssrc: ours,
                count,
                timestamps,
            })
        };
        // It knows of the session by now, so that it can answer as well: what comes first is proof, and
        // its MIDI follows.
        let question = match clock.count {
            ClockCount::Ck0 => Some(successor.clock.question(now)),
            _ => None,
        };
        self.answer(local, from, packet(count, timestamps));
        if let Some(timestamps) = question {
            self.answer(local, from, packet(ClockCount::Ck0, timestamps));
        }
        if count == ClockCount::Ck2 {
            self.succeed(old, true);
        }
        true
    }

    /// A successor takes it back. Returns whether there is one.
    pub(super) fn handle_successor_bye(&mut self, key: &PeerKey, from: SocketAddr) -> bool {
        let Some(old) = self.successor_keys.get(key).copied() else {
            return false;
        };
        if self.successors.get(&old).is_some_and(|it| it.is_at(from)) {
            self.stats.successions_failed += 1;
            self.forget_successor(old);
        } else {
            self.stats.wrong_source += 1;
        }
        true
    }

    /// It takes the place of the participant.
    pub(super) fn succeed(&mut self, old: ParticipantId, proved: bool) {
        let Some(successor) = self.forget_successor(old) else {
            return;
        };
        let Successor {
            key, who, clock, ..
        } = successor;
        let invitee = self.asking_at(key.pair(), who.control);
        self.enter(key, who, invitee, true);
        let Some(id) = self.peers.get(&key).copied() else {
            return;
        };
        if let Some(participant) = self.participants.get_mut(&id) {
            participant.clock = clock;
        }
        if proved {
            self.prove(id);
            self.clock_compared(id);
        }
    }

    /// The participant has left by itself: there is nothing to prove any more.
    pub(super) fn let_in(&mut self, successor: Successor) {
        if self.open && !self.events.is_full() {
            let Successor {
                key, who, clock, ..
            } = successor;
            let invitee = self.asking_at(key.pair(), who.control);
            self.enter(key, who, invitee, false);
            let id = self.peers.get(&key).copied();
            if let Some(participant) = id.and_then(|id| self.participants.get_mut(&id)) {
                participant.clock = clock;
            }
        } else {
            self.stats.successions_failed += 1;
        }
    }

    /// Takes a successor off the table.
    pub(super) fn forget_successor(&mut self, old: ParticipantId) -> Option<Successor> {
        let successor = self.successors.remove(&old)?;
        self.successor_keys.remove(&successor.key);
        self.timers.cancel(successor.due, Timer::Succession(old));
        Some(successor)
    }

    /// Whether somebody speaks with this identity who has yet to prove itself.
    pub(super) fn has_to_prove(&self, ssrc: Ssrc, from: SocketAddr, pair: PairId) -> bool {
        let key = PeerKey::new(ssrc, from, pair);
        self.successor_keys.contains_key(&key) || self.invitations.get(&key).is_some()
    }
}
