//! Random messages for property tests.

use netmidi_message::{
    Channel, ChannelMessage, ChannelStatus, MessageBuf, RealTime, SysExBuf, SystemCommon, U3, U4,
    U7, U14, UndefinedBuf, UndefinedStatus,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// Any data octet.
pub fn any_u7() -> impl Strategy<Value = U7> {
    (0..128u8).prop_map(U7::from_low_bits)
}

/// Any of the sixteen channels.
pub fn any_channel() -> impl Strategy<Value = Channel> {
    (0..16u8).prop_map(Channel::from_status)
}

/// Any channel message, the seven kinds equally often.
pub fn any_channel_message() -> impl Strategy<Value = ChannelMessage> {
    (0x80..=0xEFu8, any_u7(), any_u7()).prop_map(|(status, first, second)| {
        let status = ChannelStatus::new(status).expect("a channel status");
        ChannelMessage::from_parts(status, first, second)
    })
}

/// Any of F1, F2, F3, F6.
pub fn any_system_common() -> impl Strategy<Value = SystemCommon> {
    prop_oneof![
        (0..8u8, 0..16u8).prop_map(|(frame_type, frame_value)| SystemCommon::QuarterFrame {
            frame_type: U3::from_low_bits(frame_type),
            frame_value: U4::from_low_bits(frame_value),
        }),
        (0..1u16 << 14).prop_map(|pos| SystemCommon::SongPosition {
            pos: U14::from_low_bits(pos)
        }),
        any_u7().prop_map(|song| SystemCommon::SongSelect { song }),
        Just(SystemCommon::TuneRequest),
    ]
}

/// Any of F8 to FF.
pub fn any_real_time() -> impl Strategy<Value = RealTime> {
    (0xF8..=0xFFu8).prop_map(|status| RealTime::from_status(status).expect("a real-time status"))
}

/// A system exclusive message of 0 to 40 data octets.
pub fn any_sysex() -> impl Strategy<Value = SysExBuf> {
    vec(0..128u8, 0..=40).prop_map(|data| SysExBuf::new(data).expect("data octets"))
}

/// F4 or F5 with 0 to 8 data octets.
pub fn any_undefined() -> impl Strategy<Value = UndefinedBuf> {
    let status = prop_oneof![Just(UndefinedStatus::F4), Just(UndefinedStatus::F5)];
    (status, vec(0..128u8, 0..=8))
        .prop_map(|(status, data)| UndefinedBuf::new(status, data).expect("data octets"))
}

/// Any message that MIDI 1.0 defines, and F9 and FD: without F4 and F5, which a stream delivers
/// late.
pub fn any_defined_message() -> impl Strategy<Value = MessageBuf> {
    prop_oneof![
        6 => any_channel_message().prop_map(MessageBuf::from),
        1 => any_system_common().prop_map(MessageBuf::from),
        2 => any_real_time().prop_map(MessageBuf::from),
        1 => any_sysex().prop_map(MessageBuf::from),
    ]
}

/// Any message.
pub fn any_message() -> impl Strategy<Value = MessageBuf> {
    prop_oneof![
        10 => any_defined_message(),
        1 => any_undefined().prop_map(MessageBuf::from),
    ]
}

/// Octets that look like MIDI more often than chance would have it: half of them are data octets,
/// and the statuses with rules of their own are frequent.
pub fn midi_like_octets(max_len: usize) -> impl Strategy<Value = Vec<u8>> {
    let octet = prop_oneof![
        8 => 0..128u8,
        3 => 0x80..=0xEFu8,
        2 => 0xF0..=0xFFu8,
        1 => Just(0xF0),
        1 => Just(0xF7),
    ];
    vec(octet, 0..=max_len)
}
