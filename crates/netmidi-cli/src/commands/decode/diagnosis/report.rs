//! What is told of a session, for people and for programs.

use std::fmt;
use std::net::SocketAddr;

use serde::{Serialize, Serializer};

use super::moment::{Moment, Spread};

/// What a finding is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Lost,
    LostAtStart,
    Reordered,
    Duplicated,
    HangingNote,
    TimeOut,
    ClockStopped,
    NoClock,
    ClockOneWay,
    Refused,
    DataPortBlocked,
    AnswersNotHeard,
    NoAnswer,
    NameConflict,
    SsrcConflict,
    Restarted,
    Violation,
}

/// Whether somebody should do something about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Severity {
    /// Something went wrong.
    Warning,
    /// It did no harm.
    Notice,
}

/// One sentence about a session.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Finding {
    pub(crate) kind: Kind,
    pub(crate) severity: Severity,
    /// In plain words.
    pub(crate) text: String,
    /// The frame where it shows first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) frame: Option<u64>,
    /// Its time, in seconds since the first frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) time: Option<f64>,
    /// How often: packets, notes, breaches.
    pub(crate) count: u64,
    /// Whose doing, by the SSRC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ssrc: Option<String>,
    /// Where the rule stands that was broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) section: Option<&'static str>,
}

impl Finding {
    pub(super) fn new(kind: Kind, moment: Option<Moment>, text: String) -> Self {
        Self {
            kind,
            severity: Severity::Warning,
            text,
            frame: moment.map(|it| it.frame),
            time: moment.and_then(|it| it.at).map(|it| it.as_secs_f64()),
            count: 1,
            ssrc: None,
            section: None,
        }
    }

    pub(super) const fn notice(mut self) -> Self {
        self.severity = Severity::Notice;
        self
    }

    pub(super) const fn count(mut self, count: u64) -> Self {
        self.count = count;
        self
    }

    pub(super) fn ssrc(mut self, ssrc: Option<impl ToString>) -> Self {
        self.ssrc = ssrc.map(|it| it.to_string());
        self
    }
}

/// One of the two of a session.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Party {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ssrc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "text")]
    pub(crate) control: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "text")]
    pub(crate) data: Option<SocketAddr>,
    /// `initiator` or `participant`, where the invitation was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<&'static str>,
    /// How sentences call it.
    #[serde(skip)]
    pub(crate) label: String,
}

fn text<S: Serializer>(it: &Option<SocketAddr>, out: S) -> Result<S::Ok, S::Error> {
    match it {
        Some(it) => out.collect_str(it),
        None => out.serialize_none(),
    }
}

/// What one stream carried.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Direction {
    /// How sentences call who sent it.
    pub(crate) from: String,
    pub(crate) ssrc: String,
    pub(crate) packets: u64,
    pub(crate) messages: u64,
    pub(crate) octets: u64,
    pub(crate) lost: u64,
    pub(crate) repaired: u64,
    pub(crate) reordered: u64,
    pub(crate) duplicated: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) jitter: Option<Spread>,
}

/// Everything about one session.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct SessionReport {
    /// In the order in which they begin in the capture, from 1.
    pub(crate) number: u64,
    /// Who invited stands first, where that was seen.
    pub(crate) parties: Vec<Party>,
    pub(crate) first_frame: u64,
    pub(crate) last_frame: u64,
    /// Seconds since the first frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) begin: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) end: Option<f64>,
    /// How it ended.
    pub(crate) ended: &'static str,
    pub(crate) directions: Vec<Direction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) round_trip: Option<Spread>,
    /// Whether there is no warning.
    pub(crate) healthy: bool,
    pub(crate) findings: Vec<Finding>,
}

impl SessionReport {
    /// The sentences of warnings.
    #[cfg(test)]
    pub(crate) fn warnings(&self) -> Vec<&str> {
        let warnings = self.findings.iter();
        let warnings = warnings.filter(|it| it.severity == Severity::Warning);
        warnings.map(|it| it.text.as_str()).collect()
    }
}

fn counted(count: u64, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}

fn party(party: &Party) -> String {
    let mut text = party.label.clone();
    let address = party.control.or(party.data).map(|it| it.to_string());
    let facts: Vec<String> = [
        address.filter(|it| !text.contains(it.as_str())),
        party.ssrc.clone().map(|it| format!("SSRC {it}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !facts.is_empty() {
        text = format!("{text} ({})", facts.join(", "));
    }
    text
}

impl fmt::Display for SessionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.parties.iter().map(party).collect();
        let invited = self.parties.first().is_some_and(|it| it.role.is_some());
        let between = if invited { " invited " } else { " and " };
        writeln!(f, "Session {}: {}", self.number, names.join(between))?;
        write!(f, "  frames {} to {}", self.first_frame, self.last_frame)?;
        if let (Some(begin), Some(end)) = (self.begin, self.end) {
            write!(f, ", {begin:.6} s to {end:.6} s")?;
        }
        writeln!(f, "; {}", self.ended)?;
        for it in &self.directions {
            write!(
                f,
                "  from {}: {}, {}, {} octets",
                it.from,
                counted(it.packets, "packet"),
                counted(it.messages, "message"),
                it.octets
            )?;
            if it.lost > 0 {
                write!(f, ", {} lost", it.lost)?;
            }
            if let Some(jitter) = it.jitter {
                write!(f, "; jitter {jitter}")?;
            }
            writeln!(f)?;
        }
        if let Some(spread) = self.round_trip {
            writeln!(
                f,
                "  round trip in {}: {spread}",
                counted(spread.count, "clock exchange")
            )?;
        }
        if self.healthy {
            writeln!(f, "  healthy: nothing is wrong with this session")?;
        }
        for it in &self.findings {
            let mark = match it.severity {
                Severity::Warning => "warning: ",
                Severity::Notice => "note: ",
            };
            writeln!(f, "  {mark}{}", it.text)?;
        }
        Ok(())
    }
}
