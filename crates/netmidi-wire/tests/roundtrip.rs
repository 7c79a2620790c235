//! What is written reads back the same.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

use netmidi_message::{ChannelStatus, Message};
use netmidi_testkit::strategies::{budget, control, timed_commands, timed_messages};
use netmidi_testkit::{pack, rewrite, to_hex, unpack};
use netmidi_wire::{
    Command, CommandSection, Control, Csrc, Datagram, ExchangeKind, Extension, PacketBudget,
    PacketWriter, PayloadType, Pushed, RtpHeader, RtpPacket, RtpTimestamp, RunningStatus, SeqNum,
    SessionName, Ssrc,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// Whether a list may leave the status of `command` out, and the running status after it.
///
/// RFC 6295 §3.2 once more, in the plainest words.
fn model_running(
    before: Option<ChannelStatus>,
    command: &Command<'_>,
) -> (bool, Option<ChannelStatus>) {
    match command {
        Command::Message(Message::Channel(message)) => {
            let status = Some(message.status());
            (before == status, status)
        }
        Command::Message(Message::RealTime(_)) => (false, before),
        _ => (false, None),
    }
}

fn header() -> impl Strategy<Value = RtpHeader> {
    any::<(bool, u8, u16, u32, u32)>().prop_map(|(marker, pt, seq, timestamp, ssrc)| RtpHeader {
        marker,
        payload_type: PayloadType::new(pt >> 1).unwrap(),
        seq: SeqNum(seq),
        timestamp: RtpTimestamp(timestamp),
        ssrc: Ssrc(ssrc),
    })
}

/// A script for the fuzz body: few statuses, so that all kinds of messages meet.
fn data() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..400)
}

proptest! {
    #[test]
    fn a_command_section_reads_as_it_was_written(
        header in header(),
        commands in timed_commands(),
        phantom in any::<bool>(),
        journal in vec(any::<u8>(), 0..40),
    ) {
        let mut out = vec![0; 8192];
        let mut writer = PacketWriter::new(&mut out, PacketBudget::MAX, &header).unwrap();
        if phantom {
            writer = writer.with_phantom();
        }
        let mut expected = Vec::new();
        let mut time = header.timestamp;
        let mut running = None;
        for command in &commands {
            time = time.wrapping_add(command.delta.get());
            let mut timed = command.as_timed(time);
            prop_assert_eq!(writer.push_command(&timed), Pushed::Whole);
            let (may_run, after) = timed
                .command
                .map_or((false, None), |command| model_running(running, &command));
            timed.running &= may_run;
            running = after;
            expected.push(timed);
        }
        let len = if journal.is_empty() {
            writer.finish()
        } else {
            writer.finish_with_journal(|free| {
                free[..journal.len()].copy_from_slice(&journal);
                journal.len()
            })
        };

        let Ok(Datagram::Rtp(packet)) = Datagram::parse(&out[..len]) else {
            panic!("not an RTP packet");
        };
        prop_assert_eq!(packet.header(), header);
        let section = packet.command_section().unwrap();
        prop_assert_eq!(section.commands().collect::<Vec<_>>(), expected);
        prop_assert_eq!(section.is_phantom(), phantom && !commands.is_empty());
        prop_assert_eq!(section.is_long(), section.list().len() > 15);
        prop_assert_eq!(section.has_journal(), !journal.is_empty());
        prop_assert_eq!(section.journal().unwrap_or_default(), &journal);
        prop_assert_eq!(section.anomaly(), None);
        // The section by itself counts its timestamps from any base.
        let alone = CommandSection::parse(packet.payload(), RtpTimestamp(0)).unwrap();
        for (one, other) in alone.commands().zip(section.commands()) {
            let shifted = one.timestamp.wrapping_add(header.timestamp.0);
            prop_assert_eq!(shifted, other.timestamp);
        }
        prop_assert_eq!(to_hex(&rewrite(&packet).unwrap()), to_hex(&out[..len]));
    }

    #[test]
    fn a_packet_reads_as_it_was_written(
        header in header(),
        csrc in vec(any::<[u8; 4]>(), 0..=15),
        extension in prop::option::of((any::<u16>(), vec(any::<[u8; 4]>(), 0..20))),
        payload in vec(any::<u8>(), 0..60),
        padding in any::<u8>(),
    ) {
        let csrc_octets = csrc.concat();
        let words = extension.as_ref().map(|(_, words)| words.concat());
        let mut packet = RtpPacket::new(header, &payload)
            .with_csrc(Csrc::new(&csrc_octets).unwrap())
            .with_padding(padding);
        if let (Some((profile, _)), Some(words)) = (&extension, &words) {
            packet = packet.with_extension(Extension::new(*profile, words).unwrap());
        }
        let octets = packet.to_vec();
        let read = RtpPacket::parse(&octets).unwrap();
        prop_assert_eq!(read.header(), header);
        prop_assert_eq!(read.csrc().len(), csrc.len());
        prop_assert!(read.csrc().map(|it| it.0.to_be_bytes()).eq(csrc));
        prop_assert_eq!(read.extension().map(|it| it.profile()), extension.map(|it| it.0));
        prop_assert_eq!(read.extension().map(|it| it.data().to_vec()), words);
        prop_assert_eq!(read.payload(), &payload);
        prop_assert_eq!(read.padding(), padding);
        prop_assert_eq!(read.encoded_len(), octets.len());
    }

    #[test]
    fn a_session_packet_reads_as_it_was_written(
        mut packet in control(),
        name in prop::option::of("[^\\x00]{0,30}"),
    ) {
        if let Control::Exchange(exchange) = &mut packet
            && exchange.kind != ExchangeKind::End
        {
            exchange.name = name.as_deref().map(SessionName::new);
        }
        let octets = packet.to_vec();
        prop_assert_eq!(octets.len(), packet.encoded_len());
        prop_assert_eq!(Control::parse(&octets), Ok(packet));
        if let Control::Exchange(exchange) = packet
            && let Some(read) = exchange.name
        {
            prop_assert_eq!(read.as_str(), name.as_deref());
        }
    }

    #[test]
    fn messages_come_out_of_packets_of_any_size_as_they_went_in(
        messages in timed_messages(60, 2000),
        budget in budget(),
        running in any::<bool>(),
        reserve in prop_oneof![Just(0), 0..=210usize],
    ) {
        let running = if running { RunningStatus::On } else { RunningStatus::Off };
        let packets = pack(&messages, budget, running, reserve);
        for packet in &packets {
            prop_assert!(packet.len() + reserve <= budget.get());
        }
        let fits = |message: &Message<'_>| match message {
            // Status, end, and the longest delta time.
            Message::Undefined(it) => {
                it.data().len() + 2 + 4 <= (budget.get() - 14 - reserve).min(4095)
            }
            _ => true,
        };
        let expected: Vec<_> = messages
            .into_iter()
            .filter(|(_, message)| fits(&message.as_message()))
            .collect();
        prop_assert_eq!(unpack(&packets), expected);
    }

    #[test]
    fn any_octets_are_an_error_or_a_valid_reading(
        octets in vec(any::<u8>(), 0..80),
        front in prop::sample::select(vec![
            "", "ffff", "ffff494e00000002", "ffff434b", "80610001000003e80badf00d",
            "80610001000003e80badf00d20", "80610001000003e80badf00d8010",
        ]),
    ) {
        let octets = [netmidi_testkit::from_hex(front), octets].concat();
        netmidi_testkit::fuzz::wire_datagram(&octets);
    }

    #[test]
    fn any_script_of_messages_survives_its_packets(script in data()) {
        netmidi_testkit::fuzz::wire_roundtrip(&script);
    }
}
