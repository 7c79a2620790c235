//! What the examples print, and how they are stopped.

use std::io::{self, Write};

use netmidi::{Event, Handle, JournalPolicy, Origin, Peer};
use tokio::signal;

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
            ..
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
