//! What scripts may rely on of `netmidi decode`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic here is a failed test"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use std::{env, fs};

use netmidi_testkit::{
    CaptureFile, Container, Datagram, Framing, from_hex, sessions, to_hex, vectors,
};
use serde_json::{Value, json};

const FILES: [&str; 6] = [
    "applemidi",
    "commands",
    "journal-channel",
    "journal-combined",
    "journal-system",
    "malformed",
];

const PCAP: Container = Container::Pcap {
    big_endian: false,
    nanos: false,
};

fn netmidi(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netmidi"));
    command.arg("decode").args(args);
    command
}

/// Runs the command with this standard input.
fn decode(args: &[&str], input: &[u8]) -> Output {
    let mut child = netmidi(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // It may end before it has read all.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn text(octets: &[u8]) -> &str {
    str::from_utf8(octets).unwrap()
}

fn objects(output: &Output) -> Vec<Value> {
    let lines = text(&output.stdout).lines();
    lines.map(|it| serde_json::from_str(it).unwrap()).collect()
}

fn file(name: &str, octets: &[u8]) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, octets).unwrap();
    path.to_str().unwrap().to_owned()
}

fn datagram(port: u16, hex: &str) -> Datagram {
    Datagram {
        at: Duration::from_micros(1_700_000_000_000_500),
        from: SocketAddr::from(([192, 0, 2, 7], port)),
        to: SocketAddr::from(([192, 0, 2, 9], port)),
        payload: from_hex(hex),
    }
}

/// Everything but what only a capture has.
fn packet(mut object: Value) -> Value {
    let map = object.as_object_mut().unwrap();
    for key in ["frame", "time", "from", "to"] {
        map.remove(key);
    }
    object
}

fn without_offset(mut object: Value) -> Value {
    if let Some(error) = object.get_mut("error") {
        let offset = error.as_object_mut().unwrap().remove("offset").unwrap();
        assert!(offset.is_u64());
    }
    object
}

#[test]
fn every_vector_is_decoded_as_expected() {
    let all: Vec<_> = FILES.into_iter().flat_map(vectors).collect();
    assert_eq!(all.len(), 197);
    let lines: Vec<_> = all.iter().map(|it| to_hex(&it.octets)).collect();
    let output = decode(
        &["--json", "--hex", "-"],
        (lines.join("\n") + "\n").as_bytes(),
    );
    assert!(output.status.success() && output.stderr.is_empty());
    let objects = objects(&output);
    assert_eq!(objects.len(), all.len());
    for (vector, object) in all.iter().zip(objects) {
        assert_eq!(without_offset(object), vector.expect, "{}", vector.name);
    }
}

/// The same packets in a capture say the same, with time and addresses.
#[test]
fn every_vector_is_decoded_alike_from_a_capture() {
    let all: Vec<_> = FILES.into_iter().flat_map(vectors).collect();
    let mut capture = CaptureFile::new(PCAP, Framing::Ethernet);
    // A session comes first, or nobody could know what the packets are.
    capture.datagram(&datagram(5005, "ffff494e000000020000000100000002"));
    for vector in &all {
        capture.datagram(&datagram(5005, &to_hex(&vector.octets)));
    }
    let path = file("vectors.pcap", &capture.into_octets());
    let output = decode(&["--json", "--no-diagnosis", &path], b"");
    assert!(output.status.success());
    let objects = objects(&output);
    assert_eq!(objects.len(), 1 + all.len());
    for ((number, vector), object) in (2..).zip(&all).zip(objects.into_iter().skip(1)) {
        assert_eq!(object["frame"], number);
        assert_eq!(object["time"], 1_700_000_000.000_5);
        assert_eq!(object["from"], "192.0.2.7:5005");
        assert_eq!(object["to"], "192.0.2.9:5005");
        assert_eq!(
            without_offset(packet(object)),
            vector.expect,
            "{}",
            vector.name
        );
    }
}

#[test]
fn each_line_of_hex_gives_one_object() {
    let input = b"8061 0007 0000 03E8 0bad f00d 03 90 3c 64\r\n\n90 3g\n903\n806100070000\n# no\n\xff\nffff";
    let output = decode(&["--json", "--hex", "-"], input);
    assert!(output.status.success());
    let objects = objects(&output);
    assert_eq!(objects.len(), 8);
    assert_eq!(objects[0]["midi"]["list"][0]["command"], "903c64");
    assert_eq!(
        objects[1],
        json!({ "error": { "layer": "rtp", "code": "truncated-header", "offset": 0 } })
    );
    for index in [2, 3, 5, 6] {
        assert_eq!(
            objects[index]["error"]["code"],
            "bad-hex",
            "line {}",
            index + 1
        );
    }
    assert_eq!(objects[4]["error"]["offset"], 6);
    assert_eq!(objects[7]["error"]["layer"], "applemidi");
    let stderr = text(&output.stderr);
    let told: Vec<_> = stderr.lines().collect();
    assert_eq!(told.len(), 4, "{stderr}");
    assert_eq!(
        told[0],
        "netmidi: line 3 is not hex digits: character 5 is 'g', which is no hex digit"
    );
    assert!(told[1].contains("line 4") && told[2].contains("line 6"));
    assert!(told[3].contains("line 7"));
}

#[test]
fn a_line_that_is_longer_than_any_packet_is_one_line() {
    let mut input = vec![b'0'; 3 << 20];
    input.extend(b"\nffff\n");
    let output = decode(&["--json", "--hex", "-"], &input);
    let objects = objects(&output);
    assert_eq!(objects.len(), 2);
    assert_eq!(objects[0]["error"]["code"], "bad-hex");
    assert_eq!(objects[1]["error"]["layer"], "applemidi");
}

/// Whoever pipes packets into it gets each answer before the next question.
#[test]
fn hex_lines_and_live_captures_are_answered_at_once() {
    let mut file = CaptureFile::new(PCAP, Framing::Ethernet);
    file.datagram(&datagram(5004, "ffff494e000000020000000100000002"));
    for (args, input) in [
        (
            &["--hex", "--json", "-"][..],
            b"ffff494e000000020000000100000002\n".to_vec(),
        ),
        (&["--json"][..], file.into_octets()),
    ] {
        let mut child = netmidi(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&input).unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        // Hangs if the answer waits for the end of the input.
        stdout.read_line(&mut line).unwrap();
        assert!(line.contains(r#""command":"IN""#), "{line}");
        drop(stdin);
        stdout.read_to_string(&mut line).unwrap();
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn what_cannot_be_read_is_told_with_exit_code_1() {
    for (name, octets, hint) in [
        ("empty.pcap", &b""[..], "it is empty"),
        (
            "text.pcap",
            b"root:x:0:0:root:/root:/bin/bash\n",
            "give a pcap",
        ),
        ("packed.pcap.gz", &[0x1F, 0x8B, 8, 0], "unpack it first"),
    ] {
        let path = file(name, octets);
        let output = decode(&[&path], b"");
        assert_eq!(output.status.code(), Some(1), "{name}");
        let stderr = text(&output.stderr);
        assert!(
            stderr.contains(hint) && stderr.lines().count() == 1,
            "{stderr}"
        );
    }
    let output = decode(&["no such file"], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("netmidi: cannot read no such file: "));
    for usage in [
        &["--only", "noise"][..],
        &["--peer", "somebody"],
        &["--port", "0"],
    ] {
        assert_eq!(decode(usage, b"").status.code(), Some(2), "{usage:?}");
    }
}

#[test]
fn a_cut_file_is_read_as_far_as_it_goes() {
    let datagrams = sessions(3, 200);
    for container in [
        PCAP,
        Container::PcapNg {
            big_endian: true,
            nanos: true,
        },
    ] {
        let mut capture = CaptureFile::new(container, Framing::Raw);
        datagrams.iter().for_each(|it| capture.datagram(it));
        let last = *capture.starts().last().unwrap();
        let octets = capture.into_octets();
        let path = file("cut.pcap", &octets[..last + 20]);
        let output = decode(&["--json", "--no-diagnosis", &path], b"");
        assert!(output.status.success());
        assert_eq!(objects(&output).len(), 199);
        let stderr = text(&output.stderr);
        let told = format!("at octet {last}, where frame 200 should begin");
        assert!(stderr.contains(&told), "{stderr}");
    }
}

#[test]
fn what_comes_behind_a_damage_is_read() {
    let datagrams = sessions(3, 200);
    for container in Container::ALL {
        let mut capture = CaptureFile::new(container, Framing::Ethernet);
        datagrams.iter().for_each(|it| capture.datagram(it));
        let starts = capture.starts().to_vec();
        let mut octets = capture.into_octets();
        // The length of the 101st frame.
        let at = match container {
            Container::Pcap { .. } => starts[100] + 8,
            Container::PcapNg { .. } => starts[100] + 4,
        };
        octets[at..at + 4].fill(0x7F);
        let path = file("damaged.pcap", &octets);
        let output = decode(&["--json", "--no-diagnosis", &path], b"");
        assert!(output.status.success());
        assert_eq!(objects(&output).len(), 199, "{container:?}");
        let stderr = text(&output.stderr);
        assert!(stderr.contains("where frame 101 should begin"), "{stderr}");
        assert!(stderr.contains("reading goes on"), "{stderr}");
    }
}

fn all_kinds() -> impl Iterator<Item = (Container, Framing)> {
    let framings = |container| Framing::ALL.into_iter().map(move |it| (container, it));
    Container::ALL.into_iter().flat_map(framings)
}

#[test]
fn every_kind_of_file_and_link_gives_the_same() {
    let mut datagrams = sessions(5, 300);
    let mut expected: Option<Vec<Value>> = None;
    for six in [false, true] {
        if six {
            for it in &mut datagrams {
                for address in [&mut it.from, &mut it.to] {
                    let host = match address.ip() {
                        std::net::IpAddr::V4(it) => it.to_ipv6_mapped(),
                        std::net::IpAddr::V6(it) => it,
                    };
                    let [.., last] = host.octets();
                    let host = [0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(last)];
                    *address = SocketAddr::from((host, address.port()));
                }
            }
        }
        for (container, framing) in all_kinds() {
            let mut capture = CaptureFile::new(container, framing);
            datagrams.iter().for_each(|it| capture.datagram(it));
            let octets = capture.into_octets();
            let output = decode(&["--json", "--no-diagnosis", "-"], &octets);
            assert!(output.status.success());
            let objects = objects(&output);
            assert_eq!(objects.len(), datagrams.len(), "{container:?} {framing:?}");
            for (object, datagram) in objects.iter().zip(&datagrams) {
                assert_eq!(object["from"], datagram.from.to_string());
                assert_eq!(object["to"], datagram.to.to_string());
                let time = object["time"].as_f64().unwrap();
                assert!((time - datagram.at.as_secs_f64()).abs() < 1e-6);
            }
            let packets: Vec<_> = objects.into_iter().map(packet).collect();
            assert_eq!(&packets, expected.get_or_insert_with(|| packets.clone()));
        }
    }
}

#[test]
fn foreign_traffic_changes_nothing() {
    let datagrams = sessions(7, 300);
    let mut alone = CaptureFile::new(PCAP, Framing::Ethernet);
    let mut mixed = CaptureFile::new(PCAP, Framing::Ethernet);
    let foreign = [
        "ffffffff54536f7572636520456e67696e6520517565727900",
        "ffff494e",
        "80000007000003e80badf00dd5d5d5d5",
        "",
        "000100002112a442",
    ];
    for (index, it) in datagrams.iter().enumerate() {
        alone.datagram(it);
        mixed.datagram(it);
        mixed.datagram(&datagram(
            9000 + index as u16,
            foreign[index % foreign.len()],
        ));
        mixed.frame(0, it.at, &[0xFF; 64], 64);
    }
    let read = |capture: CaptureFile| {
        let output = decode(&["--json", "--no-diagnosis", "-"], &capture.into_octets());
        assert!(output.status.success());
        objects(&output)
    };
    let mixed: Vec<_> = read(mixed).into_iter().map(packet).collect();
    let alone: Vec<_> = read(alone).into_iter().map(packet).collect();
    assert_eq!(alone.len(), datagrams.len());
    assert_eq!(mixed, alone);
}

#[test]
fn packets_in_pieces_are_put_together() {
    for six in [false, true] {
        let mut long = datagram(5005, "806100070000 03e8 0badf00d");
        if six {
            long.from = "[2001:db8::7]:5005".parse().unwrap();
            long.to = "[2001:db8::9]:5005".parse().unwrap();
        }
        let list: Vec<u8> = [0xF0]
            .into_iter()
            .chain([0x55; 3_000])
            .chain([0xF7])
            .collect();
        long.payload
            .extend([0x80 | (list.len() >> 8) as u8, list.len() as u8]);
        long.payload.extend(&list);
        let mut capture = CaptureFile::new(PCAP, Framing::Ethernet);
        capture.fragments(&long, 1_480, &[0, 1, 2]);
        capture.fragments(&long, 1_480, &[2, 0, 1]);
        capture.fragments(&long, 1_480, &[0, 2]);
        let args = ["--json", "--port", "5004", "--no-diagnosis", "-"];
        let output = decode(&args, &capture.into_octets());
        let objects = objects(&output);
        assert_eq!(objects.len(), 2);
        for object in objects {
            assert_eq!(object["midi"]["list"][0]["command"], to_hex(&list));
        }
        assert!(text(&output.stderr).contains("of 1 packets that came in pieces"));
    }
}

#[test]
fn octets_that_the_capture_left_out_are_told() {
    let mut capture = CaptureFile::new(PCAP, Framing::Ethernet);
    let whole = datagram(5005, "806100070000 03e8 0badf00d 03903c64");
    capture.cut_datagram(&whole, 14 + 20 + 8 + 14);
    let octets = capture.into_octets();
    let output = decode(
        &["--json", "--port", "5004", "--no-diagnosis", "-"],
        &octets,
    );
    let objects = objects(&output);
    assert_eq!(objects[0]["missing"], 2);
    assert_eq!(objects[0]["error"]["code"], "list-overrun");
}

/// A capture that began in the middle of a session has only clocks to tell where it is.
#[test]
fn packets_in_front_of_the_first_session_packet_are_found_in_a_file() {
    let rtp = datagram(5005, "806100070000 03e8 0badf00d 03903c64");
    let clock = format!("ffff434b000000010000{}", "00".repeat(26));
    let mut capture = CaptureFile::new(PCAP, Framing::Ethernet);
    capture.datagram(&rtp);
    capture.datagram(&datagram(5005, &clock));
    let octets = capture.into_octets();
    let path = file("midway.pcap", &octets);
    let of_file = decode(&["--json", "--no-diagnosis", &path], b"");
    assert_eq!(objects(&of_file).len(), 2);
    let of_stdin = decode(&["--json", "--no-diagnosis", "-"], &octets);
    assert_eq!(objects(&of_stdin).len(), 1);
}

#[test]
fn ports_and_all_udp_find_what_no_session_announces() {
    let mut capture = CaptureFile::new(PCAP, Framing::Ethernet);
    capture.datagram(&datagram(7005, "806100070000 03e8 0badf00d 03903c64"));
    capture.datagram(&datagram(53, "000100002112a442"));
    let octets = capture.into_octets();
    let count = |args: &[&str]| {
        let output = decode(
            &[args, &["--json", "--no-diagnosis", "-"]].concat(),
            &octets,
        );
        objects(&output).len()
    };
    assert_eq!(count(&[]), 0);
    assert_eq!(count(&["--port", "5004", "--port", "7004"]), 1);
    assert_eq!(count(&["--port", "7005"]), 1);
    assert_eq!(count(&["--port", "7006"]), 0);
    assert_eq!(count(&["--all-udp"]), 1);
}

#[test]
fn filters_choose_packets() {
    let mut capture = CaptureFile::new(PCAP, Framing::Ethernet);
    sessions(9, 400).iter().for_each(|it| capture.datagram(it));
    let octets = capture.into_octets();
    let all = |args: &[&str]| {
        let output = decode(
            &[args, &["--json", "--no-diagnosis", "-"]].concat(),
            &octets,
        );
        assert!(output.status.success());
        objects(&output)
    };
    let session = all(&["--only", "session"]);
    assert_eq!(session.len(), 4);
    let ssrc = session[0]["applemidi"]["ssrc"].as_u64().unwrap();
    let by_ssrc = all(&["--peer", &format!("{ssrc:#010x}"), "--only", "midi,journal"]);
    assert!(by_ssrc.len() > 100);
    assert!(by_ssrc.iter().all(|it| it["rtp"]["ssrc"] == ssrc));
    let data = session[2]["from"].as_str().unwrap().to_owned();
    let by_address = all(&["--peer", &data]);
    let concerns = |it: &Value| it["from"] == data.as_str() || it["to"] == data.as_str();
    assert!(by_address.len() > 100 && by_address.iter().all(concerns));
    assert_eq!(all(&["--peer", "192.0.2.7"]).len(), 400);
    assert_eq!(all(&["--peer", "192.0.2.8"]).len(), 0);
    assert_eq!(all(&["--only", "errors"]).len(), 0);
}

#[test]
fn lines_for_people_are_aligned_and_complete() {
    let mut capture = CaptureFile::new(PCAP, Framing::Ethernet);
    capture.datagram(&datagram(
        5004,
        "ffff494e0000000200000001000000025374616765 00",
    ));
    let mut rtp = datagram(
        5005,
        "8061000700000 3e8 0badf00d 43903c64 200001 000708 81f0 3ce4",
    );
    rtp.at += Duration::from_millis(1_500);
    capture.datagram(&rtp);
    rtp.payload[3] = 10;
    capture.datagram(&rtp);
    let octets = capture.into_octets();
    let output = decode(&["--no-diagnosis", "-"], &octets);
    let expected = "     1     0.000000  192.0.2.7:5004 > 192.0.2.9:5004  IN  invitation by \"Stage\", \
                    ssrc 0x00000002, token 0x00000001\n     \
                    2     1.500000  192.0.2.7:5005 > 192.0.2.9:5005  RTP #7     note_on channel=0 \
                    note=60 velocity=100  [journal since #1: ch 0 N]\n     \
                    3     1.500000  192.0.2.7:5005 > 192.0.2.9:5005  RTP #10    note_on channel=0 \
                    note=60 velocity=100  [journal since #1: ch 0 N]  (2 packets missing before it)\n\
                    3 frames: 1 session packets, 2 RTP packets, 0 others\n";
    assert_eq!(text(&output.stdout), expected);
    let verbose = decode(&["--no-diagnosis", "--verbose", "-"], &octets);
    let verbose = text(&verbose.stdout);
    for line in [
        "      command IN, version 2, token 0x00000001, ssrc 0x00000002\n",
        "      RTP: M=0 PT=97 sequence 7 timestamp 1000 ssrc 0x0badf00d\n",
        "      MIDI list: B=0 J=1 Z=0 P=0 LEN=3\n",
        "        +0 at 1000: note_on channel=0 note=60 velocity=100  (90 3c 64)\n",
        "      journal: S=0 Y=0 A=1 H=0 TOTCHAN=0 checkpoint 1\n",
        "        channel 0: S=0 H=0 LENGTH=7 chapters N\n",
        "          N, notes: B=1 LEN=1 LOW=15 HIGH=0\n",
        "            S=0 NOTENUM=60 Y=1 VELOCITY=100 (on, worth playing)\n",
    ] {
        assert!(verbose.contains(line), "{line}{verbose}");
    }
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let mut capture = CaptureFile::new(PCAP, Framing::Ethernet);
    sessions(11, 20_000)
        .iter()
        .for_each(|it| capture.datagram(it));
    let path = file("long.pcap", &capture.into_octets());
    let mut child = netmidi(&["--verbose", &path])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut some = [0; 100];
    child.stdout.take().unwrap().read_exact(&mut some).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
}

/// Ctrl-C ends a live capture and not what is to be said about it.
#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_input() {
    let mut file = CaptureFile::new(PCAP, Framing::Ethernet);
    file.datagram(&datagram(5004, "ffff494e000000020000000100000002"));
    let mut child = netmidi(&["-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&file.into_octets()).unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert!(line.contains("invitation"), "{line}");
    let kill = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert!(
        rest.ends_with("1 frames: 1 session packets, 0 RTP packets, 0 others\n"),
        "{rest}"
    );
    assert_eq!(child.wait().unwrap().code(), Some(0));
    drop(stdin);
}
