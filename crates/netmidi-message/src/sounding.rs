//! What a stream of messages leaves down: keys and pedals.

use crate::channel::ChannelMessage;
use crate::message::Message;
use crate::system::RealTime;
use crate::value::{Channel, Controller, Note, U7};

/// Pedals that keep notes sounding, a bit for each.
const PEDALS: [Controller; 3] = [
    Controller::SUSTAIN,
    Controller::SOSTENUTO,
    Controller::HOLD_2,
];
/// The bits of those that reset all controllers (121) lets go: RP-015 leaves hold 2 alone.
const RESET_PEDALS: u8 = 0b011;
/// From this value on a pedal is down.
const DOWN: u8 = 64;
/// The release velocity of one who has none (MIDI 1.0).
const RELEASE: U7 = U7::from_low_bits(64);

/// Which keys and pedals a stream of messages leaves down, on all sixteen channels.
///
/// For whoever has to end what another one began: a receiver whose sender is gone, a sender that
/// drops what its receiver does not take.
///
/// - A key is down from its note-on to its note-off (or note-on with velocity 0); all sound off
///   (120), all notes off (123) and the modes that mean it as well (124 to 127) let go all keys of
///   a channel. A key that is pressed twice is down once: one note-off ends it.
/// - The pedals are sustain (64), sostenuto (66) and hold 2 (69), down from a value of 64 on. Reset
///   all controllers (121) lets go the first two (RP-015).
/// - System reset (FF) lets go everything. System exclusive messages change nothing here.
///
/// A plain value of 512 octets that needs no allocator.
///
/// ```
/// use netmidi_message::{Message, Sounding};
///
/// let mut sounding = Sounding::new();
/// for wire in [[0x90, 60, 100], [0x90, 64, 100], [0xB0, 64, 127], [0x80, 60, 0]] {
///     sounding.observe(&Message::parse(&wire)?);
/// }
/// // Note 64 and the sustain pedal are still down.
/// let releases = sounding.releases().map(|message| message.to_octets());
/// assert!(releases.eq([[0x80, 64, 64], [0xB0, 64, 0]]));
///
/// let all_notes_off = Message::parse(&[0xB0, 123, 0])?;
/// assert!(sounding.end(&all_notes_off));
/// assert!(!sounding.end(&all_notes_off), "there was no key left");
/// assert!(!sounding.is_silent(), "the pedal is down");
/// # Ok::<(), netmidi_message::MessageError>(())
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Sounding {
    channels: [Sounds; 16],
}

/// The same of one channel.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Sounds {
    keys: u128,
    pedals: u8,
}

impl Sounds {
    const SILENT: Self = Self { keys: 0, pedals: 0 };
}

impl Sounding {
    /// Nothing is down.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            channels: [Sounds::SILENT; 16],
        }
    }

    /// A message of the stream.
    pub fn observe(&mut self, message: &Message<'_>) {
        match begun(message) {
            Some((channel, begun)) => {
                if let Some(it) = self.channel_mut(channel) {
                    it.keys |= begun.keys;
                    it.pedals |= begun.pedals;
                }
            }
            None => _ = self.end(message),
        }
    }

    /// Whether a message presses a key or a pedal, which [`observe`](Self::observe) would keep.
    #[must_use]
    pub fn begins(message: &Message<'_>) -> bool {
        begun(message).is_some()
    }

    /// Whether a message ends a note that is down, or lets go a pedal that is; it does so now.
    ///
    /// What is down is let go once, so of any number of messages a bounded number ends something.
    pub fn end(&mut self, message: &Message<'_>) -> bool {
        let message = match *message {
            Message::Channel(message) => message,
            Message::RealTime(RealTime::Reset) => {
                let before = core::mem::take(self);
                return !before.is_silent();
            }
            _ => return false,
        };
        let Some(it) = self.channel_mut(message.channel()) else {
            return false;
        };
        let before = *it;
        match message {
            ChannelMessage::NoteOn { note, .. } | ChannelMessage::NoteOff { note, .. }
                if message.is_note_off() =>
            {
                it.keys &= !(1 << note.get());
            }
            ChannelMessage::ControlChange { control, value, .. } => match control {
                Controller::ALL_SOUND_OFF
                | Controller::ALL_NOTES_OFF
                | Controller::OMNI_OFF
                | Controller::OMNI_ON
                | Controller::MONO_ON
                | Controller::POLY_ON => it.keys = 0,
                Controller::RESET_ALL_CONTROLLERS => it.pedals &= !RESET_PEDALS,
                _ if value.get() < DOWN => it.pedals &= !pedal(control),
                _ => {}
            },
            _ => {}
        }
        *it != before
    }

    /// Whether no key and no pedal is down.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.channels.iter().all(|it| *it == Sounds::SILENT)
    }

    /// What lets go everything that is down: channel after channel a note-off with velocity 64 for
    /// each key, and then value 0 for each pedal. At most 2,096 messages.
    pub fn releases(&self) -> impl Iterator<Item = ChannelMessage> + Clone + '_ {
        let channels = Channel::all().zip(&self.channels);
        let sounding = channels.filter(|(_, it)| **it != Sounds::SILENT);
        sounding.flat_map(|(channel, it)| {
            let keys = (0..=U7::MAX.get()).filter(|key| it.keys >> key & 1 != 0);
            let notes = keys.map(move |key| {
                let note = Note::from(U7::from_low_bits(key));
                ChannelMessage::note_off(channel, note, RELEASE)
            });
            let pedals = PEDALS.into_iter().enumerate();
            let pedals = pedals.filter(|(place, _)| it.pedals >> place & 1 != 0);
            notes.chain(
                pedals
                    .map(move |(_, pedal)| ChannelMessage::control_change(channel, pedal, U7::MIN)),
            )
        })
    }

    fn channel_mut(&mut self, channel: Channel) -> Option<&mut Sounds> {
        self.channels.get_mut(usize::from(channel.index()))
    }
}

/// The key or pedal that a message presses.
fn begun(message: &Message<'_>) -> Option<(Channel, Sounds)> {
    let Message::Channel(message) = *message else {
        return None;
    };
    let sounds = match message {
        ChannelMessage::NoteOn { note, .. } if !message.is_note_off() => Sounds {
            keys: 1 << note.get(),
            pedals: 0,
        },
        ChannelMessage::ControlChange { control, value, .. } if value.get() >= DOWN => Sounds {
            keys: 0,
            pedals: pedal(control),
        },
        _ => return None,
    };
    (sounds != Sounds::SILENT).then_some((message.channel(), sounds))
}

/// The bit of a pedal; 0 for other controllers.
fn pedal(control: Controller) -> u8 {
    let place = PEDALS.iter().position(|pedal| *pedal == control);
    place.map_or(0, |place| 1 << place)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is a failed test")]
mod tests {
    use super::*;

    fn parse(wire: &[u8]) -> Message<'_> {
        Message::parse(wire).unwrap()
    }

    fn after(wires: &[&[u8]]) -> Sounding {
        let mut sounding = Sounding::new();
        for wire in wires {
            sounding.observe(&parse(wire));
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
            (note, &[0xB2, 124, 0]),
            (note, &[0xB2, 125, 0]),
            (note, &[0xB2, 126, 4]),
            (note, &[0xB2, 127, 0]),
            (note, &[0xFF]),
            (pedal, &[0xB2, 64, 0]),
            (pedal, &[0xB2, 121, 0]),
            (pedal, &[0xFF]),
            (&[0xB2, 66, 64], &[0xB2, 66, 63]),
            (&[0xB2, 66, 64], &[0xB2, 121, 0]),
            (&[0xB2, 69, 64], &[0xB2, 69, 0]),
        ] {
            assert!(Sounding::begins(&parse(begins)), "{begins:02x?}");
            let mut sounding = after(&[begins]);
            assert!(!sounding.is_silent(), "{begins:02x?}");
            let ends = parse(ends);
            assert!(!Sounding::begins(&ends), "{ends:?}");
            assert!(sounding.end(&ends), "{ends:?}");
            assert_eq!(sounding, Sounding::new(), "{ends:?}");
            assert!(!sounding.end(&ends), "{ends:?} a second time");
        }
    }

    #[test]
    fn what_is_about_something_else_ends_nothing() {
        let mut sounding = after(&[&[0x90, 60, 1], &[0xB0, 64, 127], &[0xB3, 69, 127]]);
        let before = sounding.clone();
        for wire in [
            &[0x80, 61, 0][..],
            &[0x81, 60, 0],
            &[0xB0, 66, 0],
            &[0xB1, 123, 0],
            &[0xB0, 7, 0],
            &[0xB0, 64, 64],
            &[0xB3, 121, 0],
            &[0x90, 62, 1],
            &[0xF8],
            &[0xF0, 1, 0xF7],
        ] {
            assert!(!sounding.end(&parse(wire)), "{wire:02x?}");
            assert_eq!(sounding, before, "{wire:02x?}");
        }
    }

    #[test]
    fn the_releases_let_go_all_there_can_be_and_no_more() {
        assert_eq!(Sounding::new().releases().count(), 0);
        let mut sounding = Sounding::new();
        for channel in Channel::all() {
            for key in 0..=127 {
                let note = Note::new(key).unwrap();
                sounding.observe(&ChannelMessage::note_on(channel, note, U7::MAX).into());
            }
            for pedal in PEDALS {
                let down = ChannelMessage::control_change(channel, pedal, U7::MAX);
                sounding.observe(&down.into());
            }
        }
        assert_eq!(sounding.releases().count(), 16 * (128 + 3));
        let mut rest = sounding.clone();
        for message in sounding.releases() {
            assert!(rest.end(&message.into()), "{message:?}");
        }
        assert!(rest.is_silent());
    }

    #[test]
    fn it_is_small() {
        assert_eq!(size_of::<Sounding>(), 512);
    }
}
