//! What received octets mean: header lines first, then MIDI.

use netmidi_message::{DiscardReason, Discarded, HeapBuffer, Message, StreamEvent, StreamParser};

use crate::header::{Header, MAX_HEADER_OCTETS};
use crate::options::{Options, SysEx};

/// Something that was read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Heard<'a> {
    /// The header lines of the peer are complete; at most once, before any message, and never
    /// without a line.
    Header(&'a Header),
    Message(Message<'a>),
    Discarded(Discarded<'a>),
}

/// The peer begins a TLS connection, or answers with TLS, on a connection that is not encrypted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct SpeaksTls;

/// Reads the octets of one connection.
///
/// Every octet is part of the header, of one message or of one discard; offsets count from the
/// beginning of the stream.
#[derive(Debug)]
pub(crate) struct Reader {
    parser: StreamParser<HeapBuffer>,
    /// `None` from the first status octet or the end of the header on.
    opening: Option<Opening>,
    /// How many octets came before those that the parser knows of.
    before: u64,
}

impl Reader {
    pub(crate) fn new(options: &Options) -> Self {
        let parser = StreamParser::new()
            .dialect(options.dialect)
            .sysex_limit(options.sysex_limit);
        Self {
            parser: match options.sysex {
                SysEx::Accept => parser,
                SysEx::Refuse => parser.refuse_sysex(),
            },
            opening: Some(Opening::new()),
            before: 0,
        }
    }

    /// Takes the next octets and calls `sink` with everything that they complete.
    ///
    /// After an error every further call gives it again.
    #[inline]
    pub(crate) fn feed(
        &mut self,
        octets: &[u8],
        mut sink: impl FnMut(Heard<'_>),
    ) -> Result<(), SpeaksTls> {
        if self.opening.is_some() {
            return self.open(octets, &mut sink);
        }
        self.parse(octets, &mut sink);
        Ok(())
    }

    /// The stream ended: what is open is reported, and the reader is ready for a new stream.
    pub(crate) fn finish(&mut self, mut sink: impl FnMut(Heard<'_>)) {
        if let Some(opening) = &mut self.opening {
            let start = opening.start;
            // Of TLS there was an error already.
            if start.verdict() == Verdict::Undecided {
                self.take(start.octets(), &mut sink);
            }
        }
        if let Some(mut opening) = self.opening.take() {
            opening.end(&mut sink);
        }
        let before = self.before;
        self.parser.finish(|event| sink(heard(event, before)));
        self.opening = Some(Opening::new());
        self.before = 0;
    }

    /// Whether a message has begun and is not complete.
    pub(crate) fn is_within_message(&self) -> bool {
        self.parser.is_within_message()
    }

    /// Takes octets before it is certain that the peer does not speak TLS, or of the header.
    #[cold]
    fn open(&mut self, octets: &[u8], sink: &mut impl FnMut(Heard<'_>)) -> Result<(), SpeaksTls> {
        if let Some(opening) = &mut self.opening
            && opening.undecided
        {
            let waiting = opening.start;
            opening.start.append(octets);
            match opening.start.verdict() {
                // So few octets that all of them wait.
                Verdict::Undecided => return Ok(()),
                Verdict::Tls => return Err(SpeaksTls),
                Verdict::Other => {
                    opening.undecided = false;
                    self.take(waiting.octets(), sink);
                }
            }
        }
        self.take(octets, sink);
        Ok(())
    }

    /// Takes octets of the header, and the messages that follow it.
    fn take(&mut self, octets: &[u8], sink: &mut impl FnMut(Heard<'_>)) {
        let mut rest = octets;
        if let Some(opening) = &mut self.opening {
            let Some(after) = opening.take(octets, sink) else {
                return;
            };
            rest = after;
            self.before = opening.seen as u64;
            self.opening = None;
        }
        self.parse(rest, sink);
    }

    #[inline]
    fn parse(&mut self, octets: &[u8], sink: &mut impl FnMut(Heard<'_>)) {
        let before = self.before;
        self.parser.feed(octets, |event| sink(heard(event, before)));
    }
}

#[inline]
fn heard(event: StreamEvent<'_>, before: u64) -> Heard<'_> {
    match event {
        StreamEvent::Message(message) => Heard::Message(message),
        StreamEvent::Discarded(discarded) => Heard::Discarded(Discarded {
            offset: before + discarded.offset,
            ..discarded
        }),
    }
}

/// What is read before the first message.
#[derive(Debug)]
struct Opening {
    /// The first octets of the stream, while `undecided`.
    start: Start,
    /// The peer may still turn out to speak TLS.
    undecided: bool,
    header: Header,
    /// The line that is not complete yet.
    line: Vec<u8>,
    /// So many octets belong to header lines or were discarded, or are in `line`.
    seen: usize,
}

impl Opening {
    const fn new() -> Self {
        Self {
            start: Start {
                octets: [0; Start::LEN],
                len: 0,
            },
            undecided: true,
            header: Header::unread(),
            line: Vec::new(),
            seen: 0,
        }
    }

    /// Takes octets of header lines. When the header has ended, returns those that follow it.
    fn take<'b>(&mut self, octets: &'b [u8], sink: &mut impl FnMut(Heard<'_>)) -> Option<&'b [u8]> {
        let mut rest = octets;
        loop {
            let room = MAX_HEADER_OCTETS.saturating_sub(self.seen);
            let (window, beyond) = rest.split_at_checked(room).unwrap_or((rest, &[]));
            let at = window.iter().position(|o| *o == b'\n' || *o >= 0x80);
            let (taken, after) = match at {
                None => (window, beyond),
                Some(at) => {
                    let line_end = window.get(at) == Some(&b'\n');
                    rest.split_at_checked(at + usize::from(line_end))?
                }
            };
            self.seen += taken.len();
            rest = after;
            let ended = if taken.last() == Some(&b'\n') {
                self.take_line(taken, sink)
            } else {
                self.line.extend_from_slice(taken);
                // A status octet.
                at.is_some()
            };
            if ended || self.seen >= MAX_HEADER_OCTETS {
                self.end(sink);
                return Some(rest);
            }
            if rest.is_empty() {
                return None;
            }
        }
    }

    /// Takes the last octets of a line. Returns whether it was the empty line that ends the header.
    fn take_line(&mut self, octets: &[u8], sink: &mut impl FnMut(Heard<'_>)) -> bool {
        let mut waiting = core::mem::take(&mut self.line);
        let line = if waiting.is_empty() {
            octets
        } else {
            waiting.extend_from_slice(octets);
            &waiting
        };
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let understood = if text.is_empty() {
            !self.header.is_empty()
        } else {
            self.header.read_line(text)
        };
        if !understood {
            stray(line, self.seen, sink);
        }
        let ended = text.is_empty();
        waiting.clear();
        self.line = waiting;
        ended
    }

    /// Ends the header: a line that is not complete is none.
    fn end(&mut self, sink: &mut impl FnMut(Heard<'_>)) {
        if !self.line.is_empty() {
            stray(&self.line, self.seen, sink);
        }
        if !self.header.is_empty() {
            sink(Heard::Header(&self.header));
        }
    }
}

/// Reports octets that end at `end` and are no header line.
fn stray(bytes: &[u8], end: usize, sink: &mut impl FnMut(Heard<'_>)) {
    sink(Heard::Discarded(Discarded {
        reason: DiscardReason::StrayData,
        bytes,
        offset: (end - bytes.len()) as u64,
    }));
}

/// The first octets of a stream.
#[derive(Clone, Copy, Debug)]
struct Start {
    octets: [u8; Self::LEN],
    len: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    Undecided,
    Tls,
    Other,
}

impl Start {
    /// So many octets decide.
    const LEN: usize = 6;

    fn octets(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }

    fn append(&mut self, octets: &[u8]) {
        let free = self.octets.iter_mut().skip(self.len);
        for (to, from) in free.zip(octets) {
            *to = *from;
            self.len += 1;
        }
    }

    /// Whether this is how TLS begins: the record of a ClientHello (RFC 8446 §5.1, §4), or that of
    /// a fatal alert (§6), which is what a TLS server answers to octets that are no TLS.
    ///
    /// 16 and 15 are control characters, so no header begins so.
    fn verdict(&self) -> Verdict {
        /// The lowest and the highest value of each octet.
        const HELLO: &[(u8, u8)] = &[(0x16, 0x16), (3, 3), (0, 4), (0, 0xFF), (0, 0xFF), (1, 1)];
        const ALERT: &[(u8, u8)] = &[(0x15, 0x15), (3, 3), (0, 4), (0, 0), (2, 2)];
        let fits = |pattern: &&[(u8, u8)]| {
            let pairs = pattern.iter().zip(self.octets());
            pairs
                .into_iter()
                .all(|((low, high), octet)| (low..=high).contains(&octet))
        };
        match [HELLO, ALERT].into_iter().find(fits) {
            None => Verdict::Other,
            Some(pattern) if self.len < pattern.len() => Verdict::Undecided,
            Some(_) => Verdict::Tls,
        }
    }
}
