//! What is sent, octet by octet.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic here is a failed test"
)]

use netmidi_message::{Message, SysEx};
use netmidi_testkit::{from_hex, to_hex};
use netmidi_wire::{
    BitrateLimit, ClockCount, ClockSync, ClockTicks, Command, Csrc, Delta, Exchange, ExchangeKind,
    Extension, Feedback, PacketBudget, PacketWriter, PayloadType, Pushed, RtpHeader, RtpPacket,
    RtpTimestamp, RunningStatus, SegmentKind, SeqNum, SessionName, Ssrc, SysExSegment,
    TimedCommand, Token,
};

const START: RtpTimestamp = RtpTimestamp(1_000);
const HEADER: RtpHeader = RtpHeader::midi(SeqNum(1), START, Ssrc(0x0bad_f00d));
const HEADER_HEX: &str = "80610001000003e80badf00d";

/// Writes one packet of the smallest budget and returns what follows the RTP header.
fn section(write: impl FnOnce(PacketWriter<'_>) -> usize) -> String {
    section_in(PacketBudget::MIN, write)
}

fn section_in(budget: PacketBudget, write: impl FnOnce(PacketWriter<'_>) -> usize) -> String {
    let mut out = vec![0xEE; budget.get()];
    let len = write(PacketWriter::new(&mut out, budget, &HEADER).unwrap());
    let hex = to_hex(&out[..len]);
    hex.strip_prefix(HEADER_HEX).expect("the header").to_owned()
}

/// Pushes messages that all go in whole, each so many ticks after the start.
fn push_all(writer: &mut PacketWriter<'_>, messages: &[(u32, &str)]) {
    for (at, hex) in messages {
        let octets = from_hex(hex);
        let message = Message::parse(&octets).unwrap();
        let pushed = writer.push(START.wrapping_add(*at), message, 0);
        assert_eq!(pushed, Pushed::Whole, "{hex}");
    }
}

fn list(messages: &[(u32, &str)]) -> String {
    section(|mut writer| {
        push_all(&mut writer, messages);
        writer.finish()
    })
}

#[test]
fn one_note_is_sixteen_octets() {
    assert_eq!(list(&[(0, "903c40")]), "03903c40");
}

#[test]
fn nothing_to_say_is_one_octet() {
    assert_eq!(list(&[]), "00");
}

#[test]
fn every_command_carries_its_status_unless_asked_otherwise() {
    let chord = [(0, "903c40"), (0, "904041"), (5, "904300")];
    assert_eq!(list(&chord), "0b903c40 00904041 05904300".replace(' ', ""));
    let running = section(|writer| {
        let mut writer = writer.with_running_status(RunningStatus::On);
        push_all(&mut writer, &chord);
        writer.finish()
    });
    assert_eq!(running, "09903c40 004041 054300".replace(' ', ""));
}

#[test]
fn running_status_outlives_real_time_messages_only() {
    for (between, hex) in [
        ("f8", "08 b00740 00f8 000741"),
        ("f6", "09 b00740 00f6 00b00741"),
        ("f0f7", "0a b00740 00f0f7 00b00741"),
        ("f401", "0b b00740 00f401f7 00b00741"),
        ("f301", "0a b00740 00f301 00b00741"),
        ("c001", "0a b00740 00c001 00b00741"),
        ("b10740", "0b b00740 00b10740 00b00741"),
    ] {
        let written = section(|writer| {
            let mut writer = writer.with_running_status(RunningStatus::On);
            push_all(&mut writer, &[(0, "b00740"), (0, between), (0, "b00741")]);
            writer.finish()
        });
        assert_eq!(written, hex.replace(' ', ""));
    }
}

#[test]
fn a_first_delta_time_is_written_only_when_it_is_not_zero() {
    assert_eq!(list(&[(127, "903c40")]), "247f903c40");
    assert_eq!(
        list(&[(200, "903c40"), (200, "803c40")]),
        "29814890 3c4000803c40".replace(' ', "")
    );
    assert_eq!(list(&[(0, "f8"), (0x0FFF_FFFF, "f8")]), "06f8ffffff7ff8");
}

#[test]
fn a_time_before_the_last_one_counts_as_that() {
    assert_eq!(list(&[(9, "f8"), (3, "fa"), (10, "fc")]), "2609f800fa01fc");
}

#[test]
fn a_gap_that_no_delta_time_can_say_asks_for_another_packet() {
    let written = section(|mut writer| {
        let late = START.wrapping_add(Delta::MAX.get() + 1);
        let clock = Message::parse(&[0xF8]).unwrap();
        assert_eq!(writer.push(late, clock, 0), Pushed::Full);
        assert!(writer.is_empty());
        writer.finish()
    });
    assert_eq!(written, "00");
}

#[test]
fn the_header_gets_long_at_sixteen_octets() {
    assert_eq!(
        list(&[(0, "903c40"), (0, "903d40"), (0, "903e40"), (0, "903f40")]),
        "0f 903c40 00903d40 00903e40 00903f40".replace(' ', "")
    );
    assert_eq!(
        list(&[
            (0, "f8"),
            (0, "903c40"),
            (0, "c001"),
            (0, "903d40"),
            (0, "903e40")
        ]),
        "8010 f8 00903c40 00c001 00903d40 00903e40".replace(' ', "")
    );
    assert_eq!(
        list(&[
            (1, "f8"),
            (1, "903c40"),
            (1, "903d40"),
            (1, "903e40"),
            (1, "c001")
        ]),
        "a011 01f8 00903c40 00903d40 00903e40 00c001".replace(' ', "")
    );
}

#[test]
fn all_kinds_of_messages_are_carried() {
    assert_eq!(
        list(&[
            (0, "8a3c40"),
            (0, "e0007f"),
            (0, "df33"),
            (0, "f27f01"),
            (0, "f135"),
            (0, "ff")
        ]),
        "8013 8a3c40 00e0007f 00df33 00f27f01 00f135 00ff".replace(' ', "")
    );
    assert_eq!(list(&[(0, "f07e7f0901f7")]), "06f07e7f0901f7");
    assert_eq!(list(&[(0, "f0f7")]), "02f0f7");
}

/// RFC 6295 §3.2: the list adds the F7 that MIDI 1.0 does not have.
#[test]
fn undefined_commands_get_an_end() {
    assert_eq!(
        list(&[(0, "f40102"), (0, "f5"), (0, "f9")]),
        "09f40102f700f5f700f9"
    );
}

#[test]
fn an_undefined_command_that_fits_no_packet_is_refused_for_good() {
    let fits = [vec![0xF4], vec![1; 236]].concat();
    let fits = Message::parse(&fits).unwrap();
    let too_long = [vec![0xF4], vec![1; 237]].concat();
    let too_long = Message::parse(&too_long).unwrap();
    let late = START.wrapping_add(Delta::MAX.get());
    let written = section(|mut writer| {
        // Not even where no delta time is needed: the answer is the same in any packet.
        assert_eq!(writer.push(START, too_long, 0), Pushed::TooLong);
        assert_eq!(writer.push(late, fits, 0), Pushed::Whole);
        assert_eq!(writer.room(), 0);
        assert_eq!(writer.push(late, fits, 0), Pushed::Full);
        assert_eq!(writer.push(late, too_long, 0), Pushed::TooLong);
        writer.finish()
    });
    assert_eq!(written, format!("a0f2ffffff7ff4{}f7", "01".repeat(236)));
}

#[test]
fn a_segment_that_fits_no_packet_is_refused_for_good() {
    let data = vec![1; 241];
    let fits = SysExSegment::new(SegmentKind::First, &data[1..]).unwrap();
    let too_long = SysExSegment::new(SegmentKind::First, &data).unwrap();
    let written = section(|mut writer| {
        assert_eq!(writer.push_segment(START, too_long), Pushed::TooLong);
        assert_eq!(
            writer.push_segment(START.wrapping_add(1), fits),
            Pushed::Full
        );
        assert_eq!(writer.push_segment(START, fits), Pushed::Whole);
        assert_eq!(writer.push_segment(START, fits), Pushed::Full);
        writer.finish()
    });
    assert_eq!(written, format!("80f2f0{}f0", "01".repeat(240)));
}

/// Its delta time is its own, so another packet does not help.
#[test]
fn a_command_that_fits_no_packet_with_its_delta_time_is_refused_for_good() {
    let data = vec![1; 240];
    let timed = |units| TimedCommand {
        delta: Delta::new(units).unwrap(),
        timestamp: START,
        running: false,
        command: SysExSegment::new(SegmentKind::Whole, &data).map(Command::SysEx),
    };
    let written = section(|mut writer| {
        assert_eq!(writer.push_command(&timed(1)), Pushed::TooLong);
        assert_eq!(writer.push_command(&timed(0)), Pushed::Whole);
        assert_eq!(writer.push_command(&timed(0)), Pushed::Full);
        writer.finish()
    });
    assert_eq!(written, format!("80f2f0{}f7", "01".repeat(240)));
}

/// The example of RFC 6295 §3.2.
#[test]
fn segments_have_the_heads_and_tails_of_the_standard() {
    let segment = |kind, data: &'static [u8]| SysExSegment::new(kind, data).unwrap();
    let written = section(|mut writer| {
        for (at, segment) in [
            (0, segment(SegmentKind::First, &[1, 2])),
            (3, segment(SegmentKind::Middle, &[3, 4])),
            (6, segment(SegmentKind::Last, &[5, 6, 7, 8])),
        ] {
            assert_eq!(
                writer.push_segment(START.wrapping_add(at), segment),
                Pushed::Whole
            );
        }
        writer.finish()
    });
    assert_eq!(
        written,
        "8010 f00102f0 03f70304f0 03f705060708f7".replace(' ', "")
    );
    for (kind, data, hex) in [
        (SegmentKind::WholeDroppedEnd, &[0x7D, 1][..], "04f07d01f5"),
        (SegmentKind::LastDroppedEnd, &[2], "03f702f5"),
        (SegmentKind::Last, &[], "02f7f7"),
        (SegmentKind::Cancel, &[], "02f7f4"),
    ] {
        let written = section(|mut writer| {
            let segment = SysExSegment::new(kind, data).unwrap();
            assert_eq!(writer.push_segment(START, segment), Pushed::Whole);
            writer.finish()
        });
        assert_eq!(written, hex);
    }
}

#[test]
fn segments_that_the_standard_forbids_cannot_be_made() {
    assert_eq!(SysExSegment::new(SegmentKind::First, &[]), None);
    assert_eq!(SysExSegment::new(SegmentKind::Middle, &[]), None);
    assert_eq!(SysExSegment::new(SegmentKind::Cancel, &[1]), None);
    assert_eq!(SysExSegment::new(SegmentKind::Whole, &[0x80]), None);
}

/// One system exclusive message with `len` data octets, each its own index, over packets of
/// `budget`: head, number of data octets and tail of each segment.
fn cut(budget: PacketBudget, len: usize) -> Vec<(u8, usize, u8)> {
    let data: Vec<u8> = (0..len).map(|index| (index % 128) as u8).collect();
    let message = Message::from(SysEx::new(&data).unwrap());
    let mut segments = Vec::new();
    let mut taken = 0;
    loop {
        let mut pushed = Pushed::Full;
        let written = section_in(budget, |mut writer| {
            pushed = writer.push(START, message, taken);
            writer.finish()
        });
        let octets = from_hex(&written);
        let list = if octets[0] & 0x80 == 0 {
            &octets[1..]
        } else {
            &octets[2..]
        };
        let [head, middle @ .., tail] = list else {
            panic!("an empty list")
        };
        assert_eq!(middle, &data[taken..taken + middle.len()]);
        segments.push((*head, middle.len(), *tail));
        match pushed {
            Pushed::Whole => return segments,
            Pushed::Part { taken: sent } => {
                assert_eq!(sent, taken + middle.len());
                taken = sent;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_long_system_exclusive_is_cut_where_the_packet_ends() {
    let min = PacketBudget::MIN;
    assert_eq!(cut(min, 240), [(0xF0, 240, 0xF7)]);
    assert_eq!(cut(min, 300), [(0xF0, 240, 0xF0), (0xF7, 60, 0xF7)]);
    assert_eq!(
        cut(min, 600),
        [(0xF0, 240, 0xF0), (0xF7, 240, 0xF0), (0xF7, 120, 0xF7)]
    );
    // No crumbs at the end.
    assert_eq!(cut(min, 241), [(0xF0, 225, 0xF0), (0xF7, 16, 0xF7)]);
    assert_eq!(cut(min, 255), [(0xF0, 239, 0xF0), (0xF7, 16, 0xF7)]);
    assert_eq!(cut(min, 256), [(0xF0, 240, 0xF0), (0xF7, 16, 0xF7)]);
    assert_eq!(
        cut(PacketBudget::DEFAULT, 1100),
        [(0xF0, 1008, 0xF0), (0xF7, 92, 0xF7)]
    );
    // A list ends at 4,095 octets whatever the budget.
    assert_eq!(
        cut(PacketBudget::MAX, 5000),
        [(0xF0, 4093, 0xF0), (0xF7, 907, 0xF7)]
    );
}

#[test]
fn the_longest_list_is_4095_octets() {
    let data = vec![5; 6000];
    let message = Message::from(SysEx::new(&data).unwrap());
    let written = section_in(PacketBudget::MAX, |mut writer| {
        assert_eq!(writer.room(), 4095);
        assert_eq!(writer.push(START, message, 0), Pushed::Part { taken: 4093 });
        assert_eq!(writer.room(), 0);
        writer.finish()
    });
    assert_eq!(written, format!("8ffff0{}f0", "05".repeat(4093)));
}

#[test]
fn a_system_exclusive_follows_other_commands_only_with_a_fair_share() {
    let data = vec![5; 400];
    let message = Message::from(SysEx::new(&data).unwrap());
    let written = section(|mut writer| {
        push_all(&mut writer, &[(0, "903c40")]);
        assert_eq!(writer.push(START, message, 0), Pushed::Part { taken: 236 });
        writer.finish()
    });
    assert_eq!(written, format!("80f2903c4000f0{}f0", "05".repeat(236)));
    // 208 octets are in, delta time and frame take 3: room for 16 data octets, then for 15.
    for (reserve, expected) in [(15, Pushed::Part { taken: 16 }), (16, Pushed::Full)] {
        let _ = section(|mut writer| {
            let filling = [vec![0xF0], vec![5; 206], vec![0xF7]].concat();
            let filling = Message::parse(&filling).unwrap();
            assert_eq!(writer.push(START, filling, 0), Pushed::Whole);
            writer.reserve(reserve).unwrap();
            assert_eq!(writer.push(START, message, 0), expected);
            writer.finish()
        });
    }
}

#[test]
fn a_packet_that_carried_all_data_still_ends_the_message() {
    let message = Message::from(SysEx::new(&[1, 2]).unwrap());
    for taken in [2, 3] {
        let written = section(|mut writer| {
            assert_eq!(writer.push(START, message, taken), Pushed::Whole);
            writer.finish()
        });
        assert_eq!(written, "02f7f7");
    }
}

#[test]
fn a_journal_follows_the_list_at_once() {
    let with_journal = |messages: &[(u32, &str)]| {
        section(|mut writer| {
            writer.reserve(3).unwrap();
            push_all(&mut writer, messages);
            writer.finish_with_journal(|free| {
                free[..3].copy_from_slice(&[0x20, 0x00, 0x07]);
                3
            })
        })
    };
    assert_eq!(with_journal(&[(0, "903c40")]), "43903c40200007");
    assert_eq!(with_journal(&[]), "40200007");
    assert_eq!(
        with_journal(&[
            (2, "f8"),
            (2, "903c40"),
            (2, "903d40"),
            (2, "903e40"),
            (2, "f8")
        ]),
        "e010 02f8 00903c40 00903d40 00903e40 00f8 200007".replace(' ', "")
    );
}

#[test]
fn a_journal_gets_what_the_list_leaves() {
    let written = section(|mut writer| {
        writer.reserve(210).unwrap();
        assert_eq!(writer.room(), 32);
        assert!(writer.reserve(211).is_err());
        assert_eq!(writer.room(), 32);
        push_all(&mut writer, &[(0, "903c40")]);
        writer.finish_with_journal(|free| {
            assert_eq!(free.len(), 256 - 12 - 4);
            0
        })
    });
    assert_eq!(written, "03903c40", "no octets are no journal");
    let _ = section(|mut writer| {
        for _ in 0..60 {
            let _ = writer.push(START, Message::parse(&[0x90, 1, 1]).unwrap(), 0);
        }
        assert_eq!(writer.room(), 3);
        writer.reserve(3).unwrap();
        assert!(writer.reserve(4).is_err());
        writer.finish_with_journal(|free| free.len())
    });
}

#[test]
fn the_phantom_bit_is_set_on_request_and_never_on_an_empty_list() {
    let phantom = |messages: &[(u32, &str)]| {
        section(|writer| {
            let mut writer = writer.with_phantom();
            push_all(&mut writer, messages);
            writer.finish()
        })
    };
    assert_eq!(phantom(&[(0, "903c40")]), "13903c40");
    assert_eq!(phantom(&[]), "00");
}

#[test]
fn nothing_follows_a_delta_time_that_ends_the_list() {
    let written = section(|mut writer| {
        let silence = TimedCommand {
            delta: Delta::new(50).unwrap(),
            timestamp: START,
            running: false,
            command: None,
        };
        assert_eq!(writer.push_command(&silence), Pushed::Whole);
        assert_eq!(writer.push_command(&silence), Pushed::Full);
        let clock = Message::parse(&[0xF8]).unwrap();
        assert_eq!(writer.push(START, clock, 0), Pushed::Full);
        writer.finish()
    });
    assert_eq!(written, "2132");
}

#[test]
fn a_buffer_shorter_than_the_budget_is_refused() {
    let mut out = [0; 255];
    let error = PacketWriter::new(&mut out, PacketBudget::MIN, &HEADER).unwrap_err();
    assert_eq!((error.needed, error.available), (256, 255));
    assert_eq!(PacketBudget::new(255), None);
    assert_eq!(PacketBudget::new(8193), None);
    assert_eq!(PacketBudget::new(1024), Some(PacketBudget::default()));
}

#[test]
fn the_header_says_all_it_knows() {
    let header = RtpHeader {
        marker: true,
        payload_type: PayloadType::new(96).unwrap(),
        seq: SeqNum(0xFFFE),
        timestamp: RtpTimestamp(0x0102_0304),
        ssrc: Ssrc(0xA0B0_C0D0),
    };
    let mut out = [0; 13];
    assert_eq!(header.encode(&mut out), Ok(12));
    assert_eq!(to_hex(&out), "80e0fffe01020304a0b0c0d000");
    assert!(header.encode(&mut out[..11]).is_err());
}

#[test]
fn sources_extension_and_padding_stand_around_the_payload() {
    let csrc = from_hex("00000001ffffffff");
    let words = from_hex("1001020300000000");
    let packet = RtpPacket::new(HEADER, &[0x00])
        .with_csrc(Csrc::new(&csrc).unwrap())
        .with_extension(Extension::new(0xBEDE, &words).unwrap())
        .with_padding(3);
    let hex = "b2610001000003e80badf00d 00000001ffffffff bede0002 1001020300000000 00 000003";
    assert_eq!(to_hex(&packet.to_vec()), hex.replace(' ', ""));
    assert_eq!(packet.encoded_len(), 36);
    assert!(packet.encode(&mut [0; 35]).is_err());
    assert!(packet.csrc().eq([Ssrc(1), Ssrc(0xFFFF_FFFF)]));
    assert_eq!(Csrc::new(&[0; 64]), None);
    assert_eq!(Csrc::new(&[0; 3]), None);
    assert_eq!(Extension::new(0, &[0; 3]), None);
}

#[test]
fn session_packets_are_as_apple_describes_them() {
    let (ssrc, token) = (Ssrc(0x9316_668E), Token(0x46E8_7CCD));
    let exchange = |kind, name: Option<&'static str>| {
        let name = name.map(SessionName::new);
        to_hex(
            &Exchange {
                kind,
                token,
                ssrc,
                name,
            }
            .to_vec(),
        )
    };
    let tail = "0000000246e87ccd9316668e";
    assert_eq!(
        exchange(ExchangeKind::Invitation, Some("otf")),
        format!("ffff494e{tail}6f746600")
    );
    assert_eq!(
        exchange(ExchangeKind::Accepted, Some("")),
        format!("ffff4f4b{tail}00")
    );
    // The wire cannot carry what follows a NUL.
    assert_eq!(
        exchange(ExchangeKind::Accepted, Some("a\0b")),
        format!("ffff4f4b{tail}6100")
    );
    assert_eq!(
        exchange(ExchangeKind::Rejected, None),
        format!("ffff4e4f{tail}")
    );
    assert_eq!(exchange(ExchangeKind::End, None), format!("ffff4259{tail}"));

    let clock = ClockSync {
        ssrc,
        count: ClockCount::Ck1,
        timestamps: [0x0123_4567_89AB_CDEF, 2, 0].map(ClockTicks),
    };
    assert_eq!(
        to_hex(&clock.to_vec()),
        "ffff434b 9316668e 01000000 0123456789abcdef 0000000000000002 0000000000000000"
            .replace(' ', "")
    );
    assert_eq!(
        ClockTicks(0x0123_4567_89AB_CDEF).to_rtp(),
        RtpTimestamp(0x89AB_CDEF)
    );

    let feedback = Feedback::new(ssrc, SeqNum(0x5275));
    assert_eq!(to_hex(&feedback.to_vec()), "ffff52539316668e52750000");
    let limit = BitrateLimit {
        ssrc,
        bits_per_second: 31_250,
    };
    assert_eq!(to_hex(&limit.to_vec()), "ffff524c9316668e00007a12");
    assert!(feedback.encode(&mut [0; 11]).is_err());
    assert!(clock.encode(&mut [0; 35]).is_err());
}

#[test]
fn delta_times_take_as_few_octets_as_they_can() {
    for (units, hex) in [
        (0, "00"),
        (0x7F, "7f"),
        (0x80, "8100"),
        (0x3FFF, "ff7f"),
        (0x4000, "818000"),
        (0x1F_FFFF, "ffff7f"),
        (0x20_0000, "81808000"),
        (0x0FFF_FFFF, "ffffff7f"),
    ] {
        let delta = Delta::new(units).unwrap();
        let mut out = [0; 4];
        let len = delta.encode(&mut out).unwrap();
        assert_eq!(to_hex(&out[..len]), hex);
        assert_eq!(delta.encoded_len(), len);
        assert!(delta.encode(&mut out[..len - 1]).is_err());
    }
    assert_eq!(Delta::new(0x1000_0000), None);
}
