//! Two sessions that play to each other over a simulated network, in simulated time.

use core::fmt;
use core::time::Duration;

use netmidi_message::Message;
use netmidi_session::{Config, Event, LocalPort, PairId, ParticipantId, Port, SendError};
use netmidi_session::{Session, Time};
use netmidi_wire::{ClockCount, ClockTicks, SeqNum};

use crate::link::{Bursts, Link, LinkQuality};
use crate::peer::{ScriptedPeer, events, transmits};

/// When both sessions begin.
const START: Time = Time::from_secs(1);
/// How often the clocks are compared: often enough that nobody counts as silent.
const CLOCK_INTERVAL: Duration = Duration::from_secs(10);
/// More rounds without time passing are a session that asks for the past again and again.
const MAX_ROUNDS_AT_ONCE: u32 = 1_000_000;

/// One of the two sessions of a [`Pair`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

impl Side {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// The one at the other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// A datagram that one side sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SentPacket {
    /// When.
    pub at: Time,
    /// From which port, and so to which.
    pub port: Port,
    /// What the session wrote, before anybody edited it.
    pub octets: Vec<u8>,
    /// Its journal could not hold all that it should, or it has none for that reason.
    pub overflow: bool,
}

/// How much one side sent: what its session wrote, lost or not, edited or not.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Traffic {
    /// RTP packets.
    pub rtp_packets: u64,
    /// Octets in them.
    pub rtp_octets: u64,
    /// Session packets, receiver feedback for the most part.
    pub control_packets: u64,
    /// Octets in them.
    pub control_octets: u64,
    /// Datagrams that the editor dropped.
    pub dropped: u64,
}

/// Changes a datagram on its way; false drops it.
type Editor = Box<dyn FnMut(&mut Vec<u8>) -> bool>;

/// One session, and the way out of it.
struct End {
    session: Session,
    /// How this session knows the other: by the identity of that session, so that packets pass
    /// unchanged.
    peer: ScriptedPeer,
    participant: ParticipantId,
    out: Link<(Port, Vec<u8>)>,
    editor: Option<Editor>,
    traffic: Traffic,
    log: Vec<SentPacket>,
    /// The highest number among the RTP packets that arrived here, and that packet.
    newest_arrived: Option<SeqNum>,
    newest_packet: Vec<u8>,
    /// How many packets went out with a journal that was not complete.
    overflow: u64,
}

/// Two sessions and the links between them.
///
/// Sessions know only how to be invited. Each is invited by a scripted peer that has the identity
/// of the other session, and that compares clocks every ten seconds of simulated time, past the
/// links. Everything else that a session sends reaches the other through a link, from port to
/// port: MIDI, feedback, farewells.
///
/// ```
/// use core::time::Duration;
/// use netmidi_message::{Channel, ChannelMessage, Note, U7};
/// use netmidi_session::{Config, Event};
/// use netmidi_testkit::{LinkQuality, Pair, Side};
///
/// let quality = LinkQuality::default();
/// let (a, b) = (Config::new("a"), Config::new("b"));
/// let mut pair = Pair::joined(quality, quality, 1, a, b);
/// let note = ChannelMessage::note_on(Channel::C1, Note::MIDDLE_C, U7::MAX);
/// pair.send(Side::A, note.into())?;
/// let mut played = Vec::new();
/// pair.run_for(Duration::from_millis(10), &mut |side, event| {
///     if let Event::Message { message, .. } = event {
///         played.push((side, message));
///     }
/// });
/// assert_eq!(played, [(Side::B, note.into())]);
/// # Ok::<(), netmidi_session::SendError>(())
/// ```
pub struct Pair {
    ends: [End; 2],
    now: Time,
    clock_at: Time,
    rounds: u32,
    keep_log: bool,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair")
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

impl Pair {
    /// Two sessions that have joined and compared clocks; `seed` decides everything.
    ///
    /// # Panics
    /// When a configuration is refused or lets nobody join.
    #[must_use]
    pub fn joined(
        quality_ab: LinkQuality,
        quality_ba: LinkQuality,
        seed: u64,
        config_a: Config,
        config_b: Config,
    ) -> Self {
        let [seed_a, seed_b, link_a, link_b] =
            [1, 2, 3, 4].map(|n: u64| seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(n));
        let [a, b] = [(config_a, seed_a), (config_b, seed_b)]
            .map(|(config, seed)| Session::new(config, seed, START).unwrap());
        let [ssrc_a, ssrc_b] = [a.ssrc(), b.ssrc()];
        let ends = [
            (a, ssrc_b, quality_ab, link_a),
            (b, ssrc_a, quality_ba, link_b),
        ]
        .map(|(mut session, ssrc, quality, seed)| {
            let mut peer = ScriptedPeer::new(1);
            peer.ssrc = ssrc;
            let participant = peer.join(&mut session, START);
            events(&mut session);
            End {
                session,
                peer,
                participant,
                out: Link::new(quality, seed),
                editor: None,
                traffic: Traffic::default(),
                log: Vec::new(),
                newest_arrived: None,
                newest_packet: Vec::new(),
                overflow: 0,
            }
        });
        // Each is told the clock that the packets of the other show.
        let [mut a, mut b] = ends;
        let shown = |end: &mut End| {
            let ticks = end.peer.ask(&mut end.session, START).0;
            ClockTicks(ticks - START.as_micros() / 100)
        };
        (a.peer.clock_ahead, b.peer.clock_ahead) = (shown(&mut b), shown(&mut a));
        let ends = [a, b].map(|mut end| {
            end.peer.synchronise(&mut end.session, START);
            end
        });
        let mut pair = Self {
            ends,
            now: START,
            clock_at: START + CLOCK_INTERVAL,
            rounds: 0,
            keep_log: true,
        };
        pair.pump();
        pair
    }

    /// Keeps no [`log`](Self::log) of what is sent.
    #[must_use]
    pub const fn without_log(mut self) -> Self {
        self.keep_log = false;
        self
    }

    /// Now, in simulated time.
    #[must_use]
    pub const fn now(&self) -> Time {
        self.now
    }

    /// Edits every datagram of this side on its way to the link; false drops it. The log and the
    /// counters have it as it was.
    pub fn edit(&mut self, side: Side, editor: impl FnMut(&mut Vec<u8>) -> bool + 'static) {
        self.end_mut(side).editor = Some(Box::new(editor));
    }

    /// Edits datagrams of this side no more.
    pub fn edit_no_more(&mut self, side: Side) {
        self.end_mut(side).editor = None;
    }

    /// Datagrams of this side get lost in bursts from now on, or no more.
    pub fn set_bursts(&mut self, side: Side, bursts: Option<Bursts>) {
        self.end_mut(side).out.set_bursts(bursts);
    }

    /// The next datagrams of this side get lost.
    pub fn lose_next(&mut self, side: Side, datagrams: u32) {
        self.end_mut(side).out.lose_next(datagrams);
    }

    /// How bad the way out of this side is from now on.
    pub fn set_quality(&mut self, side: Side, quality: LinkQuality) {
        self.end_mut(side).out.set_quality(quality);
    }

    /// The session of this side.
    #[must_use]
    pub const fn session(&self, side: Side) -> &Session {
        &self.end(side).session
    }

    /// How the session of this side calls the other.
    #[must_use]
    pub const fn participant(&self, side: Side) -> ParticipantId {
        self.end(side).participant
    }

    /// How much this side has sent.
    #[must_use]
    pub const fn traffic(&self, side: Side) -> Traffic {
        self.end(side).traffic
    }

    /// How many datagrams of this side the link has lost.
    #[must_use]
    pub const fn lost(&self, side: Side) -> u64 {
        self.end(side).out.lost()
    }

    /// Everything that this side has sent and that was not taken yet.
    #[must_use]
    pub fn log(&self, side: Side) -> &[SentPacket] {
        &self.end(side).log
    }

    /// Takes what this side has sent since the last call.
    pub fn take_log(&mut self, side: Side) -> Vec<SentPacket> {
        core::mem::take(&mut self.end_mut(side).log)
    }

    /// The highest number among the RTP packets that have arrived at this side.
    #[must_use]
    pub const fn newest_arrived(&self, side: Side) -> Option<SeqNum> {
        self.end(side).newest_arrived
    }

    /// The RTP packet with that number as it arrived, edited or not; empty before the first.
    #[must_use]
    pub fn newest_packet(&self, side: Side) -> &[u8] {
        &self.end(side).newest_packet
    }

    /// Sends a message from this side to the other. It goes out with the next step, together with
    /// others that are sent before it.
    ///
    /// # Errors
    /// Those of [`Session::send`].
    pub fn send(&mut self, side: Side, message: Message<'_>) -> Result<(), SendError> {
        let now = self.now;
        let end = self.end_mut(side);
        end.session.send(now, end.participant, message)
    }

    /// Puts a datagram on the way that the session of this side did not write: it arrives as if it
    /// had. Neither edited nor counted.
    pub fn inject(&mut self, side: Side, port: Port, octets: Vec<u8>) {
        let now = self.now;
        self.end_mut(side).out.send(now, (port, octets));
    }

    /// This side ends the session.
    ///
    /// # Errors
    /// Those of [`Session::leave`].
    pub fn leave(&mut self, side: Side) -> Result<(), SendError> {
        let now = self.now;
        let end = self.end_mut(side);
        end.session.leave(now, end.participant)
    }

    /// Puts everything that waits in the sessions on its way, without time passing.
    pub fn flush(&mut self, sink: &mut dyn FnMut(Side, Event)) {
        self.pump();
        self.tell(sink);
    }

    /// Lets time pass up to `until`.
    ///
    /// # Panics
    /// When a session wants to be called without end while no time passes.
    pub fn run_until(&mut self, until: Time, sink: &mut dyn FnMut(Side, Event)) {
        while self.step(until, sink) {}
    }

    /// Lets some time pass.
    ///
    /// # Panics
    /// When a session wants to be called without end while no time passes.
    pub fn run_for(&mut self, time: Duration, sink: &mut dyn FnMut(Side, Event)) {
        self.run_until(self.now + time, sink);
    }

    /// Does the next thing that is due, and tells whether there was one before `until`: at most one
    /// datagram arrives, and time passes up to there. Without anything due it passes up to `until`.
    ///
    /// # Panics
    /// When a session wants to be called without end while no time passes.
    pub fn step(&mut self, until: Time, sink: &mut dyn FnMut(Side, Event)) -> bool {
        self.flush(sink);
        let due = self.next_due();
        if due > until {
            self.pass(until);
            return false;
        }
        self.pass(due);
        if self.clock_at <= self.now {
            self.clock_at = self.now + CLOCK_INTERVAL;
            Side::BOTH.into_iter().for_each(|side| self.clock(side));
        } else if !self.deliver() {
            let now = self.now;
            for end in &mut self.ends {
                end.session.handle_timeout(now);
            }
        }
        self.flush(sink);
        true
    }

    fn next_due(&self) -> Time {
        self.ends
            .iter()
            .flat_map(|end| [end.out.next_arrival(), end.session.poll_timeout()])
            .flatten()
            .fold(self.clock_at, Time::min)
    }

    fn pass(&mut self, to: Time) {
        if to > self.now {
            self.now = to;
            self.rounds = 0;
        }
        self.rounds += 1;
        assert!(
            self.rounds < MAX_ROUNDS_AT_ONCE,
            "time stands still at {}",
            self.now
        );
    }

    /// Hands over the next datagram that has arrived.
    fn deliver(&mut self) -> bool {
        let now = self.now;
        let first = Side::BOTH
            .into_iter()
            .filter_map(|side| Some((self.end(side).out.next_arrival()?, side)))
            .min();
        let Some((_, from)) = first.filter(|(at, _)| *at <= now) else {
            return false;
        };
        let Some((port, octets)) = self.end_mut(from).out.receive(now) else {
            return false;
        };
        let end = self.end_mut(from.other());
        if let Some(seq) = rtp_seq(&octets)
            && end
                .newest_arrived
                .is_none_or(|newest| seq.distance_from(newest) > 0)
        {
            end.newest_arrived = Some(seq);
            end.newest_packet.clone_from(&octets);
        }
        let address = match port {
            Port::Control => end.peer.control,
            Port::Data => end.peer.data,
        };
        let local = LocalPort {
            pair: PairId(0),
            port,
        };
        end.session.handle_datagram(now, local, address, &octets);
        true
    }

    /// One clock exchange with the scripted peer of this side.
    fn clock(&mut self, side: Side) {
        self.pump();
        let (now, keep_log) = (self.now, self.keep_log);
        let end = self.end_mut(side);
        let local = LocalPort::data(PairId(0));
        let ours = ClockTicks(now.as_micros() / 100 + end.peer.clock_ahead.0);
        let zero = ClockTicks(0);
        let ck0 = end.peer.clock(ClockCount::Ck0, [ours, zero, zero]);
        end.session.handle_datagram(now, local, end.peer.data, &ck0);
        let mut theirs = None;
        for (transmit, octets) in transmits(&mut end.session) {
            if octets.starts_with(b"\xFF\xFFCK") && octets[8] == 1 {
                theirs = Some(u64::from_be_bytes(octets[20..28].try_into().unwrap()));
            } else {
                end.put(now, transmit.from.port, octets, keep_log);
            }
        }
        // A participant that has left answers no more.
        if let Some(theirs) = theirs {
            let ck2 = [ours, ClockTicks(theirs), ours];
            let ck2 = end.peer.clock(ClockCount::Ck2, ck2);
            end.session.handle_datagram(now, local, end.peer.data, &ck2);
        }
    }

    fn pump(&mut self) {
        let (now, keep_log) = (self.now, self.keep_log);
        for end in &mut self.ends {
            let mut out = Vec::new();
            while let Some(transmit) = end.session.poll_transmit(&mut out) {
                end.put(now, transmit.from.port, out.clone(), keep_log);
            }
        }
    }

    fn tell(&mut self, sink: &mut dyn FnMut(Side, Event)) {
        for side in Side::BOTH {
            while let Some(event) = self.end_mut(side).session.poll_event() {
                sink(side, event);
            }
        }
    }

    const fn end(&self, side: Side) -> &End {
        let [a, b] = &self.ends;
        match side {
            Side::A => a,
            Side::B => b,
        }
    }

    const fn end_mut(&mut self, side: Side) -> &mut End {
        let [a, b] = &mut self.ends;
        match side {
            Side::A => a,
            Side::B => b,
        }
    }
}

impl End {
    fn put(&mut self, now: Time, port: Port, mut octets: Vec<u8>, keep_log: bool) {
        if rtp_seq(&octets).is_some() {
            self.traffic.rtp_packets += 1;
            self.traffic.rtp_octets += octets.len() as u64;
        } else {
            self.traffic.control_packets += 1;
            self.traffic.control_octets += octets.len() as u64;
        }
        if keep_log {
            let stats = self.session.participant_stats(self.participant);
            let overflow = stats.map_or(self.overflow, |it| it.journal_overflow);
            self.log.push(SentPacket {
                at: now,
                port,
                octets: octets.clone(),
                overflow: overflow > core::mem::replace(&mut self.overflow, overflow),
            });
        }
        let keep = self
            .editor
            .as_mut()
            .is_none_or(|editor| editor(&mut octets));
        if keep {
            self.out.send(now, (port, octets));
        } else {
            self.traffic.dropped += 1;
        }
    }
}

/// The number of an RTP packet.
fn rtp_seq(octets: &[u8]) -> Option<SeqNum> {
    match *octets {
        [first, _, high, low, ..] if first >> 6 == 2 => {
            Some(SeqNum(u16::from_be_bytes([high, low])))
        }
        _ => None,
    }
}
