//! Messages survive JSON, and numbers out of range do not get in.

#![cfg(feature = "serde")]

use netmidi_message::{
    Bend, Channel, ChannelMessage, Controller, MessageBuf, Note, RealTime, SystemCommon, U3, U4,
    U7, U14,
};
use netmidi_testkit::strategies::{
    any_channel_message, any_message, any_real_time, any_system_common,
};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn through_json<T: Serialize + DeserializeOwned>(value: &T) -> T {
    let json = serde_json::to_string(value).expect("JSON");
    serde_json::from_str(&json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

fn refused<T: DeserializeOwned>(json: &str) -> bool {
    serde_json::from_str::<T>(json).is_err()
}

proptest! {
    #[test]
    fn messages_survive_json(
        message in any_message(),
        channel in any_channel_message(),
        common in any_system_common(),
        real_time in any_real_time(),
    ) {
        prop_assert_eq!(&through_json(&message), &message);
        prop_assert_eq!(through_json(&channel), channel);
        prop_assert_eq!(through_json(&common), common);
        prop_assert_eq!(through_json(&real_time), real_time);
        let borrowed = serde_json::to_string(&message.as_message()).unwrap();
        prop_assert_eq!(borrowed, serde_json::to_string(&message).unwrap());
    }

    /// A channel message is written the same by itself and as any message.
    #[test]
    fn both_forms_of_a_channel_message_are_one(message in any_channel_message()) {
        let json = serde_json::to_string(&message).unwrap();
        prop_assert_eq!(serde_json::to_string(&MessageBuf::from(message)).unwrap(), json);
    }
}

#[test]
fn the_form_is_the_documented_one() {
    for (text, json) in [
        (
            "note_on note=60",
            r#"{"type":"note_on","channel":0,"note":60,"velocity":64}"#,
        ),
        (
            "pitchwheel channel=15 pitch=0",
            r#"{"type":"pitch_bend","channel":15,"bend":8192}"#,
        ),
        ("songpos pos=7", r#"{"type":"song_position","pos":7}"#),
        ("tune_request", r#"{"type":"tune_request"}"#),
        ("clock", r#"{"type":"timing_clock"}"#),
        ("undefined_f9", r#"{"type":"undefined_f9"}"#),
        ("sysex data=(1,2,3)", r#"{"type":"sysex","data":[1,2,3]}"#),
        ("undefined_f4", r#"{"type":"undefined_f4","data":[]}"#),
    ] {
        let message: MessageBuf = text.parse().unwrap();
        assert_eq!(serde_json::to_string(&message).unwrap(), json);
    }
    assert_eq!(
        serde_json::to_string(&RealTime::UndefinedFd).unwrap(),
        r#""undefined_fd""#
    );
}

#[test]
fn attributes_may_come_in_any_order() {
    let json = r#"{"velocity":1,"note":2,"channel":3,"type":"note_off"}"#;
    let message: MessageBuf = serde_json::from_str(json).unwrap();
    assert_eq!(message.to_vec(), [0x83, 2, 1]);
}

#[test]
fn numbers_out_of_range_are_refused() {
    assert!(refused::<U3>("8") && !refused::<U3>("7"));
    assert!(refused::<U4>("16") && !refused::<U4>("15"));
    assert!(refused::<U7>("128") && !refused::<U7>("127"));
    assert!(refused::<U14>("16384") && !refused::<U14>("16383"));
    assert!(refused::<Channel>("16") && !refused::<Channel>("15"));
    assert!(refused::<Note>("128") && !refused::<Note>("127"));
    assert!(refused::<Controller>("128") && !refused::<Controller>("127"));
    assert!(refused::<Bend>("16384") && !refused::<Bend>("16383"));
    assert!(refused::<U7>("-1"));
    for json in [
        r#"{"type":"note_on","channel":16,"note":60,"velocity":64}"#,
        r#"{"type":"note_on","channel":0,"note":128,"velocity":64}"#,
        r#"{"type":"note_on","channel":0,"note":60,"velocity":128}"#,
        r#"{"type":"note_on","channel":0,"note":60}"#,
        r#"{"type":"pitch_bend","channel":0,"bend":16384}"#,
    ] {
        assert!(refused::<ChannelMessage>(json), "{json}");
        assert!(refused::<MessageBuf>(json), "{json}");
    }
    for json in [
        r#"{"type":"quarter_frame","frame_type":8,"frame_value":0}"#,
        r#"{"type":"quarter_frame","frame_type":0,"frame_value":16}"#,
        r#"{"type":"song_position","pos":16384}"#,
        r#"{"type":"song_select","song":128}"#,
    ] {
        assert!(refused::<SystemCommon>(json), "{json}");
        assert!(refused::<MessageBuf>(json), "{json}");
    }
    for json in [
        r#"{"type":"sysex","data":[1,128]}"#,
        r#"{"type":"sysex"}"#,
        r#"{"type":"sysex","data":[],"velocity":1}"#,
        r#"{"type":"tune_request","song":1}"#,
        r#"{"type":"reset","channel":0}"#,
        r#"{"type":"undefined_f9","data":[]}"#,
        r#"{"type":"note"}"#,
        r#"{"channel":0}"#,
    ] {
        assert!(refused::<MessageBuf>(json), "{json}");
    }
}
