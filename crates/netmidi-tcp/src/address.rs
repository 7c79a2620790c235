//! Where to connect to and where to listen, as people write it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Why a text is no address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{text}` is not an address: {what}; write {example}")]
pub struct AddressError {
    text: String,
    what: &'static str,
    example: &'static str,
}

impl AddressError {
    fn new(text: &str, what: &'static str, example: &'static str) -> Self {
        Self {
            text: text.to_owned(),
            what,
            example,
        }
    }
}

impl From<std::convert::Infallible> for AddressError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

/// Where a server is: a name or number, and a port from 1 to 65535.
///
/// ```
/// use netmidi_tcp::Address;
///
/// for (text, host, port) in [
///     ("localhost:8080", "localhost", 8080),
///     ("192.0.2.7:9080", "192.0.2.7", 9080),
///     ("[fe80::1%eth0]:9080", "fe80::1%eth0", 9080),
/// ] {
///     let address: Address = text.parse()?;
///     assert_eq!((address.host(), address.port()), (host, port));
///     assert_eq!(address.to_string(), text);
/// }
/// # Ok::<(), netmidi_tcp::AddressError>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    const EXAMPLE: &str = "a name or number with a port from 1 to 65535, \
                           such as stage-left.local:9080, 192.168.1.7:9080 or [::1]:9080";

    /// The name or number, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let error = |what| AddressError::new(text, what, Self::EXAMPLE);
        let (host, port) = split(text.trim()).map_err(error)?;
        let port = port.ok_or_else(|| error("the port is missing"))?;
        if host.is_empty() {
            return Err(error("the host is missing"));
        }
        if port == 0 {
            return Err(error("nobody can be reached at port 0"));
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        match host.contains(':') {
            true => write!(f, "[{host}]:{port}"),
            false => write!(f, "{host}:{port}"),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        let host = match address {
            // With its scope, without its port.
            SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
            _ => address.ip().to_string(),
        };
        Self {
            host,
            port: address.port(),
        }
    }
}

impl TryFrom<&str> for Address {
    type Error = AddressError;

    fn try_from(text: &str) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<(&str, u16)> for Address {
    fn from((host, port): (&str, u16)) -> Self {
        Self {
            host: host.to_owned(),
            port,
        }
    }
}

/// Where a server listens.
///
/// | text | |
/// |---|---|
/// | `8080` | this machine only: 127.0.0.1 and, where there is IPv6, ::1 |
/// | `:8080` | every interface of this machine |
/// | `stage-left:8080`, `192.0.2.7:8080`, `[::1]:8080` | this name, all of its addresses, or number |
///
/// Port 0 stands for any free one.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ListenAddress {
    pub(crate) host: ListenHost,
    pub(crate) port: u16,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum ListenHost {
    Loopback,
    Everywhere,
    Name(String),
    Number(SocketAddr),
}

impl ListenAddress {
    const EXAMPLE: &str = "a port for this machine only, such as 9080, :9080 for every interface, \
                           or an address such as 192.168.1.7:9080 or [::1]:9080";

    /// This machine only.
    #[must_use]
    pub const fn loopback(port: u16) -> Self {
        Self {
            host: ListenHost::Loopback,
            port,
        }
    }

    /// Every interface of this machine, IPv4 and IPv6.
    #[must_use]
    pub const fn everywhere(port: u16) -> Self {
        Self {
            host: ListenHost::Everywhere,
            port,
        }
    }
}

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let trimmed = text.trim();
        if let Ok(port) = trimmed.parse() {
            return Ok(Self::loopback(port));
        }
        let error = |what| AddressError::new(text, what, Self::EXAMPLE);
        if !trimmed.is_empty() && trimmed.bytes().all(|b| b.is_ascii_digit()) {
            return Err(error("the port is not a number up to 65535"));
        }
        let (host, port) = split(trimmed).map_err(error)?;
        let port = port.ok_or_else(|| error("the port is missing"))?;
        Ok(if host.is_empty() {
            Self::everywhere(port)
        } else if let Ok(number) = trimmed.parse() {
            Self::from(SocketAddr::clone(&number))
        } else {
            Self {
                host: ListenHost::Name(host.to_owned()),
                port,
            }
        })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.port;
        match &self.host {
            ListenHost::Loopback => write!(f, "{port} of this machine"),
            ListenHost::Everywhere => write!(f, ":{port}"),
            ListenHost::Name(host) => write!(f, "{host}:{port}"),
            ListenHost::Number(number) => number.fmt(f),
        }
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self {
            host: ListenHost::Number(address),
            port: address.port(),
        }
    }
}

impl From<u16> for ListenAddress {
    /// This machine only.
    fn from(port: u16) -> Self {
        Self::loopback(port)
    }
}

impl TryFrom<&str> for ListenAddress {
    type Error = AddressError;

    fn try_from(text: &str) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl TryFrom<String> for ListenAddress {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<(&str, u16)> for ListenAddress {
    /// mido's two arguments; an empty host is every interface.
    fn from((host, port): (&str, u16)) -> Self {
        let host = match host.parse::<IpAddr>() {
            _ if host.is_empty() => ListenHost::Everywhere,
            Ok(ip) => ListenHost::Number((ip, port).into()),
            Err(_) => ListenHost::Name(host.to_owned()),
        };
        Self { host, port }
    }
}

/// Both addresses of this machine that nobody else can reach.
pub(crate) const LOOPBACK: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];

/// Host without brackets, and port.
fn split(text: &str) -> Result<(&str, Option<u16>), &'static str> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("the bracket is not closed")?;
        let number = host.split('%').next().unwrap_or_default();
        if number.parse::<Ipv6Addr>().is_err() {
            return Err("that is no IPv6 address");
        }
        (host, after.strip_prefix(':'))
    } else {
        match text.rsplit_once(':') {
            Some((host, _)) if host.contains(':') => {
                return Err("an IPv6 address stands in brackets in front of a port");
            }
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    if host.contains(char::is_whitespace) {
        return Err("there is a space in it");
    }
    let port = port.map(|port| {
        let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        match port.parse() {
            Ok(port) if digits => Ok(port),
            _ => Err("the port is not a number up to 65535"),
        }
    });
    Ok((host, port.transpose()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_told_why() {
        for (text, why) in [
            ("", "the port is missing"),
            ("localhost", "the port is missing"),
            (":8080", "the host is missing"),
            ("localhost:0", "nobody can be reached at port 0"),
            ("localhost:", "the port is not a number up to 65535"),
            ("localhost:+80", "the port is not a number up to 65535"),
            ("localhost:65536", "the port is not a number up to 65535"),
            (
                "::1:8080",
                "an IPv6 address stands in brackets in front of a port",
            ),
            ("[::1:8080", "the bracket is not closed"),
            ("[localhost]:8080", "that is no IPv6 address"),
            ("[::1]", "the port is missing"),
            ("local host:80", "there is a space in it"),
        ] {
            let error = text.parse::<Address>().expect_err(text);
            assert_eq!(error.what, why, "{text}");
            assert!(
                error.to_string().starts_with(&format!("`{text}` is not")),
                "{error}"
            );
        }
        let error = "localhost".parse::<ListenAddress>().expect_err("no port");
        assert_eq!(error.what, "the port is missing");
    }

    #[test]
    fn a_bare_port_is_loopback_and_a_colon_opens_up() {
        for (text, host) in [
            ("8080", ListenHost::Loopback),
            (":8080", ListenHost::Everywhere),
            ("piano:8080", ListenHost::Name("piano".to_owned())),
            (
                "[::1]:8080",
                ListenHost::Number("[::1]:8080".parse().unwrap()),
            ),
            (
                "192.0.2.7:8080",
                ListenHost::Number("192.0.2.7:8080".parse().unwrap()),
            ),
        ] {
            let address: ListenAddress = text.parse().unwrap();
            assert_eq!((address.host, address.port), (host, 8080), "{text}");
        }
        assert_eq!(
            "0".parse::<ListenAddress>().unwrap(),
            ListenAddress::from(0)
        );
        assert_eq!(ListenAddress::from(("", 80)), ListenAddress::everywhere(80));
    }

    #[test]
    fn a_socket_address_keeps_its_scope() {
        let text = "[fe80::1%3]:9080";
        let address = Address::from(text.parse::<SocketAddr>().unwrap());
        assert_eq!(address.to_string(), text);
    }
}
