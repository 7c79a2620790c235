//! Which packet changed an item of the history last, and which report ends its stay.

use alloc::vec::Vec;

use netmidi_wire::RtpTimestamp;

/// The number of a packet, so wide that packets can be compared. 0 is none of them.
///
/// Long before the numbers run out the recorder [starts them anew](Mark::rebase).
pub(crate) type Packet = u32;

/// When an item was sent.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Mark {
    /// The packet that changed the item last; 0 when nothing of it is unacknowledged.
    packet: Packet,
    /// It has arrived if this packet has, or a later one: the packet above, or if the item was left
    /// out of a journal since then, the packet behind that journal.
    since: Packet,
}

impl Mark {
    pub(crate) const fn new(packet: Packet) -> Self {
        let since = packet;
        Self { packet, since }
    }

    /// The packet that changed the item, if that is unacknowledged.
    pub(crate) const fn packet(self) -> Option<Packet> {
        match self.packet {
            0 => None,
            packet => Some(packet),
        }
    }

    pub(crate) const fn is_pending(self) -> bool {
        self.packet != 0
    }

    /// The S bit: false if `previous`, the packet just before the journal, changed the item.
    pub(crate) const fn s(self, previous: Packet) -> bool {
        self.packet != previous
    }

    /// Whether a report of this packet tells that the item has arrived.
    pub(crate) const fn is_covered(self, report: Packet) -> bool {
        self.since <= report
    }

    pub(crate) const fn acknowledge(&mut self, report: Packet) {
        if self.is_covered(report) {
            self.clear();
        }
    }

    /// The journals before the packet `since` do not tell the item; returns whether that matters.
    pub(crate) const fn omit(&mut self, since: Packet) -> bool {
        // The packet just before has the item itself, not its journal.
        let matters = self.is_pending() && self.packet + 1 < since;
        if matters {
            self.since = since;
        }
        matters
    }

    pub(crate) const fn clear(&mut self) {
        *self = Self {
            packet: 0,
            since: 0,
        };
    }

    /// All packets have numbers that are lower by so much from now on.
    ///
    /// Those that would go below 1 become 1: they are so long ago that nothing tells them apart.
    pub(crate) const fn rebase(&mut self, by: Packet) {
        if self.is_pending() {
            self.packet = rebased(self.packet, by);
            self.since = rebased(self.since, by);
        }
    }
}

/// The number of a packet after all of them became lower by so much.
pub(crate) const fn rebased(packet: Packet, by: Packet) -> Packet {
    match packet.saturating_sub(by) {
        0 => 1,
        packet => packet,
    }
}

/// What a journal must know to describe the history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// The packet just before the journal.
    pub(crate) previous: Packet,
    pub(crate) now: RtpTimestamp,
    /// How old a note-on may be to be played late.
    pub(crate) play_window: u32,
}

/// The unacknowledged ones of 128 items, the one that changed last at the end.
///
/// It takes memory for as many as were in it at once. Mostly they are few, so that it is quicker to
/// move them than to link them.
#[derive(Clone, Debug)]
pub(crate) struct Recent<T = ()> {
    members: u128,
    items: Vec<Item<T>>,
}

/// An item of [`Recent`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item<T> {
    // Its mark, with less room.
    packet: Packet,
    /// `since` of the mark, counted from the packet.
    late: u16,
    /// Below 128.
    pub(crate) number: u8,
    pub(crate) value: u8,
    /// What else is known of it.
    pub(crate) more: T,
}

impl<T> Item<T> {
    pub(crate) const fn mark(&self) -> Mark {
        Mark {
            packet: self.packet,
            since: self.packet + self.late as Packet,
        }
    }

    /// An item that is later than can be told counts as one of a later packet: four times as far
    /// back as a journal reaches nothing depends on which it was.
    fn set_mark(&mut self, mark: Mark) {
        let late = mark.since.saturating_sub(mark.packet);
        self.late = u16::try_from(late).unwrap_or(u16::MAX);
        self.packet = mark.since - Packet::from(self.late);
    }
}

/// The bit of an item in a set of items.
pub(crate) const fn item_bit(item: u8) -> u128 {
    1 << (item & 0x7F)
}

impl<T: Copy> Recent<T> {
    const FEW: usize = 4;

    pub(crate) const fn new() -> Self {
        Self {
            members: 0,
            items: Vec::new(),
        }
    }

    /// The items that are in it, as bits.
    pub(crate) const fn members(&self) -> u128 {
        self.members
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The first packet that changed one of them.
    pub(crate) fn oldest(&self) -> Option<Packet> {
        self.items.first().map(|it| it.packet)
    }

    pub(crate) fn get(&self, number: u8) -> Option<&Item<T>> {
        let is_in = self.members & item_bit(number) != 0;
        let mut items = self.items.iter().rev();
        is_in.then(|| items.find(|it| it.number == number))?
    }

    pub(crate) fn mark(&self, number: u8) -> Mark {
        self.get(number).map(Item::mark).unwrap_or_default()
    }

    /// `packet` changes the item.
    pub(crate) fn touch(&mut self, number: u8, packet: Packet, value: u8, more: T) {
        self.remove(number);
        self.members |= item_bit(number);
        self.items.push(Item {
            packet,
            late: 0,
            number,
            value,
            more,
        });
    }

    /// Takes memory for so many at once, where it would need more than for a few: what comes later
    /// needs none then.
    pub(crate) fn expect(&mut self, many: usize) {
        let len = self.items.len();
        if len == self.items.capacity() && (Self::FEW..many).contains(&len) {
            self.items.reserve_exact(many - len);
        }
    }

    pub(crate) fn remove(&mut self, number: u8) {
        if self.members & item_bit(number) == 0 {
            return;
        }
        self.members &= !item_bit(number);
        if let Some(index) = self.items.iter().rposition(|it| it.number == number) {
            self.items.remove(index);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.members = 0;
        self.items.clear();
    }

    /// Drops what has arrived.
    pub(crate) fn acknowledge(&mut self, report: Packet) {
        // They are ordered by packet, and nothing arrives before its packet.
        let mut arrived = 0;
        for item in &self.items {
            if !item.mark().is_covered(report) {
                break;
            }
            self.members &= !item_bit(item.number);
            arrived += 1;
        }
        self.items.drain(..arrived);
        // Behind one that was left out of a journal there may be others.
        if self.oldest().is_some_and(|packet| packet <= report) {
            let members = &mut self.members;
            self.items.retain(|item| {
                let stays = !item.mark().is_covered(report);
                if !stays {
                    *members &= !item_bit(item.number);
                }
                stays
            });
        }
    }

    /// Drops what no packet from `packet` on has changed.
    pub(crate) fn drop_before(&mut self, packet: Packet) {
        while let Some(first) = self.items.first().filter(|it| it.packet < packet) {
            self.remove(first.number);
        }
    }

    /// The journals before the packet `since` tell those items only that are in `told`. Returns
    /// whether any was left out.
    pub(crate) fn omit_except(&mut self, told: u128, since: Packet) -> bool {
        let mut any = false;
        if self.members & !told != 0 {
            for item in &mut self.items {
                if told & item_bit(item.number) == 0 {
                    let mut mark = item.mark();
                    any |= mark.omit(since);
                    item.set_mark(mark);
                }
            }
        }
        any
    }

    /// The items, oldest first.
    pub(crate) fn iter(&self) -> core::slice::Iter<'_, Item<T>> {
        self.items.iter()
    }

    /// Changes all values.
    pub(crate) fn values(&mut self) -> impl Iterator<Item = &mut u8> {
        self.items.iter_mut().map(|item| &mut item.value)
    }

    pub(crate) fn rebase(&mut self, by: Packet) {
        for item in &mut self.items {
            let mut mark = item.mark();
            mark.rebase(by);
            item.set_mark(mark);
        }
    }

    /// Gives back what memory it does not need now.
    pub(crate) fn shrink(&mut self) {
        self.items.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(list: &Recent) -> Vec<u8> {
        list.iter().map(|item| item.number).collect()
    }

    #[test]
    fn what_changes_moves_to_the_end() {
        let mut list = Recent::new();
        for (item, packet) in [(5, 10), (127, 11), (0, 11), (5, 12)] {
            list.touch(item, packet, item, ());
        }
        assert_eq!(items(&list), [127, 0, 5]);
        assert_eq!(list.oldest(), Some(11));
        list.remove(0);
        list.remove(0);
        assert_eq!(items(&list), [127, 5]);
        assert_eq!(list.get(127).map(|it| it.value), Some(127));
        assert_eq!(list.mark(5), Mark::new(12));
        assert!(list.get(0).is_none() && !list.mark(0).is_pending());
        list.acknowledge(11);
        assert_eq!((items(&list), list.members()), (Vec::from([5]), 1 << 5));
        list.clear();
        assert!(list.is_empty() && items(&list).is_empty() && list.members() == 0);
    }

    #[test]
    fn what_was_left_out_stays_longer() {
        let mut list = Recent::new();
        for item in 0..4 {
            list.touch(item, 10 + u32::from(item), 0, ());
        }
        assert!(list.omit_except(0b1010, 20));
        list.acknowledge(19);
        assert_eq!((items(&list), list.members()), (Vec::from([0, 2]), 0b101));
        assert!(!list.omit_except(0b101, 30));
        list.touch(0, 25, 0, ());
        list.acknowledge(20);
        assert_eq!(items(&list), [0]);
        list.drop_before(26);
        assert!(list.is_empty() && list.members() == 0);
    }

    #[test]
    fn lower_numbers_keep_their_order() {
        let mut list = Recent::new();
        for (item, packet) in [(1, 5), (2, 100), (3, 101)] {
            list.touch(item, packet, 0, ());
        }
        list.omit_except(0b1100, 200);
        list.rebase(50);
        assert_eq!(list.oldest(), Some(1));
        assert_eq!(list.mark(3), Mark::new(51));
        list.acknowledge(149);
        assert_eq!(items(&list), [1]);
        list.acknowledge(150);
        assert!(list.is_empty());
    }

    #[test]
    fn what_was_left_out_for_long_waits_for_its_report() {
        let mut list = Recent::new();
        list.touch(1, 10, 0, ());
        for since in [65_545, 65_546, 1_000_000] {
            assert!(list.omit_except(0, since));
            list.acknowledge(since - 1);
            assert_eq!(items(&list), [1], "{since}");
        }
        assert_eq!(list.oldest(), Some(1_000_000 - 65_535));
        list.acknowledge(1_000_000);
        assert!(list.is_empty());
    }

    #[test]
    fn an_item_takes_few_octets() {
        assert_eq!(size_of::<Item<()>>(), 8);
        assert_eq!(size_of::<Item<RtpTimestamp>>(), 12);
    }
}
