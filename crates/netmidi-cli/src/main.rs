//! The command-line tool `netmidi`: MIDI over IP for people who write no code, and for scripts.
//!
//! One file a command in `commands`; what they share is around it. There is no protocol here: that is
//! in the crates below.

#![forbid(unsafe_code)]

#[cfg_attr(not(unix), path = "attach_none.rs")]
mod attach;
mod commands;
mod config;
mod console;
mod event;
mod failure;
mod filter;
mod hub;
mod metrics;
mod monitor;
mod numbers;
mod output;
mod place;
mod plan;
mod run;
mod smf;
mod stdin;
mod stop;
mod text;

use std::future::Future;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use console::{Console, ConsoleArgs};
use failure::Failure;

/// MIDI over IP: RTP-MIDI (AppleMIDI) sessions, MIDI over TCP, captures explained.
#[derive(Debug, Parser)]
#[command(
    name = "netmidi",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = "\
Examples:
  netmidi serve                            let others connect, and show what they play
  netmidi connect piano.local              connect to somebody and show what they play
  netmidi decode trouble.pcap              find out what went wrong in a capture

`netmidi COMMAND --help` tells more about each command."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    console: ConsoleArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(commands::serve::Serve),
    Connect(commands::connect::Connect),
    #[command(subcommand)]
    Tcp(commands::tcp::Tcp),
    Discover(commands::discover::Discover),
    Bridge(Box<commands::bridge::Bridge>),
    Ports(commands::ports::Ports),
    Monitor(commands::monitor::Monitor),
    Completions(commands::completions::Completions),
    Decode(commands::decode::Decode),
    Record(commands::record::Record),
    Play(commands::play::Play),
    #[command(hide = true)]
    Man(commands::man::Man),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let console = match Console::open(&cli.console) {
        Ok(console) => console,
        Err(failure) => return failure.report(),
    };
    let done = match cli.command {
        Command::Serve(it) => block_on(it.run(console)),
        Command::Connect(it) => block_on(it.run(console)),
        Command::Tcp(it) => block_on(it.run(console)),
        Command::Discover(it) => block_on(it.run(console)),
        Command::Bridge(it) => block_on(it.run(console)),
        Command::Ports(it) => it.run(),
        Command::Monitor(it) => block_on(it.run(console.started())),
        Command::Completions(it) => it.run(),
        Command::Decode(it) => it.run(&console),
        Command::Record(it) => block_on(it.run(console)),
        Command::Play(it) => block_on(it.run(console)),
        Command::Man(it) => it.run(),
    };
    let code = match (done, output::finish().map(Failure::from)) {
        (Ok(()) | Err(Failure::NobodyReads), Some(failure)) => failure.report(),
        (Ok(()), None) => ExitCode::SUCCESS,
        (Err(failure), _) => failure.report(),
    };
    // That was the last sentence.
    output::finish();
    code
}

/// One thread is plenty, and the quickest: a message never has to wake another one.
fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime =
        runtime.map_err(|error| Failure::failed(format!("cannot start the runtime: {error}")))?;
    let done = runtime.block_on(command);
    // A thread that waits for standard input does not hold us up.
    runtime.shutdown_background();
    done
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_tells_what_it_does_and_shows_examples() {
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name} has no description");
            if command.is_hide_set() || command.has_subcommands() {
                continue;
            }
            let examples = command.get_after_help().map(ToString::to_string);
            let examples = examples.unwrap_or_default();
            let shown = examples.matches(&format!("netmidi {name}")).count();
            assert!((2..=4).contains(&shown), "{name} shows {shown} examples");
        }
    }
}
