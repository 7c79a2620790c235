//! The sender's side: what was sent, and the journal that protects it.

use core::ops::Range;

use netmidi_message::Message;
use netmidi_wire::{RtpTimestamp, SeqNum};

use crate::writer::JournalWriter;

/// How a [`Recorder`] works.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RecorderConfig {
    /// Write enhanced chapters C, which list several commands of one controller (H, RFC 6295
    /// §A.3.3). Default off: few receivers know them.
    pub enhanced: bool,
    /// How long a lost note-on is worth playing late, in ticks of 100 µs: so long its log has Y=1.
    /// Default 500, which is 50 ms.
    pub play_window: u32,
}

impl Default for RecorderConfig {
    fn default() -> Self {
        Self {
            enhanced: false,
            play_window: 500,
        }
    }
}

/// Which form of journal a receiver can take.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Form {
    /// All that the history needs.
    Full,
    /// What every known receiver takes: S=0 at the top, no system journal, at most one channel
    /// journal of at most 255 octets.
    Gentle,
}

/// What [`Recorder::write`] wrote.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Written {
    /// Octets of the journal.
    pub len: usize,
    /// Whether all of the history is in it. If not, what was left out stays in the history until a
    /// later journal has brought it.
    pub complete: bool,
}

/// What was sent to one receiver and has not been acknowledged.
#[derive(Debug)]
pub struct Recorder {
    next: SeqNum,
}

impl Recorder {
    /// Octets of the journals in the [gentle form](Form::Gentle) at most: the header and one
    /// channel journal.
    pub const MAX_GENTLE_LEN: usize = JournalWriter::HEADER_LEN + 255;

    /// Nothing was sent yet; `first` is the number of the next packet.
    #[must_use]
    pub fn new(_config: RecorderConfig, first: SeqNum) -> Self {
        Self { next: first }
    }

    /// Writes the journal of the next packet, which begins at `now`, into `out`.
    ///
    /// `None` when the form cannot hold it: then the packet goes out without a journal, and what
    /// the journal would have held stays in the history. Never `None` for [`Form::Full`] if `out`
    /// has room for a header.
    pub fn write(&mut self, _now: RtpTimestamp, form: Form, out: &mut [u8]) -> Option<Written> {
        let mut writer = JournalWriter::new(out, self.next).ok()?;
        if form == Form::Gentle {
            writer = writer.without_s();
        }
        Some(Written {
            len: writer.finish(),
            complete: true,
        })
    }

    /// A message goes out with the next packet, whole. System exclusive ones of which a part went
    /// out before are for [`record_sysex`](Self::record_sysex).
    pub fn record(&mut self, _at: RtpTimestamp, _message: Message<'_>) {}

    /// The octets `sent` of `data`, all data octets of one system exclusive message, go out with
    /// the next packet; with the last of them if `finished`.
    pub fn record_sysex(
        &mut self,
        _at: RtpTimestamp,
        _data: &[u8],
        _sent: Range<usize>,
        _finished: bool,
    ) {
    }

    /// The next packet has gone out with what was recorded.
    pub fn end_packet(&mut self) {
        self.next = self.next.next();
    }

    /// The receiver holds everything up to this packet. Returns whether that is news.
    pub fn acknowledge(&mut self, _seq: SeqNum) -> bool {
        false
    }

    /// Whether everything that went out was acknowledged.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        true
    }

    /// How many more data octets of system exclusive messages the history can protect.
    #[must_use]
    pub fn sysex_room(&self) -> usize {
        usize::MAX
    }
}
