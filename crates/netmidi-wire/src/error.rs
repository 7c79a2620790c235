//! What can be wrong with the octets of a datagram.

use core::fmt;

use crate::control::{ControlCode, ExchangeKind, Token};
use crate::rtp::Ssrc;

/// Why octets are not what the specification says.
///
/// Every error knows where it was found: [`offset`](Self::offset) counts octets from the start of
/// the datagram, as a packet capture shows it. Only an error of
/// [`CommandSection::parse`](crate::CommandSection::parse), which sees no datagram, counts from
/// the start of the payload.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The datagram is shorter than the fixed header, 12 octets (RFC 3550 §5.1).
    #[error("RTP header is cut short at byte {offset}")]
    TruncatedRtpHeader {
        /// Where the datagram ends.
        offset: usize,
    },
    /// The version bits are not 2 (RFC 3550 §5.1).
    #[error("RTP version is {version}, only 2 is known")]
    BadRtpVersion {
        /// What the two bits say, 0 to 3.
        version: u8,
    },
    /// The datagram ends inside the list of contributing sources.
    #[error("list of {count} contributing sources is cut short at byte {offset}")]
    TruncatedCsrc {
        /// Where the datagram ends.
        offset: usize,
        /// How many sources the header promises.
        count: u8,
    },
    /// The datagram ends inside the header extension.
    #[error("RTP header extension is cut short at byte {offset}")]
    TruncatedExtension {
        /// Where the datagram ends.
        offset: usize,
    },
    /// The padding is empty or longer than all that follows the headers.
    #[error("padding of {padding} octets at byte {offset} where {available} follow the headers")]
    BadPadding {
        /// Where the number of padding octets stands: the last octet of the datagram.
        offset: usize,
        /// The number found there.
        padding: u8,
        /// How many octets follow the headers.
        available: usize,
    },

    /// Nothing follows the RTP header (RFC 6295 §3).
    #[error("no MIDI command section at byte {offset}")]
    MissingCommandSection {
        /// Where it should begin.
        offset: usize,
    },
    /// The second octet of a long header is missing.
    #[error("header of the MIDI command section is cut short at byte {offset}")]
    TruncatedCommandHeader {
        /// Where the payload ends.
        offset: usize,
    },
    /// The list is longer than what is left.
    #[error("MIDI list at byte {offset} claims {len} octets, {available} are left")]
    ListOverrun {
        /// Where the list begins.
        offset: usize,
        /// The length its header gives.
        len: u16,
        /// How many octets there are.
        available: usize,
    },
    /// Octets follow the list although the header announces no journal.
    #[error("{surplus} octets follow the MIDI list at byte {offset} and no journal is announced")]
    TrailingOctets {
        /// Where the list ends.
        offset: usize,
        /// How many octets follow it.
        surplus: usize,
    },
    /// The list ends inside a delta time (RFC 6295 §3.1).
    #[error("delta time is cut short at byte {offset}")]
    TruncatedDelta {
        /// Where the list ends.
        offset: usize,
    },
    /// The fourth octet of a delta time announces a fifth (RFC 6295 §3.1).
    #[error("delta time at byte {offset} is longer than four octets")]
    DeltaTooLong {
        /// Where the delta time begins.
        offset: usize,
    },
    /// The list ends inside a command.
    #[error("command with status {status:#04x} is cut short at byte {offset}")]
    TruncatedCommand {
        /// Where the list ends.
        offset: usize,
        /// The status of the command.
        status: u8,
    },
    /// A command begins with a data octet and no running status is set (RFC 6295 §3.2).
    #[error(
        "command at byte {offset} begins with data octet {found:#04x} and no running status is set"
    )]
    MissingStatus {
        /// Where the command begins.
        offset: usize,
        /// The data octet.
        found: u8,
    },
    /// A status octet stands where a data octet has to be.
    #[error(
        "status octet {found:#04x} at byte {offset} where a data octet of a command with status {status:#04x} was expected"
    )]
    StatusInData {
        /// Where the status octet is.
        offset: usize,
        /// The status of the command.
        status: u8,
        /// What was found.
        found: u8,
    },
    /// The list ends inside a system exclusive segment.
    #[error("system exclusive at byte {offset} has no end in this list")]
    UnterminatedSysEx {
        /// Where the segment begins.
        offset: usize,
    },
    /// A system exclusive segment ends with an octet that cannot end one (RFC 6295 §3.2).
    #[error("system exclusive ends with octet {found:#04x} at byte {offset}")]
    BadSysExTerminator {
        /// Where that octet is.
        offset: usize,
        /// What was found.
        found: u8,
    },
    /// A first or middle segment carries no data octet (RFC 6295 §3.2).
    #[error("system exclusive segment at byte {offset} is empty")]
    EmptySysExSegment {
        /// Where the segment begins.
        offset: usize,
    },
    /// A cancel segment carries data octets (RFC 6295 §3.2).
    #[error("cancel of a system exclusive at byte {offset} carries data")]
    NonemptyCancel {
        /// Where the segment begins.
        offset: usize,
    },
    /// An undefined command, F4 or F5, does not end with F7 (RFC 6295 §3.2).
    #[error("undefined command {status:#04x} at byte {offset} does not end with 0xf7")]
    UnterminatedUndefined {
        /// Where the command begins.
        offset: usize,
        /// F4 or F5.
        status: u8,
    },

    /// The session packet ends before its command.
    #[error("session packet is cut short at byte {offset}, before its command")]
    TruncatedSignature {
        /// Where the datagram ends.
        offset: usize,
    },
    /// The session packet is shorter than its command asks for.
    #[error("session packet {command} is cut short at byte {offset}, it needs {needed} octets")]
    TruncatedControl {
        /// Which packet it is.
        command: ControlCode,
        /// Where the datagram ends.
        offset: usize,
        /// The shortest form of this packet.
        needed: usize,
    },
    /// The datagram does not begin with FF FF.
    #[error("session packet begins with {found:02x?}, not with ff ff")]
    BadSignature {
        /// The first two octets.
        found: [u8; 2],
    },
    /// IN, OK, NO or BY of another protocol version than 2.
    ///
    /// Whoever wants to refuse an invitation of that kind needs its token.
    #[error("session packet {} has protocol version {version}, only 2 is known", kind.code())]
    BadVersion {
        /// The version found.
        version: u32,
        /// Which packet it is.
        kind: ExchangeKind,
        /// Its token.
        token: Token,
        /// Who sent it.
        ssrc: Ssrc,
    },
    /// The count of a clock synchronisation is not 0, 1 or 2.
    #[error("clock synchronisation with count {count} at byte {offset}, only 0 to 2 are known")]
    BadCount {
        /// Where the count is.
        offset: usize,
        /// What was found.
        count: u8,
    },
    /// The two letters after FF FF are of no known session packet.
    #[error("session packet {command} is not known")]
    UnknownCommand {
        /// The two letters.
        command: ControlCode,
    },
}

/// The part of a datagram that an error belongs to.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Layer {
    /// The RTP header and what belongs to it (RFC 3550).
    Rtp,
    /// The MIDI command section (RFC 6295 §3).
    Midi,
    /// A packet of Apple's session protocol.
    AppleMidi,
}

impl Layer {
    /// One short word for counters and tables: `rtp`, `midi`, `applemidi`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Rtp => "rtp",
            Self::Midi => "midi",
            Self::AppleMidi => "applemidi",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl ParseError {
    /// The part of the datagram that is wrong.
    #[must_use]
    pub const fn layer(self) -> Layer {
        match self {
            Self::TruncatedRtpHeader { .. }
            | Self::BadRtpVersion { .. }
            | Self::TruncatedCsrc { .. }
            | Self::TruncatedExtension { .. }
            | Self::BadPadding { .. } => Layer::Rtp,
            Self::MissingCommandSection { .. }
            | Self::TruncatedCommandHeader { .. }
            | Self::ListOverrun { .. }
            | Self::TrailingOctets { .. }
            | Self::TruncatedDelta { .. }
            | Self::DeltaTooLong { .. }
            | Self::TruncatedCommand { .. }
            | Self::MissingStatus { .. }
            | Self::StatusInData { .. }
            | Self::UnterminatedSysEx { .. }
            | Self::BadSysExTerminator { .. }
            | Self::EmptySysExSegment { .. }
            | Self::NonemptyCancel { .. }
            | Self::UnterminatedUndefined { .. } => Layer::Midi,
            Self::TruncatedSignature { .. }
            | Self::TruncatedControl { .. }
            | Self::BadSignature { .. }
            | Self::BadVersion { .. }
            | Self::BadCount { .. }
            | Self::UnknownCommand { .. } => Layer::AppleMidi,
        }
    }

    /// One short word for counters and tables, unique within its [`layer`](Self::layer).
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::TruncatedRtpHeader { .. } | Self::TruncatedCommandHeader { .. } => {
                "truncated-header"
            }
            Self::BadRtpVersion { .. } | Self::BadVersion { .. } => "bad-version",
            Self::TruncatedCsrc { .. } => "truncated-csrc",
            Self::TruncatedExtension { .. } => "truncated-extension",
            Self::BadPadding { .. } => "bad-padding",
            Self::MissingCommandSection { .. } => "missing-command-section",
            Self::ListOverrun { .. } => "list-overrun",
            Self::TrailingOctets { .. } => "trailing-octets",
            Self::TruncatedDelta { .. } => "truncated-delta",
            Self::DeltaTooLong { .. } => "delta-too-long",
            Self::TruncatedCommand { .. } => "truncated-command",
            Self::MissingStatus { .. } => "missing-status",
            Self::StatusInData { .. } => "status-in-data",
            Self::UnterminatedSysEx { .. } => "unterminated-sysex",
            Self::BadSysExTerminator { .. } => "bad-sysex-terminator",
            Self::EmptySysExSegment { .. } => "empty-sysex-segment",
            Self::NonemptyCancel { .. } => "nonempty-cancel",
            Self::UnterminatedUndefined { .. } => "unterminated-undefined",
            Self::TruncatedSignature { .. } | Self::TruncatedControl { .. } => "truncated",
            Self::BadSignature { .. } => "bad-signature",
            Self::BadCount { .. } => "bad-count",
            Self::UnknownCommand { .. } => "unknown-command",
        }
    }

    /// Where it was found, in octets from the start of the datagram.
    #[must_use]
    pub const fn offset(self) -> usize {
        match self {
            Self::TruncatedRtpHeader { offset }
            | Self::TruncatedCsrc { offset, .. }
            | Self::TruncatedExtension { offset }
            | Self::BadPadding { offset, .. }
            | Self::MissingCommandSection { offset }
            | Self::TruncatedCommandHeader { offset }
            | Self::ListOverrun { offset, .. }
            | Self::TrailingOctets { offset, .. }
            | Self::TruncatedDelta { offset }
            | Self::DeltaTooLong { offset }
            | Self::TruncatedCommand { offset, .. }
            | Self::MissingStatus { offset, .. }
            | Self::StatusInData { offset, .. }
            | Self::UnterminatedSysEx { offset }
            | Self::BadSysExTerminator { offset, .. }
            | Self::EmptySysExSegment { offset }
            | Self::NonemptyCancel { offset }
            | Self::UnterminatedUndefined { offset, .. }
            | Self::TruncatedSignature { offset }
            | Self::TruncatedControl { offset, .. }
            | Self::BadCount { offset, .. } => offset,
            Self::BadRtpVersion { .. } | Self::BadSignature { .. } => 0,
            Self::UnknownCommand { .. } => 2,
            Self::BadVersion { .. } => 4,
        }
    }
}
