//! mido's socket ports with ours, `netmidi-tcp`, over loopback and both ways round.
//!
//! mido makes the random lists, writes down in its own words what it received, and so judges what
//! our programs print. The lists come from a seed that is new in each run and is printed:
//! `cargo xtask mido SEED` plays them again.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::child::{Feed, Program, Read};
use crate::interop::{LOCALHOST, same};
use crate::peers::{Host, SOON, build_tcp, example, install_python_peers};
use crate::stage::{Stop, Verdict, root};

/// Random messages in each direction of a connection; the list has every type before and after them,
/// and a long system exclusive message within.
const COUNT: usize = 10_000;

/// The same for those who go on while another one is killed.
const SHORT_COUNT: usize = 100;

/// For all messages of all lists to arrive: mido makes two system calls for each octet.
pub(crate) const LIST_TIME: Duration = Duration::from_secs(100);

/// How long it is waited for what must not come.
pub(crate) const QUIET: Duration = Duration::from_millis(300);

/// How the end of a client of mido is told.
const PEER_CLOSED: &str = "the peer closed the connection";

pub(crate) fn check(seed: u32) -> Verdict {
    let place = build_tcp()?;
    let python = install_python_peers(&place)?;
    println!(
        "seed {seed}, {COUNT} random messages in each list; logs in {}",
        place.display()
    );
    let mido = Mido { place, python };
    let lists = mido.lists("list", seed, COUNT, 4, &[])?;
    our_server(&mido, &lists)?;
    our_clients(&mido, &lists)?;
    let lists = mido.lists("short", seed, SHORT_COUNT, 3, &[])?;
    printing(&mido, &lists)?;
    playing(&mido)?;
    accepting(&mido, &lists)?;
    killed(&mido, &lists, Last::Arrives)?;
    killed(&mido, &lists, Last::IsReset)
}

/// mido, and where a run leaves its files.
pub(crate) struct Mido {
    pub(crate) place: PathBuf,
    pub(crate) python: PathBuf,
}

/// A random list, made by mido.
pub(crate) struct List {
    /// A file of its messages as hex.
    pub(crate) hex: PathBuf,
    /// Its messages in mido's words.
    pub(crate) texts: Vec<String>,
    /// What a program of ours is fed: hex and words by turns.
    pub(crate) lines: String,
}

impl Mido {
    fn command(&self, script: &str) -> Command {
        let mut command = Command::new(&self.python);
        command
            .arg(root().join("xtask/interop").join(script))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// `without` are types that they have none of.
    pub(crate) fn lists(
        &self,
        name: &str,
        seed: u32,
        count: usize,
        lists: u32,
        without: &[&str],
    ) -> Result<Vec<List>, Stop> {
        let make = |number: u32| {
            let file = self.place.join(format!("mido-{name}-{number}"));
            let mut script = self.command("mido_list.py");
            script.args([seed.wrapping_add(number).to_string(), count.to_string()]);
            script.arg(&file).args(without);
            let log = self.place.join("mido-list.log");
            let mut program = Program::start("mido_list.py", &mut script, Read::Stderr, &log)?;
            if let Err(stop) = program.success(LIST_TIME) {
                println!("{}", program.rest(QUIET).join("\n"));
                return Err(stop);
            }
            let (hex, text) = (file.with_extension("hex"), file.with_extension("txt"));
            let texts = lines_of(&text)?;
            let mut lines = String::new();
            for (at, (octets, words)) in lines_of(&hex)?.iter().zip(&texts).enumerate() {
                lines.push_str(if at % 2 == 0 { octets } else { words });
                lines.push('\n');
            }
            Ok(List { hex, texts, lines })
        };
        (0..lists).map(make).collect()
    }

    /// Starts a role of `mido_port.py`.
    pub(crate) fn port(&self, log: &str, args: &[String]) -> Result<(Program, Feed), Stop> {
        let mut command = self.command("mido_port.py");
        command.args(args);
        let log = self.place.join(format!("mido-{log}.log"));
        Program::start_fed("mido", &mut command, Read::Stdout, &log)
    }

    fn client(&self, server: SocketAddr, role: &str, args: &[String]) -> Result<Client, Stop> {
        let mut all = vec![role.to_owned(), server.port().to_string()];
        all.extend_from_slice(args);
        let (program, feed) = self.port(role, &all)?;
        let address = address_in(&program.line(SOON)?, "connected: ")?;
        Ok(Client {
            program,
            feed,
            address,
        })
    }

    /// A client that sends one list and is to receive another.
    pub(crate) fn exchange(
        &self,
        server: SocketAddr,
        number: usize,
        send: &List,
        expect: &[String],
    ) -> Result<Client, Stop> {
        self.exchange_counted(server, number, send, expect.len())
    }

    /// The same where it is not yet known what it is to receive.
    pub(crate) fn exchange_counted(
        &self,
        server: SocketAddr,
        number: usize,
        send: &List,
        expect: usize,
    ) -> Result<Client, Stop> {
        self.client(server, "client", &self.trade(number, send, expect))
    }

    /// What `mido_port.py` is to do over one port.
    pub(crate) fn trade(&self, number: usize, send: &List, expect: usize) -> [String; 3] {
        [
            send.hex.display().to_string(),
            expect.to_string(),
            self.received(number).display().to_string(),
        ]
    }

    /// The file for what a port received.
    pub(crate) fn received(&self, number: usize) -> PathBuf {
        self.place.join(format!("mido-received-{number}.txt"))
    }

    /// Starts a server of ours. With its standard input, for the programs that read it.
    fn our_server(&self, name: &str, options: &[&str]) -> Result<Server, Stop> {
        let mut command = example(Host::Here, name);
        command.arg(LOCALHOST.to_string()).args(options);
        let log = self.place.join(format!("{name}.log"));
        let (program, feed) = Program::start_fed("our server", &mut command, Read::Stdout, &log)?;
        let address = address_in(&program.line(SOON)?, "listening: ")?;
        Ok(Server {
            program,
            feed: Some(feed),
            address,
            heard: BTreeMap::new(),
        })
    }
}

/// A client with mido.
pub(crate) struct Client {
    program: Program,
    feed: Feed,
    /// Its own address, as mido says.
    address: SocketAddr,
}

impl Client {
    pub(crate) fn go(&mut self) -> Verdict {
        self.feed.write("go\n")
    }

    /// Waits until it has received `expect` and nothing else.
    pub(crate) fn received(&self, mido: &Mido, number: usize, expect: &[String]) -> Verdict {
        self.program.line_with("done: ", LIST_TIME)?;
        same("mido received", expect, &lines_of(&mido.received(number))?)
    }

    /// Has it leave; nothing must have come in the meantime.
    pub(crate) fn leave(mut self) -> Result<SocketAddr, Stop> {
        drop(self.feed);
        nothing_late(&self.program)?;
        self.program.success(SOON)?;
        Ok(self.address)
    }
}

pub(crate) fn nothing_late(program: &Program) -> Verdict {
    match program.line_with("late: ", SOON)?.text.as_str() {
        "late: 0" => Ok(()),
        line => Err(format!("mido received more than it was sent: {line}").into()),
    }
}

/// One of our server programs, and what its clients played as it printed it.
struct Server {
    program: Program,
    feed: Option<Feed>,
    address: SocketAddr,
    heard: BTreeMap<SocketAddr, Vec<String>>,
}

impl Server {
    /// The next line is this one.
    fn says(&self, expected: &str) -> Verdict {
        let line = self.program.line(SOON)?;
        if line == expected {
            return Ok(());
        }
        Err(format!("our server should say {expected:?}, not: {line}").into())
    }

    /// Reads messages until so many came of each of these clients; anything else is wrong.
    fn hears(&mut self, wanted: &[(SocketAddr, usize)]) -> Verdict {
        let complete = |heard: &BTreeMap<SocketAddr, Vec<String>>| {
            let has = |(who, count): &(SocketAddr, usize)| {
                heard.get(who).is_some_and(|list| list.len() >= *count)
            };
            wanted.iter().all(has)
        };
        let end = Instant::now() + LIST_TIME;
        while !complete(&self.heard) {
            let line = self.program.line(left(end))?;
            let (who, text) = line
                .strip_prefix("midi: ")
                .and_then(|rest| rest.split_once(": "))
                .ok_or_else(|| format!("our server should not say: {line}"))?;
            let heard = self.heard.entry(address(who)?).or_default();
            heard.push(text.to_owned());
        }
        Ok(())
    }

    fn heard_of(&self, who: SocketAddr) -> &[String] {
        self.heard.get(&who).map_or(&[], Vec::as_slice)
    }

    /// Sends to all clients.
    fn play(&mut self, list: &List) -> Result<Feeding, Stop> {
        let feed = self.feed.take();
        let feed = feed.ok_or_else(|| "our server is being fed already".to_owned())?;
        Ok(Feeding::start(feed, list))
    }

    fn is_quiet(&self) -> Verdict {
        match self.program.next(QUIET) {
            None => Ok(()),
            Some(line) => Err(format!("our server should not say: {}", line.text).into()),
        }
    }
}

/// A program being fed, beside everything else: it may read no faster than the peer.
pub(crate) struct Feeding(JoinHandle<Result<Feed, Stop>>);

impl Feeding {
    fn start(mut feed: Feed, list: &List) -> Self {
        let lines = list.lines.clone();
        Self(thread::spawn(move || {
            feed.write(&lines)?;
            Ok(feed)
        }))
    }

    /// A few lines at a time, so that no socket buffer overflows.
    pub(crate) fn start_paced(mut feed: Feed, list: &List) -> Self {
        let lines = list.lines.clone();
        Self(thread::spawn(move || {
            let lines: Vec<&str> = lines.split_inclusive('\n').collect();
            for few in lines.chunks(12) {
                feed.write(&few.concat())?;
                thread::sleep(Duration::from_millis(5));
            }
            Ok(feed)
        }))
    }

    /// Once everything has arrived.
    pub(crate) fn done(self) -> Result<Feed, Stop> {
        let broken = |_| Stop::from("the thread that feeds a program broke".to_owned());
        self.0.join().map_err(broken)?
    }
}

/// Three clients of mido send to our server while it sends to all of them, header lines first.
fn our_server(mido: &Mido, lists: &[List]) -> Verdict {
    let (ours, theirs) = split(lists)?;
    let start = Instant::now();
    let options = ["--stdin", "--name", "Header for mido"];
    let mut server = mido.our_server("tcp_server", &options)?;
    begins_with_a_header(&server)?;

    let mut clients = Vec::new();
    for (number, list) in theirs.iter().enumerate() {
        let client = mido.exchange(server.address, number, list, &ours.texts)?;
        server.says(&format!("connected: {}", client.address))?;
        clients.push(client);
    }
    clients.iter_mut().try_for_each(Client::go)?;
    let feeding = server.play(ours)?;
    let wanted: Vec<(SocketAddr, usize)> = clients
        .iter()
        .zip(theirs)
        .map(|(client, list)| (client.address, list.texts.len()))
        .collect();
    server.hears(&wanted)?;
    for (client, list) in clients.iter().zip(theirs) {
        let heard = server.heard_of(client.address);
        same("our server printed", &list.texts, heard)?;
    }
    for (number, client) in clients.iter().enumerate() {
        client.received(mido, number, &ours.texts)?;
    }
    feeding.done()?;
    for client in clients {
        let address = client.leave()?;
        server.says(&format!("disconnected: {address}: {PEER_CLOSED}"))?;
    }
    server.is_quiet()?;
    println!(
        "tcp_server and {} clients of mido: {} messages from each, {} to each after header lines, \
         {:.1} s",
        theirs.len(),
        ours.texts.len(),
        ours.texts.len(),
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

/// What mido ignores is there.
fn begins_with_a_header(server: &Server) -> Verdict {
    let fails = |error: std::io::Error| Stop::from(format!("our server: {error}"));
    let stream = TcpStream::connect(server.address).map_err(fails)?;
    stream.set_read_timeout(Some(SOON)).map_err(fails)?;
    let address = stream.local_addr().map_err(fails)?;
    let mut header = Vec::new();
    for line in BufReader::new(stream).lines() {
        let line = line.map_err(fails)?;
        if line.is_empty() {
            break;
        }
        header.push(line);
    }
    if header != ["MIDI/1.0", "Name: Header for mido"] {
        return Err(format!("our server should send a header, not {header:?}").into());
    }
    server.says(&format!("connected: {address}"))?;
    server.says(&format!("disconnected: {address}: {PEER_CLOSED}"))
}

/// Two clients of ours with a server of mido, which accepts them in a loop; one sends header lines.
fn our_clients(mido: &Mido, lists: &[List]) -> Verdict {
    let start = Instant::now();
    let mut args = vec!["server".to_owned()];
    let pairs: Vec<&[List]> = lists.chunks_exact(2).collect();
    for (number, pair) in pairs.iter().enumerate() {
        let (ours, theirs) = split(pair)?;
        args.extend(mido.trade(number, first(theirs)?, ours.texts.len()));
    }
    let (mut server, mut go) = mido.port("server", &args)?;
    let port = after(&server.line(SOON)?, "listening: ")?;
    let address = format!("{}:{port}", LOCALHOST.ip());

    let mut clients = Vec::new();
    for (number, pair) in pairs.iter().enumerate() {
        let mut command = example(Host::Here, "tcp_client");
        command.args([&address, "--stdin"]);
        if number == 0 {
            command.args(["--name", "Header for mido"]);
        }
        let log = mido.place.join(format!("tcp_client-{number}.log"));
        let (program, feed) = Program::start_fed("our client", &mut command, Read::Stdout, &log)?;
        let connected = program.line(SOON)?;
        if connected != format!("connected: {address}") {
            return Err(format!("our client should be connected, not: {connected}").into());
        }
        server.line_with("accepted: ", SOON)?;
        clients.push((program, feed, *pair));
    }
    go.write("go\n")?;
    let mut fed = Vec::new();
    for (program, feed, pair) in clients {
        fed.push((program, Feeding::start(feed, split(pair)?.0), pair));
    }
    for (program, _, pair) in &fed {
        let list = first(split(pair)?.1)?;
        let end = Instant::now() + LIST_TIME;
        let mut heard = Vec::new();
        while heard.len() < list.texts.len() {
            heard.push(after(&program.line(left(end))?, "midi: ")?);
        }
        same("our client printed", &list.texts, &heard)?;
    }
    server.line_with("done: ", LIST_TIME)?;
    for (number, pair) in pairs.iter().enumerate() {
        let got = lines_of(&mido.received(number))?;
        same("mido's server received", &split(pair)?.0.texts, &got)?;
    }
    for (mut program, feeding, _) in fed {
        // The end of what it is fed ends the client.
        drop(feeding.done()?);
        let end = program.line(SOON)?;
        if end != "disconnected: closed on this side" {
            return Err(format!("our client should close, not: {end}").into());
        }
        program.success(SOON)?;
    }
    nothing_late(&server)?;
    server.success(SOON)?;
    let closed = server.rest(QUIET);
    if closed.len() != pairs.len() || closed.iter().any(|line| line != "closed: True") {
        return Err(format!("mido should see its ports closed: {closed:?}").into());
    }
    let count: usize = lists.iter().map(|list| list.texts.len()).sum();
    println!(
        "{} times tcp_client and a server of mido: {count} messages in all, {:.1} s",
        pairs.len(),
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

/// What the system does with what a killed client has written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Last {
    /// It read all that it was sent, so what it wrote still goes out.
    Arrives,
    /// It did not, so the system resets the connection; what has left its side is still read.
    IsReset,
}

/// A client of mido is killed in the middle of a system exclusive message that our server, which is
/// slow, has not read yet. Two others go on before and after.
fn killed(mido: &Mido, lists: &[List], last: Last) -> Verdict {
    const NOTES: usize = 1_000;
    const OCTETS: u64 = 8 << 20;
    let (ours, theirs) = split(lists)?;
    let start = Instant::now();
    // A millisecond or two for each message, and few of them ahead.
    let mut options = vec!["--stdin", "--pause", "1", "--receive-limit", "4096"];
    let reason = match last {
        // Longer than what is received, so it is thrown away and still counted.
        Last::Arrives => PEER_CLOSED,
        Last::IsReset => {
            options.extend(["--sysex-limit", "16777216"]);
            "the peer reset the connection"
        }
    };
    let mut server = mido.our_server("tcp_server", &options)?;
    let mut others = Vec::new();
    for (number, list) in theirs.iter().enumerate() {
        let client = mido.exchange(server.address, number, list, &ours.texts)?;
        server.says(&format!("connected: {}", client.address))?;
        others.push((client, list));
    }
    let args = [NOTES.to_string(), OCTETS.to_string()];
    let mut victim = mido.client(server.address, "cut", &args)?;
    server.says(&format!("connected: {}", victim.address))?;
    let mut feeding = match last {
        Last::Arrives => None,
        Last::IsReset => {
            let feeding = server.play(ours)?;
            settled(server.address, victim.address, |queued| queued.total() > 0)?;
            Some(feeding)
        }
    };
    server.program.signal("STOP")?;
    victim.go()?;
    victim.program.line_with("writing", SOON)?;
    // It has begun when more waits than its notes, and hangs when that grows no more.
    let notes = 3 * NOTES as u64;
    let begun = |queued: Queued| queued.total() > notes;
    settled(victim.address, server.address, begun)?;
    server.program.signal("CONT")?;

    // Its notes are being printed, and the others have their turns between them.
    for (client, _) in &mut others {
        client.go()?;
    }
    let wanted: Vec<(SocketAddr, usize)> = others
        .iter()
        .map(|(client, list)| (client.address, list.texts.len()))
        .collect();
    server.hears(&wanted)?;
    let printed = server.heard_of(victim.address).len();

    // Nothing is read while this is counted, so it is what the server gets in the end.
    server.program.signal("STOP")?;
    let queued = settled(victim.address, server.address, |_| true)?;
    victim.program.signal("KILL")?;
    victim.program.wait(SOON)?;
    server.program.signal("CONT")?;
    let rest = victim.program.rest(QUIET);
    if printed >= NOTES || !rest.is_empty() {
        return Err(format!(
            "mido was to be killed while it writes: {printed} of {NOTES} notes were printed, and it \
             said {rest:?}"
        )
        .into());
    }
    let who = victim.address;
    server.hears(&[(who, NOTES)])?;
    for (client, list) in &others {
        same(
            "our server printed",
            &list.texts,
            server.heard_of(client.address),
        )?;
    }
    let goodbye = format!("disconnected: {who}: ");
    let end = server.program.line_with(&goodbye, SOON)?.text;
    let cut = cut_after(&end, reason)
        .filter(|octets| (1..OCTETS + 2).contains(octets))
        .ok_or_else(|| format!("our server should say how much it got: {end}"))?;
    let arrives = match last {
        Last::Arrives => queued.total(),
        Last::IsReset => queued.unread,
    };
    if !(arrives.saturating_sub(notes)..=arrives).contains(&cut) {
        return Err(format!("{arrives} octets with some notes were to arrive, but: {end}").into());
    }

    if feeding.is_none() {
        feeding = Some(server.play(ours)?);
    }
    for (number, (client, _)) in others.iter().enumerate() {
        client.received(mido, number, &ours.texts)?;
    }
    feeding.map(Feeding::done).transpose()?;
    for (client, _) in others {
        let address = client.leave()?;
        server.says(&format!("disconnected: {address}: {PEER_CLOSED}"))?;
    }
    server.is_quiet()?;
    println!(
        "mido killed while it writes {OCTETS} octets: {reason}, after {cut} of them; {:.1} s",
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Reads `..., in the middle of a message (f0 00 01 ..., N octets)`.
fn cut_after(line: &str, reason: &str) -> Option<u64> {
    let (before, octets) = line.strip_suffix(" octets)")?.split_once(
        ", in the middle of a message (f0 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e ..., ",
    )?;
    if before.ends_with(reason) {
        octets.parse().ok()
    } else {
        None
    }
}

/// Octets on their way from one end of a connection to the other, as Linux counts them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Queued {
    /// Written and not acknowledged.
    unacknowledged: u64,
    /// Arrived and not read.
    unread: u64,
}

impl Queued {
    const fn total(self) -> u64 {
        self.unacknowledged + self.unread
    }
}

/// What is on its way, once that is steady and as it is waited for.
fn settled(
    from: SocketAddr,
    to: SocketAddr,
    awaited: impl Fn(Queued) -> bool,
) -> Result<Queued, Stop> {
    const TABLE: &str = "/proc/net/tcp";
    let mut before = None;
    let end = Instant::now() + SOON;
    while Instant::now() < end {
        let table = fs::read_to_string(TABLE)
            .map_err(|_| Stop::Skipped(format!("no {TABLE}, which Linux has")))?;
        let now = queued(&table, from, to).filter(|now| awaited(*now));
        match now {
            Some(queued) if now == before => return Ok(queued),
            _ => before = now,
        }
        thread::sleep(Duration::from_millis(100));
    }
    Err(format!("{TABLE} does not come to rest for {from} to {to}").into())
}

fn queued(table: &str, from: SocketAddr, to: SocketAddr) -> Option<Queued> {
    let row = |local: SocketAddr, remote: SocketAddr| {
        table.lines().find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let port = |at: usize| {
                let (_, port) = fields.get(at)?.split_once(':')?;
                u16::from_str_radix(port, 16).ok()
            };
            if (port(1), port(2)) != (Some(local.port()), Some(remote.port())) {
                return None;
            }
            let (written, arrived) = fields.get(4)?.split_once(':')?;
            let octets = |hex| u64::from_str_radix(hex, 16).ok();
            Some((octets(written)?, octets(arrived)?))
        })
    };
    Some(Queued {
        unacknowledged: row(from, to)?.0,
        unread: row(to, from)?.1,
    })
}

/// `tcp_print` prints what a client of mido sends.
fn printing(mido: &Mido, lists: &[List]) -> Verdict {
    let list = first(lists)?;
    let server = mido.our_server("tcp_print", &[])?;
    let mut client = mido.exchange(server.address, 0, list, &[])?;
    client.go()?;
    let start = format!("{}: ", client.address);
    let mut printed = Vec::new();
    while printed.len() < list.texts.len() {
        printed.push(after(&server.program.line(SOON)?, &start)?);
    }
    client.received(mido, 0, &[])?;
    client.leave()?;
    same("tcp_print printed", &list.texts, &printed)?;
    server.is_quiet()?;
    println!("tcp_print: {} messages of mido", printed.len());
    Ok(())
}

/// `tcp_play` plays to clients of mido that come and go; one stays to the end of the server.
fn playing(mido: &Mido) -> Verdict {
    const STAYS: usize = 5;
    let server = mido.our_server("tcp_play", &[])?;
    let mut staying = mido.client(server.address, "listener", &[])?;
    let mut leaving = Vec::new();
    for _ in 0..2 {
        leaving.push(mido.client(server.address, "listener", &[STAYS.to_string()])?);
    }
    let mut printed = Vec::new();
    let mut reaches = |count: &str| -> Verdict {
        let end = Instant::now() + SOON;
        loop {
            let line = server.program.line(left(end))?;
            // One that has just left.
            if line.starts_with("not to ") {
                continue;
            }
            let (note, reached) = line
                .split_once(", to ")
                .ok_or_else(|| format!("tcp_play should not say: {line}"))?;
            printed.push(note.to_owned());
            if reached == count {
                return Ok(());
            }
        }
    };
    reaches("3 clients")?;
    staying.go()?;
    leaving.iter_mut().try_for_each(Client::go)?;
    let mut heard = Vec::new();
    for client in &mut leaving {
        let mut list = Vec::new();
        while list.len() < STAYS {
            list.push(after(&client.program.line(SOON)?, "midi: ")?);
        }
        client.program.line_with(&format!("end: {STAYS}"), SOON)?;
        client.program.success(SOON)?;
        heard.push(list);
    }
    reaches("1 clients")?;
    server.program.signal("TERM")?;
    let mut list = Vec::new();
    let end = Instant::now() + SOON;
    let count = loop {
        let line = staying.program.line(left(end))?;
        if let Some(text) = line.strip_prefix("midi: ") {
            list.push(text.to_owned());
        } else if let Some(count) = line.strip_prefix("end: ") {
            break count.to_owned();
        }
    };
    staying.program.success(SOON)?;
    if count != list.len().to_string() || list.len() <= STAYS {
        return Err(format!(
            "mido says that it heard {count}, and printed {}",
            list.len()
        )
        .into());
    }
    // Whoever came first heard most; what the others heard is a piece of it.
    for heard in &heard {
        if !list.windows(heard.len()).any(|piece| piece == heard) {
            return Err(format!("two clients heard different music: {list:?}, {heard:?}").into());
        }
    }
    let notes: Vec<String> = list
        .iter()
        .filter(|text| text.starts_with("note_on"))
        .cloned()
        .collect();
    let skipped = printed.len().saturating_sub(notes.len());
    let shown = printed.get(skipped..).unwrap_or_default();
    same("mido heard of tcp_play", shown, &notes)?;
    let pairs = list.iter().zip(list.iter().skip(1));
    let alternate =
        |(one, next): (&String, &String)| one.starts_with("note_on") != next.starts_with("note_on");
    if !pairs.into_iter().all(alternate) {
        return Err(format!("notes should begin and end by turns: {list:?}").into());
    }
    println!(
        "tcp_play: 3 clients of mido, {} messages to the one that stayed",
        list.len()
    );
    Ok(())
}

/// `tcp_accept` with clients of mido that come and go.
fn accepting(mido: &Mido, lists: &[List]) -> Verdict {
    let server = mido.our_server("tcp_accept", &[])?;
    let come = |number: usize, list| -> Result<Client, Stop> {
        let client = mido.exchange(server.address, number, list, &[])?;
        server.says(&format!("connection from {}", client.address))?;
        Ok(client)
    };
    let leave = |client: Client| -> Verdict {
        let address = client.leave()?;
        server.says(&format!("{address} disconnected: {PEER_CLOSED}"))
    };
    let [one, two, three] = lists else {
        return Err("there should be three lists".to_owned().into());
    };
    let mut staying = come(0, one)?;
    let mut leaving = come(1, two)?;
    staying.go()?;
    leaving.go()?;
    accepted(&server, &[(&staying, one), (&leaving, two)])?;
    leave(leaving)?;
    let mut late = come(2, three)?;
    late.go()?;
    accepted(&server, &[(&late, three)])?;
    leave(staying)?;
    leave(late)?;
    server.is_quiet()?;
    let messages: usize = lists.iter().map(|list| list.texts.len()).sum();
    println!("tcp_accept: 3 clients of mido came and went, {messages} messages");
    Ok(())
}

/// `tcp_accept` prints the lists of these clients, in whatever order they come.
fn accepted(server: &Server, clients: &[(&Client, &List)]) -> Verdict {
    let mut printed: BTreeMap<SocketAddr, Vec<String>> = BTreeMap::new();
    let count: usize = clients.iter().map(|(_, list)| list.texts.len()).sum();
    let end = Instant::now() + LIST_TIME;
    for _ in 0..count {
        let line = server.program.line(left(end))?;
        let (text, who) = line
            .strip_prefix("received ")
            .and_then(|rest| rest.rsplit_once(" from "))
            .ok_or_else(|| format!("tcp_accept should not say: {line}"))?;
        let texts = printed.entry(address(who)?).or_default();
        texts.push(text.to_owned());
    }
    for (client, list) in clients {
        let texts = printed.get(&client.address).map_or(&[][..], Vec::as_slice);
        same("tcp_accept printed", &list.texts, texts)?;
    }
    Ok(())
}

/// The first list, and the others.
fn split(lists: &[List]) -> Result<(&List, &[List]), Stop> {
    let none = || Stop::from("there is no list".to_owned());
    lists.split_first().ok_or_else(none)
}

fn first(lists: &[List]) -> Result<&List, Stop> {
    Ok(split(lists)?.0)
}

pub(crate) fn left(end: Instant) -> Duration {
    end.saturating_duration_since(Instant::now())
}

pub(crate) fn lines_of(path: &Path) -> Result<Vec<String>, Stop> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(text.lines().map(str::to_owned).collect())
}

pub(crate) fn address_in(line: &str, start: &str) -> Result<SocketAddr, Stop> {
    address(&after(line, start)?)
}

fn address(text: &str) -> Result<SocketAddr, Stop> {
    let wrong = |_| Stop::from(format!("{text} should be an address"));
    text.parse().map_err(wrong)
}

/// What follows `start` in a line that should begin with it.
pub(crate) fn after(line: &str, start: &str) -> Result<String, Stop> {
    let rest = line.strip_prefix(start).map(str::to_owned);
    rest.ok_or_else(|| format!("a line should begin with {start:?}, not: {line}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cut_is_read() {
        let line = "disconnected: 127.0.0.1:4: the peer closed the connection, in the middle of a \
                    message (f0 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e ..., 4711 octets)";
        assert_eq!(cut_after(line, PEER_CLOSED), Some(4711));
        assert_eq!(cut_after(line, "the peer reset the connection"), None);
        assert_eq!(cut_after(&line.replace("0e", "0f"), PEER_CLOSED), None);
        assert_eq!(
            cut_after(
                "disconnected: 127.0.0.1:4: the peer closed the connection",
                PEER_CLOSED
            ),
            None
        );
    }

    #[test]
    fn what_is_queued_is_read_at_both_ends() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000005 00:00000000 00000000     0        0 1 1
   1: 0100007F:1F90 0100007F:C350 01 00000003:00000100 00:00000000 00000000     0        0 2 1
   2: 0100007F:C350 0100007F:1F90 01 00020000:00000007 01:00000014 00000000     0        0 3 1
";
        let (server, client) = ("127.0.0.1:8080", "127.0.0.1:50000");
        let [server, client]: [SocketAddr; 2] = [server, client].map(|it| it.parse().unwrap());
        let queued = |from, to| queued(table, from, to);
        let of = |unacknowledged, unread| {
            Some(Queued {
                unacknowledged,
                unread,
            })
        };
        assert_eq!(queued(client, server), of(0x20000, 0x100));
        assert_eq!(queued(server, client), of(3, 7));
        assert_eq!(queued(server, server), None);
    }
}
