//! Journals of random sessions, read by tshark: the test `tshark` of netmidi-journal.

use crate::stage::{Verdict, cargo, need, run};

/// Where the test finds its seed.
const SEED: &str = "NETMIDI_TSHARK_SEED";

pub(crate) fn check(seed: u32) -> Verdict {
    need("tshark", "apt install tshark")?;
    println!("seed {seed}");
    let test =
        "test --package netmidi-journal --test tshark -- --ignored --nocapture --test-threads 1";
    run(cargo(test.split(' ')).env(SEED, seed.to_string()))
}
