//! What a client has to be told when there is room again.

use netmidi_message::{
    Bend, Channel, ChannelMessage, Controller, Message, Note, RealTime, SystemCommon, U7, U14,
};

use super::client::{Client, Selected, Selection};
use super::{MAX_PARAMETERS, MAX_PRESSES};

/// What reset all controllers sets to 0 beside the modulation wheel (RP-015).
const RESET_SWITCHES: core::ops::Range<u8> = 64..68;
/// The controllers with two halves that it sets, and to what.
const RESET_PAIRS: [(Controller, U7); 2] = [
    (Controller::MODULATION, U7::MIN),
    (Controller::EXPRESSION, U7::MAX),
];

/// Controllers that have no last value of their own: bank, data, numbers of parameters, modes.
#[cfg(test)]
const SPECIAL: usize = 2 + 8 + 7;
/// What one channel can be owed, parameters left out: modes, bank, program and bank, the selected
/// parameters, controllers, wheel, pressure, pressures.
#[cfg(test)]
const CHANNEL_OCTETS: usize =
    5 * 3 + 2 * 3 + 2 + 2 * 3 + 5 * 3 + (128 - SPECIAL) * 3 + 3 + 2 + 128 * 3;
/// A parameter: its selection, both halves of its data, presses.
#[cfg(test)]
const PARAMETER_OCTETS: usize = 3 * (3 + 2 + MAX_PRESSES as usize);
/// Reset, song, stop, song position, start or continue.
#[cfg(test)]
const SYSTEM_OCTETS: usize = 1 + 2 + 1 + 3 + 1;
/// What [`Owed::tell`] comes to at most.
#[cfg(test)]
pub(super) const MAX_OCTETS: usize =
    16 * CHANNEL_OCTETS + MAX_PARAMETERS * PARAMETER_OCTETS + SYSTEM_OCTETS;

/// What a parameter takes in memory.
#[cfg(test)]
pub(super) const PARAMETER_SIZE: usize = size_of::<Parameter>();

/// Whether a message that is dropped leaves something to tell.
pub(super) const fn lasts(message: &Message<'_>) -> bool {
    match message {
        Message::Channel(message) => !matches!(
            message,
            ChannelMessage::NoteOn { .. } | ChannelMessage::NoteOff { .. }
        ),
        Message::Common(message) => matches!(
            message,
            SystemCommon::SongPosition { .. } | SystemCommon::SongSelect { .. }
        ),
        Message::RealTime(message) => matches!(
            message,
            RealTime::Start | RealTime::Continue | RealTime::Stop | RealTime::Reset
        ),
        Message::SysEx(_) | Message::Undefined(_) => false,
    }
}

/// The difference between what a client heard and what it should have heard.
#[derive(Debug, Default)]
pub(super) struct Owed {
    reset: bool,
    channels: [OwedChannel; 16],
    /// In the order in which they were set last.
    parameters: Vec<Parameter>,
    song: Option<U7>,
    position: Option<U14>,
    /// Start, stop or continue.
    transport: Option<RealTime>,
    /// The position came after it.
    moved: bool,
}

#[derive(Debug, Default)]
struct OwedChannel {
    /// As it should be now.
    selection: Selection,
    /// 120; 123; 124 or 125; 126 or 127.
    modes: [Option<ChannelMessage>; 4],
    /// 121.
    reset: Reset,
    /// The bank in which the program was chosen.
    program_bank: Pair,
    program: Option<U7>,
    /// The bank after that.
    bank: Pair,
    controls: Table,
    /// A bit for each controller below 32: its lower half came after it.
    lower_last: u32,
    bend: Option<Bend>,
    pressure: Option<U7>,
    poly_pressure: Table,
}

/// Whether there was a reset all controllers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Reset {
    #[default]
    No,
    /// It went to the client at once.
    Heard,
    Owed,
}

/// A value in two halves.
#[derive(Clone, Copy, Debug, Default)]
struct Pair {
    upper: Option<U7>,
    lower: Option<U7>,
    lower_last: bool,
}

impl Pair {
    const fn set(&mut self, is_lower: bool, value: U7) {
        match is_lower {
            true => self.lower = Some(value),
            false => self.upper = Some(value),
        }
        self.lower_last = is_lower;
    }

    /// The halves in their order; whether it is the lower one.
    fn halves(self) -> impl Iterator<Item = (bool, U7)> {
        let mut halves = [(false, self.upper), (true, self.lower)];
        if !self.lower_last {
            halves.reverse();
        }
        halves
            .into_iter()
            .filter_map(|(is_lower, value)| Some((is_lower, value?)))
    }
}

/// Up to 128 values.
#[derive(Debug)]
struct Table {
    set: u128,
    values: [U7; 128],
}

impl Default for Table {
    fn default() -> Self {
        Self {
            set: 0,
            values: [U7::MIN; 128],
        }
    }
}

impl Table {
    fn set(&mut self, number: U7, value: U7) {
        if let Some(it) = self.values.get_mut(usize::from(number.get())) {
            *it = value;
            self.set |= 1 << number.get();
        }
    }

    const fn remove(&mut self, number: U7) {
        self.set &= !(1 << number.get());
    }

    const fn has(&self, number: U7) -> bool {
        self.set >> number.get() & 1 != 0
    }

    fn get(&self, number: U7) -> Option<U7> {
        let value = self.values.get(usize::from(number.get())).copied();
        value.filter(|_| self.has(number))
    }

    fn iter(&self) -> impl Iterator<Item = (U7, U7)> {
        let numbers = (0..=U7::MAX.get()).map(U7::from_low_bits);
        numbers.zip(self.values).filter(|(it, _)| self.has(*it))
    }
}

/// What was done to one parameter.
#[derive(Debug)]
struct Parameter {
    channel: Channel,
    selected: Selected,
    /// Before the last reset all controllers of its channel.
    before_reset: bool,
    data: Pair,
    /// Presses of the data buttons since.
    up: u8,
    down: u8,
}

impl Parameter {
    fn change(&mut self, control: Controller, value: U7) {
        let (own, opposite) = match control {
            Controller::DATA_INCREMENT => (&mut self.up, &mut self.down),
            Controller::DATA_DECREMENT => (&mut self.down, &mut self.up),
            _ => {
                self.data.set(control == Controller::DATA_ENTRY_LSB, value);
                // Without a parameter they are no steps from here.
                if !self.selected.is_nothing() {
                    (self.up, self.down) = (0, 0);
                }
                return;
            }
        };
        // And none that one could take back.
        if *opposite > 0 && !self.selected.is_nothing() {
            *opposite -= 1;
        } else if *own + *opposite < MAX_PRESSES {
            *own += 1;
        }
    }
}

impl Owed {
    /// Nothing is owed yet.
    pub(super) fn new(client: &Client) -> Self {
        let mut owed = Self::default();
        for (channel, it) in Channel::all().zip(&mut owed.channels) {
            it.selection = client.selection(channel);
        }
        owed
    }

    /// The client has to be reset, and nothing else.
    pub(super) fn system_reset() -> Self {
        Self {
            reset: true,
            ..Self::default()
        }
    }

    /// A message that should have been heard; `heard`, if it is one that ends something and was.
    pub(super) fn follow(&mut self, message: &Message<'_>, heard: bool) {
        match *message {
            Message::Channel(message) => self.channel_message(message, heard),
            Message::Common(SystemCommon::SongSelect { song }) => self.song = Some(song),
            Message::Common(SystemCommon::SongPosition { pos }) => {
                self.position = Some(pos);
                self.moved = true;
            }
            Message::RealTime(RealTime::Start) => {
                self.transport = Some(RealTime::Start);
                self.position = Some(U14::MIN);
                self.moved = false;
            }
            Message::RealTime(message @ (RealTime::Stop | RealTime::Continue)) => {
                self.transport = Some(message);
                self.moved = false;
            }
            _ => {}
        }
    }

    fn channel_message(&mut self, message: ChannelMessage, heard: bool) {
        let channel = message.channel();
        let Some(it) = self.channels.get_mut(usize::from(channel.index())) else {
            return;
        };
        match message {
            ChannelMessage::NoteOn { .. } | ChannelMessage::NoteOff { .. } => {}
            ChannelMessage::PolyPressure { note, value, .. } => {
                it.poly_pressure.set(note.to_u7(), value);
            }
            ChannelMessage::ControlChange { control, value, .. } => match control {
                Controller::DATA_ENTRY
                | Controller::DATA_ENTRY_LSB
                | Controller::DATA_INCREMENT
                | Controller::DATA_DECREMENT => {
                    let selected = it.selection.selected();
                    self.data(channel, selected, control, value);
                }
                Controller::RESET_ALL_CONTROLLERS => {
                    it.reset_controllers(heard);
                    for parameter in &mut self.parameters {
                        parameter.before_reset |= parameter.channel == channel;
                    }
                }
                _ => it.control_change(message, control, value, heard),
            },
            ChannelMessage::ProgramChange { program, .. } => {
                for (is_lower, value) in it.bank.halves() {
                    it.program_bank.set(is_lower, value);
                }
                it.bank = Pair::default();
                it.program = Some(program);
            }
            ChannelMessage::ChannelPressure { value, .. } => it.pressure = Some(value),
            ChannelMessage::PitchBend { bend, .. } => it.bend = Some(bend),
        }
    }

    /// Data entry, or a press of a data button.
    fn data(&mut self, channel: Channel, selected: Selected, control: Controller, value: U7) {
        if selected.is_incomplete() {
            return;
        }
        let is_own = |it: &Parameter| it.channel == channel && it.selected.is(&selected);
        let older = self.parameters.iter().rposition(is_own);
        let later = older.map_or(0, |place| place + 1);
        // It must not overtake what may be about the same parameter.
        let blocked = self
            .parameters
            .iter()
            .skip(later)
            .any(|it| it.channel == channel && it.selected.may_be(&selected));
        let older = older.filter(|_| !blocked || control == Controller::DATA_ENTRY);
        let mut parameter = match older.map(|place| self.parameters.remove(place)) {
            Some(older) if !blocked => older,
            // An upper half sets everything anew.
            _ => Parameter {
                channel,
                selected,
                before_reset: false,
                data: Pair::default(),
                up: 0,
                down: 0,
            },
        };
        parameter.selected = selected;
        parameter.before_reset = false;
        parameter.change(control, value);
        if self.parameters.len() >= MAX_PARAMETERS {
            self.parameters.remove(0);
        }
        self.parameters.push(parameter);
    }

    /// Says everything, and the client hears it.
    pub(super) fn tell(self, client: &mut Client, sink: impl FnMut(Message<'_>)) {
        let mut say = Say { client, sink };
        if self.reset {
            say.message(RealTime::Reset);
        }
        for (channel, it) in Channel::all().zip(&self.channels) {
            it.tell(channel, &self.parameters, &mut say);
        }
        if let Some(song) = self.song {
            say.message(SystemCommon::SongSelect { song });
        }
        self.tell_transport(&mut say);
    }

    fn tell_transport(&self, say: &mut Say<'_, impl FnMut(Message<'_>)>) {
        let position = self.position.map(|pos| SystemCommon::SongPosition { pos });
        match (self.transport, position) {
            (Some(RealTime::Start), position) => {
                say.message(RealTime::Start);
                if self.moved {
                    position.into_iter().for_each(|it| say.message(it));
                }
            }
            // A position is for a sequencer that is stopped (MIDI 1.0, song position pointer).
            (Some(RealTime::Continue), Some(position)) if !self.moved => {
                say.message(RealTime::Stop);
                say.message(position);
                say.message(RealTime::Continue);
            }
            (transport, position) => {
                transport.into_iter().for_each(|it| say.message(it));
                position.into_iter().for_each(|it| say.message(it));
            }
        }
    }
}

impl OwedChannel {
    fn control_change(
        &mut self,
        message: ChannelMessage,
        control: Controller,
        value: U7,
        heard: bool,
    ) {
        let mode = match control {
            Controller::BANK_SELECT => return self.bank.set(false, value),
            Controller::BANK_SELECT_LSB => return self.bank.set(true, value),
            Controller::RPN_MSB
            | Controller::RPN_LSB
            | Controller::NRPN_MSB
            | Controller::NRPN_LSB => return self.selection.observe(control, value),
            Controller::ALL_SOUND_OFF => 0,
            Controller::ALL_NOTES_OFF => 1,
            Controller::OMNI_OFF | Controller::OMNI_ON => 2,
            Controller::MONO_ON | Controller::POLY_ON => 3,
            _ => {
                match heard {
                    true => self.controls.remove(control.to_u7()),
                    false => self.controls.set(control.to_u7(), value),
                }
                match control.get() {
                    number @ 0..32 => self.lower_last &= !(1 << number),
                    number @ 32..64 => self.lower_last |= 1 << (number - 32),
                    _ => {}
                }
                return;
            }
        };
        if let Some(mode) = self.modes.get_mut(mode) {
            *mode = (!heard).then_some(message);
        }
    }

    fn reset_controllers(&mut self, heard: bool) {
        self.reset = match heard {
            true => Reset::Heard,
            false => Reset::Owed,
        };
        for number in RESET_SWITCHES {
            self.controls.remove(U7::from_low_bits(number));
        }
        for (control, value) in RESET_PAIRS {
            let (upper, lower) = (control.to_u7(), lower_half(control.to_u7()));
            match self.controls.has(lower) {
                // RP-015 does not speak of lower halves. This one is told, and then the whole is 0.
                true => self.controls.set(upper, value),
                false => self.controls.remove(upper),
            }
            self.lower_last &= !(1 << upper.get());
        }
        self.bend = None;
        self.pressure = None;
        self.poly_pressure.set = 0;
        self.selection = Selection::default();
    }

    fn tell(
        &self,
        channel: Channel,
        parameters: &[Parameter],
        say: &mut Say<'_, impl FnMut(Message<'_>)>,
    ) {
        for mode in self.modes.into_iter().flatten() {
            say.message(mode);
        }
        let (before, after): (Vec<_>, Vec<_>) = parameters
            .iter()
            .filter(|it| it.channel == channel)
            .partition(|it| it.before_reset);
        before.iter().for_each(|it| say.parameter(it));
        // One that was heard at once came before these, which it should have come after.
        if self.reset == Reset::Owed || !before.is_empty() {
            say.control(channel, Controller::RESET_ALL_CONTROLLERS, U7::MIN);
        }
        say.bank(channel, self.program_bank);
        if let Some(program) = self.program {
            say.message(ChannelMessage::program_change(channel, program));
        }
        say.bank(channel, self.bank);
        after.iter().for_each(|it| say.parameter(it));
        let selection = say.client.selection(channel);
        selection.lead_to(self.selection, |control, value| {
            say.control(channel, control, value);
        });
        self.tell_controls(channel, say);
        if let Some(bend) = self.bend {
            say.message(ChannelMessage::pitch_bend(channel, bend));
        }
        if let Some(value) = self.pressure {
            say.message(ChannelMessage::channel_pressure(channel, value));
        }
        for (note, value) in self.poly_pressure.iter() {
            say.message(ChannelMessage::poly_pressure(
                channel,
                Note::from(note),
                value,
            ));
        }
    }

    fn tell_controls(&self, channel: Channel, say: &mut Say<'_, impl FnMut(Message<'_>)>) {
        for (number, value) in self.controls.iter() {
            if number.get() < 32 {
                let pair = Pair {
                    upper: Some(value),
                    lower: self.controls.get(lower_half(number)),
                    lower_last: self.lower_last >> number.get() & 1 != 0,
                };
                say.pair(channel, number, pair);
            } else if number.get() >= 64 || !self.controls.has(upper_half(number)) {
                say.control(channel, number.into(), value);
            }
        }
    }
}

/// The controller of the lower half of one below 32.
const fn lower_half(upper: U7) -> U7 {
    U7::from_low_bits(upper.get() | 32)
}

/// The controller of the upper half of one from 32 to 63.
const fn upper_half(lower: U7) -> U7 {
    U7::from_low_bits(lower.get() & 31)
}

/// Says messages and lets the client hear them.
struct Say<'a, S> {
    client: &'a mut Client,
    sink: S,
}

impl<S: FnMut(Message<'_>)> Say<'_, S> {
    fn message(&mut self, message: impl Into<Message<'static>>) {
        let message = message.into();
        self.client.hear(&message);
        (self.sink)(message);
    }

    fn control(&mut self, channel: Channel, control: Controller, value: U7) {
        self.message(ChannelMessage::control_change(channel, control, value));
    }

    fn pair(&mut self, channel: Channel, upper: U7, pair: Pair) {
        for (is_lower, value) in pair.halves() {
            let number = if is_lower { lower_half(upper) } else { upper };
            self.control(channel, number.into(), value);
        }
    }

    fn bank(&mut self, channel: Channel, bank: Pair) {
        self.pair(channel, Controller::BANK_SELECT.to_u7(), bank);
    }

    fn parameter(&mut self, parameter: &Parameter) {
        let (channel, wanted) = (parameter.channel, parameter.selected);
        let now = self.client.selection(channel).selected();
        if !now.is(&wanted) {
            wanted.select(|control, value| self.control(channel, control, value));
        }
        self.pair(channel, Controller::DATA_ENTRY.to_u7(), parameter.data);
        for _ in 0..parameter.up {
            self.control(channel, Controller::DATA_INCREMENT, U7::MIN);
        }
        for _ in 0..parameter.down {
            self.control(channel, Controller::DATA_DECREMENT, U7::MIN);
        }
    }
}
