//! What is passed on and what is not.

use netmidi::message::{
    Channel, ChannelMessage, Controller, Message, Note, RealTime, SystemCommon, U7,
};

/// A kind of messages, as `--types` names it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Type {
    Note,
    Pressure,
    Control,
    Program,
    Bend,
    SysEx,
    Clock,
    TimeCode,
    System,
}

const TYPES: [(&str, Type); 9] = [
    ("note", Type::Note),
    ("pressure", Type::Pressure),
    ("control", Type::Control),
    ("program", Type::Program),
    ("bend", Type::Bend),
    ("sysex", Type::SysEx),
    ("clock", Type::Clock),
    ("timecode", Type::TimeCode),
    ("system", Type::System),
];

/// The names of all types, for help texts and errors.
pub(crate) const TYPE_NAMES: &str =
    "note, pressure, control, program, bend, sysex, clock, timecode or system";

/// A set of types.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Types(u16);

impl Types {
    const ALL: Self = Self(u16::MAX);

    const fn bit(it: Type) -> u16 {
        1 << it as u16
    }

    const fn has(self, it: Type) -> bool {
        self.0 & Self::bit(it) != 0
    }
}

/// A set of channels.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Channels(u16);

impl Channels {
    const fn has(self, channel: Channel) -> bool {
        self.0 >> channel.index() & 1 != 0
    }
}

/// Keys from one to another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Keys {
    first: Note,
    last: Note,
}

/// What is passed on. It remembers nothing: whether a message passes depends on that message alone, and
/// whatever ends a note passes wherever the note does. So what goes on also goes off.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Filter {
    pub(crate) channels: Channels,
    pub(crate) types: Types,
    pub(crate) keys: Keys,
    /// Semitones, added to keys.
    pub(crate) transpose: i8,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            channels: Channels(u16::MAX),
            types: Types::ALL,
            keys: Keys {
                first: Note::MIN,
                last: Note::MAX,
            },
            transpose: 0,
        }
    }
}

/// What is left of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Passed<'a> {
    /// This.
    On(Message<'a>),
    Nothing,
    /// Nothing, but what its player holds is let go: the message would have ended it.
    LetGo,
}

impl Filter {
    /// Without timing clock, start, continue, stop and song positions.
    pub(crate) const fn without_clock(mut self) -> Self {
        self.types.0 &= !Types::bit(Type::Clock);
        self
    }

    pub(crate) const fn without_sysex(mut self) -> Self {
        self.types.0 &= !Types::bit(Type::SysEx);
        self
    }

    pub(crate) fn apply<'a>(&self, message: Message<'a>) -> Passed<'a> {
        match message {
            Message::Channel(message) => match self.channel_message(message) {
                Some(message) => Passed::On(message.into()),
                None => Passed::Nothing,
            },
            Message::RealTime(RealTime::Reset) if !self.types.has(Type::System) => Passed::LetGo,
            message if self.types.has(type_of(&message)) => Passed::On(message),
            _ => Passed::Nothing,
        }
    }

    fn channel_message(&self, message: ChannelMessage) -> Option<ChannelMessage> {
        if !self.channels.has(message.channel()) {
            return None;
        }
        let kind = type_of(&message.into());
        if !self.types.has(kind) {
            return match message {
                // It ends notes, whatever else it does.
                ChannelMessage::ControlChange {
                    channel, control, ..
                } if self.types.has(Type::Note) => {
                    let control = ends_notes(control)?;
                    Some(ChannelMessage::control_change(channel, control, U7::MIN))
                }
                _ => None,
            };
        }
        Some(match message {
            ChannelMessage::NoteOn {
                channel,
                note,
                velocity,
            } => ChannelMessage::note_on(channel, self.note(note)?, velocity),
            ChannelMessage::NoteOff {
                channel,
                note,
                velocity,
            } => ChannelMessage::note_off(channel, self.note(note)?, velocity),
            ChannelMessage::PolyPressure {
                channel,
                note,
                value,
            } => ChannelMessage::poly_pressure(channel, self.note(note)?, value),
            other => other,
        })
    }

    /// Where a key goes, if it goes anywhere.
    fn note(&self, note: Note) -> Option<Note> {
        if note < self.keys.first || note > self.keys.last {
            return None;
        }
        let key = note.get().checked_add_signed(self.transpose)?;
        Note::new(key)
    }
}

/// Which of the channel mode messages ends all notes and no more, in place of one that does.
const fn ends_notes(control: Controller) -> Option<Controller> {
    match control {
        Controller::ALL_SOUND_OFF => Some(Controller::ALL_SOUND_OFF),
        Controller::ALL_NOTES_OFF
        | Controller::OMNI_OFF
        | Controller::OMNI_ON
        | Controller::MONO_ON
        | Controller::POLY_ON => Some(Controller::ALL_NOTES_OFF),
        _ => None,
    }
}

const fn type_of(message: &Message<'_>) -> Type {
    match message {
        Message::Channel(message) => match message {
            ChannelMessage::NoteOn { .. } | ChannelMessage::NoteOff { .. } => Type::Note,
            ChannelMessage::PolyPressure { .. } | ChannelMessage::ChannelPressure { .. } => {
                Type::Pressure
            }
            ChannelMessage::ControlChange { .. } => Type::Control,
            ChannelMessage::ProgramChange { .. } => Type::Program,
            ChannelMessage::PitchBend { .. } => Type::Bend,
        },
        Message::SysEx(_) => Type::SysEx,
        Message::RealTime(
            RealTime::TimingClock | RealTime::Start | RealTime::Continue | RealTime::Stop,
        )
        | Message::Common(SystemCommon::SongPosition { .. }) => Type::Clock,
        Message::Common(SystemCommon::QuarterFrame { .. }) => Type::TimeCode,
        _ => Type::System,
    }
}

/// `1-4,10`.
pub(crate) fn channels(text: &str) -> Result<Channels, String> {
    let wrong = |part: &str| {
        format!("`{part}` is no channel; write numbers from 1 to 16, such as 10 or 1-4,10")
    };
    let number = |text: &str| {
        let number = text.trim().parse::<u8>().ok();
        number.filter(|it| (1..=16).contains(it))
    };
    let mut set = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => {
                (first..=last).for_each(|it| set |= 1 << (it - 1));
            }
            _ => return Err(wrong(part.trim())),
        }
    }
    Ok(Channels(set))
}

/// `note,control`.
pub(crate) fn types(text: &str) -> Result<Types, String> {
    let mut set = 0;
    for part in text.split(',').map(str::trim) {
        match TYPES.iter().find(|(name, _)| *name == part) {
            Some((_, it)) => set |= Types::bit(*it),
            None => {
                return Err(format!(
                    "`{part}` is no type of message; write {TYPE_NAMES}"
                ));
            }
        }
    }
    Ok(Types(set))
}

/// `C3-C5` or `48-72`, or a single key.
pub(crate) fn keys(text: &str) -> Result<Keys, String> {
    let wrong = || {
        format!(
            "`{text}` is no range of notes; write for example C3-C5 (middle C is C4) or 48-72, \
             from 0 (C-1) to 127 (G9)"
        )
    };
    // A minus within a name follows a letter or sign: `C-1-C2`.
    let middle = text.char_indices().skip(1).find(|(place, c)| {
        let before = text.get(..*place).unwrap_or_default();
        *c == '-' && before.ends_with(|it: char| it.is_ascii_digit())
    });
    let (first, last) = match middle {
        Some((place, _)) => (text.get(..place), text.get(place + 1..)),
        None => (Some(text), Some(text)),
    };
    let (first, last) = (first.and_then(key), last.and_then(key));
    match (first, last) {
        (Some(first), Some(last)) if first <= last => Ok(Keys { first, last }),
        _ => Err(wrong()),
    }
}

/// `C#4`, `Db4`, `c4` or `60`.
fn key(text: &str) -> Option<Note> {
    let text = text.trim();
    if let Ok(number) = text.parse::<u8>() {
        return Note::new(number);
    }
    let mut letters = text.chars();
    let natural = match letters.next()?.to_ascii_uppercase() {
        'C' => 0,
        'D' => 2,
        'E' => 4,
        'F' => 5,
        'G' => 7,
        'A' => 9,
        'B' => 11,
        _ => return None,
    };
    let rest = letters.as_str();
    let (sign, octave) = match rest.strip_prefix(['#', '♯']) {
        Some(octave) => (1, octave),
        None => match rest.strip_prefix(['b', '♭']) {
            Some(octave) => (-1, octave),
            None => (0, rest),
        },
    };
    let octave: i32 = octave.parse().ok().filter(|it| (-1..=9).contains(it))?;
    let number = (octave + 1) * 12 + natural + sign;
    u8::try_from(number).ok().and_then(Note::new)
}

/// `12`, `+12` or `-12`.
pub(crate) fn transpose(text: &str) -> Result<i8, String> {
    match text.trim().parse::<i8>() {
        Ok(semitones) if semitones != i8::MIN => Ok(semitones),
        _ => Err(format!(
            "`{text}` is no number of semitones; write one from -127 to 127, such as -12"
        )),
    }
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]
mod tests {
    use netmidi::message::MessageBuf;
    use netmidi_message::Sounding;
    use netmidi_testkit::strategies;
    use proptest::prelude::*;

    use super::*;

    fn on(filter: &Filter, text: &str) -> Option<String> {
        let message: MessageBuf = text.parse().unwrap();
        match filter.apply(message.as_message()) {
            Passed::On(message) => Some(message.to_string()),
            Passed::Nothing | Passed::LetGo => None,
        }
    }

    #[test]
    fn channels_types_and_keys_are_read() {
        assert_eq!(channels("1-4,10"), Ok(Channels(0b10_0000_1111)));
        assert_eq!(channels(" 16 "), Ok(Channels(0x8000)));
        let key_range = |first: u8, last: u8| {
            Ok(Keys {
                first: Note::new(first).unwrap(),
                last: Note::new(last).unwrap(),
            })
        };
        assert_eq!(keys("C3-C5"), key_range(48, 72));
        assert_eq!(keys("c-1-Db0"), key_range(0, 13));
        assert_eq!(keys("60"), key_range(60, 60));
        assert_eq!(keys("F#4-127"), key_range(66, 127));
        assert_eq!(transpose("+12"), Ok(12));
        for wrong in ["", "0", "17", "4-1", "a", "1,,2", "1-"] {
            assert!(channels(wrong).unwrap_err().contains("write"), "{wrong}");
        }
        for wrong in ["", "C5-C3", "H3", "C10", "128", "C", "C3-", "-", "é1"] {
            assert!(keys(wrong).unwrap_err().contains("write"), "{wrong}");
        }
        for wrong in ["", "notes", "note,,control"] {
            assert!(types(wrong).unwrap_err().contains("write"), "{wrong}");
        }
        for wrong in ["", "x", "-128", "128", "1.5"] {
            assert!(transpose(wrong).unwrap_err().contains("write"), "{wrong}");
        }
        for (name, _) in TYPES {
            assert!(TYPE_NAMES.contains(name) && types(name).is_ok());
        }
    }

    #[test]
    fn each_filter_does_what_it_says() {
        let all = Filter::default();
        let filter = Filter {
            channels: channels("2").unwrap(),
            ..all.clone()
        };
        assert!(on(&filter, "note_on channel=0 note=60").is_none());
        assert!(on(&filter, "note_on channel=1 note=60").is_some());
        assert!(on(&filter, "clock").is_some(), "has no channel");
        let filter = Filter {
            keys: keys("60-72").unwrap(),
            transpose: 60,
            ..all.clone()
        };
        assert_eq!(
            on(&filter, "note_on note=60 velocity=1").unwrap(),
            "note_on channel=0 note=120 velocity=1"
        );
        assert_eq!(
            on(&filter, "polytouch note=67 value=1").unwrap(),
            "polytouch channel=0 note=127 value=1"
        );
        assert!(
            on(&filter, "note_on note=68 velocity=1").is_none(),
            "too high"
        );
        assert!(on(&filter, "note_off note=68").is_none());
        assert!(on(&filter, "note_on note=59").is_none());
        assert!(on(&filter, "pitchwheel pitch=1").is_some());
        let filter = all.clone().without_clock();
        for text in ["clock", "start", "continue", "stop", "songpos pos=1"] {
            assert!(on(&filter, text).is_none(), "{text}");
        }
        assert!(on(&filter, "quarter_frame frame_type=0 frame_value=0").is_some());
        let filter = all.clone().without_sysex();
        assert!(on(&filter, "sysex data=(1,2)").is_none());
        let filter = Filter {
            types: types("note,program").unwrap(),
            ..all
        };
        assert!(on(&filter, "program_change program=1").is_some());
        assert!(on(&filter, "control_change control=7 value=1").is_none());
        assert_eq!(
            on(&filter, "control_change control=126 value=1").unwrap(),
            "control_change channel=0 control=123 value=0",
            "it ends notes and no more"
        );
        let reset: MessageBuf = "reset".parse().unwrap();
        assert_eq!(filter.apply(reset.as_message()), Passed::LetGo);
    }

    fn filters() -> impl Strategy<Value = Filter> {
        (
            any::<u16>(),
            any::<u16>(),
            0..=127u8,
            0..=127u8,
            -127..=127i8,
        )
            .prop_map(|(channels, types, one, other, transpose)| Filter {
                channels: Channels(channels),
                types: Types(types),
                keys: Keys {
                    first: Note::new(one.min(other)).unwrap(),
                    last: Note::new(one.max(other)).unwrap(),
                },
                transpose,
            })
    }

    /// Anything, and often what begins and ends notes.
    fn played() -> impl Strategy<Value = MessageBuf> {
        let note = (0x80..0xA0u8, 58..62u8, 0..3u8);
        let mode = (0xB0..0xC0u8, 120..128u8, 0..1u8);
        let few = prop_oneof![8 => note, 1 => mode, 1 => (Just(0xB0), Just(64), 0..=127u8)];
        let few = few.prop_map(|(status, first, second)| {
            // Two channels are enough.
            let octets = [status & 0xF1, first, second];
            Message::parse(&octets).unwrap().to_buf()
        });
        let reset = Just(MessageBuf::from(RealTime::Reset));
        prop_oneof![12 => few, 4 => strategies::any_message(), 1 => reset]
    }

    proptest! {
        /// When all that goes in has ended, so has all that came out.
        #[test]
        fn what_goes_on_goes_off(
            filter in filters(),
            messages in prop::collection::vec(played(), 0..200),
        ) {
            let (mut before, mut after) = (Sounding::new(), Sounding::new());
            let play = |message: Message<'_>, before: &mut Sounding, after: &mut Sounding| {
                before.observe(&message);
                match filter.apply(message) {
                    Passed::On(message) => after.observe(&message),
                    Passed::Nothing => {}
                    // The hub does so.
                    Passed::LetGo => *after = Sounding::new(),
                }
                // At any time nothing sounds there that is not held here.
                let held = before.releases().filter(|it| it.status().get() & 0xF0 == 0x80).count();
                let sounds = after.releases().filter(|it| it.status().get() & 0xF0 == 0x80).count();
                assert!(sounds <= held, "{sounds} sound, {held} are held");
            };
            for message in &messages {
                play(message.as_message(), &mut before, &mut after);
            }
            let ends: Vec<ChannelMessage> = before.clone().releases().collect();
            for end in ends {
                play(end.into(), &mut before, &mut after);
            }
            prop_assert!(after.is_silent());
        }
    }
}
