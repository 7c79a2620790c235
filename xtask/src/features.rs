//! Every published crate with no feature, each feature alone, and all features.

use crate::local_ports;
use crate::manifest;
use crate::stage::{Stop, Verdict, cargo, run};

pub(crate) fn check() -> Verdict {
    let mut failed = Vec::new();
    let mut missing = false;
    for krate in manifest::crates()?
        .into_iter()
        .filter(|krate| krate.published)
    {
        let mut choices = vec![vec!["--no-default-features"]];
        for feature in &krate.features {
            choices.push(vec!["--no-default-features", "--features", feature]);
        }
        choices.push(vec!["--all-features"]);
        for choice in choices {
            if !local_ports::can_build_choice(&krate.name, &choice) {
                println!("not built: {} {}", krate.name, choice.join(" "));
                missing = true;
                continue;
            }
            // clippy is `cargo check` with warnings: an import that one feature leaves unused
            // fails too.
            let mut command = cargo(["clippy", "--quiet", "--package", &krate.name]);
            command.args(&choice).args(["--", "-D", "warnings"]);
            if let Err(Stop::Failed(_)) = run(&mut command) {
                failed.push(format!("{} {}", krate.name, choice.join(" ")));
            }
        }
    }
    if missing {
        local_ports::say_what_is_missing();
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("does not build cleanly: {}", failed.join("; ")).into())
    }
}
