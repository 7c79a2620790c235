//! Damaged journals: the right error at the right place, or a reading that holds; never a panic,
//! and nothing out of a damaged element.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic here is a failed test"
)]

use netmidi_journal::{ChannelJournal, Journal};
use netmidi_message::Channel;
use netmidi_testkit::{from_hex, fuzz, vectors};
use netmidi_wire::Datagram;

/// Every journal of every vector file, lost ones and broken ones too.
fn journals() -> Vec<(String, Vec<u8>)> {
    let mut packets = Vec::new();
    for file in [
        "malformed",
        "journal-channel",
        "journal-system",
        "journal-combined",
    ] {
        packets.extend(vectors(file).into_iter().map(|it| (it.name, it.octets)));
    }
    for scenario in vectors("scenarios") {
        for packet in scenario.json["packets"].as_array().unwrap() {
            let octets = from_hex(packet["hex"].as_str().unwrap());
            packets.push((scenario.name.clone(), octets));
        }
    }
    let journals = packets.into_iter().filter_map(|(name, octets)| {
        let Ok(Datagram::Rtp(packet)) = Datagram::parse(&octets) else {
            return None;
        };
        let journal = packet.command_section().ok()?.journal()?.to_vec();
        Some((name, journal))
    });
    let journals: Vec<_> = journals.collect();
    assert_eq!(journals.len(), JOURNALS);
    journals
}

/// 108 of the golden vectors, and every packet of a scenario but one, which has no journal.
const JOURNALS: usize = 324;

/// What may be shown of a journal, found in another way: each element is cut out by its LENGTH and
/// read as the only one of a journal. True for the system journal; the channels.
fn may_be_shown(octets: &[u8]) -> (bool, Vec<Channel>) {
    let (flags, mut rest) = (octets[0], &octets[3..]);
    let mut shown = (false, Vec::new());
    let mut damaged = false;
    let mut doubtful = false;
    // Shown if every LENGTH leads on, to the very end.
    let mut behind = Vec::new();
    let mut last = None;
    let count = if flags & 0x20 == 0 {
        0
    } else {
        (flags & 0x0F) + 1
    };
    for index in 0..=count {
        let is_system = index == 0;
        if is_system && flags & 0x40 == 0 {
            continue;
        }
        if rest.len() < 2 {
            return shown;
        }
        let length = usize::from(rest[0] & 3) << 8 | usize::from(rest[1]);
        let min = if is_system { 2 } else { 3 };
        if length < min || length > rest.len() {
            return shown;
        }
        let (element, after) = rest.split_at(length);
        rest = after;
        let alone = [&[if is_system { 0x40 } else { 0x20 }, 0, 0], element].concat();
        let alone = Journal::parse(&alone);
        if is_system {
            shown.0 = alone.is_ok();
            doubtful = alone.is_ok_and(|it| !it.system().unwrap().surplus().is_empty());
        } else {
            let channel = element[0] >> 3 & 0x0F;
            if last.is_some_and(|last| channel <= last) {
                return shown;
            }
            last = Some(channel);
            let channel = Channel::from_index(channel).unwrap();
            if let Ok(alone) = alone {
                behind.push(channel);
                if !damaged && !doubtful {
                    shown.1.push(channel);
                }
                doubtful |= !alone.channel(channel).unwrap().surplus().is_empty();
            }
        }
        damaged |= alone.is_err();
    }
    if !damaged || rest.is_empty() {
        shown.1 = behind;
    }
    shown
}

fn check(octets: &[u8]) {
    fuzz::journal_parse(octets);
    if let Ok(salvaged) = Journal::salvage(octets) {
        let journal = salvaged.journal;
        let channels: Vec<_> = journal.channels().map(|it| it.channel).collect();
        let shown = (journal.system().is_some(), channels);
        assert_eq!(shown, may_be_shown(octets), "{octets:02x?}");
    }
}

#[test]
fn every_truncation_is_an_error_or_a_valid_reading() {
    for (name, octets) in journals() {
        let whole = Journal::parse(&octets);
        for len in 0..octets.len() {
            let cut = &octets[..len];
            check(cut);
            if let Ok(whole) = whole {
                let inside = len < octets.len() - whole.surplus().len();
                assert!(
                    !inside || Journal::parse(cut).is_err(),
                    "{name} is cut at {len}"
                );
            }
            // What is shown of the rest was in the whole.
            if let (Ok(whole), Ok(part)) = (whole, Journal::salvage(cut)) {
                let mut channels = whole.channels();
                for channel in part.journal.channels() {
                    assert_eq!(channels.next(), Some(channel), "{name} is cut at {len}");
                }
            }
        }
    }
}

#[test]
fn every_corruption_of_one_octet_is_an_error_or_a_valid_reading() {
    let mut tried = 0;
    for (_, mut octets) in journals() {
        for at in 0..octets.len() {
            let good = octets[at];
            for bad in (0..=255).filter(|&bad| bad != good) {
                octets[at] = bad;
                check(&octets);
                tried += 1;
            }
            octets[at] = good;
        }
    }
    assert!(tried > 1_000_000, "only {tried} corruptions");
}

#[test]
fn every_way_to_be_wrong_has_its_code_and_place() {
    let cases = [
        ("", "truncated-header", 0),
        ("8000", "truncated-header", 2),
        ("c00000 80", "truncated-system-journal", 3),
        ("c00000 8001", "system-length-too-small", 3),
        ("c00000 8003", "system-length-overrun", 3),
        ("a00000 8003", "truncated-channel-journal", 3),
        ("a00000 800200", "channel-length-too-small", 3),
        ("a00000 800400", "channel-length-overrun", 3),
        ("a10000 880300 800300", "channel-order", 6),
        ("a10000 880300 880300", "channel-order", 6),
        ("a00000 800480 00", "chapter-overrun", 7),
        ("a00000 800640 018040", "chapter-overrun", 7),
        ("a00000 800520 8001", "chapter-length-too-small", 6),
        ("a00000 800520 8003", "chapter-overrun", 6),
        ("a00000 800720 80040080", "chapter-overrun", 10),
        ("a00000 800508 8021", "bad-offbits-range", 6),
        ("a10000 800508 8021 880300", "bad-offbits-range", 6),
        ("c00000 c005 88c001", "log-length-too-small", 6),
        ("c00000 c004 8200", "log-length-too-small", 6),
        ("c00000 c006 88c00301", "", 0),
        ("c00000 8409 9f8080808000fd", "first-too-long", 6),
        ("c00000 8405 9c0001", "chapter-overrun", 7),
        ("c00000 8402", "chapter-overrun", 5),
    ];
    for (hex, code, offset) in cases {
        let found = match Journal::parse(&from_hex(hex)) {
            Ok(_) => ("", 0),
            Err(error) => (error.code(), error.offset()),
        };
        assert_eq!(found, (code, offset), "{hex}");
    }
}

#[test]
fn an_error_says_what_was_found_and_where() {
    let text = |hex| Journal::parse(&from_hex(hex)).unwrap_err().to_string();
    assert_eq!(
        text("a00000 800508 8021"),
        "chapter N at byte 6 has note-offs from octet 2 to 1"
    );
    assert_eq!(
        text("a10000 880300 800300"),
        "journal of channel 1 at byte 6 follows the one of channel 2"
    );
    assert_eq!(
        text("a00000 800402"),
        "channel journal at byte 3 claims 4 octets, 3 are left"
    );
    assert_eq!(
        text("a00000 800302"),
        "chapter T is cut short at byte 6 by the end of what encloses it"
    );
}

fn salvaged(hex: &str) -> (bool, Vec<u8>) {
    let octets = from_hex(hex);
    let journal = Journal::salvage(&octets).unwrap().journal;
    let channels = journal.channels().map(|it| it.channel.number());
    (journal.system().is_some(), channels.collect())
}

#[test]
fn a_damaged_chapter_costs_only_its_element() {
    // Channel 2 has LOW above HIGH; 1 and 3 are whole.
    let hex = "a20000 80040201 88050880 21 90040203";
    assert_eq!(salvaged(hex), (false, vec![1, 3]));
    // The system journal has an empty chapter X.
    assert_eq!(salvaged("e00000 8402 80040201"), (false, vec![1]));
    // Two of four.
    let hex = "a30000 800302 88040202 900302 98040204";
    assert_eq!(salvaged(hex), (false, vec![2, 4]));
}

#[test]
fn nothing_behind_a_length_that_leads_astray_is_shown() {
    // Channel 2 claims one octet too few, and channel 3 seems to begin inside it.
    let hex = "a20000 80040201 880410 00 40 90040203";
    assert_eq!(salvaged(hex), (false, vec![1]));
    // One octet too many in channel 1: its chapter is whole, what follows is not where it was.
    let hex = "a10000 80050201 88040203";
    assert_eq!(salvaged(hex), (false, vec![1]));
    // A surplus in channel 1 and a cut channel 3: channel 2 may be an accident.
    let hex = "a20000 8005020100 88040203 9004";
    assert_eq!(salvaged(hex), (false, vec![1]));
    // The same surplus with all else whole is legal.
    let hex = "a10000 8005020100 88040203";
    assert!(Journal::parse(&from_hex(hex)).is_ok());
    // A damage inside, and octets behind the journal.
    assert_eq!(salvaged("a10000 80040201 880302 00"), (false, vec![1]));
}

#[test]
fn the_longest_elements_are_read() {
    let mut octets = vec![0xA0, 0, 0, 0x83, 0xFF, 0x02, 0x81];
    octets.resize(3 + ChannelJournal::MAX_LEN, 0);
    let journal = Journal::parse(&octets).unwrap();
    let surplus = journal.channels().next().unwrap().surplus().len();
    assert_eq!(surplus, ChannelJournal::MAX_LEN - 4);
}
