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
    Send { at: Time, to: Recipient, message: MessageBuf },
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
    dropped: u64,
    ended: bool,
}

impl Shared {
    pub(crate) fn new(max_events: usize) -> Self {
        let events = Events { queue: VecDeque::new(), limit: max_events, dropped: 0, ended: false };
        Self {
            requests: Mutex::default(),
            driver: AtomicWaker::new(),
            events: Mutex::new(events),
            reader: AtomicWaker::new(),
        }
    }

    // For handles.

    pub(crate) fn send(&self, at: Time, to: Recipient, message: Message<'_>) -> Result<(), SendError> {
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
            return Err(SendError::Backlog { limit: MAX_WAITING_OCTETS });
        }
        requests.octets += octets;
        requests.queue.push_back(Request::Send { at, to, message: message.to_buf() });
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
        match std::mem::take(&mut events.dropped) {
            0 => {}
            dropped => into.push_back(Event::Overflow { dropped }),
        }
        events.ended
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

    /// Hands events over, emptying `from`; what the user takes too slowly is dropped and counted,
    /// comings and goings apart.
    pub(crate) fn push_events(&self, from: &mut Vec<Event>) {
        if from.is_empty() {
            return;
        }
        let mut events = lock(&self.events);
        for event in from.drain(..) {
            let always = matches!(event, Event::Connected { .. } | Event::Disconnected { .. });
            if always || events.queue.len() < events.limit {
                events.queue.push_back(event);
            } else {
                events.dropped += 1;
            }
        }
        drop(events);
        self.reader.wake();
    }

    /// Whether the user is so far behind that nobody new should be let in.
    pub(crate) fn is_behind(&self) -> bool {
        let events = lock(&self.events);
        events.queue.len() >= events.limit
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
