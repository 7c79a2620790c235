//! What a bridge tells.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use netmidi_message::MessageBuf;
use netmidi_session::ParticipantId;
use netmidi_tcp::{Address, Closed, ConnectError};

use crate::event::{Event, Peer};

/// Names a TCP connection of a bridge; never used twice by it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TcpId(pub(super) u64);

impl fmt::Display for TcpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}", self.0)
    }
}

/// Who is at the other end of a TCP connection.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TcpPeer {
    /// Names the connection.
    pub id: TcpId,
    /// Where the peer is.
    pub address: SocketAddr,
    /// Which server of ours to connect to it is; `None` for a client that connected here.
    pub server: Option<Address>,
}

impl fmt::Display for TcpPeer {
    /// Its address; with the name of a server.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.server {
            Some(server) => write!(f, "{server}"),
            None => write!(f, "{}", self.address),
        }
    }
}

/// Somebody who plays over a bridge.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Member {
    /// On the RTP-MIDI side.
    Rtp(Arc<Peer>),
    /// On the TCP side.
    Tcp(Arc<TcpPeer>),
}

impl fmt::Display for Member {
    /// Its name, or its address if it has none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rtp(peer) if peer.name.is_empty() => write!(f, "{}", peer.control),
            Self::Rtp(peer) => f.write_str(&peer.name),
            Self::Tcp(peer) => peer.fmt(f),
        }
    }
}

/// Names a [`Member`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum MemberId {
    Rtp(ParticipantId),
    Tcp(TcpId),
}

/// Something that happened at a bridge.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum BridgeEvent {
    /// On the RTP-MIDI side: who comes and goes, and what they play.
    Rtp(Event),
    /// A TCP connection is there.
    TcpConnected {
        /// Who.
        peer: Arc<TcpPeer>,
    },
    /// A TCP peer played something.
    TcpMessage {
        /// Who.
        peer: Arc<TcpPeer>,
        /// What.
        message: MessageBuf,
        /// Whether it is gone, and this ends what it left sounding.
        silence: bool,
    },
    /// A TCP peer sent octets that are no part of a message, in a sentence.
    TcpDiscarded {
        /// Who.
        peer: Arc<TcpPeer>,
        /// Which, and why.
        report: String,
    },
    /// A TCP connection is over. No later event names it.
    TcpDisconnected {
        /// Who.
        peer: Arc<TcpPeer>,
        /// How it ended.
        closed: Closed,
        /// Whether it was ended here because the peer did not take what was sent to it.
        too_slow: bool,
    },
    /// A TCP server cannot be reached. Told once, until it has been; it is tried on.
    TcpUnreachable {
        /// Which.
        server: Address,
        /// Why.
        error: Arc<ConnectError>,
        /// When it is tried again.
        again_in: Duration,
    },
    /// Most of what this member plays was played by others just before: there is a circle over
    /// the network, or two who play the same. See [`Circles`](super::Circles).
    Circle {
        /// Who.
        member: Member,
        /// Whether such messages are dropped.
        dropped: bool,
    },
    /// Events that were not taken fast enough. The messages in them were passed on all the same.
    Missed {
        /// How many.
        count: u64,
    },
}

impl BridgeEvent {
    /// Octets that it takes beside itself.
    pub(super) fn octets(&self) -> usize {
        match self {
            Self::Rtp(Event::Message { message, .. }) | Self::TcpMessage { message, .. } => {
                match message {
                    MessageBuf::SysEx(sysex) => sysex.as_sysex().data().len(),
                    _ => 0,
                }
            }
            _ => 0,
        }
    }
}

/// The counters of a bridge.
///
/// What is counted of each RTP-MIDI peer tells [`Handle::stats`](crate::Handle::stats).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct BridgeStats {
    /// RTP-MIDI peers that are connected.
    pub rtp_peers: usize,
    /// TCP connections that are there.
    pub tcp_peers: usize,
    /// Messages that came from RTP-MIDI peers, whatever became of them.
    pub from_rtp: u64,
    /// Messages that came from TCP peers, whatever became of them.
    pub from_tcp: u64,
    /// Messages passed on to RTP-MIDI peers, counted once for each.
    pub to_rtp: u64,
    /// Messages passed on to TCP peers, counted once for each.
    pub to_tcp: u64,
    /// Note-offs and pedals let go that a receiver was spared, because somebody else still held them.
    pub held_by_others: u64,
    /// F4, F5, F9 and FD.
    pub undefined: u64,
    /// Active sensing.
    pub active_sensing: u64,
    /// System exclusive messages that are not wanted.
    pub sysex_refused: u64,
    /// Messages that somebody else had played just before: those that
    /// [`Circles::Break`](super::Circles) drops.
    pub returned: u64,
    /// Messages that an RTP-MIDI peer's queue had no room for.
    pub rtp_not_sent: u64,
    /// Messages that a TCP peer missed because it does not keep up, with
    /// [`Overflow::Thin`](netmidi_tcp::Overflow::Thin), counted once for each.
    pub tcp_missed: u64,
    /// TCP peers that were disconnected because they did not take what was sent to them.
    pub tcp_too_slow: u64,
    /// How often a TCP connection was made to wait because it sent faster than RTP-MIDI peers are sent.
    pub tcp_slowed_down: u64,
    /// Attempts to connect to a TCP server that failed.
    pub connect_failures: u64,
    /// Events that were not told ([`BridgeEvent::Missed`]).
    pub events_missed: u64,
}
