//! Writing octets one after the other.

use netmidi_message::BufferTooSmall;

/// A place in a buffer.
///
/// It goes on counting behind the end of the buffer, so that one pass tells how many octets are
/// needed; what it writes there is nowhere.
#[derive(Debug)]
pub(crate) struct Cursor<'b> {
    out: &'b mut [u8],
    at: usize,
}

impl<'b> Cursor<'b> {
    pub(crate) const fn new(out: &'b mut [u8]) -> Self {
        Self { out, at: 0 }
    }

    /// How many octets were written.
    pub(crate) const fn len(&self) -> usize {
        self.at
    }

    #[inline]
    pub(crate) fn put(&mut self, octet: u8) {
        if let Some(to) = self.out.get_mut(self.at) {
            *to = octet;
        }
        self.at += 1;
    }

    #[inline]
    pub(crate) fn put_all(&mut self, octets: &[u8]) {
        if let Some(to) = self.out.get_mut(self.at..self.at + octets.len()) {
            to.copy_from_slice(octets);
        }
        self.at += octets.len();
    }

    /// Writes over an octet that was written before.
    #[inline]
    pub(crate) fn patch(&mut self, at: usize, octet: u8) {
        if let Some(to) = self.out.get_mut(at) {
            *to = octet;
        }
    }

    /// How many octets were written, if the buffer held them all.
    pub(crate) const fn finish(self) -> Result<usize, BufferTooSmall> {
        let available = self.out.len();
        if self.at <= available {
            Ok(self.at)
        } else {
            Err(BufferTooSmall {
                needed: self.at,
                available,
            })
        }
    }
}

/// The top bit of an octet that begins with S, or with another flag in its place.
#[inline]
pub(crate) const fn top(flag: bool) -> u8 {
    if flag { 0x80 } else { 0 }
}

/// `bit` if the flag is set.
#[inline]
pub(crate) const fn bit(flag: bool, bit: u8) -> u8 {
    if flag { bit } else { 0 }
}

/// Gives a chapter, which has `write(&self, &mut Cursor)`, its public encoding.
macro_rules! encodes {
    ($type:ty) => {
        impl $type {
            /// How many octets [`encode`](Self::encode) writes.
            #[must_use]
            pub fn encoded_len(&self) -> usize {
                let mut out = $crate::encode::Cursor::new(&mut []);
                self.write(&mut out);
                out.len()
            }

            /// Writes the chapter to the beginning of `out` and returns how many octets it took.
            ///
            /// # Errors
            /// When `out` is shorter than [`encoded_len`](Self::encoded_len); what is in it then
            /// means nothing.
            pub fn encode(
                &self,
                out: &mut [u8],
            ) -> Result<usize, netmidi_message::BufferTooSmall> {
                let mut out = $crate::encode::Cursor::new(out);
                self.write(&mut out);
                out.finish()
            }

            /// The chapter as octets.
            #[cfg(feature = "alloc")]
            #[must_use]
            pub fn to_vec(&self) -> alloc::vec::Vec<u8> {
                let mut out = alloc::vec![0; self.encoded_len()];
                self.encode(&mut out).expect("the vector is as long as the encoder said");
                out
            }
        }
    };
}
pub(crate) use encodes;

/// Holds what a chapter writes against octets, and reads them back.
#[cfg(test)]
macro_rules! assert_octets {
    ($type:ident, $value:expr, $octets:expr) => {{
        let value = $value;
        let octets: &[u8] = &$octets;
        let mut out = [0xAA; 300];
        let len = value.encode(&mut out).unwrap();
        assert_eq!(&out[..len], octets);
        assert_eq!(len, value.encoded_len());
        assert!(value.encode(&mut out[..len - 1]).is_err());
        let (rest, read) = $type::read(octets).unwrap();
        assert_eq!(read, value);
        assert!(rest.is_empty());
    }};
}
#[cfg(test)]
pub(crate) use assert_octets;
