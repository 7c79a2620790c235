//! A bad network between two processes: a relay of a pair of UDP ports, from a seed.
//!
//! The one side sends to the relay's pair, the other side sees the relay's other pair, as behind a
//! NAT. Nothing of what is carried is read.

use core::time::Duration;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use netmidi_session::Time;

use crate::link::{Link, LinkQuality};

/// How long a thread that reads a socket may take to notice that it is to end.
const PATIENCE: Duration = Duration::from_millis(50);

/// The largest payload of a UDP datagram.
const MAX_DATAGRAM: usize = 65_535;

/// Pairs of ports tried until two neighbours are free.
const TRIES: usize = 100;

/// Carries datagrams between a client and a server until it is dropped.
#[derive(Debug)]
pub struct Relay {
    control: SocketAddr,
    shared: Arc<Shared>,
    sender: Option<JoinHandle<()>>,
}

/// What a [`Relay`] did so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Carried {
    /// Datagrams that came in.
    pub taken: u64,
    /// Those that went out; one may go out twice.
    pub delivered: u64,
    /// Those that the link lost.
    pub lost: u64,
    /// Those that came in, or would have gone out, while the relay was cut.
    pub cut: u64,
}

/// A pair of sockets: control and data.
type Pair = [Arc<UdpSocket>; 2];

/// What is on the way in one direction: which port of the pair, and the datagram.
type OnTheWay = (usize, Vec<u8>);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Direction {
    ToServer,
    ToClient,
}

#[derive(Debug)]
struct Shared {
    epoch: Instant,
    state: Mutex<State>,
    /// Something is on the way, or the end has come.
    news: Condvar,
}

#[derive(Debug)]
struct State {
    to_server: Link<OnTheWay>,
    to_client: Link<OnTheWay>,
    /// Where the client's datagrams came from last, for each port.
    client: [Option<SocketAddr>; 2],
    server: [SocketAddr; 2],
    front: Pair,
    back: Pair,
    is_cut: bool,
    ended: bool,
    carried: Carried,
}

impl Relay {
    /// Carries what comes to `front`, a control port and the data port above it, to the control port
    /// `server` and the one above that, and back. Port 0 of `front` finds two free ones, the first
    /// even. The link is perfect until [`set_quality`](Self::set_quality).
    ///
    /// # Errors
    /// When the ports cannot be opened, or `server` has no port above it.
    pub fn start(front: SocketAddr, server: SocketAddr, seed: u64) -> io::Result<Self> {
        let front = bind_pair(front)?;
        let control = front[0].local_addr()?;
        let Some(data_port) = server.port().checked_add(1) else {
            return Err(io::Error::other(
                "the server's control port is the last one",
            ));
        };
        let back = bind_pair(SocketAddr::new(unspecified(server.ip()), 0))?;
        let state = State {
            to_server: Link::new(LinkQuality::default(), seed),
            to_client: Link::new(LinkQuality::default(), !seed),
            client: [None; 2],
            server: [server, SocketAddr::new(server.ip(), data_port)],
            front: front.clone(),
            back: back.clone(),
            is_cut: false,
            ended: false,
            carried: Carried::default(),
        };
        let shared = Arc::new(Shared {
            epoch: Instant::now(),
            state: Mutex::new(state),
            news: Condvar::new(),
        });
        listen(&shared, &front, Direction::ToServer);
        listen(&shared, &back, Direction::ToClient);
        let sender = thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.send()
        });
        Ok(Self {
            control,
            shared,
            sender: Some(sender),
        })
    }

    /// The control port to connect to.
    #[must_use]
    pub const fn control(&self) -> SocketAddr {
        self.control
    }

    /// How bad the link is from now on, either way.
    pub fn set_quality(&self, quality: LinkQuality) {
        let mut state = self.shared.lock();
        state.to_server.set_quality(quality);
        state.to_client.set_quality(quality);
    }

    /// From now on nothing gets through, nor what is on the way.
    pub fn cut(&self) {
        self.shared.lock().is_cut = true;
    }

    /// The end of a [`cut`](Self::cut).
    pub fn restore(&self) {
        self.shared.lock().is_cut = false;
    }

    /// The server sees other source ports from now on, and the old ones are closed: a NAT has
    /// forgotten its binding.
    ///
    /// # Errors
    /// When there are no free ports.
    pub fn rebind(&self) -> io::Result<()> {
        let mut state = self.shared.lock();
        let back = bind_pair(SocketAddr::new(unspecified(state.server[0].ip()), 0))?;
        state.back.clone_from(&back);
        listen(&self.shared, &back, Direction::ToClient);
        Ok(())
    }

    /// What it did so far.
    #[must_use]
    pub fn carried(&self) -> Carried {
        let state = self.shared.lock();
        Carried {
            lost: state.to_server.lost() + state.to_client.lost(),
            ..state.carried
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.news.notify_all();
        if let Some(sender) = self.sender.take() {
            let _ended = sender.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn now(&self) -> Time {
        Time::from_micros(u64::try_from(self.epoch.elapsed().as_micros()).unwrap())
    }

    /// Reads one socket until it is no longer one of the relay's.
    fn receive(&self, socket: &Arc<UdpSocket>, port: usize, direction: Direction) {
        let mut datagram = vec![0; MAX_DATAGRAM];
        loop {
            // An error is a port of the other side that was closed (ICMP), or that nothing came.
            let received = socket.recv_from(&mut datagram);
            let mut guard = self.lock();
            let state = &mut *guard;
            let ours = match direction {
                Direction::ToServer => &state.front,
                Direction::ToClient => &state.back,
            };
            if state.ended || !Arc::ptr_eq(&ours[port], socket) {
                return;
            }
            let Ok((length, from)) = received else {
                continue;
            };
            if direction == Direction::ToServer {
                state.client[port] = Some(from);
            } else if from != state.server[port] {
                continue;
            }
            state.carried.taken += 1;
            if state.is_cut {
                state.carried.cut += 1;
                continue;
            }
            let link = match direction {
                Direction::ToServer => &mut state.to_server,
                Direction::ToClient => &mut state.to_client,
            };
            link.send(self.now(), (port, datagram[..length].to_vec()));
            self.news.notify_all();
        }
    }

    /// Sends what has arrived at the end of a link.
    fn send(&self) {
        let mut guard = self.lock();
        while !guard.ended {
            let now = self.now();
            let state = &mut *guard;
            while let Some((port, datagram)) = state.to_server.receive(now) {
                let to = Some(state.server[port]);
                state
                    .carried
                    .pass(state.is_cut, &state.back[port], to, &datagram);
            }
            while let Some((port, datagram)) = state.to_client.receive(now) {
                let to = state.client[port];
                state
                    .carried
                    .pass(state.is_cut, &state.front[port], to, &datagram);
            }
            let arrivals = [&state.to_server, &state.to_client].map(Link::next_arrival);
            let next = arrivals.into_iter().flatten().min();
            guard = match next {
                None => self.news.wait(guard).unwrap(),
                Some(at) => {
                    let pause = at.since(self.now());
                    self.news.wait_timeout(guard, pause).unwrap().0
                }
            };
        }
    }
}

impl Carried {
    fn pass(&mut self, is_cut: bool, socket: &UdpSocket, to: Option<SocketAddr>, datagram: &[u8]) {
        if is_cut {
            self.cut += 1;
        } else if let Some(to) = to
            // What cannot be sent is lost: nobody listens there just now.
            && socket.send_to(datagram, to).is_ok()
        {
            self.delivered += 1;
        }
    }
}

fn listen(shared: &Arc<Shared>, pair: &Pair, direction: Direction) {
    for (port, socket) in pair.iter().enumerate() {
        let (shared, socket) = (Arc::clone(shared), Arc::clone(socket));
        // They end by themselves, soon after the relay or their socket.
        thread::spawn(move || shared.receive(&socket, port, direction));
    }
}

const fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

/// Two neighbouring ports.
fn bind_pair(control: SocketAddr) -> io::Result<Pair> {
    let above = |port: u16| {
        port.checked_add(1)
            .ok_or_else(|| io::Error::other("the control port is the last one"))
    };
    let open = |address: SocketAddr| -> io::Result<Pair> {
        let data = SocketAddr::new(address.ip(), above(address.port())?);
        let pair = [UdpSocket::bind(address)?, UdpSocket::bind(data)?];
        for socket in &pair {
            socket.set_read_timeout(Some(PATIENCE))?;
        }
        Ok(pair.map(Arc::new))
    };
    if control.port() != 0 {
        return open(control);
    }
    let mut result = Err(io::Error::other("no ports tried"));
    for _ in 0..TRIES {
        let even = UdpSocket::bind(control)?.local_addr()?.port() & !1;
        result = open(SocketAddr::new(control.ip(), even));
        if result.is_ok() {
            break;
        }
    }
    result
}
