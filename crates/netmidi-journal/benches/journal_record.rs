//! What the sender's side of the journal costs for each packet: a report is taken, the journal is
//! written, and the packet's commands are recorded.
//!
//! There is no other journal to compare with, so the measure is the packet itself: written without
//! a journal, and with one.

#![allow(missing_docs, reason = "the macros of criterion have none")]
#![allow(clippy::indexing_slicing, reason = "a panic here is a failed bench")]

mod stream;

use core::hint::black_box;
use core::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

use crate::stream::{Script, Sender, push, writer};

/// Packets after which all buffers have their size.
const WARM_UP: u32 = 1_000;

impl<'a> Sender<'a> {
    /// One that has sent so many packets.
    fn after(script: &'a Script, packets: u32) -> Self {
        let mut sender = Self::new(script);
        for _ in 0..packets {
            sender.journal();
        }
        sender
    }

    /// The journal of the next packet alone; returns its length.
    fn journal(&mut self) -> usize {
        let (step, at) = self.turn();
        self.record(step, at)
    }

    /// The next packet without a journal; returns its length.
    fn plain_packet(&mut self, out: &mut [u8]) -> usize {
        let (step, at) = self.turn();
        let mut writer = writer(out, self.seq, at);
        self.seq = self.seq.next();
        push(&mut writer, step, at);
        writer.finish()
    }
}

/// One command of the chapter in each packet, acknowledged two packets later.
fn chapters(c: &mut Criterion) {
    let mut group = c.benchmark_group("record");
    for script in Script::chapters() {
        let mut sender = Sender::after(&script, WARM_UP);
        group.bench_function(format!("chapter {}", script.name), |b| {
            b.iter(|| black_box(sender.journal()));
        });
    }
    group.finish();
}

fn music(c: &mut Criterion) {
    let mut out = [0; 1024];
    for script in Script::music() {
        let mut group = c.benchmark_group(format!("record {}", script.name));
        let mut sender = Sender::after(&script, WARM_UP);
        group.bench_function("packet without a journal", |b| {
            b.iter(|| sender.plain_packet(black_box(&mut out)));
        });
        let mut sender = Sender::after(&script, WARM_UP);
        group.bench_function("packet with its journal", |b| {
            b.iter(|| sender.packet(black_box(&mut out)));
        });
        let mut sender = Sender::after(&script, WARM_UP);
        group.bench_function("journal alone", |b| {
            b.iter(|| black_box(sender.journal()));
        });
        group.finish();
    }
}

/// The same packets late in a session as early.
fn length(c: &mut Criterion) {
    let [piano, _] = Script::music();
    let mut group = c.benchmark_group("record piano, session length");
    for packets in [100, 10_000, 1_000_000] {
        let mut sender = Sender::after(&piano, packets);
        group.bench_function(format!("after {packets} packets"), |b| {
            b.iter(|| black_box(sender.journal()));
        });
    }
    group.finish();
}

/// What does change the cost: how much is unacknowledged.
fn unacknowledged(c: &mut Criterion) {
    let mut group = c.benchmark_group("record piano, unacknowledged");
    for packets in [1, 10, 100, 1000] {
        let [mut piano, _] = Script::music();
        for step in &mut piano.steps {
            step.acknowledged = Some(packets + 1);
        }
        let mut sender = Sender::after(&piano, 2 * WARM_UP);
        group.bench_function(format!("{packets} packets"), |b| {
            b.iter(|| black_box(sender.journal()));
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
    targets = chapters, music, length, unacknowledged
}
criterion_main!(benches);
