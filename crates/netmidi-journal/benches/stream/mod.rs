//! What the benches of the journal play: commands of one chapter, and music, packet by packet.

use core::time::Duration;

use netmidi_journal::{Form, Recorder, RecorderConfig};
use netmidi_message::{Message, MessageBuf};
use netmidi_testkit::{Played, faders, piano};
use netmidi_wire::{PacketBudget, PacketWriter, Pushed, RtpHeader, RtpTimestamp, SeqNum, Ssrc};

/// A packet and what its sender learns before it.
pub(crate) struct Step {
    /// Since the beginning, in ticks of 100 µs.
    pub(crate) at: u32,
    pub(crate) messages: Vec<MessageBuf>,
    /// The packet that was acknowledged since the last one, counted back from this one.
    pub(crate) acknowledged: Option<u16>,
}

/// Packets that can be played again and again.
pub(crate) struct Script {
    pub(crate) name: &'static str,
    pub(crate) steps: Vec<Step>,
}

impl Script {
    /// One for each of the 13 chapters: a command of it in each packet, which is acknowledged two
    /// packets later.
    pub(crate) fn chapters() -> Vec<Self> {
        [
            ("P", cycle(128, |n| vec![0xC0, n])),
            (
                "C",
                cycle(512, |n| vec![0xB0, [1, 7, 10, 11][usize::from(n % 4)], n]),
            ),
            ("M", cycle(512, parameter)),
            ("W", cycle(512, |n| vec![0xE0, n, n ^ 64])),
            ("N", cycle(120, |n| key(n, 64))),
            ("E", cycle(120, |n| key(n, 20))),
            ("T", cycle(128, |n| vec![0xD0, n])),
            ("A", cycle(512, |n| vec![0xA0, 60 + n % 4, n])),
            (
                "D",
                cycle(128, |n| {
                    if n % 2 == 0 {
                        vec![0xF3, n]
                    } else {
                        vec![0xF6]
                    }
                }),
            ),
            ("V", cycle(1, |_| vec![0xFE])),
            (
                "Q",
                cycle(512, |n| if n == 0 { vec![0xFA] } else { vec![0xF8] }),
            ),
            (
                "F",
                cycle(512, |n| vec![0xF1, ((n % 8) << 4) | quarter_frame(n)]),
            ),
            (
                "X",
                cycle(128, |n| vec![0xF0, 0x7F, 0x7F, 4, 1, n, 64, 0xF7]),
            ),
        ]
        .into_iter()
        .map(|(name, messages)| {
            let steps = (0..).zip(messages).map(|(n, message)| Step {
                at: n * 10,
                messages: vec![message],
                acknowledged: Some(3),
            });
            let steps = steps.collect();
            Self { name, steps }
        })
        .collect()
    }

    /// Music of a minute to a receiver 20 ms away.
    pub(crate) fn music() -> [Self; 2] {
        let minute = Duration::from_secs(60);
        [("piano", piano(1, minute)), ("faders", faders(1, minute))].map(|(name, played)| Self {
            name,
            steps: steps(&played, 200),
        })
    }
}

fn cycle(len: u16, message: impl Fn(u8) -> Vec<u8>) -> Vec<MessageBuf> {
    (0..len)
        .map(|n| {
            let octets = message((n % 128) as u8);
            Message::parse(&octets).expect("a message").to_buf()
        })
        .collect()
}

/// Selects a parameter, sets both halves of its value and a step more.
fn parameter(n: u8) -> Vec<u8> {
    match n % 5 {
        0 => vec![0xB0, 101, 0],
        1 => vec![0xB0, 100, n / 5 % 3],
        2 => vec![0xB0, 6, n],
        3 => vec![0xB0, 38, n],
        _ => vec![0xB0, 96, 0],
    }
}

/// Down and up, one key after the other.
fn key(n: u8, release: u8) -> Vec<u8> {
    let key = 36 + n / 2;
    match n % 2 {
        0 => vec![0x90, key, 100],
        _ => vec![0x80, key, release],
    }
}

/// The nibble of the `n`th quarter frame of time code that runs.
fn quarter_frame(n: u8) -> u8 {
    let frames = n / 8 * 2;
    match n % 8 {
        0 => (frames % 24) & 0xF,
        1 => (frames % 24) >> 4,
        2 => frames / 24,
        _ => 0,
    }
}

/// What is played at one moment goes into one packet. The receiver tells at once that it came, but
/// not more than once in 50 ms.
fn steps(played: &[Played], round_trip: u32) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    // When reports arrive, and about which packet.
    let mut reports: Vec<(u32, usize)> = Vec::new();
    let mut reports_read = 0;
    for moment in played.chunk_by(|(a, _), (b, _)| a == b) {
        let at = (moment[0].0.as_micros() / 100) as u32;
        let n = steps.len();
        let mut acknowledged = None;
        while let Some((_, packet)) = reports
            .get(reports_read)
            .filter(|(arrives, _)| *arrives <= at)
        {
            acknowledged = Some((n - packet) as u16);
            reports_read += 1;
        }
        let next = reports.last().map_or(0, |(arrives, _)| arrives + 500);
        match reports.last_mut() {
            // One that has not left yet tells of this packet as well.
            Some((arrives, packet)) if *arrives > at + round_trip => *packet = n,
            _ => reports.push((next.max(at + round_trip), n)),
        }
        steps.push(Step {
            at,
            messages: moment
                .iter()
                .map(|(_, it)| Message::from(*it).to_buf())
                .collect(),
            acknowledged,
        });
    }
    steps
}

/// Sends the packets of a script, over and over.
pub(crate) struct Sender<'a> {
    script: &'a Script,
    recorder: Recorder,
    next: usize,
    pub(crate) seq: SeqNum,
    /// When the script began this time.
    began: u32,
    journal: [u8; 1024],
}

impl<'a> Sender<'a> {
    pub(crate) fn new(script: &'a Script) -> Self {
        Self {
            script,
            recorder: Recorder::new(RecorderConfig::default(), SeqNum(0)),
            next: 0,
            seq: SeqNum(0),
            began: 0,
            journal: [0; 1024],
        }
    }

    /// Where the script stands, and the time of the packet.
    pub(crate) fn turn(&mut self) -> (&'a Step, RtpTimestamp) {
        let step = &self.script.steps[self.next];
        let at = RtpTimestamp(self.began.wrapping_add(step.at));
        self.next += 1;
        if self.next == self.script.steps.len() {
            self.next = 0;
            self.began = at.0.wrapping_add(10);
        }
        (step, at)
    }

    /// The journal of a packet, into `self.journal`; returns its length.
    pub(crate) fn record(&mut self, step: &Step, at: RtpTimestamp) -> usize {
        if let Some(back) = step.acknowledged {
            self.recorder
                .acknowledge(SeqNum(self.seq.0.wrapping_sub(back)));
        }
        let written = self.recorder.write(at, Form::Full, &mut self.journal);
        for message in &step.messages {
            self.recorder.record(at, message.as_message());
        }
        self.recorder.end_packet();
        self.seq = self.seq.next();
        written.expect("room for a header").len
    }

    /// The next packet with its journal; returns its length.
    pub(crate) fn packet(&mut self, out: &mut [u8]) -> usize {
        let (step, at) = self.turn();
        let seq = self.seq;
        let len = self.record(step, at);
        let journal = &self.journal[..len];
        let mut writer = writer(out, seq, at);
        writer.reserve(len).expect("room for the journal");
        push(&mut writer, step, at);
        writer.finish_with_journal(|to| {
            to[..len].copy_from_slice(journal);
            len
        })
    }
}

pub(crate) fn writer(out: &mut [u8], seq: SeqNum, at: RtpTimestamp) -> PacketWriter<'_> {
    let header = RtpHeader::midi(seq, at, Ssrc(1));
    PacketWriter::new(out, PacketBudget::DEFAULT, &header).expect("a long buffer")
}

pub(crate) fn push(writer: &mut PacketWriter<'_>, step: &Step, at: RtpTimestamp) {
    for message in &step.messages {
        assert_eq!(writer.push(at, message.as_message(), 0), Pushed::Whole);
    }
}
