//! From a frame to UDP: what is around a datagram, read by etherparse.

use std::net::{IpAddr, SocketAddr};

use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TransportSlice, UdpSlice, ip_number};

use super::fragments::{Fragment, FragmentKey};

/// What a frame begins with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Link {
    /// LINKTYPE_ETHERNET.
    Ethernet,
    /// LINKTYPE_LINUX_SLL: the interface `any` of Linux.
    Cooked,
    /// LINKTYPE_LINUX_SLL2: the same, newer.
    Cooked2,
    /// LINKTYPE_NULL and LINKTYPE_LOOP: loopback of BSD, macOS and Windows.
    Loopback,
    /// LINKTYPE_RAW, LINKTYPE_IPV4, LINKTYPE_IPV6: nothing.
    Raw,
    /// Nobody said; whichever of them fits.
    Unknown,
    /// One that is not read, with its number.
    Other(u32),
}

/// What is in a frame.
#[derive(Debug)]
pub(crate) enum Content<'a> {
    Udp(Udp<'a>),
    Fragment(Fragment<'a>),
    /// Anything else.
    Other,
}

/// A UDP datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Udp<'a> {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) payload: &'a [u8],
    /// Octets of the payload that are not there.
    pub(crate) missing: usize,
}

impl Link {
    /// From the number in the file (LINKTYPE_…, tcpdump.org/linktypes.html).
    pub(crate) const fn of_type(number: u32) -> Self {
        match number {
            0 | 108 => Self::Loopback,
            1 => Self::Ethernet,
            // 12 and 14: as some systems number it.
            12 | 14 | 101 | 228 | 229 => Self::Raw,
            113 => Self::Cooked,
            276 => Self::Cooked2,
            other => Self::Other(other),
        }
    }

    /// Looks into a frame.
    pub(crate) fn content(self, frame: &[u8]) -> Content<'_> {
        match self {
            Self::Ethernet => sliced(LaxSlicedPacket::from_ethernet(frame).ok()),
            Self::Cooked => cooked(frame),
            Self::Cooked2 => cooked2(frame),
            Self::Loopback => match frame.split_first_chunk::<4>() {
                Some((family, packet)) if is_ip_family(*family) => raw(packet),
                _ => Content::Other,
            },
            Self::Raw => raw(frame),
            Self::Unknown => {
                let links = [
                    Self::Ethernet,
                    Self::Cooked2,
                    Self::Cooked,
                    Self::Loopback,
                    Self::Raw,
                ];
                let mut contents = links.into_iter().map(|link| link.content(frame));
                contents
                    .find(|content| !matches!(content, Content::Other))
                    .unwrap_or(Content::Other)
            }
            Self::Other(_) => Content::Other,
        }
    }
}

fn raw(packet: &[u8]) -> Content<'_> {
    sliced(LaxSlicedPacket::from_ip(packet).ok())
}

/// ```text
/// packet type (2) | ARPHRD_ type (2) | address length (2) | address (8) | protocol (2) | packet
/// ```
fn cooked(frame: &[u8]) -> Content<'_> {
    match frame.split_first_chunk::<16>() {
        Some(([.., high, low], packet)) => of_ether_type([*high, *low], packet),
        None => Content::Other,
    }
}

/// ```text
/// protocol (2) | 0 (2) | interface (4) | ARPHRD_ type (2) | packet type (1) | address length (1) |
/// address (8) | packet
/// ```
fn cooked2(frame: &[u8]) -> Content<'_> {
    match frame.split_first_chunk::<20>() {
        Some(([high, low, ..], packet)) => of_ether_type([*high, *low], packet),
        None => Content::Other,
    }
}

fn of_ether_type(number: [u8; 2], packet: &[u8]) -> Content<'_> {
    let ether_type = EtherType(u16::from_be_bytes(number));
    sliced(Some(LaxSlicedPacket::from_ether_type(ether_type, packet)))
}

/// AF_INET and AF_INET6 as the systems number them, in the byte order of whoever captured.
const fn is_ip_family(family: [u8; 4]) -> bool {
    let number = match family {
        [number, 0, 0, 0] | [0, 0, 0, number] => number,
        _ => return false,
    };
    matches!(number, 2 | 10 | 23 | 24 | 28 | 30)
}

fn sliced(packet: Option<LaxSlicedPacket<'_>>) -> Content<'_> {
    let Some(packet) = packet else {
        return Content::Other;
    };
    let (from, to, payload, id, offset, more) = match &packet.net {
        Some(LaxNetSlice::Ipv4(ip)) => {
            let header = ip.header();
            (
                IpAddr::from(header.source_addr()),
                IpAddr::from(header.destination_addr()),
                ip.payload(),
                u32::from(header.identification()),
                header.fragments_offset(),
                header.more_fragments(),
            )
        }
        Some(LaxNetSlice::Ipv6(ip)) => {
            let header = ip.header();
            let fragment = ip.extensions().clone().into_iter().find_map(|it| match it {
                etherparse::Ipv6ExtensionSlice::Fragment(it) => Some(it),
                _ => None,
            });
            (
                IpAddr::from(header.source_addr()),
                IpAddr::from(header.destination_addr()),
                ip.payload(),
                fragment.as_ref().map_or(0, |it| it.identification()),
                fragment
                    .as_ref()
                    .map_or(etherparse::IpFragOffset::ZERO, |it| it.fragment_offset()),
                fragment.as_ref().is_some_and(|it| it.more_fragments()),
            )
        }
        _ => return Content::Other,
    };
    if payload.fragmented {
        if payload.ip_number != ip_number::UDP {
            return Content::Other;
        }
        return Content::Fragment(Fragment {
            key: FragmentKey { from, to, id },
            offset,
            more,
            // A piece of a piece would leave a hole.
            octets: (!payload.incomplete).then_some(payload.payload),
        });
    }
    match &packet.transport {
        Some(TransportSlice::Udp(udp)) => Content::Udp(Udp::of(from, to, udp)),
        _ => Content::Other,
    }
}

impl<'a> Udp<'a> {
    fn of(from: IpAddr, to: IpAddr, udp: &UdpSlice<'a>) -> Self {
        let payload = udp.payload();
        // 0 is what some network cards are handed to fill in.
        let length = usize::from(udp.length()).saturating_sub(8);
        Self {
            from: SocketAddr::new(from, udp.source_port()),
            to: SocketAddr::new(to, udp.destination_port()),
            payload,
            missing: length.saturating_sub(payload.len()),
        }
    }

    /// Of a datagram that was put together.
    pub(crate) fn whole(key: &FragmentKey, octets: &'a [u8]) -> Option<Self> {
        let udp = UdpSlice::from_slice_lax(octets).ok()?;
        Some(Self::of(key.from, key.to, &udp))
    }
}
