//! The receiver's side: what was received, and the messages that put right what was lost.

use netmidi_message::{Message, SysEx};
use netmidi_wire::{CommandSection, RtpTimestamp, SeqNum, SysExSegment};

use crate::journal::Salvaged;

/// Bounds of a [`Repairer`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RepairerConfig {
    /// The largest system exclusive message that is put together, in data octets between F0 and F7.
    /// Default 1 MiB.
    pub max_sysex: usize,
    /// Take a journal whose checkpoint is the packet itself, and which is not empty, as if it
    /// covered the packet before (iOS sends such). Default on.
    pub lenient_checkpoint: bool,
}

impl Default for RepairerConfig {
    fn default() -> Self {
        Self {
            max_sysex: netmidi_message::DEFAULT_SYSEX_LIMIT,
            lenient_checkpoint: true,
        }
    }
}

/// Where a packet stands in its stream.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Arrival {
    /// The first of the stream.
    First,
    /// The one after the last.
    InOrder,
    /// Others are missing before it.
    Gap,
    /// The stream was taken up anew at another number: how many are missing nobody knows.
    Restarted,
}

/// What [`Repairer::repair`] did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Repair {
    /// Messages that were handed out.
    pub messages: u32,
    /// Lost note-ons that were too old to be played.
    pub notes_skipped: u32,
    /// System exclusive messages that are lost for good.
    pub sysex_lost: u32,
    /// Whether packets were lost that the journal does not cover. What could not be known was made
    /// safe: notes ended, pedals released.
    pub uncovered: bool,
}

/// What a segment did to the system exclusive message in progress.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Joined<'a> {
    /// More is to come.
    Partial,
    /// A whole message.
    Whole(SysEx<'a>),
    /// A message was given up: cancelled, or its end makes no message of it.
    Abandoned,
    /// A message was given up because it passed the bound.
    TooLong,
    /// Nothing was in progress and nothing came of it.
    Ignored,
}

/// What one sender's stream has done to the instrument so far.
#[derive(Debug)]
pub struct Repairer {
    config: RepairerConfig,
}

impl Repairer {
    /// Nothing was received yet.
    #[must_use]
    pub const fn new(config: RepairerConfig) -> Self {
        Self { config }
    }

    /// A packet is taken; what follows is about it. `at` is its RTP timestamp.
    ///
    /// Packets are to be handed in ascending order; see [`late`](Self::late) for others.
    pub fn begin(&mut self, _seq: SeqNum, _at: RtpTimestamp, _arrival: Arrival) {}

    /// Whether [`repair`](Self::repair) is to be called for this packet: it ends a loss or is the
    /// first, or a loss before it may not be repaired to the end yet.
    #[must_use]
    pub fn needs_repair(&self) -> bool {
        false
    }

    /// Compares the journal of the packet with what was received, and hands out the messages that
    /// put the instrument right, in the order in which they are to be played, before those of the
    /// packet's own list. They need not be [observed](Self::observe).
    pub fn repair(
        &mut self,
        _journal: Option<&Salvaged<'_>>,
        _list: &CommandSection<'_>,
        _emit: &mut dyn FnMut(Message<'_>),
    ) -> Repair {
        Repair::default()
    }

    /// A message of the packet's list is executed; `at` is its timestamp.
    pub fn observe(&mut self, _at: RtpTimestamp, _message: Message<'_>) {}

    /// Takes the next segment of a system exclusive message. A whole message that comes of it need
    /// not be observed. The second value is whether a message in progress before it was given up
    /// for it.
    pub fn join<'a>(&'a mut self, segment: SysExSegment<'a>) -> (Joined<'a>, bool) {
        let whole =
            SysEx::new(segment.data()).filter(|it| it.data().len() <= self.config.max_sysex);
        (whole.map_or(Joined::Ignored, Joined::Whole), false)
    }

    /// Whether a message of the packet `seq`, which comes after a later one, is to be executed: it
    /// is a note-off, controller, program change or pitch bend, and nothing newer has overtaken it.
    /// It then counts as executed.
    pub fn late(&mut self, _seq: SeqNum, _at: RtpTimestamp, _message: Message<'_>) -> bool {
        false
    }

    /// Hands out the messages that silence what the sender has left on: notes, pedals, pitch bend.
    pub fn silence(&mut self, _emit: &mut dyn FnMut(Message<'_>)) -> u32 {
        0
    }
}
