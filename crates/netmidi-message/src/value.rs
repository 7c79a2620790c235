//! Numbers that cannot be out of range.

use core::fmt;

/// Declares an unsigned number of a fixed width with checked construction.
macro_rules! bounded {
    ($(#[$doc:meta])* $name:ident($repr:ty), bits = $bits:literal, repr_name = $repr_name:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[cfg_attr(feature = "serde", serde(try_from = $repr_name, into = $repr_name))]
        pub struct $name($repr);

        impl $name {
            /// The smallest value, 0.
            pub const MIN: Self = Self(0);
            /// The largest value.
            pub const MAX: Self = Self(((1u32 << $bits) - 1) as $repr);

            /// The number, or `None` when it is larger than [`MAX`](Self::MAX).
            #[must_use]
            #[inline]
            pub const fn new(value: $repr) -> Option<Self> {
                if value <= Self::MAX.0 { Some(Self(value)) } else { None }
            }

            /// The low bits of `value`; higher ones are dropped, as the name says.
            #[must_use]
            #[inline]
            pub const fn from_low_bits(value: $repr) -> Self {
                Self(value & Self::MAX.0)
            }

            /// The plain number.
            #[must_use]
            #[inline]
            pub const fn get(self) -> $repr {
                self.0
            }
        }

        impl From<$name> for $repr {
            #[inline]
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl TryFrom<$repr> for $name {
            type Error = OutOfRange;

            #[inline]
            fn try_from(value: $repr) -> Result<Self, OutOfRange> {
                Self::new(value).ok_or(OutOfRange { value: value.into(), max: Self::MAX.0.into() })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

bounded! {
    /// A three-bit number, 0 to 7: the piece of a time code that a quarter frame carries.
    U3(u8), bits = 3, repr_name = "u8"
}
bounded! {
    /// A four-bit number, 0 to 15.
    U4(u8), bits = 4, repr_name = "u8"
}
bounded! {
    /// A seven-bit number, 0 to 127: one MIDI data octet.
    U7(u8), bits = 7, repr_name = "u8"
}
bounded! {
    /// A fourteen-bit number, 0 to 16,383: two MIDI data octets.
    U14(u16), bits = 14, repr_name = "u16"
}

/// Conversions of a named seven-bit number from and to a plain one.
macro_rules! small_number {
    ($name:ident) => {
        impl From<$name> for u8 {
            #[inline]
            fn from(value: $name) -> Self {
                value.get()
            }
        }

        impl TryFrom<u8> for $name {
            type Error = OutOfRange;

            #[inline]
            fn try_from(value: u8) -> Result<Self, OutOfRange> {
                U7::try_from(value).map(Self)
            }
        }
    };
}

/// A number that does not fit the type it was meant for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{value} is out of range, the largest allowed value is {max}")]
pub struct OutOfRange {
    /// What was given.
    pub value: u32,
    /// The largest value that fits.
    pub max: u32,
}

impl U7 {
    /// For callers in this crate that know the number to be in range.
    #[inline]
    pub(crate) const fn from_checked(value: u8) -> Self {
        Self(value)
    }
}

impl U14 {
    /// For callers in this crate that know the number to be in range.
    #[inline]
    pub(crate) const fn from_checked(value: u16) -> Self {
        Self(value)
    }

    /// Joins the two data octets of a fourteen-bit value.
    #[must_use]
    #[inline]
    pub const fn from_parts(msb: U7, lsb: U7) -> Self {
        Self(((msb.0 as u16) << 7) | lsb.0 as u16)
    }

    /// The seven most significant bits.
    #[must_use]
    #[inline]
    pub const fn msb(self) -> U7 {
        U7((self.0 >> 7) as u8)
    }

    /// The seven least significant bits.
    #[must_use]
    #[inline]
    pub const fn lsb(self) -> U7 {
        U7((self.0 & 0x7F) as u8)
    }
}

/// One of the sixteen MIDI channels.
///
/// There is no conversion from a bare number, because people count channels from 1 and the wire
/// counts them from 0: say which with [`from_index`](Self::from_index) or
/// [`from_number`](Self::from_number). `Debug` prints the number people use, `Ch1` to `Ch16`;
/// serialised it is the index, 0 to 15.
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct Channel(U4);

macro_rules! channels {
    ($($name:ident = $index:literal),*) => {
        impl Channel {
            $(
                #[doc = concat!("Index ", stringify!($index), " on the wire.")]
                pub const $name: Self = Self(U4($index));
            )*
        }
    };
}

channels!(
    C1 = 0,
    C2 = 1,
    C3 = 2,
    C4 = 3,
    C5 = 4,
    C6 = 5,
    C7 = 6,
    C8 = 7,
    C9 = 8,
    C10 = 9,
    C11 = 10,
    C12 = 11,
    C13 = 12,
    C14 = 13,
    C15 = 14,
    C16 = 15
);

impl Channel {
    /// The channel with this number on the wire, 0 to 15.
    #[must_use]
    #[inline]
    pub const fn from_index(index: u8) -> Option<Self> {
        match U4::new(index) {
            Some(index) => Some(Self(index)),
            None => None,
        }
    }

    /// The channel that people call by this number, 1 to 16.
    #[must_use]
    #[inline]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1..=16 => Some(Self(U4(number - 1))),
            _ => None,
        }
    }

    /// The channel in the low four bits of a channel status octet.
    #[must_use]
    #[inline]
    pub const fn from_status(status: u8) -> Self {
        Self(U4::from_low_bits(status))
    }

    /// The number on the wire, 0 to 15.
    #[must_use]
    #[inline]
    pub const fn index(self) -> u8 {
        self.0.get()
    }

    /// The number that people use, 1 to 16.
    #[must_use]
    #[inline]
    pub const fn number(self) -> u8 {
        self.0.get() + 1
    }

    /// All sixteen channels in order.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> + ExactSizeIterator + Clone {
        (0..16u8).map(Self::from_status)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ch{}", self.number())
    }
}

/// A key, 0 to 127.
///
/// The key numbered 60 is middle C. Whether that is called C3 or C4 differs between makers, so
/// [`name`](Self::name) asks.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct Note(U7);

/// Which octave number the key 60 is printed with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Octave {
    /// Key 60 is C3 (Yamaha, Ableton, Logic).
    MiddleC3,
    /// Key 60 is C4 (scientific pitch notation, Roland).
    MiddleC4,
}

impl Note {
    /// The lowest key, 0.
    pub const MIN: Self = Self(U7::MIN);
    /// The highest key, 127.
    pub const MAX: Self = Self(U7::MAX);
    /// Key 60.
    pub const MIDDLE_C: Self = Self(U7(60));

    /// The key with this number, 0 to 127.
    #[must_use]
    #[inline]
    pub const fn new(key: u8) -> Option<Self> {
        match U7::new(key) {
            Some(key) => Some(Self(key)),
            None => None,
        }
    }

    /// The number of the key, 0 to 127.
    #[must_use]
    #[inline]
    pub const fn get(self) -> u8 {
        self.0.get()
    }

    /// The number as a data octet.
    #[must_use]
    #[inline]
    pub const fn to_u7(self) -> U7 {
        self.0
    }

    /// A name such as `C#4`, to be printed.
    #[must_use]
    pub const fn name(self, octave: Octave) -> NoteName {
        NoteName { note: self, octave }
    }
}

impl From<U7> for Note {
    #[inline]
    fn from(key: U7) -> Self {
        Self(key)
    }
}

impl From<Note> for U7 {
    #[inline]
    fn from(note: Note) -> Self {
        note.0
    }
}

small_number!(Note);

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Prints the name of a [`Note`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NoteName {
    note: Note,
    octave: Octave,
}

impl fmt::Display for NoteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 12] = [
            "C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B",
        ];
        let key = self.note.get();
        let name = NAMES.get(usize::from(key % 12)).copied().unwrap_or("?");
        let lowest = match self.octave {
            Octave::MiddleC3 => -2,
            Octave::MiddleC4 => -1,
        };
        write!(f, "{name}{}", i32::from(key / 12) + lowest)
    }
}

/// The number of a controller, 0 to 127; 120 to 127 are channel mode messages.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct Controller(U7);

macro_rules! controllers {
    ($($(#[$doc:meta])* $name:ident = $number:literal),* $(,)?) => {
        impl Controller {
            $($(#[$doc])* pub const $name: Self = Self(U7($number));)*
        }
    };
}

controllers! {
    /// 0: bank number, most significant part.
    BANK_SELECT = 0,
    /// 1: modulation wheel.
    MODULATION = 1,
    /// 6: data entry, most significant part.
    DATA_ENTRY = 6,
    /// 7: channel volume.
    VOLUME = 7,
    /// 10: pan.
    PAN = 10,
    /// 11: expression.
    EXPRESSION = 11,
    /// 32: bank number, least significant part.
    BANK_SELECT_LSB = 32,
    /// 38: data entry, least significant part.
    DATA_ENTRY_LSB = 38,
    /// 64: damper pedal.
    SUSTAIN = 64,
    /// 66: sostenuto pedal.
    SOSTENUTO = 66,
    /// 69: hold 2.
    HOLD_2 = 69,
    /// 96: data button, one step up.
    DATA_INCREMENT = 96,
    /// 97: data button, one step down.
    DATA_DECREMENT = 97,
    /// 98: non-registered parameter number, least significant part.
    NRPN_LSB = 98,
    /// 99: non-registered parameter number, most significant part.
    NRPN_MSB = 99,
    /// 100: registered parameter number, least significant part.
    RPN_LSB = 100,
    /// 101: registered parameter number, most significant part.
    RPN_MSB = 101,
    /// 120: all sound off.
    ALL_SOUND_OFF = 120,
    /// 121: reset all controllers.
    RESET_ALL_CONTROLLERS = 121,
    /// 122: local control.
    LOCAL_CONTROL = 122,
    /// 123: all notes off.
    ALL_NOTES_OFF = 123,
    /// 124: omni mode off.
    OMNI_OFF = 124,
    /// 125: omni mode on.
    OMNI_ON = 125,
    /// 126: mono mode on.
    MONO_ON = 126,
    /// 127: poly mode on.
    POLY_ON = 127,
}

impl Controller {
    /// The controller with this number, 0 to 127.
    #[must_use]
    #[inline]
    pub const fn new(number: u8) -> Option<Self> {
        match U7::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number, 0 to 127.
    #[must_use]
    #[inline]
    pub const fn get(self) -> u8 {
        self.0.get()
    }

    /// The number as a data octet.
    #[must_use]
    #[inline]
    pub const fn to_u7(self) -> U7 {
        self.0
    }

    /// Whether this is a channel mode message, 120 to 127 (MIDI 1.0, channel mode messages).
    #[must_use]
    #[inline]
    pub const fn is_channel_mode(self) -> bool {
        self.0.get() >= 120
    }
}

impl From<U7> for Controller {
    #[inline]
    fn from(number: U7) -> Self {
        Self(number)
    }
}

impl From<Controller> for U7 {
    #[inline]
    fn from(controller: Controller) -> Self {
        controller.0
    }
}

small_number!(Controller);

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The position of the pitch wheel: 0 to 16,383, at rest in the middle. Serialised it is that number.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct Bend(U14);

impl Bend {
    /// The wheel at rest, 8,192 on the wire.
    pub const CENTER: Self = Self(U14(8192));
    /// The lowest position, 0 on the wire.
    pub const MIN: Self = Self(U14::MIN);
    /// The highest position, 16,383 on the wire.
    pub const MAX: Self = Self(U14::MAX);

    /// From the signed form, -8,192 to 8,191 with 0 at rest.
    #[must_use]
    #[inline]
    pub const fn from_i16(pitch: i16) -> Option<Self> {
        match pitch {
            -8192..=8191 => Some(Self(U14((pitch + 8192) as u16))),
            _ => None,
        }
    }

    /// The signed form, -8,192 to 8,191 with 0 at rest.
    #[must_use]
    #[inline]
    pub const fn to_i16(self) -> i16 {
        self.0.get() as i16 - 8192
    }

    /// The form on the wire, 0 to 16,383.
    #[must_use]
    #[inline]
    pub const fn to_u14(self) -> U14 {
        self.0
    }
}

impl Default for Bend {
    fn default() -> Self {
        Self::CENTER
    }
}

impl From<Bend> for U14 {
    #[inline]
    fn from(bend: Bend) -> Self {
        bend.0
    }
}

impl From<U14> for Bend {
    #[inline]
    fn from(wire: U14) -> Self {
        Self(wire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_refused() {
        assert_eq!(U7::new(127), Some(U7::MAX));
        assert_eq!(U7::new(128), None);
        assert_eq!(U14::new(16_383), Some(U14::MAX));
        assert_eq!(U14::new(16_384), None);
        assert_eq!(U4::new(16), None);
        assert_eq!(U3::new(8), None);
        assert_eq!(
            U7::try_from(200),
            Err(OutOfRange {
                value: 200,
                max: 127
            })
        );
    }

    #[test]
    fn named_numbers_are_converted_both_ways() {
        assert_eq!(Note::try_from(60), Ok(Note::MIDDLE_C));
        assert_eq!(u8::from(Note::MIDDLE_C), 60);
        assert_eq!(Controller::try_from(64), Ok(Controller::SUSTAIN));
        assert_eq!(u8::from(Controller::SUSTAIN), 64);
        let refused = OutOfRange {
            value: 128,
            max: 127,
        };
        assert_eq!(Note::try_from(128), Err(refused));
        assert_eq!(Controller::try_from(128), Err(refused));
        assert_eq!(Bend::from(U14::from(Bend::CENTER)), Bend::CENTER);
    }

    #[test]
    fn channels_are_counted_both_ways() {
        assert_eq!(Channel::from_index(0), Some(Channel::C1));
        assert_eq!(Channel::from_number(16), Some(Channel::C16));
        assert_eq!(Channel::from_number(0), None);
        assert_eq!(Channel::from_number(17), None);
        assert_eq!(Channel::from_index(16), None);
        assert_eq!(Channel::C10.index(), 9);
        assert_eq!(Channel::C10.number(), 10);
        assert_eq!(Channel::all().len(), 16);
    }

    #[test]
    fn bend_is_centred() {
        assert_eq!(Bend::CENTER.to_i16(), 0);
        assert_eq!(Bend::MIN.to_i16(), -8192);
        assert_eq!(Bend::MAX.to_i16(), 8191);
        assert_eq!(Bend::from_i16(8192), None);
        assert_eq!(Bend::from_i16(-8192), Some(Bend::MIN));
    }
}
