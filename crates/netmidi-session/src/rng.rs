//! Numbers from the seed that the caller gave.

/// SplitMix64: small, and good enough for identities that only need to differ. How hard they are
/// to guess depends on the seed alone.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Any number.
    pub(crate) const fn u64(&mut self) -> u64 {
        self.next()
    }

    /// Any 16-bit number: where a sequence starts.
    pub(crate) const fn u16(&mut self) -> u16 {
        (self.next() >> 48) as u16
    }

    /// Any 44-bit number.
    pub(crate) const fn u44(&mut self) -> u64 {
        self.next() >> 20
    }

    /// Any 32-bit number but 0, which some peers send for "none".
    pub(crate) const fn nonzero_u32(&mut self) -> u32 {
        loop {
            let number = (self.next() >> 32) as u32;
            if number != 0 {
                return number;
            }
        }
    }
}
