//! The commands, one file each: what they can be told, and what they do.

pub(crate) mod completions;
pub(crate) mod connect;
pub(crate) mod man;
pub(crate) mod monitor;
pub(crate) mod serve;
pub(crate) mod tcp;
