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
