//! A simulated network of many hosts, each with one session: links of any quality, routers that
//! translate addresses, and everything that befalls hosts.

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use netmidi_message::Message;
use netmidi_session::{
    Config, Event, InviteeId, LocalPort, PairId, ParticipantId, Persistence, Port, SendError,
    Session, Target, Time,
};

use crate::link::{Link, LinkQuality};
use crate::rng::Rng;

/// The control port of every host; the data port is the one above it.
const CONTROL: u16 = 5004;
/// Where routers begin to number the ports that they lend.
const FIRST_MAPPED: u16 = 40_000;
/// The latest that the clock of a session begins, in seconds: somebody may have been up for years.
const LATEST_EPOCH: u32 = 100_000_000;
/// More rounds without time passing are a session that asks for the past again and again.
const MAX_ROUNDS_AT_ONCE: u32 = 1_000_000;

/// A host of a [`Net`], in the order of [`Net::add`].
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct HostId(pub usize);

/// What a datagram is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// IN.
    Invitation,
    /// OK.
    Accepted,
    /// NO.
    Rejected,
    /// BY.
    End,
    /// CK.
    Clock,
    /// RS.
    Feedback,
    /// MIDI and journals.
    Rtp,
    /// Something else.
    Other,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Invitation,
        Self::Accepted,
        Self::Rejected,
        Self::End,
        Self::Clock,
        Self::Feedback,
        Self::Rtp,
        Self::Other,
    ];

    /// What these octets are.
    #[must_use]
    pub fn of(octets: &[u8]) -> Self {
        match octets {
            [0xFF, 0xFF, b'I', b'N', ..] => Self::Invitation,
            [0xFF, 0xFF, b'O', b'K', ..] => Self::Accepted,
            [0xFF, 0xFF, b'N', b'O', ..] => Self::Rejected,
            [0xFF, 0xFF, b'B', b'Y', ..] => Self::End,
            [0xFF, 0xFF, b'C', b'K', ..] => Self::Clock,
            [0xFF, 0xFF, b'R', b'S', ..] => Self::Feedback,
            [first, ..] if first >> 6 == 2 => Self::Rtp,
            _ => Self::Other,
        }
    }
}

/// Datagrams, counted by kind.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally([u64; Kind::ALL.len()]);

impl Tally {
    /// How many of this kind.
    #[must_use]
    pub const fn of(&self, kind: Kind) -> u64 {
        self.0[kind as usize]
    }

    /// How many in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// How many more than there were `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self(core::array::from_fn(|kind| self.0[kind] - before.0[kind]))
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self(core::array::from_fn(|kind| self.0[kind] + other.0[kind]))
    }

    const fn note(&mut self, kind: Kind) {
        self.0[kind as usize] += 1;
    }
}

/// Which mappings of a router change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rebound {
    /// That of the control port.
    Control,
    /// That of the data port.
    Data,
    /// Those of both.
    Both,
}

/// What the clock of a session does while its host sleeps.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sleep {
    /// It stands still: the monotonic clocks of Linux and macOS.
    ClockStands,
    /// It goes on: that of Windows.
    ClockRuns,
}

/// A router in front of a host that lends it an address and two ports. From outside it passes only
/// what comes from hosts to which something was sent from that port before.
#[derive(Debug)]
struct Nat {
    outside: IpAddr,
    /// Of the control and the data port.
    mapped: [Option<Mapping>; 2],
    next_port: u16,
}

#[derive(Debug)]
struct Mapping {
    port: u16,
    known: BTreeSet<IpAddr>,
}

/// The clock of one session: where it stood at some moment, and how fast it goes.
#[derive(Clone, Copy, Debug)]
struct HostClock {
    /// A moment of the network, ...
    at: Time,
    /// ... what the clock showed then, ...
    showed: Time,
    /// ... and how much it gains, in millionths.
    drift: i32,
}

impl HostClock {
    fn local(&self, now: Time) -> Time {
        let passed = now.since(self.at).as_micros() as i128;
        let gained = passed * i128::from(self.drift) / 1_000_000;
        self.showed + Duration::from_micros((passed + gained) as u64)
    }

    /// When it shows `local`, or a little later.
    fn when(&self, local: Time) -> Time {
        let shown = local.since(self.showed).as_micros() as i128;
        let rate = 1_000_000 + i128::from(self.drift);
        let passed = (shown * 1_000_000 + rate - 1) / rate;
        self.at + Duration::from_micros(passed as u64)
    }
}

#[derive(Debug)]
struct Host {
    config: Config,
    address: IpAddr,
    nat: Option<Nat>,
    session: Option<Session>,
    clock: HostClock,
    asleep: bool,
    /// Gone once it has told everybody.
    closing: bool,
    /// Whom it invites whenever it starts, and as whom.
    invites: BTreeMap<HostId, Option<InviteeId>>,
    wake: Option<Time>,
    dirty: bool,
    events: Vec<(Time, Event)>,
    sent: Tally,
    received: Tally,
}

/// A datagram on its way.
#[derive(Clone, Debug)]
struct Flight {
    /// Who sent it; `None` for a forged one.
    by: Option<HostId>,
    from: SocketAddr,
    to: SocketAddr,
    octets: Vec<u8>,
}

/// A datagram that passed a host: sent by it, or arrived there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Passed {
    /// When, by the clock of the network.
    pub at: Time,
    /// From where.
    pub from: SocketAddr,
    /// To where.
    pub to: SocketAddr,
    /// What.
    pub octets: Vec<u8>,
}

/// Hosts, their sessions and what lies between them, in simulated time. The same seed and the same
/// calls give the same course.
///
/// ```
/// use core::time::Duration;
/// use netmidi_session::Config;
/// use netmidi_testkit::{LinkQuality, Net};
///
/// let mut net = Net::new(1, LinkQuality::default());
/// let a = net.add(Config::new("a"), [192, 0, 2, 1].into());
/// let b = net.add(Config::new("b"), [192, 0, 2, 2].into());
/// net.start(a);
/// net.start(b);
/// net.invite(a, b);
/// net.run_for(Duration::from_secs(1));
/// assert_eq!(net.session(b).unwrap().participants().count(), 1);
/// ```
pub struct Net {
    now: Time,
    rng: Rng,
    hosts: Vec<Host>,
    /// Whose address it is, as seen by the others.
    addresses: BTreeMap<IpAddr, HostId>,
    quality: LinkQuality,
    /// The ways of another quality.
    ways: BTreeMap<(HostId, HostId), LinkQuality>,
    /// The ways on which nothing passes.
    cut: BTreeSet<(HostId, HostId)>,
    wire: Link<Flight>,
    wakes: BTreeSet<(Time, HostId)>,
    dirty: Vec<HostId>,
    /// Whose session is timed, and how long it took up to now.
    watched: Option<(HostId, Duration)>,
    /// Whose datagrams are kept, and those of them that were not taken yet.
    tapped: Option<(HostId, Vec<Passed>)>,
    rounds: u32,
    trace: bool,
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net")
            .field("now", &self.now)
            .field("hosts", &self.hosts.len())
            .finish_non_exhaustive()
    }
}

impl Net {
    /// A network without hosts; `seed` decides everything, `quality` is that of all ways.
    #[must_use]
    pub fn new(seed: u64, quality: LinkQuality) -> Self {
        let mut rng = Rng::new(seed);
        let wire = Link::new(quality, rng.bits());
        Self {
            now: Time::ZERO,
            rng,
            hosts: Vec::new(),
            addresses: BTreeMap::new(),
            quality,
            ways: BTreeMap::new(),
            cut: BTreeSet::new(),
            wire,
            wakes: BTreeSet::new(),
            dirty: Vec::new(),
            watched: None,
            tapped: None,
            rounds: 0,
            trace: std::env::var_os("NETMIDI_TRACE").is_some(),
        }
    }

    // Hosts.

    /// A host, off as yet. Those of one network have addresses of one family.
    ///
    /// # Panics
    /// When somebody has that address.
    pub fn add(&mut self, config: Config, address: IpAddr) -> HostId {
        let id = HostId(self.hosts.len());
        assert!(!self.addresses.contains_key(&address), "{address} is taken");
        self.addresses.insert(address, id);
        self.hosts.push(Host {
            config,
            address,
            nat: None,
            session: None,
            clock: HostClock {
                at: self.now,
                showed: Time::ZERO,
                drift: 0,
            },
            asleep: false,
            closing: false,
            invites: BTreeMap::new(),
            wake: None,
            dirty: false,
            events: Vec::new(),
            sent: Tally::default(),
            received: Tally::default(),
        });
        id
    }

    /// Switches a host on, or kills it and switches it on again: a new session, with another identity
    /// and another beginning of its clock, at the ports that it always has. It invites whom it
    /// invited before.
    ///
    /// # Panics
    /// When its configuration is refused.
    pub fn start(&mut self, host: HostId) {
        self.kill(host);
        let seed = self.rng.bits();
        let showed = Time::from_secs(self.rng.below(LATEST_EPOCH).into());
        let now = self.now;
        self.note(host, "starts");
        let it = self.host_mut(host);
        it.clock.at = now;
        it.clock.showed = showed;
        it.asleep = false;
        it.session = Some(Session::new(it.config.clone(), seed, showed).unwrap());
        let invited: Vec<HostId> = it.invites.keys().copied().collect();
        for peer in invited {
            self.invite(host, peer);
        }
        self.touch(host);
    }

    /// Makes the session of a host vanish without a word, if it has one.
    pub fn kill(&mut self, host: HostId) {
        self.note(host, "is killed");
        let it = self.host_mut(host);
        it.session = None;
        it.closing = false;
        it.events.clear();
        it.invites.values_mut().for_each(|it| *it = None);
        let wake = it.wake.take();
        if let Some(wake) = wake {
            self.wakes.remove(&(wake, host));
        }
    }

    /// Closes the session of a host; once it has told everybody it is gone.
    pub fn close(&mut self, host: HostId) {
        self.note(host, "closes");
        let now = self.local(host);
        let it = self.host_mut(host);
        if let Some(session) = &mut it.session {
            session.close(now);
            it.closing = true;
        }
        self.touch(host);
    }

    /// The clock of a host gains so many millionths from now on.
    pub fn set_drift(&mut self, host: HostId, drift: i32) {
        let (now, showed) = (self.now, self.local(host));
        self.host_mut(host).clock = HostClock {
            at: now,
            showed,
            drift,
        };
    }

    /// A host sleeps: nothing arrives, nothing is done.
    pub fn suspend(&mut self, host: HostId) {
        self.note(host, "sleeps");
        let (now, showed) = (self.now, self.local(host));
        let it = self.host_mut(host);
        it.asleep = true;
        it.clock.at = now;
        it.clock.showed = showed;
        self.touch(host);
    }

    /// A host goes on where it was.
    pub fn resume(&mut self, host: HostId, sleep: Sleep) {
        self.note(host, "wakes");
        let now = self.now;
        let it = self.host_mut(host);
        if core::mem::take(&mut it.asleep) && sleep == Sleep::ClockStands {
            it.clock.at = now;
        }
        self.touch(host);
    }

    /// A host gets another address and loses the old one. Its session hears nothing of that.
    ///
    /// # Panics
    /// When somebody has that address.
    pub fn move_to(&mut self, host: HostId, address: IpAddr) {
        assert!(!self.addresses.contains_key(&address), "{address} is taken");
        self.note(host, "has another address");
        let old = self.public(host);
        self.addresses.remove(&old);
        self.addresses.insert(address, host);
        let it = self.host_mut(host);
        match &mut it.nat {
            Some(nat) => {
                nat.outside = address;
                nat.mapped = [None, None];
            }
            None => it.address = address,
        }
    }

    /// Puts a router in front of a host, which the others see at the address of the router.
    ///
    /// # Panics
    /// When somebody has that address.
    pub fn put_behind(&mut self, host: HostId, outside: IpAddr) {
        assert!(!self.addresses.contains_key(&outside), "{outside} is taken");
        let old = self.public(host);
        self.addresses.remove(&old);
        self.addresses.insert(outside, host);
        self.host_mut(host).nat = Some(Nat {
            outside,
            mapped: [None, None],
            next_port: FIRST_MAPPED,
        });
    }

    /// The router in front of a host forgets mappings: the next datagrams come from other ports, and
    /// what is sent to the old ones is lost.
    ///
    /// # Panics
    /// When there is no router.
    pub fn rebind(&mut self, host: HostId, which: Rebound) {
        self.note(host, "comes from other ports");
        let nat = self.host_mut(host).nat.as_mut().expect("a router");
        let [control, data] = &mut nat.mapped;
        if which != Rebound::Data {
            *control = None;
        }
        if which != Rebound::Control {
            *data = None;
        }
    }

    /// Whether a host is on, awake and not about to close.
    #[must_use]
    pub fn is_up(&self, host: HostId) -> bool {
        let it = self.host(host);
        it.session.is_some() && !it.asleep && !it.closing
    }

    // Ways.

    /// The quality of all ways but those that have one of their own.
    pub const fn set_quality(&mut self, quality: LinkQuality) {
        self.quality = quality;
    }

    /// The quality of one way from now on.
    pub fn set_way(&mut self, from: HostId, to: HostId, quality: LinkQuality) {
        self.ways.insert((from, to), quality);
    }

    /// Nothing passes from one to the other any more, nor what is on its way.
    pub fn cut(&mut self, from: HostId, to: HostId) {
        self.note(from, format_args!("is cut from host {}", to.0));
        self.cut.insert((from, to));
    }

    /// It passes again.
    pub fn mend(&mut self, from: HostId, to: HostId) {
        self.note(from, format_args!("reaches host {} again", to.0));
        self.cut.remove(&(from, to));
    }

    /// Puts a datagram on the way that no host sent. It arrives at once.
    pub fn forge(&mut self, from: SocketAddr, to: SocketAddr, octets: Vec<u8>) {
        self.wire.set_quality(LinkQuality::default());
        let flight = Flight {
            by: None,
            from,
            to,
            octets,
        };
        self.wire.send(self.now, flight);
    }

    // Users.

    /// Has one host invite another, for ever, where it is to be found now; again at each start.
    ///
    /// # Panics
    /// When the invitation is refused.
    pub fn invite(&mut self, host: HostId, peer: HostId) {
        let (now, target) = (self.local(host), self.target(peer));
        let it = self.host_mut(host);
        let invitee = it.session.as_mut().map(|session| {
            let invited = session.invite(now, &[target], Persistence::Forever);
            invited.unwrap()
        });
        it.invites.insert(peer, invitee);
        self.touch(host);
    }

    /// Tells the session of one host where another that it invites is to be found now, as its name
    /// service would.
    ///
    /// # Panics
    /// When the session refuses it.
    pub fn readdress(&mut self, host: HostId, peer: HostId) {
        self.mislead(host, peer, peer);
    }

    /// Tells the session of one host that another that it invites is to be found where `at` is.
    ///
    /// # Panics
    /// When the session refuses it.
    pub fn mislead(&mut self, host: HostId, peer: HostId, at: HostId) {
        self.note(host, format_args!("hears where host {} is", peer.0));
        let (now, target) = (self.local(host), self.target(at));
        let it = self.host_mut(host);
        if let (Some(session), Some(Some(invitee))) = (&mut it.session, it.invites.get(&peer)) {
            session.readdress(now, *invitee, &[target]).unwrap();
        }
        self.touch(host);
    }

    /// Sends a message; it goes out with the next step, together with others that are sent before it.
    ///
    /// # Errors
    /// Those of [`Session::send`], and an unknown participant where the host is off.
    pub fn send(
        &mut self,
        host: HostId,
        participant: ParticipantId,
        message: Message<'_>,
    ) -> Result<(), SendError> {
        let now = self.local(host);
        let sent = match &mut self.host_mut(host).session {
            Some(session) => session.send(now, participant, message),
            None => Err(SendError::UnknownParticipant { participant }),
        };
        self.touch(host);
        sent
    }

    /// The session of a host that is on.
    #[must_use]
    pub fn session(&self, host: HostId) -> Option<&Session> {
        self.host(host).session.as_ref()
    }

    /// What the session of a host told since the last call and its last start, and when.
    pub fn take_events(&mut self, host: HostId) -> Vec<(Time, Event)> {
        core::mem::take(&mut self.host_mut(host).events)
    }

    /// How many datagrams a host has sent, and how many have arrived at it.
    #[must_use]
    pub fn traffic(&self, host: HostId) -> (Tally, Tally) {
        let it = self.host(host);
        (it.sent, it.received)
    }

    /// Where the others see a host, router or not.
    #[must_use]
    pub fn public(&self, host: HostId) -> IpAddr {
        let it = self.host(host);
        it.nat.as_ref().map_or(it.address, |nat| nat.outside)
    }

    /// Where a host is to be invited.
    ///
    /// # Panics
    /// When the ports are impossible, which they are not.
    #[must_use]
    pub fn target(&self, host: HostId) -> Target {
        Target::new(SocketAddr::new(self.public(host), CONTROL)).unwrap()
    }

    /// From where a port of a host sends, as the others see it; `None` while its router has lent none.
    #[must_use]
    pub fn source(&self, host: HostId, port: Port) -> Option<SocketAddr> {
        let it = self.host(host);
        let number = match &it.nat {
            Some(nat) => nat.mapped[port as usize].as_ref()?.port,
            None => CONTROL + port as u16,
        };
        Some(SocketAddr::new(self.public(host), number))
    }

    /// Times the session of a host from now on.
    pub const fn watch(&mut self, host: HostId) {
        self.watched = Some((host, Duration::ZERO));
    }

    /// How long the session that is watched took to do what it did, in real time.
    #[must_use]
    pub fn spent(&self) -> Duration {
        self.watched.map_or(Duration::ZERO, |(_, spent)| spent)
    }

    /// Keeps what passes a host from now on, as a capture there would: what it sends, and what
    /// arrives. What others send and the network loses is not in it.
    pub fn tap(&mut self, host: HostId) {
        self.tapped = Some((host, Vec::new()));
    }

    /// Takes what has passed since the last call.
    pub fn take_tapped(&mut self) -> Vec<Passed> {
        let tapped = self.tapped.as_mut();
        tapped.map_or_else(Vec::new, |(_, passed)| core::mem::take(passed))
    }

    // Time.

    /// Now, in simulated time.
    #[must_use]
    pub const fn now(&self) -> Time {
        self.now
    }

    /// What the clock of a host shows now.
    #[must_use]
    pub fn local(&self, host: HostId) -> Time {
        let it = self.host(host);
        if it.asleep {
            it.clock.showed
        } else {
            it.clock.local(self.now)
        }
    }

    /// Lets some time pass.
    ///
    /// # Panics
    /// When a session wants to be called without end while no time passes.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    /// Lets time pass up to `until`.
    ///
    /// # Panics
    /// When a session wants to be called without end while no time passes.
    pub fn run_until(&mut self, until: Time) {
        while self.step(until) {}
    }

    /// Does the next thing that is due, and tells whether there was one up to `until`.
    ///
    /// # Panics
    /// When a session wants to be called without end while no time passes.
    pub fn step(&mut self, until: Time) -> bool {
        self.drain();
        let arrival = self.wire.next_arrival();
        let wake = self.wakes.first().copied();
        let next = [arrival, wake.map(|(at, _)| at)]
            .into_iter()
            .flatten()
            .min();
        let Some(next) = next.filter(|next| *next <= until) else {
            self.now = self.now.max(until);
            return false;
        };
        if next > self.now {
            self.now = next;
            self.rounds = 0;
        }
        self.rounds += 1;
        assert!(
            self.rounds < MAX_ROUNDS_AT_ONCE,
            "time stands still at {}",
            self.now
        );
        if let Some(flight) = self.wire.receive(self.now) {
            self.deliver(&flight);
        } else if let Some((_, host)) = wake {
            let (now, watch) = (self.local(host), self.stopwatch(host));
            if let Some(session) = &mut self.host_mut(host).session {
                session.handle_timeout(now);
            }
            self.stop(watch);
            self.touch(host);
        }
        self.drain();
        true
    }

    fn deliver(&mut self, flight: &Flight) {
        let Some(to) = self.addresses.get(&flight.to.ip()).copied() else {
            return;
        };
        if flight.by.is_some_and(|by| self.cut.contains(&(by, to))) {
            return;
        }
        self.pass(to, flight.from, flight.to, &flight.octets);
        let (now, trace) = (self.local(to), self.trace);
        let watch = self.stopwatch(to);
        let at = self.now;
        let it = self.host_mut(to);
        let number = flight.to.port();
        let port = match &it.nat {
            Some(nat) => [Port::Control, Port::Data].into_iter().find(|port| {
                let mapping = nat.mapped[*port as usize].as_ref();
                mapping.is_some_and(|it| it.port == number && it.known.contains(&flight.from.ip()))
            }),
            None => [Port::Control, Port::Data]
                .into_iter()
                .find(|port| CONTROL + *port as u16 == number),
        };
        let (Some(port), Some(session), false) = (port, &mut it.session, it.asleep) else {
            return;
        };
        if trace {
            let kind = Kind::of(&flight.octets);
            println!("{at} {kind:?} from {} to {}", flight.from, flight.to);
        }
        it.received.note(Kind::of(&flight.octets));
        let local = LocalPort {
            pair: PairId(0),
            port,
        };
        session.handle_datagram(now, local, flight.from, &flight.octets);
        self.stop(watch);
        self.touch(to);
    }

    /// Takes what sessions have to send and to tell.
    fn drain(&mut self) {
        let mut out = Vec::new();
        while let Some(host) = self.dirty.pop() {
            self.host_mut(host).dirty = false;
            loop {
                let watch = self.stopwatch(host);
                let it = self.host_mut(host);
                let session = it.session.as_mut().filter(|_| !it.asleep);
                let transmit = session.and_then(|it| it.poll_transmit(&mut out));
                self.stop(watch);
                let Some(transmit) = transmit else {
                    break;
                };
                self.transmit(host, transmit.from.port, transmit.to, out.clone());
            }
            let (at, trace) = (self.now, self.trace);
            let it = self.host_mut(host);
            let mut wake = None;
            if let Some(session) = &mut it.session {
                while let Some(event) = session.poll_event() {
                    if trace {
                        println!("{at} host {}: {event:?}", host.0);
                    }
                    it.events.push((at, event));
                }
                let due = session.poll_timeout().filter(|_| !it.asleep);
                wake = due.map(|due| it.clock.when(due));
                if it.closing && session.is_finished() {
                    it.session = None;
                    it.closing = false;
                    wake = None;
                }
            }
            let before = core::mem::replace(&mut it.wake, wake);
            if before != wake {
                if let Some(before) = before {
                    self.wakes.remove(&(before, host));
                }
                if let Some(wake) = wake {
                    self.wakes.insert((wake, host));
                }
            }
        }
    }

    fn transmit(&mut self, host: HostId, port: Port, to: SocketAddr, octets: Vec<u8>) {
        let it = self.host_mut(host);
        it.sent.note(Kind::of(&octets));
        if let Some(nat) = &mut it.nat {
            let next = &mut nat.next_port;
            let mapping = nat.mapped[port as usize].get_or_insert_with(|| {
                *next += 1;
                Mapping {
                    port: *next,
                    known: BTreeSet::new(),
                }
            });
            mapping.known.insert(to.ip());
        }
        let from = self.source(host, port).unwrap();
        self.pass(host, from, to, &octets);
        let there = self.addresses.get(&to.ip()).copied();
        if there.is_some_and(|there| self.cut.contains(&(host, there))) {
            return;
        }
        let own = there.and_then(|there| self.ways.get(&(host, there)).copied());
        self.wire.set_quality(own.unwrap_or(self.quality));
        let flight = Flight {
            by: Some(host),
            from,
            to,
            octets,
        };
        self.wire.send(self.now, flight);
    }

    fn pass(&mut self, host: HostId, from: SocketAddr, to: SocketAddr, octets: &[u8]) {
        let at = self.now;
        if let Some((tapped, passed)) = &mut self.tapped
            && *tapped == host
        {
            let octets = octets.to_vec();
            passed.push(Passed {
                at,
                from,
                to,
                octets,
            });
        }
    }

    fn stopwatch(&self, host: HostId) -> Option<Instant> {
        let watched = self.watched.filter(|(it, _)| *it == host);
        watched.map(|_| Instant::now())
    }

    fn stop(&mut self, stopwatch: Option<Instant>) {
        if let (Some(since), Some((_, spent))) = (stopwatch, &mut self.watched) {
            *spent += since.elapsed();
        }
    }

    /// This host has to be looked at before time passes.
    fn touch(&mut self, host: HostId) {
        let it = self.host_mut(host);
        if !core::mem::replace(&mut it.dirty, true) {
            self.dirty.push(host);
        }
    }

    fn note(&self, host: HostId, what: impl fmt::Display) {
        if self.trace {
            println!("{} host {} {what}", self.now, host.0);
        }
    }

    fn host(&self, host: HostId) -> &Host {
        &self.hosts[host.0]
    }

    fn host_mut(&mut self, host: HostId) -> &mut Host {
        &mut self.hosts[host.0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two(seed: u64) -> (Net, HostId, HostId) {
        let quality = LinkQuality {
            latency: Duration::from_millis(5),
            ..LinkQuality::default()
        };
        let mut net = Net::new(seed, quality);
        let a = net.add(Config::new("a"), [192, 0, 2, 1].into());
        let b = net.add(Config::new("b"), [192, 0, 2, 2].into());
        (net, a, b)
    }

    fn is_connected(net: &Net, host: HostId) -> bool {
        net.session(host)
            .is_some_and(|it| it.participants().count() == 1)
    }

    #[test]
    fn the_same_seed_gives_the_same_course() {
        let course = |seed| {
            let (mut net, a, b) = two(seed);
            net.set_quality(LinkQuality {
                loss: 200_000,
                jitter: Duration::from_millis(9),
                ..LinkQuality::default()
            });
            net.start(a);
            net.start(b);
            net.invite(a, b);
            net.run_for(Duration::from_secs(30));
            (net.traffic(a), net.traffic(b), net.take_events(a))
        };
        assert_eq!(course(1), course(1));
        assert_ne!(course(1), course(2));
    }

    #[test]
    fn a_router_lends_ports_and_lets_nobody_in_unasked() {
        let (mut net, a, b) = two(1);
        net.put_behind(a, [203, 0, 113, 1].into());
        net.start(a);
        net.start(b);
        net.invite(b, a);
        net.run_for(Duration::from_secs(5));
        assert!(!is_connected(&net, a), "nobody asked b in");
        assert_eq!(net.traffic(a).1.total(), 0);
        net.invite(a, b);
        net.run_for(Duration::from_secs(5));
        assert!(is_connected(&net, a));
        let (_, peer) = net.session(b).unwrap().participants().next().unwrap();
        assert_eq!(Some(peer.data), net.source(a, Port::Data));
        let before = peer.data;
        net.rebind(a, Rebound::Data);
        assert_eq!(net.source(a, Port::Data), None);
        net.run_for(Duration::from_secs(5));
        assert_ne!(net.source(a, Port::Data), Some(before));
    }

    #[test]
    fn a_clock_that_is_fast_or_stands_is_asked_in_time() {
        let clock = HostClock {
            at: Time::from_secs(3),
            showed: Time::from_secs(1000),
            drift: 100,
        };
        let later = Time::from_secs(13);
        let local = clock.local(later);
        assert_eq!(local, Time::from_micros(1_010_001_000));
        for micros in 0..1000 {
            let local = local + Duration::from_micros(micros);
            assert!(clock.local(clock.when(local)) >= local);
        }
        let (mut net, a, b) = two(1);
        net.start(a);
        net.start(b);
        net.invite(a, b);
        net.run_for(Duration::from_secs(1));
        net.suspend(a);
        let (before, sent) = (net.local(a), net.traffic(a).0);
        net.run_for(Duration::from_secs(100));
        assert_eq!((net.local(a), net.traffic(a).0), (before, sent));
        net.resume(a, Sleep::ClockStands);
        assert_eq!(net.local(a), before);
        net.run_for(Duration::from_secs(1));
        assert_ne!(net.traffic(a).0, sent);
    }

    #[test]
    fn who_closes_says_so_and_is_gone() {
        let (mut net, a, b) = two(1);
        net.start(a);
        net.start(b);
        net.invite(a, b);
        net.run_for(Duration::from_secs(1));
        net.close(b);
        net.run_for(Duration::from_secs(1));
        assert!(net.session(b).is_none());
        assert!(!is_connected(&net, a));
        assert!(net.traffic(a).1.of(Kind::End) > 0);
    }
}
