//! The relay between real sockets.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use core::net::SocketAddr;
use core::time::Duration;
use std::net::UdpSocket;

use netmidi_testkit::{LinkQuality, Relay};

const SOON: Duration = Duration::from_secs(5);
const A_WHILE: Duration = Duration::from_millis(200);

fn pair(address: &str) -> [UdpSocket; 2] {
    for _ in 0..100 {
        let any: SocketAddr = format!("{address}:0").parse().unwrap();
        let even = UdpSocket::bind(any).unwrap().local_addr().unwrap().port() & !1;
        let sockets = [even, even + 1].map(|port| UdpSocket::bind(SocketAddr::new(any.ip(), port)));
        if let [Ok(control), Ok(data)] = sockets {
            return [control, data];
        }
    }
    panic!("no two neighbouring ports");
}

fn receive(socket: &UdpSocket, within: Duration) -> Option<(Vec<u8>, SocketAddr)> {
    socket.set_read_timeout(Some(within)).unwrap();
    let mut octets = [0; 64];
    let (length, from) = socket.recv_from(&mut octets).ok()?;
    Some((octets[..length].to_vec(), from))
}

#[test]
fn both_ports_are_carried_both_ways() {
    for address in ["127.0.0.1", "[::1]"] {
        let (client, server) = (pair(address), pair(address));
        let listen = format!("{address}:0").parse().unwrap();
        let relay = Relay::start(listen, server[0].local_addr().unwrap(), 1).unwrap();
        let front = relay.control();
        assert!(front.port().is_multiple_of(2));
        let mut seen = Vec::new();
        for port in [0, 1] {
            let to = SocketAddr::new(front.ip(), front.port() + port as u16);
            client[port].send_to(b"there", to).unwrap();
            let (octets, from) = receive(&server[port], SOON).unwrap();
            assert_eq!(octets, b"there");
            server[port].send_to(b"back", from).unwrap();
            assert_eq!(receive(&client[port], SOON), Some((b"back".to_vec(), to)));
            seen.push(from.port());
        }
        assert_eq!(seen[1], seen[0] + 1);
        assert_eq!(relay.carried().delivered, 4);
    }
}

#[test]
fn a_cut_relay_carries_nothing_and_a_new_binding_closes_the_old_ports() {
    let (client, server) = (pair("127.0.0.1"), pair("127.0.0.1"));
    let listen = "127.0.0.1:0".parse().unwrap();
    let relay = Relay::start(listen, server[0].local_addr().unwrap(), 1).unwrap();
    let send = || client[0].send_to(b"x", relay.control()).unwrap();
    send();
    let (_, old) = receive(&server[0], SOON).unwrap();
    relay.cut();
    send();
    assert_eq!(receive(&server[0], A_WHILE), None);
    relay.restore();
    relay.rebind().unwrap();
    send();
    let (_, new) = receive(&server[0], SOON).unwrap();
    assert_ne!(old, new);
    server[0].send_to(b"old", old).unwrap();
    assert_eq!(receive(&client[0], A_WHILE), None);
    // The answer from nobody (ICMP) to what went to the old port may be an error of the first call.
    let sent = server[0].send_to(b"new", new);
    sent.or_else(|_| server[0].send_to(b"new", new)).unwrap();
    assert_eq!(receive(&client[0], SOON).unwrap().0, b"new");
    assert_eq!(relay.carried().cut, 1);
}

#[test]
fn it_delays_loses_and_swaps() {
    let (client, server) = (pair("127.0.0.1"), pair("127.0.0.1"));
    let listen = "127.0.0.1:0".parse().unwrap();
    let relay = Relay::start(listen, server[0].local_addr().unwrap(), 7).unwrap();
    relay.set_quality(LinkQuality {
        latency: Duration::from_millis(10),
        jitter: Duration::from_millis(20),
        loss: 100_000,
        duplication: 50_000,
    });
    for number in 0..100_u8 {
        client[0].send_to(&[number], relay.control()).unwrap();
    }
    let mut got = Vec::new();
    while let Some((octets, _)) = receive(&server[0], 5 * A_WHILE) {
        got.push(octets[0]);
    }
    let carried = relay.carried();
    assert_eq!(carried.taken, 100);
    assert_eq!(carried.delivered, got.len() as u64);
    assert!(carried.lost > 0, "{carried:?}");
    assert!(got.len() as u64 > 100 - carried.lost, "one came twice");
    assert!(!got.is_sorted(), "{got:?}");
}
