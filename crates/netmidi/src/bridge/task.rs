//! The one task of a bridge: it hears both sides and passes on.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, join3};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use netmidi_message::{Message, RealTime};
use netmidi_session::ParticipantId;
use netmidi_tcp::{
    Address, Backoff, Closed, ConnectError, Connector, Event as TcpEvent, PortServer, ReceiveHalf,
    SendHalf, ServerClosed, SocketPort, Trouble,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Sleep;

use super::circles::{Circles, Memory};
use super::event::{BridgeEvent, BridgeStats, Member, MemberId, TcpId, TcpPeer};
use super::{MAX_EVENT_OCTETS, SameSide};
use crate::endpoint::{Endpoint, Handle};
use crate::error::SendError;
use crate::event::Event;
use crate::route::{Router, Routing, is_same};

/// Somebody who is waited for at a server.
type Accepting = BoxFuture<'static, Result<SocketPort, ServerClosed>>;

fn accept(server: &PortServer) -> Accepting {
    let handle = server.handle();
    async move { handle.accept().await }.boxed()
}

/// So many events of one TCP peer are taken before another has its turn.
const QUANTUM: usize = 64;
/// So many octets of one TCP peer may be on their way to RTP peers, before no more is read of it.
const WINDOW: usize = 8 << 10;
/// What a message counts beyond its octets: more than it does in the queue of an RTP peer.
const OVERHEAD: usize = 64;
/// One permit is for so many octets of long messages.
const PERMIT: usize = 1 << 10;
/// When to try again to let go what an RTP peer's queue had no room for.
const PAY_AGAIN: Duration = Duration::from_millis(10);

/// Who hears whom.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ways {
    pub(super) rtp: SameSide,
    pub(super) tcp: SameSide,
}

impl Routing for Ways {
    type Id = MemberId;
    type Peer = Member;

    fn leads(&self, from: &Member, to: &Member) -> bool {
        match (from, to) {
            (Member::Rtp(from), Member::Rtp(to)) => {
                self.rtp == SameSide::Together && !is_same(from, to)
            }
            (Member::Tcp(from), Member::Tcp(to)) => {
                self.tcp == SameSide::Together && from.id != to.id
            }
            (Member::Rtp(_), Member::Tcp(_)) | (Member::Tcp(_), Member::Rtp(_)) => true,
        }
    }
}

/// What a task is made of.
pub(super) struct Parts {
    pub(super) endpoint: Endpoint,
    pub(super) server: Option<PortServer>,
    pub(super) servers: Vec<Address>,
    pub(super) connector: Connector,
    pub(super) backoff: Backoff,
    pub(super) ways: Ways,
    pub(super) circles: Circles,
    pub(super) refuse_sysex: bool,
    /// Octets that may wait for one RTP peer.
    pub(super) max_queued: usize,
    pub(super) events: Events,
    pub(super) stats: Arc<Mutex<BridgeStats>>,
    pub(super) closing: oneshot::Receiver<()>,
}

pub(super) struct Task {
    endpoint: Endpoint,
    server: Option<PortServer>,
    /// The next client of it.
    accepting: Option<Accepting>,
    connector: Connector,
    backoff: Backoff,
    servers: Vec<Server>,
    router: Router<Ways>,
    memory: Memory<MemberId>,
    outlets: Outlets,
    next_id: u64,
    /// One for each TCP connection.
    turns: FuturesUnordered<BoxFuture<'static, Turn>>,
    /// Attempts to connect.
    dials: FuturesUnordered<BoxFuture<'static, (usize, Result<SocketPort, ConnectError>)>>,
    /// For messages that are longer than a [`WINDOW`]: all of them together.
    bulk: Arc<Semaphore>,
    bulk_permits: usize,
    pay: Option<Pin<Box<Sleep>>>,
    refuse_sysex: bool,
    /// Which side is asked first.
    tcp_first: bool,
    events: Events,
    stats: BridgeStats,
    shown: Arc<Mutex<BridgeStats>>,
    closing: oneshot::Receiver<()>,
}

/// A TCP server that is connected to.
struct Server {
    address: Address,
    /// Attempts that failed, or connections that were lost at once, since the last one that held.
    failures: u32,
    connected_at: Option<Instant>,
    /// That it cannot be reached has been told.
    told: bool,
}

/// What a TCP connection has brought.
struct Turn {
    id: TcpId,
    half: ReceiveHalf,
    events: Vec<TcpEvent>,
    over: bool,
    /// Held until what the events bring has gone out.
    permit: Option<OwnedSemaphorePermit>,
}

/// What is next.
enum Next {
    Close,
    Rtp(Option<Event>),
    Tcp(Turn),
    Dialled(usize, Result<SocketPort, ConnectError>),
    Accepted(SocketPort),
    Pay,
}

impl Task {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts {
            endpoint,
            server,
            servers,
            connector,
            backoff,
            ways,
            circles,
            refuse_sysex,
            max_queued,
            events,
            stats,
            closing,
        } = parts;
        // The other half is for what all connections have in their windows.
        let bulk_permits = (max_queued / 2 / PERMIT).clamp(1, Semaphore::MAX_PERMITS);
        let servers = servers.into_iter().map(|address| Server {
            address,
            failures: 0,
            connected_at: None,
            told: false,
        });
        let task = Self {
            outlets: Outlets {
                handle: endpoint.handle(),
                rtp: Vec::new(),
                tcp: BTreeMap::new(),
                together: Vec::new(),
                to_rtp: 0,
                to_tcp: 0,
                rtp_not_sent: 0,
                tcp_missed: 0,
                too_slow: 0,
            },
            endpoint,
            accepting: server.as_ref().map(accept),
            server,
            connector,
            backoff,
            servers: servers.collect(),
            router: Router::new(ways),
            memory: Memory::new(circles),
            next_id: 0,
            turns: FuturesUnordered::new(),
            dials: FuturesUnordered::new(),
            bulk: Arc::new(Semaphore::new(bulk_permits)),
            bulk_permits,
            pay: None,
            refuse_sysex,
            tcp_first: false,
            events,
            stats: BridgeStats::default(),
            shown: stats,
            closing,
        };
        for server in 0..task.servers.len() {
            task.dial(server, Duration::ZERO);
        }
        task
    }

    pub(super) async fn run(mut self) {
        loop {
            match poll_fn(|cx| self.poll_next(cx)).await {
                Next::Close | Next::Rtp(None) => return self.finish().await,
                Next::Rtp(Some(event)) => self.rtp_event(event),
                Next::Tcp(turn) => self.tcp_turn(turn),
                Next::Dialled(server, Ok(port)) => self.tcp_joined(port, Some(server)),
                Next::Dialled(server, Err(error)) => self.unreachable(server, error),
                Next::Accepted(port) => self.tcp_joined(port, None),
                Next::Pay => {
                    let Self {
                        router, outlets, ..
                    } = &mut self;
                    router.pay(&mut |to, message| outlets.send(to, message));
                }
            }
            if self.router.owes() && self.pay.is_none() {
                self.pay = Some(Box::pin(tokio::time::sleep(PAY_AGAIN)));
            }
            self.show_stats();
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        if self.closing.poll_unpin(cx).is_ready() {
            return Poll::Ready(Next::Close);
        }
        // However much there is to do, others have their turn.
        let coop = ready!(tokio::task::coop::poll_proceed(cx));
        let next = ready!(self.poll_sides(cx));
        coop.made_progress();
        Poll::Ready(next)
    }

    fn poll_sides(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        self.tcp_first = !self.tcp_first;
        if self.tcp_first
            && let Poll::Ready(Some(turn)) = self.turns.poll_next_unpin(cx)
        {
            return Poll::Ready(Next::Tcp(turn));
        }
        if let Poll::Ready(event) = self.endpoint.poll_next_unpin(cx) {
            return Poll::Ready(Next::Rtp(event));
        }
        if !self.tcp_first
            && let Poll::Ready(Some(turn)) = self.turns.poll_next_unpin(cx)
        {
            return Poll::Ready(Next::Tcp(turn));
        }
        if let Poll::Ready(Some((server, result))) = self.dials.poll_next_unpin(cx) {
            return Poll::Ready(Next::Dialled(server, result));
        }
        if let Some(accepting) = &mut self.accepting
            && let Poll::Ready(result) = accepting.poll_unpin(cx)
        {
            // Closed, it accepts nobody any more.
            self.accepting = match result {
                Ok(_) => self.server.as_ref().map(accept),
                Err(_) => None,
            };
            if let Ok(port) = result {
                return Poll::Ready(Next::Accepted(port));
            }
        }
        if let Some(pay) = &mut self.pay
            && pay.as_mut().poll(cx).is_ready()
        {
            self.pay = None;
            return Poll::Ready(Next::Pay);
        }
        Poll::Pending
    }

    // The RTP-MIDI side.

    fn rtp_event(&mut self, event: Event) {
        match &event {
            Event::Connected { peer } => {
                self.outlets.rtp.push(peer.id);
                let member = Member::Rtp(Arc::clone(peer));
                self.router.joined(MemberId::Rtp(peer.id), member);
            }
            Event::Message { peer, message, .. } => {
                self.stats.from_rtp += 1;
                let member = || Member::Rtp(Arc::clone(peer));
                self.pass(MemberId::Rtp(peer.id), member, message.as_message());
            }
            Event::Disconnected { peer, .. } => {
                self.outlets.rtp.retain(|id| *id != peer.id);
                self.left(MemberId::Rtp(peer.id));
            }
            Event::NotSent { .. } => self.outlets.rtp_not_sent += 1,
            Event::NotSentUntold { count } => self.outlets.rtp_not_sent += count,
            _ => {}
        }
        self.events.tell(BridgeEvent::Rtp(event));
    }

    // The TCP side.

    fn tcp_joined(&mut self, port: SocketPort, server: Option<usize>) {
        let id = TcpId(self.next_id);
        self.next_id += 1;
        let at = server.and_then(|server| self.servers.get_mut(server));
        let at = at.map(|server| {
            server.connected_at = Some(Instant::now());
            server.told = false;
            server.address.clone()
        });
        let peer = Arc::new(TcpPeer {
            id,
            address: port.peer_addr(),
            server: at,
        });
        let (half, sender) = port.split();
        let outlet = TcpOutlet {
            sender,
            peer: Arc::clone(&peer),
            server,
            too_slow: false,
            unsent: 0,
            closed: None,
        };
        self.outlets.tcp.insert(id, outlet);
        let member = Member::Tcp(Arc::clone(&peer));
        self.router.joined(MemberId::Tcp(id), member);
        self.events.tell(BridgeEvent::TcpConnected { peer });
        self.hear(id, half, Vec::new(), None);
    }

    fn tcp_turn(&mut self, turn: Turn) {
        let Turn {
            id,
            half,
            mut events,
            over,
            permit,
        } = turn;
        for event in events.drain(..) {
            self.tcp_event(id, event);
        }
        if over {
            return self.tcp_over(id);
        }
        let Some(outlet) = self.outlets.tcp.get_mut(&id) else {
            return;
        };
        let mut flush = None;
        if outlet.unsent >= WINDOW || permit.is_some() {
            outlet.unsent = 0;
            let waited = Arc::clone(&self.events.slowed);
            let (handle, to) = (self.outlets.handle.clone(), self.outlets.rtp.clone());
            flush = Some(async move {
                let mut passing = pin!(handle.flush(to));
                // Where the peers keep up it has passed by the next turn.
                if passing.as_mut().now_or_never().is_none() {
                    waited.fetch_add(1, Ordering::Relaxed);
                    // Or the endpoint is closed, and this bridge soon.
                    let _ = passing.await;
                }
                drop(permit);
            });
        }
        self.hear(id, half, events, flush.map(FutureExt::boxed));
    }

    /// Takes what a TCP peer sends next, after what is to be waited for.
    fn hear(
        &self,
        id: TcpId,
        mut half: ReceiveHalf,
        mut events: Vec<TcpEvent>,
        before: Option<BoxFuture<'static, ()>>,
    ) {
        let (bulk, permits) = (Arc::clone(&self.bulk), self.bulk_permits);
        let turn = async move {
            if let Some(before) = before {
                before.await;
            }
            let mut octets = 0;
            let mut long = 0;
            let mut next = half.next_event().await;
            let over = loop {
                let Some(event) = next else { break true };
                let len = message_len(&event);
                octets += len;
                if len > WINDOW {
                    long = len;
                }
                events.push(event);
                if events.len() >= QUANTUM || octets >= WINDOW {
                    break false;
                }
                next = match half.next_event().now_or_never() {
                    Some(next) => next,
                    None => break false,
                };
            };
            let mut permit = None;
            if long > 0 {
                let wanted = (long / PERMIT + 1).min(permits);
                let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
                // It is never closed.
                permit = bulk.acquire_many_owned(wanted).await.ok();
            }
            Turn {
                id,
                half,
                events,
                over,
                permit,
            }
        };
        self.turns.push(turn.boxed());
    }

    fn tcp_event(&mut self, id: TcpId, event: TcpEvent) {
        let Some(outlet) = self.outlets.tcp.get_mut(&id) else {
            return;
        };
        let peer = Arc::clone(&outlet.peer);
        let silence = matches!(event, TcpEvent::Silence(_));
        match event {
            TcpEvent::Message(message) | TcpEvent::Silence(message) => {
                self.stats.from_tcp += 1;
                let before = self.outlets.to_rtp;
                let member = || Member::Tcp(Arc::clone(&peer));
                self.pass(MemberId::Tcp(id), member, message.as_message());
                if self.outlets.to_rtp > before
                    && let Some(outlet) = self.outlets.tcp.get_mut(&id)
                {
                    outlet.unsent += message.as_message().encoded_len() + OVERHEAD;
                }
                self.events.tell(BridgeEvent::TcpMessage {
                    peer,
                    message,
                    silence,
                });
            }
            TcpEvent::Discarded(report) => self.events.tell(BridgeEvent::TcpDiscarded {
                peer,
                report: report.to_string(),
            }),
            TcpEvent::Disconnected(closed) => outlet.closed = Some(closed),
            _ => {}
        }
    }

    /// A TCP connection has ended, and everything that came of it has been heard.
    fn tcp_over(&mut self, id: TcpId) {
        self.left(MemberId::Tcp(id));
        let Some(outlet) = self.outlets.tcp.remove(&id) else {
            return;
        };
        if let Some(closed) = outlet.closed {
            self.events.tell(BridgeEvent::TcpDisconnected {
                peer: outlet.peer,
                closed,
                too_slow: outlet.too_slow,
            });
        }
        let Some(index) = outlet.server else {
            return;
        };
        let Some(server) = self.servers.get_mut(index) else {
            return;
        };
        // A server that lets nobody stay is asked less and less often.
        let held = server
            .connected_at
            .take()
            .is_some_and(|at| at.elapsed() > self.backoff.longest);
        if held || outlet.too_slow {
            server.failures = 0;
        }
        let delay = server.delay(self.backoff);
        server.failures = server.failures.saturating_add(1);
        self.dial(index, delay);
    }

    fn unreachable(&mut self, index: usize, error: ConnectError) {
        self.stats.connect_failures += 1;
        let Some(server) = self.servers.get_mut(index) else {
            return;
        };
        let delay = server.delay(self.backoff);
        server.failures = server.failures.saturating_add(1);
        if !std::mem::replace(&mut server.told, true) {
            self.events.tell(BridgeEvent::TcpUnreachable {
                server: server.address.clone(),
                error: Arc::new(error),
                again_in: delay,
            });
        } else {
            tracing::debug!(server = %server.address, %error, "not there yet");
        }
        self.dial(index, delay);
    }

    fn dial(&self, index: usize, delay: Duration) {
        let Some(server) = self.servers.get(index) else {
            return;
        };
        let (connector, address) = (self.connector.clone(), server.address.clone());
        let dial = async move {
            tokio::time::sleep(delay).await;
            (index, connector.connect(address).await)
        };
        self.dials.push(dial.boxed());
    }

    // Both.

    /// Passes on what somebody has played.
    fn pass(&mut self, from: MemberId, member: impl FnOnce() -> Member, message: Message<'_>) {
        if message.is_undefined() {
            self.stats.undefined += 1;
            return;
        }
        match message {
            Message::RealTime(RealTime::ActiveSensing) => {
                self.stats.active_sensing += 1;
                return;
            }
            Message::SysEx(_) if self.refuse_sysex => {
                self.stats.sysex_refused += 1;
                return;
            }
            _ => {}
        }
        let now = Instant::now();
        // What ends something that its player holds is his own.
        if !self.router.is_release(from, &message) {
            let verdict = self.memory.judge(from, &message, now);
            if verdict.circle {
                self.events.tell(BridgeEvent::Circle {
                    member: member(),
                    dropped: verdict.drop,
                });
            }
            if verdict.returned {
                self.stats.returned += 1;
            }
            if verdict.drop {
                return;
            }
        }
        let before = (self.router.stats().forwarded, self.outlets.tcp_missed);
        let Self {
            router, outlets, ..
        } = self;
        // Of several RTP peers all get one copy.
        let mut together = std::mem::take(&mut outlets.together);
        router.forward(from, message, &mut |to, it| match to {
            MemberId::Rtp(id) if is_identical(&it, &message) => {
                together.push(id);
                true
            }
            _ => outlets.send(to, it),
        });
        if !together.is_empty() {
            match outlets.handle.send_to(together.as_slice().into(), message) {
                Ok(()) => outlets.to_rtp += together.len() as u64,
                Err(SendError::Backlog { .. }) => {
                    outlets.rtp_not_sent += together.len() as u64;
                    for id in &together {
                        router.not_taken(MemberId::Rtp(*id), &message);
                    }
                }
                Err(SendError::Closed | SendError::NotConnected { .. }) => {}
            }
            together.clear();
        }
        outlets.together = together;
        // What nobody heard cannot come back.
        let missed = self.outlets.tcp_missed - before.1;
        if self.router.stats().forwarded > before.0 + missed {
            self.memory.remember(from, &message, now);
        }
    }

    /// Somebody is gone: what it still holds is let go.
    fn left(&mut self, id: MemberId) {
        let Self {
            router, outlets, ..
        } = self;
        router.left(id, &mut |to, message| outlets.send(to, message));
        self.memory.left(id);
    }

    fn show_stats(&mut self) {
        let routes = self.router.stats();
        self.stats = BridgeStats {
            rtp_peers: self.outlets.rtp.len(),
            tcp_peers: self.outlets.tcp.len(),
            to_rtp: self.outlets.to_rtp,
            to_tcp: self.outlets.to_tcp,
            held_by_others: routes.held_by_others,
            rtp_not_sent: self.outlets.rtp_not_sent,
            tcp_missed: self.outlets.tcp_missed,
            tcp_too_slow: self.outlets.too_slow,
            tcp_slowed_down: self.events.slowed.load(Ordering::Relaxed) as u64,
            events_missed: self.events.missed_in_all,
            ..self.stats
        };
        // Nothing panics while it holds this lock.
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = self.stats;
    }

    /// Ends what sounds, and both sides.
    async fn finish(mut self) {
        self.dials.clear();
        let rtp = self.outlets.rtp.iter().map(|id| MemberId::Rtp(*id));
        let tcp = self.outlets.tcp.keys().map(|id| MemberId::Tcp(*id));
        let all: Vec<MemberId> = rtp.chain(tcp).collect();
        for id in all {
            self.left(id);
        }
        for outlet in self.outlets.tcp.values() {
            outlet.sender.close();
        }
        self.show_stats();
        let turns = self.turns;
        // What comes now is not passed on; but a connection is over only when it was read to the end.
        let written = turns.for_each_concurrent(None, |turn| async move {
            let Turn { mut half, over, .. } = turn;
            while !over && half.next_event().await.is_some() {}
        });
        let server = async {
            if let Some(server) = self.server {
                server.close().await;
            }
        };
        join3(self.endpoint.close(), written, server).await;
    }
}

impl Server {
    /// How long to wait before it is tried again.
    fn delay(&self, backoff: Backoff) -> Duration {
        let delay = 2u32
            .checked_pow(self.failures)
            .and_then(|factor| backoff.first.checked_mul(factor))
            .map_or(backoff.longest, |delay| delay.min(backoff.longest));
        // Those who lost the same server do not come back at once.
        let share = getrandom::u32().unwrap_or_default() % 256;
        delay * (896 + share) / 1024
    }
}

/// Whether it is the message itself that is passed on, not what stands for it. For those that are long
/// nothing else ever does.
fn is_identical(it: &Message<'_>, message: &Message<'_>) -> bool {
    matches!(it, Message::SysEx(_)) || it == message
}

/// Octets of a message that it takes to pass it on.
fn message_len(event: &TcpEvent) -> usize {
    match event {
        TcpEvent::Message(message) | TcpEvent::Silence(message) => {
            message.as_message().encoded_len() + OVERHEAD
        }
        _ => OVERHEAD,
    }
}

/// Where messages go.
struct Outlets {
    handle: Handle,
    rtp: Vec<ParticipantId>,
    tcp: BTreeMap<TcpId, TcpOutlet>,
    /// The RTP peers that one message goes to, while it is passed on.
    together: Vec<ParticipantId>,
    to_rtp: u64,
    to_tcp: u64,
    rtp_not_sent: u64,
    tcp_missed: u64,
    too_slow: u64,
}

struct TcpOutlet {
    sender: SendHalf,
    peer: Arc<TcpPeer>,
    /// Which of the servers that are connected to.
    server: Option<usize>,
    /// It is being disconnected for that.
    too_slow: bool,
    /// Octets that came of it and went to RTP peers since these were last waited for.
    unsent: usize,
    /// How it ended.
    closed: Option<Closed>,
}

impl Outlets {
    /// Sends to one receiver; whether there was room. Who is gone always has some.
    fn send(&mut self, to: MemberId, message: Message<'_>) -> bool {
        match to {
            MemberId::Rtp(id) => match self.handle.send(id, message) {
                Ok(()) => self.to_rtp += 1,
                Err(SendError::Backlog { .. }) => {
                    self.rtp_not_sent += 1;
                    return false;
                }
                Err(SendError::Closed | SendError::NotConnected { .. }) => {}
            },
            MemberId::Tcp(id) => {
                let Some(outlet) = self.tcp.get_mut(&id) else {
                    return true;
                };
                match outlet.sender.push(message) {
                    Ok(()) => self.to_tcp += 1,
                    // What it would have left behind the connection itself sees to.
                    Err(Trouble::Dropped) => self.tcp_missed += 1,
                    Err(Trouble::Overflowed) => {
                        outlet.too_slow = true;
                        self.too_slow += 1;
                    }
                    Err(_) => {}
                }
            }
        }
        true
    }
}

/// Where events go.
pub(super) struct Events {
    sender: mpsc::Sender<BridgeEvent>,
    /// Octets in those that wait.
    waiting: Arc<AtomicUsize>,
    /// Those for which there was no room, and which have not been told as such.
    missed: u64,
    missed_in_all: u64,
    /// How often a TCP peer had to wait.
    slowed: Arc<AtomicUsize>,
}

impl Events {
    pub(super) fn new(sender: mpsc::Sender<BridgeEvent>, waiting: Arc<AtomicUsize>) -> Self {
        Self {
            sender,
            waiting,
            missed: 0,
            missed_in_all: 0,
            slowed: Arc::default(),
        }
    }

    fn tell(&mut self, event: BridgeEvent) {
        if self.missed > 0 {
            let missed = BridgeEvent::Missed { count: self.missed };
            if self.sender.try_send(missed).is_ok() {
                self.missed = 0;
            }
        }
        let octets = event.octets();
        let waiting = self.waiting.load(Ordering::Relaxed);
        let told = waiting + octets <= MAX_EVENT_OCTETS && {
            self.waiting.fetch_add(octets, Ordering::Relaxed);
            let told = self.sender.try_send(event).is_ok();
            if !told {
                self.waiting.fetch_sub(octets, Ordering::Relaxed);
            }
            told
        };
        if !told {
            self.missed += 1;
            self.missed_in_all += 1;
        }
    }
}
