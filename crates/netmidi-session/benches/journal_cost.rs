//! What journals cost a session: octets on the wire, time for each packet, memory.
//!
//! Two sessions play to each other over a simulated network. Printed are:
//!
//! * the octets of a piano piece of five minutes, for round trips of 1, 20 and 150 ms, without and
//!   with losses. Its size on the wire includes IPv4, UDP and RTP headers; the overhead is what
//!   journals, guard packets and receiver feedback add to it;
//! * the time that both sessions take for a packet, with journals and without, in turn in one run;
//! * the memory of recorder, repairer and sessions, as the allocator counts it.
//!
//! `cargo bench -p netmidi-session --bench journal_cost`

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic ends the measurement, as it should"
)]

#[path = "../tests/counting/mod.rs"]
mod counting;
#[path = "../tests/duo/mod.rs"]
mod duo;

use core::time::Duration;
use std::time::Instant;

use counting::{allocations, live};
use duo::{Duo, Passed, studio};
use netmidi_journal::{Arrival, Form, Recorder, RecorderConfig, Repairer, RepairerConfig};
use netmidi_message::{Message, SysEx};
use netmidi_session::{Config, Event, JournalPolicy, Origin, Session, Time};
use netmidi_testkit::{Played, ScriptedPeer, faders, piano};
use netmidi_wire::{RtpPacket, RtpTimestamp, SeqNum};

/// Headers of IPv4 and UDP.
const BELOW: usize = 20 + 8;
/// Rounds of the comparison of times.
const ROUNDS: usize = 11;

fn main() {
    octets();
    times();
    memory();
}

/// What went over the wire for the stream of side 0.
#[derive(Default)]
struct Tally {
    /// Octets of the journal of each packet with commands; 0 without one.
    journals: Vec<usize>,
    /// The whole packets, without their journals.
    plain: usize,
    guards: usize,
    guard_octets: usize,
    feedback: usize,
    feedback_octets: usize,
    repaired: usize,
    losses: usize,
    uncovered: usize,
}

impl Tally {
    fn watch(&mut self, passed: &Passed<'_>) {
        match passed {
            Passed::Datagram { from: 0, octets } if octets[0] != 0xFF => {
                let packet = RtpPacket::parse(octets).unwrap();
                let section = packet.command_section().unwrap();
                let journal = section.journal().map_or(0, <[u8]>::len);
                if section.list().is_empty() {
                    self.guards += 1;
                    self.guard_octets += BELOW + octets.len();
                } else {
                    self.journals.push(journal);
                    self.plain += BELOW + octets.len() - journal;
                }
            }
            Passed::Datagram { from: 1, octets } if octets.get(2..4) == Some(b"RS") => {
                self.feedback += 1;
                self.feedback_octets += BELOW + octets.len();
            }
            Passed::Datagram { .. } => {}
            Passed::Event(event) => match event {
                Event::Message { origin, .. } => {
                    self.repaired += usize::from(*origin == Origin::Repaired);
                }
                Event::Lost { covered, .. } => {
                    self.losses += 1;
                    self.uncovered += usize::from(!covered);
                }
                other => panic!("{other:?}"),
            },
        }
    }

    fn print(&mut self, seconds: f64) {
        self.journals.sort_unstable();
        let count = self.journals.len();
        let sum: usize = self.journals.iter().sum();
        let with = self.journals.iter().filter(|len| **len > 0).count();
        let added = sum + self.guard_octets + self.feedback_octets;
        let per_second = |what: usize| what as f64 / seconds;
        println!(
            "{:8.1} {:6.1} {:4} {:4} {:5.1} {:7.1} {:8.1} {:8.0} {:8.0} {:7.0} {:8.0} {:7.0} % {:6} {:9} {:8}",
            per_second(count),
            sum as f64 / count as f64,
            self.journals[count * 95 / 100],
            self.journals[count - 1],
            100.0 * with as f64 / count as f64,
            per_second(self.guards),
            per_second(self.feedback),
            per_second(self.plain),
            per_second(sum),
            per_second(self.guard_octets),
            per_second(self.feedback_octets),
            100.0 * added as f64 / self.plain as f64,
            self.losses,
            self.uncovered,
            self.repaired,
        );
    }
}

/// Plays from side 0 to side 1, and waits until all has come.
fn play(duo: &mut Duo, piece: &[Played], watch: &mut impl FnMut(Passed<'_>)) {
    let began = duo.now;
    for (at, message) in piece {
        let at = began + *at;
        if at > duo.now {
            duo.run_until(at, watch);
        }
        duo.send(0, (*message).into());
    }
    let end = duo.now + Duration::from_secs(5);
    duo.run_until(end, watch);
}

fn octets() {
    let minutes = Duration::from_secs(300);
    let pieces = [("piano", piano(1, minutes)), ("faders", faders(1, minutes))];
    println!("octets of journals, 5 minutes, one direction");
    println!(
        "                            octets of a journal      each second: packets   octets{:>41}",
        "over-    events:"
    );
    println!(
        "piece     trip loss  packets   mean  p95  max with%  guards feedback  packets journals  \
         guards feedback      head losses uncovered repaired"
    );
    for (name, piece) in &pieces {
        for round_trip in [1, 20, 150] {
            for loss in [0, 50_000] {
                let mut duo =
                    Duo::new(JournalPolicy::Full, Duration::from_micros(round_trip * 500));
                duo.lose(loss);
                let mut tally = Tally::default();
                play(&mut duo, piece, &mut |passed| tally.watch(&passed));
                print!("{name:6} {round_trip:7} ms {:2} % ", loss / 10_000);
                tally.print(minutes.as_secs_f64());
            }
        }
    }
    println!();
}

/// Both sessions and the simulated network between them.
fn times() {
    let minute = Duration::from_secs(60);
    println!("time for each packet with commands, sent and received, round trip 20 ms (ns)");
    println!(
        "piece  loss  without  with journals  median of the ratios  allocations, with journals"
    );
    for (name, piece) in [("piano", piano(1, minute)), ("faders", faders(1, minute))] {
        // What is played at one moment shares a packet.
        let packets = piece.chunk_by(|(a, _), (b, _)| a == b).count();
        for loss in [0, 50_000] {
            let mut taken = 0;
            let mut rounds = Vec::new();
            for _ in 0..=ROUNDS {
                rounds.push([JournalPolicy::Off, JournalPolicy::Full].map(|policy| {
                    let mut duo = Duo::new(policy, Duration::from_millis(10));
                    duo.lose(loss);
                    let before = allocations();
                    let start = Instant::now();
                    play(&mut duo, &piece, &mut |_| {});
                    let time = start.elapsed();
                    taken = allocations() - before;
                    time.as_secs_f64() * 1e9 / packets as f64
                }));
            }
            // In the first round caches and buffers find their size.
            rounds.remove(0);
            let middle = |of: &dyn Fn(&[f64; 2]) -> f64| {
                let mut numbers: Vec<f64> = rounds.iter().map(of).collect();
                numbers.sort_by(f64::total_cmp);
                numbers[numbers.len() / 2]
            };
            println!(
                "{name:6} {:2} %  {:7.0}  {:13.0}  {:19.2}  {taken} in {packets} packets",
                loss / 10_000,
                middle(&|it| it[0]),
                middle(&|it| it[1]),
                middle(&|it| it[1] / it[0]),
            );
        }
    }
    println!();
}

fn memory() {
    println!("memory in octets: blocks held, and size of the value itself");
    let print = |what: &str, held: isize, value: usize| {
        println!("{what:52} {held:8} in blocks, {value:5}");
    };
    let recorder = |rounds, settled| {
        let mut recorder = Recorder::new(RecorderConfig::default(), SeqNum(0));
        let mut out = [0; 1024];
        for n in 0..rounds {
            let at = RtpTimestamp(n * 50);
            recorder.write(at, Form::Full, &mut out).unwrap();
            for message in studio(n) {
                recorder.record(at, message.as_message());
            }
            recorder.end_packet();
            recorder.acknowledge(SeqNum(n.wrapping_sub(8) as u16));
        }
        if settled {
            recorder.acknowledge(SeqNum(rounds as u16 - 1));
        }
        recorder
    };
    let repairer = |rounds| {
        let mut repairer = Repairer::new(RepairerConfig::default());
        let mut arrival = Arrival::First;
        for n in 0..rounds {
            let at = RtpTimestamp(n * 50);
            repairer.begin(SeqNum(n as u16), at, arrival);
            arrival = Arrival::InOrder;
            for message in studio(n) {
                repairer.observe(at, message.as_message());
            }
        }
        repairer
    };
    for (what, rounds) in [("new", 0), ("one channel", 1), ("16 busy channels", 10_000)] {
        let held = held_by(recorder(rounds, rounds > 0));
        print(&format!("recorder, {what}"), held, size_of::<Recorder>());
    }
    for (what, rounds) in [("new", 0), ("one channel", 1), ("16 busy channels", 10_000)] {
        let held = held_by(repairer(rounds));
        print(&format!("repairer, {what}"), held, size_of::<Repairer>());
    }
    let empty = held_by(Session::new(Config::new("a"), 1, Time::ZERO).unwrap());
    print("session without participants", empty, size_of::<Session>());
    const MANY: u16 = 64;
    let mut session = Session::new(Config::new("a"), 1, Time::ZERO).unwrap();
    for n in 0..MANY {
        let peer = ScriptedPeer::new(n);
        peer.join(&mut session, Time::ZERO);
        peer.synchronise(&mut session, Time::ZERO);
    }
    let each = (held_by(session) - empty) / MANY as isize;
    print("each of 64 idle participants, journals auto", each, 0);
    for (name, policy) in [("off", JournalPolicy::Off), ("auto", JournalPolicy::Auto)] {
        let duo = Duo::new(policy, Duration::from_millis(10));
        let [session, _] = duo.sessions;
        let held = held_by(session);
        print(
            &format!("session with an idle participant, journals {name}"),
            held,
            size_of::<Session>(),
        );
        let mut duo = Duo::new(policy, Duration::from_millis(10));
        busy(&mut duo);
        let [session, _] = duo.sessions;
        let held = held_by(session);
        print(
            &format!("the same, 16 busy channels both ways, {name}"),
            held,
            size_of::<Session>(),
        );
    }
}

/// All kinds of messages on all channels both ways, with losses, and now and then a system
/// exclusive message.
fn busy(duo: &mut Duo) {
    const ROUNDS: u32 = 20_000;
    duo.lose(50_000);
    let data = [0x55; 40];
    let sysex = Message::from(SysEx::new(&data).unwrap());
    for n in 0..ROUNDS {
        for side in [0, 1] {
            for message in studio(n + 7 * side as u32) {
                duo.send(side, message.as_message());
            }
            if n.is_multiple_of(100) {
                duo.send(side, sysex);
            }
        }
        let next = duo.now + Duration::from_millis(5);
        duo.run_until(next, &mut |_| {});
    }
    duo.lose(0);
    let end = duo.now + Duration::from_secs(2);
    duo.run_until(end, &mut |_| {});
}

/// What is given back with it.
fn held_by<T>(value: T) -> isize {
    let before = live();
    drop(value);
    before - live()
}
