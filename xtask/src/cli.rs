//! The tool `netmidi` with others' programs over loopback: npm `rtpmidi` in both roles, pymidi as
//! participant, mido's socket ports both ways round. Everything that is played arrives, in order.

use core::net::SocketAddr;
use core::time::Duration;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Instant;

use crate::child::{Feed, Program, Read};
use crate::interop::{COUNT, LOCALHOST, read_hex, same, texts};
use crate::list;
use crate::netns::{self, Namespace, Network};
use crate::peers::{SOON, free_even_port, install_npm_peer, install_python_peers, node};
use crate::socket_ports::{Feeding, LIST_TIME, List, Mido, after, nothing_late};
use crate::stage::{Stop, Verdict, cargo, need, root, run, target_dir};

/// The name of the others.
const PEER_NAME: &str = "interop-peer";

/// Our name.
const NAME: &str = "netmidi-tool";

/// Messages for pymidi, which takes a millisecond or two for each.
const PYMIDI_COUNT: usize = 600;

/// Random messages each way with mido.
const MIDO_COUNT: usize = 2_000;

/// The name of a session that is shown in the network, and the addresses of both hosts.
const SHOWN: &str = "Stage Piano";
const ADDRESSES: [&str; 2] = ["10.78.0.1", "10.78.0.2"];

/// Builds the tool, without what needs libraries of the system; gives the folder for what a run
/// leaves behind.
pub(crate) fn build() -> Result<PathBuf, Stop> {
    run(&mut cargo(
        "build --package netmidi-cli --no-default-features".split(' '),
    ))?;
    let place = target_dir().join("interop");
    fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    Ok(place)
}

pub(crate) fn tool() -> PathBuf {
    target_dir().join("debug/netmidi")
}

/// npm `rtpmidi` invites `netmidi serve --echo`, and is invited by `netmidi connect`.
pub(crate) fn check_npm(seed: u32) -> Verdict {
    need("node", "apt install nodejs npm")?;
    let place = build()?;
    install_npm_peer(&place)?;
    println!("seed {seed}, {COUNT} messages; logs in {}", place.display());
    npm_invites(&place, seed)?;
    npm_is_invited(&place, seed)
}

/// Starts the tool with `--json`, and a pipe on standard input.
fn start(place: &Path, log: &str, args: &[&str]) -> Result<(Program, Feed), Stop> {
    let mut command = Command::new(tool());
    command.args(args).arg("--json");
    let log = place.join(format!("cli-{log}.log"));
    Program::start_fed("netmidi", &mut command, Read::Stdout, &log)
}

/// The text of a field of an object. Those that are looked at have nothing in them that is escaped.
fn field<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let (_, rest) = line.split_once(&format!("\"{name}\":\""))?;
    rest.split('"').next()
}

fn is(line: &str, event: &str) -> bool {
    field(line, "event") == Some(event)
}

/// The next event of this name; comparisons of clocks and what is on the way may come before it.
fn event(program: &Program, name: &str, within: Duration) -> Result<String, Stop> {
    let end = Instant::now() + within;
    loop {
        let line = program.line(end.saturating_duration_since(Instant::now()))?;
        if is(&line, name) {
            return Ok(line);
        }
        if !["sync", "trying"].iter().any(|other| is(&line, other)) {
            return Err(format!("netmidi should tell of `{name}`, not: {line}").into());
        }
    }
}

/// Messages in words, up to so many; octets and words are the same.
fn heard(program: &Program, count: usize, within: Duration) -> Result<Vec<String>, Stop> {
    let end = Instant::now() + within;
    let mut heard = Vec::new();
    while heard.len() < count {
        let left = end.saturating_duration_since(Instant::now());
        let line = event(program, "midi", left)?;
        let words = field(&line, "text").unwrap_or_default();
        let octets = field(&line, "hex").map(|hex| hex.replace(' ', ""));
        let octets = octets.and_then(|hex| crate::mido::from_hex(&hex));
        let octets = octets.ok_or_else(|| format!("no octets in {line}"))?;
        // Of those messages that are known here.
        if crate::mido::text(&octets).is_some_and(|text| text != words) {
            return Err(format!("`hex` and `text` differ: {line}").into());
        }
        heard.push(words.to_owned());
    }
    Ok(heard)
}

fn npm_invites(place: &Path, seed: u32) -> Verdict {
    let listen = LOCALHOST.to_string();
    let args = [
        "serve",
        "--listen",
        &listen,
        "--name",
        NAME,
        "--no-announce",
        "--echo",
    ];
    let (mut server, _feed) = start(place, "serve", &args)?;
    let listening = event(&server, "listening", SOON)?;
    let control: SocketAddr = field(&listening, "control")
        .and_then(|it| it.parse().ok())
        .ok_or_else(|| format!("no control port in {listening}"))?;
    let (sent_file, received_file) = (place.join("cli-sent.txt"), place.join("cli-received.txt"));
    let own_port = free_even_port()?;
    let mut peer = node(place, "initiator.js");
    peer.args([&control.port().to_string(), &own_port.to_string()])
        .args([PEER_NAME, &seed.to_string(), &COUNT.to_string(), "on"])
        .args([&sent_file, &received_file]);
    let log = place.join("cli-peer.log");
    let mut peer = Program::start("the peer", &mut peer, Read::Stderr, &log)?;
    let connected = event(&server, "connected", SOON)?;
    if field(&connected, "name") != Some(PEER_NAME)
        || field(&connected, "role") != Some("participant")
    {
        return Err(format!("the peer is another one: {connected}").into());
    }
    let printed = heard(&server, COUNT, LIST_TIME)?;
    if let Err(stop) = peer.success(LIST_TIME) {
        println!("{}", peer.rest(Duration::from_secs(1)).join("\n"));
        return Err(stop);
    }
    let rest = server.line_with("{\"event\":\"disconnected\"", SOON)?.text;
    if field(&rest, "reason") != Some("bye") {
        return Err(format!("the peer said goodbye, not: {rest}").into());
    }
    server.signal("TERM")?;
    server.success(SOON)?;
    let sent = texts(&read_hex(&sent_file)?)?;
    same("netmidi serve told of", &sent, &printed)?;
    same(
        "the peer got back",
        &sent,
        &texts(&read_hex(&received_file)?)?,
    )?;
    println!("npm rtpmidi and netmidi serve --echo: {COUNT} messages in order, and back");
    Ok(())
}

fn npm_is_invited(place: &Path, seed: u32) -> Verdict {
    let port = free_even_port()?;
    let (sent_file, received_file) = (place.join("cli-sent.txt"), place.join("cli-received.txt"));
    let mut peer = node(place, "participant.js");
    peer.args([
        &port.to_string(),
        PEER_NAME,
        &seed.to_string(),
        &COUNT.to_string(),
    ])
    .args([&sent_file, &received_file]);
    let log = place.join("cli-peer.log");
    let mut peer = Program::start("the peer", &mut peer, Read::Stderr, &log)?;
    peer.line_with("ready", SOON)?;
    let host = SocketAddr::new(LOCALHOST.ip(), port).to_string();
    let (mut client, feed) = start(place, "connect", &["connect", &host, "--name", NAME])?;
    let connected = event(&client, "connected", SOON)?;
    if field(&connected, "role") != Some("initiator") {
        return Err(format!("we invited: {connected}").into());
    }
    let list = list::everything(seed, COUNT);
    let feeder = thread::spawn({
        let list = list.clone();
        move || feed_hex(feed, &list)
    });
    let printed = heard(&client, COUNT, LIST_TIME)?;
    let feed = feeder
        .join()
        .map_err(|_| "the thread that feeds netmidi broke".to_owned())??;
    peer.line_with(&format!("received: {COUNT}"), LIST_TIME)?;
    drop(feed);
    client.success(SOON)?;
    if let Err(stop) = peer.success(SOON) {
        println!("{}", peer.rest(Duration::from_secs(1)).join("\n"));
        return Err(stop);
    }
    same(
        "netmidi connect told of",
        &texts(&read_hex(&sent_file)?)?,
        &printed,
    )?;
    same(
        "the peer got",
        &texts(&list)?,
        &texts(&read_hex(&received_file)?)?,
    )?;
    println!("netmidi connect and npm rtpmidi: {COUNT} messages each way in order");
    Ok(())
}

/// A few lines at a time, so that no socket buffer of the peer overflows.
fn feed_hex(mut feed: Feed, list: &[Vec<u8>]) -> Result<Feed, Stop> {
    for messages in list.chunks(12) {
        let mut lines = String::new();
        for message in messages {
            for octet in message {
                let _infallible = write!(lines, "{octet:02x}");
            }
            lines.push('\n');
        }
        feed.write(&lines)?;
        thread::sleep(Duration::from_millis(5));
    }
    Ok(feed)
}

/// `netmidi connect` invites pymidi, which reports every note and controller, and who came and went.
pub(crate) fn check_pymidi(seed: u32) -> Verdict {
    let place = build()?;
    let python = install_python_peers(&place)?;
    println!("seed {seed}, {PYMIDI_COUNT} messages");
    let port = free_even_port()?;
    let mut peer = Command::new(python);
    peer.arg(root().join("xtask/interop/pymidi_server.py"))
        .arg(port.to_string());
    let log = place.join("cli-pymidi.log");
    let peer = Program::start("pymidi", &mut peer, Read::Stdout, &log)?;
    let host = SocketAddr::new(LOCALHOST.ip(), port).to_string();
    let (mut client, mut feed) = start(&place, "connect", &["connect", &host, "--name", NAME])?;
    event(&client, "connected", SOON)?;
    says(&peer, &format!("connected: {NAME}"))?;
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
    // The end of the input must not cost the last of them.
    drop(feed);
    while reported.len() < list.len() && start.elapsed() < LIST_TIME {
        reported.extend(peer.next(Duration::from_millis(100)).map(|line| line.text));
    }
    same("pymidi reported", &list, &reported)?;
    client.success(SOON)?;
    says(&peer, &format!("disconnected: {NAME}"))?;
    println!("netmidi connect and pymidi: {PYMIDI_COUNT} messages in order, to the last one");
    Ok(())
}

fn says(peer: &Program, expected: &str) -> Verdict {
    let line = peer.line(SOON)?;
    match line == expected {
        true => Ok(()),
        false => Err(format!("it should say {expected:?}, not: {line}").into()),
    }
}

/// mido's client with `netmidi tcp serve`, and `netmidi tcp connect` with mido's server.
pub(crate) fn check_mido(seed: u32) -> Verdict {
    let place = build()?;
    let python = install_python_peers(&place)?;
    println!("seed {seed}, {MIDO_COUNT} random messages in each list");
    let mido = Mido { place, python };
    let lists = mido.lists("cli", seed, MIDO_COUNT, 2, &[])?;
    let [ours, theirs] = lists.as_slice() else {
        return Err("two lists were made".to_owned().into());
    };
    mido_connects(&mido, ours, theirs)?;
    mido_listens(&mido, ours, theirs)
}

fn mido_connects(mido: &Mido, ours: &List, theirs: &List) -> Verdict {
    let listen = LOCALHOST.to_string();
    let (mut server, feed) = start(&mido.place, "tcp-serve", &["tcp", "serve", &listen])?;
    let listening = event(&server, "listening", SOON)?;
    let address: SocketAddr = field(&listening, "address")
        .and_then(|it| it.parse().ok())
        .ok_or_else(|| format!("no address in {listening}"))?;
    let mut client = mido.exchange(address, 0, theirs, &ours.texts)?;
    event(&server, "connected", SOON)?;
    client.go()?;
    let feeding = Feeding::start_paced(feed, ours);
    let printed = heard(&server, theirs.texts.len(), LIST_TIME)?;
    same("netmidi tcp serve told of", &theirs.texts, &printed)?;
    client.received(mido, 0, &ours.texts)?;
    drop(feeding.done()?);
    client.leave()?;
    let gone = server.line_with("{\"event\":\"disconnected\"", SOON)?.text;
    if field(&gone, "reason") != Some("bye") {
        return Err(format!("mido closed the connection, not: {gone}").into());
    }
    server.signal("TERM")?;
    server.success(SOON)?;
    println!(
        "mido and netmidi tcp serve: {} messages each way in order",
        ours.texts.len()
    );
    Ok(())
}

fn mido_listens(mido: &Mido, ours: &List, theirs: &List) -> Verdict {
    let mut args = vec!["server".to_owned()];
    args.extend(mido.trade(0, theirs, ours.texts.len()));
    let (mut server, mut go) = mido.port("server", &args)?;
    let port = after(&server.line(SOON)?, "listening: ")?;
    let host = format!("{}:{port}", LOCALHOST.ip());
    let (mut client, feed) = start(&mido.place, "tcp-connect", &["tcp", "connect", &host])?;
    event(&client, "connected", SOON)?;
    server.line_with("accepted: ", SOON)?;
    go.write("go\n")?;
    let feeding = Feeding::start_paced(feed, ours);
    let printed = heard(&client, theirs.texts.len(), LIST_TIME)?;
    same("netmidi tcp connect told of", &theirs.texts, &printed)?;
    server.line_with("done: ", LIST_TIME)?;
    let got = fs::read_to_string(mido.received(0)).map_err(|error| error.to_string())?;
    let got: Vec<String> = got.lines().map(str::to_owned).collect();
    same("mido's server received", &ours.texts, &got)?;
    // The end of what it is fed ends the client.
    drop(feeding.done()?);
    client.success(SOON)?;
    nothing_late(&server)?;
    server.success(SOON)?;
    println!(
        "netmidi tcp connect and mido: {} messages each way in order",
        ours.texts.len()
    );
    Ok(())
}

/// `netmidi serve` shown in the network, `netmidi discover`, and `netmidi connect` by name and by
/// link-local address, in two network namespaces that a cable joins.
pub(crate) fn check_discovery() -> Verdict {
    netns::need_tools()?;
    let place = build()?;
    let network = Network::new(ADDRESSES)?;
    network.wait_for_link_local()?;
    let [here, there] = [&network.a, &network.b];
    let start = |host: &Namespace, log: &str, args: &[&str]| -> Result<(Program, Feed), Stop> {
        let mut command = host.command(tool());
        command.args(args);
        let log = place.join(format!("cli-{log}.log"));
        Program::start_fed("netmidi", &mut command, Read::Stdout, &log)
    };
    // Nobody is there: that is no failure.
    let (mut nobody, _feed) = start(here, "discover", &["discover", "--timeout", "1"])?;
    nobody.success(SOON)?;
    let said = fs::read_to_string(place.join("cli-discover.log")).unwrap_or_default();
    if !said.contains("no session") {
        return Err(format!("that nobody is there should be said, not: {said:?}").into());
    }
    // Both default ports of both families, and the name.
    let (mut server, _server_feed) = start(there, "serve", &["serve", "--name", SHOWN, "--json"])?;
    let listening = event(&server, "listening", SOON)?;
    if field(&listening, "control") != Some("[::]:5004") {
        return Err(format!("it should listen on [::]:5004: {listening}").into());
    }
    let announced = event(&server, "announced", SOON)?;
    if field(&announced, "name") != Some(SHOWN) {
        return Err(format!("it should be shown as {SHOWN}: {announced}").into());
    }
    let (mut watch, _feed) = start(here, "discover", &["discover", "--json", "--timeout", "25"])?;
    let [_, address] = ADDRESSES;
    let scoped = format!("[{}%{}]:5004", there.link_local()?, here.index()?);
    let end = Instant::now() + SOON;
    loop {
        // The IPv6 half may come a moment after the IPv4 half.
        let line = watch.line(end.saturating_duration_since(Instant::now()))?;
        let is_it = ["found", "changed"].iter().any(|name| is(&line, name))
            && field(&line, "name") == Some(SHOWN);
        if is_it && line.contains(&format!("\"{address}:5004\"")) && line.contains(&scoped) {
            break;
        }
    }
    let (mut table, _feed) = start(here, "table", &["discover", "--timeout", "3"])?;
    table.line_with("NAME ", SOON)?;
    let row = table.line_with(SHOWN, SOON)?.text;
    // Whichever half came first: the other one brings another line.
    let halves = [format!("  {address}:5004  "), format!("  {scoped}  ")];
    if !halves.iter().any(|half| row.contains(half)) {
        return Err(format!("no address in {row}").into());
    }
    table.success(SOON)?;
    for host in [SHOWN, scoped.as_str()] {
        let (mut client, mut feed) = start(here, "connect", &["connect", host, "--json"])?;
        client.line_with("{\"event\":\"connected\"", SOON)?;
        feed.write("90 3c 64\n80 3c 40\n")?;
        event(&server, "connected", SOON)?;
        let notes = heard(&server, 2, SOON)?;
        let expected = [vec![0x90, 0x3C, 0x64], vec![0x80, 0x3C, 0x40]];
        same("netmidi serve told of", &texts(&expected)?, &notes)?;
        drop(feed);
        client.success(SOON)?;
        event(&server, "disconnected", SOON)?;
        println!("connected to {host}: the notes arrived");
    }
    server.signal("TERM")?;
    server.success(SOON)?;
    let lost = watch.line_with("{\"event\":\"lost\"", SOON)?.text;
    if field(&lost, "name") != Some(SHOWN) {
        return Err(format!("{SHOWN} should be lost: {lost}").into());
    }
    watch.signal("INT")?;
    watch.success(SOON)?;
    println!("found, shown in a table, and lost with its goodbye");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_objects_are_found() {
        let line = r#"{"event":"midi","hex":"90 3c 64","text":"note_on channel=0"}"#;
        assert!(is(line, "midi") && !is(line, "sync"));
        assert_eq!(field(line, "hex"), Some("90 3c 64"));
        assert_eq!(field(line, "peer"), None);
    }
}
