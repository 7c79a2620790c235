//! The scenario vectors, which others wrote: what a recorder says after the same messages.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic here is a failed test"
)]

use netmidi_journal::{Form, Journal, ParameterFlags, Recorder, RecorderConfig};
use netmidi_message::{Channel, ChannelMessage, Note, U7};
use netmidi_testkit::{OwnedJournal, from_hex, to_hex, vectors};
use netmidi_wire::{Command, Datagram, SysExSegment};

/// Journals that a recorder writes in another way, and why.
const DIFFERENT: &[(&str, usize, &str)] = &[];

#[test]
fn journals_are_those_of_the_scenarios() {
    let mut compared = 0;
    let mut failures = Vec::new();
    for vector in vectors("scenarios") {
        let packets = vector.json["packets"].as_array().unwrap();
        let mut packets: Vec<_> = packets
            .iter()
            .map(|packet| from_hex(packet["hex"].as_str().unwrap()))
            .collect();
        // As they were sent: one arrives late.
        let seq = |octets: &[u8]| match Datagram::parse(octets).unwrap() {
            Datagram::Rtp(packet) => packet.header().seq,
            _ => panic!("not a packet"),
        };
        let first = packets
            .iter()
            .map(|it| seq(it))
            .min_by_key(|it| it.distance_from(seq(&packets[0])))
            .unwrap();
        packets.sort_by_key(|it| seq(it).distance_from(first));
        let mut recorder = Recorder::new(RecorderConfig::default(), first);
        let mut data = Vec::new();
        for (number, octets) in packets.iter().enumerate() {
            let Ok(Datagram::Rtp(packet)) = Datagram::parse(octets) else {
                panic!("{}: not a packet", vector.name)
            };
            let section = packet.command_section().unwrap();
            let now = packet.header().timestamp;
            let mut out = [0; 1400];
            let written = recorder.write(now, Form::Full, &mut out).unwrap();
            assert!(written.complete);
            let expected = section.journal().unwrap_or_default();
            let found = &out[..written.len];
            compared += 1;
            if plain(found) != plain(expected) {
                failures.push((
                    vector.name.clone(),
                    number + 1,
                    to_hex(found),
                    to_hex(expected),
                ));
            }
            for timed in section.commands() {
                let timed = timed.unwrap();
                let at = timed.timestamp;
                match timed.command {
                    Command::Message(message) => recorder.record(at, message),
                    Command::SysEx(segment) => todo!(),
                }
            }
            recorder.end_packet();
        }
    }
    for failure in &failures {
        println!("{failure:?}");
    }
    assert!(failures.is_empty());
    println!("{compared}");
}
