//! Announces a session until control-C. Nobody answers there: it is for trying discovery out.

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use futures::StreamExt;
use netmidi_discovery::{AnnouncementEvent, Discovery, Families};
use tokio::signal;

/// Announces an RTP-MIDI session that does not exist.
#[derive(Parser)]
struct Options {
    /// The name that peers see.
    name: String,
    /// Its control port.
    #[arg(long, default_value_t = 5004)]
    port: u16,
    /// The address families that it would listen on.
    #[arg(long, default_value = "both")]
    families: Listening,
    /// Only on this interface; may be given more than once.
    #[arg(long)]
    interface: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Listening {
    V4,
    V6,
    Both,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match announce(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("announce: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn announce(options: Options) -> Result<(), Box<dyn Error>> {
    let families = match options.families {
        Listening::V4 => Families::V4,
        Listening::V6 => Families::V6,
        Listening::Both => Families::Both,
    };
    let mut builder = Discovery::builder();
    for name in options.interface {
        builder = builder.interface(name);
    }
    let discovery = builder.build()?;
    let mut announcement = discovery.announce(&options.name, options.port, families)?;
    loop {
        tokio::select! {
            event = announcement.next() => match event {
                Some(AnnouncementEvent::Announced { name }) => println!("announced: {name}"),
                Some(AnnouncementEvent::Renamed { wanted, name, reason }) => {
                    println!("renamed: {name} ({wanted}: {reason:?})");
                }
                Some(_) => {}
                None => return Err("discovery has ended".into()),
            },
            end = signal::ctrl_c() => {
                end?;
                break;
            }
        }
    }
    // Dropping it says goodbye too, but once only and not without blocking the thread.
    announcement.withdraw().await?;
    println!("withdrawn");
    Ok(())
}
