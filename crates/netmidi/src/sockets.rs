//! The UDP port pairs of an endpoint.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};

use netmidi_session::{LocalPort, PairId, Port};
use socket2::{Domain, Protocol, Socket, Type};

use crate::error::Error;
use crate::watched::Watched;

/// What the operating system is asked to buffer for each socket, in octets: a SysEx dump of 1 MiB
/// arrives as a burst. It gives what it allows (Linux: `net.core.rmem_max`).
const SOCKET_BUFFER: usize = 4 << 20;
/// How often an even port with a free neighbour is looked for.
const PAIR_TRIES: usize = 100;

/// One control and one data socket on neighbouring ports.
#[derive(Debug)]
struct Pair {
    control: Watched,
    data: Watched,
    /// Whether IPv4 peers appear as `::ffff:a.b.c.d`.
    dual_stack: bool,
    /// Whether it is open for IPv4, for IPv6, or both.
    families: Families,
    addresses: PairAddresses,
}

#[derive(Clone, Copy, Debug)]
struct Families {
    v4: bool,
    v6: bool,
}

/// Where one port pair listens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PairAddresses {
    /// The control port: what peers are told to connect to.
    pub control: SocketAddr,
    /// The data port, the one above it.
    pub data: SocketAddr,
}

/// All port pairs of an endpoint.
#[derive(Debug)]
pub(crate) struct Sockets {
    pairs: Vec<Pair>,
    /// Where to go on looking for datagrams, so that no socket starves the others.
    turn: usize,
}

impl Sockets {
    pub(crate) fn bind(addresses: &[SocketAddr]) -> Result<Self, Error> {
        let pairs = addresses
            .iter()
            .map(|address| Pair::bind(*address))
            .collect::<Result<_, _>>()?;
        Ok(Self { pairs, turn: 0 })
    }

    pub(crate) fn addresses(&self) -> Vec<PairAddresses> {
        self.pairs.iter().map(|pair| pair.addresses).collect()
    }

    /// The pair from which this address can be reached: one of its own family before one of both.
    pub(crate) fn pair_for(&self, to: SocketAddr) -> Option<PairId> {
        let fits = |pair: &Pair| match to {
            SocketAddr::V4(_) => pair.families.v4,
            SocketAddr::V6(_) => pair.families.v6,
        };
        let own = |pair: &Pair| fits(pair) && pair.addresses.control.is_ipv4() == to.is_ipv4();
        let index = self
            .pairs
            .iter()
            .position(own)
            .or_else(|| self.pairs.iter().position(fits))?;
        u16::try_from(index).ok().map(PairId)
    }

    /// Gives the turn to the next socket. To be called once in a while: as long as it is not, a
    /// socket that always has something is read alone.
    pub(crate) fn pass_turn(&mut self) {
        self.turn = (self.turn + 1) % (self.pairs.len() * 2).max(1);
    }

    /// The next datagram of any socket: its length, where it came in and from where.
    ///
    /// An error is the socket's, not the endpoint's: the next call may well succeed.
    pub(crate) fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, LocalPort, SocketAddr)>> {
        let sockets = self.pairs.len() * 2;
        for step in 0..sockets {
            let index = (self.turn + step) % sockets;
            let Some((socket, local)) = self.socket(index) else {
                continue;
            };
            if let Poll::Ready(result) = socket.poll_recv(cx, buffer) {
                self.turn = index;
                return Poll::Ready(result.map(|(len, from)| (len, local, canonical(from))));
            }
        }
        Poll::Pending
    }

    /// Sends a datagram.
    ///
    /// # Errors
    /// `WouldBlock` when the socket has no room for it just now.
    pub(crate) fn send(&self, local: LocalPort, to: SocketAddr, octets: &[u8]) -> io::Result<()> {
        let Some(pair) = self.pairs.get(usize::from(local.pair.0)) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let socket = match local.port {
            Port::Control => &pair.control,
            Port::Data => &pair.data,
        };
        socket.send(if pair.dual_stack { mapped(to) } else { to }, octets)
    }

    fn socket(&self, index: usize) -> Option<(&Watched, LocalPort)> {
        let pair = self.pairs.get(index / 2)?;
        let id = PairId(u16::try_from(index / 2).ok()?);
        Some(match index % 2 {
            0 => (&pair.data, LocalPort::data(id)),
            _ => (&pair.control, LocalPort::control(id)),
        })
    }
}

impl Pair {
    fn bind(address: SocketAddr) -> Result<Self, Error> {
        match Self::bind_exactly(address) {
            // A machine without IPv6: "everywhere" then means all of IPv4.
            Err(Error::Bind { source, .. })
                if address.ip() == Ipv6Addr::UNSPECIFIED && is_no_ipv6(&source) =>
            {
                Self::bind_exactly(SocketAddr::new(
                    Ipv4Addr::UNSPECIFIED.into(),
                    address.port(),
                ))
            }
            result => result,
        }
    }

    fn bind_exactly(address: SocketAddr) -> Result<Self, Error> {
        let (control, data) = if address.port() == 0 {
            any_pair(address)?
        } else {
            this_pair(address)?
        };
        let local = |socket: &Watched, port| {
            socket.local_addr().map_err(|source| Error::Bind {
                port,
                address,
                source,
            })
        };
        let addresses = PairAddresses {
            control: local(&control, Port::Control)?,
            data: local(&data, Port::Data)?,
        };
        if !addresses.control.port().is_multiple_of(2) {
            tracing::warn!(
                address = %addresses.control,
                "the control port is odd: some peers (node-rtpmidi) cannot connect to it"
            );
        }
        Ok(Self {
            control,
            data,
            dual_stack: address.is_ipv6(),
            families: Families {
                v4: address.is_ipv4() || address.ip() == Ipv6Addr::UNSPECIFIED,
                v6: address.is_ipv6(),
            },
            addresses,
        })
    }
}

fn this_pair(address: SocketAddr) -> Result<(Watched, Watched), Error> {
    let Some(above) = address.port().checked_add(1) else {
        return Err(Error::NoDataPort { address });
    };
    let control = open(Port::Control, address)?;
    let data = open(Port::Data, with_port(address, above))?;
    Ok((control, data))
}

/// An even control port with its neighbour free: some peers tell control from data by parity.
fn any_pair(address: SocketAddr) -> Result<(Watched, Watched), Error> {
    for _ in 0..PAIR_TRIES {
        let first = open(Port::Control, address)?;
        let port = first
            .local_addr()
            .map_err(|source| Error::Bind {
                port: Port::Control,
                address,
                source,
            })?
            .port();
        // Whichever half of the pair the system gave us, look for the other.
        let (neighbour, other) = match port % 2 {
            0 => (port + 1, Port::Data),
            _ => (port - 1, Port::Control),
        };
        match (open(other, with_port(address, neighbour)), other) {
            (Ok(second), Port::Data) => return Ok((first, second)),
            (Ok(second), Port::Control) => return Ok((second, first)),
            (Err(Error::Bind { source, .. }), _) if source.kind() == io::ErrorKind::AddrInUse => {}
            (Err(error), _) => return Err(error),
        }
    }
    Err(Error::NoFreePair {
        ip: address.ip(),
        tries: PAIR_TRIES,
    })
}

fn open(port: Port, address: SocketAddr) -> Result<Watched, Error> {
    open_socket(address).map_err(|source| Error::Bind {
        port,
        address,
        source,
    })
}

fn open_socket(address: SocketAddr) -> io::Result<Watched> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // A wish: with less, long SysEx from fast peers may lose packets.
    for result in [
        socket.set_recv_buffer_size(SOCKET_BUFFER),
        socket.set_send_buffer_size(SOCKET_BUFFER),
    ] {
        if let Err(error) = result {
            tracing::debug!(%address, %error, "the system's default socket buffers stay");
        }
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Watched::new(socket.into())
}

fn is_no_ipv6(error: &io::Error) -> bool {
    // EAFNOSUPPORT has no kind of its own.
    #[cfg(target_os = "linux")]
    const NO_SUCH_FAMILY: i32 = 97;
    #[cfg(windows)]
    const NO_SUCH_FAMILY: i32 = 10047;
    #[cfg(not(any(target_os = "linux", windows)))]
    const NO_SUCH_FAMILY: i32 = 47;
    error.raw_os_error() == Some(NO_SUCH_FAMILY) || error.kind() == io::ErrorKind::AddrNotAvailable
}

const fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

/// IPv4 peers of a dual-stack socket under their own address; the scope of link-local ones stays.
fn canonical(from: SocketAddr) -> SocketAddr {
    match from.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, from.port()),
        IpAddr::V6(_) => from,
    }
}

/// The way back: how a dual-stack socket names an IPv4 peer.
const fn mapped(to: SocketAddr) -> SocketAddr {
    match to {
        SocketAddr::V4(v4) => SocketAddr::new(IpAddr::V6(v4.ip().to_ipv6_mapped()), v4.port()),
        SocketAddr::V6(_) => to,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_peers_keep_their_address_on_a_dual_stack_socket() {
        let v4: SocketAddr = "192.0.2.7:5004".parse().unwrap();
        let on_wire: SocketAddr = "[::ffff:192.0.2.7]:5004".parse().unwrap();
        assert_eq!(mapped(v4), on_wire);
        assert_eq!(canonical(on_wire), v4);
        let scoped: SocketAddr = "[fe80::1%3]:5004".parse().unwrap();
        assert_eq!(canonical(scoped), scoped);
        assert_eq!(mapped(scoped), scoped);
    }
}
