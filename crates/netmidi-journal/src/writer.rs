//! A journal that is put together.

use netmidi_message::BufferTooSmall;
use netmidi_wire::SeqNum;

use crate::channel::ChannelJournal;
use crate::error::EncodeError;
use crate::header::Header;
use crate::system::SystemJournal;

/// Writes a journal into a buffer, element by element.
///
/// The header follows what is put in: S is 1 as long as it is in all elements, so also in an empty
/// journal, and H is set by the first channel that has it.
///
/// ```
/// # use netmidi_journal::{EncodeError, JournalWriter};
/// # use netmidi_wire::SeqNum;
/// let mut out = [0; 16];
/// let len = JournalWriter::new(&mut out, SeqNum(4))?.finish();
/// assert_eq!(out[..len], [0x80, 0, 4]); // nothing to tell
/// # Ok::<(), EncodeError>(())
/// ```
#[derive(Debug)]
pub struct JournalWriter<'b> {
    out: &'b mut [u8],
    header: Header,
    /// The channel that was written last.
    last: Option<u8>,
    len: usize,
}

impl<'b> JournalWriter<'b> {
    /// Octets of the header, which is all of an empty journal.
    pub const HEADER_LEN: usize = Header::LEN;

    /// Begins a journal that covers what was sent since `checkpoint`.
    ///
    /// # Errors
    /// When `out` does not hold the header, 3 octets.
    pub const fn new(out: &'b mut [u8], checkpoint: SeqNum) -> Result<Self, BufferTooSmall> {
        if out.len() < Header::LEN {
            return Err(BufferTooSmall {
                needed: Header::LEN,
                available: out.len(),
            });
        }
        Ok(Self {
            out,
            header: Header {
                s: true,
                has_system: false,
                enhanced: false,
                channels: 0,
                checkpoint,
            },
            last: None,
            len: Header::LEN,
        })
    }

    /// The same with S=0, whatever it holds: that is never wrong, and costs the receiver a look at
    /// all of it.
    #[must_use]
    pub const fn without_s(mut self) -> Self {
        self.header.s = false;
        self
    }

    /// The same with H set, whatever it holds: in a stream that uses enhanced chapters C it is set
    /// in every packet.
    #[must_use]
    pub const fn with_enhanced(mut self) -> Self {
        self.header.enhanced = true;
        self
    }

    /// Adds the system journal, before any channel.
    ///
    /// # Errors
    /// When it does not fit into the buffer or into its own length field, or something was written
    /// already. The journal is then as it was before.
    pub fn system(&mut self, system: &SystemJournal<'_>) -> Result<(), EncodeError> {
        if self.header.has_system || self.last.is_some() {
            return Err(EncodeError::Order);
        }
        self.len += system.encode(self.free())?;
        self.header.has_system = true;
        self.header.s &= system.effective_s();
        Ok(())
    }

    /// Adds the journal of a channel above the last one.
    ///
    /// # Errors
    /// When it does not fit into the buffer or into its own length field, or the channel is not
    /// above the last one. The journal is then as it was before.
    pub fn channel(&mut self, channel: &ChannelJournal<'_>) -> Result<(), EncodeError> {
        let index = channel.channel.index();
        if self.last.is_some_and(|last| last >= index) {
            return Err(EncodeError::Order);
        }
        self.len += channel.encode(self.free())?;
        self.last = Some(index);
        self.header.channels += 1;
        self.header.enhanced |= channel.enhanced;
        self.header.s &= channel.effective_s();
        Ok(())
    }

    /// How many octets were written, the header included.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always a header")]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// How many octets are left.
    #[must_use]
    pub const fn room(&self) -> usize {
        self.out.len() - self.len
    }

    /// Writes the header and returns the length of the journal.
    #[must_use]
    pub fn finish(self) -> usize {
        if let Some(to) = self.out.first_chunk_mut() {
            *to = self.header.to_octets();
        }
        self.len
    }

    fn free(&mut self) -> &mut [u8] {
        self.out.get_mut(self.len..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use netmidi_message::{Channel, U7};

    use super::*;
    use crate::channel::Pressure;

    fn channel(channel: Channel, s: bool) -> ChannelJournal<'static> {
        let mut journal = ChannelJournal::new(channel);
        let pressure = U7::MAX;
        journal.pressure = Some(Pressure { s, pressure });
        journal
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        let mut out = [0; 8];
        let mut writer = JournalWriter::new(&mut out, SeqNum(258)).unwrap();
        writer.channel(&channel(Channel::C2, true)).unwrap();
        assert_eq!((writer.len(), writer.room()), (7, 1));
        assert_eq!(
            writer.channel(&channel(Channel::C3, false)),
            Err(EncodeError::BufferTooSmall(BufferTooSmall {
                needed: 4,
                available: 1
            }))
        );
        assert_eq!(writer.finish(), 7);
        assert_eq!(out[..7], [0xA0, 1, 2, 0x88, 4, 0x02, 0xFF]);
    }

    #[test]
    fn the_order_is_kept() {
        let mut out = [0; 64];
        let mut writer = JournalWriter::new(&mut out, SeqNum(0)).unwrap();
        writer.channel(&channel(Channel::C2, true)).unwrap();
        for wrong in [Channel::C1, Channel::C2] {
            let result = writer.channel(&channel(wrong, true));
            assert_eq!(result, Err(EncodeError::Order));
        }
        assert_eq!(
            writer.system(&SystemJournal::new()),
            Err(EncodeError::Order)
        );
        writer.channel(&channel(Channel::C16, false)).unwrap();
        assert_eq!(writer.finish(), 11);
        assert_eq!(out[0], 0x21);
    }

    #[test]
    fn flags_can_be_forced() {
        let mut out = [0; 3];
        let writer = JournalWriter::new(&mut out, SeqNum(0)).unwrap();
        assert_eq!(writer.without_s().with_enhanced().finish(), 3);
        assert_eq!(out[0], 0x10);
        assert!(JournalWriter::new(&mut out[..2], SeqNum(0)).is_err());
    }
}
