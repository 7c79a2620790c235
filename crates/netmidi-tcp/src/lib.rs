//! MIDI bytes over TCP on tokio, compatible with the socket ports of Python's mido.

#![forbid(unsafe_code)]

mod address;
mod allow;
mod client;
mod codec;
mod connect;
mod driver;
mod error;
mod event;
mod header;
mod link;
mod options;
mod outbox;
mod port;
mod reader;
mod report;
mod server;
mod stats;
mod thinning;
#[cfg(feature = "tls")]
pub mod tls;
mod transport;

pub use address::{Address, AddressError, ListenAddress};
pub use client::{Client, ClientId};
pub use codec::{DiscardReport, Incoming, MidiCodec};
pub use connect::{Backoff, Connector, connect};
pub use error::{
    BindError, CloseReason, Closed, ConnectError, Incomplete, ReceiveTimeout, SendError,
};
pub use event::Event;
pub use header::{Header, HeaderError, MAX_HEADER_LINES, MAX_HEADER_OCTETS};
pub use ipnet::IpNet;
pub use netmidi_message as message;
pub use netmidi_message::Dialect;
pub use options::{AtEnd, Options, Overflow, SysEx};
pub use port::{Pending, ReceiveHalf, SendHalf, SocketPort};
pub use report::{SendReport, Trouble};
pub use server::{PortServer, ServerBuilder, ServerClosed, ServerEvent, ServerHandle, ServerStats};
pub use stats::PortStats;
