//! Our initiator, `examples/client.rs` of the facade, with others' participants over loopback.

use core::fmt::Write;
use core::net::SocketAddr;
use core::time::Duration;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Instant;

use crate::capture::{self, Capture, SessionPacket};
use crate::child::{Feed, Program, Read};
use crate::interop::{COUNT, LOCALHOST, read_hex, same, texts};
use crate::list;
use crate::peers::{
    Host, SOON, build, free_even_port, install_npm_peer, install_python_peers, node, start_client,
};
use crate::stage::{Stop, Verdict, need, root};

/// The name of the participant.
const PEER_NAME: &str = "interop-peer";

/// The name of our client.
const CLIENT_NAME: &str = "interop-client";

/// For all messages of a list to arrive.
const LIST_TIME: Duration = Duration::from_secs(40);

/// Messages for pymidi, which takes a millisecond or two for each.
const PYMIDI_COUNT: usize = 600;

/// Clock exchanges at the beginning of a session, and the time between two of them.
const BURST: usize = 8;
const BURST_INTERVAL: Duration = Duration::from_millis(250);

/// The whole of them, and a while.
const BURST_LASTS: Duration = Duration::from_secs(3);

/// npm `rtpmidi` as participant: both play a random list, everything arrives, in order.
pub(crate) fn check(seed: u32) -> Verdict {
    scenario(&prepare()?, seed, None)
}

/// The same with tshark.
pub(crate) fn check_capture(seed: u32) -> Verdict {
    capture::need_tools()?;
    let place = prepare()?;
    let file = place.join("inviting.pcapng");
    scenario(&place, seed, Some(&file))
}

/// pymidi as participant: it reports every note and controller, in order, and who came and went.
pub(crate) fn check_pymidi(seed: u32) -> Verdict {
    let place = build()?;
    let python = install_python_peers(&place)?;
    println!("seed {seed}, {PYMIDI_COUNT} messages");
    let port = free_even_port()?;
    let mut peer = Command::new(python);
    peer.arg(root().join("xtask/interop/pymidi_server.py"))
        .arg(port.to_string());
    let log = place.join("pymidi.log");
    let peer = Program::start("pymidi", &mut peer, Read::Stdout, &log)?;

    let (mut client, mut feed) = start_client(
        &place,
        Host::Here,
        &SocketAddr::new(LOCALHOST.ip(), port).to_string(),
        &["--name", CLIENT_NAME],
    )?;
    client.line_with("connected: ", SOON)?;
    let connected = peer.line(SOON)?;
    if connected != format!("connected: {CLIENT_NAME}") {
        return Err(format!("pymidi should say who connected, not: {connected}").into());
    }
    let list = texts(&list::notes_and_controllers(seed, PYMIDI_COUNT))?;
    let start = Instant::now();
    let mut reported = Vec::new();
    for lines in list.chunks(10) {
        feed.write(&format!("{}\n", lines.join("\n")))?;
        while reported.len() + 50 < PYMIDI_COUNT
            && let Some(line) = peer.next(Duration::from_millis(10))
        {
            reported.push(line.text);
        }
    }
    while reported.len() < list.len() && start.elapsed() < LIST_TIME {
        reported.extend(peer.next(Duration::from_millis(100)).map(|line| line.text));
    }
    same("pymidi reported", &list, &reported)?;
    let time = start.elapsed();

    // The end of what it is fed ends the client, with a goodbye.
    drop(feed);
    client.success(SOON)?;
    let gone = peer.line(SOON)?;
    if gone != format!("disconnected: {CLIENT_NAME}") {
        return Err(format!("pymidi should say who left, not: {gone}").into());
    }
    println!(
        "pymidi reported {} messages in order within {:.1} s, connected and disconnected",
        reported.len(),
        time.as_secs_f64()
    );
    Ok(())
}

fn prepare() -> Result<PathBuf, Stop> {
    need("node", "apt install nodejs npm")?;
    let place = build()?;
    install_npm_peer(&place)?;
    Ok(place)
}

fn scenario(place: &Path, seed: u32, capture: Option<&Path>) -> Verdict {
    println!(
        "seed {seed}, {COUNT} messages each way; logs in {}",
        place.display()
    );
    let (peer_port, own_port) = (free_even_port()?, free_even_port()?);
    let recording = match capture {
        Some(file) => {
            let ports = [peer_port, peer_port + 1, own_port, own_port + 1];
            Some(Capture::start(file, &ports)?)
        }
        None => None,
    };
    let (sent_file, received_file) = (place.join("peer-sent.txt"), place.join("peer-received.txt"));
    let mut peer = node(place, "participant.js");
    peer.args([&peer_port.to_string(), PEER_NAME])
        .args([&seed.to_string(), &COUNT.to_string()])
        .args([&sent_file, &received_file]);
    let log = place.join("peer.log");
    let mut peer = Program::start("the peer", &mut peer, Read::Stderr, &log)?;
    peer.line_with("ready", SOON)?;

    let ours = SocketAddr::new(LOCALHOST.ip(), own_port).to_string();
    let (mut client, feed) = start_client(
        place,
        Host::Here,
        &SocketAddr::new(LOCALHOST.ip(), peer_port).to_string(),
        &["--local", &ours, "--name", CLIENT_NAME],
    )?;
    client.line_with(&format!("connected: {PEER_NAME} (ssrc 0x"), SOON)?;
    let start = Instant::now();
    let list = list::everything(seed, COUNT);
    let feeder = thread::spawn({
        let list = list.clone();
        move || feed_list(feed, &list)
    });

    let midi = format!("midi: {PEER_NAME}: ");
    let mut printed = Vec::new();
    while printed.len() < COUNT {
        let line = client.line(LIST_TIME)?;
        match line.strip_prefix(&midi) {
            Some(text) => printed.push(text.to_owned()),
            None => return Err(format!("the client should not say: {line}").into()),
        }
    }
    let feed = feeder
        .join()
        .map_err(|_| "the thread that feeds the client broke".to_owned())??;
    peer.line_with(&format!("received: {COUNT}"), LIST_TIME)?;
    let time = start.elapsed();
    if recording.is_some() {
        // The burst of clock exchanges may take longer than the music.
        thread::sleep(BURST_LASTS.saturating_sub(time));
    }
    // The end of what it is fed ends the client, with a goodbye.
    drop(feed);
    client.success(SOON)?;
    if let Err(stop) = peer.success(SOON) {
        println!("{}", peer.rest(Duration::from_secs(1)).join("\n"));
        return Err(stop);
    }
    let surplus: Vec<String> = client.rest(Duration::from_secs(1));
    let surplus: Vec<&String> = surplus.iter().filter(|line| is_midi(line)).collect();
    if !surplus.is_empty() {
        return Err(format!("the client heard {} messages too many", surplus.len()).into());
    }

    let sent = texts(&read_hex(&sent_file)?)?;
    same("the client printed", &sent, &printed)?;
    let list = texts(&list)?;
    same("the peer got", &list, &texts(&read_hex(&received_file)?)?)?;
    println!(
        "{COUNT} messages each way in order, within {:.1} s",
        time.as_secs_f64()
    );

    if let Some(recording) = recording {
        let file = recording.finish()?;
        let session = file.session_packets()?;
        beginning_is_right(&session, own_port, peer_port)?;
        let directions = file.directions(peer_port + 1)?;
        let (to_peer, from_peer) = (texts(&directions.to_peer)?, texts(&directions.from_peer)?);
        same("tshark saw towards the peer", &list, &to_peer)?;
        same("tshark saw towards the client", &sent, &from_peer)?;
        println!("tshark: {COUNT} messages each way, nothing malformed");
    }
    Ok(())
}

fn is_midi(line: &str) -> bool {
    line.starts_with("midi: ") || line.starts_with("repaired: ")
}

/// A few lines at a time, so that no socket buffer overflows.
fn feed_list(mut feed: Feed, list: &[Vec<u8>]) -> Result<Feed, Stop> {
    for messages in list.chunks(12) {
        let mut lines = String::new();
        for message in messages {
            for octet in message {
                let _infallible = write!(lines, "{octet:02x} ");
            }
            lines.push('\n');
        }
        feed.write(&lines)?;
        thread::sleep(Duration::from_millis(5));
    }
    Ok(feed)
}

/// IN, OK on the control ports, IN, OK on the data ports, and a burst of clock exchanges.
fn beginning_is_right(packets: &[SessionPacket], own: u16, peer: u16) -> Verdict {
    let expected = [
        ("IN", own, peer),
        ("OK", peer, own),
        ("IN", own + 1, peer + 1),
        ("OK", peer + 1, own + 1),
        ("CK0", own + 1, peer + 1),
        ("CK1", peer + 1, own + 1),
        ("CK2", own + 1, peer + 1),
    ];
    for (number, (command, from, to)) in expected.into_iter().enumerate() {
        let right = packets.get(number).is_some_and(|packet| {
            (packet.command.as_str(), packet.from, packet.to) == (command, from, to)
        });
        if !right {
            return Err(format!(
                "session packet {number} should be {command} from {from} to {to} and is {:?}",
                packets.get(number)
            )
            .into());
        }
    }
    let questions: Vec<Duration> = packets
        .iter()
        .filter(|packet| packet.command == "CK0" && packet.from == own + 1)
        .map(|packet| packet.at)
        .collect();
    let gaps: Vec<Duration> = questions
        .iter()
        .zip(questions.iter().skip(1))
        .take(BURST - 1)
        .map(|(earlier, later)| later.saturating_sub(*earlier))
        .collect();
    let text: Vec<String> = gaps.iter().map(|gap| gap.as_millis().to_string()).collect();
    println!(
        "tshark: IN OK IN OK, then CK0 after each other by {} ms",
        text.join(" ")
    );
    // A busy machine is late now and then, and the next one may seem early after that.
    let slack = Duration::from_millis(120);
    let wrong = gaps.iter().any(|gap| gap.abs_diff(BURST_INTERVAL) > slack);
    if gaps.len() < BURST - 1 || wrong {
        return Err("that is not eight clock exchanges 250 ms apart"
            .to_owned()
            .into());
    }
    Ok(())
}
