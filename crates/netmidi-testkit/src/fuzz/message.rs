//! What the fuzz targets do with their input. Each fails by panicking.

use netmidi_message::{
    ArrayBuffer, Dialect, DiscardReason, Message, MessageBuf, StreamEvent, StreamParser,
    SysExBuffer,
};

/// Something a stream parser said, kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Said {
    /// A message.
    Message(MessageBuf),
    /// Octets that are no part of a message: why, where the first is, and which.
    Discarded(DiscardReason, u64, Vec<u8>),
}

/// Feeds `octets` in pieces, ends the stream, and gives everything that the parser said.
///
/// Reports of discarded octets that follow one another without a message in between are joined if
/// reason and offset allow it: where long runs are cut is up to the pieces.
pub fn listen<'a, B: SysExBuffer>(
    mut parser: StreamParser<B>,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<Said> {
    let mut said = Vec::new();
    let mut sink = |event: StreamEvent<'_>| match event {
        StreamEvent::Message(message) => said.push(Said::Message(message.to_buf())),
        StreamEvent::Discarded(discarded) => {
            assert!(!discarded.bytes.is_empty(), "a report about nothing");
            if let Some(Said::Discarded(reason, offset, bytes)) = said.last_mut()
                && *reason == discarded.reason
                && *offset + bytes.len() as u64 == discarded.offset
            {
                bytes.extend_from_slice(discarded.bytes);
            } else {
                said.push(Said::Discarded(
                    discarded.reason,
                    discarded.offset,
                    discarded.bytes.to_vec(),
                ));
            }
        }
    };
    for piece in pieces {
        parser.feed(piece, &mut sink);
    }
    parser.finish(&mut sink);
    said
}

/// Checks that every octet of `octets` is part of one message or of one report in `said`, and that
/// both are in the order of the stream.
///
/// # Panics
/// When that is not so.
pub fn assert_all_accounted(octets: &[u8], said: &[Said]) {
    let mut claimed = vec![false; octets.len()];
    for said in said {
        let Said::Discarded(_, offset, bytes) = said else {
            continue;
        };
        let mut at = usize::try_from(*offset).expect("an offset in the stream");
        for byte in bytes {
            // Messages may come in between: real time, and F4 in the dialect of mido.
            while octets[at] != *byte || claimed[at] {
                assert!(
                    at as u64 != *offset && octets[at] >= 0xF4,
                    "octet {at} of {octets:02x?} is not {byte:02x}"
                );
                at += 1;
            }
            claimed[at] = true;
            at += 1;
        }
    }
    let mut left: Vec<u8> = octets
        .iter()
        .zip(claimed)
        .filter_map(|(octet, claimed)| (!claimed).then_some(*octet))
        .collect();
    let real_time: Vec<u8> = left.iter().copied().filter(|o| *o >= 0xF8).collect();
    left.retain(|octet| *octet < 0xF8);
    let mut left = &left[..];
    let mut said_real_time = Vec::new();
    for said in said {
        let Said::Message(message) = said else {
            continue;
        };
        if let MessageBuf::RealTime(message) = message {
            said_real_time.push(message.status());
            continue;
        }
        let mut encoded = &message.to_vec()[..];
        if matches!(message, MessageBuf::Channel(_)) && left.first().is_some_and(|o| *o < 0x80) {
            encoded = &encoded[1..];
        }
        left = left
            .strip_prefix(encoded)
            .unwrap_or_else(|| panic!("{message} is not next in {octets:02x?}"));
        // An F7 right after an F4 or F5 belongs to it.
        if matches!(message, MessageBuf::Undefined(_)) {
            left = left.strip_prefix(&[0xF7]).unwrap_or(left);
        }
    }
    assert_eq!(real_time, said_real_time, "{octets:02x?}");
    assert!(left.is_empty(), "nobody says what became of {left:02x?}");
}

/// The body of the target `message_stream`: any octets through the stream parser.
///
/// The first octet chooses the dialect (bit 0) and the limit for system exclusive messages (bits 1
/// to 4, in octets; 15 means the default) and whether they are refused (bit 5), the second the
/// length of the pieces; the rest is the stream.
///
/// # Panics
/// When the parser breaks one of its promises.
pub fn message_stream(data: &[u8]) {
    let [choice, piece, octets @ ..] = data else {
        return;
    };
    let dialect = if choice & 1 == 0 {
        Dialect::Din
    } else {
        Dialect::Mido
    };
    let limit = match usize::from(choice >> 1 & 15) {
        15 => netmidi_message::DEFAULT_SYSEX_LIMIT,
        limit => limit,
    };
    let refuse = choice & 0x20 != 0;
    let parser = || configured(StreamParser::new(), dialect, limit, refuse);
    let whole = listen(parser(), [octets]);
    assert_all_accounted(octets, &whole);

    let pieces = octets.chunks(usize::from(*piece) + 1);
    assert_eq!(whole, listen(parser(), pieces), "in pieces");
    assert_eq!(whole, listen(parser(), octets.chunks(1)), "octet by octet");
    if limit < 16 {
        let parser = StreamParser::with_buffer(ArrayBuffer::<16>::new());
        let parser = configured(parser, dialect, limit, refuse);
        assert_eq!(whole, listen(parser, [octets]), "in an array");
    }

    for said in &whole {
        let Said::Message(message) = said else {
            continue;
        };
        let encoded = message.to_vec();
        assert_eq!(Message::parse(&encoded).as_ref(), Ok(&message.as_message()));
        assert_eq!(encoded.len(), message.as_message().encoded_len());
        let text = message.to_string();
        assert_eq!(text.parse().as_ref(), Ok(message), "{text}");
    }
}

pub(super) fn configured<B: SysExBuffer>(
    parser: StreamParser<B>,
    dialect: Dialect,
    limit: usize,
    refuse: bool,
) -> StreamParser<B> {
    let parser = parser.dialect(dialect).sysex_limit(limit);
    if refuse {
        parser.refuse_sysex()
    } else {
        parser
    }
}
