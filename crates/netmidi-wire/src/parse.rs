//! Reading with nom. The only place where its errors become [`ParseError`].

use netmidi_message::{
    ChannelMessage, ChannelStatus, Message, MessageError, U7, Undefined, UndefinedStatus,
};
use nom::bytes::complete::take_while;
use nom::error::{ErrorKind, ParseError as NomError};
use nom::{IResult, Parser};

use crate::commands::Command;
use crate::delta::Delta;
use crate::error::ParseError;
use crate::sysex_segment::{SegmentKind, SysExSegment};

/// What a reader of list contents returns.
pub(crate) type Parsed<'a, T> = IResult<&'a [u8], T, Fault<'a>>;

/// Why a list cannot be read on, and the octets from that place to the end of the list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault<'a> {
    at: &'a [u8],
    why: Why,
}

#[derive(Clone, Copy, Debug)]
enum Why {
    TruncatedDelta,
    DeltaTooLong,
    TruncatedCommand { status: u8 },
    MissingStatus { found: u8 },
    StatusInData { status: u8, found: u8 },
    UnterminatedSysEx,
    BadSysExTerminator { found: u8 },
    EmptySysExSegment,
    NonemptyCancel,
    UnterminatedUndefined { status: u8 },
}

impl<'a> Fault<'a> {
    #[cold]
    fn new(at: &'a [u8], why: Why) -> nom::Err<Self> {
        nom::Err::Failure(Self { at, why })
    }

    /// The error, when the list ends at `end`.
    #[cold]
    pub(crate) fn into_error(self, end: usize) -> ParseError {
        let offset = end - self.at.len();
        match self.why {
            Why::TruncatedDelta => ParseError::TruncatedDelta { offset },
            Why::DeltaTooLong => ParseError::DeltaTooLong { offset },
            Why::TruncatedCommand { status } => ParseError::TruncatedCommand { offset, status },
            Why::MissingStatus { found } => ParseError::MissingStatus { offset, found },
            Why::StatusInData { status, found } => ParseError::StatusInData {
                offset,
                status,
                found,
            },
            Why::UnterminatedSysEx => ParseError::UnterminatedSysEx { offset },
            Why::BadSysExTerminator { found } => ParseError::BadSysExTerminator { offset, found },
            Why::EmptySysExSegment => ParseError::EmptySysExSegment { offset },
            Why::NonemptyCancel => ParseError::NonemptyCancel { offset },
            Why::UnterminatedUndefined { status } => {
                ParseError::UnterminatedUndefined { offset, status }
            }
        }
    }
}

impl<'a> NomError<&'a [u8]> for Fault<'a> {
    fn from_error_kind(at: &'a [u8], _: ErrorKind) -> Self {
        // The readers of lists say themselves why they stop: of nom's own they use `take_while`,
        // which cannot fail.
        Self {
            at,
            why: Why::TruncatedCommand { status: 0 },
        }
    }

    fn append(_: &'a [u8], _: ErrorKind, other: Self) -> Self {
        other
    }
}

impl<'a> From<nom::Err<Self>> for Fault<'a> {
    #[cold]
    fn from(error: nom::Err<Self>) -> Self {
        match error {
            nom::Err::Error(fault) | nom::Err::Failure(fault) => fault,
            nom::Err::Incomplete(_) => unreachable!("complete readers never ask for more"),
        }
    }
}

/// Reads all the fields of a header, or says `short`.
#[inline]
pub(crate) fn fields<'a, T>(
    input: &'a [u8],
    reader: impl Parser<&'a [u8], Output = T, Error = ()>,
    short: impl FnOnce() -> ParseError,
) -> Result<(&'a [u8], T), ParseError> {
    let mut reader = reader;
    reader.parse(input).map_err(|_| short())
}

/// A delta time of one to four octets; a longer form than needed is legal (RFC 6295 §3.1).
#[inline]
pub(crate) fn delta(input: &[u8]) -> Parsed<'_, Delta> {
    let mut units = 0;
    let mut rest = input;
    for _ in 0..Delta::MAX_LEN {
        let Some((&octet, tail)) = rest.split_first() else {
            return Err(Fault::new(rest, Why::TruncatedDelta));
        };
        units = units << 7 | u32::from(octet & 0x7F);
        rest = tail;
        if octet < 0x80 {
            return Ok((rest, Delta::from_low_bits(units)));
        }
    }
    Err(Fault::new(input, Why::DeltaTooLong))
}

/// The channel command that nearly every list begins with, or `None` for [`command`] to tell what
/// it is instead: this one is short enough to be inlined, which halves the time a list takes.
#[inline]
pub(crate) fn channel(
    input: &[u8],
    running: Option<ChannelStatus>,
) -> Option<(&[u8], (ChannelMessage, ChannelStatus))> {
    let (&first, rest) = input.split_first()?;
    let (status, data) = match ChannelStatus::new(first) {
        Some(status) => (status, rest),
        None => (running?, input),
    };
    let (first, second, rest) = match *data {
        [first, second, ref rest @ ..] if status.data_len() == 2 => (first, second, rest),
        [first, ref rest @ ..] if status.data_len() == 1 => (first, 0, rest),
        _ => return None,
    };
    let message = ChannelMessage::from_parts(status, U7::new(first)?, U7::new(second)?);
    Some((rest, (message, status)))
}

/// One command, and the running status that holds after it (RFC 6295 §3.2).
pub(crate) fn command(
    input: &[u8],
    running: Option<ChannelStatus>,
) -> Parsed<'_, (Command<'_>, Option<ChannelStatus>)> {
    match input.first() {
        Some(0xF0 | 0xF7) => segment(input).map(|(rest, it)| (rest, (Command::SysEx(it), None))),
        Some(0xF4 | 0xF5) => undefined(input)
            .map(|(rest, it)| (rest, (Command::Message(Message::Undefined(it)), None))),
        _ => match Message::parse_prefix(input, running) {
            Ok((message, len, running)) => {
                let rest = input.get(len..).unwrap_or_default();
                Ok((rest, (Command::Message(message), running)))
            }
            Err(error) => Err(message_fault(input, error)),
        },
    }
}

#[cold]
fn message_fault(input: &[u8], error: MessageError) -> nom::Err<Fault<'_>> {
    let at = input.get(error.offset()..).unwrap_or_default();
    let why = match error {
        MessageError::MissingStatus { found, .. } => Why::MissingStatus { found },
        MessageError::StatusInData { status, found, .. } => Why::StatusInData { status, found },
        MessageError::Truncated { status, .. } => Why::TruncatedCommand { status },
        // Never of a prefix, and never of a status that `command` sends here.
        _ => Why::TruncatedCommand {
            status: input.first().copied().unwrap_or_default(),
        },
    };
    Fault::new(at, why)
}

/// `F0` or `F7`, data octets, and the tail that tells what kind of segment it is.
fn segment(input: &[u8]) -> Parsed<'_, SysExSegment<'_>> {
    let (head, body) = input.split_first().unwrap_or((&0xF0, &[]));
    let (end, data) = data_octets(body)?;
    let Some((&tail, rest)) = end.split_first() else {
        return Err(Fault::new(input, Why::UnterminatedSysEx));
    };
    let kind = match (head, data, tail) {
        (0xF0, _, 0xF7) => SegmentKind::Whole,
        (0xF0, _, 0xF5) => SegmentKind::WholeDroppedEnd,
        (_, _, 0xF7) => SegmentKind::Last,
        (_, _, 0xF5) => SegmentKind::LastDroppedEnd,
        (_, [], 0xF0) => return Err(Fault::new(input, Why::EmptySysExSegment)),
        (0xF0, _, 0xF0) => SegmentKind::First,
        (_, _, 0xF0) => SegmentKind::Middle,
        (0xF7, [], 0xF4) => SegmentKind::Cancel,
        (0xF7, _, 0xF4) => return Err(Fault::new(input, Why::NonemptyCancel)),
        (_, _, found) => return Err(Fault::new(end, Why::BadSysExTerminator { found })),
    };
    Ok((rest, SysExSegment::from_checked(kind, data)))
}

/// `F4` or `F5`, data octets, and the `F7` that only the list adds.
fn undefined(input: &[u8]) -> Parsed<'_, Undefined<'_>> {
    let (&status, body) = input.split_first().unwrap_or((&0xF4, &[]));
    let (end, data) = data_octets(body)?;
    let checked = UndefinedStatus::from_status(status).and_then(|it| Undefined::new(it, data));
    match (end, checked) {
        ([0xF7, rest @ ..], Some(undefined)) => Ok((rest, undefined)),
        _ => Err(Fault::new(input, Why::UnterminatedUndefined { status })),
    }
}

fn data_octets(input: &[u8]) -> Parsed<'_, &[u8]> {
    take_while(|octet: u8| octet < 0x80).parse(input)
}
