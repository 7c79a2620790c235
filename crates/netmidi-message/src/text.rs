//! Messages as text, in the form that mido prints and reads.

#[cfg(feature = "alloc")]
use alloc::boxed::Box;
#[cfg(feature = "alloc")]
use alloc::vec::Vec;
use core::fmt;
#[cfg(feature = "alloc")]
use core::str::FromStr;

use crate::channel::ChannelMessage;
#[cfg(feature = "alloc")]
use crate::error::MessageError;
use crate::message::Message;
#[cfg(feature = "alloc")]
use crate::owned::{MessageBuf, SysExBuf, UndefinedBuf};
use crate::sysex::UndefinedStatus;
use crate::system::{RealTime, SystemCommon};
#[cfg(feature = "alloc")]
use crate::value::{Bend, Channel, Note, U3, U4, U7, U14};

/// The form of mido, without `time`: `note_on channel=0 note=60 velocity=64`,
/// `sysex data=(1,2,3)`. Channels are counted from 0.
///
/// What mido has no word for is called `undefined_f4 data=(1,2)`, `undefined_f5`, `undefined_f9`
/// and `undefined_fd`.
impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel(message) => fmt::Display::fmt(message, f),
            Self::Common(message) => fmt::Display::fmt(message, f),
            Self::RealTime(message) => fmt::Display::fmt(message, f),
            Self::SysEx(message) => write_data(f, "sysex", message.data()),
            Self::Undefined(message) => {
                let name = match message.status() {
                    UndefinedStatus::F4 => "undefined_f4",
                    UndefinedStatus::F5 => "undefined_f5",
                };
                write_data(f, name, message.data())
            }
        }
    }
}

fn write_data(f: &mut fmt::Formatter<'_>, name: &str, data: &[u8]) -> fmt::Result {
    write!(f, "{name} data=(")?;
    for (index, octet) in data.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(f, "{comma}{octet}")?;
    }
    f.write_str(")")
}

/// The form of mido; channels are counted from 0.
impl fmt::Display for ChannelMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channel = self.channel().index();
        match self {
            Self::NoteOff { note, velocity, .. } => {
                write!(
                    f,
                    "note_off channel={channel} note={note} velocity={velocity}"
                )
            }
            Self::NoteOn { note, velocity, .. } => {
                write!(
                    f,
                    "note_on channel={channel} note={note} velocity={velocity}"
                )
            }
            Self::PolyPressure { note, value, .. } => {
                write!(f, "polytouch channel={channel} note={note} value={value}")
            }
            Self::ControlChange { control, value, .. } => {
                write!(
                    f,
                    "control_change channel={channel} control={control} value={value}"
                )
            }
            Self::ProgramChange { program, .. } => {
                write!(f, "program_change channel={channel} program={program}")
            }
            Self::ChannelPressure { value, .. } => {
                write!(f, "aftertouch channel={channel} value={value}")
            }
            Self::PitchBend { bend, .. } => {
                write!(f, "pitchwheel channel={channel} pitch={}", bend.to_i16())
            }
        }
    }
}

/// The form of mido.
impl fmt::Display for SystemCommon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::QuarterFrame {
                frame_type,
                frame_value,
            } => write!(
                f,
                "quarter_frame frame_type={frame_type} frame_value={frame_value}"
            ),
            Self::SongPosition { pos } => write!(f, "songpos pos={pos}"),
            Self::SongSelect { song } => write!(f, "song_select song={song}"),
            Self::TuneRequest => f.write_str("tune_request"),
        }
    }
}

/// The form of mido.
impl fmt::Display for RealTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimingClock => "clock",
            Self::UndefinedF9 => "undefined_f9",
            Self::Start => "start",
            Self::Continue => "continue",
            Self::Stop => "stop",
            Self::UndefinedFd => "undefined_fd",
            Self::ActiveSensing => "active_sensing",
            Self::Reset => "reset",
        })
    }
}

/// The form of mido, see [`Message`].
#[cfg(feature = "alloc")]
impl fmt::Display for MessageBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_message(), f)
    }
}

/// Why text is not a message.
#[cfg(feature = "alloc")]
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// There is no word at all.
    #[error("there is no message")]
    Empty,
    /// The first word is no type of message.
    #[error("unknown message type {found:?}")]
    UnknownType {
        /// The word.
        found: Box<str>,
    },
    /// A word after the first has not the form `name=value`.
    #[error("{found:?} is not of the form name=value")]
    NotAnAttribute {
        /// The word.
        found: Box<str>,
    },
    /// A message of this type has no such attribute.
    #[error("{message_type} has no attribute {name:?}")]
    UnknownAttribute {
        /// The type of the message.
        message_type: Box<str>,
        /// The name of the attribute.
        name: Box<str>,
    },
    /// The same attribute twice.
    #[error("attribute {name:?} is given twice")]
    DuplicateAttribute {
        /// The name of the attribute.
        name: Box<str>,
    },
    /// A number was expected.
    #[error("{name}={found} where a number was expected")]
    NotANumber {
        /// The name of the attribute.
        name: &'static str,
        /// What stands after the `=`, or between two commas.
        found: Box<str>,
    },
    /// A number is too small or too large.
    #[error("{name}={found} is not in the range {min} to {max}")]
    OutOfRange {
        /// The name of the attribute.
        name: &'static str,
        /// The number.
        found: Box<str>,
        /// The smallest number allowed.
        min: i16,
        /// The largest number allowed.
        max: i16,
    },
    /// The list of `data` is not in parentheses.
    #[error("data={found} where a list in parentheses was expected")]
    NotAList {
        /// What stands after the `=`.
        found: Box<str>,
    },
}

#[cfg(feature = "alloc")]
impl TextError {
    /// One short word for counters and tables.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::UnknownType { .. } => "unknown-type",
            Self::NotAnAttribute { .. } => "not-an-attribute",
            Self::UnknownAttribute { .. } => "unknown-attribute",
            Self::DuplicateAttribute { .. } => "duplicate-attribute",
            Self::NotANumber { .. } => "not-a-number",
            Self::OutOfRange { .. } => "out-of-range",
            Self::NotAList { .. } => "not-a-list",
        }
    }
}

/// Reads the form that [`Message`] prints, and what mido prints.
///
/// Attributes may come in any order. One that is missing has the value that mido gives it: 64 for
/// `velocity`, an empty list for `data`, 0 for all others. `time` is accepted, has to be a number,
/// and is ignored.
///
/// ```
/// use netmidi_message::MessageBuf;
///
/// let message: MessageBuf = "note_on note=60 time=0.5".parse()?;
/// assert_eq!(message.to_vec(), [0x90, 60, 64]);
/// assert_eq!(message.to_string(), "note_on channel=0 note=60 velocity=64");
/// # Ok::<(), netmidi_message::TextError>(())
/// ```
#[cfg(feature = "alloc")]
impl FromStr for MessageBuf {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let text = text.trim();
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let build = builder(word)?;
        let mut attributes = Attributes::read(rest)?;
        let message = build(&mut attributes)?;
        attributes.finish(word)?;
        Ok(message)
    }
}

/// Puts a message together from its attributes.
#[cfg(feature = "alloc")]
type Builder = fn(&mut Attributes<'_>) -> Result<MessageBuf, TextError>;

#[cfg(feature = "alloc")]
fn builder(word: &str) -> Result<Builder, TextError> {
    Ok(match word {
        "note_off" => |a| {
            let (channel, note, velocity) = (a.channel()?, a.note()?, a.u7("velocity", 64)?);
            Ok(ChannelMessage::note_off(channel, note, velocity).into())
        },
        "note_on" => |a| {
            let (channel, note, velocity) = (a.channel()?, a.note()?, a.u7("velocity", 64)?);
            Ok(ChannelMessage::note_on(channel, note, velocity).into())
        },
        "polytouch" => |a| {
            let (channel, note, value) = (a.channel()?, a.note()?, a.u7("value", 0)?);
            Ok(ChannelMessage::PolyPressure {
                channel,
                note,
                value,
            }
            .into())
        },
        "control_change" => |a| {
            let (channel, control, value) =
                (a.channel()?, a.u7("control", 0)?.into(), a.u7("value", 0)?);
            Ok(ChannelMessage::control_change(channel, control, value).into())
        },
        "program_change" => |a| {
            let (channel, program) = (a.channel()?, a.u7("program", 0)?);
            Ok(ChannelMessage::ProgramChange { channel, program }.into())
        },
        "aftertouch" => |a| {
            let (channel, value) = (a.channel()?, a.u7("value", 0)?);
            Ok(ChannelMessage::ChannelPressure { channel, value }.into())
        },
        "pitchwheel" => |a| {
            let (channel, pitch) = (a.channel()?, a.number("pitch", 0, -8192, 8191)?);
            let bend = Bend::from_i16(pitch).unwrap_or_default();
            Ok(ChannelMessage::PitchBend { channel, bend }.into())
        },
        "sysex" => |a| Ok(SysExBuf::from_checked(a.data()?).into()),
        "quarter_frame" => |a| {
            Ok(SystemCommon::QuarterFrame {
                frame_type: U3::from_low_bits(a.octet("frame_type", 7)?),
                frame_value: U4::from_low_bits(a.octet("frame_value", 15)?),
            }
            .into())
        },
        "songpos" => |a| {
            let pos = a.number("pos", 0, 0, 16_383)?;
            let pos = U14::from_low_bits(pos.unsigned_abs());
            Ok(SystemCommon::SongPosition { pos }.into())
        },
        "song_select" => |a| {
            let song = a.u7("song", 0)?;
            Ok(SystemCommon::SongSelect { song }.into())
        },
        "tune_request" => |_| Ok(SystemCommon::TuneRequest.into()),
        "clock" => |_| Ok(RealTime::TimingClock.into()),
        "start" => |_| Ok(RealTime::Start.into()),
        "continue" => |_| Ok(RealTime::Continue.into()),
        "stop" => |_| Ok(RealTime::Stop.into()),
        "active_sensing" => |_| Ok(RealTime::ActiveSensing.into()),
        "reset" => |_| Ok(RealTime::Reset.into()),
        "undefined_f4" => |a| Ok(UndefinedBuf::from_checked(UndefinedStatus::F4, a.data()?).into()),
        "undefined_f5" => |a| Ok(UndefinedBuf::from_checked(UndefinedStatus::F5, a.data()?).into()),
        "undefined_f9" => |_| Ok(RealTime::UndefinedF9.into()),
        "undefined_fd" => |_| Ok(RealTime::UndefinedFd.into()),
        "" => return Err(TextError::Empty),
        _ => return Err(TextError::UnknownType { found: word.into() }),
    })
}

/// The most attributes that a message has: three of its own, and `time`.
#[cfg(feature = "alloc")]
const MAX_ATTRIBUTES: usize = 4;

/// What stands after the type. An attribute that was asked for is gone from the list.
#[cfg(feature = "alloc")]
struct Attributes<'a>(Vec<(&'a str, &'a str)>);

#[cfg(feature = "alloc")]
impl<'a> Attributes<'a> {
    fn read(text: &'a str) -> Result<Self, TextError> {
        let mut list: Vec<(&str, &str)> = Vec::new();
        let mut rest = text.trim();
        // With one more than any message has, one of them is unknown: `finish` refuses it.
        while !rest.is_empty() && list.len() <= MAX_ATTRIBUTES {
            let word = rest.split(char::is_whitespace).next().unwrap_or(rest);
            let (name, _) = word
                .split_once('=')
                .ok_or_else(|| TextError::NotAnAttribute { found: word.into() })?;
            if list.iter().any(|(other, _)| *other == name) {
                return Err(TextError::DuplicateAttribute { name: name.into() });
            }
            let after = rest.get(name.len() + 1..).unwrap_or_default();
            // Between parentheses white space does not end the value.
            let len = if after.starts_with('(') {
                after.find(')').map_or(after.len(), |end| end + 1)
            } else {
                after.find(char::is_whitespace).unwrap_or(after.len())
            };
            let (value, after) = after.split_at(len);
            list.push((name, value));
            if !after.is_empty() && !after.starts_with(char::is_whitespace) {
                let found = after.split(char::is_whitespace).next().unwrap_or(after);
                return Err(TextError::NotAnAttribute {
                    found: found.into(),
                });
            }
            rest = after.trim_start();
        }
        Ok(Self(list))
    }

    fn take(&mut self, name: &str) -> Option<&'a str> {
        let index = self.0.iter().position(|(other, _)| *other == name)?;
        Some(self.0.remove(index).1)
    }

    fn number(
        &mut self,
        name: &'static str,
        default: i16,
        min: i16,
        max: i16,
    ) -> Result<i16, TextError> {
        self.take(name)
            .map_or(Ok(default), |found| number(name, found, min, max))
    }

    fn octet(&mut self, name: &'static str, max: u8) -> Result<u8, TextError> {
        // In range, so the low octet is all there is.
        let [low, _] = self.number(name, 0, 0, max.into())?.to_le_bytes();
        Ok(low)
    }

    fn u7(&mut self, name: &'static str, default: u8) -> Result<U7, TextError> {
        let [low, _] = self.number(name, default.into(), 0, 127)?.to_le_bytes();
        Ok(U7::from_low_bits(low))
    }

    fn channel(&mut self) -> Result<Channel, TextError> {
        self.octet("channel", 15).map(Channel::from_status)
    }

    fn note(&mut self) -> Result<Note, TextError> {
        self.u7("note", 0).map(Note::from)
    }

    fn data(&mut self) -> Result<Vec<u8>, TextError> {
        let Some(found) = self.take("data") else {
            return Ok(Vec::new());
        };
        let list = found
            .strip_prefix('(')
            .and_then(|list| list.strip_suffix(')'))
            .ok_or_else(|| TextError::NotAList {
                found: found.into(),
            })?
            .trim();
        if list.is_empty() {
            return Ok(Vec::new());
        }
        // Python writes a list of one as `(1,)`.
        list.strip_suffix(',')
            .unwrap_or(list)
            .split(',')
            .map(|found| {
                let [low, _] = number("data", found.trim(), 0, 127)?.to_le_bytes();
                Ok(low)
            })
            .collect()
    }

    /// Refuses what nobody has asked for.
    fn finish(mut self, message_type: &str) -> Result<(), TextError> {
        if let Some(found) = self.take("time")
            && found.parse::<f64>().is_err()
        {
            return Err(TextError::NotANumber {
                name: "time",
                found: found.into(),
            });
        }
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(TextError::UnknownAttribute {
                message_type: message_type.into(),
                name: (*name).into(),
            }),
        }
    }
}

#[cfg(feature = "alloc")]
fn number(name: &'static str, found: &str, min: i16, max: i16) -> Result<i16, TextError> {
    let digits = found.strip_prefix(['-', '+']).unwrap_or(found);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(TextError::NotANumber {
            name,
            found: found.into(),
        });
    }
    match found.parse() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(TextError::OutOfRange {
            name,
            found: found.into(),
            min,
            max,
        }),
    }
}

/// Reads messages line by line: in the form that [`Message`] prints, or as hexadecimal octets
/// (`90 3c 64` or `903c64`). Empty lines, and everything after a `#`, are passed over.
///
/// ```
/// use netmidi_message::LineReader;
///
/// let mut reader = LineReader::new();
/// let text = "# a note\n\nnote_on note=60\n80 3c 40\n";
/// let messages: Result<Vec<_>, _> =
///     text.lines().filter_map(|line| reader.read(line).transpose()).collect();
/// assert_eq!(messages?.len(), 2);
/// assert_eq!(reader.read("note_on key=60").map_err(|error| error.line), Err(5));
/// # Ok::<(), netmidi_message::LineError>(())
/// ```
#[cfg(feature = "alloc")]
#[derive(Clone, Debug, Default)]
pub struct LineReader {
    lines: u64,
}

/// Why a line is not a message.
#[cfg(feature = "alloc")]
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct LineError {
    /// Which line, counted from 1.
    pub line: u64,
    /// What is wrong with it.
    pub problem: LineProblem,
}

/// What is wrong with a line.
#[cfg(feature = "alloc")]
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LineProblem {
    /// It is not a message in words.
    #[error(transparent)]
    Text(#[from] TextError),
    /// Its octets are not one message.
    #[error(transparent)]
    Octets(#[from] MessageError),
    /// It has an odd number of hexadecimal digits.
    #[error("the last octet has one digit only")]
    HalfOctet,
}

#[cfg(feature = "alloc")]
impl LineReader {
    /// A reader for the first line of a text.
    #[must_use]
    pub const fn new() -> Self {
        Self { lines: 0 }
    }

    /// Reads the next line; `None` if there is no message in it.
    ///
    /// # Errors
    /// When the line is neither empty nor one whole message. The reader can go on.
    pub fn read(&mut self, line: &str) -> Result<Option<MessageBuf>, LineError> {
        self.lines += 1;
        let text = line.split('#').next().unwrap_or_default().trim();
        if text.is_empty() {
            return Ok(None);
        }
        // No type of message is written with hexadecimal digits only.
        let message = if text
            .chars()
            .all(|c| c.is_ascii_hexdigit() || c.is_whitespace())
        {
            from_hex(text)
        } else {
            text.parse().map_err(LineProblem::Text)
        };
        message.map(Some).map_err(|problem| LineError {
            line: self.lines,
            problem,
        })
    }
}

#[cfg(feature = "alloc")]
fn from_hex(text: &str) -> Result<MessageBuf, LineProblem> {
    let mut octets = Vec::new();
    let mut digits = text.chars().filter_map(|c| c.to_digit(16));
    while let Some(high) = digits.next() {
        let low = digits.next().ok_or(LineProblem::HalfOctet)?;
        // Two digits are one octet.
        octets.push((high << 4 | low) as u8);
    }
    Ok(Message::parse(&octets)?.to_buf())
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn error(text: &str) -> alloc::string::String {
        text.parse::<MessageBuf>().unwrap_err().to_string()
    }

    /// Printed by mido 1.3.
    #[test]
    fn what_mido_prints_is_understood() {
        for (text, octets) in [
            ("note_off channel=0 note=60 velocity=64 time=0", "80 3c 40"),
            ("note_on channel=9 note=127 velocity=0 time=0", "99 7f 00"),
            ("polytouch channel=1 note=60 value=5 time=0", "a1 3c 05"),
            (
                "control_change channel=0 control=7 value=100 time=1.5",
                "b0 07 64",
            ),
            ("program_change channel=15 program=3 time=0", "cf 03"),
            ("aftertouch channel=0 value=9 time=0", "d0 09"),
            ("pitchwheel channel=0 pitch=-8192 time=0", "e0 00 00"),
            ("pitchwheel channel=0 pitch=1 time=0", "e0 01 40"),
            ("sysex data=(1,2,3) time=0", "f0 01 02 03 f7"),
            ("quarter_frame frame_type=3 frame_value=5 time=0", "f1 35"),
            ("songpos pos=130 time=0", "f2 02 01"),
            ("song_select song=5 time=0", "f3 05"),
            ("tune_request time=0", "f6"),
            ("clock time=0", "f8"),
            ("start time=0", "fa"),
            ("continue time=0", "fb"),
            ("stop time=0", "fc"),
            ("active_sensing time=0", "fe"),
            ("reset time=0", "ff"),
        ] {
            let message: MessageBuf = text.parse().unwrap();
            let mut reader = LineReader::new();
            assert_eq!(reader.read(octets).unwrap().unwrap(), message, "{text}");
            let printed = text.split(" time=").next().unwrap();
            assert_eq!(message.to_string(), printed);
        }
    }

    #[test]
    fn missing_attributes_have_the_values_of_mido() {
        for (text, full) in [
            ("note_on", "note_on channel=0 note=0 velocity=64"),
            ("note_off", "note_off channel=0 note=0 velocity=64"),
            ("polytouch", "polytouch channel=0 note=0 value=0"),
            ("pitchwheel", "pitchwheel channel=0 pitch=0"),
            ("sysex", "sysex data=()"),
            ("songpos", "songpos pos=0"),
            ("undefined_f4", "undefined_f4 data=()"),
            ("undefined_f9", "undefined_f9"),
        ] {
            assert_eq!(text.parse::<MessageBuf>().unwrap().to_string(), full);
        }
    }

    #[test]
    fn lists_may_have_spaces_and_the_comma_of_python() {
        for text in [
            "sysex data=()",
            "sysex data=( )",
            "  sysex   time=1   data=() ",
        ] {
            let message: MessageBuf = text.parse().unwrap();
            assert_eq!(message.to_vec(), [0xF0, 0xF7]);
        }
        let message: MessageBuf = "undefined_f5 data=( 1, 2 ,3 )".parse().unwrap();
        assert_eq!(message.to_vec(), [0xF5, 1, 2, 3]);
        let message: MessageBuf = "sysex data=(1,)".parse().unwrap();
        assert_eq!(message.to_vec(), [0xF0, 1, 0xF7]);
    }

    #[test]
    fn errors_say_which_word_and_what_was_expected() {
        assert_eq!(error(" "), "there is no message");
        assert_eq!(error("note_of x"), "unknown message type \"note_of\"");
        assert_eq!(error("note_on 60"), "\"60\" is not of the form name=value");
        assert_eq!(
            error("note_on pitch=3"),
            "note_on has no attribute \"pitch\""
        );
        assert_eq!(
            error("note_on note=3 note=3"),
            "attribute \"note\" is given twice"
        );
        assert_eq!(
            error("note_on note=C4"),
            "note=C4 where a number was expected"
        );
        assert_eq!(
            error("note_on channel=16"),
            "channel=16 is not in the range 0 to 15"
        );
        assert_eq!(
            error("pitchwheel pitch=8192"),
            "pitch=8192 is not in the range -8192 to 8191"
        );
        assert_eq!(
            error("note_on note=99999999999999999999"),
            "note=99999999999999999999 is not in the range 0 to 127"
        );
        assert_eq!(
            error("sysex data=(1,128)"),
            "data=128 is not in the range 0 to 127"
        );
        assert_eq!(
            error("sysex data=(1,,2)"),
            "data= where a number was expected"
        );
        assert_eq!(
            error("sysex data=1"),
            "data=1 where a list in parentheses was expected"
        );
        assert_eq!(
            error("sysex data=(1, 2"),
            "data=(1, 2 where a list in parentheses was expected"
        );
        assert_eq!(
            error("sysex data=(1)x time=0"),
            "\"x\" is not of the form name=value"
        );
        assert_eq!(
            error("clock time=now"),
            "time=now where a number was expected"
        );
        assert_eq!(
            error("quarter_frame frame_type=8"),
            "frame_type=8 is not in the range 0 to 7"
        );
        assert_eq!(
            error("songpos pos=-1"),
            "pos=-1 is not in the range 0 to 16383"
        );
    }

    /// Nothing is looked at beyond what no message has: the time this takes would grow with the
    /// square of their number.
    #[test]
    fn more_attributes_than_any_message_has_are_not_read() {
        assert_eq!(
            error("note_on velocity=1 channel=2 note=3 time=4 a=5 b 6"),
            "note_on has no attribute \"a\""
        );
        assert_eq!(
            error("note_on a=1 b=2 c=3 d=4 e=5 f"),
            "note_on has no attribute \"a\""
        );
    }

    #[test]
    fn lines_are_counted() {
        let mut reader = LineReader::new();
        assert_eq!(reader.read(""), Ok(None));
        assert_eq!(reader.read("  # nothing"), Ok(None));
        let note = reader.read("903C64 # a note").unwrap();
        assert_eq!(
            note.unwrap().to_string(),
            "note_on channel=0 note=60 velocity=100"
        );
        assert_eq!(
            reader.read("90 3c 6").unwrap_err().to_string(),
            "line 4: the last octet has one digit only"
        );
        assert_eq!(
            reader.read("90 3c").unwrap_err().to_string(),
            "line 5: message with status 0x90 is cut short at byte 2"
        );
        assert_eq!(
            reader.read("note_on é=1").unwrap_err().to_string(),
            "line 6: note_on has no attribute \"é\""
        );
        assert_eq!(
            reader.read("fe").unwrap().unwrap().to_string(),
            "active_sensing"
        );
    }
}
