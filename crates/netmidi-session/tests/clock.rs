//! Clock exchanges, and the times that messages get from them.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use core::net::SocketAddr;
use core::time::Duration;

use netmidi_message::Message;
use netmidi_session::{
    ClockEstimate, Config, Event, LocalPort, PairId, Persistence, Port, Session, Target, Time,
    Transmit,
};
use netmidi_testkit::{Rng, ScriptedPeer, events, transmits};
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

/// Two sessions with clocks that part, and a network that takes its time: the first invites the
/// second.
struct Two {
    sessions: [Session; 2],
    rng: Rng,
    /// In microseconds, on no clock at all.
    now: u64,
    /// What each clock shows at 0, and how fast it runs, in parts per million.
    clocks: [(u64, i64); 2],
    /// The least time to the other side, and how much more it may take.
    ways: [(u32, u32); 2],
    on_the_way: Vec<(u64, usize, Transmit, Vec<u8>)>,
    /// What the clock of each session shows on the wire at its epoch.
    origins: [Option<u64>; 2],
}

impl Two {
    /// Round trips of 0.2 to 300 ms, clocks that part by up to 100 ppm.
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut clock = || {
            (
                u64::from(rng.below(1 << 30)),
                i64::from(rng.below(101)) - 50,
            )
        };
        let clocks = [clock(), clock()];
        let ways = [0, 0].map(|_| {
            let least = 100 << rng.below(10);
            let least = (least + rng.below(least)).min(75_000);
            (least, rng.below(least + 1))
        });
        let mut two = Self {
            sessions: [0, 1].map(|n| {
                let seed = rng.bits();
                let now = Time::from_micros(clocks[n].0);
                Session::new(Config::new("ours"), seed, now).unwrap()
            }),
            rng,
            now: 0,
            clocks,
            ways,
            on_the_way: Vec::new(),
            origins: [None; 2],
        };
        let target = Target::new(Self::address(1, Port::Control)).unwrap();
        let now = two.time(0);
        two.sessions[0]
            .invite(now, &[target], Persistence::Forever)
            .unwrap();
        two
    }

    fn address(side: usize, port: Port) -> SocketAddr {
        let host = [192, 0, 2, side as u8];
        SocketAddr::from((host, 5004 + u16::from(port == Port::Data)))
    }

    fn time(&self, side: usize) -> Time {
        let (ahead, drift) = self.clocks[side];
        let passed = i64::try_from(self.now).unwrap();
        Time::from_micros(
            ahead
                .checked_add_signed(passed + passed * drift / 1_000_000)
                .unwrap(),
        )
    }

    /// When this clock will show that.
    fn when(&self, side: usize, time: Time) -> u64 {
        let left = i64::try_from(time.since(self.time(side)).as_micros()).unwrap();
        self.now
            .checked_add_signed(left - left * self.clocks[side].1 / 1_000_000)
            .unwrap()
    }

    fn drain(&mut self) {
        for side in 0..2 {
            let time = self.time(side);
            for (transmit, octets) in transmits(&mut self.sessions[side]) {
                // The timestamp that each kind of clock packet adds was read just now.
                if octets.starts_with(b"\xFF\xFFCK") {
                    let at = 12 + 8 * usize::from(octets[8]);
                    let ticks = u64::from_be_bytes(octets[at..at + 8].try_into().unwrap());
                    let origin = ticks - time.as_micros() / 100;
                    assert_eq!(self.origins[side].replace(origin).unwrap_or(origin), origin);
                }
                let (least, jitter) = self.ways[side];
                // Short queues are more frequent than long ones.
                let queue = u64::from(self.rng.below(1001)) * u64::from(self.rng.below(1001));
                let arrives = self.now + u64::from(least) + u64::from(jitter) * queue / 1_000_000;
                self.on_the_way.push((arrives, side, transmit, octets));
            }
            events(&mut self.sessions[side]);
        }
    }

    /// Goes on until something has happened.
    fn step(&mut self) {
        let arrival = (0..self.on_the_way.len()).min_by_key(|n| self.on_the_way[*n].0);
        let due = |side: usize| Some(self.when(side, self.sessions[side].poll_timeout()?));
        let timeout = [due(0), due(1)].into_iter().flatten().min();
        match arrival {
            Some(n) if timeout.is_none_or(|due| self.on_the_way[n].0 <= due) => {
                let (at, side, transmit, octets) = self.on_the_way.remove(n);
                self.now = self.now.max(at);
                let to = if transmit.to.port() == 5004 {
                    Port::Control
                } else {
                    Port::Data
                };
                let local = LocalPort {
                    pair: PairId(0),
                    port: to,
                };
                let from = Self::address(side, transmit.from.port);
                let now = self.time(1 - side);
                self.sessions[1 - side].handle_datagram(now, local, from, &octets);
            }
            _ => {
                self.now = self.now.max(timeout.unwrap()) + 1;
                for side in 0..2 {
                    let now = self.time(side);
                    self.sessions[side].handle_timeout(now);
                }
            }
        }
        self.drain();
    }

    fn estimate(&self, side: usize) -> Option<ClockEstimate> {
        let (id, _) = self.sessions[side].participants().next()?;
        self.sessions[side].participant_clock(id)
    }

    /// The other's clock minus ours, in microseconds.
    fn truth(&self, side: usize) -> i64 {
        let other = self.origins[1 - side].unwrap() * 100 + self.time(1 - side).as_micros();
        i64::try_from(other).unwrap() - i64::try_from(self.time(side).as_micros()).unwrap()
    }
}

#[test]
fn the_truth_lies_within_the_stated_uncertainty() {
    let (mut within, mut errors) = ([0, 0], [Vec::new(), Vec::new()]);
    for seed in 0..1000 {
        let mut two = Two::new(seed);
        for side in [0, 1] {
            while two.estimate(side).is_none_or(|it| it.exchanges < 8) {
                two.step();
                assert!(two.now < 10_000_000, "seed {seed}");
            }
            let estimate = two.estimate(side).unwrap();
            let allowed = estimate.round_trip / 2 + Duration::from_micros(200);
            assert!(estimate.uncertainty <= allowed, "seed {seed}: {estimate:?}");
            let error = Duration::from_micros(estimate.offset.abs_diff(two.truth(side)));
            within[side] += u32::from(error <= estimate.uncertainty);
            errors[side].push(error);
        }
    }
    for (side, role) in ["initiator", "responder"].into_iter().enumerate() {
        errors[side].sort_unstable();
        println!(
            "{role}: {} of 1000 within; median error {:?}, 95 % {:?}",
            within[side], errors[side][500], errors[side][950]
        );
        assert!(within[side] >= 990, "{role}: {}", within[side]);
    }
}

#[test]
fn clock_exchanges_are_told_to_those_who_ask() {
    let told = |wanted: bool, limit: usize| {
        let mut config = Config::new("ours");
        config.clock_events = wanted;
        config.max_queued_events = limit;
        let mut session = Session::new(config, 1, Time::ZERO).unwrap();
        let peer = ScriptedPeer::new(1);
        let id = peer.join(&mut session, Time::ZERO);
        for second in 1..=5 {
            peer.synchronise(&mut session, Time::from_secs(second));
        }
        let told = events(&mut session);
        for event in &told {
            assert_eq!(*event, Event::Synchronised { participant: id });
        }
        assert_eq!(session.participant_clock(id).unwrap().exchanges, 5);
        told.len()
    };
    assert_eq!(told(true, 100), 5);
    assert_eq!(told(true, 3), 3, "no more than there is room for");
    assert_eq!(told(false, 100), 0);
}
