//! Hosts that are not the peer: they inject nothing, end nothing, move no clock and take no memory, and
//! every datagram of theirs is counted. Floods leave those who are connected untouched, and let honest
//! peers in.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

mod counting;

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;

use netmidi_message::{ChannelMessage, Message, MessageBuf};
use netmidi_session::{
    Config, Event, LocalPort, Origin, PairId, ParticipantId, Session, SessionStats, Ssrc, Time,
};
use netmidi_testkit::{Rng, ScriptedPeer, events, transmits};
use netmidi_wire::{BitrateLimit, ClockCount, ClockTicks, Control, ExchangeKind, SeqNum, Token};

const CONTROL: LocalPort = LocalPort::control(PairId(0));
const DATA: LocalPort = LocalPort::data(PairId(0));
const START: Time = Time::from_secs(10);
/// What a whole session may hold in a flood, besides what it held before: the pending table with
/// names of 255 octets, and participants that are none.
const FLOOD_MEMORY: isize = 2 << 20;

/// The counters that tell why a datagram was not taken. Each datagram is in one of them.
fn causes(stats: &SessionStats) -> Vec<(&'static str, u64)> {
    vec![
        ("malformed_control", stats.malformed_control),
        ("malformed_rtp", stats.malformed_rtp),
        ("foreign_payload", stats.foreign_payload),
        ("rtp_on_control", stats.rtp_on_control),
        ("unknown_sender", stats.unknown_sender),
        ("wrong_source", stats.wrong_source),
        ("unexpected_answer", stats.unexpected_answer),
        ("unexpected_clock", stats.unexpected_clock),
        ("stale_bye", stats.stale_bye),
        ("newcomer_clocks", stats.newcomer_clocks),
        ("invitations_begun", stats.invitations_begun),
        ("invitations_repeated", stats.invitations_repeated),
        ("invitations_accepted", stats.invitations_accepted),
        ("invitations_refused", stats.invitations_refused),
        ("invitations_barred", stats.invitations_barred),
        ("invitations_withdrawn", stats.invitations_withdrawn),
        ("invitations_limited", stats.invitations_limited),
        ("invitations_ignored", stats.invitations_ignored),
    ]
}

fn counted(before: &SessionStats, after: &SessionStats) -> Vec<(&'static str, u64)> {
    causes(before)
        .into_iter()
        .zip(causes(after))
        .map(|((name, before), (_, after))| (name, after - before))
        .filter(|(_, times)| *times > 0)
        .collect()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn note(n: u64) -> Message<'static> {
    let number = netmidi_message::U7::new((n % 128) as u8).unwrap();
    let velocity = netmidi_message::U7::new((n % 127 + 1) as u8).unwrap();
    let channel = netmidi_message::Channel::C1;
    ChannelMessage::note_on(channel, number.into(), velocity).into()
}

/// Five who play to us and are played to.
struct Band {
    session: Session,
    members: Vec<(ParticipantId, ScriptedPeer)>,
    played: u64,
    before: SessionStats,
    out: Vec<u8>,
    /// Octets held in the flood at most, and before it.
    most: isize,
    floor: isize,
    /// Datagrams that were no member's.
    hostile: u64,
}

impl Band {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new("ours");
        change(&mut config);
        let mut session = Session::new(config, 7, Time::ZERO).unwrap();
        let members: Vec<_> = (0..5)
            .map(|n| {
                let mut peer = ScriptedPeer::new(n);
                let host = [198, 51, 100, n as u8 + 1];
                peer.control = SocketAddr::from((host, 5004));
                peer.data = SocketAddr::from((host, 5005));
                let id = peer.join(&mut session, Time::ZERO);
                peer.synchronise(&mut session, Time::ZERO);
                (id, peer)
            })
            .collect();
        // Introductions are over.
        for second in 1..10 {
            session.handle_timeout(Time::from_secs(second));
            transmits(&mut session);
            for (_, peer) in &members {
                peer.synchronise(&mut session, Time::from_secs(second));
            }
        }
        session.handle_timeout(START);
        transmits(&mut session);
        events(&mut session);
        let before = session.stats();
        let mut band = Self {
            session,
            members,
            played: 0,
            before,
            out: Vec::with_capacity(2048),
            most: 0,
            floor: 0,
            hostile: 0,
        };
        for _ in 0..300 {
            band.play(START);
        }
        band.floor = counting::live();
        band
    }

    /// Every member plays a note, is played one, and both arrive.
    fn play(&mut self, now: Time) {
        self.played += 1;
        let n = self.played;
        for place in 0..self.members.len() {
            let (id, peer) = &mut self.members[place];
            let id = *id;
            let data = peer.data;
            peer.play(&mut self.session, now, &[note(n)]);
            let mut heard = 0;
            while let Some(event) = self.session.poll_event() {
                match event {
                    Event::Message {
                        participant,
                        message,
                        origin,
                        ..
                    } if participant == id => {
                        assert_eq!(message, MessageBuf::from(note(n)));
                        assert_eq!(origin, Origin::Live);
                        heard += 1;
                    }
                    event => self.check(&event),
                }
            }
            assert_eq!(heard, 1, "note {n} of {id}");
            self.session.send(now, id, note(n)).unwrap();
            let mut sent = 0;
            while let Some(transmit) = self.session.poll_transmit(&mut self.out) {
                sent += usize::from(self.out[0] == 0x80 && transmit.to == data);
            }
            assert!(sent >= 1, "note {n} to {id}");
            // It acknowledges, as peers do.
            if n.is_multiple_of(16) {
                let seq = SeqNum(u16::from_be_bytes([self.out[2], self.out[3]]));
                let rs = self.members[place].1.feedback(seq);
                let control = self.members[place].1.control;
                self.session.handle_datagram(now, CONTROL, control, &rs);
            }
        }
    }

    /// Nothing may be told of a member but what it plays.
    fn check(&self, event: &Event) {
        let of = match event {
            Event::Message { participant, .. }
            | Event::Lost { participant, .. }
            | Event::Left { participant, .. } => Some(*participant),
            Event::Overflow { .. } => panic!("{event:?}"),
            _ => None,
        };
        let is_member = |id| self.members.iter().any(|(member, _)| *member == id);
        assert!(!of.is_some_and(is_member), "{event:?}");
    }

    /// A datagram of somebody else comes. Returns what is sent.
    fn receive(&mut self, now: Time, local: LocalPort, from: SocketAddr, octets: &[u8]) -> usize {
        self.hostile += 1;
        self.session.handle_datagram(now, local, from, octets);
        self.drain(now)
    }

    fn drain(&mut self, now: Time) -> usize {
        self.most = self.most.max(counting::live() - self.floor);
        let mut sent = 0;
        while let Some(transmit) = self.session.poll_transmit(&mut self.out) {
            sent += 1;
            // Members answer when they are asked for their clocks.
            let asked = self.members.iter().find(|it| it.1.data == transmit.to);
            if let Some((_, member)) = asked
                && self.out[2..4] == *b"CK"
                && self.out[8] == 0
            {
                let first = u64::from_be_bytes(self.out[12..20].try_into().unwrap());
                let answer = [ClockTicks(first), ClockTicks(1), ClockTicks(0)];
                let ck1 = member.clock(ClockCount::Ck1, answer);
                let data = member.data;
                self.session.handle_datagram(now, DATA, data, &ck1);
            }
        }
        while let Some(event) = self.session.poll_event() {
            self.check(&event);
        }
        sent
    }

    /// The members are as they were, and every hostile datagram was counted once.
    fn assert_untouched(&mut self, now: Time, what: &str) {
        self.play(now);
        for (id, peer) in &self.members {
            let (_, found) = self.session.participants().find(|it| it.0 == *id).unwrap();
            assert_eq!(
                (found.control, found.data),
                (peer.control, peer.data),
                "{what}"
            );
            let stats = self.session.participant_stats(*id).unwrap();
            assert_eq!(
                (stats.lost, stats.duplicates, stats.reordered),
                (0, 0, 0),
                "{what}"
            );
            assert_eq!(stats.packets_received, self.played, "{what}");
        }
        let stats = self.session.stats();
        let counted: u64 = counted(&self.before, &stats).iter().map(|it| it.1).sum();
        assert_eq!(counted, self.hostile, "{what}: {stats:?}");
        assert_eq!(stats.events_dropped, 0, "{what}");
        assert!(self.most < FLOOD_MEMORY, "{what}: {} octets", self.most);
        println!("{what}: at most {} octets more than before", self.most);
    }
}

/// Every kind of packet that a member could send, with its identity or another.
fn packets(of: &ScriptedPeer, now: Time) -> Vec<(&'static str, LocalPort, Vec<u8>)> {
    let mut of = of.clone();
    let ticks = [ClockTicks(1), ClockTicks(0), ClockTicks(0)];
    let limit = Control::BitrateLimit(BitrateLimit {
        ssrc: of.ssrc,
        bits_per_second: 1,
    });
    let mut rl = vec![0; limit.encoded_len()];
    limit.encode(&mut rl).unwrap();
    vec![
        ("BY control", CONTROL, of.exchange(ExchangeKind::End)),
        ("BY data", DATA, of.exchange(ExchangeKind::End)),
        ("OK control", CONTROL, of.exchange(ExchangeKind::Accepted)),
        ("OK data", DATA, of.exchange(ExchangeKind::Accepted)),
        ("NO control", CONTROL, of.exchange(ExchangeKind::Rejected)),
        ("NO data", DATA, of.exchange(ExchangeKind::Rejected)),
        ("IN data", DATA, of.exchange(ExchangeKind::Invitation)),
        ("CK0", DATA, of.clock(ClockCount::Ck0, ticks)),
        ("CK1", DATA, of.clock(ClockCount::Ck1, ticks)),
        ("CK2", DATA, of.clock(ClockCount::Ck2, ticks)),
        ("RS", CONTROL, of.feedback(SeqNum(1))),
        ("RL", CONTROL, rl),
        ("RTP", DATA, of.packet(now, &[note(1)])),
        ("RTP control", CONTROL, of.packet(now, &[note(1)])),
        ("IN control", CONTROL, of.exchange(ExchangeKind::Invitation)),
    ]
}

#[test]
fn each_packet_from_elsewhere_is_counted_once_for_what_it_is() {
    // Where from, what, and why it is not taken. Another port of the member's host, with its SSRC and
    // its token; another host with the same; and its very address with an SSRC and a token of the
    // forger's own.
    let expected = |place: &str, kind: &str| match (place, kind) {
        (_, "OK control" | "OK data" | "NO control" | "NO data") => "unexpected_answer",
        (_, "RTP control") => "rtp_on_control",
        // No control half of theirs is known.
        (_, "IN data") => "invitations_refused",
        (_, "IN control") => "invitations_begun",
        ("port", _) => "wrong_source",
        _ => "unknown_sender",
    };
    let band = Band::new();
    let member = band.members[2].1.clone();
    let forger = ScriptedPeer {
        ssrc: Ssrc(0xBAD),
        token: Token(0xBAD),
        ..member.clone()
    };
    let places = [
        ("port", member.clone(), address("198.51.100.3:9999")),
        ("host", member.clone(), address("203.0.113.9:5005")),
        ("family", member.clone(), address("[2001:db8::9]:5005")),
        ("own", forger.clone(), member.data),
        ("own control", forger, member.control),
    ];
    for (place, claimed, from) in places {
        for (kind, local, packet) in packets(&claimed, START) {
            let mut band = Band::new();
            let before = band.session.stats();
            band.receive(START, local, from, &packet);
            let place = place.split(' ').next().unwrap();
            assert_eq!(
                counted(&before, &band.session.stats()),
                [(expected(place, kind), 1)],
                "{kind} from {from}"
            );
            let clocks = |band: &Band| {
                let ids = band.members.iter().map(|(id, _)| *id);
                ids.map(|id| band.session.participant_stats(id).unwrap().clock_exchanges)
                    .collect::<Vec<_>>()
            };
            let exchanged = clocks(&band);
            for seconds in 1..4 {
                let now = START + Duration::from_secs(seconds);
                band.session.handle_timeout(now);
                band.drain(now);
            }
            assert_eq!(clocks(&band), exchanged, "{kind} from {from}");
            band.assert_untouched(START + Duration::from_secs(4), kind);
        }
    }
    // Octets that are nothing.
    for (octets, local, why) in [
        (&b"\xFF\xFFIN"[..], CONTROL, "malformed_control"),
        (b"\xFF\xFFXX", DATA, "malformed_control"),
        (b"", DATA, "malformed_rtp"),
        (b"\x80\x61", DATA, "malformed_rtp"),
        (b"GET / HTTP/1.1", CONTROL, "malformed_rtp"),
        (
            &[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            DATA,
            "foreign_payload",
        ),
    ] {
        let mut band = Band::new();
        let before = band.session.stats();
        band.receive(START, local, member.data, octets);
        assert_eq!(
            counted(&before, &band.session.stats()),
            [(why, 1)],
            "{octets:02x?}"
        );
        band.assert_untouched(START, why);
    }
}

#[test]
fn guessing_identities_from_another_host_or_port_leads_nowhere() {
    let mut band = Band::new();
    let mut rng = Rng::new(9);
    let member = band.members[1].1.clone();
    let from = [
        member.data,
        member.control,
        address("198.51.100.2:7000"),
        address("203.0.113.9:5005"),
    ];
    for n in 0..40_000u64 {
        let now = START + Duration::from_micros(n * 50);
        let mut forger = member.clone();
        let guess = |rng: &mut Rng| rng.octet() as u32 | (rng.index(1 << 24) as u32) << 8;
        // The token alone, or both.
        forger.token = Token(guess(&mut rng));
        forger.ssrc = Ssrc(guess(&mut rng));
        let all = packets(&forger, now);
        // Control invitations come to more below.
        let (_, local, packet) = &all[rng.index(all.len() - 1)];
        band.receive(now, *local, from[rng.index(from.len())], packet);
        if n % 100 == 0 {
            band.play(now);
        }
    }
    band.assert_untouched(START + Duration::from_secs(3), "40,000 guesses");
    assert_eq!(band.session.participants().count(), 5);
}

#[test]
fn the_clock_of_a_participant_is_not_moved_by_guesses() {
    // From its own address and with its SSRC, which a forger would have to know first: it still has to
    // name both timestamps of an exchange.
    let mut band = Band::new();
    let (id, member) = band.members[0].clone();
    let exchanges = band.session.participant_stats(id).unwrap().clock_exchanges;
    let mut rng = Rng::new(4);
    for _ in 0..20_000 {
        let any = |rng: &mut Rng| ClockTicks((rng.index(1 << 30) as u64) << 14);
        let ticks = [any(&mut rng), any(&mut rng), any(&mut rng)];
        let count = [ClockCount::Ck1, ClockCount::Ck2][rng.index(2)];
        band.receive(START, DATA, member.data, &member.clock(count, ticks));
    }
    let stats = band.session.participant_stats(id).unwrap();
    assert_eq!(stats.clock_exchanges, exchanges);
    assert_eq!(band.session.stats().unexpected_clock, 20_000);
    band.assert_untouched(START, "20,000 ends of clock exchanges");
}

#[test]
fn bye_of_somebody_unknown_from_the_address_of_a_participant_is_a_question_at_most() {
    let mut band = Band::new();
    let member = band.members[0].1.clone();
    let forger = ScriptedPeer {
        ssrc: Ssrc(1),
        ..member.clone()
    };
    for n in 0..1000 {
        let now = START + Duration::from_millis(n);
        band.receive(
            now,
            CONTROL,
            member.control,
            &forger.exchange(ExchangeKind::End),
        );
        band.receive(now, DATA, member.data, &forger.exchange(ExchangeKind::End));
    }
    band.assert_untouched(START + Duration::from_secs(2), "2,000 BY");
}

#[test]
fn names_and_tokens_of_the_longest_kind_take_no_more_than_their_place() {
    for config in [
        |_: &mut Config| {},
        |config: &mut Config| {
            config.max_invitations_per_host = u32::MAX;
            config.max_invitations_per_second = u32::MAX;
        },
    ] {
        let mut band = Band::with(config);
        for n in 0..100_000u32 {
            let now = START + Duration::from_micros(u64::from(n) * 10);
            let mut peer = spoofed(n);
            peer.name = Some("x".repeat(1000));
            let invitation = peer.exchange(ExchangeKind::Invitation);
            band.receive(now, CONTROL, peer.control, &invitation);
            if n % 500 == 0 {
                band.play(now);
            }
        }
        band.assert_untouched(START + Duration::from_secs(1), "100,000 long names");
        // And all of it is given back.
        let later = START + Duration::from_secs(10);
        band.session.handle_timeout(later);
        band.drain(later);
        let left = counting::live() - band.floor;
        assert!(left < 100_000, "{left} octets are kept");
    }
}

/// Somebody with an address that differs from all others.
fn spoofed(n: u32) -> ScriptedPeer {
    let host = Ipv4Addr::from(0x0A00_0000 + n);
    ScriptedPeer {
        ssrc: Ssrc(0x5000_0000 + n),
        token: Token(0x6000_0000 + n),
        control: SocketAddr::from((host, 5004)),
        data: SocketAddr::from((host, 5005)),
        ..ScriptedPeer::new(1)
    }
}

/// One of many sessions at one host.
fn crowded(n: u32) -> ScriptedPeer {
    let host = Ipv4Addr::new(203, 0, 113, 66);
    let port = 1024 + 2 * (n % 30_000) as u16;
    ScriptedPeer {
        control: SocketAddr::from((host, port)),
        data: SocketAddr::from((host, port + 1)),
        ..spoofed(n)
    }
}

/// How honest peers fare.
#[derive(Debug, Default)]
struct Honest {
    tried: u32,
    /// With the first invitation.
    at_once: u32,
    /// With one of twelve, a second apart.
    joined: u32,
    kept: u32,
}

/// One honest peer: it goes on to its next step a way there and back after the last.
struct Visitor {
    peer: ScriptedPeer,
    at: Time,
    step: u8,
    tries: u32,
    ck: Option<[ClockTicks; 3]>,
}

/// Between two steps of an honest peer.
const ROUND_TRIP: Duration = Duration::from_millis(3);

/// A flood of 100,000 invitations at this pace, and honest peers that come meanwhile.
fn flood(
    what: &str,
    per_second: u64,
    both_halves: bool,
    forger: fn(u32) -> ScriptedPeer,
) -> Honest {
    const FLOOD: u32 = 100_000;
    let mut band = Band::new();
    let mut honest = Honest::default();
    let mut visitors: Vec<Visitor> = Vec::new();
    let gap = Duration::from_nanos(1_000_000_000 / per_second);
    let length = gap * FLOOD;
    let mut own = 0u64;
    for n in 0..FLOOD {
        let now = START + gap * n;
        let peer = forger(n);
        let invitation = peer.exchange(ExchangeKind::Invitation);
        band.receive(now, CONTROL, peer.control, &invitation);
        if both_halves {
            band.receive(now, DATA, peer.data, &invitation);
        }
        if n % 500 == 0 {
            band.play(now);
        }
        // A member whose OK was lost, long ago.
        if n % 1000 == 0 {
            let member = band.members[3].1.clone();
            let again = member.exchange(ExchangeKind::Invitation);
            assert_eq!(band.receive(now, CONTROL, member.control, &again), 1);
            assert_eq!(band.receive(now, DATA, member.data, &again), 1);
        }
        // Forty honest peers over the flood.
        if n % (FLOOD / 40) == FLOOD / 80 {
            let host = Ipv4Addr::from(0xC612_0000 + n);
            let peer = ScriptedPeer {
                ssrc: Ssrc(0x7777_0000 + n),
                control: SocketAddr::from((host, 5004)),
                data: SocketAddr::from((host, 5005)),
                ..ScriptedPeer::new(9)
            };
            visitors.push(Visitor {
                peer,
                at: now,
                step: 0,
                tries: 0,
                ck: None,
            });
            honest.tried += 1;
        }
        visit(&mut band, &mut visitors, now, &mut honest, &mut own);
    }
    // The rest of their tries, after the flood.
    let mut now = START + length;
    let end = now + Duration::from_secs(12);
    while now < end && visitors.iter().any(|it| it.step < 4) {
        now = now + Duration::from_millis(1);
        band.session.handle_timeout(now);
        band.drain(now);
        visit(&mut band, &mut visitors, now, &mut honest, &mut own);
    }
    let ssrcs: Vec<Ssrc> = band.session.participants().map(|it| it.1.ssrc).collect();
    let kept = visitors.iter().filter(|it| ssrcs.contains(&it.peer.ssrc));
    honest.kept = u32::try_from(kept.count()).unwrap();
    // Their own datagrams are counted too, where they are no participant's.
    band.hostile += own;
    band.assert_untouched(now, what);
    println!("{what}: {honest:?}");
    honest
}

/// The steps of honest peers that are due.
fn visit(band: &mut Band, visitors: &mut [Visitor], now: Time, honest: &mut Honest, own: &mut u64) {
    for visitor in visitors {
        if visitor.at > now || visitor.step >= 4 {
            continue;
        }
        let peer = &visitor.peer;
        let invitation = peer.exchange(ExchangeKind::Invitation);
        let ticks = ClockTicks(now.as_micros() / 100);
        let (local, from, packet) = match visitor.step {
            0 => (CONTROL, peer.control, invitation),
            1 => (DATA, peer.data, invitation),
            2 => {
                let ck0 = [ticks, ClockTicks(0), ClockTicks(0)];
                (DATA, peer.data, peer.clock(ClockCount::Ck0, ck0))
            }
            _ => {
                let [first, second, _] = visitor.ck.unwrap();
                let ck2 = [first, second, ticks];
                (DATA, peer.data, peer.clock(ClockCount::Ck2, ck2))
            }
        };
        let before = band.session.stats();
        band.session.handle_datagram(now, local, from, &packet);
        *own += counted(&before, &band.session.stats())
            .iter()
            .map(|it| it.1)
            .sum::<u64>();
        let mut answered = visitor.step == 3;
        for (transmit, octets) in transmits(&mut band.session) {
            if transmit.to != from {
                continue;
            }
            match &octets[2..4] {
                b"OK" => answered = true,
                b"CK" if octets[8] == 1 => {
                    answered = true;
                    let at = |i: usize| {
                        ClockTicks(u64::from_be_bytes(octets[i..i + 8].try_into().unwrap()))
                    };
                    visitor.ck = Some([at(12), at(20), ClockTicks(0)]);
                }
                _ => {}
            }
        }
        band.drain(now);
        if answered {
            visitor.step += 1;
            visitor.at = now + ROUND_TRIP;
            if visitor.step == 4 {
                honest.joined += 1;
                honest.at_once += u32::from(visitor.tries == 0);
            }
        } else {
            visitor.tries += 1;
            // Twelve tries, as Apple's driver.
            visitor.step = if visitor.tries < 12 { 0 } else { 5 };
            visitor.at = now + Duration::from_secs(1);
        }
    }
}

#[test]
fn a_flood_of_half_invitations_from_one_host() {
    let honest = flood("one host, control", 10_000, false, crowded);
    assert_eq!((honest.at_once, honest.kept), (40, 40));
    let honest = flood("one host, control, 100,000/s", 100_000, false, crowded);
    assert_eq!((honest.at_once, honest.kept), (40, 40));
}

#[test]
fn a_flood_of_whole_invitations_from_one_host() {
    let honest = flood("one host, both", 10_000, true, crowded);
    assert_eq!((honest.at_once, honest.kept), (40, 40));
    let honest = flood("one host, both, 100,000/s", 100_000, true, crowded);
    assert_eq!((honest.at_once, honest.kept), (40, 40));
}

#[test]
fn a_flood_of_half_invitations_from_many_hosts() {
    let honest = flood("many hosts, control", 10_000, false, spoofed);
    assert_eq!((honest.at_once, honest.kept), (40, 40));
    let honest = flood("many hosts, control, 100,000/s", 100_000, false, spoofed);
    assert_eq!((honest.joined, honest.kept), (40, 40));
}

#[test]
fn a_flood_of_whole_invitations_from_many_hosts() {
    let honest = flood("many hosts, both", 10_000, true, spoofed);
    assert_eq!((honest.joined, honest.kept), (40, 40));
    let honest = flood("many hosts, both, 100,000/s", 100_000, true, spoofed);
    assert_eq!((honest.joined, honest.kept), (40, 40));
}

#[test]
fn twelve_thousand_invitations_a_second_from_one_host_where_that_is_wanted() {
    let mut config = Config::new("ours");
    config.max_participants = 24_000;
    config.max_invitations_per_host = 12_000;
    let mut session = Session::new(config, 1, Time::ZERO).unwrap();
    let mut out = Vec::new();
    for n in 0..24_000u32 {
        let now = Time::from_micros(u64::from(n) * 1_000_000 / 12_000);
        let peer = crowded(n);
        let invitation = peer.exchange(ExchangeKind::Invitation);
        session.handle_datagram(now, CONTROL, peer.control, &invitation);
        session.handle_datagram(now, DATA, peer.data, &invitation);
        while session.poll_transmit(&mut out).is_some() {}
        while session.poll_event().is_some() {}
    }
    assert_eq!(session.participants().count(), 24_000);
    assert_eq!(session.stats().invitations_limited, 0);
}

#[test]
fn strangers_who_play_or_ask_for_the_time_are_told_at_a_bounded_pace() {
    let mut band = Band::with(|config| config.max_strangers_told = 100);
    for n in 0..100_000u32 {
        let now = START + Duration::from_micros(u64::from(n) * 10);
        let mut peer = spoofed(n);
        let packet = if n % 2 == 0 {
            peer.packet(now, &[note(1)])
        } else {
            let ticks = [ClockTicks(1), ClockTicks(0), ClockTicks(0)];
            peer.clock(ClockCount::Ck0, ticks)
        };
        band.receive(now, DATA, peer.data, &packet);
        if n % 500 == 0 {
            band.play(now);
        }
    }
    let told = band.session.stats().strangers_told;
    assert!((150..=201).contains(&told), "{told}");
    band.assert_untouched(START + Duration::from_secs(1), "100,000 from strangers");
}

#[test]
fn challenges_to_the_address_of_a_participant_are_bounded() {
    // Its SSRC is known, from another port of its host: as if a router had given it another one.
    let mut band = Band::new();
    let (_, member) = band.members[4].clone();
    for n in 0..100_000u32 {
        let now = START + Duration::from_micros(u64::from(n) * 10);
        let mut forger = member.clone();
        let from = SocketAddr::from(([198, 51, 100, 5], 10_000 + (n % 50_000) as u16));
        let packet = match n % 4 {
            0 => forger.packet(now, &[note(1)]),
            1 => forger.clock(ClockCount::Ck0, [ClockTicks(1); 3]),
            2 => forger.clock(ClockCount::Ck1, [ClockTicks(u64::from(n)); 3]),
            _ => forger.exchange(ExchangeKind::End),
        };
        band.receive(now, DATA, from, &packet);
        if n % 500 == 0 {
            band.play(now);
        }
    }
    let stats = band.session.stats();
    assert!(stats.moves_checked <= 5, "{stats:?}");
    assert_eq!(stats.moves, 0);
    band.assert_untouched(START + Duration::from_secs(1), "100,000 false moves");
}

#[test]
fn forged_restarts_leave_the_participant_where_it_is() {
    let mut band = Band::new();
    let (_, member) = band.members[0].clone();
    for n in 0..100_000u32 {
        let now = START + Duration::from_micros(u64::from(n) * 100);
        let forger = ScriptedPeer {
            ssrc: Ssrc(n + 1),
            token: Token(n + 1),
            ..member.clone()
        };
        let invitation = forger.exchange(ExchangeKind::Invitation);
        band.receive(now, CONTROL, member.control, &invitation);
        band.receive(now, DATA, member.data, &invitation);
        if n % 2000 == 0 {
            band.play(now);
        }
    }
    assert_eq!(band.session.participants().count(), 5);
    band.assert_untouched(START + Duration::from_secs(10), "100,000 forged restarts");
}

#[test]
fn half_open_sessions_are_bounded_and_forgotten() {
    let mut band = Band::with(|config| {
        config.max_invitations = 100;
        config.max_invitations_per_host = 1_000_000;
    });
    for n in 0..10_000 {
        let peer = crowded(n);
        let invitation = peer.exchange(ExchangeKind::Invitation);
        band.receive(START, CONTROL, peer.control, &invitation);
    }
    let stats = band.session.stats();
    assert_eq!(stats.invitations_displaced, 10_000 - 100);
    band.assert_untouched(START, "10,000 half-open sessions");
    band.session.handle_timeout(START + Duration::from_secs(5));
    assert_eq!(band.session.stats().invitations_expired, 100);
}
