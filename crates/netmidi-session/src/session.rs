//! The session: every datagram, deadline and message passes through here.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use netmidi_message::Message;
use netmidi_wire::{
    ClockCount, ClockSync as ClockPacket, Control, Datagram, Exchange, ExchangeKind, Layer,
    ParseError, RtpPacket, SeqNum, SessionName, Ssrc, Token,
};

use crate::config::{Config, UndefinedCommands};
use crate::error::{ConfigError, SendError};
use crate::event::{Event, EventQueue, LeaveReason, ParticipantId, Peer};
use crate::invitation::{Invitations, Pending};
use crate::outbound::Outbound;
use crate::participant::{Introduction, Participant, PeerKey, Stage};
use crate::rng::Rng;
use crate::stats::{ParticipantStats, SessionStats};
use crate::time::Time;
use crate::timer::{Timer, Timers};
use crate::transmit::{LocalPort, Port, Transmit};

/// The payload types that RTP leaves to the session (RFC 3551 §6). AppleMIDI is always 97, other
/// senders bind another.
const DYNAMIC_PAYLOAD_TYPES: core::ops::RangeInclusive<u8> = 96..=127;
/// BY is sent this often, since nothing answers it.
const BYES: u8 = 2;
/// Between the first BY and the second.
const BYE_INTERVAL: Duration = Duration::from_millis(25);
/// BY travels on the other port and would overtake the last MIDI: it waits this long after it.
const MIDI_BEFORE_BYE: Duration = Duration::from_millis(100);
/// And no longer than this after we decided to leave, even if MIDI still waits for its socket.
const LONGEST_FAREWELL: Duration = Duration::from_secs(2);
/// A BY with a foreign token is believed only of a participant older than this (macOS uses
/// SSRCs again, and its BY carries another token).
const STALE_BYE: Duration = Duration::from_secs(2);

/// An answer that waits to be polled.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Exchange { kind: ExchangeKind, token: Token },
    Clock(ClockPacket),
}

/// One endpoint's side of its AppleMIDI sessions: many participants at once, no sockets, no clock.
///
/// Three inputs: [`handle_datagram`](Self::handle_datagram), [`handle_timeout`](Self::handle_timeout)
/// and the calls of the user ([`send`](Self::send), [`leave`](Self::leave), [`close`](Self::close)).
/// After each of them, drain [`poll_transmit`](Self::poll_transmit), then
/// [`poll_event`](Self::poll_event), then wait for the next datagram, no longer than
/// [`poll_timeout`](Self::poll_timeout) says. Several sends before a drain share packets.
#[derive(Debug)]
pub struct Session {
    config: Config,
    ssrc: Ssrc,
    rng: Rng,
    now: Time,
    open: bool,
    participants: BTreeMap<ParticipantId, Participant>,
    peers: BTreeMap<PeerKey, ParticipantId>,
    next_id: u64,
    invitations: Invitations,
    timers: Timers,
    answers: VecDeque<(Transmit, Answer)>,
    /// Participants that may send and have something to.
    waiting: VecDeque<ParticipantId>,
    events: EventQueue,
    stats: SessionStats,
    /// Where packets are put together: as long as the budget, so that it need not be cleared for
    /// each.
    draft: Vec<u8>,
}

impl Session {
    /// A session with no participants.
    ///
    /// `seed` decides its SSRC and where sequences start: draw it from the operating system's
    /// generator, so that strangers cannot guess them. `now` is any moment on the caller's clock.
    ///
    /// # Errors
    /// When the configuration contradicts itself.
    pub fn new(config: Config, seed: u64, now: Time) -> Result<Self, ConfigError> {
        config.check()?;
        let mut rng = Rng::new(seed);
        Ok(Self {
            ssrc: Ssrc(rng.nonzero_u32()),
            rng,
            now,
            open: true,
            participants: BTreeMap::new(),
            peers: BTreeMap::new(),
            next_id: 0,
            invitations: Invitations::default(),
            timers: Timers::default(),
            answers: VecDeque::new(),
            waiting: VecDeque::new(),
            events: EventQueue::new(config.max_queued_events, config.max_queued_event_octets),
            stats: SessionStats::default(),
            draft: vec![0; config.packet_budget.get()],
            config,
        })
    }

    /// Takes a datagram that `local` received from `from`.
    ///
    /// Returns nothing: what a peer sends cannot fail the caller. Bad octets are counted, see
    /// [`stats`](Self::stats), and change nothing else.
    pub fn handle_datagram(
        &mut self,
        now: Time,
        local: LocalPort,
        from: SocketAddr,
        octets: &[u8],
    ) {
        self.advance(now);
        self.stats.datagrams += 1;
        match Datagram::parse(octets) {
            Ok(Datagram::Rtp(packet)) => self.handle_rtp(local, from, &packet),
            Ok(Datagram::Control(Control::Exchange(exchange))) => match exchange.kind {
                ExchangeKind::Invitation => self.handle_invitation(local, from, &exchange),
                ExchangeKind::End => self.handle_bye(local, from, &exchange),
                ExchangeKind::Accepted | ExchangeKind::Rejected => {
                    self.stats.unexpected_answer += 1;
                }
            },
            Ok(Datagram::Control(Control::Clock(clock))) => self.handle_clock(local, from, &clock),
            Ok(Datagram::Control(Control::Feedback(feedback))) => {
                if let Some((_, participant)) = self.sender(feedback.ssrc, local, from) {
                    participant.stats.feedback_received += 1;
                }
            }
            Ok(Datagram::Control(Control::BitrateLimit(limit))) => {
                if let Some((_, participant)) = self.sender(limit.ssrc, local, from) {
                    participant.stats.bitrate_limits_received += 1;
                }
            }
            Err(ParseError::BadVersion {
                kind: ExchangeKind::Invitation,
                token,
                ..
            }) => {
                self.stats.malformed_control += 1;
                self.refuse(local, from, token);
            }
            Err(error) if error.layer() == Layer::AppleMidi => self.stats.malformed_control += 1,
            Err(_) => self.stats.malformed_rtp += 1,
        }
    }

    /// Does what is due at `now`; does nothing when it comes early.
    pub fn handle_timeout(&mut self, now: Time) {
        self.advance(now);
    }

    /// Sends a message to a participant, timestamped `now`.
    ///
    /// It goes out with the next [`poll_transmit`](Self::poll_transmit), or once the participant
    /// is ready for MIDI (see [`Config::ready_timeout`]).
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
        self.advance(now);
        let Self {
            participants,
            config,
            waiting,
            ..
        } = self;
        let participant = participants
            .get_mut(&to)
            .filter(|participant| !participant.is_leaving())
            .ok_or(SendError::UnknownParticipant { participant: to })?;
        if message.is_undefined() {
            check_undefined(&message, config)?;
        }
        let queued = participant.outbound.queued_octets();
        let needed = Outbound::cost(&message);
        if queued + needed > config.max_queued_octets {
            let limit = config.max_queued_octets;
            return Err(SendError::QueueFull {
                participant: to,
                queued,
                needed,
                limit,
            });
        }
        participant.outbound.push(self.now, message);
        enlist(waiting, to, participant);
        Ok(())
    }

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
        timers.set(next_bye, Timer::Farewell(id));
        enlist(waiting, id, participant);
        events.push(Event::Left {
            participant: id,
            reason: LeaveReason::Local,
        });
        self.advance(now);
        Ok(())
    }

    /// Ends the membership of every participant and takes no new ones. The session is finished
    /// when [`is_finished`](Self::is_finished) says so: an eighth of a second later, or up to two
    /// seconds when what was sent before is not polled sooner.
    pub fn close(&mut self, now: Time) {
        self.advance(now);
        self.open = false;
        let ids: Vec<ParticipantId> = self.participants.keys().copied().collect();
        for id in ids {
            // Those that are leaving already stay as they are.
            let _ = self.leave(now, id);
        }
    }

    /// Whether the session was closed and everybody has been told.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        !self.open && self.participants.is_empty()
    }

    /// Writes the next datagram to `out`, replacing what is there, and tells where it goes.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        if let Some((transmit, answer)) = self.answers.pop_front() {
            self.write_answer(answer, out);
            return Some(transmit);
        }
        self.write_midi(out)
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called at the latest. Ask last:
    /// draining may move it.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.next()
    }

    /// Our identity in the session.
    #[must_use]
    pub const fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Those who are connected, in the order in which they joined.
    pub fn participants(&self) -> impl Iterator<Item = (ParticipantId, &Peer)> {
        self.participants
            .iter()
            .filter(|(_, participant)| !participant.is_leaving())
            .map(|(id, participant)| (*id, &participant.peer))
    }

    /// Counters of the session.
    #[must_use]
    pub fn stats(&self) -> SessionStats {
        SessionStats {
            events_dropped: self.events.dropped(),
            ..self.stats
        }
    }

    /// Counters of one participant, while it is connected.
    #[must_use]
    pub fn participant_stats(&self, id: ParticipantId) -> Option<ParticipantStats> {
        self.participants
            .get(&id)
            .map(|participant| participant.stats)
    }

    // Inputs.

    fn handle_rtp(&mut self, local: LocalPort, from: SocketAddr, packet: &RtpPacket<'_>) {
        let header = packet.header();
        if local.port == Port::Control {
            self.stats.rtp_on_control += 1;
            return;
        }
        if !DYNAMIC_PAYLOAD_TYPES.contains(&header.payload_type.get()) {
            self.stats.foreign_payload += 1;
            return;
        }
        let now = self.now;
        let Some(id) = self
            .peers
            .get(&PeerKey::new(header.ssrc, from, local.pair))
            .copied()
        else {
            self.stats.unknown_sender += 1;
            return;
        };
        let Self {
            participants,
            config,
            events,
            stats,
            timers,
            waiting,
            ..
        } = self;
        let Some(participant) = participants.get_mut(&id) else {
            return;
        };
        if participant.peer.data != from {
            stats.wrong_source += 1;
            return;
        }
        participant.heard_at = now;
        if participant.is_leaving() {
            return;
        }
        participant.handle_packet(now, id, packet, config, events);
        make_ready(timers, waiting, id, participant);
    }

    fn handle_invitation(&mut self, local: LocalPort, from: SocketAddr, exchange: &Exchange<'_>) {
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

    fn handle_control_invitation(
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
    fn renew_invitation(&mut self, key: &PeerKey, token: Token, control: SocketAddr) -> bool {
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

    fn handle_data_invitation(
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
    fn join(&mut self, key: PeerKey, pending: Pending, data: SocketAddr, local: LocalPort) {
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
        let participant = Participant::new(self.now, who, first_seq, &self.config);
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
    fn is_full_for(&self, key: &PeerKey, control: SocketAddr) -> bool {
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

    fn is_joined(&self, id: ParticipantId) -> bool {
        self.participants
            .get(&id)
            .is_some_and(|participant| !participant.is_leaving())
    }

    /// Participants that are the same peer as `key`, or were at its control address before: a
    /// peer that restarts comes back with the same SSRC or from the same port.
    fn peers_replaced_by(
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

    fn handle_bye(&mut self, local: LocalPort, from: SocketAddr, exchange: &Exchange<'_>) {
        let now = self.now;
        let key = PeerKey::new(exchange.ssrc, from, local.pair);
        let is_ours = |token: Token| exchange.token == token || exchange.token == Token(0);
        // One without a token means the older of the two, which is the one that may have been late.
        let is_known = self.peers.contains_key(&key);
        let ends_invitation = self.invitations.get(&key).is_some_and(|pending| {
            pending.control == from
                && (exchange.token == pending.token || exchange.token == Token(0) && !is_known)
        });
        if ends_invitation && let Some(pending) = self.invitations.remove(&key) {
            self.timers
                .cancel(pending.expires_at, Timer::Invitation(pending.id));
            if !is_known {
                return;
            }
        }
        let Some((id, participant)) = self.sender(exchange.ssrc, local, from) else {
            return;
        };
        if !is_ours(participant.token) && now.since(participant.joined_at) < STALE_BYE {
            self.stats.stale_bye += 1;
            return;
        }
        self.remove(id, LeaveReason::Bye);
    }

    fn handle_clock(&mut self, local: LocalPort, from: SocketAddr, clock: &ClockPacket) {
        let now = self.now;
        let ours = self.ssrc;
        let Some((id, participant)) = self.sender(clock.ssrc, local, from) else {
            return;
        };
        if participant.is_leaving() {
            return;
        }
        let [first, ..] = clock.timestamps;
        match clock.count {
            ClockCount::Ck0 => {
                let timestamps = participant.clock.answer(now, first);
                let answer = ClockPacket {
                    ssrc: ours,
                    count: ClockCount::Ck1,
                    timestamps,
                };
                // On the port it came from, and to where it came from.
                self.answer(local, from, Answer::Clock(answer));
            }
            ClockCount::Ck2 if participant.clock.complete(now, clock.timestamps) => {
                participant.stats.clock_exchanges += 1;
                let Self {
                    participants,
                    timers,
                    waiting,
                    ..
                } = self;
                if let Some(participant) = participants.get_mut(&id) {
                    make_ready(timers, waiting, id, participant);
                }
            }
            // Only the initiator is sent CK1, and a CK2 that fits nothing moves no clock.
            ClockCount::Ck1 | ClockCount::Ck2 => self.stats.unexpected_clock += 1,
        }
    }

    /// The participant that a packet claims to be from, if it comes from that participant's
    /// address; it was heard then.
    fn sender(
        &mut self,
        ssrc: Ssrc,
        local: LocalPort,
        from: SocketAddr,
    ) -> Option<(ParticipantId, &mut Participant)> {
        let Some(id) = self
            .peers
            .get(&PeerKey::new(ssrc, from, local.pair))
            .copied()
        else {
            self.stats.unknown_sender += 1;
            return None;
        };
        let participant = self.participants.get_mut(&id)?;
        if !participant.is_at(from) {
            self.stats.wrong_source += 1;
            return None;
        }
        participant.heard_at = self.now;
        Some((id, participant))
    }

    fn joined_mut(&mut self, key: &PeerKey) -> Option<&mut Participant> {
        let id = self.peers.get(key)?;
        self.participants
            .get_mut(id)
            .filter(|participant| !participant.is_leaving())
    }

    // Time.

    /// Moves the clock forward and does what is due.
    fn advance(&mut self, now: Time) {
        self.now = self.now.max(now);
        while let Some(timer) = self.timers.pop_due(self.now) {
            self.fire(timer);
        }
    }

    fn fire(&mut self, timer: Timer) {
        let now = self.now;
        match timer {
            Timer::Invitation(id) => {
                if self.invitations.expire(id) {
                    self.stats.invitations_expired += 1;
                }
            }
            Timer::Ready(id) => {
                let Self {
                    participants,
                    timers,
                    waiting,
                    ..
                } = self;
                if let Some(participant) = participants.get_mut(&id) {
                    make_ready(timers, waiting, id, participant);
                }
            }
            Timer::Silence(id) => {
                let Some(participant) = self.participants.get_mut(&id) else {
                    return;
                };
                let silent_at = participant.heard_at + self.config.silence_timeout;
                if silent_at > now {
                    participant.silence_at = silent_at;
                    self.timers.set(silent_at, timer);
                    return;
                }
                let (to, token) = (participant.peer.control, participant.token);
                let local = LocalPort::control(participant.peer.pair);
                self.answer(
                    local,
                    to,
                    Answer::Exchange {
                        kind: ExchangeKind::End,
                        token,
                    },
                );
                self.remove(id, LeaveReason::Silent);
            }
            Timer::Farewell(id) => self.say_bye(id),
        }
    }

    fn say_bye(&mut self, id: ParticipantId) {
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
            0 => self.forget(id),
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
    fn remove(&mut self, id: ParticipantId, reason: LeaveReason) {
        let leaving = self
            .participants
            .get(&id)
            .is_none_or(Participant::is_leaving);
        self.forget(id);
        if !leaving {
            self.events.push(Event::Left {
                participant: id,
                reason,
            });
        }
    }

    /// Takes a participant out of every table.
    fn forget(&mut self, id: ParticipantId) {
        let Some(participant) = self.participants.remove(&id) else {
            return;
        };
        let key = participant.key();
        if self.peers.get(&key) == Some(&id) {
            self.peers.remove(&key);
        }
        if participant.waiting {
            self.waiting.retain(|waiting| *waiting != id);
        }
        match participant.stage {
            Stage::Joined { ready_at } => self.timers.cancel(ready_at, Timer::Ready(id)),
            Stage::Ready => {}
            Stage::Leaving { next_bye, .. } => self.timers.cancel(next_bye, Timer::Farewell(id)),
        }
        self.timers
            .cancel(participant.silence_at, Timer::Silence(id));
    }

    // Output.

    fn accept(&mut self, local: LocalPort, to: SocketAddr, token: Token) {
        self.answer(
            local,
            to,
            Answer::Exchange {
                kind: ExchangeKind::Accepted,
                token,
            },
        );
    }

    fn refuse(&mut self, local: LocalPort, to: SocketAddr, token: Token) {
        self.answer(
            local,
            to,
            Answer::Exchange {
                kind: ExchangeKind::Rejected,
                token,
            },
        );
    }

    fn answer(&mut self, from: LocalPort, to: SocketAddr, answer: Answer) {
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

    fn write_answer(&self, answer: Answer, out: &mut Vec<u8>) {
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
        };
        out.resize(packet.encoded_len(), 0);
        // The buffer has the size of the packet, so writing cannot fail.
        let written = packet.encode(out);
        debug_assert_eq!(written, Ok(out.len()), "encoded_len and encode differ");
    }

    fn write_midi(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        let Self {
            participants,
            waiting,
            config,
            ssrc,
            now,
            draft,
            ..
        } = self;
        let budget = config.packet_budget;
        while let Some(id) = waiting.pop_front() {
            let Some(participant) = participants.get_mut(&id) else {
                continue;
            };
            // The draft is as long as the budget, so writing cannot fail.
            let emitted = participant
                .outbound
                .emit(draft, budget, config.running_status, *ssrc)
                .ok()
                .flatten();
            participant.waiting = !participant.outbound.is_empty();
            if participant.waiting {
                // In turn with the others: a long message of one does not hold up the rest.
                waiting.push_back(id);
            }
            if let Some(emitted) = emitted {
                out.clear();
                out.extend_from_slice(draft.get(..emitted.len).unwrap_or_default());
                participant.sent_at = Some(*now);
                participant.stats.packets_sent += 1;
                participant.stats.messages_sent += emitted.messages;
                let from = LocalPort::data(participant.peer.pair);
                return Some(Transmit {
                    from,
                    to: participant.peer.data,
                });
            }
        }
        None
    }
}

/// MIDI may flow to this participant.
fn make_ready(
    timers: &mut Timers,
    waiting: &mut VecDeque<ParticipantId>,
    id: ParticipantId,
    participant: &mut Participant,
) {
    if let Stage::Joined { ready_at } = participant.stage {
        timers.cancel(ready_at, Timer::Ready(id));
        participant.stage = Stage::Ready;
        enlist(waiting, id, participant);
    }
}

/// Enters a participant among those with something to send, once.
fn enlist(waiting: &mut VecDeque<ParticipantId>, id: ParticipantId, participant: &mut Participant) {
    if !participant.waiting && participant.may_send() && !participant.outbound.is_empty() {
        participant.waiting = true;
        waiting.push_back(id);
    }
}

/// Undefined messages are sent only when configured, and cannot be split.
fn check_undefined(message: &Message<'_>, config: &Config) -> Result<(), SendError> {
    if config.undefined == UndefinedCommands::Drop {
        return Err(SendError::Undefined {
            status: message.status(),
        });
    }
    // The list adds an F7 to those with data (RFC 6295 §3.2).
    let (octets, max) = (
        message.encoded_len() + 1,
        config.packet_budget.longest_command(),
    );
    if octets > max {
        return Err(SendError::TooLarge { octets, max });
    }
    Ok(())
}

/// As much of a name as we keep.
fn bounded_name(name: SessionName<'_>) -> alloc::string::String {
    let mut name = name.to_string();
    let mut end = name.len().min(MAX_PEER_NAME_OCTETS);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    name
}

/// The most that is kept of a peer's name, in octets of UTF-8.
const MAX_PEER_NAME_OCTETS: usize = 255;
