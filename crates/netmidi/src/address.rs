//! Where a peer is, as people write it.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use tokio::time::timeout;

use crate::endpoint::DEFAULT_PORT;
use crate::finding::Finder;

/// How long the DNS is waited for before sessions of that name are looked for.
const DNS_PATIENCE: Duration = Duration::from_secs(1);

/// The address of somebody to invite: a name or number with a control port, or the name of a session
/// that is announced in the local network.
///
/// A text means
///
/// - with a space in it, the session of that name: `Stage Left`;
/// - without a space, dot or colon, the host of that name; and if the DNS knows none, or says nothing
///   within a second, the session of that name: `Organ`;
/// - otherwise a host name or number, with a port or with 5004.
///
/// [`PeerAddress::session`] takes any name for that of a session. Sessions are found with the feature
/// `discovery`.
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
/// assert_eq!("Stage Left".parse::<PeerAddress>()?.session_name(), Some("Stage Left"));
/// # Ok::<(), netmidi::AddressError>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct PeerAddress {
    host: String,
    port: u16,
    kind: Kind,
}

/// What the name may be.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Kind {
    Host,
    Session,
    /// That of a host rather than a session.
    Either,
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
    /// The session of this name in the local network, whatever signs it has.
    #[must_use]
    pub fn session(name: impl Into<String>) -> Self {
        Self {
            host: name.into(),
            port: DEFAULT_PORT,
            kind: Kind::Session,
        }
    }

    /// The name or number, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The control port; of a session that is found by its name it is the one found instead.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The name, if it may be that of a session.
    #[must_use]
    pub fn session_name(&self) -> Option<&str> {
        (self.kind != Kind::Host).then_some(self.host.as_str())
    }

    /// Whether it is a number, which always means the same host.
    pub(crate) fn is_number(&self) -> bool {
        let number = self.host.split('%').next().unwrap_or_default();
        number.parse::<IpAddr>().is_ok()
    }

    /// All addresses that it stands for now, at least one; why there is none, in words.
    pub(crate) async fn resolve(&self, finder: &Finder) -> Result<Vec<SocketAddr>, String> {
        match self.kind {
            Kind::Host => self.look_up().await.map_err(|error| match error {
                Some(error) => format!(
                    "the name {} cannot be looked up ({error}); see that it is right, or use the \
                     address in numbers",
                    self.host
                ),
                None => format!("the name {} has no address", self.host),
            }),
            Kind::Session => finder.find(&self.host).await,
            Kind::Either => match timeout(DNS_PATIENCE, self.look_up()).await {
                Ok(Ok(addresses)) => Ok(addresses),
                _ => finder
                    .find(&self.host)
                    .await
                    .map_err(|reason| format!("the DNS knows no host of this name, and {reason}")),
            },
        }
    }

    /// Asks the DNS. An error of nobody: there is the name, and no address.
    async fn look_up(&self) -> Result<Vec<SocketAddr>, Option<io::Error>> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in found.map_err(Some)? {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        match addresses.is_empty() {
            true => Err(None),
            false => Ok(addresses),
        }
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
        if trimmed.contains(char::is_whitespace) {
            return Ok(Self::session(trimmed));
        }
        let kind = match trimmed.contains(['.', ':']) {
            true => Kind::Host,
            false => Kind::Either,
        };
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
            kind,
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
            kind: Kind::Host,
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
        if self.kind != Kind::Host {
            f.write_str(&self.host)
        } else if self.host.contains(':') {
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
        for text in [
            "host:5006",
            "[fe80::1%3]:5004",
            "192.0.2.7:5004",
            "Organ",
            "Örgel: links",
        ] {
            assert_eq!(text.parse::<PeerAddress>().unwrap().to_string(), text);
        }
        let scoped: SocketAddr = "[fe80::1%3]:5004".parse().unwrap();
        assert_eq!(PeerAddress::from(scoped).to_string(), "[fe80::1%3]:5004");
    }

    #[test]
    fn names_of_sessions_are_told_from_hosts() {
        let kind = |text: &str| text.parse::<PeerAddress>().unwrap().kind;
        for text in ["Stage Left", " Piano 1:2 ", "No. 1"] {
            assert_eq!(kind(text), Kind::Session, "{text}");
        }
        for text in ["Organ", "localhost", "Örgel"] {
            assert_eq!(kind(text), Kind::Either, "{text}");
        }
        for text in ["piano.local", "piano:5004", "192.0.2.7", "[::1]"] {
            assert_eq!(kind(text), Kind::Host, "{text}");
        }
        assert_eq!(PeerAddress::session("a:b").session_name(), Some("a:b"));
    }

    #[tokio::test]
    async fn numbers_keep_their_scope() {
        let address: PeerAddress = "[fe80::1%1]:5004".parse().unwrap();
        assert!(address.is_number());
        let scoped: SocketAddr = "[fe80::1%1]:5004".parse().unwrap();
        assert_eq!(address.look_up().await.unwrap(), [scoped]);
        assert!(!"localhost".parse::<PeerAddress>().unwrap().is_number());
    }
}
