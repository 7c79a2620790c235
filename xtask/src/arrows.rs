//! Which crate may use which: the plan of the house as a table.

use crate::manifest;
use crate::stage::{Stop, Verdict, cargo, stdout_of};

/// What each of our crates may use of our crates. `None`: anything.
const ARROWS: &[(&str, Option<&[&str]>)] = &[
    ("netmidi-message", Some(&[])),
    ("netmidi-wire", Some(&["netmidi-message"])),
    (
        "netmidi-journal",
        Some(&["netmidi-wire", "netmidi-message"]),
    ),
    (
        "netmidi-session",
        Some(&["netmidi-journal", "netmidi-wire", "netmidi-message"]),
    ),
    ("netmidi-tcp", Some(&["netmidi-message"])),
    ("netmidi-discovery", Some(&[])),
    (
        "netmidi",
        Some(&[
            "netmidi-session",
            "netmidi-tcp",
            "netmidi-discovery",
            "netmidi-message",
        ]),
    ),
    (
        "netmidi-cli",
        Some(&[
            "netmidi",
            "netmidi-wire",
            "netmidi-journal",
            "netmidi-message",
        ]),
    ),
    (TESTKIT, None),
    ("xtask", Some(&[])),
];

/// Tests, benches and fuzz targets use it; nothing that is published does.
const TESTKIT: &str = "netmidi-testkit";

/// nom is how these two read, and nobody else's business.
const NOM_USERS: &[&str] = &["netmidi-wire", "netmidi-journal"];

/// They know no socket, no clock and no randomness of their own...
const CORE: &[&str] = &[
    "netmidi-message",
    "netmidi-wire",
    "netmidi-journal",
    "netmidi-session",
];

/// ... so none of these may be anywhere below them.
const NOT_BELOW_CORE: &[&str] = &["tokio", "mio", "socket2", "getrandom", "futures"];

pub(crate) fn check() -> Verdict {
    let mut names: Vec<String> = manifest::crates()?
        .into_iter()
        .map(|krate| krate.name)
        .collect();
    names.push("xtask".to_owned());
    let mut wrong = Vec::new();
    for name in &names {
        let direct = tree(name, &["--depth", "1"])?;
        let all = if CORE.contains(&name.as_str()) {
            tree(name, &[])?
        } else {
            Vec::new()
        };
        wrong.extend(violations(name, &direct, &all));
    }
    println!("{} crates, arrows as in the table", names.len());
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("; ").into())
    }
}

/// The dependencies of `package`, without those of its tests.
fn tree(package: &str, depth: &[&str]) -> Result<Vec<String>, Stop> {
    let mut command = cargo(["tree", "--package", package, "--prefix", "none"]);
    command
        .args([
            "--edges",
            "normal,build",
            "--all-features",
            "--target",
            "all",
        ])
        .args(depth);
    Ok(package_names(&stdout_of(&mut command)?))
}

/// The names in what `cargo tree --prefix none` prints, without the package itself.
fn package_names(text: &str) -> Vec<String> {
    let lines = text.lines().skip(1).filter(|line| !line.starts_with('['));
    lines
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

fn violations(package: &str, direct: &[String], all: &[String]) -> Vec<String> {
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == package) else {
        return vec![format!(
            "{package} is not in the table of xtask/src/arrows.rs: add it"
        )];
    };
    let mut wrong = Vec::new();
    for used in direct {
        let ours = ARROWS.iter().any(|(name, _)| name == used) || used.starts_with("netmidi");
        let granted = allowed.is_none_or(|allowed| allowed.contains(&used.as_str()));
        if used == TESTKIT {
            wrong.push(format!("{package} uses {used} outside its tests"));
        } else if ours && !granted {
            wrong.push(format!("{package} must not use {used}"));
        }
        if used == "nom" && !NOM_USERS.contains(&package) {
            wrong.push(format!(
                "{package} must not use nom, only {} do",
                NOM_USERS.join(" and ")
            ));
        }
    }
    if CORE.contains(&package) {
        let below = all
            .iter()
            .filter(|used| NOT_BELOW_CORE.contains(&used.as_str()));
        wrong.extend(below.map(|used| format!("{package} is sans-IO and must not reach {used}")));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_tree_is_read() {
        let text = "netmidi-wire v0.1.0 (/x)\nnetmidi-message v0.1.0 (/y) (*)\n\
                    [build-dependencies]\nnom v8.0.0\n";
        assert_eq!(package_names(text), ["netmidi-message", "nom"]);
    }

    #[test]
    fn the_house_as_planned_passes() {
        let direct = names(&["netmidi-message", "nom", "thiserror"]);
        assert!(violations("netmidi-wire", &direct, &direct).is_empty());
        assert!(violations(TESTKIT, &names(&["netmidi-session", "proptest"]), &[]).is_empty());
    }

    #[test]
    fn every_rule_can_fail() {
        let one = |package, direct: &[&str], all: &[&str]| {
            violations(package, &names(direct), &names(all)).len()
        };
        assert_eq!(one("netmidi-message", &["netmidi-wire"], &[]), 1);
        assert_eq!(one("netmidi", &["netmidi-wire"], &[]), 1);
        assert_eq!(one("netmidi", &["netmidi-common"], &[]), 1);
        assert_eq!(one("netmidi-common", &[], &[]), 1);
        assert_eq!(one("netmidi-session", &["nom"], &["nom"]), 1);
        assert_eq!(
            one("netmidi-session", &[], &["pin-project-lite", "tokio"]),
            1
        );
        assert_eq!(one("netmidi-cli", &[TESTKIT], &[]), 1);
        assert_eq!(one("xtask", &["netmidi"], &[]), 1);
    }
}
