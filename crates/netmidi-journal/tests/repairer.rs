//! The repairer, packet by packet: every golden scenario, and what holds for all journals.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic here is a failed test"
)]

use netmidi_journal::{Arrival, Joined, Journal, Repair, Repairer, RepairerConfig};
use netmidi_testkit::strategies::{any_message, journal};
use netmidi_testkit::{fuzz, properties, scenarios};
use netmidi_wire::{Command, Datagram, SeqNum};
use proptest::collection::vec;
use proptest::prelude::*;

/// A receiver that decides by the sequence number alone where a packet stands.
struct Receiver {
    repairer: Repairer,
    highest: Option<SeqNum>,
    executed: Vec<Vec<u8>>,
}

impl Receiver {
    fn new() -> Self {
        Self {
            repairer: Repairer::new(RepairerConfig::default()),
            highest: None,
            executed: Vec::new(),
        }
    }

    fn receive(&mut self, datagram: &[u8]) -> Repair {
        let Ok(Datagram::Rtp(packet)) = Datagram::parse(datagram) else {
            panic!("an RTP packet");
        };
        let section = packet.command_section().unwrap();
        let header = packet.header();
        let arrival = match self.highest.map(|it| header.seq.distance_from(it)) {
            None => Arrival::First,
            Some(1) => Arrival::InOrder,
            Some(2..) => Arrival::Gap,
            Some(_) => return Repair::default(),
        };
        self.highest = Some(header.seq);
        let Self {
            repairer, executed, ..
        } = self;
        repairer.begin(header.seq, header.timestamp, arrival);
        let mut repair = Repair::default();
        if repairer.needs_repair() {
            let journal = section.journal().and_then(|it| Journal::salvage(it).ok());
            repair = repairer.repair(journal.as_ref(), &section, &mut |message| {
                executed.push(message.to_vec());
            });
        }
        for timed in section.commands() {
            match timed.command.unwrap() {
                Command::Message(message) => {
                    executed.push(message.to_vec());
                    repairer.observe(timed.timestamp, message);
                }
                Command::SysEx(segment) => {
                    if let (Joined::Whole(sysex), _) = repairer.join(segment) {
                        executed.push(netmidi_message::Message::from(sysex).to_vec());
                    }
                }
            }
        }
        repair
    }
}

#[test]
fn every_scenario_is_executed_as_expected() {
    let scenarios = scenarios();
    assert_eq!(scenarios.len(), 62);
    let mut wrong = Vec::new();
    for scenario in scenarios {
        let mut receiver = Receiver::new();
        for (datagram, delivered) in &scenario.packets {
            if *delivered {
                receiver.receive(datagram);
            }
        }
        if receiver.executed != scenario.executed {
            wrong.push(format!(
                "{}:\n  {:02x?} instead of\n  {:02x?}",
                scenario.name, receiver.executed, scenario.executed
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

proptest! {
    #![proptest_config(properties())]

    /// The fuzz body says what is asserted, and where a repair need not be the last.
    #[test]
    fn the_same_journal_again_hands_out_nothing(
        how in any::<u8>(),
        had in vec(any_message(), 0..60),
        fields in journal(),
    ) {
        let mut octets: Vec<u8> = had.iter().flat_map(|it| it.to_vec()).take(255).collect();
        octets.splice(0..0, [how, octets.len() as u8]);
        octets.extend(fields.encode().unwrap());
        fuzz::journal_repair(&octets);
    }

    #[test]
    fn any_octets_are_survived(octets in vec(any::<u8>(), 0..200)) {
        fuzz::journal_repair(&octets);
    }
}
