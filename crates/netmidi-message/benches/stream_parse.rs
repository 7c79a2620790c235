//! Ten million octets of mixed MIDI through `StreamParser`, and through midly's `MidiStream` as a
//! measure: both hand typed messages to a sink.

#![allow(missing_docs, reason = "the macros of criterion have none")]

use core::hint::black_box;
use core::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use midly::stream::MidiStream;
use netmidi_message::{Dialect, StreamEvent, StreamParser};
use netmidi_testkit::Stream;

fn ours(parser: &mut StreamParser<netmidi_message::HeapBuffer>, bytes: &[u8], count: &mut u64) {
    parser.feed(bytes, |event| {
        if let StreamEvent::Message(message) = event {
            black_box(&message);
            *count += 1;
        }
    });
}

fn midly(stream: &mut MidiStream, bytes: &[u8], count: &mut u64) {
    stream.feed(bytes, |event| {
        black_box(&event);
        *count += 1;
    });
}

fn stream_parse(c: &mut Criterion) {
    let stream = Stream::with_octets(1, 10_000_000);
    let bytes = &stream.octets[..];

    let mut group = c.benchmark_group("stream_parse");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.sample_size(20);
    group.measurement_time(Duration::from_secs(3));
    group.warm_up_time(Duration::from_secs(1));
    for (size, name) in [(bytes.len(), "whole"), (256, "in 256s")] {
        group.bench_function(format!("netmidi {name}"), |b| {
            b.iter(|| {
                let mut parser = StreamParser::new();
                let mut count = 0;
                for piece in bytes.chunks(size) {
                    ours(&mut parser, piece, &mut count);
                }
                assert_eq!(count, stream.messages.len() as u64);
            });
        });
        group.bench_function(format!("midly {name}"), |b| {
            b.iter(|| {
                let mut parser = MidiStream::new();
                let mut count = 0;
                for piece in bytes.chunks(size) {
                    midly(&mut parser, piece, &mut count);
                }
                // It keeps the last system common message until the next status.
                assert!(count.abs_diff(stream.messages.len() as u64) <= 1);
            });
        });
    }
    group.bench_function("netmidi whole, mido dialect", |b| {
        b.iter(|| {
            let mut parser = StreamParser::new().dialect(Dialect::Mido);
            let mut count = 0;
            ours(&mut parser, bytes, &mut count);
            black_box(count)
        });
    });
    group.finish();
}

criterion_group!(benches, stream_parse);
criterion_main!(benches);
