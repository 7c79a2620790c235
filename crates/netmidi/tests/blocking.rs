//! Plain calls that wait, without an async runtime in sight.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use std::sync::mpsc::{RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use netmidi::blocking::{self, Client, Endpoint};
use netmidi::message::{Channel, ChannelMessage, MessageBuf, Note, U7};
use netmidi::{Event, InvitationState, LeaveReason};

const PATIENCE: Duration = Duration::from_secs(20);

fn note(number: u8) -> ChannelMessage {
    ChannelMessage::note_on(Channel::C1, Note::new(number).unwrap(), U7::MAX)
}

#[test]
fn a_client_and_an_endpoint_play_with_each_other() {
    let builder = netmidi::Endpoint::builder()
        .name("server")
        .listen("127.0.0.1:0".parse().unwrap());
    let mut server = Endpoint::bind(builder).unwrap();
    assert_eq!(server.try_recv(), Err(TryRecvError::Empty));
    let address = server.addresses()[0].control;
    let playing = thread::spawn(move || {
        let mut client = blocking::connect(address).unwrap();
        assert_eq!(client.peer().unwrap().name, "server");
        assert_eq!(client.try_recv(), Err(TryRecvError::Empty));
        let start = Instant::now();
        let short = Duration::from_millis(50);
        assert_eq!(client.recv_timeout(short), Err(RecvTimeoutError::Timeout));
        assert!(start.elapsed() >= short);
        client.send(note(60)).unwrap();
        assert_eq!(client.recv().unwrap().message, MessageBuf::from(note(61)));
        client.close();
    });
    let Ok(Event::Connected { peer }) = server.recv_timeout(PATIENCE) else {
        panic!("nobody came");
    };
    let Ok(Event::Message { message, .. }) = server.recv() else {
        panic!("nothing was heard");
    };
    assert_eq!(message, MessageBuf::from(note(60)));
    assert_eq!(server.stats().unwrap().peers[0].id, peer.id);
    server.handle().send(peer.id, note(61)).unwrap();
    // What silences the note comes first.
    let reason = loop {
        if let Event::Disconnected { reason, .. } = server.recv_timeout(PATIENCE).unwrap() {
            break reason;
        }
    };
    assert_eq!(reason, LeaveReason::Bye);
    playing.join().unwrap();
    server.close();
}

#[test]
fn the_end_of_the_session_is_the_end_of_a_client_that_connects_once() {
    let builder = netmidi::Endpoint::builder().listen("127.0.0.1:0".parse().unwrap());
    let server = Endpoint::bind(builder).unwrap();
    let builder = netmidi::Client::builder().once();
    let mut client = Client::connect(builder, server.addresses()[0].control).unwrap();
    let waiting = thread::spawn(move || {
        assert!(client.recv().is_err());
        assert_eq!(client.try_recv(), Err(TryRecvError::Disconnected));
        assert!(client.send(note(60)).is_err());
        assert!(!matches!(client.state(), InvitationState::Connected { .. }));
    });
    // Says BY.
    drop(server);
    waiting.join().unwrap();
}
