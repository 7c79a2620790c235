//! What a port hears.

use std::net::SocketAddr;

use netmidi_message::MessageBuf;

use crate::codec::DiscardReport;
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
    Discarded(DiscardReport),
    /// The connection is over. With [`Connector::reconnect`](crate::Connector::reconnect) it is being
    /// tried again, otherwise this is the last event.
    Disconnected(Closed),
    /// The connection is back.
    Reconnected {
        /// The address that it leads to now.
        peer: SocketAddr,
    },
}
