//! Fixed octets mean fixed messages, in both dialects and cut anywhere.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use netmidi_message::Dialect;
use netmidi_testkit::fuzz::{Read, Received, receive};
use netmidi_testkit::{Rng, Vector, to_hex, vectors};

/// Decodes the octets whole, one by one, cut in two at every place, and in random pieces; what
/// comes out has to be the same each time.
fn receive_every_way(read: Read, octets: &[u8]) -> Vec<Received> {
    let whole = receive(read, [octets]).unwrap();
    assert_eq!(receive(read, octets.chunks(1)).unwrap(), whole);
    for at in 0..=octets.len() {
        let (left, right) = octets.split_at(at);
        assert_eq!(receive(read, [left, right]).unwrap(), whole, "cut at {at}");
    }
    let mut rng = Rng::new(octets.len() as u64);
    for _ in 0..100 {
        let mut rest = octets;
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((rng.below(5) as usize).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        assert_eq!(receive(read, pieces).unwrap(), whole);
    }
    whole
}

/// The messages in hex.
fn messages(received: &[Received]) -> Vec<String> {
    received
        .iter()
        .filter_map(|received| match received {
            Received::Message(message) => Some(to_hex(&message.to_vec())),
            Received::Header(_) | Received::Discarded(..) => None,
        })
        .collect()
}

fn expected(vector: &Vector) -> Vec<&str> {
    let messages = vector.expect["messages"].as_array().unwrap();
    messages.iter().map(|m| m.as_str().unwrap()).collect()
}

#[track_caller]
fn assert_agrees(file: &str, dialect: Dialect) {
    for vector in vectors(file) {
        let received = receive_every_way(Read::new(dialect), &vector.octets);
        assert_eq!(messages(&received), expected(&vector), "{}", vector.name);
    }
}

#[test]
fn the_mido_dialect_gives_what_mido_gives() {
    assert_agrees("socket-port", Dialect::Mido);
}

#[test]
fn the_din_dialect_gives_what_the_rules_of_the_cable_give() {
    assert_agrees("socket-port-din", Dialect::Din);
}

/// What is in a stream that the two dialects read differently, if anything.
fn reason(octets: &[u8]) -> Option<&'static str> {
    if octets
        .iter()
        .any(|o| matches!(o, 0xF4 | 0xF5 | 0xF9 | 0xFD))
    {
        return Some("undefined-status");
    }
    let (mut status, mut missing) = (0, 0);
    for octet in octets {
        match octet {
            0x00..=0x7F if missing > 0 => missing -= 1,
            0x00..=0x7F if matches!(status, 0x80..=0xEF) => return Some("running-status"),
            0x00..=0x7F => {}
            0xF8.. if missing > 0 => return Some("real-time-inside"),
            0xF8.. => {}
            _ => {
                status = *octet;
                missing = match octet {
                    0xC0..=0xDF | 0xF1 | 0xF3 => 1,
                    0x80..=0xEF | 0xF2 => 2,
                    _ => 0,
                };
            }
        }
    }
    None
}

#[test]
fn the_dialects_differ_where_there_is_a_reason_and_nowhere_else() {
    let (mido, din) = (vectors("socket-port"), vectors("socket-port-din"));
    let inputs = |vectors: &[Vector]| -> Vec<(String, Vec<u8>)> {
        let pairs = vectors.iter().map(|v| (v.name.clone(), v.octets.clone()));
        pairs.collect()
    };
    assert_eq!(inputs(&mido), inputs(&din), "the same inputs");
    let mut differences = Vec::new();
    for (mido, din) in mido.iter().zip(&din) {
        let name = &din.name;
        let given = din.json["reason"].as_str();
        assert_eq!(given, reason(&din.octets), "{name}");
        assert_eq!(expected(mido) != expected(din), given.is_some(), "{name}");
        differences.extend(given);
    }
    differences.sort_unstable();
    differences.dedup();
    assert_eq!(
        differences,
        ["real-time-inside", "running-status", "undefined-status"]
    );
}

#[test]
fn the_header_of_the_vector_is_one() {
    let vectors = vectors("socket-port");
    let vector = vectors.iter().find(|v| v.name == "ascii-header").unwrap();
    let received = receive_every_way(Read::new(Dialect::Mido), &vector.octets);
    let [Received::Header(header), Received::Message(_)] = &received[..] else {
        panic!("{received:?}");
    };
    assert_eq!(header.version, Some((1, 0)));
    assert_eq!(header.fields, []);
}

#[test]
fn octets_in_no_message_are_all_told_of() {
    // Mido drops these without a word.
    let octets = [
        0x01, 0x02, 0x90, 60, 64, 65, 0x90, 60, 0xF8, 0xF7, 0xF0, 1, 0x90,
    ];
    let received = receive_every_way(Read::new(Dialect::Mido), &octets);
    let told: Vec<(&str, u64, &[u8])> = received
        .iter()
        .filter_map(|received| match received {
            Received::Discarded(reason, offset, len, head) => {
                assert_eq!(*len, head.len());
                Some((reason.code(), *offset, &head[..]))
            }
            Received::Header(_) | Received::Message(_) => None,
        })
        .collect();
    assert_eq!(
        told,
        [
            ("stray-data", 0, &[1, 2][..]),
            ("stray-data", 5, &[65]),
            ("incomplete", 6, &[0x90, 60]),
            ("stray-end", 9, &[0xF7]),
            ("sysex-cut", 10, &[0xF0, 1]),
            ("end-of-stream", 12, &[0x90]),
        ]
    );
}
