//! Formatting, clippy, rustdoc, and the licences and sources of what we depend on.

use crate::local_ports::{with_all_features, with_all_features_and};
use crate::stage::{Stop, Verdict, cargo, run, works};

pub(crate) fn fmt() -> Verdict {
    run(&mut cargo(["fmt", "--all", "--check"]))?;
    run(&mut cargo([
        "fmt",
        "--manifest-path",
        "fuzz/Cargo.toml",
        "--check",
    ]))
}

pub(crate) fn clippy() -> Verdict {
    with_all_features("clippy", &["--all-targets"], &["--", "-D", "warnings"])
}

pub(crate) fn doc() -> Verdict {
    with_all_features_and(
        "doc",
        &["--no-deps"],
        &[],
        &[("RUSTDOCFLAGS", "-D warnings")],
    )
}

pub(crate) fn deny() -> Verdict {
    if !works(&mut cargo(["deny", "--version"])) {
        let reason = "cargo-deny not found (cargo install cargo-deny --locked)";
        return Err(Stop::Skipped(reason.to_owned()));
    }
    // Not the advisories: their list is a download, and a new entry is no change of ours.
    run(&mut cargo(
        "deny --all-features check licenses bans sources".split(' '),
    ))?;
    run(&mut cargo(
        "deny --manifest-path fuzz/Cargo.toml check licenses bans sources".split(' '),
    ))
}
