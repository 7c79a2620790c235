//! `netmidi tcp`: MIDI over TCP.

use clap::{Args, Subcommand};
use netmidi::tcp::{Address, ListenAddress};

use crate::console::Console;
use crate::failure::Failure;
use crate::place::{Options, Place, TcpClient, TcpServer};
use crate::run::{self, AdmissionArgs, End, EndArgs, PlayArgs};
use crate::stop::Stop;

/// MIDI over TCP, as Python's mido has it.
#[derive(Debug, Subcommand)]
pub(crate) enum Tcp {
    Serve(Serve),
    Connect(Connect),
}

/// Let programs connect by TCP, and show what they play.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netmidi tcp serve 8080                   programs of this machine
  netmidi tcp serve :8080 --allow 192.168.1.0/24
                                           everybody in that network, and nobody else")]
pub(crate) struct Serve {
    /// Where to listen: `8080` is for this machine only, `:8080` for everybody.
    #[arg(value_name = "[ADDR]:PORT")]
    listen: ListenAddress,
    #[command(flatten)]
    admission: AdmissionArgs,
    #[command(flatten)]
    play: PlayArgs,
}

/// Connect to a program by TCP, and show what it plays.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netmidi tcp connect localhost:8080
  echo note_on channel=0 note=60 velocity=100 | netmidi tcp connect stage:9080")]
pub(crate) struct Connect {
    /// Where the program listens.
    #[arg(value_name = "HOST:PORT")]
    host: Address,
    #[command(flatten)]
    end: EndArgs,
    #[command(flatten)]
    play: PlayArgs,
}

impl Tcp {
    pub(crate) async fn run(self, console: Console) -> Result<(), Failure> {
        let mut stop = Stop::listen()?;
        let mut options = Options::default();
        match self {
            Self::Serve(it) => {
                let console = console.json(it.play.json);
                it.admission.apply(&mut options);
                options.sysex = !it.play.no_sysex;
                let server = TcpServer::open(0, &[it.listen], &options).await?;
                let place = Place::TcpServer(Box::new(server));
                run::run(console, &mut stop, place, &it.play, End::Never, None).await
            }
            Self::Connect(it) => {
                let console = console.json(it.play.json);
                options.sysex = !it.play.no_sysex;
                options.again = !it.end.once;
                let place = Place::TcpClient(Box::new(TcpClient::open(0, it.host, &options)));
                let end = End::Connecting {
                    hosts: 1,
                    args: it.end,
                };
                run::run(console, &mut stop, place, &it.play, end, None).await
            }
        }
    }
}
