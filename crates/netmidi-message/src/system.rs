//! Messages for the whole system: common and real time.

use crate::value::{U3, U4, U7, U14};

/// A system common message of fixed length (MIDI 1.0): F1, F2, F3, F6.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "type", rename_all = "snake_case"))]
pub enum SystemCommon {
    /// `F1 nd`: one eighth of a MIDI time code.
    QuarterFrame {
        /// Which piece, 0 (frames, low half) to 7 (hours and rate).
        frame_type: U3,
        /// Four bits of the time code.
        frame_value: U4,
    },
    /// `F2 ll mm`: where the song is.
    SongPosition {
        /// Sixteenth notes (six MIDI clocks each) since the beginning.
        pos: U14,
    },
    /// `F3 ss`: which song.
    SongSelect {
        /// Number of the song.
        song: U7,
    },
    /// `F6`: analogue synthesisers tune themselves.
    TuneRequest,
}

impl SystemCommon {
    /// The status octet.
    #[must_use]
    #[inline]
    pub const fn status(self) -> u8 {
        match self {
            Self::QuarterFrame { .. } => 0xF1,
            Self::SongPosition { .. } => 0xF2,
            Self::SongSelect { .. } => 0xF3,
            Self::TuneRequest => 0xF6,
        }
    }

    /// Octets on the wire, 1 to 3.
    #[must_use]
    #[inline]
    pub const fn encoded_len(self) -> usize {
        match self {
            Self::QuarterFrame { .. } | Self::SongSelect { .. } => 2,
            Self::SongPosition { .. } => 3,
            Self::TuneRequest => 1,
        }
    }

    /// Status and data octets; only the first [`encoded_len`](Self::encoded_len) are sent.
    #[must_use]
    #[inline]
    pub const fn to_octets(self) -> [u8; 3] {
        match self {
            Self::QuarterFrame {
                frame_type,
                frame_value,
            } => [0xF1, frame_type.get() << 4 | frame_value.get(), 0],
            Self::SongPosition { pos } => [0xF2, pos.lsb().get(), pos.msb().get()],
            Self::SongSelect { song } => [0xF3, song.get(), 0],
            Self::TuneRequest => [0xF6, 0, 0],
        }
    }

    /// The quarter frame with this data octet.
    #[must_use]
    #[inline]
    pub const fn quarter_frame(data: U7) -> Self {
        Self::QuarterFrame {
            frame_type: U3::from_low_bits(data.get() >> 4),
            frame_value: U4::from_low_bits(data.get()),
        }
    }
}

/// A system real-time message: one octet, F8 to FF, allowed anywhere in a stream.
///
/// Serialised by itself it is its name, `"timing_clock"`; as a [`Message`](crate::Message) it is an
/// object with a `type`, as all messages are.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[repr(u8)]
pub enum RealTime {
    /// `F8`: 24 of them make a quarter note.
    TimingClock = 0xF8,
    /// `F9`: not defined by MIDI 1.0, carried by RTP-MIDI where a session allows it.
    UndefinedF9 = 0xF9,
    /// `FA`: play from the beginning.
    Start = 0xFA,
    /// `FB`: play on.
    Continue = 0xFB,
    /// `FC`: stop.
    Stop = 0xFC,
    /// `FD`: not defined by MIDI 1.0, carried by RTP-MIDI where a session allows it.
    UndefinedFd = 0xFD,
    /// `FE`: "I am still here".
    ActiveSensing = 0xFE,
    /// `FF`: back to the state after power-up.
    Reset = 0xFF,
}

impl RealTime {
    /// The message with this status octet, or `None` below F8.
    #[must_use]
    #[inline]
    pub const fn from_status(status: u8) -> Option<Self> {
        Some(match status {
            0xF8 => Self::TimingClock,
            0xF9 => Self::UndefinedF9,
            0xFA => Self::Start,
            0xFB => Self::Continue,
            0xFC => Self::Stop,
            0xFD => Self::UndefinedFd,
            0xFE => Self::ActiveSensing,
            0xFF => Self::Reset,
            _ => return None,
        })
    }

    /// The status octet.
    #[must_use]
    #[inline]
    pub const fn status(self) -> u8 {
        self as u8
    }

    /// Whether this is F9 or FD.
    #[must_use]
    #[inline]
    pub const fn is_undefined(self) -> bool {
        matches!(self, Self::UndefinedF9 | Self::UndefinedFd)
    }
}
