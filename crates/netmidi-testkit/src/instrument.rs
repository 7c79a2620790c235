//! An instrument: all state that MIDI 1.0 messages leave behind.
//!
//! It is a judge over what a receiver made of a damaged stream, so it knows nothing of journals and
//! takes no short cuts: one message after the other, every value in a place of its own.

use core::fmt::{Debug, Display};
use std::collections::BTreeMap;

use netmidi_message::{
    Channel, ChannelMessage, Controller, FrameRate, Message, Note, RealTime, SystemCommon, TimeCode,
};

/// Where the sequencer position begins again: what the nineteen bits of a journal hold.
const POSITIONS: u32 = 1 << 19;
/// The furthest position that a song position pointer and five clocks can set.
const FURTHEST_POSITION: u32 = 6 * 16_383 + 5;
/// Data button presses count no further than this, each way.
const MAX_NET: i32 = 16_383;

/// The system exclusive messages that set everything back, by what follows `F0 7E cc`.
const RESET_SYSEX: [([u8; 2], &str); 5] = [
    ([0x09, 0x00], "GM off"),
    ([0x09, 0x01], "GM on"),
    ([0x09, 0x03], "GM2 on"),
    ([0x0A, 0x01], "DLS on"),
    ([0x0A, 0x02], "DLS off"),
];

/// The mode messages that are counted; 122 has a value that lasts.
const MODES: [u8; 7] = [120, 121, 123, 124, 125, 126, 127];

/// Everything that MIDI 1.0 lets last, as a sequence of messages left it.
///
/// What it holds, for each channel:
///
/// - how often every note sounds (a note-on adds one, a note-off takes one away if there is one),
///   and the velocity of the newest note-on;
/// - the value of every controller that was ever sent, for switches and pedals too; for 0 to 31
///   also whether the lower half (32 to 63) came after the upper one;
/// - the program with the bank it was chosen from;
/// - which parameter is selected, what its data entry set and how far the data buttons moved it
///   since; these controllers without a parameter are plain controllers, 96 and 97 are counted;
/// - pitch wheel and pressures; omni and mono mode;
///
/// and for the whole instrument the sequencer position, the time code with the quarter frames of a
/// run that is not complete, the song, the data of the last F4 and F5, the system exclusive
/// messages that were delivered, and how often everything was executed that leaves no state: see
/// [`Marks`].
///
/// Active sensing (FE) leaves nothing behind. FF and the system exclusive messages that switch
/// GM and DLS on and off set everything but the counts and the delivered messages to the state of
/// power-on. 121 follows RP-015.
#[derive(Clone, Debug, PartialEq)]
pub struct Instrument {
    channels: Vec<ChannelState>,
    running: bool,
    /// Song position in clocks.
    position: u32,
    /// Whether that position was played.
    played: bool,
    song: Option<u8>,
    time: Option<TimeCode>,
    run: Option<Run>,
    /// The data of the last F4 and F5.
    undefined: [Option<Vec<u8>>; 2],
    sysex: Vec<Delivered>,
    full_frames: u32,
    /// How many commands were executed that set everything back.
    resets: u32,
    executed: Marks,
    executed_since_reset: Marks,
}

/// A system exclusive message, and how many resets came before it.
#[derive(Clone, Debug, PartialEq)]
struct Delivered {
    resets: u32,
    data: Vec<u8>,
}

/// Quarter frames that are not a whole time code yet.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Run {
    reverse: bool,
    /// The type of the last one.
    last: u8,
    nibbles: [u8; 8],
}

#[derive(Clone, Debug, PartialEq)]
struct ChannelState {
    /// Whether anything came since power-on: channels without can be passed over.
    touched: bool,
    notes: [NoteState; 128],
    controls: [Option<u8>; 128],
    fine: [Fine; 32],
    program: Option<(u8, Option<Bank>)>,
    selected: Selected,
    /// The upper half of the last number of each kind, for transactions that send the lower only.
    last_msb: [Option<u8>; 2],
    parameters: BTreeMap<Number, Entry>,
    /// How often 96 and 97 came without a parameter.
    buttons: [u32; 2],
    wheel: u16,
    pressure: Pressure,
    poly_pressure: [Pressure; 128],
    /// 124 or 125.
    omni: Option<u8>,
    /// 126 with its value, or 127.
    voices: Option<(u8, u8)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct NoteState {
    count: u32,
    velocity: u8,
    /// One that was stacked has ended since the last note-on: which of them nobody can say, so the
    /// velocity means nothing.
    ended: bool,
    /// Since it began to sound, one that was stacked has ended, or it was struck with the velocity
    /// that it had.
    untold: bool,
}

/// The lower half of a fourteen-bit controller, seen from its upper half.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Fine {
    /// None since the last upper half: instruments take it for 0.
    #[default]
    None,
    Some(u8),
    /// A 121 came in between, and RP-015 does not say what becomes of the lower half.
    Open,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Bank {
    msb: u8,
    /// 0 if none was sent after the upper half.
    lsb: u8,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Kind {
    Registered,
    NonRegistered,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Number {
    kind: Kind,
    msb: u8,
    lsb: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Selected {
    /// No number since the beginning or 121, or the null number: data entry belongs to nothing.
    #[default]
    Nothing,
    /// A lower half for which no upper half is known: data entry is lost.
    Unknown,
    /// An upper half only. Data entry now means the number with a lower half of 0.
    Pending(Kind, u8),
    Parameter(Number),
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Entry {
    msb: Option<u8>,
    /// None if an upper half came after it.
    lsb: Option<u8>,
    /// Increments less decrements since the data entry.
    net: i32,
}

/// A pressure, and whether it still means something: after the notes were cut off by a mode message
/// nobody has to know it any more (RFC 6295 §A.8, A.9).
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pressure {
    value: u8,
    claimed: bool,
}

impl Default for Pressure {
    fn default() -> Self {
        Self {
            value: 0,
            claimed: true,
        }
    }
}

impl Default for ChannelState {
    fn default() -> Self {
        Self {
            touched: false,
            notes: [NoteState::default(); 128],
            controls: [None; 128],
            fine: [Fine::None; 32],
            program: None,
            selected: Selected::Nothing,
            last_msb: [None; 2],
            parameters: BTreeMap::new(),
            buttons: [0; 2],
            wheel: 0x2000,
            pressure: Pressure::default(),
            poly_pressure: [Pressure::default(); 128],
            omni: None,
            voices: None,
        }
    }
}

/// How often each message was executed that leaves no state of its own: FF, F6, F9, FD, F4, F5, the
/// system exclusive messages that reset, and for each channel 120, 121 and 123 to 127.
///
/// Take one with [`Instrument::marks`] whenever receiver and sender were found to agree, and compare
/// from there with [`Instrument::executions_difference`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Marks([u32; COUNTERS]);

const SYSTEM_COUNTERS: usize = 6 + RESET_SYSEX.len();
const COUNTERS: usize = SYSTEM_COUNTERS + 16 * MODES.len();
const SIMPLE: [(u8, &str); 6] = [
    (0xFF, "Reset (FF)"),
    (0xF6, "Tune Request (F6)"),
    (0xF9, "F9"),
    (0xFD, "FD"),
    (0xF4, "F4"),
    (0xF5, "F5"),
];

impl Marks {
    /// Nothing was executed yet.
    pub const ZERO: Self = Self([0; COUNTERS]);

    fn count(&mut self, counter: usize) {
        self.0[counter] += 1;
    }

    fn name(counter: usize) -> String {
        if let Some((_, name)) = SIMPLE.get(counter) {
            return (*name).to_owned();
        }
        if let Some((_, name)) = RESET_SYSEX.get(counter - SIMPLE.len()) {
            return format!("the system exclusive message {name}");
        }
        let mode = counter - SYSTEM_COUNTERS;
        let (channel, mode) = (mode / MODES.len(), MODES[mode % MODES.len()]);
        format!("channel {channel}: mode message {mode}")
    }
}

fn simple_counter(status: u8) -> usize {
    let found = SIMPLE.iter().position(|(it, _)| *it == status);
    found.expect("a counted status")
}

fn is_reset_counter(counter: usize) -> bool {
    counter == 0 || (SIMPLE.len()..SYSTEM_COUNTERS).contains(&counter)
}

/// How a receiver may differ from the sender although everything works as it should.
///
/// Not in here, because it can never be told apart: the sender's upper half of the other kind of
/// parameter number, and of a null number (no journal codes it), and where the lower halves of
/// controllers 1 and 11 stand after 121 (RP-015 does not say).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tolerance {
    /// Notes that sound at the sender may be silent at the receiver, or be stacked less high: a
    /// note-on that is repaired late is better not played. Never the other way round.
    pub missing_notes: bool,
    /// Switches and pedals (64 to 69) need only agree in on and off, as the toggle tool codes them:
    /// off, as long as nothing was said.
    pub switches_by_state: bool,
    /// The lower half of the bank (32) need only agree as far as it was sent after an upper half
    /// (0): a journal knows no other.
    pub bank_by_pair: bool,
    /// A run of quarter frames that the sender has ended may be open at the receiver: no message
    /// but another position ends one.
    pub stale_time_code_run: bool,
    /// A sequencer position above 98,303 need not agree: no message sets it.
    pub far_positions: bool,
    /// This many of the sender's system exclusive messages since its last reset may be missing:
    /// those that were reported lost.
    pub missing_sysex: usize,
    /// System exclusive messages from before the sender's last reset may be missing, and after one
    /// more may have been executed than were sent: a journal forgets what a reset makes pointless,
    /// and the counters of a receiver that missed it fall behind.
    pub lost_before_reset: bool,
}

impl Tolerance {
    /// Both sides agree in everything.
    pub const STRICT: Self = Self {
        missing_notes: false,
        switches_by_state: false,
        bank_by_pair: false,
        stale_time_code_run: false,
        far_positions: false,
        missing_sysex: 0,
        lost_before_reset: false,
    };

    /// What a repair by the recovery journal can be held to.
    pub const REPAIRED: Self = Self {
        missing_notes: true,
        switches_by_state: true,
        bank_by_pair: true,
        stale_time_code_run: true,
        far_positions: true,
        missing_sysex: 0,
        lost_before_reset: true,
    };

    /// The same, with this many system exclusive messages reported lost.
    #[must_use]
    pub const fn with_missing_sysex(mut self, missing: usize) -> Self {
        self.missing_sysex = missing;
        self
    }
}

impl Default for Instrument {
    fn default() -> Self {
        Self::new()
    }
}

impl Instrument {
    /// One that was just switched on.
    #[must_use]
    pub fn new() -> Self {
        Self {
            channels: vec![ChannelState::default(); 16],
            running: false,
            position: 0,
            played: false,
            song: None,
            time: None,
            run: None,
            undefined: [None, None],
            sysex: Vec::new(),
            full_frames: 0,
            resets: 0,
            executed: Marks::ZERO,
            executed_since_reset: Marks::ZERO,
        }
    }

    /// Executes one message.
    pub fn play(&mut self, message: &Message<'_>) {
        match message {
            Message::Channel(message) => self.channel_message(*message),
            Message::Common(message) => self.common(*message),
            Message::RealTime(message) => self.real_time(*message),
            Message::SysEx(sysex) => self.sysex(sysex.data()),
            Message::Undefined(undefined) => {
                let status = undefined.status().status();
                let slot = usize::from(status == 0xF5);
                self.undefined[slot] = Some(undefined.data().to_vec());
                self.count(simple_counter(status));
            }
        }
    }

    fn count(&mut self, counter: usize) {
        self.executed.count(counter);
        self.executed_since_reset.count(counter);
    }

    /// Back to the state of power-on, all but the books about what was executed and delivered.
    fn power_on(&mut self) {
        for channel in self.channels.iter_mut().filter(|it| it.touched) {
            *channel = ChannelState::default();
        }
        self.running = false;
        self.position = 0;
        self.played = false;
        self.song = None;
        self.time = None;
        self.run = None;
        self.undefined = [None, None];
        self.resets += 1;
        self.executed_since_reset = Marks::ZERO;
    }

    fn real_time(&mut self, message: RealTime) {
        match message {
            RealTime::TimingClock if !self.running => {}
            RealTime::TimingClock if self.played => {
                self.position = (self.position + 1) % POSITIONS;
            }
            RealTime::TimingClock => self.played = true,
            RealTime::Start => {
                self.running = true;
                self.position = 0;
                self.played = false;
            }
            RealTime::Continue => self.running = true,
            RealTime::Stop => self.running = false,
            RealTime::ActiveSensing => {}
            RealTime::Reset => {
                self.power_on();
                self.count(simple_counter(0xFF));
            }
            RealTime::UndefinedF9 | RealTime::UndefinedFd => {
                self.count(simple_counter(message.status()));
            }
        }
    }

    fn common(&mut self, message: SystemCommon) {
        match message {
            SystemCommon::QuarterFrame {
                frame_type,
                frame_value,
            } => self.quarter_frame(frame_type.get(), frame_value.get()),
            SystemCommon::SongPosition { pos } => {
                self.position = 6 * u32::from(pos.get());
                self.played = false;
            }
            SystemCommon::SongSelect { song } => self.song = Some(song.get()),
            SystemCommon::TuneRequest => self.count(simple_counter(0xF6)),
        }
    }

    fn quarter_frame(&mut self, kind: u8, nibble: u8) {
        let goes_on = self.run.filter(|run| match run.reverse {
            false => run.last + 1 == kind,
            true => kind + 1 == run.last,
        });
        let mut run = match (goes_on, kind) {
            (Some(run), _) => run,
            (None, 0 | 7) => Run {
                reverse: kind == 7,
                last: kind,
                nibbles: [0; 8],
            },
            // Begun in the middle: nothing comes of it.
            (None, _) => {
                self.run = None;
                return;
            }
        };
        run.last = kind;
        run.nibbles[usize::from(kind)] = nibble;
        let complete = kind == if run.reverse { 0 } else { 7 };
        if !complete {
            self.run = Some(run);
            return;
        }
        self.run = None;
        let [f0, f1, s0, s1, m0, m1, h0, h1] = run.nibbles;
        let time = TimeCode::new(
            h0 | (h1 & 1) << 4,
            m0 | (m1 & 3) << 4,
            s0 | (s1 & 3) << 4,
            f0 | (f1 & 1) << 4,
            FrameRate::from_code(h1 >> 1),
        );
        // A position that does not exist is no position.
        if let Some(time) = time {
            let late = if run.reverse { 0 } else { 2 };
            self.time = Some(time.plus_frames(late));
        }
    }

    fn sysex(&mut self, data: &[u8]) {
        match *data {
            [0x7E, _, first, second] if reset_sysex(first, second).is_some() => {
                let reset = reset_sysex(first, second).unwrap();
                self.power_on();
                self.count(SIMPLE.len() + reset);
            }
            [0x7F, _, 1, 1, hours, minutes, seconds, frames] => {
                self.full_frames += 1;
                self.run = None;
                let rate = FrameRate::from_code(hours >> 5);
                let time = TimeCode::new(hours & 0x1F, minutes, seconds, frames, rate);
                self.time = time.or(self.time);
            }
            _ => self.sysex.push(Delivered {
                resets: self.resets,
                data: data.to_vec(),
            }),
        }
    }

    fn channel_message(&mut self, message: ChannelMessage) {
        let index = usize::from(message.channel().index());
        let channel = &mut self.channels[index];
        channel.touched = true;
        match message {
            ChannelMessage::NoteOn { note, velocity, .. } if velocity.get() > 0 => {
                let note = &mut channel.notes[usize::from(note.get())];
                let same = note.velocity == velocity.get();
                note.untold = note.count > 0 && (same || note.untold);
                note.count += 1;
                note.velocity = velocity.get();
                note.ended = false;
            }
            ChannelMessage::NoteOn { note, .. } | ChannelMessage::NoteOff { note, .. } => {
                let note = &mut channel.notes[usize::from(note.get())];
                note.count = note.count.saturating_sub(1);
                note.ended = true;
                note.untold = true;
            }
            ChannelMessage::PolyPressure { note, value, .. } => {
                channel.poly_pressure[usize::from(note.get())] = Pressure {
                    value: value.get(),
                    claimed: true,
                };
            }
            ChannelMessage::ControlChange { control, value, .. } => {
                let control = control.get();
                channel.control_change(control, value.get());
                if let Some(mode) = MODES.iter().position(|it| *it == control) {
                    self.count(SYSTEM_COUNTERS + index * MODES.len() + mode);
                }
            }
            ChannelMessage::ProgramChange { program, .. } => {
                channel.program = Some((program.get(), channel.bank()));
            }
            ChannelMessage::ChannelPressure { value, .. } => {
                channel.pressure = Pressure {
                    value: value.get(),
                    claimed: true,
                };
            }
            ChannelMessage::PitchBend { bend, .. } => channel.wheel = bend.to_u14().get(),
        }
    }

    /// How often a note sounds.
    #[must_use]
    pub fn sounding(&self, channel: Channel, note: Note) -> u32 {
        self.channel(channel).notes[usize::from(note.get())].count
    }

    /// How many notes sound, each stacked one counted once.
    #[must_use]
    pub fn sounding_notes(&self) -> usize {
        let notes = self.channels.iter().flat_map(|channel| &channel.notes);
        notes.filter(|note| note.count > 0).count()
    }

    /// The value of a controller, if it is known.
    #[must_use]
    pub fn control(&self, channel: Channel, control: Controller) -> Option<u8> {
        self.channel(channel).controls[usize::from(control.get())]
    }

    /// Whether the sequencer runs, and the position that its next clock plays.
    #[must_use]
    pub const fn sequencer(&self) -> (bool, u32) {
        let position = (self.position + self.played as u32) % POSITIONS;
        (self.running, position)
    }

    /// The last complete time code, by quarter frames or at once.
    #[must_use]
    pub const fn time_code(&self) -> Option<TimeCode> {
        self.time
    }

    /// The data of the system exclusive messages that were delivered, without full frames and
    /// without those that reset.
    pub fn delivered(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.sysex.iter().map(|it| it.data.as_slice())
    }

    /// How many full frames of time code came.
    #[must_use]
    pub const fn full_frames(&self) -> u32 {
        self.full_frames
    }

    /// How many messages came that set everything back.
    #[must_use]
    pub const fn resets(&self) -> u32 {
        self.resets
    }

    /// How often everything was executed that leaves no state.
    #[must_use]
    pub const fn marks(&self) -> Marks {
        self.executed
    }

    fn channel(&self, channel: Channel) -> &ChannelState {
        &self.channels[usize::from(channel.index())]
    }
}

impl Instrument {
    /// Whether a journal can carry what this message does to this instrument. It cannot:
    ///
    /// - the lower half of a parameter number (98, 100) without the upper half of its kind, unless
    ///   the parameter selected now is of that kind: the upper half that it would reuse was sent
    ///   before a number of the other kind or before the null number, and no log holds it;
    /// - CC 32 before any CC 0: chapter P has the bank of a CC 0 only, and an instrument that keeps
    ///   the lower half would take another bank;
    /// - a data button far from the last data entry: a repair makes up for 128 presses;
    /// - a song position so high that clocks soon lead where no song position leads;
    /// - a quarter frame that begins in the middle: the journal has no code for it but "illegal".
    pub(crate) fn is_carried(&self, message: &Message<'_>) -> bool {
        match message {
            Message::Channel(ChannelMessage::ControlChange {
                channel, control, ..
            }) => self.channel(*channel).is_carried(control.get()),
            Message::Common(SystemCommon::SongPosition { pos }) => pos.get() <= 15_000,
            Message::Common(SystemCommon::QuarterFrame { frame_type, .. }) => {
                let kind = frame_type.get();
                let goes_on = self.run.is_some_and(|run| match run.reverse {
                    false => run.last + 1 == kind,
                    true => kind + 1 == run.last,
                });
                goes_on || kind == 0 || kind == 7
            }
            _ => true,
        }
    }
}

impl ChannelState {
    fn is_carried(&self, control: u8) -> bool {
        let has_msb = |kind| match self.selected {
            Selected::Pending(it, _) => it == kind,
            Selected::Parameter(number) => number.kind == kind,
            Selected::Nothing | Selected::Unknown => false,
        };
        match control {
            32 => self.controls[0].is_some(),
            98 => has_msb(Kind::NonRegistered),
            100 => has_msb(Kind::Registered),
            96 | 97 => match self.selected {
                Selected::Parameter(number) => {
                    let entry = self.parameters.get(&number);
                    entry.is_none_or(|entry| entry.net.abs() < 100)
                }
                _ => true,
            },
            _ => true,
        }
    }
}

fn reset_sysex(first: u8, second: u8) -> Option<usize> {
    RESET_SYSEX
        .iter()
        .position(|(it, _)| *it == [first, second])
}

impl ChannelState {
    /// The bank as it would be taken now.
    fn bank(&self) -> Option<Bank> {
        let msb = self.controls[0]?;
        let lsb = match self.fine[0] {
            Fine::Some(lsb) => lsb,
            Fine::None | Fine::Open => 0,
        };
        Some(Bank { msb, lsb })
    }

    fn control_change(&mut self, control: u8, value: u8) {
        match control {
            6 | 38 | 96 | 97 => self.data_entry(control, value),
            98 => self.number_lsb(Kind::NonRegistered, value),
            99 => self.number_msb(Kind::NonRegistered, value),
            100 => self.number_lsb(Kind::Registered, value),
            101 => self.number_msb(Kind::Registered, value),
            121 => self.reset_controllers(),
            120 | 123 => self.all_notes_off(),
            124 | 125 => {
                self.omni = Some(control);
                self.all_notes_off();
            }
            126 | 127 => {
                self.voices = Some((control, if control == 126 { value } else { 0 }));
                self.all_notes_off();
            }
            _ => {
                self.controls[usize::from(control)] = Some(value);
                match control {
                    0..32 => self.fine[usize::from(control)] = Fine::None,
                    32..64 => self.fine[usize::from(control - 32)] = Fine::Some(value),
                    _ => {}
                }
            }
        }
    }

    fn number_msb(&mut self, kind: Kind, msb: u8) {
        self.last_msb[kind as usize] = Some(msb);
        self.selected = Selected::Pending(kind, msb);
    }

    fn number_lsb(&mut self, kind: Kind, lsb: u8) {
        self.selected = match self.last_msb[kind as usize] {
            None => Selected::Unknown,
            Some(127) if lsb == 127 => Selected::Nothing,
            Some(msb) => Selected::Parameter(Number { kind, msb, lsb }),
        };
    }

    fn data_entry(&mut self, control: u8, value: u8) {
        if let Selected::Pending(kind, msb) = self.selected {
            self.selected = Selected::Parameter(Number { kind, msb, lsb: 0 });
        }
        match self.selected {
            Selected::Parameter(number) => {
                let entry = self.parameters.entry(number).or_default();
                match control {
                    6 => {
                        *entry = Entry {
                            msb: Some(value),
                            ..Entry::default()
                        }
                    }
                    38 => {
                        entry.lsb = Some(value);
                        entry.net = 0;
                    }
                    96 => entry.net = (entry.net + 1).min(MAX_NET),
                    _ => entry.net = (entry.net - 1).max(-MAX_NET),
                }
            }
            Selected::Nothing => match control {
                6 | 38 => self.controls[usize::from(control)] = Some(value),
                _ => self.buttons[usize::from(control - 96)] += 1,
            },
            Selected::Unknown | Selected::Pending(..) => {}
        }
    }

    /// RP-015.
    fn reset_controllers(&mut self) {
        self.controls[1] = Some(0);
        self.controls[11] = Some(127);
        for pedal in 64..68 {
            self.controls[pedal] = Some(0);
        }
        self.fine[1] = Fine::Open;
        self.fine[11] = Fine::Open;
        self.wheel = 0x2000;
        self.pressure = Pressure::default();
        self.poly_pressure = [Pressure::default(); 128];
        self.selected = Selected::Nothing;
        self.last_msb = [None; 2];
    }

    fn all_notes_off(&mut self) {
        for note in &mut self.notes {
            note.count = 0;
        }
        self.pressure.claimed = false;
        for pressure in &mut self.poly_pressure {
            pressure.claimed = false;
        }
    }
}

/// The first thing in which two things differ, in words.
fn differ<T: PartialEq + Debug>(what: impl Display, receiver: T, sender: T) -> Result<(), String> {
    if receiver == sender {
        Ok(())
    } else {
        Err(format!("{what}: {receiver:?}, at the sender {sender:?}"))
    }
}

impl Instrument {
    /// The first thing in which this, the instrument at the receiver, is not what the sender's is,
    /// beyond what is tolerated; `None` when all is well.
    ///
    /// Executions without a trace are not looked at: see
    /// [`executions_difference`](Self::executions_difference).
    #[must_use]
    pub fn difference(&self, sender: &Self, tolerance: &Tolerance) -> Option<String> {
        self.compare(sender, tolerance).err()
    }

    fn compare(&self, sender: &Self, tolerance: &Tolerance) -> Result<(), String> {
        for (index, (own, theirs)) in self.channels.iter().zip(&sender.channels).enumerate() {
            if own.touched || theirs.touched {
                own.compare(theirs, tolerance)
                    .map_err(|what| format!("channel {index}: {what}"))?;
            }
        }
        let ((running, position), (their_running, theirs)) = (self.sequencer(), sender.sequencer());
        differ("sequencer runs", running, their_running)?;
        if theirs <= FURTHEST_POSITION || !tolerance.far_positions {
            differ("position of the next clock", position, theirs)?;
        }
        differ("time code", self.time, sender.time)?;
        if sender.run.is_some() || !tolerance.stale_time_code_run {
            differ("quarter frames of an open run", self.run, sender.run)?;
        }
        differ("song", self.song, sender.song)?;
        for (slot, name) in ["F4", "F5"].into_iter().enumerate() {
            differ(
                format_args!("data of the last {name}"),
                &self.undefined[slot],
                &sender.undefined[slot],
            )?;
        }
        self.compare_sysex(sender, tolerance)
    }

    fn compare_sysex(&self, sender: &Self, tolerance: &Tolerance) -> Result<(), String> {
        // From the end, so that of equal messages the older ones count as the missing ones.
        let mut own = self.sysex.as_slice();
        let mut missing = Vec::new();
        for (index, theirs) in sender.sysex.iter().enumerate().rev() {
            match own.split_last() {
                Some((last, rest)) if last.data == theirs.data => own = rest,
                _ if theirs.resets < sender.resets && tolerance.lost_before_reset => {}
                _ => missing.push(index),
            }
        }
        // A reset that is repaired twice brings back what followed it: see the specification.
        let is_undone = |it: &Delivered| tolerance.lost_before_reset && it.resets < self.resets;
        while let Some((_, rest)) = own.split_last().filter(|(it, _)| is_undone(it)) {
            own = rest;
        }
        if let Some(last) = own.last() {
            return Err(format!(
                "system exclusive message {} of {} was not sent, or twice, or in another order: {}",
                own.len(),
                self.sysex.len(),
                shown(&last.data)
            ));
        }
        if missing.len() > tolerance.missing_sysex {
            let first = missing.last().copied().unwrap_or_default();
            return Err(format!(
                "{} system exclusive messages are missing and {} may be; the first is number {} of \
                 {}: {}",
                missing.len(),
                tolerance.missing_sysex,
                first + 1,
                sender.sysex.len(),
                shown(&sender.sysex[first].data)
            ));
        }
        Ok(())
    }

    /// A note that sounds here although it has ended at the sender, or more often than there, in
    /// words; `None` when there is none.
    #[must_use]
    pub fn hanging(&self, sender: &Self) -> Option<String> {
        for (channel, (own, theirs)) in self.channels.iter().zip(&sender.channels).enumerate() {
            for (note, (own, theirs)) in own.notes.iter().zip(&theirs.notes).enumerate() {
                if own.count > theirs.count {
                    return Some(format!("channel {channel}: note {note} hangs"));
                }
            }
        }
        None
    }

    /// The notes that sound less often here than at the sender: channel, note, how many times less,
    /// and whether a journal may have had nothing to play for that, and the receiver nothing to
    /// skip.
    ///
    /// That is so for stacked notes. After a note-off a journal says how many are left, but has no
    /// log to play (chapter N, OFFBITS). And a note-on that begins the packet's own list just as
    /// one in the journal is taken for the same: some senders log what is in the packet itself.
    pub fn missing_notes<'a>(
        &'a self,
        sender: &'a Self,
    ) -> impl Iterator<Item = (usize, usize, u32, bool)> + 'a {
        let channels = self.channels.iter().zip(&sender.channels).enumerate();
        channels
            .filter(|(_, (_, theirs))| theirs.touched)
            .flat_map(|(channel, (own, theirs))| {
                let notes = own.notes.iter().zip(&theirs.notes).enumerate();
                notes.filter_map(move |(note, (own, theirs))| {
                    let missing = theirs.count.saturating_sub(own.count);
                    (missing > 0).then_some((channel, note, missing, theirs.untold))
                })
            })
    }

    /// How many of the system exclusive messages that the sender delivered are not here, resets and
    /// full frames not counted; 0 when here are more.
    #[must_use]
    pub fn missing_sysex(&self, sender: &Self) -> usize {
        sender.sysex.len().saturating_sub(self.sysex.len())
    }

    /// Whether everything without a trace that the sender executed since its marks was executed
    /// here since the marks of this receiver, and nothing else was. In words, what was not.
    ///
    /// One execution stands for many, and what the sender executed before its last reset may be
    /// missing: a journal has no place for it. More executions than the sender ever had are wrong,
    /// unless the sender was reset and that is tolerated.
    #[must_use]
    pub fn executions_difference(
        &self,
        own_marks: &Marks,
        sender: &Self,
        sender_marks: &Marks,
        tolerance: &Tolerance,
    ) -> Option<String> {
        for counter in 0..COUNTERS {
            let [own, theirs] = [self, sender].map(|it| it.executed.0[counter]);
            let own_new = own - own_marks.0[counter];
            let their_new = theirs - sender_marks.0[counter];
            // A reset makes everything before it pointless, other resets too.
            let due = their_new.min(sender.executed_since_reset.0[counter]);
            let name = Marks::name(counter);
            if own_new == 0 && due > 0 {
                return Some(format!(
                    "{name}: not executed, at the sender {due} times since the marks"
                ));
            }
            let excused = sender.resets > 0 && tolerance.lost_before_reset;
            if own > theirs && !excused {
                return Some(format!(
                    "{name}: executed {own} times, at the sender {theirs} times"
                ));
            }
            if own_new > 0 && their_new == 0 && !excused && !is_reset_counter(counter) {
                return Some(format!(
                    "{name}: executed, and not at the sender since the marks"
                ));
            }
        }
        None
    }
}

fn shown(data: &[u8]) -> String {
    match data.get(..16) {
        None => format!("{data:02x?}"),
        Some(head) => format!("{head:02x?}... ({} octets)", data.len()),
    }
}

impl ChannelState {
    fn compare(&self, sender: &Self, tolerance: &Tolerance) -> Result<(), String> {
        self.compare_notes(sender, tolerance)?;
        self.compare_controls(sender, tolerance)?;
        differ("program and its bank", self.program, sender.program)?;
        differ("selected parameter", self.selected, sender.selected)?;
        self.compare_parameters(sender)?;
        for (number, (own, theirs)) in (96..).zip(self.buttons.iter().zip(&sender.buttons)) {
            // A journal counts them modulo 64.
            differ(
                format_args!("controller {number} without a parameter, times modulo 64"),
                own % 64,
                theirs % 64,
            )?;
        }
        differ("pitch wheel", self.wheel, sender.wheel)?;
        self.pressure.compare(sender.pressure, "channel pressure")?;
        for note in 0..128 {
            self.poly_pressure[note].compare(
                sender.poly_pressure[note],
                format_args!("note {note}: pressure"),
            )?;
        }
        differ("omni mode, by controller", self.omni, sender.omni)?;
        differ(
            "mono or poly mode, by controller and value",
            self.voices,
            sender.voices,
        )
    }

    fn compare_notes(&self, sender: &Self, tolerance: &Tolerance) -> Result<(), String> {
        for (note, (own, theirs)) in self.notes.iter().zip(&sender.notes).enumerate() {
            if own.count > theirs.count {
                return Err(format!(
                    "note {note}: sounds {} times, at the sender {} times",
                    own.count, theirs.count
                ));
            }
            if own.count < theirs.count {
                if tolerance.missing_notes {
                    continue;
                }
                return Err(format!(
                    "note {note}: sounds {} times only, at the sender {} times",
                    own.count, theirs.count
                ));
            }
            if own.count > 0 && !theirs.ended && own.velocity != theirs.velocity {
                return Err(format!(
                    "note {note}: velocity {}, at the sender {}",
                    own.velocity, theirs.velocity
                ));
            }
        }
        Ok(())
    }

    fn compare_controls(&self, sender: &Self, tolerance: &Tolerance) -> Result<(), String> {
        for (number, (own, theirs)) in self.controls.iter().zip(&sender.controls).enumerate() {
            let is_switch = (64..70).contains(&number);
            if own == theirs {
                continue;
            }
            let is_on = |it: &Option<u8>| it.is_some_and(|value| value >= 64);
            if is_switch && tolerance.switches_by_state && is_on(own) == is_on(theirs) {
                continue;
            }
            if number == 32 && tolerance.bank_by_pair {
                continue;
            }
            let [own, theirs] =
                [own, theirs].map(|it| it.map_or("unknown".to_owned(), |it| it.to_string()));
            return Err(format!(
                "controller {number}: {own}, at the sender {theirs}"
            ));
        }
        for (number, (own, theirs)) in self.fine.iter().zip(&sender.fine).enumerate() {
            let lsb = |fine| match fine {
                Fine::None => Some(0),
                Fine::Some(lsb) => Some(lsb),
                Fine::Open => None,
            };
            if let (Some(own), Some(theirs)) = (lsb(*own), lsb(*theirs)) {
                differ(
                    format_args!(
                        "controller {number}: lower half ({}) since the upper one",
                        number + 32
                    ),
                    own,
                    theirs,
                )?;
            }
        }
        Ok(())
    }

    fn compare_parameters(&self, sender: &Self) -> Result<(), String> {
        for number in sender.parameters.keys().chain(self.parameters.keys()) {
            // One that was selected and never set is as good as unknown.
            let entry =
                |it: &Self| -> Entry { it.parameters.get(number).copied().unwrap_or_default() };
            differ(format_args!("{number:?}"), entry(self), entry(sender))?;
        }
        Ok(())
    }
}

impl Pressure {
    fn compare(self, sender: Self, what: impl Display) -> Result<(), String> {
        if sender.claimed {
            differ(what, self.value, sender.value)?;
        }
        Ok(())
    }
}
