//! Messages into packets and out again, by the shortest program that does it.

use netmidi_message::{Message, MessageBuf, SysExBuf};
use netmidi_wire::{
    Command, Datagram, PacketBudget, PacketWriter, Pushed, RtpHeader, RtpPacket, RtpTimestamp,
    RunningStatus, SegmentKind, SeqNum, Ssrc,
};

/// A message and when it is to be executed.
pub type TimedMessage = (RtpTimestamp, MessageBuf);

/// Puts messages into as few packets as the writer makes of them; numbers start at 0, timestamps
/// are those of the first message inside. `reserve` octets are kept free in each.
///
/// Messages that are too long for any packet are left out.
///
/// # Panics
/// When a packet gets longer than the budget allows, or an empty one takes nothing.
#[must_use]
pub fn pack(
    messages: &[TimedMessage],
    budget: PacketBudget,
    running_status: RunningStatus,
    reserve: usize,
) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    let mut seq = SeqNum(0);
    let mut out = vec![0xAA; budget.get() + 1];
    let mut left = messages.iter().peekable();
    let mut taken = 0;
    while let Some((first, _)) = left.peek() {
        let header = RtpHeader::midi(seq, *first, Ssrc(1));
        let mut writer = PacketWriter::new(&mut out, budget, &header)
            .unwrap()
            .with_running_status(running_status);
        writer.reserve(reserve).unwrap();
        while let Some((at, message)) = left.peek() {
            let empty = writer.is_empty();
            match writer.push(*at, message.as_message(), taken) {
                Pushed::Whole => {
                    taken = 0;
                    left.next();
                }
                Pushed::TooLong => {
                    taken = 0;
                    left.next();
                    // Without this message the next one may be so much later than the last in this
                    // packet that it would count as earlier: it begins a packet of its own.
                    break;
                }
                Pushed::Part { taken: sent } => {
                    assert!(sent > taken, "a part without data");
                    taken = sent;
                    break;
                }
                Pushed::Full => {
                    assert!(!empty, "an empty packet takes nothing of {message:?}");
                    break;
                }
            }
        }
        let len = writer.finish();
        assert!(len + reserve <= budget.get(), "{len} octets in {budget:?}");
        assert_eq!(out[budget.get()], 0xAA, "written past the budget");
        packets.push(out[..len].to_vec());
        seq = seq.next();
    }
    packets
}

/// Reads packets, and joins system exclusive messages that were cut. A message has the timestamp
/// of its first segment.
///
/// # Panics
/// When a packet does not parse, or segments are out of order.
#[must_use]
pub fn unpack(packets: &[Vec<u8>]) -> Vec<TimedMessage> {
    let mut messages = Vec::new();
    let mut open: Option<(RtpTimestamp, Vec<u8>)> = None;
    for octets in packets {
        let Ok(Datagram::Rtp(packet)) = Datagram::parse(octets) else {
            panic!("not an RTP packet: {octets:02x?}");
        };
        let section = packet
            .command_section()
            .unwrap_or_else(|error| panic!("{error}: {octets:02x?}"));
        assert_eq!(section.anomaly(), None);
        for command in section.commands() {
            match command.command {
                None => {}
                Some(Command::Message(message)) => {
                    messages.push((command.timestamp, message.to_buf()));
                }
                Some(Command::SysEx(segment)) => {
                    if segment.kind().begins() {
                        assert_eq!(open, None, "a second system exclusive begins");
                        open = Some((command.timestamp, Vec::new()));
                    }
                    let (_, data) = open.as_mut().expect("a segment without a beginning");
                    data.extend(segment.data());
                    if segment.kind().ends() {
                        let (at, data) = open.take().unwrap();
                        assert_ne!(segment.kind(), SegmentKind::Cancel);
                        messages.push((at, SysExBuf::new(data).unwrap().into()));
                    }
                }
            }
        }
    }
    assert_eq!(open, None, "a system exclusive without an end");
    messages
}

/// Writes a packet again from what was read from it, in the recommended forms; the journal is
/// copied. `None` when it is no RTP-MIDI or longer than a [`PacketWriter`] makes packets.
///
/// # Panics
/// When a command that was read cannot be written.
#[must_use]
pub fn rewrite(packet: &RtpPacket<'_>) -> Option<Vec<u8>> {
    let section = packet.command_section().ok()?;
    let journal = section.journal().unwrap_or_default();
    let mut out = vec![0; PacketBudget::MAX.get()];
    let mut writer = PacketWriter::new(&mut out, PacketBudget::MAX, &packet.header()).unwrap();
    if section.is_phantom() {
        writer = writer.with_phantom();
    }
    for command in section.commands() {
        assert_eq!(writer.push_command(&command), Pushed::Whole, "{command:?}");
    }
    writer.reserve(journal.len()).ok()?;
    let len = if journal.is_empty() {
        writer.finish()
    } else {
        writer.finish_with_journal(|free| {
            free[..journal.len()].copy_from_slice(journal);
            journal.len()
        })
    };
    let mut again = RtpPacket::new(packet.header(), &out[RtpHeader::LEN..len])
        .with_csrc(packet.csrc())
        .with_padding(packet.padding());
    if let Some(extension) = packet.extension() {
        again = again.with_extension(extension);
    }
    Some(again.to_vec())
}

/// Whether an undefined message is too long for any packet of this budget.
pub(crate) fn is_too_long(message: &Message<'_>, budget: PacketBudget, reserve: usize) -> bool {
    matches!(message, Message::Undefined(it)
        if it.encoded_len() + 1 + 4 > (budget.get() - 14 - reserve).min(4095))
}
