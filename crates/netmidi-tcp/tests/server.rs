//! Servers with several clients, over loopback.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

mod stage;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt;
use netmidi_tcp::{
    BindError, CloseReason, Connector, IpNet, ListenAddress, Overflow, PortServer, ServerClosed,
    ServerEvent, SysEx, Trouble, connect,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use stage::{SOON, note, parse, plain, raw, within};

#[tokio::test]
async fn all_clients_are_heard_and_told() {
    let mut server = PortServer::builder().options(plain()).bind().await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..5 {
        let connector = Connector::new().options(plain());
        clients.push(connector.connect(server.local_addr()).await.unwrap());
    }
    let count = 5000;
    let mut heard: BTreeMap<SocketAddr, usize> = BTreeMap::new();
    within(async {
        let play = futures::future::join_all(clients.iter().map(|client| async {
            for number in 0..count {
                client.send(&note(number)).await.unwrap();
            }
        }));
        let listen = async {
            for _ in 0..5 * count {
                let (client, message) = server.receive().await.unwrap();
                let so_far = heard.entry(client.address()).or_default();
                assert_eq!(message, note(*so_far));
                *so_far += 1;
            }
        };
        tokio::join!(play, listen)
    })
    .await;
    assert!(heard.values().all(|heard| *heard == count), "{heard:?}");
    assert_eq!(server.clients().len(), 5);
    for number in 0..1000 {
        let report = server.send(&note(number));
        assert_eq!((report.reached(), report.troubles()), (5, &[][..]));
    }
    for client in &mut clients {
        for number in 0..1000 {
            assert_eq!(within(client.receive()).await.unwrap(), note(number));
        }
    }
    within(server.close()).await;
    for client in &mut clients {
        assert!(within(client.receive()).await.is_none());
    }
}

#[tokio::test]
async fn a_server_that_only_sends_reaches_everybody() {
    // mido's reaches nobody: it accepts only where it receives.
    let server = PortServer::bind(0).await.unwrap();
    let mut port = connect(server.local_addr()).await.unwrap();
    within(async {
        while server.send(&note(1)).reached() == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert_eq!(within(port.receive()).await.unwrap(), note(1));
}

#[tokio::test]
async fn no_client_waits_for_another() {
    let mut server = PortServer::builder().options(plain()).bind().await.unwrap();
    let mut loud = raw(server.local_addr()).await;
    let first = within(server.next_event()).await.unwrap();
    assert!(matches!(first, ServerEvent::Connected { .. }));
    // More than may wait, and more after that.
    let flood = tokio::spawn(async move {
        let octets = [0x90, 60, 100].repeat(100_000);
        while loud.write_all(&octets).await.is_ok() {}
    });
    while server.clients()[0].stats().messages_received < 5000 {
        sleep(Duration::from_millis(1)).await;
    }
    let quiet = connect(server.local_addr()).await.unwrap();
    quiet.send(&note(7)).await.unwrap();
    sleep(Duration::from_millis(50)).await;
    // It has its turn after one of the other's.
    let mut before = 0;
    loop {
        let (client, message) = within(server.receive()).await.unwrap();
        if client.address() == quiet.local_addr() {
            assert_eq!(message, note(7));
            break;
        }
        before += 1;
    }
    assert!(before <= 128, "{before} messages of another came first");
    flood.abort();
}

#[tokio::test]
async fn who_does_not_read_is_disconnected_and_the_others_hear_all() {
    let mut server = PortServer::builder()
        .options(plain().send_limit(64 << 10))
        .bind()
        .await
        .unwrap();
    let stuck = raw(server.local_addr()).await;
    let mut good = connect(server.local_addr()).await.unwrap();
    within(async {
        while server.clients().len() < 2 {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let mut lost = Vec::new();
    let mut sent = 0;
    // The system's own buffers come first, several megaoctets of them.
    let sysex = parse(&[&[0xF0][..], &[1; 1000], &[0xF7]].concat());
    while lost.is_empty() {
        let report = server.send(&sysex);
        lost.extend(report.troubles().iter().cloned());
        sent += 1;
        assert_eq!(within(good.receive()).await.unwrap(), sysex);
        assert!(sent < 100_000);
    }
    assert_eq!(lost.len(), 1);
    assert_eq!(lost[0].0.address(), stuck.local_addr().unwrap());
    assert_eq!(lost[0].1, Trouble::Overflowed);
    let report = server.send(&note(1));
    assert_eq!(report.reached(), 1);
    assert_eq!(within(good.receive()).await.unwrap(), note(1));
    let reason = loop {
        match within(server.next_event()).await.unwrap() {
            ServerEvent::Disconnected { client, closed } => {
                assert_eq!(client, lost[0].0);
                break closed.reason;
            }
            ServerEvent::Connected { .. } => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(reason, CloseReason::Overflow { limit: 65_536 }));
    assert_eq!(server.stats().overflowed, 1);
    assert_eq!(server.clients().len(), 1);
}

#[tokio::test]
async fn who_is_thinned_out_misses_messages_and_ends_right() {
    let server = PortServer::builder()
        .options(plain().overflow(Overflow::Thin).send_limit(30_000))
        .bind()
        .await
        .unwrap();
    let mut slow = raw(server.local_addr()).await;
    within(async {
        while server.send(&parse(&[0x90, 60, 100])).reached() == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let mut dropped = 0;
    let mut round = 0_usize;
    while dropped < 10_000 {
        for value in 0..100 {
            let _ = server.send(&parse(&[0xB0, 7, value]));
            let report = server.send(&note(1 + round % 50));
            dropped += report.troubles().len();
            assert!(
                report
                    .troubles()
                    .iter()
                    .all(|(_, it)| *it == Trouble::Dropped)
            );
        }
        round += 1;
        tokio::task::yield_now().await;
    }
    let _ = server.send(&parse(&[0xB0, 7, 127]));
    let _ = server.send(&parse(&[0x80, 60, 64]));
    let mut last = (0, 0);
    let mut down = [false; 128];
    let mut parser = netmidi_message::StreamParser::new();
    let mut buffer = vec![0; 1 << 16];
    let read = async {
        // Until the value and the note-off are there.
        while last.1 != 127 || down[60] {
            let count = slow.read(&mut buffer).await.unwrap();
            assert_ne!(count, 0);
            parser.feed(&buffer[..count], |event| {
                let message = event.message().expect("whole messages only");
                match message.to_buf().to_vec()[..] {
                    [0xB0, 7, value] => last = (last.0 + 1, value),
                    [0x90, key, _] => down[usize::from(key)] = true,
                    [0x80, key, _] => down[usize::from(key)] = false,
                    _ => panic!("{message}"),
                }
            });
        }
    };
    timeout(3 * SOON, read).await.unwrap();
    let stats = server.clients()[0].stats();
    assert!(stats.messages_dropped >= 10_000, "{stats:?}");
    assert!(stats.messages_restored >= 1, "{stats:?}");
    // And goes on as if nothing had been.
    let _ = server.send(&parse(&[0xB0, 7, 1]));
    let mut next = [0; 3];
    within(slow.read_exact(&mut next)).await.unwrap();
    assert_eq!(next, [0xB0, 7, 1]);
}

#[tokio::test]
async fn each_client_is_accepted_once() {
    let server = PortServer::bind(0).await.unwrap();
    assert!(server.try_accept().unwrap().is_none());
    let mut ours = connect(server.local_addr()).await.unwrap();
    let theirs = within(server.accept()).await.unwrap();
    assert!(server.try_accept().unwrap().is_none());
    // It is not the server's.
    assert_eq!(server.send(&note(1)).reached(), 0);
    assert!(server.clients().is_empty());
    theirs.send(&note(2)).await.unwrap();
    assert_eq!(within(ours.receive()).await.unwrap(), note(2));
    // Nor does it end with the server.
    let handle = server.handle();
    let address = server.local_addr();
    within(server.close()).await;
    theirs.send(&note(3)).await.unwrap();
    assert_eq!(within(ours.receive()).await.unwrap(), note(3));
    assert!(connect(address).await.is_err());
    assert_eq!(handle.send(&note(1)).reached(), 0);
}

#[tokio::test]
async fn a_closed_server_says_so() {
    let mut server = PortServer::bind(0).await.unwrap();
    let mut port = connect(server.local_addr()).await.unwrap();
    within(async {
        while server.clients().is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let handle = server.handle();
    handle.close();
    assert!(within(port.receive()).await.is_none());
    assert_eq!(server.try_accept().unwrap_err(), ServerClosed);
    assert_eq!(within(server.accept()).await.unwrap_err(), ServerClosed);
    assert!(within(server.receive()).await.is_none());
    assert!(within(server.next()).await.is_none());
}

#[tokio::test]
async fn lists_and_limits_refuse_before_anything_is_read() {
    let mut server = PortServer::builder()
        .allow("192.0.2.0/24".parse::<IpNet>().unwrap())
        .bind()
        .await
        .unwrap();
    let mut stranger = TcpStream::connect(server.local_addr()).await.unwrap();
    let end = within(stranger.read(&mut [0; 1])).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    let event = within(server.next_event()).await.unwrap();
    let ServerEvent::Refused { address, refusal } = event else {
        panic!("{event:?}");
    };
    assert_eq!(address, stranger.local_addr().unwrap());
    assert_eq!(
        refusal.to_string(),
        "its address is in none of the networks that are allowed"
    );
    assert_eq!(server.stats().refused_address, 1);
    assert_eq!(server.stats().accepted, 0);

    let server = PortServer::builder()
        .max_clients(2)
        .allow("127.0.0.0/8".parse::<IpNet>().unwrap())
        .bind()
        .await
        .unwrap();
    let first = connect(server.local_addr()).await.unwrap();
    let _second = connect(server.local_addr()).await.unwrap();
    let mut third = connect(server.local_addr()).await.unwrap();
    assert!(within(third.receive()).await.is_none());
    assert_eq!(
        (server.stats().accepted, server.stats().refused_full),
        (2, 1)
    );
    assert_eq!(server.clients().len(), 2);
    // A place is free again.
    within(first.close()).await;
    within(async {
        loop {
            let mut port = connect(server.local_addr()).await.unwrap();
            while server.send(&note(1)).reached() < 2 && port.close_reason().is_none() {
                sleep(Duration::from_millis(1)).await;
            }
            if port
                .receive_timeout(Duration::from_millis(100))
                .await
                .is_ok()
            {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_port_that_was_accepted_does_not_keep_its_server_open() {
    let mut server = PortServer::bind(0).await.unwrap();
    let _ours = connect(server.local_addr()).await.unwrap();
    let _theirs = within(server.accept()).await.unwrap();
    server.handle().close();
    assert!(within(server.receive()).await.is_none());
}

#[tokio::test]
async fn clients_that_nobody_takes_are_not_kept() {
    let server = PortServer::builder().max_clients(3).bind().await.unwrap();
    for number in 0..50 {
        let port = connect(server.local_addr()).await.unwrap();
        port.send(&note(number)).await.unwrap();
        within(port.close()).await;
        within(async {
            while server.stats().accepted <= number as u64 {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }
    let here = async {
        while server.stats().unheard < 47 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    within(here).await;
    // Those that are left come with what they had sent.
    for number in 47..50 {
        let mut port = within(server.accept()).await.unwrap();
        assert_eq!(within(port.receive()).await.unwrap(), note(number));
    }
    assert!(server.try_accept().unwrap().is_none());
}

#[tokio::test]
async fn who_is_gone_is_not_sent_to_again_and_again() {
    let server = PortServer::bind(0).await.unwrap();
    let port = connect(server.local_addr()).await.unwrap();
    within(async {
        while server.clients().is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
        port.close().await;
        while !server.clients().is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let report = server.send(&note(1));
    assert_eq!((report.reached(), report.troubles()), (0, &[][..]));
}

/// Nobody fetches, so nothing is read: that the peer is silent cannot be said.
#[tokio::test]
async fn a_consumer_that_sleeps_is_not_a_peer_that_is_silent() {
    let server = PortServer::builder()
        .options(
            plain()
                .idle_timeout(Duration::from_millis(50))
                .receive_limit(1000),
        )
        .bind()
        .await
        .unwrap();
    let _port = raw(server.local_addr()).await;
    let mut talkative = raw(server.local_addr()).await;
    let silent = within(server.accept()).await.unwrap();
    let mut port = within(server.accept()).await.unwrap();
    talkative.write_all(&[0xF8; 5000]).await.unwrap();
    sleep(Duration::from_millis(300)).await;
    assert!(silent.closed());
    assert!(port.close_reason().is_none());
    for _ in 0..5000 {
        assert_eq!(within(port.receive()).await.unwrap(), parse(&[0xF8]));
    }
    assert!(within(port.receive()).await.is_none());
}

#[tokio::test]
async fn clients_that_nobody_asks_about_are_not_kept() {
    let server = PortServer::builder().max_clients(3).bind().await.unwrap();
    for number in 0..50 {
        let port = connect(server.local_addr()).await.unwrap();
        port.send(&note(number)).await.unwrap();
        within(async {
            while server.send(&note(1)).reached() == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        within(port.close()).await;
        within(async {
            while !server.clients().is_empty() {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }
    let stats = server.stats();
    assert_eq!(stats.accepted, 50);
    assert_eq!(stats.unheard, 47, "three may wait");
}

#[tokio::test]
async fn system_exclusive_messages_can_be_refused() {
    let mut server = PortServer::builder()
        .options(plain().sysex(SysEx::Refuse))
        .bind()
        .await
        .unwrap();
    let port = connect(server.local_addr()).await.unwrap();
    port.send(&parse(&[0xF0, 1, 2, 0xF7])).await.unwrap();
    port.send(&note(5)).await.unwrap();
    assert_eq!(within(server.receive()).await.unwrap().1, note(5));
    let stats = server.clients()[0].stats();
    assert_eq!(
        (stats.discards, stats.octets_discarded),
        (1, 4),
        "{stats:?}"
    );
}

#[tokio::test]
async fn a_taken_address_is_told() {
    let server = PortServer::bind(0).await.unwrap();
    let address = server.local_addr();
    let error = PortServer::bind(address.port()).await.unwrap_err();
    assert!(matches!(error, BindError::Listen { .. }));
    assert_eq!(
        error.to_string(),
        format!(
            "cannot listen on {address}: it is taken; end the program that holds it or choose another port"
        )
    );
    // After its end it is free at once, also with connections that were there.
    let port = connect(address).await.unwrap();
    within(server.close()).await;
    drop(port);
    PortServer::bind(address.port()).await.unwrap();
}

#[tokio::test]
async fn a_name_stands_for_all_of_its_addresses() {
    let server = PortServer::bind("localhost:0").await.unwrap();
    for address in server.addresses() {
        assert!(address.ip().is_loopback());
        let port = connect(*address).await.unwrap();
        within(server.accept()).await.unwrap();
        drop(port);
    }
    // One of the addresses answers only: the other makes nobody wait.
    let v4 = PortServer::bind("127.0.0.1:0").await.unwrap();
    let begun = tokio::time::Instant::now();
    connect(("localhost", v4.local_addr().port()))
        .await
        .unwrap();
    assert!(begun.elapsed() < Duration::from_millis(200));
    let everywhere = PortServer::bind(":0").await.unwrap();
    assert!(everywhere.local_addr().ip().is_unspecified());
    connect(("127.0.0.1", everywhere.local_addr().port()))
        .await
        .unwrap();
    let client = within(everywhere.accept()).await.unwrap();
    assert!(client.peer_addr().is_ipv4(), "{}", client.name());
    let both = PortServer::builder()
        .listen(ListenAddress::loopback(0))
        .listen(ListenAddress::loopback(0))
        .bind()
        .await
        .unwrap();
    assert!(both.addresses().len() >= 2);
}

#[tokio::test]
async fn who_plays_and_leaves_is_heard_to_the_end_though_nothing_can_be_sent_to_it() {
    const COUNT: usize = 2_000;
    let options = plain().receive_limit(4096);
    let mut server = PortServer::builder().options(options).bind().await.unwrap();
    let mut peer = TcpStream::connect(server.local_addr()).await.unwrap();
    let connected = within(server.next_event()).await.unwrap();
    let ServerEvent::Connected { client } = connected else {
        panic!("{connected:?}");
    };
    let octets: Vec<u8> = (0..COUNT).flat_map(|it| note(it).to_vec()).collect();
    within(peer.write_all(&octets)).await.unwrap();
    drop(peer);
    // Most of it waits in the system while we find out that nobody reads any more.
    let lost = loop {
        match client.send(&note(0)) {
            Ok(()) => {}
            Err(trouble) => break trouble,
        }
        sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(lost, Trouble::Closed);
    assert_eq!(server.send(&note(0)).reached(), 0);
    for number in 0..COUNT {
        assert_eq!(within(server.receive()).await.unwrap().1, note(number));
    }
    let end = within(server.next_event()).await.unwrap();
    let ServerEvent::Disconnected { closed, .. } = &end else {
        panic!("{end:?}");
    };
    assert!(matches!(closed.reason, CloseReason::Reset), "{closed}");
    assert_eq!(closed.incomplete, None);
}
