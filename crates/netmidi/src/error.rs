//! What can go wrong for whoever runs an endpoint.

use std::io;
use std::net::SocketAddr;

use netmidi_session::{ConfigError, ParticipantId, Port};

/// Why an endpoint could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration contradicts itself.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// One of the two ports of a pair could not be opened.
    #[error("cannot listen on {address}, the {} port{}", port_name(*.port), advice(*.port, .source))]
    Bind {
        /// Which of the two.
        port: Port,
        /// Its address.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// The control port has no port above it for data.
    #[error(
        "cannot use {address} as control port: the data port is the one above it, so 65534 is the highest"
    )]
    NoDataPort {
        /// The address asked for.
        address: SocketAddr,
    },
    /// No even port with a free neighbour was found.
    #[error("found no two free neighbouring ports on {ip} in {tries} tries; name a control port")]
    NoFreePair {
        /// The local address.
        ip: std::net::IpAddr,
        /// How often it was tried.
        tries: usize,
    },
    /// The operating system gave no random numbers, which keep strangers from guessing identities.
    #[error("the operating system gives no random numbers for session identities: {0}")]
    Random(getrandom::Error),
    /// An endpoint lives on a tokio runtime.
    #[error("there is no tokio runtime here; open the endpoint inside one")]
    NoRuntime,
    /// The operating system gave no thread, or nothing to wait for sockets with. Only for
    /// [`blocking`](crate::blocking).
    #[error(
        "the operating system gives no thread to serve sockets in; end some programs and try again"
    )]
    Runtime(#[source] io::Error),
}

const fn port_name(port: Port) -> &'static str {
    match port {
        Port::Control => "control",
        Port::Data => "data",
    }
}

/// What to do next; the cause itself is the `source`.
fn advice(port: Port, source: &io::Error) -> &'static str {
    match (source.kind(), port) {
        (io::ErrorKind::AddrInUse, Port::Control) => {
            ": it is taken; end the program that holds it or choose another port"
        }
        (io::ErrorKind::AddrInUse, Port::Data) => {
            ": it is taken, and it must be the one above the control port; \
             end the program that holds it or choose another control port"
        }
        (io::ErrorKind::AddrNotAvailable, _) => ": no interface of this machine has that address",
        (io::ErrorKind::PermissionDenied, _) => {
            ": not allowed; ports below 1024 need special rights, choose a higher one"
        }
        _ => "",
    }
}

/// Why somebody is not invited.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InviteError {
    /// The address cannot be read.
    #[error(transparent)]
    Address(#[from] crate::address::AddressError),
    /// The endpoint is closed.
    #[error("the endpoint is closed and invites nobody")]
    Closed,
}

/// Why a message was not taken for sending.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The endpoint is closed.
    #[error("the endpoint is closed")]
    Closed,
    /// There is no such participant (any more).
    #[error(
        "{participant} is not connected; send only between its Connected and its Disconnected event"
    )]
    NotConnected {
        /// Who was meant.
        participant: ParticipantId,
    },
    /// More is waiting than the endpoint's task has taken; it is kept from running.
    #[error(
        "{limit} octets are waiting for the endpoint's task, which gets no time to run; \
         yield to the runtime between messages"
    )]
    Backlog {
        /// The bound.
        limit: usize,
    },
}
