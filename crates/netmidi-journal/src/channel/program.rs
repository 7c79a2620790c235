//! Chapter P: program change.

use netmidi_message::U7;
use nom::Parser;
use nom::number::complete::be_u8;

use crate::encode::{Cursor, encodes, top};
use crate::parse::Parsed;

/// Chapter P: the program of a channel and the bank it was chosen from (RFC 6295 §A.2).
///
/// ```text
///  0                   1                   2
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |S|   PROGRAM   |B|  BANK-MSB   |X|  BANK-LSB   |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Program {
    /// 0 if the program change was in the packet just before.
    pub s: bool,
    /// The program.
    pub program: U7,
    /// The bank, if a bank select (controller 0) came before the program change (B).
    pub bank: Option<Bank>,
}

/// The bank of a [`Program`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Bank {
    /// The value of controller 0.
    pub msb: U7,
    /// The value of controller 32 between that and the program change, or 0 if there was none.
    pub lsb: U7,
    /// Whether a reset of all controllers (121) came between controller 0 and the program change
    /// (X).
    pub reset: bool,
}

impl Program {
    pub(crate) fn read(input: &[u8]) -> Parsed<'_, Self> {
        let (rest, (program, msb, lsb)) = (be_u8, be_u8, be_u8).parse(input)?;
        let bank = (msb & B != 0).then(|| Bank {
            msb: U7::from_low_bits(msb),
            lsb: U7::from_low_bits(lsb),
            reset: lsb & X != 0,
        });
        Ok((
            rest,
            Self {
                s: program & S != 0,
                program: U7::from_low_bits(program),
                bank,
            },
        ))
    }

    pub(crate) fn write(&self, out: &mut Cursor<'_>) {
        out.put(top(self.s) | self.program.get());
        let (msb, lsb) = match self.bank {
            Some(bank) => (B | bank.msb.get(), top(bank.reset) | bank.lsb.get()),
            None => (0, 0),
        };
        out.put(msb);
        out.put(lsb);
    }
}

encodes!(Program);

#[cfg(feature = "alloc")]
pub(crate) mod receiver {
    use netmidi_message::{ChannelMessage, Controller, U7};

    use super::Program;
    use crate::channel::{ControlTool, Controls};
    use crate::repairer::{ChannelModel, Repairs};

    /// The program of a channel, and the bank as chapter P sees it: the last controller 0, and the
    /// last controller 32 behind it, else 0.
    #[derive(Clone, Copy, Debug, Default)]
    pub(crate) struct ProgramModel {
        program: Option<U7>,
        /// The bank when the program was chosen.
        chosen_from: Option<Bank>,
        bank: Option<Bank>,
        pub(crate) ext: u64,
    }

    /// The values of controllers 0 and 32, of 32 only if it came behind.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    struct Bank {
        msb: U7,
        lsb: Option<U7>,
    }

    impl Bank {
        /// As chapter P has it.
        fn halves(self) -> (U7, U7) {
            (self.msb, self.lsb.unwrap_or_default())
        }
    }

    impl ProgramModel {
        pub(crate) const fn observe(&mut self, ext: u64, program: U7) {
            self.program = Some(program);
            self.chosen_from = self.bank;
            self.ext = ext;
        }

        pub(crate) const fn bank_msb(&mut self, msb: U7) {
            self.bank = Some(Bank { msb, lsb: None });
        }

        pub(crate) const fn bank_lsb(&mut self, lsb: U7) {
            if let Some(bank) = &mut self.bank {
                bank.lsb = Some(lsb);
            }
        }
    }

    impl ChannelModel {
        /// The receiver's rule of chapter P. `controls` is the chapter C beside it.
        pub(crate) fn repair_program(
            &mut self,
            log: &Program,
            controls: Option<&Controls<'_>>,
            out: &mut Repairs<'_>,
        ) {
            if out.skips(log.s) {
                return;
            }
            let bank = log.bank.map(|bank| (bank.msb, bank.lsb));
            let known = self.program.program == Some(log.program)
                && (bank.is_none() || self.program.chosen_from.map(Bank::halves) == bank);
            if known {
                return;
            }
            if let Some((msb, lsb)) = bank
                && self.program.bank.map(Bank::halves) != bank
            {
                self.execute_uncounted(Controller::BANK_SELECT, msb, out);
                // Many instruments keep the old lower half, so a 0 that nobody sent is not sent.
                if lsb != U7::MIN || !controls.is_some_and(|it| bank_msb_alone(it, msb)) {
                    self.execute_uncounted(Controller::BANK_SELECT_LSB, lsb, out);
                }
            }
            let program = ChannelMessage::program_change(self.channel, log.program);
            self.execute(program, out);
            // The same bank by the sender's account, whether or not all of it was sent.
            if self.program.chosen_from.map(Bank::halves) != bank
                && let Some((msb, lsb)) = bank
            {
                let lsb = Some(lsb);
                self.program.chosen_from = Some(Bank { msb, lsb });
            }
        }

        pub(crate) fn restore_program(&mut self, now: &Self, out: &mut Repairs<'_>) {
            let (own, then) = (self.program, now.program);
            let Some(program) = then.program else {
                return;
            };
            if own.program == then.program && own.chosen_from == then.chosen_from {
                return;
            }
            if let Some(bank) = then.chosen_from
                && own.bank != then.chosen_from
            {
                // Many instruments keep the old lower half: theirs has to be that of the sender.
                if bank.lsb.is_none() && then.bank == then.chosen_from {
                    self.restore_control(Controller::BANK_SELECT_LSB, now, out);
                }
                self.execute_control(Controller::BANK_SELECT, bank.msb, out);
                if let Some(lsb) = bank.lsb {
                    self.execute_control(Controller::BANK_SELECT_LSB, lsb, out);
                }
            }
            let program = ChannelMessage::program_change(self.channel, program);
            self.execute(program, out);
        }
    }

    /// Whether chapter C says that controller 0 came with this value and no 32 behind it.
    fn bank_msb_alone(controls: &Controls<'_>, msb: U7) -> bool {
        let mut alone = false;
        for log in &controls.logs() {
            if log.controller == Controller::BANK_SELECT {
                alone |= log.tool == ControlTool::Value(msb);
            } else if log.controller == Controller::BANK_SELECT_LSB {
                alone = false;
            }
        }
        alone
    }
}

const S: u8 = 0x80;
const B: u8 = 0x80;
const X: u8 = 0x80;

#[cfg(feature = "alloc")]
pub(crate) mod sent {
    use netmidi_message::U7;

    use super::{Bank, Program};
    use crate::recent::{Mark, Packet, View};

    /// What a channel was told of programs.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct History {
        pub(crate) mark: Mark,
        program: U7,
        /// The bank of the program.
        bank: Option<Bank>,
        /// The bank that the next program change will have.
        next_bank: Option<Bank>,
    }

    impl History {
        /// Controller 0.
        pub(crate) const fn bank_msb(&mut self, msb: U7) {
            self.next_bank = Some(Bank {
                msb,
                lsb: U7::MIN,
                reset: false,
            });
        }

        /// Controller 32, which counts only behind controller 0.
        pub(crate) const fn bank_lsb(&mut self, lsb: U7) {
            if let Some(bank) = &mut self.next_bank {
                bank.lsb = lsb;
            }
        }

        /// Controller 121. The bank stays, which is what X is for.
        pub(crate) const fn reset_controllers(&mut self) {
            if let Some(bank) = &mut self.next_bank {
                bank.reset = true;
            }
        }

        /// Whether it knows nothing but what is unacknowledged.
        pub(crate) const fn is_blank(&self) -> bool {
            self.next_bank.is_none()
        }

        pub(crate) const fn record(&mut self, program: U7, packet: Packet) {
            self.program = program;
            self.bank = self.next_bank;
            self.mark = Mark::new(packet);
        }

        pub(crate) fn chapter(&self, view: &View) -> Option<Program> {
            self.mark.is_pending().then_some(Program {
                s: self.mark.s(view.previous),
                program: self.program,
                bank: self.bank,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::assert_octets;

    #[test]
    fn a_program_with_and_without_bank() {
        let mut program = Program {
            s: true,
            program: U7::from_low_bits(5),
            bank: None,
        };
        assert_octets!(Program, program, [0x85, 0, 0]);
        program.bank = Some(Bank {
            msb: U7::from_low_bits(1),
            lsb: U7::from_low_bits(2),
            reset: true,
        });
        assert_octets!(Program, program, [0x85, 0x81, 0x82]);
    }
}
