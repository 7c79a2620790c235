//! Which network interfaces and addresses take part.

use core::net::IpAddr;
use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use crate::error::Error;

/// Address families: IPv4, IPv6, or both.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Families {
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
    /// Both.
    #[default]
    Both,
}

impl Families {
    /// Whether `ip` is of such a family.
    #[must_use]
    pub fn contain(self, ip: IpAddr) -> bool {
        match self {
            Self::V4 => ip.is_ipv4(),
            Self::V6 => ip.is_ipv6(),
            Self::Both => true,
        }
    }
}

/// One way to choose interfaces.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Choice {
    Name(String),
    Address(IpAddr),
}

/// What the user asked for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Selection {
    /// None: all.
    pub(crate) choices: Vec<Choice>,
    pub(crate) loopback: bool,
    pub(crate) families: Families,
}

/// An address of an interface that is up and can multicast.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Local {
    pub(crate) name: String,
    pub(crate) index: u32,
    pub(crate) ip: IpAddr,
}

impl Selection {
    /// Whether `address` takes part, given all that there are.
    pub(crate) fn takes(&self, address: &Local, all: &[Local]) -> bool {
        if !self.families.contain(address.ip) {
            return false;
        }
        if !self.choices.is_empty() {
            return self.chooses(address);
        }
        // Everybody on this machine hears us on the other interfaces too, and more than one name
        // for one session confuses. So loopback only where it is all there is.
        !address.ip.is_loopback() || self.loopback || all.iter().all(|other| other.is_loopback())
    }

    fn chooses(&self, address: &Local) -> bool {
        let chosen = self.choices.iter().any(|choice| match choice {
            Choice::Name(name) => *name == address.name,
            Choice::Address(ip) => *ip == address.ip,
        });
        chosen || (self.loopback && address.is_loopback())
    }

    /// An error if nothing takes part, or if something that was asked for is not there.
    pub(crate) fn check(&self, all: &[Local]) -> Result<(), Error> {
        let missing = self.choices.iter().find(|choice| {
            let only = Self {
                choices: vec![(*choice).clone()],
                loopback: false,
                families: self.families,
            };
            !all.iter().any(|address| only.takes(address, all))
        });
        let wanted = match missing {
            Some(Choice::Name(name)) => format!("\"{name}\""),
            Some(Choice::Address(ip)) => format!("the address {ip}"),
            None if all.iter().any(|address| self.takes(address, all)) => return Ok(()),
            None => "multicast".to_owned(),
        };
        let of_family = match self.families {
            Families::V4 => " over IPv4",
            Families::V6 => " over IPv6",
            Families::Both => "",
        };
        let there = all.iter().map(|it| format!("{} ({})", it.name, it.ip));
        Err(Error::NoInterface {
            wanted: wanted + of_family,
            there: there.collect(),
        })
    }

    /// Whether `address` is announced on all of the interfaces that take part.
    ///
    /// The multicast DNS library announces each link-local IPv6 address on every link, as all have
    /// the same prefix. On another link it leads nowhere, so with several links none is announced.
    pub(crate) fn announces(&self, address: &Local, all: &[Local]) -> bool {
        let link_local = matches!(address.ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        self.takes(address, all) && !(link_local && self.links(all) > 1)
    }

    fn links(&self, all: &[Local]) -> usize {
        let v6 = all.iter().filter(|it| it.ip.is_ipv6());
        let ours = v6.filter(|it| !it.is_loopback() && self.takes(it, all));
        ours.map(|it| it.index).collect::<BTreeSet<_>>().len()
    }
}

impl Local {
    fn is_loopback(&self) -> bool {
        self.ip.is_loopback()
            || self.ip == IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1))
                && self.name.starts_with("lo")
    }

    pub(crate) fn new(interface: &if_addrs::Interface) -> Self {
        Self {
            name: interface.name.clone(),
            index: interface.index.unwrap_or(0),
            ip: interface.ip(),
        }
    }
}

/// What this machine has at the moment.
pub(crate) fn list() -> Result<Vec<Local>, Error> {
    let all = if_addrs::get_if_addrs().map_err(|source| Error::Interfaces { source })?;
    let usable = |interface: &&if_addrs::Interface| interface.is_oper_up() && !interface.is_p2p();
    Ok(all.iter().filter(usable).map(Local::new).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(name: &str, index: u32, ip: &str) -> Local {
        Local {
            name: name.to_owned(),
            index,
            ip: ip.parse().unwrap(),
        }
    }

    fn machine() -> Vec<Local> {
        vec![
            local("lo", 1, "127.0.0.1"),
            local("lo", 1, "::1"),
            local("eth0", 2, "192.168.1.7"),
            local("eth0", 2, "fe80::7"),
            local("wlan0", 3, "10.0.0.7"),
        ]
    }

    fn taken(selection: &Selection, all: &[Local]) -> Vec<String> {
        let taken = all.iter().filter(|address| selection.takes(address, all));
        taken.map(|address| address.ip.to_string()).collect()
    }

    fn choosing(choices: &[Choice]) -> Selection {
        Selection {
            choices: choices.to_vec(),
            ..Selection::default()
        }
    }

    #[test]
    fn loopback_only_where_it_is_all_there_is_or_asked_for() {
        let mut selection = Selection::default();
        assert_eq!(
            taken(&selection, &machine()),
            ["192.168.1.7", "fe80::7", "10.0.0.7"]
        );
        let alone = &machine()[..2];
        assert_eq!(taken(&selection, alone), ["127.0.0.1", "::1"]);
        selection.loopback = true;
        assert_eq!(taken(&selection, &machine()).len(), 5);
    }

    #[test]
    fn by_name_and_by_address() {
        let eth0 = choosing(&[Choice::Name("eth0".to_owned())]);
        assert_eq!(taken(&eth0, &machine()), ["192.168.1.7", "fe80::7"]);
        let one = choosing(&[Choice::Address([10, 0, 0, 7].into())]);
        assert_eq!(taken(&one, &machine()), ["10.0.0.7"]);
        let lo = choosing(&[Choice::Name("lo".to_owned())]);
        assert_eq!(taken(&lo, &machine()), ["127.0.0.1", "::1"]);
        let v4 = Selection {
            families: Families::V4,
            ..eth0
        };
        assert_eq!(taken(&v4, &machine()), ["192.168.1.7"]);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let error = |selection: &Selection, all: &[Local]| {
            selection.check(all).map_err(|error| error.to_string())
        };
        assert_eq!(error(&Selection::default(), &machine()), Ok(()));
        let en0 = choosing(&[
            Choice::Name("eth0".to_owned()),
            Choice::Name("en0".to_owned()),
        ]);
        let text = error(&en0, &machine()).unwrap_err();
        assert!(
            text.contains("\"en0\"") && text.contains("eth0 (192.168.1.7)"),
            "{text}"
        );
        let text = error(&Selection::default(), &[]).unwrap_err();
        assert!(text.contains("bring one up"), "{text}");
        let v6 = Selection {
            families: Families::V6,
            ..choosing(&[Choice::Name("wlan0".to_owned())])
        };
        let text = error(&v6, &machine()).unwrap_err();
        assert!(text.contains("\"wlan0\" over IPv6"), "{text}");
    }

    #[test]
    fn link_local_addresses_are_announced_on_a_single_link_only() {
        let all = Selection::default();
        let eth0 = local("eth0", 2, "fe80::7");
        assert!(all.announces(&eth0, &machine()), "wlan0 has no IPv6");
        let mut two = machine();
        two.push(local("wlan0", 3, "fe80::9"));
        assert!(!all.announces(&eth0, &two));
        assert!(all.announces(&local("eth0", 2, "192.168.1.7"), &two));
        let one = choosing(&[Choice::Name("eth0".to_owned())]);
        assert!(one.announces(&eth0, &two));
    }
}
