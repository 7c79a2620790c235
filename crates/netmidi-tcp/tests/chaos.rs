//! A server among peers that do anything, drawn by a seed: who plays along misses nothing, what the
//! others send is received as far as it is whole, and nothing is left of any of them.
//!
//! `NETMIDI_CHAOS_SEEDS=1000` runs so many seeds, `NETMIDI_CHAOS_SEED=17` that one alone.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

mod stage;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use netmidi_message::{Message, MessageBuf, Sounding, StreamParser};
use netmidi_tcp::{
    AtEnd, CloseReason, Closed, Connector, Dialect, Options, Overflow, PortServer, ServerEvent,
    ServerHandle, SysEx,
};
use netmidi_testkit::Rng;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use stage::parse;

/// No seed takes longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// A message received and not fetched takes at least so much memory.
const LEAST_WEIGHT: u64 = 32;

/// How a server is to be.
#[derive(Clone, Debug)]
struct Plan {
    dialect: Dialect,
    sysex: SysEx,
    sysex_limit: usize,
    receive_limit: usize,
    send_limit: usize,
    overflow: Overflow,
    at_end: AtEnd,
    /// The longest message that is broadcast.
    longest: u32,
    broadcasts: usize,
    /// Events between two pauses of the receiver.
    fetched_at_once: u32,
}

impl Plan {
    fn new(rng: &mut Rng) -> Self {
        Self {
            dialect: [Dialect::Din, Dialect::Mido][rng.index(2)],
            sysex: [SysEx::Accept, SysEx::Accept, SysEx::Refuse][rng.index(3)],
            sysex_limit: [0, 10, 1000, 40_000][rng.index(4)],
            receive_limit: [0, 3000, 8192, 256 << 10][rng.index(4)],
            send_limit: [48 << 10, 128 << 10, 1 << 20][rng.index(3)],
            overflow: [Overflow::Disconnect, Overflow::Thin][rng.index(2)],
            at_end: [AtEnd::Silence, AtEnd::Leave][rng.index(2)],
            longest: [100, 2000, 10_000][rng.index(3)],
            broadcasts: 100 + rng.index(400),
            fetched_at_once: [100, 1000, 100_000][rng.index(3)],
        }
    }

    fn options(&self) -> Options {
        Options::new()
            .dialect(self.dialect)
            .sysex(self.sysex)
            .sysex_limit(self.sysex_limit)
            .receive_limit(self.receive_limit)
            .send_limit(self.send_limit)
            .overflow(self.overflow)
            .at_end(self.at_end)
            .close_timeout(Duration::from_millis(300))
    }

    /// What is to be received of these octets, and whether a message is cut.
    fn understand(&self, octets: &[u8]) -> (Vec<MessageBuf>, bool) {
        let parser = StreamParser::new()
            .dialect(self.dialect)
            .sysex_limit(self.sysex_limit);
        let mut parser = match self.sysex {
            SysEx::Accept => parser,
            SysEx::Refuse => parser.refuse_sysex(),
        };
        let mut messages = Vec::new();
        parser.feed(octets, |event| {
            messages.extend(event.message().map(|it| it.to_buf()));
        });
        let cut = parser.is_within_message();
        let before = messages.len();
        // F4 and F5 are whole when nothing more comes.
        parser.finish(|event| messages.extend(event.message().map(|it| it.to_buf())));
        let cut = cut && messages.len() == before;
        (messages, cut)
    }
}

/// Message `number` of a broadcast or of a client: no two next to each other are the same, and the
/// number can be told.
fn numbered(number: usize, len: usize) -> MessageBuf {
    let low = |shift: usize| (number >> shift & 0x7F) as u8;
    match len {
        0..=3 => parse(&[0xE0 | (number >> 14 & 0xF) as u8, low(0), low(7)]),
        len => {
            let filling = vec![low(0); len - 4];
            parse(&[&[0xF0, low(0), low(7)][..], &filling, &[0xF7]].concat())
        }
    }
}

/// What a peer writes: messages of all kinds, pieces of messages, and noise.
fn scribble(rng: &mut Rng, plan: &Plan) -> Vec<u8> {
    let mut octets = Vec::new();
    let clean = rng.percent(30);
    for _ in 0..rng.below(60) {
        let kinds = if clean { 4 } else { 8 };
        match rng.below(kinds) {
            0 => octets.extend([0x90 | rng.data() & 0xF, rng.data(), rng.data()]),
            1 => octets.extend([0xB0, 64, rng.data()]),
            2 => {
                let len = match rng.below(4) {
                    0 => plan.sysex_limit + rng.index(3),
                    1 => rng.index(20_000),
                    _ => rng.index(30),
                };
                octets.push(0xF0);
                octets.extend((0..len.saturating_sub(1)).map(|_| rng.data()));
                octets.push(0xF7);
            }
            3 => octets.push(0xF8),
            4 => {
                // Running status.
                octets.push(0x80 | rng.data() & 0x6F);
                octets.extend((0..rng.below(30)).map(|_| rng.data()));
            }
            5 => octets.push(0xF1 + rng.below(15) as u8),
            6 => {
                let len = rng.index(40);
                octets.extend(rng.octets(len));
            }
            _ => {
                // A flood.
                let count = rng.index(5_000);
                let note = [0x90, rng.data(), rng.data()];
                octets.extend(note.repeat(count));
            }
        }
    }
    // What would be TLS is tested elsewhere.
    if let Some(first @ (0x15 | 0x16)) = octets.first_mut() {
        *first = 0;
    }
    octets
}

/// How a peer leaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Leaving {
    /// FIN, and reads to the end.
    Finishes,
    /// Closes whatever there is to read.
    Drops,
    /// RST.
    Resets,
}

/// What a peer did, for the server's side to be compared with.
#[derive(Debug)]
enum Peer {
    Raw { octets: Vec<u8>, leaving: Leaving },
    Port { messages: Vec<MessageBuf> },
}

/// What the peers know of each other.
#[derive(Default)]
struct Stage {
    /// The ports that play along: how many octets of all broadcasts each has behind it.
    progress: Mutex<HashMap<SocketAddr, Arc<AtomicU64>>>,
    /// Every broadcast that is over: the octets up to and with it.
    told: Mutex<Vec<u64>>,
    finished: AtomicBool,
    /// Peers that are done.
    done: Mutex<BTreeMap<SocketAddr, Peer>>,
}

const UNSEEN: u64 = u64::MAX;

/// A peer that writes octets and behaves badly.
async fn raw(address: SocketAddr, mut rng: Rng, plan: Plan, stage: Arc<Stage>) {
    let socket = TcpSocket::new_v4().unwrap();
    if rng.percent(50) {
        socket.set_recv_buffer_size(4096).unwrap();
    }
    let mut stream = socket.connect(address).await.unwrap();
    let ours = stream.local_addr().unwrap();
    let octets = scribble(&mut rng, &plan);
    let leaving = [Leaving::Finishes, Leaving::Drops, Leaving::Resets][rng.index(3)];
    let reading = rng.below(3);
    let mut written = 0;
    let mut buffer = vec![0; 1 + rng.index(5000)];
    while written < octets.len() {
        let end = octets.len().min(written + 1 + rng.index(20_000));
        match stream.try_write(&octets[written..end]) {
            Ok(count) => written += count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                let _ = timeout(Duration::from_millis(50), stream.writable()).await;
            }
            // Disconnected for not reading.
            Err(_) => break,
        }
        if reading == 0 || reading == 1 && rng.percent(5) {
            let _ = stream.try_read(&mut buffer);
        }
        match rng.below(20) {
            0 => sleep(Duration::from_micros(u64::from(rng.below(3000)))).await,
            1 => tokio::task::yield_now().await,
            _ => {}
        }
    }
    if rng.percent(30) {
        sleep(Duration::from_millis(u64::from(rng.below(100)))).await;
    }
    match leaving {
        Leaving::Finishes => finish(&mut stream, &mut buffer).await,
        Leaving::Drops => {}
        Leaving::Resets => stream.set_zero_linger().unwrap(),
    }
    drop(stream);
    let octets = octets[..written].to_vec();
    let peer = Peer::Raw { octets, leaving };
    stage.done.lock().unwrap().insert(ours, peer);
}

async fn finish(stream: &mut TcpStream, buffer: &mut [u8]) {
    use tokio::io::AsyncWriteExt;
    if stream.shutdown().await.is_ok() {
        while let Ok(1..) = stream.read(buffer).await {}
    }
}

/// A port that plays along, to the end of all broadcasts or for a while.
async fn port(address: SocketAddr, mut rng: Rng, plan: Plan, stage: Arc<Stage>) {
    let options = Options::new()
        .close_timeout(Duration::from_secs(20))
        .at_end(AtEnd::Leave);
    let connector = Connector::new().options(options);
    let port = connector.connect(address).await.unwrap();
    let ours = port.local_addr();
    let progress = Arc::new(AtomicU64::new(UNSEEN));
    {
        let mut all = stage.progress.lock().unwrap();
        all.insert(ours, progress.clone());
    }
    let stays = rng.percent(60);
    let mut messages = Vec::new();
    for number in 0..rng.index(2000) {
        let len = if rng.percent(3) && plan.sysex == SysEx::Accept {
            (4 + rng.index(3000)).min(plan.sysex_limit + 2)
        } else {
            3
        };
        messages.push(numbered(number, len.max(3)));
    }
    let (mut receiver, sender) = port.split();
    let to_send = messages.clone();
    let sending = async {
        for message in &to_send {
            sender.send(message).await.unwrap();
            if rng.percent(2) {
                sleep(Duration::from_micros(u64::from(rng.below(500)))).await;
            }
        }
    };
    let at_most = if stays { usize::MAX } else { 50 };
    let stage = &stage;
    let receiving = async {
        let mut next = None;
        let mut received = 0;
        while received < at_most {
            let wait = receiver.receive_timeout(Duration::from_millis(20));
            let Ok(message) = wait.await else {
                let all_told = stage.finished.load(Ordering::Acquire);
                let count = stage.told.lock().unwrap().len();
                // It may have come too late for any.
                if all_told && next.is_none_or(|next| next == count) {
                    break;
                }
                assert!(!receiver.closed(), "{:?}", receiver.close_reason());
                continue;
            };
            let octets = message.to_vec();
            let low = match octets[..] {
                [0xE0..=0xEF, a, b] => usize::from(a) | usize::from(b) << 7,
                [0xF0, a, b, ..] => usize::from(a) | usize::from(b) << 7,
                _ => panic!("{message}"),
            };
            let expected = *next.get_or_insert(low);
            assert_eq!(
                message,
                numbered(expected, octets.len()),
                "number {expected}"
            );
            next = Some(expected + 1);
            received += 1;
            // It may be here before the sender has taken it down.
            let before = {
                let told = stage.told.lock().unwrap();
                told.get(expected).copied()
            };
            if let Some(before) = before {
                progress.store(before, Ordering::Release);
            }
        }
    };
    tokio::join!(sending, receiving);
    stage.progress.lock().unwrap().remove(&ours);
    drop(sender);
    drop(receiver);
    let mut done = stage.done.lock().unwrap();
    done.insert(ours, Peer::Port { messages });
}

/// Sends to all, and never more than those who play along can take.
async fn broadcast(server: ServerHandle, mut rng: Rng, plan: Plan, stage: Arc<Stage>) {
    let window = plan.send_limit as u64 / 3;
    let mut total = 0;
    let mut number = 0;
    while number < plan.broadcasts {
        let mut burst = 0;
        let wanted = u64::from(1 + rng.below(window as u32));
        let _ = server.clients();
        loop {
            let slowest = {
                let all = stage.progress.lock().unwrap();
                let behind = all.values().map(|it| {
                    let _ = it.compare_exchange(UNSEEN, total, Ordering::AcqRel, Ordering::Acquire);
                    total - it.load(Ordering::Acquire)
                });
                behind.max().unwrap_or(0)
            };
            if slowest <= window {
                break;
            }
            sleep(Duration::from_micros(300)).await;
        }
        let most = 1 + rng.below(40);
        for _ in 0..most {
            let len = match rng.percent(70) {
                true => 3,
                false => 4 + rng.index(plan.longest as usize),
            };
            if number == plan.broadcasts || burst + len as u64 > wanted {
                break;
            }
            total += len as u64;
            burst += len as u64;
            stage.told.lock().unwrap().push(total);
            let report = server.send(&numbered(number, len));
            let known = stage.progress.lock().unwrap();
            for (client, trouble) in report.troubles() {
                assert!(
                    !known.contains_key(&client.address()),
                    "{client:?}: {trouble}"
                );
            }
            number += 1;
        }
        match rng.below(4) {
            0 => sleep(Duration::from_micros(u64::from(rng.below(4000)))).await,
            _ => tokio::task::yield_now().await,
        }
    }
    stage.finished.store(true, Ordering::Release);
}

/// What the server heard of one client.
#[derive(Default)]
struct Heard {
    address: Option<SocketAddr>,
    messages: Vec<MessageBuf>,
    silence: Vec<MessageBuf>,
    closed: Option<Closed>,
}

async fn listen(server: &mut PortServer, mut rng: Rng, plan: &Plan, peers: usize) -> Vec<Heard> {
    let mut heard: BTreeMap<_, Heard> = BTreeMap::new();
    let mut gone = 0;
    let most_waiting = plan.receive_limit as u64 / LEAST_WEIGHT + 256 + 64;
    let mut until_pause = plan.fetched_at_once;
    while gone < peers {
        let event = server.next_event().await.unwrap();
        match event {
            ServerEvent::Connected { client } => {
                let before = heard.entry(client.id()).or_default();
                assert!(before.address.is_none() && before.messages.is_empty());
                before.address = Some(client.address());
            }
            ServerEvent::Message { client, message } => {
                let it = heard.get_mut(&client.id()).unwrap();
                assert!(it.closed.is_none() && it.silence.is_empty());
                it.messages.push(message);
                let waiting = client.stats().messages_received - it.messages.len() as u64;
                assert!(waiting <= most_waiting, "{waiting} > {most_waiting}");
            }
            ServerEvent::Silence { client, message } => {
                let it = heard.get_mut(&client.id()).unwrap();
                assert!(it.closed.is_none() && plan.at_end == AtEnd::Silence);
                it.silence.push(message);
            }
            ServerEvent::Disconnected { client, closed } => {
                let it = heard.get_mut(&client.id()).unwrap();
                assert!(it.closed.replace(closed).is_none());
                gone += 1;
            }
            ServerEvent::Discarded { client, .. } | ServerEvent::Header { client, .. } => {
                assert!(heard[&client.id()].closed.is_none());
            }
            other => panic!("{other:?}"),
        }
        until_pause -= 1;
        if until_pause == 0 {
            until_pause = plan.fetched_at_once;
            sleep(Duration::from_micros(u64::from(rng.below(2000)))).await;
        }
    }
    heard.into_values().collect()
}

fn compare(plan: &Plan, heard: &Heard, peer: &Peer) {
    let closed = heard.closed.as_ref().unwrap();
    match peer {
        Peer::Port { messages } => {
            assert_eq!(heard.messages.len(), messages.len(), "{closed}");
            assert!(heard.messages == *messages);
            assert!(closed.incomplete.is_none());
        }
        Peer::Raw { octets, leaving } => {
            let (messages, cut) = plan.understand(octets);
            let mut received = &heard.messages[..];
            // What the end cut may have been longer.
            if let [before @ .., MessageBuf::Undefined(_)] = received
                && *leaving != Leaving::Finishes
            {
                received = before;
            }
            assert!(received.len() <= messages.len(), "{closed}");
            let wrong = messages.iter().zip(received).position(|(a, b)| a != b);
            assert_eq!(
                wrong,
                None,
                "{leaving:?}, {closed}, {} octets",
                octets.len()
            );
            // Nothing that came before FIN is lost, unless it is disconnected for not reading.
            let all = *leaving == Leaving::Finishes && matches!(closed.reason, CloseReason::Peer);
            if all {
                assert_eq!(heard.messages.len(), messages.len(), "{closed}");
                assert_eq!(closed.incomplete.is_some(), cut, "{closed}");
            }
            if *leaving == Leaving::Finishes && plan.overflow == Overflow::Thin {
                assert!(all, "{closed}");
            }
        }
    }
    let mut sounding = Sounding::new();
    for message in &heard.messages {
        sounding.observe(&message.as_message());
    }
    let left: Vec<MessageBuf> = match plan.at_end {
        AtEnd::Silence => sounding
            .releases()
            .map(|it| Message::from(it).to_buf())
            .collect(),
        AtEnd::Leave => Vec::new(),
    };
    assert_eq!(heard.silence, left);
}

async fn run(seed: u64) {
    let mut rng = Rng::new(seed);
    let plan = Plan::new(&mut rng);
    let metrics = tokio::runtime::Handle::current().metrics();
    let tasks_before = metrics.num_alive_tasks();
    let mut server = PortServer::builder()
        .options(plan.options())
        .max_clients(32)
        .bind()
        .await
        .unwrap();
    let address = server.local_addr();
    let stage = Arc::new(Stage::default());
    let mut tasks = JoinSet::new();
    let ports = 2 + rng.index(4);
    let raws = 4 + rng.index(10);
    for at in 0..ports + raws {
        let mut rng = Rng::new(rng.bits());
        let (plan, stage) = (plan.clone(), stage.clone());
        tasks.spawn(async move {
            sleep(Duration::from_micros(u64::from(rng.below(50_000)))).await;
            match at < ports {
                true => port(address, rng, plan, stage).await,
                false => raw(address, rng, plan, stage).await,
            }
        });
    }
    let play = Rng::new(rng.bits());
    tasks.spawn(broadcast(
        server.handle(),
        play,
        plan.clone(),
        stage.clone(),
    ));
    let acting = async {
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    };
    let listening = listen(&mut server, Rng::new(rng.bits()), &plan, ports + raws);
    let (heard, ()) = tokio::join!(listening, acting);
    let done = std::mem::take(&mut *stage.done.lock().unwrap());
    assert_eq!(done.len(), heard.len());
    for heard in &heard {
        compare(&plan, heard, &done[&heard.address.unwrap()]);
    }
    // Nothing is left.
    assert!(server.clients().is_empty());
    let stats = server.stats();
    assert_eq!(stats.accepted, (ports + raws) as u64);
    assert_eq!((stats.unheard, stats.refused_full), (0, 0));
    let handle = server.handle();
    server.close().await;
    assert!(handle.accept().await.is_err());
    while metrics.num_alive_tasks() > tasks_before {
        sleep(Duration::from_millis(1)).await;
    }
}

fn seeds(from: u64, usually: u64) -> Vec<u64> {
    let number = |name| {
        std::env::var(name)
            .ok()
            .map(|it| it.parse::<u64>().unwrap())
    };
    match number("NETMIDI_CHAOS_SEED") {
        Some(seed) => vec![seed],
        None => {
            let count = number("NETMIDI_CHAOS_SEEDS").unwrap_or(usually);
            (from..from + count).collect()
        }
    }
}

fn run_all(runtime: &tokio::runtime::Runtime, seeds: Vec<u64>) {
    for seed in seeds {
        let plan = Plan::new(&mut Rng::new(seed));
        let report = move || eprintln!("seed {seed}: {plan:?}");
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            runtime.block_on(async {
                timeout(PATIENCE, run(seed))
                    .await
                    .expect("it takes too long");
            });
        }));
        if let Err(panic) = result {
            report();
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn on_one_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    run_all(&runtime, seeds(0, 8));
}

#[test]
fn on_several_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap();
    run_all(&runtime, seeds(1_000_000, 8));
}
