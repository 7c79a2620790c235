//! One connection, as its driver and everybody who holds an end of it see it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use netmidi_message::{Message, MessageBuf};
use tokio::net::TcpStream;

use crate::codec::DiscardReport;
use crate::driver::Tally;
use crate::error::{CloseReason, Closed, SendError};
use crate::event::Event;
use crate::header::Header;
use crate::options::{Options, Overflow};
use crate::outbox::{Encoded, Outbox};
use crate::report::Trouble;
use crate::stats::PortStats;
use crate::thinning::Thinning;
use crate::waiters::{Seat, Waiters};

/// So many octets may be read at least while anything may be.
const LEAST_READ: usize = 256;
/// What a single octet may come to: one that is discarded and reported.
const HEAVIEST_OCTET: usize = size_of::<Item>() + size_of::<DiscardReport>();

/// What was received, in order.
#[derive(Debug)]
pub(crate) enum Item {
    Message(MessageBuf),
    Silence(MessageBuf),
    Discarded(Box<DiscardReport>),
    /// Anything rarer.
    Other(Box<Event>),
}

impl Item {
    /// How much memory it takes.
    pub(crate) fn weight(&self) -> usize {
        let heap = match self {
            Self::Message(MessageBuf::SysEx(sysex)) => sysex.as_sysex().data().len(),
            Self::Message(MessageBuf::Undefined(undefined)) => {
                undefined.as_undefined().data().len()
            }
            Self::Message(_) | Self::Silence(_) => 0,
            Self::Discarded(_) => size_of::<DiscardReport>(),
            Self::Other(_) => 2 * size_of::<Event>(),
        };
        size_of::<Self>() + heap
    }

    pub(crate) fn into_message(self) -> Option<MessageBuf> {
        match self {
            Self::Message(message) | Self::Silence(message) => Some(message),
            Self::Discarded(_) | Self::Other(_) => None,
        }
    }

    pub(crate) const fn is_message(&self) -> bool {
        matches!(self, Self::Message(_) | Self::Silence(_))
    }

    pub(crate) fn into_event(self) -> Event {
        match self {
            Self::Message(message) => Event::Message(message),
            Self::Silence(message) => Event::Silence(message),
            Self::Discarded(report) => Event::Discarded(*report),
            Self::Other(event) => *event,
        }
    }
}

/// Whoever is to be told that something was received.
pub(crate) trait Listener: Send + Sync {
    /// Something waits to be fetched where nothing did.
    fn ready(&self);
    /// The connection is over. What was received still waits.
    fn over(&self);
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    Open,
    /// Lost, and being tried again.
    Away,
    /// Everything that waits is written, then it ends.
    Closing,
    Over,
}

/// What was received and not fetched yet.
#[derive(Default)]
pub(crate) struct Inbound {
    queue: VecDeque<Item>,
    weight: usize,
    /// The driver reads nothing more until somebody fetches.
    pub(crate) paused: bool,
    /// Nobody will fetch anything any more.
    pub(crate) abandoned: bool,
    /// The listener knows already.
    told: bool,
    waker: Option<Waker>,
    listener: Option<Arc<dyn Listener>>,
}

/// What waits to be sent.
#[derive(Default)]
pub(crate) struct Outbound {
    pub(crate) outbox: Outbox,
    /// A message was written outside the driver since it last ran; further ones wait for it, so that
    /// those of one moment go together.
    pub(crate) written_directly: bool,
    /// What was written may still be in a buffer of the transport.
    pub(crate) unflushed: bool,
    /// What the peer has and misses; only with [`Overflow::Thin`].
    thinning: Option<Box<Thinning>>,
    /// Messages are being dropped, until the queue is half empty.
    dropping: bool,
    /// Those who wait for room, or for everything to be written.
    waiters: Waiters,
}

pub(crate) struct State {
    pub(crate) phase: Phase,
    pub(crate) inbound: Inbound,
    pub(crate) outbound: Outbound,
    /// Set by others for the driver: end it at once, and why.
    pub(crate) verdict: Option<CloseReason>,
    /// Nothing can be written any more, and why. What came before is still being read.
    pub(crate) broken: Option<CloseReason>,
    /// Where a sender may write by itself.
    pub(crate) stream: Option<Arc<TcpStream>>,
    pub(crate) ends: Ends,
    pub(crate) header: Option<Header>,
    pub(crate) stats: PortStats,
    pub(crate) closed: Option<Closed>,
    pub(crate) driver: Option<Waker>,
}

/// One connection.
pub(crate) struct Link {
    state: Mutex<State>,
    pub(crate) options: Arc<Options>,
}

/// Both ends of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ends {
    pub(crate) local: SocketAddr,
    pub(crate) peer: SocketAddr,
}

impl Link {
    pub(crate) fn new(options: Arc<Options>, ends: Ends) -> Self {
        let mut outbound = Outbound::default();
        outbound.greet(&options);
        Self {
            state: Mutex::new(State {
                phase: Phase::Open,
                inbound: Inbound::default(),
                outbound,
                verdict: None,
                broken: None,
                stream: None,
                ends,
                header: None,
                stats: PortStats::default(),
                closed: None,
                driver: None,
            }),
            options,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is next for the reader, many at once: they end up in `batch`, which is empty.
    pub(crate) fn poll_fetch(
        &self,
        cx: &mut Context<'_>,
        batch: &mut VecDeque<Item>,
    ) -> Poll<bool> {
        let mut state = self.lock();
        if self.fetch_all(&mut state, batch) {
            return Poll::Ready(true);
        }
        if state.phase == Phase::Over {
            return Poll::Ready(false);
        }
        let waker = &mut state.inbound.waker;
        if !waker.as_ref().is_some_and(|it| it.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// The same without waiting.
    pub(crate) fn try_fetch(&self, batch: &mut VecDeque<Item>) -> bool {
        self.fetch_all(&mut self.lock(), batch)
    }

    fn fetch_all(&self, state: &mut State, batch: &mut VecDeque<Item>) -> bool {
        let inbound = &mut state.inbound;
        if inbound.queue.is_empty() {
            return false;
        }
        std::mem::swap(&mut inbound.queue, batch);
        inbound.weight = 0;
        self.resume(state);
        true
    }

    /// Takes at most `most` for a listener. Whether more waits, and whether the connection is over.
    pub(crate) fn fetch_some(&self, most: usize, batch: &mut VecDeque<Item>) -> (bool, bool) {
        let mut state = self.lock();
        let inbound = &mut state.inbound;
        let taken = most.min(inbound.queue.len());
        for item in inbound.queue.drain(..taken) {
            inbound.weight = inbound.weight.saturating_sub(item.weight());
            batch.push_back(item);
        }
        let more = !inbound.queue.is_empty();
        inbound.told = more;
        let over = !more && state.phase == Phase::Over;
        self.resume(&mut state);
        (more, over)
    }

    fn resume(&self, state: &mut State) {
        let inbound = &state.inbound;
        let room = inbound.weight < self.options.receive_limit || inbound.queue.is_empty();
        if inbound.paused && room {
            state.inbound.paused = false;
            wake(&state.driver);
        }
    }

    /// Adds what was read from so many octets; empties `staged`. What `after` says of the queue.
    pub(crate) fn deliver<R>(
        &self,
        octets: usize,
        tally: &mut Tally,
        staged: &mut Vec<Item>,
        after: impl FnOnce(&Inbound) -> R,
    ) -> R {
        let mut state = self.lock();
        let stats = &mut state.stats;
        stats.octets_received += octets as u64;
        stats.messages_received += tally.messages;
        stats.discards += tally.discards;
        stats.octets_discarded += tally.octets_discarded;
        if let Some(header) = tally.header.take() {
            state.header = Some(header);
        }
        let inbound = &mut state.inbound;
        if inbound.abandoned {
            staged.clear();
        }
        let news = !staged.is_empty();
        if news {
            inbound.queue.extend(staged.drain(..));
            inbound.weight += tally.weight;
            inbound.paused = inbound.weight >= self.options.receive_limit;
        }
        let result = after(&state.inbound);
        if news {
            Self::tell(state);
        }
        result
    }

    /// Wakes the reader, with the lock given back first.
    fn tell(mut state: MutexGuard<'_, State>) {
        let inbound = &mut state.inbound;
        let waker = inbound.waker.take();
        let listener = match inbound.told {
            true => None,
            false => inbound.listener.clone(),
        };
        inbound.told |= listener.is_some();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        if let Some(listener) = listener {
            listener.ready();
        }
    }

    /// Has a listener told from now on, also of what waits already.
    pub(crate) fn set_listener(&self, listener: Arc<dyn Listener>) {
        let mut state = self.lock();
        let over = state.phase == Phase::Over;
        state.inbound.listener = Some(listener.clone());
        state.inbound.told = false;
        Self::tell(state);
        if over {
            listener.over();
        }
    }

    /// Takes a message for whoever sends without waiting, unless it is one that is never sent.
    pub(crate) fn push(
        &self,
        encoded: Option<&Encoded>,
        message: &Message<'_>,
    ) -> Result<(), Trouble> {
        let encoded = encoded.ok_or(Trouble::Undefined {
            status: message.status(),
        })?;
        let mut state = self.lock();
        state.check().map_err(|error| match error {
            SendError::NotConnected => Trouble::NotConnected,
            _ => Trouble::Closed,
        })?;
        let limit = self.options.send_limit;
        let full = !state.outbound.has_room(encoded.octets().len(), limit);
        match self.options.overflow {
            Overflow::Disconnect if full => {
                state.verdict = Some(CloseReason::Overflow { limit });
                state.outbound.outbox.clear();
                wake(&state.driver);
                return Err(Trouble::Overflowed);
            }
            Overflow::Disconnect => {}
            Overflow::Thin => {
                let outbound = &mut state.outbound;
                outbound.dropping = full;
                let thinning = outbound.thinning();
                if !full {
                    thinning.passed(message);
                } else if !thinning.dropped(message) {
                    state.stats.messages_dropped += 1;
                    return Err(Trouble::Dropped);
                }
            }
        }
        state.enqueue(encoded);
        Ok(())
    }

    /// Takes a message if there is room for it.
    pub(crate) fn try_send(
        &self,
        encoded: &Encoded,
        message: &Message<'_>,
    ) -> Result<(), SendError> {
        let mut state = self.lock();
        state.check()?;
        let limit = self.options.send_limit;
        if !state.outbound.has_room(encoded.octets().len(), limit) {
            return Err(SendError::Full { limit });
        }
        state.pass(encoded, message, self.options.overflow);
        Ok(())
    }

    /// Takes a message for which [`poll_room`](Self::poll_room) has found room.
    pub(crate) fn send_ready(
        &self,
        encoded: &Encoded,
        message: &Message<'_>,
    ) -> Result<(), SendError> {
        let mut state = self.lock();
        state.check()?;
        // Somebody else may have pushed since.
        state.settle();
        state.pass(encoded, message, self.options.overflow);
        Ok(())
    }

    /// Calls `poll` until it is ready, with a seat that is given back in any case.
    pub(crate) async fn waiting<R>(
        &self,
        mut poll: impl FnMut(&mut Context<'_>, Seat) -> Poll<R>,
    ) -> R {
        let seated = Seated::new(self);
        poll_fn(|cx| poll(cx, seated.seat)).await
    }

    /// Waits for room for `octets` more.
    pub(crate) fn poll_room(
        &self,
        cx: &mut Context<'_>,
        seat: Seat,
        octets: usize,
    ) -> Poll<Result<(), SendError>> {
        let mut state = self.lock();
        state.check()?;
        if state.outbound.has_room(octets, self.options.send_limit) {
            return Poll::Ready(Ok(()));
        }
        state.outbound.waiters.wait(seat, cx);
        Poll::Pending
    }

    /// Waits until the system has taken everything.
    pub(crate) fn poll_flushed(
        &self,
        cx: &mut Context<'_>,
        seat: Seat,
    ) -> Poll<Result<(), SendError>> {
        let mut state = self.lock();
        if let Some(closed) = &state.closed {
            return Poll::Ready(Err(SendError::Closed(closed.clone())));
        }
        // What waited for a connection that is lost was not sent.
        if state.broken.is_some() || state.phase == Phase::Away {
            state.check()?;
        }
        if state.outbound.outbox.is_empty() && !state.outbound.unflushed && state.verdict.is_none()
        {
            return Poll::Ready(Ok(()));
        }
        state.outbound.waiters.wait(seat, cx);
        Poll::Pending
    }

    /// Waits until it is over.
    pub(crate) fn poll_over(&self, cx: &mut Context<'_>, seat: Seat) -> Poll<Closed> {
        let mut state = self.lock();
        if let Some(closed) = &state.closed
            && state.phase == Phase::Over
        {
            return Poll::Ready(closed.clone());
        }
        state.outbound.waiters.wait(seat, cx);
        Poll::Pending
    }

    /// Sees to it that what waits is written and the connection ends. Nothing if it is ending.
    pub(crate) fn begin_close(&self) {
        let mut state = self.lock();
        if matches!(state.phase, Phase::Open | Phase::Away) {
            state.phase = Phase::Closing;
            wake(&state.driver);
        }
    }

    /// Nobody fetches any more: what comes is thrown away.
    pub(crate) fn abandon_reading(&self) {
        let mut state = self.lock();
        let inbound = &mut state.inbound;
        inbound.abandoned = true;
        inbound.paused = false;
        inbound.queue = VecDeque::new();
        inbound.weight = 0;
        wake(&state.driver);
    }

    /// The connection is lost and is going to be tried again: the next one begins from nothing.
    pub(crate) fn lose(&self, closed: Closed) {
        let mut state = self.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Away;
        }
        state.verdict = None;
        state.broken = None;
        state.header = None;
        state.stream = None;
        state.outbound.forget();
        state.outbound.wake_all();
        let limit = self.options.receive_limit;
        state.inbound.announce_loss(closed, limit);
        Self::tell(state);
    }

    /// It is back. Not if it has been closed in the meantime.
    pub(crate) fn regain(&self, ends: Ends) -> bool {
        let mut state = self.lock();
        if state.phase != Phase::Away {
            return false;
        }
        state.phase = Phase::Open;
        state.ends = ends;
        state.stats.reconnects += 1;
        state.outbound.greet(&self.options);
        state.outbound.wake_all();
        state
            .inbound
            .announce(Event::Reconnected { peer: ends.peer });
        Self::tell(state);
        true
    }

    /// Waits until somebody wants it closed.
    pub(crate) fn poll_closing(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        state.driver = Some(cx.waker().clone());
        match state.phase {
            Phase::Open | Phase::Away => Poll::Pending,
            Phase::Closing | Phase::Over => Poll::Ready(()),
        }
    }

    /// The connection is over.
    pub(crate) fn end(&self, closed: Closed) {
        let mut state = self.lock();
        state.inbound.announce(Event::Disconnected(closed.clone()));
        state.phase = Phase::Over;
        state.stream = None;
        state.driver = None;
        state.closed = Some(closed);
        state.outbound.forget();
        state.outbound.wake_all();
        let listener = state.inbound.listener.clone();
        Self::tell(state);
        if let Some(listener) = listener {
            listener.over();
        }
    }
}

impl State {
    /// Whether anything can be sent.
    fn check(&self) -> Result<(), SendError> {
        if let Some(reason) = self.verdict.as_ref().or(self.broken.as_ref()) {
            return Err(SendError::Closed(Closed {
                reason: reason.clone(),
                incomplete: None,
            }));
        }
        match self.phase {
            Phase::Open => Ok(()),
            Phase::Away => Err(SendError::NotConnected),
            Phase::Closing | Phase::Over => {
                Err(SendError::Closed(self.closed.clone().unwrap_or(Closed {
                    reason: CloseReason::Local,
                    incomplete: None,
                })))
            }
        }
    }

    /// Nothing can be written any more: whoever sends is told.
    pub(crate) fn break_writing(&mut self, reason: CloseReason) {
        self.broken = Some(reason);
        self.outbound.forget();
        self.outbound.wake_all();
    }

    /// Whether nothing will be received any more.
    pub(crate) fn is_drained(&self) -> bool {
        self.phase == Phase::Over && !self.inbound.queue.iter().any(Item::is_message)
    }

    fn enqueue(&mut self, encoded: &Encoded) {
        self.stats.messages_sent += 1;
        let outbound = &mut self.outbound;
        let mut written = 0;
        if outbound.outbox.is_empty()
            && !outbound.written_directly
            && let Some(stream) = &self.stream
        {
            outbound.written_directly = true;
            let result = stream.try_write(encoded.octets());
            wake(&self.driver);
            match result {
                Ok(count) => written = count,
                // What cannot be written now is left to the driver.
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                // The system says it once.
                Err(error) => return self.break_writing(CloseReason::of(error)),
            }
            self.stats.octets_sent += written as u64;
        } else if outbound.outbox.is_empty() {
            wake(&self.driver);
        }
        if written < encoded.octets().len() {
            outbound.outbox.push(encoded, written);
        }
    }

    /// Takes a message that is not dropped, whoever else sends by [`Link::push`].
    fn pass(&mut self, encoded: &Encoded, message: &Message<'_>, overflow: Overflow) {
        if overflow == Overflow::Thin {
            self.outbound.thinning().passed(message);
        }
        self.enqueue(encoded);
    }

    /// After something was written: tells what a peer missed, and those who wait.
    pub(crate) fn written(&mut self, limit: usize) {
        if self.outbound.outbox.len() <= limit / 2 {
            self.settle();
            self.outbound.wake_all();
        }
    }

    /// Tells what a peer missed.
    fn settle(&mut self) {
        let outbound = &mut self.outbound;
        if std::mem::take(&mut outbound.dropping)
            && let Some(thinning) = &mut outbound.thinning
        {
            let (outbox, stats) = (&mut outbound.outbox, &mut self.stats);
            thinning.settle(|message| {
                if let Some(encoded) = Encoded::new(&message) {
                    outbox.push(&encoded, 0);
                    stats.messages_restored += 1;
                }
            });
        }
    }
}

impl Inbound {
    fn announce(&mut self, event: Event) {
        if !self.abandoned {
            let item = Item::Other(Box::new(event));
            self.weight += item.weight();
            self.queue.push_back(item);
        }
    }

    /// The connection is lost. Of those that came and went with nothing in between, while nobody
    /// fetches and as much waits as may, only the last end is told.
    fn announce_loss(&mut self, closed: Closed, limit: usize) {
        if self.weight >= limit
            && let [.., before, back] = self.queue.make_contiguous()
            && let (Item::Other(before), Item::Other(back)) = (before, back)
            && let (Event::Disconnected(end), Event::Reconnected { .. }) = (&mut **before, &**back)
        {
            *end = closed;
            let back = self.queue.pop_back();
            self.weight -= back.map_or(0, |item| item.weight());
            return;
        }
        self.announce(Event::Disconnected(closed));
    }

    /// How many octets may be read now; each of them may become a message of its own.
    pub(crate) fn room(&self, limit: usize, at_most: usize) -> Option<usize> {
        if self.paused {
            return None;
        }
        let items = limit.saturating_sub(self.weight) / HEAVIEST_OCTET;
        Some(items.clamp(LEAST_READ.min(at_most), at_most))
    }
}

impl Outbound {
    /// The header lines, first of all.
    fn greet(&mut self, options: &Options) {
        if let Some(header) = &options.header {
            self.outbox.push_octets(&header.to_bytes());
        }
    }

    fn forget(&mut self) {
        self.outbox.clear();
        self.unflushed = false;
        self.thinning = None;
        self.dropping = false;
    }

    /// A message that is longer than the limit goes into an empty queue. What is owed comes before
    /// anything else.
    fn has_room(&self, octets: usize, limit: usize) -> bool {
        let fits = self.outbox.is_empty() || self.outbox.len().saturating_add(octets) <= limit;
        fits && !self.thinning.as_ref().is_some_and(|it| it.owes())
    }

    /// Follows all that is sent with [`Overflow::Thin`].
    fn thinning(&mut self) -> &mut Thinning {
        self.thinning
            .get_or_insert_with(|| Box::new(Thinning::new()))
    }

    /// The transport keeps nothing back any more.
    pub(crate) fn flushed(&mut self) {
        self.unflushed = false;
        self.wake_all();
    }

    fn wake_all(&mut self) {
        for waker in self.waiters.drain() {
            waker.wake();
        }
    }
}

/// One who may wait; leaves when it is dropped.
pub(crate) struct Seated<L: Deref<Target = Link>> {
    link: L,
    pub(crate) seat: Seat,
}

impl<L: Deref<Target = Link>> Seated<L> {
    pub(crate) fn new(link: L) -> Self {
        let seat = link.lock().outbound.waiters.seat();
        Self { link, seat }
    }
}

impl<L: Deref<Target = Link>> Drop for Seated<L> {
    fn drop(&mut self) {
        self.link.lock().outbound.waiters.leave(self.seat);
    }
}

fn wake(waker: &Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake_by_ref();
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use futures::FutureExt;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn who_stops_waiting_is_forgotten() {
        let nowhere = "127.0.0.1:1".parse().unwrap();
        let ends = Ends {
            local: nowhere,
            peer: nowhere,
        };
        let link = Arc::new(Link::new(Arc::default(), ends));
        let message = Message::parse(&[0xF8]).unwrap();
        let encoded = Encoded::new(&message).unwrap();
        link.try_send(&encoded, &message).unwrap();
        let waiting = || link.lock().outbound.waiters.drain().count();
        for _ in 0..100 {
            let flushed = link.waiting(|cx, seat| link.poll_flushed(cx, seat));
            assert!(flushed.now_or_never().is_none());
        }
        assert_eq!(waiting(), 0);
        let seated = Seated::new(link.clone());
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..100 {
            assert!(link.poll_flushed(&mut cx, seated.seat).is_pending());
        }
        assert_eq!(waiting(), 1);
    }

    /// A message that is written by its sender must not overtake one that waits for the driver.
    #[tokio::test]
    async fn nothing_is_written_past_what_waits() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (theirs, peer) = listener.accept().await.unwrap();
        let ends = Ends {
            local: ours.local_addr().unwrap(),
            peer,
        };
        let link = Link::new(Arc::default(), ends);
        let say = |octet| {
            let octets = [octet];
            let message = Message::parse(&octets).unwrap();
            link.try_send(&Encoded::new(&message).unwrap(), &message)
        };
        // Nobody may write yet.
        say(0xF8).unwrap();
        ours.writable().await.unwrap();
        link.lock().stream = Some(Arc::new(ours));
        say(0xFA).unwrap();
        say(0xFC).unwrap();
        tokio::task::yield_now().await;
        let read = theirs.try_read(&mut [0; 8]);
        assert!(matches!(read, Err(error) if error.kind() == ErrorKind::WouldBlock));
        let waiting = |link: &Link| {
            let mut slices = [std::io::IoSlice::new(&[]); crate::outbox::PIECES];
            let state = link.lock();
            let count = state.outbound.outbox.slices(&mut slices);
            slices
                .iter()
                .take(count)
                .flat_map(|it| it.to_vec())
                .collect::<Vec<u8>>()
        };
        assert_eq!(waiting(&link), [0xF8, 0xFA, 0xFC]);
        // With nothing before it one goes out at once, and those of the same moment together.
        link.lock().outbound.outbox.advance(3);
        say(0xF8).unwrap();
        say(0xFA).unwrap();
        theirs.readable().await.unwrap();
        let mut octets = [0; 8];
        assert_eq!(theirs.try_read(&mut octets).unwrap(), 1);
        assert_eq!(octets.first(), Some(&0xF8));
        assert_eq!(waiting(&link), [0xFA]);
    }
}
