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

#[cfg(feature = "alloc")]
pub(crate) mod receiver {
    use alloc::collections::VecDeque;
    use alloc::vec::Vec;

    use netmidi_message::SysEx;
    use netmidi_wire::{SegmentKind, SysExSegment};

    use super::{SysExLog, SysExLogs, SysExStatus};
    use crate::repairer::Repairs;
    use crate::system::timecode::receiver::{TimecodeModel, full_frame_time};
    use crate::system::{LogData, SystemJournal};

    /// How many of the last messages are remembered.
    const MAX_RECENT: usize = 48;
    /// The same while a journal is repaired from: as many as one can have logs, two octets each.
    const MAX_REPAIRED: usize = SystemJournal::MAX_LEN / 2;
    /// Octets of them that are remembered, all together.
    const MAX_RECENT_OCTETS: usize = 2 * 1024;
    /// Octets of one of them that are remembered, its last ones: a log never shows more.
    const MAX_TAIL: usize = SystemJournal::MAX_LEN;
    /// Octets of buffer kept for the next message: one near the bound must not keep its memory for
    /// ever.
    const KEPT_CAPACITY: usize = 4096;

    /// The message in progress, and which have come of late.
    #[derive(Debug, Default)]
    pub(crate) struct SysExModel {
        /// Data octets of the message in progress; of one that has been whole when none is.
        data: Vec<u8>,
        partial: Option<Partial>,
        /// How many have begun, modulo 256, by the sender's count.
        count: u8,
        /// Whether `count` agrees with the sender's: from the beginning, or by a log.
        counted: bool,
        /// How many have begun since the last loss, modulo 256.
        since_loss: u8,
        recent: VecDeque<Recent>,
        tails: Tails,
        /// The packet of the newest message that was forgotten for want of room.
        forgotten: u64,
    }

    #[derive(Clone, Copy, Debug)]
    struct Partial {
        /// How many octets at the beginning are lost: if any, nothing can come of it.
        missing: usize,
        /// The packet that it began in.
        ext: u64,
        count: u8,
    }

    /// A message that was executed, or that is known to be lost.
    #[derive(Debug)]
    struct Recent {
        ext: u64,
        len: usize,
        /// Its last octets.
        tail: Tail,
        /// The number of the message.
        count: u8,
        resets: bool,
        /// Received, not repaired.
        received: bool,
        /// Whether a log of the chapter at hand has been found to mean it.
        matched: bool,
    }

    /// The octets of all tails, in one buffer that keeps its memory.
    #[derive(Debug, Default)]
    struct Tails {
        octets: VecDeque<u8>,
        /// How many have been dropped in front of them.
        dropped: u64,
    }

    /// Some octets in [`Tails`].
    #[derive(Clone, Copy, Debug)]
    struct Tail {
        start: u64,
        len: usize,
    }

    /// What a segment did.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub(crate) enum Step {
        Partial,
        /// The message is in the segment.
        Whole,
        /// The message is in [`SysExModel::data`].
        Complete,
        Abandoned,
        TooLong,
        Ignored,
    }

    /// What has reset the whole system.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub(crate) enum ResetBy {
        /// FF.
        Command,
        /// A system exclusive message with these data.
        SysEx([u8; 4]),
    }

    /// What the repair of chapter X has to tell.
    #[derive(Clone, Copy, Debug, Default)]
    pub(crate) struct SysExRepair {
        /// A message was executed that resets the whole system: which.
        pub(crate) reset: Option<ResetBy>,
        /// Messages that were executed, and do not reset.
        pub(crate) executed: u8,
        /// Messages that are lost, by their logs.
        pub(crate) lost: u8,
        /// Messages that are lost and have no log, or full frames, which never have.
        pub(crate) unlogged: u8,
    }

    impl SysExModel {
        /// A message with these data was received whole.
        pub(crate) fn received(&mut self, ext: u64, data: &[u8]) {
            self.begin();
            self.remember(ext, data, 0, self.count, true);
        }

        fn begin(&mut self) {
            self.count = self.count.wrapping_add(1);
            self.since_loss = self.since_loss.wrapping_add(1);
        }

        /// The second value is whether a message in progress was given up for the segment.
        pub(crate) fn join(
            &mut self,
            ext: u64,
            segment: SysExSegment<'_>,
            limit: usize,
        ) -> (Step, bool) {
            self.release();
            let data = segment.data();
            match segment.kind() {
                SegmentKind::Whole | SegmentKind::WholeDroppedEnd => {
                    let cut = self.abandon();
                    self.received(ext, data);
                    let step = if data.len() > limit {
                        Step::TooLong
                    } else {
                        Step::Whole
                    };
                    (step, cut)
                }
                SegmentKind::First => {
                    let cut = self.abandon();
                    self.begin();
                    self.partial = Some(Partial {
                        missing: 0,
                        ext,
                        count: self.count,
                    });
                    (self.append(data, limit), cut)
                }
                // The beginning was lost: what follows it is of no use.
                _ if self.partial.is_none() => (Step::Ignored, false),
                SegmentKind::Middle => (self.append(data, limit), false),
                SegmentKind::Last | SegmentKind::LastDroppedEnd => {
                    let step = match self.append(data, limit) {
                        Step::Partial => self.complete(ext, true),
                        given_up => given_up,
                    };
                    (step, false)
                }
                SegmentKind::Cancel => {
                    let known = self.partial.is_some_and(|it| it.missing == 0);
                    self.abandon();
                    (
                        if known {
                            Step::Abandoned
                        } else {
                            Step::Ignored
                        },
                        false,
                    )
                }
            }
        }

        /// The data of a message that a segment has completed.
        pub(crate) fn data(&self) -> &[u8] {
            &self.data
        }

        /// Forgets a message in progress. Returns whether something could have come of it.
        pub(crate) fn abandon(&mut self) -> bool {
            self.data.clear();
            self.partial.take().is_some_and(|it| it.missing == 0)
        }

        /// Whether a message is in progress.
        pub(crate) const fn in_progress(&self) -> bool {
            self.partial.is_some()
        }

        /// Gives back the memory of a long message that is done with.
        pub(crate) fn release(&mut self) {
            if self.partial.is_none() {
                self.data.clear();
                self.data.shrink_to(KEPT_CAPACITY);
            }
        }

        /// Nothing that came before counts any more.
        pub(crate) fn clear_recent(&mut self) {
            self.recent.clear();
            self.tails.drop_before(u64::MAX);
        }

        /// A loss begins: what begins from here on is counted.
        pub(crate) const fn lose(&mut self) {
            self.since_loss = 0;
        }

        fn append(&mut self, data: &[u8], limit: usize) -> Step {
            let Some(partial) = &mut self.partial else {
                return Step::Ignored;
            };
            if partial.missing > 0 {
                // Only to know it again in a log.
                self.data.extend_from_slice(data);
                let surplus = self.data.len().saturating_sub(MAX_TAIL);
                self.data.drain(..surplus);
                partial.missing += surplus;
                return Step::Partial;
            }
            if self.data.len() + data.len() > limit {
                self.abandon();
                self.release();
                return Step::TooLong;
            }
            self.data.extend_from_slice(data);
            Step::Partial
        }

        fn complete(&mut self, ext: u64, received: bool) -> Step {
            let Some(partial) = self.partial.take() else {
                return Step::Ignored;
            };
            let data = core::mem::take(&mut self.data);
            self.remember(ext, &data, partial.missing, partial.count, received);
            self.data = data;
            if partial.missing == 0 {
                Step::Complete
            } else {
                Step::Ignored
            }
        }

        /// `data` are the octets from `missing` on.
        fn remember(&mut self, ext: u64, data: &[u8], missing: usize, count: u8, received: bool) {
            // Full frames have no logs: chapter F speaks of them.
            if missing == 0 && full_frame_time(data).is_some() {
                return;
            }
            let resets = missing == 0 && resets_state(data).is_some();
            if resets {
                self.clear_recent();
            }
            let tail = data
                .get(data.len().saturating_sub(MAX_TAIL)..)
                .unwrap_or_default();
            if self.recent.capacity() == 0 {
                // Once, so that no message takes memory for this.
                self.recent.reserve_exact(MAX_RECENT);
                self.tails.octets.reserve_exact(MAX_RECENT_OCTETS);
            }
            let messages = if received { MAX_RECENT } else { MAX_REPAIRED };
            self.forget_oldest(messages - 1, tail.len());
            let tail = self.tails.push(tail.iter().copied());
            self.recent.push_back(Recent {
                ext,
                len: missing + data.len(),
                tail,
                count,
                resets,
                received,
                matched: false,
            });
        }

        /// Keeps no more than so many, and room for so many octets more.
        fn forget_oldest(&mut self, messages: usize, octets: usize) {
            if messages < self.recent.len() {
                // After a journal with many logs.
                self.recent.shrink_to(self.recent.len().max(MAX_RECENT));
            }
            while self.recent.len() > messages
                || self.tails.octets.len() + octets > MAX_RECENT_OCTETS
            {
                let Some(oldest) = self.recent.pop_front() else {
                    break;
                };
                self.forgotten = self.forgotten.max(oldest.ext);
                let starts = self.recent.iter().map(|it| it.tail.start);
                self.tails.drop_before(starts.min().unwrap_or(u64::MAX));
            }
        }

        /// The receiver's rule of chapter X.
        pub(crate) fn repair(
            &mut self,
            logs: &SysExLogs<'_>,
            limit: usize,
            timecode: &mut TimecodeModel,
            out: &mut Repairs<'_>,
        ) -> SysExRepair {
            let mut told = SysExRepair::default();
            if out.skips(logs.s()) {
                return told;
            }
            let count_before = self.count;
            // Cancelled ones that are ahead of the own count, and all that had no part in it yet.
            let mut accounted = 0_u8;
            for log in logs {
                let ahead = log.count.is_some_and(|it| is_ahead(it, count_before));
                if log.status == SysExStatus::Cancelled && ahead {
                    accounted = accounted.wrapping_add(1);
                }
            }

            self.forget_oldest(MAX_REPAIRED, 0);
            let (known, last_known) = self.known_part(logs, out);
            let (from, end, newest) = self.received_part(logs, known, &mut told, out);
            accounted = accounted.wrapping_add(told.lost);
            let last = logs.iter().last();
            // How many have begun after the command of the last log.
            let mut after_last = newest
                .or(last_known.filter(|_| known == logs.len()))
                .map(|number| self.count.wrapping_sub(number));

            let mut lost = logs.iter().take(end).skip(from).filter(is_ours).peekable();
            if let Some(log) = lost.peek().copied()
                && let Some(partial) = self.partial
            {
                if self.continues(partial, &log) {
                    lost.next();
                    self.go_on(partial, &log, limit, &mut told);
                    if log.status != SysExStatus::Unfinished
                        && self.complete(out.stamp.ext, false) == Step::Complete
                    {
                        let data = core::mem::take(&mut self.data);
                        execute(&data, &mut told, timecode, out);
                        self.data = data;
                    }
                } else if end == logs.len() {
                    // The sender has begun another, so this one was cancelled.
                    self.abandon();
                }
            } else if end == logs.len()
                && lost.peek().is_none()
                && last.is_some_and(|it| it.status == SysExStatus::Cancelled && !out.skips(it.s))
            {
                self.abandon();
            }
            for log in lost {
                accounted = accounted.wrapping_add(1);
                self.take_log(&log, limit, &mut told, timecode, out);
            }
            if end > from && end == logs.len() {
                after_last = Some(if out.catching_up.is_some() {
                    self.since_loss
                } else {
                    0
                });
            }
            if let Some(count) = last.and_then(|it| it.count) {
                match after_last {
                    Some(after) => self.count = count.wrapping_add(after),
                    None if is_ahead(count, self.count) => self.count = count,
                    None => {}
                }
                let unlogged = self
                    .count
                    .wrapping_sub(count_before)
                    .wrapping_sub(accounted);
                if self.counted && unlogged < 128 && told.reset.is_none() {
                    told.unlogged = unlogged;
                }
                self.counted = true;
            }
            told
        }

        /// A stream whose beginning was received has the sender's count.
        pub(crate) const fn set_counted(&mut self, counted: bool) {
            self.counted = counted;
        }

        /// How many logs at the beginning are known, and the number of the last of them.
        fn known_part(&mut self, logs: &SysExLogs<'_>, out: &Repairs<'_>) -> (usize, Option<u8>) {
            for recent in &mut self.recent {
                recent.matched = false;
            }
            // Where the oldest have been forgotten, their logs are known by those that follow.
            let forgotten = self.forgotten >= out.checkpoint && self.forgotten > 0;
            let skip = if forgotten {
                logs.iter()
                    .position(|log| self.find(&log, 0, out).is_some())
                    .unwrap_or(0)
            } else {
                0
            };
            let mut from = 0;
            let mut number = None;
            for (index, log) in logs.iter().enumerate() {
                let is_finished =
                    matches!(log.status, SysExStatus::DroppedEnd | SysExStatus::Finished);
                let found = if is_finished {
                    self.find(&log, from, out)
                } else {
                    None
                };
                match found {
                    Some(at) => {
                        from = at + 1;
                        number = self.take_match(at, &log);
                    }
                    None if !is_ours(&log) => number = None,
                    None if out.skips(log.s) || index < skip => number = None,
                    None => return (index, number),
                }
            }
            (logs.len(), number)
        }

        /// Behind the known part, which logs to repair: those from the first number to the second.
        /// In front of them stand such as have been received since an earlier loss, and what was
        /// lost between those comes too late: it would stand in the wrong order. The third is the
        /// own number of the last log, if it has been received.
        fn received_part(
            &mut self,
            logs: &SysExLogs<'_>,
            known: usize,
            told: &mut SysExRepair,
            out: &Repairs<'_>,
        ) -> (usize, usize, Option<u8>) {
            let mut end = logs.len();
            let Some(gap) = out.unsettled_since else {
                return (known, end, None);
            };
            let mut newest = None;
            if let Some(partial) = self.partial
                && let Some(log) = logs.iter().last()
                && known < end
                && log.status == SysExStatus::Unfinished
                && partial.ext >= gap
                && self.continues(partial, &log)
                && out.catching_up.is_some()
            {
                newest = Some(partial.count);
                end -= 1;
            }
            let mut from = known;
            let mut cursor = 0;
            for (index, log) in logs.iter().enumerate().take(end).skip(known) {
                let is_it = |it: &Recent| {
                    it.received
                        && !it.matched
                        && it.ext >= gap.max(out.checkpoint)
                        && it.is(&log, &self.tails)
                        && !it.is_repeated_by(&log, out)
                };
                let rest = self.recent.iter().skip(cursor);
                if log.status != SysExStatus::Unfinished
                    && let Some(at) = rest.clone().position(is_it)
                {
                    cursor += at;
                    for log in logs.iter().take(index).skip(from).filter(is_ours) {
                        told.lost = told.lost.saturating_add(1);
                        // So that it is not told again.
                        self.insert_lost(cursor, &log, out);
                        cursor += 1;
                    }
                    let number = self.take_match(cursor, &log);
                    cursor += 1;
                    from = index + 1;
                    if from == logs.len() {
                        newest = number;
                    }
                }
            }
            (from, end, newest)
        }

        /// Remembers a message that is lost for good as one that is known.
        fn insert_lost(&mut self, at: usize, log: &SysExLog<'_>, out: &Repairs<'_>) {
            let tail = self.tails.push(log.data.iter().flat_map(LogData::iter));
            self.recent.insert(
                at,
                Recent {
                    ext: out.stamp.ext,
                    len: first(log) + tail.len,
                    tail,
                    count: log.count.unwrap_or(self.count),
                    resets: false,
                    received: false,
                    matched: true,
                },
            );
        }

        fn find(&self, log: &SysExLog<'_>, from: usize, out: &Repairs<'_>) -> Option<usize> {
            let known = |it: &Recent| {
                it.ext >= out.checkpoint && it.is(log, &self.tails) && !it.is_repeated_by(log, out)
            };
            let rest = self.recent.iter().skip(from);
            rest.clone().position(known).map(|at| from + at)
        }

        /// Notes that the log means this message. Returns the own number of it, and takes over the
        /// sender's.
        fn take_match(&mut self, at: usize, log: &SysExLog<'_>) -> Option<u8> {
            let recent = self.recent.get_mut(at)?;
            recent.matched = true;
            let own = recent.count;
            recent.count = log.count.unwrap_or(own);
            Some(own)
        }

        /// Whether the log is about the message in progress.
        fn continues(&self, partial: Partial, log: &SysExLog<'_>) -> bool {
            let first = first(log);
            let Some(skipped) = first.checked_sub(partial.missing) else {
                // The log shows more of the beginning than has come.
                let Some(data) = log.data else { return false };
                return data
                    .iter()
                    .skip(partial.missing - first)
                    .zip(&self.data)
                    .all(|(a, b)| a == *b)
                    && data.len() + first >= partial.missing + self.data.len();
            };
            let Some(own) = self.data.get(skipped..) else {
                return false;
            };
            let mut data = log.data.iter().flat_map(LogData::iter);
            own.iter().all(|octet| data.next() == Some(*octet))
        }

        /// The log has the message in progress, and more of it.
        fn go_on(
            &mut self,
            mut partial: Partial,
            log: &SysExLog<'_>,
            limit: usize,
            told: &mut SysExRepair,
        ) {
            match first(log).checked_sub(partial.missing) {
                Some(known) => self.data.truncate(known),
                None => {
                    self.data.clear();
                    partial.missing = first(log);
                }
            }
            self.data.extend(log.data.iter().flat_map(LogData::iter));
            partial.count = log.count.unwrap_or(partial.count);
            if partial.missing == 0 && self.data.len() > limit {
                told.lost = told.lost.saturating_add(1);
                partial.missing = self.give_up();
            }
            self.partial = Some(partial);
        }

        /// Of a message that is too long keeps what shows that it has come. Returns how many
        /// octets that leaves out.
        fn give_up(&mut self) -> usize {
            let surplus = self.data.len().saturating_sub(MAX_TAIL).max(1);
            self.data.drain(..surplus);
            surplus
        }

        /// A message of which nothing has come.
        fn take_log(
            &mut self,
            log: &SysExLog<'_>,
            limit: usize,
            told: &mut SysExRepair,
            timecode: &mut TimecodeModel,
            out: &mut Repairs<'_>,
        ) {
            let first = first(log);
            let count = log.count.unwrap_or(self.count);
            let ext = out.stamp.ext;
            let octets = log.data.iter().flat_map(LogData::iter);
            if log.status == SysExStatus::Unfinished {
                self.data.clear();
                self.data.extend(octets);
                let mut missing = first;
                if missing == 0 && self.data.len() > limit {
                    missing = self.give_up();
                }
                told.lost = told.lost.saturating_add(u8::from(missing > 0));
                self.partial = Some(Partial {
                    missing,
                    ext,
                    count,
                });
                return;
            }
            // Not in the buffer of the one in progress, which may be a later one.
            let data: Vec<u8> = octets.collect();
            self.remember(ext, &data, first, count, false);
            if first == 0 && data.len() <= limit {
                execute(&data, told, timecode, out);
            } else {
                told.lost = told.lost.saturating_add(1);
            }
        }
    }

    fn execute(
        data: &[u8],
        told: &mut SysExRepair,
        timecode: &mut TimecodeModel,
        out: &mut Repairs<'_>,
    ) {
        let Some(sysex) = SysEx::new(data) else {
            return;
        };
        out.message(sysex.into());
        if let Some(time) = full_frame_time(data) {
            timecode.full_frame(time);
        } else if let Some(by) = resets_state(data) {
            told.reset = Some(by);
            *timecode = TimecodeModel::default();
            out.state_was_reset();
        } else {
            told.executed = told.executed.saturating_add(1);
        }
    }

    /// Whether chapter X has to care for the message: it was not cancelled, and is no full frame,
    /// which is for chapter F.
    fn is_ours(log: &SysExLog<'_>) -> bool {
        log.status != SysExStatus::Cancelled && !is_full_frame(log)
    }

    fn is_full_frame(log: &SysExLog<'_>) -> bool {
        let mut data = [0; 8];
        let whole = log
            .data
            .filter(|it| it.len() == data.len() && first(log) == 0);
        log.status != SysExStatus::Unfinished
            && whole.is_some_and(|it| it.copy_to(&mut data).is_some())
            && full_frame_time(&data).is_some()
    }

    impl Recent {
        /// Whether the log means another reset like this one, which was lost: only the count
        /// tells. Not if nothing was lost since this one.
        fn is_repeated_by(&self, log: &SysExLog<'_>, out: &Repairs<'_>) -> bool {
            self.resets
                && out.catching_up.is_none_or(|gap| self.ext < gap)
                && log.count.is_some_and(|count| is_ahead(count, self.count))
        }

        /// Whether the log could mean this message.
        fn is(&self, log: &SysExLog<'_>, tails: &Tails) -> bool {
            let shown = log.data.map_or(0, |it| it.len());
            self.len == first(log) + shown
                && shown <= self.tail.len
                && tails
                    .end(self.tail, shown)
                    .eq(log.data.iter().flat_map(LogData::iter))
        }
    }

    impl Tails {
        fn push(&mut self, octets: impl Iterator<Item = u8>) -> Tail {
            let before = self.octets.len();
            self.octets.extend(octets);
            Tail {
                start: self.dropped + before as u64,
                len: self.octets.len() - before,
            }
        }

        /// The last octets of a tail.
        fn end(&self, tail: Tail, octets: usize) -> impl Iterator<Item = u8> {
            let end = usize::try_from(tail.start - self.dropped).unwrap_or(usize::MAX) + tail.len;
            self.octets.range(end - octets..end).copied()
        }

        /// Drops what nobody refers to.
        fn drop_before(&mut self, start: u64) {
            let unused = start.saturating_sub(self.dropped);
            let unused =
                usize::try_from(unused).map_or(self.octets.len(), |it| it.min(self.octets.len()));
            self.octets.drain(..unused);
            self.dropped += unused as u64;
        }
    }

    fn first(log: &SysExLog<'_>) -> usize {
        log.first.map_or(0, |first| first.get() as usize)
    }

    /// Whether a count, modulo 256, is ahead of another.
    const fn is_ahead(count: u8, of: u8) -> bool {
        matches!(count.wrapping_sub(of), 1..=127)
    }

    /// Whether a system exclusive message puts the whole instrument back: GM or DLS on or off
    /// (RFC 6295 §A.1).
    pub(crate) const fn resets_state(data: &[u8]) -> Option<ResetBy> {
        match *data {
            [0x7E, device, id @ 0x09, what @ (0 | 1 | 3)]
            | [0x7E, device, id @ 0x0A, what @ (1 | 2)] => {
                Some(ResetBy::SysEx([0x7E, device, id, what]))
            }
            _ => None,
        }
    }
}

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
    use crate::recent::{Mark, Packet, View};
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
        /// The octets of all pieces, at most `max_data`.
        data: Vec<u8>,
        open: Option<Open>,
        dropped: u64,
        max_data: usize,
    }

    /// A message of which something is unacknowledged.
    #[derive(Clone, Copy, Debug)]
    struct Item {
        count: u8,
        status: SysExStatus,
        resets: bool,
        /// Not all unacknowledged octets are kept: who misses them has lost the message.
        shortened: bool,
        /// Octets of the message in front of those that are kept.
        first: u32,
        /// Octets that are kept, at most [`MAX_DATA`](History::MAX_DATA).
        len: u16,
        /// At most [`MAX_PIECES`](History::MAX_PIECES).
        pieces: u8,
    }

    /// What one packet held of a message.
    #[derive(Clone, Copy, Debug)]
    struct Piece {
        mark: Mark,
        /// Octets that are kept.
        len: u16,
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
        /// Octets that a message keeps which can no longer be repaired: enough to know it by.
        const SHORTENED: usize = 4;
        /// Pieces at most; a message in more packets is acknowledged in larger steps.
        const MAX_PIECES: usize = 64;

        /// Keeps so many octets, and no more than [`MAX_DATA`](Self::MAX_DATA).
        pub(crate) fn new(max_data: usize) -> Self {
            Self {
                max_data: max_data.min(Self::MAX_DATA),
                ..Self::default()
            }
        }

        /// How many more octets can be kept.
        pub(crate) fn room(&self) -> usize {
            let has_log = self.open_item().is_some();
            if self.items.len() >= Self::MAX_LOGS && !has_log {
                return 0;
            }
            self.max_data.saturating_sub(self.data.len())
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
            packet: Packet,
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
        pub(crate) fn cancel(&mut self, packet: Packet) {
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
                shortened: false,
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

        pub(crate) fn oldest(&self) -> Option<Packet> {
            self.pieces.first()?.mark.packet()
        }

        pub(crate) fn acknowledge(&mut self, report: Packet) {
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
                    data.drain(octet..octet + usize::from(it.len));
                    item.first += u32::from(it.len);
                    item.len -= it.len;
                    item.pieces -= 1;
                    pieces.remove(piece);
                }
                piece += usize::from(item.pieces);
                octet += usize::from(item.len);
                item.pieces > 0
            });
        }

        pub(crate) fn rebase(&mut self, by: Packet) {
            self.pieces.iter_mut().for_each(|it| it.mark.rebase(by));
        }

        /// Gives back what memory it does not need now.
        pub(crate) fn shrink(&mut self) {
            self.items.shrink_to_fit();
            self.pieces.shrink_to_fit();
            self.data.shrink_to_fit();
        }

        /// The journals before the packet `since` tell only the first `told` logs. Returns whether
        /// any was left out.
        pub(crate) fn omit_from(&mut self, told: usize, since: Packet) -> bool {
            let told_pieces: usize = pieces_of(self.items.get(..told).unwrap_or(&self.items));
            let left_out = self.pieces.get_mut(told_pieces..).unwrap_or_default();
            let mut any = false;
            for piece in left_out {
                any |= piece.mark.omit(since);
            }
            any
        }

        /// The logs, with the packet that changed each last and its octets.
        pub(crate) fn logs(
            &self,
            view: &View,
        ) -> impl Iterator<Item = (SysExLog<'_>, Packet, usize)> {
            let (mut pieces, mut data) = (self.pieces.as_slice(), self.data.as_slice());
            self.items.iter().map(move |item| {
                let (own, rest) = pieces
                    .split_at_checked(item.pieces.into())
                    .unwrap_or((pieces, &[]));
                let (octets, more) = data
                    .split_at_checked(item.len.into())
                    .unwrap_or((data, &[]));
                (pieces, data) = (rest, more);
                let mark = own.last().map(|piece| piece.mark).unwrap_or_default();
                let mut log = SysExLog::new(mark.s(view.previous), item.status);
                log.count = Some(item.count);
                log.data = LogData::new(octets);
                if item.first > 0 && item.status != SysExStatus::Cancelled {
                    // `keep` has held it against the bound.
                    log.first = Some(FirstIndex::from_low_bits(item.first));
                }
                let len = 2 + log.first.map_or(0, first_len) + usize::from(item.len);
                (log, mark.packet().unwrap_or_default(), len)
            })
        }

        /// Puts octets behind those of the message that are there already.
        ///
        /// Where there is no room, the oldest logs are shortened to their ends: what they tell of
        /// can no longer be repaired, but a receiver that missed it learns that it did.
        fn keep(&mut self, open: Open, octets: &[u8], packet: Packet) {
            let mut is_new = !self.last_is(open.count, SysExStatus::Unfinished);
            let first_max = FirstIndex::MAX.get() as usize;
            if open.sent + octets.len() > first_max || !octets.is_ascii() {
                if !is_new {
                    self.pop();
                }
                self.dropped += 1;
                return;
            }
            if self.items.capacity() == 0 {
                // Once, so that no message takes memory for this.
                self.items.reserve(Self::MAX_LOGS);
                self.pieces.reserve(Self::MAX_PIECES + Self::MAX_LOGS);
                self.data.reserve(self.max_data);
            }
            if is_new && self.items.len() >= Self::MAX_LOGS {
                self.drop_oldest();
            }
            let least = |item: &Item| usize::from(item.len).min(Self::SHORTENED);
            let least: usize = self.items.iter().map(least).sum();
            let fits = octets.len() + least <= self.max_data;
            let kept = if fits {
                octets
            } else {
                octets
                    .get(octets.len().saturating_sub(Self::SHORTENED)..)
                    .unwrap_or(octets)
            };
            if is_new {
                self.items.push(Item {
                    count: open.count,
                    status: SysExStatus::Unfinished,
                    resets: false,
                    shortened: false,
                    // Held against the bound above.
                    first: open.sent as u32,
                    len: 0,
                    pieces: 0,
                });
            }
            if !fits {
                // Nothing of it is of use to whoever misses this packet.
                self.shorten(self.items.len() - 1, 0);
            }
            let mut oldest = 0;
            while self.data.len() + kept.len() > self.max_data && oldest < self.items.len() {
                self.shorten(oldest, Self::SHORTENED);
                oldest += 1;
            }
            let mark = Mark::new(packet);
            let is_full = self.pieces.len() >= Self::MAX_PIECES;
            // At most `max_data`.
            let len = kept.len() as u16;
            self.data.extend_from_slice(kept);
            let Some(item) = self.items.last_mut() else {
                return;
            };
            item.first += (octets.len() - kept.len()) as u32;
            item.len += len;
            is_new = item.pieces == 0;
            match self.pieces.last_mut() {
                Some(last) if !is_new && (is_full || last.mark == mark) => {
                    last.mark = mark;
                    last.len += len;
                }
                _ => {
                    item.pieces += 1;
                    self.pieces.push(Piece { mark, len });
                }
            }
        }

        /// Shortens the oldest logs until all take no more than so many octets, as far as that
        /// goes: a log that is left out would leave the receiver with half a message.
        pub(crate) fn shorten_to(&mut self, octets: usize) {
            let mut oldest = 0;
            while oldest < self.items.len()
                && self.items.iter().map(Item::log_len).sum::<usize>() > octets
            {
                self.shorten(oldest, Self::SHORTENED);
                oldest += 1;
            }
        }

        /// Leaves only the last octets of the item with this index.
        fn shorten(&mut self, index: usize, to: usize) {
            let Self {
                items,
                pieces,
                data,
                dropped,
                ..
            } = self;
            let before = items.get(..index).unwrap_or_default();
            let start: usize = before.iter().map(|item| usize::from(item.len)).sum();
            let first_piece = pieces_of(before);
            let Some(item) = items.get_mut(index) else {
                return;
            };
            let mut less = usize::from(item.len).saturating_sub(to) as u16;
            if less == 0 && to > 0 {
                return;
            }
            *dropped += u64::from(!item.shortened);
            item.shortened = true;
            data.drain(start..start + usize::from(less));
            item.first += u32::from(less);
            item.len -= less;
            let own = pieces.iter_mut().skip(first_piece).take(item.pieces.into());
            for piece in own {
                let taken = piece.len.min(less);
                piece.len -= taken;
                less -= taken;
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
                self.data.truncate(self.data.len() - usize::from(item.len));
                self.pieces
                    .truncate(self.pieces.len() - usize::from(item.pieces));
            }
        }

        /// Drops all items but the last.
        fn keep_last(&mut self) {
            if let Some(item) = self.items.last().copied() {
                self.data.drain(..self.data.len() - usize::from(item.len));
                self.pieces
                    .drain(..self.pieces.len() - usize::from(item.pieces));
                self.items.drain(..self.items.len() - 1);
            }
        }

        fn clear(&mut self) {
            self.items.clear();
            self.pieces.clear();
            self.data.clear();
        }

        /// Drops the oldest item for good.
        fn drop_oldest(&mut self) {
            let Some(item) = self.items.first().copied() else {
                return;
            };
            self.dropped += u64::from(!item.shortened);
            self.items.remove(0);
            self.data.drain(..usize::from(item.len));
            self.pieces.drain(..usize::from(item.pieces));
        }
    }

    impl Item {
        /// Octets of its log.
        fn log_len(&self) -> usize {
            let first = FirstIndex::from_low_bits(self.first);
            2 + if self.first > 0 { first_len(first) } else { 0 } + usize::from(self.len)
        }
    }

    /// Pieces of these messages.
    fn pieces_of(items: &[Item]) -> usize {
        items.iter().map(|item| usize::from(item.pieces)).sum()
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
