//! Playout delay: spacing, order and losses of what comes out, and what it may hold.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use core::time::Duration;

use netmidi_message::{Channel, ChannelMessage, Message, MessageBuf, Note, SysEx, U7};
use netmidi_session::{
    Config, Event, JournalPolicy, LatePolicy, LeaveReason, LocalPort, Origin, PairId,
    ParticipantId, ParticipantStats, Playout, Session, Time,
};
use netmidi_testkit::{Instrument, Rng, ScriptedPeer, piano, transmits};
use netmidi_wire::{ClockCount, ClockTicks, ExchangeKind, RtpHeader, RtpTimestamp, SeqNum, Ssrc};

const START: Time = Time::from_secs(10);
const DATA: LocalPort = LocalPort::data(PairId(0));

/// A session, a peer that plays to it, and the way between them.
struct Line {
    session: Session,
    peer: ScriptedPeer,
    id: ParticipantId,
    now: Time,
    on_the_way: Vec<(Time, Vec<u8>)>,
    /// What came out, and when.
    out: Vec<(Time, Event)>,
    feedback: Vec<(Time, u16)>,
}

impl Line {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut line = Self::unsynchronised(change, None);
        line.peer.synchronise(&mut line.session, START);
        line
    }

    fn unsynchronised(change: impl FnOnce(&mut Config), ssrc: Option<Ssrc>) -> Self {
        let mut config = Config::new("ours");
        change(&mut config);
        let mut session = Session::new(config, 1, START).unwrap();
        let mut peer = ScriptedPeer::new(1);
        peer.clock_ahead = ClockTicks(0x12_3456_7890);
        peer.ssrc = ssrc.unwrap_or(peer.ssrc);
        let id = peer.join(&mut session, START);
        Self {
            session,
            peer,
            id,
            now: START,
            on_the_way: Vec::new(),
            out: Vec::new(),
            feedback: Vec::new(),
        }
    }

    fn fixed(millis: u64) -> Self {
        Self::new(|config| config.playout = Playout::Fixed(Duration::from_millis(millis)))
    }

    /// Puts a packet on its way.
    fn bring(&mut self, arrives: Time, packet: Vec<u8>) {
        let place = self.on_the_way.partition_point(|(at, _)| *at <= arrives);
        self.on_the_way.insert(place, (arrives, packet));
    }

    /// The peer plays this, and it is on the way for so long.
    fn play(&mut self, sent: Time, way: Duration, message: Message<'_>) {
        let packet = self.peer.packet(sent, &[message]);
        self.bring(sent + way, packet);
    }

    fn collect(&mut self) {
        for (transmit, octets) in transmits(&mut self.session) {
            if octets.starts_with(b"\xFF\xFFRS") {
                assert_eq!(transmit.to, self.peer.control);
                let seq = u16::from_be_bytes([octets[8], octets[9]]);
                self.feedback.push((self.now, seq));
            }
        }
        while let Some(event) = self.session.poll_event() {
            self.out.push((self.now, event));
        }
    }

    fn run_until(&mut self, end: Time) {
        self.collect();
        for _ in 0..10_000_000 {
            let arrival = self.on_the_way.first().map(|(at, _)| *at);
            let next = [arrival, self.session.poll_timeout()]
                .into_iter()
                .flatten()
                .min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            assert!(next >= self.now, "asked for the past");
            self.now = next;
            self.session.handle_timeout(next);
            self.collect();
            let due = self.session.poll_timeout();
            assert!(
                due.is_none_or(|due| due > next),
                "time stands still at {next}"
            );
            while self.on_the_way.first().is_some_and(|(at, _)| *at <= next) {
                let (_, packet) = self.on_the_way.remove(0);
                self.session
                    .handle_datagram(next, DATA, self.peer.data, &packet);
                self.collect();
            }
        }
        panic!("asked for without end");
    }

    fn stats(&self) -> ParticipantStats {
        self.session.participant_stats(self.id).unwrap()
    }

    /// Messages that came out: when, the time they were given, and what.
    fn messages(&self) -> Vec<(Time, Time, MessageBuf)> {
        let messages = self.out.iter().filter_map(|(out, event)| match event {
            Event::Message { at, message, .. } => Some((*out, *at, message.clone())),
            _ => None,
        });
        messages.collect()
    }

    /// Kinds of what came out, in order.
    fn story(&self) -> Vec<String> {
        let told = self.out.iter().map(|(_, event)| match event {
            Event::Message {
                message, origin, ..
            } => format!("{origin:?} {message}"),
            Event::Lost {
                packets, covered, ..
            } => format!("Lost {packets} {covered}"),
            Event::Left { reason, .. } => format!("Left {reason:?}"),
            other => panic!("{other:?}"),
        });
        told.collect()
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Milliseconds after the start.
fn at(millis: u64) -> Time {
    START + Duration::from_millis(millis)
}

/// The nth note: key and velocity tell which it is.
fn note(n: usize) -> Message<'static> {
    let key = Note::new((n % 128) as u8).unwrap();
    let velocity = U7::new((n / 128 % 127) as u8 + 1).unwrap();
    ChannelMessage::note_on(Channel::C1, key, velocity).into()
}

fn notes(line: &Line) -> Vec<MessageBuf> {
    line.messages().into_iter().map(|(.., it)| it).collect()
}

fn expected(numbers: impl IntoIterator<Item = usize>) -> Vec<MessageBuf> {
    numbers.into_iter().map(|n| note(n).to_buf()).collect()
}

/// A packet whose commands have times of their own, in ticks after the one before.
fn spread(peer: &mut ScriptedPeer, sent: Time, messages: &[(u32, Message<'_>)]) -> Vec<u8> {
    let mut list = Vec::new();
    for (n, (delta, message)) in messages.iter().enumerate() {
        if n > 0 || *delta > 0 {
            assert!(*delta < 1 << 14);
            if *delta >= 128 {
                list.push(0x80 | (delta >> 7) as u8);
            }
            list.push((delta & 0x7F) as u8);
        }
        list.extend(message.to_vec());
    }
    let first = messages.first().is_some_and(|(delta, _)| *delta > 0);
    let ticks = sent.as_micros() / 100 + peer.clock_ahead.0;
    let header = RtpHeader::midi(peer.seq, RtpTimestamp(ticks as u32), peer.ssrc);
    peer.seq = peer.seq.next();
    let mut packet = vec![0; RtpHeader::LEN];
    header.encode(&mut packet).unwrap();
    packet.push(0x80 | u8::from(first) << 5 | (list.len() >> 8) as u8);
    packet.push(list.len() as u8);
    packet.extend(list);
    packet
}

/// What a session of ours sends when these are played, with journals: times and packets.
fn recorded(messages: &[(Time, Message<'_>)]) -> (Ssrc, ClockTicks, Vec<(Time, Vec<u8>)>) {
    let mut config = Config::new("theirs");
    config.journal = JournalPolicy::Full;
    let mut session = Session::new(config, 2, START).unwrap();
    let peer = ScriptedPeer::new(9);
    let id = peer.join(&mut session, START);
    peer.synchronise(&mut session, START);
    let ck0 = peer.clock(ClockCount::Ck0, [1, 0, 0].map(ClockTicks));
    session.handle_datagram(START, DATA, peer.data, &ck0);
    let mut packets = Vec::new();
    let mut ahead = ClockTicks(0);
    for (_, octets) in transmits(&mut session) {
        if octets.starts_with(b"\xFF\xFFCK") {
            let ticks = u64::from_be_bytes(octets[20..28].try_into().unwrap());
            ahead = ClockTicks(ticks - START.as_micros() / 100);
        } else if octets[0] == 0x80 {
            packets.push((START, octets));
        }
    }
    for (sent, message) in messages {
        session.send(*sent, id, *message).unwrap();
        for (_, octets) in transmits(&mut session) {
            packets.push((*sent, octets));
        }
    }
    (session.ssrc(), ahead, packets)
}

#[test]
fn a_fixed_delay_keeps_the_spacing() {
    let mut line = Line::fixed(20);
    let mut rng = Rng::new(3);
    let mut sent = START;
    let mut played = Vec::new();
    for n in 0..500 {
        sent = sent + Duration::from_micros(100 * u64::from(rng.below(300)));
        let way = Duration::from_micros(2000 + u64::from(rng.below(18_000)));
        line.play(sent, way, note(n));
        played.push((sent + millis(20), sent + millis(20), note(n).to_buf()));
    }
    line.run_until(sent + Duration::from_secs(1));
    assert_eq!(line.messages(), played);
    let stats = line.stats();
    assert_eq!(
        (stats.overdue, stats.lost, stats.reordered),
        (0, 0, 0),
        "{stats:?}"
    );
    assert_eq!(stats.playout_delay_micros, 20_000);
}

#[test]
fn without_a_delay_nothing_waits() {
    let mut line = Line::new(|_| {});
    line.play(at(0), millis(5), note(0));
    let packet = spread(&mut line.peer, at(10), &[(0, note(1)), (500, note(2))]);
    line.bring(at(11), packet);
    line.run_until(at(100));
    let times: Vec<_> = line.messages().iter().map(|it| (it.0, it.1)).collect();
    assert_eq!(times, [(at(5), at(0)), (at(11), at(10)), (at(11), at(60))]);
}

#[test]
fn before_a_clock_exchange_nothing_waits() {
    let mut line = Line::unsynchronised(
        |config| config.playout = Playout::Fixed(Duration::from_millis(50)),
        None,
    );
    line.play(at(0), millis(5), note(0));
    line.run_until(at(10));
    assert_eq!(line.messages(), [(at(5), at(5), note(0).to_buf())]);
    line.peer.synchronise(&mut line.session, at(10));
    line.play(at(20), millis(5), note(1));
    line.run_until(at(100));
    assert_eq!(line.messages()[1], (at(70), at(70), note(1).to_buf()));
}

/// Packets with journals; each is on the way for a time of its own, or lost.
fn with_journals(playout: Playout, ways: &[Option<u64>]) -> Line {
    let messages: Vec<_> = (0..ways.len())
        .map(|n| (at(10 * n as u64 + 10), note(n)))
        .collect();
    let (ssrc, ahead, packets) = recorded(&messages);
    let mut line = Line::unsynchronised(|config| config.playout = playout, Some(ssrc));
    line.peer.clock_ahead = ahead;
    line.peer.synchronise(&mut line.session, START);
    let (first, packets) = packets.split_at(packets.len() - ways.len());
    for (sent, packet) in first {
        line.bring(*sent, packet.clone());
    }
    for ((sent, packet), way) in packets.iter().zip(ways) {
        if let Some(way) = way {
            line.bring(*sent + millis(*way), packet.clone());
        }
    }
    line.run_until(at(10 * ways.len() as u64 + 300));
    line
}

#[test]
fn reordering_within_the_delay_is_put_right_without_a_repair() {
    // The second packet is overtaken by the next three, the sixth by one.
    let ways = [5, 38, 5, 6, 5, 22, 5, 5].map(Some);
    let line = with_journals(Playout::Fixed(millis(40)), &ways);
    let told: Vec<_> = (0..8).map(|n| format!("Live {}", note(n))).collect();
    assert_eq!(line.story(), told);
    let times: Vec<_> = line.messages().iter().map(|it| it.0).collect();
    let due: Vec<_> = (0..8).map(|n| at(50 + 10 * n)).collect();
    assert_eq!(times, due);
    let stats = line.stats();
    let losses = (
        stats.lost,
        stats.reordered,
        stats.messages_repaired,
        stats.overdue,
    );
    assert_eq!(losses, (0, 0, 0, 0), "{stats:?}");

    // The same without a delay, so that it is known what it is good for.
    let line = with_journals(Playout::Immediate, &ways);
    assert!(
        line.story().iter().any(|it| it.starts_with("Repaired")),
        "{:?}",
        line.story()
    );
    assert!(line.story().contains(&"Lost 1 true".to_owned()));
    assert_eq!(line.stats().reordered, 2);
}

#[test]
fn what_is_missing_when_a_later_packet_is_due_was_lost() {
    let mut ways = [Some(5); 5];
    ways[1] = None;
    // This one comes 1 ms after the next is due.
    ways[3] = Some(51);
    let line = with_journals(Playout::Fixed(millis(40)), &ways);
    let told = [
        format!("Live {}", note(0)),
        format!("Repaired {}", note(1)),
        "Lost 1 true".to_owned(),
        format!("Live {}", note(2)),
        format!("Repaired {}", note(3)),
        "Lost 1 true".to_owned(),
        format!("Live {}", note(4)),
    ];
    assert_eq!(line.story(), told);
    let times: Vec<_> = line.out.iter().map(|it| it.0).collect();
    assert_eq!(times, [50, 70, 70, 70, 90, 90, 90].map(at));
    let stats = line.stats();
    assert_eq!(
        (stats.lost, stats.reordered, stats.duplicates),
        (1, 1, 0),
        "{stats:?}"
    );
}

#[test]
fn after_losses_and_jitter_no_note_hangs() {
    for (seed, playout) in (0..20).zip(
        [
            Playout::Fixed(millis(40)),
            Playout::Adaptive { max: millis(40) },
        ]
        .into_iter()
        .cycle(),
    ) {
        let piece = piano(seed, Duration::from_secs(20));
        let piece: Vec<_> = piece
            .iter()
            .map(|(at, it)| (START + *at, (*it).into()))
            .collect();
        let (ssrc, ahead, packets) = recorded(&piece);
        let mut line = Line::unsynchronised(|config| config.playout = playout, Some(ssrc));
        line.peer.clock_ahead = ahead;
        line.peer.synchronise(&mut line.session, START);
        let mut rng = Rng::new(seed);
        for (n, (sent, packet)) in packets.iter().enumerate() {
            let way = Duration::from_micros(u64::from(2000 + rng.below(28_000)));
            // The last one arrives, so that what was lost before it shows.
            if n == 0 || n + 1 == packets.len() || !rng.percent(5) {
                line.bring(*sent + way, packet.clone());
            }
        }
        line.run_until(START + Duration::from_secs(25));
        let [mut here, mut there] = [Instrument::new(), Instrument::new()];
        piece.iter().for_each(|(_, it)| there.play(it));
        notes(&line)
            .iter()
            .for_each(|it| here.play(&it.as_message()));
        assert_eq!(here.hanging(&there), None, "{seed} {playout:?}");
        let stats = line.stats();
        assert!(stats.lost > 0 && stats.messages_repaired > 0, "{stats:?}");
        if matches!(playout, Playout::Fixed(_)) {
            assert_eq!(
                (stats.reordered, stats.overdue),
                (0, 0),
                "{seed}: {stats:?}"
            );
        }
    }
}

#[test]
fn a_packet_that_comes_twice_is_played_once() {
    let mut line = Line::fixed(20);
    let packet = line.peer.packet(at(0), &[note(0)]);
    for arrives in [2, 3, 19, 25] {
        line.bring(at(arrives), packet.clone());
    }
    line.run_until(at(100));
    assert_eq!(notes(&line), expected([0]));
    assert_eq!(line.stats().duplicates, 3);
}

#[test]
fn only_what_was_played_is_acknowledged() {
    let mut line = Line::fixed(100);
    line.run_until(at(50));
    line.feedback.clear();
    let seq = line.peer.seq.0;
    line.play(at(60), millis(1), note(0));
    line.play(at(70), millis(1), note(1));
    line.run_until(at(159));
    assert_eq!(line.feedback, []);
    line.run_until(at(300));
    assert_eq!(line.feedback.first(), Some(&(at(160), seq)));
    assert_eq!(line.feedback.last().map(|it| it.1), Some(seq + 1));
}

/// Ways there and back for the clock, of the same kind as those of the music.
fn synchronise(line: &mut Line, way: &mut impl FnMut() -> Duration) {
    for n in 0..8 {
        let now = line.now + millis(250 * n);
        let first = ClockTicks(now.as_micros() / 100 + line.peer.clock_ahead.0);
        let there = now + way();
        let ck0 = line
            .peer
            .clock(ClockCount::Ck0, [first, ClockTicks(0), ClockTicks(0)]);
        line.session
            .handle_datagram(there, DATA, line.peer.data, &ck0);
        let sent = transmits(&mut line.session);
        let (_, ck1) = sent
            .iter()
            .find(|(_, it)| it.starts_with(b"\xFF\xFFCK"))
            .unwrap();
        let second = ClockTicks(u64::from_be_bytes(ck1[20..28].try_into().unwrap()));
        let back = there + way();
        let third = ClockTicks(back.as_micros() / 100 + line.peer.clock_ahead.0);
        let ck2 = line.peer.clock(ClockCount::Ck2, [first, second, third]);
        line.session
            .handle_datagram(back + way(), DATA, line.peer.data, &ck2);
    }
    line.now = line.now + Duration::from_secs(3);
    line.session.handle_timeout(line.now);
}

#[test]
fn an_adaptive_delay_evens_out_ten_milliseconds_of_jitter() {
    for (seed, base, spacing) in [(1, 200, 5000), (2, 5000, 10_000), (3, 40_000, 3700)] {
        let mut rng = Rng::new(seed);
        let mut way = || Duration::from_micros(u64::from(base + rng.below(10_001)));
        let mut line = Line::unsynchronised(
            |config| config.playout = Playout::Adaptive { max: millis(100) },
            None,
        );
        synchronise(&mut line, &mut way);
        let began = line.now;
        const NOTES: usize = 4000;
        let sent = |n: usize| began + Duration::from_micros(n as u64 * spacing);
        for n in 0..NOTES {
            line.play(sent(n), way(), note(n));
        }
        line.run_until(sent(NOTES) + Duration::from_secs(1));
        assert_eq!(notes(&line), expected(0..NOTES));

        // How long each took, all in all.
        let took: Vec<u64> = line
            .messages()
            .iter()
            .enumerate()
            .map(|(n, it)| u64::try_from(it.0.since(sent(n)).as_micros()).unwrap())
            .collect();
        let uneven = took
            .windows(2)
            .filter(|it| it[0].abs_diff(it[1]) > 1000)
            .count();
        let added: Vec<u64> = took.iter().map(|it| it - u64::from(base)).collect();
        let mut sorted = added.clone();
        sorted.sort_unstable();
        let stats = line.stats();
        println!(
            "{base} us and up to 10 ms, every {spacing} us: {uneven} of {NOTES} more than 1 ms off the \
             spacing; added to the fastest way: median {} us, most {} us; late {}, jitter {} us",
            sorted[NOTES / 2],
            sorted[NOTES - 1],
            stats.overdue,
            stats.jitter_micros,
        );
        assert!(uneven * 100 <= NOTES, "{uneven}");
        assert!(sorted[NOTES - 1] <= 25_000);
        assert_eq!((stats.lost, stats.reordered), (0, 0), "{stats:?}");
        // Of two uniform numbers up to 10 ms the mean difference is a third of it.
        assert!((2300..4500).contains(&stats.jitter_micros), "{stats:?}");
    }
}

#[test]
fn an_adaptive_delay_rises_at_once_and_falls_slowly() {
    let mut line = Line::new(|config| config.playout = Playout::Adaptive { max: millis(50) });
    let mut rng = Rng::new(5);
    let mut n = 0;
    let mut delays = Vec::new();
    // Ten seconds quiet, ten seconds not, a minute quiet, every 10 ms.
    for (packets, jitter) in [(1000, 300), (1000, 9_000), (6000, 300)] {
        for _ in 0..packets {
            let way = Duration::from_micros(u64::from(2000 + rng.below(jitter)));
            line.play(at(10 * n as u64), way, note(n));
            n += 1;
        }
        line.run_until(at(10 * n as u64 + 1));
        delays.push(line.stats().playout_delay_micros);
    }
    println!("quiet, noisy, quiet again: {delays:?} us");
    assert!((2000..3000).contains(&delays[0]), "{delays:?}");
    assert!((10_500..11_600).contains(&delays[1]), "{delays:?}");
    assert!((2000..3000).contains(&delays[2]), "{delays:?}");
    let out = line.messages();
    assert_eq!(notes(&line), expected(0..n));
    // It was low when the noise began: what came later than that is played at once.
    let worst = (1000..2000)
        .map(|n| out[n].0.since(out[n].1))
        .max()
        .unwrap();
    assert!(worst > millis(3), "{worst:?}");
    let late = (1100..8000)
        .filter(|n| out[*n].0.since(out[*n].1) > millis(1))
        .count();
    assert!(late < 69, "{late} of 6900");
    // No more than its bound, whatever comes.
    for _ in 0..100 {
        line.play(at(10 * n as u64), millis(400), note(n));
        line.play(at(10 * n as u64), millis(2), note(n + 1));
        n += 2;
    }
    line.run_until(at(10 * n as u64 + 1000));
    assert!(
        line.stats().playout_delay_micros <= 52_000,
        "{:?}",
        line.stats()
    );
}

#[test]
fn note_ons_that_are_too_late_can_be_left_out() {
    let late = LatePolicy::Drop { after: millis(5) };
    for (playout, delay) in [(Playout::Immediate, 0), (Playout::Fixed(millis(20)), 20)] {
        let mut line = Line::new(|config| {
            config.playout = playout;
            config.late = late;
        });
        let messages: Vec<MessageBuf> = [
            &[0x90, 60, 100][..],
            &[0x80, 60, 0],
            &[0x90, 61, 0],
            &[0xB0, 64, 127],
            &[0xE0, 1, 2],
            &[0xC0, 5],
        ]
        .into_iter()
        .map(|it| Message::parse(it).unwrap().to_buf())
        .collect();
        for (n, too_late) in [(0, 4), (1, 5), (2, 6)] {
            let messages: Vec<_> = messages.iter().map(MessageBuf::as_message).collect();
            let packet = line.peer.packet(at(100 * n), &messages);
            line.bring(at(100 * n + delay + too_late), packet);
        }
        line.run_until(at(1000));
        let mut heard = [messages.clone(), messages.clone(), messages[1..].to_vec()].concat();
        assert_eq!(notes(&line), heard, "{playout:?}");
        let stats = line.stats();
        assert_eq!(stats.overdue_dropped, 1);
        assert_eq!(stats.overdue, if delay == 0 { 0 } else { 17 });

        // By default they are played.
        let mut line = Line::new(|config| config.playout = playout);
        let packet = line.peer.packet(at(0), &[messages[0].as_message()]);
        line.bring(at(900), packet);
        line.run_until(at(1000));
        heard.truncate(1);
        assert_eq!(notes(&line), heard);
    }
}

#[test]
fn order_is_kept_and_every_message_has_its_own_time() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let delay = millis(u64::from(rng.below(40)));
        let adaptive = rng.percent(30);
        let mut line = Line::new(|config| {
            config.playout = if adaptive {
                Playout::Adaptive { max: delay }
            } else {
                Playout::Fixed(delay)
            };
        });
        let (mut sent, mut n, mut due) = (START, 0, Vec::new());
        for _ in 0..60 {
            sent = sent + Duration::from_micros(100 * u64::from(rng.below(200)));
            let mut messages = Vec::new();
            let mut time = sent;
            for _ in 0..=rng.below(4) {
                let ticks = rng.below(150);
                time = time + Duration::from_micros(100 * u64::from(ticks));
                messages.push((ticks, note(n)));
                due.push(time + delay);
                n += 1;
            }
            let packet = spread(&mut line.peer, sent, &messages);
            let way = Duration::from_micros(u64::from(rng.below(20_000)));
            line.bring(sent + way, packet);
            // Time does not run backwards from packet to packet (RFC 6295 §3.3).
            sent = time;
        }
        line.run_until(sent + Duration::from_secs(1));
        let out = line.messages();
        assert!(out.windows(2).all(|it| it[0].0 <= it[1].0));
        let stats = line.stats();
        if adaptive || delay < millis(20) {
            // Late packets find their place taken, and are played if nothing newer overtook them.
            let live = |it: &&(Time, Event)| {
                matches!(
                    it.1,
                    Event::Message {
                        origin: Origin::Live,
                        ..
                    }
                )
            };
            assert!(line.out.iter().filter(live).count() <= n);
            continue;
        }
        assert_eq!(notes(&line), expected(0..n), "seed {seed}");
        assert_eq!(
            (stats.lost, stats.overdue),
            (0, 0),
            "seed {seed}: {stats:?}"
        );
        for ((out, at, _), due) in out.iter().zip(due) {
            assert_eq!((*out, *at), (due, due), "seed {seed}");
        }
    }
}

#[test]
fn a_flood_of_packets_from_the_future_is_bounded() {
    let mut line = Line::new(|config| {
        config.playout = Playout::Fixed(millis(100));
        config.max_held_packets = 100;
    });
    for n in 0..5000 {
        let packet = line.peer.packet(at(1900), &[note(n)]);
        line.bring(at(1), packet);
    }
    line.run_until(at(2));
    // The oldest are taken early and their messages wait, as many as may.
    assert_eq!(notes(&line), expected(0..4900 - 4096));
    assert_eq!(line.stats().played_early, 4900 + 4900 - 4096);
    line.run_until(at(1999));
    assert_eq!(line.messages().len(), 4900 - 4096);
    line.run_until(at(3000));
    assert_eq!(notes(&line), expected(0..5000));
    assert_eq!(line.messages()[4999].0, at(2000));
}

#[test]
fn what_waits_is_bounded_in_octets_and_in_messages() {
    let mut line = Line::new(|config| {
        config.playout = Playout::Fixed(millis(100));
        config.max_held_octets = 10_000;
    });
    let data = [1; 900];
    for _ in 0..50 {
        let packet = line
            .peer
            .packet(at(0), &[SysEx::new(&data).unwrap().into()]);
        line.bring(at(1), packet);
    }
    line.run_until(at(2));
    // 11 packets of 904 octets have room, and 11 messages.
    assert_eq!(line.messages().len(), 28);
    line.run_until(at(200));
    assert_eq!(line.messages().len(), 50);

    let mut line = Line::new(|config| {
        config.playout = Playout::Fixed(millis(10));
        config.max_held_messages = 10;
    });
    let messages: Vec<_> = (0..100)
        .map(|n| (u32::from(n == 1) * 10_000, note(n)))
        .collect();
    let packet = spread(&mut line.peer, at(0), &messages);
    line.bring(at(1), packet);
    line.run_until(at(10));
    assert_eq!(notes(&line), expected(0..90));
    line.run_until(at(1009));
    assert_eq!(line.messages().len(), 90);
    line.run_until(at(1010));
    assert_eq!(notes(&line), expected(0..100));

    // The same of system exclusive messages.
    let mut line = Line::new(|config| {
        config.playout = Playout::Fixed(millis(10));
        config.max_held_octets = 1000;
    });
    let sysex = SysEx::new(&data[..200]).unwrap().into();
    let messages: Vec<_> = (0..4)
        .map(|n| (u32::from(n == 1) * 10_000, sysex))
        .collect();
    for n in 0..5 {
        let packet = spread(&mut line.peer, at(n), &messages);
        line.bring(at(n), packet);
    }
    line.run_until(at(100));
    assert_eq!(line.messages().len(), 15);
    line.run_until(at(2000));
    assert_eq!(line.messages().len(), 20);
}

#[test]
fn times_that_cannot_be_believed_count_as_now() {
    let mut line = Line::fixed(20);
    for (arrives, sent) in [(100, at(5000)), (200, Time::ZERO)] {
        let packet = line.peer.packet(sent, &[note(0)]);
        line.bring(at(arrives), packet);
    }
    line.run_until(at(1000));
    let times: Vec<_> = line.messages().iter().map(|it| (it.0, it.1)).collect();
    assert_eq!(times, [(at(120), at(120)), (at(220), at(220))]);
    assert_eq!(line.stats().implausible_time, 2);
}

#[test]
fn what_waits_of_one_who_leaves_is_played_before_the_silence() {
    for by_us in [false, true] {
        let mut line = Line::fixed(100);
        line.play(at(0), millis(1), note(60));
        let packet = spread(&mut line.peer, at(1), &[(0, note(61)), (3000, note(62))]);
        line.bring(at(2), packet);
        line.run_until(at(110));
        line.play(at(105), millis(6), note(63));
        line.run_until(at(120));
        assert_eq!(notes(&line), expected([60, 61]));
        line.out.clear();
        if by_us {
            line.session.leave(at(120), line.id).unwrap();
        } else {
            let bye = line.peer.exchange(ExchangeKind::End);
            let control = LocalPort::control(PairId(0));
            line.session
                .handle_datagram(at(120), control, line.peer.control, &bye);
        }
        line.collect();
        let story = line.story();
        assert_eq!(story[0], format!("Live {}", note(62)));
        assert_eq!(story[1], format!("Live {}", note(63)));
        let reason = if by_us {
            LeaveReason::Local
        } else {
            LeaveReason::Bye
        };
        assert_eq!(story.last(), Some(&format!("Left {reason:?}")));
        let silence = &story[2..story.len() - 1];
        assert!(silence.iter().all(|it| it.starts_with("Silence")));
        assert!(silence.len() >= 4, "{silence:?}");
        line.out.clear();
        line.run_until(at(60_000));
        assert_eq!(line.out, []);
    }
}

#[test]
fn the_delay_can_be_changed_for_one_participant() {
    let mut line = Line::new(|_| {});
    line.session
        .set_playout(at(0), line.id, Playout::Fixed(millis(50)))
        .unwrap();
    line.play(at(0), millis(1), note(0));
    line.play(at(10), millis(1), note(1));
    line.run_until(at(20));
    assert_eq!(line.messages(), []);
    // Shorter: order is kept all the same.
    line.session
        .set_playout(at(20), line.id, Playout::Fixed(millis(10)))
        .unwrap();
    line.play(at(20), millis(1), note(2));
    line.run_until(at(55));
    assert_eq!(notes(&line), expected([0]));
    line.run_until(at(60));
    assert_eq!(notes(&line), expected([0, 1, 2]));
    line.play(at(70), millis(1), note(3));
    line.run_until(at(71));
    line.session
        .set_playout(at(72), line.id, Playout::Immediate)
        .unwrap();
    line.now = at(72);
    line.collect();
    assert_eq!(notes(&line), expected([0, 1, 2, 3]));
    line.play(at(80), millis(1), note(4));
    line.run_until(at(81));
    assert_eq!(notes(&line), expected([0, 1, 2, 3, 4]));
    let nobody = line.id;
    line.session.leave(at(81), nobody).unwrap();
    assert!(
        line.session
            .set_playout(at(81), nobody, Playout::Immediate)
            .is_err()
    );
}

#[test]
fn a_sender_that_does_not_count_waits_too() {
    // pymidi's client sends the number 75 in every packet.
    let mut line = Line::fixed(20);
    for n in 0..10 {
        line.peer.seq = SeqNum(75);
        line.play(at(5 * n as u64), millis(1), note(n));
    }
    line.run_until(at(200));
    assert_eq!(notes(&line), expected(0..10));
    assert_eq!(line.messages()[9].0, at(65));
    assert_eq!(line.stats().stuck_sequence, 9);
}

#[test]
fn the_same_packets_come_out_the_same() {
    let run = || {
        let mut rng = Rng::new(11);
        let mut line = Line::new(|config| config.playout = Playout::Adaptive { max: millis(30) });
        for n in 0..2000 {
            let way = Duration::from_micros(u64::from(rng.below(25_000)));
            if !rng.percent(3) {
                line.play(at(4 * n as u64), way, note(n));
            } else {
                line.peer.seq = line.peer.seq.next();
            }
        }
        line.run_until(at(10_000));
        (line.out, line.feedback)
    };
    let (first, second) = (run(), run());
    assert!(first.0.len() > 1900);
    assert!(
        first
            .0
            .iter()
            .any(|(_, it)| matches!(it, Event::Lost { .. }))
    );
    assert!(first.0.iter().all(|(_, it)| !matches!(
        it,
        Event::Message {
            origin: Origin::Silence,
            ..
        }
    )));
    assert_eq!(first, second);
}
