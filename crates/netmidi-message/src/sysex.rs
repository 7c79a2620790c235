//! System exclusive messages, and the two undefined system common messages that carry data.

use core::fmt;

/// Whether every octet is a data octet, 0x00 to 0x7F.
#[must_use]
#[inline]
pub(crate) fn is_data(octets: &[u8]) -> bool {
    octets.is_ascii()
}

/// Splits `bytes` after the data octets at its beginning.
#[must_use]
#[inline]
pub(crate) fn data_prefix(bytes: &[u8]) -> (&[u8], &[u8]) {
    // Eight octets at a time as far as they are all data octets.
    let (words, _) = bytes.as_chunks();
    let whole = words
        .iter()
        .take_while(|word| u64::from_ne_bytes(**word) & 0x8080_8080_8080_8080 == 0)
        .count();
    let tail = bytes.get(whole * 8..).unwrap_or_default();
    let more = tail
        .iter()
        .position(|&octet| octet >= 0x80)
        .unwrap_or(tail.len());
    bytes
        .split_at_checked(whole * 8 + more)
        .unwrap_or((bytes, &[]))
}

/// A complete system exclusive message: its data octets, without the F0 and F7 around them.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct SysEx<'a>(&'a [u8]);

impl<'a> SysEx<'a> {
    /// A message with these data octets, or `None` when one of them is above 0x7F.
    #[must_use]
    #[inline]
    pub fn new(data: &'a [u8]) -> Option<Self> {
        is_data(data).then_some(Self(data))
    }

    /// For callers in this crate that have looked at every octet already.
    #[inline]
    pub(crate) const fn from_checked(data: &'a [u8]) -> Self {
        Self(data)
    }

    /// The data octets between F0 and F7.
    #[must_use]
    #[inline]
    pub const fn data(self) -> &'a [u8] {
        self.0
    }

    /// Octets on the wire, F0 and F7 included.
    #[must_use]
    #[inline]
    pub const fn encoded_len(self) -> usize {
        self.0.len() + 2
    }

    /// The identity of the maker: one octet, or three of which the first is 0.
    ///
    /// `None` when the message is too short to have one.
    #[must_use]
    pub fn manufacturer(self) -> Option<&'a [u8]> {
        match self.0 {
            [0, _, _, ..] => self.0.get(..3),
            [0, ..] | [] => None,
            [_, ..] => self.0.get(..1),
        }
    }

    /// Whether it is a universal message: 7E (not real time) or 7F (real time).
    #[must_use]
    pub const fn is_universal(self) -> bool {
        matches!(self.0, [0x7E | 0x7F, ..])
    }
}

impl fmt::Debug for SysEx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SysEx({:02x?})", self.0)
    }
}

/// Which of the two undefined system common messages.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(u8)]
pub enum UndefinedStatus {
    /// Status F4.
    F4 = 0xF4,
    /// Status F5.
    F5 = 0xF5,
}

impl UndefinedStatus {
    /// The one with this status octet.
    #[must_use]
    #[inline]
    pub const fn from_status(status: u8) -> Option<Self> {
        match status {
            0xF4 => Some(Self::F4),
            0xF5 => Some(Self::F5),
            _ => None,
        }
    }

    /// The status octet.
    #[must_use]
    #[inline]
    pub const fn status(self) -> u8 {
        self as u8
    }
}

/// An undefined system common message, F4 or F5, with whatever data octets follow it.
///
/// MIDI 1.0 gives it no meaning and no length: it reaches to the next status octet. RTP-MIDI can
/// carry it where a session allows that (RFC 6295 §3.2).
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct Undefined<'a> {
    status: UndefinedStatus,
    data: &'a [u8],
}

impl<'a> Undefined<'a> {
    /// A message with these data octets, or `None` when one of them is above 0x7F.
    #[must_use]
    #[inline]
    pub fn new(status: UndefinedStatus, data: &'a [u8]) -> Option<Self> {
        is_data(data).then_some(Self { status, data })
    }

    /// For callers in this crate that have looked at every octet already.
    #[inline]
    pub(crate) const fn from_checked(status: UndefinedStatus, data: &'a [u8]) -> Self {
        Self { status, data }
    }

    /// Which of the two.
    #[must_use]
    #[inline]
    pub const fn status(self) -> UndefinedStatus {
        self.status
    }

    /// The data octets after the status.
    #[must_use]
    #[inline]
    pub const fn data(self) -> &'a [u8] {
        self.data
    }

    /// Octets on the wire with the status octet.
    #[must_use]
    #[inline]
    pub const fn encoded_len(self) -> usize {
        self.data.len() + 1
    }
}

impl fmt::Debug for Undefined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Undefined({:?}, {:02x?})", self.status, self.data)
    }
}
