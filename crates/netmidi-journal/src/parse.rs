//! Reading with nom. The only place where its errors become [`JournalError`].

use nom::IResult;
use nom::error::{ErrorKind, ParseError as NomError};

use crate::error::{Chapter, JournalError};

/// What a reader returns.
pub(crate) type Parsed<'a, T> = IResult<&'a [u8], T, Fault>;

/// What is wrong, with an offset that counts backwards, from the end of the octets that the reader
/// was given: so a reader need not know where they begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault(JournalError);

impl Fault {
    /// `error`, whose offset is ignored, found where `at` begins.
    #[cold]
    pub(crate) fn new(at: &[u8], mut error: JournalError) -> nom::Err<Self> {
        *error.offset_mut() = at.len();
        nom::Err::Failure(Self(error))
    }

    /// A field that does not fit stands at the beginning of `at`.
    #[cold]
    pub(crate) fn overrun(at: &[u8]) -> nom::Err<Self> {
        nom::Err::Failure(Self::from_error_kind(at, ErrorKind::Eof))
    }

    /// The same, as seen by a reader that was given `after` more octets.
    pub(crate) const fn behind(mut self, after: usize) -> Self {
        *self.0.offset_mut() += after;
        self
    }

    /// The error, when the octets that the reader was given end at `end`.
    #[cold]
    pub(crate) fn into_error(fault: nom::Err<Self>, end: usize) -> JournalError {
        match fault {
            nom::Err::Error(Self(mut error)) | nom::Err::Failure(Self(mut error)) => {
                let offset = error.offset_mut();
                *offset = end.saturating_sub(*offset);
                error
            }
            // Readers of nom::…::complete never ask for more.
            nom::Err::Incomplete(_) => JournalError::ChapterOverrun {
                offset: end,
                chapter: Chapter::P,
            },
        }
    }
}

impl NomError<&[u8]> for Fault {
    fn from_error_kind(at: &[u8], _: ErrorKind) -> Self {
        // Of nom's own readers only those of numbers and slices are used: they fail at the end.
        // Which chapter it was, `chapter` puts in.
        Self(JournalError::ChapterOverrun {
            offset: at.len(),
            chapter: Chapter::P,
        })
    }

    fn append(_: &[u8], _: ErrorKind, other: Self) -> Self {
        other
    }
}

/// Reads a chapter if the table of contents says that it is there.
pub(crate) fn chapter<'a, T>(
    present: bool,
    name: Chapter,
    read: impl FnOnce(&'a [u8]) -> Parsed<'a, T>,
    input: &'a [u8],
) -> Parsed<'a, Option<T>> {
    if !present {
        return Ok((input, None));
    }
    match read(input) {
        Ok((rest, it)) => Ok((rest, Some(it))),
        Err(fault) => Err(fault.map(|Fault(mut error)| {
            if let JournalError::ChapterOverrun { chapter, .. } = &mut error {
                *chapter = name;
            }
            Fault(error)
        })),
    }
}

/// Reads something that has `inner` to itself, in front of `rest`.
pub(crate) fn inside<'a, T>(
    inner: &'a [u8],
    rest: &'a [u8],
    read: impl FnOnce(&'a [u8]) -> Result<T, nom::Err<Fault>>,
) -> Result<T, nom::Err<Fault>> {
    read(inner).map_err(|fault| fault.map(|fault| fault.behind(rest.len())))
}
