//! What the driver and the user's handles share: two queues and who is connected.
//!
//! Each queue keeps the waker of whoever waits at its other end beside its contents: one lock
//! serves for both, and nobody is woken who is awake.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use netmidi_message::{Message, MessageBuf};
use netmidi_session::{ClockEstimate, Event, JournalPolicy, ParticipantId, Persistence, Time};
use tokio::sync::{oneshot, watch};

use crate::address::PeerAddress;
use crate::error::SendError;
use crate::event::Peer;
use crate::invitation::{InvitationId, InvitationState};
use crate::route::Route;
use crate::settings::Task;
use crate::stats::Stats;

/// Octets that may wait for the driver, counted as MIDI messages plus a small overhead for each.
const MAX_WAITING_OCTETS: usize = 16 << 20;

/// What a handle asks of the driver.
#[derive(Debug)]
pub(crate) enum Request {
    Send {
        at: Time,
        /// When it is meant to sound, if that is not now.
        due: Option<Time>,
        to: Recipient,
        message: MessageBuf,
    },
    Leave(ParticipantId),
    Journal(ParticipantId, JournalPolicy),
    Stats(oneshot::Sender<Stats>),
    Do(Task),
    Routes(Vec<Route>),
    /// To be told when all that was sent to these has got so far.
    Fence(Vec<ParticipantId>, Until, oneshot::Sender<()>),
    Invite(NewInvitation),
    /// Its name has these addresses.
    Reachable(InvitationId, Vec<SocketAddr>),
    /// Its name has none.
    Unreachable(InvitationId, String),
    Withdraw(InvitationId),
    Close,
}

/// Somebody who is to be invited once it is known where.
#[derive(Debug)]
pub(crate) struct NewInvitation {
    pub(crate) id: InvitationId,
    pub(crate) address: Arc<PeerAddress>,
    pub(crate) persistence: Persistence,
    pub(crate) states: watch::Sender<InvitationState>,
}

/// How far something that was sent is to get.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Until {
    /// Out in packets.
    Gone,
    /// To the receiver, which has told so.
    Acknowledged,
}

/// Who a message is for.
#[derive(Clone, Debug)]
pub(crate) enum Recipient {
    One(ParticipantId),
    All,
    AllBut(ParticipantId),
    /// Those of these who are connected.
    #[cfg(feature = "tcp")]
    Several(Box<[ParticipantId]>),
}

#[derive(Debug)]
pub(crate) struct Shared {
    requests: Mutex<Requests>,
    events: Mutex<Events>,
    /// The name that others see.
    #[cfg(feature = "discovery")]
    announced: Mutex<Option<String>>,
}

#[derive(Debug, Default)]
struct Requests {
    queue: VecDeque<Request>,
    octets: usize,
    connected: BTreeSet<ParticipantId>,
    next_invitation: u64,
    closed: bool,
    /// The user's queue of events has room again, for which the driver waits.
    room: bool,
    /// The driver, while it sleeps.
    driver: Option<Waker>,
}

/// What waits for the user.
#[derive(Debug)]
pub(crate) enum Told {
    Event(Event),
    Connected(ParticipantId, Arc<Peer>),
    /// In a box: it is rare, and would make all others larger.
    Synchronised(ParticipantId, Box<ClockEstimate>),
    Invitation {
        invitation: InvitationId,
        address: Arc<PeerAddress>,
        state: InvitationState,
    },
    /// More of the next kind, for which there was no room.
    NotSentUntold {
        count: u64,
    },
    NotSent {
        to: ParticipantId,
        error: netmidi_session::SendError,
    },
    #[cfg(feature = "discovery")]
    Announced {
        name: String,
    },
    #[cfg(feature = "discovery")]
    NotAnnounced {
        reason: String,
    },
}

#[derive(Debug)]
struct Events {
    queue: VecDeque<Told>,
    limit: usize,
    /// Data octets that wait, and how many may.
    octets: usize,
    octet_limit: usize,
    /// Failures to send that there was no room for.
    dropped: u64,
    /// The driver has more and waits for room.
    driver_waits: bool,
    ended: bool,
    /// The reader, while it waits for an event.
    reader: Option<Waker>,
}

/// What the reader of events found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Taken {
    Some,
    /// The reader is woken when there are more.
    NoneYet,
    /// And there will be none.
    Ended,
}

impl Shared {
    pub(crate) fn new(max_events: usize, max_octets: usize) -> Self {
        Self {
            requests: Mutex::default(),
            events: Mutex::new(Events {
                queue: VecDeque::new(),
                limit: max_events,
                octets: 0,
                octet_limit: max_octets,
                dropped: 0,
                driver_waits: false,
                ended: false,
                reader: None,
            }),
            #[cfg(feature = "discovery")]
            announced: Mutex::default(),
        }
    }

    #[cfg(feature = "discovery")]
    pub(crate) fn announced(&self) -> Option<String> {
        lock(&self.announced).clone()
    }

    // For announcing.

    #[cfg(feature = "discovery")]
    pub(crate) fn set_announced(&self, name: Option<String>) {
        lock(&self.announced).clone_from(&name);
        if let Some(name) = name {
            self.push_if_room(Told::Announced { name });
        }
    }

    /// Something of which there may be more than the user takes, and which can be asked for as well.
    #[cfg(feature = "discovery")]
    pub(crate) fn push_if_room(&self, told: Told) {
        let mut events = self.events();
        if events.has_room() {
            events.push(told);
        }
    }

    // For handles.

    pub(crate) fn send(
        &self,
        at: Time,
        due: Option<Time>,
        to: Recipient,
        message: Message<'_>,
    ) -> Result<(), SendError> {
        let mut requests = lock(&self.requests);
        if requests.closed {
            return Err(SendError::Closed);
        }
        if let Recipient::One(participant) = to
            && !requests.connected.contains(&participant)
        {
            return Err(SendError::NotConnected { participant });
        }
        let octets = cost(&message);
        if requests.octets + octets > MAX_WAITING_OCTETS {
            return Err(SendError::Backlog {
                limit: MAX_WAITING_OCTETS,
            });
        }
        requests.octets += octets;
        requests.queue.push_back(Request::Send {
            at,
            due,
            to,
            message: message.to_buf(),
        });
        wake(requests);
        Ok(())
    }

    pub(crate) fn leave(&self, participant: ParticipantId) -> Result<(), SendError> {
        let mut requests = lock(&self.requests);
        if requests.closed {
            return Err(SendError::Closed);
        }
        // Taken off at once, so that asking twice asks once.
        if !requests.connected.remove(&participant) {
            return Err(SendError::NotConnected { participant });
        }
        requests.queue.push_back(Request::Leave(participant));
        wake(requests);
        Ok(())
    }

    pub(crate) fn set_journal(
        &self,
        participant: ParticipantId,
        policy: JournalPolicy,
    ) -> Result<(), SendError> {
        let mut requests = lock(&self.requests);
        if requests.closed {
            return Err(SendError::Closed);
        }
        if !requests.connected.contains(&participant) {
            return Err(SendError::NotConnected { participant });
        }
        let request = Request::Journal(participant, policy);
        requests.queue.push_back(request);
        wake(requests);
        Ok(())
    }

    pub(crate) fn close(&self) {
        let mut requests = lock(&self.requests);
        if !requests.closed {
            requests.closed = true;
            requests.queue.push_back(Request::Close);
            wake(requests);
        }
    }

    /// A new invitation; `make` is given its name.
    pub(crate) fn invite(
        &self,
        make: impl FnOnce(InvitationId) -> NewInvitation,
    ) -> Result<(), SendError> {
        let mut requests = lock(&self.requests);
        if requests.closed {
            return Err(SendError::Closed);
        }
        let id = InvitationId(requests.next_invitation);
        requests.next_invitation += 1;
        requests.queue.push_back(Request::Invite(make(id)));
        wake(requests);
        Ok(())
    }

    pub(crate) fn reachable(
        &self,
        id: InvitationId,
        addresses: Vec<SocketAddr>,
    ) -> Result<(), SendError> {
        self.ask(Request::Reachable(id, addresses))
    }

    pub(crate) fn unreachable(&self, id: InvitationId, reason: String) -> Result<(), SendError> {
        self.ask(Request::Unreachable(id, reason))
    }

    pub(crate) fn withdraw(&self, id: InvitationId) -> Result<(), SendError> {
        self.ask(Request::Withdraw(id))
    }

    pub(crate) fn ask(&self, request: Request) -> Result<(), SendError> {
        let mut requests = lock(&self.requests);
        if requests.closed {
            return Err(SendError::Closed);
        }
        requests.queue.push_back(request);
        wake(requests);
        Ok(())
    }

    // For the reader of events.

    /// Swaps the waiting events against an empty queue.
    pub(crate) fn take_events(&self, into: &mut VecDeque<Told>, reader: &Waker) -> Taken {
        let mut events = lock(&self.events);
        if events.queue.is_empty() {
            if events.ended {
                return Taken::Ended;
            }
            remember(&mut events.reader, reader);
            return Taken::NoneYet;
        }
        core::mem::swap(&mut events.queue, into);
        events.octets = 0;
        let dropped = core::mem::take(&mut events.dropped);
        let driver_waits = core::mem::take(&mut events.driver_waits);
        drop(events);
        if dropped > 0 {
            into.push_back(Told::NotSentUntold { count: dropped });
        }
        if driver_waits {
            let mut requests = lock(&self.requests);
            requests.room = true;
            wake(requests);
        }
        Taken::Some
    }

    pub(crate) fn set_routes(&self, routes: Vec<Route>) -> Result<(), SendError> {
        self.ask(Request::Routes(routes))
    }

    pub(crate) fn fence(
        &self,
        to: Vec<ParticipantId>,
        until: Until,
        passed: oneshot::Sender<()>,
    ) -> Result<(), SendError> {
        self.ask(Request::Fence(to, until, passed))
    }

    pub(crate) fn ask_stats(&self, answer: oneshot::Sender<Stats>) -> Result<(), SendError> {
        self.ask(Request::Stats(answer))
    }

    // For the driver.

    /// Swaps the waiting requests against an empty queue.
    pub(crate) fn take_requests(&self, into: &mut VecDeque<Request>) {
        let mut requests = lock(&self.requests);
        requests.octets = 0;
        core::mem::swap(&mut requests.queue, into);
    }

    /// The driver wants to be woken for the next request, or for room that it waits for. Returns
    /// whether it may sleep: there is neither yet.
    pub(crate) fn may_sleep(&self, driver: &Waker) -> bool {
        let mut requests = lock(&self.requests);
        let room = core::mem::take(&mut requests.room);
        let may_sleep = requests.queue.is_empty() && !room;
        if may_sleep {
            remember(&mut requests.driver, driver);
        }
        may_sleep
    }

    pub(crate) fn connected(&self, participant: ParticipantId) {
        lock(&self.requests).connected.insert(participant);
    }

    pub(crate) fn disconnected(&self, participant: ParticipantId) {
        lock(&self.requests).connected.remove(&participant);
    }

    /// The user's queue of events, to be filled.
    pub(crate) fn events(&self) -> EventQueue<'_> {
        EventQueue(Some(lock(&self.events)))
    }

    /// A message could not be sent: tells the user, or counts it where there is no room to.
    pub(crate) fn push_failure(&self, to: ParticipantId, error: netmidi_session::SendError) {
        self.events().push_failure(to, error);
    }

    /// Something of which the session knows nothing; there is little of it.
    pub(crate) fn push_told(&self, told: Told) {
        self.events().push(told);
    }

    /// No more events will come, no more requests are heard.
    pub(crate) fn end(&self) {
        let mut requests = lock(&self.requests);
        requests.closed = true;
        requests.queue.clear();
        requests.connected.clear();
        drop(requests);
        let mut events = lock(&self.events);
        events.ended = true;
        let reader = events.reader.take();
        drop(events);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// The user's queue of events, locked. The user is woken when it is let go.
pub(crate) struct EventQueue<'a>(Option<MutexGuard<'a, Events>>);

impl EventQueue<'_> {
    /// Whether there is room for one more. If not, the driver is woken once there is.
    pub(crate) fn has_room(&mut self) -> bool {
        self.0.as_mut().is_some_and(|events| {
            let room = events.queue.len() < events.limit && events.octets < events.octet_limit;
            events.driver_waits |= !room;
            room
        })
    }

    /// A message could not be sent: tells the user, or counts it where there is no room to.
    pub(crate) fn push_failure(&mut self, to: ParticipantId, error: netmidi_session::SendError) {
        if self.has_room() {
            self.push(Told::NotSent { to, error });
        } else if let Some(events) = &mut self.0 {
            events.dropped += 1;
        }
    }

    pub(crate) fn push(&mut self, told: Told) {
        if let Some(events) = &mut self.0 {
            if let Told::Event(event) = &told {
                events.octets += event.data_octets();
            }
            events.queue.push_back(told);
        }
    }
}

impl Drop for EventQueue<'_> {
    fn drop(&mut self) {
        let Some(mut events) = self.0.take() else {
            return;
        };
        if events.queue.is_empty() {
            return;
        }
        let reader = events.reader.take();
        drop(events);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// Wakes the driver if it sleeps, after letting go of the lock.
fn wake(mut requests: MutexGuard<'_, Requests>) {
    let driver = requests.driver.take();
    drop(requests);
    if let Some(driver) = driver {
        driver.wake();
    }
}

/// Keeps a waker, unless the one that is kept wakes the same task.
fn remember(kept: &mut Option<Waker>, waker: &Waker) {
    if !kept.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
        *kept = Some(waker.clone());
    }
}

fn cost(message: &Message<'_>) -> usize {
    message.encoded_len() + size_of::<Request>()
}

/// Nothing panics while it holds one of these locks, so what a poisoned one holds is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
