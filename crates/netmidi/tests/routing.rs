//! What one peer plays is passed on to others, over real sockets on the loopback interface.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt;
use netmidi::message::{Channel, ChannelMessage, Controller, MessageBuf, Note, SysExBuf, U7};
use netmidi::{
    Client, Endpoint, Event, JournalPolicy, Origin, Party, Persistence, Received, Route,
    SessionSendError,
};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

struct Hub {
    endpoint: Endpoint,
    address: SocketAddr,
}

impl Hub {
    async fn new(routes: impl IntoIterator<Item = Route>) -> Self {
        let mut builder = Endpoint::builder()
            .name("hub")
            .listen("127.0.0.1:0".parse().unwrap());
        for route in routes {
            builder = builder.route(route);
        }
        let endpoint = builder.bind().await.unwrap();
        let address = endpoint.addresses()[0].control;
        Self { endpoint, address }
    }

    /// Somebody of this name is connected, and the hub knows it.
    async fn client(&mut self, name: &str) -> Client {
        let connecting = Client::builder()
            .name(name)
            .local("127.0.0.1:0".parse().unwrap())
            .connect(self.address);
        let client = connecting.await.unwrap();
        loop {
            if let Event::Connected { peer } = self.next().await {
                assert_eq!(peer.name, name);
                return client;
            }
        }
    }

    async fn next(&mut self) -> Event {
        timeout(PATIENCE, self.endpoint.next())
            .await
            .expect("an event in time")
            .unwrap()
    }

    /// The next message that the hub's application hears.
    async fn heard(&mut self) -> (String, MessageBuf) {
        loop {
            if let Event::Message { peer, message, .. } = self.next().await {
                return (peer.name.clone(), message);
            }
        }
    }
}

async fn hears(client: &mut Client) -> Received {
    timeout(PATIENCE, client.next())
        .await
        .expect("a message in time")
        .unwrap()
}

async fn hears_all(client: &mut Client, expected: &[ChannelMessage]) {
    for message in expected {
        assert_eq!(hears(client).await.message, MessageBuf::from(*message));
    }
}

fn on(note: u8, velocity: u8) -> ChannelMessage {
    let note = Note::new(note).unwrap();
    ChannelMessage::note_on(Channel::C1, note, U7::new(velocity).unwrap())
}

fn off(note: u8) -> ChannelMessage {
    ChannelMessage::note_off(Channel::C1, Note::new(note).unwrap(), U7::new(1).unwrap())
}

fn control(number: u8, value: u8) -> ChannelMessage {
    let (control, value) = (Controller::new(number).unwrap(), U7::new(value).unwrap());
    ChannelMessage::control_change(Channel::C1, control, value)
}

/// Says nothing to any rule: what was played before it has been heard when it is.
fn marker(value: u8) -> ChannelMessage {
    control(20, value)
}

#[tokio::test]
async fn what_each_plays_goes_to_all_others_and_not_back() {
    let mut hub = Hub::new([Route::Everybody]).await;
    let mut a = hub.client("a").await;
    let mut b = hub.client("b").await;
    let mut c = hub.client("c").await;
    a.send_now(on(60, 100)).unwrap();
    hears_all(&mut b, &[on(60, 100)]).await;
    hears_all(&mut c, &[on(60, 100)]).await;
    b.send_now(marker(1)).unwrap();
    // The first that it hears is of somebody else.
    hears_all(&mut a, &[marker(1)]).await;
    hears_all(&mut c, &[marker(1)]).await;
    c.send_now(marker(2)).unwrap();
    hears_all(&mut b, &[marker(2)]).await;
    hears_all(&mut a, &[marker(2)]).await;
    // And the application hears all of it.
    assert_eq!(hub.heard().await, ("a".into(), on(60, 100).into()));
    assert_eq!(hub.heard().await, ("b".into(), marker(1).into()));
    assert_eq!(hub.heard().await, ("c".into(), marker(2).into()));
    let stats = hub.endpoint.handle().stats().await.unwrap();
    assert_eq!((stats.routes.forwarded, stats.routes.not_sent), (6, 0));
    assert_eq!(stats.peers.len(), 3);
    assert!(stats.peers.iter().all(|peer| peer.clock.is_some()));
}

#[tokio::test]
async fn a_note_that_two_hold_ends_with_the_last() {
    let mut hub = Hub::new([Route::merge(["a", "b"], "c")]).await;
    let a = hub.client("a").await;
    let b = hub.client("b").await;
    let mut c = hub.client("c").await;
    // One after the other: the two are not to overtake each other.
    for (client, message) in [
        (&a, on(60, 100)),
        (&b, on(60, 50)),
        (&a, off(60)),
        (&a, marker(1)),
        (&a, on(60, 70)),
        (&b, on(60, 0)),
        (&b, marker(2)),
        (&a, off(60)),
        // Pedals too.
        (&a, control(64, 127)),
        (&b, control(64, 100)),
        (&a, control(64, 0)),
        (&a, marker(3)),
        (&b, control(64, 5)),
        // All notes off ends those of its sender.
        (&a, on(61, 1)),
        (&a, on(62, 1)),
        (&b, on(62, 2)),
        (&a, control(123, 0)),
        (&a, marker(4)),
        (&b, control(123, 0)),
    ] {
        client.send_now(message).unwrap();
        hub.heard().await;
    }
    let release =
        ChannelMessage::note_off(Channel::C1, Note::new(61).unwrap(), U7::new(64).unwrap());
    hears_all(
        &mut c,
        &[
            on(60, 100),
            on(60, 50),
            marker(1),
            on(60, 70),
            marker(2),
            off(60),
            control(64, 127),
            control(64, 100),
            marker(3),
            control(64, 5),
            on(61, 1),
            on(62, 1),
            on(62, 2),
            release,
            marker(4),
            control(123, 0),
        ],
    )
    .await;
    let stats = hub.endpoint.handle().stats().await.unwrap();
    assert_eq!(stats.routes.held_by_others, 4);
}

#[tokio::test]
async fn notes_of_one_who_leaves_end_unless_another_holds_them() {
    let mut hub = Hub::new([Route::Everybody]).await;
    let a = hub.client("a").await;
    let b = hub.client("b").await;
    let mut c = hub.client("c").await;
    for (client, message) in [
        (&a, on(60, 1)),
        (&a, on(61, 1)),
        (&a, control(64, 127)),
        (&b, on(61, 2)),
    ] {
        client.send_now(message).unwrap();
        hub.heard().await;
    }
    a.close().await;
    loop {
        if let Event::Disconnected { peer, .. } = hub.next().await {
            assert_eq!(peer.name, "a");
            break;
        }
    }
    b.send_now(marker(1)).unwrap();
    hears_all(&mut c, &[on(60, 1), on(61, 1), control(64, 127), on(61, 2)]).await;
    let mut ended = Vec::new();
    loop {
        let message = hears(&mut c).await.message;
        if message == MessageBuf::from(marker(1)) {
            break;
        }
        ended.push(message);
    }
    let is_end_of = |number: u8, message: &MessageBuf| match message {
        MessageBuf::Channel(ChannelMessage::NoteOff { note, .. }) => note.get() == number,
        _ => false,
    };
    assert_eq!(ended.iter().filter(|it| is_end_of(60, it)).count(), 1);
    assert!(ended.contains(&control(64, 0).into()), "{ended:?}");
    assert!(!ended.iter().any(|it| is_end_of(61, it)), "{ended:?}");
    b.send_now(off(61)).unwrap();
    hears_all(&mut c, &[off(61)]).await;
}

#[tokio::test]
async fn one_who_falls_silent_is_silenced_at_the_others() {
    let mut hub = Hub::new([Route::one_way("a", "c")]).await;
    let a = hub.client("a").await;
    let mut c = hub.client("c").await;
    a.send_now(on(60, 1)).unwrap();
    hears_all(&mut c, &[on(60, 1)]).await;
    // Disconnected here, which is as sudden.
    let id = loop {
        if let Event::Message { peer, .. } = hub.next().await {
            break peer.id;
        }
    };
    hub.endpoint.handle().disconnect(id).unwrap();
    let received = hears(&mut c).await;
    assert!(
        matches!(received.message, MessageBuf::Channel(ChannelMessage::NoteOff { note, .. }) if note.get() == 60),
        "{received:?}"
    );
    // To c it was played by the hub.
    assert_eq!(received.origin, Origin::Live);
}

#[tokio::test]
async fn system_exclusive_of_two_at_once_does_not_mix() {
    const OCTETS: usize = 100_000;
    let mut hub = Hub::new([Route::merge([Party::Anybody], "c")]).await;
    let a = hub.client("a").await;
    let b = hub.client("b").await;
    let mut c = hub.client("c").await;
    let dump = |fill: u8| SysExBuf::new(vec![fill; OCTETS]).unwrap();
    a.send_now(&MessageBuf::from(dump(0x0A))).unwrap();
    b.send_now(&MessageBuf::from(dump(0x0B))).unwrap();
    let mut heard = [hears(&mut c).await.message, hears(&mut c).await.message];
    heard.sort_by_key(|message| match message {
        MessageBuf::SysEx(sysex) => sysex.as_sysex().data()[0],
        _ => 0,
    });
    assert_eq!(
        heard,
        [MessageBuf::from(dump(0x0A)), MessageBuf::from(dump(0x0B))]
    );
}

#[tokio::test]
async fn routes_change_and_nothing_is_left_hanging() {
    let mut hub = Hub::new([Route::both_ways("a", "b")]).await;
    let mut a = hub.client("a").await;
    let mut b = hub.client("b").await;
    let mut c = hub.client("c").await;
    a.send_now(on(60, 1)).unwrap();
    hears_all(&mut b, &[on(60, 1)]).await;
    b.send_now(marker(1)).unwrap();
    hears_all(&mut a, &[marker(1)]).await;
    let handle = hub.endpoint.handle();
    handle
        .set_routes([
            Route::one_way("a", "c"),
            Route::one_way(Party::Anybody, "a"),
        ])
        .unwrap();
    // What the old route left down is let go.
    let ended = hears(&mut b).await.message;
    assert!(
        matches!(ended, MessageBuf::Channel(ChannelMessage::NoteOff { note, .. }) if note.get() == 60),
        "{ended:?}"
    );
    a.send_now(marker(2)).unwrap();
    hears_all(&mut c, &[marker(2)]).await;
    // c hears the end of a note whose beginning it missed, and no harm is done.
    a.send_now(off(60)).unwrap();
    hears_all(&mut c, &[off(60)]).await;
    c.send_now(marker(3)).unwrap();
    hears_all(&mut a, &[marker(3)]).await;
    b.send_now(marker(4)).unwrap();
    hears_all(&mut a, &[marker(4)]).await;
    handle.set_routes([]).unwrap();
    a.send_now(marker(5)).unwrap();
    while hub.heard().await.1 != MessageBuf::from(marker(5)) {}
    handle.set_routes([Route::Everybody]).unwrap();
    a.send_now(marker(6)).unwrap();
    hears_all(&mut b, &[marker(6)]).await;
    hears_all(&mut c, &[marker(6)]).await;
}

#[tokio::test]
async fn a_route_follows_an_invitation_through_its_sessions() {
    let mut far = Hub::new([]).await;
    let mut hub = Hub::new([]).await;
    let a = hub.client("a").await;
    let handle = hub.endpoint.handle();
    let mut invitation = handle.invite(far.address, Persistence::Forever).unwrap();
    handle
        .set_routes([Route::one_way("a", &invitation)])
        .unwrap();
    for value in [1, 2] {
        let peer = loop {
            if let Event::Connected { peer } = far.next().await {
                break peer;
            }
        };
        let state = timeout(PATIENCE, invitation.settled()).await.unwrap();
        assert!(!state.is_failure(), "{state}");
        a.send_now(marker(value)).unwrap();
        assert_eq!(far.heard().await.1, MessageBuf::from(marker(value)));
        // Asks again, from the same ports.
        far.endpoint.handle().disconnect(peer.id).unwrap();
        timeout(PATIENCE, invitation.changed()).await.unwrap();
    }
}

#[tokio::test]
async fn a_receiver_without_room_is_told_of_and_left_without_hanging_notes() {
    let mut hub = Hub {
        endpoint: Endpoint::builder()
            .name("hub")
            .listen("127.0.0.1:0".parse().unwrap())
            .journal(JournalPolicy::Off)
            .configure(|config| {
                config.max_queued_octets = 4000;
            })
            .route(Route::one_way("a", "c"))
            .bind()
            .await
            .unwrap(),
        address: "127.0.0.1:0".parse().unwrap(),
    };
    hub.address = hub.endpoint.addresses()[0].control;
    let a = hub.client("a").await;
    let mut c = hub.client("c").await;
    a.send_now(on(60, 1)).unwrap();
    hears_all(&mut c, &[on(60, 1)]).await;
    let dump = SysExBuf::new(vec![1; 5000]).unwrap();
    a.send_now(&MessageBuf::from(dump)).unwrap();
    loop {
        if let Event::NotSent { peer, error } = hub.next().await {
            assert_eq!(peer.name, "c");
            assert!(
                matches!(error, SessionSendError::QueueFull { .. }),
                "{error}"
            );
            break;
        }
    }
    a.send_now(off(60)).unwrap();
    hears_all(&mut c, &[off(60)]).await;
    let stats = hub.endpoint.handle().stats().await.unwrap();
    assert_eq!((stats.routes.forwarded, stats.routes.not_sent), (2, 1));
}

#[tokio::test]
async fn a_hub_that_sleeps_passes_on_the_true_state() {
    let endpoint = Endpoint::builder()
        .name("hub")
        .listen("127.0.0.1:0".parse().unwrap())
        .configure(|config| config.max_queued_events = 50)
        .route(Route::Everybody)
        .bind()
        .await
        .unwrap();
    let address = endpoint.addresses()[0].control;
    let mut hub = Hub { endpoint, address };
    let a = hub.client("a").await;
    let b = hub.client("b").await;
    let mut c = hub.client("c").await;
    // b holds one of a's notes, which a is to let go of in vain.
    b.send_now(on(40, 1)).unwrap();
    hub.heard().await;
    let mut played = BTreeSet::from([40]);
    let mut random: u32 = 5;
    for _ in 0..2000 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let note = 40 + random.to_be_bytes()[0] % 40;
        let message = match played.remove(&note) {
            true => off(note),
            false => {
                played.insert(note);
                on(note, 100)
            }
        };
        a.send_now(message).unwrap();
        tokio::task::yield_now().await;
    }
    played.insert(40);
    a.send_now(marker(1)).unwrap();
    // Whoever is not listened to cannot be heard elsewhere either.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut dropped = 0;
    a.send_now(marker(2)).unwrap();
    loop {
        match hub.next().await {
            Event::Overflow { dropped: more, .. } => dropped += more,
            Event::Message { message, .. } if message == MessageBuf::from(marker(2)) => break,
            _ => {}
        }
    }
    assert!(dropped > 500, "{dropped}");
    a.send_now(marker(3)).unwrap();
    let mut heard = BTreeSet::new();
    loop {
        match hears(&mut c).await.message {
            MessageBuf::Channel(message) if message == marker(3) => break,
            MessageBuf::Channel(message) => {
                let [_, note, _] = message.to_octets();
                match message {
                    ChannelMessage::NoteOn { .. } => _ = heard.insert(note),
                    ChannelMessage::NoteOff { .. } => _ = heard.remove(&note),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    assert_eq!(heard, played);
}
