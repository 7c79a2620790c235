//! What goes in comes out, however the network cuts it.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use std::io::{Error, ErrorKind};

use bytes::BytesMut;
use futures::{SinkExt, StreamExt};
use netmidi_message::{
    ChannelMessage, Dialect, DiscardReason, Message, MessageBuf, RealTime, SysExBuf, UndefinedBuf,
    UndefinedStatus,
};
use netmidi_tcp::{Header, Incoming, MidiCodec, Options, SysEx};
use netmidi_testkit::fuzz::{Read, Received, expected, receive};
use netmidi_testkit::strategies::{any_defined_message, midi_like_octets};
use netmidi_testkit::{Stream, from_hex, properties};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::AsyncWriteExt;
use tokio_util::codec::{Decoder, Encoder, Framed, FramedRead};

const DIALECTS: [Dialect; 2] = [Dialect::Din, Dialect::Mido];

fn encode<I>(items: impl IntoIterator<Item = I>) -> BytesMut
where
    MidiCodec: Encoder<I, Error = Error>,
{
    let mut codec = MidiCodec::default();
    let mut out = BytesMut::new();
    for item in items {
        codec.encode(item, &mut out).unwrap();
    }
    out
}

/// The octets in pieces of these lengths, the last one as often as it takes.
fn cut<'a>(octets: &'a [u8], lengths: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = octets;
    let last = lengths.last().copied().unwrap_or(octets.len()).max(1);
    let lengths = lengths.iter().copied().chain(std::iter::repeat(last));
    lengths
        .map(move |len| {
            let (piece, after) = rest.split_at(len.min(rest.len()));
            rest = after;
            (piece, !after.is_empty() || !piece.is_empty())
        })
        .take_while(|(_, more)| *more)
        .map(|(piece, _)| piece)
}

fn sendable() -> impl Strategy<Value = MessageBuf> {
    any_defined_message().prop_filter("F9 and FD are not sent", |message| {
        !message.as_message().is_undefined()
    })
}

/// Names and values that a header can have.
fn fields() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,20}";
    let value = "([!-~]([ -~\t]{0,30}[!-~])?)?";
    vec((name, value), 0..20)
}

fn header(fields: &[(String, String)]) -> Header {
    let add = |header: Header, (name, value): &(String, String)| header.field(name, value);
    fields.iter().try_fold(Header::new(), add).unwrap()
}

proptest! {
    #![proptest_config(properties())]

    #[test]
    fn messages_come_out_as_they_went_in(
        messages in vec(sendable(), 0..40),
        lengths in vec(0..20usize, 0..30),
    ) {
        let octets = encode(&messages);
        let wanted: Vec<Received> = messages.into_iter().map(Received::Message).collect();
        for dialect in DIALECTS {
            let received = receive(Read::new(dialect), cut(&octets, &lengths)).unwrap();
            prop_assert_eq!(&received, &wanted);
        }
    }

    #[test]
    fn headers_come_out_as_they_went_in(
        fields in fields(),
        messages in vec(sendable(), 0..4),
        lengths in vec(0..20usize, 0..30),
    ) {
        let header = header(&fields);
        let mut octets = encode([&header]);
        prop_assert_eq!(&octets[..], &header.to_bytes()[..]);
        prop_assert_eq!(octets.len(), header.encoded_len());
        octets.extend_from_slice(&encode(&messages));

        let mut buffer = BytesMut::new();
        let mut codec = MidiCodec::default();
        let mut received = Vec::new();
        for piece in cut(&octets, &lengths) {
            buffer.extend_from_slice(piece);
            while let Some(item) = codec.decode(&mut buffer).unwrap() {
                received.push(item);
            }
        }
        let mut wanted = vec![Incoming::Header(header)];
        wanted.extend(messages.into_iter().map(Incoming::Message));
        prop_assert_eq!(received, wanted);
    }

    /// The model accounts for every octet once.
    #[test]
    fn any_octets_are_all_accounted_for_in_any_chunking(
        head in prop_oneof![
            Just(String::new()),
            "([A-C]{0,3}(: ?|:)?[a-c ]{0,4}\r?\n){0,6}",
            "MIDI/1.0\r\n([A-C]{1,3}: [a-c]{0,4}\r\n){0,6}\r\n",
        ],
        tail in prop_oneof![midi_like_octets(60), vec(any::<u8>(), 0..60)],
        lengths in vec(0..20usize, 0..30),
        din in any::<bool>(),
        limit in 0..20usize,
        refuse in any::<bool>(),
    ) {
        let octets = [head.as_bytes(), &tail].concat();
        let dialect = if din { Dialect::Din } else { Dialect::Mido };
        let read = Read { dialect, limit, refuse };
        let received = receive(read, cut(&octets, &lengths));
        prop_assert_eq!(received.ok(), expected(read, &octets));
    }
}

#[test]
fn a_long_stream_comes_out_of_frames_as_it_went_in() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stream = Stream::with_messages(8, 50_000);
        let messages: Vec<MessageBuf> = stream
            .messages
            .into_iter()
            .filter(|message| !message.as_message().is_undefined())
            .collect();
        let (here, there) = tokio::io::duplex(100);
        let mut here = Framed::new(here, MidiCodec::default());
        let mut there = Framed::new(there, MidiCodec::default());
        let send = async {
            here.send(Header::new()).await.unwrap();
            for message in &messages {
                here.feed(message).await.unwrap();
            }
            SinkExt::<MessageBuf>::close(&mut here).await.unwrap();
        };
        let receive = async {
            let header = there.next().await.unwrap().unwrap();
            assert_eq!(header, Incoming::Header(Header::new()));
            for message in &messages {
                match there.next().await.unwrap().unwrap() {
                    Incoming::Message(received) => assert_eq!(received, *message),
                    other => panic!("{other:?}"),
                }
            }
            assert!(there.next().await.is_none());
        };
        tokio::join!(send, receive);
    });
}

#[test]
fn the_end_of_the_stream_gives_whole_messages_and_then_the_partial_one() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (mut here, there) = tokio::io::duplex(100);
        here.write_all(&from_hex("903c40 913d41 903c"))
            .await
            .unwrap();
        drop(here);
        let mut there = FramedRead::new(there, MidiCodec::default());
        let mut received = Vec::new();
        while let Some(item) = there.next().await {
            received.push(item.unwrap());
        }
        let [
            Incoming::Message(_),
            Incoming::Message(_),
            Incoming::Discarded(cut),
        ] = received[..]
        else {
            panic!("{received:?}");
        };
        assert_eq!(cut.reason, DiscardReason::EndOfStream);
        assert_eq!((cut.offset, cut.len), (6, 2));
        assert_eq!(cut.head(), [0x90, 60]);
    });
}

#[test]
fn every_form_of_a_message_gives_the_same_octets_with_a_status_each() {
    let octets = from_hex("903c40 903d40 f8 f0010203f7 f0f7 c105 f20102 f135 f6 ff");
    let mut messages = Vec::new();
    let mut codec = MidiCodec::default();
    let mut buffer = BytesMut::from(&octets[..]);
    while let Some(item) = codec.decode(&mut buffer).unwrap() {
        let Incoming::Message(message) = item else {
            panic!("{item:?}");
        };
        messages.push(message);
    }
    assert_eq!(messages.len(), 10);
    let borrowed: Vec<Message<'_>> = messages.iter().map(MessageBuf::as_message).collect();
    assert_eq!(encode(&borrowed), octets);
    assert_eq!(encode(borrowed), octets);
    assert_eq!(encode(&messages), octets);
    assert_eq!(encode(messages), octets);
}

#[test]
fn undefined_messages_are_not_sent() {
    for (status, message) in [
        (
            0xF4,
            UndefinedBuf::new(UndefinedStatus::F4, vec![1])
                .unwrap()
                .into(),
        ),
        (
            0xF5,
            UndefinedBuf::new(UndefinedStatus::F5, vec![])
                .unwrap()
                .into(),
        ),
        (0xF9, MessageBuf::from(RealTime::UndefinedF9)),
        (0xFD, MessageBuf::from(RealTime::UndefinedFd)),
    ] {
        let mut out = BytesMut::new();
        let mut codec = MidiCodec::default();
        let error = codec.encode(&message, &mut out).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(
            error.to_string(),
            format!(
                "a message with the status {status:02X} is not sent: MIDI 1.0 does not define it and \
                 socket ports drop it, so leave it out"
            )
        );
        assert!(out.is_empty());
        // It was not sent, so a header still comes first.
        codec.encode(Header::new(), &mut out).unwrap();
    }
}

#[test]
fn a_header_is_sent_first_or_not_at_all() {
    for first in [true, false] {
        let mut codec = MidiCodec::default();
        let mut out = BytesMut::new();
        if first {
            codec.encode(Header::new(), &mut out).unwrap();
        } else {
            codec
                .encode(Message::from(RealTime::TimingClock), &mut out)
                .unwrap();
        }
        let len = out.len();
        let error = codec.encode(Header::new(), &mut out).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(
            error.to_string(),
            "a header comes before everything else on a connection: send it first, and once"
        );
        assert_eq!(out.len(), len);
    }
}

#[test]
fn tls_is_an_error_as_soon_as_it_is_certain() {
    for (octets, certain) in [
        ("160301020001 0001fc0303", 6),
        ("160300900001", 6),
        ("150303000202 28", 5),
    ] {
        let octets = from_hex(octets);
        let mut codec = MidiCodec::default();
        let mut buffer = BytesMut::new();
        for (at, octet) in octets.iter().enumerate() {
            buffer.extend_from_slice(&[*octet]);
            let decoded = codec.decode(&mut buffer);
            if at + 1 < certain {
                assert_eq!(decoded.unwrap(), None);
                continue;
            }
            let error = decoded.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            assert_eq!(
                error.to_string(),
                "the peer speaks TLS, and this connection is not encrypted: use TLS on both sides \
                 or on neither"
            );
        }
        assert_eq!(codec.decode_eof(&mut buffer).unwrap(), None);
    }
}

#[test]
fn what_only_begins_like_tls_counts_as_what_it_is() {
    let stray = |len: usize, octets: &str| {
        let head = from_hex(octets).into_iter().take(8).collect();
        Received::Discarded(DiscardReason::StrayData, 0, len, head)
    };
    let message =
        |octets: &str| Received::Message(Message::parse(&from_hex(octets)).unwrap().to_buf());
    for (octets, wanted) in [
        ("16", vec![stray(1, "16")]),
        ("1603010200", vec![stray(5, "1603010200")]),
        ("160301020002", vec![stray(6, "160301020002")]),
        ("160305020001", vec![stray(6, "160305020001")]),
        (
            "16030190400f 903c40",
            vec![stray(3, "160301"), message("90400f"), message("903c40")],
        ),
        (
            "150303 f8 02",
            vec![
                stray(3, "150303"),
                message("f8"),
                Received::Discarded(DiscardReason::StrayData, 4, 1, vec![2]),
            ],
        ),
        ("1503030001", vec![stray(5, "1503030001")]),
        // Only the very first octets decide.
        ("0a160301020001", vec![stray(7, "0a160301020001")]),
        (
            "903c40 160301020001",
            vec![
                message("903c40"),
                message("901603"),
                message("900102"),
                message("900001"),
            ],
        ),
    ] {
        let bytes = from_hex(octets);
        for piece in [1, 2, 5, 100] {
            let received = receive(Read::new(Dialect::Din), bytes.chunks(piece)).unwrap();
            assert_eq!(received, wanted, "{octets} in pieces of {piece}");
        }
    }
}

#[test]
fn refused_system_exclusive_messages_are_reports() {
    let options = Options::new().sysex(SysEx::Refuse);
    let mut codec = MidiCodec::new(&options);
    let mut buffer = BytesMut::from(&from_hex("f00102f803f7 f0f7 903c40")[..]);
    let mut received = Vec::new();
    while let Some(item) = codec.decode(&mut buffer).unwrap() {
        received.push(match item {
            Incoming::Discarded(report) => report.to_string(),
            Incoming::Message(message) => message.to_string(),
            Incoming::Header(header) => header.to_string(),
        });
    }
    assert_eq!(
        received,
        [
            "3 octets discarded from byte 0 on (F0 01 02): system exclusive messages are refused",
            "clock",
            "1 octet discarded from byte 4 on (03): system exclusive messages are refused",
            "1 octet discarded from byte 5 on (F7): system exclusive messages are refused",
            "2 octets discarded from byte 6 on (F0 F7): system exclusive messages are refused",
            "note_on channel=0 note=60 velocity=64",
        ]
    );
}

#[test]
fn a_long_report_shows_its_beginning() {
    let mut codec = MidiCodec::default();
    let mut buffer = BytesMut::from(&[&[b'x'; 20][..], &[0xF8]].concat()[..]);
    let Some(Incoming::Discarded(report)) = codec.decode(&mut buffer).unwrap() else {
        panic!("octets without a line end are no header");
    };
    assert_eq!(
        report.to_string(),
        "20 octets discarded from byte 0 on (78 78 78 78 78 78 78 78 ..): data without a status"
    );
}

#[test]
fn the_codec_knows_whether_a_message_has_begun() {
    let mut codec = MidiCodec::default();
    let mut buffer = BytesMut::new();
    for (octet, within) in from_hex("41 0a 90 3c f8 40 f0 01 f7")
        .into_iter()
        .zip([false, false, true, true, true, false, true, true, false])
    {
        buffer.extend_from_slice(&[octet]);
        while codec.decode(&mut buffer).unwrap().is_some() {}
        assert_eq!(codec.is_within_message(), within, "{octet:02X}");
    }
}

#[test]
fn a_codec_is_ready_for_a_new_stream_after_the_end_of_one() {
    let mut codec = MidiCodec::default();
    for _ in 0..2 {
        let mut buffer = BytesMut::from(&b"A: b\r\n\r\n\x90\x3c\x40\x90"[..]);
        let mut count = 0;
        while codec.decode_eof(&mut buffer).unwrap().is_some() {
            count += 1;
        }
        assert_eq!(count, 3);
    }
}

#[test]
fn a_system_exclusive_message_may_have_its_limit_and_no_more() {
    let options = Options::new().sysex_limit(1000);
    for (len, fits) in [(1000, true), (1001, false)] {
        let message = MessageBuf::from(SysExBuf::new(vec![7; len]).unwrap());
        let mut buffer = encode([&message]);
        let mut codec = MidiCodec::new(&options);
        let item = codec.decode(&mut buffer).unwrap().unwrap();
        assert_eq!(item == Incoming::Message(message), fits);
    }
    let note: ChannelMessage = match Message::parse(&[0x90, 1, 2]).unwrap() {
        Message::Channel(note) => note,
        other => panic!("{other}"),
    };
    assert_eq!(encode([Message::from(note)]), [0x90, 1, 2][..]);
}
