//! Generators for what `netmidi-wire` reads and writes.

use netmidi_message::{Message, MessageBuf, SysExBuf, UndefinedBuf, UndefinedStatus};
use netmidi_wire::{
    BitrateLimit, ClockCount, ClockSync, ClockTicks, Command, Control, Delta, Exchange,
    ExchangeKind, Feedback, PacketBudget, RtpTimestamp, SegmentKind, SeqNum, Ssrc, SysExSegment,
    TimedCommand, Token,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::packets::TimedMessage;

/// A message of any kind; system exclusive ones have fewer than `sysex` data octets.
pub fn message(sysex: usize) -> impl Strategy<Value = MessageBuf> {
    prop_oneof![
        6 => plain_message(),
        1 => data(0..sysex).prop_map(|data| SysExBuf::new(data).unwrap().into()),
        1 => undefined(),
    ]
}

/// Messages in the order of their times: often at once, sometimes with gaps that no delta time
/// can say.
pub fn timed_messages(count: usize, sysex: usize) -> impl Strategy<Value = Vec<TimedMessage>> {
    let gap = prop_oneof![
        4 => Just(0),
        4 => 0..300u32,
        1 => 0..=Delta::MAX.get(),
        1 => 0..0x7FFF_FFFFu32,
    ];
    (any::<u32>(), vec((gap, message(sysex)), 0..count)).prop_map(|(start, messages)| {
        let mut at = RtpTimestamp(start);
        messages
            .into_iter()
            .map(|(gap, message)| {
                at = at.wrapping_add(gap);
                (at, message)
            })
            .collect()
    })
}

/// Any budget, the smallest and the usual one often.
pub fn budget() -> impl Strategy<Value = PacketBudget> {
    prop_oneof![
        Just(PacketBudget::MIN),
        Just(PacketBudget::DEFAULT),
        (256..=8192u16).prop_map(|octets| PacketBudget::new(octets).unwrap()),
    ]
}

/// A [`Command`] that owns its data.
#[derive(Clone, Debug)]
pub enum OwnedCommand {
    /// Any message but a system exclusive one.
    Message(MessageBuf),
    /// A segment with its data octets.
    SysEx(SegmentKind, Vec<u8>),
}

impl OwnedCommand {
    /// The command, borrowed.
    ///
    /// # Panics
    /// When it cannot stand in a list.
    #[must_use]
    pub fn as_command(&self) -> Command<'_> {
        match self {
            Self::Message(message) => Command::Message(message.as_message()),
            Self::SysEx(kind, data) => Command::SysEx(SysExSegment::new(*kind, data).unwrap()),
        }
    }
}

/// A [`TimedCommand`] that owns its data; its time is `delta` after the one before.
#[derive(Clone, Debug)]
pub struct OwnedTimedCommand {
    /// Time since the command before.
    pub delta: Delta,
    /// Whether to leave the status octet out, where that is allowed.
    pub running: bool,
    /// The command, or none at the end of the list.
    pub command: Option<OwnedCommand>,
}

impl OwnedTimedCommand {
    /// The command, borrowed, with this time.
    #[must_use]
    pub fn as_timed(&self, timestamp: RtpTimestamp) -> TimedCommand<'_> {
        TimedCommand {
            delta: self.delta,
            timestamp,
            running: self.running,
            command: self.command.as_ref().map(OwnedCommand::as_command),
        }
    }
}

/// A list of commands, system exclusive segments in any order, sometimes a delta time at the end.
pub fn timed_commands() -> impl Strategy<Value = Vec<OwnedTimedCommand>> {
    let segment = prop_oneof![
        (
            prop::sample::select(vec![
                SegmentKind::Whole,
                SegmentKind::WholeDroppedEnd,
                SegmentKind::Last,
                SegmentKind::LastDroppedEnd,
            ]),
            data(0..40)
        ),
        (
            prop::sample::select(vec![SegmentKind::First, SegmentKind::Middle]),
            data(1..40)
        ),
        Just((SegmentKind::Cancel, Vec::new())),
    ];
    let command = prop_oneof![
        // Few different statuses, so that running status happens.
        4 => (0x90..0x92u8, 0..0x80u8, 0..0x80u8).prop_map(|(status, first, second)| {
            OwnedCommand::Message(MessageBuf::from(
                Message::parse(&[status, first, second]).unwrap(),
            ))
        }),
        2 => plain_message().prop_map(OwnedCommand::Message),
        1 => undefined().prop_map(OwnedCommand::Message),
        1 => segment.prop_map(|(kind, data)| OwnedCommand::SysEx(kind, data)),
    ];
    let timed =
        (delta(), any::<bool>(), command).prop_map(|(delta, running, command)| OwnedTimedCommand {
            delta,
            running,
            command: Some(command),
        });
    (vec(timed, 0..40), prop::option::of(delta())).prop_map(|(mut commands, end)| {
        commands.extend(end.map(|delta| OwnedTimedCommand {
            delta,
            running: false,
            command: None,
        }));
        commands
    })
}

/// Any session packet, without a name: that is borrowed, and for the caller to put in.
pub fn control() -> impl Strategy<Value = Control<'static>> {
    let exchange = (
        prop::sample::select(vec![
            ExchangeKind::Invitation,
            ExchangeKind::Accepted,
            ExchangeKind::Rejected,
            ExchangeKind::End,
        ]),
        any::<(u32, u32)>(),
    )
        .prop_map(|(kind, (token, ssrc))| {
            Control::Exchange(Exchange {
                kind,
                token: Token(token),
                ssrc: Ssrc(ssrc),
                name: None,
            })
        });
    let clock = (
        prop::sample::select(vec![ClockCount::Ck0, ClockCount::Ck1, ClockCount::Ck2]),
        any::<(u32, [u64; 3])>(),
    )
        .prop_map(|(count, (ssrc, timestamps))| {
            Control::Clock(ClockSync {
                ssrc: Ssrc(ssrc),
                count,
                timestamps: timestamps.map(ClockTicks),
            })
        });
    let feedback = any::<(u32, u16, u16)>().prop_map(|(ssrc, seq, low)| {
        Control::Feedback(Feedback {
            ssrc: Ssrc(ssrc),
            seq: SeqNum(seq),
            low,
        })
    });
    let limit = any::<(u32, u32)>().prop_map(|(ssrc, bits_per_second)| {
        Control::BitrateLimit(BitrateLimit {
            ssrc: Ssrc(ssrc),
            bits_per_second,
        })
    });
    prop_oneof![exchange, clock, feedback, limit]
}

/// A delta time, those at the edges between its lengths often.
fn delta() -> impl Strategy<Value = Delta> {
    prop_oneof![
        4 => Just(0),
        2 => 0..400u32,
        1 => prop::sample::select(vec![
            0x7F, 0x80, 0x3FFF, 0x4000, 0x1F_FFFF, 0x20_0000, 0x0FFF_FFFF,
        ]),
        1 => 0..=Delta::MAX.get(),
    ]
    .prop_map(|units| Delta::new(units).unwrap())
}

/// A message of fixed length.
fn plain_message() -> impl Strategy<Value = MessageBuf> {
    let status = prop_oneof![
        4 => 0x80..=0xEFu8,
        1 => prop::sample::select(vec![0xF1, 0xF2, 0xF3, 0xF6]),
        1 => 0xF8..=0xFFu8,
    ];
    (status, 0..0x80u8, 0..0x80u8).prop_map(|(status, first, second)| {
        let octets = [status, first, second];
        let (message, ..) = Message::parse_prefix(&octets, None).unwrap();
        message.to_buf()
    })
}

/// F4 or F5 with data, sometimes more than fits into a small packet.
fn undefined() -> impl Strategy<Value = MessageBuf> {
    let status = prop::sample::select(vec![UndefinedStatus::F4, UndefinedStatus::F5]);
    let data = prop_oneof![8 => data(0..8), 1 => data(200..300)];
    (status, data)
        .prop_map(|(status, data)| MessageBuf::Undefined(UndefinedBuf::new(status, data).unwrap()))
}

fn data(len: core::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    vec(0..0x80u8, len)
}
