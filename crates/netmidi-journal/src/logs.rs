//! Lists of logs that have two octets each.

use core::fmt;
use core::iter::FusedIterator;

use nom::Parser;
use nom::bytes::complete::take;

use crate::encode::Cursor;
use crate::parse::Parsed;

mod sealed {
    use crate::channel::{ControlLog, ExtraLog, NoteLog, PolyPressureLog};

    #[expect(unnameable_types, reason = "that is how a trait is sealed")]
    pub trait Sealed {}

    impl Sealed for ControlLog {}
    impl Sealed for NoteLog {}
    impl Sealed for ExtraLog {}
    impl Sealed for PolyPressureLog {}
}

/// A log of two octets: those of chapters C, N, E and A.
///
/// Nobody else can implement it: the chapters are what RFC 6295 says they are.
pub trait Log: Copy + Eq + fmt::Debug + sealed::Sealed {
    /// The log in these two octets. Every two octets are one.
    fn from_octets(octets: [u8; 2]) -> Self;

    /// The two octets of the log.
    fn to_octets(self) -> [u8; 2];

    /// Its S bit: 0 if it codes a command of the packet just before.
    fn s(self) -> bool;
}

/// Up to 128 logs of two octets, borrowed from the octets of a journal or from a slice.
///
/// Oldest first: the command that came last is coded last.
#[derive(Clone, Copy)]
pub struct Logs<'a, L>(Source<'a, L>);

#[derive(Clone, Copy)]
enum Source<'a, L> {
    Octets(&'a [[u8; 2]]),
    Logs(&'a [L]),
}

/// Goes through [`Logs`].
#[derive(Clone, Debug)]
pub struct LogIter<'a, L: Log> {
    logs: Logs<'a, L>,
    next: usize,
}

impl<'a, L: Log> Logs<'a, L> {
    /// The most logs that a chapter holds.
    pub const MAX_LEN: usize = 128;

    /// The logs, or `None` when there are more than [`MAX_LEN`](Self::MAX_LEN).
    #[must_use]
    pub const fn new(logs: &'a [L]) -> Option<Self> {
        if logs.len() <= Self::MAX_LEN {
            Some(Self(Source::Logs(logs)))
        } else {
            None
        }
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self.0 {
            Source::Octets(octets) => octets.len(),
            Source::Logs(logs) => logs.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The log with this index, counted from 0.
    #[must_use]
    #[inline]
    pub fn get(&self, index: usize) -> Option<L> {
        match self.0 {
            Source::Octets(octets) => octets.get(index).copied().map(L::from_octets),
            Source::Logs(logs) => logs.get(index).copied(),
        }
    }

    /// The logs in their order.
    #[must_use]
    #[inline]
    pub const fn iter(&self) -> LogIter<'a, L> {
        LogIter {
            logs: *self,
            next: 0,
        }
    }

    /// Whether every log has S=1.
    #[must_use]
    pub fn s(&self) -> bool {
        self.iter().all(L::s)
    }

    /// Reads `count` logs.
    pub(crate) fn read(count: usize, input: &'a [u8]) -> Parsed<'a, Self> {
        let (rest, octets) = take(2 * count).parse(input)?;
        let (pairs, _) = octets.as_chunks();
        Ok((rest, Self(Source::Octets(pairs))))
    }

    pub(crate) fn write(&self, out: &mut Cursor<'_>) {
        self.iter().for_each(|log| out.put_all(&log.to_octets()));
    }
}

impl<'a, L: Log> IntoIterator for &Logs<'a, L> {
    type Item = L;
    type IntoIter = LogIter<'a, L>;

    fn into_iter(self) -> LogIter<'a, L> {
        self.iter()
    }
}

impl<L: Log> PartialEq for Logs<'_, L> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<L: Log> Eq for Logs<'_, L> {}

impl<L: Log> fmt::Debug for Logs<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<L: Log> Iterator for LogIter<'_, L> {
    type Item = L;

    #[inline]
    fn next(&mut self) -> Option<L> {
        let log = self.logs.get(self.next)?;
        self.next += 1;
        Some(log)
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.logs.len() - self.next;
        (left, Some(left))
    }
}

impl<L: Log> ExactSizeIterator for LogIter<'_, L> {}
impl<L: Log> FusedIterator for LogIter<'_, L> {}
