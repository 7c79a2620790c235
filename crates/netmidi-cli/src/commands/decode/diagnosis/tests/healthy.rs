//! Nothing is wrong, and nothing is said.

use netmidi_testkit::{Script, ScriptMix};

use super::*;

/// Both play all kinds of messages to each other over a network that loses nothing.
fn concert(seed: u64, mix: &ScriptMix) -> Capture {
    let mut it = Studio::joined(seed);
    let scripts =
        [(it.piano, 1), (it.stage, 2)].map(|(host, n)| (host, Script::new(mix, seed * 2 + n)));
    let begin = it.net.now();
    let mut steps: Vec<_> = scripts
        .iter()
        .flat_map(|(host, script)| {
            let mut at = Duration::ZERO;
            script.steps.iter().map(move |step| {
                at += step.wait;
                (at, *host, step)
            })
        })
        .collect();
    steps.sort_by_key(|(at, ..)| *at);
    for (at, host, step) in steps {
        it.net.run_until(begin + at);
        let (to, _) = it.net.session(host).unwrap().participants().next().unwrap();
        for message in &step.messages {
            it.net.send(host, to, message.as_message()).unwrap();
        }
    }
    it.run(30_000);
    it.capture()
}

#[test]
fn a_healthy_session_gets_one_line() {
    for (seed, mix) in [
        ScriptMix::everything().without_undefined(),
        ScriptMix::piano(),
        ScriptMix::controllers(),
    ]
    .iter()
    .enumerate()
    {
        let capture = concert(seed as u64, &mix.with_messages(400));
        let reports = diagnose(&capture);
        assert_eq!(reports.len(), 1);
        assert_eq!(reports[0].findings, []);
        assert!(reports[0].healthy);
        assert!(reports[0].directions.iter().all(|it| it.messages > 100));
        let text = reports[0].to_string();
        assert_eq!(text.matches("healthy").count(), 1, "{text}");
    }
}

#[test]
fn a_capture_that_begins_or_ends_anywhere_is_healthy() {
    let capture = concert(
        7,
        &ScriptMix::everything()
            .without_undefined()
            .with_messages(200),
    );
    for cut in (0..capture.len()).step_by(capture.len() / 40 + 1) {
        assert_eq!(warnings(&capture[cut..]), [""; 0], "from frame {cut} on");
        assert_eq!(warnings(&capture[..cut]), [""; 0], "up to frame {cut}");
    }
}

#[test]
fn a_session_that_is_ended_properly_is_healthy() {
    let mut it = Studio::joined(1);
    it.play(on(60));
    it.run(500);
    it.play(off(60));
    it.run(500);
    it.net.close(it.piano);
    it.run(3_000);
    let reports = diagnose(&it.capture());
    assert_eq!(reports[0].findings, []);
    assert_eq!(reports[0].ended, "ended with BY");
}
