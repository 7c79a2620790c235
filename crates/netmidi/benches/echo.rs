//! An endpoint that echoes, against a bare `recv_from`/`send_to` loop, in turn in one run.
//!
//! Both are asked the same by the same client over loopback: packets with a note out, notes back.
//! Printed are the median round trip, and the processor time that the echoing thread takes for each
//! packet (Linux only), as ratios of neighbouring rounds: those hold on a machine whose speed
//! drifts. Three settings:
//!
//! * `together`: one packet on the way, client and echo on one processor. Nothing sleeps for long,
//!   so this shows what the endpoint adds to the two system calls.
//! * `apart`: one packet on the way, each on a processor of its own, woken for every packet.
//! * `loaded`: 32 packets on the way, apart. Here the processor time counts: at rest there is none
//!   to speak of.
//!
//! The goals are 1.25 for the round trip and 1.2 for the processor.
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

/// Packets of one round.
const PACKETS: u32 = 10_000;
/// Rounds of each kind.
const ROUNDS: usize = 11;
const SSRC: [u8; 4] = [0x11, 0x22, 0x33, 0x44];
const NOTE: [u8; 3] = [0x90, 60, 100];

struct Setting {
    name: &'static str,
    /// Packets on the way at once.
    window: u32,
    /// Whether the client has a processor of its own.
    apart: bool,
}

const SETTINGS: [Setting; 3] = [
    Setting {
        name: "together",
        window: 1,
        apart: false,
    },
    Setting {
        name: "apart",
        window: 1,
        apart: true,
    },
    Setting {
        name: "loaded",
        window: 32,
        apart: true,
    },
];

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
    // Both echoes share a processor; the client is there with them or on another.
    let processors = thread::available_parallelism()?.get();
    pin_to(processors - 1);
    let plain = start(plain_echo)?;
    let ours = start(endpoint_echo)?;
    let mut client = Client::join(&ours)?;
    let mut stranger = Client::new(plain.address)?;
    for Setting {
        name,
        window,
        apart,
    } in SETTINGS
    {
        pin_to(if apart { 0 } else { processors - 1 });
        println!("{name}: {window} on the way");
        println!("          round trip (µs)         cpu per packet (µs)");
        println!("round   plain  netmidi  ratio     plain  netmidi  ratio");
        let (mut trips, mut costs) = (Vec::new(), Vec::new());
        for round in 0..=rounds {
            let a = stranger.measure(&plain, window)?;
            let b = client.measure(&ours, window)?;
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
        print!(
            "{name}: median of the ratios: round trip {}",
            against(median(&mut trips), 1.25)
        );
        if !costs.is_empty() {
            print!(", cpu per packet {}", against(median(&mut costs), 1.2));
        }
        println!("\n");
    }
    Ok(())
}

/// A ratio and whether it is what we want. To miss it is no error: machines differ.
fn against(ratio: f64, goal: f64) -> String {
    let missed = if ratio > goal { ", missed" } else { "" };
    format!("{ratio:.3} (goal {goal}{missed})")
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
    // A spawned task: the runtime polls the future of `block_on` only when it has looked at its
    // sockets once more.
    runtime.block_on(runtime.spawn(async move {
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
    }))?
}

struct Client {
    socket: UdpSocket,
    seq: u16,
}

struct Round {
    /// Median time from sending to the next answer.
    trip: Duration,
    /// Processor time of the echoing thread for each packet.
    cpu: Option<Duration>,
}

impl Client {
    fn new(to: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        Ok(Self { socket, seq: 0 })
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

    fn measure(&mut self, target: &Target, window: u32) -> Result<Round> {
        let mut trips = Vec::with_capacity(PACKETS as usize);
        let mut buffer = [0; 2048];
        let (mut sent, mut answered) = (0, 0);
        let cpu = target.cpu();
        while answered < PACKETS {
            let start = Instant::now();
            let wanted = (window - (sent - answered)).min(PACKETS - sent);
            for _ in 0..wanted {
                self.send_note()?;
            }
            sent += wanted;
            let len = self.socket.recv(&mut buffer)?;
            answered += notes(&buffer[12..len]).ok_or("the echo is not what was sent")?;
            trips.push(start.elapsed());
        }
        let cpu = cpu
            .zip(target.cpu())
            .map(|(before, after)| (after - before) / PACKETS);
        trips.sort_unstable();
        Ok(Round {
            trip: trips[trips.len() / 2],
            cpu,
        })
    }

    fn send_note(&mut self) -> Result<()> {
        // V=2, type 97; the list is one note.
        let mut packet = [0x80, 97, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0];
        packet[2..4].copy_from_slice(&self.seq.to_be_bytes());
        packet[8..12].copy_from_slice(&SSRC);
        packet[13..].copy_from_slice(&NOTE);
        self.seq = self.seq.wrapping_add(1);
        self.socket.send(&packet)?;
        Ok(())
    }
}

/// How many notes a command section holds; `None` when there is anything else in it.
fn notes(section: &[u8]) -> Option<u32> {
    let list = match section {
        [short, list @ ..] if short & 0x80 == 0 => list,
        [_, _, list @ ..] => list,
        _ => return None,
    };
    let (first, rest) = list.split_at_checked(NOTE.len())?;
    let more = rest.chunks(1 + NOTE.len());
    let whole = first == NOTE && more.clone().all(|timed| timed.get(1..) == Some(&NOTE));
    whole.then_some(1 + u32::try_from(more.len()).ok()?)
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

/// Keeps the current thread, and those it starts from now on, on one processor. Where the system
/// puts them otherwise decides more than what is measured.
#[cfg(target_os = "linux")]
fn pin_to(processor: usize) {
    let mut set = nix::sched::CpuSet::new();
    let pinned = set
        .set(processor)
        .and_then(|()| nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set));
    if let Err(error) = pinned {
        eprintln!("not kept on processor {processor}: {error}");
    }
}

#[cfg(not(target_os = "linux"))]
fn pin_to(_processor: usize) {}

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
