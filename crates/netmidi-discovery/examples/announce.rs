//! Announces a session until standard input ends. Nobody answers there: it is for trying discovery
//! out.

use std::io::Read;
use std::{io, thread};

use clap::{Parser, ValueEnum};
use futures::executor::block_on;
use futures::future::{Either, select};
use futures::{StreamExt, channel::oneshot};
use netmidi_discovery::{AnnouncementEvent, Discovery, Families};

#[derive(Clone, Copy, ValueEnum)]
enum Listening {
    V4,
    V6,
    Both,
}

/// Announces an RTP-MIDI session that does not exist. End it with control-D.
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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    let mut builder = Discovery::builder();
    for name in options.interface {
        builder = builder.interface(name);
    }
    let discovery = builder.build()?;
    let families = match options.families {
        Listening::V4 => Families::V4,
        Listening::V6 => Families::V6,
        Listening::Both => Families::Both,
    };
    let mut announcement = discovery.announce(&options.name, options.port, families)?;

    let (end, mut ended) = oneshot::channel::<()>();
    thread::spawn(move || {
        let _all = io::stdin().read_to_end(&mut Vec::new());
        drop(end);
    });
    block_on(async {
        while let Either::Left((Some(event), _)) = select(announcement.next(), &mut ended).await {
            match event {
                AnnouncementEvent::Announced { name } => println!("announced: {name}"),
                AnnouncementEvent::Renamed {
                    wanted,
                    name,
                    reason,
                } => println!("renamed: {name} ({wanted}: {reason:?})"),
                _ => {}
            }
        }
        announcement.withdraw().await
    })?;
    println!("withdrawn");
    Ok(())
}
