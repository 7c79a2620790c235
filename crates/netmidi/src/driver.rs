//! The one task that owns the session, its sockets and its clock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use netmidi_message::Message;
use netmidi_session::{
    Event, InviteeId, InviteeState, Outgoing, ParticipantId, Persistence, SendError, Session,
    Target, Time, Transmit,
};
use tokio::sync::{oneshot, watch};
use tokio::time::Sleep;

use crate::address::PeerAddress;
use crate::burst::Burst;
use crate::clock::Clock;
use crate::event::Peer;
use crate::invitation::{InvitationId, InvitationState};
use crate::route::{Route, Router, Routes};
use crate::settings::Task;
use crate::shared::{EventQueue, NewInvitation, Recipient, Request, Shared, Told, Until};
use crate::sockets::Sockets;
use crate::stats::Stats;

/// Octets read of one datagram: more than any UDP payload has.
const DATAGRAM: usize = 65_535;
/// Datagrams taken, or sent, before others get their turn.
const BATCH: usize = 64;
/// How long to wait when a socket has no room, or fails: a gigabit link takes 60 kB in this time.
const RETRY: Duration = Duration::from_micros(500);
/// How often a datagram is tried that finds no room, before it is given up: for two seconds.
const TRIES: u32 = 4000;

pub(crate) struct Driver {
    session: Session,
    sockets: Sockets,
    clock: Clock,
    shared: Arc<Shared>,
    known: Known,
    /// What is passed on between peers.
    router: Router<Routes>,
    requests: VecDeque<Request>,
    /// An event that the user's queue has no room for.
    held: Option<Event>,
    /// How many datagrams of which the user hears are taken at once.
    burst: Burst,
    /// Where datagrams are read to.
    incoming: Box<[u8]>,
    /// The datagram being sent.
    outgoing: Vec<u8>,
    /// Where it goes, and how often it was tried, while its socket has no room for it.
    blocked: Option<(Transmit, u32)>,
    /// When to try again what did not work.
    retry_at: Option<Time>,
    /// The session may have more to send.
    unsent: bool,
    /// Those who wait until what they sent has gone out.
    fences: Vec<Fence>,
    alarm: Alarm,
    /// Dropped when the endpoint is closed: what ends with it notices.
    #[cfg(feature = "discovery")]
    open: Option<oneshot::Sender<()>>,
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
        routes: Vec<Route>,
    ) -> Self {
        Self {
            session,
            sockets,
            clock,
            _end: EndOnDrop(Arc::clone(&shared)),
            shared,
            known: Known::default(),
            router: Router::new(routes.into()),
            requests: VecDeque::new(),
            held: None,
            burst: Burst::new(),
            incoming: vec![0; DATAGRAM].into_boxed_slice(),
            outgoing: Vec::new(),
            blocked: None,
            retry_at: None,
            unsent: false,
            fences: Vec::new(),
            alarm: Alarm::default(),
            #[cfg(feature = "discovery")]
            open: None,
        }
    }

    /// Drops this when the endpoint is closed.
    #[cfg(feature = "discovery")]
    pub(crate) fn ends_with(&mut self, open: oneshot::Sender<()>) {
        self.open = Some(open);
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
        if let Some(due) = self.due()
            && self.alarm.poll(cx, &self.clock, due).is_ready()
        {
            self.retry_at = None;
            self.session.handle_timeout(self.clock.now());
            self.drain(cx);
            // The next deadline is not armed yet.
            cx.waker().wake_by_ref();
        }
        if self.session.is_finished() && self.blocked.is_none() && !self.unsent {
            // What the session still holds is bounded, and there is no later.
            self.hand_over_all();
            return Poll::Ready(());
        }
        if again || !self.shared.may_sleep(cx.waker()) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// When to be woken at the latest.
    fn due(&self) -> Option<Time> {
        match (self.session.poll_timeout(), self.retry_at) {
            (Some(due), Some(retry)) => Some(due.min(retry)),
            (due, retry) => due.or(retry),
        }
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
                    return false;
                }
                Poll::Ready(Err(error)) => {
                    // An ICMP error of an earlier datagram, or a passing shortage.
                    tracing::debug!(%error, "receiving failed");
                    self.retry_at = Some(self.clock.now() + RETRY);
                    self.sockets.pass_turn();
                    return false;
                }
                Poll::Ready(Ok((len, local, from))) => {
                    let octets = self.incoming.get(..len).unwrap_or_default();
                    let now = self.clock.now();
                    self.session.handle_datagram(now, local, from, octets);
                    if self.drain(cx) {
                        told += 1;
                        if told >= self.burst.size() {
                            self.burst.was_full();
                            return true;
                        }
                    }
                }
            }
        }
        // A flood on one socket must not hold up the others.
        self.sockets.pass_turn();
        true
    }

    fn take_requests(&mut self) {
        self.shared.take_requests(&mut self.requests);
        while let Some(request) = self.requests.pop_front() {
            match request {
                Request::Send {
                    at,
                    due,
                    to,
                    message,
                } => self.send(at, due, to, message.as_message()),
                Request::Do(Task(task)) => task(&mut self.session, self.clock.now()),
                Request::Leave(participant) => {
                    // It may have left by itself in the meantime.
                    let _ = self.session.leave(self.clock.now(), participant);
                }
                Request::Journal(participant, policy) => {
                    // The same.
                    let _ = self
                        .session
                        .set_journal_policy(self.clock.now(), participant, policy);
                }
                Request::Stats(answer) => {
                    // Nobody waits for it any more: then it is of no use.
                    let _ = answer.send(Stats::of(&self.session, self.router.stats()));
                }
                Request::Fence(to, until, passed) => self.set_fence(&to, until, passed),
                Request::Routes(routes) => self.set_routes(routes),
                Request::Invite(new) => self.known.invitations.add(new),
                Request::Reachable(id, addresses) => self.invite(id, &addresses),
                Request::Unreachable(id, reason) => self.unreachable(id, reason),
                Request::Withdraw(id) => self.withdraw(id),
                Request::Close => {
                    #[cfg(feature = "discovery")]
                    drop(self.open.take());
                    self.session.close(self.clock.now());
                }
            }
        }
    }

    fn send(&mut self, at: Time, due: Option<Time>, to: Recipient, message: Message<'_>) {
        let Self {
            session,
            known: Known { connected, .. },
            shared,
            ..
        } = self;
        let due = due.unwrap_or(at);
        let mut send_one = |to: ParticipantId| match session.send_at(at, due, to, message) {
            // Gone in the meantime: the user is about to hear of it.
            Ok(()) | Err(SendError::UnknownParticipant { .. }) => {}
            Err(error) => shared.push_failure(to, error),
        };
        match to {
            Recipient::One(id) => send_one(id),
            Recipient::All => connected.iter().for_each(|id| send_one(*id)),
            #[cfg(feature = "tcp")]
            Recipient::Several(ids) => ids.iter().for_each(|id| send_one(*id)),
            Recipient::AllBut(but) => {
                connected
                    .iter()
                    .filter(|id| **id != but)
                    .for_each(|id| send_one(*id));
            }
        }
    }

    fn invite(&mut self, id: InvitationId, addresses: &[SocketAddr]) {
        let Self {
            session,
            sockets,
            clock,
            known: Known { invitations, .. },
            ..
        } = self;
        let Some(invitation) = invitations.all.get_mut(&id) else {
            return;
        };
        let targets: Vec<Target> = addresses
            .iter()
            .filter_map(|address| Some(Target::new(*address)?.from(sockets.pair_for(*address)?)))
            .collect();
        if targets.is_empty() {
            let reason = match addresses.first() {
                Some(address) if address.is_ipv4() => {
                    "it has an IPv4 address only, and no port here is open for IPv4; listen on one"
                }
                _ => {
                    "it has an IPv6 address only, and no port here is open for IPv6; listen on one"
                }
            };
            return self.unreachable(id, reason.to_owned());
        }
        let now = clock.now();
        let result = match invitation.invitee {
            Some(invitee) => session.readdress(now, invitee, &targets).map(|()| invitee),
            None => session.invite(now, &targets, invitation.persistence),
        };
        match result {
            Ok(invitee) => {
                if invitation.invitee.replace(invitee).is_none() {
                    invitations.by_invitee.insert(invitee, id);
                    self.tell_invitation(id, InvitationState::Asking);
                }
            }
            Err(error) => self.unreachable(id, error.to_string()),
        }
    }

    fn unreachable(&mut self, id: InvitationId, reason: String) {
        let Some(invitation) = self.known.invitations.all.get(&id) else {
            return;
        };
        if invitation.invitee.is_some() {
            // The addresses that it had are asked on.
            tracing::debug!(%id, reason, "no new address");
            return;
        }
        let once = invitation.persistence == Persistence::Once;
        let reason = reason.into();
        self.tell_invitation(id, InvitationState::Unreachable { reason });
        if once {
            self.tell_invitation(id, InvitationState::Ended);
        }
    }

    fn withdraw(&mut self, id: InvitationId) {
        let Some(invitation) = self.known.invitations.all.get(&id) else {
            return;
        };
        match invitation.invitee {
            // It tells of its end itself.
            Some(invitee) => {
                let withdrawn = self.session.withdraw(self.clock.now(), invitee);
                debug_assert!(withdrawn.is_ok(), "an invitation outlived its invitee");
            }
            None => self.tell_invitation(id, InvitationState::Ended),
        }
    }

    /// An invitation has got somewhere, which the session knows nothing of.
    fn tell_invitation(&mut self, id: InvitationId, state: InvitationState) {
        if let Some(told) = self.known.invitations.tell(id, state) {
            self.shared.push_told(told);
        }
    }

    /// Empties the session after an input: transmits, then events, and what is passed on of them.
    /// Returns whether there were any for the user.
    fn drain(&mut self, cx: &mut Context<'_>) -> bool {
        self.transmit(cx);
        let (told, forwarded) = self.hand_over();
        if forwarded || self.pay() {
            self.transmit(cx);
        }
        if !self.fences.is_empty() {
            let session = &self.session;
            self.fences.retain_mut(|fence| !fence.is_passed(session));
        }
        told
    }

    /// Somebody wants to know when all that has been sent to these peers so far has got so far.
    fn set_fence(&mut self, to: &[ParticipantId], until: Until, passed: oneshot::Sender<()>) {
        let marks = to
            .iter()
            .filter_map(|id| {
                let accepted = self.session.outgoing(*id)?.accepted;
                Some((*id, Mark::Gone { accepted, until }))
            })
            .collect();
        self.fences.push(Fence {
            marks,
            passed: Some(passed),
        });
    }

    fn set_routes(&mut self, routes: Vec<Route>) {
        let Self {
            session,
            clock,
            shared,
            router,
            ..
        } = self;
        let now = clock.now();
        let mut queue = shared.events();
        router.set_routes(routes.into(), &mut |to, message| {
            send_on(session, now, &mut queue, to, message)
        });
    }

    /// Notes that are to be ended at a receiver that had no room before.
    fn pay(&mut self) -> bool {
        let Self {
            session,
            clock,
            router,
            ..
        } = self;
        if !router.owes() {
            return false;
        }
        let now = clock.now();
        // That there was no room has been told.
        router.pay(&mut |to, message| {
            !matches!(
                session.send(now, to, message),
                Err(SendError::QueueFull { .. })
            )
        })
    }

    fn transmit(&mut self, cx: &mut Context<'_>) {
        self.unsent = false;
        for _ in 0..BATCH {
            let next = self.blocked.take().or_else(|| {
                self.session
                    .poll_transmit(&mut self.outgoing)
                    .map(|transmit| (transmit, 0))
            });
            let Some((transmit, tries)) = next else {
                return;
            };
            match self
                .sockets
                .send(transmit.from, transmit.to, &self.outgoing)
            {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && tries < TRIES => {
                    self.blocked = Some((transmit, tries + 1));
                    self.retry_at = Some(self.clock.now() + RETRY);
                    return;
                }
                Err(error) => {
                    tracing::debug!(to = %transmit.to, %error, "a datagram could not be sent");
                }
            }
        }
        // A long dump for many peers: clocks are answered and tasks run in between. The runtime
        // looks at its sockets before it goes on, as it would not after a plain wake.
        self.unsent = true;
        let _ = pin!(tokio::task::yield_now()).poll(cx);
    }

    /// Passes events on as long as the user takes them. When they do not, events stay in the
    /// session, which bounds them and lets nobody new in. Returns whether there were any, and whether
    /// something was passed on to other peers.
    fn hand_over(&mut self) -> (bool, bool) {
        let Some(mut event) = self.held.take().or_else(|| self.session.poll_event()) else {
            return (false, false);
        };
        let Self {
            session,
            clock,
            shared,
            known,
            router,
            held,
            ..
        } = self;
        let mut queue = shared.events();
        let (mut any, mut forwarded) = (false, false);
        // The same for all that is passed on, so that what came in one packet leaves in one.
        let mut now = None;
        let mut now = || *now.get_or_insert_with(|| clock.now());
        while queue.has_room() {
            forwarded |= pass_on(router, session, &mut now, &mut queue, &event);
            if let Some(told) = known.told(event, session, shared) {
                if let Told::Connected(_, peer) = &told {
                    router.joined(peer.id, Arc::clone(peer));
                }
                queue.push(told);
                any = true;
            }
            match session.poll_event() {
                Some(next) => event = next,
                None => return (any, forwarded),
            }
        }
        *held = Some(event);
        (any, forwarded)
    }

    /// Passes on what is left, room or not.
    fn hand_over_all(&mut self) {
        let mut queue = self.shared.events();
        while let Some(event) = self.held.take().or_else(|| self.session.poll_event()) {
            if let Some(told) = self.known.told(event, &self.session, &self.shared) {
                queue.push(told);
            }
        }
    }
}

/// Passes on to other peers what an event brings. Returns whether that was anything.
fn pass_on(
    router: &mut Router<Routes>,
    session: &mut Session,
    now: &mut impl FnMut() -> Time,
    queue: &mut EventQueue<'_>,
    event: &Event,
) -> bool {
    let mut any = false;
    let mut send = |to, message: Message<'_>| {
        any = true;
        send_on(session, now(), queue, to, message)
    };
    match event {
        Event::Message {
            participant,
            message,
            ..
        } => router.forward(*participant, message.as_message(), &mut send),
        Event::Left { participant, .. } => router.left(*participant, &mut send),
        _ => {}
    }
    any
}

/// Sends what is passed on. Returns whether the receiver had room for it; if not, the user is told.
fn send_on(
    session: &mut Session,
    now: Time,
    queue: &mut EventQueue<'_>,
    to: ParticipantId,
    message: Message<'_>,
) -> bool {
    match session.send(now, to, message) {
        // Gone in the meantime: then it is all the same.
        Ok(()) | Err(SendError::UnknownParticipant { .. }) => true,
        Err(error) => {
            queue.push_failure(to, error);
            false
        }
    }
}

/// Somebody who waits until what was sent before has gone out, or has arrived.
struct Fence {
    marks: Vec<(ParticipantId, Mark)>,
    passed: Option<oneshot::Sender<()>>,
}

/// What is waited for at one receiver.
#[derive(Clone, Copy)]
enum Mark {
    /// That so much is gone of all that is ever sent to it, and perhaps more.
    Gone { accepted: u64, until: Until },
    /// That it has told to have so many packets.
    Acknowledged { packets: u64 },
}

impl Mark {
    /// Whether there is nothing to wait for any more.
    fn is_passed(&mut self, outgoing: Outgoing) -> bool {
        if let Self::Gone { accepted, until } = *self {
            if outgoing.gone() < accepted {
                return false;
            }
            if until == Until::Gone {
                return true;
            }
            let packets = outgoing.packets;
            *self = Self::Acknowledged { packets };
        }
        matches!(*self, Self::Acknowledged { packets } if outgoing.acknowledged >= packets)
    }
}

impl Fence {
    /// Whether nobody waits any more; tells him.
    fn is_passed(&mut self, session: &Session) -> bool {
        self.marks.retain_mut(|(id, mark)| {
            // Who has left gets nothing more.
            let outgoing = session.outgoing(*id);
            outgoing.is_some_and(|outgoing| !mark.is_passed(outgoing))
        });
        if self.marks.is_empty()
            && let Some(passed) = self.passed.take()
        {
            // Or it has stopped waiting.
            let _ = passed.send(());
        }
        self.passed.as_ref().is_none_or(oneshot::Sender::is_closed)
    }
}

/// Whom the user knows, and those that are invited.
#[derive(Default)]
struct Known {
    /// Those of whom the user has heard that they are connected.
    connected: BTreeSet<ParticipantId>,
    invitations: Invitations,
}

impl Known {
    /// What the user is told of an event; keeps count of who is connected, as far as the user has
    /// heard.
    fn told(&mut self, event: Event, session: &Session, shared: &Shared) -> Option<Told> {
        match event {
            Event::Joined {
                participant: id,
                peer,
            } => {
                self.connected.insert(id);
                shared.connected(id);
                let peer = *peer;
                let invitation = peer
                    .invitee
                    .and_then(|invitee| self.invitations.by_invitee.get(&invitee).copied());
                let peer = Arc::new(Peer {
                    id,
                    name: peer.name,
                    ssrc: peer.ssrc,
                    control: peer.control,
                    data: peer.data,
                    role: peer.role,
                    invitation,
                });
                if let Some(invitation) = invitation {
                    let peer = Arc::clone(&peer);
                    let state = InvitationState::Connected { peer };
                    // `Connected` tells it.
                    let _ = self.invitations.tell(invitation, state);
                }
                Some(Told::Connected(id, peer))
            }
            Event::Invitee { invitee, state } => {
                let id = self.invitations.by_invitee.get(&invitee).copied()?;
                if state == InviteeState::Ended {
                    self.invitations.by_invitee.remove(&invitee);
                }
                self.invitations.tell(id, InvitationState::of(state)?)
            }
            Event::Left { participant, .. } => {
                self.connected.remove(&participant);
                shared.disconnected(participant);
                Some(Told::Event(event))
            }
            Event::Synchronised { participant } => {
                let clock = session.participant_clock(participant)?;
                Some(Told::Synchronised(participant, Box::new(clock)))
            }
            other => Some(Told::Event(other)),
        }
    }
}

/// The invitations of an endpoint, by their names and by those that the session gave them.
#[derive(Default)]
struct Invitations {
    all: BTreeMap<InvitationId, Inviting>,
    by_invitee: BTreeMap<InviteeId, InvitationId>,
}

struct Inviting {
    address: Arc<PeerAddress>,
    persistence: Persistence,
    states: watch::Sender<InvitationState>,
    /// Once it is known where to ask.
    invitee: Option<InviteeId>,
}

impl Invitations {
    fn add(&mut self, new: NewInvitation) {
        let NewInvitation {
            id,
            address,
            persistence,
            states,
        } = new;
        let inviting = Inviting {
            address,
            persistence,
            states,
            invitee: None,
        };
        self.all.insert(id, inviting);
    }

    /// Tells those who watch an invitation, and gives what the user is told. One that has ended is
    /// forgotten.
    fn tell(&mut self, id: InvitationId, state: InvitationState) -> Option<Told> {
        let inviting = self.all.get(&id)?;
        let address = Arc::clone(&inviting.address);
        let ended = state == InvitationState::Ended;
        let news = inviting.states.send_if_modified(|told| {
            let news = *told != state;
            // Why it ended says more than that it did.
            if news && !(ended && told.is_failure()) {
                told.clone_from(&state);
                return true;
            }
            false
        });
        if ended {
            self.all.remove(&id);
        }
        (news || ended).then_some(Told::Invitation {
            invitation: id,
            address,
            state,
        })
    }
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
            // Set already, and not rung yet: the task is woken when it does.
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
        // Outside the runtime's budget: a deadline that has come is not to wait for the next turn.
        let ready = pin!(tokio::task::coop::unconstrained(sleep.as_mut())).poll(cx);
        if ready.is_ready() {
            self.rings_at = None;
        }
        ready
    }
}
