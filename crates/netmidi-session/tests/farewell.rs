//! How a peer goes: BY from either side, silence, the end of the session.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use core::time::Duration;

use netmidi_message::Message;
use netmidi_session::{
    Config, Event, LeaveReason, LocalPort, PairId, SendError, Session, Time, Transmit,
};
use netmidi_testkit::{ScriptedPeer, events, transmits};
use netmidi_wire::{ExchangeKind, SeqNum, Token};

fn session() -> Session {
    Session::new(Config::new("ours"), 1, Time::ZERO).unwrap()
}

fn note() -> Message<'static> {
    Message::parse(&[0x90, 60, 100]).unwrap()
}

fn byes(session: &mut Session) -> Vec<Transmit> {
    transmits(session)
        .into_iter()
        .filter(|(_, octets)| octets[2..4] == *b"BY")
        .map(|(transmit, _)| transmit)
        .collect()
}

#[test]
fn a_bye_ends_the_membership_on_either_port_with_any_token() {
    for (local, token) in [
        (LocalPort::control(PairId(0)), None),
        (LocalPort::data(PairId(0)), None),
        (LocalPort::control(PairId(0)), Some(Token(0))),
        (LocalPort::control(PairId(0)), Some(Token(0xBAD))),
    ] {
        let mut session = session();
        let mut peer = ScriptedPeer::new(1);
        let id = peer.join(&mut session, Time::ZERO);
        peer.token = token.unwrap_or(peer.token);
        let bye = peer.exchange(ExchangeKind::End);
        session.handle_datagram(Time::from_secs(3), local, peer.control, &bye);
        let left = Event::Left {
            participant: id,
            reason: LeaveReason::Bye,
        };
        assert_eq!(events(&mut session), [left]);
        assert_eq!(transmits(&mut session), [], "BY is not answered");
        assert_eq!(session.poll_timeout(), None, "nothing is left of it");
        assert_eq!(
            session.send(Time::from_secs(3), id, note()),
            Err(SendError::UnknownParticipant { participant: id })
        );
        // The same peer is welcome again at once.
        peer.join(&mut session, Time::from_secs(3));
    }
}

#[test]
fn a_bye_takes_back_an_unfinished_invitation() {
    let mut session = session();
    let peer = ScriptedPeer::new(1);
    let control = LocalPort::control(PairId(0));
    for kind in [ExchangeKind::Invitation, ExchangeKind::End] {
        session.handle_datagram(Time::ZERO, control, peer.control, &peer.exchange(kind));
    }
    assert_eq!(session.poll_timeout(), None);
    assert_eq!(events(&mut session), []);
}

#[test]
fn a_silent_peer_is_dropped_after_sixty_seconds() {
    let mut session = session();
    let peer = ScriptedPeer::new(1);
    let id = peer.join(&mut session, Time::ZERO);
    // Anything valid from it counts, the last thing at 50 s.
    let local = LocalPort::control(PairId(0));
    session.handle_datagram(
        Time::from_secs(50),
        local,
        peer.control,
        &peer.feedback(SeqNum(1)),
    );
    let mut deadline = session.poll_timeout().unwrap();
    while deadline < Time::from_secs(110) {
        session.handle_timeout(deadline);
        assert_eq!(events(&mut session), [], "at {deadline:?}");
        deadline = session.poll_timeout().unwrap();
    }
    assert_eq!(deadline, Time::from_secs(110));
    session.handle_timeout(deadline);
    let left = Event::Left {
        participant: id,
        reason: LeaveReason::Silent,
    };
    assert_eq!(events(&mut session), [left]);
    let to = peer.control;
    assert_eq!(byes(&mut session), [Transmit { from: local, to }]);
    assert_eq!(session.poll_timeout(), None);
}

#[test]
fn what_was_sent_goes_out_before_the_bye() {
    let mut session = session();
    let peer = ScriptedPeer::new(1);
    let id = peer.join(&mut session, Time::ZERO);
    let now = Time::from_secs(1);
    session.send(now, id, note()).unwrap();
    session.leave(now, id).unwrap();
    let left = Event::Left {
        participant: id,
        reason: LeaveReason::Local,
    };
    assert_eq!(events(&mut session), [left]);
    let sent = transmits(&mut session);
    assert_eq!(sent.len(), 1);
    assert_eq!(
        sent[0].0,
        Transmit {
            from: LocalPort::data(PairId(0)),
            to: peer.data
        }
    );
    // BY travels on the other port: it leaves the last MIDI time to arrive.
    let mut when = Vec::new();
    while let Some(deadline) = session.poll_timeout() {
        session.handle_timeout(deadline);
        when.extend(
            byes(&mut session)
                .into_iter()
                .map(|bye| (deadline.since(now), bye)),
        );
    }
    let bye = Transmit {
        from: LocalPort::control(PairId(0)),
        to: peer.control,
    };
    assert_eq!(
        when,
        [
            (Duration::from_millis(100), bye),
            (Duration::from_millis(125), bye)
        ],
        "twice, since nothing answers it"
    );
    assert_eq!(
        session.leave(now, id),
        Err(SendError::UnknownParticipant { participant: id })
    );
}

#[test]
fn a_peer_that_is_leaving_is_not_heard_and_may_come_back() {
    let mut session = session();
    let mut peer = ScriptedPeer::new(1);
    let id = peer.join(&mut session, Time::ZERO);
    let now = Time::from_secs(1);
    session.leave(now, id).unwrap();
    events(&mut session);
    peer.play(&mut session, now, &[note()]);
    assert_eq!(events(&mut session), []);
    assert_eq!(
        byes(&mut session).len(),
        1,
        "at once, nothing was sent before"
    );
    ScriptedPeer {
        token: Token(7),
        ..peer.clone()
    }
    .join(&mut session, now);
    assert_eq!(session.participants().count(), 1);
    // The second BY of the old membership would end the new one.
    session.handle_timeout(now + Duration::from_millis(25));
    assert_eq!(byes(&mut session), []);
}

#[test]
fn closing_tells_everybody() {
    let mut session = session();
    let peers: Vec<_> = (0..5).map(ScriptedPeer::new).collect();
    for peer in &peers {
        peer.join(&mut session, Time::ZERO);
    }
    let now = Time::from_secs(1);
    session.close(now);
    assert_eq!(events(&mut session).len(), 5);
    assert!(!session.is_finished());
    let mut told: Vec<_> = byes(&mut session).into_iter().map(|bye| bye.to).collect();
    while let Some(deadline) = session.poll_timeout() {
        session.handle_timeout(deadline);
        told.extend(byes(&mut session).into_iter().map(|bye| bye.to));
    }
    for peer in &peers {
        assert_eq!(told.iter().filter(|to| **to == peer.control).count(), 2);
    }
    assert!(session.is_finished());
}
