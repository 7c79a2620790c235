//! A server for any number of clients: one stream of what they all play, one place to send to all.

mod builder;
mod desk;
mod handle;
mod listen;

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::Stream;
use netmidi_message::{Message, MessageBuf};

pub use builder::ServerBuilder;
pub use handle::ServerHandle;

use desk::Desk;

use crate::address::{AddressError, ListenAddress};
use crate::client::Client;
use crate::codec::DiscardReport;
use crate::error::{BindError, Closed};
use crate::event::Event;
use crate::header::Header;
use crate::link::Item;
use crate::port::SocketPort;
use crate::refusal::Refusal;
use crate::report::SendReport;

/// So many messages of one client are handed out before another has its turn.
const QUANTUM: usize = 64;

/// A server for socket ports.
///
/// It accepts clients from the start, and serves them in the background. Each client belongs either to
/// the server or to whoever took it with [`accept`](Self::accept):
///
/// - `accept` and [`try_accept`](Self::try_accept) take the client that has waited longest out of the
///   server, as a [`SocketPort`] of its own.
/// - Anything else that is about all clients makes those who wait the server's: the server is a
///   `futures::Stream` of `(Client, MessageBuf)`, and [`send`](Self::send) reaches all of them.
///
/// ```
/// use futures::StreamExt;
/// use netmidi_tcp::PortServer;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut server = PortServer::bind(0).await?;
/// # let port = netmidi_tcp::connect(server.local_addr()).await?;
/// # port.send(netmidi_message::RealTime::Start).await?;
/// while let Some((client, message)) = server.next().await {
///     println!("{client}: {message}");
/// #   break;
/// }
/// # Ok(())
/// # }
/// ```
///
/// Clients have their turns in the order in which they sent something, with a bounded number of
/// messages in each. What is not fetched makes only its own client wait.
pub struct PortServer {
    handle: ServerHandle,
    batch: VecDeque<Item>,
    current: Option<Client>,
}

impl PortServer {
    fn new(desk: Arc<Desk>) -> Self {
        Self {
            handle: ServerHandle { desk },
            batch: VecDeque::new(),
            current: None,
        }
    }

    /// Listens on an address: a port of this machine only (`8080`, `"8080"`), every interface
    /// (`":8080"`), or any name or number with a port. See [`ListenAddress`].
    ///
    /// # Errors
    /// When the address cannot be read or listened on.
    pub async fn bind<A>(address: A) -> Result<Self, BindError>
    where
        A: TryInto<ListenAddress>,
        AddressError: From<A::Error>,
    {
        let address = address.try_into().map_err(AddressError::from)?;
        Self::builder().listen(address).bind().await
    }

    /// A server with other settings.
    #[must_use]
    pub fn builder() -> ServerBuilder {
        ServerBuilder::new()
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

    /// Sends and asks from elsewhere.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Waits for the next client and takes it out of the server.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// When the server is closed.
    pub async fn accept(&self) -> Result<SocketPort, ServerClosed> {
        self.handle.accept().await
    }

    /// Takes the client that has waited longest out of the server, if there is one.
    ///
    /// # Errors
    /// When the server is closed.
    pub fn try_accept(&self) -> Result<Option<SocketPort>, ServerClosed> {
        self.handle.try_accept()
    }

    /// Waits for the next message of any client. `None` when the server is closed.
    ///
    /// Cancel safe.
    pub async fn receive(&mut self) -> Option<(Client, MessageBuf)> {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    /// The next message, if one is there already.
    pub fn try_receive(&mut self) -> Option<(Client, MessageBuf)> {
        match self.poll_receive_now(None) {
            Poll::Ready(message) => message,
            Poll::Pending => None,
        }
    }

    /// Waits for the next event: who comes and goes, messages, header lines, octets that mean nothing.
    ///
    /// Cancel safe.
    pub async fn next_event(&mut self) -> Option<ServerEvent> {
        poll_fn(|cx| {
            let coop = ready!(tokio::task::coop::poll_proceed(cx));
            let event = ready!(self.poll_event(cx));
            coop.made_progress();
            Poll::Ready(event)
        })
        .await
    }

    /// Sends a message to all clients, without waiting. See [`ServerHandle::send`].
    pub fn send<'m>(&self, message: impl Into<Message<'m>>) -> SendReport {
        self.handle.send(message)
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

    /// Closes the server and all of its clients: what was sent to them goes out, and each has
    /// [`Options::close_timeout`](crate::Options::close_timeout) to take it. Ports that were accepted stay open.
    pub async fn close(self) {
        let desk = &self.handle.desk;
        desk.begin_close();
        desk.stop_listening().await;
        desk.abandon_reading();
        for member in &*desk.everybody() {
            let link = &member.link;
            link.waiting(|cx, seat| link.poll_over(cx, seat)).await;
        }
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<(Client, MessageBuf)>> {
        let coop = ready!(tokio::task::coop::poll_proceed(cx));
        let message = ready!(self.poll_receive_now(Some(cx)));
        coop.made_progress();
        Poll::Ready(message)
    }

    fn poll_receive_now(&mut self, cx: Option<&Context<'_>>) -> Poll<Option<(Client, MessageBuf)>> {
        loop {
            let Some((client, item)) = ready!(self.poll_item(cx)) else {
                return Poll::Ready(None);
            };
            if let Some(message) = item.and_then(Item::into_message) {
                return Poll::Ready(Some((client, message)));
            }
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<ServerEvent>> {
        loop {
            let refused = |desk: &Desk| {
                let (address, refusal) = desk.next_refusal()?;
                Some(ServerEvent::Refused { address, refusal })
            };
            if let Some(event) = refused(&self.handle.desk) {
                return Poll::Ready(Some(event));
            }
            let (client, item) = match self.poll_item(Some(cx)) {
                Poll::Ready(Some(heard)) => heard,
                Poll::Ready(None) => return Poll::Ready(None),
                // Somebody may have been refused before it was known who waits.
                Poll::Pending => match refused(&self.handle.desk) {
                    Some(event) => return Poll::Ready(Some(event)),
                    None => return Poll::Pending,
                },
            };
            let event = match item.map(Item::into_event) {
                None => ServerEvent::Connected { client },
                Some(Event::Message(message)) => ServerEvent::Message { client, message },
                Some(Event::Silence(message)) => ServerEvent::Silence { client, message },
                Some(Event::Header(header)) => ServerEvent::Header { client, header },
                Some(Event::Discarded(report)) => ServerEvent::Discarded { client, report },
                Some(Event::Disconnected(closed)) => ServerEvent::Disconnected { client, closed },
                // Clients come back by themselves, as somebody else.
                Some(Event::Reconnected { .. }) => continue,
            };
            return Poll::Ready(Some(event));
        }
    }

    /// The next of what any client sent; without an item it has just come.
    fn poll_item(&mut self, cx: Option<&Context<'_>>) -> Poll<Option<(Client, Option<Item>)>> {
        loop {
            if let Some(client) = &self.current
                && let Some(item) = self.batch.pop_front()
            {
                return Poll::Ready(Some((client.clone(), Some(item))));
            }
            let desk = &self.handle.desk;
            let Some(member) = ready!(desk.poll_ready(cx)) else {
                return Poll::Ready(None);
            };
            let is_new = member.greet();
            // It has its turn again after the others, if there is more of it.
            let (more, over) = member.link.fetch_some(QUANTUM, &mut self.batch);
            if more {
                desk.requeue(member.clone());
            }
            if over {
                desk.forget(member.id);
            }
            let client = Client(member);
            self.current = Some(client.clone());
            if is_new {
                return Poll::Ready(Some((client, None)));
            }
        }
    }
}

impl Stream for PortServer {
    type Item = (Client, MessageBuf);

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(Client, MessageBuf)>> {
        self.poll_receive(cx)
    }
}

impl Drop for PortServer {
    /// Closes the server; clients are told in the background.
    fn drop(&mut self) {
        self.handle.desk.begin_close();
        self.handle.desk.abandon_reading();
    }
}

impl fmt::Debug for PortServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortServer")
            .field("addresses", &self.addresses())
            .finish_non_exhaustive()
    }
}

/// What a server hears, for those who want more than messages.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ServerEvent {
    /// Somebody connected.
    Connected {
        /// Who.
        client: Client,
    },
    /// A message.
    Message {
        /// From whom.
        client: Client,
        /// What.
        message: MessageBuf,
    },
    /// A client is gone and left something sounding: this ends it. See [`AtEnd`](crate::AtEnd).
    Silence {
        /// Who.
        client: Client,
        /// What ends it.
        message: MessageBuf,
    },
    /// A client's header lines.
    Header {
        /// Who.
        client: Client,
        /// What it says of itself.
        header: Header,
    },
    /// Octets that are no part of a message.
    Discarded {
        /// From whom.
        client: Client,
        /// Which, and why.
        report: DiscardReport,
    },
    /// Somebody was not let in. Of many at once only the last are told.
    Refused {
        /// Who.
        address: SocketAddr,
        /// Why.
        refusal: Refusal,
    },
    /// A client is gone; everything that it sent has been handed out.
    Disconnected {
        /// Who.
        client: Client,
        /// How.
        closed: Closed,
    },
}

/// What became of those who connected.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Clients that were let in.
    pub accepted: u64,
    /// Connections from addresses that are not on the list.
    pub refused_address: u64,
    /// Connections for which there was no place.
    pub refused_full: u64,
    /// Connections that did not agree on encryption.
    pub refused_tls: u64,
    /// How often the system could not give a connection.
    pub accept_errors: u64,
    /// Clients that did not take what was sent to them and were disconnected.
    pub overflowed: u64,
    /// Clients that left and were forgotten, with all that they had sent, before anybody asked.
    pub unheard: u64,
}

/// The server is closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the server is closed")]
pub struct ServerClosed;
