//! How many lost notes are played late, and how many are not played at all.
//!
//! `cargo test --release -p netmidi-session --test silent_share -- --nocapture`

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use core::time::Duration;

use netmidi_testkit::{Outcome, ScriptMix, Trial};

/// A piano over a network with a round trip of 20 ms that loses one packet in twenty, both ways.
#[test]
fn few_lost_notes_stay_silent() {
    let mut total = Outcome::default();
    for seed in 1..=100 {
        let mut trial = Trial::new(seed, ScriptMix::piano());
        for quality in [&mut trial.there, &mut trial.back] {
            quality.latency = Duration::from_millis(10);
            quality.loss = 50_000;
        }
        let outcome = trial.run(None);
        total.add(&outcome.unwrap_or_else(|what| panic!("seed {seed}: {what}")));
    }
    let percent = |part: u64, of: u64| part as f64 * 100.0 / of as f64;
    let recovered = total.revived + total.silent;
    println!(
        "{} note-ons; {} of them were lost and came to light while they sounded: {:.2} %; of these \
         {} stayed silent: {:.2} %, {:.3} % of all",
        total.notes,
        recovered,
        percent(recovered, total.notes),
        total.silent,
        percent(total.silent, recovered),
        percent(total.silent, total.notes),
    );
    assert!(total.silent * 10 < recovered, "{total:?}");
}
