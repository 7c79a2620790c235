//! Ports between a client and a server, over loopback.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

mod stage;

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use netmidi_message::{MessageBuf, StreamParser};
use netmidi_tcp::{
    CloseReason, Connector, Options, Overflow, PortServer, SendError, Trouble, connect,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use stage::{SOON, note, parse, plain, raw, within};

#[tokio::test]
async fn messages_go_both_ways_in_order() {
    let server = PortServer::bind(0).await.unwrap();
    let mut ours = connect(server.local_addr()).await.unwrap();
    let mut theirs = within(server.accept()).await.unwrap();
    assert_eq!(ours.peer_addr(), theirs.local_addr());
    assert_eq!(ours.local_addr().to_string(), theirs.name());
    let count = 100_000;
    within(async {
        tokio::join!(
            async {
                for number in 0..count {
                    ours.send(&note(number)).await.unwrap();
                }
                ours.flush().await.unwrap();
            },
            async {
                for number in 0..count {
                    assert_eq!(theirs.receive().await.unwrap(), note(number));
                }
            }
        );
        for number in 0..10 {
            theirs.send(&note(number)).await.unwrap();
            assert_eq!(ours.receive().await.unwrap(), note(number));
        }
    })
    .await;
    assert_eq!(ours.stats().messages_sent, count as u64);
    assert_eq!(theirs.stats().messages_received, count as u64);
    assert_eq!(theirs.stats().octets_received, 3 * count as u64);
}

#[tokio::test]
async fn it_is_a_stream_and_a_sink() {
    let server = PortServer::bind(0).await.unwrap();
    let mut ours = connect(server.local_addr()).await.unwrap();
    let theirs = within(server.accept()).await.unwrap();
    let sysex = parse(&[&[0xF0][..], &[1; 5000], &[0xF7]].concat());
    let list = [note(1), sysex, note(2)];
    within(async {
        ours.send_all(&mut futures::stream::iter(list.clone().map(Ok)))
            .await
            .unwrap();
        SinkExt::<MessageBuf>::close(&mut ours).await.unwrap();
    })
    .await;
    let received: Vec<_> = within(theirs.collect()).await;
    assert_eq!(&received[..3], &list);
    // The two notes were left on.
    assert_eq!(
        received[3..],
        [parse(&[0x80, 1, 64]), parse(&[0x80, 2, 64])]
    );
}

#[tokio::test]
async fn closing_sends_what_waits_and_says_so() {
    let server = PortServer::builder().options(plain()).bind().await.unwrap();
    let ours = connect(server.local_addr()).await.unwrap();
    let mut theirs = within(server.accept()).await.unwrap();
    for number in 0..1000 {
        ours.send(&note(number)).await.unwrap();
    }
    let closed = within(ours.close()).await;
    assert!(matches!(closed.reason, CloseReason::Local), "{closed}");
    assert!(!theirs.closed(), "there is something to receive");
    for number in 0..1000 {
        assert_eq!(within(theirs.receive()).await.unwrap(), note(number));
    }
    assert!(within(theirs.receive()).await.is_none());
    assert!(theirs.closed());
    assert!(matches!(
        theirs.close_reason().unwrap().reason,
        CloseReason::Peer
    ));
    let error = theirs.send(&note(1)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the port is closed: the peer closed the connection"
    );
}

#[tokio::test]
async fn a_message_that_is_cut_is_reported_after_the_whole_ones() {
    let server = PortServer::builder().options(plain()).bind().await.unwrap();
    let mut raw = TcpStream::connect(server.local_addr()).await.unwrap();
    let mut port = within(server.accept()).await.unwrap();
    raw.write_all(&[0x90, 60, 100, 0x90, 61]).await.unwrap();
    drop(raw);
    assert_eq!(
        within(port.receive()).await.unwrap(),
        parse(&[0x90, 60, 100])
    );
    assert!(within(port.receive()).await.is_none());
    let closed = port.close_reason().unwrap();
    assert_eq!(closed.incomplete.as_ref().unwrap().beginning, [0x90, 61]);
    assert_eq!(
        closed.to_string(),
        "the peer closed the connection, in the middle of a message (90 3d)"
    );
}

#[tokio::test]
async fn a_reset_closes_the_port() {
    let server = PortServer::builder().options(plain()).bind().await.unwrap();
    let raw = TcpStream::connect(server.local_addr()).await.unwrap();
    let mut port = within(server.accept()).await.unwrap();
    socket2::SockRef::from(&raw)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(raw);
    assert!(within(port.receive()).await.is_none());
    assert!(matches!(
        port.close_reason().unwrap().reason,
        CloseReason::Reset
    ));
    assert!(matches!(port.try_send(&note(1)), Err(SendError::Closed(_))));
}

#[tokio::test]
async fn dropping_a_port_closes_the_connection() {
    let server = PortServer::bind(0).await.unwrap();
    let mut raw = TcpStream::connect(server.local_addr()).await.unwrap();
    let port = within(server.accept()).await.unwrap();
    port.send(&note(7)).await.unwrap();
    let (receiver, sender) = port.split();
    drop(receiver);
    assert!(
        timeout(Duration::from_millis(50), raw.read_u8())
            .await
            .unwrap()
            .unwrap()
            == 0x90
    );
    drop(sender);
    let mut rest = Vec::new();
    within(raw.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, [7, 1]);
}

#[tokio::test]
async fn nothing_waits_for_ever() {
    let server = PortServer::bind(0).await.unwrap();
    let mut port = connect(server.local_addr()).await.unwrap();
    let error = port
        .receive_timeout(Duration::from_millis(20))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "no message was received in time");
    assert!(port.try_receive().is_none());
    assert_eq!(port.iter_pending().count(), 0);
    let idle = PortServer::builder()
        .options(Options::new().idle_timeout(Duration::from_millis(50)))
        .bind()
        .await
        .unwrap();
    let port = connect(idle.local_addr()).await.unwrap();
    let mut theirs = within(idle.accept()).await.unwrap();
    port.send(&note(1)).await.unwrap();
    assert!(within(theirs.receive()).await.is_some());
    assert_eq!(within(theirs.receive()).await, Some(parse(&[0x80, 1, 64])));
    assert!(within(theirs.receive()).await.is_none());
    assert_eq!(
        theirs.close_reason().unwrap().to_string(),
        "nothing was received from the peer for 0.05 s"
    );
}

#[tokio::test]
async fn a_sender_waits_for_a_peer_that_is_behind() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = Connector::new()
        .options(Options::new().send_limit(10_000))
        .connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (mut raw, _) = listener.accept().await.unwrap();
    let mut sent = 0;
    let full = loop {
        match port.try_send(&note(sent)) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        if sent.is_multiple_of(100) {
            tokio::task::yield_now().await;
        }
    };
    assert!(matches!(full, SendError::Full { limit: 10_000 }), "{full}");
    let waiting = note(sent);
    assert!(
        timeout(Duration::from_millis(50), port.send(&waiting))
            .await
            .is_err()
    );
    let mut buffer = vec![0; 3 * sent];
    within(raw.read_exact(&mut buffer)).await.unwrap();
    for (number, octets) in buffer.chunks(3).enumerate() {
        assert_eq!(octets, note(number).to_vec());
    }
    within(port.send(&note(sent))).await.unwrap();
}

#[tokio::test]
async fn a_reader_that_does_not_fetch_makes_the_sender_wait() {
    let server = PortServer::builder()
        .options(plain().receive_limit(10_000))
        .bind()
        .await
        .unwrap();
    let ours = Connector::new()
        .options(Options::new().send_limit(1000))
        .connect(server.local_addr())
        .await
        .unwrap();
    let mut theirs = within(server.accept()).await.unwrap();
    let mut sent = 0;
    while timeout(Duration::from_millis(200), ours.send(&note(sent)))
        .await
        .is_ok()
    {
        sent += 1;
        assert!(sent < 50_000_000);
    }
    // All that was not fetched is in the systems' buffers but for what the limits allow.
    let stats = theirs.stats();
    assert!(stats.messages_received < 10_000, "{stats:?}");
    let all = async {
        for number in 0..sent {
            assert_eq!(theirs.receive().await.unwrap(), note(number));
        }
    };
    timeout(6 * SOON, all).await.unwrap();
}

#[tokio::test]
async fn who_does_not_read_what_is_pushed_is_disconnected() {
    let server = PortServer::builder()
        .options(plain().send_limit(10_000))
        .bind()
        .await
        .unwrap();
    let _stuck = raw(server.local_addr()).await;
    let mut port = within(server.accept()).await.unwrap();
    assert_eq!(
        port.push(&parse(&[0xF4])),
        Err(Trouble::Undefined { status: 0xF4 })
    );
    let mut pushed = 0;
    let trouble = loop {
        match port.push(&note(pushed)) {
            Ok(()) => pushed += 1,
            Err(trouble) => break trouble,
        }
        if pushed.is_multiple_of(100) {
            tokio::task::yield_now().await;
        }
    };
    assert_eq!(trouble, Trouble::Overflowed);
    assert!(3 * pushed > 10_000, "{pushed}");
    // At once, before the driver has run.
    assert_eq!(port.push(&note(1)), Err(Trouble::Closed));
    assert!(within(port.receive()).await.is_none());
    let reason = port.close_reason().unwrap().reason;
    assert!(
        matches!(reason, CloseReason::Overflow { limit: 10_000 }),
        "{reason}"
    );
    assert_eq!(port.push(&note(1)), Err(Trouble::Closed));
}

#[tokio::test]
async fn who_is_thinned_out_ends_right_whoever_else_sends() {
    const LIMIT: usize = 10_000;
    let server = PortServer::builder()
        .options(plain().overflow(Overflow::Thin).send_limit(LIMIT))
        .bind()
        .await
        .unwrap();
    let mut slow = raw(server.local_addr()).await;
    let port = within(server.accept()).await.unwrap();
    // Not pushed, and yet it is known that the peer holds it.
    within(port.send(&parse(&[0x90, 60, 100]))).await.unwrap();
    port.try_send(&parse(&[0xB0, 64, 127])).unwrap();
    let mut dropped = 0;
    let mut pushed = 0;
    while dropped < 5_000 {
        for message in [
            note(1 + pushed % 50),
            parse(&[0xB0, 7, (pushed % 100) as u8]),
        ] {
            match port.push(&message) {
                Ok(()) => {}
                Err(Trouble::Dropped) => dropped += 1,
                Err(other) => panic!("{other}"),
            }
            pushed += 1;
        }
        if pushed.is_multiple_of(100) {
            tokio::task::yield_now().await;
        }
    }
    // These go through: they end what it holds.
    port.push(&parse(&[0x80, 60, 64])).unwrap();
    port.push(&parse(&[0xB0, 64, 0])).unwrap();
    assert_eq!(port.push(&parse(&[0xB0, 7, 127])), Err(Trouble::Dropped));
    assert_eq!(port.push(&parse(&[0xE0, 1, 2])), Err(Trouble::Dropped));
    // What is owed comes first.
    let full = port.try_send(&parse(&[0xFA])).unwrap_err();
    assert!(matches!(full, SendError::Full { limit: LIMIT }), "{full}");
    let last = parse(&[0xB0, 7, 1]);
    let mut heard = Vec::new();
    let read = async {
        let mut parser = StreamParser::new();
        let mut buffer = vec![0; 1 << 16];
        while heard.last() != Some(&last) {
            let count = slow.read(&mut buffer).await.unwrap();
            assert_ne!(count, 0);
            parser.feed(&buffer[..count], |event| {
                heard.push(event.message().expect("whole messages only").to_buf());
            });
        }
    };
    let sent = async {
        port.send(&last).await.unwrap();
        port.send(&last).await.unwrap();
    };
    within(async { tokio::join!(sent, read) }).await;
    let at = |octets: &[u8]| heard.iter().position(|it| it.to_vec() == octets);
    let owed = at(&[0xB0, 7, 127]).expect("the last value");
    assert!(at(&[0xE0, 1, 2]).is_some());
    assert!(at(&[0x80, 60, 64]).is_some_and(|off| off < owed));
    assert!(at(&[0xB0, 64, 0]).is_some_and(|up| up < owed));
    // Nothing but what was owed, and then what was sent.
    let volumes: Vec<_> = heard[owed..]
        .iter()
        .filter(|it| it.to_vec()[0] == 0xB0)
        .collect();
    assert!(volumes.len() >= 2 && *volumes[1] == last, "{volumes:?}");
    let stats = port.stats();
    assert_eq!(stats.messages_dropped, dropped + 2);
    assert!(stats.messages_restored >= 2, "{stats:?}");
    // And it goes on as if nothing had been.
    port.push(&note(3)).unwrap();
}
