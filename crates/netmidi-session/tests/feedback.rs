//! Receiver feedback: what we tell a peer of what arrived, and what its feedback does.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

mod stand;

use netmidi_message::Message;
use netmidi_session::{JournalPolicy, LocalPort, Time};
use netmidi_testkit::ScriptedPeer;
use netmidi_wire::{Feedback, RtpTimestamp, SeqNum};
use stand::{Stand, hex};

/// When feedback was sent and about which packet, both counted from a beginning.
fn told(stand: &mut Stand, since: u64, first: SeqNum) -> Vec<(u64, i16)> {
    let ssrc = format!("{:08x}", stand.session.ssrc().0);
    stand
        .feedback()
        .into_iter()
        .map(|(at, octets)| {
            assert_eq!(octets.len(), 16);
            assert_eq!(octets[..8], ssrc, "ours");
            assert_eq!(octets[12..], *"0000", "the lower half");
            let seq = SeqNum(u16::from_str_radix(&octets[8..12], 16).unwrap());
            (at - since, seq.distance_from(first))
        })
        .collect()
}

#[test]
fn feedback_has_the_number_in_the_upper_half_and_0_below() {
    let mut stand = Stand::ready(|_| {});
    stand.peer.seq = SeqNum(0xABCD);
    stand.journal("01f8");
    let ssrc = format!("{:08x}", stand.session.ssrc().0);
    assert_eq!(stand.feedback(), [(0, format!("{ssrc}abcd0000"))]);
    assert_eq!(stand.stats().feedback_sent, 1);
}

#[test]
fn nothing_is_told_before_the_first_packet_arrived() {
    let mut stand = Stand::ready(|_| {});
    stand.send(&["903c64"]);
    stand.pass(50_000);
    // Nor of what is no packet of this peer.
    let seq = stand.peer.seq;
    stand.packet(seq, "03903c");
    stand.packet(seq, "");
    stand.peer.ssrc.0 ^= 1;
    stand.packet(seq, "01f8");
    stand.pass(1000);
    assert_eq!(stand.feedback(), []);
    stand.peer.ssrc.0 ^= 1;
    stand.packet(seq, "01f8");
    assert_eq!(stand.feedback().len(), 1);
}

#[test]
fn the_first_packet_is_told_at_once_then_every_20_ms_and_the_last_of_all() {
    let mut stand = Stand::ready(|_| {});
    let first = stand.peer.seq;
    for _ in 0..11 {
        stand.journal("01f8");
        stand.pass(5);
    }
    stand.pass(1000);
    // The eleventh came 50 ms after the first.
    assert_eq!(
        told(&mut stand, 0, first),
        [(0, 0), (20, 3), (40, 7), (60, 10)]
    );
    // Nothing new, nothing told.
    stand.packet_at(first, RtpTimestamp(100_000), "01f8");
    assert_eq!(stand.stats().duplicates, 1);
    stand.pass(10_000);
    assert_eq!(stand.feedback(), []);
    let seq = stand.peer.seq;
    stand.journal("01f8");
    assert_eq!(
        told(&mut stand, 11_055, seq),
        [(0, 0)],
        "at once after a pause"
    );
}

#[test]
fn a_loss_is_told_at_once() {
    let mut stand = Stand::ready(|_| {});
    let first = stand.peer.seq;
    stand.journal("01f8");
    stand.pass(5);
    stand.lose(2);
    stand.journal("01f8");
    stand.pass(5);
    stand.journal("01f8");
    stand.pass(100);
    assert_eq!(told(&mut stand, 0, first), [(0, 0), (5, 3), (25, 4)]);
}

#[test]
fn a_peer_that_begins_anew_is_told_at_once() {
    let mut stand = Stand::ready(|_| {});
    stand.journal("01f8");
    stand.feedback();
    stand.pass(5);
    stand.lose(20_000);
    let first = stand.peer.seq;
    stand.journal("01f8");
    stand.journal("01f8");
    assert_eq!(told(&mut stand, 5, first), [(0, 1)]);
    stand.pass(100);
    assert_eq!(stand.feedback(), []);
}

#[test]
fn every_part_of_a_long_sysex_is_told_at_once() {
    let mut stand = Stand::ready(|_| {});
    let first = stand.peer.seq;
    for payload in ["03f001f0", "03f702f0", "03f703f0", "03f704f7", "01f8"] {
        stand.journal(payload);
        stand.pass(1);
    }
    stand.pass(100);
    assert_eq!(
        told(&mut stand, 0, first),
        [(0, 0), (1, 1), (2, 2), (3, 3), (23, 4)]
    );
    // A short one is like any other message.
    stand.journal("01f8");
    stand.journal("03f001f7");
    stand.pass(100);
    assert_eq!(told(&mut stand, 105, first), [(0, 5), (20, 6)]);
}

#[test]
fn feedback_goes_over_the_end_of_the_numbers() {
    let mut stand = Stand::ready(|_| {});
    stand.peer.seq = SeqNum(65_535);
    stand.journal("01f8");
    stand.pass(100);
    stand.journal("01f8");
    assert_eq!(told(&mut stand, 0, SeqNum(65_535)), [(0, 0), (100, 1)]);
}

#[test]
fn a_packet_that_is_held_back_is_not_told() {
    let mut stand = Stand::ready(|_| {});
    stand.journal("01f8");
    stand.feedback();
    stand.lose(5000);
    stand.journal("01f8");
    stand.pass(1000);
    assert_eq!(stand.feedback(), []);
}

#[test]
fn an_acknowledgement_moves_the_checkpoint_and_takes_out_what_is_before_it() {
    let mut stand = Stand::proven(|_| {});
    for message in ["903c64", "b00740", "c005"] {
        stand.send(&[message]);
    }
    let sent = stand.midi();
    let [note, volume, program] = [0, 1, 2].map(|n: usize| sent[n].1);
    // P, C and N: from the note on.
    let expected = format!("42c00520{}000a4800074081f0bce4", hex(note));
    assert_eq!(sent[2].2, expected);
    stand.acknowledge(note);
    stand.send(&["d010"]);
    let (_, pressure, payload) = stand.midi().pop().unwrap();
    let expected = format!("42d01020{}0009c0050000808740", hex(volume));
    assert_eq!(payload, expected, "P and C are left");
    stand.acknowledge(program);
    stand.send(&["d011"]);
    let (.., payload) = stand.midi().pop().unwrap();
    let expected = format!("42d01120{}00040210", hex(pressure));
    assert_eq!(payload, expected, "T is left");
}

#[test]
fn feedback_that_makes_no_sense_changes_nothing() {
    let mut stand = Stand::proven(|_| {});
    stand.send(&["903c64"]);
    let (since, note, _) = stand.midi().pop().unwrap();
    let ignored = [
        // Not sent yet; long ago; told before.
        (note.next().0, 0),
        (note.wrapping_add(20_000).0, 0),
        (note.wrapping_add(40_000).0, 0),
        (note.0.wrapping_sub(1), 0),
        // This one has shown that it uses the upper half.
        (0, note.0),
        (note.next().0, note.0),
    ];
    for (upper, lower) in ignored {
        let before = stand.stats().feedback_ignored;
        stand.rs(upper, lower);
        assert_eq!(
            stand.stats().feedback_ignored,
            before + 1,
            "{upper} {lower}"
        );
    }
    stand.pass(250);
    assert_eq!(stand.times(since), [25, 100, 200]);
    stand.send(&["f8"]);
    let (.., payload) = stand.midi().pop().unwrap();
    assert_eq!(payload[6..10], hex(note), "{payload}");
}

#[test]
fn feedback_before_anything_was_sent_is_ignored() {
    let mut stand = Stand::joined(|_| {});
    for upper in [0, 1, 77, 40_000, 65_535] {
        stand.rs(upper, 0);
        stand.rs(0, upper);
    }
    assert_eq!(stand.stats().feedback_ignored, 10);
    assert_eq!(stand.stats().feedback_received, 10);
}

#[test]
fn nobody_else_can_acknowledge() {
    let mut stand = Stand::proven(|_| {});
    let other = ScriptedPeer::new(2);
    let id = other.join(&mut stand.session, stand.now);
    stand.send(&["903c64"]);
    let (since, note, _) = stand.midi().pop().unwrap();
    let (now, control) = (stand.now, LocalPort::control(stand.peer.pair));
    let mut rs = |ssrc, from: &str| {
        let octets = Feedback::new(ssrc, note).to_vec();
        let from = from.parse().unwrap();
        stand.session.handle_datagram(now, control, from, &octets);
    };
    // Another participant; a stranger with the identity of ours; another port of its host.
    rs(other.ssrc, &other.control.to_string());
    rs(stand.peer.ssrc, "198.51.100.1:5004");
    rs(stand.peer.ssrc, "192.0.2.7:9999");
    stand.pass(150);
    assert_eq!(stand.times(since), [25, 100]);
    let theirs = stand.session.participant_stats(id).unwrap();
    assert_eq!((theirs.feedback_received, theirs.feedback_ignored), (1, 1));
    assert_eq!(
        stand.stats().feedback_received,
        1,
        "the one of the introduction"
    );
}

#[test]
fn a_flood_of_feedback_brings_nothing_out() {
    let mut stand = Stand::proven(|_| {});
    stand.send(&["903c64"]);
    let (since, note, _) = stand.midi().pop().unwrap();
    for n in 0..10_000u16 {
        stand.rs(note.0.wrapping_add(n), n);
    }
    assert_eq!(stand.midi(), []);
    stand.pass(10_000);
    assert_eq!(stand.times(since), [0; 0]);
    assert_eq!(stand.feedback(), []);
}

#[test]
fn feedback_counts_while_we_are_leaving() {
    let mut stand = Stand::proven(|_| {});
    stand.send(&["903c64"]);
    let (_, note, _) = stand.midi().pop().unwrap();
    stand.session.leave(stand.now, stand.id).unwrap();
    stand.acknowledge(note);
    stand.pass(5000);
    assert_eq!(stand.midi(), [], "no guard");
    assert_eq!(stand.others().len(), 2, "two BY");
}

#[test]
fn feedback_of_a_peer_that_is_gone_is_nobodys() {
    let mut stand = Stand::proven(|_| {});
    stand.journal("01f8");
    stand.feedback();
    stand.journal("01f8");
    let bye = stand.peer.exchange(netmidi_wire::ExchangeKind::End);
    let local = LocalPort::control(stand.peer.pair);
    stand.now = stand.now + core::time::Duration::from_secs(3);
    let (now, from) = (stand.now, stand.peer.control);
    stand.session.handle_datagram(now, local, from, &bye);
    stand.feedback();
    stand.rs(5, 0);
    stand.pass(100_000);
    assert_eq!(stand.feedback(), []);
    assert_eq!(stand.session.poll_timeout(), None::<Time>);
    let note = Message::parse(&[0x90, 60, 100]).unwrap();
    assert!(stand.session.send(stand.now, stand.id, note).is_err());
}

#[test]
fn what_a_peer_has_told_to_have_is_counted_in_packets() {
    // Without journals as well: what arrives is told all the same.
    for policy in [JournalPolicy::Full, JournalPolicy::Off] {
        let mut stand = Stand::introduced(|config| config.journal = policy);
        let outgoing = |stand: &Stand| {
            let it = stand.session.outgoing(stand.id).unwrap();
            (it.packets, it.acknowledged)
        };
        let (before, nothing) = outgoing(&stand);
        assert_eq!(nothing, 0);
        for _ in 0..3 {
            stand.send(&["903c64"]);
        }
        assert_eq!(outgoing(&stand), (before + 3, 0));
        let sent = stand.midi();
        let [first, .., last] = sent.as_slice() else {
            panic!("{sent:?}");
        };
        // What was never sent is not believed.
        stand.acknowledge(SeqNum(last.1.0.wrapping_add(1)));
        stand.acknowledge(SeqNum(last.1.0.wrapping_sub(20_000)));
        assert_eq!(outgoing(&stand).1, 0);
        stand.acknowledge(first.1);
        assert_eq!(outgoing(&stand), (before + 3, before + 1));
        stand.acknowledge(last.1);
        assert_eq!(outgoing(&stand), (before + 3, before + 3));
        // One that was overtaken takes nothing back.
        stand.acknowledge(first.1);
        assert_eq!(outgoing(&stand), (before + 3, before + 3));
        // A guard, if there is one, is a packet more.
        stand.send(&["803c40"]);
        assert_eq!(outgoing(&stand), (before + 4, before + 3));
    }
}
