//! What comes out of a session for the application.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use core::fmt;
use core::net::SocketAddr;

use netmidi_message::MessageBuf;
use netmidi_wire::Ssrc;

use crate::admission::{Inviter, RequestId};
use crate::invitee::{InviteeId, InviteeState};
use crate::time::Time;
use crate::transmit::PairId;

/// Names a participant for as long as the session exists; never used twice.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ParticipantId(pub(crate) u64);

impl fmt::Display for ParticipantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "participant {}", self.0)
    }
}

/// Who a participant is.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Peer {
    /// The name it gave in its invitation; empty when it gave none.
    pub name: String,
    /// Its identity in the session.
    pub ssrc: Ssrc,
    /// Where its control port is, as seen from here.
    pub control: SocketAddr,
    /// Where its data port is, as seen from here.
    pub data: SocketAddr,
    /// Which of our socket pairs it talks to.
    pub pair: PairId,
    /// Who invited whom.
    pub role: Role,
    /// Whom it is of those that we invite.
    pub invitee: Option<InviteeId>,
}

/// Our part in a session with one peer (AppleMIDI). Once there is a session both do the same, but
/// the initiator compares the clocks and comes back when it is lost.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Role {
    /// We invited. When both did at once: our SSRC is the smaller one.
    Initiator,
    /// We were invited.
    Participant,
}

/// Something the application should know. Poll with
/// [`Session::poll_event`](crate::Session::poll_event).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A participant is connected on both ports.
    Joined {
        /// Its name from now on.
        participant: ParticipantId,
        /// Who it is.
        peer: Box<Peer>,
    },
    /// A participant played something.
    Message {
        /// Who.
        participant: ParticipantId,
        /// When it is meant to sound, on the session clock. In the past by the time on the way for
        /// a peer that plays live; the time of arrival while the peer's clock is not known yet.
        at: Time,
        /// What.
        message: MessageBuf,
        /// Where it comes from.
        origin: Origin,
    },
    /// Packets of a participant did not arrive. The messages that put right what they did come
    /// right before, marked [`Origin::Repaired`].
    Lost {
        /// Whose.
        participant: ParticipantId,
        /// How many, as far as the sequence numbers tell. One that comes late after all is taken
        /// back in [`ParticipantStats::lost`](crate::ParticipantStats::lost).
        packets: u32,
        /// Whether the recovery journal covered all of them. If not, notes were ended and pedals
        /// released to be safe, and other controllers may be wrong until they move again.
        covered: bool,
    },
    /// A participant is gone. No later event names it.
    Left {
        /// Who.
        participant: ParticipantId,
        /// Why.
        reason: LeaveReason,
    },
    /// How far an invitation of ours is. That it led to a session is not told here but by the peer of
    /// [`Event::Joined`].
    Invitee {
        /// Whom we invite.
        invitee: InviteeId,
        /// How far that is.
        state: InviteeState,
    },
    /// Somebody asks to come in, and [`Session::decide`](crate::Session::decide) has to say whether
    /// it may ([`Admission::Ask`](crate::Admission::Ask)).
    Invited {
        /// Its name until it is decided.
        request: RequestId,
        /// Who asks.
        inviter: Box<Inviter>,
    },
    /// Somebody who asked to come in does so no longer: it has given up, or the policy has changed.
    /// There is nothing left to decide.
    Withdrawn {
        /// Which request.
        request: RequestId,
    },
    /// Events of the kinds `Message` and `Lost` were dropped here, because events were not polled
    /// fast enough.
    Overflow {
        /// How many.
        dropped: u64,
    },
}

/// Where a delivered message comes from.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Origin {
    /// A packet brought it.
    Live,
    /// It puts right what a lost packet did, or would have done.
    Repaired,
    /// It silences what a participant left on when it left.
    Silence,
}

impl Event {
    /// Data octets that the event holds: those of a system exclusive or undefined message, 0 for
    /// everything else.
    #[must_use]
    #[inline]
    pub fn data_octets(&self) -> usize {
        match self {
            Self::Message { message, .. } => match message {
                MessageBuf::SysEx(sysex) => sysex.as_sysex().data().len(),
                MessageBuf::Undefined(undefined) => undefined.as_undefined().data().len(),
                MessageBuf::Channel(_) | MessageBuf::Common(_) | MessageBuf::RealTime(_) => 0,
            },
            _ => 0,
        }
    }
}

/// Who ended the membership of a participant.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum LeaveReason {
    /// The peer said BY.
    Bye,
    /// Nothing valid came for [`Config::silence_timeout`](crate::Config::silence_timeout), or
    /// [`Config::liveness_timeout`](crate::Config::liveness_timeout) where that applies.
    Silent,
    /// The same peer was invited in again, after a restart for example.
    Replaced,
    /// The peer does not know the session any more, as after a restart.
    Forgotten,
    /// We ended it.
    Local,
    /// It has never compared clocks with us, so that it may not exist, and the session was full when
    /// somebody else came.
    Displaced,
}

impl fmt::Display for LeaveReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bye => "the peer ended the session",
            Self::Silent => "nothing was heard from the peer for too long",
            Self::Replaced => "the peer connected again",
            Self::Forgotten => "the peer has lost the session, perhaps it restarted",
            Self::Local => "ended here",
            Self::Displaced => "the peer never compared clocks, and its place was needed",
        })
    }
}

/// Events that wait to be polled.
///
/// Bounded: when it is full, messages and losses are dropped and counted, and nobody new joins
/// (see [`is_full`](Self::is_full)). Departures are always kept; there are never more of them than
/// there were joins.
#[derive(Debug)]
pub(crate) struct EventQueue {
    queue: VecDeque<Event>,
    limit: usize,
    /// Data octets that wait, and how many may.
    octets: usize,
    octet_limit: usize,
    /// Dropped and not reported yet.
    unreported: u64,
    /// Dropped since the session began.
    dropped: u64,
}

impl EventQueue {
    pub(crate) const fn new(limit: usize, octet_limit: usize) -> Self {
        Self {
            queue: VecDeque::new(),
            limit,
            octets: 0,
            octet_limit,
            unreported: 0,
            dropped: 0,
        }
    }

    /// Joins and departures.
    pub(crate) fn push(&mut self, event: Event) {
        if !self.is_full() {
            self.report_overflow();
        }
        self.queue.push_back(event);
    }

    /// Everything that a participant can cause many of; `octets` is what
    /// [`data_octets`](Event::data_octets) of the event will be.
    #[inline]
    pub(crate) fn push_bounded(&mut self, octets: usize, event: impl FnOnce() -> Event) {
        self.push_within(self.limit, octets, event);
    }

    /// What silences one who leaves: has as much room again, because nothing else will do it. Nobody
    /// joins while the queue is full, so nobody can fill that room twice.
    pub(crate) fn push_silence(&mut self, event: impl FnOnce() -> Event) {
        self.push_within(self.limit.saturating_mul(2), 0, event);
    }

    #[inline]
    fn push_within(&mut self, limit: usize, octets: usize, event: impl FnOnce() -> Event) {
        // A limit below one message must let that one through.
        let too_much = self.octets > 0 && self.octets + octets > self.octet_limit;
        if self.queue.len() >= limit || (too_much && octets > 0) {
            self.unreported += 1;
            self.dropped += 1;
        } else {
            // It may take the queue one past its limit: a limit of 1 must let messages through.
            self.report_overflow();
            self.octets += octets;
            self.queue.push_back(event());
        }
    }

    /// What was dropped is told in the place where it is missing.
    #[inline]
    fn report_overflow(&mut self) {
        if self.unreported > 0 {
            let dropped = core::mem::take(&mut self.unreported);
            self.queue.push_back(Event::Overflow { dropped });
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.queue.len() >= self.limit
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        if let Some(event) = self.queue.pop_front() {
            self.octets -= event.data_octets();
            return Some(event);
        }
        match core::mem::take(&mut self.unreported) {
            0 => None,
            dropped => Some(Event::Overflow { dropped }),
        }
    }

    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }
}
