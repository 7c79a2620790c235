//! Two sessions over a simulated network, and the shadow of what one of them sends.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic is a failed test"
)]

use core::time::Duration;

use netmidi_journal::Chapter;
use netmidi_message::MessageBuf;
use netmidi_session::{Config, Event, LeaveReason, Origin, Port, UndefinedCommands};
use netmidi_testkit::{
    Bursts, Instrument, LinkQuality, Marks, Pair, Script, ScriptMix, Shadow, Side, Tolerance,
};
use netmidi_wire::{Feedback, SeqNum};

fn config(name: &str) -> Config {
    let mut config = Config::new(name);
    config.undefined = UndefinedCommands::Carry;
    config
}

fn pair(quality: LinkQuality, seed: u64) -> Pair {
    Pair::joined(quality, quality, seed, config("a"), config("b"))
}

/// Plays a script at A; returns what B was told.
fn play(pair: &mut Pair, script: &Script) -> Vec<MessageBuf> {
    let mut played = Vec::new();
    let mut sink = |side, event| match event {
        Event::Message { message, .. } if side == Side::B => played.push(message),
        Event::Lost { .. } => {}
        other => panic!("{side:?}: {other:?}"),
    };
    for step in &script.steps {
        pair.run_for(step.wait, &mut sink);
        for message in &step.messages {
            pair.send(Side::A, message.as_message()).unwrap();
        }
    }
    pair.run_for(Duration::from_secs(2), &mut sink);
    played
}

#[test]
fn over_a_perfect_link_everything_arrives_in_order() {
    let mut pair = pair(LinkQuality::default(), 1);
    let script = Script::new(&ScriptMix::everything(), 1);
    let sent: Vec<MessageBuf> = script.messages().cloned().collect();
    assert_eq!(play(&mut pair, &script), sent);
    assert_eq!(pair.lost(Side::A), 0);
    let traffic = pair.traffic(Side::A);
    let log = pair.take_log(Side::A);
    let rtp: Vec<_> = log.iter().filter(|it| it.port == Port::Data).collect();
    assert_eq!(traffic.rtp_packets, rtp.len() as u64);
    let octets: usize = rtp.iter().map(|it| it.octets.len()).sum();
    assert_eq!(traffic.rtp_octets, octets as u64);
    assert!(log.is_sorted_by_key(|it| it.at));
    assert!(pair.log(Side::A).is_empty(), "taken");
}

#[test]
fn both_sides_play() {
    let mut pair = pair(LinkQuality::default(), 2);
    let script = Script::new(&ScriptMix::piano().with_messages(20), 1);
    let sent: Vec<MessageBuf> = script.messages().cloned().collect();
    for message in &sent {
        for side in Side::BOTH {
            pair.send(side, message.as_message()).unwrap();
        }
    }
    let mut played = [Vec::new(), Vec::new()];
    pair.run_for(Duration::from_millis(1), &mut |side, event| {
        if let Event::Message { message, .. } = event {
            played[usize::from(side == Side::B)].push(message);
        }
    });
    assert_eq!(played, [sent.clone(), sent]);
}

#[test]
fn over_a_lossy_link_time_goes_on() {
    let quality = LinkQuality {
        latency: Duration::from_millis(3),
        jitter: Duration::from_millis(5),
        loss: 100_000,
        duplication: 20_000,
    };
    for seed in 0..20 {
        let mut pair = pair(quality, seed);
        pair.set_bursts(
            Side::A,
            Some(Bursts {
                chance: 5_000,
                longest: 200,
            }),
        );
        let script = Script::new(&ScriptMix::everything(), seed);
        let begun = pair.now();
        let played = play(&mut pair, &script);
        assert!(played.len() > 100, "{}", played.len());
        assert!(pair.lost(Side::A) > 10);
        let lasted = pair.now().since(begun);
        assert_eq!(lasted, script.duration() + Duration::from_secs(2));
    }
}

#[test]
fn the_same_seed_gives_the_same_octets() {
    let quality = LinkQuality {
        loss: 50_000,
        jitter: Duration::from_millis(2),
        ..LinkQuality::default()
    };
    let script = Script::new(&ScriptMix::everything().with_messages(200), 3);
    let [one, two] = [(); 2].map(|()| {
        let mut pair = pair(quality, 3);
        (play(&mut pair, &script), pair.take_log(Side::A))
    });
    assert_eq!(one, two);
}

#[test]
fn nobody_counts_as_silent_and_farewells_arrive() {
    let mut pair = pair(LinkQuality::default(), 4);
    pair.run_for(Duration::from_secs(600), &mut |side, event| {
        panic!("{side:?}: {event:?}");
    });
    let mut all = Vec::new();
    // What the link loses until the end is not heard at all.
    pair.lose_next(Side::A, u32::MAX);
    let script = Script::new(&ScriptMix::piano().with_messages(5), 1);
    for message in script.messages() {
        pair.send(Side::A, message.as_message()).unwrap();
    }
    pair.run_for(Duration::from_secs(1), &mut |side, event| {
        all.push((side, event));
    });
    assert_eq!(all, []);
    assert!(pair.lost(Side::A) > 0);
}

#[test]
fn packets_are_edited_on_their_way() {
    let mut pair = pair(LinkQuality::default(), 5);
    let mut n = 0;
    pair.edit(Side::A, move |octets| {
        if octets.len() < 17 || octets[0] != 0x80 {
            return true;
        }
        // The note of the first command.
        octets[14] ^= 1;
        n += 1;
        n != 2
    });
    let mut played = Vec::new();
    let mut lost = 0;
    for octets in [[0x90, 60, 1], [0x90, 62, 1], [0x90, 64, 1]] {
        let message = netmidi_message::Message::parse(&octets).unwrap();
        pair.send(Side::A, message).unwrap();
        pair.run_for(Duration::from_millis(1), &mut |_, event| match event {
            Event::Message {
                message, origin, ..
            } => played.push((origin, message.to_vec())),
            Event::Lost { packets, .. } => lost += packets,
            other => panic!("{other:?}"),
        });
    }
    let expected = [
        (Origin::Live, vec![0x90, 61, 1]),
        (Origin::Repaired, vec![0x90, 62, 1]),
        (Origin::Live, vec![0x90, 65, 1]),
    ];
    assert_eq!(played, expected);
    assert_eq!((lost, pair.traffic(Side::A).dropped), (1, 1));
    let mut logged = pair.log(Side::A).iter().map(|packet| &packet.octets);
    let first = logged.find(|octets| octets.len() > 16).unwrap();
    assert_eq!(first[14], 60, "logged as it was");
}

#[test]
fn feedback_goes_from_control_port_to_control_port() {
    let mut pair = pair(LinkQuality::default(), 6);
    // What they tell each other to begin with.
    pair.run_for(Duration::from_secs(5), &mut |_, _| {});
    // The identity of B, as A knows it.
    let ssrc = pair.session(Side::B).ssrc();
    let feedback = Feedback::new(ssrc, SeqNum(1)).to_vec();
    let before = heard(&pair);
    pair.inject(Side::B, Port::Control, feedback);
    pair.run_for(Duration::from_millis(1), &mut |side, event| {
        panic!("{side:?}: {event:?}");
    });
    assert_eq!(heard(&pair), before + 1);
}

/// How much feedback A has received.
fn heard(pair: &Pair) -> u64 {
    let stats = pair
        .session(Side::A)
        .participant_stats(pair.participant(Side::A));
    stats.unwrap().feedback_received
}

#[test]
fn a_farewell_ends_it() {
    let mut pair = pair(LinkQuality::default(), 7);
    pair.leave(Side::A).unwrap();
    let mut reasons = Vec::new();
    pair.run_for(Duration::from_secs(30), &mut |side, event| {
        if let Event::Left { reason, .. } = event {
            reasons.push((side, reason));
        }
    });
    reasons.sort_by_key(|(side, _)| *side);
    let expected = [(Side::A, LeaveReason::Local), (Side::B, LeaveReason::Bye)];
    assert_eq!(reasons, expected);
}

/// The shadow follows the receiver packet by packet.
#[test]
fn a_shadow_is_where_the_newest_packet_is() {
    let quality = LinkQuality {
        latency: Duration::from_millis(20),
        ..LinkQuality::default()
    };
    for seed in 0..10 {
        let mut pair = pair(quality, seed);
        let mut shadow = Shadow::new();
        let mut receiver = Instrument::new();
        let mut checks = 0;
        let script = Script::new(&ScriptMix::everything(), seed);
        let mut until = pair.now();
        for step in &script.steps {
            until = until + step.wait;
            loop {
                let more = pair.step(until, &mut |side, event| match event {
                    Event::Message { message, .. } if side == Side::B => {
                        receiver.play(&message.as_message());
                    }
                    other => panic!("{other:?}"),
                });
                for sent in pair.take_log(Side::A) {
                    shadow.feed(&sent.octets);
                }
                if let Some(seq) = pair.newest_arrived(Side::B) {
                    let difference = receiver.difference(shadow.upto(seq), &Tolerance::STRICT);
                    assert_eq!(difference, None, "seed {seed} at packet {seq}");
                    checks += 1;
                }
                if !more {
                    break;
                }
            }
            for message in &step.messages {
                pair.send(Side::A, message.as_message()).unwrap();
            }
        }
        assert!(checks > 500, "{checks}");
        assert!(shadow.messages() > 900);
    }
}

/// What a lossy link leaves behind when nobody repairs anything: the judge sees it, also with all
/// that it tolerates, whatever is played.
#[test]
fn without_repairs_there_are_differences() {
    use Chapter::{A, C, D, E, F, M, N, P, Q, T, W, X};
    let tolerance = Tolerance::REPAIRED;
    let mut mixes = vec![
        ScriptMix::everything(),
        ScriptMix::piano(),
        ScriptMix::controllers(),
    ];
    mixes.extend([P, C, M, W, N, E, T, A, D, Q, F, X].map(ScriptMix::chapter));
    for mix in mixes {
        let mut damaged = 0;
        for seed in 0..10 {
            let [mut receiver, mut sender] = [(); 2].map(|()| Instrument::new());
            for (n, message) in Script::new(&mix, seed).messages().enumerate() {
                sender.play(&message.as_message());
                if n % 7 != 3 {
                    receiver.play(&message.as_message());
                }
            }
            let state = receiver.difference(&sender, &tolerance);
            let marks = &Marks::ZERO;
            let executed = receiver.executions_difference(marks, &sender, marks, &tolerance);
            damaged += usize::from(state.or(executed).is_some());
        }
        assert!(damaged >= 5, "{damaged} of 10 are damaged by {mix:?}");
    }
}
