//! An allocator that counts what the current thread does; tests run side by side.

#![allow(unsafe_code, reason = "an allocator that counts has to be one")]
#![allow(
    dead_code,
    reason = "every test file takes the part of it that it needs"
)]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use std::alloc::System;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size().cast_signed());
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(0, -layout.size().cast_signed());
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(1, size.cast_signed() - layout.size().cast_signed());
        // SAFETY: the caller's promise, passed on.
        unsafe { System.realloc(block, layout, size) }
    }
}

fn count(allocations: u64, octets: isize) {
    // Not there any more while a thread ends.
    let _ = ALLOCATIONS.try_with(|cell| cell.set(cell.get() + allocations));
    let _ = LIVE.try_with(|cell| cell.set(cell.get() + octets));
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often memory was taken so far.
pub(crate) fn allocations() -> u64 {
    ALLOCATIONS.get()
}

/// How many octets are held.
pub(crate) fn live() -> isize {
    LIVE.get()
}
