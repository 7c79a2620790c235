//! Taking journals and chapters out of packets.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic is a failed test"
)]

use netmidi_journal::{Chapter, Journal};
use netmidi_testkit::{OwnedJournal, properties, strategies, strip};
use netmidi_wire::{PacketBudget, PacketWriter, RtpHeader, RtpPacket, RtpTimestamp, SeqNum, Ssrc};
use proptest::prelude::*;

const CHAPTERS: [Chapter; 13] = [
    Chapter::P,
    Chapter::C,
    Chapter::M,
    Chapter::W,
    Chapter::N,
    Chapter::E,
    Chapter::T,
    Chapter::A,
    Chapter::D,
    Chapter::V,
    Chapter::Q,
    Chapter::F,
    Chapter::X,
];

/// A packet with as many of the messages as fit, and perhaps a journal.
fn packet(messages: &[netmidi_message::MessageBuf], journal: Option<&[u8]>) -> Vec<u8> {
    let header = RtpHeader::midi(SeqNum(7), RtpTimestamp(1), Ssrc(2));
    let mut out = vec![0; PacketBudget::DEFAULT.get()];
    let mut writer = PacketWriter::new(&mut out, PacketBudget::DEFAULT, &header).unwrap();
    for message in messages {
        // Those that do not fit are not in it.
        let _ = writer.push(RtpTimestamp(1), message.as_message(), 0);
    }
    let len = writer.finish();
    out.truncate(len);
    if let Some(journal) = journal {
        out[RtpHeader::LEN] |= 0x40;
        out.extend_from_slice(journal);
    }
    out
}

fn list(octets: &[u8]) -> Vec<u8> {
    let packet = RtpPacket::parse(octets).unwrap();
    let section = packet.command_section().unwrap();
    assert_eq!(section.anomaly(), None);
    section.list().to_vec()
}

fn journal(octets: &[u8]) -> Option<OwnedJournal> {
    let packet = RtpPacket::parse(octets).unwrap();
    let section = packet.command_section().unwrap();
    let journal = Journal::parse(section.journal()?).unwrap();
    assert_eq!(journal.surplus(), [0; 0]);
    Some(OwnedJournal::read(&journal))
}

/// The chapters of a journal in their order: the channel, its letter, its fields in words.
fn chapters(octets: &[u8]) -> Vec<(Option<u8>, Chapter, String)> {
    let packet = RtpPacket::parse(octets).unwrap();
    let section = packet.command_section().unwrap();
    let journal = Journal::parse(section.journal().unwrap()).unwrap();
    let mut found = Vec::new();
    if let Some(it) = journal.system() {
        for chapter in it.toc() {
            let words = match chapter {
                Chapter::D => format!("{:?}", it.simple),
                Chapter::V => format!("{:?}", it.active_sense),
                Chapter::Q => format!("{:?}", it.sequencer),
                Chapter::F => format!("{:?}", it.timecode),
                _ => format!("{:?}", it.sysex),
            };
            found.push((None, chapter, words));
        }
    }
    for it in journal.channels() {
        assert!(!it.is_empty(), "a channel journal without a chapter");
        for chapter in it.toc() {
            let words = match chapter {
                Chapter::P => format!("{:?}", it.program),
                Chapter::C => format!("{:?}", it.controls),
                Chapter::M => format!("{:?}", it.parameters),
                Chapter::W => format!("{:?}", it.wheel),
                Chapter::N => format!("{:?}", it.notes),
                Chapter::E => format!("{:?}", it.extras),
                Chapter::T => format!("{:?}", it.pressure),
                _ => format!("{:?}", it.poly_pressure),
            };
            found.push((Some(it.channel.index()), chapter, words));
        }
    }
    found
}

proptest! {
    #![proptest_config(properties())]

    #[test]
    fn without_its_journal_a_packet_keeps_its_commands(
        messages in proptest::collection::vec(strategies::any_message(), 0..20),
        whole in strategies::journal(),
    ) {
        let octets = packet(&messages, Some(&whole.encode().unwrap()));
        let bare = strip(&octets, None);
        prop_assert_eq!(&bare, &packet(&messages, None));
        prop_assert_eq!(journal(&bare), None);
        prop_assert_eq!(strip(&bare, None), bare, "nothing to take away");
    }

    #[test]
    fn one_chapter_goes_and_the_others_stay(
        messages in proptest::collection::vec(strategies::any_message(), 0..20),
        whole in strategies::journal(),
    ) {
        // An empty channel journal is legal, and no sender writes one.
        let mut whole = whole;
        whole.channels.retain(|it| it.with_view(|it| !it.is_empty()));
        whole.system = whole.system.filter(|it| it.with_view(|it| !it.is_empty()));
        let octets = packet(&messages, Some(&whole.encode().unwrap()));
        let before = chapters(&octets);
        for chapter in CHAPTERS {
            let stripped = strip(&octets, Some(chapter));
            if before.iter().all(|(_, it, _)| *it != chapter) {
                prop_assert_eq!(&stripped, &octets, "{:?} is not in it", chapter);
                continue;
            }
            prop_assert_eq!(list(&stripped), list(&octets));
            let mut left = before.clone();
            left.retain(|(_, it, _)| *it != chapter);
            prop_assert_eq!(chapters(&stripped), left, "{:?}", chapter);
            let after = journal(&stripped).unwrap();
            let before = journal(&octets).unwrap();
            prop_assert_eq!(after.checkpoint, before.checkpoint);
            prop_assert_eq!(after.s, before.s);
        }
    }
}

#[test]
fn what_has_no_journal_comes_back_as_it_was() {
    for octets in [
        &[][..],
        &[0xFF, 0xFF, b'R', b'S'],
        &packet(&[], None),
        &[0x80; 12],
    ] {
        assert_eq!(strip(octets, None), octets);
        assert_eq!(strip(octets, Some(Chapter::N)), octets);
    }
}

#[test]
fn a_journal_that_gets_empty_keeps_its_checkpoint() {
    // Channel 0: W alone.
    let octets = packet(&[], Some(&[0xA0, 0, 9, 0x80, 5, 0x10, 0x80, 0x40]));
    let stripped = strip(&octets, Some(Chapter::W));
    assert!(stripped.ends_with(&[0x40, 0x80, 0, 9]), "{stripped:02x?}");
}
