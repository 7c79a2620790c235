//! What clients cost that are told the same, and those that nobody tells anything.
//!
//! The server has a runtime of one thread on a processor of its own; its clients are bare sockets
//! that a thread on another processor reads. Printed are, for 10, 100 and 1,000 clients, the
//! processor time that one message takes for each client, sent alone and in bursts of 64, beside a
//! bare loop that writes the octets of a burst at once to each of as many sockets, in turn in one
//! run. What the system takes for a socket grows when there are many (the readers sleep more, caches
//! are too small). What is ours is to stay in proportion: the ratio with 1,000 clients at most 1.5
//! times that with 10.
//!
//! First of all: the processor time of the whole process while nothing happens, with one client and
//! with 1,000 (goal: 1 ms a second).
//!
//! `cargo bench -p netmidi-tcp --bench crowd [-- ROUNDS]`, on Linux

#![allow(
    clippy::indexing_slicing,
    reason = "a panic ends the measurement, as it should"
)]

mod common;

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("crowd: needs Linux, which tells the time of a thread");
}

#[cfg(target_os = "linux")]
fn main() -> common::Result<()> {
    linux::main()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;
    use std::time::Duration;

    use netmidi_message::{Channel, ChannelMessage, Note, U7};
    use netmidi_tcp::PortServer;
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    use tokio::io::AsyncReadExt;
    use tokio::runtime::{Builder, Runtime};
    use tokio::time::{Instant, sleep};

    use crate::common::{
        Result, at_most, load, median, micros, number, pin_to, process_time, processors,
        thread_time,
    };

    const SIZES: [usize; 3] = [10, 100, 1000];
    const BURSTS: [usize; 2] = [1, 64];
    const ROUNDS: usize = 9;
    /// Messages to all clients together in one measurement; in bursts so many times more.
    const MESSAGES: usize = 64_000;
    const MORE: usize = 16;
    const IDLE: Duration = Duration::from_secs(5);
    const SOON: Duration = Duration::from_secs(30);

    pub(super) fn main() -> Result<()> {
        let rounds = number().unwrap_or(ROUNDS);
        // Both ends of all connections are here.
        let sockets = 5 * SIZES.iter().max().map_or(0, |most| *most as u64);
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        if soft < sockets {
            setrlimit(Resource::RLIMIT_NOFILE, sockets.min(hard), hard)
                .map_err(|error| format!("no {sockets} files may be open: {error}"))?;
        }
        let (_, processor) = processors();
        pin_to(processor);
        println!("{}", load());
        for clients in [1, 1000] {
            idle(clients)?;
        }
        println!();
        told_the_same(rounds)?;
        println!("{}", load());
        Ok(())
    }

    fn idle(clients: usize) -> Result<()> {
        let runtime = runtime()?;
        let crowd = runtime.block_on(Crowd::served(clients, false))?;
        let used = || process_time().ok_or("no time of the process");
        let took = runtime.block_on(async {
            sleep(Duration::from_millis(500)).await;
            let before = used()?;
            sleep(IDLE).await;
            Result::Ok(used()?.saturating_sub(before))
        })?;
        let each_second = micros(took) / 1000.0 / IDLE.as_secs_f64();
        println!(
            "{clients} idle for {IDLE:?}: {} ms of processor time a second",
            at_most(each_second, 1.0)
        );
        drop(crowd);
        Ok(())
    }

    fn told_the_same(rounds: usize) -> Result<()> {
        let runtime = runtime()?;
        let mut crowds = Vec::new();
        for size in SIZES {
            let ours = runtime.block_on(Crowd::served(size, true))?;
            crowds.push([Crowd::bare(size)?, ours]);
        }
        println!("processor time of one message for each client (µs): median of {rounds} rounds");
        println!("burst   clients   bare loop   server   ratio   to that with 10 clients");
        for burst in BURSTS {
            let mut costs = [const { [Vec::new(), Vec::new()] }; SIZES.len()];
            for round in 0..=rounds {
                for (at, both) in crowds.iter_mut().enumerate() {
                    for (crowd, costs) in both.iter_mut().zip(&mut costs[at]) {
                        let cost = runtime.block_on(crowd.tell(burst, &runtime))?;
                        // In the first one, caches and buffers find their size.
                        if round > 0 {
                            costs.push(cost);
                        }
                    }
                }
            }
            let mut ratios = Vec::new();
            for (at, size) in SIZES.into_iter().enumerate() {
                let [bare, ours] = costs[at].each_mut();
                let pairs = ours.iter().zip(bare.iter());
                let mut to_bare: Vec<_> = pairs.map(|(ours, bare)| ours / bare).collect();
                ratios.push(to_bare.clone());
                let pairs = to_bare.iter().zip(&ratios[0]);
                let mut to_few: Vec<_> = pairs.map(|(many, few)| many / few).collect();
                println!(
                    "{burst:5} {size:9} {:11.3} {:8.3} {:7.2}   {}",
                    median(bare),
                    median(ours),
                    median(&mut to_bare),
                    at_most(median(&mut to_few), 1.5),
                );
            }
        }
        Ok(())
    }

    fn runtime() -> Result<Runtime> {
        Ok(Builder::new_current_thread().enable_all().build()?)
    }

    enum Teller {
        Bare(Vec<TcpStream>),
        Server(PortServer),
    }

    /// Clients, and who tells them something.
    struct Crowd {
        teller: Teller,
        clients: usize,
        /// Octets that all clients have read.
        read: Arc<AtomicU64>,
        told: u64,
        /// Sockets of clients that nobody reads.
        _unread: Vec<TcpStream>,
    }

    impl Crowd {
        async fn served(clients: usize, readers: bool) -> Result<Self> {
            let server = PortServer::builder().max_clients(clients).bind().await?;
            let address = server.local_addr();
            let mut unread = Vec::new();
            let read = Arc::default();
            if readers {
                start_clients(address, clients, Arc::clone(&read));
            } else {
                for _ in 0..clients {
                    unread.push(TcpStream::connect(address)?);
                }
            }
            let begun = Instant::now();
            while server.clients().len() < clients {
                if begun.elapsed() > SOON {
                    return Err("not all came in".into());
                }
                sleep(Duration::from_millis(1)).await;
            }
            Ok(Self {
                teller: Teller::Server(server),
                clients,
                read,
                told: 0,
                _unread: unread,
            })
        }

        fn bare(clients: usize) -> Result<Self> {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let read = Arc::default();
            start_clients(listener.local_addr()?, clients, Arc::clone(&read));
            let mut streams = Vec::new();
            for _ in 0..clients {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                streams.push(stream);
            }
            Ok(Self {
                teller: Teller::Bare(streams),
                clients,
                read,
                told: 0,
                _unread: Vec::new(),
            })
        }

        /// The processor time of each message for each client, in microseconds.
        async fn tell(&mut self, burst: usize, runtime: &Runtime) -> Result<f64> {
            let more = if burst > 1 { MORE } else { 1 };
            let bursts = MESSAGES * more / self.clients / burst;
            let note = ChannelMessage::note_on(Channel::C1, Note::MIDDLE_C, U7::MAX);
            let octets = note.to_octets();
            let octets: &[u8] = octets.as_ref();
            let all = octets.repeat(burst);
            let before = thread_time().ok_or("no time of a thread")?;
            for _ in 0..bursts {
                match &mut self.teller {
                    Teller::Bare(streams) => {
                        use std::io::Write;
                        for stream in streams {
                            stream.write_all(&all)?;
                        }
                    }
                    Teller::Server(server) => {
                        let server = server.handle();
                        let clients = self.clients;
                        // A task, as the drivers are.
                        let send = async move {
                            for _ in 0..burst {
                                if server.send(note).reached() < clients {
                                    return Err("not all are there");
                                }
                            }
                            server.flush().await;
                            // Those who were woken without need.
                            tokio::task::yield_now().await;
                            Ok(())
                        };
                        runtime.spawn(send).await??;
                    }
                }
            }
            let took = thread_time().ok_or("no time of a thread")? - before;
            let messages = bursts * burst * self.clients;
            self.told += (messages * octets.len()) as u64;
            let begun = Instant::now();
            while self.read.load(Ordering::Relaxed) < self.told {
                if begun.elapsed() > SOON {
                    return Err("not all arrived".into());
                }
                sleep(Duration::from_millis(1)).await;
            }
            Ok(micros(took) / messages as f64)
        }
    }

    /// Clients that count what they read, on a processor of their own.
    fn start_clients(address: SocketAddr, clients: usize, read: Arc<AtomicU64>) {
        thread::spawn(move || {
            pin_to(processors().0);
            let result = runtime().and_then(|runtime| {
                runtime.block_on(async {
                    let mut last = None;
                    for _ in 0..clients {
                        let mut stream = tokio::net::TcpStream::connect(address).await?;
                        let read = read.clone();
                        last = Some(tokio::spawn(async move {
                            let mut buffer = [0; 1024];
                            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                                read.fetch_add(count as u64, Ordering::Relaxed);
                            }
                        }));
                    }
                    if let Some(last) = last {
                        last.await?;
                    }
                    Ok(())
                })
            });
            if let Err(error) = result {
                eprintln!("clients: {error}");
            }
        });
    }
}
