//! Rules that somebody breaks, each with its section.

use netmidi_journal::Chapter;
use netmidi_testkit::strip;

use super::*;

/// Some notes from both sides; nothing is wrong.
fn concert() -> Capture {
    let mut it = Studio::joined(3);
    for note in 60..72 {
        for host in [it.piano, it.stage] {
            // Faster than anybody can acknowledge, so that journals have something to tell.
            it.play_from(host, on(note));
            it.run(1);
            it.play_from(host, off(note));
            it.run(1);
        }
    }
    it.run(2_000);
    it.capture()
}

/// The RTP packets of the piano with commands.
fn played(capture: &[Passed]) -> Vec<usize> {
    (0..capture.len())
        .filter(|index| {
            let it = &capture[*index];
            is_rtp(it) && it.from == piano(5005) && it.octets[12] & 0x8F != 0
        })
        .collect()
}

/// Breaks a rule in the fifth packet of the piano, and expects this to be told.
#[track_caller]
fn breaks(damage: impl Fn(&mut Vec<u8>), what: &str) {
    let mut capture = concert();
    let index = played(&capture)[5];
    damage(&mut capture[index].octets);
    expect(&capture, &[what]);
    let report = &diagnose(&capture)[0];
    assert_eq!(report.findings[0].frame, Some(index as u64 + 1));
    assert!(report.findings[0].section.is_some());
}

#[test]
fn nothing_is_broken_before() {
    expect(&concert(), &[]);
}

#[test]
fn packets_that_cannot_be_read() {
    breaks(
        |octets| octets[12] |= 0x8F,
        "\"Piano\" broke a rule in frame # at #.# s: packet # cannot be read: MIDI list at byte # claims \
         # octets, # are left (RFC # §#)",
    );
    // Whose number nobody can read is lost.
    let mut capture = concert();
    let index = played(&capture)[5];
    capture[index].octets[0] = 0x40;
    let found = masked(&capture);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("repaired what they did"), "{found:?}");
    assert_eq!(
        found[1],
        "\"Piano\" broke a rule in frame # at #.# s: a packet of # octets cannot be read: RTP version is \
         #, only # is known (RFC # §#.#)"
    );
}

#[test]
fn a_journal_that_is_cut() {
    breaks(
        |octets| {
            octets.pop();
        },
        "\"Piano\" broke a rule in frame # at #.# s: the journal of packet # is damaged: channel journal \
         at byte # claims # octets, # are left (RFC # §#)",
    );
}

#[test]
fn octets_that_belong_to_nothing() {
    breaks(
        |octets| octets.push(0),
        "\"Piano\" broke a rule in frame # at #.# s: # octets in the journal of packet # belong to \
         nothing (RFC # §#)",
    );
    breaks(
        |octets| octets[12] &= !0x40,
        "\"Piano\" broke a rule in frame # at #.# s: packet #: # octets follow the MIDI list at byte # \
         and no journal is announced (RFC # §#)",
    );
}

#[test]
fn a_checkpoint_that_is_not_in_the_past() {
    breaks(
        |octets| {
            let at = 13 + usize::from(octets[12] & 0x0F) + 1;
            let own = [octets[2], octets[3]];
            octets[at..at + 2].copy_from_slice(&own);
        },
        "\"Piano\" broke a rule in frame # at #.# s: the journal of packet # begins with packet #, which \
         is not before it (RFC # §#)",
    );
}

#[test]
fn a_wrong_payload_type() {
    breaks(
        |octets| octets[1] = 98,
        "\"Piano\" broke a rule in frame # at #.# s: packet # has the payload type #, MIDI has # (Apple's \
         MIDI Network Driver Protocol)",
    );
}

#[test]
fn time_that_runs_backwards() {
    breaks(
        |octets| {
            let at = u32::from_be_bytes(octets[4..8].try_into().unwrap());
            octets[4..8].copy_from_slice(&at.wrapping_sub(100_000).to_be_bytes());
        },
        "\"Piano\" broke a rule in frame # at #.# s: the time stamp of packet # is # ms before that of \
         # (RFC # §#.#)",
    );
}

#[test]
fn journals_that_leave_something_out() {
    let mut capture = concert();
    for it in &mut capture {
        if it.from == piano(5005) {
            it.octets = strip(&it.octets, Some(Chapter::N));
        }
    }
    let found = masked(&capture);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("\"Piano\" broke a rule # times, first in frame # at #.# s: "),
        "{found:?}"
    );
    assert!(
        found[0].contains(" and says nothing of note # on channel #, which packet # did"),
        "{found:?}"
    );
    assert!(found[0].ends_with("(RFC # §A.#)"), "{found:?}");
}

#[test]
fn s_bits_that_hide_the_packet_just_before() {
    let mut capture = concert();
    for it in &mut capture {
        if is_rtp(it) && it.from == piano(5005) && it.octets[12] & 0xC0 == 0x40 {
            let at = 13 + usize::from(it.octets[12] & 0x0F);
            if it.octets[at] & 0x20 != 0 {
                it.octets[at] |= 0x80;
            }
        }
    }
    let found = masked(&capture);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains(
            "the journal of packet # has S=# (not in the packet just before) for note # on channel #, \
             which packet # did (RFC # §#.#)"
        ),
        "{found:?}"
    );
}

/// Renumbers the piano's packets from the sixth with commands on; what refers to numbers goes.
fn renumbered(change: impl Fn(u16, usize) -> u16) -> Capture {
    let mut capture = concert();
    let from = played(&capture)[5];
    capture.retain(|it| !is_control(it, "RS"));
    let from = from.min(capture.len() - 1);
    let packets = capture.iter_mut().skip(from);
    for (count, it) in packets
        .filter(|it| is_rtp(it) && it.from == piano(5005))
        .enumerate()
    {
        let seq = u16::from_be_bytes([it.octets[2], it.octets[3]]);
        it.octets[2..4].copy_from_slice(&change(seq, count).to_be_bytes());
    }
    for it in &mut capture {
        it.octets = strip(&it.octets, None);
    }
    capture
}

#[test]
fn numbers_that_jump() {
    let capture = renumbered(|seq, _| seq.wrapping_add(10_000));
    let found = masked(&capture);
    assert!(
        found.contains(
            &"\"Piano\" broke a rule in frame # at #.# s: its sequence numbers jump from # to # (RFC # \
              §#.#)"
                .to_owned()
        ),
        "{found:?}"
    );
    let capture = renumbered(|seq, _| seq.wrapping_sub(40));
    let found = masked(&capture);
    assert!(
        found.contains(
            &"\"Piano\" broke a rule in frame # at #.# s: its sequence numbers fall back from # to # (RFC \
              # §#.#)"
                .to_owned()
        ),
        "{found:?}"
    );
}

#[test]
fn numbers_that_stand_still() {
    let mut capture = concert();
    capture.retain(|it| !is_control(it, "RS"));
    for it in capture
        .iter_mut()
        .filter(|it| is_rtp(it) && it.from == piano(5005))
    {
        it.octets = strip(&it.octets, None);
        it.octets[2..4].copy_from_slice(&[0, 75]);
    }
    let found = masked(&capture);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("two different packets have the sequence number #"),
        "{found:?}"
    );
}

#[test]
fn feedback_for_what_was_never_sent() {
    let mut capture = concert();
    let index = capture.iter().rposition(|it| is_control(it, "RS")).unwrap();
    let seq = u16::from_be_bytes([capture[index].octets[8], capture[index].octets[9]]);
    capture[index].octets[8..10].copy_from_slice(&seq.wrapping_add(500).to_be_bytes());
    let found = masked(&capture);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0]
            .contains("its feedback (RS) reports packet #, which was never sent to it (Apple's"),
        "{found:?}"
    );
}

#[test]
fn feedback_in_the_lower_half() {
    let mut capture = concert();
    for it in capture
        .iter_mut()
        .filter(|it| is_control(it, "RS") && it.from == stage(5004))
    {
        let seq = [it.octets[8], it.octets[9]];
        it.octets[8..10].copy_from_slice(&[0, 0]);
        it.octets[10..12].copy_from_slice(&seq);
    }
    let found = masked(&capture);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("in the lower half of the field"),
        "{found:?}"
    );
}

#[test]
fn packets_at_the_wrong_port() {
    let mut capture = concert();
    let midi = played(&capture)[5];
    capture[midi].from = piano(5004);
    capture[midi].to = stage(5004);
    let clock = capture.iter().position(|it| is_clock(it, 0)).unwrap();
    capture[clock].from = piano(5004);
    capture[clock].to = stage(5004);
    let rs = capture
        .iter()
        .rposition(|it| is_control(it, "RS") && it.from == piano(5004))
        .unwrap();
    capture[rs].from = piano(5005);
    capture[rs].to = stage(5005);
    expect(
        &capture,
        &[
            "\"Piano\" broke a rule in frame # at #.# s: it sends clock packets (CK) to the control port \
         (Apple's MIDI Network Driver Protocol)",
            "\"Piano\" broke a rule in frame # at #.# s: it sends MIDI (packet #) to the control port (Apple's \
         MIDI Network Driver Protocol)",
            "\"Piano\" broke a rule in frame # at #.# s: it sends receiver feedback (RS) to the data port \
         (Apple's MIDI Network Driver Protocol)",
        ],
    );
}

#[test]
fn midi_before_the_session_is_up_and_after_its_end() {
    let mut it = Studio::joined(3);
    it.play(on(60));
    it.run(100);
    it.play(off(60));
    it.run(2_000);
    it.net.close(it.piano);
    it.run(2_000);
    let capture = it.capture();
    let first = played(&capture)[0];
    let mut early = capture.clone();
    let packet = early.remove(first);
    early.insert(2, packet);
    expect(
        &early,
        &[
            "\"Piano\" broke a rule in frame # at #.# s: it sends MIDI (packet #) before the session is up \
         (Apple's MIDI Network Driver Protocol)",
        ],
    );
    let mut late = capture;
    let last = played(&late)[1];
    let mut packet = late[last].clone();
    packet.octets = strip(&packet.octets, None);
    let newest = late.iter().rfind(|it| is_rtp(it) && it.from == piano(5005));
    let newest = &newest.unwrap().octets;
    let seq = u16::from_be_bytes([newest[2], newest[3]]).wrapping_add(1);
    packet.octets[2..4].copy_from_slice(&seq.to_be_bytes());
    packet.octets[4..8].copy_from_slice(&newest[4..8]);
    late.push(packet);
    expect(
        &late,
        &[
            "\"Piano\" broke a rule in frame # at #.# s: it sends MIDI (packet #) after it has ended the \
         session (BY) (Apple's MIDI Network Driver Protocol)",
        ],
    );
}

#[test]
fn strange_identities() {
    let mut capture = concert();
    let index = played(&capture)[5];
    let mut packet = capture[index].clone();
    packet.octets = strip(&packet.octets, None);
    packet.octets[8..12].copy_from_slice(&[9; 4]);
    capture.insert(index, packet);
    let found = masked(&capture);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("it sends MIDI as #x#, but has joined as #x"),
        "{found:?}"
    );
}

#[test]
fn answers_to_nothing() {
    let mut script = Script::joined().capture;
    script[1].octets[8] ^= 1;
    let found = masked(&script);
    assert!(
        found[0].contains("it answers an invitation with the token "),
        "{found:?}"
    );
    let mut script = Script::joined().capture;
    script[3].octets[12] ^= 1;
    let found = masked(&script);
    assert!(
        found[0].contains(" on the data port and #x# on the control port"),
        "{found:?}"
    );
}

#[test]
fn undefined_commands() {
    let mut it = Studio::joined(3);
    it.play(on(60));
    it.run(500);
    it.play(off(60));
    it.run(500);
    let mut capture = it.capture();
    let index = played(&capture)[0];
    let octets = strip(&capture[index].octets, None);
    capture[index].octets = [&octets[..12], &[1, 0xF9]].concat();
    capture.retain(|it| !is_control(it, "RS"));
    let mut seen = false;
    capture.retain(|it| {
        let keep = !seen || !is_rtp(it);
        seen |= is_rtp(it) && it.octets[13..] == [0xF9];
        keep
    });
    let found = masked(&capture);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("holds the undefined command"),
        "{found:?}"
    );
    assert!(found[0].ends_with("(RFC # §C.#)"), "{found:?}");
}
