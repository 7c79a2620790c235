//! Numbers of the journal that cannot be out of range.

/// Declares an unsigned number of a fixed width with checked construction.
macro_rules! bounded {
    ($(#[$doc:meta])* $name:ident($repr:ty), bits = $bits:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name($repr);

        impl $name {
            /// The largest value.
            pub const MAX: Self = Self(((1u32 << $bits) - 1) as $repr);

            /// The number, or `None` when it is larger than [`MAX`](Self::MAX).
            #[must_use]
            #[inline]
            pub const fn new(value: $repr) -> Option<Self> {
                if value <= Self::MAX.0 { Some(Self(value)) } else { None }
            }

            /// The low bits of `value`; higher ones are dropped, as the name says.
            #[must_use]
            #[inline]
            pub const fn from_low_bits(value: $repr) -> Self {
                Self(value & Self::MAX.0)
            }

            /// The plain number.
            #[must_use]
            #[inline]
            pub const fn get(self) -> $repr {
                self.0
            }
        }
    };
}

bounded! {
    /// A six-bit counter of chapter C, 0 to 63, which begins again after 63 (RFC 6295 §A.3.1).
    Alt(u8), bits = 6
}
bounded! {
    /// Which data octet of a system exclusive message a log begins with, counted from 0:
    /// 0 to 268,435,455 (RFC 6295 §B.5.1).
    FirstIndex(u32), bits = 28
}
bounded! {
    /// Milliseconds to add to a song position, 0 to 16,777,215 (RFC 6295 §B.3.1).
    TimeTools(u32), bits = 24
}

impl Alt {
    /// How much further this counter is than `earlier`, 0 to 63.
    #[must_use]
    #[inline]
    pub const fn wrapping_sub(self, earlier: Self) -> u8 {
        self.0.wrapping_sub(earlier.0) & Self::MAX.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_in_range() {
        assert_eq!(Alt::new(63), Some(Alt::MAX));
        assert_eq!(Alt::new(64), None);
        assert_eq!(FirstIndex::new(1 << 28), None);
        assert_eq!(TimeTools::from_low_bits(0x0100_0001).get(), 1);
        assert_eq!(Alt::from_low_bits(1).wrapping_sub(Alt::MAX), 2);
    }
}
