//! What is typed or piped in: a message a line.

use std::fs::File;
use std::future::poll_fn;
use std::io::{self, IsTerminal};
use std::task::{Context, Poll, ready};
use std::thread;

use netmidi::message::{LineReader, MessageBuf};
use tokio::sync::mpsc;

/// Lines that are read ahead of what was sent.
const LINES_AHEAD: usize = 64;

/// Standard input, as far as it is read.
#[derive(Debug)]
pub(crate) enum Stdin {
    /// There is nothing to be read, or nothing more.
    Nothing,
    /// It is read as soon as somebody is there to hear it.
    Waiting,
    Reading(mpsc::Receiver<Line>),
}

/// What a line is.
#[derive(Debug)]
pub(crate) enum Line {
    Message(MessageBuf),
    /// It is no message; a sentence with its number.
    Bad(String),
}

impl Stdin {
    /// A pipe, a file, or a terminal in whose foreground we are; not /dev/null.
    pub(crate) fn open() -> Self {
        match is_readable() {
            true => Self::Waiting,
            false => Self::Nothing,
        }
    }

    /// Somebody hears it from now on.
    pub(crate) fn begin(&mut self) {
        if !matches!(self, Self::Waiting) {
            return;
        }
        let (sender, lines) = mpsc::channel(LINES_AHEAD);
        // A thread: a read of standard input cannot be cancelled.
        thread::spawn(move || {
            let mut reader = LineReader::new();
            for line in io::stdin().lines() {
                let line = match line.map(|line| reader.read(&line)) {
                    Ok(Ok(None)) => continue,
                    Ok(Ok(Some(message))) => Line::Message(message),
                    Ok(Err(error)) => Line::Bad(format!("standard input: {error}")),
                    Err(error) => {
                        let _ = sender.blocking_send(Line::Bad(format!("standard input: {error}")));
                        return;
                    }
                };
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        *self = Self::Reading(lines);
    }

    /// The next line; none once, at the end.
    pub(crate) async fn next(&mut self) -> Option<Line> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The same, for those who poll.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Line>> {
        let Self::Reading(lines) = self else {
            return Poll::Pending;
        };
        let line = ready!(lines.poll_recv(cx));
        if line.is_none() {
            *self = Self::Nothing;
        }
        Poll::Ready(line)
    }
}

#[cfg(unix)]
fn is_readable() -> bool {
    use std::os::fd::AsFd;
    use std::os::unix::fs::{FileTypeExt, MetadataExt};

    let stdin = io::stdin();
    if stdin.is_terminal() {
        return is_in_foreground();
    }
    let Ok(file) = stdin.as_fd().try_clone_to_owned().map(File::from) else {
        return false;
    };
    let (Ok(it), null) = (file.metadata(), std::fs::metadata("/dev/null")) else {
        return false;
    };
    let is_null =
        null.is_ok_and(|null| it.file_type().is_char_device() && null.rdev() == it.rdev());
    !is_null
}

#[cfg(not(unix))]
fn is_readable() -> bool {
    let _ = File::open;
    io::stdin().is_terminal()
}

/// Reading the terminal in the background would stop the process.
#[cfg(unix)]
fn is_in_foreground() -> bool {
    true
}
