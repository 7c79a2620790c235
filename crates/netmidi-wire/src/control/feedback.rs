//! Receiver feedback: `RS`.

use netmidi_message::BufferTooSmall;
use nom::number::complete::{be_u16, be_u32};

use super::{ControlCode, SIGNATURE, truncated};
use crate::encode::put_all;
use crate::error::ParseError;
use crate::parse;
use crate::rtp::Ssrc;
use crate::seq::SeqNum;

/// "I hold everything up to this packet": its journal entries are needed no more.
///
/// ```text
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |     0xFF      |     0xFF      |              'RS'             |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                  SSRC of who sends this packet                |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |    highest sequence number    |            send 0             |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Feedback {
    /// Who received the packets and sends this one.
    pub ssrc: Ssrc,
    /// The highest sequence number received.
    pub seq: SeqNum,
    /// The other half of the field, to be sent as 0.
    ///
    /// rtpmidid writes the sequence number here and 0 in `seq`; macOS leaves garbage in it.
    pub low: u16,
}

impl Feedback {
    /// Octets on the wire.
    pub const LEN: usize = 12;

    /// Feedback as everyone but rtpmidid sends it.
    #[must_use]
    pub const fn new(ssrc: Ssrc, seq: SeqNum) -> Self {
        Self { ssrc, seq, low: 0 }
    }

    /// Reads what follows the command.
    pub(super) fn parse(body: &[u8]) -> Result<Self, ParseError> {
        let (_, (ssrc, seq, low)) = parse::fields(body, (be_u32, be_u16, be_u16), || {
            truncated(ControlCode::FEEDBACK, body, Self::LEN)
        })?;
        Ok(Self {
            ssrc: Ssrc(ssrc),
            seq: SeqNum(seq),
            low,
        })
    }

    /// Writes the packet to the beginning of `out` and returns [`LEN`](Self::LEN).
    ///
    /// # Errors
    /// When `out` is shorter than [`LEN`](Self::LEN); nothing is written then.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let ControlCode(letters) = ControlCode::FEEDBACK;
        put_all(
            out,
            &[
                &SIGNATURE,
                &letters,
                &self.ssrc.0.to_be_bytes(),
                &self.seq.0.to_be_bytes(),
                &self.low.to_be_bytes(),
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
