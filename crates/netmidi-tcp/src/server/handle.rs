//! Sending to all clients and asking about them, from anywhere.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use netmidi_message::Message;

use super::desk::Desk;
use super::{ServerClosed, ServerStats};
use crate::client::Client;
use crate::outbox::Encoded;
use crate::port::SocketPort;
use crate::report::SendReport;

/// Sends to the clients of a [`PortServer`](crate::PortServer) and asks about them, from anywhere.
#[derive(Clone)]
pub struct ServerHandle {
    pub(super) desk: Arc<Desk>,
}

impl ServerHandle {
    /// The addresses that the server listens on.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.desk.addresses
    }

    /// The first address that the server listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        self.addresses().first().copied().unwrap_or(nowhere)
    }

    /// Waits for the next client and takes it out of the server.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// When the server is closed.
    pub async fn accept(&self) -> Result<SocketPort, ServerClosed> {
        Ok(SocketPort::new(self.desk.accept().await?))
    }

    /// Takes the client that has waited longest out of the server, if there is one.
    ///
    /// # Errors
    /// When the server is closed.
    pub fn try_accept(&self) -> Result<Option<SocketPort>, ServerClosed> {
        Ok(self.desk.try_accept()?.map(SocketPort::new))
    }

    /// Sends a message to all clients, without waiting.
    ///
    /// Each client has a queue of its own ([`Options::send_limit`](crate::Options::send_limit)); what
    /// becomes of one that is full says [`Options::overflow`](crate::Options::overflow). No client
    /// makes another wait. Yield to the runtime between many messages, so that they can be written.
    pub fn send<'m>(&self, message: impl Into<Message<'m>>) -> SendReport {
        let message = message.into();
        let mut report = SendReport::default();
        let encoded = Encoded::new(&message);
        for member in &*self.desk.everybody() {
            match member.push(encoded.as_ref(), &message) {
                Ok(()) => report.reached += 1,
                Err(trouble) => report.troubles.push((Client(member.clone()), trouble)),
            }
        }
        report
    }

    /// The clients, in the order in which they came; those who have left and were not yet heard to
    /// the end are not among them.
    #[must_use]
    pub fn clients(&self) -> Vec<Client> {
        let all = self.desk.everybody();
        let here = all
            .iter()
            .filter(|member| member.link.lock().closed.is_none());
        here.cloned().map(Client).collect()
    }

    /// What became of those who connected.
    #[must_use]
    pub fn stats(&self) -> ServerStats {
        self.desk.stats()
    }

    /// Closes the server: clients are told in the background, and its streams end. Ports that were
    /// accepted stay open.
    pub fn close(&self) {
        self.desk.begin_close();
    }

    /// Waits until the systems of all clients have taken what was sent to them, or they are gone.
    pub async fn flush(&self) {
        for member in &*self.desk.everybody() {
            // One that is gone takes nothing any more.
            let link = &member.link;
            let _ = link.waiting(|cx, seat| link.poll_flushed(cx, seat)).await;
        }
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle")
            .field("addresses", &self.desk.addresses)
            .finish_non_exhaustive()
    }
}
