//! What a sender's instrument was after each of its packets.

use std::collections::VecDeque;

use netmidi_message::{ChannelMessage, Message, MessageBuf, RealTime, SysExBuf};
use netmidi_wire::{Command, Datagram, SegmentKind, SeqNum};

use crate::instrument::Instrument;

/// Follows a stream of packets at the pace of its receiver.
///
/// Give it every packet in the order in which it is sent ([`feed`](Self::feed)), and whenever a new
/// one arrives, its number ([`upto`](Self::upto)): the result is the sender's instrument as it was
/// after the commands of that packet. The newest number that arrived only grows, so every message
/// is played once and nothing is ever copied.
///
/// A system exclusive message in segments is played with its last one.
#[derive(Clone, Debug)]
pub struct Shadow {
    /// Sent and not played yet.
    packets: VecDeque<(SeqNum, Vec<MessageBuf>)>,
    newest: Option<SeqNum>,
    /// The system exclusive message in progress.
    open: Option<Vec<u8>>,
    instrument: Instrument,
    messages: u64,
    /// After how many messages each note was struck or ended last, by channel.
    touched: Vec<[u64; 128]>,
    active_sense: u32,
}

impl Default for Shadow {
    fn default() -> Self {
        Self::new()
    }
}

impl Shadow {
    /// The shadow of a sender that has sent nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            packets: VecDeque::new(),
            newest: None,
            open: None,
            instrument: Instrument::new(),
            messages: 0,
            touched: vec![[0; 128]; 16],
            active_sense: 0,
        }
    }

    /// The sender hands out this datagram. Those that are no RTP packets are passed over.
    ///
    /// # Panics
    /// When the commands of an RTP packet cannot be read, or its number is not the next one.
    pub fn feed(&mut self, datagram: &[u8]) {
        let Ok(Datagram::Rtp(packet)) = Datagram::parse(datagram) else {
            return;
        };
        let seq = packet.header().seq;
        if let Some(newest) = self.newest {
            assert_eq!(seq, newest.next(), "packets are numbered one after another");
        }
        self.newest = Some(seq);
        let section = packet
            .command_section()
            .unwrap_or_else(|error| panic!("{error}: {datagram:02x?}"));
        let mut messages = Vec::new();
        for command in section.commands() {
            match command.command {
                None => {}
                Some(Command::Message(message)) => messages.push(message.to_buf()),
                Some(Command::SysEx(segment)) => {
                    if segment.kind().begins() {
                        self.open = Some(Vec::new());
                    }
                    let Some(open) = &mut self.open else {
                        continue;
                    };
                    open.extend_from_slice(segment.data());
                    if segment.kind().ends() {
                        let data = self.open.take().unwrap_or_default();
                        if segment.kind() != SegmentKind::Cancel {
                            messages.push(SysExBuf::new(data).expect("data octets").into());
                        }
                    }
                }
            }
        }
        self.packets.push_back((seq, messages));
    }

    /// The sender's instrument after this packet; if an earlier number is given than before, that
    /// of the later one.
    pub fn upto(&mut self, seq: SeqNum) -> &Instrument {
        while let Some((next, _)) = self.packets.front()
            && next.distance_from(seq) <= 0
        {
            self.play_next();
        }
        &self.instrument
    }

    /// The sender's instrument after everything that it sent.
    pub fn all(&mut self) -> &Instrument {
        while !self.packets.is_empty() {
            self.play_next();
        }
        &self.instrument
    }

    fn play_next(&mut self) {
        let (_, messages) = self.packets.pop_front().unwrap_or_default();
        for message in messages {
            let message = message.as_message();
            let resets = self.instrument.resets();
            self.instrument.play(&message);
            self.messages += 1;
            if self.instrument.resets() > resets {
                self.touched.fill([self.messages; 128]);
            }
            match message {
                Message::Channel(message) => self.touch(message),
                Message::RealTime(RealTime::ActiveSensing) => self.active_sense += 1,
                _ => {}
            }
        }
    }

    fn touch(&mut self, message: ChannelMessage) {
        let notes = &mut self.touched[usize::from(message.channel().index())];
        match message {
            ChannelMessage::NoteOn { note, .. } | ChannelMessage::NoteOff { note, .. } => {
                notes[usize::from(note.get())] = self.messages;
            }
            ChannelMessage::ControlChange { control, .. }
                if matches!(control.get(), 120 | 123..=127) =>
            {
                notes.fill(self.messages);
            }
            _ => {}
        }
    }

    /// After how many [`messages`](Self::messages) a note was struck or ended last; 0: never.
    #[must_use]
    pub fn note_touched(&self, channel: usize, note: usize) -> u64 {
        self.touched[channel][note]
    }

    /// How many FE there were.
    #[must_use]
    pub const fn active_sense(&self) -> u32 {
        self.active_sense
    }

    /// The sender's instrument after the packet that was named last.
    #[must_use]
    pub const fn instrument(&self) -> &Instrument {
        &self.instrument
    }

    /// The number of the packet that was sent last.
    #[must_use]
    pub const fn newest(&self) -> Option<SeqNum> {
        self.newest
    }

    /// How many messages have been played.
    #[must_use]
    pub const fn messages(&self) -> u64 {
        self.messages
    }
}
