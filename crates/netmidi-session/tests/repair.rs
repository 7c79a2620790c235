//! What a lost, late or damaged packet does to what the application hears.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

mod stand;

use netmidi_message::Message;
use netmidi_session::{Event, LocalPort};
use netmidi_testkit::{ScriptedPeer, events, to_hex, vectors};
use netmidi_wire::{RtpHeader, RtpTimestamp, SeqNum, Ssrc};
use stand::{Stand, hex};

/// A peer whose packets are numbered from 101 on, and which has played a note.
fn playing() -> Stand {
    let mut stand = Stand::ready(|_| {});
    stand.peer.seq = SeqNum(101);
    stand.journal("03 903c64");
    assert_eq!(stand.heard(), ["903c64"]);
    stand
}

/// The same, of a peer whose first packet shows that nothing was before it.
fn settled() -> Stand {
    let mut stand = Stand::ready(|_| {});
    stand.peer.seq = SeqNum(101);
    stand.journal("43 903c64 80 0065");
    assert_eq!(stand.heard(), ["903c64"]);
    stand
}

#[test]
fn the_packet_that_shows_a_loss_repairs_it_before_its_own_commands() {
    let mut stand = playing();
    stand.lose(1);
    // From packet 102: note 60 is off, and controller 7 is 64.
    stand.journal("43 903e64 20 0066 00 09 48 00 07 40 00 77 08");
    assert_eq!(
        stand.heard(),
        [
            "Repaired 803c40",
            "Repaired b00740",
            "Lost 1 true",
            "903e64"
        ]
    );
    let stats = stand.stats();
    assert_eq!((stats.messages_repaired, stats.uncovered_losses), (2, 0));
}

#[test]
fn a_loss_tells_how_many_messages_put_it_right() {
    let mut stand = playing();
    let repaired = |stand: &mut Stand| {
        let events = events(&mut stand.session).into_iter();
        let lost = events.filter_map(|event| match event {
            Event::Lost { repaired, .. } => Some(repaired),
            _ => None,
        });
        lost.collect::<Vec<_>>()
    };
    stand.lose(1);
    // From packet 102: note 60 is off, and controller 7 is 64.
    stand.journal("43 903e64 20 0066 00 09 48 00 07 40 00 77 08");
    assert_eq!(repaired(&mut stand), [2]);
    // Of each gap its own: the next one did nothing that has to be put right.
    stand.lose(1);
    stand.journal("40 20 0067 00 09 48 00 07 40 00 77 08");
    assert_eq!(repaired(&mut stand), [0]);
    stand.journal("03 903f64");
    assert!(repaired(&mut stand).is_empty());
}

#[test]
fn a_guard_repairs_a_loss_as_well() {
    let mut stand = playing();
    stand.lose(1);
    stand.journal("40 20 0066 00 06 08 00 77 08");
    assert_eq!(stand.heard(), ["Repaired 803c40", "Lost 1 true"]);
}

#[test]
fn a_lost_note_is_played_if_its_sender_says_that_it_is_not_too_late() {
    for (log, heard, skipped) in [
        (
            "3e e4",
            &["Repaired 903e64", "Lost 1 true", "803e40"][..],
            0,
        ),
        // As Apple writes it always.
        ("3e 64", &["Lost 1 true", "803e40"], 1),
    ] {
        let mut stand = playing();
        stand.lose(1);
        stand.journal(&format!("40 20 0066 00 07 08 81 f0 {log}"));
        // Played or not, it is known that it is on, so its end is delivered.
        stand.journal("03 803e40");
        assert_eq!(stand.heard(), heard);
        assert_eq!(stand.stats().notes_skipped, skipped);
    }
}

#[test]
fn without_a_loss_a_journal_changes_nothing() {
    let mut stand = settled();
    stand.journal("40 20 0065 00 09 48 00 07 40 00 77 08");
    assert_eq!(stand.heard(), [""; 0]);
}

#[test]
fn a_loss_without_a_journal_ends_notes_and_is_told_to_be_uncovered() {
    let mut stand = playing();
    stand.journal("03 b0407f");
    stand.lose(3);
    stand.journal("03 903e64");
    assert_eq!(
        stand.heard(),
        [
            "b0407f",
            "Repaired 803c40",
            "Repaired b04000",
            "Lost 3 false",
            "903e64"
        ]
    );
    assert_eq!(stand.stats().uncovered_losses, 1);
}

#[test]
fn a_journal_that_begins_too_late_does_not_cover_a_loss() {
    let mut stand = playing();
    stand.lose(2);
    // Packet 104 about 103 alone: 102 is unknown.
    stand.journal("40 20 0067 00 06 40 00 07 40");
    assert_eq!(
        stand.heard(),
        ["Repaired b00740", "Repaired 803c40", "Lost 2 false"]
    );
}

#[test]
fn what_comes_late_after_a_repair_is_dropped_and_not_lost() {
    let mut stand = playing();
    stand.lose(1);
    stand.journal("40 20 0066 00 09 48 00 07 40 00 77 08");
    stand.heard();
    assert_eq!((stand.stats().lost, stand.stats().reordered), (1, 0));
    let at = RtpTimestamp(100_000);
    stand.packet_at(SeqNum(102), at, "0b 803c40 00 b00740 00 903e64");
    assert_eq!(stand.heard(), [""; 0]);
    let stats = stand.stats();
    assert_eq!((stats.lost, stats.reordered), (0, 1));
    assert_eq!((stats.messages_late, stats.duplicates), (0, 0));
    stand.packet_at(SeqNum(102), at, "03 803c40");
    assert_eq!(stand.stats().duplicates, 1);
}

/// Plays a note and controllers, leaves out packet 102, and lets it come behind 103 with this
/// payload.
fn late(behind: &str, late: &str) -> Vec<String> {
    let mut stand = playing();
    stand.lose(1);
    stand.journal(behind);
    stand.heard();
    stand.packet_at(SeqNum(102), RtpTimestamp(100_000), late);
    let stats = stand.stats();
    assert_eq!((stats.lost, stats.reordered), (0, 1));
    let heard = stand.heard();
    assert_eq!(stats.messages_late, heard.len() as u64);
    heard
}

#[test]
fn what_comes_late_of_a_peer_without_journals_is_executed_unless_newer_came() {
    let list = "8012 803d40 00 b00740 00 c005 00 e00050 00 903e64";
    assert_eq!(
        late("01 f8", list),
        ["803d40", "b00740", "c005", "e00050"],
        "all but the note-on"
    );
    assert_eq!(late("03 b00750", list), ["803d40", "c005", "e00050"]);
    assert_eq!(late("03 e00000", list), ["803d40", "b00740", "c005"]);
    assert_eq!(late("03 903d64", list), ["b00740", "c005", "e00050"]);
    assert_eq!(late("02 c006", list), ["803d40", "b00740", "e00050"]);
    // Nothing of what may have another order.
    assert_eq!(late("01 f8", "06 f8 00 f305 00 fa"), [""; 0]);
}

#[test]
fn what_comes_late_of_a_gap_without_a_journal_is_executed_whatever_came_before() {
    // Apple sends none right after our feedback.
    let mut stand = Stand::ready(|_| {});
    stand.peer.seq = SeqNum(100);
    stand.journal("40 000064");
    stand.journal("03 903c64");
    stand.lose(1);
    stand.journal("01 f8");
    stand.heard();
    let at = RtpTimestamp(100_000);
    stand.packet_at(SeqNum(102), at, "07 803c40 00 b00740");
    assert_eq!(stand.heard(), ["803c40", "b00740"]);
    // A journal speaks of it: then it is too late.
    stand.lose(1);
    stand.journal("01 f8");
    stand.journal("41 f8 20 0068 00 06 40 00 07 50");
    stand.heard();
    stand.packet_at(SeqNum(104), at, "03 b00750");
    assert_eq!(stand.heard(), [""; 0]);
    assert_eq!(stand.stats().reordered, 2);
    assert_eq!(stand.stats().lost, 0);
}

#[test]
fn late_parts_of_system_exclusive_messages_do_no_harm() {
    let mut stand = playing();
    stand.journal("03 f001f0");
    stand.lose(1);
    stand.journal("03 f703f7");
    stand.packet_at(SeqNum(103), RtpTimestamp(100_000), "03 f702f0");
    stand.journal("03 f704f7");
    stand.journal("03 f005f7");
    let heard = stand.heard();
    let sysex: Vec<&String> = heard.iter().filter(|it| it.starts_with("f0")).collect();
    assert_eq!(sysex, ["f005f7"], "{heard:?}");
}

#[test]
fn a_real_packet_of_ios_repairs_what_its_checkpoint_denies() {
    let capture = vectors("journal-combined")
        .into_iter()
        .find(|it| it.name == "capture-ios-note-off")
        .unwrap();
    let note = "03 903564";
    for (lost, heard) in [
        (false, &["903564", "803500"][..]),
        (true, &["Lost 1 true", "803500"]),
    ] {
        let mut stand = Stand::ready(|_| {});
        let local = LocalPort::data(stand.peer.pair);
        // The packet's own sender.
        let mut ios = ScriptedPeer::new(3);
        ios.ssrc = Ssrc(u32::from_be_bytes(
            capture.octets[8..12].try_into().unwrap(),
        ));
        let id = ios.join(&mut stand.session, stand.now);
        stand.peer = ios;
        stand.id = id;
        let number = u16::from_be_bytes(capture.octets[2..4].try_into().unwrap());
        let at = u32::from_be_bytes(capture.octets[4..8].try_into().unwrap());
        stand.packet_at(SeqNum(number - 2), RtpTimestamp(at - 9), "00");
        if !lost {
            stand.packet_at(SeqNum(number - 1), RtpTimestamp(at - 5), note);
        }
        let (now, from) = (stand.now, stand.peer.data);
        stand
            .session
            .handle_datagram(now, local, from, &capture.octets);
        assert_eq!(stand.heard(), heard);
        let stats = stand.stats();
        assert_eq!((stats.uncovered_losses, stats.journals_damaged), (0, 0));
        assert_eq!(stats.notes_skipped, u64::from(lost), "Y=0");
        stand.pass(20);
        let told = stand.feedback().pop().unwrap().1;
        assert_eq!(told[8..], format!("{}0000", hex(SeqNum(number))));
    }
}

/// Every vector with a journal that cannot be read: what stands behind its RTP header.
fn damaged() -> impl Iterator<Item = (String, String)> {
    vectors("malformed")
        .into_iter()
        .filter(|it| {
            ["journal-", "chapter-", "system-"]
                .iter()
                .any(|kind| it.name.starts_with(kind))
        })
        .map(|it| (it.name, to_hex(&it.octets[RtpHeader::LEN..])))
}

#[test]
fn a_damaged_journal_at_a_loss_costs_neither_the_list_nor_anybody_else() {
    let mut tried = 0;
    for (name, payload) in damaged() {
        let mut stand = playing();
        let mut other = ScriptedPeer::new(2);
        let id = other.join(&mut stand.session, stand.now);
        let note = Message::parse(&[0x90, 62, 100]).unwrap();
        other.play(&mut stand.session, stand.now, &[note]);
        // These journals begin with packet 240, which gets lost.
        while stand.peer.seq != SeqNum(240) {
            stand.journal("00");
        }
        stand.lose(1);
        stand.heard();
        let before = stand.session.participant_stats(id);
        stand.journal(&payload);
        let heard = stand.heard();
        assert_eq!(heard.last().unwrap(), "903c40", "{name}: {heard:?}");
        assert!(
            heard.contains(&"Lost 1 false".to_owned()),
            "{name}: {heard:?}"
        );
        assert!(
            heard.contains(&"Repaired 803c40".to_owned()),
            "{name}: {heard:?}"
        );
        assert_eq!(stand.stats().journals_damaged, 1, "{name}");
        assert_eq!(stand.session.participant_stats(id), before, "{name}");
        // The stream goes on as if nothing had been.
        stand.journal("03 803c40");
        assert_eq!(stand.heard(), ["803c40"], "{name}");
        tried += 1;
    }
    assert!(tried > 30, "{tried}");
}

#[test]
fn a_damaged_journal_without_a_loss_is_not_even_looked_at() {
    for (name, payload) in damaged() {
        let mut stand = settled();
        stand.journal(&payload);
        assert_eq!(stand.heard(), ["903c40"], "{name}");
        assert_eq!(stand.stats().journals_damaged, 0, "{name}");
    }
}

#[test]
fn a_packet_that_is_refused_changes_nothing() {
    let mut stand = playing();
    stand.lose(1);
    let seq = stand.peer.seq;
    let before = stand.stats();
    // A list that cannot be read, with a journal that could; and another host.
    stand.packet(seq, "43 903e90 20 0066 00 06 08 00 77 08");
    assert_eq!(stand.stats().malformed_commands, 1);
    let local = LocalPort::data(stand.peer.pair);
    let mut packet = vec![0; RtpHeader::LEN];
    let header = RtpHeader::midi(seq, RtpTimestamp(100_000), stand.peer.ssrc);
    header.encode(&mut packet).unwrap();
    packet.extend([0x40, 0x20, 0, 0x66, 0, 6, 8, 0, 0x77, 8]);
    let now = stand.now;
    for from in ["198.51.100.1:5007", "192.0.2.7:5999"] {
        stand
            .session
            .handle_datagram(now, local, from.parse().unwrap(), &packet);
    }
    assert_eq!(stand.heard(), [""; 0]);
    let after = stand.stats();
    assert_eq!(
        (after.lost, after.journals_received, after.packets_received),
        (
            before.lost,
            before.journals_received,
            before.packets_received
        )
    );
    // Then the right one is taken as the first that shows the loss.
    stand.packet(seq, "40 20 0066 00 06 08 00 77 08");
    assert_eq!(stand.heard(), ["Repaired 803c40", "Lost 1 true"]);
}

#[test]
fn a_sender_that_does_not_count_loses_nothing_by_journals() {
    // pymidi's client sends one number in every packet.
    let mut stand = playing();
    for (n, payload) in (1..).zip(["03 803c40", "43 903c64 20 0064 00 06 08 00 77 08", "01 f8"]) {
        stand.packet_at(SeqNum(101), RtpTimestamp(100_000 + n), payload);
    }
    assert_eq!(stand.heard(), ["803c40", "903c64", "f8"]);
    assert_eq!(stand.stats().stuck_sequence, 3);
}

#[test]
fn a_stream_that_jumps_is_made_safe_or_repaired() {
    for (payload, heard) in [
        ("01 f8", &["Repaired 803c40", "f8"][..]),
        // It begins far behind what we hold: note 62 sounds, nothing is known of 60.
        (
            "41 f8 20 4e20 00 07 08 81 f0 3e e4",
            &["Repaired 903e64", "Repaired 803c40", "f8"],
        ),
    ] {
        let mut stand = playing();
        stand.peer.seq = SeqNum(20_000);
        stand.journal("01 f8");
        assert_eq!(stand.heard(), [""; 0], "perhaps a stray one");
        stand.journal(payload);
        assert_eq!(stand.heard(), heard);
        assert_eq!(stand.stats().resynchronised, 1);
        assert_eq!(stand.stats().lost, 0, "how many nobody knows");
    }
}
