//! Generators for what `netmidi-journal` reads and writes.

use netmidi_journal::{
    ActiveSense, Bank, ButtonCount, Complete, ControlLog, CountLog, DataSize, Entry, ExtraLog,
    FirstIndex, Log, NoteLog, OffBits, ParameterFlags, ParameterLog, Pending, PolyPressureLog,
    Pressure, Program, Sequencer, Simple, SongLog, SysExStatus, TimeTools, Timecode, Wheel,
};
use netmidi_message::{Bend, Channel, Note, Parameter, U3, U4, U7, U14};
use netmidi_wire::SeqNum;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use super::any_u7;
use crate::journals::{
    OwnedChannel, OwnedJournal, OwnedParameters, OwnedSimple, OwnedSysEx, OwnedSystem,
    OwnedUndefined,
};

/// Any journal that can be written, mostly of few channels.
pub fn journal() -> impl Strategy<Value = OwnedJournal> {
    let channels = prop_oneof![4 => Just(0x8421u16), 4 => Just(0x0004), 1 => any::<u16>()]
        .prop_flat_map(|set| {
            (0..16u8)
                .filter(|index| set >> index & 1 != 0)
                .map(|index| channel_journal(Channel::from_status(index)))
                .collect::<Vec<_>>()
        });
    let head = any::<(bool, bool, u16)>();
    (head, of(system_journal()), channels).prop_map(|((s, enhanced, seq), system, channels)| {
        OwnedJournal {
            s,
            enhanced,
            checkpoint: SeqNum(seq),
            system,
            channels,
        }
    })
}

/// Any journal of this channel that is not too long; every chapter is there half the time.
pub fn channel_journal(channel: Channel) -> impl Strategy<Value = OwnedChannel> {
    let flags = any::<(bool, bool)>();
    let fixed = (of(program()), of(wheel()), of(pressure()));
    let notes = (any::<bool>(), logs::<NoteLog>(0), any::<u128>());
    let lists = (
        of((any::<bool>(), logs::<ControlLog>(1))),
        of(parameters()),
        of(notes),
        of((any::<bool>(), logs::<ExtraLog>(1))),
        of((any::<bool>(), logs::<PolyPressureLog>(1))),
    );
    (flags, fixed, lists).prop_map(move |((s, enhanced), (program, wheel, pressure), lists)| {
        let (controls, parameters, notes, extras, poly_pressure) = lists;
        let mut it = OwnedChannel::new(channel);
        it.fixed.s = s;
        it.fixed.enhanced = enhanced;
        it.fixed.program = program;
        it.fixed.wheel = wheel;
        it.fixed.pressure = pressure;
        it.controls = controls;
        it.parameters = parameters;
        it.notes = notes.map(|(b, logs, bits)| {
            // With 128 logs nothing can be off.
            let bits = if logs.len() == 128 { 0 } else { bits };
            (b, logs, off_bits(bits))
        });
        it.extras = extras;
        it.poly_pressure = poly_pressure;
        // Four full lists do not fit into one channel journal.
        if it.with_view(|view| view.encoded_len()) > 1023 {
            it.controls = None;
            it.extras = None;
        }
        it
    })
}

/// Any system journal that is not too long; every chapter is there half the time.
pub fn system_journal() -> impl Strategy<Value = OwnedSystem> {
    let sense = (any::<bool>(), any_u7()).prop_map(|(s, count)| ActiveSense { s, count });
    let chapters = (
        of(simple()),
        of(sense),
        of(sequencer()),
        of(timecode()),
        of(vec(sysex(), 1..8)),
    );
    (any::<bool>(), chapters).prop_map(|(s, (simple, active_sense, sequencer, timecode, sysex))| {
        OwnedSystem {
            s,
            simple,
            active_sense,
            sequencer,
            timecode,
            sysex,
        }
    })
}

/// Logs of two octets, often few, sometimes as many as there can be.
fn logs<L: Log>(min: usize) -> impl Strategy<Value = Vec<L>> {
    let len = prop_oneof![8 => min..12, 1 => 126..129usize];
    len.prop_flat_map(|len| vec(any::<[u8; 2]>().prop_map(L::from_octets), len))
}

/// Notes all over the keyboard, or in two octets of it.
fn off_bits(bits: u128) -> OffBits {
    let bits = if bits & 1 == 0 {
        bits
    } else {
        bits & 0x00FF_FF00_0000
    };
    (0..128u8)
        .filter(|key| bits >> key & 1 != 0)
        .filter_map(Note::new)
        .collect()
}

fn program() -> impl Strategy<Value = Program> {
    let bank = (any_u7(), any_u7(), any::<bool>());
    let bank = bank.prop_map(|(msb, lsb, reset)| Bank { msb, lsb, reset });
    (any::<bool>(), any_u7(), of(bank)).prop_map(|(s, program, bank)| Program { s, program, bank })
}

fn wheel() -> impl Strategy<Value = Wheel> {
    any::<(bool, u16)>().prop_map(|(s, bend)| Wheel {
        s,
        bend: Bend::from(U14::from_low_bits(bend)),
    })
}

fn pressure() -> impl Strategy<Value = Pressure> {
    (any::<bool>(), any_u7()).prop_map(|(s, pressure)| Pressure { s, pressure })
}

fn parameters() -> impl Strategy<Value = OwnedParameters> {
    let pending = (any::<bool>(), any_u7()).prop_map(|(registered, value)| {
        if registered {
            Pending::Registered(value)
        } else {
            Pending::NonRegistered(value)
        }
    });
    // Kinds and numbers alike or mixed, so that all forms occur.
    let kind = (any::<(bool, bool, bool, bool)>(), vec(parameter(), 0..12));
    (any::<(bool, bool)>(), of(pending), kind).prop_map(
        |((s, in_progress), pending, ((one_kind, registered, low, say), mut logs))| {
            for log in &mut logs {
                let (Parameter::Registered(number) | Parameter::NonRegistered(number)) =
                    log.parameter;
                let number = if low {
                    number.lsb().get().into()
                } else {
                    number.get()
                };
                let number = U14::from_low_bits(number);
                let kind = if one_kind {
                    registered
                } else {
                    matches!(log.parameter, Parameter::Registered(_))
                };
                log.parameter = if kind {
                    Parameter::Registered(number)
                } else {
                    Parameter::NonRegistered(number)
                };
            }
            OwnedParameters {
                s,
                pending,
                in_progress,
                flags: if say {
                    ParameterFlags::of(&logs)
                } else {
                    ParameterFlags::NONE
                },
                logs,
            }
        },
    )
}

fn parameter() -> impl Strategy<Value = ParameterLog> {
    let entry = || of((any_u7(), any::<bool>()).prop_map(|(value, stale)| Entry { value, stale }));
    let steps = || (-16_383..=16_383i16).prop_map(|steps| ButtonCount::new(steps).unwrap());
    let fields = (
        entry(),
        entry(),
        of((steps(), any::<bool>())),
        of(steps()),
        entry(),
    );
    (any::<[bool; 4]>(), any::<u16>(), fields).prop_map(
        |([s, registered, uses_count, uses_value], number, fields)| {
            let (entry_msb, entry_lsb, a_button, c_button, count) = fields;
            let number = U14::from_low_bits(number);
            ParameterLog {
                s,
                parameter: if registered {
                    Parameter::Registered(number)
                } else {
                    Parameter::NonRegistered(number)
                },
                entry_msb,
                entry_lsb,
                a_button,
                c_button,
                count,
                uses_count,
                uses_value,
            }
        },
    )
}

fn simple() -> impl Strategy<Value = OwnedSimple> {
    let count = || of((any::<bool>(), any_u7()).prop_map(|(s, count)| CountLog { s, count }));
    let song = of((any::<bool>(), any_u7()).prop_map(|(s, song)| SongLog { s, song }));
    let undefined = || of(undefined());
    let real_time = || {
        of((
            any::<bool>(),
            any::<Option<u8>>(),
            of(vec(any::<u8>(), 0..29)),
        ))
    };
    let logs = (undefined(), undefined(), real_time(), real_time());
    (any::<bool>(), (count(), count(), song), logs).prop_map(
        |(s, (reset, tune_request, song_select), (f4, f5, f9, fd))| OwnedSimple {
            fixed: Simple {
                s,
                reset,
                tune_request,
                song_select,
                ..Simple::new()
            },
            undefined: [f4, f5],
            real_time: [f9, fd],
        },
    )
}

fn undefined() -> impl Strategy<Value = OwnedUndefined> {
    let size = select(vec![
        DataSize::Zero,
        DataSize::One,
        DataSize::Two,
        DataSize::ThreeOrMore,
    ]);
    let legal = of(vec(any::<u8>(), 0..9));
    (any::<(bool, Option<u8>)>(), size, of(data()), legal).prop_map(
        |((s, count), size, value, legal)| OwnedUndefined {
            s,
            size,
            count,
            value,
            legal,
        },
    )
}

fn sequencer() -> impl Strategy<Value = Sequencer> {
    (
        any::<(bool, bool, bool, u8)>(),
        any::<Option<u16>>(),
        any::<Option<u32>>(),
    )
        .prop_map(|((s, running, played, top), clock, millis)| Sequencer {
            s,
            running,
            played,
            top: U3::from_low_bits(top),
            clock,
            time_tools: millis.map(TimeTools::from_low_bits),
        })
}

fn timecode() -> impl Strategy<Value = Timecode> {
    let quarters = || any::<[u8; 8]>().prop_map(|it| it.map(U4::from_low_bits));
    let complete = prop_oneof![
        any::<[u8; 4]>().prop_map(|it| Complete::FullFrame(it.map(U7::from_low_bits))),
        quarters().prop_map(Complete::QuarterFrames),
    ];
    (any::<(bool, bool, u8)>(), of(complete), of(quarters())).prop_map(
        |((s, reverse, point), complete, partial)| Timecode {
            s,
            reverse,
            point: U3::from_low_bits(point),
            complete,
            partial,
        },
    )
}

fn sysex() -> impl Strategy<Value = OwnedSysEx> {
    let status = select(vec![
        SysExStatus::Unfinished,
        SysExStatus::Cancelled,
        SysExStatus::DroppedEnd,
        SysExStatus::Finished,
    ]);
    let first = prop_oneof![0..300u32, Just(0x3FFF), Just(0x4000), any::<u32>(),];
    (
        any::<(bool, bool, Option<u8>, Option<u8>)>(),
        status,
        of(first),
        of(data()),
    )
        .prop_map(
            |((s, list, type_count, count), status, first, data)| OwnedSysEx {
                s,
                list,
                status,
                type_count,
                count,
                first: first.map(FirstIndex::from_low_bits),
                data,
            },
        )
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    vec(0..0x80u8, 1..60)
}
