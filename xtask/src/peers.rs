//! The programs of the interop stages: our examples, npm `rtpmidi`, pymidi, mido; and free ports for
//! them.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::child::{Feed, Program, Read};
use crate::netns::Namespace;
use crate::stage::{Stop, Verdict, cargo, need, root, run, target_dir, works};

/// How long a program may take to start, or to say what it is about to say.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// The name of our server.
pub(crate) const SERVER_NAME: &str = "interop";

/// Builds our examples; gives the folder for what a run leaves behind.
///
/// Not optimised: with the overflow checks and debug assertions of a debug build.
pub(crate) fn build() -> Result<PathBuf, Stop> {
    build_examples("netmidi")
}

/// The same for MIDI over TCP.
pub(crate) fn build_tcp() -> Result<PathBuf, Stop> {
    build_examples("netmidi-tcp")
}

fn build_examples(package: &str) -> Result<PathBuf, Stop> {
    run(&mut cargo(["build", "--package", package, "--examples"]))?;
    let place = target_dir().join("interop");
    fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    Ok(place)
}

/// Where a program is started.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Host<'n> {
    /// On this machine as it is.
    Here,
    /// In a network namespace.
    In(&'n Namespace),
}

/// One of our example programs.
pub(crate) fn example(host: Host<'_>, name: &str) -> Command {
    let program = target_dir().join("debug/examples").join(name);
    match host {
        Host::Here => Command::new(program),
        Host::In(namespace) => namespace.command(program),
    }
}

/// Starts the example server and reads its ports, control and data, from its first line.
pub(crate) fn start_server(
    place: &Path,
    host: Host<'_>,
    listen: SocketAddr,
    options: &[&str],
) -> Result<(Program, SocketAddr, SocketAddr), Stop> {
    let mut command = example(host, "server");
    command.args(["--listen", &listen.to_string(), "--name", SERVER_NAME]);
    command.args(options);
    let log = place.join(format!("server-{}.log", family(listen.ip())));
    let server = Program::start("the server", &mut command, Read::Stdout, &log)?;
    let first = server.line(SOON)?;
    let (control, data) = listening(&first)
        .ok_or_else(|| format!("the server's first line does not name its ports: {first}"))?;
    Ok((server, control, data))
}

/// Starts the example client, which sends the lines that it is fed.
pub(crate) fn start_client(
    place: &Path,
    host: Host<'_>,
    connect: &str,
    options: &[&str],
) -> Result<(Program, Feed), Stop> {
    let mut command = example(host, "client");
    command.args(["--connect", connect, "--stdin"]);
    command.args(options);
    // Those of one run that go on side by side differ in this.
    let family = if connect.starts_with('[') { "v6" } else { "v4" };
    let log = place.join(format!("client-{family}.log"));
    Program::start_fed("the client", &mut command, Read::Stdout, &log)
}

/// Reads `listening: control ADDR, data ADDR, name "interop"`.
pub(crate) fn listening(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let addresses = line
        .strip_prefix("listening: control ")?
        .strip_suffix(&format!(", name {SERVER_NAME:?}"))?;
    let (control, data) = addresses.split_once(", data ")?;
    Some((control.parse().ok()?, data.parse().ok()?))
}

/// For file names.
pub(crate) const fn family(ip: IpAddr) -> &'static str {
    match ip {
        IpAddr::V4(_) => "v4",
        IpAddr::V6(_) => "v6",
    }
}

/// A script of ours, run by node where npm `rtpmidi` is found.
pub(crate) fn node(place: &Path, script: &str) -> Command {
    let mut command = Command::new("node");
    command
        .arg(root().join("xtask/interop").join(script))
        .env("NODE_PATH", place.join("node_modules"));
    command
}

/// Installs npm `rtpmidi` in the versions of `xtask/interop/package-lock.json`, unless it is there.
pub(crate) fn install_npm_peer(place: &Path) -> Verdict {
    need("node", "apt install nodejs npm")?;
    let wanted = root().join("xtask/interop");
    let lock = |folder: &Path| fs::read_to_string(folder.join("package-lock.json")).ok();
    let installed = place.join("node_modules/rtpmidi/package.json").exists();
    if installed && lock(place) == lock(&wanted) {
        return Ok(());
    }
    need("npm", "apt install npm")?;
    fs::create_dir_all(place).map_err(|error| format!("{}: {error}", place.display()))?;
    for name in ["package.json", "package-lock.json"] {
        fs::copy(wanted.join(name), place.join(name))
            .map_err(|error| format!("{name}: {error}"))?;
    }
    // Not its optional parts: mDNS as native code, from elsewhere, and not needed on loopback.
    let options = "install --omit=optional --ignore-scripts --no-audit --no-fund";
    run(Command::new("npm")
        .args(options.split(' '))
        .current_dir(place))
}

/// Installs pymidi and mido as `xtask/interop/requirements.txt` pins them, unless they are there; gives
/// the python that knows them.
pub(crate) fn install_python_peers(place: &Path) -> Result<PathBuf, Stop> {
    const REQUIREMENTS: &str = "requirements.txt";
    let wanted = root().join("xtask/interop").join(REQUIREMENTS);
    let (environment, installed) = (place.join("python"), place.join(REQUIREMENTS));
    let python = environment.join("bin/python");
    let read = |path: &Path| fs::read_to_string(path).ok();
    if works(Command::new(&python).args(["-c", "import mido, pymidi"]))
        && read(&installed) == read(&wanted)
    {
        return Ok(python);
    }
    need("python3", "apt install python3 python3-venv")?;
    if !works(Command::new("python3").args(["-c", "import ensurepip, venv"])) {
        let reason = "python3 has no venv or no pip (apt install python3-venv)";
        return Err(Stop::Skipped(reason.to_owned()));
    }
    fs::create_dir_all(place).map_err(|error| format!("{}: {error}", place.display()))?;
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&environment))?;
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--require-hashes", "-r"])
        .arg(&wanted))?;
    fs::copy(&wanted, &installed).map_err(|error| format!("{REQUIREMENTS}: {error}"))?;
    Ok(python)
}

/// An even port whose odd neighbour is free too: npm `rtpmidi` tells its ports by their parity.
pub(crate) fn free_even_port() -> Result<u16, Stop> {
    for _ in 0..100 {
        let any = UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.local_addr());
        let even = any
            .map_err(|error| format!("no free UDP port: {error}"))?
            .port()
            & !1;
        let pair = (
            UdpSocket::bind(("0.0.0.0", even)),
            UdpSocket::bind(("0.0.0.0", even + 1)),
        );
        if let (Ok(_), Ok(_)) = pair {
            return Ok(even);
        }
    }
    Err("no two neighbouring UDP ports are free".to_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_names_the_ports() {
        let line = "listening: control 127.0.0.1:5004, data 127.0.0.1:5005, name \"interop\"";
        let (control, data) = listening(line).unwrap();
        assert_eq!((control.port(), data.port()), (5004, 5005));
        assert_eq!(listening("listening: 5004"), None);
    }
}
