//! Where a datagram came from and where one goes.

use core::net::SocketAddr;

/// Which of the two sockets of a pair.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Port {
    /// The lower port: invitations, farewells, feedback.
    Control,
    /// The port above it: clock synchronisation and MIDI.
    Data,
}

/// One of the socket pairs that a session listens on, numbered by the caller.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PairId(pub u16);

/// One of the caller's sockets.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LocalPort {
    /// Which pair.
    pub pair: PairId,
    /// Which socket of the pair.
    pub port: Port,
}

impl LocalPort {
    /// The control socket of a pair.
    #[must_use]
    pub const fn control(pair: PairId) -> Self {
        Self {
            pair,
            port: Port::Control,
        }
    }

    /// The data socket of a pair.
    #[must_use]
    pub const fn data(pair: PairId) -> Self {
        Self {
            pair,
            port: Port::Data,
        }
    }
}

/// Where to send the octets that [`Session::poll_transmit`](crate::Session::poll_transmit) wrote.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Transmit {
    /// The socket to send from.
    pub from: LocalPort,
    /// The address to send to.
    pub to: SocketAddr,
}
