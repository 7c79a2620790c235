//! One script played from one session to another over a bad network, judged at every arrival; or
//! two, one each way.

use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;

use netmidi_journal::Journal;
use netmidi_message::{ChannelMessage, Message, MessageBuf, RealTime, U7};
use netmidi_session::{
    Config, Event, JournalPolicy, Origin, ParticipantStats, Time, UndefinedCommands,
};
use netmidi_wire::{Command, Datagram, PacketBudget, RunningStatus, SeqNum};

use crate::instrument::{Instrument, Marks, Tolerance};
use crate::link::{Bursts, LinkQuality};
use crate::pair::{Pair, Side};
use crate::script::{Script, ScriptMix, Step};
use crate::shadow::Shadow;

/// After the loss has fallen to a fifth or less, or the playing has ended, everything is equal
/// within this time (docs/journal.md).
pub const GUARD_TIME: Duration = Duration::from_secs(6);

/// What is played, and over what.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Decides everything that is not said here.
    pub seed: u64,
    /// What kind of script the one plays.
    pub mix: ScriptMix,
    /// What the other plays at the same time, if anything.
    pub answer: Option<ScriptMix>,
    /// Who gets a journal.
    pub policy: JournalPolicy,
    /// How large packets get.
    pub budget: PacketBudget,
    /// Whether they use running status.
    pub running_status: RunningStatus,
    /// Whether journals have enhanced chapters C.
    pub enhanced: bool,
    /// Loss begins before the two have heard of each other. For [`JournalPolicy::Full`] only.
    pub strangers: bool,
    /// How long nobody plays in the middle.
    pub pause: Duration,
    /// The way of the MIDI.
    pub there: LinkQuality,
    /// Bursts of loss on that way.
    pub bursts: Option<Bursts>,
    /// The way back, of the feedback and of what the other plays.
    pub back: LinkQuality,
    /// Bursts of loss on that way.
    pub back_bursts: Option<Bursts>,
}

/// What came of a trial that went well.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Packets that arrived.
    pub arrivals: u64,
    /// Those of them that ended a loss.
    pub gaps: u64,
    /// Those of them that ended a loss with a journal that had no room for all.
    pub overflow_gaps: u64,
    /// Arrivals at which something was still to come for that reason.
    pub unsettled: u64,
    /// Note-ons sent.
    pub notes: u64,
    /// Lost note-ons that were played when the loss showed.
    pub revived: u64,
    /// Lost note-ons that were not played, being too old.
    pub silent: u64,
    /// Messages that put something right.
    pub repaired: u64,
    /// Packets that the sender sent with a journal that was not complete, arrived or not.
    pub overflow: u64,
    /// System exclusive messages sent, and those reported lost.
    pub sysex: u64,
    /// See above.
    pub sysex_lost: u64,
    /// System exclusive messages reported lost that were not, such as one that was given up half
    /// way and came whole later.
    pub sysex_found: u64,
    /// Streams whose packet numbers began again at 0.
    pub wraps: u64,
    /// The longest that it took from the last message, or from when the loss fell to a fifth, until
    /// all was equal.
    pub slowest: Duration,
}

impl Outcome {
    /// Adds the numbers of another.
    pub fn add(&mut self, other: &Self) {
        self.arrivals += other.arrivals;
        self.gaps += other.gaps;
        self.overflow_gaps += other.overflow_gaps;
        self.unsettled += other.unsettled;
        self.notes += other.notes;
        self.revived += other.revived;
        self.silent += other.silent;
        self.repaired += other.repaired;
        self.overflow += other.overflow;
        self.sysex += other.sysex;
        self.sysex_lost += other.sysex_lost;
        self.sysex_found += other.sysex_found;
        self.wraps += other.wraps;
        self.slowest = self.slowest.max(other.slowest);
    }
}

/// A trial that did not go well.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// When it showed.
    pub at: Time,
    /// Who played what went wrong.
    pub from: Side,
    /// How many losses had ended by then, that one included.
    pub losses: u64,
    /// What differed.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            at,
            from,
            losses,
            what,
        } = self;
        write!(f, "{at}, played by {from:?}, loss {losses}: {what}")
    }
}

/// Changes a packet of the first side on its way; false drops it.
pub type Tamper = Box<dyn FnMut(&mut Vec<u8>) -> bool>;

impl Trial {
    /// One way, whole journals, nothing lost: change what matters.
    #[must_use]
    pub fn new(seed: u64, mix: ScriptMix) -> Self {
        Self {
            seed,
            mix,
            answer: None,
            policy: JournalPolicy::Full,
            budget: PacketBudget::DEFAULT,
            running_status: RunningStatus::default(),
            enhanced: false,
            strangers: false,
            pause: Duration::ZERO,
            there: LinkQuality::default(),
            bursts: None,
            back: LinkQuality::default(),
            back_bursts: None,
        }
    }

    /// Plays it. An error says what differed, when.
    ///
    /// # Errors
    /// When a receiver's instrument is not what it must be.
    pub fn run(&self, tamper: Option<Tamper>) -> Result<Outcome, Failure> {
        let script = Script::new(&self.mix, self.seed);
        self.perform(&script, tamper)
    }

    /// Plays this script instead of one of the mix.
    ///
    /// # Errors
    /// When a receiver's instrument is not what it must be.
    pub fn perform(&self, script: &Script, tamper: Option<Tamper>) -> Result<Outcome, Failure> {
        let mut pair = self.pair();
        let mut ears = Side::BOTH.map(Ear::new);
        if self.strangers {
            self.spoil(&mut pair);
        } else {
            run(&mut pair, &mut ears, Duration::from_millis(500))?;
        }
        if let Some(tamper) = tamper {
            pair.edit(Side::A, tamper);
        }
        self.spoil(&mut pair);
        let answer = self.answer.map(|mix| Script::new(&mix, !self.seed));
        for (wait, side, step) in self.both(script, answer.as_ref()) {
            run(&mut pair, &mut ears, wait)?;
            let [a, b] = &mut ears;
            let ear = if side == Side::A { a } else { b };
            if step.lost {
                pair.lose_next(side, 1);
            }
            for message in &step.messages {
                let message = message.as_message();
                ear.outcome.notes += u64::from(is_note_on(&message));
                ear.outcome.sysex += u64::from(matches!(message, Message::SysEx(_)));
                pair.send(side, message)
                    .map_err(|error| ear.failure(&pair, error.to_string()))?;
            }
        }
        // What the network does to the last packets is repaired by guards.
        for (side, quality) in [(Side::A, self.there), (Side::B, self.back)] {
            let loss = quality.loss.min(200_000);
            pair.set_quality(side, LinkQuality { loss, ..quality });
            pair.set_bursts(side, None);
        }
        let end = pair.now();
        ears.iter_mut().for_each(|ear| ear.ended = Some(end));
        run(&mut pair, &mut ears, GUARD_TIME)?;
        let mut outcome = Outcome::default();
        for ear in ears {
            outcome.add(&ear.finish(&pair)?);
        }
        Ok(outcome)
    }

    fn pair(&self) -> Pair {
        let config = || {
            let mut config = Config::new("trial");
            config.journal = self.policy;
            config.undefined = UndefinedCommands::Carry;
            config.packet_budget = self.budget;
            config.running_status = self.running_status;
            config.enhanced_controllers = self.enhanced;
            config
        };
        let perfect = LinkQuality::default();
        Pair::joined(perfect, perfect, self.seed, config(), config())
    }

    fn spoil(&self, pair: &mut Pair) {
        pair.set_quality(Side::A, self.there);
        pair.set_bursts(Side::A, self.bursts);
        pair.set_quality(Side::B, self.back);
        pair.set_bursts(Side::B, self.back_bursts);
    }

    /// Who plays what, and how long after what was played before.
    fn both<'a>(
        &self,
        script: &'a Script,
        answer: Option<&'a Script>,
    ) -> Vec<(Duration, Side, &'a Step)> {
        let mut steps = Vec::new();
        for (side, script) in [(Side::A, Some(script)), (Side::B, answer)] {
            let mut at = Duration::ZERO;
            let script = script.map_or(&[][..], |it| &it.steps);
            for (index, step) in script.iter().enumerate() {
                at += step.wait;
                if index == script.len() / 2 {
                    at += self.pause;
                }
                steps.push((at, side, step));
            }
        }
        steps.sort_by_key(|(at, side, _)| (*at, *side));
        let mut last = Duration::ZERO;
        for (at, ..) in &mut steps {
            let wait = *at - last;
            last = core::mem::replace(at, wait);
        }
        steps
    }
}

/// Lets time pass, and judges every packet that arrives.
fn run(pair: &mut Pair, ears: &mut [Ear; 2], time: Duration) -> Result<(), Failure> {
    let until = pair.now() + time;
    loop {
        let more = pair.step(until, &mut |side, event| {
            let [of_a, of_b] = &mut *ears;
            match side {
                Side::A => of_b.hear(event),
                Side::B => of_a.hear(event),
            }
        });
        for ear in &mut *ears {
            ear.step(pair)?;
        }
        if !more {
            return Ok(());
        }
    }
}

/// One direction: the instrument of its receiver, and what is known of its sender's.
#[derive(Debug)]
struct Ear {
    from: Side,
    receiver: Instrument,
    shadow: Shadow,
    agreed: Agreed,
    /// The number of the last packet that arrived.
    newest: Option<SeqNum>,
    /// Something is still to come, because a journal had no room for it.
    unsettled: bool,
    /// The packets on the way, and whether their journal is not complete.
    on_the_way: VecDeque<(SeqNum, bool)>,
    /// The last packet with commands.
    last_commands: Option<SeqNum>,
    /// When the playing ended.
    ended: Option<Time>,
    outcome: Outcome,
    /// What the events since the last arrival said.
    heard: Heard,
    /// How many FE a receiver knows of that follows chapter V.
    active_sense: u32,
    /// Print what happens: `NETMIDI_TRACE` is set.
    trace: bool,
}

/// How things stood when receiver and sender were last found to agree.
#[derive(Debug)]
struct Agreed {
    own: Marks,
    theirs: Marks,
    /// How many messages the sender had sent.
    messages: u64,
    /// How many note-ons had been skipped.
    skipped: u64,
    own_resets: u32,
    /// Journals since then had no room for all.
    overflow: bool,
    /// How often each note sounded less than at the sender: by channel and note.
    missing: Vec<u32>,
}

#[derive(Debug, Default)]
struct Heard {
    /// Packets that were reported lost.
    lost: Option<u32>,
    uncovered: bool,
    active_sense: u32,
}

impl Ear {
    fn new(from: Side) -> Self {
        Self {
            from,
            receiver: Instrument::new(),
            shadow: Shadow::new(),
            agreed: Agreed {
                own: Marks::ZERO,
                theirs: Marks::ZERO,
                messages: 0,
                skipped: 0,
                own_resets: 0,
                overflow: false,
                missing: vec![0; 16 * 128],
            },
            newest: None,
            unsettled: false,
            on_the_way: VecDeque::new(),
            last_commands: None,
            ended: None,
            outcome: Outcome::default(),
            heard: Heard::default(),
            active_sense: 0,
            trace: std::env::var_os("NETMIDI_TRACE").is_some(),
        }
    }

    fn failure(&self, pair: &Pair, what: impl Into<String>) -> Failure {
        Failure {
            at: pair.now(),
            from: self.from,
            losses: self.outcome.gaps,
            what: what.into(),
        }
    }

    /// What the receiver says.
    fn hear(&mut self, event: Event) {
        match event {
            Event::Message {
                message, origin, ..
            } => {
                if self.trace {
                    println!("    from {:?}, {origin:?}: {message}", self.from);
                }
                let repaired = origin == Origin::Repaired;
                self.outcome.repaired += u64::from(repaired);
                self.outcome.revived += u64::from(repaired && is_note_on(&message.as_message()));
                let is_sense = matches!(message, MessageBuf::RealTime(RealTime::ActiveSensing));
                self.heard.active_sense += u32::from(is_sense);
                self.receiver.play(&message.as_message());
            }
            Event::Lost {
                covered, packets, ..
            } => {
                if self.trace {
                    println!(
                        "    from {:?}: {packets} lost, covered: {covered}",
                        self.from
                    );
                }
                self.heard.lost = Some(packets);
                self.heard.uncovered = !covered;
            }
            _ => {}
        }
    }

    /// What the sender has sent.
    fn follow(&mut self, pair: &mut Pair) {
        for packet in pair.take_log(self.from) {
            let Ok(Datagram::Rtp(rtp)) = Datagram::parse(&packet.octets) else {
                continue;
            };
            let seq = rtp.header().seq;
            self.on_the_way.push_back((seq, packet.overflow));
            let section = rtp.command_section();
            if section.is_ok_and(|it| it.commands().next().is_some()) {
                self.last_commands = Some(seq);
            }
            if self.trace {
                let what = describe(&packet.octets);
                println!("{} {:?} sent {what}", packet.at, self.from);
            }
            self.outcome.wraps += u64::from(seq == SeqNum(0));
            self.shadow.feed(&packet.octets);
        }
    }

    fn step(&mut self, pair: &mut Pair) -> Result<(), Failure> {
        self.follow(pair);
        let newest = pair.newest_arrived(self.from.other());
        let heard = core::mem::take(&mut self.heard);
        if let Some(newest) = newest
            && self.newest != Some(newest)
        {
            let before = self.newest.replace(newest);
            let gap = before.is_none_or(|it| newest.distance_from(it) > 1);
            if self.trace {
                let (now, from) = (pair.now(), self.from);
                println!("{now} from {from:?} arrived {}", newest.0);
            }
            let missing = before.map_or(0, |it| newest.distance_from(it) - 1);
            let reported = heard.lost.unwrap_or(0);
            if i64::from(reported) != i64::from(missing) {
                let what = format!("{reported} packets reported lost, {missing} are missing");
                return Err(self.failure(pair, what));
            }
            self.outcome.gaps += u64::from(missing > 0);
            self.judge(pair, newest, gap, &heard)?;
        }
        Ok(())
    }

    fn stats(&self, pair: &Pair) -> [ParticipantStats; 2] {
        [self.from, self.from.other()].map(|side| {
            let session = pair.session(side);
            session.participant_stats(pair.participant(side)).unwrap()
        })
    }

    /// After a packet has arrived that is newer than all before it.
    fn judge(
        &mut self,
        pair: &Pair,
        newest: SeqNum,
        gap: bool,
        heard: &Heard,
    ) -> Result<(), Failure> {
        self.outcome.arrivals += 1;
        let mut complete = true;
        while let Some((seq, overflow)) = self.on_the_way.front().copied()
            && seq.distance_from(newest) <= 0
        {
            self.on_the_way.pop_front();
            complete = !overflow;
        }
        self.outcome.overflow_gaps += u64::from(gap && !complete);
        // What a journal left out comes with the next one that is complete.
        let may_lack = (gap || self.unsettled) && !complete;
        if (gap || self.unsettled)
            && let Some(count) = active_sense_logged(pair.newest_packet(self.from.other()))
        {
            self.active_sense = count;
        }
        self.active_sense += heard.active_sense;
        self.unsettled |= may_lack;
        self.agreed.overflow |= may_lack;
        // Comparing takes time: every loss is looked at, and now and then another packet.
        let due = self.outcome.arrivals.is_multiple_of(8) || self.ended.is_some();
        if !gap && !self.unsettled && !due {
            return Ok(());
        }
        match self.difference(pair, newest) {
            None => self.unsettled = false,
            Some(_) if may_lack => {
                self.outcome.unsettled += 1;
                if let Some(what) = self.receiver.hanging(self.shadow.instrument()) {
                    return Err(self.failure(pair, what));
                }
            }
            Some(what) => {
                let what = format!("after packet {} (gap: {gap}): {what}", newest.0);
                return Err(self.failure(pair, what));
            }
        }
        if heard.uncovered {
            return Err(self.failure(pair, "a loss was not covered"));
        }
        self.note_end(pair, newest);
        Ok(())
    }

    /// Whether all has been equal since this moment.
    fn note_end(&mut self, pair: &Pair, newest: SeqNum) {
        let Some(ended) = self.ended else {
            return;
        };
        let whole = self
            .last_commands
            .is_none_or(|it| newest.distance_from(it) >= 0);
        if self.unsettled || !whole {
            self.outcome.slowest = Duration::MAX;
        } else {
            let since = pair.now().since(ended);
            self.outcome.slowest = match self.outcome.slowest {
                Duration::MAX => since,
                before => before,
            };
        }
    }

    /// What is not equal; if nothing is, that is noted.
    fn difference(&mut self, pair: &Pair, newest: SeqNum) -> Option<String> {
        let [sent, stats] = self.stats(pair);
        // Either side counts those that nobody can bring back.
        let lost = stats.sysex_lost + stats.sysex_abandoned + sent.sysex_unprotected;
        let tolerance = Tolerance::REPAIRED.with_missing_sysex(lost as usize);
        self.shadow.upto(newest);
        let sender = self.shadow.instrument();
        let agreed = &self.agreed;
        self.receiver
            .difference(sender, &tolerance)
            .or_else(|| {
                let (own, theirs) = (&agreed.own, &agreed.theirs);
                self.receiver
                    .executions_difference(own, sender, theirs, &tolerance)
            })
            .or_else(|| self.active_sense_difference())
            .or_else(|| self.agree_on_notes(stats.notes_skipped))
    }

    fn active_sense_difference(&self) -> Option<String> {
        // No journal tells of those before a reset.
        let reset = self.shadow.instrument().resets() > 0;
        let (own, theirs) = (self.active_sense, self.shadow.active_sense());
        let differs = !reset && own % 128 != theirs % 128;
        differs.then(|| format!("active sensing (FE): counted {own} times, at the sender {theirs}"))
    }

    /// A note that is missing here was lost, and counted as too old to be played. Otherwise notes
    /// how things stand.
    fn agree_on_notes(&mut self, skipped: u64) -> Option<String> {
        let sender = self.shadow.instrument();
        let mut missing = vec![0; 16 * 128];
        let mut more = 0;
        let mut which = Vec::new();
        for (channel, note, times, untold) in self.receiver.missing_notes(sender) {
            let index = channel * 128 + note;
            missing[index] = times;
            let new = times.saturating_sub(self.agreed.missing[index]);
            if new > 0 && !untold {
                more += u64::from(new);
                which.push((channel, note));
            }
            let touched = self.shadow.note_touched(channel, note) > self.agreed.messages;
            let was_reset = self.receiver.resets() != self.agreed.own_resets;
            // Without room for chapter E a journal has no more than one of those that are stacked.
            let cut = untold && self.agreed.overflow;
            if new > 0 && !touched && !was_reset && !cut {
                return Some(format!(
                    "channel {channel}: note {note} sounded, nothing was sent for it, and it is \
                     silent"
                ));
            }
        }
        let may = skipped - self.agreed.skipped;
        if more > may {
            return Some(format!(
                "{more} notes are silent since the last comparison, and {may} were too late: \
                 {which:?} (channel, note)"
            ));
        }
        self.agreed = Agreed {
            own: self.receiver.marks(),
            theirs: sender.marks(),
            messages: self.shadow.messages(),
            skipped,
            own_resets: self.receiver.resets(),
            overflow: false,
            missing,
        };
        None
    }

    fn finish(mut self, pair: &Pair) -> Result<Outcome, Failure> {
        let [sent, received] = self.stats(pair);
        self.outcome.silent = received.notes_skipped;
        self.outcome.overflow = sent.journal_overflow;
        self.outcome.sysex_lost =
            received.sysex_lost + received.sysex_abandoned + sent.sysex_unprotected;
        self.shadow.all();
        if let Some(newest) = self.shadow.newest()
            && let Some(what) = self.difference(pair, newest)
        {
            return Err(self.failure(pair, format!("after the guard time: {what}")));
        }
        if self.unsettled {
            return Err(self.failure(pair, "not settled after the guard time"));
        }
        if self.outcome.slowest == Duration::MAX {
            // The last packets had nothing in them that a guard would be sent for.
            self.outcome.slowest = Duration::ZERO;
        }
        let missing = self.receiver.missing_sysex(self.shadow.instrument()) as u64;
        self.outcome.sysex_found = self.outcome.sysex_lost.saturating_sub(missing);
        Ok(self.outcome)
    }
}

/// What chapter V of a packet says.
fn active_sense_logged(octets: &[u8]) -> Option<u32> {
    let Ok(Datagram::Rtp(packet)) = Datagram::parse(octets) else {
        return None;
    };
    let journal = packet.command_section().ok()?.journal()?;
    let chapter = Journal::parse(journal).ok()?.system()?.active_sense?;
    Some(chapter.count.get().into())
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

fn is_note_on(message: &Message<'_>) -> bool {
    matches!(message, Message::Channel(ChannelMessage::NoteOn { velocity, .. }) if *velocity > U7::MIN)
}
