//! What a command prints: for people, or for programs.

use std::io::{self, IsTerminal, Write};
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
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
    /// Standard output belongs to somebody else: what is for people goes to standard error.
    aside: bool,
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
            aside: false,
            quiet: args.quiet,
            started,
        })
    }

    /// From now on for programs.
    pub(crate) const fn json(mut self, json: bool) -> Self {
        self.json = json;
        self
    }

    /// Standard output is used for something else, from now on.
    pub(crate) const fn aside(mut self) -> Self {
        self.aside = true;
        self
    }

    /// Tells what happened at one of several bridges, or the only one.
    pub(crate) fn tell_of(&self, bridge: Option<&str>, event: &Event) -> Result<(), Failure> {
        if let Event::Error { message } = event {
            self.complain(bridge, message);
            return Ok(());
        }
        if self.json {
            let mut value = event.to_json(self.started);
            if let Some(object) = value.as_object_mut() {
                if let Some(bridge) = bridge {
                    object.insert("bridge".to_owned(), bridge.into());
                }
                return self.print(&value);
            }
            return Ok(());
        }
        match event {
            Event::Warning { message } => {
                if !self.quiet {
                    self.complain(bridge, message);
                }
            }
            Event::Midi { .. } if self.aside || self.quiet => {}
            event => {
                if let Some(line) = event.to_line(self.quiet) {
                    return self.line(&prefixed(bridge, &line));
                }
            }
        }
        Ok(())
    }

    /// Something that is no event of a place: for programs, and for people.
    pub(crate) fn say(&self, value: &Value, line: &str) -> Result<(), Failure> {
        match self.json {
            true => self.print(value),
            false if self.quiet => Ok(()),
            false => self.line(line),
        }
    }

    /// Something went wrong: on standard error, and for programs.
    pub(crate) fn complain(&self, bridge: Option<&str>, sentence: &str) {
        eprintln!("netmidi: {}", prefixed(bridge, sentence));
        if self.json {
            let mut value = json!({ "event": "error", "message": sentence });
            if let (Some(object), Some(bridge)) = (value.as_object_mut(), bridge) {
                object.insert("bridge".to_owned(), bridge.into());
            }
            // Who has gone is noticed with the next event.
            let _ = self.print(&value);
        }
    }

    fn print(&self, value: &Value) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(value).map_err(io::Error::from)?;
        line.push(b'\n');
        let mut out = io::stdout().lock();
        out.write_all(&line)?;
        out.flush()?;
        Ok(())
    }

    fn line(&self, line: &str) -> Result<(), Failure> {
        if self.aside {
            eprintln!("{line}");
            return Ok(());
        }
        let mut out = anstream::stdout().lock();
        writeln!(out, "{line}")?;
        out.flush()?;
        Ok(())
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
}

/// A sentence of one of several bridges.
fn prefixed(bridge: Option<&str>, sentence: &str) -> String {
    match bridge {
        Some(bridge) => format!("{bridge}: {sentence}"),
        None => sentence.to_owned(),
    }
}
