//! What a peer leaves on is ended when it leaves, however it does.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

mod stand;

use core::time::Duration;

use netmidi_message::Message;
use netmidi_session::{Config, LocalPort};
use netmidi_testkit::ScriptedPeer;
use netmidi_wire::{ExchangeKind, Token};
use stand::Stand;

/// What silences a peer that has played this.
const PLAYED: [&str; 9] = [
    "903c64", "913e64", "913e70", "903e64", "803e40", "b0407f", "b1427f", "e17f7f", "b00740",
];
const SILENCED: [&str; 6] = [
    "Silence 803c40",
    // Struck twice.
    "Silence 813e40",
    "Silence 813e40",
    "Silence b04000",
    "Silence b14200",
    "Silence e10040",
];

fn playing(change: impl FnOnce(&mut Config)) -> Stand {
    let mut stand = Stand::ready(change);
    for message in PLAYED {
        stand.journal(&format!("0{}{message}", message.len() / 2));
    }
    assert_eq!(stand.heard(), PLAYED);
    // Nobody believes a BY so soon after a peer joined.
    stand.pass(3000);
    stand
}

fn say_bye(stand: &mut Stand) {
    let bye = stand.peer.exchange(ExchangeKind::End);
    let (now, from) = (stand.now, stand.peer.control);
    let local = LocalPort::control(stand.peer.pair);
    stand.session.handle_datagram(now, local, from, &bye);
}

fn fall_silent(stand: &mut Stand) {
    stand.pass(60_000);
}

fn come_back(stand: &mut Stand) {
    stand.peer.token = Token(99);
    let (peer, now) = (stand.peer.clone(), stand.now);
    let invitation = peer.exchange(ExchangeKind::Invitation);
    for (local, from) in [
        (LocalPort::control(peer.pair), peer.control),
        (LocalPort::data(peer.pair), peer.data),
    ] {
        stand.session.handle_datagram(now, local, from, &invitation);
    }
}

fn we_leave(stand: &mut Stand) {
    stand.session.leave(stand.now, stand.id).unwrap();
}

fn we_close(stand: &mut Stand) {
    stand.session.close(stand.now);
}

/// How a peer goes, and what is told of it.
type Way = (fn(&mut Stand), &'static [&'static str]);

const WAYS: [Way; 5] = [
    (say_bye, &["Left Bye"]),
    (fall_silent, &["Left Silent"]),
    (come_back, &["Left Replaced", "Joined"]),
    (we_leave, &["Left Local"]),
    (we_close, &["Left Local"]),
];

#[test]
fn however_a_peer_goes_its_notes_pedals_and_bend_are_ended_before_it_is_reported_gone() {
    for (go, told) in WAYS {
        let mut stand = playing(|_| {});
        go(&mut stand);
        assert_eq!(stand.heard(), [&SILENCED[..], told].concat());
        // And not again, when our own farewell is over.
        stand.pass(5000);
        assert_eq!(stand.heard(), [""; 0]);
    }
}

#[test]
fn an_application_that_does_so_itself_can_turn_it_off() {
    for (go, told) in WAYS {
        let mut stand = playing(|config| config.silence_on_leave = false);
        go(&mut stand);
        assert_eq!(stand.heard(), told);
    }
}

#[test]
fn a_peer_that_left_nothing_on_is_only_reported_gone() {
    for (go, told) in WAYS {
        let mut stand = Stand::ready(|_| {});
        for message in ["903c64", "803c40", "b0407f", "b04000", "e00000", "b07900"] {
            stand.journal(&format!("03{message}"));
        }
        stand.pass(3000);
        stand.heard();
        go(&mut stand);
        assert_eq!(stand.heard(), told);
    }
}

#[test]
fn a_note_that_was_repaired_or_ended_by_a_repair_counts_as_heard() {
    let mut stand = Stand::ready(|_| {});
    stand.journal("03 903c64");
    stand.lose(1);
    // 60 is off, 62 is on and played.
    stand.journal("40 20 0065 00 08 08 01 77 3e e4 08");
    assert_eq!(
        stand.heard(),
        [
            "903c64",
            "Repaired 803c40",
            "Repaired 903e64",
            "Lost 1 true"
        ]
    );
    we_leave(&mut stand);
    assert_eq!(stand.heard(), ["Silence 803e40", "Left Local"]);
}

#[test]
fn what_others_play_goes_on() {
    let mut stand = playing(|_| {});
    let mut other = ScriptedPeer::new(2);
    other.join(&mut stand.session, stand.now);
    let note = Message::parse(&[0x90, 60, 100]).unwrap();
    other.play(&mut stand.session, stand.now, &[note]);
    stand.heard();
    say_bye(&mut stand);
    assert_eq!(stand.heard(), [&SILENCED[..], &["Left Bye"]].concat());
    stand.id = stand.session.participants().next().unwrap().0;
    stand.peer = other;
    stand.pass(3000);
    say_bye(&mut stand);
    assert_eq!(stand.heard(), ["Silence 803c40", "Left Bye"]);
}

#[test]
fn a_full_queue_has_room_for_silence() {
    let mut stand = Stand::ready(|config| config.max_queued_events = 8);
    for note in 0..16 {
        stand.journal(&format!("03 90{note:02x}64"));
    }
    we_leave(&mut stand);
    let heard = stand.heard();
    // Each note that was told is ended, and no other.
    let told: Vec<_> = heard.iter().filter(|it| it.starts_with("90")).collect();
    let silenced: Vec<_> = heard
        .iter()
        .filter(|it| it.starts_with("Silence"))
        .collect();
    assert_eq!((told.len(), silenced.len()), (8, 8), "{heard:?}");
    for (told, silenced) in told.iter().zip(&silenced) {
        assert_eq!(told[2..4], silenced[10..12], "{heard:?}");
    }
    assert_eq!(heard[8], "Overflow 8");
    assert_eq!(heard.last().unwrap(), "Left Local");
}

#[test]
fn a_peer_that_says_nothing_more_is_silenced_after_the_time_that_is_set() {
    let mut stand = playing(|config| config.silence_timeout = Duration::from_secs(7));
    stand.pass(3999);
    assert_eq!(stand.heard(), [""; 0]);
    stand.pass(1);
    assert_eq!(stand.heard(), [&SILENCED[..], &["Left Silent"]].concat());
}
