//! `netmidi bridge` as a process, with peers of several kinds around it.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A `netmidi` that runs. Dropping it ends it.
struct Netmidi {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    complaints: Receiver<String>,
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

impl Netmidi {
    /// With nothing on standard input.
    fn start(args: &[&str]) -> Self {
        Self::spawn(args, Stdio::null())
    }

    /// With a pipe on standard input.
    fn start_fed(args: &[&str]) -> Self {
        Self::spawn(args, Stdio::piped())
    }

    fn spawn(args: &[&str], stdin: Stdio) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_netmidi"))
            .args(args)
            .env_remove("NETMIDI_LOG")
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            stdin: child.stdin.take(),
            lines: lines_of(child.stdout.take().unwrap()),
            complaints: lines_of(child.stderr.take().unwrap()),
            child,
        }
    }

    fn feed(&mut self, lines: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(lines.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap()
    }

    /// The next event of this name.
    fn event(&self, name: &str) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                let complaints: Vec<String> = self.complaints.try_iter().collect();
                panic!("no event `{name}`; {complaints:?}");
            };
            let value: Value = serde_json::from_str(&line).unwrap();
            if value["event"] == name {
                return value;
            }
        }
    }

    fn complaint(&self) -> String {
        self.complaints.recv_timeout(PATIENCE).unwrap()
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let done = Command::new("sh")
            .args(["-c", "kill -s \"$1\" \"$2\"", "sh", signal, &id])
            .status();
        assert!(done.unwrap().success());
    }

    /// Its exit code, and what it printed until then.
    fn wait(&mut self) -> (i32, Vec<String>) {
        let end = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
        let code = self.child.wait().unwrap().code().unwrap();
        (code, self.lines.iter().collect())
    }

    fn end(mut self) -> Vec<String> {
        self.signal("TERM");
        let (code, rest) = self.wait();
        assert_eq!(code, 0);
        rest
    }
}

impl Drop for Netmidi {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn once(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netmidi"));
    command.args(args).stdin(Stdio::null()).output().unwrap()
}

/// An even UDP port whose neighbour is free, too.
fn udp_pair() -> u16 {
    for _ in 0..100 {
        let one = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = one.local_addr().unwrap().port() & !1;
        drop(one);
        if UdpSocket::bind(("127.0.0.1", port)).is_ok()
            && UdpSocket::bind(("127.0.0.1", port + 1)).is_ok()
        {
            return port;
        }
    }
    panic!("no two neighbours are free");
}

fn tcp_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// The first TCP address that a bridge listens on.
fn listening_tcp(bridge: &Netmidi) -> SocketAddr {
    loop {
        let event = bridge.event("listening");
        if let Some(address) = event["address"].as_str() {
            return address.parse().unwrap();
        }
    }
}

fn control_port(bridge: &Netmidi) -> String {
    let event = bridge.event("listening");
    let control: SocketAddr = event["control"].as_str().unwrap().parse().unwrap();
    control.to_string()
}

fn connect(address: impl std::net::ToSocketAddrs) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn read_exactly(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut octets = vec![0; count];
    stream.read_exact(&mut octets).unwrap();
    octets
}

/// Nothing comes for a while.
fn is_quiet(stream: &mut TcpStream) -> bool {
    stream
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let quiet = stream.read(&mut [0; 16]).is_err();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    quiet
}

fn midi_text(bridge: &Netmidi) -> String {
    bridge.event("midi")["text"].as_str().unwrap().to_owned()
}

#[test]
fn tcp_rtp_and_lines_hear_each_other() {
    let mut bridge = Netmidi::start_fed(&[
        "bridge",
        "--json",
        "--no-announce",
        "rtp-listen:127.0.0.1:0",
        "tcp-listen:127.0.0.1:0",
        "-",
    ]);
    let control = control_port(&bridge);
    let tcp = listening_tcp(&bridge);
    let mut peer = Netmidi::start_fed(&["connect", &control, "--json"]);
    peer.event("connected");
    let mut client = connect(tcp);
    bridge.event("connected");

    // From TCP, in pieces, with running status that mido does not send but others might.
    client.write_all(&[0x90, 0x3c, 0x64, 0xf0, 1, 2]).unwrap();
    client.write_all(&[3, 0xf7]).unwrap();
    assert_eq!(midi_text(&peer), "note_on channel=0 note=60 velocity=100");
    assert_eq!(midi_text(&peer), "sysex data=(1,2,3)");
    let sent = bridge.event("sent");
    assert_eq!(
        (&sent["hex"], &sent["to"]),
        (&"90 3c 64".into(), &"-".into())
    );
    assert_eq!(bridge.event("sent")["text"], "sysex data=(1,2,3)");

    // From RTP-MIDI.
    peer.feed("control_change channel=4 control=7 value=9\n");
    assert_eq!(read_exactly(&mut client, 3), [0xb4, 7, 9]);
    assert_eq!(bridge.event("sent")["hex"], "b4 07 09");

    // From lines, a wrong one among them.
    bridge.feed("nonsense\n# nothing\n\n91 40 7f\nprogram_change channel=2 program=5\n");
    assert_eq!(read_exactly(&mut client, 5), [0x91, 0x40, 0x7f, 0xc2, 5]);
    assert_eq!(midi_text(&peer), "note_on channel=1 note=64 velocity=127");
    assert_eq!(midi_text(&peer), "program_change channel=2 program=5");
    assert!(bridge.complaint().contains("standard input: line 1: "));

    // At the end everything that sounds is ended everywhere: by the end of standard input here.
    bridge.stdin = None;
    assert_eq!(midi_text(&peer), "note_off channel=0 note=60 velocity=64");
    assert_eq!(midi_text(&peer), "note_off channel=1 note=64 velocity=64");
    assert_eq!(peer.event("disconnected")["reason"], "bye");
    assert_eq!(read_exactly(&mut client, 3), [0x81, 0x40, 0x40]);
    assert_eq!(client.read(&mut [0; 8]).unwrap(), 0, "closed");
    assert_eq!(bridge.wait().0, 0);
}

#[test]
fn ten_thousand_messages_cross_both_ways_in_order() {
    const COUNT: usize = 10_000;
    let bridge = Netmidi::start(&[
        "bridge",
        "--json",
        "--no-announce",
        "rtp-listen:127.0.0.1:0",
        "tcp-listen:127.0.0.1:0",
    ]);
    let control = control_port(&bridge);
    let mut client = connect(listening_tcp(&bridge));
    let mut peer = Netmidi::start_fed(&["connect", &control, "--json"]);
    peer.event("connected");
    // Somebody has to read what it prints.
    let told = thread::spawn(move || {
        let mut count = 0;
        while count < 2 * COUNT {
            count += usize::from(bridge.event("midi")["repaired"] == false);
        }
        bridge
    });
    let message = |number: usize, channel: u8| {
        let low = u8::try_from(number % 128).unwrap();
        let high = u8::try_from(number / 128).unwrap();
        [0xe0 | channel, low, high]
    };
    let mut writer = client.try_clone().unwrap();
    let to_rtp = thread::spawn(move || {
        let all: Vec<u8> = (0..COUNT).flat_map(|it| message(it, 0)).collect();
        writer.write_all(&all).unwrap();
    });
    let mut stdin = peer.stdin.take().unwrap();
    let to_tcp = thread::spawn(move || {
        for number in 0..COUNT {
            let [status, low, high] = message(number, 1);
            writeln!(stdin, "{status:02x}{low:02x}{high:02x}").unwrap();
        }
        stdin
    });
    for number in 0..COUNT {
        let [status, low, high] = message(number, 0);
        let hex = format!("{status:02x} {low:02x} {high:02x}");
        assert_eq!(peer.event("midi")["hex"], hex, "{number}");
    }
    for number in 0..COUNT {
        assert_eq!(read_exactly(&mut client, 3), message(number, 1), "{number}");
    }
    to_rtp.join().unwrap();
    let stdin = to_tcp.join().unwrap();
    told.join().unwrap().end();
    drop(stdin);
}

#[test]
fn filters_pass_what_they_are_to() {
    let bridge = Netmidi::start(&[
        "bridge",
        "--json",
        "tcp-listen:127.0.0.1:0",
        "tcp-listen:0",
        "--channels",
        "1-4,10",
        "--types",
        "note,pressure,program,sysex,clock",
        "--notes",
        "C3-127",
        "--transpose",
        "-12",
        "--no-clock",
        "--no-sysex",
    ]);
    let mut one = connect(listening_tcp(&bridge));
    let mut other = connect(listening_tcp(&bridge));
    bridge.event("connected");
    bridge.event("connected");
    one.write_all(&[
        0x90, 60, 1, // goes to 48
        0x94, 60, 1, // another channel
        0x90, 47, 1, // too low
        0xb0, 7, 1,    // a controller
        0xf8, // clock
        0xf0, 1, 0xf7, // system exclusive
        0xa0, 60, 5, // with its note
        0x99, 48, 2, // goes to 36
        0x80, 60, 3, 0x80, 47, 3, // ends of what went on, and of what did not
        0xb0, 126, 1, // ends notes, and would set a mode
        0xc1, 9,
    ])
    .unwrap();
    assert_eq!(
        read_exactly(&mut other, 17),
        [
            0x90, 48, 1, 0xa0, 48, 5, 0x99, 36, 2, 0x80, 48, 3, 0xb0, 123, 0, 0xc1, 9
        ]
    );
    assert!(is_quiet(&mut one), "nothing goes back");
    // Reset is no type that passes, but ends what its sender holds.
    one.write_all(&[0xff]).unwrap();
    assert_eq!(read_exactly(&mut other, 3), [0x89, 36, 64]);
    bridge.end();
}

#[test]
fn one_way_and_together() {
    let bridge = Netmidi::start(&[
        "bridge",
        "--json",
        "--one-way",
        "tcp-listen:127.0.0.1:0",
        "tcp-listen:0",
    ]);
    let mut first = connect(listening_tcp(&bridge));
    let second = listening_tcp(&bridge);
    let (mut b, mut c) = (connect(second), connect(second));
    for _ in 0..3 {
        bridge.event("connected");
    }
    b.write_all(&[0x90, 1, 1]).unwrap();
    first.write_all(&[0x90, 2, 1]).unwrap();
    assert_eq!(read_exactly(&mut b, 3), [0x90, 2, 1]);
    assert_eq!(read_exactly(&mut c, 3), [0x90, 2, 1]);
    assert!(is_quiet(&mut first) && is_quiet(&mut c));
    bridge.end();
    assert_eq!(
        read_exactly(&mut c, 3),
        [0x80, 2, 64],
        "what sounds is ended"
    );

    let bridge = Netmidi::start(&[
        "bridge",
        "--json",
        "--together",
        "tcp-listen:127.0.0.1:0",
        "tcp-listen:0",
    ]);
    let address = listening_tcp(&bridge);
    let (mut a, mut b) = (connect(address), connect(address));
    let mut c = connect(listening_tcp(&bridge));
    for _ in 0..3 {
        bridge.event("connected");
    }
    a.write_all(&[0x90, 2, 1]).unwrap();
    assert_eq!(read_exactly(&mut b, 3), [0x90, 2, 1]);
    assert_eq!(read_exactly(&mut c, 3), [0x90, 2, 1]);
    assert!(is_quiet(&mut a));
    bridge.end();
}

/// Two bridges join the same two servers: what is played goes round.
#[test]
fn a_circle_is_told_and_broken() {
    for options in [&[][..], &["--break-circles", "200"]] {
        let hub = Netmidi::start(&[
            "bridge",
            "--json",
            "--together",
            "tcp-listen:127.0.0.1:0",
            "tcp-listen:0",
        ]);
        let left = listening_tcp(&hub).to_string();
        let far = Netmidi::start(&[
            "bridge",
            "--json",
            "--together",
            "tcp-listen:127.0.0.1:0",
            "tcp-listen:0",
        ]);
        let right = listening_tcp(&far).to_string();
        let (one, other) = (format!("tcp:{left}"), format!("tcp:{right}"));
        let circle = |name: &str| {
            let mut args = vec!["bridge", "--json", "--name", name, &one, &other];
            args.extend(options);
            let bridge = Netmidi::start(&args);
            bridge.event("connected");
            bridge.event("connected");
            bridge
        };
        let (a, b) = (circle("a"), circle("b"));
        let mut player = connect(&left[..]);
        let mut listener = connect(&right[..]);
        for _ in 0..3 {
            hub.event("connected");
            far.event("connected");
        }
        player.write_all(&[0xb0, 7, 1]).unwrap();
        let mut copies = 0;
        while read_if_any(&mut listener) == Some([0xb0, 7, 1]) {
            copies += 1;
            assert!(copies < 500, "it goes round for ever");
        }
        assert!(copies >= 1);
        if !options.is_empty() {
            assert!(copies <= 2, "{copies} copies");
        }
        for it in [a, b, hub, far] {
            it.end();
        }
    }
}

fn read_if_any(stream: &mut TcpStream) -> Option<[u8; 3]> {
    let mut octets = [0; 3];
    stream
        .set_read_timeout(Some(Duration::from_millis(400)))
        .unwrap();
    stream.read_exact(&mut octets).ok().map(|()| octets)
}

#[test]
fn lines_go_in_and_come_out() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = format!("tcp:{}", server.local_addr().unwrap());
    let mut bridge = Netmidi::start_fed(&["bridge", "-", &place]);
    let (mut stream, _) = server.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&[0x93, 60, 64, 0xfa]).unwrap();
    // Only messages stand on standard output.
    assert_eq!(bridge.line(), "note_on channel=3 note=60 velocity=64");
    assert_eq!(bridge.line(), "start");
    bridge.feed("b0 07 01\n");
    assert_eq!(read_exactly(&mut stream, 3), [0xb0, 7, 1]);
    bridge.stdin = None;
    let (code, rest) = bridge.wait();
    assert_eq!(code, 0);
    assert_eq!(rest, ["note_off channel=3 note=60 velocity=64"]);
}

#[test]
fn ports_are_listed_or_it_is_told_why_not() {
    for args in [&["ports"][..], &["ports", "--json"]] {
        let output = once(args);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let listed = String::from_utf8(output.stdout).unwrap();
        match output.status.code() {
            Some(0) if args.len() == 1 => {
                assert!(listed.starts_with("inputs (") && listed.contains("outputs ("));
            }
            Some(0) => {
                for line in listed.lines() {
                    let port: Value = serde_json::from_str(line).unwrap();
                    assert!(["input", "output"].contains(&port["direction"].as_str().unwrap()));
                    assert!(port["name"].is_string());
                }
            }
            code => {
                // Built without them, or there is no sequencer or server here.
                assert_eq!(code, Some(1), "{told}");
                let last = told.lines().last().unwrap_or_default();
                assert!(last.starts_with("netmidi: "), "{told}");
                assert!(
                    last.contains("; get one with") || last.contains("; see that"),
                    "{told}"
                );
                let bridge = once(&["bridge", "virtual:x", "tcp:h:1"]);
                assert_eq!(bridge.status.code(), Some(1));
            }
        }
    }
}

#[test]
fn wrong_usage_is_told_in_a_sentence() {
    for (args, what) in [
        (&["bridge", "tcp:h:1"][..], "2 values required"),
        (
            &["bridge", "tcp:h:1", "udp:x"],
            "`udp:` is no kind of place; write",
        ),
        (&["bridge", "-", "-"], "`-` is given twice"),
        (
            &["bridge", "tcp:h:1", "tcp:h:2", "--channels", "17"],
            "`17` is no channel; write numbers from 1 to 16",
        ),
        (
            &["bridge", "tcp:h:1", "tcp:h:2", "--one-way", "--together"],
            "cannot be used with",
        ),
        (
            &["bridge", "--check", "tcp:h:1", "tcp:h:2"],
            "cannot be used with",
        ),
        (
            &["bridge", "--config", "x.toml", "--no-clock"],
            "cannot be used with",
        ),
        (
            &["bridge", "--config", "x.toml", "tcp:h:1", "tcp:h:2"],
            "cannot be used with",
        ),
        (
            &["bridge", "--config", "x.toml", "--no-journal"],
            "--journal is for one bridge",
        ),
        (
            &["bridge", "--config", "x.toml", "--metrics", "0"],
            "--metrics counts one bridge",
        ),
        (&["bridge", "--check"], "write --config FILE.toml --check"),
    ] {
        let output = once(args);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {told}");
        assert!(told.contains(what), "{args:?}: {told}");
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = format!("tcp-listen:{}", taken.local_addr().unwrap());
    let output = once(&["bridge", &place, "tcp:h:1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!output.stderr.is_empty());
}

/// A file of this test's own, gone with it.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("netmidi-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn write(&self, text: &str) {
        std::fs::write(&self.0, text).unwrap();
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_file_is_checked() {
    let file = File::new(
        "check.toml",
        "[bridge.a]\nbetween = [\"tcp:h:1\", \"udp:x\"]\nchannel = 1\n[bridge.b]\nfrom = 5\n",
    );
    let path = file.path();
    let output = once(&["bridge", "--config", path, "--check"]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    let told: Vec<&str> = told.lines().collect();
    assert_eq!(told.len(), 4, "{told:#?}");
    assert!(told[0].starts_with(&format!(
        "netmidi: {path}:2:23: bridge.a.between: `udp:` is no kind of place; write rtp:HOST"
    )));
    assert!(told[1].starts_with(&format!(
        "netmidi: {path}:3:1: bridge.a: `channel` is no key; write one of between, from"
    )));
    assert_eq!(
        told[2],
        format!(
            "netmidi: {path}:5:1: bridge.b: `from` and `to` belong together; write both, or \
             between = [\"PLACE\", \"PLACE\"]"
        )
    );
    assert_eq!(
        told[3],
        format!(
            "netmidi: {path}:5:8: bridge.b.from: this is of the kind integer; write a text such as \
             \"rtp-listen:5004\""
        )
    );
    // It does not run either.
    assert_eq!(once(&["bridge", "--config", path]).status.code(), Some(1));
    file.write("[bridge.a]\nbetween = [\"tcp:h:1\", \"tcp:h:2\"]\n");
    let output = once(&["bridge", "--config", path, "--check"]);
    assert_eq!(output.status.code(), Some(0));
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(told, format!("{path}: no error in a\n"));
    let output = once(&["bridge", "--config", "/nowhere.toml"]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.starts_with("netmidi: cannot read /nowhere.toml: "),
        "{told}"
    );
}

#[test]
fn a_bridge_that_cannot_open_is_tried_again_and_stops_no_other() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (busy, free, last) = (taken.local_addr().unwrap().port(), tcp_port(), tcp_port());
    let file = File::new(
        "busy.toml",
        &format!(
            "[bridge.a]\nbetween = [\"tcp-listen:127.0.0.1:{busy}\", \"tcp-listen:127.0.0.1:{free}\"]\n\
             [bridge.b]\nbetween = [\"tcp-listen:127.0.0.1:{last}\", \"tcp:127.0.0.1:1\"]\n"
        ),
    );
    let bridges = Netmidi::start(&["bridge", "--json", "--config", file.path()]);
    let error = bridges.event("error");
    assert_eq!(error["bridge"], "a");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .ends_with("(it is tried again)")
    );
    // The two open in any order.
    let end = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", last)).is_err() {
        assert!(Instant::now() < end, "the other bridge does not open");
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(bridges.event("connected")["bridge"], "b");
    drop(taken);
    loop {
        let event = bridges.event("listening");
        if event["bridge"] == "a" {
            break;
        }
    }
    connect(("127.0.0.1", busy));
    assert_eq!(bridges.event("connected")["bridge"], "a");
    bridges.end();
}

/// A packet of RTP as it went by.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Packet {
    at: Instant,
    from: SocketAddr,
    sequence: u16,
    ssrc: [u8; 4],
}

/// Between a client and a server, and looks at what the server sends.
struct Sniffer {
    control: u16,
    packets: Arc<Mutex<Vec<Packet>>>,
}

impl Sniffer {
    fn start(server: u16) -> Self {
        let control = udp_pair();
        let packets = Arc::new(Mutex::new(Vec::new()));
        for step in 0..2 {
            let front = UdpSocket::bind(("127.0.0.1", control + step)).unwrap();
            let back = UdpSocket::bind("127.0.0.1:0").unwrap();
            let client: Arc<Mutex<Option<SocketAddr>>> = Arc::default();
            let (to_front, to_back) = (front.try_clone().unwrap(), back.try_clone().unwrap());
            let asked = Arc::clone(&client);
            thread::spawn(move || {
                let mut datagram = [0; 2048];
                while let Ok((length, from)) = front.recv_from(&mut datagram) {
                    *asked.lock().unwrap() = Some(from);
                    let _ = to_back.send_to(&datagram[..length], ("127.0.0.1", server + step));
                }
            });
            let seen = Arc::clone(&packets);
            thread::spawn(move || {
                let mut datagram = [0; 2048];
                loop {
                    // A port that is closed for a moment is told as an error here.
                    let Ok((length, from)) = back.recv_from(&mut datagram) else {
                        continue;
                    };
                    let datagram = &datagram[..length];
                    if step == 1 && length >= 12 && datagram[0] == 0x80 {
                        seen.lock().unwrap().push(Packet {
                            at: Instant::now(),
                            from,
                            sequence: u16::from_be_bytes([datagram[2], datagram[3]]),
                            ssrc: datagram[8..12].try_into().unwrap(),
                        });
                    }
                    if let Some(client) = *client.lock().unwrap() {
                        let _ = to_front.send_to(datagram, client);
                    }
                }
            });
        }
        Self { control, packets }
    }
}

/// A program that plays through a bridge to an RTP-MIDI peer, all the time.
struct Player {
    stop: Arc<Mutex<bool>>,
    thread: thread::JoinHandle<(u32, u32)>,
    sniffer: Sniffer,
    peer: Netmidi,
}

impl Player {
    fn start(rtp: u16, tcp: u16) -> Self {
        let sniffer = Sniffer::start(rtp);
        let control = format!("127.0.0.1:{}", sniffer.control);
        let peer = Netmidi::start(&["connect", &control, "--json"]);
        peer.event("connected");
        let stop: Arc<Mutex<bool>> = Arc::default();
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let (mut count, mut connections) = (0u32, 1);
            let mut stream = connect(("127.0.0.1", tcp));
            while !*stopped.lock().unwrap() {
                let low = u8::try_from(count % 128).unwrap();
                let high = u8::try_from(count / 128 % 128).unwrap();
                let gone = stream.write_all(&[0xe0, low, high]).is_err();
                thread::sleep(Duration::from_millis(2));
                if gone {
                    while TcpStream::connect(("127.0.0.1", tcp))
                        .map(|it| stream = it)
                        .is_err()
                    {
                        thread::sleep(Duration::from_millis(20));
                    }
                    connections += 1;
                    continue;
                }
                count += 1;
            }
            // What was written is read before the end.
            thread::sleep(Duration::from_millis(300));
            (count, connections)
        });
        Self {
            stop,
            thread,
            sniffer,
            peer,
        }
    }
}

#[test]
fn a_reload_leaves_alone_what_has_not_changed() {
    let ports: Vec<(u16, u16)> = (0..4).map(|_| (udp_pair(), tcp_port())).collect();
    let names = ["a", "b", "c", "d"];
    let text = |transpose: i8, which: &[usize]| -> String {
        let bridges = which.iter().map(|&number| {
            let (rtp, tcp) = ports[number];
            let name = names[number];
            let filter = if name == "b" { transpose } else { 0 };
            format!(
                "[bridge.{name}]\nbetween = [\"rtp-listen:127.0.0.1:{rtp}\", \
                 \"tcp-listen:127.0.0.1:{tcp}\"]\ntranspose = {filter}\n"
            )
        });
        bridges.collect()
    };
    let file = File::new("reload.toml", &text(0, &[0, 1, 2]));
    let bridges = Netmidi::start(&["bridge", "--json", "--config", file.path()]);
    let mut listening = 0;
    while listening < 6 {
        bridges.event("listening");
        listening += 1;
    }
    let players: Vec<Player> = ports[..3]
        .iter()
        .map(|(rtp, tcp)| Player::start(*rtp, *tcp))
        .collect();
    thread::sleep(Duration::from_millis(500));

    // A file with an error changes nothing.
    file.write(&text(0, &[0]).replace("between", "betwen"));
    bridges.signal("HUP");
    for words in [
        "bridge.a joins nothing",
        "`betwen` is no key",
        "nothing was changed",
    ] {
        let error = bridges.event("error");
        assert!(
            error["message"].as_str().unwrap().contains(words),
            "{error}"
        );
    }
    thread::sleep(Duration::from_millis(200));

    let before = Instant::now();
    file.write(&text(5, &[0, 1, 2, 3]));
    bridges.signal("HUP");
    let reloaded = bridges.event("reloaded");
    assert_eq!(reloaded["kept"], serde_json::json!(["a", "c"]));
    assert_eq!(reloaded["restarted"], serde_json::json!(["b"]));
    assert_eq!(reloaded["started"], serde_json::json!(["d"]));
    assert_eq!(reloaded["ended"], serde_json::json!([]));
    let after = Instant::now();
    thread::sleep(Duration::from_millis(1500));

    for (name, player) in names.iter().zip(players) {
        *player.stop.lock().unwrap() = true;
        let (count, connections) = player.thread.join().unwrap();
        let packets = player.sniffer.packets.lock().unwrap().clone();
        let mut senders: BTreeMap<[u8; 4], Vec<&Packet>> = BTreeMap::new();
        for packet in &packets {
            senders.entry(packet.ssrc).or_default().push(packet);
        }
        if *name == "b" {
            assert!(connections > 1, "it was not restarted");
            assert_eq!(senders.len(), 2, "a new session");
            continue;
        }
        assert_eq!(connections, 1, "{name}: the TCP connection was lost");
        assert_eq!(senders.len(), 1, "{name}: another SSRC");
        assert!(
            packets.iter().any(|it| it.at < before),
            "{name}: no traffic before"
        );
        assert!(
            packets.iter().any(|it| it.at > after),
            "{name}: no traffic after"
        );
        for pair in packets.windows(2) {
            assert_eq!(pair[0].from, pair[1].from, "{name}: another port");
            let step = pair[1].sequence.wrapping_sub(pair[0].sequence);
            assert_eq!(step, 1, "{name}: a gap in the sequence numbers");
        }
        let mut heard = 0;
        for line in player.peer.end() {
            let event: Value = serde_json::from_str(&line).unwrap();
            match event["event"].as_str().unwrap() {
                // The end of the session puts the wheel back.
                "midi" if heard == count => assert_eq!(event["hex"], "e0 00 40", "{name}"),
                "midi" => {
                    let low = heard % 128;
                    let high = heard / 128 % 128;
                    assert_eq!(event["hex"], format!("e0 {low:02x} {high:02x}"), "{name}");
                    heard += 1;
                }
                "loss" | "connected" => panic!("{name}: {line}"),
                "disconnected" => assert_eq!(event["reason"], "local", "{name}"),
                _ => {}
            }
        }
        assert_eq!(heard, count, "{name}: not all messages arrived");
    }
    bridges.end();
}

/// The CPU time that a process has used, in ticks of the clock of /proc (100 a second).
#[cfg(target_os = "linux")]
fn ticks(child: &Child) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Measures, and is no test: `cargo test --release -p netmidi-cli --test bridge -- --ignored --nocapture`.
#[test]
#[ignore = "measures"]
#[cfg(target_os = "linux")]
fn measure_latency_and_idle() {
    use netmidi::blocking::{Client, Endpoint};
    use netmidi::message::{Channel, ChannelMessage, Note, U7};

    const COUNT: u32 = 3_000;
    let note = |number: u32| {
        let key = u8::try_from(number % 128).unwrap();
        ChannelMessage::note_on(Channel::C1, Note::new(key).unwrap(), U7::new(1).unwrap())
    };
    let report = |what: &str, mut times: Vec<Duration>| {
        times.sort();
        let at = |part: usize| times[times.len() * part / 1000];
        println!(
            "{what}: median {:?}, 99 % {:?}, 99.9 % {:?}",
            at(500),
            at(990),
            at(999)
        );
    };
    let client = |control: &str| {
        let client = Client::connect(netmidi::Client::builder(), control).unwrap();
        thread::sleep(Duration::from_secs(3));
        client
    };
    let pause = || thread::sleep(Duration::from_micros(500));

    // The facade alone: one endpoint sends to another in this process.
    let listen = "127.0.0.1:0".parse().unwrap();
    let endpoint = Endpoint::bind(netmidi::Endpoint::builder().listen(listen)).unwrap();
    let control = endpoint.addresses()[0].control.to_string();
    let mut peer = client(&control);
    let handle = endpoint.handle();
    let mut times = Vec::new();
    for number in 0..COUNT {
        let start = Instant::now();
        handle.send_to_all(note(number)).unwrap();
        peer.recv_timeout(PATIENCE).unwrap();
        times.push(start.elapsed());
        pause();
    }
    report("RTP-MIDI, facade to facade", times);
    drop(peer);

    for quiet in [&["--quiet"][..], &["--json"]] {
        let mut args = vec![
            "bridge",
            "--no-announce",
            "rtp-listen:127.0.0.1:0",
            "tcp-listen:127.0.0.1:0",
        ];
        let port = format!("rtp-listen:127.0.0.1:{}", udp_pair());
        let tcp = format!("tcp-listen:127.0.0.1:{}", tcp_port());
        args[2] = &port;
        args[3] = &tcp;
        args.splice(0..0, quiet.iter().copied().filter(|it| *it == "--quiet"));
        args.extend(quiet.iter().filter(|it| **it == "--json"));
        let bridge = Netmidi::start(&args);
        thread::sleep(Duration::from_millis(500));
        let mut peer = client(port.strip_prefix("rtp-listen:").unwrap());
        let mut stream = connect(tcp.strip_prefix("tcp-listen:").unwrap());
        thread::sleep(Duration::from_millis(200));
        let mut times = Vec::new();
        for number in 0..COUNT {
            let octets = note(number).to_octets();
            let start = Instant::now();
            stream.write_all(&octets).unwrap();
            peer.recv_timeout(PATIENCE).unwrap();
            times.push(start.elapsed());
            pause();
        }
        report(
            &format!("TCP to RTP-MIDI by netmidi bridge {}", quiet[0]),
            times,
        );
        let before = ticks(&bridge.child);
        thread::sleep(Duration::from_secs(10));
        let used = ticks(&bridge.child) - before;
        println!("idle for 10 s with a session and a connection: {used} ticks of 10 ms");
    }
}
