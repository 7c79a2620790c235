//! MIDI bytes over TCP on tokio, compatible with the socket ports of Python's mido.

#![forbid(unsafe_code)]

mod codec;
mod header;
mod options;
mod reader;

pub use codec::{DiscardReport, Incoming, MidiCodec};
pub use header::{Header, HeaderError, MAX_HEADER_LINES, MAX_HEADER_OCTETS};
pub use options::{AtEnd, Options, Overflow, SysEx};
