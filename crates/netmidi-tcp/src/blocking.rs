//! The same for programs without tokio: plain calls that wait.
//!
//! Everything happens in a thread that each [`connect`]ion, and each [`PortServer`] with all of its
//! clients, has for itself. The calls here wait in the caller's thread, so they are not for async
//! code, where they panic.
//!
//! mido's first program:
//!
//! ```no_run
//! use netmidi_tcp::blocking::PortServer;
//!
//! # fn main() -> Result<(), netmidi_tcp::BindError> {
//! for (client, message) in &mut PortServer::bind("localhost:8080")? {
//!     println!("{client}: {message}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! And its other end:
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use netmidi_message::{Channel, ChannelMessage, Note, U7};
//!
//! let output = netmidi_tcp::blocking::connect("localhost:8080")?;
//! output.send(ChannelMessage::note_on(Channel::C1, Note::MIDDLE_C, U7::MAX))?;
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use netmidi_message::{Message, MessageBuf};
use tokio::runtime::{self, Handle as Runtime};
use tokio::sync::oneshot;

use crate::address::{Address, AddressError, ListenAddress};
use crate::client::Client;
use crate::connect::Connector;
use crate::error::{BindError, Closed, ConnectError, ReceiveTimeout, SendError};
use crate::event::Event;
use crate::header::Header;
use crate::port;
use crate::report::{SendReport, Trouble};
use crate::server::{self, ServerBuilder, ServerClosed, ServerEvent, ServerHandle, ServerStats};
use crate::stats::PortStats;

/// A thread with a runtime of its own. It ends when nobody holds it any more.
struct Background {
    runtime: Runtime,
    /// Dropped to end it.
    _end: oneshot::Sender<()>,
}

impl Background {
    fn start() -> io::Result<Arc<Self>> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel();
        thread::Builder::new()
            .name("netmidi-tcp".to_owned())
            .spawn(move || {
                // An error is what says that it is over.
                let _ = runtime.block_on(ended);
            })?;
        Ok(Arc::new(Self {
            runtime: handle,
            _end: end,
        }))
    }

    fn wait<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Goes on until this is done, and does not wait for it.
    fn finish<F>(this: &Arc<Self>, future: F)
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let held = this.clone();
        this.runtime.spawn(async move {
            future.await;
            drop(held);
        });
    }
}

/// Connects to a server with the defaults of [`Connector`].
///
/// # Errors
/// Those of [`Connector::connect`], and when the operating system gives no thread.
///
/// # Panics
/// In async code.
pub fn connect<A>(address: A) -> Result<SocketPort, ConnectError>
where
    A: TryInto<Address>,
    AddressError: From<A::Error>,
{
    SocketPort::connect(&Connector::new(), address)
}

/// A connection with one peer. See [`netmidi_tcp::SocketPort`](crate::SocketPort).
///
/// It is an iterator of the messages that are received, which ends with the connection. Dropping it
/// closes the connection as [`close`](Self::close) does; in async code that goes on in the background.
pub struct SocketPort {
    receiver: port::ReceiveHalf,
    sender: Sender,
}

/// Sends to the peer of a [`SocketPort`], from any thread.
#[derive(Clone)]
pub struct Sender {
    half: port::SendHalf,
    background: Arc<Background>,
}

impl SocketPort {
    fn new(port: port::SocketPort, background: Arc<Background>) -> Self {
        let (receiver, half) = port.split();
        Self {
            receiver,
            sender: Sender { half, background },
        }
    }

    /// Connects as the connector says.
    ///
    /// # Errors
    /// Those of [`Connector::connect`], and when the operating system gives no thread.
    ///
    /// # Panics
    /// In async code.
    pub fn connect<A>(connector: &Connector, address: A) -> Result<Self, ConnectError>
    where
        A: TryInto<Address>,
        AddressError: From<A::Error>,
    {
        let background = Background::start().map_err(ConnectError::Runtime)?;
        let port = background.wait(connector.connect(address))?;
        Ok(Self::new(port, background))
    }

    /// Waits for the next message. `None` when the connection is over and everything that came has
    /// been received.
    ///
    /// # Panics
    /// In async code.
    pub fn receive(&mut self) -> Option<MessageBuf> {
        self.sender.background.wait(self.receiver.receive())
    }

    /// Waits for the next message for so long.
    ///
    /// # Errors
    /// When none came in time, or none will come any more.
    ///
    /// # Panics
    /// In async code.
    pub fn receive_timeout(&mut self, timeout: Duration) -> Result<MessageBuf, ReceiveTimeout> {
        self.sender
            .background
            .wait(self.receiver.receive_timeout(timeout))
    }

    /// The next message, if it is there already.
    pub fn try_receive(&mut self) -> Option<MessageBuf> {
        self.receiver.try_receive()
    }

    /// The messages that are there already.
    pub fn iter_pending(&mut self) -> port::Pending<'_> {
        self.receiver.iter_pending()
    }

    /// Waits for the next event: messages, header lines, octets that mean nothing, and the end.
    ///
    /// # Panics
    /// In async code.
    pub fn next_event(&mut self) -> Option<Event> {
        self.sender.background.wait(self.receiver.next_event())
    }

    /// Sends a message; waits while the peer is behind.
    ///
    /// # Errors
    /// When the connection is over, or the message is one that is never sent.
    ///
    /// # Panics
    /// In async code.
    pub fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), SendError> {
        self.sender.send(message)
    }

    /// Sends a message if that needs no waiting.
    ///
    /// # Errors
    /// Those of [`send`](Self::send), and [`SendError::Full`].
    pub fn try_send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), SendError> {
        self.sender.try_send(message)
    }

    /// Sends a message without waiting, as [`Options::overflow`](crate::Options::overflow) says. See
    /// [`netmidi_tcp::SocketPort::push`](crate::SocketPort::push).
    ///
    /// # Errors
    /// When the peer is not sent the message, and why.
    pub fn push<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Trouble> {
        self.sender.push(message)
    }

    /// Sends from another thread.
    #[must_use]
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Whether nothing will be received any more.
    #[must_use]
    pub fn closed(&self) -> bool {
        self.receiver.closed()
    }

    /// How the connection ended; `None` as long as it is there.
    #[must_use]
    pub fn close_reason(&self) -> Option<Closed> {
        self.receiver.close_reason()
    }

    /// Closes the connection: what was sent goes out first. Waits for
    /// [`Options::close_timeout`](crate::Options::close_timeout) at most.
    ///
    /// # Panics
    /// In async code.
    pub fn close(self) -> Closed {
        self.sender.background.wait(self.sender.half.over())
    }

    /// The address of the peer, as `host:port`.
    #[must_use]
    pub fn name(&self) -> String {
        self.peer_addr().to_string()
    }

    /// The address of the peer.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.sender.half.peer_addr()
    }

    /// The address on this side.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.sender.half.local_addr()
    }

    /// The peer's header lines, once it has sent some.
    #[must_use]
    pub fn peer_header(&self) -> Option<Header> {
        self.sender.half.peer_header()
    }

    /// What went over the connection so far.
    #[must_use]
    pub fn stats(&self) -> PortStats {
        self.sender.half.stats()
    }
}

impl Sender {
    /// Sends a message; waits while the peer is behind.
    ///
    /// # Errors
    /// When the connection is over, or the message is one that is never sent.
    ///
    /// # Panics
    /// In async code.
    pub fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), SendError> {
        let message = message.into();
        match self.half.try_send(message) {
            Err(SendError::Full { .. }) => self.background.wait(self.half.send(message)),
            result => result,
        }
    }

    /// Sends a message if that needs no waiting.
    ///
    /// # Errors
    /// Those of [`send`](Self::send), and [`SendError::Full`].
    pub fn try_send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), SendError> {
        self.half.try_send(message)
    }

    /// Sends a message without waiting, as [`Options::overflow`](crate::Options::overflow) says. See
    /// [`netmidi_tcp::SocketPort::push`](crate::SocketPort::push).
    ///
    /// # Errors
    /// When the peer is not sent the message, and why.
    pub fn push<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Trouble> {
        self.half.push(message)
    }
}

impl Iterator for SocketPort {
    type Item = MessageBuf;

    fn next(&mut self) -> Option<MessageBuf> {
        self.receive()
    }
}

impl Drop for SocketPort {
    fn drop(&mut self) {
        let Sender { half, background } = &self.sender;
        if Runtime::try_current().is_err() {
            background.wait(half.over());
        } else {
            // In async code it cannot wait.
            half.close();
            let half = half.clone();
            Background::finish(background, async move { half.over().await });
        }
    }
}

/// A server for socket ports. See [`netmidi_tcp::PortServer`](crate::PortServer).
///
/// It is an iterator of what all clients send. Dropping it closes it as [`close`](Self::close) does.
pub struct PortServer {
    /// Taken to close it.
    server: Option<server::PortServer>,
    handle: ServerHandle,
    background: Arc<Background>,
}

impl PortServer {
    /// Listens on an address, see [`netmidi_tcp::PortServer::bind`](crate::PortServer::bind).
    ///
    /// # Errors
    /// When the address cannot be read or listened on, or the operating system gives no thread.
    ///
    /// # Panics
    /// In async code.
    pub fn bind<A>(address: A) -> Result<Self, BindError>
    where
        A: TryInto<ListenAddress>,
        AddressError: From<A::Error>,
    {
        let address = address.try_into().map_err(AddressError::from)?;
        Self::open(server::PortServer::builder().listen(address))
    }

    /// Opens a server as the builder says.
    ///
    /// # Errors
    /// When an address cannot be listened on, or the operating system gives no thread.
    ///
    /// # Panics
    /// In async code.
    pub fn open(builder: ServerBuilder) -> Result<Self, BindError> {
        let background = Background::start().map_err(BindError::Runtime)?;
        let server = background.wait(builder.bind())?;
        Ok(Self {
            handle: server.handle(),
            server: Some(server),
            background,
        })
    }

    /// The addresses it listens on.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        self.handle.addresses()
    }

    /// The first address it listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.handle.local_addr()
    }

    /// Sends and asks from other threads.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Waits for the next client and takes it out of the server.
    ///
    /// # Errors
    /// When the server is closed.
    ///
    /// # Panics
    /// In async code.
    pub fn accept(&self) -> Result<SocketPort, ServerClosed> {
        let port = self.background.wait(self.handle.accept())?;
        Ok(SocketPort::new(port, self.background.clone()))
    }

    /// Takes the client that has waited longest out of the server, if there is one.
    ///
    /// # Errors
    /// When the server is closed.
    pub fn try_accept(&self) -> Result<Option<SocketPort>, ServerClosed> {
        let port = self.handle.try_accept()?;
        Ok(port.map(|port| SocketPort::new(port, self.background.clone())))
    }

    /// Waits for the next message of any client. `None` when the server is closed.
    ///
    /// # Panics
    /// In async code.
    pub fn receive(&mut self) -> Option<(Client, MessageBuf)> {
        let server = self.server.as_mut()?;
        self.background.wait(server.receive())
    }

    /// Waits for the next message for so long; `None` if there was none.
    ///
    /// # Panics
    /// In async code.
    pub fn receive_timeout(&mut self, timeout: Duration) -> Option<(Client, MessageBuf)> {
        let server = self.server.as_mut()?;
        // The timer belongs to the runtime, so it is made inside it.
        let received = async { tokio::time::timeout(timeout, server.receive()).await.ok() };
        self.background.wait(received).flatten()
    }

    /// The next message, if one is there already.
    pub fn try_receive(&mut self) -> Option<(Client, MessageBuf)> {
        self.server.as_mut()?.try_receive()
    }

    /// Waits for the next event: who comes and goes, messages, header lines, octets that mean nothing.
    ///
    /// # Panics
    /// In async code.
    pub fn next_event(&mut self) -> Option<ServerEvent> {
        let server = self.server.as_mut()?;
        self.background.wait(server.next_event())
    }

    /// Sends a message to all clients, without waiting. See [`ServerHandle::send`].
    pub fn send<'m>(&self, message: impl Into<Message<'m>>) -> SendReport {
        self.handle.send(message)
    }

    /// Waits until the systems of all clients have taken what was sent to them, or they are gone.
    ///
    /// # Panics
    /// In async code.
    pub fn flush(&self) {
        self.background.wait(self.handle.flush());
    }

    /// The clients, in the order in which they came.
    #[must_use]
    pub fn clients(&self) -> Vec<Client> {
        self.handle.clients()
    }

    /// What became of those who connected.
    #[must_use]
    pub fn stats(&self) -> ServerStats {
        self.handle.stats()
    }

    /// Closes the server and all of its clients: what was sent to them goes out first. Ports that were
    /// accepted stay open.
    ///
    /// # Panics
    /// In async code.
    pub fn close(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(server) = self.server.take() else {
            return;
        };
        if Runtime::try_current().is_err() {
            self.background.wait(server.close());
        } else {
            Background::finish(&self.background, server.close());
        }
    }
}

impl Iterator for PortServer {
    type Item = (Client, MessageBuf);

    fn next(&mut self) -> Option<(Client, MessageBuf)> {
        self.receive()
    }
}

impl Drop for PortServer {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for SocketPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketPort")
            .field("peer", &self.peer_addr())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("peer", &self.half.peer_addr())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for PortServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortServer")
            .field("addresses", &self.addresses())
            .finish_non_exhaustive()
    }
}
