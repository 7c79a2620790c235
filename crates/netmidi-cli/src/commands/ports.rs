//! `netmidi ports`: the MIDI ports of this computer.

use std::io::Write;

use clap::Args;
use serde_json::json;

use crate::failure::Failure;
use crate::place::port_names;
use crate::text::tame;

/// List the MIDI ports of this computer.
///
/// A part of a name is enough for `netmidi bridge port:NAME`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netmidi ports                            what can be heard, and what can be played on
  netmidi ports --json                     the same for programs, one port a line")]
pub(crate) struct Ports {
    /// Print one JSON object a line, for programs.
    #[arg(long)]
    json: bool,
}

impl Ports {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let names = port_names()?;
        let lists = [("input", &names.inputs), ("output", &names.outputs)];
        let mut text = String::new();
        for (direction, names) in lists {
            if self.json {
                for name in names {
                    let port = json!({ "event": "port", "direction": direction, "name": name });
                    text.push_str(&format!("{port}\n"));
                }
                continue;
            }
            let about = match direction {
                "input" => "inputs (what they play can be heard)",
                _ => "outputs (can be played on)",
            };
            text.push_str(&format!("{about}:\n"));
            for name in names {
                text.push_str(&format!("  {}\n", tame(name)));
            }
            if names.is_empty() {
                text.push_str("  none\n");
            }
        }
        let mut out = anstream::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()?;
        Ok(())
    }
}
