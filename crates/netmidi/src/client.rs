//! A plain client: one peer, MIDI from it as a stream, MIDI to it as a sink.

use std::net::{Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::sink::Sink;
use futures::stream::{FusedStream, Stream};
use netmidi_message::{Message, MessageBuf};
use netmidi_session::{Config, Origin, Persistence, Time};

use crate::address::{AddressError, PeerAddress};
use crate::clock::Clock;
use crate::endpoint::{Builder, Endpoint, Handle};
use crate::error::{Error, SendError};
use crate::event::{Event, Peer};
use crate::invitation::{Invitation, InvitationState};

/// Connects to a peer, and again whenever the session is lost.
///
/// `address` is a name or number with a control port, 5004 unless it is given. Returns when the
/// session is up.
///
/// ```no_run
/// use futures::{SinkExt, StreamExt};
/// use netmidi::message::{Channel, ChannelMessage, Note, U7};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut piano = netmidi::connect("stage-left.local:5004").await?;
/// piano.send(ChannelMessage::note_on(Channel::C1, Note::MIDDLE_C, U7::MAX).into()).await?;
/// while let Some(heard) = piano.next().await {
///     println!("{}", heard.message);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the address cannot be read, no ports can be opened, the name cannot be looked up, nobody
/// answers (after 12 s), or the answer is NO. Each says so in a sentence.
pub async fn connect<A>(address: A) -> Result<Client, ConnectError>
where
    A: TryInto<PeerAddress>,
    AddressError: From<A::Error>,
{
    Client::builder().connect(address).await
}

/// Why there is no [`Client`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address cannot be read.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The local ports could not be opened.
    #[error(transparent)]
    Open(#[from] Error),
    /// There is no session.
    #[error("cannot connect to {address}: {state}")]
    NoSession {
        /// With whom there should be one.
        address: Arc<PeerAddress>,
        /// How far the invitation came.
        state: InvitationState,
    },
    /// There is no session yet, and no more time.
    #[error("no session with {address} after {timeout:?}: {state}")]
    TimedOut {
        /// With whom there should be one.
        address: Arc<PeerAddress>,
        /// How long it was waited for.
        timeout: Duration,
        /// How far the invitation came.
        state: InvitationState,
    },
}

/// How a [`Client`] connects.
#[derive(Clone, Debug)]
#[must_use = "nothing is opened before `connect`"]
pub struct ClientBuilder {
    endpoint: Builder,
    local: Option<SocketAddr>,
    timeout: Option<Duration>,
    persistence: Persistence,
}

impl ClientBuilder {
    /// The name that the peer sees; `netmidi` unless it is set.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.endpoint = self.endpoint.name(name);
        self
    }

    /// The control port to connect from, and the data port above it: for firewalls that let only
    /// certain ports through. Unless it is set, any two neighbouring ports. They are kept as long as
    /// the client lives.
    pub const fn local(mut self, control: SocketAddr) -> Self {
        self.local = Some(control);
        self
    }

    /// How long to wait for the session. Unless it is set, until it is plain that there is none: 12 s
    /// when nobody answers.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Ends with the session, instead of connecting again.
    pub const fn once(mut self) -> Self {
        self.persistence = Persistence::Once;
        self
    }

    /// Changes bounds and defaults of the session.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        self.endpoint = self.endpoint.configure(change);
        self
    }

    /// Connects. See [`connect`].
    ///
    /// # Errors
    /// Those of [`connect`], and when the time given is over.
    pub async fn connect<A>(self, address: A) -> Result<Client, ConnectError>
    where
        A: TryInto<PeerAddress>,
        AddressError: From<A::Error>,
    {
        let address: PeerAddress = address.try_into().map_err(AddressError::from)?;
        let local = self.local.unwrap_or((Ipv6Addr::UNSPECIFIED, 0).into());
        let endpoint = self.endpoint.listen(local).bind().await?;
        let handle = endpoint.handle();
        let Ok(mut invitation) = handle.invite_at(address.clone(), self.persistence) else {
            // It was opened just now.
            return Err(Error::NoRuntime.into());
        };
        let address = Arc::new(address);
        let state = match self.timeout {
            None => invitation.settled().await,
            Some(timeout) => match tokio::time::timeout(timeout, invitation.settled()).await {
                Ok(state) => state,
                Err(_) => {
                    let state = invitation.state();
                    endpoint.close().await;
                    return Err(ConnectError::TimedOut {
                        address,
                        timeout,
                        state,
                    });
                }
            },
        };
        match state {
            InvitationState::Connected { .. } => Ok(Client {
                endpoint,
                handle,
                invitation,
            }),
            state => {
                endpoint.close().await;
                Err(ConnectError::NoSession { address, state })
            }
        }
    }
}

/// A message that was received.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Received {
    /// When it is meant to sound, on the client's clock ([`Client::clock`]).
    pub at: Time,
    /// What.
    pub message: MessageBuf,
    /// Whether it was played just now, puts right what a lost packet did, or silences what the peer
    /// left on.
    pub origin: Origin,
}

/// A session with one peer: a [`Stream`] of what it plays, a [`Sink`] for what is played to it.
///
/// When the session is lost it comes back by itself, from the same local ports; what sounds is
/// silenced meanwhile. [`next_event`](Self::next_event) tells of that as well, and
/// [`state`](Self::state) whether there is a session now. The stream ends when there will be none any
/// more: with [`ClientBuilder::once`] after the session.
///
/// Dropping it ends the session; [`close`](Self::close) also waits until all that was sent is
/// across.
#[derive(Debug)]
pub struct Client {
    endpoint: Endpoint,
    handle: Handle,
    invitation: Invitation,
}

impl Client {
    /// Where to set what is not to be as usual.
    pub fn builder() -> ClientBuilder {
        ClientBuilder {
            endpoint: Endpoint::builder(),
            local: None,
            timeout: None,
            persistence: Persistence::Forever,
        }
    }

    /// The peer, while there is a session.
    #[must_use]
    pub fn peer(&self) -> Option<Arc<Peer>> {
        match self.state() {
            InvitationState::Connected { peer } => Some(peer),
            _ => None,
        }
    }

    /// Whether there is a session, and if not how far we are with the next.
    #[must_use]
    pub fn state(&self) -> InvitationState {
        self.invitation.state()
    }

    /// The clock that the times of messages are on.
    #[must_use]
    pub const fn clock(&self) -> Clock {
        self.endpoint.clock()
    }

    /// The endpoint's handle: to send from elsewhere, for counters and settings.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// The endpoint below, whose only peer this is.
    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends a message now, without waiting.
    ///
    /// # Errors
    /// When there is no session just now, or the client is closed.
    pub fn send_now<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), ClientError> {
        let Some(peer) = self.peer() else {
            return Err(ClientError::NoSession {
                state: self.state(),
            });
        };
        Ok(self.handle.send(peer.id, message)?)
    }

    /// The next event of any kind: messages, the session lost and back again, losses.
    ///
    /// Cancel safe. `None` when there will be no more.
    pub async fn next_event(&mut self) -> Option<Event> {
        std::future::poll_fn(|cx| self.poll_event(cx)).await
    }

    /// Ends the session: what was sent goes across first, then BY.
    pub async fn close(self) {
        self.endpoint.close().await;
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let event = ready!(Pin::new(&mut self.endpoint).poll_next(cx));
        if let Some(Event::Invitation {
            state: InvitationState::Ended,
            ..
        }) = &event
        {
            self.handle.close();
        }
        Poll::Ready(event)
    }
}

/// Why a client did not send.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// There is no session just now.
    #[error("there is no session just now: {state}")]
    NoSession {
        /// How far the next one is.
        state: InvitationState,
    },
    /// The endpoint did not take it.
    #[error(transparent)]
    Send(#[from] SendError),
}

impl Stream for Client {
    type Item = Received;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        loop {
            match ready!(self.poll_event(cx)) {
                Some(Event::Message {
                    at,
                    message,
                    origin,
                    ..
                }) => {
                    return Poll::Ready(Some(Received {
                        at,
                        message,
                        origin,
                    }));
                }
                Some(_) => {}
                None => return Poll::Ready(None),
            }
        }
    }
}

impl FusedStream for Client {
    fn is_terminated(&self) -> bool {
        self.endpoint.is_terminated()
    }
}

impl Sink<MessageBuf> for Client {
    type Error = ClientError;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, message: MessageBuf) -> Result<(), ClientError> {
        self.send_now(message.as_message())
    }

    /// Returns at once: what was sent is on its way.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        Poll::Ready(Ok(()))
    }

    /// Ends the session. The stream goes on until its end.
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        self.handle.close();
        Poll::Ready(Ok(()))
    }
}
