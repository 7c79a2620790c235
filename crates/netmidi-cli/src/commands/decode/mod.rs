//! `netmidi decode`: the network detective.
//!
//! A packet goes this way: out of the file as a [`Captured`] payload, read once
//! ([`Reading`]), and then to everybody who listens ([`Listener`]): the printer, the diagnosis.

mod diagnosis;
mod packet;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;

use clap::Args;

use crate::failure::Failure;

use self::diagnosis::Diagnosis;
use self::packet::{Captured, Reading};

/// Explain the MIDI packets of a capture, and what went wrong in it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netmidi decode trouble.pcap              every MIDI packet on a line, and what went wrong
  netmidi decode --verbose trouble.pcapng  down to every field of the recovery journal
  echo '8061 0007 ...' | netmidi decode --hex -")]
pub(crate) struct Decode {
    /// The capture, pcap or pcapng; `-` is standard input.
    file: PathBuf,
    /// Read lines of hex digits instead, each the payload of one UDP packet.
    #[arg(long)]
    hex: bool,
    /// Print one JSON object a packet.
    #[arg(long)]
    json: bool,
}

/// Who is told of every packet that belongs to MIDI, in the order of the capture.
pub(crate) trait Listener {
    fn packet(&mut self, captured: &Captured<'_>, reading: &Reading<'_>) -> Result<(), Failure>;
}

impl Decode {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut diagnosis = Diagnosis::default();
        let file = File::open(&self.file).map_err(Failure::failed)?;
        for (number, line) in (1..).zip(BufReader::new(file).lines()) {
            let _ = line?;
            let captured = Captured {
                number,
                time: None,
                from: None,
                to: None,
                payload: &[],
                missing: 0,
            };
            diagnosis.packet(&captured, &Reading::of(captured.payload))?;
        }
        let mut out = io::stdout().lock();
        if self.json {
            diagnosis.write_json(&mut out)?;
        } else {
            diagnosis.write_plain(&mut out)?;
        }
        out.flush()?;
        Ok(())
    }
}
