//! One session of a capture: everything that passed between two pairs of ports.

use std::net::SocketAddr;

use netmidi_wire::{ClockCount, Control, Exchange, ExchangeKind, Feedback, SeqNum, Ssrc, Token};

use super::super::packet::{Reading, Rtp};
use super::clock::ClockWatch;
use super::invitation::Attempts;
use super::moment::Moment;
use super::rules::{Rule, Violations};
use super::stream::{Around, Heard, Stream};

/// Streams of one session at most: each side needs one.
const MAX_STREAMS: usize = 8;
/// The longest name that is kept, in characters.
const MAX_NAME: usize = 80;
/// Invitations of both sides this close to each other have crossed, and mean one session.
const CROSSING_SECONDS: u64 = 5;

/// Which port of a pair.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Port {
    Control,
    Data,
}

/// One of the two.
#[derive(Clone, Debug, Default)]
pub(super) struct Side {
    pub(super) name: Option<String>,
    pub(super) ssrc: Option<Ssrc>,
    /// A second one, from the data port (pymidi has one for each).
    second_ssrc: Option<Ssrc>,
    pub(super) control: Option<SocketAddr>,
    pub(super) data: Option<SocketAddr>,
    pub(super) last: Option<Moment>,
    /// Its last packet that is no question: BY and CK0 show that somebody is there, too.
    pub(super) bye: Option<Moment>,
    /// It has sent a journal itself, so it takes any.
    knows_journals: bool,
    /// It reported a packet that was not seen, and when.
    pub(super) reported: Option<(SeqNum, Moment)>,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) number: u64,
    pub(super) sides: [Side; 2],
    /// The capture holds its invitation: the first side is the one that invited.
    pub(super) whole: bool,
    pub(super) attempts: Attempts,
    pub(super) clock: ClockWatch,
    pub(super) streams: Vec<Stream>,
    pub(super) violations: Violations,
    pub(super) first: Moment,
    pub(super) last: Moment,
    /// Since when both ports are joined.
    pub(super) up: Option<Moment>,
    /// Another session took its place.
    pub(super) replaced: Option<Moment>,
    /// Packets of streams that found no room.
    pub(super) unfollowed: u64,
}

/// A packet, and where it belongs.
pub(super) struct Seen<'a> {
    pub(super) moment: Moment,
    pub(super) side: usize,
    pub(super) port: Port,
    pub(super) reading: &'a Reading<'a>,
    pub(super) octets: usize,
    /// The capture has all of it.
    pub(super) complete: bool,
}

impl Session {
    pub(super) fn new(number: u64, first: Moment) -> Self {
        Self {
            number,
            sides: [Side::default(), Side::default()],
            whole: false,
            attempts: Attempts::default(),
            clock: ClockWatch::default(),
            streams: Vec::new(),
            violations: Violations::default(),
            first,
            last: first,
            up: None,
            replaced: None,
            unfollowed: 0,
        }
    }

    /// Whether more than invitations was seen.
    pub(super) const fn is_worth_keeping(&self) -> bool {
        self.up.is_some() && (self.clock.last.is_some() || !self.streams.is_empty())
    }

    pub(super) fn side(&self, side: usize) -> &Side {
        let [first, second] = &self.sides;
        if side == 0 { first } else { second }
    }

    fn side_mut(&mut self, side: usize) -> &mut Side {
        let [first, second] = &mut self.sides;
        if side == 0 { first } else { second }
    }

    /// Whether an invitation by this side, at the control port, begins another session.
    pub(super) fn is_over_for(&self, side: usize, exchange: &Exchange<'_>, moment: Moment) -> bool {
        if self.attempts.knows(side, exchange.token) {
            return false;
        }
        if self.sides.iter().any(|it| it.bye.is_some()) {
            return true;
        }
        let crossing = self.attempts.list.iter().any(|it| {
            it.by != side
                && it.control.first.is_none_or(|first| {
                    let passed = moment.since(&first);
                    passed.is_none_or(|it| it.as_secs() < CROSSING_SECONDS)
                })
        });
        let other = self.side(side).ssrc.is_some_and(|it| it != exchange.ssrc);
        (self.up.is_some() || other) && !crossing
    }

    /// Whether this side has an invitation with this token in it.
    pub(super) fn knows(&self, side: usize, token: Token) -> bool {
        self.attempts.knows(side, token)
    }

    pub(super) fn see(
        &mut self,
        seen: &Seen<'_>,
        streams_left: &mut usize,
        sink: &mut dyn FnMut(Heard<'_>),
    ) {
        self.last = seen.moment;
        self.side_mut(seen.side).last = Some(seen.moment);
        match seen.reading {
            Reading::AppleMidi(Ok(control)) => self.control(seen, control),
            Reading::Rtp(Ok(rtp)) => self.rtp(seen, rtp, streams_left, sink),
            Reading::AppleMidi(Err(error)) | Reading::Rtp(Err(error)) => {
                if seen.complete {
                    let rule = Rule::Malformed(*error);
                    self.violations.note(seen.side, rule, seen.moment, || {
                        format!("a packet of {} octets cannot be read: {error}", seen.octets)
                    });
                }
            }
        }
    }

    fn control(&mut self, seen: &Seen<'_>, control: &Control<'_>) {
        let (side, moment) = (seen.side, seen.moment);
        match control {
            Control::Exchange(exchange) => self.exchange(seen, exchange),
            Control::Clock(packet) => {
                if seen.port == Port::Control {
                    self.violations
                        .note(side, Rule::ClockOnControl, moment, || {
                            "it sends clock packets (CK) to the control port".to_owned()
                        });
                }
                self.recognise(side, packet.ssrc, "CK", moment);
                self.up.get_or_insert(moment);
                self.clock.note(side, packet, moment, &mut self.violations);
            }
            Control::Feedback(feedback) => {
                if seen.port == Port::Data {
                    self.violations
                        .note(side, Rule::FeedbackOnData, moment, || {
                            "it sends receiver feedback (RS) to the data port".to_owned()
                        });
                }
                self.recognise(side, feedback.ssrc, "RS", moment);
                self.feedback(side, feedback, moment);
            }
            Control::BitrateLimit(limit) => self.recognise(side, limit.ssrc, "RL", moment),
        }
    }

    fn exchange(&mut self, seen: &Seen<'_>, exchange: &Exchange<'_>) {
        let (side, moment) = (seen.side, seen.moment);
        let is_data = seen.port == Port::Data;
        if let Some(name) = exchange.name {
            let name: String = name.to_string().chars().take(MAX_NAME).collect();
            if !name.is_empty() {
                self.side_mut(side).name = Some(name);
            }
        }
        match exchange.kind {
            ExchangeKind::Invitation => {
                self.attempts.asked(side, exchange.token, is_data, moment);
                self.announce(side, exchange.ssrc, is_data, moment);
            }
            ExchangeKind::Accepted | ExchangeKind::Rejected => {
                let known = self.attempts.answered(
                    1 - side,
                    exchange.token,
                    is_data,
                    exchange.kind,
                    moment,
                );
                if !known && self.whole {
                    self.violations.note(side, Rule::StrangeToken, moment, || {
                        format!(
                            "it answers an invitation with the token {} that nobody sent",
                            exchange.token
                        )
                    });
                }
                if exchange.kind == ExchangeKind::Accepted {
                    self.announce(side, exchange.ssrc, is_data, moment);
                    if is_data {
                        self.up.get_or_insert(moment);
                    }
                }
            }
            ExchangeKind::End => {
                self.recognise(side, exchange.ssrc, "BY", moment);
                self.side_mut(side).bye.get_or_insert(moment);
            }
        }
    }

    /// Somebody tells its SSRC.
    fn announce(&mut self, side: usize, ssrc: Ssrc, is_data: bool, moment: Moment) {
        let it = self.side_mut(side);
        match it.ssrc {
            Some(known) if known != ssrc && is_data => {
                it.second_ssrc = Some(ssrc);
                self.violations.note(side, Rule::TwoSsrcs, moment, || {
                    format!(
                        "it calls itself {ssrc} on the data port and {known} on the control port"
                    )
                });
            }
            _ => it.ssrc = Some(ssrc),
        }
    }

    /// Somebody sends under an SSRC.
    fn recognise(&mut self, side: usize, ssrc: Ssrc, what: &str, moment: Moment) {
        let it = self.side_mut(side);
        match it.ssrc {
            None => it.ssrc = Some(ssrc),
            Some(known) if known != ssrc && it.second_ssrc != Some(ssrc) => {
                self.violations.note(side, Rule::StrangeSsrc, moment, || {
                    format!("it sends {what} as {ssrc}, but has joined as {known}")
                });
            }
            Some(_) => {}
        }
    }

    fn feedback(&mut self, side: usize, feedback: &Feedback, moment: Moment) {
        let mut reported = feedback.seq;
        let mut newest = None;
        for stream in self.streams.iter().filter(|it| it.side != side) {
            let Some(highest) = stream.highest() else {
                continue;
            };
            let low = SeqNum(feedback.low);
            if reported.0 == 0
                && low.0 != 0
                && reported.distance_from(highest).unsigned_abs() > 512
                && (-512..=0).contains(&low.distance_from(highest))
            {
                reported = low;
                self.violations
                    .note(side, Rule::FeedbackLowHalf, moment, || {
                        format!(
                            "its feedback (RS) has the number {low} in the lower half of the field"
                        )
                    });
            }
            let ahead = reported.distance_from(highest);
            newest = Some(newest.map_or(ahead, |it: i16| it.min(ahead)));
        }
        match newest {
            Some(..=0) => {
                let it = self.streams.iter_mut().filter(|it| it.side != side);
                for stream in it {
                    stream.watch.acknowledge(reported);
                }
            }
            None if !self.whole => {}
            // The next packet will show whether the capture only missed it.
            Some(1..=100) | None => self.side_mut(side).reported = Some((reported, moment)),
            Some(_) => unsent(&mut self.violations, side, reported, moment),
        }
    }

    fn rtp(
        &mut self,
        seen: &Seen<'_>,
        rtp: &Rtp<'_>,
        streams_left: &mut usize,
        sink: &mut dyn FnMut(Heard<'_>),
    ) {
        let (side, moment) = (seen.side, seen.moment);
        let header = rtp.packet.header();
        let seq = header.seq;
        let mut rules = Vec::new();
        if seen.port == Port::Control {
            rules.push((
                Rule::RtpOnControl,
                format!("it sends MIDI (packet {seq}) to the control port"),
            ));
        }
        let asked = self.attempts.list.iter().any(|it| it.data.asked > 0);
        let answered = self.attempts.list.iter().any(|it| it.by == side);
        // Packets without commands, which guard others, harm nobody.
        let plays = rtp.section.as_ref().is_ok_and(|it| !it.list().is_empty());
        let early = self.whole && self.up.is_none() && (answered || !asked);
        if !early {
            self.up.get_or_insert(moment);
        } else if plays {
            rules.push((
                Rule::EarlyMidi,
                format!("it sends MIDI (packet {seq}) before the session is up"),
            ));
        }
        if self.side(side).bye.is_some() && plays {
            rules.push((
                Rule::LateMidi,
                format!("it sends MIDI (packet {seq}) after it has ended the session (BY)"),
            ));
        }
        if header.payload_type.get() != 97 {
            rules.push((
                Rule::PayloadType,
                format!(
                    "packet {seq} has the payload type {}, MIDI has 97",
                    header.payload_type.get()
                ),
            ));
        }
        for (rule, what) in rules {
            self.violations.note(side, rule, moment, || what);
        }
        self.recognise(side, header.ssrc, "MIDI", moment);
        if let Some((reported, when)) = self.side(1 - side).reported {
            if seq.distance_from(reported) <= 0 {
                unsent(&mut self.violations, 1 - side, reported, when);
            }
            self.side_mut(1 - side).reported = None;
        }

        let found = self
            .streams
            .iter()
            .position(|it| it.side == side && it.ssrc == header.ssrc);
        let index = match found {
            Some(index) => index,
            None if self.streams.len() < MAX_STREAMS && *streams_left > 0 => {
                *streams_left -= 1;
                self.streams.push(Stream::new(header.ssrc, side));
                self.streams.len() - 1
            }
            None => {
                self.unfollowed += 1;
                return;
            }
        };
        let others = self.streams.iter().filter(|it| it.side != side);
        let peer_highest = others.filter_map(Stream::highest).next();
        if rtp.journal.is_some() {
            self.side_mut(side).knows_journals = true;
        }
        let trusted = self.side(1 - side).knows_journals;
        let Some(stream) = self.streams.get_mut(index) else {
            return;
        };
        let section = match (&rtp.section, seen.complete) {
            (Ok(section), true) => section,
            (Ok(_), false) => return stream.unreadable(seq, header.timestamp, seen.octets),
            (Err(error), complete) => {
                stream.unreadable(seq, header.timestamp, seen.octets);
                if complete {
                    let rule = Rule::Malformed(*error);
                    self.violations.note(side, rule, moment, || {
                        format!("packet {seq} cannot be read: {error}")
                    });
                }
                return;
            }
        };
        if let Some(anomaly) = section.anomaly() {
            self.violations
                .note(side, Rule::TrailingOctets, moment, || {
                    format!("packet {seq}: {anomaly}")
                });
        }
        let mut around = Around {
            moment,
            session: self.number,
            side,
            peer_highest,
            trusted,
            whole: self.whole,
            violations: &mut self.violations,
            sink,
        };
        stream.packet(rtp, section, seen.octets, &mut around);
    }
}

/// Feedback for a packet that was not there.
pub(super) fn unsent(violations: &mut Violations, side: usize, seq: SeqNum, moment: Moment) {
    violations.note(side, Rule::FeedbackUnsent, moment, || {
        format!("its feedback (RS) reports packet {seq}, which was never sent to it")
    });
}

/// Whether a packet of an unknown pair of ports comes from a data port, if it tells.
pub(super) fn port_of(reading: &Reading<'_>) -> Option<Port> {
    match reading {
        Reading::AppleMidi(Ok(control)) => match control {
            Control::Clock(packet) => match packet.count {
                ClockCount::Ck0 | ClockCount::Ck1 | ClockCount::Ck2 => Some(Port::Data),
            },
            Control::Feedback(_) | Control::BitrateLimit(_) | Control::Exchange(_) => {
                Some(Port::Control)
            }
        },
        Reading::Rtp(Ok(rtp)) => {
            let is_midi = rtp.packet.header().payload_type.get() == 97 && rtp.section.is_ok();
            is_midi.then_some(Port::Data)
        }
        Reading::AppleMidi(Err(_)) | Reading::Rtp(Err(_)) => None,
    }
}
