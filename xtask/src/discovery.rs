//! Discovery against avahi, in two network namespaces of our own that a cable joins.
//!
//! avahi runs in the one, the examples of netmidi-discovery and of the facade in both. Nothing of it leaves the
//! namespaces, and they are removed at the end.

use core::time::Duration;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{self, Command};
use std::thread;
use std::time::Instant;

use crate::child::{Program, Read};
use crate::netns::{self, Namespace, Network};
use crate::stage::{Stop, Verdict, cargo, need, run, target_dir};

/// How long something may take that a handful of datagrams bring about.
const SOON: Duration = Duration::from_secs(10);

/// How long it may take until a changed interface shows: it is looked for every 2 s, then probed.
const LATER: Duration = Duration::from_secs(20);

const AVAHI_ADDRESS: &str = "10.77.0.1";
const OUR_ADDRESS: &str = "10.77.0.2";

type Check = fn(&Bench<'_>) -> Verdict;

pub(crate) fn check() -> Verdict {
    need_tools()?;
    run(&mut cargo(
        "build --package netmidi-discovery --package netmidi --examples".split(' '),
    ))?;
    let network = Network::new([AVAHI_ADDRESS, OUR_ADDRESS])?;
    network.wait_for_link_local()?;
    let bench = Bench::start(&network)?;
    let checks: [(&str, Check); 14] = [
        ("avahi's session is found, and lost", avahi_is_found),
        ("ours is found by avahi, and lost", avahi_finds_ours),
        ("avahi has the name first", avahi_has_the_name),
        ("we have the name first", we_have_the_name),
        ("avahi and ours on one machine", one_machine),
        ("two of ours", two_of_ours),
        ("two of ours take one name at once", both_at_once),
        ("a name with a dot", dotted_name),
        ("a cable is pulled and put back", cable_pulled),
        ("an address comes later", later_address),
        ("played by name between machines", played_by_name),
        ("played by name on one machine", played_at_home),
        ("a session that moves is found again", session_moves),
        ("a session taken by another name", name_taken),
    ];
    for (name, check) in checks {
        let start = Instant::now();
        check(&bench).map_err(|stop| match stop {
            Stop::Failed(text) => Stop::Failed(format!("{name}: {text}")),
            skipped => skipped,
        })?;
        println!("{name}: yes ({:.1} s)", start.elapsed().as_secs_f64());
    }
    Ok(())
}

fn need_tools() -> Verdict {
    need("avahi-daemon", "apt install avahi-daemon")?;
    need("avahi-browse", "apt install avahi-utils")?;
    need("dbus-daemon", "apt install dbus")?;
    netns::need_tools()
}

/// A publisher of avahi in `a` is found in `b`, once, with both addresses, and lost with its
/// goodbye.
fn avahi_is_found(bench: &Bench<'_>) -> Verdict {
    let mut browse = bench.browse(&bench.network.b, &[])?;
    let publisher = bench.publish("Stage Piano", 5004)?;
    let expected = format!(
        " on avahi-host.local, port 5004: {AVAHI_ADDRESS}:5004 [{}%{}]:5004",
        bench.network.a.link_local()?,
        bench.network.b.index()?
    );
    // The IPv6 half may come a moment after the IPv4 half.
    browse.until(SOON, |line| {
        is_session(line, "Stage Piano") && line.ends_with(&expected)
    })?;
    drop(publisher);
    browse.until(SOON, |line| line == "lost: Stage Piano")?;
    browse.has_once("found: Stage Piano on ")?;
    browse.has_once("lost: Stage Piano")
}

/// What we announce in `b` is shown by avahi in `a`, with the right port and addresses, an empty
/// TXT record, and no family that was not asked for; it is gone when we say goodbye.
fn avahi_finds_ours(bench: &Bench<'_>) -> Verdict {
    let ours = bench.announce(&bench.network.b, "Örgel (Main)", &["--port", "6004"])?;
    let v4 = ["--port", "6014", "--families", "v4"];
    let old = bench.announce(&bench.network.b, "V4 Only", &v4)?;
    let link_local = bench.network.b.link_local()?;
    let both = |rows: &[Row]| {
        let row = |address: &str| {
            rows.iter().any(|row| {
                row.name == "Örgel (Main)" && row.address == address && row.port == "6004"
            })
        };
        row(OUR_ADDRESS) && row(&link_local)
    };
    let rows = bench.avahi_shows("Örgel (Main) over IPv4 and IPv6", both)?;
    if let Some(row) = rows.iter().find(|row| !row.txt.is_empty()) {
        return Err(format!("the TXT record should be empty: {row:?}").into());
    }
    let of_old: Vec<&Row> = rows.iter().filter(|row| row.name == "V4 Only").collect();
    if of_old.is_empty() || of_old.iter().any(|row| row.address != OUR_ADDRESS) {
        return Err(format!("V4 Only should be there with IPv4 alone: {of_old:?}").into());
    }
    for program in [ours, old] {
        program.withdraw()?;
    }
    bench.avahi_shows("nothing any more", <[Row]>::is_empty)?;
    Ok(())
}

/// We get "NAME (2)" and say so; the browser of the same program shows the other one only.
fn avahi_has_the_name(bench: &Bench<'_>) -> Verdict {
    let publisher = bench.publish("Clavinova", 5004)?;
    bench.avahi_shows("its own session", |rows| {
        rows.iter().any(|row| row.port == "5004")
    })?;

    let mut announce = bench.announce_as(&bench.network.b, "Clavinova", &["--port", "6004"])?;
    announce.until(SOON, |line| {
        line == "renamed: Clavinova (2) (Clavinova: Taken)"
    })?;
    let mut browse = bench.browse(&bench.network.b, &["--announce", "Clavinova"])?;
    browse.until(SOON, |line| line == "announced: Clavinova (3)")?;
    browse.until(SOON, |line| is_session(line, "Clavinova"))?;
    browse.until(SOON, |line| is_session(line, "Clavinova (2)"))?;
    let name = |row: &Row, name: &str, port: &str| row.name == name && row.port == port;
    bench.avahi_shows("all three", |rows| {
        rows.iter().any(|row| name(row, "Clavinova", "5004"))
            && rows.iter().any(|row| name(row, "Clavinova (2)", "6004"))
            && rows.iter().any(|row| name(row, "Clavinova (3)", "5004"))
    })?;
    browse.until_quiet()?;
    for line in browse
        .said
        .iter()
        .filter(|line| is_session(line, "Clavinova"))
    {
        if !line.contains("avahi-host.local") || line.contains(OUR_ADDRESS) {
            return Err(format!("the other's session with our address: {line}").into());
        }
    }
    if let Some(own) = browse
        .said
        .iter()
        .find(|line| is_session(line, "Clavinova (3)"))
    {
        return Err(format!("our own session is shown: {own}").into());
    }
    announce.withdraw()?;
    drop(publisher);
    Ok(())
}

/// avahi asks, hears us, and takes another name.
fn we_have_the_name(bench: &Bench<'_>) -> Verdict {
    let mut browse = bench.browse(&bench.network.b, &[])?;
    let announce = bench.announce(&bench.network.b, "Harp", &["--port", "6004"])?;
    let publisher = bench.publish("Harp", 5004)?;
    browse.until(SOON, |line| is_session(line, "Harp #2"))?;
    browse.until_quiet()?;
    let harps = browse.said.iter().filter(|line| is_session(line, "Harp"));
    for line in harps {
        if line.contains("avahi-host.local") || line.contains(AVAHI_ADDRESS) {
            return Err(format!("our session with the other's address: {line}").into());
        }
    }
    browse.has_once("found: Harp on ")?;
    announce.withdraw()?;
    drop(publisher);
    Ok(())
}

/// Both share port 5353 and hear each other.
fn one_machine(bench: &Bench<'_>) -> Verdict {
    let publisher = bench.publish("Its Piano", 5004)?;
    let announce = bench.announce(&bench.network.a, "Our Piano", &["--port", "6004"])?;
    let mut browse = bench.browse(&bench.network.a, &[])?;
    browse.until(SOON, |line| {
        is_session(line, "Its Piano") && line.contains(&format!(": {AVAHI_ADDRESS}:5004"))
    })?;
    bench.avahi_shows("ours on its own machine", |rows| {
        rows.iter().any(|row| {
            row.name == "Our Piano" && row.port == "6004" && row.address == AVAHI_ADDRESS
        })
    })?;
    browse.until_quiet()?;
    // Loopback leads nowhere but home, and it does not take part.
    if let Some(line) = browse.said.iter().find(|line| line.contains("127.0.0.1")) {
        return Err(format!("loopback is announced: {line}").into());
    }
    announce.withdraw()?;
    browse.until(SOON, |line| line == "lost: Our Piano")?;
    drop(publisher);
    Ok(())
}

/// Found in the other namespace by name, in whatever case; what is not there is told.
fn two_of_ours(bench: &Bench<'_>) -> Verdict {
    let left = bench.announce(&bench.network.a, "Left", &["--port", "6004"])?;
    let right = bench.announce(&bench.network.b, "Right", &["--port", "6006"])?;
    let resolve = |place: &Namespace, name: &str| {
        let mut browse = bench.browse(place, &[name])?;
        let line = browse.until(SOON, |_| true)?;
        browse.program.success(SOON)?;
        Ok::<_, Stop>(line)
    };
    let line = resolve(&bench.network.b, "Left")?;
    if !line.contains(&format!("port 6004: {AVAHI_ADDRESS}:6004")) {
        return Err(format!("Left is elsewhere: {line}").into());
    }
    let line = resolve(&bench.network.a, "rIGHT")?;
    if !line.starts_with("Right on ") || !line.contains(&format!(": {OUR_ADDRESS}:6006")) {
        return Err(format!("Right is elsewhere: {line}").into());
    }
    let mut nobody = bench.browse(&bench.network.a, &["Middle"])?;
    let status = nobody.program.wait(SOON)?;
    let told = fs::read_to_string(&nobody.log).unwrap_or_default();
    if status.success() || !told.contains("Left") || !told.contains("Right") {
        return Err(format!("Middle is not there, but: {told}").into());
    }
    left.withdraw()?;
    right.withdraw()
}

/// The probing of both meets, or else the announcements do: one of them gives way, and sometimes
/// both. In the end they have two names, and each says the one that peers see.
fn both_at_once(bench: &Bench<'_>) -> Verdict {
    let mut left = bench.announce_as(&bench.network.a, "Twin", &["--port", "6004"])?;
    let mut right = bench.announce_as(&bench.network.b, "Twin", &["--port", "6006"])?;
    left.until(SOON, |_| true)?;
    right.until(SOON, |_| true)?;
    for _ in 0..3 {
        left.until_quiet()?;
        right.until_quiet()?;
    }
    let names = [left.announced_name()?, right.announced_name()?];
    let [of_left, of_right] = &names;
    if of_left == of_right {
        return Err(format!("they should have two names, but: {names:?}").into());
    }
    bench.avahi_shows(&format!("{names:?}"), |rows| {
        let one = |port: &str, name: &str| {
            let mut with_port = rows.iter().filter(|row| row.port == port).peekable();
            with_port.peek().is_some() && with_port.all(|row| row.name == name)
        };
        one("6004", of_left) && one("6006", of_right)
    })?;
    left.withdraw()?;
    right.withdraw()
}

/// Ours is announced without the dot; avahi's is found with it.
fn dotted_name(bench: &Bench<'_>) -> Verdict {
    let publisher = bench.publish("No.1 Piano", 5004)?;
    let mut announce = bench.announce_as(&bench.network.b, "No.2 Piano", &["--port", "6004"])?;
    announce.until(SOON, |line| line == "renamed: No-2 Piano (No.2 Piano: Dot)")?;
    let mut browse = bench.browse(&bench.network.b, &[])?;
    browse.until(SOON, |line| is_session(line, "No.1 Piano"))?;
    browse.until(SOON, |line| is_session(line, "No-2 Piano"))?;
    drop(publisher);
    browse.until(SOON, |line| line == "lost: No.1 Piano")?;
    announce.withdraw()
}

/// Both sides come back by themselves.
fn cable_pulled(bench: &Bench<'_>) -> Verdict {
    let publisher = bench.publish("Bass", 5004)?;
    let announce = bench.announce(&bench.network.b, "Drums", &["--port", "6004"])?;
    let mut browse = bench.browse(&bench.network.b, &[])?;
    browse.until(SOON, |line| is_session(line, "Bass"))?;
    bench.network.a.ip("link set dev veth down")?;
    browse.until(LATER, |line| line == "lost: Bass")?;
    bench.network.a.ip("link set dev veth up")?;
    browse.until(LATER, |line| {
        line.starts_with("found: ") && is_session(line, "Bass")
    })?;
    bench.avahi_shows("Drums again", |rows| {
        rows.iter()
            .any(|row| row.name == "Drums" && row.port == "6004")
    })?;
    announce.withdraw()?;
    drop(publisher);
    Ok(())
}

/// A second network on the same interface, on both sides.
fn later_address(bench: &Bench<'_>) -> Verdict {
    let publisher = bench.publish("Bass", 5004)?;
    let announce = bench.announce(&bench.network.b, "Drums", &["--port", "6004"])?;
    let mut theirs = bench.browse(&bench.network.b, &[])?;
    let mut ours = bench.browse(&bench.network.a, &[])?;
    theirs.until(SOON, |line| is_session(line, "Bass"))?;
    ours.until(SOON, |line| is_session(line, "Drums"))?;
    bench.network.a.ip("addr add 10.78.0.1/24 dev veth")?;
    bench.network.b.ip("addr add 10.78.0.2/24 dev veth")?;
    let with = |line: &str, name: &str, first: &str, second: &str| {
        is_session(line, name) && line.contains(first) && line.contains(second)
    };
    ours.until(LATER, |line| {
        with(line, "Drums", "10.77.0.2:6004", "10.78.0.2:6004")
    })?;
    theirs.until(LATER, |line| {
        with(line, "Bass", "10.77.0.1:5004", "10.78.0.1:5004")
    })?;
    bench.network.b.ip("addr del 10.78.0.2/24 dev veth")?;
    ours.has_once("found: Drums on ")?;
    announce.withdraw()?;
    drop(publisher);
    Ok(())
}

/// The examples of the facade: the client finds the server by name and plays.
fn played_by_name(bench: &Bench<'_>) -> Verdict {
    let (a, b) = (&bench.network.a, &bench.network.b);
    plays(bench, a, b, "Stage Left")?;
    // A word without a space is a host for the DNS first, which knows none.
    plays(bench, b, a, "Organ")
}

fn played_at_home(bench: &Bench<'_>) -> Verdict {
    plays(bench, &bench.network.b, &bench.network.b, "Stage Left")
}

fn plays(bench: &Bench<'_>, there: &Namespace, here: &Namespace, name: &str) -> Verdict {
    let mut server = bench.server(there, name, "[::]:5004")?;
    let mut client = bench.player(here, name)?;
    client.until(LATER, |line| {
        line.starts_with(&format!("connected: {name} "))
    })?;
    server.until(SOON, |line| {
        line == "midi: netmidi client: note_on channel=0 note=64 velocity=127"
    })?;
    client.withdraw()?;
    server.until(SOON, |line| {
        line.starts_with("disconnected: netmidi client ")
    })?;
    server.withdraw()?;
    bench.avahi_shows(&format!("no {name} any more"), |rows| {
        rows.iter().all(|row| row.name != name)
    })?;
    Ok(())
}

/// The server is killed, or ends as it should, and is there again on other ports: the client finds it by
/// its name and plays on.
fn session_moves(bench: &Bench<'_>) -> Verdict {
    let mut server = bench.server(&bench.network.a, "Stage Left", "[::]:5004")?;
    let mut client = bench.player(&bench.network.b, "Stage Left")?;
    let connected = |line: &str, port: u16| {
        line.starts_with("connected: Stage Left ") && line.contains(&format!(":{port}, data "))
    };
    client.until(LATER, |line| connected(line, 5004))?;
    server.until(SOON, |line| line.starts_with("midi: "))?;
    server.withdraw()?;
    let mut server = bench.server(&bench.network.a, "Stage Left", "[::]:6004")?;
    client.until(LATER, |line| connected(line, 6004))?;
    server.until(SOON, |line| line.starts_with("midi: "))?;
    // It cannot say goodbye: its old entry stays for as long as two minutes, and is corrected.
    server.program.signal("KILL")?;
    let mut server = bench.server(&bench.network.a, "Stage Left", "[::]:7004")?;
    client.until(LATER, |line| connected(line, 7004))?;
    server.until(SOON, |line| line.starts_with("midi: "))?;
    client.withdraw()?;
    server.withdraw()
}

/// The server says what it is called really.
fn name_taken(bench: &Bench<'_>) -> Verdict {
    let publisher = bench.publish("Stage Left", 5004)?;
    bench.avahi_shows("its own session", |rows| {
        rows.iter().any(|row| row.name == "Stage Left")
    })?;
    let server = bench.server_as(
        &bench.network.b,
        "Stage Left",
        "[::]:6004",
        "Stage Left (2)",
    )?;
    let mut client = bench.player(&bench.network.a, "Stage Left (2)")?;
    client.until(LATER, |line| line.starts_with("connected: Stage Left "))?;
    client.withdraw()?;
    server.withdraw()?;
    let nobody = bench.player(&bench.network.a, "Stage Right")?;
    let Said {
        mut program, log, ..
    } = nobody;
    let status = program.wait(SOON)?;
    let told = fs::read_to_string(&log).unwrap_or_default();
    if status.success() || !told.contains("Stage Left") {
        return Err(format!("Stage Right is not there, but: {told}").into());
    }
    drop(publisher);
    Ok(())
}

/// avahi in namespace `a`, with a bus of its own.
#[derive(Debug)]
struct Bench<'a> {
    network: &'a Network,
    place: PathBuf,
    programs: Vec<Program>,
}

impl<'a> Bench<'a> {
    fn start(network: &'a Network) -> Result<Self, Stop> {
        // Not the target folder: a socket's path may have 108 octets.
        let place = env::temp_dir().join(format!("netmidi-discovery-{}", process::id()));
        fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
        let mut bench = Self {
            network,
            place,
            programs: Vec::new(),
        };
        bench.start_bus()?;
        bench.start_avahi()?;
        Ok(bench)
    }

    fn start_bus(&mut self) -> Verdict {
        let config = self.write("bus.conf", &BUS.replace("SOCKET", &self.socket()))?;
        let mut dbus = Command::new("dbus-daemon");
        dbus.arg("--config-file").arg(config).args([
            "--nofork",
            "--nopidfile",
            "--print-address=1",
        ]);
        let dbus = Program::start("dbus-daemon", &mut dbus, Read::Stdout, &self.log("bus"))?;
        dbus.line(SOON)?;
        self.programs.push(dbus);
        Ok(())
    }

    fn start_avahi(&mut self) -> Verdict {
        let config = self.write("avahi.conf", AVAHI)?;
        // It writes its process number into /run, where the machine's own avahi may have one. The
        // mount is private: `ip netns exec` gives each program a mount namespace of its own.
        let hidden = "mount -t tmpfs tmpfs /run && exec avahi-daemon -f \"$0\" --no-drop-root \
                      --no-chroot --no-rlimits";
        let mut avahi = self.client(&self.network.a, "sh");
        avahi.args(["-c", hidden]).arg(config);
        let avahi = Program::start("avahi-daemon", &mut avahi, Read::Stderr, &self.log("avahi"))?;
        let mut said = Vec::new();
        loop {
            let line = avahi
                .line(SOON)
                .map_err(|_| format!("avahi-daemon does not start: {}", said.join(" | ")))?;
            if line.contains("Server startup complete") {
                break;
            }
            said.push(line);
        }
        self.programs.push(avahi);
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf, Stop> {
        let file = self.place.join(name);
        fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(file)
    }

    fn socket(&self) -> String {
        format!("unix:path={}", self.place.join("bus").display())
    }

    fn log(&self, name: &str) -> PathBuf {
        self.place.join(format!("{name}.log"))
    }

    /// A program that may speak with avahi.
    fn client(&self, place: &Namespace, program: &str) -> Command {
        let mut command = place.command(program);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", self.socket());
        command
    }

    fn publish(&self, name: &str, port: u16) -> Result<Program, Stop> {
        let mut publish = self.client(&self.network.a, "avahi-publish");
        publish.args(["-s", name, "_apple-midi._udp", &port.to_string()]);
        let log = self.log("publish");
        let publisher = Program::start("avahi-publish", &mut publish, Read::Stderr, &log)?;
        loop {
            if publisher.line(SOON)?.starts_with("Established") {
                return Ok(publisher);
            }
        }
    }

    /// Our example, which has announced exactly that name.
    fn announce(&self, place: &Namespace, name: &str, options: &[&str]) -> Result<Said, Stop> {
        let mut announce = self.announce_as(place, name, options)?;
        let line = announce.until(SOON, |_| true)?;
        if line == format!("announced: {name}") {
            Ok(announce)
        } else {
            Err(format!("{name} should be announced, but: {line}").into())
        }
    }

    fn announce_as(&self, place: &Namespace, name: &str, options: &[&str]) -> Result<Said, Stop> {
        let mut announce = place.command(example("announce"));
        announce.arg(name).args(options);
        let log = self.log("announce");
        let program = Program::start("announce", &mut announce, Read::Stdout, &log)?;
        Ok(Said::new(program, log))
    }

    fn browse(&self, place: &Namespace, options: &[&str]) -> Result<Said, Stop> {
        let mut browse = place.command(example("browse"));
        browse.args(options);
        let log = self.log("browse");
        let program = Program::start("browse", &mut browse, Read::Stdout, &log)?;
        Ok(Said::new(program, log))
    }

    /// The facade's server, announced by its name.
    fn server(&self, place: &Namespace, name: &str, listen: &str) -> Result<Said, Stop> {
        self.server_as(place, name, listen, name)
    }

    fn server_as(
        &self,
        place: &Namespace,
        name: &str,
        listen: &str,
        announced: &str,
    ) -> Result<Said, Stop> {
        let mut server = place.command(example("server"));
        server.args(["--name", name, "--listen", listen]);
        let log = self.log(&format!("server {}", place.name));
        let program = Program::start("server", &mut server, Read::Stdout, &log)?;
        let mut server = Said::new(program, log);
        server.until(SOON, |line| line == format!("announced: {announced}"))?;
        Ok(server)
    }

    /// The facade's client, which plays to whom it finds by that name.
    fn player(&self, place: &Namespace, name: &str) -> Result<Said, Stop> {
        let mut client = place.command(example("client"));
        client.args(["--connect", name, "--play"]);
        let log = self.log(&format!("client {}", place.name));
        let program = Program::start("client", &mut client, Read::Stdout, &log)?;
        Ok(Said::new(program, log))
    }

    /// Asks avahi until what it shows is as it should be.
    fn avahi_shows(&self, what: &str, right: impl Fn(&[Row]) -> bool) -> Result<Vec<Row>, Stop> {
        let end = Instant::now() + LATER;
        loop {
            let mut browse = self.client(&self.network.a, "avahi-browse");
            browse.args(["-rpt", "_apple-midi._udp"]);
            let log = self.log("avahi-browse");
            let mut browse = Program::start("avahi-browse", &mut browse, Read::Stdout, &log)?;
            let lines = browse.rest(SOON);
            browse.success(SOON)?;
            let rows: Vec<Row> = lines.iter().filter_map(|line| Row::parse(line)).collect();
            if right(&rows) {
                return Ok(rows);
            }
            if Instant::now() > end {
                return Err(format!("avahi should show {what}, but: {}", lines.join(" | ")).into());
            }
            thread::sleep(Duration::from_millis(250));
        }
    }
}

impl Drop for Bench<'_> {
    fn drop(&mut self) {
        // avahi before its bus.
        while self.programs.pop().is_some() {}
        if let Err(error) = fs::remove_dir_all(&self.place) {
            println!("{} is left behind: {error}", self.place.display());
        }
    }
}

fn example(name: &str) -> PathBuf {
    target_dir().join("debug/examples").join(name)
}

/// Whether the line of `browse` tells of the session `name`.
fn is_session(line: &str, name: &str) -> bool {
    let rest = line
        .strip_prefix("found: ")
        .or_else(|| line.strip_prefix("changed: "));
    rest.and_then(|rest| rest.split_once(" on "))
        .is_some_and(|(of, _)| of == name)
}

/// One of our examples, and what it said.
#[derive(Debug)]
struct Said {
    program: Program,
    said: Vec<String>,
    log: PathBuf,
}

impl Said {
    fn new(program: Program, log: PathBuf) -> Self {
        Self {
            program,
            said: Vec::new(),
            log,
        }
    }

    /// The first line that is `right`, of those said and those to come.
    fn until(&mut self, within: Duration, right: impl Fn(&str) -> bool) -> Result<String, Stop> {
        let end = Instant::now() + within;
        let mut next = 0;
        loop {
            if let Some(line) = self.said.get(next) {
                if right(line) {
                    return Ok(line.clone());
                }
                next += 1;
                continue;
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.program.line(left) {
                Ok(line) => self.said.push(line),
                Err(_) => {
                    let log = fs::read_to_string(&self.log).unwrap_or_default();
                    let said = self.said.join(" | ");
                    return Err(format!("within {within:?} it said only: {said} {log}").into());
                }
            }
        }
    }

    /// Takes in what else is said, until nothing is for a while.
    fn until_quiet(&mut self) -> Verdict {
        for _ in 0..100 {
            match self.program.line(Duration::from_secs(2)) {
                Ok(line) => self.said.push(line),
                Err(_) => return Ok(()),
            }
        }
        Err("it does not stop talking".to_owned().into())
    }

    /// The name that `announce` told last.
    fn announced_name(&self) -> Result<String, Stop> {
        let last = self.said.last().map_or("", String::as_str);
        let renamed = last.strip_prefix("renamed: ");
        let name = last
            .strip_prefix("announced: ")
            .or_else(|| renamed.and_then(|rest| rest.split(" (Twin: ").next()));
        name.map(str::to_owned)
            .ok_or_else(|| format!("no name in: {last}").into())
    }

    fn has_once(&self, start: &str) -> Verdict {
        let lines = self.said.iter().filter(|line| line.starts_with(start));
        match lines.count() {
            1 => Ok(()),
            count => Err(format!(
                "\"{start}\" should be there once, not {count} times: {}",
                self.said.join(" | ")
            )
            .into()),
        }
    }

    fn withdraw(mut self) -> Verdict {
        self.program.signal("INT")?;
        self.program.success(SOON)
    }
}

/// A resolved session as `avahi-browse --parsable` prints it.
#[derive(Debug, Eq, PartialEq)]
struct Row {
    name: String,
    address: String,
    port: String,
    txt: String,
}

impl Row {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.strip_prefix("=;")?.splitn(9, ';');
        let name = unescaped(fields.nth(2)?);
        let address = fields.nth(3)?.to_owned();
        Some(Self {
            name,
            address,
            port: fields.next()?.to_owned(),
            txt: fields.next()?.to_owned(),
        })
    }
}

/// `\032` is the octet 32, and `\.` is a dot.
fn unescaped(text: &str) -> String {
    let mut octets = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let number = after
            .get(..3)
            .and_then(|digits| str::from_utf8(digits).ok());
        rest = match (first, number.and_then(|digits| digits.parse().ok())) {
            (b'\\', Some(octet)) => {
                octets.push(octet);
                after.get(3..).unwrap_or_default()
            }
            (b'\\', None) => {
                octets.extend(after.first());
                after.get(1..).unwrap_or_default()
            }
            _ => {
                octets.push(first);
                after
            }
        };
    }
    String::from_utf8_lossy(&octets).into_owned()
}

const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>SOCKET</listen>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
  </policy>
</busconfig>
"#;

const AVAHI: &str = "\
[server]
host-name=avahi-host
allow-interfaces=veth
[wide-area]
enable-wide-area=no
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read() {
        let line = r"=;veth;IPv4;No\.1\032\195\156 \0402\041;_apple-midi._udp;local;h.local;10.0.0.1;5004;";
        let row = Row::parse(line).unwrap();
        assert_eq!(row.name, "No.1 Ü (2)");
        assert_eq!(
            (row.address.as_str(), row.port.as_str()),
            ("10.0.0.1", "5004")
        );
        assert_eq!(row.txt, "");
        let with_txt = line.to_owned() + "\"a=b;c\" \"d\"";
        assert_eq!(Row::parse(&with_txt).unwrap().txt, "\"a=b;c\" \"d\"");
        assert_eq!(Row::parse("+;veth;IPv4;X;_apple-midi._udp;local"), None);
    }

    #[test]
    fn a_session_is_told_by_its_whole_name() {
        assert!(is_session(
            "found: Harp #2 on h.local, port 1: 1.2.3.4:1",
            "Harp #2"
        ));
        assert!(!is_session(
            "found: Harp #2 on h.local, port 1: 1.2.3.4:1",
            "Harp"
        ));
        assert!(!is_session("lost: Harp", "Harp"));
    }
}
