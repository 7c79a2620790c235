//! Fixed octets mean fixed messages, in both dialects and cut anywhere.

use netmidi_message::{
    BufferTooSmall, Dialect, DiscardReason, Encoder, Message, MessageBuf, RunningStatus,
    StreamParser,
};
use netmidi_testkit::fuzz::{Said, listen};
use netmidi_testkit::{from_hex, to_hex, vectors};

/// Feeds the octets whole, one by one, and cut in two at every place; what comes out has to be the
/// same each time.
fn listen_every_way(dialect: Dialect, octets: &[u8]) -> Vec<Said> {
    let parser = || StreamParser::new().dialect(dialect);
    let whole = listen(parser(), [octets]);
    assert_eq!(listen(parser(), octets.chunks(1)), whole, "octet by octet");
    for at in 0..=octets.len() {
        let (left, right) = octets.split_at(at);
        assert_eq!(listen(parser(), [left, right]), whole, "cut at {at}");
    }
    whole
}

/// What was said in words: messages in hex, discarded octets in brackets with reason and offset.
fn in_words(said: &[Said]) -> String {
    let words: Vec<String> = said
        .iter()
        .map(|said| match said {
            Said::Message(message) => to_hex(&message.to_vec()),
            Said::Discarded(reason, offset, bytes) => {
                format!("[{} {offset} {}]", reason.code(), to_hex(bytes))
            }
        })
        .collect();
    words.join(" ")
}

#[track_caller]
fn din(octets: &str, expected: &str) {
    let said = listen_every_way(Dialect::Din, &from_hex(octets));
    assert_eq!(in_words(&said), expected);
}

#[track_caller]
fn mido(octets: &str, expected: &str) {
    let said = listen_every_way(Dialect::Mido, &from_hex(octets));
    assert_eq!(in_words(&said), expected);
}

#[test]
fn the_mido_dialect_gives_what_mido_gives() {
    for vector in vectors("socket-port") {
        let said = listen_every_way(Dialect::Mido, &vector.octets);
        let messages: Vec<String> = said
            .iter()
            .filter_map(|said| match said {
                Said::Message(message) => Some(to_hex(&message.to_vec())),
                Said::Discarded(..) => None,
            })
            .collect();
        let expected: Vec<&str> = vector.expect["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|message| message.as_str().unwrap())
            .collect();
        assert_eq!(messages, expected, "{}", vector.name);
    }
}

#[test]
fn the_mido_dialect_reports_what_mido_drops() {
    mido("903c40 4041", "903c40 [stray-data 3 4041]");
    mido("903cf840", "[incomplete 0 903c] f8 [stray-data 3 40]");
    mido(
        "903cf940",
        "[incomplete 0 903c] [undefined 2 f9] [stray-data 3 40]",
    );
    mido("903cf440", "[undefined 2 f4] 903c40");
    mido("f07df501f7", "[undefined 2 f5] f07d01f7");
    mido("f07dfd01f7", "[undefined 2 fd] f07d01f7");
    mido("f07df801f7", "f8 f07d01f7");
    mido("f07d01903c40", "[sysex-cut 0 f07d01] 903c40");
    mido(
        "903cf740",
        "[incomplete 0 903c] [stray-end 2 f7] [stray-data 3 40]",
    );
    mido("fdf9f4f5", "[undefined 0 fdf9f4f5]");
}

#[test]
fn system_common_comes_out_at_once() {
    let parsers = ["f135", "f20102", "f305", "f6"].map(|octets| {
        let octets = from_hex(octets);
        let mut messages = Vec::new();
        StreamParser::new().feed(&octets, |event| {
            messages.extend(event.message().map(|message| message.to_vec()));
        });
        (messages, octets)
    });
    for (messages, octets) in parsers {
        assert_eq!(
            messages,
            [octets],
            "without a next status, and without finish"
        );
    }
}

#[test]
fn every_message_comes_out_with_its_last_octet() {
    let octets = from_hex("903c40 3d41 c105 06 f001f7 e00040");
    let mut ends = Vec::new();
    let mut parser = StreamParser::new();
    for (at, octet) in octets.iter().enumerate() {
        parser.push(*octet, |_| ends.push(at));
    }
    assert_eq!(ends, [2, 4, 6, 7, 10, 13]);
}

#[test]
fn a_cut_sysex_is_never_a_message() {
    din("f001f002f7", "[sysex-cut 0 f001] f002f7");
    din("f001903c40", "[sysex-cut 0 f001] 903c40");
    din("f001f135", "[sysex-cut 0 f001] f135");
    din("f001f6", "[sysex-cut 0 f001] f6");
    din("f001f402f7", "[sysex-cut 0 f001] f402");
    din("f001", "[end-of-stream 0 f001]");
    din("f0", "[end-of-stream 0 f0]");
}

#[test]
fn system_common_cancels_running_status_and_has_none() {
    din("903c40 f112 3d40", "903c40 f112 [stray-data 5 3d40]");
    din("f20102 0304", "f20102 [stray-data 3 0304]");
    din("f305 06", "f305 [stray-data 2 06]");
    din("f6 0102", "f6 [stray-data 1 0102]");
    din("903c40 f001f7 3d40", "903c40 f001f7 [stray-data 6 3d40]");
    din("903c40 f4 903d40", "903c40 f4 903d40");
}

#[test]
fn a_stray_end_completes_nothing() {
    din(
        "903cf740",
        "[incomplete 0 903c] [stray-end 2 f7] [stray-data 3 40]",
    );
    din(
        "903c40f73d40",
        "903c40 [stray-end 3 f7] [stray-data 4 3d40]",
    );
    din("f7f7", "[stray-end 0 f7f7]");
    din("f001f7f7", "f001f7 [stray-end 3 f7]");
}

#[test]
fn running_status_holds_for_messages_of_two_and_three_octets() {
    din("c105060708", "c105 c106 c107 c108");
    din("903c403d003e", "903c40 903d00 [end-of-stream 5 3e]");
    din("d04041 e00040 0140", "d040 d041 e00040 e00140");
}

#[test]
fn real_time_comes_out_at_once_and_changes_nothing() {
    din("90f83cfa40", "f8 fa 903c40");
    din("903c40f83dfe40", "903c40 f8 fe 903d40");
    din("f0f801fcfff7", "f8 fc ff f001f7");
    din("f2f801fb02", "f8 fb f20102");
    din("f8fafbfcfeff", "f8 fa fb fc fe ff");
    din("01f802", "[stray-data 0 01] f8 [stray-data 2 02]");
}

#[test]
fn undefined_real_time_comes_out_like_the_others() {
    din("90f93cfd40", "f9 fd 903c40");
    din("f001f9fdf7", "f9 fd f001f7");
}

#[test]
fn incomplete_messages_are_reported() {
    din("903c914041", "[incomplete 0 903c] 914041");
    din("90", "[end-of-stream 0 90]");
    din(
        "903c40 3d 91",
        "903c40 [incomplete 3 3d] [end-of-stream 4 91]",
    );
    din("f201f6", "[incomplete 0 f201] f6");
    din("90f83cf6", "f8 [incomplete 0 903c] f6");
}

#[test]
fn undefined_messages_reach_to_the_next_status() {
    din("f40102903c40", "f40102 903c40");
    din("f40102f7903c40", "f40102 903c40");
    din("f401f802f7f7", "f8 f40102 [stray-end 5 f7]");
    din("f5f4f6", "f5 f4 f6");
    din("f501", "f501");
}

#[test]
fn the_empty_sysex_is_a_message() {
    din("f0f7", "f0f7");
    mido("f0f7", "f0f7");
}

#[test]
fn a_note_on_of_velocity_0_stays_one() {
    din("903c00", "903c00");
}

#[test]
fn pitch_bend_and_song_position_have_their_low_octet_first() {
    let bend = Message::parse(&[0xE0, 0x01, 0x40]).unwrap();
    assert_eq!(bend.to_string(), "pitchwheel channel=0 pitch=1");
    assert_eq!(bend.to_vec(), [0xE0, 0x01, 0x40]);
    let position = Message::parse(&[0xF2, 0x02, 0x01]).unwrap();
    assert_eq!(position.to_string(), "songpos pos=130");
    assert_eq!(position.to_vec(), [0xF2, 0x02, 0x01]);
}

#[test]
fn a_header_of_ascii_before_the_first_status_does_no_harm() {
    let octets = [&b"MIDI/1.0\r\n\r\n"[..], &[0x90, 60, 64]].concat();
    for dialect in [Dialect::Din, Dialect::Mido] {
        let said = listen_every_way(dialect, &octets);
        assert_eq!(said.len(), 2);
        assert!(matches!(
            said[0],
            Said::Discarded(DiscardReason::StrayData, 0, _)
        ));
    }
}

#[test]
fn the_encoder_leaves_out_what_it_may() {
    let messages =
        "90 3c 40|90 3d 40|f8|90 3e 40|91 3c 40|f1 35|91 3d 40|f0 01 f7|91 3e 40|c1 05|c1 06";
    let expected = "903c403d40f83e40913c40f135913d40f001f7913e40c10506";
    let mut encoder = Encoder::new().running_status(RunningStatus::On);
    let mut plain = Encoder::new();
    let (mut octets, mut all) = (Vec::new(), Vec::new());
    for message in messages.split('|').map(from_hex) {
        let message = Message::parse(&message).unwrap();
        encoder.encode_to(&message, &mut octets);
        plain.encode_to(&message, &mut all);
    }
    assert_eq!(to_hex(&octets), expected);
    assert_eq!(to_hex(&all), messages.replace([' ', '|'], ""));
}

#[test]
fn the_encoder_begins_anew_after_a_reset() {
    let note: MessageBuf = "note_on note=60".parse().unwrap();
    let mut encoder = Encoder::new().running_status(RunningStatus::On);
    let mut octets = Vec::new();
    encoder.encode_to(&note.as_message(), &mut octets);
    encoder.reset();
    encoder.encode_to(&note.as_message(), &mut octets);
    assert_eq!(to_hex(&octets), "903c40903c40");
}

#[test]
fn an_encoder_without_room_writes_nothing_and_stays_as_it_was() {
    let note: MessageBuf = "note_on note=60".parse().unwrap();
    let mut encoder = Encoder::new().running_status(RunningStatus::On);
    let mut out = [0; 3];
    for (room, needed) in [(2, 3), (3, 3), (1, 2), (2, 2)] {
        assert_eq!(encoder.encoded_len(&note.as_message()), needed);
        out = [0xEE; 3];
        let result = encoder.encode(&note.as_message(), &mut out[..room]);
        let available = room;
        if room < needed {
            assert_eq!(result, Err(BufferTooSmall { needed, available }));
            assert_eq!(out, [0xEE; 3]);
        } else {
            assert_eq!(result, Ok(needed));
        }
    }
    assert_eq!(out, [60, 64, 0xEE]);
}

#[test]
fn the_sets_are_those_of_mido() {
    let hex = |messages: &mut dyn Iterator<Item = netmidi_message::ChannelMessage>| {
        messages.fold(String::new(), |text, message| {
            text + &to_hex(&Message::from(message).to_vec())
        })
    };
    let per_channel = |controls: &[u8]| {
        (0..16)
            .flat_map(|channel| {
                controls
                    .iter()
                    .map(move |cc| to_hex(&[0xB0 | channel, *cc, 0]))
            })
            .collect::<String>()
    };
    assert_eq!(
        hex(&mut netmidi_message::all_notes_off()),
        per_channel(&[123])
    );
    assert_eq!(
        hex(&mut netmidi_message::reset_messages()),
        per_channel(&[123, 121])
    );
    assert_eq!(
        hex(&mut netmidi_message::panic_messages()),
        per_channel(&[120])
    );
    assert_eq!(
        hex(&mut netmidi_message::silence(netmidi_message::Channel::C3)),
        "b24000b24200b27b00b27800b27900e20040"
    );
}

#[test]
fn all_messages_of_a_slice_come_out_of_the_iterator() {
    let octets = from_hex("903c40 3df840 01 f4 f6 f0 01 f802 f7 f501");
    let messages: Vec<String> = netmidi_message::messages(&octets)
        .map(|message| to_hex(&message.to_vec()))
        .collect();
    assert_eq!(
        messages,
        [
            "903c40", "f8", "903d40", "f4", "f6", "f8", "f00102f7", "f501"
        ]
    );
}
