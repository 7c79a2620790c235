//! Thousands of sessions on one endpoint: what they cost.
//!
//! The endpoint is in a process of its own, with a runtime of one thread; that thread's processor
//! time and that process's memory are what is measured. The load is here: one thread that plays all
//! peers from two sockets, each peer with an address of its own in 127.0.0.0/8. Four questions:
//!
//! * How many invitations a second are accepted, both halves, until 1,000 and 10,000 peers are in?
//!   (goal: 12,000)
//! * What memory and processor time does a session take that only compares clocks, each 10 s and
//!   each second, and do all of them stay? (goal: 4,096 octets)
//! * What does a datagram cost among 10,000 sessions, against one that is alone? (goal: 1.3 times)
//!   Endpoints with 1, 100, 1,000 and 10,000 sessions are asked in turn in one run, each at the same
//!   rate, and their sessions in turn. Ratios are of neighbours in a round: they hold on a machine
//!   whose speed drifts.
//!
//! What a datagram costs is counted over those that come in and those that go out. They are not
//! alike for any number of sessions: a peer that plays seldom is told of each note what arrived, one
//! that plays often is told fifty times a second. Clock exchanges are: one in, one out.
//!
//! `cargo bench -p netmidi --bench many [-- ROUNDS] [sessions | datagrams]`, on Linux

#![forbid(unsafe_code)]
#![allow(
    clippy::indexing_slicing,
    reason = "a panic ends the measurement, as it should"
)]

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("many: needs Linux, where one socket can send from many addresses");
}

#[cfg(target_os = "linux")]
fn main() -> linux::Result<()> {
    linux::main()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::error::Error;
    use std::io::{BufRead, BufReader, IoSlice, IoSliceMut, Write};
    use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
    use std::os::fd::{AsFd, AsRawFd};
    use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::thread;
    use std::time::{Duration, Instant};

    use futures::StreamExt;
    use netmidi::{Endpoint, Event, JournalPolicy};
    use nix::errno::Errno;
    use nix::libc::{in_addr, in_pktinfo};
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt,
        sockopt,
    };

    pub(super) type Result<T> = core::result::Result<T, Box<dyn Error + Send + Sync>>;

    const SIZES: [usize; 4] = [1, 100, 1000, 10_000];
    const ROUNDS: usize = 9;
    /// Invitations on the way at once; whoever is not answered for so long asks again.
    const INVITING: usize = 128;
    const ASK_AGAIN: Duration = Duration::from_secs(1);
    /// Datagrams of one train, sent without a pause; the next one begins when all is answered.
    const TRAIN: usize = 64;
    /// Datagrams to the endpoint in one slice of a round, and a second.
    const SLICE: usize = 10_240;
    const RATE: u32 = 20_000;
    /// The word that makes this process the endpoint.
    const ENDPOINT: &str = "--endpoint";

    pub(super) fn main() -> Result<()> {
        // `cargo bench` passes `--bench`.
        let words: Vec<String> = std::env::args().skip(1).collect();
        let number = words.iter().find_map(|word| word.parse().ok());
        if words.iter().any(|word| word == ENDPOINT) {
            return endpoint(number.ok_or("for how many?")?);
        }
        let processors = thread::available_parallelism()?.get();
        pin_to(0);
        let only = |word| !words.iter().any(|it| it == word);
        if only("datagrams") {
            come_and_stay(processors - 1)?;
        }
        if only("sessions") {
            cost_of_a_datagram(processors - 1, number.unwrap_or(ROUNDS))?;
        }
        Ok(())
    }

    // The endpoint's process.

    /// Reports where it listens and which thread is the endpoint's, then obeys.
    fn endpoint(sessions: usize) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let link = std::fs::read_link("/proc/thread-self")?;
        // A spawned task: the runtime polls the future of `block_on` only when it has looked at its
        // sockets once more.
        runtime.block_on(runtime.spawn(async move {
            let mut endpoint = Endpoint::builder()
                .name("many")
                .listen("127.0.0.1:0".parse()?)
                .configure(|config| {
                    config.max_participants = sessions;
                    config.max_invitations = INVITING;
                })
                .bind()
                .await?;
            let address = endpoint.addresses().first().ok_or("no address")?.control;
            println!("{address} /proc/{}", link.display());
            let handle = endpoint.handle();
            let echo = Arc::new(AtomicBool::new(false));
            let lost = Arc::new(AtomicU64::new(0));
            let (commands, mut command) = tokio::sync::mpsc::unbounded_channel();
            thread::spawn(move || {
                for line in std::io::stdin().lines().map_while(core::result::Result::ok) {
                    if commands.send(line).is_err() {
                        return;
                    }
                }
                // Nobody is there any more.
                std::process::exit(0);
            });
            let (echoes, gone, obeying) = (Arc::clone(&echo), Arc::clone(&lost), handle.clone());
            tokio::spawn(async move {
                while let Some(line) = command.recv().await {
                    let Ok(stats) = obeying.stats().await else {
                        return;
                    };
                    echoes.store(line == "echo", Ordering::Relaxed);
                    if line == "echo" {
                        for peer in &stats.peers {
                            // It may have left.
                            let _ = obeying.set_journal(peer.id, JournalPolicy::Off);
                        }
                    }
                    let exchanges = stats.peers.iter().map(|it| it.counters.clock_exchanges);
                    println!(
                        "{} {} {}",
                        stats.peers.len(),
                        gone.load(Ordering::Relaxed),
                        exchanges.min().unwrap_or_default()
                    );
                }
            });
            while let Some(event) = endpoint.next().await {
                match event {
                    Event::Message { peer, message, .. } if echo.load(Ordering::Relaxed) => {
                        handle.send(peer.id, &message)?;
                    }
                    Event::Message { .. } | Event::Connected { .. } => {}
                    _ => {
                        lost.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            Ok(())
        }))?
    }

    /// That process, from outside.
    struct Target {
        child: Child,
        orders: ChildStdin,
        answers: BufReader<ChildStdout>,
        control: SockaddrIn,
        data: SockaddrIn,
        /// Where the system tells of the thread.
        thread: String,
    }

    /// What it says of itself.
    #[derive(Debug)]
    struct Report {
        connected: usize,
        /// Events that are neither a message nor somebody who came.
        odd: u64,
        /// What the session with the fewest has.
        clock_exchanges: u64,
    }

    impl Target {
        fn start(sessions: usize, processor: usize) -> Result<Self> {
            pin_to(processor);
            let child = Command::new(std::env::current_exe()?)
                .args([ENDPOINT, &sessions.to_string()])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn();
            pin_to(0);
            let mut child = child?;
            let orders = child.stdin.take().ok_or("no pipe")?;
            let mut answers = BufReader::new(child.stdout.take().ok_or("no pipe")?);
            let mut line = String::new();
            answers.read_line(&mut line)?;
            let (address, thread) = line
                .trim()
                .split_once(' ')
                .ok_or("the endpoint did not start")?;
            let SocketAddr::V4(control) = address.parse()? else {
                return Err("not the address that was asked for".into());
            };
            let data = SocketAddrV4::new(*control.ip(), control.port() + 1);
            Ok(Self {
                child,
                orders,
                answers,
                control: control.into(),
                data: data.into(),
                thread: thread.to_owned(),
            })
        }

        fn order(&mut self, word: &str) -> Result<Report> {
            writeln!(self.orders, "{word}")?;
            let mut line = String::new();
            self.answers.read_line(&mut line)?;
            let mut numbers = line.split_whitespace().map(str::parse::<u64>);
            let mut next = || numbers.next().ok_or("the endpoint is gone");
            Ok(Report {
                connected: usize::try_from(next()??)?,
                odd: next()??,
                clock_exchanges: next()??,
            })
        }

        /// Processor time that the endpoint's thread has taken so far.
        fn cpu(&self) -> Result<Duration> {
            let text = std::fs::read_to_string(format!("{}/schedstat", self.thread))?;
            let nanos = text.split_whitespace().next().ok_or("no schedstat")?;
            Ok(Duration::from_nanos(nanos.parse()?))
        }

        /// Memory of the process that is its own, in octets.
        fn memory(&self) -> Result<u64> {
            let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
            let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
            let kilobytes = line.and_then(|line| line.split_whitespace().next());
            Ok(kilobytes.ok_or("no RssAnon")?.parse::<u64>()? * 1024)
        }
    }

    impl Drop for Target {
        fn drop(&mut self) {
            // It has nothing to lose; both fail only when it is gone already.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    // The peers.

    /// All peers of one endpoint.
    struct Crowd {
        target: Target,
        control: UdpSocket,
        data: UdpSocket,
        /// The next sequence number of each.
        peers: Vec<u16>,
        turn: usize,
        count: Count,
        epoch: Instant,
    }

    #[derive(Clone, Copy, Debug, Default)]
    struct Count {
        sent: u64,
        received: u64,
        /// Notes that came back.
        notes: u64,
        /// Answers to clock questions.
        clocks: u64,
    }

    /// What came for a peer.
    enum Arrived {
        /// OK, on the data port or not.
        Accepted {
            data: bool,
        },
        /// CK1, with the time that was asked with and that of the answer.
        Clock([u8; 16]),
        Notes,
        /// RS, or an invitation to nothing in particular.
        Other,
    }

    impl Crowd {
        /// All of them come in, and say how long that took on the clock and on the processor.
        fn gather(size: usize, processor: usize) -> Result<(Self, Duration, Duration)> {
            let mut crowd = Self {
                target: Target::start(size, processor)?,
                control: open()?,
                data: open()?,
                peers: vec![0; size],
                turn: 0,
                count: Count::default(),
                epoch: Instant::now(),
            };
            let (cpu, start) = (crowd.target.cpu()?, Instant::now());
            crowd.invite()?;
            let took = start.elapsed();
            let report = crowd.target.order("report")?;
            if report.connected != size {
                return Err(format!("not all of {size} came in: {report:?}").into());
            }
            let cpu = crowd.target.cpu()? - cpu;
            Ok((crowd, took, cpu))
        }

        fn invite(&mut self) -> Result<()> {
            /// How far a peer is.
            #[derive(Clone, Copy, Eq, PartialEq)]
            enum Stage {
                Control,
                Data,
                In,
            }
            let mut stages: Vec<Stage> = Vec::with_capacity(self.peers.len());
            let (mut first, mut inside, mut heard_at) = (0, 0, Instant::now());
            while inside < self.peers.len() {
                while stages.len() < self.peers.len() && stages.len() - inside < INVITING {
                    self.send_invitation(stages.len(), false)?;
                    stages.push(Stage::Control);
                }
                self.wait(Duration::from_millis(100))?;
                while let Some((peer, arrived)) = self.receive()? {
                    heard_at = Instant::now();
                    match (stages[peer], arrived) {
                        (Stage::Control, Arrived::Accepted { data: false }) => {
                            self.send_invitation(peer, true)?;
                            stages[peer] = Stage::Data;
                        }
                        (Stage::Data, Arrived::Accepted { data: true }) => {
                            stages[peer] = Stage::In;
                            inside += 1;
                        }
                        _ => {}
                    }
                }
                while stages.get(first) == Some(&Stage::In) {
                    first += 1;
                }
                if heard_at.elapsed() > ASK_AGAIN {
                    heard_at = Instant::now();
                    let missing = stages.iter().enumerate().skip(first);
                    for (peer, stage) in missing.filter(|(_, stage)| **stage != Stage::In) {
                        self.send_invitation(peer, *stage == Stage::Data)?;
                    }
                }
            }
            Ok(())
        }

        /// Each peer compares clocks once in an interval, for some intervals. Returns how long that
        /// took, and how many got no answer.
        fn idle(&mut self, interval: Duration, times: usize) -> Result<(Duration, u64)> {
            let start = Instant::now();
            let total = self.peers.len() * times;
            let due = |n: usize| start + interval.mul_f64(n as f64 / (total / times) as f64);
            let answered = self.count.clocks;
            let mut asked = 0;
            while asked < total {
                while asked < total && due(asked) <= Instant::now() {
                    self.ask_clock(asked % self.peers.len())?;
                    asked += 1;
                }
                self.wait(Duration::from_millis(2))?;
                self.receive_all()?;
            }
            let took = start.elapsed();
            let until = Instant::now() + Duration::from_secs(2);
            while self.count.clocks - answered < total as u64 && Instant::now() < until {
                self.wait(Duration::from_millis(2))?;
                self.receive_all()?;
            }
            Ok((took, total as u64 - (self.count.clocks - answered)))
        }

        /// Datagrams in trains at a fixed rate. Returns what each cost, over those in and out.
        fn measure(&mut self, kind: Kind) -> Result<Cost> {
            let (cpu, before) = (self.target.cpu()?, self.count);
            let mut start = Instant::now();
            let train = Duration::from_secs(1) / RATE * u32::try_from(TRAIN)?;
            for _ in 0..SLICE / TRAIN {
                for n in 0..TRAIN {
                    if !matches!(kind, Kind::OneOfThem) {
                        self.turn = (self.turn + 1) % self.peers.len();
                    }
                    let peer = self.turn;
                    let before = self.count;
                    match kind {
                        Kind::Notes | Kind::OneOfThem => {
                            self.send_note(peer)?;
                            if n + 1 == TRAIN {
                                // Its answer is behind all others.
                                self.ask_clock(peer)?;
                                self.await_more(|now| now.clocks > before.clocks)?;
                            }
                        }
                        Kind::Echo => {
                            self.send_note(peer)?;
                            self.await_more(|now| now.notes > before.notes)?;
                        }
                        Kind::Clocks => {
                            self.ask_clock(peer)?;
                            self.await_more(|now| now.clocks > before.clocks)?;
                        }
                    }
                }
                start += train;
                match start.checked_duration_since(Instant::now()) {
                    Some(early) => thread::sleep(early),
                    // What is lost is not made up for.
                    None => start = Instant::now(),
                }
            }
            // What was put off is sent by now.
            thread::sleep(Duration::from_millis(30));
            self.receive_all()?;
            let (cpu, now) = (self.target.cpu()? - cpu, self.count);
            let datagrams = now.sent - before.sent + now.received - before.received;
            Ok(Cost {
                each: micros(cpu) / datagrams as f64,
                datagrams: datagrams as f64 / SLICE as f64,
            })
        }

        /// Receives until something has happened.
        fn await_more(&mut self, done: impl Fn(&Count) -> bool) -> Result<()> {
            let until = Instant::now() + Duration::from_secs(5);
            while !done(&self.count) {
                if Instant::now() > until {
                    return Err("the endpoint does not answer".into());
                }
                self.wait(Duration::from_millis(100))?;
                self.receive_all()?;
            }
            Ok(())
        }

        fn send_invitation(&mut self, peer: usize, data: bool) -> Result<()> {
            let mut packet = [0xFF, 0xFF, b'I', b'N', 0, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0, 0];
            packet[12..].copy_from_slice(&ssrc(peer));
            self.send(peer, data, &packet)
        }

        fn send_note(&mut self, peer: usize) -> Result<()> {
            // V=2, type 97; the list is one note, on and off in turn.
            let mut packet = [0x80, 97, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0x90, 60, 100];
            let seq = &mut self.peers[peer];
            packet[2..4].copy_from_slice(&seq.to_be_bytes());
            packet[8..12].copy_from_slice(&ssrc(peer));
            packet[15] *= (*seq & 1) as u8;
            *seq = seq.wrapping_add(1);
            self.send(peer, true, &packet)
        }

        fn ask_clock(&mut self, peer: usize) -> Result<()> {
            self.send_clock(peer, 0, &[])
        }

        /// The times so far, and ours behind them.
        fn send_clock(&mut self, peer: usize, count: u8, times: &[u8]) -> Result<()> {
            let now = self.epoch.elapsed().as_micros() / 100;
            let mut packet = [0; 36];
            packet[..4].copy_from_slice(&[0xFF, 0xFF, b'C', b'K']);
            packet[4..8].copy_from_slice(&ssrc(peer));
            packet[8] = count;
            let (before, rest) = packet[12..].split_at_mut(times.len());
            before.copy_from_slice(times);
            rest[..8].copy_from_slice(&u64::try_from(now)?.to_be_bytes());
            self.send(peer, true, &packet)
        }

        fn send(&mut self, peer: usize, data: bool, packet: &[u8]) -> Result<()> {
            let source = in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: in_addr {
                    s_addr: u32::from(host(peer)).to_be(),
                },
                ipi_addr: in_addr { s_addr: 0 },
            };
            let (socket, to) = if data {
                (&self.data, self.target.data)
            } else {
                (&self.control, self.target.control)
            };
            sendmsg(
                socket.as_raw_fd(),
                &[IoSlice::new(packet)],
                &[ControlMessage::Ipv4PacketInfo(&source)],
                MsgFlags::empty(),
                Some(&to),
            )?;
            self.count.sent += 1;
            Ok(())
        }

        /// Datagrams for which the sockets of either side had no room, so far.
        fn dropped(&self) -> Result<u64> {
            let ports = [
                self.control.local_addr()?.port(),
                self.data.local_addr()?.port(),
                self.target.control.port(),
                self.target.data.port(),
            ];
            let ends = ports.map(|port| format!(":{port:04X}"));
            let mut dropped = 0;
            for line in std::fs::read_to_string("/proc/net/udp")?.lines() {
                let mut words = line.split_whitespace();
                let local = words.nth(1).unwrap_or_default();
                if ends.iter().any(|end| local.ends_with(end)) {
                    let last = words.next_back().ok_or("no count")?;
                    dropped += last.parse::<u64>()?;
                }
            }
            Ok(dropped)
        }

        fn wait(&self, at_most: Duration) -> Result<()> {
            let mut sockets =
                [&self.data, &self.control].map(|it| PollFd::new(it.as_fd(), PollFlags::POLLIN));
            poll(&mut sockets, PollTimeout::try_from(at_most)?)?;
            Ok(())
        }

        /// Takes all that has come, and ends clock exchanges.
        fn receive_all(&mut self) -> Result<()> {
            while let Some((peer, arrived)) = self.receive()? {
                if let Arrived::Clock(times) = arrived {
                    self.send_clock(peer, 2, &times)?;
                }
            }
            Ok(())
        }

        /// The next datagram, if there is any, and whom it is for.
        fn receive(&mut self) -> Result<Option<(usize, Arrived)>> {
            for (socket, data) in [(&self.data, true), (&self.control, false)] {
                let mut octets = [0; 2048];
                let mut info = nix::cmsg_space!(in_pktinfo);
                let mut parts = [IoSliceMut::new(&mut octets)];
                let received = match recvmsg::<SockaddrIn>(
                    socket.as_raw_fd(),
                    &mut parts,
                    Some(&mut info),
                    MsgFlags::MSG_DONTWAIT,
                ) {
                    Ok(received) => received,
                    Err(Errno::EAGAIN) => continue,
                    Err(error) => return Err(error.into()),
                };
                let to = received.cmsgs()?.find_map(|message| match message {
                    ControlMessageOwned::Ipv4PacketInfo(info) => Some(info.ipi_addr.s_addr),
                    _ => None,
                });
                let len = received.bytes;
                let peer = peer_at(Ipv4Addr::from(u32::from_be(to.ok_or("for whom?")?)));
                self.count.received += 1;
                let packet = octets.get(..len).unwrap_or_default();
                let arrived = match packet {
                    [0xFF, 0xFF, b'O', b'K', ..] => Arrived::Accepted { data },
                    [0xFF, 0xFF, b'N', b'O', ..] => return Err("an invitation was refused".into()),
                    [0xFF, 0xFF, b'B', b'Y', ..] => return Err("a session was ended".into()),
                    [0xFF, 0xFF, b'C', b'K', _, _, _, _, 1, _, _, _, time @ ..] => {
                        self.count.clocks += 1;
                        Arrived::Clock(time[..16].try_into()?)
                    }
                    [0x80, _, _, _, _, _, _, _, _, _, _, _, list @ ..] if list.len() > 1 => {
                        self.count.notes += 1;
                        Arrived::Notes
                    }
                    _ => Arrived::Other,
                };
                return Ok(Some((peer, arrived)));
            }
            Ok(None)
        }
    }

    /// A socket that is told, and tells, at which of our addresses.
    fn open() -> Result<UdpSocket> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        setsockopt(&socket, sockopt::RcvBuf, &(4 << 20))?;
        Ok(socket)
    }

    const FIRST_HOST: u32 = u32::from_be_bytes([127, 1, 0, 0]);

    fn host(peer: usize) -> Ipv4Addr {
        Ipv4Addr::from(FIRST_HOST + u32::try_from(peer).unwrap_or(u32::MAX))
    }

    fn peer_at(host: Ipv4Addr) -> usize {
        usize::try_from(u32::from(host) - FIRST_HOST).unwrap_or(usize::MAX)
    }

    /// In no order.
    fn ssrc(peer: usize) -> [u8; 4] {
        (peer as u32)
            .wrapping_add(1)
            .wrapping_mul(0x9E37_79B1)
            .to_be_bytes()
    }

    // What is measured.

    fn come_and_stay(processor: usize) -> Result<()> {
        println!("invitations, both halves");
        println!("sessions   a second (goal 12,000)   cpu each (µs)   memory each (octets)");
        for size in [1000, 10_000] {
            // Both have taken in somebody before.
            let (mut rates, mut costs, mut last) = (Vec::new(), Vec::new(), None);
            for _ in 0..3 {
                drop(last.take());
                let (crowd, took, cpu) = Crowd::gather(size, processor)?;
                rates.push(size as f64 / took.as_secs_f64());
                costs.push(micros(cpu) / size as f64);
                last = Some(crowd);
            }
            // What an endpoint takes before anybody comes.
            let bare = Target::start(size, processor)?.memory()?;
            let crowd = last.ok_or("no round")?;
            let each = crowd.target.memory()?.saturating_sub(bare) / size as u64;
            let rate = median(&mut rates);
            println!(
                "{size:8} {rate:10.0}{:15} {:15.1} {each:22}",
                if rate < 12_000.0 { ", missed" } else { "" },
                median(&mut costs),
            );
        }
        println!("\nidle but for clock exchanges");
        println!(
            "sessions  each  packets/s in   out   cpu (ms/s)   each exchange (µs)   memory each   connected   unanswered   dropped by sockets"
        );
        for size in [1000, 10_000] {
            let (mut crowd, ..) = Crowd::gather(size, processor)?;
            let mut exchanges = 0;
            // The first ones are on account of the introductions.
            crowd.idle(Duration::from_secs(4), 1)?;
            for (interval, times) in [(10, 2), (1, 20)] {
                let (cpu, before) = (crowd.target.cpu()?, crowd.count);
                let (took, unanswered) = crowd.idle(Duration::from_secs(interval), times)?;
                let took = took.as_secs_f64();
                let (cpu, now) = (crowd.target.cpu()? - cpu, crowd.count);
                let report = crowd.target.order("report")?;
                let bare = Target::start(size, processor)?.memory()?;
                let each = crowd.target.memory()?.saturating_sub(bare) / size as u64;
                println!(
                    "{size:8} {interval:3} s {:13.0} {:5.0} {:12.2} {:20.1} {each:13} {:11} {unanswered:12} {:20}",
                    (now.sent - before.sent) as f64 / took,
                    (now.received - before.received) as f64 / took,
                    micros(cpu) / 1000.0 / took,
                    micros(cpu) / (size * times) as f64,
                    report.connected,
                    crowd.dropped()?,
                );
                // But for one that the network lost.
                exchanges += times as u64 - 1;
                if report.connected != size || report.odd > 0 || report.clock_exchanges < exchanges
                {
                    return Err(
                        format!("not all stayed, or stayed synchronised: {report:?}").into(),
                    );
                }
            }
        }
        println!();
        Ok(())
    }

    #[derive(Clone, Copy, Debug)]
    enum Kind {
        /// A note comes in, and nothing is done with it.
        Notes,
        /// The same, and only one of the sessions plays.
        OneOfThem,
        /// One comes in and goes out again, one at a time.
        Echo,
        /// A clock question comes in, its answer goes out.
        Clocks,
    }

    struct Cost {
        /// Processor time of each datagram, in microseconds.
        each: f64,
        /// Datagrams in and out for each that was asked with.
        datagrams: f64,
    }

    fn cost_of_a_datagram(processor: usize, rounds: usize) -> Result<()> {
        let mut crowds = SIZES
            .iter()
            .map(|size| Ok(Crowd::gather(*size, processor)?.0))
            .collect::<Result<Vec<_>>>()?;
        println!("a datagram, in or out: median of {rounds} rounds");
        println!("kind       sessions   cpu (µs)   to one session   datagrams for each sent");
        for kind in [Kind::Notes, Kind::OneOfThem, Kind::Echo, Kind::Clocks] {
            let mut costs = [const { Vec::new() }; SIZES.len()];
            let mut ratios = costs.clone();
            let mut counts = costs.clone();
            for round in 0..=rounds {
                let mut alone = None;
                for (at, crowd) in crowds.iter_mut().enumerate() {
                    if round == 0 {
                        let echo = matches!(kind, Kind::Echo);
                        crowd.target.order(if echo { "echo" } else { "report" })?;
                    }
                    // Nobody is given up who has no turn for long.
                    crowd.idle(Duration::from_micros(50) * u32::try_from(SIZES[at])?, 1)?;
                    let cost = crowd.measure(kind)?;
                    if round == 0 {
                        // Caches and buffers find their size.
                        continue;
                    }
                    let alone = *alone.get_or_insert(cost.each);
                    costs[at].push(cost.each);
                    ratios[at].push(cost.each / alone);
                    counts[at].push(cost.datagrams);
                }
            }
            for (at, size) in SIZES.iter().enumerate() {
                let ratio = median(&mut ratios[at]);
                println!(
                    "{:10} {size:8} {:10.2} {ratio:16.3} {:25.2}{}",
                    format!("{kind:?}"),
                    median(&mut costs[at]),
                    median(&mut counts[at]),
                    if ratio > 1.3 {
                        "   goal 1.3, missed"
                    } else {
                        ""
                    },
                );
            }
        }
        for (crowd, size) in crowds.iter_mut().zip(SIZES) {
            let report = crowd.target.order("report")?;
            if report.connected != size || report.odd > 0 {
                return Err(format!("not all of {size} stayed: {report:?}").into());
            }
        }
        Ok(())
    }

    /// Keeps the current thread, and processes it starts from now on, on one processor. Where the
    /// system puts them otherwise decides more than what is measured.
    fn pin_to(processor: usize) {
        let mut set = nix::sched::CpuSet::new();
        let pinned = set
            .set(processor)
            .and_then(|()| nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set));
        if let Err(error) = pinned {
            eprintln!("not kept on processor {processor}: {error}");
        }
    }

    fn micros(duration: Duration) -> f64 {
        duration.as_secs_f64() * 1e6
    }

    fn median(numbers: &mut [f64]) -> f64 {
        numbers.sort_by(f64::total_cmp);
        numbers[numbers.len() / 2]
    }
}
