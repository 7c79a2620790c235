//! The table of deadlines.

use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use crate::time::Time;

/// So many stand below each in the heap: they share two cache lines.
const BRANCHES: usize = 4;
/// Marks a cell of the index that nobody stands in.
const FREE: usize = usize::MAX;
/// The index begins with so many cells; always a power of two.
const FEWEST_CELLS: usize = 16;

/// Deadlines, the next one first; of those at the same moment, the one whose timer is less.
///
/// A heap, and beside it an index that tells where in it a deadline stands: a table of cells, of
/// which at least half are free. A deadline is in the first free one from the cell on that its hash
/// names. Who connects cannot choose hashes, since they are made of our own numbers and times.
///
/// What a call costs grows with the logarithm of how many deadlines there are. Memory is taken only
/// when there are more of them than ever before.
#[derive(Debug)]
pub(crate) struct Deadlines<T> {
    heap: Vec<Entry<T>>,
    /// Places in the heap.
    cells: Vec<usize>,
}

/// A deadline in the heap.
#[derive(Clone, Copy, Debug)]
struct Entry<T> {
    at: Time,
    timer: T,
    /// Its cell in the index.
    cell: usize,
}

impl<T: Copy> Entry<T> {
    const fn key(&self) -> (Time, T) {
        (self.at, self.timer)
    }
}

impl<T> Default for Deadlines<T> {
    fn default() -> Self {
        Self {
            heap: Vec::new(),
            cells: Vec::new(),
        }
    }
}

impl<T: Copy + Hash + Ord> Deadlines<T> {
    /// Enters a deadline, unless it stands there already.
    pub(crate) fn set(&mut self, at: Time, timer: T) {
        if (self.heap.len() + 1) * 2 > self.cells.len() {
            self.grow();
        }
        if let Err(cell) = self.find(at, timer) {
            let entry = Entry { at, timer, cell };
            self.heap.push(entry);
            self.rise(self.heap.len() - 1, entry);
        }
    }

    /// Takes a deadline off the table, if it stands there.
    pub(crate) fn cancel(&mut self, at: Time, timer: T) {
        if let Ok(place) = self.find(at, timer) {
            self.remove(place);
        }
    }

    pub(crate) fn next(&self) -> Option<Time> {
        self.heap.first().map(|entry| entry.at)
    }

    /// The earliest timer that is due, taken off the table.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<T> {
        let Entry { at, timer, .. } = *self.heap.first()?;
        (at <= now).then(|| {
            self.remove(0);
            timer
        })
    }

    // The heap.

    fn remove(&mut self, place: usize) {
        let Some(gone) = self.heap.get(place) else {
            return;
        };
        self.vacate(gone.cell);
        // The last one takes its place, and from there its own.
        let Some(last) = self.heap.pop() else {
            return;
        };
        if place < self.heap.len() {
            let place = self.rise(place, last);
            self.sink(place, last);
        }
    }

    /// Puts an entry here, or higher up, where nothing above is later. Returns where.
    fn rise(&mut self, mut place: usize, entry: Entry<T>) -> usize {
        while place > 0 {
            let above = (place - 1) / BRANCHES;
            match self.heap.get(above) {
                Some(other) if other.key() > entry.key() => {
                    let other = *other;
                    self.put(place, other);
                    place = above;
                }
                _ => break,
            }
        }
        self.put(place, entry);
        place
    }

    /// Puts an entry here, or further down, where nothing below is earlier.
    fn sink(&mut self, mut place: usize, entry: Entry<T>) {
        loop {
            let first = place * BRANCHES + 1;
            let below = self
                .heap
                .get(first..)
                .unwrap_or_default()
                .iter()
                .take(BRANCHES);
            match (first..).zip(below).min_by_key(|(_, other)| other.key()) {
                Some((lower, other)) if other.key() < entry.key() => {
                    let other = *other;
                    self.put(place, other);
                    place = lower;
                }
                _ => break,
            }
        }
        self.put(place, entry);
    }

    fn put(&mut self, place: usize, entry: Entry<T>) {
        if let Some(there) = self.heap.get_mut(place) {
            *there = entry;
        }
        if let Some(cell) = self.cells.get_mut(entry.cell) {
            *cell = place;
        }
    }

    // The index.

    /// Its place in the heap, or the cell that it would be in.
    fn find(&self, at: Time, timer: T) -> Result<usize, usize> {
        let mut cell = self.home(at, timer);
        loop {
            match self.cells.get(cell) {
                Some(&place) if place != FREE => match self.heap.get(place) {
                    Some(entry) if entry.key() == (at, timer) => return Ok(place),
                    _ => cell = self.after(cell),
                },
                _ => return Err(cell),
            }
        }
    }

    /// Frees a cell. Those behind it that were pushed out of theirs move up, so that the way to each
    /// has no gap.
    fn vacate(&mut self, mut free: usize) {
        let mut cell = free;
        loop {
            cell = self.after(cell);
            let Some(&place) = self.cells.get(cell).filter(|place| **place != FREE) else {
                break;
            };
            let Some(entry) = self.heap.get(place) else {
                break;
            };
            let home = self.home(entry.at, entry.timer);
            if self.ahead(home, cell) >= self.ahead(free, cell) {
                let mut entry = *entry;
                entry.cell = free;
                self.put(place, entry);
                free = cell;
            }
        }
        if let Some(cell) = self.cells.get_mut(free) {
            *cell = FREE;
        }
    }

    /// Twice as many cells.
    fn grow(&mut self) {
        let cells = (self.cells.len() * 2).max(FEWEST_CELLS);
        self.cells.clear();
        self.cells.resize(cells, FREE);
        for place in 0..self.heap.len() {
            let Some(mut entry) = self.heap.get(place).copied() else {
                continue;
            };
            let mut cell = self.home(entry.at, entry.timer);
            while self.cells.get(cell).is_some_and(|place| *place != FREE) {
                cell = self.after(cell);
            }
            entry.cell = cell;
            self.put(place, entry);
        }
    }

    /// The cell that a deadline would have if it were alone.
    fn home(&self, at: Time, timer: T) -> usize {
        let mut mix = Mix::default();
        at.hash(&mut mix);
        timer.hash(&mut mix);
        #[allow(
            clippy::cast_possible_truncation,
            reason = "its lower bits are as good as any"
        )]
        let cell = mix.finish() as usize;
        cell & self.mask()
    }

    fn after(&self, cell: usize) -> usize {
        (cell + 1) & self.mask()
    }

    /// How many cells `to` is ahead of `from`.
    fn ahead(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & self.mask()
    }

    fn mask(&self) -> usize {
        self.cells.len().wrapping_sub(1)
    }
}

/// Numbers made into a cell. The same everywhere, and nothing is read in its order.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn write(&mut self, octets: &[u8]) {
        for octet in octets {
            self.write_u64((*octet).into());
        }
    }

    /// One round of splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators).
    fn write_u64(&mut self, number: u64) {
        let mut mixed = (self.0 ^ number).wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        self.0 = mixed ^ (mixed >> 31);
    }

    fn write_u16(&mut self, number: u16) {
        self.write_u64(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    /// What tells the kinds of timers apart.
    fn write_isize(&mut self, number: isize) {
        self.write_u64(number.unsigned_abs() as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "a panic is a failed test")]

    use alloc::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// What the table is held against.
    type Model = BTreeSet<(Time, u8)>;

    impl Deadlines<u8> {
        /// Whether both halves say the same, and nothing below is earlier than what is above.
        fn check(&self) {
            for (place, entry) in self.heap.iter().enumerate() {
                assert_eq!(self.cells[entry.cell], place);
                assert_eq!(self.find(entry.at, entry.timer), Ok(place));
                let above = place.saturating_sub(1) / BRANCHES;
                assert!(self.heap[above].key() <= entry.key());
            }
            let taken = self.cells.iter().filter(|place| **place != FREE);
            assert_eq!(taken.count(), self.heap.len());
            assert!(self.heap.len() * 2 <= self.cells.len());
        }
    }

    fn pop_due(model: &mut Model, now: Time) -> Option<u8> {
        let first = *model.first()?;
        (first.0 <= now).then(|| {
            model.remove(&first);
            first.1
        })
    }

    #[derive(Clone, Debug)]
    enum Step {
        Set(u64, u8),
        Cancel(u64, u8),
        /// The one that stands in this place of the heap.
        CancelAny(usize),
        PopDue(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let at = 0..50u64;
        prop_oneof![
            4 => (at.clone(), any::<u8>()).prop_map(|(at, timer)| Step::Set(at, timer)),
            1 => (at.clone(), any::<u8>()).prop_map(|(at, timer)| Step::Cancel(at, timer)),
            2 => any::<usize>().prop_map(Step::CancelAny),
            1 => at.prop_map(Step::PopDue),
        ]
    }

    proptest! {
        #[test]
        fn it_does_what_a_sorted_set_does(steps in vec(step(), 0..600)) {
            let (mut deadlines, mut model) = (Deadlines::default(), Model::new());
            for step in steps {
                match step {
                    Step::Set(at, timer) => {
                        deadlines.set(Time::from_micros(at), timer);
                        model.insert((Time::from_micros(at), timer));
                    }
                    Step::Cancel(at, timer) => {
                        deadlines.cancel(Time::from_micros(at), timer);
                        model.remove(&(Time::from_micros(at), timer));
                    }
                    Step::CancelAny(place) => {
                        if !deadlines.heap.is_empty() {
                            let (at, timer) = deadlines.heap[place % deadlines.heap.len()].key();
                            deadlines.cancel(at, timer);
                            prop_assert!(model.remove(&(at, timer)));
                        }
                    }
                    Step::PopDue(now) => {
                        let now = Time::from_micros(now);
                        prop_assert_eq!(deadlines.pop_due(now), pop_due(&mut model, now));
                    }
                }
                deadlines.check();
                prop_assert_eq!(deadlines.next(), model.first().map(|(at, _)| *at));
            }
            while let Some(timer) = pop_due(&mut model, Time::from_secs(1)) {
                prop_assert_eq!(deadlines.pop_due(Time::from_secs(1)), Some(timer));
            }
            prop_assert_eq!(deadlines.pop_due(Time::from_secs(1)), None);
            deadlines.check();
        }
    }

    #[test]
    fn an_empty_table_has_nothing_to_say() {
        let mut deadlines = Deadlines::<u8>::default();
        deadlines.cancel(Time::ZERO, 1);
        assert_eq!(deadlines.next(), None);
        assert_eq!(deadlines.pop_due(Time::from_secs(1)), None);
    }

    #[test]
    fn equal_moments_come_in_the_order_of_their_timers() {
        let mut deadlines = Deadlines::default();
        for timer in [5, 3, 9, 1, 7, 3] {
            deadlines.set(Time::from_millis(1), timer);
        }
        deadlines.set(Time::ZERO, 8);
        deadlines.cancel(Time::from_millis(1), 7);
        assert_eq!(deadlines.next(), Some(Time::ZERO));
        let order: Vec<u8> =
            core::iter::from_fn(|| deadlines.pop_due(Time::from_secs(1))).collect();
        assert_eq!(order, [8, 1, 3, 5, 9]);
    }

    #[test]
    fn nothing_is_due_before_its_time() {
        let mut deadlines = Deadlines::default();
        deadlines.set(Time::from_millis(2), 1);
        assert_eq!(deadlines.pop_due(Time::from_millis(1)), None);
        assert_eq!(deadlines.pop_due(Time::from_millis(2)), Some(1));
    }

    /// Numbers that follow each other are what it is given, and they spread.
    #[test]
    fn ways_through_the_index_are_short() {
        let mut deadlines = Deadlines::default();
        for timer in 0..32_768u32 {
            deadlines.set(Time::from_secs(u64::from(timer) % 3), timer);
        }
        let way = |entry: &Entry<u32>| {
            let home = deadlines.home(entry.at, entry.timer);
            deadlines.ahead(home, entry.cell)
        };
        let ways = deadlines.heap.iter().map(way);
        let (longest, all) = ways.fold((0, 0), |(longest, all), way| (way.max(longest), all + way));
        assert_eq!(deadlines.cells.len(), 65_536);
        assert!(longest < 64, "{longest}");
        assert!(all < deadlines.heap.len(), "{all}");
    }

    #[test]
    fn its_memory_stays() {
        let mut deadlines = Deadlines::default();
        let mut held = None;
        for round in 0..10u64 {
            for timer in 0..1000u64 {
                deadlines.set(Time::from_millis(round * 100 + timer * 7 % 1000), timer);
            }
            let sizes = (deadlines.heap.capacity(), deadlines.cells.capacity());
            assert_eq!(*held.get_or_insert(sizes), sizes);
            while deadlines.pop_due(Time::from_secs(100)).is_some() {}
        }
    }
}
