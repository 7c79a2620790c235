//! Two hosts: network namespaces of our own with a cable between them. Nothing leaves them.

use core::time::Duration;
use std::path::Path;
use std::process::{self, Command};
use std::thread;
use std::time::Instant;

use crate::stage::{Stop, Verdict, stdout_of, works};

/// How long the kernel may take to try an address.
const SOON: Duration = Duration::from_secs(10);

/// Skips the stage where there is no `ip`, or namespaces may not be made.
pub(crate) fn need_tools() -> Verdict {
    // It knows no `--version`.
    if !works(Command::new("ip").arg("-V")) {
        let reason = "ip not found (apt install iproute2)";
        return Err(Stop::Skipped(reason.to_owned()));
    }
    if stdout_of(Command::new("id").arg("-u"))?.trim() != "0" {
        let reason = "network namespaces need root (run as root)";
        return Err(Stop::Skipped(reason.to_owned()));
    }
    Ok(())
}

/// Two network namespaces and the cable between them, `veth` in both.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) a: Namespace,
    pub(crate) b: Namespace,
}

impl Network {
    /// With these IPv4 addresses, of one subnet.
    pub(crate) fn new(addresses: [&str; 2]) -> Result<Self, Stop> {
        let network = Self {
            a: Namespace::new("a")?,
            b: Namespace::new("b")?,
        };
        let (a, b) = (&network.a, &network.b);
        a.ip(&format!(
            "link add veth type veth peer name veth netns {}",
            b.name
        ))?;
        for (place, address) in [a, b].into_iter().zip(addresses) {
            place.ip(&format!("addr add {address}/24 dev veth"))?;
            place.ip("link set dev lo up")?;
            place.ip("link set dev veth up")?;
        }
        Ok(network)
    }

    /// Link-local addresses are tried for their uniqueness first.
    pub(crate) fn wait_for_link_local(&self) -> Verdict {
        let end = Instant::now() + SOON;
        for place in [&self.a, &self.b] {
            while place.link_local().is_err() {
                if Instant::now() > end {
                    return Err("the cable got no link-local address".to_owned().into());
                }
                thread::sleep(Duration::from_millis(100));
            }
        }
        Ok(())
    }
}

/// A network namespace. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Namespace {
    pub(crate) name: String,
}

impl Namespace {
    fn new(letter: &str) -> Result<Self, Stop> {
        let name = format!("netmidi-{}-{letter}", process::id());
        match stdout_of(Command::new("ip").args(["netns", "add", &name])) {
            Ok(_) => Ok(Self { name }),
            Err(Stop::Failed(text)) if text.contains("not permitted") => {
                let reason = "network namespaces are not permitted here (run with CAP_SYS_ADMIN)";
                Err(Stop::Skipped(reason.to_owned()))
            }
            Err(stop) => Err(stop),
        }
    }

    /// `program`, to be run in here.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("ip");
        // It becomes the program, so its id is the program's.
        command
            .args(["netns", "exec", &self.name])
            .arg(program.as_ref());
        command
    }

    /// `ip` in here.
    pub(crate) fn ip(&self, words: &str) -> Result<String, Stop> {
        stdout_of(
            Command::new("ip")
                .args(["-n", &self.name])
                .args(words.split(' ')),
        )
    }

    /// Our end's link-local address, once it may be used.
    pub(crate) fn link_local(&self) -> Result<String, Stop> {
        let shown = self.ip("-6 -o addr show dev veth scope link -tentative")?;
        let mut words = shown.split_whitespace().skip_while(|word| *word != "inet6");
        let address = words.nth(1).and_then(|word| word.split('/').next());
        address.map(str::to_owned).ok_or_else(|| {
            let text = format!("{} has no link-local address: {shown}", self.name);
            text.into()
        })
    }

    /// The number of our end.
    pub(crate) fn index(&self) -> Result<u32, Stop> {
        let shown = self.ip("-o link show dev veth")?;
        let number = shown.split(':').next().and_then(|word| word.parse().ok());
        number.ok_or_else(|| format!("no interface number in: {shown}").into())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let mut remove = Command::new("ip");
        if !works(remove.args(["netns", "del", &self.name])) {
            println!("the network namespace {} is left behind", self.name);
        }
    }
}
