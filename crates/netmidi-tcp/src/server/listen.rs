//! The sockets that a server listens on.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::address::{LOOPBACK, ListenAddress, ListenHost};
use crate::error::BindError;

/// So many connections may wait in the system until we have accepted them.
const BACKLOG: i32 = 1024;

/// Opens the listeners that an address stands for.
pub(super) async fn listen(
    address: &ListenAddress,
    listeners: &mut Vec<TcpListener>,
) -> Result<(), BindError> {
    let port = address.port;
    match &address.host {
        ListenHost::Number(number) => listeners.push(open(*number)?),
        ListenHost::Everywhere => {
            let all: SocketAddr = (Ipv6Addr::UNSPECIFIED, port).into();
            listeners.push(match open(all) {
                Err(BindError::Listen { source, .. }) if is_without_ipv6(&source) => {
                    open((Ipv4Addr::UNSPECIFIED, port).into())?
                }
                result => result?,
            });
        }
        ListenHost::Loopback => listen_on_each(LOOPBACK, port, listeners)?,
        ListenHost::Name(host) => {
            let lookup = |source| BindError::Lookup {
                host: host.clone(),
                port,
                source,
            };
            let found = tokio::net::lookup_host((host.as_str(), port)).await;
            let mut ips: Vec<IpAddr> = Vec::new();
            for found in found.map_err(lookup)? {
                if !ips.contains(&found.ip()) {
                    ips.push(found.ip());
                }
            }
            if ips.is_empty() {
                return Err(lookup(io::Error::other("it has no address")));
            }
            listen_on_each(ips, port, listeners)?;
        }
    }
    Ok(())
}

/// All of these, on the same port where any will do; those that this machine has not are left out
/// unless it has none.
fn listen_on_each(
    ips: impl IntoIterator<Item = IpAddr>,
    mut port: u16,
    listeners: &mut Vec<TcpListener>,
) -> Result<(), BindError> {
    let mut problem = None;
    let before = listeners.len();
    for ip in ips {
        match open((ip, port).into()) {
            Ok(listener) => {
                if let Ok(address) = listener.local_addr() {
                    port = address.port();
                }
                listeners.push(listener);
            }
            Err(BindError::Listen { source, .. }) if is_without_ipv6(&source) => {
                problem = Some(BindError::Listen {
                    address: (ip, port).into(),
                    source,
                });
            }
            Err(error) => return Err(error),
        }
    }
    match problem {
        Some(problem) if listeners.len() == before => Err(problem),
        _ => Ok(()),
    }
}

fn open(address: SocketAddr) -> Result<TcpListener, BindError> {
    let open = || {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        // A server that is started again must not wait for connections of the one before.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            // Where IPv4 is meant as well it is everybody's.
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    open().map_err(|source| BindError::Listen { address, source })
}

/// Whether a machine without IPv6 would say this.
fn is_without_ipv6(error: &io::Error) -> bool {
    /// EAFNOSUPPORT of Linux, macOS and the other BSDs, Windows.
    const NO_SUCH_FAMILY: [i32; 3] = [97, 47, 10047];
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error
            .raw_os_error()
            .is_some_and(|code| NO_SUCH_FAMILY.contains(&code))
}
