//! Unit, property, simulation and doc tests.

use crate::local_ports::with_all_features;
use crate::stage::Verdict;

pub(crate) fn check() -> Verdict {
    with_all_features("test", &[], &[])
}
