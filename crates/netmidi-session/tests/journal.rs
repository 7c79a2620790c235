//! Who gets which journal: introductions, the gentle form, the proof, policies, the budget.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

mod stand;

use netmidi_journal::Journal;
use netmidi_session::{JournalPolicy, PacketBudget, UndefinedCommands};
use netmidi_testkit::{ScriptedPeer, from_hex, transmits};
use netmidi_wire::SeqNum;
use stand::{Stand, hex};

/// Whether a payload has J=1.
fn has_journal(payload: &str) -> bool {
    from_hex(payload)[0] & 0x40 != 0
}

/// The channels of the journal of a guard packet, and its S.
fn channels(payload: &str) -> (bool, Vec<u8>) {
    let octets = from_hex(payload);
    assert_eq!(octets[0], 0x40, "a guard: {payload}");
    let journal = Journal::parse(&octets[1..]).unwrap();
    let channels = (&journal)
        .into_iter()
        .map(|it| it.channel.index())
        .collect();
    (journal.s(), channels)
}

#[test]
fn the_first_packet_after_the_clock_exchange_introduces_us() {
    let mut stand = Stand::joined(|_| {});
    stand.pass(100);
    assert_eq!(stand.midi(), [], "nothing before");
    stand.synchronise();
    let sent = stand.midi();
    let [(100, first, payload)] = sent.as_slice() else {
        panic!("{sent:?}");
    };
    // No command; a journal with S, Y, A, H and TOTCHAN 0 that begins with this packet.
    assert_eq!(*payload, format!("4000{}", hex(*first)));
    assert_eq!(stand.stats().guards_sent, 1);
}

#[test]
fn an_introduction_is_repeated_on_the_guard_schedule_five_times_at_most() {
    let mut stand = Stand::ready(|_| {});
    stand.pass(30_000);
    let sent = stand.midi();
    let times: Vec<u64> = sent.iter().map(|(at, ..)| *at).collect();
    assert_eq!(times, [0, 100, 200, 400, 800]);
    let first = sent[0].1;
    for (n, (_, seq, payload)) in (0..).zip(&sent) {
        assert_eq!(*seq, first.wrapping_add(n));
        assert_eq!(*payload, format!("4000{}", hex(first)));
    }
}

#[test]
fn an_introduction_that_is_acknowledged_is_not_repeated() {
    let mut stand = Stand::ready(|_| {});
    stand.pass(30);
    let (_, seq, _) = stand.midi().pop().unwrap();
    stand.acknowledge(seq);
    stand.pass(30_000);
    assert_eq!(stand.midi(), []);
}

#[test]
fn a_peers_own_journal_is_no_answer_to_our_introduction() {
    // It knows journals, but it may not have received ours.
    let mut stand = Stand::ready(|_| {});
    stand.journal("40 000064");
    stand.pass(30_000);
    assert_eq!(stand.midi().len(), 5);
}

#[test]
fn a_stranger_gets_one_channel_with_s_0() {
    let mut stand = Stand::introduced(|_| {});
    stand.send(&["903c64"]);
    stand.send(&["803c40"]);
    stand.send(&["b00750"]);
    let sent = stand.midi();
    let first = hex(SeqNum(sent[0].1.0.wrapping_sub(5)));
    let payloads: Vec<&str> = sent.iter().map(|(.., it)| it.as_str()).collect();
    assert_eq!(
        payloads,
        [
            format!("43903c6400{first}"),
            // A=1 and S=0; channel 0, seven octets, chapter N: one log, no bit: note 60, Y=1.
            format!("43803c4020{first}00070881f03ce4"),
            // The note is off: bit 3 of octet 7.
            format!("43b0075020{first}000608007708"),
        ]
    );
}

#[test]
fn a_stranger_gets_no_journal_for_a_second_channel_until_there_is_room() {
    let mut stand = Stand::introduced(|_| {});
    stand.send(&["903c64"]);
    stand.send(&["913c64"]);
    stand.send(&["b00701"]);
    let sent = stand.midi();
    let journals: Vec<bool> = sent.iter().map(|(.., it)| has_journal(it)).collect();
    assert_eq!(journals, [true, true, false]);
    assert_eq!(stand.stats().journal_overflow, 1);
    // Channel 1 has arrived, the last packet with channel 0 has not.
    stand.acknowledge(sent[1].1);
    stand.send(&["b00702"]);
    let (.., payload) = stand.midi().pop().unwrap();
    assert!(has_journal(&payload), "{payload}");
}

#[test]
fn a_stranger_gets_no_system_journal() {
    let mut stand = Stand::introduced(|_| {});
    stand.send(&["f305"]);
    stand.send(&["903c64"]);
    let journals: Vec<bool> = stand.payloads().iter().map(|it| has_journal(it)).collect();
    assert_eq!(journals, [true, false]);
    // Nor a guard, which would have nothing.
    stand.pass(10_000);
    assert_eq!(stand.payloads(), [""; 0]);
}

#[test]
fn a_stranger_gets_no_channel_journal_longer_than_255_octets() {
    let mut stand = Stand::introduced(|_| {});
    let (mut longest, mut without) = (0, 0);
    for note in 0..64 {
        stand.send(&[&format!("90{note:02x}64"), &format!("b0{:02x}40", note + 1)]);
        for payload in stand.payloads() {
            let octets = from_hex(&payload);
            // One octet of header and seven of list: two commands and a delta time.
            assert_eq!(octets[0] & 0x3F, 7);
            let journal = octets.len() - 8;
            longest = longest.max(journal);
            if has_journal(&payload) {
                assert_eq!(octets[8] & 0xD0, 0, "S, Y and H are 0");
            } else {
                without += 1;
            }
        }
    }
    assert!((250..=258).contains(&longest), "{longest} octets");
    assert!(without > 0, "not all of it fits");
}

#[test]
fn a_peer_that_sends_a_journal_gets_whole_ones() {
    let mut stand = Stand::introduced(|_| {});
    stand.journal("40 000064");
    stand.send(&["f305"]);
    stand.send(&["903c64"]);
    stand.send(&["913c64"]);
    stand.pass(30);
    let payload = stand.payloads().pop().unwrap();
    assert_eq!(channels(&payload).1, [0, 1]);
    assert!(from_hex(&payload)[1] & 0x40 != 0, "and the system journal");
}

/// What a guard looks like after two channels were played and the peer sent RS in this form about
/// an introduction: `None` without one.
fn guard_after(rs: fn(SeqNum) -> (u16, u16)) -> Option<(bool, Vec<u8>)> {
    let mut stand = Stand::ready(|_| {});
    let (_, seq, _) = stand.midi().pop().unwrap();
    let (upper, lower) = rs(seq);
    stand.rs(upper, lower);
    assert_eq!(stand.stats().feedback_ignored, 0);
    stand.send(&["903c64"]);
    stand.send(&["913c64"]);
    stand.midi();
    stand.pass(30);
    stand.payloads().pop().map(|it| channels(&it))
}

#[test]
fn apples_feedback_proves_journals() {
    let (_, channels) = guard_after(|seq| (seq.0, 0x1234)).unwrap();
    assert_eq!(channels, [0, 1]);
}

#[test]
fn feedback_with_a_lower_half_of_0_proves_nothing() {
    assert_eq!(guard_after(|seq| (seq.0, 0)), None);
}

#[test]
fn rtpmidids_feedback_counts_and_proves_nothing() {
    assert_eq!(guard_after(|seq| (0, seq.0)), None);
}

/// A peer that is ready, where our first number is a little below 0.
fn before_the_wrap() -> (Stand, SeqNum) {
    for seed in 1.. {
        let mut stand = Stand::seeded(seed, |_| {});
        stand.synchronise();
        let (_, first, _) = stand.midi().pop().unwrap();
        if first.0 > 65_500 {
            return (stand, first);
        }
    }
    unreachable!("one in two thousand");
}

#[test]
fn rtpmidids_feedback_is_understood_where_our_numbers_are_near_0() {
    let (mut stand, first) = before_the_wrap();
    while stand.midi().iter().all(|(_, seq, _)| seq.0 != 5) {
        stand.send(&["b00701"]);
    }
    // An upper half of 0 would be packet 0, and below it is something.
    stand.rs(0, first.0);
    stand.send(&["913c64"]);
    stand.midi();
    stand.pass(30);
    assert_eq!(stand.payloads(), [""; 0], "nothing is proven");
    // It goes on in the lower half, 0 included.
    for seq in [65_535, 0, 3, 6] {
        stand.rs(0, seq);
        assert_eq!(stand.stats().feedback_ignored, 0, "{seq}");
    }
    stand.pass(20_000);
    assert_eq!(stand.midi(), [], "all is acknowledged");
}

#[test]
fn feedback_is_understood_over_the_end_of_the_numbers() {
    let (mut stand, first) = before_the_wrap();
    stand.rs(first.0, 7);
    loop {
        stand.send(&["903c64"]);
        let (_, seq, payload) = stand.midi().pop().unwrap();
        assert_eq!(&payload[10..14], hex(seq), "begins with itself: {payload}");
        // Apple's form: what is in the lower half is of no interest.
        stand.rs(seq.0, 0x7777);
        if seq.0 == 20 {
            break;
        }
    }
    assert_eq!(stand.stats().feedback_ignored, 0);
}

#[test]
fn off_sends_no_journal_and_no_guard() {
    let mut stand = Stand::ready(|config| config.journal = JournalPolicy::Off);
    stand.journal("40 000064");
    stand.send(&["903c64"]);
    stand.send(&["803c40"]);
    stand.pass(30_000);
    assert_eq!(stand.payloads(), ["03903c64", "03803c40"]);
    let stats = stand.stats();
    assert_eq!((stats.journals_sent, stats.guards_sent), (0, 0));
    assert_eq!(stats.journal_overflow, 0);
}

#[test]
fn full_sends_whole_journals_from_the_first_packet_on() {
    let mut stand = Stand::ready(|config| config.journal = JournalPolicy::Full);
    let (_, first, payload) = stand.midi().pop().unwrap();
    assert_eq!(payload, format!("4080{}", hex(first)), "empty, S=1");
    stand.send(&["903c64"]);
    stand.send(&["913c64"]);
    stand.midi();
    stand.pass(30);
    let payload = stand.payloads().pop().unwrap();
    assert_eq!(channels(&payload).1, [0, 1]);
}

#[test]
fn the_policy_is_that_of_one_participant() {
    let mut stand = Stand::ready(|config| config.journal = JournalPolicy::Off);
    let other = ScriptedPeer::new(2);
    let id = other.join(&mut stand.session, stand.now);
    other.synchronise(&mut stand.session, stand.now);
    stand
        .session
        .set_journal_policy(stand.now, id, JournalPolicy::Auto)
        .unwrap();
    let note = netmidi_message::Message::parse(&[0x90, 60, 100]).unwrap();
    for id in [id, stand.id] {
        stand.session.send(stand.now, id, note).unwrap();
    }
    for (transmit, octets) in transmits(&mut stand.session) {
        let journal = octets[12] & 0x40 != 0;
        assert_eq!(journal, transmit.to == other.data);
    }
    stand.session.leave(stand.now, id).unwrap();
    let (now, off) = (stand.now, JournalPolicy::Off);
    let gone = stand.session.set_journal_policy(now, id, off);
    assert!(gone.is_err(), "it has left");
}

#[test]
fn a_policy_that_is_switched_off_ends_guards_and_one_that_is_switched_on_introduces_us() {
    let mut stand = Stand::introduced(|_| {});
    let set = |stand: &mut Stand, policy| {
        let (now, id) = (stand.now, stand.id);
        stand.session.set_journal_policy(now, id, policy).unwrap();
        stand.collect();
    };
    stand.send(&["903c64"]);
    let (_, before, _) = stand.midi().pop().unwrap();
    set(&mut stand, JournalPolicy::Off);
    stand.pass(10_000);
    assert_eq!(stand.midi(), []);
    set(&mut stand, JournalPolicy::Full);
    let (_, seq, payload) = stand.midi().pop().unwrap();
    // What was sent before is no longer known.
    assert_eq!(payload, format!("4080{}", hex(seq)));
    stand.acknowledge(before);
    assert_eq!(stand.stats().feedback_ignored, 1, "that was before");
    stand.acknowledge(seq);
    assert_eq!(stand.stats().feedback_ignored, 1);
    // Nothing comes of a policy that stays as it is.
    set(&mut stand, JournalPolicy::Auto);
    set(&mut stand, JournalPolicy::Full);
    stand.pass(10_000);
    assert_eq!(stand.midi(), []);
    set(&mut stand, JournalPolicy::Off);
    stand.send(&["903c64"]);
    assert_eq!(stand.payloads(), ["03903c64"]);
}

#[test]
fn no_packet_exceeds_the_budget_however_much_is_unacknowledged() {
    for budget in [PacketBudget::MIN, PacketBudget::DEFAULT] {
        let mut stand = Stand::ready(|config| {
            config.packet_budget = budget;
            config.journal = JournalPolicy::Full;
            config.undefined = UndefinedCommands::Carry;
        });
        let longest = "01".repeat(budget.longest_command() - 2);
        for channel in 0..16 {
            for note in 0..128 {
                stand.send(&[
                    &format!("9{channel:x}{note:02x}64"),
                    &format!("b{channel:x}{note:02x}40"),
                    &format!("a{channel:x}{note:02x}11"),
                ]);
            }
            stand.send(&[&format!("f0{}f7", "7d".repeat(300))]);
            // It fills a packet without a journal.
            stand.send(&[&format!("f4{longest}")]);
        }
        stand.pass(10_000);
        let sent = stand.midi();
        let longest = sent.iter().map(|(.., it)| it.len() / 2 + 12).max();
        assert_eq!(longest.unwrap(), budget.get());
        assert!(stand.stats().journal_overflow > 0);
        let messages = stand.stats().messages_sent;
        assert_eq!(messages, 16 * (3 * 128 + 2), "nothing waits for ever");
    }
}
