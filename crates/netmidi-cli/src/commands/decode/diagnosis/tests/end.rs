//! How sessions end, and what they leave.

use super::*;

#[test]
fn a_sender_that_leaves_without_a_note_off() {
    let mut it = Studio::joined(1);
    it.play(on(60));
    it.run(1_000);
    it.net.close(it.piano);
    it.run(1_000);
    let mut capture = it.capture();
    let bye = capture.iter().position(|it| is_control(it, "BY")).unwrap();
    // Whatever it lets go at the end.
    let begun = capture
        .iter()
        .position(|it| is_rtp(it) && it.octets[12] & 0x8F != 0)
        .unwrap();
    capture = [&capture[..=begun], &capture[bye..]].concat();
    capture.retain(|it| !is_control(it, "RS"));
    expect(
        &capture,
        &[
            "note # (C#) on channel # of \"Piano\" is on since frame # at #.# s and was never let go: \
         \"Piano\" ended the session (BY) in frame # at #.# s without having sent that",
        ],
    );
}

#[test]
fn a_sender_that_vanishes() {
    let mut it = Studio::joined(1);
    it.play(on(60));
    it.run(1_000);
    it.net.kill(it.piano);
    it.run(70_000);
    let capture = it.capture();
    let found = masked(&capture);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].starts_with("\"Piano\" fell silent after frame # at #.# s without a BY"),
        "{found:?}"
    );
    assert!(
        found[0].ends_with(": it crashed, was switched off, or lost the network"),
        "{found:?}"
    );
    assert_eq!(
        found[1],
        "note # (C#) on channel # of \"Piano\" is on since frame # at #.# s and was never let go: \
         \"Piano\" fell silent after frame # at #.# s without having sent that"
    );
    assert_eq!(diagnose(&capture)[0].ended, "ended by silence");
}

#[test]
fn a_participant_that_vanishes() {
    let mut it = Studio::joined(1);
    it.net.tap(it.piano);
    it.run(12_000);
    it.net.kill(it.stage);
    it.run(20_000);
    let found = masked(&it.capture());
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("#.#.#.#:# fell silent after frame # at #.# s without a BY; "),
        "{found:?}"
    );
}

#[test]
fn a_sender_that_is_restarted() {
    let mut it = Studio::joined(1);
    it.play(on(60));
    it.run(1_000);
    it.net.start(it.piano);
    it.run(3_000);
    let capture = it.capture();
    let reports = diagnose(&capture);
    assert_eq!(reports.len(), 2, "{reports:#?}");
    assert!(reports[1].healthy, "{}", reports[1]);
    expect(
        &capture,
        &[
            "the session was not ended (BY) before it was begun anew in frame # at #.# s: one of the two \
         was restarted, or had lost the connection",
            "note # (C#) on channel # of \"Piano\" is on since frame # at #.# s and was never let go: the \
         session was begun anew in frame # at #.# s without that",
        ],
    );
}

/// A note a second, from both.
fn long(seconds: u64) -> Capture {
    let mut it = Studio::joined(1);
    for _ in 0..seconds {
        for host in [it.piano, it.stage] {
            it.play_from(host, on(60));
            it.run(250);
            it.play_from(host, off(60));
            it.run(250);
        }
    }
    it.capture()
}

#[test]
fn the_clock_stops() {
    let mut capture = long(70);
    let from = capture[0].at + Duration::from_secs(5);
    capture.retain(|it| it.at < from || !(0..3).any(|n| is_clock(it, n)));
    expect(
        &capture,
        &[
            "no clocks were compared for #.# s after frame # at #.# s, at least one exchange in # s is \
         asked for: the other side may end the session",
        ],
    );
}

#[test]
fn the_clock_is_not_answered_any_more() {
    let mut capture = long(40);
    let from = capture[0].at + Duration::from_secs(8);
    capture.retain(|it| it.at < from || !(is_clock(it, 1) || is_clock(it, 2)));
    expect(
        &capture,
        &[
            "\"Stage\" stopped answering the clock: \"Piano\" asked # times from frame # at #.# s on (CK#) \
         without an answer (CK#)",
        ],
    );
}

#[test]
fn nobody_asks_for_the_clock() {
    let mut capture = long(15);
    capture.retain(|it| !(0..3).any(|n| is_clock(it, n)));
    expect(
        &capture,
        &[
            "the clocks were never compared (no CK) in the #.# s of the session: MIDI cannot be played in \
         its time, and silence is not noticed; the side that invites has to ask",
        ],
    );
}

#[test]
fn both_fall_silent() {
    let mut capture = long(5);
    let mut other = capture.iter().rev().find(|it| is_rtp(it)).unwrap().clone();
    other.at = other.at + Duration::from_secs(70);
    other.from.set_ip([198, 51, 100, 7].into());
    capture.push(other);
    expect(
        &capture,
        &[
            "both fell silent after frame # at #.# s without a BY, # s or more before the end of the \
         capture: the network between them and the capture was cut",
        ],
    );
}
