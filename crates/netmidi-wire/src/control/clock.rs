//! Clock synchronisation: `CK`.

use netmidi_message::BufferTooSmall;
use nom::bytes::complete::take;
use nom::number::complete::{be_u8, be_u32, be_u64};

use super::{ControlCode, HEAD_LEN, SIGNATURE, truncated};
use crate::encode::put_all;
use crate::error::ParseError;
use crate::parse;
use crate::rtp::{RtpTimestamp, Ssrc};

/// A moment on one peer's AppleMIDI clock, in ticks of 100 µs since that peer's own epoch.
///
/// Ticks of two peers compare only after clock synchronisation.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ClockTicks(pub u64);

impl ClockTicks {
    /// The same moment as RTP packets show it: the low 32 bits.
    #[must_use]
    pub const fn to_rtp(self) -> RtpTimestamp {
        RtpTimestamp(self.0 as u32)
    }
}

/// One of the three packets by which two clocks are compared, on the data port only.
///
/// ```text
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |     0xFF      |     0xFF      |              'CK'             |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                  SSRC of who sends this packet                |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |     count     |               unused, send 0                  |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                    timestamp 1 (64 bits)                      |
/// |                    timestamp 2 (64 bits)                      |
/// |                    timestamp 3 (64 bits)                      |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ClockSync {
    /// Who sends this packet.
    pub ssrc: Ssrc,
    /// Which of the three.
    pub count: ClockCount,
    /// As they stand on the wire; only the first `count` + 1 say something, the others are sent
    /// as 0 and are to be ignored.
    pub timestamps: [ClockTicks; 3],
}

/// Which packet of a clock synchronisation.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum ClockCount {
    /// The initiator's clock, now.
    Ck0 = 0,
    /// The responder adds its own.
    Ck1 = 1,
    /// The initiator adds its own again. Nobody answers this one.
    Ck2 = 2,
}

impl ClockSync {
    /// Octets on the wire.
    pub const LEN: usize = 36;

    /// Reads what follows the command.
    pub(super) fn parse(body: &[u8]) -> Result<Self, ParseError> {
        let unused = take(3usize);
        let fields = (be_u32, be_u8, unused, be_u64, be_u64, be_u64);
        let (_, (ssrc, count, _, first, second, third)) = parse::fields(body, fields, || {
            truncated(ControlCode::CLOCK, body, Self::LEN)
        })?;
        let count = match count {
            0 => ClockCount::Ck0,
            1 => ClockCount::Ck1,
            2 => ClockCount::Ck2,
            _ => {
                return Err(ParseError::BadCount {
                    offset: HEAD_LEN + 4,
                    count,
                });
            }
        };
        Ok(Self {
            ssrc: Ssrc(ssrc),
            count,
            timestamps: [first, second, third].map(ClockTicks),
        })
    }

    /// Writes the packet to the beginning of `out` and returns [`LEN`](Self::LEN).
    ///
    /// # Errors
    /// When `out` is shorter than [`LEN`](Self::LEN); nothing is written then.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let ControlCode(letters) = ControlCode::CLOCK;
        let [first, second, third] = self.timestamps.map(|ticks| ticks.0.to_be_bytes());
        put_all(
            out,
            &[
                &SIGNATURE,
                &letters,
                &self.ssrc.0.to_be_bytes(),
                &[self.count as u8, 0, 0, 0],
                &first,
                &second,
                &third,
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
