//! Messages that outlive the buffer they were read from.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::channel::ChannelMessage;
use crate::message::Message;
use crate::sysex::{SysEx, Undefined, UndefinedStatus, is_data};
use crate::system::{RealTime, SystemCommon};

/// One complete MIDI 1.0 message that owns its data.
///
/// Only system exclusive and undefined messages with data allocate.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum MessageBuf {
    /// Status 80 to EF.
    Channel(ChannelMessage),
    /// Status F1, F2, F3, F6.
    Common(SystemCommon),
    /// Status F8 to FF.
    RealTime(RealTime),
    /// F0 to F7.
    SysEx(SysExBuf),
    /// Status F4 and F5.
    Undefined(UndefinedBuf),
}

/// The data octets of a system exclusive message.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct SysExBuf(Box<[u8]>);

/// An undefined system common message, F4 or F5, with its data octets.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct UndefinedBuf {
    status: UndefinedStatus,
    data: Box<[u8]>,
}

impl SysExBuf {
    /// A message with these data octets, or `None` when one of them is above 0x7F.
    #[must_use]
    pub fn new(data: impl Into<Box<[u8]>>) -> Option<Self> {
        let data = data.into();
        is_data(&data).then_some(Self(data))
    }

    /// For callers in this crate that have looked at every octet already.
    pub(crate) fn from_checked(data: Vec<u8>) -> Self {
        Self(data.into_boxed_slice())
    }

    /// The message, borrowed.
    #[must_use]
    pub fn as_sysex(&self) -> SysEx<'_> {
        SysEx::from_checked(&self.0)
    }

    /// The data octets between F0 and F7.
    #[must_use]
    pub fn into_data(self) -> Vec<u8> {
        self.0.into_vec()
    }
}

impl UndefinedBuf {
    /// A message with these data octets, or `None` when one of them is above 0x7F.
    #[must_use]
    pub fn new(status: UndefinedStatus, data: impl Into<Box<[u8]>>) -> Option<Self> {
        let data = data.into();
        is_data(&data).then_some(Self { status, data })
    }

    /// For callers in this crate that have looked at every octet already.
    pub(crate) fn from_checked(status: UndefinedStatus, data: Vec<u8>) -> Self {
        let data = data.into_boxed_slice();
        Self { status, data }
    }

    /// The message, borrowed.
    #[must_use]
    pub fn as_undefined(&self) -> Undefined<'_> {
        Undefined::from_checked(self.status, &self.data)
    }
}

impl MessageBuf {
    /// The message, borrowed.
    #[must_use]
    #[inline]
    pub fn as_message(&self) -> Message<'_> {
        match self {
            Self::Channel(message) => Message::Channel(*message),
            Self::Common(message) => Message::Common(*message),
            Self::RealTime(message) => Message::RealTime(*message),
            Self::SysEx(message) => Message::SysEx(message.as_sysex()),
            Self::Undefined(message) => Message::Undefined(message.as_undefined()),
        }
    }

    /// The message as octets, always with its status octet.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        self.as_message().to_vec()
    }
}

impl Message<'_> {
    /// A copy that owns its data.
    #[must_use]
    #[inline]
    pub fn to_buf(&self) -> MessageBuf {
        match self {
            Self::Channel(message) => MessageBuf::Channel(*message),
            Self::Common(message) => MessageBuf::Common(*message),
            Self::RealTime(message) => MessageBuf::RealTime(*message),
            Self::SysEx(message) => MessageBuf::SysEx(SysExBuf(message.data().into())),
            Self::Undefined(message) => MessageBuf::Undefined(UndefinedBuf {
                status: message.status(),
                data: message.data().into(),
            }),
        }
    }
}

impl From<Message<'_>> for MessageBuf {
    fn from(message: Message<'_>) -> Self {
        message.to_buf()
    }
}

impl<'a> From<&'a MessageBuf> for Message<'a> {
    fn from(message: &'a MessageBuf) -> Self {
        message.as_message()
    }
}

impl From<ChannelMessage> for MessageBuf {
    fn from(message: ChannelMessage) -> Self {
        Self::Channel(message)
    }
}

impl From<SystemCommon> for MessageBuf {
    fn from(message: SystemCommon) -> Self {
        Self::Common(message)
    }
}

impl From<RealTime> for MessageBuf {
    fn from(message: RealTime) -> Self {
        Self::RealTime(message)
    }
}

impl From<SysExBuf> for MessageBuf {
    fn from(message: SysExBuf) -> Self {
        Self::SysEx(message)
    }
}

impl From<UndefinedBuf> for MessageBuf {
    fn from(message: UndefinedBuf) -> Self {
        Self::Undefined(message)
    }
}

impl PartialEq<Message<'_>> for MessageBuf {
    fn eq(&self, other: &Message<'_>) -> bool {
        self.as_message() == *other
    }
}
