//! Who may connect: the policy, how many invitations are looked at in a second, and who gives up a
//! place when there are more than places.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netmidi_wire::Ssrc;

use crate::participant::Host;
use crate::rng::Rng;
use crate::time::Time;
use crate::transmit::PairId;

/// So many places hosts share for their pace; a power of two.
const PACES: usize = 1024;
/// In bits: what makes an IPv4 address one of IPv6 (RFC 4291 §2.5.5.2).
const MAPPED_PREFIX: u8 = 96;
const NANOS: u64 = 1_000_000_000;

/// Who may connect by inviting us. Those whom we invite ourselves may in any case, also by an
/// invitation of theirs.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Admission {
    /// Whoever invites us.
    #[default]
    Everybody,
    /// Nobody: invitations are answered NO.
    Nobody,
    /// Those on the list; others are answered NO.
    Listed(AllowList),
    /// The application is asked ([`Event::Invited`](crate::Event::Invited)) and answers when it likes
    /// with [`Session::decide`](crate::Session::decide). Until then the invitation is not answered.
    Ask,
}

/// Networks and session names. A peer has to fit one of the networks, if there are any, and one of
/// the names, if there are any; a list with neither admits nobody.
///
/// Networks are what keeps others away. A name is what a peer says of itself: alone it keeps away
/// mistakes and no one else.
///
/// ```
/// use netmidi_session::{AllowList, IpNet};
///
/// let list = AllowList::new()
///     .network("192.168.7.0/24".parse::<IpNet>()?)
///     .network("fe80::/10".parse::<IpNet>()?)
///     .name("Stage *");
/// assert!(list.admits("192.168.7.9".parse()?, "Stage left"));
/// assert!(!list.admits("192.168.7.9".parse()?, "Office"));
/// assert!(!list.admits("192.168.8.9".parse()?, "Stage left"));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AllowList {
    networks: Vec<IpNet>,
    names: Vec<String>,
}

impl AllowList {
    /// Nobody yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            networks: Vec::new(),
            names: Vec::new(),
        }
    }

    /// Adds a network, or one address. IPv4 addresses that are written as IPv6 (`::ffff:192.0.2.7`)
    /// count as IPv4, here and where packets come from.
    #[must_use]
    pub fn network(mut self, network: impl Into<IpNet>) -> Self {
        self.networks.push(unmapped(network.into()));
        self
    }

    /// Adds a session name, as it is or, with `*` at its end, whatever begins with it.
    #[must_use]
    pub fn name(mut self, pattern: impl Into<String>) -> Self {
        self.names.push(pattern.into());
        self
    }

    /// Whether a peer at this address that calls itself so is on the list.
    #[must_use]
    pub fn admits(&self, address: IpAddr, name: &str) -> bool {
        if self.networks.is_empty() && self.names.is_empty() {
            return false;
        }
        let address = address.to_canonical();
        let fits = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == pattern,
        };
        (self.networks.is_empty() || self.networks.iter().any(|it| it.contains(&address)))
            && (self.names.is_empty() || self.names.iter().any(fits))
    }
}

/// A network of IPv4 addresses that is written as one of IPv6, as what it is.
fn unmapped(network: IpNet) -> IpNet {
    let as_ipv4 = |v6: Ipv6Net| {
        let prefix = v6.prefix_len().checked_sub(MAPPED_PREFIX)?;
        Ipv4Net::new(v6.network().to_ipv4_mapped()?, prefix).ok()
    };
    match network {
        IpNet::V6(v6) => as_ipv4(v6).map_or(network, IpNet::V4),
        IpNet::V4(_) => network,
    }
}

/// Names an invitation that the application is asked about; never used twice.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestId(pub(crate) u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request {}", self.0)
    }
}

/// Who asks to come in. Nothing of it is proved: the address may be forged, and the name is what the
/// peer says of itself.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Inviter {
    /// The name in its invitation; empty when there is none.
    pub name: String,
    /// Its identity, should it join.
    pub ssrc: Ssrc,
    /// Where its control port is, as seen from here.
    pub from: SocketAddr,
    /// Which of our socket pairs it invites.
    pub pair: PairId,
}

/// What becomes of an invitation that the application was asked about.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Verdict {
    /// It is answered OK.
    Accept,
    /// It is answered NO.
    Refuse,
}

/// What a policy says of somebody.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Opinion {
    Admitted,
    Barred,
    Unknown,
}

impl Admission {
    pub(crate) fn opinion(&self, address: IpAddr, name: &str) -> Opinion {
        match self {
            Self::Everybody => Opinion::Admitted,
            Self::Nobody => Opinion::Barred,
            Self::Listed(list) if list.admits(address, name) => Opinion::Admitted,
            Self::Listed(_) => Opinion::Barred,
            Self::Ask => Opinion::Unknown,
        }
    }
}

/// So many in a second, and so many at once (generic cell rate algorithm).
#[derive(Clone, Copy, Debug)]
struct Rate {
    /// Nanoseconds between two.
    interval: u64,
    /// How far ahead of its time one may be.
    ahead: u64,
}

impl Rate {
    fn new(per_second: u32, at_once: u64) -> Self {
        let interval = NANOS / u64::from(per_second.max(1));
        Self {
            interval,
            ahead: interval.saturating_mul(at_once.saturating_sub(1)),
        }
    }

    /// Takes one, if its time has come. `due` is when the next one would be in time if they came
    /// evenly.
    fn take(self, now: u64, due: &mut u64) -> bool {
        if *due > now.saturating_add(self.ahead) {
            return false;
        }
        *due = now.max(*due).saturating_add(self.interval);
        true
    }
}

/// How many invitations are looked at.
///
/// Every host has a share in two of a fixed number of places, by a hash that a stranger cannot
/// compute: one that uses up both leaves hardly anybody else without. All of them together are
/// bounded once more.
#[derive(Debug)]
pub(crate) struct Pace {
    overall: Rate,
    due: u64,
    /// For each of the two places.
    host: Rate,
    /// Made for the first invitation.
    places: Vec<u64>,
    salt: u64,
}

impl Pace {
    /// `at_once` of them may come without a pause.
    pub(crate) fn new(seed: u64, overall: u32, host: u32, at_once: usize) -> Self {
        let at_once = u64::try_from(at_once).unwrap_or(u64::MAX);
        let burst = |per_second: u32| at_once.max(per_second.into());
        Self {
            overall: Rate::new(overall, burst(overall)),
            due: 0,
            host: Rate::new(host.div_ceil(2), burst(host).div_ceil(2)),
            places: Vec::new(),
            // Of its own, so that the numbers that peers see do not depend on it.
            salt: Rng::new(!seed).u64(),
        }
    }

    /// Whether one more from this host is looked at.
    pub(crate) fn take(&mut self, now: Time, host: Host) -> bool {
        if self.places.is_empty() {
            self.places.resize(PACES, 0);
        }
        let now = now.as_micros().saturating_mul(1000);
        let hash = host.hash(self.salt);
        let mut taken = false;
        for place in [hash, hash >> 32] {
            #[allow(clippy::cast_possible_truncation, reason = "its lower bits are meant")]
            let place = place as usize % PACES;
            if !taken && let Some(due) = self.places.get_mut(place) {
                taken = self.host.take(now, due);
            }
        }
        taken && self.overall.take(now, &mut self.due)
    }
}

/// Those who have a place that somebody else may need more: the oldest of the host that has most of
/// them gives up its own first.
///
/// Every call costs the logarithm of how many there are.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    members: BTreeSet<(Host, u64)>,
    hosts: BTreeMap<Host, usize>,
    /// How many, the oldest of them, whose.
    ranking: BTreeSet<(usize, Reverse<u64>, Host)>,
}

impl Crowd {
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn insert(&mut self, host: Host, id: u64) {
        self.unrank(host);
        if self.members.insert((host, id)) {
            *self.hosts.entry(host).or_insert(0) += 1;
        }
        self.rank(host);
    }

    pub(crate) fn remove(&mut self, host: Host, id: u64) {
        if !self.members.contains(&(host, id)) {
            return;
        }
        self.unrank(host);
        self.members.remove(&(host, id));
        if let Some(count) = self.hosts.get_mut(&host) {
            *count -= 1;
            if *count == 0 {
                self.hosts.remove(&host);
            }
        }
        self.rank(host);
    }

    /// Who gives up its place: where several hosts have as many, the oldest of all.
    pub(crate) fn first_to_go(&self) -> Option<u64> {
        self.ranking.last().map(|(_, oldest, _)| oldest.0)
    }

    fn rank_of(&self, host: Host) -> Option<(usize, Reverse<u64>, Host)> {
        let count = *self.hosts.get(&host)?;
        let (_, oldest) = self.members.range((host, 0)..=(host, u64::MAX)).next()?;
        Some((count, Reverse(*oldest), host))
    }

    fn rank(&mut self, host: Host) {
        if let Some(rank) = self.rank_of(host) {
            self.ranking.insert(rank);
        }
    }

    fn unrank(&mut self, host: Host) {
        if let Some(rank) = self.rank_of(host) {
            self.ranking.remove(&rank);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use core::net::Ipv4Addr;
    use core::time::Duration;

    use proptest::prelude::*;

    fn host(n: u32) -> Host {
        Host::new(SocketAddr::from((Ipv4Addr::from(n), 5004)))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn net(text: &str) -> IpNet {
        text.parse().expect("a network")
    }

    #[test]
    fn an_empty_list_admits_nobody() {
        assert!(!AllowList::new().admits(address("192.0.2.7"), ""));
    }

    #[test]
    fn names_narrow_networks() {
        let list = AllowList::new()
            .network(net("192.0.2.0/24"))
            .network(address("2001:db8::7"))
            .name("piano")
            .name("desk*");
        let cases = [
            ("192.0.2.7", "piano", true),
            ("192.0.2.255", "desk 4", true),
            ("192.0.2.7", "pian", false),
            ("192.0.2.7", "Piano", false),
            ("192.0.3.7", "piano", false),
            ("2001:db8::7", "desk", true),
            ("2001:db8::8", "desk", false),
            ("::ffff:192.0.2.7", "piano", true),
        ];
        for (from, name, admitted) in cases {
            assert_eq!(list.admits(address(from), name), admitted, "{from} {name}");
        }
    }

    #[test]
    fn a_mapped_network_is_one_of_ipv4() {
        let list = AllowList::new().network(net("::ffff:192.0.2.0/120"));
        assert!(list.admits(address("192.0.2.9"), "x"));
        assert!(list.admits(address("::ffff:192.0.2.9"), ""));
        assert!(!list.admits(address("192.0.3.9"), ""));
        // All of IPv6 is not all of IPv4.
        let all = AllowList::new().network(net("::/0"));
        assert!(all.admits(address("2001:db8::1"), ""));
        assert!(!all.admits(address("::ffff:192.0.2.9"), ""));
    }

    #[test]
    fn names_alone_are_a_list() {
        let list = AllowList::new().name("*");
        assert!(list.admits(address("192.0.2.7"), ""));
    }

    #[test]
    fn a_pace_is_kept_and_a_burst_let_through() {
        let mut pace = Pace::new(1, 1000, 100, 1);
        let taken = |pace: &mut Pace, now, n| (0..1000).filter(|_| pace.take(now, host(n))).count();
        let start = Time::from_secs(10);
        assert_eq!(taken(&mut pace, start, 1), 100);
        assert_eq!(taken(&mut pace, start, 1), 0);
        assert_eq!(taken(&mut pace, start, 2), 100, "another host has its own");
        assert_eq!(taken(&mut pace, start + Duration::from_millis(500), 1), 50);
        // And all of them together.
        let later = Time::from_secs(20);
        let all: usize = (0..100).map(|n| taken(&mut pace, later, n)).sum();
        assert_eq!(all, 1000);
    }

    #[test]
    fn one_host_keeps_out_hardly_anybody() {
        let mut pace = Pace::new(1, u32::MAX, 100, 1);
        while pace.take(Time::from_secs(1), host(0)) {}
        let others = 100_000;
        let out = |n: &u32| {
            // Each once more, into a pace of its own that has seen only the flood.
            let mut pace = Pace {
                places: pace.places.clone(),
                ..Pace::new(1, u32::MAX, 100, 1)
            };
            !pace.take(Time::from_secs(1), host(*n))
        };
        let kept_out = (1..others / 100).filter(out).count();
        assert_eq!(kept_out, 0);
    }

    proptest! {
        #[test]
        fn who_has_most_goes_first(steps in proptest::collection::vec((0..6u32, any::<bool>()), 0..200)) {
            let mut crowd = Crowd::default();
            let mut model: Vec<(u32, u64)> = Vec::new();
            for (id, (n, add)) in steps.into_iter().enumerate() {
                let id = id as u64;
                if add {
                    crowd.insert(host(n), id);
                    model.push((n, id));
                } else if let Some(place) = model.iter().position(|(of, _)| *of == n) {
                    let (of, id) = model.remove(place);
                    crowd.remove(host(of), id);
                    crowd.remove(host(of), id);
                }
                let count = |n: u32| model.iter().filter(|(of, _)| *of == n).count();
                let most = (0..6).map(count).max().unwrap_or(0);
                let first = model.iter().find(|(of, _)| count(*of) == most).map(|(_, id)| *id);
                prop_assert_eq!(crowd.first_to_go(), first);
                prop_assert_eq!(crowd.len(), model.len());
                prop_assert_eq!(crowd.ranking.len(), crowd.hosts.len());
            }
        }
    }
}
