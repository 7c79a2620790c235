//! One session of ours that peers can see.

use core::fmt;
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use futures::Stream;
use futures::future::{Either, select};

use crate::error::Error;
use crate::shared::{Alarm, GOODBYE, Shared};

/// The goodbye is sent a second time after 120 ms, as the first may be lost.
const SECOND_GOODBYE: Duration = Duration::from_millis(150);

/// What became of an announcement.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum AnnouncementEvent {
    /// Peers see the session under the name that was asked for.
    Announced {
        /// That name.
        name: String,
    },
    /// Peers see the session under another name. Tell the user: who looks for `wanted` does not
    /// find it, or finds another session.
    Renamed {
        /// The name that was asked for.
        wanted: String,
        /// The name that it has.
        name: String,
        /// Why it is another one.
        reason: RenameReason,
    },
}

/// Why a session is announced under another name than the one asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RenameReason {
    /// Somebody else has the name. A number is appended: "Piano (2)".
    Taken,
    /// The name has a dot or a backslash, which the multicast DNS library cannot serve: "No.1" is
    /// announced as "No-1".
    Dot,
}

impl AnnouncementEvent {
    /// The name that peers see.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Announced { name } | Self::Renamed { name, .. } => name,
        }
    }
}

/// A session that is announced until this is dropped or [withdrawn](Self::withdraw).
///
/// As a stream it gives an [`AnnouncementEvent`] when the session can be seen for the first time,
/// and whenever its name changes; a slow reader gets the last one. The stream ends when discovery
/// has failed.
///
/// Dropping it says goodbye, and waits up to half a second for that to be sent. Usually it takes a
/// millisecond; in async code [`withdraw`](Self::withdraw) waits without blocking the thread.
#[must_use = "the announcement ends when this is dropped"]
pub struct Announcement {
    shared: Arc<Shared>,
    id: u64,
}

impl Announcement {
    pub(crate) fn new(shared: Arc<Shared>, id: u64) -> Self {
        Self { shared, id }
    }

    /// The name that peers see; none before they see it. It stays the last one while the name is
    /// being changed.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        self.shared.lock().own.get(&self.id)?.announced.clone()
    }

    /// Waits until peers see the session, and gives the name that they see.
    ///
    /// That is 1 to 4 s after the announcement was made; longer as long as no interface is up.
    ///
    /// # Errors
    ///
    /// [`Error::Ended`].
    pub async fn announced(&mut self) -> Result<String, Error> {
        poll_fn(|context| {
            let mut engine = self.shared.lock();
            let ended = engine.ended;
            match engine.own.get_mut(&self.id) {
                Some(own) if !ended => match &own.announced {
                    Some(name) => Poll::Ready(Ok(name.clone())),
                    None => {
                        own.waker = Some(context.waker().clone());
                        Poll::Pending
                    }
                },
                _ => Poll::Ready(Err(Error::Ended)),
            }
        })
        .await
    }

    /// Says goodbye, twice, so that peers forget the session at once. Takes 0.15 s.
    ///
    /// # Errors
    ///
    /// [`Error::Goodbye`] if it was not sent within half a second, [`Error::Ended`].
    pub async fn withdraw(self) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        let Some(service) = shared.with(|engine| engine.withdraw(self.id)) else {
            return Ok(());
        };
        let sent = shared.unregister(&service)?;
        let start = Instant::now();
        let late = pin!(Alarm::new(&shared, start + GOODBYE));
        match select(sent.recv_async(), late).await {
            Either::Left((Ok(_), _)) => {
                Alarm::new(&shared, start + SECOND_GOODBYE).await;
                Ok(())
            }
            Either::Left((Err(_), _)) => Err(Error::Ended),
            Either::Right(_) => Err(Error::Goodbye { waited: GOODBYE }),
        }
    }
}

impl Stream for Announcement {
    type Item = AnnouncementEvent;

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<AnnouncementEvent>> {
        let mut engine = self.shared.lock();
        let ended = engine.ended;
        let Some(own) = engine.own.get_mut(&self.id).filter(|_| !ended) else {
            return Poll::Ready(None);
        };
        if let Some(event) = own.take_event() {
            return Poll::Ready(Some(event));
        }
        own.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        // None after `withdraw`, or if nobody has seen it.
        if let Some(service) = self.shared.with(|engine| engine.withdraw(self.id))
            && let Ok(sent) = self.shared.unregister(&service)
        {
            let _status = sent.recv_timeout(GOODBYE);
        }
    }
}

impl fmt::Debug for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        f.debug_struct("Announcement")
            .field("name", &name)
            .finish_non_exhaustive()
    }
}
