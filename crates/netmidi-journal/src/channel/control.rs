//! Chapter C: control change.

use netmidi_message::{Controller, U7};

use super::{read_list, write_list};
use crate::encode::{Cursor, encodes, top};
use crate::logs::{Log, Logs};
use crate::parse::Parsed;
use crate::value::Alt;

/// Chapter C: the controllers of a channel (RFC 6295 §A.3).
///
/// ```text
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |S|     LEN     |S|   NUMBER    |A|  VALUE/ALT  |  LEN more logs …
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
///
/// LEN is one less than the number of logs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Controls<'a> {
    s: bool,
    logs: Logs<'a, ControlLog>,
}

/// One log of chapter C: a command, seen with one tool.
///
/// ```text
///  0                   1
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |S|   NUMBER    |0|    VALUE    |
/// |S|   NUMBER    |1|T|    ALT    |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ControlLog {
    /// 0 if the command was in the packet just before.
    pub s: bool,
    /// The controller.
    pub controller: Controller,
    /// What is told about the command.
    pub tool: ControlTool,
}

/// What a [`ControlLog`] tells about its command (RFC 6295 §A.3.1).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ControlTool {
    /// The value.
    Value(U7),
    /// How often the controller has gone from off (0 to 63) to on or back: odd means on.
    Toggle(Alt),
    /// How many commands there were for this controller, this one included.
    Count(Alt),
}

impl<'a> Controls<'a> {
    /// The chapter, or `None` when there is no log to put into it.
    ///
    /// `s` is 0 if something that has no log any more was in the packet just before; it is written
    /// as 0 also if it is so in a log.
    #[must_use]
    pub const fn new(s: bool, logs: Logs<'a, ControlLog>) -> Option<Self> {
        if logs.is_empty() {
            None
        } else {
            Some(Self { s, logs })
        }
    }

    /// S as it was read or given.
    #[must_use]
    pub const fn s(&self) -> bool {
        self.s
    }

    /// S as it is written: 0 if it is 0 here or in a log.
    #[must_use]
    pub fn effective_s(&self) -> bool {
        self.s && self.logs.s()
    }

    /// The logs, 1 to 128.
    #[must_use]
    pub const fn logs(&self) -> Logs<'a, ControlLog> {
        self.logs
    }

    pub(crate) fn read(input: &'a [u8]) -> Parsed<'a, Self> {
        let (rest, (s, logs)) = read_list(input)?;
        Ok((rest, Self { s, logs }))
    }

    pub(crate) fn write(&self, out: &mut Cursor<'_>) {
        write_list(self.effective_s(), &self.logs, out);
    }
}

encodes!(Controls<'_>);

#[cfg(feature = "alloc")]
pub(crate) mod receiver {
    use core::iter::Peekable;

    use netmidi_message::{ChannelMessage, Controller, U7};

    use super::{ControlLog, ControlTool, Controls};
    use crate::logs::LogIter;
    use crate::repairer::{ChannelModel, Packet, PerKey, Repairs, Table, keys};
    use crate::value::Alt;

    /// What a reset of all controllers (121) sets, by the MIDI Manufacturers Association's RP-015.
    const RESETS: [(u8, U7); 6] = [
        (1, U7::MIN),
        (11, U7::MAX),
        (64, U7::MIN),
        (65, U7::MIN),
        (66, U7::MIN),
        (67, U7::MIN),
    ];

    /// The channel modes: each ends what the other one of its pair began.
    const MODES: [(Controller, Controller); 2] = [
        (Controller::OMNI_OFF, Controller::OMNI_ON),
        (Controller::MONO_ON, Controller::POLY_ON),
    ];

    #[derive(Clone, Copy, Debug, Default)]
    struct ControlState {
        value: U7,
        /// Whether `value` is what the sender's controller has.
        known: bool,
        /// How often it went from off to on or back, modulo 64: odd means on.
        toggles: Alt,
        /// How many commands there were, modulo 64.
        count: Alt,
        /// Whether it was executed after the other controller of its pair.
        last_of_pair: bool,
        /// The packet of the last command.
        last: Packet,
    }

    /// The controllers of a channel. Of data entry and buttons (6, 38, 96, 97) only what was for no
    /// parameter.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct ControlModel(Table<ControlState>);

    /// Which logs of chapter C are looked at: some are repaired before everything else.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub(crate) enum Phase {
        /// Those that end notes: 120 and 123 to 127.
        Mode,
        /// All others.
        Rest,
    }

    impl ControlModel {
        pub(crate) fn observe(&mut self, ext: u64, control: Controller, value: U7) {
            let state = self.state(control);
            state.value = value;
            state.known = true;
            state.count = after(state.count);
            if is_on(value) != is_odd(state.toggles) {
                state.toggles = after(state.toggles);
            }
            state.last = Packet::new(ext);
            if let Some(partner) = partner(control) {
                state.last_of_pair = true;
                if let Some(partner) = self.0.used_mut(partner.to_u7()) {
                    partner.last_of_pair = false;
                }
            }
        }

        /// What controller 121 does to the others. A switch that goes off so counts as switched.
        pub(crate) fn reset(&mut self) {
            for (control, value) in resets() {
                let state = self.state(control);
                state.value = value;
                state.known = true;
                if !is_on(value) && is_odd(state.toggles) {
                    state.toggles = after(state.toggles);
                }
            }
        }

        /// Whether it was ever set, by a command or a reset, and to what.
        fn value(&self, control: Controller) -> Option<U7> {
            let state = self.0.get(control.to_u7());
            (state.known || state.last != Packet::default()).then_some(state.value)
        }

        /// Whether it was the last of its pair.
        fn is_last_of_pair(&self, control: Controller) -> bool {
            self.0.get(control.to_u7()).last_of_pair
        }

        /// How many commands there were, modulo 64.
        fn count(&self, control: Controller) -> Alt {
            self.0.get(control.to_u7()).count
        }

        pub(crate) fn is_on(&self, control: Controller) -> bool {
            is_on(self.0.get(control.to_u7()).value)
        }

        /// The packet of the last command of the controller.
        pub(crate) fn ext(&self, control: Controller) -> u64 {
            self.0.get(control.to_u7()).last.ext()
        }

        /// As if it had never been set.
        fn unset(&mut self, control: Controller) {
            if let Some(state) = self.0.used_mut(control.to_u7()) {
                state.known = false;
                state.last = Packet::default();
            }
        }

        /// What the controllers are is not known any more, but for those of this set.
        pub(crate) fn forget_all_but(&mut self, logged: u128) {
            for key in self.0.keys().filter(|key| logged >> key.get() & 1 == 0) {
                if let Some(state) = self.0.used_mut(key) {
                    state.known = false;
                }
            }
        }

        /// A reset of the whole system. Memory is kept.
        pub(crate) fn clear(&mut self) {
            self.0.clear();
        }

        fn state(&mut self, control: Controller) -> &mut ControlState {
            self.0.get_mut(control.to_u7())
        }

        /// A command that a later 121 has undone: nothing is to be executed.
        fn undone(&mut self, command: &Command, value: U7) {
            let state = self.state(command.control);
            state.value = value;
            state.known = true;
            state.count = command.count.unwrap_or(state.count);
            if let Some(toggles) = command.toggles {
                state.toggles = toggles;
                if is_odd(toggles) {
                    state.toggles = after(toggles);
                }
            }
        }
    }

    /// One command of the list, by all its tools.
    #[derive(Clone, Copy, Debug)]
    struct Command {
        control: Controller,
        /// 1 if it is so in all of its logs.
        s: bool,
        count: Option<Alt>,
        value: Option<U7>,
        toggles: Option<Alt>,
    }

    /// Puts the logs together that stand side by side for one command: count, value, toggle.
    struct Commands<'a>(Peekable<LogIter<'a, ControlLog>>);

    impl Iterator for Commands<'_> {
        type Item = Command;

        fn next(&mut self) -> Option<Command> {
            let first = self.0.next()?;
            let mut command = Command {
                control: first.controller,
                s: first.s,
                count: None,
                value: None,
                toggles: None,
            };
            command.add(first.tool);
            while let Some(log) = self.0.next_if(|log| {
                log.controller == first.controller
                    && match log.tool {
                        ControlTool::Count(_) => false,
                        ControlTool::Value(_) => {
                            command.value.is_none() && command.toggles.is_none()
                        }
                        ControlTool::Toggle(_) => command.toggles.is_none(),
                    }
            }) {
                command.s &= log.s;
                command.add(log.tool);
            }
            Some(command)
        }
    }

    impl Command {
        const fn add(&mut self, tool: ControlTool) {
            match tool {
                ControlTool::Count(count) => self.count = Some(count),
                ControlTool::Value(value) => self.value = Some(value),
                ControlTool::Toggle(toggles) => self.toggles = Some(toggles),
            }
        }

        /// The data value, or the best that is known of it.
        fn data(&self) -> U7 {
            match (self.value, self.toggles) {
                (Some(value), _) => value,
                (None, Some(toggles)) if is_odd(toggles) => U7::MAX,
                (None, Some(_)) => U7::MIN,
                (None, None) => default_value(self.control),
            }
        }
    }

    fn commands<'a>(controls: &Controls<'a>) -> Commands<'a> {
        Commands(controls.logs().iter().peekable())
    }

    impl ChannelModel {
        /// The receiver's rule of chapter C, for some of its logs.
        pub(crate) fn repair_controls(
            &mut self,
            controls: &Controls<'_>,
            enhanced: bool,
            phase: Phase,
            out: &mut Repairs<'_>,
        ) {
            if out.skips(controls.s()) {
                return;
            }
            let reset = commands(controls)
                .enumerate()
                .filter(|(_, it)| it.control == Controller::RESET_ALL_CONTROLLERS)
                .last()
                .map(|(index, _)| index);
            let mut counted = enhanced.then(|| Counted::new(controls, &self.controls));
            for (index, command) in commands(controls).enumerate() {
                let number = counted.as_mut().map(|it| it.number(&command));
                if phase_of(command.control) != phase || out.skips(command.s) {
                    continue;
                }
                let reset_value = resets().find(|(control, _)| *control == command.control);
                if let Some((_, value)) = reset_value
                    && Some(index) < reset
                {
                    self.controls.undone(&command, value);
                    continue;
                }
                match number {
                    Some(Numbered::Old) => {
                        let own = self.controls.0.get(command.control.to_u7());
                        let in_order = own.last_of_pair || partner(command.control).is_none();
                        if !in_order && ends_pair(controls, index, command.control) {
                            self.execute_uncounted(command.control, command.data(), out);
                        }
                    }
                    Some(Numbered::New(count)) => {
                        self.execute_command(&command, 1, out);
                        self.controls.state(command.control).count = count;
                    }
                    _ => {
                        let last = || ends_pair(controls, index, command.control);
                        self.repair_control(&command, last, out);
                    }
                }
                if let Some(toggles) = command.toggles {
                    self.controls.state(command.control).toggles = toggles;
                }
            }
        }

        /// One command. `ends_pair` tells whether the other controller of its pair does not follow
        /// in the list.
        fn repair_control(
            &mut self,
            command: &Command,
            ends_pair: impl FnOnce() -> bool,
            out: &mut Repairs<'_>,
        ) {
            let control = command.control;
            let own = self.controls.0.get(control.to_u7());
            let value_differs = command
                .value
                .is_some_and(|it| !own.known || it != own.value);
            // A value alone does not tell how often a command came that is an order, not a state.
            let value_says_little = is_order(control)
                && command.count.is_none()
                && command.toggles.is_none()
                && out.catching_up.is_none();
            let toggled = command.toggles.map_or(0, |it| it.wrapping_sub(own.toggles));
            let state_differs = command
                .toggles
                .is_some_and(|it| own.known && is_odd(it) != is_on(own.value));
            let missing = command.count.map_or(0, |it| it.wrapping_sub(own.count));
            // The order of a pair matters: its upper half may have zeroed the lower one.
            let out_of_order =
                partner(control).is_some() && !own.last_of_pair && own.known && ends_pair();
            if value_differs
                || value_says_little
                || toggled != 0
                || state_differs
                || missing != 0
                || out_of_order
            {
                if toggled != 0
                    && toggled.is_multiple_of(2)
                    && control != Controller::RESET_ALL_CONTROLLERS
                {
                    let opposite = if is_on(command.data()) {
                        U7::MIN
                    } else {
                        U7::MAX
                    };
                    self.execute_control(control, opposite, out);
                }
                let steps = matches!(
                    control,
                    Controller::DATA_INCREMENT | Controller::DATA_DECREMENT
                );
                self.execute_command(command, if steps { missing.max(1) } else { 1 }, out);
            }
            if let Some(count) = command.count {
                self.controls.state(control).count = count;
            }
        }

        fn execute_command(&mut self, command: &Command, times: u8, out: &mut Repairs<'_>) {
            for _ in 0..times {
                self.execute_control(command.control, command.data(), out);
            }
        }

        /// A command that the sender has not sent just so: its counts do not know it.
        pub(crate) fn execute_uncounted(
            &mut self,
            control: Controller,
            value: U7,
            out: &mut Repairs<'_>,
        ) {
            let count = self.controls.state(control).count;
            self.execute_control(control, value, out);
            self.controls.state(control).count = count;
        }

        /// A controller of chapter C, so one that is for no parameter.
        pub(crate) fn execute_control(
            &mut self,
            control: Controller,
            value: U7,
            out: &mut Repairs<'_>,
        ) {
            if is_data(control) {
                // Chapter M selects it again if it is still open.
                self.close_parameter(out);
            }
            let message = ChannelMessage::control_change(self.channel, control, value);
            self.execute(message, out);
        }
    }

    impl ChannelModel {
        /// Whether the channel mode now is another: omni or not, mono or poly.
        pub(crate) fn mode_differs(&self, now: &Self) -> bool {
            MODES
                .into_iter()
                .any(|(first, second)| self.new_mode(now, first, second).is_some())
        }

        /// The messages that set the channel mode. They end all notes.
        pub(crate) fn restore_modes(&mut self, now: &Self, out: &mut Repairs<'_>) {
            for (first, second) in MODES {
                if let Some((control, value)) = self.new_mode(now, first, second) {
                    self.execute_control(control, value, out);
                }
            }
        }

        fn new_mode(
            &self,
            now: &Self,
            first: Controller,
            second: Controller,
        ) -> Option<(Controller, U7)> {
            let mode = |it: &Self| {
                [first, second]
                    .into_iter()
                    .find(|control| it.controls.is_last_of_pair(*control))
                    .and_then(|control| Some((control, it.controls.value(control)?)))
            };
            mode(now).filter(|it| mode(self) != Some(*it))
        }

        /// The controllers that last. Where 121 has come it is sent again, because instruments
        /// differ in what it resets; what was sent after it follows it.
        pub(crate) fn restore_controls(&mut self, now: &Self, out: &mut Repairs<'_>) {
            const RESET: Controller = Controller::RESET_ALL_CONTROLLERS;
            let lasting = || keys().map(Controller::from).filter(|it| lasts(*it));
            let reset = now.controls.ext(RESET);
            let was_reset = self.controls.ext(RESET) < reset;
            if was_reset {
                for control in lasting().filter(|it| now.controls.ext(*it) < reset) {
                    if !resets().any(|(it, _)| it == control) {
                        self.restore_control(control, now, out);
                    }
                }
                let value = now.controls.value(RESET).unwrap_or_default();
                self.execute_control(RESET, value, out);
            }
            for control in lasting() {
                if was_reset && now.controls.ext(control) >= reset {
                    self.controls.unset(control);
                }
                self.restore_control(control, now, out);
            }
            for button in [Controller::DATA_INCREMENT, Controller::DATA_DECREMENT] {
                let (own, then) = (self.controls.count(button), now.controls.count(button));
                let missing = then.wrapping_sub(own).into();
                let steps = out.take_steps(missing);
                for _ in 0..steps {
                    let value = now.controls.value(button).unwrap_or_default();
                    self.execute_control(button, value, out);
                }
                out.leave_untold(missing - steps);
            }
        }

        /// One controller that lasts, and with it the one that came after it of its pair: the upper
        /// half of a value may zero the lower one.
        pub(crate) fn restore_control(
            &mut self,
            control: Controller,
            now: &Self,
            out: &mut Repairs<'_>,
        ) {
            let Some(value) = now.controls.value(control) else {
                return;
            };
            let differs = self.controls.value(control) != Some(value);
            let Some(partner) = partner(control) else {
                if differs {
                    self.execute_control(control, value, out);
                }
                return;
            };
            let is_last = now.controls.is_last_of_pair(control);
            if differs || is_last && !self.controls.is_last_of_pair(control) {
                self.execute_control(control, value, out);
            }
            if differs
                && now.controls.is_last_of_pair(partner)
                && let Some(value) = now.controls.value(partner)
            {
                self.execute_control(partner, value, out);
            }
        }
    }

    /// Whether what the controller sets is neither an order nor for a parameter, nor counted.
    fn lasts(control: Controller) -> bool {
        !matches!(control.get(), 96..=101 | 120 | 121 | 123..=127)
    }

    /// Numbers the commands of an enhanced chapter C (RFC 6295 §A.3.3).
    struct Counted {
        /// What was executed of each controller, `None` for one never seen.
        own: PerKey<Option<Alt>>,
        /// The number of its last command.
        newest: PerKey<Option<Alt>>,
        current: PerKey<Option<Alt>>,
    }

    enum Numbered {
        /// It was executed before.
        Old,
        /// It was not.
        New(Alt),
        /// The list does not count this controller.
        Unknown,
    }

    impl Counted {
        fn new(controls: &Controls<'_>, model: &ControlModel) -> Self {
            let mut it = Self {
                own: PerKey::new(None),
                newest: PerKey::new(None),
                current: PerKey::new(None),
            };
            for command in commands(controls) {
                let state = model.0.get(command.control.to_u7());
                let key = command.control.to_u7();
                *it.own.get_mut(key) = state.known.then_some(state.count);
                let number = it.count(&command);
                *it.newest.get_mut(key) = number;
            }
            it.current = PerKey::new(None);
            it
        }

        fn number(&mut self, command: &Command) -> Numbered {
            let key = command.control.to_u7();
            let (Some(number), Some(newest)) = (self.count(command), self.newest.get(key)) else {
                return Numbered::Unknown;
            };
            match self.own.get(key) {
                // The sender is never behind, so so many of the newest are new.
                Some(own) if newest.wrapping_sub(number) >= newest.wrapping_sub(own) => {
                    Numbered::Old
                }
                _ => Numbered::New(number),
            }
        }

        /// A command without a count log is the one after the last.
        fn count(&mut self, command: &Command) -> Option<Alt> {
            let current = self.current.get_mut(command.control.to_u7());
            *current = command.count.or(current.map(after));
            *current
        }
    }

    /// Whether no command of the pair comes after the one with this index.
    fn ends_pair(controls: &Controls<'_>, index: usize, control: Controller) -> bool {
        let partner = partner(control);
        !commands(controls)
            .skip(index + 1)
            .any(|it| it.control == control || Some(it.control) == partner)
    }

    /// The other one of two controllers that belong together: the halves of a fourteen-bit value,
    /// or modes that exclude each other.
    fn partner(control: Controller) -> Option<Controller> {
        match control.get() {
            6 | 38 => None,
            number @ 0..32 => Controller::new(number + 32),
            number @ 32..64 => Controller::new(number - 32),
            number @ 124..=127 => Controller::new(number ^ 1),
            _ => None,
        }
    }

    /// Whether a channel mode message is obeyed each time it comes.
    fn is_order(control: Controller) -> bool {
        matches!(control.get(), 120 | 121 | 123..=127)
    }

    fn phase_of(control: Controller) -> Phase {
        if matches!(control.get(), 120 | 123..=127) {
            Phase::Mode
        } else {
            Phase::Rest
        }
    }

    /// Data entry and buttons, which are for a parameter if one is selected.
    pub(crate) fn is_data(control: Controller) -> bool {
        matches!(control.get(), 6 | 38 | 96 | 97)
    }

    /// What an instrument has after power-up, for commands of which only the number is known.
    fn default_value(control: Controller) -> U7 {
        U7::from_low_bits(match control.get() {
            7 => 100,
            8 | 10 | 71..=78 => 64,
            11 | 98..=101 => 127,
            _ => 0,
        })
    }

    fn resets() -> impl Iterator<Item = (Controller, U7)> {
        RESETS
            .into_iter()
            .filter_map(|(control, value)| Some((Controller::new(control)?, value)))
    }

    fn is_on(value: U7) -> bool {
        value.get() >= 64
    }

    fn is_odd(alt: Alt) -> bool {
        alt.get() % 2 == 1
    }

    fn after(alt: Alt) -> Alt {
        Alt::from_low_bits(alt.get() + 1)
    }
}

impl Log for ControlLog {
    #[inline]
    fn from_octets([number, tool]: [u8; 2]) -> Self {
        let alt = Alt::from_low_bits(tool);
        Self {
            s: number & S != 0,
            controller: Controller::from(U7::from_low_bits(number)),
            tool: match tool & (A | T) {
                A => ControlTool::Toggle(alt),
                0..A => ControlTool::Value(U7::from_low_bits(tool)),
                _ => ControlTool::Count(alt),
            },
        }
    }

    #[inline]
    fn to_octets(self) -> [u8; 2] {
        let tool = match self.tool {
            ControlTool::Value(value) => value.get(),
            ControlTool::Toggle(alt) => A | alt.get(),
            ControlTool::Count(alt) => A | T | alt.get(),
        };
        [top(self.s) | self.controller.get(), tool]
    }

    fn s(self) -> bool {
        self.s
    }
}

const S: u8 = 0x80;
/// Not the value tool.
const A: u8 = 0x80;
/// The count tool.
const T: u8 = 0x40;

#[cfg(feature = "alloc")]
pub(crate) mod sent {
    use alloc::boxed::Box;
    use alloc::vec::Vec;

    use netmidi_message::{Controller, U7};

    use super::{ControlLog, ControlTool, Controls};
    use crate::logs::Logs;
    use crate::recent::{Item, Mark, Packet, Recent, View, item_bit};
    use crate::value::Alt;

    /// Which controllers of a channel were set. Those of parameter transactions are not here.
    #[derive(Clone, Debug)]
    pub(crate) struct History {
        /// With the value.
        recent: Recent,
        /// Of [`COUNTED`](Self::COUNTED).
        counts: [u8; 10],
        /// Of controllers 64 to 69.
        toggles: [Toggle; 6],
        /// For enhanced chapters, in which every command is an item.
        enhanced: Option<Box<Enhanced>>,
    }

    #[derive(Clone, Debug)]
    struct Enhanced {
        commands: Vec<Command>,
        counts: [u8; 128],
    }

    /// How often a switch has changed, which also tells whether it is on.
    #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
    struct Toggle {
        now: u8,
        /// Up to the last command, without a change that controller 121 made later.
        coded: u8,
    }

    #[derive(Clone, Copy, Debug)]
    struct Command {
        controller: u8,
        value: U7,
        count: u8,
        mark: Mark,
    }

    impl History {
        /// Controllers without which notes hang, and 121, without which an older log of a pedal
        /// would be taken as news.
        pub(crate) const SAFETY: u128 = 0xFB << 120 | item_bit(64) | item_bit(66);
        /// The controllers that controller 121 sets (RP-015).
        const RESET: u128 = item_bit(1) | item_bit(11) | 0xF << 64;
        /// Commands that an enhanced chapter lists at most: with two logs each it is full.
        const MAX_COMMANDS: usize = 64;
        /// The controllers that have logs with a count.
        const COUNTED: [u8; 10] = [84, 96, 97, 120, 121, 123, 124, 125, 126, 127];

        pub(crate) fn new(enhanced: bool) -> Self {
            Self {
                recent: Recent::new(),
                counts: [0; 10],
                toggles: [Toggle::default(); 6],
                enhanced: enhanced.then(|| {
                    Box::new(Enhanced {
                        commands: Vec::new(),
                        counts: [0; 128],
                    })
                }),
            }
        }

        /// A command that sets everything to its start went out. Memory is kept.
        pub(crate) fn clear(&mut self) {
            self.recent.clear();
            self.counts = [0; 10];
            self.toggles = [Toggle::default(); 6];
            if let Some(enhanced) = &mut self.enhanced {
                enhanced.commands.clear();
                enhanced.counts = [0; 128];
            }
        }

        /// Whether it knows nothing but what is unacknowledged.
        pub(crate) fn is_blank(&self) -> bool {
            self.counts == [0; 10]
                && self.toggles.iter().all(|it| it.now == 0)
                && self.enhanced.is_none()
        }

        /// Gives back what memory it does not need now.
        pub(crate) fn shrink(&mut self) {
            self.recent.shrink();
            if let Some(enhanced) = &mut self.enhanced {
                enhanced.commands.shrink_to_fit();
            }
        }

        pub(crate) fn rebase(&mut self, by: Packet) {
            self.recent.rebase(by);
            for command in self.commands_mut() {
                command.mark.rebase(by);
            }
        }

        pub(crate) fn record(&mut self, controller: Controller, value: U7, packet: Packet) {
            let number = controller.get();
            if let Some(index) = Self::counter(number)
                && let Some(count) = self.counts.get_mut(index)
            {
                *count = count.wrapping_add(1);
            }
            let toggle = usize::from(number).checked_sub(64);
            if let Some(toggle) = toggle.and_then(|it| self.toggles.get_mut(it)) {
                toggle.set(value.get() >= 64);
                toggle.coded = toggle.now;
            }
            match &mut self.enhanced {
                Some(enhanced) => enhanced.record(number, value, packet),
                None => self.recent.touch(number, packet, value.get(), ()),
            }
        }

        /// The place in `counts`.
        fn counter(controller: u8) -> Option<usize> {
            match controller {
                ..84 => None,
                _ => Self::COUNTED.iter().position(|it| *it == controller),
            }
        }

        /// Controller 121, before it is recorded itself: a pedal that is down goes up.
        pub(crate) fn reset(&mut self) {
            for toggle in self.toggles.iter_mut().take(4) {
                toggle.set(false);
            }
        }

        /// Which controllers are unacknowledged, except for enhanced chapters.
        pub(crate) const fn members(&self) -> u128 {
            self.recent.members()
        }

        pub(crate) fn is_pending(&self) -> bool {
            !self.recent.is_empty() || !self.commands().is_empty()
        }

        pub(crate) fn oldest(&self) -> Option<Packet> {
            match self.commands() {
                [first, ..] => first.mark.packet(),
                [] => self.recent.oldest(),
            }
        }

        pub(crate) fn acknowledge(&mut self, report: Packet) {
            self.recent.acknowledge(report);
            if let Some(enhanced) = &mut self.enhanced {
                let commands = &mut enhanced.commands;
                commands.retain(|command| !command.mark.is_covered(report));
            }
        }

        fn commands(&self) -> &[Command] {
            self.enhanced.as_ref().map_or(&[], |it| &it.commands)
        }

        fn commands_mut(&mut self) -> &mut [Command] {
            self.enhanced
                .as_mut()
                .map_or(&mut [], |it| &mut it.commands)
        }

        /// The journals before the packet `since` tell those of `told` only. Returns whether any
        /// was left out.
        pub(crate) fn omit_except(&mut self, told: u128, since: Packet) -> bool {
            let mut told = told;
            if self.recent.members() & !told & Self::RESET != 0 {
                // It must not go before them.
                told &= !item_bit(121);
            }
            let mut any = self.recent.omit_except(told, since);
            for command in self.commands_mut() {
                if told & item_bit(command.controller) == 0 {
                    any |= command.mark.omit(since);
                }
            }
            any
        }

        /// The chapter with those of `told`.
        pub(crate) fn chapter<'b>(
            &self,
            view: &View,
            told: u128,
            logs: &'b mut Vec<ControlLog>,
        ) -> Option<Controls<'b>> {
            logs.clear();
            match &self.enhanced {
                Some(enhanced) => list_commands(&enhanced.commands, view, told, logs),
                None => self.list_controllers(view, told, logs),
            }
            Controls::new(true, Logs::new(logs)?)
        }

        /// The controllers that are told before all others, together or not at all.
        pub(crate) const fn safety_group(&self) -> u128 {
            if self.enhanced.is_some() {
                return u128::MAX;
            }
            self.recent.members() & Self::SAFETY
        }

        /// The controllers that are told together with this one or not at all, which is none of
        /// [`SAFETY`](Self::SAFETY).
        pub(crate) const fn group_of(&self, controller: u8) -> u128 {
            // The order of the two halves of a value matters to receivers.
            let set = match controller {
                6 | 38 | 64.. => item_bit(controller),
                _ => item_bit(controller) | item_bit(controller ^ 32),
            };
            set & self.recent.members()
        }

        /// Sets of controllers that are told together or not at all, by the highest of them, with
        /// the packet that changed them last and their octets. `None` is the [first
        /// one](Self::safety_group).
        pub(crate) fn groups(&self, mut group: impl FnMut(Option<u8>, Packet, usize)) {
            if let Some(enhanced) = &self.enhanced {
                if let Some(last) = enhanced.commands.last() {
                    let logs = enhanced.commands.len() * 2;
                    group(None, last.mark.packet().unwrap_or_default(), 2 * logs);
                }
                return;
            }
            let len = |item: &Item<()>| 2 * self.tools(item).into_iter().flatten().count();
            let (mut safety_len, mut safety_packet) = (0, 0);
            for item in self.recent.iter() {
                let packet = item.mark().packet().unwrap_or_default();
                if item_bit(item.number) & Self::SAFETY != 0 {
                    safety_len += len(item);
                    // The newest is the last.
                    safety_packet = packet;
                    continue;
                }
                match self.group_of(item.number) & !item_bit(item.number) {
                    0 => group(Some(item.number), packet, len(item)),
                    other => {
                        // Once for both.
                        let other = other.trailing_zeros() as u8;
                        if item.number < other
                            && let Some(other) = self.recent.get(other)
                        {
                            let packet = packet.max(other.mark().packet().unwrap_or_default());
                            group(Some(other.number), packet, len(item) + len(other));
                        }
                    }
                }
            }
            if safety_len > 0 {
                group(None, safety_packet, safety_len);
            }
        }

        fn list_controllers(&self, view: &View, told: u128, logs: &mut Vec<ControlLog>) {
            // The chapter holds 128 logs. If everything is in it at once, some must do with one.
            let max = Logs::<ControlLog>::MAX_LEN;
            let mut spare = max - (self.recent.members() & told).count_ones() as usize;
            for item in self.recent.iter() {
                if told & item_bit(item.number) == 0 {
                    continue;
                }
                let tools = self.tools(item);
                let many = tools.iter().flatten().count().saturating_sub(1);
                let skip = if many <= spare { 0 } else { many };
                spare -= many - skip;
                let tools = tools.into_iter().flatten().skip(skip);
                logs.extend(tools.map(|tool| ControlLog {
                    s: item.mark().s(view.previous),
                    controller: Controller::from(U7::from_low_bits(item.number)),
                    tool,
                }));
            }
        }

        /// The tools for a controller, in their order.
        fn tools(&self, item: &Item<()>) -> [Option<ControlTool>; 3] {
            let value = U7::from_low_bits(item.value);
            let plain = Some(ControlTool::Value(value));
            let count = Self::counter(item.number).and_then(|it| self.counts.get(it));
            let count = count.map(|it| ControlTool::Count(Alt::from_low_bits(*it)));
            match item.number {
                64..=69 => {
                    let index = usize::from(item.number) - 64;
                    let toggle = self.toggles.get(index);
                    let toggle = toggle.map(|it| ControlTool::Toggle(Alt::from_low_bits(it.coded)));
                    // Half a pedal.
                    let exact = !matches!(value, U7::MIN | U7::MAX);
                    [None, plain.filter(|_| exact), toggle]
                }
                84 => [count, plain, None],
                121 | 126 => [count, plain.filter(|_| value != U7::MIN), None],
                _ if is_counted(item.number) => [count, None, None],
                _ => [None, plain, None],
            }
        }
    }

    impl Enhanced {
        fn record(&mut self, controller: u8, value: U7, packet: Packet) {
            let mut count = 0;
            if let Some(slot) = self.counts.get_mut(usize::from(controller)) {
                *slot = slot.wrapping_add(1);
                count = *slot;
            }
            if self.commands.len() >= History::MAX_COMMANDS {
                make_room(&mut self.commands);
            }
            self.commands.push(Command {
                controller,
                value,
                count,
                mark: Mark::new(packet),
            });
        }
    }

    /// Whether only the number of commands matters.
    const fn is_counted(controller: u8) -> bool {
        matches!(controller, 96 | 97 | 120 | 121 | 123..=127)
    }

    /// Drops the oldest command that a newer one for the same controller follows; if there is none,
    /// the oldest.
    fn make_room(commands: &mut Vec<Command>) {
        let mut later = 0;
        let mut victim = 0;
        for (index, command) in commands.iter().enumerate().rev() {
            if later & item_bit(command.controller) != 0 {
                victim = index;
            }
            later |= item_bit(command.controller);
        }
        commands.remove(victim);
    }

    /// The logs of an enhanced chapter: the first command of each controller has its count, and the
    /// first one with S=0; those behind it are counted on from there.
    fn list_commands(commands: &[Command], view: &View, told: u128, logs: &mut Vec<ControlLog>) {
        let (mut listed, mut listed_new) = (0, 0);
        for command in commands {
            let bit = item_bit(command.controller);
            if told & bit == 0 {
                continue;
            }
            let s = command.mark.s(view.previous);
            let log = |tool| ControlLog {
                s,
                controller: Controller::from(U7::from_low_bits(command.controller)),
                tool,
            };
            let only_count =
                is_counted(command.controller) && !matches!(command.controller, 121 | 126);
            let first = listed & bit == 0 || !s && listed_new & bit == 0;
            if first || only_count {
                logs.push(log(ControlTool::Count(Alt::from_low_bits(command.count))));
            }
            if !only_count {
                logs.push(log(ControlTool::Value(command.value)));
            }
            listed |= bit;
            if !s {
                listed_new |= bit;
            }
        }
    }

    impl Toggle {
        const fn set(&mut self, on: bool) {
            if on != (self.now % 2 == 1) {
                self.now = self.now.wrapping_add(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::assert_octets;

    #[test]
    fn the_three_tools_of_one_command() {
        let log = |tool| ControlLog {
            s: false,
            controller: Controller::new(84).unwrap(),
            tool,
        };
        let logs = [
            log(ControlTool::Count(Alt::from_low_bits(2))),
            log(ControlTool::Value(U7::from_low_bits(60))),
            log(ControlTool::Toggle(Alt::from_low_bits(1))),
        ];
        let controls = Controls::new(false, Logs::new(&logs).unwrap()).unwrap();
        let octets = [0x02, 0x54, 0xC2, 0x54, 0x3C, 0x54, 0x81];
        assert_octets!(Controls, controls, octets);
        assert_eq!(Controls::new(true, Logs::new(&[]).unwrap()), None);
    }

    #[test]
    fn every_log_is_read_and_written_as_it_was() {
        for octets in (0..=u16::MAX).map(u16::to_be_bytes) {
            assert_eq!(ControlLog::from_octets(octets).to_octets(), octets);
        }
    }
}
