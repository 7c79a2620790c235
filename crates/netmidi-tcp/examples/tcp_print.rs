//! mido's first server: prints what anybody plays.
//!
//! `cargo run --example tcp_print`, or with an address: `-- :8080` for every interface.

mod end;

use std::env;
use std::error::Error;
use std::process::ExitCode;

use futures::StreamExt;
use netmidi_tcp::PortServer;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    end::of("tcp_print", run().await)
}

async fn run() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).unwrap_or("8080".to_owned());
    let mut server = PortServer::bind(address).await?;
    println!("listening: {}", server.local_addr());
    while let Some((client, message)) = server.next().await {
        println!("{client}: {message}");
    }
    Ok(())
}
