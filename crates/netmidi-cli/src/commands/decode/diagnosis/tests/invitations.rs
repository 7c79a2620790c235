//! Invitations that lead to nothing, and clocks that hear each other one way only.

use netmidi_wire::ClockCount::{Ck0, Ck1};
use netmidi_wire::ExchangeKind::{Accepted, Invitation, Rejected};

use super::*;

/// Traffic of others, so that time passes in the capture.
fn later(script: Script, ms: u64) -> Capture {
    let other = |port| SocketAddr::from(([198, 51, 100, 1], port));
    let rl = netmidi_wire::BitrateLimit {
        ssrc: Ssrc(9),
        bits_per_second: 0,
    };
    script
        .put(ms, other(5004), other(6004), rl.to_vec())
        .capture
}

#[test]
fn no_by_policy() {
    let refused = Script::default()
        .exchange(0, Invitation, false)
        .exchange(5, Rejected, false);
    expect(
        &refused.capture,
        &[
            "#.#.#.#:# refused the invitation of \"Piano\" in frame # at #.# s (NO): it is set to let \
         nobody in or not this peer, or it is full; allow \"Piano\" there, on a Mac in Audio MIDI \
         Setup under \"Who may connect to me\"",
        ],
    );
    let finding = &diagnose(&refused.capture)[0].findings[0];
    assert_eq!((finding.frame, finding.time), (Some(2), Some(0.005)));
}

#[test]
fn no_by_policy_of_a_real_session() {
    let mut it = Studio::with(
        1,
        |_| {},
        |stage| stage.admission = netmidi::Admission::Nobody,
    );
    it.net.invite(it.piano, it.stage);
    it.run(2_000);
    let found = masked(&it.capture());
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("refused the invitation of \"Piano\""),
        "{found:?}"
    );
}

#[test]
fn no_on_the_data_port() {
    let script = Script::default()
        .exchange(0, Invitation, false)
        .exchange(1, Accepted, false)
        .exchange(9_000, Invitation, true)
        .exchange(9_001, Rejected, true);
    expect(
        &script.capture,
        &[
            "\"Stage\" let \"Piano\" in on the control port and refused it on the data port in frame # at \
         #.# s (NO): the second half of the invitation came too late, or its last place was taken \
         meanwhile; invite again",
        ],
    );
}

#[test]
fn the_data_port_is_blocked() {
    let mut script = Script::default()
        .exchange(0, Invitation, false)
        .exchange(1, Accepted, false);
    for n in 0..4 {
        script = script.exchange(2 + n * 1000, Invitation, true);
    }
    let capture = script.capture;
    assert_eq!(
        warnings(&capture),
        [
            "\"Stage\" accepted the invitation of \"Piano\" on its control port 5004, but did not answer on \
         its data port 5005, where it was invited 4 times from frame 3 at 0.002000 s on: a firewall \
         blocks the data port; open UDP port 5005 as well as 5004",
        ]
    );
    // Cut before anybody could have answered.
    expect(&capture[..3], &[]);
}

#[test]
fn answers_do_not_reach_who_invited() {
    let mut script = Script::default();
    for n in 0..4 {
        script =
            script
                .exchange(n * 1000, Invitation, false)
                .exchange(n * 1000 + 1, Accepted, false);
    }
    expect(
        &script.capture,
        &[
            "\"Stage\" accepted the invitation of \"Piano\" in frame # at #.# s, but \"Piano\" did not go on \
         to the data port: the answer does not reach it; let UDP from #.#.#.#:# to #.#.#.#:# through",
        ],
    );
}

#[test]
fn nobody_answers() {
    let mut it = Studio::new(1);
    it.net.kill(it.stage);
    it.net.tap(it.piano);
    it.net.invite(it.piano, it.stage);
    it.run(20_000);
    expect(
        &it.capture(),
        &[
            "nobody answers at #.#.#.#:#, where \"Piano\" invited # times from frame # at #.# s on: no \
         session runs there, its control port is another one, or a firewall blocks it",
        ],
    );
}

#[test]
fn who_answers_late_is_healthy() {
    let mut it = Studio::new(1);
    it.net.kill(it.stage);
    it.net.tap(it.piano);
    it.net.invite(it.piano, it.stage);
    it.run(20_000);
    it.net.start(it.stage);
    it.run(5_000);
    expect(&it.capture(), &[]);
}

/// The same names and identities somewhere else.
fn stranger(script: Script, ssrc: Ssrc, name: &str) -> Script {
    let address = |port| SocketAddr::from(([192, 0, 2, 9], port));
    let packet = |kind, ssrc, name: &str| {
        let token = Token(7);
        let name = Some(name.into());
        Exchange {
            kind,
            token,
            ssrc,
            name,
        }
        .to_vec()
    };
    let them = packet(Invitation, ssrc, name);
    let us = packet(Accepted, STAGE, "Stage");
    script
        .put(50, address(5004), stage(5004), them.clone())
        .put(51, stage(5004), address(5004), us.clone())
        .put(52, address(5005), stage(5005), them)
        .put(53, stage(5005), address(5005), us)
}

#[test]
fn two_have_one_name() {
    let script = stranger(Script::default(), Ssrc(0x3333_3333), "Piano")
        .exchange(100, Invitation, false)
        .exchange(105, Rejected, false);
    expect(
        &script.capture,
        &[
            "#.#.#.#:# refused the invitation of \"Piano\" in frame # at #.# s (NO): #.#.#.#:# is called \
         \"Piano\" as well, a name conflict; give each of them a name of its own",
        ],
    );
}

#[test]
fn two_have_one_identity() {
    let script = stranger(Script::default(), PIANO, "Organ")
        .exchange(100, Invitation, false)
        .exchange(105, Rejected, false);
    expect(
        &script.capture,
        &[
            "#.#.#.#:# refused the invitation of \"Piano\" in frame # at #.# s (NO): #.#.#.#:# has the same \
         SSRC #x#, so one is taken for the other; restart one of them",
        ],
    );
}

#[test]
fn clock_questions_are_never_answered() {
    let mut script = Script::joined();
    for n in 0..5 {
        script = script.clock(10 + n * 500, 10 + n * 500, Ck0);
    }
    expect(
        &script.capture,
        &[
            "clock sync goes one way only: \"Piano\" asked # times from frame # at #.# s on (CK#), and \
         \"Stage\" never answered (CK#); let UDP to and from #.#.#.#:# through in both directions",
        ],
    );
}

#[test]
fn clock_answers_are_not_heard() {
    let mut script = Script::joined();
    for n in 0..5 {
        script =
            script
                .clock(10 + n * 500, 10 + n * 500, Ck0)
                .clock(11 + n * 500, 10 + n * 500, Ck1);
    }
    expect(
        &script.capture,
        &[
            "clock sync goes one way only: \"Stage\" answered # times from frame # at #.# s on (CK#), and \
         \"Piano\" never completed the exchange (CK#); the answers do not reach it: let UDP to it \
         through",
        ],
    );
}

#[test]
fn an_invitation_that_was_just_sent_is_no_trouble() {
    let capture = Script::default().exchange(0, Invitation, false).capture;
    expect(&capture, &[]);
    let capture = later(Script::default().exchange(0, Invitation, false), 1_500);
    assert_eq!(warnings(&capture).len(), 1);
}
