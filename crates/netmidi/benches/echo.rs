//! An endpoint that echoes, against a bare `recv_from`/`send_to` loop, in turn in one run.
//!
//! Both are asked the same question by the same client over loopback: one packet with a note out,
//! one back. Printed are the median round trip, and the processor time that the echoing thread
//! spent for each packet (Linux only), as ratios of neighbouring rounds: those hold on a machine
//! whose speed drifts. The goals are 1.25 for the round trip and 1.2 for the processor.
//!
//! `cargo bench -p netmidi --bench echo [-- ROUNDS]`

#![allow(
    clippy::indexing_slicing,
    reason = "a panic ends the measurement, as it should"
)]

use std::error::Error;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use futures::StreamExt;
use netmidi::{Endpoint, Event};

type Result<T> = core::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Round trips of one round.
const PINGS: u32 = 10_000;
/// Rounds of each kind.
const ROUNDS: usize = 15;
const SSRC: [u8; 4] = [0x11, 0x22, 0x33, 0x44];

/// An echo to be measured: where it listens, and the thread whose time it takes.
struct Target {
    address: SocketAddr,
    thread: Option<String>,
}

fn main() -> Result<()> {
    // `cargo bench` passes `--bench`.
    let rounds = std::env::args()
        .find_map(|word| word.parse().ok())
        .unwrap_or(ROUNDS);
    let plain = start(plain_echo)?;
    let ours = start(endpoint_echo)?;
    let client = Client::join(&ours)?;
    let stranger = Client::new(plain.address)?;
    let (mut trips, mut costs) = (Vec::new(), Vec::new());
    println!("          round trip (µs)         cpu per packet (µs)");
    println!("round   plain  netmidi  ratio     plain  netmidi  ratio");
    for round in 0..=rounds {
        let a = stranger.measure(&plain, round)?;
        let b = client.measure(&ours, round)?;
        if round == 0 {
            // Caches and buffers find their size.
            continue;
        }
        let trip = ratio(b.trip, a.trip);
        print!(
            "{round:5} {:7.2} {:8.2} {trip:6.2}",
            micros(a.trip),
            micros(b.trip)
        );
        trips.push(trip);
        if let (Some(plain), Some(ours)) = (a.cpu, b.cpu) {
            let cost = ratio(ours, plain);
            print!(" {:9.2} {:8.2} {cost:6.2}", micros(plain), micros(ours));
            costs.push(cost);
        }
        println!();
    }
    println!(
        "\nmedian of the ratios: round trip {:.3} (goal 1.25)",
        median(&mut trips)
    );
    if costs.is_empty() {
        println!("processor time per thread is not told by this system");
    } else {
        println!(
            "median of the ratios: cpu per packet {:.3} (goal 1.2)",
            median(&mut costs)
        );
    }
    Ok(())
}

fn start(echo: fn(mpsc::Sender<Target>) -> Result<()>) -> Result<Target> {
    let (ready, target) = mpsc::channel();
    thread::spawn(move || {
        if let Err(error) = echo(ready) {
            eprintln!("echo: {error}");
        }
    });
    Ok(target.recv()?)
}

fn plain_echo(ready: mpsc::Sender<Target>) -> Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    ready.send(Target {
        address: socket.local_addr()?,
        thread: this_thread(),
    })?;
    let mut buffer = [0; 2048];
    loop {
        let (len, from) = socket.recv_from(&mut buffer)?;
        socket.send_to(buffer.get(..len).unwrap_or_default(), from)?;
    }
}

fn endpoint_echo(ready: mpsc::Sender<Target>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        tokio::spawn(async move {
            let mut endpoint = Endpoint::builder()
                .name("echo")
                .listen("127.0.0.1:0".parse()?)
                .bind()
                .await?;
            let address = endpoint.addresses().first().ok_or("no address")?.control;
            ready.send(Target {
                address,
                thread: this_thread(),
            })?;
            let handle = endpoint.handle();
            while let Some(event) = endpoint.next().await {
                if let Event::Message { peer, message, .. } = event {
                    handle.send(peer.id, &message)?;
                }
            }
            Ok(())
        })
        .await?
    })
}

struct Client {
    socket: UdpSocket,
}

struct Round {
    /// Median round trip.
    trip: Duration,
    /// Processor time of the echoing thread for each packet.
    cpu: Option<Duration>,
}

impl Client {
    fn new(to: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        Ok(Self { socket })
    }

    /// Invites the endpoint on both ports, as an initiator does.
    fn join(target: &Target) -> Result<Self> {
        let mut invitation = [0xFF, 0xFF, b'I', b'N', 0, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0, 0];
        invitation[12..].copy_from_slice(&SSRC);
        let control = Self::new(target.address)?;
        let data = Self::new((target.address.ip(), target.address.port() + 1).into())?;
        let mut buffer = [0; 64];
        for client in [&control, &data] {
            client.socket.send(&invitation)?;
            client.socket.recv(&mut buffer)?;
            if buffer.get(2..4) != Some(b"OK") {
                return Err("the endpoint does not accept".into());
            }
        }
        Ok(data)
    }

    fn measure(&self, target: &Target, round: usize) -> Result<Round> {
        // V=2, type 97; the list is one note, three octets.
        let mut packet = [0x80, 97, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0x90, 60, 100];
        packet[8..12].copy_from_slice(&SSRC);
        let mut buffer = [0; 64];
        let mut trips = Vec::with_capacity(PINGS as usize);
        let cpu = target.cpu();
        for ping in 0..PINGS {
            let seq = (round as u32).wrapping_mul(PINGS).wrapping_add(ping) as u16;
            packet[2..4].copy_from_slice(&seq.to_be_bytes());
            let sent = Instant::now();
            self.socket.send(&packet)?;
            let len = self.socket.recv(&mut buffer)?;
            trips.push(sent.elapsed());
            if buffer.get(12..len) != packet.get(12..) {
                return Err("the echo is not what was sent".into());
            }
        }
        let cpu = cpu
            .zip(target.cpu())
            .map(|(before, after)| (after - before) / PINGS);
        trips.sort_unstable();
        Ok(Round {
            trip: trips[trips.len() / 2],
            cpu,
        })
    }
}

impl Target {
    /// Processor time that the thread has taken so far.
    fn cpu(&self) -> Option<Duration> {
        let path = format!("/proc/self/task/{}/schedstat", self.thread.as_ref()?);
        let text = std::fs::read_to_string(path).ok()?;
        text.split_whitespace()
            .next()?
            .parse()
            .ok()
            .map(Duration::from_nanos)
    }
}

/// The number of the current thread, where the system tells.
fn this_thread() -> Option<String> {
    let link = std::fs::read_link("/proc/thread-self").ok()?;
    Some(link.file_name()?.to_str()?.to_owned())
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn ratio(ours: Duration, plain: Duration) -> f64 {
    ours.as_secs_f64() / plain.as_secs_f64()
}

fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
