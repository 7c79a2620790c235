//! What a command prints: for people, or for programs.

use std::io::{self, IsTerminal, Write};
use std::time::Instant;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::event::Event;
use crate::failure::Failure;

/// How much is printed, and how. The same for every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct ConsoleArgs {
    /// Print less: only what was asked for, and errors.
    #[arg(long, short, global = true)]
    quiet: bool,
    /// When to use colours. Without it: on a terminal, unless NO_COLOR is set.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: Color,
    /// Log what goes on inside to standard error: error, warn, info, debug or trace; or for single
    /// parts, such as netmidi_tcp=debug.
    #[arg(long, global = true, value_name = "LEVEL", env = "NETMIDI_LOG")]
    log: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

/// Where a command prints.
#[derive(Debug)]
pub(crate) struct Console {
    /// Objects for programs, one a line, instead of text for people.
    json: bool,
    quiet: bool,
    /// `time_us` counts from here.
    started: Instant,
}

impl Console {
    pub(crate) fn open(args: &ConsoleArgs) -> Result<Self, Failure> {
        let started = Instant::now();
        match args.color {
            Color::Auto => {}
            Color::Always => anstream::ColorChoice::Always.write_global(),
            Color::Never => anstream::ColorChoice::Never.write_global(),
        }
        if let Some(level) = &args.log {
            let filter = EnvFilter::try_new(level).map_err(|error| {
                Failure::usage(format!(
                    "--log {level} is not understood ({error}); write for example --log debug"
                ))
            })?;
            tracing_subscriber::fmt()
                .with_env_filter(filter)
                .with_writer(io::stderr)
                .with_ansi(io::stderr().is_terminal())
                .init();
        }
        Ok(Self {
            json: false,
            quiet: args.quiet,
            started,
        })
    }

    /// One that says nothing.
    #[cfg(test)]
    pub(crate) fn silent() -> Self {
        Self {
            json: false,
            quiet: true,
            started: Instant::now(),
        }
    }

    /// From now on for programs.
    pub(crate) const fn json(mut self, json: bool) -> Self {
        self.json = json;
        self
    }

    /// Tells what happened, on standard output, at once.
    pub(crate) fn tell(&self, event: &Event) -> Result<(), Failure> {
        if self.json {
            let mut line =
                serde_json::to_vec(&event.to_json(self.started)).map_err(io::Error::from)?;
            if line == b"null" {
                return Ok(());
            }
            line.push(b'\n');
            let mut out = io::stdout().lock();
            out.write_all(&line)?;
            out.flush()?;
            return Ok(());
        }
        if let Some(line) = event.to_line(self.quiet) {
            let mut out = anstream::stdout().lock();
            writeln!(out, "{line}")?;
            out.flush()?;
        }
        Ok(())
    }

    /// Something worth knowing for a person who watches, on standard error.
    pub(crate) fn note(&self, sentence: &str) {
        if !self.quiet {
            eprintln!("netmidi: {sentence}");
        }
    }

    /// Something that went wrong and ends nothing, on standard error; for programs as an event, too.
    pub(crate) fn trouble(&self, sentence: &str) -> Result<(), Failure> {
        eprintln!("netmidi: {sentence}");
        match self.json {
            true => self.tell(&Event::Error {
                message: sentence.to_owned(),
            }),
            false => Ok(()),
        }
    }
}
