//! Ports and servers for programs without tokio.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::thread;
use std::time::Duration;

use netmidi_message::{Message, MessageBuf};
use netmidi_tcp::blocking::{PortServer, SocketPort, connect};
use netmidi_tcp::{CloseReason, Connector, Options, ReceiveTimeout};

fn note(number: u8) -> MessageBuf {
    Message::parse(&[0x90, number, 1]).unwrap().to_buf()
}

#[test]
fn mido_s_three_programs() {
    // A server in two lines; what was sent arrives although the port is dropped at once.
    let mut server = PortServer::bind(0).unwrap();
    let address = server.local_addr();
    let output = connect(address).unwrap();
    output.send(&note(60)).unwrap();
    drop(output);
    let (client, message) = server.next().unwrap();
    assert_eq!(message, note(60));
    assert!(client.address().ip().is_loopback());

    // The server sends.
    let input = connect(address).unwrap();
    let listening = thread::spawn(move || input.take(3).collect::<Vec<_>>());
    while server.clients().is_empty() {
        thread::sleep(Duration::from_millis(1));
    }
    for number in 1..=3 {
        assert_eq!(server.send(&note(number)).reached(), 1);
    }
    assert_eq!(listening.join().unwrap(), [note(1), note(2), note(3)]);
    server.close();

    // A loop of one's own.
    let server = PortServer::bind(0).unwrap();
    assert!(server.try_accept().unwrap().is_none());
    let output = connect(server.local_addr()).unwrap();
    let mut client = server.accept().unwrap();
    assert_eq!(client.name(), output.local_addr().to_string());
    assert_eq!(client.iter_pending().count(), 0);
    output.sender().send(&note(1)).unwrap();
    output.send(&note(2)).unwrap();
    let mut received = Vec::new();
    while received.len() < 2 {
        received.extend(client.iter_pending());
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(received, [note(1), note(2)]);
    assert!(!client.closed());
    assert!(matches!(output.close().reason, CloseReason::Local));
    while client.try_receive().is_some() || !client.closed() {
        thread::sleep(Duration::from_millis(1));
    }
    assert!(matches!(
        client.close_reason().unwrap().reason,
        CloseReason::Peer
    ));
}

#[test]
fn waiting_has_an_end() {
    let mut server = PortServer::bind(0).unwrap();
    assert!(server.receive_timeout(Duration::from_millis(20)).is_none());
    let connector = Connector::new().options(Options::new().send_limit(1000));
    let mut port = SocketPort::connect(&connector, server.local_addr()).unwrap();
    let error = port.receive_timeout(Duration::from_millis(20)).unwrap_err();
    assert!(matches!(error, ReceiveTimeout::TimedOut));
    // More than may wait: it waits until there is room.
    let count = 100_000;
    let listening = thread::spawn(move || {
        for (_, message) in server.by_ref().take(count) {
            assert_eq!(message, note(7));
        }
        server
    });
    for _ in 0..count {
        port.send(&note(7)).unwrap();
    }
    let mut server = listening.join().unwrap();
    server.handle().close();
    assert!(server.receive().is_some(), "what is left sounding is ended");
    assert!(server.receive().is_none());
    assert!(port.receive().is_none());
}

#[test]
fn ports_outlive_their_server() {
    let server = PortServer::bind(0).unwrap();
    let mut ours = connect(server.local_addr()).unwrap();
    let theirs = server.accept().unwrap();
    drop(server);
    theirs.send(&note(9)).unwrap();
    assert_eq!(ours.receive().unwrap(), note(9));
}

#[test]
fn what_was_sent_goes_out_also_where_it_cannot_be_waited_for() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = connect(listener.local_addr().unwrap()).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    let mut server = PortServer::bind(0).unwrap();
    let mut client = std::net::TcpStream::connect(server.local_addr()).unwrap();
    assert!(server.receive_timeout(Duration::from_millis(20)).is_none());
    let sysex = Message::parse(&[&[0xF0][..], &vec![1; 16 << 20], &[0xF7]].concat())
        .unwrap()
        .to_buf();
    port.send(&sysex).unwrap();
    assert_eq!(server.send(&sysex).reached(), 1);
    let elsewhere = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    elsewhere.block_on(async {
        drop(port);
        drop(server);
    });
    for stream in [&mut peer, &mut client] {
        let mut octets = Vec::new();
        std::io::Read::read_to_end(stream, &mut octets).unwrap();
        assert_eq!(octets.len(), sysex.to_vec().len());
    }
}
