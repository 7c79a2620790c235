//! What does not fit: which of it comes first, and that all of it arrives in the end.

#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic here is a failed test"
)]

use std::collections::BTreeSet;

use netmidi_journal::{FirstIndex, Form, Journal, Recorder, RecorderConfig, Written};
use netmidi_message::{Channel, ChannelMessage, Controller, Message, Note, SysEx, U7};
use netmidi_testkit::properties;
use netmidi_testkit::strategies::any_message;
use netmidi_wire::{RtpTimestamp, SeqNum};
use proptest::prelude::*;

const NOW: RtpTimestamp = RtpTimestamp(0);

fn recorder() -> Recorder {
    Recorder::new(RecorderConfig::default(), SeqNum(1))
}

fn u7(value: u8) -> U7 {
    U7::new(value).unwrap()
}

fn control(channel: Channel, number: u8, value: u8) -> Message<'static> {
    let number = Controller::new(number).unwrap();
    ChannelMessage::control_change(channel, number, u7(value)).into()
}

fn note_on(channel: Channel, note: u8) -> Message<'static> {
    ChannelMessage::note_on(channel, Note::new(note).unwrap(), u7(100)).into()
}

fn note_off(channel: Channel, note: u8, velocity: u8) -> Message<'static> {
    ChannelMessage::note_off(channel, Note::new(note).unwrap(), u7(velocity)).into()
}

#[track_caller]
fn write<'o>(recorder: &mut Recorder, out: &'o mut [u8]) -> (Journal<'o>, bool) {
    let Written { len, complete, .. } = recorder.write(NOW, Form::Full, out).unwrap();
    let journal = Journal::parse(&out[..len]).unwrap();
    assert!(journal.surplus().is_empty());
    (journal, complete)
}

/// The controllers that the journal tells, with their channel.
fn controls(journal: &Journal<'_>) -> BTreeSet<(u8, u8)> {
    let mut found = BTreeSet::new();
    for channel in journal.channels() {
        for log in channel.controls.iter().flat_map(|it| it.logs().iter()) {
            found.insert((channel.channel.index(), log.controller.get()));
        }
    }
    found
}

/// 16 times 50 controllers, in 100 packets.
fn crowd(recorder: &mut Recorder, out: &mut [u8]) -> BTreeSet<(u8, u8)> {
    let mut all = BTreeSet::new();
    for number in 0..100_u8 {
        write(recorder, out);
        for channel in Channel::all().filter(|it| it.index() % 2 == number % 2) {
            let controller = 70 + number / 2;
            if matches!(controller, 96..=101) {
                continue;
            }
            recorder.record(NOW, control(channel, controller, number));
            all.insert((channel.index(), controller));
        }
        recorder.end_packet();
    }
    all
}

#[test]
fn with_reports_everything_is_told_until_it_has_arrived() {
    let mut recorder = recorder();
    let mut out = [0; 300];
    let all = crowd(&mut recorder, &mut out);
    // The receiver has got nothing so far but the first packet; from now on every other one.
    assert!(recorder.acknowledge(SeqNum(1)));
    let mut told = BTreeSet::new();
    let mut rounds = 0;
    while !recorder.is_settled() {
        let (journal, _) = write(&mut recorder, &mut out);
        if rounds % 2 == 0 {
            told.extend(controls(&journal));
        }
        recorder.end_packet();
        if rounds % 10 == 4 {
            assert!(recorder.acknowledge(SeqNum(101 + rounds)));
        }
        rounds += 1;
        assert!(rounds < 200, "{} of {}", told.len(), all.len());
    }
    assert!(told.is_superset(&all.into_iter().filter(|it| it.1 > 70).collect()));
    let (journal, complete) = write(&mut recorder, &mut out);
    assert!(journal.is_empty() && complete);
    assert!(recorder.overflows() > 0);
}

#[test]
fn without_reports_everything_has_its_turn() {
    let mut recorder = recorder();
    let mut out = [0; 300];
    let all = crowd(&mut recorder, &mut out);
    let mut told = BTreeSet::new();
    let mut rounds = 0;
    while told != all {
        let (journal, complete) = write(&mut recorder, &mut out);
        assert!(!complete);
        told.extend(controls(&journal));
        recorder.end_packet();
        rounds += 1;
        assert!(rounds < 50, "{} of {}", told.len(), all.len());
    }
}

#[test]
fn what_keeps_notes_from_hanging_comes_first() {
    let mut recorder = recorder();
    let mut out = [0; 500];
    write(&mut recorder, &mut out);
    for channel in Channel::all() {
        recorder.record(NOW, control(channel, 64, 127));
        for number in 0..30 {
            recorder.record(NOW, control(channel, number, 1));
        }
        recorder.record(NOW, note_on(channel, 1));
        recorder.record(NOW, note_off(channel, 60, 1));
        recorder.record(NOW, control(channel, 121, 0));
    }
    recorder.end_packet();
    let (journal, complete) = write(&mut recorder, &mut out);
    assert!(!complete);
    for channel in Channel::all() {
        let journal = journal.channel(channel).unwrap();
        let notes = journal.notes.unwrap();
        assert!(notes.off().contains(Note::MIDDLE_C) && notes.logs().len() == 1);
        let logs = journal.controls.unwrap().logs();
        let numbers: Vec<_> = logs.iter().map(|it| it.controller.get()).collect();
        assert!(
            numbers.contains(&64) && numbers.ends_with(&[121]),
            "{numbers:?}"
        );
    }
}

#[test]
fn a_channel_of_more_than_1023_octets_loses_its_least() {
    let mut recorder = recorder();
    let mut out = [0; 1_400];
    write(&mut recorder, &mut out);
    for note in 0..128 {
        recorder.record(NOW, note_on(Channel::C1, note));
        recorder.record(NOW, note_on(Channel::C1, note));
        let pressure = ChannelMessage::poly_pressure(Channel::C1, Note::new(note).unwrap(), u7(1));
        recorder.record(NOW, pressure.into());
    }
    for number in (0..98).chain(102..120) {
        recorder.record(NOW, control(Channel::C1, number, 1));
    }
    for number in 0..100 {
        recorder.record(NOW, control(Channel::C1, 101, 1));
        recorder.record(NOW, control(Channel::C1, 100, number));
    }
    recorder.end_packet();
    let (journal, complete) = write(&mut recorder, &mut out);
    assert!(!complete);
    let channel = journal.channel(Channel::C1).unwrap();
    assert_eq!(channel.notes.unwrap().logs().len(), 128);
    assert_eq!(channel.extras.unwrap().logs().len(), 128);
    let pressures = channel.poly_pressure.map_or(0, |it| it.logs().len());
    assert!(pressures < 128 && channel.encoded_len() > 1000);
    recorder.end_packet();
    for packet in 2..10 {
        recorder.acknowledge(SeqNum(packet));
        write(&mut recorder, &mut out);
        recorder.end_packet();
    }
    assert!(recorder.is_settled());
}

#[test]
fn system_exclusive_has_a_bound() {
    let mut recorder = recorder();
    let mut out = [0; 1_400];
    assert_eq!(recorder.sysex_room(), 640);
    let data = [1; 300];
    let message = Message::SysEx(SysEx::new(&data).unwrap());
    for sent in 0..3 {
        assert_eq!(recorder.sysex_dropped(), u64::from(sent == 3));
        write(&mut recorder, &mut out);
        recorder.record(NOW, message);
        recorder.end_packet();
    }
    // Of the first only its end is left: who missed it learns so.
    assert_eq!((recorder.sysex_room(), recorder.sysex_dropped()), (36, 1));
    let (journal, complete) = write(&mut recorder, &mut out);
    let counts: Vec<_> = journal
        .system()
        .unwrap()
        .sysex
        .unwrap()
        .iter()
        .map(|it| (it.count, it.first.map(FirstIndex::get)))
        .collect();
    let told = vec![(Some(1), Some(296)), (Some(2), None), (Some(3), None)];
    assert_eq!((counts, complete), (told, true));
    // Too much for one.
    recorder.record(NOW, Message::SysEx(SysEx::new(&[1; 641]).unwrap()));
    assert_eq!((recorder.sysex_room(), recorder.sysex_dropped()), (32, 2));
    recorder.end_packet();
    assert!(recorder.acknowledge(SeqNum(4)));
    // Too many.
    for _ in 0..33 {
        recorder.record(NOW, Message::SysEx(SysEx::new(&[]).unwrap()));
    }
    assert_eq!((recorder.sysex_room(), recorder.sysex_dropped()), (0, 3));
    recorder.end_packet();
    // What does not fit now is told later, and never one without those before it.
    let (journal, complete) = write(&mut recorder, &mut out[..20]);
    let told = journal.system().unwrap().sysex.unwrap();
    assert!(!complete);
    assert!(told.iter().map(|it| it.count).eq((6..13).map(Some)));
    recorder.end_packet();
    assert!(recorder.acknowledge(SeqNum(6)));
    let (journal, complete) = write(&mut recorder, &mut out);
    let told = journal.system().unwrap().sysex.unwrap();
    assert!(complete);
    assert!(told.iter().map(|it| it.count).eq((13..38).map(Some)));
}

#[test]
fn a_long_message_without_reports_loses_its_beginning() {
    let mut recorder = recorder();
    let mut out = [0; 1_400];
    let data = [1; 2_000];
    for part in 0..20 {
        write(&mut recorder, &mut out);
        recorder.record_sysex(NOW, &data, part * 100..part * 100 + 100, part == 19);
        recorder.end_packet();
    }
    let (journal, _) = write(&mut recorder, &mut out);
    let told = journal.system().unwrap().sysex.unwrap();
    let log = told.iter().next().unwrap();
    assert_eq!(log.first.unwrap().get(), 1_796);
    assert_eq!(log.data.unwrap().len(), 204);
    assert_eq!(recorder.sysex_dropped(), 1);
    recorder.end_packet();
    recorder.acknowledge(SeqNum(21));
    assert!(recorder.is_settled());
}

proptest! {
    #![proptest_config(properties())]

    /// Any messages in any room: what is written is a journal, and with reports it ends.
    #[test]
    fn every_journal_is_one(
        packets in prop::collection::vec(
            (prop::collection::vec(any_message(), 0..12), 0..400_usize, any::<bool>(), 0..4_u16),
            1..40,
        ),
        enhanced in any::<bool>(),
    ) {
        let mut config = RecorderConfig::default();
        config.enhanced = enhanced;
        let mut recorder = Recorder::new(config, SeqNum(65_530));
        let mut next = SeqNum(65_530);
        for (messages, room, gentle, report) in &packets {
            let mut out = [0; 400];
            let form = if *gentle { Form::Gentle } else { Form::Full };
            let written = recorder.write(NOW, form, &mut out[..*room]);
            prop_assert!(written.is_some() || *gentle || *room < 3);
            if let Some(written) = written {
                let journal = Journal::parse(&out[..written.len]).unwrap();
                prop_assert!(journal.surplus().is_empty());
                prop_assert!(journal.enhanced() == enhanced);
                for channel in journal.channels() {
                    prop_assert!(channel.surplus().is_empty() && !channel.is_empty());
                }
                prop_assert!(journal.system().is_none_or(|it| it.surplus().is_empty() && !it.is_empty()));
                prop_assert!(!gentle || !journal.s() && !journal.has_system() && journal.channel_count() < 2);
                prop_assert!(next.distance_from(journal.checkpoint()) >= 0);
            }
            for message in messages {
                recorder.record(NOW, message.as_message());
            }
            recorder.end_packet();
            recorder.acknowledge(next.wrapping_add(report.wrapping_neg()));
            next = next.next();
        }
        for _ in 0..100 {
            if recorder.is_settled() {
                break;
            }
            let mut out = [0; 1_400];
            recorder.write(NOW, Form::Full, &mut out).unwrap();
            recorder.end_packet();
            prop_assert!(recorder.acknowledge(next));
            next = next.next();
        }
        prop_assert!(recorder.is_settled());
        let mut out = [0; 3];
        let written = recorder.write(NOW, Form::Full, &mut out);
        prop_assert!(written.is_some_and(|it| it.complete && it.len == 3));
    }
}

/// So many things that they are not looked at all at once.
#[test]
fn of_very_many_things_the_most_needed_are_told() {
    let mut recorder = recorder();
    let mut out = [0; 700];
    for channel in Channel::all() {
        for key in 0..128 {
            write(&mut recorder, &mut out);
            recorder.record(NOW, note_on(channel, key));
            recorder.record(NOW, control(channel, key, key));
            if key % 4 == 0 {
                recorder.record(NOW, note_off(channel, key, 1));
            }
            recorder.end_packet();
        }
    }
    for number in 0..20 {
        write(&mut recorder, &mut out);
        let sysex = [0x7D, number];
        recorder.record(NOW, SysEx::new(&sysex).unwrap().into());
        recorder.end_packet();
    }
    let Written { len, complete } = recorder.write(NOW, Form::Full, &mut out).unwrap();
    assert!(!complete && len >= 690, "{len}");
    let journal = Journal::parse(&out[..len]).unwrap();
    let sysex = journal.system().unwrap().sysex.unwrap();
    assert_eq!(sysex.iter().count(), 20);
    // Pedals and modes of all channels, and the notes that were let go.
    for channel in journal.channels() {
        let told = controls(&journal);
        let number = channel.channel.index();
        assert!(told.contains(&(number, 64)) && told.contains(&(number, 127)));
    }
    assert_eq!(journal.channels().count(), 16);
}
