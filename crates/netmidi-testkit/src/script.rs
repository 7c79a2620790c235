//! Random performances: what a musician, a desk or a sequencer would send, and everything at once.

use core::time::Duration;

use netmidi_journal::Chapter;
use netmidi_message::{
    Bend, Channel, ChannelMessage, Controller, FrameRate, FullFrame, MessageBuf, Note, Parameter,
    RealTime, SysExBuf, SystemCommon, TimeCode, U7, U14, UndefinedBuf, UndefinedStatus, deselect,
};

use crate::instrument::Instrument;
use crate::rng::Rng;

/// All chapters of a recovery journal.
pub const CHAPTERS: [Chapter; 13] = [
    Chapter::P,
    Chapter::C,
    Chapter::M,
    Chapter::W,
    Chapter::N,
    Chapter::E,
    Chapter::T,
    Chapter::A,
    Chapter::D,
    Chapter::V,
    Chapter::Q,
    Chapter::F,
    Chapter::X,
];

/// How often each gesture comes, in relation to the others. A gesture is one message up to a few
/// dozen, spread over time, so that gestures overlap.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Weights {
    /// Single notes, with all ways to end them.
    pub notes: u32,
    /// Chords of one hand.
    pub chords: u32,
    /// One note several times before it ends, and note-offs too many.
    pub stacked: u32,
    /// Pedals and switches, 64 to 69, some of them bouncing or half way down.
    pub pedals: u32,
    /// A controller that moves.
    pub faders: u32,
    /// Controllers with two halves.
    pub fine_faders: u32,
    /// Programs, mostly with a bank before them.
    pub programs: u32,
    /// RPN and NRPN in all three forms, with data buttons, mostly ended by the null number.
    pub parameters: u32,
    /// 6, 38, 96 and 97, half of the time after the null number.
    pub buttons: u32,
    /// Pitch wheel.
    pub wheel: u32,
    /// Channel pressure.
    pub pressure: u32,
    /// Pressure of single notes.
    pub poly_pressure: u32,
    /// 120 and 123 to 127.
    pub modes: u32,
    /// 121.
    pub reset_controllers: u32,
    /// FF, and system exclusive messages that reset.
    pub resets: u32,
    /// Start, stop, continue, song position, clocks.
    pub sequencer: u32,
    /// Time code: runs of quarter frames both ways, whole and broken off, and full frames.
    pub time_code: u32,
    /// System exclusive messages.
    pub sysex: u32,
    /// F3 and F6.
    pub simple: u32,
    /// F4, F5, F9 and FD.
    pub undefined: u32,
    /// FE.
    pub active_sense: u32,
}

/// What a [`Script`] is made of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ScriptMix {
    /// How many messages. By default 1,000.
    pub messages: usize,
    /// On how many channels, from the first on: 1 to 16.
    pub channels: u8,
    /// Which gestures.
    pub weights: Weights,
    /// Whether F4, F5, F9 and FD come. By default they do.
    pub undefined: bool,
    /// Whether FF and the system exclusive messages that reset come. By default they do, in
    /// [`everything`](Self::everything) about once in 300 messages.
    pub resets: bool,
    /// Whether only that comes which a recovery journal can carry. By default so. Left out are:
    ///
    /// - the lower half of a parameter number without its upper half, after a number of the other
    ///   kind or after the null number: no log holds the upper half that it would reuse;
    /// - CC 32 before any CC 0: the bank in a journal begins with a CC 0;
    /// - more than 100 presses of the data buttons in one direction after one data entry: a repair
    ///   makes up for a bounded number;
    /// - song positions above 15,000: clocks would lead where no song position leads;
    /// - quarter frames that begin in the middle of a time code: the journal codes only that there
    ///   was something illegal.
    ///
    /// Switched off, these come now and then.
    pub only_carried: bool,
    /// The longest usual time between two gestures, in milliseconds; every fifth follows at once,
    /// and one in a hundred after a pause of one to four seconds.
    pub gap: u32,
    /// How long system exclusive messages get: nine in ten have up to 60 octets.
    pub longest_sysex: u32,
}

impl ScriptMix {
    const NOTHING: Self = Self {
        messages: 1000,
        channels: 4,
        weights: Weights {
            notes: 0,
            chords: 0,
            stacked: 0,
            pedals: 0,
            faders: 0,
            fine_faders: 0,
            programs: 0,
            parameters: 0,
            buttons: 0,
            wheel: 0,
            pressure: 0,
            poly_pressure: 0,
            modes: 0,
            reset_controllers: 0,
            resets: 0,
            sequencer: 0,
            time_code: 0,
            sysex: 0,
            simple: 0,
            undefined: 0,
            active_sense: 0,
        },
        undefined: true,
        resets: true,
        only_carried: true,
        gap: 30,
        longest_sysex: 3000,
    };

    /// All kinds of messages.
    #[must_use]
    pub const fn everything() -> Self {
        Self {
            channels: 16,
            weights: Weights {
                notes: 160,
                chords: 60,
                stacked: 30,
                pedals: 50,
                faders: 100,
                fine_faders: 60,
                programs: 60,
                parameters: 120,
                buttons: 30,
                wheel: 60,
                pressure: 50,
                poly_pressure: 50,
                modes: 20,
                reset_controllers: 20,
                resets: 18,
                sequencer: 50,
                time_code: 30,
                sysex: 50,
                simple: 30,
                undefined: 30,
                active_sense: 20,
            },
            ..Self::NOTHING
        }
    }

    /// Two hands and a pedal.
    #[must_use]
    pub const fn piano() -> Self {
        Self {
            channels: 1,
            weights: Weights {
                notes: 500,
                chords: 300,
                pedals: 120,
                stacked: 30,
                active_sense: 20,
                ..Self::NOTHING.weights
            },
            gap: 120,
            ..Self::NOTHING
        }
    }

    /// Sixteen channels of faders on a desk.
    #[must_use]
    pub const fn controllers() -> Self {
        Self {
            channels: 16,
            weights: Weights {
                faders: 800,
                fine_faders: 150,
                wheel: 50,
                ..Self::NOTHING.weights
            },
            gap: 10,
            ..Self::NOTHING
        }
    }

    /// What fills one chapter of the journal, with some notes around it.
    ///
    /// For V that is active sensing, which leaves nothing behind that an [`Instrument`] knows.
    #[must_use]
    pub const fn chapter(chapter: Chapter) -> Self {
        let mut mix = Self::NOTHING;
        mix.resets = false;
        let weights = &mut mix.weights;
        weights.notes = 20;
        match chapter {
            Chapter::P => weights.programs = 100,
            Chapter::C => {
                weights.faders = 40;
                weights.fine_faders = 25;
                weights.pedals = 25;
                weights.buttons = 10;
                weights.modes = 5;
                weights.reset_controllers = 5;
            }
            Chapter::M => weights.parameters = 100,
            Chapter::W => weights.wheel = 100,
            Chapter::N => {
                weights.notes = 100;
                weights.chords = 50;
            }
            Chapter::E => weights.stacked = 100,
            Chapter::T => weights.pressure = 100,
            Chapter::A => weights.poly_pressure = 100,
            Chapter::D => {
                weights.simple = 60;
                weights.undefined = 60;
                weights.resets = 2;
                mix.resets = true;
            }
            Chapter::V => weights.active_sense = 100,
            Chapter::Q => weights.sequencer = 100,
            Chapter::F => weights.time_code = 100,
            Chapter::X => weights.sysex = 100,
        }
        mix
    }

    /// The same with this many messages.
    #[must_use]
    pub const fn with_messages(mut self, messages: usize) -> Self {
        self.messages = messages;
        self
    }

    /// The same without F4, F5, F9 and FD.
    #[must_use]
    pub const fn without_undefined(mut self) -> Self {
        self.undefined = false;
        self
    }

    /// The same without FF and system exclusive messages that reset.
    #[must_use]
    pub const fn without_resets(mut self) -> Self {
        self.resets = false;
        self
    }

    /// The same with what no journal can carry.
    #[must_use]
    pub const fn with_everything_else(mut self) -> Self {
        self.only_carried = false;
        self
    }
}

/// Some messages that are sent at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Step {
    /// How long after the step before.
    pub wait: Duration,
    /// What to send then, in this order; at least one.
    pub messages: Vec<MessageBuf>,
    /// The packet with them is lost, whatever the network does otherwise.
    pub lost: bool,
}

/// A performance.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Script {
    /// One after another.
    pub steps: Vec<Step>,
}

impl Script {
    /// A performance of exactly as many messages as the mix says; `seed` decides everything else.
    ///
    /// # Panics
    /// When the mix has no gesture or no channel.
    #[must_use]
    pub fn new(mix: &ScriptMix, seed: u64) -> Self {
        assert!((1..=16).contains(&mix.channels), "1 to 16 channels");
        let mut writer = Writer::new(*mix, seed);
        let mut wanted = mix.messages + mix.messages / 4;
        loop {
            while writer.events.len() < wanted {
                writer.gesture();
            }
            let messages = writer.in_order();
            if messages.len() == mix.messages {
                return Self::from_messages(messages);
            }
            wanted += mix.messages;
        }
    }

    fn from_messages(messages: Vec<(u64, MessageBuf)>) -> Self {
        let mut steps: Vec<Step> = Vec::new();
        let mut last = 0;
        for (at, message) in messages {
            match steps.last_mut() {
                Some(step) if at == last => step.messages.push(message),
                _ => steps.push(Step {
                    wait: Duration::from_micros(at - last),
                    messages: vec![message],
                    lost: false,
                }),
            }
            last = at;
        }
        Self { steps }
    }

    /// All messages in their order.
    pub fn messages(&self) -> impl Iterator<Item = &MessageBuf> {
        self.steps.iter().flat_map(|step| &step.messages)
    }

    /// How many messages.
    #[must_use]
    pub fn message_count(&self) -> usize {
        self.steps.iter().map(|step| step.messages.len()).sum()
    }

    /// How long it takes up to the last step.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.steps.iter().map(|step| step.wait).sum()
    }
}

/// A moment, in microseconds.
type Micros = u64;
/// What writes a gesture, and how often it does.
type Gesture = (u32, fn(&mut Writer));

struct Writer {
    mix: ScriptMix,
    rng: Rng,
    /// When the next gesture begins.
    at: Micros,
    events: Vec<(Micros, MessageBuf)>,
    gestures: Vec<Gesture>,
    /// Gestures of which two at once would be nonsense: until when time code runs.
    time_code_until: Micros,
    time: TimeCode,
    /// Until when a parameter is being set, by channel.
    parameter_until: [Micros; 16],
}

impl Writer {
    fn new(mix: ScriptMix, seed: u64) -> Self {
        let weights = mix.weights;
        let resets = if mix.resets { weights.resets } else { 0 };
        let undefined = if mix.undefined { weights.undefined } else { 0 };
        let mut gestures: Vec<Gesture> = vec![
            (weights.notes, Self::note),
            (weights.chords, Self::chord),
            (weights.stacked, Self::stacked),
            (weights.pedals, Self::pedal),
            (weights.faders, Self::fader),
            (weights.fine_faders, Self::fine_fader),
            (weights.programs, Self::program),
            (weights.parameters, Self::parameter),
            (weights.buttons, Self::button),
            (weights.wheel, Self::wheel),
            (weights.pressure, Self::pressure),
            (weights.poly_pressure, Self::poly_pressure),
            (weights.modes, Self::mode),
            (weights.reset_controllers, Self::reset_controllers),
            (resets, Self::reset),
            (weights.sequencer, Self::sequencer),
            (weights.time_code, Self::time_code),
            (weights.sysex, Self::sysex),
            (weights.simple, Self::simple),
            (undefined, Self::undefined),
            (weights.active_sense, Self::active_sense),
        ];
        let total: u32 = gestures.iter().map(|(weight, _)| weight).sum();
        assert!(total > 0, "a mix without a gesture");
        if !mix.only_carried {
            gestures.push((total / 20 + 1, Self::oddity));
        }
        Self {
            mix,
            rng: Rng::new(seed),
            at: 0,
            events: Vec::new(),
            gestures,
            time_code_until: 0,
            time: TimeCode::from_frame_number(0, FrameRate::Fps25),
            parameter_until: [0; 16],
        }
    }

    /// The first messages, as many as are wanted or there are.
    fn in_order(&self) -> Vec<(Micros, MessageBuf)> {
        let mut events: Vec<&(Micros, MessageBuf)> = self.events.iter().collect();
        // Stable: at one moment the order of writing counts.
        events.sort_by_key(|(at, _)| *at);
        let mut instrument = Instrument::new();
        let mut kept = Vec::new();
        for (at, message) in events {
            if kept.len() == self.mix.messages {
                break;
            }
            let message_ref = message.as_message();
            if self.mix.only_carried && !instrument.is_carried(&message_ref) {
                continue;
            }
            instrument.play(&message_ref);
            kept.push((*at, message.clone()));
        }
        kept
    }

    fn gesture(&mut self) {
        let gap = match self.rng.below(100) {
            0 => 1_000_000 + u64::from(self.rng.below(3_000_000)),
            1..=20 => 0,
            _ => 100 * u64::from(self.rng.below(self.mix.gap * 10 + 1)),
        };
        self.at += gap;
        let total = self.gestures.iter().map(|(weight, _)| weight).sum();
        let mut pick = self.rng.below(total);
        for index in 0..self.gestures.len() {
            let (weight, gesture) = self.gestures[index];
            if pick < weight {
                return gesture(self);
            }
            pick -= weight;
        }
    }

    fn put(&mut self, after: Micros, message: impl Into<MessageBuf>) {
        self.events.push((self.at + after, message.into()));
    }

    /// From 0 to this many milliseconds, in microseconds.
    fn millis(&mut self, most: u32) -> Micros {
        100 * Micros::from(self.rng.below(10 * most + 1))
    }

    fn channel(&mut self) -> Channel {
        Channel::from_status(self.rng.below(self.mix.channels.into()) as u8)
    }

    fn u7(&mut self) -> U7 {
        U7::from_low_bits(self.rng.data())
    }

    /// One of these, each as likely.
    fn pick(&mut self, from: &[u8]) -> u8 {
        from[self.rng.index(from.len())]
    }

    fn control(&mut self, after: Micros, channel: Channel, control: u8, value: u8) {
        let control = Controller::from(U7::from_low_bits(control));
        let value = U7::from_low_bits(value);
        self.put(
            after,
            ChannelMessage::control_change(channel, control, value),
        );
    }

    fn velocity(&mut self) -> U7 {
        U7::from_low_bits(1 + self.rng.below(127) as u8)
    }

    fn key(&mut self) -> Note {
        Note::from(U7::from_low_bits(36 + self.rng.below(48) as u8))
    }

    fn note_off(&mut self, after: Micros, channel: Channel, note: Note) {
        let message = match self.rng.below(4) {
            0 => ChannelMessage::note_on(channel, note, U7::MIN),
            1 => ChannelMessage::note_off(channel, note, self.u7()),
            _ => ChannelMessage::note_off(channel, note, U7::from_low_bits(64)),
        };
        self.put(after, message);
    }

    fn note(&mut self) {
        let (channel, note, velocity) = (self.channel(), self.key(), self.velocity());
        self.put(0, ChannelMessage::note_on(channel, note, velocity));
        let length = 20_000 + self.millis(600);
        self.note_off(length, channel, note);
        // Repeated at once, as a trill does.
        if self.rng.percent(15) {
            let velocity = self.velocity();
            self.put(length, ChannelMessage::note_on(channel, note, velocity));
            self.note_off(2 * length, channel, note);
        }
    }

    fn chord(&mut self) {
        let channel = self.channel();
        let root = 36 + self.rng.below(40) as u8;
        let length = 50_000 + self.millis(1500);
        let together = self.rng.percent(50);
        for interval in [0, 4, 7, 12, 16]
            .into_iter()
            .take(2 + self.rng.below(4) as usize)
        {
            let note = Note::from(U7::from_low_bits(root + interval));
            let velocity = self.velocity();
            let spread = if together { 0 } else { self.millis(15) };
            self.put(spread, ChannelMessage::note_on(channel, note, velocity));
            let end = if together { 0 } else { self.millis(40) };
            self.note_off(length + end, channel, note);
        }
    }

    fn stacked(&mut self) {
        let (channel, note) = (self.channel(), self.key());
        let times = 2 + self.rng.below(3);
        for _ in 0..times {
            let (after, velocity) = (self.millis(100), self.velocity());
            self.put(after, ChannelMessage::note_on(channel, note, velocity));
        }
        // One in five ends fewer or more often than it began.
        let ends = match self.rng.below(10) {
            0 => times - 1,
            1 => times + 1,
            _ => times,
        };
        for _ in 0..ends {
            let after = 100_000 + self.millis(300);
            self.note_off(after, channel, note);
        }
    }

    fn pedal(&mut self) {
        let channel = self.channel();
        let pedal = self.pick(&[64, 64, 64, 64, 65, 66, 67, 68, 69]);
        let down = if self.rng.percent(90) {
            127
        } else {
            self.rng.data()
        };
        let length = self.millis(800);
        self.control(0, channel, pedal, down);
        self.control(length, channel, pedal, 0);
        if self.rng.percent(40) {
            // Off and on again for the next chord.
            self.control(length, channel, pedal, down);
        }
    }

    fn fader(&mut self) {
        const PLAIN: [u8; 38] = [
            1, 2, 4, 5, 7, 7, 8, 10, 11, 12, 13, 16, 17, 18, 19, 70, 71, 72, 73, 74, 75, 76, 77,
            78, 79, 80, 81, 84, 91, 92, 93, 94, 95, 102, 110, 119, 122, 90,
        ];
        let channel = self.channel();
        let number = self.pick(&PLAIN);
        let mut value = self.rng.data();
        let apart = 1_000 + self.millis(15);
        for n in 0..Micros::from(1 + self.rng.below(8)) {
            self.control(n * apart, channel, number, value);
            let step = 1 + self.rng.below(6) as u8;
            value = if self.rng.percent(50) {
                value.saturating_sub(step)
            } else {
                (value + step).min(127)
            };
        }
    }

    fn fine_fader(&mut self) {
        let channel = self.channel();
        let number = self.pick(&[1, 2, 4, 7, 10, 11, 16, 20]);
        let apart = if self.rng.percent(70) {
            0
        } else {
            self.millis(5)
        };
        let (msb, lsb) = (self.rng.data(), self.rng.data());
        match self.rng.below(10) {
            0 | 1 => self.control(0, channel, number, msb),
            2 | 3 => self.control(0, channel, number + 32, lsb),
            4 => {
                self.control(0, channel, number + 32, lsb);
                self.control(apart, channel, number, msb);
            }
            _ => {
                self.control(0, channel, number, msb);
                self.control(apart, channel, number + 32, lsb);
            }
        }
    }

    fn program(&mut self) {
        let channel = self.channel();
        let bank = self.pick(&[0, 1, 2, 121]);
        let lsb = self.pick(&[0, 1, 2, 3]);
        let apart = if self.rng.percent(50) {
            0
        } else {
            self.millis(5)
        };
        let form = self.rng.below(10);
        if form > 1 {
            self.control(0, channel, 0, bank);
        }
        if form > 4 {
            self.control(apart, channel, 32, lsb);
        }
        let program = U7::from_low_bits(self.rng.below(8) as u8);
        self.put(2 * apart, ChannelMessage::program_change(channel, program));
        if form == 2 {
            self.control(3 * apart, channel, 0, lsb);
        } else if form == 3 {
            self.control(3 * apart, channel, 32, bank);
        }
    }

    fn parameter(&mut self) {
        let channel = self.channel();
        let index = usize::from(channel.index());
        let apart = match self.rng.below(3) {
            0 => self.millis(8),
            _ => 0,
        };
        // Two of these at once on one channel are one muddle.
        let mut at = self.parameter_until[index].max(self.at) - self.at;
        let registered = self.rng.percent(50);
        let [msb_number, lsb_number] = if registered { [101, 100] } else { [99, 98] };
        let msb = if registered {
            0
        } else {
            self.pick(&[0, 1, 2, 100])
        };
        let mut put = |writer: &mut Self, control, value| {
            writer.control(at, channel, control, value);
            at += apart;
        };
        for transaction in 0..1 + self.rng.below(3) {
            let lsb = self.rng.below(5) as u8;
            let form = self.rng.below(10);
            // The second and later ones often leave out the upper half (type 2), and some of those
            // that have no lower half mean 0 (type 3).
            if transaction == 0 || form < 5 {
                put(self, msb_number, msb);
            }
            if form != 0 {
                put(self, lsb_number, lsb);
            }
            if self.rng.percent(80) {
                let value = self.rng.data();
                put(self, 6, value);
            }
            if self.rng.percent(40) {
                let value = self.rng.data();
                put(self, 38, value);
            }
            if self.rng.percent(30) {
                for _ in 0..1 + self.rng.below(6) {
                    let button = 96 + self.rng.below(2) as u8;
                    put(self, button, 0);
                }
            }
            if self.rng.percent(10) {
                let value = self.rng.data();
                put(self, 6, value);
            }
        }
        if self.rng.percent(60) {
            let null = match self.rng.percent(80) {
                true => [101, 100],
                false => [99, 98],
            };
            put(self, null[0], 127);
            put(self, null[1], 127);
        }
        self.parameter_until[index] = self.at + at;
    }

    fn button(&mut self) {
        let channel = self.channel();
        if self.rng.percent(50) {
            for message in deselect(channel) {
                self.put(0, message);
            }
        }
        for _ in 0..1 + self.rng.below(4) {
            let (control, value) = (self.pick(&[6, 38, 96, 97]), self.rng.data());
            self.control(0, channel, control, value);
        }
    }

    fn wheel(&mut self) {
        let channel = self.channel();
        let apart = 1_000 + self.millis(10);
        for n in 0..Micros::from(1 + self.rng.below(6)) {
            let bend = Bend::from(U14::from_low_bits(self.rng.below(1 << 14) as u16));
            self.put(n * apart, ChannelMessage::pitch_bend(channel, bend));
        }
        if self.rng.percent(30) {
            self.put(6 * apart, ChannelMessage::pitch_bend(channel, Bend::CENTER));
        }
    }

    fn pressure(&mut self) {
        let channel = self.channel();
        let apart = 1_000 + self.millis(10);
        for n in 0..Micros::from(1 + self.rng.below(5)) {
            let value = self.u7();
            self.put(n * apart, ChannelMessage::channel_pressure(channel, value));
        }
    }

    fn poly_pressure(&mut self) {
        let (channel, note) = (self.channel(), self.key());
        let apart = 1_000 + self.millis(10);
        for n in 0..Micros::from(1 + self.rng.below(5)) {
            let value = self.u7();
            self.put(
                n * apart,
                ChannelMessage::poly_pressure(channel, note, value),
            );
        }
    }

    fn mode(&mut self) {
        let channel = self.channel();
        let mode = self.pick(&[120, 123, 123, 124, 125, 126, 127]);
        let value = if mode == 126 {
            self.pick(&[0, 1, 4])
        } else {
            0
        };
        self.control(0, channel, mode, value);
    }

    fn reset_controllers(&mut self) {
        let channel = self.channel();
        self.control(0, channel, 121, 0);
    }

    fn reset(&mut self) {
        let [first, second] = match self.rng.below(8) {
            0..=2 => return self.put(0, RealTime::Reset),
            3 | 4 => [0x09, 0x01],
            5 => [0x09, 0x03],
            6 => [0x0A, 0x01],
            _ => [0x0A, 0x02],
        };
        let data = [0x7E, self.pick(&[0x7F, 0x00, 0x10]), first, second];
        self.put(0, SysExBuf::new(data).expect("data octets"));
    }

    fn sequencer(&mut self) {
        let clock = 5_000 + self.millis(20);
        let mut at = 0;
        for _ in 0..1 + self.rng.below(3) {
            match self.rng.below(10) {
                0 | 1 => self.put(at, RealTime::Start),
                2 | 3 => self.put(at, RealTime::Stop),
                4 => self.put(at, RealTime::Continue),
                5 => {
                    let pos = U14::from_low_bits(self.rng.below(15_000) as u16);
                    self.put(at, SystemCommon::SongPosition { pos });
                }
                6 => {
                    let pos = U14::from_low_bits(self.rng.below(64) as u16);
                    self.put(at, RealTime::Stop);
                    self.put(at, SystemCommon::SongPosition { pos });
                    self.put(at + clock, RealTime::Continue);
                }
                _ => {
                    for _ in 0..1 + self.rng.below(30) {
                        self.put(at, RealTime::TimingClock);
                        at += clock;
                    }
                }
            }
            at += clock;
        }
    }

    fn time_code(&mut self) {
        let mut at = self.time_code_until.max(self.at) - self.at;
        if self.rng.percent(30) {
            let rate = FrameRate::from_code(self.rng.below(4) as u8);
            self.time = TimeCode::from_frame_number(self.rng.below(2_000_000), rate);
        }
        let apart = self.pick(&[0, 8, 10]);
        let apart = 1000 * Micros::from(apart);
        match self.rng.below(10) {
            0 | 1 => self.full_frame(at),
            2..=6 => {
                for _ in 0..1 + self.rng.below(3) {
                    let frames = self.time.to_quarter_frames();
                    at = self.quarter_frames(at, apart, &frames);
                    self.time = self.time.plus_frames(2);
                }
                let part = self.rng.below(8) as usize;
                let frames = self.time.to_quarter_frames();
                at = self.quarter_frames(at, apart, &frames[..part]);
                if self.rng.percent(20) {
                    self.full_frame(at);
                }
            }
            _ => {
                let mut frames = self.time.to_quarter_frames();
                frames.reverse();
                at = self.quarter_frames(at, apart, &frames);
                let part = self.rng.below(8) as usize;
                at = self.quarter_frames(at, apart, &frames[..part]);
            }
        }
        self.time_code_until = self.at + at;
    }

    fn full_frame(&mut self, at: Micros) {
        let frame = FullFrame {
            device: U7::MAX,
            time: self.time,
        };
        self.put(at, SysExBuf::new(frame.to_data()).expect("data octets"));
    }

    fn quarter_frames(&mut self, at: Micros, apart: Micros, frames: &[SystemCommon]) -> Micros {
        let mut at = at;
        for frame in frames {
            self.put(at, *frame);
            at += apart;
        }
        at
    }

    fn sysex(&mut self) {
        let most = match self.rng.below(100) {
            0..90 => 60,
            90..97 => 600,
            _ => self.mix.longest_sysex,
        };
        let len = self.rng.below(most.min(self.mix.longest_sysex) + 1);
        let mut data: Vec<u8> = (0..len).map(|_| self.rng.data()).collect();
        // Not by chance a message with a meaning here.
        if let Some(first) = data.first_mut() {
            *first &= 0x3F;
        }
        let message = SysExBuf::new(data).expect("data octets");
        if self.rng.percent(5) {
            self.put(0, message.clone());
        }
        self.put(0, message);
    }

    fn simple(&mut self) {
        if self.rng.percent(60) {
            let song = U7::from_low_bits(self.rng.below(6) as u8);
            self.put(0, SystemCommon::SongSelect { song });
        } else {
            self.put(0, SystemCommon::TuneRequest);
        }
    }

    fn undefined(&mut self) {
        let status = match self.rng.below(4) {
            0 => return self.put(0, RealTime::UndefinedF9),
            1 => return self.put(0, RealTime::UndefinedFd),
            2 => UndefinedStatus::F4,
            _ => UndefinedStatus::F5,
        };
        let len = self.rng.below(5);
        let data: Vec<u8> = (0..len).map(|_| self.rng.data()).collect();
        let message = UndefinedBuf::new(status, data).expect("data octets");
        self.put(0, message);
    }

    fn active_sense(&mut self) {
        self.put(0, RealTime::ActiveSensing);
    }

    /// What no journal carries.
    fn oddity(&mut self) {
        let channel = self.channel();
        match self.rng.below(6) {
            0 => {
                // Two transactions without their upper half, with one of the other kind between.
                let number = U14::from_low_bits(1 << 7 | 2);
                for message in Parameter::NonRegistered(number).select(channel) {
                    self.put(0, message);
                }
                self.control(0, channel, 101, 0);
                self.control(0, channel, 98, 3);
                self.control(0, channel, 6, 1);
            }
            1 => {
                for message in deselect(channel) {
                    self.put(0, message);
                }
                self.control(0, channel, 100, 1);
                self.control(0, channel, 6, 9);
            }
            2 => {
                let value = self.rng.data();
                self.control(0, channel, 32, value);
                self.control(0, channel, 0, 1);
            }
            3 => {
                let data = U7::from_low_bits(0x10 + self.rng.below(0x60) as u8);
                self.put(0, SystemCommon::quarter_frame(data));
            }
            4 => {
                let pos = U14::from_low_bits(16_383 - self.rng.below(2) as u16);
                self.put(0, SystemCommon::SongPosition { pos });
            }
            _ => {
                for _ in 0..150 {
                    self.control(0, channel, 96, 0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixes() -> Vec<ScriptMix> {
        let mut mixes = vec![
            ScriptMix::everything(),
            ScriptMix::everything().with_everything_else(),
            ScriptMix::piano(),
            ScriptMix::controllers(),
        ];
        mixes.extend(CHAPTERS.map(ScriptMix::chapter));
        mixes
    }

    #[test]
    fn scripts_are_as_long_as_asked_and_the_same_for_a_seed() {
        for mix in mixes() {
            for messages in [1, 100, 1000] {
                let mix = mix.with_messages(messages);
                let [one, two] = [5, 5].map(|seed| Script::new(&mix, seed));
                assert_eq!(one, two);
                assert_eq!(one.message_count(), messages);
                assert!(one.steps.iter().all(|step| !step.messages.is_empty()));
            }
            assert_ne!(Script::new(&mix, 5), Script::new(&mix, 6));
        }
    }

    fn count(scripts: &[Script], wanted: impl Fn(&[u8]) -> bool) -> usize {
        let all = scripts.iter().flat_map(Script::messages);
        all.filter(|message| wanted(&message.to_vec())).count()
    }

    /// In 100 scripts of 1,000 messages everything comes.
    #[test]
    fn everything_has_everything() {
        let scripts: Vec<Script> = (0..100)
            .map(|seed| Script::new(&ScriptMix::everything(), seed))
            .collect();
        for status in [
            0x80, 0x90, 0xA0, 0xB0, 0xC0, 0xD0, 0xE0, 0xF0, 0xF1, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6,
            0xF8, 0xF9, 0xFA, 0xFB, 0xFC, 0xFD, 0xFE, 0xFF,
        ] {
            let mask = if status < 0xF0 { 0xF0 } else { 0xFF };
            let found = count(&scripts, |octets| octets[0] & mask == status);
            assert!(found > 50, "{found} of status {status:02x}");
        }
        for control in [
            0, 1, 6, 7, 32, 38, 64, 69, 84, 96, 97, 98, 99, 100, 101, 120, 121, 122,
        ]
        .into_iter()
        .chain(123..128)
        {
            let found = count(&scripts, |octets| {
                octets[0] & 0xF0 == 0xB0 && octets[1] == control
            });
            assert!(found > 20, "{found} of controller {control}");
        }
        let resets = count(&scripts, |octets| {
            matches!(octets, [0xFF] | [0xF0, 0x7E, _, 0x09 | 0x0A, _, 0xF7])
        });
        assert!((200..=500).contains(&resets), "{resets} in 100,000");
        let long = count(&scripts, |octets| octets.len() > 1000);
        assert!(long > 10, "{long} long system exclusive messages");
        let full = count(&scripts, |octets| {
            octets.starts_with(&[0xF0, 0x7F, 0x7F, 1, 1])
        });
        assert!(full > 50, "{full} full frames");
    }

    #[test]
    fn the_states_that_matter_come_up() {
        let (mut complete, mut stacked, mut running) = (0, 0, 0);
        for seed in 0..50 {
            let mut instrument = Instrument::new();
            for message in Script::new(&ScriptMix::everything(), seed).messages() {
                let before = instrument.time_code();
                instrument.play(&message.as_message());
                complete += usize::from(instrument.time_code() != before);
                running += usize::from(instrument.sequencer().0);
                if let MessageBuf::Channel(ChannelMessage::NoteOn { channel, note, .. }) = message {
                    stacked += usize::from(instrument.sounding(*channel, *note) > 1);
                }
            }
        }
        assert!(complete > 100, "{complete} complete time codes");
        assert!(stacked > 500, "{stacked} stacked notes");
        assert!(running > 5_000, "{running} times running");
    }

    #[test]
    fn what_is_switched_off_does_not_come() {
        let mix = ScriptMix::everything().without_undefined().without_resets();
        let scripts: Vec<Script> = (0..30).map(|seed| Script::new(&mix, seed)).collect();
        let found = count(&scripts, |octets| {
            matches!(octets[0], 0xF4 | 0xF5 | 0xF9 | 0xFD | 0xFF)
                || octets.starts_with(&[0xF0, 0x7E])
        });
        assert_eq!(found, 0);
        for (mix, comes) in [
            (ScriptMix::everything(), false),
            (ScriptMix::everything().with_everything_else(), true),
        ] {
            let mut uncarried = 0;
            for seed in 0..30 {
                let mut instrument = Instrument::new();
                for message in Script::new(&mix, seed).messages() {
                    let message = message.as_message();
                    uncarried += usize::from(!instrument.is_carried(&message));
                    instrument.play(&message);
                }
            }
            assert_eq!(uncarried > 50, comes, "{uncarried}");
        }
    }

    #[test]
    fn a_mix_for_a_chapter_is_mostly_that() {
        for (chapter, statuses) in [
            (Chapter::P, 0xC0..=0xCF),
            (Chapter::C, 0xB0..=0xBF),
            (Chapter::M, 0xB0..=0xBF),
            (Chapter::W, 0xE0..=0xEF),
            (Chapter::N, 0x80..=0x9F),
            (Chapter::E, 0x80..=0x9F),
            (Chapter::T, 0xD0..=0xDF),
            (Chapter::A, 0xA0..=0xAF),
            (Chapter::D, 0xF3..=0xFD),
            (Chapter::V, 0xFE..=0xFE),
            (Chapter::Q, 0xF2..=0xFC),
            (Chapter::F, 0xF1..=0xF1),
            (Chapter::X, 0xF0..=0xF0),
        ] {
            let scripts = [Script::new(&ScriptMix::chapter(chapter), 1)];
            let found = count(&scripts, |octets| statuses.contains(&octets[0]));
            assert!(found > 250, "{found} of 1,000 for {chapter:?}");
        }
    }
}
