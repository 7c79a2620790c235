//! `netmidi serve` and `netmidi connect` with a network between them that loses one datagram in five:
//! both play 10,000 messages at the same time, and at the end both instruments are right.

#![cfg(unix)]
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

mod tool;

use std::io::Write;
use std::process::ChildStdin;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use netmidi_message::MessageBuf;
use netmidi_testkit::{Instrument, LinkQuality, Relay, Script, ScriptMix, Tolerance, from_hex};
use tool::{Tool, fields, object, text};

const MESSAGES: usize = 10_000;

/// So many lines are written at once, and so long after the ones before.
const LINES: usize = 8;
const STEP: Duration = Duration::from_millis(8);

fn script(seed: u64) -> Vec<MessageBuf> {
    let mix = ScriptMix {
        messages: MESSAGES,
        undefined: false,
        ..ScriptMix::everything()
    };
    Script::new(&mix, seed).messages().cloned().collect()
}

/// Writes all messages to a standard input, and gives it back with the instrument that played them.
fn play(mut stdin: ChildStdin, messages: Vec<MessageBuf>) -> JoinHandle<(ChildStdin, Instrument)> {
    thread::spawn(move || {
        let mut instrument = Instrument::new();
        for some in messages.chunks(LINES) {
            let mut lines = String::new();
            for message in some {
                instrument.play(&message.as_message());
                lines.push_str(&format!("{message}\n"));
            }
            stdin.write_all(lines.as_bytes()).unwrap();
            thread::sleep(STEP);
        }
        (stdin, instrument)
    })
}

/// What one side heard.
struct Heard {
    instrument: Instrument,
    midi: usize,
    repaired: usize,
    /// Gaps, packets lost in them, and messages that put right what they did.
    losses: [u64; 3],
    last: Instant,
}

impl Heard {
    fn new() -> Self {
        Self {
            instrument: Instrument::new(),
            midi: 0,
            repaired: 0,
            losses: [0; 3],
            last: Instant::now(),
        }
    }

    fn line(&mut self, line: &str) {
        let event = object(line);
        match event["event"].as_str().unwrap() {
            "midi" => {
                let octets = from_hex(&text(&event["hex"]).replace(' ', ""));
                let message = netmidi_message::Message::parse(&octets).unwrap();
                // In words it is the same.
                let words: MessageBuf = text(&event["text"]).parse().unwrap();
                assert_eq!(words.as_message(), message);
                self.instrument.play(&message);
                self.midi += 1;
                self.repaired += usize::from(event["repaired"].as_bool().unwrap());
                self.last = Instant::now();
            }
            "loss" => {
                assert_eq!(fields(line), ["event", "peer", "lost", "repaired"]);
                let [gaps, lost, repaired] = &mut self.losses;
                *gaps += 1;
                *lost += event["lost"].as_u64().unwrap();
                *repaired += event["repaired"].as_u64().unwrap();
            }
            "disconnected" => panic!("{line}"),
            _ => {}
        }
    }

    /// Hears what there is.
    fn hear(&mut self, tool: &Tool) {
        while let Some(line) = tool.line_within(Duration::ZERO) {
            self.line(&line);
        }
    }

    /// What is wrong with it; system exclusive messages apart, which a journal has room for only in
    /// part.
    fn difference(&self, sender: &Instrument) -> Option<String> {
        let missing = self.instrument.missing_sysex(sender);
        let tolerance = Tolerance::REPAIRED.with_missing_sysex(missing);
        let hanging = self.instrument.hanging(sender);
        hanging.or_else(|| self.instrument.difference(sender, &tolerance))
    }
}

#[test]
fn ten_thousand_messages_each_way_through_a_network_that_loses_one_in_five() {
    let serve = [
        "serve",
        "--json",
        "--no-announce",
        "--listen",
        "127.0.0.1:0",
    ];
    let mut server = Tool::fed(&serve);
    let control = tool::address(&server.event("listening")["control"]);
    let relay = Relay::start("127.0.0.1:0".parse().unwrap(), control, 7).unwrap();
    let mut client = Tool::fed(&["connect", "--json", &relay.control().to_string()]);
    server.event("connected");
    client.event("connected");
    let quality = LinkQuality {
        loss: 200_000,
        latency: Duration::from_millis(5),
        jitter: Duration::from_millis(3),
        ..LinkQuality::default()
    };
    relay.set_quality(quality);
    let players = [
        play(server.take_stdin(), script(1)),
        play(client.take_stdin(), script(2)),
    ];
    let mut heard = [Heard::new(), Heard::new()];
    while players.iter().any(|player| !player.is_finished()) {
        heard[0].hear(&client);
        heard[1].hear(&server);
        thread::sleep(Duration::from_millis(1));
    }
    let played = players.map(|player| player.join().unwrap());
    // For the last packets, and what repeats them.
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        heard[0].hear(&client);
        heard[1].hear(&server);
        let wrong = [0, 1].map(|side| heard[side].difference(&played[side].1));
        if wrong.iter().all(Option::is_none) {
            break;
        }
        assert!(Instant::now() < end, "{wrong:?}");
        thread::sleep(Duration::from_millis(10));
    }
    for (heard, from) in heard.iter().zip(["serve", "connect"]) {
        let [gaps, lost, repaired] = heard.losses;
        println!(
            "from {from}: {} messages heard, {} of them repaired; {gaps} gaps with {lost} packets \
             lost and {repaired} messages for them",
            heard.midi, heard.repaired
        );
        assert!(gaps > 50 && lost >= gaps && repaired > 50);
        assert!(repaired <= heard.repaired as u64);
    }
    let carried = relay.carried();
    println!("{carried:?}");
    let share = carried.lost as f64 / carried.taken as f64;
    assert!((0.15..0.25).contains(&share), "{share}");
    // The goodbye gets through.
    relay.set_quality(LinkQuality::default());
    drop(played);
    let ended = client.ended();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.events("disconnected")[0]["reason"], "local");
    assert_eq!(server.event("disconnected")["reason"], "bye");
    server.stop();
}
