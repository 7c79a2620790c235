//! What is wrong with a packet.

use netmidi_journal::JournalError;
use netmidi_wire::ParseError;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::packet::Reading;

/// The first thing that is wrong with a packet, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Problem {
    pub(crate) kind: Kind,
    /// In octets from the start of the payload of UDP.
    pub(crate) offset: usize,
}

/// What is wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// In front of the journal.
    Packet(ParseError),
    Journal(JournalError),
}

impl Problem {
    pub(crate) fn of(reading: &Reading<'_>) -> Option<Self> {
        match reading {
            Reading::AppleMidi(Ok(_)) => None,
            Reading::AppleMidi(Err(error)) | Reading::Rtp(Err(error)) => Some(Self::packet(*error)),
            Reading::Rtp(Ok(rtp)) => match (&rtp.section, &rtp.journal) {
                (Err(error), _) => Some(Self::packet(*error)),
                (Ok(_), Some(Err(error))) => Some(Self::journal(*error, rtp.journal_at)),
                (Ok(_), Some(Ok(salvaged))) => {
                    let damage = salvaged.damage?;
                    Some(Self::journal(damage, rtp.journal_at))
                }
                (Ok(section), None) => section.anomaly().map(Self::packet),
            },
        }
    }

    const fn packet(error: ParseError) -> Self {
        Self {
            offset: error.offset(),
            kind: Kind::Packet(error),
        }
    }

    const fn journal(error: JournalError, start: usize) -> Self {
        Self {
            offset: start + error.offset(),
            kind: Kind::Journal(error),
        }
    }

    /// The layer that it is in: `rtp`, `midi`, `journal` or `applemidi`.
    pub(crate) const fn layer(&self) -> &'static str {
        match self.kind {
            Kind::Packet(error) => error.layer().code(),
            Kind::Journal(_) => "journal",
        }
    }

    /// One short word.
    pub(crate) const fn code(&self) -> &'static str {
        match self.kind {
            Kind::Packet(error) => error.code(),
            Kind::Journal(error) => error.code(),
        }
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("layer", self.layer())?;
        map.serialize_entry("code", self.code())?;
        map.serialize_entry("offset", &self.offset)?;
        map.end()
    }
}
