//! What is in a datagram of RTP-MIDI and of Apple's session protocol: read and written in place,
//! without an allocator.
//!
//! Uses `netmidi-message`; knows no sockets, peers or time. The journal that a packet may carry
//! is handed on as octets, unread.
//!
//! ```
//! use netmidi_message::{Channel, ChannelMessage, Message, Note, U7};
//! use netmidi_wire::{
//!     Command, Datagram, PacketBudget, PacketWriter, Pushed, RtpHeader, RtpTimestamp, SeqNum, Ssrc,
//! };
//!
//! let note_on = Message::from(ChannelMessage::note_on(Channel::C1, Note::MIDDLE_C, U7::MAX));
//! let at = RtpTimestamp(1_000); // 100 µs each
//! let header = RtpHeader::midi(SeqNum(7), at, Ssrc(0x0bad_f00d));
//!
//! let mut out = [0; 1024];
//! let mut packet = PacketWriter::new(&mut out, PacketBudget::DEFAULT, &header)?;
//! assert_eq!(packet.push(at, note_on, 0), Pushed::Whole);
//! let len = packet.finish();
//! assert_eq!(out[12..len], [0x03, 0x90, 60, 127]);
//!
//! let Datagram::Rtp(packet) = Datagram::parse(&out[..len])? else { panic!("a session packet") };
//! assert_eq!(packet.header().seq, SeqNum(7));
//! let section = packet.command_section()?;
//! let commands: Vec<_> = section.commands().map(|it| (it.timestamp, it.command)).collect();
//! assert_eq!(commands, [(at, Some(Command::Message(note_on)))]);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! Two steps lead to the commands, because a receiver looks at the sender in between:
//! [`Datagram::parse`] checks a session packet whole, and of an RTP packet the RTP layer;
//! [`RtpPacket::command_section`] checks the list of commands, all of it. What was checked is then
//! plain: accessors and iterators return values, not results.
//!
//! Left out on purpose: numbers that are in order, senders that are known, clocks that agree,
//! segments of system exclusive messages put together again. That is `netmidi-session`.
//!
//! Follows RFC 6295 §2 and §3 (RTP-MIDI), RFC 3550 §5 (RTP), Apple's MIDI Network Driver Protocol,
//! and for what that leaves open, what peers were seen to send.
//!
//! Features: `alloc` (by default) adds what returns a `Vec` or `String`, and costs an allocator; `std`
//! (by default) implies it and costs the standard library. Without them neither is needed, and
//! nothing that is accepted or written changes.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

mod commands;
mod control;
mod datagram;
mod delta;
mod encode;
mod error;
mod parse;
mod rtp;
mod seq;
mod sysex_segment;
mod writer;

pub use commands::{Command, CommandSection, Commands, TimedCommand};
pub use control::{
    BitrateLimit, ClockCount, ClockSync, ClockTicks, Control, ControlCode, Exchange, ExchangeKind,
    Feedback, SessionName, Token,
};
pub use datagram::Datagram;
pub use delta::Delta;
pub use error::{Layer, ParseError};
pub use netmidi_message as message;
pub use netmidi_message::RunningStatus;
pub use rtp::{Csrc, Extension, PayloadType, RtpHeader, RtpPacket, RtpTimestamp, Ssrc};
pub use seq::SeqNum;
pub use sysex_segment::{SegmentKind, SysExSegment};
pub use writer::{PacketBudget, PacketWriter, Pushed};
