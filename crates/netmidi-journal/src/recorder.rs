//! The sender's side: what was sent, and the journal that protects it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;

use netmidi_message::{Channel, Message, RealTime};
use netmidi_wire::{RtpTimestamp, SeqNum};

use crate::channel::ChannelJournal;
use crate::channel::sent as channel;
use crate::recent::{Packet, View, rebased};
use crate::system::SystemJournal;
use crate::system::sent as system;
use crate::writer::JournalWriter;

type Histories = [Option<Box<channel::History>>; 16];

/// How a [`Recorder`] works.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RecorderConfig {
    /// Write enhanced chapters C, which list several commands of one controller (H, RFC 6295
    /// §A.3.3), the last 64 of each channel. Default off: few receivers know them.
    pub enhanced: bool,
    /// How long a lost note-on is worth playing late, in ticks of 100 µs: so long its log has Y=1.
    /// Default 500, which is 50 ms.
    pub play_window: u32,
    /// Data octets of system exclusive messages that are kept until they are acknowledged, 640 at
    /// most, which is the default. Journals that are shorter than 1,000 octets should have room for
    /// them and for something else.
    pub sysex_octets: usize,
}

impl Default for RecorderConfig {
    fn default() -> Self {
        Self {
            enhanced: false,
            play_window: 500,
            sysex_octets: system::SYSEX_ROOM,
        }
    }
}

/// Which form of journal a receiver can take.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Form {
    /// All that the history needs.
    Full,
    /// What every known receiver takes: S=0 at the top, no system journal, at most one channel
    /// journal of at most 255 octets.
    Gentle,
}

/// What [`Recorder::write`] wrote.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Written {
    /// Octets of the journal.
    pub len: usize,
    /// Whether all of the history is in it. If not, what was left out stays in the history until a
    /// later journal has brought it.
    pub complete: bool,
}

/// What was sent to one receiver and has not been acknowledged.
///
/// For each packet: [`write`](Self::write) the journal, [`record`](Self::record) what the command
/// section holds, then [`end_packet`](Self::end_packet). Reports of the receiver, which may come at
/// any time, go to [`acknowledge`](Self::acknowledge).
///
/// It takes memory for what is unacknowledged and for what later logs build on, and keeps what it has
/// taken, so that none is taken per packet; [`shrink`](Self::shrink) gives back what is not needed.
/// Beside its own 352 octets at most that is nothing before the first message, up to 400 octets for a
/// channel with a few notes, about 1.5 kB for one with 30 notes and their pressure, ten controllers
/// and two parameters, and never more than 160 kB, when all notes, controllers and 128 parameters of
/// all channels are unacknowledged (64-bit machines). What `write` and `acknowledge` cost in time
/// depends on how much is unacknowledged.
///
/// ```
/// use netmidi_journal::{Form, Recorder, RecorderConfig};
/// use netmidi_message::{Channel, ChannelMessage, Note, U7};
/// use netmidi_wire::{RtpTimestamp, SeqNum};
///
/// let mut recorder = Recorder::new(RecorderConfig::default(), SeqNum(1));
/// let now = RtpTimestamp(1_000);
/// let mut out = [0; 64];
///
/// // Packet 1.
/// recorder.write(now, Form::Full, &mut out).ok_or("room for a header")?;
/// let velocity = U7::new(100).ok_or("too large")?;
/// recorder.record(now, ChannelMessage::note_on(Channel::C1, Note::MIDDLE_C, velocity).into());
/// recorder.end_packet();
///
/// // Packet 2.
/// let written = recorder.write(now, Form::Full, &mut out).ok_or("room for a header")?;
/// assert_eq!(out[..written.len], [0x20, 0, 1, 0, 7, 8, 0x81, 0xF0, 60, 0xE4]);
/// recorder.end_packet();
///
/// assert!(recorder.acknowledge(SeqNum(2)) && recorder.is_settled());
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug)]
pub struct Recorder {
    config: RecorderConfig,
    /// The packet that is put together.
    next: Packet,
    /// The last packet that the receiver is known to hold; before its first report the one before
    /// the stream.
    acknowledged: Packet,
    /// Whether there was a report.
    reported: bool,
    channels: Histories,
    /// The channels with anything unacknowledged, as bits.
    pending: u16,
    system: Option<Box<system::History>>,
    /// Whether the packet that is put together has a journal.
    written: bool,
    /// Where the oldest items go on when nobody says which ones have arrived.
    rotation: usize,
    overflows: u64,
    buffers: channel::Buffers,
    candidates: Vec<Candidate>,
    /// Whether all that there are are there.
    all_candidates: bool,
}

impl Recorder {
    /// Octets of the journals in the [gentle form](Form::Gentle) at most: the header and one
    /// channel journal.
    pub const MAX_GENTLE_LEN: usize = JournalWriter::HEADER_LEN + 255;
    /// How many packets back a journal can reach: further ones cannot be told from those to come.
    const MAX_DISTANCE: Packet = 16_384;
    /// A receiver that has reported nothing for so many packets is taken for one that reports no
    /// more.
    const REPORT_DISTANCE: Packet = 512;
    /// The number of the first packets: far enough from 0 for all that is subtracted. The lower half
    /// is that of the packet.
    const START: Packet = 0x1_0000;
    /// From here on packets are numbered from [`START`](Self::START) on again.
    const END: Packet = 0xFFFF_0000;
    /// Things to be left out or not that are looked at together: so many at most when not all are.
    const MAX_CANDIDATES: usize = 256;

    /// Nothing was sent yet; `first` is the number of the next packet.
    #[must_use]
    pub fn new(config: RecorderConfig, first: SeqNum) -> Self {
        let next = Self::START + Packet::from(first.0);
        Self {
            config,
            next,
            acknowledged: next - 1,
            reported: false,
            channels: [const { None }; 16],
            pending: 0,
            system: None,
            written: false,
            rotation: 0,
            overflows: 0,
            buffers: channel::Buffers::default(),
            candidates: Vec::new(),
            all_candidates: false,
        }
    }

    /// Writes the journal of the next packet, which begins at `now`, into `out`.
    ///
    /// `None` when the form cannot hold it: then the packet goes out without a journal, and what
    /// the journal would have held stays in the history until the receiver reports that packet: one
    /// that gets no journal makes itself safe after a loss, and there is no later journal to wait
    /// for. Never `None` for [`Form::Full`] if `out`
    /// has room for a header.
    ///
    /// What does not fit is left for later journals, and what keeps notes from hanging comes first:
    /// note-offs, pedals, mode messages, resets.
    pub fn write(&mut self, now: RtpTimestamp, form: Form, out: &mut [u8]) -> Option<Written> {
        self.written = true;
        let view = View {
            previous: self.next - 1,
            now,
            play_window: self.config.play_window,
        };
        self.drop_old_notes();
        let written = match form {
            Form::Full => self.write_full(&view, out),
            Form::Gentle => self.write_gentle(&view, out),
        };
        if written.is_none() && form == Form::Full {
            self.omit_all();
        }
        if written.is_none_or(|written| !written.complete) {
            self.overflows += 1;
        }
        written
    }

    /// A message goes out with the next packet, whole; `at` is its moment. System exclusive ones of
    /// which a part went out before are for [`record_sysex`](Self::record_sysex).
    pub fn record(&mut self, at: RtpTimestamp, message: Message<'_>) {
        match message {
            Message::Channel(message) => {
                let index = message.channel().index();
                let enhanced = self.config.enhanced;
                if let Some(slot) = self.channels.get_mut(usize::from(index)) {
                    slot.get_or_insert_with(|| Box::new(channel::History::new(enhanced)))
                        .record(at, message, self.next);
                    self.pending |= 1 << index;
                }
            }
            Message::SysEx(message) => {
                let data = message.data();
                self.record_sysex(at, data, 0..data.len(), true);
            }
            Message::RealTime(RealTime::Reset) => {
                self.system().reset();
                self.reset_channels();
                self.record_system(message);
            }
            Message::Common(_) | Message::RealTime(_) | Message::Undefined(_) => {
                self.record_system(message);
            }
        }
    }

    /// The octets `sent` of `data`, all data octets of one system exclusive message, go out with
    /// the next packet; with the last of them if `finished`.
    ///
    /// A part that begins with octet 0 begins a message, and gives up one that is not finished.
    pub fn record_sysex(
        &mut self,
        _at: RtpTimestamp,
        data: &[u8],
        sent: Range<usize>,
        finished: bool,
    ) {
        let start = sent.start;
        let octets = data.get(sent).unwrap_or_default();
        let next = self.next;
        if self
            .system()
            .record_sysex(data, start, octets, finished, next)
        {
            self.reset_channels();
        }
    }

    /// The system exclusive message of which a part went out is given up with the next packet (F7
    /// F4, RFC 6295 §3.2).
    pub fn cancel_sysex(&mut self) {
        let next = self.next;
        self.system().cancel_sysex(next);
    }

    /// The next packet has gone out with what was recorded.
    ///
    /// If no journal was written for it, what one would have held stays in the history.
    pub fn end_packet(&mut self) {
        if !self.written {
            self.omit_all();
        }
        self.written = false;
        self.next += 1;
        if self.next >= Self::END {
            self.rebase();
        }
    }

    /// Gives back the memory that it does not need now.
    ///
    /// It takes none per packet because it keeps what it has had. So this is for a stream that
    /// rests: when [all is settled](Self::is_settled) and nothing has been sent for a while.
    pub fn shrink(&mut self) {
        for slot in &mut self.channels {
            slot.take_if(|history| history.shrink());
        }
        if let Some(system) = &mut self.system {
            system.shrink();
        }
        self.buffers = channel::Buffers::default();
        self.candidates = Vec::new();
        self.all_candidates = false;
    }

    /// Lower numbers for all packets.
    fn rebase(&mut self) {
        let by = Self::END - Self::START;
        self.next -= by;
        self.acknowledged = rebased(self.acknowledged, by);
        for history in self.channels.iter_mut().flatten() {
            history.rebase(by);
        }
        if let Some(system) = &mut self.system {
            system.rebase(by);
        }
    }

    /// The receiver holds everything up to this packet. Returns whether that is news.
    ///
    /// What is not news is ignored: a packet that was not sent yet, or one not above the last
    /// report.
    pub fn acknowledge(&mut self, seq: SeqNum) -> bool {
        let last = self.next - 1;
        let back = -i64::from(seq.distance_from(low_bits(last)));
        let back = Packet::try_from(back).ok();
        let Some(report) = back.and_then(|it| last.checked_sub(it)) else {
            return false;
        };
        if report <= self.acknowledged {
            return false;
        }
        self.acknowledged = report;
        self.reported = true;
        for (index, history) in pending(&mut self.channels, self.pending) {
            history.acknowledge(report);
            if !history.is_pending() {
                self.pending &= !(1 << index);
            }
        }
        if let Some(system) = &mut self.system {
            system.acknowledge(report);
        }
        true
    }

    /// Whether everything that went out was acknowledged, as far as a journal can tell it.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.pending == 0 && self.system.as_ref().is_none_or(|it| !it.is_pending())
    }

    /// How many more data octets of system exclusive messages the history can protect, 640 at most.
    ///
    /// With more than that the oldest messages are dropped.
    #[must_use]
    pub fn sysex_room(&self) -> usize {
        self.system
            .as_ref()
            .map_or(self.config.sysex_octets.min(system::SYSEX_ROOM), |it| {
                it.sysex_room()
            })
    }

    /// How many journals did not hold all of the history.
    #[must_use]
    pub const fn overflows(&self) -> u64 {
        self.overflows
    }

    /// How many system exclusive messages went out that could not be protected until they were
    /// acknowledged, because there were [too many](Self::sysex_room).
    #[must_use]
    pub fn sysex_dropped(&self) -> u64 {
        self.system.as_ref().map_or(0, |it| it.sysex_dropped())
    }

    /// Whether the receiver reports what arrives, and has not stopped.
    const fn is_reporting(&self) -> bool {
        self.reported && self.next - self.acknowledged <= Self::REPORT_DISTANCE
    }

    fn system(&mut self) -> &mut system::History {
        let sysex_octets = self.config.sysex_octets;
        self.system
            .get_or_insert_with(|| Box::new(system::History::new(sysex_octets)))
    }

    fn record_system(&mut self, message: Message<'_>) {
        let next = self.next;
        self.system().record(message, next);
    }

    fn reset_channels(&mut self) {
        self.channels.iter_mut().flatten().for_each(|it| it.reset());
        self.pending = 0;
    }

    /// The oldest packet that the journal covers: that of its oldest item, or if there is none the
    /// one behind the last report.
    fn checkpoint(&self) -> Packet {
        let channels = (0..).zip(&self.channels);
        let pending = channels.filter(|(index, _)| self.pending & 1 << index != 0);
        let oldest = pending.filter_map(|(_, it)| it.as_ref()?.oldest());
        let system = self.system.as_ref().and_then(|it| it.oldest());
        let oldest = oldest.chain(system).min().unwrap_or(Packet::MAX);
        oldest
            .min(self.acknowledged + 1)
            .max(self.next.saturating_sub(Self::MAX_DISTANCE))
    }

    /// The notes that the checkpoint would stand behind leave the history: receivers would take
    /// them as new.
    fn drop_old_notes(&mut self) {
        let bound = self.next.saturating_sub(Self::MAX_DISTANCE);
        for (index, history) in pending(&mut self.channels, self.pending) {
            history.drop_notes_before(bound);
            if !history.is_pending() {
                self.pending &= !(1 << index);
            }
        }
    }

    fn write_full(&mut self, view: &View, out: &mut [u8]) -> Option<Written> {
        if let Some(len) = self.compose(view, Form::Full, &Selection::ALL, out) {
            let complete = true;
            return Some(Written { len, complete });
        }
        if let Some(system) = &mut self.system {
            system.shorten_sysex(out.len() / 2);
        }
        let selection = self.select(view, out.len())?;
        let len = self.compose(view, Form::Full, &selection, out)?;
        let complete = !self.omit_except(&selection);
        Some(Written { len, complete })
    }

    fn write_gentle(&mut self, view: &View, out: &mut [u8]) -> Option<Written> {
        let needs_system = self.system.as_ref().is_some_and(|it| it.is_needed());
        if needs_system || self.pending.count_ones() > 1 {
            return None;
        }
        let room = out.len().min(Self::MAX_GENTLE_LEN);
        let out = out.get_mut(..room)?;
        let open = pending(&mut self.channels, self.pending)
            .map(|(_, history)| history.open_parameter())
            .fold(0, |all, one| all | one);
        // What is least missed goes first.
        let mut picks = channel::Picks::ALL;
        let reductions: [fn(&mut channel::Picks, u128); 5] = [
            |_, _| {},
            |picks, _| picks.releases = 0,
            |picks, _| picks.poly_pressure = 0,
            |picks, _| picks.counts = 0,
            |picks, open| picks.parameters = open,
        ];
        for reduce in reductions {
            reduce(&mut picks, open);
            let selection = Selection {
                channels: [picks; 16],
                // Active sense is never repaired.
                system: system::Picks::ALL,
            };
            if let Some(len) = self.compose(view, Form::Gentle, &selection, out) {
                let complete = !self.omit_except(&selection);
                return Some(Written { len, complete });
            }
        }
        None
    }

    /// Writes what is selected; `None` if it does not fit.
    fn compose(
        &mut self,
        view: &View,
        form: Form,
        selection: &Selection,
        out: &mut [u8],
    ) -> Option<usize> {
        let checkpoint = low_bits(self.checkpoint());
        let mut writer = JournalWriter::new(out, checkpoint).ok()?;
        if self.config.enhanced {
            writer = writer.with_enhanced();
        }
        if form == Form::Gentle {
            writer = writer.without_s();
        } else if let Some(system) = &self.system {
            system.write(view, &selection.system, &mut writer).ok()?;
        }
        let channels = Channel::all().zip(&selection.channels).zip(&self.channels);
        for ((channel, picks), history) in channels {
            if self.pending & 1 << channel.index() == 0 {
                continue;
            }
            if let Some(history) = history
                && let Some(journal) = history
                    .journal(channel, view, picks, &mut self.buffers)
                    .ok()?
            {
                writer.channel(&journal).ok()?;
            }
        }
        Some(writer.finish())
    }

    /// What of it all goes into a journal of `room` octets; `None` if not even a header does.
    fn select(&mut self, view: &View, room: usize) -> Option<Selection> {
        let mut room = Room {
            left: room.checked_sub(JournalWriter::HEADER_LEN)?,
            used: [0; 17],
            chapters: [0; 16],
            selection: Selection::NONE,
        };
        let usual = Rank::Usual.first()..Rank::Low.first();
        let low = Rank::Low.first()..Rank::Nothing.first();
        let (mut seen, mut usual_len) = (0, 0);
        self.find_candidates(
            view,
            &(Rank::Safety.first()..low.end),
            Side::Lowest,
            |it, _| {
                seen += 1;
                usual_len += usize::from(usual.contains(&it));
                true
            },
        );
        self.all_candidates = self.candidates.len() == seen;

        for rank in [Rank::Safety, Rank::Notes, Rank::Short] {
            self.take_lowest(view, rank.first()..rank.next_first(), &mut room);
        }
        // The newest first: they are what the receiver has most likely just lost.
        let half = room.left / 2;
        let mut newest = usual.clone();
        while room.left > half {
            let wanted = |it, histories: &Histories| room.cost(it, histories).is_some();
            let found = self.candidates_of(view, &newest, Side::Highest, wanted);
            let found = self.candidates.get(found).unwrap_or_default();
            let Some(lowest) = found.first() else { break };
            newest.end = *lowest;
            for candidate in found.iter().rev() {
                if room.left > half {
                    room.take(*candidate, &self.channels);
                }
            }
        }
        // Then the oldest: they stay in all journals until they have arrived, and make room for the
        // next ones. If nobody says what has arrived, all have their turn.
        if self.is_reporting() {
            self.take_lowest(view, usual, &mut room);
            self.rotation = usual_len.max(1);
        } else {
            self.take_turns(view, usual, usual_len, &mut room);
        }
        self.take_lowest(view, low, &mut room);
        Some(room.selection)
    }

    /// Takes what there is room for of this range, the lowest first.
    fn take_lowest(&mut self, view: &View, mut range: Range<Candidate>, room: &mut Room) {
        loop {
            // What there is no room for now there will be none for later.
            let wanted = |it, histories: &Histories| {
                !room.has(it, histories) && room.cost(it, histories).is_some()
            };
            let found = self.candidates_of(view, &range, Side::Lowest, wanted);
            let found = self.candidates.get(found).unwrap_or_default();
            let Some(highest) = found.last() else { return };
            range.start = highest.next();
            for candidate in found {
                if !room.has(*candidate, &self.channels) {
                    room.take(*candidate, &self.channels);
                }
            }
        }
    }

    /// Takes those of this range one after the other, from where it ended the last time, until there
    /// is no room for one.
    fn take_turns(&mut self, view: &View, usual: Range<Candidate>, len: usize, room: &mut Room) {
        let start = self.rotation.checked_rem(len).unwrap_or(0);
        let mut turns = 0;
        'full: for (mut skip, mut len) in [(start, len - start), (0, start)] {
            let mut range = usual.clone();
            if !self.all_candidates && skip > Self::MAX_CANDIDATES {
                skip -= self.leap(view, &mut range, skip);
            }
            while len > 0 {
                let found = self.candidates_of(view, &range, Side::Lowest, |_, _| true);
                let found = self.candidates.get(found).unwrap_or_default();
                let Some(highest) = found.last() else { break };
                range.start = highest.next();
                let skipped = skip.min(found.len());
                skip -= skipped;
                for candidate in found.iter().skip(skipped).take(len) {
                    let histories = &self.channels;
                    if !room.has(*candidate, histories) && !room.take(*candidate, histories) {
                        break 'full;
                    }
                    turns += 1;
                    len -= 1;
                }
            }
        }
        self.rotation = start + turns.max(1);
    }

    /// Takes candidates off the beginning of a range of one rank, not more than `most`; returns how
    /// many.
    fn leap(&self, view: &View, range: &mut Range<Candidate>, most: usize) -> usize {
        let (mut first, mut last) = (Packet::MAX, 0);
        self.list_candidates(view, range, |it| {
            if range.contains(&it) {
                (first, last) = (first.min(it.order()), last.max(it.order()));
            }
        });
        let mut steps = [0_usize; 64];
        let width = last.saturating_sub(first) / 64 + 1;
        self.list_candidates(view, range, |it| {
            let step = it.order().wrapping_sub(first) / width;
            if range.contains(&it)
                && let Some(count) = steps.get_mut(step as usize)
            {
                *count += 1;
            }
        });
        let mut leapt = 0;
        let mut order = first;
        for count in steps {
            if leapt + count > most {
                break;
            }
            leapt += count;
            order = order.saturating_add(width);
        }
        range.start = range.start.max(range.start.with_order(order));
        leapt
    }

    /// Where candidates of this range stand: all of them or, if they are too many to be there at
    /// once, those on that side that are wanted.
    fn candidates_of(
        &mut self,
        view: &View,
        range: &Range<Candidate>,
        side: Side,
        wanted: impl FnMut(Candidate, &Histories) -> bool,
    ) -> Range<usize> {
        if !self.all_candidates {
            self.find_candidates(view, range, side, wanted);
        }
        let below = |bound| self.candidates.partition_point(|it| *it < bound);
        below(range.start)..below(range.end)
    }

    /// Finds the candidates of this range that are wanted: all of them or, if they are too many to
    /// be there at once, those on that side.
    fn find_candidates(
        &mut self,
        view: &View,
        range: &Range<Candidate>,
        side: Side,
        mut wanted: impl FnMut(Candidate, &Histories) -> bool,
    ) {
        let mut candidates = core::mem::take(&mut self.candidates);
        candidates.clear();
        let mut bounds = range.clone();
        self.list_candidates(view, range, |candidate| {
            if !range.contains(&candidate)
                || !wanted(candidate, &self.channels)
                || !bounds.contains(&candidate)
            {
                return;
            }
            if candidates.len() >= Self::MAX_CANDIDATES {
                let half = Self::MAX_CANDIDATES / 2;
                // Those that are dropped, and what is beyond them, will be found again.
                match side {
                    Side::Lowest => {
                        let (_, bound, _) = candidates.select_nth_unstable(half);
                        bounds.end = *bound;
                        candidates.truncate(half);
                    }
                    Side::Highest => {
                        let (_, bound, _) = candidates.select_nth_unstable(half - 1);
                        bounds.start = bound.next();
                        candidates.drain(..half);
                    }
                }
                if !bounds.contains(&candidate) {
                    return;
                }
            }
            candidates.push(candidate);
        });
        candidates.sort_unstable();
        self.candidates = candidates;
    }

    /// Tells all candidates of this range, and others.
    fn list_candidates(
        &self,
        view: &View,
        range: &Range<Candidate>,
        mut tell: impl FnMut(Candidate),
    ) {
        let has = |rank: Rank| rank.first() < range.end && range.start < rank.next_first();
        let parts = channel::Parts {
            controls: has(Rank::Safety) || has(Rank::Usual),
            parameters: has(Rank::Usual),
            notes: has(Rank::Notes),
            releases: has(Rank::Low),
        };
        for (index, history) in (0..).zip(&self.channels) {
            let Some(history) = history else { continue };
            if self.pending & 1 << index == 0 {
                continue;
            }
            history.pieces(parts, |piece, packet, len| {
                let (rank, order) = match piece {
                    channel::Piece::OffBits | channel::Piece::Safety => (Rank::Safety, 0),
                    // Without its count a stacked note would end with its first note-off.
                    channel::Piece::Note(_) | channel::Piece::Count(_) => {
                        (Rank::Notes, Packet::MAX - packet)
                    }
                    channel::Piece::Program | channel::Piece::Wheel | channel::Piece::Pressure => {
                        (Rank::Short, 0)
                    }
                    channel::Piece::Release(_) | channel::Piece::PolyPressure(_) => {
                        (Rank::Low, packet)
                    }
                    channel::Piece::Controls(_)
                    | channel::Piece::Parameter(_)
                    | channel::Piece::Selection => (Rank::Usual, packet),
                };
                tell(Candidate::new(
                    rank,
                    order,
                    Place::Channel(index, piece),
                    len,
                ));
            });
        }
        if let Some(system) = &self.system
            && (has(Rank::Safety) || has(Rank::Short))
        {
            system.pieces(view, |piece, packet, len, resets| {
                let (rank, order) = match piece {
                    _ if resets => (Rank::Safety, 0),
                    // All of them, in their order: they have been shortened to fit.
                    system::Piece::SysEx(_) => (Rank::Safety, packet),
                    _ => (Rank::Short, 0),
                };
                tell(Candidate::new(rank, order, Place::System(piece), len));
            });
        }
    }

    /// What is not selected stays until a later journal has brought it. Returns whether there is
    /// anything of that.
    fn omit_except(&mut self, selection: &Selection) -> bool {
        let since = self.next + 1;
        let mut any = false;
        for (index, history) in pending(&mut self.channels, self.pending) {
            if let Some(picks) = selection.channels.get(usize::from(index)) {
                any |= history.omit_except(picks, since);
            }
        }
        if let Some(system) = &mut self.system {
            any |= system.omit_except(&selection.system, since);
        }
        any
    }

    fn omit_all(&mut self) {
        self.omit_except(&Selection::NONE);
    }
}

/// What goes into a journal.
struct Selection {
    channels: [channel::Picks; 16],
    system: system::Picks,
}

impl Selection {
    const ALL: Self = Self {
        channels: [channel::Picks::ALL; 16],
        system: system::Picks::ALL,
    };

    const NONE: Self = Self {
        channels: [channel::Picks::NONE; 16],
        system: system::Picks::NONE,
    };
}

/// Something that can be left out of a journal.
///
/// From the top: its rank (3 bits), its order among those of its rank (32), the journal that it goes
/// into (5), the kind of piece (4) and its number (8), and its octets without headers around it (12).
/// So the order of candidates is that of these numbers.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Candidate(u64);

/// How much something is needed when not all of it fits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Rank {
    /// Without it notes hang.
    Safety,
    Notes,
    /// A few octets for much.
    Short,
    Usual,
    Low,
    Nothing,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    System(system::Piece),
    Channel(u8, channel::Piece),
}

/// Which candidates are kept of those that are too many.
#[derive(Clone, Copy, Debug)]
enum Side {
    Lowest,
    Highest,
}

impl Candidate {
    const RANK_SHIFT: u32 = 61;
    const ORDER_SHIFT: u32 = 29;
    const LEN_BITS: u32 = 12;
    const MAX_LEN: usize = (1 << Self::LEN_BITS) - 1;

    fn new(rank: Rank, order: Packet, place: Place, len: usize) -> Self {
        let (journal, (kind, item)) = match place {
            Place::System(piece) => (0, piece.to_numbers()),
            Place::Channel(channel, piece) => (channel + 1, piece.to_numbers()),
        };
        // Nothing is longer than a channel or system journal.
        let len = len.min(Self::MAX_LEN) as u64;
        let mut it = rank as u64;
        it = it << 32 | u64::from(order);
        it = it << 5 | u64::from(journal);
        it = it << 4 | u64::from(kind);
        it = it << 8 | u64::from(item);
        Self(it << Self::LEN_BITS | len)
    }

    const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    const fn order(self) -> Packet {
        (self.0 >> Self::ORDER_SHIFT) as Packet
    }

    /// The lowest of the same rank with this order.
    const fn with_order(self, order: Packet) -> Self {
        let rank = self.0 >> Self::RANK_SHIFT << Self::RANK_SHIFT;
        Self(rank | (order as u64) << Self::ORDER_SHIFT)
    }

    fn place(self) -> Option<Place> {
        let place = self.0 >> Self::LEN_BITS;
        let numbers = ((place >> 8) as u8 & 0xF, place as u8);
        Some(match ((place >> 12) as u8 & 0x1F).checked_sub(1) {
            None => Place::System(system::Piece::from_numbers(numbers)?),
            Some(channel) => Place::Channel(channel, channel::Piece::from_numbers(numbers)?),
        })
    }

    /// Octets, without headers around it.
    const fn len(self) -> usize {
        self.0 as usize & Self::MAX_LEN
    }
}

impl Rank {
    /// No candidate of the rank is below.
    const fn first(self) -> Candidate {
        Candidate((self as u64) << Candidate::RANK_SHIFT)
    }

    /// All candidates of the rank are below.
    const fn next_first(self) -> Candidate {
        Candidate((self as u64 + 1) << Candidate::RANK_SHIFT)
    }
}

/// The room in a journal, as it fills up.
struct Room {
    left: usize,
    /// Octets of the channel journals and of the system journal.
    used: [usize; 17],
    /// The chapters that each channel journal has.
    chapters: [u8; 16],
    selection: Selection,
}

impl Room {
    /// Takes the candidate if there is room for it.
    fn take(&mut self, candidate: Candidate, histories: &Histories) -> bool {
        self.try_take(candidate, histories).is_some()
    }

    fn try_take(&mut self, candidate: Candidate, histories: &Histories) -> Option<()> {
        let cost = self.cost(candidate, histories)?;
        match candidate.place()? {
            Place::System(piece) => {
                if let system::Piece::SysEx(index) = piece
                    && usize::from(index) != self.selection.system.sysex
                {
                    return None;
                }
                *self.used.get_mut(16)? += cost;
                self.selection.system.add(piece);
            }
            Place::Channel(index, piece) => {
                let index = usize::from(index);
                let history = histories.get(index)?.as_ref()?;
                *self.used.get_mut(index)? += cost;
                *self.chapters.get_mut(index)? |= history.chapter_of(piece).0;
                history.pick(piece, self.selection.channels.get_mut(index)?);
            }
        }
        self.left -= cost;
        Some(())
    }

    /// The octets that the candidate takes with the headers that are not there yet; `None` if there
    /// is no room for it.
    fn cost(&self, candidate: Candidate, histories: &Histories) -> Option<usize> {
        let (used, header, max, len) = match candidate.place()? {
            Place::System(_) => {
                let (header, max) = (SystemJournal::HEADER_LEN, SystemJournal::MAX_LEN);
                (self.used.get(16)?, header, max, candidate.len())
            }
            Place::Channel(index, piece) => {
                let index = usize::from(index);
                let history = histories.get(index)?.as_ref()?;
                let picks = self.selection.channels.get(index)?;
                if matches!(piece, channel::Piece::Controls(_)) && history.lacks_safety(picks) {
                    // Without the log of controller 121 an older one would be taken as news.
                    return None;
                }
                let (chapter, around) = history.chapter_of(piece);
                let is_new = self.chapters.get(index)? & chapter == 0;
                let len = candidate.len() + if is_new { around } else { 0 };
                let (header, max) = (ChannelJournal::HEADER_LEN, ChannelJournal::MAX_LEN);
                (self.used.get(index)?, header, max, len)
            }
        };
        let len = len + if *used == 0 { header } else { 0 };
        (used + len <= max && len <= self.left).then_some(len)
    }

    /// Whether the candidate was taken, if it is one of [`Rank::Usual`]: others come but once.
    fn has(&self, candidate: Candidate, histories: &Histories) -> bool {
        let usual = Rank::Usual.first()..Rank::Low.first();
        let Some(Place::Channel(index, piece)) = candidate.place() else {
            return false;
        };
        if !usual.contains(&candidate) {
            return false;
        }
        let index = usize::from(index);
        let history = histories.get(index).and_then(Option::as_ref);
        let picks = self.selection.channels.get(index);
        history
            .zip(picks)
            .is_some_and(|(history, picks)| history.is_picked(piece, picks))
    }
}

/// The channels of which something is unacknowledged.
fn pending(
    channels: &mut Histories,
    bits: u16,
) -> impl Iterator<Item = (u8, &mut channel::History)> {
    (0..)
        .zip(channels)
        .filter(move |(index, _)| bits & 1 << index != 0)
        .filter_map(|(index, history)| Some((index, history.as_deref_mut()?)))
}

const fn low_bits(packet: Packet) -> SeqNum {
    SeqNum(packet as u16)
}

#[cfg(test)]
mod tests {
    use netmidi_message::{ChannelMessage, Note, U7};

    use super::*;

    #[test]
    fn memory_is_taken_when_it_is_needed() {
        let mut recorder = Recorder::new(RecorderConfig::default(), SeqNum(0));
        assert!(recorder.channels.iter().all(Option::is_none) && recorder.system.is_none());
        let note_on = ChannelMessage::note_on(Channel::C3, Note::MIDDLE_C, U7::MAX);
        recorder.record(RtpTimestamp(0), note_on.into());
        assert_eq!(recorder.channels.iter().flatten().count(), 1);
        assert!(size_of::<channel::History>() <= 288);
        assert!(size_of::<Recorder>() <= 352);
    }

    /// One that runs into the end of the numbers writes what another one writes.
    #[test]
    fn packets_can_be_numbered_anew() {
        let config = RecorderConfig {
            enhanced: false,
            ..RecorderConfig::default()
        };
        for enhanced in [false, true] {
            let config = RecorderConfig { enhanced, ..config };
            let mut plain = Recorder::new(config, SeqNum(0xFF00));
            let mut late = Recorder::new(config, SeqNum(0xFF00));
            late.next = Recorder::END - 0x100;
            late.acknowledged = late.next - 1;
            let started = late.next;
            for number in 0..0x200_u16 {
                let now = RtpTimestamp(u32::from(number) * 10);
                let seq = SeqNum(0xFF00).wrapping_add(number);
                let mut out = [[0; 700]; 2];
                let [first, second] = &mut out;
                let room = if number % 3 == 0 { 60 } else { 700 };
                assert_eq!(
                    plain.write(now, Form::Full, &mut first[..room]),
                    late.write(now, Form::Full, &mut second[..room]),
                    "{number}"
                );
                assert_eq!(first, second, "{number}");
                let seven = |it: u16| (it & 0x7F) as u8;
                let (channel, value) = ((number % 5) as u8, seven(number * 3));
                let list: [&[u8]; 12] = [
                    &[0x90 | channel, value, 1],
                    &[0x80 | channel, seven(number * 5), 3],
                    &[0xA0 | channel, value, 5],
                    &[0xB0 | channel, value, 1],
                    &[0xB0 | channel, 98 + channel % 4, value],
                    &[0xB0 | channel, 6, value],
                    &[0xC0 | channel, value],
                    &[0xD0 | channel, value],
                    &[0xE0 | channel, value, 0],
                    &[0xF1, value],
                    &[0xF3, value],
                    &[0xF4, 1, 2],
                ];
                let sysex = [0x7D, value];
                for recorder in [&mut plain, &mut late] {
                    for octets in list.iter().skip(usize::from(number % 7)) {
                        recorder.record(now, Message::parse(octets).expect("a message"));
                    }
                    recorder.record_sysex(now, &sysex, 0..2, true);
                    recorder.end_packet();
                    if number % 50 == 49 || number == 0x1FF {
                        assert!(recorder.acknowledge(seq.wrapping_add(0_u16.wrapping_sub(20))));
                    }
                }
                assert_eq!(plain.is_settled(), late.is_settled(), "{number}");
            }
            assert!(late.next < started && plain.overflows() > 50);
        }
    }

    #[test]
    fn who_rests_keeps_what_later_packets_need() {
        let mut recorder = Recorder::new(RecorderConfig::default(), SeqNum(0));
        let mut out = [0; 64];
        let mut packet = |recorder: &mut Recorder, list: &[[u8; 3]]| {
            let written = recorder.write(RtpTimestamp(0), Form::Full, &mut out);
            for octets in list {
                recorder.record(RtpTimestamp(0), Message::parse(octets).expect("a message"));
            }
            recorder.end_packet();
            out.get(..written.map_or(0, |it| it.len)).map(Vec::from)
        };
        // A key that is down, a pedal that is down, and on another channel neither.
        packet(&mut recorder, &[[0x90, 60, 1], [0xB0, 64, 127]]);
        packet(
            &mut recorder,
            &[[0x91, 60, 1], [0x81, 60, 64], [0xB1, 7, 1]],
        );
        assert!(recorder.acknowledge(SeqNum(1)) && recorder.is_settled());
        recorder.shrink();
        assert_eq!(recorder.channels.iter().flatten().count(), 1);
        packet(&mut recorder, &[[0x90, 60, 1], [0xB0, 64, 0]]);
        // Two note-ons wait, and the pedal has changed twice.
        assert_eq!(
            packet(&mut recorder, &[]),
            Some(Vec::from([
                0x20, 0, 2, 0, 13, 0x4C, 0, 64, 0x82, 0x81, 0xF0, 60, 0x81, 0, 60, 2
            ]))
        );
    }

    #[test]
    fn a_packet_without_a_journal_tells_nothing() {
        let mut recorder = Recorder::new(RecorderConfig::default(), SeqNum(65_535));
        let mut out = [0; 32];
        recorder.write(RtpTimestamp(0), Form::Full, &mut out);
        let note_on = ChannelMessage::note_on(Channel::C3, Note::MIDDLE_C, U7::MAX);
        recorder.record(RtpTimestamp(0), note_on.into());
        recorder.end_packet();
        recorder.end_packet();
        // 0 has no journal: 65535 may be lost.
        assert!(recorder.acknowledge(SeqNum(0)) && !recorder.is_settled());
        let written = recorder.write(RtpTimestamp(0), Form::Full, &mut out);
        assert!(written.is_some_and(|it| it.complete));
        assert_eq!(
            out[..10],
            [0xA0, 0xFF, 0xFF, 0x90, 7, 8, 0x81, 0xF0, 0xBC, 0xFF]
        );
        recorder.end_packet();
        assert!(recorder.acknowledge(SeqNum(1)) && recorder.is_settled());
    }
}
