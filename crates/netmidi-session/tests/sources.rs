//! A datagram from anywhere but the participant's own address changes nothing.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use core::net::SocketAddr;

use netmidi_message::Message;
use netmidi_session::{Config, Event, LocalPort, PairId, Session, Time};
use netmidi_testkit::{ScriptedPeer, events, transmits};
use netmidi_wire::{ClockCount, ClockTicks, ExchangeKind, SeqNum, Token};

fn note() -> Message<'static> {
    Message::parse(&[0x90, 60, 100]).unwrap()
}

/// Every other address a packet could come from, with the counter that tells of it.
fn elsewhere() -> [(SocketAddr, bool); 3] {
    [
        // The same host, another port.
        ("192.0.2.7:9999".parse().unwrap(), true),
        // Another host, the same port.
        ("192.0.2.8:5007".parse().unwrap(), false),
        ("[2001:db8::7]:5007".parse().unwrap(), false),
    ]
}

#[test]
fn nobody_else_can_act_for_a_participant() {
    for (from, same_host) in elsewhere() {
        let mut session = Session::new(Config::new("ours"), 1, Time::ZERO).unwrap();
        let mut peer = ScriptedPeer::new(1);
        let id = peer.join(&mut session, Time::ZERO);
        let now = Time::from_secs(10);
        // We introduce ourselves to the peer once, which is not what the forger asked for.
        session.handle_timeout(now);
        transmits(&mut session);
        let mut forger = peer.clone();
        let ticks = [ClockTicks(1), ClockTicks(0), ClockTicks(0)];
        let forged = [
            forger.packet(now, &[note()]),
            forger.exchange(ExchangeKind::End),
            forger.clock(ClockCount::Ck0, ticks),
            forger.clock(ClockCount::Ck2, ticks),
            forger.feedback(SeqNum(1)),
        ];
        for datagram in &forged {
            session.handle_datagram(now, LocalPort::data(PairId(0)), from, datagram);
        }
        assert_eq!(events(&mut session), [], "from {from}");
        // Another port of the same host may be the participant's new one, which its clock would
        // show. To a stranger, who plays and asks for our clock, we say that it is none of us.
        let sent = transmits(&mut session);
        let kinds: Vec<&[u8]> = sent.iter().map(|(_, octets)| &octets[2..4]).collect();
        let expected: &[&[u8]] = if same_host { &[b"CK"] } else { &[b"BY", b"BY"] };
        assert_eq!(kinds, expected, "from {from}");
        assert!(sent.iter().all(|(transmit, _)| transmit.to == from));
        let stats = session.stats();
        let expected = if same_host { (5, 0) } else { (0, 5) };
        assert_eq!(
            (stats.wrong_source, stats.unknown_sender),
            expected,
            "from {from}"
        );
        // The peer itself goes on, its sequence and its address unmoved.
        peer.play(&mut session, now, &[note()]);
        session.send(now, id, note()).unwrap();
        assert_eq!(events(&mut session).len(), 1);
        let sent = transmits(&mut session);
        let [feedback, midi] = sent.as_slice() else {
            panic!("{sent:02x?}");
        };
        assert_eq!(
            (&feedback.1[2..4], feedback.0.to),
            (b"RS".as_slice(), peer.control)
        );
        assert_eq!(midi.0.to, peer.data);
    }
}

#[test]
fn strangers_are_not_heard_and_told_so() {
    let mut session = Session::new(Config::new("ours"), 1, Time::ZERO).unwrap();
    let mut stranger = ScriptedPeer::new(1);
    let ticks = [ClockTicks(1), ClockTicks(0), ClockTicks(0)];
    let datagrams = [
        stranger.packet(Time::ZERO, &[note()]),
        stranger.exchange(ExchangeKind::End),
        stranger.clock(ClockCount::Ck0, ticks),
        stranger.feedback(SeqNum(1)),
    ];
    for datagram in &datagrams {
        session.handle_datagram(
            Time::ZERO,
            LocalPort::data(PairId(0)),
            stranger.data,
            datagram,
        );
    }
    assert_eq!(session.stats().unknown_sender, 4);
    for kind in [ExchangeKind::Accepted, ExchangeKind::Rejected] {
        let datagram = stranger.exchange(kind);
        session.handle_datagram(
            Time::ZERO,
            LocalPort::control(PairId(0)),
            stranger.control,
            &datagram,
        );
    }
    assert_eq!(session.stats().unexpected_answer, 2);
    assert_eq!(events(&mut session), []);
    // For what only a participant sends, MIDI and CK0.
    let sent = transmits(&mut session);
    assert_eq!(sent.len(), 2);
    for (transmit, octets) in sent {
        assert_eq!(transmit.to, stranger.data);
        assert_eq!(octets[2..4], *b"BY");
        assert_eq!(octets[8..12], [0; 4], "no token");
    }
    assert_eq!(session.stats().strangers_told, 2);
    assert_eq!(session.poll_timeout(), None);
}

#[test]
fn a_half_open_peer_plays_to_nobody() {
    let mut session = Session::new(Config::new("ours"), 1, Time::ZERO).unwrap();
    let mut peer = ScriptedPeer::new(1);
    let invitation = peer.exchange(ExchangeKind::Invitation);
    let local = LocalPort::control(PairId(0));
    session.handle_datagram(Time::ZERO, local, peer.control, &invitation);
    peer.play(&mut session, Time::ZERO, &[note()]);
    assert_eq!(events(&mut session), []);
    assert_eq!(session.stats().unknown_sender, 1);
}

#[test]
fn midi_on_the_control_port_is_no_midi() {
    let mut session = Session::new(Config::new("ours"), 1, Time::ZERO).unwrap();
    let mut peer = ScriptedPeer::new(1);
    peer.join(&mut session, Time::ZERO);
    let packet = peer.packet(Time::ZERO, &[note()]);
    session.handle_datagram(
        Time::ZERO,
        LocalPort::control(PairId(0)),
        peer.data,
        &packet,
    );
    assert_eq!(events(&mut session), []);
    assert_eq!(session.stats().rtp_on_control, 1);
}

#[test]
fn foreign_payload_types_are_passed_over() {
    let mut session = Session::new(Config::new("ours"), 1, Time::ZERO).unwrap();
    let mut peer = ScriptedPeer::new(1);
    peer.join(&mut session, Time::ZERO);
    for (payload_type, heard) in [(97, true), (96, true), (127, true), (95, false), (0, false)] {
        let mut packet = peer.packet(Time::ZERO, &[note()]);
        packet[1] = payload_type;
        session.handle_datagram(Time::ZERO, LocalPort::data(PairId(0)), peer.data, &packet);
        assert_eq!(
            events(&mut session).len(),
            usize::from(heard),
            "type {payload_type}"
        );
    }
    assert_eq!(session.stats().foreign_payload, 2);
}

#[test]
fn a_stale_bye_does_not_end_a_new_session() {
    // macOS reuses its SSRC and sends a BY with another token.
    let mut session = Session::new(Config::new("ours"), 1, Time::ZERO).unwrap();
    let peer = ScriptedPeer::new(1);
    peer.join(&mut session, Time::ZERO);
    let stale = ScriptedPeer {
        token: Token(5),
        ..peer.clone()
    };
    let bye = stale.exchange(ExchangeKind::End);
    let control = LocalPort::control(PairId(0));
    session.handle_datagram(Time::from_millis(1999), control, peer.control, &bye);
    assert_eq!(events(&mut session), []);
    assert_eq!(session.stats().stale_bye, 1);
    session.handle_datagram(Time::from_secs(2), control, peer.control, &bye);
    assert!(matches!(
        events(&mut session).as_slice(),
        [Event::Left { .. }]
    ));
}
