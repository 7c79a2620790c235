//! Without journals, and without each single chapter of them, the property of `convergence.rs` does
//! not hold: so it does need what the journals say.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use core::time::Duration;

use netmidi_journal::Chapter;
use netmidi_message::{
    Bend, Channel, ChannelMessage, Controller, FrameRate, FullFrame, MessageBuf, Note, RealTime,
    SysExBuf, SystemCommon, TimeCode, U7, U14,
};
use netmidi_testkit::{CHAPTERS, Script, ScriptMix, Side, Step, Tamper, Trial, strip};

fn stripping(chapter: Option<Chapter>) -> Tamper {
    Box::new(move |packet| {
        *packet = strip(packet, chapter);
        true
    })
}

/// The first packet that gets through after a loss already shows it.
#[test]
fn without_journals_it_fails_at_once() {
    let (mut trials, mut wrong) = (0, 0);
    for mix in [
        ScriptMix::everything(),
        ScriptMix::piano(),
        ScriptMix::controllers(),
    ] {
        for seed in 1..=10 {
            let mut trial = Trial::new(seed, mix);
            trial.there.loss = 50_000;
            trial.there.latency = Duration::from_millis(10);
            trial.back.latency = Duration::from_millis(10);
            trial.run(None).unwrap();
            let failure = trial.run(Some(stripping(None))).unwrap_err();
            assert_eq!(failure.from, Side::A, "{failure}");
            assert_eq!(failure.losses, 1, "seed {seed}: {failure}");
            trials += 1;
            wrong += u32::from(failure.what != "a loss was not covered");
        }
    }
    // Now and then what was lost left no trace: an empty packet, a clock while nothing runs.
    assert!(wrong * 4 > trials * 3, "{wrong} of {trials} sound wrong");
}

const CHANNEL: Channel = Channel::C1;

fn lost(messages: impl IntoIterator<Item = MessageBuf>) -> Step {
    Step {
        lost: true,
        ..arrives(messages)
    }
}

fn arrives(messages: impl IntoIterator<Item = MessageBuf>) -> Step {
    Step {
        wait: Duration::from_millis(10),
        messages: messages.into_iter().collect(),
        lost: false,
    }
}

fn control(control: u8, value: u8) -> MessageBuf {
    let control = Controller::new(control).unwrap();
    ChannelMessage::control_change(CHANNEL, control, u7(value)).into()
}

fn note_on(velocity: u8) -> MessageBuf {
    ChannelMessage::note_on(CHANNEL, Note::MIDDLE_C, u7(velocity)).into()
}

fn u7(value: u8) -> U7 {
    U7::new(value).unwrap()
}

/// What the script of a chapter plays, and what goes wrong without that chapter.
fn script(chapter: Chapter) -> (Vec<Step>, &'static str) {
    let note = Note::MIDDLE_C;
    match chapter {
        Chapter::P => {
            let program = u7(5);
            let change = ChannelMessage::program_change(CHANNEL, program);
            (vec![lost([change.into()])], "program and its bank")
        }
        Chapter::C => (vec![lost([control(7, 100)])], "controller 7: unknown"),
        Chapter::M => {
            // Bend range: 12 semitones.
            let list = [(101, 0), (100, 0), (6, 12), (101, 127), (100, 127)];
            let list = list.map(|(number, value)| control(number, value));
            (vec![lost(list)], "kind: Registered")
        }
        Chapter::W => {
            let bend = Bend::from(U14::new(0x1234).unwrap());
            let wheel = ChannelMessage::pitch_bend(CHANNEL, bend);
            (vec![lost([wheel.into()])], "pitch wheel")
        }
        Chapter::N => {
            let off = ChannelMessage::note_off(CHANNEL, note, u7(64));
            let steps = vec![arrives([note_on(90)]), lost([off.into()])];
            (steps, "note 60: sounds 1 times, at the sender 0 times")
        }
        // Struck twice: N alone has the second.
        Chapter::E => {
            let steps = vec![lost([note_on(90), note_on(50)])];
            (steps, "1 notes are silent")
        }
        Chapter::T => {
            let pressure = ChannelMessage::channel_pressure(CHANNEL, u7(80));
            (vec![lost([pressure.into()])], "channel pressure")
        }
        Chapter::A => {
            let pressure = ChannelMessage::poly_pressure(CHANNEL, note, u7(80));
            (vec![lost([pressure.into()])], "note 60: pressure")
        }
        Chapter::D => {
            let song = SystemCommon::SongSelect { song: u7(3) };
            (vec![lost([song.into()])], "song: None")
        }
        Chapter::V => (
            vec![lost([RealTime::ActiveSensing.into()])],
            "active sensing (FE): counted 0 times, at the sender 1",
        ),
        Chapter::Q => (
            vec![lost([RealTime::Start.into()])],
            "sequencer runs: false, at the sender true",
        ),
        Chapter::F => {
            let time = TimeCode::from_frame_number(1000, FrameRate::Fps25);
            let device = U7::MAX;
            let data = FullFrame { device, time }.to_data();
            let frame = SysExBuf::new(data).unwrap();
            (vec![lost([frame.into()])], "time code: None")
        }
        Chapter::X => {
            let message = SysExBuf::new([0x43, 0x10, 0x4C]).unwrap();
            (
                vec![lost([message.into()])],
                "1 system exclusive messages are missing and 0 may be",
            )
        }
    }
}

/// Plays the script of a chapter, and something else after it that shows what was lost.
fn play(chapter: Chapter, stripped: Option<Chapter>) -> Result<(), (u64, String)> {
    let (mut steps, _) = script(chapter);
    let witness = ChannelMessage::note_off(Channel::C16, Note::MIDDLE_C, u7(64));
    steps.push(arrives([witness.into()]));
    let tamper = stripped.map(|it| stripping(Some(it)));
    let trial = Trial::new(1, ScriptMix::piano());
    match trial.perform(&Script { steps }, tamper) {
        Ok(outcome) => {
            assert_eq!(outcome.gaps, 1, "nothing was lost");
            Ok(())
        }
        Err(failure) => Err((failure.losses, failure.what)),
    }
}

/// Each of these scripts needs the chapter that it is named after, and no other.
#[test]
fn without_a_chapter_its_script_fails() {
    for chapter in CHAPTERS {
        assert_eq!(play(chapter, None), Ok(()), "{chapter:?}");
        let (losses, what) = play(chapter, Some(chapter)).unwrap_err();
        let (_, reason) = script(chapter);
        assert!(what.contains(reason), "{chapter:?}: {what}");
        assert_eq!(losses, 1, "{chapter:?} is missed at once");
        for other in CHAPTERS.into_iter().filter(|other| *other != chapter) {
            let played = play(chapter, Some(other));
            // E counts the notes of N.
            let needs_both = (chapter, other) == (Chapter::E, Chapter::N);
            assert_eq!(
                played.is_err(),
                needs_both,
                "{chapter:?}, {other:?}: {played:?}"
            );
        }
    }
}

/// Random music for a chapter, over a network that loses one packet in ten: works with all
/// chapters, and not without that one.
#[test]
fn without_a_chapter_its_music_fails() {
    for chapter in CHAPTERS {
        let mut trial = Trial::new(1, ScriptMix::chapter(chapter).without_resets());
        trial.there.loss = 100_000;
        trial.run(None).unwrap();
        let failure = trial.run(Some(stripping(Some(chapter)))).unwrap_err();
        println!("{chapter:?}: {failure}");
        assert!(failure.losses <= 3, "{chapter:?}: {failure}");
    }
}
