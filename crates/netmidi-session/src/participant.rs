//! One peer that is connected on both ports.

use alloc::boxed::Box;
use alloc::string::String;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use netmidi_journal::{Arrival as Place, Joined, Journal, Repairer, RepairerConfig};
use netmidi_message::Message;
use netmidi_wire::{
    ClockTicks, Command, CommandSection, RtpHeader, RtpTimestamp, SegmentKind, SeqNum, Ssrc, Token,
};

use crate::clock_sync::ClockSync;
use crate::config::{Config, SysExPolicy, UndefinedCommands};
use crate::event::{Event, EventQueue, Origin, ParticipantId, Peer, Role};
use crate::feedback::FeedbackState;
use crate::liveness::{Asked, Questions};
use crate::outbound::Outbound;
use crate::protection::Protection;
use crate::rng::Rng;
use crate::sequence::{Arrival, SeqTracker};
use crate::stats::ParticipantStats;
use crate::time::Time;
use crate::transmit::{LocalPort, PairId};

/// So many packets of ours may be on the way to a peer, or its answers on the way back.
const MAX_IN_FLIGHT: i16 = 64;

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
    pub(crate) protection: Protection,
    pub(crate) feedback: FeedbackState,
    pub(crate) stats: ParticipantStats,
    /// Whether it has shown that datagrams to its address reach it.
    pub(crate) proved: bool,
    pub(crate) sysex: SysExPolicy,
    /// When its wake timer comes due, if that is in the table.
    pub(crate) wake_at: Option<Time>,
    sequence: SeqTracker,
    repairer: Repairer,
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
    pub(crate) fn new(now: Time, who: Introduction, first_seq: SeqNum, config: &Config) -> Self {
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
            clock: ClockSync::default(),
            questions: None,
            asked: Asked::default(),
            challenge: None,
            moved: false,
            outbound: Outbound::new(first_seq),
            protection: Protection::new(first_seq, config.journal, config),
            feedback: FeedbackState::default(),
            stats: ParticipantStats::default(),
            proved: false,
            sysex: config.sysex,
            wake_at: None,
            sequence: SeqTracker::default(),
            repairer: Repairer::new(repairer_config(config)),
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

    /// Whether this token is of its session; 0 is everybody's.
    pub(crate) fn has_token(&self, token: Token) -> bool {
        token == Token(0) || token == self.token || Some(token) == self.other_token
    }

    /// It is one of those that we invited: from now on we ask for its clock.
    pub(crate) fn begin_syncing(&mut self, now: Time) {
        if self.questions.is_none() {
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
        ParticipantStats {
            sysex_unprotected: self.protection.sysex_unprotected(),
            ..self.stats
        }
    }

    /// Whether it has something that can go out now.
    pub(crate) fn has_work(&self, now: Time) -> bool {
        self.may_send() && (self.outbound.is_sendable() || self.is_guard_due(now))
    }

    pub(crate) fn is_guard_due(&self, now: Time) -> bool {
        self.protection.guard_at().is_some_and(|due| due <= now)
    }

    /// When it needs attention next although nothing comes from it.
    pub(crate) fn wakes_at(&self, now: Time) -> Option<Time> {
        // A guard that is due waits for its turn, not for its time.
        let guard = self.protection.guard_at().filter(|due| *due > now);
        let stall = self.outbound.stalled_until();
        let feedback = self.feedback.due(now, false);
        let question = match self.stage {
            Stage::Leaving { .. } => None,
            _ => self.questions.as_ref().map(Questions::due),
        };
        [guard, stall, feedback, question]
            .into_iter()
            .flatten()
            .min()
    }

    /// Takes a packet that is this participant's for sure and whose list can be read to its end.
    /// Returns whether its sender should be told at once that it came.
    pub(crate) fn handle_packet(
        &mut self,
        now: Time,
        id: ParticipantId,
        header: RtpHeader,
        section: &CommandSection<'_>,
        config: &Config,
        events: &mut EventQueue,
    ) -> bool {
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
                    self.play_late(now, id, header, section, config, events);
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
        let covered =
            !self.repairer.needs_repair() || self.repair(now, id, header, section, config, events);
        if let Some(missing) = missing {
            events.push_bounded(0, || Event::Lost {
                participant: id,
                packets: missing.into(),
                covered,
            });
        }
        let mut urgent = matches!(place, Place::Gap | Place::Restarted);
        for timed in section.commands() {
            let Some(command) = timed.command else {
                continue;
            };
            let at = self.due(now, timed.timestamp, config);
            match command {
                Command::Message(message) => {
                    self.repairer.observe(timed.timestamp, message);
                    deliver(
                        &mut self.stats,
                        id,
                        at,
                        Origin::Live,
                        message,
                        config,
                        events,
                    );
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
                            let stats = &mut self.stats;
                            deliver(stats, id, at, Origin::Live, message, config, events);
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
        now: Time,
        id: ParticipantId,
        header: RtpHeader,
        section: &CommandSection<'_>,
        config: &Config,
        events: &mut EventQueue,
    ) -> bool {
        let at = self.plausible(now, header.timestamp, config).unwrap_or(now);
        let policy = self.sysex;
        let stats = &mut self.stats;
        let salvaged = section.journal().and_then(|octets| {
            let salvaged = Journal::salvage(octets);
            let damaged = salvaged.as_ref().map_or(true, |it| it.damage.is_some());
            stats.journals_damaged += u64::from(damaged);
            salvaged.ok()
        });
        let repair = self
            .repairer
            .repair(salvaged.as_ref(), section, &mut |message| {
                if let Message::SysEx(sysex) = message
                    && policy.drops(sysex)
                {
                    stats.sysex_dropped += 1;
                    return;
                }
                stats.messages_repaired += 1;
                deliver(stats, id, at, Origin::Repaired, message, config, events);
            });
        stats.notes_skipped += u64::from(repair.notes_skipped);
        stats.sysex_lost += u64::from(repair.sysex_lost);
        stats.uncovered_losses += u64::from(repair.uncovered);
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
        now: Time,
        id: ParticipantId,
        header: RtpHeader,
        section: &CommandSection<'_>,
        config: &Config,
        events: &mut EventQueue,
    ) {
        for timed in section.commands() {
            let Some(Command::Message(message)) = timed.command else {
                continue;
            };
            if self.repairer.late(header.seq, timed.timestamp, message) {
                let at = self.due(now, timed.timestamp, config);
                self.stats.messages_late += 1;
                deliver(
                    &mut self.stats,
                    id,
                    at,
                    Origin::Live,
                    message,
                    config,
                    events,
                );
            }
        }
    }

    /// Ends what this participant left on.
    pub(crate) fn silence(
        &mut self,
        now: Time,
        id: ParticipantId,
        config: &Config,
        events: &mut EventQueue,
    ) {
        let stats = &mut self.stats;
        self.repairer.silence(&mut |message| {
            deliver(stats, id, now, Origin::Silence, message, config, events);
        });
    }

    /// When a command is due on our clock.
    fn due(&mut self, now: Time, timestamp: RtpTimestamp, config: &Config) -> Time {
        self.plausible(now, timestamp, config).unwrap_or_else(|| {
            self.stats.implausible_time += 1;
            now
        })
    }

    /// The same; `None` when that is too far away to be believed.
    fn plausible(&self, now: Time, timestamp: RtpTimestamp, config: &Config) -> Option<Time> {
        let at = self.clock.to_local(now, timestamp).unwrap_or(now);
        let believed = now - config.max_ahead..=now + config.max_ahead;
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

/// A message for the application.
fn deliver(
    stats: &mut ParticipantStats,
    participant: ParticipantId,
    at: Time,
    origin: Origin,
    message: Message<'_>,
    config: &Config,
    events: &mut EventQueue,
) {
    if message.is_undefined() && config.undefined == UndefinedCommands::Drop {
        stats.undefined_dropped += 1;
        return;
    }
    stats.messages_received += 1;
    let octets = match message {
        Message::SysEx(sysex) => sysex.data().len(),
        Message::Undefined(undefined) => undefined.data().len(),
        _ => 0,
    };
    let event = || Event::Message {
        participant,
        at,
        message: message.to_buf(),
        origin,
    };
    match origin {
        Origin::Live | Origin::Repaired => events.push_bounded(octets, event),
        Origin::Silence => events.push_silence(event),
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
