//! Standard MIDI Files: `netmidi play` reads those of mido, and mido those of `netmidi record`. Both say
//! the same of every message and its time.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::cli::{build, tool};
use crate::peers::install_python_peers;
use crate::stage::{Stop, Verdict, root};

/// Files of each.
const FILES: u32 = 5;
/// Messages that are recorded.
const RECORDED: u32 = 3_000;
/// How far times may be apart, in microseconds: mido adds floating point numbers.
const TOLERANCE: f64 = 2.0;

/// A message: its time in microseconds, and its octets as hex.
type Timed = (f64, String);

pub(crate) fn check(seed: u32) -> Verdict {
    let place = build()?;
    let python = install_python_peers(&place)?;
    let mut worst: f64 = 0.0;
    let mut messages = 0;
    for number in 0..FILES {
        let seed = (seed + number).to_string();
        let theirs = place.join(format!("mido-{number}.mid"));
        let said = mido(&python, &["write", &path(&theirs), &seed])?;
        worst = worst.max(same(&theirs, &said)?);
        messages += said.len();
    }
    let ours = place.join("netmidi.mid");
    record(&ours, seed)?;
    let said = mido(&python, &["read", &path(&ours)])?;
    // What lets go at the end is more.
    if said.len() < RECORDED as usize {
        return Err(format!("mido reads {} of {RECORDED} messages", said.len()).into());
    }
    worst = worst.max(same(&ours, &said)?);
    println!(
        "{messages} messages in {FILES} files of mido, {} in one of netmidi: times at most {worst:.1} us apart",
        said.len()
    );
    Ok(())
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

fn mido(python: &Path, args: &[&str]) -> Result<Vec<Timed>, Stop> {
    let script = root().join("xtask/interop/smf.py");
    let text = output(Command::new(python).arg(script).args(args))?;
    let timed = |line: &str| {
        let (time, hex) = line.split_once(' ')?;
        Some((time.parse().ok()?, hex.to_owned()))
    };
    let lines = text.lines().map(timed).collect::<Option<Vec<_>>>();
    lines.ok_or_else(|| "mido prints something else".to_owned().into())
}

/// Holds what `netmidi` says of a file against what mido says; returns how far times are apart.
fn same(file: &Path, said: &[Timed]) -> Result<f64, Stop> {
    let text = output(
        Command::new(tool())
            .args(["play", "--list", "--json"])
            .arg(file),
    )?;
    let field = |line: &str, name: &str| -> Option<String> {
        let rest = line.split_once(&format!("\"{name}\":"))?.1;
        let end = rest.find([',', '}'])?;
        Some(rest.get(..end)?.trim_matches('"').replace(' ', ""))
    };
    let lines = text
        .lines()
        .filter(|line| line.starts_with(r#"{"event":"message""#));
    let timed = |line: &str| -> Option<Timed> {
        Some((field(line, "time_us")?.parse().ok()?, field(line, "hex")?))
    };
    let ours: Vec<Timed> = lines
        .map(|line| timed(line).ok_or_else(|| format!("not understood: {line}")))
        .collect::<Result<_, _>>()?;
    if ours.len() != said.len() {
        let counts = (ours.len(), said.len());
        return Err(format!("{}: {counts:?} messages", file.display()).into());
    }
    let mut worst: f64 = 0.0;
    for (place, (ours, theirs)) in ours.iter().zip(said).enumerate() {
        let apart = (ours.0 - theirs.0).abs();
        if ours.1 != theirs.1 || apart > TOLERANCE {
            return Err(format!(
                "{}: message {place} is {ours:?}, mido says {theirs:?}",
                file.display()
            )
            .into());
        }
        worst = worst.max(apart);
    }
    Ok(worst)
}

/// Records from standard input.
fn record(file: &Path, seed: u32) -> Verdict {
    let mut child = Command::new(tool())
        .args(["record", "--quiet", "--force"])
        .arg(file)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("netmidi record: {error}"))?;
    let mut lines = String::new();
    for count in 0..RECORDED {
        let data = |by: u32| (seed.wrapping_add(count).wrapping_mul(by) >> 7) % 128;
        let (first, second, channel) = (data(2_654_435_761), data(40_503), count % 16);
        lines.push_str(&match count % 5 {
            0 => format!("b{channel:x} {first:02x} {second:02x}\n"),
            1 => format!("f0 7d {first:02x} {second:02x} f7\n"),
            2 => format!("e{channel:x} {first:02x} {second:02x}\n"),
            3 => format!("9{channel:x} {first:02x} 40\n"),
            _ => format!("8{channel:x} {first:02x} {second:02x}\n"),
        });
    }
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(lines.as_bytes())
            .map_err(|error| format!("netmidi record: {error}"))?;
    }
    let status = child
        .wait()
        .map_err(|error| format!("netmidi record: {error}"))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("netmidi record: {status}").into()),
    }
}

fn output(command: &mut Command) -> Result<String, Stop> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{command:?}: {}", output.status).into()),
    }
}
