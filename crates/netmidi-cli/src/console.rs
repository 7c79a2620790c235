//! What a command prints: for people, or for programs.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Notify;
use tracing_subscriber::EnvFilter;

use crate::event::Event;
use crate::failure::Failure;
use crate::output::{self, Weight, complain};

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
    /// Whether a quiet console shows what is played.
    hides_midi: bool,
    /// `time_us` counts from here.
    started: Instant,
    /// Comes true when nobody reads any more.
    gone: OnceLock<Arc<Notify>>,
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
            hides_midi: false,
            quiet: args.quiet,
            started,
            gone: OnceLock::new(),
        })
    }

    /// One that says nothing.
    #[cfg(test)]
    pub(crate) fn silent() -> Self {
        Self {
            json: false,
            quiet: true,
            hides_midi: false,
            aside: false,
            started: Instant::now(),
            gone: OnceLock::new(),
        }
    }

    /// From now on for programs.
    pub(crate) const fn json(mut self, json: bool) -> Self {
        self.json = json;
        self
    }

    /// From now on nothing here waits for whoever reads, or does not.
    pub(crate) fn detached(self) -> Self {
        output::detach(self.json);
        self
    }

    /// When the process began: times count from here.
    pub(crate) const fn started(&self) -> Instant {
        self.started
    }

    /// Standard output is used for something else, from now on.
    pub(crate) const fn aside(mut self) -> Self {
        self.aside = true;
        self
    }

    /// What is played is not what was asked for: a quiet console does not show it.
    pub(crate) const fn hide_midi(mut self) -> Self {
        self.hides_midi = self.quiet;
        self
    }

    /// Tells what happened at one of several bridges, or the only one.
    pub(crate) fn tell_of(&self, bridge: Option<&str>, event: &Event) -> Result<(), Failure> {
        match event {
            Event::Warning { message } => self.note(&prefixed(bridge, message)),
            Event::Error { message } => complain(&prefixed(bridge, message)),
            Event::Midi { .. } if !self.json && (self.aside || self.hides_midi) => {
                return Ok(());
            }
            _ => {}
        }
        if self.json {
            let object = event.to_json(self.started).map_err(io::Error::from)?;
            Ok(output::raw(marked(object, bridge)?, event.weight())?)
        } else if let Some(line) = event.to_line(self.quiet) {
            self.weighed(&prefixed(bridge, &line), event.weight())
        } else {
            Ok(())
        }
    }

    /// Something that is no event of a place: for programs, and for people.
    pub(crate) fn say(&self, value: &Value, line: &str) -> Result<(), Failure> {
        match self.json {
            true => self.object(value),
            false => self.heading(line),
        }
    }

    /// Something went wrong: on standard error, and for programs.
    pub(crate) fn complain(&self, bridge: Option<&str>, sentence: &str) {
        let message = sentence.to_owned();
        // Who has gone is noticed with the next event.
        let _ = self.tell_of(bridge, &Event::Error { message });
    }

    /// Tells what happened, on standard output, at once; warnings and errors on standard error, and
    /// for programs on both.
    pub(crate) fn tell(&self, event: &Event) -> Result<(), Failure> {
        self.tell_of(None, event)
    }

    /// A line for people on standard output, at once. Its colours are taken out where they are not
    /// wanted.
    pub(crate) fn line(&self, line: &str) -> Result<(), Failure> {
        self.weighed(line, Weight::Heavy)
    }

    fn weighed(&self, line: &str, weight: Weight) -> Result<(), Failure> {
        match self.aside {
            true => output::aside(line),
            false => output::line(line, weight)?,
        }
        Ok(())
    }

    /// Tells something that is no event of a place: an object for programs, or a line for people.
    pub(crate) fn report(
        &self,
        event: &'static str,
        fields: &Value,
        line: &str,
    ) -> Result<(), Failure> {
        /// The name comes first.
        #[derive(Serialize)]
        struct Report<'a> {
            event: &'static str,
            #[serde(flatten)]
            fields: &'a Value,
        }
        match self.json {
            true => self.object(&Report { event, fields }),
            false => self.heading(line),
        }
    }

    /// Whether programs read it.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// Whether a person watches how far it is.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.json && !self.quiet && io::stderr().is_terminal()
    }

    /// What stands above lines for people.
    pub(crate) fn heading(&self, line: &str) -> Result<(), Failure> {
        match self.quiet {
            true => Ok(()),
            false => self.line(line),
        }
    }

    /// An object for programs on standard output, at once.
    pub(crate) fn object(&self, object: &impl Serialize) -> Result<(), Failure> {
        let object = serde_json::to_vec(object).map_err(io::Error::from)?;
        Ok(output::raw(object, Weight::Heavy)?)
    }

    /// Something worth knowing for a person who watches, on standard error.
    pub(crate) fn note(&self, sentence: &str) {
        if !self.quiet {
            complain(sentence);
        }
    }

    /// Waits until nobody reads standard output any more, if that can be noticed before something is
    /// written: `netmidi serve | head -1` then ends, although nobody plays.
    ///
    /// Cancel safe.
    pub(crate) async fn reader_gone(&self) {
        tokio::select! {
            () = self.gone.get_or_init(watch_reader).notified() => {}
            // The disk is full, or the like.
            () = output::broken() => {}
        }
    }
}

/// An object that tells which bridge it is of, with a field at its end.
fn marked(mut object: Vec<u8>, bridge: Option<&str>) -> io::Result<Vec<u8>> {
    if let Some(bridge) = bridge
        && object.pop_if(|last| *last == b'}').is_some()
    {
        object.extend(b",\"bridge\":");
        serde_json::to_writer(&mut object, bridge)?;
        object.push(b'}');
    }
    Ok(object)
}

/// Notified when standard output is a pipe and its last reader has closed it.
#[cfg(unix)]
fn watch_reader() -> Arc<Notify> {
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileTypeExt;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    let gone = Arc::new(Notify::new());
    let out = io::stdout().as_fd().try_clone_to_owned().map(File::from);
    let Ok(out) = out else { return gone };
    let is_pipe = out.metadata().is_ok_and(|it| it.file_type().is_fifo());
    if is_pipe {
        let told = Arc::clone(&gone);
        // A thread that sleeps until then, and ends with the process.
        std::thread::spawn(move || {
            let mut watched = [PollFd::new(out.as_fd(), PollFlags::empty())];
            while poll(&mut watched, PollTimeout::NONE) == Err(nix::errno::Errno::EINTR) {}
            told.notify_one();
        });
    }
    gone
}

#[cfg(not(unix))]
fn watch_reader() -> Arc<Notify> {
    let _ = File::open;
    Arc::new(Notify::new())
}

/// A sentence of one of several bridges.
fn prefixed(bridge: Option<&str>, sentence: &str) -> String {
    match bridge {
        Some(bridge) => format!("{bridge}: {sentence}"),
        None => sentence.to_owned(),
    }
}
