//! How a peer comes in: the two-port invitation, repeated, broken, hostile.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use core::net::SocketAddr;
use core::time::Duration;

use netmidi_session::{Config, Event, LeaveReason, LocalPort, PairId, Session, Ssrc, Time};
use netmidi_testkit::{ScriptedPeer, events, transmits};
use netmidi_wire::{ExchangeKind, Token};

const PAIR: PairId = PairId(0);

fn session() -> Session {
    session_with(|_| {})
}

fn session_with(change: impl FnOnce(&mut Config)) -> Session {
    let mut config = Config::new("ours");
    change(&mut config);
    Session::new(config, 1, Time::ZERO).unwrap()
}

/// The two letters of every packet that goes out, and where it goes.
fn answers(session: &mut Session) -> Vec<(String, SocketAddr)> {
    transmits(session)
        .into_iter()
        .map(|(transmit, octets)| {
            (
                String::from_utf8_lossy(&octets[2..4]).into_owned(),
                transmit.to,
            )
        })
        .collect()
}

fn invite_control(session: &mut Session, peer: &ScriptedPeer, now: Time) {
    let invitation = peer.exchange(ExchangeKind::Invitation);
    session.handle_datagram(
        now,
        LocalPort::control(peer.pair),
        peer.control,
        &invitation,
    );
}

fn invite_data(session: &mut Session, peer: &ScriptedPeer, now: Time) {
    let invitation = peer.exchange(ExchangeKind::Invitation);
    session.handle_datagram(now, LocalPort::data(peer.pair), peer.data, &invitation);
}

fn ok(to: SocketAddr) -> (String, SocketAddr) {
    ("OK".to_owned(), to)
}

fn no(to: SocketAddr) -> (String, SocketAddr) {
    ("NO".to_owned(), to)
}

#[test]
fn a_peer_is_connected_when_both_ports_are() {
    let mut session = session();
    let peer = ScriptedPeer::new(1);
    invite_control(&mut session, &peer, Time::ZERO);
    let sent = transmits(&mut session);
    assert_eq!(sent.len(), 1);
    let (transmit, octets) = &sent[0];
    assert_eq!(
        (transmit.from, transmit.to),
        (LocalPort::control(PAIR), peer.control)
    );
    let mut expected = vec![0xFF, 0xFF, b'O', b'K', 0, 0, 0, 2];
    expected.extend(peer.token.0.to_be_bytes());
    expected.extend(session.ssrc().0.to_be_bytes());
    expected.extend(b"ours\0");
    assert_eq!(*octets, expected);
    assert_eq!(events(&mut session), [], "one port is not enough");

    invite_data(&mut session, &peer, Time::from_millis(3));
    let sent = transmits(&mut session);
    assert_eq!(sent.len(), 1);
    assert_eq!(
        (sent[0].0.from, sent[0].0.to),
        (LocalPort::data(PAIR), peer.data)
    );
    assert_eq!(sent[0].1, expected, "the same answer on the data port");
    match events(&mut session).as_slice() {
        [Event::Joined { peer: joined, .. }] => {
            assert_eq!(joined.name, "peer 1");
            assert_eq!(joined.ssrc, peer.ssrc);
            assert_eq!((joined.control, joined.data), (peer.control, peer.data));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_repeated_invitation_is_answered_again() {
    let mut session = session();
    let peer = ScriptedPeer::new(1);
    // OK lost on control, then on data, then a late repeat of each once connected.
    for _ in 0..3 {
        invite_control(&mut session, &peer, Time::ZERO);
        assert_eq!(answers(&mut session), [ok(peer.control)]);
    }
    for _ in 0..3 {
        invite_data(&mut session, &peer, Time::ZERO);
        assert_eq!(answers(&mut session), [ok(peer.data)]);
    }
    invite_control(&mut session, &peer, Time::ZERO);
    assert_eq!(answers(&mut session), [ok(peer.control)]);
    assert_eq!(events(&mut session).len(), 1, "one join");
    assert_eq!(session.participants().count(), 1);
}

#[test]
fn a_peer_without_a_name_is_welcome() {
    let mut session = session();
    let mut peer = ScriptedPeer::new(1);
    peer.name = None;
    peer.join(&mut session, Time::ZERO);
    assert_eq!(session.participants().next().unwrap().1.name, "");
}

#[test]
fn a_name_of_any_length_is_kept_within_bounds() {
    let mut session = session();
    let mut peer = ScriptedPeer::new(1);
    peer.name = Some("ü".repeat(400));
    peer.join(&mut session, Time::ZERO);
    assert_eq!(
        session.participants().next().unwrap().1.name,
        "ü".repeat(127)
    );
}

#[test]
fn the_data_port_may_be_invited_with_token_0() {
    // midimonster does.
    let mut session = session();
    let peer = ScriptedPeer::new(1);
    invite_control(&mut session, &peer, Time::ZERO);
    let zero = ScriptedPeer {
        token: Token(0),
        ..peer.clone()
    };
    invite_data(&mut session, &zero, Time::ZERO);
    assert_eq!(answers(&mut session), [ok(peer.control), ok(peer.data)]);
    assert_eq!(events(&mut session).len(), 1);
}

#[test]
fn the_data_port_may_be_invited_from_the_control_port() {
    // pymidi's client has one socket for both.
    let mut session = session();
    let mut peer = ScriptedPeer::new(1);
    peer.data = peer.control;
    peer.join(&mut session, Time::ZERO);
}

#[test]
fn the_data_invitation_must_fit_the_control_invitation() {
    let host = |ip: &str, port: u16| SocketAddr::new(ip.parse().unwrap(), port);
    let peer = ScriptedPeer::new(1);
    let strangers = [
        (
            "another host",
            ScriptedPeer {
                data: host("192.0.2.8", 5007),
                ..peer.clone()
            },
        ),
        (
            "another ssrc",
            ScriptedPeer {
                ssrc: Ssrc(5),
                ..peer.clone()
            },
        ),
        (
            "another token",
            ScriptedPeer {
                token: Token(5),
                ..peer.clone()
            },
        ),
        (
            "another pair",
            ScriptedPeer {
                pair: PairId(1),
                ..peer.clone()
            },
        ),
    ];
    for (what, stranger) in strangers {
        let mut session = session();
        invite_control(&mut session, &peer, Time::ZERO);
        invite_data(&mut session, &stranger, Time::ZERO);
        assert_eq!(
            answers(&mut session),
            [ok(peer.control), no(stranger.data)],
            "{what}"
        );
        assert_eq!(events(&mut session), [], "{what}");
        // And the invitation is not spoilt by it.
        invite_data(&mut session, &peer, Time::ZERO);
        assert_eq!(answers(&mut session), [ok(peer.data)], "{what}");
        assert_eq!(events(&mut session).len(), 1, "{what}");
    }
}

#[test]
fn link_local_peers_differ_by_their_link() {
    let mut session = session();
    let mut peer = ScriptedPeer::new(1);
    peer.control = "[fe80::1%2]:5004".parse().unwrap();
    peer.data = "[fe80::1%3]:5005".parse().unwrap();
    invite_control(&mut session, &peer, Time::ZERO);
    invite_data(&mut session, &peer, Time::ZERO);
    assert_eq!(answers(&mut session), [ok(peer.control), no(peer.data)]);
    peer.data = "[fe80::1%2]:5005".parse().unwrap();
    invite_data(&mut session, &peer, Time::ZERO);
    assert_eq!(answers(&mut session), [ok(peer.data)]);
}

#[test]
fn a_data_invitation_alone_is_refused() {
    let mut session = session();
    let peer = ScriptedPeer::new(1);
    invite_data(&mut session, &peer, Time::ZERO);
    assert_eq!(answers(&mut session), [no(peer.data)]);
    assert_eq!(session.stats().invitations_refused, 1);
}

#[test]
fn an_unfinished_invitation_is_forgotten_after_five_seconds() {
    let mut session = session();
    let peer = ScriptedPeer::new(1);
    invite_control(&mut session, &peer, Time::ZERO);
    assert_eq!(session.poll_timeout(), Some(Time::from_secs(5)));
    session.handle_timeout(Time::from_secs(5));
    assert_eq!(session.stats().invitations_expired, 1);
    assert_eq!(session.poll_timeout(), None);
    invite_data(&mut session, &peer, Time::from_secs(5));
    assert_eq!(answers(&mut session), [ok(peer.control), no(peer.data)]);
}

#[test]
fn a_peer_that_restarts_replaces_its_old_self() {
    let old = ScriptedPeer::new(1);
    let restarts = [
        (
            "same ssrc, new token",
            ScriptedPeer {
                token: Token(77),
                ..old.clone()
            },
        ),
        (
            "same ssrc, new token and ports",
            ScriptedPeer {
                token: Token(77),
                control: "192.0.2.7:7000".parse().unwrap(),
                data: "192.0.2.7:7001".parse().unwrap(),
                ..old.clone()
            },
        ),
    ];
    for (what, new) in restarts {
        let mut session = session();
        let first = old.join(&mut session, Time::ZERO);
        let now = Time::from_secs(1);
        invite_control(&mut session, &new, now);
        assert_eq!(
            events(&mut session),
            [],
            "{what}: not before the new self is connected"
        );
        invite_data(&mut session, &new, now);
        match events(&mut session).as_slice() {
            [
                Event::Left {
                    participant,
                    reason: LeaveReason::Replaced,
                },
                Event::Joined { .. },
            ] => {
                assert_eq!(*participant, first, "{what}");
            }
            other => panic!("{what}: {other:?}"),
        }
        assert_eq!(session.participants().count(), 1, "{what}");
        // Nothing of the old self lives on.
        let ssrc = session.participants().next().unwrap().1.ssrc;
        assert_eq!(ssrc, new.ssrc, "{what}");
    }
}

#[test]
fn another_host_with_the_same_ssrc_is_another_peer() {
    let mut session = session();
    let mut peer = ScriptedPeer::new(1);
    let id = peer.join(&mut session, Time::ZERO);
    let mut other = ScriptedPeer {
        control: "192.0.2.8:5004".parse().unwrap(),
        data: "192.0.2.8:5005".parse().unwrap(),
        ..peer.clone()
    };
    let second = other.join(&mut session, Time::ZERO);
    let clock = [netmidi_message::RealTime::TimingClock.into()];
    peer.play(&mut session, Time::ZERO, &clock);
    other.play(&mut session, Time::ZERO, &clock);
    let senders: Vec<_> = events(&mut session)
        .into_iter()
        .map(|event| match event {
            Event::Message { participant, .. } => participant,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(senders, [id, second]);
}

#[test]
fn a_full_session_says_no() {
    let mut session = session_with(|config| config.max_participants = 2);
    ScriptedPeer::new(1).join(&mut session, Time::ZERO);
    let second = ScriptedPeer::new(2);
    second.join(&mut session, Time::ZERO);
    let third = ScriptedPeer::new(3);
    invite_control(&mut session, &third, Time::ZERO);
    assert_eq!(answers(&mut session), [no(third.control)]);
    assert_eq!(session.stats().invitations_refused, 1);
    // One that is in already may come back.
    ScriptedPeer {
        token: Token(9),
        ..second
    }
    .join(&mut session, Time::ZERO);
    assert_eq!(session.participants().count(), 2);
}

#[test]
fn a_session_that_filled_up_meanwhile_says_no_on_the_data_port() {
    let mut session = session_with(|config| config.max_participants = 1);
    let (first, second) = (ScriptedPeer::new(1), ScriptedPeer::new(2));
    invite_control(&mut session, &first, Time::ZERO);
    invite_control(&mut session, &second, Time::ZERO);
    invite_data(&mut session, &first, Time::ZERO);
    invite_data(&mut session, &second, Time::ZERO);
    assert_eq!(
        answers(&mut session),
        [
            ok(first.control),
            ok(second.control),
            ok(first.data),
            no(second.data)
        ]
    );
    assert_eq!(session.participants().count(), 1);
}

#[test]
fn a_flood_of_invitations_leaves_the_others_alone() {
    let mut session = session_with(|config| config.max_invitations = 10);
    let mut peer = ScriptedPeer::new(1);
    let id = peer.join(&mut session, Time::ZERO);
    for n in 2..20_000 {
        let now = Time::from_micros(u64::from(n));
        invite_control(&mut session, &ScriptedPeer::new(n), now);
        transmits(&mut session);
    }
    // One host: 100 at once, the participant's own among them.
    let stats = session.stats();
    assert_eq!(stats.invitations_begun, 100);
    assert_eq!(stats.invitations_limited, 19_998 - 99);
    assert_eq!(stats.invitations_displaced, 99 - 10);
    let note = netmidi_message::Message::parse(&[0x90, 60, 1]).unwrap();
    peer.play(&mut session, Time::from_secs(1), &[note]);
    assert!(matches!(
        events(&mut session).as_slice(),
        [Event::Message { participant, .. }] if *participant == id
    ));
    // And when the flood is over, others come in again.
    ScriptedPeer::new(3).join(&mut session, Time::from_secs(6));
}

#[test]
fn invitations_of_another_version_are_refused() {
    let mut session = session();
    let peer = ScriptedPeer::new(1);
    let mut invitation = peer.exchange(ExchangeKind::Invitation);
    invitation[7] = 3;
    session.handle_datagram(
        Time::ZERO,
        LocalPort::control(PAIR),
        peer.control,
        &invitation,
    );
    assert_eq!(answers(&mut session), [no(peer.control)]);
    assert_eq!(session.stats().malformed_control, 1);
}

#[test]
fn we_do_not_connect_to_ourselves() {
    let mut session = session();
    let us = ScriptedPeer {
        ssrc: session.ssrc(),
        ..ScriptedPeer::new(1)
    };
    invite_control(&mut session, &us, Time::ZERO);
    assert_eq!(answers(&mut session), [no(us.control)]);
}

#[test]
fn a_closed_session_lets_nobody_in_and_keeps_nobody_away() {
    let mut session = session();
    session.close(Time::ZERO);
    assert!(session.is_finished());
    let peer = ScriptedPeer::new(1);
    invite_control(&mut session, &peer, Time::ZERO);
    // NO would make the peer wait before it asks whoever is here next.
    assert_eq!(answers(&mut session), []);
    assert_eq!(session.stats().invitations_ignored, 1);
}

#[test]
fn nobody_joins_while_events_pile_up() {
    let mut session = session_with(|config| config.max_queued_events = 2);
    for n in 0..4 {
        let peer = ScriptedPeer::new(n);
        invite_control(&mut session, &peer, Time::ZERO);
        invite_data(&mut session, &peer, Time::ZERO);
    }
    assert_eq!(session.participants().count(), 2);
    assert_eq!(events(&mut session).len(), 2);
    // The peer asks again, and somebody listens now.
    let peer = ScriptedPeer::new(3);
    invite_data(&mut session, &peer, Time::ZERO);
    assert_eq!(session.participants().count(), 3);
}

#[test]
fn several_socket_pairs_share_a_session() {
    let mut session = session();
    let mut peers: Vec<_> = (0..3u16)
        .map(|n| ScriptedPeer {
            pair: PairId(n),
            ..ScriptedPeer::new(7)
        })
        .collect();
    for peer in &peers {
        // The same peer, by every sign, on three pairs: three participants.
        peer.join(&mut session, Time::ZERO);
    }
    let ids: Vec<_> = session.participants().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), 3);
    for (peer, id) in peers.iter_mut().zip(&ids) {
        peer.synchronise(&mut session, Time::from_millis(1));
        let note = netmidi_message::Message::parse(&[0x90, 60, 1]).unwrap();
        session.send(Time::from_millis(2), *id, note).unwrap();
        let sent = transmits(&mut session);
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].0.from, LocalPort::data(peer.pair));
    }
}

#[test]
fn identities_come_from_the_seed() {
    let ssrc = |seed| {
        Session::new(Config::new("x"), seed, Time::ZERO)
            .unwrap()
            .ssrc()
    };
    assert_eq!(ssrc(1), ssrc(1));
    assert_ne!(ssrc(1), ssrc(2));
    assert!((0..1000).all(|seed| ssrc(seed).0 != 0));
}

#[test]
fn contradictory_configurations_are_refused() {
    let refused = |change: fn(&mut Config)| {
        let mut config = Config::new("x");
        change(&mut config);
        Session::new(config, 1, Time::ZERO).unwrap_err().to_string()
    };
    assert_eq!(
        refused(|config| config.name = "x".repeat(64)),
        "the session name has 64 octets, at most 63 are allowed; choose a shorter one"
    );
    assert_eq!(
        refused(|config| config.name = "a\0b".to_owned()),
        "the session name has a NUL at octet 1, which would end it there; remove it"
    );
    assert_eq!(
        refused(|config| config.max_participants = 0),
        "Config::max_participants is 0; it must be at least 1"
    );
}

#[test]
fn time_may_stand_still_but_not_run_back() {
    let mut session = session_with(|config| config.invitation_timeout = Duration::from_secs(1));
    let peer = ScriptedPeer::new(1);
    invite_control(&mut session, &peer, Time::from_secs(10));
    session.handle_timeout(Time::from_secs(1));
    assert_eq!(session.poll_timeout(), Some(Time::from_secs(11)));
    session.handle_timeout(Time::from_secs(11));
    assert_eq!(session.stats().invitations_expired, 1);
}
