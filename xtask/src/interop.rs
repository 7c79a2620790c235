//! Real peers over loopback, against `examples/server.rs` of the facade.
//!
//! npm `rtpmidi` invites our server and plays a random list to it. The server must print every
//! message, in order; with `--echo` the peer must get every one back. The list comes from a seed
//! that is new in each run and is printed: `cargo xtask interop SEED` plays it again.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use crate::capture::{self, Capture};
use crate::child::{Program, Read};
use crate::mido;
use crate::stage::{Stop, Verdict, cargo, need, root, run, target_dir};

/// The name under which the peer joins.
const PEER_NAME: &str = "interop-peer";

/// How many messages the peer plays.
const COUNT: usize = 2_400;

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

/// A seed that is another one each time.
pub(crate) fn new_seed() -> u32 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    since.subsec_nanos() ^ since.as_secs() as u32
}

/// Installs the peer and builds the server; gives the folder for what a run leaves behind.
fn prepare() -> Result<PathBuf, Stop> {
    need("node", "apt install nodejs npm")?;
    let place = target_dir().join("interop");
    install_peer(&place)?;
    run(&mut cargo(
        "build --release --package netmidi --example server".split(' '),
    ))?;
    Ok(place)
}

/// Installs the peer in the versions of `xtask/interop/package-lock.json`, unless it is there.
fn install_peer(place: &Path) -> Verdict {
    let wanted = root().join("xtask/interop");
    let lock = |folder: &Path| fs::read_to_string(folder.join("package-lock.json")).ok();
    let installed = place.join("node_modules/rtpmidi/package.json").exists();
    if installed && lock(place) == lock(&wanted) {
        return Ok(());
    }
    need("npm", "apt install npm")?;
    fs::create_dir_all(place).map_err(|error| format!("{}: {error}", place.display()))?;
    for name in ["package.json", "package-lock.json"] {
        fs::copy(wanted.join(name), place.join(name))
            .map_err(|error| format!("{name}: {error}"))?;
    }
    // Not its optional parts: mDNS as native code, from elsewhere, and not needed on loopback.
    let options = "install --omit=optional --ignore-scripts --no-audit --no-fund";
    run(Command::new("npm")
        .args(options.split(' '))
        .current_dir(place))
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
    let (mut server, control, data) = start_server(place, echo)?;
    let peer_port = free_even_port()?;
    let recording = match capture {
        Some(file) => {
            let ports = [control.port(), data.port(), peer_port, peer_port + 1];
            Some(Capture::start(file, &ports)?)
        }
        None => None,
    };

    let (sent_file, received_file) = (place.join("sent.txt"), place.join("received.txt"));
    let mut peer = Command::new("node");
    peer.arg(root().join("xtask/interop/initiator.js"))
        .env("NODE_PATH", place.join("node_modules"));
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
        let directions = recording.finish(peer_port + 1)?;
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

/// Starts the example server and reads its ports from its first line.
fn start_server(place: &Path, echo: Echo) -> Result<(Program, SocketAddr, SocketAddr), Stop> {
    let mut command = Command::new(target_dir().join("release/examples/server"));
    command.args(["--listen", "127.0.0.1:0", "--name", "interop"]);
    if echo == Echo::On {
        command.arg("--echo");
    }
    let log = place.join("server.log");
    let server = Program::start("the server", &mut command, Read::Stdout, &log)?;
    let first = server.line(Duration::from_secs(10))?;
    let (control, data) = listening(&first)
        .ok_or_else(|| format!("the server's first line does not name its ports: {first}"))?;
    Ok((server, control, data))
}

/// Reads `listening: control ADDR, data ADDR, name "interop"`.
fn listening(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let addresses = line
        .strip_prefix("listening: control ")?
        .strip_suffix(", name \"interop\"")?;
    let (control, data) = addresses.split_once(", data ")?;
    Some((control.parse().ok()?, data.parse().ok()?))
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

/// An even port whose odd neighbour is free too: the peer tells its ports by their parity.
fn free_even_port() -> Result<u16, Stop> {
    for _ in 0..100 {
        let any = UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.local_addr());
        let even = any
            .map_err(|error| format!("no free UDP port: {error}"))?
            .port()
            & !1;
        let pair = (
            UdpSocket::bind(("0.0.0.0", even)),
            UdpSocket::bind(("0.0.0.0", even + 1)),
        );
        if let (Ok(_), Ok(_)) = pair {
            return Ok(even);
        }
    }
    Err("no two neighbouring UDP ports are free".to_owned().into())
}

fn read_hex(path: &Path) -> Result<Vec<Vec<u8>>, Stop> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let octets = |line| {
        mido::from_hex(line).ok_or_else(|| format!("{}: not hex: {line}", path.display()).into())
    };
    text.lines().map(octets).collect()
}

fn texts(messages: &[Vec<u8>]) -> Result<Vec<String>, Stop> {
    let text = |bytes: &Vec<u8>| {
        mido::text(bytes).ok_or_else(|| format!("not a message of the list: {bytes:02x?}").into())
    };
    messages.iter().map(text).collect()
}

/// Every message, in order, and no other.
fn same(who: &str, expected: &[String], got: &[String]) -> Verdict {
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
    fn the_first_line_names_the_ports() {
        let line = "listening: control 127.0.0.1:5004, data 127.0.0.1:5005, name \"interop\"";
        let (control, data) = listening(line).unwrap();
        assert_eq!((control.port(), data.port()), (5004, 5005));
        assert_eq!(listening("listening: 5004"), None);
    }

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
