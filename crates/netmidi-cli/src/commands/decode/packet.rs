//! What a capture gives: UDP payloads, with when and between whom where that is known; and what is in
//! them, read once for everybody who looks.

use std::net::SocketAddr;
use std::time::Duration;

use netmidi_journal::{Journal, JournalError, Salvaged};
use netmidi_wire::{CommandSection, Control, Datagram, ParseError, RtpPacket};

/// One UDP payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Captured<'a> {
    /// The frame of the capture or the line of the text that it came in, from 1.
    pub(crate) number: u64,
    /// When, since 1970.
    pub(crate) time: Option<Duration>,
    /// Who sent it.
    pub(crate) from: Option<SocketAddr>,
    /// To whom.
    pub(crate) to: Option<SocketAddr>,
    pub(crate) payload: &'a [u8],
    /// Octets of the payload that the capture left out at its end (a short snapshot length): what
    /// is wrong with the packet then is not the sender's fault.
    pub(crate) missing: usize,
}

/// What a payload is, as far as it can be read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reading<'a> {
    /// It begins with FF FF: the session protocol.
    AppleMidi(Result<Control<'a>, ParseError>),
    /// Anything else.
    Rtp(Result<Rtp<'a>, ParseError>),
}

/// An RTP packet whose RTP layer is in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rtp<'a> {
    pub(crate) packet: RtpPacket<'a>,
    pub(crate) section: Result<CommandSection<'a>, ParseError>,
    /// What is whole of the journal, if the list is in order and announces one.
    pub(crate) journal: Option<Result<Salvaged<'a>, JournalError>>,
    /// Where the journal begins or would begin, from the start of the payload of UDP: errors of it
    /// count from there.
    pub(crate) journal_at: usize,
}

impl<'a> Reading<'a> {
    /// Reads a payload of UDP.
    pub(crate) fn of(payload: &'a [u8]) -> Self {
        match Datagram::parse(payload) {
            Ok(Datagram::Control(control)) => Self::AppleMidi(Ok(control)),
            Ok(Datagram::Rtp(packet)) => Self::Rtp(Ok(Rtp::of(packet, payload.len()))),
            Err(error) if payload.starts_with(&[0xFF, 0xFF]) => Self::AppleMidi(Err(error)),
            Err(error) => Self::Rtp(Err(error)),
        }
    }
}

impl<'a> Rtp<'a> {
    fn of(packet: RtpPacket<'a>, len: usize) -> Self {
        let section = packet.command_section();
        let octets = section.ok().and_then(|section| section.journal());
        // The journal goes up to the padding.
        let behind = usize::from(packet.padding()) + octets.map_or(0, <[u8]>::len);
        Self {
            packet,
            section,
            journal: octets.map(Journal::salvage),
            journal_at: len.saturating_sub(behind),
        }
    }
}
