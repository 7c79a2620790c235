//! A bridge between RTP-MIDI and MIDI over TCP.
//!
//! On one side an [`Endpoint`] with any number of RTP-MIDI peers, on the other any
//! number of TCP connections with programs that use Python's mido or [`tcp`](crate::tcp): clients that
//! connect here, and servers that are connected to. What anybody plays on one side goes to everybody on
//! the other.
//!
//! ```
//! use futures::StreamExt;
//! use netmidi::bridge::{Bridge, BridgeEvent};
//! use netmidi::tcp::PortServer;
//! use netmidi::{Endpoint, Event};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut bridge = Bridge::builder()
//!     .rtp(Endpoint::builder().name("bridge").listen("127.0.0.1:0".parse()?))
//!     .serve(PortServer::builder().listen(0))
//!     .bind()
//!     .await?;
//! println!("RTP-MIDI: {}", bridge.rtp_addresses()[0].control);
//! println!("TCP: {}", bridge.tcp_addresses()[0]);
//! # let client = netmidi::tcp::connect(bridge.tcp_addresses()[0]).await?;
//!
//! while let Some(event) = bridge.next().await {
//!     match event {
//!         BridgeEvent::Rtp(Event::Connected { peer }) => println!("{} is here", peer.name),
//!         BridgeEvent::TcpConnected { peer } => println!("{peer} is here"),
//!         _ => {}
//!     }
//! #   break;
//! }
//! bridge.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! **Who hears whom.** A message goes once to everybody on the other side, never back to where it came
//! from, and to others on its own side only where [`BridgeBuilder::rtp_peers`] or
//! [`tcp_peers`](BridgeBuilder::tcp_peers) say so. Messages of one source keep their order. System
//! exclusive messages go whole, up to [`Config::max_sysex`](crate::Config::max_sysex) and
//! [`Options::sysex_limit`](crate::tcp::Options::sysex_limit), and those of several sources never mix.
//!
//! **A key or pedal that several hold** ends when the last of them lets it go, whichever side they are
//! on, by the rules of [`Route`](crate::Route). What somebody leaves down who disconnects is let go for
//! all who heard it, once; and so it is when the bridge is closed.
//!
//! **What is not passed on**, and counted in [`BridgeStats`]: F4, F5, F9 and FD, which no TCP peer can be
//! sent; and active sensing (FE), which tells that a cable is plugged in. Each side knows that better of
//! its own connections, and a receiver that hears several sources' sensing would fall silent when one of
//! them stops.
//!
//! **Too much.** RTP-MIDI has no way to slow down who plays, TCP has: of a connection that sends more
//! than RTP peers are sent ([`Pacing`](crate::Pacing), or a limit of theirs) no more is read until what
//! came of it has gone out, which makes its sender wait and nobody else. The slowest RTP peer sets
//! the pace for it. When [`Options::send_limit`](crate::tcp::Options::send_limit) octets wait for a TCP
//! peer that does not take them, [`Options::overflow`](crate::tcp::Options::overflow) says what becomes of
//! it: it is disconnected, and connected to again where it is a server; or it misses messages, and ends in
//! the right state nevertheless. Nobody else waits or misses anything for it.
//!
//! **Circles.** Inside one bridge there are none: what was passed on is not heard again. Over the network
//! there may be: two bridges between the same two sides, or programs that send back what they hear.
//! [`Circles`] says what is done about them.

mod circles;
mod event;
mod task;

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use futures::Stream;
use netmidi_tcp::{Address, Backoff, BindError, Connector, ServerBuilder};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::address::PeerAddress;
use crate::endpoint::{Builder, Endpoint, Handle};
use crate::error::{Error, InviteError};
use crate::sockets::PairAddresses;
use netmidi_session::Persistence;

pub use circles::{Circles, Memory, Verdict};
pub use event::{BridgeEvent, BridgeStats, Member, TcpId, TcpPeer};

/// Events that may wait for the application, and the octets of system exclusive messages in them.
const MAX_EVENTS: usize = 4096;
const MAX_EVENT_OCTETS: usize = 4 << 20;

/// Whether those on one side of a bridge hear each other, too.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum SameSide {
    /// They hear the other side only.
    #[default]
    Apart,
    /// What each of them plays goes to the others as well.
    Together,
}

/// How a [`Bridge`] is to be; the start is [`Bridge::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing is opened before `bind`"]
pub struct BridgeBuilder {
    rtp: Builder,
    invite: Vec<PeerAddress>,
    serve: Option<ServerBuilder>,
    connect: Vec<Address>,
    connector: Connector,
    backoff: Backoff,
    ways: task::Ways,
    circles: Circles,
    refuse_sysex: bool,
}

impl BridgeBuilder {
    /// The RTP-MIDI side: where it listens, its name, who may connect. Unless it is set, that of
    /// [`Endpoint::builder`]. Give it no routes of its own: [`rtp_peers`](Self::rtp_peers) knows what
    /// those on the other side hold as well.
    pub fn rtp(mut self, endpoint: Builder) -> Self {
        self.rtp = endpoint;
        self
    }

    /// Invites this RTP-MIDI peer, and again whenever its session is lost. May be said more than once;
    /// [`Bridge::rtp`] invites others later.
    pub fn invite(mut self, peer: PeerAddress) -> Self {
        self.invite.push(peer);
        self
    }

    /// Opens this server for TCP clients; none unless it is set.
    pub fn serve(mut self, server: ServerBuilder) -> Self {
        self.serve = Some(server);
        self
    }

    /// Connects to this TCP server, as soon as it is there, and again whenever the connection is lost.
    /// May be said more than once.
    pub fn connect(mut self, server: Address) -> Self {
        self.connect.push(server);
        self
    }

    /// How to connect to TCP servers. Its own way to connect again is not used.
    pub fn connector(mut self, connector: Connector) -> Self {
        self.connector = connector;
        self
    }

    /// How long to wait before a TCP server is tried again; from 100 ms to 5 s unless it is set.
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Whether RTP-MIDI peers hear each other; they do not unless it is set.
    pub const fn rtp_peers(mut self, hear: SameSide) -> Self {
        self.ways.rtp = hear;
        self
    }

    /// Whether TCP peers hear each other; they do not unless it is set.
    pub const fn tcp_peers(mut self, hear: SameSide) -> Self {
        self.ways.tcp = hear;
        self
    }

    /// What is done about messages that come back over the network; [`Circles::Tell`] unless it is set.
    pub const fn circles(mut self, circles: Circles) -> Self {
        self.circles = circles;
        self
    }

    /// Passes on no system exclusive messages.
    pub const fn refuse_sysex(mut self) -> Self {
        self.refuse_sysex = true;
        self
    }

    /// Opens both sides and starts the bridge on the current tokio runtime.
    ///
    /// # Errors
    /// When one of the sides cannot be opened. That a peer or server is not there is no error.
    pub async fn bind(self) -> Result<Bridge, BridgeError> {
        let Self {
            mut rtp,
            invite,
            serve,
            connect,
            connector,
            backoff,
            ways,
            circles,
            refuse_sysex,
        } = self;
        let mut max_queued = 0;
        rtp = rtp.configure(|config| {
            if refuse_sysex {
                config.sysex = netmidi_session::SysExPolicy::Drop;
            }
            max_queued = config.max_queued_octets;
        });
        let endpoint = rtp.bind().await?;
        let server = match serve {
            Some(server) => Some(server.bind().await?),
            None => None,
        };
        let handle = endpoint.handle();
        for peer in invite {
            handle.invite_at(peer, Persistence::Forever)?;
        }
        let rtp_addresses = endpoint.addresses().to_vec();
        let tcp_addresses = server
            .as_ref()
            .map_or(Vec::new(), |server| server.addresses().to_vec());
        let (sender, events) = mpsc::channel(MAX_EVENTS);
        let (open, closing) = oneshot::channel();
        let waiting = Arc::<AtomicUsize>::default();
        let stats = Arc::<Mutex<BridgeStats>>::default();
        let task = task::Task::new(task::Parts {
            endpoint,
            server,
            servers: connect,
            connector,
            backoff,
            ways,
            circles,
            refuse_sysex,
            max_queued,
            events: task::Events::new(sender, Arc::clone(&waiting)),
            stats: Arc::clone(&stats),
            closing,
        });
        Ok(Bridge {
            handle,
            rtp_addresses,
            tcp_addresses,
            events,
            waiting,
            stats,
            open: Some(open),
            task: tokio::spawn(task.run()),
        })
    }
}

/// Why a bridge could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BridgeError {
    /// The RTP-MIDI side.
    #[error(transparent)]
    Rtp(#[from] Error),
    /// A peer cannot be invited.
    #[error(transparent)]
    Invite(#[from] InviteError),
    /// The TCP side.
    #[error(transparent)]
    Tcp(#[from] BindError),
}

/// A bridge between RTP-MIDI and TCP. See the [module](self).
///
/// It works in a task of its own, whether or not its events are taken: those that find no room are
/// counted, and [`BridgeEvent::Missed`] tells of them. It is a `futures::Stream` of events.
///
/// Dropping it closes it; [`close`](Self::close) also waits until the peers have been told.
pub struct Bridge {
    handle: Handle,
    rtp_addresses: Vec<PairAddresses>,
    tcp_addresses: Vec<SocketAddr>,
    events: mpsc::Receiver<BridgeEvent>,
    /// Octets in the events that wait.
    waiting: Arc<AtomicUsize>,
    stats: Arc<Mutex<BridgeStats>>,
    /// Dropped to close it.
    open: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Bridge {
    /// Where to set what the bridge is to be.
    pub fn builder() -> BridgeBuilder {
        BridgeBuilder {
            rtp: Endpoint::builder(),
            invite: Vec::new(),
            serve: None,
            connect: Vec::new(),
            connector: Connector::new(),
            backoff: Backoff::default(),
            ways: task::Ways::default(),
            circles: Circles::default(),
            refuse_sysex: false,
        }
    }

    /// Where the RTP-MIDI side listens.
    #[must_use]
    pub fn rtp_addresses(&self) -> &[PairAddresses] {
        &self.rtp_addresses
    }

    /// Where the TCP side listens; empty without a server.
    #[must_use]
    pub fn tcp_addresses(&self) -> &[SocketAddr] {
        &self.tcp_addresses
    }

    /// The RTP-MIDI side: to invite further peers, for its counters and settings.
    #[must_use]
    pub fn rtp(&self) -> Handle {
        self.handle.clone()
    }

    /// The counters, as they are now.
    #[must_use]
    pub fn stats(&self) -> BridgeStats {
        // Nothing panics while it holds this lock.
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next event; `None` once the bridge is closed.
    ///
    /// Cancel safe.
    pub async fn next_event(&mut self) -> Option<BridgeEvent> {
        std::future::poll_fn(|cx| self.poll_event(cx)).await
    }

    /// Closes the bridge: notes that sound by it are ended, RTP-MIDI peers are told BY, and what was
    /// sent to TCP peers is written before their connections end. Waits for that: two seconds at most,
    /// or [`Options::close_timeout`](crate::tcp::Options::close_timeout).
    pub async fn close(mut self) {
        self.open = None;
        // A panic in it has been reported by the runtime.
        let _ = (&mut self.task).await;
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<BridgeEvent>> {
        let event = ready!(self.events.poll_recv(cx));
        if let Some(event) = &event {
            self.waiting.fetch_sub(event.octets(), Ordering::Relaxed);
        }
        Poll::Ready(event)
    }
}

impl Stream for Bridge {
    type Item = BridgeEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<BridgeEvent>> {
        self.poll_event(cx)
    }
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge")
            .field("rtp_addresses", &self.rtp_addresses)
            .field("tcp_addresses", &self.tcp_addresses)
            .finish_non_exhaustive()
    }
}
