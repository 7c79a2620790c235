//! Unit, property, simulation and doc tests.

use crate::stage::{Verdict, cargo, run};

pub(crate) fn check() -> Verdict {
    run(&mut cargo("test --workspace --all-features".split(' ')))
}
