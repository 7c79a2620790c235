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
    use alloc::vec::Vec;

    use netmidi_message::{Controller, U7};

    use super::{ControlLog, ControlTool, Controls};
    use crate::logs::Logs;
    use crate::recent::{Mark, Recent, View, item_bit};
    use crate::value::Alt;

    /// Which controllers of a channel were set. Those of parameter transactions are not here.
    #[derive(Clone, Debug)]
    pub(crate) struct History {
        recent: Recent,
        values: [U7; 128],
        counts: [u8; 128],
        /// Of controllers 64 to 69.
        toggles: [Toggle; 6],
        /// For enhanced chapters, in which every command is an item.
        commands: Option<Vec<Command>>,
    }

    /// How often a switch has changed, which also tells whether it is on.
    #[derive(Clone, Copy, Debug)]
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

        pub(crate) fn new(enhanced: bool) -> Self {
            Self {
                recent: Recent::new(),
                values: [U7::MIN; 128],
                counts: [0; 128],
                toggles: [Toggle { now: 0, coded: 0 }; 6],
                commands: enhanced.then(Vec::new),
            }
        }

        /// Takes over the memory of another one.
        pub(crate) fn reuse(&mut self, other: Self) {
            self.commands = other.commands;
            self.commands.iter_mut().for_each(Vec::clear);
        }

        pub(crate) fn record(&mut self, controller: Controller, value: U7, packet: u64) {
            let number = controller.get();
            let index = usize::from(number);
            if let Some(slot) = self.values.get_mut(index) {
                *slot = value;
            }
            let mut count = 0;
            if let Some(slot) = self.counts.get_mut(index) {
                *slot = slot.wrapping_add(1);
                count = *slot;
            }
            if let Some(toggle) = index
                .checked_sub(64)
                .and_then(|it| self.toggles.get_mut(it))
            {
                toggle.set(value.get() >= 64);
                toggle.coded = toggle.now;
            }
            match &mut self.commands {
                Some(commands) => {
                    if commands.len() >= Self::MAX_COMMANDS {
                        make_room(commands);
                    }
                    commands.push(Command {
                        controller: number,
                        value,
                        count,
                        mark: Mark::new(packet),
                    });
                }
                None => self.recent.touch(number, packet),
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
            !self.recent.is_empty() || self.commands.as_ref().is_some_and(|list| !list.is_empty())
        }

        pub(crate) fn oldest(&self) -> Option<u64> {
            let first = self.commands.as_ref().and_then(|list| list.first());
            first.map_or_else(|| self.recent.oldest(), |first| first.mark.packet())
        }

        pub(crate) fn acknowledge(&mut self, report: u64) {
            self.recent.acknowledge(report);
            if let Some(commands) = &mut self.commands {
                commands.retain(|command| !command.mark.is_covered(report));
            }
        }

        /// The journals before the packet `since` tell those of `told` only. Returns whether any
        /// was left out.
        pub(crate) fn omit_except(&mut self, told: u128, since: u64) -> bool {
            let mut told = told;
            if self.recent.members() & !told & Self::RESET != 0 {
                // It must not go before them.
                told &= !item_bit(121);
            }
            let mut any = self.recent.omit_except(told, since);
            for command in self.commands.iter_mut().flatten() {
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
            match &self.commands {
                Some(commands) => list_commands(commands, view, told, logs),
                None => self.list_controllers(view, told, logs),
            }
            Controls::new(true, Logs::new(logs)?)
        }

        /// Sets of controllers that are told together or not at all, with the packet that changed
        /// them last and their octets; the [safety](Self::SAFETY) ones come first.
        pub(crate) fn groups(&self, mut group: impl FnMut(u128, u64, usize)) {
            if let Some(commands) = &self.commands {
                if let Some(last) = commands.last() {
                    let logs = commands.len() * 2;
                    group(u128::MAX, last.mark.packet().unwrap_or_default(), 2 * logs);
                }
                return;
            }
            let mut left = self.recent.members();
            let safety = left & Self::SAFETY;
            let mut tell = |set: u128| {
                let (mut packet, mut len, mut rest) = (0, 0, set);
                while rest != 0 {
                    let item = rest.trailing_zeros() as u8;
                    packet = packet.max(self.recent.mark(item).packet().unwrap_or_default());
                    len += 2 * self.tools(item).into_iter().flatten().count();
                    rest &= rest - 1;
                }
                group(set, packet, len);
            };
            if safety != 0 {
                tell(safety);
            }
            left &= !safety;
            while left != 0 {
                let item = left.trailing_zeros() as u8;
                // The order of the two halves of a value matters to receivers.
                let set = match item {
                    6 | 38 | 64.. => item_bit(item),
                    _ => item_bit(item) | item_bit(item ^ 32),
                };
                tell(set & left);
                left &= !set;
            }
        }

        fn list_controllers(&self, view: &View, told: u128, logs: &mut Vec<ControlLog>) {
            // The chapter holds 128 logs. If everything is in it at once, some must do with one.
            let max = Logs::<ControlLog>::MAX_LEN;
            let mut spare = max - (self.recent.members() & told).count_ones() as usize;
            for (item, mark) in self.recent.iter() {
                if told & item_bit(item) == 0 {
                    continue;
                }
                let tools = self.tools(item);
                let many = tools.iter().flatten().count().saturating_sub(1);
                let skip = if many <= spare { 0 } else { many };
                spare -= many - skip;
                let tools = tools.into_iter().flatten().skip(skip);
                logs.extend(tools.map(|tool| ControlLog {
                    s: mark.s(view.previous),
                    controller: Controller::from(U7::from_low_bits(item)),
                    tool,
                }));
            }
        }

        /// The tools for a controller, in their order.
        fn tools(&self, controller: u8) -> [Option<ControlTool>; 3] {
            let index = usize::from(controller);
            let value = self.values.get(index).copied().unwrap_or_default();
            let count = self.counts.get(index).copied().unwrap_or_default();
            let count = Some(ControlTool::Count(Alt::from_low_bits(count)));
            let toggle = index.checked_sub(64).and_then(|it| self.toggles.get(it));
            let toggle = toggle.map(|it| ControlTool::Toggle(Alt::from_low_bits(it.coded)));
            let plain = Some(ControlTool::Value(value));
            match controller {
                64..=69 => {
                    // Half a pedal.
                    let exact = !matches!(value, U7::MIN | U7::MAX);
                    [None, plain.filter(|_| exact), toggle]
                }
                84 => [count, plain, None],
                121 | 126 => [count, plain.filter(|_| value != U7::MIN), None],
                _ if is_counted(controller) => [count, None, None],
                _ => [None, plain, None],
            }
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
