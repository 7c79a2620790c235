//! What a capture gives: UDP payloads, with when and between whom where that is known.

use std::net::SocketAddr;
use std::time::Duration;

/// One UDP payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Captured<'a> {
    /// The frame of the capture or the line of the text that it came in, from 1.
    pub(crate) number: u64,
    /// When, since 1970.
    pub(crate) time: Option<Duration>,
    /// Who sent it.
    pub(crate) from: Option<SocketAddr>,
    /// To whom.
    pub(crate) to: Option<SocketAddr>,
    pub(crate) payload: &'a [u8],
}
