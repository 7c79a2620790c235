//! A recorder against a slow reference that goes through all commands anew for each journal.

#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic here is a failed test"
)]

use std::collections::BTreeMap;

use netmidi_journal::{
    Bank, ButtonCount, ControlTool, Entry, Extra, Form, Journal, ParameterLog, Pending,
    PolyPressureLog, Program, Recorder, RecorderConfig,
};
use netmidi_message::{
    Bend, Channel, ChannelMessage, Controller, Message, Note, Parameter, RealTime, U7, U14,
};
use netmidi_testkit::properties;
use netmidi_wire::{RtpTimestamp, SeqNum};
use proptest::prelude::*;

/// What happens between two packets.
#[derive(Clone, Debug)]
struct Packet {
    messages: Vec<Sent>,
    /// A report of a packet so many back arrives afterwards.
    report: Option<u16>,
}

#[derive(Clone, Copy, Debug)]
enum Sent {
    Channel(ChannelMessage),
    Reset,
}

/// A log, without the octets around it: S, and what it tells.
type Told<T> = Vec<(bool, T)>;

/// The chapters of a channel journal that are compared.
#[derive(Debug, Default, PartialEq)]
struct Chapters {
    program: Option<Program>,
    controls: Told<(u8, ControlTool)>,
    wheel: Option<(bool, Bend)>,
    b: Option<bool>,
    notes: Told<(u8, u8, bool)>,
    off: Vec<u8>,
    extras: Told<(u8, Extra)>,
    pressure: Option<(bool, u8)>,
    poly_pressure: Told<(u8, bool, u8)>,
}

const WINDOW: i32 = 500;

fn u7(value: u8) -> U7 {
    U7::new(value).unwrap()
}

fn message() -> impl Strategy<Value = Sent> {
    // Few notes and controllers, so that they meet.
    let note = || prop_oneof![Just(0u8), 60..64u8, Just(127)].prop_map(|it| Note::new(it).unwrap());
    let channel = || prop_oneof![3 => Just(Channel::C1), 1 => Just(Channel::C16)];
    let value = || prop_oneof![Just(0u8), Just(64), Just(127), 0..128u8].prop_map(u7);
    let controller = prop_oneof![
        2 => prop_oneof![Just(0u8), Just(32), Just(1), Just(7), Just(39), Just(84), Just(96)],
        2 => 64..70u8,
        1 => 120..128u8,
    ]
    .prop_map(|it| Controller::new(it).unwrap());
    prop_oneof![
        8 => (channel(), note(), value()).prop_map(|(c, n, v)| ChannelMessage::note_on(c, n, v)),
        6 => (channel(), note(), value()).prop_map(|(c, n, v)| ChannelMessage::note_off(c, n, v)),
        6 => (channel(), controller, value())
            .prop_map(|(c, n, v)| ChannelMessage::control_change(c, n, v)),
        2 => (channel(), note(), value())
            .prop_map(|(c, n, v)| ChannelMessage::poly_pressure(c, n, v)),
        2 => (channel(), value()).prop_map(|(c, v)| ChannelMessage::program_change(c, v)),
        1 => (channel(), value()).prop_map(|(c, v)| ChannelMessage::channel_pressure(c, v)),
        1 => channel().prop_map(|c| ChannelMessage::pitch_bend(c, Bend::MAX)),
    ]
    .prop_map(Sent::Channel)
}

fn packet() -> impl Strategy<Value = Packet> {
    let messages =
        prop::collection::vec(prop_oneof![40 => message(), 1 => Just(Sent::Reset)], 0..6);
    let report = prop::option::weighted(0.3, 0..6u16);
    (messages, report).prop_map(|(messages, report)| Packet { messages, report })
}

proptest! {
    #![proptest_config(properties())]

    #[test]
    fn a_journal_tells_what_going_through_everything_tells(
        packets in prop::collection::vec(packet(), 1..40),
        first in prop_oneof![Just(0u16), Just(65_520), any::<u16>()],
    ) {
        let first = SeqNum(first);
        let mut recorder = Recorder::new(RecorderConfig::default(), first);
        let mut history: Vec<(usize, Sent)> = Vec::new();
        let mut acknowledged = 0;
        for (number, packet) in packets.iter().enumerate() {
            let time = |number: usize| RtpTimestamp(number as u32 * 130);
            let mut out = [0; 1400];
            let written = recorder.write(time(number), Form::Full, &mut out).unwrap();
            prop_assert!(written.complete);
            let journal = Journal::parse(&out[..written.len]).unwrap();
            prop_assert!(journal.surplus().is_empty());
            let mut s = true;
            let mut count = 0;
            for channel in Channel::all() {
                let expected = reference(&history, channel, number, acknowledged);
                let found = journal.channel(channel);
                count += usize::from(found.is_some());
                prop_assert!(found.is_none_or(|it| it.surplus().is_empty() && !it.is_empty()));
                let found = found.map(|it| { s &= it.s; read(&it) }).unwrap_or_default();
                prop_assert_eq!(found, expected, "packet {} of {:?}", number, channel);
            }
            prop_assert_eq!(journal.channels().count(), count);
            prop_assert_eq!(journal.s(), s && journal.system().is_none_or(|it| it.s));
            prop_assert_eq!(
                journal.checkpoint(),
                first.wrapping_add(acknowledged as u16)
            );
            for sent in &packet.messages {
                history.push((number, *sent));
                let message = match *sent {
                    Sent::Channel(message) => Message::Channel(message),
                    Sent::Reset => Message::RealTime(RealTime::Reset),
                };
                recorder.record(time(number), message);
            }
            recorder.end_packet();
            if let Some(back) = packet.report {
                let news = usize::checked_sub(number, back.into()).is_some_and(|it| it + 1 > acknowledged);
                let report = first.wrapping_add(number as u16).wrapping_add(back.wrapping_neg());
                prop_assert_eq!(recorder.acknowledge(report), news);
                if news {
                    acknowledged = number - usize::from(back) + 1;
                }
            }
        }
    }
}

/// What chapter M should hold.
#[derive(Debug, PartialEq)]
struct Selected {
    s: bool,
    pending: Option<Pending>,
    in_progress: bool,
    logs: Vec<ParameterLog>,
}

/// The commands of one parameter, with their packets.
#[derive(Default)]
struct Transactions {
    number: (bool, u8, u8),
    commands: Vec<(usize, Step)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Step {
    Begin,
    Data(u8, u8),
    ResetControllers,
}

proptest! {
    #![proptest_config(properties())]

    #[test]
    fn parameters_are_what_going_through_everything_tells(
        packets in prop::collection::vec(
            (prop::collection::vec(parameter_command(), 0..5), any::<bool>()),
            1..30,
        ),
    ) {
        let mut recorder = Recorder::new(RecorderConfig::default(), SeqNum(0));
        let mut history = Vec::new();
        let mut acknowledged = 0;
        for (now, (commands, report)) in packets.iter().enumerate() {
            let mut out = [0; 1400];
            let written = recorder.write(RtpTimestamp(0), Form::Full, &mut out).unwrap();
            let journal = Journal::parse(&out[..written.len]).unwrap();
            let found = journal.channel(Channel::C1).and_then(|it| it.parameters);
            let found = found.map(|it| Selected {
                s: it.effective_s(),
                pending: it.pending(),
                in_progress: it.in_progress(),
                logs: it.logs().iter().collect(),
            });
            let expected = parameters(&history, now, acknowledged);
            prop_assert_eq!(found, expected, "packet {}: {:?}", now, history);
            for &(number, value) in commands {
                history.push((now, number, value));
                let number = Controller::new(number).unwrap();
                let message = ChannelMessage::control_change(Channel::C1, number, u7(value));
                recorder.record(RtpTimestamp(0), message.into());
            }
            recorder.end_packet();
            if *report && now > 0 {
                recorder.acknowledge(SeqNum(now as u16 - 1));
                acknowledged = now;
            }
        }
    }
}

fn parameter_command() -> impl Strategy<Value = (u8, u8)> {
    let select = prop_oneof![98..102u8];
    let part = prop_oneof![Just(0u8), Just(1), Just(127)];
    prop_oneof![
        6 => (select, part),
        4 => (prop_oneof![Just(6u8), Just(38), 96..98u8], 0..3u8),
        1 => Just((121, 0)),
    ]
}

fn parameters(history: &[(usize, u8, u8)], now: usize, acknowledged: usize) -> Option<Selected> {
    let mut all: Vec<Transactions> = Vec::new();
    let mut halves = [127, 127];
    // The last command that selects, if it does not begin a transaction.
    let mut selects = None;
    let mut pending = None;
    let mut open = None;
    for &(packet, number, value) in history {
        let registered = number >= 100;
        let mut begin = None;
        match number {
            99 | 101 => {
                halves[usize::from(registered)] = value;
                pending = Some((registered, value));
                open = None;
                selects = Some(packet);
            }
            98 | 100 => {
                let msb = halves[usize::from(registered)];
                (pending, open, selects) = (None, None, Some(packet));
                if (msb, value) != (127, 127) {
                    begin = Some((registered, msb, value));
                }
            }
            121 => {
                (pending, open, selects) = (None, None, None);
                halves = [127, 127];
                for it in &mut all {
                    it.commands.push((0, Step::ResetControllers));
                }
            }
            _ => begin = pending.map(|(registered, msb)| (registered, msb, 0)),
        }
        if let Some(number) = begin {
            // The newest are at the end.
            let known = all.iter().position(|it| it.number == number);
            let known = known.map(|index| all.remove(index));
            let mut known = known.unwrap_or_default();
            known.number = number;
            known.commands.push((packet, Step::Begin));
            all.push(known);
            (pending, open, selects) = (None, Some(number), None);
        }
        if let (6 | 38 | 96 | 97, Some(number_open)) = (number, open) {
            let known = all.last_mut().unwrap();
            assert_eq!(known.number, number_open);
            known.commands.push((packet, Step::Data(number, value)));
        }
    }
    let selects = selects.filter(|packet| *packet >= acknowledged);
    let last = |it: &Transactions| {
        let own = it
            .commands
            .iter()
            .filter(|it| it.1 != Step::ResetControllers);
        own.map(|it| it.0).max().unwrap()
    };
    let unacknowledged = |it: &&Transactions| last(it) >= acknowledged;
    if selects.is_none() && !all.iter().any(|it| unacknowledged(&it)) {
        return None;
    }
    let told = all
        .iter()
        .filter(|it| unacknowledged(it) || Some(it.number) == open);
    let logs: Vec<_> = told
        .map(|it| log(it, last(it) + 1 != now || last(it) < acknowledged))
        .collect();
    Some(Selected {
        s: selects.is_none_or(|it| it + 1 != now) && logs.iter().all(|it| it.s),
        pending: pending.map(|(registered, msb)| match registered {
            true => Pending::Registered(u7(msb)),
            false => Pending::NonRegistered(u7(msb)),
        }),
        in_progress: open.is_some(),
        logs,
    })
}

fn log(transactions: &Transactions, s: bool) -> ParameterLog {
    let (registered, msb, lsb) = transactions.number;
    let number = U14::from_parts(u7(msb), u7(lsb));
    let mut log = ParameterLog::new(
        s,
        match registered {
            true => Parameter::Registered(number),
            false => Parameter::NonRegistered(number),
        },
    );
    let steps: Vec<_> = transactions.commands.iter().map(|it| it.1).collect();
    let reset = steps.iter().rposition(|it| *it == Step::ResetControllers);
    let stale = |index: usize| reset.is_some_and(|reset| index < reset);
    let last = |number| {
        steps
            .iter()
            .rposition(|it| matches!(it, Step::Data(it, _) if *it == number))
    };
    let entry = |index: usize| match steps[index] {
        Step::Data(_, value) => Entry {
            value: u7(value),
            stale: stale(index),
        },
        _ => unreachable!(),
    };
    let (coarse, fine) = (last(6), last(38));
    log.entry_msb = coarse.map(entry);
    log.entry_lsb = fine.filter(|fine| Some(*fine) > coarse).map(entry);
    let from = coarse.max(fine).map_or(0, |it| it + 1);
    let buttons: Vec<_> = (from..steps.len())
        .filter_map(|index| match steps[index] {
            Step::Data(96, _) => Some((index, 1)),
            Step::Data(97, _) => Some((index, -1)),
            _ => None,
        })
        .collect();
    if let Some((last, _)) = buttons.last() {
        let sum = |it: i16| ButtonCount::new(it).unwrap();
        let all = buttons.iter().map(|it| it.1).sum();
        let new = buttons
            .iter()
            .filter(|it| !stale(it.0))
            .map(|it| it.1)
            .sum();
        log.a_button = Some((sum(all), stale(*last)));
        log.c_button = (!stale(*last) && new != all).then(|| sum(new));
    }
    let begin = |it: &&Step| **it == Step::Begin;
    log.count = Some(Entry {
        value: u7(steps.iter().filter(begin).count() as u8),
        stale: stale(steps.iter().rposition(|it| *it == Step::Begin).unwrap()),
    });
    log
}

/// Goes through all commands; `acknowledged` is the first packet that is not.
fn reference(
    history: &[(usize, Sent)],
    channel: Channel,
    now: usize,
    acknowledged: usize,
) -> Chapters {
    let mut program = None;
    let mut bank = None;
    let mut controls: Vec<(usize, u8, u8, [u8; 2])> = Vec::new();
    let mut counts = BTreeMap::<u8, u8>::new();
    let mut toggles = BTreeMap::<u8, u8>::new();
    let mut wheel = None;
    let mut notes: Vec<(usize, u8, u8)> = Vec::new();
    let mut releases = BTreeMap::<u8, u8>::new();
    let mut stacked = BTreeMap::<u8, u8>::new();
    let mut pressure = None;
    let mut poly: Vec<(usize, u8, bool, u8)> = Vec::new();
    let mut any_off = false;
    for &(packet, sent) in history {
        let message = match sent {
            Sent::Channel(message) if message.channel() == channel => message,
            Sent::Channel(_) => continue,
            Sent::Reset => {
                (program, bank, wheel, pressure) = (None, None, None, None);
                controls.clear();
                counts.clear();
                toggles.clear();
                notes.clear();
                stacked.clear();
                poly.clear();
                any_off = false;
                continue;
            }
        };
        match message {
            ChannelMessage::NoteOn { note, velocity, .. } if velocity != U7::MIN => {
                notes.retain(|it| it.1 != note.get());
                notes.push((packet, note.get(), velocity.get()));
                *stacked.entry(note.get()).or_default() += 1;
            }
            ChannelMessage::NoteOn { note, .. } | ChannelMessage::NoteOff { note, .. } => {
                let release = match message {
                    ChannelMessage::NoteOff { velocity, .. } => velocity.get(),
                    _ => 64,
                };
                notes.retain(|it| it.1 != note.get());
                notes.push((packet, note.get(), 0));
                releases.insert(note.get(), release);
                let count = stacked.entry(note.get()).or_default();
                *count = count.saturating_sub(1);
                any_off |= packet + 1 == now;
            }
            ChannelMessage::ControlChange { control, value, .. } => {
                let number = control.get();
                let value = value.get();
                match number {
                    0 => bank = Some((value, 0, false)),
                    32 => bank = bank.map(|(msb, _, reset)| (msb, value, reset)),
                    121 => {
                        bank = bank.map(|(msb, lsb, _)| (msb, lsb, true));
                        (wheel, pressure) = (None, None);
                        poly.clear();
                        for switch in 64..68 {
                            let toggle = toggles.entry(switch).or_default();
                            *toggle += *toggle % 2;
                        }
                    }
                    120 | 123..=127 => {
                        notes.clear();
                        stacked.clear();
                        pressure = None;
                        poly.iter_mut().for_each(|it| it.2 = true);
                    }
                    _ => {}
                }
                let count = counts.entry(number).or_default();
                *count += 1;
                let toggle = toggles.entry(number).or_default();
                *toggle += u8::from((*toggle % 2 == 1) != (value >= 64));
                controls.retain(|it| it.1 != number);
                controls.push((packet, number, value, [*count % 64, *toggle % 64]));
            }
            ChannelMessage::PolyPressure { note, value, .. } => {
                poly.retain(|it| it.1 != note.get());
                poly.push((packet, note.get(), false, value.get()));
            }
            ChannelMessage::ProgramChange { program: to, .. } => {
                program = Some((packet, to.get(), bank));
            }
            ChannelMessage::ChannelPressure { value, .. } => pressure = Some((packet, value.get())),
            ChannelMessage::PitchBend { bend, .. } => wheel = Some((packet, bend)),
        }
    }
    let s = |packet: usize| packet + 1 != now;
    let told = |packet: &usize| *packet >= acknowledged;
    let mut chapters = Chapters::default();
    if let Some((packet, program, bank)) = program.filter(|it| told(&it.0)) {
        let bank = bank.map(|(msb, lsb, reset)| Bank {
            msb: u7(msb),
            lsb: u7(lsb),
            reset,
        });
        chapters.program = Some(Program {
            s: s(packet),
            program: u7(program),
            bank,
        });
    }
    chapters.wheel = wheel
        .filter(|it| told(&it.0))
        .map(|(packet, it)| (s(packet), it));
    chapters.pressure = pressure
        .filter(|it| told(&it.0))
        .map(|(packet, it)| (s(packet), it));
    for (packet, number, value, [count, toggle]) in controls {
        if !told(&packet) {
            continue;
        }
        let count = ControlTool::Count(netmidi_journal::Alt::new(count).unwrap());
        let toggle = ControlTool::Toggle(netmidi_journal::Alt::new(toggle).unwrap());
        let plain = ControlTool::Value(u7(value));
        let tools = match number {
            84 => vec![count, plain],
            126 | 121 if value != 0 => vec![count, plain],
            96 | 120 | 121 | 123..=127 => vec![count],
            64..=69 if value != 0 && value != 127 => vec![plain, toggle],
            64..=69 => vec![toggle],
            _ => vec![plain],
        };
        chapters
            .controls
            .extend(tools.into_iter().map(|tool| (s(packet), (number, tool))));
    }
    for (packet, note, velocity) in notes {
        if !told(&packet) {
            continue;
        }
        chapters.b = Some(!any_off);
        let count = stacked.get(&note).copied().unwrap_or_default();
        if velocity == 0 {
            chapters.off.push(note);
        } else {
            let play = (now - packet) as i32 * 130 <= WINDOW;
            chapters.notes.push((s(packet), (note, velocity, play)));
        }
        if count > u8::from(velocity != 0) {
            chapters
                .extras
                .push((s(packet), (note, Extra::Count(u7(count)))));
        }
        if velocity == 0 && releases[&note] != 64 {
            let extra = Extra::ReleaseVelocity(u7(releases[&note]));
            chapters.extras.push((s(packet), (note, extra)));
        }
    }
    chapters.off.sort_unstable();
    for (packet, note, stale, value) in poly {
        if told(&packet) {
            chapters
                .poly_pressure
                .push((s(packet), (note, stale, value)));
        }
    }
    chapters
}

fn read(journal: &netmidi_journal::ChannelJournal<'_>) -> Chapters {
    let mut chapters = Chapters {
        program: journal.program,
        wheel: journal.wheel.map(|it| (it.s, it.bend)),
        pressure: journal.pressure.map(|it| (it.s, it.pressure.get())),
        ..Chapters::default()
    };
    if let Some(controls) = journal.controls {
        let logs = controls.logs();
        chapters.controls = logs
            .iter()
            .map(|it| (it.s, (it.controller.get(), it.tool)))
            .collect();
    }
    if let Some(notes) = journal.notes {
        chapters.b = Some(notes.b());
        chapters.off = notes.off().iter().map(Note::get).collect();
        let logs = notes.logs();
        chapters.notes = logs
            .iter()
            .map(|it| (it.s, (it.note.get(), it.velocity.get(), it.play)))
            .collect();
    }
    if let Some(extras) = journal.extras {
        chapters.extras = extras
            .logs()
            .iter()
            .map(|it| (it.s, (it.note.get(), it.extra)))
            .collect();
    }
    if let Some(poly) = journal.poly_pressure {
        let told = |it: PolyPressureLog| (it.s, (it.note.get(), it.stale, it.pressure.get()));
        chapters.poly_pressure = poly.logs().iter().map(told).collect();
    }
    chapters
}
