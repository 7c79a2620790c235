//! How a peer goes: BY from either side, and what is tidied up behind it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use netmidi_wire::{Exchange, ExchangeKind, Token};

use super::sending::{Answer, enlist};
use super::{BYES, Session};
use crate::error::SendError;
use crate::event::{Event, LeaveReason, ParticipantId};
use crate::participant::{Participant, PeerKey, Stage};
use crate::playout::Outlet;
use crate::time::Time;
use crate::timer::Timer;
use crate::transmit::LocalPort;

/// Between the first BY and the second.
const BYE_INTERVAL: Duration = Duration::from_millis(25);
/// BY travels on the other port and would overtake the last MIDI: it waits this long after it.
const MIDI_BEFORE_BYE: Duration = Duration::from_millis(100);
/// And no longer than this after we decided to leave, even if MIDI still waits for its socket.
const LONGEST_FAREWELL: Duration = Duration::from_secs(2);
/// So long after that, system exclusive data waits for the journal no more: all of it goes out.
const PATIENT_FAREWELL: Duration = Duration::from_secs(1);
/// Turns of participants that are gone stay in the list of those with something to send while there
/// are no more than this.
const FEWEST_GONE: usize = 64;
/// A BY with a foreign token is believed only of a participant older than this (macOS uses
/// SSRCs again, and its BY carries another token).
const STALE_BYE: Duration = Duration::from_secs(2);

impl Session {
    /// Ends the membership of a participant: what was sent to it still goes out, then BY.
    ///
    /// # Errors
    /// When there is no such participant.
    pub fn leave(&mut self, now: Time, id: ParticipantId) -> Result<(), SendError> {
        self.advance(now);
        let now = self.now;
        let Self {
            participants,
            timers,
            waiting,
            events,
            config,
            joined,
            unproved,
            ..
        } = self;
        let participant = participants
            .get_mut(&id)
            .filter(|participant| !participant.is_leaving())
            .ok_or(SendError::UnknownParticipant { participant: id })?;
        timers.cancel(participant.silence_at, Timer::Silence(id));
        if let Stage::Joined { ready_at } = participant.stage {
            timers.cancel(ready_at, Timer::Ready(id));
        }
        participant.outbound.cancel_scheduled(now);
        // What is queued goes out with the drain after this call.
        let last_midi = if participant.outbound.is_empty() {
            participant.sent_at
        } else {
            Some(now)
        };
        let next_bye = last_midi.map_or(now, |sent| now.max(sent + MIDI_BEFORE_BYE));
        participant.stage = Stage::Leaving {
            since: now,
            byes_left: BYES,
            next_bye,
        };
        *joined -= 1;
        unproved.remove(&id);
        timers.set(next_bye, Timer::Farewell(id));
        enlist(now, waiting, id, participant);
        participant.silence(&mut Outlet {
            now,
            id,
            config,
            events,
        });
        events.push(Event::Left {
            participant: id,
            reason: LeaveReason::Local,
        });
        let (invitee, joined_at) = (participant.peer.invitee.take(), participant.joined_at);
        if let Some(invitee) = invitee {
            self.lose_invitee(invitee, joined_at, LeaveReason::Local);
        }
        self.advance(now);
        Ok(())
    }

    /// Ends the membership of every participant and takes no new ones. The session is finished
    /// when [`is_finished`](Self::is_finished) says so: an eighth of a second later, or up to two
    /// seconds when what was sent before is not polled sooner.
    pub fn close(&mut self, now: Time) {
        self.advance(now);
        self.open = false;
        self.end_invitees();
        self.end_invitations();
        let ids: Vec<ParticipantId> = self.participants.keys().copied().collect();
        for id in ids {
            // Those that are leaving already stay as they are.
            let _ = self.leave(now, id);
        }
    }

    pub(super) fn handle_bye(
        &mut self,
        local: LocalPort,
        from: SocketAddr,
        exchange: &Exchange<'_>,
    ) {
        let now = self.now;
        let key = PeerKey::new(exchange.ssrc, from, local.pair);
        // One without a token means the older of the two, which is the one that may have been late.
        let is_known = self.peers.contains_key(&key);
        let ends_invitation = self.invitations.get(&key).is_some_and(|pending| {
            pending.control == from
                && (exchange.token == pending.token || exchange.token == Token(0) && !is_known)
        });
        if ends_invitation {
            self.end_invitation(&key);
            if !is_known {
                self.stats.invitations_withdrawn += 1;
                return;
            }
        }
        if !is_known && self.handle_successor_bye(&key, from) {
            return;
        }
        let is_stranger = !is_known;
        let Some((id, participant)) = self.sender(exchange.ssrc, local, from) else {
            if is_stranger {
                self.doubt(local, from);
            }
            return;
        };
        if !participant.has_token(exchange.token) && now.since(participant.joined_at) < STALE_BYE {
            self.stats.stale_bye += 1;
            return;
        }
        let invitee = participant.peer.invitee;
        self.remove(id, LeaveReason::Bye);
        if exchange.token == Token(0)
            && let Some(invitee) = invitee
        {
            self.hurry_invitee(invitee);
        }
    }

    pub(super) fn say_bye(&mut self, id: ParticipantId) {
        let now = self.now;
        let Some(participant) = self.participants.get_mut(&id) else {
            return;
        };
        let Stage::Leaving {
            since, byes_left, ..
        } = participant.stage
        else {
            return;
        };
        // What was sent before is still on its way to the socket, or just left.
        let last_midi = if participant.outbound.is_empty() {
            participant.sent_at
        } else {
            Some(now)
        };
        let earliest = last_midi.map_or(now, |sent| sent + MIDI_BEFORE_BYE);
        if now.since(since) >= PATIENT_FAREWELL {
            participant.outbound.hurry(now, since + LONGEST_FAREWELL);
            enlist(now, &mut self.waiting, id, participant);
        }
        if byes_left == BYES && earliest > now && now.since(since) < LONGEST_FAREWELL {
            participant.stage = Stage::Leaving {
                since,
                byes_left,
                next_bye: earliest,
            };
            self.timers.set(earliest, Timer::Farewell(id));
            return;
        }
        let (to, token) = (participant.peer.control, participant.token);
        let local = LocalPort::control(participant.peer.pair);
        match byes_left.saturating_sub(1) {
            0 => {
                self.forget(id);
            }
            byes_left => {
                let next_bye = now + BYE_INTERVAL;
                participant.stage = Stage::Leaving {
                    since,
                    byes_left,
                    next_bye,
                };
                self.timers.set(next_bye, Timer::Farewell(id));
            }
        }
        self.answer(
            local,
            to,
            Answer::Exchange {
                kind: ExchangeKind::End,
                token,
            },
        );
    }

    /// Takes a participant out and tells the application, unless it was leaving anyway.
    pub(super) fn remove(&mut self, id: ParticipantId, reason: LeaveReason) {
        let leaving = self
            .participants
            .get(&id)
            .is_none_or(Participant::is_leaving);
        if !leaving {
            self.silence(id);
        }
        let heir = self.forget_successor(id);
        let member = self.forget(id);
        if !leaving {
            self.events.push(Event::Left {
                participant: id,
                reason,
            });
        }
        if let Some(participant) = member
            && let Some(invitee) = participant.peer.invitee
        {
            self.lose_invitee(invitee, participant.joined_at, reason);
        }
        if let Some(heir) = heir {
            self.let_in(heir);
        }
    }

    /// Plays what waits of a participant and ends what it left on.
    fn silence(&mut self, id: ParticipantId) {
        let now = self.now;
        let Self {
            participants,
            config,
            events,
            ..
        } = self;
        if let Some(participant) = participants.get_mut(&id) {
            participant.silence(&mut Outlet {
                now,
                id,
                config,
                events,
            });
        }
    }

    /// Takes a participant out of every table.
    pub(super) fn forget(&mut self, id: ParticipantId) -> Option<Box<Participant>> {
        let participant = self.participants.remove(&id)?;
        for key in [participant.key(), participant.control_key()] {
            if self.peers.get(&key) == Some(&id) {
                self.peers.remove(&key);
            }
        }
        for address in participant.addresses() {
            if self.addresses.get(&address) == Some(&id) {
                self.addresses.remove(&address);
            }
        }
        self.identities.remove(&(participant.peer.ssrc, id));
        if !participant.is_leaving() {
            self.joined -= 1;
        }
        self.unproved.remove(&id);
        if self.forget_successor(id).is_some() {
            self.stats.successions_failed += 1;
        }
        if participant.waiting {
            self.skip_waiting();
        }
        match participant.stage {
            Stage::Joined { ready_at } => self.timers.cancel(ready_at, Timer::Ready(id)),
            Stage::Ready => {}
            Stage::Leaving { next_bye, .. } => self.timers.cancel(next_bye, Timer::Farewell(id)),
        }
        let timers = &mut self.timers;
        timers.cancel(participant.silence_at, Timer::Silence(id));
        if let Some(at) = participant.wake_at {
            timers.cancel(at, Timer::Wake(id));
        }
        Some(participant)
    }

    /// One of those with something to send is gone. Its turn is passed over when it comes, or taken
    /// out with those of all others that are gone, once they are the most.
    fn skip_waiting(&mut self) {
        self.waiting_gone += 1;
        if self.waiting_gone > FEWEST_GONE.max(self.waiting.len() / 2) {
            self.waiting_gone = 0;
            self.waiting.retain(|id| self.participants.contains_key(id));
        }
    }
}
