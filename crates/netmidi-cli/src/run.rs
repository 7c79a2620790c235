//! What `serve`, `connect` and `tcp` have in common: their options, and the loop in which they run.

#[cfg(unix)]
use std::path::PathBuf;

use clap::Args;
use netmidi::bridge::Circles;
use netmidi::{IpNet, JournalPolicy};

use crate::attach::Attach;
use crate::console::Console;
use crate::event::Event;
use crate::failure::Failure;
use crate::hub::{Hub, Ways};
use crate::place::{Options, Place};
use crate::stdin::{Line, Stdin};
use crate::stop::Stop;

/// What is done with messages that come.
#[derive(Clone, Debug, Args)]
pub(crate) struct PlayArgs {
    /// Send each message back to the peer that it came from.
    #[arg(long)]
    pub(crate) echo: bool,
    /// Send each message to all other peers.
    #[arg(long)]
    pub(crate) forward: bool,
    /// Take no system exclusive messages.
    #[arg(long)]
    pub(crate) no_sysex: bool,
    /// Print one JSON object a line, for programs.
    #[arg(long)]
    pub(crate) json: bool,
    /// Let `netmidi monitor --attach PATH` watch: a socket that only its owner can use.
    #[cfg(unix)]
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
}

/// Recovery journals.
#[derive(Clone, Debug, Args)]
pub(crate) struct JournalArgs {
    /// Whether peers are sent recovery journals, which repair what lost packets did: auto finds out
    /// what each peer can take, off is for peers that journals break.
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = journal)]
    journal: JournalPolicy,
    /// The same as --journal off.
    #[arg(long, conflicts_with = "journal")]
    no_journal: bool,
}

impl JournalArgs {
    pub(crate) const fn policy(&self) -> JournalPolicy {
        match self.no_journal {
            true => JournalPolicy::Off,
            false => self.journal,
        }
    }
}

fn journal(text: &str) -> Result<JournalPolicy, &'static str> {
    match text {
        "auto" => Ok(JournalPolicy::Auto),
        "full" => Ok(JournalPolicy::Full),
        "off" => Ok(JournalPolicy::Off),
        _ => Err("write auto, full or off"),
    }
}

/// Who may connect.
#[derive(Clone, Debug, Args)]
pub(crate) struct AdmissionArgs {
    /// Let in only those from these networks, such as 192.168.1.0/24. May be given more than once.
    #[arg(long, value_name = "CIDR", num_args = 1..)]
    pub(crate) allow: Vec<IpNet>,
    /// How many may be connected at the same time.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_peers: u32,
}

impl AdmissionArgs {
    pub(crate) fn apply(&self, options: &mut Options) {
        options.allow.clone_from(&self.allow);
        options.max_peers = usize::try_from(self.max_peers).ok();
    }
}

impl PlayArgs {
    pub(crate) const fn ways(&self) -> Ways {
        Ways {
            across: self.forward,
            together: self.forward,
            echo: self.echo,
            deaf_to: Vec::new(),
            silent_for: Vec::new(),
        }
    }
}

/// What becomes of a command at the end of standard input.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AtEndOfInput {
    GoOn,
    End,
}

/// Runs until it is told to end.
pub(crate) async fn run(
    console: &Console,
    stop: &mut Stop,
    place: Place,
    args: &PlayArgs,
    at_end: AtEndOfInput,
) -> Result<(), Failure> {
    let mut hub = Hub::new(vec![place], args.ways(), Circles::Tell);
    let mut stdin = Stdin::open();
    #[cfg(unix)]
    let socket = args.socket.as_deref();
    #[cfg(not(unix))]
    let socket = None;
    let mut attach = Attach::open(socket, console.started())?;
    let done = loop {
        tokio::select! {
            event = hub.next() => match event {
                Some(event) => {
                    if matches!(event, Event::Connected { .. }) {
                        stdin.begin();
                    }
                    attach.tell(&event);
                    if let Err(failure) = console.tell(&event) {
                        break Err(failure);
                    }
                }
                None => break Ok(()),
            },
            line = stdin.next() => match line {
                Some(Line::Message(message)) => {
                    hub.send_to_all(message.as_message());
                    hub.flush().await;
                }
                Some(Line::Bad(message)) => {
                    console.tell(&Event::Error { message })?;
                }
                None if at_end == AtEndOfInput::End => break Ok(()),
                None => {}
            },
            () = attach.due() => attach.count(&hub),
            () = stop.wait() => break Ok(()),
        }
    };
    hub.close();
    while let Some(event) = hub.next().await {
        attach.tell(&event);
        // Nobody reads any more: then it only ends.
        let _ = console.tell(&event);
    }
    hub.finish().await;
    attach.finish().await;
    done
}
