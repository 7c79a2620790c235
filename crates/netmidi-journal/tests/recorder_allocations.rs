//! In the steady state a recorder takes no memory.

#![cfg(feature = "alloc")]
#![allow(unsafe_code, reason = "an allocator that counts has to be one")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic here is a failed test"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use netmidi_journal::{Form, Recorder, RecorderConfig};
use netmidi_message::{Message, SysEx};
use netmidi_wire::{RtpTimestamp, SeqNum};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is handed on to the allocator of the system.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|it| it.set(it.get() + 1));
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn nothing_is_allocated_once_every_kind_of_message_was_sent() {
    for room in [1_400, 90] {
        let mut recorder = Recorder::new(RecorderConfig::default(), SeqNum(65_000));
        run(&mut recorder, SeqNum(65_000), room);
        let before = ALLOCATIONS.with(Cell::get);
        run(&mut recorder, SeqNum(65_000).wrapping_add(2_000), room);
        assert_eq!(ALLOCATIONS.with(Cell::get), before);
        assert_eq!(recorder.overflows() > 0, room == 90);
    }
}

/// Sends 2,000 packets from `first` on with a bit of everything; every 20th is acknowledged.
fn run(recorder: &mut Recorder, first: SeqNum, room: usize) {
    let mut out = [0; 1_400];
    for number in 0..2_000_u32 {
        let now = RtpTimestamp(number * 10);
        let written = recorder.write(now, Form::Full, &mut out[..room]).unwrap();
        assert!(written.len <= room);
        let seven = |it: u32| (it & 0x7F) as u8;
        let channel = (number % 16) as u8;
        let value = seven(number * 7);
        let messages: [&[u8]; 9] = [
            &[0x90 | channel, value, 100],
            &[0x80 | channel, seven(number * 5), 3],
            &[0xB0 | channel, value, 1],
            &[0xB0 | channel, 98 + channel % 4, value],
            &[0xB0 | channel, 6, value],
            &[0xA0 | channel, value, 5],
            &[0xC0 | channel, value],
            &[0xF2, value, 0],
            &[0xF4, 1, 2, 3],
        ];
        for octets in messages {
            recorder.record(now, Message::parse(octets).unwrap());
        }
        let sysex = [0x7D, value];
        recorder.record(now, SysEx::new(&sysex).unwrap().into());
        if number % 700 == 0 {
            recorder.record(now, Message::parse(&[0xFF]).unwrap());
        }
        recorder.end_packet();
        if number % 20 == 0 {
            assert!(recorder.acknowledge(first.wrapping_add(number as u16)));
        }
    }
}
