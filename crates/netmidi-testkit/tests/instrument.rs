//! The instrument that judges repairs, by hand-written cases.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic is a failed test"
)]

use netmidi_message::{Channel, Controller, FrameRate, Message, Note, TimeCode};
use netmidi_testkit::{Instrument, Marks, Tolerance, from_hex};

const STRICT: Tolerance = Tolerance::STRICT;
const REPAIRED: Tolerance = Tolerance::REPAIRED;

fn play(instrument: &mut Instrument, hex: &str) {
    let octets = from_hex(hex);
    let mut rest = octets.as_slice();
    while !rest.is_empty() {
        let (message, len, _) = Message::parse_prefix(rest, None).unwrap();
        instrument.play(&message);
        rest = &rest[len..];
    }
}

fn after(hex: &str) -> Instrument {
    let mut instrument = Instrument::new();
    play(&mut instrument, hex);
    instrument
}

#[track_caller]
fn same(receiver: &str, sender: &str) {
    let difference = after(receiver).difference(&after(sender), &STRICT);
    assert_eq!(difference, None, "{receiver} | {sender}");
}

/// They differ, and this is said about it.
#[track_caller]
fn differ(receiver: &str, sender: &str, words: &str) {
    differ_beyond(&STRICT, receiver, sender, words);
}

#[track_caller]
fn differ_beyond(tolerance: &Tolerance, receiver: &str, sender: &str, words: &str) {
    let difference = after(receiver).difference(&after(sender), tolerance);
    let difference = difference.unwrap_or_default();
    assert!(difference.contains(words), "{difference:?}, not {words:?}");
}

#[track_caller]
fn tolerated(receiver: &str, sender: &str) {
    let difference = after(receiver).difference(&after(sender), &REPAIRED);
    assert_eq!(difference, None, "{receiver} | {sender}");
}

fn sounding(instrument: &Instrument, note: u8) -> u32 {
    instrument.sounding(Channel::C1, Note::new(note).unwrap())
}

#[test]
fn notes_are_stacked_and_never_fall_below_none() {
    let mut it = after("803C40 903C64 903C32");
    assert_eq!(sounding(&it, 60), 2);
    play(&mut it, "903C00");
    assert_eq!(sounding(&it, 60), 1);
    play(&mut it, "803C00 803C00 903C01");
    assert_eq!(sounding(&it, 60), 1);
    assert_eq!(it.sounding_notes(), 1);
    differ("903C64", "903C63", "channel 0: note 60: velocity 100");
    differ("923C64", "", "channel 2: note 60: sounds 1 times");
    differ("903C64 803C40", "903C64", "note 60: sounds 0 times only");
    // The newest note-on gives the velocity, also after one of two was ended.
    same("903C01 903C02 803C40", "903C02");
}

#[test]
fn notes_may_be_missing_but_never_hang() {
    tolerated("", "903C64");
    tolerated("903C10", "903C20 903C30");
    differ_beyond(&REPAIRED, "903C64", "", "note 60: sounds 1 times");
    differ_beyond(&REPAIRED, "903C64 903C64", "903C64", "sounds 2 times");
    differ_beyond(&REPAIRED, "903C63", "903C64", "velocity 99");
}

#[test]
fn mode_messages_and_resets_end_notes() {
    for mode in ["78", "7B", "7C", "7D", "7E", "7F"] {
        let it = after(&format!("903C64 904064 913C64 B0{mode}00"));
        assert_eq!(it.sounding_notes(), 1, "{mode}");
    }
    assert_eq!(after("903C64 B07900").sounding_notes(), 1);
    for reset in [
        "FF",
        "F07E7F0900F7",
        "F07E000901F7",
        "F07E7F0903F7",
        "F07E7F0A01F7",
        "F07E7F0A02F7",
    ] {
        let lasting = "903C64 B00740 C005 E00000 D010 A03C10 F305 F20100 FA F8 F1 00 F411 \
                       F07F7F010101020304F7 B06200 B00601 B06501 B07E01";
        same(&format!("{lasting} {reset}"), reset);
    }
    differ("903C64 F07E7F0902F7", "", "note 60");
}

#[test]
fn controllers_are_known_or_not() {
    same("B007 40 B10801", "B10801 B007 40");
    differ(
        "",
        "B00740",
        "channel 0: controller 7: unknown, at the sender 64",
    );
    differ(
        "B00740",
        "",
        "channel 0: controller 7: 64, at the sender unknown",
    );
    differ(
        "BF0741",
        "BF0740",
        "channel 15: controller 7: 65, at the sender 64",
    );
    differ("B07A00", "B07A7F", "controller 122");
    // 120 and the like are commands, not values.
    same("B07800 B07900", "B07900");
}

#[test]
fn switches_count_by_state_where_that_is_tolerated() {
    differ("B0407F", "B04050", "controller 64: 127, at the sender 80");
    tolerated("B0407F", "B04050");
    differ_beyond(&REPAIRED, "B0407F", "B04000", "controller 64");
    tolerated("", "B04000");
    differ_beyond(&REPAIRED, "", "B0407F", "controller 64: unknown");
    differ_beyond(&REPAIRED, "B0467F", "B04650", "controller 70");
}

#[test]
fn a_lower_half_counts_from_its_upper_half_on() {
    differ(
        "B02705 B00701",
        "B00701 B02705",
        "controller 7: lower half (39) since the upper one: 0, at the sender 5",
    );
    same("B02700 B00701", "B00701 B02700");
    // A 121 leaves open what becomes of the lower halves of 1 and 11, and of no others.
    same("B00103 B02105 B07900", "B02105 B00103 B07900");
    differ(
        "B00703 B02705 B07900",
        "B02705 B00703 B07900",
        "controller 7",
    );
}

#[test]
fn reset_all_controllers_follows_rp_015() {
    let it = after("B00140 B00B10 B0407F B0437F B00720 B07900");
    let value = |number| it.control(Channel::C1, Controller::new(number).unwrap());
    assert_eq!(value(1), Some(0));
    assert_eq!(value(11), Some(127));
    assert_eq!(
        (value(64), value(65), value(67)),
        (Some(0), Some(0), Some(0))
    );
    assert_eq!((value(7), value(66), value(68)), (Some(32), Some(0), None));
    same("E00000 D040 A03C40 B07900", "B07900");
    same("B06500 B06402 B07900 B00605", "B07900 B00605");
    differ("C005 B07900", "B07900", "program");
    differ("B00005 B07900", "B07900", "controller 0");
}

#[test]
fn a_program_belongs_to_the_bank_of_its_time() {
    same("B00001 B02002 C005", "B00001 B02002 C005");
    differ(
        "B00001 B02002 C005",
        "C005 B00001 B02002",
        "program and its bank",
    );
    differ("C005", "C006", "program and its bank");
    // A lower half before the upper one is none for the program, and still a controller's value.
    differ(
        "B02002 B00001 C005",
        "B00001 B02002 C005",
        "lower half (32)",
    );
    differ("B00001 C005 B02002", "B00001 B02002 C005", "program");
    same("B00001 C005 B02000", "B00001 B02000 C005");
}

#[test]
fn parameters_of_the_three_kinds_of_transactions() {
    // Canonical; without the lower half; without the upper half.
    same("B06301 B06200 B00609", "B06301 B00609");
    same("B06301 B06202 B06203 B00609", "B06301 B06203 B00609");
    differ(
        "B06301 B06202 B00609",
        "B06501 B06402 B00609",
        "selected parameter",
    );
    differ(
        "B06500 B06402 B00609",
        "B06500 B06402 B0060A",
        "msb: Some(9)",
    );
    // An upper half takes back the lower one and the buttons.
    same(
        "B06500 B06402 B00609 B02601 B06000 B00609",
        "B06500 B06402 B00609",
    );
    differ(
        "B06500 B06402 B00609 B06000",
        "B06500 B06402 B00609 B06000 B06000",
        "net: 1",
    );
    same("B06500 B06402 B06000 B06100", "B06500 B06402");
    same(
        "B06500 B06402 B00609 B06000 B02601",
        "B06500 B06402 B00609 B02601",
    );
    // A lower half alone, when no upper half was ever sent, sets nothing and is no plain 6.
    same("B06405 B00609 B06500", "B06500");
}

#[test]
fn the_selection_lasts() {
    differ("B06500", "B06500 B06400", "selected parameter: Pending");
    differ("B06500 B06400", "", "selected parameter");
    same("B06500 B06400 B0657F B0647F", "");
    same("B06500 B06400 B0637F B0627F", "");
    // Data entry after null is a plain controller.
    same("B0657F B0647F B00605 B02606", "B00605 B02606");
    differ("B00605", "", "controller 6");
    differ(
        "B06000",
        "",
        "controller 96 without a parameter, times modulo 64: 1",
    );
    same(&"B06100".repeat(65), "B06100");
}

#[test]
fn a_pressure_is_nobodys_business_once_the_notes_were_cut() {
    differ("D040", "D041", "channel pressure: 64, at the sender 65");
    same("D040", "D041 B07B00");
    differ("D040", "D041 B07B00 D042", "channel pressure");
    differ("A03C40", "A03C41", "note 60: pressure");
    same("A03C40", "A03C41 B07800");
    same("", "D000 A03C00 E00040");
    differ("E00140", "", "pitch wheel: 8193, at the sender 8192");
}

#[test]
fn modes_last() {
    differ("B07C00", "B07D00", "omni mode");
    same("B07D00 B07C00", "B07C00");
    differ("B07E01", "B07E02", "mono or poly");
    differ("B07E00", "B07F00", "mono or poly");
}

#[test]
fn the_sequencer_counts_clocks() {
    let sequencer = |hex| after(hex).sequencer();
    assert_eq!(sequencer("F8 F8"), (false, 0));
    assert_eq!(sequencer("FA"), (true, 0));
    assert_eq!(sequencer("FA F8"), (true, 1));
    assert_eq!(sequencer("FA F8 F8 F8 FC F8"), (false, 3));
    assert_eq!(sequencer("FA F8 F8 FC FB F8"), (true, 3));
    assert_eq!(sequencer("FA F8 F20201"), (true, 6 * 130));
    assert_eq!(sequencer("F20201 FB F8 F8"), (true, 6 * 130 + 2));
    assert_eq!(sequencer("FA F8 FA"), (true, 0));
    differ(
        "FA",
        "FA F8",
        "position of the next clock: 0, at the sender 1",
    );
    differ("FA", "", "sequencer runs");
    let far = "F27F7F FB F8 F8 F8 F8 F8 F8";
    differ("FB", far, "position");
    tolerated("FB", far);
}

#[test]
fn time_code_is_put_together() {
    let rate = FrameRate::Fps25;
    let forward = "F105 F111 F125 F132 F14A F152 F161 F173";
    let coded = TimeCode::new(17, 42, 37, 21, rate).unwrap();
    assert_eq!(after(forward).time_code(), Some(coded.plus_frames(2)));
    let reverse = "F173 F161 F152 F14A F132 F125 F111 F105";
    assert_eq!(after(reverse).time_code(), Some(coded));
    let full = "F07F7F0101312A2515F7";
    assert_eq!(after(full).time_code(), Some(coded));
    assert_eq!(after(full).full_frames(), 1);
    assert_eq!(after(full).delivered().len(), 0);
    same(reverse, full);
    // The +2 carries, and drop frame skips labels.
    let drop_frame = "F10D F111 F12B F133 F140 F150 F160 F174";
    let next = TimeCode::new(0, 1, 0, 3, FrameRate::Fps2997Drop).unwrap();
    assert_eq!(after(drop_frame).time_code(), Some(next));
}

#[test]
fn a_run_of_quarter_frames_is_open_until_it_is_broken() {
    differ("", "F105", "quarter frames of an open run");
    differ("F105 F111", "F105 F112", "quarter frames of an open run");
    differ_beyond(&REPAIRED, "", "F105", "quarter frames of an open run");
    tolerated("F105", "");
    same("F105 F111 F133", "");
    same("F133 F144", "");
    same("F105 F111 F105", "F105");
    same("F105 F07F7F0101312A2515F7", "F07F7F0101312A2515F7");
    assert_eq!(
        after("F111 F125 F132 F14A F152 F161 F173").time_code(),
        None
    );
}

#[test]
fn songs_and_undefined_messages() {
    differ("F305", "F306", "song: Some(5)");
    differ("", "F300", "song: None");
    differ("F40102", "F40103", "data of the last F4");
    differ("F401", "F401 F5", "data of the last F5");
}

#[test]
fn every_system_exclusive_message_is_delivered_once_and_in_order() {
    same("F001F7 F0F7 F001F7", "F001F7 F0F7 F001F7");
    differ(
        "F001F7",
        "F001F7 F002F7",
        "1 system exclusive messages are missing and 0 may be; the first is number 2 of 2: [02]",
    );
    differ("F001F7 F001F7", "F001F7", "1 of 2 was not sent, or twice");
    differ("F002F7 F001F7", "F001F7 F002F7", "another order: [02]");
    let [receiver, sender] = ["F001F7 F003F7", "F001F7 F002F7 F003F7"].map(after);
    assert_eq!(receiver.missing_sysex(&sender), 1);
    assert_eq!(
        receiver.difference(&sender, &STRICT.with_missing_sysex(1)),
        None
    );
    assert_eq!(receiver.delivered().next(), Some(&[1][..]));
}

#[test]
fn what_came_before_a_reset_may_be_missing() {
    tolerated("FF F002F7", "F001F7 FF F002F7");
    // The older of two equal ones is the one that is missing.
    tolerated("FF F001F7", "F001F7 FF F001F7");
    differ("FF F002F7", "F001F7 FF F002F7", "missing");
    differ_beyond(&REPAIRED, "F001F7 FF", "F001F7 FF F002F7", "number 2 of 2");
}

#[track_caller]
fn executions(receiver: &str, sender: &str) -> Option<String> {
    let tolerance = &Tolerance::REPAIRED;
    after(receiver).executions_difference(&Marks::ZERO, &after(sender), &Marks::ZERO, tolerance)
}

#[test]
fn one_execution_stands_for_many() {
    for message in [
        "F6",
        "F9",
        "FD",
        "F401",
        "F5",
        "FF",
        "F07E7F0901F7",
        "B37B00",
    ] {
        assert_eq!(executions(message, &message.repeat(3)), None, "{message}");
        let none = executions("", message).unwrap();
        assert!(
            none.contains("not executed, at the sender 1 times"),
            "{none}"
        );
    }
    assert_eq!(executions("", "FE F8 B00740 F305 F001F7"), None);
    let more = executions("F6F6", "F6").unwrap();
    assert!(
        more.contains("Tune Request (F6): executed 2 times"),
        "{more}"
    );
    let named = executions("", "B97800").unwrap();
    assert!(named.contains("channel 9: mode message 120"), "{named}");
}

#[test]
fn executions_before_a_reset_may_be_missing_and_repeated_after_one() {
    assert_eq!(executions("FF", "F6 B07B00 FF"), None);
    assert_eq!(executions("F07E7F0901F7", "FF F07E7F0901F7"), None);
    assert_eq!(executions("FF F6 F6", "FF F6"), None);
    assert!(executions("FF", "FF F6").is_some());
    assert!(executions("", "F6 FF").unwrap().contains("Reset (FF)"));
}

#[test]
fn executions_count_from_the_marks_on() {
    let [mut receiver, mut sender] = ["F6", "F6F6"].map(after);
    let marks = (receiver.marks(), sender.marks());
    let difference = |receiver: &Instrument, sender: &Instrument| {
        receiver.executions_difference(&marks.0, sender, &marks.1, &STRICT)
    };
    assert_eq!(difference(&receiver, &sender), None);
    play(&mut sender, "F6F6");
    assert!(difference(&receiver, &sender).is_some());
    play(&mut receiver, "F6");
    assert_eq!(difference(&receiver, &sender), None);
    play(&mut receiver, "FD");
    let invented = difference(&receiver, &sender).unwrap();
    assert!(invented.contains("FD: executed 1 times"), "{invented}");
}
