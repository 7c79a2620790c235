//! `netmidi` as a process: what it prints, how it ends.

#![allow(
    dead_code,
    reason = "every test file takes the part of it that it needs"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longer than anything takes, on a machine with much else to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A `netmidi` that runs. Dropping it ends it.
pub(crate) struct Tool {
    child: Child,
    stdin: Option<ChildStdin>,
    out: Receiver<String>,
    err: Receiver<String>,
}

/// How it ended, and what it had printed that was not read before.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<String>,
    pub(crate) err: String,
}

impl Ended {
    /// The objects of this name that were not read before.
    pub(crate) fn events(&self, name: &str) -> Vec<Value> {
        let objects = self.out.iter().map(|line| object(line));
        objects.filter(|it| it["event"] == name).collect()
    }
}

fn lines_of(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

pub(crate) fn object(line: &str) -> Value {
    let value: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
    assert!(line.starts_with(r#"{"event":""#), "the name first: {line}");
    value
}

pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netmidi"));
    command
        .args(args)
        .env_remove("NETMIDI_LOG")
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE");
    command
}

impl Tool {
    /// With /dev/null on standard input.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::spawn(command(args).stdin(Stdio::null()))
    }

    /// With a pipe on standard input.
    pub(crate) fn fed(args: &[&str]) -> Self {
        Self::spawn(command(args).stdin(Stdio::piped()))
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        Self {
            stdin: child.stdin.take(),
            out: lines_of(child.stdout.take().unwrap()),
            err: lines_of(child.stderr.take().unwrap()),
            child,
        }
    }

    /// A `serve --json` on free ports of 127.0.0.1, and its control address.
    pub(crate) fn serve(args: &[&str]) -> (Self, String) {
        let mut all = vec!["serve", "--json", "--listen", "127.0.0.1:0"];
        all.extend(args);
        let tool = Self::start(&all);
        let control = text(&tool.event("listening")["control"]);
        (tool, control)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn feed(&mut self, lines: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(lines.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// What writes to its standard input, whose end it is when that is dropped.
    pub(crate) fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().unwrap()
    }

    pub(crate) fn line(&self) -> String {
        match self.out.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(_) => panic!("no line; {:?}", self.err.try_iter().collect::<Vec<_>>()),
        }
    }

    /// A line that comes within so much time.
    pub(crate) fn line_within(&self, time: Duration) -> Option<String> {
        self.out.recv_timeout(time).ok()
    }

    pub(crate) fn complaint(&self) -> String {
        self.err.recv_timeout(PATIENCE).expect("a complaint")
    }

    /// The next event of this name; what stands before it is passed over.
    pub(crate) fn event(&self, name: &str) -> Value {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let event = object(&self.line());
            if event["event"] == name {
                return event;
            }
        }
        panic!("no event `{name}` among many");
    }

    /// The octets of so many messages.
    pub(crate) fn midi(&self, count: usize) -> Vec<String> {
        let events = (0..count).map(|_| self.event("midi"));
        events.map(|event| text(&event["hex"])).collect()
    }

    pub(crate) fn signal(&self, signal: &str) {
        // `kill` of the shell: the program of that name is not on every machine.
        let id = self.child.id().to_string();
        let done = Command::new("sh")
            .args(["-c", "kill -s \"$1\" \"$2\"", "sh", signal, &id])
            .status();
        assert!(done.unwrap().success());
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub(crate) fn ended(mut self) -> Ended {
        let end = Instant::now() + PATIENCE;
        while self.is_running() {
            assert!(Instant::now() < end, "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
        let code = self.child.wait().unwrap().code();
        let (out, err) = (self.out.iter().collect(), self.err.iter());
        let err = err.collect::<Vec<_>>().join("\n");
        Ended { code, out, err }
    }

    /// Ends it as a service manager does; that is a good end.
    pub(crate) fn stop(self) -> Ended {
        self.signal("TERM");
        let ended = self.ended();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Runs to its end, with /dev/null on standard input.
pub(crate) fn run(args: &[&str]) -> Ended {
    Tool::start(args).ended()
}

pub(crate) fn text(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => panic!("no text: {value}"),
    }
}

pub(crate) fn address(value: &Value) -> SocketAddr {
    text(value).parse().unwrap()
}

/// The names of the fields in their order.
pub(crate) fn fields(line: &str) -> Vec<String> {
    // Objects within are left out by their depth.
    let (mut depth, mut names, mut in_text, mut word) = (0, Vec::new(), false, String::new());
    let mut escaped = false;
    for c in line.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => {
                in_text = !in_text;
                if in_text {
                    word.clear();
                }
            }
            _ if in_text => word.push(c),
            '{' => depth += 1,
            '}' => depth -= 1,
            ':' if depth == 1 => names.push(std::mem::take(&mut word)),
            _ => {}
        }
    }
    names
}
