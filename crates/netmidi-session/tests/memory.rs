//! Memory: none is taken per packet, and no peer can make a session hold more than its bounds.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

mod counting;

use core::net::SocketAddr;

use netmidi_message::{Channel, ChannelMessage, Message, Note, SysEx, SystemCommon, U7, U14};
use netmidi_session::{Config, Event, LocalPort, PairId, ParticipantId, Session, Time};
use netmidi_testkit::{Rng, ScriptedPeer, vectors};
use netmidi_wire::{ClockCount, ClockTicks, ExchangeKind, SeqNum};

fn allocations(work: impl FnOnce()) -> u64 {
    let before = counting::allocations();
    work();
    counting::allocations() - before
}

/// One of each kind that is not system exclusive.
fn short_messages() -> Vec<Message<'static>> {
    [
        &[0x80, 60, 0][..],
        &[0x90, 60, 100],
        &[0xA1, 60, 1],
        &[0xB2, 7, 100],
        &[0xC3, 5],
        &[0xD4, 6],
        &[0xE5, 0, 64],
        &[0xF1, 0x35],
        &[0xF2, 1, 2],
        &[0xF3, 3],
        &[0xF6],
        &[0xF8],
        &[0xFA],
        &[0xFB],
        &[0xFC],
        &[0xFE],
        &[0xFF],
    ]
    .into_iter()
    .map(|octets| Message::parse(octets).unwrap())
    .collect()
}

struct Fixture {
    session: Session,
    peer: ScriptedPeer,
    id: ParticipantId,
    out: Vec<u8>,
}

impl Fixture {
    fn new() -> Self {
        let mut session = Session::new(Config::new("ours"), 1, Time::ZERO).unwrap();
        let peer = ScriptedPeer::new(1);
        let id = peer.join(&mut session, Time::ZERO);
        peer.synchronise(&mut session, Time::ZERO);
        let mut fixture = Self {
            session,
            peer,
            id,
            out: Vec::new(),
        };
        fixture.drain();
        fixture
    }

    /// Drains as a driver does: nothing is kept.
    fn drain(&mut self) -> (usize, usize) {
        let (mut packets, mut messages) = (0, 0);
        while self.session.poll_transmit(&mut self.out).is_some() {
            packets += 1;
        }
        while let Some(event) = self.session.poll_event() {
            messages += usize::from(matches!(event, Event::Message { .. }));
        }
        (packets, messages)
    }

    fn receive(&mut self, now: Time, packet: &[u8]) {
        let local = LocalPort::data(PairId(0));
        self.session
            .handle_datagram(now, local, self.peer.data, packet);
    }
}

#[test]
fn receiving_takes_no_memory() {
    let mut fixture = Fixture::new();
    let messages = short_messages();
    let packets: Vec<_> = (0..1000u64)
        .map(|n| {
            let first = usize::try_from(n).unwrap() % messages.len();
            fixture
                .peer
                .packet(Time::from_millis(n), &messages[first..])
        })
        .collect();
    // Buffers find their size in the first packets.
    for (n, packet) in packets.iter().take(20).enumerate() {
        fixture.receive(Time::from_millis(n as u64), packet);
        fixture.drain();
    }
    let mut received = 0;
    let taken = allocations(|| {
        for (n, packet) in packets.iter().enumerate().skip(20) {
            fixture.receive(Time::from_millis(n as u64), packet);
            received += fixture.drain().1;
        }
    });
    assert!(received > 8000, "{received} messages");
    assert_eq!(taken, 0, "allocations for {received} messages");
}

#[test]
fn sending_takes_no_memory() {
    let mut fixture = Fixture::new();
    let messages = short_messages();
    let send = |fixture: &mut Fixture, rounds: core::ops::Range<u64>| {
        let mut packets = 0;
        for n in rounds {
            for message in &messages {
                fixture
                    .session
                    .send(Time::from_millis(n), fixture.id, *message)
                    .unwrap();
            }
            packets += fixture.drain().0;
        }
        packets
    };
    send(&mut fixture, 0..5);
    let mut packets = 0;
    let taken = allocations(|| packets = send(&mut fixture, 5..1000));
    assert_eq!(packets, 995);
    assert_eq!(taken, 0, "allocations for {packets} packets");
}

#[test]
fn clock_exchanges_take_no_memory() {
    let mut fixture = Fixture::new();
    let ck0 = fixture.peer.clock(
        ClockCount::Ck0,
        [ClockTicks(1), ClockTicks(0), ClockTicks(0)],
    );
    // Introductions are over by then.
    for now in 1..10 {
        fixture.receive(Time::from_secs(now), &ck0);
        fixture.drain();
    }
    let taken = allocations(|| {
        for n in 0..100 {
            fixture.receive(Time::from_millis(10_000 + n), &ck0);
            assert_eq!(fixture.drain().0, 1);
        }
    });
    assert_eq!(taken, 0);
}

#[test]
fn a_participant_at_rest_gives_memory_back() {
    let mut fixture = Fixture::new();
    let ck0 = fixture.peer.clock(
        ClockCount::Ck0,
        [ClockTicks(1), ClockTicks(0), ClockTicks(0)],
    );
    let play = |fixture: &mut Fixture, now: Time| {
        for channel in Channel::all() {
            for key in (30..60).filter_map(Note::new) {
                let on = ChannelMessage::note_on(channel, key, U7::MAX);
                let off = ChannelMessage::note_off(channel, key, U7::MIN);
                for message in [on, off] {
                    let id = fixture.id;
                    fixture.session.send(now, id, message.into()).unwrap();
                }
            }
        }
        // Guards tell what the first journals left out.
        for _ in 0..10 {
            let mut last = None;
            while fixture.session.poll_transmit(&mut fixture.out).is_some() {
                if fixture.out[0] == 0x80 {
                    last = Some(u16::from_be_bytes([fixture.out[2], fixture.out[3]]));
                }
            }
            let Some(last) = last else { break };
            let feedback = fixture.peer.feedback(SeqNum(last));
            let (local, from) = (LocalPort::control(PairId(0)), fixture.peer.control);
            let session = &mut fixture.session;
            session.handle_datagram(now, local, from, &feedback);
        }
        fixture.drain();
    };
    play(&mut fixture, Time::from_secs(1));
    let busy = counting::live();
    fixture.receive(Time::from_secs(2), &ck0);
    fixture.drain();
    assert_eq!(counting::live(), busy, "it may go on");
    fixture.receive(Time::from_secs(20), &ck0);
    fixture.drain();
    let less = busy - counting::live();
    assert!(less > 16 * 512, "{less}");
    // And it goes on as before.
    play(&mut fixture, Time::from_secs(21));
    assert_eq!(counting::live(), busy);
}

#[test]
fn a_sysex_takes_memory_once() {
    let mut fixture = Fixture::new();
    let data = [0x55; 700];
    let sysex = Message::from(SysEx::new(&data).unwrap());
    let packets: Vec<_> = (0..100)
        .map(|n| fixture.peer.packet(Time::from_millis(n), &[sysex]))
        .collect();
    fixture.receive(Time::ZERO, &packets[0]);
    fixture.drain();
    let taken = allocations(|| {
        for packet in &packets[1..] {
            fixture.receive(Time::ZERO, packet);
            assert_eq!(fixture.drain().1, 1);
        }
    });
    assert_eq!(taken, 99, "one for each received");
    fixture.session.send(Time::ZERO, fixture.id, sysex).unwrap();
    fixture.drain();
    let taken = allocations(|| {
        for _ in 0..100 {
            fixture.session.send(Time::ZERO, fixture.id, sysex).unwrap();
            assert_eq!(fixture.drain().0, 1);
        }
    });
    assert_eq!(taken, 100, "one for each sent");
}

/// Datagrams to be damaged: every golden vector, and what peers of ours would send.
fn corpus() -> Vec<Vec<u8>> {
    let mut corpus: Vec<Vec<u8>> = [
        "applemidi",
        "commands",
        "malformed",
        "journal-channel",
        "journal-system",
        "journal-combined",
    ]
    .into_iter()
    .flat_map(vectors)
    .map(|vector| vector.octets)
    .collect();
    for n in 0..8 {
        let mut peer = ScriptedPeer::new(n);
        for kind in [
            ExchangeKind::Invitation,
            ExchangeKind::Accepted,
            ExchangeKind::End,
        ] {
            corpus.push(peer.exchange(kind));
        }
        corpus.push(peer.clock(
            ClockCount::Ck0,
            [ClockTicks(1), ClockTicks(2), ClockTicks(3)],
        ));
        corpus.push(peer.feedback(SeqNum(7)));
        corpus.push(peer.packet(Time::ZERO, &short_messages()));
        corpus.push(peer.packet(Time::ZERO, &[SysEx::new(&[1; 300]).unwrap().into()]));
    }
    corpus
}

/// Changes, cuts, lengthens and mixes octets. Returns which peer they claim to be from, or would if
/// they could.
fn damage(rng: &mut Rng, corpus: &[Vec<u8>], seq: SeqNum, out: &mut Vec<u8>) -> u16 {
    out.clear();
    out.extend(&corpus[rng.index(corpus.len())]);
    for _ in 0..rng.index(4) {
        match rng.index(5) {
            0 if !out.is_empty() => out.truncate(rng.index(out.len() + 1)),
            1 => out.push(rng.octet()),
            2 => {
                let other = &corpus[rng.index(corpus.len())];
                out.extend(&other[rng.index(other.len() + 1)..]);
            }
            _ if !out.is_empty() => {
                let at = rng.index(out.len());
                out[at] = if rng.chance(500_000) {
                    rng.octet()
                } else {
                    out[at] ^ 1 << rng.index(8)
                };
            }
            _ => {}
        }
    }
    // Half of them claim to be one of a few peers, the healthy one among them.
    let n = u16::try_from(rng.index(8)).unwrap();
    let claimed = ScriptedPeer::new(n).ssrc;
    let at = if out.starts_with(&[0xFF, 0xFF]) {
        if out.get(2..4) == Some(b"CK") { 4 } else { 12 }
    } else {
        8
    };
    if rng.chance(500_000)
        && let Some(ssrc) = out.get_mut(at..at + 4)
    {
        ssrc.copy_from_slice(&claimed.0.to_be_bytes());
    }
    // And most packets fit into a stream.
    if at == 8
        && rng.chance(800_000)
        && let Some(number) = out.get_mut(2..4)
    {
        number.copy_from_slice(&seq.0.to_be_bytes());
    }
    n
}

#[test]
fn a_million_damaged_datagrams_cost_a_healthy_peer_nothing() {
    const DATAGRAMS: u32 = 1_000_000;
    const EVERY: u32 = 50;
    // Generous for the bounds below; without them, a million datagrams would pass it many times.
    const MEMORY: isize = 1 << 20;

    let corpus = corpus();
    let mut rng = Rng::new(0xBAD);
    let mut datagram = Vec::with_capacity(4096);
    let before = counting::live();
    let mut config = Config::new("ours");
    config.max_participants = 8;
    config.max_sysex = 4096;
    let mut session = Session::new(config, 1, Time::ZERO).unwrap();
    let mut healthy = ScriptedPeer::new(1);
    healthy.control = "198.51.100.1:5004".parse().unwrap();
    healthy.data = "198.51.100.1:5005".parse().unwrap();
    let id = healthy.join(&mut session, Time::ZERO);
    // Hostile addresses: other hosts, and the healthy peer's own host from another port.
    let sources: Vec<SocketAddr> = (0..6u16)
        .flat_map(|n| [ScriptedPeer::new(n).control, ScriptedPeer::new(n).data])
        .chain([
            "198.51.100.1:5006".parse().unwrap(),
            "198.51.100.2:5005".parse().unwrap(),
        ])
        .collect();
    let locals = [LocalPort::control(PairId(0)), LocalPort::data(PairId(0))];
    let mut out = Vec::new();
    let (mut sent, mut received, mut others, mut most) = (0u16, 0u16, 0u64, 0);
    for n in 0..DATAGRAMS {
        let now = Time::from_micros(u64::from(n) * 100);
        let seq = SeqNum(u16::try_from(n / 16 % 0x1_0000).unwrap());
        let claimed = ScriptedPeer::new(damage(&mut rng, &corpus, seq, &mut datagram));
        // Mostly from where they claim to be from, so that much of it comes through.
        let (mut from, local) = match rng.index(5) {
            0 => (sources[rng.index(sources.len())], locals[rng.index(2)]),
            1 | 2 => (claimed.control, locals[0]),
            _ => (claimed.data, locals[1]),
        };
        if from.ip() == healthy.data.ip() && datagram.get(2..4) == Some(b"IN") {
            // A host may invite its own peer anew; anything else from its other ports is foreign.
            from = sources[0];
        }
        session.handle_datagram(now, local, from, &datagram);
        if n % EVERY == 0 {
            let pos = U14::new(sent % 16_384).unwrap();
            healthy.play(
                &mut session,
                now,
                &[SystemCommon::SongPosition { pos }.into()],
            );
            sent += 1;
        }
        while session.poll_transmit(&mut out).is_some() {}
        while let Some(event) = session.poll_event() {
            match event {
                Event::Message {
                    participant,
                    message,
                    ..
                } if participant == id => {
                    let pos = U14::new(received % 16_384).unwrap();
                    assert_eq!(message, Message::from(SystemCommon::SongPosition { pos }));
                    received += 1;
                }
                Event::Left { participant, .. } | Event::Lost { participant, .. } => {
                    assert_ne!(participant, id, "{event:?}");
                }
                Event::Message { .. } => others += 1,
                _ => {}
            }
        }
        most = most.max(counting::live() - before);
    }
    assert_eq!(sent, 20_000);
    assert_eq!(received, sent, "every message of the healthy peer");
    // The test would prove little if nothing hostile came near the inner parts.
    let stats = session.stats();
    assert!(others > 10_000, "{others} messages of others");
    assert!(stats.invitations_accepted > 1000, "{stats:?}");
    assert!(
        stats.malformed_control > 10_000 && stats.malformed_rtp > 10_000,
        "{stats:?}"
    );
    assert!(
        stats.wrong_source > 10_000 && stats.unknown_sender > 10_000,
        "{stats:?}"
    );
    assert!(most < MEMORY, "{most} octets held");
    // And the session still works, in both directions.
    let note = ChannelMessage::note_on(Channel::C1, Note::MIDDLE_C, U7::MAX);
    session.send(Time::from_secs(100), id, note.into()).unwrap();
    assert!(session.poll_transmit(&mut out).is_some());
}
