//! How a server is to be.

use std::sync::Arc;
#[cfg(feature = "tls")]
use std::time::Duration;

use ipnet::IpNet;

use super::PortServer;
use super::desk::{Desk, Policy};
use super::listen::listen;
use crate::address::ListenAddress;
use crate::error::BindError;
use crate::options::Options;

/// So many clients are served at once unless told otherwise.
const MAX_CLIENTS: usize = 64;

/// How a server is to be; the start is [`PortServer::builder`].
#[derive(Clone, Debug)]
pub struct ServerBuilder {
    listen: Vec<ListenAddress>,
    policy: Policy,
}

impl Default for ServerBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl ServerBuilder {
    /// The defaults, which each method names.
    #[must_use]
    pub fn new() -> Self {
        Self {
            listen: Vec::new(),
            policy: Policy {
                options: Arc::default(),
                allowed: None,
                max_clients: MAX_CLIENTS,
                #[cfg(feature = "tls")]
                tls: None,
                #[cfg(feature = "tls")]
                handshake_timeout: Duration::from_secs(5),
            },
        }
    }

    /// Listens here as well.
    #[must_use]
    pub fn listen(mut self, address: impl Into<ListenAddress>) -> Self {
        self.listen.push(address.into());
        self
    }

    /// How the port of each client reads, writes and keeps its bounds.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.policy.options = Arc::new(options);
        self
    }

    /// Lets in only clients from networks that are named like this; may be said more than once. All
    /// are let in unless told otherwise. Others are disconnected before anything of them is read.
    #[must_use]
    pub fn allow(mut self, network: impl Into<IpNet>) -> Self {
        let allowed = self.policy.allowed.get_or_insert_default();
        allowed.add(network.into());
        self
    }

    /// So many clients may be connected at once; 64 unless told otherwise. Others are disconnected.
    #[must_use]
    pub fn max_clients(mut self, clients: usize) -> Self {
        self.policy.max_clients = clients;
        self
    }

    /// Encrypts all connections.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: crate::tls::Server) -> Self {
        self.policy.tls = Some(tls);
        self
    }

    /// How long a client may take to agree on encryption; 5 s unless told otherwise.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.policy.handshake_timeout = timeout;
        self
    }

    /// Opens the server. Without an address it listens on any free port of this machine only.
    ///
    /// # Errors
    /// When one of the addresses cannot be listened on.
    pub async fn bind(mut self) -> Result<PortServer, BindError> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(BindError::NoRuntime);
        }
        if self.listen.is_empty() {
            self.listen.push(ListenAddress::loopback(0));
        }
        let mut listeners = Vec::new();
        for address in &self.listen {
            listen(address, &mut listeners).await?;
        }
        #[cfg(feature = "tls")]
        let open = self.policy.tls.is_none();
        #[cfg(not(feature = "tls"))]
        let open = true;
        let desk = Desk::open(listeners, self.policy);
        if open
            && desk.admits_everybody()
            && let Some(address) = desk.addresses.iter().find(|it| !it.ip().is_loopback())
        {
            tracing::warn!(%address, "whoever reaches this address may connect and play");
        }
        Ok(PortServer::new(desk))
    }
}
