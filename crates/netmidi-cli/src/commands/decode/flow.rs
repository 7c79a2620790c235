//! Which packets are MIDI.
//!
//! Packets of the session protocol tell themselves by their signature, on any port. RTP-MIDI has none:
//! it is looked for between the addresses that such packets go between, and where the user says.

use std::collections::HashSet;
use std::net::SocketAddr;

use netmidi_wire::ParseError;

use super::link::Udp;
use super::packet::Reading;

/// Pairs of addresses that are remembered; MIDI between further ones is not found.
const MAX_PAIRS: usize = 65_536;

/// Tells MIDI from other traffic.
#[derive(Debug)]
pub(crate) struct Finder {
    /// Control ports that the user named; the data ports are the next ones.
    ports: Vec<u16>,
    /// Whether RTP-MIDI is looked for everywhere.
    everywhere: bool,
    /// Between whom a session is, the lower address first.
    pairs: HashSet<(SocketAddr, SocketAddr)>,
}

impl Finder {
    pub(crate) fn new(ports: Vec<u16>, everywhere: bool) -> Self {
        Self {
            ports,
            everywhere,
            pairs: HashSet::new(),
        }
    }

    /// Only remembers between whom there is a session.
    pub(crate) fn learn(&mut self, udp: &Udp<'_>) {
        if udp.payload.starts_with(&SIGNATURE)
            && let Reading::AppleMidi(Ok(_)) = Reading::of(udp.payload)
        {
            self.insert(udp.from, udp.to);
        }
    }

    /// Reads a packet, if it is MIDI.
    pub(crate) fn read<'a>(&mut self, udp: &Udp<'a>) -> Option<Reading<'a>> {
        if udp.payload.starts_with(&SIGNATURE) {
            let reading = Reading::of(udp.payload);
            let is_ours = match reading {
                Reading::AppleMidi(Ok(_)) => {
                    self.insert(udp.from, udp.to);
                    true
                }
                Reading::AppleMidi(Err(error)) => is_damaged_ours(error) || self.expects(udp),
                Reading::Rtp(_) => false,
            };
            return is_ours.then_some(reading);
        }
        if self.expects(udp) {
            return Some(Reading::of(udp.payload));
        }
        if self.everywhere {
            let reading = Reading::of(udp.payload);
            return is_surely_midi(&reading).then_some(reading);
        }
        None
    }

    /// Whether MIDI without a signature is expected between these addresses.
    fn expects(&self, udp: &Udp<'_>) -> bool {
        let is_port = |port: u16| {
            let named = |&it: &u16| port == it || Some(port) == it.checked_add(1);
            self.ports.iter().any(named)
        };
        self.pairs.contains(&ordered(udp.from, udp.to))
            || is_port(udp.from.port())
            || is_port(udp.to.port())
    }

    /// There is a session between these; if these are its control ports, the next ones are for data.
    fn insert(&mut self, from: SocketAddr, to: SocketAddr) {
        let pair = ordered(from, to);
        if self.pairs.contains(&pair) || self.pairs.len() >= MAX_PAIRS {
            return;
        }
        self.pairs.insert(pair);
        if let (Some(from), Some(to)) = (next_port(from), next_port(to)) {
            self.pairs.insert(ordered(from, to));
        }
    }
}

/// What session packets begin with.
const SIGNATURE: [u8; 2] = [0xFF, 0xFF];

/// Whether it is a whole session packet with something wrong in it, rather than something else.
const fn is_damaged_ours(error: ParseError) -> bool {
    matches!(
        error,
        ParseError::BadVersion { .. } | ParseError::BadCount { .. }
    )
}

/// Whether octets that could be anything are RTP-MIDI without any doubt.
fn is_surely_midi(reading: &Reading<'_>) -> bool {
    let Reading::Rtp(Ok(rtp)) = reading else {
        return false;
    };
    let Ok(section) = rtp.section else {
        return false;
    };
    // 96 and above are for what a session agrees on.
    rtp.packet.header().payload_type.get() >= 96
        && section.anomaly().is_none()
        && match &rtp.journal {
            None => !section.list().is_empty(),
            Some(Ok(salvaged)) => {
                salvaged.damage.is_none() && salvaged.journal.surplus().is_empty()
            }
            Some(Err(_)) => false,
        }
}

fn ordered(a: SocketAddr, b: SocketAddr) -> (SocketAddr, SocketAddr) {
    if a <= b { (a, b) } else { (b, a) }
}

fn next_port(mut address: SocketAddr) -> Option<SocketAddr> {
    address.set_port(address.port().checked_add(1)?);
    Some(address)
}
