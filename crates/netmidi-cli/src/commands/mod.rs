//! The commands, one file each: what they can be told, and what they do.

pub(crate) mod bridge;
pub(crate) mod completions;
pub(crate) mod connect;
pub(crate) mod decode;
pub(crate) mod discover;
pub(crate) mod man;
pub(crate) mod monitor;
pub(crate) mod play;
pub(crate) mod ports;
pub(crate) mod record;
pub(crate) mod serve;
pub(crate) mod tcp;
