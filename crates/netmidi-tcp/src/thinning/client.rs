//! What a client holds and has selected by what went to it.

use netmidi_message::{Channel, ChannelMessage, Controller, Message, Note, RealTime, U7};

use super::MAX_STACKED;

/// Pedals that keep notes sounding, a bit for each.
const PEDALS: [Controller; 3] = [
    Controller::SUSTAIN,
    Controller::SOSTENUTO,
    Controller::HOLD_2,
];
/// The bits of those that reset all controllers (121) lets go (RP-015).
const RESET_PEDALS: u8 = 0b011;
/// From this value on a pedal is down.
const DOWN: u8 = 64;

const KEYS: usize = 128;
const CHANNELS: usize = 16;

/// What everything that ends a note or lets go a pedal comes to, if all that a client can hold is
/// ended singly; and an all sound off for each channel. A system reset takes the place of others.
#[cfg(test)]
pub(super) const MAX_ENDS_OCTETS: usize =
    3 * CHANNELS * (KEYS * MAX_STACKED as usize + PEDALS.len() + 1);

/// The client, as far as it has to be known what it was sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Client {
    channels: [Heard; CHANNELS],
}

/// What it heard on one channel.
#[derive(Clone, Debug)]
struct Heard {
    /// How often each key was pressed and not released.
    keys: [u8; KEYS],
    pedals: u8,
    /// A note was heard since the last all sound off: something may still sound.
    rings: bool,
    selection: Selection,
}

impl Default for Heard {
    fn default() -> Self {
        Self {
            keys: [0; KEYS],
            pedals: 0,
            rings: false,
            selection: Selection::default(),
        }
    }
}

impl Client {
    /// It hears a message.
    pub(super) fn hear(&mut self, message: &Message<'_>) {
        match message {
            Message::Channel(message) => {
                if let Some(it) = self.channels.get_mut(place(message.channel())) {
                    it.hear(*message);
                }
            }
            Message::RealTime(RealTime::Reset) => *self = Self::default(),
            // It may or may not silence; it certainly selects nothing.
            Message::SysEx(sysex) if switches_on(sysex.data()) => {
                for it in &mut self.channels {
                    it.selection = Selection::default();
                }
            }
            _ => {}
        }
    }

    /// Whether a message would end something that it holds.
    pub(super) fn would_end(&self, message: &Message<'_>) -> bool {
        match message {
            Message::Channel(message) => {
                let it = self.channels.get(place(message.channel()));
                it.is_some_and(|it| it.would_end(*message))
            }
            Message::RealTime(RealTime::Reset) => {
                self.channels.iter().any(|it| it.rings || it.pedals != 0)
            }
            _ => false,
        }
    }

    pub(super) fn selection(&self, channel: Channel) -> Selection {
        let it = self.channels.get(place(channel));
        it.map_or(Selection::default(), |it| it.selection)
    }
}

impl Heard {
    fn hear(&mut self, message: ChannelMessage) {
        match message {
            ChannelMessage::NoteOn { note, .. } | ChannelMessage::NoteOff { note, .. } => {
                let Some(count) = self.keys.get_mut(usize::from(note.get())) else {
                    return;
                };
                if message.is_note_off() {
                    *count = count.saturating_sub(1);
                } else {
                    *count = (*count + 1).min(MAX_STACKED);
                    self.rings = true;
                }
            }
            ChannelMessage::ControlChange { control, value, .. } => match control {
                Controller::ALL_SOUND_OFF => {
                    self.keys = [0; KEYS];
                    self.rings = false;
                }
                Controller::RESET_ALL_CONTROLLERS => {
                    self.pedals &= !RESET_PEDALS;
                    self.selection = Selection::default();
                }
                Controller::LOCAL_CONTROL => {}
                _ if control.is_channel_mode() => self.keys = [0; KEYS],
                _ if value.get() >= DOWN => {
                    self.pedals |= pedal(control);
                    self.selection.observe(control, value);
                }
                _ => {
                    self.pedals &= !pedal(control);
                    self.selection.observe(control, value);
                }
            },
            _ => {}
        }
    }

    fn would_end(&self, message: ChannelMessage) -> bool {
        match message {
            ChannelMessage::NoteOn { note, .. } | ChannelMessage::NoteOff { note, .. } => {
                message.is_note_off() && self.holds(note)
            }
            ChannelMessage::ControlChange { control, value, .. } => match control {
                Controller::ALL_SOUND_OFF => self.rings,
                Controller::RESET_ALL_CONTROLLERS => self.pedals & RESET_PEDALS != 0,
                Controller::LOCAL_CONTROL => false,
                _ if control.is_channel_mode() => self.keys != [0; KEYS],
                _ => value.get() < DOWN && self.pedals & pedal(control) != 0,
            },
            _ => false,
        }
    }

    fn holds(&self, note: Note) -> bool {
        let count = self.keys.get(usize::from(note.get()));
        count.is_some_and(|count| *count > 0)
    }
}

fn place(channel: Channel) -> usize {
    usize::from(channel.index())
}

/// The bit of a pedal; 0 for other controllers.
fn pedal(control: Controller) -> u8 {
    let place = PEDALS.iter().position(|pedal| *pedal == control);
    place.map_or(0, |place| 1 << place)
}

/// GM on and off, GM 2 on, DLS on and off (universal non-real-time system exclusive messages).
const fn switches_on(data: &[u8]) -> bool {
    matches!(
        *data,
        [0x7E, _, 0x09, 0x00 | 0x01 | 0x03] | [0x7E, _, 0x0A, 0x01 | 0x02]
    )
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Registered,
    NonRegistered,
}

impl Kind {
    const fn other(self) -> Self {
        match self {
            Self::Registered => Self::NonRegistered,
            Self::NonRegistered => Self::Registered,
        }
    }

    /// The controllers of the two halves of its number.
    const fn controllers(self) -> [Controller; 2] {
        match self {
            Self::Registered => [Controller::RPN_MSB, Controller::RPN_LSB],
            Self::NonRegistered => [Controller::NRPN_MSB, Controller::NRPN_LSB],
        }
    }
}

/// The two halves of a parameter number, as they came last.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Number {
    msb: Option<U7>,
    lsb: Option<U7>,
}

/// What 98 to 101 said on a channel.
///
/// Receivers differ in what an upper half alone selects: the number with lower half 0, or with the
/// lower half that was known. Here it is kept as it was said, and said again so that either kind of
/// receiver understands what it would have understood.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Selection {
    registered: Number,
    non_registered: Number,
    /// What came last is valid.
    current: Option<Kind>,
    /// Of that, the upper half came last.
    msb_alone: bool,
}

/// What data entry and the data buttons are for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Selected {
    /// `None` if nothing was selected ever.
    kind: Option<Kind>,
    number: Number,
    msb_alone: bool,
}

impl Selection {
    /// A controller takes a value.
    pub(super) const fn observe(&mut self, control: Controller, value: U7) {
        let (kind, is_msb) = match control {
            Controller::RPN_MSB => (Kind::Registered, true),
            Controller::RPN_LSB => (Kind::Registered, false),
            Controller::NRPN_MSB => (Kind::NonRegistered, true),
            Controller::NRPN_LSB => (Kind::NonRegistered, false),
            _ => return,
        };
        let number = match kind {
            Kind::Registered => &mut self.registered,
            Kind::NonRegistered => &mut self.non_registered,
        };
        match is_msb {
            true => number.msb = Some(value),
            false => number.lsb = Some(value),
        }
        self.current = Some(kind);
        self.msb_alone = is_msb;
    }

    const fn number(&self, kind: Kind) -> Number {
        match kind {
            Kind::Registered => self.registered,
            Kind::NonRegistered => self.non_registered,
        }
    }

    pub(super) fn selected(&self) -> Selected {
        Selected {
            kind: self.current,
            number: self
                .current
                .map_or(Number::default(), |kind| self.number(kind)),
            msb_alone: self.msb_alone,
        }
    }

    /// Says what leads from this to another selection, in at most five control changes.
    pub(super) fn lead_to(self, wanted: Self, mut say: impl FnMut(Controller, U7)) {
        let Some(kind) = wanted.current else {
            return;
        };
        let mut now = self;
        let mut spell = |now: &mut Self, kind, msb_alone| {
            for (control, value) in spelt(kind, wanted.number(kind), msb_alone) {
                now.observe(control, value);
                say(control, value);
            }
        };
        let other = kind.other();
        if now.number(other) != wanted.number(other) {
            spell(&mut now, other, false);
        }
        if now != wanted {
            spell(&mut now, kind, wanted.msb_alone);
        }
    }
}

impl Selected {
    /// No parameter: none was selected, or the null number.
    pub(super) fn is_nothing(&self) -> bool {
        let null = Number {
            msb: Some(U7::MAX),
            lsb: Some(U7::MAX),
        };
        self.kind.is_none() || (self.number == null && !self.msb_alone)
    }

    /// Data is for nobody: the number has no upper half.
    pub(super) const fn is_incomplete(&self) -> bool {
        self.kind.is_some() && self.number.msb.is_none()
    }

    /// Whether data is for the same as with another, for every receiver.
    pub(super) fn is(&self, other: &Self) -> bool {
        self == other || (self.is_nothing() && other.is_nothing())
    }

    /// Whether data may be for the same parameter as with another, for some receiver.
    pub(super) fn may_be(&self, other: &Self) -> bool {
        let one_alone = self.msb_alone || other.msb_alone;
        !self.is_nothing()
            && !other.is_nothing()
            && self.kind == other.kind
            && self.number.msb == other.number.msb
            && (one_alone || self.number.lsb == other.number.lsb)
    }

    /// Says what selects it.
    pub(super) fn select(&self, mut say: impl FnMut(Controller, U7)) {
        let null = Number {
            msb: Some(U7::MAX),
            lsb: Some(U7::MAX),
        };
        let spelt = match self.kind {
            Some(kind) => spelt(kind, self.number, self.msb_alone),
            None => spelt(Kind::Registered, null, false),
        };
        spelt.for_each(|(control, value)| say(control, value));
    }
}

/// The control changes, at most three, that say a number; the upper half once more if it came last.
fn spelt(kind: Kind, number: Number, msb_alone: bool) -> impl Iterator<Item = (Controller, U7)> {
    let [msb, lsb] = kind.controllers();
    let again = number.msb.filter(|_| msb_alone && number.lsb.is_some());
    let said = [(msb, number.msb), (lsb, number.lsb), (msb, again)];
    said.into_iter()
        .filter_map(|(control, value)| Some((control, value?)))
}
