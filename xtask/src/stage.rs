//! One check with a verdict, the table at the end, and what every check needs: the workspace's
//! folders and a way to run a command.

use core::time::Duration;
use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::LazyLock;
use std::time::Instant;

/// Why a stage ended before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// A tool or a right is missing; says how to get it.
    Skipped(String),
    /// Something is wrong; says what, in a sentence.
    Failed(String),
}

/// A sentence on its own is a failure.
impl From<String> for Stop {
    fn from(sentence: String) -> Self {
        Self::Failed(sentence)
    }
}

pub(crate) type Verdict = Result<(), Stop>;

/// A check that the last line counts.
pub(crate) struct Stage {
    name: &'static str,
    check: Box<dyn FnOnce() -> Verdict>,
}

impl Stage {
    pub(crate) fn new(name: &'static str, check: impl FnOnce() -> Verdict + 'static) -> Self {
        Self {
            name,
            check: Box::new(check),
        }
    }
}

/// Whether a skipped stage counts as a failure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Skips {
    Allowed,
    Fail,
}

#[derive(Debug)]
struct Row {
    name: &'static str,
    verdict: Verdict,
    time: Duration,
}

/// Runs all stages, also those after a failure, and prints the table.
pub(crate) fn run_all(stages: Vec<Stage>, skips: Skips) -> ExitCode {
    let mut rows = Vec::new();
    for stage in stages {
        println!("== {} ==", stage.name);
        let start = Instant::now();
        let verdict = judge((stage.check)(), skips);
        let row = Row {
            name: stage.name,
            verdict,
            time: start.elapsed(),
        };
        println!("{}\n", verdict_line(&row));
        rows.push(row);
    }
    for row in &rows {
        println!(
            "{:<10}{:>8.1} s  {}",
            row.name,
            row.time.as_secs_f64(),
            verdict_text(row)
        );
    }
    println!("{}", count_line(&rows));
    if rows
        .iter()
        .any(|row| matches!(row.verdict, Err(Stop::Failed(_))))
    {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn judge(verdict: Verdict, skips: Skips) -> Verdict {
    match verdict {
        Err(Stop::Skipped(reason)) if skips == Skips::Fail => Err(Stop::Failed(format!(
            "{reason}; a skip is a failure with CI=true or --strict"
        ))),
        other => other,
    }
}

fn verdict_text(row: &Row) -> String {
    match &row.verdict {
        Ok(()) => "passed".to_owned(),
        Err(Stop::Skipped(reason)) => format!("skipped: {reason}"),
        Err(Stop::Failed(sentence)) => format!("failed: {sentence}"),
    }
}

fn verdict_line(row: &Row) -> String {
    format!(
        "{} ({}, {:.1} s)",
        verdict_text(row),
        row.name,
        row.time.as_secs_f64()
    )
}

fn count_line(rows: &[Row]) -> String {
    let passed = rows.iter().filter(|row| row.verdict.is_ok()).count();
    let failed = rows
        .iter()
        .filter(|row| matches!(row.verdict, Err(Stop::Failed(_))))
        .count();
    format!(
        "{passed} passed, {failed} failed, {} skipped",
        rows.len() - passed - failed
    )
}

/// The folder of the workspace.
///
/// `cargo run` says which. What was compiled in may be another checkout, if both build into one
/// target folder.
pub(crate) fn root() -> &'static Path {
    static XTASK: LazyLock<PathBuf> = LazyLock::new(|| {
        env::var_os("CARGO_MANIFEST_DIR")
            .unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into())
            .into()
    });
    XTASK.parent().unwrap_or(&XTASK)
}

/// Where cargo puts what it builds for the workspace.
pub(crate) fn target_dir() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// The cargo that runs us, in the workspace's folder.
pub(crate) fn cargo<I: IntoIterator<Item: AsRef<OsStr>>>(args: I) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    command
}

/// Runs `command` with our output, after printing it.
pub(crate) fn run(command: &mut Command) -> Verdict {
    let shown = shown(command);
    println!("$ {shown}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{shown}` ended with {status}").into()),
        Err(error) => Err(format!("`{shown}` did not start: {error}").into()),
    }
}

/// Runs `command` quietly and gives what it wrote to its standard output.
pub(crate) fn stdout_of(command: &mut Command) -> Result<String, Stop> {
    let shown = shown(command);
    let output = command
        .output()
        .map_err(|error| format!("`{shown}` did not start: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let stderr = String::from_utf8_lossy(&output.stderr);
        Err(format!(
            "`{shown}` ended with {}\n{}",
            output.status,
            stderr.trim_end()
        )
        .into())
    }
}

/// Whether `command` starts and succeeds, as `--version` of an installed tool does.
pub(crate) fn works(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Skips the stage when `tool --version` does not work.
pub(crate) fn need(tool: &str, how_to_get_it: &str) -> Verdict {
    if works(Command::new(tool).arg("--version")) {
        Ok(())
    } else {
        Err(Stop::Skipped(format!("{tool} not found ({how_to_get_it})")))
    }
}

/// The command as one would type it.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut text = program
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    for arg in command.get_args() {
        let arg = arg.to_string_lossy();
        text.push(' ');
        if arg.contains(' ') {
            text.push_str(&format!("'{arg}'"));
        } else {
            text.push_str(&arg);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(verdict: Verdict) -> Row {
        Row {
            name: "x",
            verdict,
            time: Duration::ZERO,
        }
    }

    #[test]
    fn the_last_line_counts_stages() {
        let skipped = || {
            Err(Stop::Skipped(
                "tshark not found (apt install tshark)".to_owned(),
            ))
        };
        let rows = [
            row(Ok(())),
            row(Err(Stop::Failed("no".to_owned()))),
            row(skipped()),
        ];
        assert_eq!(count_line(&rows), "1 passed, 1 failed, 1 skipped");
        assert_eq!(
            verdict_text(&rows[2]),
            "skipped: tshark not found (apt install tshark)"
        );
        assert!(matches!(
            judge(skipped(), Skips::Fail),
            Err(Stop::Failed(_))
        ));
        assert!(matches!(
            judge(skipped(), Skips::Allowed),
            Err(Stop::Skipped(_))
        ));
    }

    #[test]
    fn commands_are_shown_as_typed() {
        let mut command = Command::new("/somewhere/bin/cargo");
        command.args(["doc", "a b"]);
        assert_eq!(shown(&command), "cargo doc 'a b'");
    }
}
