//! What went wrong in a capture, in plain words.

use std::io::{self, Write};

use super::Listener;
use super::packet::{Captured, Reading};
use crate::failure::Failure;

/// Follows the sessions of a capture.
#[derive(Debug, Default)]
pub(crate) struct Diagnosis {}

impl Listener for Diagnosis {
    fn packet(&mut self, _: &Captured<'_>, _: &Reading<'_>) -> Result<(), Failure> {
        Ok(())
    }
}

impl Diagnosis {
    /// For people, after the packets.
    pub(crate) fn write_plain(&self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }

    /// For programs, after the packets: one object a line and session, `{"event":"session", ...}`.
    pub(crate) fn write_json(&self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}
