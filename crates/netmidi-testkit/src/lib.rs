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
mod hex;
mod packets;
mod strategies_wire;
mod vectors;

pub use hex::{from_hex, to_hex};
pub use packets::{TimedMessage, pack, rewrite, unpack};
pub use strategies_wire::{
    OwnedCommand, OwnedTimedCommand, budget, control, message, timed_commands, timed_messages,
};
pub use vectors::{Vector, vectors};
