//! Encrypted connections come about, carry every octet, and say in one sentence why not.
#![cfg(feature = "tls")]
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use netmidi_tcp::tls::{Client, Peer, Server, TlsConfigError, TlsError, TlsStream, explain};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(10);

const NOTES: [u8; 7] = [0x90, 0x3C, 0x40, 0xF8, 0x80, 0x3C, 0x00];

const SERVER_UNTRUSTED: &str = "the server's certificate is not trusted here: nobody who is \
     trusted signed it; if it is self-signed, or was made anew, name that very certificate with \
     `tls::Client::trust`, else the certificate of its CA";
const CLIENT_UNTRUSTED: &str = "the client's certificate is not trusted here: nobody who is \
     trusted signed it; if the client shall come in, give its certificate, or that of its CA, to \
     `tls::Server::require_client_certificates`";
const CLIENT_REFUSES_CA: &str = "the client does not trust our certificate; \
     give the client this server's certificate, or that of its CA, to trust";
const SERVER_REFUSES_CA: &str = "the server does not trust our client certificate; \
     let the server accept it, or that of its CA, for clients";
const CLIENT_REFUSES_DATE: &str = "the client takes our certificate for expired or not yet valid; \
     look at its dates and at the clocks of both machines";
const SERVER_REFUSES_DATE: &str = "the server takes our certificate for expired or not yet valid; \
     look at its dates and at the clocks of both machines";
const CLIENT_REFUSES_NAME: &str = "the client does not accept our certificate: it is for other \
     names than the one the client connects to, or damaged; make one with this server's names and \
     addresses in its subjectAltName";
const CLIENT_WITHOUT: &str = "the client showed no certificate, and this server asks for one; \
     give the client a certificate that this server trusts";
const CLIENT_NEEDED: &str = "the server asks for a client certificate and none was given; \
     get one that the server trusts and name it with `tls::Client::identity`";
const PLAIN_CLIENT: &str = "the client does not speak TLS, as a client for plain MIDI; \
     let it connect with TLS, or to a port without";
const PLAIN_SERVER: &str = "the server does not speak TLS, as a port for plain MIDI; \
     connect without TLS, or to the port where the server has it";
const CLOSED_SERVER: &str = "the server closed the connection during the TLS handshake; \
     it speaks plain MIDI, or does not admit this machine: \
     look at its log and whether its port is one with TLS";
const CLOSED_CLIENT: &str = "the client closed the connection during the TLS handshake; \
     it does not trust this server's certificate, or it only looked who is here";

/// A certificate and its key, as PEM.
struct Made {
    cert: String,
    key: String,
}

impl Made {
    fn server(&self) -> Server {
        Server::new(&self.cert, &self.key).unwrap()
    }

    fn shown_by(&self, client: Client) -> Client {
        client.identity(&self.cert, &self.key).unwrap()
    }
}

fn trusting(made: &str) -> Client {
    Client::new().trust(made).unwrap()
}

struct Ca {
    issuer: Issuer<'static, KeyPair>,
    cert: String,
}

impl Ca {
    fn new(name: &str) -> Self {
        Self::with_key(name, KeyPair::generate().unwrap())
    }

    fn with_key(name: &str, key: KeyPair) -> Self {
        let mut params = named(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let cert = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            cert,
        }
    }

    fn make(&self, params: &CertificateParams) -> Made {
        let key = KeyPair::generate().unwrap();
        Made {
            cert: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

fn named(name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn local() -> CertificateParams {
    named("server", &["localhost", "127.0.0.1", "::1"])
}

fn expired() -> CertificateParams {
    let mut params = local();
    params.not_before = date_time_ymd(2019, 3, 1);
    params.not_after = date_time_ymd(2020, 2, 29);
    params
}

fn future() -> CertificateParams {
    let mut params = local();
    params.not_before = date_time_ymd(2999, 12, 31);
    params
}

/// As `openssl req -x509` makes it: its own issuer, and marked as a CA's.
fn self_signed(mut params: CertificateParams) -> Made {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    Made {
        cert: params.self_signed(&key).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

async fn tcp(address: &str) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((address, 0)).await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    (listener.accept().await.unwrap().0, near)
}

fn duplex() -> (DuplexStream, DuplexStream) {
    tokio::io::duplex(1 << 16)
}

/// Both sides of a handshake. The client sends at once, as a player does, and then reads: with TLS
/// 1.3 it hears of a refusal only then.
async fn outcome<S>(
    server: &Server,
    client: &Client,
    host: &str,
    (far, near): (S, S),
) -> (Option<TlsError>, Option<TlsError>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let serving = async {
        let mut stream = match server.accept(far).await {
            Ok(stream) => stream,
            Err(error) => return Some(error),
        };
        let mut octets = [0; 7];
        stream.read_exact(&mut octets).await.unwrap();
        assert_eq!(octets, NOTES);
        stream.write_all(&octets).await.unwrap();
        stream.flush().await.unwrap();
        None
    };
    let playing = async {
        let mut stream = match client.connect(host, near).await {
            Ok(stream) => stream,
            Err(error) => return Some(error),
        };
        let _ = stream.write_all(&NOTES).await;
        let _ = stream.flush().await;
        let mut octets = [0; 7];
        match stream.read_exact(&mut octets).await {
            Ok(_) => {
                assert_eq!(octets, NOTES);
                None
            }
            Err(error) => Some(explain(&error).unwrap_or_else(|| panic!("unexplained: {error}"))),
        }
    };
    tokio::time::timeout(LONG, async { tokio::join!(serving, playing) })
        .await
        .unwrap()
}

async fn meets(server: &Server, client: &Client, host: &str) {
    for (at_server, at_client) in [
        outcome(server, client, host, duplex()).await,
        outcome(server, client, host, tcp("127.0.0.1").await).await,
    ] {
        assert_eq!((at_server, at_client), (None, None));
    }
}

async fn refused(server: &Server, client: &Client, host: &str, says: [&str; 2]) {
    for (at_server, at_client) in [
        outcome(server, client, host, duplex()).await,
        outcome(server, client, host, tcp("127.0.0.1").await).await,
    ] {
        assert_eq!(at_server.unwrap().to_string(), says[0]);
        assert_eq!(at_client.unwrap().to_string(), says[1]);
    }
}

/// Today's date in the words of the errors; asked for before and after in case midnight passes.
fn today(error: &TlsError) -> u64 {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    match error {
        TlsError::Expired { now: then, .. } | TlsError::NotYetValid { now: then, .. } => {
            assert!(now.abs_diff(*then) < 60);
            *then
        }
        other => panic!("{other}"),
    }
}

/// The day of that second, by another way of counting than the library's.
fn day(seconds: u64) -> String {
    let date = date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
    format!(
        "{:04}-{:02}-{:02}",
        date.year(),
        u8::from(date.month()),
        date.day()
    )
}

#[tokio::test]
async fn octets_pass_both_ways_under_every_name() {
    let ca = Ca::new("ca");
    let server = ca.make(&local()).server();
    let client = trusting(&ca.cert);
    for host in [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "127.0.0.1",
        "::1",
        "[::1]",
    ] {
        meets(&server, &client, host).await;
    }
    let (at_server, at_client) = outcome(&server, &client, "::1", tcp("::1").await).await;
    assert_eq!((at_server, at_client), (None, None));
}

#[tokio::test]
async fn every_octet_passes_and_much_of_it() {
    let ca = Ca::new("ca");
    let (server, client) = (ca.make(&local()).server(), trusting(&ca.cert));
    let octets: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let (far, near) = tcp("127.0.0.1").await;
    let (far, near) = tokio::join!(server.accept(far), client.connect("localhost", near));
    let swap = |stream: TlsStream<TcpStream>| {
        let octets = octets.clone();
        async move {
            let (mut reader, mut writer) = tokio::io::split(stream);
            let mut heard = Vec::new();
            let writing = async {
                writer.write_all(&octets).await.unwrap();
                writer.shutdown().await.unwrap();
            };
            let ((), read) = tokio::join!(writing, reader.read_to_end(&mut heard));
            read.unwrap();
            assert!(heard == octets);
        }
    };
    tokio::time::timeout(LONG, async {
        tokio::join!(swap(far.unwrap()), swap(near.unwrap()))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_self_signed_certificate_is_good_once_it_is_trusted() {
    let made = self_signed(local());
    meets(&made.server(), &trusting(&made.cert), "localhost").await;
    meets(&made.server(), &trusting(&made.cert), "127.0.0.1").await;
    // Not marked as a CA's.
    let key = KeyPair::generate().unwrap();
    let plain = Made {
        cert: local().self_signed(&key).unwrap().pem(),
        key: key.serialize_pem(),
    };
    meets(&plain.server(), &trusting(&plain.cert), "localhost").await;
    // From a CA that nobody knows.
    let leaf = Ca::new("unknown").make(&local());
    meets(&leaf.server(), &trusting(&leaf.cert), "localhost").await;
    // One of several.
    let several = format!("{}{}{}", plain.cert, leaf.cert, made.cert);
    for made in [&plain, &leaf, &made] {
        meets(&made.server(), &trusting(&several), "localhost").await;
    }
}

#[tokio::test]
async fn a_trusted_certificate_is_still_checked() {
    let made = self_signed(named("server", &["studio.local", "10.0.0.7", "fe80::1"]));
    refused(
        &made.server(),
        &trusting(&made.cert),
        "localhost",
        [
            CLIENT_REFUSES_NAME,
            "the server's certificate is for studio.local, 10.0.0.7 and fe80::1, not for localhost; \
             connect to a name it is for, or say with `tls::Client::server_name` which one is meant",
        ],
    )
    .await;
    for params in [expired(), future()] {
        let made = self_signed(params);
        let (server, client) = (made.server(), trusting(&made.cert));
        let (at_server, at_client) = outcome(&server, &client, "localhost", duplex()).await;
        assert_eq!(at_server.unwrap().to_string(), CLIENT_REFUSES_DATE);
        today(&at_client.unwrap());
    }
    // The same for one from a CA that is not trusted itself, and for clients.
    let leaf = Ca::new("unknown").make(&expired());
    let (server, client) = (leaf.server(), trusting(&leaf.cert));
    let (at_server, at_client) = outcome(&server, &client, "localhost", duplex()).await;
    assert_eq!(at_server.unwrap().to_string(), CLIENT_REFUSES_DATE);
    today(&at_client.unwrap());
    let host = self_signed(local());
    for late in [leaf, self_signed(expired()), self_signed(future())] {
        let server = host
            .server()
            .require_client_certificates(&late.cert)
            .unwrap();
        let client = late.shown_by(trusting(&host.cert));
        let (at_server, at_client) = outcome(&server, &client, "localhost", duplex()).await;
        today(&at_server.unwrap());
        assert_eq!(at_client.unwrap().to_string(), SERVER_REFUSES_DATE);
    }
    // It is trusted, but another has its key: the name and the certificate are not enough.
    let real = self_signed(local());
    let thief = self_signed(local());
    let error = Server::new(&real.cert, &thief.key).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the key in the server's private key does not belong to the first certificate in the \
         server's certificate; give the key that this certificate was made with, and in a chain \
         put the own certificate before its CA's"
    );
    let stolen = stolen(&real.cert, &thief.key);
    let (far, near) = duplex();
    let client = trusting(&real.cert);
    let (at_server, at_client) =
        tokio::join!(stolen.accept(far), client.connect("localhost", near));
    assert!(at_server.is_err());
    assert_eq!(
        at_client.unwrap_err().to_string(),
        "the server's certificate cannot be used: BadSignature; give the server another one"
    );
}

/// A server that shows a certificate whose key it does not have.
fn stolen(cert: &str, key: &str) -> tokio_rustls::TlsAcceptor {
    let provider = rustls::crypto::ring::default_provider();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()];
    let shown = rustls::sign::CertifiedKey::new(chain, key);
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(shown)));
    Arc::new(config).into()
}

#[tokio::test]
async fn a_certificate_of_nobody_trusted_is_refused() {
    let says = [CLIENT_REFUSES_CA, SERVER_UNTRUSTED];
    let (ours, theirs) = (Ca::new("ours"), Ca::new("theirs"));
    refused(
        &theirs.make(&local()).server(),
        &trusting(&ours.cert),
        "localhost",
        says,
    )
    .await;
    // The CA made anew under the same name.
    let again = Ca::new("ours");
    refused(
        &again.make(&local()).server(),
        &trusting(&ours.cert),
        "localhost",
        says,
    )
    .await;
    // Self-signed, and made anew.
    let (old, new) = (self_signed(local()), self_signed(local()));
    refused(&new.server(), &trusting(&ours.cert), "localhost", says).await;
    refused(&new.server(), &trusting(&old.cert), "localhost", says).await;
    // What the client trusts replaces what was trusted before.
    let client = trusting(&new.cert).trust(&ours.cert).unwrap();
    refused(&new.server(), &client, "localhost", says).await;
}

#[tokio::test]
async fn the_name_is_checked_and_can_be_another() {
    let ca = Ca::new("ca");
    let server = ca.make(&named("server", &["studio.local"])).server();
    let client = trusting(&ca.cert);
    for (host, shown) in [
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "::1"),
        ("stage", "stage"),
    ] {
        let says = format!(
            "the server's certificate is for studio.local, not for {shown}; connect to a name it is \
             for, or say with `tls::Client::server_name` which one is meant"
        );
        refused(&server, &client, host, [CLIENT_REFUSES_NAME, &says]).await;
    }
    let meant = client.clone().server_name("studio.local").unwrap();
    meets(&server, &meant, "127.0.0.1").await;

    let nameless = ca.make(&named("localhost", &[])).server();
    refused(
        &nameless,
        &client,
        "localhost",
        [
            CLIENT_REFUSES_NAME,
            "the server's certificate has no names in its subjectAltName and is for nobody, not for \
             localhost; make one with the server's names and addresses in its subjectAltName",
        ],
    )
    .await;

    let (_far, near) = duplex();
    assert_eq!(
        client
            .connect("no name", near)
            .await
            .unwrap_err()
            .to_string(),
        "\"no name\" is neither a DNS name nor an IP address; a certificate cannot be for it"
    );
    assert!(client.server_name("").is_err());
}

#[tokio::test]
async fn dates_are_checked() {
    let ca = Ca::new("ca");
    let client = trusting(&ca.cert);
    let server = ca.make(&expired()).server();
    let (at_server, at_client) = outcome(&server, &client, "localhost", duplex()).await;
    let at_client = at_client.unwrap();
    assert_eq!(at_server.unwrap().to_string(), CLIENT_REFUSES_DATE);
    assert_eq!(
        at_client.to_string(),
        format!(
            "the server's certificate expired on 2020-02-29 and here it is {}; \
             give the server a new one, or set the clock of this machine",
            day(today(&at_client))
        )
    );
    let server = ca.make(&future()).server();
    let (at_server, at_client) = outcome(&server, &client, "localhost", tcp("::1").await).await;
    let at_client = at_client.unwrap();
    assert_eq!(at_server.unwrap().to_string(), CLIENT_REFUSES_DATE);
    assert_eq!(
        at_client.to_string(),
        format!(
            "the server's certificate is valid from 2999-12-31 on and here it is {}; \
             set the clock of this machine, or give the server another certificate",
            day(today(&at_client))
        )
    );
}

#[tokio::test]
async fn clients_are_asked_for_certificates() {
    let (ca, clients, others) = (Ca::new("ca"), Ca::new("clients"), Ca::new("others"));
    let open = ca.make(&local()).server();
    let server = open
        .clone()
        .require_client_certificates(&clients.cert)
        .unwrap();
    let client = trusting(&ca.cert);
    let player = named("player", &[]);

    let known = clients.make(&player).shown_by(client.clone());
    meets(&server, &known, "localhost").await;
    meets(&open, &known, "localhost").await;

    refused(
        &server,
        &client,
        "localhost",
        [CLIENT_WITHOUT, CLIENT_NEEDED],
    )
    .await;

    let says = [CLIENT_UNTRUSTED, SERVER_REFUSES_CA];
    let stranger = others.make(&player).shown_by(client.clone());
    refused(&server, &stranger, "localhost", says).await;
    let own = self_signed(player.clone());
    let alone = own.shown_by(client.clone());
    refused(&server, &alone, "localhost", says).await;
    // Until that very certificate is let in.
    let lets_in = open.require_client_certificates(&own.cert).unwrap();
    meets(&lets_in, &alone, "localhost").await;
    refused(&lets_in, &known, "localhost", says).await;

    let late = clients.make(&expired()).shown_by(client.clone());
    let (at_server, at_client) = outcome(&server, &late, "localhost", duplex()).await;
    let at_server = at_server.unwrap();
    assert_eq!(at_client.unwrap().to_string(), SERVER_REFUSES_DATE);
    assert_eq!(
        at_server.to_string(),
        format!(
            "the client's certificate expired on 2020-02-29 and here it is {}; \
             give the client a new one, or set the clock of this machine",
            day(today(&at_server))
        )
    );

    let mut purpose = player;
    purpose.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let wrong = clients.make(&purpose).shown_by(client);
    refused(
        &server,
        &wrong,
        "localhost",
        [
            "the client's certificate was not made to be shown by a client; give the client one \
             with clientAuth in its extendedKeyUsage, or without that extension",
            "the server does not accept our client certificate: it was made for another purpose or \
             with a kind of key the server does not know; make one for clients, with an ECDSA key \
             on P-256",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_certificate_for_clients_is_none_for_a_server() {
    let ca = Ca::new("ca");
    let mut purpose = local();
    purpose.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    refused(
        &ca.make(&purpose).server(),
        &trusting(&ca.cert),
        "localhost",
        [
            "the client does not accept our certificate: it was made for another purpose or with a \
             kind of key the client does not know; make one for servers, with an ECDSA key on P-256",
            "the server's certificate was not made to be shown by a server; give the server one \
             with serverAuth in its extendedKeyUsage, or without that extension",
        ],
    )
    .await;
}

/// A refused client may have sent more than the server reads; it hears the reason all the same.
#[tokio::test]
async fn a_busy_client_hears_why_it_was_refused() {
    let ca = Ca::new("ca");
    let server = ca
        .make(&local())
        .server()
        .require_client_certificates(&ca.cert)
        .unwrap();
    let client = trusting(&ca.cert);
    for _ in 0..20 {
        let (far, near) = tcp("127.0.0.1").await;
        let serving = tokio::spawn({
            let server = server.clone();
            async move { server.accept(far).await.map(|_| ()) }
        });
        let mut stream = client.connect("localhost", near).await.unwrap();
        for _ in 0..40 {
            let _ = stream.write_all(&[0xF8; 1_000]).await;
        }
        let error = stream.read_u8().await.unwrap_err();
        assert_eq!(explain(&error), Some(TlsError::ClientCertificateRequired));
        drop(stream);
        assert_eq!(
            serving.await.unwrap().unwrap_err(),
            TlsError::NoClientCertificate
        );
    }
}

#[tokio::test]
async fn a_plain_client_is_known_by_its_first_octets() {
    let server = Ca::new("ca").make(&local()).server();
    for first in [
        &[0x90, 0x3C, 0x40][..],
        &[0xF8],
        b"MIDI/1.0\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        &[0xF0, 0x7E, 0x7F, 0x06, 0x01, 0xF7],
        &[0xFE],
        &[0xC0, 0x00],
    ] {
        for over_tcp in [false, true] {
            let answer = if over_tcp {
                plain_client(&server, first, tcp("127.0.0.1").await).await
            } else {
                plain_client(&server, first, duplex()).await
            };
            // The alert `decode_error`: no octet that a plain peer takes for a message.
            assert_eq!(answer, [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x32]);
            assert!(answer.iter().all(|&octet| octet < 0x80));
        }
    }
}

async fn plain_client<S>(server: &Server, first: &[u8], (far, mut near): (S, S)) -> Vec<u8>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let playing = async {
        let mut answer = Vec::new();
        near.write_all(first).await.unwrap();
        near.read_to_end(&mut answer).await.unwrap();
        drop(near);
        answer
    };
    let (accepted, answer) =
        tokio::time::timeout(LONG, async { tokio::join!(server.accept(far), playing) })
            .await
            .unwrap();
    let error = accepted.err().unwrap();
    assert_eq!(error, TlsError::NoTls { peer: Peer::Client });
    assert_eq!(error.to_string(), PLAIN_CLIENT);
    answer
}

#[tokio::test]
async fn a_plain_client_that_stays_holds_the_server_for_a_second_only() {
    let server = Ca::new("ca").make(&local()).server();
    let (far, mut near) = tcp("127.0.0.1").await;
    near.write_all(&NOTES).await.unwrap();
    let begun = std::time::Instant::now();
    let error = server.accept(far).await.unwrap_err();
    assert_eq!(error, TlsError::NoTls { peer: Peer::Client });
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn a_silent_peer_is_a_time_out_with_a_reason() {
    let ca = Ca::new("ca");
    let (server, client) = (ca.make(&local()).server(), trusting(&ca.cert));
    let short = Duration::from_millis(200);
    let (far, near) = tcp("127.0.0.1").await;
    assert!(
        tokio::time::timeout(short, server.accept(far))
            .await
            .is_err()
    );
    drop(near);
    assert_eq!(
        Server::timed_out(Duration::from_secs(10)).to_string(),
        "the client did not finish the TLS handshake within 10s; most likely it speaks plain MIDI \
         and had nothing to say yet: let it connect with TLS, or to a port without"
    );
    let (far, near) = tcp("127.0.0.1").await;
    let connecting = client.connect("127.0.0.1", near);
    assert!(tokio::time::timeout(short, connecting).await.is_err());
    drop(far);
    assert_eq!(
        Client::timed_out(Duration::from_millis(2_500)).to_string(),
        "the server did not finish the TLS handshake within 2.5s; most likely it speaks plain MIDI \
         and takes no notice of TLS: connect without TLS, or to the port where the server has it"
    );
}

#[tokio::test]
async fn a_plain_server_is_known_by_its_answer() {
    let client = trusting(&Ca::new("ca").cert);
    for answer in [
        &[0x90, 0x3C, 0x40][..],
        &[0xFE],
        b"MIDI/1.0\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ] {
        let (mut far, near) = tcp("127.0.0.1").await;
        far.write_all(answer).await.unwrap();
        let error = tokio::time::timeout(LONG, client.connect("127.0.0.1", near))
            .await
            .unwrap()
            .unwrap_err();
        assert_eq!(error, TlsError::NoTls { peer: Peer::Server });
        assert_eq!(error.to_string(), PLAIN_SERVER);
    }
}

#[tokio::test]
async fn a_peer_that_closes_at_once_is_told() {
    let ca = Ca::new("ca");
    let (server, client) = (ca.make(&local()).server(), trusting(&ca.cert));
    for read_first in [false, true] {
        let (mut far, near) = tcp("127.0.0.1").await;
        let (connected, ()) = tokio::join!(client.connect("127.0.0.1", near), async move {
            if read_first {
                let _ = far.read(&mut [0; 4096]).await.unwrap();
            }
            // Unread octets make this a reset.
            drop(far);
        });
        assert_eq!(connected.unwrap_err().to_string(), CLOSED_SERVER);
    }
    let (far, near) = duplex();
    drop(far);
    let error = client.connect("localhost", near).await.unwrap_err();
    assert_eq!(error.to_string(), CLOSED_SERVER);

    for some in [&[][..], &[0x16, 0x03, 0x01]] {
        let (far, mut near) = tcp("127.0.0.1").await;
        near.write_all(some).await.unwrap();
        drop(near);
        let error = server.accept(far).await.unwrap_err();
        assert_eq!(error.to_string(), CLOSED_CLIENT);
    }
}

#[tokio::test]
async fn old_versions_are_named() {
    let ca = Ca::new("ca");
    // RFC 4346 §7.4.1.2: a client hello of TLS 1.1 with one cipher suite. One without extensions, one
    // with `signature_algorithms`.
    let mut short = vec![
        0x16, 0x03, 0x02, 0x00, 0x2D, 0x01, 0x00, 0x00, 0x29, 0x03, 0x02,
    ];
    short.extend([7; 32]);
    short.extend([0x00, 0x00, 0x02, 0x00, 0x2F, 0x01, 0x00]);
    let mut long = short.clone();
    long.extend([0x00, 0x08, 0x00, 0x0D, 0x00, 0x04, 0x00, 0x02, 0x04, 0x03]);
    (long[4], long[8]) = (0x2D + 10, 0x29 + 10);
    let server = ca.make(&local()).server();
    for (hello, alert) in [(short, 40), (long, 70)] {
        let (far, mut near) = duplex();
        let (accepted, answer) = tokio::join!(server.accept(far), async move {
            let mut answer = Vec::new();
            near.write_all(&hello).await.unwrap();
            near.read_to_end(&mut answer).await.unwrap();
            answer
        });
        assert_eq!(
            accepted.unwrap_err().to_string(),
            "the client and this side have no version of TLS in common; TLS 1.2 or 1.3 is needed: \
             update the client, or allow it one of these"
        );
        assert_eq!((answer[0], answer.len(), answer[6]), (21, 7, alert));
    }

    // The alert `protocol_version`.
    let (mut far, near) = duplex();
    far.write_all(&[21, 3, 1, 0, 2, 2, 70]).await.unwrap();
    let error = trusting(&ca.cert)
        .connect("localhost", near)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the server and this side have no version of TLS in common; TLS 1.2 or 1.3 is needed: \
         update the server, or allow it one of these"
    );
}

#[tokio::test]
async fn alerts_are_sentences() {
    let ca = Ca::new("ca");
    let (server, client) = (ca.make(&local()).server(), trusting(&ca.cert));
    let hear = async |alert: u8| {
        let (mut far, near) = duplex();
        far.write_all(&[21, 3, 3, 0, 2, 2, alert]).await.unwrap();
        let at_client = client.connect("localhost", near).await.unwrap_err();
        let (far, mut near) = duplex();
        near.write_all(&[21, 3, 3, 0, 2, 2, alert]).await.unwrap();
        drop(near);
        let at_server = server.accept(far).await.unwrap_err();
        [at_server.to_string(), at_client.to_string()]
    };
    assert_eq!(
        hear(40).await,
        [
            "the client and this side have no way of encrypting in common; update the client, or \
             give this server a certificate with an ECDSA key on P-256 or an RSA key",
            "the server found no way of encrypting in common, or misses a client certificate; \
             update the server, or name a certificate with `tls::Client::identity` if it asks for \
             one",
        ]
    );
    assert_eq!(
        hear(44).await,
        [
            "the client does not accept our certificate: its CA has revoked it; get a new one",
            "the server does not accept our certificate: its CA has revoked it; get a new one",
        ]
    );
    assert_eq!(hear(48).await, [CLIENT_REFUSES_CA, SERVER_REFUSES_CA]);
    assert_eq!(
        hear(49).await[1],
        "the server knows our certificate and does not let us in; ask whoever runs it"
    );
    assert_eq!(
        hear(46).await[0],
        "the client does not accept our certificate and does not say why; its log may"
    );
    assert_eq!(
        hear(42).await[1],
        "the server does not accept our client certificate: to the server it is damaged or \
         incomplete; make a new one"
    );
    assert_eq!(
        hear(112).await[1],
        "the server has no certificate for the name it was asked for; connect to it by a name that \
         it has, or give one with `tls::Client::server_name`"
    );
    assert_eq!(
        hear(80).await,
        [
            "TLS with the client failed: received fatal alert: InternalError",
            "TLS with the server failed: received fatal alert: InternalError",
        ]
    );
}

#[tokio::test]
async fn peers_with_tls_1_2_are_served_and_told_why_not() {
    let ca = Ca::new("ca");
    let made = ca.make(&local());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let only = [&rustls::version::TLS12];
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca.cert.as_bytes()).unwrap())
        .unwrap();
    let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&only)
        .unwrap()
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    let old_client = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost").unwrap();
    for asks in [false, true] {
        let server = made.server();
        let server = match asks {
            true => server.require_client_certificates(&ca.cert).unwrap(),
            false => server,
        };
        let (far, near) = duplex();
        let (accepted, connected) =
            tokio::join!(server.accept(far), old_client.connect(name.clone(), near));
        match asks {
            false => assert!(accepted.is_ok() && connected.is_ok()),
            true => assert_eq!(accepted.unwrap_err().to_string(), CLIENT_WITHOUT),
        }
    }

    let asking = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots),
        Arc::clone(&provider),
    )
    .build()
    .unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&only)
        .unwrap()
        .with_client_cert_verifier(asking)
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(made.cert.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(made.key.as_bytes()).unwrap(),
        )
        .unwrap();
    let old_server = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let stranger = Ca::new("others").make(&named("player", &[]));
    let client = trusting(&ca.cert);
    // With TLS 1.2 the client hears it in the handshake.
    for (client, says) in [
        (client.clone(), Some(CLIENT_NEEDED)),
        (stranger.shown_by(client.clone()), Some(SERVER_REFUSES_CA)),
        (ca.make(&named("player", &[])).shown_by(client), None),
    ] {
        let (far, near) = duplex();
        let (accepted, connected) =
            tokio::join!(old_server.accept(far), client.connect("localhost", near));
        assert_eq!(accepted.is_ok(), says.is_none());
        assert_eq!(
            connected.err().map(|error| error.to_string()).as_deref(),
            says
        );
    }
}

#[tokio::test]
async fn an_end_and_a_cut_are_told_apart() {
    let ca = Ca::new("ca");
    let (server, client) = (ca.make(&local()).server(), trusting(&ca.cert));
    for cut in [false, true] {
        for server_ends in [false, true] {
            let (far, near) = tcp("127.0.0.1").await;
            let (far, near) = tokio::join!(server.accept(far), client.connect("localhost", near));
            let (far, near) = (far.unwrap(), near.unwrap());
            let (mut ends, mut reads) = if server_ends {
                (far, near)
            } else {
                (near, far)
            };
            ends.write_all(&NOTES).await.unwrap();
            ends.flush().await.unwrap();
            if cut {
                drop(ends);
            } else {
                ends.shutdown().await.unwrap();
            }
            let mut heard = Vec::new();
            let end = tokio::time::timeout(LONG, reads.read_to_end(&mut heard))
                .await
                .unwrap();
            assert_eq!(heard, NOTES);
            let peer = if server_ends {
                Peer::Server
            } else {
                Peer::Client
            };
            match end {
                Ok(_) => assert!(!cut),
                Err(error) => {
                    assert!(cut);
                    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
                    let error = explain(&error).unwrap();
                    assert_eq!(error, TlsError::Cut { peer });
                    assert_eq!(
                        error.to_string(),
                        format!(
                            "the connection to the {peer} was cut: it ended without the {peer} \
                             closing it, so what was sent last may be missing"
                        )
                    );
                }
            }
        }
    }
}

/// What docs/socket-port.md says that those on the way see.
#[tokio::test]
async fn a_message_is_a_record_of_22_octets_more() {
    let ca = Ca::new("ca");
    let (server, client) = (ca.make(&local()).server(), trusting(&ca.cert));
    let (far, near) = tcp("127.0.0.1").await;
    let (far, near) = tokio::join!(server.accept(far), client.connect("localhost", near));
    let (far, mut near) = (far.unwrap(), near.unwrap());
    near.write_all(&[0x90, 0x3C, 0x40]).await.unwrap();
    near.flush().await.unwrap();
    let mut seen = [0; 64];
    far.get_ref().readable().await.unwrap();
    assert_eq!(far.get_ref().peek(&mut seen).await.unwrap(), 3 + 22);
    assert_eq!(seen[..5], [23, 3, 3, 0, 3 + 17]);
}

/// One side may be done while the other still plays.
#[tokio::test]
async fn a_side_that_closed_still_hears() {
    let ca = Ca::new("ca");
    let (server, client) = (ca.make(&local()).server(), trusting(&ca.cert));
    let (far, near) = tcp("127.0.0.1").await;
    let (far, near) = tokio::join!(server.accept(far), client.connect("localhost", near));
    let (mut far, mut near) = (far.unwrap(), near.unwrap());
    near.shutdown().await.unwrap();
    assert_eq!(far.read(&mut [0; 16]).await.unwrap(), 0);
    far.write_all(&NOTES).await.unwrap();
    far.shutdown().await.unwrap();
    let mut heard = Vec::new();
    near.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, NOTES);
}

#[tokio::test]
async fn damage_on_the_way_is_found() {
    let ca = Ca::new("ca");
    let (server, client) = (ca.make(&local()).server(), trusting(&ca.cert));
    let (far, far_end) = duplex();
    let (near, near_end) = duplex();
    let (mut from_far, mut to_far) = tokio::io::split(far_end);
    let (mut from_near, mut to_near) = tokio::io::split(near_end);
    // The first octets of the client pass, what comes once it plays is changed in one bit.
    let (playing, mut plays) = tokio::sync::watch::channel(false);
    let relay = tokio::spawn(async move {
        let back = async {
            tokio::io::copy(&mut from_far, &mut to_near)
                .await
                .map(|_| ())
        };
        let forth = async {
            let mut octets = [0; 4096];
            loop {
                let read = from_near.read(&mut octets).await?;
                if read == 0 {
                    return to_far.shutdown().await;
                }
                if *plays.borrow_and_update() {
                    octets[read - 1] ^= 1;
                }
                to_far.write_all(&octets[..read]).await?;
            }
        };
        let _ = tokio::join!(back, forth);
    });
    let (far, near) = tokio::join!(server.accept(far), client.connect("localhost", near));
    let (mut far, mut near) = (far.unwrap(), near.unwrap());
    playing.send(true).unwrap();
    near.write_all(&NOTES).await.unwrap();
    near.flush().await.unwrap();
    let error = far.read(&mut [0; 16]).await.unwrap_err();
    assert_eq!(
        explain(&error).unwrap().to_string(),
        "TLS with the client failed: cannot decrypt peer's message"
    );
    relay.abort();
}

#[test]
fn an_error_that_is_not_of_tls_is_left_alone() {
    assert_eq!(explain(&ErrorKind::ConnectionReset.into()), None);
    assert_eq!(explain(&std::io::Error::other("else")), None);
}

/// The system's trust is what the environment says, so this runs itself again in another one.
#[test]
fn what_the_system_trusts_is_trusted() {
    const NAME: &str = "what_the_system_trusts_is_trusted";
    const KEY: &str = "NETMIDI_TEST_TRUSTED_KEY";
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    if let Ok(key) = std::env::var(KEY) {
        let cert = std::fs::read_to_string(std::env::var("SSL_CERT_FILE").unwrap()).unwrap();
        runtime.block_on(async {
            if cert.is_empty() {
                let (_far, near) = duplex();
                let error = Client::new().connect("localhost", near).await.unwrap_err();
                assert_eq!(
                    error.to_string(),
                    "this system has no list of trusted certificates; name the certificate to \
                     trust with `tls::Client::trust`"
                );
                return;
            }
            let ca = Ca::with_key("system", KeyPair::from_pem(&key).unwrap());
            let made = ca.make(&local());
            meets(&made.server(), &Client::new(), "localhost").await;
            let other = self_signed(local());
            let says = [CLIENT_REFUSES_CA, SERVER_UNTRUSTED];
            refused(&other.server(), &Client::new(), "localhost", says).await;
        });
        return;
    }
    let folder = Folder::new("system");
    let ca = Ca::new("system");
    for trusted in [ca.cert.as_str(), ""] {
        let file = folder.write("trusted.pem", trusted);
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME])
            .env("SSL_CERT_FILE", file)
            .env_remove("SSL_CERT_DIR")
            .env(KEY, ca.issuer.key().serialize_pem())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(
            child.status.success() && said.contains("1 passed"),
            "{said}"
        );
    }
}

/// A folder for files, gone at the end.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("netmidi-tls-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> std::path::PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn files_that_do_not_fit_are_named() {
    let folder = Folder::new("files");
    let (made, other) = (self_signed(local()), self_signed(local()));
    let cert = folder.write("cert.pem", &made.cert);
    let key = folder.write("key.pem", &made.key);
    let both = folder.write("both.pem", format!("{}{}", made.key, made.cert));
    assert!(Server::from_files(&cert, &key).is_ok());
    assert!(Server::from_files(&both, &both).is_ok());

    let other_key = folder.write("other.pem", &other.key);
    let empty = folder.write("empty.pem", "");
    let text = folder.write("text.pem", "studio");
    let der = CertificateDer::from_pem_slice(made.cert.as_bytes()).unwrap();
    let binary = folder.write("cert.der", &der);
    let locked =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let locked = folder.write("locked.pem", locked);
    let request = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
    let request = folder.write("request.pem", request);
    let half = folder.write("half.pem", &made.cert[..made.cert.len() / 2]);
    let wrong = folder.write(
        "wrong.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let foreign = folder.write(
        "foreign.pem",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    );
    let missing = folder.0.join("missing.pem");

    let cases = [
        (
            &key,
            &key,
            "key.pem holds no certificate; it holds a private key; were certificate and key swapped?",
        ),
        (&empty, &key, "empty.pem holds no certificate; it is empty"),
        (
            &text,
            &key,
            "text.pem holds no certificate; it has no line `-----BEGIN CERTIFICATE-----`; give a PEM file",
        ),
        (
            &binary,
            &key,
            "cert.der holds no certificate; it is binary and not PEM; convert it with `openssl x509 -inform der -in CERTIFICATE -out cert.pem`",
        ),
        (
            &request,
            &key,
            "request.pem holds no certificate; it holds a CERTIFICATE REQUEST; give the certificate that was made from it",
        ),
        (
            &cert,
            &cert,
            "cert.pem holds no private key; it holds a certificate; were certificate and key swapped, or is the key another file?",
        ),
        (
            &cert,
            &locked,
            "locked.pem holds no private key; the key in it is encrypted; decrypt it with `openssl pkey -in KEY -out key.pem` and keep that file from others",
        ),
        (
            &cert,
            &binary,
            "cert.der holds no private key; it is binary and not PEM; convert it with `openssl pkey -inform der -in KEY -out key.pem`",
        ),
        (
            &cert,
            &other_key,
            "the key in other.pem does not belong to the first certificate in cert.pem; give the key that this certificate was made with, and in a chain put the own certificate before its CA's",
        ),
        (
            &half,
            &key,
            "half.pem is damaged: its line `-----END` is missing; copy it again from where it was made",
        ),
        (
            &wrong,
            &key,
            "wrong.pem is damaged: a certificate in it cannot be read; copy it again from where it was made",
        ),
        (
            &cert,
            &foreign,
            "the private key in foreign.pem cannot be used: failed to parse private key as RSA, ECDSA, or EdDSA; take an ECDSA key on P-256 or P-384, an Ed25519 key, or an RSA key of 2048 bits or more",
        ),
    ];
    let folder_name = format!("{}/", folder.0.display());
    for (cert, key, says) in cases {
        let error = Server::from_files(cert, key).unwrap_err().to_string();
        assert_eq!(error.replace(&folder_name, ""), says);
    }
    match Server::from_files(&missing, &key).unwrap_err() {
        TlsConfigError::Read { file, kind, .. } => {
            assert!(file.ends_with("missing.pem"));
            assert_eq!(kind, ErrorKind::NotFound);
        }
        other => panic!("{other}"),
    }
    assert_eq!(
        Client::new().trust("").unwrap_err().to_string(),
        "the trusted certificate holds no certificate; it is empty"
    );
    assert_eq!(
        made.server()
            .require_client_certificates(&made.key)
            .unwrap_err()
            .to_string(),
        "the CA for clients holds no certificate; it holds a private key; were certificate and key \
         swapped?"
    );
    assert!(Client::new().identity(&made.cert, &other.key).is_err());
}

#[test]
fn keys_are_not_shown() {
    let made = self_signed(local());
    let shown = format!("{:?} {:?}", made.server(), made.shown_by(Client::new()));
    assert_eq!(shown, "Server { .. } Client { server_name: None, .. }");
}
