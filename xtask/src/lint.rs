//! Formatting, clippy, rustdoc, and the licences and sources of what we depend on.

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
    run(&mut cargo(
        "clippy --workspace --all-targets --all-features -- -D warnings".split(' '),
    ))
}

pub(crate) fn doc() -> Verdict {
    run(cargo("doc --workspace --no-deps --all-features".split(' '))
        .env("RUSTDOCFLAGS", "-D warnings"))
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
