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
//! It leaves out, for now: discovery, MIDI over TCP.
//!
//! Follows Apple's MIDI Network Driver Protocol, RFC 6295 and RFC 3550 by way of `netmidi-session`;
//! of its own it adds that the data port is the one above the control port.
//!
//! It has no features. It costs the standard library, tokio (`net`, `rt`, `sync`, `time`), and one
//! task for each endpoint.

#![forbid(unsafe_code)]

mod address;
mod burst;
mod client;
mod clock;
mod driver;
mod endpoint;
mod error;
mod event;
mod invitation;
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
pub use netmidi_message as message;
pub use netmidi_session::{
    Config, ConfigError, JournalPolicy, LeaveReason, MAX_NAME_OCTETS, Origin, PacketBudget,
    ParticipantId, ParticipantStats, Persistence, Port, Role, RunningStatus,
    SendError as SessionSendError, SessionStats, Ssrc, Time, UndefinedCommands,
};
pub use sockets::PairAddresses;
pub use stats::Stats;
