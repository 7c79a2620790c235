//! The fuzz target for message streams holds on its seeds and on a few thousand random inputs.

use std::fs;
use std::path::Path;

use netmidi_testkit::{Rng, Stream, fuzz};

#[test]
fn the_seeds_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/message_stream");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        fuzz::message_stream(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count >= 10, "{count} seeds");
}

#[test]
fn random_octets_hold() {
    let mut rng = Rng::new(1);
    for _ in 0..3000 {
        let len = rng.below(80) as usize;
        fuzz::message_stream(&rng.octets(len));
    }
}

#[test]
fn damaged_streams_hold() {
    let mut rng = Rng::new(2);
    for seed in 0..1000 {
        let mut data = rng.octets(2);
        data.extend(Stream::with_messages(seed, 30).octets);
        for _ in 0..rng.below(8) {
            let at = 2 + rng.below(data.len() as u32 - 2) as usize;
            data[at] = rng.below(256) as u8;
        }
        fuzz::message_stream(&data);
    }
}
