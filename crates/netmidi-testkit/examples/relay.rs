//! A bad network between two programs, as a program: `relay LISTEN SERVER [SEED]`.
//!
//! LISTEN is the control port to connect to (port 0: any two), SERVER the control port behind it; the
//! data ports are the ones above. Each line of standard input is an order, each is answered by a
//! line, and the end of it is the end:
//!
//! - `quality LOSS LATENCY JITTER DUPLICATION`: percent, ms, up to so many ms more, percent
//! - `cut` and `restore`: nothing gets through meanwhile
//! - `rebind`: the server sees other source ports from now on
//! - `carried`: what it did so far

use core::net::SocketAddr;
use core::time::Duration;
use std::error::Error;
use std::process::ExitCode;
use std::{env, io};

use netmidi_testkit::{LinkQuality, Relay};

const USAGE: &str = "usage: relay LISTEN SERVER [SEED], such as: relay 127.0.0.1:0 127.0.0.1:5004";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("relay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let (listen, server, seed) = match args.as_slice() {
        [listen, server] => (listen, server, "1"),
        [listen, server, seed] => (listen, server, seed.as_str()),
        _ => return Err(USAGE.into()),
    };
    let (listen, server): (SocketAddr, SocketAddr) = (listen.parse()?, server.parse()?);
    let relay = Relay::start(listen, server, seed.parse()?)?;
    println!("relaying: control {} to {server}", relay.control());
    for line in io::stdin().lines() {
        let line = line?;
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["quality", numbers @ ..] => relay.set_quality(quality(numbers)?),
            ["cut"] => relay.cut(),
            ["restore"] => relay.restore(),
            ["rebind"] => relay.rebind()?,
            ["carried"] => {
                println!("{:?}", relay.carried());
                continue;
            }
            _ => return Err(format!("not an order: {line}").into()),
        }
        println!("done: {line}");
    }
    Ok(())
}

fn quality(numbers: &[&str]) -> Result<LinkQuality, Box<dyn Error>> {
    let numbers: Result<Vec<u32>, _> = numbers.iter().map(|number| number.parse()).collect();
    match numbers?.as_slice() {
        &[loss, latency, jitter, duplication] => Ok(LinkQuality {
            latency: Duration::from_millis(latency.into()),
            jitter: Duration::from_millis(jitter.into()),
            loss: loss.saturating_mul(10_000),
            duplication: duplication.saturating_mul(10_000),
        }),
        _ => Err("quality takes four numbers: loss, latency, jitter, duplication".into()),
    }
}
