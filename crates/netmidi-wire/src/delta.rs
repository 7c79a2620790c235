//! Delta times.

use netmidi_message::BufferTooSmall;

/// The time between two commands of a list, in units of the RTP timestamp: 100 µs in AppleMIDI,
/// 0 to 268,435,455 (RFC 6295 §3.1).
///
/// On the wire it takes one to four octets, seven bits in each, the most significant first, with
/// the top bit set in every octet but the last.
///
/// ```text
/// 0ddddddd                                 up to 0x7F
/// 1ccccccc 0ddddddd                        up to 0x3FFF
/// 1bbbbbbb 1ccccccc 0ddddddd               up to 0x1F_FFFF
/// 1aaaaaaa 1bbbbbbb 1ccccccc 0ddddddd      up to 0xFFF_FFFF
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Delta(u32);

impl Delta {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// The longest time, 268,435,455 units: over seven hours in AppleMIDI.
    pub const MAX: Self = Self(0x0FFF_FFFF);
    /// The most octets one takes.
    pub(crate) const MAX_LEN: usize = 4;

    /// The delta time, or `None` when it is longer than [`MAX`](Self::MAX).
    #[must_use]
    #[inline]
    pub const fn new(units: u32) -> Option<Self> {
        if units <= Self::MAX.0 {
            Some(Self(units))
        } else {
            None
        }
    }

    /// Takes the low 28 bits, for the reader that cannot have gathered more.
    #[inline]
    pub(crate) const fn from_low_bits(units: u32) -> Self {
        Self(units & Self::MAX.0)
    }

    /// The time in units of the RTP timestamp.
    #[must_use]
    #[inline]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Octets on the wire in the shortest form, 1 to 4.
    #[must_use]
    #[inline]
    pub const fn encoded_len(self) -> usize {
        match self.0 {
            0..=0x7F => 1,
            0x80..=0x3FFF => 2,
            0x4000..=0x1F_FFFF => 3,
            _ => Self::MAX_LEN,
        }
    }

    /// Writes the shortest form to the beginning of `out` and returns how many octets it took.
    ///
    /// # Errors
    /// When `out` is shorter than [`encoded_len`](Self::encoded_len); nothing is written then.
    #[inline]
    pub fn encode(self, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let needed = self.encoded_len();
        let available = out.len();
        let Some(out) = out.get_mut(..needed) else {
            return Err(BufferTooSmall { needed, available });
        };
        let mut units = self.0;
        let mut more = 0;
        for octet in out.iter_mut().rev() {
            *octet = (units & 0x7F) as u8 | more;
            units >>= 7;
            more = 0x80;
        }
        Ok(needed)
    }
}
