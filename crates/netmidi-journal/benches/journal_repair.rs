//! What the receiver's side of the journal costs for each packet: following what is played, and
//! after a loss parsing the journal and repairing.
//!
//! Times are per packet that arrives. There is no other journal to compare with, so the measure is
//! the packet itself: parsed and its commands looked at, without anything of the journal.

#![allow(missing_docs, reason = "the macros of criterion have none")]
#![allow(clippy::indexing_slicing, reason = "a panic here is a failed bench")]

mod stream;

use core::hint::black_box;
use core::time::Duration;
use std::time::Instant;

use criterion::{Bencher, Criterion, criterion_group, criterion_main};
use netmidi_journal::{Arrival, Journal, Repairer, RepairerConfig};
use netmidi_testkit::Rng;
use netmidi_wire::{Command, CommandSection, RtpHeader, RtpPacket};

use crate::stream::{Script, Sender};

/// Packets that are written before they are received; only receiving them is timed.
const BATCH: usize = 512;

/// Which packets are lost.
#[derive(Clone, Copy)]
enum Loss {
    None,
    /// Every packet that arrives ends a loss.
    EverySecond,
    FivePercent,
}

/// A sender and who receives from it.
struct Pair<'a> {
    sender: Sender<'a>,
    receiver: Receiver,
    loss: Loss,
    rng: Rng,
    packets: Vec<Vec<u8>>,
}

struct Receiver {
    repairer: Repairer,
    arrival: Arrival,
    played: u64,
}

impl<'a> Pair<'a> {
    /// After so many packets. The first one arrives always.
    fn after(script: &'a Script, loss: Loss, packets: usize) -> Self {
        let mut pair = Self {
            sender: Sender::new(script),
            receiver: Receiver {
                repairer: Repairer::new(RepairerConfig::default()),
                arrival: Arrival::First,
                played: 0,
            },
            loss: Loss::None,
            rng: Rng::new(1),
            packets: vec![vec![0; 1024]; BATCH],
        };
        let mut left = packets;
        while left > 0 {
            let some = left.min(BATCH);
            pair.batch(some, |receiver, packets| {
                packets.iter().for_each(|it| receiver.take_octets(it));
            });
            pair.loss = loss;
            left -= some;
        }
        pair
    }

    /// Some packets are sent, and those that arrive received.
    fn batch<T>(
        &mut self,
        packets: usize,
        receive: impl FnOnce(&mut Receiver, &[Option<&[u8]>]) -> T,
    ) -> T {
        let mut arriving = Vec::with_capacity(packets);
        for (n, out) in self.packets.iter_mut().take(packets).enumerate() {
            let len = self.sender.packet(out);
            let lost = match self.loss {
                Loss::None => false,
                Loss::EverySecond => n % 2 == 0,
                Loss::FivePercent => self.rng.percent(5),
            };
            arriving.push((!lost).then_some(&out[..len]));
        }
        receive(&mut self.receiver, &arriving)
    }

    /// Times `receive` for packets that arrive.
    fn bench(
        &mut self,
        b: &mut Bencher<'_>,
        receive: impl Fn(&mut Receiver, &[Option<&[u8]>]) -> Duration,
    ) {
        b.iter_custom(|iterations| {
            let mut time = Duration::ZERO;
            let mut received = 0;
            while received < iterations {
                time += self.batch(BATCH, |receiver, packets| {
                    received += packets.iter().flatten().count() as u64;
                    receive(receiver, packets)
                });
            }
            time.mul_f64(iterations as f64 / received as f64)
        });
    }
}

impl Receiver {
    fn take_octets(&mut self, octets: &Option<&[u8]>) {
        match octets.map(parse) {
            Some((header, section)) => self.take(header, &section),
            None => self.arrival = Arrival::Gap,
        }
    }

    fn take(&mut self, header: RtpHeader, section: &CommandSection<'_>) {
        let Self {
            repairer, played, ..
        } = self;
        repairer.begin(header.seq, header.timestamp, self.arrival);
        self.arrival = Arrival::InOrder;
        if repairer.needs_repair() {
            let journal = section.journal().and_then(|it| Journal::salvage(it).ok());
            repairer.repair(journal.as_ref(), section, &mut |message| {
                black_box(message);
                *played += 1;
            });
        }
        for timed in section.commands() {
            match timed.command {
                Some(Command::Message(message)) => repairer.observe(timed.timestamp, message),
                Some(Command::SysEx(segment)) => {
                    black_box(repairer.join(segment));
                }
                None => {}
            }
        }
    }
}

fn parse(octets: &[u8]) -> (RtpHeader, CommandSection<'_>) {
    let packet = RtpPacket::parse(octets).expect("a packet");
    let section = packet.command_section().expect("a list");
    (packet.header(), section)
}

/// The journal alone: packets are parsed already.
fn journals(receiver: &mut Receiver, packets: &[Option<&[u8]>]) -> Duration {
    let parsed: Vec<_> = packets.iter().map(|it| it.map(parse)).collect();
    let start = Instant::now();
    for packet in &parsed {
        match packet {
            Some((header, section)) => receiver.take(*header, section),
            None => receiver.arrival = Arrival::Gap,
        }
    }
    start.elapsed()
}

/// All that is done with a packet.
fn whole(receiver: &mut Receiver, packets: &[Option<&[u8]>]) -> Duration {
    let start = Instant::now();
    packets.iter().for_each(|it| receiver.take_octets(it));
    start.elapsed()
}

/// A receiver that does not care for journals.
fn plain(_: &mut Receiver, packets: &[Option<&[u8]>]) -> Duration {
    let start = Instant::now();
    for octets in packets.iter().flatten() {
        let (header, section) = parse(octets);
        black_box(header);
        section.commands().for_each(|it| {
            black_box(it);
        });
    }
    start.elapsed()
}

/// One command of the chapter in each packet, acknowledged two packets later.
fn chapters(c: &mut Criterion) {
    let losses = [
        ("no loss", Loss::None),
        ("after one lost", Loss::EverySecond),
    ];
    for (name, loss) in losses {
        let mut group = c.benchmark_group(format!("repair, {name}"));
        for script in Script::chapters() {
            let mut pair = Pair::after(&script, loss, 2 * BATCH);
            group.bench_function(format!("chapter {}", script.name), |b| {
                pair.bench(b, journals);
            });
        }
        group.finish();
    }
}

fn music(c: &mut Criterion) {
    for script in Script::music() {
        let mut group = c.benchmark_group(format!("receive {}", script.name));
        let mut pair = Pair::after(&script, Loss::None, 2 * BATCH);
        group.bench_function("parsed only", |b| pair.bench(b, plain));
        let losses = [
            ("no loss", Loss::None),
            ("5 % lost", Loss::FivePercent),
            ("every second lost", Loss::EverySecond),
        ];
        for (name, loss) in losses {
            let mut pair = Pair::after(&script, loss, 2 * BATCH);
            group.bench_function(name, |b| pair.bench(b, whole));
        }
        group.finish();
    }
}

/// The same packets late in a session as early.
fn length(c: &mut Criterion) {
    let [piano, _] = Script::music();
    let mut group = c.benchmark_group("receive piano, session length");
    for packets in [100, 10_000, 1_000_000] {
        let mut pair = Pair::after(&piano, Loss::EverySecond, packets);
        group.bench_function(format!("after {packets} packets"), |b| {
            pair.bench(b, journals);
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_millis(1500))
        .sample_size(50);
    targets = chapters, music, length
}
criterion_main!(benches);
