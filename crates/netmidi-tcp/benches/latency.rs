//! How long a note is on its way, against a bare read of the same octets, in turn in one run.
//!
//! A thread writes single notes of three octets, each when the one before has arrived and the
//! receiver has gone to sleep. They arrive at a bare read of a tokio socket and at
//! [`SocketPort::receive`], both in one runtime. Measured is the time from before the write to where
//! the note is there, on one clock; printed are the medians, and the median of the ratios of
//! neighbouring rounds, which hold on a machine whose speed drifts. Goal: 1.2, with
//!
//! * `one`, `many`: a runtime of one thread, and one of two workers,
//! * `apart`, `together`: the sender on a processor of its own, and on that of the runtime. Together
//!   nobody has to be woken on another processor, so this shows best what the port adds.
//!
//! `cargo bench -p netmidi-tcp --bench latency [-- ROUNDS]`

#![allow(
    clippy::indexing_slicing,
    reason = "a panic ends the measurement, as it should"
)]

mod common;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::{Result, at_most, load, median, pin_to};
use netmidi_tcp::PortServer;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

const ROUNDS: usize = 21;
/// Notes of one round to each.
const NOTES: u64 = 500;
/// So long the receiver has to go to sleep.
const PAUSE: Duration = Duration::from_micros(100);
/// Nothing takes so long.
const SOON: Duration = Duration::from_secs(5);
const NOTE: [u8; 3] = [0x90, 60, 100];

/// The times at which notes arrived, in nanoseconds after `epoch`.
struct Arrivals {
    epoch: Instant,
    last: AtomicU64,
}

impl Arrivals {
    fn note(&self) {
        self.last.store(self.now(), Ordering::Release);
    }

    fn now(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }
}

/// Where notes are sent, and where it is seen that they arrive.
struct Way {
    stream: TcpStream,
    arrivals: Arc<Arrivals>,
}

fn main() -> Result<()> {
    let rounds = common::number().unwrap_or(ROUNDS);
    let (sender, receiver) = common::processors();
    println!("{}", load());
    println!("runtime  sender     read (µs)   port (µs)   ratio, median of {rounds} rounds");
    for many in [false, true] {
        let (addresses, stop, thread) = start(many, receiver)?;
        let [bare, ours] = addresses;
        let (mut bare, mut ours) = (Way::new(bare)?, Way::new(ours)?);
        for apart in [true, false] {
            pin_to(if apart { sender } else { receiver });
            let (mut reads, mut ports, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
            for round in 0..=rounds {
                // Whoever is first has no advantage of it.
                let (a, b) = if round % 2 == 0 {
                    let a = bare.measure()?;
                    (a, ours.measure()?)
                } else {
                    let b = ours.measure()?;
                    (bare.measure()?, b)
                };
                // In the first one, caches and buffers find their size.
                if round > 0 {
                    reads.push(a);
                    ports.push(b);
                    ratios.push(b / a);
                }
            }
            println!(
                "{:8} {:8} {:11.2} {:11.2}   {}",
                if many { "many" } else { "one" },
                if apart { "apart" } else { "together" },
                median(&mut reads),
                median(&mut ports),
                at_most(median(&mut ratios), 1.2),
            );
        }
        drop((bare, ours, stop));
        thread.join().map_err(|_| "the receivers failed")??;
    }
    println!("{}", load());
    Ok(())
}

impl Way {
    fn new((address, arrivals): (SocketAddr, Arc<Arrivals>)) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, arrivals })
    }

    /// The median time on the way, in microseconds.
    fn measure(&mut self) -> Result<f64> {
        let mut times = Vec::with_capacity(NOTES as usize);
        for _ in 0..NOTES {
            thread::sleep(PAUSE);
            let before = self.arrivals.last.load(Ordering::Acquire);
            let sent = self.arrivals.now();
            self.stream.write_all(&NOTE)?;
            loop {
                let arrived = self.arrivals.last.load(Ordering::Acquire);
                if arrived != before {
                    times.push((arrived - sent) as f64 / 1000.0);
                    break;
                }
                if self.arrivals.now() - sent > SOON.as_nanos() as u64 {
                    return Err("a note did not arrive".into());
                }
                // On one processor, this is what lets it arrive.
                thread::yield_now();
            }
        }
        Ok(median(&mut times))
    }
}

type Started = (
    [(SocketAddr, Arc<Arrivals>); 2],
    tokio::sync::oneshot::Sender<()>,
    thread::JoinHandle<Result<()>>,
);

/// Both receivers, in a runtime on this processor; it ends when the sender is dropped.
fn start(many: bool, processor: usize) -> Result<Started> {
    let (ready, addresses) = mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let thread = thread::spawn(move || {
        pin_to(processor);
        let runtime = runtime(many)?;
        let both = runtime.block_on(runtime.spawn(receive()))??;
        ready.send(both)?;
        let _ = runtime.block_on(stopped);
        Ok(())
    });
    Ok((addresses.recv_timeout(SOON)?, stop, thread))
}

fn runtime(many: bool) -> Result<Runtime> {
    Ok(if many {
        // Threads are where the one is that starts them.
        Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?
    } else {
        Builder::new_current_thread().enable_all().build()?
    })
}

async fn receive() -> Result<[(SocketAddr, Arc<Arrivals>); 2]> {
    let arrivals = || {
        Arc::new(Arrivals {
            epoch: Instant::now(),
            last: AtomicU64::new(0),
        })
    };
    let (bare, ours) = (arrivals(), arrivals());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let server = PortServer::bind(0).await?;
    let addresses = [
        (listener.local_addr()?, bare.clone()),
        (server.local_addr(), ours.clone()),
    ];
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        let mut buffer = vec![0; 64 << 10];
        while stream.read(&mut buffer).await? > 0 {
            bare.note();
        }
        Result::Ok(())
    });
    tokio::spawn(async move {
        let mut port = server.accept().await?;
        while port.receive().await.is_some() {
            ours.note();
        }
        Result::Ok(())
    });
    Ok(addresses)
}
