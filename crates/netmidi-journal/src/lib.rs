//! Reads and writes the recovery journal of RTP-MIDI, and repairs what packet loss broke.
//!
//! Uses `netmidi-message`, and of `netmidi-wire` numbers, command sections and segments of system
//! exclusive messages; knows no sockets, peers or clocks.
//!
//! ```
//! # #[cfg(feature = "alloc")] {
//! use netmidi_journal::{Arrival, Form, Journal, Recorder, RecorderConfig};
//! use netmidi_journal::{Repairer, RepairerConfig};
//! # use netmidi_message::{Channel, ChannelMessage, Message, Note, U7};
//! # use netmidi_wire::{CommandSection, RtpTimestamp, SeqNum};
//!
//! let note_on = Message::from(ChannelMessage::note_on(Channel::C1, Note::MIDDLE_C, U7::MAX));
//! let now = RtpTimestamp(1_000);
//! let mut out = [0; 64];
//!
//! let mut sent = Recorder::new(RecorderConfig::default(), SeqNum(7));
//! sent.write(now, Form::Full, &mut out);
//! sent.record(now, note_on);
//! sent.end_packet();                                  // packet 7 is lost
//! let written = sent.write(now, Form::Full, &mut out).ok_or("no room")?;
//! sent.end_packet();                                  // packet 8 carries the past
//!
//! let mut received = Repairer::new(RepairerConfig::default());
//! received.begin(SeqNum(6), now, Arrival::First);
//! received.begin(SeqNum(8), now, Arrival::Gap);
//! let journal = Journal::salvage(&out[..written.len])?;
//! let list = CommandSection::parse(&[0], now)?;       // packet 8 has no commands
//! let mut repairs = Vec::new();
//! received.repair(Some(&journal), &list, &mut |message| repairs.push(message.to_buf()));
//! assert_eq!(repairs, [note_on.to_buf()]);
//!
//! assert!(sent.acknowledge(SeqNum(8)) && sent.is_settled());
//! # }
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! A [`Recorder`] holds what one receiver may not know: one entry for each note, controller and so
//! on that was sent and not acknowledged. A [`Repairer`] holds what one sender's stream has done so
//! far against the journals after losses, and hands out the messages that put right what was lost.
//!
//! Underneath are the elements of journals, which need no allocator:
//!
//! ```
//! use netmidi_journal::{ChannelJournal, Journal, JournalWriter, Logs, NoteLog, Notes, OffBits};
//! use netmidi_message::{Channel, Note, U7};
//! use netmidi_wire::SeqNum;
//!
//! // Packet 1 held a note-on and was lost. Packet 2 says so.
//! let logs = [NoteLog { s: false, note: Note::MIDDLE_C, play: true, velocity: U7::MAX }];
//! let logs = Logs::new(&logs).ok_or("at most 128")?;
//! let mut channel = ChannelJournal::new(Channel::C1);
//! channel.notes = Notes::new(true, logs, OffBits::EMPTY);
//!
//! let mut out = [0; 64];
//! let mut writer = JournalWriter::new(&mut out, SeqNum(1))?;
//! writer.channel(&channel)?;
//! let len = writer.finish();
//! assert_eq!(out[..len], [0x20, 0, 1, 0, 7, 0x08, 0x81, 0xF0, 60, 0xFF]);
//!
//! let journal = Journal::parse(&out[..len])?;
//! assert_eq!(journal.checkpoint(), SeqNum(1));
//! let channel = journal.channels().next().ok_or("one channel")?;
//! let notes = channel.notes.ok_or("chapter N")?;
//! assert!(notes.logs().iter().any(|log| log.note == Note::MIDDLE_C));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! [`Journal::parse`] checks all of a journal; what it accepts is then plain: accessors and
//! iterators return values, not results. [`Journal::salvage`] takes out of a damaged journal the
//! elements that are whole and certainly where they seem to be. The same types are read and
//! written: a list of logs is borrowed from the octets of a journal or from a slice of the caller's
//! ([`Logs`]).
//!
//! The S bit of an element is 0 if it codes a command of the packet just before this one. Whoever
//! writes sets it where a command is coded; what encloses that follows (RFC 6295 §4.1). Written are
//! the forms that senders should use, reserved bits are 0; read are all forms.
//!
//! It leaves out when packets and feedback go out, and what a peer can take: that is for a session
//! (`netmidi-session`). The recorder writes no optional content for a receiver that joins a stream
//! late (RFC 6295 §4), no time tools of chapter Q, and merges no types of system exclusive
//! messages in chapter X (§B.5); all of these are read. `docs/journal.md` in the repository says
//! what is protected, how, and within which bounds.
//!
//! Follows RFC 6295 §4, §5 and Appendices A and B, and RFC 4696.
//!
//! Features: `alloc` (by default) adds [`Recorder`], [`Repairer`] and what returns a `Vec`, and costs
//! an allocator; `std` (by default) implies it and costs the standard library. Without them
//! neither is needed, and nothing that is accepted or written changes.

#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::std_instead_of_alloc, clippy::std_instead_of_core)]

#[cfg(feature = "alloc")]
extern crate alloc;

mod channel;
mod encode;
mod error;
mod header;
mod journal;
mod logs;
mod parse;
#[cfg(feature = "alloc")]
mod recent;
#[cfg(feature = "alloc")]
mod recorder;
#[cfg(feature = "alloc")]
mod repairer;
mod system;
mod value;
mod writer;

pub use channel::{
    Bank, ButtonCount, ChannelJournal, ControlLog, ControlTool, Controls, Entry, Extra, ExtraLog,
    Extras, NoteLog, Notes, OffBits, ParameterFlags, ParameterLog, ParameterLogIter, ParameterLogs,
    Parameters, Pending, PolyPressure, PolyPressureLog, Pressure, Program, Wheel,
};
pub use error::{Chapter, EncodeError, JournalError};
pub use journal::{Channels, Journal, Salvaged};
pub use logs::{Log, LogIter, Logs};
#[cfg(feature = "alloc")]
pub use recorder::{Form, Recorder, RecorderConfig, Written};
#[cfg(feature = "alloc")]
pub use repairer::{Arrival, Joined, Repair, Repairer, RepairerConfig, Restored, Snapshot};
pub use system::{
    ActiveSense, Complete, CountLog, DataSize, LogData, RealTimeLog, Sequencer, Simple, SongLog,
    SysExLog, SysExLogIter, SysExLogs, SysExStatus, SystemJournal, Timecode, UndefinedLog,
};
pub use value::{Alt, FirstIndex, TimeTools};
pub use writer::JournalWriter;
