//! System exclusive messages in segments: put together, and put right after a loss.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic here is a failed test"
)]

use netmidi_journal::{Arrival, Joined, Journal, Repair, Repairer, RepairerConfig};
use netmidi_message::{Message, RealTime, SysEx};
use netmidi_testkit::{from_hex, to_hex};
use netmidi_wire::{CommandSection, RtpTimestamp, SegmentKind, SeqNum, SysExSegment};

fn repairer(max_sysex: usize) -> Repairer {
    let mut config = RepairerConfig::default();
    config.max_sysex = max_sysex;
    let mut repairer = Repairer::new(config);
    repairer.begin(SeqNum(100), RtpTimestamp(0), Arrival::First);
    repairer
}

fn segment(kind: SegmentKind, data: &[u8]) -> SysExSegment<'_> {
    SysExSegment::new(kind, data).unwrap()
}

fn whole(data: &[u8]) -> Joined<'_> {
    Joined::Whole(SysEx::new(data).unwrap())
}

#[test]
fn segments_become_one_message() {
    let mut it = repairer(100);
    let partial = (Joined::Partial, false);
    assert_eq!(it.join(segment(SegmentKind::First, &[1, 2])), partial);
    assert_eq!(it.join(segment(SegmentKind::Middle, &[3])), partial);
    let message = (whole(&[1, 2, 3, 4]), false);
    assert_eq!(it.join(segment(SegmentKind::Last, &[4])), message);
    let ignored = (Joined::Ignored, false);
    assert_eq!(it.join(segment(SegmentKind::Last, &[4])), ignored);
    let message = (whole(&[]), false);
    assert_eq!(it.join(segment(SegmentKind::WholeDroppedEnd, &[])), message);
    it.join(segment(SegmentKind::First, &[5]));
    let message = (whole(&[5]), false);
    assert_eq!(it.join(segment(SegmentKind::LastDroppedEnd, &[])), message);
}

#[test]
fn a_message_is_cut_by_the_next() {
    let mut it = repairer(100);
    it.join(segment(SegmentKind::First, &[1, 2]));
    let cut = (Joined::Partial, true);
    assert_eq!(it.join(segment(SegmentKind::First, &[5])), cut);
    let message = (whole(&[9]), true);
    assert_eq!(it.join(segment(SegmentKind::Whole, &[9])), message);
    let ignored = (Joined::Ignored, false);
    assert_eq!(it.join(segment(SegmentKind::Last, &[])), ignored);
}

#[test]
fn a_cancelled_message_is_forgotten() {
    let mut it = repairer(100);
    it.join(segment(SegmentKind::First, &[1]));
    let abandoned = (Joined::Abandoned, false);
    assert_eq!(it.join(segment(SegmentKind::Cancel, &[])), abandoned);
    let ignored = (Joined::Ignored, false);
    assert_eq!(it.join(segment(SegmentKind::Last, &[2])), ignored);
    assert_eq!(it.join(segment(SegmentKind::Cancel, &[])), ignored);
}

#[test]
fn real_time_between_segments_changes_nothing() {
    let mut it = repairer(100);
    it.join(segment(SegmentKind::First, &[1]));
    for message in [RealTime::TimingClock, RealTime::Reset] {
        it.observe(RtpTimestamp(0), message.into());
    }
    assert_eq!(it.join(segment(SegmentKind::Last, &[2])).0, whole(&[1, 2]));
}

#[test]
fn the_bound_holds_exactly() {
    let mut it = repairer(4);
    it.join(segment(SegmentKind::First, &[1, 2]));
    let message = whole(&[1, 2, 3, 4]);
    assert_eq!(it.join(segment(SegmentKind::Last, &[3, 4])).0, message);
    it.join(segment(SegmentKind::First, &[1, 2]));
    let joined = it.join(segment(SegmentKind::Middle, &[3, 4, 5])).0;
    assert_eq!(joined, Joined::TooLong);
    assert_eq!(it.join(segment(SegmentKind::Last, &[6])).0, Joined::Ignored);
    let joined = it.join(segment(SegmentKind::Whole, &[0; 5])).0;
    assert_eq!(joined, Joined::TooLong);
}

/// The journal of a packet after `lost` lost ones: chapter X from packet 100 on.
fn repair(it: &mut Repairer, seq: u16, arrival: Arrival, logs: &str) -> (String, Repair) {
    let logs = from_hex(&logs.replace(' ', ""));
    let journal = [&[0x40, 0, 100, 4, logs.len() as u8 + 2][..], &logs].concat();
    let journal = Journal::salvage(&journal).unwrap();
    let list = CommandSection::parse(&[0], RtpTimestamp(0)).unwrap();
    it.begin(SeqNum(seq), RtpTimestamp(0), arrival);
    assert!(it.needs_repair());
    let mut said = Vec::new();
    let repair = it.repair(Some(&journal), &list, &mut |message| {
        said.push(to_hex(&message.to_vec()));
    });
    (said.join(" "), repair)
}

#[test]
fn a_lost_segment_is_put_in() {
    let mut it = repairer(100);
    it.join(segment(SegmentKind::First, &[0x7D, 1]));
    assert_eq!(repair(&mut it, 103, Arrival::Gap, "2c 01 7d0102 83").0, "");
    // The repair goes on, and what has come since agrees.
    it.join(segment(SegmentKind::Middle, &[4]));
    assert_eq!(
        repair(&mut it, 104, Arrival::InOrder, "2c 01 7d01020384").0,
        ""
    );
    let joined = it.join(segment(SegmentKind::Last, &[5])).0;
    assert_eq!(joined, whole(&[0x7D, 1, 2, 3, 4, 5]));
    assert_eq!(
        repair(&mut it, 105, Arrival::InOrder, "2f 01 7d0102030485").0,
        ""
    );
}

#[test]
fn a_lost_end_is_made_good() {
    for logs in ["2f 01 7d010283", "3f 01 01 010283"] {
        let mut it = repairer(100);
        it.join(segment(SegmentKind::First, &[0x7D, 1]));
        let (said, done) = repair(&mut it, 103, Arrival::Gap, logs);
        assert_eq!((&*said, done.sysex_lost), ("f07d010203f7", 0));
        assert_eq!(repair(&mut it, 104, Arrival::InOrder, logs).0, "");
        assert_eq!(it.join(segment(SegmentKind::Last, &[5])).0, Joined::Ignored);
    }
}

#[test]
fn a_message_without_its_beginning_is_lost_once() {
    let mut it = repairer(100);
    let (said, done) = repair(&mut it, 103, Arrival::Gap, "3c 01 05 0182");
    assert_eq!((&*said, done.sysex_lost), ("", 1));
    assert_eq!(
        it.join(segment(SegmentKind::Middle, &[3])).0,
        Joined::Partial
    );
    let (said, done) = repair(&mut it, 104, Arrival::InOrder, "3c 01 05 010283");
    assert_eq!((&*said, done.sysex_lost), ("", 0));
    assert_eq!(it.join(segment(SegmentKind::Last, &[4])).0, Joined::Ignored);
    let logs = "3f 01 05 01020384 2f 02 7d81";
    let (said, done) = repair(&mut it, 105, Arrival::InOrder, logs);
    assert_eq!((&*said, done.sysex_lost), ("f07d01f7", 0));
}

#[test]
fn a_message_in_progress_that_nothing_covers_is_forgotten() {
    let list = CommandSection::parse(&[0], RtpTimestamp(0)).unwrap();
    let mut it = repairer(100);
    it.join(segment(SegmentKind::First, &[0x7D, 1]));
    it.begin(SeqNum(102), RtpTimestamp(0), Arrival::Gap);
    let done = it.repair(None, &list, &mut |_| {});
    assert_eq!((done.uncovered, done.sysex_lost), (true, 1));
    assert_eq!(it.join(segment(SegmentKind::Last, &[5])).0, Joined::Ignored);
}

#[test]
fn a_log_that_is_too_long_is_lost() {
    let mut it = repairer(3);
    let logs = "2f 01 7d010283 2f 02 7d81";
    let (said, done) = repair(&mut it, 103, Arrival::Gap, logs);
    assert_eq!((&*said, done.sysex_lost), ("f07d01f7", 1));
    let (said, done) = repair(&mut it, 104, Arrival::InOrder, logs);
    assert_eq!((&*said, done), ("", Repair::default()));
}

#[test]
fn what_was_forgotten_for_want_of_room_is_not_repeated() {
    let mut it = repairer(100);
    for number in 0..300_u16 {
        let data = [0x7D, (number >> 7) as u8, number as u8 & 0x7F];
        it.join(segment(SegmentKind::Whole, &data));
    }
    // The first is remembered no more, the last is.
    let logs = "0f 7d0080 0f 7d02ab 0f 7d0300".replace("0f 7d0300", "0f 7d03 80");
    assert_eq!(repair(&mut it, 103, Arrival::Gap, &logs).0, "f07d0300f7");
}

#[test]
fn a_message_in_segments_counts_for_the_other_models() {
    // GM on puts the channels back; a full frame is chapter F's.
    let mut it = repairer(100);
    let pedal = Message::parse(&[0xB0, 64, 127]).unwrap();
    it.observe(RtpTimestamp(0), pedal);
    it.join(segment(SegmentKind::First, &[0x7E, 0x7F]));
    it.join(segment(SegmentKind::Last, &[9, 1]));
    assert_eq!(it.silence(&mut |_| {}), 0);
}
