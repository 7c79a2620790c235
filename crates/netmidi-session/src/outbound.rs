//! From messages to packets of one participant: queue, schedule, packing and journal.

use alloc::collections::{BinaryHeap, VecDeque};
use core::cmp::{Ordering, Reverse};
use core::time::Duration;

use netmidi_message::{BufferTooSmall, ChannelMessage, Message, MessageBuf, SysEx};
use netmidi_wire::{
    ClockTicks, PacketBudget, PacketWriter, Pushed, RtpHeader, RtpTimestamp, RunningStatus,
    SegmentKind, SeqNum, Ssrc, SysExSegment,
};

use crate::pacing::{Pacer, Pacing};
use crate::protection::{Protection, Urgency};
use crate::sounding::Sounding;
use crate::stats::ParticipantStats;
use crate::time::{Time, WireClock};

/// A journal leaves at least one octet in so many of the budget to the list.
const LIST_SHARE: usize = 4;
/// The most octets that a journal gets in a packet with commands.
pub(crate) const fn journal_room(budget: PacketBudget) -> usize {
    budget.get() - BEFORE_LIST - budget.get() / LIST_SHARE
}

/// A segment of a system exclusive message shorter than this waits for room in the journal.
const SHORTEST_SEGMENT: usize = 64;
/// Data octets for which it is not worth to cut a system exclusive message at the end of a packet.
const SHORTEST_CUT: usize = 16;
/// What a segment costs in the list beside its data, where it comes first: head and tail.
const FRAME: usize = 2;
/// The longest delta time.
const LONGEST_DELTA: usize = 4;
/// What stands before a list at most: the RTP header and that of the command section.
const BEFORE_LIST: usize = RtpHeader::LEN + 2;

/// What a queued message costs beyond its octets, against
/// [`Config::max_queued_octets`](crate::Config::max_queued_octets).
const OVERHEAD: usize = size_of::<Queued>();

/// A message and when it sounds, on our clock.
#[derive(Debug)]
struct Queued {
    at: Time,
    /// Among those of one time, which was sent first.
    order: u64,
    message: MessageBuf,
}

impl Queued {
    const fn key(&self) -> (Time, u64) {
        (self.at, self.order)
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Queued {}

/// What goes to one participant.
#[derive(Debug)]
pub(crate) struct Outbound {
    seq: SeqNum,
    clock: WireClock,
    /// Of the last command sent: a packet must not begin before it (RFC 6295 §3.3). All 64 bits of
    /// our clock: half of 32 are over in 60 hours, and a silence may last longer.
    latest: ClockTicks,
    /// What goes out as soon as it may, in the order of its times.
    queue: VecDeque<Queued>,
    /// What waits for its time, the earliest first; it is taken into the queue no sooner than it
    /// goes out, so that what is sent in the meantime can go before it.
    scheduled: BinaryHeap<Reverse<Queued>>,
    /// So long before its time a scheduled message goes out.
    ahead: Duration,
    /// How many messages there have been.
    count: u64,
    /// Data octets of the first message that are sent already.
    taken: usize,
    /// The rest of the first message is not sent, and the receiver is told so.
    cancelling: bool,
    /// Octets that wait, with their overhead.
    octets: usize,
    /// Octets that ever were to be sent, counted in the same way.
    accepted: u64,
    sounding: Sounding,
    pacer: Pacer,
    /// The limit holds the first message back.
    paced: Option<Paced>,
    counters: Counters,
    /// System exclusive data is held back until the journal has room for it, or this moment.
    stalled_until: Option<Time>,
    /// How often in a row that moment came first.
    given_up: u32,
    /// Packets that may take system exclusive data unprotected.
    unprotected: u32,
    /// Packets that ever went out, and those up to the last one that the peer has told to have.
    packets: u64,
    acknowledged: u64,
}

/// A wait for the bitrate limit.
#[derive(Clone, Copy, Debug)]
struct Paced {
    since: Time,
    until: Time,
}

/// What is counted where it happens.
#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    scheduled_dropped: u64,
    paced_dropped: u64,
    midi_octets: u64,
    waits: u64,
    waited: Duration,
}

/// What one packet carried.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Emitted {
    /// Octets of the packet.
    pub(crate) len: usize,
    /// Messages of which it carried the end.
    pub(crate) messages: u64,
    /// Octets of its journal; 0 without one.
    pub(crate) journal: usize,
    /// Whether the journal could not hold all that it should.
    pub(crate) overflow: bool,
    /// Whether it had nothing but the journal.
    pub(crate) guard: bool,
}

/// What all packets of a session have in common, and where they are put together.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) out: &'a mut [u8],
    /// For the journal, as long as the budget.
    pub(crate) journal: &'a mut [u8],
    pub(crate) budget: PacketBudget,
    pub(crate) running: RunningStatus,
    pub(crate) ssrc: Ssrc,
}

impl Outbound {
    /// `seq` is the number of the first packet, `clock` what timestamps show; scheduled messages go
    /// out `ahead` of their time.
    pub(crate) fn new(
        seq: SeqNum,
        clock: WireClock,
        ahead: Duration,
        pacing: Option<Pacing>,
    ) -> Self {
        Self {
            seq,
            clock,
            latest: ClockTicks(0),
            queue: VecDeque::new(),
            scheduled: BinaryHeap::new(),
            ahead,
            count: 0,
            taken: 0,
            cancelling: false,
            octets: 0,
            accepted: 0,
            sounding: Sounding::default(),
            pacer: Pacer::new(pacing),
            paced: None,
            counters: Counters::default(),
            stalled_until: None,
            given_up: 0,
            unprotected: 0,
            packets: 0,
            acknowledged: 0,
        }
    }

    /// The peer tells that this packet has arrived, and what came before as far as it ever will.
    pub(crate) fn acknowledge(&mut self, seq: SeqNum) {
        let behind = self.seq.distance_from(seq);
        // The packet before the next one is one behind; anything else was never sent.
        let after = u64::try_from(behind).ok().and_then(|it| it.checked_sub(1));
        if let Some(arrived) = after.and_then(|it| self.packets.checked_sub(it)) {
            self.acknowledged = self.acknowledged.max(arrived);
        }
    }

    /// Packets that ever went out, and those up to the last one that was acknowledged.
    pub(crate) const fn packets(&self) -> (u64, u64) {
        (self.packets, self.acknowledged)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.scheduled.is_empty()
    }

    /// Whether something can go out now.
    pub(crate) fn is_sendable(&self, now: Time) -> bool {
        (!self.queue.is_empty() || self.due().is_some_and(|due| due <= now))
            && self.stalled_until.is_none()
            && self.paced.is_none_or(|paced| paced.until <= now)
    }

    /// When something can go out next that cannot now.
    pub(crate) fn wakes_at(&self, now: Time) -> Option<Time> {
        let paced = self.paced.map(|paced| paced.until);
        // What is due already waits for its turn, not for its time.
        let [due, paced] = [self.due(), paced].map(|at| at.filter(|at| *at > now));
        [self.stalled_until, due, paced].into_iter().flatten().min()
    }

    /// When the next of the scheduled messages goes out.
    fn due(&self) -> Option<Time> {
        let Reverse(next) = self.scheduled.peek()?;
        Some(next.at - self.ahead)
    }

    /// There may be room for system exclusive data now.
    pub(crate) const fn resume(&mut self) {
        self.stalled_until = None;
        self.given_up = 0;
        self.unprotected = 0;
    }

    /// System exclusive data that has waited long enough goes out unprotected: one packet of it, and
    /// if still nobody has made room after that, two, then four. So a peer that acknowledges no more
    /// does not hold up for long what waits behind.
    pub(crate) fn give_up_waiting(&mut self, now: Time) {
        if self.stalled_until.is_some_and(|until| until <= now) {
            self.stalled_until = None;
            self.unprotected = 1 << self.given_up.min(31);
            self.given_up += 1;
        }
    }

    /// System exclusive data waits no more for the journal; and if the bitrate limit would not let all
    /// out before `end`, only what ends what sounds goes out, and the rest is dropped.
    pub(crate) fn hurry(&mut self, now: Time, end: Time) {
        self.stalled_until = None;
        self.unprotected = u32::MAX;
        let scheduled = self.scheduled.iter().map(|Reverse(queued)| queued);
        let messages = self.queue.iter().chain(scheduled);
        let octets: usize = messages
            .map(|it| it.message.as_message().encoded_len())
            .sum();
        self.pacer.refill(now);
        if self.pacer.ready_at(octets.saturating_sub(self.taken)) > end {
            self.cancelling = self.taken > 0;
            let begun = usize::from(self.cancelling);
            let scheduled = self.scheduled.drain().map(|Reverse(queued)| queued);
            self.queue.extend(scheduled);
            let mut sounding = self.sounding.clone();
            let (mut index, mut octets, mut dropped) = (0, 0, 0);
            self.queue.retain(|queued| {
                let message = queued.message.as_message();
                let keep = index < begun || sounding.end(&message);
                index += 1;
                if !keep {
                    octets += Self::cost(&message);
                    dropped += 1;
                }
                keep
            });
            self.octets -= octets;
            self.counters.paced_dropped += dropped;
            self.end_wait(now);
        }
    }

    /// The number of the next packet.
    pub(crate) const fn next_seq(&self) -> SeqNum {
        self.seq
    }

    /// Octets that wait, with their overhead.
    pub(crate) const fn queued_octets(&self) -> usize {
        self.octets
    }

    /// Octets that ever were to be sent, with their overhead.
    pub(crate) const fn accepted_octets(&self) -> u64 {
        self.accepted
    }

    /// What a message adds to [`queued_octets`](Self::queued_octets).
    pub(crate) fn cost(message: &Message<'_>) -> usize {
        message.encoded_len() + OVERHEAD
    }

    pub(crate) fn push(&mut self, now: Time, message: Message<'_>) {
        self.put_back(now);
        let queued = self.take_in(now, message);
        self.queue.push_back(queued);
    }

    /// The message goes out when its time comes, `ahead` of it.
    pub(crate) fn schedule(&mut self, at: Time, message: Message<'_>) {
        let queued = self.take_in(at, message);
        self.scheduled.push(Reverse(queued));
    }

    fn take_in(&mut self, at: Time, message: Message<'_>) -> Queued {
        let cost = Self::cost(&message);
        self.octets += cost;
        self.accepted += cost as u64;
        self.count += 1;
        Queued {
            at,
            order: self.count,
            message: message.to_buf(),
        }
    }

    /// Drops what is scheduled for later than `now`, and returns how many messages that were. What
    /// ends a note that sounds by then, or lets go its pedal, is sent now instead, the first for each.
    pub(crate) fn cancel_scheduled(&mut self, now: Time) -> usize {
        self.put_back(now);
        let mut later = core::mem::take(&mut self.scheduled).into_vec();
        later.sort_unstable_by_key(|Reverse(queued)| queued.key());
        let due = later.partition_point(|Reverse(queued)| queued.at <= now);
        // What goes out before, in the order in which it does.
        let mut sounding = self.sounding.clone();
        let mut queue = self.queue.iter().peekable();
        for Reverse(queued) in later.iter().take(due) {
            while let Some(before) = queue.next_if(|it| *it < queued) {
                sounding.observe(&before.message.as_message());
            }
            sounding.observe(&queued.message.as_message());
        }
        queue.for_each(|queued| sounding.observe(&queued.message.as_message()));
        let (mut index, mut octets, mut dropped) = (0, 0, 0);
        later.retain_mut(|Reverse(queued)| {
            index += 1;
            let message = queued.message.as_message();
            if index > due {
                if !sounding.end(&message) {
                    octets += Self::cost(&message);
                    dropped += 1;
                    return false;
                }
                queued.at = now;
                self.count += 1;
                queued.order = self.count;
            }
            true
        });
        self.octets -= octets;
        self.counters.scheduled_dropped += dropped as u64;
        self.scheduled = later.into();
        dropped
    }

    /// Takes the next scheduled message into the queue if it goes out now and before what is there.
    fn take_due(&mut self, now: Time) {
        if self.taken > 0 || self.due().is_none_or(|due| due > now) {
            return;
        }
        let is_next = match (self.scheduled.peek(), self.queue.front()) {
            (Some(Reverse(next)), Some(first)) => next < first,
            _ => true,
        };
        if is_next && let Some(Reverse(next)) = self.scheduled.pop() {
            self.queue.push_front(next);
        }
    }

    /// One that was taken into the queue ahead of its time and has not gone out waits again.
    fn put_back(&mut self, now: Time) {
        let is_ahead = self.queue.front().is_some_and(|first| first.at > now);
        if is_ahead
            && self.taken == 0
            && let Some(first) = self.queue.pop_front()
        {
            self.scheduled.push(Reverse(first));
            // It was what waited.
            self.stalled_until = None;
            self.end_wait(now);
        }
    }

    /// The peer asked for no more MIDI than this; 0 is no limit.
    pub(crate) fn set_bitrate_limit(&mut self, now: Time, bits_per_second: u32) {
        if self.pacer.ask(now, bits_per_second) {
            self.end_wait(now);
        }
    }

    pub(crate) fn set_pacing(&mut self, now: Time, pacing: Option<Pacing>) {
        if self.pacer.set_pacing(now, pacing) {
            self.end_wait(now);
        }
    }

    /// The bitrate limit in force.
    pub(crate) const fn bitrate_limit(&self) -> Option<u32> {
        self.pacer.limit()
    }

    /// How long packets may get.
    pub(crate) fn packet_budget(&self, most: PacketBudget) -> PacketBudget {
        most.min(self.pacer.packet())
    }

    /// Adds what is counted here.
    pub(crate) const fn count(&self, stats: &mut ParticipantStats) {
        let Counters {
            scheduled_dropped,
            paced_dropped,
            midi_octets,
            waits,
            waited,
        } = self.counters;
        stats.scheduled_dropped = scheduled_dropped;
        stats.paced_dropped = paced_dropped;
        stats.midi_octets_sent = midi_octets;
        stats.pacing_waits = waits;
        stats.pacing_waited = waited;
        stats.bitrate_limit = self.pacer.limit();
    }

    /// The limit holds the first message back no more, or for another time.
    fn end_wait(&mut self, now: Time) {
        if let Some(paced) = self.paced.take() {
            self.counters.waited += now.since(paced.since);
        }
    }

    /// The limit does not let the first message go: waits until it does, and lets some of those that
    /// follow go as well.
    fn wait(&mut self, now: Time) {
        let chunk = self.pacer.chunk();
        let mut taken = self.taken;
        let mut octets = 0;
        let mut least = 0;
        for queued in &self.queue {
            let message = queued.message.as_message();
            if octets == 0 {
                least = self.least(&message);
            }
            octets += octets_left(&message, taken);
            taken = 0;
            if octets >= chunk {
                break;
            }
        }
        if self.paced.is_none() {
            self.counters.waits += 1;
        }
        self.paced = Some(Paced {
            since: self.paced.map_or(now, |paced| paced.since),
            until: self.pacer.ready_at(least.max(octets.min(chunk))),
        });
    }

    /// How many octets the limit must allow for the first message, or a part of it, to go.
    fn least(&self, first: &Message<'_>) -> usize {
        let most = match first {
            Message::SysEx(_) => self.pacer.chunk(),
            _ => self.pacer.burst(),
        };
        octets_left(first, self.taken).min(most)
    }

    fn is_allowed(&self, first: &Message<'_>) -> bool {
        self.pacer
            .allowance()
            .is_none_or(|allowance| allowance >= self.least(first))
    }

    /// Adds as much of the first message, a system exclusive one, as packet and limit allow.
    fn push_sysex(
        &self,
        writer: &mut PacketWriter<'_>,
        at: RtpTimestamp,
        sysex: SysEx<'_>,
    ) -> Pushed {
        let message = sysex.into();
        let allowance = self.pacer.allowance().unwrap_or(usize::MAX);
        if octets_left(&message, self.taken) <= allowance {
            return writer.push(at, message, self.taken);
        }
        let left = sysex.data().get(self.taken..).unwrap_or_default();
        let (kind, head) = match self.taken {
            0 => (SegmentKind::First, 1),
            _ => (SegmentKind::Middle, 0),
        };
        let room = writer.room().saturating_sub(FRAME + LONGEST_DELTA);
        let take = room
            .min(allowance.saturating_sub(head))
            .min(left.len().saturating_sub(1));
        if take < SHORTEST_CUT && !writer.is_empty() {
            return Pushed::Full;
        }
        let segment = left
            .get(..take)
            .and_then(|data| SysExSegment::new(kind, data));
        match segment.map(|segment| writer.push_segment(at, segment)) {
            Some(Pushed::Whole) => Pushed::Part {
                taken: self.taken + take,
            },
            _ => Pushed::Full,
        }
    }

    /// Writes the next packet: as many of the waiting messages as the budget holds beside the
    /// journal of what went before.
    ///
    /// `None` when nothing can go out: system exclusive data may be held back until the journal has
    /// room for it.
    pub(crate) fn emit(
        &mut self,
        now: Time,
        draft: &mut Draft<'_>,
        protection: &mut Protection,
    ) -> Result<Option<Emitted>, BufferTooSmall> {
        self.take_due(now);
        let Some(first) = self.queue.front() else {
            return Ok(None);
        };
        let start = self.clock.ticks(first.at).max(self.latest);
        let first = first.message.as_message();
        self.pacer.refill(now);
        if !self.cancelling && !self.is_allowed(&first) {
            self.wait(now);
            return Ok(None);
        }
        let cap = match self.segment_cap(&first, protection) {
            Some(0) if self.unprotected > 0 => {
                self.unprotected -= 1;
                None
            }
            Some(0) => {
                self.stalled_until = protection.stall().map(|wait| now + wait);
                if self.stalled_until.is_some() {
                    return Ok(None);
                }
                None
            }
            cap => cap,
        };
        // An undefined message cannot be cut: a journal must leave room for it.
        let list = match first {
            Message::Undefined(message) => message.encoded_len() + FRAME + LONGEST_DELTA,
            _ => 0,
        };
        let packet = self.packet_budget(draft.budget);
        let budget = packet.get();
        let room = budget.saturating_sub(BEFORE_LIST + list.max(budget / LIST_SHARE));
        let journal = draft.journal.get_mut(..room).unwrap_or_default();
        let written = protection.write(start.to_rtp(), journal);
        let len = written.map_or(0, |it| it.len);
        let journal = draft.journal.get(..len).unwrap_or_default();

        let header = RtpHeader::midi(self.seq, start.to_rtp(), draft.ssrc);
        let mut writer =
            PacketWriter::new(draft.out, packet, &header)?.with_running_status(draft.running);
        let spare = cap.map_or(0, |cap| {
            (budget - BEFORE_LIST - len).saturating_sub(cap + FRAME)
        });
        writer.reserve(len + spare)?;
        let empty = writer.room();
        let mut messages = 0;
        let mut urgency = Urgency::Ordinary;
        let mut waits = false;
        loop {
            self.take_due(now);
            let Some(queued) = self.queue.front() else {
                break;
            };
            let at = self.clock.ticks(queued.at).max(self.latest);
            let message = queued.message.as_message();
            if self.cancelling {
                if !cancel(&mut writer, at.to_rtp()) {
                    break;
                }
                self.latest = at;
                self.cancelling = false;
                if let Some(recorder) = protection.recorder() {
                    recorder.cancel_sysex();
                }
                self.pacer.spend(1);
                self.counters.midi_octets += 1;
                self.counters.paced_dropped += 1;
                self.drop_first();
                continue;
            }
            if !self.is_allowed(&message) {
                waits = true;
                break;
            }
            if !writer.is_empty() && self.segment_cap(&message, protection).is_some() {
                // It begins a packet of its own, of which the length is known.
                break;
            }
            if !writer.is_empty() && self.is_better_whole(&message, writer.room(), empty) {
                break;
            }
            let pushed = match message {
                Message::SysEx(sysex) => self.push_sysex(&mut writer, at.to_rtp(), sysex),
                _ => writer.push(at.to_rtp(), message, 0),
            };
            match pushed {
                Pushed::Whole => {
                    self.latest = at;
                    messages += 1;
                    let octets = octets_left(&message, self.taken);
                    self.pacer.spend(octets);
                    self.counters.midi_octets += octets as u64;
                    self.sounding.observe(&message);
                    if let Some(recorder) = protection.recorder() {
                        match message {
                            Message::SysEx(sysex) if self.taken > 0 => {
                                let data = sysex.data();
                                let sent = self.taken..data.len();
                                recorder.record_sysex(at.to_rtp(), data, sent, true);
                            }
                            _ => recorder.record(at.to_rtp(), message),
                        }
                    }
                    if is_urgent(&message) {
                        urgency = Urgency::Urgent;
                    }
                    self.drop_first();
                }
                Pushed::Part { taken } => {
                    self.latest = at;
                    let octets = taken - self.taken + usize::from(self.taken == 0);
                    self.pacer.spend(octets);
                    self.counters.midi_octets += octets as u64;
                    if let (Some(recorder), Message::SysEx(sysex)) =
                        (protection.recorder(), message)
                    {
                        recorder.record_sysex(at.to_rtp(), sysex.data(), self.taken..taken, false);
                    }
                    urgency = Urgency::Urgent;
                    self.taken = taken;
                    break;
                }
                Pushed::Full => break,
                // It gets a packet of its own, with a shorter journal or none.
                Pushed::TooLong if !writer.is_empty() => break,
                // Refused when it was sent; here only so that nothing can block the queue.
                Pushed::TooLong => self.drop_first(),
            }
        }
        if writer.is_empty() {
            return Ok(None);
        }
        self.end_wait(now);
        if waits {
            self.wait(now);
        }
        let emitted = Emitted {
            len: writer.finish_with_journal(|to| copy(journal, to)),
            messages,
            journal: len,
            overflow: protection.is_on() && written.is_none_or(|it| !it.complete),
            guard: false,
        };
        protection.sent(now, self.seq, Some(urgency));
        self.seq = self.seq.next();
        self.packets += 1;
        Ok(Some(emitted))
    }

    /// Writes a packet that carries nothing but a journal; `None` when there is none to carry.
    pub(crate) fn emit_guard(
        &mut self,
        now: Time,
        draft: &mut Draft<'_>,
        protection: &mut Protection,
    ) -> Result<Option<Emitted>, BufferTooSmall> {
        let start = self.clock.ticks(now).max(self.latest);
        let packet = self.packet_budget(draft.budget);
        let room = packet.get() - BEFORE_LIST;
        let journal = draft.journal.get_mut(..room).unwrap_or_default();
        let Some(written) = protection.write(start.to_rtp(), journal) else {
            protection.guarded(now);
            return Ok(None);
        };
        let header = RtpHeader::midi(self.seq, start.to_rtp(), draft.ssrc);
        let writer = PacketWriter::new(draft.out, packet, &header)?;
        let journal = draft.journal.get(..written.len).unwrap_or_default();
        let emitted = Emitted {
            len: writer.finish_with_journal(|to| copy(journal, to)),
            messages: 0,
            journal: written.len,
            overflow: !written.complete,
            guard: true,
        };
        self.latest = start;
        protection.sent(now, self.seq, None);
        self.seq = self.seq.next();
        self.packets += 1;
        Ok(Some(emitted))
    }

    /// How many data octets of a system exclusive message the next packet may carry so that the
    /// journal can protect them; 0 to wait, `None` for as many as fit.
    fn segment_cap(&self, message: &Message<'_>, protection: &mut Protection) -> Option<usize> {
        let Message::SysEx(sysex) = message else {
            return None;
        };
        protection.stall()?;
        let left = sysex.data().len().saturating_sub(self.taken);
        let room = protection.recorder()?.sysex_room();
        match room {
            _ if left <= room => None,
            0..SHORTEST_SEGMENT => Some(0),
            _ => Some(room),
        }
    }

    /// Whether a message does not fit into the room that is left, and does into that of an empty packet
    /// beside as long a journal. There are peers that play nonsense for each piece of a message.
    const fn is_better_whole(&self, message: &Message<'_>, left: usize, empty: usize) -> bool {
        match message {
            Message::SysEx(sysex) if self.taken == 0 => {
                let whole = sysex.data().len() + FRAME;
                whole + LONGEST_DELTA > left && whole <= empty
            }
            _ => false,
        }
    }

    fn drop_first(&mut self) {
        self.taken = 0;
        if let Some(queued) = self.queue.pop_front() {
            self.octets -= Self::cost(&queued.message.as_message());
        }
    }
}

/// Octets of MIDI that a message is on a DIN plug, without the data of which `taken` octets went out.
fn octets_left(message: &Message<'_>, taken: usize) -> usize {
    match message {
        Message::SysEx(_) if taken > 0 => (message.encoded_len() - 1).saturating_sub(taken),
        _ => message.encoded_len(),
    }
}

/// Tells the receiver that the rest of a system exclusive message will not come.
fn cancel(writer: &mut PacketWriter<'_>, at: RtpTimestamp) -> bool {
    SysExSegment::new(SegmentKind::Cancel, &[])
        .is_some_and(|segment| writer.push_segment(at, segment) == Pushed::Whole)
}

/// Whether a message should be guarded at once: a lost note is worth playing only for a short time.
fn is_urgent(message: &Message<'_>) -> bool {
    match message {
        Message::Channel(message @ ChannelMessage::NoteOn { .. }) => !message.is_note_off(),
        Message::SysEx(_) => true,
        _ => false,
    }
}

fn copy(journal: &[u8], to: &mut [u8]) -> usize {
    match to.get_mut(..journal.len()) {
        Some(to) => {
            to.copy_from_slice(journal);
            journal.len()
        }
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use netmidi_message::{Channel, ChannelMessage, Note, SysEx, U7};
    use netmidi_wire::{Command, RtpPacket};

    use super::*;
    use crate::config::{Config, JournalPolicy};

    fn emit(outbound: &mut Outbound) -> Option<Vec<u8>> {
        let config = Config::new("x");
        let mut off = Protection::new(outbound.next_seq(), JournalPolicy::Off, &config);
        let mut out = vec![0; 1024];
        let mut draft = Draft {
            out: &mut out,
            journal: &mut [0; 1024],
            budget: PacketBudget::DEFAULT,
            running: RunningStatus::Off,
            ssrc: Ssrc(7),
        };
        let emitted = outbound.emit(Time::ZERO, &mut draft, &mut off).unwrap()?;
        out.truncate(emitted.len);
        Some(out)
    }

    #[test]
    fn messages_sent_before_a_poll_share_a_packet() {
        let clock = WireClock::new(ClockTicks(0));
        let mut outbound = Outbound::new(SeqNum(65535), clock, Duration::ZERO, None);
        let note = ChannelMessage::note_on(Channel::C1, Note::MIDDLE_C, U7::MAX);
        outbound.push(Time::from_millis(1), note.into());
        outbound.push(Time::from_millis(3), note.into());
        let packet = emit(&mut outbound).unwrap();
        assert_eq!(packet[2..4], [0xFF, 0xFF], "sequence number");
        assert_eq!(packet[12..], [7, 0x90, 60, 127, 20, 0x90, 60, 127]);
        assert!(outbound.is_empty());
        assert_eq!(outbound.queued_octets(), 0);
        assert_eq!(emit(&mut outbound), None);
        outbound.push(Time::ZERO, note.into());
        let next = emit(&mut outbound).unwrap();
        assert_eq!(next[2..4], [0, 0], "the sequence wraps");
        assert_eq!(next[4..8], [0, 0, 0, 30], "time does not run backwards");
    }

    #[test]
    fn a_sysex_that_fits_into_a_packet_is_not_cut() {
        let clock = WireClock::new(ClockTicks(0));
        let mut outbound = Outbound::new(SeqNum(0), clock, Duration::ZERO, None);
        let data: Vec<u8> = (0..1008u16).map(|n| (n % 128) as u8).collect();
        let mut sent = Vec::new();
        for len in (0..40).map(|n| n * 37 % 300).chain([1008, 1, 1007, 1006]) {
            sent.push(Message::from(SysEx::new(&data[..len]).unwrap()));
            outbound.push(Time::ZERO, sent[sent.len() - 1]);
        }
        let mut got = Vec::new();
        while let Some(packet) = emit(&mut outbound) {
            let section = RtpPacket::parse(&packet)
                .unwrap()
                .command_section()
                .unwrap();
            for command in section.commands() {
                match command.command {
                    Some(Command::SysEx(segment)) => {
                        assert_eq!(segment.kind(), SegmentKind::Whole);
                        got.push(segment.data().to_vec());
                    }
                    Some(Command::Message(Message::SysEx(sysex))) => {
                        got.push(sysex.data().to_vec())
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        let sent = sent.iter().map(|it| match it {
            Message::SysEx(sysex) => sysex.data().to_vec(),
            _ => Vec::new(),
        });
        assert!(sent.eq(got));
    }

    #[test]
    fn a_large_sysex_is_spread_over_packets() {
        let data: Vec<u8> = (0..5000u16).map(|n| (n % 128) as u8).collect();
        let clock = WireClock::new(ClockTicks(0));
        let mut outbound = Outbound::new(SeqNum(0), clock, Duration::ZERO, None);
        outbound.push(Time::ZERO, SysEx::new(&data).unwrap().into());
        let mut joined = Vec::new();
        let mut packets = 0;
        while let Some(packet) = emit(&mut outbound) {
            packets += 1;
            let section = RtpPacket::parse(&packet)
                .unwrap()
                .command_section()
                .unwrap();
            for command in section.commands() {
                match command.command {
                    Some(Command::SysEx(segment)) => joined.extend_from_slice(segment.data()),
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!(packets, 5);
        assert_eq!(joined, data);
    }
}
