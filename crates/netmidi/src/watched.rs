//! A UDP socket that the runtime watches for datagrams to read, and for nothing else.
//!
//! tokio's own socket is watched for room to write as well, and a socket gets room with every
//! datagram that its receiver takes: the task was woken once more for each packet sent, for
//! nothing. What cannot be sent at once is tried again a little later instead.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::task::{Context, Poll};

#[cfg(unix)]
pub(crate) use unix::Watched;

#[cfg(not(unix))]
pub(crate) use other::Watched;

#[cfg(unix)]
mod unix {
    use std::task::ready;

    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    use super::{Context, Poll, SocketAddr, UdpSocket, io};

    #[derive(Debug)]
    pub(crate) struct Watched(AsyncFd<UdpSocket>);

    impl Watched {
        /// Takes a socket that does not block.
        pub(crate) fn new(socket: UdpSocket) -> io::Result<Self> {
            #[allow(
                deprecated,
                reason = "its successor is unsafe, for descriptors that may be closed behind its \
                          back; a UdpSocket owns its own"
            )]
            AsyncFd::with_interest(socket, Interest::READABLE).map(Self)
        }

        pub(crate) fn poll_recv(
            &self,
            cx: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<(usize, SocketAddr)>> {
            loop {
                let mut guard = ready!(self.0.poll_read_ready(cx))?;
                if let Ok(result) = guard.try_io(|socket| socket.get_ref().recv_from(buffer)) {
                    return Poll::Ready(result);
                }
            }
        }

        pub(crate) fn send(&self, to: SocketAddr, octets: &[u8]) -> io::Result<()> {
            self.0.get_ref().send_to(octets, to).map(drop)
        }

        pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
            self.0.get_ref().local_addr()
        }
    }
}

#[cfg(not(unix))]
mod other {
    use tokio::io::ReadBuf;

    use super::{Context, Poll, SocketAddr, UdpSocket, io};

    #[derive(Debug)]
    pub(crate) struct Watched(tokio::net::UdpSocket);

    impl Watched {
        /// Takes a socket that does not block.
        pub(crate) fn new(socket: UdpSocket) -> io::Result<Self> {
            tokio::net::UdpSocket::from_std(socket).map(Self)
        }

        pub(crate) fn poll_recv(
            &self,
            cx: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<(usize, SocketAddr)>> {
            let mut read = ReadBuf::new(buffer);
            let result = std::task::ready!(self.0.poll_recv_from(cx, &mut read));
            let len = read.filled().len();
            Poll::Ready(result.map(|from| (len, from)))
        }

        pub(crate) fn send(&self, to: SocketAddr, octets: &[u8]) -> io::Result<()> {
            self.0.try_send_to(octets, to).map(drop)
        }

        pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
            self.0.local_addr()
        }
    }
}
