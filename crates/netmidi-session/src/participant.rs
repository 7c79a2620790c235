//! One peer that is connected on both ports.

use alloc::boxed::Box;
use alloc::string::String;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use netmidi_journal::{Arrival as Place, Joined, Journal, Repairer, RepairerConfig, Snapshot};
use netmidi_message::{ChannelMessage, Message};
use netmidi_wire::{
    ClockTicks, Command, CommandSection, RtpHeader, RtpPacket, RtpTimestamp, SegmentKind, SeqNum,
    Ssrc, Token,
};

use crate::clock_sync::ClockSync;
use crate::config::{Config, Playout, SysExPolicy, UndefinedCommands};
use crate::event::{Event, Origin, Peer, Role};
use crate::feedback::FeedbackState;
use crate::liveness::{Asked, Questions};
use crate::outbound::Outbound;
use crate::playout::{self, Buffer, Held, Jitter, Outlet, Release, Timing};
use crate::protection::Protection;
use crate::rng::Rng;
use crate::sequence::{Arrival, SeqTracker};
use crate::stats::ParticipantStats;
use crate::time::{Time, WireClock};
use crate::transmit::{LocalPort, PairId};

/// So many packets of ours may be on the way to a peer, or its answers on the way back.
const MAX_IN_FLIGHT: i16 = 64;

/// An invitation to us so soon after ours was accepted has crossed it on the way, ...
const SIMULTANEOUS: Duration = Duration::from_secs(5);
/// ... and no longer after it when the peer has answered something since.
const OVERTAKEN: Duration = Duration::from_millis(250);

/// What identifies a peer: its SSRC at its host. Another host with the same SSRC is another peer,
/// so nobody can speak for a participant from elsewhere.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct PeerKey {
    pair: PairId,
    host: IpAddr,
    /// Link-local addresses mean different hosts on different links.
    scope: u32,
    /// Last, so that those of one host are neighbours.
    ssrc: Ssrc,
}

impl PeerKey {
    pub(crate) const fn new(ssrc: Ssrc, from: SocketAddr, pair: PairId) -> Self {
        let scope = match from {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(v6) => v6.scope_id(),
        };
        Self {
            ssrc,
            host: from.ip(),
            scope,
            pair,
        }
    }

    pub(crate) const fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    pub(crate) const fn pair(&self) -> PairId {
        self.pair
    }

    pub(crate) const fn host(&self) -> Host {
        Host {
            address: self.host,
            scope: self.scope,
        }
    }
}

/// Where somebody is, whichever port it uses.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Host {
    address: IpAddr,
    /// As in [`PeerKey`].
    scope: u32,
}

impl Host {
    pub(crate) const fn new(from: SocketAddr) -> Self {
        PeerKey::new(Ssrc(0), from, PairId(0)).host()
    }

    /// The same everywhere, and not to be computed without the salt.
    pub(crate) fn hash(self, salt: u64) -> u64 {
        let address = match self.address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        #[allow(clippy::cast_possible_truncation, reason = "both halves are taken")]
        let words = [(address >> 64) as u64, address as u64, self.scope.into()];
        words
            .into_iter()
            .fold(salt, |hash, word| Rng::new(hash ^ word).u64())
    }
}

/// Whether both addresses are of one host, on one link.
pub(crate) fn is_same_host(one: SocketAddr, other: SocketAddr) -> bool {
    let (none, pair) = (Ssrc(0), PairId(0));
    PeerKey::new(none, one, pair) == PeerKey::new(none, other, pair)
}

/// Somebody with a participant's identity is at another port of its host: the question whether it is
/// the participant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Challenge {
    pub(crate) local: LocalPort,
    pub(crate) to: SocketAddr,
    /// The first timestamp of the CK0, which nobody else knows.
    pub(crate) first: ClockTicks,
    pub(crate) at: Time,
}

/// How far a participant is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stage {
    /// Connected; MIDI is held back until this moment at the latest.
    Joined { ready_at: Time },
    /// Connected, MIDI flows both ways.
    Ready,
    /// We said goodbye, or are about to: what was queued still goes out.
    Leaving {
        since: Time,
        byes_left: u8,
        next_bye: Time,
    },
}

/// The application did not poll, and has missed what this participant did since.
#[derive(Debug)]
struct Behind {
    /// What the application holds.
    snapshot: Snapshot,
    /// Events that were dropped.
    dropped: u64,
}

/// Where messages go, and what is counted of them.
struct Sink<'a> {
    stats: &'a mut ParticipantStats,
    playout: &'a mut Buffer,
    behind: &'a mut Option<Box<Behind>>,
}

/// The sink of a participant, with its repairer left free.
macro_rules! sink {
    ($participant:expr) => {
        Sink {
            stats: &mut $participant.stats,
            playout: &mut $participant.playout,
            behind: &mut $participant.behind,
        }
    };
}

/// One peer's life in the session.
#[derive(Debug)]
pub(crate) struct Participant {
    pub(crate) peer: Peer,
    pub(crate) token: Token,
    /// When both invited: the token of the other invitation.
    pub(crate) other_token: Option<Token>,
    /// Its SSRC on the control port: pymidi and LeovR/rtp-midi have one for each port.
    pub(crate) control_ssrc: Ssrc,
    pub(crate) stage: Stage,
    pub(crate) joined_at: Time,
    pub(crate) heard_at: Time,
    pub(crate) sent_at: Option<Time>,
    /// When its silence timer comes due.
    pub(crate) silence_at: Time,
    /// Whether it stands in the session's list of those with something to send.
    pub(crate) waiting: bool,
    pub(crate) clock: ClockSync,
    /// What we ask, as the initiator.
    pub(crate) questions: Option<Questions>,
    /// What it asks.
    pub(crate) asked: Asked,
    pub(crate) challenge: Option<Challenge>,
    /// Whether its data port has moved.
    pub(crate) moved: bool,
    pub(crate) outbound: Outbound,
    /// The bitrate limit that it is to be told, once.
    pub(crate) announce: Option<u32>,
    pub(crate) protection: Protection,
    pub(crate) feedback: FeedbackState,
    pub(crate) stats: ParticipantStats,
    pub(crate) sysex: SysExPolicy,
    /// MIDI to it waits until then, because somebody else may be there.
    pub(crate) held_until: Time,
    /// When its wake timer comes due, if that is in the table.
    pub(crate) wake_at: Option<Time>,
    sequence: SeqTracker,
    /// What waits to be played.
    playout: Buffer,
    jitter: Jitter,
    repairer: Repairer,
    behind: Option<Box<Behind>>,
    /// The last gap, if no journal has come since it showed: the packet that showed it, and how many
    /// were missing.
    unrepaired: Option<(SeqNum, u16)>,
}

/// What the session knows when somebody joins.
#[derive(Debug)]
pub(crate) struct Introduction {
    pub(crate) name: String,
    pub(crate) ssrc: Ssrc,
    pub(crate) control_ssrc: Ssrc,
    pub(crate) token: Token,
    pub(crate) control: SocketAddr,
    pub(crate) data: SocketAddr,
    pub(crate) pair: PairId,
    pub(crate) role: Role,
}

impl Participant {
    pub(crate) fn new(
        now: Time,
        who: Introduction,
        first_seq: SeqNum,
        clock: WireClock,
        config: &Config,
    ) -> Self {
        let Introduction {
            name,
            ssrc,
            control_ssrc,
            token,
            control,
            data,
            pair,
            role,
        } = who;
        Self {
            peer: Peer {
                name,
                ssrc,
                control,
                data,
                pair,
                role,
                invitee: None,
            },
            token,
            other_token: None,
            control_ssrc,
            stage: Stage::Joined {
                ready_at: now + config.ready_timeout,
            },
            joined_at: now,
            heard_at: now,
            sent_at: None,
            silence_at: now + config.silence_timeout,
            waiting: false,
            clock: ClockSync::new(clock),
            questions: None,
            asked: Asked::default(),
            challenge: None,
            moved: false,
            outbound: Outbound::new(first_seq, clock, config.send_ahead, config.pacing),
            announce: config.announce_limit,
            protection: Protection::new(first_seq, config.journal, config),
            feedback: FeedbackState::default(),
            stats: ParticipantStats::default(),
            sysex: config.sysex,
            held_until: Time::ZERO,
            wake_at: None,
            sequence: SeqTracker::default(),
            playout: Buffer::new(config.playout),
            jitter: Jitter::default(),
            repairer: Repairer::new(repairer_config(config)),
            behind: None,
            unrepaired: None,
        }
    }

    pub(crate) fn key(&self) -> PeerKey {
        PeerKey::new(self.peer.ssrc, self.peer.data, self.peer.pair)
    }

    /// The key of its control port, where that has an SSRC of its own.
    pub(crate) fn control_key(&self) -> PeerKey {
        PeerKey::new(self.control_ssrc, self.peer.control, self.peer.pair)
    }

    /// Where its two ports are, and which of ours they talk to.
    pub(crate) fn addresses(&self) -> [(LocalPort, SocketAddr); 2] {
        let Peer {
            control,
            data,
            pair,
            ..
        } = self.peer;
        [
            (LocalPort::control(pair), control),
            (LocalPort::data(pair), data),
        ]
    }

    /// Whether this token is of its session; 0 is everybody's.
    pub(crate) fn has_token(&self, token: Token) -> bool {
        token == Token(0) || token == self.token || Some(token) == self.other_token
    }

    /// It is one of those that we invited: from now on we ask for its clock.
    pub(crate) fn begin_syncing(&mut self, now: Time) {
        if self.questions.is_none_or(|it| it.only_doubt().is_some()) {
            self.questions = Some(Questions::starting(now));
        }
    }

    /// After how long without a sign of life it has left.
    pub(crate) fn silence_timeout(&self, config: &Config) -> Duration {
        let answers = self.questions.is_some_and(|it| it.is_answering());
        let soon = if answers {
            config.liveness_timeout
        } else if self.asked.is_steady() {
            config.liveness_timeout * 2
        } else {
            config.silence_timeout
        };
        soon.min(config.silence_timeout)
    }

    /// Whether an invitation that comes from it now may be from before it accepted ours.
    ///
    /// Once it lives in the session it has no reason to invite us, but that it has lost it.
    pub(crate) fn may_have_crossed(&self, now: Time) -> bool {
        let answers = self.questions.is_some_and(|it| it.is_answering());
        let limit = if answers { OVERTAKEN } else { SIMULTANEOUS };
        now.since(self.joined_at) < limit
    }

    /// Whether a datagram from this address can be this participant's.
    pub(crate) fn is_at(&self, from: SocketAddr) -> bool {
        from == self.peer.data || from == self.peer.control
    }

    pub(crate) const fn is_leaving(&self) -> bool {
        matches!(self.stage, Stage::Leaving { .. })
    }

    /// Whether its queue may be sent now.
    pub(crate) const fn may_send(&self) -> bool {
        matches!(self.stage, Stage::Ready | Stage::Leaving { .. })
    }

    pub(crate) fn stats(&self) -> ParticipantStats {
        let mut stats = ParticipantStats {
            sysex_unprotected: self.protection.sysex_unprotected(),
            jitter_micros: self.jitter.micros(),
            playout_delay_micros: u64::try_from(self.playout.last_delay().as_micros())
                .unwrap_or(u64::MAX),
            ..self.stats
        };
        self.outbound.count(&mut stats);
        stats
    }

    /// Whether it has something that can go out now.
    pub(crate) fn has_work(&self, now: Time) -> bool {
        self.may_send()
            && !self.is_held(now)
            && (self.announces().is_some()
                || self.outbound.is_sendable(now)
                || self.is_guard_due(now))
    }

    /// Whether MIDI to it waits.
    pub(crate) fn is_held(&self, now: Time) -> bool {
        now < self.held_until
    }

    /// The bitrate limit that it is to be told now.
    pub(crate) fn announces(&self) -> Option<u32> {
        self.announce.filter(|_| self.stage == Stage::Ready)
    }

    pub(crate) fn is_guard_due(&self, now: Time) -> bool {
        self.protection.guard_at().is_some_and(|due| due <= now)
    }

    /// When it needs attention next although nothing comes from it.
    pub(crate) fn wakes_at(&self, now: Time) -> Option<Time> {
        // A guard that is due waits for its turn, not for its time.
        let guard = self.protection.guard_at().filter(|due| *due > now);
        let (guard, midi) = match self.may_send() {
            true if self.is_held(now) => (None, Some(self.held_until)),
            true => (guard, self.outbound.wakes_at(now)),
            false => (guard, None),
        };
        let feedback = self.feedback.due(now, false);
        let question = match self.stage {
            Stage::Leaving { .. } => None,
            _ => self.questions.as_ref().map(Questions::due),
        };
        [guard, midi, feedback, question, self.playout.next()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Changes when messages are played. What waits comes out at once if nothing is to wait.
    pub(crate) fn set_playout(&mut self, mode: Playout, out: &mut Outlet<'_>) {
        if mode == Playout::Immediate {
            self.release_all(out);
        }
        self.playout.set(mode);
    }

    /// Whether packets or messages wait to be played.
    pub(crate) fn is_holding(&self) -> bool {
        !self.playout.is_empty()
    }

    /// Takes a packet that is this participant's for sure and whose list can be read to its end:
    /// now, or when it is due. Returns whether its sender should be told at once what came.
    pub(crate) fn take_packet(
        &mut self,
        packet: &RtpPacket<'_>,
        section: &CommandSection<'_>,
        out: &mut Outlet<'_>,
    ) -> bool {
        let (now, header) = (out.now, packet.header());
        self.jitter.arrived(now, header.timestamp);
        let mut timing = Timing {
            received: now,
            delay: None,
        };
        if self.playout.is_immediate() || !self.clock.is_known() {
            return self.handle_packet(header, section, timing, out);
        }
        let first = section.commands().next();
        let first = first.map_or(header.timestamp, |it| it.timestamp);
        let sent = self.plausible(now, first, out.config);
        let delay = self.playout.delay(now, sent);
        timing.delay = Some(delay);
        let due = sent.unwrap_or(now) + delay;
        let is_next = due <= now && !self.playout.has_packets();
        if is_next || self.sequence.is_past(header.seq, header.timestamp) {
            return self.handle_packet(header, section, timing, out);
        }
        if !self.playout.hold(header, packet.payload(), due, timing) {
            self.stats.duplicates += 1;
            return false;
        }
        self.release(out)
    }

    /// Plays what is due. Returns whether the sender should be told at once what came.
    pub(crate) fn release(&mut self, out: &mut Outlet<'_>) -> bool {
        let mut urgent = false;
        self.playout.release(out);
        while let Some((held, release)) = self.playout.pop(out.now, out.config) {
            self.stats.played_early += u64::from(release == Release::Early);
            urgent |= self.play(held, out);
        }
        urgent
    }

    /// Plays everything that waits, due or not.
    pub(crate) fn release_all(&mut self, out: &mut Outlet<'_>) {
        while let Some(held) = self.playout.pop_any() {
            self.play(held, out);
        }
        self.playout.release_all(out);
    }

    fn play(&mut self, held: Held, out: &mut Outlet<'_>) -> bool {
        let Held {
            timing,
            header,
            payload,
            ..
        } = held;
        // It could be read when it came.
        let urgent = CommandSection::parse(&payload, header.timestamp)
            .is_ok_and(|section| self.handle_packet(header, &section, timing, out));
        self.playout.recycle(payload, out.config);
        urgent
    }

    /// Takes a packet whose turn it is. Returns whether its sender should be told at once that it
    /// came.
    fn handle_packet(
        &mut self,
        header: RtpHeader,
        section: &CommandSection<'_>,
        timing: Timing,
        out: &mut Outlet<'_>,
    ) -> bool {
        if self.behind.is_none() && out.events.is_full() {
            // What the application holds from now on until it has caught up.
            self.behind = Some(Box::new(Behind {
                snapshot: self.repairer.snapshot(),
                dropped: 0,
            }));
            out.events.fall_behind(out.id);
        }
        let mut missing = None;
        let place = match self.sequence.observe(header.seq, header.timestamp) {
            Arrival::InOrder => Place::InOrder,
            Arrival::Stuck => {
                self.stats.stuck_sequence += 1;
                Place::InOrder
            }
            Arrival::First => Place::First,
            Arrival::Jump => {
                self.stats.resynchronised += 1;
                Place::Restarted
            }
            Arrival::FellBack => {
                self.stats.resynchronised += 1;
                match section.journal() {
                    Some(_) => Place::Restarted,
                    // Nothing says that anything was lost.
                    None => Place::InOrder,
                }
            }
            Arrival::Gap(_) if self.has_our_number(header.seq, section) => {
                self.stats.resynchronised += 1;
                Place::InOrder
            }
            Arrival::Gap(packets) => {
                self.stats.lost += u64::from(packets);
                missing = Some(packets);
                self.unrepaired = Some((header.seq, packets));
                Place::Gap
            }
            Arrival::Reordered => {
                self.stats.lost = self.stats.lost.saturating_sub(1);
                self.stats.reordered += 1;
                if self.stats.journals_received == 0 || self.is_unrepaired(header.seq) {
                    self.play_late(header, section, timing, out);
                }
                return false;
            }
            Arrival::Duplicate => {
                self.stats.duplicates += 1;
                return false;
            }
            Arrival::HeldBack => {
                self.stats.held_back += 1;
                return false;
            }
        };
        self.stats.packets_received += 1;
        self.feedback.received(header.seq);
        if section.anomaly().is_some() {
            self.stats.trailing_octets += 1;
        }
        if section.journal().is_some() {
            self.stats.journals_received += 1;
            self.protection.prove();
            self.unrepaired = None;
        }
        self.repairer.begin(header.seq, header.timestamp, place);
        let before = self.stats.messages_received;
        let covered = !self.repairer.needs_repair() || self.repair(header, section, timing, out);
        if let Some(missing) = missing {
            let lost = Event::Lost {
                participant: out.id,
                packets: missing.into(),
                covered,
                repaired: u32::try_from(self.stats.messages_received - before).unwrap_or(u32::MAX),
            };
            match &mut self.behind {
                Some(behind) => {
                    behind.dropped += 1;
                    out.events.drop_one();
                }
                None => self.stats.played_early += self.playout.emit(None, 0, || lost, out),
            }
        }
        let mut urgent = matches!(place, Place::Gap | Place::Restarted);
        for timed in section.commands() {
            let Some(command) = timed.command else {
                continue;
            };
            let at = self.due(timing, timed.timestamp, out.config);
            match command {
                Command::Message(message) => {
                    self.repairer.observe(timed.timestamp, message);
                    sink!(self).deliver(timing, at, Origin::Live, message, out);
                }
                Command::SysEx(segment) => {
                    urgent |= segment.kind() != SegmentKind::Whole;
                    let (joined, cut) = self.repairer.join(segment);
                    self.stats.sysex_abandoned += u64::from(cut);
                    match joined {
                        Joined::Whole(sysex) if self.sysex.drops(sysex) => {
                            self.stats.sysex_dropped += 1;
                        }
                        Joined::Whole(sysex) => {
                            let message = sysex.into();
                            sink!(self).deliver(timing, at, Origin::Live, message, out);
                        }
                        Joined::TooLong => self.stats.sysex_too_long += 1,
                        Joined::Abandoned => self.stats.sysex_abandoned += 1,
                        Joined::Partial | Joined::Ignored => {}
                    }
                }
            }
        }
        urgent
    }

    /// Puts right what the packets before this one did, before its own list is played. Returns
    /// whether the journal covers all that was lost.
    fn repair(
        &mut self,
        header: RtpHeader,
        section: &CommandSection<'_>,
        timing: Timing,
        out: &mut Outlet<'_>,
    ) -> bool {
        let policy = self.sysex;
        let received = timing.received;
        let at = self.plausible(received, header.timestamp, out.config);
        let at = at.unwrap_or(received) + timing.delay.unwrap_or_default();
        let mut sink = sink!(self);
        let salvaged = section.journal().and_then(|octets| {
            let salvaged = Journal::salvage(octets);
            let damaged = salvaged.as_ref().map_or(true, |it| it.damage.is_some());
            sink.stats.journals_damaged += u64::from(damaged);
            salvaged.ok()
        });
        let repair = self
            .repairer
            .repair(salvaged.as_ref(), section, &mut |message| {
                if let Message::SysEx(sysex) = message
                    && policy.drops(sysex)
                {
                    sink.stats.sysex_dropped += 1;
                    return;
                }
                sink.stats.messages_repaired += 1;
                sink.deliver(timing, at, Origin::Repaired, message, out);
            });
        self.stats.notes_skipped += u64::from(repair.notes_skipped);
        self.stats.sysex_lost += u64::from(repair.sysex_lost);
        self.stats.uncovered_losses += u64::from(repair.uncovered);
        !repair.uncovered
    }

    /// Whether a packet that comes late is of a gap that no journal has spoken of.
    fn is_unrepaired(&self, seq: SeqNum) -> bool {
        self.unrepaired.is_some_and(|(end, missing)| {
            let before = end.distance_from(seq);
            before > 0 && before.unsigned_abs() <= missing
        })
    }

    /// Plays of a packet that came after a later one what nothing newer has overtaken. Only where no
    /// journal has come: else it has repaired what this one did.
    fn play_late(
        &mut self,
        header: RtpHeader,
        section: &CommandSection<'_>,
        timing: Timing,
        out: &mut Outlet<'_>,
    ) {
        for timed in section.commands() {
            let Some(Command::Message(message)) = timed.command else {
                continue;
            };
            if self.repairer.late(header.seq, timed.timestamp, message) {
                let at = self.due(timing, timed.timestamp, out.config);
                self.stats.messages_late += 1;
                sink!(self).deliver(timing, at, Origin::Live, message, out);
            }
        }
    }

    /// Plays what waits, and ends what this participant left on unless the application does so
    /// itself.
    pub(crate) fn silence(&mut self, out: &mut Outlet<'_>) {
        self.release_all(out);
        let silence = out.config.silence_on_leave;
        if self.behind.is_some() {
            if silence {
                // Not what the application hears: it holds what it heard last.
                self.repairer.silence(&mut |_| {});
            }
            let origin = if silence {
                Origin::Silence
            } else {
                Origin::Restored
            };
            self.restore(origin, out);
        } else if silence {
            let now = Timing::at(out.now);
            let mut sink = sink!(self);
            self.repairer.silence(&mut |message| {
                sink.deliver(now, out.now, Origin::Silence, message, out);
            });
        }
    }

    /// Takes the application, which has missed something, to the state that the peer's instrument is
    /// in now.
    pub(crate) fn catch_up(&mut self, out: &mut Outlet<'_>) {
        self.restore(Origin::Restored, out);
    }

    fn restore(&mut self, origin: Origin, out: &mut Outlet<'_>) {
        let Some(behind) = self.behind.take() else {
            return;
        };
        if behind.dropped > 0 {
            let overflow = Event::Overflow {
                participant: out.id,
                dropped: behind.dropped,
            };
            self.stats.played_early += self.playout.emit(None, 0, || overflow, out);
        }
        let now = Timing::at(out.now);
        let mut sink = sink!(self);
        let restored = self.repairer.restore(&behind.snapshot, &mut |message| {
            sink.deliver(now, out.now, origin, message, out);
        });
        self.stats.sysex_missed += restored.sysex_missed;
    }

    /// When a command is to be played, on our clock.
    fn due(&mut self, timing: Timing, timestamp: RtpTimestamp, config: &Config) -> Time {
        let received = timing.received;
        let at = self.plausible(received, timestamp, config);
        self.stats.implausible_time += u64::from(at.is_none());
        at.unwrap_or(received) + timing.delay.unwrap_or_default()
    }

    /// When a command of a packet that came then was sent, on our clock; `None` when that is too far
    /// away to be believed.
    fn plausible(&self, received: Time, timestamp: RtpTimestamp, config: &Config) -> Option<Time> {
        let at = self.clock.to_local(received, timestamp).unwrap_or(received);
        let believed = received - config.max_ahead..=received + config.max_ahead;
        believed.contains(&at).then_some(at)
    }

    /// Whether a peer that does not know journals has taken up our numbers, as rtp-midi-rs does: it
    /// goes on with the one after that of the packet it received last. Then nothing was lost.
    fn has_our_number(&self, seq: SeqNum, section: &CommandSection<'_>) -> bool {
        let behind = self.outbound.next_seq().distance_from(seq);
        self.stats.journals_received == 0
            && section.journal().is_none()
            && (0..MAX_IN_FLIGHT).contains(&behind)
    }
}

impl Sink<'_> {
    /// A message for the application.
    fn deliver(
        &mut self,
        timing: Timing,
        at: Time,
        origin: Origin,
        message: Message<'_>,
        out: &mut Outlet<'_>,
    ) {
        let stats = &mut *self.stats;
        if message.is_undefined() && out.config.undefined == UndefinedCommands::Drop {
            stats.undefined_dropped += 1;
            return;
        }
        let is_new = matches!(origin, Origin::Live | Origin::Repaired);
        if is_new && at < out.now {
            if is_note_on(&message) && playout::is_too_late(out.config.late, out.now, at) {
                stats.overdue_dropped += 1;
                return;
            }
            stats.overdue += u64::from(timing.delay.is_some());
        }
        if is_new && let Some(behind) = &mut *self.behind {
            behind.dropped += 1;
            out.events.drop_one();
            return;
        }
        stats.messages_received += 1;
        stats.messages_restored += u64::from(origin == Origin::Restored);
        let octets = match message {
            Message::SysEx(sysex) => sysex.data().len(),
            Message::Undefined(undefined) => undefined.data().len(),
            _ => 0,
        };
        let participant = out.id;
        let event = || Event::Message {
            participant,
            at,
            message: message.to_buf(),
            origin,
        };
        // With no delay it is told when it is due, and not held until then.
        let due = timing.delay.map(|_| at);
        stats.played_early += self.playout.emit(due, octets, event, out);
    }
}

fn is_note_on(message: &Message<'_>) -> bool {
    match message {
        Message::Channel(message @ ChannelMessage::NoteOn { .. }) => !message.is_note_off(),
        _ => false,
    }
}

fn repairer_config(config: &Config) -> RepairerConfig {
    let mut bounds = RepairerConfig::default();
    bounds.max_sysex = config.max_sysex;
    bounds
}

impl From<&Participant> for Box<Peer> {
    fn from(participant: &Participant) -> Self {
        Self::new(participant.peer.clone())
    }
}
