//! Clock exchanges, and the times that messages get from them.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use core::time::Duration;

use netmidi_message::Message;
use netmidi_session::{Config, Event, LocalPort, PairId, Session, Time, Transmit};
use netmidi_testkit::{ScriptedPeer, events, transmits};
use netmidi_wire::{ClockCount, ClockTicks};

fn joined() -> (Session, ScriptedPeer) {
    let mut session = Session::new(Config::new("ours"), 1, Time::ZERO).unwrap();
    let peer = ScriptedPeer::new(1);
    peer.join(&mut session, Time::ZERO);
    (session, peer)
}

fn note() -> Message<'static> {
    Message::parse(&[0x90, 60, 100]).unwrap()
}

fn times(session: &mut Session) -> Vec<Time> {
    events(session)
        .into_iter()
        .map(|event| match event {
            Event::Message { at, .. } => at,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn ck0_is_answered_on_the_port_it_came_from() {
    let (mut session, peer) = joined();
    let ck0 = peer.clock(
        ClockCount::Ck0,
        [ClockTicks(0x1234), ClockTicks(0), ClockTicks(0)],
    );
    for (local, from) in [
        (LocalPort::data(PairId(0)), peer.data),
        (LocalPort::control(PairId(0)), peer.control),
        // midimonster: from its data socket to our control port.
        (LocalPort::control(PairId(0)), peer.data),
    ] {
        session.handle_datagram(Time::from_millis(50), local, from, &ck0);
        let sent = transmits(&mut session);
        assert_eq!(sent.len(), 1);
        assert_eq!(
            sent[0].0,
            Transmit {
                from: local,
                to: from
            }
        );
        let mut expected = vec![0xFF, 0xFF, b'C', b'K'];
        expected.extend(session.ssrc().0.to_be_bytes());
        expected.extend([1, 0, 0, 0]);
        expected.extend(0x1234u64.to_be_bytes());
        expected.extend(&sent[0].1[20..28]);
        expected.extend(0u64.to_be_bytes());
        assert_eq!(sent[0].1, expected);
    }
}

/// What our clock shows now, asked by CK0.
fn shown(session: &mut Session, peer: &ScriptedPeer, now: Time) -> u64 {
    let ck0 = peer.clock(ClockCount::Ck0, [1, 0, 0].map(ClockTicks));
    session.handle_datagram(now, LocalPort::data(PairId(0)), peer.data, &ck0);
    let sent = transmits(session);
    u64::from_be_bytes(sent[0].1[20..28].try_into().unwrap())
}

#[test]
fn our_clock_counts_in_ticks_from_anywhere() {
    let mut origins: Vec<u64> = (0..100)
        .map(|seed| {
            let mut session = Session::new(Config::new("ours"), seed, Time::ZERO).unwrap();
            let peer = ScriptedPeer::new(1);
            peer.join(&mut session, Time::ZERO);
            let origin = shown(&mut session, &peer, Time::from_micros(99));
            for (micros, ticks) in [(100, 1), (50_250, 502), (59_000_000, 590_000)] {
                let now = Time::from_micros(micros);
                assert_eq!(shown(&mut session, &peer, now), origin + ticks);
            }
            assert!(origin < 1 << 44);
            origin & 0xFFFF_FFFF
        })
        .collect();
    origins.sort_unstable();
    origins.dedup();
    assert_eq!(origins.len(), 100);
}

#[test]
fn ck1_and_ck2_are_never_answered() {
    let (mut session, peer) = joined();
    for count in [ClockCount::Ck1, ClockCount::Ck2] {
        let clock = peer.clock(count, [ClockTicks(1), ClockTicks(2), ClockTicks(3)]);
        session.handle_datagram(Time::ZERO, LocalPort::data(PairId(0)), peer.data, &clock);
    }
    assert_eq!(transmits(&mut session), []);
    assert_eq!(session.stats().unexpected_clock, 2);
}

#[test]
fn before_an_exchange_messages_are_due_when_they_arrive() {
    let (mut session, mut peer) = joined();
    peer.clock_ahead = ClockTicks(123_456);
    peer.play(&mut session, Time::from_millis(70), &[note()]);
    assert_eq!(times(&mut session), [Time::from_millis(70)]);
}

#[test]
fn after_an_exchange_messages_keep_the_spacing_they_were_sent_with() {
    for ahead in [0, 123_456, u64::from(u32::MAX) - 5, 0x1234_5678_9ABC] {
        let (mut session, mut peer) = joined();
        peer.clock_ahead = ClockTicks(ahead);
        peer.synchronise(&mut session, Time::from_millis(10));
        // Sent every 10 ms, on the way for a different time each.
        let mut expected = Vec::new();
        for (n, delay) in [3, 9, 1, 0, 7].into_iter().enumerate() {
            let sent = Time::from_millis(20 + 10 * n as u64);
            let packet = peer.packet(sent, &[note()]);
            let arrived = sent + Duration::from_millis(delay);
            session.handle_datagram(arrived, LocalPort::data(PairId(0)), peer.data, &packet);
            expected.push(sent);
        }
        assert_eq!(times(&mut session), expected, "clock {ahead} ahead");
    }
}

#[test]
fn the_future_is_believed_for_two_seconds() {
    let (mut session, mut peer) = joined();
    peer.synchronise(&mut session, Time::from_secs(10));
    for (sent, at) in [
        (Time::from_secs(12), Time::from_secs(12)),
        (Time::from_millis(12_100), Time::from_secs(10)),
        (Time::from_secs(8), Time::from_secs(8)),
        // A sender that always says 0 is not meant to be played in the past.
        (Time::ZERO, Time::from_secs(10)),
    ] {
        let packet = peer.packet(sent, &[note()]);
        let now = Time::from_secs(10);
        session.handle_datagram(now, LocalPort::data(PairId(0)), peer.data, &packet);
        assert_eq!(times(&mut session), [at]);
    }
    let id = session.participants().next().unwrap().0;
    assert_eq!(session.participant_stats(id).unwrap().implausible_time, 2);
}

#[test]
fn what_we_send_carries_our_clock() {
    let (mut session, peer) = joined();
    let id = session.participants().next().unwrap().0;
    peer.synchronise(&mut session, Time::from_millis(1));
    session.send(Time::from_millis(250), id, note()).unwrap();
    let sent = transmits(&mut session);
    let now = Time::from_millis(250);
    let ticks = shown(&mut session, &peer, now) as u32;
    assert_eq!(sent[0].1[4..8], ticks.to_be_bytes());
}
