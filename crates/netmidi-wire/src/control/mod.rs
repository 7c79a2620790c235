//! Packets of Apple's session protocol.

mod bitrate;
mod clock;
mod exchange;
mod feedback;

use core::fmt;

use netmidi_message::BufferTooSmall;

pub use bitrate::BitrateLimit;
pub use clock::{ClockCount, ClockSync, ClockTicks};
pub use exchange::{Exchange, ExchangeKind, SessionName, Token};
pub use feedback::Feedback;

use crate::error::ParseError;

/// What every session packet begins with.
pub(crate) const SIGNATURE: [u8; 2] = [0xFF; 2];
/// Octets of the signature and the command.
const HEAD_LEN: usize = 4;

/// A packet of Apple's session protocol (Apple, MIDI Network Driver Protocol).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |     0xFF      |     0xFF      |   command, two ASCII letters  |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Control<'a> {
    /// `IN`, `OK`, `NO`, `BY`: joining and leaving.
    Exchange(Exchange<'a>),
    /// `CK`: what time it is.
    Clock(ClockSync),
    /// `RS`: what has arrived.
    Feedback(Feedback),
    /// `RL`: how much may be sent.
    BitrateLimit(BitrateLimit),
}

impl<'a> Control<'a> {
    /// Reads a session packet, its FF FF included.
    ///
    /// Octets after the end of a packet are ignored, as peers may add fields.
    ///
    /// # Errors
    /// When it does not begin with FF FF, is not a known command, is shorter than its command
    /// asks for, has another protocol version than 2 or an unknown clock count.
    pub fn parse(octets: &'a [u8]) -> Result<Self, ParseError> {
        let end = octets.len();
        if let Some((&found, _)) = octets.split_first_chunk()
            && found != SIGNATURE
        {
            return Err(ParseError::BadSignature { found });
        }
        let Some(([_, _, letters @ ..], body)) = octets.split_first_chunk::<HEAD_LEN>() else {
            return Err(ParseError::TruncatedSignature { offset: end });
        };
        let command = ControlCode(*letters);
        if let Some(kind) = ExchangeKind::from_code(command) {
            return Exchange::parse(kind, body).map(Self::Exchange);
        }
        match command {
            ControlCode::CLOCK => ClockSync::parse(body).map(Self::Clock),
            ControlCode::FEEDBACK => Feedback::parse(body).map(Self::Feedback),
            ControlCode::BITRATE_LIMIT => BitrateLimit::parse(body).map(Self::BitrateLimit),
            _ => Err(ParseError::UnknownCommand { command }),
        }
    }

    /// Octets on the wire.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        match self {
            Self::Exchange(packet) => packet.encoded_len(),
            Self::Clock(_) => ClockSync::LEN,
            Self::Feedback(_) => Feedback::LEN,
            Self::BitrateLimit(_) => BitrateLimit::LEN,
        }
    }

    /// Writes the packet to the beginning of `out` and returns how many octets it took.
    ///
    /// # Errors
    /// When `out` is shorter than [`encoded_len`](Self::encoded_len); nothing is written then.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
        match self {
            Self::Exchange(packet) => packet.encode(out),
            Self::Clock(packet) => packet.encode(out),
            Self::Feedback(packet) => packet.encode(out),
            Self::BitrateLimit(packet) => packet.encode(out),
        }
    }

    /// The packet as octets.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn to_vec(&self) -> alloc::vec::Vec<u8> {
        crate::encode::to_vec(self.encoded_len(), |out| self.encode(out))
    }
}

/// The two letters that tell what a session packet is.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct ControlCode(pub [u8; 2]);

impl ControlCode {
    /// `CK`.
    pub const CLOCK: Self = Self(*b"CK");
    /// `RS`.
    pub const FEEDBACK: Self = Self(*b"RS");
    /// `RL`.
    pub const BITRATE_LIMIT: Self = Self(*b"RL");
}

impl fmt::Display for ControlCode {
    /// The letters, or what a byte string literal shows for other octets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for ControlCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ControlCode({self})")
    }
}

/// Says that a packet of `command` has only `body` after its head.
fn truncated(command: ControlCode, body: &[u8], needed: usize) -> ParseError {
    ParseError::TruncatedControl {
        command,
        offset: HEAD_LEN + body.len(),
        needed,
    }
}
