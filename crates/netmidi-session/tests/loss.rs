//! Loss, reordering and duplicates over a simulated network: what is counted is what happened.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use core::time::Duration;

use netmidi_message::{Message, SystemCommon, U14};
use netmidi_session::{Config, Event, LocalPort, PairId, Session, Time};
use netmidi_testkit::{Link, LinkQuality, ScriptedPeer, events};
use proptest::prelude::*;

/// Sends `packets` notes a millisecond apart over a link; returns the numbers that were played in
/// order of arrival, the sum of `Lost` events, and the session with its peer.
fn play(quality: LinkQuality, seed: u64, packets: u16) -> (Vec<u16>, u64, Session, u64) {
    let mut session = Session::new(Config::new("ours"), 1, Time::ZERO).unwrap();
    let mut peer = ScriptedPeer::new(1);
    peer.join(&mut session, Time::ZERO);
    let mut link: Link<Vec<u8>> = Link::new(quality, seed);
    let local = LocalPort::data(PairId(0));
    // The first packet gets through: what was lost before it nobody can know.
    let first = peer.packet(Time::ZERO, &[numbered(0)]);
    session.handle_datagram(Time::ZERO, local, peer.data, &first);
    for n in 1..packets {
        let now = Time::from_millis(u64::from(n));
        while let Some(datagram) = link.receive(now) {
            session.handle_datagram(now, local, peer.data, &datagram);
        }
        link.send(now, peer.packet(now, &[numbered(n)]));
    }
    while let Some(now) = link.next_arrival() {
        let datagram = link.receive(now).unwrap();
        session.handle_datagram(now, local, peer.data, &datagram);
    }
    // The last packet gets through, so that what is lost before it shows.
    let now = Time::from_millis(u64::from(packets) + 1000);
    let last = peer.packet(now, &[numbered(packets)]);
    session.handle_datagram(now, local, peer.data, &last);
    let mut numbers = Vec::new();
    let mut reported = 0;
    for event in events(&mut session) {
        match event {
            Event::Message { message, .. } => numbers.push(number(&message.as_message())),
            Event::Lost { packets, .. } => reported += u64::from(packets),
            other => panic!("{other:?}"),
        }
    }
    (numbers, reported, session, link.lost())
}

/// A song position carries fourteen bits.
fn numbered(n: u16) -> Message<'static> {
    let pos = U14::new(n).unwrap();
    SystemCommon::SongPosition { pos }.into()
}

fn number(message: &Message<'_>) -> u16 {
    match message {
        Message::Common(SystemCommon::SongPosition { pos }) => pos.get(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_perfect_link_loses_nothing() {
    let (numbers, reported, ..) = play(LinkQuality::default(), 1, 10_000);
    assert_eq!(numbers, (0..=10_000).collect::<Vec<_>>());
    assert_eq!(reported, 0);
}

proptest! {
    #![proptest_config(netmidi_testkit::properties())]

    /// Without reordering, every loss is reported, once, and nothing else.
    #[test]
    fn losses_and_duplicates_are_counted_exactly(
        seed in any::<u64>(),
        loss in 0u32..300_000,
        duplication in 0u32..300_000,
    ) {
        let quality = LinkQuality { loss, duplication, ..LinkQuality::default() };
        let (numbers, reported, session, lost) = play(quality, seed, 1000);
        prop_assert!(numbers.is_sorted_by(|a, b| a < b), "in order, nothing twice");
        prop_assert_eq!(numbers.len() as u64, 1001 - lost);
        let stats = session.participants().next().and_then(|(id, _)| session.participant_stats(id));
        let stats = stats.unwrap();
        prop_assert_eq!(reported, lost);
        prop_assert_eq!(stats.lost, lost);
        prop_assert_eq!(stats.reordered, 0);
    }

    /// With reordering, every packet is accounted for: played, late, or lost.
    #[test]
    fn late_packets_are_reordered_and_not_lost(
        seed in any::<u64>(),
        loss in 0u32..200_000,
        duplication in 0u32..100_000,
        jitter in 0u64..20,
    ) {
        let quality = LinkQuality {
            latency: Duration::from_millis(5),
            jitter: Duration::from_millis(jitter),
            loss,
            duplication,
        };
        let (numbers, _, session, lost) = play(quality, seed, 1000);
        prop_assert!(numbers.is_sorted_by(|a, b| a < b), "in order, nothing twice");
        let stats = session.participants().next().and_then(|(id, _)| session.participant_stats(id));
        let stats = stats.unwrap();
        prop_assert_eq!(stats.lost, lost);
        prop_assert_eq!(stats.reordered + numbers.len() as u64 + lost, 1001);
        prop_assert_eq!(stats.resynchronised + stats.held_back, 0);
    }
}
