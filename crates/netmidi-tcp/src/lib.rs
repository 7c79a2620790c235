//! MIDI bytes over TCP on tokio, compatible with the socket ports of Python's mido.

#![forbid(unsafe_code)]

mod header;
mod options;
mod reader;
#[cfg(feature = "tls")]
pub mod tls;

pub use header::Header;
pub use options::{AtEnd, Options, Overflow, SysEx};
