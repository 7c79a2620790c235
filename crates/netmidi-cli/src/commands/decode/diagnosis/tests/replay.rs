//! What was captured is played again: the peer ends where the first receiver did.

use netmidi::{Endpoint, Event, Origin};
use netmidi_testkit::{Instrument, Script as Performance, ScriptMix, Tolerance};

use super::super::super::replay::{Collector, Which};
use super::*;
use crate::console::Console;

/// A performance over a network that loses one packet in ten, and the instrument of who received it.
fn performance(seed: u64) -> (Capture, Instrument) {
    let mut it = Studio::joined(seed);
    it.net.set_quality(LinkQuality {
        latency: Duration::from_millis(2),
        loss: 100_000,
        ..LinkQuality::default()
    });
    let mix = ScriptMix::everything()
        .without_undefined()
        .with_messages(300);
    for step in &Performance::new(&mix, seed).steps {
        it.run(u64::try_from(step.wait.as_millis()).unwrap());
        for message in &step.messages {
            let session = it.net.session(it.piano).unwrap();
            let (to, _) = session.participants().next().unwrap();
            it.net.send(it.piano, to, message.as_message()).unwrap();
        }
    }
    it.run(5_000);
    let mut instrument = Instrument::new();
    for (_, event) in it.net.take_events(it.stage) {
        if let netmidi_session::Event::Message { message, .. } = event {
            instrument.play(&message.as_message());
        }
    }
    (it.capture(), instrument)
}

fn collect(capture: &[Passed], which: Option<Which>) -> Collector {
    let mut collector = Collector::new(which);
    for (number, it) in (1..).zip(capture) {
        let captured = Captured {
            number,
            time: Some(Duration::from_micros(it.at.as_micros())),
            from: Some(it.from),
            to: Some(it.to),
            payload: &it.octets,
            missing: 0,
        };
        collector
            .packet(&captured, &Reading::of(&it.octets))
            .unwrap();
    }
    collector
}

/// Plays it to an endpoint, and returns what that heard while it was connected, and what was silenced
/// by the endpoint itself after that.
async fn replay(collector: Collector, speed: f64, stop: Option<Duration>) -> (Instrument, usize) {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut endpoint = Endpoint::builder().listen(loopback).bind().await.unwrap();
    let control = endpoint.addresses()[0].control;
    let listening = tokio::spawn(async move {
        let (mut instrument, mut silenced) = (Instrument::new(), 0);
        while let Some(event) = endpoint.next_event().await {
            match event {
                Event::Message {
                    origin: Origin::Silence,
                    ..
                } => silenced += 1,
                Event::Message { message, .. } => instrument.play(&message.as_message()),
                Event::Disconnected { .. } => break,
                _ => {}
            }
        }
        (instrument, silenced)
    });
    let console = Console::silent();
    let stop = async move {
        match stop {
            Some(after) => tokio::time::sleep(after).await,
            None => std::future::pending().await,
        }
    };
    let part = collector.into_part().unwrap();
    part.play(control.into(), speed, &console, stop)
        .await
        .unwrap();
    tokio::time::timeout(Duration::from_secs(20), listening)
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn a_replay_ends_in_the_same_state() {
    for seed in 1..4 {
        let (capture, expected) = performance(seed);
        let report = &diagnose(&capture)[0];
        assert!(
            report.directions.iter().any(|it| it.repaired > 0),
            "{report}"
        );
        let (heard, _) = replay(collect(&capture, None), 200.0, None).await;
        assert_eq!(
            heard.difference(&expected, &Tolerance::STRICT),
            None,
            "seed {seed}"
        );
    }
}

#[tokio::test]
async fn a_replay_that_is_stopped_leaves_nothing_on() {
    let mut it = Studio::joined(1);
    for note in 60..70 {
        it.play(on(note));
        it.run(10);
    }
    it.run(60_000);
    it.play(off(60));
    it.run(2_000);
    let collector = collect(&it.capture(), None);
    let (heard, silenced) = replay(collector, 1.0, Some(Duration::from_millis(1500))).await;
    assert_eq!(heard.sounding_notes(), 0);
    assert_eq!(silenced, 0, "the replay ends it, not the receiver");
}

#[test]
fn the_stream_can_be_chosen() {
    let mut it = Studio::joined(1);
    it.play(on(60));
    it.run(100);
    it.play_from(it.stage, on(61));
    it.run(100);
    let capture = it.capture();
    assert!(collect(&capture, None).into_part().is_ok());
    assert!(
        collect(&capture, Some(Which::Session(1)))
            .into_part()
            .is_ok()
    );
    let stage = it.net.session(it.stage).unwrap().ssrc();
    assert!(
        collect(&capture, Some(Which::Ssrc(stage.0)))
            .into_part()
            .is_ok()
    );
    for wrong in [Which::Session(2), Which::Ssrc(1)] {
        assert!(collect(&capture, Some(wrong)).into_part().is_err());
    }
    assert!(collect(&[], None).into_part().is_err());
}
