//! A bridge between RTP-MIDI and MIDI over TCP.
//!
//! `cargo run --example bridge -- --help` tells what it can do.

mod show;

use std::error::Error;
use std::io::{self, Write};
use std::net::{Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use futures::StreamExt;
use netmidi::bridge::{Bridge, BridgeEvent, Circles, Member};
use netmidi::tcp::{Address, Connector, ListenAddress, Options as Tcp, PortServer, SysEx};
use netmidi::{Admission, AllowList, Endpoint, IpNet, JournalPolicy, PeerAddress};

use show::{journal, show, stop_signal};

/// Joins RTP-MIDI (AppleMIDI) sessions with MIDI over TCP, as Python's mido has it: what is played on
/// one side goes to everybody on the other.
#[derive(Parser)]
#[command(after_help = "\
Examples:
  bridge --tcp-listen 8080                 sessions on port 5004, mido on port 8080 of this machine
  bridge --tcp-listen :8080 --allow 192.168.1.0/24
                                           the same for the whole local network, and nobody else
  bridge --invite piano.local --tcp-connect stage:9080
                                           a piano that is invited, a mido server that is connected to")]
struct Options {
    /// RTP-MIDI control port to listen on; the data port is the one above it, 0 finds two free ones.
    /// May be given more than once. [::]:5004 unless somebody is invited.
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<SocketAddr>,
    /// Invite this RTP-MIDI peer: a host, or a session that is shown in the local network. May be
    /// given more than once.
    #[arg(long, value_name = "HOST[:PORT]|NAME")]
    invite: Vec<PeerAddress>,
    /// TCP port to listen on: `8080` for this machine only, `:8080` for everybody. May be given more
    /// than once.
    #[arg(long, value_name = "[ADDR]:PORT")]
    tcp_listen: Vec<ListenAddress>,
    /// Connect to this TCP server, and again whenever the connection is lost. May be given more than
    /// once.
    #[arg(long, value_name = "HOST:PORT")]
    tcp_connect: Vec<Address>,
    /// The name that RTP-MIDI peers see.
    #[arg(long, default_value = "netmidi bridge")]
    name: String,
    /// Let in only those from this network, on both sides. May be given more than once.
    #[arg(long, value_name = "CIDR")]
    allow: Vec<IpNet>,
    /// Pass on no system exclusive messages.
    #[arg(long)]
    no_sysex: bool,
    /// Whether RTP-MIDI peers are sent recovery journals: `auto` finds out what each of them can take,
    /// `off` is for peers that journals break.
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = journal)]
    journal: JournalPolicy,
    /// Drop a message that somebody else has played less than so many milliseconds ago: where two
    /// bridges join the same two sides, or programs echo. 50 is a good value in one building.
    #[arg(long, value_name = "MS")]
    break_circles: Option<u64>,
}

// One thread is plenty, and the quickest: a message never has to wake another one.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = error
                .source()
                .map(|cause| format!(" ({cause})"))
                .unwrap_or_default();
            eprintln!("bridge: {error}{cause}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    if options.tcp_listen.is_empty() && options.tcp_connect.is_empty() {
        return Err("there is no TCP side; give it --tcp-listen, --tcp-connect or both".into());
    }
    let mut rtp = Endpoint::builder()
        .name(&options.name)
        .journal(options.journal);
    if options.listen.is_empty() && !options.invite.is_empty() {
        // Nobody knows these ports: whoever comes in is invited.
        rtp = rtp
            .listen((Ipv6Addr::UNSPECIFIED, 0).into())
            .configure(|config| config.admission = Admission::Nobody);
    } else if !options.allow.is_empty() {
        let list = options.allow.iter().copied();
        let list = list.fold(AllowList::new(), AllowList::network);
        rtp = rtp.configure(|config| config.admission = Admission::Listed(list));
    }
    for address in &options.listen {
        rtp = rtp.listen(*address);
    }
    let mut tcp = Tcp::new();
    let mut bridge = Bridge::builder().rtp(rtp);
    if options.no_sysex {
        tcp = tcp.sysex(SysEx::Refuse);
        bridge = bridge.refuse_sysex();
    }
    if let Some(within) = options.break_circles.map(Duration::from_millis) {
        bridge = bridge.circles(Circles::Break { within });
    }
    if !options.tcp_listen.is_empty() {
        let mut server = PortServer::builder().options(tcp.clone());
        for address in options.tcp_listen {
            server = server.listen(address);
        }
        for network in options.allow {
            server = server.allow(network);
        }
        bridge = bridge.serve(server);
    }
    bridge = bridge.connector(Connector::new().options(tcp));
    for peer in options.invite {
        bridge = bridge.invite(peer);
    }
    for server in options.tcp_connect {
        bridge = bridge.connect(server);
    }
    let mut bridge = bridge.bind().await?;
    let mut out = io::stdout();
    for pair in bridge.rtp_addresses() {
        let (control, data, name) = (pair.control, pair.data, &options.name);
        writeln!(
            out,
            "listening: control {control}, data {data}, name {name:?}"
        )?;
    }
    for address in bridge.tcp_addresses() {
        writeln!(out, "listening: tcp {address}")?;
    }
    let mut stop = std::pin::pin!(stop_signal());
    loop {
        let ended = tokio::select! {
            event = bridge.next() => match event {
                Some(event) => print(&mut out, event),
                None => return Ok(()),
            },
            result = &mut stop => result.and(Err(io::ErrorKind::Interrupted.into())),
        };
        if let Err(error) = ended {
            // Ends what sounds and tells everybody before it ends.
            bridge.close().await;
            return match error.kind() {
                // Stopped, or nobody reads what is printed any more (`bridge | head`).
                io::ErrorKind::Interrupted | io::ErrorKind::BrokenPipe => Ok(()),
                _ => Err(error.into()),
            };
        }
    }
}

fn print(out: &mut impl Write, event: BridgeEvent) -> io::Result<()> {
    match event {
        BridgeEvent::Rtp(event) => show(out, &event, None, "bridge"),
        BridgeEvent::TcpConnected { peer } => writeln!(out, "connected: tcp {peer}"),
        BridgeEvent::TcpMessage {
            peer,
            message,
            silence,
        } => {
            let what = if silence { "silenced" } else { "midi" };
            writeln!(out, "{what}: tcp {peer}: {message}")
        }
        BridgeEvent::TcpDiscarded { peer, report } => {
            eprintln!("bridge: from tcp {peer}: {report}");
            Ok(())
        }
        BridgeEvent::TcpDisconnected {
            peer,
            closed,
            too_slow,
        } => {
            let why = if too_slow { "too slow, " } else { "" };
            writeln!(out, "disconnected: tcp {peer} ({why}{closed})")
        }
        BridgeEvent::TcpUnreachable { server, error, .. } => {
            writeln!(out, "connecting: tcp {server}: {error}; it is tried on")
        }
        BridgeEvent::Circle { member, dropped } => {
            let advice = match dropped {
                true => "dropped",
                false => "see --break-circles",
            };
            let member = match member {
                Member::Rtp(peer) => show::name(&peer),
                other => other.to_string(),
            };
            eprintln!("bridge: what {member} plays seems to come back from elsewhere; {advice}");
            Ok(())
        }
        BridgeEvent::Missed { count } => {
            eprintln!("bridge: {count} events were not printed");
            Ok(())
        }
        other => writeln!(out, "{other:?}"),
    }
}
