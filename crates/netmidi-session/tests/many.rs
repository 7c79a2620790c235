//! Ten thousand sessions on one endpoint: who they are, what they hold, and that it comes back.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

mod counting;

use core::time::Duration;

use counting::{allocations, live};
use netmidi_message::Message;
use netmidi_session::{
    Config, Event, LeaveReason, LocalPort, PairId, ParticipantId, Session, Time,
};
use netmidi_testkit::{ScriptedPeer, events, transmits};
use netmidi_wire::{ClockCount, ClockTicks, ExchangeKind, Ssrc};

const MANY: u16 = 10_000;

/// A session with room for many, and buffers that have found their size.
struct Crowd {
    session: Session,
    peers: Vec<(ScriptedPeer, ParticipantId)>,
    out: Vec<u8>,
    now: Time,
}

impl Crowd {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new("ours");
        config.max_participants = usize::from(MANY);
        // All of them are at one host.
        config.max_invitations_per_host = u32::MAX;
        config.max_invitations_per_second = u32::MAX;
        change(&mut config);
        Self {
            session: Session::new(config, 1, Time::ZERO).unwrap(),
            peers: Vec::with_capacity(usize::from(MANY)),
            out: Vec::with_capacity(2048),
            now: Time::ZERO,
        }
    }

    /// These peers join; each has gone through a clock exchange.
    fn join(&mut self, peers: impl IntoIterator<Item = u16>) {
        for n in peers {
            let peer = ScriptedPeer::new(n);
            let id = peer.join(&mut self.session, self.now);
            peer.synchronise(&mut self.session, self.now);
            self.drain();
            self.peers.push((peer, id));
        }
    }

    /// How many packets and events there were.
    fn drain(&mut self) -> (usize, usize) {
        let (mut packets, mut events) = (0, 0);
        while self.session.poll_transmit(&mut self.out).is_some() {
            packets += 1;
        }
        while self.session.poll_event().is_some() {
            events += 1;
        }
        (packets, events)
    }

    /// Lets time pass, in which every peer is heard.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        for (peer, _) in &self.peers {
            let ck0 = peer.clock(ClockCount::Ck0, [ClockTicks(1); 3]);
            let local = LocalPort::data(peer.pair);
            self.session
                .handle_datagram(self.now, local, peer.data, &ck0);
            while self.session.poll_transmit(&mut self.out).is_some() {}
        }
        while let Some(due) = self.session.poll_timeout().filter(|due| *due <= until) {
            self.now = due;
            self.session.handle_timeout(due);
            self.drain();
        }
        self.now = until;
    }

    /// Everybody says BY, the last one first.
    fn leave(&mut self) {
        while let Some((peer, _)) = self.peers.pop() {
            let bye = peer.exchange(ExchangeKind::End);
            let local = LocalPort::control(peer.pair);
            self.session
                .handle_datagram(self.now, local, peer.control, &bye);
            self.drain();
        }
        assert_eq!(self.session.participants().count(), 0);
    }
}

#[test]
fn an_idle_session_holds_no_more_than_4_kb() {
    let before = live();
    let mut crowd = Crowd::new(|_| {});
    crowd.join(0..MANY);
    // Introductions are over by then.
    crowd.pass(Duration::from_secs(10));
    assert_eq!(crowd.session.participants().count(), usize::from(MANY));
    // Less what the test itself holds.
    let peers = crowd.peers.capacity() * size_of::<(ScriptedPeer, ParticipantId)>();
    let names: usize = crowd
        .peers
        .iter()
        .map(|it| it.0.name.as_ref().unwrap().capacity())
        .sum();
    let ours = peers + names + crowd.out.capacity();
    let held = (live() - before - ours.cast_signed()) / isize::try_from(MANY).unwrap();
    println!("{held} octets for each of {MANY} idle sessions");
    assert!(held <= 4096, "{held} octets for each");
}

#[test]
fn who_comes_again_finds_the_memory_of_who_left() {
    let mut crowd = Crowd::new(|_| {});
    let mut held = None;
    for round in 0..4 {
        crowd.join(0..MANY);
        crowd.pass(Duration::from_secs(10));
        crowd.leave();
        let due = crowd.session.poll_timeout();
        assert_eq!(due, None, "a deadline of nobody in round {round}");
        assert_eq!(*held.get_or_insert(live()), live(), "in round {round}");
    }
    assert_eq!(
        crowd.session.stats().invitations_accepted,
        4 * u64::from(MANY)
    );
}

/// Among ten thousand as in a small session: see `steady.rs`.
#[test]
fn packets_of_many_take_no_memory() {
    const ROUNDS: usize = 6;
    let mut crowd = Crowd::new(|_| {});
    crowd.join(0..MANY);
    crowd.pass(Duration::from_secs(10));
    let note = Message::parse(&[0x90, 60, 100]).unwrap();
    let mut taken = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        // Theirs are written before anything is counted.
        let at = crowd.now + Duration::from_secs(1);
        let peers = crowd.peers.iter_mut();
        let packets = peers.map(|(peer, _)| {
            let mut packet = peer.packet(at, &[note]);
            packet.shrink_to_fit();
            packet
        });
        let packets: Vec<Vec<u8>> = packets.collect();
        let before = allocations();
        for (turn, packet) in packets.iter().enumerate() {
            crowd.now = crowd.now + Duration::from_micros(100);
            let (peer, id) = &crowd.peers[turn];
            let local = LocalPort::data(peer.pair);
            crowd
                .session
                .handle_datagram(crowd.now, local, peer.data, packet);
            crowd.session.send(crowd.now, *id, note).unwrap();
            let (sent, heard) = crowd.drain();
            assert!(sent >= 1, "peer {turn} is sent nothing");
            assert_eq!(heard, 1, "from peer {turn}");
        }
        taken.push(allocations() - before);
    }
    // Each finds the size of its buffers in its first packets.
    assert!(taken[0] > 0, "{taken:?}");
    assert_eq!(taken[3..], [0; ROUNDS - 3], "{taken:?}");
}

/// A socket that is blocked for long: nothing is polled for it, while peers come and go.
#[test]
fn who_is_gone_does_not_wait_to_be_sent_to() {
    let mut config = Config::new("ours");
    config.max_invitations_per_host = u32::MAX;
    config.max_invitations_per_second = u32::MAX;
    let mut session = Session::new(config, 1, Time::ZERO).unwrap();
    let mut peer = ScriptedPeer::new(1);
    let (control, data) = (LocalPort::control(PairId(0)), LocalPort::data(PairId(0)));
    let invitation = peer.exchange(ExchangeKind::Invitation);
    let bye = peer.exchange(ExchangeKind::End);
    let note = Message::parse(&[0x90, 60, 100]).unwrap();
    let mut come_and_go = |rounds: u32| {
        for _ in 0..rounds {
            session.handle_datagram(Time::ZERO, control, peer.control, &invitation);
            session.handle_datagram(Time::ZERO, data, peer.data, &invitation);
            // From its first packet on it is sent to: its introduction is due.
            peer.play(&mut session, Time::ZERO, &[note]);
            session.handle_datagram(Time::ZERO, control, peer.control, &bye);
            while session.poll_event().is_some() {}
        }
        live()
    };
    let held = come_and_go(1000);
    assert_eq!(come_and_go(50_000), held);
    assert_eq!(session.stats().invitations_accepted, 51_000);
    // Who comes now is sent to all the same.
    let id = peer.join(&mut session, Time::ZERO);
    peer.play(&mut session, Time::ZERO, &[note]);
    let sent = transmits(&mut session);
    assert!(sent.iter().any(|(to, _)| to.to == peer.data), "{sent:02x?}");
    assert_eq!(session.participant_stats(id).unwrap().packets_sent, 1);
}

/// One has its SSRC and host, another its control port.
#[test]
fn a_peer_may_take_the_place_of_two() {
    let mut config = Config::new("ours");
    config.max_participants = 2;
    let mut session = Session::new(config, 1, Time::ZERO).unwrap();
    let mut first = ScriptedPeer::new(1);
    let second = ScriptedPeer::new(2);
    for order in 0..2 {
        let mut ids = [&first, &second].map(|peer| peer.join(&mut session, Time::ZERO));
        if order == 1 {
            // Whichever joined first.
            first.control.set_port(9000);
            first.data.set_port(9001);
            ids = [ids[1], first.join(&mut session, Time::ZERO)];
        }
        let mut both = first.clone();
        both.control = second.control;
        let invitation = both.exchange(ExchangeKind::Invitation);
        for (local, from) in [
            (LocalPort::control(both.pair), both.control),
            (LocalPort::data(both.pair), both.data),
        ] {
            session.handle_datagram(Time::ZERO, local, from, &invitation);
        }
        // The port of the other one is its own once it has shown that it is there.
        both.synchronise(&mut session, Time::ZERO);
        let told = events(&mut session);
        let left = ids.map(|participant| Event::Left {
            participant,
            reason: LeaveReason::Replaced,
        });
        assert_eq!(told[0], left[order]);
        assert!(matches!(told[1], Event::Joined { .. }), "{told:?}");
        assert_eq!(told[2], left[1 - order]);
        assert_eq!(told.len(), 3);
        assert_eq!(session.participants().count(), 1);
        // There is room for one more, not for two.
        let third = ScriptedPeer::new(3);
        let id = third.join(&mut session, Time::ZERO);
        let invitation = ScriptedPeer::new(4).exchange(ExchangeKind::Invitation);
        let from = ScriptedPeer::new(4).control;
        session.handle_datagram(Time::ZERO, LocalPort::control(PairId(0)), from, &invitation);
        let refused = transmits(&mut session);
        assert_eq!(refused.last().unwrap().1[2..4], *b"NO");
        for (peer, from) in [(&both, both.control), (&third, third.control)] {
            let bye = peer.exchange(ExchangeKind::End);
            session.handle_datagram(Time::ZERO, LocalPort::control(PairId(0)), from, &bye);
        }
        let told = events(&mut session);
        assert_eq!(told.len(), 2, "{told:?} {id}");
    }
}

/// One's data port is another's control port: both are found at theirs, whoever came last.
#[test]
fn a_port_may_be_the_control_port_of_one_and_the_data_port_of_another() {
    let mut session = Session::new(Config::new("ours"), 1, Time::ZERO).unwrap();
    let mut upper = ScriptedPeer::new(1);
    let lower = ScriptedPeer::new(2);
    upper.control = lower.data;
    upper.data.set_port(upper.control.port() + 1);
    let old = upper.join(&mut session, Time::ZERO);
    let other = lower.join(&mut session, Time::ZERO);
    // It restarts, with another SSRC.
    upper.ssrc = ScriptedPeer::new(3).ssrc;
    let invitation = upper.exchange(ExchangeKind::Invitation);
    for (local, from) in [
        (LocalPort::control(upper.pair), upper.control),
        (LocalPort::data(upper.pair), upper.data),
    ] {
        session.handle_datagram(Time::ZERO, local, from, &invitation);
    }
    transmits(&mut session);
    upper.synchronise(&mut session, Time::ZERO);
    let told = events(&mut session);
    let [
        _,
        Event::Joined {
            participant: new, ..
        },
    ] = told[..]
    else {
        panic!("{told:?}");
    };
    let there: Vec<_> = session.participants().map(|(id, _)| id).collect();
    assert_eq!(there, [other, new], "and not {old}");
    // The same the other way round.
    let bye = upper.exchange(ExchangeKind::End);
    session.handle_datagram(
        Time::ZERO,
        LocalPort::control(PairId(0)),
        upper.control,
        &bye,
    );
    let there: Vec<_> = session.participants().map(|(id, _)| id).collect();
    assert_eq!(there, [other]);
}

/// The order in which they joined, whatever their SSRCs and whoever left.
#[test]
fn participants_stand_in_the_order_of_joining() {
    let mut crowd = Crowd::new(|_| {});
    crowd.join((0..100).map(|n| n * 37 % 100));
    for n in [99, 0, 50, 7] {
        let (peer, id) = crowd.peers.remove(n % crowd.peers.len());
        if n == 50 {
            crowd.session.leave(crowd.now, id).unwrap();
        } else {
            let bye = peer.exchange(ExchangeKind::End);
            let local = LocalPort::control(peer.pair);
            let now = crowd.now;
            crowd
                .session
                .handle_datagram(now, local, peer.control, &bye);
        }
        crowd.drain();
    }
    crowd.join([300, 200]);
    let there: Vec<(ParticipantId, Ssrc)> = crowd
        .session
        .participants()
        .map(|(id, peer)| (id, peer.ssrc))
        .collect();
    let joined: Vec<_> = crowd
        .peers
        .iter()
        .map(|(peer, id)| (*id, peer.ssrc))
        .collect();
    assert_eq!(there, joined);
    assert!(there.is_sorted());
    assert_eq!(there.last().unwrap().0.to_string(), "participant 101");
}
