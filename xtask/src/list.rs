//! Random lists of messages, from a seed.

/// The generator xorshift32 (Marsaglia 2003).
#[derive(Clone, Debug)]
pub(crate) struct Random(u32);

impl Random {
    pub(crate) fn new(seed: u32) -> Self {
        Self((seed ^ 0x9E37_79B9).max(1))
    }

    /// From 0 to `end - 1`.
    pub(crate) const fn below(&mut self, end: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 % end
    }

    /// From 0 to `end - 1`, where that is an octet.
    pub(crate) const fn octet(&mut self, end: u32) -> u8 {
        self.below(end) as u8
    }
}

/// Messages of every kind that `mido` has words for.
pub(crate) fn everything(seed: u32, count: usize) -> Vec<Vec<u8>> {
    let mut random = Random::new(seed);
    (0..count).map(|_| message(&mut random)).collect()
}

/// Notes and controllers, which is what pymidi knows.
pub(crate) fn notes_and_controllers(seed: u32, count: usize) -> Vec<Vec<u8>> {
    let mut random = Random::new(seed);
    let mut one = || {
        let kinds = [0x80, 0x90, 0xB0];
        let kind = kinds.get(random.below(3) as usize).copied();
        // Not the controllers that are modes.
        let first = random.octet(120);
        vec![
            kind.unwrap_or(0x90) | random.octet(16),
            first,
            random.octet(128),
        ]
    };
    (0..count).map(|_| one()).collect()
}

/// Of several who play to the same one: what each plays can be told apart, and no one ever holds a key
/// that another one holds. Those of [`everything`], each player on four channels of its own.
pub(crate) fn of_player(player: u8, seed: u32, count: usize) -> Vec<Vec<u8>> {
    let mut list = everything(seed, count);
    for message in &mut list {
        match message.as_mut_slice() {
            [0xF0, 0xF7] => message.insert(1, player + 1),
            [0xF0, first, ..] => *first = player + 1,
            [status, ..] => *status = (*status & 0xF3) | (player << 2),
            [] => {}
        }
    }
    list
}

/// Whose message of [`of_player`] it is.
pub(crate) fn player_of(message: &[u8]) -> Option<u8> {
    match message {
        [0xF0, first, ..] => first.checked_sub(1),
        [status, ..] => Some(status >> 2 & 3),
        [] => None,
    }
}

fn message(random: &mut Random) -> Vec<u8> {
    let kind = random.octet(8);
    if kind == 7 {
        return sysex(random);
    }
    let status = 0x80 | (kind << 4) | random.octet(16);
    let first = random.octet(128);
    if status & 0xE0 == 0xC0 {
        vec![status, first]
    } else {
        vec![status, first, random.octet(128)]
    }
}

/// Not the universal ids 7E and 7F: tshark takes their contents apart and gets some wrong. Not 00
/// either, which begins an id of three octets.
fn sysex(random: &mut Random) -> Vec<u8> {
    let longest = if random.below(4) == 0 { 4 } else { 200 };
    let mut octets = vec![0xF0];
    for at in 0..random.below(longest) {
        octets.push(if at == 0 {
            1 + random.octet(0x7D)
        } else {
            random.octet(128)
        });
    }
    octets.push(0xF7);
    octets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mido;

    #[test]
    fn lists_are_messages_and_come_from_the_seed() {
        let list = everything(5, 1_000);
        assert_eq!(list, everything(5, 1_000));
        assert_ne!(list, everything(6, 1_000));
        assert!(list.iter().all(|message| mido::text(message).is_some()));
        let list = notes_and_controllers(5, 1_000);
        assert!(list.iter().all(|message| mido::text(message).is_some()));
        let list = of_player(2, 5, 1_000);
        assert!(list.iter().all(|message| mido::text(message).is_some()));
        assert!(list.iter().all(|message| player_of(message) == Some(2)));
    }
}
