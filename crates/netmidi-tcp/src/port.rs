//! One connection, as a port to receive from and send to.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::{Sink, Stream};
use netmidi_message::{Message, MessageBuf};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::driver;
use crate::error::{CloseReason, Closed, ReceiveTimeout, SendError};
use crate::event::Event;
use crate::header::Header;
use crate::link::{Ends, Item, Link, Seated};
use crate::options::Options;
use crate::outbox::Encoded;
use crate::report::Trouble;
use crate::stats::PortStats;
use crate::transport::Transport;

/// A connection with one peer: messages both ways. Both ends are equal.
///
/// Made by [`connect`](crate::connect) and [`PortServer::accept`](crate::PortServer::accept). It is a
/// `futures::Stream` of the messages that are received, which ends with the connection, and a
/// `futures::Sink` for those to be sent. Dropping it closes the connection in the background, as
/// [`close`](Self::close) does; where the program ends with it, wait for `close`.
#[derive(Debug)]
pub struct SocketPort {
    receiver: ReceiveHalf,
    sender: SendHalf,
}

/// The receiving half of a [`SocketPort`].
pub struct ReceiveHalf {
    batch: VecDeque<Item>,
    end: Arc<End>,
}

impl Drop for ReceiveHalf {
    /// What the peer sends is read all the same, or it would wait for us and could not be seen to
    /// leave.
    fn drop(&mut self) {
        self.link().abandon_reading();
    }
}

/// The sending half of a [`SocketPort`]; it can be cloned.
pub struct SendHalf {
    /// For its sink, of which at most one task waits.
    seated: Seated<Arc<Link>>,
    end: Arc<End>,
}

impl Clone for SendHalf {
    fn clone(&self) -> Self {
        Self::new(self.end.clone())
    }
}

/// Closes the connection when the last half is dropped.
struct End(Arc<Link>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.begin_close();
    }
}

impl SocketPort {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        let end = Arc::new(End(link));
        Self {
            receiver: ReceiveHalf {
                batch: VecDeque::new(),
                end: end.clone(),
            },
            sender: SendHalf::new(end),
        }
    }

    /// A port over any stream of octets, a serial line or a pipe for example. The addresses are what
    /// [`peer_addr`](Self::peer_addr) and [`local_addr`](Self::local_addr) say.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn over<S>(stream: S, local: SocketAddr, peer: SocketAddr, options: Options) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let link = Arc::new(Link::new(Arc::new(options), Ends { local, peer }));
        let transport = Transport::Other(Box::new(stream));
        tokio::spawn(driver::run(link.clone(), transport, None));
        Self::new(link)
    }

    /// Waits for the next message. `None` when the connection is over and everything that came
    /// has been received; [`close_reason`](Self::close_reason) says why.
    ///
    /// Cancel safe: a message is never lost by dropping the future.
    pub async fn receive(&mut self) -> Option<MessageBuf> {
        self.receiver.receive().await
    }

    /// The next message, if it is there already. The octets are read by a task of the runtime, which
    /// has to have had its turn.
    pub fn try_receive(&mut self) -> Option<MessageBuf> {
        self.receiver.try_receive()
    }

    /// The messages that are there already.
    pub fn iter_pending(&mut self) -> Pending<'_> {
        self.receiver.iter_pending()
    }

    /// Waits for the next message for so long.
    ///
    /// # Errors
    /// When none came in time, or none will come any more.
    pub async fn receive_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<MessageBuf, ReceiveTimeout> {
        self.receiver.receive_timeout(timeout).await
    }

    /// Waits for the next event: messages, header lines, octets that mean nothing, and the end.
    pub async fn next_event(&mut self) -> Option<Event> {
        self.receiver.next_event().await
    }

    /// Sends a message; waits while the peer is behind by [`Options::send_limit`].
    ///
    /// A message is sent whole or not at all, also when the future is dropped. There are three ways to
    /// send, which can be mixed:
    ///
    /// - `send` for who plays to this peer alone and can wait for it: nothing is lost.
    /// - [`try_send`](Self::try_send) for who cannot wait, and decides himself what a peer that is behind
    ///   misses.
    /// - [`push`](Self::push) for who plays to several peers or passes on what others play: one that is
    ///   behind keeps nobody waiting, and [`Options::overflow`] says what becomes of it.
    ///
    /// # Errors
    /// When the connection is over, or the message is one that is never sent.
    pub async fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), SendError> {
        self.sender.send(message).await
    }

    /// Sends a message if that needs no waiting.
    ///
    /// # Errors
    /// Those of [`send`](Self::send), and [`SendError::Full`].
    pub fn try_send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), SendError> {
        self.sender.try_send(message)
    }

    /// Sends a message without waiting. What becomes of a peer that is behind by
    /// [`Options::send_limit`] says [`Options::overflow`], as it does for the clients of a server: it is
    /// disconnected, or misses messages and still ends in the right state.
    ///
    /// Yield to the runtime between many messages, or nothing is written in the meantime.
    ///
    /// # Errors
    /// When the peer is not sent the message, and why. With [`Overflow::Thin`](crate::Overflow::Thin)
    /// nothing is to be done about [`Trouble::Dropped`]: what the message would have left behind is told
    /// later.
    pub fn push<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Trouble> {
        self.sender.push(message)
    }

    /// Waits until the system has taken all that was sent.
    ///
    /// # Errors
    /// When the connection is over, or lost.
    pub async fn flush(&self) -> Result<(), SendError> {
        self.sender.flush().await
    }

    /// Whether nothing will be received any more: the connection is over, and everything that came
    /// has been received.
    pub fn closed(&self) -> bool {
        self.receiver.closed()
    }

    /// How the connection ended; `None` as long as it is there.
    #[must_use]
    pub fn close_reason(&self) -> Option<Closed> {
        self.receiver.close_reason()
    }

    /// Closes the connection: what was sent goes out, the peer is told, and may end what it is
    /// sending, which is thrown away. Waits for that for [`Options::close_timeout`] at most.
    pub async fn close(self) -> Closed {
        self.sender.over().await
    }

    /// Both halves, to use from different tasks.
    ///
    /// Where nothing is to be received, drop the receiving half: what comes is thrown away then. A
    /// peer waits otherwise, once [`Options::receive_limit`] is reached.
    #[must_use]
    pub fn split(self) -> (ReceiveHalf, SendHalf) {
        (self.receiver, self.sender)
    }

    /// The address of the peer, as `host:port`.
    #[must_use]
    pub fn name(&self) -> String {
        self.peer_addr().to_string()
    }

    /// The address of the peer.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.sender.peer_addr()
    }

    /// The address on this side.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.sender.local_addr()
    }

    /// The peer's header lines, once it has sent some.
    #[must_use]
    pub fn peer_header(&self) -> Option<Header> {
        self.sender.peer_header()
    }

    /// What went over the connection so far.
    #[must_use]
    pub fn stats(&self) -> PortStats {
        self.sender.stats()
    }
}

impl ReceiveHalf {
    fn link(&self) -> &Arc<Link> {
        &self.end.0
    }

    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        // Others have their turn, too, however much there is to receive.
        let coop = ready!(tokio::task::coop::poll_proceed(cx));
        loop {
            if let Some(item) = self.batch.pop_front() {
                coop.made_progress();
                return Poll::Ready(Some(item));
            }
            if !ready!(self.end.0.poll_fetch(cx, &mut self.batch)) {
                coop.made_progress();
                return Poll::Ready(None);
            }
        }
    }

    fn try_item(&mut self) -> Option<Item> {
        if self.batch.is_empty() {
            self.end.0.try_fetch(&mut self.batch);
        }
        self.batch.pop_front()
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<MessageBuf>> {
        loop {
            match ready!(self.poll_item(cx)).map(Item::into_message) {
                Some(None) => {}
                Some(message) => return Poll::Ready(message),
                None => return Poll::Ready(None),
            }
        }
    }

    /// See [`SocketPort::receive`].
    pub async fn receive(&mut self) -> Option<MessageBuf> {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    /// See [`SocketPort::try_receive`].
    pub fn try_receive(&mut self) -> Option<MessageBuf> {
        loop {
            if let Some(message) = self.try_item()?.into_message() {
                return Some(message);
            }
        }
    }

    /// See [`SocketPort::iter_pending`].
    pub fn iter_pending(&mut self) -> Pending<'_> {
        Pending(self)
    }

    /// See [`SocketPort::receive_timeout`].
    ///
    /// # Errors
    /// When none came in time, or none will come any more.
    pub async fn receive_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<MessageBuf, ReceiveTimeout> {
        match tokio::time::timeout(timeout, self.receive()).await {
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err(ReceiveTimeout::Closed(self.reason())),
            Err(_) => Err(ReceiveTimeout::TimedOut),
        }
    }

    /// See [`SocketPort::next_event`].
    pub async fn next_event(&mut self) -> Option<Event> {
        poll_fn(|cx| self.poll_item(cx)).await.map(Item::into_event)
    }

    /// See [`SocketPort::closed`].
    pub fn closed(&self) -> bool {
        !self.batch.iter().any(Item::is_message) && self.link().lock().is_drained()
    }

    /// See [`SocketPort::close_reason`].
    #[must_use]
    pub fn close_reason(&self) -> Option<Closed> {
        self.link().lock().closed.clone()
    }

    fn reason(&self) -> Closed {
        self.close_reason().unwrap_or(Closed {
            reason: CloseReason::Local,
            incomplete: None,
        })
    }
}

impl SendHalf {
    fn new(end: Arc<End>) -> Self {
        Self {
            seated: Seated::new(end.0.clone()),
            end,
        }
    }

    /// See [`SocketPort::send`].
    ///
    /// # Errors
    /// When the connection is over, or the message is one that is never sent.
    pub async fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), SendError> {
        let message = message.into();
        let encoded = encode(&message)?;
        let len = encoded.octets().len();
        // A sender that never waits for anything else must not keep the writer from running.
        tokio::task::coop::consume_budget().await;
        loop {
            match self.end.0.try_send(&encoded, &message) {
                Err(SendError::Full { .. }) => {
                    let link = &self.end.0;
                    link.waiting(|cx, seat| link.poll_room(cx, seat, len))
                        .await?;
                }
                result => return result,
            }
        }
    }

    /// See [`SocketPort::try_send`].
    ///
    /// # Errors
    /// Those of [`send`](Self::send), and [`SendError::Full`].
    pub fn try_send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), SendError> {
        let message = message.into();
        self.end.0.try_send(&encode(&message)?, &message)
    }

    /// See [`SocketPort::push`].
    ///
    /// # Errors
    /// When the peer is not sent the message, and why.
    pub fn push<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Trouble> {
        let message = message.into();
        self.end.0.push(Encoded::new(&message).as_ref(), &message)
    }

    /// See [`SocketPort::flush`].
    ///
    /// # Errors
    /// When the connection is over.
    pub async fn flush(&self) -> Result<(), SendError> {
        let link = &self.end.0;
        link.waiting(|cx, seat| link.poll_flushed(cx, seat)).await
    }

    /// Ends the connection for both halves: what was sent goes out, and the peer is told. The
    /// receiving half still gets what the peer sends until then.
    pub fn close(&self) {
        self.end.0.begin_close();
    }

    /// The address of the peer.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.end.0.lock().ends.peer
    }

    /// The address on this side.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.end.0.lock().ends.local
    }

    /// The peer's header lines, once it has sent some.
    #[must_use]
    pub fn peer_header(&self) -> Option<Header> {
        self.end.0.lock().header.clone()
    }

    /// What went over the connection so far.
    #[must_use]
    pub fn stats(&self) -> PortStats {
        self.end.0.lock().stats
    }

    /// Closes the connection, throws away what is still received, and waits for the end.
    pub(crate) async fn over(&self) -> Closed {
        let link = &self.end.0;
        link.abandon_reading();
        link.begin_close();
        link.waiting(|cx, seat| link.poll_over(cx, seat)).await
    }
}

fn encode(message: &Message<'_>) -> Result<Encoded, SendError> {
    Encoded::new(message).ok_or(SendError::Undefined {
        status: message.status(),
    })
}

/// The messages that are there already; see [`SocketPort::iter_pending`].
#[derive(Debug)]
pub struct Pending<'a>(&'a mut ReceiveHalf);

impl Iterator for Pending<'_> {
    type Item = MessageBuf;

    fn next(&mut self) -> Option<MessageBuf> {
        self.0.try_receive()
    }
}

impl Stream for ReceiveHalf {
    type Item = MessageBuf;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<MessageBuf>> {
        self.poll_receive(cx)
    }
}

impl Stream for SocketPort {
    type Item = MessageBuf;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<MessageBuf>> {
        self.receiver.poll_receive(cx)
    }
}

impl SendHalf {
    fn poll_sink_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        // One octet: what is longer waits for an empty queue or goes a little beyond the bound.
        self.end.0.poll_room(cx, self.seated.seat, 1)
    }

    fn start_sink(&self, message: &Message<'_>) -> Result<(), SendError> {
        self.end.0.send_ready(&encode(message)?, message)
    }

    fn poll_sink_close(&self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.end.0.begin_close();
        match ready!(self.end.0.poll_over(cx, self.seated.seat)).reason {
            CloseReason::Local | CloseReason::Peer => Poll::Ready(Ok(())),
            _ => Poll::Ready(Err(SendError::Closed(self.reason()))),
        }
    }

    fn reason(&self) -> Closed {
        self.end.0.lock().closed.clone().unwrap_or(Closed {
            reason: CloseReason::Local,
            incomplete: None,
        })
    }
}

macro_rules! sink {
    ($port:ty, $message:ty, |$this:ident| $sender:expr, |$it:ident| $borrowed:expr) => {
        impl Sink<$message> for $port {
            type Error = SendError;

            fn poll_ready(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<Result<(), SendError>> {
                let $this = self.get_mut();
                $sender.poll_sink_ready(cx)
            }

            fn start_send(self: Pin<&mut Self>, $it: $message) -> Result<(), SendError> {
                let $this = self.get_mut();
                $sender.start_sink($borrowed)
            }

            fn poll_flush(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<Result<(), SendError>> {
                let $this = self.get_mut();
                $sender.end.0.poll_flushed(cx, $sender.seated.seat)
            }

            fn poll_close(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<Result<(), SendError>> {
                let $this = self.get_mut();
                $sender.poll_sink_close(cx)
            }
        }
    };
}

sink!(SocketPort, Message<'_>, |this| this.sender, |it| &it);
sink!(SocketPort, MessageBuf, |this| this.sender, |it| &it
    .as_message());
sink!(SendHalf, Message<'_>, |this| this, |it| &it);
sink!(SendHalf, MessageBuf, |this| this, |it| &it.as_message());

impl fmt::Debug for ReceiveHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiveHalf")
            .field("peer", &self.link().lock().ends.peer)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SendHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendHalf")
            .field("peer", &self.peer_addr())
            .finish_non_exhaustive()
    }
}
