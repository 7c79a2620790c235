//! What the tests over sockets have in common.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::net::SocketAddr;
use std::time::Duration;

use netmidi_message::{Channel, ChannelMessage, Message, MessageBuf, Note, U7};
use netmidi_tcp::{AtEnd, Options};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// Longer than anything takes that does not hang.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    timeout(SOON, future).await.expect("it takes too long")
}

/// One of many notes that can be told apart.
pub(crate) fn note(number: usize) -> MessageBuf {
    let low = |number: usize| U7::from_low_bits((number % 128) as u8);
    ChannelMessage::note_on(
        Channel::from_status((number / 16384 % 16) as u8),
        Note::new(low(number).get()).unwrap(),
        low(1 + number / 128 % 127),
    )
    .into()
}

pub(crate) fn parse(octets: &[u8]) -> MessageBuf {
    Message::parse(octets).unwrap().to_buf()
}

/// Only what the peer sends is received.
pub(crate) fn plain() -> Options {
    Options::new().at_end(AtEnd::Leave)
}

/// A client that does only what the test does, with hardly any room in its system.
pub(crate) async fn raw(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(address).await.unwrap()
}
