//! The great trial of the recovery journal: many scripts over bad networks, optimised.

use crate::stage::{Verdict, cargo, run};

/// Scripts of 1,000 messages within `ci`.
pub(crate) const CI_SCRIPTS: u32 = 10_000;

pub(crate) fn check(scripts: u32) -> Verdict {
    let arguments = "test --release -p netmidi-session --test convergence -- --nocapture";
    run(cargo(arguments.split(' ')).env("NETMIDI_SCRIPTS", scripts.to_string()))
}
