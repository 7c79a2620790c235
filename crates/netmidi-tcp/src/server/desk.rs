//! Who is let in, who is here, and of whom something waits.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{ServerClosed, ServerStats};
use crate::allow::AllowList;
use crate::client::{ClientId, Member};
use crate::driver;
use crate::error::CloseReason;
use crate::link::{Ends, Link, Listener};
use crate::options::Options;
use crate::refusal::Refusal;
use crate::transport::{Transport, prepare};
use crate::waiters::{Seat, Waiters};

/// So many who were not let in are remembered until somebody asks.
const MAX_REFUSALS: usize = 64;
/// After this pause it is tried again when the system cannot give another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who is let in, and on what terms.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    pub(super) options: Arc<Options>,
    pub(super) allowed: Option<AllowList>,
    pub(super) max_clients: usize,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<crate::tls::Server>,
    #[cfg(feature = "tls")]
    pub(super) handshake_timeout: Duration,
}

/// What the tasks and all handles share.
pub(super) struct Desk {
    pub(super) addresses: Vec<SocketAddr>,
    policy: Policy,
    state: Mutex<State>,
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
    /// Those who were not let in and nobody was told of, the oldest first.
    refusals: VecDeque<(SocketAddr, Refusal)>,
    closing: bool,
    /// Those that accept, each with its listener.
    tasks: Vec<JoinHandle<()>>,
    receiver: Option<Waker>,
    accepters: Waiters,
    stats: ServerStats,
}

impl Desk {
    /// Accepts from these from now on.
    pub(super) fn open(listeners: Vec<TcpListener>, policy: Policy) -> Arc<Self> {
        let addresses = listeners.iter().filter_map(|it| it.local_addr().ok());
        let desk = Arc::new(Self {
            addresses: addresses.collect(),
            policy,
            state: Mutex::default(),
        });
        let accept = |listener| tokio::spawn(accept_all(listener, Door(Arc::downgrade(&desk))));
        let tasks: Vec<_> = listeners.into_iter().map(accept).collect();
        desk.lock().tasks = tasks;
        desk
    }

    pub(super) const fn admits_everybody(&self) -> bool {
        self.policy.allowed.is_none()
    }

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
            .policy
            .allowed
            .as_ref()
            .is_some_and(|list| !list.admits(address.ip()))
        {
            state.stats.refused_address += 1;
            return Self::refuse(state, address, Refusal::NotListed);
        }
        if state.connected >= self.policy.max_clients {
            state.stats.refused_full += 1;
            let clients = self.policy.max_clients;
            return Self::refuse(state, address, Refusal::Full { clients });
        }
        let Ok(local) = stream.local_addr().map(canonical) else {
            return;
        };
        state.connected += 1;
        drop(state);
        prepare(&stream, self.policy.options.keepalive);
        let ends = Ends {
            local,
            peer: address,
        };
        tokio::spawn(serve(Place(self), stream, ends));
    }

    /// Somebody is not let in: tells whoever asks for events.
    fn refuse(mut state: MutexGuard<'_, State>, address: SocketAddr, refusal: Refusal) {
        tracing::info!(%address, "not let in: {refusal}");
        if state.refusals.len() == MAX_REFUSALS {
            state.refusals.pop_front();
        }
        state.refusals.push_back((address, refusal));
        let receiver = state.receiver.take();
        drop(state);
        if let Some(waker) = receiver {
            waker.wake();
        }
    }

    #[cfg_attr(
        not(feature = "tls"),
        allow(clippy::unused_async, reason = "with TLS it waits")
    )]
    async fn encrypt(&self, stream: TcpStream) -> Result<Transport, Refusal> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.policy.tls {
            let result =
                tokio::time::timeout(self.policy.handshake_timeout, tls.accept(stream)).await;
            return match result {
                Ok(Ok(stream)) => Ok(Transport::Other(Box::new(stream))),
                Ok(Err(error)) => Err(Refusal::Tls(error)),
                Err(_) => Err(Refusal::Tls(crate::tls::Server::timed_out(
                    self.policy.handshake_timeout,
                ))),
            };
        }
        Ok(Transport::Tcp(Arc::new(stream)))
    }

    /// Somebody is connected. Not if the server has been closed in the meantime.
    fn join(self: &Arc<Self>, ends: Ends) -> Option<Arc<Link>> {
        let link = Arc::new(Link::new(self.policy.options.clone(), ends));
        let mut state = self.lock();
        if state.closing {
            return None;
        }
        state.stats.accepted += 1;
        let id = ClientId(state.next_id);
        state.next_id += 1;
        state
            .arrivals
            .push_back(Arc::new(Member::new(id, link.clone())));
        let receiver = state.receiver.take();
        let accepters: Vec<_> = state.accepters.drain().collect();
        drop(state);
        for waker in receiver.into_iter().chain(accepters) {
            waker.wake();
        }
        Some(link)
    }

    /// A connection is over. Where nobody asks for clients, those that have left are not kept.
    fn sweep(&self) {
        let arrivals = self.lock().arrivals.clone();
        if arrivals.len() <= self.policy.max_clients {
            return;
        }
        let over = |member: &&Arc<Member>| member.link.lock().closed.is_some();
        if let Some(oldest) = arrivals.iter().find(over) {
            let mut state = self.lock();
            let before = state.arrivals.len();
            state.arrivals.retain(|it| it.id != oldest.id);
            if state.arrivals.len() < before {
                state.stats.unheard += 1;
            }
        }
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
            member.link.set_listener(Arc::new(Reporter {
                server: Arc::downgrade(self),
                member: Arc::downgrade(&member),
            }));
        }
    }

    /// All that are to be sent to.
    pub(super) fn everybody(self: &Arc<Self>) -> Arc<[Arc<Member>]> {
        let mut state = self.lock();
        let claimed = match state.arrivals.is_empty() {
            true => Vec::new(),
            false => self.claim(&mut state),
        };
        let State {
            everybody, members, ..
        } = &mut *state;
        let all = everybody
            .get_or_insert_with(|| {
                let here = members.values().filter(|member| !member.is_gone());
                here.cloned().collect()
            })
            .clone();
        drop(state);
        self.listen_to(claimed);
        all
    }

    /// A member's connection is over.
    fn left(&self, member: &Member) {
        member.set_gone();
        let id = member.id;
        let reason = member
            .link
            .lock()
            .closed
            .as_ref()
            .map(|it| it.reason.clone());
        let mut state = self.lock();
        if let Some(CloseReason::Overflow { .. }) = reason {
            state.stats.overflowed += 1;
        }
        if state.members.contains_key(&id) {
            state.everybody = None;
            state.departed.push_back(id);
            // A server that only sends never asks. Those who wait to be heard have a bound, too.
            if state.departed.len() > self.policy.max_clients
                && let Some(oldest) = state.departed.pop_front()
                && state.members.remove(&oldest).is_some()
            {
                state.ready.retain(|it| it.id != oldest);
                state.stats.unheard += 1;
            }
        }
    }

    /// The next of whom something waits. Who only asks, without a context, does not take the place of
    /// who waits.
    pub(super) fn poll_ready(
        self: &Arc<Self>,
        cx: Option<&Context<'_>>,
    ) -> Poll<Option<Arc<Member>>> {
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
            if state.closing && state.members.is_empty() {
                return Poll::Ready(None);
            }
            let waker = &mut state.receiver;
            if let Some(cx) = cx
                && !waker.as_ref().is_some_and(|it| it.will_wake(cx.waker()))
            {
                *waker = Some(cx.waker().clone());
            }
            return Poll::Pending;
        }
    }

    pub(super) fn forget(&self, id: ClientId) {
        let mut state = self.lock();
        if state.members.remove(&id).is_some() {
            state.everybody = None;
            state.departed.retain(|it| *it != id);
        }
    }

    /// The client that has waited longest.
    pub(super) fn try_accept(&self) -> Result<Option<Arc<Link>>, ServerClosed> {
        let mut state = self.lock();
        match state.arrivals.pop_front() {
            None if state.closing => Err(ServerClosed),
            arrival => Ok(arrival.map(|member| member.link.clone())),
        }
    }

    /// The same, waiting for one.
    pub(super) async fn accept(&self) -> Result<Arc<Link>, ServerClosed> {
        let accepting = Accepting::new(self);
        poll_fn(|cx| self.poll_accept(cx, accepting.seat)).await
    }

    fn poll_accept(&self, cx: &Context<'_>, seat: Seat) -> Poll<Result<Arc<Link>, ServerClosed>> {
        loop {
            match self.try_accept() {
                Ok(Some(link)) => return Poll::Ready(Ok(link)),
                Err(closed) => return Poll::Ready(Err(closed)),
                Ok(None) => {}
            }
            let mut state = self.lock();
            if state.arrivals.is_empty() && !state.closing {
                state.accepters.wait(seat, cx);
                return Poll::Pending;
            }
        }
    }

    /// Gives a member its next turn, behind the others.
    pub(super) fn requeue(&self, member: Arc<Member>) {
        self.lock().ready.push_back(member);
    }

    /// Somebody who was not let in.
    pub(super) fn next_refusal(&self) -> Option<(SocketAddr, Refusal)> {
        self.lock().refusals.pop_front()
    }

    pub(super) fn stats(&self) -> ServerStats {
        self.lock().stats
    }

    /// Waits until nothing listens any more.
    pub(super) async fn stop_listening(&self) {
        let tasks = std::mem::take(&mut self.lock().tasks);
        for task in tasks {
            task.abort();
            // Its listener is closed then.
            let _ = task.await;
        }
    }

    /// Takes nobody in any more, and has everybody leave.
    pub(super) fn begin_close(self: &Arc<Self>) {
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
        let accepters: Vec<_> = state.accepters.drain().collect();
        drop(state);
        for waker in receiver.into_iter().chain(accepters) {
            waker.wake();
        }
    }
}

impl Desk {
    /// Nobody will fetch anything any more.
    pub(super) fn abandon_reading(&self) {
        let members: Vec<_> = self.lock().members.values().cloned().collect();
        for member in members {
            member.link.abandon_reading();
        }
    }
}

/// One who waits for a client; leaves when it is dropped.
struct Accepting<'a> {
    desk: &'a Desk,
    seat: Seat,
}

impl<'a> Accepting<'a> {
    fn new(desk: &'a Desk) -> Self {
        let seat = desk.lock().accepters.seat();
        Self { desk, seat }
    }
}

impl Drop for Accepting<'_> {
    fn drop(&mut self) {
        self.desk.lock().accepters.leave(self.seat);
    }
}

/// A connection's place among the [`ServerBuilder::max_clients`].
struct Place(Arc<Desk>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.lock().connected -= 1;
    }
}

/// A connection from its beginning to its end.
async fn serve(place: Place, stream: TcpStream, ends: Ends) {
    let server = &place.0;
    let transport = match server.encrypt(stream).await {
        Ok(transport) => transport,
        Err(refusal) => {
            let mut state = server.lock();
            state.stats.refused_tls += 1;
            return Desk::refuse(state, ends.peer, refusal);
        }
    };
    if let Some(link) = server.join(ends) {
        driver::run(link, transport, None).await;
        server.sweep();
    }
}

/// Where a client reports that something waits.
struct Reporter {
    server: Weak<Desk>,
    member: Weak<Member>,
}

impl Listener for Reporter {
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
            server.left(&member);
        }
    }
}

/// What somebody comes in by. Without one nobody comes any more, and the server is closed: also where
/// a runtime that is shut down takes it away.
struct Door(Weak<Desk>);

impl Drop for Door {
    fn drop(&mut self) {
        if let Some(server) = self.0.upgrade()
            && !server.lock().closing
        {
            server.begin_close();
        }
    }
}

/// Takes every connection, until the server is gone.
async fn accept_all(listener: TcpListener, door: Door) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => match door.0.upgrade() {
                Some(server) => server.admit(stream, address),
                None => return,
            },
            // The client is gone already; with anything else the system has no room.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted at the moment");
                if let Some(server) = door.0.upgrade() {
                    server.lock().stats.accept_errors += 1;
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
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
