//! Chapter E: note extras.

use netmidi_message::{Note, U7};

use super::{read_list, write_list};
use crate::encode::{Cursor, encodes, top};
use crate::logs::{Log, Logs};
use crate::parse::Parsed;

/// Chapter E: what chapter N cannot say about notes (RFC 6295 §A.7).
///
/// ```text
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |S|     LEN     |S|   NOTENUM   |V|  COUNT/VEL  |  LEN more logs …
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
///
/// LEN is one less than the number of logs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Extras<'a> {
    s: bool,
    logs: Logs<'a, ExtraLog>,
}

/// One log of chapter E.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ExtraLog {
    /// 0 if what it codes was in the packet just before.
    pub s: bool,
    /// Which note.
    pub note: Note,
    /// What is told about it.
    pub extra: Extra,
}

/// What an [`ExtraLog`] tells about its note.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Extra {
    /// How fast the key was let go (V=1).
    ReleaseVelocity(U7),
    /// How many note-ons have had no note-off yet (V=0); 127 stands for 127 and more.
    Count(U7),
}

impl<'a> Extras<'a> {
    /// The chapter, or `None` when there is no log to put into it.
    ///
    /// `s` is written as 0 also if it is so in a log.
    #[must_use]
    pub const fn new(s: bool, logs: Logs<'a, ExtraLog>) -> Option<Self> {
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
    pub const fn logs(&self) -> Logs<'a, ExtraLog> {
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

encodes!(Extras<'_>);

#[cfg(feature = "alloc")]
pub(crate) mod receiver {
    use netmidi_message::{Note, U7};

    use super::{Extra, Extras};
    use crate::repairer::PerKey;

    /// How fast keys are let go that do not measure it.
    pub(crate) const USUAL_RELEASE: U7 = U7::from_low_bits(64);

    /// Chapter E by note: chapter N asks it, whatever the S bits.
    pub(crate) struct ExtraTable {
        counts: PerKey<Option<U7>>,
        releases: PerKey<Option<U7>>,
    }

    impl ExtraTable {
        pub(crate) fn new(extras: Option<&Extras<'_>>) -> Self {
            let mut table = Self {
                counts: PerKey::new(None),
                releases: PerKey::new(None),
            };
            let logs = extras.map(Extras::logs);
            for log in logs.iter().flatten() {
                let (to, value) = match log.extra {
                    Extra::Count(count) => (&mut table.counts, count),
                    Extra::ReleaseVelocity(velocity) => (&mut table.releases, velocity),
                };
                *to.get_mut(log.note.to_u7()) = Some(value);
            }
            table
        }

        /// How many note-ons of the note wait for their note-off at the sender.
        pub(crate) fn count(&self, note: Note) -> Option<u8> {
            self.counts.get(note.to_u7()).map(U7::get)
        }

        /// How fast the note was let go.
        pub(crate) fn release(&self, note: Note) -> U7 {
            self.releases.get(note.to_u7()).unwrap_or(USUAL_RELEASE)
        }
    }
}

impl Log for ExtraLog {
    #[inline]
    fn from_octets([note, extra]: [u8; 2]) -> Self {
        let value = U7::from_low_bits(extra);
        Self {
            s: note & S != 0,
            note: Note::from(U7::from_low_bits(note)),
            extra: if extra & V != 0 {
                Extra::ReleaseVelocity(value)
            } else {
                Extra::Count(value)
            },
        }
    }

    #[inline]
    fn to_octets(self) -> [u8; 2] {
        let extra = match self.extra {
            Extra::ReleaseVelocity(velocity) => V | velocity.get(),
            Extra::Count(count) => count.get(),
        };
        [top(self.s) | self.note.get(), extra]
    }

    fn s(self) -> bool {
        self.s
    }
}

const S: u8 = 0x80;
const V: u8 = 0x80;

#[cfg(feature = "alloc")]
pub(crate) mod sent {
    use alloc::vec::Vec;

    use netmidi_message::{Note, U7};

    use super::{Extra, ExtraLog, Extras};
    use crate::channel::note::sent::History as Notes;
    use crate::logs::Logs;
    use crate::recent::{View, item_bit};

    /// What chapter N does not keep of the notes of a channel. Which of them are unacknowledged, and
    /// how fast they were let go, it does keep.
    #[derive(Clone, Debug)]
    pub(crate) struct History {
        /// The notes with note-ons without a note-off.
        held: u128,
        /// How many more than one those of them have that have more, by note.
        stacked: Vec<(u8, u16)>,
    }

    impl History {
        /// What a note-on with velocity 0 stands for, and what needs no log.
        pub(crate) const DEFAULT_RELEASE: U7 = U7::from_low_bits(64);

        pub(crate) const fn new() -> Self {
            Self {
                held: 0,
                stacked: Vec::new(),
            }
        }

        pub(crate) fn on(&mut self, note: Note) {
            let bit = item_bit(note.get());
            if self.held & bit == 0 {
                self.held |= bit;
                return;
            }
            match self.find(note.get()) {
                Ok(index) => {
                    if let Some((_, more)) = self.stacked.get_mut(index) {
                        *more = more.saturating_add(1);
                    }
                }
                Err(index) => self.stacked.insert(index, (note.get(), 1)),
            }
        }

        fn find(&self, note: u8) -> Result<usize, usize> {
            self.stacked.binary_search_by_key(&note, |(it, _)| *it)
        }

        pub(crate) fn off(&mut self, note: Note) {
            let Ok(index) = self.find(note.get()) else {
                self.held &= !item_bit(note.get());
                return;
            };
            if let Some((_, more)) = self.stacked.get_mut(index)
                && *more > 1
            {
                *more -= 1;
            } else {
                self.stacked.remove(index);
            }
        }

        /// Controllers 120 and 123 to 127.
        pub(crate) fn clear(&mut self) {
            self.held = 0;
            self.stacked.clear();
        }

        /// Whether it knows nothing.
        pub(crate) const fn is_blank(&self) -> bool {
            self.held == 0
        }

        /// Gives back what memory it does not need now.
        pub(crate) fn shrink(&mut self) {
            self.stacked.shrink_to_fit();
        }

        /// COUNT of the note, if it needs a log.
        pub(crate) fn count(&self, note: u8, on: bool) -> Option<U7> {
            if on && self.stacked.is_empty() || self.held & item_bit(note) == 0 {
                return None;
            }
            let stacked = self.find(note).ok().and_then(|it| self.stacked.get(it));
            match stacked {
                Some((_, more)) => Some(U7::from_low_bits(more.saturating_add(1).min(127) as u8)),
                None => (!on).then_some(U7::from_low_bits(1)),
            }
        }

        /// A release velocity, if it needs a log.
        pub(crate) fn release(release: U7) -> Option<U7> {
            (release != Self::DEFAULT_RELEASE).then_some(release)
        }

        /// The chapter with the counts and release velocities of those notes.
        pub(crate) fn chapter<'b>(
            &self,
            view: &View,
            notes: &Notes,
            (counts, releases): (u128, u128),
            logs: &'b mut Vec<ExtraLog>,
        ) -> Option<Extras<'b>> {
            logs.clear();
            for it in notes.recent.iter() {
                let item = it.number;
                let log = |extra| ExtraLog {
                    s: it.mark().s(view.previous),
                    note: Note::from(U7::from_low_bits(item)),
                    extra,
                };
                let count = self.count(item, Notes::is_on(it));
                let count = count.map(Extra::Count).map(log);
                let release = Notes::release(it).and_then(Self::release);
                let release = release.map(Extra::ReleaseVelocity).map(log);
                logs.extend(count.filter(|_| counts & item_bit(item) != 0));
                logs.extend(release.filter(|_| releases & item_bit(item) != 0));
            }
            // With more than fit, it is the release velocities that nobody will miss.
            let mut surplus = logs.len().saturating_sub(Logs::<ExtraLog>::MAX_LEN);
            if surplus > 0 {
                logs.retain(|log| {
                    let drop = surplus > 0 && matches!(log.extra, Extra::ReleaseVelocity(_));
                    surplus -= usize::from(drop);
                    !drop
                });
            }
            Extras::new(true, Logs::new(logs)?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::assert_octets;

    #[test]
    fn both_extras_of_one_note() {
        let log = |extra| ExtraLog {
            s: true,
            note: Note::MIDDLE_C,
            extra,
        };
        let logs = [
            log(Extra::Count(U7::from_low_bits(1))),
            log(Extra::ReleaseVelocity(U7::MIN)),
        ];
        let extras = Extras::new(true, Logs::new(&logs).unwrap()).unwrap();
        assert_octets!(Extras, extras, [0x81, 0xBC, 0x01, 0xBC, 0x80]);
    }
}
