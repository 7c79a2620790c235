//! What the examples read from standard input.

use std::future::pending;
use std::io;
use std::thread;

use netmidi::message::{LineReader, MessageBuf};
use tokio::sync::mpsc;

/// Lines that are read ahead of what was sent.
const LINES_AHEAD: usize = 64;

/// What is typed or piped in: a message a line, as hex or in mido's words.
pub(crate) struct Lines(Option<mpsc::Receiver<MessageBuf>>);

impl Lines {
    /// Nothing is read.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// Reads standard input from now on. A line that is no message is reported and passed over.
    pub(crate) fn read(program: &'static str) -> Self {
        let (sender, messages) = mpsc::channel(LINES_AHEAD);
        // A thread: a read of standard input cannot be cancelled.
        thread::spawn(move || {
            let mut reader = LineReader::new();
            for line in io::stdin().lines() {
                let message = match line.map(|line| reader.read(&line)) {
                    Ok(Ok(None)) => continue,
                    Ok(Ok(Some(message))) => message,
                    Ok(Err(error)) => {
                        eprintln!("{program}: {error}");
                        continue;
                    }
                    Err(error) => {
                        eprintln!("{program}: standard input: {error}");
                        return;
                    }
                };
                if sender.blocking_send(message).is_err() {
                    return;
                }
            }
        });
        Self(Some(messages))
    }

    /// The next message; `None` once, at the end of standard input.
    pub(crate) async fn next(&mut self) -> Option<MessageBuf> {
        let Some(messages) = &mut self.0 else {
            return pending().await;
        };
        let message = messages.recv().await;
        if message.is_none() {
            self.0 = None;
        }
        message
    }
}
