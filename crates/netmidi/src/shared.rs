//! What the driver and the user's handles share: two queues and who is connected.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::task::AtomicWaker;
use netmidi_message::{Message, MessageBuf};
use netmidi_session::{ParticipantId, Time};

use crate::error::SendError;
use crate::event::Event;

/// Octets that may wait for the driver, counted as MIDI messages plus a small overhead for each.
const MAX_WAITING_OCTETS: usize = 16 << 20;

/// What a handle asks of the driver.
#[derive(Debug)]
pub(crate) enum Request {
    Send {
        at: Time,
        to: Recipient,
        message: MessageBuf,
    },
    Leave(ParticipantId),
    Close,
}

/// Who a message is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Recipient {
    One(ParticipantId),
    All,
    AllBut(ParticipantId),
}

#[derive(Debug)]
pub(crate) struct Shared {
    requests: Mutex<Requests>,
    /// Wakes the driver when there is a request.
    driver: AtomicWaker,
    events: Mutex<Events>,
    /// Wakes the reader of events.
    reader: AtomicWaker,
}

#[derive(Debug, Default)]
struct Requests {
    queue: VecDeque<Request>,
    octets: usize,
    connected: BTreeSet<ParticipantId>,
    closed: bool,
}

#[derive(Debug)]
struct Events {
    queue: VecDeque<Event>,
    limit: usize,
    /// The driver has more and waits for room.
    driver_waits: bool,
    ended: bool,
}

impl Shared {
    pub(crate) fn new(max_events: usize) -> Self {
        let events = Events {
            queue: VecDeque::new(),
            limit: max_events,
            driver_waits: false,
            ended: false,
        };
        Self {
            requests: Mutex::default(),
            driver: AtomicWaker::new(),
            events: Mutex::new(events),
            reader: AtomicWaker::new(),
        }
    }

    // For handles.

    pub(crate) fn send(
        &self,
        at: Time,
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
            to,
            message: message.to_buf(),
        });
        drop(requests);
        self.driver.wake();
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
        drop(requests);
        self.driver.wake();
        Ok(())
    }

    pub(crate) fn close(&self) {
        let mut requests = lock(&self.requests);
        if !requests.closed {
            requests.closed = true;
            requests.queue.push_back(Request::Close);
            drop(requests);
            self.driver.wake();
        }
    }

    // For the reader of events.

    pub(crate) fn register_reader(&self, waker: &std::task::Waker) {
        self.reader.register(waker);
    }

    /// Swaps the waiting events against an empty queue. Returns whether no more will come.
    pub(crate) fn take_events(&self, into: &mut VecDeque<Event>) -> bool {
        let mut events = lock(&self.events);
        std::mem::swap(&mut events.queue, into);
        let ended = events.ended;
        let driver_waits = std::mem::take(&mut events.driver_waits);
        drop(events);
        if driver_waits {
            self.driver.wake();
        }
        ended
    }

    // For the driver.

    pub(crate) fn register_driver(&self, waker: &std::task::Waker) {
        self.driver.register(waker);
    }

    /// Swaps the waiting requests against an empty queue.
    pub(crate) fn take_requests(&self, into: &mut VecDeque<Request>) {
        let mut requests = lock(&self.requests);
        requests.octets = 0;
        std::mem::swap(&mut requests.queue, into);
    }

    pub(crate) fn connected(&self, participant: ParticipantId) {
        lock(&self.requests).connected.insert(participant);
    }

    pub(crate) fn disconnected(&self, participant: ParticipantId) {
        lock(&self.requests).connected.remove(&participant);
    }

    /// How many events the user's queue has room for. When there is none, the driver is woken once
    /// there is.
    pub(crate) fn room_for_events(&self) -> usize {
        let mut events = lock(&self.events);
        let room = events.limit.saturating_sub(events.queue.len());
        events.driver_waits = room == 0;
        room
    }

    /// Hands events over, emptying `from`.
    pub(crate) fn push_events(&self, from: &mut Vec<Event>) {
        if from.is_empty() {
            return;
        }
        lock(&self.events).queue.extend(from.drain(..));
        self.reader.wake();
    }

    /// No more events will come, no more requests are heard.
    pub(crate) fn end(&self) {
        let mut requests = lock(&self.requests);
        requests.closed = true;
        requests.queue.clear();
        requests.connected.clear();
        drop(requests);
        lock(&self.events).ended = true;
        self.reader.wake();
    }
}

fn cost(message: &Message<'_>) -> usize {
    message.encoded_len() + size_of::<Request>()
}

/// Nothing panics while it holds one of these locks, so what a poisoned one holds is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
