//! What tshark reads in the journals that the recorder writes.
//!
//! tshark's dissector knows nothing of this workspace. 10,000 packets of random sessions go into a
//! capture file; every field that it shows of each journal has to be there, in order, at its octet
//! and with the value that was meant. What was meant is what [`Journal::parse`] reads, which the
//! golden vectors hold to another decoder; for the plain chapters also what was sent since the
//! checkpoint.
//!
//! `cargo xtask tshark [SEED]` runs it.
//!
//! [`Journal::parse`]: netmidi_journal::Journal::parse

#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic here is a failed test"
)]

mod defects;
mod fields;
mod naive;
mod pcap;
mod sessions;
mod tshark;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;
use std::{env, fs, process, thread};

use defects::{DEFECTS, Expected};
use netmidi_testkit::{Rng, to_hex};
use pcap::Datagram;
use sessions::Packet;

/// The seed is in this variable, if any.
const SEED: &str = "NETMIDI_TSHARK_SEED";

const PACKETS: usize = 10_000;
/// The chapters, and all of them have to be compared so often.
const CHAPTERS: &str = "PCMWNETADVQFX";
const AT_LEAST: usize = 200;
/// Of 100 packets so many may have something that is not compared.
const LEFT_OUT: usize = 20;

#[test]
#[ignore = "needs tshark: cargo xtask tshark"]
fn tshark_reads_what_the_recorder_meant() {
    let seed = seed();
    let version = tshark::version().expect("tshark is installed");
    println!("{version}, seed {seed}");
    let place = Place::new("sessions");
    let present = defects_of(&version, &place);

    let start = Instant::now();
    let packets = sessions::packets(seed, PACKETS).unwrap();
    let expected: Vec<_> = expect(&packets, &present);
    let made = start.elapsed();
    let capture = place.file("sessions.pcap");
    write(&capture, &packets);
    let mut number = 0;
    let mut wrong = Vec::new();
    let total = tshark::read(&capture, |shown| {
        if let Err(difference) = expected[number].compare(&shown) {
            let packet = &packets[number];
            wrong.push(format!(
                "session {}, packet {} of seed {seed}: {difference}\n  {}",
                packet.session,
                packet.number,
                to_hex(&packet.octets)
            ));
        }
        number += 1;
    });
    assert_eq!(number, packets.len(), "tshark shows all packets");
    println!(
        "{} sessions, {number} packets, {} MB read, {:.1} s to make and {:.1} s in all",
        packets.last().map_or(0, |it| it.session + 1),
        total / 1_000_000,
        made.as_secs_f32(),
        start.elapsed().as_secs_f32()
    );
    print_wrong(&wrong, seed);
    Tally::of(&expected).print_and_check();
}

/// The share of what is left out, and the statements about plain chapters, do not need tshark.
#[test]
fn the_sessions_hold_enough_that_tshark_reads() {
    let seed = seed();
    println!("seed {seed}");
    let packets = sessions::packets(seed, PACKETS).unwrap();
    Tally::of(&expect(&packets, &[true; DEFECTS.len()])).print_and_check();
}

/// The comparison sees every bit: one that is wrong in a field that is compared is noticed.
#[test]
#[ignore = "needs tshark: cargo xtask tshark"]
fn a_wrong_bit_is_noticed() {
    let version = tshark::version().expect("tshark is installed");
    let place = Place::new("wrong-bit");
    let present = defects_of(&version, &place);
    let mut rng = Rng::new(seed());
    let mut packets = sessions::packets(rng.bits(), 1_000).unwrap();
    let expected = expect(&packets, &present);
    let mut flipped = Vec::new();
    for (packet, expected) in packets.iter_mut().zip(&expected) {
        // Only what lies between two fields that are compared is certainly shown.
        if let [first, .., last] = expected.fields()
            && !expected.leaves_out()
        {
            let at = first.at + rng.index(last.at - first.at);
            let bit = 1 << rng.below(8);
            let mut fields = expected.fields().iter();
            // tshark shows S for T.
            let t = fields.any(|it| it.name == "sj_chapter_q_tflag" && it.at == at && bit == 8);
            if !t {
                packet.octets[tshark::RTP_HEADER + at] ^= bit;
                flipped.push(true);
                continue;
            }
        }
        flipped.push(false);
    }
    let capture = place.file("flipped.pcap");
    write(&capture, &packets);
    let mut number = 0;
    let mut unnoticed = Vec::new();
    tshark::read(&capture, |shown| {
        if flipped[number] == expected[number].compare(&shown).is_ok() {
            unnoticed.push(to_hex(&packets[number].octets));
        }
        number += 1;
    });
    let count = flipped.iter().filter(|it| **it).count();
    println!("{count} wrong bits, {} not noticed", unnoticed.len());
    assert!(count > 500 && unnoticed.is_empty(), "{unnoticed:#?}");
}

fn seed() -> u64 {
    env::var(SEED).map_or(1, |it| it.parse().expect("a number"))
}

/// A folder for captures, which goes away with it, unless the test fails.
#[derive(Debug)]
struct Place(PathBuf);

impl Place {
    fn new(test: &str) -> Self {
        // Two runs of the test do not write to one file.
        let name = format!("tshark-{test}-{}", process::id());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("the captures are in {}", self.0.display());
        } else {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }
}

fn write(capture: &Path, packets: &[Packet]) {
    let datagrams = packets.iter().map(|it| Datagram {
        session: it.session,
        payload: &it.octets,
    });
    pcap::write(capture, datagrams).unwrap();
}

fn expect(packets: &[Packet], present: &[bool]) -> Vec<Expected> {
    let packets = packets.iter();
    packets
        .map(|it| Expected::of(&it.octets).with(present))
        .collect()
}

/// Puts the examples of the table to tshark.
fn defects_of(version: &str, place: &Place) -> Vec<bool> {
    let capture = place.file("defects.pcap");
    let packets = defects::packets();
    let datagrams = packets.iter().map(|payload| Datagram {
        session: 0,
        payload,
    });
    pcap::write(&capture, datagrams).unwrap();
    let mut shown = Vec::new();
    tshark::read(&capture, |it| shown.push(it));
    let present = defects::present(&shown);
    for (defect, present) in DEFECTS.iter().zip(&present) {
        if !present {
            println!("{version} no longer does `{}`: not excused", defect.name);
        }
    }
    present
}

fn print_wrong(wrong: &[String], seed: u64) {
    for difference in wrong.iter().take(10) {
        println!("{difference}");
    }
    assert!(
        wrong.is_empty(),
        "tshark reads {} packets otherwise; again with `cargo xtask tshark {seed}`",
        wrong.len()
    );
}

/// What was compared.
#[derive(Debug, Default)]
struct Tally {
    packets: usize,
    journals: usize,
    left_out: usize,
    chapters: BTreeMap<char, usize>,
    defects: [usize; DEFECTS.len()],
}

impl Tally {
    fn of(packets: &[Expected]) -> Self {
        let mut tally = Self {
            packets: packets.len(),
            ..Self::default()
        };
        for expected in packets {
            tally.journals += usize::from(expected.has_journal);
            tally.left_out += usize::from(expected.leaves_out());
            for chapter in expected.compared() {
                *tally.chapters.entry(chapter).or_default() += 1;
            }
            for &index in &expected.applied {
                tally.defects[index] += 1;
            }
        }
        tally
    }

    fn print_and_check(&self) {
        let count = |chapter| self.chapters.get(&chapter).copied().unwrap_or_default();
        let chapters: Vec<_> = CHAPTERS
            .chars()
            .map(|it| format!("{it} {}", count(it)))
            .collect();
        println!(
            "{} packets, {} with a journal; chapters compared: {}",
            self.packets,
            self.journals,
            chapters.join(", ")
        );
        for (defect, count) in DEFECTS.iter().zip(self.defects) {
            println!("{count:6} packets: {}: {}", defect.name, defect.does);
        }
        let share = self.left_out as f32 * 100.0 / self.packets as f32;
        println!(
            "something is left out in {} packets, {share:.1} %",
            self.left_out
        );
        assert!(self.left_out * 100 < self.packets * LEFT_OUT, "too many");
        for chapter in CHAPTERS.chars() {
            assert!(count(chapter) >= AT_LEAST, "chapter {chapter} too seldom");
        }
    }
}
