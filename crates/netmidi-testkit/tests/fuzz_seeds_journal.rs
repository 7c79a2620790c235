//! The fuzz target of `netmidi-journal` without a fuzzer: over its seeds, over damaged seeds, and
//! over noise.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic here is a failed test"
)]

use std::fs;

use netmidi_testkit::{Rng, fuzz, vectors};
use netmidi_wire::Datagram;

/// Names and octets of the seeds, in the same order everywhere.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = format!("{}/../../fuzz/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut seeds: Vec<_> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read(path).unwrap())
        })
        .collect();
    seeds.sort();
    seeds
}

/// A few octets changed, put in, taken out, or another seed's end put on.
fn damage(rng: &mut Rng, octets: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..=rng.below(4) {
        let at = rng.index(octets.len() + 1);
        match rng.below(5) {
            0 if at < octets.len() => octets[at] = rng.octet(),
            1 if at < octets.len() => octets[at] ^= 1 << rng.below(8),
            2 if at < octets.len() => drop(octets.remove(at)),
            3 => octets.insert(at, rng.octet()),
            _ => {
                octets.truncate(at);
                octets.extend(&other[rng.index(other.len() + 1)..]);
            }
        }
    }
}

#[test]
fn journal_parse_survives_seeds_damage_and_noise() {
    survive("journal_parse", fuzz::journal_parse);
}

#[test]
fn journal_repair_survives_seeds_damage_and_noise() {
    survive("journal_repair", fuzz::journal_repair);
}

fn survive(target: &str, body: fn(&[u8])) {
    let seeds: Vec<_> = seeds(target)
        .into_iter()
        .map(|(_, octets)| octets)
        .collect();
    seeds.iter().for_each(|seed| body(seed));

    let mut rng = Rng::new(0x0001_6295);
    for _ in 0..50_000 {
        let mut octets = seeds[rng.index(seeds.len())].clone();
        let other = &seeds[rng.index(seeds.len())];
        damage(&mut rng, &mut octets, other);
        body(&octets);
    }
    for _ in 0..20_000 {
        let len = rng.index(200);
        let octets = rng.octets(len);
        body(&octets);
    }
}

#[test]
fn every_golden_journal_is_a_seed() {
    let seeds = seeds("journal_parse");
    let mut golden = 0;
    for file in [
        "malformed",
        "journal-channel",
        "journal-system",
        "journal-combined",
    ] {
        for vector in vectors(file) {
            let Ok(Datagram::Rtp(packet)) = Datagram::parse(&vector.octets) else {
                continue;
            };
            let Ok(section) = packet.command_section() else {
                continue;
            };
            let Some(journal) = section.journal() else {
                continue;
            };
            let seed = seeds.iter().find(|(name, _)| *name == vector.name);
            let seed = seed.map(|(_, octets)| octets.as_slice());
            assert_eq!(seed, Some(journal), "{}", vector.name);
            golden += 1;
        }
    }
    assert_eq!(golden, 108);
}
