//! The protocol as a codec for [`tokio_util::codec`].

use core::fmt;
use std::collections::VecDeque;
use std::io;

use bytes::{Buf, BufMut, BytesMut};
use netmidi_message::{DiscardReason, Discarded, Message, MessageBuf};
use tokio_util::codec::{Decoder, Encoder};

use crate::header::Header;
use crate::options::Options;
use crate::reader::{Heard, Reader, SpeaksTls};

/// So many octets are read ahead of the item that is asked for, so the queue stays small however
/// much has arrived.
const PIECE: usize = 512;

/// Reads and writes MIDI bytes, on any stream of octets, with
/// [`Framed`](tokio_util::codec::Framed), [`FramedRead`](tokio_util::codec::FramedRead) or
/// [`FramedWrite`](tokio_util::codec::FramedWrite).
///
/// For programs that have a transport of their own; ports do more than that. Of the [`Options`] the
/// dialect, [`sysex`](Options::sysex) and [`sysex_limit`](Options::sysex_limit) count here.
///
/// What is received comes as [`Incoming`]: every octet is part of the header, of one message or of
/// one report. The only errors beside those of the transport are of a peer that speaks TLS. A
/// message that the end of the stream cuts is a report.
///
/// Messages are sent with their status octet, always, as mido needs it. F4, F5, F9 and FD are
/// errors of the kind `InvalidInput`, for a peer by mido's rules would drop them, and so is a
/// [`Header`] behind anything else: it can only be sent first.
///
/// Short messages cost no allocation; a system exclusive message received costs one, its own.
///
/// ```
/// use futures::{SinkExt, StreamExt};
/// use netmidi_message::{Message, MessageBuf};
/// use netmidi_tcp::{Header, Incoming, MidiCodec, Options};
/// use tokio_util::codec::Framed;
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let (here, there) = tokio::io::duplex(64);
/// let mut here = Framed::new(here, MidiCodec::new(&Options::new()));
/// let mut there = Framed::new(there, MidiCodec::new(&Options::new()));
///
/// here.send(Header::new().field(Header::NAME, "Stage piano")?).await?;
/// here.send(Message::parse(&[0x90, 60, 100])?).await?;
///
/// let Some(Incoming::Header(header)) = there.next().await.transpose()? else {
///     return Err("a header was sent first".into());
/// };
/// assert_eq!(header.get(Header::NAME), Some("Stage piano"));
/// let note: MessageBuf = "note_on note=60 velocity=100".parse()?;
/// assert_eq!(there.next().await.transpose()?, Some(Incoming::Message(note)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct MidiCodec {
    reader: Reader,
    /// What was read and not asked for yet.
    queue: VecDeque<Incoming>,
    /// Something was sent.
    begun: bool,
}

/// Something that was received.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Incoming {
    /// The header lines of the peer are complete: at most once, before any message, and never
    /// without a line.
    Header(Header),
    /// A message.
    Message(MessageBuf),
    /// Octets that are no part of a message.
    Discarded(DiscardReport),
}

/// Octets that are no part of a message: why, where, how many, and the first of them.
///
/// A run of stray data, the remainder of a message that is too long, and a refused message may be
/// reported in several parts.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct DiscardReport {
    /// What is wrong with them.
    pub reason: DiscardReason,
    /// Where the first of them is, in octets since the beginning of the stream.
    pub offset: u64,
    /// How many they are, at least 1.
    pub len: usize,
    head: [u8; Self::HEAD_LEN],
}

impl DiscardReport {
    /// So many octets a report keeps.
    pub const HEAD_LEN: usize = 8;

    /// The first of the octets, or all if they are not more than [`HEAD_LEN`](Self::HEAD_LEN).
    #[must_use]
    pub fn head(&self) -> &[u8] {
        self.head.get(..self.len).unwrap_or(&self.head)
    }
}

impl From<Discarded<'_>> for DiscardReport {
    fn from(discarded: Discarded<'_>) -> Self {
        let mut head = [0; Self::HEAD_LEN];
        for (to, from) in head.iter_mut().zip(discarded.bytes) {
            *to = *from;
        }
        Self {
            reason: discarded.reason,
            offset: discarded.offset,
            len: discarded.bytes.len(),
            head,
        }
    }
}

impl fmt::Display for DiscardReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            reason,
            offset,
            len,
            ..
        } = self;
        let s = if *len == 1 { "" } else { "s" };
        write!(f, "{len} octet{s} discarded from byte {offset} on (")?;
        for (at, octet) in self.head().iter().enumerate() {
            let separator = if at == 0 { "" } else { " " };
            write!(f, "{separator}{octet:02X}")?;
        }
        let more = if *len > Self::HEAD_LEN { " .." } else { "" };
        write!(f, "{more}): {reason}")
    }
}

impl Default for MidiCodec {
    fn default() -> Self {
        Self::new(&Options::new())
    }
}

impl MidiCodec {
    /// A codec for one connection.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        Self {
            reader: Reader::new(options),
            queue: VecDeque::new(),
            begun: false,
        }
    }

    /// Whether a message of the peer has begun and is not complete, in the octets decoded so far.
    #[must_use]
    pub fn is_within_message(&self) -> bool {
        self.reader.is_within_message()
    }

    /// Reads up to the first item.
    #[inline]
    fn read(&mut self, src: &mut BytesMut) -> io::Result<Option<Incoming>> {
        while self.queue.is_empty() && !src.is_empty() {
            let piece = src.get(..PIECE).unwrap_or(src);
            let len = piece.len();
            let queue = &mut self.queue;
            let read = self
                .reader
                .feed(piece, |heard| queue.push_back(heard.into()));
            src.advance(len);
            read?;
        }
        Ok(self.queue.pop_front())
    }

    fn write(&mut self, message: &Message<'_>, dst: &mut BytesMut) -> io::Result<()> {
        if message.is_undefined() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "a message with the status {:02X} is not sent: MIDI 1.0 does not define it and \
                     socket ports drop it, so leave it out",
                    message.status()
                ),
            ));
        }
        self.begun = true;
        match message {
            Message::SysEx(sysex) => {
                dst.reserve(sysex.encoded_len());
                dst.put_u8(0xF0);
                dst.put_slice(sysex.data());
                dst.put_u8(0xF7);
            }
            short => {
                let mut octets = [0; 3];
                let len = short.encode(&mut octets).map_err(io::Error::other)?;
                dst.put_slice(octets.get(..len).unwrap_or_default());
            }
        }
        Ok(())
    }
}

impl From<Heard<'_>> for Incoming {
    #[inline]
    fn from(heard: Heard<'_>) -> Self {
        match heard {
            Heard::Header(header) => Self::Header(header.clone()),
            Heard::Message(message) => Self::Message(message.to_buf()),
            Heard::Discarded(discarded) => Self::Discarded(discarded.into()),
        }
    }
}

impl From<SpeaksTls> for io::Error {
    fn from(_: SpeaksTls) -> Self {
        Self::new(
            io::ErrorKind::InvalidData,
            "the peer speaks TLS, and this connection is not encrypted: use TLS on both sides or on \
             neither",
        )
    }
}

impl Decoder for MidiCodec {
    type Item = Incoming;
    type Error = io::Error;

    #[inline]
    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<Incoming>> {
        self.read(src)
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> io::Result<Option<Incoming>> {
        if let Some(item) = self.read(src)? {
            return Ok(Some(item));
        }
        // All octets were read, and what they gave was fetched.
        let queue = &mut self.queue;
        self.reader.finish(|heard| queue.push_back(heard.into()));
        Ok(self.queue.pop_front())
    }
}

impl Encoder<Message<'_>> for MidiCodec {
    type Error = io::Error;

    fn encode(&mut self, message: Message<'_>, dst: &mut BytesMut) -> io::Result<()> {
        self.write(&message, dst)
    }
}

impl Encoder<&Message<'_>> for MidiCodec {
    type Error = io::Error;

    fn encode(&mut self, message: &Message<'_>, dst: &mut BytesMut) -> io::Result<()> {
        self.write(message, dst)
    }
}

impl Encoder<MessageBuf> for MidiCodec {
    type Error = io::Error;

    fn encode(&mut self, message: MessageBuf, dst: &mut BytesMut) -> io::Result<()> {
        self.write(&message.as_message(), dst)
    }
}

impl Encoder<&MessageBuf> for MidiCodec {
    type Error = io::Error;

    fn encode(&mut self, message: &MessageBuf, dst: &mut BytesMut) -> io::Result<()> {
        self.write(&message.as_message(), dst)
    }
}

impl Encoder<Header> for MidiCodec {
    type Error = io::Error;

    fn encode(&mut self, header: Header, dst: &mut BytesMut) -> io::Result<()> {
        self.encode(&header, dst)
    }
}

impl Encoder<&Header> for MidiCodec {
    type Error = io::Error;

    fn encode(&mut self, header: &Header, dst: &mut BytesMut) -> io::Result<()> {
        if self.begun {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a header comes before everything else on a connection: send it first, and once",
            ));
        }
        self.begun = true;
        header.encode(dst);
        Ok(())
    }
}
