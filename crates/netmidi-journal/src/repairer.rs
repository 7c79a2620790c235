//! The receiver's side: what was received, and the messages that put right what was lost.

mod channel;
mod restore;
mod system;
mod table;

use alloc::boxed::Box;

use netmidi_message::{Channel, ChannelMessage, Message, Note, SysEx, U7};
use netmidi_wire::{Command, CommandSection, RtpTimestamp, SeqNum, SysExSegment};

pub(crate) use self::channel::ChannelModel;
pub use self::restore::{Restored, Snapshot};
use self::system::SystemModel;
pub(crate) use self::table::{Packet, Table};
use crate::journal::Salvaged;
use crate::system::Step;

/// Packets for which a repair goes on at most: as far as a sender's history reaches.
const MAX_CATCH_UP: u64 = 16_384;
/// Steps of parameters (controllers 96 and 97) in one repair.
const MAX_STEPS: u16 = 1024;

/// Bounds of a [`Repairer`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RepairerConfig {
    /// The largest system exclusive message that is put together, in data octets between F0 and F7.
    /// Default 1 MiB.
    pub max_sysex: usize,
    /// Take a journal whose checkpoint is the packet itself, and which is not empty, as if it
    /// covered the packet before (iOS sends such). Default on.
    pub lenient_checkpoint: bool,
}

impl Default for RepairerConfig {
    fn default() -> Self {
        Self {
            max_sysex: netmidi_message::DEFAULT_SYSEX_LIMIT,
            lenient_checkpoint: true,
        }
    }
}

/// Where a packet stands in its stream.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Arrival {
    /// The first of the stream.
    First,
    /// The one after the last.
    InOrder,
    /// Others are missing before it.
    Gap,
    /// The stream was taken up anew at another number: how many are missing nobody knows.
    Restarted,
}

/// What [`Repairer::repair`] did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Repair {
    /// Messages that were handed out.
    pub messages: u32,
    /// Lost note-ons that were too old to be played.
    pub notes_skipped: u32,
    /// System exclusive messages that are lost for good.
    pub sysex_lost: u32,
    /// Whether packets were lost that the journal does not cover. What could not be known was made
    /// safe: notes ended, pedals released.
    pub uncovered: bool,
}

/// What a segment did to the system exclusive message in progress.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Joined<'a> {
    /// More is to come.
    Partial,
    /// A whole message.
    Whole(SysEx<'a>),
    /// A message was given up: cancelled, or its end makes no message of it.
    Abandoned,
    /// A message was given up because it passed the bound.
    TooLong,
    /// Nothing was in progress and nothing came of it.
    Ignored,
}

/// What one sender's stream has done to the instrument so far.
///
/// For each packet, in this order: [`begin`](Self::begin), [`repair`](Self::repair) if
/// [`needs_repair`](Self::needs_repair), then [`observe`](Self::observe) or [`join`](Self::join) for
/// each command of its list.
///
/// A repair is not over with the packet that ends a loss. A sender whose journal has no room for
/// everything brings the rest in later journals, and until it knows that the packet has come it
/// goes on telling. So the journals of the packets that follow are compared as well, until one
/// begins behind that packet or is empty. Where nothing was lost since, that hands out nothing.
///
/// Memory: what is used. A channel takes about 0.5 kB for its first command, 1.2 kB with 30 notes, a
/// dozen controllers and some parameters, and at most 8 kB, with all notes and controllers and 256
/// parameters; system exclusive messages take the one in progress and about 9 kB. Nothing is
/// allocated for a packet once the notes, controllers and parameters of its commands, or that there
/// are such messages, are known.
#[derive(Debug)]
pub struct Repairer {
    config: RepairerConfig,
    /// Of the packet at hand.
    stamp: Stamp,
    seq: SeqNum,
    arrival: Arrival,
    /// The packet taken before it.
    previous: u64,
    /// The packet whose loss may not be repaired to the end.
    catching_up: Option<u64>,
    /// The first such packet since everything was last known to be repaired: losses may follow each
    /// other faster than they are repaired to the end.
    unsettled_since: Option<u64>,
    /// Whether the first packet was the first that the sender sent, so that its counts begin
    /// where ours do.
    from_start: bool,
    channels: ChannelModels,
    system: Option<Box<SystemModel>>,
}

/// When something was executed: the packet, counted on past 65,535, and the timestamp.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stamp {
    pub(crate) ext: u64,
    pub(crate) at: RtpTimestamp,
}

impl Repairer {
    /// Nothing was received yet.
    #[must_use]
    pub const fn new(config: RepairerConfig) -> Self {
        Self {
            config,
            stamp: Stamp {
                ext: FIRST_EXT,
                at: RtpTimestamp(0),
            },
            seq: SeqNum(0),
            arrival: Arrival::First,
            previous: 0,
            catching_up: None,
            unsettled_since: None,
            from_start: false,
            channels: [const { None }; 16],
            system: None,
        }
    }

    /// A packet is taken; what follows is about it. `at` is its RTP timestamp.
    ///
    /// Packets are to be handed in ascending order; see [`late`](Self::late) for others.
    pub fn begin(&mut self, seq: SeqNum, at: RtpTimestamp, arrival: Arrival) {
        self.previous = self.stamp.ext;
        let ahead = u64::from(seq.0.wrapping_sub(self.seq.0));
        let ext = match arrival {
            Arrival::First => FIRST_EXT + u64::from(seq.0),
            // A sender that does not count is in order as well.
            Arrival::InOrder => self.previous + 1,
            Arrival::Gap => self.previous + ahead.max(2),
            Arrival::Restarted => self.previous + ahead.max(1),
        };
        self.stamp = Stamp { ext, at };
        self.seq = seq;
        self.arrival = arrival;
        if let Some(system) = &mut self.system {
            system.sysex.release();
        }
        if self
            .catching_up
            .is_some_and(|gap| ext - gap.min(ext) > MAX_CATCH_UP)
        {
            self.catching_up = None;
            self.unsettled_since = None;
        }
    }

    /// Whether [`repair`](Self::repair) is to be called for this packet: it ends a loss or is the
    /// first, or a loss before it may not be repaired to the end yet.
    #[must_use]
    pub const fn needs_repair(&self) -> bool {
        !matches!(self.arrival, Arrival::InOrder) || self.catching_up.is_some()
    }

    /// Compares the journal of the packet with what was received, and hands out the messages that
    /// put the instrument right, in the order in which they are to be played, before those of the
    /// packet's own list. They need not be [observed](Self::observe).
    pub fn repair(
        &mut self,
        journal: Option<&Salvaged<'_>>,
        list: &CommandSection<'_>,
        emit: &mut dyn FnMut(Message<'_>),
    ) -> Repair {
        let mut out = Repairs::new(emit, list, self.repair_stamp());
        let empty = journal.is_some_and(|it| it.damage.is_none() && it.journal.is_empty());
        let checkpoint = journal.map(|it| self.checkpoint(it));
        if self.arrival == Arrival::InOrder {
            let (Some(gap), Some(checkpoint)) = (self.catching_up, checkpoint) else {
                return out.done;
            };
            if empty || checkpoint > gap {
                // One that begins behind its own packet says nothing.
                if checkpoint <= self.stamp.ext {
                    self.catching_up = None;
                    self.unsettled_since = None;
                }
                return out.done;
            }
            out.catching_up = Some(gap);
            out.unsettled_since = self.unsettled_since;
        } else {
            let settled = self.catching_up.is_none();
            out.unsettled_since = self.unsettled_since;
            self.catching_up = (!empty).then_some(self.stamp.ext);
            self.unsettled_since = self
                .catching_up
                .map(|gap| self.unsettled_since.unwrap_or(gap));
            if let Some(system) = &mut self.system {
                system.sysex.lose();
            }
            let first = self.arrival == Arrival::First;
            if first {
                self.from_start = empty && checkpoint == Some(self.stamp.ext);
            }
            let whole = journal.is_some_and(|it| it.damage.is_none());
            let covers = checkpoint.is_some_and(|it| it <= self.previous + 1);
            out.done.uncovered = !(first || whole && covers);
            // The S bits speak of one lost packet.
            out.single = self.arrival == Arrival::Gap
                && self.stamp.ext == self.previous + 2
                && settled
                && !out.done.uncovered;
        }
        out.checkpoint = checkpoint.unwrap_or(self.stamp.ext);
        if let Some(salvaged) = journal
            && !out.skips(salvaged.journal.s())
        {
            self.apply(salvaged, &mut out);
        }
        if out.done.uncovered {
            self.make_safe(journal, &mut out);
        }
        out.done
    }

    /// What a repair executes was in the packet before this one, for all that is known.
    const fn repair_stamp(&self) -> Stamp {
        Stamp {
            ext: self.stamp.ext - 1,
            at: self.stamp.at,
        }
    }

    /// The packet that the journal begins with.
    fn checkpoint(&self, salvaged: &Salvaged<'_>) -> u64 {
        let back = i64::from(self.seq.distance_from(salvaged.journal.checkpoint()));
        let lenient = self.config.lenient_checkpoint && !salvaged.journal.is_empty();
        let back = if back == 0 && lenient { 1 } else { back };
        self.stamp.ext.saturating_add_signed(-back)
    }

    fn apply(&mut self, salvaged: &Salvaged<'_>, out: &mut Repairs<'_>) {
        if let Some(journal) = salvaged.journal.system() {
            let (limit, restarted) = (self.config.max_sysex, self.arrival == Arrival::Restarted);
            let system = system_model(&mut self.system, self.from_start);
            if restarted {
                system.sysex.set_counted(false);
            }
            let channels = &mut self.channels;
            system.repair(&journal, limit, out, &mut || clear(channels));
        }
        for journal in &salvaged.journal {
            self.channel(journal.channel).repair(&journal, out);
        }
    }

    /// Makes an end to what could go on for ever.
    fn make_safe(&mut self, journal: Option<&Salvaged<'_>>, out: &mut Repairs<'_>) {
        let journal = journal.map(|it| &it.journal);
        for model in self.channels.iter_mut().flatten() {
            let journal = journal.and_then(|it| it.channel(model.channel));
            model.make_safe(journal.as_ref(), out);
        }
        if let Some(system) = &mut self.system {
            let journal = journal.and_then(|it| it.system());
            system.make_safe(journal.as_ref(), out);
        }
    }

    /// A message of the packet's list is executed; `at` is its timestamp.
    pub fn observe(&mut self, at: RtpTimestamp, message: Message<'_>) {
        let ext = self.stamp.ext;
        if let Message::Channel(message) = message {
            self.channel(message.channel())
                .observe(Stamp { ext, at }, message);
        } else if system_model(&mut self.system, self.from_start).observe(ext, message) {
            clear(&mut self.channels);
        }
    }

    /// Takes the next segment of a system exclusive message. A whole message that comes of it need
    /// not be observed. The second value is whether a message in progress before it was given up
    /// for it.
    pub fn join<'a>(&'a mut self, segment: SysExSegment<'a>) -> (Joined<'a>, bool) {
        let (ext, limit) = (self.stamp.ext, self.config.max_sysex);
        let system = system_model(&mut self.system, self.from_start);
        let (step, cut) = system.sysex.join(ext, segment, limit);
        let joined = match step {
            Step::Partial => Joined::Partial,
            Step::Abandoned => Joined::Abandoned,
            Step::TooLong => Joined::TooLong,
            Step::Ignored => Joined::Ignored,
            Step::Whole => match SysEx::new(segment.data()) {
                Some(sysex) => {
                    if system.observe_sysex(sysex) {
                        clear(&mut self.channels);
                    }
                    Joined::Whole(sysex)
                }
                None => Joined::Abandoned,
            },
            Step::Complete => {
                if system.observe_complete() {
                    clear(&mut self.channels);
                }
                SysEx::new(system.sysex.data()).map_or(Joined::Abandoned, Joined::Whole)
            }
        };
        (joined, cut)
    }

    /// Whether a message of the packet `seq`, which comes after a later one, is to be executed: it
    /// is a note-off, controller, program change or pitch bend, and nothing newer has overtaken it.
    /// It then counts as executed.
    pub fn late(&mut self, seq: SeqNum, at: RtpTimestamp, message: Message<'_>) -> bool {
        let Message::Channel(message) = message else {
            return false;
        };
        let back = u64::from(self.seq.0.wrapping_sub(seq.0));
        let ext = self.stamp.ext.saturating_sub(back);
        self.channel(message.channel())
            .late(Stamp { ext, at }, message)
    }

    /// Hands out the messages that silence what the sender has left on: notes, pedals, pitch bend.
    pub fn silence(&mut self, emit: &mut dyn FnMut(Message<'_>)) -> u32 {
        let Ok(list) = CommandSection::parse(&[0], self.stamp.at) else {
            return 0;
        };
        let mut out = Repairs::new(emit, &list, self.stamp);
        for model in self.channels.iter_mut().flatten() {
            model.silence_notes(&mut out);
        }
        for model in self.channels.iter_mut().flatten() {
            model.let_go_all(&mut out);
        }
        out.done.messages
    }

    fn channel(&mut self, channel: Channel) -> &mut ChannelModel {
        channel_model(&mut self.channels, channel)
    }
}

/// One model for each channel that is used.
type ChannelModels = [Option<Box<ChannelModel>>; 16];

fn channel_model(models: &mut ChannelModels, channel: Channel) -> &mut ChannelModel {
    let [first, rest @ ..] = models;
    let model = match channel.index().checked_sub(1) {
        Some(index) => rest.get_mut(usize::from(index)).unwrap_or(first),
        None => first,
    };
    model.get_or_insert_with(|| Box::new(ChannelModel::new(channel)))
}

fn system_model(model: &mut Option<Box<SystemModel>>, from_start: bool) -> &mut SystemModel {
    model.get_or_insert_with(|| {
        let mut model = Box::<SystemModel>::default();
        model.sysex.set_counted(from_start);
        model
    })
}

/// So high that the packets before the first have numbers as well.
const FIRST_EXT: u64 = 1 << 32;

fn clear(channels: &mut ChannelModels) {
    for model in channels.iter_mut().flatten() {
        model.clear();
    }
}

/// One repair: what the rules of the chapters have to know, and where their messages go.
pub(crate) struct Repairs<'e> {
    emit: &'e mut dyn FnMut(Message<'_>),
    list: &'e CommandSection<'e>,
    done: Repair,
    /// Of what is executed.
    pub(crate) stamp: Stamp,
    /// The packet that the journal begins with.
    pub(crate) checkpoint: u64,
    /// Whether exactly one packet was lost, so that the S bits tell what was in it.
    single: bool,
    was_reset: bool,
    /// The packet that ended the loss, if it is not the one at hand.
    pub(crate) catching_up: Option<u64>,
    /// The packet that ended the first of the losses that may not be repaired to the end, not
    /// counting the one that the packet at hand ends.
    pub(crate) unsettled_since: Option<u64>,
    steps_left: u16,
    /// What a restoration cannot bring back.
    untold: u32,
}

impl<'e> Repairs<'e> {
    fn new(
        emit: &'e mut dyn FnMut(Message<'_>),
        list: &'e CommandSection<'e>,
        stamp: Stamp,
    ) -> Self {
        Self {
            emit,
            list,
            done: Repair::default(),
            stamp,
            checkpoint: stamp.ext,
            single: false,
            was_reset: false,
            catching_up: None,
            unsettled_since: None,
            steps_left: MAX_STEPS,
            untold: 0,
        }
    }

    /// Whether nothing that has this S bit was lost.
    pub(crate) const fn skips(&self, s: bool) -> bool {
        self.single && s
    }

    pub(crate) fn message(&mut self, message: Message<'_>) {
        self.done.messages = self.done.messages.saturating_add(1);
        (self.emit)(message);
    }

    pub(crate) fn channel(&mut self, message: ChannelMessage) {
        self.message(message.into());
    }

    /// A lost note-on comes too late.
    pub(crate) const fn skip_note(&mut self) {
        self.done.notes_skipped = self.done.notes_skipped.saturating_add(1);
    }

    pub(crate) const fn lose_sysex(&mut self, messages: u32) {
        self.done.sysex_lost = self.done.sysex_lost.saturating_add(messages);
    }

    /// A repaired command has reset the whole system. If it was not lost after all, only what has
    /// S=1 brings back what came after it.
    pub(crate) const fn state_was_reset(&mut self) {
        self.single = false;
        self.was_reset = true;
    }

    /// Whether a repaired command has reset the whole system.
    pub(crate) const fn was_reset(&self) -> bool {
        self.was_reset
    }

    /// So much cannot be brought back.
    pub(crate) fn leave_untold(&mut self, values: u16) {
        self.untold = self.untold.saturating_add(values.into());
    }

    /// So many of these steps may be made.
    pub(crate) fn take_steps(&mut self, steps: u16) -> u16 {
        let steps = steps.min(self.steps_left);
        self.steps_left -= steps;
        steps
    }

    /// Whether the first command of the packet's own list for this note is this note-on.
    pub(crate) fn begins_list(&self, channel: Channel, note: Note, velocity: U7) -> bool {
        let wanted = ChannelMessage::note_on(channel, note, velocity);
        self.list
            .commands()
            .filter_map(|it| match it.command {
                Some(Command::Message(Message::Channel(message))) => Some(message),
                _ => None,
            })
            .find(|message| match *message {
                ChannelMessage::NoteOn {
                    channel: c,
                    note: n,
                    ..
                }
                | ChannelMessage::NoteOff {
                    channel: c,
                    note: n,
                    ..
                } => (c, n) == (channel, note),
                _ => false,
            })
            == Some(wanted)
    }
}

/// One value for each note or controller.
#[derive(Clone, Debug)]
pub(crate) struct PerKey<T>([T; 128]);

impl<T: Copy> PerKey<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self([value; 128])
    }

    pub(crate) fn get(&self, key: U7) -> T {
        let [first, ..] = &self.0;
        *self.0.get(usize::from(key.get())).unwrap_or(first)
    }

    pub(crate) fn get_mut(&mut self, key: U7) -> &mut T {
        let [first, rest @ ..] = &mut self.0;
        match key.get().checked_sub(1) {
            Some(index) => rest.get_mut(usize::from(index)).unwrap_or(first),
            None => first,
        }
    }
}

/// All notes, or all controllers.
pub(crate) fn keys() -> impl Iterator<Item = U7> {
    (0..128).map(U7::from_low_bits)
}
