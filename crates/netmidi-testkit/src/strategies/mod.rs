//! Generators for property tests.

mod journal;
mod message;
mod wire;

pub use journal::{channel_journal, journal, system_journal};
pub use message::{
    any_channel, any_channel_message, any_defined_message, any_message, any_real_time, any_sysex,
    any_system_common, any_u7, any_undefined, midi_like_octets,
};
pub use wire::{
    OwnedCommand, OwnedTimedCommand, budget, control, message, timed_commands, timed_messages,
};
