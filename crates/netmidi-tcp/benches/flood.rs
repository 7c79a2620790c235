//! A sender that never pauses, against everything that receives.
//!
//! A thread of its own, on a processor of its own, writes notes of three octets to a socket as fast
//! as they are taken. They are received on another processor, by a runtime of one thread:
//!
//! * `read`: a bare read of a tokio socket, nothing done with the octets,
//! * `port`, `stream`: [`SocketPort::receive`], and the port as a stream,
//! * `server`: a [`PortServer`], which says of each message who sent it.
//!
//! Printed are, as medians of rounds in which all have their turn, millions of notes a second by the
//! clock and for each second of processor time (goal: 10), the time from before the sender's first
//! octet to the first message out (goal: 5 ms), and what the memory of the process grows by while
//! the receiver sleeps and the sender does not (bound: four times [`Options::receive_limit`]).
//!
//! After that: what a note costs by how many octets come with one read, and by how many there are.
//!
//! `cargo bench -p netmidi-tcp --bench flood [-- ROUNDS]`

#![allow(
    clippy::indexing_slicing,
    reason = "a panic ends the measurement, as it should"
)]

mod common;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use common::{Result, at_least, at_most, load, median, micros, notes, pin_to, thread_time};
use futures::StreamExt;
use netmidi_tcp::{Options, PortServer, SocketPort};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

const ROUNDS: usize = 9;
/// How long each receives in a round.
const LONG: Duration = Duration::from_millis(400);
/// Notes that the sender writes with one call.
const BLOCK: usize = 16 << 10;
/// How long the receiver sleeps, and when the queues have long been full.
const SLEEP: Duration = Duration::from_millis(500);
const FULL: Duration = Duration::from_millis(100);
/// Octets of memory that may be used for what was received and not fetched; the default.
const RECEIVE_LIMIT: u64 = 256 << 10;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    Read,
    Port,
    Stream,
    Server,
}

const WAYS: [Way; 4] = [Way::Read, Way::Port, Way::Stream, Way::Server];

/// What one did in a round.
struct Flood {
    notes: u64,
    took: Duration,
    cpu: Option<Duration>,
    first: Duration,
    /// What the memory grew by while the receiver slept: at once, and later.
    memory: Option<(u64, u64)>,
}

fn main() -> Result<()> {
    let rounds = common::number().unwrap_or(ROUNDS);
    let (_, processor) = common::processors();
    pin_to(processor);
    println!("{}", load());
    let mut all = [const { Vec::new() }; WAYS.len()];
    for round in 0..=rounds {
        for (at, way) in WAYS.into_iter().enumerate() {
            let flood = measure(way)?;
            // In the first one, caches and buffers find their size.
            if round > 0 {
                all[at].push(flood);
            }
        }
    }
    println!("million notes a second: median of {rounds} rounds");
    println!(
        "way      by the clock   of processor time   first note after, median and longest (ms)"
    );
    for (way, floods) in WAYS.into_iter().zip(&all) {
        let rate = |flood: &Flood, time: Duration| flood.notes as f64 / micros(time);
        let mut clock: Vec<_> = floods.iter().map(|it| rate(it, it.took)).collect();
        let mut cpu: Vec<_> = floods
            .iter()
            .filter_map(|it| Some(rate(it, it.cpu?)))
            .collect();
        let mut first: Vec<_> = floods.iter().map(|it| micros(it.first) / 1000.0).collect();
        let first_of_all = median(&mut first);
        let longest = first.last().copied().unwrap_or_default();
        let name = format!("{way:?}").to_lowercase();
        let (clock, cpu) = (median(&mut clock), median(&mut cpu));
        if way == Way::Read {
            println!("{name:8} {clock:12.1} {cpu:19.1}   {first_of_all:.3} {longest:.3}");
        } else {
            let (clock, cpu) = (at_least(clock, 10.0), at_least(cpu, 10.0));
            let longest = at_most(longest, 5.0);
            println!("{name:8} {clock:>12}   {cpu:>17}   {first_of_all:.3} {longest}");
        }
    }
    let bound = 4 * RECEIVE_LIMIT;
    println!("\nmemory while the receiver sleeps and the sender does not (octets)");
    println!("way      within {FULL:?}   after {SLEEP:?}   bound {bound}");
    for (way, floods) in WAYS.into_iter().zip(&all) {
        let of = |which: fn((u64, u64)) -> u64| {
            floods.iter().filter_map(|it| it.memory.map(which)).max()
        };
        if let (Some(soon), Some(later)) = (of(|it| it.0), of(|it| it.1)) {
            let name = format!("{way:?}").to_lowercase();
            let missed = if later > bound { "missed" } else { "" };
            println!("{name:8} {soon:12} {later:13}   {missed}");
        }
    }
    println!();
    by_size()?;
    by_amount()?;
    println!("{}", load());
    Ok(())
}

/// When the sender began, and how many octets were taken from it.
#[derive(Default)]
struct Sender {
    begun: OnceLock<Instant>,
    octets: AtomicU64,
}

/// Writes until the connection ends.
fn flood(to: SocketAddr) -> Result<(thread::JoinHandle<()>, Arc<Sender>)> {
    let sender = Arc::new(Sender::default());
    let shared = sender.clone();
    let block = notes(BLOCK);
    let (processor, _) = common::processors();
    let mut stream = std::net::TcpStream::connect(to)?;
    let thread = thread::spawn(move || {
        pin_to(processor);
        // Whoever receives is waiting by then.
        thread::sleep(Duration::from_millis(20));
        shared.begun.get_or_init(Instant::now);
        while let Ok(taken) = stream.write(&block) {
            shared.octets.fetch_add(taken as u64, Ordering::Relaxed);
            if taken < block.len() && stream.write_all(&block[taken..]).is_err() {
                break;
            }
        }
    });
    Ok((thread, sender))
}

fn measure(way: Way) -> Result<Flood> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // A spawned task: the runtime polls the future of `block_on` only when it has looked at its
    // sockets once more.
    let (flood, thread) = runtime.block_on(runtime.spawn(receive(way)))??;
    drop(runtime);
    thread.join().map_err(|_| "the sender failed")?;
    Ok(flood)
}

/// Who receives.
enum Ear {
    Read(TcpStream, Vec<u8>),
    Port(SocketPort),
    Stream(SocketPort),
    Server(PortServer),
}

impl Ear {
    /// The next note, or with a bare read those that it gives.
    async fn next(&mut self) -> Result<u64> {
        const ENDED: &str = "it ended";
        match self {
            // Of a note that is not whole the rest is left out.
            Self::Read(stream, buffer) => return Ok(stream.read(buffer).await? as u64 / 3),
            Self::Port(port) => _ = port.receive().await.ok_or(ENDED)?,
            Self::Stream(port) => _ = port.next().await.ok_or(ENDED)?,
            Self::Server(server) => _ = server.next().await.ok_or(ENDED)?,
        }
        Ok(1)
    }
}

async fn receive(way: Way) -> Result<(Flood, thread::JoinHandle<()>)> {
    let (mut ear, thread, sender);
    if way == Way::Read {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        (thread, sender) = flood(listener.local_addr()?)?;
        ear = Ear::Read(listener.accept().await?.0, vec![0; 64 << 10]);
    } else {
        let server = PortServer::bind(0).await?;
        (thread, sender) = flood(server.local_addr())?;
        ear = match way {
            Way::Server => Ear::Server(server),
            Way::Stream => Ear::Stream(server.accept().await?),
            _ => Ear::Port(server.accept().await?),
        };
    }
    Ok((count(&mut ear, &sender).await?, thread))
}

/// Has the next notes again and again.
async fn count(ear: &mut Ear, sender: &Sender) -> Result<Flood> {
    ear.next().await?;
    let now = Instant::now();
    let first = now.duration_since(*sender.begun.get().ok_or("it has not begun")?);
    let before = memory();
    sleep(FULL).await;
    let soon = memory();
    sleep(SLEEP - FULL).await;
    let later = memory();
    let grown = |now: u64, before: u64| now.saturating_sub(before);
    let memory = before
        .zip(soon)
        .zip(later)
        .map(|((before, soon), later)| (grown(soon, before), grown(later, before)));
    // What waited is no part of it.
    let mut waited = 0;
    while waited < sender.octets.load(Ordering::Relaxed).min(6 << 20) / 3 {
        waited += ear.next().await?;
    }
    let (cpu, start) = (thread_time(), Instant::now());
    let mut notes = 0;
    let took = loop {
        // Looking at the clock for each would cost more than receiving.
        for _ in 0..256 {
            notes += ear.next().await?;
        }
        let took = start.elapsed();
        if took >= LONG {
            break took;
        }
    };
    let cpu = cpu.zip(thread_time()).map(|(before, now)| now - before);
    Ok(Flood {
        notes,
        took,
        cpu,
        first,
        memory,
    })
}

/// The resident memory of this process in octets; Linux only.
fn memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilo: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilo * 1024)
}

/// Gives so many octets with each read, `left` in all.
struct Source {
    block: Arc<Vec<u8>>,
    at: usize,
    piece: usize,
    left: usize,
}

impl AsyncRead for Source {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let most = self.piece.min(self.left).min(self.block.len() - self.at);
        let count = most.min(buffer.remaining());
        buffer.put_slice(&self.block[self.at..self.at + count]);
        self.at = (self.at + count) % self.block.len();
        self.left -= count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Source {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(octets.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Nanoseconds for each of `count` notes that come `piece` octets at a time, without a system call.
fn without_socket(block: &Arc<Vec<u8>>, piece: usize, count: usize) -> Result<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let source = Source {
        block: block.clone(),
        at: 0,
        piece,
        left: 3 * count,
    };
    runtime.block_on(runtime.spawn(async move {
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let start = Instant::now();
        let mut port = SocketPort::over(source, nowhere, nowhere, Options::new());
        let mut received = 0;
        while port.receive().await.is_some() {
            received += 1;
        }
        let took = start.elapsed();
        if received < count {
            return Err(format!("{received} of {count} notes came").into());
        }
        Ok(micros(took) * 1000.0 / count as f64)
    }))?
}

fn by_size() -> Result<()> {
    const SIZES: [usize; 5] = [3, 30, 300, 3000, 48 << 10];
    const COUNT: usize = 600_000;
    let block = Arc::new(notes(BLOCK));
    let mut costs = [const { Vec::new() }; SIZES.len()];
    for _ in 0..ROUNDS {
        for (at, size) in SIZES.into_iter().enumerate() {
            costs[at].push(without_socket(&block, size, COUNT)?);
        }
    }
    let costs = costs.map(|mut each| median(&mut each));
    // A straight line through the smallest and the largest.
    let each = costs[SIZES.len() - 1];
    let read = costs[0] - each;
    println!("what a note costs without a socket, by the octets of a read (ns)");
    println!("octets   a note   by {each:.1} a note and {read:.1} a read   ratio");
    for (size, cost) in SIZES.into_iter().zip(costs) {
        let line = each + read * 3.0 / size as f64;
        println!(
            "{size:6} {cost:8.1} {line:20.1} {:20}",
            at_most(cost / line, 1.3)
        );
    }
    println!();
    Ok(())
}

fn by_amount() -> Result<()> {
    let block = Arc::new(notes(BLOCK));
    let mut ratios = Vec::new();
    let (mut few, mut many) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let a = without_socket(&block, 3000, 1_000_000)?;
        let b = without_socket(&block, 3000, 10_000_000)?;
        few.push(a);
        many.push(b);
        ratios.push(b / a);
    }
    println!(
        "of a million notes each costs {:.1} ns, of ten million {:.1}: ratio {}",
        median(&mut few),
        median(&mut many),
        at_most(median(&mut ratios), 1.2),
    );
    Ok(())
}
