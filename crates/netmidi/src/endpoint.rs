//! The handle that a user holds.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::StreamExt;
use futures::stream::{FusedStream, Stream};
use netmidi_message::Message;
use netmidi_session::{
    Config, Event as Core, JournalPolicy, ParticipantId, Persistence, Playout, Session,
};
use tokio::runtime::Handle as Runtime;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::address::{AddressError, PeerAddress};
use crate::clock::Clock;
use crate::driver::Driver;
use crate::error::{Error, InviteError, SendError};
use crate::event::{Event, Handler, Peer};
use crate::finding::Finder;
#[cfg(feature = "discovery")]
use crate::finding::keep_announced;
use crate::invitation::{Invitation, InvitationState, keep_resolving};
use crate::route::Route;
use crate::shared::{NewInvitation, Recipient, Shared, Taken, Told, Until};
use crate::sockets::{PairAddresses, Sockets};
use crate::stats::Stats;

/// The control port that is customary for AppleMIDI.
pub const DEFAULT_PORT: u16 = 5004;

/// How an [`Endpoint`] is opened.
#[derive(Clone, Debug)]
#[must_use = "nothing is opened before `bind`"]
pub struct Builder {
    listen: Vec<SocketAddr>,
    config: Config,
    routes: Vec<Route>,
    #[cfg(feature = "discovery")]
    announce: Option<Announce>,
    #[cfg(feature = "discovery")]
    discovery: Option<netmidi_discovery::Discovery>,
}

/// By what name an endpoint is announced.
#[cfg(feature = "discovery")]
#[derive(Clone, Debug)]
enum Announce {
    ItsOwn,
    Other(String),
}

impl Builder {
    /// The name that peers see, at most [`MAX_NAME_OCTETS`](crate::MAX_NAME_OCTETS) octets.
    /// `netmidi` unless it is set.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.name = name.into();
        self
    }

    /// Listens on this control port and the one above it; call it again for more pairs.
    ///
    /// Port 0 finds an even port with a free neighbour. Without any, `[::]:5004` is opened: every
    /// interface, IPv6 and IPv4, or IPv4 alone on a machine without IPv6.
    pub fn listen(mut self, control: SocketAddr) -> Self {
        self.listen.push(control);
        self
    }

    /// Whether peers are sent recovery journals; [`JournalPolicy::Auto`] unless it is set. See
    /// [`Handle::set_journal`] for a single peer.
    pub fn journal(mut self, policy: JournalPolicy) -> Self {
        self.config.journal = policy;
        self
    }

    /// Changes bounds and defaults of the session.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Passes on what peers play to other peers; call it again for more routes. See [`Route`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use netmidi::{Endpoint, Route};
    ///
    /// // Whoever connects plays with all the others.
    /// let hub = Endpoint::builder()
    ///     .listen("127.0.0.1:0".parse()?)
    ///     .route(Route::Everybody)
    ///     .bind()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn route(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// Whether others see this endpoint in the local network, by its [name](Self::name), with the
    /// control port and those addresses that it listens on; of several ports, the first that listens
    /// everywhere, else the first. Not unless it is set.
    ///
    /// The name that they see is told by [`Event::Announced`]: it is "NAME (2)" or the like if
    /// somebody else has that name. It is withdrawn when the endpoint is closed.
    #[cfg(feature = "discovery")]
    pub fn announce(mut self, announce: bool) -> Self {
        self.announce = announce.then_some(Announce::ItsOwn);
        self
    }

    /// Announces the endpoint as [`announce`](Self::announce) does, by another name than its own.
    #[cfg(feature = "discovery")]
    pub fn announce_as(mut self, name: impl Into<String>) -> Self {
        self.announce = Some(Announce::Other(name.into()));
        self
    }

    /// Uses this handle of multicast DNS to announce and to find sessions by name, instead of one of
    /// its own: to choose interfaces, or to share it between endpoints.
    ///
    /// Its own one is opened when it is first needed, on the addresses that the endpoint listens on,
    /// or on all interfaces if it listens everywhere.
    #[cfg(feature = "discovery")]
    pub fn discovery(mut self, discovery: netmidi_discovery::Discovery) -> Self {
        self.discovery = Some(discovery);
        self
    }

    /// Peers at the same time, 64 unless it is set; further ones are told NO, see
    /// [`Config::max_participants`](crate::Config::max_participants). Those that are invited come in
    /// beyond that.
    pub fn max_participants(mut self, max: usize) -> Self {
        self.config.max_participants = max;
        self
    }

    /// When messages are played: at once unless it is set.
    pub fn playout(mut self, playout: Playout) -> Self {
        self.config.playout = playout;
        self
    }

    /// Opens the sockets and starts the endpoint's task on the current tokio runtime.
    ///
    /// Any kind of runtime will do that has I/O and time enabled; on a current-thread runtime a
    /// message passes from the socket to the user and back without changing threads, which is the
    /// quickest way.
    ///
    /// # Errors
    /// When a port is taken or not allowed, or the configuration contradicts itself.
    ///
    /// # Panics
    /// On a runtime that was built without `enable_io`. Without `enable_time` it is the endpoint's
    /// task that panics, and the stream of events ends.
    pub async fn bind(self) -> Result<Endpoint, Error> {
        let runtime = Runtime::try_current().map_err(|_| Error::NoRuntime)?;
        let Self {
            mut listen,
            config,
            routes,
            #[cfg(feature = "discovery")]
            announce,
            #[cfg(feature = "discovery")]
            discovery,
        } = self;
        #[cfg(feature = "discovery")]
        let announced = announce.map(|announce| match announce {
            Announce::ItsOwn => config.name.clone(),
            Announce::Other(name) => name,
        });
        if listen.is_empty() {
            listen.push((Ipv6Addr::UNSPECIFIED, DEFAULT_PORT).into());
        }
        let clock = Clock::start();
        let seed = getrandom::u64().map_err(Error::Random)?;
        let (max_events, max_octets) = (config.max_queued_events, config.max_queued_event_octets);
        let session = Session::new(config, seed, clock.now())?;
        let sockets = Sockets::bind(&listen)?;
        let addresses = sockets.addresses();
        let shared = Arc::new(Shared::new(max_events, max_octets));
        #[cfg_attr(
            not(feature = "discovery"),
            allow(unused_mut, reason = "nothing ends with it")
        )]
        let mut driver = Driver::new(session, sockets, clock, Arc::clone(&shared), routes);
        #[cfg(feature = "discovery")]
        let finder = Arc::new(Finder::new(discovery, &addresses));
        #[cfg(not(feature = "discovery"))]
        let finder = Arc::new(Finder);
        #[cfg(feature = "discovery")]
        let announcing = announced.map(|name| {
            let (open, closing) = oneshot::channel();
            driver.ends_with(open);
            let (pairs, finder) = (addresses.clone(), Arc::clone(&finder));
            let shared = Arc::clone(&shared);
            runtime.spawn(keep_announced(name, pairs, finder, shared, closing))
        });
        let task = runtime.spawn(driver.run());
        let handle = Handle {
            shared,
            clock,
            runtime,
            finder,
        };
        Ok(Endpoint {
            handle,
            addresses,
            events: VecDeque::new(),
            peers: BTreeMap::new(),
            ended: false,
            task,
            #[cfg(feature = "discovery")]
            announcing,
        })
    }
}

/// An RTP-MIDI endpoint: peers connect to it, what they play comes out as a [`Stream`] of
/// [`Event`]s, and what is sent goes to them.
///
/// Take its events even if you only send: when [`Config::max_queued_events`] of them wait, messages
/// are dropped and nobody new is let in.
///
/// Dropping it closes it; [`close`](Self::close) also waits until the peers have been told.
#[derive(Debug)]
pub struct Endpoint {
    handle: Handle,
    addresses: Vec<PairAddresses>,
    /// Taken from the driver, not yet by the user.
    events: VecDeque<Told>,
    peers: BTreeMap<ParticipantId, Arc<Peer>>,
    ended: bool,
    task: JoinHandle<()>,
    /// Keeps it announced.
    #[cfg(feature = "discovery")]
    announcing: Option<JoinHandle<()>>,
}

impl Endpoint {
    /// Where to set what the endpoint is to be.
    pub fn builder() -> Builder {
        Builder {
            listen: Vec::new(),
            config: Config::new("netmidi"),
            routes: Vec::new(),
            #[cfg(feature = "discovery")]
            announce: None,
            #[cfg(feature = "discovery")]
            discovery: None,
        }
    }

    /// Where it listens, in the order in which that was asked for.
    #[must_use]
    pub fn addresses(&self) -> &[PairAddresses] {
        &self.addresses
    }

    /// Its clock, which the times of events are on.
    #[must_use]
    pub const fn clock(&self) -> Clock {
        self.handle.clock
    }

    /// Something to send with, as many as you like, from any thread.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Invites somebody, and again whenever the session is lost ([`Persistence::Forever`]):
    /// [`Handle::invite`], which says more.
    ///
    /// # Errors
    /// When the address cannot be read, or the endpoint is closed.
    pub fn invite<A>(&self, address: A, persistence: Persistence) -> Result<Invitation, InviteError>
    where
        A: TryInto<PeerAddress>,
        AddressError: From<A::Error>,
    {
        self.handle.invite(address, persistence)
    }

    /// The next event; `None` once the endpoint is closed.
    ///
    /// Cancel safe: an event is taken when it is returned, not before.
    pub async fn next_event(&mut self) -> Option<Event> {
        self.next().await
    }

    /// Calls a [`Handler`] for every event until the endpoint is closed.
    pub async fn run(&mut self, handler: &mut impl Handler) {
        while let Some(event) = self.next().await {
            match &event {
                Event::Connected { peer } => handler.peer_connected(peer),
                Event::Disconnected { peer, reason } => handler.peer_disconnected(peer, *reason),
                Event::Message {
                    peer, at, message, ..
                } => {
                    handler.midi(peer, *at, message.as_message());
                }
                other => handler.other(other),
            }
        }
    }

    /// Says BY to every peer, closes the sockets, and returns when that is done: in an eighth of a
    /// second, or up to two seconds when there is much left to send. Its name is withdrawn from the
    /// local network as well. Events that were not taken are lost.
    pub async fn close(mut self) {
        self.handle.close();
        // The driver ends by itself; a panic in it has been reported by the runtime.
        let _ = (&mut self.task).await;
        #[cfg(feature = "discovery")]
        if let Some(announcing) = self.announcing.take() {
            let _ = announcing.await;
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.handle.close();
    }
}

impl Stream for Endpoint {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let this = &mut *self;
        loop {
            while let Some(told) = this.events.pop_front() {
                if let Some(event) = this.translate(told) {
                    return Poll::Ready(Some(event));
                }
            }
            if this.ended {
                return Poll::Ready(None);
            }
            match this.handle.shared.take_events(&mut this.events, cx.waker()) {
                Taken::Some => {}
                Taken::NoneYet => return Poll::Pending,
                Taken::Ended => this.ended = true,
            }
        }
    }
}

impl Endpoint {
    /// From the session's words to the user's: participants get their names.
    fn translate(&mut self, told: Told) -> Option<Event> {
        let event = match told {
            Told::Event(event) => event,
            Told::Connected(id, peer) => {
                self.peers.insert(id, Arc::clone(&peer));
                return Some(Event::Connected { peer });
            }
            Told::Invitation {
                invitation,
                address,
                state,
            } => {
                return Some(Event::Invitation {
                    invitation,
                    address,
                    state,
                });
            }
            #[cfg(feature = "discovery")]
            Told::Announced { name } => return Some(Event::Announced { name }),
            #[cfg(feature = "discovery")]
            Told::NotAnnounced { reason } => return Some(Event::NotAnnounced { reason }),
            Told::Synchronised(id, clock) => {
                let (peer, clock) = (self.peer(id)?, *clock);
                return Some(Event::Synchronised { peer, clock });
            }
            Told::NotSentUntold { count } => return Some(Event::NotSentUntold { count }),
            Told::NotSent { to, error } => {
                return Some(Event::NotSent {
                    peer: self.peer(to)?,
                    error,
                });
            }
        };
        Some(match event {
            Core::Message {
                participant,
                at,
                message,
                origin,
            } => Event::Message {
                peer: self.peer(participant)?,
                at,
                message,
                origin,
            },
            Core::Lost {
                participant,
                packets,
                covered,
                repaired,
            } => Event::Lost {
                peer: self.peer(participant)?,
                packets,
                covered,
                repaired,
            },
            Core::Left {
                participant,
                reason,
            } => Event::Disconnected {
                peer: self.peers.remove(&participant)?,
                reason,
            },
            Core::Invited { request, inviter } => Event::Invited { request, inviter },
            Core::Withdrawn { request } => Event::Withdrawn { request },
            Core::Overflow {
                participant,
                dropped,
            } => Event::Overflow {
                peer: self.peer(participant)?,
                dropped,
            },
            other => {
                tracing::debug!(?other, "an event that this endpoint does not know");
                return None;
            }
        })
    }

    fn peer(&self, id: ParticipantId) -> Option<Arc<Peer>> {
        self.peers.get(&id).map(Arc::clone)
    }
}

impl FusedStream for Endpoint {
    fn is_terminated(&self) -> bool {
        self.ended && self.events.is_empty()
    }
}

/// Sends from anywhere; clones share one endpoint.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) clock: Clock,
    runtime: Runtime,
    finder: Arc<Finder>,
}

impl Handle {
    /// Sends a message to one peer, now.
    ///
    /// Never waits. Messages sent without a pause between them share packets.
    ///
    /// # Errors
    /// When the peer is not connected, the endpoint is closed, or its task gets no time to run.
    pub fn send<'m>(
        &self,
        to: ParticipantId,
        message: impl Into<Message<'m>>,
    ) -> Result<(), SendError> {
        self.shared
            .send(self.clock.now(), None, Recipient::One(to), message.into())
    }

    /// Sends a message to every peer, now.
    ///
    /// # Errors
    /// When the endpoint is closed or its task gets no time to run.
    pub fn send_to_all<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), SendError> {
        self.shared
            .send(self.clock.now(), None, Recipient::All, message.into())
    }

    /// Sends a message to every peer but one, now: what one played, to the others.
    ///
    /// # Errors
    /// When the endpoint is closed or its task gets no time to run.
    pub fn send_to_others<'m>(
        &self,
        but: ParticipantId,
        message: impl Into<Message<'m>>,
    ) -> Result<(), SendError> {
        self.shared.send(
            self.clock.now(),
            None,
            Recipient::AllBut(but),
            message.into(),
        )
    }

    /// Sends a message to these peers, as far as they are connected.
    #[cfg(feature = "tcp")]
    pub(crate) fn send_to(
        &self,
        to: Box<[ParticipantId]>,
        message: Message<'_>,
    ) -> Result<(), SendError> {
        let now = self.clock.now();
        self.shared.send(now, None, Recipient::Several(to), message)
    }

    /// Waits until all that was sent to these peers before has gone out in packets, or they are gone:
    /// for those who send a lot, which [`send`](Self::send) never makes wait. What is scheduled for
    /// later ([`send_at`](Self::send_at)) is waited for, too.
    ///
    /// # Errors
    /// When the endpoint is closed.
    pub async fn flush(
        &self,
        to: impl IntoIterator<Item = ParticipantId>,
    ) -> Result<(), SendError> {
        let (passed, passes) = oneshot::channel();
        self.shared
            .fence(to.into_iter().collect(), Until::Gone, passed)?;
        passes.await.map_err(|_| SendError::Closed)
    }

    /// Waits until these peers have told that they have all that was sent to them before, or are gone.
    /// To be used with a time limit: some peers never tell (RFC 6295 leaves receiver feedback, RS, to
    /// them), and what tells may be lost. What is scheduled for later is waited for, too.
    ///
    /// # Errors
    /// When the endpoint is closed.
    pub async fn delivered(
        &self,
        to: impl IntoIterator<Item = ParticipantId>,
    ) -> Result<(), SendError> {
        let (passed, passes) = oneshot::channel();
        self.shared
            .fence(to.into_iter().collect(), Until::Acknowledged, passed)?;
        passes.await.map_err(|_| SendError::Closed)
    }

    /// Invites somebody: a name or number with a control port, 5004 unless it is given, or the name of
    /// a session in the local network. [`PeerAddress`] tells how a text is read.
    ///
    /// All addresses of a name are asked at once, twice a second until one answers; while there is no
    /// session the name is looked up again every five seconds, so that one that has moved is found. Returns at once: how far it is can be
    /// watched at the [`Invitation`], and comes as [`Event::Invitation`] and [`Event::Connected`].
    /// When the session is lost the peer is invited again ([`Persistence::Forever`]), from the same
    /// ports, until the invitation is withdrawn or the peer disconnected here.
    ///
    /// # Errors
    /// When the address cannot be read, or the endpoint is closed.
    pub fn invite<A>(&self, address: A, persistence: Persistence) -> Result<Invitation, InviteError>
    where
        A: TryInto<PeerAddress>,
        AddressError: From<A::Error>,
    {
        let address = address.try_into().map_err(AddressError::from)?;
        self.invite_at(address, persistence)
    }

    pub(crate) fn invite_at(
        &self,
        address: PeerAddress,
        persistence: Persistence,
    ) -> Result<Invitation, InviteError> {
        let address = Arc::new(address);
        let (sender, states) = watch::channel(InvitationState::Resolving);
        let mut named = None;
        let make = |id| {
            named = Some(id);
            NewInvitation {
                id,
                address: Arc::clone(&address),
                persistence,
                states: sender,
            }
        };
        let shared = &self.shared;
        let (Ok(()), Some(id)) = (shared.invite(make), named) else {
            return Err(InviteError::Closed);
        };
        let (shared, watched) = (Arc::clone(shared), states.clone());
        let (address_there, finder) = (Arc::clone(&address), Arc::clone(&self.finder));
        let resolving = keep_resolving(shared, id, address_there, finder, watched);
        self.runtime.spawn(resolving);
        Ok(Invitation {
            id,
            address,
            states,
            shared: Arc::clone(&self.shared),
        })
    }

    /// Ends the session with one peer, and the invitation that led to it: what was sent before still goes out, then BY.
    ///
    /// # Errors
    /// When the peer is not connected or the endpoint is closed.
    pub fn disconnect(&self, peer: ParticipantId) -> Result<(), SendError> {
        self.shared.leave(peer)
    }

    /// Whether one peer is sent recovery journals, from the next packet on:
    /// [`JournalPolicy::Off`] for one that they break.
    ///
    /// # Errors
    /// When the peer is not connected or the endpoint is closed.
    pub fn set_journal(&self, peer: ParticipantId, policy: JournalPolicy) -> Result<(), SendError> {
        self.shared.set_journal(peer, policy)
    }

    /// Passes on what peers play along these routes from now on, and no others. What is still down of
    /// what was passed along others is let go. See [`Route`].
    ///
    /// # Errors
    /// When the endpoint is closed.
    pub fn set_routes(&self, routes: impl IntoIterator<Item = Route>) -> Result<(), SendError> {
        self.shared.set_routes(routes.into_iter().collect())
    }

    /// The name by which others see this endpoint in the local network, while they do. See
    /// [`Builder::announce`].
    #[cfg(feature = "discovery")]
    #[must_use]
    pub fn announced(&self) -> Option<String> {
        self.shared.announced()
    }

    /// The counters of the endpoint, as they are now.
    ///
    /// # Errors
    /// When the endpoint is closed.
    pub async fn stats(&self) -> Result<Stats, SendError> {
        let (answer, stats) = oneshot::channel();
        self.shared.ask_stats(answer)?;
        stats.await.map_err(|_| SendError::Closed)
    }

    /// Closes the endpoint: BY to every peer, then its stream of events ends.
    pub fn close(&self) {
        self.shared.close();
    }
}
