//! What the tests, benches and fuzz targets of the workspace share: golden vectors, generators,
//! a simulated network and the bodies of the fuzz targets.
//!
//! Not published, and a dependency of tests only. It fails by panicking, as a test does.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "test support: a panic here is a failed test"
)]

mod capture;
pub mod fuzz;
mod generator;
mod hex;
mod instrument;
mod journals;
mod link;
mod music;
mod net;
mod packets;
mod pair;
mod peer;
mod properties;
mod relay;
mod rng;
mod scenarios;
mod script;
mod shadow;
pub mod strategies;
mod strip;
mod trial;
mod vectors;

pub use capture::{CaptureFile, Container, Datagram, Framing, sessions};
pub use generator::Stream;
pub use hex::{from_hex, to_hex};
pub use instrument::{Instrument, Marks, Tolerance};
pub use journals::{
    OwnedChannel, OwnedJournal, OwnedParameters, OwnedRealTime, OwnedSimple, OwnedSysEx,
    OwnedSystem, OwnedUndefined,
};
pub use link::{Bursts, Link, LinkQuality};
pub use music::{Played, faders, piano};
pub use net::{HostId, Kind, Net, Passed, Rebound, Sleep, Tally};
pub use packets::{TimedMessage, pack, rewrite, unpack};
pub use pair::{Pair, SentPacket, Side, Traffic};
pub use peer::{ScriptedPeer, Sent, events, transmits};
pub use properties::properties;
pub use relay::{Carried, Relay};
pub use rng::Rng;
pub use scenarios::{Scenario, scenarios};
pub use script::{CHAPTERS, Script, ScriptMix, Step, Weights};
pub use shadow::Shadow;
pub use strip::strip;
pub use trial::{Failure, GUARD_TIME, Outcome, Tamper, Trial};
pub use vectors::{Vector, vectors};
