//! Nothing is lost and nobody is left asleep, on either kind of runtime, however messages come.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use std::net::UdpSocket;
use std::time::Duration;

use futures::StreamExt;
use netmidi::{Endpoint, Event, Handle, PairAddresses};

/// Messages of one client.
const MESSAGES: u16 = 8000;

/// Sends numbered song positions, `window` at a time, and checks that each comes back in order.
fn client(ssrc: u32, to: PairAddresses, window: u16) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut buffer = [0; 8192];
    let mut invitation = b"\xFF\xFFIN\0\0\0\x02\0\0\0\x07".to_vec();
    invitation.extend(ssrc.to_be_bytes());
    for port in [to.control, to.data] {
        socket.send_to(&invitation, port).unwrap();
        socket.recv(&mut buffer).expect("an answer");
        assert_eq!(buffer[2..4], *b"OK");
    }
    let (mut sent, mut answered) = (0, 0);
    while answered < MESSAGES {
        while sent < MESSAGES && sent < answered + window {
            let mut packet = vec![0x80, 97];
            packet.extend(sent.to_be_bytes());
            packet.extend([0; 4]);
            packet.extend(ssrc.to_be_bytes());
            packet.extend([3, 0xF2, (sent & 0x7F) as u8, (sent >> 7) as u8]);
            socket.send_to(&packet, to.data).unwrap();
            sent += 1;
        }
        let len = socket
            .recv(&mut buffer)
            .unwrap_or_else(|error| panic!("{answered} of {sent} came back: {error}"));
        if buffer[..2] == [0xFF; 2] {
            // What of our packets arrived.
            continue;
        }
        // A journal may follow the list, or stand alone.
        let section = &buffer[12..len];
        let list = if section[0] & 0x80 == 0 {
            &section[1..][..usize::from(section[0] & 0x0F)]
        } else {
            let len = u16::from_be_bytes([section[0] & 0x0F, section[1]]);
            &section[2..][..usize::from(len)]
        };
        // Positions with one octet of delta time between them.
        for position in list.chunks(4) {
            let expected = [0xF2, (answered & 0x7F) as u8, (answered >> 7) as u8];
            assert_eq!(position[..3], expected, "message {answered}");
            answered += 1;
        }
    }
}

struct CloseOnDrop(Handle);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

async fn echo() {
    let mut endpoint = Endpoint::builder()
        .listen("127.0.0.1:0".parse().unwrap())
        .listen("127.0.0.1:0".parse().unwrap())
        .bind()
        .await
        .unwrap();
    let addresses = endpoint.addresses().to_vec();
    let handle = endpoint.handle();
    let stop = endpoint.handle();
    let clients = std::thread::spawn(move || {
        // Also when one of them fails: nobody is to wait for ever.
        let _stop = CloseOnDrop(stop);
        std::thread::scope(|scope| {
            for (ssrc, window) in [(1, 1), (2, 2), (3, 40)] {
                let to = addresses[ssrc as usize % 2];
                scope.spawn(move || client(ssrc, to, window));
            }
        });
    });
    while let Some(event) = endpoint.next().await {
        match event {
            Event::Message { peer, message, .. } => handle.send(peer.id, &message).unwrap_or(()),
            Event::Lost { .. } | Event::NotSent { .. } | Event::Overflow { .. } => {
                panic!("{event:?}")
            }
            _ => {}
        }
    }
    clients.join().unwrap();
}

#[tokio::test]
async fn every_message_comes_back_on_one_thread() {
    tokio::spawn(echo()).await.unwrap();
}

#[tokio::test]
async fn every_message_comes_back_where_the_user_is_the_main_future() {
    echo().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_comes_back_on_several_threads() {
    tokio::spawn(echo()).await.unwrap();
}
