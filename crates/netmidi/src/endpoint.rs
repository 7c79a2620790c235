//! The handle that a user holds.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::StreamExt;
use futures::stream::{FusedStream, Stream};
use netmidi_message::Message;
use netmidi_session::{Config, Event as Core, JournalPolicy, ParticipantId, Persistence, Session};
use tokio::runtime::Handle as Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::address::{AddressError, PeerAddress};
use crate::clock::Clock;
use crate::driver::Driver;
use crate::error::{Error, InviteError, SendError};
use crate::event::{Event, Handler, Peer};
use crate::invitation::{Invitation, InvitationState, keep_resolving};
use crate::shared::{NewInvitation, Recipient, Shared, Taken, Told};
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
        let Self { mut listen, config } = self;
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
        let driver = Driver::new(session, sockets, clock, Arc::clone(&shared));
        let task = runtime.spawn(driver.run());
        let handle = Handle {
            shared,
            clock,
            runtime,
        };
        Ok(Endpoint {
            handle,
            addresses,
            events: VecDeque::new(),
            peers: BTreeMap::new(),
            ended: false,
            task,
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
}

impl Endpoint {
    /// Where to set what the endpoint is to be.
    pub fn builder() -> Builder {
        Builder {
            listen: Vec::new(),
            config: Config::new("netmidi"),
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
    /// second, or up to two seconds when there is much left to send. Events that were not taken are
    /// lost.
    pub async fn close(mut self) {
        self.handle.close();
        // The driver ends by itself; a panic in it has been reported by the runtime.
        let _ = (&mut self.task).await;
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
            } => Event::Lost {
                peer: self.peer(participant)?,
                packets,
                covered,
            },
            Core::Left {
                participant,
                reason,
            } => Event::Disconnected {
                peer: self.peers.remove(&participant)?,
                reason,
            },
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
    shared: Arc<Shared>,
    clock: Clock,
    runtime: Runtime,
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
            .send(self.clock.now(), Recipient::One(to), message.into())
    }

    /// Sends a message to every peer, now.
    ///
    /// # Errors
    /// When the endpoint is closed or its task gets no time to run.
    pub fn send_to_all<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), SendError> {
        self.shared
            .send(self.clock.now(), Recipient::All, message.into())
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
        self.shared
            .send(self.clock.now(), Recipient::AllBut(but), message.into())
    }

    /// Invites somebody: a name or number with a control port, 5004 unless it is given.
    ///
    /// All addresses of a name are asked at once, every second until one answers; while there is no
    /// session the name is looked up again every five seconds. Returns at once: how far it is can be
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
        let resolving = keep_resolving(shared, id, Arc::clone(&address), watched);
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

    /// The counters of the endpoint, as they are now.
    ///
    /// # Errors
    /// When the endpoint is closed.
    pub async fn stats(&self) -> Result<Stats, SendError> {
        let (answer, stats) = tokio::sync::oneshot::channel();
        self.shared.ask_stats(answer)?;
        stats.await.map_err(|_| SendError::Closed)
    }

    /// Closes the endpoint: BY to every peer, then its stream of events ends.
    pub fn close(&self) {
        self.shared.close();
    }
}
