//! A reader of what comes, changes and goes.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;

use futures::Stream;

use crate::session::Session;
use crate::shared::Shared;
use crate::watch::{Event, Watch};

/// The sessions in the network as a stream of [`Event`]s. It ends when discovery has failed.
///
/// A slow reader gets the present state: of several changes to one session only the last one, and
/// nothing of one that came and went meanwhile.
pub struct Browser {
    shared: Arc<Shared>,
    id: u64,
}

impl Browser {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let mut engine = shared.lock();
        let id = engine.new_id();
        let watch = Watch::new(&engine.directory);
        engine.watches.insert(id, watch);
        drop(engine);
        Self { shared, id }
    }

    /// The sessions that are known at the moment, by name. The stream is not affected.
    #[must_use]
    pub fn sessions(&self) -> Vec<Session> {
        self.shared.lock().directory.sessions()
    }

    pub(crate) fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut engine = self.shared.lock();
        let engine = &mut *engine;
        let Some(watch) = engine.watches.get_mut(&self.id) else {
            return Poll::Ready(None);
        };
        if let Some(event) = watch.next(&engine.directory) {
            return Poll::Ready(Some(event));
        }
        if engine.ended {
            return Poll::Ready(None);
        }
        watch.wake_later(context.waker());
        Poll::Pending
    }
}

impl Stream for Browser {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll_event(context)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.shared.lock().watches.remove(&self.id);
    }
}

impl fmt::Debug for Browser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Browser").finish_non_exhaustive()
    }
}
