//! A bad network between our client and our server: the relay of netmidi-testkit, as a third
//! program.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Instant;

use crate::child::{Feed, Program, Read};
use crate::music::{Listener, Player};
use crate::peers::{Host, SOON, build, family, start_client, start_server};
use crate::stage::{Stop, Verdict, cargo, run, target_dir};

/// Loss in percent, delay in ms, up to so many ms more, duplicates in percent.
const BAD: &str = "quality 10 10 20 1";

/// The same delay with nothing lost. A session comes back while nothing is lost: an invitation that
/// is lost is repeated after a second, and that is luck and not what is measured.
const LOSSLESS: &str = "quality 0 10 20 0";

/// How long nothing gets through.
const CUT: Duration = Duration::from_secs(5);

/// How long music goes on before, between and after.
const MUSIC: Duration = Duration::from_secs(4);

/// How long the server is gone.
const GONE: Duration = Duration::from_secs(1);

/// The longest time until music is back.
pub(crate) const BACK: Duration = Duration::from_secs(2);

/// For the last packets, and their repetition where they were lost.
const END: Duration = Duration::from_secs(3);

pub(crate) fn check(seed: u32) -> Verdict {
    let place = build()?;
    run(&mut cargo(
        "build --package netmidi-testkit --example relay".split(' '),
    ))?;
    let both = [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ];
    println!("seed {seed}, {BAD}; logs in {}", place.display());
    let verdicts = thread::scope(|scope| {
        both.map(|ip| {
            let place = &place;
            (ip, scope.spawn(move || scenario(place, ip, seed)))
        })
        .map(|(ip, thread)| (ip, thread.join()))
    });
    let mut all = Ok(());
    for (ip, verdict) in verdicts {
        match verdict.unwrap_or_else(|_| Err("its thread broke".to_owned().into())) {
            Ok(report) => println!("{ip}: {report}"),
            Err(Stop::Failed(sentence)) => all = Err(format!("{ip}: {sentence}").into()),
            Err(skipped) => all = all.and(Err(skipped)),
        }
    }
    all
}

/// Loss throughout, a cut, other source ports, and the server killed and started again. Gives what
/// was measured.
fn scenario(place: &Path, ip: IpAddr, seed: u32) -> Result<String, Stop> {
    let any = SocketAddr::new(ip, 0);
    if UdpSocket::bind(any).is_err() {
        return Err(Stop::Skipped(format!(
            "this machine has no {ip} (bring the interface lo up)"
        )));
    }
    let (server, control, _) = start_server(place, Host::Here, any, &[])?;
    let mut relay = Relay::start(place, any, control, seed)?;
    let (mut client, feed) = start_client(
        place,
        Host::Here,
        &relay.control.to_string(),
        &["--name", "player"],
    )?;
    client.line_with("connected: ", SOON)?;
    relay.order(BAD)?;
    let player = Player::start(feed, seed);
    let mut listener = Listener::new(server);
    listener.listen(MUSIC)?;

    relay.order("cut")?;
    listener.listen(CUT)?;
    relay.order(LOSSLESS)?;
    let restored = relay.order("restore")?;
    let after_cut = listener.until_midi("after the cut", restored, BACK)?;
    relay.order(BAD)?;
    listener.listen(MUSIC)?;

    relay.order(LOSSLESS)?;
    listener.listen(Duration::ZERO)?;
    listener.forget_pauses();
    let rebound = relay.order("rebind")?;
    listener.until_midi("with other source ports", rebound, BACK)?;
    relay.order(BAD)?;
    listener.listen(MUSIC)?;
    let pause = listener.longest_pause("with other source ports", BACK)?;

    listener.server().signal("KILL")?;
    relay.order(LOSSLESS)?;
    thread::sleep(GONE);
    let (server, _, _) = start_server(place, Host::Here, control, &[])?;
    let restarted = Instant::now();
    listener.replace(server);
    let after_restart = listener.until_midi("after the server was killed", restarted, BACK)?;
    relay.order(BAD)?;
    player.settle();
    listener.listen(MUSIC)?;

    let played = player.end()?;
    listener.until_same(&played.sounding, END)?;
    let carried = relay.ask("carried")?;
    // Says goodbye, which may be lost.
    relay.order(LOSSLESS)?;
    drop(played.feed);
    client.success(SOON)?;
    Ok(format!(
        "{} messages played, heard: {}; {} values right, no key down; MIDI again {:.2?} after the \
         cut, {:.2?} after the server's restart; with other source ports a pause of {:.2?}; \
         {carried}",
        played.messages,
        listener.counts(),
        played.sounding.values(),
        after_cut,
        after_restart,
        pause
    ))
}

/// The relay, as a program.
#[derive(Debug)]
struct Relay {
    program: Program,
    feed: Feed,
    control: SocketAddr,
}

impl Relay {
    fn start(
        place: &Path,
        listen: SocketAddr,
        server: SocketAddr,
        seed: u32,
    ) -> Result<Self, Stop> {
        let mut command = Command::new(target_dir().join("debug/examples/relay"));
        command.args([listen.to_string(), server.to_string(), seed.to_string()]);
        let log = place.join(format!("relay-{}.log", family(listen.ip())));
        let (program, feed) = Program::start_fed("the relay", &mut command, Read::Stdout, &log)?;
        let first = program.line(SOON)?;
        let control = first
            .strip_prefix("relaying: control ")
            .and_then(|rest| rest.split(' ').next()?.parse().ok())
            .ok_or_else(|| format!("the relay does not name its port: {first}"))?;
        Ok(Self {
            program,
            feed,
            control,
        })
    }

    /// Gives an order; returns when it was obeyed.
    fn order(&mut self, order: &str) -> Result<Instant, Stop> {
        let answer = self.ask(order)?;
        if answer == format!("done: {order}") {
            Ok(Instant::now())
        } else {
            Err(format!("the relay answers {order:?} by {answer:?}").into())
        }
    }

    fn ask(&mut self, order: &str) -> Result<String, Stop> {
        self.feed.write(&format!("{order}\n"))?;
        self.program.line(SOON)
    }
}
