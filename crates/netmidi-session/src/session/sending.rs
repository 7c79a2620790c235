//! What goes out: answers first, then MIDI, one participant after the other.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;

use netmidi_message::Message;
use netmidi_wire::{
    BitrateLimit, ClockSync as ClockPacket, Control, Exchange, ExchangeKind, Feedback,
    PacketBudget, SessionName, Token,
};

use super::{BYES, Session};
use crate::config::UndefinedCommands;
use crate::error::SendError;
use crate::event::ParticipantId;
use crate::outbound::{Draft, Emitted, Outbound};
use crate::pacing::Pacing;
use crate::participant::{Participant, Stage};
use crate::stats::{Outgoing, ParticipantStats};
use crate::time::Time;
use crate::timer::{Timer, Timers};
use crate::transmit::{LocalPort, Transmit};

/// An answer that waits to be polled.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    Exchange { kind: ExchangeKind, token: Token },
    Clock(ClockPacket),
    Feedback(Feedback),
}

impl Session {
    /// Sends a message to a participant, timestamped `now`.
    ///
    /// It goes out with the next [`poll_transmit`](Self::poll_transmit), or once the participant
    /// is ready for MIDI (see [`Config::ready_timeout`](crate::Config::ready_timeout)).
    ///
    /// # Errors
    /// When there is no such participant, its queue is full, or the message is of a kind that the
    /// configuration does not send. Nothing is queued then.
    pub fn send(
        &mut self,
        now: Time,
        to: ParticipantId,
        message: Message<'_>,
    ) -> Result<(), SendError> {
        self.send_at(now, now, to, message)
    }

    /// Sends a message to a participant that is to sound `at`, and is timestamped so; at once if
    /// that is not later than `now`.
    ///
    /// It is held back here until then, or until [`Config::send_ahead`](crate::Config::send_ahead) before it, because many
    /// receivers play what comes at once. Messages of one time go out in the order of the calls.
    /// What is sent in the meantime goes out before it and is not held up.
    ///
    /// Times to one participant never run backwards (RFC 6295 §3.3). With a `send_ahead` above 0, a
    /// message sent just after another one went out ahead of its time therefore bears the time of
    /// that one: at peers that obey timestamps it sounds up to `send_ahead` late.
    ///
    /// When we leave, what is not due yet is dropped as by
    /// [`cancel_scheduled`](Self::cancel_scheduled); when the participant leaves, all of it is.
    ///
    /// # Errors
    /// Those of [`send`](Self::send), and when `at` is further ahead than
    /// [`Config::max_schedule_ahead`](crate::Config::max_schedule_ahead). What is scheduled counts against
    /// [`Config::max_queued_octets`](crate::Config::max_queued_octets) as what waits otherwise does.
    pub fn send_at(
        &mut self,
        now: Time,
        at: Time,
        to: ParticipantId,
        message: Message<'_>,
    ) -> Result<(), SendError> {
        self.advance(now);
        let Self {
            participants,
            config,
            waiting,
            timers,
            now,
            ..
        } = self;
        let now = *now;
        let participant = participants
            .get_mut(&to)
            .filter(|participant| !participant.is_leaving())
            .ok_or(SendError::UnknownParticipant { participant: to })?;
        let outbound = &mut participant.outbound;
        if message.is_undefined() {
            let packet = outbound.packet_budget(config.packet_budget);
            check_undefined(&message, packet, config.undefined)?;
        }
        let (ahead, max) = (at.since(now), config.max_schedule_ahead);
        if ahead > max {
            return Err(SendError::TooFarAhead { ahead, max });
        }
        let queued = outbound.queued_octets();
        let needed = Outbound::cost(&message);
        if queued + needed > config.max_queued_octets {
            let limit = config.max_queued_octets;
            return Err(SendError::QueueFull {
                participant: to,
                queued,
                needed,
                limit,
                bitrate_limit: outbound.bitrate_limit(),
            });
        }
        if ahead.is_zero() {
            outbound.push(now, message);
        } else {
            outbound.schedule(at, message);
            schedule(now, timers, to, participant);
        }
        enlist(now, waiting, to, participant);
        Ok(())
    }

    /// How far what was sent to a participant has got; `None` for one that is not in the session or
    /// is leaving it.
    #[must_use]
    pub fn outgoing(&self, to: ParticipantId) -> Option<Outgoing> {
        let participant = self.participants.get(&to)?;
        let outbound = &participant.outbound;
        let (packets, acknowledged) = outbound.packets();
        (!participant.is_leaving()).then(|| Outgoing {
            accepted: outbound.accepted_octets(),
            waiting: outbound.queued_octets() as u64,
            packets,
            acknowledged,
        })
    }

    /// Takes back what was scheduled with [`send_at`](Self::send_at) for later than `now` and has
    /// not gone out, and returns how many messages that were.
    ///
    /// No note is left hanging: of what is taken back, the first message that ends a note which
    /// sounds then is sent at once instead, and so is the first that lets go a sustain, sostenuto or
    /// hold pedal which is down. Note-offs count, all notes off, all sound off, the mode messages
    /// that mean the same, reset all controllers and system reset.
    ///
    /// 0 for somebody who is not in the session.
    pub fn cancel_scheduled(&mut self, now: Time, to: ParticipantId) -> usize {
        self.advance(now);
        let now = self.now;
        let Some(participant) = self
            .participants
            .get_mut(&to)
            .filter(|participant| !participant.is_leaving())
        else {
            return 0;
        };
        let dropped = participant.outbound.cancel_scheduled(now);
        enlist(now, &mut self.waiting, to, participant);
        schedule(now, &mut self.timers, to, participant);
        dropped
    }

    /// Sends MIDI to one participant no faster than this, and in packets no larger, from now on;
    /// `None` takes that back. What the participant itself asks for (RL) holds beside it.
    ///
    /// With [`Config::enhanced_controllers`](crate::Config::enhanced_controllers) packets stay as large as [`Config::packet_budget`](crate::Config::packet_budget): a
    /// smaller one would have no room for their journals.
    ///
    /// # Errors
    /// When there is no such participant.
    pub fn set_pacing(
        &mut self,
        now: Time,
        id: ParticipantId,
        pacing: Option<Pacing>,
    ) -> Result<(), SendError> {
        self.advance(now);
        let Self {
            participants,
            config,
            waiting,
            timers,
            now,
            ..
        } = self;
        let participant = participants
            .get_mut(&id)
            .filter(|participant| !participant.is_leaving())
            .ok_or(SendError::UnknownParticipant { participant: id })?;
        let pacing = pacing.map(|pacing| match config.enhanced_controllers {
            true => Pacing {
                packet: config.packet_budget,
                ..pacing
            },
            false => pacing,
        });
        participant.outbound.set_pacing(*now, pacing);
        enlist(*now, waiting, id, participant);
        schedule(*now, timers, id, participant);
        Ok(())
    }

    /// A peer asks for no more MIDI than it can take.
    pub(super) fn handle_bitrate_limit(
        &mut self,
        local: LocalPort,
        from: SocketAddr,
        limit: BitrateLimit,
    ) {
        let now = self.now;
        let Some((id, participant)) = self.sender(limit.ssrc, local, from) else {
            return;
        };
        participant.stats.bitrate_limits_received += 1;
        let bits = limit.bits_per_second;
        participant.outbound.set_bitrate_limit(now, bits);
        let Self {
            participants,
            timers,
            waiting,
            ..
        } = self;
        if let Some(participant) = participants.get_mut(&id) {
            enlist(now, waiting, id, participant);
            schedule(now, timers, id, participant);
        }
    }

    pub(super) fn answer(&mut self, from: LocalPort, to: SocketAddr, answer: Answer) {
        let limit = match answer {
            // Nobody asks again for a BY, and there are never many.
            Answer::Exchange {
                kind: ExchangeKind::End,
                ..
            } => {
                let byes = self
                    .config
                    .max_participants
                    .saturating_mul(usize::from(BYES));
                self.config.max_queued_answers.saturating_add(byes)
            }
            _ => self.config.max_queued_answers,
        };
        if self.answers.len() < limit {
            self.answers.push_back((Transmit { from, to }, answer));
        } else {
            self.stats.answers_dropped += 1;
        }
    }

    pub(super) fn write_answer(&self, answer: Answer, out: &mut Vec<u8>) {
        let packet = match answer {
            Answer::Exchange { kind, token } => {
                let name = match kind {
                    ExchangeKind::Invitation | ExchangeKind::Accepted => {
                        Some(SessionName::new(&self.config.name))
                    }
                    ExchangeKind::Rejected | ExchangeKind::End => None,
                };
                Control::Exchange(Exchange {
                    kind,
                    token,
                    ssrc: self.ssrc,
                    name,
                })
            }
            Answer::Clock(clock) => Control::Clock(clock),
            Answer::Feedback(feedback) => Control::Feedback(feedback),
        };
        out.resize(packet.encoded_len(), 0);
        // The buffer has the size of the packet, so writing cannot fail.
        let written = packet.encode(out);
        debug_assert_eq!(written, Ok(out.len()), "encoded_len and encode differ");
    }

    pub(super) fn write_midi(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        let Self {
            participants,
            waiting,
            waiting_gone,
            timers,
            config,
            ssrc,
            now,
            draft,
            journal,
            ..
        } = self;
        let mut draft = Draft {
            out: draft,
            journal,
            budget: config.packet_budget,
            running: config.running_status,
            ssrc: *ssrc,
        };
        while let Some(id) = waiting.pop_front() {
            let Some(participant) = participants.get_mut(&id) else {
                *waiting_gone -= 1;
                continue;
            };
            if participant.is_held(*now) {
                participant.waiting = false;
                schedule(*now, timers, id, participant);
                continue;
            }
            if let Some(bits_per_second) = participant.announces() {
                participant.announce = None;
                participant.waiting = participant.has_work(*now);
                if participant.waiting {
                    waiting.push_front(id);
                }
                let limit = BitrateLimit {
                    ssrc: *ssrc,
                    bits_per_second,
                };
                out.resize(BitrateLimit::LEN, 0);
                // The buffer has the size of the packet, so writing cannot fail.
                let written = limit.encode(out);
                debug_assert_eq!(written, Ok(out.len()), "LEN and encode differ");
                let from = LocalPort::control(participant.peer.pair);
                return Some(Transmit {
                    from,
                    to: participant.peer.control,
                });
            }
            let emitted = emit(*now, participant, &mut draft);
            participant.waiting = emitted.is_some() && participant.has_work(*now);
            if participant.waiting {
                // In turn with the others: a long message of one does not hold up the rest.
                waiting.push_back(id);
            }
            schedule(*now, timers, id, participant);
            if let Some(emitted) = emitted {
                out.clear();
                out.extend_from_slice(draft.out.get(..emitted.len).unwrap_or_default());
                count(&mut participant.stats, emitted);
                if !emitted.guard {
                    participant.sent_at = Some(*now);
                }
                let from = LocalPort::data(participant.peer.pair);
                return Some(Transmit {
                    from,
                    to: participant.peer.data,
                });
            }
        }
        None
    }

    /// Does what is due to a participant, and sees to it that the rest is done in time.
    pub(super) fn attend(&mut self, id: ParticipantId) {
        let urgent = self.play_what_is_due(id);
        self.tell_what_arrived(id, urgent);
        self.ask_clock(id);
        let Self {
            participants,
            timers,
            waiting,
            now,
            ..
        } = self;
        if let Some(participant) = participants.get_mut(&id) {
            participant.outbound.give_up_waiting(*now);
            enlist(*now, waiting, id, participant);
            schedule(*now, timers, id, participant);
        }
    }
}

/// The next packet of a participant: with commands if there are any, else a guard that is due.
fn emit(now: Time, participant: &mut Participant, draft: &mut Draft<'_>) -> Option<Emitted> {
    let guard_is_due = participant.is_guard_due(now);
    let Participant {
        outbound,
        protection,
        ..
    } = participant;
    if outbound.is_sendable(now) {
        // The draft is as long as the budget, so writing cannot fail.
        let emitted = outbound.emit(now, draft, protection).ok().flatten();
        if emitted.is_some() {
            // Its journal does what a guard would.
            return emitted;
        }
    }
    if guard_is_due {
        return outbound.emit_guard(now, draft, protection).ok().flatten();
    }
    None
}

const fn count(stats: &mut ParticipantStats, emitted: Emitted) {
    stats.packets_sent += 1;
    stats.messages_sent += emitted.messages;
    stats.guards_sent += emitted.guard as u64;
    stats.journals_sent += (emitted.journal > 0) as u64;
    stats.journal_octets_sent += emitted.journal as u64;
    stats.journal_overflow += emitted.overflow as u64;
}

/// Sees to it that the wake timer of this participant comes due in time.
pub(super) fn schedule(
    now: Time,
    timers: &mut Timers,
    id: ParticipantId,
    participant: &mut Participant,
) {
    let Some(due) = participant.wakes_at(now) else {
        return;
    };
    match participant.wake_at {
        Some(at) if at <= due => return,
        Some(at) => timers.cancel(at, Timer::Wake(id)),
        None => {}
    }
    timers.set(due, Timer::Wake(id));
    participant.wake_at = Some(due);
}

/// Undefined messages are sent only when configured, and cannot be split.
fn check_undefined(
    message: &Message<'_>,
    packet: PacketBudget,
    undefined: UndefinedCommands,
) -> Result<(), SendError> {
    if undefined == UndefinedCommands::Drop {
        return Err(SendError::Undefined {
            status: message.status(),
        });
    }
    // The list adds an F7 to those with data (RFC 6295 §3.2).
    let (octets, max) = (message.encoded_len() + 1, packet.longest_command());
    if octets > max {
        return Err(SendError::TooLarge { octets, max });
    }
    Ok(())
}

/// MIDI may flow to this participant.
pub(super) fn make_ready(
    now: Time,
    timers: &mut Timers,
    waiting: &mut VecDeque<ParticipantId>,
    id: ParticipantId,
    participant: &mut Participant,
) {
    if let Stage::Joined { ready_at } = participant.stage {
        timers.cancel(ready_at, Timer::Ready(id));
        participant.stage = Stage::Ready;
        participant.protection.introduce(now);
        enlist(now, waiting, id, participant);
        schedule(now, timers, id, participant);
    }
}

/// Enters a participant among those with something to send, once.
pub(super) fn enlist(
    now: Time,
    waiting: &mut VecDeque<ParticipantId>,
    id: ParticipantId,
    participant: &mut Participant,
) {
    if !participant.waiting && participant.has_work(now) {
        participant.waiting = true;
        waiting.push_back(id);
    }
}
