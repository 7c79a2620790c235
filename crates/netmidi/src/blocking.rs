//! The same for programs without tokio: plain calls that wait.
//!
//! Everything happens in a thread that each [`Client`] and [`Endpoint`] has for itself. The calls here
//! wait in the caller's thread, so they are not for async code, where they panic.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use netmidi::message::{Channel, ChannelMessage, Note, U7};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut piano = netmidi::blocking::connect("stage-left.local:5004")?;
//! piano.send(ChannelMessage::note_on(Channel::C1, Note::MIDDLE_C, U7::MAX))?;
//! while let Ok(heard) = piano.recv_timeout(Duration::from_secs(10)) {
//!     println!("{}", heard.message);
//! }
//! piano.close();
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{RecvError, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use netmidi_message::Message;
use tokio::runtime::{self, Handle as Runtime};
use tokio::sync::oneshot;

use crate::address::{AddressError, PeerAddress};
use crate::client::{self, ClientBuilder, ClientError, ConnectError, Received};
use crate::clock::Clock;
use crate::endpoint::{self, Builder, Handle};
use crate::error::{Error, SendError};
use crate::event::{Event, Peer};
use crate::invitation::InvitationState;
use crate::sockets::PairAddresses;
use crate::stats::Stats;

/// What the thread does last.
type Ending = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A thread with a runtime of its own.
struct Background {
    runtime: Runtime,
    end: oneshot::Sender<Ending>,
    thread: thread::JoinHandle<()>,
}

impl Background {
    fn start() -> Result<Self, Error> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(Error::Runtime)?;
        let handle = runtime.handle().clone();
        let (end, ending) = oneshot::channel::<Ending>();
        let thread = thread::Builder::new()
            .name("netmidi".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    if let Ok(ending) = ending.await {
                        ending.await;
                    }
                });
            })
            .map_err(Error::Runtime)?;
        Ok(Self {
            runtime: handle,
            end,
            thread,
        })
    }

    fn wait<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    fn wait_at_most<F: Future>(&self, timeout: Duration, future: F) -> Option<F::Output> {
        // The timer belongs to the runtime, so it is made inside it.
        self.wait(async { tokio::time::timeout(timeout, future).await.ok() })
    }

    fn end_with(self, last: impl Future<Output = ()> + Send + 'static) {
        // The thread waits for it; if it panicked, that has been reported.
        let _ = self.end.send(Box::pin(last));
        let _ = self.thread.join();
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Background").finish_non_exhaustive()
    }
}

/// Connects to a peer, and again whenever the session is lost. See [`connect`](crate::connect).
///
/// # Errors
/// Those of [`connect`](crate::connect), and when the operating system gives no thread.
///
/// # Panics
/// In async code.
pub fn connect<A>(address: A) -> Result<Client, ConnectError>
where
    A: TryInto<PeerAddress>,
    AddressError: From<A::Error>,
{
    Client::connect(crate::Client::builder(), address)
}

/// A session with one peer. See [`netmidi::Client`](crate::Client).
///
/// Dropping it ends the session as [`close`](Self::close) does.
#[derive(Debug)]
pub struct Client(Option<(client::Client, Background)>);

impl Client {
    /// Connects as the builder says.
    ///
    /// # Errors
    /// Those of [`ClientBuilder::connect`], and when the operating system gives no thread.
    ///
    /// # Panics
    /// In async code.
    pub fn connect<A>(builder: ClientBuilder, address: A) -> Result<Self, ConnectError>
    where
        A: TryInto<PeerAddress>,
        AddressError: From<A::Error>,
    {
        let background = Background::start()?;
        let client = background.wait(builder.connect(address))?;
        Ok(Self(Some((client, background))))
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// When there will be none any more.
    ///
    /// # Panics
    /// In async code.
    pub fn recv(&mut self) -> Result<Received, RecvError> {
        let (client, background) = self.0.as_mut().ok_or(RecvError)?;
        background.wait(client.next()).ok_or(RecvError)
    }

    /// Waits for the next message, but no longer than this.
    ///
    /// # Errors
    /// When none came, or there will be none any more.
    ///
    /// # Panics
    /// In async code.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Received, RecvTimeoutError> {
        let (client, background) = self.0.as_mut().ok_or(RecvTimeoutError::Disconnected)?;
        background
            .wait_at_most(timeout, client.next())
            .ok_or(RecvTimeoutError::Timeout)?
            .ok_or(RecvTimeoutError::Disconnected)
    }

    /// The next message if it is here already.
    ///
    /// # Errors
    /// When none is here, or there will be none any more.
    pub fn try_recv(&mut self) -> Result<Received, TryRecvError> {
        let (client, _) = self.0.as_mut().ok_or(TryRecvError::Disconnected)?;
        client
            .next()
            .now_or_never()
            .ok_or(TryRecvError::Empty)?
            .ok_or(TryRecvError::Disconnected)
    }

    /// Sends a message now, without waiting.
    ///
    /// # Errors
    /// When there is no session just now.
    pub fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), ClientError> {
        match &self.0 {
            Some((client, _)) => client.send_now(message),
            None => Err(SendError::Closed.into()),
        }
    }

    /// The peer, while there is a session.
    #[must_use]
    pub fn peer(&self) -> Option<Arc<Peer>> {
        self.0.as_ref().and_then(|(client, _)| client.peer())
    }

    /// Whether there is a session, and if not how far we are with the next.
    #[must_use]
    pub fn state(&self) -> InvitationState {
        match &self.0 {
            Some((client, _)) => client.state(),
            None => InvitationState::Ended,
        }
    }

    /// Ends the session: what was sent goes across first, then BY. Takes an eighth of a second, or up
    /// to two seconds when there is much left to send.
    pub fn close(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some((client, background)) = self.0.take() {
            background.end_with(client.close());
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.end();
    }
}

/// An endpoint whose events are waited for. See [`netmidi::Endpoint`](crate::Endpoint).
///
/// ```
/// use std::time::Duration;
///
/// use netmidi::blocking::Endpoint;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let builder = netmidi::Endpoint::builder().name("drums").listen("127.0.0.1:0".parse()?);
/// let mut drums = Endpoint::bind(builder)?;
/// println!("connect to {}", drums.addresses()[0].control);
/// # let limit = Duration::from_millis(1);
/// # /*
/// let limit = Duration::from_secs(60);
/// # */
/// while let Ok(event) = drums.recv_timeout(limit) {
///     println!("{event:?}");
/// }
/// # Ok(())
/// # }
/// ```
///
/// Dropping it closes it as [`close`](Self::close) does.
#[derive(Debug)]
pub struct Endpoint {
    inner: Option<(endpoint::Endpoint, Background)>,
    handle: Handle,
    addresses: Vec<PairAddresses>,
    clock: Clock,
}

impl Endpoint {
    /// Opens the sockets, and a thread that serves them.
    ///
    /// # Errors
    /// Those of [`Builder::bind`], and when the operating system gives no thread.
    ///
    /// # Panics
    /// In async code.
    pub fn bind(builder: Builder) -> Result<Self, Error> {
        let background = Background::start()?;
        let endpoint = background.wait(builder.bind())?;
        Ok(Self {
            handle: endpoint.handle(),
            addresses: endpoint.addresses().to_vec(),
            clock: endpoint.clock(),
            inner: Some((endpoint, background)),
        })
    }

    /// Where it listens, in the order in which that was asked for.
    #[must_use]
    pub fn addresses(&self) -> &[PairAddresses] {
        &self.addresses
    }

    /// Its clock, which the times of events are on.
    #[must_use]
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// Something to send and invite with, as many as you like, from any thread. None of its calls
    /// waits but [`Handle::stats`]; for that there is [`stats`](Self::stats).
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// The counters of the endpoint, as they are now.
    ///
    /// # Errors
    /// When the endpoint is closed.
    ///
    /// # Panics
    /// In async code.
    pub fn stats(&self) -> Result<Stats, SendError> {
        match &self.inner {
            Some((_, background)) => background.wait(self.handle.stats()),
            None => Err(SendError::Closed),
        }
    }

    /// Waits for the next event.
    ///
    /// # Errors
    /// When the endpoint is closed.
    ///
    /// # Panics
    /// In async code.
    pub fn recv(&mut self) -> Result<Event, RecvError> {
        let (endpoint, background) = self.inner.as_mut().ok_or(RecvError)?;
        background.wait(endpoint.next()).ok_or(RecvError)
    }

    /// Waits for the next event, but no longer than this.
    ///
    /// # Errors
    /// When none came, or the endpoint is closed.
    ///
    /// # Panics
    /// In async code.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Event, RecvTimeoutError> {
        let (endpoint, background) = self.inner.as_mut().ok_or(RecvTimeoutError::Disconnected)?;
        background
            .wait_at_most(timeout, endpoint.next())
            .ok_or(RecvTimeoutError::Timeout)?
            .ok_or(RecvTimeoutError::Disconnected)
    }

    /// The next event if it is here already.
    ///
    /// # Errors
    /// When none is here, or the endpoint is closed.
    pub fn try_recv(&mut self) -> Result<Event, TryRecvError> {
        let (endpoint, _) = self.inner.as_mut().ok_or(TryRecvError::Disconnected)?;
        endpoint
            .next()
            .now_or_never()
            .ok_or(TryRecvError::Empty)?
            .ok_or(TryRecvError::Disconnected)
    }

    /// Says BY to every peer, closes the sockets, and returns when that is done: in an eighth of a
    /// second, or up to two seconds when there is much left to send.
    pub fn close(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some((endpoint, background)) = self.inner.take() {
            background.end_with(endpoint.close());
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.end();
    }
}
