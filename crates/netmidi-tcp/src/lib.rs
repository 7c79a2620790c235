//! MIDI bytes over TCP on tokio, compatible with the socket ports of Python's mido.
//!
//! Uses `netmidi-message`, and none of the crates for RTP-MIDI, with which it shares nothing but the
//! messages. A server in two lines, and a client for it:
//!
//! ```
//! use futures::StreamExt;
//! use netmidi_message::{Channel, ChannelMessage, Note, U7};
//! use netmidi_tcp::{PortServer, connect};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut server = PortServer::bind(0).await?;
//! let output = connect(server.local_addr()).await?;
//! output.send(ChannelMessage::note_on(Channel::C1, Note::MIDDLE_C, U7::MAX)).await?;
//!
//! while let Some((client, message)) = server.next().await {
//!     println!("{client}: {message}");
//! #   assert_eq!(message.to_string(), "note_on channel=0 note=60 velocity=127");
//! #   break;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What is here
//!
//! - [`PortServer`]: all clients as one stream of `(Client, MessageBuf)` and one place to send to;
//!   or each taken out as a port of its own with [`accept`](PortServer::accept).
//! - [`connect`] and [`Connector`]: one connection, with a time-out, to whichever address of a name
//!   answers first, and again when it is lost if that is wanted.
//! - [`SocketPort`]: a connection, as a `Stream` and a `Sink`, or with calls that wait, do not wait,
//!   or wait for so long.
//! - [`blocking`]: the same for programs without tokio.
//! - [`Options`]: what is received and what not, bounds, time-outs, and what becomes of a client that
//!   does not keep up. [`ServerBuilder`]: who may connect, and how many.
//! - [`MidiCodec`]: the octets alone, for `tokio_util::codec::Framed` over anything.
//! - `tls`: encrypted connections, with the feature of that name.
//!
//! A task of the runtime serves each connection, so a peer that leaves is noticed, and what was sent
//! goes out, also while nobody asks. A message that is sent goes to the system at once; those that
//! follow it in the same turn go together.
//!
//! # Who may connect
//!
//! Nobody outside this machine, unless told otherwise: a port alone (`8080`) is loopback, `:8080` is
//! every interface. There is no password. On a network use [`ServerBuilder::allow`], `tls` with
//! client certificates, and [`SysEx::Refuse`] where nobody has to change patches.
//!
//! # What is left out
//!
//! Time: messages are executed when they arrive. RTP-MIDI over TCP (RFC 4571), which is something else.
//!
//! # Documents it follows
//!
//! - *MIDI 1.0 Detailed Specification*, 4.2.1.
//! - The page on socket ports of mido 1.3, and its parser.
//! - RFC 9110 for header lines, RFC 8446 for TLS. `docs/socket-port.md` says what is made of them.
//!
//! # Features
//!
//! - `tls`: encrypted connections. Costs rustls and ring, so a C compiler for the build.
//!
//! Beside that it costs the standard library, tokio (`net`, `rt`, `sync`, `time`), one task for each
//! connection and one for each address that is listened on.

#![forbid(unsafe_code)]

mod address;
mod allow;
pub mod blocking;
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
mod refusal;
mod report;
mod server;
mod stats;
mod thinning;
#[cfg(feature = "tls")]
pub mod tls;
mod transport;
mod waiters;

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
pub use refusal::Refusal;
pub use report::{SendReport, Trouble};
pub use server::{PortServer, ServerBuilder, ServerClosed, ServerEvent, ServerHandle, ServerStats};
pub use stats::PortStats;

/// The programs in the text for those who come from mido.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/from-mido.md")]
struct FromMido;
