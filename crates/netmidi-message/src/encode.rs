//! Messages back to octets, with or without running status.

use crate::channel::ChannelStatus;
use crate::error::BufferTooSmall;
use crate::message::Message;

/// Whether a channel message may leave out its status octet when it is the same as before, in a
/// stream or in the list of a packet.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum RunningStatus {
    /// Every message has its status octet. mido's socket ports cannot read a stream without, nor
    /// LeovR/rtp-midi a packet.
    #[default]
    Off,
    /// A repeated status is left out, as MIDI 1.0 allows.
    On,
}

/// Writes messages one after another to one stream.
///
/// System common and exclusive messages cancel the running status, real-time messages do not. A
/// receiver that joins late cannot read a stream with running status before its next status octet.
///
/// ```
/// use netmidi_message::{Encoder, Message, RunningStatus};
///
/// let mut encoder = Encoder::new().running_status(RunningStatus::On);
/// let mut out = [0; 8];
/// let mut len = 0;
/// for note in [[0x90, 60, 100], [0x90, 64, 100]] {
///     len += encoder.encode(&Message::parse(&note)?, &mut out[len..])?;
/// }
/// assert_eq!(out[..len], [0x90, 60, 100, 64, 100]);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Encoder {
    running_status: RunningStatus,
    running: Option<ChannelStatus>,
}

impl Encoder {
    /// An encoder that writes every status octet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            running_status: RunningStatus::Off,
            running: None,
        }
    }

    /// Leaves status octets out, or does not.
    #[must_use]
    pub const fn running_status(mut self, running_status: RunningStatus) -> Self {
        self.running_status = running_status;
        self
    }

    /// How many octets [`encode`](Self::encode) would write now.
    #[must_use]
    pub fn encoded_len(&self, message: &Message<'_>) -> usize {
        message.encoded_len() - usize::from(self.repeats_status(message))
    }

    /// Writes the message to the beginning of `out` and returns how many octets that were.
    ///
    /// # Errors
    /// When `out` is shorter than [`encoded_len`](Self::encoded_len); nothing is written then, and
    /// the running status is what it was.
    pub fn encode(
        &mut self,
        message: &Message<'_>,
        out: &mut [u8],
    ) -> Result<usize, BufferTooSmall> {
        let len = match message {
            Message::Channel(channel) if self.repeats_status(message) => {
                let [_, data @ ..] = channel.to_octets();
                let needed = channel.encoded_len() - 1;
                let available = out.len();
                let Some(out) = out.get_mut(..needed) else {
                    return Err(BufferTooSmall { needed, available });
                };
                for (to, from) in out.iter_mut().zip(data) {
                    *to = from;
                }
                needed
            }
            _ => message.encode(out)?,
        };
        self.observe(message);
        Ok(len)
    }

    /// Appends the message to `out`.
    #[cfg(feature = "alloc")]
    pub fn encode_to(&mut self, message: &Message<'_>, out: &mut alloc::vec::Vec<u8>) {
        match message {
            Message::Channel(channel) if self.repeats_status(message) => {
                let octets = channel.to_octets();
                out.extend(octets.into_iter().take(channel.encoded_len()).skip(1));
            }
            _ => message.encode_to(out),
        }
        self.observe(message);
    }

    /// Forgets the running status: for a new stream, or to let a receiver in.
    pub fn reset(&mut self) {
        self.running = None;
    }

    fn repeats_status(&self, message: &Message<'_>) -> bool {
        match message {
            Message::Channel(channel) => {
                self.running_status == RunningStatus::On && self.running == Some(channel.status())
            }
            _ => false,
        }
    }

    fn observe(&mut self, message: &Message<'_>) {
        match message {
            Message::Channel(channel) => self.running = Some(channel.status()),
            Message::RealTime(_) => {}
            Message::Common(_) | Message::SysEx(_) | Message::Undefined(_) => self.running = None,
        }
    }
}
