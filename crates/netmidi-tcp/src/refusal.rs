//! Why somebody is not let in.

/// Why somebody who connected is not let in.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// [`ServerBuilder::allow`](crate::ServerBuilder::allow) names no network with its address.
    /// Nothing of it was read.
    #[error("its address is in none of the networks that are allowed")]
    NotListed,
    /// As many are connected as may be, [`ServerBuilder::max_clients`](crate::ServerBuilder::max_clients).
    #[error("{clients} clients are connected, as many as may be")]
    Full {
        /// The bound.
        clients: usize,
    },
    /// Encryption was not agreed on.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(crate::tls::TlsError),
}
