//! Building packets: many messages in one, long ones over several.

use netmidi_message::{BufferTooSmall, ChannelStatus, Message, RunningStatus};

use crate::commands::{B, Command, J, P, TimedCommand, Z};
use crate::delta::Delta;
use crate::rtp::{RtpHeader, RtpTimestamp};
use crate::sysex_segment::{SegmentKind, SysExSegment};

/// How long a packet may get, in octets of UDP payload: 256 to 8,192.
///
/// Below the smallest datagram limit of the path nothing is fragmented, and pymidi and
/// bbouchez/RTP-MIDI read no more than 1,024 octets.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PacketBudget(u16);

impl PacketBudget {
    /// 1,024 octets: what every known peer reads.
    pub const DEFAULT: Self = Self(1024);
    /// The smallest, 256 octets.
    pub const MIN: Self = Self(256);
    /// The largest, 8,192 octets.
    pub const MAX: Self = Self(8192);

    /// The budget, or `None` outside 256 to 8,192.
    #[must_use]
    pub const fn new(octets: u16) -> Option<Self> {
        match octets {
            256..=8192 => Some(Self(octets)),
            _ => None,
        }
    }

    /// Octets of UDP payload.
    #[must_use]
    #[inline]
    pub const fn get(self) -> usize {
        self.0 as usize
    }

    /// Octets of the longest command, as it stands in the list, that every empty packet takes
    /// uncut whatever its delta time.
    #[must_use]
    pub const fn longest_command(self) -> usize {
        let room = self.get() - LIST;
        let list = if room < MAX_LIST { room } else { MAX_LIST };
        list - Delta::MAX_LEN
    }
}

impl Default for PacketBudget {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What became of a message that was to go into a packet.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[must_use = "a message may have to go into another packet"]
pub enum Pushed {
    /// It is in, to its end.
    Whole,
    /// A system exclusive message is in up to here; push it again into the next packet, with this
    /// number. No other system exclusive message may come between, nor by default anything but
    /// real-time messages (RFC 6295 §3.2).
    Part {
        /// Data octets of the message sent so far, in this packet and those before.
        taken: usize,
    },
    /// Nothing was written: push it into another packet.
    Full,
    /// Nothing was written, and in another packet that keeps as much free for a journal
    /// ([`PacketWriter::reserve`]) it would be the same: an undefined message (F4, F5), which
    /// cannot be cut, is longer than an empty packet takes.
    TooLong,
}

/// Writes one packet into a buffer, message by message.
///
/// One pass, no allocation, no copy: the list is written where a long header would leave it, and
/// moved down by one octet at the end if it stayed shorter than 16.
#[derive(Debug)]
pub struct PacketWriter<'b> {
    /// The whole packet, as long as the budget.
    out: &'b mut [u8],
    /// Octets kept free for the journal.
    reserved: usize,
    /// Where the next command goes.
    end: usize,
    /// Flags of the command section.
    flags: u8,
    /// When the last command is executed.
    time: RtpTimestamp,
    running_status: RunningStatus,
    running: Option<ChannelStatus>,
    /// The list ends with a delta time: nothing can follow.
    closed: bool,
}

/// Where the list begins behind a long header.
const LIST: usize = RtpHeader::LEN + 2;
/// The longest list, 12 bits of length.
const MAX_LIST: usize = 4095;
/// What a journal must leave for the list, so that no message waits for ever.
const MIN_LIST: usize = 32;
/// Data octets below which it is not worth to cut a system exclusive message.
const MIN_SEGMENT: usize = 16;

impl<'b> PacketWriter<'b> {
    /// Begins a packet at the start of `out`.
    ///
    /// The timestamp in `header` is best that of the first message: then the list begins without
    /// a delta time (Z=0), which is the only kind of list that pymidi and LeovR/rtp-midi read.
    ///
    /// # Errors
    /// When `out` is shorter than the budget.
    #[inline]
    pub fn new(
        out: &'b mut [u8],
        budget: PacketBudget,
        header: &RtpHeader,
    ) -> Result<Self, BufferTooSmall> {
        let available = out.len();
        let Some(out) = out.get_mut(..budget.get()) else {
            return Err(BufferTooSmall {
                needed: budget.get(),
                available,
            });
        };
        header.encode(out)?;
        Ok(Self {
            out,
            reserved: 0,
            end: LIST,
            flags: 0,
            time: header.timestamp,
            running_status: RunningStatus::Off,
            running: None,
            closed: false,
        })
    }

    /// The same, with or without running status. Without, as it begins, a packet can be read by
    /// everybody: LeovR/rtp-midi does not know running status.
    #[must_use]
    pub const fn with_running_status(mut self, running_status: RunningStatus) -> Self {
        self.running_status = running_status;
        self
    }

    /// The same with the phantom bit set: the source had left out the status of the first channel
    /// command (RFC 6295 §3.2).
    ///
    /// Only for who passes on a real DIN stream: a peer that set it on everything was not heard
    /// by GarageBand and Live.
    #[must_use]
    pub const fn with_phantom(mut self) -> Self {
        self.flags |= P;
        self
    }

    /// Keeps this many octets free after the list, for a journal; the last call counts.
    ///
    /// # Errors
    /// When they do not fit behind what is in the list, or would leave less than 32 octets for
    /// the list; then nothing changes.
    pub const fn reserve(&mut self, octets: usize) -> Result<(), BufferTooSmall> {
        let list = if self.end > LIST + MIN_LIST {
            self.end
        } else {
            LIST + MIN_LIST
        };
        let available = self.out.len() - list;
        if octets > available {
            return Err(BufferTooSmall {
                needed: octets,
                available,
            });
        }
        self.reserved = octets;
        Ok(())
    }

    /// Whether the list is empty.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.end == LIST
    }

    /// How many octets the list may still grow.
    #[must_use]
    #[inline]
    pub const fn room(&self) -> usize {
        if self.closed {
            0
        } else {
            (LIST + self.capacity()).saturating_sub(self.end)
        }
    }

    /// Adds a message that is executed `at`, which is taken as the time of the command before if
    /// it is earlier than that.
    ///
    /// `taken` is 0, except for a system exclusive message that was begun in an earlier packet:
    /// then it is the number that came with [`Pushed::Part`]. Other messages do not look at it.
    ///
    /// An empty packet takes at least a part of any message that is not
    /// [`TooLong`](Pushed::TooLong), if `at` is not more than [`Delta::MAX`] after the timestamp in
    /// its header.
    #[inline]
    pub fn push(&mut self, at: RtpTimestamp, message: Message<'_>, taken: usize) -> Pushed {
        let Some(delta) = self.delta_to(at) else {
            return Pushed::Full;
        };
        match message {
            Message::SysEx(sysex) => self.push_sysex(delta, sysex.data(), taken),
            // With any delta time, so that the answer does not depend on the packet.
            Message::Undefined(it) if it.encoded_len() + 1 + Delta::MAX_LEN > self.capacity() => {
                Pushed::TooLong
            }
            _ => {
                let running = self.running_status == RunningStatus::On;
                self.push_message(delta, message, running)
            }
        }
    }

    /// Adds one segment of a system exclusive message as it is, without cutting it: to cancel a
    /// message that was begun, or to pass on segments as they came.
    ///
    /// [`Pushed::TooLong`] when it does not fit into an empty packet.
    pub fn push_segment(&mut self, at: RtpTimestamp, segment: SysExSegment<'_>) -> Pushed {
        match self.delta_to(at) {
            Some(delta) => self.write_segment(delta, segment),
            None => Pushed::Full,
        }
    }

    /// Adds a command with the delta time, and with or without the status octet, that it has
    /// itself. Its timestamp is not looked at.
    ///
    /// Without a command only the delta time is written, and the list is closed.
    ///
    /// A status octet is left out only where running status allows it. [`Pushed::TooLong`] when
    /// the command does not fit into an empty packet with its delta time.
    pub fn push_command(&mut self, command: &TimedCommand<'_>) -> Pushed {
        let delta = command.delta;
        let pushed = match command.command {
            Some(Command::Message(Message::SysEx(sysex))) => {
                let whole = SysExSegment::from_checked(SegmentKind::Whole, sysex.data());
                self.write_segment(delta, whole)
            }
            Some(Command::Message(message)) => self.push_message(delta, message, command.running),
            Some(Command::SysEx(segment)) => self.write_segment(delta, segment),
            None => {
                let Some(to) = self.claim(delta, true, 0) else {
                    return Pushed::Full;
                };
                self.commit(to, delta);
                self.closed = true;
                Pushed::Whole
            }
        };
        match pushed {
            // The delta time stays what it is, so another packet has no more room.
            Pushed::Full if self.is_empty() => Pushed::TooLong,
            other => other,
        }
    }

    /// Ends the packet without a journal and returns its length.
    #[must_use]
    #[inline]
    pub fn finish(mut self) -> usize {
        self.close_list()
    }

    /// Ends the packet with a journal and returns its length.
    ///
    /// `journal` gets all that the budget leaves, at least what was reserved, and returns how
    /// many octets it has written. If that is 0, the packet has no journal.
    pub fn finish_with_journal(mut self, journal: impl FnOnce(&mut [u8]) -> usize) -> usize {
        let end = self.close_list();
        let free = self.out.get_mut(end..).unwrap_or_default();
        let len = journal(free).min(free.len());
        if len > 0
            && let Some(header) = self.out.get_mut(RtpHeader::LEN)
        {
            *header |= J;
        }
        end + len
    }

    /// The time since the last command; `None` when that is more than a delta time can say.
    #[inline]
    fn delta_to(&self, at: RtpTimestamp) -> Option<Delta> {
        Delta::new(at.distance_from(self.time).max(0).cast_unsigned())
    }

    /// The longest list that this packet can get.
    #[inline]
    const fn capacity(&self) -> usize {
        let free = self.out.len() - LIST - self.reserved;
        if free < MAX_LIST { free } else { MAX_LIST }
    }

    /// Any message but a system exclusive one.
    #[inline]
    fn push_message(&mut self, delta: Delta, message: Message<'_>, may_run: bool) -> Pushed {
        let (status, octets, len) = match message {
            Message::Channel(message) => (
                Some(message.status()),
                message.to_octets(),
                message.encoded_len(),
            ),
            Message::Common(message) => (None, message.to_octets(), message.encoded_len()),
            Message::RealTime(message) => (self.running, [message.status(), 0, 0], 1),
            Message::Undefined(message) => {
                let status = message.status().status();
                return self.write_framed(delta, status, message.data(), 0xF7);
            }
            Message::SysEx(message) => return self.write_framed(delta, 0xF0, message.data(), 0xF7),
        };
        let skip = match message {
            Message::Channel(_) if may_run && status == self.running => 1,
            _ => 0,
        };
        let octets = octets.get(skip..len).unwrap_or_default();
        let Some(at) = self.claim(delta, false, octets.len()) else {
            return Pushed::Full;
        };
        if let Some(to) = self.out.get_mut(at..at + octets.len()) {
            to.copy_from_slice(octets);
        }
        self.commit(at + octets.len(), delta);
        self.running = status;
        Pushed::Whole
    }

    /// A system exclusive message, cut where the packet ends.
    fn push_sysex(&mut self, delta: Delta, data: &[u8], taken: usize) -> Pushed {
        let taken = taken.min(data.len());
        let left = data.get(taken..).unwrap_or_default();
        let fresh = taken == 0;
        let (whole, part) = if fresh {
            (SegmentKind::Whole, SegmentKind::First)
        } else {
            (SegmentKind::Last, SegmentKind::Middle)
        };
        let room = self.room().saturating_sub(self.delta_len(delta) + 2);
        if left.len() <= room {
            return self.write_segment(delta, SysExSegment::from_checked(whole, left));
        }
        let Some(take) = self.cut(left.len(), room) else {
            return Pushed::Full;
        };
        let now = left.get(..take).unwrap_or_default();
        match self.write_segment(delta, SysExSegment::from_checked(part, now)) {
            Pushed::Whole => Pushed::Part {
                taken: taken + take,
            },
            other => other,
        }
    }

    /// How many of `left` data octets to send where `room` is less than that.
    ///
    /// Neither this segment nor the one that is left to send should be shorter than
    /// [`MIN_SEGMENT`]; an empty packet must take something.
    fn cut(&self, left: usize, room: usize) -> Option<usize> {
        let take = room.min(left - MIN_SEGMENT.min(left));
        if take >= MIN_SEGMENT {
            Some(take)
        } else if self.is_empty() {
            Some((left / 2).min(room).max(1))
        } else {
            None
        }
    }

    fn write_segment(&mut self, delta: Delta, segment: SysExSegment<'_>) -> Pushed {
        let kind = segment.kind();
        self.write_framed(delta, kind.head(), segment.data(), kind.tail())
    }

    /// A command with data octets between a head and a tail.
    fn write_framed(&mut self, delta: Delta, head: u8, data: &[u8], tail: u8) -> Pushed {
        let len = data.len() + 2;
        let Some(at) = self.claim(delta, false, len) else {
            return if len > self.capacity() {
                Pushed::TooLong
            } else {
                Pushed::Full
            };
        };
        if let Some([first, middle @ .., last]) = self.out.get_mut(at..at + len) {
            *first = head;
            middle.copy_from_slice(data);
            *last = tail;
        }
        self.commit(at + len, delta);
        // Heads and tails are F0 to F7, which all cancel it.
        self.running = None;
        Pushed::Whole
    }

    /// Octets that this delta time takes here: none before the first command when it is 0.
    #[inline]
    const fn delta_len(&self, delta: Delta) -> usize {
        if self.is_empty() && delta.get() == 0 {
            0
        } else {
            delta.encoded_len()
        }
    }

    /// Writes the delta time of a command of `len` octets and returns where the command goes;
    /// `None`, and nothing written, when both do not fit.
    ///
    /// A delta time without a command is `alone`: it is written even if it is the first and 0.
    #[inline]
    fn claim(&mut self, delta: Delta, alone: bool, len: usize) -> Option<usize> {
        let delta_len = if alone {
            delta.encoded_len()
        } else {
            self.delta_len(delta)
        };
        if delta_len + len > self.room() {
            return None;
        }
        if delta_len > 0 {
            delta.encode(self.out.get_mut(self.end..)?).ok()?;
            if self.is_empty() {
                self.flags |= Z;
            }
        }
        Some(self.end + delta_len)
    }

    /// Makes what was written part of the list.
    #[inline]
    const fn commit(&mut self, end: usize, delta: Delta) {
        self.end = end;
        self.time = self.time.wrapping_add(delta.get());
    }

    /// Writes the header of the command section and returns where the list ends.
    #[inline]
    fn close_list(&mut self) -> usize {
        let len = self.end - LIST;
        // Z and P say nothing about an empty list: sent as 0 (RFC 6295 §3).
        let flags = if len == 0 { 0 } else { self.flags };
        let [high, low] = (len as u16).to_be_bytes();
        if len < 16 {
            self.out.copy_within(LIST..self.end, LIST - 1);
            self.put(RtpHeader::LEN, flags | low);
            self.end - 1
        } else {
            self.put(RtpHeader::LEN, B | flags | high);
            self.put(RtpHeader::LEN + 1, low);
            self.end
        }
    }

    #[inline]
    fn put(&mut self, at: usize, octet: u8) {
        if let Some(to) = self.out.get_mut(at) {
            *to = octet;
        }
    }
}
