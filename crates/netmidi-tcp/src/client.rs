//! A client of a server.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use netmidi_message::Message;

use crate::error::Closed;
use crate::header::Header;
use crate::link::Link;
use crate::outbox::Encoded;
use crate::report::Trouble;
use crate::stats::PortStats;

/// Names a client of a server; never used twice by it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ClientId(pub(crate) u64);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {}", self.0)
    }
}

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) id: ClientId,
    pub(crate) link: Arc<Link>,
    greeted: AtomicBool,
    gone: AtomicBool,
}

impl Member {
    pub(crate) fn new(id: ClientId, link: Arc<Link>) -> Self {
        Self {
            id,
            link,
            greeted: AtomicBool::new(false),
            gone: AtomicBool::new(false),
        }
    }

    /// Sends it a message that was encoded already, unless it is one that is never sent.
    pub(crate) fn push(
        &self,
        encoded: Option<&Encoded>,
        message: &Message<'_>,
    ) -> Result<(), Trouble> {
        self.link.push(encoded, message)
    }

    /// Nothing can be sent to it any more.
    pub(crate) fn set_gone(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Whether it is told of for the first time.
    pub(crate) fn greet(&self) -> bool {
        !self.greeted.swap(true, Ordering::Relaxed)
    }
}

/// A client of a [`PortServer`](crate::PortServer): who it is, and a way to send to it alone.
#[derive(Clone)]
pub struct Client(pub(crate) Arc<Member>);

impl Client {
    /// Names it among all clients of its server.
    #[must_use]
    pub fn id(&self) -> ClientId {
        self.0.id
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.link.lock().ends.peer
    }

    /// The address of ours that it connected to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.0.link.lock().ends.local
    }

    /// Its header lines, once it has sent some.
    #[must_use]
    pub fn header(&self) -> Option<Header> {
        self.0.link.lock().header.clone()
    }

    /// What went over its connection so far.
    #[must_use]
    pub fn stats(&self) -> PortStats {
        self.0.link.lock().stats
    }

    /// How its connection ended; `None` as long as it is there.
    #[must_use]
    pub fn close_reason(&self) -> Option<Closed> {
        self.0.link.lock().closed.clone()
    }

    /// Sends it a message, without waiting; see [`ServerHandle::send`](crate::ServerHandle::send).
    ///
    /// # Errors
    /// When it is not sent the message, and why.
    pub fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Trouble> {
        let message = message.into();
        self.0.push(Encoded::new(&message).as_ref(), &message)
    }

    /// Disconnects it: what was sent to it goes out first.
    pub fn disconnect(&self) {
        self.0.link.begin_close();
    }
}

impl PartialEq for Client {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Client {}

impl fmt::Display for Client {
    /// Its address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address().fmt(f)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.id())
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}
