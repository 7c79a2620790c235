//! `netmidi completions`: for the shell.

use std::io;

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use crate::failure::Failure;

/// Print what a shell needs to complete netmidi's commands and options.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netmidi completions bash > ~/.local/share/bash-completion/completions/netmidi
  netmidi completions zsh > ~/.zfunc/_netmidi
  netmidi completions fish > ~/.config/fish/completions/netmidi.fish")]
pub(crate) struct Completions {
    /// Which shell.
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut script = Vec::new();
        generate(
            self.shell,
            &mut crate::Cli::command(),
            "netmidi",
            &mut script,
        );
        io::Write::write_all(&mut io::stdout(), &script)?;
        Ok(())
    }
}
