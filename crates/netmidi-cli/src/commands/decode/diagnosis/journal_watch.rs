//! Whether a sender's journals hold what its packets did: what a receiver that loses one of them
//! relies on.

use std::collections::BTreeMap;

use netmidi_journal::{Chapter, Journal, Salvaged};
use netmidi_message::{Channel, ChannelMessage, Controller, Message, Note, RealTime};
use netmidi_wire::SeqNum;

use super::rules::Rule;

/// Commands that are remembered of one stream at most. With more nothing is said.
const MAX_ITEMS: usize = 1024;
/// With more commands than this only every so many journals is compared.
const FEW_ITEMS: usize = 64;
const STRIDE: u16 = 16;
/// A journal longer than this may have had no room for all.
const ROOMY: usize = 400;
/// Packets further back cannot be told from those to come.
const MAX_AGE: i16 = 8192;

/// What a journal has an entry for. Only what is there without exception: RFC 6295 leaves out
/// controllers of banks and parameters where other chapters have them.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Item {
    Note(u8, u8),
    Control(u8, u8),
    Program(u8),
    Wheel(u8),
    Pressure(u8),
}

impl Item {
    const fn chapter(self) -> Chapter {
        match self {
            Self::Note(..) => Chapter::N,
            Self::Control(..) => Chapter::C,
            Self::Program(_) => Chapter::P,
            Self::Wheel(_) => Chapter::W,
            Self::Pressure(_) => Chapter::T,
        }
    }

    const fn channel(self) -> u8 {
        match self {
            Self::Note(channel, _)
            | Self::Control(channel, _)
            | Self::Program(channel)
            | Self::Wheel(channel)
            | Self::Pressure(channel) => channel,
        }
    }

    fn describe(self) -> String {
        let channel = self.channel() + 1;
        match self {
            Self::Note(_, note) => format!("note {note} on channel {channel}"),
            Self::Control(_, control) => format!("controller {control} on channel {channel}"),
            Self::Program(_) => format!("the program of channel {channel}"),
            Self::Wheel(_) => format!("the pitch wheel of channel {channel}"),
            Self::Pressure(_) => format!("the pressure of channel {channel}"),
        }
    }
}

/// What a journal tells of one channel.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    notes: u128,
    controls: u128,
    program: bool,
    wheel: bool,
    pressure: bool,
    /// Those of which the journal says that the packet just before did not touch them (S=1).
    old_notes: u128,
    old_controls: u128,
    old_program: bool,
    old_wheel: bool,
    old_pressure: bool,
    /// The whole channel, so said.
    old: bool,
}

/// Follows what one stream did and what its journals tell.
#[derive(Debug, Default)]
pub(super) struct JournalWatch {
    /// What was done, and in which packet last.
    items: BTreeMap<Item, SeqNum>,
    /// By the packet before this one, if it was seen.
    previous: Vec<Item>,
    current: Vec<Item>,
    /// The stream has journals.
    active: bool,
    overfull: bool,
    /// Up to here the receiver has reported.
    acknowledged: Option<SeqNum>,
}

impl JournalWatch {
    /// The receiver has reported packets up to this one.
    pub(super) fn acknowledge(&mut self, seq: SeqNum) {
        self.acknowledged = Some(seq);
        self.items.retain(|_, last| last.distance_from(seq) > 0);
        if self.items.is_empty() {
            self.overfull = false;
        }
    }

    pub(super) fn acknowledged(&self) -> Option<SeqNum> {
        self.acknowledged
    }

    /// Packets are not known: what they did may have made anything pointless.
    pub(super) fn lose(&mut self) {
        self.items.clear();
        self.previous.clear();
        self.current.clear();
        self.overfull = false;
    }

    /// A packet begins, the one after the last.
    pub(super) fn begin(&mut self) {
        std::mem::swap(&mut self.previous, &mut self.current);
        self.current.clear();
    }

    /// Compares a journal with what was done. `trusted`: the receiver has shown that it can take any
    /// journal, so nothing may be left out for its sake.
    pub(super) fn check(
        &mut self,
        seq: SeqNum,
        salvaged: &Salvaged<'_>,
        octets: usize,
        trusted: bool,
    ) -> Option<(Rule, String)> {
        self.active = true;
        if salvaged.damage.is_some() || self.overfull {
            return None;
        }
        let journal = &salvaged.journal;
        let told = told(journal);
        let has = |item: Item| {
            told.get(usize::from(item.channel()))
                .is_some_and(|it| it.has(item))
        };
        let wrong = self.previous.iter().copied().find(|item| {
            let it = told.get(usize::from(item.channel()));
            it.is_some_and(|it| it.has(*item) && (journal.s() || it.old || it.is_old(*item)))
        });
        if let Some(item) = wrong {
            return Some((
                Rule::WrongS(item.chapter()),
                format!(
                    "the journal of packet {seq} has S=1 (not in the packet just before) for {}, \
                     which packet {} did",
                    item.describe(),
                    SeqNum(seq.0.wrapping_sub(1))
                ),
            ));
        }
        let channels = journal.channels().count();
        let gentle = !journal.s() && !journal.has_system() && channels <= 1;
        let often = self.items.len() <= FEW_ITEMS || seq.0.is_multiple_of(STRIDE);
        if octets > ROOMY || gentle && !trusted || !often {
            return None;
        }
        let checkpoint = journal.checkpoint();
        let missing = self.items.iter().find(|(item, last)| {
            let age = seq.distance_from(**last);
            (1..MAX_AGE).contains(&age) && last.distance_from(checkpoint) >= 0 && !has(**item)
        });
        let (item, last) = missing.map(|(item, last)| (*item, *last))?;
        // Told once.
        self.items.remove(&item);
        Some((
            Rule::Incomplete(item.chapter()),
            format!(
                "the journal of packet {seq} begins with packet {checkpoint} and says nothing of \
                 {}, which packet {last} did",
                item.describe()
            ),
        ))
    }

    /// A command of the packet.
    pub(super) fn observe(&mut self, seq: SeqNum, message: &Message<'_>) {
        if !self.active {
            return;
        }
        let channel = match message {
            Message::Channel(message) => message.channel().index(),
            Message::SysEx(_) | Message::RealTime(RealTime::Reset) => return self.lose(),
            _ => return,
        };
        let item = match message {
            Message::Channel(
                ChannelMessage::NoteOn { note, .. } | ChannelMessage::NoteOff { note, .. },
            ) => Item::Note(channel, note.get()),
            Message::Channel(ChannelMessage::ControlChange { control, .. }) => {
                if control.is_channel_mode() {
                    // Notes, controllers, wheel: it may have ended any of them.
                    self.items.retain(|it, _| it.channel() != channel);
                    self.current.retain(|it| it.channel() != channel);
                    return;
                }
                match control.get() {
                    0 | 6 | 32 | 38 | 96..=101 => return,
                    number => Item::Control(channel, number),
                }
            }
            Message::Channel(ChannelMessage::ProgramChange { .. }) => Item::Program(channel),
            Message::Channel(ChannelMessage::PitchBend { .. }) => Item::Wheel(channel),
            Message::Channel(ChannelMessage::ChannelPressure { .. }) => Item::Pressure(channel),
            _ => return,
        };
        if self.items.len() >= MAX_ITEMS {
            self.lose();
            self.overfull = true;
        }
        self.items.insert(item, seq);
        if !self.current.contains(&item) {
            self.current.push(item);
        }
    }
}

impl Told {
    fn has(&self, item: Item) -> bool {
        match item {
            Item::Note(_, note) => self.notes >> note & 1 != 0,
            Item::Control(_, control) => self.controls >> control & 1 != 0,
            Item::Program(_) => self.program,
            Item::Wheel(_) => self.wheel,
            Item::Pressure(_) => self.pressure,
        }
    }

    fn is_old(&self, item: Item) -> bool {
        match item {
            Item::Note(_, note) => self.old_notes >> note & 1 != 0,
            Item::Control(_, control) => self.old_controls >> control & 1 != 0,
            Item::Program(_) => self.old_program,
            Item::Wheel(_) => self.old_wheel,
            Item::Pressure(_) => self.old_pressure,
        }
    }
}

const fn bit(number: u8) -> u128 {
    1 << (number & 0x7F)
}

fn told(journal: &Journal<'_>) -> [Told; 16] {
    let mut all = [Told::default(); 16];
    for channel in journal.channels() {
        let Some(it) = all.get_mut(usize::from(channel.channel.index())) else {
            continue;
        };
        it.old = channel.s;
        if let Some(notes) = channel.notes {
            for log in notes.logs().iter() {
                it.notes |= bit(log.note.get());
                if log.s {
                    it.old_notes |= bit(log.note.get());
                }
            }
            for note in notes.off().iter() {
                it.notes |= bit(note.get());
                if notes.b() {
                    it.old_notes |= bit(note.get());
                }
            }
        }
        if let Some(controls) = channel.controls {
            let mut recent = 0;
            for log in controls.logs().iter() {
                it.controls |= bit(log.controller.get());
                if log.s {
                    it.old_controls |= bit(log.controller.get());
                } else {
                    recent |= bit(log.controller.get());
                }
            }
            // Several logs of one controller: one that is recent will do.
            it.old_controls &= !recent;
        }
        if let Some(program) = channel.program {
            it.program = true;
            it.old_program = program.s;
        }
        if let Some(wheel) = channel.wheel {
            it.wheel = true;
            it.old_wheel = wheel.s;
        }
        if let Some(pressure) = channel.pressure {
            it.pressure = true;
            it.old_pressure = pressure.s;
        }
    }
    all
}

/// Whether a journal itself says that this was ended.
pub(super) fn ends(journal: Option<&Journal<'_>>, channel: Channel, ended: Ended) -> bool {
    let Some(channel) = journal.and_then(|it| it.channel(channel)) else {
        return false;
    };
    match ended {
        Ended::Note(note) => channel.notes.is_some_and(|it| it.off().contains(note)),
        Ended::Pedal(pedal) => channel
            .controls
            .is_some_and(|it| it.logs().iter().any(|log| log.controller == pedal)),
    }
}

/// What may be left down.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ended {
    Note(Note),
    Pedal(Controller),
}
