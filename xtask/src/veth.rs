//! Our two examples as two hosts: network namespaces with a cable between them. What a host does to
//! its interface and its addresses is not to be had on loopback.

use core::net::{Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::time::Instant;

use crate::child::{Line, Program};
use crate::music::{Listener, Player};
use crate::netns::{self, Namespace, Network};
use crate::peers::{Host, SOON, build, start_client, start_server};
use crate::relay::BACK;
use crate::stage::{Stop, Verdict};

/// Addresses of the client: at first, and then.
const CLIENT: [&str; 2] = ["10.77.0.1", "10.77.0.3"];

/// Addresses of the server: at first, and for a while.
const SERVER: [&str; 2] = ["10.77.0.2", "10.77.0.4"];

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
    netns::need_tools()?;
    let place = build()?;
    println!("seed {seed}; logs in {}", place.display());
    let [first, second] = CLIENT;
    let [home, away] = SERVER;
    let network = Network::new([first, home])?;
    let (left, right) = (&network.a, &network.b);
    let address = |place: &Namespace, what: &str, address: &str| -> Verdict {
        place
            .ip(&format!("addr {what} {address}/24 dev veth"))
            .map(drop)
    };

    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT));
    let (server, _, _) = start_server(&place, Host::In(right), any, &[])?;
    let to = format!("{home}:{PORT}");
    let host = Host::In(left);
    let (mut client, feed) = start_client(&place, host, &to, &["--name", "player"])?;
    client.line_with("connected: ", SOON)?;
    let player = Player::start(feed, seed);
    let mut listener = Listener::new(server);
    listener.listen(MUSIC)?;

    left.ip("link set dev veth down")?;
    listener.listen(DOWN)?;
    left.ip("link set dev veth up")?;
    let after_down = listener.until_midi("with the interface up again", Instant::now(), BACK)?;
    listener.listen(MUSIC)?;

    listener.forget_pauses();
    address(left, "del", first)?;
    address(left, "add", second)?;
    listener.until_midi("from another address", Instant::now(), BACK)?;
    listener.listen(MUSIC)?;
    let pause = listener.longest_pause("from another address", BACK)?;

    address(right, "del", home)?;
    address(right, "add", away)?;
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
    address(right, "del", away)?;
    address(right, "add", home)?;
    let after_return = listener.until_midi("at its address again", Instant::now(), BACK)?;
    player.settle();
    listener.listen(MUSIC)?;

    let played = player.end()?;
    listener.until_same(&played.sounding, END)?;
    drop(played.feed);
    client.success(SOON)?;
    println!(
        "{} messages played, heard: {}; {} values right, no key down; MIDI again {:.2?} after the \
         interface was up, {:.2?} after the server had its address back; with another address of \
         the client a pause of {:.2?}",
        played.messages,
        listener.counts(),
        played.sounding.values(),
        after_down,
        after_return,
        pause
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
