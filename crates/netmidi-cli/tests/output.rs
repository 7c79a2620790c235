//! Whoever reads slowly, not at all, or gives nonsense to read: what goes on, and what is told.

#![cfg(unix)]
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

mod tool;

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tool::{PATIENCE, Tool, command, object, text};

/// More than a pipe and all that may wait for it.
const MANY: usize = 25_000;

/// A process whose output is read when the test reads it, and not before.
struct Unread {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Unread {
    fn start(args: &[&str]) -> Self {
        let mut command = command(args);
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    fn event(&mut self, name: &str) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.out.read_line(&mut line).unwrap() > 0, "no `{name}`");
            let event = object(&line);
            if event["event"] == name {
                return event;
            }
        }
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sh = ["-c", "kill -s \"$1\" \"$2\"", "sh", signal, &id];
        assert!(Command::new("sh").args(sh).status().unwrap().success());
    }

    /// Its exit code, if it ends within so much time.
    fn code_within(&mut self, time: Duration) -> Option<i32> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Notes that begin and end, one after the other.
fn notes(count: usize) -> String {
    "90 3c 40\n80 3c 40\n".repeat(count / 2)
}

#[test]
fn who_does_not_read_costs_no_session_and_nobody_hangs() {
    let mut serve = Unread::start(&[
        "serve",
        "--json",
        "--forward",
        "--no-announce",
        "--listen",
        "127.0.0.1:0",
    ]);
    let control = text(&serve.event("listening")["control"]);
    let listener = Tool::start(&["connect", &control, "--json"]);
    listener.event("connected");
    let mut player = Tool::fed(&["connect", &control, "--json"]);
    player.event("connected");
    player.feed(&notes(MANY));
    // Others hear all of it, although nobody reads here.
    assert_eq!(listener.midi(MANY).len(), MANY);
    // Somebody new comes in, and nobody was lost.
    let third = Tool::start(&["connect", &control, "--json"]);
    third.event("connected");
    for tool in [listener, player, third] {
        let ended = tool.stop();
        assert_eq!(ended.events("disconnected")[0]["reason"], "local");
    }
    // Then it is read: what is missing is told, and every key is up.
    let mut begun = 0_i32;
    let error = loop {
        let mut line = String::new();
        assert!(serve.out.read_line(&mut line).unwrap() > 0);
        let event = object(&line);
        match event["hex"].as_str().map(|hex| &hex[..1]) {
            Some("9") => begun += 1,
            Some("8") => begun -= 1,
            _ => {}
        }
        if event["event"] == "error" {
            break text(&event["message"]);
        }
    };
    assert!(begun <= 0, "{begun} keys are down");
    assert!(error.contains("events were left out"), "{error}");
}

#[test]
fn a_signal_ends_it_although_nobody_reads() {
    let mut serve = Unread::start(&[
        "serve",
        "--json",
        "--no-announce",
        "--listen",
        "127.0.0.1:0",
    ]);
    let control = text(&serve.event("listening")["control"]);
    let mut player = Tool::fed(&["connect", &control, "--json"]);
    player.event("connected");
    player.feed(&notes(4_000));
    drop(player.take_stdin());
    assert_eq!(player.ended().code, Some(0));
    serve.signal("TERM");
    assert_eq!(serve.code_within(Duration::from_secs(10)), Some(0));
}

#[test]
fn complaints_that_nobody_reads_hold_up_nothing() {
    let (serve, control) = Tool::serve(&["--no-announce"]);
    let mut player = Unread::start(&["connect", &control]);
    let mut stdin = player.child.stdin.take().unwrap();
    stdin
        .write_all("no message\n".repeat(20_000).as_bytes())
        .unwrap();
    stdin.write_all(b"90 3c 40\n").unwrap();
    assert_eq!(serve.midi(1), ["90 3c 40"]);
    player.signal("TERM");
    assert_eq!(player.code_within(Duration::from_secs(10)), Some(0));
}

#[test]
fn lines_of_a_bridge_that_nobody_reads_hold_up_nobody() {
    let args = [
        "bridge",
        "-",
        "tcp-listen:0",
        "rtp-listen:127.0.0.1:0",
        "--no-announce",
        "--json",
    ];
    let mut bridge = Unread::start(&args);
    let (mut tcp, mut rtp) = (None, None);
    while tcp.is_none() || rtp.is_none() {
        let event = bridge.event("listening");
        tcp = tcp.or(event["address"].as_str().map(str::to_owned));
        rtp = rtp.or(event["control"].as_str().map(str::to_owned));
    }
    let listener = Tool::start(&["connect", &rtp.unwrap(), "--json"]);
    listener.event("connected");
    let mut player = TcpStream::connect(tcp.unwrap()).unwrap();
    player
        .write_all(&[0x90, 0x3C, 0x40, 0x80, 0x3C, 0x40].repeat(3_000))
        .unwrap();
    assert_eq!(listener.midi(6_000).len(), 6_000);
    listener.stop();
    bridge.signal("TERM");
    assert_eq!(bridge.code_within(Duration::from_secs(20)), Some(0));
}

#[test]
fn a_reader_that_goes_ends_a_bridge() {
    let args = ["bridge", "tcp-listen:0", "rtp-listen:127.0.0.1:0"];
    let mut bridge = Unread::start(&[&args[..], &["--no-announce", "--json"]].concat());
    bridge.event("listening");
    drop(std::mem::replace(
        &mut bridge.out,
        BufReader::new(empty_output()),
    ));
    assert_eq!(bridge.code_within(PATIENCE), Some(0));
}

/// The output of something that prints nothing.
fn empty_output() -> ChildStdout {
    let mut child = Command::new("true").stdout(Stdio::piped()).spawn().unwrap();
    child.wait().unwrap();
    child.stdout.take().unwrap()
}

#[test]
fn a_full_disk_is_told() {
    let Ok(full) = OpenOptions::new().write(true).open("/dev/full") else {
        eprintln!("skipped: this system has no /dev/full");
        return;
    };
    let mut command = command(&[
        "serve",
        "--json",
        "--no-announce",
        "--listen",
        "127.0.0.1:0",
    ]);
    let command = command.stdin(Stdio::null()).stdout(full);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut told = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut told)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(told.contains("cannot write to standard output"), "{told}");
}

#[test]
fn a_long_bad_line_is_not_quoted_whole() {
    let (serve, control) = Tool::serve(&["--no-announce"]);
    let mut player = Tool::fed(&["connect", &control, "--json"]);
    let long = "x".repeat(100_000);
    player.feed(&format!(
        "\u{FEFF}90 3c 40\n{long}\n# {}90 01 01\n80 3c 40\n",
        "y".repeat(9 << 20)
    ));
    drop(player.take_stdin());
    assert_eq!(serve.midi(2), ["90 3c 40", "80 3c 40"]);
    let ended = player.ended();
    let errors = ended.events("error");
    assert_eq!(errors.len(), 1, "{errors:?}");
    let sentence = text(&errors[0]["message"]);
    assert!(
        sentence.contains("line 2") && sentence.len() < 400,
        "{}",
        sentence.len()
    );
}

#[test]
fn nohup_is_respected() {
    let mut tool = {
        let mut shell = Command::new("sh");
        let netmidi = env!("CARGO_BIN_EXE_netmidi");
        let line = "trap '' HUP; exec \"$0\" serve --json --no-announce --listen 127.0.0.1:0";
        Tool::spawn(shell.args(["-c", line, netmidi]).stdin(Stdio::null()))
    };
    tool.event("listening");
    if !std::path::Path::new("/proc/self/status").exists() {
        eprintln!("skipped: this system does not tell what is ignored");
        return;
    }
    tool.signal("HUP");
    std::thread::sleep(Duration::from_millis(300));
    assert!(tool.is_running());
    tool.stop();
}

#[test]
fn who_is_given_up_is_told() {
    let (serve, control) = Tool::serve(&["--no-announce"]);
    let args = [
        "connect",
        &control,
        "127.0.0.1:9",
        "--once",
        "--timeout",
        "1",
        "--json",
    ];
    let tool = Tool::start(&args);
    tool.event("connected");
    let told = tool.event("disconnected");
    assert_eq!(told["peer"], "127.0.0.1:9");
    assert_eq!(told["reason"], "timeout");
    serve.stop();
    assert_eq!(tool.ended().code, Some(0));
}
