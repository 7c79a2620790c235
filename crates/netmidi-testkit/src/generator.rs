//! A long stream of MIDI octets as a busy stage would send it, and the messages in it.

use netmidi_message::{
    Bend, Channel, ChannelMessage, Controller, MessageBuf, Note, RealTime, SysExBuf, SystemCommon,
    U3, U4, U7, U14,
};

use crate::rng::Rng;

/// A stream of octets and the messages that a parser has to find in it.
///
/// The mix, in parts of 1,000 messages: notes 351, controllers 347, pitch bend 184, pressure 41,
/// program 6, system common 8, real time 61, and system exclusive 2 (5 % of the octets; most have
/// 8 to 87 data octets, one in 64 has 400 to 1,599). About two channel messages in three come in
/// bursts on one channel, so that about 60 % of all messages go by running status. A third of the
/// real-time messages stand inside another message. About 2.4 octets a message.
#[derive(Clone, Debug)]
pub struct Stream {
    /// The octets.
    pub octets: Vec<u8>,
    /// The messages, in the order in which their last octets come.
    pub messages: Vec<MessageBuf>,
}

impl Stream {
    /// A stream of `count` messages; `seed` decides everything.
    #[must_use]
    pub fn with_messages(seed: u64, count: usize) -> Self {
        let mut writer = Writer::new(seed);
        while writer.stream.messages.len() < count {
            writer.message(count - writer.stream.messages.len() > 1);
        }
        writer.stream
    }

    /// A stream of `len` octets or a few more, up to the end of a message; `seed` decides
    /// everything.
    #[must_use]
    pub fn with_octets(seed: u64, len: usize) -> Self {
        let mut writer = Writer::new(seed);
        while writer.stream.octets.len() < len {
            writer.message(true);
        }
        writer.stream
    }

    /// The octets cut into pieces of 0 to `longest` octets; `seed` decides where.
    ///
    /// # Panics
    /// When `longest` is 0.
    #[must_use]
    pub fn pieces(&self, seed: u64, longest: u32) -> Vec<&[u8]> {
        assert!(longest > 0, "the pieces would never end");
        let mut rng = Rng::new(seed);
        let mut rest = &self.octets[..];
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let len = (rng.below(longest + 1) as usize).min(rest.len());
            let (piece, after) = rest.split_at(len);
            pieces.push(piece);
            rest = after;
        }
        pieces
    }
}

struct Writer {
    rng: Rng,
    stream: Stream,
    running: Option<u8>,
    /// What the bursts repeat.
    last: ChannelMessage,
}

impl Writer {
    fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            stream: Stream {
                octets: Vec::new(),
                messages: Vec::new(),
            },
            running: None,
            last: ChannelMessage::note_on(Channel::C1, Note::MIDDLE_C, U7::MAX),
        }
    }

    /// One message, and perhaps a real-time message inside it if `may_interrupt`.
    fn message(&mut self, may_interrupt: bool) {
        match self.rng.below(1000) {
            0..2 => self.sysex(may_interrupt),
            2..10 => {
                let common = self.common();
                self.running = None;
                let octets = common.to_octets()[..common.encoded_len()].to_vec();
                self.write(&octets, may_interrupt);
                self.stream.messages.push(common.into());
            }
            10..51 => {
                let real_time = self.real_time();
                self.stream.octets.push(real_time.status());
                self.stream.messages.push(real_time.into());
            }
            _ => {
                let message = self.channel();
                self.last = message;
                let status = message.status().get();
                let octets = &message.to_octets()[..message.encoded_len()];
                // One sender in twenty repeats a status that it could leave out.
                let running = self.running == Some(status) && !self.rng.percent(5);
                let octets = octets[usize::from(running)..].to_vec();
                self.running = Some(status);
                self.write(&octets, may_interrupt);
                self.stream.messages.push(message.into());
            }
        }
    }

    /// Writes a message, with a real-time octet inside one of 45.
    fn write(&mut self, octets: &[u8], may_interrupt: bool) {
        if may_interrupt && octets.len() > 1 && self.rng.below(45) == 0 {
            let at = 1 + self.rng.below(octets.len() as u32 - 1) as usize;
            let real_time = self.real_time();
            self.stream.octets.extend_from_slice(&octets[..at]);
            self.stream.octets.push(real_time.status());
            self.stream.octets.extend_from_slice(&octets[at..]);
            self.stream.messages.push(real_time.into());
        } else {
            self.stream.octets.extend_from_slice(octets);
        }
    }

    fn sysex(&mut self, may_interrupt: bool) {
        let len = match self.rng.below(64) {
            0 => 400 + self.rng.below(1200),
            _ => 8 + self.rng.below(80),
        };
        let data: Vec<u8> = (0..len).map(|_| self.rng.data()).collect();
        let mut octets = vec![0xF0];
        octets.extend_from_slice(&data);
        octets.push(0xF7);
        self.running = None;
        self.write(&octets, may_interrupt);
        let message = SysExBuf::new(data).expect("data octets");
        self.stream.messages.push(message.into());
    }

    fn common(&mut self) -> SystemCommon {
        match self.rng.below(10) {
            0..7 => SystemCommon::QuarterFrame {
                frame_type: U3::from_low_bits(self.rng.data()),
                frame_value: U4::from_low_bits(self.rng.data()),
            },
            7 => SystemCommon::SongPosition {
                pos: U14::from_low_bits(self.rng.below(1 << 14) as u16),
            },
            8 => SystemCommon::SongSelect { song: self.u7() },
            _ => SystemCommon::TuneRequest,
        }
    }

    fn real_time(&mut self) -> RealTime {
        match self.rng.below(100) {
            0..85 => RealTime::TimingClock,
            85..95 => RealTime::ActiveSensing,
            95 => RealTime::Start,
            96 => RealTime::Continue,
            97 => RealTime::Stop,
            98 => RealTime::Reset,
            _ if self.rng.percent(50) => RealTime::UndefinedF9,
            _ => RealTime::UndefinedFd,
        }
    }

    fn channel(&mut self) -> ChannelMessage {
        let again = self.rng.percent(65);
        let channel = if again {
            self.last.channel()
        } else {
            Channel::from_status(self.rng.below(16) as u8)
        };
        let kind = if again {
            self.last.status().get() >> 4
        } else {
            match self.rng.below(929) {
                0..35 => 0x8,
                35..351 => 0x9,
                351..362 => 0xA,
                362..709 => 0xB,
                709..715 => 0xC,
                715..745 => 0xD,
                _ => 0xE,
            }
        };
        match kind {
            0x8 => ChannelMessage::note_off(channel, self.u7().into(), self.u7()),
            0x9 => {
                // Half of the note-ons end a note.
                let velocity = if self.rng.percent(50) {
                    U7::MIN
                } else {
                    self.u7()
                };
                ChannelMessage::note_on(channel, self.u7().into(), velocity)
            }
            0xA => ChannelMessage::PolyPressure {
                channel,
                note: self.u7().into(),
                value: self.u7(),
            },
            0xB => {
                let control = match self.last {
                    ChannelMessage::ControlChange { control, .. } if again => control,
                    _ => Controller::from(self.u7()),
                };
                ChannelMessage::control_change(channel, control, self.u7())
            }
            0xC => ChannelMessage::ProgramChange {
                channel,
                program: self.u7(),
            },
            0xD => ChannelMessage::ChannelPressure {
                channel,
                value: self.u7(),
            },
            _ => ChannelMessage::PitchBend {
                channel,
                bend: Bend::from(U14::from_low_bits(self.rng.below(1 << 14) as u16)),
            },
        }
    }

    fn u7(&mut self) -> U7 {
        U7::from_low_bits(self.rng.data())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The figures in the documentation of [`Stream`] hold.
    #[test]
    fn the_mix_is_what_it_says() {
        let stream = Stream::with_octets(1, 2_000_000);
        let total = stream.messages.len();
        let count = |wanted: fn(&MessageBuf) -> bool| {
            stream
                .messages
                .iter()
                .filter(|message| wanted(message))
                .count()
                * 1000
                / total
        };
        let sysex: usize = stream
            .messages
            .iter()
            .map(|message| match message {
                MessageBuf::SysEx(sysex) => sysex.as_sysex().encoded_len(),
                _ => 0,
            })
            .sum();
        let written: usize = stream.messages.iter().map(|m| m.to_vec().len()).sum();
        let without_status = (written - stream.octets.len()) * 1000 / total;
        let sysex = sysex * 1000 / stream.octets.len();
        let real_time = count(|m| matches!(m, MessageBuf::RealTime(_)));
        let common = count(|m| matches!(m, MessageBuf::Common(_)));
        assert!(
            (45..=57).contains(&sysex),
            "{sysex} in 1000 octets are SysEx"
        );
        assert!(
            (550..=650).contains(&without_status),
            "{without_status} by running status"
        );
        assert!((55..=67).contains(&real_time), "{real_time} real time");
        assert!((6..=10).contains(&common), "{common} common");
    }

    #[test]
    fn the_same_seed_gives_the_same_stream() {
        let [one, two] = [7, 7].map(|seed| Stream::with_messages(seed, 1000));
        assert_eq!(one.octets, two.octets);
        assert_eq!(one.messages.len(), 1000);
        assert_ne!(one.octets, Stream::with_messages(8, 1000).octets);
    }
}
