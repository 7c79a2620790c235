//! MIDI over IP on tokio: RTP-MIDI with AppleMIDI sessions.
//!
//! The roof of the netmidi workspace: it gives the session core its sockets, its clock and a task.
//! Peers connect to it: node-rtpmidi does so in our tests. Macs, iPads, Windows with rtpMIDI, Linux
//! with rtpmidid and the Arduino library speak the same protocol; the README of the workspace says
//! what was tried.
//!
//! ```
//! use futures::StreamExt;
//! use netmidi::{Endpoint, Event};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut endpoint =
//!     Endpoint::builder().name("stage piano").listen("127.0.0.1:0".parse()?).bind().await?;
//! println!("connect to {}", endpoint.addresses()[0].control);
//! # endpoint.handle().close();
//!
//! while let Some(event) = endpoint.next().await {
//!     match event {
//!         Event::Connected { peer } => println!("{} is here", peer.name),
//!         Event::Message { peer, message, .. } => println!("{} plays {message}", peer.name),
//!         Event::Disconnected { peer, reason } => println!("{} left: {reason}", peer.name),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A lost packet leaves no note hanging here, nor at a peer that reads recovery journals. Messages
//! that put right what one did have [`Origin::Repaired`]. For a peer that journals break there is
//! [`Handle::set_journal`].
//!
//! To connect to others, there is [`connect`] for a single one and [`Handle::invite`] for any number.
//!
//! [`Route`] passes on what one peer plays to others. `Builder::announce` shows an endpoint in the
//! local network, `connect` and `invite` take the names of sessions there, and `discover` lists them.
//! Programs without tokio use [`blocking`].
//!
//! MIDI over TCP, as Python's mido has it, is in `tcp`; `bridge` joins it with RTP-MIDI.
//!
//! Follows Apple's MIDI Network Driver Protocol, RFC 6295 and RFC 3550 by way of `netmidi-session`;
//! of its own it adds that the data port is the one above the control port.
//!
//! Features: `discovery`, on unless switched off, announces and finds sessions by name; it costs the
//! crate `netmidi-discovery`, and four threads for each endpoint that does so. `tcp`, on unless switched
//! off, has MIDI over TCP and the bridge; it costs the crate `netmidi-tcp`, and a task for each
//! connection. `tls` encrypts such connections with rustls. Beside that the crate costs the
//! standard library, tokio (`net`, `rt`, `sync`, `time`), one task for each endpoint, and one for each
//! invitation.

#![forbid(unsafe_code)]

mod address;
pub mod blocking;
#[cfg(feature = "tcp")]
pub mod bridge;
mod burst;
mod client;
mod clock;
mod driver;
mod endpoint;
mod error;
mod event;
mod finding;
mod invitation;
mod route;
mod settings;
mod shared;
mod sockets;
mod stats;
mod watched;

pub use address::{AddressError, PeerAddress};
pub use client::{Client, ClientBuilder, ClientError, ConnectError, Received, connect};
pub use clock::Clock;
pub use endpoint::{Builder, DEFAULT_PORT, Endpoint, Handle};
pub use error::{Error, InviteError, SendError};
pub use event::{Event, Handler, Peer};
pub use invitation::{Invitation, InvitationId, InvitationState};
#[cfg(feature = "discovery")]
pub use netmidi_discovery as discovery;
pub use netmidi_message as message;
pub use netmidi_session::{
    Admission, AllowList, ClockEstimate, Config, ConfigError, Inviter, IpNet, JournalPolicy,
    LatePolicy, LeaveReason, MAX_NAME_OCTETS, Origin, Pacing, PacketBudget, ParticipantId,
    ParticipantStats, Persistence, Playout, Port, RequestId, Role, RunningStatus,
    SendError as SessionSendError, SessionStats, Ssrc, SysExPolicy, Time, UndefinedCommands,
    Verdict,
};
#[cfg(feature = "tcp")]
pub use netmidi_tcp as tcp;
pub use route::{Party, Route, RouteStats, Router, Routing};
pub use sockets::PairAddresses;
pub use stats::{PeerStats, Stats};

/// The sessions in the local network, as they come and go: a `futures::Stream` of
/// [`discovery::Event`]s. To choose interfaces, or to leave out what an endpoint of this program
/// announces, use [`discovery::Discovery`] with [`Builder::discovery`].
///
/// ```no_run
/// use futures::StreamExt;
/// use netmidi::discovery::Event;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut sessions = netmidi::discover()?;
/// while let Some(event) = sessions.next().await {
///     if let Event::Found(session) = event {
///         println!("{} at {:?}", session.name, session.addresses);
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When multicast DNS cannot be opened: each error says why, and what to do.
#[cfg(feature = "discovery")]
pub fn discover() -> Result<discovery::Browser, discovery::Error> {
    discovery::Discovery::new()?.browse()
}

/// The programs in the text for those who come from pymidi.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/from-pymidi.md")]
struct FromPymidi;
