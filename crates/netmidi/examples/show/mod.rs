//! What the examples print and read, and how they are stopped.

use std::future::pending;
use std::io::{self, Write};
use std::thread;

use netmidi::message::{LineReader, MessageBuf};
use netmidi::{Event, Handle, JournalPolicy, Origin, Peer};
use tokio::signal;
use tokio::sync::mpsc;

/// Lines that are read ahead of what was sent.
const LINES_AHEAD: usize = 64;

/// Reads a journal policy.
pub(crate) fn journal(text: &str) -> Result<JournalPolicy, &'static str> {
    match text {
        "auto" => Ok(JournalPolicy::Auto),
        "full" => Ok(JournalPolicy::Full),
        "off" => Ok(JournalPolicy::Off),
        _ => Err("write auto, full or off"),
    }
}

/// Prints one event, and plays a message back where that was asked for.
pub(crate) fn show(
    out: &mut impl Write,
    event: &Event,
    echo: Option<&Handle>,
    program: &str,
) -> io::Result<()> {
    match event {
        Event::Connected { peer } => writeln!(
            out,
            "connected: {} (ssrc {}, control {}, data {})",
            name(peer),
            peer.ssrc,
            peer.control,
            peer.data
        ),
        Event::Message {
            peer,
            message,
            origin,
            ..
        } => {
            if let Some(handle) = echo
                && let Err(error) = handle.send(peer.id, message)
            {
                eprintln!("{program}: no echo for {}: {error}", name(peer));
            }
            let what = match origin {
                Origin::Live => "midi",
                Origin::Repaired => "repaired",
                Origin::Silence => "silenced",
                Origin::Restored => "restored",
            };
            writeln!(out, "{what}: {}: {message}", name(peer))
        }
        Event::Disconnected { peer, reason } => {
            writeln!(out, "disconnected: {} ({reason})", name(peer))
        }
        Event::Lost {
            peer,
            packets,
            covered,
        } => {
            let rest = if *covered { "" } else { ", not all repaired" };
            writeln!(out, "lost: {}: {packets} packets{rest}", name(peer))
        }
        Event::Invitation { address, state, .. } => writeln!(out, "inviting: {address}: {state}"),
        Event::Announced { name } => writeln!(out, "announced: {name}"),
        Event::NotAnnounced { reason } => {
            eprintln!("{program}: not shown in the local network: {reason}");
            Ok(())
        }
        Event::NotSent { peer, error } => {
            eprintln!("{program}: to {}: {error}", name(peer));
            Ok(())
        }
        Event::Overflow { peer, dropped } => {
            eprintln!(
                "{program}: too slow, {dropped} events of {} dropped",
                name(peer)
            );
            Ok(())
        }
        other => writeln!(out, "{other:?}"),
    }
}

/// A peer's name is its own choice: nothing in it may play tricks with the terminal.
pub(crate) fn name(peer: &Peer) -> String {
    let is_trick = |c: char| {
        c.is_control()
            || matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    match peer.name.as_str() {
        "" => peer.control.to_string(),
        name => name
            .chars()
            .map(|c| if is_trick(c) { '\u{FFFD}' } else { c })
            .collect(),
    }
}

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

/// Ctrl-C, or the wish of the system to end the process.
pub(crate) async fn stop_signal() -> io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = signal::unix::signal(signal::unix::SignalKind::terminate())?;
        tokio::select! {
            result = signal::ctrl_c() => result,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    signal::ctrl_c().await
}
