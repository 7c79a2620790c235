//! Packets that are lost, and what the journal makes of it.

use netmidi::JournalPolicy;
use netmidi_testkit::strip;

use super::*;

/// Note 60 is pressed; the packet that lets it go is lost.
fn with_lost_off(studio: &mut Studio) {
    studio.play(on(60));
    studio.run(1_500);
    studio.play(off(60));
    studio.lose(10);
    studio.run(1_500);
}

/// The first packet after a loss.
fn after_gap(capture: &[Passed]) -> usize {
    let number = |it: &Passed| u16::from_be_bytes([it.octets[2], it.octets[3]]);
    let packets: Vec<usize> = (0..capture.len())
        .filter(|index| is_rtp(&capture[*index]) && capture[*index].from == piano(5005))
        .collect();
    let gap = packets
        .windows(2)
        .find(|it| number(&capture[it[1]]).wrapping_sub(number(&capture[it[0]])) > 1);
    gap.unwrap()[1]
}

#[test]
fn the_journal_repairs() {
    let mut it = Studio::joined(1);
    with_lost_off(&mut it);
    let capture = it.capture();
    let index = after_gap(&capture);
    expect(
        &capture,
        &[
            "# packet of \"Piano\" was lost before frame # at #.# s: number #; the journal of packet # \
         repaired what they did, with # message: note_off channel=# note=# velocity=#",
        ],
    );
    let report = &diagnose(&capture)[0];
    assert_eq!(report.findings[0].frame, Some(index as u64 + 1));
    assert!(
        report.findings[0]
            .text
            .contains("note_off channel=0 note=60"),
        "{report}"
    );
    let piano = report
        .directions
        .iter()
        .find(|it| it.from == "\"Piano\"")
        .unwrap();
    assert_eq!((piano.lost, piano.repaired), (1, 1));
}

#[test]
fn the_journal_has_nothing_to_put_right() {
    let mut it = Studio::joined(1);
    it.play(on(60));
    it.run(1_500);
    // Over before anybody could hear it.
    it.play(on(70));
    it.play(off(70));
    it.lose(5);
    it.run(1_500);
    let capture = it.capture();
    expect(
        &capture,
        &[
            "# packet of \"Piano\" was lost before frame # at #.# s: number #; the journal of packet # \
         covers them, and nothing had to be put right",
        ],
    );
}

#[test]
fn without_a_journal_the_note_hangs() {
    let mut it = Studio::with(1, |piano| piano.journal = JournalPolicy::Off, |_| {});
    it.net.invite(it.piano, it.stage);
    it.run(3_000);
    with_lost_off(&mut it);
    it.play(on(64));
    it.run(100);
    it.play(off(64));
    it.run(500);
    expect(
        &it.capture(),
        &[
            "# packet of \"Piano\" was lost before frame # at #.# s: number #; packet # has no journal, so \
         what they did is lost for good",
            "note # (C#) on channel # of \"Piano\" is on since frame # at #.# s and was never let go: that \
         was in the # packet lost before frame # at #.# s, which no journal repaired; send \"all notes \
         off\"",
        ],
    );
}

#[test]
fn a_journal_taken_out_on_the_way_is_the_same() {
    let mut it = Studio::joined(1);
    with_lost_off(&mut it);
    let mut capture = it.capture();
    for passed in &mut capture {
        passed.octets = strip(&passed.octets, None);
    }
    let found = warnings(&capture);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].ends_with("has no journal, so what they did is lost for good"),
        "{found:?}"
    );
}

#[test]
fn a_damaged_journal_repairs_nothing() {
    let mut it = Studio::joined(1);
    with_lost_off(&mut it);
    let mut capture = it.capture();
    let index = after_gap(&capture);
    capture.truncate(index + 1);
    capture[index].octets.pop();
    let found = masked(&capture);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(
        found[0].starts_with(
            "# packet of \"Piano\" was lost before frame # at #.# s: number #; the journal of packet # \
             is damaged ("
        ),
        "{found:?}"
    );
    assert!(found[1].contains("which no journal repaired"), "{found:?}");
    assert!(
        found[2].contains("broke a rule in frame # at #.# s: the journal of packet"),
        "{found:?}"
    );
}

#[test]
fn a_checkpoint_that_is_too_new_covers_nothing() {
    let mut it = Studio::joined(1);
    it.play(on(60));
    it.run(1_500);
    it.play(off(60));
    it.lose(5);
    it.play(on(62));
    it.lose(5);
    it.run(1_500);
    let mut capture = it.capture();
    let index = after_gap(&capture);
    capture.truncate(index + 1);
    // The journal begins behind its list: the second packet that was lost.
    let octets = &mut capture[index].octets;
    assert_eq!(octets[12] & 0x8F, 0, "an empty list");
    let second = u16::from_be_bytes([octets[2], octets[3]]).wrapping_sub(1);
    octets[14..16].copy_from_slice(&second.to_be_bytes());
    let found = masked(&capture);
    assert!(
        found[0].starts_with(
            "# packets of \"Piano\" were lost before frame # at #.# s: numbers # to #; the journal of \
             packet # begins only with packet #, so not all of what they did is repaired"
        ),
        "{found:?}"
    );
    assert!(
        found[1..]
            .iter()
            .all(|it| it.contains("its receiver has only reported")),
        "{found:?}"
    );
}

#[test]
fn what_is_lost_before_the_first_packet() {
    let mut it = Studio::joined(1);
    let mut capture = it.capture();
    capture.retain(|it| !is_rtp(it) && !is_control(it, "RS"));
    it.play(on(60));
    it.lose(5);
    it.run(2_000);
    capture.extend(it.capture());
    expect(
        &capture,
        &[
            "# packet before the first packet of \"Piano\" in the capture (#, frame # at #.# s) was lost, \
         says its journal; the journal of packet # repaired what they did, with # message: note_on \
         channel=# note=# velocity=#",
        ],
    );
}

#[test]
fn reordering_and_duplicates_are_no_loss() {
    let mut it = Studio::joined(1);
    for note in 60..66 {
        it.play(on(note));
        it.run(5);
        it.play(off(note));
        it.run(5);
    }
    it.run(1_000);
    let mut capture = it.capture();
    let packets: Vec<usize> = (0..capture.len())
        .filter(|i| is_rtp(&capture[*i]))
        .collect();
    let (a, b) = (packets[3], packets[4]);
    let (first, second) = (capture[a].octets.clone(), capture[b].octets.clone());
    (capture[a].octets, capture[b].octets) = (second, first);
    let twice = capture[packets[6]].clone();
    capture.insert(packets[6] + 1, twice);
    expect(&capture, &[]);
    let notices: Vec<String> = diagnose(&capture)[0]
        .findings
        .iter()
        .map(|it| mask(&it.text))
        .collect();
    assert_eq!(
        notices,
        [
            "# packet of \"Piano\" came after later ones, first packet # in frame # at #.# s: nothing is \
         lost by that",
            "# packet of \"Piano\" came twice, first packet # in frame # at #.# s: nothing is lost by that",
        ]
    );
    assert_eq!(diagnose(&capture)[0].directions[0].lost, 0);
}
