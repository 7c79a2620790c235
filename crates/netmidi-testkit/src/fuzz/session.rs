//! A session under a script of datagrams, calls and time.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use netmidi_journal::Journal;
use netmidi_message::{Message, SysEx};
use netmidi_session::{
    Admission, AllowList, Config, Event, InviteeId, InviteeState, JournalPolicy, LatePolicy,
    LocalPort, PairId, ParticipantId, Persistence, Playout, RequestId, Session, SysExPolicy,
    Target, Time, UndefinedCommands, Verdict,
};
use netmidi_wire::{
    ClockCount, ClockTicks, Control, Datagram, ExchangeKind, PacketBudget, RtpHeader, RtpTimestamp,
    SeqNum, Token,
};

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
    config.max_invitees = 3;
    config.packet_budget = PacketBudget::MIN;
    let seed = script.octet();
    config.journal = policy(seed >> 6);
    config.silence_on_leave = seed & 0x20 == 0;
    if seed & 0x10 != 0 {
        config.undefined = UndefinedCommands::Carry;
    }
    config.max_held_packets = 4;
    config.max_held_octets = 256;
    config.max_held_messages = 8;
    let delay = Duration::from_millis(50);
    match seed >> 2 & 3 {
        0 => {}
        1 => config.playout = Playout::Fixed(delay),
        2 => config.playout = Playout::Adaptive { max: delay },
        _ => {
            config.playout = Playout::Fixed(delay / 10);
            config.late = LatePolicy::Drop { after: delay };
        }
    }
    let mut session = Session::new(config, u64::from(seed), Time::ZERO).unwrap();
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
        if op & 0x0F == 13 {
            // What is decided or withdrawn below is what the application has heard of.
            check.drain(&mut session);
        }
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
                let time = ClockTicks(u64::from(script.octet()) << (script.octet() % 57));
                let zero = ClockTicks(0);
                let timestamps = match check.answered.get(&from) {
                    // One that ends an exchange, mostly.
                    Some([first, second, _]) if count == ClockCount::Ck2 => {
                        [*first, *second, time.max(*first)]
                    }
                    _ => [time, zero, zero],
                };
                peer.clock(count, timestamps)
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
                check.pass(&mut session, now);
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
            13 => match script.octet() {
                0xFF => {
                    session.close(now);
                    continue;
                }
                what => match what % 10 {
                    // We invite, at one address or two.
                    0 | 1 => {
                        let persistence = match script.octet() % 2 {
                            0 => Persistence::Forever,
                            _ => Persistence::Once,
                        };
                        let other = usize::from(script.octet()) % peers.len();
                        let controls = [peers[who].control, peers[other].control];
                        let targets: Vec<Target> = controls
                            .iter()
                            .filter_map(|it| Target::new(*it))
                            .map(|it| it.from(pair))
                            .collect();
                        let count = 1 + usize::from(script.octet() % 2);
                        let result = session.invite(now, &targets[..count], persistence);
                        if let Ok(invitee) = result {
                            assert!(check.invitees.insert(invitee), "{invitee} named twice");
                        }
                        check.drain(&mut session);
                        continue;
                    }
                    2 => {
                        let nth = usize::from(script.octet());
                        if let Some(invitee) = check.nth_invitee(nth) {
                            session.withdraw(now, invitee).expect("it is invited");
                        }
                        check.drain(&mut session);
                        continue;
                    }
                    3 => {
                        let nth = usize::from(script.octet());
                        let target = Target::new(peers[who].control).map(|it| it.from(pair));
                        if let (Some(invitee), Some(target)) = (check.nth_invitee(nth), target) {
                            // Somebody else may be invited there.
                            let _ = session.readdress(now, invitee, &[target]);
                        }
                        continue;
                    }
                    // OK or NO, with the token that was sent there last.
                    4..=6 => {
                        if let Some(token) = check.invited_with.get(&from) {
                            peer.token = *token;
                        }
                        let kind = match script.octet() % 4 {
                            0 => ExchangeKind::Rejected,
                            _ => ExchangeKind::Accepted,
                        };
                        peer.exchange(kind)
                    }
                    // CK1 or CK2, as it should be.
                    7 => {
                        let asked = check.asked.get(&from).copied().unwrap_or(ClockTicks(0));
                        let ours = ClockTicks(u64::from(script.octet()));
                        peer.clock(ClockCount::Ck1, [asked, ours, ClockTicks(0)])
                    }
                    8 => {
                        let unknown = [ClockTicks(0); 3];
                        let answered = check.answered.get(&from).copied().unwrap_or(unknown);
                        peer.clock(ClockCount::Ck2, answered)
                    }
                    // The application decides, or changes its mind.
                    _ => {
                        match script.octet() % 4 {
                            0 => session.set_admission(now, admission(script.octet())),
                            1 => {
                                let policy = match script.octet() % 3 {
                                    0 => SysExPolicy::Deliver,
                                    1 => SysExPolicy::UpTo(8),
                                    _ => SysExPolicy::Drop,
                                };
                                if let Some(id) = check.connected.first() {
                                    let _ = session.set_sysex(now, *id, policy);
                                }
                            }
                            verdict => {
                                let verdict = match verdict {
                                    2 => Verdict::Accept,
                                    _ => Verdict::Refuse,
                                };
                                if let Some(request) = check.requests.pop_first() {
                                    session
                                        .decide(now, request, verdict)
                                        .expect("what was not withdrawn can be decided");
                                }
                            }
                        }
                        check.drain(&mut session);
                        continue;
                    }
                },
            },
            15 => match script.octet() % 8 {
                // Feedback about what was sent, in either half or in both.
                0 | 1 => {
                    let last = check.last_sent.get(&peer.data).copied();
                    let back = script.octet();
                    let seq = last.unwrap_or(SeqNum(0)).0.wrapping_sub(back.into());
                    let mut feedback = peer.feedback(SeqNum(seq));
                    match script.octet() % 4 {
                        0 => {}
                        1 => feedback[10..].copy_from_slice(&[0x12, 0x34]),
                        2 => feedback[8..].rotate_right(2),
                        _ => feedback[10..].copy_from_slice(&seq.to_be_bytes()),
                    }
                    feedback
                }
                // A packet with a journal that begins a little before it.
                2 | 3 => {
                    peer.seq = peer.seq.wrapping_add(u16::from(script.octet() % 4));
                    let back = u16::from(script.octet() % 8);
                    let checkpoint = peer.seq.0.wrapping_sub(back).to_be_bytes();
                    let mut packet = peer.packet(now, &[]);
                    packet.pop();
                    let len = script.octet() % 16;
                    packet.push(0x40 | len);
                    packet.extend(script.octets(len.into()));
                    packet.push(script.octet());
                    packet.extend(checkpoint);
                    let len = usize::from(script.octet());
                    packet.extend(script.octets(len));
                    packet
                }
                4 => {
                    let policy = policy(script.octet());
                    if let Some(id) = check.connected.first() {
                        // It may be leaving.
                        let _ = session.set_journal_policy(now, *id, policy);
                    }
                    continue;
                }
                5 => {
                    now = now + Duration::from_millis(u64::from(script.octet()));
                    check.pass(&mut session, now);
                    continue;
                }
                // One that comes late.
                6 => {
                    let seq = peer.seq.0.wrapping_sub((script.octet() % 8).into());
                    let header = RtpHeader::midi(SeqNum(seq), RtpTimestamp(0), peer.ssrc);
                    let mut packet = vec![0; RtpHeader::LEN];
                    header.encode(&mut packet).unwrap();
                    let len = usize::from(script.octet());
                    packet.extend(script.octets(len));
                    packet
                }
                // A dump.
                _ => {
                    let data = vec![script.octet() & 0x7F; usize::from(script.octet()) * 8];
                    if let (Some(id), Some(sysex)) = (check.connected.first(), SysEx::new(&data)) {
                        let _ = session.send(now, *id, sysex.into());
                    }
                    continue;
                }
            },
            _ => {
                check.drain(&mut session);
                continue;
            }
        };
        session.handle_datagram(now, local, from, &datagram);
        if op & 0x08 == 0 {
            check.drain(&mut session);
        }
        // Those whom we invite come in beside.
        assert!(
            session.participants().count() <= 3 + 3,
            "too many participants"
        );
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

fn admission(octet: u8) -> Admission {
    match octet % 4 {
        0 | 1 => Admission::Everybody,
        2 => Admission::Ask,
        _ => Admission::Listed(AllowList::new().name("peer 1*")),
    }
}

fn policy(octet: u8) -> JournalPolicy {
    match octet % 3 {
        0 => JournalPolicy::Auto,
        1 => JournalPolicy::Full,
        _ => JournalPolicy::Off,
    }
}

/// What must hold of everything that a session puts out.
#[derive(Default)]
struct Check {
    connected: BTreeSet<ParticipantId>,
    seen: BTreeSet<ParticipantId>,
    /// The number of the last packet that went to an address.
    last_sent: BTreeMap<SocketAddr, SeqNum>,
    /// Those whom we invite.
    invitees: BTreeSet<InviteeId>,
    /// Tokens of the invitations that went to an address last.
    invited_with: BTreeMap<SocketAddr, Token>,
    /// What an address was asked last (CK0), and what would end the exchange that it began (CK2).
    asked: BTreeMap<SocketAddr, ClockTicks>,
    answered: BTreeMap<SocketAddr, [ClockTicks; 3]>,
    /// What is to be decided.
    requests: BTreeSet<RequestId>,
}

impl Check {
    /// Time passes, and what is due is done.
    fn pass(&self, session: &mut Session, now: Time) {
        session.handle_timeout(now);
        let next = session.poll_timeout();
        assert!(next.is_none_or(|next| next > now), "asked for the past");
        for id in &self.connected {
            if let Some(stats) = session.participant_stats(*id) {
                let (told, came) = (stats.feedback_sent, stats.packets_received);
                assert!(told <= came, "{told} times told that {came} packets came");
                assert!(stats.journals_sent <= stats.packets_sent);
            }
        }
    }

    fn nth_invitee(&self, n: usize) -> Option<InviteeId> {
        let n = n % self.invitees.len().max(1);
        self.invitees.iter().nth(n).copied()
    }

    fn drain(&mut self, session: &mut Session) {
        for (transmit, octets) in transmits(session) {
            assert!(
                octets.len() <= PacketBudget::MIN.get(),
                "{} octets",
                octets.len()
            );
            match Datagram::parse(&octets) {
                Ok(Datagram::Rtp(packet)) => {
                    let section = packet.command_section().expect("what is sent can be read");
                    assert_eq!(section.anomaly(), None);
                    let journal = section.journal().map(Journal::parse);
                    assert!(journal.is_none_or(|it| it.is_ok()), "and its journal");
                    self.last_sent.insert(transmit.to, packet.header().seq);
                }
                Ok(Datagram::Control(Control::Feedback(feedback))) => {
                    assert_eq!(feedback.low, 0);
                }
                Ok(Datagram::Control(Control::Exchange(exchange))) => {
                    if exchange.kind == ExchangeKind::Invitation {
                        self.invited_with.insert(transmit.to, exchange.token);
                    }
                }
                Ok(Datagram::Control(Control::Clock(clock))) => {
                    let [first, second, _] = clock.timestamps;
                    match clock.count {
                        ClockCount::Ck0 => {
                            self.asked.insert(transmit.to, first);
                        }
                        ClockCount::Ck1 => {
                            self.answered.insert(transmit.to, [first, second, first]);
                        }
                        ClockCount::Ck2 => {}
                    }
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
                    repaired: _,
                } => {
                    assert!(
                        self.connected.contains(&participant),
                        "{participant} was not there"
                    );
                    assert!(packets > 0);
                }
                Event::Invited { request, .. } => {
                    assert!(
                        self.requests.insert(request),
                        "{request} is asked about twice"
                    );
                    assert!(self.requests.len() <= 1, "too many requests");
                }
                Event::Withdrawn { request } => {
                    assert!(
                        self.requests.remove(&request),
                        "{request} was not asked about"
                    );
                }
                Event::Invitee { invitee, state } => {
                    assert!(self.invitees.contains(&invitee), "{invitee} is not invited");
                    if state == InviteeState::Ended {
                        self.invitees.remove(&invitee);
                    }
                }
                _ => {}
            }
        }
        assert!(session.poll_event().is_none());
    }
}
