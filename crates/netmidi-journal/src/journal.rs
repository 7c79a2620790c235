//! A journal as it was received.

use core::iter::FusedIterator;

use netmidi_message::Channel;
use netmidi_wire::SeqNum;

use crate::channel::ChannelJournal;
use crate::error::JournalError;
use crate::header::Header;
use crate::parse::Fault;
use crate::system::SystemJournal;

/// The recovery journal of a packet: what the recent packets held, up to the one just before
/// (RFC 6295 §5).
///
/// ```text
/// +--------+----------------+--------------------+--
/// | header | system journal | channel journals …
/// +--------+----------------+--------------------+--
///  3 octets      if Y          TOTCHAN + 1 if A
/// ```
///
/// All of it is checked by [`parse`](Self::parse).
#[derive(Clone, Copy, Debug)]
pub struct Journal<'a> {
    header: Header,
    /// Whole.
    system: Option<&'a [u8]>,
    /// Where the channel journals begin.
    channels: &'a [u8],
    /// How many of them to look at.
    visit: u8,
    surplus: &'a [u8],
}

/// What can be had from a journal that is perhaps damaged.
#[derive(Clone, Copy, Debug)]
pub struct Salvaged<'a> {
    /// The elements that are whole.
    pub journal: Journal<'a>,
    /// What is wrong first, if anything is: then the journal does not cover all that it should.
    pub damage: Option<JournalError>,
}

/// Goes through the channel journals of a [`Journal`].
#[derive(Clone, Debug)]
pub struct Channels<'a> {
    rest: &'a [u8],
    previous: Option<Channel>,
    left: u8,
}

impl<'a> Journal<'a> {
    /// Reads a journal, which goes up to the end of the packet.
    ///
    /// # Errors
    /// When anything in it is not what RFC 6295 §5 says, and no octet of it should be trusted.
    /// [`salvage`](Self::salvage) gives what is whole all the same.
    pub fn parse(octets: &'a [u8]) -> Result<Self, JournalError> {
        match Self::salvage(octets)? {
            Salvaged {
                damage: Some(error),
                ..
            } => Err(error),
            Salvaged { journal, .. } => Ok(journal),
        }
    }

    /// Reads what is whole of a journal that is perhaps damaged.
    ///
    /// An element, the system journal or a channel journal, is whole or it is not shown. What
    /// stands in front of the first damage is shown. What stands behind it is shown only if nothing
    /// is wrong but the chapters of some elements: if the LENGTH of every element leads to the next
    /// one and the last to the end of the journal, the damage is inside. Otherwise a LENGTH may be
    /// wrong, and what seems to be an element may not be one. For the same reason nothing is then
    /// shown behind an element that has a [surplus](ChannelJournal::surplus).
    ///
    /// # Errors
    /// When the header is cut: then there is nothing to be had.
    pub fn salvage(octets: &'a [u8]) -> Result<Salvaged<'a>, JournalError> {
        let end = octets.len();
        let (rest, header) = Header::read(octets).map_err(|fault| Fault::into_error(fault, end))?;
        let mut journal = Self {
            header,
            system: None,
            channels: rest,
            visit: 0,
            surplus: &[],
        };
        let mut damage = None;
        match journal.read_elements(rest) {
            Ok(surplus) => journal.surplus = surplus,
            Err(fault) => damage = Some(Fault::into_error(fault, end)),
        }
        Ok(Salvaged { journal, damage })
    }

    /// Whether nothing in it codes a command of the packet just before (S).
    #[must_use]
    pub const fn s(&self) -> bool {
        self.header.s
    }

    /// Whether the stream uses enhanced chapters C (H).
    #[must_use]
    pub const fn enhanced(&self) -> bool {
        self.header.enhanced
    }

    /// The number of the oldest packet that the journal covers.
    #[must_use]
    pub const fn checkpoint(&self) -> SeqNum {
        self.header.checkpoint
    }

    /// Whether it says that there is nothing to repair: it has neither system nor channel journals.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        !self.header.has_system && self.header.channels == 0
    }

    /// Whether a system journal is announced (Y).
    #[must_use]
    pub const fn has_system(&self) -> bool {
        self.header.has_system
    }

    /// How many channel journals are announced, 0 to 16.
    #[must_use]
    pub const fn channel_count(&self) -> u8 {
        self.header.channels
    }

    /// The system journal.
    #[must_use]
    pub fn system(&self) -> Option<SystemJournal<'a>> {
        // It has been read before without a fault.
        SystemJournal::read(self.system?).ok()
    }

    /// The channel journals, ascending by channel.
    #[must_use]
    pub const fn channels(&self) -> Channels<'a> {
        Channels {
            rest: self.channels,
            previous: None,
            left: self.visit,
        }
    }

    /// The journal of one channel.
    #[must_use]
    pub fn channel(&self, channel: Channel) -> Option<ChannelJournal<'a>> {
        self.channels().find(|it| it.channel == channel)
    }

    /// The octets behind the last element: nobody knows what they are, and there should be none.
    #[must_use]
    pub const fn surplus(&self) -> &'a [u8] {
        self.surplus
    }

    /// Goes through the elements, notes which can be shown, and returns what follows them; or the
    /// first fault.
    fn read_elements(&mut self, elements: &'a [u8]) -> Result<&'a [u8], nom::Err<Fault>> {
        let mut first_fault = None;
        // Whether LENGTH was more than the chapters need, somewhere up to here.
        let mut doubtful = false;
        // How many channel journals stand in front of any damage or doubt.
        let mut safe = 0;

        let mut rest = elements;
        if self.header.has_system {
            let (after, body) = SystemJournal::extent(rest)?;
            match SystemJournal::read(body) {
                Ok(system) => {
                    self.system = Some(body);
                    doubtful = !system.surplus().is_empty();
                }
                Err(fault) => first_fault = Some(behind(fault, after)),
            }
            rest = after;
        }
        self.channels = rest;

        let mut previous = None;
        for index in 1..=self.header.channels {
            let (after, (channel, body)) = match ChannelJournal::extent(rest, previous) {
                Ok(extent) => extent,
                Err(fault) => {
                    self.visit = safe;
                    return Err(first_fault.unwrap_or(fault));
                }
            };
            match ChannelJournal::read(body) {
                Ok(journal) => {
                    if first_fault.is_none() && !doubtful {
                        safe = index;
                    }
                    doubtful |= !journal.surplus().is_empty();
                }
                Err(fault) => {
                    first_fault = first_fault.or_else(|| Some(behind(fault, after)));
                }
            }
            previous = Some(channel);
            rest = after;
        }
        // Every LENGTH has led to the next element. With a fault inside one of them, the last must
        // lead to the end as well before that is believed.
        match first_fault {
            None => self.visit = self.header.channels,
            Some(_) if rest.is_empty() => self.visit = self.header.channels,
            Some(_) => self.visit = safe,
        }
        first_fault.map_or(Ok(rest), Err)
    }
}

/// A fault of an element that is followed by `after`.
fn behind(fault: nom::Err<Fault>, after: &[u8]) -> nom::Err<Fault> {
    fault.map(|fault| fault.behind(after.len()))
}

impl<'a> IntoIterator for &Journal<'a> {
    type Item = ChannelJournal<'a>;
    type IntoIter = Channels<'a>;

    fn into_iter(self) -> Channels<'a> {
        self.channels()
    }
}

impl<'a> Iterator for Channels<'a> {
    type Item = ChannelJournal<'a>;

    fn next(&mut self) -> Option<ChannelJournal<'a>> {
        while let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            let (rest, (channel, body)) = ChannelJournal::extent(self.rest, self.previous).ok()?;
            self.rest = rest;
            self.previous = Some(channel);
            // Only a salvaged journal has some that are stepped over.
            if let Ok(journal) = ChannelJournal::read(body) {
                return Some(journal);
            }
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left.into()))
    }
}

impl FusedIterator for Channels<'_> {}
