//! The session: every datagram, deadline and message passes through here.

mod admitting;
mod inviting;
mod joining;
mod keeping;
mod leaving;
mod sending;
mod succeeding;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;

use netmidi_wire::{
    ClockCount, ClockSync as ClockPacket, Control, Datagram, ExchangeKind, Feedback, Layer,
    ParseError, RtpPacket, Ssrc,
};

use self::keeping::Allowance;
use self::sending::{Answer, enlist, make_ready, schedule};
use self::succeeding::Successor;
use crate::admission::Pace;
use crate::clock_sync::ClockEstimate;
use crate::config::{Config, JournalPolicy, Playout};
use crate::error::{ConfigError, SendError};
use crate::event::{Event, EventQueue, LeaveReason, ParticipantId, Peer};
use crate::invitation::Invitations;
use crate::invitee::Invitees;
use crate::participant::{Host, Participant, PeerKey};
use crate::participants::Participants;
use crate::playout::Outlet;
use crate::protection;
use crate::rng::Rng;
use crate::stats::{ParticipantStats, SessionStats};
use crate::time::{Time, WireClock};
use crate::timer::{Timer, Timers};
use crate::transmit::{LocalPort, Port, Transmit};

/// BY is sent this often, since nothing answers it.
const BYES: u8 = 2;
/// The payload types that RTP leaves to the session (RFC 3551 §6). AppleMIDI is always 97, other
/// senders bind another.
const DYNAMIC_PAYLOAD_TYPES: core::ops::RangeInclusive<u8> = 96..=127;

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
    /// What our timestamps show.
    clock: WireClock,
    now: Time,
    open: bool,
    participants: Participants,
    peers: BTreeMap<PeerKey, ParticipantId>,
    /// The same by the addresses of their control and data ports, each with the port of ours that it
    /// talks to: what is the data port of one may be the control port of another.
    addresses: BTreeMap<(LocalPort, SocketAddr), ParticipantId>,
    /// Who has which identity: at several hosts only while it is not clear who has moved.
    identities: BTreeSet<(Ssrc, ParticipantId)>,
    /// How many of them are not leaving.
    joined: usize,
    invitees: Invitees,
    strangers: Allowance,
    invitations: Invitations,
    /// How many of these are looked at.
    pace: Pace,
    /// Participants of whom nothing shows that they are where they say.
    unproved: BTreeSet<ParticipantId>,
    /// Who may take the place of a participant, and whose.
    successors: BTreeMap<ParticipantId, Successor>,
    successor_keys: BTreeMap<PeerKey, ParticipantId>,
    timers: Timers,
    answers: VecDeque<(Transmit, Answer)>,
    /// Participants that may send and have something to, and some that are gone since.
    waiting: VecDeque<ParticipantId>,
    /// How many of these are gone.
    waiting_gone: usize,
    events: EventQueue,
    stats: SessionStats,
    /// Where packets are put together: as long as the budget, so that it need not be cleared for
    /// each.
    draft: Vec<u8>,
    /// The same for their journals.
    journal: Vec<u8>,
}

impl Session {
    /// A session with no participants.
    ///
    /// `seed` decides its SSRC and where sequences and its clock start: draw it from the operating
    /// system's generator, so that strangers cannot guess them. `now` is any moment on the caller's
    /// clock.
    ///
    /// # Errors
    /// When the configuration contradicts itself.
    pub fn new(config: Config, seed: u64, now: Time) -> Result<Self, ConfigError> {
        config.check()?;
        let mut rng = Rng::new(seed);
        Ok(Self {
            ssrc: Ssrc(rng.nonzero_u32()),
            clock: WireClock::random(&mut rng),
            rng,
            now,
            open: true,
            participants: Participants::default(),
            peers: BTreeMap::new(),
            addresses: BTreeMap::new(),
            identities: BTreeSet::new(),
            joined: 0,
            invitees: Invitees::default(),
            strangers: Allowance::new(now, config.max_strangers_told),
            invitations: Invitations::default(),
            pace: Pace::new(
                seed,
                config.max_invitations_per_second,
                config.max_invitations_per_host,
                config.max_participants,
            ),
            unproved: BTreeSet::new(),
            successors: BTreeMap::new(),
            successor_keys: BTreeMap::new(),
            timers: Timers::default(),
            answers: VecDeque::new(),
            waiting: VecDeque::new(),
            waiting_gone: 0,
            events: EventQueue::new(config.max_queued_events, config.max_queued_event_octets),
            stats: SessionStats::default(),
            draft: vec![0; config.packet_budget.get()],
            journal: vec![0; config.packet_budget.get()],
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
                    self.handle_reply(local, from, &exchange);
                }
            },
            Ok(Datagram::Control(Control::Clock(clock))) => self.handle_clock(local, from, &clock),
            Ok(Datagram::Control(Control::Feedback(feedback))) => {
                self.handle_feedback(local, from, &feedback);
            }
            Ok(Datagram::Control(Control::BitrateLimit(limit))) => {
                self.handle_bitrate_limit(local, from, limit);
            }
            Err(ParseError::BadVersion {
                kind: ExchangeKind::Invitation,
                token,
                ..
            }) => {
                self.stats.malformed_control += 1;
                if self.pace.take(self.now, Host::new(from)) {
                    self.refuse(local, from, token);
                }
            }
            Err(error) if error.layer() == Layer::AppleMidi => self.stats.malformed_control += 1,
            Err(_) => self.stats.malformed_rtp += 1,
        }
    }

    /// Does what is due at `now`; does nothing when it comes early.
    pub fn handle_timeout(&mut self, now: Time) {
        self.advance(now);
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
        while let Some(id) = self.events.next_behind() {
            let Self {
                participants,
                config,
                events,
                now,
                ..
            } = self;
            if let Some(participant) = participants.get_mut(&id) {
                participant.catch_up(&mut Outlet {
                    now: *now,
                    id,
                    config,
                    events,
                });
            }
        }
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
        self.participants.get(&id).map(Participant::stats)
    }

    /// The clock of one participant as seen from ours, at the time of the last call that had one:
    /// while it is connected, and after a first clock exchange with it.
    #[must_use]
    pub fn participant_clock(&self, id: ParticipantId) -> Option<ClockEstimate> {
        self.participants.get(&id)?.clock.estimate(self.now)
    }

    /// Whether one participant is sent recovery journals, from the next packet on. What was sent
    /// before is not protected after [`JournalPolicy::Off`].
    ///
    /// # Errors
    /// When there is no such participant.
    pub fn set_journal_policy(
        &mut self,
        now: Time,
        id: ParticipantId,
        policy: JournalPolicy,
    ) -> Result<(), SendError> {
        self.advance(now);
        let Self {
            participants,
            timers,
            waiting,
            config,
            now,
            ..
        } = self;
        let participant = participants
            .get_mut(&id)
            .filter(|participant| !participant.is_leaving())
            .ok_or(SendError::UnknownParticipant { participant: id })?;
        let next = participant.outbound.next_seq();
        let was_on = participant.protection.is_on();
        participant.protection.set_policy(next, policy, config);
        if !was_on && participant.may_send() {
            participant.protection.introduce(*now);
        }
        // It may have waited for room in a history that is no more.
        participant.outbound.resume();
        enlist(*now, waiting, id, participant);
        schedule(*now, timers, id, participant);
        Ok(())
    }

    /// When the messages of one participant are played, from the next packet on. What waits keeps
    /// its time, but for [`Playout::Immediate`], with which it comes out at once.
    ///
    /// # Errors
    /// When there is no such participant.
    pub fn set_playout(
        &mut self,
        now: Time,
        id: ParticipantId,
        playout: Playout,
    ) -> Result<(), SendError> {
        self.advance(now);
        let Self {
            participants,
            config,
            events,
            now,
            ..
        } = self;
        let participant = participants
            .get_mut(&id)
            .filter(|participant| !participant.is_leaving())
            .ok_or(SendError::UnknownParticipant { participant: id })?;
        let mut out = Outlet {
            now: *now,
            id,
            config,
            events,
        };
        participant.set_playout(playout, &mut out);
        self.tell_what_arrived(id, false);
        Ok(())
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
            if !self.has_to_prove(header.ssrc, from, local.pair) {
                self.tell_stranger(local, from);
            }
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
            self.check_move(id, local, from);
            return;
        }
        // The list is read whole before anything of it counts: one that cannot be read leaves its
        // sequence number missing (RFC 6295 §4), and is no sign of life.
        let Ok(section) = packet.command_section() else {
            participant.stats.malformed_commands += 1;
            return;
        };
        participant.heard_at = now;
        if participant.is_leaving() {
            return;
        }
        let mut out = Outlet {
            now,
            id,
            config,
            events,
        };
        let urgent = participant.take_packet(packet, &section, &mut out);
        if participant.is_holding() {
            schedule(now, timers, id, participant);
        }
        make_ready(now, timers, waiting, id, participant);
        self.tell_what_arrived(id, urgent);
    }

    /// Plays what has waited long enough. Returns whether its sender should be told at once.
    fn play_what_is_due(&mut self, id: ParticipantId) -> bool {
        let Self {
            participants,
            config,
            events,
            now,
            ..
        } = self;
        participants.get_mut(&id).is_some_and(|participant| {
            participant.release(&mut Outlet {
                now: *now,
                id,
                config,
                events,
            })
        })
    }

    /// A peer tells what arrived: the journal need not tell it again.
    fn handle_feedback(&mut self, local: LocalPort, from: SocketAddr, feedback: &Feedback) {
        let now = self.now;
        let Some((id, participant)) = self.sender(feedback.ssrc, local, from) else {
            return;
        };
        participant.stats.feedback_received += 1;
        let seq = participant.protection.acknowledged_by(feedback);
        participant.outbound.acknowledge(seq);
        match participant.protection.acknowledge(now, feedback) {
            protection::Answer::News => {
                participant.outbound.resume();
                let Self {
                    participants,
                    timers,
                    waiting,
                    ..
                } = self;
                if let Some(participant) = participants.get_mut(&id) {
                    schedule(now, timers, id, participant);
                    enlist(now, waiting, id, participant);
                }
            }
            protection::Answer::Ignored => participant.stats.feedback_ignored += 1,
        }
    }

    /// Tells a participant what of its packets arrived, now or a little later.
    fn tell_what_arrived(&mut self, id: ParticipantId, urgent: bool) {
        let now = self.now;
        let Some(participant) = self.participants.get_mut(&id) else {
            return;
        };
        let feedback = &mut participant.feedback;
        match feedback.due(now, urgent) {
            Some(at) if at <= now => {
                let Some(seq) = feedback.tell(now) else {
                    return;
                };
                participant.stats.feedback_sent += 1;
                let to = participant.peer.control;
                let local = LocalPort::control(participant.peer.pair);
                let packet = Feedback::new(self.ssrc, seq);
                self.answer(local, to, Answer::Feedback(packet));
            }
            Some(_) => schedule(now, &mut self.timers, id, participant),
            None => {}
        }
    }

    fn handle_clock(&mut self, local: LocalPort, from: SocketAddr, clock: &ClockPacket) {
        let now = self.now;
        let ours = self.ssrc;
        if clock.count == ClockCount::Ck1 && self.has_moved(local, from, clock) {
            return;
        }
        if self.handle_successor_clock(local, from, clock) || self.handle_proof(local, from, clock)
        {
            return;
        }
        let is_stranger = !self
            .peers
            .contains_key(&PeerKey::new(clock.ssrc, from, local.pair));
        let Some((id, participant)) = self.sender(clock.ssrc, local, from) else {
            if is_stranger && clock.count == ClockCount::Ck0 {
                self.tell_stranger(local, from);
            }
            return;
        };
        if participant.is_leaving() {
            return;
        }
        participant.protection.rest(now);
        let [first, ..] = clock.timestamps;
        match clock.count {
            ClockCount::Ck0 => {
                participant.asked.note(now);
                let steady = participant.asked.is_steady();
                let timestamps = participant.clock.answer(now, first);
                let answer = ClockPacket {
                    ssrc: ours,
                    count: ClockCount::Ck1,
                    timestamps,
                };
                // On the port it came from, and to where it came from.
                self.answer(local, from, Answer::Clock(answer));
                if steady {
                    self.watch(id);
                }
            }
            ClockCount::Ck1 => match participant.clock.answered(now, clock.timestamps) {
                Some(timestamps) => {
                    let answer = ClockPacket {
                        ssrc: ours,
                        count: ClockCount::Ck2,
                        timestamps,
                    };
                    self.answer(local, from, Answer::Clock(answer));
                    self.clock_answered(id);
                }
                None => self.stats.unexpected_clock += 1,
            },
            ClockCount::Ck2 if participant.clock.complete(now, clock.timestamps) => {
                self.clock_compared(id);
            }
            // One that fits nothing moves no clock.
            ClockCount::Ck2 => self.stats.unexpected_clock += 1,
        }
    }

    /// A clock exchange with this participant is complete: it is there, and MIDI may flow.
    fn clock_compared(&mut self, id: ParticipantId) {
        self.prove(id);
        if let Some(participant) = self.participants.get_mut(&id) {
            participant.stats.clock_exchanges += 1;
        }
        self.tell_clock(id);
        self.may_play(id);
    }

    /// Tells of a clock exchange those who want to know. One for which there is no room is made good
    /// by the next.
    fn tell_clock(&mut self, participant: ParticipantId) {
        if self.config.clock_events && !self.events.is_full() {
            self.events.push(Event::Synchronised { participant });
        }
    }

    /// MIDI may flow to a participant from now on.
    fn may_play(&mut self, id: ParticipantId) {
        let Self {
            participants,
            timers,
            waiting,
            now,
            ..
        } = self;
        if let Some(participant) = participants.get_mut(&id) {
            make_ready(*now, timers, waiting, id, participant);
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
        if !self.participants.get(&id)?.is_at(from) {
            self.stats.wrong_source += 1;
            self.check_move(id, local, from);
            return None;
        }
        let participant = self.participants.get_mut(&id)?;
        participant.heard_at = self.now;
        Some((id, participant))
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
            Timer::Invitation(id) => self.expire_invitation(id),
            Timer::Succession(id) => self.attend_succession(id),
            Timer::Invitee(id) => self.attend_invitee(id),
            Timer::Ready(id) => self.may_play(id),
            Timer::Wake(id) => {
                if let Some(participant) = self.participants.get_mut(&id) {
                    participant.wake_at = None;
                    self.attend(id);
                }
            }
            Timer::Silence(id) => {
                let Some(participant) = self.participants.get_mut(&id) else {
                    return;
                };
                let silent_at = participant.heard_at + participant.silence_timeout(&self.config);
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
}
