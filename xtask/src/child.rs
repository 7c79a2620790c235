//! Programs that we start beside us: bounded in time, and ended by their own id only.

use core::time::Duration;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as Input, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use crate::stage::{Stop, Verdict};

/// Which of its outputs we read line by line; the other one goes to a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Read {
    Stdout,
    Stderr,
}

/// A started program. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Program {
    name: &'static str,
    child: Child,
    lines: Receiver<Line>,
}

/// A line that a program wrote, and when we read it.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) at: Instant,
    pub(crate) text: String,
}

impl Program {
    /// Starts `command`. What we do not read of it goes to the file `log`.
    pub(crate) fn start(
        name: &'static str,
        command: &mut Command,
        read: Read,
        log: &Path,
    ) -> Result<Self, Stop> {
        command.stdin(Stdio::null());
        Self::spawn(name, command, read, log)
    }

    /// Starts `command` and gives what it reads its standard input from.
    pub(crate) fn start_fed(
        name: &'static str,
        command: &mut Command,
        read: Read,
        log: &Path,
    ) -> Result<(Self, Feed), Stop> {
        command.stdin(Stdio::piped());
        let mut program = Self::spawn(name, command, read, log)?;
        let stdin = program.child.stdin.take();
        let stdin = stdin.ok_or_else(|| format!("{name} has no standard input"))?;
        Ok((program, Feed { name, stdin }))
    }

    fn spawn(
        name: &'static str,
        command: &mut Command,
        read: Read,
        log: &Path,
    ) -> Result<Self, Stop> {
        let log = File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
        match read {
            Read::Stdout => command.stdout(Stdio::piped()).stderr(log),
            Read::Stderr => command.stderr(Stdio::piped()).stdout(log),
        };
        let mut child = command
            .spawn()
            .map_err(|error| format!("{name} did not start: {error}"))?;
        let output: Box<dyn Input + Send> = match (child.stdout.take(), child.stderr.take()) {
            (Some(out), _) => Box::new(out),
            (_, Some(err)) => Box::new(err),
            (None, None) => return Err(format!("{name} has no output to read").into()),
        };
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            BufReader::new(output)
                .lines()
                .map_while(Result::ok)
                .all(|text| {
                    let at = Instant::now();
                    sender.send(Line { at, text }).is_ok()
                })
        });
        Ok(Self { name, child, lines })
    }

    /// The next line that it writes.
    pub(crate) fn line(&self, within: Duration) -> Result<String, Stop> {
        Ok(self.timed_line(within)?.text)
    }

    /// The next line that it writes, with the time.
    pub(crate) fn timed_line(&self, within: Duration) -> Result<Line, Stop> {
        self.lines.recv_timeout(within).map_err(|error| {
            format!(
                "{} wrote no further line within {within:?}: {error}",
                self.name
            )
            .into()
        })
    }

    /// The next line that begins with `start`; what stands before it is passed over.
    pub(crate) fn line_with(&self, start: &str, within: Duration) -> Result<Line, Stop> {
        let end = Instant::now() + within;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.text.starts_with(start) => return Ok(line),
                Ok(_) => {}
                Err(error) => {
                    return Err(format!(
                        "{} wrote no line with {start:?} within {within:?}: {error}",
                        self.name
                    )
                    .into());
                }
            }
        }
    }

    /// A line that it has written already, or writes within so much time.
    pub(crate) fn next(&self, within: Duration) -> Option<Line> {
        self.lines.recv_timeout(within).ok()
    }

    /// The rest of what it writes, up to its end.
    pub(crate) fn rest(&self, within: Duration) -> Vec<String> {
        let end = Instant::now() + within;
        let next = || {
            self.lines
                .recv_timeout(end.saturating_duration_since(Instant::now()))
                .ok()
                .map(|line| line.text)
        };
        core::iter::from_fn(next).collect()
    }

    /// Sends a signal such as `TERM`, to this one process.
    pub(crate) fn signal(&self, signal: &str) -> Verdict {
        // `kill` of the shell: the program of that name is not on every machine.
        let status = Command::new("sh")
            .args([
                "-c",
                "kill -s \"$1\" \"$2\"",
                "sh",
                signal,
                &self.child.id().to_string(),
            ])
            .status()
            .map_err(|error| format!("sh did not start: {error}"))?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("{} was gone before it was told to end", self.name).into())
        }
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self, within: Duration) -> Result<ExitStatus, Stop> {
        let end = Instant::now() + within;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if Instant::now() < end => thread::sleep(Duration::from_millis(10)),
                Ok(None) => {
                    return Err(format!("{} did not end within {within:?}", self.name).into());
                }
                Err(error) => return Err(format!("{}: {error}", self.name).into()),
            }
        }
    }

    /// Waits for its end, which must be a good one.
    pub(crate) fn success(&mut self, within: Duration) -> Verdict {
        let status = self.wait(within)?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("{} ended with {status}", self.name).into())
        }
    }
}

/// The standard input of a program. Dropping it is its end.
#[derive(Debug)]
pub(crate) struct Feed {
    name: &'static str,
    stdin: ChildStdin,
}

impl Feed {
    /// Writes whole lines.
    pub(crate) fn write(&mut self, lines: &str) -> Verdict {
        self.stdin
            .write_all(lines.as_bytes())
            .and_then(|()| self.stdin.flush())
            .map_err(|error| format!("{} reads no more: {error}", self.name).into())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // It is our own child and not yet waited for, so the id is still its own.
            let _ended = self.child.kill();
            let _status = self.child.wait();
        }
    }
}
