//! Places as people write them.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use netmidi::PeerAddress;
use netmidi::tcp::{Address, ListenAddress};

/// A place as it is written on the command line or in a configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Spec {
    /// `rtp:HOST[:PORT]` or `rtp:NAME`: an RTP-MIDI peer that is invited.
    Rtp(PeerAddress),
    /// `rtp-listen:ADDR:PORT` or `rtp-listen:PORT`: RTP-MIDI peers that connect here.
    RtpListen(SocketAddr),
    /// `tcp:HOST:PORT`: a server for MIDI over TCP that is connected to.
    Tcp(Address),
    /// `tcp-listen:[ADDR]:PORT`: clients for MIDI over TCP that connect here.
    TcpListen(ListenAddress),
    /// `port:NAME`: ports of this computer with this in their names, read and written.
    Port(String),
    /// `virtual:NAME`: a port of our own, which programs of this computer connect to.
    Virtual(String),
    /// `file:PATH`, or a path that ends in `.mid`: a Standard MIDI File.
    File(PathBuf),
    /// `-`: standard input and output.
    Stdio,
}

/// What places can be, for help texts and errors.
pub(crate) const KINDS: &str = "rtp:HOST[:PORT], rtp:SESSION-NAME, rtp-listen:[ADDR:]PORT, \
    tcp:HOST:PORT, tcp-listen:[ADDR:]PORT, port:NAME, virtual:NAME, FILE.mid or - (standard input \
    and output)";

impl FromStr for Spec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "-" {
            return Ok(Self::Stdio);
        }
        if text.split_once(':').is_none_or(|(kind, _)| !is_kind(kind)) && is_midi_file(text) {
            return Ok(Self::File(text.into()));
        }
        let named = |what: &str, rest: &str| match rest.trim() {
            "" => Err(format!(
                "`{text}` names no port; write {what} with a part of its name, as `netmidi ports` shows it"
            )),
            name => Ok(name.to_owned()),
        };
        let Some((kind, rest)) = text.split_once(':') else {
            return Err(format!("`{text}` is no place; write {KINDS}"));
        };
        let sentence = |error: &dyn fmt::Display| error.to_string();
        match kind {
            "rtp" => rest.parse().map(Self::Rtp).map_err(|it| sentence(&it)),
            "rtp-listen" => listen(rest).map(Self::RtpListen),
            "tcp" => rest.parse().map(Self::Tcp).map_err(|it| sentence(&it)),
            "tcp-listen" => rest
                .parse()
                .map(Self::TcpListen)
                .map_err(|it| sentence(&it)),
            "port" => named("port:NAME", rest).map(Self::Port),
            "virtual" => named("virtual:NAME", rest).map(Self::Virtual),
            "file" if rest.is_empty() => {
                Err("`file:` names no file; write file:PATH.mid".to_owned())
            }
            "file" => Ok(Self::File(rest.into())),
            _ => Err(format!("`{kind}:` is no kind of place; write {KINDS}")),
        }
    }
}

fn is_kind(text: &str) -> bool {
    [
        "rtp",
        "rtp-listen",
        "tcp",
        "tcp-listen",
        "port",
        "virtual",
        "file",
    ]
    .contains(&text)
}

fn is_midi_file(text: &str) -> bool {
    let extension = Path::new(text).extension();
    extension.is_some_and(|it| it.eq_ignore_ascii_case("mid") || it.eq_ignore_ascii_case("midi"))
}

/// Where to listen for RTP-MIDI peers: a port alone is on every interface.
pub(crate) fn listen(text: &str) -> Result<SocketAddr, String> {
    let number = text.strip_prefix(':').unwrap_or(text);
    if let Ok(port) = number.parse::<u16>() {
        return match port {
            u16::MAX => Err(NO_ADDRESS.to_owned()),
            port => Ok((std::net::Ipv6Addr::UNSPECIFIED, port).into()),
        };
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() < u16::MAX => Ok(address),
        _ => Err(NO_ADDRESS.to_owned()),
    }
}

const NO_ADDRESS: &str = "write an address in numbers with a port from 0 to 65534, such as \
    192.168.1.7:5004 or [::]:5004; the data port is the one above";

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rtp(peer) => write!(f, "rtp:{peer}"),
            Self::RtpListen(address) => write!(f, "rtp-listen:{address}"),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::TcpListen(address) => write!(f, "tcp-listen:{address}"),
            Self::Port(name) => write!(f, "port:{name}"),
            Self::Virtual(name) => write!(f, "virtual:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Stdio => write!(f, "-"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        for (text, shown) in [
            ("rtp:piano.local", "rtp:piano.local:5004"),
            ("rtp:192.0.2.7:5006", "rtp:192.0.2.7:5006"),
            ("rtp-listen:5004", "rtp-listen:[::]:5004"),
            ("rtp-listen:127.0.0.1:0", "rtp-listen:127.0.0.1:0"),
            ("tcp:localhost:9080", "tcp:localhost:9080"),
            ("port:Launchpad MIDI 1", "port:Launchpad MIDI 1"),
            ("virtual:Stage", "virtual:Stage"),
            ("song.mid", "file:song.mid"),
            ("/a:b/Song.MIDI", "file:/a:b/Song.MIDI"),
            ("file:song", "file:song"),
            ("-", "-"),
        ] {
            assert_eq!(text.parse::<Spec>().unwrap().to_string(), shown, "{text}");
        }
        let session = "rtp:Stage Piano".parse::<Spec>().unwrap();
        assert_eq!(session, Spec::Rtp(PeerAddress::session("Stage Piano")));
    }

    #[test]
    fn what_is_no_place_is_told_with_what_is() {
        for text in [
            "",
            "piano",
            "udp:x",
            "rtp-listen:65535",
            "rtp-listen:host:5004",
            "tcp:x",
            "port:",
            "virtual: ",
            "file:",
            "song.txt",
        ] {
            let error = text.parse::<Spec>().unwrap_err();
            assert!(error.contains("write"), "{text}: {error}");
        }
    }
}
