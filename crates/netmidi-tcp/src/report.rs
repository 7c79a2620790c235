//! What became of a message for all clients.

use crate::client::Client;

/// What became of a message for all clients, client by client.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct SendReport {
    pub(crate) reached: usize,
    pub(crate) troubles: Vec<(Client, Trouble)>,
}

/// Why a client, or the peer of a port, is not sent a message by whoever does not wait.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// Its queue is full ([`Overflow::Thin`](crate::Overflow::Thin)).
    #[error("it does not keep up, and misses the message")]
    Dropped,
    /// Its queue is full, and it is disconnected for that
    /// ([`Overflow::Disconnect`](crate::Overflow::Disconnect)).
    #[error("it does not keep up, and is disconnected")]
    Overflowed,
    /// F4, F5, F9 and FD mean nothing on a socket port.
    #[error("the undefined status {status:02X} is never sent: mido and others lose messages by it")]
    Undefined {
        /// The status octet.
        status: u8,
    },
    /// The connection is lost and not yet back; see
    /// [`Connector::reconnect`](crate::Connector::reconnect). Never of a client.
    #[error("there is no connection at the moment; it is being tried again")]
    NotConnected,
    /// It is gone.
    #[error("it is gone")]
    Closed,
}

impl SendReport {
    /// How many clients are sent the message.
    #[must_use]
    pub const fn reached(&self) -> usize {
        self.reached
    }

    /// The clients that are not, and why.
    #[must_use]
    pub fn troubles(&self) -> &[(Client, Trouble)] {
        &self.troubles
    }
}
