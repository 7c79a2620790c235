//! AppleMIDI sessions without sockets or clocks: who talks to whom, and what was played.
//!
//! Uses `netmidi-message`, `netmidi-wire` and `netmidi-journal`; the `netmidi` crate gives it sockets and a clock.
//!
//! ```
//! use netmidi_session::{Config, LocalPort, PairId, Session, Time};
//!
//! let mut session = Session::new(Config::new("stage piano"), 0x5EED, Time::ZERO)?;
//! let from = "192.0.2.7:5004".parse()?;
//!
//! // Somebody invites us: token 1, SSRC 2, no name.
//! let invitation = [0xFF, 0xFF, b'I', b'N', 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2];
//! session.handle_datagram(Time::ZERO, LocalPort::control(PairId(0)), from, &invitation);
//!
//! // After every input: transmits, then events, then the deadline.
//! let mut out = Vec::new();
//! while let Some(transmit) = session.poll_transmit(&mut out) {
//!     assert_eq!((transmit.to, &out[2..4]), (from, b"OK".as_slice()));
//! }
//! while let Some(event) = session.poll_event() {
//!     unreachable!("{event:?} before the data port was invited");
//! }
//! assert_eq!(session.poll_timeout(), Some(Time::from_secs(5)));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! What packet loss broke is repaired by recovery journals, both ways: received ones give messages
//! marked [`Origin::Repaired`], and every participant is sent such as it can take
//! ([`JournalPolicy`]), with receiver feedback (RS) for its own. `docs/journal.md` in the repository
//! says what is protected and what is not.
//!
//! Others are invited with [`Session::invite`], and again whenever they are lost ([`Persistence`]).
//! When what they play is handed out is a matter of [`Playout`].
//!
//! Follows Apple's MIDI Network Driver Protocol, RFC 6295 for the MIDI payload and its journal, and
//! RFC 3550 for sequence numbers.
//!
//! Features: `std` (default) hands `std` on to the crates below, for their `std::io` forms. Without
//! it an allocator is needed and nothing else; what is accepted and sent stays the same.

#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::std_instead_of_alloc, clippy::std_instead_of_core)]

extern crate alloc;

mod admission;
mod clock_sync;
mod config;
mod deadlines;
mod error;
mod event;
mod feedback;
mod invitation;
mod invitee;
mod liveness;
mod outbound;
mod pacing;
mod participant;
mod participants;
mod playout;
mod protection;
mod rng;
mod sequence;
mod session;
mod sounding;
mod stats;
mod time;
mod timer;
mod transmit;

pub use admission::{Admission, AllowList, Inviter, RequestId, Verdict};
pub use clock_sync::ClockEstimate;
pub use config::{
    Config, JournalPolicy, LatePolicy, MAX_NAME_OCTETS, Playout, SysExPolicy, UndefinedCommands,
};
pub use error::{ConfigError, DecideError, InviteError, SendError};
pub use event::{Event, LeaveReason, Origin, ParticipantId, Peer, Role};
pub use invitee::{InviteeId, InviteeState, MAX_TARGETS, Persistence, Target};
pub use ipnet::IpNet;
pub use netmidi_message as message;
pub use netmidi_wire::{PacketBudget, RunningStatus, Ssrc};
pub use pacing::{MIN_BITRATE, Pacing};
pub use session::Session;
pub use stats::{Outgoing, ParticipantStats, SessionStats};
pub use time::Time;
pub use transmit::{LocalPort, PairId, Port, Transmit};
