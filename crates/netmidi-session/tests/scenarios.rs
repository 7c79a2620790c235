//! The scenarios of the golden vectors, with their losses, through a whole session.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use netmidi_session::{Config, Event, LocalPort, PairId, Session, Time, UndefinedCommands};
use netmidi_testkit::{ScriptedPeer, events, scenarios, to_hex};
use netmidi_wire::Ssrc;

#[test]
fn every_scenario_plays_what_it_must() {
    let scenarios = scenarios();
    let mut wrong = Vec::new();
    for scenario in &scenarios {
        let mut config = Config::new("ours");
        config.undefined = UndefinedCommands::Carry;
        let mut session = Session::new(config, 1, Time::ZERO).unwrap();
        let mut peer = ScriptedPeer::new(1);
        let ssrc = &scenario.packets[0].0[8..12];
        peer.ssrc = Ssrc(u32::from_be_bytes(ssrc.try_into().unwrap()));
        peer.join(&mut session, Time::ZERO);
        let mut played = Vec::new();
        let mut lost = 0;
        for (n, (octets, delivered)) in (0..).zip(&scenario.packets) {
            if *delivered {
                let local = LocalPort::data(PairId(0));
                session.handle_datagram(Time::from_millis(n), local, peer.data, octets);
            }
            for event in events(&mut session) {
                match event {
                    Event::Message { message, .. } => played.push(to_hex(&message.to_vec())),
                    Event::Lost { packets, .. } => lost += packets,
                    other => panic!("{}: {other:?}", scenario.name),
                }
            }
        }
        let expected: Vec<_> = scenario.executed.iter().map(|it| to_hex(it)).collect();
        if played != expected {
            wrong.push(format!(
                "{}: {played:?} and not {expected:?}",
                scenario.name
            ));
        }
        assert!(lost as usize <= scenario.packets.len(), "{}", scenario.name);
    }
    assert_eq!(scenarios.len(), 62);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
