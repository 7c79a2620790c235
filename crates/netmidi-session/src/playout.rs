//! When what has come is played: packets and messages that wait for their time.
//!
//! With a delay every packet waits until its first command is due, and packets are taken in the
//! order of their numbers: one that was overtaken on the way is put back in its place, and only what
//! is missing when a later packet is due was lost. A message further on in a packet waits for its own
//! time. What comes out never changes its order.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use netmidi_wire::{RtpHeader, RtpTimestamp};

use crate::config::{Config, LatePolicy, Playout};
use crate::event::{Event, EventQueue, ParticipantId};
use crate::sequence::is_before;
use crate::time::Time;

/// Transit times that an adaptive delay is drawn from.
const TRANSITS: usize = 256;
/// One of so many is allowed to come too late.
const LATE_SHARE: usize = 64;
/// What is added to a measured delay: the peer's clock is known, and counts, no better.
const MARGIN: i64 = 500;
/// An adaptive delay falls by one part in so many of the time that passes: 2 ms in a second, too
/// little to be heard.
const FALL: i64 = 500;
/// A buffer longer than this is not kept for another packet.
const KEPT_OCTETS: usize = 2048;

/// Of which packet the messages are, when it came and what is added to its times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) received: Time,
    /// `None` to play at once.
    pub(crate) delay: Option<Duration>,
}

impl Timing {
    /// Something of ours, now.
    pub(crate) const fn at(now: Time) -> Self {
        Self {
            received: now,
            delay: None,
        }
    }
}

/// Where events go, and what is known when they are made.
#[derive(Debug)]
pub(crate) struct Outlet<'a> {
    pub(crate) now: Time,
    pub(crate) id: ParticipantId,
    pub(crate) config: &'a Config,
    pub(crate) events: &'a mut EventQueue,
}

/// A packet that waits.
#[derive(Debug)]
pub(crate) struct Held {
    due: Time,
    pub(crate) timing: Timing,
    pub(crate) header: RtpHeader,
    pub(crate) payload: Vec<u8>,
}

/// An event that waits.
#[derive(Debug)]
struct Waiting {
    due: Time,
    octets: usize,
    event: Event,
}

/// What waits for its time, of one participant.
#[derive(Debug)]
pub(crate) struct Buffer {
    mode: Playout,
    /// In the order of their numbers, and so of their times.
    packets: VecDeque<Held>,
    packet_octets: usize,
    /// For the next packets.
    free: Vec<Vec<u8>>,
    /// Of packets that were taken already, in the order in which they come out.
    messages: VecDeque<Waiting>,
    message_octets: usize,
    adaptive: Option<Box<Adaptive>>,
}

impl Buffer {
    pub(crate) fn new(mode: Playout) -> Self {
        let mut buffer = Self {
            mode: Playout::Immediate,
            packets: VecDeque::new(),
            packet_octets: 0,
            free: Vec::new(),
            messages: VecDeque::new(),
            message_octets: 0,
            adaptive: None,
        };
        buffer.set(mode);
        buffer
    }

    /// From the next packet on. What waits keeps its time.
    pub(crate) fn set(&mut self, mode: Playout) {
        match mode {
            Playout::Adaptive { .. } if self.adaptive.is_none() => {
                self.adaptive = Some(Box::default());
            }
            Playout::Adaptive { .. } => {}
            Playout::Immediate | Playout::Fixed(_) => self.adaptive = None,
        }
        self.mode = mode;
    }

    #[inline]
    pub(crate) const fn is_immediate(&self) -> bool {
        matches!(self.mode, Playout::Immediate)
    }

    /// The delay of a packet that came now and was sent then, on our clock.
    pub(crate) fn delay(&mut self, now: Time, sent: Option<Time>) -> Duration {
        match (self.mode, &mut self.adaptive) {
            (Playout::Fixed(delay), _) => delay,
            (Playout::Adaptive { max }, Some(adaptive)) => {
                if let Some(sent) = sent {
                    adaptive.measure(now, sent, max);
                }
                adaptive.delay()
            }
            _ => Duration::ZERO,
        }
    }

    /// The delay of the last packet.
    pub(crate) fn last_delay(&self) -> Duration {
        match (self.mode, &self.adaptive) {
            (Playout::Fixed(delay), _) => delay,
            (_, Some(adaptive)) => adaptive.delay(),
            _ => Duration::ZERO,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.packets.is_empty() && self.messages.is_empty()
    }

    pub(crate) fn has_packets(&self) -> bool {
        !self.packets.is_empty()
    }

    /// When something comes out next.
    pub(crate) fn next(&self) -> Option<Time> {
        let packet = self.packets.front().map(|it| it.due);
        let message = self.messages.front().map(|it| it.due);
        [packet, message].into_iter().flatten().min()
    }

    /// Puts a packet in its place. Returns whether it is new.
    pub(crate) fn hold(
        &mut self,
        header: RtpHeader,
        payload: &[u8],
        due: Time,
        timing: Timing,
    ) -> bool {
        let mut place = self.packets.len();
        for other in self.packets.iter().rev() {
            let (seq, timestamp) = (other.header.seq, other.header.timestamp);
            if seq == header.seq && timestamp == header.timestamp {
                return false;
            }
            if !is_before((header.seq, header.timestamp), (seq, timestamp)) {
                break;
            }
            place -= 1;
        }
        // Neither before the one in front of it nor after the one behind it.
        let mut due = due;
        let behind = self.packets.get(place).map(|it| it.due);
        if let Some(behind) = behind {
            due = due.min(behind);
        }
        let front = place.checked_sub(1).and_then(|it| self.packets.get(it));
        if let Some(front) = front {
            due = due.max(front.due);
        }
        let mut copy = self.free.pop().unwrap_or_default();
        copy.clear();
        copy.extend_from_slice(payload);
        self.packet_octets += copy.len();
        let held = Held {
            due,
            timing,
            header,
            payload: copy,
        };
        self.packets.insert(place, held);
        true
    }

    /// The next packet that is due, or that there is no room for.
    pub(crate) fn pop(&mut self, now: Time, config: &Config) -> Option<(Held, Release)> {
        let is_full = self.packets.len() > config.max_held_packets
            || self.packet_octets > config.max_held_octets;
        let held = self.packets.front()?;
        let release = match held.due <= now {
            true => Release::Due,
            false if is_full => Release::Early,
            false => return None,
        };
        let held = self.packets.pop_front()?;
        self.packet_octets -= held.payload.len();
        Some((held, release))
    }

    /// The next packet, due or not.
    pub(crate) fn pop_any(&mut self) -> Option<Held> {
        let held = self.packets.pop_front()?;
        self.packet_octets -= held.payload.len();
        Some(held)
    }

    /// Takes back the buffer of a packet.
    pub(crate) fn recycle(&mut self, payload: Vec<u8>, config: &Config) {
        if payload.capacity() <= KEPT_OCTETS && self.free.len() < config.max_held_packets {
            self.free.push(payload);
        }
    }

    /// An event goes out when it is due, and not before those that wait. Returns how many had to
    /// make room for it.
    #[inline]
    pub(crate) fn emit(
        &mut self,
        due: Option<Time>,
        octets: usize,
        event: impl FnOnce() -> Event,
        out: &mut Outlet<'_>,
    ) -> u64 {
        let due = due.unwrap_or(out.now);
        if self.messages.is_empty() && due <= out.now {
            out.events.push(event());
            return 0;
        }
        self.wait(due, octets, event(), out)
    }

    fn wait(&mut self, due: Time, octets: usize, event: Event, out: &mut Outlet<'_>) -> u64 {
        let due = self.messages.back().map_or(due, |it| due.max(it.due));
        self.messages.push_back(Waiting { due, octets, event });
        self.message_octets += octets;
        let mut early = 0;
        while self.messages.len() > out.config.max_held_messages
            || self.message_octets > out.config.max_held_octets
        {
            self.pop_message(out);
            early += 1;
        }
        early
    }

    /// Lets out the messages that are due.
    pub(crate) fn release(&mut self, out: &mut Outlet<'_>) {
        while self.messages.front().is_some_and(|it| it.due <= out.now) {
            self.pop_message(out);
        }
    }

    /// Lets out all messages.
    pub(crate) fn release_all(&mut self, out: &mut Outlet<'_>) {
        while !self.messages.is_empty() {
            self.pop_message(out);
        }
    }

    fn pop_message(&mut self, out: &mut Outlet<'_>) {
        if let Some(Waiting { octets, event, .. }) = self.messages.pop_front() {
            self.message_octets -= octets;
            out.events.push(event);
        }
    }
}

/// Why a packet comes out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Release {
    Due,
    /// There is no room for it.
    Early,
}

/// Whether a note-on that is so late is left out.
pub(crate) fn is_too_late(policy: LatePolicy, now: Time, at: Time) -> bool {
    match policy {
        LatePolicy::Play => false,
        LatePolicy::Drop { after } => now.since(at) > after,
    }
}

/// A delay that follows how packets travel, in microseconds.
#[derive(Debug)]
struct Adaptive {
    /// How long the last packets were on the way, by the estimate of the peer's clock.
    transits: [i64; TRANSITS],
    count: usize,
    next: usize,
    delay: i64,
    measured_at: Time,
}

impl Default for Adaptive {
    fn default() -> Self {
        Self {
            transits: [0; TRANSITS],
            count: 0,
            next: 0,
            delay: 0,
            measured_at: Time::ZERO,
        }
    }
}

impl Adaptive {
    /// A packet came. The delay rises at once to what all but few of the last packets needed, and
    /// falls slowly.
    fn measure(&mut self, now: Time, sent: Time, max: Duration) {
        let transit = if now >= sent {
            signed(now.since(sent))
        } else {
            -signed(sent.since(now))
        };
        if let Some(slot) = self.transits.get_mut(self.next) {
            *slot = transit;
        }
        self.next = (self.next + 1) % TRANSITS;
        self.count = (self.count + 1).min(TRANSITS);

        let mut recent = self.transits;
        let recent = recent.get_mut(..self.count).unwrap_or_default();
        let rank = self.count - 1 - self.count / LATE_SHARE;
        let (faster, slow, _) = recent.select_nth_unstable(rank);
        let fastest = faster.iter().min().copied().unwrap_or(*slow);
        let most = fastest.saturating_add(signed(max));
        let target = slow.saturating_add(MARGIN).min(most).max(0);
        let passed = signed(now.since(self.measured_at));
        self.delay = target
            .max(self.delay.saturating_sub(passed / FALL))
            .min(most.max(0));
        self.measured_at = now;
    }

    fn delay(&self) -> Duration {
        Duration::from_micros(self.delay.unsigned_abs())
    }
}

fn signed(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// How unevenly packets arrive (RFC 3550 §6.4.1, §A.8): a mean over about 16 packets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Jitter {
    last: Option<(Time, RtpTimestamp)>,
    /// In sixteenths of a microsecond.
    scaled: u64,
}

/// Timestamps that are further off say something else.
const NO_JITTER: u64 = 1_000_000;

impl Jitter {
    pub(crate) fn arrived(&mut self, now: Time, timestamp: RtpTimestamp) {
        let last = self.last.replace((now, timestamp));
        let Some((before, earlier)) = last else {
            return;
        };
        let sent = i64::from(timestamp.distance_from(earlier)) * 100;
        let off = signed(now.since(before)).abs_diff(sent);
        if off < NO_JITTER {
            self.scaled = self.scaled + off - (self.scaled + 8) / 16;
        }
    }

    pub(crate) const fn micros(self) -> u64 {
        self.scaled / 16
    }
}
