//! One peer that is connected on both ports.

use alloc::boxed::Box;
use alloc::string::String;
use core::net::{IpAddr, SocketAddr};

use netmidi_message::Message;
use netmidi_wire::{Command, CommandSection, RtpHeader, RtpTimestamp, SeqNum, Ssrc, Token};

use crate::clock_sync::ClockSync;
use crate::config::{Config, UndefinedCommands};
use crate::event::{Event, EventQueue, ParticipantId, Peer};
use crate::inbound::{Arrival, Joined, SeqTracker, SysExJoiner};
use crate::outbound::Outbound;
use crate::stats::ParticipantStats;
use crate::time::Time;
use crate::transmit::PairId;

/// What identifies a peer: its SSRC at its host. Another host with the same SSRC is another peer,
/// so nobody can speak for a participant from elsewhere.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct PeerKey {
    ssrc: Ssrc,
    host: IpAddr,
    /// Link-local addresses mean different hosts on different links.
    scope: u32,
    pair: PairId,
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
    pub(crate) stage: Stage,
    pub(crate) joined_at: Time,
    pub(crate) heard_at: Time,
    pub(crate) sent_at: Option<Time>,
    /// When its silence timer comes due.
    pub(crate) silence_at: Time,
    /// Whether it stands in the session's list of those with something to send.
    pub(crate) waiting: bool,
    pub(crate) clock: ClockSync,
    pub(crate) outbound: Outbound,
    pub(crate) stats: ParticipantStats,
    sequence: SeqTracker,
    joiner: SysExJoiner,
}

/// What the session knows when somebody joins.
#[derive(Debug)]
pub(crate) struct Introduction {
    pub(crate) name: String,
    pub(crate) ssrc: Ssrc,
    pub(crate) token: Token,
    pub(crate) control: SocketAddr,
    pub(crate) data: SocketAddr,
    pub(crate) pair: PairId,
}

impl Participant {
    pub(crate) fn new(now: Time, who: Introduction, first_seq: SeqNum, config: &Config) -> Self {
        let Introduction {
            name,
            ssrc,
            token,
            control,
            data,
            pair,
        } = who;
        Self {
            peer: Peer {
                name,
                ssrc,
                control,
                data,
                pair,
            },
            token,
            stage: Stage::Joined {
                ready_at: now + config.ready_timeout,
            },
            joined_at: now,
            heard_at: now,
            sent_at: None,
            silence_at: now + config.silence_timeout,
            waiting: false,
            clock: ClockSync::default(),
            outbound: Outbound::new(first_seq),
            stats: ParticipantStats::default(),
            sequence: SeqTracker::default(),
            joiner: SysExJoiner::new(config.max_sysex),
        }
    }

    pub(crate) fn key(&self) -> PeerKey {
        PeerKey::new(self.peer.ssrc, self.peer.control, self.peer.pair)
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

    /// Takes a packet that is this participant's for sure and whose list can be read to its end.
    pub(crate) fn handle_packet(
        &mut self,
        now: Time,
        id: ParticipantId,
        header: RtpHeader,
        section: &CommandSection<'_>,
        config: &Config,
        events: &mut EventQueue,
    ) {
        match self.sequence.observe(header.seq, header.timestamp) {
            Arrival::InOrder => {}
            Arrival::Stuck => self.stats.stuck_sequence += 1,
            Arrival::First { resynchronised } => {
                self.stats.resynchronised += u64::from(resynchronised);
                self.abandon_sysex();
            }
            Arrival::Gap(missing) => {
                self.stats.lost += u64::from(missing);
                self.abandon_sysex();
                let packets = u32::from(missing);
                events.push_bounded(0, || Event::Lost {
                    participant: id,
                    packets,
                });
            }
            Arrival::Reordered => {
                self.stats.lost = self.stats.lost.saturating_sub(1);
                self.stats.reordered += 1;
                return;
            }
            Arrival::Duplicate => {
                self.stats.duplicates += 1;
                return;
            }
            Arrival::HeldBack => {
                self.stats.held_back += 1;
                return;
            }
        }
        self.stats.packets_received += 1;
        if section.anomaly().is_some() {
            self.stats.trailing_octets += 1;
        }
        for timed in section.commands() {
            let Some(command) = timed.command else {
                continue;
            };
            let at = self.due(now, timed.timestamp, config);
            match command {
                Command::Message(message) => self.deliver(id, at, message, config, events),
                Command::SysEx(segment) => {
                    let (joined, cut) = self.joiner.join(segment);
                    self.stats.sysex_abandoned += u64::from(cut);
                    match joined {
                        Joined::Whole(sysex) => {
                            self.stats.messages_received += 1;
                            let octets = sysex.data().len();
                            events.push_bounded(octets, || message_event(id, at, sysex.into()));
                            self.joiner.release();
                        }
                        Joined::TooLong => self.stats.sysex_too_long += 1,
                        Joined::Abandoned => self.stats.sysex_abandoned += 1,
                        Joined::Partial | Joined::Ignored => {}
                    }
                }
            }
        }
    }

    fn deliver(
        &mut self,
        id: ParticipantId,
        at: Time,
        message: Message<'_>,
        config: &Config,
        events: &mut EventQueue,
    ) {
        if message.is_undefined() && config.undefined == UndefinedCommands::Drop {
            self.stats.undefined_dropped += 1;
            return;
        }
        self.stats.messages_received += 1;
        let octets = match message {
            Message::Undefined(undefined) => undefined.data().len(),
            _ => 0,
        };
        events.push_bounded(octets, || message_event(id, at, message));
    }

    /// When a command is due on our clock.
    fn due(&mut self, now: Time, timestamp: RtpTimestamp, config: &Config) -> Time {
        match self.clock.to_local(now, timestamp) {
            None => now,
            Some(at) if at > now + config.max_ahead || at < now - config.max_ahead => {
                self.stats.implausible_time += 1;
                now
            }
            Some(at) => at,
        }
    }

    fn abandon_sysex(&mut self) {
        self.stats.sysex_abandoned += u64::from(self.joiner.abandon());
    }
}

#[inline]
fn message_event(participant: ParticipantId, at: Time, message: Message<'_>) -> Event {
    Event::Message {
        participant,
        at,
        message: message.to_buf(),
    }
}

impl From<&Participant> for Box<Peer> {
    fn from(participant: &Participant) -> Self {
        Self::new(participant.peer.clone())
    }
}
