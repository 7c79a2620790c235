//! The filter of the message list: words that people type.

use std::fmt;

use netmidi::message::ChannelMessage;

use super::list::{Row, What};
use super::told::{Mark, Short};

/// What can be typed, for the help.
pub(crate) const WORDS: &[(&str, &str)] = &[
    ("ch1  ch2-4  ch10,16", "channels, 1 to 16"),
    (
        "note note_on cc program bend",
        "kinds, also in mido's words",
    ),
    ("sysex clock system", "kinds without a channel"),
    ("C4  F#2-C5", "notes by name; C4 is note 60"),
    ("note=60  control=7", "values as listed; channel=0 is ch1"),
    ("piano  @note", "part of a name; @ if it is a kind"),
    ("repaired  event", "what was repaired; sessions"),
    ("!clock", "not that"),
];

/// Which messages are shown. Words of one kind: any of them; words of different kinds: all.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Filter {
    channels: Option<u16>,
    kinds: Vec<Kind>,
    notes: Vec<(u8, u8)>,
    fields: Vec<String>,
    names: Vec<String>,
    /// None of these.
    not: Vec<Self>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// Any of these statuses, without the channel.
    Status(&'static [u8]),
    /// Note-ons that are none: with velocity 0 they end a note.
    NoteOff,
    NoteOn,
    System,
    Repaired,
    Event,
}

const KINDS: &[(&str, Kind)] = &[
    ("note", Kind::Status(&[0x80, 0x90])),
    ("note_on", Kind::NoteOn),
    ("note_off", Kind::NoteOff),
    ("polytouch", Kind::Status(&[0xA0])),
    ("aftertouch", Kind::Status(&[0xD0])),
    ("pressure", Kind::Status(&[0xA0, 0xD0])),
    ("cc", Kind::Status(&[0xB0])),
    ("control_change", Kind::Status(&[0xB0])),
    ("pc", Kind::Status(&[0xC0])),
    ("program", Kind::Status(&[0xC0])),
    ("program_change", Kind::Status(&[0xC0])),
    ("bend", Kind::Status(&[0xE0])),
    ("pitchwheel", Kind::Status(&[0xE0])),
    ("sysex", Kind::Status(&[0xF0])),
    ("quarter_frame", Kind::Status(&[0xF1])),
    ("songpos", Kind::Status(&[0xF2])),
    ("song_select", Kind::Status(&[0xF3])),
    ("tune_request", Kind::Status(&[0xF6])),
    ("clock", Kind::Status(&[0xF8])),
    ("start", Kind::Status(&[0xFA])),
    ("continue", Kind::Status(&[0xFB])),
    ("stop", Kind::Status(&[0xFC])),
    ("active_sensing", Kind::Status(&[0xFE])),
    ("reset", Kind::Status(&[0xFF])),
    ("system", Kind::System),
    ("repaired", Kind::Repaired),
    ("event", Kind::Event),
];

/// The names of values in mido's words, with what they can be.
const FIELDS: &[(&str, i32, i32)] = &[
    ("channel", 0, 15),
    ("note", 0, 127),
    ("velocity", 0, 127),
    ("value", 0, 127),
    ("control", 0, 127),
    ("program", 0, 127),
    ("pitch", -8192, 8191),
    ("pos", 0, 16383),
    ("song", 0, 127),
    ("frame_type", 0, 7),
    ("frame_value", 0, 15),
];

/// Why a filter is none; a sentence.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct BadFilter(String);

impl fmt::Display for BadFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Filter {
    /// Reads what was typed; `known` tells whether anybody has this in the name.
    pub(crate) fn parse(text: &str, known: impl Fn(&str) -> bool) -> Result<Self, BadFilter> {
        let mut filter = Self::default();
        for word in text.split_whitespace() {
            match word.strip_prefix('!') {
                Some("") => return Err(BadFilter("! stands before a word: !clock".to_owned())),
                Some(word) => {
                    let mut not = Self::default();
                    not.add(word, &known)?;
                    filter.not.push(not);
                }
                None => filter.add(word, &known)?,
            }
        }
        Ok(filter)
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn add(&mut self, typed: &str, known: impl Fn(&str) -> bool) -> Result<(), BadFilter> {
        let word = typed.to_lowercase();
        if let Some(name) = word.strip_prefix('@') {
            if name.is_empty() {
                return Err(BadFilter("@ stands before a name: @piano".to_owned()));
            }
            self.names.push(name.to_owned());
        } else if let Some((name, value)) = word.split_once('=') {
            self.fields.push(field(name, value)?);
        } else if let Some((_, kind)) = KINDS.iter().find(|(name, _)| *name == word) {
            self.kinds.push(*kind);
        } else if let Some(numbers) = channel_word(&word) {
            *self.channels.get_or_insert(0) |= channels(numbers)?;
        } else if let Some(notes) = notes(&word) {
            self.notes.push(notes.map_err(BadFilter)?);
        } else if known(&word) {
            self.names.push(word);
        } else {
            return Err(BadFilter(format!(
                "`{typed}` is no channel, kind or note, and in nobody's name; @{typed} waits for one"
            )));
        }
        Ok(())
    }

    /// Whether a row is shown.
    pub(crate) fn shows(&self, row: &Row) -> bool {
        if self.not.iter().any(|not| not.shows(row)) {
            return false;
        }
        if !self.names.is_empty() {
            let who = row.who.to_lowercase();
            if !self.names.iter().any(|name| who.contains(name.as_str())) {
                return false;
            }
        }
        let (short, mark) = match &row.what {
            What::Event(_) => {
                let others =
                    self.channels.is_some() || !self.notes.is_empty() || !self.fields.is_empty();
                let asked = self.kinds.is_empty() || self.kinds.contains(&Kind::Event);
                return asked && !others;
            }
            What::Midi { short, mark } => (short, *mark),
        };
        if let Some(channels) = self.channels {
            match short {
                Short::Channel(message) if channels >> message.channel().index() & 1 == 1 => {}
                _ => return false,
            }
        }
        if !self.kinds.is_empty() && !self.kinds.iter().any(|kind| kind.is(short, mark)) {
            return false;
        }
        if !self.notes.is_empty() {
            let Some(note) = note_of(short) else {
                return false;
            };
            if !self
                .notes
                .iter()
                .any(|(low, high)| (*low..=*high).contains(&note))
            {
                return false;
            }
        }
        if !self.fields.is_empty() {
            let text = short.text();
            return self
                .fields
                .iter()
                .all(|field| text.split(' ').any(|word| word == field));
        }
        true
    }
}

impl Kind {
    fn is(self, short: &Short, mark: Mark) -> bool {
        let status = short.status();
        match self {
            Self::Status(all) => {
                let status = if status < 0xF0 { status & 0xF0 } else { status };
                all.contains(&status)
            }
            Self::NoteOff => matches!(short, Short::Channel(message) if message.is_note_off()),
            Self::NoteOn => status & 0xF0 == 0x90 && !Self::NoteOff.is(short, mark),
            Self::System => status >= 0xF0,
            Self::Repaired => mark != Mark::Live,
            Self::Event => false,
        }
    }
}

fn note_of(short: &Short) -> Option<u8> {
    match short {
        Short::Channel(
            ChannelMessage::NoteOn { note, .. }
            | ChannelMessage::NoteOff { note, .. }
            | ChannelMessage::PolyPressure { note, .. },
        ) => Some(note.get()),
        _ => None,
    }
}

fn field(name: &str, value: &str) -> Result<String, BadFilter> {
    let Some((name, low, high)) = FIELDS.iter().find(|(known, ..)| *known == name) else {
        let known: Vec<&str> = FIELDS.iter().map(|(name, ..)| *name).collect();
        return Err(BadFilter(format!(
            "`{name}=` is in no message; there are {}",
            known.join(", ")
        )));
    };
    match value.parse::<i32>() {
        Ok(number) if (*low..=*high).contains(&number) => Ok(format!("{name}={number}")),
        _ => Err(BadFilter(format!(
            "{name}= takes a number from {low} to {high}"
        ))),
    }
}

/// What follows `ch` or `channel`, if a number does.
fn channel_word(word: &str) -> Option<&str> {
    let rest = word
        .strip_prefix("channel")
        .or_else(|| word.strip_prefix("ch"))?;
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    rest.starts_with(|sign: char| sign.is_ascii_digit())
        .then_some(rest)
}

fn channels(text: &str) -> Result<u16, BadFilter> {
    let bad = || {
        BadFilter(format!(
            "`ch{text}`: channels are 1 to 16, such as ch1, ch2-4 or ch1,10"
        ))
    };
    let number = |text: &str| match text.parse::<u8>() {
        Ok(number @ 1..=16) => Ok(number),
        _ => Err(bad()),
    };
    let mut mask = 0;
    for part in text.split(',') {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let (low, high) = (number(low)?, number(high)?);
        if low > high {
            return Err(bad());
        }
        for channel in low..=high {
            mask |= 1 << (channel - 1);
        }
    }
    Ok(mask)
}

/// `c#4` or `c4-e5`; none when it does not look like a note.
fn notes(word: &str) -> Option<Result<(u8, u8), String>> {
    let (note, rest) = note(word)?;
    let high = match rest.strip_prefix('-') {
        None if rest.is_empty() => Some(note),
        None => return None,
        Some(rest) => match self::note(rest) {
            Some((high, "")) => Some(high),
            _ => return None,
        },
    };
    let bad = || format!("`{word}`: notes are C-1 to G9, lower ones first");
    Some(match (note, high) {
        (Some(low), Some(Some(high))) if low <= high => Ok((low, high)),
        _ => Err(bad()),
    })
}

/// A note at the beginning, if it is one of the 128, and what follows.
fn note(text: &str) -> Option<(Option<u8>, &str)> {
    let mut signs = text.chars();
    let mut key: i32 = match signs.next()? {
        'c' => 0,
        'd' => 2,
        'e' => 4,
        'f' => 5,
        'g' => 7,
        'a' => 9,
        'b' => 11,
        _ => return None,
    };
    let mut rest = signs.as_str();
    if let Some(more) = rest.strip_prefix('#') {
        (key, rest) = (key + 1, more);
    } else if let Some(more) = rest.strip_prefix('b') {
        (key, rest) = (key - 1, more);
    }
    let (below, digits) = match rest.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, rest),
    };
    let end = digits
        .find(|sign: char| !sign.is_ascii_digit())
        .unwrap_or(digits.len());
    let (number, rest) = digits.split_at_checked(end)?;
    let octave: i32 = number.parse().ok()?;
    let octave = if below { octave.checked_neg()? } else { octave };
    let key = octave.checked_add(1)?.checked_mul(12)?.checked_add(key)?;
    let key = u8::try_from(key).ok().filter(|key| *key < 128);
    Some((key, rest))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is a failed test")]
mod tests {
    use std::time::Duration;

    use netmidi::message::Message;

    use super::*;

    fn row(who: &str, octets: &[u8], mark: Mark) -> Row {
        Row {
            at: Duration::ZERO,
            who: who.into(),
            what: What::Midi {
                short: Short::of(&Message::parse(octets).unwrap()),
                mark,
            },
        }
    }

    fn shows(filter: &str, row: &Row) -> bool {
        Filter::parse(filter, |name| "stage piano".contains(name))
            .unwrap()
            .shows(row)
    }

    #[test]
    fn words_are_understood() {
        let note = row("Stage Piano", &[0x92, 60, 100], Mark::Live);
        for (filter, shown) in [
            ("", true),
            ("ch3", true),
            ("CH1-4", true),
            ("ch1,2", false),
            ("channel3", true),
            ("channel=2", true),
            ("channel=3", false),
            ("note", true),
            ("note_on", true),
            ("note_off", false),
            ("cc note", true),
            ("cc", false),
            ("C4", true),
            ("c4-e5", true),
            ("Db4", false),
            ("c-1-b3", false),
            ("b#3", true),
            ("note=60", true),
            ("velocity=99", false),
            ("piano", true),
            ("@stage", true),
            ("@organ", false),
            ("!note", false),
            ("!cc", true),
            ("ch3 cc", false),
            ("ch3 note C4 piano", true),
            ("repaired", false),
            ("event", false),
            ("sysex", false),
            ("system", false),
        ] {
            assert_eq!(shows(filter, &note), shown, "{filter}");
        }
        assert!(shows("repaired", &row("x", &[0xB0, 7, 1], Mark::Repaired)));
        assert!(shows("note_off", &row("x", &[0x90, 7, 0], Mark::Live)));
        assert!(shows("system", &row("x", &[0xF8], Mark::Live)));
        assert!(!shows("!clock", &row("x", &[0xF8], Mark::Live)));
        let event = Row {
            at: Duration::ZERO,
            who: "x".into(),
            what: What::Event("connected".into()),
        };
        assert!(shows("", &event) && shows("event", &event) && shows("@x", &event));
        assert!(!shows("note", &event) && !shows("ch1", &event));
    }

    #[test]
    fn what_is_no_word_is_told() {
        for (filter, says) in [
            ("ch17", "1 to 16"),
            ("ch0", "1 to 16"),
            ("ch4-2", "1 to 16"),
            ("note_onn", "is no channel, kind or note"),
            ("note=128", "from 0 to 127"),
            ("nots=1", "is in no message"),
            ("c10", "C-1 to G9"),
            ("g#9", "C-1 to G9"),
            ("c5-c4", "lower ones first"),
            ("c99999999999", "is no channel, kind or note"),
            ("!", "before a word"),
            ("@", "before a name"),
            ("!ch99", "1 to 16"),
        ] {
            let error = Filter::parse(filter, |_| false).unwrap_err().to_string();
            assert!(error.contains(says), "{filter}: {error}");
        }
    }
}
