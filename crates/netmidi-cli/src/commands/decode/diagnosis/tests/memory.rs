//! What is forged takes bounded memory, and hides nothing.

use netmidi_wire::{PacketBudget, PacketWriter, RtpHeader, RtpTimestamp, SeqNum};

use super::*;

fn feed(diagnosis: &mut Diagnosis, number: u64, from: SocketAddr, to: SocketAddr, payload: &[u8]) {
    let captured = Captured {
        number,
        time: Some(Duration::from_micros(number)),
        from: Some(from),
        to: Some(to),
        payload,
        missing: 0,
    };
    diagnosis.packet(&captured, &Reading::of(payload)).unwrap();
}

fn forged(n: u32) -> SocketAddr {
    SocketAddr::from((std::net::Ipv4Addr::from(0x0A00_0000 + n), 5005))
}

#[test]
fn a_million_forged_identities() {
    let mut diagnosis = Diagnosis::default();
    let mut out = [0; 1024];
    for n in 0..1_000_000 {
        let header = RtpHeader::midi(SeqNum(1), RtpTimestamp(1), Ssrc(n));
        let mut packet = PacketWriter::new(&mut out, PacketBudget::DEFAULT, &header).unwrap();
        let _ = packet.push(RtpTimestamp(1), on(60).into(), 0);
        let len = packet.finish();
        // Half of them to one session, half of them each in a session of its own.
        let from = if n % 2 == 0 { forged(0) } else { forged(n) };
        feed(&mut diagnosis, n.into(), from, stage(5005), &out[..len]);
    }
    assert!(diagnosis.sessions.len() <= MAX_SESSIONS);
    let streams: usize = diagnosis.sessions.values().map(|it| it.streams.len()).sum();
    assert!(streams <= MAX_STREAMS, "{streams}");
    assert!(diagnosis.ways.len() <= 2 * MAX_SESSIONS);
}

#[test]
fn forged_invitations_make_room() {
    let mut diagnosis = Diagnosis::default();
    for n in 0..100_000 {
        let packet = Exchange {
            kind: ExchangeKind::Invitation,
            token: Token(n),
            ssrc: Ssrc(n),
            name: None,
        };
        feed(
            &mut diagnosis,
            n.into(),
            forged(n),
            stage(5004),
            &packet.to_vec(),
        );
    }
    let mut number = 100_000;
    for it in Script::joined()
        .clock(10, 10, netmidi_wire::ClockCount::Ck0)
        .capture
    {
        number += 1;
        feed(&mut diagnosis, number, it.from, it.to, &it.octets);
    }
    assert!(diagnosis.sessions.len() <= MAX_SESSIONS);
    assert!(diagnosis.tokens.len() <= MAX_TOKENS);
    let reports = diagnosis.reports();
    let last = reports.last().unwrap();
    assert_eq!(last.parties[1].name.as_deref(), Some("Stage"));
}
