//! What can go wrong, in sentences that say what to do.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::address::AddressError;

/// The beginning of a message, cut by the end of the connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Incomplete {
    /// How many octets of it there were.
    pub octets: u64,
    /// The first of them, at most [`Self::SHOWN`].
    pub beginning: Vec<u8>,
}

impl Incomplete {
    /// So many octets of it are kept.
    pub const SHOWN: usize = 16;
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, octet) in self.beginning.iter().enumerate() {
            let gap = if at == 0 { "" } else { " " };
            write!(f, "{gap}{octet:02x}")?;
        }
        if self.octets > self.beginning.len() as u64 {
            write!(f, " ..., {} octets", self.octets)?;
        }
        Ok(())
    }
}

/// How a connection ended.
#[derive(Clone, Debug)]
pub struct Closed {
    /// Who or what ended it.
    pub reason: CloseReason,
    /// The message in the middle of which the peer was. All whole ones were received before.
    pub incomplete: Option<Incomplete>,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)?;
        match &self.incomplete {
            Some(incomplete) => write!(f, ", in the middle of a message ({incomplete})"),
            None => Ok(()),
        }
    }
}

/// Who or what ended a connection.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// This side closed it.
    #[error("closed on this side")]
    Local,
    /// The peer closed it.
    #[error("the peer closed the connection")]
    Peer,
    /// The peer's system cut it: its program ended badly, or threw away what was sent to it.
    #[error("the peer reset the connection")]
    Reset,
    /// The peer's system gives no answer any more.
    #[error(
        "the peer's machine does not answer any more; see that it runs and that the network does"
    )]
    Unreachable,
    /// The peer did not take what was sent to it.
    #[error("the peer took nothing while {limit} octets waited for it; it hangs, or is too slow")]
    Overflow {
        /// The bound, [`Options::send_limit`](crate::Options::send_limit).
        limit: usize,
    },
    /// The peer sent nothing for too long.
    #[error("nothing was received from the peer for {} s", .after.as_secs_f32())]
    Idle {
        /// The bound, [`Options::idle_timeout`](crate::Options::idle_timeout).
        after: Duration,
    },
    /// The peer speaks TLS, and this side does not.
    #[error("the peer speaks TLS and this port does not; switch TLS on here or off there")]
    SpeaksTls,
    /// The tokio runtime that served the connection is gone.
    #[error("the tokio runtime that served the connection was shut down; close ports before it")]
    Shutdown,
    /// The encrypted connection broke.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(crate::tls::TlsError),
    /// Anything else that the operating system reports.
    #[error("the connection broke: {0}")]
    Io(Arc<io::Error>),
}

impl CloseReason {
    pub(crate) fn of(error: io::Error) -> Self {
        #[cfg(feature = "tls")]
        if let Some(error) = crate::tls::explain(&error) {
            return Self::Tls(error);
        }
        match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Self::Reset,
            io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable => Self::Unreachable,
            _ => Self::Io(Arc::new(error)),
        }
    }
}

/// Why a message was not taken for sending.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The connection is over.
    #[error("the port is closed: {0}")]
    Closed(Closed),
    /// The connection is lost and not yet back; see [`Connector::reconnect`](crate::Connector::reconnect).
    #[error("there is no connection at the moment; it is being tried again")]
    NotConnected,
    /// As much waits for the peer as may. Only without waiting.
    #[error("{limit} octets wait for the peer already; wait until it has taken them, or close")]
    Full {
        /// The bound, [`Options::send_limit`](crate::Options::send_limit).
        limit: usize,
    },
    /// F4, F5, F9 and FD mean nothing on a socket port.
    #[error("the undefined status {status:02X} is never sent: mido and others lose messages by it")]
    Undefined {
        /// The status octet.
        status: u8,
    },
}

/// Why no message came in time.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReceiveTimeout {
    /// There was none.
    #[error("no message was received in time")]
    TimedOut,
    /// There will be none any more.
    #[error("the port is closed: {0}")]
    Closed(Closed),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address cannot be read.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The name cannot be looked up.
    #[error(
        "the name {host} cannot be looked up; see that it is right, or use the address in numbers"
    )]
    Lookup {
        /// The name.
        host: String,
        /// What the system says.
        source: io::Error,
    },
    /// None of the addresses can be connected to. The `source` is about the last one tried.
    #[error("cannot connect to {address}{}", connect_advice(.source))]
    Failed {
        /// The last one tried.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// There was no answer in time.
    #[error(
        "no answer from {address} within {} s; see that the machine runs and that no firewall is in between",
        .after.as_secs_f32()
    )]
    TimedOut {
        /// Name and port.
        address: String,
        /// The bound, [`Connector::timeout`](crate::Connector::timeout).
        after: Duration,
    },
    /// The encrypted connection did not come about.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] crate::tls::TlsError),
    /// A port lives on a tokio runtime.
    #[error("there is no tokio runtime here; connect inside one, or use the blocking module")]
    NoRuntime,
    /// The system gives no thread. Only for [`blocking`](crate::blocking).
    #[error(
        "the operating system gives no thread to serve sockets in; end some programs and try again"
    )]
    Runtime(#[source] io::Error),
}

fn connect_advice(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::ConnectionRefused => {
            ": nothing listens there; see that the server runs and that the port is right"
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            ": there is no way to it; see that both machines are in the same network"
        }
        io::ErrorKind::TimedOut => {
            ": no answer; see that the machine runs and that no firewall is in between"
        }
        io::ErrorKind::ConnectionReset => {
            ": it hung up at once; a server may have a list of who is allowed, or be full"
        }
        _ => "",
    }
}

/// Why a server cannot listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The address cannot be read.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The name cannot be looked up.
    #[error(
        "the name {host} cannot be looked up; listen on an address in numbers, or on :{port} for every interface"
    )]
    Lookup {
        /// The name.
        host: String,
        /// The port asked for.
        port: u16,
        /// What the system says.
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}{}", bind_advice(.source))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A server lives on a tokio runtime.
    #[error(
        "there is no tokio runtime here; open the server inside one, or use the blocking module"
    )]
    NoRuntime,
    /// The system gives no thread. Only for [`blocking`](crate::blocking).
    #[error(
        "the operating system gives no thread to serve sockets in; end some programs and try again"
    )]
    Runtime(#[source] io::Error),
}

fn bind_advice(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            ": it is taken; end the program that holds it or choose another port"
        }
        io::ErrorKind::AddrNotAvailable => ": no interface of this machine has that address",
        io::ErrorKind::PermissionDenied => {
            ": not allowed; ports below 1024 need special rights, choose a higher one"
        }
        _ => "",
    }
}
