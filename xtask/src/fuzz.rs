//! Runs the fuzz targets for a while, with the committed seeds.

use std::fs;
use std::process::Command;

use crate::manifest::Manifest;
use crate::stage::{Stop, Verdict, root, run, works};

/// How long one target runs within `ci`.
pub(crate) const CI_SECONDS: u32 = 20;

/// The targets, from `fuzz/Cargo.toml`.
pub(crate) fn targets() -> Result<Vec<String>, Stop> {
    let bins = Manifest::read(&root().join("fuzz/Cargo.toml"))?.bins;
    if bins.is_empty() {
        return Err("fuzz/Cargo.toml names no target".to_owned().into());
    }
    Ok(bins)
}

/// One shared build, then each of `targets` for `seconds`.
pub(crate) fn check(targets: &[String], seconds: u32) -> Verdict {
    if !works(nightly().arg("--version")) {
        let reason = "nightly toolchain not found (rustup toolchain install nightly)";
        return Err(Stop::Skipped(reason.to_owned()));
    }
    if !works(nightly().args(["fuzz", "--version"])) {
        let reason = "cargo-fuzz not found (cargo install cargo-fuzz --locked)";
        return Err(Stop::Skipped(reason.to_owned()));
    }
    for target in targets {
        seeds(target)?;
    }
    run(nightly().args(["fuzz", "build", "--fuzz-dir", "fuzz"]))?;
    let mut crashed = Vec::new();
    for target in targets {
        if run_target(target, seconds).is_err() {
            let artifact = newest_artifact(target);
            crashed.push(format!(
                "{target} crashed: {artifact}; reproduce it with \
                 `cargo +nightly fuzz run --fuzz-dir fuzz {target} {artifact}`"
            ));
        }
    }
    if crashed.is_empty() {
        Ok(())
    } else {
        Err(crashed.join("; ").into())
    }
}

/// `cargo` of the nightly toolchain, in the workspace's folder.
fn nightly() -> Command {
    let mut command = Command::new("rustup");
    command
        .args(["run", "nightly", "cargo"])
        .current_dir(root());
    command
}

/// A target without a seed starts from nothing every time: that is an oversight.
fn seeds(target: &str) -> Verdict {
    let folder = root().join("fuzz/seeds").join(target);
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        Ok(())
    } else {
        Err(format!("fuzz/seeds/{target} has no seed").into())
    }
}

fn run_target(target: &str, seconds: u32) -> Verdict {
    let corpus = format!("fuzz/corpus/{target}");
    let seeds = format!("fuzz/seeds/{target}");
    fs::create_dir_all(root().join(&corpus)).map_err(|error| format!("{corpus}: {error}"))?;
    run(nightly()
        .args([
            "fuzz",
            "run",
            "--fuzz-dir",
            "fuzz",
            target,
            &corpus,
            &seeds,
            "--",
        ])
        .arg(format!("-max_total_time={seconds}"))
        // An input that takes ten seconds is a bug as well.
        .args(["-timeout=10", "-verbosity=0", "-print_final_stats=1"]))
}

fn newest_artifact(target: &str) -> String {
    let folder = format!("fuzz/artifacts/{target}");
    let entries = fs::read_dir(root().join(&folder))
        .into_iter()
        .flatten()
        .flatten();
    let newest = entries.max_by_key(|entry| entry.metadata().and_then(|data| data.modified()).ok());
    match newest {
        Some(entry) => format!("{folder}/{}", entry.file_name().to_string_lossy()),
        None => folder,
    }
}
