//! The golden vectors: what an independent decoder reads, and for the canonical ones the way back.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic here is a failed test"
)]

use netmidi_journal::{
    ChannelJournal, Complete, ControlTool, Extra, Journal, ParameterLog, Pending, RealTimeLog,
    Simple, SystemJournal, UndefinedLog,
};
use netmidi_message::{Parameter, U4};
use netmidi_testkit::{OwnedJournal, Vector, to_hex, vectors};
use netmidi_wire::Datagram;
use serde_json::{Map, Value, json};

/// How many vectors were compared, so that none is left out unnoticed.
#[derive(Debug, Default, PartialEq)]
struct Compared {
    journals: usize,
    errors: usize,
    written_again: usize,
    /// Vectors whose packet is malformed in front of the journal.
    without_journal: usize,
}

#[test]
fn channel_journals_read_as_expected_and_write_back() {
    let expected = Compared {
        journals: 40,
        written_again: 38,
        ..Compared::default()
    };
    assert_eq!(compare("journal-channel"), expected);
}

#[test]
fn system_journals_read_as_expected_and_write_back() {
    let expected = Compared {
        journals: 28,
        written_again: 28,
        ..Compared::default()
    };
    assert_eq!(compare("journal-system"), expected);
}

#[test]
fn whole_journals_read_as_expected_and_write_back() {
    let expected = Compared {
        journals: 9,
        written_again: 7,
        ..Compared::default()
    };
    assert_eq!(compare("journal-combined"), expected);
}

#[test]
fn malformed_journals_are_refused_for_the_right_reason() {
    let expected = Compared {
        errors: 31,
        without_journal: 23,
        ..Compared::default()
    };
    assert_eq!(compare("malformed"), expected);
}

#[test]
fn what_stands_in_front_of_a_cut_is_salvaged() {
    let octets = [
        0x60, 0x01, 0x00, // S=0 Y=1 A=1, one channel, checkpoint 256
        0x90, 0x03, // S=1, chapter Q, LENGTH 3
        0x83, // S=1, TOP 3; the channel journal is missing
    ];
    let error = Journal::parse(&octets).unwrap_err();
    assert_eq!(
        (error.code(), error.offset()),
        ("truncated-channel-journal", 6)
    );
    let salvaged = Journal::salvage(&octets).unwrap();
    assert_eq!(salvaged.damage, Some(error));
    let system = salvaged.journal.system().unwrap();
    assert!(system.s && system.sequencer.unwrap().s);
}

fn compare(file: &str) -> Compared {
    let mut compared = Compared::default();
    for vector in vectors(file) {
        let section = match Datagram::parse(&vector.octets) {
            Ok(Datagram::Rtp(packet)) => packet.command_section(),
            _ => {
                compared.without_journal += 1;
                continue;
            }
        };
        match section.ok().and_then(|section| section.journal()) {
            Some(octets) => compare_journal(&vector, octets, &mut compared),
            None => compared.without_journal += 1,
        }
    }
    compared
}

fn compare_journal(vector: &Vector, octets: &[u8], compared: &mut Compared) {
    let name = &vector.name;
    let journal = match Journal::parse(octets) {
        Ok(journal) => journal,
        Err(error) => {
            let found = json!({ "layer": "journal", "code": error.code() });
            assert_eq!(found, vector.expect["error"], "{name}: {error}");
            assert!(error.offset() <= octets.len(), "{name}: {error}");
            compared.errors += 1;
            return;
        }
    };
    assert_eq!(journal_json(&journal), vector.expect["journal"], "{name}");
    compared.journals += 1;
    if vector.canonical {
        let again = OwnedJournal::read(&journal).encode().unwrap();
        assert_eq!(to_hex(&again), to_hex(octets), "{name}");
        compared.written_again += 1;
    }
}

fn journal_json(journal: &Journal<'_>) -> Value {
    let count = journal.channel_count();
    let mut json = json!({
        "s": u8::from(journal.s()),
        "y": u8::from(journal.has_system()),
        "a": u8::from(count > 0),
        "h": u8::from(journal.enhanced()),
        "totchan": count.saturating_sub(1),
        "checkpoint": journal.checkpoint().0,
    });
    if let Some(system) = journal.system() {
        json["system"] = system_json(&system);
    }
    if count > 0 {
        let channels: Vec<_> = journal.channels().map(|it| channel_json(&it)).collect();
        assert_eq!(channels.len(), usize::from(count));
        json["channels"] = json!(channels);
    }
    put_trailing(&mut json, journal.surplus());
    json
}

fn put_trailing(json: &mut Value, surplus: &[u8]) {
    if !surplus.is_empty() {
        json["trailing"] = json!(surplus.len());
    }
}

fn channel_json(it: &ChannelJournal<'_>) -> Value {
    let mut json = json!({
        "s": u8::from(it.s),
        "chan": it.channel.index(),
        "h": u8::from(it.enhanced),
        "length": it.encoded_len() + it.surplus().len(),
        "toc": it.toc().map(|chapter| chapter.letter()).collect::<String>(),
    });
    if let Some(it) = it.program {
        json["chapter_p"] = json!({
            "s": u8::from(it.s),
            "program": it.program.get(),
            "b": u8::from(it.bank.is_some()),
            "bank_msb": it.bank.map_or(0, |bank| bank.msb.get()),
            "x": it.bank.map_or(0, |bank| u8::from(bank.reset)),
            "bank_lsb": it.bank.map_or(0, |bank| bank.lsb.get()),
        });
    }
    if let Some(it) = it.controls {
        let logs = it.logs().iter().map(|log| {
            let mut json = json!({ "s": u8::from(log.s), "number": log.controller.get() });
            let (tool, field, value) = match log.tool {
                ControlTool::Value(value) => ("value", "value", value.get()),
                ControlTool::Toggle(alt) => ("toggle", "alt", alt.get()),
                ControlTool::Count(alt) => ("count", "alt", alt.get()),
            };
            json["tool"] = json!(tool);
            json[field] = json!(value);
            json
        });
        json["chapter_c"] = list_json(it.s(), logs);
    }
    if let Some(it) = it.parameters {
        let flags = it.logs().flags();
        let mut chapter = json!({
            "s": u8::from(it.s()),
            "p": u8::from(it.pending().is_some()),
            "e": u8::from(it.in_progress()),
            "u": u8::from(flags.registered),
            "w": u8::from(flags.non_registered),
            "z": u8::from(flags.low),
            "length": it.encoded_len(),
            "logs": it.logs().iter().map(|log| parameter_json(&log)).collect::<Vec<_>>(),
        });
        if let Some(pending) = it.pending() {
            let (q, value) = match pending {
                Pending::Registered(value) => (0, value),
                Pending::NonRegistered(value) => (1, value),
            };
            chapter["q"] = json!(q);
            chapter["pending"] = json!(value.get());
        }
        json["chapter_m"] = chapter;
    }
    if let Some(it) = it.wheel {
        let bend = it.bend.to_u14();
        json["chapter_w"] = json!({
            "s": u8::from(it.s),
            "first": bend.lsb().get(),
            "second": bend.msb().get(),
        });
    }
    if let Some(it) = it.notes {
        let (low, high) = it.range();
        let logs = it.logs().iter().map(|log| {
            json!({
                "s": u8::from(log.s),
                "note": log.note.get(),
                "y": u8::from(log.play),
                "velocity": log.velocity.get(),
            })
        });
        json["chapter_n"] = json!({
            "b": u8::from(it.b()),
            "len": it.logs().len().min(127),
            "low": low.get(),
            "high": high.get(),
            "logs": logs.collect::<Vec<_>>(),
            "off": it.off().iter().map(|note| note.get()).collect::<Vec<_>>(),
        });
    }
    if let Some(it) = it.extras {
        let logs = it.logs().iter().map(|log| {
            let (v, field, value) = match log.extra {
                Extra::Count(count) => (0, "count", count),
                Extra::ReleaseVelocity(velocity) => (1, "release_velocity", velocity),
            };
            json!({ "s": u8::from(log.s), "note": log.note.get(), "v": v, field: value.get() })
        });
        json["chapter_e"] = list_json(it.s(), logs);
    }
    if let Some(it) = it.pressure {
        json["chapter_t"] = json!({ "s": u8::from(it.s), "pressure": it.pressure.get() });
    }
    if let Some(it) = it.poly_pressure {
        let logs = it.logs().iter().map(|log| {
            json!({
                "s": u8::from(log.s),
                "note": log.note.get(),
                "x": u8::from(log.stale),
                "pressure": log.pressure.get(),
            })
        });
        json["chapter_a"] = list_json(it.s(), logs);
    }
    put_trailing(&mut json, it.surplus());
    json
}

fn list_json(s: bool, logs: impl Iterator<Item = Value>) -> Value {
    let logs: Vec<_> = logs.collect();
    json!({ "s": u8::from(s), "len": logs.len() - 1, "logs": logs })
}

fn parameter_json(log: &ParameterLog) -> Value {
    let (q, number) = match log.parameter {
        Parameter::Registered(number) => (0, number),
        Parameter::NonRegistered(number) => (1, number),
    };
    let mut json = json!({
        "s": u8::from(log.s),
        "pnum_lsb": number.lsb().get(),
        "q": q,
        "pnum_msb": number.msb().get(),
        "j": u8::from(log.entry_msb.is_some()),
        "k": u8::from(log.entry_lsb.is_some()),
        "l": u8::from(log.a_button.is_some()),
        "m": u8::from(log.c_button.is_some()),
        "n": u8::from(log.count.is_some()),
        "t": u8::from(log.uses_count),
        "v": u8::from(log.uses_value),
    });
    for (name, entry) in [
        ("entry_msb", log.entry_msb),
        ("entry_lsb", log.entry_lsb),
        ("count", log.count),
    ] {
        if let Some(entry) = entry {
            json[name] = json!({ "x": u8::from(entry.stale), "value": entry.value.get() });
        }
    }
    if let Some((steps, stale)) = log.a_button {
        json["a_button"] = json!({
            "g": u8::from(steps.get() < 0),
            "x": u8::from(stale),
            "value": steps.get().unsigned_abs(),
        });
    }
    if let Some(steps) = log.c_button {
        json["c_button"] = json!({
            "g": u8::from(steps.get() < 0),
            "value": steps.get().unsigned_abs(),
        });
    }
    json
}

fn system_json(it: &SystemJournal<'_>) -> Value {
    let mut json = json!({
        "s": u8::from(it.s),
        "toc": it.toc().map(|chapter| chapter.letter()).collect::<String>(),
        "length": it.encoded_len() + it.surplus().len(),
    });
    if let Some(it) = &it.simple {
        json["chapter_d"] = simple_json(it);
    }
    if let Some(it) = it.active_sense {
        json["chapter_v"] = json!({ "s": u8::from(it.s), "count": it.count.get() });
    }
    if let Some(it) = it.sequencer {
        let mut chapter = json!({
            "s": u8::from(it.s),
            "n": u8::from(it.running),
            "d": u8::from(it.played),
            "c": u8::from(it.clock.is_some()),
            "t": u8::from(it.time_tools.is_some()),
            "top": it.top.get(),
        });
        if let Some(clock) = it.clock {
            chapter["clock"] = json!(clock);
        }
        if let Some(millis) = it.time_tools {
            chapter["timetools"] = json!(millis.get());
        }
        json["chapter_q"] = chapter;
    }
    if let Some(it) = it.timecode {
        let quarters = |it: [U4; 8]| json!({ "mt": it.map(U4::get) });
        let mut chapter = json!({
            "s": u8::from(it.s),
            "c": u8::from(it.complete.is_some()),
            "p": u8::from(it.partial.is_some()),
            "q": u8::from(matches!(it.complete, Some(Complete::QuarterFrames(_)))),
            "d": u8::from(it.reverse),
            "point": it.point.get(),
        });
        match it.complete {
            Some(Complete::FullFrame([hr, mn, sc, fr])) => {
                chapter["complete"] =
                    json!({ "hr": hr.get(), "mn": mn.get(), "sc": sc.get(), "fr": fr.get() });
            }
            Some(Complete::QuarterFrames(it)) => chapter["complete"] = quarters(it),
            None => {}
        }
        if let Some(it) = it.partial {
            chapter["partial"] = quarters(it);
        }
        json["chapter_f"] = chapter;
    }
    if let Some(logs) = it.sysex {
        let logs = logs.iter().map(|log| {
            let mut json = json!({
                "s": u8::from(log.s),
                "t": u8::from(log.type_count.is_some()),
                "c": u8::from(log.count.is_some()),
                "f": u8::from(log.first.is_some()),
                "d": u8::from(log.data.is_some()),
                "l": u8::from(log.list),
                "sta": log.status as u8,
            });
            if let Some(count) = log.type_count {
                json["tcount"] = json!(count);
            }
            if let Some(count) = log.count {
                json["count"] = json!(count);
            }
            if let Some(first) = log.first {
                json["first"] = json!(first.get());
            }
            if let Some(data) = log.data {
                json["data"] = json!(to_hex(&data.iter().collect::<Vec<_>>()));
            }
            json
        });
        json["chapter_x"] = json!(logs.collect::<Vec<_>>());
    }
    put_trailing(&mut json, it.surplus());
    json
}

fn simple_json(it: &Simple<'_>) -> Value {
    let mut json = Map::new();
    let mut toc = String::new();
    let mut put = |letter, name: &str, log: Option<Value>| {
        if let Some(log) = log {
            toc.push(letter);
            json.insert(name.to_owned(), log);
        }
    };
    let count = |s, count| json!({ "s": u8::from(s), "count": count });
    put(
        'B',
        "reset",
        it.reset.map(|log| count(log.s, log.count.get())),
    );
    let tune_request = it.tune_request;
    put(
        'G',
        "tune_request",
        tune_request.map(|log| count(log.s, log.count.get())),
    );
    let song = it
        .song_select
        .map(|log| json!({ "s": u8::from(log.s), "value": log.song.get() }));
    put('H', "song_select", song);
    put('J', "f4", it.f4.as_ref().map(undefined_json));
    put('K', "f5", it.f5.as_ref().map(undefined_json));
    put('Y', "f9", it.f9.as_ref().map(real_time_json));
    put('Z', "fd", it.fd.as_ref().map(real_time_json));
    json.insert("s".to_owned(), json!(u8::from(it.s)));
    json.insert("toc".to_owned(), json!(toc));
    Value::Object(json)
}

fn undefined_json(log: &UndefinedLog<'_>) -> Value {
    let mut json = json!({
        "s": u8::from(log.s()),
        "c": u8::from(log.count().is_some()),
        "v": u8::from(log.value().is_some()),
        "l": u8::from(log.legal().is_some()),
        "dsz": log.size() as u8,
        "length": log.encoded_len(),
    });
    if let Some(count) = log.count() {
        json["count"] = json!(count);
    }
    if let Some(value) = log.value() {
        json["value"] = json!(to_hex(&value.iter().collect::<Vec<_>>()));
    }
    if let Some(legal) = log.legal() {
        json["legal"] = json!(to_hex(legal));
    }
    json
}

fn real_time_json(log: &RealTimeLog<'_>) -> Value {
    let mut json = json!({
        "s": u8::from(log.s()),
        "c": u8::from(log.count().is_some()),
        "l": u8::from(log.legal().is_some()),
        "length": log.encoded_len(),
    });
    if let Some(count) = log.count() {
        json["count"] = json!(count);
    }
    if let Some(legal) = log.legal() {
        json["legal"] = json!(to_hex(legal));
    }
    json
}
