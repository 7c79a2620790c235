//! The command-line tool uses ports of this computer, for which Linux wants ALSA's headers at build time.
//! Where they are missing everything is checked without that part of it, and that is said.

use crate::manifest;
use crate::stage::{Stop, Verdict, cargo, run, works};

/// The crate that has them.
const PACKAGE: &str = "netmidi-cli";
/// Its features that need the headers; `default` does, too.
const FEATURES: [&str; 2] = ["local-ports", "jack"];

pub(crate) const HOW_TO_GET_ALSA: &str = "apt-get install libasound2-dev pkg-config";

/// Whether this machine can build them.
pub(crate) fn can_build() -> bool {
    !cfg!(target_os = "linux")
        || works(std::process::Command::new("pkg-config").args(["--exists", "alsa"]))
}

/// Whether a choice of features of a package can be built here.
pub(crate) fn can_build_choice(package: &str, choice: &[&str]) -> bool {
    let needs = choice
        .iter()
        .any(|word| *word == "--all-features" || FEATURES.contains(word));
    package != PACKAGE || !needs || can_build()
}

pub(crate) fn say_what_is_missing() {
    println!(
        "note: ALSA's headers are not here ({HOW_TO_GET_ALSA}): {PACKAGE} is built without the ports \
         of this computer"
    );
}

/// Runs a command of cargo for the workspace with all features, as far as they can be built.
pub(crate) fn with_all_features(command: &str, options: &[&str], after: &[&str]) -> Verdict {
    with_all_features_and(command, options, after, &[])
}

/// The same with something in the environment.
pub(crate) fn with_all_features_and(
    command: &str,
    options: &[&str],
    after: &[&str],
    environment: &[(&str, &str)],
) -> Verdict {
    let start = |which: &[&str]| {
        let mut command = cargo([command]);
        command.args(which).args(options).args(after);
        command.envs(environment.iter().copied());
        run(&mut command)
    };
    if can_build() {
        return start(&["--workspace", "--all-features"]);
    }
    say_what_is_missing();
    start(&["--workspace", "--exclude", PACKAGE, "--all-features"])?;
    let manifests = manifest::crates()?;
    let cli = manifests.iter().find(|it| it.name == PACKAGE);
    let cli = cli.ok_or_else(|| Stop::Failed(format!("there is no crate {PACKAGE}")))?;
    let rest = cli.features.iter().map(String::as_str);
    let rest: Vec<&str> = rest.filter(|it| !FEATURES.contains(it)).collect();
    let features = rest.join(",");
    start(&[
        "--package",
        PACKAGE,
        "--no-default-features",
        "--features",
        &features,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_needs_the_headers_is_left_out() {
        for choice in [
            &["--no-default-features"][..],
            &["--no-default-features", "--features", "x"],
        ] {
            assert!(can_build_choice(PACKAGE, choice));
        }
        assert!(can_build_choice("netmidi", &["--all-features"]));
        for choice in [&["--all-features"][..], &["--features", "jack"]] {
            assert_eq!(can_build_choice(PACKAGE, choice), can_build());
        }
    }
}
