//! Chapter N: notes.

use core::fmt;

use netmidi_message::{Note, U4, U7};
use nom::Parser;
use nom::bytes::complete::take;
use nom::number::complete::be_u8;

use crate::encode::{Cursor, encodes, top};
use crate::error::JournalError;
use crate::logs::{Log, Logs};
use crate::parse::{Fault, Parsed};

/// Chapter N: which notes sound, and which have ended (RFC 6295 §A.6).
///
/// ```text
///  0                   1
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |B|     LEN     |  LOW  | HIGH  |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |S|   NOTENUM   |Y|  VELOCITY   |  LEN logs …
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |    OFFBITS    |  HIGH - LOW + 1 octets …
/// +-+-+-+-+-+-+-+-+
/// ```
///
/// LEN is the number of logs; 127 together with LOW 15 and HIGH 0 means 128. Without OFFBITS LOW is
/// 15 and HIGH is 0, or 1 where it must be told from those 128.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Notes<'a> {
    b: bool,
    logs: Logs<'a, NoteLog>,
    off: OffBits,
    low: U4,
    high: U4,
}

/// One log of chapter N: a note that was switched on last.
///
/// ```text
///  0                   1
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |S|   NOTENUM   |Y|  VELOCITY   |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct NoteLog {
    /// 0 if the note-on was in the packet just before.
    pub s: bool,
    /// The note.
    pub note: Note,
    /// Whether to play the note late (Y): if not, it is too long ago.
    pub play: bool,
    /// The velocity. Should not be 0; a receiver takes that as a note-off.
    pub velocity: U7,
}

/// A set of notes that were switched off last.
#[derive(Clone, Copy, Default, Eq, Hash, PartialEq)]
pub struct OffBits(u128);

impl<'a> Notes<'a> {
    /// The chapter, in the shortest form. `None` when there are 128 logs and notes that are off
    /// besides, which the chapter cannot say and no channel needs.
    ///
    /// `b` is 0 if the packet just before held a note-off on this channel.
    #[must_use]
    pub const fn new(b: bool, logs: Logs<'a, NoteLog>, off: OffBits) -> Option<Self> {
        let (low, high) = match off.range() {
            Some(_) if logs.len() == Logs::<NoteLog>::MAX_LEN => return None,
            Some(range) => range,
            None if logs.len() == Logs::<NoteLog>::MAX_LEN - 1 => (15, 1),
            None => (15, 0),
        };
        Some(Self {
            b,
            logs,
            off,
            low: U4::from_low_bits(low),
            high: U4::from_low_bits(high),
        })
    }

    /// B: 0 if the packet just before held a note-off on this channel.
    #[must_use]
    pub const fn b(&self) -> bool {
        self.b
    }

    /// What an S bit of the chapter would be, which it has not: 0 if B is 0 or S is in a log.
    #[must_use]
    pub fn s(&self) -> bool {
        self.b && self.logs.s()
    }

    /// The notes that sound, 0 to 128 logs.
    #[must_use]
    pub const fn logs(&self) -> Logs<'a, NoteLog> {
        self.logs
    }

    /// The notes that have ended.
    #[must_use]
    pub const fn off(&self) -> OffBits {
        self.off
    }

    /// LOW and HIGH: the first and the last octet of OFFBITS, each of which is eight notes; or
    /// (15, 0) or (15, 1) when there is none.
    #[must_use]
    pub const fn range(&self) -> (U4, U4) {
        (self.low, self.high)
    }

    pub(crate) fn read(input: &'a [u8]) -> Parsed<'a, Self> {
        let (rest, (head, range)) = (be_u8, be_u8).parse(input)?;
        let (low, high) = (range >> 4, range & 0x0F);
        let len = usize::from(head & 0x7F);
        let (len, octets) = match (len, low, high) {
            (127, 15, 0) => (128, 0),
            (_, 15, 0 | 1) => (len, 0),
            (_, low, high) if low <= high => (len, high - low + 1),
            _ => {
                let offset = 0;
                return Err(Fault::new(
                    input,
                    JournalError::BadOffbitsRange { offset, low, high },
                ));
            }
        };
        let (rest, logs) = Logs::read(len, rest)?;
        let (rest, bits) = take(octets).parse(rest)?;
        let mut off = OffBits::EMPTY;
        for (index, &octet) in (low..).zip(bits) {
            off.0 |= u128::from(octet) << (120 - 8 * index);
        }
        Ok((
            rest,
            Self {
                b: head & B != 0,
                logs,
                off,
                low: U4::from_low_bits(low),
                high: U4::from_low_bits(high),
            },
        ))
    }

    pub(crate) fn write(&self, out: &mut Cursor<'_>) {
        let (low, high) = (self.low.get(), self.high.get());
        out.put(top(self.b) | self.logs.len().min(127) as u8);
        out.put(low << 4 | high);
        self.logs.write(out);
        for octet in low..=high {
            out.put((self.off.0 >> (120 - 8 * octet)) as u8);
        }
    }
}

encodes!(Notes<'_>);

#[cfg(feature = "alloc")]
pub(crate) mod receiver {
    use netmidi_message::{ChannelMessage, Note, U7};
    use netmidi_wire::RtpTimestamp;

    use super::{NoteLog, Notes};
    use crate::channel::extras::receiver::{ExtraTable, USUAL_RELEASE};
    use crate::repairer::{ChannelModel, Packet, Repairs, Stamp, Table};

    /// How long ago the own note-on was at least if it cannot be the one that a log with Y=1
    /// means: 250 ms in ticks of 100 µs, five times as long as senders set Y.
    const CLEARLY_OLD: i32 = 2_500;
    /// Of notes that were struck again and again without being let go, how many of the lost
    /// note-ons are played.
    const MAX_STACKED: u8 = 16;
    /// A count that says "so many or more".
    const MANY: u8 = 127;

    #[derive(Clone, Copy, Debug, Default)]
    struct NoteState {
        /// Note-ons without a note-off, up to 127.
        count: u8,
        /// Of the last note-on.
        velocity: U7,
        /// The packet of the last note-on.
        on: Packet,
        /// The packet of the last note-on or note-off.
        last: Packet,
        /// When the last note-on was due.
        at: RtpTimestamp,
    }

    impl NoteState {
        /// Whether its last note-on is that of a later state, or a restoration has struck it since.
        fn is_strike_of(self, now: Self) -> bool {
            let (own, then) = ((self.on, self.at), (now.on, now.at));
            self.velocity == now.velocity && (own == then || self.on.ext() > now.on.ext())
        }
    }

    /// Which notes of a channel sound.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct NoteModel {
        notes: Table<NoteState>,
        /// The packet of the last note-on of any note.
        pub(crate) on_ext: u64,
    }

    impl NoteModel {
        pub(crate) fn on(&mut self, stamp: Stamp, note: Note, velocity: U7) {
            let state = self.notes.get_mut(note.to_u7());
            *state = NoteState {
                count: (state.count + 1).min(MANY),
                velocity,
                on: Packet::new(stamp.ext),
                last: Packet::new(stamp.ext),
                at: stamp.at,
            };
            self.on_ext = self.on_ext.max(stamp.ext);
        }

        pub(crate) fn off(&mut self, ext: u64, note: Note) {
            let state = self.notes.get_mut(note.to_u7());
            state.count = state.count.saturating_sub(1);
            state.last = Packet::new(ext);
        }

        pub(crate) fn all_off(&mut self) {
            for state in self.notes.values_mut() {
                state.count = 0;
            }
        }

        /// A reset of the whole system. Memory is kept.
        pub(crate) fn clear(&mut self) {
            self.notes.clear();
            self.on_ext = 0;
        }

        /// The notes that have been struck, ascending.
        pub(crate) fn used(&self) -> impl Iterator<Item = Note> + use<> {
            self.notes.keys().map(Note::from)
        }

        /// How many note-ons of the note have had no note-off.
        pub(crate) fn count(&self, note: Note) -> u8 {
            self.notes.get(note.to_u7()).count
        }

        /// The packet of the last note-on or note-off of the note.
        pub(crate) fn ext(&self, note: Note) -> u64 {
            self.notes.get(note.to_u7()).last.ext()
        }
    }

    impl ChannelModel {
        /// The receiver's rule of chapter N for notes that have ended.
        pub(crate) fn repair_notes_off(
            &mut self,
            chapter: &Notes<'_>,
            extras: &ExtraTable,
            out: &mut Repairs<'_>,
        ) {
            if !out.skips(chapter.b()) {
                for note in chapter.off().iter() {
                    self.repair_note_off(note, extras, out);
                }
            }
            // A log with velocity 0 says the same.
            for log in &chapter.logs() {
                if log.velocity == U7::MIN && !out.skips(log.s) {
                    self.repair_note_off(log.note, extras, out);
                }
            }
        }

        fn repair_note_off(&mut self, note: Note, extras: &ExtraTable, out: &mut Repairs<'_>) {
            let left = extras.count(note).unwrap_or(0);
            if left != MANY {
                let ended = self.notes.count(note).saturating_sub(left);
                self.end_note(note, ended, extras.release(note), out);
            }
        }

        /// Ends a note `times` times.
        pub(crate) fn end_note(
            &mut self,
            note: Note,
            times: u8,
            velocity: U7,
            out: &mut Repairs<'_>,
        ) {
            for _ in 0..times {
                let message = ChannelMessage::note_off(self.channel, note, velocity);
                self.execute(message, out);
            }
        }

        /// The receiver's rule of chapter N for notes that sound.
        pub(crate) fn repair_notes_on(
            &mut self,
            chapter: &Notes<'_>,
            extras: &ExtraTable,
            out: &mut Repairs<'_>,
        ) {
            for log in &chapter.logs() {
                if log.velocity != U7::MIN && !out.skips(log.s) {
                    self.repair_note_on(log, extras, out);
                }
            }
        }

        fn repair_note_on(&mut self, log: NoteLog, extras: &ExtraTable, out: &mut Repairs<'_>) {
            let note = log.note;
            let wanted = extras.count(note).unwrap_or(1).max(1);
            let own = self.notes.notes.get(note.to_u7());
            let (offs, ons) = if own.count < wanted {
                (0, wanted - own.count)
            } else if own.count > wanted {
                (own.count, wanted)
            } else if self.was_struck_again(log, own, out) {
                if !log.play && own.velocity == log.velocity {
                    // It sounds as it should. Ending it would only make it silent.
                    let state = self.notes.notes.get_mut(note.to_u7());
                    state.at = out.stamp.at;
                    state.on = Packet::new(out.stamp.ext);
                    state.last = Packet::new(out.stamp.ext);
                    return;
                }
                (1, 1)
            } else {
                return;
            };
            self.end_note(note, offs, extras.release(note), out);
            // Some senders log what is in the packet itself: that will be played from its list.
            let in_list = out.begins_list(self.channel, note, log.velocity);
            let ons = ons - u8::from(in_list);
            for index in 0..ons {
                if log.play && index < MAX_STACKED {
                    let message = ChannelMessage::note_on(self.channel, note, log.velocity);
                    self.execute(message, out);
                } else {
                    out.skip_note();
                    self.notes.on(out.stamp, note, log.velocity);
                }
            }
        }

        /// Ends what sounds and does not sound now, or was struck again since; all of it if the
        /// channel mode changes, which ends all notes.
        pub(crate) fn restore_notes_off(&mut self, now: &Self, out: &mut Repairs<'_>) {
            let all = self.mode_differs(now);
            for note in self.notes.used() {
                let key = note.to_u7();
                let (own, then) = (self.notes.notes.get(key), now.notes.notes.get(key));
                let ended = if !all && own.is_strike_of(then) {
                    own.count.saturating_sub(then.count)
                } else {
                    own.count
                };
                self.end_note(note, ended, USUAL_RELEASE, out);
            }
        }

        /// Strikes what sounds now, however long ago it was struck.
        pub(crate) fn restore_notes_on(&mut self, now: &Self, out: &mut Repairs<'_>) {
            for note in now.notes.used() {
                let then = now.notes.notes.get(note.to_u7());
                let missing = then.count.saturating_sub(self.notes.count(note));
                let message = ChannelMessage::note_on(self.channel, note, then.velocity);
                for _ in 0..missing.min(MAX_STACKED) {
                    self.execute(message, out);
                }
                out.leave_untold(missing.saturating_sub(MAX_STACKED).into());
            }
        }

        /// Whether the note of the log is another than the one that sounds, one note-off and one
        /// note-on later.
        fn was_struck_again(&self, log: NoteLog, own: NoteState, out: &Repairs<'_>) -> bool {
            // While catching up, what an earlier repair has struck is not struck again for its age.
            let age_tells = log.play && out.catching_up.is_none_or(|gap| own.on.ext() + 1 < gap);
            own.velocity != log.velocity
                || own.on.ext() < out.checkpoint
                || age_tells && out.stamp.at.distance_from(own.at) > CLEARLY_OLD
        }
    }
}

impl Log for NoteLog {
    #[inline]
    fn from_octets([note, velocity]: [u8; 2]) -> Self {
        Self {
            s: note & S != 0,
            note: Note::from(U7::from_low_bits(note)),
            play: velocity & Y != 0,
            velocity: U7::from_low_bits(velocity),
        }
    }

    #[inline]
    fn to_octets(self) -> [u8; 2] {
        [
            top(self.s) | self.note.get(),
            top(self.play) | self.velocity.get(),
        ]
    }

    fn s(self) -> bool {
        self.s
    }
}

impl OffBits {
    /// No note.
    pub const EMPTY: Self = Self(0);

    /// Whether there is no note in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many notes are in it.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether the note is in it.
    #[must_use]
    #[inline]
    pub const fn contains(self, note: Note) -> bool {
        self.0 & Self::bit(note) != 0
    }

    /// Puts a note in.
    #[inline]
    pub const fn insert(&mut self, note: Note) {
        self.0 |= Self::bit(note);
    }

    /// Takes a note out.
    #[inline]
    pub const fn remove(&mut self, note: Note) {
        self.0 &= !Self::bit(note);
    }

    /// The notes in it, ascending.
    pub fn iter(self) -> impl Iterator<Item = Note> + use<> {
        let mut left = self.0;
        core::iter::from_fn(move || {
            let note = Note::new(u8::try_from(left.leading_zeros()).ok()?)?;
            left &= !Self::bit(note);
            Some(note)
        })
    }

    /// Note 0 is the top bit, as in the first octet on the wire.
    #[inline]
    const fn bit(note: Note) -> u128 {
        1 << (127 - note.get())
    }

    /// The first and the last octet with a note in it.
    const fn range(self) -> Option<(u8, u8)> {
        if self.0 == 0 {
            return None;
        }
        let low = self.0.leading_zeros() / 8;
        let high = 15 - self.0.trailing_zeros() / 8;
        Some((low as u8, high as u8))
    }
}

impl FromIterator<Note> for OffBits {
    fn from_iter<I: IntoIterator<Item = Note>>(notes: I) -> Self {
        let mut off = Self::EMPTY;
        notes.into_iter().for_each(|note| off.insert(note));
        off
    }
}

impl fmt::Debug for OffBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Note::get)).finish()
    }
}

const S: u8 = 0x80;
const B: u8 = 0x80;
const Y: u8 = 0x80;

#[cfg(feature = "alloc")]
pub(crate) mod sent {
    use alloc::vec::Vec;

    use netmidi_message::{Note, U7};
    use netmidi_wire::RtpTimestamp;

    use super::{NoteLog, Notes, OffBits};
    use crate::logs::Logs;
    use crate::recent::{Item, Packet, Recent, View, item_bit, rebased};

    /// Which notes of a channel were switched on and off.
    #[derive(Clone, Debug)]
    pub(crate) struct History {
        /// With the velocity of the note-on, or that of the note-off and [`OFF`](Self::OFF), and
        /// when that was.
        pub(crate) recent: Recent<RtpTimestamp>,
        /// Those that were switched off last, as bits.
        off: u128,
        /// The packet with the last note-off, for the B bit.
        last_off: Packet,
    }

    impl History {
        /// It was switched off last.
        const OFF: u8 = 0x80;
        /// As many notes as two hands have played until a report comes, with losses.
        const TYPICAL: usize = 32;

        pub(crate) const fn new() -> Self {
            Self {
                recent: Recent::new(),
                off: 0,
                last_off: 0,
            }
        }

        pub(crate) fn on(&mut self, at: RtpTimestamp, note: Note, velocity: U7, packet: Packet) {
            self.off &= !item_bit(note.get());
            self.recent.expect(Self::TYPICAL);
            self.recent.touch(note.get(), packet, velocity.get(), at);
        }

        pub(crate) fn off(&mut self, at: RtpTimestamp, note: Note, release: U7, packet: Packet) {
            self.off |= item_bit(note.get());
            self.last_off = packet;
            self.recent.expect(Self::TYPICAL);
            let value = release.get() | Self::OFF;
            self.recent.touch(note.get(), packet, value, at);
        }

        /// Whether the note was switched on last.
        pub(crate) const fn is_on(item: &Item<RtpTimestamp>) -> bool {
            item.value & Self::OFF == 0
        }

        /// How fast the note was let go, if it was switched off last.
        pub(crate) fn release(item: &Item<RtpTimestamp>) -> Option<U7> {
            (!Self::is_on(item)).then_some(U7::from_low_bits(item.value))
        }

        pub(crate) fn acknowledge(&mut self, report: Packet) {
            self.recent.acknowledge(report);
            self.keep_members();
        }

        pub(crate) fn drop_before(&mut self, packet: Packet) {
            if self.recent.oldest().is_some_and(|oldest| oldest < packet) {
                self.recent.drop_before(packet);
                self.keep_members();
            }
        }

        pub(crate) fn rebase(&mut self, by: Packet) {
            self.recent.rebase(by);
            self.last_off = rebased(self.last_off, by);
        }

        /// Controllers 120 and 123 to 127.
        pub(crate) fn clear(&mut self) {
            self.recent.clear();
            self.off = 0;
        }

        /// A command that sets everything to its start went out. Memory is kept.
        pub(crate) fn reset(&mut self) {
            self.clear();
            self.last_off = 0;
        }

        /// The notes that stand in OFFBITS, as bits.
        pub(crate) const fn off_members(&self) -> u128 {
            self.off
        }

        /// Octets of OFFBITS.
        pub(crate) const fn off_len(&self) -> usize {
            match self.off_bits().range() {
                Some((low, high)) => (high - low) as usize + 1,
                None => 0,
            }
        }

        /// The chapter with those of `told`.
        pub(crate) fn chapter<'b>(
            &self,
            view: &View,
            told: u128,
            logs: &'b mut Vec<NoteLog>,
        ) -> Option<Notes<'b>> {
            logs.clear();
            let all = told == u128::MAX;
            for item in self.recent.iter() {
                if !Self::is_on(item) || !all && told & item_bit(item.number) == 0 {
                    continue;
                }
                let age = i64::from(view.now.distance_from(item.more));
                logs.push(NoteLog {
                    s: item.mark().s(view.previous),
                    note: Note::from(U7::from_low_bits(item.number)),
                    play: age <= i64::from(view.play_window),
                    velocity: U7::from_low_bits(item.value),
                });
            }
            // All of OFFBITS or nothing of it.
            let off = match self.off & !told {
                0 => self.off_bits(),
                _ => OffBits::EMPTY,
            };
            if logs.is_empty() && off.is_empty() {
                return None;
            }
            Notes::new(self.last_off != view.previous, Logs::new(logs)?, off)
        }

        /// OFFBITS has note 0 at the top.
        const fn off_bits(&self) -> OffBits {
            OffBits(self.off.reverse_bits())
        }

        const fn keep_members(&mut self) {
            self.off &= self.recent.members();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::assert_octets;

    const LOG: NoteLog = NoteLog {
        s: false,
        note: Note::MIDDLE_C,
        play: true,
        velocity: U7::MAX,
    };

    fn logs(logs: &[NoteLog]) -> Logs<'_, NoteLog> {
        Logs::new(logs).unwrap()
    }

    #[test]
    fn notes_on_and_off() {
        let mut off = OffBits::EMPTY;
        assert_octets!(
            Notes,
            Notes::new(true, logs(&[LOG]), off).unwrap(),
            [0x81, 0xF0, 60, 0xFF]
        );
        for key in [42, 48] {
            off.insert(Note::new(key).unwrap());
        }
        assert_octets!(
            Notes,
            Notes::new(false, logs(&[]), off).unwrap(),
            [0x00, 0x56, 0x20, 0x80]
        );
        assert_eq!(off.len(), 2);
        assert!(off.iter().map(Note::get).eq([42, 48]));
        off.remove(Note::new(42).unwrap());
        assert!(!off.contains(Note::new(42).unwrap()));
    }

    #[test]
    fn the_longest_lists_are_told_apart() {
        for (len, head) in [
            (126, [0x80 | 126, 0xF0]),
            (127, [0xFF, 0xF1]),
            (128, [0xFF, 0xF0]),
        ] {
            let list = [LOG; 128];
            let notes = Notes::new(true, logs(&list[..len]), OffBits::EMPTY).unwrap();
            let mut out = [0; 300];
            assert_eq!(notes.encode(&mut out), Ok(2 + 2 * len));
            assert_eq!(out[..2], head);
            assert_eq!(Notes::read(&out[..2 + 2 * len]).unwrap().1, notes);
        }
        let off: OffBits = [Note::MAX].into_iter().collect();
        assert_eq!(Notes::new(true, logs(&[LOG; 128]), off), None);
        let notes = Notes::new(true, logs(&[LOG; 127]), off).unwrap();
        assert_eq!(notes.range(), (U4::MAX, U4::MAX));
    }

    #[test]
    fn a_range_that_runs_backwards_is_refused() {
        for (range, good) in [
            (0xF0, true),
            (0xF1, true),
            (0x21, false),
            (0xF2, false),
            (0xE0, false),
        ] {
            assert_eq!(Notes::read(&[0x80, range]).is_ok(), good, "{range:02x}");
        }
    }
}
