//! Any MIDI 1.0 message, borrowed.

use crate::channel::{ChannelMessage, ChannelStatus};
use crate::error::{BufferTooSmall, MessageError};
use crate::sysex::{SysEx, Undefined, UndefinedStatus, data_prefix};
use crate::system::{RealTime, SystemCommon};
use crate::value::{U7, U14};

/// One complete MIDI 1.0 message.
///
/// Lossless: a message that was parsed encodes to the octets it came from (with its status octet,
/// where running status had left it out).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Message<'a> {
    /// Status 80 to EF.
    Channel(ChannelMessage),
    /// Status F1, F2, F3, F6.
    Common(SystemCommon),
    /// Status F8 to FF.
    RealTime(RealTime),
    /// F0 to F7.
    SysEx(SysEx<'a>),
    /// Status F4 and F5.
    Undefined(Undefined<'a>),
}

impl<'a> Message<'a> {
    /// Reads exactly one message.
    ///
    /// # Errors
    /// When the bytes are not one complete message, or more follow it.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, MessageError> {
        // The common case by itself: it needs no lengths carried around.
        if let [status @ 0x80..=0xEF, data @ ..] = bytes
            && let Some(message) = whole_channel(*status, data)
        {
            return Ok(message);
        }
        let (message, len, _) = Self::parse_prefix(bytes, None)?;
        match bytes.len() - len {
            0 => Ok(message),
            surplus => Err(MessageError::Trailing {
                offset: len,
                surplus,
            }),
        }
    }

    /// Reads the message at the beginning of `bytes`.
    ///
    /// `running` is the status that a message without its own is read with. Returns the message,
    /// how many octets it took, and the running status that holds after it: system common and
    /// exclusive messages cancel it, real-time messages leave it alone.
    ///
    /// An undefined message (F4, F5) takes all data octets that follow it. Real-time octets inside
    /// another message are not accepted here: that is for the
    /// [`StreamParser`](crate::StreamParser).
    ///
    /// # Errors
    /// When the bytes do not begin with a complete message.
    #[inline]
    pub fn parse_prefix(
        bytes: &'a [u8],
        running: Option<ChannelStatus>,
    ) -> Result<(Self, usize, Option<ChannelStatus>), MessageError> {
        let Some(&first) = bytes.first() else {
            return Err(MessageError::Empty);
        };
        if let Some(status) = ChannelStatus::new(first) {
            let message = channel(status, bytes, 1)?;
            return Ok((message, status.data_len() + 1, Some(status)));
        }
        if first < 0x80 {
            let Some(status) = running else {
                return Err(MessageError::MissingStatus {
                    offset: 0,
                    found: first,
                });
            };
            let message = channel(status, bytes, 0)?;
            return Ok((message, status.data_len(), running));
        }
        if let Some(message) = RealTime::from_status(first) {
            return Ok((message.into(), 1, running));
        }
        let (message, len) = common(first, bytes)?;
        Ok((message, len, None))
    }

    /// Octets on the wire.
    #[must_use]
    #[inline]
    pub fn encoded_len(&self) -> usize {
        match self {
            Self::Channel(message) => message.encoded_len(),
            Self::Common(message) => message.encoded_len(),
            Self::RealTime(_) => 1,
            Self::SysEx(message) => message.encoded_len(),
            Self::Undefined(message) => message.encoded_len(),
        }
    }

    /// Writes the message to the beginning of `out`, always with its status octet, and returns
    /// how many octets that were.
    ///
    /// # Errors
    /// When `out` is shorter than [`encoded_len`](Self::encoded_len); nothing is written then.
    #[inline]
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let needed = self.encoded_len();
        let available = out.len();
        let Some(out) = out.get_mut(..needed) else {
            return Err(BufferTooSmall { needed, available });
        };
        match self {
            Self::Channel(message) => copy_prefix(out, &message.to_octets()),
            Self::Common(message) => copy_prefix(out, &message.to_octets()),
            Self::RealTime(message) => out.fill(message.status()),
            Self::SysEx(message) => {
                if let [head, data @ .., tail] = out {
                    *head = 0xF0;
                    data.copy_from_slice(message.data());
                    *tail = 0xF7;
                }
            }
            Self::Undefined(message) => {
                if let [head, data @ ..] = out {
                    *head = message.status().status();
                    data.copy_from_slice(message.data());
                }
            }
        }
        Ok(needed)
    }

    /// Appends the message to `out`, always with its status octet.
    #[cfg(feature = "alloc")]
    pub fn encode_to(&self, out: &mut alloc::vec::Vec<u8>) {
        match self {
            Self::Channel(message) => {
                out.extend(message.to_octets().into_iter().take(message.encoded_len()));
            }
            Self::Common(message) => {
                out.extend(message.to_octets().into_iter().take(message.encoded_len()));
            }
            Self::RealTime(message) => out.push(message.status()),
            Self::SysEx(message) => {
                out.reserve(message.encoded_len());
                out.push(0xF0);
                out.extend_from_slice(message.data());
                out.push(0xF7);
            }
            Self::Undefined(message) => {
                out.push(message.status().status());
                out.extend_from_slice(message.data());
            }
        }
    }

    /// The message as octets, always with its status octet.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn to_vec(&self) -> alloc::vec::Vec<u8> {
        let mut out = alloc::vec::Vec::with_capacity(self.encoded_len());
        self.encode_to(&mut out);
        out
    }

    /// Writes the message, always with its status octet, with one call of `write_all`.
    ///
    /// # Errors
    /// When the writer fails.
    #[cfg(feature = "std")]
    pub fn write_to(&self, mut writer: impl std::io::Write) -> std::io::Result<()> {
        match self {
            Self::SysEx(_) | Self::Undefined(_) => writer.write_all(&self.to_vec()),
            Self::Channel(_) | Self::Common(_) | Self::RealTime(_) => {
                let mut octets = [0; 3];
                let len = self.encode(&mut octets).map_err(std::io::Error::other)?;
                writer.write_all(octets.get(..len).unwrap_or_default())
            }
        }
    }

    /// The status octet.
    #[must_use]
    #[inline]
    pub const fn status(&self) -> u8 {
        match self {
            Self::Channel(message) => message.status().get(),
            Self::Common(message) => message.status(),
            Self::RealTime(message) => message.status(),
            Self::SysEx(_) => 0xF0,
            Self::Undefined(message) => message.status().status(),
        }
    }

    /// Whether MIDI 1.0 gives this message no meaning: F4, F5, F9, FD.
    #[must_use]
    #[inline]
    pub const fn is_undefined(&self) -> bool {
        match self {
            Self::Undefined(_) => true,
            Self::RealTime(message) => message.is_undefined(),
            _ => false,
        }
    }
}

#[inline]
fn copy_prefix(out: &mut [u8], octets: &[u8; 3]) {
    for (to, from) in out.iter_mut().zip(octets) {
        *to = *from;
    }
}

/// `data` is all that follows the status; `None` unless it is exactly one message's.
#[inline]
fn whole_channel<'a>(status: u8, data: &[u8]) -> Option<Message<'a>> {
    let status = ChannelStatus::new(status)?;
    let (first, second) = match *data {
        [first, second] if status.data_len() == 2 => (first, second),
        [first] if status.data_len() == 1 => (first, 0),
        _ => return None,
    };
    let message = ChannelMessage::from_parts(status, U7::new(first)?, U7::new(second)?);
    Some(Message::Channel(message))
}

/// The channel message whose data octets begin at `at`.
#[inline]
fn channel(status: ChannelStatus, bytes: &[u8], at: usize) -> Result<Message<'_>, MessageError> {
    let first = data_octet(bytes, at, status.get())?;
    let second = if status.data_len() == 2 {
        data_octet(bytes, at + 1, status.get())?
    } else {
        U7::MIN
    };
    Ok(ChannelMessage::from_parts(status, first, second).into())
}

#[inline]
fn data_octet(bytes: &[u8], offset: usize, status: u8) -> Result<U7, MessageError> {
    match bytes.get(offset) {
        None => Err(MessageError::Truncated { offset, status }),
        Some(&found) => U7::new(found).ok_or(MessageError::StatusInData {
            offset,
            status,
            found,
        }),
    }
}

/// A message with a status of F0 to F7.
fn common(status: u8, bytes: &[u8]) -> Result<(Message<'_>, usize), MessageError> {
    let (message, len) = match status {
        0xF1 => (
            SystemCommon::quarter_frame(data_octet(bytes, 1, status)?),
            2,
        ),
        0xF2 => {
            let lsb = data_octet(bytes, 1, status)?;
            let msb = data_octet(bytes, 2, status)?;
            (
                SystemCommon::SongPosition {
                    pos: U14::from_parts(msb, lsb),
                },
                3,
            )
        }
        0xF3 => (
            SystemCommon::SongSelect {
                song: data_octet(bytes, 1, status)?,
            },
            2,
        ),
        0xF6 => (SystemCommon::TuneRequest, 1),
        0xF7 => return Err(MessageError::UnpairedEnd { offset: 0 }),
        _ => return with_data(status, bytes),
    };
    Ok((message.into(), len))
}

/// A message with a status of F0, F4 or F5: any number of data octets.
fn with_data(status: u8, bytes: &[u8]) -> Result<(Message<'_>, usize), MessageError> {
    let (data, rest) = data_prefix(bytes.get(1..).unwrap_or_default());
    let len = data.len();
    if let Some(undefined) = UndefinedStatus::from_status(status) {
        return Ok((
            Message::Undefined(Undefined::from_checked(undefined, data)),
            len + 1,
        ));
    }
    match rest.first() {
        Some(0xF7) => Ok((Message::SysEx(SysEx::from_checked(data)), len + 2)),
        Some(&found) => Err(MessageError::StatusInData {
            offset: len + 1,
            status,
            found,
        }),
        None => Err(MessageError::Truncated {
            offset: len + 1,
            status,
        }),
    }
}

impl From<ChannelMessage> for Message<'_> {
    #[inline]
    fn from(message: ChannelMessage) -> Self {
        Self::Channel(message)
    }
}

impl From<SystemCommon> for Message<'_> {
    #[inline]
    fn from(message: SystemCommon) -> Self {
        Self::Common(message)
    }
}

impl From<RealTime> for Message<'_> {
    #[inline]
    fn from(message: RealTime) -> Self {
        Self::RealTime(message)
    }
}

impl<'a> From<SysEx<'a>> for Message<'a> {
    #[inline]
    fn from(message: SysEx<'a>) -> Self {
        Self::SysEx(message)
    }
}

impl<'a> From<Undefined<'a>> for Message<'a> {
    #[inline]
    fn from(message: Undefined<'a>) -> Self {
        Self::Undefined(message)
    }
}

impl<'a> TryFrom<&'a [u8]> for Message<'a> {
    type Error = MessageError;

    fn try_from(bytes: &'a [u8]) -> Result<Self, MessageError> {
        Self::parse(bytes)
    }
}
