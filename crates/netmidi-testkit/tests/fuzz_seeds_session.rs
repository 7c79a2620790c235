//! The body of the fuzz target `session_script` over its committed seeds and over random scripts.

use netmidi_testkit::{Rng, fuzz::session_script};

#[test]
fn the_seeds_hold() {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fuzz/seeds/session_script"
    );
    let mut seeds = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        session_script(&std::fs::read(entry.unwrap().path()).unwrap());
        seeds += 1;
    }
    assert!(seeds >= 8, "only {seeds} seeds in {folder}");
}

#[test]
fn random_scripts_hold() {
    let mut rng = Rng::new(7);
    for _ in 0..20_000 {
        let script: Vec<u8> = (0..rng.index(400)).map(|_| rng.octet()).collect();
        session_script(&script);
    }
}
