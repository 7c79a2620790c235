//! Messages as self-describing data: one object with its `type` beside its attributes.

use alloc::vec::Vec;

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use crate::channel::ChannelMessage;
use crate::message::Message;
use crate::owned::{MessageBuf, SysExBuf, UndefinedBuf};
use crate::sysex::UndefinedStatus;
use crate::system::{RealTime, SystemCommon};
use crate::value::{Bend, Channel, Controller, Note, U3, U4, U7, U14};

/// All messages on one level, so that each is one object: the enums of messages are nested by what
/// a program wants to tell apart first.
///
/// Those without attributes have braces, because serde lets unknown attributes of unit variants
/// pass.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Form<D> {
    NoteOff {
        channel: Channel,
        note: Note,
        velocity: U7,
    },
    NoteOn {
        channel: Channel,
        note: Note,
        velocity: U7,
    },
    PolyPressure {
        channel: Channel,
        note: Note,
        value: U7,
    },
    ControlChange {
        channel: Channel,
        control: Controller,
        value: U7,
    },
    ProgramChange {
        channel: Channel,
        program: U7,
    },
    ChannelPressure {
        channel: Channel,
        value: U7,
    },
    PitchBend {
        channel: Channel,
        bend: Bend,
    },
    QuarterFrame {
        frame_type: U3,
        frame_value: U4,
    },
    SongPosition {
        pos: U14,
    },
    SongSelect {
        song: U7,
    },
    TuneRequest {},
    TimingClock {},
    UndefinedF9 {},
    Start {},
    Continue {},
    Stop {},
    UndefinedFd {},
    ActiveSensing {},
    Reset {},
    #[serde(rename = "sysex")]
    SysEx {
        data: D,
    },
    UndefinedF4 {
        data: D,
    },
    UndefinedF5 {
        data: D,
    },
}

impl<'a> From<Message<'a>> for Form<&'a [u8]> {
    fn from(message: Message<'a>) -> Self {
        match message {
            Message::Channel(ChannelMessage::NoteOff {
                channel,
                note,
                velocity,
            }) => Self::NoteOff {
                channel,
                note,
                velocity,
            },
            Message::Channel(ChannelMessage::NoteOn {
                channel,
                note,
                velocity,
            }) => Self::NoteOn {
                channel,
                note,
                velocity,
            },
            Message::Channel(ChannelMessage::PolyPressure {
                channel,
                note,
                value,
            }) => Self::PolyPressure {
                channel,
                note,
                value,
            },
            Message::Channel(ChannelMessage::ControlChange {
                channel,
                control,
                value,
            }) => Self::ControlChange {
                channel,
                control,
                value,
            },
            Message::Channel(ChannelMessage::ProgramChange { channel, program }) => {
                Self::ProgramChange { channel, program }
            }
            Message::Channel(ChannelMessage::ChannelPressure { channel, value }) => {
                Self::ChannelPressure { channel, value }
            }
            Message::Channel(ChannelMessage::PitchBend { channel, bend }) => {
                Self::PitchBend { channel, bend }
            }
            Message::Common(SystemCommon::QuarterFrame {
                frame_type,
                frame_value,
            }) => Self::QuarterFrame {
                frame_type,
                frame_value,
            },
            Message::Common(SystemCommon::SongPosition { pos }) => Self::SongPosition { pos },
            Message::Common(SystemCommon::SongSelect { song }) => Self::SongSelect { song },
            Message::Common(SystemCommon::TuneRequest) => Self::TuneRequest {},
            Message::RealTime(RealTime::TimingClock) => Self::TimingClock {},
            Message::RealTime(RealTime::UndefinedF9) => Self::UndefinedF9 {},
            Message::RealTime(RealTime::Start) => Self::Start {},
            Message::RealTime(RealTime::Continue) => Self::Continue {},
            Message::RealTime(RealTime::Stop) => Self::Stop {},
            Message::RealTime(RealTime::UndefinedFd) => Self::UndefinedFd {},
            Message::RealTime(RealTime::ActiveSensing) => Self::ActiveSensing {},
            Message::RealTime(RealTime::Reset) => Self::Reset {},
            Message::SysEx(message) => Self::SysEx {
                data: message.data(),
            },
            Message::Undefined(message) => {
                let data = message.data();
                match message.status() {
                    UndefinedStatus::F4 => Self::UndefinedF4 { data },
                    UndefinedStatus::F5 => Self::UndefinedF5 { data },
                }
            }
        }
    }
}

impl From<Form<Vec<U7>>> for MessageBuf {
    fn from(form: Form<Vec<U7>>) -> Self {
        let octets = |data: Vec<U7>| data.into_iter().map(U7::get).collect();
        match form {
            Form::NoteOff {
                channel,
                note,
                velocity,
            } => ChannelMessage::note_off(channel, note, velocity).into(),
            Form::NoteOn {
                channel,
                note,
                velocity,
            } => ChannelMessage::note_on(channel, note, velocity).into(),
            Form::PolyPressure {
                channel,
                note,
                value,
            } => ChannelMessage::PolyPressure {
                channel,
                note,
                value,
            }
            .into(),
            Form::ControlChange {
                channel,
                control,
                value,
            } => ChannelMessage::control_change(channel, control, value).into(),
            Form::ProgramChange { channel, program } => {
                ChannelMessage::ProgramChange { channel, program }.into()
            }
            Form::ChannelPressure { channel, value } => {
                ChannelMessage::ChannelPressure { channel, value }.into()
            }
            Form::PitchBend { channel, bend } => ChannelMessage::PitchBend { channel, bend }.into(),
            Form::QuarterFrame {
                frame_type,
                frame_value,
            } => SystemCommon::QuarterFrame {
                frame_type,
                frame_value,
            }
            .into(),
            Form::SongPosition { pos } => SystemCommon::SongPosition { pos }.into(),
            Form::SongSelect { song } => SystemCommon::SongSelect { song }.into(),
            Form::TuneRequest {} => SystemCommon::TuneRequest.into(),
            Form::TimingClock {} => RealTime::TimingClock.into(),
            Form::UndefinedF9 {} => RealTime::UndefinedF9.into(),
            Form::Start {} => RealTime::Start.into(),
            Form::Continue {} => RealTime::Continue.into(),
            Form::Stop {} => RealTime::Stop.into(),
            Form::UndefinedFd {} => RealTime::UndefinedFd.into(),
            Form::ActiveSensing {} => RealTime::ActiveSensing.into(),
            Form::Reset {} => RealTime::Reset.into(),
            Form::SysEx { data } => SysExBuf::from_checked(octets(data)).into(),
            Form::UndefinedF4 { data } => {
                UndefinedBuf::from_checked(UndefinedStatus::F4, octets(data)).into()
            }
            Form::UndefinedF5 { data } => {
                UndefinedBuf::from_checked(UndefinedStatus::F5, octets(data)).into()
            }
        }
    }
}

/// One object, `type` first: `{"type":"note_on","channel":0,"note":60,"velocity":64}`,
/// `{"type":"timing_clock"}`, `{"type":"sysex","data":[1,2,3]}`. A channel is written as its index,
/// 0 to 15, and a pitch bend as on the wire, 0 to 16,383.
impl Serialize for Message<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Form::from(*self).serialize(serializer)
    }
}

/// The same form as [`Message`].
impl Serialize for MessageBuf {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_message().serialize(serializer)
    }
}

/// The form that [`Message`] is written in. Every number is checked, and unknown attributes are
/// refused. The data format has to be self-describing, as JSON is.
impl<'de> Deserialize<'de> for MessageBuf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Form::<Vec<U7>>::deserialize(deserializer).map(Self::from)
    }
}
