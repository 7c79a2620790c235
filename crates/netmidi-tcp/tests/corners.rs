//! What happens seldom: runtimes that end, peers that leave in the middle, bounds that are reached.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::StreamExt;
use netmidi_message::{Message, MessageBuf};
use netmidi_tcp::{
    AtEnd, Backoff, CloseReason, Connector, Event, Options, PortServer, SendError, ServerEvent,
    SocketPort, SysEx, connect,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

const SOON: Duration = Duration::from_secs(10);

async fn within<F: Future>(future: F) -> F::Output {
    timeout(SOON, future).await.expect("it takes too long")
}

fn parse(octets: &[u8]) -> MessageBuf {
    Message::parse(octets).unwrap().to_buf()
}

#[test]
fn ports_end_with_the_runtime_that_serves_them() {
    let served = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (mut server, mut port, accepted) = served.block_on(async {
        let server = PortServer::bind(0).await.unwrap();
        let accepted = connect(server.local_addr()).await.unwrap();
        let theirs = server.accept().await.unwrap();
        let port = connect(server.local_addr()).await.unwrap();
        while server.clients().is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
        drop(accepted);
        (server, port, theirs)
    });
    let asking = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    asking.block_on(async {
        let handle = server.handle();
        let waiting = tokio::spawn(async move { handle.accept().await.is_err() });
        let receiving = tokio::spawn(async move { while server.receive().await.is_some() {} });
        sleep(Duration::from_millis(20)).await;
        served.shutdown_background();
        assert!(within(port.receive()).await.is_none());
        assert!(port.closed());
        let reason = port.close_reason().unwrap().reason;
        assert!(
            matches!(reason, CloseReason::Shutdown | CloseReason::Peer),
            "{reason}"
        );
        let error = within(port.send(&parse(&[0xF8]))).await.unwrap_err();
        assert!(matches!(error, SendError::Closed(_)), "{error}");
        within(port.close()).await;
        within(accepted.close()).await;
        within(receiving).await.unwrap();
        assert!(within(waiting).await.unwrap());
    });
}

fn flood() -> Vec<u8> {
    [0x90, 60, 100, 0x90, 60, 0].repeat(500_000)
}

/// Writes until the peer's system and ours take no more.
async fn write_all_there_is_room_for(stream: &TcpStream, octets: &[u8]) -> usize {
    let mut written = 0;
    loop {
        match timeout(Duration::from_millis(200), stream.writable()).await {
            Ok(ready) => ready.unwrap(),
            Err(_) => return written,
        }
        match stream.try_write(&octets[written % 6..]) {
            Ok(count) => written += count,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
}

#[tokio::test]
async fn a_peer_that_is_gone_and_that_nobody_hears_does_not_keep_its_place() {
    let options = Options::new()
        .receive_limit(4096)
        .close_timeout(Duration::from_millis(50));
    let server = PortServer::builder()
        .options(options)
        .max_clients(1)
        .bind()
        .await
        .unwrap();
    // It sends and leaves; the server only sends.
    for _ in 0..2 {
        let loud = TcpStream::connect(server.local_addr()).await.unwrap();
        write_all_there_is_room_for(&loud, &flood()).await;
        drop(loud);
        within(async {
            while !server.clients().is_empty() {
                let _ = server.send(&parse(&[0xF8]));
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
    let stats = server.stats();
    assert_eq!((stats.accepted, stats.refused_full), (2, 0), "{stats:?}");
}

#[tokio::test]
async fn a_port_that_only_sends_comes_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = Connector::new()
        .options(
            Options::new()
                .receive_limit(4096)
                .close_timeout(Duration::from_millis(50)),
        )
        .reconnect(Backoff {
            first: Duration::from_millis(10),
            longest: Duration::from_millis(50),
        })
        .connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (loud, _) = listener.accept().await.unwrap();
    write_all_there_is_room_for(&loud, &flood()).await;
    drop(loud);
    let back = async {
        loop {
            let _ = port.try_send(&parse(&[0xF8]));
            if let Ok(back) = timeout(Duration::from_millis(5), listener.accept()).await {
                break back.unwrap().0;
            }
        }
    };
    let mut back = within(back).await;
    while port.try_send(&parse(&[0xFA])).is_err() {
        sleep(Duration::from_millis(1)).await;
    }
    let mut octet = [0];
    within(back.read_exact(&mut octet)).await.unwrap();
    assert_eq!(octet, [0xFA]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_who_is_refused_is_told_of() {
    let mut server = PortServer::builder().max_clients(0).bind().await.unwrap();
    let address = server.local_addr();
    let begun = Instant::now();
    let mut rounds = 0;
    while begun.elapsed() < Duration::from_millis(500) {
        let coming = tokio::spawn(async move { TcpStream::connect(address).await });
        let event = within(server.next_event()).await.unwrap();
        assert!(matches!(event, ServerEvent::Refused { .. }), "{event:?}");
        let _ = coming.await.unwrap();
        rounds += 1;
    }
    assert!(rounds > 10);
}

/// A port, and what it is connected to.
async fn pair(options: Options) -> (SocketPort, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connector = Connector::new().options(options);
    let port = connector.connect(listener.local_addr().unwrap());
    let (port, accepted) = tokio::join!(port, listener.accept());
    (port.unwrap(), accepted.unwrap().0)
}

#[tokio::test]
async fn what_nobody_will_receive_is_thrown_away() {
    let (port, mut peer) = pair(Options::new().receive_limit(4096)).await;
    let (receiver, sender) = port.split();
    drop(receiver);
    let write = async {
        peer.write_all(&flood()).await.unwrap();
        peer.write_all(&flood()).await.unwrap();
    };
    within(write).await;
    // It is still sent to, and notices that it leaves.
    sender.send(&parse(&[0xF8])).await.unwrap();
    let mut octet = [0];
    within(peer.read_exact(&mut octet)).await.unwrap();
    drop(peer);
    within(async {
        while sender.try_send(&parse(&[0xF8])).is_ok() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_port_that_is_dropped_hears_its_peer_out() {
    let (port, mut peer) = pair(Options::new().receive_limit(4096)).await;
    write_all_there_is_room_for(&peer, &flood()).await;
    port.send(&parse(&[0x90, 1, 2])).await.unwrap();
    drop(port);
    within(peer.write_all(&flood())).await.unwrap();
    peer.shutdown().await.unwrap();
    let mut octets = Vec::new();
    within(peer.read_to_end(&mut octets)).await.unwrap();
    assert_eq!(octets, [0x90, 1, 2]);

    // So does a server.
    let server = PortServer::builder()
        .options(Options::new().receive_limit(4096))
        .bind()
        .await
        .unwrap();
    let mut peer = TcpStream::connect(server.local_addr()).await.unwrap();
    write_all_there_is_room_for(&peer, &flood()).await;
    assert_eq!(server.send(&parse(&[0x90, 1, 2])).reached(), 1);
    drop(server);
    within(peer.write_all(&flood())).await.unwrap();
    peer.shutdown().await.unwrap();
    let mut octets = Vec::new();
    within(peer.read_to_end(&mut octets)).await.unwrap();
    assert_eq!(octets, [0x90, 1, 2]);
}

#[tokio::test]
async fn what_was_sent_before_close_goes_to_a_peer_that_has_finished() {
    let (port, mut peer) = pair(Options::new()).await;
    let sysex = parse(&[&[0xF0][..], &vec![1; 16 << 20], &[0xF7]].concat());
    port.send(&sysex).await.unwrap();
    let closing = tokio::spawn(port.close());
    sleep(Duration::from_millis(20)).await;
    peer.shutdown().await.unwrap();
    sleep(Duration::from_millis(20)).await;
    let mut octets = Vec::new();
    within(peer.read_to_end(&mut octets)).await.unwrap();
    assert_eq!(octets.len(), sysex.to_vec().len());
    let closed = within(closing).await.unwrap();
    assert!(matches!(closed.reason, CloseReason::Local), "{closed}");
}

#[tokio::test]
async fn flush_does_not_say_that_what_was_lost_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = Connector::new()
        .reconnect(Backoff::default())
        .connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (peer, _) = listener.accept().await.unwrap();
    let sysex = parse(&[&[0xF0][..], &vec![1; 16 << 20], &[0xF7]].concat());
    port.send(&sysex).await.unwrap();
    let (flushed, ()) = tokio::join!(within(port.flush()), async {
        sleep(Duration::from_millis(20)).await;
        drop(peer);
    });
    assert!(
        matches!(flushed, Err(SendError::NotConnected)),
        "{flushed:?}"
    );
}

#[tokio::test]
async fn flush_waits_for_what_a_stream_keeps_to_itself() {
    /// Takes everything, and gives it on when it is flushed and may.
    struct Hoarder {
        inner: tokio::io::DuplexStream,
        kept: Vec<u8>,
    }
    impl AsyncRead for Hoarder {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<std::io::Result<()>> {
            Pin::new(&mut self.inner).poll_read(cx, buffer)
        }
    }
    impl AsyncWrite for Hoarder {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            octets: &[u8],
        ) -> Poll<std::io::Result<usize>> {
            self.kept.extend_from_slice(octets);
            Poll::Ready(Ok(octets.len()))
        }
        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            let Self { inner, kept } = &mut *self;
            while !kept.is_empty() {
                let count = std::task::ready!(Pin::new(&mut *inner).poll_write(cx, kept))?;
                kept.drain(..count);
            }
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<std::io::Result<()>> {
            std::task::ready!(self.as_mut().poll_flush(cx))?;
            Pin::new(&mut self.inner).poll_shutdown(cx)
        }
    }
    let (ours, mut peer) = tokio::io::duplex(4);
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let hoarder = Hoarder {
        inner: ours,
        kept: Vec::new(),
    };
    let port = SocketPort::over(hoarder, nowhere, nowhere, Options::new());
    for _ in 0..3 {
        port.send(&parse(&[0x90, 1, 2])).await.unwrap();
    }
    let early = timeout(Duration::from_millis(50), port.flush()).await;
    assert!(early.is_err(), "five octets are still on this side");
    let mut octets = [0; 5];
    within(peer.read_exact(&mut octets)).await.unwrap();
    within(port.flush()).await.unwrap();
}

#[tokio::test]
async fn who_comes_and_goes_does_not_fill_a_port_that_only_sends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut port = Connector::new()
        .options(Options::new().receive_limit(4096))
        .reconnect(Backoff {
            first: Duration::from_micros(100),
            longest: Duration::from_micros(100),
        })
        .connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    for _ in 0..300 {
        drop(within(listener.accept()).await.unwrap());
    }
    let (mut peer, _) = within(listener.accept()).await.unwrap();
    peer.write_all(&[0x90, 1, 2]).await.unwrap();
    // The first ends and the last are told, in turn, and what came is received.
    let mut away = false;
    let mut ends = 0;
    loop {
        match within(port.next_event()).await.unwrap() {
            Event::Disconnected(_) if !away => {
                away = true;
                ends += 1;
            }
            Event::Reconnected { .. } if away => away = false,
            Event::Message(message) if !away => break assert_eq!(message, parse(&[0x90, 1, 2])),
            other => panic!("{other:?}"),
        }
    }
    assert!((5..100).contains(&ends), "{ends}");
    assert_eq!(port.stats().reconnects, 300);
}

#[tokio::test]
async fn times_without_end_are_allowed() {
    let options = Options::new()
        .idle_timeout(Duration::MAX)
        .close_timeout(Duration::MAX)
        .keepalive(Some(Duration::MAX));
    let server = PortServer::builder()
        .options(options.clone())
        .bind()
        .await
        .unwrap();
    let mut port = Connector::new()
        .options(options)
        .timeout(Duration::MAX)
        .reconnect(Backoff {
            first: Duration::MAX,
            longest: Duration::MAX,
        })
        .connect(server.local_addr())
        .await
        .unwrap();
    let mut theirs = within(server.accept()).await.unwrap();
    port.send(&parse(&[0xF8])).await.unwrap();
    assert_eq!(within(theirs.receive()).await, Some(parse(&[0xF8])));
    let closed = within(theirs.close()).await;
    assert!(matches!(closed.reason, CloseReason::Local), "{closed}");
    let event = within(port.next_event()).await;
    assert!(matches!(event, Some(Event::Disconnected(_))), "{event:?}");
    let closed = within(port.close()).await;
    assert!(matches!(closed.reason, CloseReason::Local), "{closed}");
}

#[tokio::test]
async fn no_room_at_all_is_room_for_one_read() {
    let (mut port, mut peer) = pair(Options::new().receive_limit(0).send_limit(0)).await;
    for number in 0..5 {
        peer.write_all(&[0x90, number, 1]).await.unwrap();
        assert_eq!(
            within(port.receive()).await,
            Some(parse(&[0x90, number, 1]))
        );
    }
}

#[tokio::test]
async fn asking_a_server_does_not_make_it_forget_who_waits() {
    let mut server = PortServer::bind(0).await.unwrap();
    let port = connect(server.local_addr()).await.unwrap();
    let mut asked = false;
    let received = tokio::spawn(std::future::poll_fn(move |cx| {
        let received = server.poll_next_unpin(cx);
        if received.is_pending() && !asked {
            asked = true;
            // Comes to nothing, and then the message comes.
            assert!(server.try_receive().is_none());
        }
        received
    }));
    sleep(Duration::from_millis(50)).await;
    port.send(&parse(&[0x90, 1, 2])).await.unwrap();
    let received = within(received).await.unwrap();
    assert_eq!(received.unwrap().1, parse(&[0x90, 1, 2]));
}

#[tokio::test]
async fn a_message_that_was_refused_and_ended_is_not_cut() {
    let options = Options::new().sysex(SysEx::Refuse).at_end(AtEnd::Leave);
    let (mut port, mut peer) = pair(options).await;
    peer.write_all(&[0xF0, 1, 2, 3, 0xF7, 0xF4]).await.unwrap();
    drop(peer);
    assert_eq!(within(port.receive()).await, Some(parse(&[0xF4])));
    assert!(within(port.receive()).await.is_none());
    let closed = port.close_reason().unwrap();
    assert!(closed.incomplete.is_none(), "{closed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_that_a_sender_comes_upon_first_is_one() {
    for round in 0..300 {
        let (mut port, peer) = pair(Options::new()).await;
        let leaving = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(round));
            peer.set_zero_linger().unwrap();
            drop(peer);
        });
        while port.try_send(&parse(&[0xF8])).is_ok() {}
        leaving.join().unwrap();
        assert!(within(port.receive()).await.is_none());
        let closed = port.close_reason().unwrap();
        assert!(matches!(closed.reason, CloseReason::Reset), "{closed}");
    }
}
