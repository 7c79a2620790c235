//! Where a peer is, as people write it.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::endpoint::DEFAULT_PORT;

/// The address of somebody to invite: a name or number, and a control port.
///
/// ```
/// use netmidi::PeerAddress;
///
/// for (text, host, port) in [
///     ("stage-left.local", "stage-left.local", 5004),
///     ("stage-left.local:5006", "stage-left.local", 5006),
///     ("192.0.2.7", "192.0.2.7", 5004),
///     ("[fe80::1%eth0]:5006", "fe80::1%eth0", 5006),
///     ("2001:db8::7", "2001:db8::7", 5004),
/// ] {
///     let address: PeerAddress = text.parse()?;
///     assert_eq!((address.host(), address.port()), (host, port));
/// }
/// # Ok::<(), netmidi::AddressError>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct PeerAddress {
    host: String,
    port: u16,
}

/// Why a text is no address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "`{text}` is not an address: {what}; write a name or number with a port from 1 to 65534, such as 192.168.1.7:5004, [fe80::1%eth0]:5004 or piano.local"
)]
pub struct AddressError {
    text: String,
    what: &'static str,
}

impl PeerAddress {
    /// The name or number, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The control port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is a number, which always means the same host.
    pub(crate) fn is_number(&self) -> bool {
        let number = self.host.split('%').next().unwrap_or_default();
        number.parse::<IpAddr>().is_ok()
    }

    /// All addresses that it stands for now.
    pub(crate) async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await?;
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in found {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        Ok(addresses)
    }
}

impl FromStr for PeerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let error = |what| AddressError {
            text: text.to_owned(),
            what,
        };
        let trimmed = text.trim();
        let (host, port) = if let Some(rest) = trimmed.strip_prefix('[') {
            let Some((host, after)) = rest.split_once(']') else {
                return Err(error("the bracket is not closed"));
            };
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return Err(error("only a port may follow the bracket")),
            }
        } else {
            match trimmed.rsplit_once(':') {
                // More than one colon: an IPv6 address without brackets.
                Some((host, _)) if host.contains(':') => (trimmed, None),
                Some((host, port)) => (host, Some(port)),
                None => (trimmed, None),
            }
        };
        if host.is_empty() {
            return Err(error("the host is missing"));
        }
        if host.contains(':') {
            let number = host.split('%').next().unwrap_or_default();
            if number.parse::<Ipv6Addr>().is_err() {
                return Err(error("that is no IPv6 address"));
            }
        }
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => match port.parse() {
                Ok(port) if port != 0 && port != u16::MAX => port,
                _ => return Err(error("the port is not a number from 1 to 65534")),
            },
        };
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl From<SocketAddr> for PeerAddress {
    fn from(address: SocketAddr) -> Self {
        let host = match address {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
            other => other.ip().to_string(),
        };
        Self {
            host,
            port: address.port(),
        }
    }
}

impl TryFrom<&str> for PeerAddress {
    type Error = AddressError;

    fn try_from(text: &str) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl TryFrom<String> for PeerAddress {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<std::convert::Infallible> for AddressError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_told() {
        for text in [
            "",
            ":5004",
            "host:",
            "host:0",
            "host:65535",
            "host:99999",
            "[::1",
            "[::1]5004",
            "a:b:c",
        ] {
            let error = text.parse::<PeerAddress>().unwrap_err();
            assert!(error.to_string().contains("such as"), "{error}");
        }
    }

    #[test]
    fn an_address_is_written_as_it_is_read() {
        for text in ["host:5006", "[fe80::1%3]:5004", "192.0.2.7:5004"] {
            assert_eq!(text.parse::<PeerAddress>().unwrap().to_string(), text);
        }
        let scoped: SocketAddr = "[fe80::1%3]:5004".parse().unwrap();
        assert_eq!(PeerAddress::from(scoped).to_string(), "[fe80::1%3]:5004");
    }

    #[tokio::test]
    async fn numbers_keep_their_scope() {
        let address: PeerAddress = "[fe80::1%1]:5004".parse().unwrap();
        assert!(address.is_number());
        let scoped: SocketAddr = "[fe80::1%1]:5004".parse().unwrap();
        assert_eq!(address.resolve().await.unwrap(), [scoped]);
        assert!(!"localhost".parse::<PeerAddress>().unwrap().is_number());
    }
}
