//! What sessions cost in which nobody plays: datagrams, exactly, and time of the processor, printed
//! (`cargo test -p netmidi-session --test idle_cost -- --nocapture`).

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

mod stage;

use core::time::Duration;

use netmidi_session::Config;
use netmidi_testkit::{HostId, Kind, LinkQuality, Net, Tally};
use stage::address;

const PEERS: usize = 1000;
/// Until everybody is in and has found out what it wants to know.
const WARM_UP: Duration = Duration::from_secs(60);
const MEASURED: Duration = Duration::from_secs(120);

/// What one host with a thousand sessions sent and received while it was measured.
fn idle(hub_invites: bool) -> (Tally, Tally) {
    let quality = LinkQuality {
        latency: Duration::from_millis(1),
        ..LinkQuality::default()
    };
    let mut net = Net::new(1, quality);
    let mut config = Config::new("hub");
    config.max_invitees = PEERS;
    config.max_participants = PEERS;
    config.max_invitations = PEERS;
    config.max_queued_answers = 2 * PEERS;
    let hub = net.add(config, address(false, 1));
    net.start(hub);
    for n in 0..PEERS {
        let peer = net.add(Config::new(format!("{n}")), address(false, 2 + n as u16));
        net.start(peer);
        if hub_invites {
            net.invite(hub, peer);
        } else {
            net.invite(peer, hub);
        }
        // Not all at once, and not in step.
        net.run_for(Duration::from_micros(7_310));
    }
    net.run_for(WARM_UP);
    let (sent, received) = net.traffic(hub);
    net.watch(hub);
    net.run_for(MEASURED);
    assert_eq!(net.session(hub).unwrap().participants().count(), PEERS);
    for n in 1..=PEERS {
        assert_eq!(net.session(HostId(n)).unwrap().participants().count(), 1);
    }
    let (sent, received) = (
        net.traffic(hub).0.since(&sent),
        net.traffic(hub).1.since(&received),
    );
    let each = |count: u64| count as f64 / PEERS as f64 / MEASURED.as_secs_f64();
    let load = net.spent().as_secs_f64() / MEASURED.as_secs_f64();
    println!(
        "{PEERS} idle sessions, invited by {}: each sends {:.3} and receives {:.3} datagrams a \
         second; all of them take {:.3} ms of a second, {:.0} ns for each datagram",
        if hub_invites { "us" } else { "the others" },
        each(sent.total()),
        each(received.total()),
        load * 1e3,
        net.spent().as_nanos() as f64 / (sent.total() + received.total()) as f64,
    );
    (sent, received)
}

/// That many clock packets for each session and second, a little less for the time on the way, and
/// nothing else at all.
fn check(tally: &Tally, each: u64) {
    let clocks = tally.of(Kind::Clock);
    assert_eq!(clocks, tally.total(), "only clocks: {tally:?}");
    let most = each * PEERS as u64 * MEASURED.as_secs();
    assert!(
        (most * 95 / 100..=most).contains(&clocks),
        "{clocks} of {most}"
    );
}

#[test]
fn an_initiator_asks_for_clocks_and_sends_nothing_else() {
    let (sent, received) = idle(true);
    check(&sent, 2);
    check(&received, 1);
}

#[test]
fn a_participant_answers_clocks_and_sends_nothing_else() {
    let (sent, received) = idle(false);
    check(&sent, 1);
    check(&received, 2);
}
