//! Bodies of the fuzz targets: each takes any octets and panics when something does not hold.
//!
//! The targets in `fuzz/` are one line each; plain tests run the same bodies over their seeds.

mod journal;
mod message;
mod session;
mod tcp;
mod wire;

pub use journal::{journal_parse, journal_repair};
pub use message::{Said, assert_all_accounted, listen, message_stream};
pub use session::session_script;
pub use tcp::{Read, Received, ReceivedHeader, expected, receive, tcp_stream};
pub use wire::{wire_datagram, wire_roundtrip};
