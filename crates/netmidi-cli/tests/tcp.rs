//! `netmidi tcp serve` and `netmidi tcp connect` as processes.

#![cfg(unix)]
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

mod tool;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use tool::{Tool, address, fields, object, run, text};

fn serve(args: &[&str]) -> (Tool, String) {
    let mut all = vec!["tcp", "serve", "127.0.0.1:0", "--json"];
    all.extend(args);
    let tool = Tool::start(&all);
    let line = tool.line();
    assert_eq!(fields(&line), ["event", "address"]);
    let at = text(&object(&line)["address"]);
    (tool, at)
}

#[test]
fn both_ends_hear_each_other() {
    let (server, at) = serve(&["--echo"]);
    let mut client = Tool::fed(&["tcp", "connect", &at, "--json"]);
    let line = loop {
        let line = client.line();
        if object(&line)["event"] == "connected" {
            break line;
        }
    };
    assert_eq!(
        line,
        format!(r#"{{"event":"connected","peer":{{"address":"{at}"}}}}"#)
    );
    let peer = text(&server.event("connected")["peer"]["address"]);
    client.feed("90 3c 64\nf0 01 f7\n");
    let midi = server.event("midi");
    assert_eq!(
        (text(&midi["peer"]), text(&midi["hex"])),
        (peer.clone(), "90 3c 64".to_owned())
    );
    assert_eq!(client.midi(2), ["90 3c 64", "f0 01 f7"]);
    drop(client.take_stdin());
    let ended = client.ended();
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.events("disconnected")[0]["reason"], "local");
    let gone = server.event("disconnected");
    assert_eq!(
        (&gone["reason"], text(&gone["peer"])),
        (&"bye".into(), peer)
    );
    server.stop();
}

#[test]
fn everything_is_written_before_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let mut client = Tool::fed(&["tcp", "connect", &at]);
    let (mut stream, _) = listener.accept().unwrap();
    let mut stdin = client.take_stdin();
    let writer = std::thread::spawn(move || {
        for n in 0..50_000u32 {
            writeln!(stdin, "e0 {:02x} {:02x}", n & 127, (n >> 7) & 127).unwrap();
        }
    });
    // A slow reader.
    std::thread::sleep(Duration::from_millis(500));
    let mut octets = Vec::new();
    stream.read_to_end(&mut octets).unwrap();
    writer.join().unwrap();
    assert_eq!(octets.len(), 150_000);
    for (n, message) in octets.chunks(3).enumerate() {
        let n = u32::try_from(n).unwrap();
        let expected = [0xE0, n & 127, (n >> 7) & 127].map(|it| u8::try_from(it).unwrap());
        assert_eq!(message, expected);
    }
    drop(stream);
    assert_eq!(client.ended().code, Some(0));
}

#[test]
fn a_port_alone_is_of_this_machine_and_a_colon_opens_it_to_all_with_a_warning() {
    let tool = Tool::start(&["tcp", "serve", "0", "--json"]);
    assert!(
        address(&tool.event("listening")["address"])
            .ip()
            .is_loopback()
    );
    let ended = tool.stop();
    assert_eq!(ended.err, "");
    let tool = Tool::start(&["tcp", "serve", ":0", "--json"]);
    let at = address(&tool.event("listening")["address"]);
    assert!(at.ip().is_unspecified());
    assert!(tool.complaint().contains("--allow"));
    let client = TcpStream::connect(("127.0.0.1", at.port())).unwrap();
    tool.event("connected");
    drop(client);
    assert_eq!(tool.event("disconnected")["reason"], "bye");
    tool.stop();
}

#[test]
fn a_taken_port_is_a_sentence() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let ended = run(&["tcp", "serve", &at]);
    assert_eq!(
        (ended.code, ended.err.lines().count()),
        (Some(1), 1),
        "{ended:?}"
    );
    assert!(ended.err.contains(&at), "{}", ended.err);
}

#[test]
fn who_may_connect_can_be_said() {
    let (server, at) = serve(&["--allow", "192.0.2.0/24"]);
    let mut stream = TcpStream::connect(&at).unwrap();
    assert!(matches!(stream.read(&mut [0; 8]), Ok(0) | Err(_)));
    assert!(server.complaint().contains("not let in"));
    assert!(server.stop().events("connected").is_empty());
    let (server, at) = serve(&["--max-peers", "1"]);
    let first = TcpStream::connect(&at).unwrap();
    server.event("connected");
    let mut second = TcpStream::connect(&at).unwrap();
    assert!(matches!(second.read(&mut [0; 8]), Ok(0) | Err(_)));
    drop(first);
    server.stop();
}

#[test]
fn forward_goes_to_the_others() {
    let (server, at) = serve(&["--forward", "--no-sysex"]);
    let mut player = TcpStream::connect(&at).unwrap();
    server.event("connected");
    let mut other = TcpStream::connect(&at).unwrap();
    server.event("connected");
    player.write_all(&[0xF0, 1, 0xF7, 0x90, 60, 100]).unwrap();
    let mut heard = [0; 3];
    other.read_exact(&mut heard).unwrap();
    assert_eq!(heard, [0x90, 60, 100]);
    // Whoever goes leaves nothing on.
    drop(player);
    other.read_exact(&mut heard).unwrap();
    assert_eq!(heard[..2], [0x80, 60]);
    server.stop();
}

#[test]
fn once_and_the_time_limit() {
    let (server, at) = serve(&[]);
    let client = Tool::start(&["tcp", "connect", "--once", "--json", &at]);
    client.event("connected");
    server.stop();
    let ended = client.ended();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.events("disconnected")[0]["reason"], "bye");
    let ended = run(&["tcp", "connect", "--timeout", "0.5", &at]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains(&at), "{}", ended.err);
}

#[test]
fn signals_end_it() {
    for signal in ["INT", "TERM"] {
        let (server, at) = serve(&[]);
        let mut stream = TcpStream::connect(&at).unwrap();
        server.event("connected");
        server.signal(signal);
        let ended = server.ended();
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
        assert_eq!(ended.events("disconnected")[0]["reason"], "local");
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
    }
}
