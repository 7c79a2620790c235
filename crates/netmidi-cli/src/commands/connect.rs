//! `netmidi connect`: we connect to others.

use clap::Args;
use netmidi::PeerAddress;

use crate::console::Console;
use crate::failure::Failure;
use crate::place::{Options, Place, RtpPlace};
use crate::run::{self, End, EndArgs, JournalArgs, PlayArgs};
use crate::stop::Stop;

/// Connect to others by RTP-MIDI (AppleMIDI), and show what they play.
///
/// Each is kept connected until netmidi is told otherwise. What is read on standard input, one message
/// a line as hex or in words, is sent to all of them; at its end netmidi disconnects.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netmidi connect piano.local              a host, port 5004
  netmidi connect \"Stage Piano\"            a session that `netmidi discover` lists
  echo 90 3c 64 | netmidi connect 192.168.1.7:5006")]
pub(crate) struct Connect {
    /// Whom: a name or number with a control port, 5004 unless it is given, or the name of a session
    /// in the local network.
    #[arg(required = true, value_name = "HOST[:PORT]|NAME")]
    hosts: Vec<PeerAddress>,
    /// The name that others see.
    #[arg(long, default_value = "netmidi", value_parser = run::name)]
    name: String,
    #[command(flatten)]
    end: EndArgs,
    #[command(flatten)]
    journal: JournalArgs,
    #[command(flatten)]
    play: PlayArgs,
}

impl Connect {
    pub(crate) async fn run(self, console: Console) -> Result<(), Failure> {
        let console = console.json(self.play.json);
        let mut stop = Stop::listen()?;
        let options = Options {
            name: self.name,
            journal: self.journal.policy(),
            sysex: !self.play.no_sysex,
            again: !self.end.once,
            ..Options::default()
        };
        let place = RtpPlace::open(0, &[], &self.hosts, &options).await?;
        let place = Place::Rtp(Box::new(place));
        let end = End::Connecting {
            hosts: self.hosts.len(),
            args: self.end,
        };
        run::run(console, &mut stop, place, &self.play, end, None).await
    }
}
