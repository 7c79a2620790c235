//! Fuzz bodies for `netmidi-wire`.

use netmidi_message::{Message, MessageBuf, SysExBuf};
use netmidi_wire::{
    Command, CommandSection, Control, Datagram, Layer, PacketBudget, ParseError, RtpPacket,
    RtpTimestamp, RunningStatus, SegmentKind,
};

use crate::packets::{TimedMessage, is_too_long, pack, rewrite, unpack};

/// Any octets: an error that points into them, or a reading that is consistent with itself and
/// survives being written and read again.
///
/// # Panics
/// When that is not so.
pub fn wire_datagram(data: &[u8]) {
    match Datagram::parse(data) {
        Err(error) => {
            check_error(error, data);
            let signed = data.starts_with(&[0xFF, 0xFF]);
            let session = error.layer() == Layer::AppleMidi;
            assert_eq!(signed, session, "{error}");
        }
        Ok(Datagram::Control(control)) => check_control(&control, data),
        Ok(Datagram::Rtp(packet)) => check_packet(&packet, data),
    }
    // The section by itself, as of a payload from elsewhere.
    match CommandSection::parse(data, RtpTimestamp(0)) {
        Err(error) => check_error(error, data),
        Ok(section) => check_section(&section),
    }
}

/// Octets as a script of what to send: packets within the budget, from which the same messages
/// come out at the same times.
///
/// # Panics
/// When that is not so.
pub fn wire_roundtrip(data: &[u8]) {
    let mut script = data.iter().copied();
    let mut next = || script.next();
    let (Some(high), Some(low), Some(options)) = (next(), next(), next()) else {
        return;
    };
    let budget = PacketBudget::new(256 + u16::from_be_bytes([high, low]) % 7937).unwrap();
    let running_status = if options & 1 == 0 {
        RunningStatus::Off
    } else {
        RunningStatus::On
    };
    let reserve = usize::from(options >> 1);
    let mut at = RtpTimestamp(u32::from(options) << 24 | 0x00FF_FF00);
    let mut messages: Vec<TimedMessage> = Vec::new();
    while let (Some(step), Some(status), Some(first), Some(second)) =
        (next(), next(), next(), next())
    {
        // Mostly short steps; the top bit makes them long enough to need another packet.
        at = at.wrapping_add(match step {
            0x80.. => u32::from(step) << 21,
            _ => u32::from(step).pow(2),
        });
        let octets = [status | 0x80, first & 0x7F, second & 0x7F];
        let message = match octets {
            [0xF0 | 0xF7, first, second] => {
                let len = usize::from(first) << 6 | usize::from(second);
                SysExBuf::new(vec![first; len]).unwrap().into()
            }
            _ => Message::parse_prefix(&octets, None).unwrap().0.to_buf(),
        };
        messages.push((at, message));
    }
    check_packing(&messages, budget, running_status, reserve);
}

/// Packs, unpacks and compares.
pub(crate) fn check_packing(
    messages: &[TimedMessage],
    budget: PacketBudget,
    running_status: RunningStatus,
    reserve: usize,
) {
    let packets = pack(messages, budget, running_status, reserve);
    let expected: Vec<_> = messages
        .iter()
        .filter(|(_, message)| !is_too_long(&message.as_message(), budget, reserve))
        .cloned()
        .collect();
    assert_eq!(unpack(&packets), expected, "{budget:?} {running_status:?}");
    for octets in &packets {
        let Ok(Datagram::Rtp(packet)) = Datagram::parse(octets) else {
            panic!("{octets:02x?}");
        };
        check_packet(&packet, octets);
    }
}

fn check_error(error: ParseError, data: &[u8]) {
    assert!(error.offset() <= data.len(), "{error}: {data:02x?}");
    assert!(!error.to_string().is_empty());
    assert!(!error.code().is_empty());
}

fn check_control(control: &Control<'_>, data: &[u8]) {
    let again = control.to_vec();
    assert_eq!(again.len(), control.encoded_len());
    assert_eq!(Control::parse(&again), Ok(*control), "{data:02x?}");
    if let Control::Exchange(exchange) = control
        && let Some(name) = exchange.name
    {
        assert!(!name.as_octets().contains(&0));
        assert_eq!(name.to_string(), name.to_string_lossy());
        match name.as_str() {
            Some(text) => assert_eq!(text, name.to_string()),
            None => assert!(name.to_string().contains('\u{FFFD}')),
        }
    }
}

fn check_packet(packet: &RtpPacket<'_>, data: &[u8]) {
    assert_eq!(packet.encoded_len(), data.len());
    assert_eq!(packet.csrc().len(), packet.csrc().count());
    assert_eq!(packet.is_padded(), packet.padding() > 0);
    let mut copy = packet.to_vec();
    // What the padding consists of is not kept.
    let padding = data.len() - usize::from(packet.padding())..data.len();
    if let Some(last) = padding.clone().last() {
        copy[padding.start..last].copy_from_slice(&data[padding.start..last]);
    }
    assert_eq!(copy, data);

    match packet.command_section() {
        Err(error) => {
            check_error(error, data);
            assert_eq!(error.layer(), Layer::Midi, "{error}");
        }
        Ok(section) => {
            check_section(&section);
            assert_eq!(
                packet.payload().len(),
                1 + usize::from(section.is_long())
                    + section.list().len()
                    + section.journal().unwrap_or_default().len()
                    + section.trailing().len()
            );
            if let Some(again) = rewrite(packet) {
                let Ok(Datagram::Rtp(again)) = Datagram::parse(&again) else {
                    panic!("{again:02x?}");
                };
                let again = again.command_section().unwrap();
                assert!(again.commands().eq(section.commands()), "{data:02x?}");
                assert_eq!(
                    again.journal().unwrap_or_default(),
                    section.journal().unwrap_or_default()
                );
            }
        }
    }
}

fn check_section(section: &CommandSection<'_>) {
    assert!(section.list().len() <= 4095);
    assert_eq!(section.journal().is_some(), section.has_journal());
    assert_eq!(section.anomaly().is_some(), !section.trailing().is_empty());
    assert_eq!(section.commands().len(), section.commands().count());
    assert_eq!(section.commands().len() == 0, section.list().is_empty());
    let mut before = None::<RtpTimestamp>;
    for (index, command) in section.commands().enumerate() {
        let last = index + 1 == section.commands().len();
        assert!(command.command.is_some() || last, "a gap in the list");
        if let Some(before) = before {
            assert_eq!(before.wrapping_add(command.delta.get()), command.timestamp);
        }
        before = Some(command.timestamp);
        match command.command {
            None => assert!(!command.running),
            Some(Command::Message(message)) => {
                assert!(!matches!(message, Message::SysEx(_)));
                assert!(!command.running || matches!(message, Message::Channel(_)));
                let octets = message.to_vec();
                assert_eq!(Message::parse(&octets).as_ref(), Ok(&message));
                assert_eq!(MessageBuf::from(message), message);
            }
            Some(Command::SysEx(segment)) => {
                assert!(!command.running);
                assert!(segment.data().is_ascii());
                match segment.kind() {
                    SegmentKind::First | SegmentKind::Middle => assert!(!segment.data().is_empty()),
                    SegmentKind::Cancel => assert!(segment.data().is_empty()),
                    _ => {}
                }
            }
        }
    }
}
