//! One sender's packets, followed as its receiver follows them: what was lost, what the journal put
//! right, what is left down.

use std::collections::BTreeMap;
use std::time::Duration;

use netmidi_journal::{Arrival, Joined, Repairer, RepairerConfig, Salvaged};
use netmidi_message::{Channel, ChannelMessage, Controller, Message, Note, Octave, Sounding};
use netmidi_wire::{Command, CommandSection, RtpTimestamp, SegmentKind, SeqNum, Ssrc};

use super::super::packet::Rtp;
use super::journal_watch::{Ended, JournalWatch, ends};
use super::moment::{Moment, Times};
use super::rules::{Rule, Violations};
use super::sequence::{Place, Sequence};

/// Losses that are told one by one; of more only the sum.
pub(super) const MAX_LOSSES: usize = 32;
/// Repairing messages that are told of one loss.
const MAX_TOLD: usize = 4;

/// A message that a receiver of the stream plays.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard<'a> {
    /// Of which session; the number of its report.
    pub(crate) session: u64,
    /// Of which stream.
    pub(crate) ssrc: Ssrc,
    /// When its packet was captured, since the first frame.
    pub(crate) captured: Option<Duration>,
    /// When it is to be played, on the sender's clock.
    pub(crate) timestamp: RtpTimestamp,
    pub(crate) message: Message<'a>,
    /// It puts right what a lost packet did.
    pub(crate) repaired: bool,
}

/// Why lost packets could not be repaired.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Cover {
    Whole,
    NoJournal,
    Damaged(String),
    /// The journal begins with this packet.
    TooNew(SeqNum),
}

/// Packets that did not come.
#[derive(Clone, Debug)]
pub(super) struct Loss {
    /// The first of them.
    pub(super) first: SeqNum,
    pub(super) packets: u16,
    /// Those of them that came late.
    pub(super) late: Vec<SeqNum>,
    /// The packet behind them.
    pub(super) next: SeqNum,
    pub(super) moment: Moment,
    pub(super) cover: Cover,
    pub(super) repaired: u64,
    pub(super) messages: Vec<String>,
    pub(super) notes_skipped: u32,
    pub(super) sysex_lost: u32,
}

impl Loss {
    /// How many never came.
    pub(super) fn missing(&self) -> usize {
        usize::from(self.packets).saturating_sub(self.late.len())
    }

    fn holds(&self, seq: SeqNum) -> bool {
        (0..i32::from(self.packets)).contains(&i32::from(seq.distance_from(self.first)))
    }
}

/// Something that happens often: how often, and the first time.
#[derive(Clone, Debug, Default)]
pub(super) struct Often {
    pub(super) count: u64,
    pub(super) first: Option<(Moment, SeqNum)>,
}

impl Often {
    fn note(&mut self, moment: Moment, seq: SeqNum) {
        self.count += 1;
        self.first.get_or_insert((moment, seq));
    }
}

/// A key or pedal that is down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Down {
    pub(super) channel: Channel,
    pub(super) what: Key,
    pub(super) since: Option<Moment>,
    /// The loss, not repaired, in which it may have been let go.
    pub(super) suspect: Option<Suspect>,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Key {
    Note(u8),
    Pedal(u8),
}

/// Packets that were lost and not repaired.
#[derive(Clone, Copy, Debug)]
pub(super) struct Suspect {
    /// How many; 0 where nobody knows.
    pub(super) packets: u16,
    pub(super) moment: Moment,
}

/// RFC 3550 §6.4.1: how unevenly packets come, compared with their timestamps.
#[derive(Debug, Default)]
pub(super) struct Jitter {
    /// Arrival and timestamp of the packet before.
    last: Option<(Duration, RtpTimestamp)>,
    /// In µs.
    value: f64,
    pub(super) times: Times,
}

impl Jitter {
    fn note(&mut self, at: Option<Duration>, timestamp: RtpTimestamp) {
        let Some(at) = at else { return };
        if let Some((before, stamp)) = self.last.replace((at, timestamp)) {
            let passed = at.as_secs_f64() - before.as_secs_f64();
            let played = f64::from(timestamp.distance_from(stamp)) * 1e-4;
            self.value += ((passed - played).abs() * 1e6 - self.value) / 16.0;
            self.times
                .note(Duration::from_secs_f64(self.value.max(0.0) * 1e-6));
        }
    }
}

/// What a packet meets.
pub(super) struct Around<'a> {
    pub(super) moment: Moment,
    pub(super) session: u64,
    /// Who sends, 0 or 1.
    pub(super) side: usize,
    /// The newest number from the other side.
    pub(super) peer_highest: Option<SeqNum>,
    /// The receiver has shown that it takes any journal.
    pub(super) trusted: bool,
    /// The session is seen from its invitation on.
    pub(super) whole: bool,
    pub(super) violations: &'a mut Violations,
    pub(super) sink: &'a mut dyn FnMut(Heard<'_>),
}

/// One stream: the packets of one SSRC.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) ssrc: Ssrc,
    pub(super) side: usize,
    pub(super) packets: u64,
    pub(super) octets: u64,
    pub(super) messages: u64,
    /// Handed out by the journals after losses.
    pub(super) repaired: u64,
    pub(super) journals: u64,
    pub(super) losses: Vec<Loss>,
    /// Losses and packets beyond those.
    pub(super) beyond: (u64, u64),
    /// Packets before the first one in the capture that its journal tells of.
    pub(super) before: Option<Loss>,
    pub(super) late: Often,
    pub(super) twice: Often,
    pub(super) jitter: Jitter,
    pub(super) watch: JournalWatch,
    sequence: Sequence,
    repairer: Repairer,
    sounding: Sounding,
    since: BTreeMap<(u8, Key), (Moment, Option<Suspect>)>,
    /// A packet came that could not be read: the next one follows a hole.
    unread: bool,
    /// The loss at the end that no journal has spoken of yet.
    unrepaired: Option<(SeqNum, u16)>,
}

impl Stream {
    pub(super) fn new(ssrc: Ssrc, side: usize) -> Self {
        Self {
            ssrc,
            side,
            packets: 0,
            octets: 0,
            messages: 0,
            repaired: 0,
            journals: 0,
            losses: Vec::new(),
            beyond: (0, 0),
            before: None,
            late: Often::default(),
            twice: Often::default(),
            jitter: Jitter::default(),
            watch: JournalWatch::default(),
            sequence: Sequence::default(),
            repairer: Repairer::new(RepairerConfig::default()),
            sounding: Sounding::new(),
            since: BTreeMap::new(),
            unread: false,
            unrepaired: None,
        }
    }

    /// The highest number so far.
    pub(super) fn highest(&self) -> Option<SeqNum> {
        self.sequence.highest().map(|(seq, _)| seq)
    }

    /// A packet came that cannot be read beyond its RTP header.
    pub(super) fn unreadable(&mut self, seq: SeqNum, at: RtpTimestamp, octets: usize) {
        self.packets += 1;
        self.octets += octets as u64;
        self.sequence.observe(seq, at);
        self.watch.lose();
        self.unread = true;
    }

    /// A packet came.
    pub(super) fn packet(
        &mut self,
        rtp: &Rtp<'_>,
        section: &CommandSection<'_>,
        octets: usize,
        around: &mut Around<'_>,
    ) {
        let header = rtp.packet.header();
        let (seq, at, moment) = (header.seq, header.timestamp, around.moment);
        self.packets += 1;
        self.octets += octets as u64;
        let before = self.sequence.highest();
        let place = self.sequence.observe(seq, at);
        self.judge_order(place, before, rtp, around);
        let arrival = match place {
            Place::First => Arrival::First,
            Place::InOrder | Place::Stuck if self.unread => Arrival::Gap,
            Place::InOrder | Place::Stuck => Arrival::InOrder,
            Place::Gap(_) if is_of_peer(seq, section, around) => Arrival::InOrder,
            Place::Gap(packets) => {
                self.lose(before, packets, seq, moment);
                Arrival::Gap
            }
            Place::Jump => Arrival::Restarted,
            Place::FellBack if section.has_journal() => Arrival::Restarted,
            Place::FellBack => Arrival::InOrder,
            Place::Late => return self.come_late(seq, section, around),
            Place::Twice | Place::HeldBack => return,
        };
        self.unread = false;
        self.jitter.note(moment.at, at);
        match arrival {
            Arrival::InOrder => self.watch.begin(),
            _ => self.watch.lose(),
        }
        let salvaged = rtp.journal.as_ref().and_then(|it| it.as_ref().ok());
        self.judge_journal(rtp, salvaged, around);
        self.repairer.begin(seq, at, arrival);
        if self.repairer.needs_repair() {
            self.repair(arrival, rtp, section, around);
        }
        for timed in section.commands() {
            let Some(command) = timed.command else {
                continue;
            };
            match command {
                Command::Message(message) => {
                    self.messages += 1;
                    self.repairer.observe(timed.timestamp, message);
                    self.watch.observe(seq, &message);
                    self.state(&message, moment);
                    if is_undefined(&message) {
                        around
                            .violations
                            .note(around.side, Rule::Undefined, moment, || {
                                format!("packet {seq} holds the undefined command {message}")
                            });
                    }
                    around.hear(self.ssrc, timed.timestamp, message, false);
                }
                Command::SysEx(segment) => {
                    if segment.kind() != SegmentKind::Middle {
                        self.watch.lose();
                    }
                    let (joined, _) = self.repairer.join(segment);
                    if let Joined::Whole(sysex) = joined {
                        self.messages += 1;
                        let message = Message::from(sysex);
                        around.hear(self.ssrc, timed.timestamp, message, false);
                    }
                }
            }
        }
    }

    /// What is down at the end, as the sender left it.
    pub(super) fn down(&self) -> Vec<Down> {
        let down = |message: ChannelMessage| {
            let channel = message.channel();
            let what = match message {
                ChannelMessage::NoteOff { note, .. } => Key::Note(note.get()),
                ChannelMessage::ControlChange { control, .. } => Key::Pedal(control.get()),
                _ => return None,
            };
            let known = self.since.get(&(channel.index(), what)).copied();
            Some(Down {
                channel,
                what,
                since: known.map(|it| it.0),
                suspect: known.and_then(|it| it.1),
            })
        };
        self.sounding.releases().filter_map(down).collect()
    }

    /// What is wrong with numbers and times.
    fn judge_order(
        &mut self,
        place: Place,
        before: Option<(SeqNum, RtpTimestamp)>,
        rtp: &Rtp<'_>,
        around: &mut Around<'_>,
    ) {
        let header = rtp.packet.header();
        let (seq, side, moment) = (header.seq, around.side, around.moment);
        let Some((highest, timestamp)) = before else {
            return;
        };
        let mut note = |rule, what: &dyn Fn() -> String| {
            around.violations.note(side, rule, moment, what);
        };
        match place {
            Place::Jump => note(Rule::SequenceJump, &|| {
                format!("its sequence numbers jump from {highest} to {seq}")
            }),
            Place::FellBack => note(Rule::SequenceBack, &|| {
                format!("its sequence numbers fall back from {highest} to {seq}")
            }),
            Place::Stuck => note(Rule::SequenceStuck, &|| {
                format!("two different packets have the sequence number {seq}")
            }),
            Place::Late => self.late.note(moment, seq),
            Place::Twice => self.twice.note(moment, seq),
            Place::InOrder | Place::Gap(_) if header.timestamp.distance_from(timestamp) < 0 => {
                let back = timestamp.distance_from(header.timestamp);
                note(Rule::TimestampBack, &|| {
                    let ms = f64::from(back) / 10.0;
                    format!("the time stamp of packet {seq} is {ms} ms before that of {highest}")
                });
            }
            _ => {}
        }
    }

    fn judge_journal(
        &mut self,
        rtp: &Rtp<'_>,
        salvaged: Option<&Salvaged<'_>>,
        around: &mut Around<'_>,
    ) {
        let (side, moment) = (around.side, around.moment);
        let seq = rtp.packet.header().seq;
        let Some(result) = &rtp.journal else {
            return;
        };
        self.journals += 1;
        let fault = match result {
            Err(error) => Some(*error),
            Ok(salvaged) => salvaged.damage,
        };
        if let Some(error) = fault {
            let rule = Rule::DamagedJournal(error);
            around.violations.note(side, rule, moment, || {
                format!("the journal of packet {seq} is damaged: {error}")
            });
        }
        let Some(salvaged) = salvaged else { return };
        let journal = &salvaged.journal;
        let surplus = journal.surplus().len()
            + journal.system().map_or(0, |it| it.surplus().len())
            + journal
                .channels()
                .map(|it| it.surplus().len())
                .sum::<usize>();
        if fault.is_none() && surplus > 0 {
            around
                .violations
                .note(side, Rule::JournalSurplus, moment, || {
                    format!("{surplus} octets in the journal of packet {seq} belong to nothing")
                });
        }
        let checkpoint = journal.checkpoint();
        let ahead = checkpoint.distance_from(seq);
        if ahead > 0 || ahead == 0 && !journal.is_empty() {
            around
                .violations
                .note(side, Rule::CheckpointAhead, moment, || {
                    format!(
                        "the journal of packet {seq} begins with packet {checkpoint}, which is not \
                     before it"
                    )
                });
        }
        // Whoever reports nothing is no measure.
        if let Some(acknowledged) = self.watch.acknowledged()
            && around.whole
            && !journal.is_empty()
            && ahead < 0
            && checkpoint.distance_from(acknowledged) > 1
            && seq.distance_from(acknowledged) < 512
        {
            around.violations.note(side, Rule::Trimmed, moment, || {
                format!(
                    "the journal of packet {seq} begins with packet {checkpoint}, but its \
                     receiver has only reported up to {acknowledged}"
                )
            });
        }
        let octets = rtp.section.ok().and_then(|it| it.journal());
        let octets = octets.map_or(0, <[u8]>::len);
        if let Some((rule, what)) = self.watch.check(seq, salvaged, octets, around.trusted) {
            around.violations.note(side, rule, moment, || what);
        }
    }

    /// Packets are missing.
    fn lose(
        &mut self,
        before: Option<(SeqNum, RtpTimestamp)>,
        packets: u16,
        next: SeqNum,
        moment: Moment,
    ) {
        let first = before.map_or(next, |(highest, _)| highest.next());
        self.unrepaired = Some((first, packets));
        if self.losses.len() < MAX_LOSSES {
            self.losses.push(Loss {
                first,
                packets,
                late: Vec::new(),
                next,
                moment,
                cover: Cover::Whole,
                repaired: 0,
                messages: Vec::new(),
                notes_skipped: 0,
                sysex_lost: 0,
            });
        } else {
            self.beyond.0 += 1;
            self.beyond.1 += u64::from(packets);
        }
    }

    /// Puts right what the packets before this one did.
    fn repair(
        &mut self,
        arrival: Arrival,
        rtp: &Rtp<'_>,
        section: &CommandSection<'_>,
        around: &mut Around<'_>,
    ) {
        let header = rtp.packet.header();
        let moment = around.moment;
        let salvaged = rtp.journal.as_ref().and_then(|it| it.as_ref().ok());
        let journal = salvaged.map(|it| &it.journal);
        let mut messages = Vec::new();
        let repair = self.repairer.repair(salvaged, section, &mut |message| {
            messages.push(message.to_buf())
        });
        let cover = match (&rtp.journal, journal) {
            _ if !repair.uncovered => Cover::Whole,
            (Some(Err(error)), _) => Cover::Damaged(error.to_string()),
            (
                Some(Ok(Salvaged {
                    damage: Some(error),
                    ..
                })),
                _,
            ) => Cover::Damaged(error.to_string()),
            (_, Some(journal)) => Cover::TooNew(journal.checkpoint()),
            _ => Cover::NoJournal,
        };
        if cover != Cover::Whole && arrival != Arrival::First {
            self.suspect(moment, header.seq);
        }
        let mut told: Vec<String> = Vec::new();
        let mut put_right = 0;
        for message in &messages {
            let message = message.as_message();
            around.hear(self.ssrc, header.timestamp, message, true);
            // What the journal does not say a careful receiver only assumes.
            let assumed = cover != Cover::Whole
                && released(&message).is_some_and(|(channel, it)| !ends(journal, channel, it));
            if assumed {
                continue;
            }
            put_right += 1;
            if told.len() < MAX_TOLD {
                told.push(message.to_string());
            }
            self.state(&message, moment);
        }
        if journal.is_some() {
            self.unrepaired = None;
        }
        if arrival == Arrival::First {
            self.begin_late(
                journal.map(|it| (it.checkpoint(), it.is_empty())),
                rtp,
                around,
                told,
                put_right,
            );
            return;
        }
        self.repaired += put_right;
        // A repair that goes on belongs to the loss that it began with.
        let index = self.losses.len().checked_sub(1);
        let Some(loss) = index.and_then(|index| self.losses.get_mut(index)) else {
            return;
        };
        if self.beyond.0 > 0 {
            return;
        }
        if loss.next == header.seq {
            loss.cover = cover;
        }
        loss.repaired += put_right;
        loss.notes_skipped += repair.notes_skipped;
        loss.sysex_lost += repair.sysex_lost;
        let room = MAX_TOLD.saturating_sub(loss.messages.len());
        loss.messages.extend(told.into_iter().take(room));
    }

    /// The first packet of a session that is seen from its invitation on has a past.
    fn begin_late(
        &mut self,
        journal: Option<(SeqNum, bool)>,
        rtp: &Rtp<'_>,
        around: &Around<'_>,
        messages: Vec<String>,
        repaired: u64,
    ) {
        let seq = rtp.packet.header().seq;
        let Some((checkpoint, false)) = journal else {
            return;
        };
        let back = seq.distance_from(checkpoint);
        if around.whole && back > 0 {
            self.repaired += repaired;
            self.before = Some(Loss {
                first: checkpoint,
                packets: back.unsigned_abs(),
                late: Vec::new(),
                next: seq,
                moment: around.moment,
                cover: Cover::Whole,
                repaired,
                messages,
                notes_skipped: 0,
                sysex_lost: 0,
            });
        }
    }

    /// What is down now may have been let go in packets that were lost for good.
    fn suspect(&mut self, moment: Moment, seq: SeqNum) {
        let packets = match self.losses.last() {
            Some(loss) if self.beyond.0 == 0 && loss.next == seq => loss.packets,
            _ => 0,
        };
        for down in self.down() {
            if let Some((_, suspect)) = self.since.get_mut(&(down.channel.index(), down.what)) {
                suspect.get_or_insert(Suspect { packets, moment });
            }
        }
    }

    /// A packet that was missing comes after all.
    fn come_late(&mut self, seq: SeqNum, section: &CommandSection<'_>, around: &mut Around<'_>) {
        match self.losses.iter_mut().rev().find(|loss| loss.holds(seq)) {
            Some(loss) => loss.late.push(seq),
            None => self.beyond.1 = self.beyond.1.saturating_sub(1),
        }
        let unrepaired = self.unrepaired.is_some_and(|(first, packets)| {
            (0..i32::from(packets)).contains(&i32::from(seq.distance_from(first)))
        });
        if self.journals > 0 && !unrepaired {
            return;
        }
        // Nothing has put it right: what newer packets have not overtaken is played.
        for timed in section.commands() {
            let Some(Command::Message(message)) = timed.command else {
                continue;
            };
            if self.repairer.late(seq, timed.timestamp, message) {
                self.messages += 1;
                self.state(&message, around.moment);
                around.hear(self.ssrc, timed.timestamp, message, false);
            }
        }
    }

    /// A message has its effect on what is down.
    fn state(&mut self, message: &Message<'_>, moment: Moment) {
        if Sounding::begins(message)
            && let Message::Channel(message) = message
        {
            let key = match *message {
                ChannelMessage::NoteOn { note, .. } => Key::Note(note.get()),
                ChannelMessage::ControlChange { control, .. } => Key::Pedal(control.get()),
                _ => return,
            };
            self.since
                .insert((message.channel().index(), key), (moment, None));
        }
        self.sounding.observe(message);
    }
}

impl Around<'_> {
    fn hear(&mut self, ssrc: Ssrc, timestamp: RtpTimestamp, message: Message<'_>, repaired: bool) {
        (self.sink)(Heard {
            session: self.session,
            ssrc,
            captured: self.moment.at,
            timestamp,
            message,
            repaired,
        });
    }
}

/// Whether a sender without a journal goes on with the number after the one that it received
/// (rtp-midi-rs does).
fn is_of_peer(seq: SeqNum, section: &CommandSection<'_>, around: &mut Around<'_>) -> bool {
    let (side, moment) = (around.side, around.moment);
    let is = !section.has_journal() && around.peer_highest.is_some_and(|it| it.next() == seq);
    if is {
        around
            .violations
            .note(side, Rule::SequenceOfPeer, moment, || {
                format!("packet {seq} has the number after the newest packet of the other side")
            });
    }
    is
}

const fn is_undefined(message: &Message<'_>) -> bool {
    match message {
        Message::Undefined(_) => true,
        Message::RealTime(it) => it.is_undefined(),
        _ => false,
    }
}

/// The key or pedal that a message lets go.
fn released(message: &Message<'_>) -> Option<(Channel, Ended)> {
    let Message::Channel(message) = message else {
        return None;
    };
    match *message {
        ChannelMessage::NoteOff { channel, note, .. } => Some((channel, Ended::Note(note))),
        ChannelMessage::NoteOn { channel, note, .. } if message.is_note_off() => {
            Some((channel, Ended::Note(note)))
        }
        ChannelMessage::ControlChange {
            channel, control, ..
        } => Some((channel, Ended::Pedal(control))),
        _ => None,
    }
}

impl Key {
    /// In words.
    pub(super) fn describe(self, channel: Channel) -> String {
        let channel = channel.number();
        match self {
            Self::Note(note) => {
                let name = Note::new(note).map(|it| it.name(Octave::MiddleC4));
                let name = name.map(|it| it.to_string()).unwrap_or_default();
                format!("note {note} ({name}) on channel {channel}")
            }
            Self::Pedal(pedal) => {
                let name = match Controller::new(pedal) {
                    Some(Controller::SUSTAIN) => "sustain pedal",
                    Some(Controller::SOSTENUTO) => "sostenuto pedal",
                    _ => "hold pedal",
                };
                format!("the {name} of channel {channel}")
            }
        }
    }
}
