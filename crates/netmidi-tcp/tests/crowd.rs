//! One server and many clients: whoever does not read, or vanishes, takes nothing from the others.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use std::io::Read;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use netmidi_message::{Message, MessageBuf};
use netmidi_tcp::{Client, CloseReason, Connector, Options, PortServer, Trouble};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

/// For all of it.
const IN_TIME: Duration = Duration::from_secs(60);
const MESSAGES: usize = 3000;
/// Messages that are sent without a pause.
const BURST: usize = 300;
/// The burst after which one of the clients vanishes.
const VANISHES_AFTER: usize = 2;
/// So many octets may wait for a client: far more than a burst has, less than all together.
const SEND_LIMIT: usize = 8 << 10;

/// No two of 16,384 in a row are equal.
fn message(number: usize) -> MessageBuf {
    let (low, high) = ((number % 128) as u8, (number / 128 % 128) as u8);
    let octets = match number % 500 {
        // One that all queues share.
        499 => {
            let mut octets = vec![0xF0, 0x7D, low, high];
            octets.resize(800, 1);
            octets.push(0xF7);
            octets
        }
        n if n % 50 == 7 => vec![0xF0, 0x7D, low, high, 0xF7],
        _ => vec![0xE0, low, high],
    };
    Message::parse(&octets).unwrap().to_buf()
}

/// A client that does only what the test does, with hardly any room in its system.
async fn raw(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(address).await.unwrap()
}

/// Sends to a client that does not read until its system takes nothing more and a little waits.
/// How many octets that are.
async fn fill(client: &Client) -> u64 {
    let octets = filler();
    let filler = Message::parse(&octets).unwrap();
    let (mut told, mut waited) = (0, 0);
    while waited < 50 {
        if told - client.stats().octets_sent < 4096 {
            assert_eq!(client.send(filler), Ok(()));
            told += octets.len() as u64;
            waited = 0;
        } else {
            waited += 1;
            sleep(Duration::from_millis(1)).await;
        }
    }
    told
}

fn filler() -> Vec<u8> {
    [&[0xF0][..], &[1; 1022], &[0xF7]].concat()
}

/// Reads what [`fill`] sent, and then everything.
fn catch_up(mut stream: std::net::TcpStream, more: u64) {
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(IN_TIME)).unwrap();
    let mut truth = filler().repeat(more as usize / filler().len());
    for number in 0..MESSAGES {
        truth.extend(message(number).as_message().to_vec());
    }
    let mut octets = vec![0; truth.len()];
    stream.read_exact(&mut octets).unwrap();
    let wrong = octets
        .iter()
        .zip(&truth)
        .position(|(got, sent)| got != sent);
    assert_eq!(wrong, None, "of {} octets", truth.len());
}

/// All but two of `clients` get everything, in order.
async fn all_the_others_get_everything(clients: usize) {
    let begun = Instant::now();
    let options = Options::new().send_limit(SEND_LIMIT);
    let server = PortServer::builder()
        .options(options)
        .max_clients(clients)
        .bind()
        .await
        .unwrap();
    let unread = raw(server.local_addr()).await;
    let vanishing = raw(server.local_addr()).await;
    let late = raw(server.local_addr()).await;
    let mut listeners = Vec::new();
    for _ in 3..clients {
        let port = Connector::new().timeout(IN_TIME);
        let mut port = port.connect(server.local_addr()).await.unwrap();
        listeners.push(tokio::spawn(async move {
            for number in 0..MESSAGES {
                let got = port.receive().await.expect("it ends too early");
                // A thousand of them might say what they got instead.
                assert!(got == message(number), "not message {number}");
            }
            port
        }));
    }
    while server.clients().len() < clients {
        sleep(Duration::from_millis(1)).await;
    }

    let all = server.clients();
    let of = |raw: &TcpStream| {
        let address = raw.local_addr().unwrap();
        all.iter().find(|it| it.address() == address).unwrap()
    };
    let (unread_client, vanishing_client, late_client) = (of(&unread), of(&vanishing), of(&late));
    fill(unread_client).await;
    // This one reads only now: it has been sent much that others have not.
    let more = fill(late_client).await;
    let late = late.into_std().unwrap();
    let late = std::thread::spawn(move || catch_up(late, more));

    let mut vanishing = Some(vanishing);
    println!("{clients} are there after {:?}", begun.elapsed());
    let (mut overflowed, mut octets) = (0, 0);
    for number in 0..MESSAGES {
        let message = message(number);
        octets += message.as_message().to_vec().len() as u64;
        let report = server.send(&message);
        for (client, trouble) in report.troubles() {
            match trouble {
                Trouble::Overflowed => {
                    assert_eq!(client, unread_client);
                    overflowed += 1;
                }
                Trouble::Closed => {
                    assert!([unread_client, vanishing_client].contains(&client));
                }
                trouble => panic!("{client}: {trouble:?}"),
            }
        }
        // Who is gone is not sent to any more.
        let here = all.iter().filter(|it| it.close_reason().is_none()).count();
        let told = report.reached() + report.troubles().len();
        assert!((here..=clients).contains(&told), "{told} of {here}");
        if number % BURST == BURST - 1 {
            if number / BURST == VANISHES_AFTER {
                let vanishing = vanishing.take().unwrap();
                // It is reset: nothing waits to be sent, and what it was sent is thrown away.
                vanishing.set_zero_linger().unwrap();
            }
            // The systems of all others take it, however slow they are. To wait for the one that does
            // not read would be for ever.
            let behind = |client: &Client| {
                let more = if client == late_client { more } else { 0 };
                client.close_reason().is_none()
                    && client != unread_client
                    && client.stats().octets_sent < octets + more
            };
            while all.iter().any(behind) {
                sleep(Duration::from_millis(1)).await;
            }
        }
    }
    println!("told {MESSAGES} messages after {:?}", begun.elapsed());
    assert_eq!(overflowed, 1, "of the one that does not read");
    for listener in listeners {
        // The port is closed only now: whoever leaves is no trouble for the server.
        drop(listener.await.unwrap());
    }
    late.join().unwrap();
    println!("heard after {:?}", begun.elapsed());
    let reason = |client: &Client| client.close_reason().unwrap().reason;
    for (client, expected) in [
        (unread_client, CloseReason::Overflow { limit: SEND_LIMIT }),
        (vanishing_client, CloseReason::Reset),
    ] {
        assert_eq!(reason(client).to_string(), expected.to_string());
    }
    assert_eq!(server.stats().overflowed, 1);
    drop(unread);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_clients_two_fail() {
    timeout(IN_TIME, all_the_others_get_everything(50))
        .await
        .expect("it takes too long");
}

/// `cargo xtask crowd` runs it, with as many sockets as it takes.
#[tokio::test]
#[ignore = "2,100 files have to be open at once: cargo xtask crowd"]
async fn of_a_thousand_clients_two_fail() {
    timeout(IN_TIME, all_the_others_get_everything(1000))
        .await
        .expect("it takes too long");
}
