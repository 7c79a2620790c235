//! Chapter D: simple system commands.

use netmidi_message::U7;
use nom::Parser;
use nom::number::complete::{be_u8, be_u16};

use super::{LogData, SystemJournal};
use crate::channel::sized;
use crate::encode::{Cursor, bit, encodes, top};
use crate::error::JournalError;
use crate::parse::{Fault, Parsed};

/// Chapter D: commands without a state to speak of (RFC 6295 §B.1).
///
/// ```text
///  0 1 2 3 4 5 6 7
/// +-+-+-+-+-+-+-+-+
/// |S|B|G|H|J|K|Y|Z|
/// +-+-+-+-+-+-+-+-+
/// |S|    COUNT    |  if B: FF, reset
/// |S|    COUNT    |  if G: F6, tune request
/// |S|    VALUE    |  if H: F3, song select
/// |  log …        |  if J: F4
/// |  log …        |  if K: F5
/// |  log …        |  if Y: F9
/// |  log …        |  if Z: FD
/// +-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Simple<'a> {
    /// 0 if one of them was in the packet just before. Written as 0 also if it is so in a log.
    pub s: bool,
    /// FF, reset (B).
    pub reset: Option<CountLog>,
    /// F6, tune request (G).
    pub tune_request: Option<CountLog>,
    /// F3, song select (H).
    pub song_select: Option<SongLog>,
    /// F4, undefined (J).
    pub f4: Option<UndefinedLog<'a>>,
    /// F5, undefined (K).
    pub f5: Option<UndefinedLog<'a>>,
    /// F9, undefined (Y).
    pub f9: Option<RealTimeLog<'a>>,
    /// FD, undefined (Z).
    pub fd: Option<RealTimeLog<'a>>,
}

/// How often a command came.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct CountLog {
    /// 0 if one was in the packet just before.
    pub s: bool,
    /// How many there were, 0 to 127 and then 0 again.
    pub count: U7,
}

/// Which song is selected.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct SongLog {
    /// 0 if the command was in the packet just before.
    pub s: bool,
    /// The song.
    pub song: U7,
}

/// How often F4 or F5 came, and with which data.
///
/// ```text
///  0                   1
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |S|C|V|L|DSZ|      LENGTH       |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |     COUNT     |  if C
/// |  VALUE …      |  if V: with the top bit set in the last octet
/// |  LEGAL …      |  if L: what is left
/// +-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UndefinedLog<'a> {
    s: bool,
    size: DataSize,
    count: Option<u8>,
    value: Option<LogData<'a>>,
    legal: Option<&'a [u8]>,
}

/// How many data octets the last F4 or F5 had (DSZ).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum DataSize {
    /// None.
    Zero,
    /// One.
    One,
    /// Two.
    Two,
    /// Three or more.
    ThreeOrMore,
}

/// How often F9 or FD came.
///
/// ```text
///  0 1 2 3 4 5 6 7
/// +-+-+-+-+-+-+-+-+
/// |S|C|L| LENGTH  |
/// +-+-+-+-+-+-+-+-+
/// |     COUNT     |  if C
/// |  LEGAL …      |  if L: what is left
/// +-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RealTimeLog<'a> {
    s: bool,
    count: Option<u8>,
    legal: Option<&'a [u8]>,
}

impl<'a> Simple<'a> {
    /// One without logs and with S=1, to be filled.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            s: true,
            reset: None,
            tune_request: None,
            song_select: None,
            f4: None,
            f5: None,
            f9: None,
            fd: None,
        }
    }

    /// S as it is written: 0 if it is 0 here or in a log.
    #[must_use]
    pub fn effective_s(&self) -> bool {
        self.s
            && self.reset.is_none_or(|it| it.s)
            && self.tune_request.is_none_or(|it| it.s)
            && self.song_select.is_none_or(|it| it.s)
            && self.f4.is_none_or(|it| it.s)
            && self.f5.is_none_or(|it| it.s)
            && self.f9.is_none_or(|it| it.s)
            && self.fd.is_none_or(|it| it.s)
    }

    pub(crate) fn read(input: &'a [u8]) -> Parsed<'a, Self> {
        let (rest, head) = be_u8(input)?;
        let (rest, reset) = log_if(head & B, CountLog::read, rest)?;
        let (rest, tune_request) = log_if(head & G, CountLog::read, rest)?;
        let (rest, song_select) = log_if(head & H, SongLog::read, rest)?;
        let (rest, f4) = log_if(head & J, UndefinedLog::read, rest)?;
        let (rest, f5) = log_if(head & K, UndefinedLog::read, rest)?;
        let (rest, f9) = log_if(head & Y, RealTimeLog::read, rest)?;
        let (rest, fd) = log_if(head & Z, RealTimeLog::read, rest)?;
        Ok((
            rest,
            Self {
                s: head & S != 0,
                reset,
                tune_request,
                song_select,
                f4,
                f5,
                f9,
                fd,
            },
        ))
    }

    pub(crate) fn write(&self, out: &mut Cursor<'_>) {
        out.put(
            top(self.effective_s())
                | bit(self.reset.is_some(), B)
                | bit(self.tune_request.is_some(), G)
                | bit(self.song_select.is_some(), H)
                | bit(self.f4.is_some(), J)
                | bit(self.f5.is_some(), K)
                | bit(self.f9.is_some(), Y)
                | bit(self.fd.is_some(), Z),
        );
        for log in [self.reset, self.tune_request].into_iter().flatten() {
            out.put(top(log.s) | log.count.get());
        }
        if let Some(log) = self.song_select {
            out.put(top(log.s) | log.song.get());
        }
        for log in [self.f4, self.f5].into_iter().flatten() {
            log.write(out);
        }
        for log in [self.f9, self.fd].into_iter().flatten() {
            log.write(out);
        }
    }
}

encodes!(Simple<'_>);

#[cfg(feature = "alloc")]
pub(crate) mod receiver {
    use alloc::vec::Vec;

    use netmidi_message::{RealTime, SystemCommon, U7, Undefined, UndefinedStatus};

    use super::{CountLog, DataSize, RealTimeLog, Simple, UndefinedLog};
    use crate::repairer::Repairs;
    use crate::system::{LogData, SystemJournal};

    /// What came of the simple system commands.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct SimpleModel {
        resets: U7,
        tune_requests: U7,
        pub(crate) song: Option<U7>,
        f4: UndefinedModel,
        f5: UndefinedModel,
        f9: u8,
        fd: u8,
    }

    #[derive(Clone, Debug, Default)]
    struct UndefinedModel {
        count: u8,
        /// The data of the last one, so much of it as a log can show.
        last: Option<Vec<u8>>,
        /// Whether everything was reset since.
        undone: bool,
    }

    impl SimpleModel {
        pub(crate) const fn real_time(&mut self, message: RealTime) {
            match message {
                RealTime::Reset => self.resets = after(self.resets),
                RealTime::UndefinedF9 => self.f9 = self.f9.wrapping_add(1),
                RealTime::UndefinedFd => self.fd = self.fd.wrapping_add(1),
                _ => {}
            }
        }

        /// The whole system was reset. What tells a repeated command from a new one is kept.
        pub(crate) const fn reset(&mut self) {
            self.song = None;
            self.f4.undone = true;
            self.f5.undone = true;
        }

        pub(crate) const fn tune_request(&mut self) {
            self.tune_requests = after(self.tune_requests);
        }

        pub(crate) fn undefined(&mut self, message: Undefined<'_>) {
            let own = match message.status() {
                UndefinedStatus::F4 => &mut self.f4,
                UndefinedStatus::F5 => &mut self.f5,
            };
            own.count = own.count.wrapping_add(1);
            own.remember(message.data());
        }

        /// The receiver's rule of chapter D for the reset, which goes before everything else.
        /// Returns whether one was lost.
        pub(crate) fn repair_reset(&mut self, chapter: &Simple<'_>, out: &mut Repairs<'_>) -> bool {
            if out.skips(chapter.s) {
                return false;
            }
            let lost = is_lost(chapter.reset, &mut self.resets, out);
            if lost {
                out.message(RealTime::Reset.into());
            }
            lost
        }

        /// The receiver's rule of chapter D for the other commands.
        pub(crate) fn repair(&mut self, chapter: &Simple<'_>, out: &mut Repairs<'_>) {
            if out.skips(chapter.s) {
                return;
            }
            if is_lost(chapter.tune_request, &mut self.tune_requests, out) {
                out.message(SystemCommon::TuneRequest.into());
            }
            if let Some(log) = chapter.song_select
                && !out.skips(log.s)
                && self.song != Some(log.song)
            {
                self.song = Some(log.song);
                out.message(SystemCommon::SongSelect { song: log.song }.into());
            }
            self.f4.repair(chapter.f4, UndefinedStatus::F4, out);
            self.f5.repair(chapter.f5, UndefinedStatus::F5, out);
            repair_real_time(chapter.f9, &mut self.f9, RealTime::UndefinedF9, out);
            repair_real_time(chapter.fd, &mut self.fd, RealTime::UndefinedFd, out);
        }
    }

    impl SimpleModel {
        /// The song, and the data of F4 and F5. Of what leaves nothing behind nothing is repeated.
        pub(crate) fn restore(&mut self, now: &Self, out: &mut Repairs<'_>) {
            if let Some(song) = now.song
                && self.song != now.song
            {
                self.song = now.song;
                out.message(SystemCommon::SongSelect { song }.into());
            }
            self.f4.restore(&now.f4, UndefinedStatus::F4, out);
            self.f5.restore(&now.f5, UndefinedStatus::F5, out);
        }
    }

    impl UndefinedModel {
        fn restore(&mut self, now: &Self, status: UndefinedStatus, out: &mut Repairs<'_>) {
            let Some(then) = now.lasting().filter(|_| self.lasting() != now.lasting()) else {
                return;
            };
            match Undefined::new(status, then) {
                Some(message) if then.len() < SystemJournal::MAX_LEN => {
                    out.message(message.into());
                }
                _ => out.leave_untold(1),
            }
            self.remember(then);
        }

        /// The data of the last one, if nothing has reset it.
        fn lasting(&self) -> Option<&[u8]> {
            self.last.as_deref().filter(|_| !self.undone)
        }

        fn repair(
            &mut self,
            log: Option<UndefinedLog<'_>>,
            status: UndefinedStatus,
            out: &mut Repairs<'_>,
        ) {
            let Some(log) = log.filter(|log| !out.skips(log.s())) else {
                return;
            };
            let lost = match (log.count(), log.value()) {
                (Some(count), _) => count != self.count,
                (None, Some(value)) => !self.is_last(value),
                (None, None) => false,
            };
            self.count = log.count().unwrap_or(self.count);
            // The log is of a command behind the reset, which has undone it here.
            if !lost && !out.was_reset() {
                return;
            }
            let mut scratch = [0; SystemJournal::MAX_LEN];
            let data = match (log.value(), log.size()) {
                (Some(value), _) => value.copy_to(&mut scratch).map(|data| &*data),
                (None, DataSize::Zero) => Some(&[][..]),
                // Nobody knows the data.
                (None, _) => None,
            };
            if let Some(data) = data
                && let Some(message) = Undefined::new(status, data)
            {
                out.message(message.into());
                self.remember(data);
            }
        }

        fn is_last(&self, value: LogData<'_>) -> bool {
            let last = self.last.as_deref();
            last.is_some_and(|last| last.iter().copied().eq(value.iter()))
        }

        fn remember(&mut self, data: &[u8]) {
            self.undone = false;
            let last = self.last.get_or_insert_default();
            last.clear();
            // One octet more than a log can show tells a longer one from all logs.
            let kept = data.len().min(SystemJournal::MAX_LEN);
            last.extend(data.iter().take(kept));
        }
    }

    /// Whether the count of the log is another, which is then taken over.
    fn is_lost(log: Option<CountLog>, own: &mut U7, out: &Repairs<'_>) -> bool {
        let Some(log) = log.filter(|log| !out.skips(log.s)) else {
            return false;
        };
        let lost = log.count != *own;
        *own = log.count;
        lost
    }

    fn repair_real_time(
        log: Option<RealTimeLog<'_>>,
        own: &mut u8,
        message: RealTime,
        out: &mut Repairs<'_>,
    ) {
        let log = log.filter(|log| !out.skips(log.s()));
        if let Some(count) = log.and_then(|log| log.count())
            && count != *own
        {
            *own = count;
            out.message(message.into());
        }
    }

    const fn after(count: U7) -> U7 {
        U7::from_low_bits(count.get() + 1)
    }
}

impl CountLog {
    fn read(input: &[u8]) -> Parsed<'_, Self> {
        let (rest, octet) = be_u8(input)?;
        let (s, count) = (octet & S != 0, U7::from_low_bits(octet));
        Ok((rest, Self { s, count }))
    }
}

impl SongLog {
    fn read(input: &[u8]) -> Parsed<'_, Self> {
        let (rest, octet) = be_u8(input)?;
        let (s, song) = (octet & S != 0, U7::from_low_bits(octet));
        Ok((rest, Self { s, song }))
    }
}

impl<'a> UndefinedLog<'a> {
    /// The log, or `None` when no system journal could hold it.
    ///
    /// `count` is how many there were, 0 to 255 and then 0 again; it must be there if the last one
    /// had no data. `value` is the data of the last one; it must be there if there are any.
    #[must_use]
    pub fn new(
        s: bool,
        size: DataSize,
        count: Option<u8>,
        value: Option<LogData<'a>>,
    ) -> Option<Self> {
        let log = Self {
            s,
            size,
            count,
            value,
            legal: None,
        };
        log.fits().then_some(log)
    }

    /// The same with the field LEGAL, which senders leave out. `None` when no system journal could
    /// hold it.
    #[must_use]
    pub fn with_legal(mut self, legal: &'a [u8]) -> Option<Self> {
        self.legal = Some(legal);
        self.fits().then_some(self)
    }

    /// 0 if the command was in the packet just before.
    #[must_use]
    pub const fn s(&self) -> bool {
        self.s
    }

    /// How many data octets the last one had (DSZ).
    #[must_use]
    pub const fn size(&self) -> DataSize {
        self.size
    }

    /// How many there were (C and COUNT), 0 to 255 and then 0 again.
    #[must_use]
    pub const fn count(&self) -> Option<u8> {
        self.count
    }

    /// The data of the last one (V and VALUE).
    #[must_use]
    pub const fn value(&self) -> Option<LogData<'a>> {
        self.value
    }

    /// What is reserved for a later meaning (L and LEGAL).
    #[must_use]
    pub const fn legal(&self) -> Option<&'a [u8]> {
        self.legal
    }

    /// Octets on the wire, as the field LENGTH says when it is written.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        2 + usize::from(self.count.is_some())
            + self.value.map_or(0, |value| value.len())
            + self.legal.map_or(0, <[u8]>::len)
    }

    /// Whether the log is not longer than what can be around it: two headers.
    fn fits(&self) -> bool {
        self.encoded_len() < SystemJournal::MAX_LEN - SystemJournal::HEADER_LEN
    }

    fn read(input: &'a [u8]) -> Parsed<'a, Self> {
        let (_, head) = be_u16(input)?;
        let length = head & 0x03FF;
        if length < 2 {
            return Err(too_small(input, length));
        }
        sized(length, input, |log| {
            let (rest, (head, _)) = (be_u8, be_u8).parse(log)?;
            let fault = |_| too_small(log, length);
            let (rest, count) = log_if(head & C, be_u8, rest).map_err(fault)?;
            let (rest, value) = log_if(head & V, LogData::read, rest).map_err(fault)?;
            Ok(Self {
                s: head & S != 0,
                size: match head & DSZ {
                    0 => DataSize::Zero,
                    0x04 => DataSize::One,
                    0x08 => DataSize::Two,
                    _ => DataSize::ThreeOrMore,
                },
                count,
                value,
                legal: (head & UNDEFINED_L != 0).then_some(rest),
            })
        })
    }

    fn write(&self, out: &mut Cursor<'_>) {
        // `new` has held the length against a lower bound.
        let [high, low] = (self.encoded_len() as u16).to_be_bytes();
        out.put(
            top(self.s)
                | bit(self.count.is_some(), C)
                | bit(self.value.is_some(), V)
                | bit(self.legal.is_some(), UNDEFINED_L)
                | (self.size as u8) << 2
                | high,
        );
        out.put(low);
        if let Some(count) = self.count {
            out.put(count);
        }
        if let Some(value) = self.value {
            value.write(out);
        }
        out.put_all(self.legal.unwrap_or_default());
    }
}

impl DataSize {
    /// The size for so many data octets.
    #[must_use]
    pub const fn of(octets: usize) -> Self {
        match octets {
            0 => Self::Zero,
            1 => Self::One,
            2 => Self::Two,
            _ => Self::ThreeOrMore,
        }
    }
}

impl<'a> RealTimeLog<'a> {
    /// The most octets that a log can have.
    pub const MAX_LEN: usize = 31;

    /// The log; `count` is how many there were, 0 to 255 and then 0 again.
    #[must_use]
    pub const fn new(s: bool, count: Option<u8>) -> Self {
        let legal = None;
        Self { s, count, legal }
    }

    /// The same with the field LEGAL, which senders leave out. `None` when it would be longer than
    /// [`MAX_LEN`](Self::MAX_LEN).
    #[must_use]
    pub fn with_legal(mut self, legal: &'a [u8]) -> Option<Self> {
        self.legal = Some(legal);
        (self.encoded_len() <= Self::MAX_LEN).then_some(self)
    }

    /// 0 if the command was in the packet just before.
    #[must_use]
    pub const fn s(&self) -> bool {
        self.s
    }

    /// How many there were (C and COUNT), 0 to 255 and then 0 again.
    #[must_use]
    pub const fn count(&self) -> Option<u8> {
        self.count
    }

    /// What is reserved for a later meaning (L and LEGAL).
    #[must_use]
    pub const fn legal(&self) -> Option<&'a [u8]> {
        self.legal
    }

    /// Octets on the wire, as the field LENGTH says when it is written.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        1 + usize::from(self.count.is_some()) + self.legal.map_or(0, <[u8]>::len)
    }

    fn read(input: &'a [u8]) -> Parsed<'a, Self> {
        let (_, head) = be_u8(input)?;
        let length = u16::from(head & 0x1F);
        if length < 1 {
            return Err(too_small(input, length));
        }
        sized(length, input, |log| {
            let (rest, head) = be_u8(log)?;
            let fault = |_| too_small(log, length);
            let (rest, count) = log_if(head & C, be_u8, rest).map_err(fault)?;
            Ok(Self {
                s: head & S != 0,
                count,
                legal: (head & REAL_TIME_L != 0).then_some(rest),
            })
        })
    }

    fn write(&self, out: &mut Cursor<'_>) {
        // `with_legal` has held the length against 31.
        out.put(
            top(self.s)
                | bit(self.count.is_some(), C)
                | bit(self.legal.is_some(), REAL_TIME_L)
                | self.encoded_len() as u8 & 0x1F,
        );
        if let Some(count) = self.count {
            out.put(count);
        }
        out.put_all(self.legal.unwrap_or_default());
    }
}

/// Reads a log, or a field of one, if its flag is set.
fn log_if<'a, T>(
    flag: u8,
    read: impl FnOnce(&'a [u8]) -> Parsed<'a, T>,
    input: &'a [u8],
) -> Parsed<'a, Option<T>> {
    if flag == 0 {
        return Ok((input, None));
    }
    let (rest, it) = read(input)?;
    Ok((rest, Some(it)))
}

/// The log that begins at `at` is longer than its LENGTH.
#[cold]
fn too_small(at: &[u8], length: u16) -> nom::Err<Fault> {
    Fault::new(at, JournalError::LogLengthTooSmall { offset: 0, length })
}

const S: u8 = 0x80;
// The chapter's header.
const B: u8 = 0x40;
const G: u8 = 0x20;
const H: u8 = 0x10;
const J: u8 = 0x08;
const K: u8 = 0x04;
const Y: u8 = 0x02;
const Z: u8 = 0x01;
// The headers of logs.
const C: u8 = 0x40;
const V: u8 = 0x20;
const UNDEFINED_L: u8 = 0x10;
const DSZ: u8 = 0x0C;
const REAL_TIME_L: u8 = 0x20;

#[cfg(feature = "alloc")]
pub(crate) mod sent {
    use alloc::vec::Vec;

    use netmidi_message::{RealTime, U7, Undefined, UndefinedStatus};

    use super::{CountLog, DataSize, LogData, RealTimeLog, Simple, SongLog, UndefinedLog};
    use crate::recent::{Mark, Packet, View};

    /// Which simple commands were sent.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct History {
        reset: Counter,
        tune_request: Counter,
        song: U7,
        song_mark: Mark,
        f4: UndefinedCommand,
        f5: UndefinedCommand,
        f9: Counter,
        fd: Counter,
    }

    #[derive(Clone, Copy, Debug, Default)]
    struct Counter {
        mark: Mark,
        count: u8,
    }

    #[derive(Clone, Debug, Default)]
    struct UndefinedCommand {
        counter: Counter,
        /// The data of the last one.
        data: Vec<u8>,
    }

    impl History {
        /// Data octets of F4 and F5 that are kept. Commands with more have no log.
        const MAX_DATA: usize = 64;

        /// Reset, F9 and FD.
        pub(crate) const fn real_time(&mut self, message: RealTime, packet: Packet) {
            match message {
                RealTime::Reset => self.reset.add(packet),
                RealTime::UndefinedF9 => self.f9.add(packet),
                RealTime::UndefinedFd => self.fd.add(packet),
                _ => {}
            }
        }

        pub(crate) const fn tune_request(&mut self, packet: Packet) {
            self.tune_request.add(packet);
        }

        pub(crate) const fn song_select(&mut self, song: U7, packet: Packet) {
            self.song = song;
            self.song_mark = Mark::new(packet);
        }

        /// F4 and F5.
        pub(crate) fn undefined(&mut self, message: Undefined<'_>, packet: Packet) {
            let command = match message.status() {
                UndefinedStatus::F4 => &mut self.f4,
                UndefinedStatus::F5 => &mut self.f5,
            };
            command.counter.add(packet);
            command.data.clear();
            if message.data().len() <= Self::MAX_DATA {
                command.data.extend_from_slice(message.data());
            } else {
                command.counter.mark.clear();
            }
        }

        /// A command that sets everything to its start went out. Counters run on.
        pub(crate) fn clear(&mut self) {
            self.marks().for_each(Mark::clear);
        }

        pub(crate) fn acknowledge(&mut self, report: Packet) {
            self.marks().for_each(|mark| mark.acknowledge(report));
        }

        pub(crate) fn rebase(&mut self, by: Packet) {
            self.marks().for_each(|mark| mark.rebase(by));
        }

        /// Gives back what memory it does not need now.
        pub(crate) fn shrink(&mut self) {
            for command in [&mut self.f4, &mut self.f5] {
                if !command.counter.mark.is_pending() {
                    command.data = Vec::new();
                }
            }
        }

        pub(crate) fn omit(&mut self, since: Packet) -> bool {
            let mut any = false;
            for mark in self.marks() {
                any |= mark.omit(since);
            }
            any
        }

        pub(crate) fn is_pending(&self) -> bool {
            self.oldest().is_some()
        }

        /// Whether it holds a reset.
        pub(crate) const fn holds_reset(&self) -> bool {
            self.reset.mark.is_pending()
        }

        pub(crate) fn oldest(&self) -> Option<Packet> {
            [
                self.reset.mark,
                self.tune_request.mark,
                self.song_mark,
                self.f4.counter.mark,
                self.f5.counter.mark,
                self.f9.mark,
                self.fd.mark,
            ]
            .into_iter()
            .filter_map(Mark::packet)
            .min()
        }

        pub(crate) fn chapter(&self, view: &View) -> Option<Simple<'_>> {
            if !self.is_pending() {
                return None;
            }
            let mut chapter = Simple::new();
            chapter.reset = self.reset.log(view);
            chapter.tune_request = self.tune_request.log(view);
            chapter.song_select = self.song_mark.is_pending().then_some(SongLog {
                s: self.song_mark.s(view.previous),
                song: self.song,
            });
            chapter.f4 = self.f4.log(view);
            chapter.f5 = self.f5.log(view);
            chapter.f9 = self.f9.real_time_log(view);
            chapter.fd = self.fd.real_time_log(view);
            Some(chapter)
        }

        fn marks(&mut self) -> impl Iterator<Item = &mut Mark> {
            [
                &mut self.reset.mark,
                &mut self.tune_request.mark,
                &mut self.song_mark,
                &mut self.f4.counter.mark,
                &mut self.f5.counter.mark,
                &mut self.f9.mark,
                &mut self.fd.mark,
            ]
            .into_iter()
        }
    }

    impl Counter {
        const fn add(&mut self, packet: Packet) {
            self.count = self.count.wrapping_add(1);
            self.mark = Mark::new(packet);
        }

        fn log(&self, view: &View) -> Option<CountLog> {
            self.mark.is_pending().then_some(CountLog {
                s: self.mark.s(view.previous),
                count: U7::from_low_bits(self.count),
            })
        }

        fn real_time_log(&self, view: &View) -> Option<RealTimeLog<'static>> {
            let log = RealTimeLog::new(self.mark.s(view.previous), Some(self.count));
            self.mark.is_pending().then_some(log)
        }
    }

    impl UndefinedCommand {
        fn log(&self, view: &View) -> Option<UndefinedLog<'_>> {
            self.counter.mark.packet()?;
            UndefinedLog::new(
                self.counter.mark.s(view.previous),
                DataSize::of(self.data.len()),
                // Also beside VALUE: the same command again would go unnoticed.
                Some(self.counter.count),
                LogData::new(&self.data),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::assert_octets;

    #[test]
    fn every_log() {
        let count = |s, count| {
            let count = U7::from_low_bits(count);
            Some(CountLog { s, count })
        };
        let simple = Simple {
            s: false,
            reset: count(true, 1),
            tune_request: count(true, 2),
            song_select: Some(SongLog {
                s: false,
                song: U7::from_low_bits(3),
            }),
            f4: UndefinedLog::new(true, DataSize::One, None, LogData::new(&[0x7F])),
            f5: UndefinedLog::new(true, DataSize::Zero, Some(1), None),
            f9: Some(RealTimeLog::new(true, Some(2))),
            fd: RealTimeLog::new(false, Some(3)).with_legal(&[4]),
        };
        assert_octets!(
            Simple,
            simple,
            [
                0x7F, 0x81, 0x82, 0x03, 0xA4, 0x03, 0xFF, 0xC0, 0x03, 0x01, 0xC2, 0x02, 0x63, 0x03,
                0x04
            ]
        );
    }

    #[test]
    fn legal_is_what_is_left() {
        let log = UndefinedLog::new(true, DataSize::of(4), Some(9), LogData::new(&[1, 2, 3, 4]));
        let simple = Simple {
            f4: log.and_then(|log| log.with_legal(&[0xAA, 0xBB])),
            ..Simple::new()
        };
        assert_octets!(
            Simple,
            simple,
            [0x88, 0xFC, 0x09, 0x09, 0x01, 0x02, 0x03, 0x84, 0xAA, 0xBB]
        );
    }

    #[test]
    fn octets_that_no_flag_explains_are_stepped_over() {
        let (rest, simple) = Simple::read(&[0x82, 0x83, 0x11, 0x22, 0x33]).unwrap();
        assert_eq!(rest, [0x33]);
        assert_eq!(simple.f9, Some(RealTimeLog::new(true, None)));
    }

    #[test]
    fn a_log_that_cannot_hold_its_fields_is_refused() {
        for octets in [
            &[0x88, 0xC0, 0x02, 0xFF][..],       // COUNT behind the end
            &[0x88, 0xA4, 0x03, 0x01, 0x82][..], // the end of VALUE behind the end
            &[0x82, 0xC1, 0x05][..],             // COUNT behind the end
            &[0x82, 0xC0, 0x05][..],             // shorter than its header
        ] {
            let fault = Simple::read(octets).unwrap_err();
            let error = Fault::into_error(fault, octets.len());
            assert_eq!((error.code(), error.offset()), ("log-length-too-small", 1));
        }
    }

    #[test]
    fn what_is_too_long_is_refused() {
        assert_eq!(RealTimeLog::new(true, Some(1)).with_legal(&[0; 30]), None);
        let data = [1; 1018];
        let log =
            |len| UndefinedLog::new(true, DataSize::of(len), None, LogData::new(&data[..len]));
        assert!(log(1018).is_some());
        assert_eq!(log(1018).and_then(|log| log.with_legal(&[0])), None);
    }
}
