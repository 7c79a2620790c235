//! `netmidi man`: the manual pages, for those who make packages.

use std::path::PathBuf;

use clap::{Args, CommandFactory};

use crate::failure::Failure;

/// Write the manual pages of netmidi and of each of its commands into a folder.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netmidi man /usr/local/share/man/man1
  netmidi man target/man")]
pub(crate) struct Man {
    /// The folder; it has to be there.
    folder: PathBuf,
}

impl Man {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        clap_mangen::generate_to(crate::Cli::command(), &self.folder).map_err(|error| {
            let folder = self.folder.display();
            Failure::failed(format!(
                "cannot write manual pages into {folder}: {error}; see that the folder is there"
            ))
        })
    }
}
