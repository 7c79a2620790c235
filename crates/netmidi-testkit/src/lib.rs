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

pub mod fuzz;
mod generator;
mod hex;
mod journals;
mod link;
mod music;
mod packets;
mod peer;
mod properties;
mod rng;
mod scenarios;
pub mod strategies;
mod vectors;

pub use generator::Stream;
pub use hex::{from_hex, to_hex};
pub use journals::{
    OwnedChannel, OwnedJournal, OwnedParameters, OwnedRealTime, OwnedSimple, OwnedSysEx,
    OwnedSystem, OwnedUndefined,
};
pub use link::{Link, LinkQuality};
pub use music::{Played, faders, piano};
pub use packets::{TimedMessage, pack, rewrite, unpack};
pub use peer::{ScriptedPeer, Sent, events, transmits};
pub use properties::properties;
pub use rng::Rng;
pub use scenarios::{Scenario, scenarios};
pub use vectors::{Vector, vectors};
