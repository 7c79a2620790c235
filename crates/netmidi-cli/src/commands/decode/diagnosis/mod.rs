//! What went wrong in a capture, in plain words.
//!
//! Packets are sorted into sessions by their two addresses ([`Diagnosis`]); a [`session`] follows
//! invitations and clock, a [`stream`] what one side played and what was lost of it. At the end
//! [`findings`] are told. The protocol itself is in the crates below.

mod clock;
mod findings;
mod invitation;
mod journal_watch;
mod moment;
mod report;
mod rules;
mod sequence;
mod session;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use netmidi_wire::{Control, Exchange, ExchangeKind, Ssrc, Token};
use serde_json::json;

use self::findings::Whole;
use self::moment::Moment;
pub(crate) use self::report::SessionReport;
use self::session::{Port, Seen, Session, port_of};
pub(crate) use self::stream::Heard;
use super::Listener;
use super::packet::{Captured, Reading};
use crate::failure::Failure;

/// Sessions that are followed at the same time. When there are more, those that never came up make
/// room.
const MAX_SESSIONS: usize = 1024;
/// Streams of all sessions together.
const MAX_STREAMS: usize = 512;
/// Invitations whose data port may be anywhere.
const MAX_TOKENS: usize = 4 * MAX_SESSIONS;
/// So many packets that find no room pass before room is looked for again.
const PATIENCE: u64 = MAX_SESSIONS as u64;

/// A pair of addresses, the smaller one first.
type Way = (SocketAddr, SocketAddr);

/// To which session a way leads.
#[derive(Clone, Copy, Debug)]
struct Place {
    session: u64,
    port: Port,
    /// Which side has the smaller address.
    smaller: usize,
}

/// Follows the sessions of a capture.
#[derive(Debug)]
pub(crate) struct Diagnosis {
    sessions: BTreeMap<u64, Session>,
    ways: HashMap<Way, Place>,
    /// Which session an invitation belongs to, if its data port is not the one above.
    tokens: HashMap<(Ssrc, Token), u64>,
    next: u64,
    begin: Option<Duration>,
    latest: Option<Duration>,
    streams_left: usize,
    /// Sessions for which there was no room, and those that made room.
    crowded: u64,
    until_sweep: u64,
}

impl Default for Diagnosis {
    fn default() -> Self {
        Self {
            sessions: BTreeMap::new(),
            ways: HashMap::new(),
            tokens: HashMap::new(),
            next: 1,
            begin: None,
            latest: None,
            streams_left: MAX_STREAMS,
            crowded: 0,
            until_sweep: 0,
        }
    }
}

impl Listener for Diagnosis {
    fn packet(&mut self, captured: &Captured<'_>, reading: &Reading<'_>) -> Result<(), Failure> {
        self.see(captured, reading, &mut |_| {});
        Ok(())
    }
}

impl Diagnosis {
    /// A packet of the capture. What a receiver plays of it goes to `sink`.
    pub(crate) fn see(
        &mut self,
        captured: &Captured<'_>,
        reading: &Reading<'_>,
        sink: &mut dyn FnMut(Heard<'_>),
    ) {
        let begin = *self.begin.get_or_insert(captured.time.unwrap_or_default());
        let at = captured.time.map(|it| it.saturating_sub(begin));
        self.latest = self.latest.max(at);
        // Lines of text know no addresses, and so no sessions.
        let (Some(from), Some(to)) = (captured.from, captured.to) else {
            return;
        };
        let moment = Moment {
            frame: captured.number,
            at,
        };
        let Some(place) = self.place(from, to, reading, moment) else {
            return;
        };
        let side = match from <= to {
            true => place.smaller,
            false => 1 - place.smaller,
        };
        let seen = Seen {
            moment,
            side,
            port: place.port,
            reading,
            octets: captured.payload.len() + captured.missing,
            complete: captured.missing == 0,
        };
        if let Some(session) = self.sessions.get_mut(&place.session) {
            session.see(&seen, &mut self.streams_left, sink);
        }
    }

    /// What is to be said of each session.
    pub(crate) fn reports(&self) -> Vec<SessionReport> {
        let sessions = self.sessions.values();
        let whole = Whole {
            everybody: sessions.clone().flat_map(Session::everybody).collect(),
            latest: self.latest,
        };
        sessions.map(|it| it.report(&whole)).collect()
    }

    /// For people, after the packets.
    pub(crate) fn write_plain(&self, out: &mut dyn Write) -> io::Result<()> {
        for report in self.reports() {
            write!(out, "\n{report}")?;
        }
        if self.crowded > 0 {
            let crowded = self.crowded;
            writeln!(
                out,
                "\n{crowded} further sessions are not told of: there are more than {MAX_SESSIONS}, and \
                 most of these never came up"
            )?;
        }
        Ok(())
    }

    /// For programs, after the packets: one object a line and session, `{"event":"session", ...}`.
    pub(crate) fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        for report in self.reports() {
            let mut object = json!({"event": "session"});
            if let (Some(object), serde_json::Value::Object(fields)) =
                (object.as_object_mut(), serde_json::to_value(&report)?)
            {
                object.extend(fields);
            }
            serde_json::to_writer(&mut *out, &object)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Where a packet belongs; a new session if it begins one.
    fn place(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        reading: &Reading<'_>,
        moment: Moment,
    ) -> Option<Place> {
        let known = self.ways.get(&way(from, to)).copied();
        let invitation = match reading {
            Reading::AppleMidi(Ok(Control::Exchange(exchange)))
                if exchange.kind == ExchangeKind::Invitation =>
            {
                exchange
            }
            _ if known.is_some() => return known,
            _ => return self.begin_in_the_middle(from, to, reading, moment),
        };
        self.place_invitation(from, to, invitation, known, moment)
    }

    fn place_invitation(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        invitation: &Exchange<'_>,
        known: Option<Place>,
        moment: Moment,
    ) -> Option<Place> {
        if let Some(place) = known {
            let side = match from <= to {
                true => place.smaller,
                false => 1 - place.smaller,
            };
            let session = self.sessions.get_mut(&place.session)?;
            let goes_on = match place.port {
                // At the data port of something that ended.
                Port::Data => session.knows(side, invitation.token) || !session.whole,
                Port::Control => !session.is_over_for(side, invitation, moment),
            };
            if goes_on {
                if self.tokens.len() < MAX_TOKENS {
                    let token = (invitation.ssrc, invitation.token);
                    self.tokens.insert(token, place.session);
                }
                return Some(place);
            }
            if place.port == Port::Control {
                session.replaced = Some(moment);
                return self.begin_whole(from, to, invitation, moment);
            }
        }
        // The data port, from or to somewhere else than beside the control port.
        let token = self
            .tokens
            .get(&(invitation.ssrc, invitation.token))
            .copied();
        let token = token.and_then(|number| Some((number, self.sessions.get_mut(&number)?)));
        if let Some((number, session)) = token
            && session.knows(0, invitation.token)
            && session.sides.iter().all(|it| it.control.is_some())
            && session.side(1).control.map(|it| it.ip()) == Some(to.ip())
        {
            let [initiator, participant] = &mut session.sides;
            initiator.data = Some(from);
            participant.data = Some(to);
            return Some(self.register(number, from, to, Port::Data));
        }
        self.begin_whole(from, to, invitation, moment)
    }

    /// An invitation on a control port begins a session.
    fn begin_whole(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        invitation: &Exchange<'_>,
        moment: Moment,
    ) -> Option<Place> {
        let number = self.open(moment)?;
        let place = self.register(number, from, to, Port::Control);
        if self.tokens.len() < MAX_TOKENS {
            let token = (invitation.ssrc, invitation.token);
            self.tokens.insert(token, number);
        }
        let (data_from, data_to) = (next_port(from), next_port(to));
        if let (Some(from), Some(to)) = (data_from, data_to) {
            self.register(number, from, to, Port::Data);
        }
        let session = self.sessions.get_mut(&number)?;
        session.whole = true;
        let [initiator, participant] = &mut session.sides;
        (initiator.control, participant.control) = (Some(from), Some(to));
        (initiator.data, participant.data) = (data_from, data_to);
        Some(place)
    }

    /// A session whose invitation the capture does not hold.
    fn begin_in_the_middle(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        reading: &Reading<'_>,
        moment: Moment,
    ) -> Option<Place> {
        let port = port_of(reading)?;
        let number = self.open(moment)?;
        let place = self.register(number, from, to, port);
        let other = match port {
            Port::Control => next_port(from).zip(next_port(to)),
            Port::Data => port_before(from).zip(port_before(to)),
        };
        let [control, data] = match port {
            Port::Control => [Some((from, to)), other],
            Port::Data => [other, Some((from, to))],
        };
        if let Some((from, to)) = other {
            let port = match port {
                Port::Control => Port::Data,
                Port::Data => Port::Control,
            };
            self.register(number, from, to, port);
        }
        let session = self.sessions.get_mut(&number)?;
        let [first, second] = &mut session.sides;
        first.control = control.map(|it| it.0);
        second.control = control.map(|it| it.1);
        first.data = data.map(|it| it.0);
        second.data = data.map(|it| it.1);
        Some(place)
    }

    /// From `from`, the first side, to `to`.
    fn register(&mut self, session: u64, from: SocketAddr, to: SocketAddr, port: Port) -> Place {
        let place = Place {
            session,
            port,
            smaller: usize::from(from > to),
        };
        self.ways.insert(way(from, to), place);
        place
    }

    /// A new session, if there is room.
    fn open(&mut self, moment: Moment) -> Option<u64> {
        if self.sessions.len() >= MAX_SESSIONS && !self.sweep() {
            self.crowded += 1;
            return None;
        }
        let number = self.next;
        self.next += 1;
        self.sessions.insert(number, Session::new(number, moment));
        Some(number)
    }

    /// Makes room: forgets the sessions that never came to anything.
    fn sweep(&mut self) -> bool {
        if let Some(left) = self.until_sweep.checked_sub(1) {
            self.until_sweep = left;
            return false;
        }
        let before = self.sessions.len();
        let (mut kept, mut freed) = (BTreeMap::new(), 0);
        for (number, session) in std::mem::take(&mut self.sessions) {
            if session.is_worth_keeping() {
                kept.insert(number, session);
            } else {
                freed += session.streams.len();
                self.crowded += 1;
            }
        }
        self.sessions = kept;
        self.streams_left += freed;
        let sessions = &self.sessions;
        self.ways
            .retain(|_, place| sessions.contains_key(&place.session));
        self.tokens
            .retain(|_, number| sessions.contains_key(number));
        if self.sessions.len() * 2 > before {
            self.until_sweep = PATIENCE;
        }
        self.sessions.len() < MAX_SESSIONS
    }
}

fn way(from: SocketAddr, to: SocketAddr) -> Way {
    if from <= to { (from, to) } else { (to, from) }
}

fn next_port(mut address: SocketAddr) -> Option<SocketAddr> {
    address.set_port(address.port().checked_add(1)?);
    Some(address)
}

fn port_before(mut address: SocketAddr) -> Option<SocketAddr> {
    address.set_port(address.port().checked_sub(1)?);
    Some(address)
}
