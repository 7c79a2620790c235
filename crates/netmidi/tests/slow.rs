//! A consumer that sleeps while it is played to: sessions live on, and it ends in the true state.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use netmidi::message::{Channel, ChannelMessage, Controller, Message, MessageBuf, Note, U7, U14};
use netmidi::{Config, Endpoint, Event, Handle, Origin, ParticipantId, Persistence, Stats};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

const NAP: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(20);
/// Two of them each millisecond.
const MESSAGES: u32 = 10_000;

/// What a receiver of messages is left with.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct State {
    keys: BTreeSet<(u8, u8)>,
    values: BTreeMap<(u8, u8), u8>,
    programs: BTreeMap<u8, u8>,
    bends: BTreeMap<u8, [u8; 3]>,
}

impl State {
    fn hear(&mut self, message: &Message<'_>) {
        let Message::Channel(message) = *message else {
            return;
        };
        let channel = message.channel().index();
        match message {
            ChannelMessage::NoteOn { note, .. } | ChannelMessage::NoteOff { note, .. } => {
                let key = (channel, note.get());
                match message.is_note_off() {
                    true => _ = self.keys.remove(&key),
                    false => _ = self.keys.insert(key),
                }
            }
            ChannelMessage::ControlChange { control, value, .. } => {
                self.values.insert((channel, control.get()), value.get());
            }
            ChannelMessage::ProgramChange { program, .. } => {
                self.programs.insert(channel, program.get());
            }
            ChannelMessage::PitchBend { .. } => {
                self.bends.insert(channel, message.to_octets());
            }
            _ => {}
        }
    }
}

/// What somebody with two hands and a knob might play, the same every time.
struct Player {
    random: u32,
    state: State,
}

impl Player {
    const CONTROLLERS: [u8; 6] = [1, 7, 10, 11, 64, 74];

    fn next(&mut self) -> ChannelMessage {
        // Numerical Recipes' generator; its upper bits are good enough.
        self.random = self
            .random
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        let [kind, place, value, low] = self.random.to_be_bytes();
        let channel = Channel::from_status(low % 4);
        let value = U7::from_low_bits(value);
        let message = match kind % 10 {
            0..6 => {
                let note = Note::new(40 + place % 40).unwrap();
                match self.state.keys.contains(&(channel.index(), note.get())) {
                    true => ChannelMessage::note_off(channel, note, value),
                    false => ChannelMessage::note_on(channel, note, U7::MAX),
                }
            }
            6..8 => {
                let control = Self::CONTROLLERS[usize::from(place) % Self::CONTROLLERS.len()];
                ChannelMessage::control_change(channel, Controller::new(control).unwrap(), value)
            }
            8 => ChannelMessage::program_change(channel, value),
            _ => {
                let bend = U14::from_parts(value, U7::from_low_bits(place));
                ChannelMessage::pitch_bend(channel, bend.into())
            }
        };
        self.state.hear(&message.into());
        message
    }
}

/// Somebody who is connected to a consumer; what ends or fails of that is told.
struct Musician {
    handle: Handle,
    to: ParticipantId,
    troubles: Arc<Mutex<Vec<String>>>,
}

impl Musician {
    async fn new(name: &str, consumer: SocketAddr) -> Self {
        let mut endpoint = Endpoint::builder()
            .name(name)
            .listen("127.0.0.1:0".parse().unwrap())
            .bind()
            .await
            .unwrap();
        let handle = endpoint.handle();
        handle.invite(consumer, Persistence::Forever).unwrap();
        let to = loop {
            let event = timeout(PATIENCE, endpoint.next()).await.unwrap().unwrap();
            if let Event::Connected { peer } = event {
                break peer.id;
            }
        };
        let troubles: Arc<Mutex<Vec<String>>> = Arc::default();
        let told = Arc::clone(&troubles);
        tokio::spawn(async move {
            while let Some(event) = endpoint.next().await {
                told.lock().unwrap().push(format!("{event:?}"));
            }
        });
        Self {
            handle,
            to,
            troubles,
        }
    }

    /// Two messages each millisecond, then one that nothing else is like.
    async fn play(&self, last: ChannelMessage) -> State {
        let mut player = Player {
            random: 7,
            state: State::default(),
        };
        let mut tick = interval(Duration::from_millis(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for _ in 0..MESSAGES / 2 {
            tick.tick().await;
            self.handle.send(self.to, player.next()).unwrap();
            self.handle.send(self.to, player.next()).unwrap();
        }
        // Not while the consumer still sleeps.
        sleep(Duration::from_millis(500)).await;
        self.handle.send(self.to, last).unwrap();
        player.state
    }
}

/// The marker of the end: a controller that is not played otherwise.
fn last() -> ChannelMessage {
    let control = Controller::new(20).unwrap();
    ChannelMessage::control_change(Channel::C16, control, U7::MAX)
}

/// What the consumer finds when it wakes up.
struct Found {
    state: State,
    messages: u64,
    restored: u64,
    dropped: u64,
    before: Stats,
    after: Stats,
}

async fn nap(change: impl FnOnce(&mut Config)) -> (State, Found) {
    let mut consumer = Endpoint::builder()
        .name("consumer")
        .listen("127.0.0.1:0".parse().unwrap())
        .configure(change)
        .bind()
        .await
        .unwrap();
    let address = consumer.addresses()[0].control;
    let musician = Musician::new("musician", address).await;
    let idle = Musician::new("idle", address).await;
    for _ in 0..2 {
        let event = timeout(PATIENCE, consumer.next()).await.unwrap().unwrap();
        assert!(matches!(event, Event::Connected { .. }), "{event:?}");
    }
    let handle = consumer.handle();
    let before = handle.stats().await.unwrap();
    let playing = tokio::spawn(async move { (musician.play(last()).await, musician) });
    sleep(NAP).await;
    let during = handle.stats().await.unwrap();
    let mut found = Found {
        state: State::default(),
        messages: 0,
        restored: 0,
        dropped: 0,
        before,
        after: during,
    };
    loop {
        match timeout(PATIENCE, consumer.next()).await.unwrap().unwrap() {
            Event::Message { message, .. } if message == MessageBuf::from(last()) => break,
            Event::Message {
                peer,
                message,
                origin,
                ..
            } => {
                assert_eq!(peer.name, "musician");
                found.messages += 1;
                found.restored += u64::from(origin == Origin::Restored);
                found.state.hear(&message.as_message());
            }
            Event::Overflow { peer, dropped } => {
                assert_eq!(peer.name, "musician");
                found.dropped += dropped;
            }
            other => panic!("{other:?}"),
        }
    }
    let (state, musician) = timeout(PATIENCE, playing).await.unwrap().unwrap();
    for one in [&musician, &idle] {
        let troubles = one.troubles.lock().unwrap();
        assert!(troubles.is_empty(), "{troubles:?}");
    }
    println!(
        "{} messages heard of {MESSAGES}, {} of them restored, {} events dropped; {:#?}",
        found.messages, found.restored, found.dropped, found.after
    );
    (state, found)
}

/// Both sessions are as alive as before, and their clocks were compared all the time.
fn is_alive(found: &Found) {
    assert_eq!(found.after.peers.len(), 2);
    for (before, after) in found.before.peers.iter().zip(&found.after.peers) {
        assert_eq!(before.id, after.id);
        let clock = after.clock.unwrap();
        assert!(clock.age < Duration::from_secs(2), "{clock:?}");
        let exchanges = clock.exchanges - before.clock.map_or(0, |clock| clock.exchanges);
        assert!(exchanges >= 4, "{exchanges}");
        assert_eq!((after.counters.lost, after.counters.duplicates), (0, 0));
    }
}

#[tokio::test]
async fn a_consumer_that_sleeps_misses_nothing_within_the_bounds() {
    let (state, found) = nap(|_| {}).await;
    is_alive(&found);
    assert_eq!(found.state, state);
    assert_eq!(
        (found.messages, found.restored, found.dropped),
        (u64::from(MESSAGES), 0, 0)
    );
}

#[tokio::test]
async fn a_consumer_that_sleeps_beyond_the_bounds_wakes_in_the_true_state() {
    let (state, found) = nap(|config| config.max_queued_events = 500).await;
    is_alive(&found);
    assert_eq!(found.state, state);
    assert!(found.dropped > 1000, "{}", found.dropped);
    assert!(found.restored > 0);
    assert!(found.messages < u64::from(MESSAGES), "{}", found.messages);
}
