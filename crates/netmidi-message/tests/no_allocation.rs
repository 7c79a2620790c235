//! The stream parser allocates nothing, once its buffer has the size of the longest message.

use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicUsize, Ordering};
use std::alloc::System;

use netmidi_message::{ArrayBuffer, StreamParser};
use netmidi_testkit::Stream;

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

/// One test in this file only: a second would allocate in another thread meanwhile.
#[test]
fn nothing_is_allocated_per_message() {
    let stream = Stream::with_messages(5, 50_000);
    let mut messages = 0;

    let mut parser = StreamParser::with_buffer(ArrayBuffer::<2048>::new());
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for piece in stream.octets.chunks(33) {
        parser.feed(piece, |event| {
            messages += usize::from(event.message().is_some())
        });
    }
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), before);
    assert_eq!(messages, 50_000);

    // A buffer on the heap grows a few times, and then no more.
    let mut parser = StreamParser::new();
    for piece in stream.octets.chunks(33) {
        parser.feed(piece, |_| {});
    }
    let grown = ALLOCATIONS.load(Ordering::Relaxed);
    assert!((1..20).contains(&(grown - before)), "{}", grown - before);
    for piece in stream.octets.chunks(33) {
        parser.feed(piece, |_| {});
    }
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), grown);
}
