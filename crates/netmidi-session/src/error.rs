//! The caller's mistakes. A peer's are counted, see [`crate::SessionStats`].

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use crate::admission::RequestId;
use crate::event::ParticipantId;
use crate::invitee::InviteeId;

/// Why a message was not taken for sending.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no such participant (any more).
    #[error("{participant} is not in the session; send only between its Joined and its Left event")]
    UnknownParticipant {
        /// Who was meant.
        participant: ParticipantId,
    },
    /// More is waiting to be sent to this participant than the configuration allows.
    #[error(
        "{queued} octets are waiting to be sent to {participant}{} and {needed} more pass the limit of {limit}; \
         send slower or raise Config::max_queued_octets",
        Slowly(*bitrate_limit)
    )]
    QueueFull {
        /// Who was meant.
        participant: ParticipantId,
        /// Octets that wait already.
        queued: usize,
        /// Octets of this message.
        needed: usize,
        /// The bound, [`Config::max_queued_octets`](crate::Config::max_queued_octets).
        limit: usize,
        /// The most that this participant is sent, in bits per second of MIDI, which may be why they
        /// wait: it asked for that (RL), or it is paced.
        bitrate_limit: Option<u32>,
    },
    /// The message is scheduled too far ahead.
    #[error(
        "a message is scheduled {} s ahead and no more than {} s are allowed; send it later or raise \
         Config::max_schedule_ahead",
        ahead.as_secs(), max.as_secs()
    )]
    TooFarAhead {
        /// From now to the time of the message.
        ahead: Duration,
        /// The bound, [`Config::max_schedule_ahead`](crate::Config::max_schedule_ahead).
        max: Duration,
    },
    /// F4, F5, F9 and FD are sent only when [`Config::undefined`](crate::Config::undefined) says so.
    #[error(
        "a message with the undefined status {status:#04x} is not sent; \
         set Config::undefined to Carry when the peers of this session know it"
    )]
    Undefined {
        /// The status octet.
        status: u8,
    },
    /// An undefined message (F4, F5) does not fit a packet; only system exclusive can be split.
    #[error(
        "a message of {octets} octets with an undefined status cannot be split and a packet has room \
         for {max}; send less at once or raise Config::packet_budget"
    )]
    TooLarge {
        /// Octets of the message.
        octets: usize,
        /// The most that fits.
        max: usize,
    },
}

/// Why octets wait.
struct Slowly(Option<u32>);

impl fmt::Display for Slowly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(limit) => write!(f, ", which takes no more than {limit} bit/s,"),
            None => Ok(()),
        }
    }
}

/// Why somebody is not invited.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InviteError {
    /// Nobody can be asked nowhere.
    #[error("there is no address to invite; give at least one")]
    NoTarget,
    /// Two invitees at one address could not be told apart.
    #[error("{address} is {invitee} already; withdraw that one first")]
    AlreadyInvited {
        /// Who is invited there.
        invitee: InviteeId,
        /// Where.
        address: SocketAddr,
    },
    /// The bound on invitees is reached.
    #[error("{limit} peers are invited already; withdraw one or raise Config::max_invitees")]
    TooMany {
        /// The bound, [`Config::max_invitees`](crate::Config::max_invitees).
        limit: usize,
    },
    /// There is no such invitee (any more).
    #[error("{invitee} is not invited; it was withdrawn or has ended")]
    Unknown {
        /// Who was meant.
        invitee: InviteeId,
    },
    /// The session was closed.
    #[error("the session is closed and invites nobody")]
    Closed,
}

/// Why there is nothing to decide.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecideError {
    /// There is no such request (any more).
    #[error(
        "{request} is decided already or was withdrawn; if the peer invites again there is another one"
    )]
    UnknownRequest {
        /// Which was meant.
        request: RequestId,
    },
}

/// Why a session cannot be made from a [`Config`](crate::Config).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A participant would be taken for lost between two clock exchanges.
    #[error(
        "Config::clock_interval is {interval:?}; it must be more than 0 and at most {max:?}, half of \
         Config::liveness_timeout"
    )]
    ClockInterval {
        /// What was asked for.
        interval: Duration,
        /// The most.
        max: Duration,
    },
    /// Lists of several commands of one controller would leave no room for anything else.
    #[error(
        "enhanced controllers in packets of {octets} octets leave no room for notes in journals; raise \
         Config::packet_budget to {min} or turn Config::enhanced_controllers off"
    )]
    EnhancedBudget {
        /// Octets of a packet.
        octets: usize,
        /// The least.
        min: usize,
    },
    /// The session name cannot be carried in an AppleMIDI packet.
    #[error(
        "the session name has {octets} octets, at most {max} are allowed; choose a shorter one"
    )]
    NameTooLong {
        /// Length of the name in UTF-8.
        octets: usize,
        /// The largest length.
        max: usize,
    },
    /// A NUL ends the name on the wire.
    #[error("the session name has a NUL at octet {offset}, which would end it there; remove it")]
    NulInName {
        /// Where it is.
        offset: usize,
    },
    /// A bound that must be at least 1 is 0.
    #[error("Config::{field} is 0; it must be at least 1")]
    Zero {
        /// Which field.
        field: &'static str,
    },
}
