//! Memory of the repairer: none is taken per packet, and no sender can make it hold much.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic here is a failed test"
)]
#![allow(unsafe_code, reason = "an allocator that counts has to be one")]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use std::alloc::System;

use netmidi_journal::{Arrival, Journal, Repairer, RepairerConfig};
use netmidi_message::{Channel, ChannelMessage, Controller, Message, RealTime, U7, messages};
use netmidi_wire::{CommandSection, RtpTimestamp, SegmentKind, SeqNum, SysExSegment};

/// Counts what the current thread does; tests run side by side.
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

/// Allocations, and octets that are still held afterwards.
fn measure(work: impl FnOnce()) -> (u64, isize) {
    let before = (ALLOCATIONS.get(), LIVE.get());
    work();
    (ALLOCATIONS.get() - before.0, LIVE.get() - before.1)
}

#[test]
fn nothing_is_allocated_for_a_packet_once_a_channel_is_known() {
    let list = [
        &[0x90, 60, 100, 0x90, 62, 0, 0xB0, 7, 100, 0xB0, 64, 127][..],
        &[0xB0, 101, 0, 0xB0, 100, 0, 0xB0, 6, 2, 0xB0, 96, 0],
        &[
            0xC0, 5, 0xD0, 6, 0xE0, 0, 64, 0xA0, 60, 1, 0xF1, 0x35, 0xF8, 0xFA, 0xF3, 1,
        ],
        &[0xFF, 0xB0, 121, 0, 0xB0, 123, 0],
    ]
    .concat();
    let list: Vec<_> = messages(&list).collect();
    let chapters = [
        &[0x05, 0x82, 0x00][..],
        &[0x02, 0x07, 0x63, 0x40, 0x83, 0x7B, 0xC5],
        &[0x34, 0x06, 0x00, 0xC6, 0x02, 0x03],
        &[0x00, 0x51],
        &[0x01, 0x77, 0x3D, 0xE4, 0x08],
        &[0x00, 0x3D, 0x02],
        &[0x21],
        &[0x00, 0x3C, 0x11],
    ]
    .concat();
    let system = [
        &[0x70, 0x09, 0x07, 0x02][..],
        &[0x70, 0x00, 0x63],
        &[0x47, 0x21, 0x02, 0x03, 0x04],
    ]
    .concat();
    let journal = [
        &[0x60, 0, 0, 0x58, system.len() as u8 + 2][..],
        &system,
        &[0x00, chapters.len() as u8 + 3, 0xFF],
        &chapters,
    ]
    .concat();
    Journal::parse(&journal).unwrap();

    let mut repairer = Repairer::new(RepairerConfig::default());
    let section = CommandSection::parse(&[0], RtpTimestamp(0)).unwrap();
    let mut executed = 0;
    let mut packet = |seq: u16, arrival| {
        repairer.begin(SeqNum(seq), RtpTimestamp(seq.into()), arrival);
        if repairer.needs_repair() {
            let journal = Journal::salvage(&journal).unwrap();
            repairer.repair(Some(&journal), &section, &mut |_| executed += 1);
        }
        for message in &list {
            repairer.observe(RtpTimestamp(seq.into()), message.as_message());
        }
    };
    packet(0, Arrival::First);
    packet(2, Arrival::Gap);
    let (allocations, _) = measure(|| {
        for index in 1..200 {
            packet(index * 3 + 2, Arrival::Gap);
            packet(index * 3 + 3, Arrival::InOrder);
        }
    });
    assert_eq!(allocations, 0);
    assert!(executed > 200 * 10, "{executed}");
}

#[test]
fn nothing_is_held_before_it_is_needed() {
    let (_, held) = measure(|| {
        let mut repairer = Repairer::new(RepairerConfig::default());
        for seq in 0..100 {
            repairer.begin(SeqNum(seq), RtpTimestamp(0), Arrival::InOrder);
        }
        core::mem::forget(repairer);
    });
    assert_eq!(held, 0);
    assert!(size_of::<Repairer>() <= 256);
}

#[test]
fn the_memory_of_a_long_message_is_given_back() {
    let mut repairer = Repairer::new(RepairerConfig::default());
    let data = vec![1; 100_000];
    let (_, held) = measure(|| {
        repairer.begin(SeqNum(1), RtpTimestamp(0), Arrival::First);
        repairer.join(SysExSegment::new(SegmentKind::First, &data).unwrap());
        repairer.begin(SeqNum(2), RtpTimestamp(0), Arrival::InOrder);
        repairer.join(SysExSegment::new(SegmentKind::Last, &data).unwrap());
        repairer.begin(SeqNum(3), RtpTimestamp(0), Arrival::InOrder);
    });
    assert!(held < 10_000, "{held}");
}

/// Commands on one channel: 30 notes, ten controllers besides the bank, program, parameters of both
/// kinds, the wheel, and pressures of the channel and of each note.
fn busy(channel: u8) -> Vec<u8> {
    let mut octets = Vec::new();
    for note in 40..70 {
        octets.extend([0x90 | channel, note, 100, 0xA0 | channel, note, 50]);
        octets.extend([0x80 | channel, note, 64]);
    }
    for control in [1, 7, 10, 11, 33, 64, 66, 71, 74, 91] {
        octets.extend([0xB0 | channel, control, 99]);
    }
    octets.extend([
        0xB0 | channel,
        0,
        1,
        0xB0 | channel,
        32,
        2,
        0xC0 | channel,
        3,
    ]);
    for (kind, number) in [(101, 0), (101, 1), (101, 2), (99, 5), (99, 6), (99, 7)] {
        octets.extend([0xB0 | channel, kind, 0, 0xB0 | channel, kind - 1, number]);
        octets.extend([
            0xB0 | channel,
            6,
            64,
            0xB0 | channel,
            38,
            0,
            0xB0 | channel,
            96,
            0,
        ]);
    }
    octets.extend([0xB0 | channel, 101, 127, 0xB0 | channel, 100, 127]);
    octets.extend([0xE0 | channel, 1, 2, 0xD0 | channel, 3]);
    octets
}

/// Octets that are held after these commands.
fn held_after(octets: &[u8]) -> isize {
    let list: Vec<_> = messages(octets).collect();
    let mut repairer = Repairer::new(RepairerConfig::default());
    let (_, held) = measure(|| {
        repairer.begin(SeqNum(1), RtpTimestamp(0), Arrival::First);
        for message in &list {
            repairer.observe(RtpTimestamp(0), message.as_message());
        }
    });
    held
}

#[test]
fn a_busy_channel_takes_as_much_as_is_used_of_it() {
    let channels = (0..16).flat_map(busy).collect::<Vec<_>>();
    let held = held_after(&channels);
    assert!(held <= 16 * 1600, "{held}");
    // Notes and a pedal, and nothing else.
    let piano: Vec<u8> = (30..90)
        .flat_map(|note| [0x90, note, 100, 0x80, note, 64])
        .chain([0xB0, 64, 127])
        .collect();
    let held = held_after(&piano);
    assert!(held <= 1800, "{held}");
    let held = held_after(&[0x90, 60, 100]);
    assert!(held <= 600, "{held}");
    let held = held_after(&[0xF8, 0xFA, 0xF3, 1, 0xF1, 0]);
    assert!(held <= 600, "{held}");
}

#[test]
fn a_snapshot_takes_as_much_as_what_it_is_of() {
    let channels = (0..16).flat_map(busy).collect::<Vec<_>>();
    let list: Vec<_> = messages(&channels).collect();
    let mut repairer = Repairer::new(RepairerConfig::default());
    repairer.begin(SeqNum(1), RtpTimestamp(0), Arrival::First);
    for message in &list {
        repairer.observe(RtpTimestamp(0), message.as_message());
    }
    let mut snapshot = None;
    let (_, held) = measure(|| snapshot = Some(repairer.snapshot()));
    assert!(held <= 16 * 1600 + 600, "{held}");
    assert!(size_of_val(&snapshot) <= 256);
}

#[test]
fn no_sender_can_make_it_hold_much() {
    let mut repairer = Repairer::new(RepairerConfig::default());
    let (_, held) = measure(|| {
        for seq in 0..20_000_u16 {
            repairer.begin(SeqNum(seq), RtpTimestamp(0), Arrival::InOrder);
            let octets = seq.to_be_bytes().map(|it| it & 0x7F);
            let data = [octets.as_slice(), &[0x7D; 400]].concat();
            repairer.join(SysExSegment::new(SegmentKind::Whole, &data).unwrap());
            for channel in Channel::all() {
                let key = U7::from_low_bits(seq as u8);
                for (control, value) in [(99, seq >> 7), (98, seq), (6, 1), (key.get(), 1)] {
                    let control = Controller::new(control).unwrap();
                    let value = U7::from_low_bits(value as u8);
                    let message = ChannelMessage::control_change(channel, control, value);
                    repairer.observe(RtpTimestamp(0), message.into());
                }
                let on = ChannelMessage::note_on(channel, key.into(), U7::MAX);
                repairer.observe(RtpTimestamp(0), on.into());
                let pressure = ChannelMessage::poly_pressure(channel, key.into(), U7::MAX);
                repairer.observe(RtpTimestamp(0), pressure.into());
            }
            repairer.observe(RtpTimestamp(0), Message::from(RealTime::TimingClock));
        }
    });
    // 8 kB for each channel with all of its notes, controllers and 256 parameters.
    assert!(held < 140_000, "{held}");
}
