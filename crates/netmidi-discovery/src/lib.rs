//! Announces and finds RTP-MIDI sessions in the local network: `_apple-midi._udp` with DNS-SD over
//! multicast DNS, as Macs, iPads, rtpMIDI on Windows and rtpmidid do.
//!
//! Uses none of the other crates of netmidi: it knows names, ports and addresses, and no MIDI.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use netmidi_discovery::{Discovery, Families};
//!
//! # async fn example() -> Result<(), netmidi_discovery::Error> {
//! let discovery = Discovery::new()?;
//!
//! // A session that listens on control port 5004, over IPv4 and IPv6.
//! let mut announcement = discovery.announce("Stage Piano", 5004, Families::Both)?;
//! println!("peers see it as {}", announcement.announced().await?);
//!
//! // Somebody else's session: connect to the first of its addresses that answers.
//! let session = discovery.resolve("Organ", Duration::from_secs(3)).await?;
//! println!("{} is at {:?}", session.name, session.addresses);
//!
//! announcement.withdraw().await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Discovery::browse`] gives the sessions as they come and go. Everything is a future or a
//! `futures::Stream` that runs on any executor, tokio's among them; the work is done in threads of
//! its own.
//!
//! It leaves out: other service types, other domains than `local`, and unicast DNS. A session that
//! cannot be found this way, in another network or behind a router, is reached by its address.
//!
//! Follows RFC 6762 (multicast DNS), RFC 6763 (DNS-SD) and what Apple's implementation announces; the
//! multicast DNS itself is the library mdns-sd, which does not show in this interface. The page
//! `docs/discovery.md` of the workspace says what is announced and shown, and what to do when nothing
//! is found.
//!
//! It has no features. It costs the standard library and, for each [`Discovery`], four threads that
//! sleep most of the time.

#![forbid(unsafe_code)]

mod announcement;
mod browser;
mod directory;
mod discovery;
mod engine;
mod error;
mod interfaces;
mod naming;
mod session;
mod shared;
mod watch;

pub use announcement::{Announcement, AnnouncementEvent, RenameReason};
pub use browser::Browser;
pub use directory::MAX_SESSIONS;
pub use discovery::{Builder, Discovery};
pub use error::Error;
pub use interfaces::Families;
pub use naming::MAX_NAME_OCTETS;
pub use session::{MAX_ADDRESSES, Session};
pub use watch::Event;
