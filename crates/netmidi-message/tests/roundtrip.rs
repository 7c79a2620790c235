//! What is written is what is read: octets, streams, text.

use netmidi_message::{
    Dialect, Encoder, Message, MessageBuf, RunningStatus, StreamParser, messages,
};
use netmidi_testkit::fuzz::{Said, assert_all_accounted, listen};
use netmidi_testkit::strategies::{any_defined_message, any_message, midi_like_octets};
use proptest::collection::vec;
use proptest::prelude::*;

/// Cuts `octets` into pieces of these lengths, over and over.
fn pieces<'a>(octets: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut rest = octets;
    let mut pieces = Vec::new();
    for length in lengths.iter().cycle() {
        let (piece, after) = rest.split_at((*length).min(rest.len()));
        pieces.push(piece);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    pieces
}

/// The order in which a stream delivers messages: F4 and F5 wait for the next status that is not
/// real time.
fn in_stream_order(messages: &[MessageBuf]) -> Vec<Said> {
    let mut said = Vec::new();
    let mut waiting = None;
    for message in messages {
        if !matches!(message, MessageBuf::RealTime(_)) {
            said.extend(waiting.take());
        }
        if matches!(message, MessageBuf::Undefined(_)) {
            waiting = Some(Said::Message(message.clone()));
        } else {
            said.push(Said::Message(message.clone()));
        }
    }
    said.extend(waiting);
    said
}

proptest! {
    #[test]
    fn a_message_is_read_as_it_was_written(message in any_message(), room in 0..60usize) {
        let octets = message.to_vec();
        prop_assert_eq!(Message::parse(&octets), Ok(message.as_message()));
        prop_assert_eq!(message.as_message().encoded_len(), octets.len());

        let mut out = [0xEE; 60];
        let written = message.as_message().encode(&mut out[..room]);
        if room < octets.len() {
            prop_assert!(written.is_err());
            prop_assert_eq!(out, [0xEE; 60]);
        } else {
            prop_assert_eq!(written, Ok(octets.len()));
            prop_assert_eq!(&out[..octets.len()], &octets[..]);
        }
        let mut writer = Vec::new();
        message.as_message().write_to(&mut writer).unwrap();
        prop_assert_eq!(writer, octets);
    }

    #[test]
    fn text_is_read_as_it_was_printed(message in any_message()) {
        let text = message.to_string();
        prop_assert_eq!(text.parse(), Ok(message.clone()), "{}", text);
        prop_assert_eq!(format!("  {text}  time=2.5 ").parse(), Ok(message));
    }

    #[test]
    fn streams_are_read_as_they_were_written(
        messages in vec(any_message(), 0..30),
        status in prop_oneof![Just(RunningStatus::Off), Just(RunningStatus::On)],
        lengths in vec(1..9usize, 1..4),
    ) {
        let mut encoder = Encoder::new().running_status(status);
        let mut octets = Vec::new();
        for message in &messages {
            let len = encoder.encoded_len(&message.as_message());
            let before = octets.len();
            encoder.encode_to(&message.as_message(), &mut octets);
            prop_assert_eq!(octets.len(), before + len);
        }
        let expected = in_stream_order(&messages);
        prop_assert_eq!(&listen(StreamParser::new(), [&octets[..]]), &expected);
        prop_assert_eq!(&listen(StreamParser::new(), pieces(&octets, &lengths)), &expected);
    }

    /// Encoding into a slice and appending to a vector are the same.
    #[test]
    fn both_encoders_agree(messages in vec(any_message(), 0..30)) {
        let mut to_slice = Encoder::new().running_status(RunningStatus::On);
        let mut to_vec = to_slice.clone();
        let (mut octets, mut out, mut len) = (Vec::new(), [0; 2000], 0);
        for message in &messages {
            len += to_slice.encode(&message.as_message(), &mut out[len..]).unwrap();
            to_vec.encode_to(&message.as_message(), &mut octets);
        }
        prop_assert_eq!(&out[..len], &octets[..]);
    }

    /// `parse_prefix` reads a list as the stream parser does, where no real time interrupts.
    #[test]
    fn lists_are_read_message_by_message(messages in vec(any_defined_message(), 0..30)) {
        let mut encoder = Encoder::new().running_status(RunningStatus::On);
        let mut octets = Vec::new();
        for message in &messages {
            encoder.encode_to(&message.as_message(), &mut octets);
        }
        let (mut rest, mut running) = (&octets[..], None);
        for expected in &messages {
            let (message, len, after) = Message::parse_prefix(rest, running).unwrap();
            prop_assert_eq!(message, expected.as_message());
            (rest, running) = (&rest[len..], after);
        }
        prop_assert!(rest.is_empty());
        let listed: Vec<MessageBuf> = netmidi_message::messages(&octets).collect();
        prop_assert_eq!(listed, messages);
    }

    #[test]
    fn cuts_change_nothing(
        octets in midi_like_octets(60),
        lengths in vec(1..9usize, 1..4),
        dialect in prop_oneof![Just(Dialect::Din), Just(Dialect::Mido)],
        limit in prop_oneof![0..8usize, Just(1 << 20)],
    ) {
        let parser = || StreamParser::new().dialect(dialect).sysex_limit(limit);
        let whole = listen(parser(), [&octets[..]]);
        assert_all_accounted(&octets, &whole);
        prop_assert_eq!(&listen(parser(), pieces(&octets, &lengths)), &whole);
        prop_assert_eq!(&listen(parser(), octets.chunks(1)), &whole);
    }

    /// Where mido and MIDI 1.0 do not differ, the dialects do not.
    #[test]
    fn the_dialects_agree_on_what_mido_may_send(messages in vec(any_defined_message(), 0..30)) {
        let octets: Vec<u8> = messages
            .iter()
            .filter(|message| !message.as_message().is_undefined())
            .flat_map(MessageBuf::to_vec)
            .collect();
        let din = listen(StreamParser::new(), [&octets[..]]);
        let mido = listen(StreamParser::new().dialect(Dialect::Mido), [&octets[..]]);
        prop_assert_eq!(din, mido);
    }

    #[test]
    fn the_iterator_gives_what_the_parser_gives(octets in midi_like_octets(60)) {
        let said: Vec<MessageBuf> = listen(StreamParser::new(), [&octets[..]])
            .into_iter()
            .filter_map(|said| match said {
                Said::Message(message) => Some(message),
                Said::Discarded(..) => None,
            })
            .collect();
        prop_assert_eq!(messages(&octets).collect::<Vec<_>>(), said);
    }
}
