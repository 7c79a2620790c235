//! The commands, one file each: what they can be told, and what they do.

pub(crate) mod completions;
pub(crate) mod decode;
pub(crate) mod man;
