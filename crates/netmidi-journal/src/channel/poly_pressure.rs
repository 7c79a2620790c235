//! Chapter A: poly pressure.

use netmidi_message::{Note, U7};

use super::{read_list, write_list};
use crate::encode::{Cursor, encodes, top};
use crate::logs::{Log, Logs};
use crate::parse::Parsed;

/// Chapter A: the pressure on single keys (RFC 6295 §A.9).
///
/// ```text
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |S|     LEN     |S|   NOTENUM   |X|  PRESSURE   |  LEN more logs …
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
///
/// LEN is one less than the number of logs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PolyPressure<'a> {
    s: bool,
    logs: Logs<'a, PolyPressureLog>,
}

/// One log of chapter A.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct PolyPressureLog {
    /// 0 if the command was in the packet just before.
    pub s: bool,
    /// Which key.
    pub note: Note,
    /// Whether all notes were ended (controllers 120, 123 to 127) since (X): the log is stale.
    pub stale: bool,
    /// The pressure.
    pub pressure: U7,
}

impl<'a> PolyPressure<'a> {
    /// The chapter, or `None` when there is no log to put into it.
    ///
    /// `s` is written as 0 also if it is so in a log.
    #[must_use]
    pub const fn new(s: bool, logs: Logs<'a, PolyPressureLog>) -> Option<Self> {
        if logs.is_empty() {
            None
        } else {
            Some(Self { s, logs })
        }
    }

    /// S as it was read or given.
    #[must_use]
    pub const fn s(&self) -> bool {
        self.s
    }

    /// S as it is written: 0 if it is 0 here or in a log.
    #[must_use]
    pub fn effective_s(&self) -> bool {
        self.s && self.logs.s()
    }

    /// The logs, 1 to 128.
    #[must_use]
    pub const fn logs(&self) -> Logs<'a, PolyPressureLog> {
        self.logs
    }

    pub(crate) fn read(input: &'a [u8]) -> Parsed<'a, Self> {
        let (rest, (s, logs)) = read_list(input)?;
        Ok((rest, Self { s, logs }))
    }

    pub(crate) fn write(&self, out: &mut Cursor<'_>) {
        write_list(self.effective_s(), &self.logs, out);
    }
}

encodes!(PolyPressure<'_>);

#[cfg(feature = "alloc")]
pub(crate) mod receiver {
    use netmidi_message::{ChannelMessage, U7};

    use super::PolyPressure;
    use crate::repairer::{ChannelModel, Repairs, Table, keys};

    /// The pressure on each key, where it is known.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct PolyPressureModel {
        keys: Table<U7>,
        /// That of all other keys.
        others: Option<U7>,
    }

    impl PolyPressureModel {
        pub(crate) fn get(&self, key: U7) -> Option<U7> {
            self.keys.used(key).or(self.others)
        }

        pub(crate) fn observe(&mut self, key: U7, value: U7) {
            *self.keys.get_mut(key) = value;
        }

        /// All keys have this one now, or nobody knows which. Memory is kept.
        pub(crate) fn set_all(&mut self, value: Option<U7>) {
            self.keys.clear();
            self.others = value;
        }
    }

    impl ChannelModel {
        /// The receiver's rule of chapter A.
        pub(crate) fn repair_poly_pressure(
            &mut self,
            chapter: &PolyPressure<'_>,
            out: &mut Repairs<'_>,
        ) {
            if out.skips(chapter.s()) {
                return;
            }
            for log in &chapter.logs() {
                // A stale one belongs to a note that has ended.
                let known = self.poly_pressure.get(log.note.to_u7()) == Some(log.pressure);
                if !out.skips(log.s) && !log.stale && !known {
                    let message =
                        ChannelMessage::poly_pressure(self.channel, log.note, log.pressure);
                    self.execute(message, out);
                }
            }
        }

        /// What came before all notes were ended counts no more, and is not known.
        pub(crate) fn restore_poly_pressure(&mut self, now: &Self, out: &mut Repairs<'_>) {
            for key in keys() {
                let then = now.poly_pressure.get(key);
                if let Some(value) = then
                    && self.poly_pressure.get(key) != then
                {
                    let message = ChannelMessage::poly_pressure(self.channel, key.into(), value);
                    self.execute(message, out);
                }
            }
        }
    }
}

impl Log for PolyPressureLog {
    #[inline]
    fn from_octets([note, pressure]: [u8; 2]) -> Self {
        Self {
            s: note & S != 0,
            note: Note::from(U7::from_low_bits(note)),
            stale: pressure & X != 0,
            pressure: U7::from_low_bits(pressure),
        }
    }

    #[inline]
    fn to_octets(self) -> [u8; 2] {
        [
            top(self.s) | self.note.get(),
            top(self.stale) | self.pressure.get(),
        ]
    }

    fn s(self) -> bool {
        self.s
    }
}

const S: u8 = 0x80;
const X: u8 = 0x80;

#[cfg(feature = "alloc")]
pub(crate) mod sent {
    use alloc::vec::Vec;

    use netmidi_message::{Note, U7};

    use super::{PolyPressure, PolyPressureLog};
    use crate::logs::Logs;
    use crate::recent::{Packet, Recent, View, item_bit};

    /// Which pressures the keys of a channel were told.
    #[derive(Clone, Debug)]
    pub(crate) struct History {
        /// With the pressure, and [`STALE`](Self::STALE).
        pub(crate) recent: Recent,
    }

    impl History {
        /// All notes were ended since.
        const STALE: u8 = 0x80;

        pub(crate) const fn new() -> Self {
            Self {
                recent: Recent::new(),
            }
        }

        pub(crate) fn record(&mut self, note: Note, pressure: U7, packet: Packet) {
            self.recent.touch(note.get(), packet, pressure.get(), ());
        }

        /// Controllers 120 and 123 to 127.
        pub(crate) fn end_notes(&mut self) {
            self.recent.values().for_each(|it| *it |= Self::STALE);
        }

        /// The chapter with those of `told`.
        pub(crate) fn chapter<'b>(
            &self,
            view: &View,
            told: u128,
            logs: &'b mut Vec<PolyPressureLog>,
        ) -> Option<PolyPressure<'b>> {
            logs.clear();
            let told = |note| told & item_bit(note) != 0;
            logs.extend(
                self.recent
                    .iter()
                    .filter(|item| told(item.number))
                    .map(|item| PolyPressureLog {
                        s: item.mark().s(view.previous),
                        note: Note::from(U7::from_low_bits(item.number)),
                        stale: item.value & Self::STALE != 0,
                        pressure: U7::from_low_bits(item.value),
                    }),
            );
            PolyPressure::new(true, Logs::new(logs)?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::assert_octets;

    #[test]
    fn a_stale_pressure_and_a_fresh_one() {
        let log = |s, key, stale, pressure| PolyPressureLog {
            s,
            note: Note::new(key).unwrap(),
            stale,
            pressure: U7::from_low_bits(pressure),
        };
        let logs = [log(true, 60, true, 127), log(false, 61, false, 10)];
        let chapter = PolyPressure::new(false, Logs::new(&logs).unwrap()).unwrap();
        assert_octets!(PolyPressure, chapter, [0x01, 0xBC, 0xFF, 0x3D, 0x0A]);
    }
}
