//! What tshark reads in the packets that `netmidi decode --json` reads: every MIDI command of 100,000
//! packets of random sessions.
//!
//! `cargo xtask decode [SEED]` runs it, with the released binary, and so tells how fast that is.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic here is a failed test"
)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, process};

use netmidi_testkit::{CaptureFile, Container, Framing, from_hex, sessions};
use serde_json::Value;

/// The seed is in this variable, if any.
const SEED: &str = "NETMIDI_TSHARK_SEED";
/// And here the binary that is to be tested.
const BINARY: &str = "NETMIDI_BINARY";

const PACKETS: usize = 100_000;
/// tshark reads so many packets of 100 in another way than they are meant, at most.
const EXCUSED: usize = 5;

/// The commands of each frame that holds RTP-MIDI, in order: octets with their status.
type Commands = BTreeMap<u64, Vec<Vec<u8>>>;

#[test]
#[ignore = "needs tshark: cargo xtask decode"]
fn tshark_reads_the_same_commands() {
    let seed = env::var(SEED).map_or(1, |it| it.parse().expect("a number"));
    let binary = env::var_os(BINARY).map_or(env!("CARGO_BIN_EXE_netmidi").into(), PathBuf::from);
    let folder = format!("decode-{}", process::id());
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(folder);
    fs::create_dir_all(&folder).unwrap();
    let capture = folder.join("sessions.pcap");
    let datagrams = sessions(seed, PACKETS);
    let is_rtp = |payload: &[u8]| !payload.starts_with(&[0xFF, 0xFF]);
    let rtp = datagrams.iter().filter(|it| is_rtp(&it.payload)).count();
    let container = Container::Pcap {
        big_endian: false,
        nanos: false,
    };
    let mut file = CaptureFile::new(container, Framing::Ethernet);
    datagrams.iter().for_each(|it| file.datagram(it));
    fs::write(&capture, file.into_octets()).unwrap();

    let forms: [&[&str]; 5] = [
        &["--summary"],
        &["--no-diagnosis"],
        &[],
        &["--verbose"],
        &["--json"],
    ];
    for form in forms {
        let took = fastest(&binary, form, &capture).as_secs_f64();
        println!(
            "decode {}: {:.0} packets/s ({PACKETS} packets in {took:.3} s)",
            form.join(" "),
            PACKETS as f64 / took
        );
    }

    let ours = ours(&binary, &capture);
    assert_eq!(ours.len(), rtp, "every RTP packet is found");
    let start = Instant::now();
    let theirs = theirs(&capture);
    println!("tshark: {:.1} s", start.elapsed().as_secs_f64());
    let mut commands = 0;
    let mut excused = BTreeMap::<&str, usize>::new();
    let mut wrong = Vec::new();
    for (frame, ours) in &ours {
        commands += ours.len();
        let Some(theirs) = theirs.get(frame) else {
            wrong.push(format!("frame {frame}: tshark knows no RTP-MIDI in it"));
            continue;
        };
        if ours == theirs {
            continue;
        }
        let payload = &datagrams[*frame as usize - 1].payload;
        match defect(ours, theirs, payload) {
            Some(defect) => *excused.entry(defect).or_default() += 1,
            None => wrong.push(format!(
                "frame {frame}\n  ours   {ours:02x?}\n  tshark {theirs:02x?}"
            )),
        }
    }
    println!(
        "{commands} commands in {} packets compared; misread by tshark, as is known: {excused:?}",
        ours.len()
    );
    for difference in wrong.iter().take(10) {
        println!("{difference}");
    }
    assert!(
        wrong.is_empty(),
        "tshark reads {} packets otherwise; again with `cargo xtask decode {seed}`; the capture is {}",
        wrong.len(),
        capture.display()
    );
    let excused: usize = excused.values().sum();
    assert!(excused * 100 < ours.len() * EXCUSED, "too many are excused");
    assert!(commands > PACKETS / 2, "too few commands");
    fs::remove_dir_all(&folder).unwrap();
}

/// How long the binary takes: the best of three, as others work on this machine, too.
fn fastest(binary: &Path, form: &[&str], capture: &Path) -> Duration {
    let once = || {
        let start = Instant::now();
        let status = Command::new(binary)
            .arg("decode")
            .args(form)
            .arg(capture)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{form:?} ended with {status}");
        start.elapsed()
    };
    (0..3).map(|_| once()).min().unwrap()
}

fn ours(binary: &Path, capture: &Path) -> Commands {
    let mut child = Command::new(binary)
        .args(["decode", "--json", "--no-diagnosis"])
        .arg(capture)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut found = Commands::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let object: Value = serde_json::from_str(&line.unwrap()).unwrap();
        assert_eq!(object.get("error"), None, "{object}");
        if object.get("rtp").is_none() {
            continue;
        }
        let list = object["midi"]["list"].as_array().unwrap();
        let commands = list.iter().map(|it| it["command"].as_str().unwrap());
        // A delta time at the end of a list is no command.
        let commands = commands.filter(|it| !it.is_empty()).map(from_hex);
        found.insert(object["frame"].as_u64().unwrap(), commands.collect());
    }
    assert!(child.wait().unwrap().success());
    found
}

/// Goes through tshark's description (PDML), which has one element a line.
fn theirs(capture: &Path) -> Commands {
    let log = capture.with_extension("log");
    let mut tshark = Command::new("tshark")
        .arg("-r")
        .arg(capture)
        .args(["-n", "-Y", "rtpmidi", "-T", "pdml"])
        .args(["-J", "geninfo rtpmidi"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(&log).unwrap())
        .spawn()
        .expect("tshark starts");
    let mut lines = BufReader::with_capacity(1 << 18, tshark.stdout.take().unwrap());
    let mut reader = Reader::default();
    let mut line = String::new();
    while lines.read_line(&mut line).unwrap() > 0 {
        reader.line(line.trim());
        line.clear();
    }
    let status = tshark.wait().unwrap();
    assert!(status.success(), "{}", fs::read_to_string(log).unwrap());
    reader.found
}

/// A command is an unnamed field directly below the unnamed field `Command Section`; its `value` are its
/// octets. With running status these lack the status, which then stands in two fields below.
#[derive(Debug, Default)]
struct Reader {
    found: Commands,
    frame: u64,
    depth: usize,
    /// How deep the command section is, inside it.
    section: Option<usize>,
    command: Vec<u8>,
    status: u8,
    channel: u8,
}

impl Reader {
    fn line(&mut self, line: &str) {
        if line == "</field>" {
            self.depth -= 1;
            match self.section {
                Some(section) if self.depth == section + 1 => self.end_command(),
                Some(section) if self.depth == section => self.section = None,
                _ => {}
            }
            return;
        }
        if line.starts_with("</proto") {
            (self.depth, self.section) = (0, None);
        }
        let opens = line.starts_with("<field") && !line.ends_with("/>");
        if let Some(name) = attribute(line, " name=\"") {
            let is_command = self.section.is_some_and(|it| self.depth == it + 1);
            let value = || attribute(line, " value=\"").unwrap_or_default();
            let show = || attribute(line, " show=\"").unwrap_or_default();
            match name {
                "num" => self.frame = show().parse().unwrap(),
                "rtpmidi" => {
                    self.found.insert(self.frame, Vec::new());
                }
                "rtpmidi.channel_status" => self.status = u8::from_str_radix(value(), 16).unwrap(),
                "rtpmidi.channel" => self.channel = u8::from_str_radix(value(), 16).unwrap(),
                "" if show() == "Command Section" => self.section = Some(self.depth),
                "" if is_command => {
                    self.command = from_hex(value());
                    if !opens {
                        self.end_command();
                    }
                }
                _ => {}
            }
        }
        self.depth += usize::from(opens);
    }

    fn end_command(&mut self) {
        let mut command = std::mem::take(&mut self.command);
        if command.first().is_some_and(|&first| first < 0x80) {
            command.insert(0, self.status << 4 | self.channel);
        }
        if !command.is_empty() {
            self.found.entry(self.frame).or_default().push(command);
        }
    }
}

/// The value behind ` name="`, which is given whole so that it is not put together for each line.
fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(name)?;
    rest.split_once('"').map(|(value, _)| value)
}

/// Which of the known defects of tshark 4.0.17 explains the difference, if one does: what stands in
/// front of it is read alike.
fn defect(ours: &[Vec<u8>], theirs: &[Vec<u8>], payload: &[u8]) -> Option<&'static str> {
    let pairs = ours.iter().zip(theirs);
    let same = pairs.take_while(|(ours, theirs)| ours == theirs).count();
    let has_journal = payload.get(12)? & 0x40 != 0;
    match ours.get(same)?.as_slice() {
        // It reads an octet behind F1: malformed, if the packet ends there.
        [0xF1, _] if !has_journal && same + 1 == ours.len() => Some("F1 at the end"),
        // It gives up at a first segment that ends inside the values of an MTC Full Frame or a Master
        // Volume.
        [0xF0, 0x7F, _, 1 | 4, 1, rest @ .., 0xF0] if rest.len() < 5 => Some("SysEx cut"),
        _ => None,
    }
}
