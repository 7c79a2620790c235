//! Damaged packets: the right error at the right place, or a reading that holds; never a panic.

#![allow(clippy::indexing_slicing, reason = "a panic here is a failed test")]

use netmidi_message::Message;
use netmidi_testkit::{Vector, from_hex, fuzz, to_hex, vectors};
use netmidi_wire::{
    Command, CommandSection, Control, Datagram, ExchangeKind, Layer, ParseError, RtpTimestamp,
    Ssrc, TimedCommand, Token,
};

/// Every datagram of every vector file, lost ones and broken ones too.
fn datagrams() -> Vec<(String, Vec<u8>)> {
    let files = [
        "applemidi",
        "commands",
        "malformed",
        "journal-channel",
        "journal-system",
        "journal-combined",
    ];
    let mut datagrams: Vec<_> = files
        .into_iter()
        .flat_map(vectors)
        .map(|Vector { name, octets, .. }| (name, octets))
        .collect();
    for scenario in vectors("scenarios") {
        for packet in scenario.json["packets"].as_array().expect("packets") {
            let octets = from_hex(packet["hex"].as_str().expect("hex"));
            datagrams.push((scenario.name.clone(), octets));
        }
    }
    assert_eq!(datagrams.len(), 414);
    datagrams
}

#[test]
fn every_truncation_is_an_error_or_a_valid_reading() {
    for (name, octets) in datagrams() {
        for len in 0..octets.len() {
            let cut = &octets[..len];
            fuzz::wire_datagram(cut);
            if let Ok(Datagram::Rtp(whole)) = Datagram::parse(&octets)
                && let Ok(section) = whole.command_section()
                && !whole.is_padded()
                && len
                    < octets.len()
                        - section.trailing().len()
                        - section.journal().map_or(0, <[u8]>::len)
            {
                let read = match Datagram::parse(cut) {
                    Ok(Datagram::Rtp(packet)) => packet.command_section().is_ok(),
                    Ok(Datagram::Control(_)) => true,
                    Err(_) => false,
                };
                assert!(
                    !read,
                    "{name} is cut at {len} inside its list, and was accepted"
                );
            }
        }
    }
}

#[test]
fn every_corruption_of_one_octet_is_an_error_or_a_valid_reading() {
    let mut tried = 0;
    for (_, mut octets) in datagrams() {
        for at in 0..octets.len() {
            let good = octets[at];
            for bad in (0..=255).filter(|&bad| bad != good) {
                octets[at] = bad;
                fuzz::wire_datagram(&octets);
                tried += 1;
            }
            octets[at] = good;
        }
    }
    assert!(tried > 1_000_000, "only {tried} corruptions");
}

#[test]
fn every_way_to_be_wrong_has_its_code_and_place() {
    let rtp = "80610001000003e80badf00d";
    let cases = [
        // RTP, RFC 3550 §5.1.
        ("", "rtp", "truncated-header", 0),
        ("8061000100", "rtp", "truncated-header", 5),
        ("c0610001000003e80badf00d00", "rtp", "bad-version", 0),
        (
            "82610001000003e80badf00d01020304050607",
            "rtp",
            "truncated-csrc",
            19,
        ),
        (
            "90610001000003e80badf00dbede00",
            "rtp",
            "truncated-extension",
            15,
        ),
        (
            "90610001000003e80badf00dbede0001000000",
            "rtp",
            "truncated-extension",
            19,
        ),
        ("a0610001000003e80badf00d", "rtp", "bad-padding", 11),
        ("a0610001000003e80badf00d0000", "rtp", "bad-padding", 13),
        ("a0610001000003e80badf00d0003", "rtp", "bad-padding", 13),
        // All padding, no payload: in order as RTP, but no RTP-MIDI.
        (
            "a0610001000003e80badf00d000003",
            "midi",
            "missing-command-section",
            12,
        ),
        // The offsets of what follows count CSRC list and extension.
        (
            "81610001000003e80badf00d00000001 02903c",
            "midi",
            "truncated-command",
            19,
        ),
        // The command section, RFC 6295 §3.
        ("+", "midi", "missing-command-section", 12),
        ("+80", "midi", "truncated-header", 13),
        ("+03903c", "midi", "list-overrun", 13),
        ("+8003903c", "midi", "list-overrun", 14),
        ("+03903c40 00ff", "midi", "trailing-octets", 16),
        ("+2181", "midi", "truncated-delta", 14),
        ("+27 80808080 903c40", "midi", "delta-too-long", 13),
        ("+0a 903c40 81828384 803c40", "midi", "delta-too-long", 16),
        ("+01 c0", "midi", "truncated-command", 14),
        ("+02 f201", "midi", "truncated-command", 15),
        ("+02 3c40", "midi", "missing-status", 13),
        ("+22 003c", "midi", "missing-status", 14),
        // System exclusive and common messages cancel running status; real-time ones do not.
        ("+08 903c40 00f6 00 3d40", "midi", "missing-status", 19),
        ("+09 903c40 00f0f7 00 3d40", "midi", "missing-status", 20),
        ("+03 90f840", "midi", "status-in-data", 14),
        ("+03 f10090", "midi", "truncated-delta", 16),
        ("+04 f0010203", "midi", "unterminated-sysex", 13),
        ("+03 f001f8", "midi", "bad-sysex-terminator", 15),
        ("+03 f001f4", "midi", "bad-sysex-terminator", 15),
        ("+02 f0f4", "midi", "bad-sysex-terminator", 14),
        ("+02 f0f0", "midi", "empty-sysex-segment", 13),
        ("+02 f7f0", "midi", "empty-sysex-segment", 13),
        ("+03 f701f4", "midi", "nonempty-cancel", 13),
        ("+02 f401", "midi", "unterminated-undefined", 13),
        ("+03 f50190", "midi", "unterminated-undefined", 13),
        // Session packets.
        ("ffff", "applemidi", "truncated", 2),
        ("ffff49", "applemidi", "truncated", 3),
        (
            "ffff494e0000000200000001000000",
            "applemidi",
            "truncated",
            15,
        ),
        ("ffff434b00000001", "applemidi", "truncated", 8),
        ("ffff524c0000000100007a", "applemidi", "truncated", 11),
        (
            "ffff4e4f000000010000000100000002",
            "applemidi",
            "bad-version",
            4,
        ),
        ("ffff5a5a", "applemidi", "unknown-command", 2),
    ];
    for (hex, layer, code, offset) in cases {
        let octets = from_hex(&hex.replace('+', rtp));
        let error = match Datagram::parse(&octets) {
            Err(error) => error,
            Ok(Datagram::Rtp(packet)) => match packet.command_section() {
                Err(error) => error,
                Ok(section) => section
                    .anomaly()
                    .unwrap_or_else(|| panic!("{hex}: accepted")),
            },
            Ok(other) => panic!("{hex}: {other:?}"),
        };
        let found = (error.layer().code(), error.code(), error.offset());
        assert_eq!(found, (layer, code, offset), "{hex}: {error}");
    }
    assert_eq!(
        Control::parse(&from_hex("ff80434b")),
        Err(ParseError::BadSignature {
            found: [0xFF, 0x80]
        })
    );
    for short in [&[][..], &[0xFF], &[0x80]] {
        assert_eq!(
            Control::parse(short),
            Err(ParseError::TruncatedSignature {
                offset: short.len()
            }),
            "no octets are reported that are not there"
        );
    }
}

/// A command as a model reads it: delta time, octets with their status, whether that was left out.
type Plain = (u32, Vec<u8>, bool);

/// RFC 6295 §3.2 once more, one octet after the other: the commands of a list, or what is wrong
/// with it and where.
fn model(first_delta: bool, list: &[u8]) -> Result<Vec<Plain>, (&'static str, usize)> {
    let data_end = |from: usize| {
        let len = list[from..].iter().take_while(|octet| **octet < 0x80);
        from + len.count()
    };
    let (mut at, mut running, mut commands) = (0, None, Vec::new());
    while at < list.len() {
        let mut delta = 0;
        if first_delta || at > 0 {
            let start = at;
            loop {
                let octet = *list.get(at).ok_or(("truncated-delta", at))?;
                delta = delta << 7 | u32::from(octet & 0x7F);
                at += 1;
                if octet < 0x80 {
                    break;
                }
                if at - start == 4 {
                    return Err(("delta-too-long", start));
                }
            }
        }
        let start = at;
        let Some(&octet) = list.get(at) else {
            commands.push((delta, Vec::new(), false));
            break;
        };
        let left_out = octet < 0x80;
        let status = if left_out {
            running.ok_or(("missing-status", start))?
        } else {
            at += 1;
            octet
        };
        match status {
            0xF0 | 0xF7 => {
                let end = data_end(at);
                let tail = *list.get(end).ok_or(("unterminated-sysex", start))?;
                match (status, tail, end - at) {
                    (_, 0xF5 | 0xF7, _) => {}
                    (_, 0xF0, 0) => return Err(("empty-sysex-segment", start)),
                    (_, 0xF0, _) | (0xF7, 0xF4, 0) => {}
                    (0xF7, 0xF4, _) => return Err(("nonempty-cancel", start)),
                    _ => return Err(("bad-sysex-terminator", end)),
                }
                at = end + 1;
            }
            0xF4 | 0xF5 => {
                at = data_end(at) + 1;
                if list.get(at - 1) != Some(&0xF7) {
                    return Err(("unterminated-undefined", start));
                }
            }
            _ => {
                let len = match status {
                    0xC0..0xE0 | 0xF1 | 0xF3 => 1,
                    0xF6 | 0xF8.. => 0,
                    _ => 2,
                };
                for _ in 0..len {
                    match list.get(at) {
                        None => return Err(("truncated-command", at)),
                        Some(0x80..) => return Err(("status-in-data", at)),
                        Some(_) => at += 1,
                    }
                }
            }
        }
        running = match status {
            0x80..0xF0 => Some(status),
            0xF8.. => running,
            _ => None,
        };
        let mut octets = list[start..at].to_vec();
        if left_out {
            octets.insert(0, status);
        }
        commands.push((delta, octets, left_out));
    }
    Ok(commands)
}

#[test]
fn every_short_list_reads_as_a_plain_model_reads_it() {
    const KINDS: [u8; 12] = [
        0x00, 0x3C, 0x81, 0x90, 0xC5, 0xF0, 0xF1, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8,
    ];
    for (len, long, z) in (0..=5u8).flat_map(|len| {
        [(false, 0), (false, 0x20), (true, 0), (true, 0x20)].map(|(long, z)| (len, long, z))
    }) {
        let header = if long {
            vec![0x80 | z, len]
        } else {
            vec![z | len]
        };
        for number in 0..KINDS.len().pow(len.into()) {
            let digit = |at: u8| number / KINDS.len().pow(at.into()) % KINDS.len();
            let list: Vec<u8> = (0..len).map(|at| KINDS[digit(at)]).collect();
            let payload = [&header[..], &list].concat();
            let read = CommandSection::parse(&payload, RtpTimestamp(0))
                .map(|section| section.commands().map(plain).collect::<Vec<_>>())
                .map_err(|error| (error.code(), error.offset() - header.len()));
            assert_eq!(read, model(z != 0, &list), "{}", to_hex(&payload));
        }
    }
}

fn plain(timed: TimedCommand<'_>) -> Plain {
    let octets = match timed.command {
        None => Vec::new(),
        Some(Command::Message(message @ Message::Undefined(_))) => {
            [&message.to_vec()[..], &[0xF7]].concat()
        }
        Some(Command::Message(message)) => message.to_vec(),
        Some(Command::SysEx(segment)) => {
            let kind = segment.kind();
            [&[kind.head()], segment.data(), &[kind.tail()]].concat()
        }
    };
    (timed.delta.get(), octets, timed.running)
}

#[test]
fn an_error_says_what_was_found_and_where() {
    let octets = from_hex("80610001000003e80badf00d 03 90f840");
    let Ok(Datagram::Rtp(packet)) = Datagram::parse(&octets) else {
        panic!("a good RTP header");
    };
    assert_eq!(
        packet.command_section().unwrap_err().to_string(),
        "status octet 0xf8 at byte 14 where a data octet of a command with status 0x90 was expected"
    );
    assert_eq!(
        Datagram::parse(b"\xff\xffZ\n").unwrap_err().to_string(),
        r"session packet Z\n is not known"
    );
    assert_eq!(
        Datagram::parse(b"\xff\xffCK\0").unwrap_err().to_string(),
        "session packet CK is cut short at byte 5, it needs 36 octets"
    );
}

#[test]
fn an_invitation_of_another_version_says_whom_to_refuse() {
    let octets = from_hex("ffff494e 00000003 00000001 deadbeef 4100");
    let error = Datagram::parse(&octets).unwrap_err();
    assert_eq!(
        error,
        ParseError::BadVersion {
            version: 3,
            kind: ExchangeKind::Invitation,
            token: Token(1),
            ssrc: Ssrc(0xdead_beef),
        }
    );
    assert_eq!(error.layer(), Layer::AppleMidi);
    assert_eq!(
        error.to_string(),
        "session packet IN has protocol version 3, only 2 is known"
    );
}

#[test]
fn octets_after_a_list_without_a_journal_do_not_cost_the_list() {
    let octets = from_hex("80610001000003e80badf00d 03903c40 00");
    let Ok(Datagram::Rtp(packet)) = Datagram::parse(&octets) else {
        panic!("a good RTP header");
    };
    let section = packet.command_section().unwrap();
    assert_eq!(section.commands().len(), 1);
    assert_eq!(section.trailing(), [0]);
    assert_eq!(section.journal(), None);
    assert_eq!(
        section.anomaly(),
        Some(ParseError::TrailingOctets {
            offset: 16,
            surplus: 1
        })
    );
}

#[test]
fn a_journal_is_handed_on_unread() {
    for (journal, hex) in [(&[][..], "43903c40"), (&[0x80, 0x00], "43903c40 8000")] {
        let payload = from_hex(hex);
        let section = CommandSection::parse(&payload, RtpTimestamp(0)).unwrap();
        assert_eq!(section.journal(), Some(journal));
        assert_eq!(section.anomaly(), None);
        assert_eq!(section.commands().len(), 1);
    }
}

#[test]
fn surplus_octets_of_session_packets_are_ignored() {
    for (name, hex) in [
        ("BY", "ffff4259 00000002 00000001 00000002"),
        (
            "CK",
            "ffff434b 00000001 00000000 0000000000000005 0000000000000000 0000000000000000",
        ),
        ("RS", "ffff5253 00000001 00070000"),
        ("RL", "ffff524c 00000001 00007a12"),
    ] {
        let octets = from_hex(hex);
        let longer = [&octets[..], &[1, 2, 3]].concat();
        assert_eq!(Control::parse(&octets), Control::parse(&longer), "{name}");
        assert!(Control::parse(&octets).is_ok(), "{name}");
    }
}

/// rtpmidid writes the number that it acknowledges into the lower half.
#[test]
fn feedback_of_rtpmidid_is_read_as_it_stands() {
    let octets = from_hex("ffff5253 00000001 00001234");
    let Ok(Control::Feedback(feedback)) = Control::parse(&octets) else {
        panic!("feedback");
    };
    assert_eq!((feedback.seq.0, feedback.low), (0, 0x1234));
}

#[test]
fn a_name_that_is_not_utf8_is_shown_all_the_same() {
    let octets = from_hex("ffff494e 00000002 00000001 00000002 4bfc636865e2828000");
    let Ok(Control::Exchange(exchange)) = Control::parse(&octets) else {
        panic!("an invitation");
    };
    let name = exchange.name.expect("a name");
    assert_eq!(name.to_string(), "K\u{FFFD}che\u{2080}");
    assert_eq!(name.as_str(), None);
}
