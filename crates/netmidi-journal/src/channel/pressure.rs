//! Chapter T: channel pressure.

use netmidi_message::U7;
use nom::number::complete::be_u8;

use crate::encode::{Cursor, encodes, top};
use crate::parse::Parsed;

/// Chapter T: the pressure on a whole channel (RFC 6295 §A.8).
///
/// ```text
///  0 1 2 3 4 5 6 7
/// +-+-+-+-+-+-+-+-+
/// |S|   PRESSURE  |
/// +-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Pressure {
    /// 0 if the command was in the packet just before.
    pub s: bool,
    /// The pressure.
    pub pressure: U7,
}

impl Pressure {
    pub(crate) fn read(input: &[u8]) -> Parsed<'_, Self> {
        let (rest, octet) = be_u8(input)?;
        Ok((
            rest,
            Self {
                s: octet & 0x80 != 0,
                pressure: U7::from_low_bits(octet),
            },
        ))
    }

    pub(crate) fn write(&self, out: &mut Cursor<'_>) {
        out.put(top(self.s) | self.pressure.get());
    }
}

encodes!(Pressure);

#[cfg(feature = "alloc")]
pub(crate) mod sent {
    use netmidi_message::U7;

    use super::Pressure;
    use crate::recent::{Mark, Packet, View};

    /// Which pressure a channel was told.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct History {
        pub(crate) mark: Mark,
        pressure: U7,
    }

    impl History {
        pub(crate) const fn record(&mut self, pressure: U7, packet: Packet) {
            self.pressure = pressure;
            self.mark = Mark::new(packet);
        }

        pub(crate) fn chapter(&self, view: &View) -> Option<Pressure> {
            self.mark.is_pending().then_some(Pressure {
                s: self.mark.s(view.previous),
                pressure: self.pressure,
            })
        }
    }
}

#[cfg(feature = "alloc")]
pub(crate) mod receiver {
    use netmidi_message::ChannelMessage;

    use super::Pressure;
    use crate::repairer::{ChannelModel, Repairs};

    impl ChannelModel {
        /// The receiver's rule of chapter T.
        pub(crate) fn repair_pressure(&mut self, log: &Pressure, out: &mut Repairs<'_>) {
            if !out.skips(log.s) && self.pressure != Some(log.pressure) {
                let message = ChannelMessage::channel_pressure(self.channel, log.pressure);
                self.execute(message, out);
            }
        }

        /// What came before all notes were ended counts no more, and is not known.
        pub(crate) fn restore_pressure(&mut self, now: &Self, out: &mut Repairs<'_>) {
            if let Some(value) = now.pressure
                && self.pressure != now.pressure
            {
                let message = ChannelMessage::channel_pressure(self.channel, value);
                self.execute(message, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::assert_octets;

    #[test]
    fn a_pressure_is_one_octet() {
        let pressure = U7::from_low_bits(99);
        assert_octets!(Pressure, Pressure { s: false, pressure }, [99]);
        assert_octets!(Pressure, Pressure { s: true, pressure }, [0x80 | 99]);
    }
}
