//! What the journal says, chapter by chapter, against what was received.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic here is a failed test"
)]

use netmidi_journal::{Arrival, Journal, Repair, Repairer, RepairerConfig};
use netmidi_message::messages;
use netmidi_testkit::{from_hex, to_hex};
use netmidi_wire::{CommandSection, RtpTimestamp, SeqNum};

/// Received up to packet 100.
struct Receiver {
    repairer: Repairer,
    seq: SeqNum,
    at: RtpTimestamp,
}

impl Receiver {
    /// `had` came with packet 100.
    fn new(had: &str) -> Self {
        let mut it = Self {
            repairer: Repairer::new(RepairerConfig::default()),
            seq: SeqNum(100),
            at: RtpTimestamp(0),
        };
        it.repairer.begin(it.seq, it.at, Arrival::First);
        // The sender's first packet.
        it.repair(Some(&[0x80, 0, 100]), "");
        it.play(had);
        it
    }

    fn play(&mut self, list: &str) {
        for message in messages(&octets(list)) {
            self.repairer.observe(self.at, message.as_message());
        }
    }

    fn begin(&mut self, packets: u16) {
        self.seq = self.seq.wrapping_add(packets);
        let arrival = if packets == 1 {
            Arrival::InOrder
        } else {
            Arrival::Gap
        };
        self.repairer.begin(self.seq, self.at, arrival);
    }

    fn repair(&mut self, journal: Option<&[u8]>, list: &str) -> (String, Repair) {
        if !self.repairer.needs_repair() {
            return (String::new(), Repair::default());
        }
        let journal = journal.map(|it| Journal::salvage(it).unwrap());
        let mut section = octets(list);
        section.insert(0, section.len() as u8);
        let section = CommandSection::parse(&section, self.at).unwrap();
        let mut said = Vec::new();
        let repair = self.repairer.repair(journal.as_ref(), &section, &mut |it| {
            said.push(to_hex(&it.to_vec()));
        });
        (said.join(" "), repair)
    }

    /// Two packets are lost; the next has this journal.
    fn lose_two(&mut self, journal: &[u8]) -> (String, Repair) {
        self.begin(3);
        self.repair(Some(journal), "")
    }
}

fn octets(hex: &str) -> Vec<u8> {
    from_hex(&hex.replace([' ', '|'], ""))
}

/// A journal from packet 101 on, with S=0, and on channel 0 these chapters.
fn channel(toc: u8, chapters: &str) -> Vec<u8> {
    channel_from(101, toc, chapters)
}

fn channel_from(checkpoint: u8, toc: u8, chapters: &str) -> Vec<u8> {
    let chapters = octets(chapters);
    let len = chapters.len() as u8 + 3;
    [&[0x20, 0, checkpoint, 0, len, toc][..], &chapters].concat()
}

fn system(toc: u8, chapters: &str) -> Vec<u8> {
    let chapters = octets(chapters);
    let len = chapters.len() as u8 + 2;
    [&[0x40, 0, 101, toc, len][..], &chapters].concat()
}

/// What came before the loss, the chapters, and what is handed out; after which the same journal
/// hands out nothing.
fn assert_repairs(journal: impl Fn(&str) -> Vec<u8>, cases: &[(&str, &str, &str, &str)]) {
    for (what, had, chapters, expected) in cases {
        let journal = journal(chapters);
        assert!(Journal::parse(&journal).is_ok(), "{what}");
        let mut receiver = Receiver::new(had);
        let (said, repair) = receiver.lose_two(&journal);
        assert_eq!(said, *expected, "{what}");
        assert!(!repair.uncovered, "{what}");
        receiver.begin(1);
        assert_eq!(receiver.repair(Some(&journal), "").0, "", "{what}, again");
    }
}

const P: u8 = 0x80;
const C: u8 = 0x40;
const M: u8 = 0x20;
const W: u8 = 0x10;
const N: u8 = 0x08;
const E: u8 = 0x04;
const T: u8 = 0x02;
const A: u8 = 0x01;

#[test]
fn chapter_p() {
    assert_repairs(
        |it| channel(P, it),
        &[
            ("known", "c005", "05 00 00", ""),
            ("unknown", "", "05 00 00", "c005"),
            ("another", "c004", "05 00 00", "c005"),
            (
                "from another bank",
                "b00001 c005",
                "05 82 00",
                "b00002 b02000 c005",
            ),
            ("bank known", "b00002 b02003 c005", "05 82 03", ""),
            ("bank set since", "c005 b00002 b02003", "05 82 03", "c005"),
            ("no bank of the sender's", "b00002 c005", "05 00 00", ""),
            (
                "32 before 0 does not count",
                "b02003 b00002 c005",
                "05 82 00",
                "",
            ),
        ],
    );
    assert_repairs(
        |it| channel(P | C, it),
        &[(
            "the lower half was never sent",
            "b00001 b02005 c007",
            "09 82 00 | 01 2005 0002",
            "b00002 c009",
        )],
    );
}

#[test]
fn chapter_c_values_toggles_counts() {
    assert_repairs(
        |it| channel(C, it),
        &[
            ("value known", "b00764", "00 0764", ""),
            ("value differs", "b00763", "00 0764", "b00764"),
            ("value unknown", "", "00 0700", "b00700"),
            ("no toggle", "b0407f", "00 4081", ""),
            ("went off", "b0407f", "00 4082", "b04000"),
            ("off and on again", "b0407f", "00 4083", "b04000 b0407f"),
            (
                "on and off again",
                "b0407f b04000",
                "00 4084",
                "b0407f b04000",
            ),
            ("half a pedal", "", "01 4050 4081", "b04050"),
            ("half a pedal, moved", "b04045", "01 4050 4081", "b04050"),
            ("counted", "b07800", "00 78c1", ""),
            ("counted once more", "b07800", "00 78c2", "b07800"),
            ("counted often", "b07800", "00 78c9", "b07800"),
            ("count and value", "b05430", "01 54c2 5430", "b05430"),
            ("count without value", "", "00 07c1", "b00764"),
            ("each step", "b06000", "00 60c4", "b06000 b06000 b06000"),
            ("an order by its value", "b07b00", "00 7b00", "b07b00"),
            ("list order", "", "01 0a01 0702", "b00a01 b00702"),
        ],
    );
}

#[test]
fn chapter_c_order() {
    assert_repairs(
        |it| channel(C, it),
        &[
            ("modes come first", "", "01 0701 7bc1", "b07b00 b00701"),
            ("older than 121", "b0407f b07900", "01 4081 79c1", ""),
            ("undone with 121", "b0407f", "01 4081 79c1", "b07900"),
            (
                "the pedal after 121",
                "b0407f b07900",
                "01 79c1 4083",
                "b0407f",
            ),
            ("121 and after it", "b0017f", "01 79c1 0100", "b07900"),
            (
                "121 and a value after it",
                "b0017f",
                "01 79c1 017f",
                "b07900 b0017f",
            ),
            (
                "the upper half goes before",
                "b00701 b02702",
                "01 0703 2702",
                "b00703 b02702",
            ),
            (
                "the upper half came later",
                "b00701 b02702",
                "01 2702 0701",
                "b00701",
            ),
            (
                "the lower half again",
                "b02764 b00714",
                "01 0714 2764",
                "b02764",
            ),
            (
                "modes that exclude each other",
                "b07c00 b07d00",
                "01 7dc1 7cc2",
                "b07c00",
            ),
            (
                "closes the parameter",
                "b06500 b06400",
                "00 0611",
                "b0657f b0647f b00611",
            ),
            (
                "closes what is pending",
                "b06301",
                "00 60c1",
                "b0637f b0627f b06000",
            ),
            (
                "data for a parameter does not count",
                "b06500 b06400 b00602 b0657f b0647f",
                "00 0602",
                "b00602",
            ),
        ],
    );
}

#[test]
fn chapter_c_enhanced() {
    let enhanced = |it: &str| {
        let mut journal = channel(C, it);
        (journal[0], journal[3]) = (0x30, 0x04);
        journal
    };
    assert_repairs(
        enhanced,
        &[
            ("all known", "b00701 b00702", "02 07c1 0701 0702", ""),
            (
                "one is new",
                "b00701 b00702",
                "03 07c1 0701 0702 0703",
                "b00703",
            ),
            (
                "two are new",
                "b00701",
                "03 07c1 0701 0702 0703",
                "b00702 b00703",
            ),
            (
                "never seen",
                "",
                "03 07c4 0701 0702 0703",
                "b00701 b00702 b00703",
            ),
            (
                "interleaved",
                "b00701",
                "04 07c1 0701 0ac1 0a11 0702",
                "b00a11 b00702",
            ),
            (
                "the lower half stays behind",
                "b00701 b02702",
                "03 07c2 0703 27c1 2702",
                "b00703 b02702",
            ),
            ("not counted", "b00701", "00 0702", "b00702"),
        ],
    );
}

#[test]
fn chapter_m() {
    let had = "b06500 b06400 b00602 b02603";
    assert_repairs(
        |it| channel(M, it),
        &[
            // Short form, RPN 0, E.
            ("known", had, "34 06 | 00 c6 02 03", ""),
            (
                "another value",
                had,
                "34 06 | 00 c6 02 04",
                "b06500 b06400 b00602 b02604",
            ),
            (
                "the upper half again",
                had,
                "34 05 | 00 86 02",
                "b06500 b06400 b00602",
            ),
            ("closed", had, "14 06 | 00 c6 02 03", "b0657f b0647f"),
            (
                "another is open",
                had,
                "34 05 | 01 86 40",
                "b06500 b06401 b00640",
            ),
            (
                "an upper half waits",
                had,
                "54 07 85 | 00 c6 02 03",
                "b06305",
            ),
            ("it waits already", "b06305", "40 03 85", ""),
            ("nothing is open", "b06305", "00 02", "b0637f b0627f"),
            (
                "steps",
                "b06500 b06400 b00602 b06000",
                "34 07 | 00 a6 02 0003",
                "b06500 b06400 b06000 b06000",
            ),
            (
                "steps down",
                "b06500 b06400 b00602 b06000",
                "34 07 | 00 a6 02 8001",
                "b06500 b06400 b06100 b06100",
            ),
            (
                "a value without steps",
                "b06500 b06400 b00602 b06000",
                "34 05 | 00 86 02",
                "b06500 b06400 b00602",
            ),
            ("only counted", had, "34 05 | 00 0e 05", ""),
            ("the null parameter", "", "00 05 | 7f 7f 06", ""),
            (
                "long form",
                "",
                "20 06 | 05 83 86 11",
                "b06303 b06205 b00611",
            ),
        ],
    );
    // More steps than one repair makes.
    let journal = channel(M, "34 06 | 00 26 0100");
    let mut receiver = Receiver::new("");
    assert_eq!(receiver.lose_two(&journal).1.messages, 2 + 128);
    receiver.begin(1);
    assert_eq!(receiver.repair(Some(&journal), "").1.messages, 2 + 128);
    receiver.begin(1);
    assert_eq!(receiver.repair(Some(&journal), "").1.messages, 0);
}

#[test]
fn chapters_w_t_a() {
    assert_repairs(
        |it| channel(W | T | A, it),
        &[
            ("known", "e00050 d020 a03c11", "00 50 | 20 | 00 3c11", ""),
            (
                "all differ",
                "e00051 d021 a03c12",
                "00 50 | 20 | 00 3c11",
                "e00050 d020 a03c11",
            ),
            (
                "unknown, and a stale one",
                "",
                "00 40 | 20 | 01 3c11 3d91",
                "d020 a03c11",
            ),
            (
                "reset",
                "e00050 d020 a03c11 b07900",
                "00 40 | 00 | 00 3c00",
                "",
            ),
            (
                "again, after all notes off",
                "e00050 d020 a03c11 b07b00",
                "00 50 | 20 | 00 3c11",
                "d020 a03c11",
            ),
        ],
    );
}

#[test]
fn chapter_n() {
    assert_repairs(
        |it| channel_from(100, N, it),
        &[
            ("off", "903c64", "00 77 | 08", "803c40"),
            ("was off", "", "00 77 | 08", ""),
            (
                "all of a stack",
                "903c64 903c64",
                "00 77 | 08",
                "803c40 803c40",
            ),
            ("on, to be played", "", "01 f0 | 3ce4", "903c64"),
            ("on, too late", "", "01 f0 | 3c64", ""),
            ("on already", "903c64", "01 f0 | 3ce4", ""),
            ("struck again", "903c65", "01 f0 | 3ce4", "803c40 903c64"),
            ("struck again, too late", "903c65", "01 f0 | 3c64", "803c40"),
            (
                "more than the sender has",
                "903c64 903c64",
                "01 f0 | 3ce4",
                "803c40 803c40 903c64",
            ),
            ("velocity 0", "903c64", "01 f0 | 3c80", "803c40"),
        ],
    );
    assert_repairs(
        |it| channel(N, it),
        &[(
            "older than the journal",
            "903c64",
            "01 f0 | 3ce4",
            "803c40 903c64",
        )],
    );
    assert_repairs(
        |it| channel_from(100, N | E, it),
        &[
            ("release velocity", "903c64", "00 77 08 | 00 3c94", "803c14"),
            (
                "one is left",
                "903c64 903c64",
                "00 77 08 | 00 3c01",
                "803c40",
            ),
            (
                "nobody knows how many",
                "903c64 903c64",
                "00 77 08 | 00 3c7f",
                "",
            ),
            ("a stack", "903c64", "01 f0 3ce4 | 00 3c03", "903c64 903c64"),
        ],
    );
}

#[test]
fn a_note_on_that_is_clearly_old_was_another() {
    for (age, expected) in [(2_500, ""), (2_501, "803c40 903c64")] {
        let mut receiver = Receiver::new("903c64");
        receiver.at = RtpTimestamp(age);
        let journal = channel_from(100, N, "01 f0 | 3ce4");
        assert_eq!(receiver.lose_two(&journal).0, expected);
        // Once struck again it is not struck again for its age, however long Y stays.
        receiver.at = RtpTimestamp(age * 3);
        receiver.begin(1);
        let again = receiver.repair(Some(&journal), "").0;
        assert_eq!(again.is_empty(), !expected.is_empty());
    }
}

#[test]
fn a_note_on_in_the_list_is_not_played_twice() {
    let journal = channel(N, "01 f0 | 3ce4");
    let mut receiver = Receiver::new("");
    receiver.begin(3);
    assert_eq!(receiver.repair(Some(&journal), "903c64").0, "");
    receiver.play("903c64 803c40");
    assert_eq!(receiver.repairer.silence(&mut |_| {}), 0);
    // Behind a note-off, or with another velocity, it is another.
    for list in ["803c40 00903c64", "903c63"] {
        let mut receiver = Receiver::new("");
        receiver.begin(3);
        assert_eq!(receiver.repair(Some(&journal), list).0, "903c64");
    }
}

#[test]
fn chapter_d_and_v() {
    assert_repairs(
        |it| system(0x40, it),
        &[
            ("a reset", "903c64", "40 01", "ff"),
            ("known", "ff f6 f6 f302", "70 01 02 02", ""),
            ("tune request", "f6", "20 02", "f6"),
            ("song", "f301", "10 02", "f302"),
            ("f4 by count", "", "08 4003 02", "f4"),
            ("f4 by value", "f401", "08 2403 82", "f402"),
            ("f4 known by value", "f402", "08 2403 82", ""),
            ("f5 by count with data", "f501", "04 6804 02 82", "f502"),
            ("f9 and fd", "f9", "03 4201 4205", "fd"),
        ],
    );
    assert_repairs(|it| system(0x20, it), &[("active sense", "", "05", "")]);
}

#[test]
fn chapter_q() {
    assert_repairs(
        |it| system(0x10, it),
        &[
            ("start", "", "40", "fa"),
            ("started", "fa", "40", ""),
            ("started anew", "fa f8 f8", "40", "fc fa"),
            ("clocks", "fa f8", "70 0003", "f8 f8 f8"),
            ("stop", "fa f8", "30 0000", "fc"),
            (
                "a jump while it runs",
                "fa f8",
                "70 0063",
                "fc f21000 fb f8 f8 f8 f8",
            ),
            ("a jump while it stands", "", "10 0258", "f26400"),
            ("off the grid", "", "30 000e", "f20200 fb f8 f8 f8 fc"),
            ("further than a song position", "", "17 ffff", ""),
            ("continue", "fa f8 fc", "70 0000", "fb"),
        ],
    );
}

#[test]
fn chapter_f() {
    let run = "f100 f111 f122";
    assert_repairs(
        |it| system(0x08, it),
        &[
            ("a full frame", "", "47 21020304", "f07f7f010121020304f7"),
            ("known", "f07f00010121020304f7", "47 21020304", ""),
            ("the rest of a run", run, "23 01230000", "f133"),
            ("a whole run", "", "22 01200000", "f100 f111 f122"),
            ("another run", run, "22 01300000", "f100 f111 f123"),
            ("in reverse", "f176", "2e 00000056", "f165"),
            (
                "complete and a run",
                "",
                "60 21020304 10000000",
                "f07f7f010121020304f7 f101",
            ),
            ("no proper run", run, "07", ""),
        ],
    );
    // Two frames later, over the minute, in drop frame: 00:00:59;28 becomes 00:01:00;02.
    let quarters = "f10c f111 f12b f133 f140 f150 f160 f174";
    assert_repairs(
        |it| system(0x08, it),
        &[("quarter frames", quarters, "57 20001004", "")],
    );
}

#[test]
fn chapter_x() {
    assert_repairs(
        |it| {
            let mut journal = system(0x04, it);
            journal[2] = 100;
            journal
        },
        &[
            ("lost", "", "2f 01 7d81", "f07d01f7"),
            ("known", "f07d01f7", "2f 01 7d81", ""),
            (
                "the second",
                "f07d01f7",
                "2f 01 7d81 2f 02 7d82",
                "f07d02f7",
            ),
            (
                "the same again",
                "f07d01f7",
                "2f 01 7d81 2f 02 7d81",
                "f07d01f7",
            ),
            ("its end is enough", "f07d0102f7", "3f 01 01 0182", ""),
            ("its end is not enough", "", "3f 01 01 0182", ""),
            ("empty", "", "27 01", "f0f7"),
            ("cancelled", "", "25 01", ""),
            ("behind a cancelled one", "", "25 01 2f 02 7d81", "f07d01f7"),
            ("a full frame is for F", "", "2f 01 7f7f010121020384", ""),
            ("reset", "b00764", "2f 01 7e7f0981", "f07e7f0901f7"),
            ("known reset", "f07e7f0901f7", "2f 01 7e7f0981", ""),
            (
                "reset again",
                "f07e7f0901f7",
                "2f 02 7e7f0981",
                "f07e7f0901f7",
            ),
            ("without counts", "f07d01f7", "0b 7d82", "f07d02f7"),
        ],
    );
}

#[test]
fn lost_system_exclusive_messages_are_counted() {
    for (had, logs, lost) in [
        ("", "3f 01 01 0182", 1),
        ("", "2f 02 7d82", 1),
        ("f07d01f7", "2f 03 7d82", 1),
        ("f07d01f7", "2f 02 7d82", 0),
        ("f07d01f7", "25 02 2f 03 7d82", 0),
    ] {
        let mut receiver = Receiver::new(had);
        let mut journal = system(0x04, logs);
        journal[2] = 100;
        let repair = receiver.lose_two(&journal).1;
        assert_eq!(repair.sysex_lost, lost, "{had}, {logs}");
        receiver.begin(1);
        assert_eq!(receiver.repair(Some(&journal), "").1, Repair::default());
    }
    // A full frame counts, and has no log.
    let mut receiver = Receiver::new("f07d01f7");
    let mut journal = system(0x0C, "47 21020304 | 2f 03 7d82");
    journal[2] = 100;
    assert_eq!(receiver.lose_two(&journal).1.sysex_lost, 0);
}

#[test]
fn one_lost_packet_is_repaired_by_the_s_bits() {
    for (journal, expected) in [
        (channel(C, "01 8a20 0732"), "b00732"),
        (channel(C, "81 0a20 0732"), ""),
        (channel(N, "81 77 | 3ce4 08"), "903c64"),
        (channel(M, "94 05 | 00 82 02"), ""),
        (channel(W | T | A, "80 50 | a0 | 80 3c11"), ""),
        (channel(P, "85 00 00"), ""),
        (system(0x10, "c0"), ""),
    ] {
        let mut receiver = Receiver::new("");
        receiver.begin(2);
        assert_eq!(
            receiver.repair(Some(&journal), "").0,
            expected,
            "{journal:02x?}"
        );
    }
    // An executed reset brings all back.
    let journal = octets("60 0065 | 40 04 40 01 | 80 06 40 80 8764");
    let mut receiver = Receiver::new("b00764");
    receiver.begin(2);
    assert_eq!(receiver.repair(Some(&journal), "").0, "ff b00764");
}

#[test]
fn a_repair_goes_on_until_the_sender_knows() {
    let mut receiver = Receiver::new("903c64 b00764");
    // No room for chapter N, then for nothing at all.
    assert_eq!(receiver.lose_two(&channel(C, "00 0763")).0, "b00763");
    receiver.begin(1);
    assert_eq!(receiver.repair(None, "").0, "");
    receiver.begin(1);
    assert_eq!(
        receiver.repair(Some(&channel(N, "80 77 | 08")), "").0,
        "803c40"
    );
    // The journal of a packet that knows of number 103 begins behind it.
    receiver.begin(1);
    let journal = channel_from(104, C, "00 0701");
    assert_eq!(receiver.repair(Some(&journal), "").0, "");
    receiver.begin(1);
    assert!(!receiver.repairer.needs_repair());

    let mut receiver = Receiver::new("");
    receiver.lose_two(&channel(C, "00 0763"));
    receiver.begin(1);
    receiver.repair(Some(&[0x80, 0, 101]), "");
    receiver.begin(1);
    assert!(
        !receiver.repairer.needs_repair(),
        "an empty journal ends it"
    );

    let mut receiver = Receiver::new("");
    receiver.lose_two(&channel(C, "00 0763"));
    for _ in 0..16_384 {
        receiver.begin(1);
        assert!(receiver.repairer.needs_repair());
    }
    receiver.begin(1);
    assert!(!receiver.repairer.needs_repair(), "it ends some time");
}

#[test]
fn system_exclusive_messages_that_come_while_a_repair_goes_on_are_known() {
    let mut receiver = Receiver::new("f07d01f7");
    receiver.lose_two(&channel(C, "00 0763"));
    receiver.play("f07d03f7");
    receiver.begin(1);
    // The second was lost with packet 101, and only now is there room to say so.
    let mut journal = system(0x04, "2f 01 7d81 2f 02 7d82 2f 03 7d83");
    journal[2] = 100;
    // The third has been played: the second would come too late.
    let (said, repair) = receiver.repair(Some(&journal), "");
    assert_eq!(said, "");
    assert_eq!(repair.sysex_lost, 1);
    receiver.begin(1);
    assert_eq!(receiver.repair(Some(&journal), "").1, Repair::default());
}

#[test]
fn what_no_journal_covers_is_made_safe() {
    let had = "903c64 903c64 913e64 b0407f b1427f 923f01 b20764";
    let safe = "803c40 803c40 b04000 813e40 b14200 823f40";
    let journal = channel(N | C, "00 0701 | 01 f0 3ce4");
    for journal in [None, Some(&journal[..4])] {
        let mut receiver = Receiver::new(had);
        receiver.begin(2);
        let (said, repair) = receiver.repair(journal, "");
        assert_eq!(said, safe);
        assert!(repair.uncovered);
        // Once is enough.
        receiver.begin(1);
        assert_eq!(receiver.repair(journal, "").1, Repair::default());
    }
    // What the journal speaks of is known; of the rest a later log is believed.
    let mut receiver = Receiver::new("903c64 913e64 b0407f b00764 b10764");
    let journal = channel_from(102, C | N, "00 407f | 01 f0 3ce4");
    let (said, repair) = receiver.lose_two(&journal);
    assert_eq!(said, "803c40 903c64 813e40");
    assert!(repair.uncovered);
    receiver.begin(1);
    let journal = channel_from(102, C, "01 407f 0764");
    assert_eq!(receiver.repair(Some(&journal), "").0, "b00764");
}

#[test]
fn a_checkpoint_that_is_the_packet_itself() {
    for (lenient, packets, uncovered) in [(true, 2, false), (true, 3, true), (false, 2, true)] {
        let mut config = RepairerConfig::default();
        config.lenient_checkpoint = lenient;
        let mut receiver = Receiver::new("");
        receiver.repairer = Repairer::new(config);
        receiver
            .repairer
            .begin(SeqNum(100), RtpTimestamp(0), Arrival::First);
        receiver.begin(packets);
        let journal = channel_from(100 + packets as u8, P, "05 00 00");
        let (said, repair) = receiver.repair(Some(&journal), "");
        assert_eq!((&*said, repair.uncovered), ("c005", uncovered));
    }
    // An empty one has nothing to say about what was lost.
    let mut receiver = Receiver::new("903c64");
    receiver.begin(2);
    let (said, repair) = receiver.repair(Some(&[0x80, 0, 102]), "");
    assert_eq!((&*said, repair.uncovered), ("803c40", true));
}

#[test]
fn a_stream_taken_up_anew_is_covered_if_the_journal_says_so() {
    for (seq, checkpoint, covered) in [
        (5_000_u16, 101_u16, true),
        (5_000, 4_990, false),
        (40, 40, false),
    ] {
        let mut receiver = Receiver::new("903c64");
        receiver
            .repairer
            .begin(SeqNum(seq), RtpTimestamp(0), Arrival::Restarted);
        let mut journal = channel(P, "05 00 00");
        journal[1..3].copy_from_slice(&checkpoint.to_be_bytes());
        let (said, repair) = receiver.repair(Some(&journal), "");
        let expected = if covered { "c005" } else { "c005 803c40" };
        assert_eq!((&*said, repair.uncovered), (expected, !covered));
    }
}

#[test]
fn the_first_packet_needs_no_cover() {
    let mut receiver = Receiver::new("");
    let repairer = &mut receiver.repairer;
    *repairer = Repairer::new(RepairerConfig::default());
    repairer.begin(SeqNum(100), RtpTimestamp(0), Arrival::First);
    assert_eq!(receiver.repair(None, "").1, Repair::default());
    let repairer = &mut receiver.repairer;
    repairer.begin(SeqNum(100), RtpTimestamp(0), Arrival::First);
    let (said, repair) = receiver.repair(Some(&channel_from(100, P, "05 00 00")), "");
    assert_eq!((&*said, repair.uncovered), ("c005", false));
}

#[test]
fn late_messages_are_executed_unless_overtaken() {
    for (newer, late, executed) in [
        ("", "803c40", true),
        ("", "903c00", true),
        ("903c64", "803c40", false),
        ("903d64", "803c40", true),
        ("", "903c64", false),
        ("", "b00701", true),
        ("b00702", "b00701", false),
        ("b00a02", "b00701", true),
        ("", "c005", true),
        ("c006", "c005", false),
        ("b00001", "c005", false),
        ("", "e00050", true),
        ("e00051", "e00050", false),
        ("903c64", "b07b00", false),
        ("803c40", "b07b00", true),
        ("903c64", "b07d00", false),
        ("b07d00", "b07c00", false),
        ("b00701", "b07900", false),
        ("d001", "b07900", false),
        ("903c64", "b07900", true),
        ("b06500", "b00601", false),
        ("b00701", "b06500", true),
        ("", "d001", false),
        ("", "a03c01", false),
        ("", "f8", false),
    ] {
        let mut receiver = Receiver::new("");
        receiver.begin(2);
        receiver.play(newer);
        let octets = octets(late);
        let message = messages(&octets).next().unwrap();
        let it = receiver
            .repairer
            .late(SeqNum(101), RtpTimestamp(0), message.as_message());
        assert_eq!(it, executed, "{late} after {newer}");
        // It counts as executed: a packet between may not undo it, the same again may.
        if executed {
            let old = receiver
                .repairer
                .late(SeqNum(100), RtpTimestamp(0), message.as_message());
            assert!(
                !old || late.starts_with("b07b") || late.starts_with("b079"),
                "{late}"
            );
        }
    }
}

#[test]
fn silence_ends_what_sounds() {
    let had = "903c64 903c64 903b64 b0407f b04241 b0457f e00050 913e64 b10740 923e64 823e40";
    let mut receiver = Receiver::new(had);
    let mut said = Vec::new();
    let count = receiver
        .repairer
        .silence(&mut |it| said.push(to_hex(&it.to_vec())));
    assert_eq!(
        said.join(" "),
        "803b40 803c40 803c40 813e40 b04000 b04200 b04500 e00040"
    );
    assert_eq!(count, 8);
    assert_eq!(receiver.repairer.silence(&mut |_| {}), 0);
}
