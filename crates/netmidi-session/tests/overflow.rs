//! An application that does not poll for a while ends in the true state.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use core::time::Duration;

use netmidi_message::Message;
use netmidi_session::{Config, Event, Origin, Playout, Session, Time, UndefinedCommands};
use netmidi_testkit::{
    CHAPTERS, Instrument, Rng, Script, ScriptMix, ScriptedPeer, Tolerance, properties, transmits,
};
use proptest::prelude::*;

/// What an application makes of its events.
struct Application {
    instrument: Instrument,
    overflows: usize,
    dropped: u64,
    restored: usize,
}

impl Application {
    fn new() -> Self {
        Self {
            instrument: Instrument::new(),
            overflows: 0,
            dropped: 0,
            restored: 0,
        }
    }

    /// Takes so many events, and none that are not there.
    fn poll(&mut self, session: &mut Session, most: usize) {
        for _ in 0..most {
            match session.poll_event() {
                Some(Event::Message {
                    message, origin, ..
                }) => {
                    self.restored += usize::from(origin == Origin::Restored);
                    self.instrument.play(&message.as_message());
                }
                Some(Event::Overflow { dropped, .. }) => {
                    self.overflows += 1;
                    self.dropped += dropped;
                }
                Some(Event::Joined { .. }) => {}
                Some(other) => panic!("{other:?}"),
                None => return,
            }
        }
    }
}

fn mix(index: usize) -> ScriptMix {
    match CHAPTERS.get(index) {
        Some(chapter) => ScriptMix::chapter(*chapter),
        None => ScriptMix::everything(),
    }
}

proptest! {
    #![proptest_config(properties())]

    /// Whatever is played, and however slowly and irregularly it is polled: in the end the
    /// application's instrument is the true one in everything.
    #[test]
    fn a_slow_application_ends_in_the_true_state(
        index in 0..CHAPTERS.len() + 2,
        seed in any::<u64>(),
        limit in 1..60_usize,
        pace in 1..8_u32,
        delayed in any::<bool>(),
    ) {
        let mut config = Config::new("ours");
        config.max_queued_events = limit;
        config.undefined = UndefinedCommands::Carry;
        if delayed {
            config.playout = Playout::Fixed(Duration::from_millis(20));
        }
        let mut session = Session::new(config, 1, Time::ZERO).unwrap();
        let mut peer = ScriptedPeer::new(1);
        let mut rng = Rng::new(seed);
        let mut application = Application::new();
        let mut truth = Instrument::new();
        let id = peer.join_quietly(&mut session, Time::ZERO);
        peer.synchronise(&mut session, Time::ZERO);
        let script = Script::new(&mix(index).with_messages(600), seed);
        let mut now = Time::from_secs(1);
        for step in &script.steps {
            now = now + step.wait;
            session.handle_timeout(now);
            for message in &step.messages {
                let message = message.as_message();
                if message.encoded_len() > 1000 {
                    // The peer does not cut messages.
                    continue;
                }
                truth.play(&message);
                peer.play(&mut session, now, &[message]);
            }
            transmits(&mut session);
            if rng.below(pace) == 0 {
                application.poll(&mut session, rng.below(8) as usize);
            }
        }
        for _ in 0..100 {
            now = now + Duration::from_millis(10);
            session.handle_timeout(now);
            transmits(&mut session);
            application.poll(&mut session, usize::MAX);
        }
        let stats = session.participant_stats(id).unwrap();
        prop_assert_eq!(application.dropped, session.stats().events_dropped);
        prop_assert_eq!(application.restored as u64, stats.messages_restored);
        let missing = usize::try_from(stats.sysex_missed).unwrap();
        let tolerance = Tolerance::STRICT.with_missing_sysex(missing);
        let difference = application.instrument.difference(&truth, &tolerance);
        prop_assert_eq!(difference, None);
    }
}

#[test]
fn one_who_polls_in_time_misses_nothing() {
    let mut session = Session::new(Config::new("ours"), 1, Time::ZERO).unwrap();
    let mut peer = ScriptedPeer::new(1);
    peer.join(&mut session, Time::ZERO);
    let mut application = Application::new();
    for n in 0..10_000_u64 {
        let octets = [0x90, (n % 128) as u8, 100];
        let note = Message::parse(&octets).unwrap();
        peer.play(&mut session, Time::from_millis(n), &[note]);
        transmits(&mut session);
    }
    application.poll(&mut session, usize::MAX);
    assert_eq!((application.overflows, application.restored), (0, 0));
}

#[test]
fn one_who_sleeps_costs_the_others_nothing_but_room() {
    // Two peers; nobody polls for a long time, and memory stays what it is.
    let mut config = Config::new("ours");
    config.max_queued_events = 100;
    let mut session = Session::new(config, 1, Time::ZERO).unwrap();
    let mut peers = [ScriptedPeer::new(1), ScriptedPeer::new(2)];
    for peer in &peers {
        peer.join(&mut session, Time::ZERO);
    }
    for n in 0..20_000_u64 {
        for (channel, peer) in peers.iter_mut().enumerate() {
            let status = if n % 2 == 0 { 0x90 } else { 0x80 } + channel as u8;
            let octets = [status, (n / 2 % 128) as u8, 100];
            let note = Message::parse(&octets).unwrap();
            peer.play(&mut session, Time::from_millis(n), &[note]);
            transmits(&mut session);
        }
    }
    let mut application = Application::new();
    application.poll(&mut session, usize::MAX);
    assert_eq!(application.overflows, 2, "one for each");
    assert_eq!(application.dropped, session.stats().events_dropped);
    assert_eq!(application.dropped + 100, 40_000);
    assert_eq!(application.instrument.sounding_notes(), 0);
    // And all is well again.
    let note = Message::parse(&[0x90, 1, 100]).unwrap();
    peers[0].play(&mut session, Time::from_secs(21), &[note]);
    application.poll(&mut session, usize::MAX);
    assert_eq!(application.instrument.sounding_notes(), 1);
}
