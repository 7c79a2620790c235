//! Chapter W: pitch wheel.

use netmidi_message::{Bend, U7, U14};
use nom::Parser;
use nom::number::complete::be_u8;

use crate::encode::{Cursor, encodes, top};
use crate::parse::Parsed;

/// Chapter W: where the pitch wheel of a channel is (RFC 6295 §A.5).
///
/// ```text
///  0                   1
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |S|    FIRST    |R|   SECOND    |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Wheel {
    /// 0 if the command was in the packet just before.
    pub s: bool,
    /// The position: FIRST is its lower half, SECOND its upper one, as in the command.
    pub bend: Bend,
}

impl Wheel {
    pub(crate) fn read(input: &[u8]) -> Parsed<'_, Self> {
        let (rest, (first, second)) = (be_u8, be_u8).parse(input)?;
        let bend = U14::from_parts(U7::from_low_bits(second), U7::from_low_bits(first));
        Ok((
            rest,
            Self {
                s: first & 0x80 != 0,
                bend: bend.into(),
            },
        ))
    }

    pub(crate) fn write(&self, out: &mut Cursor<'_>) {
        let bend = self.bend.to_u14();
        out.put(top(self.s) | bend.lsb().get());
        out.put(bend.msb().get());
    }
}

encodes!(Wheel);

#[cfg(feature = "alloc")]
pub(crate) mod sent {
    use netmidi_message::Bend;

    use super::Wheel;
    use crate::recent::{Mark, Packet, View};

    /// Where a channel was told that the wheel is.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct History {
        pub(crate) mark: Mark,
        bend: Bend,
    }

    impl History {
        pub(crate) const fn record(&mut self, bend: Bend, packet: Packet) {
            self.bend = bend;
            self.mark = Mark::new(packet);
        }

        pub(crate) fn chapter(&self, view: &View) -> Option<Wheel> {
            self.mark.is_pending().then_some(Wheel {
                s: self.mark.s(view.previous),
                bend: self.bend,
            })
        }
    }
}

#[cfg(feature = "alloc")]
pub(crate) mod receiver {
    use netmidi_message::{Bend, ChannelMessage};

    use super::Wheel;
    use crate::repairer::{ChannelModel, Repairs};

    /// Where the wheel is; at rest until it is moved.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct WheelModel {
        pub(crate) bend: Bend,
        pub(crate) ext: u64,
    }

    impl Default for WheelModel {
        fn default() -> Self {
            Self {
                bend: Bend::CENTER,
                ext: 0,
            }
        }
    }

    impl ChannelModel {
        /// The receiver's rule of chapter W.
        pub(crate) fn repair_wheel(&mut self, log: &Wheel, out: &mut Repairs<'_>) {
            if !out.skips(log.s) && self.wheel.bend != log.bend {
                self.execute(ChannelMessage::pitch_bend(self.channel, log.bend), out);
            }
        }

        pub(crate) fn restore_wheel(&mut self, now: &Self, out: &mut Repairs<'_>) {
            let bend = now.wheel.bend;
            if self.wheel.bend != bend {
                self.execute(ChannelMessage::pitch_bend(self.channel, bend), out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::assert_octets;

    #[test]
    fn the_lower_half_comes_first() {
        let wheel = |s, bend| Wheel { s, bend };
        assert_octets!(Wheel, wheel(true, Bend::CENTER), [0x80, 0x40]);
        let bend = Bend::from(U14::from_low_bits(1));
        assert_octets!(Wheel, wheel(false, bend), [0x01, 0x00]);
    }

    #[test]
    fn the_reserved_bit_is_ignored() {
        let (_, wheel) = Wheel::read(&[0x80, 0xC0]).unwrap();
        assert_eq!(wheel.bend, Bend::CENTER);
    }
}
