//! Random sessions: what a musician, a sequencer and a tape machine send, through the recorder and
//! the packet writer, with reports of the receiver that come when they like.

use std::collections::VecDeque;

use netmidi_journal::{Form, Journal, Recorder, RecorderConfig};
use netmidi_message::{Message, RunningStatus};
use netmidi_testkit::{OwnedJournal, Rng};
use netmidi_wire::{
    PacketBudget, PacketWriter, Pushed, RtpHeader, RtpTimestamp, SegmentKind, SeqNum, Ssrc,
    SysExSegment,
};

use crate::naive::{self, Sent};

/// One packet that went out.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    /// Which session, from 0 on.
    pub(crate) session: usize,
    /// Which packet of the session, from 0 on.
    pub(crate) number: usize,
    pub(crate) octets: Vec<u8>,
}

/// This many packets; `seed` decides everything.
///
/// # Errors
/// When a journal does not say of the plain chapters what was sent.
pub(crate) fn packets(seed: u64, count: usize) -> Result<Vec<Packet>, String> {
    let mut rng = Rng::new(seed);
    let offsets = KINDS.map(|_| rng.below(100));
    let mut packets = Vec::new();
    let mut index = 0;
    while packets.len() < count {
        let len = (20 + rng.index(50)).min(count - packets.len());
        let kinds = (0..)
            .zip(KINDS)
            .filter(|(kind, it)| (37 * index as u32 + offsets[*kind]) % 100 < it.1)
            .map(|(_, it)| (it.0, it.2))
            .collect();
        let mut session = Session::new(index, Rng::new(rng.bits()), kinds);
        for number in 0..len {
            let packet = session.packet().map_err(|difference| {
                format!("session {index}, packet {number} of seed {seed}: {difference}")
            })?;
            packets.push(packet);
        }
        index += 1;
    }
    Ok(packets)
}

/// What a session may consist of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Notes,
    Controls,
    Modes,
    Program,
    Wheel,
    Pressure,
    PolyPressure,
    Parameters,
    Common,
    Undefined,
    ActiveSense,
    Sequencer,
    Timecode,
    SysEx,
    Reset,
}

/// How many sessions of 100 have each kind, and how often it comes there.
///
/// System exclusive messages, tape positions and a sequencer come in few sessions, as they do on
/// stages, and no kind is left out. The sessions are not drawn but spread evenly, so that each seed
/// has some of each.
const KINDS: [(Kind, u32, u32); 15] = [
    (Kind::Notes, 75, 100),
    (Kind::Controls, 60, 60),
    (Kind::Modes, 25, 10),
    (Kind::Program, 40, 20),
    (Kind::Wheel, 40, 40),
    (Kind::Pressure, 40, 40),
    (Kind::PolyPressure, 30, 30),
    (Kind::Parameters, 35, 30),
    (Kind::Common, 25, 10),
    (Kind::Undefined, 20, 10),
    (Kind::ActiveSense, 25, 10),
    (Kind::Sequencer, 20, 20),
    (Kind::Timecode, 20, 30),
    (Kind::SysEx, 10, 30),
    (Kind::Reset, 20, 2),
];

/// What goes into the history when the packet is ready.
enum Record {
    Message(RtpTimestamp, Vec<u8>),
    SysEx {
        data: Vec<u8>,
        from: usize,
        to: usize,
        finished: bool,
    },
    Cancel,
}

struct Session {
    index: usize,
    rng: Rng,
    recorder: Recorder,
    form: Form,
    running: RunningStatus,
    first: SeqNum,
    /// The packet that is put together.
    number: usize,
    time: RtpTimestamp,
    channels: Vec<u8>,
    kinds: Vec<(Kind, u32)>,
    /// The receiver reports after so many packets of 100.
    reports: u32,
    /// All packets up to this one are acknowledged; `None` before the first report.
    acknowledged: Option<usize>,
    /// Messages that wait for a packet.
    queue: VecDeque<Vec<u8>>,
    /// Data of a system exclusive message of which a part went out, and how much.
    open: Option<(Vec<u8>, usize)>,
    /// The next of the eight quarter frames, and whether they go backwards.
    quarter: (u8, bool),
    playing: bool,
    sent: Vec<Sent>,
}

impl Session {
    fn new(index: usize, mut rng: Rng, mut kinds: Vec<(Kind, u32)>) -> Self {
        let first = SeqNum(if rng.percent(20) {
            65_535 - rng.below(50) as u16
        } else {
            rng.below(65_536) as u16
        });
        let mut config = RecorderConfig::default();
        config.enhanced = rng.percent(10);
        let channels = match rng.below(100) {
            0..55 => vec![rng.below(16) as u8],
            55..90 => (0..2 + rng.below(3)).map(|_| rng.below(16) as u8).collect(),
            _ => (0..16).collect(),
        };
        if kinds.is_empty() {
            kinds.push((Kind::Notes, 1));
        }
        Self {
            index,
            recorder: Recorder::new(config, first),
            form: if rng.percent(10) {
                Form::Gentle
            } else {
                Form::Full
            },
            running: if rng.percent(50) {
                RunningStatus::On
            } else {
                RunningStatus::Off
            },
            first,
            number: 0,
            time: RtpTimestamp(rng.bits() as u32),
            channels,
            kinds,
            // Evenly, too, whatever kinds a session has.
            reports: match index % 10 {
                0 => 0,
                1..4 => 5,
                4..8 => 30,
                _ => 80,
            },
            acknowledged: None,
            queue: VecDeque::new(),
            open: None,
            quarter: (0, false),
            playing: false,
            sent: Vec::new(),
            rng,
        }
    }

    fn packet(&mut self) -> Result<Packet, String> {
        let silent = self.rng.percent(20);
        let pause = if silent { 3_000 } else { 400 };
        self.time = self.time.wrapping_add(self.rng.below(pause));
        if !silent {
            for _ in 0..1 + self.rng.below(3) {
                self.event();
            }
            // A sequencer goes on while others play.
            if self.playing && self.rng.percent(90) {
                self.queue.push_back(vec![0xF8]);
            }
        }

        let start = self.time;
        let mut out = vec![0; PacketBudget::DEFAULT.get()];
        let ssrc = Ssrc(self.index as u32 + 1);
        let seq = self.first.wrapping_add(self.number as u16);
        let header = RtpHeader::midi(seq, start, ssrc);
        let mut writer = PacketWriter::new(&mut out, PacketBudget::DEFAULT, &header)
            .unwrap()
            .with_running_status(self.running);
        writer.reserve(600).unwrap();
        let mut records = Vec::new();
        if !silent {
            self.fill(&mut writer, &mut records);
        }
        let (recorder, form) = (&mut self.recorder, self.form);
        let mut journal = None;
        let len = writer.finish_with_journal(|free| {
            journal = recorder
                .write(start, form, free)
                .map(|it| free[..it.len].to_vec());
            journal.as_ref().map_or(0, Vec::len)
        });
        out.truncate(len);
        let difference = journal.map_or(Ok(()), |it| self.compare(&it, start));
        for record in records {
            self.record(record);
        }
        self.recorder.end_packet();
        let packet = Packet {
            session: self.index,
            number: self.number,
            octets: out,
        };
        self.number += 1;
        if self.rng.percent(self.reports) {
            let back = self.rng.index(4).min(self.number - 1);
            let report = self.number - 1 - back;
            let seq = self.first.wrapping_add(report as u16);
            let news = self.acknowledged.is_none_or(|it| report > it);
            assert_eq!(self.recorder.acknowledge(seq), news);
            if news {
                self.acknowledged = Some(report);
            }
        }
        difference.map(|()| packet)
    }

    /// Compares the plain chapters with the list of what was sent.
    fn compare(&self, journal: &[u8], start: RtpTimestamp) -> Result<(), String> {
        let journal = OwnedJournal::read(&Journal::parse(journal).unwrap());
        // Once something did not fit, what is told when is the recorder's choice.
        let first = self.acknowledged.map_or(0, |it| it + 1);
        let first = (self.recorder.overflows() == 0).then_some(first);
        if let Some(first) = first {
            let checkpoint = self.first.wrapping_add(first as u16);
            if journal.checkpoint != checkpoint {
                return Err(format!("{:?} for {checkpoint:?}", journal.checkpoint));
            }
        }
        naive::compare(&journal, &self.sent, self.number, start.0, first)
    }

    /// Puts what waits into the packet, as far as it goes.
    fn fill(&mut self, writer: &mut PacketWriter<'_>, records: &mut Vec<Record>) {
        while let Some(octets) = self.queue.pop_front() {
            let real_time = octets[0] >= 0xF8;
            // Behind a part of a system exclusive message only real-time messages may stand.
            if self.open.is_some() && !real_time {
                self.queue.push_front(octets);
                if !self.segment(writer, records) {
                    return;
                }
                continue;
            }
            self.time = self.time.wrapping_add(self.rng.below(20));
            let time = self.time;
            if let [0xF0, data @ .., 0xF7] = &octets[..]
                && !data.is_empty()
                && self.rng.percent(40)
            {
                self.open = Some((data.to_vec(), 0));
                continue;
            }
            let message = Message::parse(&octets).unwrap();
            match writer.push(time, message, 0) {
                Pushed::Whole => records.push(Record::Message(time, octets)),
                Pushed::Part { taken } => {
                    let data = octets[1..octets.len() - 1].to_vec();
                    records.push(Record::SysEx {
                        data: data.clone(),
                        from: 0,
                        to: taken,
                        finished: false,
                    });
                    self.open = Some((data, taken));
                    return;
                }
                Pushed::Full => {
                    self.queue.push_front(octets);
                    return;
                }
                Pushed::TooLong => panic!("{octets:02x?} is too long"),
            }
        }
        if self.open.is_some() {
            self.segment(writer, records);
        }
    }

    /// Sends the next part of a system exclusive message. Returns whether that was its end.
    fn segment(&mut self, writer: &mut PacketWriter<'_>, records: &mut Vec<Record>) -> bool {
        let Some((data, from)) = self.open.take() else {
            return true;
        };
        let left = data.len() - from;
        let len = match self.rng.below(3) {
            0 => left,
            _ => self.rng.index(left + 1),
        };
        let to = from + len;
        let cancel = from > 0 && self.rng.percent(10);
        let kind = match (cancel, from, to == data.len()) {
            (true, ..) => SegmentKind::Cancel,
            (_, 0, true) => SegmentKind::Whole,
            (_, 0, false) => SegmentKind::First,
            (_, _, true) => SegmentKind::Last,
            (_, _, false) => SegmentKind::Middle,
        };
        let part: &[u8] = if cancel { &[] } else { &data[from..to] };
        if let Some(segment) = SysExSegment::new(kind, part)
            && writer.push_segment(self.time, segment) == Pushed::Whole
        {
            if cancel {
                records.push(Record::Cancel);
                return true;
            }
            let finished = kind.ends();
            records.push(Record::SysEx {
                data: data.clone(),
                from,
                to,
                finished,
            });
            if finished {
                return true;
            }
            self.open = Some((data, to));
        } else {
            self.open = Some((data, from));
        }
        false
    }

    fn record(&mut self, record: Record) {
        let at = self.time;
        match record {
            Record::Message(at, octets) => {
                self.recorder.record(at, Message::parse(&octets).unwrap());
                self.sent.push((self.number, at.0, octets));
            }
            Record::SysEx {
                data,
                from,
                to,
                finished,
            } => {
                self.recorder.record_sysex(at, &data, from..to, finished);
                if finished {
                    let mut octets = vec![0xF0];
                    octets.extend(data);
                    octets.push(0xF7);
                    self.sent.push((self.number, at.0, octets));
                }
            }
            Record::Cancel => self.recorder.cancel_sysex(),
        }
    }

    /// Something happens: one message, or a few that belong together.
    fn event(&mut self) {
        let total = self.kinds.iter().map(|it| it.1).sum();
        let mut at = self.rng.below(total);
        let mut kinds = self.kinds.iter();
        let kind = kinds.find(|it| {
            let found = at < it.1;
            at = at.wrapping_sub(it.1);
            found
        });
        let kind = kind.map_or(Kind::Notes, |it| it.0);
        let channel = self.channels[self.rng.index(self.channels.len())];
        let value = self.value();
        match kind {
            Kind::Notes => self.notes(channel),
            Kind::Controls => {
                let number = match self.rng.below(10) {
                    0..3 => [1, 7, 10, 11, 33, 39, 84, 91][self.rng.index(8)],
                    3..6 => 64 + self.rng.below(6) as u8,
                    6 => [0, 32][self.rng.index(2)],
                    // Neither parameters, which come in order, nor modes.
                    _ => [2, 3, 12, 35, 70, 80, 102, 119, 6, 96][self.rng.index(10)],
                };
                self.say(&[0xB0 | channel, number, value]);
            }
            Kind::Modes => {
                let number = 120 + self.rng.below(8) as u8;
                let value = if self.rng.percent(80) { 0 } else { value };
                self.say(&[0xB0 | channel, number, value]);
            }
            Kind::Program => {
                if self.rng.percent(50) {
                    let msb = self.value();
                    self.say(&[0xB0 | channel, 0, msb]);
                }
                if self.rng.percent(50) {
                    let lsb = self.value();
                    self.say(&[0xB0 | channel, 32, lsb]);
                }
                self.say(&[0xC0 | channel, value]);
            }
            Kind::Wheel => {
                let first = self.value();
                self.say(&[0xE0 | channel, first, value]);
            }
            Kind::Pressure => self.say(&[0xD0 | channel, value]),
            Kind::PolyPressure => {
                let note = self.note();
                self.say(&[0xA0 | channel, note, value]);
            }
            Kind::Parameters => self.parameter(channel),
            Kind::Common => {
                if self.rng.percent(50) {
                    self.say(&[0xF3, value]);
                } else {
                    self.say(&[0xF6]);
                }
            }
            Kind::Undefined => match self.rng.below(4) {
                0 => self.say(&[0xF9]),
                1 => self.say(&[0xFD]),
                _ => {
                    let mut octets = vec![0xF4 + self.rng.below(2) as u8];
                    octets.extend((0..self.rng.below(5)).map(|_| self.rng.data()));
                    self.queue.push_back(octets);
                }
            },
            Kind::ActiveSense => self.say(&[0xFE]),
            Kind::Sequencer => match self.rng.below(10) {
                0 => {
                    self.playing = false;
                    self.say(&[0xFC]);
                    let far = self.rng.below(128) as u8;
                    self.say(&[0xF2, value, far]);
                }
                1 => {
                    self.playing = false;
                    self.say(&[0xFC]);
                }
                2 | 3 => {
                    self.playing = true;
                    self.say(&[0xFA]);
                }
                4 | 5 => {
                    self.playing = true;
                    self.say(&[0xFB]);
                }
                _ => {
                    for _ in 0..1 + self.rng.below(3) {
                        self.say(&[0xF8]);
                    }
                }
            },
            Kind::Timecode => self.timecode(),
            Kind::SysEx => self.sysex(),
            Kind::Reset => self.say(&[0xFF]),
        }
    }

    fn notes(&mut self, channel: u8) {
        let note = self.note();
        let velocity = self.value();
        match self.rng.below(10) {
            0..4 => self.say(&[0x90 | channel, note, velocity]),
            4..6 => self.say(&[0x80 | channel, note, 64]),
            6 => self.say(&[0x80 | channel, note, velocity]),
            7 | 8 => self.say(&[0x90 | channel, note, 0]),
            _ => {
                // A chord.
                for step in [0, 4, 7] {
                    let note = note.saturating_add(step).min(127);
                    self.say(&[0x90 | channel, note, velocity]);
                }
            }
        }
    }

    fn parameter(&mut self, channel: u8) {
        let registered = self.rng.percent(60);
        let [msb, lsb] = if registered { [101, 100] } else { [99, 98] };
        let high = if self.rng.percent(70) {
            0
        } else {
            self.value()
        };
        let low = self.rng.below(4) as u8;
        self.say(&[0xB0 | channel, msb, high]);
        // Seldom the lower half comes later, or never.
        if self.rng.percent(3) {
            return;
        }
        self.say(&[0xB0 | channel, lsb, low]);
        for _ in 0..self.rng.below(4) {
            let number = [6, 38, 96, 97][self.rng.index(4)];
            let value = self.value();
            self.say(&[0xB0 | channel, number, value]);
        }
        if self.rng.percent(40) {
            self.say(&[0xB0 | channel, msb, 127]);
            self.say(&[0xB0 | channel, lsb, 127]);
        }
    }

    fn timecode(&mut self) {
        if self.rng.percent(15) {
            let rate = self.rng.below(4) as u8;
            let [hours, minutes, seconds, frames] = [24, 60, 60, 24].map(|it| self.rng.below(it));
            let [minutes, seconds, frames] = [minutes, seconds, frames].map(|it| it as u8);
            let hours = rate << 5 | hours as u8;
            let octets = [
                0xF0, 0x7F, 0x7F, 1, 1, hours, minutes, seconds, frames, 0xF7,
            ];
            self.say(&octets);
            return;
        }
        if self.rng.percent(10) {
            self.quarter = (self.rng.below(8) as u8, self.rng.percent(30));
        }
        for _ in 0..1 + self.rng.below(8) {
            let (piece, backwards) = self.quarter;
            let nibble = match piece {
                7 => self.rng.below(8) as u8,
                3 | 5 => self.rng.below(3) as u8,
                1 => self.rng.below(2) as u8,
                _ => self.rng.below(10) as u8,
            };
            self.say(&[0xF1, piece << 4 | nibble]);
            let next = if backwards { piece + 7 } else { piece + 1 };
            self.quarter.0 = next % 8;
        }
    }

    fn sysex(&mut self) {
        let device = self.value();
        match self.rng.below(12) {
            0 => self.say(&[0xF0, 0x7E, device, 9, 1, 0xF7]),
            1 => self.say(&[0xF0, 0x7F, device, 4, 1, 0, 100, 0xF7]),
            2 => self.say(&[0xF0, 0xF7]),
            _ => {
                let len = match self.rng.below(10) {
                    0 => 200 + self.rng.below(200),
                    _ => self.rng.below(40),
                };
                let mut octets = vec![0xF0, 0x7D];
                octets.extend((0..len).map(|_| self.rng.data()));
                octets.push(0xF7);
                self.queue.push_back(octets);
            }
        }
    }

    fn say(&mut self, octets: &[u8]) {
        self.queue.push_back(octets.to_vec());
    }

    /// Few notes more often than the others, so that they meet.
    fn note(&mut self) -> u8 {
        match self.rng.below(10) {
            0 => self.rng.data(),
            1..4 => 36 + self.rng.below(48) as u8,
            _ => 60 + self.rng.below(8) as u8,
        }
    }

    fn value(&mut self) -> u8 {
        match self.rng.below(5) {
            0 => [0, 1, 63, 64, 127][self.rng.index(5)],
            _ => self.rng.data(),
        }
    }
}
