//! Guard packets: journals that follow the last command until they are acknowledged or hopeless.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

mod stand;

use core::time::Duration;

use netmidi_message::Message;
use netmidi_session::{Config, Event, JournalPolicy, Origin};
use netmidi_testkit::{LinkQuality, Pair, Side, to_hex};
use stand::{Stand, hex};

/// Guards after a command, counted from it, of a peer whose acknowledgements have taken `answers`
/// milliseconds; whole seconds of them are left to be sent.
fn guards_after(message: &str, answers: &[u64], pass: u64) -> Vec<u64> {
    let mut stand = Stand::proven(|_| {});
    for answer in answers {
        stand.send(&["803c40"]);
        stand.pass(*answer);
        let (_, seq, _) = stand.midi().pop().unwrap();
        stand.acknowledge(seq);
        stand.pass(2000);
        assert_eq!(stand.midi(), []);
    }
    stand.send(&[message]);
    let (since, ..) = stand.midi().pop().unwrap();
    stand.pass(pass);
    stand.times(since)
}

#[test]
fn the_first_guard_after_a_note_on_comes_at_once_and_the_others_at_growing_intervals() {
    let expected = [25, 100, 200, 400, 800, 1800, 2800, 3800, 4800];
    assert_eq!(guards_after("903c64", &[], 5000), expected);
    assert_eq!(guards_after("f07e7f0601f7", &[], 5000), expected);
}

#[test]
fn other_commands_are_guarded_without_haste() {
    let expected = [100, 200, 400, 800, 1800, 2800];
    for message in ["803c40", "903c00", "b00740", "e00040"] {
        assert_eq!(guards_after(message, &[], 3000), expected, "{message}");
    }
}

#[test]
fn the_urgent_guard_waits_for_an_acknowledgement_that_is_usual() {
    // The introduction was acknowledged at once, so of thirty times all but the last count.
    for (answer, expected) in [
        (4, 25..=25),
        (28, 33..=35),
        (32, 38..=40),
        (60, 45..=45),
        (300, 45..=45),
    ] {
        let guards = guards_after("903c64", &[answer; 30], 99);
        assert!(
            guards.len() == 1 && expected.contains(&guards[0]),
            "{answer}: {guards:?}"
        );
    }
}

#[test]
fn what_follows_a_note_on_does_not_put_off_its_guard() {
    let mut stand = Stand::proven(|_| {});
    stand.send(&["903c64"]);
    let (since, ..) = stand.midi().pop().unwrap();
    stand.pass(10);
    stand.send(&["b00740"]);
    stand.pass(1000);
    // 25 ms after the controller, then on its schedule.
    assert_eq!(stand.times(since), [10, 35, 110, 210, 410, 810]);
    // However much follows, a note that was lost could still be played.
    stand.send(&["903d64"]);
    let (since, ..) = stand.midi().pop().unwrap();
    for _ in 0..10 {
        stand.pass(9);
        stand.send(&["b00740"]);
    }
    let expected = [9, 18, 27, 36, 45, 45, 54, 63, 72, 81, 90];
    assert_eq!(stand.times(since), expected);
}

#[test]
fn a_guard_carries_no_command_and_a_number_of_its_own() {
    let mut stand = Stand::proven(|_| {});
    stand.send(&["903c64"]);
    stand.pass(150);
    let sent = stand.midi();
    let note = sent[0].1;
    assert_eq!(sent[0].2[..8], *"43903c64");
    let first = hex(note);
    let expected = [
        // S=0 on the way to the log: it is what the packet before had. Y=1: it may be played.
        format!("4020{first}00070881f03ce4"),
        // After 100 ms neither.
        format!("40a0{first}80070881f0bc64"),
    ];
    for (n, (_, seq, payload)) in (1..).zip(&sent[1..]) {
        assert_eq!(*seq, note.wrapping_add(n));
        assert_eq!(*payload, expected[usize::from(n) - 1]);
    }
}

#[test]
fn to_a_peer_that_never_acknowledges_five_in_a_row_are_sent() {
    let mut stand = Stand::introduced(|_| {});
    for _ in 0..3 {
        stand.send(&["903c64"]);
        let (since, ..) = stand.midi().pop().unwrap();
        stand.pass(20_000);
        assert_eq!(stand.times(since), [25, 100, 200, 400, 800]);
    }
}

#[test]
fn to_a_peer_that_has_acknowledged_they_go_on_for_a_minute() {
    let mut stand = Stand::proven(|config| {
        config.silence_timeout = Duration::from_secs(1000);
    });
    stand.send(&["803c40"]);
    stand.midi();
    stand.pass(200_000);
    assert_eq!(stand.midi().len(), 60);
}

#[test]
fn an_acknowledgement_ends_them_and_the_next_command_begins_them_anew() {
    let mut stand = Stand::proven(|_| {});
    stand.send(&["903c64"]);
    stand.pass(150);
    let sent = stand.midi();
    assert_eq!(sent.len(), 3);
    // It has received the note and no guard.
    stand.acknowledge(sent[0].1);
    stand.pass(10_000);
    assert_eq!(stand.midi(), []);
    stand.send(&["803c40"]);
    let (since, ..) = stand.midi().pop().unwrap();
    stand.pass(250);
    assert_eq!(stand.times(since), [100, 200]);
}

#[test]
fn an_old_acknowledgement_does_not_end_them() {
    let mut stand = Stand::proven(|_| {});
    stand.send(&["903c64"]);
    stand.send(&["803c40"]);
    let sent = stand.midi();
    stand.acknowledge(sent[0].1);
    stand.acknowledge(sent[0].1);
    let since = sent[0].0;
    stand.pass(250);
    assert_eq!(stand.times(since), [25, 100, 200]);
}

#[test]
fn what_a_full_journal_left_out_comes_as_soon_as_there_is_room() {
    let mut stand = Stand::proven(|_| {});
    for channel in 0..8 {
        for control in 0..64 {
            stand.send(&[&format!("b{channel:x}{control:02x}40")]);
        }
    }
    let mut last = stand.midi().pop().unwrap().1;
    assert!(stand.stats().journal_overflow > 0);
    // No time passes: each answer is followed by one guard, until all has been told.
    let mut guards = 0;
    loop {
        stand.acknowledge(last);
        let sent = stand.midi();
        let Some((_, seq, _)) = sent.last() else {
            break;
        };
        assert_eq!(sent.len(), 1, "one for each");
        last = *seq;
        guards += 1;
        assert!(guards < 20, "without end");
    }
    assert!(guards > 0);
    stand.pass(10_000);
    assert_eq!(stand.midi(), [], "all is told and acknowledged");
}

#[test]
fn after_minutes_asleep_guards_do_not_come_all_at_once() {
    let mut stand = Stand::proven(|_| {});
    stand.send(&["803c40"]);
    let (since, ..) = stand.midi().pop().unwrap();
    stand.sleep(50_000);
    stand.session.handle_timeout(stand.now);
    stand.pass(3000);
    let late = 50_000;
    assert_eq!(
        stand.times(since),
        [
            late,
            late + 100,
            late + 300,
            late + 700,
            late + 1700,
            late + 2700
        ]
    );
}

#[test]
fn guards_that_wait_for_their_socket_are_one() {
    let mut stand = Stand::proven(|_| {});
    stand.send(&["903c64"]);
    stand.midi();
    for _ in 0..500 {
        stand.sleep(1);
        stand.session.handle_timeout(stand.now);
        let due = stand.session.poll_timeout().unwrap();
        assert!(due > stand.now, "nothing to be done until it is polled");
    }
    assert_eq!(stand.midi().len(), 1);
}

#[test]
fn off_and_gentle_guards_do_not_loop_at_the_end_of_time() {
    for policy in [JournalPolicy::Off, JournalPolicy::Auto, JournalPolicy::Full] {
        let mut stand = Stand::ready(|config| config.journal = policy);
        stand.now = netmidi_session::Time::from_micros(u64::MAX - 5_000_000);
        stand.session.handle_timeout(stand.now);
        stand.heard();
        let id = stand.peer.join(&mut stand.session, stand.now);
        stand.id = id;
        for wait in [0, 4_999_990, 5, 5] {
            stand.now = stand.now + Duration::from_micros(wait);
            stand.session.handle_timeout(stand.now);
            let note = Message::parse(&[0x90, 60, 100]).unwrap();
            let _ = stand.session.send(stand.now, id, note);
            stand.session.handle_timeout(stand.now);
            stand.collect();
        }
        assert!(stand.midi().len() < 200, "{policy:?}");
    }
}

/// Loses the packet with the last note-off; what the other side hears after it, and when.
#[test]
fn a_lost_last_note_off_is_repaired_without_another_note() {
    let quality = LinkQuality {
        latency: Duration::from_millis(3),
        ..LinkQuality::default()
    };
    let (a, b) = (Config::new("a"), Config::new("b"));
    let mut pair = Pair::joined(quality, quality, 1, a, b);
    pair.run_for(Duration::from_secs(5), &mut |_, _| {});
    let send = |pair: &mut Pair, octets: [u8; 3]| {
        pair.send(Side::A, Message::parse(&octets).unwrap())
            .unwrap();
    };
    send(&mut pair, [0x90, 60, 100]);
    pair.run_for(Duration::from_secs(1), &mut |_, _| {});
    pair.lose_next(Side::A, 1);
    send(&mut pair, [0x80, 60, 64]);
    let mut heard = Vec::new();
    pair.run_for(Duration::from_millis(103), &mut |side, event| {
        if let Event::Message {
            message, origin, ..
        } = &event
        {
            heard.push((side, *origin, to_hex(&message.to_vec())));
        }
    });
    assert_eq!(heard, [(Side::B, Origin::Repaired, "803c40".to_owned())]);
    // And that was all there was to say.
    pair.take_log(Side::A);
    pair.run_for(Duration::from_secs(8), &mut |_, _| {});
    assert!(pair.log(Side::A).is_empty(), "{:?}", pair.log(Side::A));
}

#[test]
fn where_nothing_is_lost_and_answers_are_quick_no_guard_is_sent() {
    let quality = LinkQuality {
        latency: Duration::from_millis(2),
        ..LinkQuality::default()
    };
    let (a, b) = (Config::new("a"), Config::new("b"));
    let mut pair = Pair::joined(quality, quality, 1, a, b);
    pair.run_for(Duration::from_secs(5), &mut |_, _| {});
    let before = pair
        .session(Side::A)
        .participant_stats(pair.participant(Side::A));
    let before = before.unwrap().guards_sent;
    for n in 0..500u32 {
        let on = if n % 2 == 0 { 0x90 } else { 0x80 };
        let note = Message::parse(&[on, 60, 64]).map(|it| it.to_buf()).unwrap();
        pair.send(Side::A, note.as_message()).unwrap();
        let wait = Duration::from_millis(u64::from(n * 7 % 40));
        pair.run_for(wait, &mut |_, _| {});
    }
    pair.run_for(Duration::from_secs(2), &mut |_, _| {});
    let after = pair
        .session(Side::A)
        .participant_stats(pair.participant(Side::A));
    assert_eq!(after.unwrap().guards_sent, before);
}
