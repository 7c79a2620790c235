//! Tasks that wait for the same thing.

use std::task::{Context, Waker};

/// Names one that waits, as long as it may.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Seat(u64);

/// Tasks that wait. Whoever stops waiting leaves, so that those who never come back take no memory.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    /// In the order of their seats.
    wakers: Vec<(Seat, Waker)>,
    next: u64,
}

impl Waiters {
    /// A name that nobody had before.
    pub(crate) const fn seat(&mut self) -> Seat {
        self.next += 1;
        Seat(self.next)
    }

    pub(crate) fn wait(&mut self, seat: Seat, cx: &Context<'_>) {
        match self.find(seat) {
            Ok(place) => {
                if let Some((_, waker)) = self.wakers.get_mut(place) {
                    waker.clone_from(cx.waker());
                }
            }
            Err(place) => self.wakers.insert(place, (seat, cx.waker().clone())),
        }
    }

    pub(crate) fn leave(&mut self, seat: Seat) {
        if let Ok(place) = self.find(seat) {
            self.wakers.remove(place);
        }
    }

    /// Everybody goes, to be woken.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Waker> + '_ {
        self.wakers.drain(..).map(|(_, waker)| waker)
    }

    fn find(&self, seat: Seat) -> Result<usize, usize> {
        self.wakers.binary_search_by_key(&seat, |(seat, _)| *seat)
    }
}
