//! What takes more than one control change: fourteen-bit controllers and parameter numbers.

use crate::channel::ChannelMessage;
use crate::value::{Channel, Controller, U7, U14};

/// A parameter that control changes select and then set (MIDI 1.0, RPN and NRPN).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Parameter {
    /// A registered parameter number (RPN): its meaning is part of the MIDI specification.
    Registered(U14),
    /// A non-registered parameter number (NRPN): its meaning is up to the maker.
    NonRegistered(U14),
}

impl Parameter {
    /// RPN 0: pitch bend range; coarse in semitones, fine in cents.
    pub const PITCH_BEND_SENSITIVITY: Self = Self::Registered(U14::from_low_bits(0));
    /// RPN 1: fine tuning, 8,192 in the middle, from -100 to almost +100 cents.
    pub const FINE_TUNING: Self = Self::Registered(U14::from_low_bits(1));
    /// RPN 2: coarse tuning in semitones, 64 (coarse) in the middle.
    pub const COARSE_TUNING: Self = Self::Registered(U14::from_low_bits(2));
    /// RPN 3: number of the tuning program.
    pub const TUNING_PROGRAM: Self = Self::Registered(U14::from_low_bits(3));
    /// RPN 4: number of the tuning bank.
    pub const TUNING_BANK: Self = Self::Registered(U14::from_low_bits(4));
    /// RPN 5: depth of the modulation wheel.
    pub const MODULATION_DEPTH: Self = Self::Registered(U14::from_low_bits(5));

    /// The two control changes that select it, most significant part first.
    pub fn select(self, channel: Channel) -> impl ExactSizeIterator<Item = ChannelMessage> + Clone {
        self.selection(channel).into_iter()
    }

    /// The four control changes that select it and set its fourteen-bit value.
    ///
    /// It stays selected: [`deselect`] keeps a stray data entry from changing it.
    pub fn set(
        self,
        channel: Channel,
        value: U14,
    ) -> impl ExactSizeIterator<Item = ChannelMessage> + Clone {
        let [select_msb, select_lsb] = self.selection(channel);
        let control = |control, value| ChannelMessage::control_change(channel, control, value);
        [
            select_msb,
            select_lsb,
            control(Controller::DATA_ENTRY, value.msb()),
            control(Controller::DATA_ENTRY_LSB, value.lsb()),
        ]
        .into_iter()
    }

    fn selection(self, channel: Channel) -> [ChannelMessage; 2] {
        let (msb, lsb, number) = match self {
            Self::Registered(number) => (Controller::RPN_MSB, Controller::RPN_LSB, number),
            Self::NonRegistered(number) => (Controller::NRPN_MSB, Controller::NRPN_LSB, number),
        };
        [
            ChannelMessage::control_change(channel, msb, number.msb()),
            ChannelMessage::control_change(channel, lsb, number.lsb()),
        ]
    }
}

/// The two control changes after which no parameter is selected (RPN null, 7F 7F).
pub fn deselect(channel: Channel) -> impl ExactSizeIterator<Item = ChannelMessage> + Clone {
    Parameter::Registered(U14::MAX).select(channel)
}

/// The two control changes that give one of the controllers 0 to 31 a fourteen-bit value, most
/// significant part first; `None` for other controllers.
///
/// ```
/// use netmidi_message::{Channel, Controller, U14, control_change_14};
///
/// let value = U14::new(8_192).ok_or("too large")?;
/// let both = control_change_14(Channel::C1, Controller::VOLUME, value).ok_or("no pair")?;
/// assert_eq!(both.map(|message| message.to_octets()), [[0xB0, 7, 64], [0xB0, 39, 0]]);
/// # Ok::<(), &str>(())
/// ```
#[must_use]
pub fn control_change_14(
    channel: Channel,
    control: Controller,
    value: U14,
) -> Option<[ChannelMessage; 2]> {
    let low = match control.get() {
        number @ 0..32 => Controller::new(number + 32)?,
        _ => return None,
    };
    Some([
        ChannelMessage::control_change(channel, control, value.msb()),
        ChannelMessage::control_change(channel, low, value.lsb()),
    ])
}

/// How much of a fourteen-bit value has arrived.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Precision {
    /// The most significant part only; the low seven bits are 0, as MIDI 1.0 asks.
    Coarse,
    /// Both parts.
    Fine,
}

/// What happened to a controller or parameter.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ControlEvent {
    /// One of the controllers 0 to 31, except data entry, takes a value.
    Control14 {
        /// On which channel.
        channel: Channel,
        /// The controller, 0 to 31.
        control: Controller,
        /// Its new value.
        value: U14,
        /// Whether the low half of the value was sent.
        precision: Precision,
    },
    /// Data entry sets the selected parameter.
    Set {
        /// On which channel.
        channel: Channel,
        /// Which parameter.
        parameter: Parameter,
        /// Its new value.
        value: U14,
        /// Whether the low half of the value was sent.
        precision: Precision,
    },
    /// The data button moves the selected parameter one step up.
    Increment {
        /// On which channel.
        channel: Channel,
        /// Which parameter.
        parameter: Parameter,
    },
    /// The data button moves the selected parameter one step down.
    Decrement {
        /// On which channel.
        channel: Channel,
        /// Which parameter.
        parameter: Parameter,
    },
}

/// Finds fourteen-bit controllers and parameter changes among channel messages.
///
/// The rules, for each channel by itself:
///
/// - The most significant part (controllers 0 to 31) gives an event at once, with low bits 0,
///   because many senders never send the other part. The least significant part (32 to 63) gives
///   one with the whole value; without a most significant part before it, it gives none.
/// - A parameter is selected when both halves of its number (98 and 99, or 100 and 101) have come,
///   in either order. One half alone changes that half of the number last selected in this way.
///   What came last, registered or not, is what data entry is for.
/// - The number 7F 7F, registered or not, selects nothing: data entry, increment and decrement
///   then give no event.
/// - The low part of data entry (38) counts only after a high part (6) for the same selection.
/// - Reset all controllers (121) selects nothing and forgets the most significant parts.
///
/// Messages of other kinds change nothing.
///
/// ```
/// use netmidi_message::{Channel, ControlEvent, Parameter, ParameterScanner, U14};
///
/// let range = U14::new(2 << 7).ok_or("too large")?;
/// let mut scanner = ParameterScanner::new();
/// let events = Parameter::PITCH_BEND_SENSITIVITY
///     .set(Channel::C1, range)
///     .filter_map(|message| scanner.push(message));
/// assert!(matches!(events.last(), Some(ControlEvent::Set { value, .. }) if value == range));
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ParameterScanner {
    channels: [ChannelState; 16],
}

#[derive(Clone, Debug, Default)]
struct ChannelState {
    registered: Number,
    non_registered: Number,
    current: Option<Kind>,
    /// The most significant parts, data entry among them.
    high: [Option<U7>; 32],
}

#[derive(Clone, Copy, Debug, Default)]
struct Number {
    msb: Option<U7>,
    lsb: Option<U7>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Registered,
    NonRegistered,
}

impl ParameterScanner {
    /// A scanner that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next message; returns the event that it completes.
    pub fn push(&mut self, message: ChannelMessage) -> Option<ControlEvent> {
        let ChannelMessage::ControlChange {
            channel,
            control,
            value,
        } = message
        else {
            return None;
        };
        let state = self.channels.get_mut(usize::from(channel.index()))?;
        match control {
            Controller::NRPN_LSB => state.select(Kind::NonRegistered, None, Some(value)),
            Controller::NRPN_MSB => state.select(Kind::NonRegistered, Some(value), None),
            Controller::RPN_LSB => state.select(Kind::Registered, None, Some(value)),
            Controller::RPN_MSB => state.select(Kind::Registered, Some(value), None),
            Controller::RESET_ALL_CONTROLLERS => *state = ChannelState::default(),
            Controller::DATA_INCREMENT => {
                let parameter = state.selected()?;
                return Some(ControlEvent::Increment { channel, parameter });
            }
            Controller::DATA_DECREMENT => {
                let parameter = state.selected()?;
                return Some(ControlEvent::Decrement { channel, parameter });
            }
            _ => return state.value(channel, control, value),
        }
        None
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

impl ChannelState {
    /// Takes half of a parameter number.
    fn select(&mut self, kind: Kind, msb: Option<U7>, lsb: Option<U7>) {
        let number = match kind {
            Kind::Registered => &mut self.registered,
            Kind::NonRegistered => &mut self.non_registered,
        };
        number.msb = msb.or(number.msb);
        number.lsb = lsb.or(number.lsb);
        self.current = Some(kind);
        // A low part to come belongs to another parameter now.
        if let Some(high) = self.high_of(Controller::DATA_ENTRY) {
            *high = None;
        }
    }

    fn selected(&self) -> Option<Parameter> {
        let (number, parameter): (_, fn(U14) -> Parameter) = match self.current? {
            Kind::Registered => (self.registered, Parameter::Registered),
            Kind::NonRegistered => (self.non_registered, Parameter::NonRegistered),
        };
        match U14::from_parts(number.msb?, number.lsb?) {
            U14::MAX => None,
            number => Some(parameter(number)),
        }
    }

    /// Takes half of a value.
    fn value(&mut self, channel: Channel, half: Controller, octet: U7) -> Option<ControlEvent> {
        let control = match half.get() {
            0..32 => half,
            number @ 32..64 => Controller::new(number - 32)?,
            _ => return None,
        };
        let high = self.high_of(control)?;
        let (value, precision) = if half == control {
            *high = Some(octet);
            (U14::from_parts(octet, U7::MIN), Precision::Coarse)
        } else {
            (U14::from_parts((*high)?, octet), Precision::Fine)
        };
        Some(if control == Controller::DATA_ENTRY {
            ControlEvent::Set {
                channel,
                parameter: self.selected()?,
                value,
                precision,
            }
        } else {
            ControlEvent::Control14 {
                channel,
                control,
                value,
                precision,
            }
        })
    }

    fn high_of(&mut self, control: Controller) -> Option<&mut Option<U7>> {
        self.high.get_mut(usize::from(control.get()))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const CHANNEL: Channel = Channel::C5;

    /// What comes of control changes on one channel.
    fn scan(controls: &[(u8, u8)]) -> Vec<ControlEvent> {
        let mut scanner = ParameterScanner::new();
        controls
            .iter()
            .filter_map(|&(control, value)| {
                scanner.push(ChannelMessage::control_change(
                    CHANNEL,
                    Controller::new(control).unwrap(),
                    U7::new(value).unwrap(),
                ))
            })
            .collect()
    }

    fn set(parameter: Parameter, value: u16, precision: Precision) -> ControlEvent {
        ControlEvent::Set {
            channel: CHANNEL,
            parameter,
            value: U14::new(value).unwrap(),
            precision,
        }
    }

    fn non_registered(number: u16) -> Parameter {
        Parameter::NonRegistered(U14::new(number).unwrap())
    }

    #[test]
    fn a_controller_counts_with_and_without_its_low_half() {
        let control = |value, precision| ControlEvent::Control14 {
            channel: CHANNEL,
            control: Controller::VOLUME,
            value: U14::new(value).unwrap(),
            precision,
        };
        assert_eq!(
            scan(&[(39, 5), (7, 100), (39, 5), (39, 6), (7, 1)]),
            [
                control(100 << 7, Precision::Coarse),
                control(100 << 7 | 5, Precision::Fine),
                control(100 << 7 | 6, Precision::Fine),
                control(1 << 7, Precision::Coarse),
            ]
        );
    }

    #[test]
    fn controllers_without_a_low_half_give_nothing() {
        assert_eq!(scan(&[(64, 127), (95, 1), (120, 0), (123, 0)]), []);
        let value = U14::MAX;
        assert_eq!(control_change_14(CHANNEL, Controller::SUSTAIN, value), None);
        assert_eq!(
            control_change_14(CHANNEL, Controller::BANK_SELECT_LSB, value),
            None
        );
    }

    #[test]
    fn parameters_are_set_in_both_kinds_and_either_order_of_halves() {
        let bend_range = Parameter::PITCH_BEND_SENSITIVITY;
        assert_eq!(
            scan(&[(101, 0), (100, 0), (6, 2), (38, 50)]),
            [
                set(bend_range, 2 << 7, Precision::Coarse),
                set(bend_range, 2 << 7 | 50, Precision::Fine),
            ]
        );
        assert_eq!(
            scan(&[(98, 3), (99, 1), (6, 9)]),
            [set(non_registered(1 << 7 | 3), 9 << 7, Precision::Coarse)]
        );
    }

    #[test]
    fn half_a_number_selects_nothing_until_the_other_half_is_known() {
        assert_eq!(scan(&[(101, 0), (6, 2)]), []);
        assert_eq!(
            scan(&[(99, 1), (98, 2), (6, 1), (98, 3), (6, 1)]),
            [
                set(non_registered(1 << 7 | 2), 1 << 7, Precision::Coarse),
                set(non_registered(1 << 7 | 3), 1 << 7, Precision::Coarse),
            ]
        );
    }

    #[test]
    fn data_entry_without_a_selection_gives_nothing() {
        assert_eq!(scan(&[(6, 2), (38, 2), (96, 0), (97, 0)]), []);
        let null = [(101, 127), (100, 127), (6, 2), (38, 1), (96, 0), (97, 0)];
        assert_eq!(scan(&null), []);
        let after = [&[(101, 0), (100, 0)][..], &null[..]].concat();
        assert_eq!(scan(&after), []);
        assert_eq!(scan(&[(99, 127), (98, 127), (6, 2)]), []);
    }

    #[test]
    fn a_low_half_counts_only_for_the_selection_of_its_high_half() {
        let events = scan(&[(101, 0), (100, 0), (6, 2), (100, 1), (38, 9)]);
        assert_eq!(events.len(), 1);
        assert_eq!(scan(&[(101, 0), (100, 0), (38, 9)]), []);
    }

    #[test]
    fn the_data_buttons_move_the_selected_parameter() {
        let parameter = Parameter::FINE_TUNING;
        let channel = CHANNEL;
        assert_eq!(
            scan(&[(101, 0), (100, 1), (96, 0), (97, 127)]),
            [
                ControlEvent::Increment { channel, parameter },
                ControlEvent::Decrement { channel, parameter },
            ]
        );
    }

    #[test]
    fn reset_all_controllers_selects_nothing() {
        assert_eq!(scan(&[(101, 0), (100, 0), (121, 0), (6, 2)]), []);
        assert_eq!(scan(&[(7, 1), (121, 0), (39, 2)]).len(), 1);
    }

    #[test]
    fn channels_are_apart() {
        let mut scanner = ParameterScanner::new();
        for message in Parameter::FINE_TUNING.select(Channel::C1) {
            assert_eq!(scanner.push(message), None);
        }
        let entry =
            |channel| ChannelMessage::control_change(channel, Controller::DATA_ENTRY, U7::MAX);
        assert_eq!(scanner.push(entry(Channel::C2)), None);
        assert!(scanner.push(entry(Channel::C1)).is_some());
        for message in deselect(Channel::C1) {
            assert_eq!(scanner.push(message), None);
        }
        assert_eq!(scanner.push(entry(Channel::C1)), None);
    }

    #[test]
    fn what_is_written_is_what_is_found() {
        let mut scanner = ParameterScanner::new();
        for number in (0..16_383).step_by(97) {
            for parameter in [
                Parameter::Registered(U14::new(number).unwrap()),
                non_registered(number),
            ] {
                let value = U14::new(16_383 - number).unwrap();
                let last = parameter
                    .set(CHANNEL, value)
                    .filter_map(|message| scanner.push(message))
                    .last();
                assert_eq!(last, Some(set(parameter, value.get(), Precision::Fine)));
            }
        }
    }
}
