//! MIDI 1.0 messages: typed, lossless, parsed and written without an allocator.
//!
//! The bottom of the netmidi workspace: it uses no other of its crates and knows no network.
//!
//! ```
//! use netmidi_message::{Channel, ChannelMessage, Message, Note, U7};
//!
//! let message = Message::parse(&[0x90, 60, 100])?;
//! let velocity = U7::new(100).ok_or("a velocity is at most 127")?;
//! assert_eq!(message, ChannelMessage::note_on(Channel::C1, Note::MIDDLE_C, velocity).into());
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::std_instead_of_alloc, clippy::std_instead_of_core)]

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
