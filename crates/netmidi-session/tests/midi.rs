//! MIDI both ways.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use netmidi_message::{Message, MessageBuf, SysEx, Undefined, UndefinedStatus};
use netmidi_session::{
    Config, Event, JournalPolicy, LocalPort, Origin, PacketBudget, PairId, ParticipantId,
    RunningStatus, SendError, Session, Time, UndefinedCommands,
};
use netmidi_testkit::{ScriptedPeer, events, from_hex, to_hex, transmits};
use netmidi_wire::{ClockCount, ClockTicks, RtpHeader, RtpTimestamp};
use proptest::prelude::*;

fn joined_with(change: impl FnOnce(&mut Config)) -> (Session, ScriptedPeer, ParticipantId) {
    let mut config = Config::new("ours");
    // These tests are about the list; see journal.rs for what follows it.
    config.journal = JournalPolicy::Off;
    change(&mut config);
    let mut session = Session::new(config, 1, Time::ZERO).unwrap();
    let peer = ScriptedPeer::new(1);
    let id = peer.join(&mut session, Time::ZERO);
    (session, peer, id)
}

fn joined() -> (Session, ScriptedPeer, ParticipantId) {
    joined_with(|_| {})
}

/// What was played, as hex.
fn played(session: &mut Session) -> Vec<String> {
    events(session)
        .into_iter()
        .map(|event| match event {
            Event::Message { message, .. } => to_hex(&message.to_vec()),
            other => panic!("{other:?}"),
        })
        .collect()
}

/// Hands the session a packet with this payload.
fn payload(session: &mut Session, peer: &mut ScriptedPeer, payload: &str) {
    let header = RtpHeader::midi(peer.seq, RtpTimestamp(0), peer.ssrc);
    peer.seq = peer.seq.next();
    let mut packet = vec![0; RtpHeader::LEN];
    header.encode(&mut packet).unwrap();
    packet.extend(from_hex(payload));
    session.handle_datagram(Time::ZERO, LocalPort::data(PairId(0)), peer.data, &packet);
}

#[test]
fn every_kind_of_message_comes_out() {
    let (mut session, mut peer, _) = joined();
    let wires = [
        "903c64",
        "803c00",
        "903c00",
        "a03c10",
        "b0077f",
        "c005",
        "d140",
        "e00040",
        "f135",
        "f27f01",
        "f305",
        "f6",
        "f8",
        "fa",
        "fb",
        "fc",
        "fe",
        "ff",
        "f07e7f0601f7",
        "f0f7",
    ];
    for wire in wires {
        let octets = from_hex(wire);
        peer.play(
            &mut session,
            Time::ZERO,
            &[Message::parse(&octets).unwrap()],
        );
    }
    assert_eq!(played(&mut session), wires);
}

#[test]
fn a_list_keeps_its_order_and_its_running_status() {
    let (mut session, mut peer, _) = joined();
    payload(&mut session, &mut peer, "09 903c40 00 4041 05 4300");
    assert_eq!(played(&mut session), ["903c40", "904041", "904300"]);
}

#[test]
fn a_received_journal_is_stepped_over() {
    let (mut session, mut peer, id) = joined();
    // One whole channel journal, then a journal that is cut, then one octet of nothing.
    payload(&mut session, &mut peer, "43 903c40 a000f0 8005108040");
    payload(&mut session, &mut peer, "43 903d40 a000f0 80");
    payload(&mut session, &mut peer, "43 903e40 a0");
    payload(&mut session, &mut peer, "40 a000f0 8005108040");
    assert_eq!(played(&mut session), ["903c40", "903d40", "903e40"]);
    let stats = session.participant_stats(id).unwrap();
    assert_eq!((stats.packets_received, stats.malformed_commands), (4, 0));
}

#[test]
fn octets_behind_the_list_do_not_cost_the_list() {
    let (mut session, mut peer, id) = joined();
    payload(&mut session, &mut peer, "03 903c40 00");
    assert_eq!(played(&mut session), ["903c40"]);
    assert_eq!(session.participant_stats(id).unwrap().trailing_octets, 1);
}

#[test]
fn a_broken_list_plays_nothing_and_counts_as_lost() {
    let (mut session, mut peer, id) = joined();
    payload(&mut session, &mut peer, "03 903c40");
    // The first command is whole, the second is not: nothing of the list is played.
    payload(&mut session, &mut peer, "06 903d40 00 803c");
    payload(&mut session, &mut peer, "03 903e40");
    let events = events(&mut session);
    assert!(
        matches!(
            events.as_slice(),
            [
                Event::Message { .. },
                // Without a journal nobody knows whether the note goes on.
                Event::Message {
                    origin: Origin::Repaired,
                    ..
                },
                Event::Lost {
                    packets: 1,
                    covered: false,
                    ..
                },
                Event::Message { .. }
            ]
        ),
        "{events:?}"
    );
    let stats = session.participant_stats(id).unwrap();
    assert_eq!((stats.malformed_commands, stats.lost), (1, 1));
}

#[test]
fn a_broken_list_is_no_sign_of_life() {
    let (mut session, mut peer, id) = joined();
    let note = Message::parse(&[0x90, 60, 100]).unwrap();
    session.send(Time::ZERO, id, note).unwrap();
    payload(&mut session, &mut peer, "03 903c");
    assert_eq!(transmits(&mut session), [], "not ready for MIDI by that");
    let header = RtpHeader::midi(peer.seq, RtpTimestamp(0), peer.ssrc);
    let mut broken = vec![0; RtpHeader::LEN + 1];
    header.encode(&mut broken).unwrap();
    broken[RtpHeader::LEN] = 0x0F;
    let local = LocalPort::data(PairId(0));
    session.handle_datagram(Time::from_secs(59), local, peer.data, &broken);
    session.handle_timeout(Time::from_secs(60));
    assert!(
        matches!(events(&mut session).as_slice(), [Event::Left { .. }]),
        "silent for sixty seconds all the same"
    );
}

#[test]
fn sysex_is_joined_over_packets_with_real_time_between() {
    let (mut session, mut peer, _) = joined();
    payload(&mut session, &mut peer, "04 f00102f0");
    payload(&mut session, &mut peer, "01 f8");
    payload(&mut session, &mut peer, "03 f703f0");
    payload(&mut session, &mut peer, "03 f704f7");
    assert_eq!(played(&mut session), ["f8", "f001020304f7"]);
}

#[test]
fn sysex_with_a_part_missing_is_never_played() {
    let (mut session, mut peer, id) = joined();
    payload(&mut session, &mut peer, "04 f00102f0");
    peer.seq = peer.seq.next();
    payload(&mut session, &mut peer, "03 f704f7");
    payload(&mut session, &mut peer, "04 f00506f7");
    let events = events(&mut session);
    assert!(
        matches!(
            events.as_slice(),
            [Event::Lost { .. }, Event::Message { .. }]
        ),
        "{events:?}"
    );
    assert_eq!(session.participant_stats(id).unwrap().sysex_lost, 1);
}

#[test]
fn sysex_is_bounded() {
    let (mut session, mut peer, id) = joined_with(|config| config.max_sysex = 3);
    payload(&mut session, &mut peer, "05 f0010203f7");
    payload(&mut session, &mut peer, "06 f001020304f7");
    payload(&mut session, &mut peer, "04 f00102f0");
    payload(&mut session, &mut peer, "04 f70304f0");
    payload(&mut session, &mut peer, "03 f705f7");
    payload(&mut session, &mut peer, "03 f006f7");
    assert_eq!(played(&mut session), ["f0010203f7", "f006f7"]);
    assert_eq!(session.participant_stats(id).unwrap().sysex_too_long, 2);
}

#[test]
fn undefined_messages_are_delivered_only_when_configured() {
    for (undefined, expected) in [
        (UndefinedCommands::Drop, vec!["903c40"]),
        (
            UndefinedCommands::Carry,
            vec!["f9", "fd", "f40102", "f5", "903c40"],
        ),
    ] {
        let (mut session, mut peer, id) = joined_with(|config| config.undefined = undefined);
        payload(
            &mut session,
            &mut peer,
            "80 10 f9 00 fd 00 f40102f7 00 f5f7 00 903c40 00",
        );
        assert_eq!(played(&mut session), expected);
        let dropped = session.participant_stats(id).unwrap().undefined_dropped;
        assert_eq!(dropped, 5 - expected.len() as u64);
    }
}

#[test]
fn undefined_messages_are_sent_only_when_configured() {
    let (mut session, _, id) = joined();
    let undefined = Undefined::new(UndefinedStatus::F4, &[1, 2]).unwrap();
    let error = session.send(Time::ZERO, id, undefined.into()).unwrap_err();
    assert_eq!(error, SendError::Undefined { status: 0xF4 });

    let (mut session, peer, id) = joined_with(|config| config.undefined = UndefinedCommands::Carry);
    peer.synchronise(&mut session, Time::ZERO);
    session.send(Time::ZERO, id, undefined.into()).unwrap();
    assert_eq!(to_hex(&transmits(&mut session)[0].1[12..]), "04f40102f7");
    let long = vec![1; 2000];
    let long = Undefined::new(UndefinedStatus::F4, &long).unwrap();
    let error = session.send(Time::ZERO, id, long.into()).unwrap_err();
    assert_eq!(
        error,
        SendError::TooLarge {
            octets: 2002,
            max: 1006
        }
    );
    // The longest that is taken does go out.
    let longest = vec![1; 1004];
    let longest = Undefined::new(UndefinedStatus::F4, &longest).unwrap();
    session.send(Time::ZERO, id, longest.into()).unwrap();
    assert_eq!(transmits(&mut session)[0].1.len(), 1020);
}

#[test]
fn midi_waits_until_the_peer_is_ready_for_it() {
    let note = Message::parse(&[0x90, 60, 100]).unwrap();
    let sent_after = |ready: fn(&mut Session, &mut ScriptedPeer)| {
        let (mut session, mut peer, id) = joined();
        session.send(Time::from_millis(1), id, note).unwrap();
        assert_eq!(transmits(&mut session), [], "not yet");
        ready(&mut session, &mut peer);
        let midi = transmits(&mut session)
            .into_iter()
            .filter(|(_, octets)| octets[0] == 0x80)
            .count();
        assert_eq!(midi, 1);
    };
    sent_after(|session, peer| peer.synchronise(session, Time::from_millis(2)));
    sent_after(|session, peer| peer.play(session, Time::from_millis(2), &[]));
    sent_after(|session, _| {
        assert_eq!(session.poll_timeout(), Some(Time::from_secs(2)));
        session.handle_timeout(Time::from_millis(1999));
        assert_eq!(transmits(session), []);
        session.handle_timeout(Time::from_secs(2));
    });
}

#[test]
fn a_packet_is_exactly_what_peers_expect() {
    let (mut session, peer, id) = joined();
    peer.synchronise(&mut session, Time::ZERO);
    let note = Message::parse(&[0x90, 60, 100]).unwrap();
    let ck0 = peer.clock(ClockCount::Ck0, [ClockTicks(1); 3]);
    let local = LocalPort::data(PairId(0));
    session.handle_datagram(Time::from_micros(12_345_600), local, peer.data, &ck0);
    let (_, ck1) = transmits(&mut session).remove(0);
    session
        .send(Time::from_micros(12_345_600), id, note)
        .unwrap();
    session
        .send(Time::from_micros(12_345_800), id, note)
        .unwrap();
    let sent = transmits(&mut session);
    assert_eq!(sent.len(), 1, "several sends before a drain share a packet");
    let packet = &sent[0].1;
    // V=2, no padding, extension or CSRC; M=0, payload type 97.
    assert_eq!(packet[..2], [0x80, 0x61]);
    assert_eq!(packet[4..8], ck1[24..28], "the low half of our clock");
    assert_eq!(packet[8..12], session.ssrc().0.to_be_bytes());
    // B=0, J=0, Z=0, P=0; every command with its status.
    assert_eq!(to_hex(&packet[12..]), "07903c6402903c64");
}

#[test]
fn running_status_is_used_only_when_configured() {
    let (mut session, peer, id) = joined_with(|config| config.running_status = RunningStatus::On);
    peer.synchronise(&mut session, Time::ZERO);
    for octets in [[0x90, 60, 100], [0x90, 62, 100]] {
        session
            .send(Time::ZERO, id, Message::parse(&octets).unwrap())
            .unwrap();
    }
    assert_eq!(
        to_hex(&transmits(&mut session)[0].1[12..]),
        "06903c64003e64"
    );
}

#[test]
fn a_queue_that_does_not_drain_is_bounded() {
    let (mut session, peer, id) = joined_with(|config| config.max_queued_octets = 1000);
    let data = vec![0; 400];
    let sysex = SysEx::new(&data).unwrap();
    session.send(Time::ZERO, id, sysex.into()).unwrap();
    session.send(Time::ZERO, id, sysex.into()).unwrap();
    let error = session.send(Time::ZERO, id, sysex.into()).unwrap_err();
    assert!(
        matches!(error, SendError::QueueFull { limit: 1000, .. }),
        "{error:?}"
    );
    peer.synchronise(&mut session, Time::ZERO);
    transmits(&mut session);
    session.send(Time::ZERO, id, sysex.into()).unwrap();
}

#[test]
fn an_overflow_of_events_is_told() {
    let (mut session, mut peer, id) = joined_with(|config| config.max_queued_events = 3);
    for note in 60..65 {
        let octets = [0x90, note, 100];
        let note = Message::parse(&octets).unwrap();
        peer.play(&mut session, Time::ZERO, &[note]);
    }
    let events = events(&mut session);
    let overflow = Event::Overflow {
        participant: id,
        dropped: 2,
    };
    assert_eq!(events[3], overflow);
    assert_eq!(session.stats().events_dropped, 2);
    // The notes that sound and were not told.
    let restored: Vec<Vec<u8>> = events[4..]
        .iter()
        .map(|event| match event {
            Event::Message {
                message,
                origin: Origin::Restored,
                ..
            } => message.as_message().to_vec(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(restored, [[0x90, 63, 100], [0x90, 64, 100]]);
}

#[test]
fn events_with_much_data_are_bounded_by_their_octets() {
    let (mut session, mut peer, id) = joined_with(|config| config.max_queued_event_octets = 250);
    let data = [0x55; 100];
    let dump = Message::from(SysEx::new(&data).unwrap());
    let note = Message::parse(&[0x90, 60, 100]).unwrap();
    for message in [dump, dump, dump, note, dump] {
        peer.play(&mut session, Time::ZERO, &[message]);
    }
    let events = events(&mut session);
    assert_eq!(events.len(), 5);
    let overflow = Event::Overflow {
        participant: id,
        dropped: 2,
    };
    assert_eq!(events[3], overflow);
    // The dump is lost, the note is not.
    assert!(matches!(&events[4], Event::Message { message, .. } if *message == note));
    // What was taken makes room; and one message alone is always let through.
    let data = [0x55; 1000];
    peer.play(
        &mut session,
        Time::ZERO,
        &[SysEx::new(&data).unwrap().into()],
    );
    assert_eq!(played(&mut session).len(), 1);
}

#[test]
fn one_long_message_does_not_hold_up_other_participants() {
    let mut config = Config::new("ours");
    config.journal = JournalPolicy::Off;
    let mut session = Session::new(config, 1, Time::ZERO).unwrap();
    let peers = [ScriptedPeer::new(1), ScriptedPeer::new(2)];
    let ids = peers.each_ref().map(|peer| {
        let id = peer.join(&mut session, Time::ZERO);
        peer.synchronise(&mut session, Time::ZERO);
        transmits(&mut session);
        id
    });
    let data = vec![0; 100_000];
    session
        .send(Time::ZERO, ids[0], SysEx::new(&data).unwrap().into())
        .unwrap();
    session
        .send(Time::ZERO, ids[1], Message::parse(&[0xF8]).unwrap())
        .unwrap();
    let sent = transmits(&mut session);
    assert_eq!(sent[0].0.to, peers[0].data);
    assert_eq!(sent[1].0.to, peers[1].data, "in turn");
    assert_eq!(sent.len(), 101);
}

proptest! {
    #![proptest_config(netmidi_testkit::properties())]

    /// What one session sends, another receives: any messages, any budget, in order, whole.
    #[test]
    fn what_is_sent_is_received(
        messages in proptest::collection::vec(netmidi_testkit::strategies::any_message(), 0..60),
        dump in proptest::collection::vec(0u8..0x80, 0..20_000),
        budget in 256u16..=8192,
        running in any::<bool>(),
    ) {
        let (mut receiver, peer, _) = joined_with(|config| config.undefined = UndefinedCommands::Carry);
        // The sender's packets reach the receiver as if the peer had sent them.
        let (mut sender, other, id) = joined_with(|config| {
            config.undefined = UndefinedCommands::Carry;
            config.packet_budget = PacketBudget::new(budget).unwrap();
            config.running_status = if running { RunningStatus::On } else { RunningStatus::Off };
        });
        other.synchronise(&mut sender, Time::ZERO);
        transmits(&mut sender);
        let mut expected: Vec<MessageBuf> = Vec::new();
        let dump = Message::from(SysEx::new(&dump).unwrap()).to_buf();
        for (n, message) in messages.iter().chain([&dump]).enumerate() {
            let now = Time::from_millis(n as u64);
            if sender.send(now, id, message.as_message()).is_ok() {
                expected.push(message.clone());
            }
        }
        for (_, mut octets) in transmits(&mut sender) {
            prop_assert!(octets.len() <= usize::from(budget));
            octets[8..12].copy_from_slice(&peer.ssrc.0.to_be_bytes());
            receiver.handle_datagram(Time::from_secs(1), LocalPort::data(PairId(0)), peer.data, &octets);
        }
        let received: Vec<MessageBuf> = events(&mut receiver)
            .into_iter()
            .filter_map(|event| match event {
                Event::Message { message, .. } => Some(message),
                _ => None,
            })
            .collect();
        prop_assert_eq!(received, expected);
    }
}
