//! Encrypted ports from end to end.
#![cfg(feature = "tls")]
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

mod stage;

use std::time::Duration;

use netmidi_tcp::{
    AtEnd, CloseReason, Connector, Options, PortServer, Refusal, ServerEvent, connect, tls,
};
use rcgen::{CertificateParams, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use stage::{parse, within};

/// A self-signed certificate for these names, and its key, in PEM.
fn certificate(names: &[&str]) -> (String, String) {
    let names: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(names)
        .unwrap()
        .self_signed(&key)
        .unwrap();
    (certificate.pem(), key.serialize_pem())
}

async fn server(cert: &str, key: &str) -> PortServer {
    PortServer::builder()
        .tls(tls::Server::new(cert, key).unwrap())
        .handshake_timeout(Duration::from_millis(300))
        .options(Options::new().at_end(AtEnd::Leave))
        .bind()
        .await
        .unwrap()
}

fn connector(trusted: &str) -> Connector {
    Connector::new()
        .tls(tls::Client::new().trust(trusted).unwrap())
        .timeout(Duration::from_millis(500))
}

async fn refusal(server: &mut PortServer) -> String {
    match within(server.next_event()).await.unwrap() {
        ServerEvent::Refused {
            refusal: Refusal::Tls(error),
            ..
        } => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn messages_go_both_ways() {
    let (cert, key) = certificate(&["localhost", "127.0.0.1"]);
    let mut server = server(&cert, &key).await;
    let mut port = within(connector(&cert).connect(server.local_addr()))
        .await
        .unwrap();
    let long = parse(&[&[0xF0][..], &[7; 300_000], &[0xF7]].concat());
    let list: Vec<_> = (0..5000)
        .map(|n| parse(&[0x90, (n % 128) as u8, 1]))
        .chain([long])
        .collect();
    within(async {
        tokio::join!(
            async {
                for message in &list {
                    port.send(message).await.unwrap();
                }
            },
            async {
                for message in &list {
                    assert_eq!(server.receive().await.unwrap().1, *message);
                }
            }
        )
    })
    .await;
    for message in &list {
        assert_eq!(server.send(message).reached(), 1);
    }
    for message in &list {
        assert_eq!(within(port.receive()).await.unwrap(), *message);
    }
    within(port.close()).await;
    let closed = loop {
        if let ServerEvent::Disconnected { closed, .. } = within(server.next_event()).await.unwrap()
        {
            break closed;
        }
    };
    assert!(matches!(closed.reason, CloseReason::Peer), "{closed}");
}

#[tokio::test]
async fn a_stranger_s_certificate_is_refused_on_both_sides() {
    let (cert, key) = certificate(&["localhost", "127.0.0.1"]);
    let (other, _) = certificate(&["localhost", "127.0.0.1"]);
    let mut server = server(&cert, &key).await;
    let error = within(connector(&other).connect(server.local_addr()))
        .await
        .unwrap_err();
    let said = error.to_string();
    assert!(
        said.starts_with("the server's certificate is not trusted here"),
        "{said}"
    );
    let said = refusal(&mut server).await;
    assert!(
        said.starts_with("the client does not trust our certificate"),
        "{said}"
    );
    // The wrong name.
    let (elsewhere, key) = certificate(&["stage-left.local"]);
    let server = self::server(&elsewhere, &key).await;
    let error = within(connector(&elsewhere).connect(server.local_addr()))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("stage-left.local"), "{error}");
    // Which may be what is meant.
    let named = tls::Client::new()
        .trust(&elsewhere)
        .unwrap()
        .server_name("stage-left.local")
        .unwrap();
    within(Connector::new().tls(named).connect(server.local_addr()))
        .await
        .unwrap();
    assert_eq!(server.stats().refused_tls, 1);
}

#[tokio::test]
async fn who_speaks_plain_midi_to_an_encrypted_port_is_told_of() {
    let (cert, key) = certificate(&["localhost"]);
    let mut server = server(&cert, &key).await;
    let mut port = connect(server.local_addr()).await.unwrap();
    port.send(&parse(&[0x90, 60, 100])).await.unwrap();
    assert!(
        refusal(&mut server)
            .await
            .starts_with("the client does not speak TLS")
    );
    assert!(within(port.receive()).await.is_none());
    let reason = port.close_reason().unwrap();
    assert_eq!(
        reason.to_string(),
        "the peer speaks TLS and this port does not; switch TLS on here or off there"
    );
    // One that says nothing does not stay.
    let silent = connect(server.local_addr()).await.unwrap();
    let said = refusal(&mut server).await;
    assert!(said.contains("the client"), "{said}");
    drop(silent);
    assert_eq!(
        (server.stats().refused_tls, server.stats().accepted),
        (2, 0)
    );
}

#[tokio::test]
async fn who_speaks_tls_to_a_plain_port_is_told_of() {
    let (cert, _) = certificate(&["localhost", "127.0.0.1"]);
    let mut server = PortServer::bind(0).await.unwrap();
    let error = within(connector(&cert).connect(server.local_addr()))
        .await
        .unwrap_err();
    let said = error.to_string();
    assert!(said.contains("it speaks plain MIDI"), "{said}");
    loop {
        match within(server.next_event()).await.unwrap() {
            ServerEvent::Disconnected { closed, .. } => {
                assert!(matches!(closed.reason, CloseReason::SpeaksTls), "{closed}");
                break;
            }
            ServerEvent::Connected { .. } | ServerEvent::Discarded { .. } => {}
            other => panic!("the greeting is no MIDI: {other:?}"),
        }
    }
}

#[tokio::test]
async fn clients_without_the_right_certificate_stay_out() {
    let (cert, key) = certificate(&["localhost", "127.0.0.1"]);
    let (player, player_key) = certificate(&[]);
    let mut server = PortServer::builder()
        .tls(
            tls::Server::new(&cert, &key)
                .unwrap()
                .require_client_certificates(&player)
                .unwrap(),
        )
        .bind()
        .await
        .unwrap();
    // The client of TLS 1.3 is connected before it is refused.
    let mut port = within(connector(&cert).connect(server.local_addr()))
        .await
        .unwrap();
    assert!(within(port.receive()).await.is_none());
    let reason = port.close_reason().unwrap().to_string();
    assert!(
        reason.starts_with("the server asks for a client certificate"),
        "{reason}"
    );
    assert!(
        refusal(&mut server)
            .await
            .starts_with("the client showed no certificate")
    );
    let known = tls::Client::new()
        .trust(&cert)
        .unwrap()
        .identity(&player, &player_key)
        .unwrap();
    let port = within(Connector::new().tls(known).connect(server.local_addr()))
        .await
        .unwrap();
    port.send(&parse(&[0xFA])).await.unwrap();
    assert_eq!(within(server.receive()).await.unwrap().1, parse(&[0xFA]));
}

#[tokio::test]
async fn an_encrypted_peer_that_does_not_read_costs_nobody_anything() {
    let (cert, key) = certificate(&["localhost", "127.0.0.1"]);
    let mut server = server(&cert, &key).await;
    // Agrees on encryption, then never reads.
    let raw = TcpStream::connect(server.local_addr()).await.unwrap();
    let stuck = tls::Client::new().trust(&cert).unwrap();
    let stuck = within(stuck.connect("127.0.0.1", raw)).await.unwrap();
    let mut good = within(connector(&cert).connect(server.local_addr()))
        .await
        .unwrap();
    within(async {
        while server.clients().len() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let message = parse(&[&[0xF0][..], &[1; 1000], &[0xF7]].concat());
    let mut rounds = 0;
    while server.stats().overflowed == 0 {
        let _ = server.send(&message);
        assert_eq!(within(good.receive()).await.unwrap(), message);
        rounds += 1;
        assert!(rounds < 100_000);
    }
    loop {
        if let ServerEvent::Disconnected { closed, .. } = within(server.next_event()).await.unwrap()
        {
            assert!(
                matches!(closed.reason, CloseReason::Overflow { .. }),
                "{closed}"
            );
            break;
        }
    }
    drop(stuck);
}

#[tokio::test]
async fn a_peer_that_is_cut_off_is_told_from_one_that_closes() {
    let (cert, key) = certificate(&["localhost", "127.0.0.1"]);
    let mut server = server(&cert, &key).await;
    let raw = TcpStream::connect(server.local_addr()).await.unwrap();
    let client = tls::Client::new().trust(&cert).unwrap();
    let mut stream = within(client.connect("127.0.0.1", raw)).await.unwrap();
    stream.write_all(&[0x90, 60, 100, 0x80]).await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(
        within(server.receive()).await.unwrap().1,
        parse(&[0x90, 60, 100])
    );
    assert_eq!(server.send(&parse(&[0xF8])).reached(), 1);
    assert_eq!(within(stream.read_u8()).await.unwrap(), 0xF8);
    // No farewell of TLS.
    drop(stream);
    let closed = loop {
        if let ServerEvent::Disconnected { closed, .. } = within(server.next_event()).await.unwrap()
        {
            break closed;
        }
    };
    assert!(
        matches!(
            closed.reason,
            CloseReason::Tls(tls::TlsError::Cut { .. }) | CloseReason::Reset
        ),
        "{closed:?}"
    );
    assert_eq!(closed.incomplete.unwrap().beginning, [0x80]);
}
