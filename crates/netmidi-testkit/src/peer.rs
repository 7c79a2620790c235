//! A scripted peer: the other side of a session, written packet by packet.

use core::net::SocketAddr;

use netmidi_message::Message;
use netmidi_session::{Event, LocalPort, PairId, ParticipantId, Session, Time, Transmit};
use netmidi_wire::{
    ClockCount, ClockSync, ClockTicks, Exchange, ExchangeKind, Feedback, PacketBudget,
    PacketWriter, RtpHeader, RtpTimestamp, SeqNum, SessionName, Ssrc, Token,
};

/// What a session put out: where it goes and the octets.
pub type Sent = (Transmit, Vec<u8>);

/// Everything that a session wants to send now.
pub fn transmits(session: &mut Session) -> Vec<Sent> {
    let mut sent = Vec::new();
    let mut out = Vec::new();
    while let Some(transmit) = session.poll_transmit(&mut out) {
        sent.push((transmit, out.clone()));
    }
    sent
}

/// Everything that a session has to tell now.
pub fn events(session: &mut Session) -> Vec<Event> {
    core::iter::from_fn(|| session.poll_event()).collect()
}

/// An initiator that somebody else wrote: it knows the packets and keeps to them.
#[derive(Clone, Debug)]
pub struct ScriptedPeer {
    /// Its identity.
    pub ssrc: Ssrc,
    /// The token of its invitation.
    pub token: Token,
    /// Its name; `None` leaves it out.
    pub name: Option<String>,
    /// Its control socket.
    pub control: SocketAddr,
    /// Its data socket.
    pub data: SocketAddr,
    /// The pair of ours that it talks to.
    pub pair: PairId,
    /// The number of its next packet.
    pub seq: SeqNum,
    /// Its clock minus ours.
    pub clock_ahead: ClockTicks,
}

impl ScriptedPeer {
    /// The peer number `n`: all such peers differ in identity and port, on one host.
    #[must_use]
    pub fn new(n: u16) -> Self {
        let port = 5004 + 2 * (n % 30_000);
        Self {
            ssrc: Ssrc(0x1000_0000 + u32::from(n)),
            token: Token(0x7000_0000 + u32::from(n)),
            name: Some(format!("peer {n}")),
            control: SocketAddr::from(([192, 0, 2, 7], port)),
            data: SocketAddr::from(([192, 0, 2, 7], port + 1)),
            pair: PairId(0),
            seq: SeqNum(100),
            clock_ahead: ClockTicks(0),
        }
    }

    /// IN, OK, NO or BY as this peer writes it.
    #[must_use]
    pub fn exchange(&self, kind: ExchangeKind) -> Vec<u8> {
        let name = match kind {
            ExchangeKind::Invitation | ExchangeKind::Accepted => self.name.as_deref(),
            ExchangeKind::Rejected | ExchangeKind::End => None,
        };
        let name = name.map(SessionName::new);
        Exchange {
            kind,
            token: self.token,
            ssrc: self.ssrc,
            name,
        }
        .to_vec()
    }

    /// Invites on both ports and checks that both are accepted.
    ///
    /// # Panics
    /// When the session does not accept, or no participant joins.
    pub fn join(&self, session: &mut Session, now: Time) -> ParticipantId {
        self.knock(session, now);
        events(session)
            .into_iter()
            .find_map(|event| match event {
                Event::Joined { participant, peer } if peer.ssrc == self.ssrc => Some(participant),
                _ => None,
            })
            .expect("the peer joined")
    }

    /// The same, and leaves all events to the test.
    ///
    /// # Panics
    /// When the session does not accept.
    pub fn join_quietly(&self, session: &mut Session, now: Time) -> ParticipantId {
        self.knock(session, now);
        let joined = session.participants().find(|(_, it)| it.ssrc == self.ssrc);
        joined.expect("the peer joined").0
    }

    fn knock(&self, session: &mut Session, now: Time) {
        let invitation = self.exchange(ExchangeKind::Invitation);
        for (local, from) in [
            (LocalPort::control(self.pair), self.control),
            (LocalPort::data(self.pair), self.data),
        ] {
            session.handle_datagram(now, local, from, &invitation);
            let sent = transmits(session);
            assert!(
                sent.iter().any(|(transmit, octets)| {
                    *transmit
                        == Transmit {
                            from: local,
                            to: from,
                        }
                        && octets[2..4] == *b"OK"
                }),
                "no OK for {} from {local:?}: {sent:02x?}",
                self.ssrc
            );
        }
    }

    /// Goes through one clock exchange, each way taking no time.
    ///
    /// # Panics
    /// When CK0 is not answered with CK1.
    pub fn synchronise(&self, session: &mut Session, now: Time) {
        let ours = ClockTicks(now.as_micros() / 100 + self.clock_ahead.0);
        let theirs = self.ask(session, now);
        let ck2 = self.clock(ClockCount::Ck2, [ours, theirs, ours]);
        session.handle_datagram(now, LocalPort::data(self.pair), self.data, &ck2);
    }

    /// Begins a clock exchange. Returns what the session's clock shows now; where that of its
    /// [`Time`] began is anybody's guess.
    ///
    /// # Panics
    /// When CK0 is not answered with CK1.
    pub fn ask(&self, session: &mut Session, now: Time) -> ClockTicks {
        let ours = ClockTicks(now.as_micros() / 100 + self.clock_ahead.0);
        let ck0 = self.clock(ClockCount::Ck0, [ours, ClockTicks(0), ClockTicks(0)]);
        session.handle_datagram(now, LocalPort::data(self.pair), self.data, &ck0);
        let sent = transmits(session);
        let (_, ck1) = sent
            .iter()
            .find(|(_, octets)| octets[2..4] == *b"CK")
            .expect("CK0 is answered");
        ClockTicks(u64::from_be_bytes(ck1[20..28].try_into().unwrap()))
    }

    /// A clock packet.
    #[must_use]
    pub fn clock(&self, count: ClockCount, timestamps: [ClockTicks; 3]) -> Vec<u8> {
        ClockSync {
            ssrc: self.ssrc,
            count,
            timestamps,
        }
        .to_vec()
    }

    /// Receiver feedback.
    #[must_use]
    pub fn feedback(&self, seq: SeqNum) -> Vec<u8> {
        Feedback::new(self.ssrc, seq).to_vec()
    }

    /// The next packet, with these messages, all at the time that its clock shows when ours shows
    /// `now`.
    ///
    /// # Panics
    /// When they do not fit one packet.
    pub fn packet(&mut self, now: Time, messages: &[Message<'_>]) -> Vec<u8> {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "RTP carries the low 32 bits"
        )]
        let at = RtpTimestamp((now.as_micros() / 100 + self.clock_ahead.0) as u32);
        let header = RtpHeader::midi(self.seq, at, self.ssrc);
        self.seq = self.seq.next();
        let mut out = vec![0; PacketBudget::MAX.get()];
        let mut writer = PacketWriter::new(&mut out, PacketBudget::MAX, &header).unwrap();
        for message in messages {
            let pushed = writer.push(at, *message, 0);
            assert_eq!(
                pushed,
                netmidi_wire::Pushed::Whole,
                "{message:?} does not fit"
            );
        }
        let len = writer.finish();
        out.truncate(len);
        out
    }

    /// Sends messages in one packet.
    pub fn play(&mut self, session: &mut Session, now: Time, messages: &[Message<'_>]) {
        let packet = self.packet(now, messages);
        session.handle_datagram(now, LocalPort::data(self.pair), self.data, &packet);
    }
}
