//! The MIDI command section of a packet.

use core::iter::FusedIterator;

use netmidi_message::{ChannelStatus, Message};

use crate::delta::Delta;
use crate::error::ParseError;
use crate::parse::{self, Fault};
use crate::rtp::RtpTimestamp;
use crate::sysex_segment::SysExSegment;

/// The MIDI command section: a header, the list of commands, and after it the journal
/// (RFC 6295 §3).
///
/// ```text
///  0 1 2 3 4 5 6 7
/// +-+-+-+-+-+-+-+-+
/// |B|J|Z|P|  LEN  |  list …   journal …      B=0: LEN 0 to 15
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |B|J|Z|P|          LEN          |  list …   journal …      B=1: LEN 0 to 4,095
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
///
/// All of the list is checked by [`parse`](Self::parse): a list with a fault in it is refused
/// whole, because after the fault nobody knows where the next command begins.
#[derive(Clone, Copy, Debug)]
pub struct CommandSection<'a> {
    flags: u8,
    base: RtpTimestamp,
    /// Commands in the list, a delta time at its end included.
    count: u16,
    list: &'a [u8],
    after: &'a [u8],
    /// Where `after` begins, for the error that names it.
    end: usize,
}

/// What one command of a list is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Command<'a> {
    /// Any message but a system exclusive one.
    Message(Message<'a>),
    /// A system exclusive message, or a piece of one.
    SysEx(SysExSegment<'a>),
}

/// A command of a list and when it is to be executed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct TimedCommand<'a> {
    /// Time since the command before, or for the first since the timestamp of the packet.
    pub delta: Delta,
    /// When: the timestamp of the packet and all deltas up to this one.
    pub timestamp: RtpTimestamp,
    /// Whether the list left the status octet out (running status).
    pub running: bool,
    /// The command; `None` at the end of a list that ends with a delta time, which says
    /// "nothing until then".
    pub command: Option<Command<'a>>,
}

/// Goes through the commands of a [`CommandSection`].
#[derive(Clone, Debug)]
pub struct Commands<'a> {
    walk: Walk<'a>,
    left: u16,
}

impl<'a> CommandSection<'a> {
    /// Reads a command section from the payload of a packet with the timestamp `base`.
    ///
    /// # Errors
    /// When the header is cut, the list is longer than the payload, or its contents are not what
    /// RFC 6295 §3 says. The offset counts from the start of `payload`;
    /// [`RtpPacket::command_section`](crate::RtpPacket::command_section) counts from the start of
    /// the datagram.
    #[inline]
    pub fn parse(payload: &'a [u8], base: RtpTimestamp) -> Result<Self, ParseError> {
        Self::parse_at(payload, base, 0)
    }

    /// The same, of a payload that begins at `offset` of its datagram.
    #[inline]
    pub(crate) fn parse_at(
        payload: &'a [u8],
        base: RtpTimestamp,
        offset: usize,
    ) -> Result<Self, ParseError> {
        let Some((&flags, rest)) = payload.split_first() else {
            return Err(ParseError::MissingCommandSection { offset });
        };
        let short = u16::from(flags & LEN);
        let (len, rest) = match rest.split_first() {
            _ if flags & B == 0 => (short, rest),
            Some((&low, rest)) => (short << 8 | u16::from(low), rest),
            None => return Err(ParseError::TruncatedCommandHeader { offset: offset + 1 }),
        };
        let start = offset + payload.len() - rest.len();
        let Some((list, after)) = rest.split_at_checked(len.into()) else {
            return Err(ParseError::ListOverrun {
                offset: start,
                len,
                available: rest.len(),
            });
        };
        let end = start + list.len();
        let mut walk = Walk::new(flags, base, list);
        let mut count = 0;
        while !walk.rest.is_empty() {
            walk.step().map_err(|fault| fault.into_error(end))?;
            count += 1;
        }
        Ok(Self {
            flags,
            base,
            count,
            list,
            after,
            end,
        })
    }

    /// Whether the header has two octets (B). Legal for a short list too.
    #[must_use]
    pub const fn is_long(&self) -> bool {
        self.flags & B != 0
    }

    /// Whether a journal follows the list (J).
    #[must_use]
    #[inline]
    pub const fn has_journal(&self) -> bool {
        self.flags & J != 0
    }

    /// Whether the list begins with a delta time (Z). Says nothing when the list is empty.
    #[must_use]
    pub const fn has_first_delta(&self) -> bool {
        self.flags & Z != 0
    }

    /// Whether the source had left out the status of the first channel command (P).
    ///
    /// It tells about the source and changes nothing in the list. Says nothing when the list is
    /// empty.
    #[must_use]
    pub const fn is_phantom(&self) -> bool {
        self.flags & P != 0
    }

    /// The octets of the list, LEN of them.
    #[must_use]
    pub const fn list(&self) -> &'a [u8] {
        self.list
    }

    /// The octets after the list when the header announces a journal.
    ///
    /// Nobody has looked at them: there may be none, or nonsense. The list is good whatever they
    /// are.
    #[must_use]
    #[inline]
    pub const fn journal(&self) -> Option<&'a [u8]> {
        if self.has_journal() {
            Some(self.after)
        } else {
            None
        }
    }

    /// The octets after the list when the header announces no journal: there should be none.
    #[must_use]
    pub const fn trailing(&self) -> &'a [u8] {
        if self.has_journal() { &[] } else { self.after }
    }

    /// What is odd about this section but does not harm its list: octets that follow it without
    /// being a journal.
    #[must_use]
    pub const fn anomaly(&self) -> Option<ParseError> {
        match self.trailing().len() {
            0 => None,
            surplus => Some(ParseError::TrailingOctets {
                offset: self.end,
                surplus,
            }),
        }
    }

    /// The commands in their order.
    #[must_use]
    #[inline]
    pub const fn commands(&self) -> Commands<'a> {
        Commands {
            walk: Walk::new(self.flags, self.base, self.list),
            left: self.count,
        }
    }
}

impl<'a> IntoIterator for &CommandSection<'a> {
    type Item = TimedCommand<'a>;
    type IntoIter = Commands<'a>;

    fn into_iter(self) -> Commands<'a> {
        self.commands()
    }
}

impl<'a> Iterator for Commands<'a> {
    type Item = TimedCommand<'a>;

    #[inline]
    fn next(&mut self) -> Option<TimedCommand<'a>> {
        self.left = self.left.checked_sub(1)?;
        // `CommandSection::parse` has been through the same list without a fault.
        self.walk.step().ok()
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::from(self.left);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Commands<'_> {}
impl FusedIterator for Commands<'_> {}

/// The long header.
pub(crate) const B: u8 = 0x80;
/// A journal follows the list.
pub(crate) const J: u8 = 0x40;
/// The list begins with a delta time.
pub(crate) const Z: u8 = 0x20;
/// The source had no status octet before the first channel command.
pub(crate) const P: u8 = 0x10;
/// The length of the list, or the upper part of it.
const LEN: u8 = 0x0F;

/// A place in a list.
#[derive(Clone, Debug)]
struct Walk<'a> {
    rest: &'a [u8],
    time: RtpTimestamp,
    running: Option<ChannelStatus>,
    delta_next: bool,
}

impl<'a> Walk<'a> {
    #[inline]
    const fn new(flags: u8, base: RtpTimestamp, list: &'a [u8]) -> Self {
        Self {
            rest: list,
            time: base,
            // Running status never crosses packets.
            running: None,
            delta_next: flags & Z != 0,
        }
    }

    /// Reads one delta time and command; not to be called at the end of the list.
    ///
    /// Inlined even where the compiler would rather not: handing its large result back through
    /// memory would double the time a packet takes (bench `datagram_parse`).
    #[inline(always)]
    fn step(&mut self) -> Result<TimedCommand<'a>, Fault<'a>> {
        let mut delta = Delta::ZERO;
        if self.delta_next {
            (self.rest, delta) = parse::delta(self.rest)?;
            self.time = self.time.wrapping_add(delta.get());
        }
        self.delta_next = true;
        let Some(&first) = self.rest.first() else {
            return Ok(TimedCommand {
                delta,
                timestamp: self.time,
                running: false,
                command: None,
            });
        };
        let command = match parse::channel(self.rest, self.running) {
            Some((rest, (message, status))) => {
                self.rest = rest;
                self.running = Some(status);
                Command::Message(message.into())
            }
            None => {
                let (rest, (command, running)) = parse::command(self.rest, self.running)?;
                self.rest = rest;
                self.running = running;
                command
            }
        };
        Ok(TimedCommand {
            delta,
            timestamp: self.time,
            running: first < 0x80,
            command: Some(command),
        })
    }
}
