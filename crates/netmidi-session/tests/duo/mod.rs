//! Two sessions that play to each other over a simulated network, which takes no memory of its own
//! once it has found its size.

use core::time::Duration;
use std::collections::VecDeque;

use netmidi_message::{Message, MessageBuf};
use netmidi_session::{
    Config, Event, JournalPolicy, LocalPort, ParticipantId, Port, Session, Time,
};
use netmidi_testkit::{Rng, ScriptedPeer};

/// A datagram on its way.
struct Datagram {
    arrives: Time,
    to: usize,
    from_port: Port,
    to_port: Port,
    octets: Vec<u8>,
}

/// What passes by.
pub(crate) enum Passed<'a> {
    /// Side 0 or 1 sends a datagram, which may be lost.
    Datagram { from: usize, octets: &'a [u8] },
    /// Either side is told something.
    Event(Event),
}

/// Two sessions, connected and with equal clocks.
pub(crate) struct Duo {
    pub(crate) now: Time,
    pub(crate) sessions: [Session; 2],
    /// Each side's name for the other.
    pub(crate) ids: [ParticipantId; 2],
    /// As each side sees the other: identity and sockets.
    peers: [ScriptedPeer; 2],
    one_way: Duration,
    /// Parts per million.
    loss: u32,
    rng: Rng,
    on_the_way: VecDeque<Datagram>,
    free: Vec<Vec<u8>>,
    out: Vec<u8>,
}

impl Duo {
    /// Connected and introduced, without a loss.
    pub(crate) fn new(policy: JournalPolicy, one_way: Duration) -> Self {
        Self::configured(one_way, &|config| config.journal = policy)
    }

    /// The same, with both configurations changed.
    pub(crate) fn configured(one_way: Duration, change: &dyn Fn(&mut Config)) -> Self {
        let [a, b] = ["a", "b"].map(|name| {
            let mut config = Config::new(name);
            change(&mut config);
            let seed = u64::from(name.as_bytes()[0]);
            Session::new(config, seed, Time::ZERO).unwrap()
        });
        let mut peers = [ScriptedPeer::new(1), ScriptedPeer::new(0)];
        peers[0].ssrc = b.ssrc();
        peers[1].ssrc = a.ssrc();
        let mut sessions = [a, b];
        let mut side = 0;
        let ids = [0, 1].map(|_| {
            let (session, peer) = (&mut sessions[side], &mut peers[side]);
            let id = peer.join(session, Time::ZERO);
            // Packets of this session show its clock.
            let shown = peer.ask(session, Time::ZERO);
            peers[1 - side].clock_ahead = shown;
            side += 1;
            id
        });
        for (session, peer) in sessions.iter_mut().zip(&peers) {
            peer.synchronise(session, Time::ZERO);
        }
        let mut duo = Self {
            now: Time::ZERO,
            sessions,
            ids,
            peers,
            one_way,
            loss: 0,
            rng: Rng::new(7),
            on_the_way: VecDeque::with_capacity(1024),
            free: (0..1024).map(|_| Vec::with_capacity(1024)).collect(),
            out: Vec::with_capacity(1024),
        };
        duo.run_until(Time::from_secs(1), &mut |_| {});
        duo
    }

    /// From now on so many datagrams of a million are lost.
    pub(crate) fn lose(&mut self, loss: u32) {
        self.loss = loss;
    }

    /// A side sends a message now.
    pub(crate) fn send(&mut self, side: usize, message: Message<'_>) {
        let to = self.ids[side];
        self.sessions[side].send(self.now, to, message).unwrap();
    }

    /// Lets time go on.
    pub(crate) fn run_until(&mut self, end: Time, watch: &mut impl FnMut(Passed<'_>)) {
        loop {
            self.drain(watch);
            let arrival = self.on_the_way.front().map(|it| it.arrives);
            let deadlines = self.sessions.iter().filter_map(Session::poll_timeout);
            let next = deadlines.chain(arrival).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                break;
            };
            self.now = self.now.max(next);
            let now = self.now;
            for session in &mut self.sessions {
                session.handle_timeout(now);
            }
            while self.on_the_way.front().is_some_and(|it| it.arrives <= now) {
                let Some(datagram) = self.on_the_way.pop_front() else {
                    break;
                };
                let peer = &self.peers[datagram.to];
                let from = match datagram.from_port {
                    Port::Control => peer.control,
                    Port::Data => peer.data,
                };
                let local = match datagram.to_port {
                    Port::Control => LocalPort::control(peer.pair),
                    Port::Data => LocalPort::data(peer.pair),
                };
                self.sessions[datagram.to].handle_datagram(now, local, from, &datagram.octets);
                self.free.push(datagram.octets);
            }
        }
        self.now = end;
    }

    fn drain(&mut self, watch: &mut impl FnMut(Passed<'_>)) {
        for (side, session) in self.sessions.iter_mut().enumerate() {
            while let Some(transmit) = session.poll_transmit(&mut self.out) {
                let octets = self.out.as_slice();
                watch(Passed::Datagram { from: side, octets });
                if self.rng.chance(self.loss) {
                    continue;
                }
                let mut copy = self.free.pop().unwrap_or_default();
                copy.clear();
                copy.extend_from_slice(octets);
                let is_data = transmit.to == self.peers[side].data;
                self.on_the_way.push_back(Datagram {
                    arrives: self.now + self.one_way,
                    to: 1 - side,
                    from_port: transmit.from.port,
                    to_port: if is_data { Port::Data } else { Port::Control },
                    octets: copy,
                });
            }
            while let Some(event) = session.poll_event() {
                watch(Passed::Event(event));
            }
        }
    }
}

/// Everything that a busy studio sends, but no system exclusive messages and no resets: the `n`th
/// dozen of messages. All channels have their turn, and so do all keys and values.
pub(crate) fn studio(n: u32) -> impl Iterator<Item = MessageBuf> {
    let channel = (n % 16) as u8;
    let round = n / 16;
    let value = (round % 128) as u8;
    let key = (round * 5 % 128) as u8;
    let before = ((round + 127) * 5 % 128) as u8;
    let selector = [[101, 100], [99, 98]][(round / 2 % 2) as usize];
    let quarter_frame = ((n % 8) as u8) << 4 | [4, 1, 2, 0, 3, 0, 1, 2][(n % 8) as usize];
    [
        [0x80 | channel, before, value],
        [0x90 | channel, key, value.max(1)],
        [0xA0 | channel, key, value],
        [0xB0 | channel, [7, 10, 11, 1][(round % 4) as usize], value],
        [0xB0 | channel, [64, 66, 0, 32][(round % 4) as usize], value],
        [0xB0 | channel, selector[0], 0],
        [0xB0 | channel, selector[1], (round % 8) as u8],
        [0xB0 | channel, [6, 38, 96][(round % 3) as usize], value],
        [0xC0 | channel, value, 0],
        [0xD0 | channel, value, 0],
        [0xE0 | channel, value, key],
        [0xF1, quarter_frame, 0],
        [if n.is_multiple_of(256) { 0xFA } else { 0xF8 }, 0, 0],
        [[0xFE, 0xF6][(n % 2) as usize], 0, 0],
        [0xF3, value, 0],
        // The mode messages that end notes, and the one that resets controllers.
        [
            0xB0 | channel,
            [120, 121, 123, 126][(round % 4) as usize],
            0,
        ],
    ]
    .into_iter()
    .enumerate()
    .filter(move |(nth, _)| *nth < 15 || round % 50 == 49)
    .map(|(_, octets)| {
        let (message, ..) = Message::parse_prefix(&octets, None).expect("a message");
        message.to_buf()
    })
}
