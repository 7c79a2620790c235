//! Bitrate receive limit: `RL`.

use netmidi_message::BufferTooSmall;
use nom::number::complete::be_u32;

use super::{ControlCode, SIGNATURE, truncated};
use crate::encode::put_all;
use crate::error::ParseError;
use crate::parse;
use crate::rtp::Ssrc;

/// "Send me no more than this": rarely seen, from macOS with devices that have a DIN plug behind
/// them.
///
/// ```text
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |     0xFF      |     0xFF      |              'RL'             |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                  SSRC of who sends this packet                |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                        bits per second                        |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct BitrateLimit {
    /// Who sends this packet, and wants to receive no more.
    pub ssrc: Ssrc,
    /// Bits per second of MIDI, at ten bits an octet; 31,250 is a DIN plug, 0 is no limit.
    pub bits_per_second: u32,
}

impl BitrateLimit {
    /// Octets on the wire.
    pub const LEN: usize = 12;

    /// Reads what follows the command.
    pub(super) fn parse(body: &[u8]) -> Result<Self, ParseError> {
        let (_, (ssrc, bits_per_second)) = parse::fields(body, (be_u32, be_u32), || {
            truncated(ControlCode::BITRATE_LIMIT, body, Self::LEN)
        })?;
        Ok(Self {
            ssrc: Ssrc(ssrc),
            bits_per_second,
        })
    }

    /// Writes the packet to the beginning of `out` and returns [`LEN`](Self::LEN).
    ///
    /// # Errors
    /// When `out` is shorter than [`LEN`](Self::LEN); nothing is written then.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let ControlCode(letters) = ControlCode::BITRATE_LIMIT;
        put_all(
            out,
            &[
                &SIGNATURE,
                &letters,
                &self.ssrc.0.to_be_bytes(),
                &self.bits_per_second.to_be_bytes(),
            ],
        )
    }

    /// The packet as octets.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn to_vec(&self) -> alloc::vec::Vec<u8> {
        crate::encode::to_vec(Self::LEN, |out| self.encode(out))
    }
}
