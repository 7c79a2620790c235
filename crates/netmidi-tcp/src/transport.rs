//! The connection itself: TCP, or whatever else carries octets both ways.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// So often a peer that does not answer is asked before it counts as gone.
const KEEPALIVE_PROBES: u32 = 5;

/// What systems know is bounded; this is the bound of Linux.
const MAX_KEEPALIVE: Duration = Duration::from_secs(32_767);

/// Octets both ways.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

pub(crate) enum Transport {
    /// Shared with whoever sends, so that a message need not wait for the driver's turn.
    Tcp(Arc<TcpStream>),
    /// Only the driver reads and writes it.
    Other(Box<dyn Duplex>),
}

impl Transport {
    /// The stream, if others than the driver may write to it.
    pub(crate) fn shared(&self) -> Option<Arc<TcpStream>> {
        match self {
            Self::Tcp(stream) => Some(stream.clone()),
            Self::Other(_) => None,
        }
    }

    /// Some octets into `buffer`; 0 at the end of the stream.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => loop {
                ready!(stream.poll_read_ready(cx))?;
                match stream.try_read(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => return Poll::Ready(result),
                }
            },
            Self::Other(stream) => {
                let mut buffer = ReadBuf::new(buffer);
                ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
                Poll::Ready(Ok(buffer.filled().len()))
            }
        }
    }

    /// Writes some octets of these.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => loop {
                ready!(stream.poll_write_ready(cx))?;
                match stream.try_write_vectored(slices) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => return Poll::Ready(result),
                }
            },
            Self::Other(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    /// Whether what was written has to be flushed.
    pub(crate) const fn keeps_back(&self) -> bool {
        match self {
            Self::Tcp(_) => false,
            Self::Other(_) => true,
        }
    }

    /// Sees to it that what was written is on its way.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(_) => Poll::Ready(Ok(())),
            Self::Other(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    /// Tells the peer that nothing more comes.
    pub(crate) fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Poll::Ready(SockRef::from(&**stream).shutdown(Shutdown::Write)),
            Self::Other(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    pub(crate) async fn finish(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_finish(cx)).await
    }

    /// From now on closing it throws away what the peer has not taken, and tells it so.
    pub(crate) fn abandon(&self) {
        if let Self::Tcp(stream) = self {
            let _ = SockRef::from(&**stream).set_linger(Some(Duration::ZERO));
        }
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tcp(_) => "Tcp",
            Self::Other(_) => "Other",
        })
    }
}

/// What every TCP connection of ours is told: send at once, and notice when the peer is gone.
///
/// What the system does not know it does not do; that costs nothing but the notice.
pub(crate) fn prepare(stream: &TcpStream, keepalive: Option<Duration>) {
    let _ = stream.set_nodelay(true);
    let Some(after) = keepalive else {
        return;
    };
    let after = after.min(MAX_KEEPALIVE);
    let socket = SockRef::from(stream);
    let probe = (after / KEEPALIVE_PROBES).max(Duration::from_secs(1));
    let keepalive = TcpKeepalive::new().with_time(after).with_interval(probe);
    #[cfg(not(any(target_os = "openbsd", target_os = "redox", target_os = "solaris")))]
    let keepalive = keepalive.with_retries(KEEPALIVE_PROBES);
    let _ = socket.set_tcp_keepalive(&keepalive);
    // Keepalive asks only where nothing is on its way. What was sent and is not confirmed counts too.
    #[cfg(any(target_os = "android", target_os = "linux"))]
    let _ = socket.set_tcp_user_timeout(Some(after * 2));
}
