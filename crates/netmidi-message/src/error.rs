//! What can be wrong with the bytes of a message.

/// Why bytes are not one MIDI message.
///
/// Offsets count octets from the start of the bytes given.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// There are no bytes at all.
    #[error("there are no bytes")]
    Empty,
    /// The first octet is a data octet and no running status is set.
    #[error(
        "message at byte {offset} begins with data octet {found:#04x} and no running status is set"
    )]
    MissingStatus {
        /// Where the data octet is.
        offset: usize,
        /// The data octet.
        found: u8,
    },
    /// The bytes end before the message does.
    #[error("message with status {status:#04x} is cut short at byte {offset}")]
    Truncated {
        /// How many octets there are.
        offset: usize,
        /// The status of the message.
        status: u8,
    },
    /// A status octet stands where a data octet has to be.
    #[error(
        "status octet {found:#04x} at byte {offset} where a data octet of a message with status {status:#04x} was expected"
    )]
    StatusInData {
        /// Where the status octet is.
        offset: usize,
        /// The status of the message.
        status: u8,
        /// What was found.
        found: u8,
    },
    /// An F7 without the F0 that it ends.
    #[error("end of system exclusive (F7) at byte {offset} without a beginning")]
    UnpairedEnd {
        /// Where the F7 is.
        offset: usize,
    },
    /// The message is complete and more octets follow.
    #[error("message ends at byte {offset}, octets behind it: {surplus}")]
    Trailing {
        /// Length of the message.
        offset: usize,
        /// How many octets follow it.
        surplus: usize,
    },
}

impl MessageError {
    /// One short word for counters and tables.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::MissingStatus { .. } => "missing-status",
            Self::Truncated { .. } => "truncated-command",
            Self::StatusInData { .. } => "status-in-data",
            Self::UnpairedEnd { .. } => "unpaired-end",
            Self::Trailing { .. } => "trailing-octets",
        }
    }

    /// The octet at which reading stopped.
    #[must_use]
    pub const fn offset(self) -> usize {
        match self {
            Self::Empty => 0,
            Self::MissingStatus { offset, .. }
            | Self::Truncated { offset, .. }
            | Self::StatusInData { offset, .. }
            | Self::UnpairedEnd { offset }
            | Self::Trailing { offset, .. } => offset,
        }
    }
}

/// The buffer given is smaller than what has to be written into it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{needed} octets are needed, the buffer holds {available}")]
pub struct BufferTooSmall {
    /// Octets that have to be written.
    pub needed: usize,
    /// Octets that the buffer holds.
    pub available: usize,
}
