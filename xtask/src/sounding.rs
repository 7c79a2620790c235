//! What an instrument would hold that is played what a program prints: keys that are down, and the
//! last value of everything that has one. For lists that never strike a key twice.

use std::collections::{BTreeMap, BTreeSet};

/// A key or a controller of a channel.
type Place = (u8, u8);

/// An instrument.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Sounding {
    keys: BTreeSet<Place>,
    controls: BTreeMap<Place, u8>,
    programs: BTreeMap<u8, u8>,
    bends: BTreeMap<u8, i32>,
}

impl Sounding {
    /// Plays a message in mido's form.
    pub(crate) fn play(&mut self, text: &str) {
        let kind = text.split(' ').next().unwrap_or_default();
        let of = |name: &str| number::<u8>(text, name).unwrap_or_default();
        let channel = of("channel");
        match kind {
            "note_on" if of("velocity") > 0 => {
                self.keys.insert((channel, of("note")));
            }
            "note_on" | "note_off" => {
                self.keys.remove(&(channel, of("note")));
            }
            "control_change" => match of("control") {
                120 | 123..=127 => self.keys.retain(|key| key.0 != channel),
                121 => self.controls.retain(|place, _| place.0 != channel),
                control => {
                    self.controls.insert((channel, control), of("value"));
                }
            },
            "program_change" => {
                self.programs.insert(channel, of("program"));
            }
            "pitchwheel" => {
                let bend = number(text, "pitch").unwrap_or_default();
                self.bends.insert(channel, bend);
            }
            "reset" => *self = Self::default(),
            _ => {}
        }
    }

    /// Plays a line of the example programs, whatever it tells of; gives the word before its colon.
    pub(crate) fn play_line<'l>(&mut self, line: &'l str) -> &'l str {
        let (kind, rest) = line.split_once(": ").unwrap_or((line, ""));
        if ["midi", "repaired", "silenced", "restored"].contains(&kind)
            && let Some((_, text)) = rest.split_once(": ")
        {
            self.play(text);
        }
        kind
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys that are down, as note numbers with their channel.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Place> {
        self.keys.iter().copied()
    }

    /// Forgets every value, but no key.
    pub(crate) fn forget_values(&mut self) {
        self.controls.clear();
        self.programs.clear();
        self.bends.clear();
    }

    /// How many values it knows.
    pub(crate) fn values(&self) -> usize {
        self.controls.len() + self.programs.len() + self.bends.len()
    }

    /// What is wrong with `self`, which heard what `sender` played: a key that only one of them
    /// holds down, or another value of something that has one at the sender.
    pub(crate) fn difference(&self, sender: &Self) -> Option<String> {
        let key = self.keys.symmetric_difference(&sender.keys).next();
        if let Some((channel, note)) = key {
            return Some(format!("note {note} of channel {channel}"));
        }
        for ((channel, control), value) in &sender.controls {
            let got = self.controls.get(&(*channel, *control));
            if got != Some(value) {
                return Some(format!(
                    "controller {control} of channel {channel} is {got:?}, not {value}"
                ));
            }
        }
        for (channel, value) in &sender.programs {
            if self.programs.get(channel) != Some(value) {
                return Some(format!("the program of channel {channel}"));
            }
        }
        for (channel, value) in &sender.bends {
            if self.bends.get(channel) != Some(value) {
                return Some(format!("the pitch wheel of channel {channel}"));
            }
        }
        None
    }
}

fn number<N: core::str::FromStr>(text: &str, name: &str) -> Option<N> {
    let mut words = text.split(' ');
    words.find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(lines: &[&str]) -> Sounding {
        let mut sounding = Sounding::default();
        for line in lines {
            sounding.play_line(line);
        }
        sounding
    }

    #[test]
    fn keys_and_values_follow_the_lines() {
        let on = "midi: x: note_on channel=1 note=60 velocity=9";
        assert_eq!(heard(&[on]).keys().collect::<Vec<_>>(), [(1, 60)]);
        for off in [
            "repaired: x: note_off channel=1 note=60 velocity=64",
            "midi: x: note_on channel=1 note=60 velocity=0",
            "silenced: x: control_change channel=1 control=123 value=0",
            "midi: x: reset",
        ] {
            assert!(heard(&[on, off]).is_silent(), "{off}");
        }
        let other = "midi: x: control_change channel=2 control=123 value=0";
        assert!(!heard(&[on, other]).is_silent());
    }

    #[test]
    fn differences_are_found() {
        let sender = heard(&[
            "midi: x: control_change channel=0 control=7 value=5",
            "midi: x: program_change channel=0 program=3",
            "midi: x: pitchwheel channel=0 pitch=-9",
        ]);
        assert_eq!(sender.values(), 3);
        assert_eq!(sender.difference(&sender), None);
        assert!(heard(&[]).difference(&sender).is_some());
        for changed in [
            "midi: x: control_change channel=0 control=7 value=6",
            "midi: x: program_change channel=0 program=4",
            "midi: x: pitchwheel channel=0 pitch=0",
            "midi: x: note_on channel=0 note=1 velocity=1",
        ] {
            let mut receiver = sender.clone();
            receiver.play_line(changed);
            assert!(receiver.difference(&sender).is_some(), "{changed}");
        }
        // What only the receiver knows was set before we looked.
        assert_eq!(sender.difference(&heard(&[])), None);
    }
}
