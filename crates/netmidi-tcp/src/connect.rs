//! Connecting to a server, and again when the connection is lost.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{Either, select};
use futures::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::address::{Address, AddressError};
use crate::driver::{self, jittered};
use crate::error::ConnectError;
use crate::link::{Ends, Link};
use crate::options::Options;
use crate::port::SocketPort;
use crate::transport::{Transport, prepare};

/// How long one address of a name is waited for before the next is tried beside it (RFC 8305).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// Connects to a server with the defaults of [`Connector`].
///
/// ```no_run
/// use netmidi_message::{Channel, ChannelMessage, Note, U7};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let output = netmidi_tcp::connect("localhost:8080").await?;
/// output.send(ChannelMessage::note_on(Channel::C1, Note::MIDDLE_C, U7::MAX)).await?;
/// output.close().await;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Those of [`Connector::connect`].
pub async fn connect<A>(address: A) -> Result<SocketPort, ConnectError>
where
    A: TryInto<Address>,
    AddressError: From<A::Error>,
{
    Connector::new().connect(address).await
}

/// How long to wait between attempts to come back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Backoff {
    /// Before the first attempt.
    pub first: Duration,
    /// Twice as long after each that fails, up to this.
    pub longest: Duration,
}

impl Default for Backoff {
    /// From 100 ms to 5 s.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(5),
        }
    }
}

/// Connects to servers.
///
/// ```no_run
/// use std::time::Duration;
///
/// use netmidi_tcp::{Backoff, Connector, Options};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), netmidi_tcp::ConnectError> {
/// let mut port = Connector::new()
///     .options(Options::new().sysex_limit(64 << 10))
///     .timeout(Duration::from_secs(2))
///     .reconnect(Backoff::default())
///     .connect("stage-left.local:9080")
///     .await?;
/// while let Some(message) = port.receive().await {
///     println!("{message}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Connector {
    options: Options,
    timeout: Duration,
    backoff: Option<Backoff>,
    #[cfg(feature = "tls")]
    tls: Option<crate::tls::Client>,
}

impl Default for Connector {
    fn default() -> Self {
        Self::new()
    }
}

impl Connector {
    /// The defaults, which each method names.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            options: Options::new(),
            timeout: Duration::from_secs(5),
            backoff: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// How the port reads, writes and keeps its bounds.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// How long an attempt may take, over all addresses of a name; 5 s unless told otherwise.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Connects again whenever the connection is lost, until the port is closed; not unless told so.
    ///
    /// Where messages are only sent, [split](SocketPort::split) the port and drop the receiving half: a
    /// port of which nothing is fetched stops reading some day, and learns late that the peer is gone.
    ///
    /// The name is looked up anew each time. What is sent while there is no connection is refused
    /// ([`SendError::NotConnected`](crate::SendError::NotConnected)): played later it would be wrong.
    #[must_use]
    pub const fn reconnect(mut self, backoff: Backoff) -> Self {
        self.backoff = Some(backoff);
        self
    }

    /// Encrypts the connection.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: crate::tls::Client) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Connects, to whichever address of the name answers first.
    ///
    /// # Errors
    /// When the address cannot be read, or nothing answers there in time. With
    /// [`reconnect`](Self::reconnect), too: only a connection that has been there comes back.
    pub async fn connect<A>(&self, address: A) -> Result<SocketPort, ConnectError>
    where
        A: TryInto<Address>,
        AddressError: From<A::Error>,
    {
        let address = address.try_into().map_err(AddressError::from)?;
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(ConnectError::NoRuntime);
        }
        let (transport, ends) = self.dial(&address).await?;
        let link = Arc::new(Link::new(Arc::new(self.options.clone()), ends));
        let redial = self.backoff.map(|backoff| Redial {
            connector: self.clone(),
            address: address.clone(),
            backoff,
        });
        tokio::spawn(driver::run(link.clone(), transport, redial));
        Ok(SocketPort::new(link))
    }

    async fn dial(&self, address: &Address) -> Result<(Transport, Ends), ConnectError> {
        let late = |_| ConnectError::TimedOut {
            address: address.to_string(),
            after: self.timeout,
        };
        let begun = tokio::time::Instant::now();
        let stream = timeout(self.timeout, reach(address))
            .await
            .map_err(late)??;
        prepare(&stream, self.options.keepalive);
        let ends = || {
            Ok(Ends {
                local: stream.local_addr()?,
                peer: stream.peer_addr()?,
            })
        };
        // It may be over already.
        let ends = ends().map_err(|source: io::Error| ConnectError::Failed {
            address: address.to_string(),
            source,
        })?;
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let left = self.timeout.saturating_sub(begun.elapsed());
            let stream = match timeout(left, tls.connect(address.host(), stream)).await {
                Ok(stream) => stream?,
                Err(_) => return Err(crate::tls::Client::timed_out(self.timeout).into()),
            };
            return Ok((Transport::Other(Box::new(stream)), ends));
        }
        let _ = begun;
        Ok((Transport::Tcp(Arc::new(stream)), ends))
    }
}

/// Tries all addresses, one soon after the other.
async fn reach(address: &Address) -> Result<TcpStream, ConnectError> {
    let lookup = |source| ConnectError::Lookup {
        host: address.host().to_owned(),
        source,
    };
    let found = tokio::net::lookup_host((address.host(), address.port())).await;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for found in found.map_err(lookup)? {
        if !addresses.contains(&found) {
            addresses.push(found);
        }
    }
    let attempt = |address: SocketAddr| async move {
        TcpStream::connect(address)
            .await
            .map_err(|source| ConnectError::Failed {
                address: address.to_string(),
                source,
            })
    };
    let mut waiting = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut last = None;
    loop {
        if let Some(address) = waiting.next() {
            attempts.push(attempt(address));
        } else if attempts.is_empty() {
            return Err(last.unwrap_or_else(|| lookup(io::Error::other("it has no address"))));
        }
        // One that fails makes way for the next at once.
        let patience = match waiting.len() {
            0 => Duration::MAX,
            _ => NEXT_ADDRESS_AFTER,
        };
        match timeout(patience, attempts.next()).await {
            Ok(Some(Ok(stream))) => return Ok(stream),
            Ok(Some(Err(error))) => last = Some(error),
            Ok(None) | Err(_) => {}
        }
    }
}

/// How a lost connection comes back.
pub(crate) struct Redial {
    connector: Connector,
    address: Address,
    backoff: Backoff,
}

impl Redial {
    /// Tries until it is there, or `None` when the port is closed.
    pub(crate) async fn again(&self, link: &Link) -> Option<Transport> {
        let mut delay = self.backoff.first;
        loop {
            let pause = jittered(delay);
            let attempt = pin!(async {
                sleep(pause).await;
                self.connector.dial(&self.address).await
            });
            let closing = poll_fn(|cx| link.poll_closing(cx));
            match select(closing, attempt).await {
                Either::Left(((), _)) => return None,
                Either::Right((Ok((transport, ends)), _)) => {
                    return link.regain(ends).then_some(transport);
                }
                Either::Right((Err(error), _)) => {
                    tracing::debug!(address = %self.address, %error, "not back yet")
                }
            }
            delay = delay.saturating_mul(2).min(self.backoff.longest);
        }
    }
}

impl fmt::Debug for Redial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redial")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
