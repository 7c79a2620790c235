//! Whose certificates are believed.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use super::config::{Pem, TlsConfigError, settings};

/// Certificates that were named as trusted: each as a CA for others, and each for itself.
///
/// The library checks all that it checks anywhere. What comes on top is the certificate that is
/// trusted for itself: the library knows certificates of CAs and certificates from CAs, but what
/// `openssl req -x509` makes is both in one, and it refuses that. Its dates, its name and the
/// possession of its key are checked as ever.
#[derive(Debug)]
pub(super) struct Trusted {
    certificates: Vec<CertificateDer<'static>>,
    roots: Arc<RootCertStore>,
}

impl Trusted {
    pub(super) fn new(pem: Pem<'_>) -> Result<Self, TlsConfigError> {
        let certificates = pem.certificates()?;
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots
                .add(certificate.clone())
                .map_err(|error| TlsConfigError::Damaged {
                    place: pem.place.to_owned(),
                    reason: error.to_string(),
                })?;
        }
        Ok(Self {
            certificates,
            roots: Arc::new(roots),
        })
    }

    /// What the operating system trusts. Reads files; takes some milliseconds.
    pub(super) fn system() -> Result<Self, TlsConfigError> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (added, _unreadable) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            return Err(TlsConfigError::NothingTrusted {
                reason: found
                    .errors
                    .first()
                    .map_or_else(String::new, ToString::to_string),
            });
        }
        Ok(Self {
            certificates: Vec::new(),
            roots: Arc::new(roots),
        })
    }

    /// What to make of the library's `error` about `certificate`.
    ///
    /// All three errors come after the dates were found good.
    fn reconsider(&self, error: Error, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let unbelieved = match &error {
            Error::InvalidCertificate(CertificateError::UnknownIssuer) => true,
            // Signed by another key than the one with the same name that is trusted.
            Error::InvalidCertificate(CertificateError::BadSignature) => true,
            Error::InvalidCertificate(CertificateError::Other(other)) => matches!(
                other.0.downcast_ref::<webpki::Error>(),
                Some(webpki::Error::CaUsedAsEndEntity)
            ),
            _ => false,
        };
        if !unbelieved {
            Err(error)
        } else if self.certificates.iter().any(|known| known == certificate) {
            Ok(())
        } else {
            Err(CertificateError::UnknownIssuer.into())
        }
    }
}

/// Believes servers.
#[derive(Debug)]
pub(super) struct TrustedServers {
    trusted: Arc<Trusted>,
    library: Arc<WebPkiServerVerifier>,
}

impl TrustedServers {
    pub(super) fn new(
        trusted: Arc<Trusted>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, TlsConfigError> {
        let library =
            WebPkiServerVerifier::builder_with_provider(Arc::clone(&trusted.roots), provider)
                .build()
                .map_err(|error| settings(&error))?;
        Ok(Self { trusted, library })
    }
}

impl ServerCertVerifier for TrustedServers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.library
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            .or_else(|error| {
                self.trusted.reconsider(error, end_entity)?;
                // The library gave up before it came to the name.
                let certificate = ParsedCertificate::try_from(end_entity)?;
                rustls::client::verify_server_name(&certificate, server_name)?;
                Ok(ServerCertVerified::assertion())
            })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.library.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.library.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.library.supported_verify_schemes()
    }
}

/// Believes clients, and asks each for a certificate.
#[derive(Debug)]
pub(super) struct TrustedClients {
    trusted: Trusted,
    library: Arc<dyn ClientCertVerifier>,
}

impl TrustedClients {
    pub(super) fn new(
        trusted: Trusted,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, TlsConfigError> {
        let library =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&trusted.roots), provider)
                .build()
                .map_err(|error| settings(&error))?;
        Ok(Self { trusted, library })
    }
}

impl ClientCertVerifier for TrustedClients {
    /// None: a client has one certificate and shows it, and hears whether it is accepted. Hints
    /// would make some clients show none instead, and tell strangers whom we trust.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.library
            .verify_client_cert(end_entity, intermediates, now)
            .or_else(|error| {
                self.trusted.reconsider(error, end_entity)?;
                Ok(ClientCertVerified::assertion())
            })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.library.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.library.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.library.supported_verify_schemes()
    }
}
