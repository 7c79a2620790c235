//! When MIDI goes out: for later, no faster than a limit, no larger than a receiver takes.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use core::time::Duration;

use netmidi_journal::{Journal, SysExStatus};
use netmidi_message::{Message, MessageBuf, SysEx};
use netmidi_session::{
    Config, ConfigError, JournalPolicy, LocalPort, MIN_BITRATE, Pacing, PacketBudget, PairId,
    ParticipantId, ParticipantStats, SendError, Session, Time, Transmit, UndefinedCommands,
};
use netmidi_testkit::{ScriptedPeer, to_hex, transmits, unpack};
use netmidi_wire::{BitrateLimit, ClockCount, ClockTicks, Command, RtpPacket, SegmentKind, SeqNum};
use proptest::prelude::*;

const MILLI: Duration = Duration::from_millis(1);

fn wire(octets: &'static [u8]) -> Message<'static> {
    Message::parse(octets).unwrap()
}

fn ms(millis: u64) -> Time {
    Time::from_millis(millis)
}

/// A session with one participant, and what it sends.
struct Stand {
    session: Session,
    peer: ScriptedPeer,
    id: ParticipantId,
    now: Time,
    /// So late we are called.
    late: Duration,
    /// Whether the peer tells at once what arrived.
    acknowledges: bool,
    sent: Vec<(Time, Transmit, Vec<u8>)>,
    /// Where our clock began.
    origin: u32,
}

impl Stand {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        let stand = Self::unready(change);
        let Self { peer, .. } = &stand;
        let (peer, mut stand) = (peer.clone(), stand);
        peer.synchronise(&mut stand.session, Time::ZERO);
        stand.drain();
        stand
    }

    /// The participant is not ready for MIDI.
    fn unready(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new("ours");
        config.journal = JournalPolicy::Off;
        change(&mut config);
        let mut session = Session::new(config, 1, Time::ZERO).unwrap();
        let peer = ScriptedPeer::new(1);
        let id = peer.join(&mut session, Time::ZERO);
        let ck0 = peer.clock(ClockCount::Ck0, [ClockTicks(0); 3]);
        session.handle_datagram(Time::ZERO, LocalPort::data(PairId(0)), peer.data, &ck0);
        let (_, ck1) = transmits(&mut session).remove(0);
        let origin = u32::from_be_bytes(ck1[24..28].try_into().unwrap());
        Self {
            session,
            origin,
            peer,
            id,
            now: Time::ZERO,
            late: Duration::ZERO,
            acknowledges: false,
            sent: Vec::new(),
        }
    }

    fn limited(bits_per_second: u32) -> Self {
        let mut stand = Self::new(|_| {});
        stand.limit(bits_per_second);
        stand
    }

    fn limit(&mut self, bits_per_second: u32) {
        let limit = BitrateLimit {
            ssrc: self.peer.ssrc,
            bits_per_second,
        };
        let local = LocalPort::control(PairId(0));
        let from = self.peer.control;
        self.session
            .handle_datagram(self.now, local, from, &limit.to_vec());
        self.drain();
    }

    fn send(&mut self, message: Message<'_>) {
        self.session.send(self.now, self.id, message).unwrap();
    }

    fn send_at(&mut self, at: Time, message: Message<'_>) {
        self.session
            .send_at(self.now, at, self.id, message)
            .unwrap();
    }

    fn drain(&mut self) {
        let mut out = Vec::new();
        while let Some(transmit) = self.session.poll_transmit(&mut out) {
            if self.acknowledges && out[0] != 0xFF {
                let seq = SeqNum(u16::from_be_bytes([out[2], out[3]]));
                let report = self.peer.feedback(seq);
                let local = LocalPort::control(PairId(0));
                let from = self.peer.control;
                self.session.handle_datagram(self.now, local, from, &report);
            }
            self.sent.push((self.now, transmit, out.clone()));
        }
        while self.session.poll_event().is_some() {}
        let next = self.session.poll_timeout();
        assert!(
            next.is_none_or(|at| at > self.now),
            "{next:?} at {}: it would spin",
            self.now
        );
    }

    /// Time goes by.
    fn run_until(&mut self, end: Time) {
        self.drain();
        while let Some(next) = self.session.poll_timeout().filter(|at| *at <= end) {
            self.now = (next + self.late).min(end);
            self.session.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
        self.session.handle_timeout(end);
        self.drain();
    }

    fn packets(&self) -> Vec<Vec<u8>> {
        let midi = self.sent.iter().filter(|(.., octets)| octets[0] != 0xFF);
        midi.map(|(.., octets)| octets.clone()).collect()
    }

    /// What was sent, put together again.
    fn played(&self) -> Vec<String> {
        let played = unpack(&self.packets());
        played
            .into_iter()
            .map(|(_, message)| to_hex(&message.to_vec()))
            .collect()
    }

    /// When MIDI went out, and how many octets of it.
    fn flow(&self) -> Vec<(Time, u64)> {
        let midi = self.sent.iter().filter(|(.., octets)| octets[0] != 0xFF);
        midi.map(|(at, _, octets)| (*at, midi_octets(octets)))
            .collect()
    }

    /// When each message went out, with its timestamp, since our clock began, and octets.
    fn moments(&self) -> Vec<(Time, u32, String)> {
        let midi = self.sent.iter().filter(|(.., octets)| octets[0] != 0xFF);
        midi.flat_map(|(at, _, octets)| {
            let packet = unpack(core::slice::from_ref(octets));
            packet.into_iter().map(|(stamp, message)| {
                let stamp = stamp.0.wrapping_sub(self.origin);
                (*at, stamp, to_hex(&message.to_vec()))
            })
        })
        .collect()
    }

    fn stats(&self) -> ParticipantStats {
        self.session.participant_stats(self.id).unwrap()
    }
}

/// Octets that the commands of a packet are on a DIN plug.
fn midi_octets(packet: &[u8]) -> u64 {
    let section = RtpPacket::parse(packet).unwrap().command_section().unwrap();
    let octets = section.commands().map(|it| match it.command.unwrap() {
        Command::Message(message) => message.encoded_len(),
        Command::SysEx(segment) => {
            segment.data().len()
                + match segment.kind() {
                    SegmentKind::Whole => 2,
                    SegmentKind::Middle => 0,
                    _ => 1,
                }
        }
    });
    octets.sum::<usize>() as u64
}

/// Checks that from any packet to any later one no more went out than the limit carries in that
/// time and `burst` octets.
fn assert_within(flow: &[(Time, u64)], bits_per_second: u32, burst: u64) {
    const OCTET: i128 = 10_000_000;
    let (mut sum, mut least) = (0, i128::MAX);
    for (at, octets) in flow {
        let carried = i128::from(bits_per_second) * i128::from(at.as_micros());
        least = least.min(sum - carried);
        sum += i128::from(*octets) * OCTET;
        let over = sum - carried - least;
        assert!(
            over <= i128::from(burst) * OCTET,
            "at {at}: {} octets at once",
            over / OCTET
        );
    }
}

fn burst(bits_per_second: u32) -> u64 {
    u64::from(bits_per_second / 500).max(32)
}

// Limits.

#[test]
fn a_limit_is_kept_to_the_octet_and_used() {
    for (bits, late) in [
        (MIN_BITRATE, 0),
        (9_999, 3),
        (31_250, 0),
        (31_250, 1),
        (31_250, 5),
        (38_400, 8),
        (1_000_003, 1),
    ] {
        let mut stand = Stand::limited(bits);
        stand.late = MILLI * late;
        let dump = vec![0x2A; 700];
        let mut given = 0;
        // Notes, clocks and dumps, more than it takes for ten seconds.
        for n in 0.. {
            let message = match n % 7 {
                0 => SysEx::new(&dump).unwrap().into(),
                1 | 2 => wire(&[0xF8]),
                3 => wire(&[0xC5, 1]),
                _ => wire(&[0x90, 60, 100]),
            };
            stand.send(message);
            given += message.encoded_len() as u64;
            if given > u64::from(bits) + 2000 {
                break;
            }
        }
        stand.run_until(Time::from_secs(10));
        let flow = stand.flow();
        assert_within(&flow, bits, burst(bits));
        let octets: u64 = flow.iter().map(|(_, octets)| octets).sum();
        assert_eq!(octets, stand.stats().midi_octets_sent);
        assert!(
            octets * 100 > u64::from(bits) * 95,
            "{octets} of {bits} bits a second, {late} ms late"
        );
        // And not with a packet for each message.
        assert!(flow.len() as u64 * burst(bits) / 4 < octets || bits > 1_000_000);
        let stats = stand.stats();
        assert_eq!(stats.bitrate_limit, Some(bits));
        assert!(stats.pacing_waits > 100, "{stats:?}");
        assert!(stats.pacing_waited > Duration::from_secs(9), "{stats:?}");
        assert!(stats.pacing_waited <= Duration::from_secs(10), "{stats:?}");
    }
}

#[test]
fn what_is_within_the_limit_is_not_held_back() {
    let mut stand = Stand::limited(31_250);
    for n in 0..200 {
        // A chord of six every 20 ms: 18 octets of 62.
        for _ in 0..6 {
            stand.send(wire(&[0x90, 60, 100]));
        }
        stand.run_until(ms(n * 20));
    }
    assert_eq!(stand.stats().pacing_waits, 0);
    assert_eq!(stand.flow().len(), 200);
}

#[test]
fn order_is_kept_between_dumps_and_notes() {
    let mut stand = Stand::limited(31_250);
    let mut sent = Vec::new();
    for n in 0..30u8 {
        let data: Vec<u8> = (0..usize::from(n) * 13).map(|it| it as u8 % 128).collect();
        let dump: Message<'_> = SysEx::new(&data).unwrap().into();
        let note = [0x90, n, 1];
        for message in [dump, Message::parse(&note).unwrap(), wire(&[0xF8])] {
            stand.send(message);
            sent.push(to_hex(&message.to_vec()));
        }
        stand.run_until(stand.now + MILLI);
    }
    stand.run_until(Time::from_secs(10));
    assert_eq!(stand.played(), sent);
    assert_within(&stand.flow(), 31_250, 62);
    assert_eq!(stand.stats().messages_sent, 90);
}

#[test]
fn dumps_of_every_length_arrive_whole() {
    for len in (0..150).chain([454, 455, 1000, 1001]) {
        for bits in [MIN_BITRATE, 31_250] {
            for before in 0..4 {
                let mut stand = Stand::limited(bits);
                let data = vec![1; len];
                for _ in 0..before * 5 {
                    stand.send(wire(&[0xB0, 1, 2]));
                }
                stand.send(SysEx::new(&data).unwrap().into());
                stand.send(wire(&[0x90, 60, 1]));
                stand.run_until(Time::from_secs(4));
                let played = stand.played();
                assert_eq!(played.len(), before * 5 + 2, "{len} at {bits}");
                assert_eq!(played[before * 5].len(), 2 * len + 4, "{len} at {bits}");
                assert_within(&stand.flow(), bits, burst(bits));
            }
        }
    }
}

#[test]
fn no_limit_and_a_lifted_one_hold_nothing_back() {
    let data = vec![1; 20_000];
    let dump = SysEx::new(&data).unwrap();
    let mut stand = Stand::limited(0);
    stand.send(dump.into());
    stand.drain();
    assert_eq!(stand.played().len(), 1);
    assert_eq!(stand.stats().bitrate_limit, None);

    let mut stand = Stand::limited(31_250);
    stand.send(dump.into());
    stand.run_until(Time::from_secs(1));
    let before = stand.stats().midi_octets_sent;
    assert!((3_000..3_200).contains(&before), "{before}");
    stand.limit(0);
    assert_eq!(stand.played().len(), 1);
    assert_eq!(stand.stats().midi_octets_sent, 20_002);
    assert_eq!(stand.stats().bitrate_limits_received, 2);
}

#[test]
fn a_new_limit_counts_at_once() {
    let mut stand = Stand::limited(31_250);
    let data = vec![1; 20_000];
    stand.send(SysEx::new(&data).unwrap().into());
    stand.run_until(Time::from_secs(1));
    let first = stand.flow();
    stand.limit(62_500);
    // The same again and again gains nothing.
    for _ in 0..1000 {
        stand.limit(62_500);
        stand.now = stand.now + MILLI;
    }
    let second = stand.flow().split_off(first.len());
    assert_within(&first, 31_250, 62);
    assert_within(&second, 62_500, 125);
    let octets: u64 = second.iter().map(|(_, octets)| octets).sum();
    assert!((5_900..=6_375).contains(&octets), "{octets}");
}

#[test]
fn limits_that_go_up_and_down_never_give_more_than_the_higher() {
    let mut stand = Stand::limited(31_250);
    let data = vec![1; 100_000];
    stand.send(SysEx::new(&data).unwrap().into());
    for n in 0..5_000u32 {
        stand.limit(31_250 + 31_250 * (n % 2));
        stand.run_until(stand.now + MILLI);
    }
    assert_within(&stand.flow(), 62_500, 125);
}

#[test]
fn an_absurd_limit_neither_stalls_nor_grows() {
    let mut stand = Stand::new(|config| config.max_queued_octets = 4_000);
    stand.limit(1);
    assert_eq!(stand.stats().bitrate_limit, Some(MIN_BITRATE));
    let note = wire(&[0x90, 60, 100]);
    let error = loop {
        if let Err(error) = stand.session.send(stand.now, stand.id, note) {
            break error;
        }
    };
    let SendError::QueueFull {
        queued,
        bitrate_limit,
        limit: 4_000,
        ..
    } = error
    else {
        panic!("{error:?}");
    };
    assert!(queued <= 4_000);
    assert_eq!(bitrate_limit, Some(MIN_BITRATE));
    assert!(
        error.to_string().contains("takes no more than 3125 bit/s"),
        "{error}"
    );
    // A hundred messages a second get through.
    let mut sent = 0;
    for n in 0..10_000 {
        sent += u64::from(stand.session.send(stand.now, stand.id, note).is_ok());
        stand.run_until(ms(n));
    }
    assert!(sent > 950, "{sent}");
    assert_within(&stand.flow(), MIN_BITRATE, 32);
    assert!(stand.stats().messages_sent > 1_000);
}

#[test]
fn a_limit_from_somebody_else_changes_nothing() {
    let mut stand = Stand::new(|_| {});
    let stranger = ScriptedPeer::new(2);
    for (ssrc, from) in [
        (stranger.ssrc, stranger.control),
        (stand.peer.ssrc, stranger.control),
        (stranger.ssrc, stand.peer.control),
    ] {
        let limit = BitrateLimit {
            ssrc,
            bits_per_second: 3_125,
        };
        let local = LocalPort::control(PairId(0));
        stand
            .session
            .handle_datagram(Time::ZERO, local, from, &limit.to_vec());
    }
    assert_eq!(stand.stats().bitrate_limit, None);
    assert_eq!(stand.stats().bitrate_limits_received, 0);
}

#[test]
fn a_message_that_cannot_be_cut_passes_a_small_limit() {
    let mut stand = Stand::new(|config| config.undefined = UndefinedCommands::Carry);
    stand.limit(31_250);
    let mut octets = vec![0xF4];
    octets.resize(401, 7);
    let message = Message::parse(&octets).unwrap();
    for _ in 0..3 {
        stand.send(message);
        stand.send(wire(&[0xF8]));
    }
    stand.run_until(Time::from_secs(1));
    assert_eq!(stand.played().len(), 6);
    // It goes when the bucket is full, and what follows pays for it.
    assert_within(&stand.flow(), 31_250, 401 + 1);
}

// Pacing.

#[test]
fn small_receivers_get_small_packets_slowly() {
    for (policy, acknowledges) in [
        (JournalPolicy::Off, false),
        (JournalPolicy::Auto, false),
        (JournalPolicy::Full, false),
        (JournalPolicy::Full, true),
    ] {
        // From the beginning, and from later on.
        for later in [false, true] {
            let mut stand = Stand::new(|config| {
                config.journal = policy;
                config.pacing = Some(Pacing::DIN).filter(|_| !later);
            });
            stand.acknowledges = acknowledges;
            let (now, id) = (stand.now, stand.id);
            let din = Some(Pacing::DIN);
            stand.session.set_pacing(now, id, din).unwrap();
            let data = vec![0x2A; 4_000];
            stand.send(SysEx::new(&data).unwrap().into());
            let mut sent = vec![to_hex(&Message::from(SysEx::new(&data).unwrap()).to_vec())];
            for n in 0..=255u8 {
                let sweep = [0xB0 + n / 32, n % 32, n / 2];
                stand.send(Message::parse(&sweep).unwrap());
                sent.push(to_hex(&sweep));
            }
            stand.run_until(Time::from_secs(4));
            let longest = stand.packets().iter().map(Vec::len).max().unwrap();
            assert!(longest <= 256, "{longest} octets");
            assert_within(&stand.flow(), 31_250, 62);
            assert_eq!(stand.played(), sent, "{policy:?} {acknowledges} {later}");
            let stats = stand.stats();
            assert_eq!(stats.bitrate_limit, Some(31_250));
            assert_eq!(stats.journals_sent > 0, policy != JournalPolicy::Off);
        }
    }
}

impl Stand {
    fn set_pacing(&mut self, pacing: Option<Pacing>) {
        self.session.set_pacing(self.now, self.id, pacing).unwrap();
        self.drain();
    }
}

#[test]
fn the_smaller_of_limit_and_pacing_counts() {
    let mut stand = Stand::limited(20_000);
    stand.set_pacing(Some(Pacing::DIN));
    assert_eq!(stand.stats().bitrate_limit, Some(20_000));
    stand.limit(0);
    assert_eq!(stand.stats().bitrate_limit, Some(31_250));
    stand.limit(40_000);
    assert_eq!(stand.stats().bitrate_limit, Some(31_250));
    let data = vec![1; 20_000];
    stand.send(SysEx::new(&data).unwrap().into());
    stand.run_until(Time::from_secs(1));
    assert_within(&stand.flow(), 31_250, 62);
    stand.set_pacing(None);
    assert_eq!(stand.stats().bitrate_limit, Some(40_000));
    let before = stand.sent.len();
    stand.run_until(Time::from_secs(2));
    assert_within(&stand.flow()[before..], 40_000, 80);
    stand.limit(0);
    assert_eq!(stand.played().len(), 1);
}

#[test]
fn packets_may_be_small_without_a_limit() {
    let small = Pacing {
        octets_per_second: 0,
        packet: PacketBudget::MIN,
    };
    let mut stand = Stand::new(|config| config.pacing = Some(small));
    let data = vec![1; 5_000];
    stand.send(SysEx::new(&data).unwrap().into());
    stand.drain();
    assert_eq!(stand.played().len(), 1);
    assert!(stand.packets().iter().all(|packet| packet.len() <= 256));
    assert_eq!(stand.stats().bitrate_limit, None);
    // Never larger than the session's own.
    let large = Pacing {
        packet: PacketBudget::MAX,
        ..small
    };
    stand.set_pacing(Some(large));
    stand.send(SysEx::new(&data).unwrap().into());
    stand.drain();
    let longest = stand.packets().iter().map(Vec::len).max().unwrap();
    assert_eq!(longest, 1024);
}

#[test]
fn enhanced_controllers_need_room() {
    let mut config = Config::new("ours");
    config.enhanced_controllers = true;
    config.pacing = Some(Pacing::DIN);
    assert_eq!(
        Session::new(config, 1, Time::ZERO).err(),
        Some(ConfigError::EnhancedBudget {
            octets: 256,
            min: 1024
        })
    );
    let mut stand = Stand::new(|config| config.enhanced_controllers = true);
    stand.set_pacing(Some(Pacing::DIN));
    let data = vec![1; 5_000];
    stand.send(SysEx::new(&data).unwrap().into());
    stand.limit(0);
    stand.set_pacing(Some(Pacing {
        octets_per_second: 0,
        ..Pacing::DIN
    }));
    let longest = stand.packets().iter().map(Vec::len).max().unwrap();
    assert_eq!(longest, 1024, "set_pacing leaves packets as they are");
}

#[test]
fn nobody_is_paced_who_is_not_there() {
    let mut stand = Stand::new(|_| {});
    let id = stand.id;
    stand.session.leave(Time::ZERO, id).unwrap();
    let unknown = SendError::UnknownParticipant { participant: id };
    let session = &mut stand.session;
    assert_eq!(session.set_pacing(Time::ZERO, id, None), Err(unknown));
    assert_eq!(
        session.send_at(Time::ZERO, ms(1), id, wire(&[0xF8])),
        Err(unknown)
    );
    assert_eq!(session.cancel_scheduled(Time::ZERO, id), 0);
}

#[test]
fn each_participant_has_its_own_limit() {
    let mut stand = Stand::limited(31_250);
    let other = ScriptedPeer::new(2);
    let id = other.join(&mut stand.session, Time::ZERO);
    other.synchronise(&mut stand.session, Time::ZERO);
    let data = vec![1; 20_000];
    stand.send(SysEx::new(&data).unwrap().into());
    let dump = SysEx::new(&data).unwrap().into();
    stand.session.send(Time::ZERO, id, dump).unwrap();
    stand.drain();
    let stats = stand.session.participant_stats(id).unwrap();
    assert_eq!(stats.messages_sent, 1);
    assert_eq!(stand.stats().midi_octets_sent, 62);
}

// Our own limit.

#[test]
fn our_own_limit_is_told_once_when_midi_may_flow() {
    for journal in [JournalPolicy::Off, JournalPolicy::Auto] {
        let mut stand = Stand::unready(|config| {
            config.announce_limit = Some(31_250);
            config.journal = journal;
        });
        stand.send(wire(&[0x90, 60, 1]));
        stand.run_until(ms(1_999));
        assert_eq!(stand.sent, [], "not before");
        stand.run_until(ms(5_000));
        let (at, transmit, octets) = &stand.sent[0];
        assert_eq!(*at, ms(2_000));
        assert_eq!(transmit.from, LocalPort::control(PairId(0)));
        assert_eq!(transmit.to, stand.peer.control);
        let ssrc = to_hex(&stand.session.ssrc().0.to_be_bytes());
        assert_eq!(to_hex(octets), format!("ffff524c{ssrc}00007a12"));
        let told = stand.sent.iter().filter(|it| it.2[..2] == [0xFF, 0xFF]);
        assert_eq!(told.count(), 1);
        assert_eq!(stand.played(), ["903c01"]);
    }
    let mut silent = Stand::new(|_| {});
    silent.run_until(ms(5_000));
    assert_eq!(silent.sent, []);
}

#[test]
fn two_of_us_keep_each_others_limit() {
    let mut stand = Stand::new(|config| config.announce_limit = Some(31_250));
    let told = stand.sent.iter().find(|it| it.2[2..4] == *b"RL").unwrap();
    let mut octets = told.2.clone();
    octets[4..8].copy_from_slice(&stand.peer.ssrc.0.to_be_bytes());
    let local = LocalPort::control(PairId(0));
    let from = stand.peer.control;
    stand
        .session
        .handle_datagram(Time::ZERO, local, from, &octets);
    assert_eq!(stand.stats().bitrate_limit, Some(31_250));
}

// For later.

#[test]
fn a_message_for_later_goes_out_then() {
    let mut stand = Stand::new(|_| {});
    stand.send_at(Time::from_micros(250_050), wire(&[0x90, 60, 1]));
    stand.drain();
    assert_eq!(stand.sent, []);
    assert_eq!(
        stand.session.poll_timeout(),
        Some(Time::from_micros(250_050))
    );
    // What is sent meanwhile goes out at once, with its own time.
    stand.run_until(ms(100));
    stand.send(wire(&[0x90, 62, 1]));
    stand.run_until(ms(1_000));
    assert_eq!(
        stand.moments(),
        [
            (ms(100), 1_000, "903e01".into()),
            (Time::from_micros(250_050), 2_500, "903c01".into()),
        ]
    );
}

#[test]
fn the_past_is_now() {
    let mut stand = Stand::new(|_| {});
    stand.run_until(ms(100));
    stand.send_at(ms(50), wire(&[0x90, 60, 1]));
    stand.send_at(ms(100), wire(&[0x90, 61, 1]));
    stand.send(wire(&[0x90, 62, 1]));
    stand.send_at(Time::ZERO, wire(&[0x90, 63, 1]));
    stand.drain();
    let moments = ["903c01", "903d01", "903e01", "903f01"];
    assert_eq!(
        stand.moments(),
        moments.map(|wire| (ms(100), 1_000, wire.into()))
    );
    // In the caller's own past as well: no time has passed.
    let id = stand.id;
    stand
        .session
        .send_at(ms(10), ms(60), id, wire(&[0x90, 64, 1]))
        .unwrap();
    stand.drain();
    assert_eq!(stand.moments()[4], (ms(100), 1_000, "904001".into()));
}

#[test]
fn a_late_caller_sends_what_was_due_in_order() {
    let mut stand = Stand::new(|_| {});
    stand.send_at(ms(30), wire(&[0x90, 63, 1]));
    stand.send_at(ms(20), wire(&[0x90, 62, 1]));
    stand.now = ms(500);
    stand.send(wire(&[0x90, 65, 1]));
    stand.drain();
    assert_eq!(
        stand.moments(),
        [(200, "903e01"), (300, "903f01"), (5_000, "904101")].map(|(stamp, wire)| (
            ms(500),
            stamp,
            wire.into()
        ))
    );
}

#[test]
fn what_goes_out_ahead_bears_its_time() {
    let mut stand = Stand::new(|config| config.send_ahead = ms(30).since(Time::ZERO));
    stand.send_at(ms(100), wire(&[0x90, 60, 1]));
    stand.run_until(ms(80));
    assert_eq!(stand.moments(), [(ms(70), 1_000, "903c01".into())]);
    // Times never run backwards: live ones bear its time until that has come.
    stand.send(wire(&[0x90, 61, 1]));
    stand.run_until(ms(110));
    stand.send(wire(&[0x90, 62, 1]));
    stand.drain();
    assert_eq!(
        stand.moments()[1..],
        [
            (ms(80), 1_000, "903d01".into()),
            (ms(110), 1_100, "903e01".into())
        ]
    );
}

#[test]
fn live_messages_pass_what_is_ahead_and_waits() {
    let mut stand = Stand::new(|config| config.send_ahead = ms(100).since(Time::ZERO));
    stand.limit(31_250);
    // The bucket is empty, so that what is ahead has to wait.
    for _ in 0..21 {
        stand.send(wire(&[0xB0, 1, 1]));
    }
    stand.drain();
    stand.send_at(ms(90), wire(&[0x90, 60, 1]));
    stand.send_at(ms(91), wire(&[0x90, 61, 1]));
    stand.drain();
    stand.send(wire(&[0x90, 62, 1]));
    stand.run_until(ms(80));
    let moments = stand.moments();
    let notes: Vec<_> = moments[21..]
        .iter()
        .map(|(_, stamp, wire)| (*stamp, wire.as_str()))
        .collect();
    assert_eq!(notes, [(0, "903e01"), (900, "903c01"), (910, "903d01")]);
}

#[test]
fn whole_dumps_can_be_scheduled() {
    let mut stand = Stand::limited(31_250);
    let data = vec![5; 3_000];
    stand.send_at(ms(50), SysEx::new(&data).unwrap().into());
    stand.send_at(ms(50), wire(&[0x90, 60, 1]));
    // In the middle of it: it cannot be parted by a note.
    stand.send_at(ms(300), wire(&[0x90, 61, 1]));
    stand.run_until(ms(400));
    stand.send(wire(&[0x90, 62, 1]));
    stand.run_until(ms(3_000));
    let played = stand.played();
    assert_eq!(played[0].len(), 2 * 3_002);
    assert_eq!(played[1..], ["903c01", "903d01", "903e01"]);
    assert!(stand.flow()[0].0 == ms(50));
}

#[test]
fn the_schedule_is_bounded() {
    let mut stand = Stand::new(|config| {
        config.max_queued_octets = 10_000;
        config.max_schedule_ahead = Duration::from_secs(60);
    });
    let id = stand.id;
    let note = wire(&[0x90, 60, 1]);
    let far = stand
        .session
        .send_at(Time::ZERO, ms(60_001), id, note)
        .unwrap_err();
    assert_eq!(
        far,
        SendError::TooFarAhead {
            ahead: Duration::from_millis(60_001),
            max: Duration::from_secs(60)
        }
    );
    let mut taken = 0;
    let error = loop {
        let at = ms(60_000 - taken % 50);
        match stand.session.send_at(Time::ZERO, at, id, note) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(
            error,
            SendError::QueueFull {
                limit: 10_000,
                bitrate_limit: None,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(!error.to_string().contains("bit/s"), "{error}");
    assert!((50..1_000).contains(&taken), "{taken}");
    assert!(stand.session.send(Time::ZERO, id, note).is_err());
    // What goes out makes room again.
    let peer = stand.peer.clone();
    stand.run_until(ms(50_000));
    peer.synchronise(&mut stand.session, ms(50_000));
    stand.run_until(ms(60_000));
    assert_eq!(stand.played().len() as u64, taken);
    stand.send(note);
}

#[test]
fn what_is_scheduled_waits_for_the_participant_to_be_ready() {
    let mut stand = Stand::unready(|_| {});
    stand.send_at(ms(500), wire(&[0x90, 60, 1]));
    stand.send_at(ms(3_000), wire(&[0x90, 61, 1]));
    stand.run_until(ms(5_000));
    assert_eq!(
        stand.moments(),
        [
            (ms(2_000), 5_000, "903c01".into()),
            (ms(3_000), 30_000, "903d01".into())
        ]
    );
}

// Taken back.

/// Notes, pedals and others, some of which sound when it is half past one.
fn piece(stand: &mut Stand) {
    for (at, octets) in [
        // Sounds, and is played again and ended twice.
        (1_000, &[0x90, 60, 1][..]),
        (2_000, &[0x80, 60, 9]),
        (2_500, &[0x90, 60, 1]),
        (3_000, &[0x80, 60, 8]),
        // Ended already.
        (1_000, &[0x90, 61, 1]),
        (1_400, &[0x80, 61, 1]),
        // Not begun.
        (1_600, &[0x90, 62, 1]),
        (3_000, &[0x80, 62, 1]),
        // Sounds; ended by velocity 0, in another channel.
        (1_000, &[0x93, 60, 1]),
        (2_100, &[0x93, 60, 0]),
        // A pedal that is down, and one that is not.
        (1_100, &[0xB0, 64, 127]),
        (2_200, &[0xB0, 64, 0]),
        (2_200, &[0xB0, 66, 0]),
        // Ends nothing, as the notes of the channel are ended already; and others that do not sound.
        (4_000, &[0xB0, 123, 0]),
        (2_000, &[0xB0, 7, 100]),
        (2_000, &[0xF8]),
    ] {
        let at = ms(at);
        stand.send_at(at, Message::parse(octets).unwrap());
    }
    let data = [1; 100];
    stand.send_at(ms(2_000), SysEx::new(&data).unwrap().into());
    stand.run_until(ms(1_500));
}

const KEPT: [&str; 3] = ["803c09", "933c00", "b04000"];

#[test]
fn taking_back_leaves_no_note_hanging() {
    let mut stand = Stand::new(|_| {});
    piece(&mut stand);
    let before = stand.moments().len();
    assert_eq!(before, 5);
    let dropped = stand.session.cancel_scheduled(stand.now, stand.id);
    assert_eq!(dropped, 17 - 5 - 3);
    assert_eq!(stand.stats().scheduled_dropped, 9);
    stand.drain();
    assert_eq!(
        stand.moments()[before..],
        KEPT.map(|wire| (ms(1_500), 15_000, wire.to_string()))
    );
    // Nothing is left, and it goes on as before.
    assert_eq!(stand.session.cancel_scheduled(stand.now, stand.id), 0);
    stand.send_at(ms(1_600), wire(&[0xF8]));
    stand.run_until(ms(5_000));
    assert_eq!(stand.moments().len(), before + 3 + 1);
}

#[test]
fn leaving_takes_back_what_is_scheduled() {
    let mut stand = Stand::new(|_| {});
    piece(&mut stand);
    let before = stand.moments().len();
    // This was sent, so it goes out, and what it begins is ended if that is scheduled.
    stand.send(wire(&[0x95, 1, 1]));
    stand.send_at(ms(2_000), wire(&[0x85, 1, 1]));
    let id = stand.id;
    stand.session.leave(stand.now, id).unwrap();
    assert_eq!(stand.stats().scheduled_dropped, 9);
    stand.run_until(ms(5_000));
    let moments = stand.moments();
    let last: Vec<_> = moments[before..]
        .iter()
        .map(|it| (it.0, it.2.as_str()))
        .collect();
    // In the order in which they were scheduled.
    let [off, third, pedal] = KEPT;
    let expected = ["950101", off, "850101", third, pedal];
    assert_eq!(last, expected.map(|wire| (ms(1_500), wire)));
    let byes: Vec<_> = stand
        .sent
        .iter()
        .filter(|it| it.2[2..4] == *b"BY")
        .collect();
    assert_eq!(byes.len(), 2);
    assert_eq!(
        byes[0].0,
        ms(1_600),
        "BY waits for MIDI, not for the schedule"
    );
}

#[test]
fn what_went_out_ahead_is_ended_behind_it() {
    for leave in [false, true] {
        let mut stand = Stand::new(|config| config.send_ahead = ms(50).since(Time::ZERO));
        stand.send_at(ms(100), wire(&[0x90, 60, 1]));
        stand.send_at(ms(120), wire(&[0x90, 61, 1]));
        stand.send_at(ms(200), wire(&[0x80, 60, 1]));
        stand.send_at(ms(200), wire(&[0x80, 61, 1]));
        stand.run_until(ms(60));
        let id = stand.id;
        if leave {
            stand.session.leave(stand.now, id).unwrap();
        } else {
            assert_eq!(stand.session.cancel_scheduled(stand.now, id), 2);
        }
        stand.drain();
        assert_eq!(
            stand.moments(),
            [
                (ms(50), 1_000, "903c01".into()),
                (ms(60), 1_000, "803c01".into())
            ]
        );
    }
}

#[test]
fn what_waits_for_the_limit_counts_as_sent() {
    let mut stand = Stand::new(|config| config.send_ahead = ms(50).since(Time::ZERO));
    stand.limit(MIN_BITRATE);
    for _ in 0..10 {
        stand.send(wire(&[0xB0, 1, 1]));
    }
    stand.drain();
    stand.send(wire(&[0x90, 60, 1]));
    // Due ahead, but held back: not sent.
    stand.send_at(ms(10), wire(&[0x90, 61, 1]));
    stand.send_at(ms(900), wire(&[0x80, 60, 1]));
    stand.send_at(ms(900), wire(&[0x80, 61, 1]));
    stand.drain();
    assert_eq!(stand.session.cancel_scheduled(stand.now, stand.id), 2);
    stand.run_until(ms(1_000));
    assert_eq!(stand.played()[10..], ["903c01", "803c01"]);
}

#[test]
fn what_is_due_and_what_was_sent_count_in_the_order_of_their_times() {
    for (live_first, sounds) in [(false, true), (true, false)] {
        let mut stand = Stand::limited(MIN_BITRATE);
        // All of it waits for these.
        for _ in 0..100 {
            stand.send(wire(&[0xB0, 1, 1]));
        }
        stand.send_at(ms(20), wire(&[0x80, 60, 1]));
        stand.send_at(ms(900), wire(&[0x80, 60, 2]));
        stand.run_until(ms(if live_first { 10 } else { 30 }));
        stand.send(wire(&[0x90, 60, 1]));
        stand.run_until(ms(40));
        let dropped = stand.session.cancel_scheduled(stand.now, stand.id);
        assert_eq!(dropped, usize::from(!sounds));
        stand.run_until(ms(2_000));
        let notes = stand.played().split_off(100);
        if sounds {
            assert_eq!(notes, ["803c01", "903c01", "803c02"]);
        } else {
            assert_eq!(notes, ["903c01", "803c01"]);
        }
    }
}

#[test]
fn the_journal_tells_that_a_dump_was_given_up() {
    let mut stand = Stand::new(|config| config.journal = JournalPolicy::Full);
    stand.limit(31_250);
    let data = vec![1; 100_000];
    stand.send(SysEx::new(&data).unwrap().into());
    stand.run_until(ms(500));
    let id = stand.id;
    stand.session.leave(stand.now, id).unwrap();
    stand.run_until(ms(3_000));
    let guard = stand.packets().pop().unwrap();
    let packet = RtpPacket::parse(&guard).unwrap();
    let section = packet.command_section().unwrap();
    assert_eq!(section.commands().count(), 0);
    let journal = Journal::parse(section.journal().unwrap()).unwrap();
    let logs = journal.system().unwrap().sysex.unwrap();
    let last = logs.iter().last().unwrap();
    assert_eq!(last.status, SysExStatus::Cancelled);
}

#[test]
fn leaving_gives_up_a_dump_that_the_limit_holds_back() {
    let mut stand = Stand::limited(31_250);
    stand.send(wire(&[0x90, 60, 1]));
    let data = vec![1; 100_000];
    stand.send(SysEx::new(&data).unwrap().into());
    stand.send(wire(&[0x90, 61, 1]));
    stand.send(wire(&[0x80, 60, 1]));
    stand.send(wire(&[0x80, 61, 1]));
    stand.send_at(ms(9_000), wire(&[0x80, 60, 1]));
    stand.run_until(ms(500));
    let id = stand.id;
    stand.session.leave(stand.now, id).unwrap();
    stand.run_until(ms(1_550));
    // The dump, the note behind it and the end of that are dropped.
    assert_eq!(stand.stats().paced_dropped, 3);
    stand.run_until(ms(3_000));
    let last = stand.packets().pop().unwrap();
    assert_eq!(to_hex(&last[12..]), "06f7f400803c01");
    assert_within(&stand.flow(), 31_250, 62);
    let bye = stand.sent.iter().find(|it| it.2[2..4] == *b"BY").unwrap();
    assert!(bye.0 < ms(1_800), "{}", bye.0);
}

#[test]
fn a_farewell_drops_nothing_that_still_gets_through() {
    for (octets, until, all) in [(5_000, 1_650, true), (7_000, 1_050, false)] {
        let mut stand = Stand::limited(31_250);
        let data = vec![1; octets];
        stand.send(SysEx::new(&data).unwrap().into());
        let id = stand.id;
        stand.session.leave(stand.now, id).unwrap();
        stand.run_until(ms(until));
        assert_eq!(stand.stats().messages_sent == 1, all, "{octets} octets");
        assert_eq!(stand.stats().paced_dropped == 0, all, "{octets} octets");
        let last = stand.packets().pop().unwrap();
        assert_eq!(last.ends_with(&[0xF7, 0xF4]), !all);
    }
}

#[test]
fn a_live_note_is_not_held_up_by_a_dump_ahead() {
    let mut stand = Stand::new(|config| config.send_ahead = Duration::from_millis(500));
    stand.limit(MIN_BITRATE);
    for _ in 0..11 {
        stand.send(wire(&[0xB0, 1, 1]));
    }
    stand.run_until(ms(5));
    let data = vec![1; 200];
    stand.send_at(ms(400), SysEx::new(&data).unwrap().into());
    // 11 messages are 33 octets and the burst is 32; after 5 ms one octet is missing for a note.
    stand.run_until(ms(15));
    stand.send(wire(&[0x90, 60, 1]));
    stand.run_until(ms(20));
    assert_eq!(stand.played().pop().unwrap(), "903c01");
    stand.run_until(ms(2_000));
    assert_eq!(stand.played().len(), 13);
}

#[test]
fn a_farewell_without_a_limit_sends_all() {
    let mut stand = Stand::new(|_| {});
    let data = vec![1; 100_000];
    stand.send(SysEx::new(&data).unwrap().into());
    stand.send(wire(&[0x80, 60, 1]));
    let id = stand.id;
    stand.session.leave(stand.now, id).unwrap();
    stand.run_until(ms(3_000));
    assert_eq!(stand.played().len(), 2);
}

// Against a model.

#[derive(Clone, Debug)]
enum Step {
    Send,
    SendAt(u64),
    Wait(u64),
    Cancel,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Send),
        6 => (0..40u64).prop_map(|n| Step::SendAt(n * 250)),
        3 => (0..40u64).prop_map(|n| Step::Wait(n * 125)),
        1 => Just(Step::Cancel),
    ];
    prop::collection::vec(step, 1..60)
}

/// A program change that tells the `n`th message from others.
fn nth(n: u64) -> Vec<u8> {
    vec![0xC0 + (n / 128) as u8, (n % 128) as u8]
}

/// What goes out when, by the shortest program: (when, timestamp, number).
fn model(steps: &[Step], ahead: u64) -> Vec<(u64, u64, u64)> {
    let (mut now, mut n, mut latest) = (0, 0, 0);
    let mut pending: Vec<(u64, u64)> = Vec::new();
    let mut sent = Vec::new();
    for step in steps {
        let end = match step {
            Step::Wait(micros) => now + micros,
            _ => now,
        };
        match step {
            Step::Send | Step::SendAt(_) => {
                let after = if let Step::SendAt(micros) = step {
                    *micros
                } else {
                    0
                };
                pending.push((now + after, n));
                n += 1;
            }
            Step::Cancel => pending.retain(|(at, _)| *at <= now),
            Step::Wait(_) => {}
        }
        loop {
            pending.sort_unstable();
            while pending.first().is_some_and(|it| it.0 <= now + ahead) {
                let (at, n) = pending.remove(0);
                latest = (at / 100).max(latest);
                sent.push((now, latest, n));
            }
            if now == end {
                break;
            }
            now += 1;
            if let Some((at, _)) = pending.first() {
                now = now.max(at.saturating_sub(ahead)).min(end);
            } else {
                now = end;
            }
        }
    }
    sent
}

proptest! {
    #[test]
    fn the_schedule_does_what_the_model_does(
        steps in steps(),
        ahead in prop_oneof![Just(0u64), 0..9_000u64],
    ) {
        let run = || {
            let mut stand = Stand::new(|config| {
                config.send_ahead = Duration::from_micros(ahead);
            });
            let mut n = 0;
            for step in &steps {
                match step {
                    Step::Send => stand.send(Message::parse(&nth(n)).unwrap()),
                    Step::SendAt(micros) => {
                        let at = stand.now + Duration::from_micros(*micros);
                        stand.send_at(at, Message::parse(&nth(n)).unwrap());
                    }
                    Step::Wait(micros) => {
                        let end = stand.now + Duration::from_micros(*micros);
                        stand.run_until(end);
                    }
                    Step::Cancel => {
                        stand.session.cancel_scheduled(stand.now, stand.id);
                    }
                }
                n += u64::from(matches!(step, Step::Send | Step::SendAt(_)));
                stand.drain();
            }
            stand
        };
        let stand = run();
        let expected: Vec<_> = model(&steps, ahead)
            .into_iter()
            .map(|(at, stamp, n)| (Time::from_micros(at), stamp as u32, to_hex(&nth(n))))
            .collect();
        prop_assert_eq!(stand.moments(), expected);
        prop_assert_eq!(stand.sent, run().sent, "the same inputs, the same octets");
    }

    /// Whatever is sent for whenever, with whatever limits: what arrives keeps to them, keeps its
    /// order and is complete.
    #[test]
    fn limits_and_schedules_together_lose_nothing(
        what in prop::collection::vec((0..2_000u64, 0..300usize, 0..400u64), 1..60),
        limits in prop::collection::vec(3_125..200_000u32, 1..5),
        ahead in 0..100u64,
        late in 0..4u32,
        full in any::<bool>(),
        acknowledges in any::<bool>(),
    ) {
        let run = || {
            let mut stand = Stand::new(|config| {
                config.send_ahead = MILLI * ahead as u32;
                config.pacing = Some(Pacing { octets_per_second: 20_000, packet: PacketBudget::MIN });
                if full {
                    config.journal = JournalPolicy::Full;
                }
            });
            stand.late = MILLI * late;
            stand.acknowledges = acknowledges;
            for (n, (after, len, wait)) in what.iter().enumerate() {
                stand.limit(limits[n % limits.len()]);
                let mut data = vec![3; *len];
                data.extend([n as u8]);
                let message: MessageBuf = match len {
                    0..150 => Message::parse(&nth(n as u64)).unwrap().to_buf(),
                    _ => Message::from(SysEx::new(&data).unwrap()).to_buf(),
                };
                stand.send_at(stand.now + MILLI * *after as u32, message.as_message());
                stand.run_until(stand.now + MILLI * *wait as u32);
            }
            let peer = stand.peer.clone();
            for _ in 0..4 {
                peer.synchronise(&mut stand.session, stand.now);
                stand.run_until(stand.now + Duration::from_secs(20));
            }
            stand
        };
        let mut stand = run();
        let played = unpack(&stand.packets());
        prop_assert_eq!(played.len(), what.len());
        let highest = limits.iter().copied().max().unwrap();
        assert_within(&stand.flow(), highest, burst(highest));
        let stamps = played.iter().map(|(at, _)| at.0.wrapping_sub(stand.origin));
        prop_assert!(stamps.is_sorted(), "time ran backwards");
        prop_assert!(stand.packets().iter().all(|packet| packet.len() <= 256));
        prop_assert_eq!(stand.session.cancel_scheduled(stand.now, stand.id), 0);
        prop_assert_eq!(stand.sent, run().sent, "the same inputs, the same octets");
    }
}
