//! Chapter V: active sense.

use netmidi_message::U7;
use nom::number::complete::be_u8;

use crate::encode::{Cursor, encodes, top};
use crate::parse::Parsed;

/// Chapter V: how often active sense was sent (RFC 6295 §B.2).
///
/// ```text
///  0 1 2 3 4 5 6 7
/// +-+-+-+-+-+-+-+-+
/// |S|    COUNT    |
/// +-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ActiveSense {
    /// 0 if one was in the packet just before.
    pub s: bool,
    /// How many FE there were, 0 to 127 and then 0 again.
    pub count: U7,
}

impl ActiveSense {
    pub(crate) fn read(input: &[u8]) -> Parsed<'_, Self> {
        let (rest, octet) = be_u8(input)?;
        Ok((
            rest,
            Self {
                s: octet & 0x80 != 0,
                count: U7::from_low_bits(octet),
            },
        ))
    }

    pub(crate) fn write(&self, out: &mut Cursor<'_>) {
        out.put(top(self.s) | self.count.get());
    }
}

encodes!(ActiveSense);

#[cfg(feature = "alloc")]
pub(crate) mod sent {
    use netmidi_message::U7;

    use super::ActiveSense;
    use crate::recent::{Mark, Packet, View};

    /// How often active sense was sent.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct History {
        pub(crate) mark: Mark,
        count: u8,
    }

    impl History {
        pub(crate) const fn record(&mut self, packet: Packet) {
            self.count = self.count.wrapping_add(1);
            self.mark = Mark::new(packet);
        }

        pub(crate) fn chapter(&self, view: &View) -> Option<ActiveSense> {
            self.mark.is_pending().then_some(ActiveSense {
                s: self.mark.s(view.previous),
                count: U7::from_low_bits(self.count),
            })
        }
    }
}

#[cfg(feature = "alloc")]
pub(crate) mod receiver {
    use netmidi_message::U7;

    use super::ActiveSense;
    use crate::repairer::Repairs;

    /// How often active sense came.
    #[derive(Clone, Copy, Debug, Default)]
    pub(crate) struct ActiveSenseModel(U7);

    impl ActiveSenseModel {
        pub(crate) const fn observe(&mut self) {
            self.0 = U7::from_low_bits(self.0.get() + 1);
        }

        /// The receiver's rule of chapter V. A lost one is not made good: the next comes soon.
        pub(crate) fn repair(&mut self, log: &ActiveSense, out: &Repairs<'_>) {
            if !out.skips(log.s) {
                self.0 = log.count;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::assert_octets;

    #[test]
    fn a_count_is_one_octet() {
        let count = U7::from_low_bits(42);
        assert_octets!(ActiveSense, ActiveSense { s: true, count }, [0xAA]);
        assert_octets!(ActiveSense, ActiveSense { s: false, count }, [0x2A]);
    }
}
