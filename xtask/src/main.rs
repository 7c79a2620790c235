//! `cargo xtask COMMAND`: the checks of the workspace, each one command.

#![forbid(unsafe_code)]

mod arrows;
mod bench;
mod bridge;
mod capture;
mod child;
mod cli;
mod converge;
mod crowd;
mod decode;
mod discovery;
mod dist;
mod features;
mod fuzz;
mod interop;
mod inviting;
mod jack;
mod lint;
mod list;
mod local_ports;
mod manifest;
mod mido;
mod monitor;
mod music;
mod netns;
mod nostd;
mod peers;
mod relay;
mod smf;
mod socket_ports;
mod sounding;
mod stage;
mod svg;
mod test;
mod tmux;
mod tshark;
mod veth;

use std::env;
use std::process::ExitCode;

use stage::{Skips, Stage, Stop};

const HELP: &str = "\
The checks of the netmidi workspace.

Usage: cargo xtask [--strict] COMMAND

  ci                    all of the below except bench and screenshot; what a merge needs
  lint                  formatting, clippy, rustdoc, licences and sources (cargo-deny)
  arrows                which crate may use which
  nostd                 the core crates in a no_std static library
  features              every crate with no feature, each one alone, and all
  test                  unit, property, simulation and doc tests
  crowd                 a MIDI-over-TCP server with 1,000 clients, two of which fail
  converge [SCRIPTS]    that loss leaves no trace, with 10,000 scripts of 1,000 messages
  tshark [SEED]         tshark on 10,000 packets with journals of random sessions
  decode [SEED]         `netmidi decode` and tshark on 100,000 packets of random sessions
  interop [SEED]        npm rtpmidi and pymidi with examples/server and examples/client, and
                        tshark on captures of both
  mido [SEED]           Python's mido with the examples of netmidi-tcp, both ways round
  bridge [SEED]         npm rtpmidi and Python's mido play together over examples/bridge
  cli [SEED]            the tool netmidi with npm rtpmidi, pymidi and mido, both ways round; and
                        how it shows and finds sessions, in network namespaces
  jack                  ports of this computer: JACK with its dummy driver, bridged over RTP-MIDI and
                        back to JACK; ALSA's sequencer where there is one
  relay [SEED]          the two examples with a bad network between them
  veth [SEED]           the two examples as two hosts whose interfaces and addresses change
  dist                  a release of the command-line tool in target/dist: static binary, manual
                        pages, completions
  discovery             avahi and we find each other, and play by name, in network namespaces
  monitor               netmidi monitor on a terminal of 80 by 24, in tmux
  screenshot            the pictures of docs/monitor.md anew; not part of ci
  fuzz [TARGET] [SECS]  one fuzz target or all, 20 seconds each unless told otherwise
  bench [NAME]          one criterion bench or all

A stage whose tool is missing is skipped and says how to get it. With --strict, or CI=true in the
environment, a skip is a failure. The last line counts the stages.
";

/// The user's mistake, in a sentence.
struct Usage(String);

fn main() -> ExitCode {
    let mut args: Vec<String> = env::args().skip(1).collect();
    let all_args = args.len();
    args.retain(|arg| arg != "--strict");
    let strict = args.len() < all_args || env::var_os("CI").is_some_and(|ci| ci == "true");
    let skips = if strict { Skips::Fail } else { Skips::Allowed };

    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if args.is_empty()
        || args
            .iter()
            .any(|arg| ["--help", "-h", "help"].contains(arg))
    {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match stages(&args) {
        Ok(stages) => stage::run_all(stages, skips),
        Err(Usage(sentence)) => {
            eprintln!("{sentence}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

fn stages(args: &[&str]) -> Result<Vec<Stage>, Usage> {
    Ok(match args {
        // What fails fastest comes first.
        ["ci"] => {
            let mut all = vec![Stage::new("fmt", lint::fmt), arrows()];
            all.extend(lint_without_fmt());
            all.extend([nostd(), features(), test(), crowd()]);
            all.push(converge(converge::CI_SCRIPTS));
            all.push(tshark(interop::new_seed()));
            all.push(decode(interop::new_seed()));
            all.push(Stage::new("fuzz", || {
                fuzz::check(&fuzz::targets()?, fuzz::CI_SECONDS)
            }));
            all.extend(interop(interop::new_seed()));
            all.push(mido(interop::new_seed()));
            all.push(bridge(interop::new_seed()));
            all.extend(cli(interop::new_seed()));
            all.push(jack());
            all.push(relay(interop::new_seed()));
            all.push(veth(interop::new_seed()));
            all.push(discovery());
            all.push(dist());
            all.push(monitor());
            all
        }
        ["lint"] => {
            let mut all = vec![Stage::new("fmt", lint::fmt)];
            all.extend(lint_without_fmt());
            all
        }
        ["arrows"] => vec![arrows()],
        ["nostd"] => vec![nostd()],
        ["features"] => vec![features()],
        ["test"] => vec![test()],
        ["crowd"] => vec![crowd()],
        ["converge"] => vec![converge(converge::CI_SCRIPTS)],
        ["converge", scripts] => vec![converge(number(scripts)?)],
        ["tshark"] => vec![tshark(interop::new_seed())],
        ["tshark", seed] => vec![tshark(number(seed)?)],
        ["decode"] => vec![decode(interop::new_seed())],
        ["decode", seed] => vec![decode(number(seed)?)],
        ["discovery"] => vec![discovery()],
        ["dist"] => vec![dist()],
        ["monitor"] => vec![monitor()],
        ["screenshot"] => vec![Stage::new("screenshot", monitor::screenshot)],
        ["interop"] => interop(interop::new_seed()),
        ["interop", seed] => interop(number(seed)?),
        ["mido"] => vec![mido(interop::new_seed())],
        ["mido", seed] => vec![mido(number(seed)?)],
        ["bridge"] => vec![bridge(interop::new_seed())],
        ["bridge", seed] => vec![bridge(number(seed)?)],
        ["cli"] => cli(interop::new_seed()),
        ["cli", seed] => cli(number(seed)?),
        ["jack"] => vec![jack()],
        ["relay"] => vec![relay(interop::new_seed())],
        ["relay", seed] => vec![relay(number(seed)?)],
        ["veth"] => vec![veth(interop::new_seed())],
        ["veth", seed] => vec![veth(number(seed)?)],
        ["fuzz", rest @ ..] => vec![fuzz(rest)?],
        ["bench"] => vec![bench(None)?],
        ["bench", name] => vec![bench(Some(name))?],
        _ => return Err(Usage(format!("`{}` is not a command", args.join(" ")))),
    })
}

fn arrows() -> Stage {
    Stage::new("arrows", arrows::check)
}

fn lint_without_fmt() -> [Stage; 3] {
    [
        Stage::new("deny", lint::deny),
        Stage::new("clippy", lint::clippy),
        Stage::new("doc", lint::doc),
    ]
}

fn nostd() -> Stage {
    Stage::new("nostd", nostd::check)
}

fn features() -> Stage {
    Stage::new("features", features::check)
}

fn test() -> Stage {
    Stage::new("test", test::check)
}

fn crowd() -> Stage {
    Stage::new("crowd", crowd::check)
}

fn converge(scripts: u32) -> Stage {
    Stage::new("converge", move || converge::check(scripts))
}

fn tshark(seed: u32) -> Stage {
    Stage::new("tshark", move || tshark::check(seed))
}

fn decode(seed: u32) -> Stage {
    Stage::new("decode", move || decode::check(seed))
}

fn interop(seed: u32) -> Vec<Stage> {
    vec![
        Stage::new("interop", move || interop::check(seed)),
        Stage::new("reconnect", interop::check_reconnect),
        Stage::new("inviting", move || inviting::check(seed)),
        Stage::new("pymidi", move || inviting::check_pymidi(seed)),
        Stage::new("capture", move || {
            interop::check_capture(seed)?;
            inviting::check_capture(seed)
        }),
    ]
}

fn mido(seed: u32) -> Stage {
    Stage::new("mido", move || socket_ports::check(seed))
}

fn bridge(seed: u32) -> Stage {
    Stage::new("bridge", move || bridge::check(seed))
}

fn cli(seed: u32) -> Vec<Stage> {
    vec![
        Stage::new("cli-npm", move || cli::check_npm(seed)),
        Stage::new("cli-pymidi", move || cli::check_pymidi(seed)),
        Stage::new("cli-mido", move || cli::check_mido(seed)),
        Stage::new("cli-smf", move || smf::check(seed)),
        Stage::new("cli-discovery", cli::check_discovery),
    ]
}

fn jack() -> Stage {
    Stage::new("jack", jack::check)
}

fn relay(seed: u32) -> Stage {
    Stage::new("relay", move || relay::check(seed))
}

fn veth(seed: u32) -> Stage {
    Stage::new("veth", move || veth::check(seed))
}

fn dist() -> Stage {
    Stage::new("dist", dist::check)
}

fn discovery() -> Stage {
    Stage::new("discovery", discovery::check)
}

fn monitor() -> Stage {
    Stage::new("monitor", monitor::check)
}

/// `fuzz`, `fuzz SECS`, `fuzz TARGET` or `fuzz TARGET SECS`.
fn fuzz(args: &[&str]) -> Result<Stage, Usage> {
    let all = fuzz::targets().map_err(usage)?;
    let (targets, seconds) = match args {
        [] => (all, fuzz::CI_SECONDS),
        [seconds] if number(seconds).is_ok() => (all, number(seconds)?),
        [target] => (vec![(*target).to_owned()], fuzz::CI_SECONDS),
        [target, seconds] => (vec![(*target).to_owned()], number(seconds)?),
        _ => return Err(Usage("fuzz takes a target and seconds".to_owned())),
    };
    let known = fuzz::targets().map_err(usage)?;
    match targets.iter().find(|target| !known.contains(target)) {
        Some(unknown) => Err(Usage(format!(
            "no fuzz target `{unknown}`, only {}",
            known.join(", ")
        ))),
        None => Ok(Stage::new("fuzz", move || fuzz::check(&targets, seconds))),
    }
}

fn bench(name: Option<&str>) -> Result<Stage, Usage> {
    let mut benches = bench::all().map_err(usage)?;
    let known: Vec<String> = benches.iter().map(|bench| bench.name.clone()).collect();
    if let Some(name) = name {
        benches.retain(|bench| bench.name == name);
    }
    if benches.is_empty() {
        return Err(Usage(format!(
            "no such bench; there are: {}",
            known.join(", ")
        )));
    }
    Ok(Stage::new("bench", move || {
        benches.iter().try_for_each(bench::Bench::run)
    }))
}

fn number(text: &str) -> Result<u32, Usage> {
    text.parse()
        .map_err(|_| Usage(format!("`{text}` is not a number")))
}

fn usage(stop: Stop) -> Usage {
    match stop {
        Stop::Skipped(sentence) | Stop::Failed(sentence) => Usage(sentence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_of_the_help_exists() {
        // What is further in goes on with the line above.
        let commands = HELP.lines().filter_map(|line| line.strip_prefix("  "));
        let commands = commands.filter(|line| !line.starts_with(' '));
        for command in commands.filter_map(|line| line.split_whitespace().next()) {
            if command != "bench" {
                assert!(stages(&[command]).is_ok(), "{command}");
            }
        }
    }

    #[test]
    fn wrong_usage_is_an_error() {
        for wrong in [
            &["nonsense"][..],
            &["test", "x"],
            &["fuzz", "x"],
            &["discovery", "x"],
            &["monitor", "x"],
            &["screenshot", "x"],
            &["interop", "x"],
            &["mido", "x"],
            &["bridge", "x"],
            &["cli", "x"],
            &["jack", "x"],
            &["relay", "x"],
            &["veth", "x"],
            &["converge", "x"],
            &["tshark", "x"],
            &["decode", "x"],
        ] {
            assert!(stages(wrong).is_err(), "{wrong:?}");
        }
    }
}
