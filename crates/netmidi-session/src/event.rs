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
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ParticipantId(u64);

impl ParticipantId {
    /// The least and the greatest that there can be.
    pub(crate) const BOUNDS: (Self, Self) = (Self(0), Self(u64::MAX));

    /// The lower bits are the slot where the participant is, the rest counts those who joined: so
    /// ids stand in the order of joining. A million of these a second last for twelve days.
    const SLOT_BITS: u32 = 24;
    /// So many participants can be told apart at the same time.
    pub(crate) const SLOTS: usize = 1 << Self::SLOT_BITS;

    /// Who joined after `joins` others, in a slot less than [`SLOTS`](Self::SLOTS).
    pub(crate) const fn new(joins: u64, slot: usize) -> Self {
        Self((joins << Self::SLOT_BITS) | slot as u64)
    }

    pub(crate) const fn slot(self) -> usize {
        self.0 as usize & (Self::SLOTS - 1)
    }

    /// How many joined before: no two have that in common.
    const fn number(self) -> u64 {
        self.0 >> Self::SLOT_BITS
    }
}

impl fmt::Debug for ParticipantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ParticipantId")
            .field(&self.number())
            .finish()
    }
}

impl fmt::Display for ParticipantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "participant {}", self.number())
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
        /// How many messages that put something right came right before. More may follow with later
        /// packets, where a journal had no room for all.
        repaired: u32,
    },
    /// A clock exchange with a participant was completed, begun by either side. Told only with
    /// [`Config::clock_events`](crate::Config::clock_events), and while there is room for events.
    /// [`Session::participant_clock`](crate::Session::participant_clock) tells what came of it.
    Synchronised {
        /// With whom.
        participant: ParticipantId,
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
    /// Events of the kinds `Message` and `Lost` of a participant were dropped, because events were not
    /// polled fast enough. The messages that take the application from what it heard last to the true
    /// state follow, marked [`Origin::Restored`], or [`Origin::Silence`] when the participant leaves.
    /// System exclusive messages among those dropped are lost.
    Overflow {
        /// Whose.
        participant: ParticipantId,
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
    /// It restores what the application missed because it polled too slowly.
    Restored,
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
/// Bounded: when it is full, nothing more is taken of what a participant plays, and nobody new joins
/// (see [`is_full`](Self::is_full)). A packet is taken whole or not at all, so there is room for those
/// events that one packet brings beyond the limit, for what a participant's delay held already, and
/// for what restores or silences one participant. Departures are always kept; there are never more of
/// them than there were joins.
#[derive(Debug)]
pub(crate) struct EventQueue {
    queue: VecDeque<Event>,
    limit: usize,
    /// Data octets that wait, and how many may.
    octets: usize,
    octet_limit: usize,
    /// Participants of whom events were dropped, which is to be made good.
    behind: VecDeque<ParticipantId>,
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
            behind: VecDeque::new(),
            dropped: 0,
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, event: Event) {
        self.octets += event.data_octets();
        self.queue.push_back(event);
    }

    /// An event was not taken.
    pub(crate) const fn drop_one(&mut self) {
        self.dropped += 1;
    }

    /// From now on events of this participant are dropped.
    pub(crate) fn fall_behind(&mut self, participant: ParticipantId) {
        self.behind.push_back(participant);
    }

    /// Whose losses are to be made good next, if there is room for that.
    pub(crate) fn next_behind(&mut self) -> Option<ParticipantId> {
        let has_room = self.queue.len() <= self.limit / 2 && self.octets <= self.octet_limit / 2;
        if has_room {
            self.behind.pop_front()
        } else {
            None
        }
    }

    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.queue.len() >= self.limit || self.octets >= self.octet_limit
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        let event = self.queue.pop_front()?;
        self.octets -= event.data_octets();
        Some(event)
    }

    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }
}
