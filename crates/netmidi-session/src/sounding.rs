//! What a participant was left with by what was sent to it: keys that sound and pedals that are down.

use alloc::boxed::Box;

use netmidi_message::{ChannelMessage, Controller, Message, RealTime};

/// Pedals that keep notes sounding: sustain, sostenuto and hold 2, a bit for each.
const PEDALS: [u8; 3] = [64, 66, 69];
/// From this value on a pedal is down.
const DOWN: u8 = 64;
const ALL_SOUND_OFF: u8 = 120;
const RESET_ALL_CONTROLLERS: u8 = 121;
/// All notes off, and the four mode messages that mean it as well (MIDI 1.0, channel mode messages).
const NOTES_OFF: core::ops::RangeInclusive<u8> = 123..=127;

/// Keys and pedals that are down.
///
/// It takes memory with the first of them: many participants are never sent a note.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sounding(Option<Box<[Sounds; 16]>>);

/// The same of one channel.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Sounds {
    keys: u128,
    pedals: u8,
}

impl Sounding {
    /// A message went out.
    pub(crate) fn observe(&mut self, message: &Message<'_>) {
        if !self.begin(message) {
            self.end(message);
        }
    }

    /// Whether a message is one that starts or holds a note; it does so now.
    fn begin(&mut self, message: &Message<'_>) -> bool {
        let Message::Channel(message) = *message else {
            return false;
        };
        let (key, pedal) = match message {
            ChannelMessage::NoteOn { note, .. } if !message.is_note_off() => (1 << note.get(), 0),
            ChannelMessage::ControlChange { control, value, .. } if value.get() >= DOWN => {
                (0, pedal(control))
            }
            _ => return false,
        };
        if key == 0 && pedal == 0 {
            return false;
        }
        let channels = self.0.get_or_insert_default();
        if let Some(it) = channels.get_mut(usize::from(message.channel().index())) {
            it.keys |= key;
            it.pedals |= pedal;
        }
        true
    }

    /// Whether a message ends something that sounds, or lets go a pedal that is down; it does so now.
    pub(crate) fn end(&mut self, message: &Message<'_>) -> bool {
        let Some(channels) = &mut self.0 else {
            return false;
        };
        let message = match *message {
            Message::Channel(message) => message,
            Message::RealTime(RealTime::Reset) => {
                let before = core::mem::take(&mut **channels);
                return before != <[Sounds; 16]>::default();
            }
            _ => return false,
        };
        let Some(it) = channels.get_mut(usize::from(message.channel().index())) else {
            return false;
        };
        let before = *it;
        match message {
            ChannelMessage::NoteOn { note, .. } | ChannelMessage::NoteOff { note, .. }
                if message.is_note_off() =>
            {
                it.keys &= !(1 << note.get());
            }
            ChannelMessage::ControlChange { control, value, .. } => match control.get() {
                ALL_SOUND_OFF => it.keys = 0,
                RESET_ALL_CONTROLLERS => it.pedals = 0,
                number if NOTES_OFF.contains(&number) => it.keys = 0,
                _ if value.get() < DOWN => it.pedals &= !pedal(control),
                _ => {}
            },
            _ => {}
        }
        *it != before
    }
}

/// The bit of a pedal; 0 for other controllers.
fn pedal(control: Controller) -> u8 {
    let place = PEDALS.iter().position(|pedal| *pedal == control.get());
    place.map_or(0, |place| 1 << place)
}

#[cfg(test)]
mod tests {
    use netmidi_message::Message;

    use super::*;

    fn nothing(sounding: &Sounding) -> bool {
        sounding
            .0
            .as_deref()
            .is_none_or(|it| *it == <[Sounds; 16]>::default())
    }

    fn after(wires: &[&[u8]]) -> Sounding {
        let mut sounding = Sounding::default();
        for wire in wires {
            sounding.observe(&Message::parse(wire).unwrap());
        }
        sounding
    }

    #[test]
    fn what_begins_is_ended_once_by_what_ends_it() {
        let note: &[u8] = &[0x92, 60, 1];
        let pedal: &[u8] = &[0xB2, 64, 127];
        for (begins, ends) in [
            (note, &[0x82, 60, 0][..]),
            (note, &[0x92, 60, 0]),
            (note, &[0xB2, 120, 0]),
            (note, &[0xB2, 123, 0]),
            (note, &[0xB2, 126, 4]),
            (note, &[0xFF]),
            (pedal, &[0xB2, 64, 0]),
            (pedal, &[0xB2, 121, 0]),
            (pedal, &[0xFF]),
            (&[0xB2, 66, 64], &[0xB2, 66, 63]),
        ] {
            let mut sounding = after(&[begins]);
            assert!(!nothing(&sounding), "{begins:02x?}");
            let ends = Message::parse(ends).unwrap();
            assert!(sounding.end(&ends), "{ends:?}");
            assert!(nothing(&sounding), "{ends:?}");
            assert!(!sounding.end(&ends), "{ends:?} a second time");
        }
    }

    #[test]
    fn what_is_about_something_else_ends_nothing() {
        let mut sounding = after(&[&[0x90, 60, 1], &[0xB0, 64, 127]]);
        let before = sounding.clone();
        for wire in [
            &[0x80, 61, 0][..],
            &[0x81, 60, 0],
            &[0xB0, 66, 0],
            &[0xB1, 123, 0],
            &[0xB0, 7, 0],
            &[0xB0, 64, 64],
            &[0x90, 62, 1],
            &[0xF8],
            &[0xF0, 1, 0xF7],
        ] {
            assert!(!sounding.end(&Message::parse(wire).unwrap()), "{wire:02x?}");
            assert_eq!(sounding.0, before.0, "{wire:02x?}");
        }
    }
}
