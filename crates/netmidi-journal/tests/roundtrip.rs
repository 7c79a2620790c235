//! What is written reads back the same.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

use netmidi_journal::{EncodeError, Journal, JournalWriter};
use netmidi_message::Channel;
use netmidi_testkit::strategies::{channel_journal, journal, system_journal};
use netmidi_testkit::{OwnedJournal, fuzz, properties};
use netmidi_wire::SeqNum;
use proptest::prelude::*;

proptest! {
    #![proptest_config(properties())]

    #[test]
    fn a_journal_reads_as_it_was_written(fields in journal()) {
        let octets = fields.encode().unwrap();
        let read = Journal::parse(&octets).unwrap();
        prop_assert!(read.surplus().is_empty());
        prop_assert_eq!(OwnedJournal::read(&read).plain(), fields.clone().plain());
        // S is what S is inside, all the way up.
        let system = fields.system.as_ref();
        let system = system.is_none_or(|it| it.with_view(|it| it.effective_s()));
        let channels: Vec<bool> =
            fields.channels.iter().map(|it| it.with_view(|it| it.effective_s())).collect();
        prop_assert_eq!(read.s(), fields.s && system && channels.iter().all(|s| *s));
        prop_assert!(read.channels().map(|it| it.s).eq(channels));
        fuzz::journal_parse(&octets);
    }

    #[test]
    fn every_channel_chapter_reads_as_it_was_written(fields in channel_journal(Channel::C10)) {
        fields.with_view(|view| {
            let mut out = vec![0; 2000];
            let mut writer = JournalWriter::new(&mut out, SeqNum(9)).unwrap();
            writer.channel(view).unwrap();
            let len = writer.finish();
            let read = Journal::parse(&out[..len]).unwrap().channel(Channel::C10).unwrap();
            assert_eq!(len, 3 + view.encoded_len());
            assert_eq!(read.program, view.program);
            assert_eq!(read.controls.map(|it| it.logs()), view.controls.map(|it| it.logs()));
            assert_eq!(read.parameters.map(|it| it.logs()), view.parameters.map(|it| it.logs()));
            assert_eq!(read.wheel, view.wheel);
            assert_eq!(read.notes, view.notes);
            assert_eq!(read.extras.map(|it| it.logs()), view.extras.map(|it| it.logs()));
            assert_eq!(read.pressure, view.pressure);
            assert_eq!(
                read.poly_pressure.map(|it| it.logs()),
                view.poly_pressure.map(|it| it.logs())
            );
            assert_eq!(read.effective_s(), view.effective_s());
            assert_eq!(read.to_vec(), view.to_vec());
        });
    }

    #[test]
    fn every_system_chapter_reads_as_it_was_written(fields in system_journal()) {
        fields.with_view(|view| {
            let mut out = vec![0; 2000];
            let mut writer = JournalWriter::new(&mut out, SeqNum(9)).unwrap();
            writer.system(view).unwrap();
            let len = writer.finish();
            let read = Journal::parse(&out[..len]).unwrap().system().unwrap();
            assert_eq!(len, 3 + view.encoded_len());
            assert_eq!(read.active_sense, view.active_sense);
            assert_eq!(read.sequencer, view.sequencer);
            assert_eq!(read.timecode, view.timecode);
            assert_eq!(read.simple.map(|it| it.f4), view.simple.map(|it| it.f4));
            assert_eq!(read.effective_s(), view.effective_s());
            assert_eq!(read.to_vec(), view.to_vec());
        });
    }

    #[test]
    fn a_buffer_that_is_too_small_is_never_overrun(
        fields in channel_journal(Channel::C1),
        short in 1..40usize,
    ) {
        fields.with_view(|view| {
            let needed = view.encoded_len();
            let available = needed.saturating_sub(short);
            let mut out = vec![0; available];
            let Err(EncodeError::BufferTooSmall(error)) = view.encode(&mut out) else {
                panic!("{needed} octets in {available}");
            };
            assert_eq!((error.needed, error.available), (needed, available));
        });
    }
}
