//! `netmidi serve --metrics`: what it counts is what it has told.

#![cfg(unix)]
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

mod tool;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use netmidi_testkit::{LinkQuality, Relay};
use serde_json::Value;
use tool::{Tool, address, object};

/// Asks, and gives the whole answer.
fn ask(at: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(tool::PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn get(at: SocketAddr, accept: &str) -> (String, String) {
    let request = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n");
    let answer = ask(at, &request);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    (head.to_lowercase(), body.to_owned())
}

/// A sample: its name, its labels, its value.
type Sample = (String, BTreeMap<String, String>, f64);

/// The text format 0.0.4, read strictly: every sample belongs to a described metric, no series is
/// there twice, and values are numbers.
fn parse(text: &str) -> Vec<Sample> {
    let (mut types, mut seen, mut samples) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(
                types.insert(name, kind).is_none(),
                "{name} is described twice"
            );
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        assert!(!line.starts_with('#'), "{line}");
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(seen.insert(series), "{series} is there twice");
        let (name, rest) = series.split_once('{').unwrap_or((series, "}"));
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|end| name.strip_suffix(end))
            .find(|name| types.get(name) == Some(&"histogram"))
            .unwrap_or(name);
        let kind = types
            .get(family)
            .unwrap_or_else(|| panic!("{name} has no type"));
        assert_eq!(*kind == "counter", name.ends_with("_total"), "{name}");
        let mut labels = BTreeMap::new();
        let mut rest = rest.strip_suffix('}').unwrap();
        while let Some((key, after)) = rest.split_once("=\"") {
            let mut value = String::new();
            let mut chars = after.char_indices();
            let end = loop {
                match chars.next().unwrap() {
                    (_, '\\') => value.push(match chars.next().unwrap().1 {
                        'n' => '\n',
                        other => other,
                    }),
                    (at, '"') => break at,
                    (_, other) => value.push(other),
                }
            };
            labels.insert(key.trim_start_matches(',').to_owned(), value);
            rest = &after[end + 1..];
        }
        samples.push((name.to_owned(), labels, value.parse().unwrap()));
    }
    samples
}

/// The sum of a metric over the series that have this label.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "these are counts"
)]
fn sum(samples: &[Sample], name: &str, label: Option<(&str, &str)>) -> u64 {
    let has = |sample: &&Sample| {
        label.is_none_or(|(key, value)| sample.1.get(key).is_some_and(|it| it == value))
    };
    let named = samples.iter().filter(|sample| sample.0 == name);
    let values: Vec<f64> = named.filter(has).map(|sample| sample.2).collect();
    assert!(!values.is_empty(), "no {name} {label:?}");
    values.iter().sum::<f64>() as u64
}

#[test]
fn the_counters_are_those_of_the_events() {
    let serve = Tool::start(&[
        "serve",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--metrics",
        "127.0.0.1:0",
    ]);
    let mut events: Vec<Value> = Vec::new();
    let (mut control, mut at) = (None, None);
    while control.is_none() || at.is_none() {
        let event = object(&serve.line());
        match event["event"].as_str() {
            Some("listening") => control = Some(address(&event["control"])),
            Some("metrics") => at = Some(address(&event["address"])),
            _ => {}
        }
    }
    let (control, at) = (control.unwrap(), at.unwrap());
    let relay = Relay::start("127.0.0.1:0".parse().unwrap(), control, 7).unwrap();
    let through = relay.control().to_string();
    let mut player = Tool::fed(&["connect", "--json", "--name", "A \"B\" \\ C", &through]);
    player.event("connected");
    relay.set_quality(LinkQuality {
        loss: 200_000,
        ..LinkQuality::default()
    });
    for note in 0..600 {
        player.feed(&format!(
            "90 {:02x} 40\n80 {:02x} 40\n",
            note % 128,
            note % 128
        ));
        std::thread::sleep(Duration::from_millis(2));
    }
    player.feed("f0 7d 01 f7\n");
    relay.set_quality(LinkQuality::default());
    // The last message, and what is repaired after it.
    let mut ended = false;
    while !ended {
        let event = object(&serve.line());
        ended = event["hex"] == "f0 7d 01 f7";
        events.push(event);
    }
    let end = Instant::now() + Duration::from_secs(4);
    while Instant::now() < end {
        events.extend(
            serve
                .line_within(Duration::from_millis(100))
                .map(|it| object(&it)),
        );
    }
    // Asked at a moment when nothing happens.
    let (head, text) = loop {
        let answer = get(at, "text/plain");
        match serve.line_within(Duration::from_millis(200)) {
            Some(line) => events.push(object(&line)),
            None => break answer,
        }
    };
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    let samples = parse(&text);
    let peer = samples.iter().find(|it| it.0 == "netmidi_up").unwrap();
    assert_eq!(peer.1["name"], "A \"B\" \\ C", "labels are escaped");
    let count = |name: &str| events.iter().filter(|it| it["event"] == name).count() as u64;
    let field = |name: &str, field: &str| -> u64 {
        let named = events.iter().filter(|it| it["event"] == name);
        named.map(|it| it[field].as_u64().unwrap()).sum()
    };
    let repaired = events.iter().filter(|it| it["repaired"] == true).count() as u64;
    assert!(count("loss") > 0 && repaired > 0, "the network loses");
    let total = |name: &str| sum(&samples, name, None);
    assert_eq!(total("netmidi_messages_received_total"), count("midi"));
    assert_eq!(
        sum(
            &samples,
            "netmidi_messages_received_total",
            Some(("origin", "repaired"))
        ),
        repaired
    );
    assert_eq!(total("netmidi_losses_total"), count("loss"));
    assert_eq!(total("netmidi_packets_lost_total"), field("loss", "lost"));
    assert_eq!(
        total("netmidi_loss_repairs_total"),
        field("loss", "repaired")
    );
    assert_eq!(total("netmidi_clock_syncs_total"), count("sync"));
    assert_eq!(total("netmidi_connections_total"), count("connected"));
    assert_eq!(total("netmidi_message_octets_count"), count("midi"));
    assert_eq!(total("netmidi_sysex_received_total"), 1);
    assert_eq!(total("netmidi_up"), 1);
    assert!(total("netmidi_packets_received_total") > 100);

    player.stop();
    assert_eq!(serve.event("disconnected")["reason"], "bye");
    let (_, text) = get(at, "*/*");
    let samples = parse(&text);
    assert_eq!(sum(&samples, "netmidi_up", None), 0);
    let bye = Some(("reason", "bye"));
    assert_eq!(sum(&samples, "netmidi_disconnections_total", bye), 1);
    serve.stop();
}

#[test]
fn requests_are_answered_as_they_deserve() {
    let serve = Tool::start(&[
        "serve",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--metrics",
        "0",
    ]);
    let at = address(&serve.event("metrics")["address"]);
    assert!(at.ip().is_loopback());
    let status = |request: &str| ask(at, request).lines().next().unwrap().to_owned();
    assert_eq!(
        status("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        "HTTP/1.1 404 Not Found"
    );
    assert_eq!(
        status("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"),
        "HTTP/1.1 405 Method Not Allowed"
    );
    assert_eq!(status("nonsense\r\n\r\n"), "HTTP/1.1 400 Bad Request");
    let (head, body) = get(at, "application/openmetrics-text; version=1.0.0");
    assert!(
        head.contains("application/openmetrics-text; version=1.0.0"),
        "{head}"
    );
    assert!(body.ends_with("# EOF\n"));
    // Those who ask for nothing hold up others only for a while.
    let idle: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(at).unwrap()).collect();
    let (head, _) = get(at, "text/plain");
    assert!(head.starts_with("http/1.1 200 ok"));
    drop(idle);
    let taken = tool::run(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--metrics",
        &at.to_string(),
    ]);
    assert_eq!(taken.code, Some(1));
    assert!(taken.err.contains("--metrics"), "{}", taken.err);
    serve.stop();
}
