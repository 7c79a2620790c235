//! An endpoint on loopback sockets: ports, messages both ways, slow users, the end.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use futures::StreamExt;
use netmidi::message::{Message, SysEx};
use netmidi::{
    Config, Endpoint, Error, Event, Handler, JournalPolicy, LeaveReason, Origin, PairAddresses,
    Peer, Port, SendError, Time,
};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

async fn endpoint(change: impl FnOnce(&mut Config)) -> (Endpoint, PairAddresses) {
    let endpoint = Endpoint::builder()
        .name("ours")
        .listen("127.0.0.1:0".parse().unwrap())
        // Most of these tests are about the list alone.
        .journal(JournalPolicy::Off)
        .configure(change)
        .bind()
        .await
        .unwrap();
    let addresses = endpoint.addresses()[0];
    (endpoint, addresses)
}

/// A peer with one socket for both ports.
struct Client {
    socket: UdpSocket,
    ssrc: u32,
    seq: u16,
    to: PairAddresses,
}

impl Client {
    fn new(ssrc: u32, to: PairAddresses) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        Self {
            socket,
            ssrc,
            seq: 1,
            to,
        }
    }

    fn invite(&self, to: SocketAddr) {
        let mut packet = b"\xFF\xFFIN\0\0\0\x02\0\0\0\x07".to_vec();
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend(b"client\0");
        self.socket.send_to(&packet, to).unwrap();
    }

    /// The next datagram but feedback, `None` when none comes.
    async fn receive(&self) -> Option<Vec<u8>> {
        let mut buffer = [0; 2048];
        for _ in 0..500 {
            match self.socket.recv(&mut buffer) {
                Ok(_) if buffer[..4] == *b"\xFF\xFFRS" => {}
                Ok(len) => return Some(buffer[..len].to_vec()),
                Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
        None
    }

    async fn join(&self) {
        for to in [self.to.control, self.to.data] {
            self.invite(to);
            let answer = self.receive().await.expect("an answer");
            assert_eq!(answer[2..4], *b"OK");
        }
    }

    fn acknowledge(&self, seq: u16) {
        let mut packet = b"\xFF\xFFRS".to_vec();
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend(seq.to_be_bytes());
        packet.extend([0, 0]);
        self.socket.send_to(&packet, self.to.control).unwrap();
    }

    fn play(&mut self, list: &[u8]) {
        self.play_with(list, &[]);
    }

    fn play_with(&mut self, list: &[u8], journal: &[u8]) {
        let mut packet = vec![0x80, 0x61];
        packet.extend(self.seq.to_be_bytes());
        packet.extend([0; 4]);
        packet.extend(self.ssrc.to_be_bytes());
        let has_journal = if journal.is_empty() { 0 } else { 0x40 };
        packet.push(has_journal | u8::try_from(list.len()).unwrap());
        packet.extend(list);
        packet.extend(journal);
        self.seq += 1;
        self.socket.send_to(&packet, self.to.data).unwrap();
    }
}

async fn next(endpoint: &mut Endpoint) -> Option<Event> {
    timeout(PATIENCE, endpoint.next())
        .await
        .expect("an event or the end in time")
}

#[tokio::test]
async fn every_event_comes_out_however_small_the_queue() {
    let (mut endpoint, addresses) = endpoint(|config| {
        config.max_queued_events = 2;
        // No timer comes to the rescue.
        config.ready_timeout = Duration::from_secs(60);
        config.invitation_timeout = Duration::from_secs(60);
    })
    .await;
    let mut client = Client::new(1, addresses);
    client.join().await;
    assert!(matches!(
        next(&mut endpoint).await,
        Some(Event::Connected { .. })
    ));
    // Ten messages, nobody reads: some wait for the reader, some for the queue, some are dropped.
    for _ in 0..2 {
        client.play(&[0xF8, 0, 0xF8, 0, 0xF8, 0, 0xF8, 0, 0xF8]);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut told = 0;
    while told < 10 {
        match next(&mut endpoint).await {
            Some(Event::Message { .. }) => told += 1,
            Some(Event::Overflow { dropped, .. }) => told += dropped,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(told, 10);
}

#[tokio::test]
async fn whoever_connected_is_reported_gone_before_the_stream_ends() {
    let (mut endpoint, addresses) = endpoint(|config| config.max_queued_events = 2).await;
    for ssrc in 1..=2 {
        Client::new(ssrc, addresses).join().await;
    }
    // Two events wait, more do not fit.
    endpoint.handle().close();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (mut came, mut went) = (0, 0);
    while let Some(event) = next(&mut endpoint).await {
        match event {
            Event::Connected { .. } => came += 1,
            Event::Disconnected { .. } => went += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((came, went), (2, 2));
}

#[tokio::test]
async fn messages_that_cannot_be_sent_do_not_pile_up() {
    const LIMIT: usize = 8;
    let (mut endpoint, addresses) = endpoint(|config| {
        config.max_queued_events = LIMIT;
        config.max_queued_octets = 500;
    })
    .await;
    let client = Client::new(1, addresses);
    client.join().await;
    let Some(Event::Connected { peer }) = next(&mut endpoint).await else {
        panic!("nobody connected");
    };
    // More than may wait, so every one of them fails.
    let data = [0; 1000];
    let dump = Message::from(SysEx::new(&data).unwrap());
    let handle = endpoint.handle();
    for _ in 0..100 {
        for _ in 0..10 {
            handle.send(peer.id, dump).unwrap();
        }
        tokio::task::yield_now().await;
    }
    handle.close();
    let (mut told, mut dropped) = (0, 0);
    while let Some(event) = next(&mut endpoint).await {
        match event {
            Event::NotSent { .. } => told += 1,
            Event::NotSentUntold { count } => dropped += count,
            Event::Disconnected { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(told <= LIMIT, "{told} events in a queue of {LIMIT}");
    assert_eq!(told as u64 + dropped, 1000, "each is accounted for");
}

#[test]
fn the_stream_ends_when_the_runtime_does() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let first = runtime();
    let (mut endpoint, _) = first.block_on(endpoint(|_| {}));
    let handle = endpoint.handle();
    drop(first);
    assert!(
        handle
            .send_to_all(Message::parse(&[0xF8]).unwrap())
            .is_err()
    );
    assert_eq!(runtime().block_on(next(&mut endpoint)), None);
}

#[tokio::test]
async fn a_flood_on_one_socket_does_not_hold_up_the_others() {
    const FLOOD: usize = 200;
    let (_endpoint, addresses) = endpoint(|_| {}).await;
    let client = Client::new(1, addresses);
    // The endpoint's task has not run yet. Data invitations out of nowhere are answered NO.
    for _ in 0..FLOOD {
        client.invite(addresses.data);
    }
    client.invite(addresses.control);
    let mut before = 0;
    loop {
        let answer = client.receive().await.expect("an answer");
        if answer[2..4] == *b"OK" {
            break;
        }
        before += 1;
    }
    assert!(before < FLOOD, "the control port came last");
}

#[tokio::test]
async fn a_long_dump_leaves_time_for_others() {
    let (mut endpoint, addresses) = endpoint(|config| config.ready_timeout = Duration::ZERO).await;
    let client = Client::new(1, addresses);
    client.join().await;
    let Some(Event::Connected { peer }) = next(&mut endpoint).await else {
        panic!("nobody connected");
    };
    let data = vec![0; 2 << 20];
    let dump = Message::from(SysEx::new(&data).unwrap());
    endpoint.handle().send(peer.id, dump).unwrap();
    // A reader on the same thread, with a socket buffer for a twentieth of it.
    let mut received = 0;
    let mut buffer = [0; 2048];
    for _ in 0..1000 {
        tokio::task::yield_now().await;
        while let Ok(len) = client.socket.recv(&mut buffer) {
            // Header, length, head and tail of the segment.
            received += len - 12 - 2 - 2;
        }
    }
    assert_eq!(received, data.len());
}

#[test]
fn ports_are_free_when_the_stream_has_ended() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let (opened, endpoints) = std::sync::mpsc::channel();
    let driver = std::thread::spawn(move || {
        runtime().block_on(async {
            for _ in 0..200 {
                opened.send(endpoint(|_| {}).await).unwrap();
                // Long enough for the other thread to close it.
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        });
    });
    let reader = runtime();
    for (mut endpoint, addresses) in endpoints {
        endpoint.handle().close();
        assert_eq!(reader.block_on(next(&mut endpoint)), None);
        for address in [addresses.control, addresses.data] {
            UdpSocket::bind(address).unwrap();
        }
    }
    driver.join().unwrap();
}

#[tokio::test]
async fn deadlines_are_kept_when_nothing_comes_in() {
    let (mut endpoint, addresses) = endpoint(|config| {
        config.silence_timeout = Duration::from_millis(300);
        config.ready_timeout = Duration::from_millis(100);
    })
    .await;
    let client = Client::new(1, addresses);
    client.join().await;
    let Some(Event::Connected { peer }) = next(&mut endpoint).await else {
        panic!("nobody connected");
    };
    endpoint
        .handle()
        .send(peer.id, Message::parse(&[0xF8]).unwrap())
        .unwrap();
    let midi = client.receive().await.expect("MIDI once the peer is ready");
    assert_eq!(midi[12..], [1, 0xF8]);
    assert!(matches!(
        next(&mut endpoint).await,
        Some(Event::Disconnected { .. })
    ));
}

#[tokio::test]
async fn what_a_lost_packet_did_is_put_right() {
    let (mut endpoint, addresses) = endpoint(|_| {}).await;
    let mut client = Client::new(1, addresses);
    client.join().await;
    let peer = connected(&mut endpoint).await;
    // Note 60 is on; its end is lost, and the next packet's journal tells so (chapter N).
    client.play(&[0x90, 60, 100]);
    client.seq += 1;
    let journal = [0x20, 0, 1, 0, 6, 0x08, 0x00, 0x77, 0x08];
    client.play_with(&[0xF8], &journal);
    // Note 62 is left on.
    client.play(&[0x90, 62, 100]);
    let mut heard = Vec::new();
    for _ in 0..5 {
        heard.push(match next(&mut endpoint).await {
            Some(Event::Message {
                message, origin, ..
            }) => (origin, message.to_vec()),
            Some(Event::Lost {
                packets: 1,
                covered: true,
                repaired: 1,
                ..
            }) => continue,
            other => panic!("{other:?}"),
        });
    }
    endpoint.handle().disconnect(peer.id).unwrap();
    if let Some(Event::Message {
        message, origin, ..
    }) = next(&mut endpoint).await
    {
        heard.push((origin, message.to_vec()));
    }
    let expected = [
        (Origin::Live, vec![0x90, 60, 100]),
        (Origin::Repaired, vec![0x80, 60, 64]),
        (Origin::Live, vec![0xF8]),
        (Origin::Live, vec![0x90, 62, 100]),
        (Origin::Silence, vec![0x80, 62, 64]),
    ];
    assert_eq!(heard, expected);
    assert!(matches!(
        next(&mut endpoint).await,
        Some(Event::Disconnected { .. })
    ));
}

/// An RTP packet: its number and what follows the header.
fn midi(octets: &[u8]) -> (u16, &[u8]) {
    assert_eq!(octets[0], 0x80, "{octets:02x?}");
    (u16::from_be_bytes([octets[2], octets[3]]), &octets[12..])
}

#[tokio::test]
async fn a_note_is_guarded_until_it_is_acknowledged_and_journals_can_be_switched_off() {
    let (mut endpoint, addresses) = endpoint(|config| config.journal = JournalPolicy::Auto).await;
    let mut client = Client::new(1, addresses);
    client.join().await;
    let peer = connected(&mut endpoint).await;
    let handle = endpoint.handle();
    // The first packet makes MIDI flow; what answers it introduces journals.
    client.play(&[0xF8]);
    let introduction = client.receive().await.unwrap();
    let (first, payload) = midi(&introduction);
    assert_eq!(payload[..2], [0x40, 0]);
    client.acknowledge(first);
    tokio::time::sleep(Duration::from_millis(20)).await;

    let note = Message::parse(&[0x90, 60, 100]).unwrap();
    handle.send(peer.id, note).unwrap();
    // The note, and as nobody acknowledges it, its guard.
    let mut sent = Vec::new();
    while sent.len() < 2 {
        let packet = client.receive().await.unwrap();
        let (seq, payload) = midi(&packet);
        // An introduction may have been on its way.
        if payload[..2] != [0x40, 0] || !sent.is_empty() {
            sent.push((seq, payload.to_vec()));
        }
    }
    assert_eq!(sent[0].1[..4], [0x43, 0x90, 60, 100]);
    assert_eq!(sent[1].0, sent[0].0.wrapping_add(1));
    assert_eq!(sent[1].1[..2], [0x40, 0x20], "a journal with a channel");
    client.acknowledge(sent[1].0);
    let stats = handle.stats().await.unwrap();
    assert!(stats.peers[0].counters.guards_sent >= 2);
    assert_eq!(stats.peers[0].counters.feedback_sent, 1, "about the clock");

    handle.set_journal(peer.id, JournalPolicy::Off).unwrap();
    handle.send(peer.id, note).unwrap();
    loop {
        let packet = client.receive().await.unwrap();
        let (_, payload) = midi(&packet);
        if payload[0] & 0x0F > 0 {
            assert_eq!(payload, [3, 0x90, 60, 100]);
            break;
        }
    }
    assert_eq!(client.receive().await, None, "no guard");
    handle.disconnect(peer.id).unwrap();
    assert!(matches!(
        handle.set_journal(peer.id, JournalPolicy::Full),
        Err(SendError::NotConnected { .. })
    ));
}

#[tokio::test]
async fn closing_takes_its_time_and_no_more() {
    let (mut endpoint, addresses) = endpoint(|config| config.ready_timeout = Duration::ZERO).await;
    let client = Client::new(1, addresses);
    client.join().await;
    let Some(Event::Connected { peer }) = next(&mut endpoint).await else {
        panic!("nobody connected");
    };
    endpoint
        .handle()
        .send(peer.id, Message::parse(&[0xF8]).unwrap())
        .unwrap();
    timeout(PATIENCE, endpoint.close()).await.expect("closed");
    let mut heard = Vec::new();
    while let Ok(Some(datagram)) = timeout(Duration::from_millis(50), client.receive()).await {
        heard.push(datagram[..4].to_vec());
    }
    assert_eq!(heard.len(), 3);
    assert_eq!(heard[1..], [b"\xFF\xFFBY".to_vec(), b"\xFF\xFFBY".to_vec()]);
}

/// A control port that is free, with its neighbour.
fn free_pair() -> (UdpSocket, UdpSocket) {
    for _ in 0..100 {
        let control = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = control.local_addr().unwrap().port();
        if port.is_multiple_of(2)
            && let Ok(data) = UdpSocket::bind(("127.0.0.1", port + 1))
        {
            return (control, data);
        }
    }
    panic!("no two free neighbouring ports");
}

async fn refused(listen: SocketAddr) -> Error {
    Endpoint::builder()
        .listen(listen)
        .bind()
        .await
        .map(drop)
        .unwrap_err()
}

#[tokio::test]
async fn a_taken_port_is_named_with_its_address() {
    let (control, data) = free_pair();
    let address = control.local_addr().unwrap();
    drop(control);
    let above = data.local_addr().unwrap();
    let error = refused(address).await;
    assert!(
        matches!(&error, Error::Bind { port: Port::Data, address, .. } if *address == above),
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        format!(
            "cannot listen on {above}, the data port: it is taken, and it must be the one above \
             the control port; end the program that holds it or choose another control port"
        )
    );
    drop(data);
    let control = UdpSocket::bind(address).unwrap();
    let error = refused(address).await;
    assert_eq!(
        error.to_string(),
        format!(
            "cannot listen on {address}, the control port: it is taken; end the program that \
             holds it or choose another port"
        )
    );
    drop(control);
    let error = refused("127.0.0.1:65535".parse().unwrap()).await;
    assert!(matches!(error, Error::NoDataPort { .. }), "{error:?}");
    let error = refused("192.0.2.1:5004".parse().unwrap()).await;
    assert!(
        error.to_string().contains("no interface of this machine"),
        "{error}"
    );
}

#[tokio::test]
async fn port_0_finds_an_even_port_with_its_neighbour() {
    let mut builder = Endpoint::builder();
    for _ in 0..20 {
        builder = builder.listen("127.0.0.1:0".parse().unwrap());
    }
    let endpoint = builder.bind().await.unwrap();
    assert_eq!(endpoint.addresses().len(), 20);
    for pair in endpoint.addresses() {
        assert_eq!(pair.control.port() % 2, 0);
        assert_eq!(pair.data.port(), pair.control.port() + 1);
    }
}

/// The peer that connects next.
async fn connected(endpoint: &mut Endpoint) -> std::sync::Arc<Peer> {
    match next(endpoint).await {
        Some(Event::Connected { peer }) => peer,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn ipv4_peers_of_an_ipv6_socket_keep_their_own_address() {
    // A socket that takes both families, as `[::]` is, but from this machine alone.
    let mut endpoint = Endpoint::builder()
        .listen("[::ffff:127.0.0.1]:0".parse().unwrap())
        .journal(JournalPolicy::Off)
        .bind()
        .await
        .unwrap();
    let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let mut to = endpoint.addresses()[0];
    assert!(to.control.is_ipv6());
    (to.control, to.data) = (at(to.control.port()), at(to.data.port()));
    let mut client = Client::new(1, to);
    client.join().await;
    let peer = connected(&mut endpoint).await;
    assert_eq!(peer.data, client.socket.local_addr().unwrap());
    client.play(&[0xF8]);
    assert!(matches!(
        next(&mut endpoint).await,
        Some(Event::Message { .. })
    ));
    endpoint
        .handle()
        .send(peer.id, Message::parse(&[0xFA]).unwrap())
        .unwrap();
    assert_eq!(client.receive().await.unwrap()[12..], [1, 0xFA]);
}

#[tokio::test]
async fn ipv6_peers_are_heard() {
    let listen = Endpoint::builder()
        .listen("[::1]:0".parse().unwrap())
        .bind()
        .await;
    let mut endpoint = match listen {
        Ok(endpoint) => endpoint,
        // A machine without IPv6 has no such address.
        Err(Error::Bind { source, .. }) => {
            assert_ne!(source.kind(), std::io::ErrorKind::AddrInUse, "{source}");
            return;
        }
        Err(other) => panic!("{other}"),
    };
    let socket = UdpSocket::bind("[::1]:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut client = Client {
        socket,
        ..Client::new(2, endpoint.addresses()[0])
    };
    client.join().await;
    let peer = connected(&mut endpoint).await;
    assert_eq!(peer.control, client.socket.local_addr().unwrap());
    client.play(&[0xF8]);
    assert!(matches!(
        next(&mut endpoint).await,
        Some(Event::Message { .. })
    ));
}

#[tokio::test]
async fn several_pairs_are_one_endpoint() {
    let mut endpoint = Endpoint::builder()
        .listen("127.0.0.1:0".parse().unwrap())
        .listen("127.0.0.1:0".parse().unwrap())
        .journal(JournalPolicy::Off)
        .bind()
        .await
        .unwrap();
    let mut clients: Vec<_> = endpoint
        .addresses()
        .iter()
        .zip(1..)
        .map(|(to, ssrc)| Client::new(ssrc, *to))
        .collect();
    for client in &clients {
        client.join().await;
        connected(&mut endpoint).await;
    }
    // Each says something first, so that it may be sent to.
    for client in &mut clients {
        client.play(&[0xF8]);
        next(&mut endpoint).await;
    }
    let handle = endpoint.handle();
    handle
        .send_to_all(Message::parse(&[0x90, 60, 1]).unwrap())
        .unwrap();
    for client in &clients {
        assert_eq!(client.receive().await.unwrap()[12..], [3, 0x90, 60, 1]);
    }
    let stats = handle.stats().await.unwrap();
    assert_eq!(stats.peers.len(), 2);
    assert!(
        stats
            .peers
            .iter()
            .all(|peer| peer.counters.messages_sent == 1)
    );
    assert_eq!(stats.session.invitations_accepted, 2);
}

#[tokio::test]
async fn any_thread_sends_and_everybody_is_told_apart() {
    let (mut endpoint, addresses) = endpoint(|_| {}).await;
    let mut clients = [Client::new(1, addresses), Client::new(2, addresses)];
    let mut peers = Vec::new();
    for client in &mut clients {
        client.join().await;
        peers.push(connected(&mut endpoint).await);
        client.play(&[0xF8]);
        next(&mut endpoint).await;
    }
    let handle = endpoint.handle();
    let but = peers[0].id;
    std::thread::spawn(move || {
        handle
            .send_to_others(but, Message::parse(&[0xFA]).unwrap())
            .unwrap();
        handle.send(but, Message::parse(&[0xFC]).unwrap()).unwrap();
    })
    .join()
    .unwrap();
    assert_eq!(clients[1].receive().await.unwrap()[12..], [1, 0xFA]);
    assert_eq!(clients[0].receive().await.unwrap()[12..], [1, 0xFC]);
}

#[tokio::test]
async fn a_peer_can_be_sent_away() {
    let (mut endpoint, addresses) = endpoint(|_| {}).await;
    let client = Client::new(1, addresses);
    client.join().await;
    let peer = connected(&mut endpoint).await;
    let handle = endpoint.handle();
    handle.disconnect(peer.id).unwrap();
    assert_eq!(
        handle.disconnect(peer.id),
        Err(SendError::NotConnected {
            participant: peer.id
        }),
        "once"
    );
    let gone = Event::Disconnected {
        peer: peer.clone(),
        reason: LeaveReason::Local,
    };
    assert_eq!(next(&mut endpoint).await, Some(gone));
    assert_eq!(client.receive().await.unwrap()[2..4], *b"BY");
    let clock = Message::parse(&[0xF8]).unwrap();
    assert_eq!(
        handle.send(peer.id, clock),
        Err(SendError::NotConnected {
            participant: peer.id
        })
    );
    endpoint.close().await;
    assert_eq!(handle.send_to_all(clock), Err(SendError::Closed));
    assert_eq!(handle.stats().await, Err(SendError::Closed));
}

#[tokio::test]
async fn an_endpoint_that_is_dropped_says_bye() {
    let (mut endpoint, addresses) = endpoint(|_| {}).await;
    let client = Client::new(1, addresses);
    client.join().await;
    connected(&mut endpoint).await;
    let _still_here = endpoint.handle();
    drop(endpoint);
    assert_eq!(client.receive().await.unwrap()[2..4], *b"BY");
}

#[tokio::test]
async fn a_handler_hears_everything_in_order() {
    #[derive(Default)]
    struct Log(Vec<String>);
    impl Handler for Log {
        fn peer_connected(&mut self, peer: &Peer) {
            self.0.push(format!("{} is here", peer.name));
        }
        fn midi(&mut self, peer: &Peer, _at: Time, message: Message<'_>) {
            self.0.push(format!("{}: {message}", peer.name));
        }
        fn peer_disconnected(&mut self, peer: &Peer, reason: LeaveReason) {
            self.0.push(format!("{} left: {reason}", peer.name));
        }
    }

    let (mut endpoint, addresses) = endpoint(|_| {}).await;
    let handle = endpoint.handle();
    let mut client = Client::new(1, addresses);
    let mut log = Log::default();
    let script = async {
        client.join().await;
        client.play(&[0x90, 60, 100]);
        // Clock and BY travel on other ways than the note: it goes first.
        while handle.stats().await.unwrap().peers[0]
            .counters
            .messages_received
            == 0
        {
            tokio::task::yield_now().await;
        }
        handle.close();
    };
    timeout(PATIENCE, async {
        tokio::join!(endpoint.run(&mut log), script)
    })
    .await
    .unwrap();
    assert_eq!(
        log.0,
        [
            "client is here",
            "client: note_on channel=0 note=60 velocity=100",
            "client: note_off channel=0 note=60 velocity=64",
            "client left: ended here"
        ]
    );
}

#[tokio::test]
async fn what_was_delivered_is_known_when_the_peer_has_told_so() {
    let (mut endpoint, addresses) = endpoint(|_| {}).await;
    let handle = endpoint.handle();
    let client = Client::new(1, addresses);
    client.join().await;
    let peer = connected(&mut endpoint).await;
    let note = Message::parse(&[0x90, 60, 100]).unwrap();
    handle.send(peer.id, note).unwrap();
    handle.flush([peer.id]).await.unwrap();
    let packet = client.receive().await.expect("the note");
    let seq = u16::from_be_bytes([packet[2], packet[3]]);
    let delivered = handle.delivered([peer.id]);
    let mut delivered = std::pin::pin!(delivered);
    let early = timeout(Duration::from_millis(100), delivered.as_mut()).await;
    assert!(early.is_err(), "nothing was told");
    client.acknowledge(seq.wrapping_sub(1));
    let early = timeout(Duration::from_millis(100), delivered.as_mut()).await;
    assert!(early.is_err(), "only of the packet before");
    client.acknowledge(seq);
    timeout(PATIENCE, delivered).await.unwrap().unwrap();
    // Nothing more was sent, and somebody who is gone gets nothing.
    timeout(PATIENCE, handle.delivered([peer.id]))
        .await
        .unwrap()
        .unwrap();
    handle.send(peer.id, note).unwrap();
    let waiting = handle.delivered([peer.id]);
    handle.disconnect(peer.id).unwrap();
    timeout(PATIENCE, waiting).await.unwrap().unwrap();
    handle.close();
    while next(&mut endpoint).await.is_some() {}
    assert_eq!(handle.delivered([peer.id]).await, Err(SendError::Closed));
}

#[tokio::test]
async fn clock_exchanges_are_told_when_asked_for() {
    for wanted in [true, false] {
        let (mut ours, addresses) = endpoint(|config| config.clock_events = wanted).await;
        let theirs = Endpoint::builder()
            .listen("127.0.0.1:0".parse().unwrap())
            .bind()
            .await
            .unwrap();
        let persistence = netmidi::Persistence::Once;
        theirs.invite(addresses.control, persistence).unwrap();
        let peer = connected(&mut ours).await;
        let told = timeout(Duration::from_secs(2), ours.next()).await;
        match (wanted, told) {
            (true, Ok(Some(Event::Synchronised { peer: who, clock }))) => {
                assert_eq!(who.id, peer.id);
                assert!(clock.exchanges >= 1 && clock.round_trip < PATIENCE);
            }
            (false, Err(_)) => {}
            (_, other) => panic!("{other:?}"),
        }
    }
}
