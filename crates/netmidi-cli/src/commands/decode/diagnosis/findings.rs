//! What is to be said of a session, once all of it was seen.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use netmidi_wire::Ssrc;

use super::invitation::Attempt;
use super::moment::Moment;
use super::report::{Direction, Finding, Kind, Party, SessionReport};
use super::rules::Broken;
use super::session::{Session, unsent};
use super::stream::{Cover, Down, Key, Loss, Stream};
use crate::text::tame;

/// Somebody who does not answer for so long does not answer.
const ANSWER_TIME: Duration = Duration::from_millis(1000);
/// Invitations without an answer, where a capture has no times.
const FEW_TRIES: u32 = 3;
/// Who is silent for so long while it is asked for its clock is gone.
const SILENCE: Duration = Duration::from_millis(1500);
/// Who is silent for so long is gone, asked or not (Apple ends such a session).
const LONG_SILENCE: Duration = Duration::from_secs(60);
/// Without any clock exchange for so long there is none.
const NO_CLOCK: Duration = Duration::from_secs(10);
/// Questions without an answer that mean something.
const FEW_QUESTIONS: u64 = 3;
/// Notes that are named one by one.
const MAX_NOTES: usize = 16;

/// Everybody in the capture: to see who has the same name or the same identity.
pub(super) struct Known {
    session: u64,
    name: Option<String>,
    ssrc: Option<Ssrc>,
    address: Option<SocketAddr>,
    up: bool,
    first: Moment,
    last: Moment,
}

/// What is known of the capture as a whole.
pub(super) struct Whole {
    pub(super) everybody: Vec<Known>,
    pub(super) latest: Option<Duration>,
}

/// How a session came to its end.
enum End {
    /// The capture ends first.
    Open,
    /// Who, and when.
    Bye(usize, Moment),
    /// Who fell silent, its last packet, and who waited.
    Silent(usize, Moment),
    BothSilent(Moment),
    Replaced(Moment),
    /// It never began.
    Never,
}

impl Session {
    pub(super) fn everybody(&self) -> impl Iterator<Item = Known> + '_ {
        self.sides.iter().map(|side| Known {
            session: self.number,
            name: side.name.clone(),
            ssrc: side.ssrc,
            address: side.control.or(side.data),
            up: self.is_worth_keeping(),
            first: self.first,
            last: self.last,
        })
    }

    pub(super) fn report(&self, whole: &Whole) -> SessionReport {
        let end = self.end(whole);
        let mut findings = Vec::new();
        self.tell_invitations(whole, &mut findings);
        self.tell_identities(whole, &mut findings);
        self.tell_end(&end, &mut findings);
        self.tell_clock(&end, &mut findings);
        for stream in &self.streams {
            self.tell_losses(stream, &mut findings);
            self.tell_order(stream, &mut findings);
            self.tell_down(stream, &end, &mut findings);
        }
        let mut violations = self.violations.clone();
        for side in [0, 1] {
            if let Some((seq, moment)) = self.side(side).reported {
                unsent(&mut violations, side, seq, moment);
            }
        }
        for broken in violations.iter() {
            findings.push(self.tell_broken(broken));
        }
        let warns = |it: &Finding| it.severity == super::report::Severity::Warning;
        SessionReport {
            number: self.number,
            parties: [0, 1].map(|side| self.party(side)).into(),
            first_frame: self.first.frame,
            last_frame: self.last.frame,
            begin: self.first.at.map(|it| it.as_secs_f64()),
            end: self.last.at.map(|it| it.as_secs_f64()),
            ended: match end {
                End::Open => "still going on at the end of the capture",
                End::Bye(..) => "ended with BY",
                End::Silent(..) | End::BothSilent(_) => "ended by silence",
                End::Replaced(_) => "begun anew",
                End::Never => "never came up",
            },
            directions: self.streams.iter().map(|it| self.direction(it)).collect(),
            round_trip: self.clock.round_trip.spread(),
            healthy: !findings.iter().any(warns),
            findings,
        }
    }

    fn end(&self, whole: &Whole) -> End {
        let byes = [0, 1].map(|side| self.side(side).bye.map(|it| (side, it)));
        let bye = byes.into_iter().flatten().min_by_key(|(_, it)| it.frame);
        let Some(up) = self.up else {
            return End::Never;
        };
        if let Some((side, last)) = self.silent(up, bye) {
            return End::Silent(side, last);
        }
        if let Some((side, moment)) = bye {
            return End::Bye(side, moment);
        }
        if let Some(moment) = self.replaced {
            return End::Replaced(moment);
        }
        let passed = whole.latest.zip(self.last.at);
        match passed.map(|(latest, last)| latest.saturating_sub(last)) {
            Some(passed) if passed >= LONG_SILENCE => End::BothSilent(self.last),
            _ => End::Open,
        }
    }

    /// Who is not there any more while the other still is, and since when.
    fn silent(&self, up: Moment, bye: Option<(usize, Moment)>) -> Option<(usize, Moment)> {
        [0, 1].into_iter().find_map(|side| {
            let (here, there) = (self.side(1 - side), self.side(side));
            if there.bye.is_some() {
                return None;
            }
            // The other may have ended it then.
            let until = bye.map(|(_, it)| it).or(here.last)?;
            let last = there.last.unwrap_or(up);
            let asker = self.clock.askers.get(1 - side)?;
            // Answers were heard before, so the way was open.
            let (questions, first) = asker.unanswered;
            let asked = asker.answered > 0
                && questions >= 2
                && first.is_some_and(|it| it.frame > last.frame);
            let passed = until.since(&last)?;
            (passed >= SILENCE && asked || passed >= LONG_SILENCE).then_some((side, last))
        })
    }

    // Names.

    fn party(&self, side: usize) -> Party {
        let it = self.side(side);
        let roles = ["initiator", "participant"];
        Party {
            name: it.name.clone(),
            ssrc: it.ssrc.map(|it| it.to_string()),
            control: it.control,
            data: it.data,
            role: roles.get(side).copied().filter(|_| self.whole),
            label: self.label(side),
        }
    }

    /// How sentences call one side.
    fn label(&self, side: usize) -> String {
        let (it, other) = (self.side(side), self.side(1 - side));
        let address = it.control.or(it.data).map(|it| it.to_string());
        let address = address.unwrap_or_else(|| "somebody".to_owned());
        match &it.name {
            Some(name) if it.name != other.name => format!("\"{}\"", tame(name)),
            Some(name) => format!("\"{}\" at {address}", tame(name)),
            None => address,
        }
    }

    fn direction(&self, stream: &Stream) -> Direction {
        let lost: usize = stream.losses.iter().map(Loss::missing).sum();
        Direction {
            from: self.label(stream.side),
            ssrc: stream.ssrc.to_string(),
            packets: stream.packets,
            messages: stream.messages,
            octets: stream.octets,
            lost: lost as u64 + stream.beyond.1,
            repaired: stream.repaired,
            reordered: stream.late.count,
            duplicated: stream.twice.count,
            jitter: stream.jitter.times.spread(),
        }
    }

    // Invitations.

    fn tell_invitations(&self, whole: &Whole, findings: &mut Vec<Finding>) {
        if self.up.is_some() {
            return;
        }
        let Some(attempt) = self.attempts.list.last() else {
            return;
        };
        // Who has several addresses is asked at all of them; one is enough.
        let ssrc = self.side(attempt.by).ssrc;
        let elsewhere = whole
            .everybody
            .iter()
            .any(|it| it.session != self.number && it.up && it.ssrc.is_some() && it.ssrc == ssrc);
        let refused = attempt.control.rejected.or(attempt.data.rejected);
        if let Some(moment) = refused {
            let ssrc = self.side(1 - attempt.by).ssrc;
            findings.push(self.refusal(attempt, moment, whole).ssrc(ssrc));
        } else if !elsewhere && let Some(finding) = self.silence(attempt, whole) {
            findings.push(finding);
        }
    }

    fn refusal(&self, attempt: &Attempt, moment: Moment, whole: &Whole) -> Finding {
        let (who, whom) = (self.label(1 - attempt.by), self.label(attempt.by));
        if let Some((kind, reason)) = self.conflict(attempt.by, whole) {
            let text = format!("{who} refused the invitation of {whom} in {moment} (NO): {reason}");
            return Finding::new(kind, Some(moment), text);
        }
        let text = if attempt.control.rejected.is_some() {
            format!(
                "{who} refused the invitation of {whom} in {moment} (NO): it is set to let nobody in \
                 or not this peer, or it is full; allow {whom} there, on a Mac in Audio MIDI Setup \
                 under \"Who may connect to me\""
            )
        } else {
            format!(
                "{who} let {whom} in on the control port and refused it on the data port in {moment} \
                 (NO): the second half of the invitation came too late, or its last place was taken \
                 meanwhile; invite again"
            )
        };
        Finding::new(Kind::Refused, Some(moment), text)
    }

    /// Whether somebody else has the name or identity of the one who invites.
    fn conflict(&self, by: usize, whole: &Whole) -> Option<(Kind, String)> {
        let it = self.side(by);
        let address = it.control.or(it.data);
        let peer = self.side(1 - by);
        if it.ssrc.is_some() && it.ssrc == peer.ssrc {
            let text = "both have the same SSRC; is it connected to itself?".to_owned();
            return Some((Kind::SsrcConflict, text));
        }
        let other = whole.everybody.iter().find(|other| {
            let elsewhere = other.address.map(|it| it.ip()) != address.map(|it| it.ip())
                || other.address.map(|it| it.port()) != address.map(|it| it.port());
            let same = other.ssrc.is_some() && other.ssrc == it.ssrc
                || other.name.is_some() && other.name == it.name && other.ssrc != it.ssrc;
            other.session != self.number && elsewhere && same
        })?;
        let there = other.address.map(|it| it.to_string()).unwrap_or_default();
        if other.ssrc == it.ssrc {
            let ssrc = it.ssrc.map(|it| it.to_string()).unwrap_or_default();
            let text = format!(
                "{there} has the same SSRC {ssrc}, so one is taken for the other; restart one of them"
            );
            return Some((Kind::SsrcConflict, text));
        }
        let name = it.name.as_deref().map(tame).unwrap_or_default();
        let text = format!(
            "{there} is called \"{name}\" as well, a name conflict; give each of them a name of its own"
        );
        Some((Kind::NameConflict, text))
    }

    /// An invitation that was not answered on one of the ports.
    fn silence(&self, attempt: &Attempt, whole: &Whole) -> Option<Finding> {
        let (who, whom) = (self.label(1 - attempt.by), self.label(attempt.by));
        let peer = self.side(1 - attempt.by);
        let waited = |first: Option<Moment>, tries: u32| match (first?.at, whole.latest) {
            (Some(first), Some(latest)) => {
                (latest.saturating_sub(first) >= ANSWER_TIME).then_some(())
            }
            _ => (tries >= FEW_TRIES).then_some(()),
        };
        let port = |address: Option<SocketAddr>| address.map_or(0, |it| it.port());
        if attempt.data.asked > 0 && !attempt.data.is_answered() {
            waited(attempt.data.first, attempt.data.asked)?;
            let first = attempt.data.first?;
            let times = times(attempt.data.asked.into());
            let (control, data) = (port(peer.control), port(peer.data));
            let text = format!(
                "{who} accepted the invitation of {whom} on its control port {control}, but did not \
                 answer on its data port {data}, where it was invited {times} from {first} on: a \
                 firewall blocks the data port; open UDP port {data} as well as {control}"
            );
            return Some(Finding::new(Kind::DataPortBlocked, Some(first), text));
        }
        if attempt.control.accepted.is_some() && attempt.data.asked == 0 {
            let accepted = attempt.control.accepted?;
            waited(Some(accepted), attempt.control.asked_on)?;
            let text = format!(
                "{who} accepted the invitation of {whom} in {accepted}, but {whom} did not go on to \
                 the data port: the answer does not reach it; let UDP from {} to {} through",
                peer.control.map(|it| it.to_string()).unwrap_or_default(),
                self.side(attempt.by)
                    .control
                    .map(|it| it.to_string())
                    .unwrap_or_default(),
            );
            return Some(Finding::new(Kind::AnswersNotHeard, Some(accepted), text));
        }
        if attempt.control.asked > 0 && !attempt.control.is_answered() {
            let invited = self.attempts.list.iter().filter(|it| it.by == attempt.by);
            let asked: u32 = invited.clone().map(|it| it.control.asked).sum();
            let asked = asked + self.attempts.forgotten.0;
            let first = invited
                .filter_map(|it| it.control.first)
                .min_by_key(|it| it.frame);
            let first = self.attempts.forgotten.1.or(first);
            waited(first, asked)?;
            let first = first?;
            if let Some((kind, reason)) = self.conflict(attempt.by, whole) {
                let text = format!(
                    "{who} does not answer the invitations of {whom}, {} from {first} on: {reason}",
                    times(asked.into())
                );
                return Some(Finding::new(kind, Some(first), text));
            }
            let control = peer.control.map(|it| it.to_string()).unwrap_or_default();
            let text = format!(
                "nobody answers at {control}, where {whom} invited {} from {first} on: no session \
                 runs there, its control port is another one, or a firewall blocks it",
                times(asked.into())
            );
            return Some(Finding::new(Kind::NoAnswer, Some(first), text));
        }
        None
    }

    /// Two who are there at the same time with one SSRC.
    fn tell_identities(&self, whole: &Whole, findings: &mut Vec<Finding>) {
        if !self.is_worth_keeping() {
            return;
        }
        for side in [0, 1] {
            let it = self.side(side);
            let (Some(ssrc), Some(address)) = (it.ssrc, it.control.or(it.data)) else {
                continue;
            };
            let other = whole.everybody.iter().find(|other| {
                other.session < self.number
                    && other.up
                    && other.ssrc == Some(ssrc)
                    && other.address.is_some_and(|it| it.ip() != address.ip())
                    && other.first.frame <= self.last.frame
                    && other.last.frame >= self.first.frame
            });
            if let Some(there) = other.and_then(|it| it.address) {
                let text = format!(
                    "{} and {there} have the same SSRC {ssrc} at the same time, so one is taken for \
                     the other; restart one of them",
                    self.label(side)
                );
                let finding = Finding::new(Kind::SsrcConflict, Some(self.first), text);
                findings.push(finding.ssrc(Some(ssrc)));
            }
        }
    }

    // The end.

    fn tell_end(&self, end: &End, findings: &mut Vec<Finding>) {
        match *end {
            End::Silent(side, last) => {
                let (who, other) = (self.label(side), self.label(1 - side));
                let asked = self
                    .clock
                    .askers
                    .get(1 - side)
                    .map_or(0, |it| it.unanswered.0);
                let mut text = format!("{who} fell silent after {last} without a BY");
                if asked > 0 {
                    text += &format!("; {other} asked for its clock {} in vain", times(asked));
                }
                if let Some(bye) = self.side(1 - side).bye {
                    text += &format!(" and gave up (BY) in {bye}");
                }
                text += ": it crashed, was switched off, or lost the network";
                let finding = Finding::new(Kind::TimeOut, Some(last), text);
                findings.push(finding.ssrc(self.side(side).ssrc));
            }
            End::BothSilent(last) => {
                let text = format!(
                    "both fell silent after {last} without a BY, {} s or more before the end of the \
                     capture: the network between them and the capture was cut",
                    LONG_SILENCE.as_secs()
                );
                findings.push(Finding::new(Kind::TimeOut, Some(last), text));
            }
            End::Replaced(moment) => {
                let text = format!(
                    "the session was not ended (BY) before it was begun anew in {moment}: one of the \
                     two was restarted, or had lost the connection"
                );
                findings.push(Finding::new(Kind::Restarted, Some(moment), text));
            }
            End::Open | End::Bye(..) | End::Never => {}
        }
    }

    fn tell_clock(&self, end: &End, findings: &mut Vec<Finding>) {
        let Some(up) = self.up else { return };
        if self.clock.last.is_none() {
            let passed = self.last.since(&up).unwrap_or_default();
            if passed >= NO_CLOCK {
                let text = format!(
                    "the clocks were never compared (no CK) in the {:.3} s of the session: MIDI cannot \
                     be played in its time, and silence is not noticed; the side that invites has to \
                     ask",
                    passed.as_secs_f64()
                );
                findings.push(Finding::new(Kind::NoClock, Some(up), text));
            }
            return;
        }
        if matches!(end, End::Silent(..)) {
            return;
        }
        for side in [0, 1] {
            let Some(asker) = self.clock.askers.get(side) else {
                continue;
            };
            let (who, whom) = (self.label(side), self.label(1 - side));
            let ssrc = self.side(1 - side).ssrc;
            let (questions, first) = asker.unanswered;
            let waited = first.is_some_and(|it| {
                self.last
                    .since(&it)
                    .is_none_or(|passed| passed >= ANSWER_TIME)
            });
            if let Some(first) = first
                && questions >= FEW_QUESTIONS
                && waited
            {
                let data = self
                    .side(1 - side)
                    .data
                    .map(|it| it.to_string())
                    .unwrap_or_default();
                let (kind, text) = if asker.answered == 0 {
                    let text = format!(
                        "clock sync goes one way only: {who} asked {} from {first} on (CK0), and \
                         {whom} never answered (CK1); let UDP to and from {data} through in both \
                         directions",
                        times(questions)
                    );
                    (Kind::ClockOneWay, text)
                } else {
                    let text = format!(
                        "{whom} stopped answering the clock: {who} asked {} from {first} on (CK0) \
                         without an answer (CK1)",
                        times(questions)
                    );
                    (Kind::ClockStopped, text)
                };
                findings.push(
                    Finding::new(kind, Some(first), text)
                        .count(questions)
                        .ssrc(ssrc),
                );
            }
            let (answers, first) = asker.unfinished;
            if let Some(first) = first
                && answers >= FEW_QUESTIONS
                && asker.completed == 0
            {
                let text = format!(
                    "clock sync goes one way only: {whom} answered {} from {first} on (CK1), and \
                     {who} never completed the exchange (CK2); the answers do not reach it: let UDP \
                     to it through",
                    times(answers)
                );
                let finding = Finding::new(Kind::ClockOneWay, Some(first), text);
                findings.push(finding.count(answers).ssrc(self.side(side).ssrc));
            }
        }
        // The other side goes on, and nobody asks any more.
        let last = self.clock.last;
        let stopped = last.and_then(|last| Some((last, self.last.since(&last)?)));
        let longest = self
            .clock
            .longest
            .and_then(|(from, to)| Some((from, to.since(&from)?)));
        let gap = [stopped, longest]
            .into_iter()
            .flatten()
            .max_by_key(|(_, passed)| *passed);
        if let Some((from, passed)) = gap
            && passed > LONG_SILENCE
            && !findings.iter().any(|it| it.kind == Kind::ClockStopped)
        {
            let text = format!(
                "no clocks were compared for {:.3} s after {from}, at least one exchange in {} s is \
                 asked for: the other side may end the session",
                passed.as_secs_f64(),
                LONG_SILENCE.as_secs()
            );
            findings.push(Finding::new(Kind::ClockStopped, Some(from), text));
        }
    }

    // Streams.

    fn tell_losses(&self, stream: &Stream, findings: &mut Vec<Finding>) {
        let who = self.label(stream.side);
        if let Some(loss) = &stream.before {
            let text = format!(
                "{} before the first packet of {who} in the capture ({}, {}) {} lost, says its \
                 journal; {}",
                packets(loss.packets.into()),
                loss.next,
                loss.moment,
                were(loss.packets.into()),
                repaired(loss)
            );
            let finding = Finding::new(Kind::LostAtStart, Some(loss.moment), text);
            findings.push(finding.count(loss.packets.into()).ssrc(Some(stream.ssrc)));
        }
        for loss in stream.losses.iter().filter(|it| it.missing() > 0) {
            let missing = loss.missing() as u64;
            let text = format!(
                "{} of {who} {} lost before {}: {}; {}",
                packets(missing),
                were(missing),
                loss.moment,
                range(loss),
                repaired(loss)
            );
            let finding = Finding::new(Kind::Lost, Some(loss.moment), text);
            findings.push(finding.count(missing).ssrc(Some(stream.ssrc)));
        }
        let (gaps, lost) = stream.beyond;
        if gaps > 0 && lost > 0 {
            let text = format!(
                "{} more of {who} {} lost in {gaps} further gaps",
                packets(lost),
                were(lost)
            );
            let finding = Finding::new(Kind::Lost, None, text);
            findings.push(finding.count(lost).ssrc(Some(stream.ssrc)));
        }
    }

    fn tell_order(&self, stream: &Stream, findings: &mut Vec<Finding>) {
        let who = self.label(stream.side);
        for (often, kind, came) in [
            (&stream.late, Kind::Reordered, "came after later ones"),
            (&stream.twice, Kind::Duplicated, "came twice"),
        ] {
            if let Some((moment, seq)) = often.first {
                let text = format!(
                    "{} of {who} {came}, first packet {seq} in {moment}: nothing is lost by that",
                    packets(often.count)
                );
                let finding = Finding::new(kind, Some(moment), text).notice();
                findings.push(finding.count(often.count).ssrc(Some(stream.ssrc)));
            }
        }
    }

    fn tell_down(&self, stream: &Stream, end: &End, findings: &mut Vec<Finding>) {
        let who = self.label(stream.side);
        let mut told: BTreeSet<(u8, Key)> = BTreeSet::new();
        let mut more = 0;
        for down in stream.down() {
            let Down {
                channel,
                what,
                since,
                suspect,
            } = down;
            let since_text = since.map(|it| format!(" is on since {it}"));
            let key = what.describe(channel);
            let since_text = since_text.unwrap_or_else(|| " is on".to_owned());
            let text = if let Some(suspect) = suspect {
                let lost = match suspect.packets {
                    0 => "what is missing".to_owned(),
                    count => format!("the {} lost", packets(count.into())),
                };
                format!(
                    "{key} of {who}{since_text} and was never let go: that was in {lost} \
                     before {}, which no journal repaired; send \"all notes off\"",
                    suspect.moment
                )
            } else {
                match *end {
                    End::Bye(side, bye) if side == stream.side => format!(
                        "{key} of {who}{since_text} and was never let go: {who} ended the session \
                         (BY) in {bye} without having sent that"
                    ),
                    End::Replaced(moment) => format!(
                        "{key} of {who}{since_text} and was never let go: the session was begun anew \
                         in {moment} without that"
                    ),
                    End::Silent(side, last) if side == stream.side => format!(
                        "{key} of {who}{since_text} and was never let go: {who} fell silent after \
                         {last} without having sent that"
                    ),
                    End::BothSilent(last) => format!(
                        "{key} of {who}{since_text} and was never let go: both fell silent after {last}"
                    ),
                    _ => continue,
                }
            };
            if told.len() >= MAX_NOTES {
                more += 1;
                continue;
            }
            told.insert((channel.index(), what));
            let moment = since.or(suspect.map(|it| it.moment));
            let finding = Finding::new(Kind::HangingNote, moment, text);
            findings.push(finding.ssrc(Some(stream.ssrc)));
        }
        if more > 0 {
            let text = format!("{more} more keys and pedals of {who} were never let go");
            let finding = Finding::new(Kind::HangingNote, None, text);
            findings.push(finding.count(more).ssrc(Some(stream.ssrc)));
        }
    }

    fn tell_broken(&self, broken: &Broken) -> Finding {
        let who = self.label(broken.side);
        let section = broken.rule.section();
        let often = match broken.count {
            1 => "in".to_owned(),
            count => format!("{count} times, first in"),
        };
        let text = format!(
            "{who} broke a rule {often} {}: {} ({section})",
            broken.first, broken.what
        );
        let mut finding = Finding::new(Kind::Violation, Some(broken.first), text);
        finding.section = Some(section);
        finding
            .count(broken.count)
            .ssrc(self.side(broken.side).ssrc)
    }
}

fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        count => format!("{count} times"),
    }
}

fn packets(count: u64) -> String {
    match count {
        1 => "1 packet".to_owned(),
        count => format!("{count} packets"),
    }
}

const fn were(count: u64) -> &'static str {
    if count == 1 { "was" } else { "were" }
}

/// Which numbers.
fn range(loss: &Loss) -> String {
    let last = loss.first.wrapping_add(loss.packets.saturating_sub(1));
    match (loss.packets, loss.late.is_empty()) {
        (1, _) => format!("number {}", loss.first),
        (_, true) => format!("numbers {} to {last}", loss.first),
        _ => format!("among the numbers {} to {last}", loss.first),
    }
}

/// What became of what they did.
fn repaired(loss: &Loss) -> String {
    let next = loss.next;
    let mut text = match &loss.cover {
        Cover::Whole if loss.repaired == 0 => {
            format!("the journal of packet {next} covers them, and nothing had to be put right")
        }
        Cover::Whole => format!("the journal of packet {next} repaired what they did"),
        Cover::NoJournal => {
            format!("packet {next} has no journal, so what they did is lost for good")
        }
        Cover::Damaged(error) => format!(
            "the journal of packet {next} is damaged ({error}), so not all of what they did is repaired"
        ),
        Cover::TooNew(checkpoint) => format!(
            "the journal of packet {next} begins only with packet {checkpoint}, so not all of what \
             they did is repaired"
        ),
    };
    if loss.repaired > 0 {
        let mut list = loss.messages.join(", ");
        let more = loss.repaired.saturating_sub(loss.messages.len() as u64);
        if more > 0 {
            list += &format!(" and {more} more");
        }
        let count = loss.repaired;
        let noun = if count == 1 { "message" } else { "messages" };
        text += &format!(", with {count} {noun}: {list}");
    }
    if loss.notes_skipped > 0 {
        text += &format!("; {} too late to be played", notes(loss.notes_skipped));
    }
    if loss.sysex_lost > 0 {
        text += &format!(
            "; {} system exclusive messages are lost for good",
            loss.sysex_lost
        );
    }
    text
}

fn notes(count: u32) -> String {
    match count {
        1 => "1 note was".to_owned(),
        count => format!("{count} notes were"),
    }
}
