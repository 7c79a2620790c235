//! npm `rtpmidi` and mido together, over `examples/bridge` of the facade.
//!
//! The bridge has mido on its TCP side as clients that connect to it and as a server that it connects
//! to. First npm `rtpmidi` is the RTP-MIDI side. It sends long system exclusive messages in one packet
//! and cannot join pieces, so it is played none that need several; and it has no system messages. Those
//! go through with `examples/client` in its place. Everybody must hear what those on the other side
//! play, all of it, in order, and nothing else: nothing comes back, and nothing comes from the same side.

use core::fmt::Write;
use core::net::SocketAddr;
use std::fs;
use std::time::Instant;

use crate::child::{Feed, Program, Read};
use crate::interop::{LOCALHOST, read_hex, same, texts};
use crate::list;
use crate::peers::{
    Host, SOON, build, example, free_even_port, install_npm_peer, install_python_peers, node,
    start_client,
};
use crate::socket_ports::{
    Client, Feeding, LIST_TIME, List, Mido, QUIET, address_in, after, left, lines_of, nothing_late,
};
use crate::stage::{Stop, Verdict, need};

/// The name of the bridge.
const NAME: &str = "interop";

/// Short messages of npm `rtpmidi`, and long ones.
const COUNT: usize = 2_400;
const LONG: usize = 24;

/// Messages of each of those with mido, for npm `rtpmidi`.
const EACH: usize = 800;

/// Random messages in each list of all types; 64 KiB of system exclusive are in it.
const ALL_TYPES: usize = 2_000;

/// What a bridge keeps for itself.
const NOT_PASSED_ON: &[&str] = &["active_sensing"];

pub(crate) fn check(seed: u32) -> Verdict {
    need("node", "apt install nodejs npm")?;
    let place = build()?;
    install_npm_peer(&place)?;
    let python = install_python_peers(&place)?;
    println!("seed {seed}; logs in {}", place.display());
    let mido = Mido { place, python };
    with_npm_peer(&mido, seed)?;
    let lists = mido.lists("bridge", seed, ALL_TYPES, 3, NOT_PASSED_ON)?;
    let [ours, one, other] = lists.as_slice() else {
        return Err("there should be three lists".to_owned().into());
    };
    let silent = list_of(&mido, "nothing", &[])?;
    with_our_client(&mido, ours, one, &silent)?;
    with_our_client(&mido, ours, &silent, other)
}

/// Both play, npm `rtpmidi` on one side, two clients of mido and a server on the other.
fn with_npm_peer(mido: &Mido, seed: u32) -> Verdict {
    let start = Instant::now();
    let played: Vec<Vec<Vec<u8>>> = (0..3)
        .map(|player| list::of_player(player, seed.wrapping_add(player.into()), EACH))
        .collect();
    let lists = played.iter().zip(["one", "two", "three"]);
    let lists: Vec<List> = lists
        .map(|(played, name)| list_of(mido, name, played))
        .collect::<Result<_, _>>()?;
    let [one, two, three] = lists.as_slice() else {
        return Err("there should be three lists".to_owned().into());
    };
    let all = COUNT + LONG;
    let mut server = MidoServer::start(mido, 2, three, all)?;
    let mut bridge = Bridge::start(mido, server.address)?;
    server.accepted()?;
    let mut clients = Vec::new();
    for (number, list) in [one, two].into_iter().enumerate() {
        clients.push(mido.exchange_counted(bridge.tcp, number, list, all)?);
    }

    let (sent, received) = (
        mido.place.join("bridge-sent.txt"),
        mido.place.join("bridge-received.txt"),
    );
    let mut peer = node(&mido.place, "bridge_player.js");
    peer.args([bridge.control.port(), free_even_port()?].map(|port| port.to_string()))
        .arg("interop-peer")
        .args([seed.to_string(), COUNT.to_string(), LONG.to_string()])
        .arg((lists.len() * EACH).to_string())
        .args([&sent, &received]);
    let log = mido.place.join("bridge-peer.log");
    let (mut peer, end) = Program::start_fed("the peer", &mut peer, Read::Stderr, &log)?;
    peer.line_with("playing", SOON)?;
    clients.iter_mut().try_for_each(Client::go)?;
    server.feed.write("go\n")?;
    peer.line_with("done: ", LIST_TIME)?;

    let sent = read_hex(&sent)?;
    let longest = sent.iter().map(Vec::len).max().unwrap_or_default();
    let expected = texts(&sent)?;
    if expected.len() != all || longest < 3_000 {
        return Err(format!("the peer sent {} messages of {all}", expected.len()).into());
    }
    for (number, client) in clients.iter().enumerate() {
        client.received(mido, number, &expected)?;
    }
    server.received(mido, &expected)?;
    let received = read_hex(&received)?;
    for (player, list) in (0..).zip(&lists) {
        let of_player: Vec<Vec<u8>> = received
            .iter()
            .filter(|message| list::player_of(message) == Some(player))
            .cloned()
            .collect();
        same("npm rtpmidi received", &list.texts, &texts(&of_player)?)?;
    }
    if received.len() != lists.len() * EACH {
        return Err(format!("npm rtpmidi received {} messages", received.len()).into());
    }
    for client in clients {
        client.leave()?;
    }
    server.leave()?;
    drop(end);
    peer.success(SOON)?;
    bridge.end()?;
    println!(
        "npm rtpmidi: {all} messages to each of 2 clients and a server of mido, {LONG} of them \
         system exclusive of up to {longest} octets; {EACH} from each of the three; {:.1} s",
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Our client plays all types of messages to a client and a server of mido, and hears one of the two.
fn with_our_client(mido: &Mido, ours: &List, one: &List, other: &List) -> Verdict {
    let start = Instant::now();
    let mut server = MidoServer::start(mido, 1, other, ours.texts.len())?;
    let mut bridge = Bridge::start(mido, server.address)?;
    server.accepted()?;
    let mut client = mido.exchange(bridge.tcp, 0, one, &ours.texts)?;
    let connect = bridge.control.to_string();
    let (mut rtp, feed) = start_client(&mido.place, Host::Here, &connect, &[])?;
    rtp.line_with("connected: ", SOON)?;
    client.go()?;
    server.feed.write("go\n")?;
    let feeding = Feeding::start_paced(feed, ours);
    let mut expected = one.texts.clone();
    expected.extend_from_slice(&other.texts);
    let end = Instant::now() + LIST_TIME;
    let mut heard = Vec::new();
    while heard.len() < expected.len() {
        heard.push(after(&rtp.line(left(end))?, &format!("midi: {NAME}: "))?);
    }
    same("our client printed", &expected, &heard)?;
    client.received(mido, 0, &ours.texts)?;
    server.received(mido, &ours.texts)?;
    let feed = feeding.done()?;
    if let Some(line) = rtp.next(QUIET) {
        return Err(format!("our client should not say: {}", line.text).into());
    }
    client.leave()?;
    server.leave()?;
    drop(feed);
    rtp.success(SOON)?;
    bridge.end()?;
    println!(
        "our client: {} messages of all types to a client and a server of mido, {} from them; {:.1} s",
        ours.texts.len(),
        expected.len(),
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

/// A list of ours for mido.
fn list_of(mido: &Mido, name: &str, messages: &[Vec<u8>]) -> Result<List, Stop> {
    let hex = mido.place.join(format!("bridge-{name}.hex"));
    let mut lines = String::new();
    for message in messages {
        for octet in message {
            let _infallible = write!(lines, "{octet:02x}");
        }
        lines.push('\n');
    }
    fs::write(&hex, &lines).map_err(|error| format!("{}: {error}", hex.display()))?;
    let texts = texts(messages)?;
    Ok(List { hex, texts, lines })
}

/// Our example.
struct Bridge {
    program: Program,
    control: SocketAddr,
    tcp: SocketAddr,
}

impl Bridge {
    fn start(mido: &Mido, server: SocketAddr) -> Result<Self, Stop> {
        let mut command = example(Host::Here, "bridge");
        let (listen, server) = (LOCALHOST.to_string(), server.to_string());
        command.args(["--listen", &listen, "--tcp-listen", &listen]);
        command.args(["--tcp-connect", &server, "--name", NAME]);
        let log = mido.place.join("bridge.log");
        let program = Program::start("the bridge", &mut command, Read::Stdout, &log)?;
        let first = program.line(SOON)?;
        let (control, _) = crate::peers::listening(&first)
            .ok_or_else(|| format!("the bridge's first line does not name its ports: {first}"))?;
        let tcp = address_in(&program.line(SOON)?, "listening: tcp ")?;
        Ok(Self {
            program,
            control,
            tcp,
        })
    }

    /// Nothing was lost on the way to it.
    fn end(&mut self) -> Verdict {
        self.program.signal("TERM")?;
        self.program.success(SOON)?;
        let said = self.program.rest(QUIET);
        match said.iter().find(|line| line.starts_with("lost: ")) {
            Some(line) => Err(format!("nothing should be lost on loopback: {line}").into()),
            None => Ok(()),
        }
    }
}

/// A server with mido, which takes in one client.
struct MidoServer {
    program: Program,
    feed: Feed,
    address: SocketAddr,
    number: usize,
}

impl MidoServer {
    fn start(mido: &Mido, number: usize, send: &List, expect: usize) -> Result<Self, Stop> {
        let mut args = vec!["server".to_owned()];
        args.extend(mido.trade(number, send, expect));
        let (program, feed) = mido.port("server", &args)?;
        let port = after(&program.line(SOON)?, "listening: ")?;
        let port = port.parse().map_err(|_| format!("not a port: {port}"))?;
        Ok(Self {
            program,
            feed,
            address: SocketAddr::new(LOCALHOST.ip(), port),
            number,
        })
    }

    fn accepted(&self) -> Verdict {
        self.program.line_with("accepted: ", SOON).map(drop)
    }

    fn received(&self, mido: &Mido, expect: &[String]) -> Verdict {
        self.program.line_with("done: ", LIST_TIME)?;
        same(
            "mido's server received",
            expect,
            &lines_of(&mido.received(self.number))?,
        )
    }

    fn leave(mut self) -> Verdict {
        drop(self.feed);
        nothing_late(&self.program)?;
        self.program.success(SOON)
    }
}
