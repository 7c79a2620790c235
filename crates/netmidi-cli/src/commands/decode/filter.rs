//! Which packets are printed.

use std::net::{IpAddr, SocketAddr};

use clap::ValueEnum;
use netmidi_wire::{Control, Ssrc};

use super::packet::{Captured, Reading};
use super::problem::Problem;

/// Chooses packets. The diagnosis sees all of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) peers: Vec<Peer>,
    pub(crate) only: Vec<What>,
}

/// Somebody, as sender or receiver.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Peer {
    Host(IpAddr),
    Address(SocketAddr),
    /// Only as sender: packets do not say to which SSRC they go.
    Ssrc(Ssrc),
}

/// A kind of packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum What {
    /// IN, OK, NO, BY: joining and leaving.
    Session,
    /// CK: comparing clocks.
    Clock,
    /// RS and RL: what arrived, how much may be sent.
    Feedback,
    /// RTP packets with MIDI commands.
    Midi,
    /// RTP packets with a recovery journal.
    Journal,
    /// Whatever is malformed.
    Errors,
}

impl std::str::FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(digits) = text.strip_prefix("0x")
            && let Ok(ssrc) = u32::from_str_radix(digits, 16)
        {
            return Ok(Self::Ssrc(Ssrc(ssrc)));
        }
        if let Ok(host) = text.parse() {
            return Ok(Self::Host(host));
        }
        text.parse().map(Self::Address).map_err(|_| {
            "it is no address; write for example 192.0.2.7, 192.0.2.7:5004, [fe80::1]:5004 or, for an SSRC, 0x9316668e"
                .to_owned()
        })
    }
}

impl Filter {
    pub(crate) fn shows(&self, captured: &Captured<'_>, reading: &Reading<'_>) -> bool {
        let is_peer = |peer: &Peer| match peer {
            Peer::Ssrc(ssrc) => ssrc_of(reading) == Some(*ssrc),
            Peer::Host(host) => [captured.from, captured.to]
                .into_iter()
                .flatten()
                .any(|it| it.ip() == *host),
            Peer::Address(address) => [captured.from, captured.to].contains(&Some(*address)),
        };
        (self.peers.is_empty() || self.peers.iter().any(is_peer))
            && (self.only.is_empty() || self.only.iter().any(|it| it.is(reading)))
    }
}

/// Who says that it sent the packet.
fn ssrc_of(reading: &Reading<'_>) -> Option<Ssrc> {
    match reading {
        Reading::AppleMidi(Ok(control)) => Some(match control {
            Control::Exchange(it) => it.ssrc,
            Control::Clock(it) => it.ssrc,
            Control::Feedback(it) => it.ssrc,
            Control::BitrateLimit(it) => it.ssrc,
        }),
        Reading::Rtp(Ok(rtp)) => Some(rtp.packet.header().ssrc),
        Reading::AppleMidi(Err(_)) | Reading::Rtp(Err(_)) => None,
    }
}

impl What {
    fn is(self, reading: &Reading<'_>) -> bool {
        match (self, reading) {
            (Self::Session, Reading::AppleMidi(Ok(Control::Exchange(_))))
            | (Self::Clock, Reading::AppleMidi(Ok(Control::Clock(_))))
            | (
                Self::Feedback,
                Reading::AppleMidi(Ok(Control::Feedback(_) | Control::BitrateLimit(_))),
            ) => true,
            (Self::Midi, Reading::Rtp(Ok(rtp))) => {
                rtp.section.is_ok_and(|section| !section.list().is_empty())
            }
            (Self::Journal, Reading::Rtp(Ok(rtp))) => rtp.journal.is_some(),
            (Self::Errors, reading) => Problem::of(reading).is_some(),
            _ => false,
        }
    }
}
