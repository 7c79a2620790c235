//! Connections that are lost and come back, header lines, and other streams.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

mod stage;

use std::time::Duration;

use netmidi_message::MessageBuf;
use netmidi_tcp::{
    AtEnd, Backoff, CloseReason, Connector, Event, Header, Options, Overflow, PortServer,
    SendError, ServerEvent, SocketPort, Trouble, connect,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

use stage::{parse, within};

const QUICKLY: Backoff = Backoff {
    first: Duration::from_millis(10),
    longest: Duration::from_millis(50),
};

#[tokio::test]
async fn a_lost_connection_comes_back_by_itself() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let header = Header::new().field(Header::NAME, "piano").unwrap();
    let mut port = Connector::new()
        .reconnect(QUICKLY)
        .options(Options::new().header(header.clone()))
        .connect(address)
        .await
        .unwrap();
    let greeting = header.to_bytes();
    for round in 0..5 {
        let (mut raw, _) = within(listener.accept()).await.unwrap();
        if round > 0 {
            let event = within(port.next_event()).await.unwrap();
            assert!(
                matches!(event, Event::Reconnected { peer } if peer == address),
                "{event:?}"
            );
        }
        // Each connection begins with the header, and with nothing of the one before.
        port.send(&parse(&[0x90, round, 1])).await.unwrap();
        let mut octets = vec![0; greeting.len() + 3];
        within(raw.read_exact(&mut octets)).await.unwrap();
        assert_eq!(octets, [&greeting[..], &[0x90, round, 1]].concat());
        raw.write_all(&[0x90, 60 + round, 100, 0x80]).await.unwrap();
        drop(raw);
        let note = [0x90, 60 + round, 100];
        assert!(matches!(
            within(port.next_event()).await,
            Some(Event::Message(message)) if message == parse(&note)
        ));
        assert!(matches!(
            within(port.next_event()).await,
            Some(Event::Discarded(_))
        ));
        assert!(matches!(
            within(port.next_event()).await,
            Some(Event::Silence(message)) if message == parse(&[0x80, 60 + round, 64])
        ));
        let Some(Event::Disconnected(closed)) = within(port.next_event()).await else {
            panic!("not disconnected");
        };
        assert_eq!(closed.incomplete.unwrap().beginning, [0x80]);
        assert!(!port.closed());
        assert!(port.close_reason().is_none());
    }
    assert_eq!(port.stats().reconnects, 4);
    // With nobody there it is tried again and again, and closed at once.
    drop(listener);
    within(async {
        while !matches!(port.try_send(&parse(&[0xF8])), Err(SendError::NotConnected)) {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(port.push(&parse(&[0xF8])), Err(Trouble::NotConnected));
    sleep(Duration::from_millis(200)).await;
    let begun = Instant::now();
    assert!(matches!(
        within(port.close()).await.reason,
        CloseReason::Local
    ));
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn without_being_told_it_does_not_come_back() {
    let server = PortServer::bind(0).await.unwrap();
    let mut port = connect(server.local_addr()).await.unwrap();
    within(async {
        while server.clients().is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    server.clients()[0].disconnect();
    assert!(within(port.receive()).await.is_none());
    assert!(port.closed());
}

#[tokio::test]
async fn header_lines_are_sent_first_and_shown() {
    let of_server = Header::new().field(Header::NAME, "stage").unwrap();
    let of_client = Header::new().field(Header::SOFTWARE, "test 1").unwrap();
    let mut server = PortServer::builder()
        .options(Options::new().header(of_server.clone()))
        .bind()
        .await
        .unwrap();
    let mut port = Connector::new()
        .options(Options::new().header(of_client.clone()))
        .connect(server.local_addr())
        .await
        .unwrap();
    port.send(&parse(&[0xFA])).await.unwrap();
    let (client, message) = within(server.receive()).await.unwrap();
    assert_eq!(message, parse(&[0xFA]));
    assert_eq!(client.header(), Some(of_client));
    assert_eq!(server.send(&parse(&[0xFC])).reached(), 1);
    assert_eq!(within(port.receive()).await.unwrap(), parse(&[0xFC]));
    assert_eq!(port.peer_header(), Some(of_server));
    assert_eq!(port.stats().discards, 0);
}

#[tokio::test]
async fn any_stream_of_octets_will_do() {
    let (ours, mut theirs) = tokio::io::duplex(64);
    let nowhere = "127.0.0.1:1".parse().unwrap();
    let mut port = SocketPort::over(ours, nowhere, nowhere, Options::new().at_end(AtEnd::Leave));
    theirs.write_all(&[0x90, 1, 2, 3, 4]).await.unwrap();
    assert_eq!(within(port.receive()).await.unwrap(), parse(&[0x90, 1, 2]));
    assert_eq!(
        within(port.receive()).await.unwrap(),
        parse(&[0x90, 3, 4]),
        "running status"
    );
    let long = parse(&[&[0xF0][..], &[5; 10_000], &[0xF7]].concat());
    let mut read = vec![0; 10_002];
    let (sent, received) = within(async {
        tokio::join!(
            async {
                port.send(&long).await.unwrap();
                port.flush().await
            },
            theirs.read_exact(&mut read)
        )
    })
    .await;
    sent.unwrap();
    received.unwrap();
    assert_eq!(read, long.to_vec());
    let (closed, end) = within(async { tokio::join!(port.close(), theirs.read_u8()) }).await;
    assert!(end.is_err());
    assert!(matches!(closed.reason, CloseReason::Local));
}

/// Whoever goes on after our FIN, or never takes what was sent, does not hold a port for ever.
#[tokio::test]
async fn closing_ends_whatever_the_peer_does() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connector = Connector::new().options(
        Options::new()
            .close_timeout(Duration::from_millis(200))
            .send_limit(64 << 20),
    );
    let address = listener.local_addr().unwrap();
    // It never stops talking.
    let port = connector.connect(address).await.unwrap();
    let (mut chatty, _) = listener.accept().await.unwrap();
    let talking = tokio::spawn(async move {
        let octets = [0xF8; 1000];
        while chatty.write_all(&octets).await.is_ok() {}
    });
    sleep(Duration::from_millis(50)).await;
    let begun = Instant::now();
    within(port.close()).await;
    assert!(begun.elapsed() < Duration::from_secs(2));
    within(talking).await.unwrap();
    // It takes nothing.
    let port = connector.connect(address).await.unwrap();
    let (_deaf, _) = listener.accept().await.unwrap();
    let long = parse(&[&[0xF0][..], &vec![1; 32 << 20], &[0xF7]].concat());
    port.try_send(&long).unwrap();
    let begun = Instant::now();
    within(port.close()).await;
    assert!(begun.elapsed() < Duration::from_secs(2));
}

/// What hangs at a client when it misses messages is let go nevertheless, however it is thinned out.
#[tokio::test]
async fn a_client_that_comes_and_goes_leaves_nothing_behind() {
    let mut server = PortServer::builder()
        .options(Options::new().overflow(Overflow::Thin))
        .bind()
        .await
        .unwrap();
    for round in 0..200 {
        let mut raw = TcpStream::connect(server.local_addr()).await.unwrap();
        raw.write_all(&[0xB0, 64, 127, 0x90, 60, 1, 0xF0, 1])
            .await
            .unwrap();
        if round % 2 == 0 {
            socket2::SockRef::from(&raw)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
        }
        let mut seen = Vec::new();
        let mut raw = Some(raw);
        loop {
            match within(server.next_event()).await.unwrap() {
                ServerEvent::Message { message, .. } => {
                    seen.push(message);
                    if seen.len() == 2 {
                        raw = None;
                    }
                }
                ServerEvent::Silence { message, .. } => seen.push(message),
                ServerEvent::Disconnected { closed, .. } => {
                    assert_eq!(closed.incomplete.unwrap().beginning, [0xF0, 1]);
                    break;
                }
                _ => {}
            }
        }
        assert!(raw.is_none());
        seen.sort_by_key(MessageBuf::to_vec);
        let expected = [
            [0x80, 60, 64],
            [0x90, 60, 1],
            [0xB0, 64, 0],
            [0xB0, 64, 127],
        ];
        assert_eq!(seen, expected.map(|it| parse(&it)));
    }
    assert!(server.clients().is_empty());
}
