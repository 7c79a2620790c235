//! The last messages.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::told::{Mark, Short};

/// So many are kept.
pub(crate) const KEPT: usize = 10_000;

/// A line of the list.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) at: Duration,
    pub(crate) who: Arc<str>,
    pub(crate) what: What,
}

/// What a line tells.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    Midi {
        short: Short,
        mark: Mark,
    },
    /// Something that a session did.
    Event(Arc<str>),
}

/// The last rows, the newest at the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct List {
    rows: VecDeque<Row>,
    /// All that there ever were.
    total: u64,
}

impl List {
    pub(crate) fn push(&mut self, row: Row) {
        if self.rows.len() >= KEPT {
            self.rows.pop_front();
        }
        self.rows.push_back(row);
        self.total += 1;
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The newest first.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().rev()
    }
}
