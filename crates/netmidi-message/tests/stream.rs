//! Nothing is lost in silence, and nothing grows beyond its limit.

use core::mem::take;

use netmidi_message::{
    ArrayBuffer, DEFAULT_SYSEX_LIMIT, Dialect, DiscardReason, HeapBuffer, Message, StreamEvent,
    StreamParser,
};
use netmidi_testkit::fuzz::{Said, assert_all_accounted, listen};
use netmidi_testkit::{Rng, Stream, from_hex, to_hex};

/// Messages in full, and the octets that nobody wants one by one with the reason.
type Plain = Vec<(Option<&'static str>, Vec<u8>)>;

/// A model of both dialects, one octet at a time and as plain as can be: what the parser has to
/// say.
struct Model {
    dialect: Dialect,
    limit: usize,
    running: Option<u8>,
    open: Vec<u8>,
    /// The status that `open` belongs to; for running status it is not in `open`.
    status: u8,
    /// Why the remainder of `status` is not wanted, if so.
    unwanted: Option<&'static str>,
    refuse_sysex: bool,
    said: Plain,
}

impl Model {
    fn read(dialect: Dialect, limit: usize, refuse_sysex: bool, octets: &[u8]) -> Plain {
        let mut model = Self {
            dialect,
            limit,
            running: None,
            open: Vec::new(),
            status: 0,
            unwanted: None,
            refuse_sysex,
            said: Vec::new(),
        };
        for octet in octets {
            model.octet(*octet);
        }
        model.end(Some("end-of-stream"));
        model.said
    }

    fn lose(&mut self, reason: &'static str, octets: &[u8]) {
        // One octet at a time, so that it does not matter how runs are cut.
        for octet in octets {
            self.said.push((Some(reason), vec![*octet]));
        }
    }

    fn say(&mut self, octets: Vec<u8>) {
        self.said.push((None, octets));
    }

    /// Something ends what is open.
    fn end(&mut self, reason: Option<&'static str>) {
        let open = take(&mut self.open);
        if matches!(self.status, 0xF4 | 0xF5) && !open.is_empty() {
            self.say(open);
        } else {
            let cut = if self.status == 0xF0 {
                "sysex-cut"
            } else {
                "incomplete"
            };
            self.lose(reason.unwrap_or(cut), &open);
        }
        self.status = 0;
        self.running = None;
        self.unwanted = None;
    }

    fn octet(&mut self, octet: u8) {
        let mido = self.dialect == Dialect::Mido;
        match octet {
            0xF8.. => {
                let in_short = !matches!(self.status, 0 | 0xF0) && self.unwanted.is_none();
                if mido && in_short {
                    self.end(None);
                }
                if mido && matches!(octet, 0xF9 | 0xFD) {
                    self.lose("undefined", &[octet]);
                } else {
                    self.say(vec![octet]);
                }
            }
            0xF4 | 0xF5 if mido => self.lose("undefined", &[octet]),
            0xF7 => match self.status {
                0xF0 if self.unwanted.is_none() => {
                    let mut message = take(&mut self.open);
                    message.push(0xF7);
                    self.say(message);
                    self.end(None);
                }
                0xF4 | 0xF5 if self.unwanted.is_none() => self.end(None),
                _ => {
                    let reason = self.unwanted.unwrap_or("stray-end");
                    self.end(None);
                    self.lose(reason, &[octet]);
                }
            },
            0x80.. => {
                self.end(None);
                if octet == 0xF6 {
                    return self.say(vec![octet]);
                }
                self.status = octet;
                if octet == 0xF0 && self.refuse_sysex {
                    self.unwanted = Some("refused");
                    return self.lose("refused", &[octet]);
                }
                self.open = vec![octet];
            }
            _ => self.data(octet),
        }
    }

    fn data(&mut self, octet: u8) {
        if let Some(reason) = self.unwanted {
            return self.lose(reason, &[octet]);
        }
        if self.status == 0 {
            let Some(running) = self.running else {
                return self.lose("stray-data", &[octet]);
            };
            self.status = running;
        }
        self.open.push(octet);
        let data = self.open.iter().filter(|octet| **octet < 0x80).count();
        let expected = match self.status {
            0xF0 | 0xF4 | 0xF5 => {
                if data > self.limit {
                    let open = take(&mut self.open);
                    self.lose("too-long", &open);
                    self.unwanted = Some("too-long");
                }
                return;
            }
            0xC0..=0xDF | 0xF1 | 0xF3 => 1,
            _ => 2,
        };
        if data == expected {
            let mut message = take(&mut self.open);
            if message.first() != Some(&self.status) {
                message.insert(0, self.status);
            }
            self.running = match (self.dialect, self.status) {
                (Dialect::Din, 0x80..=0xEF) => Some(self.status),
                _ => None,
            };
            self.status = 0;
            self.say(message);
        }
    }
}

/// What the parser said, in the form of the model.
fn plain(said: Vec<Said>) -> Plain {
    said.into_iter()
        .flat_map(|said| match said {
            Said::Message(message) => vec![(None, message.to_vec())],
            Said::Discarded(reason, _, bytes) => bytes
                .into_iter()
                .map(|byte| (Some(reason.code()), vec![byte]))
                .collect(),
        })
        .collect()
}

#[test]
fn the_parser_says_what_a_plain_model_says() {
    let mut rng = Rng::new(3);
    for round in 0..6000 {
        let len = rng.below(50) as usize;
        let octets: Vec<u8> = (0..len)
            .map(|_| match rng.below(10) {
                0..5 => rng.data(),
                5..7 => 0x80 + rng.below(0x70) as u8,
                7 => 0xF0,
                8 => 0xF7,
                _ => 0xF0 + rng.below(16) as u8,
            })
            .collect();
        let dialect = [Dialect::Din, Dialect::Mido][round % 2];
        let limit = [0, 1, 2, 3, 5, DEFAULT_SYSEX_LIMIT][round / 2 % 6];
        let refuse = round / 12 % 4 == 3;
        let mut parser = StreamParser::new().dialect(dialect).sysex_limit(limit);
        if refuse {
            parser = parser.refuse_sysex();
        }
        let said = listen(parser, octets.chunks(1 + round % 7));
        assert_all_accounted(&octets, &said);
        let model = Model::read(dialect, limit, refuse, &octets);
        let octets = to_hex(&octets);
        assert_eq!(plain(said), model, "{octets} in {dialect:?}, limit {limit}");
    }
}

/// What mido's parser gives for a stream: its table of octets and states, line by line.
fn mido(octets: &[u8]) -> Vec<Vec<u8>> {
    let (mut status, mut open, mut expected) = (0, Vec::new(), 0);
    let mut messages = Vec::new();
    for &octet in octets {
        match octet {
            0x00..0x80 if status == 0 => {}
            0x00..0x80 => {
                open.push(octet);
                if open.len() == expected {
                    messages.push(take(&mut open));
                    status = 0;
                }
            }
            0x80..0xF0 | 0xF1..=0xF3 => {
                (status, open) = (octet, vec![octet]);
                expected = match octet {
                    0xC0..0xE0 | 0xF1 | 0xF3 => 2,
                    _ => 3,
                };
            }
            0xF0 => (status, open, expected) = (octet, vec![octet], usize::MAX),
            0xF6 => {
                messages.push(vec![octet]);
                status = 0;
            }
            0xF7 => {
                if status == 0xF0 {
                    open.push(octet);
                    messages.push(take(&mut open));
                }
                status = 0;
            }
            0xF4 | 0xF5 => {}
            0xF8.. => {
                if status != 0xF0 {
                    status = 0;
                }
                if !matches!(octet, 0xF9 | 0xFD) {
                    messages.push(vec![octet]);
                }
            }
        }
    }
    messages
}

/// All streams of up to `len` octets, one of each kind.
fn short_streams(len: u32) -> impl Iterator<Item = Vec<u8>> {
    const KINDS: [u8; 11] = [
        0x01, 0x90, 0xC5, 0xF0, 0xF1, 0xF2, 0xF4, 0xF6, 0xF7, 0xF8, 0xF9,
    ];
    (0..=len).flat_map(|len| {
        (0..KINDS.len().pow(len)).map(move |number| {
            let digit = |at| number / KINDS.len().pow(at) % KINDS.len();
            (0..len)
                .filter_map(|at| KINDS.get(digit(at)))
                .copied()
                .collect()
        })
    })
}

#[test]
fn the_mido_dialect_keeps_to_the_table_in_every_short_stream() {
    for octets in short_streams(5) {
        let said = listen(StreamParser::new().dialect(Dialect::Mido), [&octets[..]]);
        let messages: Vec<Vec<u8>> = said
            .iter()
            .filter_map(|said| match said {
                Said::Message(message) => Some(message.to_vec()),
                Said::Discarded(..) => None,
            })
            .collect();
        assert_eq!(messages, mido(&octets), "{}", to_hex(&octets));
    }
}

#[test]
fn every_short_stream_is_accounted_for_and_the_same_octet_by_octet() {
    for octets in short_streams(4) {
        for dialect in [Dialect::Din, Dialect::Mido] {
            let parser = StreamParser::new().dialect(dialect);
            for parser in [
                parser.clone().sysex_limit(0),
                parser.clone().sysex_limit(1),
                parser.clone().refuse_sysex(),
                parser,
            ] {
                let said = listen(parser.clone(), [&octets[..]]);
                assert_all_accounted(&octets, &said);
                let single = listen(parser, octets.chunks(1));
                assert_eq!(said, single, "{} in {dialect:?}", to_hex(&octets));
            }
        }
    }
}

#[test]
fn every_octet_is_in_one_message_or_one_report() {
    let mut rng = Rng::new(4);
    for dialect in [Dialect::Din, Dialect::Mido] {
        for limit in [0, 1, 4, 40] {
            for _ in 0..300 {
                let len = rng.below(200) as usize;
                let octets = rng.octets(len);
                let parser = StreamParser::new().dialect(dialect).sysex_limit(limit);
                assert_all_accounted(&octets, &listen(parser, [&octets[..]]));
            }
        }
    }
}

#[test]
fn a_million_messages_come_out_as_they_went_in() {
    let stream = Stream::with_messages(20, 1_000_000);
    assert_eq!(stream.messages.len(), 1_000_000);
    let mut parser = StreamParser::new();
    let mut expected = stream.messages.iter();
    let (mut full, mut wanted) = (Vec::new(), Vec::new());
    for piece in stream.pieces(21, 300) {
        parser.feed(piece, |event| {
            let StreamEvent::Message(message) = event else {
                panic!("{event:?}");
            };
            full.clear();
            message.encode_to(&mut full);
            wanted.clear();
            let next = expected.next().expect("no more messages than went in");
            next.as_message().encode_to(&mut wanted);
            assert_eq!(full, wanted);
        });
    }
    parser.finish(|event| panic!("{event:?}"));
    assert_eq!(expected.next(), None);
}

fn sysex(len: usize) -> Vec<u8> {
    let mut octets = vec![0xF0];
    octets.extend((0..len).map(|index| (index % 128) as u8));
    octets.push(0xF7);
    octets
}

/// One report of too long a message, then a note.
#[track_caller]
fn assert_too_long(said: &[Said], octets: &[u8]) {
    let [
        Said::Discarded(DiscardReason::TooLong, 0, bytes),
        Said::Message(note),
    ] = said
    else {
        panic!("{said:?}");
    };
    assert_eq!(bytes, octets);
    assert_eq!(note.to_vec(), [0x90, 60, 64]);
}

#[test]
fn the_limit_itself_is_allowed_and_one_more_is_not() {
    for limit in [0, 1, 2, 7, 100] {
        let parser = || StreamParser::new().sysex_limit(limit);
        for piece in [1, 3, 1000] {
            let fits = sysex(limit);
            let said = listen(parser(), fits.chunks(piece));
            assert!(matches!(&said[..], [Said::Message(m)] if m.to_vec() == fits));

            let long = sysex(limit + 1);
            let octets = [&long[..], &[0x90, 60, 64]].concat();
            assert_too_long(&listen(parser(), octets.chunks(piece)), &long);
            // Cut by the note instead of an F7.
            let cut = &long[..long.len() - 1];
            let octets = [cut, &[0x90, 60, 64]].concat();
            assert_too_long(&listen(parser(), octets.chunks(piece)), cut);
        }
    }
}

#[test]
fn the_default_limit_is_one_mebibyte() {
    let fits = sysex(1 << 20);
    let said = listen(StreamParser::new(), fits.chunks(4096));
    assert!(matches!(&said[..], [Said::Message(m)] if m.to_vec() == fits));
    let long = sysex((1 << 20) + 1);
    let octets = [&long[..], &[0x90, 60, 64]].concat();
    assert_too_long(&listen(StreamParser::new(), octets.chunks(4096)), &long);
    assert_too_long(&listen(StreamParser::new(), [&octets[..]]), &long);
}

#[test]
fn a_limit_of_usize_max_is_no_limit() {
    let octets = sysex(3_000);
    for piece in [7, 4_000] {
        let parser = StreamParser::new().sysex_limit(usize::MAX);
        assert_eq!(listen(parser, octets.chunks(piece)).len(), 1);
    }
}

#[test]
fn an_array_holds_a_message_of_one_octet_less() {
    let parser = || StreamParser::with_buffer(ArrayBuffer::<8>::new());
    for piece in [1, 100] {
        let fits = sysex(7);
        let said = listen(parser(), fits.chunks(piece));
        assert!(matches!(&said[..], [Said::Message(m)] if m.to_vec() == fits));
        let long = sysex(8);
        let octets = [&long[..], &[0x90, 60, 64]].concat();
        assert_too_long(&listen(parser(), octets.chunks(piece)), &long);
    }
    // Room for the status and nothing else.
    let smallest = || StreamParser::with_buffer(ArrayBuffer::<1>::new());
    let octets = [0xF0, 0xF7, 0xF0, 1, 0xF7];
    for piece in [1, 100] {
        let said = listen(smallest(), octets.chunks(piece));
        assert_eq!(said.len(), 2, "{said:?}");
    }
    // The parser's own limit counts where it is lower.
    let said = listen(parser().sysex_limit(2), [&sysex(3)[..]]);
    assert!(matches!(
        said[..],
        [Said::Discarded(DiscardReason::TooLong, ..)]
    ));
}

#[test]
fn real_time_comes_through_while_too_long_a_message_is_thrown_away() {
    let octets = [0xF0, 1, 0xF8, 2, 3, 0xFA, 4, 0xF7, 0x90, 60, 64];
    for piece in [1, 2, 100] {
        let parser = StreamParser::new().sysex_limit(2);
        let messages: Vec<u8> = listen(parser, octets.chunks(piece))
            .into_iter()
            .filter_map(|said| match said {
                Said::Message(message) => Some(message.as_message().status()),
                Said::Discarded(..) => None,
            })
            .collect();
        assert_eq!(messages, [0xF8, 0xFA, 0x90]);
    }
}

#[test]
fn a_refused_sysex_leaves_nothing_but_its_reports() {
    // A whole one, an empty one, one with real time inside, one that a note cuts, one that the end
    // of the stream cuts.
    let octets = from_hex("f00102f7 f0f7 f001f802f7 f003903c40 f004");
    let expected = [
        (DiscardReason::Refused, 0, "f00102f7f0f7f001"),
        (DiscardReason::Refused, 9, "02f7f003"),
        (DiscardReason::Refused, 16, "f004"),
    ];
    for piece in [1, 2, 3, 100] {
        let parser = StreamParser::new().refuse_sysex();
        let said = listen(parser, octets.chunks(piece));
        assert_all_accounted(&octets, &said);
        let (mut messages, mut reports) = (Vec::new(), Vec::new());
        for said in said {
            match said {
                Said::Message(message) => messages.push(to_hex(&message.to_vec())),
                Said::Discarded(reason, offset, bytes) => {
                    reports.push((reason, offset, to_hex(&bytes)));
                }
            }
        }
        assert_eq!(messages, ["f8", "903c40"]);
        let expected = expected.map(|(reason, at, octets)| (reason, at, octets.to_owned()));
        assert_eq!(reports, expected, "in pieces of {piece}");
    }
}

#[test]
fn refused_messages_can_be_counted() {
    let octets = from_hex("f00102f7 f0f7 f001f802f7 f003903c40 f004");
    for piece in [1, 2, 3, 100] {
        let mut parser = StreamParser::new().refuse_sysex();
        let mut refused = 0;
        for piece in octets.chunks(piece) {
            parser.feed(piece, |event| {
                if let StreamEvent::Discarded(discarded) = event {
                    assert_eq!(discarded.reason, DiscardReason::Refused);
                    assert!(!discarded.bytes[1..].contains(&0xF0));
                    refused += usize::from(discarded.bytes[0] == 0xF0);
                }
            });
        }
        assert_eq!(refused, 5);
    }
}

#[test]
fn refusing_sysex_refuses_nothing_else() {
    let octets = from_hex("f40102f7 f501 f6 f202 03 903c40 f0f7 f8");
    let messages: Vec<String> = listen(StreamParser::new().refuse_sysex(), [&octets[..]])
        .iter()
        .filter_map(|said| match said {
            Said::Message(message) => Some(to_hex(&message.to_vec())),
            Said::Discarded(..) => None,
        })
        .collect();
    assert_eq!(messages, ["f40102", "f501", "f6", "f20203", "903c40", "f8"]);
}

#[test]
fn the_parser_knows_whether_it_is_within_a_message() {
    let within = |parser: StreamParser<_>, octets: &str| {
        let mut parser: StreamParser<HeapBuffer> = parser;
        parser.feed(&from_hex(octets), |_| {});
        parser.is_within_message()
    };
    for octets in [
        "90", "903c", "903cf8", "903c4041", "f1", "f2", "f202", "f0", "f001", "f4", "f501",
    ] {
        assert!(within(StreamParser::new(), octets), "{octets}");
    }
    for octets in [
        "",
        "903c40",
        "903c404041",
        "f135",
        "f6",
        "f8",
        "f0f7",
        "f001f7",
        "f401f7",
        "01",
        "f7",
        "903cf7",
    ] {
        assert!(!within(StreamParser::new(), octets), "{octets}");
    }
    let small = || StreamParser::new().sysex_limit(1);
    assert!(within(small(), "f00102"));
    assert!(!within(small(), "f00102f7"));
    let refusing = || StreamParser::new().refuse_sysex();
    assert!(within(refusing(), "f0"));
    assert!(within(refusing(), "f001f802"));
    assert!(!within(refusing(), "f001f7"));
    let mido = || StreamParser::new().dialect(Dialect::Mido);
    assert!(!within(mido(), "903cf8"));
    assert!(within(mido(), "903cf4"));

    for end in [
        StreamParser::reset,
        |parser: &mut StreamParser<HeapBuffer>| parser.finish(|_| {}),
    ] {
        let mut parser = StreamParser::new();
        parser.feed(&[0x90], |_| {});
        end(&mut parser);
        assert!(!parser.is_within_message());
    }
}

#[test]
fn a_sysex_in_one_piece_is_not_copied() {
    let octets = sysex(300);
    let mut parser = StreamParser::new().sysex_limit(300);
    let mut seen = 0;
    parser.feed(&octets, |event| {
        if let StreamEvent::Message(Message::SysEx(message)) = event {
            assert_eq!(message.data().as_ptr_range(), octets[1..301].as_ptr_range());
            seen += 1;
        }
    });
    assert_eq!(seen, 1);
}

#[test]
fn offsets_count_from_the_beginning_of_the_stream() {
    let mut parser = StreamParser::new();
    let mut offsets = Vec::new();
    let mut sink = |event: StreamEvent<'_>| {
        if let StreamEvent::Discarded(discarded) = event {
            offsets.push(discarded.offset);
        }
    };
    for _ in 0..3 {
        parser.feed(&[0x90, 60, 64, 0xF7, 0xF8], &mut sink);
    }
    parser.finish(&mut sink);
    parser.feed(&[5], &mut sink);
    parser.reset();
    parser.feed(&[0xF8, 5], &mut sink);
    assert_eq!(offsets, [3, 8, 13, 0, 1]);
}

#[test]
fn a_reset_forgets_running_status_and_what_was_open() {
    for open in [&[0x90, 60, 64][..], &[0x90], &[0xF0, 1], &[0xF4, 1]] {
        for finish in [false, true] {
            let mut parser = StreamParser::new();
            parser.feed(open, |_| {});
            if finish {
                parser.finish(|_| {});
            } else {
                parser.reset();
            }
            let mut reasons = Vec::new();
            parser.feed(&[1, 2, 3], |event| match event {
                StreamEvent::Discarded(discarded) => reasons.push(discarded.reason),
                StreamEvent::Message(message) => panic!("{message}"),
            });
            assert_eq!(reasons, [DiscardReason::StrayData]);
            parser.finish(|event| panic!("{event:?}"));
        }
    }
}

#[test]
fn reports_can_be_read() {
    let mut text = String::new();
    StreamParser::new().feed(&[0xF0, 1, 2, 0x90], |event| {
        if let StreamEvent::Discarded(discarded) = event {
            text = discarded.to_string();
        }
    });
    assert_eq!(
        text,
        "3 octets discarded from byte 0 on: system exclusive message cut by another status"
    );
}
