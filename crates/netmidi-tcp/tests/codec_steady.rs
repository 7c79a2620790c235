//! The codec allocates nothing for short messages, and keeps nothing of what it refuses.

use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicUsize, Ordering};
use std::alloc::System;

use bytes::BytesMut;
use netmidi_message::Dialect;
use netmidi_tcp::{Incoming, MidiCodec, Options, SysEx};
use netmidi_testkit::Stream;
use tokio_util::codec::{Decoder, Encoder};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is handed on to `System` as it came; counting touches no memory of others.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of this function, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above; every block comes from `System`.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above; every block comes from `System`.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Decodes `octets` piece by piece, and says how many messages that were.
fn decode(codec: &mut MidiCodec, buffer: &mut BytesMut, octets: &[u8], piece: usize) -> usize {
    let mut messages = 0;
    for piece in octets.chunks(piece) {
        buffer.extend_from_slice(piece);
        while let Ok(Some(item)) = codec.decode(buffer) {
            messages += usize::from(matches!(item, Incoming::Message(_)));
        }
    }
    messages
}

/// One test in this file only: a second would allocate in another thread meanwhile.
#[test]
fn nothing_is_allocated_in_the_steady_state() {
    let stream = Stream::with_messages(5, 50_000);
    for dialect in [Dialect::Din, Dialect::Mido] {
        let options = Options::new().dialect(dialect).sysex(SysEx::Refuse);
        let mut codec = MidiCodec::new(&options);
        let mut buffer = BytesMut::with_capacity(8192);
        decode(&mut codec, &mut buffer, &stream.octets, 2000);
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        let mut messages = 0;
        for piece in [1, 33, 2000] {
            messages += decode(&mut codec, &mut buffer, &stream.octets, piece);
        }
        assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), before);
        assert!(messages > 50_000, "{messages}");
    }

    // A system exclusive message of 64 MiB that nobody wants.
    let mut codec = MidiCodec::new(&Options::new().sysex(SysEx::Refuse));
    let mut buffer = BytesMut::with_capacity(8192);
    decode(&mut codec, &mut buffer, &[0xF0; 4096], 4096);
    let data = [1; 4096];
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..16_384 {
        assert_eq!(decode(&mut codec, &mut buffer, &data, 4096), 0);
    }
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), before);
    assert_eq!(decode(&mut codec, &mut buffer, &[0xF7, 0x90, 60, 64], 4), 1);

    // What never becomes a line, after the bound of the header.
    let mut codec = MidiCodec::default();
    decode(&mut codec, &mut buffer, &[b'x'; 8192], 4096);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..1000 {
        decode(&mut codec, &mut buffer, &data, 4096);
    }
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), before);

    // And sending.
    let mut out = BytesMut::with_capacity(1 << 20);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for message in &stream.messages {
        if !message.as_message().is_undefined() {
            codec.encode(message, &mut out).unwrap();
        }
    }
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), before);
}
