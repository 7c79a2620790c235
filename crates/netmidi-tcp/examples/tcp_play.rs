//! mido's second server: plays to whoever is connected.
//!
//! `cargo run --example tcp_play`, or with an address: `-- :8080` for every interface.

mod end;

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use netmidi_message::{Channel, ChannelMessage, Note, U7};
use netmidi_tcp::PortServer;
use tokio::time::sleep;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    end::of("tcp_play", run().await)
}

async fn run() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).unwrap_or("8080".to_owned());
    let server = PortServer::bind(address).await?;
    println!("listening: {}", server.local_addr());
    for key in [60, 62, 64, 65, 67, 69, 71, 72].into_iter().cycle() {
        let note = Note::new(key).unwrap_or(Note::MIDDLE_C);
        let on = ChannelMessage::note_on(Channel::C1, note, U7::from_low_bits(100));
        let report = server.send(on);
        println!("{on}, to {} clients", report.reached());
        for (client, trouble) in report.troubles() {
            println!("not to {client}: {trouble}");
        }
        sleep(Duration::from_millis(250)).await;
        let off = ChannelMessage::note_off(Channel::C1, note, U7::from_low_bits(64));
        // Whoever missed it has been told of above, or is told of next time.
        let _ = server.send(off);
        sleep(Duration::from_millis(250)).await;
    }
    Ok(())
}
