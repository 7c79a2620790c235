//! mido's third server: a loop of one's own, with several clients.
//!
//! `cargo run --example tcp_accept`, or with an address: `-- :8080` for every interface.

mod end;

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use netmidi_tcp::{PortServer, SocketPort};
use tokio::time::sleep;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    end::of("tcp_accept", run().await)
}

async fn run() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).unwrap_or("8080".to_owned());
    let server = PortServer::bind(address).await?;
    println!("listening: {}", server.local_addr());
    let mut clients: Vec<SocketPort> = Vec::new();
    loop {
        while let Some(client) = server.try_accept()? {
            println!("connection from {}", client.name());
            clients.push(client);
        }
        for client in &mut clients {
            let name = client.name();
            for message in client.iter_pending() {
                println!("received {message} from {name}");
            }
        }
        clients.retain(|client| {
            if let Some(reason) = client.close_reason().filter(|_| client.closed()) {
                println!("{} disconnected: {reason}", client.name());
            }
            !client.closed()
        });
        // Other things are done here. Without any, `accept` and `receive` wait and need no pause.
        sleep(Duration::from_millis(1)).await;
    }
}
