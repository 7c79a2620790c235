//! The handle: announcing, browsing, finding one session.

use core::fmt;
use core::future::poll_fn;
use core::net::IpAddr;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use futures::future::{Either, select};

use crate::announcement::Announcement;
use crate::browser::Browser;
use crate::engine::LISTEN;
use crate::error::Error;
use crate::interfaces::{Choice, Families, Selection};
use crate::naming;
use crate::session::Session;
use crate::shared::{Alarm, Shared};

/// Longer than any program waits.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Announces sessions of this program and finds those of others.
///
/// One is enough for a program: its socket, cache and threads are shared by everything that is
/// announced and browsed through it, and by its clones. They end with the last handle.
#[derive(Clone)]
pub struct Discovery {
    shared: Arc<Shared>,
}

impl Discovery {
    /// On all interfaces that can multicast, IPv4 and IPv6; on loopback if that is all there is.
    ///
    /// # Errors
    ///
    /// [`Error::NoInterface`] without any interface, [`Error::PortTaken`] when another program
    /// does not share UDP port 5353, or what the operating system lacks.
    pub fn new() -> Result<Self, Error> {
        Self::builder().build()
    }

    /// Chooses interfaces and address families first.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Announces the session `name` with its control port, at the addresses of this machine that
    /// are of `families`. Name those families only on which control and data port listen: peers
    /// that prefer IPv6 do not try IPv4 when nobody answers.
    ///
    /// This returns at once. Others are listened to for 1.3 s from the first call on, to see
    /// whether the name is in use; then they are asked, which takes another second.
    /// [`Announcement::announced`] waits for that and tells the name, which is "NAME (2)" or the
    /// like if somebody else has it. Dots become hyphens.
    ///
    /// # Errors
    ///
    /// When `name` is empty, longer than [`MAX_NAME_OCTETS`](crate::MAX_NAME_OCTETS) or holds
    /// control characters, when `control_port` has no port above, or [`Error::Ended`].
    pub fn announce(
        &self,
        name: &str,
        control_port: u16,
        families: Families,
    ) -> Result<Announcement, Error> {
        naming::check(name)?;
        if !(1..u16::MAX).contains(&control_port) {
            return Err(Error::Port { port: control_port });
        }
        let random = getrandom::u64().map_err(Error::Random)?;
        self.shared.listen()?;
        let service = (name, control_port, families);
        let id = self
            .shared
            .with(|engine| engine.announce(service, random, Instant::now()));
        Ok(Announcement::new(Arc::clone(&self.shared), id))
    }

    /// Watches which sessions come, change and go, beginning with those that are known.
    ///
    /// What this `Discovery` announces itself is left out.
    ///
    /// # Errors
    ///
    /// [`Error::Ended`], or [`Error::Request`] when too much is going on.
    pub fn browse(&self) -> Result<Browser, Error> {
        self.shared.listen()?;
        Ok(Browser::new(Arc::clone(&self.shared)))
    }

    /// The sessions that are known at the moment, by name; at most
    /// [`MAX_SESSIONS`](crate::MAX_SESSIONS). Empty until the first call of [`browse`],
    /// [`announce`] or [`resolve`] has had some time.
    ///
    /// [`browse`]: Self::browse
    /// [`announce`]: Self::announce
    /// [`resolve`]: Self::resolve
    #[must_use]
    pub fn sessions(&self) -> Vec<Session> {
        self.shared.lock().directory.sessions()
    }

    /// Finds the session called `name`, waiting for it no longer than `timeout`.
    ///
    /// A session of exactly that name counts at once. One that differs in upper and lower case
    /// counts when others have had time to answer, 1.3 s after listening began, or at the end of a
    /// `timeout` that is shorter. Once it is seen, 0.15 s pass for the addresses of the other
    /// family.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] with the names that were seen instead; [`Error::Ambiguous`] if several
    /// differ from `name` in case only; [`Error::Ended`].
    pub async fn resolve(&self, name: &str, timeout: Duration) -> Result<Session, Error> {
        let start = Instant::now();
        // Some timeouts mean "for ever".
        let end = start.checked_add(timeout).unwrap_or(start + FOR_EVER);
        let found = self.first_sight(name, start, end).await?;
        let gathered = self.shared.lock().gathered_at(&found.name, start);
        Alarm::new(&self.shared, gathered.min(end)).await;
        let engine = self.shared.lock();
        // If it has gone meanwhile, it may still be there to connect to.
        Ok(engine.directory.get(&found.name).cloned().unwrap_or(found))
    }

    async fn first_sight(
        &self,
        name: &str,
        start: Instant,
        end: Instant,
    ) -> Result<Session, Error> {
        self.shared.listen()?;
        let mut changes = Browser::new(Arc::clone(&self.shared));
        let since = self.shared.lock().listening_since.unwrap_or(start);
        let settled = (since + LISTEN).max(start).min(end);

        let exact = poll_fn(|context| {
            while changes.poll_event(context).is_ready_with_event() {}
            let engine = self.shared.lock();
            match engine.directory.get(name) {
                Some(session) => Poll::Ready(Ok(session.clone())),
                None if engine.ended => Poll::Ready(Err(Error::Ended)),
                None => Poll::Pending,
            }
        });
        let alarm = pin!(Alarm::new(&self.shared, settled));
        if let Either::Left((found, _)) = select(pin!(exact), alarm).await {
            return found;
        }
        let alike = poll_fn(|context| {
            while changes.poll_event(context).is_ready_with_event() {}
            let engine = self.shared.lock();
            match engine.directory.find(name) {
                Ok(Some(session)) => Poll::Ready(Ok(session.clone())),
                Ok(None) if engine.ended => Poll::Ready(Err(Error::Ended)),
                Ok(None) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            }
        });
        let alarm = pin!(Alarm::new(&self.shared, end));
        match select(pin!(alike), alarm).await {
            Either::Left((found, _)) => found,
            Either::Right(_) => {
                let engine = self.shared.lock();
                Err(Error::NotFound {
                    name: name.to_owned(),
                    waited: end - start,
                    seen: engine.directory.names().cloned().collect(),
                })
            }
        }
    }
}

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discovery").finish_non_exhaustive()
    }
}

/// Which interfaces and address families a [`Discovery`] uses.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Builder {
    selection: Selection,
}

impl Builder {
    /// Only the interface called `name`, such as "eth0", and others that are named so.
    pub fn interface(mut self, name: impl Into<String>) -> Self {
        self.selection.choices.push(Choice::Name(name.into()));
        self
    }

    /// Only this address of this machine, and others that are named so. For a session that
    /// listens on one address.
    pub fn address(mut self, address: IpAddr) -> Self {
        self.selection.choices.push(Choice::Address(address));
        self
    }

    /// Loopback too. Without this it is used only if nothing else is there, or if it is named.
    pub fn loopback(mut self) -> Self {
        self.selection.loopback = true;
        self
    }

    /// Only these address families, for asking and for announcing.
    pub fn families(mut self, families: Families) -> Self {
        self.selection.families = families;
        self
    }

    /// Opens the socket and starts the threads.
    ///
    /// # Errors
    ///
    /// [`Error::NoInterface`] if one that was named is not there, or none is;
    /// [`Error::PortTaken`] when another program does not share UDP port 5353, or what the
    /// operating system lacks.
    pub fn build(self) -> Result<Discovery, Error> {
        let shared = Shared::start(self.selection)?;
        Ok(Discovery { shared })
    }
}

/// Whether a poll gave an event; the end of the stream is none.
trait GaveEvent {
    fn is_ready_with_event(&self) -> bool;
}

impl<T> GaveEvent for Poll<Option<T>> {
    fn is_ready_with_event(&self) -> bool {
        matches!(self, Self::Ready(Some(_)))
    }
}
