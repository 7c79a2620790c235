//! Joining and leaving: `IN`, `OK`, `NO`, `BY`.

use core::fmt;

use netmidi_message::BufferTooSmall;
use nom::number::complete::be_u32;

use super::{ControlCode, HEAD_LEN, SIGNATURE, truncated};
use crate::encode::put_all;
use crate::error::ParseError;
use crate::parse;
use crate::rtp::Ssrc;

/// An invitation, an answer to one, or the end of a session.
///
/// ```text
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |     0xFF      |     0xFF      |    'IN', 'OK', 'NO' or 'BY'   |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                     protocol version = 2                      |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                        initiator token                        |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                  SSRC of who sends this packet                |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |  name, UTF-8, ends with 0; may be absent                     …
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Exchange<'a> {
    /// Which of the four.
    pub kind: ExchangeKind,
    /// The invitation that this belongs to.
    pub token: Token,
    /// Who sends this packet.
    pub ssrc: Ssrc,
    /// What the sender calls itself or its session.
    ///
    /// `None` when nothing follows the SSRC: macOS sends its `NO` without. Never read from a `BY`.
    pub name: Option<SessionName<'a>>,
}

/// Which of the packets that share a layout.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ExchangeKind {
    /// `IN`: may I join you?
    Invitation,
    /// `OK`: yes.
    Accepted,
    /// `NO`: no.
    Rejected,
    /// `BY`: I leave.
    End,
}

/// The number by which an answer is matched with its invitation, chosen at random by whoever
/// invites.
///
/// In a `BY` it means little: macOS and the Arduino library send 0 or something else.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Token(pub u32);

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// The name of a session: octets without a 0, meant to be UTF-8.
///
/// `Display` shows it with U+FFFD in place of what is not UTF-8.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct SessionName<'a>(&'a [u8]);

const VERSION: u32 = 2;

impl<'a> Exchange<'a> {
    /// Octets on the wire without a name.
    pub const MIN_LEN: usize = 16;

    /// Reads what follows the command.
    pub(super) fn parse(kind: ExchangeKind, body: &'a [u8]) -> Result<Self, ParseError> {
        let (rest, (version, token, ssrc)) = parse::fields(body, (be_u32, be_u32, be_u32), || {
            truncated(kind.code(), body, Self::MIN_LEN)
        })?;
        let (token, ssrc) = (Token(token), Ssrc(ssrc));
        if version != VERSION {
            return Err(ParseError::BadVersion {
                version,
                kind,
                token,
                ssrc,
            });
        }
        let name = match (kind, rest) {
            (ExchangeKind::End, _) | (_, []) => None,
            (_, octets) => Some(SessionName::from_octets(octets)),
        };
        Ok(Self {
            kind,
            token,
            ssrc,
            name,
        })
    }

    /// Octets on the wire.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        match self.name {
            Some(name) => Self::MIN_LEN + name.0.len() + 1,
            None => Self::MIN_LEN,
        }
    }

    /// Writes the packet to the beginning of `out` and returns how many octets it took.
    ///
    /// # Errors
    /// When `out` is shorter than [`encoded_len`](Self::encoded_len); nothing is written then.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let ControlCode(letters) = self.kind.code();
        let (name, end): (&[u8], &[u8]) = match self.name {
            Some(name) => (name.0, &[0]),
            None => (&[], &[]),
        };
        put_all(
            out,
            &[
                &SIGNATURE,
                &letters,
                &VERSION.to_be_bytes(),
                &self.token.0.to_be_bytes(),
                &self.ssrc.0.to_be_bytes(),
                name,
                end,
            ],
        )
    }

    /// The packet as octets.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn to_vec(&self) -> alloc::vec::Vec<u8> {
        crate::encode::to_vec(self.encoded_len(), |out| self.encode(out))
    }
}

impl ExchangeKind {
    /// The two letters on the wire.
    #[must_use]
    pub const fn code(self) -> ControlCode {
        ControlCode(match self {
            Self::Invitation => *b"IN",
            Self::Accepted => *b"OK",
            Self::Rejected => *b"NO",
            Self::End => *b"BY",
        })
    }

    /// The kind with these letters, if they are of one.
    #[must_use]
    pub const fn from_code(code: ControlCode) -> Option<Self> {
        Some(match &code.0 {
            b"IN" => Self::Invitation,
            b"OK" => Self::Accepted,
            b"NO" => Self::Rejected,
            b"BY" => Self::End,
            _ => return None,
        })
    }
}

impl<'a> SessionName<'a> {
    /// A name to be sent; it ends before the first NUL, which the wire cannot carry.
    ///
    /// Some receivers keep only 24 characters.
    #[must_use]
    pub fn new(name: &'a str) -> Self {
        Self::from_octets(name.as_bytes())
    }

    /// The octets up to the first 0, or all of them.
    #[must_use]
    pub fn from_octets(octets: &'a [u8]) -> Self {
        Self(octets.split(|&octet| octet == 0).next().unwrap_or_default())
    }

    /// The octets as sent, without the 0 at the end.
    #[must_use]
    pub const fn as_octets(self) -> &'a [u8] {
        self.0
    }

    /// The name, when it is the UTF-8 it should be.
    #[must_use]
    pub const fn as_str(self) -> Option<&'a str> {
        match core::str::from_utf8(self.0) {
            Ok(name) => Some(name),
            Err(_) => None,
        }
    }

    /// The name with U+FFFD in place of what is not UTF-8.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn to_string_lossy(self) -> alloc::borrow::Cow<'a, str> {
        alloc::string::String::from_utf8_lossy(self.0)
    }
}

impl<'a> From<&'a str> for SessionName<'a> {
    fn from(name: &'a str) -> Self {
        Self::new(name)
    }
}

impl fmt::Display for SessionName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_str("\u{FFFD}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for SessionName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionName(\"{}\")", self.0.escape_ascii())
    }
}

const _: () = assert!(Exchange::MIN_LEN == HEAD_LEN + 3 * 4);
