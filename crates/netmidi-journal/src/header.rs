//! The header of a journal.

use netmidi_wire::SeqNum;

use crate::error::JournalError;
use crate::parse::{Fault, Parsed};

/// The header of a journal (RFC 6295 §5).
///
/// ```text
///  0                   1                   2
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |S|Y|A|H|TOTCHAN|   Checkpoint Packet Seqnum    |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
///
/// TOTCHAN is one less than the number of channel journals.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Header {
    pub(crate) s: bool,
    pub(crate) has_system: bool,
    pub(crate) enhanced: bool,
    /// How many channel journals, 0 to 16.
    pub(crate) channels: u8,
    pub(crate) checkpoint: SeqNum,
}

impl Header {
    pub(crate) const LEN: usize = 3;

    pub(crate) fn read(input: &[u8]) -> Parsed<'_, Self> {
        let Some((&[head, high, low], rest)) = input.split_first_chunk() else {
            // It is the end that is in the wrong place.
            return Err(Fault::new(&[], JournalError::TruncatedHeader { offset: 0 }));
        };
        Ok((
            rest,
            Self {
                s: head & S != 0,
                has_system: head & Y != 0,
                enhanced: head & H != 0,
                // Without A, TOTCHAN says nothing.
                channels: if head & A == 0 {
                    0
                } else {
                    (head & TOTCHAN) + 1
                },
                checkpoint: SeqNum(u16::from_be_bytes([high, low])),
            },
        ))
    }

    pub(crate) const fn to_octets(self) -> [u8; Self::LEN] {
        let mut head = self.channels.saturating_sub(1) & TOTCHAN;
        if self.s {
            head |= S;
        }
        if self.has_system {
            head |= Y;
        }
        if self.channels > 0 {
            head |= A;
        }
        if self.enhanced {
            head |= H;
        }
        let [high, low] = self.checkpoint.0.to_be_bytes();
        [head, high, low]
    }
}

const S: u8 = 0x80;
const Y: u8 = 0x40;
const A: u8 = 0x20;
const H: u8 = 0x10;
const TOTCHAN: u8 = 0x0F;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totchan_is_one_less_than_the_channels() {
        for (octets, channels) in [
            ([0x80, 1, 2], 0),
            ([0xA0, 1, 2], 1),
            ([0x3F, 1, 2], 16),
            ([0x40, 1, 2], 0),
        ] {
            let (_, header) = Header::read(&octets).unwrap();
            assert_eq!(header.channels, channels);
            assert_eq!(header.checkpoint, SeqNum(0x0102));
            assert_eq!(header.to_octets(), octets);
        }
        let (_, header) = Header::read(&[0x8F, 0, 0]).unwrap();
        assert_eq!(header.channels, 0);
    }
}
