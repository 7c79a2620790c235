//! Prints which RTP-MIDI sessions come, change and go; or looks for one of them.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use futures::StreamExt;
use netmidi_discovery::{Discovery, Event, Families, Session};

/// Shows the RTP-MIDI sessions in the local network.
#[derive(Parser)]
struct Options {
    /// Look for this session only, then end.
    name: Option<String>,
    /// How many seconds to look for it.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Announce a session of this name meanwhile, which is not shown.
    #[arg(long)]
    announce: Option<String>,
    /// Only on this interface; may be given more than once.
    #[arg(long)]
    interface: Vec<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match browse(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("browse: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn browse(options: Options) -> Result<(), Box<dyn Error>> {
    let mut builder = Discovery::builder();
    for name in options.interface {
        builder = builder.interface(name);
    }
    let discovery = builder.build()?;
    let mut own = None;
    if let Some(name) = options.announce {
        let mut announcement = discovery.announce(&name, 5004, Families::Both)?;
        let name = announcement.announced().await?;
        println!("announced: {name}");
        own = Some(announcement);
    }

    if let Some(name) = options.name {
        let timeout = Duration::from_secs(options.seconds);
        let session = discovery.resolve(&name, timeout).await?;
        println!("{}", described(&session));
        return Ok(());
    }
    let mut browser = discovery.browse()?;
    while let Some(event) = browser.next().await {
        match event {
            Event::Found(session) => println!("found: {}", described(&session)),
            Event::Changed(session) => println!("changed: {}", described(&session)),
            Event::Lost(name) => println!("lost: {name}"),
            _ => {}
        }
        io::stdout().flush()?;
    }
    drop(own);
    Ok(())
}

fn described(session: &Session) -> String {
    let addresses: Vec<String> = session.addresses.iter().map(ToString::to_string).collect();
    format!(
        "{} on {}, port {}: {}",
        session.name,
        session.host,
        session.port,
        addresses.join(" ")
    )
}
