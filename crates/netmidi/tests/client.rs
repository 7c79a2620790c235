//! We connect to others, over real sockets on the loopback interface.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use netmidi::message::{Channel, ChannelMessage, MessageBuf, Note, U7};
use netmidi::{
    Client, ConnectError, Endpoint, Event, InvitationState, LeaveReason, Persistence, Role,
};
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(20);

async fn server(listen: &str) -> Endpoint {
    let listen = listen.parse().unwrap();
    Endpoint::builder()
        .name("server")
        .listen(listen)
        .bind()
        .await
        .unwrap()
}

fn note(number: u8) -> MessageBuf {
    let note = Note::new(number).unwrap();
    MessageBuf::from(ChannelMessage::note_on(Channel::C1, note, U7::MAX))
}

/// The next event that is not about time or state.
async fn heard(endpoint: &mut Endpoint) -> MessageBuf {
    loop {
        match timeout(LIMIT, endpoint.next()).await.unwrap().unwrap() {
            Event::Message { message, .. } => return message,
            _ => continue,
        }
    }
}

async fn connected(endpoint: &mut Endpoint) -> netmidi::ParticipantId {
    loop {
        if let Event::Connected { peer } = timeout(LIMIT, endpoint.next()).await.unwrap().unwrap() {
            return peer.id;
        }
    }
}

#[tokio::test]
async fn a_client_plays_and_hears() {
    for listen in ["127.0.0.1:0", "[::1]:0"] {
        let mut server = server(listen).await;
        let address = server.addresses()[0].control;
        let mut client = netmidi::connect(address).await.unwrap();
        let peer = client.peer().unwrap();
        assert_eq!((peer.name.as_str(), peer.role), ("server", Role::Initiator));
        let id = connected(&mut server).await;
        client.send(note(60)).await.unwrap();
        assert_eq!(heard(&mut server).await, note(60));
        server.handle().send(id, &note(61)).unwrap();
        let received = timeout(LIMIT, client.next()).await.unwrap().unwrap();
        assert_eq!(received.message, note(61));
        client.close().await;
        loop {
            let event = timeout(LIMIT, server.next()).await.unwrap().unwrap();
            if let Event::Disconnected { reason, .. } = event {
                assert_eq!(reason, LeaveReason::Bye);
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_name_with_two_addresses_finds_the_one_that_answers() {
    // `localhost` is 127.0.0.1 and perhaps ::1; only the former listens.
    let mut server = server("127.0.0.1:0").await;
    let address = format!("localhost:{}", server.addresses()[0].control.port());
    let mut client = netmidi::connect(address.as_str()).await.unwrap();
    connected(&mut server).await;
    client.send(note(60)).await.unwrap();
    assert_eq!(heard(&mut server).await, note(60));
}

#[tokio::test]
async fn nobody_there_is_said_in_a_sentence() {
    // Taken by a socket that never answers.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = silent.local_addr().unwrap();
    let address = SocketAddr::new(address.ip(), address.port().min(65_534));
    let start = Instant::now();
    let error = timeout(LIMIT, netmidi::connect(address))
        .await
        .unwrap()
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("no answer from its control port after 24 invitations"),
        "{text}"
    );
    assert!(text.contains(&address.to_string()), "{text}");
    assert!(start.elapsed() > Duration::from_secs(11));
    let error = Client::builder()
        .timeout(Duration::from_millis(300))
        .connect(address)
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::TimedOut { .. }), "{error}");
}

#[tokio::test]
async fn what_is_no_address_is_said_at_once() {
    for (text, part) in [
        ("host:0", "the port is not a number"),
        ("nowhere.invalid", "cannot be looked up"),
    ] {
        let error = timeout(LIMIT, netmidi::connect(text))
            .await
            .unwrap()
            .unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test]
async fn the_session_comes_back_from_the_same_ports() {
    let mut first = server("127.0.0.1:0").await;
    let address = first.addresses()[0].control;
    let mut client = netmidi::connect(address).await.unwrap();
    connected(&mut first).await;
    let local = client.endpoint().addresses()[0].control.port();
    first.close().await;
    let disconnected = loop {
        match timeout(LIMIT, client.next_event()).await.unwrap().unwrap() {
            Event::Disconnected { reason, .. } => break reason,
            _ => continue,
        }
    };
    assert_eq!(disconnected, LeaveReason::Bye);
    let error = client.send(note(60)).await.unwrap_err();
    assert!(error.to_string().contains("no session just now"), "{error}");
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let mut second = server(&address.to_string()).await;
    let start = Instant::now();
    let peer = loop {
        match timeout(LIMIT, client.next_event()).await.unwrap().unwrap() {
            Event::Connected { peer } => break peer,
            _ => continue,
        }
    };
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(client.peer().unwrap(), peer);
    client.send(note(62)).await.unwrap();
    let from = loop {
        match timeout(LIMIT, second.next()).await.unwrap().unwrap() {
            Event::Connected { peer } => break peer.control.port(),
            _ => continue,
        }
    };
    assert_eq!(from, local);
    assert_eq!(heard(&mut second).await, note(62));
}

#[tokio::test]
async fn once_ends_with_the_session() {
    let mut server = server("127.0.0.1:0").await;
    let address = server.addresses()[0].control;
    let mut client = Client::builder().once().connect(address).await.unwrap();
    let id = connected(&mut server).await;
    server.handle().disconnect(id).unwrap();
    let run = async { while server.next().await.is_some() {} };
    tokio::select! {
        () = run => {}
        end = timeout(LIMIT, client.next()) => assert_eq!(end.unwrap(), None),
    }
    assert_eq!(client.state(), InvitationState::Ended);
}

#[tokio::test]
async fn an_endpoint_invites_many_and_withdraws_one() {
    let mut servers = [server("127.0.0.1:0").await, server("127.0.0.1:0").await];
    let mut endpoint = server("127.0.0.1:0").await;
    let handle = endpoint.handle();
    let mut invitations = Vec::new();
    for server in &servers {
        let address = server.addresses()[0].control;
        invitations.push(endpoint.invite(address, Persistence::Forever).unwrap());
    }
    for invitation in &mut invitations {
        let state = timeout(LIMIT, invitation.settled()).await.unwrap();
        let InvitationState::Connected { peer } = state else {
            panic!("{state}");
        };
        assert_eq!(peer.invitation, Some(invitation.id()));
    }
    for server in &mut servers {
        connected(server).await;
    }
    invitations[0].withdraw().unwrap();
    let left = loop {
        match timeout(LIMIT, endpoint.next()).await.unwrap().unwrap() {
            Event::Disconnected { peer, reason } => {
                assert_eq!(reason, LeaveReason::Local);
                break peer.invitation;
            }
            _ => continue,
        }
    };
    assert_eq!(left, Some(invitations[0].id()));
    let ended = loop {
        let state = timeout(LIMIT, invitations[0].changed()).await.unwrap();
        if !matches!(state, InvitationState::Connected { .. }) {
            break state;
        }
    };
    assert_eq!(ended, InvitationState::Ended);
    assert!(matches!(
        invitations[1].state(),
        InvitationState::Connected { .. }
    ));
    // The same address cannot be invited twice.
    let address = servers[1].addresses()[0].control;
    let mut again = handle.invite(address, Persistence::Once).unwrap();
    let state = timeout(LIMIT, again.settled()).await.unwrap();
    assert!(
        state.to_string().contains("withdraw that one first"),
        "{state}"
    );
}
