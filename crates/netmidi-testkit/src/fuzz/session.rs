//! A session under a script of datagrams, calls and time.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeSet;

use netmidi_message::Message;
use netmidi_session::{Config, Event, LocalPort, PairId, ParticipantId, Session, Time};
use netmidi_wire::{ClockCount, ClockTicks, Datagram, ExchangeKind, PacketBudget, SeqNum};

use crate::peer::{ScriptedPeer, transmits};

/// Octets of a script, taken from the front; 0 when there are no more.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn octet(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    fn octets(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// Plays a script to a session with small bounds and checks after every step what must always
/// hold: bounds are kept, events fit together, what is sent can be read, deadlines move on.
///
/// # Panics
/// When something does not hold.
pub fn session_script(data: &[u8]) {
    let mut script = Script(data);
    let mut config = Config::new("ours");
    config.max_participants = 3;
    config.max_invitations = 3;
    config.max_queued_events = 64;
    config.max_queued_answers = 8;
    config.max_queued_octets = 4096;
    config.max_sysex = 64;
    config.packet_budget = PacketBudget::MIN;
    let mut session = Session::new(config, u64::from(script.octet()), Time::ZERO).unwrap();
    let mut peers: Vec<ScriptedPeer> = (0..6).map(ScriptedPeer::new).collect();
    // One that shares its host and port with another, one that shares its SSRC.
    peers[4].control = peers[0].control;
    peers[5].ssrc = peers[1].ssrc;
    let mut check = Check::default();
    let mut now = Time::ZERO;
    while !script.0.is_empty() {
        let op = script.octet();
        let who = usize::from(op >> 4) % peers.len();
        let pair = PairId(u16::from(op >> 7));
        let peer = &mut peers[who];
        peer.pair = pair;
        let (local, from) = match script.octet() % 4 {
            0 => (LocalPort::control(pair), peer.control),
            1 => (LocalPort::data(pair), peer.data),
            2 => (LocalPort::data(pair), peer.control),
            _ => (
                LocalPort::control(pair),
                SocketAddr::from(([192, 0, 2, 99], 5004)),
            ),
        };
        let datagram = match op & 0x0F {
            0 => peer.exchange(ExchangeKind::Invitation),
            1 => peer.exchange(ExchangeKind::End),
            2 => {
                peer.token.0 = u32::from(script.octet());
                peer.exchange(ExchangeKind::Invitation)
            }
            3 | 4 => {
                let count = if op & 1 == 0 {
                    ClockCount::Ck0
                } else {
                    ClockCount::Ck2
                };
                let time = u64::from(script.octet()) << (script.octet() % 57);
                peer.clock(
                    count,
                    [
                        ClockTicks(time),
                        ClockTicks(now.as_micros() / 100),
                        ClockTicks(time),
                    ],
                )
            }
            5 => peer.feedback(SeqNum(u16::from(script.octet()))),
            6 | 7 => {
                peer.seq = peer.seq.wrapping_add(u16::from(script.octet() % 4));
                let mut packet = peer.packet(now, &[]);
                packet.pop();
                let len = usize::from(script.octet());
                packet.extend(script.octets(len));
                packet
            }
            8 => {
                // Anything at all.
                let len = usize::from(script.octet());
                script.octets(len).to_vec()
            }
            9 => {
                now = now + Duration::from_millis(u64::from(script.octet()) * 300);
                session.handle_timeout(now);
                continue;
            }
            10 | 11 => {
                let len = usize::from(script.octet());
                let octets = script.octets(len);
                if let (Some(id), Ok(message)) = (check.connected.first(), Message::parse(octets)) {
                    // Refused when the queue is full, for instance.
                    let _ = session.send(now, *id, message);
                }
                continue;
            }
            12 => {
                if let Some(id) = check.connected.last() {
                    let _ = session.leave(now, *id);
                }
                continue;
            }
            13 => {
                if script.octet() == 0xFF {
                    session.close(now);
                }
                continue;
            }
            _ => {
                check.drain(&mut session);
                continue;
            }
        };
        session.handle_datagram(now, local, from, &datagram);
        if op & 0x08 == 0 {
            check.drain(&mut session);
        }
        assert!(session.participants().count() <= 3, "too many participants");
    }
    check.drain(&mut session);
    // Left alone, everything comes to rest.
    session.close(now);
    while let Some(due) = session.poll_timeout() {
        now = now.max(due);
        session.handle_timeout(now);
        let next = session.poll_timeout();
        assert!(
            next.is_none_or(|next| next > now),
            "a deadline does not move"
        );
        check.drain(&mut session);
    }
    assert!(session.is_finished(), "somebody is still there");
    assert!(
        check.connected.is_empty(),
        "not everybody was reported to have left"
    );
}

/// What must hold of everything that a session puts out.
#[derive(Default)]
struct Check {
    connected: BTreeSet<ParticipantId>,
    seen: BTreeSet<ParticipantId>,
}

impl Check {
    fn drain(&mut self, session: &mut Session) {
        for (_, octets) in transmits(session) {
            assert!(
                octets.len() <= PacketBudget::MIN.get(),
                "{} octets",
                octets.len()
            );
            match Datagram::parse(&octets) {
                Ok(Datagram::Rtp(packet)) => {
                    let section = packet.command_section().expect("what is sent can be read");
                    assert_eq!(section.anomaly(), None);
                }
                Ok(Datagram::Control(_)) => {}
                Err(error) => panic!("sent {octets:02x?}: {error}"),
            }
        }
        while let Some(event) = session.poll_event() {
            match event {
                Event::Joined { participant, .. } => {
                    assert!(self.seen.insert(participant), "{participant} joins twice");
                    self.connected.insert(participant);
                }
                Event::Left { participant, .. } => {
                    assert!(
                        self.connected.remove(&participant),
                        "{participant} was not there"
                    );
                }
                Event::Message {
                    participant,
                    message,
                    ..
                } => {
                    assert!(
                        self.connected.contains(&participant),
                        "{participant} was not there"
                    );
                    let octets = message.to_vec();
                    assert!(octets.len() <= 64 + 2 || message.as_message().is_undefined());
                    assert_eq!(
                        Message::parse(&octets).map(|again| message == again),
                        Ok(true)
                    );
                }
                Event::Lost {
                    covered: _,
                    participant,
                    packets,
                } => {
                    assert!(
                        self.connected.contains(&participant),
                        "{participant} was not there"
                    );
                    assert!(packets > 0);
                }
                _ => {}
            }
        }
        assert!(session.poll_event().is_none());
    }
}
