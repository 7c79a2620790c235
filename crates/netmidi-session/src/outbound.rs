//! From messages to packets of one participant: queue and packing.

use alloc::collections::VecDeque;

use netmidi_message::{BufferTooSmall, Message, MessageBuf};
use netmidi_wire::{
    ClockTicks, PacketBudget, PacketWriter, Pushed, RtpHeader, RunningStatus, SeqNum, Ssrc,
};

use crate::time::Time;

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
    /// Of the last command sent: a packet must not begin before it (RFC 6295 §3.3). All 64 bits of
    /// our clock: half of 32 are over in 60 hours, and a silence may last longer.
    latest: ClockTicks,
    queue: VecDeque<Queued>,
    /// Data octets of the first message that are sent already.
    taken: usize,
    /// Octets that wait, with their overhead.
    octets: usize,
}

/// What one packet carried.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Emitted {
    /// Octets of the packet.
    pub(crate) len: usize,
    /// Messages of which it carried the end.
    pub(crate) messages: u64,
}

impl Outbound {
    /// `seq` is the number of the first packet.
    pub(crate) const fn new(seq: SeqNum) -> Self {
        Self {
            seq,
            latest: ClockTicks(0),
            queue: VecDeque::new(),
            taken: 0,
            octets: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
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
            at: now.to_ticks(),
            message: message.to_buf(),
        });
    }

    /// Writes the next packet: as many of the waiting messages as the budget holds.
    ///
    /// `None` when nothing waits.
    pub(crate) fn emit(
        &mut self,
        out: &mut [u8],
        budget: PacketBudget,
        running: RunningStatus,
        ssrc: Ssrc,
    ) -> Result<Option<Emitted>, BufferTooSmall> {
        let Some(first) = self.queue.front() else {
            return Ok(None);
        };
        let start = first.at.max(self.latest);
        let header = RtpHeader::midi(self.seq, start.to_rtp(), ssrc);
        let mut writer = PacketWriter::new(out, budget, &header)?.with_running_status(running);
        let mut messages = 0;
        while let Some(queued) = self.queue.front() {
            let at = queued.at.max(self.latest);
            match writer.push(at.to_rtp(), queued.message.as_message(), self.taken) {
                Pushed::Whole => {
                    self.latest = at;
                    messages += 1;
                    self.drop_first();
                }
                Pushed::Part { taken } => {
                    self.latest = at;
                    self.taken = taken;
                    break;
                }
                Pushed::Full => break,
                // Refused when it was sent; here only so that nothing can block the queue.
                Pushed::TooLong => self.drop_first(),
            }
        }
        if writer.is_empty() {
            return Ok(None);
        }
        self.seq = self.seq.next();
        Ok(Some(Emitted {
            len: writer.finish(),
            messages,
        }))
    }

    fn drop_first(&mut self) {
        self.taken = 0;
        if let Some(queued) = self.queue.pop_front() {
            self.octets -= Self::cost(&queued.message.as_message());
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use netmidi_message::{Channel, ChannelMessage, Note, SysEx, U7};
    use netmidi_wire::{Command, RtpPacket};

    use super::*;

    fn emit(outbound: &mut Outbound) -> Option<Vec<u8>> {
        let mut out = vec![0; 1024];
        let emitted = outbound
            .emit(&mut out, PacketBudget::DEFAULT, RunningStatus::Off, Ssrc(7))
            .unwrap()?;
        out.truncate(emitted.len);
        Some(out)
    }

    #[test]
    fn messages_sent_before_a_poll_share_a_packet() {
        let mut outbound = Outbound::new(SeqNum(65535));
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
        let mut outbound = Outbound::new(SeqNum(0));
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
