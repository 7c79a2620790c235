//! One server and a thousand clients, in one process that may open so many files.

use std::env;
use std::process::Command;

use crate::stage::{Stop, Verdict, cargo, root, run, stdout_of};

/// Both ends of each connection, and a little more.
const FILES: u32 = 2100;

pub(crate) fn check() -> Verdict {
    if !cfg!(unix) {
        return Err(Stop::Skipped("a limit of files is Unix's".to_owned()));
    }
    let limit = stdout_of(Command::new("sh").args(["-c", "ulimit -H -n"]))?;
    if !is_enough(&limit) {
        let limit = limit.trim();
        return Err(Stop::Skipped(format!(
            "at most {limit} files may be open at once (ulimit -H -n {FILES}, or nofile in \
             /etc/security/limits.conf)"
        )));
    }
    // Compiled with the limit as it was.
    let test = "test --package netmidi-tcp --all-features --test crowd";
    run(&mut cargo(test.split(' ').chain(["--no-run"])))?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let raised = format!(
        "if [ \"$(ulimit -S -n)\" != unlimited ] && [ \"$(ulimit -S -n)\" -lt {FILES} ]; \
         then ulimit -S -n {FILES}; fi && exec \"$@\""
    );
    run(Command::new("sh")
        .args(["-c", &raised, "crowd"])
        .arg(cargo)
        .args(test.split(' '))
        .args(["--", "--include-ignored", "--test-threads", "1"])
        .current_dir(root()))
}

/// Whether what `ulimit` says allows for it.
fn is_enough(limit: &str) -> bool {
    let limit = limit.trim();
    limit == "unlimited" || limit.parse().is_ok_and(|limit: u64| limit >= FILES.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_read() {
        assert!(is_enough("unlimited\n"));
        assert!(is_enough("2100\n"));
        assert!(!is_enough("2099\n"));
        assert!(!is_enough("1024\n"));
        assert!(!is_enough(""));
    }
}
