//! The one task that owns the session, its sockets and its clock.

use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use netmidi_message::Message;
use netmidi_session::{Event as Core, ParticipantId, Session, Time, Transmit};
use tokio::time::Sleep;

use crate::burst::Burst;
use crate::clock::Clock;
use crate::event::{Event, Peer};
use crate::shared::{Recipient, Request, Shared};
use crate::sockets::Sockets;

/// Octets read of one datagram: more than any UDP payload has.
const DATAGRAM: usize = 65_535;
/// Datagrams taken before others get their turn.
const BATCH: usize = 64;
/// How long to wait for room in a socket's buffer: a gigabit link empties a quarter of a default
/// one in this time.
const SEND_RETRY: Duration = Duration::from_micros(500);

pub(crate) struct Driver {
    session: Session,
    sockets: Sockets,
    clock: Clock,
    shared: Arc<Shared>,
    peers: BTreeMap<ParticipantId, Arc<Peer>>,
    requests: VecDeque<Request>,
    events: Vec<Event>,
    /// How many events the user's queue has room for, at the least.
    room: usize,
    /// How many datagrams of which the user hears are taken at once.
    burst: Burst,
    /// Where datagrams are read to.
    incoming: Box<[u8]>,
    /// The datagram being sent.
    outgoing: Vec<u8>,
    /// Where it goes, while its socket has no room for it.
    blocked: Option<Transmit>,
    /// When to try that again.
    retry_at: Option<Time>,
    alarm: Alarm,
}

impl Driver {
    pub(crate) fn new(
        session: Session,
        sockets: Sockets,
        clock: Clock,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            session,
            sockets,
            clock,
            shared,
            peers: BTreeMap::new(),
            requests: VecDeque::new(),
            events: Vec::new(),
            room: 0,
            burst: Burst::new(),
            incoming: vec![0; DATAGRAM].into_boxed_slice(),
            outgoing: Vec::new(),
            blocked: None,
            retry_at: None,
            alarm: Alarm::default(),
        }
    }

    /// Runs until the endpoint is closed and every peer has been told.
    pub(crate) async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
        self.shared.end();
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // What the user sent goes out before anything new is read.
        self.take_requests();
        self.drain();
        let again = self.receive(cx);
        if let Some(due) = self.due()
            && self.alarm.poll(cx, &self.clock, due).is_ready()
        {
            self.session.handle_timeout(self.clock.now());
            self.retry_at = None;
            self.drain();
            // The next deadline is not armed yet.
            cx.waker().wake_by_ref();
        }
        if self.session.is_finished() && self.blocked.is_none() {
            return Poll::Ready(());
        }
        if again || !self.shared.may_sleep(cx.waker()) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// When to be woken at the latest.
    fn due(&self) -> Option<Time> {
        self.session
            .poll_timeout()
            .into_iter()
            .chain(self.retry_at)
            .min()
    }

    /// Takes what has come in. Returns whether there may be more.
    ///
    /// Stops when the user is to hear of something: the user's tasks run next, and what they
    /// answer is sent before the sockets are asked again. Where the peer answers at once, that
    /// finds its next datagram without a wait, as in a plain loop of receiving and sending. In a
    /// burst, several datagrams are taken before the user hears of them: then the answers to them
    /// share packets.
    fn receive(&mut self, cx: &mut Context<'_>) -> bool {
        let mut told = 0;
        for _ in 0..BATCH {
            match self.sockets.poll_recv(cx, &mut self.incoming) {
                Poll::Pending => {
                    self.burst.ended_after(told);
                    self.tell();
                    return false;
                }
                Poll::Ready(Err(error)) => {
                    // An ICMP error of an earlier datagram, or a passing shortage.
                    tracing::debug!(%error, "receiving failed");
                }
                Poll::Ready(Ok((len, local, from))) => {
                    let octets = self.incoming.get(..len).unwrap_or_default();
                    let now = self.clock.now();
                    self.session.handle_datagram(now, local, from, octets);
                    self.transmit();
                    if self.hand_over() {
                        told += 1;
                    }
                    if told >= self.burst.size() {
                        self.burst.was_full();
                        break;
                    }
                }
            }
        }
        self.sockets.pass_turn();
        self.tell();
        true
    }

    fn take_requests(&mut self) {
        let mut requests = std::mem::take(&mut self.requests);
        self.shared.take_requests(&mut requests);
        for request in requests.drain(..) {
            match request {
                Request::Send { at, to, message } => self.send(at, to, message.as_message()),
                Request::Leave(participant) => {
                    // It may have left by itself in the meantime.
                    let _ = self.session.leave(self.clock.now(), participant);
                }
                Request::Close => self.session.close(self.clock.now()),
            }
        }
        self.requests = requests;
    }

    fn send(&mut self, at: Time, to: Recipient, message: Message<'_>) {
        let Self {
            session,
            peers,
            events,
            ..
        } = self;
        let mut send_one = |id: ParticipantId, peer: &Arc<Peer>| {
            if let Err(error) = session.send(at, id, message) {
                events.push(Event::NotSent {
                    peer: Arc::clone(peer),
                    error,
                });
            }
        };
        match to {
            Recipient::One(id) => {
                // Gone in the meantime: its Disconnected is on the way to the user.
                if let Some(peer) = peers.get(&id) {
                    send_one(id, peer);
                }
            }
            Recipient::All => peers.iter().for_each(|(id, peer)| send_one(*id, peer)),
            Recipient::AllBut(but) => peers
                .iter()
                .filter(|(id, _)| **id != but)
                .for_each(|(id, peer)| send_one(*id, peer)),
        }
    }

    /// Empties the session after an input: transmits, then events.
    fn drain(&mut self) {
        self.transmit();
        self.hand_over();
        self.tell();
    }

    fn transmit(&mut self) {
        while let Some(transmit) = self
            .blocked
            .take()
            .or_else(|| self.session.poll_transmit(&mut self.outgoing))
        {
            match self
                .sockets
                .send(transmit.from, transmit.to, &self.outgoing)
            {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = Some(transmit);
                    self.retry_at = Some(self.clock.now() + SEND_RETRY);
                    return;
                }
                Err(error) => log_lost_datagram(&error, transmit),
            }
        }
    }

    /// Passes events on as long as the user takes them. When they do not, events stay in the
    /// session, which bounds them and lets nobody new in. Returns whether there were any.
    fn hand_over(&mut self) -> bool {
        if self.room == self.events.len() {
            self.tell();
            self.room = self.shared.room_for_events();
        }
        let before = self.events.len();
        while self.events.len() < self.room
            && let Some(event) = self.session.poll_event()
        {
            if let Some(event) = self.translate(event) {
                self.events.push(event);
            }
        }
        self.events.len() > before
    }

    /// Tells the user what was passed on.
    fn tell(&mut self) {
        if !self.events.is_empty() {
            self.room = self.room.saturating_sub(self.events.len());
            self.shared.push_events(&mut self.events);
        }
    }

    fn translate(&mut self, event: Core) -> Option<Event> {
        Some(match event {
            Core::Joined {
                participant: id,
                peer,
            } => {
                let peer = *peer;
                let peer = Arc::new(Peer {
                    id,
                    name: peer.name,
                    ssrc: peer.ssrc,
                    control: peer.control,
                    data: peer.data,
                });
                self.peers.insert(id, Arc::clone(&peer));
                self.shared.connected(id);
                Event::Connected { peer }
            }
            Core::Left {
                participant,
                reason,
            } => {
                self.shared.disconnected(participant);
                Event::Disconnected {
                    peer: self.peers.remove(&participant)?,
                    reason,
                }
            }
            Core::Message {
                participant,
                at,
                message,
            } => Event::Message {
                peer: self.peer(participant)?,
                at,
                message,
            },
            Core::Lost {
                participant,
                packets,
            } => Event::Lost {
                peer: self.peer(participant)?,
                packets,
            },
            Core::Overflow { dropped } => Event::Overflow { dropped },
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

fn log_lost_datagram(error: &io::Error, transmit: Transmit) {
    tracing::debug!(to = %transmit.to, %error, "a datagram could not be sent");
}

/// One timer of the runtime, moved only when it would ring too late: deadlines move with almost
/// every packet, and nearly always to later.
#[derive(Default)]
struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
    rings_at: Option<Time>,
}

impl Alarm {
    /// Ready once `due` has come.
    fn poll(&mut self, cx: &mut Context<'_>, clock: &Clock, due: Time) -> Poll<()> {
        if let (Some(sleep), Some(rings_at)) = (&self.sleep, self.rings_at)
            && rings_at <= due
            && !sleep.is_elapsed()
        {
            // The task is woken when it rings.
            return Poll::Pending;
        }
        let instant = tokio::time::Instant::from_std(clock.instant(due));
        let sleep = match &mut self.sleep {
            Some(sleep) => {
                sleep.as_mut().reset(instant);
                sleep
            }
            none => none.insert(Box::pin(tokio::time::sleep_until(instant))),
        };
        self.rings_at = Some(due);
        let ready = sleep.as_mut().poll(cx);
        if ready.is_ready() {
            self.rings_at = None;
        }
        ready
    }
}
