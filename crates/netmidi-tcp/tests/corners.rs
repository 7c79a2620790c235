//! What happens seldom: runtimes that end, peers that leave in the middle, bounds that are reached.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use std::time::Duration;

use netmidi_message::{Message, MessageBuf};
use netmidi_tcp::{CloseReason, PortServer, SendError, connect};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);

async fn within<F: Future>(future: F) -> F::Output {
    timeout(SOON, future).await.expect("it takes too long")
}

fn parse(octets: &[u8]) -> MessageBuf {
    Message::parse(octets).unwrap().to_buf()
}

#[test]
fn ports_end_with_the_runtime_that_serves_them() {
    let served = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (mut server, mut port, accepted) = served.block_on(async {
        let server = PortServer::bind(0).await.unwrap();
        let accepted = connect(server.local_addr()).await.unwrap();
        let theirs = server.accept().await.unwrap();
        let port = connect(server.local_addr()).await.unwrap();
        while server.clients().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(accepted);
        (server, port, theirs)
    });
    let asking = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    asking.block_on(async {
        let handle = server.handle();
        let waiting = tokio::spawn(async move { handle.accept().await.is_err() });
        let receiving = tokio::spawn(async move { while server.receive().await.is_some() {} });
        tokio::time::sleep(Duration::from_millis(20)).await;
        served.shutdown_background();
        assert!(within(port.receive()).await.is_none());
        assert!(port.closed());
        let reason = port.close_reason().unwrap().reason;
        assert!(
            matches!(reason, CloseReason::Shutdown | CloseReason::Peer),
            "{reason}"
        );
        let error = within(port.send(&parse(&[0xF8]))).await.unwrap_err();
        assert!(matches!(error, SendError::Closed(_)), "{error}");
        within(port.close()).await;
        within(accepted.close()).await;
        within(receiving).await.unwrap();
        assert!(within(waiting).await.unwrap());
    });
}
