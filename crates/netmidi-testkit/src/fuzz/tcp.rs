//! The codec of `netmidi-tcp` against a plain model of its header lines.

use std::io;

use bytes::BytesMut;
use netmidi_message::{Dialect, DiscardReason, HeapBuffer, MessageBuf, StreamParser};
use netmidi_tcp::{
    Header, Incoming, MAX_HEADER_LINES, MAX_HEADER_OCTETS, MidiCodec, Options, SysEx,
};
use tokio_util::codec::Decoder;

use super::message::{Said, assert_all_accounted, configured, listen};

/// Something a codec said, in a form of which parts can be joined.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Received {
    /// The header.
    Header(ReceivedHeader),
    /// A message.
    Message(MessageBuf),
    /// Octets that are no part of a message: why, where the first is, how many, and the first eight.
    Discarded(DiscardReason, u64, usize, Vec<u8>),
}

/// The lines of a header.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ReceivedHeader {
    /// What the first line says.
    pub version: Option<(u8, u8)>,
    /// Names and values.
    pub fields: Vec<(String, String)>,
}

/// By which rules a stream is read.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    /// Running status or none.
    pub dialect: Dialect,
    /// How many data octets a system exclusive message may have.
    pub limit: usize,
    /// Whether there may be none at all.
    pub refuse: bool,
}

impl Read {
    /// The defaults, in this dialect.
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            limit: netmidi_message::DEFAULT_SYSEX_LIMIT,
            refuse: false,
        }
    }

    /// Options that say the same.
    #[must_use]
    pub fn options(&self) -> Options {
        let sysex = if self.refuse {
            SysEx::Refuse
        } else {
            SysEx::Accept
        };
        Options::new()
            .dialect(self.dialect)
            .sysex_limit(self.limit)
            .sysex(sysex)
    }

    fn parser(&self) -> StreamParser<HeapBuffer> {
        configured(StreamParser::new(), self.dialect, self.limit, self.refuse)
    }
}

/// Decodes `octets` in pieces, ends the stream, and gives everything that the codec said; reports
/// are joined as [`listen`] does it.
///
/// # Errors
/// Those of the codec.
///
/// # Panics
/// When the codec leaves octets in its buffer, or goes on after the end.
pub fn receive<'a>(
    read: Read,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> io::Result<Vec<Received>> {
    let mut codec = MidiCodec::new(&read.options());
    let mut buffer = BytesMut::new();
    let mut received = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while let Some(item) = codec.decode(&mut buffer)? {
            keep(&mut received, item);
        }
        assert!(buffer.is_empty(), "octets that the codec did not take");
    }
    while let Some(item) = codec.decode_eof(&mut buffer)? {
        keep(&mut received, item);
    }
    assert!(codec.decode_eof(&mut buffer)?.is_none(), "no end");
    Ok(received)
}

fn keep(received: &mut Vec<Received>, item: Incoming) {
    match item {
        Incoming::Header(header) => received.push(Received::Header(ReceivedHeader {
            version: header.version(),
            fields: header
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        })),
        Incoming::Message(message) => received.push(Received::Message(message)),
        Incoming::Discarded(report) => {
            assert!(report.len > 0, "a report about nothing");
            assert_eq!(report.head().len(), report.len.min(8));
            let head = report.head().to_vec();
            discard(received, report.reason, report.offset, report.len, head);
        }
    }
}

/// Adds a report, to the last one if it goes on there.
fn discard(
    received: &mut Vec<Received>,
    reason: DiscardReason,
    offset: u64,
    len: usize,
    head: Vec<u8>,
) {
    if let Some(Received::Discarded(last_reason, last_offset, last_len, last_head)) =
        received.last_mut()
        && *last_reason == reason
        && *last_offset + *last_len as u64 == offset
    {
        *last_len += len;
        let room = 8 - last_head.len();
        last_head.extend(head.into_iter().take(room));
    } else {
        received.push(Received::Discarded(reason, offset, len, head));
    }
}

/// What a codec has to say to a stream, worked out with the whole of it at hand; `None` when its
/// peer speaks TLS.
#[must_use]
pub fn expected(read: Read, octets: &[u8]) -> Option<Vec<Received>> {
    if matches!(
        octets,
        [0x16, 3, 0..=4, _, _, 1, ..] | [0x15, 3, 0..=4, 0, 2, ..]
    ) {
        return None;
    }
    let mut received = Vec::new();
    let mut header = ReceivedHeader::default();
    // The section without the lines that are none, as a sender would write it.
    let mut written = String::new();
    let mut lines = 0;
    let end = octets.iter().position(|octet| *octet >= 0x80);
    let end = end.unwrap_or(octets.len()).min(MAX_HEADER_OCTETS);
    let mut at = 0;
    for line in octets[..end].split_inclusive(|octet| *octet == b'\n') {
        let start = at;
        at += line.len();
        let text = str::from_utf8(line).expect("7-bit octets");
        let is_first = lines == 0;
        let understood = match text.strip_suffix("\r\n").or(text.strip_suffix('\n')) {
            None => false,
            Some("") => !is_first,
            Some(text) => {
                let canonical = match (version(text), field(text)) {
                    (Some((major, minor)), _) if is_first => {
                        header.version = Some((major, minor));
                        Some(format!("MIDI/{major}.{minor}\r\n"))
                    }
                    (Some(_), _) | (None, None) => None,
                    (None, Some((name, value))) => {
                        let canonical = format!("{name}: {value}\r\n");
                        let len = written.len() + canonical.len() + 2;
                        let fits = lines < MAX_HEADER_LINES && len <= MAX_HEADER_OCTETS;
                        fits.then(|| {
                            header.fields.push((name.to_owned(), value.to_owned()));
                            canonical
                        })
                    }
                };
                canonical.is_some_and(|canonical| {
                    written += &canonical;
                    lines += 1;
                    true
                })
            }
        };
        if !understood {
            let head = line.iter().copied().take(8).collect();
            let stray = DiscardReason::StrayData;
            discard(&mut received, stray, start as u64, line.len(), head);
        }
        if matches!(text, "\n" | "\r\n") {
            break;
        }
    }
    if lines > 0 {
        received.push(Received::Header(header));
    }

    let rest = &octets[at..];
    let said = listen(read.parser(), [rest]);
    assert_all_accounted(rest, &said);
    for said in said {
        match said {
            Said::Message(message) => received.push(Received::Message(message)),
            Said::Discarded(reason, offset, bytes) => {
                let head = bytes.iter().copied().take(8).collect();
                let offset = at as u64 + offset;
                discard(&mut received, reason, offset, bytes.len(), head);
            }
        }
    }
    Some(received)
}

fn version(line: &str) -> Option<(u8, u8)> {
    let (major, minor) = line.strip_prefix("MIDI/")?.split_once('.')?;
    let digit = |text: &str| match text.len() {
        1 => text.chars().next()?.to_digit(10)?.try_into().ok(),
        _ => None,
    };
    Some((digit(major)?, digit(minor)?))
}

fn field(line: &str) -> Option<(&str, &str)> {
    const MARKS: &str = "!#$%&'*+-.^_`|~";
    let colon = line.find(':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_name = |c: char| matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9') || MARKS.contains(c);
    let is_value = |c: char| matches!(c, ' '..='~' | '\t');
    let whole = !name.is_empty() && name.chars().all(is_name) && value.chars().all(is_value);
    whole.then(|| (name, value.trim_matches([' ', '\t'])))
}

/// The body of the target `tcp_stream`: any octets through the codec.
///
/// The first octet chooses as for [`message_stream`](super::message_stream), the second the length
/// of the pieces; the rest is the stream.
///
/// # Panics
/// When the codec breaks one of its promises.
pub fn tcp_stream(data: &[u8]) {
    let [choice, piece, octets @ ..] = data else {
        return;
    };
    let read = Read {
        dialect: if choice & 1 == 0 {
            Dialect::Din
        } else {
            Dialect::Mido
        },
        limit: match usize::from(choice >> 1 & 15) {
            15 => netmidi_message::DEFAULT_SYSEX_LIMIT,
            limit => limit,
        },
        refuse: choice & 0x20 != 0,
    };
    let whole = receive(read, [octets]);
    let pieces = receive(read, octets.chunks(usize::from(*piece) + 1));
    let single = receive(read, octets.chunks(1));
    let Some(expected) = expected(read, octets) else {
        for received in [whole, pieces, single] {
            let error = received.expect_err("TLS is none of our business");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
        return;
    };
    assert_eq!(whole.expect("no error but TLS"), expected);
    assert_eq!(pieces.expect("no error but TLS"), expected, "in pieces");
    assert_eq!(single.expect("no error but TLS"), expected, "single");

    for received in &expected {
        let Received::Header(read_header) = received else {
            continue;
        };
        let fields = read_header.fields.iter();
        let header = fields
            .take(MAX_HEADER_LINES - 1)
            .try_fold(Header::new(), |header, (name, value)| {
                header.field(name, value)
            });
        // One that was read has no more lines and octets than one that is written, but `MIDI/1.0`
        // may be what makes it too long.
        let Ok(header) = header else {
            assert_eq!(read_header.version, None, "a header that cannot be sent");
            continue;
        };
        assert!(header.encoded_len() <= MAX_HEADER_OCTETS);
        let octets = header.to_bytes();
        assert_eq!(octets.len(), header.encoded_len());
        let again = receive(read, [&octets[..]]).expect("no TLS");
        let fields = header.iter();
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let again_expected = ReceivedHeader {
            version: Some((1, 0)),
            fields: fields.collect(),
        };
        assert_eq!(again, [Received::Header(again_expected)]);
    }
}
