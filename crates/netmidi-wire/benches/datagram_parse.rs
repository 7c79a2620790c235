//! The way of one packet with three commands, in and out.

#![allow(clippy::indexing_slicing, reason = "a panic here is a failed bench")]

use core::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use netmidi_message::{Bend, Channel, ChannelMessage, Controller, Message, Note, U7};
use netmidi_wire::{
    Datagram, PacketBudget, PacketWriter, Pushed, RtpHeader, RtpTimestamp, SeqNum, Ssrc,
};

fn messages() -> [(RtpTimestamp, Message<'static>); 3] {
    let velocity = U7::from_low_bits(100);
    let channel = Channel::C1;
    let bend = Bend::CENTER;
    [
        ChannelMessage::note_on(channel, Note::MIDDLE_C, velocity),
        ChannelMessage::control_change(channel, Controller::MODULATION, velocity),
        ChannelMessage::PitchBend { channel, bend },
    ]
    .map(|message| (RtpTimestamp(1_000), message.into()))
}

fn encode(out: &mut [u8], header: &RtpHeader, messages: &[(RtpTimestamp, Message<'_>)]) -> usize {
    let mut writer = PacketWriter::new(out, PacketBudget::DEFAULT, header).expect("a long buffer");
    for (at, message) in messages {
        assert_eq!(writer.push(*at, *message, 0), Pushed::Whole);
    }
    writer.finish()
}

fn decode(octets: &[u8]) -> usize {
    let Ok(Datagram::Rtp(packet)) = Datagram::parse(octets) else {
        panic!("not an RTP packet");
    };
    let section = packet.command_section().expect("a good list");
    section.commands().map(black_box).count()
}

fn bench(c: &mut Criterion) {
    let header = RtpHeader::midi(SeqNum(7), RtpTimestamp(1_000), Ssrc(0x0bad_f00d));
    let messages = messages();
    let mut out = [0; 1024];
    let len = encode(&mut out, &header, &messages);
    let packet = out[..len].to_vec();
    assert_eq!(decode(&packet), 3);

    c.bench_function("decode three commands", |b| {
        b.iter(|| decode(black_box(&packet)));
    });
    c.bench_function("encode three commands", |b| {
        b.iter(|| {
            encode(
                black_box(&mut out),
                black_box(&header),
                black_box(&messages),
            )
        });
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);
