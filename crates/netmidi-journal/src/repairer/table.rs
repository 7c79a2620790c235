//! What there is of each note or controller, for those that were used.

use alloc::vec::Vec;

use netmidi_message::U7;

use super::keys;

/// One value for each note or each controller that was used; the others have the default. Takes
/// memory for eight at a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table<T> {
    /// Which keys have a value: 0 to 63, and 64 to 127.
    used: [u64; 2],
    /// In the order of their keys.
    values: Vec<T>,
}

impl<T: Copy + Default> Table<T> {
    #[inline]
    const fn is_used(&self, key: U7) -> bool {
        let [low, high] = self.used;
        let word = if key.get() < 64 { low } else { high };
        word >> (key.get() & 63) & 1 != 0
    }

    /// The place of the key among the values, whether or not it has one there: counted from the
    /// nearer end, and without a branch that nobody could foresee.
    #[inline]
    const fn place(&self, key: U7) -> usize {
        let [low, high] = self.used;
        let bit = 1_u64 << (key.get() & 63);
        let is_low = key.get() < 64;
        let others = if is_low {
            low & (bit - 1)
        } else {
            high & bit.wrapping_neg()
        };
        let count = others.count_ones() as usize;
        if is_low {
            count
        } else {
            self.values.len() - count
        }
    }

    #[inline]
    pub(crate) fn get(&self, key: U7) -> T {
        self.used(key).unwrap_or_default()
    }

    /// The value of a key that has one.
    #[inline]
    pub(crate) fn used(&self, key: U7) -> Option<T> {
        if self.is_used(key) {
            self.values.get(self.place(key)).copied()
        } else {
            None
        }
    }

    /// The same, to be changed.
    #[inline]
    pub(crate) fn used_mut(&mut self, key: U7) -> Option<&mut T> {
        if self.is_used(key) {
            let place = self.place(key);
            self.values.get_mut(place)
        } else {
            None
        }
    }

    /// The value of a key, which counts as used from now on.
    #[inline]
    pub(crate) fn get_mut(&mut self, key: U7) -> &mut T {
        let place = self.place(key);
        if !self.is_used(key) {
            self.use_key(key, place);
        }
        self.values.get_mut(place).expect("a key that is used")
    }

    #[cold]
    fn use_key(&mut self, key: U7, place: usize) {
        let [low, high] = &mut self.used;
        let word = if key.get() < 64 { low } else { high };
        *word |= 1 << (key.get() & 63);
        if self.values.len() == self.values.capacity() {
            self.values.reserve_exact(8);
        }
        self.values.insert(place, T::default());
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.values.iter_mut()
    }

    /// The keys that have a value, ascending.
    pub(crate) fn keys(&self) -> impl Iterator<Item = U7> + use<T> {
        let [low, high] = self.used;
        let used = u128::from(high) << 64 | u128::from(low);
        keys().filter(move |key| used >> key.get() & 1 != 0)
    }

    /// No key is used any more. Memory is kept.
    pub(crate) fn clear(&mut self) {
        self.used = [0; 2];
        self.values.clear();
    }
}

/// The number of a packet in six octets: enough for 8,000 years of a thousand packets a second.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Packet([u16; 3]);

impl Packet {
    #[inline]
    pub(crate) const fn new(ext: u64) -> Self {
        Self([(ext >> 32) as u16, (ext >> 16) as u16, ext as u16])
    }

    #[inline]
    pub(crate) const fn ext(self) -> u64 {
        let [high, middle, low] = self.0;
        (high as u64) << 32 | (middle as u64) << 16 | low as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_values_of_their_own_in_whichever_order_they_come() {
        let mut table = Table::default();
        let mut plain = [None; 128];
        let mut key = 1_u8;
        for round in 0..200_u16 {
            key = key.wrapping_mul(5).wrapping_add(71) & 0x7F;
            let at = U7::from_low_bits(key);
            *table.get_mut(at) = round;
            plain[usize::from(key)] = Some(round);
            assert!(keys().all(|key| table.used(key) == plain[usize::from(key.get())]));
            assert!(
                table
                    .keys()
                    .all(|key| plain[usize::from(key.get())].is_some())
            );
            assert_eq!(table.keys().count(), plain.iter().flatten().count());
        }
        assert!(table.keys().count() > 100);
        table.clear();
        assert_eq!(table.get(U7::from_low_bits(key)), 0);
    }

    #[test]
    fn packets_keep_their_numbers() {
        for ext in [0, 1, (1 << 32) + 65_535, (1 << 48) - 1, 0x1234_5678_9ABC] {
            assert_eq!(Packet::new(ext).ext(), ext);
        }
        assert_eq!(size_of::<Packet>(), 6);
    }
}
