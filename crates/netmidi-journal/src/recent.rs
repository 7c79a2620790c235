//! Which packet changed an item of the history last, and which report ends its stay.

use netmidi_wire::RtpTimestamp;

/// When an item was sent. Packets have extended numbers, 64 bits wide and never 0.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Mark {
    /// The packet that changed the item last; 0 when nothing of it is unacknowledged.
    packet: u64,
    /// It has arrived if this packet has, or a later one: the packet above, or if the item was left
    /// out of a journal since then, the packet behind that journal.
    since: u64,
}

impl Mark {
    pub(crate) const fn new(packet: u64) -> Self {
        let since = packet;
        Self { packet, since }
    }

    /// The packet that changed the item, if that is unacknowledged.
    pub(crate) const fn packet(self) -> Option<u64> {
        match self.packet {
            0 => None,
            packet => Some(packet),
        }
    }

    pub(crate) const fn is_pending(self) -> bool {
        self.packet != 0
    }

    /// The S bit: false if `previous`, the packet just before the journal, changed the item.
    pub(crate) const fn s(self, previous: u64) -> bool {
        self.packet != previous
    }

    /// Whether a report of this packet tells that the item has arrived.
    pub(crate) const fn is_covered(self, report: u64) -> bool {
        self.since <= report
    }

    pub(crate) const fn acknowledge(&mut self, report: u64) {
        if self.is_covered(report) {
            self.clear();
        }
    }

    /// The journals before the packet `since` do not tell the item; returns whether that matters.
    pub(crate) const fn omit(&mut self, since: u64) -> bool {
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
}

/// What a journal must know to describe the history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// The packet just before the journal.
    pub(crate) previous: u64,
    pub(crate) now: RtpTimestamp,
    /// How old a note-on may be to be played late.
    pub(crate) play_window: u32,
}

/// The unacknowledged ones of 128 items, the one that changed last at the end.
///
/// A doubly linked list inside arrays: to move an item to the end takes the same time however many
/// there are.
#[derive(Clone, Debug)]
pub(crate) struct Recent {
    marks: [Mark; 128],
    links: [Link; 128],
    members: u128,
    ends: Link,
}

/// Neighbours of an item; of the list as a whole, its last and its first item.
#[derive(Clone, Copy, Debug)]
struct Link {
    before: u8,
    after: u8,
}

impl Link {
    const NONE: Self = Self {
        before: NOTHING,
        after: NOTHING,
    };
}

const NOTHING: u8 = 0xFF;

/// The bit of an item in a set of items.
pub(crate) const fn item_bit(item: u8) -> u128 {
    1 << (item & 0x7F)
}

impl Recent {
    pub(crate) const fn new() -> Self {
        Self {
            marks: [Mark::new(0); 128],
            links: [Link::NONE; 128],
            members: 0,
            ends: Link::NONE,
        }
    }

    /// The items that are in it, as bits.
    pub(crate) const fn members(&self) -> u128 {
        self.members
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.members == 0
    }

    /// The first packet that changed one of them.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.mark(self.ends.after).packet()
    }

    pub(crate) fn mark(&self, item: u8) -> Mark {
        self.marks
            .get(usize::from(item))
            .copied()
            .unwrap_or_default()
    }

    /// `packet` changes the item.
    pub(crate) fn touch(&mut self, item: u8, packet: u64) {
        self.remove(item);
        let last = self.ends.before;
        self.link(last).after = item;
        self.ends.before = item;
        *self.link(item) = Link {
            before: last,
            after: NOTHING,
        };
        self.members |= item_bit(item);
        if let Some(mark) = self.marks.get_mut(usize::from(item)) {
            *mark = Mark::new(packet);
        }
    }

    pub(crate) fn remove(&mut self, item: u8) {
        if self.members & item_bit(item) == 0 {
            return;
        }
        let Link { before, after } = *self.link(item);
        self.link(before).after = after;
        self.link(after).before = before;
        self.members &= !item_bit(item);
        if let Some(mark) = self.marks.get_mut(usize::from(item)) {
            mark.clear();
        }
    }

    pub(crate) fn clear(&mut self) {
        while self.ends.after != NOTHING {
            self.remove(self.ends.after);
        }
    }

    /// Drops what has arrived.
    pub(crate) fn acknowledge(&mut self, report: u64) {
        let mut item = self.ends.after;
        // The list is ordered by packet, and nothing arrives before its packet.
        while let Some(packet) = self.mark(item).packet()
            && packet <= report
        {
            let next = self.link(item).after;
            if self.mark(item).is_covered(report) {
                self.remove(item);
            }
            item = next;
        }
    }

    /// Drops what no packet from `packet` on has changed.
    pub(crate) fn drop_before(&mut self, packet: u64) {
        while self.oldest().is_some_and(|oldest| oldest < packet) {
            self.remove(self.ends.after);
        }
    }

    /// The journals before the packet `since` tell those items only that are in `told`. Returns
    /// whether any was left out.
    pub(crate) fn omit_except(&mut self, told: u128, since: u64) -> bool {
        let mut left_out = self.members & !told;
        let mut any = false;
        while left_out != 0 {
            // There is a bit below 128.
            let item = left_out.trailing_zeros() as usize;
            if let Some(mark) = self.marks.get_mut(item) {
                any |= mark.omit(since);
            }
            left_out &= left_out - 1;
        }
        any
    }

    /// The items, oldest first.
    pub(crate) const fn iter(&self) -> RecentIter<'_> {
        RecentIter {
            list: self,
            next: self.ends.after,
        }
    }

    fn link(&mut self, item: u8) -> &mut Link {
        // What is not an item is both ends.
        self.links
            .get_mut(usize::from(item))
            .unwrap_or(&mut self.ends)
    }
}

/// Goes through [`Recent`].
pub(crate) struct RecentIter<'a> {
    list: &'a Recent,
    next: u8,
}

impl Iterator for RecentIter<'_> {
    type Item = (u8, Mark);

    fn next(&mut self) -> Option<(u8, Mark)> {
        let item = self.next;
        self.next = self.list.links.get(usize::from(item))?.after;
        Some((item, self.list.mark(item)))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn items(list: &Recent) -> Vec<u8> {
        list.iter().map(|(item, _)| item).collect()
    }

    #[test]
    fn what_changes_moves_to_the_end() {
        let mut list = Recent::new();
        for (item, packet) in [(5, 10), (127, 11), (0, 11), (5, 12)] {
            list.touch(item, packet);
        }
        assert_eq!(items(&list), [127, 0, 5]);
        assert_eq!(list.oldest(), Some(11));
        list.remove(0);
        list.remove(0);
        assert_eq!(items(&list), [127, 5]);
        list.acknowledge(11);
        assert_eq!((items(&list), list.members()), (Vec::from([5]), 1 << 5));
        list.clear();
        assert!(list.is_empty() && items(&list).is_empty());
    }

    #[test]
    fn what_was_left_out_stays_longer() {
        let mut list = Recent::new();
        for item in 0..4 {
            list.touch(item, 10 + u64::from(item));
        }
        assert!(list.omit_except(0b1010, 20));
        list.acknowledge(19);
        assert_eq!(items(&list), [0, 2]);
        assert!(!list.omit_except(0b101, 30));
        list.touch(0, 25);
        list.acknowledge(20);
        assert_eq!(items(&list), [0]);
        list.drop_before(26);
        assert!(list.is_empty());
    }
}
