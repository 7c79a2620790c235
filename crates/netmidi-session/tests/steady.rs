//! Journals both ways, with losses and repairs, take no memory per packet.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

mod counting;
mod duo;

use core::time::Duration;

use counting::{allocations, live};
use duo::{Duo, Passed, studio};
use netmidi_journal::{Arrival, Form, Journal, Recorder, RecorderConfig, Repairer, RepairerConfig};
use netmidi_message::{Channel, ChannelMessage, Message, MessageBuf, Note, U7};
use netmidi_session::{
    Config, Event, JournalPolicy, LocalPort, Origin, Pacing, PairId, Playout, Session, Time,
};
use netmidi_testkit::{ScriptedPeer, piano, transmits};
use netmidi_wire::{CommandSection, Feedback, RtpTimestamp, SeqNum};

/// What came of it.
#[derive(Debug, Default)]
struct Heard {
    /// From either side.
    packets: [u32; 2],
    played: u32,
    repaired: u32,
    losses: u32,
    /// Full frames, which stand for lost quarter frames: an event with octets takes memory for
    /// them.
    sysex: u32,
}

impl Heard {
    fn watch(&mut self, passed: &Passed<'_>) {
        match passed {
            Passed::Datagram { from, octets } => {
                self.packets[*from] += u32::from(octets[0] != 0xFF);
            }
            Passed::Event(event) => match event {
                Event::Message {
                    origin, message, ..
                } => {
                    self.played += 1;
                    self.sysex += u32::from(matches!(message, MessageBuf::SysEx(_)));
                    self.repaired += u32::from(*origin == Origin::Repaired);
                }
                Event::Lost { .. } => self.losses += 1,
                other => panic!("{other:?}"),
            },
        }
    }
}

#[test]
fn a_busy_session_takes_no_memory_per_packet() {
    let mut duo = Duo::new(JournalPolicy::Full, Duration::from_millis(10));
    duo.lose(50_000);
    let mut heard = Heard::default();
    let play = |duo: &mut Duo, heard: &mut Heard, rounds: core::ops::Range<u32>| {
        for n in rounds {
            let now = duo.now + Duration::from_millis(5);
            for side in [0, 1] {
                for message in studio(n + 7 * side as u32) {
                    duo.send(side, message.as_message());
                }
            }
            duo.run_until(now, &mut |passed| heard.watch(&passed));
        }
    };
    // Every channel, key and value; and for a second nothing arrives, so that the journals get as
    // long as they can be.
    play(&mut duo, &mut heard, 0..10_000);
    duo.lose(1_000_000);
    play(&mut duo, &mut heard, 10_000..10_200);
    duo.lose(50_000);
    play(&mut duo, &mut heard, 10_200..20_000);
    let (before, sysex) = (allocations(), heard.sysex);
    play(&mut duo, &mut heard, 20_000..30_000);
    let taken = allocations() - before;
    let sysex = u64::from(heard.sysex - sysex);
    assert!(
        heard.packets.into_iter().all(|it| it > 25_000) && heard.played > 500_000,
        "{heard:?}"
    );
    assert!(heard.losses > 2_000 && heard.repaired > 10_000, "{heard:?}");
    assert_eq!(taken, sysex, "{heard:?}");
}

/// Packets and messages that wait for their time do so in memory that is there.
#[test]
fn a_playout_delay_takes_no_memory_per_packet() {
    let ms = Duration::from_millis;
    for playout in [Playout::Fixed(ms(40)), Playout::Adaptive { max: ms(40) }] {
        let mut duo = Duo::configured(ms(10), &|config| {
            config.journal = JournalPolicy::Full;
            config.playout = playout;
        });
        duo.lose(20_000);
        let mut heard = Heard::default();
        let play = |duo: &mut Duo, heard: &mut Heard, rounds: core::ops::Range<u32>| {
            for n in rounds {
                for side in [0, 1] {
                    for message in studio(n + 7 * side as u32) {
                        duo.send(side, message.as_message());
                    }
                }
                let now = duo.now + ms(5);
                duo.run_until(now, &mut |passed| heard.watch(&passed));
            }
        };
        play(&mut duo, &mut heard, 0..5_000);
        duo.lose(1_000_000);
        play(&mut duo, &mut heard, 5_000..5_200);
        duo.lose(20_000);
        play(&mut duo, &mut heard, 5_200..10_000);
        let (before, sysex) = (allocations(), heard.sysex);
        play(&mut duo, &mut heard, 10_000..13_000);
        let taken = allocations() - before;
        assert!(
            heard.played > 250_000 && heard.losses > 300,
            "{playout:?}: {heard:?}"
        );
        let stats = duo.sessions[0].participant_stats(duo.ids[0]).unwrap();
        assert!(stats.playout_delay_micros >= 10_000, "{stats:?}");
        assert_eq!(
            taken,
            u64::from(heard.sysex - sysex),
            "{playout:?}: {heard:?}"
        );
    }
}

#[test]
fn a_piano_takes_no_memory_per_packet() {
    let mut duo = Duo::new(JournalPolicy::Full, Duration::from_millis(10));
    duo.lose(50_000);
    let mut heard = Heard::default();
    let piece = piano(1, Duration::from_secs(120));
    let began = duo.now;
    // In the first half buffers find their size.
    let mut before = 0;
    for (n, (at, message)) in piece.iter().enumerate() {
        duo.run_until(began + *at, &mut |passed| heard.watch(&passed));
        if n == piece.len() / 2 {
            before = allocations();
        }
        duo.send(0, (*message).into());
    }
    let taken = allocations() - before;
    assert!(heard.losses > 50 && heard.repaired > 50, "{heard:?}");
    assert_eq!(taken, 0, "{heard:?}");
}

/// What a packet costs depends on what is unacknowledged: the same passage has journals of the same
/// length, takes no memory and leaves as much behind, early in a session and after a million packets.
#[test]
fn a_long_session_costs_no_more_than_a_short_one() {
    let piece = piano(1, Duration::from_secs(60));
    let mut recorder = Recorder::new(RecorderConfig::default(), SeqNum(0));
    let mut repairer = Repairer::new(RepairerConfig::default());
    let (mut seq, mut began, mut packets) = (SeqNum(0), 0, 0);
    let mut arrival = Arrival::First;
    let mut out = [0; 1024];
    let mut pass = |lengths: &mut Vec<usize>| {
        lengths.clear();
        for moment in piece.chunk_by(|(a, _), (b, _)| a == b) {
            let at = RtpTimestamp(began).wrapping_add((moment[0].0.as_micros() / 100) as u32);
            let written = recorder.write(at, Form::Full, &mut out).unwrap();
            lengths.push(written.len);
            // Every third packet is lost.
            if packets % 3 == 2 {
                arrival = Arrival::Gap;
            } else {
                repairer.begin(seq, at, arrival);
                arrival = Arrival::InOrder;
                if repairer.needs_repair() {
                    let journal = Journal::salvage(&out[..written.len]).unwrap();
                    let list = CommandSection::parse(&[0], at).unwrap();
                    repairer.repair(Some(&journal), &list, &mut |_| {});
                }
            }
            for (_, message) in moment {
                let message = Message::from(*message);
                recorder.record(at, message);
                if packets % 3 != 2 {
                    repairer.observe(at, message);
                }
            }
            recorder.end_packet();
            recorder.acknowledge(SeqNum(seq.0.wrapping_sub(5)));
            seq = seq.next();
            packets += 1;
        }
        began = began.wrapping_add(700_000);
        packets
    };
    let mut early = Vec::with_capacity(piece.len());
    let mut late = Vec::with_capacity(piece.len());
    for _ in 0..2 {
        pass(&mut early);
    }
    let (before, held) = (allocations(), live());
    while pass(&mut late) < 1_000_000 {
        assert_eq!(early, late);
    }
    assert_eq!(allocations() - before, 0);
    assert_eq!(live(), held);
}

/// The deadlines of all participants stand in one table.
#[test]
fn many_peers_take_no_memory_per_packet() {
    let mut config = Config::new("ours");
    config.journal = JournalPolicy::Full;
    let mut session = Session::new(config, 1, Time::ZERO).unwrap();
    let peers: Vec<_> = (0..20)
        .map(|n| {
            let peer = ScriptedPeer::new(n);
            let id = peer.join(&mut session, Time::ZERO);
            peer.synchronise(&mut session, Time::ZERO);
            (peer, id)
        })
        .collect();
    transmits(&mut session);
    let mut out = Vec::new();
    let mut round = |n: u64| {
        // Guards and reports come due at different times.
        let now = Time::from_millis(1000 + n * 7);
        session.handle_timeout(now);
        let key = Note::new((n % 128) as u8).unwrap();
        let note = ChannelMessage::note_on(Channel::C1, key, U7::MAX);
        for (_, id) in (n..)
            .zip(&peers)
            .filter(|(turn, _)| turn % 9 < 5)
            .map(|(_, it)| it)
        {
            session.send(now, *id, note.into()).unwrap();
        }
        while let Some(transmit) = session.poll_transmit(&mut out) {
            // Two of three are told that they came.
            let peer = peers.iter().find(|(peer, _)| peer.data == transmit.to);
            if let Some((peer, _)) = peer
                && !n.is_multiple_of(3)
            {
                let seq = SeqNum(u16::from_be_bytes([out[2], out[3]]));
                let mut report = [0; Feedback::LEN];
                Feedback::new(peer.ssrc, seq).encode(&mut report).unwrap();
                let local = LocalPort::control(PairId(0));
                session.handle_datagram(now, local, peer.control, &report);
            }
        }
        while session.poll_event().is_some() {}
    };
    (0..2_000).for_each(&mut round);
    let before = allocations();
    (2_000..4_000).for_each(&mut round);
    assert_eq!(allocations() - before, 0);
}

/// Nor does what waits for its time, or for a bitrate limit.
#[test]
fn schedules_and_limits_take_no_memory_per_packet() {
    let mut config = Config::new("ours");
    config.journal = JournalPolicy::Full;
    config.pacing = Some(Pacing::DIN);
    let mut session = Session::new(config, 1, Time::ZERO).unwrap();
    let peer = ScriptedPeer::new(1);
    let id = peer.join(&mut session, Time::ZERO);
    peer.synchronise(&mut session, Time::ZERO);
    transmits(&mut session);
    let mut out = Vec::new();
    let mut round = |n: u64| {
        let now = Time::from_millis(1000 + n * 5);
        session.handle_timeout(now);
        let key = Note::new((n % 128) as u8).unwrap();
        let on = ChannelMessage::note_on(Channel::C1, key, U7::MAX);
        let off = ChannelMessage::note_off(Channel::C1, key, U7::MAX);
        // 12 octets in 5 ms, of which a DIN plug carries 15; and a chord now and then, which waits.
        for _ in 0..if n.is_multiple_of(40) { 25 } else { 0 } {
            session.send(now, id, off.into()).unwrap();
        }
        session.send(now, id, on.into()).unwrap();
        for after in [20, 300, 7] {
            let at = now + Duration::from_millis(after);
            session.send_at(now, at, id, off.into()).unwrap();
        }
        while let Some(transmit) = session.poll_transmit(&mut out) {
            if transmit.to == peer.data && !n.is_multiple_of(3) {
                let seq = SeqNum(u16::from_be_bytes([out[2], out[3]]));
                let mut report = [0; Feedback::LEN];
                Feedback::new(peer.ssrc, seq).encode(&mut report).unwrap();
                let local = LocalPort::control(PairId(0));
                session.handle_datagram(now, local, peer.control, &report);
            }
        }
        while session.poll_event().is_some() {}
        session.participant_stats(id).unwrap()
    };
    (0..2_000).for_each(|n| {
        round(n);
    });
    let before = allocations();
    let stats = (2_000..4_000).map(&mut round).last().unwrap();
    assert_eq!(allocations() - before, 0);
    assert!(stats.pacing_waits > 100, "{stats:?}");
    assert!(stats.messages_sent > 15_000, "{stats:?}");
}
