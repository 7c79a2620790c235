//! What a recorder writes, octet for octet.

#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic here is a failed test"
)]

use netmidi_journal::{Form, Journal, Recorder, RecorderConfig};
use netmidi_message::Message;
use netmidi_testkit::{from_hex, to_hex};
use netmidi_wire::{RtpTimestamp, SeqNum};

/// Sends packets 10 ms apart.
struct Sender {
    recorder: Recorder,
    now: RtpTimestamp,
    form: Form,
    /// The octets of a system exclusive message so far.
    sysex: Vec<u8>,
}

impl Sender {
    fn new() -> Self {
        Self::starting(SeqNum(1))
    }

    fn starting(first: SeqNum) -> Self {
        Self {
            recorder: Recorder::new(RecorderConfig::default(), first),
            now: RtpTimestamp(0xFFFF_FFF0),
            form: Form::Full,
            sysex: Vec::new(),
        }
    }

    /// The journal of the next packet, which holds these messages.
    #[track_caller]
    fn send(&mut self, messages: &str) -> String {
        let journal = self.journal().expect("a journal");
        self.record(messages);
        self.recorder.end_packet();
        journal
    }

    #[track_caller]
    fn journal(&mut self) -> Option<String> {
        let mut out = [0; 1400];
        self.now = self.now.wrapping_add(100);
        let written = self.recorder.write(self.now, self.form, &mut out)?;
        assert!(written.complete);
        let journal = Journal::parse(&out[..written.len]).unwrap();
        assert!(journal.surplus().is_empty());
        Some(to_hex(&out[..written.len]))
    }

    fn record(&mut self, messages: &str) {
        let mut octets = &*from_hex(messages);
        while !octets.is_empty() {
            let (message, len, _) = Message::parse_prefix(octets, None).unwrap();
            self.recorder.record(self.now, message);
            octets = &octets[len..];
        }
    }

    /// The journal of the next packet, which holds a part of a system exclusive message.
    #[track_caller]
    fn segment(&mut self, first: bool, data: &str, last: bool) -> String {
        let journal = self.journal().expect("a journal");
        if first {
            self.sysex.clear();
        }
        let start = self.sysex.len();
        self.sysex.extend(from_hex(data));
        let sent = start..self.sysex.len();
        self.recorder
            .record_sysex(self.now, &self.sysex, sent, last);
        self.recorder.end_packet();
        journal
    }

    #[track_caller]
    fn acknowledge(&mut self, seq: u16) {
        assert!(self.recorder.acknowledge(SeqNum(seq)));
    }
}

/// What comes behind the top header and the one of a channel journal.
fn chapters(journal: &str) -> &str {
    &journal[12..]
}

/// What comes behind the top header and the one of the system journal.
fn system(journal: &str) -> &str {
    &journal[10..]
}

/// The chapters of the packet behind one with these messages.
fn after(messages: &str) -> String {
    let mut sender = Sender::new();
    sender.send(messages);
    chapters(&sender.send("")).to_owned()
}

/// The channel journal of that packet, if the system journal holds a reset.
fn after_system(messages: &str) -> String {
    let mut sender = Sender::new();
    sender.send(messages);
    sender.send("")[14..].to_owned()
}

/// Octets, of which some belong together.
fn hex(octets: &str) -> String {
    octets.to_lowercase().replace([' ', '|'], "")
}

/// The same of the system journal.
fn system_after(messages: &str) -> String {
    let mut sender = Sender::new();
    sender.send(messages);
    system(&sender.send("")).to_owned()
}

#[test]
fn worked_examples() {
    let mut sender = Sender::new();
    assert_eq!(sender.send("903C64"), "800001");
    assert_eq!(
        sender.send("904064"),
        hex("20 0001 | 00 07 08 | 81 F0 | 3C E4")
    );
    let journal = sender.send("803C40");
    assert_eq!(journal, hex("20 0001 | 00 09 08 | 82 F0 | BC E4 | 40 E4"));
    let journal = sender.send("");
    assert_eq!(journal, hex("20 0001 | 00 08 08 | 01 77 | C0 E4 | 08"));
    sender.acknowledge(3);
    assert!(sender.recorder.is_settled());
    assert_eq!(sender.send(""), "800004");
}

#[test]
fn an_empty_journal_has_the_checkpoint_behind_the_last_report() {
    let mut sender = Sender::starting(SeqNum(65_534));
    assert_eq!(sender.send(""), "80fffe");
    assert_eq!(sender.send(""), "80fffe");
    assert!(!sender.recorder.acknowledge(SeqNum(65_533)));
    assert!(!sender.recorder.acknowledge(SeqNum(0)));
    sender.acknowledge(65_535);
    assert!(!sender.recorder.acknowledge(SeqNum(65_534)));
    assert!(!sender.recorder.acknowledge(SeqNum(65_535)));
    assert_eq!(sender.send("b00764"), "800000");
    assert_eq!(sender.send("b10764"), "200000000640000764");
    // Only what came later is left, and it says since when.
    sender.acknowledge(0);
    assert_eq!(sender.send(""), "200001080640000764");
    assert_eq!(sender.send(""), "a00001880640808764");
    sender.acknowledge(2);
    assert_eq!(sender.send(""), "800003");
}

#[test]
fn notes() {
    // Again and again: E counts.
    assert_eq!(after("903C64903C10803C40"), hex("00 77 08 | 00 3C 01"));
    assert_eq!(after("903C64903C10"), hex("81 F0 3C 90 | 00 3C 02"));
    // How it is let go. A note-on with velocity 0 says nothing about that.
    assert_eq!(after("903C64803C10"), hex("00 77 08 | 00 3C 90"));
    assert_eq!(after("903C64903C00"), hex("00 77 08"));
    assert_eq!(
        after("903C64903C64803C10"),
        hex("00 77 08 | 01 3C 01 3C 90")
    );
    assert_eq!(after("807F40"), hex("00 FF 01"));
    // Off and on again: B is still 0.
    assert_eq!(after("903C64803C40903C65"), hex("01 F0 3C E5"));
    // No count below 0.
    assert_eq!(after("803C40803C40903C65"), hex("01 F0 3C E5"));
    // Mode messages end all.
    for mode in ["78", "7b", "7c", "7d", "7e", "7f"] {
        assert_eq!(
            after(&format!("903C64803D10B0{mode}00")),
            format!("00{mode}c1")
        );
    }
    assert_eq!(after("903C64B07900"), hex("00 79C1 | 81 F0 3C E4"));
    assert_eq!(after("903C64B07B00903C10"), hex("00 7BC1 | 81 F0 3C 90"));
}

#[test]
fn notes_grow_old() {
    let mut sender = Sender::new();
    sender.send("903C64");
    assert!(sender.send("").ends_with("3ce4"));
    for _ in 0..4 {
        assert!(sender.send("").ends_with("bce4"));
    }
    assert!(sender.send("").ends_with("bc64"));
}

#[test]
fn controllers() {
    assert_eq!(after("B00764B00765B00A00"), hex("01 0765 0A00"));
    // Switches.
    assert_eq!(after("B0407FB04100B0422A"), hex("03 4081 4180 422A 4280"));
    assert_eq!(after("B0407FB04000B0407F"), hex("00 4083"));
    // Switched by controller 121, after the command.
    assert_eq!(after("B0407FB07900"), hex("01 4081 79C1"));
    assert_eq!(after("B0407FB07900B0407F"), hex("01 79C1 4083"));
    assert_eq!(after("B0447FB07900B0447F"), hex("01 79C1 4481"));
    // Counts, and what else the value may say.
    assert_eq!(after("B07E00B07E04B07801"), hex("02 7EC2 7E04 78C1"));
    assert_eq!(after("B07902"), hex("01 79C1 7902"));
    assert_eq!(after("B05430"), hex("01 54C1 5430"));
    assert_eq!(after("B06000B06000"), hex("00 60C2"));
    assert_eq!(after("B07C00B07D00"), hex("01 7CC1 7DC1"));
    assert_eq!(after("B07A7F"), hex("00 7A7F"));
    // 64 is 0 again.
    assert_eq!(after(&"B07800".repeat(65)), hex("00 78C1"));
}

#[test]
fn programs() {
    assert_eq!(after("C005"), "050000");
    assert_eq!(after("B02003C005"), hex("0500000020 03"));
    assert!(after("B00001B02003C005").starts_with("058103"));
    assert!(after("B02003B00001C005").starts_with("058100"));
    assert!(after("B00001B07900B02003C005").starts_with("058183"));
    // The bank of the program, not that of the next one.
    assert!(after("B00001C005B00002").starts_with("058100"));
    assert!(after("B00001C005B07900").starts_with("058100"));
}

#[test]
fn wheel_and_pressures() {
    assert_eq!(after("E00140D012A03C15"), hex("0140120 03c15"));
    assert_eq!(after("E00140D012A03C15B07900"), "0079c1");
    assert_eq!(after("E00140D012A03C15B07B00"), "007bc10140003c95");
}

#[test]
fn parameters() {
    // Type 1, with more and more fields.
    assert_eq!(after("B06500B06400"), "3405000e01");
    assert_eq!(after("B06500B06400B00602"), "3406008e0201");
    assert_eq!(after("B06500B06400B00602B02603"), "340700ce020301");
    // Controller 6 makes 38 unknown.
    assert_eq!(after("B06500B06400B00602B02603B00602"), "3406008e0201");
    // Buttons, and what comes before and behind controller 121.
    assert_eq!(after("B06500B06400B06000"), "3407002e000101");
    assert_eq!(after("B06500B06400B06100B06100"), "3407002e800201");
    assert_eq!(after("B06500B06400B06000B06100"), "3407002e000001");
    assert_eq!(
        after("B06500B06400B00602B06000B07900"),
        hex("0079c11408 00ae82400181")
    );
    assert_eq!(
        after("B06500B06400B06000B07900B06500B06400B06000"),
        "0079c13409003e0002000102"
    );
    // Long form, and NRPN.
    assert_eq!(after("B06301B06202B00603"), hex("2807 02818e0301"));
    assert_eq!(after("B06300B06202B00603"), "2c06028e0301");
    // The null parameter ends it.
    assert_eq!(after("B06500B06400B00602B0657FB0647F"), "1406008e0201");
    assert_eq!(after("B0657FB0647F"), "0002");
    // Half a number, type 2 and type 3.
    assert_eq!(after("B06505"), "400305");
    assert_eq!(after("B06305"), "400385");
    assert_eq!(after("B06500B06400B00602B06301"), hex("540 781008e0201"));
    assert_eq!(after("B06500B06405B06406"), "3408050e01060e01");
    assert_eq!(after("B06500B00607"), "3406008e0701");
    // Once more the same one: one log, two transactions.
    assert_eq!(after("B06500B06400B06500B06400"), "3405000e02");
    // Data without a number, or after the null parameter, is for chapter C.
    assert_eq!(after("B00607"), "000607");
    assert_eq!(after("B0657FB0647FB00607"), "0006070002");
    assert_eq!(after("B06500B06400B07900B00607"), "0179c106071405000e81");
}

#[test]
fn the_parameter_in_progress_has_a_log_as_long_as_there_is_a_chapter() {
    let mut sender = Sender::new();
    sender.send("B06500B06400B00602");
    sender.send("B06301");
    assert_eq!(chapters(&sender.send("")), "540781808e0201");
    sender.acknowledge(1);
    assert_eq!(chapters(&sender.send("B06202")), "c00381");
    sender.acknowledge(2);
    assert_eq!(chapters(&sender.send("")), "280602810e01");
}

#[test]
fn simple_system_commands() {
    assert_eq!(system_after("F6F6"), "2002");
    assert_eq!(system_after("F305F306"), "1006");
    assert_eq!(system_after("FF"), "4001");
    assert_eq!(system_after("F4"), "08400301");
    assert_eq!(system_after("F4F40102"), hex("0868050201 82"));
    assert_eq!(system_after("F501020304"), hex("046c0701 01020384"));
    assert_eq!(system_after("F9FDFD"), hex("03420142 02"));
    assert_eq!(system_after("FE"), "01");
    // Counters run on over a reset, what they count does not.
    assert_eq!(system_after("F6F305FEFFF6"), hex("60010 2"));
}

#[test]
fn the_sequencer() {
    assert_eq!(system_after("FA"), "40");
    assert_eq!(system_after("FB"), "500000");
    assert_eq!(system_after("FAF8"), "60");
    assert_eq!(system_after("FAF8F8"), "700001");
    assert_eq!(system_after("FAF8F8FC"), "300001");
    assert_eq!(system_after("F20100"), "100006");
    assert_eq!(system_after("F27F7FFB"), "517ffa");
    assert_eq!(system_after("FAFCF20000FB"), "500000");
    assert_eq!(system_after("FC"), "00");
    // Far over the end.
    let mut sender = Sender::new();
    sender.send("F27F7FFB");
    for _ in 0..(1 << 19) - 98_298 {
        sender.record("F8");
    }
    sender.recorder.end_packet();
    assert_eq!(system(&sender.send("")), "77ffff");
    sender.send("F8F8");
    assert_eq!(system(&sender.send("")), "700001");
}

#[test]
fn a_clock_that_changes_nothing_is_nothing() {
    let mut sender = Sender::new();
    sender.send("F8F8");
    assert_eq!(sender.send("FA"), "800001");
    assert_eq!(sender.send("FC"), hex("40 0001 | 10 03 | 40"));
    assert_eq!(sender.send("FCF8"), hex("40 0001 | 10 03 | 00"));
    assert_eq!(sender.send(""), hex("C0 0001 | 90 03 | 80"));
}

#[test]
fn time_code() {
    let forward = "F104F110F123F130F141F150F162F170";
    // 02:01:03:04, and two frames on.
    assert_eq!(system_after(forward), hex("57 | 60 30 10 20"));
    // Over midnight, at 30 frames a second.
    // Midway it runs backwards.
    assert_eq!(
        system_after("F10DF111F12BF133F177"),
        hex("2F | 00 00 00 07")
    );
    assert_eq!(
        system_after("F10DF111F12BF133F14BF153F167F177"),
        hex("57 | 10 00 00 06")
    );
    // Backwards it is what it says.
    let backwards = "F170F162F150F141F130F123F110F104";
    assert_eq!(system_after(backwards), hex("58 | 40 30 10 20"));
    // Runs that are not at their end.
    assert_eq!(system_after("F104"), hex("20 | 40 00 00 00"));
    assert_eq!(system_after("F104F111F122"), hex("22 | 41 20 00 00"));
    assert_eq!(system_after("F171F162"), hex("2E | 00 00 00 21"));
    assert_eq!(
        system_after(&format!("{forward}F101")),
        hex("70 | 60 30 10 20 | 10 00 00 00")
    );
    // Runs that began in the middle, or break off.
    assert_eq!(system_after("F122"), hex("07"));
    assert_eq!(system_after("F104F122"), hex("07"));
    assert_eq!(system_after("F104F111F107"), hex("20 | 70 00 00 00"));
    // A full frame ends a run.
    assert_eq!(
        system_after("F104F07F7F010121020304F7"),
        hex("47 | 21 02 03 04")
    );
    // A complete time that has arrived is not told again.
    let mut sender = Sender::new();
    sender.send(forward);
    sender.acknowledge(1);
    sender.send("F101");
    assert_eq!(system(&sender.send("")), hex("20 | 10 00 00 00"));
}

#[test]
fn system_exclusive() {
    assert_eq!(system_after("F07D01F7"), "2f017d81");
    assert_eq!(system_after("F0F7"), "2701");
    assert_eq!(system_after("F07D01F7F07D01F7"), "2f017d812f027d81");
    // Full frames are counted.
    assert_eq!(
        system_after("F07F7F010160000510F7F07D01F7"),
        "47600005102f027d81"
    );
    for reset in ["7e7f0901", "7e000900", "7e7f0903", "7e7f0a01", "7e7f0a02"] {
        let message = format!("F07D01F7F6B00764F0{reset}F7");
        let last = u8::from_str_radix(&reset[6..], 16).unwrap() | 0x80;
        assert_eq!(
            system_after(&message),
            format!("2f02{}{last:02x}", &reset[..6])
        );
        let mut sender = Sender::new();
        sender.send(&message);
        assert_eq!(sender.send("")[..2], *"40");
    }
}

#[test]
fn parts_of_system_exclusive() {
    let mut sender = Sender::new();
    sender.segment(true, "7d01", false);
    assert_eq!(system(&sender.segment(false, "0203", false)), "2c017d81");
    assert_eq!(system(&sender.send("")), "2c017d010283");
    // What has arrived is left out.
    sender.acknowledge(1);
    assert_eq!(system(&sender.send("")), "bc01020283");
    sender.acknowledge(3);
    assert_eq!(sender.segment(false, "04", true), "800004");
    // Packet 6 says when: the message is finished.
    assert_eq!(system(&sender.send("")), "3f010484");
    sender.acknowledge(6);
    assert!(sender.recorder.is_settled());
}

#[test]
fn a_message_that_is_given_up() {
    let mut sender = Sender::new();
    sender.segment(true, "7d01", false);
    let journal = sender.segment(true, "7d02", true);
    assert_eq!(system(&journal), "2c017d81");
    assert_eq!(system(&sender.send("")), "25012f027d82");
    sender.acknowledge(2);
    sender.segment(true, "7d03", false);
    sender.acknowledge(4);
    sender.recorder.cancel_sysex();
    sender.send("");
    assert_eq!(sender.send(""), hex("40 0005 | 04 04 | 25 03"));
    sender.recorder.cancel_sysex();
}

#[test]
fn a_full_frame_in_parts_has_a_log_until_it_is_whole() {
    let mut sender = Sender::new();
    sender.segment(true, "7f7f", false);
    let journal = sender.segment(false, "010121020304", true);
    assert_eq!(system(&journal), "2c017fff");
    assert_eq!(system(&sender.send("F07D01F7")), "4721020304");
    assert!(system(&sender.send("")).ends_with("2f027d81"));
}

#[test]
fn a_reset_between_the_parts_of_a_message_leaves_it() {
    let mut sender = Sender::new();
    sender.send("F07D00F7");
    sender.segment(true, "7d01", false);
    sender.send("FF");
    assert_eq!(system(&sender.send("")), "4001ac027d81");
}

#[test]
fn resets_forget_everything_but_counters_of_commands() {
    let all = "C005B00001B0407FB06500B06400B00602E00140903C64803D10D012A03C15F6F305FAF100";
    let mut sender = Sender::new();
    sender.send(&format!("{all}FF"));
    assert_eq!(
        sender.send("B0407FC005B06500B06400"),
        hex("40 0001 | 40 04 | 40 01")
    );
    // Switches, banks and parameters begin anew.
    assert_eq!(
        sender.send(""),
        hex("60 0001 | C0 04 C0 81 | 00 0E E0 | 05 00 00 | 00 40 81 | 34 05 00 0E 01")
    );
    // What comes in the same packet, behind it.
    assert_eq!(
        after_system(&format!("{all}FFB0407F")),
        hex("00 06 40 | 00 40 81")
    );
}

#[test]
fn the_gentle_form() {
    let mut sender = Sender::new();
    sender.form = Form::Gentle;
    assert_eq!(sender.send("903C64"), "000001");
    assert_eq!(sender.send("FE"), hex("20 0001 | 00 07 08 | 81 F0 | 3C E4"));
    assert_eq!(
        sender.send("913C64"),
        hex("20 0001 | 80 07 08 | 81 F0 | BC E4")
    );
    // Two channels are too many.
    assert_eq!(sender.journal(), None);
    sender.recorder.end_packet();
    assert_eq!(sender.journal(), None);
    sender.recorder.end_packet();
    // A report that they have arrived is all that there will be: one channel has room again.
    sender.acknowledge(5);
    assert!(sender.recorder.is_settled());
    sender.send("913E64");
    assert!(sender.journal().is_some());
    sender.recorder.end_packet();
    // And so is a system journal.
    sender.form = Form::Gentle;
    sender.send("FA");
    assert_eq!(sender.journal(), None);
}

#[test]
fn enhanced_chapters_list_every_command() {
    let mut sender = Sender::new();
    let mut config = RecorderConfig::default();
    config.enhanced = true;
    sender.recorder = Recorder::new(config, SeqNum(1));
    assert_eq!(sender.send("B00701B00702B07B00"), "900001");
    assert_eq!(
        sender.send("B00703"),
        hex("30 0001 | 04 0C 40 | 03 07C1 0701 0702 7BC1")
    );
    assert_eq!(
        sender.send(""),
        hex("30 0001 | 04 10 40 | 05 87C1 8701 8702 FBC1 07C3 0703")
    );
    sender.acknowledge(2);
    assert_eq!(sender.send(""), "900003");
    // The oldest make room.
    sender.journal();
    sender.record("B00A00");
    for value in 0..70 {
        sender.record(&format!("B007{value:02x}"));
    }
    sender.recorder.end_packet();
    let journal = sender.send("");
    assert_eq!(
        journal[..30],
        hex("30 0003 | 04 88 40 | 41 0AC1 0A00 07CB 0707")
    );
    assert!(journal.ends_with("07440745"));
}

#[test]
fn notes_of_16_384_packets_ago_are_let_go_and_state_is_kept() {
    let mut sender = Sender::new();
    sender.send("903C64B00764");
    for _ in 0..16_383 {
        sender.journal();
        sender.recorder.end_packet();
    }
    assert_eq!(
        sender.send(""),
        hex("A0 0001 | 80 0A 48 | 80 8764 | 81 F0 BC 64")
    );
    assert_eq!(sender.send("B00801"), hex("A0 0002 | 80 06 40 | 80 8764"));
    assert!(!sender.recorder.acknowledge(SeqNum(16_387)));
    sender.acknowledge(16_385);
    assert_eq!(sender.send(""), hex("20 4002 | 00 06 40 | 00 0801"));
}
