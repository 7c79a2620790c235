//! What one packet costs an endpoint with 1, 100 and 10,000 sessions, all on one thread and without
//! sockets.
//!
//! Each packet is for the next session in turn, or all for one while the others are idle. Every
//! session that is not idle gets one each 10 ms of the session's clock, whatever their number. What
//! comes out is drained after each input, as a driver does.
//!
//! `cargo bench -p netmidi-session --bench many`

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic ends the measurement, as it should"
)]

extern crate alloc;

use core::hint::black_box;
use core::time::Duration;
use std::time::Instant;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main};
use netmidi_message::{Channel, ChannelMessage, Message, Note, U7};
use netmidi_session::{Config, LocalPort, PairId, ParticipantId, Session, Time};
use netmidi_testkit::ScriptedPeer;
use netmidi_wire::{ClockCount, ClockTicks, ExchangeKind};

#[path = "../src/deadlines.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "its tests are run where it belongs"
)]
mod deadlines;
/// What the table of deadlines names so.
mod time {
    pub(crate) use netmidi_session::Time;
}

use deadlines::Deadlines;

const SIZES: [u16; 3] = [1, 100, 10_000];
const INTERVAL: Duration = Duration::from_millis(10);
/// So many come and go at once.
const NEWCOMERS: u16 = 64;

/// A session, its peers, and datagrams of theirs to be sent again with new numbers.
struct Crowd {
    session: Session,
    peers: Vec<Peer>,
    out: Vec<u8>,
    now: Time,
    turn: usize,
    /// How many peers take turns; the others are idle.
    active: usize,
}

struct Peer {
    peer: ScriptedPeer,
    id: ParticipantId,
    note: Vec<u8>,
    sent: u16,
}

impl Crowd {
    fn new(size: u16, active: u16) -> Self {
        let mut config = Config::new("ours");
        config.max_participants = usize::from(size + NEWCOMERS);
        // The idle ones stay.
        config.silence_timeout = Duration::from_secs(1 << 40);
        let mut session = Session::new(config, 1, Time::ZERO).unwrap();
        let key = Note::MIDDLE_C;
        let note = ChannelMessage::note_on(Channel::C1, key, U7::MAX);
        let peers = (0..size).map(|n| {
            let mut peer = ScriptedPeer::new(n);
            let id = peer.join(&mut session, Time::ZERO);
            peer.synchronise(&mut session, Time::ZERO);
            let note = peer.packet(Time::ZERO, &[note.into()]);
            let sent = 0;
            Peer {
                peer,
                id,
                note,
                sent,
            }
        });
        let peers = peers.collect();
        let mut crowd = Self {
            session,
            peers,
            out: Vec::with_capacity(2048),
            now: Time::ZERO,
            turn: 0,
            active: usize::from(active),
        };
        // Introductions are over then.
        for second in 1..20 {
            crowd.session.handle_timeout(Time::from_secs(second));
            crowd.drain();
        }
        crowd.now = Time::from_secs(20);
        crowd
    }

    /// Empties the session. Returns how many datagrams and events there were.
    fn drain(&mut self) -> (u32, u32) {
        let (mut datagrams, mut events) = (0, 0);
        while self.session.poll_transmit(&mut self.out).is_some() {
            datagrams += 1;
        }
        while let Some(event) = self.session.poll_event() {
            black_box(event);
            events += 1;
        }
        black_box(self.session.poll_timeout());
        (datagrams, events)
    }

    /// Whose turn it is, and when.
    fn next(&mut self) -> usize {
        let turn = self.turn;
        self.turn += 1;
        if self.turn == self.active {
            self.turn = 0;
        }
        self.now = self.now + INTERVAL / u32::try_from(self.active).unwrap();
        turn
    }

    /// A note comes in: on and off in turn.
    fn receive(&mut self) -> (u32, u32) {
        let turn = self.next();
        let Peer {
            peer, note, sent, ..
        } = &mut self.peers[turn];
        *sent = sent.wrapping_add(1);
        note[2..4].copy_from_slice(&sent.wrapping_add(100).to_be_bytes());
        let ticks = self.now.as_micros() / 100;
        note[4..8].copy_from_slice(&ticks.to_be_bytes()[4..]);
        // Its velocity.
        *note.last_mut().unwrap() = if *sent & 1 == 0 { 100 } else { 0 };
        let local = LocalPort::data(peer.pair);
        self.session
            .handle_datagram(self.now, local, peer.data, note);
        self.drain()
    }

    /// A note goes out.
    fn send(&mut self) -> (u32, u32) {
        let turn = self.next();
        let Peer { id, sent, .. } = &mut self.peers[turn];
        *sent = sent.wrapping_add(1);
        let velocity = U7::from_low_bits(if *sent & 1 == 0 { 100 } else { 0 });
        let note = ChannelMessage::note_on(Channel::C1, Note::MIDDLE_C, velocity);
        self.session
            .send(self.now, *id, Message::from(note))
            .unwrap();
        self.drain()
    }

    /// CK0 comes in, CK1 goes out, CK2 comes in.
    fn compare_clocks(&mut self) {
        let turn = self.next();
        let peer = &self.peers[turn].peer;
        let ticks = ClockTicks(self.now.as_micros() / 100);
        let local = LocalPort::data(peer.pair);
        let data = peer.data;
        let ck0 = peer.clock(ClockCount::Ck0, [ticks, ClockTicks(0), ClockTicks(0)]);
        let ck2 = peer.clock(ClockCount::Ck2, [ticks; 3]);
        self.session.handle_datagram(self.now, local, data, &ck0);
        assert_eq!(self.drain(), (1, 0));
        self.session.handle_datagram(self.now, local, data, &ck2);
        self.drain();
    }
}

/// In turn and all for one, at each size.
fn at_all_sizes(
    group: &mut BenchmarkGroup<'_, WallTime>,
    mut step: impl FnMut(&mut Crowd) -> (u32, u32),
) {
    for size in SIZES {
        for (name, active) in [("in turn", size), ("one of them", 1)] {
            if size == 1 && name == "in turn" {
                continue;
            }
            let mut crowd = Crowd::new(size, active);
            // Every one of them has played before.
            for _ in 0..4 * u32::from(active) {
                step(&mut crowd);
            }
            group.bench_function(BenchmarkId::new(name, size), |b| {
                b.iter(|| black_box(step(&mut crowd)));
            });
        }
    }
}

fn packets(c: &mut Criterion) {
    let mut group = c.benchmark_group("a note comes in");
    at_all_sizes(&mut group, |crowd| {
        let (datagrams, events) = crowd.receive();
        assert_eq!(events, 1);
        (datagrams, events)
    });
    group.finish();
    let mut group = c.benchmark_group("a note goes out");
    at_all_sizes(&mut group, |crowd| {
        let (datagrams, events) = crowd.send();
        assert!(datagrams >= 1);
        (datagrams, events)
    });
    group.finish();
    let mut group = c.benchmark_group("clocks are compared");
    at_all_sizes(&mut group, |crowd| {
        crowd.compare_clocks();
        (0, 0)
    });
    group.finish();
}

/// Peers that join those who are there, both halves of their invitation; and leave.
fn invitations(c: &mut Criterion) {
    for (name, joins) in [("a peer joins", true), ("a peer leaves", false)] {
        let mut group = c.benchmark_group(name);
        for size in SIZES {
            let mut crowd = Crowd::new(size, size);
            let newcomers: Vec<_> = (0..NEWCOMERS)
                .map(|n| {
                    // Their SSRCs stand between those of the others, not behind.
                    let mut peer = ScriptedPeer::new(n * (size / NEWCOMERS).max(1));
                    let host = [198, 51, 100, 9].into();
                    peer.control.set_ip(host);
                    peer.data.set_ip(host);
                    peer.control.set_port(5004 + 2 * n);
                    peer.data.set_port(5005 + 2 * n);
                    let invitation = peer.exchange(ExchangeKind::Invitation);
                    let bye = peer.exchange(ExchangeKind::End);
                    (peer, invitation, bye)
                })
                .collect();
            let (control, data) = (LocalPort::control(PairId(0)), LocalPort::data(PairId(0)));
            group.bench_function(BenchmarkId::from_parameter(size), |b| {
                b.iter_custom(|times| {
                    let (mut took, mut left) = (Duration::ZERO, times);
                    while left > 0 {
                        let some = left.min(u64::from(NEWCOMERS));
                        left -= some;
                        let some = &newcomers[..usize::try_from(some).unwrap()];
                        crowd.now = crowd.now + INTERVAL;
                        crowd.session.handle_timeout(crowd.now);
                        crowd.drain();
                        let before = Instant::now();
                        for (peer, invitation, _) in some {
                            let (session, now) = (&mut crowd.session, crowd.now);
                            session.handle_datagram(now, control, peer.control, invitation);
                            assert_eq!(crowd.drain(), (1, 0));
                            let (session, now) = (&mut crowd.session, crowd.now);
                            session.handle_datagram(now, data, peer.data, invitation);
                            assert_eq!(crowd.drain(), (1, 1));
                        }
                        let between = Instant::now();
                        for (peer, _, bye) in some {
                            let (session, now) = (&mut crowd.session, crowd.now);
                            session.handle_datagram(now, control, peer.control, bye);
                            assert_eq!(crowd.drain(), (0, 1));
                        }
                        took += if joins {
                            between - before
                        } else {
                            between.elapsed()
                        };
                    }
                    took
                });
            });
        }
        group.finish();
    }
}

/// The table of deadlines alone.
fn timers(c: &mut Criterion) {
    let mut group = c.benchmark_group("timers");
    for size in [10u64, 1000, 100_000] {
        // Each has a moment of its own, in no order.
        let moment = |n: u64| Time::from_micros(n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 34);
        let filled = || {
            let mut deadlines = Deadlines::default();
            for n in 0..size {
                deadlines.set(moment(n), n);
            }
            deadlines
        };
        let mut deadlines = filled();
        let mut n = 0;
        group.bench_function(BenchmarkId::new("one is moved", size), |b| {
            b.iter(|| {
                // Those that stand are of the last `size` steps.
                deadlines.cancel(moment(n), n);
                deadlines.set(moment(n + size), n + size);
                n += 1;
                black_box(deadlines.next())
            });
        });
        let mut deadlines = filled();
        group.bench_function(
            BenchmarkId::new("one comes due and is set again", size),
            |b| {
                b.iter(|| {
                    let due = deadlines.next().unwrap();
                    let timer = deadlines.pop_due(due).unwrap();
                    // Within a half of the whole time that they span.
                    let later =
                        Duration::from_micros(moment(timer ^ due.as_micros()).as_micros() >> 1);
                    deadlines.set(due + later, timer);
                    timer
                });
            },
        );
        group.bench_function(BenchmarkId::new("the next is asked for", size), |b| {
            b.iter(|| black_box(&deadlines).next());
        });
    }
    group.finish();
}

criterion_group!(benches, packets, invitations, timers);
criterion_main!(benches);
