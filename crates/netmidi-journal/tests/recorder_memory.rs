//! Memory of the recorder: what it takes, and that it has a bound.

#![cfg(feature = "alloc")]
#![allow(unsafe_code, reason = "an allocator that counts has to be one")]
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use std::alloc::System;

use netmidi_journal::{Form, Recorder, RecorderConfig};
use netmidi_message::Message;
use netmidi_wire::{RtpTimestamp, SeqNum};

/// Counts what the current thread does; tests run side by side.
struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

fn count(octets: isize) {
    // Not there any more while a thread ends.
    let _ = LIVE.try_with(|cell| cell.set(cell.get() + octets));
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const NOW: RtpTimestamp = RtpTimestamp(0);
/// Octets for a journal, in datagrams of the usual size.
const ROOM: usize = 700;

/// A recorder, and the number of its next packet.
struct Sender {
    recorder: Recorder,
    seq: SeqNum,
    before: isize,
}

impl Sender {
    fn new(config: RecorderConfig) -> Self {
        let before = LIVE.get();
        Self {
            recorder: Recorder::new(config, SeqNum(0)),
            seq: SeqNum(0),
            before,
        }
    }

    /// A packet with a journal in so many octets, and this list. Returns whether the journal was
    /// complete.
    fn packet<'a>(&mut self, room: usize, list: impl IntoIterator<Item = &'a [u8]>) -> bool {
        let mut out = [0; 8_192];
        let written = self.recorder.write(NOW, Form::Full, &mut out[..room]);
        for octets in list {
            self.recorder.record(NOW, Message::parse(octets).unwrap());
        }
        self.recorder.end_packet();
        self.seq = self.seq.next();
        written.unwrap().complete
    }

    fn acknowledge(&mut self) -> bool {
        let last = self.seq.wrapping_add(u16::MAX);
        self.recorder.acknowledge(last)
    }

    /// Octets that it holds beside its own.
    fn held(&self) -> isize {
        LIVE.get() - self.before
    }
}

fn enhanced(is_enhanced: bool) -> RecorderConfig {
    let mut config = RecorderConfig::default();
    config.enhanced = is_enhanced;
    config
}

/// What a busy channel has: 30 notes that were struck, some let go and some struck twice, with their
/// pressure, ten controllers, a parameter of each kind, a program with its bank, wheel and pressure.
fn busy_channel(channel: u8) -> Vec<Vec<[u8; 3]>> {
    let mut packets: Vec<_> = (0..30)
        .map(|n| {
            let key = 30 + n * 3;
            let mut list = vec![[0x90 | channel, key, 100], [0xA0 | channel, key, n]];
            match n % 6 {
                0 | 1 => list.push([0x80 | channel, key, 30]),
                2 => list.push([0x90 | channel, key, 90]),
                _ => {}
            }
            list
        })
        .collect();
    let controls = [0, 32, 1, 7, 10, 11, 64, 66, 74, 91];
    packets.push(controls.map(|it| [0xB0 | channel, it, 70]).to_vec());
    let parameters = [
        (101, 0),
        (100, 1),
        (6, 64),
        (38, 3),
        (99, 1),
        (98, 8),
        (6, 3),
        (96, 0),
    ];
    packets.push(
        parameters
            .map(|(number, value)| [0xB0 | channel, number, value])
            .to_vec(),
    );
    packets.push(vec![[0xE0 | channel, 5, 6]]);
    packets
}

/// 16 busy channels, of which nothing is acknowledged.
fn busy(config: RecorderConfig) -> Sender {
    let mut sender = Sender::new(config);
    for channel in 0..16 {
        for list in busy_channel(channel) {
            sender.packet(ROOM, list.iter().map(<[u8; 3]>::as_slice));
        }
        let short = [[0xC0 | channel, 5], [0xD0 | channel, 6]];
        sender.packet(ROOM, short.iter().map(<[u8; 2]>::as_slice));
    }
    assert!(!sender.packet(ROOM, []));
    sender
}

#[test]
fn nothing_is_held_before_it_is_needed() {
    let mut sender = Sender::new(RecorderConfig::default());
    for n in 0..1_000 {
        assert!(sender.packet(ROOM, []));
        if n % 10 == 0 {
            sender.acknowledge();
        }
    }
    assert_eq!(sender.held(), 0);
    assert!(size_of::<Recorder>() <= 352);
}

#[test]
fn a_channel_takes_what_is_in_it() {
    let mut sender = Sender::new(RecorderConfig::default());
    sender.packet(ROOM, [&[0x90, 60, 100][..]]);
    sender.packet(ROOM, [&[0x80, 60, 64][..]]);
    let held = sender.held();
    assert!(held <= 400, "{held}");
    for channel in 0..16 {
        sender.packet(ROOM, [&[0x90 | channel, 60, 100][..]]);
        sender.packet(ROOM, [&[0x80 | channel, 60, 64][..]]);
    }
    let held = sender.held();
    assert!(held <= 16 * 400, "{held}");
}

#[test]
fn busy_channels_take_little() {
    let sender = busy(RecorderConfig::default());
    let held = sender.held();
    println!("16 busy channels: {held} octets");
    assert!(held <= 24 * 1_024, "{held}");
    let held = busy(enhanced(true)).held();
    println!("16 busy channels, enhanced: {held} octets");
    assert!(held <= 28 * 1_024, "{held}");
}

/// The same channels again and again, everything acknowledged after a while: no more than once.
#[test]
fn what_was_acknowledged_makes_room() {
    let mut sender = busy(RecorderConfig::default());
    let mut held = 0;
    for round in 0..20 {
        for channel in 0..16 {
            for list in busy_channel(channel) {
                // Every key has its turn.
                let list: Vec<_> = list
                    .into_iter()
                    .map(|[status, key, value]| match status & 0xF0 {
                        0xB0 => [status, key, value],
                        _ => [status, (key + round) % 128, value],
                    })
                    .collect();
                sender.packet(ROOM, list.iter().map(<[u8; 3]>::as_slice));
            }
            // Note-ons without a note-off are counted.
            sender.packet(ROOM, [&[0xB0 | channel, 123, 0][..]]);
            assert!(sender.acknowledge());
        }
        if round == 0 {
            held = sender.held();
        }
    }
    let more = sender.held() - held;
    assert!(held <= 28 * 1_024 && more == 0, "{held}, {more}");
}

#[test]
fn who_rests_takes_little() {
    // All that a piano has left: nothing.
    let mut sender = Sender::new(RecorderConfig::default());
    for n in 0..1_000_u16 {
        let key = (n % 88) as u8 + 20;
        for octets in [[0x90, key, 100], [0xE0, 0, key], [0x80, key, 20]] {
            sender.packet(ROOM, [&octets[..]]);
        }
        if n % 50 == 0 {
            sender.acknowledge();
        }
    }
    sender.packet(ROOM, []);
    assert!(sender.acknowledge() && sender.recorder.is_settled());
    sender.recorder.shrink();
    assert_eq!(sender.held(), 0);

    // Of 16 busy channels what the logs of later commands build on.
    let mut sender = busy(RecorderConfig::default());
    let held = sender.held();
    let mut packets = 0;
    while !sender.recorder.is_settled() {
        sender.packet(8_000, []);
        sender.acknowledge();
        packets += 1;
        assert!(packets < 10);
    }
    sender.recorder.shrink();
    let left = sender.held();
    println!("16 busy channels: {held} octets, {left} at rest");
    assert!(left <= 16 * 512, "{left}");
}

/// Everything that 16 channels and the system can hold, and a journal that holds a part of it.
#[test]
fn there_is_a_bound() {
    for is_enhanced in [false, true] {
        let mut sender = Sender::new(enhanced(is_enhanced));
        let mut most = 0;
        for round in 0..2_u8 {
            for key in 0..128_u8 {
                for channel in 0..16 {
                    let list = [
                        // Stacked, and those of the last round struck after being let go.
                        [0x90 | channel, key, 1],
                        [0x90 | channel, key, 1],
                        [0x90 | channel, key, 1],
                        [0x80 | channel, key, 3],
                        [0xA0 | channel, key, 9],
                        [0xB0 | channel, key, 3],
                        [0xB0 | channel, 99, round],
                        [0xB0 | channel, 98, key],
                        [0xB0 | channel, 6, 1],
                        [0xB0 | channel, 38, 1],
                        [0xB0 | channel, 96, 1],
                    ];
                    let short = [[0xC0 | channel, 5], [0xD0 | channel, 6]];
                    let list = list.iter().map(<[u8; 3]>::as_slice);
                    for octets in list.chain(short.iter().map(<[u8; 2]>::as_slice)) {
                        let message = Message::parse(octets).unwrap();
                        sender.recorder.record(NOW, message);
                    }
                }
                let room = if key % 2 == 0 { ROOM } else { 8_000 };
                sender.packet(room, []);
                let data = [key; 600];
                let (seq, recorder) = (sender.seq, &mut sender.recorder);
                recorder.record_sysex(NOW, &data, 0..30, key % 3 > 0);
                assert!(!recorder.acknowledge(seq));
                let long = [&[0xF4][..], &[1; 64]].concat();
                sender.packet(ROOM, [&long[..], &[0xF5, 1], &[0xF3, 1], &[0xF6], &[0xF9]]);
            }
            most = most.max(sender.held());
        }
        println!("all that there is, enhanced {is_enhanced}: {most} octets");
        assert!(most <= 160 * 1_024, "{most}");
    }
}
