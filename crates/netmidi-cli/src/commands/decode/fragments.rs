//! IP packets that came in pieces.

use std::net::IpAddr;
use std::time::Duration;

use etherparse::defrag::IpDefragBuf;
use etherparse::{IpFragOffset, ip_number};

/// How many packets are put together at once, of at most 65,535 octets each; the oldest gives way.
const MAX_OPEN: usize = 64;
/// How long pieces wait for the others (RFC 791 and RFC 8200 say 15 s and 60 s).
const PATIENCE: Duration = Duration::from_secs(60);

/// Which packet a piece belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct FragmentKey {
    pub(crate) from: IpAddr,
    pub(crate) to: IpAddr,
    pub(crate) id: u32,
}

/// A piece of a packet that carries UDP.
#[derive(Debug)]
pub(crate) struct Fragment<'a> {
    pub(crate) key: FragmentKey,
    pub(crate) offset: IpFragOffset,
    /// Whether others follow it.
    pub(crate) more: bool,
    /// None when the capture has only a part of it.
    pub(crate) octets: Option<&'a [u8]>,
}

/// Packets that are being put together.
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    /// The oldest first.
    open: Vec<Open>,
    /// The octets of the packet that was completed last.
    whole: Vec<u8>,
    /// Packets that never became whole.
    pub(crate) lost: u64,
}

#[derive(Debug)]
struct Open {
    key: FragmentKey,
    since: Option<Duration>,
    pieces: IpDefragBuf,
}

impl Fragments {
    /// Takes a piece; returns the octets of the packet once it is whole.
    pub(crate) fn add(&mut self, time: Option<Duration>, fragment: &Fragment<'_>) -> Option<&[u8]> {
        let before = self.open.len();
        self.open.retain(|open| match (time, open.since) {
            (Some(now), Some(since)) => now.abs_diff(since) < PATIENCE,
            _ => true,
        });
        self.lost += (before - self.open.len()) as u64;

        let place = self.open.iter().position(|open| open.key == fragment.key);
        let octets = match (fragment.octets, place) {
            (Some(octets), _) => octets,
            (None, Some(place)) => {
                self.open.remove(place);
                self.lost += 1;
                return None;
            }
            (None, None) => return None,
        };
        let place = match place {
            Some(place) => place,
            None => {
                if self.open.len() >= MAX_OPEN {
                    self.open.remove(0);
                    self.lost += 1;
                }
                self.open.push(Open {
                    key: fragment.key,
                    since: time,
                    pieces: IpDefragBuf::new(ip_number::UDP, Vec::new(), Vec::new()),
                });
                self.open.len() - 1
            }
        };
        let open = self.open.get_mut(place)?;
        if open
            .pieces
            .add(fragment.offset, fragment.more, octets)
            .is_err()
        {
            // They contradict each other.
            self.open.remove(place);
            self.lost += 1;
            return None;
        }
        if !open.pieces.is_complete() {
            return None;
        }
        (self.whole, _) = self.open.remove(place).pieces.take_bufs();
        Some(&self.whole)
    }

    /// Packets of which pieces are missing, when nothing follows.
    pub(crate) fn unfinished(&self) -> u64 {
        self.lost + self.open.len() as u64
    }
}
