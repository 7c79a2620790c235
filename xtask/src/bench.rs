//! The criterion benches, one by one.

use crate::manifest;
use crate::stage::{Stop, Verdict, cargo, run};

/// A bench of the workspace: its crate and its name.
#[derive(Debug)]
pub(crate) struct Bench {
    package: String,
    pub(crate) name: String,
}

impl Bench {
    pub(crate) fn run(&self) -> Verdict {
        run(
            cargo(["bench", "--all-features", "--package", &self.package])
                .args(["--bench", &self.name]),
        )
    }
}

/// All benches, from the `[[bench]]` tables.
pub(crate) fn all() -> Result<Vec<Bench>, Stop> {
    let mut benches = Vec::new();
    for krate in manifest::crates()? {
        for name in krate.benches {
            benches.push(Bench {
                package: krate.name.clone(),
                name,
            });
        }
    }
    Ok(benches)
}
