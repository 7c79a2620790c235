//! Who may connect.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// In bits: what makes an IPv4 address one of IPv6 (RFC 4291 §2.5.5.2).
const MAPPED_PREFIX: u8 = 96;

/// Networks whose hosts may connect.
#[derive(Clone, Debug, Default)]
pub(crate) struct AllowList(Vec<IpNet>);

impl AllowList {
    /// IPv4 networks that are written as IPv6 count as IPv4.
    pub(crate) fn add(&mut self, network: IpNet) {
        let as_ipv4 = match network {
            IpNet::V6(v6) => v6
                .prefix_len()
                .checked_sub(MAPPED_PREFIX)
                .and_then(|prefix| Ipv4Net::new(v6.network().to_ipv4_mapped()?, prefix).ok()),
            IpNet::V4(_) => None,
        };
        self.0.push(as_ipv4.map_or(network, IpNet::V4));
    }

    pub(crate) fn admits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_admit_their_own() {
        let mut list = AllowList::default();
        for network in ["192.0.2.0/24", "2001:db8::/32", "::ffff:198.51.100.0/120"] {
            list.add(network.parse().expect("a network"));
        }
        for (address, admitted) in [
            ("192.0.2.200", true),
            ("::ffff:192.0.2.200", true),
            ("192.0.3.1", false),
            ("198.51.100.7", true),
            ("198.51.101.7", false),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
            ("127.0.0.1", false),
        ] {
            let ip = address.parse().expect("an address");
            assert_eq!(list.admits(ip), admitted, "{address}");
        }
        assert!(!AllowList::default().admits("127.0.0.1".parse().expect("an address")));
    }
}
