//! `netmidi record` and `netmidi play`, with a `serve` or `connect` on the other side.

#![cfg(unix)]
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

mod tool;

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use netmidi_message::{Channel, Controller, Message};
use netmidi_testkit::{Instrument, from_hex};
use tool::{Tool, object, run, text};

/// A file of one track: 480 ticks a quarter, at 120 a millisecond is about a tick.
fn file(path: &Path, events: &[(u32, &[u8])]) {
    let mut body = Vec::new();
    for (delta, octets) in events {
        let groups =
            [delta >> 21, delta >> 14, delta >> 7].map(|it| u8::try_from(it & 0x7F).unwrap());
        let mut groups = groups.to_vec();
        groups.retain(|it| *it != 0);
        body.extend(groups.iter().map(|it| it | 0x80));
        body.push(u8::try_from(delta & 0x7F).unwrap());
        body.extend(*octets);
    }
    body.extend([0, 0xFF, 0x2F, 0]);
    let mut all = b"MThd\0\0\0\x06\0\0\0\x01\x01\xE0MTrk".to_vec();
    all.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    all.extend(body);
    fs::write(path, all).unwrap();
}

/// Everything that is played there, until it is quiet for a while.
fn heard(tool: &Tool) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(line) = tool.line_within(Duration::from_millis(1500)) {
        let event = object(&line);
        if event["event"] == "midi" {
            all.push(text(&event["hex"]));
        }
    }
    all
}

#[test]
fn what_a_peer_plays_is_recorded_and_played_to_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("take.mid");
    let path = path.to_str().unwrap();
    let recorder = Tool::start(&["record", "--json", path, "rtp-listen:127.0.0.1:0"]);
    let control = text(&recorder.event("listening")["control"]);
    let mut player = Tool::fed(&["connect", "--json", "--name", "Left hand", &control]);
    recorder.event("connected");
    let lines = [
        "c0 05",
        "b0 07 64",
        "90 3c 64",
        "f0 7d 01 02 03 f7",
        "80 3c 40",
        "e0 00 50",
        "fa",
        "90 40 50",
        "b0 40 7f",
    ];
    player.feed(&(lines.join("\n") + "\n"));
    assert_eq!(recorder.midi(lines.len()), lines);
    // What was played is on the disk soon, whatever happens.
    let part = format!("{path}.part");
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let shown = run(&["play", "--info", "--json", &part]);
        if shown.events("file")[0]["messages"] == lines.len() {
            assert_eq!(shown.code, Some(0));
            break;
        }
        assert!(Instant::now() < end, "nothing is brought to the disk");
        thread::sleep(Duration::from_millis(100));
    }
    let ended = recorder.stop();
    let recorded = &ended.events("recorded")[0];
    // A note and a pedal were still down.
    assert_eq!(recorded["messages"], lines.len());
    assert_eq!(recorded["tracks"][0]["name"], "Left hand");
    assert!(!Path::new(&part).exists());
    player.stop();

    let again = run(&["record", path, "rtp-listen:127.0.0.1:0"]);
    assert_eq!(again.code, Some(1));
    assert!(again.err.contains("--force"), "{}", again.err);

    let (serve, control) = Tool::serve(&[]);
    let played = run(&["play", "--json", path, &format!("rtp:{control}")]);
    assert_eq!(played.code, Some(0), "{}", played.err);
    assert_eq!(played.events("played")[0]["complete"], true);
    let all = heard(&serve);
    assert_eq!(all[..lines.len()], lines);
    let mut instrument = Instrument::new();
    for hex in &all {
        instrument.play(&Message::parse(&from_hex(hex)).unwrap());
    }
    assert_eq!(instrument.sounding_notes(), 0);
    serve.stop();
}

#[test]
fn times_are_kept_over_the_network() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("steps.mid");
    // 50 notes, 48 ticks apart: 50 ms each.
    let events: Vec<(u32, Vec<u8>)> = (0..50_u8).map(|it| (48, vec![0x90, 40 + it, 1])).collect();
    let events: Vec<(u32, &[u8])> = events.iter().map(|it| (it.0, it.1.as_slice())).collect();
    file(&path, &events);
    let (serve, control) = Tool::serve(&[]);
    let played = run(&["play", path.to_str().unwrap(), &format!("rtp:{control}")]);
    assert_eq!(played.code, Some(0), "{}", played.err);
    let times: Vec<u64> = (0..50)
        .map(|_| serve.event("midi")["time_us"].as_u64().unwrap())
        .collect();
    let whole = times[49] - times[0];
    // Whatever else the machine does, each bears its own time.
    assert!(
        whole.abs_diff(49 * 50_000) < 30_000,
        "{whole} us, {times:?}"
    );
    serve.stop();
}

#[test]
fn stopped_in_the_middle_it_leaves_nothing_down() {
    for signal in ["INT", "TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long.mid");
        file(
            &path,
            &[
                (0, &[0x90, 60, 100]),
                (0, &[0x93, 64, 100]),
                (0, &[0xB3, 64, 127]),
                (0, &[0xE3, 0, 100]),
                (0, &[0xB3, 1, 90]),
                (0, &[0xD3, 90]),
                (48, &[0x91, 50, 1]),
                (48_000, &[0x80, 60, 0]),
            ],
        );
        let (serve, control) = Tool::serve(&[]);
        let to = format!("rtp:{control}");
        let player = Tool::start(&["play", "--json", path.to_str().unwrap(), &to]);
        let mut all = serve.midi(7);
        player.signal(signal);
        let ended = player.ended();
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        assert_eq!(ended.events("played")[0]["complete"], false);
        all.extend(heard(&serve));
        let mut instrument = Instrument::new();
        for hex in &all {
            instrument.play(&Message::parse(&from_hex(hex)).unwrap());
        }
        assert_eq!(instrument.sounding_notes(), 0, "{all:?}");
        let channel = Channel::from_index(3).unwrap();
        assert_eq!(instrument.control(channel, Controller::SUSTAIN), Some(0));
        for rest in ["e3 00 40", "d3 00", "b3 01 00"] {
            assert!(all.iter().any(|it| it == rest), "{rest} in {all:?}");
        }
        serve.stop();
    }
}

#[test]
fn a_file_is_a_place_of_a_bridge() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("song.mid");
    file(
        &path,
        &[(0, &[0xC0, 7]), (96, &[0x90, 60, 1]), (96, &[0x80, 60, 64])],
    );
    let (serve, control) = Tool::serve(&[]);
    let to = format!("rtp:{control}");
    let bridge = Tool::start(&["bridge", "--json", path.to_str().unwrap(), &to]);
    assert_eq!(serve.midi(3), ["c0 07", "90 3c 01", "80 3c 40"]);
    bridge.stop();
    serve.stop();
}

#[test]
fn what_cannot_be_played_is_said_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("song.mid");
    file(&path, &[(0, &[0x90, 60, 1]), (96, &[0x80, 60, 64])]);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 6]).unwrap();
    let path = path.to_str().unwrap();
    let to = "rtp-listen:127.0.0.1:0";
    let missing = format!("{path}.mid");
    for (args, code, part) in [
        (vec!["play", path, to], 1, "is damaged at octet"),
        (vec!["play", "--info", path], 1, "not all could be read"),
        (vec!["play", &missing, to], 1, "cannot read"),
        (vec!["play", to], 2, "no file"),
        (vec!["play", path, "udp:x"], 2, "is no kind of place"),
        (vec!["play", path, to, "--from", "9:99"], 2, ""),
        (
            vec!["play", path, to, "--from", "2", "--to", "1"],
            2,
            "--to",
        ),
        (
            vec!["play", path, to, "--force", "--from", "1:00"],
            1,
            "before --from",
        ),
        (vec!["record", "/nowhere/at/all.mid", to], 1, "cannot write"),
        (vec!["record"], 2, ""),
    ] {
        let ended = run(&args);
        assert_eq!(ended.code, Some(code), "{args:?}: {}", ended.err);
        assert!(ended.err.contains(part), "{args:?}: {}", ended.err);
    }
    let forced = run(&["play", "--json", "--force", "--wait", "0", path, to]);
    assert_eq!(forced.code, Some(0), "{}", forced.err);
    // The note that was read, and what ends it.
    assert_eq!(forced.events("played")[0]["messages"], 2);
}
