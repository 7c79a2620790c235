//! After any loss the receiver's instrument is what the sender's is.
//!
//! `NETMIDI_SCRIPTS` says how many scripts of 1,000 messages are played, `NETMIDI_SEED` with which
//! one to begin.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use core::time::Duration;
use std::env;

use netmidi_session::JournalPolicy;
use netmidi_testkit::{Bursts, LinkQuality, Outcome, Rng, ScriptMix, Trial};

fn number(name: &str, default: u64) -> u64 {
    match env::var(name) {
        Ok(value) => value.parse().expect("a number"),
        Err(_) => default,
    }
}

/// A trial that the seed decides: any kind of script, any network.
fn trial(seed: u64) -> Trial {
    let mut rng = Rng::new(seed);
    let mix = match rng.below(4) {
        0 => ScriptMix::piano(),
        1 => ScriptMix::controllers(),
        _ => ScriptMix::everything(),
    };
    let mut quality = |worst: u32| LinkQuality {
        latency: Duration::from_micros(rng.below(80_000).into()),
        jitter: Duration::from_micros(match rng.below(2) {
            0 => 0,
            _ => rng.below(30_000).into(),
        }),
        loss: rng.below(worst),
        duplication: rng.below(100_000),
    };
    let there = quality(600_000);
    let back = quality(600_000);
    let bursts = (rng.below(2) == 0).then(|| Bursts {
        chance: rng.below(20_000),
        longest: 1 + rng.below(200),
    });
    let policy = match rng.below(2) {
        0 => JournalPolicy::Full,
        _ => JournalPolicy::Auto,
    };
    Trial {
        seed,
        mix,
        policy,
        there,
        bursts,
        back,
    }
}

#[test]
fn loss_leaves_no_trace() {
    let (first, scripts) = (number("NETMIDI_SEED", 1), number("NETMIDI_SCRIPTS", 200));
    let mut total = Outcome::default();
    let mut failed = Vec::new();
    for seed in first..first + scripts {
        let trial = trial(seed);
        match trial.run(None) {
            Ok(outcome) => total.add(&outcome),
            Err(what) => failed.push(format!("seed {seed}: {what}\n  in {trial:?}")),
        }
    }
    println!("{scripts} scripts: {total:?}");
    let count = failed.len();
    failed.truncate(10);
    assert!(failed.is_empty(), "{count} failed\n{}", failed.join("\n"));
}
