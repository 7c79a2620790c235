//! The fuzz targets of `netmidi-wire` without a fuzzer: over their seeds, over damaged seeds, and
//! over noise.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic here is a failed test"
)]

use std::fs;

use netmidi_testkit::{fuzz, vectors};

/// Names and octets of the seeds of a target, in the same order everywhere.
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

/// Numbers that look random and are the same in every run (xorshift64).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 1).unwrap() % end.max(1)
    }

    fn octet(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }

    /// A few octets changed, put in, taken out, or another seed's end put on.
    fn damage(&mut self, octets: &mut Vec<u8>, other: &[u8]) {
        for _ in 0..=self.below(4) {
            let at = self.below(octets.len());
            match self.below(5) {
                0 if at < octets.len() => octets[at] = self.octet(),
                1 if at < octets.len() => octets[at] ^= 1 << self.below(8),
                2 if at < octets.len() => drop(octets.remove(at)),
                3 => octets.insert(at, self.octet()),
                _ => {
                    octets.truncate(at);
                    octets.extend(&other[self.below(other.len())..]);
                }
            }
        }
    }
}

/// Runs a body over its seeds, 20,000 damaged ones and 2,000 pieces of noise.
fn run(target: &str, body: impl Fn(&[u8])) {
    let seeds: Vec<_> = seeds(target)
        .into_iter()
        .map(|(_, octets)| octets)
        .collect();
    assert!(!seeds.is_empty(), "no seeds for {target}");
    seeds.iter().for_each(|seed| body(seed));

    let mut noise = Noise(0x2545_F491_4F6C_DD1D);
    for _ in 0..20_000 {
        let mut octets = seeds[noise.below(seeds.len())].clone();
        let other = &seeds[noise.below(seeds.len())];
        noise.damage(&mut octets, other);
        body(&octets);
    }
    for _ in 0..2_000 {
        let len = noise.below(200);
        let octets: Vec<u8> = (0..len).map(|_| noise.octet()).collect();
        body(&octets);
    }
}

#[test]
fn wire_datagram_survives_seeds_damage_and_noise() {
    run("wire_datagram", fuzz::wire_datagram);
}

#[test]
fn wire_roundtrip_survives_seeds_damage_and_noise() {
    run("wire_roundtrip", fuzz::wire_roundtrip);
}

#[test]
fn every_golden_datagram_is_a_seed() {
    let seeds = seeds("wire_datagram");
    let files = [
        "applemidi",
        "commands",
        "malformed",
        "journal-channel",
        "journal-system",
        "journal-combined",
    ];
    let golden: Vec<_> = files.into_iter().flat_map(vectors).collect();
    for vector in &golden {
        let seed = seeds.iter().find(|(name, _)| *name == vector.name);
        assert_eq!(
            seed.map(|(_, octets)| octets),
            Some(&vector.octets),
            "{}",
            vector.name
        );
    }
    assert!(golden.len() >= 197);
}
