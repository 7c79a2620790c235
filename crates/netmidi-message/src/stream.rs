//! A parser for streams of MIDI octets, whole or cut anywhere.

use core::fmt;

use crate::channel::{ChannelMessage, ChannelStatus};
use crate::message::Message;
use crate::sysex::{SysEx, Undefined, UndefinedStatus, data_prefix};
use crate::system::{RealTime, SystemCommon};
use crate::value::U7;

/// How many data octets a system exclusive message may have by default: 1 MiB.
pub const DEFAULT_SYSEX_LIMIT: usize = 1 << 20;

/// Which rules a stream of octets is read by.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Dialect {
    /// The rules of MIDI 1.0 for the DIN cable: running status, and real-time octets anywhere.
    #[default]
    Din,
    /// What mido's socket ports understand: no running status, a real-time octet inside a channel
    /// or system common message destroys that message, and F4, F5, F9, FD are ignored.
    Mido,
}

/// What a [`StreamParser`] makes of the octets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StreamEvent<'a> {
    /// A complete message.
    Message(Message<'a>),
    /// Octets that are no part of a message.
    Discarded(Discarded<'a>),
}

impl<'a> StreamEvent<'a> {
    /// The message, if it is one.
    #[must_use]
    #[inline]
    pub const fn message(self) -> Option<Message<'a>> {
        match self {
            Self::Message(message) => Some(message),
            Self::Discarded(_) => None,
        }
    }
}

/// Octets that are no part of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Discarded<'a> {
    /// What is wrong with them.
    pub reason: DiscardReason,
    /// The octets, never empty. Those of a message that was cut are given without the messages
    /// that came in between.
    pub bytes: &'a [u8],
    /// Where the first of them is, in octets since the beginning of the stream.
    pub offset: u64,
}

impl fmt::Display for Discarded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.bytes.len();
        let s = if count == 1 { "" } else { "s" };
        let Self { reason, offset, .. } = self;
        write!(
            f,
            "{count} octet{s} discarded from byte {offset} on: {reason}"
        )
    }
}

/// Why octets are no part of a message.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum DiscardReason {
    /// Data octets and no status that they could belong to.
    StrayData,
    /// An F7 without the F0 that it ends.
    StrayEnd,
    /// The beginning of a channel or system common message, cut by a status octet.
    Incomplete,
    /// The beginning of a system exclusive message, cut by a status octet other than F7.
    SysExCut,
    /// A system exclusive or undefined message with more data octets than the limit allows.
    TooLong,
    /// A system exclusive message, when [`refuse_sysex`](StreamParser::refuse_sysex) is asked for.
    Refused,
    /// F4, F5, F9 or FD where the dialect ignores them.
    Undefined,
    /// The beginning of a message, cut by the end of the stream.
    EndOfStream,
}

impl DiscardReason {
    /// One short word for counters and tables.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::StrayData => "stray-data",
            Self::StrayEnd => "stray-end",
            Self::Incomplete => "incomplete",
            Self::SysExCut => "sysex-cut",
            Self::TooLong => "too-long",
            Self::Refused => "refused",
            Self::Undefined => "undefined",
            Self::EndOfStream => "end-of-stream",
        }
    }
}

impl fmt::Display for DiscardReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StrayData => "data without a status",
            Self::StrayEnd => "end of system exclusive (F7) without a beginning",
            Self::Incomplete => "message cut by another status",
            Self::SysExCut => "system exclusive message cut by another status",
            Self::TooLong => "message longer than the limit",
            Self::Refused => "system exclusive messages are refused",
            Self::Undefined => "undefined status",
            Self::EndOfStream => "message cut by the end of the stream",
        })
    }
}

mod storage {
    /// What a parser needs of a buffer; one message at a time, its status octet first.
    #[allow(
        unnameable_types,
        reason = "a sealed trait: its methods are the parser's own business"
    )]
    pub trait Storage {
        /// How many octets fit at most.
        fn max_len(&self) -> usize;
        /// Starts a message.
        fn begin(&mut self, status: u8);
        /// Adds data octets; the parser has checked that the message stays within `max`.
        fn extend(&mut self, data: &[u8], max: usize);
        /// The message so far.
        fn octets(&self) -> &[u8];
    }
}
use storage::Storage;

/// Where a [`StreamParser`] keeps a system exclusive message that is not all there yet.
///
/// Sealed: [`HeapBuffer`] and [`ArrayBuffer`] are all there is.
pub trait SysExBuffer: Storage {}

/// A buffer that grows with the message, up to the parser's limit, and keeps what it has grown to.
#[cfg(feature = "alloc")]
#[derive(Clone, Debug, Default)]
pub struct HeapBuffer(alloc::vec::Vec<u8>);

#[cfg(feature = "alloc")]
impl SysExBuffer for HeapBuffer {}

#[cfg(feature = "alloc")]
impl Storage for HeapBuffer {
    #[inline]
    fn max_len(&self) -> usize {
        usize::MAX
    }

    fn begin(&mut self, status: u8) {
        self.0.clear();
        self.0.push(status);
    }

    fn extend(&mut self, data: &[u8], max: usize) {
        let needed = self.0.len() + data.len();
        let capacity = self.0.capacity();
        if needed > capacity {
            // Doubling as `Vec` does it, but never beyond what the limit lets in.
            let target = capacity.saturating_mul(2).min(max).max(needed);
            self.0.reserve_exact(target - self.0.len());
        }
        self.0.extend_from_slice(data);
    }

    fn octets(&self) -> &[u8] {
        &self.0
    }
}

/// A buffer of fixed size, for use without an allocator.
///
/// It keeps the F0 as well, so `N` octets hold a message of `N - 1` data octets; longer ones are
/// discarded even when the parser's limit is higher.
#[derive(Clone, Debug)]
pub struct ArrayBuffer<const N: usize> {
    octets: [u8; N],
    len: usize,
}

impl<const N: usize> ArrayBuffer<N> {
    /// An empty buffer.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(N > 0, "room for the status octet") };
        Self {
            octets: [0; N],
            len: 0,
        }
    }
}

impl<const N: usize> Default for ArrayBuffer<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> SysExBuffer for ArrayBuffer<N> {}

impl<const N: usize> Storage for ArrayBuffer<N> {
    #[inline]
    fn max_len(&self) -> usize {
        N
    }

    fn begin(&mut self, status: u8) {
        self.len = 0;
        self.extend(&[status], N);
    }

    fn extend(&mut self, data: &[u8], _max: usize) {
        let end = self.len + data.len();
        if let Some(free) = self.octets.get_mut(self.len..end) {
            free.copy_from_slice(data);
            self.len = end;
        }
    }

    fn octets(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }
}

/// What the octets read so far have begun.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Pending {
    /// Nothing: the next octet begins a message.
    Nothing,
    /// A message of known length, in `held`.
    Short,
    /// A system exclusive message, in `buffer`.
    SysEx,
    /// An undefined message, in `buffer`.
    Undefined(UndefinedStatus),
    /// A message that has grown too long or is refused: its remainder is thrown away.
    Unwanted(DiscardReason),
}

/// An incremental parser: octets in, in pieces of any size, typed messages out.
///
/// A message is handed over as soon as its last octet is there. Every octet fed is part of exactly
/// one message or of exactly one [`Discarded`] report; nothing is lost in silence. What comes out
/// does not depend on how the stream was cut into pieces, with one exception: a run of stray data,
/// the remainder of a message that is too long, and a message that is refused, are reported in the
/// pieces in which they came.
///
/// The rules of [`Dialect::Din`]:
///
/// - a channel status stays valid for the data octets that follow its message (running status)
///   until another status octet below F8;
/// - real-time octets (F8 to FF) may stand anywhere, come out at once, before a message they
///   interrupt, and change nothing; F9 and FD come out as
///   [`RealTime::UndefinedF9`] and [`RealTime::UndefinedFd`];
/// - a system exclusive message that anything but F7 cuts is discarded, never delivered in part;
/// - F4 and F5 take all data octets after them, and an F7 if one follows; they come out when the
///   next status octet below F8 shows where they end, or with [`finish`](Self::finish).
///
/// [`Dialect::Mido`] differs where its own description says so.
///
/// Messages of which all octets stand side by side in one piece are not copied, and after the
/// buffer has grown to the longest message nothing is allocated.
///
/// ```
/// use netmidi_message::{StreamEvent, StreamParser};
///
/// let mut parser = StreamParser::new();
/// let mut notes = 0;
/// for piece in [&[0x90, 60][..], &[100, 62, 0xF8], &[100]] {
///     parser.feed(piece, |event| {
///         notes += usize::from(matches!(event, StreamEvent::Message(m) if m.status() == 0x90));
///     });
/// }
/// assert_eq!(notes, 2);
/// ```
#[derive(Clone, Debug)]
pub struct StreamParser<B> {
    buffer: B,
    limit: usize,
    refuse_sysex: bool,
    dialect: Dialect,
    /// The running status, or 0.
    running: u8,
    pending: Pending,
    /// The octets of a message of known length; without status octet if it has none of its own.
    held: [u8; 3],
    held_len: u8,
    /// Where the pending message began.
    start: u64,
    /// How many octets were fed before this piece.
    offset: u64,
}

#[cfg(feature = "alloc")]
impl StreamParser<HeapBuffer> {
    /// A parser for the DIN dialect with a buffer on the heap and [`DEFAULT_SYSEX_LIMIT`].
    #[must_use]
    pub fn new() -> Self {
        Self::with_buffer(HeapBuffer::default())
    }
}

impl<B: SysExBuffer + Default> Default for StreamParser<B> {
    fn default() -> Self {
        Self::with_buffer(B::default())
    }
}

impl<B: SysExBuffer> StreamParser<B> {
    /// A parser for the DIN dialect with this buffer and [`DEFAULT_SYSEX_LIMIT`].
    #[must_use]
    pub fn with_buffer(buffer: B) -> Self {
        Self {
            buffer,
            limit: DEFAULT_SYSEX_LIMIT,
            refuse_sysex: false,
            dialect: Dialect::Din,
            running: 0,
            pending: Pending::Nothing,
            held: [0; 3],
            held_len: 0,
            start: 0,
            offset: 0,
        }
    }

    /// Delivers system exclusive messages of up to `limit` data octets (F0 and F7 not counted) and
    /// discards longer ones. Holds for the data of F4 and F5 too.
    ///
    /// The buffer may set a lower limit, see [`ArrayBuffer`].
    #[must_use]
    pub fn sysex_limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Discards every system exclusive message, [`DiscardReason::Refused`], and keeps nothing of it,
    /// so that its length costs no memory.
    ///
    /// Real-time messages inside come out. One message may be reported in several parts; the first
    /// of them, and no other, begins with F0.
    #[must_use]
    pub fn refuse_sysex(mut self) -> Self {
        self.refuse_sysex = true;
        self
    }

    /// Reads by the rules of `dialect`.
    #[must_use]
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// Takes the next octets of the stream and calls `sink` with everything that they complete, in
    /// order.
    #[inline]
    pub fn feed(&mut self, bytes: &[u8], mut sink: impl FnMut(StreamEvent<'_>)) {
        let mut rest = bytes;
        loop {
            if self.pending == Pending::Nothing {
                rest = self.take_whole(rest, &mut sink);
            }
            if rest.is_empty() {
                break;
            }
            let at = self.offset + (bytes.len() - rest.len()) as u64;
            rest = self.take_any(rest, at, &mut sink);
        }
        self.offset += bytes.len() as u64;
    }

    /// Takes the next octet of the stream; [`feed`](Self::feed) is faster for several.
    #[inline]
    pub fn push(&mut self, octet: u8, sink: impl FnMut(StreamEvent<'_>)) {
        self.feed(&[octet], sink);
    }

    /// Ends the stream: an F4 or F5 still open is delivered, any other message that is not complete
    /// is reported as discarded. The parser is ready for a new stream then.
    pub fn finish(&mut self, mut sink: impl FnMut(StreamEvent<'_>)) {
        self.close(DiscardReason::EndOfStream, &mut sink);
        self.reset();
    }

    /// Whether a message has begun and is not complete; also while the remainder of one is thrown
    /// away that is too long or refused.
    ///
    /// ```
    /// use netmidi_message::StreamParser;
    ///
    /// let mut parser = StreamParser::new();
    /// parser.feed(&[0x90, 60], |_| {});
    /// assert!(parser.is_within_message());
    /// parser.feed(&[100], |_| {});
    /// assert!(!parser.is_within_message());
    /// ```
    #[must_use]
    #[inline]
    pub fn is_within_message(&self) -> bool {
        self.pending != Pending::Nothing
    }

    /// Forgets the stream, a message that is not complete included, and is ready for a new one.
    pub fn reset(&mut self) {
        self.running = 0;
        self.pending = Pending::Nothing;
        self.held_len = 0;
        self.start = 0;
        self.offset = 0;
    }

    /// The fast path: channel and real-time messages that are all there. Stops at the first octet
    /// that needs a closer look, and before the last two octets.
    #[inline]
    fn take_whole<'b>(
        &mut self,
        mut rest: &'b [u8],
        sink: &mut impl FnMut(StreamEvent<'_>),
    ) -> &'b [u8] {
        // No status outlives its message in the mido dialect.
        let keep = match self.dialect {
            Dialect::Din => 0xFF,
            Dialect::Mido => 0x00,
        };
        let mut running = self.running;
        while let Some(&[a, b, c]) = rest.first_chunk() {
            // Whether a message has its own status or the running one cannot be predicted, so this
            // selects where a branch would be more natural.
            let own = a >= 0x80;
            let status = if own { a } else { running };
            let octets = u32::from_le_bytes([a, b, c, 0]) >> (u32::from(own) * 8);
            let [first, second, ..] = octets.to_le_bytes();
            let Some(channel_status) = ChannelStatus::new(status) else {
                match RealTime::from_status(a) {
                    Some(message) if keep != 0 || !message.is_undefined() => {
                        sink(StreamEvent::Message(Message::RealTime(message)));
                        rest = rest.get(1..).unwrap_or_default();
                        continue;
                    }
                    _ => break,
                }
            };
            let data_len = channel_status.data_len();
            let data_mask = if data_len == 2 { 0x8080 } else { 0x0080 };
            if octets & data_mask != 0 {
                break;
            }
            let message = ChannelMessage::from_parts(
                channel_status,
                U7::from_low_bits(first),
                U7::from_low_bits(second),
            );
            sink(StreamEvent::Message(Message::Channel(message)));
            running = status & keep;
            rest = rest.get(usize::from(own) + data_len..).unwrap_or_default();
        }
        self.running = running;
        rest
    }

    /// Takes at least one octet, in any state; `at` is the offset of the first.
    #[inline(never)]
    fn take_any<'b>(
        &mut self,
        bytes: &'b [u8],
        at: u64,
        sink: &mut impl FnMut(StreamEvent<'_>),
    ) -> &'b [u8] {
        let Some((&octet, rest)) = bytes.split_first() else {
            return bytes;
        };
        match octet {
            0x00..=0x7F => return self.take_data(bytes, at, sink),
            0x80..=0xEF => {
                self.close(DiscardReason::Incomplete, sink);
                self.hold(octet, at);
                self.running = octet;
            }
            0xF0 => {
                self.close(DiscardReason::Incomplete, sink);
                if self.refuse_sysex {
                    return self.take_refused(bytes, at, sink);
                }
                return self.take_sysex(rest, at, sink);
            }
            0xF1..=0xF3 => {
                self.close(DiscardReason::Incomplete, sink);
                self.hold(octet, at);
            }
            0xF4 | 0xF5 if self.dialect == Dialect::Mido => {
                discard(DiscardReason::Undefined, &[octet], at, sink);
            }
            0xF4 | 0xF5 => {
                self.close(DiscardReason::Incomplete, sink);
                if let Some(status) = UndefinedStatus::from_status(octet) {
                    self.buffer.begin(octet);
                    self.start = at;
                    self.pending = Pending::Undefined(status);
                }
            }
            0xF6 => {
                self.close(DiscardReason::Incomplete, sink);
                sink(StreamEvent::Message(SystemCommon::TuneRequest.into()));
            }
            0xF7 => self.take_end(at, sink),
            0xF8..=0xFF => self.take_real_time(octet, at, sink),
        }
        rest
    }

    fn take_data<'b>(
        &mut self,
        bytes: &'b [u8],
        at: u64,
        sink: &mut impl FnMut(StreamEvent<'_>),
    ) -> &'b [u8] {
        match (self.pending, bytes) {
            (Pending::Nothing, &[octet, ref rest @ ..]) if self.running != 0 => {
                self.held_len = 0;
                self.hold(octet, at);
                self.deliver_held(sink);
                rest
            }
            (Pending::Short, &[octet, ref rest @ ..]) => {
                self.hold(octet, self.start);
                self.deliver_held(sink);
                rest
            }
            (Pending::SysEx | Pending::Undefined(_), _) => {
                let (data, rest) = data_prefix(bytes);
                self.collect(data, at, sink);
                rest
            }
            (Pending::Unwanted(reason), _) => {
                let (data, rest) = data_prefix(bytes);
                discard(reason, data, at, sink);
                rest
            }
            (Pending::Nothing | Pending::Short, _) => {
                let (data, rest) = data_prefix(bytes);
                discard(DiscardReason::StrayData, data, at, sink);
                rest
            }
        }
    }

    /// Takes what follows an F0 at offset `start`.
    fn take_sysex<'b>(
        &mut self,
        bytes: &'b [u8],
        start: u64,
        sink: &mut impl FnMut(StreamEvent<'_>),
    ) -> &'b [u8] {
        let (data, rest) = data_prefix(bytes);
        if let [0xF7, rest @ ..] = rest
            && data.len() <= self.data_limit()
        {
            sink(StreamEvent::Message(SysEx::from_checked(data).into()));
            return rest;
        }
        self.buffer.begin(0xF0);
        self.start = start;
        self.pending = Pending::SysEx;
        self.collect(data, start + 1, sink);
        rest
    }

    /// Takes a system exclusive message that nobody wants, as far as it is there; `bytes` begin with
    /// its F0, at offset `at`.
    fn take_refused<'b>(
        &mut self,
        bytes: &'b [u8],
        at: u64,
        sink: &mut impl FnMut(StreamEvent<'_>),
    ) -> &'b [u8] {
        let (data, after) = data_prefix(bytes.get(1..).unwrap_or_default());
        let ended = after.first() == Some(&0xF7);
        let (message, rest) = bytes
            .split_at_checked(1 + data.len() + usize::from(ended))
            .unwrap_or((bytes, &[]));
        if !ended {
            self.pending = Pending::Unwanted(DiscardReason::Refused);
        }
        discard(DiscardReason::Refused, message, at, sink);
        rest
    }

    /// Takes an F7. What it can end has cancelled the running status when it began.
    fn take_end(&mut self, at: u64, sink: &mut impl FnMut(StreamEvent<'_>)) {
        match self.pending {
            Pending::SysEx => {
                if let [_, data @ ..] = self.buffer.octets() {
                    sink(StreamEvent::Message(SysEx::from_checked(data).into()));
                }
                self.pending = Pending::Nothing;
            }
            // The F7 belongs to it.
            Pending::Undefined(_) => self.close(DiscardReason::Incomplete, sink),
            Pending::Unwanted(reason) => {
                self.pending = Pending::Nothing;
                discard(reason, &[0xF7], at, sink);
            }
            Pending::Nothing | Pending::Short => {
                self.close(DiscardReason::Incomplete, sink);
                discard(DiscardReason::StrayEnd, &[0xF7], at, sink);
            }
        }
    }

    fn take_real_time(&mut self, octet: u8, at: u64, sink: &mut impl FnMut(StreamEvent<'_>)) {
        let Some(message) = RealTime::from_status(octet) else {
            return;
        };
        if self.dialect == Dialect::Mido {
            if self.pending == Pending::Short {
                self.close(DiscardReason::Incomplete, sink);
            }
            if message.is_undefined() {
                return discard(DiscardReason::Undefined, &[octet], at, sink);
            }
        }
        sink(StreamEvent::Message(message.into()));
    }

    /// Ends what is pending, because of a status octet or the end of the stream, and with it the
    /// running status.
    fn close(&mut self, reason: DiscardReason, sink: &mut impl FnMut(StreamEvent<'_>)) {
        match self.pending {
            Pending::Nothing | Pending::Unwanted(_) => {}
            Pending::Short => {
                let held = self.held.get(..usize::from(self.held_len));
                discard(reason, held.unwrap_or_default(), self.start, sink);
            }
            Pending::SysEx => {
                let reason = match reason {
                    DiscardReason::Incomplete => DiscardReason::SysExCut,
                    other => other,
                };
                discard(reason, self.buffer.octets(), self.start, sink);
            }
            Pending::Undefined(status) => {
                if let [_, data @ ..] = self.buffer.octets() {
                    let message = Undefined::from_checked(status, data);
                    sink(StreamEvent::Message(message.into()));
                }
            }
        }
        self.pending = Pending::Nothing;
        self.held_len = 0;
        self.running = 0;
    }

    /// Adds an octet to a message of known length that began at `start`.
    fn hold(&mut self, octet: u8, start: u64) {
        if let Some(free) = self.held.get_mut(usize::from(self.held_len)) {
            *free = octet;
            self.held_len += 1;
        }
        self.start = start;
        self.pending = Pending::Short;
    }

    /// Delivers the message of known length if it is complete.
    fn deliver_held(&mut self, sink: &mut impl FnMut(StreamEvent<'_>)) {
        let held = self.held.get(..usize::from(self.held_len));
        let running = ChannelStatus::new(self.running);
        // Nothing but a message that is too short yet can fail here.
        if let Ok((message, _, running)) = Message::parse_prefix(held.unwrap_or_default(), running)
        {
            sink(StreamEvent::Message(message));
            self.pending = Pending::Nothing;
            self.held_len = 0;
            self.running = match (self.dialect, running) {
                (Dialect::Din, Some(status)) => status.get(),
                (Dialect::Mido, _) | (_, None) => 0,
            };
        }
    }

    /// Adds data octets to the message in the buffer.
    fn collect(&mut self, data: &[u8], at: u64, sink: &mut impl FnMut(StreamEvent<'_>)) {
        let limit = self.data_limit();
        // The status octet is in the buffer too.
        let room = (limit + 1).saturating_sub(self.buffer.octets().len());
        match data.split_at_checked(room) {
            Some((fitting, surplus @ [_, ..])) => {
                self.buffer.extend(fitting, limit + 1);
                let octets = self.buffer.octets();
                discard(DiscardReason::TooLong, octets, self.start, sink);
                let at = at + fitting.len() as u64;
                discard(DiscardReason::TooLong, surplus, at, sink);
                self.pending = Pending::Unwanted(DiscardReason::TooLong);
            }
            _ => self.buffer.extend(data, limit + 1),
        }
    }

    /// How many data octets a message may have, never more than `usize::MAX - 1`.
    fn data_limit(&self) -> usize {
        self.limit.min(self.buffer.max_len().saturating_sub(1))
    }
}

fn discard(
    reason: DiscardReason,
    bytes: &[u8],
    offset: u64,
    sink: &mut impl FnMut(StreamEvent<'_>),
) {
    sink(StreamEvent::Discarded(Discarded {
        reason,
        bytes,
        offset,
    }));
}

/// The messages in `bytes`, read as one whole stream in the DIN dialect with
/// [`DEFAULT_SYSEX_LIMIT`].
///
/// Octets that are no part of a message are passed over: use a [`StreamParser`] to hear of them.
///
/// ```
/// use netmidi_message::messages;
///
/// assert_eq!(messages(&[0x90, 60, 100, 60, 0, 0xF8]).count(), 3);
/// ```
#[cfg(feature = "alloc")]
#[must_use]
pub fn messages(bytes: &[u8]) -> Messages<'_> {
    Messages {
        parser: Some(StreamParser::new()),
        rest: bytes,
        waiting: None,
    }
}

/// The iterator that [`messages`] returns.
#[cfg(feature = "alloc")]
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    /// `None` after the end.
    parser: Option<StreamParser<HeapBuffer>>,
    rest: &'a [u8],
    /// The second of the two messages that one octet can complete: `F4 F6` are two.
    waiting: Option<crate::owned::MessageBuf>,
}

#[cfg(feature = "alloc")]
impl Iterator for Messages<'_> {
    type Item = crate::owned::MessageBuf;

    fn next(&mut self) -> Option<Self::Item> {
        let mut ready = self.waiting.take();
        while ready.is_none() {
            let parser = self.parser.as_mut()?;
            let waiting = &mut self.waiting;
            let sink = |event: StreamEvent<'_>| {
                if let StreamEvent::Message(message) = event {
                    let slot = if ready.is_none() {
                        &mut ready
                    } else {
                        &mut *waiting
                    };
                    *slot = Some(message.to_buf());
                }
            };
            if let Some((&octet, rest)) = self.rest.split_first() {
                self.rest = rest;
                parser.push(octet, sink);
            } else {
                parser.finish(sink);
                self.parser = None;
            }
        }
        ready
    }
}
