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

#[test]
fn random_scripts_hold_once_somebody_has_joined() {
    let mut rng = Rng::new(8);
    for _ in 0..20_000 {
        let mut script = vec![
            rng.octet(),
            0x00,
            0,
            0x00,
            1,
            // CK0 and CK2.
            0x04,
            1,
            0,
            0,
            0x03,
            1,
            0,
            0,
            0x0F,
            1,
            2,
            1,
            1,
            0,
            0,
            0,
            0x0E,
            0,
        ];
        for _ in 0..rng.index(60) {
            // What a peer sends, time, and calls, of which each has its octets; then some at random.
            let op = [0x0F, 0x0F, 0x0F, 0x06, 0x0A, 0x0E, 0x09, 0x0C][rng.index(8)];
            script.extend([op, u8::from(op == 0x0F && rng.percent(50)), rng.octet()]);
            for _ in 0..rng.index(6) {
                script.push(rng.octet());
            }
        }
        session_script(&script);
    }
}

#[test]
fn random_scripts_hold_once_we_have_invited_somebody() {
    let mut rng = Rng::new(9);
    for _ in 0..20_000 {
        // Seed; we invite peer 0; its two OK.
        let mut script = vec![rng.octet()];
        script.extend([0x0D, 0, 0, rng.octet(), rng.octet(), rng.octet()]);
        script.extend([0x0D, 0, 4, 1, 0x0D, 1, 4, 1]);
        for _ in 0..rng.index(60) {
            let op = [0x0D, 0x0D, 0x0D, 0x00, 0x02, 0x09, 0x0E, 0x06][rng.index(8)];
            let who = rng.octet() & 0x10;
            script.extend([op | who, rng.octet() % 4, rng.octet() % 16]);
            for _ in 0..rng.index(4) {
                script.push(rng.octet());
            }
        }
        session_script(&script);
    }
}
