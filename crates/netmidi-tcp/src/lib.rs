//! MIDI bytes over TCP on tokio, compatible with the socket ports of Python's mido.

#![forbid(unsafe_code)]

mod header;
mod options;
mod reader;
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "the server, which uses it, comes with its own change"
    )
)]
mod thinning;

pub use header::Header;
pub use options::{AtEnd, Options, Overflow, SysEx};
