//! The scenario vectors, which others wrote: what a recorder says after the same messages.

#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic here is a failed test"
)]

use netmidi_journal::{Form, Journal, ParameterFlags, Recorder, RecorderConfig};
use netmidi_testkit::{OwnedJournal, Vector, from_hex, to_hex, vectors};
use netmidi_wire::{Command, Datagram, RtpPacket, RtpTimestamp, SegmentKind};

/// Packets of which a recorder writes another journal, or none: scenario, packet, reason.
const DIFFERENT: &[(&str, usize, &str)] = &[
    ("note-on-lost-skip", 3, PLAY),
    ("no-loss-journal-ignored", 3, PLAY),
    ("multi-loss-two-channels", 3, PLAY),
    (
        "first-packet-journal-applied",
        1,
        "what is told was sent before",
    ),
    ("malformed-journal-list-still-plays", 2, "cut on purpose"),
    ("apple-checkpoint-own-number", 2, CHECKPOINT),
    ("apple-checkpoint-own-number", 3, CHECKPOINT),
    ("all-notes-off-by-value-tool", 2, VALUE_TOOL),
    ("all-notes-off-by-value-tool", 3, VALUE_TOOL),
    ("all-notes-off-by-value-tool", 4, VALUE_TOOL),
    ("loss-without-journal", 3, "a sender that has stopped"),
    ("checkpoint-too-new", 4, CHECKPOINT),
    ("apple-checkpoint-two-lost", 4, CHECKPOINT),
];
const PLAY: &str = "a note-on of 10 ms ago is not worth playing";
const CHECKPOINT: &str = "a checkpoint above the packets that were lost";
const VALUE_TOOL: &str = "the value tool where a count is better";

#[test]
fn journals_are_those_of_the_scenarios() {
    let (mut same, mut different) = (0, Vec::new());
    for vector in vectors("scenarios") {
        replay(&vector, |packet, written, expected| {
            if plain(written) == plain(expected) {
                same += 1;
            } else {
                println!(
                    "{} {packet}:\n  {}\n  {}",
                    vector.name,
                    to_hex(written),
                    to_hex(expected)
                );
                different.push((vector.name.clone(), packet));
            }
        });
    }
    let expected: Vec<_> = DIFFERENT
        .iter()
        .map(|(name, packet, _)| ((*name).to_owned(), *packet))
        .collect();
    assert_eq!((same, different), (204, expected));
}

/// Records the packets of a scenario; shows for each its number, from 1, with the journal of the
/// recorder and its own.
fn replay(vector: &Vector, mut compare: impl FnMut(usize, &[u8], &[u8])) {
    let packets = vector.json["packets"].as_array().unwrap();
    let octets: Vec<_> = packets
        .iter()
        .map(|packet| from_hex(packet["hex"].as_str().unwrap()))
        .collect();
    let mut packets: Vec<_> = octets.iter().map(|octets| rtp(octets)).collect();
    // One arrives late.
    let first = packets[0].header().seq;
    packets.sort_by_key(|packet| packet.header().seq.distance_from(first));

    let mut recorder = Recorder::new(RecorderConfig::default(), first);
    let mut sysex = Vec::new();
    for (packet, number) in packets.iter().zip(1..) {
        let section = packet.command_section().unwrap();
        let mut out = [0; 1400];
        let now = packet.header().timestamp;
        let written = recorder.write(now, Form::Full, &mut out).unwrap();
        assert!(written.complete);
        compare(
            number,
            &out[..written.len],
            section.journal().unwrap_or_default(),
        );
        for timed in section.commands() {
            if let Some(command) = timed.command {
                record(&mut recorder, timed.timestamp, command, &mut sysex);
            }
        }
        recorder.end_packet();
    }
}

fn record(recorder: &mut Recorder, at: RtpTimestamp, command: Command<'_>, sysex: &mut Vec<u8>) {
    let segment = match command {
        Command::Message(message) => return recorder.record(at, message),
        Command::SysEx(segment) => segment,
    };
    if segment.kind() == SegmentKind::Cancel {
        return recorder.cancel_sysex();
    }
    if segment.kind().begins() {
        sysex.clear();
    }
    let start = sysex.len();
    sysex.extend_from_slice(segment.data());
    recorder.record_sysex(at, sysex, start..sysex.len(), segment.kind().ends());
}

fn rtp(octets: &[u8]) -> RtpPacket<'_> {
    match Datagram::parse(octets).unwrap() {
        Datagram::Rtp(packet) => packet,
        other => panic!("{other:?}"),
    }
}

/// A journal without what is a matter of taste: the short form of chapter M.
fn plain(octets: &[u8]) -> Option<OwnedJournal> {
    let journal = Journal::parse(octets).ok()?;
    assert!(journal.surplus().is_empty());
    let mut journal = OwnedJournal::read(&journal);
    for channel in &mut journal.channels {
        if let Some(parameters) = &mut channel.parameters {
            parameters.flags = ParameterFlags::NONE;
        }
    }
    Some(journal)
}
