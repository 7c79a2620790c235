//! Defects that were found once, each with the test that keeps it away.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use core::time::Duration;
use std::collections::BTreeSet;

use netmidi_message::{Message, SysEx};
use netmidi_session::{
    Config, Event, LeaveReason, LocalPort, Origin, PairId, ParticipantId, Session, Time,
};
use netmidi_testkit::{ScriptedPeer, events, transmits};
use netmidi_wire::{ClockCount, ClockTicks, ExchangeKind, SeqNum, Token};

const HOUR: Duration = Duration::from_secs(3600);

fn session_with(change: impl FnOnce(&mut Config)) -> Session {
    let mut config = Config::new("ours");
    change(&mut config);
    Session::new(config, 1, Time::ZERO).unwrap()
}

fn joined_with(change: impl FnOnce(&mut Config)) -> (Session, ScriptedPeer, ParticipantId) {
    let mut session = session_with(change);
    let peer = ScriptedPeer::new(1);
    let id = peer.join(&mut session, Time::ZERO);
    (session, peer, id)
}

fn note() -> Message<'static> {
    Message::parse(&[0x90, 60, 100]).unwrap()
}

fn notes(session: &mut Session) -> usize {
    events(session)
        .iter()
        .filter(|event| {
            matches!(
                event,
                Event::Message {
                    origin: Origin::Live,
                    ..
                }
            )
        })
        .count()
}

/// The RTP timestamp of the only packet that waits.
fn timestamp(session: &mut Session) -> u32 {
    let sent = transmits(session);
    let [(_, packet)] = sent.as_slice() else {
        panic!("{sent:02x?}");
    };
    u32::from_be_bytes(packet[4..8].try_into().unwrap())
}

#[test]
fn after_a_long_weekend_without_a_note_the_clock_is_still_right() {
    // 32 bits of 100 µs go half round in 59.7 hours.
    let (mut session, peer, id) = joined_with(|config| config.silence_timeout = 1000 * HOUR);
    let mut now = Time::from_secs(1);
    peer.synchronise(&mut session, now);
    session.send(now, id, note()).unwrap();
    let (began, first) = (now, timestamp(&mut session));
    for idle in [60 * HOUR, Duration::from_millis(1), 100 * HOUR] {
        now = now + idle;
        session.send(now, id, note()).unwrap();
        #[allow(
            clippy::cast_possible_truncation,
            reason = "RTP carries the low 32 bits"
        )]
        let passed = (now.since(began).as_micros() / 100) as u32;
        let expected = first.wrapping_add(passed);
        assert_eq!(timestamp(&mut session), expected, "after {idle:?}");
    }
}

#[test]
fn an_invitation_that_is_repeated_stays_alive() {
    // Windows rtpMIDI repeats IN four times before it goes on to the data port, and the OK of the
    // first few may be lost: the five seconds count from the last OK.
    let mut session = session_with(|_| {});
    let peer = ScriptedPeer::new(1);
    let invitation = peer.exchange(ExchangeKind::Invitation);
    let control = LocalPort::control(PairId(0));
    for second in 0..12 {
        session.handle_datagram(Time::from_secs(second), control, peer.control, &invitation);
    }
    transmits(&mut session);
    let now = Time::from_millis(15_900);
    session.handle_datagram(now, LocalPort::data(PairId(0)), peer.data, &invitation);
    let sent = transmits(&mut session);
    assert_eq!(sent[0].1[2..4], *b"OK");
    assert_eq!(session.stats().invitations_expired, 0);
    assert_eq!(events(&mut session).len(), 1);
}

#[test]
fn an_invitation_that_is_repeated_no_more_expires() {
    let mut session = session_with(|_| {});
    let peer = ScriptedPeer::new(1);
    let invitation = peer.exchange(ExchangeKind::Invitation);
    let control = LocalPort::control(PairId(0));
    for second in 0..3 {
        session.handle_datagram(Time::from_secs(second), control, peer.control, &invitation);
    }
    assert_eq!(session.poll_timeout(), Some(Time::from_secs(7)));
    session.handle_timeout(Time::from_secs(7));
    assert_eq!(session.stats().invitations_expired, 1);
    assert_eq!(session.poll_timeout(), None);
}

#[test]
fn a_peer_that_takes_up_our_numbers_is_heard() {
    // rtp-midi-rs goes on with the number after the one that it received last, so its numbers
    // fall back with every packet of ours.
    let (mut session, mut peer, id) = joined_with(|_| {});
    let mut now = Time::ZERO;
    for round in 0..10u16 {
        peer.seq = SeqNum(1000 + round);
        for _ in 0..5 {
            now = now + Duration::from_millis(100);
            peer.play(&mut session, now, &[note()]);
        }
    }
    assert_eq!(notes(&mut session), 50);
    let stats = session.participant_stats(id).unwrap();
    assert_eq!((stats.duplicates, stats.lost), (0, 0), "{stats:?}");
}

#[test]
fn late_packets_and_copies_of_old_ones_are_not_taken_for_new_numbers() {
    let (mut session, mut peer, id) = joined_with(|_| {});
    let packets: Vec<_> = (1..=6)
        .map(|n| peer.packet(Time::from_millis(n), &[note()]))
        .collect();
    for n in [0, 1, 3, 2, 1, 0, 5, 4, 5] {
        let now = Time::from_millis(50);
        session.handle_datagram(now, LocalPort::data(PairId(0)), peer.data, &packets[n]);
    }
    assert_eq!(notes(&mut session), 4);
    let stats = session.participant_stats(id).unwrap();
    assert_eq!((stats.duplicates, stats.reordered), (3, 2), "{stats:?}");
}

#[test]
fn clock_exchanges_that_overlap_are_all_completed() {
    // A burst every 250 ms over a way of 200 ms each: the next CK0 comes before the last CK2.
    let (mut session, peer, id) = joined_with(|_| {});
    let local = LocalPort::data(PairId(0));
    let mut answered = Vec::new();
    for n in 0..4u64 {
        let now = Time::from_millis(200 + 250 * n);
        let first = ClockTicks(now.as_micros() / 100 - 2000);
        let ck0 = peer.clock(ClockCount::Ck0, [first, ClockTicks(0), ClockTicks(0)]);
        // Some networks deliver a datagram twice.
        session.handle_datagram(now, local, peer.data, &ck0);
        session.handle_datagram(now + Duration::from_micros(300), local, peer.data, &ck0);
        let (_, ck1) = &transmits(&mut session)[0];
        let second = u64::from_be_bytes(ck1[20..28].try_into().unwrap());
        answered.push((ClockTicks(second), first));
    }
    for (second, first) in answered {
        let third = ClockTicks(first.0 + 4000);
        let ck2 = peer.clock(ClockCount::Ck2, [first, second, third]);
        session.handle_datagram(Time::from_secs(2), local, peer.data, &ck2);
    }
    assert_eq!(session.participant_stats(id).unwrap().clock_exchanges, 4);
    assert_eq!(session.stats().unexpected_clock, 0);
}

#[test]
fn a_clock_that_runs_fast_is_followed() {
    // 100 millionths fast, an exchange every 10 seconds: the newest is at most 1 ms out of date.
    let (mut session, mut peer, _) = joined_with(|_| {});
    for second in (10..600).step_by(10) {
        let now = Time::from_secs(second);
        peer.clock_ahead = ClockTicks(second);
        peer.synchronise(&mut session, now);
        let later = Time::from_secs(second + 9);
        peer.play(&mut session, later, &[note()]);
        match events(&mut session).as_slice() {
            [Event::Message { at, .. }] => {
                let off = later.since(*at).max(at.since(later));
                assert!(off <= Duration::from_millis(1), "{off:?} after {second} s");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_overflow_is_told_where_it_happened() {
    let (mut session, mut peer, _) = joined_with(|config| config.max_queued_events = 3);
    for _ in 0..5 {
        peer.play(&mut session, Time::ZERO, &[note()]);
    }
    // A reader that is always behind, but reads.
    let mut seen = Vec::new();
    for n in 0..20 {
        seen.extend(session.poll_event());
        peer.play(&mut session, Time::from_millis(n), &[note()]);
    }
    let first = seen
        .iter()
        .position(|event| matches!(event, Event::Overflow { .. }));
    assert_eq!(first, Some(3), "{seen:?}");
    seen.extend(events(&mut session));
    let told: u64 = seen
        .iter()
        .map(|event| match event {
            Event::Overflow { dropped, .. } => *dropped,
            _ => 0,
        })
        .sum();
    assert_eq!(told, session.stats().events_dropped);
}

#[test]
fn closing_tells_everybody_however_few_answers_may_wait() {
    let mut session = session_with(|config| config.max_queued_answers = 1);
    let peers: Vec<_> = (0..20).map(ScriptedPeer::new).collect();
    for peer in &peers {
        peer.join(&mut session, Time::ZERO);
    }
    session.close(Time::from_secs(1));
    let told: BTreeSet<_> = transmits(&mut session)
        .into_iter()
        .map(|(transmit, _)| transmit.to)
        .collect();
    assert_eq!(told, peers.iter().map(|peer| peer.control).collect());
}

#[test]
fn a_late_bye_without_token_does_not_spoil_the_next_invitation() {
    // Apple's BY carries token 0, and may come after the invitation that follows it.
    let (mut session, peer, id) = joined_with(|_| {});
    let again = ScriptedPeer {
        token: Token(9),
        ..peer.clone()
    };
    let bye = ScriptedPeer {
        token: Token(0),
        ..peer.clone()
    };
    let control = LocalPort::control(PairId(0));
    let now = Time::from_secs(5);
    let invitation = again.exchange(ExchangeKind::Invitation);
    session.handle_datagram(now, control, peer.control, &invitation);
    let bye = bye.exchange(ExchangeKind::End);
    session.handle_datagram(now, control, peer.control, &bye);
    let left = Event::Left {
        participant: id,
        reason: LeaveReason::Bye,
    };
    assert_eq!(events(&mut session), [left]);
    transmits(&mut session);
    session.handle_datagram(now, LocalPort::data(PairId(0)), peer.data, &invitation);
    assert_eq!(transmits(&mut session)[0].1[2..4], *b"OK");
    assert!(matches!(
        events(&mut session).as_slice(),
        [Event::Joined { .. }]
    ));
}

#[test]
fn a_peer_that_takes_its_second_invitation_back_is_gone() {
    let (mut session, peer, id) = joined_with(|_| {});
    let again = ScriptedPeer {
        token: Token(9),
        ..peer
    };
    for kind in [ExchangeKind::Invitation, ExchangeKind::End] {
        session.handle_datagram(
            Time::from_secs(5),
            LocalPort::control(PairId(0)),
            again.control,
            &again.exchange(kind),
        );
    }
    let left = Event::Left {
        participant: id,
        reason: LeaveReason::Bye,
    };
    assert_eq!(events(&mut session), [left]);
    assert_eq!(session.poll_timeout(), None, "nothing is left of it");
}

/// The time of the first BY after leaving with a dump in the queue, drained one packet every
/// `pace`; and how many packets came after it.
fn leave_with_a_dump(pace: Duration) -> (Duration, usize) {
    let (mut session, _, id) = joined_with(|config| config.ready_timeout = Duration::ZERO);
    let data = vec![0; 10_000];
    let start = Time::from_secs(1);
    session
        .send(start, id, SysEx::new(&data).unwrap().into())
        .unwrap();
    session.leave(start, id).unwrap();
    let (mut now, mut out, mut bye, mut after) = (start, Vec::new(), None, 0);
    while session.participants().count() + usize::from(session.poll_timeout().is_some()) > 0 {
        session.handle_timeout(now);
        if session.poll_transmit(&mut out).is_some() {
            match (out[..4] == *b"\xFF\xFFBY", bye) {
                (true, None) => bye = Some(now.since(start)),
                (false, Some(_)) => after += 1,
                _ => {}
            }
        }
        now = now + pace;
    }
    (bye.expect("a BY"), after)
}

#[test]
fn a_dump_that_takes_its_time_goes_out_before_the_bye() {
    // Ten packets and a bit.
    let (bye, after) = leave_with_a_dump(Duration::from_millis(50));
    assert_eq!(after, 0);
    assert_eq!(bye, Duration::from_millis(450 + 100));
    // But nobody waits for ever.
    let (bye, _) = leave_with_a_dump(Duration::from_millis(500));
    assert!(bye <= Duration::from_millis(2500), "{bye:?}");
}
