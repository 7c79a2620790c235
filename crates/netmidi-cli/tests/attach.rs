//! `--socket PATH`, and `monitor` without its screen: that is in `cargo xtask monitor`.

#![cfg(unix)]
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

const SOON: Duration = Duration::from_secs(30);

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("netmidi-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("socket")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A `netmidi` that runs, and the objects that it prints.
struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Value>,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let mut child = netmidi(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = objects(child.stdout.take().unwrap());
        let stdin = child.stdin.take();
        Self {
            child,
            stdin,
            lines,
        }
    }

    fn serve(socket: &Path) -> (Self, String) {
        let socket = socket.to_str().unwrap();
        let serve = Self::start(&[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--json",
            "--socket",
            socket,
        ]);
        let listening = event(&serve.lines, "listening");
        let control = listening["control"].as_str().unwrap().to_owned();
        (serve, control)
    }

    fn say(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    fn end(mut self) {
        let id = self.child.id().to_string();
        let kill = ["-c", "kill -s TERM \"$1\"", "sh", &id];
        assert!(Command::new("sh").args(kill).status().unwrap().success());
        let end = Instant::now() + SOON;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                return;
            }
            assert!(Instant::now() < end, "it ends when it is told to");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn netmidi(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netmidi"));
    command.args(args);
    command
}

fn run(args: &[&str]) -> Output {
    netmidi(args).stdin(Stdio::null()).output().unwrap()
}

fn objects(stream: impl Read + Send + 'static) -> Receiver<Value> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(serde_json::from_str(&line).unwrap()).is_err() {
                return;
            }
        }
    });
    lines
}

/// The next event of this kind.
fn event(lines: &Receiver<Value>, kind: &str) -> Value {
    let end = Instant::now() + SOON;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let object = lines.recv_timeout(left);
        let object = object.unwrap_or_else(|_| panic!("no {kind}"));
        if object["event"] == kind {
            return object;
        }
    }
}

fn attach(socket: &Path) -> UnixStream {
    UnixStream::connect(socket).unwrap()
}

#[test]
fn who_attaches_hears_what_json_tells_and_the_counters() {
    let folder = Folder::new("hears");
    let socket = folder.socket();
    let (serve, control) = Running::serve(&socket);
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let early = objects(attach(&socket));
    assert_eq!(event(&early, "listening")["control"], *control);
    let mut player = Running::start(&["connect", &control, "--json", "--name", "Stage"]);
    let connected = event(&early, "connected");
    assert_eq!(connected["peer"]["name"], "Stage");
    let ssrc = connected["peer"]["ssrc"].clone();
    player.say("note_on channel=2 note=60 velocity=100");
    let heard = event(&early, "midi");
    assert_eq!(heard["hex"], "92 3c 64");
    assert_eq!(heard["peer"], ssrc);
    assert_eq!(heard, event(&serve.lines, "midi"), "as on standard output");
    // Who comes later is told who is here.
    let late = objects(attach(&socket));
    let began = event(&late, "attached")["time_us"].as_u64().unwrap();
    assert!(began >= heard["time_us"].as_u64().unwrap());
    assert_eq!(event(&late, "connected"), connected);
    let end = Instant::now() + SOON;
    loop {
        let stats = event(&late, "stats");
        assert_eq!(stats["peer"], ssrc);
        if stats["messages_received"] == 1 && stats["latency_us"].is_u64() {
            assert_eq!((&stats["lost"], &stats["repaired"]), (&0.into(), &0.into()));
            assert!(stats["jitter_us"].is_u64(), "{stats}");
            break;
        }
        assert!(Instant::now() < end, "{stats}");
    }
    player.end();
    assert_eq!(event(&late, "disconnected")["peer"], ssrc);
    serve.end();
    assert!(!socket.exists(), "it is removed at the end");
}

#[test]
fn a_bridge_can_be_watched_too() {
    let folder = Folder::new("bridge");
    let socket = folder.socket();
    let mut bridge = Running::start(&[
        "bridge",
        "rtp-listen:127.0.0.1:0",
        "tcp-listen:127.0.0.1:0",
        "--json",
        "--socket",
        socket.to_str().unwrap(),
    ]);
    let listening = event(&bridge.lines, "listening");
    bridge.stdin = None;
    let watcher = objects(attach(&socket));
    event(&watcher, "attached");
    let control = listening["control"].as_str().unwrap();
    let player = Running::start(&["connect", control, "--json", "--name", "Stage"]);
    assert_eq!(event(&watcher, "connected")["peer"]["name"], "Stage");
    event(&watcher, "stats");
    player.end();
    event(&watcher, "disconnected");
    bridge.end();
    assert!(!socket.exists());
}

#[test]
fn the_server_waits_for_nobody_who_watches() {
    let folder = Folder::new("slow");
    let socket = folder.socket();
    let (serve, control) = Running::serve(&socket);
    // Never reads.
    let mut slow = attach(&socket);
    let quick = objects(attach(&socket));
    event(&quick, "attached");
    let mut player = Running::start(&["connect", &control, "--json"]);
    event(&quick, "connected");
    // Not quite 2 MB of lines: more than may wait for one who watches and than the system takes, and
    // less than may wait for us, however slowly we are given time to read.
    let messages = 14_000;
    let mut text = String::new();
    for number in 0..messages {
        text += &format!(
            "control_change channel=0 control=7 value={}\n",
            number % 128
        );
    }
    let mut stdin = player.stdin.take().unwrap();
    thread::spawn(move || stdin.write_all(text.as_bytes()));
    for number in 0..messages {
        let heard = event(&serve.lines, "midi");
        assert_eq!(heard["hex"], format!("b0 07 {:02x}", number % 128));
    }
    // The slow one comes to the end of what there was for it.
    slow.set_read_timeout(Some(SOON)).unwrap();
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).unwrap();
    assert!(rest.len() < 1 << 20, "{}", rest.len());
    serve.end();
}

#[test]
fn only_so_many_may_watch() {
    let folder = Folder::new("many");
    let socket = folder.socket();
    let (serve, _) = Running::serve(&socket);
    let first: Vec<_> = (0..16).map(|_| objects(attach(&socket))).collect();
    for watcher in &first {
        event(watcher, "attached");
    }
    let mut last = attach(&socket);
    last.set_read_timeout(Some(SOON)).unwrap();
    let mut said = Vec::new();
    last.read_to_end(&mut said).unwrap();
    assert!(said.is_empty());
    serve.end();
}

#[test]
fn a_socket_that_was_left_behind_is_replaced_and_nothing_else_is() {
    let folder = Folder::new("stale");
    let socket = folder.socket();
    drop(UnixListener::bind(&socket).unwrap());
    let (serve, _) = Running::serve(&socket);
    event(&objects(attach(&socket)), "attached");
    let says = |path: &Path, says: &str| {
        let path = path.to_str().unwrap();
        let output = run(&["serve", "--listen", "127.0.0.1:0", "--socket", path]);
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(path) && text.contains(says), "{text}");
    };
    // Somebody uses it, and goes on to.
    says(&socket, "monitor --attach");
    event(&objects(attach(&socket)), "attached");
    serve.end();
    // A file of somebody.
    fs::write(&socket, "mine").unwrap();
    says(&socket, "left alone");
    assert_eq!(fs::read(&socket).unwrap(), b"mine");
    says(&folder.0.join("no/socket"), "choose a path");
}

#[test]
fn a_socket_that_another_has_made_meanwhile_is_left_to_it() {
    let folder = Folder::new("other");
    let socket = folder.socket();
    let (serve, _) = Running::serve(&socket);
    // Not removed: its number could come again.
    fs::rename(&socket, folder.0.join("moved")).unwrap();
    let other = UnixListener::bind(&socket).unwrap();
    serve.end();
    assert!(socket.exists());
    drop(other);
}

#[test]
fn monitor_says_what_to_do_instead() {
    let no = |args: &[&str], code, says: &str| {
        let output = run(args);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        assert!(text.contains(says), "{args:?}: {text}");
    };
    // Standard output is no terminal here.
    no(&["monitor", "-"], 2, "serve --json");
    no(&["monitor", "-", "rtp-listen:0"], 2, "watched alone");
    no(&["monitor", "nonsense:"], 2, "rtp-listen:");
    no(
        &["monitor", "--attach", "/nonexistent/x"],
        1,
        "serve --socket",
    );
    no(
        &["monitor", "--attach", "x", "rtp-listen:0"],
        2,
        "cannot be used",
    );
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let place = format!("rtp-listen:{}", taken.local_addr().unwrap());
    no(&["monitor", &place], 1, "monitor --attach PATH");
}
