//! Ports and servers allocate nothing for short messages once their queues have found their size,
//! and what is not fetched takes a bounded amount of memory.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicUsize, Ordering};
use std::alloc::System;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use netmidi_message::{Message, MessageBuf, SysEx};
use netmidi_tcp::{Client, Options, PortServer, PortStats, SocketPort};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
/// Octets that are allocated now.
static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is handed on to `System` as it came; counting touches no memory of others.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of this function, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above; every block comes from `System`.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        HELD.fetch_add(size, Ordering::Relaxed);
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above; every block comes from `System`.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations() -> usize {
    ALLOCATIONS.load(Ordering::Relaxed)
}

const SOON: Duration = Duration::from_secs(20);
/// Messages at once, as in a chord or a fader that is moved.
const BURST: usize = 100;
const BURSTS: usize = 50;

async fn within<F: Future>(future: F) -> F::Output {
    timeout(SOON, future).await.expect("it takes too long")
}

/// Notes, controllers, pitch bend, clocks and a song position.
fn short_messages(octets: &mut Vec<u8>) {
    for number in 0..BURST as u8 {
        match number % 5 {
            0 => octets.extend([0x90 | (number % 16), number, 100]),
            1 => octets.extend([0xB0, 7, number]),
            2 => octets.extend([0xE0, 0, number]),
            3 => octets.push(0xF8),
            _ => octets.extend([0xF2, number, 0]),
        }
    }
}

fn messages(octets: &[u8]) -> Vec<MessageBuf> {
    let mut messages = Vec::new();
    let mut parser = netmidi_message::StreamParser::<netmidi_message::HeapBuffer>::new();
    parser.feed(octets, |event| {
        if let netmidi_message::StreamEvent::Message(message) = event {
            messages.push(message.to_buf());
        }
    });
    messages
}

/// Both ends of a connection: one of ours, one that the test reads and writes.
async fn pair(server: &PortServer) -> (SocketPort, TcpStream) {
    let raw = TcpStream::connect(server.local_addr()).unwrap();
    raw.set_nodelay(true).unwrap();
    raw.set_read_timeout(Some(SOON)).unwrap();
    (within(server.accept()).await.unwrap(), raw)
}

async fn receive(port: &mut SocketPort, raw: &mut TcpStream, octets: &[u8], truth: &[MessageBuf]) {
    raw.write_all(octets).unwrap();
    for expected in truth {
        assert_eq!(&port.receive().await.unwrap(), expected);
    }
}

async fn receive_from_all(
    server: &mut PortServer,
    raws: &mut [TcpStream],
    octets: &[u8],
    truth: &[MessageBuf],
) {
    for raw in &mut *raws {
        raw.write_all(octets).unwrap();
    }
    for _ in 0..raws.len() * truth.len() {
        let (_, message): (Client, _) = server.receive().await.unwrap();
        assert!(truth.contains(&message));
    }
}

async fn send(port: &SocketPort, raw: &mut TcpStream, truth: &[MessageBuf], buffer: &mut [u8]) {
    for message in truth {
        port.send(message).await.unwrap();
    }
    port.flush().await.unwrap();
    raw.read_exact(buffer).unwrap();
}

async fn broadcast(
    server: &PortServer,
    raws: &mut [TcpStream],
    truth: &[MessageBuf],
    buffer: &mut [u8],
) {
    for message in truth {
        assert_eq!(server.send(message).reached(), raws.len());
    }
    server.handle().flush().await;
    for raw in raws {
        raw.read_exact(buffer).unwrap();
    }
    yield_now().await;
}

/// One test in this file only: a second would allocate in another thread meanwhile.
#[tokio::test]
async fn nothing_is_allocated_in_the_steady_state() {
    // Time is watched around all of it: a timer for each message would allocate.
    within(steady()).await;
    within(not_fetched()).await;
}

async fn steady() {
    let mut octets = Vec::new();
    short_messages(&mut octets);
    let truth = messages(&octets);
    assert_eq!(truth.len(), BURST);
    let mut buffer = vec![0; octets.len()];
    let mut server = PortServer::bind(0).await.unwrap();
    let (mut port, mut raw) = pair(&server).await;

    // Receiving and sending at a port.
    for round in 0..2 {
        let before = allocations();
        for _ in 0..BURSTS {
            receive(&mut port, &mut raw, &octets, &truth).await;
        }
        let received = allocations() - before;
        for _ in 0..BURSTS {
            send(&port, &mut raw, &truth, &mut buffer).await;
            assert_eq!(buffer, octets);
        }
        let sent = allocations() - before - received;
        if round > 0 {
            assert_eq!((received, sent), (0, 0), "for {} messages", BURSTS * BURST);
        }
    }

    // Both with one that is system exclusive: its data, once.
    let sysex = Message::SysEx(SysEx::new(&[1; 200]).unwrap()).to_buf();
    let wire = sysex.as_message().to_vec();
    let mut buffer_of_one = vec![0; wire.len()];
    let one = [sysex];
    for round in 0..2 {
        let before = allocations();
        for _ in 0..BURSTS {
            receive(&mut port, &mut raw, &wire, &one).await;
        }
        let received = allocations() - before;
        for _ in 0..BURSTS {
            send(&port, &mut raw, &one, &mut buffer_of_one).await;
        }
        let sent = allocations() - before - received;
        if round > 0 {
            println!("system exclusive: {received} received, {sent} sent, for {BURSTS} each");
            assert!(received <= BURSTS, "{received} for {BURSTS} received");
            assert!(sent <= BURSTS, "{sent} for {BURSTS} sent");
        }
    }
    drop((port, raw));

    // A server with some clients.
    let mut raws = Vec::new();
    for _ in 0..8 {
        let raw = TcpStream::connect(server.local_addr()).unwrap();
        raw.set_nodelay(true).unwrap();
        raw.set_read_timeout(Some(SOON)).unwrap();
        raws.push(raw);
    }
    within(async {
        while server.clients().len() < raws.len() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    for round in 0..2 {
        let before = allocations();
        for _ in 0..BURSTS {
            receive_from_all(&mut server, &mut raws, &octets, &truth).await;
        }
        let received = allocations() - before;
        for _ in 0..BURSTS {
            broadcast(&server, &mut raws, &truth, &mut buffer).await;
            assert_eq!(buffer, octets);
        }
        let sent = allocations() - before - received;
        if round > 0 {
            assert_eq!((received, sent), (0, 0), "with {} clients", raws.len());
        }
    }
    // One system exclusive message is made once, for all clients.
    let long = [Message::SysEx(SysEx::new(&[1; 2000]).unwrap()).to_buf()];
    let mut buffer_of_one = vec![0; 2002];
    for round in 0..2 {
        let before = allocations();
        for _ in 0..BURSTS {
            broadcast(&server, &mut raws, &long, &mut buffer_of_one).await;
        }
        let sent = allocations() - before;
        if round > 0 {
            println!(
                "system exclusive: {sent} to {} clients, for {BURSTS}",
                raws.len()
            );
            // The octets and the count of those who share them.
            assert!(sent <= 2 * BURSTS, "{sent} for {BURSTS} of them");
        }
    }
}

/// What comes while nobody fetches it takes no more than it may, of a port and of each client.
async fn not_fetched() {
    let notes = [0x90, 60, 100, 0x80, 60, 0].repeat(1 << 10);
    // Each octet of it is discarded, and reported.
    let noise = [0xF7].repeat(6 << 10);
    for (block, limit, clients) in [
        (&notes, 16 << 10, 1),
        (&notes, 256 << 10, 1),
        (&notes, 64 << 10, 4),
        (&noise, 256 << 10, 1),
        (&noise, 64 << 10, 4),
    ] {
        let options = Options::new().receive_limit(limit);
        let mut server = PortServer::builder().options(options).bind().await.unwrap();
        let mut raws = Vec::new();
        let mut port = None;
        for _ in 0..clients {
            let mut raw = TcpStream::connect(server.local_addr()).unwrap();
            // The thread's own room for reading exists from the first note on.
            raw.write_all(&notes[..3]).unwrap();
            raw.set_nonblocking(true).unwrap();
            if clients == 1 {
                let port = port.insert(server.accept().await.unwrap());
                port.receive().await.unwrap();
            } else {
                server.receive().await.unwrap();
            }
            raws.push(raw);
        }
        let before = HELD.load(Ordering::Relaxed);
        let mut full_for = 0;
        while full_for < 100 {
            // Until the systems take no more, and for a while.
            let taken = raws.iter_mut().filter(|raw| {
                let mut raw: &TcpStream = raw;
                raw.write(block).is_ok()
            });
            full_for = if taken.count() > 0 { 0 } else { full_for + 1 };
            sleep(Duration::from_millis(1)).await;
        }
        let held = HELD.load(Ordering::Relaxed) - before;
        let count = |stats: PortStats| stats.messages_received + stats.discards;
        let items: u64 = match &port {
            Some(port) => count(port.stats()),
            None => {
                let each = server.clients().into_iter();
                each.map(|client| count(client.stats())).sum()
            }
        };
        println!("{clients} with {limit} octets that may wait: {items} items take {held}");
        // The queues grow by doubling; what has just been read is in a list of the thread's.
        let bound = 4 * limit * clients;
        assert!(held <= bound, "{held} octets with a limit of {limit}");
        assert!(items as usize >= limit * clients / 128, "{items}");
    }
}
