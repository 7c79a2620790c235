//! How a port reads, writes and keeps its bounds.

use std::time::Duration;

use netmidi_message::{DEFAULT_SYSEX_LIMIT, Dialect};

use crate::header::Header;

/// What becomes of a peer that does not take what is sent to it, once its queue is full.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Overflow {
    /// It is disconnected. What waited for it is thrown away.
    #[default]
    Disconnect,
    /// It stays connected and misses messages. What ends a note or lets go a pedal is never dropped;
    /// of controllers, programs, pitch bend and pressure the last value is told when there is room
    /// again. System exclusive messages, notes and clocks that were dropped are gone.
    Thin,
}

/// Whether system exclusive messages are received.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum SysEx {
    /// They are, up to [`Options::sysex_limit`].
    #[default]
    Accept,
    /// They are discarded and counted; nothing of them is kept.
    Refuse,
}

/// What a port does when its peer is gone and left notes sounding or pedals down.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum AtEnd {
    /// The messages that end them are received last, as if the peer had sent them.
    #[default]
    Silence,
    /// Nothing: only what the peer sent is received.
    Leave,
}

/// How a port reads, writes and keeps its bounds; the same for clients and servers.
///
/// ```
/// use std::time::Duration;
///
/// use netmidi_tcp::{Options, Overflow, SysEx};
///
/// let options = Options::new()
///     .sysex(SysEx::Refuse)
///     .overflow(Overflow::Thin)
///     .idle_timeout(Duration::from_secs(60));
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) dialect: Dialect,
    pub(crate) sysex: SysEx,
    pub(crate) sysex_limit: usize,
    pub(crate) receive_limit: usize,
    pub(crate) send_limit: usize,
    pub(crate) overflow: Overflow,
    pub(crate) at_end: AtEnd,
    pub(crate) header: Option<Header>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) close_timeout: Duration,
    pub(crate) keepalive: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// The defaults, which each method names.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            dialect: Dialect::Din,
            sysex: SysEx::Accept,
            sysex_limit: DEFAULT_SYSEX_LIMIT,
            receive_limit: 256 << 10,
            send_limit: 1 << 20,
            overflow: Overflow::Disconnect,
            at_end: AtEnd::Silence,
            header: None,
            idle_timeout: None,
            close_timeout: Duration::from_secs(2),
            keepalive: Some(Duration::from_secs(10)),
        }
    }

    /// By which rules received octets are read; [`Dialect::Din`] unless told otherwise.
    ///
    /// The DIN dialect understands all that mido's dialect does and running status and real-time
    /// messages inside others on top. What is sent is fit for both.
    #[must_use]
    pub const fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// Whether system exclusive messages are received; they are unless told otherwise.
    #[must_use]
    pub const fn sysex(mut self, sysex: SysEx) -> Self {
        self.sysex = sysex;
        self
    }

    /// Longer system exclusive messages are discarded; in data octets, F0 and F7 not counted.
    /// [`DEFAULT_SYSEX_LIMIT`], 1 MiB, unless told otherwise.
    #[must_use]
    pub const fn sysex_limit(mut self, octets: usize) -> Self {
        self.sysex_limit = octets;
        self
    }

    /// So many octets of memory may messages take that were received and not fetched yet; then
    /// nothing more is read, and the peer has to wait. 256 KiB unless told otherwise. One batch of
    /// messages that came together may go beyond it.
    #[must_use]
    pub const fn receive_limit(mut self, octets: usize) -> Self {
        self.receive_limit = octets;
        self
    }

    /// So many octets may wait to be taken by the peer; then [`overflow`](Self::overflow) says what
    /// happens. 1 MiB unless told otherwise. A single longer message is taken into an empty queue.
    #[must_use]
    pub const fn send_limit(mut self, octets: usize) -> Self {
        self.send_limit = octets;
        self
    }

    /// What becomes of a peer that does not take what is sent to it;
    /// [`Overflow::Disconnect`] unless told otherwise. It is about sending without waiting, by a server
    /// or by [`SocketPort::push`](crate::SocketPort::push); a port's own `send`, which waits, and its
    /// `try_send` never overflow.
    #[must_use]
    pub const fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// What is received last when a peer is gone and left notes sounding;
    /// [`AtEnd::Silence`] unless told otherwise.
    #[must_use]
    pub const fn at_end(mut self, at_end: AtEnd) -> Self {
        self.at_end = at_end;
        self
    }

    /// Header lines that are sent before the first message; none unless told otherwise.
    #[must_use]
    pub fn header(mut self, header: Header) -> Self {
        self.header = Some(header);
        self
    }

    /// Disconnects a peer from which nothing was received for so long; never unless told otherwise.
    #[must_use]
    pub const fn idle_timeout(mut self, after: Duration) -> Self {
        self.idle_timeout = Some(after);
        self
    }

    /// So long a port that is closed waits for the peer to take what was sent and to close its side;
    /// 2 s unless told otherwise.
    #[must_use]
    pub const fn close_timeout(mut self, after: Duration) -> Self {
        self.close_timeout = after;
        self
    }

    /// After so long without a packet the system asks whether the peer's is still there, and closes
    /// the connection when there is no answer within about as long again; 10 s unless told otherwise,
    /// `None` never asks.
    #[must_use]
    pub const fn keepalive(mut self, after: Option<Duration>) -> Self {
        self.keepalive = after;
        self
    }
}
