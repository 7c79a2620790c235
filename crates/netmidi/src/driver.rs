//! The one task that owns the session, its sockets and its clock.

use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use netmidi_message::Message;
use netmidi_session::{Event as Core, ParticipantId, Session, Time, Transmit};
use tokio::time::Sleep;

use crate::clock::Clock;
use crate::event::{Event, Peer};
use crate::shared::{Recipient, Request, Shared};
use crate::sockets::Sockets;

/// Octets read of one datagram: more than any UDP payload has.
const DATAGRAM: usize = 65_535;
/// Datagrams taken, or sent, before others get their turn.
const BATCH: usize = 64;

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
    /// Where datagrams are read to.
    incoming: Box<[u8]>,
    /// The datagram being sent.
    outgoing: Vec<u8>,
    /// Where it goes, while its socket has no room for it.
    blocked: Option<Transmit>,
    /// The session may have more to send.
    unsent: bool,
    /// Failures to send that the user's queue had no room for.
    untold: u64,
    alarm: Alarm,
    /// Last: the ports are free again when the user hears of the end.
    _end: EndOnDrop,
}

/// Tells the user that the driver is gone, even when it panicked or its runtime was shut down.
struct EndOnDrop(Arc<Shared>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
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
            _end: EndOnDrop(Arc::clone(&shared)),
            shared,
            peers: BTreeMap::new(),
            requests: VecDeque::new(),
            events: Vec::new(),
            room: 0,
            incoming: vec![0; DATAGRAM].into_boxed_slice(),
            outgoing: Vec::new(),
            blocked: None,
            unsent: false,
            untold: 0,
            alarm: Alarm::default(),
        }
    }

    /// Runs until the endpoint is closed and every peer has been told.
    pub(crate) async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // What the user sent goes out before anything new is read.
        self.take_requests();
        self.drain(cx);
        let again = self.receive(cx);
        if let Some(due) = self.session.poll_timeout()
            && self.alarm.poll(cx, &self.clock, due).is_ready()
        {
            self.session.handle_timeout(self.clock.now());
            self.drain(cx);
            // The next deadline is not armed yet.
            cx.waker().wake_by_ref();
        }
        if self.session.is_finished() && self.blocked.is_none() && !self.unsent {
            // What the session still holds is bounded, and there is no later.
            self.room = usize::MAX;
            self.hand_over();
            return Poll::Ready(());
        }
        if again || !self.shared.may_sleep(cx.waker()) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Takes what has come in. Returns whether there may be more.
    ///
    /// Stops after a datagram that the user hears of: the user's tasks run next, and what they
    /// answer is sent before the sockets are asked again. Where the peer answers at once, that
    /// finds its next datagram without a wait, as in a plain loop of receiving and sending.
    fn receive(&mut self, cx: &mut Context<'_>) -> bool {
        for _ in 0..BATCH {
            match self.sockets.poll_recv(cx, &mut self.incoming) {
                Poll::Pending => return false,
                Poll::Ready(Err(error)) => {
                    // An ICMP error of an earlier datagram, or a passing shortage.
                    tracing::debug!(%error, "receiving failed");
                }
                Poll::Ready(Ok((len, local, from))) => {
                    let now = self.clock.now();
                    let octets = self.incoming.get(..len).unwrap_or_default();
                    self.session.handle_datagram(now, local, from, octets);
                    if self.drain(cx) {
                        return true;
                    }
                }
            }
        }
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
            room,
            shared,
            untold,
            ..
        } = self;
        let mut send_one = |id: ParticipantId, peer: &Arc<Peer>| {
            let Err(error) = session.send(at, id, message) else {
                return;
            };
            if events.len() >= *room {
                *room = shared.room_for_events();
            }
            if events.len() < *room {
                events.push(Event::NotSent {
                    peer: Arc::clone(peer),
                    error,
                });
            } else {
                *untold += 1;
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

    /// Empties the session after an input: transmits, then events. Returns whether there were any
    /// for the user.
    fn drain(&mut self, cx: &mut Context<'_>) -> bool {
        self.transmit(cx);
        self.hand_over()
    }

    fn transmit(&mut self, cx: &mut Context<'_>) {
        self.unsent = false;
        for _ in 0..BATCH {
            let Some(transmit) = self
                .blocked
                .take()
                .or_else(|| self.session.poll_transmit(&mut self.outgoing))
            else {
                return;
            };
            match self
                .sockets
                .poll_send(cx, transmit.from, transmit.to, &self.outgoing)
            {
                Poll::Pending => {
                    self.blocked = Some(transmit);
                    return;
                }
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => log_lost_datagram(&error, transmit),
            }
        }
        // A long dump for many peers: clocks are answered and tasks run in between. The runtime
        // looks at its sockets before it goes on, as it would not after a plain wake.
        self.unsent = true;
        let _ = pin!(tokio::task::yield_now()).poll(cx);
    }

    /// Passes events on as long as the user takes them. When they do not, events stay in the
    /// session, which bounds them and lets nobody new in. Returns whether there were any.
    fn hand_over(&mut self) -> bool {
        let mut any = false;
        // Until the session has no more, or there is no room: only then is the driver woken for
        // the rest.
        loop {
            if self.room == 0 {
                self.room = self.shared.room_for_events();
            }
            if self.room > 0 && self.untold > 0 {
                let dropped = core::mem::take(&mut self.untold);
                self.events.push(Event::Overflow { dropped });
            }
            let mut more = true;
            while more && self.events.len() < self.room {
                match self.session.poll_event() {
                    Some(event) => {
                        let event = self.translate(event);
                        self.events.extend(event);
                    }
                    None => more = false,
                }
            }
            let full = self.room == 0;
            if !self.events.is_empty() {
                any = true;
                self.room = self.room.saturating_sub(self.events.len());
                self.shared.push_events(&mut self.events);
            }
            if full || !more {
                return any;
            }
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
        // Set already, and not rung yet: the task is woken when it does.
        if let (Some(sleep), Some(rings_at)) = (&self.sleep, self.rings_at)
            && rings_at <= due
            && !sleep.is_elapsed()
        {
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
        // Not held up by the runtime's budget: it must be set when this returns.
        let ready = pin!(tokio::task::unconstrained(sleep.as_mut())).poll(cx);
        if ready.is_ready() {
            self.rings_at = None;
        }
        ready
    }
}
