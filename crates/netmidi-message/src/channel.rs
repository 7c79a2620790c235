//! Messages that belong to one of the sixteen channels.

use crate::value::{Bend, Channel, Controller, Note, U7, U14};

/// A channel voice or channel mode message (MIDI 1.0), four octets in memory and `Copy`.
///
/// A note-on with velocity 0 stays what it is: [`is_note_off`](Self::is_note_off) tells that it
/// means the end of a note.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "type", rename_all = "snake_case"))]
pub enum ChannelMessage {
    /// `8n kk vv`: a key is released.
    NoteOff {
        /// Which channel.
        channel: Channel,
        /// Which key.
        note: Note,
        /// How fast it was released.
        velocity: U7,
    },
    /// `9n kk vv`: a key is pressed; with velocity 0, released.
    NoteOn {
        /// Which channel.
        channel: Channel,
        /// Which key.
        note: Note,
        /// How fast it was pressed.
        velocity: U7,
    },
    /// `An kk vv`: pressure on one key (polyphonic aftertouch).
    PolyPressure {
        /// Which channel.
        channel: Channel,
        /// Which key.
        note: Note,
        /// How hard.
        value: U7,
    },
    /// `Bn cc vv`: a controller, or for 120 to 127 a channel mode message.
    ControlChange {
        /// Which channel.
        channel: Channel,
        /// Which controller.
        control: Controller,
        /// Its new value.
        value: U7,
    },
    /// `Cn pp`: another sound.
    ProgramChange {
        /// Which channel.
        channel: Channel,
        /// Which sound.
        program: U7,
    },
    /// `Dn vv`: pressure on the whole keyboard (channel aftertouch).
    ChannelPressure {
        /// Which channel.
        channel: Channel,
        /// How hard.
        value: U7,
    },
    /// `En ll mm`: the pitch wheel.
    PitchBend {
        /// Which channel.
        channel: Channel,
        /// Where the wheel is.
        bend: Bend,
    },
}

impl ChannelMessage {
    /// A key is pressed.
    #[must_use]
    pub const fn note_on(channel: Channel, note: Note, velocity: U7) -> Self {
        Self::NoteOn {
            channel,
            note,
            velocity,
        }
    }

    /// A key is released.
    #[must_use]
    pub const fn note_off(channel: Channel, note: Note, velocity: U7) -> Self {
        Self::NoteOff {
            channel,
            note,
            velocity,
        }
    }

    /// A controller takes a value.
    #[must_use]
    pub const fn control_change(channel: Channel, control: Controller, value: U7) -> Self {
        Self::ControlChange {
            channel,
            control,
            value,
        }
    }

    /// Pressure on one key.
    #[must_use]
    pub const fn poly_pressure(channel: Channel, note: Note, value: U7) -> Self {
        Self::PolyPressure {
            channel,
            note,
            value,
        }
    }

    /// Another sound.
    #[must_use]
    pub const fn program_change(channel: Channel, program: U7) -> Self {
        Self::ProgramChange { channel, program }
    }

    /// Pressure on the whole keyboard.
    #[must_use]
    pub const fn channel_pressure(channel: Channel, value: U7) -> Self {
        Self::ChannelPressure { channel, value }
    }

    /// The pitch wheel moves.
    #[must_use]
    pub const fn pitch_bend(channel: Channel, bend: Bend) -> Self {
        Self::PitchBend { channel, bend }
    }

    /// The channel.
    #[must_use]
    #[inline]
    pub const fn channel(self) -> Channel {
        match self {
            Self::NoteOff { channel, .. }
            | Self::NoteOn { channel, .. }
            | Self::PolyPressure { channel, .. }
            | Self::ControlChange { channel, .. }
            | Self::ProgramChange { channel, .. }
            | Self::ChannelPressure { channel, .. }
            | Self::PitchBend { channel, .. } => channel,
        }
    }

    /// The status octet, 0x80 to 0xEF.
    #[must_use]
    #[inline]
    pub const fn status(self) -> ChannelStatus {
        let kind = match self {
            Self::NoteOff { .. } => 0x80,
            Self::NoteOn { .. } => 0x90,
            Self::PolyPressure { .. } => 0xA0,
            Self::ControlChange { .. } => 0xB0,
            Self::ProgramChange { .. } => 0xC0,
            Self::ChannelPressure { .. } => 0xD0,
            Self::PitchBend { .. } => 0xE0,
        };
        ChannelStatus(kind | self.channel().index())
    }

    /// Whether this ends a note: a note-off, or a note-on with velocity 0.
    #[must_use]
    #[inline]
    pub const fn is_note_off(self) -> bool {
        match self {
            Self::NoteOff { .. } => true,
            Self::NoteOn { velocity, .. } => velocity.get() == 0,
            _ => false,
        }
    }

    /// Octets on the wire with the status octet, 2 or 3.
    #[must_use]
    #[inline]
    pub const fn encoded_len(self) -> usize {
        self.status().data_len() + 1
    }

    /// Status and data octets; of a message with one data octet the third is 0 and is not sent.
    #[must_use]
    #[inline]
    pub const fn to_octets(self) -> [u8; 3] {
        let (first, second) = match self {
            Self::NoteOff { note, velocity, .. } | Self::NoteOn { note, velocity, .. } => {
                (note.get(), velocity.get())
            }
            Self::PolyPressure { note, value, .. } => (note.get(), value.get()),
            Self::ControlChange { control, value, .. } => (control.get(), value.get()),
            Self::ProgramChange { program, .. } => (program.get(), 0),
            Self::ChannelPressure { value, .. } => (value.get(), 0),
            Self::PitchBend { bend, .. } => (bend.to_u14().lsb().get(), bend.to_u14().msb().get()),
        };
        [self.status().get(), first, second]
    }

    /// Puts a message together from its status and data octets; `second` is not looked at where
    /// the status asks for one data octet only.
    #[must_use]
    #[inline]
    pub fn from_parts(status: ChannelStatus, first: U7, second: U7) -> Self {
        // Written for the stream parser: the kinds of successive messages cannot be predicted, and
        // a match that builds each variant becomes a jump table. A copy from a table, and stores
        // that are the same in almost every arm, need no jump.
        let kind = usize::from(status.get() >> 4 & 7);
        let mut message = TEMPLATES.get(kind).copied().unwrap_or(BEND_TEMPLATE);
        // For the same reason the fourteen bits of the pitch bend are joined in any case; of all
        // other kinds these two octets are `first` and `second` unchanged.
        let shift = if status.get() >= 0xE0 { 7 } else { 8 };
        let joined = u16::from(second.get()) << shift | u16::from(first.get());
        let [low, high] = joined.to_le_bytes();
        let (first, second) = (U7::from_checked(low), U7::from_checked(high));
        match &mut message {
            Self::NoteOff {
                channel,
                note,
                velocity: value,
            }
            | Self::NoteOn {
                channel,
                note,
                velocity: value,
            }
            | Self::PolyPressure {
                channel,
                note,
                value,
            } => {
                *channel = status.channel();
                *note = first.into();
                *value = second;
            }
            Self::ControlChange {
                channel,
                control,
                value,
            } => {
                *channel = status.channel();
                *control = first.into();
                *value = second;
            }
            Self::ProgramChange {
                channel,
                program: value,
            }
            | Self::ChannelPressure { channel, value } => {
                *channel = status.channel();
                *value = first;
            }
            Self::PitchBend { channel, bend } => {
                *channel = status.channel();
                *bend = U14::from_checked(joined).into();
            }
        }
        message
    }
}

const BEND_TEMPLATE: ChannelMessage = ChannelMessage::PitchBend {
    channel: Channel::C1,
    bend: Bend::MIN,
};

/// A message of each kind, in the order of their statuses; there is no eighth kind.
const TEMPLATES: [ChannelMessage; 8] = [
    ChannelMessage::note_off(Channel::C1, Note::MIN, U7::MIN),
    ChannelMessage::note_on(Channel::C1, Note::MIN, U7::MIN),
    ChannelMessage::PolyPressure {
        channel: Channel::C1,
        note: Note::MIN,
        value: U7::MIN,
    },
    ChannelMessage::control_change(Channel::C1, Controller::BANK_SELECT, U7::MIN),
    ChannelMessage::ProgramChange {
        channel: Channel::C1,
        program: U7::MIN,
    },
    ChannelMessage::ChannelPressure {
        channel: Channel::C1,
        value: U7::MIN,
    },
    BEND_TEMPLATE,
    BEND_TEMPLATE,
];

/// The status octet of a channel message, 0x80 to 0xEF: the only kind that can be a running status.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct ChannelStatus(u8);

impl ChannelStatus {
    /// The status, or `None` outside 0x80 to 0xEF.
    #[must_use]
    #[inline]
    pub const fn new(status: u8) -> Option<Self> {
        match status {
            0x80..=0xEF => Some(Self(status)),
            _ => None,
        }
    }

    /// The octet.
    #[must_use]
    #[inline]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The channel in its low half.
    #[must_use]
    #[inline]
    pub const fn channel(self) -> Channel {
        Channel::from_status(self.0)
    }

    /// How many data octets follow, 1 or 2.
    #[must_use]
    #[inline]
    pub const fn data_len(self) -> usize {
        // C and D, and nothing else, differ from 0b110 in the low bit only.
        if self.0 & 0xE0 == 0xC0 { 1 } else { 2 }
    }
}

impl core::fmt::Debug for ChannelStatus {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ChannelStatus({:#04x})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_constructor_writes_what_it_says() {
        let (channel, note, seven) = (Channel::C3, Note::MIDDLE_C, U7::from_low_bits(7));
        for (message, octets) in [
            (
                ChannelMessage::note_off(channel, note, seven),
                [0x82, 60, 7],
            ),
            (ChannelMessage::note_on(channel, note, seven), [0x92, 60, 7]),
            (
                ChannelMessage::poly_pressure(channel, note, seven),
                [0xA2, 60, 7],
            ),
            (
                ChannelMessage::control_change(channel, Controller::PAN, seven),
                [0xB2, 10, 7],
            ),
            (ChannelMessage::program_change(channel, seven), [0xC2, 7, 0]),
            (
                ChannelMessage::channel_pressure(channel, seven),
                [0xD2, 7, 0],
            ),
            (
                ChannelMessage::pitch_bend(channel, Bend::CENTER),
                [0xE2, 0, 64],
            ),
        ] {
            assert_eq!(message.to_octets(), octets);
            assert_eq!(message.channel(), channel);
        }
    }
}
