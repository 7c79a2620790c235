//! Counters of a connection.

/// What went over a connection, since its port exists.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct PortStats {
    /// Octets received, header lines included.
    pub octets_received: u64,
    /// Messages received.
    pub messages_received: u64,
    /// Octets received that are no part of a message, header lines not counted.
    pub octets_discarded: u64,
    /// How often that was so, a run of octets counted once for each piece it came in.
    pub discards: u64,
    /// Messages taken for sending.
    pub messages_sent: u64,
    /// Octets that the system has taken from us.
    pub octets_sent: u64,
    /// Messages that the peer was not sent because its queue was full, with
    /// [`Overflow::Thin`](crate::Overflow::Thin).
    pub messages_dropped: u64,
    /// Messages that were sent later to tell what dropped ones would have left behind.
    pub messages_restored: u64,
    /// How often the connection came back.
    pub reconnects: u64,
}
