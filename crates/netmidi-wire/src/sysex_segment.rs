//! System exclusive messages as lists carry them: whole, or cut into segments.

use core::fmt;

use netmidi_message::SysEx;

/// A system exclusive message, or a piece of one, as one command of a list (RFC 6295 §3.2).
///
/// ```text
/// head | data octets | tail        F0 01 02 03 F0    F7 04 05 F7
/// ```
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct SysExSegment<'a> {
    kind: SegmentKind,
    data: &'a [u8],
}

/// Which piece of a system exclusive message a segment is, told by its first and last octet.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum SegmentKind {
    /// `F0 … F7`: all of it.
    Whole,
    /// `F0 … F5`: all of it, and the source ended it with the next status octet instead of F7.
    ///
    /// To a receiver the same as [`Whole`](Self::Whole).
    WholeDroppedEnd,
    /// `F0 … F0`: the beginning, at least one data octet.
    First,
    /// `F7 … F0`: more of it, at least one data octet.
    Middle,
    /// `F7 … F7`: the rest, which may be nothing.
    Last,
    /// `F7 … F5`: the rest, and the source ended it with the next status octet instead of F7.
    LastDroppedEnd,
    /// `F7 F4`: the rest will not come, what was sent is to be forgotten.
    Cancel,
}

impl SegmentKind {
    /// The octet before the data.
    #[must_use]
    #[inline]
    pub const fn head(self) -> u8 {
        match self {
            Self::Whole | Self::WholeDroppedEnd | Self::First => 0xF0,
            Self::Middle | Self::Last | Self::LastDroppedEnd | Self::Cancel => 0xF7,
        }
    }

    /// The octet after the data.
    #[must_use]
    #[inline]
    pub const fn tail(self) -> u8 {
        match self {
            Self::First | Self::Middle => 0xF0,
            Self::Cancel => 0xF4,
            Self::WholeDroppedEnd | Self::LastDroppedEnd => 0xF5,
            Self::Whole | Self::Last => 0xF7,
        }
    }

    /// Whether a message begins here: the head is F0.
    #[must_use]
    #[inline]
    pub const fn begins(self) -> bool {
        self.head() == 0xF0
    }

    /// Whether nothing more of the message follows: it is complete, or cancelled.
    #[must_use]
    #[inline]
    pub const fn ends(self) -> bool {
        self.tail() != 0xF0
    }
}

impl<'a> SysExSegment<'a> {
    /// A segment with these data octets.
    ///
    /// `None` when one of them is above 0x7F, when a first or middle segment has none, or a
    /// cancel has some.
    #[must_use]
    pub fn new(kind: SegmentKind, data: &'a [u8]) -> Option<Self> {
        let fits = match kind {
            SegmentKind::First | SegmentKind::Middle => !data.is_empty(),
            SegmentKind::Cancel => data.is_empty(),
            _ => true,
        };
        (fits && data.is_ascii()).then_some(Self { kind, data })
    }

    /// For callers in this crate that have looked at every octet already.
    #[inline]
    pub(crate) const fn from_checked(kind: SegmentKind, data: &'a [u8]) -> Self {
        Self { kind, data }
    }

    /// Which piece it is.
    #[must_use]
    #[inline]
    pub const fn kind(self) -> SegmentKind {
        self.kind
    }

    /// The data octets between head and tail.
    #[must_use]
    #[inline]
    pub const fn data(self) -> &'a [u8] {
        self.data
    }

    /// The message, when the segment is a whole one (with or without its F7).
    #[must_use]
    pub fn whole(self) -> Option<SysEx<'a>> {
        match self.kind {
            SegmentKind::Whole | SegmentKind::WholeDroppedEnd => SysEx::new(self.data),
            _ => None,
        }
    }

    /// Octets in the list, head and tail included.
    #[must_use]
    #[inline]
    pub const fn encoded_len(self) -> usize {
        self.data.len() + 2
    }
}

impl fmt::Debug for SysExSegment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SysExSegment({:?}, {:02x?})", self.kind, self.data)
    }
}
