//! Octets that are not one message are refused, with the place and the reason.

use netmidi_message::{Message, MessageError};
use netmidi_testkit::strategies::any_defined_message;
use proptest::prelude::*;

#[track_caller]
fn assert_rejected(octets: &[u8], code: &str, offset: usize) {
    let error = Message::parse(octets).expect_err("not a message");
    assert_eq!((error.code(), error.offset()), (code, offset), "{error}");
}

#[test]
fn no_octets_are_no_message() {
    assert_rejected(&[], "empty", 0);
}

#[test]
fn every_beginning_of_a_message_is_cut_short() {
    let first_octets = (0x80..=0xF3).filter(|status| *status != 0xF0);
    let whole: Vec<Vec<u8>> = first_octets
        .map(|status| {
            let len = match status {
                0xC0..=0xDF | 0xF1 | 0xF3 => 2,
                _ => 3,
            };
            let mut octets = vec![status, 1, 2];
            octets.truncate(len);
            octets
        })
        .chain([vec![0xF0, 1, 2, 3, 0xF7], vec![0xF0, 0xF7]])
        .collect();
    assert_eq!(whole.len(), 0x70 + 5);
    for octets in whole {
        assert_eq!(Message::parse(&octets).unwrap().to_vec(), octets);
        for len in 1..octets.len() {
            assert_rejected(&octets[..len], "truncated-command", len);
        }
        // One octet more is one too many.
        let long = [&octets[..], &[0]].concat();
        assert_rejected(&long, "trailing-octets", octets.len());
        let error = Message::parse(&long).unwrap_err();
        assert!(matches!(error, MessageError::Trailing { surplus: 1, .. }));
    }
}

#[test]
fn a_status_octet_is_no_data() {
    for status in 0x80..=0xFF {
        assert_rejected(&[0x90, status, 64], "status-in-data", 1);
        assert_rejected(&[0x90, 60, status], "status-in-data", 2);
        assert_rejected(&[0xC0, status], "status-in-data", 1);
        assert_rejected(&[0xF1, status], "status-in-data", 1);
        assert_rejected(&[0xF2, 1, status], "status-in-data", 2);
        if status != 0xF7 {
            assert_rejected(&[0xF0, 1, 2, status, 0xF7], "status-in-data", 3);
            assert_rejected(
                &[0xF0, 1, 2, 3, 4, 5, 6, 7, 8, 9, status],
                "status-in-data",
                10,
            );
        }
    }
}

#[test]
fn data_without_a_status_is_refused() {
    for data in 0..0x80 {
        assert_rejected(&[data, 64], "missing-status", 0);
    }
}

#[test]
fn an_end_without_a_beginning_is_refused() {
    assert_rejected(&[0xF7], "unpaired-end", 0);
    assert_rejected(&[0xF7, 1], "unpaired-end", 0);
}

#[test]
fn octets_after_a_single_octet_message_are_refused() {
    for status in 0xF8..=0xFF {
        assert_rejected(&[status, status], "trailing-octets", 1);
    }
    assert_rejected(&[0xF6, 1], "trailing-octets", 1);
    assert_rejected(&[0xF4, 1, 2, 0xF7], "trailing-octets", 3);
}

#[test]
fn a_list_cannot_begin_with_data_after_running_status_was_cancelled() {
    for octets in [&[0xF6][..], &[0xF1, 5], &[0xF0, 0xF7], &[0xF5, 1]] {
        let status = netmidi_message::ChannelStatus::new(0x90);
        let (_, _, running) = Message::parse_prefix(octets, status).unwrap();
        assert_eq!(running, None);
    }
    let status = netmidi_message::ChannelStatus::new(0x90);
    let (_, _, running) = Message::parse_prefix(&[0xF8], status).unwrap();
    assert_eq!(running, status);
}

proptest! {
    #[test]
    fn every_truncation_of_any_message_is_refused(message in any_defined_message()) {
        let octets = message.to_vec();
        for len in 0..octets.len() {
            let error = Message::parse(&octets[..len]).unwrap_err();
            prop_assert_eq!(error.offset(), len);
            let code = if len == 0 { "empty" } else { "truncated-command" };
            prop_assert_eq!(error.code(), code);
        }
    }
}
