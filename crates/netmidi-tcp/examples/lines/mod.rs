//! What is typed or piped in: a message a line, as hex or in mido's words.

use std::io;
use std::thread;

use netmidi_message::{LineReader, MessageBuf};
use tokio::sync::mpsc;

/// Lines that are read ahead of what was sent.
const LINES_AHEAD: usize = 64;

/// Reads standard input. A line that is no message is reported and passed over.
pub(crate) fn read(program: &'static str) -> mpsc::Receiver<MessageBuf> {
    let (sender, lines) = mpsc::channel(LINES_AHEAD);
    // A thread: a read of standard input cannot be cancelled.
    thread::spawn(move || {
        let mut reader = LineReader::new();
        for line in io::stdin().lines() {
            let line = match line {
                Ok(line) => line,
                Err(error) => return eprintln!("{program}: standard input: {error}"),
            };
            match reader.read(&line) {
                Ok(None) => {}
                Ok(Some(message)) => {
                    if sender.blocking_send(message).is_err() {
                        return;
                    }
                }
                Err(error) => eprintln!("{program}: {error}"),
            }
        }
    });
    lines
}
