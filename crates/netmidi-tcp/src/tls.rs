//! Encrypted connections: TLS 1.2 and 1.3 by rustls, below the same octets of MIDI.
//!
//! Nothing is added to the octets: what is inside the encryption is what a plain port sends, so any
//! TLS tunnel in front of a plain port does as a peer. Both sides have to be told; nothing on a port
//! tells whether it is encrypted, and there is no way from a plain connection to an encrypted one.
//!
//! - The certificate of a server is always checked, its name too. There is no switch for that: a
//!   self-signed certificate is [named as trusted](Client::trust) instead.
//! - No application protocol (ALPN) is offered or asked for. There is no registered name for MIDI,
//!   and a port has nothing else to choose from.
//! - No session is resumed. Each connection shows its certificates anew; ports stay connected for
//!   hours, and a handshake takes about a millisecond.
//! - Revocation is not asked for. A certificate that must not be used any more is taken out of what is
//!   trusted, or was made for a short time.
//! - The cryptography is ring's, and only for the connections made here: the process-wide provider of
//!   rustls is neither used nor set.
//!
//! ```no_run
//! use netmidi_tcp::tls;
//! # use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! # use tokio::net::{TcpListener, TcpStream};
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//!
//! let tls = tls::Server::from_files("cert.pem", "key.pem")?;
//! let listener = TcpListener::bind("0.0.0.0:9080").await?;
//! let (stream, _from) = listener.accept().await?;
//! let mut stream = tls.accept(stream).await?;
//! stream.write_all(&[0x90, 0x3C, 0x40]).await?;
//! # Ok(())
//! # }
//! # async fn play() -> Result<(), Box<dyn std::error::Error>> {
//!
//! let tls = tls::Client::new().trust(std::fs::read("cert.pem")?)?;
//! let stream = TcpStream::connect("studio.local:9080").await?;
//! let mut stream = tls.connect("studio.local", stream).await?;
//! let mut octets = [0; 3];
//! stream.read_exact(&mut octets).await?;
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::io::{self, IoSlice};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::ServerName;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::OnceCell;
use tokio_rustls::{TlsAcceptor, TlsConnector};

mod config;
mod error;
mod trust;

pub use config::{Found, TlsConfigError};
pub use error::{Peer, Refusal, TlsError, explain};

use config::{Pem, settings};
use trust::{Trusted, TrustedClients, TrustedServers};

/// So long and so much a client that was refused is listened to. Its side of the connection must not
/// be thrown away with octets in it, or the system resets the connection and with it goes the alert
/// that says why.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_OCTETS: u64 = 64 << 10;

/// How a server shows who it is, and whom it lets in. A clone shares everything.
#[derive(Clone)]
pub struct Server {
    identity: Arc<CertifiedKey>,
    config: Arc<ServerConfig>,
}

impl Server {
    /// With the server's certificate, those of the CAs between it and the trusted one after it, and
    /// its private key (PKCS #8, PKCS #1 or SEC 1, not encrypted); both are PEM.
    ///
    /// # Errors
    ///
    /// There is no certificate or no key, or they cannot be used, or are not of one pair.
    pub fn new(
        certificate_chain_pem: impl AsRef<[u8]>,
        private_key_pem: impl AsRef<[u8]>,
    ) -> Result<Self, TlsConfigError> {
        Self::build(
            Pem {
                place: "the server's certificate",
                octets: certificate_chain_pem.as_ref(),
            },
            Pem {
                place: "the server's private key",
                octets: private_key_pem.as_ref(),
            },
        )
    }

    /// As [`new`](Self::new), from two files, which may be the same.
    ///
    /// # Errors
    ///
    /// As `new`, or a file cannot be read.
    pub fn from_files(
        certificate_chain: impl AsRef<Path>,
        private_key: impl AsRef<Path>,
    ) -> Result<Self, TlsConfigError> {
        let (chain, key) = (certificate_chain.as_ref(), private_key.as_ref());
        let (chain_octets, key_octets) = (config::read(chain)?, config::read(key)?);
        Self::build(
            Pem {
                place: &chain.display().to_string(),
                octets: &chain_octets,
            },
            Pem {
                place: &key.display().to_string(),
                octets: &key_octets,
            },
        )
    }

    fn build(chain: Pem<'_>, key: Pem<'_>) -> Result<Self, TlsConfigError> {
        let provider = provider();
        let identity = config::identity(chain, key, &provider)?;
        let config = Self::config(&identity, provider, None)?;
        Ok(Self { identity, config })
    }

    /// Lets in only clients that show a certificate from one of these CAs, or one of these very
    /// certificates; PEM. Without this anybody may connect, and only the server shows who it is.
    ///
    /// Certificates of servers do as little as those of others: one with an extendedKeyUsage must have
    /// `clientAuth` in it. What names it bears is not looked at.
    ///
    /// # Errors
    ///
    /// There is no certificate, or one cannot be read.
    pub fn require_client_certificates(
        self,
        ca_pem: impl AsRef<[u8]>,
    ) -> Result<Self, TlsConfigError> {
        let trusted = Trusted::new(Pem {
            place: "the CA for clients",
            octets: ca_pem.as_ref(),
        })?;
        let provider = provider();
        let clients = TrustedClients::new(trusted, Arc::clone(&provider))?;
        let config = Self::config(&self.identity, provider, Some(clients))?;
        Ok(Self { config, ..self })
    }

    fn config(
        identity: &Arc<CertifiedKey>,
        provider: Arc<CryptoProvider>,
        clients: Option<TrustedClients>,
    ) -> Result<Arc<ServerConfig>, TlsConfigError> {
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| settings(&error))?;
        let builder = match clients {
            Some(clients) => builder.with_client_cert_verifier(Arc::new(clients)),
            None => builder.with_no_client_auth(),
        };
        let mut config =
            builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(identity))));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    /// Encrypts a connection that a client began.
    ///
    /// Has no time-out of its own for a client that says nothing; put one around it, and tell it with
    /// [`timed_out`](Self::timed_out). A client that was refused is told why and then listened to for
    /// up to a second, so that it hears it. A client for plain MIDI that is sent an alert takes it for
    /// seven octets of data without a status and passes them over.
    ///
    /// # Errors
    ///
    /// The handshake failed, and `stream` is closed.
    pub async fn accept<S>(&self, stream: S) -> Result<TlsStream<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let peer = Peer::Client;
        let acceptor = TlsAcceptor::from(Arc::clone(&self.config));
        match acceptor.accept(stream).into_fallible().await {
            Ok(stream) => Ok(TlsStream {
                stream: stream.into(),
                peer,
            }),
            Err((error, mut stream)) => {
                if stream.shutdown().await.is_ok() {
                    let mut rest = stream.take(LINGER_OCTETS);
                    let mut nowhere = tokio::io::sink();
                    let reading = tokio::io::copy(&mut rest, &mut nowhere);
                    let _ = tokio::time::timeout(LINGER, reading).await;
                }
                Err(TlsError::in_handshake(peer, &error))
            }
        }
    }

    /// What it means that [`accept`](Self::accept) did not come to an end within `after`.
    #[must_use]
    pub const fn timed_out(after: Duration) -> TlsError {
        TlsError::TimedOut {
            peer: Peer::Client,
            after,
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

/// Which servers a client believes, and how it shows who it is. A clone shares everything.
#[derive(Clone, Default)]
pub struct Client {
    /// What the system trusts if `None`.
    trusted: Option<Arc<Trusted>>,
    identity: Option<Arc<CertifiedKey>>,
    server_name: Option<ServerName<'static>>,
    /// Made at the first connection, because the system's trust is read from files.
    config: Arc<OnceCell<Arc<ClientConfig>>>,
}

impl Client {
    /// Believes servers that the operating system believes, and shows no certificate.
    ///
    /// What the system trusts is read at the first connection, and again by a new `Client` only. The
    /// environment variables `SSL_CERT_FILE` and `SSL_CERT_DIR` replace it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Believes exactly these certificates and those that they signed, and nobody else; PEM.
    ///
    /// It takes self-signed certificates of servers as well as certificates of CAs. Dates and names
    /// are checked in any case. Named again, the last counts.
    ///
    /// # Errors
    ///
    /// There is no certificate, or one cannot be read.
    pub fn trust(self, ca_or_certificate_pem: impl AsRef<[u8]>) -> Result<Self, TlsConfigError> {
        let trusted = Trusted::new(Pem {
            place: "the trusted certificate",
            octets: ca_or_certificate_pem.as_ref(),
        })?;
        Ok(Self {
            trusted: Some(Arc::new(trusted)),
            config: Arc::default(),
            ..self
        })
    }

    /// Shows this certificate to servers that ask for one; certificate and key as for
    /// [`Server::new`].
    ///
    /// # Errors
    ///
    /// There is no certificate or no key, or they cannot be used, or are not of one pair.
    pub fn identity(
        self,
        certificate_chain_pem: impl AsRef<[u8]>,
        private_key_pem: impl AsRef<[u8]>,
    ) -> Result<Self, TlsConfigError> {
        let identity = config::identity(
            Pem {
                place: "the client's certificate",
                octets: certificate_chain_pem.as_ref(),
            },
            Pem {
                place: "the client's private key",
                octets: private_key_pem.as_ref(),
            },
            &provider(),
        )?;
        Ok(Self {
            identity: Some(identity),
            config: Arc::default(),
            ..self
        })
    }

    /// The server's certificate must be for this DNS name or IP address, instead of for the host that is
    /// connected to.
    ///
    /// # Errors
    ///
    /// It is neither.
    pub fn server_name(self, name: &str) -> Result<Self, TlsConfigError> {
        Ok(Self {
            server_name: Some(config::server_name(name)?),
            ..self
        })
    }

    /// Encrypts a connection to a server. `host` is the DNS name or the IP address that was connected to;
    /// an IPv6 address may stand in brackets.
    ///
    /// Has no time-out of its own; put one around it, and tell it with
    /// [`timed_out`](Self::timed_out).
    ///
    /// A peer for plain MIDI that does not know TLS takes the greeting for music: mido 1.3.3 plays some
    /// two dozen random messages.
    ///
    /// With TLS 1.3 the connection is up before the server has looked at the client's certificate. If
    /// the server does not accept it, the first read fails; [`explain`] tells why.
    ///
    /// # Errors
    ///
    /// The handshake failed, and `stream` is closed; or the settings cannot be used.
    pub async fn connect<S>(&self, host: &str, mut stream: S) -> Result<TlsStream<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let peer = Peer::Server;
        let (name, config) = match self.prepare(host).await {
            Ok(prepared) => prepared,
            Err(error) => {
                let _ = stream.shutdown().await;
                return Err(error.into());
            }
        };
        match TlsConnector::from(config)
            .connect(name, stream)
            .into_fallible()
            .await
        {
            Ok(stream) => Ok(TlsStream {
                stream: stream.into(),
                peer,
            }),
            Err((error, mut stream)) => {
                let _ = stream.shutdown().await;
                Err(TlsError::in_handshake(peer, &error))
            }
        }
    }

    async fn prepare(
        &self,
        host: &str,
    ) -> Result<(ServerName<'static>, Arc<ClientConfig>), TlsConfigError> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => config::server_name(host)?,
        };
        let config = self.config.get_or_try_init(|| self.config()).await?;
        Ok((name, Arc::clone(config)))
    }

    async fn config(&self) -> Result<Arc<ClientConfig>, TlsConfigError> {
        let trusted = match &self.trusted {
            Some(trusted) => Arc::clone(trusted),
            None => tokio::task::spawn_blocking(Trusted::system)
                .await
                .map_err(|error| settings(&error))?
                .map(Arc::new)?,
        };
        let provider = provider();
        let servers = TrustedServers::new(trusted, Arc::clone(&provider))?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| settings(&error))?
            // The name is rustls': the verifier is the library's own with one thing more, see there.
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(servers));
        let mut config = match &self.identity {
            Some(identity) => builder
                .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(identity)))),
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }

    /// What it means that [`connect`](Self::connect) did not come to an end within `after`.
    #[must_use]
    pub const fn timed_out(after: Duration) -> TlsError {
        TlsError::TimedOut {
            peer: Peer::Server,
            after,
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// An encrypted connection over `S`.
///
/// Its end is an end of stream if the peer closed it (`close_notify`). A connection that was cut
/// gives an error of the kind [`io::ErrorKind::UnexpectedEof`] instead, and [`explain`] says
/// [`TlsError::Cut`]; all octets that came before it were read by then. Some peers, Python's `ssl`
/// among them, leave without closing as a rule: it is an end like any other, worth a line in a log.
///
/// Its shutdown tells the peer that no more octets come, and then shuts `S` down.
#[derive(Debug)]
pub struct TlsStream<S> {
    stream: tokio_rustls::TlsStream<S>,
    peer: Peer,
}

impl<S> TlsStream<S> {
    /// The connection that carries it.
    pub fn get_ref(&self) -> &S {
        self.stream.get_ref().0
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let peer = this.peer;
        Pin::new(&mut this.stream)
            .poll_read(cx, buf)
            .map_err(|error| error::explained(peer, error))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let peer = this.peer;
        Pin::new(&mut this.stream)
            .poll_write(cx, buf)
            .map_err(|error| error::explained(peer, error))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let peer = this.peer;
        Pin::new(&mut this.stream)
            .poll_write_vectored(cx, bufs)
            .map_err(|error| error::explained(peer, error))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let peer = this.peer;
        Pin::new(&mut this.stream)
            .poll_flush(cx)
            .map_err(|error| error::explained(peer, error))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let peer = this.peer;
        Pin::new(&mut this.stream)
            .poll_shutdown(cx)
            .map_err(|error| error::explained(peer, error))
    }
}
