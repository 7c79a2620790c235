//! MIDI over TCP.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use netmidi::Origin;
use netmidi::message::Message;
use netmidi::tcp::{
    Address, Client, ClientId, CloseReason, Closed, ConnectError, Connector, Event as Port,
    ListenAddress, Options as Tcp, PortServer, PortStats, ReceiveHalf, SendHalf, ServerEvent,
    SocketPort, SysEx, Trouble,
};

use super::Options;
use crate::event::{Event, Kind, Member, Reason};
use crate::failure::{Failure, sentence};

/// How soon a server is tried again, at first and at last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// So many sentences about what one sends are told in a second; the others are counted.
const SENTENCES: u32 = 5;

/// Keeps somebody who sends nonsense from flooding what is printed.
#[derive(Debug)]
struct Sentences {
    since: Instant,
    told: u32,
    untold: u64,
}

impl Sentences {
    fn new() -> Self {
        let since = Instant::now();
        Self {
            since,
            told: 0,
            untold: 0,
        }
    }

    /// The sentence as it is to be told now, if it is.
    fn tell(&mut self, sentence: impl FnOnce() -> String, now: Instant) -> Option<Event> {
        if now.saturating_duration_since(self.since) >= Duration::from_secs(1) {
            (self.since, self.told) = (now, 0);
        }
        if self.told >= SENTENCES {
            self.untold += 1;
            return None;
        }
        self.told += 1;
        let message = match std::mem::take(&mut self.untold) {
            0 => sentence(),
            untold => format!("{} (and {untold} such before)", sentence()),
        };
        Some(Event::Warning { message })
    }

    /// At the end: what was counted and not told.
    fn rest(&self, name: &str) -> Option<Event> {
        (self.untold > 0).then(|| Event::Warning {
            message: format!("{name}: {} more such sentences were left out", self.untold),
        })
    }
}

fn tcp_options(options: &Options) -> Tcp {
    match options.sysex {
        true => Tcp::new(),
        false => Tcp::new().sysex(SysEx::Refuse),
    }
}

/// A server with its clients.
#[derive(Debug)]
pub(crate) struct TcpServer {
    number: usize,
    server: PortServer,
    clients: BTreeMap<ClientId, (Client, Arc<Member>)>,
    discards: BTreeMap<ClientId, Sentences>,
    refusals: Sentences,
    /// Told before anything else.
    pending: VecDeque<Event>,
}

impl TcpServer {
    pub(crate) async fn open(
        number: usize,
        listen: &[ListenAddress],
        options: &Options,
    ) -> Result<Self, Failure> {
        let mut builder = PortServer::builder().options(tcp_options(options));
        for address in listen {
            builder = builder.listen(address.clone());
        }
        for network in &options.allow {
            builder = builder.allow(*network);
        }
        if let Some(max) = options.max_peers {
            builder = builder.max_clients(max);
        }
        let server = builder.bind().await.map_err(|error| Failure::of(&error))?;
        let mut pending: VecDeque<Event> = VecDeque::new();
        for address in server.addresses() {
            pending.push_back(Event::ListeningTcp { address: *address });
            if !address.ip().is_loopback() && options.allow.is_empty() {
                pending.push_back(Event::Warning {
                    message: format!(
                        "whoever reaches {address} may connect and play; --allow NETWORK lets in \
                         only those from there"
                    ),
                });
            }
        }
        Ok(Self {
            number,
            server,
            clients: BTreeMap::new(),
            discards: BTreeMap::new(),
            refusals: Sentences::new(),
            pending,
        })
    }

    pub(crate) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Poll::Ready(Some(event));
            }
            let Some(event) = ready!(pin!(self.server.next_event()).poll(cx)) else {
                return Poll::Ready(None);
            };
            if let Some(event) = self.translate(event) {
                return Poll::Ready(Some(event));
            }
        }
    }

    fn translate(&mut self, event: ServerEvent) -> Option<Event> {
        Some(match event {
            ServerEvent::Connected { client } => {
                let member = Member::new(
                    self.number,
                    Kind::Tcp {
                        address: client.address(),
                    },
                );
                let here = (client.clone(), Arc::clone(&member));
                self.clients.insert(client.id(), here);
                Event::Connected { member }
            }
            ServerEvent::Message { client, message } => Event::Midi {
                member: self.member(&client)?,
                at: Instant::now(),
                message,
                origin: Origin::Live,
            },
            ServerEvent::Silence { client, message } => Event::Midi {
                member: self.member(&client)?,
                at: Instant::now(),
                message,
                origin: Origin::Silence,
            },
            ServerEvent::Discarded { client, report } => {
                let name = self.member(&client)?.name();
                let discards = self.discards.entry(client.id());
                let discards = discards.or_insert_with(Sentences::new);
                discards.tell(|| format!("{name}: {report}"), Instant::now())?
            }
            ServerEvent::Refused { address, refusal } => {
                let sentence = || format!("{address} was not let in: {refusal}");
                self.refusals.tell(sentence, Instant::now())?
            }
            ServerEvent::Disconnected { client, closed } => {
                let (_, member) = self.clients.remove(&client.id())?;
                let discards = self.discards.remove(&client.id());
                if let Some(rest) = discards.and_then(|it| it.rest(&member.name())) {
                    self.pending.push_back(gone(member, &closed));
                    return Some(rest);
                }
                gone(member, &closed)
            }
            other => {
                tracing::debug!(?other, "not told");
                return None;
            }
        })
    }

    /// What was counted of each client.
    pub(crate) fn counters(&self) -> impl Iterator<Item = (Arc<Member>, PortStats)> {
        let clients = self.clients.values();
        clients.map(|(client, member)| (Arc::clone(member), client.stats()))
    }

    fn member(&self, client: &Client) -> Option<Arc<Member>> {
        self.clients
            .get(&client.id())
            .map(|(_, member)| Arc::clone(member))
    }

    pub(crate) fn send(&self, to: &Member, message: Message<'_>) -> bool {
        let here = self.clients.values().find(|(_, member)| member.id == to.id);
        here.is_none_or(|(client, _)| taken(client.send(message)))
    }

    /// Done when the system has taken what was sent to all clients.
    pub(crate) fn drain(&self) -> BoxFuture<'static, ()> {
        let server = self.server.handle();
        async move { server.flush().await }.boxed()
    }

    pub(crate) fn close(&self) {
        self.server.handle().close();
    }

    pub(crate) async fn finish(self) {
        self.server.close().await;
    }
}

/// Whether there was room, or none is needed any more.
const fn taken(sent: Result<(), Trouble>) -> bool {
    !matches!(sent, Err(Trouble::Dropped))
}

fn gone(member: Arc<Member>, closed: &Closed) -> Event {
    let reason = match closed.reason {
        CloseReason::Local | CloseReason::Shutdown => Reason::Local,
        CloseReason::Peer => Reason::Bye,
        CloseReason::Unreachable | CloseReason::Idle { .. } => Reason::Timeout,
        _ => Reason::Error,
    };
    Event::Disconnected {
        member,
        reason,
        detail: closed.to_string(),
    }
}

/// A server that is connected to, and again whenever the connection is lost.
pub(crate) struct TcpClient {
    number: usize,
    address: Address,
    connector: Connector,
    again: bool,
    state: State,
    /// Attempts that failed, or connections that were lost at once, since one held.
    failures: u32,
    until_there: bool,
    /// Why the last attempt failed, which has been told.
    trouble: Option<String>,
    discards: Sentences,
    closing: bool,
}

enum State {
    Dialling(BoxFuture<'static, Result<SocketPort, ConnectError>>),
    Up {
        port: ReceiveHalf,
        sender: SendHalf,
        member: Arc<Member>,
        since: Instant,
        closed: Option<Closed>,
    },
    Over,
}

impl TcpClient {
    pub(crate) fn open(number: usize, address: Address, options: &Options) -> Self {
        let connector = Connector::new().options(tcp_options(options));
        let mut client = Self {
            number,
            address,
            connector,
            again: options.again,
            state: State::Over,
            failures: 0,
            until_there: options.until_there,
            trouble: None,
            discards: Sentences::new(),
            closing: false,
        };
        client.dial(Duration::ZERO);
        client
    }

    fn dial(&mut self, pause: Duration) {
        let (connector, address) = (self.connector.clone(), self.address.clone());
        let dialling = async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            connector.connect(address).await
        };
        self.state = State::Dialling(dialling.boxed());
    }

    /// Longer and longer, as long as no connection holds.
    fn dial_again(&mut self) {
        let factor = 2u32.checked_pow(self.failures).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        self.dial(FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE));
    }

    pub(crate) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            match &mut self.state {
                State::Over => return Poll::Ready(None),
                State::Dialling(_) if self.closing => self.state = State::Over,
                State::Dialling(dialling) => match ready!(dialling.poll_unpin(cx)) {
                    Ok(port) => {
                        let address = port.peer_addr();
                        let member = Member::new(self.number, Kind::Tcp { address });
                        self.trouble = None;
                        let (port, sender) = port.split();
                        self.state = State::Up {
                            port,
                            sender,
                            member: Arc::clone(&member),
                            since: Instant::now(),
                            closed: None,
                        };
                        return Poll::Ready(Some(Event::Connected { member }));
                    }
                    Err(error) => {
                        let to = self.address.to_string();
                        let state = sentence(&error);
                        match self.again || self.until_there {
                            true => self.dial_again(),
                            false => self.state = State::Over,
                        }
                        let old = self.trouble.replace(state.clone());
                        if old.as_ref() != Some(&state) {
                            return Poll::Ready(Some(Event::Trying { to, state }));
                        }
                    }
                },
                State::Up {
                    port,
                    member,
                    since,
                    closed,
                    ..
                } => {
                    let event = ready!(pin!(port.next_event()).as_mut().poll(cx));
                    let member = Arc::clone(member);
                    let (message, origin) = match event {
                        Some(Port::Message(message)) => (message, Origin::Live),
                        Some(Port::Silence(message)) => (message, Origin::Silence),
                        Some(Port::Discarded(report)) => {
                            let sentence = || format!("{}: {report}", member.name());
                            match self.discards.tell(sentence, Instant::now()) {
                                Some(event) => return Poll::Ready(Some(event)),
                                None => continue,
                            }
                        }
                        Some(Port::Disconnected(reason)) => {
                            *closed = Some(reason);
                            continue;
                        }
                        Some(_) => continue,
                        None => {
                            let event = closed.take().map(|closed| gone(member, &closed));
                            if since.elapsed() > LONGEST_PAUSE {
                                self.failures = 0;
                            }
                            match self.again && !self.closing {
                                true => self.dial_again(),
                                false => self.state = State::Over,
                            }
                            match event {
                                Some(event) => return Poll::Ready(Some(event)),
                                None => continue,
                            }
                        }
                    };
                    let at = Instant::now();
                    return Poll::Ready(Some(Event::Midi {
                        member,
                        at,
                        message,
                        origin,
                    }));
                }
            }
        }
    }

    /// What was counted of the server, while there is a connection.
    pub(crate) fn counters(&self) -> Option<(Arc<Member>, PortStats)> {
        match &self.state {
            State::Up { sender, member, .. } => Some((Arc::clone(member), sender.stats())),
            _ => None,
        }
    }

    pub(crate) fn send(&self, message: Message<'_>) -> bool {
        match &self.state {
            State::Up { sender, .. } => taken(sender.push(message)),
            _ => true,
        }
    }

    /// Done when the system has taken what was sent.
    pub(crate) fn drain(&self) -> BoxFuture<'static, ()> {
        let State::Up { sender, .. } = &self.state else {
            return std::future::ready(()).boxed();
        };
        let sender = sender.clone();
        async move {
            // Or the connection is over, and there is nothing to wait for.
            let _ = sender.flush().await;
        }
        .boxed()
    }

    /// Why there is no connection, if there is none.
    pub(crate) fn trouble(&self) -> Option<String> {
        match &self.state {
            State::Up { .. } => None,
            _ => Some(match &self.trouble {
                Some(trouble) => format!("{}: {trouble}", self.address),
                None => format!(
                    "{}: it has not answered; see that it is on and that no firewall is between",
                    self.address
                ),
            }),
        }
    }

    pub(crate) fn close(&mut self) {
        self.closing = true;
        if let State::Up { sender, .. } = &self.state {
            sender.close();
        }
    }
}

impl fmt::Debug for TcpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpClient")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn who_sends_nonsense_does_not_flood_what_is_printed() {
        let mut sentences = Sentences::new();
        let start = Instant::now();
        let told = (0..1_000).filter_map(|_| sentences.tell(|| "no".to_owned(), start));
        assert_eq!(told.count(), 5);
        let later = start + Duration::from_secs(2);
        let Event::Warning { message } = sentences.tell(|| "no".to_owned(), later).unwrap() else {
            panic!("a warning");
        };
        assert_eq!(message, "no (and 995 such before)");
        assert!(sentences.rest("peer").is_none());
    }
}
