//! We invite: two sessions, one of which invites the other.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use core::net::SocketAddr;

use netmidi_message::Message;
use netmidi_session::{
    Config, Event, InviteeState, LeaveReason, LocalPort, PairId, Persistence, Role, Session,
    Target, Time,
};
use netmidi_testkit::{ScriptedPeer, events, transmits};
use netmidi_wire::{ExchangeKind, Token};

fn address(host: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], 5004))
}

/// Two sessions at two hosts, and what each of them had to tell.
struct Two {
    sessions: [Session; 2],
    now: Time,
    told: [Vec<Event>; 2],
    /// Whether datagrams pass.
    open: bool,
    /// Every datagram: when, by whom, its first letters.
    log: Vec<(Time, usize, String)>,
}

impl Two {
    fn new() -> Self {
        let session = |name, seed| Session::new(Config::new(name), seed, Time::ZERO).unwrap();
        Self {
            sessions: [session("a", 1), session("b", 2)],
            now: Time::from_secs(1),
            told: [Vec::new(), Vec::new()],
            open: true,
            log: Vec::new(),
        }
    }

    fn invite(&mut self, by: usize) -> netmidi_session::InviteeId {
        let target = Target::new(address(2 - by as u8)).unwrap();
        self.sessions[by]
            .invite(self.now, &[target], Persistence::Forever)
            .unwrap()
    }

    /// Everything that can happen now, and then until `until`.
    fn run_until(&mut self, until: Time) {
        loop {
            let mut quiet = true;
            for by in 0..2 {
                for (transmit, octets) in transmits(&mut self.sessions[by]) {
                    quiet = false;
                    let kind = match octets.get(2..4) {
                        Some(letters) if octets[0] == 0xFF => {
                            String::from_utf8_lossy(letters).into_owned()
                        }
                        _ => "RTP".to_owned(),
                    };
                    self.log.push((self.now, by, kind));
                    let mut from = address(1 + by as u8);
                    let data = transmit.from.port == netmidi_session::Port::Data;
                    from.set_port(5004 + u16::from(data));
                    if self.open && transmit.to.ip() == address(2 - by as u8).ip() {
                        let local = match transmit.to.port() {
                            5004 => LocalPort::control(PairId(0)),
                            _ => LocalPort::data(PairId(0)),
                        };
                        self.sessions[1 - by].handle_datagram(self.now, local, from, &octets);
                    }
                }
                self.told[by].extend(events(&mut self.sessions[by]));
            }
            if !quiet {
                continue;
            }
            let next = self.sessions.iter().filter_map(Session::poll_timeout).min();
            match next {
                Some(next) if next <= until => {
                    self.now = self.now.max(next);
                    for session in &mut self.sessions {
                        session.handle_timeout(self.now);
                    }
                }
                _ => {
                    self.now = until;
                    return;
                }
            }
        }
    }

    fn run_for(&mut self, millis: u64) {
        self.run_until(self.now + core::time::Duration::from_millis(millis));
    }

    fn joined(&self, side: usize) -> Vec<Role> {
        let joined = |event: &Event| match event {
            Event::Joined { peer, .. } => Some(peer.role),
            _ => None,
        };
        self.told[side].iter().filter_map(joined).collect()
    }

    fn left(&self, side: usize) -> Vec<LeaveReason> {
        let left = |event: &Event| match event {
            Event::Left { reason, .. } => Some(*reason),
            _ => None,
        };
        self.told[side].iter().filter_map(left).collect()
    }
}

#[test]
fn an_invitation_leads_to_a_session_and_a_burst_of_clocks() {
    let mut two = Two::new();
    let invitee = two.invite(0);
    two.run_for(10_000);
    assert_eq!(two.joined(0), [Role::Initiator]);
    assert_eq!(two.joined(1), [Role::Participant]);
    let Some(Event::Joined { participant, peer }) = two.told[0].first().cloned() else {
        panic!("{:?}", two.told[0]);
    };
    assert_eq!(peer.name, "b");
    assert_eq!(peer.invitee, Some(invitee));
    assert_eq!(
        two.sessions[0].invitee(invitee),
        Some(InviteeState::Joined { participant })
    );
    let firsts: Vec<&str> = two
        .log
        .iter()
        .take(7)
        .map(|(_, _, kind)| &kind[..])
        .collect();
    assert_eq!(firsts, ["IN", "OK", "IN", "OK", "CK", "CK", "CK"]);
    let asked: Vec<u64> = two
        .log
        .iter()
        .filter(|(_, by, kind)| *by == 1 && kind == "CK")
        .map(|(at, _, _)| at.as_micros() / 1000 - 1000)
        .collect();
    assert_eq!(
        asked,
        [
            0, 250, 500, 750, 1000, 1250, 1500, 1750, 2750, 3750, 4750, 5750, 6750, 7750, 8750,
            9750
        ]
    );
}

#[test]
fn who_does_not_answer_is_asked_twice_a_second_for_ever() {
    let mut two = Two::new();
    two.open = false;
    let invitee = two.invite(0);
    two.run_for(100_000);
    let sent: Vec<u64> = two
        .log
        .iter()
        .map(|(at, _, _)| at.as_micros() / 500_000)
        .collect();
    assert_eq!(sent, (2..=202).collect::<Vec<u64>>());
    let unanswered = Event::Invitee {
        invitee,
        state: InviteeState::Unanswered {
            port: netmidi_session::Port::Control,
            invitations: 24,
        },
    };
    assert_eq!(two.told[0], [unanswered]);
    two.open = true;
    two.run_for(1000);
    assert_eq!(two.joined(0), [Role::Initiator]);
}

#[test]
fn a_peer_that_restarts_is_back_at_once() {
    let mut two = Two::new();
    two.invite(0);
    two.run_for(20_300);
    // It knows nothing any more, and has another identity.
    two.sessions[1] = Session::new(Config::new("b"), 3, two.now).unwrap();
    let restarted = two.now;
    two.told = [Vec::new(), Vec::new()];
    two.run_for(2000);
    assert_eq!(two.left(0), [LeaveReason::Forgotten]);
    assert_eq!(two.joined(0), [Role::Initiator]);
    assert_eq!(two.joined(1), [Role::Participant]);
    let back = two
        .log
        .iter()
        .rev()
        .find(|(_, _, kind)| kind == "OK")
        .unwrap();
    assert!(back.0.since(restarted).as_millis() < 1500, "{}", back.0);
}

#[test]
fn a_cut_ends_the_session_and_it_comes_back() {
    let mut two = Two::new();
    two.invite(0);
    two.run_for(20_300);
    let note = Message::parse(&[0x90, 60, 100]).unwrap();
    let (id, _) = two.sessions[0].participants().next().unwrap();
    two.sessions[0].send(two.now, id, note).unwrap();
    two.run_for(100);
    two.open = false;
    two.run_for(90_000);
    assert_eq!(two.left(0), [LeaveReason::Silent]);
    assert_eq!(two.left(1), [LeaveReason::Silent]);
    // The note is ended where it sounds.
    assert!(two.told[1].iter().any(|event| matches!(
        event,
        Event::Message {
            origin: netmidi_session::Origin::Silence,
            ..
        }
    )));
    two.open = true;
    two.run_for(1500);
    assert_eq!(two.joined(0).len(), 2);
    assert_eq!(two.joined(1).len(), 2);
}

#[test]
fn a_short_cut_ends_nothing() {
    let mut two = Two::new();
    two.invite(0);
    two.run_for(20_300);
    two.open = false;
    two.run_for(3000);
    two.open = true;
    two.run_for(30_000);
    assert_eq!(two.left(0), []);
    assert_eq!(two.left(1), []);
}

#[test]
fn both_invite_and_there_is_one_session() {
    for lead in [0, 1, 2, 5, 100, 1000, 4000] {
        let mut two = Two::new();
        two.invite(0);
        two.run_for(lead);
        two.invite(1);
        two.run_for(20_000);
        assert_eq!(two.joined(0).len(), 1, "lead {lead}: {:?}", two.told[0]);
        assert_eq!(two.joined(1).len(), 1, "lead {lead}: {:?}", two.told[1]);
        assert_eq!(two.left(0), []);
        assert_eq!(two.left(1), []);
        for session in &two.sessions {
            assert_eq!(session.participants().count(), 1);
        }
    }
}

#[test]
fn invitations_that_cross_make_one_session() {
    // Both first invitations are on their way before either is read.
    let mut two = Two::new();
    two.invite(0);
    two.invite(1);
    two.run_for(20_000);
    let (a, b) = (two.joined(0), two.joined(1));
    assert_eq!(
        (a.len(), b.len()),
        (1, 1),
        "{:?} {:?}",
        two.told[0],
        two.told[1]
    );
    assert_eq!(two.left(0), []);
    assert_eq!(two.left(1), []);
    for session in &two.sessions {
        let (id, _) = session.participants().next().unwrap();
        assert!(session.participant_stats(id).unwrap().clock_exchanges > 8);
    }
}

#[test]
fn withdrawing_ends_it() {
    let mut two = Two::new();
    let invitee = two.invite(0);
    two.run_for(5000);
    two.sessions[0].withdraw(two.now, invitee).unwrap();
    two.run_for(60_000);
    assert_eq!(two.left(0), [LeaveReason::Local]);
    assert_eq!(two.left(1), [LeaveReason::Bye]);
    assert_eq!(two.joined(0).len(), 1);
    assert_eq!(two.sessions[0].invitee(invitee), None);
    let ended = Event::Invitee {
        invitee,
        state: InviteeState::Ended,
    };
    assert_eq!(two.told[0].last(), Some(&ended));
    assert_eq!(two.sessions[0].poll_timeout(), None);
}

#[test]
fn a_participant_that_says_bye_is_invited_again() {
    let mut two = Two::new();
    two.invite(0);
    two.run_for(5000);
    let (id, _) = two.sessions[1].participants().next().unwrap();
    two.sessions[1].leave(two.now, id).unwrap();
    two.run_for(2000);
    assert_eq!(two.left(0), [LeaveReason::Bye]);
    assert_eq!(two.joined(0).len(), 2);
}

#[test]
fn two_invitees_that_are_one_peer_are_not_both_joined() {
    let mut session = Session::new(Config::new("ours"), 1, Time::ZERO).unwrap();
    let peer = ScriptedPeer::new(1);
    let controls = ["192.0.2.7:5004", "192.0.2.7:6004"];
    let invitees = controls.map(|control| {
        let target = Target::new(control.parse().unwrap()).unwrap();
        let invitee = session
            .invite(Time::ZERO, &[target], Persistence::Forever)
            .unwrap();
        let sent = transmits(&mut session);
        let token = u32::from_be_bytes(sent[0].1[8..12].try_into().unwrap());
        let answering = ScriptedPeer {
            token: Token(token),
            ..peer.clone()
        };
        let ok = answering.exchange(ExchangeKind::Accepted);
        let pair = PairId(0);
        session.handle_datagram(Time::ZERO, LocalPort::control(pair), target.control, &ok);
        session.handle_datagram(Time::ZERO, LocalPort::data(pair), target.data, &ok);
        transmits(&mut session);
        invitee
    });
    let (id, joined) = session.participants().next().unwrap();
    assert_eq!(session.participants().count(), 1);
    assert_eq!(joined.invitee, Some(invitees[1]));
    let states = invitees.map(|it| session.invitee(it).unwrap());
    let joined = InviteeState::Joined { participant: id };
    assert_eq!(states, [InviteeState::Asking, joined]);
    for invitee in invitees {
        session.withdraw(Time::ZERO, invitee).unwrap();
    }
    assert_eq!(session.participants().count(), 0);
}
