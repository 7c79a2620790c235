//! Data octets that end with a mark.

use core::fmt;
use core::hash::{Hash, Hasher};

use crate::encode::Cursor;
use crate::parse::{Fault, Parsed};

/// One or more data octets, 0 to 127, as chapters D and X hold them: on the wire the last one is
/// marked by its top bit.
///
/// Borrowed from the octets of a journal or from plain data octets; the mark is never seen.
#[derive(Clone, Copy)]
pub struct LogData<'a> {
    head: &'a [u8],
    last: u8,
}

impl<'a> LogData<'a> {
    /// The data octets, or `None` when there are none, or one is above 127.
    #[must_use]
    pub fn new(data: &'a [u8]) -> Option<Self> {
        let (&last, head) = data.split_last()?;
        data.is_ascii().then_some(Self { head, last })
    }

    /// How many there are, at least 1.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub const fn len(&self) -> usize {
        self.head.len() + 1
    }

    /// All octets but the last, and the last: what can be had without copying.
    #[must_use]
    pub const fn split_last(&self) -> (&'a [u8], u8) {
        (self.head, self.last)
    }

    /// The octets, each 0 to 127.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = u8> + Clone + use<'a> {
        self.head.iter().copied().chain([self.last])
    }

    /// Writes the octets to the beginning of `out`, without the mark; `None`, and nothing written,
    /// when they do not fit.
    pub fn copy_to<'b>(&self, out: &'b mut [u8]) -> Option<&'b mut [u8]> {
        let out = out.get_mut(..self.len())?;
        let (last, head) = out.split_last_mut()?;
        head.copy_from_slice(self.head);
        *last = self.last;
        Some(out)
    }

    pub(crate) fn read(input: &'a [u8]) -> Parsed<'a, Self> {
        let end = input.iter().position(|octet| octet & END != 0);
        let (data, rest) = end
            .and_then(|end| input.split_at_checked(end + 1))
            .ok_or_else(|| Fault::overrun(input))?;
        match data.split_last() {
            Some((&last, head)) => Ok((
                rest,
                Self {
                    head,
                    last: last & !END,
                },
            )),
            None => Err(Fault::overrun(input)),
        }
    }

    pub(crate) fn write(&self, out: &mut Cursor<'_>) {
        out.put_all(self.head);
        out.put(self.last | END);
    }
}

impl PartialEq for LogData<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.split_last() == other.split_last()
    }
}

impl Eq for LogData<'_> {}

impl Hash for LogData<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.split_last().hash(state);
    }
}

impl fmt::Debug for LogData<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The mark of the last octet.
const END: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_octet_is_marked() {
        let (rest, data) = LogData::read(&[1, 2, 0x83, 4]).unwrap();
        assert_eq!(rest, [4]);
        assert_eq!(Some(data), LogData::new(&[1, 2, 3]));
        assert!(data.iter().eq([1, 2, 3]));
        assert_eq!(data.copy_to(&mut [0; 2]), None);
        assert_eq!(data.copy_to(&mut [0; 4]).unwrap(), [1, 2, 3]);
        let mut out = [0; 3];
        data.write(&mut Cursor::new(&mut out));
        assert_eq!(out, [1, 2, 0x83]);
        assert!(LogData::read(&[1, 2]).is_err());
        assert_eq!(LogData::new(&[]), None);
        assert_eq!(LogData::new(&[0x80]), None);
    }
}
