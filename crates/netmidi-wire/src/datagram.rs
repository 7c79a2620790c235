//! What a datagram is, decided once.

use crate::control::{Control, SIGNATURE};
use crate::error::ParseError;
use crate::rtp::RtpPacket;

/// A datagram from either of the two ports of a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Datagram<'a> {
    /// It begins with FF FF: a packet of Apple's session protocol.
    Control(Control<'a>),
    /// Anything else: an RTP packet.
    Rtp(RtpPacket<'a>),
}

impl<'a> Datagram<'a> {
    /// Reads the payload of one UDP datagram.
    ///
    /// An RTP packet could begin with FF FF only if its version were 3, so the two cannot be
    /// mistaken for each other. Of an RTP packet only the RTP layer is checked here:
    /// [`RtpPacket::command_section`] reads on, once the caller has recognised the sender.
    ///
    /// # Errors
    /// When the octets are neither a session packet nor an RTP packet.
    #[inline]
    pub fn parse(octets: &'a [u8]) -> Result<Self, ParseError> {
        if octets.starts_with(&SIGNATURE) {
            Control::parse(octets).map(Self::Control)
        } else {
            RtpPacket::parse(octets).map(Self::Rtp)
        }
    }
}
