//! What a stream of messages has made of the instruments: to bring in those who join later, and to
//! leave them as they were.

use netmidi::message::{
    Bend, Channel, ChannelMessage, Controller, Message, Note, RealTime, Sounding, U7,
};

/// The most parameters (RPN and NRPN) that are remembered for each channel, the newest.
const MAX_PARAMETERS: usize = 256;
const BANKS: [Controller; 2] = [Controller::BANK_SELECT, Controller::BANK_SELECT_LSB];

/// Programs, controllers, wheels, pressures, keys and pedals as they are now.
#[derive(Clone, Debug, Default)]
pub(super) struct Chase {
    channels: Vec<State>,
    sounding: Sounding,
}

/// The same of one channel.
#[derive(Clone, Debug, Default)]
struct State {
    /// With the bank of that moment.
    program: Option<([Option<U7>; 2], U7)>,
    controls: Vec<Option<U7>>,
    parameters: Vec<(Selection, [Option<U7>; 2])>,
    selected: Option<Kind>,
    pressure: Option<U7>,
    /// Keys under pressure.
    keys: u128,
    bend: Option<Bend>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Registered,
    NonRegistered,
}

impl Kind {
    const fn controls(self) -> [Controller; 2] {
        match self {
            Self::Registered => [Controller::RPN_MSB, Controller::RPN_LSB],
            Self::NonRegistered => [Controller::NRPN_MSB, Controller::NRPN_LSB],
        }
    }
}

/// A parameter: its kind and the two halves of its number.
type Selection = (Kind, U7, U7);

impl Chase {
    pub(super) fn observe(&mut self, message: &Message<'_>) {
        self.sounding.observe(message);
        match message {
            Message::Channel(message) => {
                if self.channels.is_empty() {
                    self.channels.resize_with(16, State::default);
                }
                let channel = usize::from(message.channel().index());
                if let Some(state) = self.channels.get_mut(channel) {
                    state.observe(*message);
                }
            }
            Message::RealTime(RealTime::Reset) => self.channels.clear(),
            // General MIDI on and off: everything is as at the beginning.
            Message::SysEx(sysex) if matches!(sysex.data(), [0x7E, _, 0x09, _]) => {
                self.channels.clear();
            }
            _ => {}
        }
    }

    /// What brings an instrument here that knows nothing; keys are left alone.
    pub(super) fn bring(&self, out: &mut Vec<ChannelMessage>) {
        for (channel, state) in Channel::all().zip(&self.channels) {
            state.bring(channel, out);
        }
    }

    /// What lets go everything that is held: keys, pedals, wheels, pressures.
    pub(super) fn rest(&self, out: &mut Vec<ChannelMessage>) {
        out.extend(self.sounding.releases());
        for (channel, state) in Channel::all().zip(&self.channels) {
            state.rest(channel, out);
        }
    }
}

impl State {
    fn control(&self, control: Controller) -> Option<U7> {
        self.controls
            .get(usize::from(control.get()))
            .copied()
            .flatten()
    }

    fn set(&mut self, control: Controller, value: Option<U7>) {
        if self.controls.is_empty() {
            self.controls.resize(128, None);
        }
        if let Some(it) = self.controls.get_mut(usize::from(control.get())) {
            *it = value;
        }
    }

    fn selection(&self) -> Option<Selection> {
        let kind = self.selected?;
        let [msb, lsb] = kind.controls().map(|control| self.control(control));
        let selection = (kind, msb?, lsb?);
        // 7F 7F selects nothing.
        (selection.1 != U7::MAX || selection.2 != U7::MAX).then_some(selection)
    }

    fn observe(&mut self, message: ChannelMessage) {
        match message {
            ChannelMessage::ProgramChange { program, .. } => {
                let bank = BANKS.map(|it| self.control(it));
                self.program = Some((bank, program));
            }
            ChannelMessage::ChannelPressure { value, .. } => self.pressure = Some(value),
            ChannelMessage::PitchBend { bend, .. } => self.bend = Some(bend),
            ChannelMessage::PolyPressure { note, value, .. } => {
                let bit = 1 << note.get();
                match value {
                    U7::MIN => self.keys &= !bit,
                    _ => self.keys |= bit,
                }
            }
            ChannelMessage::NoteOn { note, .. } | ChannelMessage::NoteOff { note, .. } => {
                if message.is_note_off() {
                    self.keys &= !(1 << note.get());
                }
            }
            ChannelMessage::ControlChange { control, value, .. } => match control {
                // RP-015.
                Controller::RESET_ALL_CONTROLLERS => {
                    for number in [1, 11, 64, 65, 66, 67, 98, 99, 100, 101] {
                        if let Some(control) = Controller::new(number) {
                            self.set(control, None);
                        }
                    }
                    (self.selected, self.pressure, self.bend, self.keys) = (None, None, None, 0);
                }
                _ if control.is_channel_mode() => {}
                Controller::DATA_ENTRY => self.enter(0, value),
                Controller::DATA_ENTRY_LSB => self.enter(1, value),
                // Steps: what they lead to depends on the instrument.
                Controller::DATA_INCREMENT | Controller::DATA_DECREMENT => {}
                _ => {
                    for kind in [Kind::Registered, Kind::NonRegistered] {
                        if kind.controls().contains(&control) {
                            self.selected = Some(kind);
                        }
                    }
                    self.set(control, Some(value));
                }
            },
        }
    }

    fn enter(&mut self, half: usize, value: U7) {
        let Some(selection) = self.selection() else {
            return;
        };
        let old = self.parameters.iter().position(|it| it.0 == selection);
        let mut halves = old.map_or([None; 2], |at| self.parameters.remove(at).1);
        if let Some(half) = halves.get_mut(half) {
            *half = Some(value);
        }
        if self.parameters.len() == MAX_PARAMETERS {
            self.parameters.remove(0);
        }
        self.parameters.push((selection, halves));
    }

    fn bring(&self, channel: Channel, out: &mut Vec<ChannelMessage>) {
        let change = |control, value| ChannelMessage::control_change(channel, control, value);
        let banks = BANKS;
        let mut held = [None; 2];
        if let Some((bank, program)) = self.program {
            for (control, value) in banks.into_iter().zip(bank) {
                out.extend(value.map(|value| change(control, value)));
            }
            out.push(ChannelMessage::program_change(channel, program));
            held = bank;
        }
        for (control, held) in banks.into_iter().zip(held) {
            let value = self.control(control).filter(|value| Some(*value) != held);
            out.extend(value.map(|value| change(control, value)));
        }
        for ((kind, msb, lsb), halves) in &self.parameters {
            let [high, low] = kind.controls();
            out.extend([change(high, *msb), change(low, *lsb)]);
            let entries = [Controller::DATA_ENTRY, Controller::DATA_ENTRY_LSB];
            for (control, value) in entries.into_iter().zip(halves) {
                out.extend(value.map(|value| change(control, value)));
            }
        }
        match self.selection() {
            Some((kind, msb, lsb)) => {
                let [high, low] = kind.controls();
                out.extend([change(high, msb), change(low, lsb)]);
            }
            None if !self.parameters.is_empty() => {
                out.extend(netmidi::message::deselect(channel));
            }
            None => {}
        }
        for (number, value) in (0..).zip(&self.controls) {
            let (Some(control), Some(value)) = (Controller::new(number), value) else {
                continue;
            };
            let is_told = banks.contains(&control) || matches!(number, 98..=101);
            if !is_told {
                out.push(change(control, *value));
            }
        }
        out.extend(
            self.pressure
                .map(|value| ChannelMessage::channel_pressure(channel, value)),
        );
        out.extend(
            self.bend
                .map(|bend| ChannelMessage::pitch_bend(channel, bend)),
        );
    }

    fn rest(&self, channel: Channel, out: &mut Vec<ChannelMessage>) {
        if self.bend.is_some_and(|bend| bend != Bend::CENTER) {
            out.push(ChannelMessage::pitch_bend(channel, Bend::CENTER));
        }
        if self.pressure.is_some_and(|value| value != U7::MIN) {
            out.push(ChannelMessage::channel_pressure(channel, U7::MIN));
        }
        // Modulation, portamento, soft pedal; keys and the other pedals were let go already.
        let keys = (0..=U7::MAX.get()).filter(|key| self.keys >> key & 1 != 0);
        for note in keys.filter_map(Note::new) {
            out.push(ChannelMessage::poly_pressure(channel, note, U7::MIN));
        }
        for control in [1, 65, 67].into_iter().filter_map(Controller::new) {
            if self.control(control).is_some_and(|value| value != U7::MIN) {
                out.push(ChannelMessage::control_change(channel, control, U7::MIN));
            }
        }
    }
}
