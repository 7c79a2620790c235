//! What can be wrong with a journal, and with what is to be written as one.

use core::fmt;

use netmidi_message::{BufferTooSmall, Channel};

/// One of the thirteen chapters of a journal, by its letter (RFC 6295, Appendices A and B).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Chapter {
    /// Program change.
    P,
    /// Control change.
    C,
    /// Parameter system: RPN and NRPN.
    M,
    /// Pitch wheel.
    W,
    /// Notes on and off.
    N,
    /// Extras of notes: release velocities and counts.
    E,
    /// Channel pressure (aftertouch).
    T,
    /// Poly pressure (aftertouch of single notes).
    A,
    /// Simple system commands.
    D,
    /// Active sense.
    V,
    /// Sequencer state.
    Q,
    /// Time code (MTC).
    F,
    /// System exclusive.
    X,
}

impl Chapter {
    /// The letter, upper case.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::P => 'P',
            Self::C => 'C',
            Self::M => 'M',
            Self::W => 'W',
            Self::N => 'N',
            Self::E => 'E',
            Self::T => 'T',
            Self::A => 'A',
            Self::D => 'D',
            Self::V => 'V',
            Self::Q => 'Q',
            Self::F => 'F',
            Self::X => 'X',
        }
    }
}

impl fmt::Display for Chapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chapter {}", self.letter())
    }
}

/// Why octets are not a journal as RFC 6295 §5 describes it.
///
/// [`offset`](Self::offset) counts octets from the start of the journal.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The journal is shorter than its header, 3 octets.
    #[error("journal header is cut short at byte {offset}")]
    TruncatedHeader {
        /// Where the journal ends.
        offset: usize,
    },
    /// The header of the system journal is missing or cut.
    #[error("header of the system journal at byte {offset} is cut short")]
    TruncatedSystemJournal {
        /// Where the system journal begins.
        offset: usize,
    },
    /// The system journal claims to be shorter than its own header, 2 octets.
    #[error("system journal at byte {offset} claims {length} octets, its header alone has 2")]
    SystemLengthTooSmall {
        /// Where the system journal begins.
        offset: usize,
        /// Its LENGTH.
        length: u16,
    },
    /// The system journal claims more octets than are left.
    #[error("system journal at byte {offset} claims {length} octets, {available} are left")]
    SystemLengthOverrun {
        /// Where the system journal begins.
        offset: usize,
        /// Its LENGTH.
        length: u16,
        /// How many octets there are.
        available: usize,
    },
    /// The header of a channel journal that TOTCHAN promises is missing or cut.
    #[error("header of the channel journal at byte {offset} is cut short")]
    TruncatedChannelJournal {
        /// Where the channel journal begins.
        offset: usize,
    },
    /// A channel journal claims to be shorter than its own header, 3 octets.
    #[error("channel journal at byte {offset} claims {length} octets, its header alone has 3")]
    ChannelLengthTooSmall {
        /// Where the channel journal begins.
        offset: usize,
        /// Its LENGTH.
        length: u16,
    },
    /// A channel journal claims more octets than are left.
    #[error("channel journal at byte {offset} claims {length} octets, {available} are left")]
    ChannelLengthOverrun {
        /// Where the channel journal begins.
        offset: usize,
        /// Its LENGTH.
        length: u16,
        /// How many octets there are.
        available: usize,
    },
    /// A channel journal is for a channel that is not above the one before.
    #[error(
        "journal of channel {} at byte {offset} follows the one of channel {}",
        channel.number(),
        previous.number()
    )]
    ChannelOrder {
        /// Where the channel journal begins.
        offset: usize,
        /// Its channel.
        channel: Channel,
        /// The channel of the journal before it.
        previous: Channel,
    },
    /// A chapter needs more octets than what encloses it has.
    #[error("{chapter} is cut short at byte {offset} by the end of what encloses it")]
    ChapterOverrun {
        /// Where the field stands that does not fit.
        offset: usize,
        /// The chapter.
        chapter: Chapter,
    },
    /// A chapter claims to be shorter than its own header. Only chapter M has a length.
    #[error("chapter M at byte {offset} claims {length} octets, its header alone has 2")]
    ChapterLengthTooSmall {
        /// Where the chapter begins.
        offset: usize,
        /// Its LENGTH.
        length: u16,
    },
    /// A log claims to be shorter than the fields that it announces. Only logs of chapter D have a
    /// length.
    #[error("log of chapter D at byte {offset} claims {length} octets, its fields need more")]
    LogLengthTooSmall {
        /// Where the log begins.
        offset: usize,
        /// Its LENGTH.
        length: u16,
    },
    /// LOW is above HIGH in chapter N, and not in one of the two ways that say "none".
    #[error("chapter N at byte {offset} has note-offs from octet {low} to {high}")]
    BadOffbitsRange {
        /// Where the chapter begins.
        offset: usize,
        /// Its LOW.
        low: u8,
        /// Its HIGH.
        high: u8,
    },
    /// The fourth octet of FIRST in chapter X announces a fifth.
    #[error("field FIRST of chapter X at byte {offset} is longer than four octets")]
    FirstTooLong {
        /// Where the field begins.
        offset: usize,
    },
}

impl JournalError {
    /// One short word for counters and tables.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::TruncatedHeader { .. } => "truncated-header",
            Self::TruncatedSystemJournal { .. } => "truncated-system-journal",
            Self::SystemLengthTooSmall { .. } => "system-length-too-small",
            Self::SystemLengthOverrun { .. } => "system-length-overrun",
            Self::TruncatedChannelJournal { .. } => "truncated-channel-journal",
            Self::ChannelLengthTooSmall { .. } => "channel-length-too-small",
            Self::ChannelLengthOverrun { .. } => "channel-length-overrun",
            Self::ChannelOrder { .. } => "channel-order",
            Self::ChapterOverrun { .. } => "chapter-overrun",
            Self::ChapterLengthTooSmall { .. } => "chapter-length-too-small",
            Self::LogLengthTooSmall { .. } => "log-length-too-small",
            Self::BadOffbitsRange { .. } => "bad-offbits-range",
            Self::FirstTooLong { .. } => "first-too-long",
        }
    }

    /// Where it is, in octets from the start of the journal.
    #[must_use]
    pub const fn offset(mut self) -> usize {
        *self.offset_mut()
    }

    pub(crate) const fn offset_mut(&mut self) -> &mut usize {
        match self {
            Self::TruncatedHeader { offset }
            | Self::TruncatedSystemJournal { offset }
            | Self::SystemLengthTooSmall { offset, .. }
            | Self::SystemLengthOverrun { offset, .. }
            | Self::TruncatedChannelJournal { offset }
            | Self::ChannelLengthTooSmall { offset, .. }
            | Self::ChannelLengthOverrun { offset, .. }
            | Self::ChannelOrder { offset, .. }
            | Self::ChapterOverrun { offset, .. }
            | Self::ChapterLengthTooSmall { offset, .. }
            | Self::LogLengthTooSmall { offset, .. }
            | Self::BadOffbitsRange { offset, .. }
            | Self::FirstTooLong { offset } => offset,
        }
    }
}

/// Why something cannot be written as a part of a journal.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The buffer is too small.
    #[error(transparent)]
    BufferTooSmall(#[from] BufferTooSmall),
    /// A channel or system journal would be longer than its LENGTH can say.
    #[error("journal of {needed} octets, its length field ends at {max}")]
    TooLong {
        /// Octets that it would take.
        needed: usize,
        /// The most that it may take.
        max: usize,
    },
    /// The parts of a journal come in another order than the system journal, then the channels
    /// ascending, each at most once.
    #[error("parts of a journal are written in the wrong order")]
    Order,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_knows_its_place() {
        let error = JournalError::ChapterOverrun {
            offset: 9,
            chapter: Chapter::N,
        };
        assert_eq!((error.offset(), error.code()), (9, "chapter-overrun"));
    }
}
