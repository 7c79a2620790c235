//! One framed message after another through `Message::parse`, and through midly's
//! `LiveEvent::parse` as a measure.

#![allow(missing_docs, reason = "the macros of criterion have none")]

use core::hint::black_box;
use core::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use midly::live::LiveEvent;
use netmidi_message::Message;
use netmidi_testkit::Stream;

fn message_parse(c: &mut Criterion) {
    let stream = Stream::with_octets(1, 10_000_000);
    // One after another in one allocation, as they would be in a datagram.
    let mut octets = Vec::new();
    for message in &stream.messages {
        message.as_message().encode_to(&mut octets);
    }
    let mut rest = &octets[..];
    let frames: Vec<&[u8]> = stream
        .messages
        .iter()
        .map(|message| rest.split_off(..message.as_message().encoded_len()))
        .map(|frame| frame.expect("the octets of one message"))
        .collect();

    let mut group = c.benchmark_group("message_parse");
    group.throughput(Throughput::Elements(frames.len() as u64));
    group.sample_size(20);
    group.measurement_time(Duration::from_secs(3));
    group.warm_up_time(Duration::from_secs(1));
    group.bench_function("netmidi", |b| {
        b.iter(|| {
            let mut count = 0;
            for frame in &frames {
                if let Ok(message) = Message::parse(frame) {
                    black_box(&message);
                    count += 1;
                }
            }
            assert_eq!(count, frames.len());
        });
    });
    group.bench_function("midly", |b| {
        b.iter(|| {
            let mut count = 0;
            for frame in &frames {
                if let Ok(event) = LiveEvent::parse(frame) {
                    black_box(&event);
                    count += 1;
                }
            }
            assert_eq!(count, frames.len());
        });
    });
    group.finish();
}

criterion_group!(benches, message_parse);
criterion_main!(benches);
