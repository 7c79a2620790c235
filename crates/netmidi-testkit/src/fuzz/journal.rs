//! Fuzz body for `netmidi-journal`.

use netmidi_journal::{ChannelJournal, Journal, Log, Logs, SystemJournal};

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
