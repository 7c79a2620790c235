//! `netmidi serve` and `netmidi connect` as processes: what scripts may rely on.

#![cfg(unix)]
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

mod tool;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tool::{Tool, address, command, fields, object, run, text};

const QUIET: &[&str] = &["--no-announce"];

#[test]
fn every_event_has_its_fields_in_their_order() {
    let (server, control) = Tool::serve(&["--no-announce", "--name", "Bühne"]);
    let client = Tool::fed(&["connect", &control, "--json", "--name", "Klavier"]);
    let mut client = client;
    client.feed("90 3c 64\n");

    let mut seen = Vec::new();
    while seen.len() < 3 {
        let line = server.line();
        let event = object(&line);
        match event["event"].as_str().unwrap() {
            "connected" => {
                assert_eq!(fields(&line), ["event", "peer"]);
                let peer = &event["peer"];
                assert_eq!(peer["name"], "Klavier");
                assert_eq!(peer["role"], "participant");
                let ssrc = text(&peer["ssrc"]);
                assert_eq!((&ssrc[..2], ssrc.len()), ("0x", 10), "{ssrc}");
                assert_eq!(
                    address(&peer["data"]).port(),
                    address(&peer["control"]).port() + 1
                );
                let order = ["name", "ssrc", "control", "data", "role"];
                let at = order.map(|name| line.find(&format!("\"{name}\":")).unwrap());
                assert!(at.is_sorted(), "{line}");
            }
            "sync" => {
                let order = ["event", "peer", "latency_us", "offset_us", "uncertainty_us"];
                assert_eq!(fields(&line), order);
                assert!(event["latency_us"].as_u64().unwrap() < 1_000_000);
                assert!(event["offset_us"].is_i64());
                assert!(event["uncertainty_us"].is_u64());
            }
            "midi" => {
                let order = ["event", "hex", "text", "peer", "repaired", "time_us"];
                assert_eq!(fields(&line), order);
                assert_eq!(event["hex"], "90 3c 64");
                assert_eq!(event["text"], "note_on channel=0 note=60 velocity=100");
                assert_eq!(event["repaired"], false);
                assert!(event["time_us"].as_u64().unwrap() < 60_000_000);
            }
            other => panic!("{other}"),
        }
        let name = text(&event["event"]);
        if !seen.contains(&name) {
            seen.push(name);
        }
    }

    let connected = client.event("connected");
    assert_eq!(connected["peer"]["name"], "Bühne");
    assert_eq!(connected["peer"]["role"], "initiator");
    assert_eq!(text(&connected["peer"]["control"]), control);
    let ssrc = text(&connected["peer"]["ssrc"]);
    assert_eq!(client.event("sync")["peer"], ssrc.as_str());
    drop(client.take_stdin());
    let ended = client.ended();
    assert_eq!(ended.code, Some(0));
    let gone = ended.out.last().unwrap();
    assert_eq!(fields(gone), ["event", "peer", "reason", "detail"]);
    let gone = object(gone);
    assert_eq!(
        (&gone["reason"], &gone["peer"]),
        (&"local".into(), &ssrc.as_str().into())
    );
    assert_eq!(server.event("disconnected")["reason"], "bye");
    server.stop();
}

#[test]
fn listening_is_told_once_for_each_pair_with_an_even_port_and_its_neighbour() {
    let tool = Tool::start(&[
        "serve",
        "--json",
        "--no-announce",
        "--name",
        "x",
        "--listen",
        "127.0.0.1:0",
        "--listen",
        "[::1]:0",
    ]);
    for family in ["127.0.0.1", "::1"] {
        let line = tool.line();
        assert_eq!(fields(&line), ["event", "control", "data", "name"]);
        let event = object(&line);
        assert_eq!(event["event"], "listening");
        let (control, data) = (address(&event["control"]), address(&event["data"]));
        assert_eq!(control.ip().to_string(), family);
        assert_eq!((control.port() % 2, data.port()), (0, control.port() + 1));
        assert_eq!(event["name"], "x");
    }
    tool.stop();
}

#[test]
fn without_listen_it_is_5004_of_everything_and_a_taken_port_is_a_sentence() {
    // Whoever has the port: one of the two says that it is taken.
    let first = Tool::start(&["serve", "--json", "--no-announce"]);
    let Some(line) = first.line_within(Duration::from_secs(30)) else {
        let ended = first.ended();
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.err.contains("5004"), "{}", ended.err);
        return;
    };
    let listening = object(&line);
    assert!(["[::]:5004", "0.0.0.0:5004"].contains(&listening["control"].as_str().unwrap()));
    let (control, data) = ("127.0.0.1:5004", &listening["data"]);
    assert_eq!(address(data).port(), 5005);
    let second = run(&["serve", "--no-announce"]);
    assert_eq!(
        (second.code, second.err.lines().count()),
        (Some(1), 1),
        "{second:?}"
    );
    for part in ["5004", "taken", "choose another port"] {
        assert!(second.err.contains(part), "{}", second.err);
    }
    // Both families.
    let client = Tool::start(&["connect", "--json", control]);
    client.event("connected");
    client.stop();
    first.stop();
}

#[test]
fn lines_are_hex_or_words_and_bad_ones_are_told_by_their_number() {
    let (server, control) = Tool::serve(QUIET);
    let mut client = Tool::fed(&["connect", &control]);
    client.feed(
        "# a comment\n\n90 3c 64  # and another\n903c00\nnote_on channel=1 note=61 velocity=9\n\
         nonsense\n90 3c\nsysex data=(1,2,3)\n",
    );
    drop(client.take_stdin());
    let expected = ["90 3c 64", "90 3c 00", "91 3d 09", "f0 01 02 03 f7"];
    assert_eq!(server.midi(4), expected);
    let ended = client.ended();
    assert_eq!(ended.code, Some(0));
    let complaints: Vec<&str> = ended.err.lines().collect();
    assert_eq!(complaints.len(), 2, "{complaints:?}");
    assert!(complaints[0].contains("line 6") && complaints[1].contains("line 7"));
    server.stop();
}

#[test]
fn a_file_is_read_as_a_pipe_is() {
    let (server, control) = Tool::serve(QUIET);
    let path = std::env::temp_dir().join(format!("netmidi-lines-{}", std::process::id()));
    std::fs::write(&path, "90 3c 64\n80 3c 40").unwrap();
    let file = File::open(&path).unwrap();
    let client = Tool::spawn(command(&["connect", &control]).stdin(Stdio::from(file)));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(server.midi(2), ["90 3c 64", "80 3c 40"]);
    assert_eq!(client.ended().code, Some(0));
    server.stop();
}

#[test]
fn dev_null_and_a_closed_input_are_not_read() {
    let (server, control) = Tool::serve(QUIET);
    let null = Tool::start(&["connect", "--json", &control]);
    let binary = env!("CARGO_BIN_EXE_netmidi");
    let closed = Tool::spawn(
        Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" <&-", binary])
            .args(["connect", "--json", &control]),
    );
    for mut client in [null, closed] {
        client.event("connected");
        // Longer than the end of an input takes.
        std::thread::sleep(Duration::from_millis(700));
        assert!(client.is_running(), "it was not told to end");
        let ended = client.stop();
        assert_eq!(ended.events("disconnected")[0]["reason"], "local");
    }
    server.stop();
}

#[test]
fn reading_waits_for_the_first_session_and_serve_goes_on_at_its_end() {
    let mut server = Tool::fed(&[
        "serve",
        "--json",
        "--no-announce",
        "--listen",
        "127.0.0.1:0",
    ]);
    let control = text(&server.event("listening")["control"]);
    server.feed("90 3c 64\n");
    drop(server.take_stdin());
    std::thread::sleep(Duration::from_millis(300));
    let client = Tool::start(&["connect", "--json", &control]);
    assert_eq!(client.midi(1), ["90 3c 64"], "it was not sent to nobody");
    std::thread::sleep(Duration::from_millis(300));
    assert!(server.is_running());
    client.stop();
    assert_eq!(server.event("disconnected")["reason"], "bye");
    server.stop();
}

#[test]
fn ten_thousand_lines_get_across_in_order() {
    let (server, control) = Tool::serve(QUIET);
    let mut client = Tool::fed(&["connect", &control]);
    let mut stdin = client.take_stdin();
    let start = Instant::now();
    let writer = std::thread::spawn(move || {
        for n in 0..10_000u32 {
            let (low, high) = (n & 127, n >> 7);
            writeln!(stdin, "e0 {low:02x} {high:02x}").unwrap();
        }
    });
    for n in 0..10_000u32 {
        let hex = text(&server.event("midi")["hex"]);
        assert_eq!(hex, format!("e0 {:02x} {:02x}", n & 127, n >> 7));
    }
    writer.join().unwrap();
    assert_eq!(client.ended().code, Some(0));
    println!("10,000 lines in {:?}", start.elapsed());
    server.stop();
}

#[test]
fn the_end_of_the_input_waits_for_what_is_told_of_the_last_packet() {
    // A peer that accepts, answers clocks, and never tells what arrived.
    let (mute, at) = mute_peer(None);
    let mut client = Tool::fed(&["connect", "--json", &at]);
    client.event("connected");
    client.feed("90 3c 64\n");
    std::thread::sleep(Duration::from_millis(200));
    let start = Instant::now();
    drop(client.take_stdin());
    assert_eq!(client.ended().code, Some(0));
    let took = start.elapsed();
    assert!(took > Duration::from_millis(1_900), "2 s at most, {took:?}");
    mute.join().unwrap();
    // One that tells at once.
    let (server, control) = Tool::serve(QUIET);
    let mut client = Tool::fed(&["connect", "--json", &control]);
    client.event("connected");
    client.feed("90 3c 64\n");
    server.midi(1);
    std::thread::sleep(Duration::from_millis(200));
    let start = Instant::now();
    drop(client.take_stdin());
    assert_eq!(client.ended().code, Some(0));
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(100),
        "BY would overtake: {took:?}"
    );
    assert!(took < Duration::from_millis(1_500), "{took:?}");
    server.stop();
}

/// A peer of few words, which ends when it is told BY: it answers invitations, by NO if it is to say
/// no, and clocks.
fn mute_peer(refusal: Option<usize>) -> (std::thread::JoinHandle<()>, String) {
    let (control, data) = loop {
        let control = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = control.local_addr().unwrap().port();
        if let Some(Ok(data)) = port
            .checked_add(1)
            .map(|port| UdpSocket::bind(("127.0.0.1", port)))
        {
            break (control, data);
        }
    };
    let at = control.local_addr().unwrap().to_string();
    let thread = std::thread::spawn(move || {
        for socket in [&control, &data] {
            socket
                .set_read_timeout(Some(Duration::from_millis(5)))
                .unwrap();
        }
        let mut buffer = [0; 2048];
        let (mut refused, end) = (0, Instant::now() + tool::PATIENCE);
        while Instant::now() < end {
            for socket in [&control, &data] {
                let Ok((len, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                let packet = &buffer[..len];
                match packet.get(..4) {
                    Some(b"\xFF\xFFIN") => {
                        let kind = if refusal.is_some() { b"NO" } else { b"OK" };
                        let mut answer = packet[..16].to_vec();
                        answer[2..4].copy_from_slice(kind);
                        answer[12..16].copy_from_slice(&[0, 0, 0, 9]);
                        socket.send_to(&answer, from).unwrap();
                        refused += 1;
                        if Some(refused) == refusal {
                            return;
                        }
                    }
                    Some(b"\xFF\xFFCK") if packet[8] == 0 => {
                        let mut answer = packet.to_vec();
                        answer[4..8].copy_from_slice(&[0, 0, 0, 9]);
                        answer[8] = 1;
                        socket.send_to(&answer, from).unwrap();
                    }
                    Some(b"\xFF\xFFBY") => return,
                    _ => {}
                }
            }
        }
    });
    (thread, at)
}

/// Under nohup that signal ends nothing, and so it is for what we start.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() & 1 != 0)
}

#[test]
fn signals_end_it_with_a_goodbye() {
    let hangs_up = if is_hangup_ignored() {
        None
    } else {
        Some("HUP")
    };
    for signal in ["INT", "TERM"].into_iter().chain(hangs_up) {
        let (server, control) = Tool::serve(QUIET);
        let client = Tool::start(&["connect", "--json", &control]);
        server.event("connected");
        client.event("connected");
        client.signal(signal);
        let ended = client.ended();
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{signal}");
        assert_eq!(ended.events("disconnected")[0]["reason"], "local");
        assert_eq!(server.event("disconnected")["reason"], "bye", "{signal}");
        // The other way round.
        let client = Tool::start(&["connect", "--json", &control]);
        server.event("connected");
        client.event("connected");
        server.signal(signal);
        let ended = server.ended();
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{signal}");
        assert_eq!(ended.events("disconnected")[0]["reason"], "local");
        assert_eq!(client.event("disconnected")["reason"], "bye", "{signal}");
        let control: std::net::SocketAddr = control.parse().unwrap();
        UdpSocket::bind(control).expect("the port is free again");
        client.stop();
    }
}

#[test]
fn once_ends_with_the_session() {
    let (server, control) = Tool::serve(QUIET);
    let client = Tool::start(&["connect", "--once", "--json", &control]);
    client.event("connected");
    server.stop();
    let ended = client.ended();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.events("disconnected")[0]["reason"], "bye");
    // One that is killed says nothing.
    let (server, control) = Tool::serve(QUIET);
    let client = Tool::start(&["connect", "--once", "--json", &control]);
    client.event("connected");
    client.event("sync");
    server.signal("KILL");
    let ended = client.ended();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let gone = ended.events("disconnected");
    assert!(
        ["timeout", "error"].contains(&gone[0]["reason"].as_str().unwrap()),
        "{gone:?}"
    );
    assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
    drop(server);
}

#[test]
fn without_once_it_connects_again() {
    let (server, control) = Tool::serve(QUIET);
    let client = Tool::start(&["connect", "--json", &control]);
    client.event("connected");
    server.stop();
    assert_eq!(client.event("disconnected")["reason"], "bye");
    let server = Tool::start(&["serve", "--no-announce", "--listen", &control]);
    assert_eq!(text(&client.event("connected")["peer"]["control"]), control);
    client.stop();
    server.stop();
}

#[test]
fn several_hosts_are_connected_at_the_same_time() {
    let (one, first) = Tool::serve(&["--no-announce", "--name", "one"]);
    let (two, second) = Tool::serve(&["--no-announce", "--name", "two"]);
    let mut client = Tool::fed(&["connect", "--json", "--once", "--forward", &first, &second]);
    let mut names = [client.event("connected"), client.event("connected")]
        .map(|event| text(&event["peer"]["name"]));
    names.sort();
    assert_eq!(names, ["one", "two"]);
    client.feed("90 3c 64\n");
    for server in [&one, &two] {
        assert_eq!(server.midi(1), ["90 3c 64"]);
    }
    one.stop();
    assert_eq!(client.event("disconnected")["reason"], "bye");
    std::thread::sleep(Duration::from_millis(300));
    assert!(client.is_running(), "the other session goes on");
    two.stop();
    assert_eq!(client.ended().code, Some(0));
}

#[test]
fn who_does_not_answer_is_given_up_after_the_time_limit() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().min(65_534);
    let at = format!("127.0.0.1:{port}");
    let start = Instant::now();
    let ended = run(&["connect", "--json", "--timeout", "0.7", &at]);
    assert!(start.elapsed() >= Duration::from_millis(700));
    assert_eq!(ended.code, Some(1));
    let gone = ended.events("disconnected");
    assert_eq!((gone.len(), text(&gone[0]["peer"])), (1, at.clone()));
    assert_eq!(gone[0]["reason"], "timeout");
    assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
    for part in ["0.7 s", at.as_str(), "firewall"] {
        assert!(ended.err.contains(part), "{}", ended.err);
    }
    // A name that is none.
    let ended = run(&["connect", "--timeout", "0.7", "nobody.invalid"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("nobody.invalid"), "{}", ended.err);
}

#[test]
fn a_refusal_is_told_with_the_likely_reason() {
    let (peer, at) = mute_peer(Some(1));
    let ended = run(&["connect", "--json", "--timeout", "1", &at]);
    peer.join().unwrap();
    assert_eq!(ended.code, Some(1));
    let gone = ended.events("disconnected");
    assert_eq!(
        (gone.len(), &gone[0]["reason"]),
        (1, &"refused".into()),
        "{gone:?}"
    );
    assert!(ended.err.contains("see who may connect"), "{}", ended.err);
    let (peer, at) = mute_peer(Some(1));
    let ended = run(&["connect", "--timeout", "1", &at]);
    peer.join().unwrap();
    let said = ended.out.iter().find(|line| line.starts_with("refused"));
    assert!(said.is_some_and(|line| line.contains("NO")), "{ended:?}");
}

#[test]
fn echo_goes_back_and_forward_to_the_others() {
    let (server, control) = Tool::serve(&["--no-announce", "--echo"]);
    let mut player = Tool::fed(&["connect", "--json", &control]);
    let other = Tool::start(&["connect", "--json", &control]);
    player.event("connected");
    other.event("connected");
    player.feed("90 3c 64\n80 3c 40\n");
    assert_eq!(player.midi(2), ["90 3c 64", "80 3c 40"]);
    drop(player.take_stdin());
    player.ended();
    assert!(other.stop().events("midi").is_empty());
    server.stop();

    let (server, control) = Tool::serve(&["--no-announce", "--forward"]);
    let mut player = Tool::fed(&["connect", "--json", &control]);
    let other = Tool::start(&["connect", "--json", &control]);
    player.event("connected");
    other.event("connected");
    server.event("connected");
    server.event("connected");
    player.feed("90 3c 64\n80 3c 40\n");
    assert_eq!(other.midi(2), ["90 3c 64", "80 3c 40"]);
    drop(player.take_stdin());
    assert!(player.ended().events("midi").is_empty());
    other.stop();
    server.stop();
}

#[test]
fn who_may_connect_can_be_said() {
    for (options, in_time) in [
        (&["--allow", "192.0.2.0/24"][..], false),
        (&["--allow", "192.0.2.0/24", "--allow", "127.0.0.0/8"], true),
        (&["--allow", "192.0.2.0/24", "127.0.0.1/32"], true),
    ] {
        let (server, control) = Tool::serve(&[options, QUIET].concat());
        let client = Tool::start(&["connect", "--json", "--timeout", "1", &control]);
        if in_time {
            client.event("connected");
            client.stop();
        } else {
            let ended = client.ended();
            assert_eq!(ended.code, Some(1));
            assert_eq!(ended.events("disconnected")[0]["reason"], "refused");
        }
        server.stop();
    }
    let (server, control) = Tool::serve(&["--no-announce", "--max-peers", "1"]);
    let first = Tool::start(&["connect", "--json", &control]);
    first.event("connected");
    let ended = run(&["connect", "--json", "--timeout", "1", &control]);
    assert_eq!(
        ended.events("disconnected")[0]["reason"],
        "refused",
        "{ended:?}"
    );
    first.stop();
    server.stop();
}

#[test]
fn system_exclusive_messages_can_be_left_out() {
    let (server, control) = Tool::serve(&["--no-announce", "--no-sysex"]);
    let mut client = Tool::fed(&["connect", &control]);
    client.feed("f0 01 02 f7\n90 3c 64\n");
    drop(client.take_stdin());
    assert_eq!(server.midi(1), ["90 3c 64"]);
    client.ended();
    server.stop();
}

/// The J bits of the packets that `connect` with these options sends.
fn journals(options: &[&str]) -> Vec<bool> {
    let mut seen = Vec::new();
    let (control, data) = loop {
        let control = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = control.local_addr().unwrap().port();
        if let Ok(data) = UdpSocket::bind(("127.0.0.1", port.wrapping_add(1))) {
            break (control, data);
        }
    };
    let at = control.local_addr().unwrap().to_string();
    let mut client = Tool::fed(&[&["connect", &at][..], options].concat());
    client.feed("90 3c 64\n");
    let mut buffer = [0; 2048];
    let end = Instant::now() + Duration::from_secs(20);
    for socket in [&control, &data] {
        socket
            .set_read_timeout(Some(Duration::from_millis(5)))
            .unwrap();
    }
    let mut more = 0;
    while Instant::now() < end && seen.len() < 3 {
        for socket in [&control, &data] {
            let Ok((_, from)) = socket.recv_from(&mut buffer) else {
                continue;
            };
            match &buffer[..4] {
                b"\xFF\xFFIN" => {
                    let mut answer = buffer[..16].to_vec();
                    answer[2..4].copy_from_slice(b"OK");
                    answer[12..16].copy_from_slice(&[0, 0, 0, 9]);
                    socket.send_to(&answer, from).unwrap();
                }
                b"\xFF\xFFCK" if buffer[8] == 0 => {
                    let mut answer = buffer[..36].to_vec();
                    answer[4..8].copy_from_slice(&[0, 0, 0, 9]);
                    answer[8] = 1;
                    socket.send_to(&answer, from).unwrap();
                }
                [0x80, ..] => {
                    seen.push(buffer[12] & 0x40 != 0);
                    more += 1;
                    client.feed(&format!("90 3d {more:02x}\n"));
                }
                _ => {}
            }
        }
    }
    seen
}

#[test]
fn journals_can_be_forced_and_left_out() {
    assert!(journals(&["--journal", "full"]).contains(&true));
    assert_eq!(journals(&["--journal", "off"]), [false; 3]);
    assert_eq!(journals(&["--no-journal"]), [false; 3]);
}

#[test]
fn people_read_columns_without_colours_in_a_pipe() {
    let plain = Tool::fed(&["serve", "--no-announce", "--listen", "127.0.0.1:0"]);
    let line = plain.line();
    assert!(line.starts_with("listening     netmidi "), "{line}");
    let words = line.split(' ').find(|word| word.starts_with("127.0.0.1:"));
    let control = words.unwrap().trim_end_matches(',').to_owned();
    let mut client = Tool::fed(&["connect", &control, "--quiet", "--name", "piano"]);
    client.feed("90 3c 64\n");
    drop(client.take_stdin());
    let lines = [plain.line(), plain.line(), plain.line()];
    assert!(lines[0].starts_with("connected     piano "), "{lines:?}");
    let midi = "midi          piano                 note_on channel=0 note=60 velocity=100";
    assert_eq!(lines[1], midi);
    let gone = lines[1..]
        .iter()
        .any(|line| line.starts_with("disconnected  piano "));
    assert!(gone || plain.line().starts_with("disconnected  piano "));
    let quiet = client.ended();
    assert_eq!((quiet.out.len(), quiet.err.as_str()), (0, ""), "{quiet:?}");
    plain.stop();
}

#[test]
fn colours_are_there_when_they_are_wanted() {
    let listen = ["serve", "--no-announce", "--listen", "127.0.0.1:0"];
    let coloured = |command: &mut Command| {
        let tool = Tool::spawn(command.stdin(Stdio::null()));
        let line = tool.line();
        tool.stop();
        line.contains('\u{1b}')
    };
    let always = [&listen[..], &["--color", "always"]].concat();
    assert!(coloured(&mut command(&always)));
    assert!(!coloured(&mut command(&listen)));
    assert!(!coloured(command(&listen).env("NO_COLOR", "1")));
}

#[test]
fn a_reader_that_goes_ends_it_quietly() {
    let mut child = command(&["serve", "--no-announce", "--listen", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    assert!(line.starts_with("listening"), "{line}");
    // As `head -1` does.
    drop(out);
    let ended = child.wait_with_output().unwrap();
    assert_eq!(
        (ended.status.code(), ended.stderr.as_slice()),
        (Some(0), &b""[..])
    );
}

#[test]
fn wrong_usage_is_told_with_2() {
    let long = "x".repeat(64);
    for wrong in [
        &["serve", "--name", &long][..],
        &["serve", "--listen", "127.0.0.1:65535"],
        &["serve", "--listen", "nonsense"],
        &["serve", "--allow", "nonsense"],
        &["serve", "--max-peers", "0"],
        &["serve", "--journal", "perhaps"],
        &["serve", "--journal", "full", "--no-journal"],
        &["serve", "--nonsense"],
        &["connect"],
        &["connect", "host:0"],
        &["connect", "--timeout", "-1", "host"],
        &["tcp", "serve"],
        &["tcp", "connect", "host"],
        &["discover", "--timeout", "soon"],
        &["nonsense"],
        &[],
    ] {
        let ended = run(wrong);
        assert_eq!(ended.code, Some(2), "{wrong:?}: {ended:?}");
        assert!(!ended.err.is_empty(), "{wrong:?}");
        assert!(ended.out.is_empty(), "{wrong:?}");
    }
}

#[test]
fn link_local_addresses_keep_their_scope() {
    // The loopback interface has no link-local address; what matters is that it is understood.
    let ended = run(&["connect", "--timeout", "0.3", "[fe80::1%1]:5004"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("[fe80::1%1]:5004"), "{}", ended.err);
    let (server, _) = Tool::serve(&["--no-announce", "--listen", "[::1]:0"]);
    let control = text(&server.event("listening")["control"]);
    let client = Tool::start(&["connect", "--json", &control]);
    assert_eq!(text(&client.event("connected")["peer"]["control"]), control);
    client.stop();
    server.stop();
}

#[test]
fn what_nobody_hears_is_told() {
    let (server, address) = Tool::serve(&[]);
    let mut client = Tool::fed(&["connect", &address, "--json"]);
    client.event("connected");
    server.stop();
    client.event("disconnected");
    client.feed("note_on note=60\nnote_on note=61\n");
    let message = text(&client.event("warning")["message"]);
    assert!(message.contains("goes nowhere until"), "{message}");
    let (server, _) = Tool::serve(&["--listen", &address]);
    let message = text(&client.event("warning")["message"]);
    assert_eq!(message, "2 messages of standard input were heard by nobody");
    client.feed("note_on note=62\n");
    assert_eq!(server.midi(1), ["90 3e 40"]);
    client.stop();
    server.stop();
}
