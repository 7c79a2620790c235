//! Lines of hex digits.

use std::fmt;

/// Why a line is no payload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BadHex {
    /// Something else than a hex digit, the so many characters from the beginning, from 1.
    Digit { found: char, column: usize },
    /// Half an octet is left over.
    Half,
    /// Not even text.
    NoText,
    /// Longer than any packet.
    Long,
}

/// Reads the octets of a line into `octets`; spaces may stand anywhere.
pub(crate) fn read(line: &[u8], octets: &mut Vec<u8>) -> Result<(), BadHex> {
    octets.clear();
    let mut high = None;
    for (index, &character) in line.iter().enumerate() {
        let digit = match character {
            b'0'..=b'9' => character - b'0',
            b'a'..=b'f' => character - b'a' + 10,
            b'A'..=b'F' => character - b'A' + 10,
            b' ' | b'\t' | b'\r' => continue,
            _ => return Err(bad_digit(line, index)),
        };
        match high.take() {
            None => high = Some(digit),
            Some(high) => octets.push(high << 4 | digit),
        }
    }
    match high {
        None => Ok(()),
        Some(_) => Err(BadHex::Half),
    }
}

fn bad_digit(line: &[u8], index: usize) -> BadHex {
    let Ok(text) = str::from_utf8(line) else {
        return BadHex::NoText;
    };
    let mut characters = text.char_indices().zip(1..);
    match characters.find(|((at, _), _)| *at == index) {
        Some(((_, found), column)) => BadHex::Digit { found, column },
        None => BadHex::NoText,
    }
}

impl fmt::Display for BadHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digit { found, column } => {
                write!(f, "character {column} is {found:?}, which is no hex digit")
            }
            Self::Half => f.write_str("a hex digit is missing: every octet has two"),
            Self::NoText => f.write_str("it is not text"),
            Self::Long => f.write_str("it is longer than any packet"),
        }
    }
}
