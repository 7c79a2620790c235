//! What can go wrong on an encrypted connection, and what to do then.

use std::fmt;
use std::io;
use std::time::Duration;

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

use super::config::TlsConfigError;

/// Which of the two is meant, always the one at the other end.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Peer {
    /// The one that connected to us.
    Client,
    /// The one that we connected to.
    Server,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

/// Why a peer does not accept our certificate, as far as its alert tells (RFC 8446 §6.2).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Refusal {
    /// `unknown_ca`: it does not trust whoever signed it.
    NotTrusted,
    /// `certificate_expired`: it is too old, or not valid yet.
    Expired,
    /// `bad_certificate`: it is for another name, or damaged.
    Bad,
    /// `unsupported_certificate`: it was made for another purpose, or with an unknown kind of key.
    Unsupported,
    /// `certificate_revoked`.
    Revoked,
    /// `access_denied`: it is good, but its owner may not come in.
    Denied,
    /// `certificate_unknown`, `decrypt_error`: something else.
    Unsaid,
}

/// Why an encrypted connection did not come about, or ended.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The peer's certificate is too old.
    #[error(
        "the {peer}'s certificate expired on {} and here it is {}; \
         give the {peer} a new one, or set the clock of this machine",
        Day(*.expired), Day(*.now)
    )]
    Expired {
        /// Whose.
        peer: Peer,
        /// When it expired, in seconds since 1970 (UTC).
        expired: u64,
        /// Now, by the clock of this machine, in seconds since 1970 (UTC).
        now: u64,
    },
    /// The peer's certificate is for later.
    #[error(
        "the {peer}'s certificate is valid from {} on and here it is {}; \
         set the clock of this machine, or give the {peer} another certificate",
        Day(*.from), Day(*.now)
    )]
    NotYetValid {
        /// Whose.
        peer: Peer,
        /// When it begins to be valid, in seconds since 1970 (UTC).
        from: u64,
        /// Now, by the clock of this machine, in seconds since 1970 (UTC).
        now: u64,
    },
    /// The server's certificate is for other names than the one that was connected to.
    #[error("the server's certificate {}, not for {asked}; {}", Names(.names), name_advice(.names))]
    WrongName {
        /// The name or address that was connected to, or that was named instead.
        asked: String,
        /// The names and addresses in the certificate, its subjectAltName.
        names: Vec<String>,
    },
    /// Nobody who is trusted signed the peer's certificate.
    #[error("{}", untrusted(*.peer))]
    Untrusted {
        /// Whose.
        peer: Peer,
    },
    /// The peer's certificate was made for another purpose (extendedKeyUsage).
    #[error(
        "the {peer}'s certificate was not made to be shown by a {peer}; \
         give the {peer} one with {} in its extendedKeyUsage, or without that extension",
        purpose(*.peer)
    )]
    WrongPurpose {
        /// Whose.
        peer: Peer,
    },
    /// The peer's certificate cannot be used for another reason.
    #[error("the {peer}'s certificate cannot be used: {reason}; give the {peer} another one")]
    BadCertificate {
        /// Whose.
        peer: Peer,
        /// What the TLS library says.
        reason: String,
    },
    /// We ask clients for certificates, and this one has none.
    #[error(
        "the client showed no certificate, and this server asks for one; \
         give the client a certificate that this server trusts"
    )]
    NoClientCertificate,
    /// The server asks clients for certificates, and none was given to us.
    #[error(
        "the server asks for a client certificate and none was given; \
         get one that the server trusts and name it with `tls::Client::identity`"
    )]
    ClientCertificateRequired,
    /// The peer does not accept our certificate.
    #[error("the {peer} {}", refusal(*.peer, *.why))]
    Refused {
        /// Who.
        peer: Peer,
        /// Why.
        why: Refusal,
    },
    /// The peer does not speak TLS.
    #[error("{}", no_tls(*.peer))]
    NoTls {
        /// Who.
        peer: Peer,
    },
    /// The peer closed the connection before it was encrypted.
    #[error("{}", closed(*.peer))]
    Closed {
        /// Who.
        peer: Peer,
    },
    /// The connection was not encrypted in time.
    #[error("{}", timed_out(*.peer, *.after))]
    TimedOut {
        /// Who was waited for.
        peer: Peer,
        /// How long.
        after: Duration,
    },
    /// The peer speaks only versions of TLS that are not safe any more.
    #[error(
        "the {peer} and this side have no version of TLS in common; \
         TLS 1.2 or 1.3 is needed: update the {peer}, or allow it one of these"
    )]
    NoCommonVersion {
        /// Who.
        peer: Peer,
    },
    /// The peer has no way of encrypting in common with us, or hides another reason behind that.
    #[error("{}", nothing_common(*.peer))]
    NothingInCommon {
        /// Who.
        peer: Peer,
    },
    /// The server serves no such name.
    #[error(
        "the server has no certificate for the name it was asked for; \
         connect to it by a name that it has, or give one with `tls::Client::server_name`"
    )]
    UnknownName,
    /// The connection ended without the peer having said that it ends, so something may be missing at
    /// its end. The peer fell, its network did, or somebody cut the connection.
    #[error(
        "the connection to the {peer} was cut: it ended without the {peer} closing it, \
         so what was sent last may be missing"
    )]
    Cut {
        /// Who was at the other end.
        peer: Peer,
    },
    /// Our own settings cannot be used.
    #[error(transparent)]
    Config(#[from] TlsConfigError),
    /// The connection itself failed before it was encrypted.
    #[error("the connection to the {peer} failed during the TLS handshake: {reason}")]
    Io {
        /// Who was at the other end.
        peer: Peer,
        /// What kind of error it is.
        kind: io::ErrorKind,
        /// What the operating system says.
        reason: String,
    },
    /// Something else.
    #[error("TLS with the {peer} failed: {reason}")]
    Other {
        /// Who was at the other end.
        peer: Peer,
        /// What the TLS library says.
        reason: String,
    },
}

const fn purpose(peer: Peer) -> &'static str {
    match peer {
        Peer::Client => "clientAuth",
        Peer::Server => "serverAuth",
    }
}

const fn untrusted(peer: Peer) -> &'static str {
    match peer {
        Peer::Server => {
            "the server's certificate is not trusted here: nobody who is trusted signed it; \
             if it is self-signed, or was made anew, name that very certificate with \
             `tls::Client::trust`, else the certificate of its CA"
        }
        Peer::Client => {
            "the client's certificate is not trusted here: nobody who is trusted signed it; \
             if the client shall come in, give its certificate, or that of its CA, to \
             `tls::Server::require_client_certificates`"
        }
    }
}

const fn refusal(peer: Peer, why: Refusal) -> &'static str {
    match (peer, why) {
        (Peer::Client, Refusal::NotTrusted) => {
            "does not trust our certificate; \
             give the client this server's certificate, or that of its CA, to trust"
        }
        (Peer::Server, Refusal::NotTrusted) => {
            "does not trust our client certificate; \
             let the server accept it, or that of its CA, for clients"
        }
        (_, Refusal::Expired) => {
            "takes our certificate for expired or not yet valid; \
             look at its dates and at the clocks of both machines"
        }
        (Peer::Client, Refusal::Bad) => {
            "does not accept our certificate: it is for other names than the one the client \
             connects to, or damaged; make one with this server's names and addresses in its \
             subjectAltName"
        }
        (Peer::Server, Refusal::Bad) => {
            "does not accept our client certificate: to the server it is damaged or incomplete; \
             make a new one"
        }
        (Peer::Client, Refusal::Unsupported) => {
            "does not accept our certificate: it was made for another purpose or with a kind of \
             key the client does not know; make one for servers, with an ECDSA key on P-256"
        }
        (Peer::Server, Refusal::Unsupported) => {
            "does not accept our client certificate: it was made for another purpose or with a \
             kind of key the server does not know; make one for clients, with an ECDSA key on P-256"
        }
        (_, Refusal::Revoked) => {
            "does not accept our certificate: its CA has revoked it; get a new one"
        }
        (_, Refusal::Denied) => "knows our certificate and does not let us in; ask whoever runs it",
        (_, Refusal::Unsaid) => "does not accept our certificate and does not say why; its log may",
    }
}

const fn no_tls(peer: Peer) -> &'static str {
    match peer {
        Peer::Client => {
            "the client does not speak TLS, as a client for plain MIDI; \
             let it connect with TLS, or to a port without"
        }
        Peer::Server => {
            "the server does not speak TLS, as a port for plain MIDI; \
             connect without TLS, or to the port where the server has it"
        }
    }
}

const fn closed(peer: Peer) -> &'static str {
    match peer {
        Peer::Client => {
            "the client closed the connection during the TLS handshake; \
             it does not trust this server's certificate, or it only looked who is here"
        }
        Peer::Server => {
            "the server closed the connection during the TLS handshake; \
             it speaks plain MIDI, or does not admit this machine: \
             look at its log and whether its port is one with TLS"
        }
    }
}

fn timed_out(peer: Peer, after: Duration) -> String {
    match peer {
        Peer::Client => format!(
            "the client did not finish the TLS handshake within {after:?}; \
             most likely it speaks plain MIDI and had nothing to say yet: \
             let it connect with TLS, or to a port without"
        ),
        Peer::Server => format!(
            "the server did not finish the TLS handshake within {after:?}; \
             most likely it speaks plain MIDI and takes no notice of TLS: \
             connect without TLS, or to the port where the server has it"
        ),
    }
}

const fn nothing_common(peer: Peer) -> &'static str {
    match peer {
        Peer::Client => {
            "the client and this side have no way of encrypting in common; update the client, \
             or give this server a certificate with an ECDSA key on P-256 or an RSA key"
        }
        Peer::Server => {
            "the server found no way of encrypting in common, or misses a client certificate; \
             update the server, or name a certificate with `tls::Client::identity` if it asks for one"
        }
    }
}

struct Names<'a>(&'a [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_last() {
            None => f.write_str("has no names in its subjectAltName and is for nobody"),
            Some((only, [])) => write!(f, "is for {only}"),
            Some((last, others)) => write!(f, "is for {} and {last}", others.join(", ")),
        }
    }
}

const fn name_advice(names: &[String]) -> &'static str {
    if names.is_empty() {
        "make one with the server's names and addresses in its subjectAltName"
    } else {
        "connect to a name it is for, or say with `tls::Client::server_name` which one is meant"
    }
}

/// Seconds since 1970 as a day in UTC, "2031-12-24".
struct Day(u64);

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Years begin with March here, so that the leap day is the last; days are counted from
        // 1 March of the year 0, and an era is the 400 years after which the calendar repeats.
        const FROM_YEAR_0: u64 = 719_468;
        const ERA: u64 = 146_097;
        let days = self.0 / 86_400 + FROM_YEAR_0;
        let (era, day) = (days / ERA, days % ERA);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, next) = if month < 10 {
            (month + 3, 0)
        } else {
            (month - 9, 1)
        };
        write!(f, "{:04}-{month:02}-{day:02}", era * 400 + year + next)
    }
}

impl TlsError {
    /// What the handshake with `peer` failed of.
    pub(super) fn in_handshake(peer: Peer, error: &io::Error) -> Self {
        match rustls_error(error) {
            // These are the only errors about the frame of a record, which what is not TLS fails by.
            Some(Error::InvalidMessage(
                InvalidMessage::InvalidContentType
                | InvalidMessage::UnknownProtocolVersion
                | InvalidMessage::InvalidEmptyPayload
                | InvalidMessage::MessageTooLarge,
            )) => Self::NoTls { peer },
            Some(error) => Self::of_library(peer, error),
            None => match error.kind() {
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::WriteZero => Self::Closed { peer },
                kind => Self::Io {
                    peer,
                    kind,
                    reason: error.to_string(),
                },
            },
        }
    }

    /// What a read or write after the handshake failed of, if TLS has to do with it.
    fn later(peer: Peer, error: &io::Error) -> Option<Self> {
        match rustls_error(error) {
            Some(error) => Some(Self::of_library(peer, error)),
            // Only the TLS library reports an end of stream as an error.
            None if error.kind() == io::ErrorKind::UnexpectedEof => Some(Self::Cut { peer }),
            None => None,
        }
    }

    fn of_library(peer: Peer, error: &Error) -> Self {
        match error {
            Error::AlertReceived(alert) => Self::of_alert(peer, *alert, error),
            Error::InvalidCertificate(error) => Self::of_certificate(peer, error),
            Error::NoCertificatesPresented if peer == Peer::Client => Self::NoClientCertificate,
            Error::PeerIncompatible(incompatible) => match incompatible {
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::SupportedVersionsExtensionRequired
                // It came with TLS 1.2, and the library looks for it before it looks at the version.
                | PeerIncompatible::SignatureAlgorithmsExtensionRequired
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled => Self::NoCommonVersion { peer },
                PeerIncompatible::NoCipherSuitesInCommon
                | PeerIncompatible::NoKxGroupsInCommon
                | PeerIncompatible::NoSignatureSchemesInCommon
                | PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => {
                    Self::NothingInCommon { peer }
                }
                _ => Self::other(peer, error),
            },
            _ => Self::other(peer, error),
        }
    }

    fn of_alert(peer: Peer, alert: AlertDescription, error: &Error) -> Self {
        let why = match alert {
            AlertDescription::UnknownCA => Refusal::NotTrusted,
            AlertDescription::CertificateExpired => Refusal::Expired,
            AlertDescription::BadCertificate => Refusal::Bad,
            AlertDescription::UnsupportedCertificate => Refusal::Unsupported,
            AlertDescription::CertificateRevoked => Refusal::Revoked,
            AlertDescription::AccessDenied => Refusal::Denied,
            AlertDescription::CertificateUnknown | AlertDescription::DecryptError => {
                Refusal::Unsaid
            }
            AlertDescription::CertificateRequired if peer == Peer::Server => {
                return Self::ClientCertificateRequired;
            }
            AlertDescription::ProtocolVersion => return Self::NoCommonVersion { peer },
            AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
                return Self::NothingInCommon { peer };
            }
            AlertDescription::UnrecognisedName if peer == Peer::Server => {
                return Self::UnknownName;
            }
            _ => return Self::other(peer, error),
        };
        Self::Refused { peer, why }
    }

    fn of_certificate(peer: Peer, error: &CertificateError) -> Self {
        match error {
            CertificateError::ExpiredContext { time, not_after } => Self::Expired {
                peer,
                expired: seconds(not_after),
                now: seconds(time),
            },
            CertificateError::NotValidYetContext { time, not_before } => Self::NotYetValid {
                peer,
                from: seconds(not_before),
                now: seconds(time),
            },
            CertificateError::NotValidForNameContext {
                expected,
                presented,
            } => Self::WrongName {
                asked: name(expected),
                names: presented.iter().filter_map(|name| plain(name)).collect(),
            },
            CertificateError::UnknownIssuer => Self::Untrusted { peer },
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::WrongPurpose { peer }
            }
            CertificateError::Other(other) => Self::BadCertificate {
                peer,
                reason: other.to_string(),
            },
            other => Self::BadCertificate {
                peer,
                reason: other.to_string(),
            },
        }
    }

    fn other(peer: Peer, error: &Error) -> Self {
        Self::Other {
            peer,
            reason: error.to_string(),
        }
    }
}

/// Puts what it means into an error of a read or a write after the handshake.
pub(super) fn explained(peer: Peer, error: io::Error) -> io::Error {
    match TlsError::later(peer, &error) {
        Some(meaning) => io::Error::new(error.kind(), meaning),
        None => error,
    }
}

/// What an error that a [`TlsStream`](super::TlsStream) gave at a read or a write has to do with TLS;
/// `None` if nothing.
///
/// With TLS 1.3 a client is connected before the server has seen its certificate. A refusal therefore
/// comes as an error of the first read, and this tells.
#[must_use]
pub fn explain(error: &io::Error) -> Option<TlsError> {
    error.get_ref()?.downcast_ref::<TlsError>().cloned()
}

fn rustls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref::<Error>()
}

fn seconds(time: &UnixTime) -> u64 {
    time.as_secs()
}

fn name(name: &ServerName<'_>) -> String {
    name.to_str().into_owned()
}

/// A name as the library shows it, `DnsName("studio")`, without its kind. `None` for names that no
/// server is connected to by, as e-mail addresses.
fn plain(shown: &str) -> Option<String> {
    let inside = |kind| shown.strip_prefix(kind)?.strip_suffix(')');
    if let Some(name) = inside("DnsName(") {
        return Some(name.trim_matches('"').to_owned());
    }
    let address = inside("IpAddress(")?;
    // The library writes IPv6 addresses in full.
    Some(match address.parse::<std::net::IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => address.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, day) in [
            (0, "1970-01-01"),
            (86_399, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_735_689_599, "2024-12-31"),
            (1_735_689_600, "2025-01-01"),
            (4_107_542_400, "2100-03-01"),
            (253_402_300_799, "9999-12-31"),
        ] {
            assert_eq!(Day(seconds).to_string(), day);
        }
    }

    #[test]
    fn names_lose_their_kind() {
        assert_eq!(plain("DnsName(\"studio\")").as_deref(), Some("studio"));
        assert_eq!(plain("IpAddress(10.0.0.7)").as_deref(), Some("10.0.0.7"));
        assert_eq!(
            plain("IpAddress(fe80:0000:0000:0000:0000:0000:0000:0001)").as_deref(),
            Some("fe80::1")
        );
        assert_eq!(plain("DirectoryName"), None);
    }
}
