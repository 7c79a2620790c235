//! Real peers over loopback, against `examples/server.rs` of the facade.
//!
//! npm `rtpmidi` invites our server and plays a random list to it. The server must print every
//! message, in order; with `--echo` the peer must get every one back. The list comes from a seed
//! that is new in each run and is printed: `cargo xtask interop SEED` plays it again.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::capture::{self, Capture};
use crate::child::{Program, Read};
use crate::mido;
use crate::peers::{Host, build, free_even_port, install_npm_peer, node, start_server};
use crate::stage::{Stop, Verdict, need};

/// The name under which the peer joins.
const PEER_NAME: &str = "interop-peer";

/// How many messages the peer plays.
pub(crate) const COUNT: usize = 2_400;

/// Any two ports of this machine.
pub(crate) const LOCALHOST: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Echo {
    Off,
    On,
}

/// The peer plays, our server prints; then the same with an echo.
pub(crate) fn check(seed: u32) -> Verdict {
    let place = prepare()?;
    scenario(&place, seed, Echo::Off, "TERM", None)?;
    scenario(&place, seed, Echo::On, "INT", None)
}

/// Both directions in a capture that tshark reads.
pub(crate) fn check_capture(seed: u32) -> Verdict {
    capture::need_tools()?;
    let place = prepare()?;
    let file = place.join("capture.pcapng");
    scenario(&place, seed, Echo::On, "TERM", Some(&file))
}

/// The peer is killed while keys are down, and comes again: from the same ports it takes the place of
/// the one before at once, from others it comes in beside it.
pub(crate) fn check_reconnect() -> Verdict {
    let place = prepare()?;
    let (mut server, control, _) = start_server(&place, Host::Here, LOCALHOST, &[])?;
    let (same_port, other_port) = (free_even_port()?, free_even_port()?);
    let start = |own_port: u16, ssrc: &str, notes: &[&str]| -> Result<Program, Stop> {
        let mut peer = node(&place, "holder.js");
        peer.args([&control.port().to_string(), &own_port.to_string()])
            .args([PEER_NAME, ssrc])
            .args(notes);
        let log = place.join("holder.log");
        let peer = Program::start("the peer", &mut peer, Read::Stderr, &log)?;
        peer.line_with("holding", Duration::from_secs(25))?;
        Ok(peer)
    };
    let kill = |mut peer: Program| -> Verdict {
        peer.signal("KILL")?;
        peer.wait(Duration::from_secs(5)).map(drop)
    };
    let plays =
        |note: &str| format!("midi: {PEER_NAME}: note_on channel=0 note={note} velocity=100");
    let expect = |expected: &[String]| -> Verdict {
        for start in expected {
            let line = server.line(Duration::from_secs(10))?;
            if !line.starts_with(start) {
                return Err(format!("the server should say {start:?}, not: {line}").into());
            }
        }
        Ok(())
    };
    let joined = |ssrc: u32, port: u16| {
        format!("connected: {PEER_NAME} (ssrc {ssrc:#010x}, control 127.0.0.1:{port},")
    };
    let silenced = |note: u8| format!("silenced: {PEER_NAME}: note_off channel=0 note={note} ");
    let gone = format!("disconnected: {PEER_NAME} (");

    let first = start(same_port, "17", &["60", "64"])?;
    expect(&[joined(17, same_port), plays("60"), plays("64")])?;
    kill(first)?;

    let second = start(same_port, "18", &["67"])?;
    // What the first one left on ends before the second one is there.
    expect(&[silenced(60), silenced(64), gone])?;
    expect(&[joined(18, same_port), plays("67")])?;
    kill(second)?;

    let third = start(other_port, "19", &["72"])?;
    expect(&[joined(19, other_port), plays("72")])?;
    if let Some(line) = server.next(Duration::from_secs(1)) {
        return Err(format!("nothing ended, so the server should not say: {}", line.text).into());
    }
    kill(third)?;
    server.signal("TERM")?;
    server.success(Duration::from_secs(10))?;
    println!(
        "killed and back from the same ports: replaced, both keys silenced; from others: beside it"
    );
    Ok(())
}

/// A seed that is another one each time.
pub(crate) fn new_seed() -> u32 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    since.subsec_nanos() ^ since.as_secs() as u32
}

/// Builds our examples and installs the peer; gives the folder for what a run leaves behind.
fn prepare() -> Result<PathBuf, Stop> {
    need("node", "apt install nodejs npm")?;
    let place = build()?;
    install_npm_peer(&place)?;
    Ok(place)
}

/// One session from invitation to goodbye. `capture` is the file to capture it to.
fn scenario(
    place: &Path,
    seed: u32,
    echo: Echo,
    end_signal: &str,
    capture: Option<&Path>,
) -> Verdict {
    println!(
        "seed {seed}, {COUNT} messages, echo {echo:?}; logs in {}",
        place.display()
    );
    let options: &[&str] = if echo == Echo::On { &["--echo"] } else { &[] };
    let (mut server, control, data) = start_server(place, Host::Here, LOCALHOST, options)?;
    let peer_port = free_even_port()?;
    let recording = match capture {
        Some(file) => {
            let ports = [control.port(), data.port(), peer_port, peer_port + 1];
            Some(Capture::start(file, &ports)?)
        }
        None => None,
    };

    let (sent_file, received_file) = (place.join("sent.txt"), place.join("received.txt"));
    let mut peer = node(place, "initiator.js");
    peer.args([
        control.port().to_string(),
        peer_port.to_string(),
        PEER_NAME.to_owned(),
    ]);
    peer.args([
        seed.to_string(),
        COUNT.to_string(),
        format!("{echo:?}").to_lowercase(),
    ]);
    peer.arg(&sent_file).arg(&received_file);
    let mut peer = Program::start("the peer", &mut peer, Read::Stderr, &place.join("peer.log"))?;
    let ended = peer.success(Duration::from_secs(45));
    if let Err(stop) = ended {
        let said = peer.rest(Duration::from_secs(1));
        println!("{}", said.join("\n"));
        return Err(stop);
    }

    let printed = printed_by(&server)?;
    server.signal(end_signal)?;
    server.success(Duration::from_secs(10))?;
    let surplus = server.rest(Duration::from_secs(1));
    if !surplus.is_empty() {
        return Err(format!(
            "the server went on after the goodbye: {}",
            surplus.join(" | ")
        )
        .into());
    }

    let sent = read_hex(&sent_file)?;
    if sent.len() != COUNT {
        return Err(format!("the peer sent {} of {COUNT} messages", sent.len()).into());
    }
    same("the server printed", &texts(&sent)?, &printed)?;
    let received = read_hex(&received_file)?;
    let echoed: &[Vec<u8>] = if echo == Echo::On { &sent } else { &[] };
    same("the peer got back", &texts(echoed)?, &texts(&received)?)?;

    if let Some(recording) = recording {
        let directions = recording.finish()?.directions(peer_port + 1)?;
        same(
            "tshark saw towards the server",
            &texts(&sent)?,
            &texts(&directions.from_peer)?,
        )?;
        same(
            "tshark saw towards the peer",
            &texts(&sent)?,
            &texts(&directions.to_peer)?,
        )?;
        println!(
            "tshark: {} messages each way, nothing malformed",
            sent.len()
        );
    }
    println!(
        "{} messages printed in order, {} echoed",
        printed.len(),
        received.len()
    );
    Ok(())
}

/// What the server printed between `connected` and `disconnected`, without the peer's name.
fn printed_by(server: &Program) -> Result<Vec<String>, Stop> {
    let connected = server.line(Duration::from_secs(10))?;
    if !connected.starts_with(&format!("connected: {PEER_NAME} (ssrc 0x")) {
        return Err(format!("the server should say who connected, not: {connected}").into());
    }
    let midi = format!("midi: {PEER_NAME}: ");
    let silenced = format!("silenced: {PEER_NAME}: ");
    let goodbye = format!("disconnected: {PEER_NAME} (");
    let mut printed = Vec::new();
    let mut ended = Vec::new();
    loop {
        let line = server.line(Duration::from_secs(10))?;
        if let Some(text) = line.strip_prefix(&midi) {
            printed.push(text.to_owned());
        } else if let Some(text) = line.strip_prefix(&silenced) {
            ended.push(text.to_owned());
        } else if line.starts_with(&goodbye) {
            silenced_what_sounded(&printed, &ended)?;
            return Ok(printed);
        } else {
            return Err(format!("the server should not say: {line}").into());
        }
    }
}

/// Whether the notes that were ended when the peer had left are those that it left on.
fn silenced_what_sounded(printed: &[String], ended: &[String]) -> Result<(), String> {
    let mut sounding: BTreeMap<(u8, u8), u32> = BTreeMap::new();
    let number = |line: &str, name: &str| -> Option<u8> {
        let rest = line.split_once(&format!("{name}="))?.1;
        rest.split(' ').next()?.parse().ok()
    };
    let note = |line: &str| Some((number(line, "channel")?, number(line, "note")?));
    for line in printed {
        if line.starts_with("note_on") && number(line, "velocity") != Some(0) {
            *sounding.entry(note(line).unwrap_or_default()).or_default() += 1;
        } else if line.starts_with("note_o") {
            let count = sounding.entry(note(line).unwrap_or_default()).or_default();
            *count = count.saturating_sub(1);
        } else if line.starts_with("control_change")
            && matches!(number(line, "control"), Some(120 | 123..=127))
        {
            let channel = number(line, "channel").unwrap_or_default();
            sounding.retain(|(of, _), _| *of != channel);
        } else if line == "reset" {
            sounding.clear();
        }
    }
    for line in ended.iter().filter(|line| line.starts_with("note_off")) {
        match sounding.get_mut(&note(line).unwrap_or_default()) {
            Some(count) if *count > 0 => *count -= 1,
            _ => return Err(format!("the server silenced what did not sound: {line}")),
        }
    }
    match sounding.iter().find(|(_, count)| **count > 0) {
        None => Ok(()),
        Some(((channel, note), _)) => Err(format!(
            "the server left note {note} of channel {channel} on when the peer left"
        )),
    }
}

pub(crate) fn read_hex(path: &Path) -> Result<Vec<Vec<u8>>, Stop> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let octets = |line| {
        mido::from_hex(line).ok_or_else(|| format!("{}: not hex: {line}", path.display()).into())
    };
    text.lines().map(octets).collect()
}

pub(crate) fn texts(messages: &[Vec<u8>]) -> Result<Vec<String>, Stop> {
    let text = |bytes: &Vec<u8>| {
        mido::text(bytes).ok_or_else(|| format!("not a message of the list: {bytes:02x?}").into())
    };
    messages.iter().map(text).collect()
}

/// Every message, in order, and no other.
pub(crate) fn same(who: &str, expected: &[String], got: &[String]) -> Verdict {
    let differs = expected
        .iter()
        .zip(got)
        .position(|(expected, got)| expected != got);
    let first = differs.unwrap_or_else(|| expected.len().min(got.len()));
    match (expected.get(first), got.get(first)) {
        (None, None) => Ok(()),
        (expected_text, got_text) => {
            let nothing = "nothing".to_owned();
            Err(format!(
                "{who} {} messages of {}; number {first} should be {} and is {}",
                got.len(),
                expected.len(),
                expected_text.unwrap_or(&nothing),
                got_text.unwrap_or(&nothing),
            )
            .into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_swapped_or_surplus_message_is_noticed() {
        let list = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(same("x", &list("a b c"), &list("a b c")).is_ok());
        assert!(same("x", &list("a b c"), &list("a b")).is_err());
        assert!(same("x", &list("a b c"), &list("a c b")).is_err());
        assert!(same("x", &list("a b c"), &list("a b c c")).is_err());
        assert!(same("x", &[], &list("a")).is_err());
    }
}
