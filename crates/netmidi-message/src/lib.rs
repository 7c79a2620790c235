//! MIDI 1.0 messages: typed, lossless, parsed and written without an allocator.
//!
//! The bottom of the netmidi workspace: it uses no other of its crates and knows no network.
//!
//! One message in a slice of its own is read by [`Message::parse`], a list of messages by
//! [`Message::parse_prefix`], and a stream that comes in pieces by a [`StreamParser`]:
//!
//! ```
//! use netmidi_message::{Channel, ChannelMessage, Message, Note, StreamEvent, StreamParser, U7};
//!
//! let message = Message::parse(&[0x90, 60, 100])?;
//! let velocity = U7::new(100).ok_or("a velocity is at most 127")?;
//! assert_eq!(message, ChannelMessage::note_on(Channel::C1, Note::MIDDLE_C, velocity).into());
//!
//! let mut parser = StreamParser::new();
//! let mut lines = Vec::new();
//! for piece in [&[0x90, 60, 100, 62][..], &[0xF8, 90, 0xF0, 1], &[2, 0xF7, 7]] {
//!     parser.feed(piece, |event| match event {
//!         StreamEvent::Message(message) => lines.push(message.to_string()),
//!         StreamEvent::Discarded(discarded) => lines.push(discarded.to_string()),
//!     });
//! }
//! assert_eq!(lines, [
//!     "note_on channel=0 note=60 velocity=100",
//!     "clock",
//!     "note_on channel=0 note=62 velocity=90",
//!     "sysex data=(1,2)",
//!     "1 octet discarded from byte 10 on: data without a status",
//! ]);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! # What is here
//!
//! - [`Message`] borrows its data; [`MessageBuf`] owns it. Both are printed and read in the text
//!   form of mido.
//! - [`Encoder`] writes messages, with running status if asked to.
//! - [`ParameterScanner`] and [`Parameter`] are for fourteen-bit controllers, RPN and NRPN,
//!   [`TimeCodeAssembler`] and [`FullFrame`] for MIDI time code.
//! - [`all_notes_off`], [`reset_messages`], [`panic_messages`] and [`silence`] end sounds;
//!   [`Sounding`] knows which keys and pedals are down and what lets them go.
//!
//! Channels are counted from 0 on the wire, in text and in serialised data, and from 1 by people:
//! see [`Channel`].
//!
//! # What is left out
//!
//! MIDI 2.0 and Universal MIDI Packets, standard MIDI files, times (a message has none), and the
//! meaning of system exclusive messages except for the full frame of MIDI time code.
//!
//! # Documents it follows
//!
//! - *MIDI 1.0 Detailed Specification*, 4.2.1 (MIDI Manufacturers Association, 1996), with MIDI
//!   time code.
//! - RFC 6295 for what is undefined in MIDI 1.0 and still carried (§3.2, F4 F5 F9 FD).
//! - The parser, the text form and the message sets of mido 1.3.
//!
//! # Features
//!
//! - `alloc` (by default): [`MessageBuf`], [`HeapBuffer`], reading text, encoding into a `Vec`.
//!   Costs an allocator.
//! - `std` (by default): [`Message::write_to`]. Costs the standard library.
//! - `serde`: `Serialize` and `Deserialize` for values and messages, every number checked. Costs
//!   the dependency on serde, and implies `alloc`.
//!
//! Without features the crate needs neither: a [`StreamParser`] then keeps a system exclusive
//! message in an [`ArrayBuffer`]. No feature changes what is accepted.

#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::std_instead_of_alloc, clippy::std_instead_of_core)]
#![cfg_attr(
    not(feature = "std"),
    allow(
        rustdoc::broken_intra_doc_links,
        reason = "the text is about all features"
    )
)]

#[cfg(any(test, feature = "alloc"))]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod channel;
mod controls;
mod encode;
mod error;
mod message;
#[cfg(feature = "alloc")]
mod owned;
#[cfg(feature = "serde")]
mod serde_form;
mod sets;
mod sounding;
mod stream;
mod sysex;
mod system;
mod text;
mod timecode;
mod value;

pub use channel::{ChannelMessage, ChannelStatus};
pub use controls::{
    ControlEvent, Parameter, ParameterScanner, Precision, control_change_14, deselect,
};
pub use encode::{Encoder, RunningStatus};
pub use error::{BufferTooSmall, MessageError};
pub use message::Message;
#[cfg(feature = "alloc")]
pub use owned::{MessageBuf, SysExBuf, UndefinedBuf};
pub use sets::{all_notes_off, panic_messages, reset_messages, silence};
pub use sounding::Sounding;
pub use stream::{
    ArrayBuffer, DEFAULT_SYSEX_LIMIT, Dialect, DiscardReason, Discarded, StreamEvent, StreamParser,
    SysExBuffer,
};
#[cfg(feature = "alloc")]
pub use stream::{HeapBuffer, Messages, messages};
pub use sysex::{SysEx, Undefined, UndefinedStatus};
pub use system::{RealTime, SystemCommon};
#[cfg(feature = "alloc")]
pub use text::{LineError, LineProblem, LineReader, TextError};
pub use timecode::{AssembledTime, Direction, FrameRate, FullFrame, TimeCode, TimeCodeAssembler};
pub use value::{Bend, Channel, Controller, Note, NoteName, Octave, OutOfRange, U3, U4, U7, U14};
