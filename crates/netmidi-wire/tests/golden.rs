//! The golden vectors: what an independent decoder reads, and for the canonical ones the way back.

#![allow(clippy::indexing_slicing, reason = "a panic here is a failed test")]

use netmidi_message::Message;
use netmidi_testkit::{Vector, rewrite, to_hex, vectors};
use netmidi_wire::{
    Command, CommandSection, Control, Datagram, Exchange, ParseError, RtpPacket, SegmentKind,
    TimedCommand,
};
use serde_json::{Value, json};

/// How many vectors were compared, so that none is left out unnoticed.
#[derive(Debug, Default, PartialEq)]
struct Compared {
    vectors: usize,
    rtp_headers: usize,
    command_sections: usize,
    session_packets: usize,
    errors: usize,
    written_again: usize,
}

#[test]
fn session_packets_read_as_expected_and_write_back() {
    assert_eq!(
        compare("applemidi"),
        Compared {
            vectors: 24,
            session_packets: 17,
            errors: 7,
            written_again: 14,
            ..Compared::default()
        }
    );
}

#[test]
fn command_sections_read_as_expected_and_write_back() {
    assert_eq!(
        compare("commands"),
        Compared {
            vectors: 42,
            rtp_headers: 42,
            command_sections: 42,
            written_again: 39,
            ..Compared::default()
        }
    );
}

#[test]
fn malformed_packets_are_refused_for_the_right_reason() {
    // 31 more are malformed in the journal only: their list is good.
    assert_eq!(
        compare("malformed"),
        Compared {
            vectors: 54,
            rtp_headers: 47,
            command_sections: 32,
            errors: 23,
            ..Compared::default()
        }
    );
}

#[test]
fn lists_before_a_journal_read_as_expected_and_write_back() {
    for (file, vectors, written_again) in [
        ("journal-channel", 40, 38),
        ("journal-system", 28, 28),
        ("journal-combined", 9, 7),
    ] {
        assert_eq!(
            compare(file),
            Compared {
                vectors,
                rtp_headers: vectors,
                command_sections: vectors,
                written_again,
                ..Compared::default()
            },
            "{file}"
        );
    }
}

fn compare(file: &str) -> Compared {
    let mut compared = Compared::default();
    for vector in vectors(file) {
        compared.vectors += 1;
        match vector.kind.as_str() {
            "applemidi" => compare_control(&vector, &mut compared),
            "rtp-midi" => compare_rtp(&vector, &mut compared),
            kind => panic!("{}: unknown kind {kind}", vector.name),
        }
    }
    compared
}

fn compare_control(vector: &Vector, compared: &mut Compared) {
    let name = &vector.name;
    let control = match Datagram::parse(&vector.octets) {
        Ok(Datagram::Control(control)) => control,
        Ok(other) => panic!("{name}: {other:?}"),
        Err(error) => return compare_error(vector, error, compared),
    };
    assert_eq!(control_json(&control), vector.expect["applemidi"], "{name}");
    compared.session_packets += 1;
    if vector.canonical {
        assert_eq!(to_hex(&control.to_vec()), to_hex(&vector.octets), "{name}");
        compared.written_again += 1;
    }
}

fn compare_rtp(vector: &Vector, compared: &mut Compared) {
    let name = &vector.name;
    let packet = match Datagram::parse(&vector.octets) {
        Ok(Datagram::Rtp(packet)) => packet,
        Ok(other) => panic!("{name}: {other:?}"),
        Err(error) => return compare_error(vector, error, compared),
    };
    assert_eq!(rtp_json(&packet), vector.expect["rtp"], "{name}");
    compared.rtp_headers += 1;

    let section = match packet.command_section() {
        Ok(section) => section,
        Err(error) => return compare_error(vector, error, compared),
    };
    assert_eq!(section_json(&section), vector.expect["midi"], "{name}");
    compared.command_sections += 1;

    if let Some(anomaly) = section.anomaly() {
        compare_error(vector, anomaly, compared);
    } else if let Some(error) = vector.expect.get("error") {
        assert_eq!(error["layer"], "journal", "{name} was accepted");
    }
    if vector.canonical {
        let again = rewrite(&packet).expect("a short packet");
        assert_eq!(to_hex(&again), to_hex(&vector.octets), "{name}");
        compared.written_again += 1;
    }
}

fn compare_error(vector: &Vector, error: ParseError, compared: &mut Compared) {
    let name = &vector.name;
    let found = json!({ "layer": error.layer().code(), "code": error.code() });
    assert_eq!(found, vector.expect["error"], "{name}: {error}");
    assert!(error.offset() <= vector.octets.len(), "{name}: {error}");
    compared.errors += 1;
}

fn control_json(control: &Control<'_>) -> Value {
    match control {
        Control::Exchange(Exchange {
            kind,
            token,
            ssrc,
            name,
        }) => json!({
            "command": kind.code().to_string(),
            "version": 2,
            "token": token.0,
            "ssrc": ssrc.0,
            "name": name.map(|it| it.to_string()),
        }),
        Control::Clock(clock) => json!({
            "command": "CK",
            "ssrc": clock.ssrc.0,
            "count": clock.count as u8,
            "timestamps": clock.timestamps.map(|it| it.0),
        }),
        Control::Feedback(feedback) => json!({
            "command": "RS",
            "ssrc": feedback.ssrc.0,
            "sequence": feedback.seq.0,
            "low16": feedback.low,
        }),
        Control::BitrateLimit(limit) => json!({
            "command": "RL",
            "ssrc": limit.ssrc.0,
            "bitrate": limit.bits_per_second,
        }),
    }
}

fn rtp_json(packet: &RtpPacket<'_>) -> Value {
    let header = packet.header();
    json!({
        "marker": u8::from(header.marker),
        "payload_type": header.payload_type.get(),
        "sequence": header.seq.0,
        "timestamp": header.timestamp.0,
        "ssrc": header.ssrc.0,
        "padding": u8::from(packet.is_padded()),
        "extension": u8::from(packet.extension().is_some()),
        "csrc": packet.csrc().map(|it| it.0).collect::<Vec<_>>(),
    })
}

fn section_json(section: &CommandSection<'_>) -> Value {
    json!({
        "b": u8::from(section.is_long()),
        "j": u8::from(section.has_journal()),
        "z": u8::from(section.has_first_delta()),
        "p": u8::from(section.is_phantom()),
        "len": section.list().len(),
        "list": section.commands().map(|it| command_json(&it)).collect::<Vec<_>>(),
    })
}

fn command_json(command: &TimedCommand<'_>) -> Value {
    let mut item = json!({
        "delta": command.delta.get(),
        "timestamp": command.timestamp.0,
        "command": to_hex(&command_octets(command.command)),
    });
    if command.running {
        item["running"] = json!(1);
    }
    if let Some(Command::SysEx(segment)) = command.command {
        item["sysex"] = json!(match segment.kind() {
            SegmentKind::Whole => "whole",
            SegmentKind::WholeDroppedEnd => "whole-dropped-f7",
            SegmentKind::First => "first",
            SegmentKind::Middle => "middle",
            SegmentKind::Last => "last",
            SegmentKind::LastDroppedEnd => "last-dropped-f7",
            SegmentKind::Cancel => "cancel",
        });
    }
    item
}

/// As the vectors show commands: with status, system exclusive segments and undefined commands
/// with the ends that the list gives them.
fn command_octets(command: Option<Command<'_>>) -> Vec<u8> {
    match command {
        None => Vec::new(),
        Some(Command::Message(message @ Message::Undefined(_))) => {
            [message.to_vec(), vec![0xF7]].concat()
        }
        Some(Command::Message(message)) => message.to_vec(),
        Some(Command::SysEx(segment)) => {
            let kind = segment.kind();
            [&[kind.head()], segment.data(), &[kind.tail()]].concat()
        }
    }
}
