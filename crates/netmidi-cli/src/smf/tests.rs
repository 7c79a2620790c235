//! Recording, files and playing together, on a clock of their own.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use std::sync::Arc;
use std::time::Duration;

use midly::num::{u4, u7, u15, u24, u28};
use midly::{Format, Header, MetaMessage, MidiMessage, Timing, TrackEvent, TrackEventKind};
use netmidi::message::{Message, MessageBuf, Sounding};
use netmidi_testkit::Rng;
use proptest::prelude::*;

use super::player::LEAD;
use super::recorder::Taken;
use super::song::{Song, Timed};
use super::tape::{Form, Tape};
use super::{Player, Recorder, Selection, Ticks};
use crate::filter::Filter;

fn buf(octets: &[u8]) -> MessageBuf {
    Message::parse(octets).unwrap().to_buf()
}

/// Some message that a recording keeps.
fn some_message(rng: &mut Rng) -> MessageBuf {
    let mut any = |below: u8| u8::try_from(rng.below(below.into())).unwrap();
    match any(40) {
        0 => {
            let mut octets = vec![0xF0, 0x7D];
            let length = any(100);
            octets.extend((0..length).map(|_| any(128)));
            octets.push(0xF7);
            buf(&octets)
        }
        1 => buf(&[[0xFA, 0xFB, 0xFC][usize::from(any(3))]]),
        2 => buf(&[0xF1, any(128)]),
        3 => buf(&[0xF2, any(128), any(128)]),
        4 => buf(&[0xC0 | any(16), any(128)]),
        5 => buf(&[0xD0 | any(16), any(128)]),
        6..10 => buf(&[0xE0 | any(16), any(128), any(128)]),
        10..16 => buf(&[0xB0 | any(16), any(128), any(128)]),
        16..18 => buf(&[0xA0 | any(16), any(128), any(128)]),
        18..29 => buf(&[0x80 | any(16), any(128), any(128)]),
        _ => buf(&[0x90 | any(16), any(128), any(128)]),
    }
}

/// Plays all of it, and gives what was due and when.
fn play(player: &mut Player, mut now: Duration) -> Vec<Timed> {
    let mut played = Vec::new();
    let mut ahead = Vec::new();
    loop {
        while let Some(timed) = player.poll_ahead(now) {
            assert!(timed.at <= now + LEAD, "handed out too early");
            ahead.push(timed);
        }
        while let Some(message) = player.poll_due(now) {
            played.push(Timed { at: now, message });
        }
        if player.is_over(now) {
            break;
        }
        let next = player.poll_timeout();
        assert!(next > now, "it would turn for ever: {next:?} at {now:?}");
        now = next;
    }
    assert_eq!(ahead, played, "both ways tell the same");
    played
}

/// What is recorded and played again is the same, and sounds when it did.
fn record_and_play(seed: u64, bpm: f64, form: Form) {
    let mut rng = Rng::new(seed);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("take.mid");
    let ticks = Ticks::at_tempo(bpm);
    let mut tape = Tape::create(&path, ticks, false).unwrap();
    let mut recorder = Recorder::new(ticks, None);
    let sources = 3;
    let names: Vec<String> = (0..sources).map(|it| format!("Player {it}")).collect();
    for (source, name) in (0..).zip(&names) {
        recorder.joined(source, name);
    }
    let mut now = Duration::from_secs(1000);
    let mut taken: Vec<Vec<Timed>> = vec![Vec::new(); names.len()];
    for count in 0..6_000 {
        now += match rng.below(20) {
            0 => Duration::from_micros(rng.below(3_000_000).into()),
            1..6 => Duration::ZERO,
            _ => Duration::from_nanos(rng.below(20_000_000).into()),
        };
        let source = u64::from(rng.below(sources));
        let message = some_message(&mut rng);
        let was = recorder.take(source, now, &message.as_message());
        assert_eq!(was, Taken::Recorded);
        taken[usize::try_from(source).unwrap()].push(Timed { at: now, message });
        if count % 500 == 0 {
            tape.write(recorder.pieces(), &names).unwrap();
            let part = Song::read(&std::fs::read(tape.part()).unwrap()).unwrap();
            assert_eq!(part.damages, [], "what is on the disk is whole");
            assert_eq!(part.messages.len(), count + 1);
        }
    }
    // What lets go at the end stands apart from the last message.
    let end = now + Duration::from_secs(1);
    recorder.end(end);
    let length = recorder.length();
    tape.write(recorder.pieces(), &names).unwrap();
    tape.finish(form, &names, length).unwrap();
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 1, "nothing is left over");

    let song = Song::read(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(song.damages, []);
    let all: Vec<Timed> = taken.concat();
    let begin = all.iter().map(|timed| timed.at).min().unwrap();
    let start = Duration::from_secs(77);
    let mut player = Player::new(Arc::new(song.clone()), Selection::default(), start);
    let played = play(&mut player, start);
    match form {
        Form::Single => assert_eq!((song.format, song.tracks.len()), (0, 1)),
        Form::Tracks => {
            let shown: Vec<&str> = song.tracks.iter().map(|it| it.name.as_str()).collect();
            assert_eq!(shown, ["", "Player 0", "Player 1", "Player 2"]);
            let counts: Vec<usize> = song.tracks.iter().map(|it| it.messages).collect();
            assert!(counts[1] >= taken[0].len() && counts[3] >= taken[2].len());
        }
    }
    // The order of all, by time; of one time by track, as in a file.
    let mut expected: Vec<(Duration, usize, &Timed)> = Vec::new();
    for (track, messages) in taken.iter().enumerate() {
        expected.extend(messages.iter().map(|timed| (timed.at, track, timed)));
    }
    let mut worst = Duration::ZERO;
    let mut rest = played.clone();
    // Each is found again within the millisecond; those that end hanging notes are more.
    expected.sort_by_key(|it| (it.0, it.1));
    for (at, _, timed) in &expected {
        let at = *at - begin + start;
        let window = rest.iter().take(200);
        let place = window.into_iter().position(|it| {
            it.message == timed.message && it.at.abs_diff(at) < Duration::from_millis(1)
        });
        let found = rest.remove(place.unwrap_or_else(|| panic!("{timed:?} is not played")));
        worst = worst.max(found.at.abs_diff(at));
    }
    assert!(
        rest.iter()
            .all(|it| it.at >= end - begin + start - Duration::from_millis(1)),
        "nothing but what lets go at the end"
    );
    let mut sounding = Sounding::new();
    played
        .iter()
        .for_each(|it| sounding.observe(&it.message.as_message()));
    assert!(sounding.is_silent());
    let limit = if bpm < 31.0 { 251 } else { 76 };
    assert!(worst <= Duration::from_micros(limit), "{worst:?} at {bpm}");
    println!(
        "{} messages at {bpm} bpm, at most {worst:?} off",
        expected.len()
    );
}

#[test]
fn what_is_recorded_sounds_the_same_within_a_tenth_of_a_millisecond() {
    for (seed, bpm) in [(1, 120.0), (2, 30.0), (3, 173.5), (4, 999.0), (5, 4.0)] {
        record_and_play(seed, bpm, Form::Tracks);
    }
    record_and_play(6, 120.0, Form::Single);
}

/// A track as it is generated: events with the ticks since the one before.
type Plan = Vec<(u32, Step)>;

#[derive(Clone, Debug)]
enum Step {
    Note(u8, u8, u8),
    Bend(u8, u16),
    SysEx(Vec<u8>),
    Tempo(u32),
    Name,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..16_u8, 0..128_u8, 0..128_u8).prop_map(|(c, n, v)| Step::Note(c, n, v)),
        1 => (0..16_u8, 0..16_384_u16).prop_map(|(c, b)| Step::Bend(c, b)),
        1 => proptest::collection::vec(0..128_u8, 0..40).prop_map(Step::SysEx),
        2 => (1..16_777_216_u32).prop_map(Step::Tempo),
        1 => Just(Step::Name),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let delta = prop_oneof![3 => 0..500_u32, 1 => 0..100_000_u32, 1 => Just(0)];
    proptest::collection::vec((delta, step()), 0..60)
}

/// The octets of a file, by midly.
fn file(format: Format, timing: Timing, plans: &[Plan]) -> Vec<u8> {
    let sysex: Vec<Vec<Vec<u8>>> = plans
        .iter()
        .map(|plan| {
            plan.iter()
                .map(|(_, step)| match step {
                    Step::SysEx(data) => [data.as_slice(), &[0xF7]].concat(),
                    _ => Vec::new(),
                })
                .collect()
        })
        .collect();
    let mut smf = midly::Smf::new(Header::new(format, timing));
    for (plan, sysex) in plans.iter().zip(&sysex) {
        let mut track = Vec::new();
        for ((delta, step), data) in plan.iter().zip(sysex) {
            let kind = match step {
                Step::Note(channel, key, velocity) => TrackEventKind::Midi {
                    channel: u4::new(*channel),
                    message: MidiMessage::NoteOn {
                        key: u7::new(*key),
                        vel: u7::new(*velocity),
                    },
                },
                Step::Bend(channel, bend) => TrackEventKind::Midi {
                    channel: u4::new(*channel),
                    message: MidiMessage::PitchBend {
                        bend: midly::PitchBend(midly::num::u14::new(*bend)),
                    },
                },
                Step::SysEx(_) => TrackEventKind::SysEx(data),
                Step::Tempo(micros) => TrackEventKind::Meta(MetaMessage::Tempo(u24::new(*micros))),
                Step::Name => TrackEventKind::Meta(MetaMessage::TrackName(b"a name")),
            };
            let delta = u28::new(*delta);
            track.push(TrackEvent { delta, kind });
        }
        track.push(TrackEvent {
            delta: u28::new(0),
            kind: TrackEventKind::Meta(MetaMessage::EndOfTrack),
        });
        smf.tracks.push(track);
    }
    let mut octets = Vec::new();
    smf.write_std(&mut octets).unwrap();
    octets
}

/// What it says, worked out tick by tick.
fn expected(plans: &[Plan], tick_nanos: impl Fn(u32) -> f64) -> Vec<(f64, MessageBuf)> {
    let mut all: Vec<(u64, usize, &Step)> = Vec::new();
    for (track, plan) in plans.iter().enumerate() {
        let mut tick = 0;
        for (delta, step) in plan {
            tick += u64::from(*delta);
            all.push((tick, track, step));
        }
    }
    all.sort_by_key(|it| (it.0, it.1));
    let (mut nanos, mut at, mut tempo) = (0.0, 0, 500_000);
    let mut messages = Vec::new();
    for (tick, _, step) in all {
        #[allow(clippy::cast_precision_loss, reason = "far below the precision")]
        let ticks = (tick - at) as f64;
        nanos += ticks * tick_nanos(tempo);
        at = tick;
        let message = match step {
            Step::Tempo(micros) => {
                tempo = *micros;
                continue;
            }
            Step::Name => continue,
            Step::Note(channel, key, velocity) => vec![0x90 | channel, *key, *velocity],
            Step::Bend(channel, bend) => {
                let [low, high] = [bend & 0x7F, bend >> 7].map(|it| u8::try_from(it).unwrap());
                vec![0xE0 | channel, low, high]
            }
            Step::SysEx(data) => [&[0xF0], data.as_slice(), &[0xF7]].concat(),
        };
        messages.push((nanos, buf(&message)));
    }
    messages
}

fn same(song: &Song, expected: &[(f64, MessageBuf)]) -> Result<(), TestCaseError> {
    prop_assert_eq!(&song.damages, &[]);
    prop_assert_eq!(song.messages.len(), expected.len());
    for (timed, (nanos, message)) in song.messages.iter().zip(expected) {
        prop_assert_eq!(&timed.message, message);
        let difference = (timed.at.as_secs_f64() * 1e9 - nanos).abs();
        // Sums of floating point numbers, here, of up to days.
        prop_assert!(difference < 1_000.0, "{} ns", difference);
    }
    Ok(())
}

proptest! {
    #[test]
    fn what_a_file_says_is_read(
        plans in proptest::collection::vec(plan(), 1..5),
        division in 1..0x8000_u16,
    ) {
        let octets = file(Format::Parallel, Timing::Metrical(u15::new(division)), &plans);
        let song = Song::read(&octets).unwrap();
        let tick = |tempo: u32| f64::from(tempo) * 1000.0 / f64::from(division);
        same(&song, &expected(&plans, tick))?;
    }

    #[test]
    fn a_file_that_counts_frames_knows_no_tempo(plans in proptest::collection::vec(plan(), 1..3)) {
        use midly::Fps;
        for (fps, frame) in [
            (Fps::Fps24, 1e9 / 24.0),
            (Fps::Fps25, 1e9 / 25.0),
            (Fps::Fps29, 1.001e9 / 30.0),
            (Fps::Fps30, 1e9 / 30.0),
        ] {
            let octets = file(Format::Parallel, Timing::Timecode(fps, 80), &plans);
            let song = Song::read(&octets).unwrap();
            same(&song, &expected(&plans, |_| frame / 80.0))?;
            prop_assert_eq!(song.spot(Duration::ZERO), None);
        }
    }

    /// Whatever a file holds: it is read or refused, and what is damaged is told.
    #[test]
    fn no_octets_do_harm(
        plans in proptest::collection::vec(plan(), 1..3),
        cut in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut octets = file(Format::Parallel, Timing::Metrical(u15::new(96)), &plans);
        let whole = octets.len();
        let cut = cut.index(whole);
        if let Ok(song) = Song::read(&octets[..cut]) {
            prop_assert!(!song.damages.is_empty(), "{} of {} octets", cut, whole);
            prop_assert!(song.damages.iter().all(|it| it.offset <= cut));
        }
        for (place, value) in changes {
            let place = place.index(whole);
            octets[place] = value;
        }
        if let Ok(song) = Song::read(&octets) {
            prop_assert!(song.messages.is_sorted_by_key(|it| it.at));
            prop_assert!(song.messages.iter().all(|it| it.at <= song.length));
        }
    }

    /// Wherever playing is stopped, nothing is left down.
    #[test]
    fn stopping_leaves_nothing_down(plan in plan(), at in 0..20_000_u64, speed in 0.25..4.0_f64) {
        let octets = file(Format::SingleTrack, Timing::Metrical(u15::new(96)), &[plan]);
        let song = Arc::new(Song::read(&octets).unwrap());
        let selection = Selection { speed, ..Selection::default() };
        let mut player = Player::new(song, selection, Duration::ZERO);
        let until = Duration::from_millis(at);
        let (mut now, mut due, mut early) = (Duration::ZERO, Sounding::new(), Sounding::new());
        while now <= until {
            while let Some(timed) = player.poll_ahead(now) {
                early.observe(&timed.message.as_message());
            }
            while let Some(message) = player.poll_due(now) {
                due.observe(&message.as_message());
            }
            if player.is_over(now) {
                break;
            }
            now = player.poll_timeout().max(now);
        }
        for message in player.stop() {
            due.observe(&message.into());
            early.observe(&message.into());
        }
        prop_assert!(due.is_silent(), "one who was given each when it was due");
        prop_assert!(early.is_silent(), "one whom nothing could be taken back from");
        prop_assert!(player.poll_ahead(now).is_none());
    }
}

#[test]
fn formats_are_read_as_they_sound() {
    let plans = [
        vec![
            (0, Step::Tempo(1_000_000)),
            (96, Step::Note(0, 60, 1)),
            (96, Step::Name),
        ],
        vec![(48, Step::Note(1, 61, 1))],
    ];
    let timing = Timing::Metrical(u15::new(96));
    let times = |format| {
        let song = Song::read(&file(format, timing, &plans)).unwrap();
        let times = song.messages.iter().map(|it| it.at.as_millis());
        (times.collect::<Vec<_>>(), song.length.as_millis())
    };
    // The tempo is for all tracks.
    assert_eq!(times(Format::Parallel), (vec![500, 1000], 2000));
    // One after the other, each with a tempo of its own.
    assert_eq!(times(Format::Sequential), (vec![1000, 2250], 2250));
}

/// A track with a head of format 0 around it.
fn track(body: &[u8]) -> Vec<u8> {
    let mut octets = b"MThd\0\0\0\x06\0\0\0\x01\0\x60MTrk".to_vec();
    octets.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    octets.extend(body);
    octets
}

#[test]
fn system_exclusive_messages_may_come_in_parts_and_anything_may_be_escaped() {
    let song = Song::read(&track(&[
        0, 0xF0, 3, 0x43, 0x12, 0x00, // begins,
        0x60, 0xF7, 2, 0x01, 0x02, // goes on,
        0x60, 0xF7, 2, 0x03, 0xF7, // and ends.
        0, 0xF7, 1, 0xFA, // A start,
        0, 0xF7, 3, 0xF2, 0x01, 0x02, // a song position,
        0, 0x90, 60, 1, 0x60, 60, 0, // running status,
        0, 0xFF, 1, 1, b'x', 0, 62, 5, // also behind a text.
        0, 0xF0, 2, 0x43, 0x12, 0, 0xC0, 1, // One that is cut.
        0, 0xFF, 0x2F, 0,
    ]))
    .unwrap();
    let messages: Vec<Vec<u8>> = song.messages.iter().map(|it| it.message.to_vec()).collect();
    let expected: [&[u8]; 7] = [
        &[0xF0, 0x43, 0x12, 0x00, 0x01, 0x02, 0x03, 0xF7],
        &[0xFA],
        &[0xF2, 1, 2],
        &[0x90, 60, 1],
        &[0x90, 60, 0],
        &[0x90, 62, 5],
        &[0xC0, 1],
    ];
    assert_eq!(messages, expected);
    assert_eq!(song.messages[0].at, Duration::from_secs(1));
    assert_eq!((song.damages.len(), song.discarded), (0, 1));
}

#[test]
fn damages_are_told_with_their_place() {
    let whole = track(&[0, 0x90, 60, 100, 0x60, 0x80, 60, 0, 0, 0xFF, 0x2F, 0]);
    let told = |octets: &[u8]| match Song::read(octets) {
        Ok(song) => song.damages.iter().map(ToString::to_string).collect(),
        Err(damage) => vec![damage.to_string()],
    };
    assert_eq!(told(&whole), Vec::<String>::new());
    assert_eq!(
        told(&whole[..28]),
        [
            "at octet 28: the file ends 6 octets before the end of a chunk",
            "at octet 26 (track 1): an event cannot be read (truncated midi message)",
        ]
    );
    let mut bad = whole.clone();
    bad[27] = 0xF4;
    assert_eq!(
        told(&bad),
        [
            "at octet 26 (track 1): an event cannot be read (standard midi files cannot contain system common events)"
        ]
    );
    let endless = track(&[0, 0x90, 60, 100]);
    assert_eq!(
        told(&endless),
        ["at octet 26 (track 1): the track has no end"]
    );
    assert!(told(b"RIFF")[0].contains("no Standard MIDI File"));
    assert!(told(b"#!/bin/sh")[0].starts_with("at octet 0: this is no Standard MIDI File"));
    let mut missing = whole;
    missing[11] = 2;
    assert_eq!(
        told(&missing),
        ["at octet 34: the file ends after 1 of 2 tracks"]
    );
}

fn song_of(steps: Plan) -> Arc<Song> {
    let timing = Timing::Metrical(u15::new(500));
    Arc::new(Song::read(&file(Format::SingleTrack, timing, &[steps])).unwrap())
}

/// What was played, as milliseconds and octets.
fn shown(played: &[Timed]) -> Vec<(u128, Vec<u8>)> {
    let shown = played
        .iter()
        .map(|it| (it.at.as_millis(), it.message.to_vec()));
    shown.collect()
}

#[test]
fn a_part_begins_as_if_all_before_had_been_played() {
    // A tick is a millisecond.
    let song = song_of(vec![
        (0, Step::Bend(3, 9000)),
        (100, Step::Note(3, 60, 1)),
        (100, Step::Note(3, 60, 0)),
        (100, Step::Note(3, 61, 1)),
        (100, Step::Note(3, 62, 1)),
        (100, Step::Note(3, 63, 1)),
    ]);
    let selection = Selection {
        from: Duration::from_millis(250),
        to: Some(Duration::from_millis(500)),
        speed: 2.0,
        ..Selection::default()
    };
    let mut player = Player::new(Arc::clone(&song), selection.clone(), Duration::ZERO);
    assert_eq!(
        shown(&play(&mut player, Duration::ZERO)),
        [
            (0, vec![0xE3, 40, 70]),
            (25, vec![0x93, 61, 1]),
            (75, vec![0x93, 62, 1]),
            (125, vec![0x83, 61, 64]),
            (125, vec![0x83, 62, 64]),
            (125, vec![0xE3, 0, 64]),
        ]
    );
    let repeated = Selection {
        repeat: true,
        filter: Filter {
            transpose: 12,
            ..Filter::default()
        },
        ..selection
    };
    let mut player = Player::new(song, repeated, Duration::ZERO);
    let mut rounds = Vec::new();
    let mut now = Duration::ZERO;
    while now < Duration::from_millis(300) {
        while player.poll_ahead(now).is_some() {}
        while let Some(message) = player.poll_due(now) {
            rounds.push((now.as_millis(), message.to_vec()));
        }
        now = player.poll_timeout().max(now + Duration::from_micros(100));
    }
    let notes = rounds.iter().filter(|it| it.1 == [0x93, 73, 1]);
    assert_eq!(notes.map(|it| it.0).collect::<Vec<_>>(), [25, 150, 275]);
}

#[test]
fn who_joins_in_the_middle_hears_the_right_sound_and_the_notes_to_come() {
    let body: Vec<u8> = [
        &[0, 0xB0, 0, 1, 0, 0xB0, 32, 2, 0, 0xC0, 5][..],
        &[
            0, 0xB0, 101, 0, 0, 0xB0, 100, 0, 0, 0xB0, 6, 12, 0, 0xB0, 7, 90,
        ],
        &[0, 0xE0, 0, 80, 0, 0xD0, 3, 0, 0x90, 60, 1],
        // A quarter, half a second.
        &[0x60, 0x90, 61, 1, 0x10, 0x90, 62, 1, 0x60, 0xFF, 0x2F, 0],
    ]
    .concat();
    let song = Arc::new(Song::read(&track(&body)).unwrap());
    assert_eq!(song.damages, []);
    let mut player = Player::new(song, Selection::default(), Duration::ZERO);
    let now = Duration::from_millis(450);
    while player.poll_ahead(now).is_some() {}
    while player.poll_due(now).is_some() {}
    let (state, ahead) = player.join();
    let state: Vec<Vec<u8>> = state
        .iter()
        .map(|it| it.to_octets()[..it.encoded_len()].to_vec())
        .collect();
    let expected: [&[u8]; 9] = [
        &[0xB0, 0, 1],
        &[0xB0, 32, 2],
        &[0xC0, 5],
        &[0xB0, 101, 0],
        &[0xB0, 100, 0],
        &[0xB0, 6, 12],
        &[0xB0, 7, 90],
        &[0xD0, 3],
        &[0xE0, 0, 80],
    ];
    // The parameter stays selected as it is.
    let without_selection: Vec<Vec<u8>> = state
        .iter()
        .enumerate()
        .filter(|(at, _)| !(6..8).contains(at))
        .map(|it| it.1.clone())
        .collect();
    assert_eq!(without_selection, expected);
    assert_eq!(state[6..8], [[0xB0, 101, 0], [0xB0, 100, 0]]);
    let ahead: Vec<_> = ahead
        .map(|it| (it.at.as_millis(), it.message.to_vec()))
        .collect();
    assert_eq!(ahead, [(500, vec![0x90, 61, 1])]);
}

#[test]
fn bars_are_counted_through_changes_of_metre_and_tempo() {
    let body: Vec<u8> = [
        // 3/4 from the beginning; after two bars 6/8 at 60.
        &[0, 0xFF, 0x58, 4, 3, 2, 24, 8][..],
        &[
            0x84, 0x40, 0xFF, 0x58, 4, 6, 3, 36, 8, 0, 0xFF, 0x51, 3, 0x0F, 0x42, 0x40,
        ],
        &[0x86, 0x00, 0xFF, 0x2F, 0],
    ]
    .concat();
    let song = Song::read(&track(&body)).unwrap();
    assert_eq!(song.damages, []);
    let spot = |millis| {
        let spot = song.spot(Duration::from_millis(millis)).unwrap();
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is small"
        )]
        let bpm = spot.bpm.round() as u32;
        (spot.bar, spot.beat, bpm)
    };
    assert_eq!(spot(0), (1, 1, 120));
    assert_eq!(spot(1499), (1, 3, 120));
    assert_eq!(spot(1500), (2, 1, 120));
    assert_eq!(spot(3000), (3, 1, 60));
    assert_eq!(spot(3500), (3, 2, 60));
    assert_eq!(spot(6000), (4, 1, 60));
    assert_eq!(song.length, Duration::from_secs(11));
}

#[test]
fn a_recording_is_safe_from_others_and_from_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("take.mid");
    let ticks = Ticks::at_tempo(120.0);
    let tape = Tape::create(&path, ticks, false).unwrap();
    let second = Tape::create(&path, ticks, true).unwrap_err();
    assert!(second.contains("take.mid.part is there"), "{second}");
    std::fs::write(&path, b"somebody else's").unwrap();
    let refused = tape.finish(Form::Tracks, &[], Duration::ZERO).unwrap_err();
    assert!(
        refused.contains("has appeared in the meantime"),
        "{refused}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), b"somebody else's");
    let part = folder.path().join("take.mid.part");
    assert_eq!(
        Song::read(&std::fs::read(&part).unwrap()).unwrap().damages,
        []
    );
    std::fs::remove_file(part).unwrap();
    assert!(
        Tape::create(&path, ticks, false)
            .unwrap_err()
            .contains("--force")
    );
    let tape = Tape::create(&path, ticks, true).unwrap();
    tape.finish(Form::Tracks, &[], Duration::ZERO).unwrap();
    assert_eq!(
        Song::read(&std::fs::read(&path).unwrap())
            .unwrap()
            .tracks
            .len(),
        1
    );
    let nowhere = folder.path().join("no/where.mid");
    assert!(
        Tape::create(&nowhere, ticks, false)
            .unwrap_err()
            .contains("cannot write")
    );
}

#[test]
fn a_pause_may_be_longer_than_an_event_can_say() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("take.mid");
    let ticks = Ticks::at_tempo(999.0);
    let mut tape = Tape::create(&path, ticks, false).unwrap();
    let mut recorder = Recorder::new(ticks, Some(Duration::ZERO));
    recorder.joined(1, "Nobody");
    let days = Duration::from_secs(86_400 * 3);
    recorder.take(1, days, &Message::parse(&[0xC0, 1]).unwrap());
    recorder.end(days);
    let names = ["Nobody".to_owned()];
    tape.write(recorder.pieces(), &names).unwrap();
    tape.finish(Form::Tracks, &names, recorder.length())
        .unwrap();
    let song = Song::read(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(song.messages.len(), 1);
    assert!(song.messages[0].at.abs_diff(days) < Duration::from_micros(100));
}

#[test]
fn sources_get_tracks_and_those_who_return_their_own() {
    let mut recorder = Recorder::new(Ticks::at_tempo(120.0), None);
    let note = Message::parse(&[0x90, 60, 1]).unwrap();
    let clock = Message::parse(&[0xF8]).unwrap();
    recorder.joined(1, "Piano");
    recorder.joined(2, "Piano");
    recorder.take(1, Duration::ZERO, &note);
    assert_eq!(recorder.take(1, Duration::ZERO, &clock), Taken::LeftOut);
    recorder.left(1);
    recorder.joined(3, "Piano");
    recorder.take(3, Duration::from_secs(1), &note);
    recorder.take(2, Duration::from_secs(1), &note);
    assert_eq!(
        recorder.tracks().collect::<Vec<_>>(),
        [("Piano", 2), ("Piano", 1)]
    );
    for source in 10..1000 {
        recorder.joined(source, &source.to_string());
    }
    assert_eq!(recorder.tracks().len(), super::recorder::MAX_TRACKS);
}
