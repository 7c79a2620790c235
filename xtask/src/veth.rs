//! Our two examples as two hosts: network namespaces with a cable between them. What a host does to
//! its interface and its addresses is not to be had on loopback.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::process::{self, Command};
use std::time::Instant;

use crate::child::{Line, Program};
use crate::music::{Listener, Player};
use crate::peers::{Host, SOON, build, start_client, start_server};
use crate::relay::BACK;
use crate::stage::{Stop, Verdict, stdout_of, works};

/// Addresses of the client: at first, and then.
const CLIENT: (Ipv4Addr, Ipv4Addr) = (Ipv4Addr::new(10, 77, 0, 1), Ipv4Addr::new(10, 77, 0, 3));

/// Addresses of the server: at first, and for a while.
const SERVER: (Ipv4Addr, Ipv4Addr) = (Ipv4Addr::new(10, 77, 0, 2), Ipv4Addr::new(10, 77, 0, 4));

/// The server's control port.
const PORT: u16 = 5004;

/// How long the interface is down.
const DOWN: Duration = Duration::from_secs(3);

/// How long music goes on before, between and after.
const MUSIC: Duration = Duration::from_secs(3);

/// For the client to notice that the server is not there any more.
const NOTICED: Duration = Duration::from_secs(10);

/// For it to tell what the user may see to.
const TOLD: Duration = Duration::from_secs(20);

/// For the last packets.
const END: Duration = Duration::from_secs(3);

pub(crate) fn check(seed: u32) -> Verdict {
    // It knows no `--version`.
    if !works(Command::new("ip").arg("-Version")) {
        let reason = "ip not found (apt install iproute2)";
        return Err(Stop::Skipped(reason.to_owned()));
    }
    let place = build()?;
    println!("seed {seed}; logs in {}", place.display());
    let cable = Cable::new()?;
    cable.left.address("add", CLIENT.0)?;
    cable.right.address("add", SERVER.0)?;

    let any = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), PORT);
    let (server, _, _) = start_server(&place, Host::Namespace(&cable.right.name), any, &[])?;
    let to = SocketAddr::new(SERVER.0.into(), PORT);
    let host = Host::Namespace(&cable.left.name);
    let (mut client, feed) = start_client(&place, host, to, &["--name", "player"])?;
    client.line_with("connected: ", SOON)?;
    let player = Player::start(feed, seed);
    let mut listener = Listener::new(server);
    listener.listen(MUSIC)?;

    cable
        .left
        .ip(&["link", "set", &cable.left.interface, "down"])?;
    listener.listen(DOWN)?;
    cable
        .left
        .ip(&["link", "set", &cable.left.interface, "up"])?;
    let after_down = listener.until_midi("with the interface up again", Instant::now(), BACK)?;
    listener.listen(MUSIC)?;

    cable.left.address("del", CLIENT.0)?;
    cable.left.address("add", CLIENT.1)?;
    let after_move = listener.until_midi("from another address", Instant::now(), BACK)?;
    listener.listen(MUSIC)?;

    cable.right.address("del", SERVER.0)?;
    cable.right.address("add", SERVER.1)?;
    let gone = Instant::now();
    let lost = line_after(&client, gone, &format!("inviting: {to}: "), NOTICED)?;
    println!(
        "{:.1} s after the server's address had changed, the client says: {}",
        (lost.at - gone).as_secs_f64(),
        lost.text
    );
    // A number is not looked up again: all that is left is to tell the user.
    let told = line_after(&client, gone, &format!("inviting: {to}: no answer "), TOLD)?;
    println!(
        "and after {:.1} s: {}",
        (told.at - gone).as_secs_f64(),
        told.text
    );
    listener.listen(Duration::ZERO)?;
    cable.right.address("del", SERVER.1)?;
    cable.right.address("add", SERVER.0)?;
    let after_return = listener.until_midi("at its address again", Instant::now(), BACK)?;
    player.settle();
    listener.listen(MUSIC)?;

    let played = player.end()?;
    listener.until_same(&played.sounding, END)?;
    drop(played.feed);
    client.success(SOON)?;
    println!(
        "{} messages played, heard: {}; {} values right, no key down; MIDI again {:.2?} after the \
         interface was up, {:.2?} after the client's address had changed, {:.2?} after the server \
         had its own back",
        played.messages,
        listener.counts(),
        played.sounding.values(),
        after_down,
        after_move,
        after_return
    );
    Ok(())
}

/// The first line that begins with `start` and was written after `moment`.
fn line_after(
    client: &Program,
    moment: Instant,
    start: &str,
    within: Duration,
) -> Result<Line, Stop> {
    loop {
        let line = client.line_with(start, within)?;
        if line.at > moment {
            return Ok(line);
        }
    }
}

/// Two hosts with a cable between them. Dropping it takes both away.
#[derive(Debug)]
struct Cable {
    left: End,
    right: End,
}

/// A network namespace and its end of the cable.
#[derive(Debug)]
struct End {
    name: String,
    interface: String,
}

impl Cable {
    fn new() -> Result<Self, Stop> {
        let (left, right) = (End::new("left")?, End::new("right")?);
        let cable = [
            &["link", "add", &left.interface, "type", "veth"][..],
            &["peer", "name", &right.interface, "netns", &right.name],
        ];
        left.ip(&cable.concat())?;
        for end in [&left, &right] {
            end.ip(&["link", "set", "lo", "up"])?;
            end.ip(&["link", "set", &end.interface, "up"])?;
        }
        Ok(Self { left, right })
    }
}

impl End {
    fn new(side: &str) -> Result<Self, Stop> {
        let name = format!("netmidi-{}-{side}", process::id());
        if !works(Command::new("ip").args(["netns", "add", &name])) {
            let reason = "network namespaces cannot be made here (run as root)";
            return Err(Stop::Skipped(reason.to_owned()));
        }
        Ok(Self {
            name,
            interface: side.to_owned(),
        })
    }

    /// `ip` within the namespace.
    fn ip(&self, arguments: &[&str]) -> Verdict {
        stdout_of(Command::new("ip").args(["-n", &self.name]).args(arguments)).map(drop)
    }

    fn address(&self, what: &str, address: Ipv4Addr) -> Verdict {
        let address = format!("{address}/24");
        self.ip(&["address", what, &address, "dev", &self.interface])
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let deleted = works(Command::new("ip").args(["netns", "del", &self.name]));
        if !deleted {
            eprintln!("the network namespace {} is left behind", self.name);
        }
    }
}
