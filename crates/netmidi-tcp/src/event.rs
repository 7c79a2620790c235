//! What a port hears.

use std::fmt;
use std::net::SocketAddr;

use netmidi_message::{DiscardReason, Discarded, MessageBuf};

use crate::error::Closed;
use crate::header::Header;

/// What a port hears, for those who want more than messages.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A message of the peer.
    Message(MessageBuf),
    /// The peer is gone and left something sounding: this ends it.
    /// See [`AtEnd`](crate::AtEnd).
    Silence(MessageBuf),
    /// The peer's header lines; at most once a connection, before its first message.
    Header(Header),
    /// Octets that are no part of a message.
    Discarded(Report),
    /// The connection is over. With [`Connector::reconnect`](crate::Connector::reconnect) it is being
    /// tried again, otherwise this is the last event.
    Disconnected(Closed),
    /// The connection is back.
    Reconnected {
        /// The address that it leads to now.
        peer: SocketAddr,
    },
}

/// Octets that are no part of a message, in short.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    /// What is wrong with them.
    pub reason: DiscardReason,
    /// Where the first of them is, in octets since the beginning of the connection.
    pub offset: u64,
    /// How many there are.
    pub octets: usize,
    /// The first of them, at most [`Self::SHOWN`].
    pub beginning: Vec<u8>,
}

impl Report {
    /// So many octets are kept.
    pub const SHOWN: usize = 16;
}

impl From<Discarded<'_>> for Report {
    fn from(discarded: Discarded<'_>) -> Self {
        let Discarded {
            reason,
            bytes,
            offset,
        } = discarded;
        Self {
            reason,
            offset,
            octets: bytes.len(),
            beginning: bytes.iter().take(Self::SHOWN).copied().collect(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            reason,
            offset,
            octets,
            ..
        } = self;
        let s = if *octets == 1 { "" } else { "s" };
        write!(
            f,
            "{octets} octet{s} discarded from octet {offset} on: {reason}"
        )
    }
}
