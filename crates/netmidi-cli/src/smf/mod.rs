//! Standard MIDI Files: read, played in time, recorded and written.
//!
//! What decides when a message sounds is plain values that are told the time ([`Player`],
//! [`Recorder`]); the octets of a file are read and written by midly. [`Tape`] alone knows a disk.

mod chase;
mod player;
mod recorder;
mod song;
mod tape;
#[cfg(test)]
mod tests;

pub(crate) use player::{LEAD, Player, Selection};
pub(crate) use recorder::{Recorder, Taken, Ticks};
pub(crate) use song::{Damage, Song};
pub(crate) use tape::{Form, Tape};
