//! For every diagnosis a capture with exactly that trouble.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

mod end;
mod healthy;
mod invitations;
mod loss;
mod memory;
mod replay;
mod rules;

use std::net::SocketAddr;
use std::time::Duration;

use netmidi::Config;
use netmidi_message::{Channel, ChannelMessage, Message, Note, U7};
use netmidi_testkit::{HostId, LinkQuality, Net, Passed};

use super::super::packet::{Captured, Reading};
use super::*;

/// A capture: what passed, in order.
type Capture = Vec<Passed>;

fn diagnose(capture: &[Passed]) -> Vec<SessionReport> {
    let mut diagnosis = Diagnosis::default();
    for (number, it) in (1..).zip(capture) {
        let captured = Captured {
            number,
            time: Some(Duration::from_micros(it.at.as_micros())),
            from: Some(it.from),
            to: Some(it.to),
            payload: &it.octets,
            missing: 0,
        };
        diagnosis
            .packet(&captured, &Reading::of(&it.octets))
            .unwrap();
    }
    diagnosis.reports()
}

/// All sentences of warnings, of all sessions.
fn warnings(capture: &[Passed]) -> Vec<String> {
    let reports = diagnose(capture);
    let warnings = reports.iter().flat_map(SessionReport::warnings);
    warnings.map(str::to_owned).collect()
}

/// Two hosts, "Piano" and "Stage"; the capture is made at the second.
struct Studio {
    net: Net,
    piano: HostId,
    stage: HostId,
}

impl Studio {
    /// Both are on, nobody invites.
    fn new(seed: u64) -> Self {
        Self::with(seed, |_| {}, |_| {})
    }

    fn with(seed: u64, piano: impl FnOnce(&mut Config), stage: impl FnOnce(&mut Config)) -> Self {
        let quality = LinkQuality {
            latency: Duration::from_millis(2),
            ..LinkQuality::default()
        };
        let mut net = Net::new(seed, quality);
        let mut configs = [Config::new("Piano"), Config::new("Stage")];
        piano(&mut configs[0]);
        stage(&mut configs[1]);
        let [a, b] = configs;
        let piano = net.add(a, [192, 0, 2, 1].into());
        let stage = net.add(b, [192, 0, 2, 2].into());
        net.start(piano);
        net.start(stage);
        net.tap(stage);
        Self { net, piano, stage }
    }

    /// Both are connected.
    fn joined(seed: u64) -> Self {
        let mut it = Self::new(seed);
        it.net.invite(it.piano, it.stage);
        it.run(3_000);
        it
    }

    fn run(&mut self, ms: u64) {
        self.net.run_for(Duration::from_millis(ms));
    }

    /// The piano plays.
    fn play(&mut self, message: impl Into<Message<'static>>) {
        self.play_from(self.piano, message);
    }

    fn play_from(&mut self, host: HostId, message: impl Into<Message<'static>>) {
        let session = self.net.session(host).unwrap();
        let (to, _) = session.participants().next().unwrap();
        self.net.send(host, to, message.into()).unwrap();
    }

    /// The next datagrams of the piano get lost for so long.
    fn lose(&mut self, ms: u64) {
        self.net.cut(self.piano, self.stage);
        self.run(ms);
        self.net.mend(self.piano, self.stage);
    }

    fn capture(&mut self) -> Capture {
        self.net.take_tapped()
    }
}

fn on(note: u8) -> ChannelMessage {
    ChannelMessage::note_on(Channel::C1, Note::new(note).unwrap(), U7::MAX)
}

fn off(note: u8) -> ChannelMessage {
    ChannelMessage::note_off(Channel::C1, Note::new(note).unwrap(), U7::MAX)
}

fn is_rtp(it: &Passed) -> bool {
    it.octets[0] >> 6 == 2
}

fn is_clock(it: &Passed, count: u8) -> bool {
    it.octets.starts_with(b"\xFF\xFFCK") && it.octets[8] == count
}

fn is_control(it: &Passed, letters: &str) -> bool {
    it.octets.starts_with(&[0xFF, 0xFF]) && &it.octets[2..4] == letters.as_bytes()
}

fn piano(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

fn stage(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 2], port))
}

/// The sentences of warnings, with `#` in place of every number.
fn masked(capture: &[Passed]) -> Vec<String> {
    warnings(capture).iter().map(|it| mask(it)).collect()
}

fn mask(text: &str) -> String {
    let mut masked = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if masked.ends_with('#') => {}
            '0'..='9' => masked.push('#'),
            c => masked.push(c),
        }
    }
    masked
}

/// Expects exactly these sentences as warnings, numbers apart.
#[track_caller]
fn expect(capture: &[Passed], sentences: &[&str]) {
    assert_eq!(masked(capture), sentences, "{:#?}", warnings(capture));
}

/// Invitations and clocks, written by hand.
#[derive(Default)]
struct Script {
    capture: Capture,
}

/// What both call themselves.
const PIANO: Ssrc = Ssrc(0x1111_1111);
const STAGE: Ssrc = Ssrc(0x2222_2222);

impl Script {
    fn put(mut self, ms: u64, from: SocketAddr, to: SocketAddr, octets: Vec<u8>) -> Self {
        let at = netmidi::Time::from_micros(1_000_000 + ms * 1000);
        self.capture.push(Passed {
            at,
            from,
            to,
            octets,
        });
        self
    }

    /// An invitation of the piano, or an answer to it.
    fn exchange(self, ms: u64, kind: ExchangeKind, data: bool) -> Self {
        let (a, b) = (piano(5004 + u16::from(data)), stage(5004 + u16::from(data)));
        let (from, to, ssrc, name) = match kind {
            ExchangeKind::Invitation => (a, b, PIANO, "Piano"),
            _ => (b, a, STAGE, "Stage"),
        };
        let packet = Exchange {
            kind,
            token: Token(0x0BAD_F00D),
            ssrc,
            name: (kind != ExchangeKind::Rejected).then(|| name.into()),
        };
        self.put(ms, from, to, packet.to_vec())
    }

    /// Both ports are joined.
    fn joined() -> Self {
        Self::default()
            .exchange(0, ExchangeKind::Invitation, false)
            .exchange(1, ExchangeKind::Accepted, false)
            .exchange(2, ExchangeKind::Invitation, true)
            .exchange(3, ExchangeKind::Accepted, true)
    }

    /// A clock packet of the exchange that began at `begun`.
    fn clock(self, ms: u64, begun: u64, count: netmidi_wire::ClockCount) -> Self {
        use netmidi_wire::{ClockCount, ClockSync, ClockTicks};
        let (from, to, ssrc) = match count {
            ClockCount::Ck1 => (stage(5005), piano(5005), STAGE),
            _ => (piano(5005), stage(5005), PIANO),
        };
        let timestamps = [begun * 10, 77, ms * 10].map(ClockTicks);
        let packet = ClockSync {
            ssrc,
            count,
            timestamps,
        };
        self.put(ms, from, to, packet.to_vec())
    }
}
