//! Chapter X: system exclusive.

use core::fmt;
use core::iter::FusedIterator;

use nom::number::complete::be_u8;

use super::LogData;
use crate::encode::{Cursor, bit, encodes, top};
use crate::error::JournalError;
use crate::parse::{Fault, Parsed};
use crate::value::FirstIndex;

/// Chapter X: one or more logs of system exclusive messages, oldest first (RFC 6295 §B.5).
///
/// The chapter has no header. The S bit of its first log speaks for all of it.
#[derive(Clone, Copy)]
pub struct SysExLogs<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    Octets { octets: &'a [u8], count: u16 },
    Logs(&'a [SysExLog<'a>]),
}

/// Goes through [`SysExLogs`].
#[derive(Clone, Debug)]
pub struct SysExLogIter<'a> {
    logs: SysExLogs<'a>,
}

/// One log of chapter X: a message, or what there is of it.
///
/// ```text
///  0 1 2 3 4 5 6 7
/// +-+-+-+-+-+-+-+-+
/// |S|T|C|F|D|L|STA|
/// +-+-+-+-+-+-+-+-+
/// |    TCOUNT     |  if T
/// |     COUNT     |  if C
/// |  FIRST …      |  if F: 1 to 4 octets, with the top bit set in all but the last
/// |  DATA …       |  if D: with the top bit set in the last
/// +-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct SysExLog<'a> {
    /// 0 if octets of it were in the packet just before. In the first of several logs it is 0 also
    /// if that is so in a later one.
    pub s: bool,
    /// Whether every message of this type has a log (the list tool, L), not only the last one.
    pub list: bool,
    /// How far the message has come.
    pub status: SysExStatus,
    /// How many messages of this type there were, 0 to 255 and then 0 again (T).
    pub type_count: Option<u8>,
    /// How many messages there were, 0 to 255 and then 0 again (C).
    pub count: Option<u8>,
    /// With which octet of the message the data begin (F); with the first one if that is missing.
    pub first: Option<FirstIndex>,
    /// The data octets, without F0 and F7 (D).
    pub data: Option<LogData<'a>>,
}

/// How far a message has come, by the session history (STA).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum SysExStatus {
    /// 0: more of it is to come.
    Unfinished,
    /// 1: it was cancelled.
    Cancelled,
    /// 2: it is finished and its F7 was left out.
    DroppedEnd,
    /// 3: it is finished.
    Finished,
}

impl<'a> SysExLogs<'a> {
    /// The chapter, or `None` when there is no log to put into it.
    #[must_use]
    pub const fn new(logs: &'a [SysExLog<'a>]) -> Option<Self> {
        if logs.is_empty() {
            None
        } else {
            Some(Self(Source::Logs(logs)))
        }
    }

    /// S of the chapter: 0 if it is 0 in a log.
    #[must_use]
    pub fn s(&self) -> bool {
        self.iter().all(|log| log.s)
    }

    /// How many logs there are, at least 1.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub const fn len(&self) -> usize {
        match self.0 {
            Source::Octets { count, .. } => count as usize,
            Source::Logs(logs) => logs.len(),
        }
    }

    /// The logs in their order.
    #[must_use]
    pub const fn iter(&self) -> SysExLogIter<'a> {
        SysExLogIter { logs: *self }
    }

    /// Reads logs up to the end of the system journal.
    pub(crate) fn read(input: &'a [u8]) -> Parsed<'a, Self> {
        let (mut rest, _) = SysExLog::read(input)?;
        let mut count = 1;
        while !rest.is_empty() {
            (rest, _) = SysExLog::read(rest)?;
            count += 1;
        }
        let octets = input;
        Ok((rest, Self(Source::Octets { octets, count })))
    }

    pub(crate) fn write(&self, out: &mut Cursor<'_>) {
        let mut s = Some(self.s());
        for mut log in self {
            log.s = s.take().unwrap_or(log.s);
            log.write(out);
        }
    }
}

encodes!(SysExLogs<'_>);

impl<'a> IntoIterator for &SysExLogs<'a> {
    type Item = SysExLog<'a>;
    type IntoIter = SysExLogIter<'a>;

    fn into_iter(self) -> SysExLogIter<'a> {
        self.iter()
    }
}

impl PartialEq for SysExLogs<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for SysExLogs<'_> {}

impl fmt::Debug for SysExLogs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<'a> Iterator for SysExLogIter<'a> {
    type Item = SysExLog<'a>;

    fn next(&mut self) -> Option<SysExLog<'a>> {
        match &mut self.logs.0 {
            Source::Octets { octets, count } => {
                // `SysExLogs::read` has been through the same octets without a fault.
                let (rest, log) = SysExLog::read(octets).ok()?;
                *octets = rest;
                *count = count.checked_sub(1)?;
                Some(log)
            }
            Source::Logs(logs) => {
                let (log, rest) = logs.split_first()?;
                *logs = rest;
                Some(*log)
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.logs.len(), Some(self.logs.len()))
    }
}

impl ExactSizeIterator for SysExLogIter<'_> {}
impl FusedIterator for SysExLogIter<'_> {}

impl<'a> SysExLog<'a> {
    /// A log of the list tool, without any field.
    #[must_use]
    pub const fn new(s: bool, status: SysExStatus) -> Self {
        Self {
            s,
            list: true,
            status,
            type_count: None,
            count: None,
            first: None,
            data: None,
        }
    }

    fn read(input: &'a [u8]) -> Parsed<'a, Self> {
        let (rest, head) = be_u8(input)?;
        let (rest, type_count) = octet_if(head & T, rest)?;
        let (rest, count) = octet_if(head & C, rest)?;
        let (rest, first) = if head & F == 0 {
            (rest, None)
        } else {
            let (rest, first) = read_first(rest)?;
            (rest, Some(first))
        };
        let (rest, data) = if head & D == 0 {
            (rest, None)
        } else {
            let (rest, data) = LogData::read(rest)?;
            (rest, Some(data))
        };
        Ok((
            rest,
            Self {
                s: head & S != 0,
                list: head & L != 0,
                status: match head & STA {
                    0 => SysExStatus::Unfinished,
                    1 => SysExStatus::Cancelled,
                    2 => SysExStatus::DroppedEnd,
                    _ => SysExStatus::Finished,
                },
                type_count,
                count,
                first,
                data,
            },
        ))
    }

    fn write(&self, out: &mut Cursor<'_>) {
        out.put(
            top(self.s)
                | bit(self.type_count.is_some(), T)
                | bit(self.count.is_some(), C)
                | bit(self.first.is_some(), F)
                | bit(self.data.is_some(), D)
                | bit(self.list, L)
                | self.status as u8,
        );
        if let Some(count) = self.type_count {
            out.put(count);
        }
        if let Some(count) = self.count {
            out.put(count);
        }
        if let Some(first) = self.first {
            write_first(first, out);
        }
        if let Some(data) = self.data {
            data.write(out);
        }
    }
}

/// Reads an octet if its flag is set.
fn octet_if(flag: u8, input: &[u8]) -> Parsed<'_, Option<u8>> {
    if flag == 0 {
        return Ok((input, None));
    }
    let (rest, octet) = be_u8(input)?;
    Ok((rest, Some(octet)))
}

/// Seven bits in each octet, the upper ones first; the top bit says that there is another.
fn read_first(input: &[u8]) -> Parsed<'_, FirstIndex> {
    let mut index = 0;
    let mut rest = input;
    for _ in 0..4 {
        let octet;
        (rest, octet) = be_u8(rest)?;
        index = index << 7 | u32::from(octet & 0x7F);
        if octet & 0x80 == 0 {
            return Ok((rest, FirstIndex::from_low_bits(index)));
        }
    }
    Err(Fault::new(input, JournalError::FirstTooLong { offset: 0 }))
}

fn write_first(first: FirstIndex, out: &mut Cursor<'_>) {
    let index = first.get();
    for shift in [21, 14, 7] {
        if index >> shift != 0 {
            out.put((index >> shift) as u8 | 0x80);
        }
    }
    out.put(index as u8 & 0x7F);
}

const S: u8 = 0x80;
const T: u8 = 0x40;
const C: u8 = 0x20;
const F: u8 = 0x10;
const D: u8 = 0x08;
const L: u8 = 0x04;
const STA: u8 = 0x03;

#[cfg(feature = "alloc")]
pub(crate) mod sent {
    use alloc::vec::Vec;

    use super::{LogData, SysExLog, SysExStatus};
    use crate::recent::{Mark, View};
    use crate::value::FirstIndex;

    /// Which system exclusive messages were sent, with those of their octets that are
    /// unacknowledged.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct History {
        /// Messages so far.
        count: u8,
        /// At most [`MAX_LOGS`](Self::MAX_LOGS), oldest first.
        items: Vec<Item>,
        /// The pieces of all items, in their order.
        pieces: Vec<Piece>,
        /// The octets of all pieces, at most [`MAX_DATA`](Self::MAX_DATA).
        data: Vec<u8>,
        open: Option<Open>,
        dropped: u64,
    }

    /// A message of which something is unacknowledged.
    #[derive(Clone, Copy, Debug)]
    struct Item {
        count: u8,
        status: SysExStatus,
        resets: bool,
        /// Octets of the message in front of those that are kept.
        first: usize,
        /// Octets that are kept.
        len: usize,
        pieces: usize,
    }

    /// What one packet held of a message.
    #[derive(Clone, Copy, Debug)]
    struct Piece {
        mark: Mark,
        len: usize,
    }

    /// The message that is not finished.
    #[derive(Clone, Copy, Debug)]
    struct Open {
        count: u8,
        /// Octets of it that went out.
        sent: usize,
    }

    /// What a part of a message has done.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub(crate) enum Effect {
        None,
        /// It has finished an MTC full frame, which chapter F keeps.
        FullFrame([u8; 4]),
        /// It has finished a command that resets the receiver.
        Reset,
    }

    impl History {
        /// Octets that are kept. With all logs and all that the other chapters may need they fit
        /// into one system journal.
        pub(crate) const MAX_DATA: usize = 640;
        /// Logs at most.
        pub(crate) const MAX_LOGS: usize = 32;
        /// Pieces at most; a message in more packets is acknowledged in larger steps.
        const MAX_PIECES: usize = 256;

        /// How many more octets can be kept.
        pub(crate) fn room(&self) -> usize {
            let has_log = self.open_item().is_some();
            if self.items.len() >= Self::MAX_LOGS && !has_log {
                return 0;
            }
            Self::MAX_DATA - self.data.len()
        }

        /// Messages that could not be kept until they were acknowledged.
        pub(crate) const fn dropped(&self) -> u64 {
            self.dropped
        }

        /// These octets of a message, from `start` on, go out; `message` is all of it.
        pub(crate) fn record(
            &mut self,
            message: &[u8],
            start: usize,
            octets: &[u8],
            finished: bool,
            packet: u64,
        ) -> Effect {
            if start == 0 {
                self.cancel(packet);
            }
            let open = self.open.take().unwrap_or_else(|| {
                self.count = self.count.wrapping_add(1);
                Open {
                    count: self.count,
                    sent: start,
                }
            });
            if finished && let [0x7F, _, 1, 1, hr, mn, sc, fr] = *message {
                if self.last_is(open.count, SysExStatus::Unfinished) {
                    self.pop();
                }
                return Effect::FullFrame([hr, mn, sc, fr]);
            }
            self.keep(open, octets, packet);
            if !finished {
                self.open = Some(Open {
                    sent: start + octets.len(),
                    ..open
                });
                return Effect::None;
            }
            let resets = is_reset(message);
            let last = self.items.last_mut();
            match last.filter(|it| it.count == open.count && it.status == SysExStatus::Unfinished) {
                Some(item) => {
                    item.status = SysExStatus::Finished;
                    item.resets = resets;
                    if resets {
                        self.keep_last();
                    }
                }
                None if resets => self.clear(),
                None => {}
            }
            if resets { Effect::Reset } else { Effect::None }
        }

        /// The message that is not finished will not be.
        pub(crate) fn cancel(&mut self, packet: u64) {
            let Some(open) = self.open.take() else {
                return;
            };
            if self.last_is(open.count, SysExStatus::Unfinished) {
                self.pop();
            }
            if self.items.len() >= Self::MAX_LOGS {
                self.drop_oldest();
            }
            self.items.push(Item {
                count: open.count,
                status: SysExStatus::Cancelled,
                resets: false,
                first: 0,
                len: 0,
                pieces: 1,
            });
            self.pieces.push(Piece {
                mark: Mark::new(packet),
                len: 0,
            });
        }

        /// A reset went out. What comes before it is gone, but not a message in progress.
        pub(crate) fn reset(&mut self) {
            if self.open_item().is_some() {
                self.keep_last();
            } else {
                self.clear();
            }
        }

        pub(crate) const fn len(&self) -> usize {
            self.items.len()
        }

        /// Whether the first log is that of a command that resets the receiver.
        pub(crate) fn begins_with_reset(&self) -> bool {
            self.items.first().is_some_and(|item| item.resets)
        }

        pub(crate) fn oldest(&self) -> Option<u64> {
            self.pieces.first()?.mark.packet()
        }

        pub(crate) fn acknowledge(&mut self, report: u64) {
            let (mut piece, mut octet) = (0, 0);
            let Self {
                items,
                pieces,
                data,
                ..
            } = self;
            items.retain_mut(|item| {
                while item.pieces > 0
                    && let Some(it) = pieces.get(piece)
                    && it.mark.is_covered(report)
                {
                    data.drain(octet..octet + it.len);
                    item.first += it.len;
                    item.len -= it.len;
                    item.pieces -= 1;
                    pieces.remove(piece);
                }
                piece += item.pieces;
                octet += item.len;
                item.pieces > 0
            });
        }

        /// The journals before the packet `since` tell only the first `told` logs. Returns whether
        /// any was left out.
        pub(crate) fn omit_from(&mut self, told: usize, since: u64) -> bool {
            let told_pieces = self.items.iter().take(told).map(|item| item.pieces).sum();
            let left_out = self.pieces.get_mut(told_pieces..).unwrap_or_default();
            let mut any = false;
            for piece in left_out {
                any |= piece.mark.omit(since);
            }
            any
        }

        /// The logs, with the packet that changed each last and its octets.
        pub(crate) fn logs(&self, view: &View) -> impl Iterator<Item = (SysExLog<'_>, u64, usize)> {
            let (mut pieces, mut data) = (self.pieces.as_slice(), self.data.as_slice());
            self.items.iter().map(move |item| {
                let (own, rest) = pieces
                    .split_at_checked(item.pieces)
                    .unwrap_or((pieces, &[]));
                let (octets, more) = data.split_at_checked(item.len).unwrap_or((data, &[]));
                (pieces, data) = (rest, more);
                let mark = own.last().map(|piece| piece.mark).unwrap_or_default();
                let mut log = SysExLog::new(mark.s(view.previous), item.status);
                log.count = Some(item.count);
                log.data = LogData::new(octets);
                if item.first > 0 && item.status != SysExStatus::Cancelled {
                    // `keep` has held it against the bound.
                    let first = u32::try_from(item.first).unwrap_or(u32::MAX);
                    log.first = Some(FirstIndex::from_low_bits(first));
                }
                let len = 2 + log.first.map_or(0, first_len) + item.len;
                (log, mark.packet().unwrap_or_default(), len)
            })
        }

        /// Puts octets behind those of the message that are there already.
        fn keep(&mut self, open: Open, octets: &[u8], packet: u64) {
            let is_new = !self.last_is(open.count, SysExStatus::Unfinished);
            let first_max = FirstIndex::MAX.get() as usize;
            if octets.len() > Self::MAX_DATA || open.sent > first_max || !octets.is_ascii() {
                if !is_new {
                    self.pop();
                }
                self.dropped += 1;
                return;
            }
            let mut is_new = is_new;
            while self.data.len() + octets.len() > Self::MAX_DATA
                || is_new && self.items.len() >= Self::MAX_LOGS
            {
                self.drop_oldest();
                is_new = !self.last_is(open.count, SysExStatus::Unfinished);
            }
            self.data.extend_from_slice(octets);
            let mark = Mark::new(packet);
            let is_full = self.pieces.len() >= Self::MAX_PIECES;
            let Some(item) = self.items.last_mut().filter(|_| !is_new) else {
                self.items.push(Item {
                    count: open.count,
                    status: SysExStatus::Unfinished,
                    resets: false,
                    first: open.sent,
                    len: octets.len(),
                    pieces: 1,
                });
                let len = octets.len();
                return self.pieces.push(Piece { mark, len });
            };
            item.len += octets.len();
            match self.pieces.last_mut() {
                Some(last) if is_full || last.mark == mark => {
                    last.mark = mark;
                    last.len += octets.len();
                }
                _ => {
                    item.pieces += 1;
                    let len = octets.len();
                    self.pieces.push(Piece { mark, len });
                }
            }
        }

        fn open_item(&self) -> Option<&Item> {
            let open = self.open?;
            let last = self.items.last();
            last.filter(|it| it.count == open.count && it.status == SysExStatus::Unfinished)
        }

        fn last_is(&self, count: u8, status: SysExStatus) -> bool {
            let last = self.items.last();
            last.is_some_and(|item| item.count == count && item.status == status)
        }

        /// Drops the last item.
        fn pop(&mut self) {
            if let Some(item) = self.items.pop() {
                self.data.truncate(self.data.len() - item.len);
                self.pieces.truncate(self.pieces.len() - item.pieces);
            }
        }

        /// Drops all items but the last.
        fn keep_last(&mut self) {
            if let Some(item) = self.items.last().copied() {
                self.data.drain(..self.data.len() - item.len);
                self.pieces.drain(..self.pieces.len() - item.pieces);
                self.items.drain(..self.items.len() - 1);
            }
        }

        fn clear(&mut self) {
            self.items.clear();
            self.pieces.clear();
            self.data.clear();
        }

        /// Drops the oldest item for good; of the one in progress the oldest piece, for the rest of
        /// it is of use to whoever has the beginning.
        fn drop_oldest(&mut self) {
            let in_progress = self.items.len() == 1;
            let Some(item) = self.items.first_mut() else {
                return;
            };
            self.dropped += 1;
            if in_progress && item.status == SysExStatus::Unfinished && item.pieces > 1 {
                let len = self.pieces.remove(0).len;
                self.data.drain(..len);
                item.first += len;
                item.len -= len;
                item.pieces -= 1;
                return;
            }
            let item = self.items.remove(0);
            self.data.drain(..item.len);
            self.pieces.drain(..item.pieces);
        }
    }

    /// GM on and off, GM2 on, DLS on and off: they reset the receiver (RFC 6295 §A.1).
    pub(crate) const fn is_reset(data: &[u8]) -> bool {
        matches!(
            data,
            [0x7E, _, 0x09, 0x00 | 0x01 | 0x03] | [0x7E, _, 0x0A, 0x01 | 0x02]
        )
    }

    /// Octets of FIRST.
    fn first_len(first: FirstIndex) -> usize {
        let bits = u32::BITS - first.get().leading_zeros();
        bits.div_ceil(7).max(1) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::assert_octets;

    #[test]
    fn the_first_log_speaks_for_the_chapter() {
        let finished = SysExLog {
            count: Some(1),
            data: LogData::new(&[0x7D, 1]),
            ..SysExLog::new(true, SysExStatus::Finished)
        };
        let cancelled = SysExLog {
            count: Some(2),
            ..SysExLog::new(true, SysExStatus::Cancelled)
        };
        let unfinished = SysExLog {
            s: false,
            count: Some(3),
            first: FirstIndex::new(0),
            data: LogData::new(&[0x7D, 2, 3]),
            ..SysExLog::new(true, SysExStatus::Unfinished)
        };
        let logs = [finished, cancelled, unfinished];
        let octets = [
            0x2F, 1, 0x7D, 0x81, // S=0, because it is so in the last
            0xA5, 2, //
            0x3C, 3, 0, 0x7D, 2, 0x83,
        ];
        let mut out = [0; 12];
        let chapter = SysExLogs::new(&logs).unwrap();
        assert!(!chapter.s());
        assert_eq!(chapter.encode(&mut out), Ok(12));
        assert_eq!(out, octets);
        let (_, read) = SysExLogs::read(&octets).unwrap();
        assert_eq!(read.len(), 3);
        assert!(read.iter().skip(1).eq([cancelled, unfinished]));
    }

    #[test]
    fn first_has_one_to_four_octets() {
        for (index, octets) in [
            (0x7F, &[0x7F][..]),
            (0x80, &[0x81, 0x00]),
            (1000, &[0x87, 0x68]),
            (0x20_0000, &[0x81, 0x80, 0x80, 0x00]),
            (0x0FFF_FFFF, &[0xFF, 0xFF, 0xFF, 0x7F]),
        ] {
            let head = [0xD4, 5];
            let log = SysExLog {
                type_count: Some(5),
                first: FirstIndex::new(index),
                ..SysExLog::new(true, SysExStatus::Unfinished)
            };
            let logs = [log];
            let mut all = [0; 6];
            all[..2].copy_from_slice(&head);
            all[2..2 + octets.len()].copy_from_slice(octets);
            let chapter = SysExLogs::new(&logs).unwrap();
            assert_octets!(SysExLogs, chapter, all[..2 + octets.len()]);
        }
        assert!(SysExLogs::read(&[0x90, 0x80, 0x80, 0x80, 0x80, 0]).is_err());
    }

    #[test]
    fn it_is_never_empty() {
        assert_eq!(SysExLogs::new(&[]), None);
        assert!(SysExLogs::read(&[]).is_err());
    }
}
