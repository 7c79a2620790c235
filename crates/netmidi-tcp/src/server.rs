//! A server for any number of clients: one stream of what they all play, one place to send to all.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use futures::Stream;
use ipnet::IpNet;
use netmidi_message::{Message, MessageBuf};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::address::{AddressError, LOOPBACK, ListenAddress, ListenHost};
use crate::allow::AllowList;
use crate::client::{Client, ClientId, Member};
use crate::codec::DiscardReport;
use crate::driver;
use crate::error::{BindError, Closed};
use crate::event::Event;
use crate::header::Header;
use crate::link::{Ends, Item, Link, Pushed};
use crate::options::Options;
use crate::outbox::Encoded;
use crate::port::SocketPort;
use crate::report::{SendReport, Trouble};
use crate::transport::{Transport, prepare};

/// So many clients are served at once unless told otherwise.
const MAX_CLIENTS: usize = 64;
/// So many messages of one client are handed out before another has its turn.
const QUANTUM: usize = 64;
/// So many connections may wait in the system until we have accepted them.
const BACKLOG: i32 = 1024;
/// After this pause it is tried again when the system cannot give another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How a server is to be; the start is [`PortServer::builder`].
#[derive(Clone, Debug)]
pub struct ServerBuilder {
    listen: Vec<ListenAddress>,
    options: Options,
    allowed: Option<AllowList>,
    max_clients: usize,
    #[cfg(feature = "tls")]
    tls: Option<crate::tls::Server>,
    #[cfg(feature = "tls")]
    handshake_timeout: Duration,
}

impl ServerBuilder {
    const fn new() -> Self {
        Self {
            listen: Vec::new(),
            options: Options::new(),
            allowed: None,
            max_clients: MAX_CLIENTS,
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "tls")]
            handshake_timeout: Duration::from_secs(5),
        }
    }

    /// Listens here as well.
    #[must_use]
    pub fn listen(mut self, address: impl Into<ListenAddress>) -> Self {
        self.listen.push(address.into());
        self
    }

    /// How the port of each client reads, writes and keeps its bounds.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Lets in only clients from networks that are named like this; may be said more than once. All
    /// are let in unless told otherwise. Others are disconnected before anything of them is read.
    #[must_use]
    pub fn allow(mut self, network: impl Into<IpNet>) -> Self {
        self.allowed.get_or_insert_default().add(network.into());
        self
    }

    /// So many clients may be connected at once; 64 unless told otherwise. Others are disconnected.
    #[must_use]
    pub const fn max_clients(mut self, clients: usize) -> Self {
        self.max_clients = clients;
        self
    }

    /// Encrypts all connections.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: crate::tls::Server) -> Self {
        self.tls = Some(tls);
        self
    }

    /// How long a client may take to agree on encryption; 5 s unless told otherwise.
    #[cfg(feature = "tls")]
    #[must_use]
    pub const fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Opens the server. Without an address it listens on any free port of this machine only.
    ///
    /// # Errors
    /// When one of the addresses cannot be listened on.
    pub async fn bind(mut self) -> Result<PortServer, BindError> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(BindError::NoRuntime);
        }
        if self.listen.is_empty() {
            self.listen.push(ListenAddress::loopback(0));
        }
        let mut listeners = Vec::new();
        for address in &self.listen {
            listen(address, &mut listeners).await?;
        }
        let mut addresses = Vec::new();
        for listener in &listeners {
            addresses.extend(listener.local_addr());
        }
        #[cfg(feature = "tls")]
        let open = self.tls.is_none();
        #[cfg(not(feature = "tls"))]
        let open = true;
        if open
            && self.allowed.is_none()
            && let Some(address) = addresses.iter().find(|it| !it.ip().is_loopback())
        {
            tracing::warn!(%address, "whoever reaches this address may connect and play");
        }
        let shared = Arc::new(Shared {
            addresses,
            state: Mutex::default(),
            options: Arc::new(self.options),
            allowed: self.allowed,
            max_clients: self.max_clients,
            #[cfg(feature = "tls")]
            tls: self.tls,
            #[cfg(feature = "tls")]
            handshake_timeout: self.handshake_timeout,
        });
        let accept = |listener| tokio::spawn(accept_all(listener, Arc::downgrade(&shared)));
        let tasks: Vec<_> = listeners.into_iter().map(accept).collect();
        shared.lock().tasks = tasks;
        Ok(PortServer {
            handle: ServerHandle { shared },
            batch: VecDeque::new(),
            current: None,
        })
    }
}

/// Opens the listeners that an address stands for.
async fn listen(
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

/// Takes every connection, until the server is gone.
async fn accept_all(listener: TcpListener, server: Weak<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => match server.upgrade() {
                Some(server) => server.admit(stream, address),
                None => return,
            },
            // The client is gone already; with anything else the system has no room.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted at the moment");
                if let Some(server) = server.upgrade() {
                    server.lock().stats.accept_errors += 1;
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
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

/// What the tasks and all handles share.
pub(crate) struct Shared {
    addresses: Vec<SocketAddr>,
    state: Mutex<State>,
    options: Arc<Options>,
    allowed: Option<AllowList>,
    max_clients: usize,
    #[cfg(feature = "tls")]
    tls: Option<crate::tls::Server>,
    #[cfg(feature = "tls")]
    handshake_timeout: Duration,
}

#[derive(Default)]
struct State {
    /// Connected and claimed by nobody yet: neither by `accept` nor by the server's own ends.
    arrivals: VecDeque<Arc<Member>>,
    members: BTreeMap<ClientId, Arc<Member>>,
    /// All members, for sending without the lock; made anew when somebody comes or goes.
    everybody: Option<Arc<[Arc<Member>]>>,
    /// Members of whom something waits, in the order in which it came.
    ready: VecDeque<Arc<Member>>,
    /// Members that are over and not yet asked about, the oldest first.
    departed: VecDeque<ClientId>,
    /// Connections that are there, those that agree on encryption included.
    connected: usize,
    next_id: u64,
    closing: bool,
    /// Those that accept, each with its listener.
    tasks: Vec<JoinHandle<()>>,
    receiver: Option<Waker>,
    accepters: Vec<Waker>,
    stats: ServerStats,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets somebody in, or not.
    fn admit(self: Arc<Self>, stream: TcpStream, address: SocketAddr) {
        let address = canonical(address);
        let mut state = self.lock();
        if state.closing {
            return;
        }
        if self
            .allowed
            .as_ref()
            .is_some_and(|list| !list.admits(address.ip()))
        {
            state.stats.refused_address += 1;
            tracing::info!(%address, "refused: the address is not on the list");
            return;
        }
        if state.connected >= self.max_clients {
            state.stats.refused_full += 1;
            tracing::info!(%address, clients = state.connected, "refused: there is no place left");
            return;
        }
        let Ok(local) = stream.local_addr().map(canonical) else {
            return;
        };
        state.connected += 1;
        drop(state);
        prepare(&stream, self.options.keepalive);
        let ends = Ends {
            local,
            peer: address,
        };
        tokio::spawn(serve(Place(self), stream, ends));
    }

    #[cfg_attr(
        not(feature = "tls"),
        allow(clippy::unused_async, reason = "with TLS it waits")
    )]
    async fn encrypt(&self, stream: TcpStream) -> Result<Transport, String> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let result = tokio::time::timeout(self.handshake_timeout, tls.accept(stream)).await;
            return match result {
                Ok(Ok(stream)) => Ok(Transport::Other(Box::new(stream))),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err(crate::tls::Server::timed_out(self.handshake_timeout).to_string()),
            };
        }
        Ok(Transport::Tcp(Arc::new(stream)))
    }

    /// Somebody is connected.
    fn join(self: &Arc<Self>, ends: Ends) -> Arc<Link> {
        let link = Arc::new(Link::new(self.options.clone(), ends));
        let mut state = self.lock();
        state.stats.accepted += 1;
        let id = ClientId(state.next_id);
        state.next_id += 1;
        state
            .arrivals
            .push_back(Arc::new(Member::new(id, link.clone())));
        if state.closing {
            link.begin_close();
        }
        let receiver = state.receiver.take();
        let accepters = std::mem::take(&mut state.accepters);
        drop(state);
        for waker in receiver.into_iter().chain(accepters) {
            waker.wake();
        }
        link
    }

    /// Takes in those whom nobody has accepted for himself.
    fn claim(self: &Arc<Self>, state: &mut State) -> Vec<Arc<Member>> {
        let claimed: Vec<_> = state.arrivals.drain(..).collect();
        for member in &claimed {
            state.members.insert(member.id, member.clone());
            state.everybody = None;
        }
        claimed
    }

    /// Has those claimed report to the server from now on. Without the lock: they report at once.
    fn listen_to(self: &Arc<Self>, claimed: Vec<Arc<Member>>) {
        for member in claimed {
            member.link.set_listener(Arc::new(Desk {
                server: Arc::downgrade(self),
                member: Arc::downgrade(&member),
            }));
        }
    }

    /// All that are to be sent to.
    fn everybody(self: &Arc<Self>) -> Arc<[Arc<Member>]> {
        let mut state = self.lock();
        let claimed = match state.arrivals.is_empty() {
            true => Vec::new(),
            false => self.claim(&mut state),
        };
        let State {
            everybody, members, ..
        } = &mut *state;
        let all = everybody
            .get_or_insert_with(|| members.values().cloned().collect())
            .clone();
        drop(state);
        self.listen_to(claimed);
        all
    }

    /// A member's connection is over.
    fn left(&self, id: ClientId) {
        let mut state = self.lock();
        if state.members.contains_key(&id) {
            state.departed.push_back(id);
            // A server that only sends never asks. Those who wait to be heard have a bound, too.
            if state.departed.len() > self.max_clients
                && let Some(oldest) = state.departed.pop_front()
                && state.members.remove(&oldest).is_some()
            {
                state.everybody = None;
                state.ready.retain(|it| it.id != oldest);
                state.stats.unheard += 1;
            }
        }
    }

    /// The next of whom something waits.
    fn poll_ready(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<Option<Arc<Member>>> {
        loop {
            let mut state = self.lock();
            if !state.arrivals.is_empty() {
                let claimed = self.claim(&mut state);
                drop(state);
                self.listen_to(claimed);
                continue;
            }
            if let Some(member) = state.ready.pop_front() {
                return Poll::Ready(Some(member));
            }
            if state.closing && state.connected == 0 && state.members.is_empty() {
                return Poll::Ready(None);
            }
            let waker = &mut state.receiver;
            if !waker.as_ref().is_some_and(|it| it.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
            return Poll::Pending;
        }
    }

    fn forget(&self, id: ClientId) {
        let mut state = self.lock();
        if state.members.remove(&id).is_some() {
            state.everybody = None;
            state.departed.retain(|it| *it != id);
        }
    }

    fn take_arrival(&self) -> Result<Option<Arc<Member>>, Closing> {
        let mut state = self.lock();
        match state.arrivals.pop_front() {
            None if state.closing => Err(Closing),
            arrival => Ok(arrival),
        }
    }

    fn begin_close(self: &Arc<Self>) {
        let mut state = self.lock();
        state.closing = true;
        for task in &state.tasks {
            task.abort();
        }
        drop(state);
        for member in &*self.everybody() {
            member.link.begin_close();
        }
        let mut state = self.lock();
        let receiver = state.receiver.take();
        let accepters = std::mem::take(&mut state.accepters);
        drop(state);
        for waker in receiver.into_iter().chain(accepters) {
            waker.wake();
        }
    }
}

/// The server is closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the server is closed")]
pub struct ServerClosed;

struct Closing;

/// A connection's place among the [`ServerBuilder::max_clients`].
struct Place(Arc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.connected -= 1;
        let waker = match state.closing {
            true => state.receiver.take(),
            false => None,
        };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A connection from its beginning to its end.
async fn serve(place: Place, stream: TcpStream, ends: Ends) {
    let server = &place.0;
    let transport = match server.encrypt(stream).await {
        Ok(transport) => transport,
        Err(error) => {
            server.lock().stats.refused_tls += 1;
            tracing::info!(address = %ends.peer, error, "refused");
            return;
        }
    };
    let link = server.join(ends);
    driver::run(link, transport, None).await;
}

/// Where a client reports that something waits.
struct Desk {
    server: Weak<Shared>,
    member: Weak<Member>,
}

impl crate::link::Listener for Desk {
    fn ready(&self) {
        let (Some(server), Some(member)) = (self.server.upgrade(), self.member.upgrade()) else {
            return;
        };
        let mut state = server.lock();
        state.ready.push_back(member);
        let waker = state.receiver.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn over(&self) {
        if let (Some(server), Some(member)) = (self.server.upgrade(), self.member.upgrade()) {
            server.left(member.id);
        }
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
    /// A client is gone; everything that it sent has been handed out.
    Disconnected {
        /// Who.
        client: Client,
        /// How.
        closed: Closed,
    },
}

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

/// Sends to the clients of a [`PortServer`] and asks about them, from anywhere.
#[derive(Clone)]
pub struct ServerHandle {
    shared: Arc<Shared>,
}

impl PortServer {
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
    pub const fn builder() -> ServerBuilder {
        ServerBuilder::new()
    }

    /// The addresses it listens on.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.handle.shared.addresses
    }

    /// The first address it listens on.
    ///
    /// # Panics
    /// Never: there is always one.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        self.addresses().first().copied().unwrap_or(nowhere)
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
        poll_fn(|cx| {
            let shared = &self.handle.shared;
            loop {
                match shared.take_arrival() {
                    Ok(Some(member)) => {
                        return Poll::Ready(Ok(SocketPort::new(member.link.clone())));
                    }
                    Err(Closing) => return Poll::Ready(Err(ServerClosed)),
                    Ok(None) => {}
                }
                let mut state = shared.lock();
                if state.arrivals.is_empty() && !state.closing {
                    if !state.accepters.iter().any(|it| it.will_wake(cx.waker())) {
                        state.accepters.push(cx.waker().clone());
                    }
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Takes the client that has waited longest out of the server, if there is one.
    ///
    /// # Errors
    /// When the server is closed.
    pub fn try_accept(&self) -> Result<Option<SocketPort>, ServerClosed> {
        match self.handle.shared.take_arrival() {
            Ok(member) => Ok(member.map(|member| SocketPort::new(member.link.clone()))),
            Err(Closing) => Err(ServerClosed),
        }
    }

    /// Waits for the next message of any client. `None` when the server is closed.
    ///
    /// Cancel safe.
    pub async fn receive(&mut self) -> Option<(Client, MessageBuf)> {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    /// The next message, if one is there already.
    pub fn try_receive(&mut self) -> Option<(Client, MessageBuf)> {
        let mut cx = Context::from_waker(Waker::noop());
        match self.poll_receive_now(&mut cx) {
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
    /// [`Options::close_timeout`] to take it. Ports that were accepted stay open.
    pub async fn close(self) {
        let shared = &self.handle.shared;
        shared.begin_close();
        let tasks = std::mem::take(&mut shared.lock().tasks);
        for task in tasks {
            // Its listener is closed then.
            let _ = task.await;
        }
        let all = shared.everybody();
        for member in &*all {
            member.link.abandon_reading();
        }
        for member in &*all {
            poll_fn(|cx| member.link.poll_over(cx)).await;
        }
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<(Client, MessageBuf)>> {
        let coop = ready!(tokio::task::coop::poll_proceed(cx));
        let message = ready!(self.poll_receive_now(cx));
        coop.made_progress();
        Poll::Ready(message)
    }

    fn poll_receive_now(&mut self, cx: &mut Context<'_>) -> Poll<Option<(Client, MessageBuf)>> {
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
            let Some((client, item)) = ready!(self.poll_item(cx)) else {
                return Poll::Ready(None);
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
    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<(Client, Option<Item>)>> {
        loop {
            if let Some(client) = &self.current
                && let Some(item) = self.batch.pop_front()
            {
                return Poll::Ready(Some((client.clone(), Some(item))));
            }
            let shared = &self.handle.shared;
            let Some(member) = ready!(shared.poll_ready(cx)) else {
                return Poll::Ready(None);
            };
            let is_new = member.greet();
            // It has its turn again after the others, if there is more of it.
            let (more, over) = member.link.fetch_some(QUANTUM, &mut self.batch);
            if more {
                shared.lock().ready.push_back(member.clone());
            }
            if over {
                shared.forget(member.id);
            }
            let client = Client(member);
            self.current = Some(client.clone());
            if is_new {
                return Poll::Ready(Some((client, None)));
            }
        }
    }
}

impl ServerHandle {
    /// Sends a message to all clients, without waiting.
    ///
    /// Each client has a queue of its own ([`Options::send_limit`]); what becomes of one that is full
    /// says [`Options::overflow`]. No client makes another wait. Yield to the runtime between many
    /// messages, so that they can be written.
    pub fn send<'m>(&self, message: impl Into<Message<'m>>) -> SendReport {
        let message = message.into();
        let mut report = SendReport::default();
        let Some(encoded) = Encoded::new(&message) else {
            report.undefined = true;
            return report;
        };
        for member in &*self.shared.everybody() {
            let trouble = match member.link.push(&encoded, &message) {
                Ok(Pushed::Taken) => {
                    report.reached += 1;
                    continue;
                }
                Ok(Pushed::Dropped) => Trouble::Dropped,
                Ok(Pushed::Overflowed) => {
                    self.shared.lock().stats.overflowed += 1;
                    Trouble::Overflowed
                }
                Err(_) => Trouble::Closed,
            };
            report.troubles.push((Client(member.clone()), trouble));
        }
        report
    }

    /// The clients, in the order in which they came; those who have left and were not yet heard to
    /// the end are not among them.
    #[must_use]
    pub fn clients(&self) -> Vec<Client> {
        let all = self.shared.everybody();
        let here = all
            .iter()
            .filter(|member| member.link.lock().closed.is_none());
        here.cloned().map(Client).collect()
    }

    /// What became of those who connected.
    #[must_use]
    pub fn stats(&self) -> ServerStats {
        self.shared.lock().stats
    }

    /// Closes the server: clients are told in the background, and its streams end. Ports that were
    /// accepted stay open.
    pub fn close(&self) {
        self.shared.begin_close();
    }

    /// Waits until the systems of all clients have taken what was sent to them, or they are gone.
    pub async fn flush(&self) {
        for member in &*self.shared.everybody() {
            // One that is gone takes nothing any more.
            let _ = poll_fn(|cx| member.link.poll_flushed(cx)).await;
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
        self.handle.shared.begin_close();
    }
}

impl fmt::Debug for PortServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortServer")
            .field("addresses", &self.addresses())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle")
            .field("addresses", &self.shared.addresses)
            .finish_non_exhaustive()
    }
}

/// An IPv4 address that a socket for both kinds writes as IPv6, as what it is.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => (v4, v6.port()).into(),
            None => address,
        },
        SocketAddr::V4(_) => address,
    }
}
