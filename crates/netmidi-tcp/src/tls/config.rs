//! Certificates and keys as they are given to us, and what can be wrong with them.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;

/// Why certificates, keys or names cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// A file cannot be read.
    #[error("cannot read {file}: {reason}")]
    Read {
        /// Its path.
        file: String,
        /// What kind of error it is.
        kind: io::ErrorKind,
        /// What the operating system says.
        reason: String,
    },
    /// There is no certificate where one is needed.
    #[error("{place} holds no certificate; {}", certificate_advice(found))]
    NoCertificate {
        /// The file, or which of the arguments.
        place: String,
        /// What is there instead.
        found: Found,
    },
    /// There is no private key where one is needed.
    #[error("{place} holds no private key; {}", key_advice(found))]
    NoPrivateKey {
        /// The file, or which of the arguments.
        place: String,
        /// What is there instead.
        found: Found,
    },
    /// A PEM section is damaged.
    #[error("{place} is damaged: {reason}; copy it again from where it was made")]
    Damaged {
        /// The file, or which of the arguments.
        place: String,
        /// What the parser says.
        reason: String,
    },
    /// A private key is of a kind that is not supported.
    #[error(
        "the private key in {place} cannot be used: {reason}; \
         take an ECDSA key on P-256 or P-384, an Ed25519 key, or an RSA key of 2048 bits or more"
    )]
    UnusableKey {
        /// The file, or which of the arguments.
        place: String,
        /// What the TLS library says.
        reason: String,
    },
    /// The private key is not the one of the certificate.
    #[error(
        "the key in {key} does not belong to the first certificate in {certificate}; give the key \
         that this certificate was made with, and in a chain put the own certificate before its CA's"
    )]
    Mismatch {
        /// Where the certificate came from.
        certificate: String,
        /// Where the key came from.
        key: String,
    },
    /// The system's list of trusted certificates is empty or cannot be read.
    #[error(
        "this system has no list of trusted certificates{}; \
         name the certificate to trust with `tls::Client::trust`",
        in_brackets(reason)
    )]
    NothingTrusted {
        /// What was met when looking for it; may be empty.
        reason: String,
    },
    /// The name of a server is no DNS name and no IP address.
    #[error("{name:?} is neither a DNS name nor an IP address; a certificate cannot be for it")]
    ServerName {
        /// What was given.
        name: String,
    },
    /// The TLS library does not accept the settings.
    #[error("the TLS library does not accept the settings: {reason}")]
    Settings {
        /// What the library says.
        reason: String,
    },
}

/// What was found where a certificate or a key was expected.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Found {
    /// Nothing at all.
    Empty,
    /// Binary data, as in DER files.
    Binary,
    /// Text without a PEM section.
    Text,
    /// A certificate.
    Certificate,
    /// A private key.
    PrivateKey,
    /// A private key that is encrypted with a passphrase.
    EncryptedKey,
    /// Another PEM section.
    Section {
        /// Its label, "CERTIFICATE REQUEST" for example.
        label: String,
    },
}

impl Found {
    fn look(octets: &[u8]) -> Self {
        let mut labels = octets
            .split(|octet| matches!(octet, b'\n' | b'\r'))
            .filter_map(|line| line.trim_ascii().strip_prefix(b"-----BEGIN "))
            .filter_map(|line| line.strip_suffix(b"-----"))
            .peekable();
        if labels.peek().is_none() {
            return match octets.trim_ascii() {
                [] => Self::Empty,
                // An ASN.1 sequence, which every DER certificate and key is.
                [0x30, ..] if std::str::from_utf8(octets).is_err() => Self::Binary,
                _ if octets.contains(&0) => Self::Binary,
                _ => Self::Text,
            };
        }
        let mut seen = Self::Empty;
        for label in labels {
            seen = match label {
                b"CERTIFICATE" => return Self::Certificate,
                b"ENCRYPTED PRIVATE KEY" => return Self::EncryptedKey,
                b"PRIVATE KEY" | b"RSA PRIVATE KEY" | b"EC PRIVATE KEY" => Self::PrivateKey,
                // Parameters stand before the key itself in files that openssl wrote.
                _ if seen != Self::Empty => continue,
                other => Self::Section {
                    label: String::from_utf8_lossy(other).into_owned(),
                },
            };
        }
        seen
    }
}

fn certificate_advice(found: &Found) -> String {
    match found {
        Found::Empty => "it is empty".to_owned(),
        Found::Binary => "it is binary and not PEM; convert it with \
             `openssl x509 -inform der -in CERTIFICATE -out cert.pem`"
            .to_owned(),
        Found::Text => "it has no line `-----BEGIN CERTIFICATE-----`; give a PEM file".to_owned(),
        Found::PrivateKey | Found::EncryptedKey => {
            "it holds a private key; were certificate and key swapped?".to_owned()
        }
        Found::Certificate => "its certificate is not where one is looked for".to_owned(),
        Found::Section { label } => {
            format!("it holds a {label}; give the certificate that was made from it")
        }
    }
}

fn key_advice(found: &Found) -> String {
    match found {
        Found::Empty => "it is empty".to_owned(),
        Found::Binary => "it is binary and not PEM; convert it with \
             `openssl pkey -inform der -in KEY -out key.pem`"
            .to_owned(),
        Found::Text => "it has no line `-----BEGIN PRIVATE KEY-----`; give a PEM file".to_owned(),
        Found::Certificate => {
            "it holds a certificate; were certificate and key swapped, or is the key another file?"
                .to_owned()
        }
        Found::EncryptedKey => "the key in it is encrypted; decrypt it with \
             `openssl pkey -in KEY -out key.pem` and keep that file from others"
            .to_owned(),
        Found::PrivateKey => "its key is not where one is looked for".to_owned(),
        Found::Section { label } => format!("it holds a {label}; give the private key"),
    }
}

fn in_brackets(reason: &str) -> String {
    if reason.is_empty() {
        String::new()
    } else {
        format!(" ({reason})")
    }
}

/// PEM octets and the name that errors give them.
#[derive(Clone, Copy)]
pub(super) struct Pem<'a> {
    pub(super) place: &'a str,
    pub(super) octets: &'a [u8],
}

impl Pem<'_> {
    /// All certificates; at least one.
    pub(super) fn certificates(self) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(self.octets)
            .collect::<Result<_, _>>()
            .map_err(|error| self.damaged(&error))?;
        if certificates.is_empty() {
            return Err(TlsConfigError::NoCertificate {
                place: self.place.to_owned(),
                found: Found::look(self.octets),
            });
        }
        for certificate in &certificates {
            // Certificates of version 1 are fit to be trusted, though not to be shown.
            if webpki::EndEntityCert::try_from(certificate).is_err()
                && webpki::anchor_from_trusted_cert(certificate).is_err()
            {
                return Err(TlsConfigError::Damaged {
                    place: self.place.to_owned(),
                    reason: "a certificate in it cannot be read".to_owned(),
                });
            }
        }
        Ok(certificates)
    }

    fn private_key(self) -> Result<PrivateKeyDer<'static>, TlsConfigError> {
        match PrivateKeyDer::from_pem_slice(self.octets) {
            Ok(key) => Ok(key),
            Err(pem::Error::NoItemsFound) => Err(TlsConfigError::NoPrivateKey {
                place: self.place.to_owned(),
                found: Found::look(self.octets),
            }),
            Err(error) => Err(self.damaged(&error)),
        }
    }

    fn damaged(self, error: &pem::Error) -> TlsConfigError {
        TlsConfigError::Damaged {
            place: self.place.to_owned(),
            reason: match error {
                pem::Error::MissingSectionEnd { .. } => "its line `-----END` is missing".to_owned(),
                pem::Error::IllegalSectionStart { .. } => {
                    "its line `-----BEGIN` has no five hyphens at its end".to_owned()
                }
                pem::Error::Base64Decode(_) => "a section in it is not base64".to_owned(),
                other => other.to_string(),
            },
        }
    }
}

/// A certificate chain and the key of its first certificate.
pub(super) fn identity(
    chain: Pem<'_>,
    key: Pem<'_>,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, TlsConfigError> {
    let certificates = chain.certificates()?;
    match CertifiedKey::from_der(certificates, key.private_key()?, provider) {
        Ok(identity) => Ok(Arc::new(identity)),
        Err(rustls::Error::InconsistentKeys(_)) => Err(TlsConfigError::Mismatch {
            certificate: chain.place.to_owned(),
            key: key.place.to_owned(),
        }),
        Err(rustls::Error::InvalidCertificate(error)) => Err(TlsConfigError::Damaged {
            place: chain.place.to_owned(),
            reason: error.to_string(),
        }),
        Err(error) => Err(TlsConfigError::UnusableKey {
            place: key.place.to_owned(),
            reason: match error {
                rustls::Error::General(text) => text,
                other => other.to_string(),
            },
        }),
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsConfigError> {
    std::fs::read(path).map_err(|error| TlsConfigError::Read {
        file: path.display().to_string(),
        kind: error.kind(),
        reason: error.to_string(),
    })
}

/// The name that a certificate is checked against. Takes IPv6 addresses in brackets and with a zone,
/// as they stand in addresses to connect to; neither is in a certificate.
pub(super) fn server_name(host: &str) -> Result<ServerName<'static>, TlsConfigError> {
    let name = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    let name = match name.split_once('%') {
        Some((address, _zone)) if address.contains(':') => address,
        _ => name,
    };
    // "studio.local." is "studio.local", written in full.
    let name = name.strip_suffix('.').unwrap_or(name);
    ServerName::try_from(name.to_owned()).map_err(|_| TlsConfigError::ServerName {
        name: host.to_owned(),
    })
}

pub(super) fn settings(error: &dyn std::error::Error) -> TlsConfigError {
    TlsConfigError::Settings {
        reason: error.to_string(),
    }
}
