//! System exclusive messages that are longer than what a journal can protect.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

mod stand;

use core::time::Duration;

use netmidi_message::{Message, MessageBuf, SysEx};
use netmidi_session::{Config, Event, JournalPolicy};
use netmidi_testkit::{LinkQuality, Pair, Side, from_hex};
use netmidi_wire::SeqNum;
use stand::Stand;

/// What the history of a peer holds: three fifths of what a packet leaves to its journal.
const ROOM: usize = 452;

fn dump(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 127) as u8).collect()
}

fn send_dump(stand: &mut Stand, data: &[u8]) {
    let message = SysEx::new(data).unwrap().into();
    stand.session.send(stand.now, stand.id, message).unwrap();
}

/// Octets of the list of a packet.
fn list(payload: &str) -> Vec<u8> {
    let octets = from_hex(payload);
    let (head, len) = if octets[0] & 0x80 == 0 {
        (1, usize::from(octets[0] & 0x0F))
    } else {
        (
            2,
            usize::from(octets[0] & 0x0F) << 8 | usize::from(octets[1]),
        )
    };
    octets[head..head + len].to_vec()
}

/// Data octets of system exclusive messages in packets, and all numbers.
fn data_sent(stand: &mut Stand) -> (Vec<usize>, Vec<SeqNum>) {
    let sent = stand.midi();
    let seqs = sent.iter().map(|(_, seq, _)| *seq).collect();
    let data = sent
        .iter()
        .map(|(.., payload)| list(payload).len().saturating_sub(2))
        .filter(|len| *len > 0)
        .collect();
    (data, seqs)
}

#[test]
fn to_a_peer_that_acknowledges_no_more_goes_out_than_is_protected() {
    let mut stand = Stand::proven(|_| {});
    send_dump(&mut stand, &dump(3000));
    let mut parts = Vec::new();
    for _ in 0..20 {
        let (data, seqs) = data_sent(&mut stand);
        parts.extend(data);
        let Some(last) = seqs.last() else { break };
        stand.acknowledge(*last);
    }
    assert_eq!(parts.iter().sum::<usize>(), 3000);
    assert!(parts.iter().all(|len| *len <= ROOM), "{parts:?}");
    let stats = stand.stats();
    assert_eq!((stats.messages_sent, stats.journal_overflow), (1, 0));
}

#[test]
fn a_dump_that_waits_holds_up_what_was_sent_after_it_and_order_is_kept() {
    let mut stand = Stand::proven(|_| {});
    stand.send(&["903c64"]);
    send_dump(&mut stand, &dump(1000));
    stand.send(&["803c40", "f8", "b00740"]);
    let mut lists = Vec::new();
    for _ in 0..10 {
        let sent = stand.midi();
        lists.extend(sent.iter().flat_map(|(.., payload)| list(payload)));
        if let Some((_, last, _)) = sent.last() {
            stand.acknowledge(*last);
        }
    }
    let end = lists.len();
    assert_eq!(lists[..3], [0x90, 60, 100]);
    // With delta times of 0 between them.
    assert_eq!(lists[end - 9..], [0x80, 60, 64, 0, 0xF8, 0, 0xB0, 7, 64]);
    assert_eq!(stand.stats().messages_sent, 5);
}

/// Packets with data, counted by the millisecond, of a dump that nobody acknowledges.
fn unanswered(mut stand: Stand, len: usize) -> Vec<(u64, usize)> {
    stand.midi();
    let before = stand.stats().messages_sent;
    send_dump(&mut stand, &dump(len));
    stand.send(&["903c64"]);
    let sent = stand.midi();
    let (start, ..) = sent[0];
    let mut counts = vec![(0, sent.len())];
    stand.pass(20_000);
    for (at, _, payload) in stand.midi() {
        if list(&payload).is_empty() {
            continue;
        }
        match counts.last_mut() {
            Some((last, count)) if *last == at - start => *count += 1,
            _ => counts.push((at - start, 1)),
        }
    }
    let messages = stand.stats().messages_sent - before;
    assert_eq!(messages, 2, "nothing waits for ever");
    counts
}

#[test]
fn who_acknowledges_no_more_holds_up_a_dump_for_a_few_waits_only() {
    // Acknowledgements took no time so far: 100 ms each.
    let counts = unanswered(Stand::proven(|_| {}), 20_000);
    // One packet unprotected, two, four. What is behind one has room again, by itself.
    assert_eq!(counts[..4], [(0, 1), (100, 2), (200, 4), (300, 8)]);
    assert!(counts.last().unwrap().0 <= 500, "{counts:?}");
}

/// A peer that has acknowledged each of many notes after this time.
fn answering_after(millis: u64) -> Stand {
    let mut stand = Stand::proven(|_| {});
    for _ in 0..40 {
        stand.send(&["b00740"]);
        let (_, seq, _) = stand.midi().pop().unwrap();
        stand.pass(millis);
        stand.acknowledge(seq);
        stand.pass(2000);
        stand.midi();
    }
    stand
}

#[test]
fn the_wait_is_three_times_as_long_as_acknowledgements_take() {
    let counts = unanswered(answering_after(80), 1500);
    let (wait, _) = counts[1];
    assert!((230..=240).contains(&wait), "{counts:?}");
}

#[test]
fn an_outage_of_minutes_is_not_how_long_acknowledgements_take() {
    let mut stand = answering_after(1);
    stand.send(&["b00740"]);
    stand.sleep(50_000);
    let note = stand.midi().pop().unwrap().1;
    stand.acknowledge(note);
    // An eighth of a second, three times.
    let (wait, _) = unanswered(stand, 1500)[1];
    assert!((375..=380).contains(&wait), "{wait}");
}

#[test]
fn who_acknowledges_by_the_clock_is_not_waited_for_longer_than_a_midi_cable_takes() {
    let counts = unanswered(answering_after(1000), 1500);
    assert_eq!(counts[1].0, 200, "{counts:?}");
}

#[test]
fn an_acknowledgement_makes_the_next_data_wait_again() {
    let mut stand = Stand::proven(|_| {});
    send_dump(&mut stand, &dump(20_000));
    stand.pass(350);
    let (data, seqs) = data_sent(&mut stand);
    assert_eq!(data.len(), 1 + 2 + 4 + 8);
    stand.acknowledge(*seqs.last().unwrap());
    let (data, _) = data_sent(&mut stand);
    assert_eq!(data, [ROOM]);
    // This answer took long, so the next may as well: three eighths of it.
    stand.pass(130);
    assert_eq!(data_sent(&mut stand).0, [0; 0]);
    stand.pass(2);
    assert_eq!(data_sent(&mut stand).0.len(), 2, "from the beginning");
}

#[test]
fn guards_go_out_while_data_waits() {
    let mut stand = Stand::proven(|_| {});
    send_dump(&mut stand, &dump(3000));
    stand.pass(99);
    let times = stand.times(5000);
    assert_eq!(times, [0, 25]);
}

#[test]
fn strangers_and_those_without_journals_are_not_waited_for() {
    for policy in [JournalPolicy::Auto, JournalPolicy::Full, JournalPolicy::Off] {
        let mut stand = Stand::introduced(|config| config.journal = policy);
        send_dump(&mut stand, &dump(3000));
        let (data, _) = data_sent(&mut stand);
        assert_eq!(data.iter().sum::<usize>(), 3000, "{policy:?}");
    }
}

#[test]
fn without_journals_any_more_nothing_waits() {
    let mut stand = Stand::proven(|_| {});
    send_dump(&mut stand, &dump(3000));
    assert_eq!(data_sent(&mut stand).0, [ROOM]);
    let (now, id) = (stand.now, stand.id);
    stand
        .session
        .set_journal_policy(now, id, JournalPolicy::Off)
        .unwrap();
    assert_eq!(data_sent(&mut stand).0.iter().sum::<usize>(), 3000 - ROOM);
}

#[test]
fn we_do_not_leave_before_a_dump_that_waits_is_out() {
    let mut stand = Stand::proven(|_| {});
    send_dump(&mut stand, &dump(100_000));
    stand.send(&["903c64"]);
    stand.session.leave(stand.now, stand.id).unwrap();
    stand.pass(3000);
    let sent = stand.midi();
    let (last, ..) = sent
        .iter()
        .rfind(|(.., payload)| !list(payload).is_empty())
        .unwrap();
    let octets: usize = sent.iter().map(|(.., it)| list(it).len()).sum();
    assert!(octets > 100_000 + 3, "all of it: {octets}");
    let byes = stand.others();
    assert_eq!(byes.len(), 2);
    assert!(byes[0].0 >= last + 100, "{} {}", byes[0].0, last);
    assert!(byes[0].0 <= 5000 + 1300, "{}", byes[0].0);
}

#[test]
fn a_dump_arrives_whole_over_a_bad_network() {
    let quality = LinkQuality {
        latency: Duration::from_millis(5),
        jitter: Duration::from_millis(1),
        loss: 100_000,
        duplication: 10_000,
    };
    let (a, b) = (Config::new("a"), Config::new("b"));
    let good = LinkQuality::default();
    let mut pair = Pair::joined(good, good, 3, a, b);
    pair.run_for(Duration::from_secs(5), &mut |_, _| {});
    pair.set_quality(Side::A, quality);
    pair.set_quality(Side::B, quality);
    let data = dump(20_000);
    let message = Message::from(SysEx::new(&data).unwrap());
    pair.send(Side::A, message).unwrap();
    let mut whole = 0;
    pair.run_for(Duration::from_secs(10), &mut |_, event| {
        if let Event::Message {
            message: MessageBuf::SysEx(sysex),
            ..
        } = &event
        {
            assert_eq!(sysex.as_sysex().data(), data);
            whole += 1;
        }
    });
    assert_eq!(whole, 1);
    assert!(pair.lost(Side::A) > 0, "something to repair");
}
