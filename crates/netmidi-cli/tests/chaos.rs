//! Processes that are wired together, killed, stopped, restarted and fed at random: afterwards no key
//! is down anywhere, and everybody ends as told.
//!
//! The normal run takes one seed; `NETMIDI_CHAOS_SEEDS=7,8,20..30` takes these, and has the patience to
//! kill those, too, who invited somebody: that one misses them only after a minute.

#![cfg(unix)]
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

mod tool;

use std::collections::BTreeMap;
use std::net::{TcpListener, UdpSocket};
use std::thread::sleep;
use std::time::{Duration, Instant};

use netmidi_message::{ChannelMessage, Message};
use netmidi_testkit::{Instrument, Rng, from_hex};
use tool::{Tool, object, text};

/// How long it goes on, and how long everybody has afterwards to find out who is gone: an RTP-MIDI
/// peer that was invited and killed is missed after some seconds, one that had invited after a minute.
const CHAOS: Duration = Duration::from_secs(5);
const QUIET: Duration = Duration::from_secs(12);
const LONG_QUIET: Duration = Duration::from_secs(90);
/// How long one may take to end that is told to.
const END: Duration = Duration::from_secs(3);
/// How long one has just begun.
const YOUNG: Duration = Duration::from_secs(1);

/// One of the processes, through all of its lives.
struct Process {
    args: Vec<String>,
    plays: bool,
    /// Whether it invites others by RTP-MIDI.
    invites: bool,
    tool: Option<Tool>,
    /// When this life began.
    born: Instant,
    /// What was heard of each peer, in this life.
    heard: BTreeMap<String, Instrument>,
    /// The other events of each, and when they were heard.
    told: Vec<String>,
    stopped: bool,
    /// What was told by one who ended with another code than 0.
    wrong: Vec<String>,
}

impl Process {
    fn new(plays: bool, args: &[&str]) -> Self {
        let mut process = Self {
            args: args.iter().map(|&it| it.to_owned()).collect(),
            plays,
            invites: args[0] == "connect" || args[0] == "bridge",
            tool: None,
            born: Instant::now(),
            heard: BTreeMap::new(),
            told: Vec::new(),
            stopped: false,
            wrong: Vec::new(),
        };
        process.start();
        process
    }

    fn start(&mut self) {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        self.tool = Some(match self.plays {
            true => Tool::fed(&args),
            false => Tool::start(&args),
        });
        self.born = Instant::now();
        self.heard.clear();
        self.told.clear();
        self.stopped = false;
    }

    fn hear(&mut self) {
        let Some(tool) = &self.tool else { return };
        while let Some(line) = tool.line_within(Duration::ZERO) {
            let event = object(&line);
            if event["event"] == "midi" {
                let octets = from_hex(&text(&event["hex"]).replace(' ', ""));
                let message = Message::parse(&octets).unwrap();
                let heard = self.heard.entry(text(&event["peer"])).or_default();
                // A key that is struck again is one key, and one end of it is enough.
                if !is_down(heard, &message) {
                    heard.play(&message);
                }
            } else if event["event"] != "sync" {
                self.told.push(line);
            }
        }
    }

    fn keys_down(&self) -> usize {
        self.heard.values().map(Instrument::sounding_notes).sum()
    }

    /// Whose keys are down, and what was told before.
    fn describe(&self) -> String {
        let heard = self
            .heard
            .iter()
            .map(|(peer, it)| (peer, it.sounding_notes()));
        let heard: Vec<_> = heard.filter(|(_, down)| *down > 0).collect();
        format!("{:?}: {heard:?}\n  {}", self.args, self.told.join("\n  "))
    }

    fn go_on(&mut self) {
        if let Some(tool) = &self.tool
            && std::mem::take(&mut self.stopped)
        {
            tool.signal("CONT");
        }
    }

    fn kill(&mut self) {
        // SIGKILL, by dropping it.
        self.tool = None;
        self.heard.clear();
    }

    /// Ends it as a service manager does.
    fn end(&mut self, signal: &str) {
        self.go_on();
        let Some(tool) = self.tool.take() else { return };
        // One that has only just begun may not listen yet, and whoever started this test in the
        // background has SIGINT ignored until it does.
        let signal = match self.born.elapsed() < YOUNG {
            true => "TERM",
            false => signal,
        };
        let start = Instant::now();
        tool.signal(signal);
        let ended = tool.ended();
        let took = start.elapsed();
        // The system itself ends one that has only just begun, and listens for no signals yet.
        let is_young = ended.code.is_none() && self.born.elapsed() < YOUNG;
        if (ended.code != Some(0) && !is_young) || took > END {
            let Self { args, wrong, .. } = self;
            wrong.push(format!("{args:?} ended after {took:?} as {ended:?}"));
        }
        self.heard.clear();
    }

    /// Plays something; whoever reads no more has been killed.
    fn play(&mut self, lines: &str) {
        if let Some(tool) = self.tool.as_mut().filter(|_| self.plays) {
            tool.feed(lines);
        }
    }
}

/// Whether this strikes a key that is down.
fn is_down(heard: &Instrument, message: &Message<'_>) -> bool {
    let Message::Channel(message) = message else {
        return false;
    };
    match message {
        ChannelMessage::NoteOn {
            channel,
            note,
            velocity,
        } => velocity.get() > 0 && heard.sounding(*channel, *note) > 0,
        _ => false,
    }
}

fn udp_pair() -> u16 {
    loop {
        let control = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = control.local_addr().unwrap().port();
        if port.is_multiple_of(2) && UdpSocket::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
}

fn tcp_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// The seeds that were asked for.
fn seeds() -> Option<Vec<u64>> {
    let text = std::env::var("NETMIDI_CHAOS_SEEDS").ok()?;
    let one = |text: &str| text.trim().parse::<u64>().unwrap();
    let parts = text
        .split(',')
        .flat_map(|part| match part.split_once("..") {
            Some((from, to)) => one(from)..one(to),
            None => one(part)..one(part) + 1,
        });
    Some(parts.collect())
}

/// Some notes, pedals and controllers of which not all end.
fn music(rng: &mut Rng) -> String {
    let mut lines = String::new();
    for _ in 0..1 + rng.below(30) {
        let (channel, key) = (rng.below(3), 48 + rng.below(12));
        let line = match rng.below(10) {
            0..=4 => format!("9{channel} {key:02x} {:02x}\n", 1 + rng.below(127)),
            5..=7 => format!("8{channel} {key:02x} 40\n"),
            8 => format!("b{channel} 40 {:02x}\n", 127 * rng.below(2)),
            _ => format!("b{channel} 07 {:02x}\n", rng.below(128)),
        };
        lines.push_str(&line);
    }
    lines
}

fn chaos(seed: u64, patient: bool) {
    let mut rng = Rng::new(seed);
    let control = format!("127.0.0.1:{}", udp_pair());
    let (served, bridged) = (
        format!("127.0.0.1:{}", tcp_port()),
        format!("127.0.0.1:{}", tcp_port()),
    );
    let rtp = format!("rtp:{control}");
    let (to_served, to_bridged) = (format!("tcp:{served}"), format!("tcp-listen:{bridged}"));
    let hub = ["serve", "--json", "--forward", "--no-announce", "--listen"];
    // No circle: a hub, two bridges at it, and players everywhere.
    let mut all = vec![
        Process::new(false, &[&hub[..], &[&control]].concat()),
        Process::new(false, &["tcp", "serve", &served, "--json", "--forward"]),
        Process::new(false, &["bridge", &rtp, &to_bridged, "--json"]),
        Process::new(false, &["bridge", &rtp, &to_served, "--json"]),
        Process::new(true, &["connect", &control, "--json"]),
        Process::new(true, &["connect", &control, "--json"]),
        Process::new(true, &["tcp", "connect", &bridged, "--json"]),
        Process::new(true, &["tcp", "connect", &served, "--json"]),
    ];
    let mut did = Vec::new();
    let end = Instant::now() + CHAOS;
    while Instant::now() < end {
        let who = rng.index(all.len());
        let what = rng.below(100);
        let process = &mut all[who];
        match what {
            0..=69 => {
                // A pipe that is full would hold up the test: one who stands still is fed little.
                process.play(&music(&mut rng));
            }
            70..=79 if process.tool.is_none() => process.start(),
            70..=74 if patient || !process.invites => {
                process.kill();
                did.push((who, "kill"));
            }
            70..=79 => {
                // Not HUP: under nohup, as CI may run, that ends nothing.
                process.end(["TERM", "INT"][rng.index(2)]);
                did.push((who, "end"));
            }
            80..=84 if !process.stopped && process.tool.is_some() => {
                process.tool.as_ref().unwrap().signal("STOP");
                process.stopped = true;
                did.push((who, "stop"));
            }
            85..=94 => process.go_on(),
            _ => {
                if process.tool.is_none() {
                    process.start();
                }
            }
        }
        all.iter_mut().for_each(Process::hear);
        sleep(Duration::from_millis(u64::from(5 + rng.below(40))));
    }
    // Whoever played goes, some with a goodbye and some without: then nobody holds anything.
    for process in &mut all {
        process.go_on();
        if process.tool.is_none() {
            process.start();
        }
        match (process.plays, rng.below(3)) {
            (false, _) => {}
            (true, 0) if patient || !process.invites => process.kill(),
            (true, 0 | 1) => process.end("TERM"),
            (true, _) => {
                // The end of its input.
                let mut tool = process.tool.take().unwrap();
                drop(tool.take_stdin());
                // One that had not connected yet has not read it.
                tool.signal("TERM");
                let ended = tool.ended();
                let is_young = ended.code.is_none() && process.born.elapsed() < YOUNG;
                assert!(is_young || ended.code == Some(0), "seed {seed}: {ended:?}");
                process.heard.clear();
            }
        }
    }
    let quiet = if patient { LONG_QUIET } else { QUIET };
    let end = Instant::now() + quiet;
    let mut calm = 0;
    // For half a second: something may still be on its way.
    while calm < 10 {
        all.iter_mut().for_each(Process::hear);
        let down: Vec<_> = all.iter().map(Process::keys_down).collect();
        calm = match down.iter().all(|it| *it == 0) {
            true => calm + 1,
            false => 0,
        };
        let held = all.iter().filter(|it| it.keys_down() > 0);
        assert!(
            Instant::now() < end,
            "seed {seed}: keys are down that nobody holds: {down:?} after {did:?}\n{}",
            held.map(Process::describe).collect::<Vec<_>>().join("\n")
        );
        sleep(Duration::from_millis(50));
    }
    for process in &mut all {
        process.end("TERM");
    }
    for process in &all {
        assert!(process.wrong.is_empty(), "seed {seed}: {:?}", process.wrong);
    }
}

#[test]
fn after_chaos_no_key_is_down_and_everybody_ends() {
    match seeds() {
        Some(seeds) => seeds.into_iter().for_each(|seed| chaos(seed, true)),
        None => chaos(1, false),
    }
}
