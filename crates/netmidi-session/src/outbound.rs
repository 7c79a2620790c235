//! From messages to packets of one participant: queue, packing and journal.

use alloc::collections::VecDeque;

use netmidi_message::{BufferTooSmall, ChannelMessage, Message, MessageBuf};
use netmidi_wire::{
    ClockTicks, PacketBudget, PacketWriter, Pushed, RtpHeader, RunningStatus, SeqNum, Ssrc,
};

use crate::protection::{Protection, Urgency};
use crate::time::{Time, WireClock};

/// A journal leaves at least one octet in so many of the budget to the list.
const LIST_SHARE: usize = 4;
/// The most octets that a journal gets in a packet with commands.
pub(crate) const fn journal_room(budget: PacketBudget) -> usize {
    budget.get() - BEFORE_LIST - budget.get() / LIST_SHARE
}

/// A segment of a system exclusive message shorter than this waits for room in the journal.
const SHORTEST_SEGMENT: usize = 64;
/// What a segment costs in the list beside its data, where it comes first: head and tail.
const FRAME: usize = 2;
/// The longest delta time.
const LONGEST_DELTA: usize = 4;
/// What stands before a list at most: the RTP header and that of the command section.
const BEFORE_LIST: usize = RtpHeader::LEN + 2;

/// What a queued message costs beyond its octets, against
/// [`Config::max_queued_octets`](crate::Config::max_queued_octets).
const OVERHEAD: usize = size_of::<Queued>();

/// A message and when it was sent, on our clock.
#[derive(Debug)]
struct Queued {
    at: ClockTicks,
    message: MessageBuf,
}

/// What goes to one participant.
#[derive(Debug)]
pub(crate) struct Outbound {
    seq: SeqNum,
    clock: WireClock,
    /// Of the last command sent: a packet must not begin before it (RFC 6295 §3.3). All 64 bits of
    /// our clock: half of 32 are over in 60 hours, and a silence may last longer.
    latest: ClockTicks,
    queue: VecDeque<Queued>,
    /// Data octets of the first message that are sent already.
    taken: usize,
    /// Octets that wait, with their overhead.
    octets: usize,
    /// System exclusive data is held back until the journal has room for it, or this moment.
    stalled_until: Option<Time>,
    /// How often in a row that moment came first.
    given_up: u32,
    /// Packets that may take system exclusive data unprotected.
    unprotected: u32,
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
    /// `seq` is the number of the first packet, `clock` what timestamps show.
    pub(crate) const fn new(seq: SeqNum, clock: WireClock) -> Self {
        Self {
            seq,
            clock,
            latest: ClockTicks(0),
            queue: VecDeque::new(),
            taken: 0,
            octets: 0,
            stalled_until: None,
            given_up: 0,
            unprotected: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether something can go out now.
    pub(crate) fn is_sendable(&self) -> bool {
        !self.queue.is_empty() && self.stalled_until.is_none()
    }

    /// Until when system exclusive data is held back.
    pub(crate) const fn stalled_until(&self) -> Option<Time> {
        self.stalled_until
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

    /// System exclusive data waits no more.
    pub(crate) const fn hurry(&mut self) {
        self.stalled_until = None;
        self.unprotected = u32::MAX;
    }

    /// The number of the next packet.
    pub(crate) const fn next_seq(&self) -> SeqNum {
        self.seq
    }

    /// Octets that wait, with their overhead.
    pub(crate) const fn queued_octets(&self) -> usize {
        self.octets
    }

    /// What a message adds to [`queued_octets`](Self::queued_octets).
    pub(crate) fn cost(message: &Message<'_>) -> usize {
        message.encoded_len() + OVERHEAD
    }

    pub(crate) fn push(&mut self, now: Time, message: Message<'_>) {
        self.octets += Self::cost(&message);
        self.queue.push_back(Queued {
            at: self.clock.ticks(now),
            message: message.to_buf(),
        });
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
        let Some(first) = self.queue.front() else {
            return Ok(None);
        };
        let start = first.at.max(self.latest);
        let first = first.message.as_message();
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
        let budget = draft.budget.get();
        let room = budget.saturating_sub(BEFORE_LIST + list.max(budget / LIST_SHARE));
        let journal = draft.journal.get_mut(..room).unwrap_or_default();
        let written = protection.write(start.to_rtp(), journal);
        let len = written.map_or(0, |it| it.len);
        let journal = draft.journal.get(..len).unwrap_or_default();

        let header = RtpHeader::midi(self.seq, start.to_rtp(), draft.ssrc);
        let mut writer =
            PacketWriter::new(draft.out, draft.budget, &header)?.with_running_status(draft.running);
        let spare = cap.map_or(0, |cap| {
            (budget - BEFORE_LIST - len).saturating_sub(cap + FRAME)
        });
        writer.reserve(len + spare)?;
        let mut messages = 0;
        let mut urgency = Urgency::Ordinary;
        while let Some(queued) = self.queue.front() {
            let at = queued.at.max(self.latest);
            let message = queued.message.as_message();
            if !writer.is_empty() && self.segment_cap(&message, protection).is_some() {
                // It begins a packet of its own, of which the length is known.
                break;
            }
            match writer.push(at.to_rtp(), message, self.taken) {
                Pushed::Whole => {
                    self.latest = at;
                    messages += 1;
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
        let emitted = Emitted {
            len: writer.finish_with_journal(|to| copy(journal, to)),
            messages,
            journal: len,
            overflow: protection.is_on() && written.is_none_or(|it| !it.complete),
            guard: false,
        };
        protection.sent(now, self.seq, Some(urgency));
        self.seq = self.seq.next();
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
        let room = draft.budget.get() - BEFORE_LIST;
        let journal = draft.journal.get_mut(..room).unwrap_or_default();
        let Some(written) = protection.write(start.to_rtp(), journal) else {
            protection.guarded(now);
            return Ok(None);
        };
        let header = RtpHeader::midi(self.seq, start.to_rtp(), draft.ssrc);
        let writer = PacketWriter::new(draft.out, draft.budget, &header)?;
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

    fn drop_first(&mut self) {
        self.taken = 0;
        if let Some(queued) = self.queue.pop_front() {
            self.octets -= Self::cost(&queued.message.as_message());
        }
    }
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
        let mut outbound = Outbound::new(SeqNum(65535), WireClock::new(ClockTicks(0)));
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
    fn a_large_sysex_is_spread_over_packets() {
        let data: Vec<u8> = (0..5000u16).map(|n| (n % 128) as u8).collect();
        let mut outbound = Outbound::new(SeqNum(0), WireClock::new(ClockTicks(0)));
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
