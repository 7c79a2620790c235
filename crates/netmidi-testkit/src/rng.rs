//! Seeded numbers: the same on every machine.

/// A small generator (xorshift64*).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator with this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        // The state must not be 0.
        Self(seed.wrapping_mul(2).wrapping_add(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Any number.
    pub const fn u64(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `bound`, which is not 0.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "below `bound`, which is a usize"
    )]
    pub const fn below(&mut self, bound: usize) -> usize {
        ((self.u64() >> 11) % bound as u64) as usize
    }

    /// Any octet.
    #[allow(clippy::cast_possible_truncation, reason = "the top eight bits")]
    pub const fn u8(&mut self) -> u8 {
        (self.u64() >> 56) as u8
    }

    /// True this many times in a million.
    pub const fn chance(&mut self, per_million: u32) -> bool {
        self.below(1_000_000) < per_million as usize
    }
}
