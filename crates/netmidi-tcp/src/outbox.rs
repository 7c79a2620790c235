//! What waits to be taken by a peer.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};
use netmidi_message::Message;

/// From this length on a message is shared between the queues of all receivers, not copied.
const SHARED_FROM: usize = 512;
/// A queue that is empty keeps no more memory than this.
const KEPT_CAPACITY: usize = 4 << 10;
/// So many pieces are written with one call.
pub(crate) const PIECES: usize = 16;

/// A message in octets, ready to be sent to any number of peers: full status octet, one piece.
#[derive(Clone, Debug)]
pub(crate) enum Encoded {
    Short([u8; 3], u8),
    Long(Bytes),
}

impl Encoded {
    /// `None` for what is never sent: F4, F5, F9 and FD.
    pub(crate) fn new(message: &Message<'_>) -> Option<Self> {
        if message.is_undefined() {
            return None;
        }
        let mut short = [0; 3];
        Some(match message.encode(&mut short) {
            #[allow(clippy::cast_possible_truncation, reason = "at most three")]
            Ok(len) => Self::Short(short, len as u8),
            Err(_) => Self::Long(message.to_vec().into()),
        })
    }

    pub(crate) fn octets(&self) -> &[u8] {
        match self {
            Self::Short(octets, len) => octets.get(..usize::from(*len)).unwrap_or_default(),
            Self::Long(octets) => octets,
        }
    }
}

/// Octets in the order in which they are to be written.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// What stands before `tail`.
    pieces: VecDeque<Bytes>,
    tail: BytesMut,
    octets: usize,
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.octets == 0
    }

    /// How many octets wait.
    pub(crate) fn len(&self) -> usize {
        self.octets
    }

    /// Adds a message, but for its first `written` octets, which have been sent.
    pub(crate) fn push(&mut self, message: &Encoded, written: usize) {
        match message {
            Encoded::Long(octets) if octets.len() >= SHARED_FROM => {
                if !self.tail.is_empty() {
                    self.pieces.push_back(self.tail.split().freeze());
                }
                let rest = octets.slice(written.min(octets.len())..);
                self.octets += rest.len();
                if !rest.is_empty() {
                    self.pieces.push_back(rest);
                }
            }
            _ => self.push_octets(message.octets().get(written..).unwrap_or_default()),
        }
    }

    /// Adds octets that are copied.
    pub(crate) fn push_octets(&mut self, octets: &[u8]) {
        self.octets += octets.len();
        self.tail.extend_from_slice(octets);
    }

    /// What is to be written next, as many pieces as fit.
    pub(crate) fn slices<'a>(&'a self, out: &mut [IoSlice<'a>; PIECES]) -> usize {
        let tail = (!self.tail.is_empty()).then_some(&*self.tail);
        let all = self.pieces.iter().map(|piece| &**piece).chain(tail);
        let mut count = 0;
        for (slot, octets) in out.iter_mut().zip(all) {
            *slot = IoSlice::new(octets);
            count += 1;
        }
        count
    }

    /// `count` octets have been written.
    pub(crate) fn advance(&mut self, mut count: usize) {
        self.octets = self.octets.saturating_sub(count);
        while count > 0 {
            let Some(first) = self.pieces.front_mut() else {
                self.tail.advance(count.min(self.tail.len()));
                break;
            };
            let taken = count.min(first.len());
            first.advance(taken);
            count -= taken;
            if first.is_empty() {
                self.pieces.pop_front();
            }
        }
        // Its capacity is only that behind what has been taken.
        if self.octets == 0 && self.tail.try_reclaim(KEPT_CAPACITY + 1) {
            *self = Self::default();
        }
    }

    /// Throws everything away.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn all(outbox: &Outbox) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); PIECES];
        let count = outbox.slices(&mut slices);
        slices
            .iter()
            .take(count)
            .flat_map(|it| it.to_vec())
            .collect()
    }

    proptest! {
        #[test]
        fn octets_come_out_in_order(
            steps in proptest::collection::vec((0..2000usize, 0..4usize, 0..3000usize), 1..40),
        ) {
            let mut outbox = Outbox::default();
            let mut truth: Vec<u8> = Vec::new();
            let mut out: Vec<u8> = Vec::new();
            for (at, (len, written, taken)) in steps.into_iter().enumerate() {
                let octets = vec![at as u8; len];
                let written = written.min(len);
                truth.extend(&octets[written..]);
                outbox.push(&Encoded::Long(octets.into()), written);
                let next = all(&outbox);
                let taken = taken.min(next.len());
                out.extend(&next[..taken]);
                outbox.advance(taken);
                prop_assert_eq!(outbox.len(), truth.len() - out.len());
            }
            while !outbox.is_empty() {
                let next = all(&outbox);
                prop_assert!(!next.is_empty());
                out.extend(&next);
                outbox.advance(next.len());
            }
            prop_assert_eq!(out, truth);
        }
    }

    #[test]
    fn an_empty_queue_keeps_little_memory() {
        for len in [KEPT_CAPACITY + 1, 1 << 16, 100_000] {
            let mut outbox = Outbox::default();
            outbox.push_octets(&vec![1; len]);
            outbox.advance(len);
            assert!(!outbox.tail.try_reclaim(KEPT_CAPACITY + 1), "{len}");
        }
    }

    #[test]
    fn undefined_statuses_are_not_sent() {
        for octets in [&[0xF4, 1][..], &[0xF5], &[0xF9], &[0xFD]] {
            assert!(
                Encoded::new(&Message::parse(octets).unwrap()).is_none(),
                "{octets:02x?}"
            );
        }
    }
}
