//! Another SSRC at the control port of a participant: a restart, or somebody who forges its address.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use netmidi_message::Message;
use netmidi_session::{
    Config, Event, LeaveReason, LocalPort, PairId, ParticipantId, Persistence, Session, Ssrc,
    Target, Time,
};
use netmidi_testkit::{ScriptedPeer, events, transmits};
use netmidi_wire::{ClockCount, ClockTicks, ExchangeKind, Token};

const PAIR: PairId = PairId(0);
/// When the newcomer comes.
const START: Time = Time::from_secs(10);

struct Scene {
    session: Session,
    old: ScriptedPeer,
    id: ParticipantId,
    new: ScriptedPeer,
    /// The clock questions that went out.
    asked: Vec<ClockTicks>,
}

impl Scene {
    /// A participant, and somebody with another SSRC who has invited us from its ports.
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new("ours");
        change(&mut config);
        let mut session = Session::new(config, 1, Time::ZERO).unwrap();
        let old = ScriptedPeer::new(1);
        let id = old.join(&mut session, Time::ZERO);
        old.synchronise(&mut session, Time::ZERO);
        session.handle_timeout(START);
        transmits(&mut session);
        let new = ScriptedPeer {
            ssrc: Ssrc(77),
            token: Token(78),
            ..old.clone()
        };
        let mut scene = Self {
            session,
            old,
            id,
            new,
            asked: Vec::new(),
        };
        assert_eq!(scene.invite(START), ["OK", "OK"]);
        assert_eq!(events(&mut scene.session), []);
        scene
    }

    /// The newcomer invites both ports. Returns what it is told.
    fn invite(&mut self, now: Time) -> Vec<String> {
        let invitation = self.new.exchange(ExchangeKind::Invitation);
        let (control, data) = (LocalPort::control(PAIR), LocalPort::data(PAIR));
        self.session
            .handle_datagram(now, control, self.new.control, &invitation);
        let mut told = self.sent();
        self.session
            .handle_datagram(now, data, self.new.data, &invitation);
        told.extend(self.sent());
        told
    }

    /// Letters of what went out, but for clock questions and MIDI.
    fn sent(&mut self) -> Vec<String> {
        let mut letters = Vec::new();
        for (transmit, octets) in transmits(&mut self.session) {
            if octets[2..4] == *b"CK" && octets[8] == 0 {
                assert_eq!(transmit.to, self.old.data);
                let first = u64::from_be_bytes(octets[12..20].try_into().unwrap());
                self.asked.push(ClockTicks(first));
            } else if [b"OK", b"NO", b"BY"].iter().any(|it| octets[2..4] == **it) {
                letters.push(String::from_utf8_lossy(&octets[2..4]).into_owned());
            }
        }
        letters
    }

    /// Time passes.
    fn pass(&mut self, until: Time) {
        loop {
            self.sent();
            match self.session.poll_timeout() {
                Some(due) if due <= until => self.session.handle_timeout(due),
                _ => return,
            }
        }
    }

    fn receive(&mut self, now: Time, packet: &[u8]) {
        let data = LocalPort::data(PAIR);
        self.session
            .handle_datagram(now, data, self.old.data, packet);
    }

    fn ssrcs(&self) -> Vec<Ssrc> {
        self.session.participants().map(|(_, it)| it.ssrc).collect()
    }

    #[track_caller]
    fn assert_replaced(&mut self) {
        match events(&mut self.session).as_slice() {
            [
                Event::Left {
                    participant,
                    reason: LeaveReason::Replaced,
                },
                Event::Joined { peer, .. },
            ] => {
                assert_eq!(*participant, self.id);
                assert_eq!(peer.ssrc, self.new.ssrc);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(self.ssrcs(), [self.new.ssrc]);
    }

    #[track_caller]
    fn assert_untouched(&mut self) {
        let told = events(&mut self.session);
        let is_message = |it: &Event| matches!(it, Event::Message { participant, .. } if *participant == self.id);
        assert!(told.iter().all(is_message), "{told:?}");
        assert_eq!(self.ssrcs(), [self.old.ssrc]);
    }
}

fn note() -> Message<'static> {
    Message::parse(&[0x90, 60, 100]).unwrap()
}

#[test]
fn who_restarts_takes_its_place_with_the_first_clock_exchange() {
    let mut scene = Scene::new();
    scene.new.synchronise(&mut scene.session, START);
    scene.assert_replaced();
    // It plays, and is played to.
    let (mut new, mut session) = (scene.new, scene.session);
    new.play(&mut session, START, &[note()]);
    let (id, _) = session.participants().next().unwrap();
    assert!(matches!(
        events(&mut session).as_slice(),
        [Event::Message { participant, .. }] if *participant == id
    ));
    session.send(START, id, note()).unwrap();
    assert!(transmits(&mut session).iter().any(|(_, it)| it[0] == 0x80));
    assert_eq!(session.stats().successions, 1);
    assert_eq!(session.participant_stats(id).unwrap().clock_exchanges, 1);
}

#[test]
fn or_by_answering_ours() {
    let mut scene = Scene::new();
    let [first] = scene.asked.as_slice() else {
        panic!("{:?}", scene.asked);
    };
    let answer = [*first, ClockTicks(5), ClockTicks(0)];
    let ck1 = scene.new.clock(ClockCount::Ck1, answer);
    scene.receive(START, &ck1);
    scene.assert_replaced();
    let sent = transmits(&mut scene.session);
    assert!(sent.iter().any(|(_, it)| it[2..4] == *b"CK" && it[8] == 2));
}

#[test]
fn a_forger_that_sees_no_answers_proves_nothing() {
    let mut scene = Scene::new();
    scene.pass(START);
    // The participant plays on now and then.
    for step in 1..60 {
        let now = START + core::time::Duration::from_millis(step * 100);
        scene.pass(now);
        // What can be written blindly.
        let guess = ClockTicks(step * 1000 + 1);
        let never = ClockTicks(3);
        for count in [ClockCount::Ck0, ClockCount::Ck1, ClockCount::Ck2] {
            let packet = scene.new.clock(count, [guess, never, guess]);
            scene.receive(now, &packet);
        }
        let packet = scene.new.packet(now, &[note()]);
        scene.receive(now, &packet);
        if step % 9 == 0 {
            let mut old = scene.old.clone();
            old.play(&mut scene.session, now, &[note()]);
            scene.old = old;
        }
        scene.assert_untouched();
    }
    let stats = scene.session.stats();
    assert_eq!((stats.successions, stats.successions_failed), (1, 1));
}

#[test]
fn an_idle_participant_that_answers_stays() {
    let mut scene = Scene::new();
    let answer = [scene.asked[0], ClockTicks(5), ClockTicks(0)];
    let ck1 = scene.old.clock(ClockCount::Ck1, answer);
    scene.receive(START + core::time::Duration::from_millis(40), &ck1);
    scene.pass(Time::from_secs(20));
    assert_eq!(scene.asked.len(), 1, "it has answered");
    scene.assert_untouched();
    assert_eq!(scene.session.stats().successions_failed, 1);
}

#[test]
fn one_that_never_exchanges_clocks_takes_the_place_of_one_that_is_gone() {
    let mut scene = Scene::new();
    scene.pass(Time::from_millis(10_999));
    assert_eq!(scene.asked.len(), 4, "asked again and again");
    scene.assert_untouched();
    scene.pass(Time::from_secs(11));
    scene.assert_replaced();
}

#[test]
fn its_invitations_are_answered_again_and_taken_back_by_bye() {
    let mut scene = Scene::new();
    assert_eq!(scene.invite(START), ["OK", "OK"]);
    assert_eq!(scene.session.stats().invitations_repeated, 2);
    let bye = scene.new.exchange(ExchangeKind::End);
    scene
        .session
        .handle_datagram(START, LocalPort::control(PAIR), scene.new.control, &bye);
    scene.pass(Time::from_secs(20));
    scene.assert_untouched();
}

#[test]
fn when_the_participant_leaves_there_is_nothing_to_prove() {
    let mut scene = Scene::new();
    let bye = scene.old.exchange(ExchangeKind::End);
    scene
        .session
        .handle_datagram(START, LocalPort::control(PAIR), scene.old.control, &bye);
    match events(&mut scene.session).as_slice() {
        [Event::Left { reason, .. }, Event::Joined { peer, .. }] => {
            assert_eq!(*reason, LeaveReason::Bye);
            assert_eq!(peer.ssrc, scene.new.ssrc);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn forgers_in_a_row_do_not_keep_out_who_restarts() {
    let mut scene = Scene::new();
    for n in 0..50 {
        scene.new.ssrc = Ssrc(1000 + n);
        scene.new.token = Token(1000 + n);
        scene.invite(START);
    }
    assert_eq!(
        scene.asked.len(),
        1,
        "the participant is not asked more often"
    );
    scene.new.synchronise(&mut scene.session, START);
    scene.assert_replaced();
    let stats = scene.session.stats();
    assert_eq!((stats.successions, stats.successions_failed), (51, 50));
}

#[test]
fn a_place_is_not_needed_twice() {
    let mut scene = Scene::with(|config| config.max_participants = 1);
    assert_eq!(scene.session.participants().count(), 1);
    scene.new.synchronise(&mut scene.session, START);
    scene.assert_replaced();
}

#[test]
fn who_is_invited_stays_invited() {
    let mut session = Session::new(Config::new("ours"), 1, Time::ZERO).unwrap();
    let old = ScriptedPeer::new(1);
    let id = old.join(&mut session, Time::ZERO);
    let target = Target::new(old.control).unwrap();
    let invitee = session
        .invite(Time::ZERO, &[target], Persistence::Forever)
        .unwrap();
    events(&mut session);
    transmits(&mut session);
    let new = ScriptedPeer {
        ssrc: Ssrc(77),
        ..old.clone()
    };
    let mut scene = Scene {
        session,
        old,
        id,
        new,
        asked: Vec::new(),
    };
    scene.invite(START);
    let bound = |session: &Session| session.participants().next().unwrap().1.invitee;
    assert_eq!(bound(&scene.session), Some(invitee));
    scene.new.synchronise(&mut scene.session, START);
    assert_eq!(scene.ssrcs(), [Ssrc(77)]);
    assert_eq!(bound(&scene.session), Some(invitee));
}

#[test]
fn closing_forgets_it() {
    let mut scene = Scene::new();
    scene.session.close(START);
    scene.pass(Time::from_secs(20));
    assert!(scene.session.is_finished());
    assert!(matches!(
        events(&mut scene.session).as_slice(),
        [Event::Left { .. }]
    ));
}

/// How many MIDI packets go out now.
fn midi(session: &mut Session) -> usize {
    let sent = transmits(session).into_iter();
    sent.filter(|(_, octets)| octets[0] == 0x80).count()
}

#[test]
fn midi_waits_until_it_is_clear_who_is_there() {
    let mut scene = Scene::new();
    scene.session.send(START, scene.id, note()).unwrap();
    assert_eq!(midi(&mut scene.session), 0, "it may be for nobody");
    let soon = START + core::time::Duration::from_millis(2);
    let answer = [scene.asked[0], ClockTicks(5), ClockTicks(0)];
    let ck1 = scene.old.clock(ClockCount::Ck1, answer);
    scene.receive(soon, &ck1);
    assert_eq!(midi(&mut scene.session), 1, "the participant is there");

    // Another forger, right after: it does not wait again.
    scene.new.ssrc = Ssrc(99);
    scene.invite(soon);
    scene.session.send(soon, scene.id, note()).unwrap();
    assert_eq!(midi(&mut scene.session), 1);
}

#[test]
fn midi_waits_no_longer_than_a_quarter_of_a_second() {
    let mut scene = Scene::new();
    scene.session.send(START, scene.id, note()).unwrap();
    assert_eq!(midi(&mut scene.session), 0);
    let until = START + core::time::Duration::from_millis(250);
    let mut sent = 0;
    while let Some(due) = scene.session.poll_timeout().filter(|due| *due <= until) {
        scene.session.handle_timeout(due);
        sent += midi(&mut scene.session);
    }
    assert!(sent >= 1);
}
