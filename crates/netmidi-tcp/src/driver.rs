//! The task that each connection has: it reads, writes, watches the time, and comes back.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use netmidi_message::{DiscardReason, Sounding};
use tokio::time::{Instant, Sleep, sleep};

use crate::codec::DiscardReport;
use crate::connect::Redial;
use crate::error::{CloseReason, Closed, Incomplete};
use crate::event::Event;
use crate::link::{Item, Link, Phase, State};
use crate::options::AtEnd;
use crate::outbox::PIECES;
use crate::reader::{Heard, Reader, SpeaksTls};
use crate::transport::Transport;

/// Octets that are read with one call.
const READ_AT_ONCE: usize = 64 << 10;
/// So many times as long as a close may take it is waited for somebody to receive what a peer sent
/// before it left.
const PATIENCE: u32 = 10;
/// So many reads follow one another before others have their turn.
const READS_IN_A_ROW: usize = 8;

/// Room for what is on its way from a socket to a queue.
struct Scratch {
    octets: Box<[u8]>,
    staged: Vec<Item>,
}

thread_local! {
    /// One serves all connections of a thread.
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        octets: vec![0; READ_AT_ONCE].into_boxed_slice(),
        staged: Vec::new(),
    });
}

/// Serves a connection until it ends for good.
pub(crate) fn run(
    link: Arc<Link>,
    transport: Transport,
    redial: Option<Redial>,
) -> impl Future<Output = ()> {
    // From now on: a runtime that is being shut down drops tasks that never ran.
    let served = Served(link);
    async move { serve(&served.0, transport, redial).await }
}

/// Sees to it that a port ends with the task that serves it: nobody must wait for what is not there
/// any more.
struct Served(Arc<Link>);

impl Drop for Served {
    fn drop(&mut self) {
        if self.0.lock().phase != Phase::Over {
            self.0.end(Closed {
                reason: CloseReason::Shutdown,
                incomplete: None,
            });
        }
    }
}

async fn serve(link: &Arc<Link>, mut transport: Transport, redial: Option<Redial>) {
    loop {
        let closed = Driver::new(link, transport).serve().await;
        let closing = link.lock().phase == Phase::Closing;
        let Some(redial) = redial.as_ref().filter(|_| !closing) else {
            link.end(closed);
            return;
        };
        link.lose(closed);
        match redial.again(link).await {
            Some(next) => transport = next,
            // Closed in the meantime.
            None => {
                link.end(Closed {
                    reason: CloseReason::Local,
                    incomplete: None,
                });
                return;
            }
        }
    }
}

/// What the clock is watched for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Due {
    Idle,
    Closing,
    /// Writing is broken: that reading ends, too.
    Ending,
    /// The same where nothing is read because nobody fetches.
    Unheard,
}

struct Driver<'a> {
    link: &'a Arc<Link>,
    transport: Transport,
    reader: Reader,
    /// Made with the first message.
    sounding: Option<Box<Sounding>>,
    /// The message that is too long and goes on, octets thrown away so far.
    overlong: Option<Incomplete>,
    last_heard: Instant,
    timer: Option<(Due, Pin<Box<Sleep>>)>,
    /// What was written may still be in a buffer of the transport.
    unflushed: bool,
    /// The peer has been told that nothing more comes.
    finished: bool,
    /// The peer has told us so, after we began to close.
    peer_finished: bool,
    /// Nothing can be written any more.
    broken: bool,
    /// And there is more to read than anybody has fetched.
    unheard: bool,
}

impl<'a> Driver<'a> {
    fn new(link: &'a Arc<Link>, transport: Transport) -> Self {
        link.lock().stream = transport.shared();
        Self {
            link,
            transport,
            reader: Reader::new(&link.options),
            sounding: None,
            overlong: None,
            last_heard: Instant::now(),
            timer: None,
            unflushed: false,
            finished: false,
            peer_finished: false,
            broken: false,
            unheard: false,
        }
    }

    /// Until the connection ends. Everything that was received has been delivered then.
    async fn serve(mut self) -> Closed {
        let ended = poll_fn(|cx| self.poll(cx)).await;
        let broken = self.link.lock().broken.clone();
        let reason = broken.unwrap_or(ended);
        let incomplete = self.conclude();
        self.link.lock().stream = None;
        match reason {
            CloseReason::Overflow { .. } => self.transport.abandon(),
            // A peer that only reads, or is told in its own way: at most as long as a close may take.
            _ if !self.finished => {
                let patience = self.link.options.close_timeout;
                let _ = tokio::time::timeout(patience, self.transport.finish()).await;
            }
            _ => {}
        }
        Closed { reason, incomplete }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let (phase, mut room) = {
            let mut state = self.link.lock();
            let waker = &mut state.driver;
            if !waker.as_ref().is_some_and(|it| it.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
            state.outbound.written_directly = false;
            self.broken |= state.broken.is_some();
            if let Some(reason) = state.verdict.clone() {
                return Poll::Ready(reason);
            }
            (
                state.phase,
                state
                    .inbound
                    .room(self.link.options.receive_limit, READ_AT_ONCE),
            )
        };
        if room.is_none() {
            // What the peer sends is not read at the moment: that is no silence of its own.
            self.last_heard = Instant::now();
        }
        if self.peer_finished {
            room = None;
        }
        let mut reads = 0;
        let mut read_all = false;
        while let Some(at_most) = room {
            match self.poll_read(cx, at_most) {
                Poll::Ready(Ok(next)) => room = next,
                Poll::Ready(Err(reason)) => {
                    match (phase, reason) {
                        // It may still read: what was sent to it goes out first.
                        (Phase::Closing, CloseReason::Peer) => {
                            self.peer_finished = true;
                            break;
                        }
                        (Phase::Closing, _) => return Poll::Ready(CloseReason::Local),
                        (_, reason) => return Poll::Ready(reason),
                    }
                }
                Poll::Pending => {
                    read_all = true;
                    break;
                }
            }
            reads += 1;
            if reads == READS_IN_A_ROW {
                cx.waker().wake_by_ref();
                break;
            }
        }
        if !self.broken
            && let Poll::Ready(Err(error)) = self.poll_write(cx)
        {
            let reason = CloseReason::of(error);
            if phase == Phase::Closing {
                return Poll::Ready(reason);
            }
            // A peer that has left sent whole messages before, which may still wait in the system.
            self.broken = true;
            self.link.lock().break_writing(reason);
        }
        if self.broken {
            if phase == Phase::Closing {
                return Poll::Ready(CloseReason::Local);
            }
            self.unheard = !read_all;
            if reads > 0 {
                self.timer = None;
            }
            return self.poll_timer(cx, phase);
        }
        if phase == Phase::Closing
            && let Poll::Ready(result) = self.poll_finish(cx)
            && (result.is_err() || self.peer_finished)
        {
            return Poll::Ready(CloseReason::Local);
        }
        self.poll_timer(cx, phase)
    }

    /// Reads once and delivers what came. How much may be read next.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        at_most: usize,
    ) -> Poll<Result<Option<usize>, CloseReason>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let room = scratch.octets.get_mut(..at_most).unwrap_or_default();
            let count = match ready!(self.transport.poll_read(cx, room)) {
                Ok(0) => return Poll::Ready(Err(CloseReason::Peer)),
                Ok(count) => count,
                Err(error) => return Poll::Ready(Err(CloseReason::of(error))),
            };
            if self.link.options.idle_timeout.is_some() {
                self.last_heard = Instant::now();
            }
            let octets = room.get(..count).unwrap_or_default();
            let mut tally = Tally::default();
            let Self {
                reader,
                sounding,
                overlong,
                ..
            } = self;
            let result = reader.feed(octets, |heard| {
                tally.hear(heard, &mut scratch.staged, sounding, overlong);
            });
            let limit = self.link.options.receive_limit;
            let room = self
                .link
                .deliver(count, &mut tally, &mut scratch.staged, |inbound| {
                    inbound.room(limit, READ_AT_ONCE)
                });
            Poll::Ready(match result {
                Ok(()) => Ok(room),
                Err(SpeaksTls) => Err(CloseReason::SpeaksTls),
            })
        })
    }

    /// The connection is over: what the peer was in the middle of, and what it left sounding.
    fn conclude(&mut self) -> Option<Incomplete> {
        let mut tally = Tally::default();
        let mut staged = Vec::new();
        let mut incomplete = None;
        let mut within = self.reader.is_within_message();
        let Self {
            reader,
            sounding,
            overlong,
            ..
        } = self;
        reader.finish(|heard| {
            if let Heard::Discarded(cut) = &heard
                && cut.reason == DiscardReason::EndOfStream
            {
                incomplete = Some(Incomplete::new(cut.bytes));
            }
            // F4 and F5 are whole when nothing more comes.
            within &= !matches!(heard, Heard::Message(_));
            tally.hear(heard, &mut staged, sounding, overlong);
        });
        if within && incomplete.is_none() {
            incomplete = self.overlong.take();
        }
        if self.link.options.at_end == AtEnd::Silence
            && let Some(sounding) = self.sounding.take()
        {
            for release in sounding.releases() {
                tally.stage(Item::Silence(release.into()), &mut staged);
            }
        }
        self.link.deliver(0, &mut tally, &mut staged, |_| ());
        incomplete
    }

    /// Writes until nothing waits or the system takes no more.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.link.lock();
        loop {
            if state.outbound.outbox.is_empty() {
                break;
            }
            let mut slices = [IoSlice::new(&[]); PIECES];
            let count = state.outbound.outbox.slices(&mut slices);
            let slices = slices.get(..count).unwrap_or_default();
            let written = match self.transport.poll_write(cx, slices) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => written,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            };
            self.unflushed = self.transport.keeps_back();
            let State {
                outbound, stats, ..
            } = &mut *state;
            outbound.unflushed = self.unflushed;
            outbound.outbox.advance(written);
            stats.octets_sent += written as u64;
            state.written(self.link.options.send_limit);
        }
        let empty = state.outbound.outbox.is_empty();
        drop(state);
        if self.unflushed {
            ready!(self.transport.poll_flush(cx))?;
            self.unflushed = false;
            self.link.lock().outbound.flushed();
        }
        match empty {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }

    /// With everything written, tells the peer that nothing more comes.
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.finished {
            return Poll::Ready(Ok(()));
        }
        if self.unflushed || !self.link.lock().outbound.outbox.is_empty() {
            return Poll::Pending;
        }
        ready!(self.transport.poll_finish(cx))?;
        self.finished = true;
        Poll::Ready(Ok(()))
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>, phase: Phase) -> Poll<CloseReason> {
        let options = &self.link.options;
        let (due, after, waited) = match (phase, options.idle_timeout) {
            _ if self.unheard => (
                Due::Unheard,
                options.close_timeout.saturating_mul(PATIENCE),
                Duration::ZERO,
            ),
            _ if self.broken => (Due::Ending, options.close_timeout, Duration::ZERO),
            (Phase::Closing, _) => (Due::Closing, options.close_timeout, Duration::ZERO),
            (_, Some(after)) => (Due::Idle, after, self.last_heard.elapsed()),
            (_, None) => return Poll::Pending,
        };
        if self.timer.as_ref().is_none_or(|(what, _)| *what != due) {
            self.timer = Some((due, Box::pin(sleep(after.saturating_sub(waited)))));
        }
        let Some((_, timer)) = &mut self.timer else {
            return Poll::Pending;
        };
        loop {
            ready!(timer.as_mut().poll(cx));
            match due {
                Due::Closing | Due::Ending | Due::Unheard => {
                    return Poll::Ready(CloseReason::Local);
                }
                Due::Idle if self.link.lock().inbound.paused => timer.set(sleep(after)),
                Due::Idle if self.last_heard.elapsed() >= after => {
                    return Poll::Ready(CloseReason::Idle { after });
                }
                // Something came in the meantime. The timer is not moved for every message.
                Due::Idle => timer.set(sleep(after.saturating_sub(self.last_heard.elapsed()))),
            }
        }
    }
}

/// What was read in one go.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) weight: usize,
    pub(crate) messages: u64,
    pub(crate) discards: u64,
    pub(crate) octets_discarded: u64,
    pub(crate) header: Option<crate::Header>,
}

impl Tally {
    #[inline]
    fn hear(
        &mut self,
        heard: Heard<'_>,
        staged: &mut Vec<Item>,
        sounding: &mut Option<Box<Sounding>>,
        overlong: &mut Option<Incomplete>,
    ) {
        match heard {
            Heard::Message(message) => {
                sounding.get_or_insert_default().observe(&message);
                self.messages += 1;
                self.stage(Item::Message(message.to_buf()), staged);
            }
            Heard::Header(header) => {
                self.header = Some(header.clone());
                self.stage(Item::Other(Box::new(Event::Header(header.clone()))), staged);
            }
            Heard::Discarded(discarded) => {
                self.discards += 1;
                self.octets_discarded += discarded.bytes.len() as u64;
                if matches!(
                    discarded.reason,
                    DiscardReason::TooLong | DiscardReason::Refused
                ) {
                    match overlong {
                        Some(so_far) if discarded.bytes.first() != Some(&0xF0) => {
                            so_far.octets += discarded.bytes.len() as u64;
                        }
                        _ => *overlong = Some(Incomplete::new(discarded.bytes)),
                    }
                }
                let report = DiscardReport::from(discarded);
                self.stage(Item::Discarded(Box::new(report)), staged);
            }
        }
    }

    #[inline]
    fn stage(&mut self, item: Item, staged: &mut Vec<Item>) {
        self.weight += item.weight();
        staged.push(item);
    }
}

impl Incomplete {
    fn new(octets: &[u8]) -> Self {
        Self {
            octets: octets.len() as u64,
            beginning: octets.iter().take(Self::SHOWN).copied().collect(),
        }
    }
}

/// How long to wait before the next try.
pub(crate) fn jittered(delay: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    // Seeded by the system, anew for each: those who lost the same server do not come back at once.
    let number = RandomState::new().hash_one(delay);
    let share = (number % 512) as u32;
    delay.saturating_mul(768 + share) / 1024
}
