//! A session that was found, and the order of its addresses.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// How many addresses of a session are kept.
pub const MAX_ADDRESSES: usize = 16;

/// A session that somebody announces.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Session {
    /// Its name, which is the DNS-SD instance name.
    pub name: String,
    /// The host that it runs on, without the dot at the end: "stage-piano.local".
    pub host: String,
    /// Its control port. The data port is the one above.
    pub port: u16,
    /// Where its control port can be reached, at least one and at most [`MAX_ADDRESSES`]; the one
    /// to try first comes first.
    ///
    /// The order: IPv4; IPv6; link-local IPv6, with the scope id of the interface that it was
    /// seen on; link-local IPv4; loopback. IPv4 leads because peers are known that announce IPv6
    /// and listen on IPv4 only, none the other way round. A link-local IPv4 address comes late as
    /// it does not tell the interface, loopback last as it says nothing about other machines.
    /// Link-local IPv6 addresses of which the interface is not known are left out: nobody could
    /// send to them.
    pub addresses: Vec<SocketAddr>,
}

/// What the network said about an instance, not yet sorted.
#[derive(Clone, Debug)]
pub(crate) struct Sighting {
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) addresses: Vec<(IpAddr, InterfaceIndex)>,
}

/// The operating system's number of an interface; 0 is none.
pub(crate) type InterfaceIndex = u32;

impl Sighting {
    /// The session, unless it cannot be reached (yet).
    pub(crate) fn into_session(self) -> Option<Session> {
        let addresses = in_order(self.port, &self.addresses);
        let reachable = self.port != 0 && !addresses.is_empty();
        reachable.then(|| Session {
            host: self.host.strip_suffix('.').unwrap_or(&self.host).to_owned(),
            name: self.name,
            port: self.port,
            addresses,
        })
    }
}

/// Each address once, the one to try first in front.
fn in_order(port: u16, addresses: &[(IpAddr, InterfaceIndex)]) -> Vec<SocketAddr> {
    let mut ranked: Vec<(Rank, SocketAddr)> = addresses
        .iter()
        .filter_map(|&(ip, interface)| ranked(ip, interface, port))
        .collect();
    // By number within a rank: the same every time, whatever order the network told them in.
    ranked.sort_unstable();
    ranked.dedup();
    ranked.truncate(MAX_ADDRESSES);
    ranked.into_iter().map(|(_, address)| address).collect()
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Rank {
    V4,
    V6,
    LinkLocalV6,
    LinkLocalV4,
    Loopback,
}

fn ranked(ip: IpAddr, interface: InterfaceIndex, port: u16) -> Option<(Rank, SocketAddr)> {
    match ip.to_canonical() {
        IpAddr::V4(ip) => Some((rank_v4(ip)?, SocketAddrV4::new(ip, port).into())),
        IpAddr::V6(ip) => {
            let rank = rank_v6(ip)?;
            let scope = match rank {
                Rank::LinkLocalV6 if interface == 0 => return None,
                Rank::LinkLocalV6 => interface,
                _ => 0,
            };
            Some((rank, SocketAddrV6::new(ip, port, 0, scope).into()))
        }
    }
}

fn rank_v4(ip: Ipv4Addr) -> Option<Rank> {
    if ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() {
        None
    } else if ip.is_loopback() {
        Some(Rank::Loopback)
    } else if ip.is_link_local() {
        Some(Rank::LinkLocalV4)
    } else {
        Some(Rank::V4)
    }
}

fn rank_v6(ip: Ipv6Addr) -> Option<Rank> {
    if ip.is_unspecified() || ip.is_multicast() {
        None
    } else if ip.is_loopback() {
        Some(Rank::Loopback)
    } else if ip.is_unicast_link_local() {
        Some(Rank::LinkLocalV6)
    } else {
        Some(Rank::V6)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sighting(name: &str, host: &str, addresses: &[(&str, u32)]) -> Sighting {
        Sighting {
            name: name.to_owned(),
            host: host.to_owned(),
            port: 5004,
            addresses: addresses
                .iter()
                .map(|&(ip, interface)| (ip.parse().unwrap(), interface))
                .collect(),
        }
    }

    fn addresses(list: &[(&str, u32)]) -> Vec<String> {
        in_order(5004, &sighting("x", "x.local.", list).addresses)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn addresses_come_in_the_order_to_try_them() {
        let told = [
            ("::1", 1),
            ("169.254.3.4", 2),
            ("fe80::2", 3),
            ("2001:db8::9", 2),
            ("192.168.1.20", 2),
            ("192.168.1.3", 2),
        ];
        let expected = [
            "192.168.1.3:5004",
            "192.168.1.20:5004",
            "[2001:db8::9]:5004",
            "[fe80::2%3]:5004",
            "169.254.3.4:5004",
            "[::1]:5004",
        ];
        assert_eq!(addresses(&told), expected);
        let mut backwards = told;
        backwards.reverse();
        assert_eq!(addresses(&backwards), expected);
    }

    #[test]
    fn an_address_that_several_interfaces_saw_is_there_once() {
        assert_eq!(
            addresses(&[("10.0.0.1", 2), ("10.0.0.1", 3), ("::ffff:10.0.0.1", 0)]),
            ["10.0.0.1:5004"]
        );
        // A link-local address is another one on each link.
        assert_eq!(
            addresses(&[("fe80::1", 3), ("fe80::1", 2)]),
            ["[fe80::1%2]:5004", "[fe80::1%3]:5004"]
        );
    }

    #[test]
    fn what_nobody_can_send_to_is_left_out() {
        assert!(addresses(&[("fe80::1", 0), ("0.0.0.0", 2), ("ff02::fb", 2)]).is_empty());
        let nowhere = sighting("x", "x.local.", &[("fe80::1", 0)]);
        assert_eq!(nowhere.into_session(), None);
        let mut no_port = sighting("x", "x.local.", &[("10.0.0.1", 2)]);
        no_port.port = 0;
        assert_eq!(no_port.into_session(), None);
    }

    #[test]
    fn a_flood_of_addresses_is_cut() {
        let mut many = sighting("x", "x.local.", &[]);
        many.addresses = (0..200).map(|n| (IpAddr::from([10, 0, 0, n]), 2)).collect();
        assert_eq!(many.into_session().unwrap().addresses.len(), MAX_ADDRESSES);
    }
}
