//! Sequence numbers.

use core::fmt;

/// The number of an RTP packet: one more for each packet sent, and after 65,535 comes 0
/// (RFC 6295 §2.1).
///
/// It starts anywhere, so numbers are not ordered, only a distance apart.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct SeqNum(pub u16);

impl SeqNum {
    /// The number of the packet after this one.
    #[must_use]
    #[inline]
    pub const fn next(self) -> Self {
        self.wrapping_add(1)
    }

    /// The number of the packet `packets` after this one.
    #[must_use]
    #[inline]
    pub const fn wrapping_add(self, packets: u16) -> Self {
        Self(self.0.wrapping_add(packets))
    }

    /// How many packets after `earlier` this one is, the short way round: -32,768 to 32,767.
    ///
    /// 1 means the next packet, more than 1 that some between are missing, 0 or less that this
    /// one is a duplicate or late.
    #[must_use]
    #[inline]
    pub const fn distance_from(self, earlier: Self) -> i16 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }
}

impl fmt::Display for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_go_the_short_way_round() {
        assert_eq!(SeqNum(65_535).next(), SeqNum(0));
        assert_eq!(SeqNum(1).distance_from(SeqNum(65_534)), 3);
        assert_eq!(SeqNum(65_534).distance_from(SeqNum(1)), -3);
        assert_eq!(SeqNum(0x8000).distance_from(SeqNum(0)), i16::MIN);
        assert_eq!(SeqNum(5).wrapping_add(65_535), SeqNum(4));
    }
}
