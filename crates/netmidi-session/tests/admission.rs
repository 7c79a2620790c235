//! Who may connect: policies, the application's word, system exclusive messages.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use core::net::SocketAddr;

use netmidi_message::{Message, MessageBuf, SysEx};
use netmidi_session::{
    Admission, AllowList, Config, DecideError, Event, InviteeState, IpNet, LocalPort, PairId,
    Persistence, RequestId, Session, SysExPolicy, Target, Time, Verdict,
};
use netmidi_testkit::{ScriptedPeer, events, from_hex, transmits};
use netmidi_wire::{ExchangeKind, RtpHeader, RtpTimestamp, SeqNum, Token};

fn session(admission: Admission) -> Session {
    session_with(|config| config.admission = admission)
}

fn session_with(change: impl FnOnce(&mut Config)) -> Session {
    let mut config = Config::new("ours");
    change(&mut config);
    Session::new(config, 1, Time::ZERO).unwrap()
}

/// The letters of what goes out, and where to.
fn answers(session: &mut Session) -> Vec<(String, SocketAddr)> {
    let sent = transmits(session).into_iter();
    sent.map(|(transmit, octets)| {
        (
            String::from_utf8_lossy(&octets[2..4]).into_owned(),
            transmit.to,
        )
    })
    .collect()
}

fn say(session: &mut Session, peer: &ScriptedPeer, kind: ExchangeKind, now: Time) {
    let local = LocalPort::control(peer.pair);
    session.handle_datagram(now, local, peer.control, &peer.exchange(kind));
}

fn invite(session: &mut Session, peer: &ScriptedPeer, now: Time) {
    say(session, peer, ExchangeKind::Invitation, now);
}

fn invite_data(session: &mut Session, peer: &ScriptedPeer, now: Time) {
    let invitation = peer.exchange(ExchangeKind::Invitation);
    session.handle_datagram(now, LocalPort::data(peer.pair), peer.data, &invitation);
}

fn ok(to: SocketAddr) -> (String, SocketAddr) {
    ("OK".to_owned(), to)
}

fn no(to: SocketAddr) -> (String, SocketAddr) {
    ("NO".to_owned(), to)
}

/// The one request that the application is asked about.
fn asked(session: &mut Session) -> RequestId {
    match events(session).as_slice() {
        [Event::Invited { request, .. }] => *request,
        other => panic!("{other:?}"),
    }
}

fn at(peer: &ScriptedPeer, host: &str) -> ScriptedPeer {
    ScriptedPeer {
        control: format!("{host}:5004").parse().unwrap(),
        data: format!("{host}:5005").parse().unwrap(),
        ..peer.clone()
    }
}

#[test]
fn nobody_is_let_in_by_nobody() {
    let mut session = session(Admission::Nobody);
    let peer = ScriptedPeer::new(1);
    invite(&mut session, &peer, Time::ZERO);
    invite_data(&mut session, &peer, Time::ZERO);
    assert_eq!(answers(&mut session), [no(peer.control), no(peer.data)]);
    assert_eq!(events(&mut session), []);
    assert_eq!(session.stats().invitations_barred, 1);
    assert_eq!(session.poll_timeout(), None, "nothing is kept of it");
}

#[test]
fn a_list_lets_in_who_is_on_it() {
    let list = AllowList::new()
        .network("192.0.2.0/24".parse::<IpNet>().unwrap())
        .network("2001:db8:7::/48".parse::<IpNet>().unwrap())
        .name("peer *");
    let mut session = session(Admission::Listed(list));
    let peer = ScriptedPeer::new(1);
    let cases = [
        ("192.0.2.9", Some("peer 1"), true),
        ("[::ffff:192.0.2.10]", Some("peer 1"), true),
        ("[2001:db8:7::1]", Some("peer two"), true),
        ("192.0.3.9", Some("peer 1"), false),
        ("192.0.2.11", Some("pear"), false),
        ("192.0.2.12", None, false),
    ];
    for (host, name, admitted) in cases {
        let mut peer = at(&peer, host);
        peer.name = name.map(str::to_owned);
        invite(&mut session, &peer, Time::ZERO);
        let expected = if admitted { ok } else { no };
        assert_eq!(
            answers(&mut session),
            [expected(peer.control)],
            "{host} {name:?}"
        );
    }
    let stats = session.stats();
    assert_eq!((stats.invitations_begun, stats.invitations_barred), (3, 3));
}

#[test]
fn whom_we_invite_may_come() {
    for admission in [
        Admission::Nobody,
        Admission::Ask,
        Admission::Listed(AllowList::new()),
    ] {
        // It answers our invitation.
        let mut session = session(admission.clone());
        let peer = ScriptedPeer::new(1);
        let target = Target::new(peer.control).unwrap();
        session
            .invite(Time::ZERO, &[target], Persistence::Forever)
            .unwrap();
        let sent = transmits(&mut session);
        let mut answering = peer.clone();
        answering.token = Token(u32::from_be_bytes(sent[0].1[8..12].try_into().unwrap()));
        let accepted = answering.exchange(ExchangeKind::Accepted);
        let pair = PairId(0);
        session.handle_datagram(
            Time::ZERO,
            LocalPort::control(pair),
            peer.control,
            &accepted,
        );
        session.handle_datagram(Time::ZERO, LocalPort::data(pair), peer.data, &accepted);
        assert_eq!(session.participants().count(), 1, "{admission:?}");

        // It has invited us before it read ours.
        let mut session = self::session(admission.clone());
        let again = session
            .invite(Time::ZERO, &[target], Persistence::Forever)
            .unwrap();
        peer.join(&mut session, Time::ZERO);
        let (id, joined) = session.participants().next().unwrap();
        assert_eq!(joined.invitee, Some(again), "{admission:?}");
        assert_eq!(
            session.invitee(again),
            Some(InviteeState::Joined { participant: id })
        );
        // And others still may not.
        invite(&mut session, &ScriptedPeer::new(2), Time::ZERO);
        let others = answers(&mut session);
        assert!(others.iter().all(|(kind, _)| kind != "OK"), "{others:?}");
    }
}

#[test]
fn the_application_is_asked_once_and_may_take_its_time() {
    let mut session = session(Admission::Ask);
    let peer = ScriptedPeer::new(1);
    invite(&mut session, &peer, Time::ZERO);
    assert_eq!(answers(&mut session), [], "not answered");
    let request = match events(&mut session).as_slice() {
        [Event::Invited { request, inviter }] => {
            assert_eq!(inviter.name, "peer 1");
            assert_eq!((inviter.ssrc, inviter.from), (peer.ssrc, peer.control));
            *request
        }
        other => panic!("{other:?}"),
    };
    // macOS asks twelve times, a second apart.
    for second in 1..12 {
        invite(&mut session, &peer, Time::from_secs(second));
        assert_eq!(answers(&mut session), []);
    }
    invite_data(&mut session, &peer, Time::from_secs(11));
    assert_eq!(answers(&mut session), [], "nor does the data port");
    assert_eq!(events(&mut session), [], "asked once");
    let now = Time::from_millis(11_500);
    session.decide(now, request, Verdict::Accept).unwrap();
    assert_eq!(answers(&mut session), [ok(peer.control)], "at once");
    invite(&mut session, &peer, Time::from_secs(12));
    assert_eq!(answers(&mut session), [ok(peer.control)]);
    invite_data(&mut session, &peer, Time::from_secs(12));
    assert_eq!(answers(&mut session), [ok(peer.data)]);
    assert!(matches!(
        events(&mut session).as_slice(),
        [Event::Joined { .. }]
    ));
    assert_eq!(
        session.decide(now, request, Verdict::Refuse),
        Err(DecideError::UnknownRequest { request })
    );
}

#[test]
fn a_refusal_holds_for_repetitions_and_not_for_ever() {
    let mut session = session(Admission::Ask);
    let peer = ScriptedPeer::new(1);
    invite(&mut session, &peer, Time::ZERO);
    let request = asked(&mut session);
    session
        .decide(Time::from_secs(3), request, Verdict::Refuse)
        .unwrap();
    assert_eq!(answers(&mut session), [no(peer.control)]);
    // One that was on its way.
    invite(&mut session, &peer, Time::from_secs(3));
    assert_eq!(answers(&mut session), [no(peer.control)]);
    assert_eq!(events(&mut session), []);
    invite_data(&mut session, &peer, Time::from_secs(3));
    assert_eq!(answers(&mut session), [no(peer.data)]);
    assert_eq!(session.stats().invitations_barred, 2);
    let unknown = DecideError::UnknownRequest { request };
    assert_eq!(
        session.decide(Time::from_secs(4), request, Verdict::Accept),
        Err(unknown)
    );
    // Another try is another question.
    let again = ScriptedPeer {
        token: Token(9),
        ..peer
    };
    invite(&mut session, &again, Time::from_secs(4));
    assert_ne!(asked(&mut session), request);
}

#[test]
fn a_request_ends_with_time_with_bye_and_with_the_policy() {
    let peer = ScriptedPeer::new(1);
    let mut session = session(Admission::Ask);
    invite(&mut session, &peer, Time::ZERO);
    let request = asked(&mut session);
    invite(&mut session, &peer, Time::from_secs(11));
    assert_eq!(session.poll_timeout(), Some(Time::from_secs(26)));
    session.handle_timeout(Time::from_secs(26));
    assert_eq!(events(&mut session), [Event::Withdrawn { request }]);
    assert_eq!(session.stats().invitations_expired, 1);

    let now = Time::from_secs(30);
    invite(&mut session, &peer, now);
    let request = asked(&mut session);
    say(&mut session, &peer, ExchangeKind::End, now);
    assert_eq!(events(&mut session), [Event::Withdrawn { request }]);
    assert_eq!(session.stats().invitations_withdrawn, 1);

    for (policy, answer) in [
        (Admission::Everybody, ok as fn(SocketAddr) -> _),
        (Admission::Nobody, no),
        (Admission::Listed(AllowList::new().name("peer 1")), ok),
    ] {
        session.set_admission(now, Admission::Ask);
        let other = ScriptedPeer {
            token: Token(session.stats().invitations_begun as u32),
            ..peer.clone()
        };
        invite(&mut session, &other, now);
        let request = asked(&mut session);
        session.set_admission(now, policy);
        assert_eq!(events(&mut session), [Event::Withdrawn { request }]);
        assert_eq!(answers(&mut session), [answer(peer.control)]);
        say(&mut session, &other, ExchangeKind::End, now);
    }
    assert_eq!(session.poll_timeout(), None);
}

#[test]
fn the_policy_may_change_and_who_is_in_stays() {
    let mut session = session(Admission::Everybody);
    let mut peer = ScriptedPeer::new(1);
    peer.join(&mut session, Time::ZERO);
    let half = ScriptedPeer::new(2);
    invite(&mut session, &half, Time::ZERO);
    transmits(&mut session);
    session.set_admission(Time::ZERO, Admission::Nobody);
    invite_data(&mut session, &half, Time::ZERO);
    assert_eq!(answers(&mut session), [no(half.data)]);
    // Its OK was lost: that is no new session.
    invite(&mut session, &peer, Time::ZERO);
    invite_data(&mut session, &peer, Time::ZERO);
    assert_eq!(answers(&mut session), [ok(peer.control), ok(peer.data)]);
    let note = Message::parse(&[0x90, 60, 100]).unwrap();
    peer.play(&mut session, Time::ZERO, &[note]);
    assert!(matches!(
        events(&mut session).as_slice(),
        [Event::Message { .. }]
    ));
}

#[test]
fn requests_are_bounded_and_leave_room() {
    let mut session = session_with(|config| {
        config.admission = Admission::Ask;
        config.max_invitations = 10;
    });
    for n in 1..50 {
        invite(&mut session, &ScriptedPeer::new(n), Time::ZERO);
    }
    assert_eq!(events(&mut session).len(), 5);
    assert_eq!(session.stats().invitations_ignored, 44);
    // Those whom somebody lets in need room as well.
    session.set_admission(Time::ZERO, Admission::Everybody);
    events(&mut session);
    transmits(&mut session);
    ScriptedPeer::new(60).join(&mut session, Time::ZERO);
}

#[test]
fn nobody_is_asked_about_while_nobody_listens() {
    let mut session = session_with(|config| {
        config.admission = Admission::Ask;
        config.max_queued_events = 2;
    });
    for n in 1..50 {
        invite(&mut session, &ScriptedPeer::new(n), Time::ZERO);
    }
    assert_eq!(events(&mut session).len(), 2);
    invite(&mut session, &ScriptedPeer::new(49), Time::ZERO);
    assert_eq!(events(&mut session).len(), 1, "it asks again");
}

fn dump(octets: usize) -> Vec<u8> {
    vec![0x11; octets]
}

fn heard(session: &mut Session) -> Vec<usize> {
    let told = events(session).into_iter();
    told.filter_map(|event| match event {
        Event::Message {
            message: MessageBuf::SysEx(sysex),
            ..
        } => Some(sysex.as_sysex().data().len()),
        _ => None,
    })
    .collect()
}

#[test]
fn system_exclusive_messages_are_a_matter_of_policy() {
    let mut session = session_with(|config| config.sysex = SysExPolicy::Drop);
    let mut peer = ScriptedPeer::new(1);
    let id = peer.join(&mut session, Time::ZERO);
    let mut other = ScriptedPeer::new(2);
    let second = other.join(&mut session, Time::ZERO);
    let policies = [
        (None, vec![]),
        (Some(SysExPolicy::UpTo(100)), vec![1, 100]),
        (Some(SysExPolicy::Deliver), vec![1, 100, 101]),
        (Some(SysExPolicy::Drop), vec![]),
    ];
    for (policy, expected) in policies {
        if let Some(policy) = policy {
            session.set_sysex(Time::ZERO, id, policy).unwrap();
        }
        for octets in [1, 100, 101] {
            let data = dump(octets);
            let sysex = Message::from(SysEx::new(&data).unwrap());
            peer.play(&mut session, Time::ZERO, &[sysex]);
        }
        assert_eq!(heard(&mut session), expected, "{policy:?}");
    }
    // Each has its own.
    let data = dump(1);
    other.play(
        &mut session,
        Time::ZERO,
        &[SysEx::new(&data).unwrap().into()],
    );
    assert!(heard(&mut session).is_empty());
    let dropped = |id| session.participant_stats(id).unwrap().sysex_dropped;
    assert_eq!((dropped(id), dropped(second)), (3 + 1 + 3, 1));
}

#[test]
fn nor_are_they_repaired() {
    for (policy, expected) in [(SysExPolicy::Deliver, vec![3]), (SysExPolicy::Drop, vec![])] {
        let mut session = session_with(|config| config.sysex = policy);
        let mut peer = ScriptedPeer::new(1);
        let id = peer.join(&mut session, Time::ZERO);
        let note = Message::parse(&[0x90, 60, 100]).unwrap();
        peer.play(&mut session, Time::ZERO, &[note]);
        // The packet in between held F0 11 12 13 F7: the journal has it in chapter X.
        let seq = SeqNum(peer.seq.0.wrapping_add(1));
        let header = RtpHeader::midi(seq, RtpTimestamp(0), peer.ssrc);
        let mut packet = vec![0; RtpHeader::LEN];
        header.encode(&mut packet).unwrap();
        // An empty list with a journal; its system journal, six octets; chapter X, one
        // whole message.
        packet.extend(from_hex("40"));
        let checkpoint = SeqNum(peer.seq.0).0.to_be_bytes();
        packet.push(0x40);
        packet.extend(checkpoint);
        packet.extend(from_hex("0406 0f 111293"));
        let data = LocalPort::data(PairId(0));
        session.handle_datagram(Time::ZERO, data, peer.data, &packet);
        let stats = session.participant_stats(id).unwrap();
        assert_eq!(stats.journals_damaged, 0);
        assert_eq!(heard(&mut session), expected, "{policy:?} {stats:?}");
        assert_eq!(stats.sysex_dropped, u64::from(policy == SysExPolicy::Drop));
    }
}
