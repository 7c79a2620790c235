//! A bridge between RTP-MIDI and TCP, over real sockets on the loopback interface: our own client on the
//! one side, plain TCP streams on the other.

#![cfg(feature = "tcp")]
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures::StreamExt;
use netmidi::bridge::{Bridge, BridgeBuilder, BridgeEvent, BridgeStats, Circles, SameSide};
use netmidi::message::{
    Channel, ChannelMessage, Controller, Message, MessageBuf, Note, StreamParser, SysExBuf, U7,
};
use netmidi::tcp::{Backoff, Connector, Options, Overflow, PortServer};
use netmidi::{Client, Endpoint, Event, LeaveReason, Pacing, UndefinedCommands};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(20);
/// What has not come after this long does not come.
const A_WHILE: Duration = Duration::from_millis(300);
const WITHIN: Duration = Duration::from_millis(200);

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("in time")
}

fn here() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn builder() -> BridgeBuilder {
    Bridge::builder()
        .rtp(Endpoint::builder().name("bridge").listen(here()))
        .serve(PortServer::builder().listen(here()))
}

struct Bed {
    bridge: Bridge,
    rtp: SocketAddr,
    tcp: SocketAddr,
}

impl Bed {
    async fn new(builder: BridgeBuilder) -> Self {
        let bridge = builder.bind().await.unwrap();
        let rtp = bridge.rtp_addresses()[0].control;
        let tcp = bridge.tcp_addresses().first().copied();
        let tcp = tcp.unwrap_or_else(here);
        Self { bridge, rtp, tcp }
    }

    async fn client(&mut self, name: &str) -> Client {
        let client = Client::builder().name(name).local(here());
        let client = in_time(client.connect(self.rtp)).await.unwrap();
        self.until(|event| matches!(event, BridgeEvent::Rtp(Event::Connected { .. })))
            .await;
        client
    }

    async fn stream(&mut self) -> TcpStream {
        let stream = TcpStream::connect(self.tcp).await.unwrap();
        stream.set_nodelay(true).unwrap();
        self.until(|event| matches!(event, BridgeEvent::TcpConnected { .. }))
            .await;
        stream
    }

    async fn until(&mut self, is_it: impl Fn(&BridgeEvent) -> bool) -> BridgeEvent {
        in_time(async {
            loop {
                let event = self.bridge.next().await.unwrap();
                if is_it(&event) {
                    return event;
                }
            }
        })
        .await
    }

    async fn until_stats(&self, are_they: impl Fn(&BridgeStats) -> bool) -> BridgeStats {
        in_time(async {
            loop {
                let stats = self.bridge.stats();
                if are_they(&stats) {
                    return stats;
                }
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await
    }
}

async fn hears(client: &mut Client, expected: &[Message<'_>]) {
    for message in expected {
        let received = in_time(client.next()).await.unwrap();
        assert_eq!(received.message.as_message(), *message);
    }
}

/// What it hears until nothing comes for a while.
async fn hears_in_all(client: &mut Client) -> Vec<MessageBuf> {
    let mut all = Vec::new();
    in_time(async {
        while let Ok(Some(received)) = timeout(A_WHILE, client.next()).await {
            all.push(received.message);
        }
    })
    .await;
    all
}

async fn reads(stream: &mut TcpStream, expected: &[Message<'_>]) {
    let expected: Vec<u8> = expected.iter().flat_map(|it| it.to_vec()).collect();
    let mut octets = vec![0; expected.len()];
    in_time(stream.read_exact(&mut octets)).await.unwrap();
    assert!(octets == expected, "{octets:02x?} is not {expected:02x?}");
}

/// What it reads until nothing comes for a while.
async fn reads_in_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    in_time(async { while let Ok(Ok(1..)) = timeout(A_WHILE, stream.read_buf(&mut all)).await {} })
        .await;
    all
}

async fn writes(stream: &mut TcpStream, messages: &[Message<'_>]) {
    let octets: Vec<u8> = messages.iter().flat_map(|it| it.to_vec()).collect();
    in_time(stream.write_all(&octets)).await.unwrap();
}

fn on(note: u8, velocity: u8) -> Message<'static> {
    let (note, velocity) = (Note::new(note).unwrap(), U7::new(velocity).unwrap());
    ChannelMessage::note_on(Channel::C1, note, velocity).into()
}

fn off(note: u8) -> Message<'static> {
    let velocity = U7::new(64).unwrap();
    ChannelMessage::note_off(Channel::C1, Note::new(note).unwrap(), velocity).into()
}

/// Says nothing to any rule: what was played before it has been heard when it is.
fn marker(value: u8) -> Message<'static> {
    let (control, value) = (Controller::new(20).unwrap(), U7::new(value).unwrap());
    ChannelMessage::control_change(Channel::C16, control, value).into()
}

fn dump(octets: usize, fill: u8) -> MessageBuf {
    SysExBuf::new(vec![fill; octets]).unwrap().into()
}

/// One of every kind, without active sensing and what is undefined.
const KINDS: [&[u8]; 20] = [
    &[0x90, 60, 100],
    &[0xA0, 60, 1],
    &[0x80, 60, 3],
    &[0xB1, 7, 100],
    &[0xC2, 5],
    &[0xD3, 90],
    &[0xE4, 0, 65],
    &[0xF0, 0x7E, 0x7F, 6, 1, 0xF7],
    &[0xF0, 0xF7],
    &[0xF1, 0x12],
    &[0xF2, 1, 2],
    &[0xF3, 9],
    &[0xF6],
    &[0xFA],
    &[0xF8],
    &[0xFC],
    &[0xFB],
    &[0xB0, 64, 127],
    &[0xB0, 123, 0],
    &[0xFF],
];

#[tokio::test]
async fn all_kinds_of_messages_pass_both_ways_in_order() {
    let rtp = Endpoint::builder()
        .listen(here())
        .configure(|config| config.undefined = UndefinedCommands::Carry);
    let mut bed = Bed::new(builder().rtp(rtp)).await;
    let client = Client::builder()
        .local(here())
        .configure(|config| config.undefined = UndefinedCommands::Carry);
    let mut client = in_time(client.connect(bed.rtp)).await.unwrap();
    let mut one = bed.stream().await;
    let mut other = bed.stream().await;
    let kinds = KINDS.map(|octets| Message::parse(octets).unwrap());
    // Not these.
    for octets in [&[0xFE][..], &[0xF4], &[0xF5], &[0xF9], &[0xFD]] {
        client.send_now(Message::parse(octets).unwrap()).unwrap();
    }
    for message in kinds {
        client.send_now(message).unwrap();
    }
    reads(&mut one, &kinds).await;
    reads(&mut other, &kinds).await;
    let stats = bed.until_stats(|it| it.from_rtp == 25).await;
    assert_eq!((stats.active_sensing, stats.undefined), (1, 4));
    assert_eq!((stats.to_tcp, stats.to_rtp), (40, 0));

    in_time(one.write_all(&[0xFE, 0xF4, 0xF5, 0xF9, 0xFD]))
        .await
        .unwrap();
    writes(&mut one, &kinds).await;
    hears(&mut client, &kinds).await;
    writes(&mut other, &[marker(1)]).await;
    hears(&mut client, &[marker(1)]).await;
    client.send_now(marker(2)).unwrap();
    // Nothing came back, and nothing came from the same side.
    reads(&mut one, &[marker(2)]).await;
    reads(&mut other, &[marker(2)]).await;
    let stats = bed.until_stats(|it| it.to_tcp == 42).await;
    assert_eq!((stats.active_sensing, stats.to_rtp), (2, 21));
    assert_eq!((stats.rtp_peers, stats.tcp_peers), (1, 2));
}

#[tokio::test]
async fn long_system_exclusive_messages_pass_whole_and_do_not_mix() {
    let mut bed = Bed::new(builder()).await;
    let mut client = bed.client("a").await;
    let mut one = bed.stream().await;
    let mut other = bed.stream().await;
    let dumps = [dump(64 << 10, 1), dump(64 << 10, 2)];
    let octets = dumps.each_ref().map(|it| it.as_message().to_vec());
    // In turns, piece by piece.
    for (left, right) in octets[0].chunks(1000).zip(octets[1].chunks(1000)) {
        in_time(one.write_all(left)).await.unwrap();
        in_time(other.write_all(right)).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut heard = Vec::new();
    for _ in 0..2 {
        heard.push(in_time(client.next()).await.unwrap().message);
    }
    heard.sort_by_key(|it| it.as_message().to_vec());
    assert!(heard == dumps);

    client.send_now(dumps[0].as_message()).unwrap();
    client.send_now(marker(1)).unwrap();
    for stream in [&mut one, &mut other] {
        reads(stream, &[dumps[0].as_message(), marker(1)]).await;
    }
}

#[tokio::test]
async fn refused_system_exclusive_messages_are_counted() {
    let mut bed = Bed::new(builder().refuse_sysex()).await;
    let mut client = bed.client("a").await;
    let mut stream = bed.stream().await;
    let dump = dump(100, 1);
    client.send_now(dump.as_message()).unwrap();
    client.send_now(marker(1)).unwrap();
    reads(&mut stream, &[marker(1)]).await;
    writes(&mut stream, &[dump.as_message(), marker(2)]).await;
    hears(&mut client, &[marker(2)]).await;
    let stats = bed.until_stats(|it| it.to_rtp == 1).await;
    assert_eq!(stats.sysex_refused, 1);
}

#[tokio::test]
async fn notes_of_a_tcp_client_that_is_lost_end_once_unless_somebody_holds_them() {
    let mut bed = Bed::new(builder()).await;
    let mut client = bed.client("a").await;
    let mut one = bed.stream().await;
    let mut other = bed.stream().await;
    writes(&mut one, &[on(60, 100), on(61, 100)]).await;
    hears(&mut client, &[on(60, 100), on(61, 100)]).await;
    writes(&mut other, &[on(61, 50)]).await;
    hears(&mut client, &[on(61, 50)]).await;
    one.set_zero_linger().unwrap();
    drop(one);
    bed.until(|event| matches!(event, BridgeEvent::TcpDisconnected { .. }))
        .await;
    assert_eq!(hears_in_all(&mut client).await, [off(60).to_buf()]);
    writes(&mut other, &[off(61)]).await;
    assert_eq!(hears_in_all(&mut client).await, [off(61).to_buf()]);
}

#[tokio::test]
async fn notes_of_an_rtp_peer_that_leaves_end_once_unless_somebody_holds_them() {
    let mut bed = Bed::new(builder()).await;
    let a = bed.client("a").await;
    let b = bed.client("b").await;
    let mut stream = bed.stream().await;
    a.send_now(on(60, 100)).unwrap();
    a.send_now(on(61, 100)).unwrap();
    reads(&mut stream, &[on(60, 100), on(61, 100)]).await;
    b.send_now(on(61, 50)).unwrap();
    reads(&mut stream, &[on(61, 50)]).await;
    in_time(a.close()).await;
    bed.until(|event| matches!(event, BridgeEvent::Rtp(Event::Disconnected { .. })))
        .await;
    assert_eq!(reads_in_all(&mut stream).await, off(60).to_vec());
    b.send_now(off(61)).unwrap();
    assert_eq!(reads_in_all(&mut stream).await, off(61).to_vec());
}

#[tokio::test]
async fn those_on_one_side_play_together_where_asked_for() {
    let builder = builder()
        .rtp_peers(SameSide::Together)
        .tcp_peers(SameSide::Together);
    let mut bed = Bed::new(builder).await;
    let a = bed.client("a").await;
    let mut b = bed.client("b").await;
    let mut one = bed.stream().await;
    let mut other = bed.stream().await;
    a.send_now(on(60, 100)).unwrap();
    hears(&mut b, &[on(60, 100)]).await;
    reads(&mut one, &[on(60, 100)]).await;
    reads(&mut other, &[on(60, 100)]).await;
    writes(&mut one, &[on(60, 50)]).await;
    hears(&mut b, &[on(60, 50)]).await;
    reads(&mut other, &[on(60, 50)]).await;
    // It is held on the other side still; who holds it hears no other holder.
    a.send_now(off(60)).unwrap();
    a.send_now(marker(1)).unwrap();
    hears(&mut b, &[marker(1)]).await;
    reads(&mut one, &[off(60), marker(1)]).await;
    reads(&mut other, &[marker(1)]).await;
    writes(&mut one, &[off(60)]).await;
    hears(&mut b, &[off(60)]).await;
    reads(&mut other, &[off(60)]).await;
}

#[tokio::test]
async fn a_tcp_server_is_connected_to_whenever_it_is_there() {
    // Known, and not there yet.
    let listener = TcpListener::bind(here()).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let backoff = Backoff {
        first: Duration::from_millis(20),
        longest: Duration::from_millis(100),
    };
    let bridge = Bridge::builder()
        .rtp(Endpoint::builder().listen(here()))
        .connect(address.into())
        .backoff(backoff);
    let mut bed = Bed::new(bridge).await;
    let mut client = bed.client("a").await;
    sleep(A_WHILE).await;
    let stats = bed.bridge.stats();
    assert!(stats.connect_failures >= 2, "{stats:?}");
    for time in 0..3 {
        let listener = TcpListener::bind(address).await.unwrap();
        let (mut stream, _) = in_time(listener.accept()).await.unwrap();
        drop(listener);
        bed.until(|event| matches!(event, BridgeEvent::TcpConnected { .. }))
            .await;
        client.send_now(marker(time)).unwrap();
        reads(&mut stream, &[marker(time)]).await;
        writes(&mut stream, &[on(60 + time, 100)]).await;
        hears(&mut client, &[on(60 + time, 100)]).await;
        // Lost with a note on.
        stream.set_zero_linger().unwrap();
        drop(stream);
        hears(&mut client, &[off(60 + time)]).await;
        bed.until(|event| matches!(event, BridgeEvent::TcpDisconnected { .. }))
            .await;
    }
}

#[tokio::test]
async fn an_rtp_peer_is_invited() {
    let mut peer = Endpoint::builder()
        .name("peer")
        .listen(here())
        .bind()
        .await
        .unwrap();
    let address = peer.addresses()[0].control;
    let mut bed = Bed::new(builder().invite(address.into())).await;
    let mut stream = bed.stream().await;
    let handle = peer.handle();
    in_time(async { while !matches!(peer.next().await, Some(Event::Connected { .. })) {} }).await;
    bed.until_stats(|it| it.rtp_peers == 1).await;
    handle.send_to_all(marker(1)).unwrap();
    reads(&mut stream, &[marker(1)]).await;
    writes(&mut stream, &[marker(2)]).await;
    in_time(async {
        loop {
            if let Some(Event::Message { message, .. }) = peer.next().await {
                assert_eq!(message, marker(2).to_buf());
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn closing_ends_what_sounds_and_tells_everybody() {
    let mut bed = Bed::new(builder()).await;
    let mut client = bed.client("a").await;
    let mut stream = bed.stream().await;
    client.send_now(on(60, 100)).unwrap();
    reads(&mut stream, &[on(60, 100)]).await;
    writes(&mut stream, &[on(61, 100)]).await;
    hears(&mut client, &[on(61, 100)]).await;
    let dump = dump(64 << 10, 1);
    client.send_now(dump.as_message()).unwrap();
    bed.until_stats(|it| it.to_tcp == 2).await;
    let end = async {
        let mut octets = Vec::new();
        in_time(stream.read_to_end(&mut octets)).await.unwrap();
        let mut heard = Vec::new();
        let reason = in_time(async {
            loop {
                match client.next_event().await.unwrap() {
                    Event::Message { message, .. } => heard.push(message),
                    Event::Disconnected { reason, .. } => return reason,
                    _ => {}
                }
            }
        })
        .await;
        (octets, heard, reason)
    };
    let ((octets, heard, reason), ()) =
        futures::future::join(end, in_time(bed.bridge.close())).await;
    let expected = [dump.as_message().to_vec(), off(60).to_vec()].concat();
    assert!(octets == expected, "{} octets", octets.len());
    assert_eq!(heard, [off(61).to_buf()]);
    assert_eq!(reason, LeaveReason::Bye);
}

/// Two bridges that join the same two sides: what goes over one to the other side comes back over
/// the other.
async fn ring(circles: Circles) -> (Bed, Bed) {
    let mut first = Bed::new(builder().circles(circles)).await;
    let second = Bridge::builder()
        .rtp(Endpoint::builder().name("second").listen(here()))
        .invite(first.rtp.into())
        .connect(first.tcp.into())
        .circles(circles);
    let second = Bed::new(second).await;
    first
        .until(|event| matches!(event, BridgeEvent::Rtp(Event::Connected { .. })))
        .await;
    first.until_stats(|it| it.tcp_peers == 1).await;
    second
        .until_stats(|it| (it.rtp_peers, it.tcp_peers) == (1, 1))
        .await;
    (first, second)
}

fn played(bed: &Bed) -> u64 {
    let stats = bed.bridge.stats();
    stats.from_rtp + stats.from_tcp
}

#[tokio::test]
async fn a_ring_of_two_bridges_does_not_run_for_ever() {
    let circles = Circles::Break { within: WITHIN };
    let (mut first, second) = ring(circles).await;
    let mut client = first.client("a").await;
    let mut stream = first.stream().await;
    let mut expected = Vec::new();
    for note in 40..80 {
        client.send_now(on(note, 100)).unwrap();
        client.send_now(off(note)).unwrap();
        expected.extend([on(note, 100), off(note)]);
        sleep(Duration::from_millis(2)).await;
    }
    reads(&mut stream, &expected).await;
    assert!(reads_in_all(&mut stream).await.is_empty(), "once is enough");
    writes(&mut stream, &[on(1, 1), off(1)]).await;
    hears(&mut client, &[on(1, 1), off(1)]).await;
    assert!(hears_in_all(&mut client).await.is_empty());
    let before = (played(&first), played(&second));
    sleep(A_WHILE).await;
    assert_eq!((played(&first), played(&second)), before);
    let stats = first.bridge.stats();
    assert_eq!(stats.returned, 82, "{stats:?}");
    let told = |event: &BridgeEvent| matches!(event, BridgeEvent::Circle { dropped: true, .. });
    first.until(told).await;
}

#[tokio::test]
async fn a_ring_is_told_of_where_nothing_is_dropped() {
    let (mut first, _second) = ring(Circles::Tell).await;
    let client = first.client("a").await;
    client.send_now(marker(1)).unwrap();
    let told = |event: &BridgeEvent| matches!(event, BridgeEvent::Circle { dropped: false, .. });
    first.until(told).await;
    // It goes round, that is the point of the other setting.
    first.until_stats(|it| it.returned > 20).await;
}

#[tokio::test]
async fn programs_on_both_sides_that_echo_do_not_play_ping_pong() {
    let circles = Circles::Break { within: WITHIN };
    let mut bed = Bed::new(builder().circles(circles)).await;
    let mut player = bed.client("player").await;
    let mut client = bed.client("echo").await;
    let mut stream = bed.stream().await;
    let rtp_echo = tokio::spawn(async move {
        while let Some(received) = client.next().await {
            client.send_now(received.message.as_message()).unwrap();
        }
    });
    let tcp_echo = tokio::spawn(async move {
        let (mut from, mut to) = stream.split();
        let _ = tokio::io::copy(&mut from, &mut to).await;
    });
    for note in 40..60 {
        player.send_now(on(note, 100)).unwrap();
        player.send_now(off(note)).unwrap();
    }
    assert!(hears_in_all(&mut player).await.is_empty());
    let stats = bed.bridge.stats();
    assert_eq!((stats.from_rtp, stats.from_tcp), (40, 40), "{stats:?}");
    assert_eq!((stats.returned, stats.to_rtp, stats.to_tcp), (40, 0, 40));
    rtp_echo.abort();
    tcp_echo.abort();
}

#[tokio::test]
async fn ordinary_playing_is_not_hurt_where_circles_are_broken() {
    let circles = Circles::Break { within: WITHIN };
    let mut bed = Bed::new(builder().circles(circles)).await;
    let a = bed.client("a").await;
    let b = bed.client("b").await;
    let mut stream = bed.stream().await;
    let mut expected = Vec::new();
    // One who repeats a note as fast as he can, and a clock.
    for _ in 0..50 {
        for message in [on(60, 100), off(60), Message::parse(&[0xF8]).unwrap()] {
            a.send_now(message).unwrap();
            expected.push(message);
        }
    }
    reads(&mut stream, &expected).await;
    // Two who play the same key at the same time, not equally hard: it ends with the last.
    a.send_now(on(60, 100)).unwrap();
    reads(&mut stream, &[on(60, 100)]).await;
    b.send_now(on(60, 99)).unwrap();
    reads(&mut stream, &[on(60, 99)]).await;
    a.send_now(off(60)).unwrap();
    a.send_now(marker(1)).unwrap();
    reads(&mut stream, &[marker(1)]).await;
    b.send_now(off(60)).unwrap();
    reads(&mut stream, &[off(60)]).await;
    assert_eq!(bed.bridge.stats().returned, 0);
    // Two who play it equally hard: one of the two is lost, and none hangs.
    sleep(WITHIN).await;
    a.send_now(on(60, 100)).unwrap();
    reads(&mut stream, &[on(60, 100)]).await;
    b.send_now(on(60, 100)).unwrap();
    bed.until_stats(|it| it.returned == 1).await;
    a.send_now(off(60)).unwrap();
    reads(&mut stream, &[off(60)]).await;
    sleep(WITHIN).await;
    // Later it is his own again.
    b.send_now(on(60, 100)).unwrap();
    b.send_now(off(60)).unwrap();
    reads(&mut stream, &[on(60, 100), off(60)]).await;
}

#[tokio::test]
async fn a_tcp_client_that_floods_waits_and_others_do_not() {
    const FLOOD: usize = 64 << 20;
    let rtp = Endpoint::builder().listen(here()).configure(|config| {
        config.pacing = Some(Pacing {
            octets_per_second: 31_250,
            ..Pacing::DIN
        });
    });
    let mut bed = Bed::new(builder().rtp(rtp)).await;
    let mut client = bed.client("a").await;
    let mut stream = bed.stream().await;
    let mut quiet = bed.stream().await;
    let flood = tokio::spawn(async move {
        let octets = marker(0).to_vec().repeat(1000);
        let mut written = 0;
        while written < FLOOD {
            match timeout(A_WHILE, stream.write(&octets[written % 3..])).await {
                Ok(count) => written += count.unwrap(),
                // Nobody takes any more of it.
                Err(_) => return (stream, written),
            }
        }
        panic!("all of it was taken");
    });
    let (flooding, written) = in_time(flood).await.unwrap();
    assert!(written > 0);
    let begun = Instant::now();
    writes(&mut quiet, &[on(60, 100)]).await;
    in_time(async { while client.next().await.unwrap().message != on(60, 100).to_buf() {} }).await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    let stats = bed.bridge.stats();
    assert_eq!((stats.rtp_not_sent, stats.tcp_too_slow), (0, 0));
    assert!(stats.tcp_slowed_down > 0, "{stats:?}");
    // Not more of it was taken than may wait here and in the systems.
    assert!(stats.to_rtp < 400_000, "{stats:?}");
    // Who leaves in the middle of it leaves.
    drop(flooding);
    client.send_now(marker(9)).unwrap();
    reads(&mut quiet, &[marker(9)]).await;
    in_time(bed.bridge.close()).await;
}

#[tokio::test]
async fn many_long_messages_at_once_do_not_overflow_an_rtp_peer() {
    const DUMPS: usize = 12;
    // Together they are more than may wait.
    let rtp = Endpoint::builder()
        .listen(here())
        .configure(|config| config.max_queued_octets = 128 << 10);
    let mut bed = Bed::new(builder().rtp(rtp)).await;
    let mut client = bed.client("a").await;
    let mut streams = Vec::new();
    for number in 0..DUMPS {
        let mut stream = bed.stream().await;
        let dump = dump(32 << 10, u8::try_from(number).unwrap());
        streams.push(tokio::spawn(async move {
            writes(&mut stream, &[dump.as_message()]).await;
            stream
        }));
    }
    let mut heard = Vec::new();
    for _ in 0..DUMPS {
        heard.push(in_time(client.next()).await.unwrap().message);
    }
    heard.sort_by_key(|it| it.as_message().to_vec());
    let expected = (0..DUMPS).map(|it| dump(32 << 10, u8::try_from(it).unwrap()));
    assert!(heard.into_iter().eq(expected));
    assert_eq!(bed.bridge.stats().rtp_not_sent, 0);
}

#[tokio::test]
async fn a_tcp_client_that_takes_nothing_is_disconnected() {
    let server = PortServer::builder()
        .listen(here())
        .options(Options::new().send_limit(100 << 10));
    let builder = builder().serve(server).tcp_peers(SameSide::Together);
    let mut bed = Bed::new(builder).await;
    let _deaf = bed.stream().await;
    let mut player = bed.stream().await;
    let octets = dump(50 << 10, 1).as_message().to_vec();
    let playing = tokio::spawn(async move {
        loop {
            if player.write_all(&octets).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    });
    let gone =
        |event: &BridgeEvent| matches!(event, BridgeEvent::TcpDisconnected { too_slow: true, .. });
    bed.until(gone).await;
    playing.abort();
    assert_eq!(bed.bridge.stats().tcp_too_slow, 1);
    // The bridge goes on.
    let mut client = bed.client("a").await;
    let mut stream = bed.stream().await;
    writes(&mut stream, &[marker(1)]).await;
    in_time(async { while client.next().await.unwrap().message != marker(1).to_buf() {} }).await;
}

/// What a stream of messages leaves at who reads it: keys and pedals that are down, and values.
#[derive(Debug, Default, Eq, PartialEq)]
struct Left {
    down: BTreeSet<(u8, u8)>,
    values: BTreeMap<(u8, u8), u8>,
    program: Option<u8>,
    messages: usize,
}

impl Left {
    fn hear(&mut self, message: Message<'_>) {
        self.messages += 1;
        match message.to_vec()[..] {
            [0x90, key, _] => _ = self.down.insert((0x90, key)),
            [0x80, key, _] => _ = self.down.remove(&(0x90, key)),
            [0xB0, 64, value] => {
                let pedal = (0xB0, 64);
                let _ = match value {
                    0 => self.down.remove(&pedal),
                    _ => self.down.insert(pedal),
                };
            }
            [status @ (0xB0 | 0xBF), control, value] => {
                self.values.insert((status, control), value);
            }
            [0xC0, program] => self.program = Some(program),
            [0xF0, ..] => {}
            ref other => panic!("{other:02x?}"),
        }
    }
}

/// Reads until that is so, and no message is ever cut.
async fn hears_until(stream: &mut TcpStream, left: &mut Left, is_it: impl Fn(&Left) -> bool) {
    let mut parser = StreamParser::new();
    let mut buffer = vec![0; 1 << 16];
    in_time(async {
        while !is_it(left) {
            let count = stream.read(&mut buffer).await.unwrap();
            assert_ne!(count, 0, "it stays connected");
            parser.feed(&buffer[..count], |event| {
                left.hear(event.message().expect("whole messages only"));
            });
        }
    })
    .await;
}

/// A TCP client, and a server that is connected to, neither of which reads for a while, and one that does.
#[tokio::test]
async fn tcp_peers_that_are_slow_miss_messages_and_end_right_where_asked_for() {
    const MOST: Duration = Duration::from_secs(10);
    let options = Options::new().overflow(Overflow::Thin).send_limit(8 << 10);
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind(here()).unwrap();
    let listener = socket.listen(1).unwrap();
    let server = PortServer::builder()
        .listen(here())
        .options(options.clone());
    let builder = builder()
        .serve(server)
        .connector(Connector::new().options(options))
        .connect(listener.local_addr().unwrap().into())
        .tcp_peers(SameSide::Together);
    let mut bed = Bed::new(builder).await;
    let (mut slow_server, _) = in_time(listener.accept()).await.unwrap();
    let slow_client = TcpSocket::new_v4().unwrap();
    slow_client.set_recv_buffer_size(4096).unwrap();
    let mut slow_client = in_time(slow_client.connect(bed.tcp)).await.unwrap();
    let mut good = bed.stream().await;
    let mut client = bed.client("a").await;
    bed.until_stats(|it| (it.rtp_peers, it.tcp_peers) == (1, 3))
        .await;

    let pedal = |value| Message::parse(&[0xB0, 64, value]).unwrap().to_buf();
    client.send_now(on(60, 100)).unwrap();
    client.send_now(pedal(127).as_message()).unwrap();
    let mut truth = Left::default();
    hears_until(&mut good, &mut truth, |left| left.messages >= 2).await;
    // From both sides, until the slow ones have missed some thousand; the good one hears all of it.
    let dump = dump(4 << 10, 1);
    let begun = Instant::now();
    let mut round = 0_u8;
    while bed.bridge.stats().tcp_missed < 3_000 {
        assert!(begun.elapsed() < MOST, "{:?}", bed.bridge.stats());
        let (control, value) = (Controller::new(20).unwrap(), U7::new(round % 100).unwrap());
        let other = ChannelMessage::control_change(Channel::C1, control, value);
        for message in [other.into(), on(62, 100), off(62), dump.as_message()] {
            client.send_now(message).unwrap();
        }
        let count = truth.messages + 4;
        hears_until(&mut good, &mut truth, |left| left.messages >= count).await;
        round = round.wrapping_add(1);
    }
    let program = Message::parse(&[0xC0, 42]).unwrap();
    // The key was held when it began, and ends now.
    for message in [off(60), pedal(0).as_message(), program, marker(99)] {
        client.send_now(message).unwrap();
    }
    let is_last = |left: &Left| left.values.get(&(0xBF, 20)) == Some(&99);
    hears_until(&mut good, &mut truth, is_last).await;
    assert!(truth.down.is_empty() && truth.program == Some(42));
    for slow in [&mut slow_client, &mut slow_server] {
        let mut left = Left::default();
        hears_until(slow, &mut left, is_last).await;
        assert!(left.messages + 1_000 < truth.messages, "{left:?}");
        left.messages = truth.messages;
        assert_eq!(left, truth);
    }
    let stats = bed.bridge.stats();
    assert_eq!((stats.tcp_peers, stats.tcp_too_slow), (3, 0), "{stats:?}");
    // They play on, and hear everything again.
    writes(&mut slow_client, &[on(70, 100)]).await;
    hears(&mut client, &[on(70, 100)]).await;
    reads(&mut slow_server, &[on(70, 100)]).await;
    reads(&mut good, &[on(70, 100)]).await;
    client.send_now(marker(1)).unwrap();
    for stream in [&mut slow_client, &mut slow_server, &mut good] {
        reads(stream, &[marker(1)]).await;
    }
}

#[tokio::test]
async fn nobody_has_to_take_events() {
    let mut bed = Bed::new(builder()).await;
    let mut client = bed.client("a").await;
    let mut stream = bed.stream().await;
    for round in 0..100u8 {
        let many = vec![marker(round); 100];
        writes(&mut stream, &many).await;
        hears(&mut client, &many).await;
    }
    let stats = bed.until_stats(|it| it.to_rtp == 10_000).await;
    assert_eq!(stats.rtp_not_sent, 0);
    assert!(stats.events_missed > 5_000, "{stats:?}");
    let missed = |event: &BridgeEvent| matches!(event, BridgeEvent::Missed { .. });
    let playing = async {
        sleep(Duration::from_millis(50)).await;
        writes(&mut stream, &[marker(1)]).await;
    };
    futures::future::join(bed.until(missed), playing).await;
}
