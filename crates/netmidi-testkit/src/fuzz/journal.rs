//! Fuzz bodies for `netmidi-journal`.

use netmidi_journal::{
    Arrival, ChannelJournal, ControlTool, Extra, Journal, Log, Logs, Repair, Repairer,
    RepairerConfig, Salvaged, SysExStatus, SystemJournal,
};
use netmidi_message::{Channel, ChannelMessage, Message, MessageBuf, Parameter, U14, messages};
use netmidi_wire::{CommandSection, RtpTimestamp, SeqNum};

use crate::journals::OwnedJournal;

/// Any octets as a journal: an error that points into them, or a reading that is consistent with
/// itself and survives being written and read again. What is salvaged from a damaged one is held
/// to the same.
///
/// # Panics
/// When that is not so.
pub fn journal_parse(data: &[u8]) {
    let strict = Journal::parse(data);
    let salvaged = match Journal::salvage(data) {
        Ok(salvaged) => salvaged,
        Err(error) => {
            assert!(data.len() < 3, "{error}: {data:02x?}");
            assert_eq!(
                (error.code(), error.offset()),
                ("truncated-header", data.len())
            );
            assert_eq!(strict.unwrap_err(), error);
            return;
        }
    };
    check_elements(&salvaged.journal, data);
    match (strict, salvaged.damage) {
        (Err(error), Some(damage)) => {
            assert_eq!(error, damage);
            assert!(
                (3..=data.len()).contains(&error.offset()),
                "{error}: {data:02x?}"
            );
            assert!(!error.to_string().is_empty());
            assert!(!error.code().is_empty());
        }
        (Ok(journal), None) => check_whole(&journal, data),
        (strict, damage) => panic!("{strict:?} but {damage:?}"),
    }
}

fn check_whole(journal: &Journal<'_>, data: &[u8]) {
    assert_eq!(journal.system().is_some(), journal.has_system());
    assert_eq!(
        journal.channels().count(),
        usize::from(journal.channel_count())
    );
    assert!(data.ends_with(journal.surplus()));

    let fields = OwnedJournal::read(journal);
    let written = fields.encode().expect("what was read can be written");
    assert!(
        written.len() <= data.len() - journal.surplus().len(),
        "{data:02x?}"
    );
    let again = Journal::parse(&written).expect("what was written can be read");
    let fields_again = OwnedJournal::read(&again);
    assert_eq!(fields_again.encode().as_ref(), Ok(&written), "{data:02x?}");
    assert_eq!(fields_again.plain(), fields.plain(), "{data:02x?}");
    let inside = again.channels().all(|it| it.s) && again.system().is_none_or(|it| it.s);
    assert_eq!(again.s(), journal.s() && inside);
}

fn check_elements(journal: &Journal<'_>, data: &[u8]) {
    assert!(journal.channels().count() <= usize::from(journal.channel_count()));
    let mut octets = 3;
    if let Some(system) = journal.system() {
        assert!(journal.has_system());
        check_system(&system);
        octets += system.encoded_len() + system.surplus().len();
    }
    let mut previous = None;
    for channel in journal {
        assert!(previous < Some(channel.channel.index()), "{data:02x?}");
        previous = Some(channel.channel.index());
        assert!(journal.channel(channel.channel).is_some());
        check_channel(&channel);
        octets += channel.encoded_len() + channel.surplus().len();
    }
    assert!(octets <= data.len(), "{data:02x?}");
}

fn check_channel(channel: &ChannelJournal<'_>) {
    assert_eq!(channel.toc().count() == 0, channel.is_empty());
    assert!(channel.encoded_len() + channel.surplus().len() <= ChannelJournal::MAX_LEN);
    let written = channel.to_vec().expect("not longer than it was");
    assert_eq!(written.len(), channel.encoded_len());
    if let Some(it) = channel.controls {
        check_logs(it.logs(), 1);
    }
    if let Some(it) = channel.parameters {
        assert_eq!(it.logs().iter().len(), it.logs().iter().count());
    }
    if let Some(it) = channel.notes {
        check_logs(it.logs(), 0);
        assert_eq!(it.off().len(), it.off().iter().count());
        assert!(it.off().iter().all(|note| it.off().contains(note)));
    }
    if let Some(it) = channel.extras {
        check_logs(it.logs(), 1);
    }
    if let Some(it) = channel.poly_pressure {
        check_logs(it.logs(), 1);
    }
}

fn check_logs<L: Log>(logs: Logs<'_, L>, min: usize) {
    assert!((min..=Logs::<L>::MAX_LEN).contains(&logs.len()));
    assert_eq!(logs.iter().len(), logs.iter().count());
    assert_eq!(logs.get(logs.len()), None);
}

fn check_system(system: &SystemJournal<'_>) {
    assert_eq!(system.toc().count() == 0, system.is_empty());
    assert!(system.encoded_len() + system.surplus().len() <= SystemJournal::MAX_LEN);
    let written = system.to_vec().expect("not longer than it was");
    assert_eq!(written.len(), system.encoded_len());
    if let Some(it) = system.sequencer {
        assert!(it.position() < 1 << 19);
    }
    if let Some(logs) = system.sysex {
        assert_eq!(logs.len(), logs.iter().count());
        for data in logs.iter().filter_map(|log| log.data) {
            assert_eq!(data.len(), data.iter().count());
            assert!(data.iter().all(|octet| octet < 0x80));
        }
    }
}

/// Any messages that a receiver has had, then any octets as the journal of a packet after a loss:
/// what is handed out is bounded and only about what the journal tells or what sounded, and the
/// same journal again hands out nothing, as far as it does not contradict itself.
///
/// The first octet says how the packet arrives (two bits) and how many were lost (six), the second
/// how many octets of messages follow; the rest is the journal.
///
/// # Panics
/// When that is not so.
pub fn journal_repair(data: &[u8]) {
    let &[how, len, ref rest @ ..] = data else {
        return;
    };
    let (had, journal) = rest.split_at(usize::from(len).min(rest.len()));
    let had: Vec<MessageBuf> = messages(had).collect();
    let Ok(salvaged) = Journal::salvage(journal) else {
        return;
    };
    let lost = u16::from(how >> 2) + 1;
    let seq = salvaged.journal.checkpoint().wrapping_add(lost);
    let arrival = match how & 3 {
        0 => Arrival::Restarted,
        1 => Arrival::First,
        _ => Arrival::Gap,
    };
    // The last packet that came, so that the journal covers the loss, or just not.
    let last = SeqNum(seq.0.wrapping_sub(lost + if how & 3 == 3 { 2 } else { 1 }));
    let had_messages = had.iter().map(MessageBuf::as_message);
    let mut receiver = Receiver::new(arrival, last, had_messages);
    let touched = receiver.touched;

    receiver.repairer.begin(seq, RtpTimestamp(9), arrival);
    assert!(receiver.repairer.needs_repair());
    let repair = receiver.repair(&salvaged);
    let named: u16 = salvaged
        .journal
        .channels()
        .map(|it| 1 << it.channel.index())
        .sum();
    let allowed = if repair.uncovered {
        named | touched
    } else {
        named
    };
    assert_eq!(receiver.touched & !allowed, 0, "{data:02x?}");
    assert!(!(repair.uncovered && arrival == Arrival::First));

    // 96 and 97 come up to 63 times, each after a parameter is closed; note-ons 16 times.
    let bound = 40 * journal.len() + 2 * had.len() + 2_000;
    assert!(repair.messages as usize <= bound, "{repair:?}: {data:02x?}");

    receiver
        .repairer
        .begin(seq.next(), RtpTimestamp(9), Arrival::InOrder);
    if !receiver.repairer.needs_repair() {
        return;
    }
    let mut again = receiver.repair(&salvaged);
    assert!(!again.uncovered);
    if lost == 1 {
        // The S bits may have hidden what contradicts the messages before.
        again = receiver.repair(&salvaged);
    }
    if is_consistent(&salvaged.journal) {
        assert_eq!(again, Repair::default(), "after {repair:?}: {data:02x?}");
    }
    let silenced = receiver.silence();
    assert!(silenced as usize <= bound + 16 * 5);
    assert_eq!(receiver.silence(), 0, "{data:02x?}");
}

struct Receiver {
    repairer: Repairer,
    /// Channels that something was handed out for or that could need it.
    touched: u16,
}

impl Receiver {
    fn new<'a>(arrival: Arrival, last: SeqNum, had: impl Iterator<Item = Message<'a>>) -> Self {
        let mut repairer = Repairer::new(RepairerConfig::default());
        let mut touched = 0;
        if arrival != Arrival::First {
            repairer.begin(last, RtpTimestamp(0), Arrival::First);
            for message in had {
                if let Message::Channel(message) = message {
                    touched |= bit(message.channel());
                }
                repairer.observe(RtpTimestamp(0), message);
            }
        }
        Self { repairer, touched }
    }

    fn repair(&mut self, salvaged: &Salvaged<'_>) -> Repair {
        let list = CommandSection::parse(&[0], RtpTimestamp(9)).expect("an empty list");
        self.touched = 0;
        let Self { repairer, touched } = self;
        let mut emitted = 0;
        let repair = repairer.repair(Some(salvaged), &list, &mut |message| {
            emitted += 1;
            if let Message::Channel(message) = message {
                *touched |= bit(message.channel());
            }
            assert_eq!(Message::parse(&message.to_vec()), Ok(message));
        });
        assert_eq!(repair.messages, emitted);
        repair
    }

    fn silence(&mut self) -> u32 {
        let mut emitted = 0;
        let silenced = self.repairer.silence(&mut |message| {
            assert!(matches!(
                message,
                Message::Channel(
                    ChannelMessage::NoteOff { .. }
                        | ChannelMessage::ControlChange { .. }
                        | ChannelMessage::PitchBend { .. }
                )
            ));
            emitted += 1;
        });
        assert_eq!(silenced, emitted);
        silenced
    }
}

const fn bit(channel: Channel) -> u16 {
    1 << channel.index()
}

/// Whether no element of the journal speaks against another: what no sender writes is not held to
/// be repaired once and for all.
fn is_consistent(journal: &Journal<'_>) -> bool {
    journal.channels().all(|it| is_consistent_channel(&it))
        && journal.system().is_none_or(|it| is_consistent_system(&it))
}

fn is_consistent_channel(channel: &ChannelJournal<'_>) -> bool {
    let controls: Vec<_> = channel
        .controls
        .iter()
        .flat_map(|it| it.logs().iter())
        .collect();
    let notes: Vec<_> = channel
        .notes
        .iter()
        .flat_map(|it| it.logs().iter())
        .collect();
    let off = channel.notes.map(|it| it.off()).unwrap_or_default();
    let extras: Vec<_> = channel
        .extras
        .iter()
        .flat_map(|it| it.logs().iter())
        .collect();
    let poly: Vec<_> = channel
        .poly_pressure
        .iter()
        .flat_map(|it| it.logs().iter())
        .collect();
    let parameters: Vec<_> = channel
        .parameters
        .iter()
        .flat_map(|it| it.logs().iter())
        .collect();
    let tool = |tool| match tool {
        ControlTool::Count(_) => 0,
        ControlTool::Value(_) => 1,
        ControlTool::Toggle(_) => 2,
    };
    let extra = |extra| matches!(extra, Extra::Count(_));
    !channel.enhanced
        // Data entry is general purpose or not: which, only the sender knows.
        && controls.iter().all(|it| !matches!(it.controller.get(), 6 | 38 | 96..=101))
        && are_unique(controls.iter().map(|it| (it.controller, tool(it.tool))))
        && controls.is_sorted_by(|a, b| a.controller != b.controller || tool(a.tool) < tool(b.tool))
        && are_unique(
            controls
                .chunk_by(|a, b| a.controller == b.controller)
                .map(|logs| logs[0].controller),
        )
        && controls.iter().all(|a| {
            controls.iter().all(|b| match (a.tool, b.tool) {
                (ControlTool::Value(value), ControlTool::Toggle(toggles)) => {
                    a.controller != b.controller
                        || (value.get() >= 64) == (toggles.get() % 2 == 1)
                }
                _ => true,
            })
        })
        && are_unique(notes.iter().map(|it| it.note))
        && notes.iter().all(|it| !off.contains(it.note))
        && are_unique(extras.iter().map(|it| (it.note, extra(it.extra))))
        && are_unique(poly.iter().map(|it| it.note))
        && are_unique(parameters.iter().map(|it| it.parameter))
        && parameters.iter().all(|it| {
            let (Parameter::Registered(number) | Parameter::NonRegistered(number)) = it.parameter;
            // More steps than one repair makes good.
            let few = it.a_button.is_none_or(|(steps, _)| steps.get().abs() < 40);
            number != U14::MAX && few
        })
        && parameters.len() < 8
}

fn is_consistent_system(system: &SystemJournal<'_>) -> bool {
    let Some(logs) = system.sysex else {
        return true;
    };
    let last = logs.len() - 1;
    let resets = |data: &[u8]| matches!(data, [0x7E, _, 0x09, 0 | 1 | 3] | [0x7E, _, 0x0A, 1 | 2]);
    logs.iter().enumerate().all(|(index, log)| {
        let data: Vec<u8> = log.data.iter().flat_map(|it| it.iter()).collect();
        (log.status != SysExStatus::Unfinished || index == last) && (!resets(&data) || index == 0)
    })
}

fn are_unique<T: PartialEq>(items: impl Iterator<Item = T>) -> bool {
    let items: Vec<T> = items.collect();
    items
        .iter()
        .enumerate()
        .all(|(index, item)| !items[..index].contains(item))
}
