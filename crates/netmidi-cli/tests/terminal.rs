//! A terminal on standard input: read in the foreground, left alone in the background.

#![cfg(target_os = "linux")]
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

mod tool;

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::pty::openpty;
use tool::{Tool, command, text};

/// A command whose controlling terminal is the other end of the file that comes with it.
fn at_a_terminal(args: &[&str]) -> Option<(Tool, File)> {
    let has_setsid = Command::new("setsid").arg("--version").output().is_ok();
    if !has_setsid {
        println!("left out: setsid is not here (apt install util-linux)");
        return None;
    }
    let pty = openpty(None, None).unwrap();
    let mut command = Command::new("setsid");
    command.arg("--ctty").args(args);
    let tool = Tool::spawn(command.stdin(Stdio::from(pty.slave)));
    Some((tool, File::from(pty.master)))
}

#[test]
fn what_is_typed_in_the_foreground_is_played() {
    let (server, control) = Tool::serve(&["--no-announce"]);
    let binary = env!("CARGO_BIN_EXE_netmidi");
    let typed = at_a_terminal(&[binary, "connect", "--json", &control]);
    let Some((client, mut keyboard)) = typed else {
        return;
    };
    client.event("connected");
    keyboard.write_all(b"90 3c 64\n").unwrap();
    assert_eq!(server.midi(1), ["90 3c 64"]);
    keyboard.write_all(b"80 3c 40\n").unwrap();
    assert_eq!(server.midi(1), ["80 3c 40"]);
    // Ctrl-D is the end of the input.
    keyboard.write_all(&[4]).unwrap();
    assert_eq!(client.ended().code, Some(0));
    assert_eq!(server.event("disconnected")["reason"], "bye");
    server.stop();
}

#[test]
fn in_the_background_the_terminal_is_left_alone_and_nothing_stops() {
    let (server, control) = Tool::serve(&["--no-announce", "--name", "stage"]);
    // `-m`: every command gets a process group of its own, as in an interactive shell.
    let script = "\"$0\" connect --json --once \"$1\" & wait";
    let binary = env!("CARGO_BIN_EXE_netmidi");
    let typed = at_a_terminal(&["sh", "-mc", script, binary, &control]);
    let Some((client, mut keyboard)) = typed else {
        return;
    };
    assert_eq!(text(&client.event("connected")["peer"]["name"]), "stage");
    server.event("connected");
    keyboard.write_all(b"90 3c 64\n").unwrap();
    std::thread::sleep(Duration::from_millis(1_200));
    // It would have been stopped: it goes on comparing clocks.
    while client.line_within(Duration::ZERO).is_some() {}
    client.event("sync");
    let ended = server.stop();
    assert!(
        ended.events("midi").is_empty(),
        "it was typed for the shell"
    );
    assert_eq!(client.event("disconnected")["reason"], "bye");
}

/// The first octets that `serve` with these variables writes to a terminal.
fn written_to_a_terminal(variables: &[(&str, &str)]) -> String {
    let pty = openpty(None, None).unwrap();
    let mut child = command(&["serve", "--no-announce", "--listen", "127.0.0.1:0"])
        .env("TERM", "xterm")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::from(pty.slave))
        .spawn()
        .unwrap();
    let mut terminal = File::from(pty.master);
    let mut octets = Vec::new();
    while !octets.ends_with(b"\n") {
        let mut one = [0];
        terminal.read_exact(&mut one).unwrap();
        octets.extend(one);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    String::from_utf8(octets).unwrap()
}

#[test]
fn a_terminal_has_colours_unless_they_are_not_wanted() {
    let line = written_to_a_terminal(&[]);
    assert!(
        line.contains("listening") && line.contains('\u{1b}'),
        "{line:?}"
    );
    let line = written_to_a_terminal(&[("NO_COLOR", "1")]);
    assert!(
        line.starts_with("listening ") && !line.contains('\u{1b}'),
        "{line:?}"
    );
}
