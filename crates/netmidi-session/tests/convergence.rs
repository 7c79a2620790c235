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
use netmidi_testkit::{Bursts, CHAPTERS, LinkQuality, Outcome, Rng, ScriptMix, Trial};
use netmidi_wire::{PacketBudget, RunningStatus};

fn number(name: &str, default: u64) -> u64 {
    match env::var(name) {
        Ok(value) => value.parse().expect("a number"),
        Err(_) => default,
    }
}

/// Seeds of [`first_trial`] that once failed.
const FIRST_SEEDS: [u64; 20] = [
    8, 37, 152, 264, 299, 308, 668, 804, 1171, 1174, 1414, 1738, 1913, 2112, 3707, 5113, 5551,
    6141, 7307, 8570,
];
/// Seeds of [`trial`] that once failed.
const SEEDS: [u64; 12] = [
    483, 518, 1112, 1191, 1362, 1915, 2109, 2528, 2683, 2990, 4129, 5070,
];

/// A trial that the seed decides, as they were when [`FIRST_SEEDS`] failed: it must never change.
fn first_trial(seed: u64) -> Trial {
    let mut rng = Rng::new(seed);
    let mix = match rng.below(4) {
        0 => ScriptMix::piano(),
        1 => ScriptMix::controllers(),
        _ => ScriptMix::everything(),
    };
    let mut trial = Trial::new(seed, mix);
    trial.there = quality(&mut rng);
    trial.back = quality(&mut rng);
    trial.bursts = bursts(&mut rng);
    trial.policy = policy(&mut rng);
    trial
}

/// A trial that the seed decides: any kind of script, any network, one way or both.
fn trial(seed: u64) -> Trial {
    // Not the numbers that the script is made of.
    let mut rng = Rng::new(seed ^ 0x5EED);
    let mut trial = Trial::new(seed, mix(&mut rng));
    trial.there = quality(&mut rng);
    trial.back = quality(&mut rng);
    trial.bursts = bursts(&mut rng);
    trial.back_bursts = bursts(&mut rng);
    trial.policy = policy(&mut rng);
    if rng.percent(25) {
        trial.answer = Some(mix(&mut rng));
    }
    let octets = match rng.below(4) {
        0 => 256 + rng.below(256),
        1 => 256 + rng.below(8192 - 255),
        2 => 1472,
        _ => 1024,
    };
    trial.budget = PacketBudget::new(octets as u16).unwrap();
    if rng.percent(25) {
        trial.running_status = RunningStatus::On;
    }
    trial.enhanced = rng.percent(25);
    if trial.enhanced {
        // Their lists need room, and the configuration says so.
        trial.budget = trial.budget.max(PacketBudget::DEFAULT);
    }
    trial.strangers = trial.policy == JournalPolicy::Full && rng.percent(25);
    if rng.percent(5) {
        trial.pause = Duration::from_secs(rng.below(200).into());
    }
    trial
}

fn mix(rng: &mut Rng) -> ScriptMix {
    match rng.below(6) {
        0 => ScriptMix::piano(),
        1 => ScriptMix::controllers(),
        2 | 3 => ScriptMix::everything(),
        4 => ScriptMix::everything().without_resets(),
        _ => ScriptMix::chapter(CHAPTERS[rng.index(CHAPTERS.len())]),
    }
}

fn quality(rng: &mut Rng) -> LinkQuality {
    LinkQuality {
        latency: Duration::from_micros(rng.below(80_000).into()),
        jitter: Duration::from_micros(match rng.below(2) {
            0 => 0,
            _ => rng.below(30_000).into(),
        }),
        loss: rng.below(600_000),
        duplication: rng.below(100_000),
    }
}

fn bursts(rng: &mut Rng) -> Option<Bursts> {
    (rng.below(2) == 0).then(|| Bursts {
        chance: rng.below(20_000),
        longest: 1 + rng.below(200),
    })
}

fn policy(rng: &mut Rng) -> JournalPolicy {
    match rng.below(2) {
        0 => JournalPolicy::Full,
        _ => JournalPolicy::Auto,
    }
}

/// Plays all these, and tells which failed and how to play them again.
fn play(trials: impl Iterator<Item = Trial>, again: &str) -> Outcome {
    let mut total = Outcome::default();
    let mut failed = Vec::new();
    for trial in trials {
        match trial.run(None) {
            Ok(outcome) => total.add(&outcome),
            Err(what) => {
                let seed = trial.seed;
                failed.push(format!(
                    "seed {seed}: {what}\n  in {trial:?}\n  again, packet by packet: \
                     NETMIDI_TRACE=1 NETMIDI_SEED={seed} NETMIDI_SCRIPTS=1 cargo test --release \
                     -p netmidi-session --test convergence {again} -- --nocapture"
                ));
            }
        }
    }
    let count = failed.len();
    failed.truncate(10);
    assert!(failed.is_empty(), "{count} failed\n{}", failed.join("\n"));
    total
}

/// Whether journals overflow so often in this trial that it finds what is not right yet: small
/// packets, nothing but system exclusive messages, or the long lists of enhanced controllers.
fn is_tight(trial: &Trial) -> bool {
    let is_sysex = |mix: &ScriptMix| mix.weights.sysex >= 100;
    trial.budget < PacketBudget::DEFAULT
        || trial.enhanced
        || is_sysex(&trial.mix)
        || trial.answer.is_some_and(|it| is_sysex(&it))
}

/// The seeds from the first that is asked for on, and as many.
fn seeds() -> core::ops::Range<u64> {
    let (first, scripts) = (number("NETMIDI_SEED", 1), number("NETMIDI_SCRIPTS", 200));
    first..first + scripts
}

#[test]
fn loss_leaves_no_trace() {
    let total = play(seeds().map(first_trial), "loss_leaves_no_trace");
    println!("{total:#?}");
}

#[test]
fn loss_both_ways_leaves_no_trace() {
    let trials = seeds().map(trial);
    let total = play(
        trials.filter(|it| !is_tight(it)),
        "loss_both_ways_leaves_no_trace",
    );
    println!("{total:#?}");
}

#[test]
#[ignore = "one trial in a hundred still fails: see docs/journal.md, What cannot be repaired"]
fn little_room_leaves_no_trace() {
    let total = play(
        seeds().map(trial).filter(is_tight),
        "little_room_leaves_no_trace",
    );
    println!("{total:#?}");
}

#[test]
fn what_once_failed_works() {
    let again = "what_once_failed_works";
    play(FIRST_SEEDS.into_iter().map(first_trial), again);
    play(SEEDS.into_iter().map(trial), again);
}
