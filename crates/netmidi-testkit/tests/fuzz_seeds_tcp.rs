//! The fuzz target for TCP streams holds on its seeds and on a few thousand random inputs.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use std::fs;
use std::path::Path;

use netmidi_testkit::{Rng, Stream, fuzz};

#[test]
fn the_seeds_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/tcp_stream");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        fuzz::tcp_stream(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count >= 20, "{count} seeds");
}

#[test]
fn random_octets_hold() {
    let mut rng = Rng::new(1);
    for _ in 0..3000 {
        let len = rng.below(80) as usize;
        fuzz::tcp_stream(&rng.octets(len));
    }
}

/// Words of which headers are made, in an order that makes sense now and then.
fn header_like(rng: &mut Rng) -> Vec<u8> {
    const WORDS: [&str; 22] = [
        "MIDI/1.0", "MIDI/2.1", "MIDI/1", "Name", "name", "Software", "x", "-", " ", "\t", ":",
        ": ", ":", "\r\n", "\r\n", "\n", "\n", "\r", "\0", "\u{7f}", "(", "\r\n\r\n",
    ];
    let mut octets = Vec::new();
    for _ in 0..rng.below(30) {
        if rng.percent(40) {
            let name = WORDS[3 + rng.below(5) as usize];
            octets.extend_from_slice(format!("{name}: {}\r\n", rng.below(100)).as_bytes());
        } else {
            let word = WORDS[rng.below(WORDS.len() as u32) as usize];
            octets.extend_from_slice(word.as_bytes());
        }
    }
    octets
}

#[test]
fn streams_with_headers_hold() {
    let mut rng = Rng::new(2);
    for seed in 0..3000 {
        let mut data = rng.octets(2);
        data.extend(header_like(&mut rng));
        data.extend(Stream::with_messages(seed, 10).octets);
        for _ in 0..rng.below(4) {
            let at = 2 + rng.below(data.len() as u32 - 2) as usize;
            data[at] = rng.below(256) as u8;
        }
        fuzz::tcp_stream(&data);
    }
}

#[test]
fn long_headers_hold() {
    let mut rng = Rng::new(3);
    for _ in 0..300 {
        let mut data = rng.octets(2);
        for _ in 0..rng.below(60) {
            let value = "x".repeat(rng.below(300) as usize);
            let end = if rng.percent(80) { "\r\n" } else { "\n" };
            data.extend_from_slice(format!("A:{value}{end}").as_bytes());
        }
        data.extend_from_slice(&[b'\n', 0x90, 60, 64]);
        fuzz::tcp_stream(&data);
    }
}

#[test]
fn what_begins_like_tls_holds() {
    let mut rng = Rng::new(4);
    for _ in 0..3000 {
        let mut data = rng.octets(2);
        let begin: &[u8] = if rng.percent(50) {
            &[0x16, 3, 1, 2, 0, 1]
        } else {
            &[0x15, 3, 3, 0, 2]
        };
        data.extend_from_slice(begin);
        if rng.percent(60) {
            let at = 2 + rng.below(begin.len() as u32) as usize;
            data[at] = rng.below(256) as u8;
        }
        let len = 2 + rng.below(begin.len() as u32 + 1) as usize;
        data.truncate(len);
        if rng.percent(50) {
            data.extend_from_slice(b"\nName: x\n\n\x90\x3c\x40");
        }
        fuzz::tcp_stream(&data);
    }
}
