//! The rules of the protocol that somebody broke, each with the section that it stands in.

use netmidi_journal::{Chapter, JournalError};
use netmidi_wire::{Layer, ParseError};

use super::moment::Moment;

/// Different rules that are told of one session at most.
const MAX_RULES: usize = 64;

const APPLE: &str = "Apple's MIDI Network Driver Protocol";

/// A rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Rule {
    /// A packet that cannot be read.
    Malformed(ParseError),
    DamagedJournal(JournalError),
    /// Octets in a journal that belong to nothing.
    JournalSurplus,
    /// Octets behind the list without a journal.
    TrailingOctets,
    /// A journal that begins with its own packet or a later one.
    CheckpointAhead,
    /// A journal that begins behind packets that nobody has acknowledged.
    Trimmed,
    /// A journal without what an unacknowledged packet did.
    Incomplete(Chapter),
    /// S=1 where the packet just before is coded.
    WrongS(Chapter),
    /// MIDI before the session is up.
    EarlyMidi,
    /// MIDI after one's own BY.
    LateMidi,
    RtpOnControl,
    ClockOnControl,
    FeedbackOnData,
    SequenceJump,
    SequenceBack,
    SequenceStuck,
    /// Packets that bear the numbers of the other side.
    SequenceOfPeer,
    TimestampBack,
    /// Feedback for what was never sent.
    FeedbackUnsent,
    FeedbackLowHalf,
    PayloadType,
    /// F4, F5, F9, FD in a list.
    Undefined,
    /// An OK with another SSRC on the data port.
    TwoSsrcs,
    /// Packets under an SSRC that nobody announced.
    StrangeSsrc,
    /// An answer to an invitation that was not made.
    StrangeToken,
    /// A clock answer to a question that was not asked.
    StrangeClock,
}

impl Rule {
    /// Whether it is the same rule, whatever the details.
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Malformed(a), Self::Malformed(b)) => {
                (a.layer(), a.code()) == (b.layer(), b.code())
            }
            (Self::DamagedJournal(a), Self::DamagedJournal(b)) => a.code() == b.code(),
            (a, b) => a == b,
        }
    }

    /// Where it stands.
    pub(super) fn section(&self) -> &'static str {
        match self {
            Self::Malformed(error) => match (error.layer(), error.code()) {
                (Layer::Rtp, _) => "RFC 3550 §5.1",
                (Layer::Midi, "truncated-delta" | "delta-too-long") => "RFC 6295 §3.1",
                (
                    Layer::Midi,
                    "missing-command-section"
                    | "truncated-header"
                    | "list-overrun"
                    | "trailing-octets",
                ) => "RFC 6295 §3",
                (Layer::Midi, _) => "RFC 6295 §3.2",
                (Layer::AppleMidi, _) => APPLE,
            },
            Self::DamagedJournal(error) => match error {
                JournalError::ChapterOverrun { chapter, .. } => appendix(*chapter),
                JournalError::ChapterLengthTooSmall { .. } => appendix(Chapter::M),
                JournalError::LogLengthTooSmall { .. } => appendix(Chapter::D),
                JournalError::BadOffbitsRange { .. } => appendix(Chapter::N),
                JournalError::FirstTooLong { .. } => appendix(Chapter::X),
                _ => "RFC 6295 §5",
            },
            Self::Incomplete(chapter) => appendix(*chapter),
            Self::JournalSurplus | Self::CheckpointAhead => "RFC 6295 §5",
            Self::TrailingOctets => "RFC 6295 §3",
            Self::Trimmed => "RFC 6295 §4",
            Self::WrongS(_) => "RFC 6295 §4.1",
            Self::SequenceJump
            | Self::SequenceBack
            | Self::SequenceStuck
            | Self::SequenceOfPeer => "RFC 6295 §2.1",
            Self::TimestampBack => "RFC 6295 §3.3",
            Self::Undefined => "RFC 6295 §C.2",
            Self::EarlyMidi
            | Self::LateMidi
            | Self::RtpOnControl
            | Self::ClockOnControl
            | Self::FeedbackOnData
            | Self::FeedbackUnsent
            | Self::FeedbackLowHalf
            | Self::PayloadType
            | Self::TwoSsrcs
            | Self::StrangeSsrc
            | Self::StrangeToken
            | Self::StrangeClock => APPLE,
        }
    }
}

const fn appendix(chapter: Chapter) -> &'static str {
    match chapter {
        Chapter::P => "RFC 6295 §A.2",
        Chapter::C => "RFC 6295 §A.3",
        Chapter::M => "RFC 6295 §A.4",
        Chapter::W => "RFC 6295 §A.5",
        Chapter::N => "RFC 6295 §A.6",
        Chapter::E => "RFC 6295 §A.7",
        Chapter::T => "RFC 6295 §A.8",
        Chapter::A => "RFC 6295 §A.9",
        Chapter::D => "RFC 6295 §B.1",
        Chapter::V => "RFC 6295 §B.2",
        Chapter::Q => "RFC 6295 §B.3",
        Chapter::F => "RFC 6295 §B.4",
        Chapter::X => "RFC 6295 §B.5",
    }
}

/// A rule that one side broke.
#[derive(Clone, Debug)]
pub(super) struct Broken {
    pub(super) rule: Rule,
    /// Which side, 0 or 1.
    pub(super) side: usize,
    pub(super) count: u64,
    pub(super) first: Moment,
    /// What was seen the first time.
    pub(super) what: String,
}

/// What rules were broken in a session.
#[derive(Clone, Debug, Default)]
pub(super) struct Violations {
    broken: Vec<Broken>,
}

impl Violations {
    /// Somebody broke a rule. `what` says how, and is asked for the first time only.
    pub(super) fn note(
        &mut self,
        side: usize,
        rule: Rule,
        moment: Moment,
        what: impl FnOnce() -> String,
    ) {
        let known = |it: &&mut Broken| it.side == side && it.rule.is(&rule);
        if let Some(it) = self.broken.iter_mut().find(known) {
            it.count += 1;
        } else if self.broken.len() < MAX_RULES {
            self.broken.push(Broken {
                rule,
                side,
                count: 1,
                first: moment,
                what: what(),
            });
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Broken> {
        self.broken.iter()
    }
}
