//! What received octets mean: header lines first, then MIDI.

use netmidi_message::{Discarded, HeapBuffer, Message, StreamEvent, StreamParser};

use crate::header::Header;
use crate::options::Options;

/// Something that was read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Heard<'a> {
    /// The header lines of the peer are complete; at most once, before any message.
    Header(&'a Header),
    Message(Message<'a>),
    Discarded(Discarded<'a>),
}

/// The peer begins a TLS connection, or answers with TLS, on a connection that is not encrypted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct SpeaksTls;

/// Reads the octets of one connection.
#[derive(Debug)]
pub(crate) struct Reader {
    parser: StreamParser<HeapBuffer>,
}

impl Reader {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            parser: StreamParser::new()
                .dialect(options.dialect)
                .sysex_limit(options.sysex_limit),
        }
    }

    /// Takes the next octets and calls `sink` with everything that they complete.
    pub(crate) fn feed(
        &mut self,
        octets: &[u8],
        mut sink: impl FnMut(Heard<'_>),
    ) -> Result<(), SpeaksTls> {
        self.parser.feed(octets, |event| {
            sink(match event {
                StreamEvent::Message(message) => Heard::Message(message),
                StreamEvent::Discarded(discarded) => Heard::Discarded(discarded),
            });
        });
        Ok(())
    }

    /// The stream ended.
    pub(crate) fn finish(&mut self, mut sink: impl FnMut(Heard<'_>)) {
        self.parser.finish(|event| {
            sink(match event {
                StreamEvent::Message(message) => Heard::Message(message),
                StreamEvent::Discarded(discarded) => Heard::Discarded(discarded),
            });
        });
    }
    pub(crate) fn is_within_message(&self) -> bool {
        false
    }
}
