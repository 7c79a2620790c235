//! Chapter Q: sequencer state.

use netmidi_message::U3;
use nom::number::complete::{be_u8, be_u16, be_u24};

use crate::encode::{Cursor, bit, encodes, top};
use crate::parse::Parsed;
use crate::value::TimeTools;

/// Chapter Q: whether the sequencer runs, and where it is (RFC 6295 §B.3).
///
/// ```text
///  0                   1                   2
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |S|N|D|C|T| TOP |            CLOCK              |  if C
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                   TIMETOOLS                   |  if T
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Sequencer {
    /// 0 if the packet just before changed any of this.
    pub s: bool,
    /// Whether the last of Start, Continue and Stop was not Stop (N).
    pub running: bool,
    /// Whether the position was played already, so that the next clock goes one further (D).
    pub played: bool,
    /// The upper three bits of the position (TOP); to be 0 without CLOCK.
    pub top: U3,
    /// The lower sixteen bits of the position (C and CLOCK). Without them the position is 0.
    pub clock: Option<u16>,
    /// Time to add to the position (T), which senders leave out unless it was agreed upon.
    pub time_tools: Option<TimeTools>,
}

impl Sequencer {
    /// One past the largest [`position`](Self::position): positions wrap there.
    pub const POSITIONS: u32 = 1 << 19;

    /// At this position in MIDI clocks, the remainder by [`POSITIONS`](Self::POSITIONS).
    ///
    /// Position 0 is written without CLOCK. That says "Start" when the sequencer runs and has not
    /// played it: after Continue set `clock` to `Some(0)`.
    #[must_use]
    pub const fn at(position: u32) -> Self {
        let position = position % Self::POSITIONS;
        Self {
            s: true,
            running: false,
            played: false,
            top: U3::from_low_bits((position >> 16) as u8),
            clock: if position == 0 {
                None
            } else {
                Some(position as u16)
            },
            time_tools: None,
        }
    }

    /// The position in MIDI clocks, 24 a quarter note: 0 to 524,287.
    #[must_use]
    pub fn position(&self) -> u32 {
        self.clock.map_or(0, |clock| {
            u32::from(self.top.get()) << 16 | u32::from(clock)
        })
    }

    pub(crate) fn read(input: &[u8]) -> Parsed<'_, Self> {
        let (rest, head) = be_u8(input)?;
        let (rest, clock) = if head & C == 0 {
            (rest, None)
        } else {
            let (rest, clock) = be_u16(rest)?;
            (rest, Some(clock))
        };
        let (rest, time_tools) = if head & T == 0 {
            (rest, None)
        } else {
            let (rest, millis) = be_u24(rest)?;
            (rest, Some(TimeTools::from_low_bits(millis)))
        };
        Ok((
            rest,
            Self {
                s: head & S != 0,
                running: head & N != 0,
                played: head & D != 0,
                top: U3::from_low_bits(head),
                clock,
                time_tools,
            },
        ))
    }

    pub(crate) fn write(&self, out: &mut Cursor<'_>) {
        out.put(
            top(self.s)
                | bit(self.running, N)
                | bit(self.played, D)
                | bit(self.clock.is_some(), C)
                | bit(self.time_tools.is_some(), T)
                | self.top.get(),
        );
        if let Some(clock) = self.clock {
            out.put_all(&clock.to_be_bytes());
        }
        if let Some(millis) = self.time_tools {
            let [_, millis @ ..] = millis.get().to_be_bytes();
            out.put_all(&millis);
        }
    }
}

encodes!(Sequencer);

#[cfg(feature = "alloc")]
pub(crate) mod receiver {
    use netmidi_message::{RealTime, SystemCommon, U14};

    use super::Sequencer;
    use crate::repairer::Repairs;

    /// MIDI clocks in one step of a song position.
    const CLOCKS_PER_STEP: u16 = 6;
    /// The furthest place that a song position and clocks behind it can reach.
    const LAST_PLACE: u32 = 98_303;
    /// So many lost clocks are made good by clocks; more by a song position.
    const MAX_CLOCKS: u32 = 24;

    /// Where the sender's sequencer is. It begins stopped, at 0.
    #[derive(Clone, Copy, Debug, Default)]
    pub(crate) struct SequencerModel {
        running: bool,
        /// In MIDI clocks, below [`Sequencer::POSITIONS`].
        position: u32,
        /// Whether a clock has played the position.
        played: bool,
    }

    impl SequencerModel {
        pub(crate) const fn observe(&mut self, message: RealTime) {
            match message {
                RealTime::Start => {
                    *self = Self {
                        running: true,
                        position: 0,
                        played: false,
                    }
                }
                RealTime::Continue => self.running = true,
                RealTime::Stop => self.running = false,
                RealTime::TimingClock if self.running => {
                    self.position = self.next();
                    self.played = true;
                }
                _ => {}
            }
        }

        pub(crate) const fn locate(&mut self, pos: U14) {
            self.position = pos.get() as u32 * CLOCKS_PER_STEP as u32;
            self.played = false;
        }

        /// The position that the next clock plays.
        const fn next(&self) -> u32 {
            (self.position + self.played as u32) % Sequencer::POSITIONS
        }

        /// The receiver's rule of chapter Q.
        pub(crate) fn repair(&mut self, log: &Sequencer, out: &mut Repairs<'_>) {
            if out.skips(log.s) {
                return;
            }
            let target = Self {
                running: log.running,
                position: log.position(),
                played: log.played,
            };
            self.go_to(target, log.clock.is_none(), out);
            *self = target;
        }

        /// Where it is now. A place behind [`LAST_PLACE`] that no few clocks lead to cannot be told.
        pub(crate) fn restore(&mut self, now: Self, out: &mut Repairs<'_>) {
            self.go_to(now, now.position == 0, out);
            out.leave_untold(u16::from(self.next() != now.next()));
        }

        fn go_to(&mut self, target: Self, at_start: bool, out: &mut Repairs<'_>) {
            let ahead = target.next().wrapping_sub(self.next()) % Sequencer::POSITIONS;
            if target.running && at_start && !target.played {
                if !self.running || self.next() != 0 {
                    if self.running {
                        self.execute(RealTime::Stop, out);
                    }
                    self.execute(RealTime::Start, out);
                }
            } else if self.running && (1..=MAX_CLOCKS).contains(&ahead) {
                for _ in 0..ahead {
                    self.execute(RealTime::TimingClock, out);
                }
            } else if ahead != 0 && target.next() <= LAST_PLACE {
                self.move_to(target, out);
            }
            if self.running != target.running {
                let message = if target.running {
                    RealTime::Continue
                } else {
                    RealTime::Stop
                };
                self.execute(message, out);
            }
        }

        fn move_to(&mut self, target: Self, out: &mut Repairs<'_>) {
            if self.running {
                self.execute(RealTime::Stop, out);
            }
            let steps = target.next() / u32::from(CLOCKS_PER_STEP);
            let clocks = target.next() % u32::from(CLOCKS_PER_STEP);
            let pos = U14::from_low_bits(steps as u16);
            out.message(SystemCommon::SongPosition { pos }.into());
            self.locate(pos);
            if target.running || clocks != 0 {
                self.execute(RealTime::Continue, out);
            }
            for _ in 0..clocks {
                self.execute(RealTime::TimingClock, out);
            }
        }

        fn execute(&mut self, message: RealTime, out: &mut Repairs<'_>) {
            out.message(message.into());
            self.observe(message);
        }
    }
}

const S: u8 = 0x80;
const N: u8 = 0x40;
const D: u8 = 0x20;
const C: u8 = 0x10;
const T: u8 = 0x08;

#[cfg(feature = "alloc")]
pub(crate) mod sent {
    use netmidi_message::{RealTime, U14};

    use super::Sequencer;
    use crate::recent::{Mark, Packet, View};

    /// Where the sequencer was sent to.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct History {
        pub(crate) mark: Mark,
        /// `None` as long as nothing has set it.
        state: Option<State>,
    }

    #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
    struct State {
        running: bool,
        played: bool,
        position: u32,
        /// Whether Start came later than Continue.
        started: bool,
    }

    impl History {
        /// Clock, Start, Continue or Stop.
        pub(crate) fn record(&mut self, message: RealTime, packet: Packet) {
            let mut state = self.state.unwrap_or_default();
            match message {
                RealTime::TimingClock if !state.running => return,
                RealTime::TimingClock if !state.played => state.played = true,
                RealTime::TimingClock => {
                    state.position = (state.position + 1) % Sequencer::POSITIONS;
                }
                RealTime::Start => {
                    state = State {
                        running: true,
                        started: true,
                        ..State::default()
                    };
                }
                RealTime::Continue => {
                    state.running = true;
                    state.started = false;
                }
                RealTime::Stop => state.running = false,
                _ => return,
            }
            self.set(state, packet);
        }

        /// Song position, in units of six clocks.
        pub(crate) fn seek(&mut self, sixteenths: U14, packet: Packet) {
            let mut state = self.state.unwrap_or_default();
            state.position = 6 * u32::from(sixteenths.get());
            state.played = false;
            self.set(state, packet);
        }

        /// A command that sets everything to its start went out.
        pub(crate) fn reset(&mut self) {
            *self = Self::default();
        }

        pub(crate) fn chapter(&self, view: &View) -> Option<Sequencer> {
            self.mark.packet()?;
            let state = self.state?;
            let mut chapter = Sequencer::at(state.position);
            chapter.s = self.mark.s(view.previous);
            chapter.running = state.running;
            chapter.played = state.played;
            if state.running && !state.played && !state.started && state.position == 0 {
                // Without CLOCK it would say Start.
                chapter.clock = Some(0);
            }
            Some(chapter)
        }

        /// What changes nothing needs no repair.
        fn set(&mut self, state: State, packet: Packet) {
            if self.state != Some(state) {
                self.state = Some(state);
                self.mark = Mark::new(packet);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::assert_octets;

    #[test]
    fn a_position_has_nineteen_bits() {
        let mut sequencer = Sequencer::at(0x7_FFFF);
        sequencer.played = true;
        assert_octets!(Sequencer, sequencer, [0xB7, 0xFF, 0xFF]);
        assert_eq!(sequencer.position(), 0x7_FFFF);
        assert_eq!(Sequencer::at(Sequencer::POSITIONS + 1).position(), 1);
    }

    #[test]
    fn position_0_needs_no_clock() {
        let mut sequencer = Sequencer::at(0);
        (sequencer.s, sequencer.running) = (false, true);
        assert_octets!(Sequencer, sequencer, [0x40]);
        sequencer.clock = Some(0);
        sequencer.time_tools = TimeTools::new(0x01_0203);
        assert_octets!(Sequencer, sequencer, [0x58, 0, 0, 1, 2, 3]);
        assert_eq!(sequencer.position(), 0);
    }
}
