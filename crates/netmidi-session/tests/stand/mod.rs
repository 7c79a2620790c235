//! One session and one scripted peer, with all that the session sends and when.

#![allow(
    dead_code,
    reason = "every test file takes the part of it that it needs"
)]

use netmidi_message::Message;
use netmidi_session::{
    Config, Event, LocalPort, Origin, ParticipantId, ParticipantStats, Session, Time, Transmit,
};
use netmidi_testkit::{ScriptedPeer, events, from_hex, to_hex, transmits};
use netmidi_wire::{RtpHeader, RtpTimestamp, SeqNum};

/// When every stand begins.
pub(crate) const START: Time = Time::from_secs(10);

/// A session, a peer that has joined it, and what the session has sent.
pub(crate) struct Stand {
    pub(crate) session: Session,
    pub(crate) peer: ScriptedPeer,
    pub(crate) id: ParticipantId,
    pub(crate) now: Time,
    sent: Vec<(u64, Transmit, Vec<u8>)>,
}

impl Stand {
    /// A peer that has joined and not compared clocks.
    pub(crate) fn joined(change: impl FnOnce(&mut Config)) -> Self {
        Self::seeded(1, change)
    }

    /// The same; the seed decides where our numbers begin.
    pub(crate) fn seeded(seed: u64, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new("ours");
        change(&mut config);
        let mut session = Session::new(config, seed, START).unwrap();
        let peer = ScriptedPeer::new(1);
        let id = peer.join(&mut session, START);
        Self {
            session,
            peer,
            id,
            now: START,
            sent: Vec::new(),
        }
    }

    /// A peer to which MIDI flows.
    pub(crate) fn ready(change: impl FnOnce(&mut Config)) -> Self {
        let mut stand = Self::joined(change);
        stand.synchronise();
        stand
    }

    /// The same, and introductions are over without an answer.
    pub(crate) fn introduced(change: impl FnOnce(&mut Config)) -> Self {
        let mut stand = Self::ready(change);
        stand.pass(5000);
        stand.sent.clear();
        stand
    }

    /// A peer that has shown that it knows journals, and acknowledged everything, at once.
    pub(crate) fn proven(change: impl FnOnce(&mut Config)) -> Self {
        let mut stand = Self::ready(change);
        stand.collect();
        stand.journal("40 000064");
        let (_, seq, _) = stand.midi().pop().expect("an introduction");
        stand.acknowledge(seq);
        stand.pass(5000);
        stand.sent.clear();
        stand
    }

    pub(crate) fn synchronise(&mut self) {
        self.peer.synchronise(&mut self.session, self.now);
        self.collect();
    }

    /// Milliseconds since the start.
    fn millis(&self) -> u64 {
        u64::try_from(self.now.since(START).as_millis()).unwrap()
    }

    pub(crate) fn collect(&mut self) {
        let at = self.millis();
        for (transmit, octets) in transmits(&mut self.session) {
            self.sent.push((at, transmit, octets));
        }
    }

    /// Lets this many milliseconds pass, called whenever the session asks for it.
    pub(crate) fn pass(&mut self, millis: u64) {
        self.pass_micros(millis * 1000);
    }

    pub(crate) fn pass_micros(&mut self, micros: u64) {
        let until = Time::from_micros(self.now.as_micros() + micros);
        self.collect();
        for _ in 0..100_000 {
            match self.session.poll_timeout() {
                Some(due) if due <= until => {
                    assert!(due >= self.now, "asked for the past");
                    self.now = due;
                    self.session.handle_timeout(due);
                    self.collect();
                    assert!(
                        self.session.poll_timeout().is_none_or(|next| next > due),
                        "time stands still at {due}"
                    );
                }
                _ => {
                    self.now = until;
                    return;
                }
            }
        }
        panic!("asked for without end");
    }

    /// Lets time pass without calling the session.
    pub(crate) fn sleep(&mut self, millis: u64) {
        self.now = Time::from_micros(self.now.as_micros() + millis * 1000);
    }

    /// We send messages, in one packet if they fit.
    pub(crate) fn send(&mut self, messages: &[&str]) {
        for message in messages {
            let octets = from_hex(message);
            let message = Message::parse(&octets).unwrap();
            self.session.send(self.now, self.id, message).unwrap();
        }
        self.collect();
    }

    /// MIDI packets sent since the last call: milliseconds since the start, number, payload as hex.
    pub(crate) fn midi(&mut self) -> Vec<(u64, SeqNum, String)> {
        self.collect();
        let (midi, rest) = self.sent.drain(..).partition(|(.., it)| it[0] == 0x80);
        self.sent = rest;
        let midi: Vec<(u64, Transmit, Vec<u8>)> = midi;
        midi.into_iter()
            .map(|(at, transmit, octets)| {
                assert_eq!(transmit.to, self.peer.data);
                let seq = SeqNum(u16::from_be_bytes([octets[2], octets[3]]));
                (at, seq, to_hex(&octets[RtpHeader::LEN..]))
            })
            .collect()
    }

    /// Only their payloads.
    pub(crate) fn payloads(&mut self) -> Vec<String> {
        self.midi().into_iter().map(|(.., it)| it).collect()
    }

    /// Only their times, counted from `since`, in milliseconds since the start.
    pub(crate) fn times(&mut self, since: u64) -> Vec<u64> {
        self.midi().into_iter().map(|(at, ..)| at - since).collect()
    }

    /// Feedback sent since the last call: milliseconds since the start and octets from the fourth on.
    pub(crate) fn feedback(&mut self) -> Vec<(u64, String)> {
        self.collect();
        let (feedback, rest) = self
            .sent
            .drain(..)
            .partition(|(.., it)| it.starts_with(b"\xFF\xFFRS"));
        self.sent = rest;
        let feedback: Vec<(u64, Transmit, Vec<u8>)> = feedback;
        feedback
            .into_iter()
            .map(|(at, transmit, octets)| {
                assert_eq!(transmit.to, self.peer.control);
                assert_eq!(transmit.from, LocalPort::control(self.peer.pair));
                (at, to_hex(&octets[4..]))
            })
            .collect()
    }

    /// Whether anything else was sent: BY, for instance.
    pub(crate) fn others(&mut self) -> Vec<(u64, Vec<u8>)> {
        self.collect();
        let others = self.sent.drain(..);
        others.map(|(at, _, octets)| (at, octets)).collect()
    }

    /// RS from the peer, as it should be.
    pub(crate) fn acknowledge(&mut self, seq: SeqNum) {
        self.rs(seq.0, 0);
    }

    /// RS from the peer with these halves.
    pub(crate) fn rs(&mut self, upper: u16, lower: u16) {
        let mut rs = self.peer.feedback(SeqNum(upper));
        rs[10..].copy_from_slice(&lower.to_be_bytes());
        let local = LocalPort::control(self.peer.pair);
        self.session
            .handle_datagram(self.now, local, self.peer.control, &rs);
        self.collect();
    }

    /// The peer sends its next packet with this payload; its timestamp is that of now.
    pub(crate) fn journal(&mut self, payload: &str) {
        let seq = self.peer.seq;
        self.peer.seq = seq.next();
        self.packet(seq, payload);
    }

    /// The peer sends a packet.
    pub(crate) fn packet(&mut self, seq: SeqNum, payload: &str) {
        let at = RtpTimestamp(u32::try_from(self.now.as_micros() / 100).unwrap());
        self.packet_at(seq, at, payload);
    }

    pub(crate) fn packet_at(&mut self, seq: SeqNum, at: RtpTimestamp, payload: &str) {
        let header = RtpHeader::midi(seq, at, self.peer.ssrc);
        let mut packet = vec![0; RtpHeader::LEN];
        header.encode(&mut packet).unwrap();
        packet.extend(from_hex(payload));
        let local = LocalPort::data(self.peer.pair);
        self.session
            .handle_datagram(self.now, local, self.peer.data, &packet);
        self.collect();
    }

    /// The next packets of the peer get lost.
    pub(crate) fn lose(&mut self, packets: u16) {
        self.peer.seq = self.peer.seq.wrapping_add(packets);
    }

    /// What was told since the last call: messages with their origin, and the rest.
    pub(crate) fn heard(&mut self) -> Vec<String> {
        events(&mut self.session)
            .into_iter()
            .map(|event| match event {
                Event::Message {
                    message, origin, ..
                } => {
                    let hex = to_hex(&message.to_vec());
                    match origin {
                        Origin::Live => hex,
                        origin => format!("{origin:?} {hex}"),
                    }
                }
                Event::Lost {
                    packets, covered, ..
                } => format!("Lost {packets} {covered}"),
                Event::Left { reason, .. } => format!("Left {reason:?}"),
                Event::Joined { .. } => "Joined".to_owned(),
                Event::Overflow { dropped, .. } => format!("Overflow {dropped}"),
                Event::Synchronised { .. } => "Synchronised".to_owned(),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    pub(crate) fn stats(&self) -> ParticipantStats {
        self.session.participant_stats(self.id).unwrap()
    }
}

/// A number as it stands in a packet.
pub(crate) fn hex(seq: SeqNum) -> String {
    format!("{:04x}", seq.0)
}
