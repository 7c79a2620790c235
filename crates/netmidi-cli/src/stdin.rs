//! What is typed or piped in: a message a line.

use std::borrow::Cow;
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, BufRead, IsTerminal, Read};
use std::task::{Context, Poll, ready};
use std::thread;

use netmidi::message::{LineReader, MessageBuf};
use tokio::sync::mpsc;

/// Lines that are read ahead of what was sent.
const LINES_AHEAD: usize = 256;

/// The longest line, in octets: room for a system exclusive message of a megabyte in mido's words.
const LONGEST_LINE: u64 = 8 << 20;

/// So many characters of a sentence about a bad line are told: it may quote all of the line.
const LONGEST_SENTENCE: usize = 200;

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
    /// A pipe, a file, or a terminal, as far as we are in its foreground; not /dev/null.
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
        thread::spawn(move || read(&sender));
        *self = Self::Reading(lines);
    }

    /// The next line; none once, at the end.
    ///
    /// Cancel safe.
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

/// Reads to the end, or until nobody wants it any more.
fn read(lines: &mpsc::Sender<Line>) {
    let mut stdin = io::stdin().lock();
    let is_terminal = stdin.is_terminal();
    let mut reader = LineReader::new();
    let mut octets = Vec::new();
    let mut first = true;
    loop {
        if is_terminal && !wait_for_terminal(lines) {
            return;
        }
        let line = match read_line(&mut stdin, &mut octets) {
            Ok(Got::Nothing) => return,
            // One that is no text is no message either.
            Ok(Got::Line) => match reader.read(text(&octets, &mut first).as_ref()) {
                Ok(None) => continue,
                Ok(Some(message)) => Line::Message(message),
                Err(error) => Line::Bad(format!(
                    "standard input: {}; the line is left out",
                    shortened(&error.to_string())
                )),
            },
            Ok(Got::TooLong) if text(&octets, &mut first).trim_start().starts_with('#') => {
                let _ = reader.read("");
                continue;
            }
            Ok(Got::TooLong) => {
                // It counts.
                let _ = reader.read("");
                Line::Bad(format!(
                    "standard input: a line is longer than {LONGEST_LINE} octets; it is left out: \
                     write one message a line"
                ))
            }
            Err(error) => {
                let sentence = format!("standard input cannot be read any further: {error}");
                // Or the command has ended.
                let _ = lines.blocking_send(Line::Bad(sentence));
                return;
            }
        };
        if lines.blocking_send(line).is_err() {
            return;
        }
    }
}

/// What was read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Got {
    Line,
    /// The beginning of a line; the rest of it was passed over.
    TooLong,
    /// The end.
    Nothing,
}

/// Reads one line, or as much as a line may have.
fn read_line(from: &mut impl BufRead, into: &mut Vec<u8>) -> io::Result<Got> {
    into.clear();
    let len = from.take(LONGEST_LINE).read_until(b'\n', into)?;
    if len == 0 {
        return Ok(Got::Nothing);
    }
    if len as u64 == LONGEST_LINE && into.last() != Some(&b'\n') {
        from.skip_until(b'\n')?;
        return Ok(Got::TooLong);
    }
    Ok(Got::Line)
}

/// A line as text; the mark that some editors put in front of a text is none of it.
fn text<'a>(octets: &'a [u8], first: &mut bool) -> Cow<'a, str> {
    let octets = match std::mem::take(first) {
        true => octets.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(octets),
        false => octets,
    };
    String::from_utf8_lossy(octets)
}

/// The beginning of a sentence that may be as long as a line.
fn shortened(sentence: &str) -> Cow<'_, str> {
    match sentence.char_indices().nth(LONGEST_SENTENCE) {
        Some((end, _)) => Cow::Owned(format!("{}…", sentence.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(sentence),
    }
}

#[cfg(unix)]
fn is_readable() -> bool {
    use std::os::fd::AsFd;
    use std::os::unix::fs::{FileTypeExt, MetadataExt};

    let stdin = io::stdin();
    if stdin.is_terminal() {
        // Whether we are in its foreground may change: that is looked at before each line.
        return true;
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
    true
}

/// Waits until something was typed and we are in the foreground of the terminal: reading it in the
/// background would stop the process. Returns whether somebody still wants it.
#[cfg(unix)]
fn wait_for_terminal(lines: &mpsc::Sender<Line>) -> bool {
    use std::os::fd::AsFd;
    use std::time::Duration;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::unistd::{getpgrp, tcgetpgrp};

    /// How often a terminal in whose background we are is looked at.
    const LOOK: Duration = Duration::from_millis(500);

    let stdin = io::stdin();
    while !lines.is_closed() {
        let mut typed = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        match poll(&mut typed, PollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => continue,
            // The read will tell what is wrong.
            Err(_) => return true,
            Ok(_) => {}
        }
        match tcgetpgrp(&stdin) {
            Ok(foreground) if foreground != getpgrp() => thread::sleep(LOOK),
            // Ours; or not the terminal of our session, which stops nobody.
            _ => return true,
        }
    }
    false
}

#[cfg(not(unix))]
fn wait_for_terminal(lines: &mpsc::Sender<Line>) -> bool {
    !lines.is_closed()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn lines_end_anywhere_and_need_not_be_text() {
        let mut from: &[u8] = b"90 3c 64\r\n\xff\xfe\n\n80 3c 40";
        let mut line = Vec::new();
        let mut lines = Vec::new();
        while read_line(&mut from, &mut line).unwrap() == Got::Line {
            lines.push(String::from_utf8_lossy(&line).into_owned());
        }
        assert_eq!(
            lines,
            ["90 3c 64\r\n", "\u{FFFD}\u{FFFD}\n", "\n", "80 3c 40"]
        );
    }

    #[test]
    fn of_a_line_without_end_the_rest_is_passed_over() {
        let endless = io::repeat(b'9').take(3 * LONGEST_LINE);
        let mut from = io::BufReader::new(endless.chain(&b"\n90 3c 64\n"[..]));
        let mut line = Vec::new();
        assert_eq!(read_line(&mut from, &mut line).unwrap(), Got::TooLong);
        assert_eq!(line.len() as u64, LONGEST_LINE);
        assert_eq!(read_line(&mut from, &mut line).unwrap(), Got::Line);
        assert_eq!(line, b"90 3c 64\n");
        assert_eq!(read_line(&mut from, &mut line).unwrap(), Got::Nothing);
    }

    #[test]
    fn only_the_first_line_may_begin_with_a_mark() {
        let mut first = true;
        assert_eq!(text(b"\xEF\xBB\xBF90 3c 64", &mut first), "90 3c 64");
        assert_eq!(
            text(b"\xEF\xBB\xBF90 3c 64", &mut first),
            "\u{FEFF}90 3c 64"
        );
    }

    #[test]
    fn a_sentence_does_not_quote_megabytes() {
        assert_eq!(shortened("short"), "short");
        assert_eq!(
            shortened(&"ö".repeat(9_999)).chars().count(),
            LONGEST_SENTENCE + 1
        );
    }
}
