//! One script played from one session to another over a bad network, judged at every arrival.

use core::time::Duration;
use std::collections::VecDeque;

use netmidi_journal::Journal;
use netmidi_message::{ChannelMessage, Message, MessageBuf, U7};
use netmidi_session::{Config, Event, JournalPolicy, Origin, Time, UndefinedCommands};
use netmidi_wire::{Command, Datagram, SeqNum};

use crate::instrument::{Instrument, Marks, Tolerance};
use crate::link::{Bursts, LinkQuality};
use crate::pair::{Pair, Side};
use crate::script::{Script, ScriptMix};
use crate::shadow::Shadow;

/// After the loss has fallen to a fifth or less, or the playing has ended, everything is equal
/// within this time (docs/journal.md).
pub const GUARD_TIME: Duration = Duration::from_secs(15);

/// What is played, and over what.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Decides everything that is not said here.
    pub seed: u64,
    /// What kind of script.
    pub mix: ScriptMix,
    /// Who gets a journal.
    pub policy: JournalPolicy,
    /// The way of the MIDI.
    pub there: LinkQuality,
    /// Bursts of loss on that way.
    pub bursts: Option<Bursts>,
    /// The way back, of the feedback.
    pub back: LinkQuality,
}

/// What came of a trial that went well.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Packets that arrived.
    pub arrivals: u64,
    /// Those of them that ended a loss.
    pub gaps: u64,
    /// Those after which something was still to come, because a journal had no room for all.
    pub unsettled: u64,
    /// Note-ons sent.
    pub notes: u64,
    /// Lost note-ons that were not played, being too old.
    pub silent: u64,
    /// Messages that put something right.
    pub repaired: u64,
    /// Packets that the sender sent with a journal that was not complete.
    pub overflow: u64,
    /// System exclusive messages sent, and those reported lost.
    pub sysex: u64,
    /// See above.
    pub sysex_lost: u64,
}

impl Outcome {
    /// Adds the numbers of another.
    pub const fn add(&mut self, other: &Self) {
        self.arrivals += other.arrivals;
        self.gaps += other.gaps;
        self.unsettled += other.unsettled;
        self.notes += other.notes;
        self.silent += other.silent;
        self.repaired += other.repaired;
        self.overflow += other.overflow;
        self.sysex += other.sysex;
        self.sysex_lost += other.sysex_lost;
    }
}

/// Changes a packet of the sender on its way.
pub type Tamper = fn(&mut Vec<u8>) -> bool;

impl Trial {
    /// Plays it. An error says what differed, when.
    ///
    /// # Errors
    /// When the receiver's instrument is not what it must be.
    pub fn run(&self, tamper: Option<Tamper>) -> Result<Outcome, String> {
        let config = || {
            let mut config = Config::new("trial");
            config.journal = self.policy;
            config.undefined = UndefinedCommands::Carry;
            config
        };
        let mut pair = Pair::joined(
            LinkQuality::default(),
            LinkQuality::default(),
            self.seed,
            config(),
            config(),
        );
        let mut stage = Stage::default();
        stage.hear(&mut pair, Duration::from_millis(500));
        if let Some(tamper) = tamper {
            pair.edit(Side::A, tamper);
        }
        pair.set_quality(Side::A, self.there);
        pair.set_bursts(Side::A, self.bursts);
        pair.set_quality(Side::B, self.back);

        let script = Script::new(&self.mix, self.seed);
        for step in &script.steps {
            stage.play(&mut pair, step.wait)?;
            for message in &step.messages {
                stage.outcome.notes += u64::from(is_note_on(&message.as_message()));
                stage.outcome.sysex += u64::from(matches!(message, MessageBuf::SysEx(_)));
                pair.send(Side::A, message.as_message())
                    .map_err(|error| error.to_string())?;
            }
        }
        // What the network does to the last packets is repaired by guards.
        for (side, quality) in [(Side::A, self.there), (Side::B, self.back)] {
            let loss = if quality.loss < 1_000_000 {
                quality.loss.min(200_000)
            } else {
                quality.loss
            };
            pair.set_quality(side, LinkQuality { loss, ..quality });
        }
        pair.set_bursts(Side::A, None);
        stage.play(&mut pair, GUARD_TIME)?;
        stage.finish(&mut pair)
    }
}

/// Both instruments, and what is known of them.
#[derive(Debug)]
struct Stage {
    receiver: Instrument,
    shadow: Shadow,
    marks: (Marks, Marks),
    /// Something is still to come, because a journal had no room for it.
    unsettled: bool,
    /// How many journals of the sender were not complete so far.
    overflow: u64,
    /// The packets on the way, and whether their journal may not be complete.
    on_the_way: VecDeque<(SeqNum, bool)>,
    outcome: Outcome,
    arrivals: u64,
    /// Print what happens: `NETMIDI_TRACE` is set.
    trace: bool,
}

impl Default for Stage {
    fn default() -> Self {
        Self {
            receiver: Instrument::new(),
            shadow: Shadow::new(),
            marks: (Marks::ZERO, Marks::ZERO),
            unsettled: false,
            overflow: 0,
            on_the_way: VecDeque::new(),
            outcome: Outcome::default(),
            arrivals: 0,
            trace: std::env::var_os("NETMIDI_TRACE").is_some(),
        }
    }
}

impl Stage {
    /// Lets the two meet, without judging.
    fn hear(&mut self, pair: &mut Pair, time: Duration) {
        let Self { receiver, .. } = self;
        pair.run_for(time, &mut |side, event| {
            if side == Side::B
                && let Event::Message { message, .. } = event
            {
                receiver.play(&message.as_message());
            }
        });
        self.follow(pair);
    }

    /// What the sender has sent.
    fn follow(&mut self, pair: &mut Pair) {
        let session = pair.session(Side::A);
        let stats = session.participant_stats(pair.participant(Side::A));
        let overflow = stats.map_or(0, |it| it.journal_overflow);
        // When several went out at once nobody can tell which of them it was.
        let incomplete = overflow > core::mem::replace(&mut self.overflow, overflow);
        for packet in pair.take_log(Side::A) {
            if let Ok(Datagram::Rtp(packet)) = Datagram::parse(&packet.octets) {
                self.on_the_way.push_back((packet.header().seq, incomplete));
            }
            if self.trace {
                println!("{} sent {}", packet.at, describe(&packet.octets));
            }
            self.shadow.feed(&packet.octets);
        }
    }

    fn play(&mut self, pair: &mut Pair, time: Duration) -> Result<(), String> {
        let until = pair.now() + time;
        loop {
            let mut gap = false;
            let mut covered = true;
            let Self {
                receiver,
                outcome,
                trace,
                ..
            } = self;
            let before = pair.newest_arrived(Side::B);
            let more = pair.step(until, &mut |side, event| {
                if side == Side::A {
                    return;
                }
                match event {
                    Event::Message {
                        message, origin, ..
                    } => {
                        outcome.repaired += u64::from(origin == Origin::Repaired);
                        if *trace {
                            println!("    {origin:?}: {message}");
                        }
                        receiver.play(&message.as_message());
                    }
                    Event::Lost {
                        covered: all,
                        packets,
                        ..
                    } => {
                        if *trace {
                            println!("    {packets} lost, covered: {all}");
                        }
                        gap = true;
                        covered = all;
                    }
                    _ => {}
                }
            });
            self.follow(pair);
            if pair.newest_arrived(Side::B) != before {
                self.arrivals += 1;
                if self.trace {
                    println!("{} arrived {:?}", pair.now(), pair.newest_arrived(Side::B));
                }
                self.judge(pair, gap, covered)?;
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// After a packet has arrived.
    fn judge(&mut self, pair: &Pair, gap: bool, covered: bool) -> Result<(), String> {
        self.outcome.arrivals += 1;
        self.outcome.gaps += u64::from(gap);
        let stats = |side| {
            let session = pair.session(side);
            session.participant_stats(pair.participant(side)).unwrap()
        };
        if gap && !covered {
            return Err(format!("{}: a loss was not covered", pair.now()));
        }
        let newest = pair.newest_arrived(Side::B).unwrap();
        while let Some((seq, incomplete)) = self.on_the_way.front().copied()
            && seq.distance_from(newest) <= 0
        {
            self.on_the_way.pop_front();
            self.unsettled |= gap && incomplete && seq == newest;
        }
        // Comparing takes time: every loss is looked at, and now and then another packet.
        if !gap && !self.unsettled && !self.arrivals.is_multiple_of(8) {
            return Ok(());
        }
        let lost = stats(Side::B).sysex_lost
            + stats(Side::B).sysex_abandoned
            + stats(Side::A).sysex_unprotected;
        let tolerance = Tolerance::REPAIRED.with_missing_sysex(lost as usize);
        let sender = self.shadow.upto(newest);
        let difference = self.receiver.difference(sender, &tolerance).or_else(|| {
            let (own, theirs) = &self.marks;
            self.receiver
                .executions_difference(own, sender, theirs, &tolerance)
        });
        match difference {
            None => {
                self.unsettled = false;
                self.marks = (self.receiver.marks(), sender.marks());
                Ok(())
            }
            Some(_) if self.unsettled => {
                self.outcome.unsettled += 1;
                match self.receiver.hanging(sender) {
                    None => Ok(()),
                    Some(what) => Err(format!("{}: {what}", at(pair.now()))),
                }
            }
            Some(what) => Err(format!(
                "{} after packet {} (gap: {gap}): {what}",
                at(pair.now()),
                newest.0
            )),
        }
    }

    fn finish(mut self, pair: &mut Pair) -> Result<Outcome, String> {
        let stats = |side| {
            let session = pair.session(side);
            session.participant_stats(pair.participant(side)).unwrap()
        };
        let received = stats(Side::B);
        self.outcome.silent = received.notes_skipped;
        self.outcome.overflow = stats(Side::A).journal_overflow;
        self.outcome.sysex_lost =
            received.sysex_lost + received.sysex_abandoned + stats(Side::A).sysex_unprotected;
        let tolerance = Tolerance::REPAIRED.with_missing_sysex(self.outcome.sysex_lost as usize);
        let sender = self.shadow.all();
        let (own, theirs) = &self.marks;
        match self.receiver.difference(sender, &tolerance).or_else(|| {
            self.receiver
                .executions_difference(own, sender, theirs, &tolerance)
        }) {
            None => Ok(self.outcome),
            Some(what) => Err(format!("after the guard time: {what}")),
        }
    }
}

/// A packet in words, for a trace.
fn describe(octets: &[u8]) -> String {
    let Ok(Datagram::Rtp(packet)) = Datagram::parse(octets) else {
        return format!("{octets:02x?}");
    };
    let Ok(section) = packet.command_section() else {
        return format!("{octets:02x?}");
    };
    let list: Vec<String> = section
        .commands()
        .filter_map(|timed| match timed.command? {
            Command::Message(message) => Some(message.to_string()),
            Command::SysEx(segment) => Some(format!("{segment:?}")),
        })
        .collect();
    let journal = section.journal().map(Journal::parse);
    let channels: Vec<_> = journal
        .iter()
        .flatten()
        .flat_map(Journal::channels)
        .collect();
    let system = journal.iter().flatten().find_map(Journal::system);
    let checkpoint = journal.iter().flatten().next().map(Journal::checkpoint);
    format!(
        "{} {list:?} journal from {checkpoint:?} {system:?} {channels:?}",
        packet.header().seq.0
    )
}

fn at(time: Time) -> String {
    time.to_string()
}

fn is_note_on(message: &Message<'_>) -> bool {
    matches!(message, Message::Channel(ChannelMessage::NoteOn { velocity, .. }) if *velocity > U7::MIN)
}
