//! `netmidi serve`: others connect.

use std::net::SocketAddr;

use clap::Args;

use crate::console::Console;
use crate::failure::Failure;
use crate::metrics::MetricsArgs;
use crate::place::{Options, Place, RtpPlace, listen};
use crate::run::{self, AdmissionArgs, End, JournalArgs, PlayArgs};
use crate::stop::Stop;

/// Let others connect by RTP-MIDI (AppleMIDI), and show what they play.
///
/// It shows up in the local network by its name. Or add it by address: in the Audio MIDI Setup of a Mac,
/// in rtpMIDI on Windows, in rtpmidid on Linux, or in an app on a phone. What is read on standard input,
/// one message a line as hex or in words, is sent to everybody.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netmidi serve                            every interface, ports 5004 and 5005
  netmidi serve --name \"Front of house\" --forward
                                           a hub: everybody who connects plays with the others
  echo note_on channel=0 note=60 velocity=100 | netmidi serve --listen 127.0.0.1:5006")]
pub(crate) struct Serve {
    /// Where to listen: the control port; the data port is the one above. 0 finds two free ones.
    /// May be given more than once. Without it: `[::]:5004`.
    #[arg(long, value_name = "ADDR:PORT", value_parser = listen)]
    listen: Vec<SocketAddr>,
    /// The name that others see.
    #[arg(long, default_value = "netmidi", value_parser = run::name)]
    name: String,
    /// Do not show the session in the local network.
    #[arg(long)]
    no_announce: bool,
    #[command(flatten)]
    admission: AdmissionArgs,
    #[command(flatten)]
    journal: JournalArgs,
    #[command(flatten)]
    play: PlayArgs,
    #[command(flatten)]
    metrics: MetricsArgs,
}

impl Serve {
    pub(crate) async fn run(self, console: Console) -> Result<(), Failure> {
        let console = console.json(self.play.json);
        let mut stop = Stop::listen()?;
        let mut options = Options {
            name: self.name,
            journal: self.journal.policy(),
            sysex: !self.play.no_sysex,
            announce: !self.no_announce,
            ..Options::default()
        };
        self.admission.apply(&mut options);
        let place = RtpPlace::open(0, &self.listen, &[], &options).await?;
        let place = Place::Rtp(Box::new(place));
        let metrics = self.metrics.open(&console, std::iter::once(&place)).await?;
        run::run(console, &mut stop, place, &self.play, End::Never, metrics).await
    }
}
