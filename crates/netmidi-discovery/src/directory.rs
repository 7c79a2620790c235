//! Which sessions there are: one entry for each name, ours left out, bounded.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::error::Error;
use crate::naming;
use crate::session::{Session, Sighting};

/// How many sessions are kept. Those that come when there are as many are not shown.
pub const MAX_SESSIONS: usize = 256;

/// How many of our withdrawn announcements are remembered: the network repeats them for a while.
const MAX_WITHDRAWN: usize = 64;

/// Which entry is another one than before.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Change {
    pub(crate) name: String,
}

/// What is announced by others.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    sessions: BTreeMap<String, Session>,
    /// Names that were told, also of those that cannot be reached yet, and our own.
    heard: BTreeSet<String>,
    /// Hosts and ports that are ours: now, and lately.
    own: BTreeSet<(String, u16)>,
    withdrawn: VecDeque<(String, u16)>,
}

impl Directory {
    /// Somebody said that `name` exists; what it is comes later.
    pub(crate) fn heard(&mut self, name: &str) {
        if self.heard.len() < 2 * MAX_SESSIONS {
            self.heard.insert(name.to_owned());
        }
    }

    /// Somebody said all that is known about an instance at present.
    pub(crate) fn seen(&mut self, sighting: Sighting) -> Option<Change> {
        if self.is_own(&sighting.host, sighting.port) {
            // The name is ours now, for the moment at least; whose it was before is not shown any more.
            self.heard.remove(&sighting.name);
            return self.removed_session(&sighting.name);
        }
        self.heard(&sighting.name);
        let name = sighting.name.clone();
        let Some(session) = sighting.into_session() else {
            return self.removed_session(&name);
        };
        let known = self.sessions.get(&name);
        if known == Some(&session) || (known.is_none() && self.sessions.len() >= MAX_SESSIONS) {
            return None;
        }
        self.sessions.insert(name.clone(), session);
        Some(Change { name })
    }

    /// The instance said goodbye, or nobody heard of it for too long.
    pub(crate) fn removed(&mut self, name: &str) -> Option<Change> {
        self.heard.remove(name);
        self.removed_session(name)
    }

    /// Forgets everything but what is ours.
    pub(crate) fn clear(&mut self) -> Vec<Change> {
        self.heard.clear();
        let names = core::mem::take(&mut self.sessions).into_keys();
        names.map(|name| Change { name }).collect()
    }

    /// From now on, `host` with `port` is ours.
    pub(crate) fn add_own(&mut self, host: &str, port: u16) {
        self.own.insert(own_key(host, port));
    }

    /// Ours under `name` is withdrawn; the network may go on telling of it for a while.
    pub(crate) fn withdraw_own(&mut self, name: &str, host: &str, port: u16) {
        self.heard.remove(name);
        self.withdrawn.push_back(own_key(host, port));
        if self.withdrawn.len() > MAX_WITHDRAWN
            && let Some(oldest) = self.withdrawn.pop_front()
        {
            self.own.remove(&oldest);
        }
    }

    pub(crate) fn is_own(&self, host: &str, port: u16) -> bool {
        self.own.contains(&own_key(host, port))
    }

    /// Whether somebody else uses `name`, or one that DNS takes for the same.
    pub(crate) fn is_taken(&self, name: &str) -> bool {
        let names = self.heard.iter().chain(self.sessions.keys());
        names.into_iter().any(|other| naming::same(other, name))
    }

    /// Whether somebody else's session with that name is known.
    pub(crate) fn is_foreign(&self, name: &str) -> bool {
        self.sessions.keys().any(|other| naming::same(other, name))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Session> {
        self.sessions.get(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.sessions.keys()
    }

    pub(crate) fn sessions(&self) -> Vec<Session> {
        self.sessions.values().cloned().collect()
    }

    /// The session that `name` means apart from upper and lower case, if there is one.
    pub(crate) fn find(&self, name: &str) -> Result<Option<&Session>, Error> {
        if let Some(session) = self.get(name) {
            return Ok(Some(session));
        }
        let wanted = name.to_lowercase();
        let alike = |session: &&Session| session.name.to_lowercase() == wanted;
        let found: Vec<&Session> = self.sessions.values().filter(alike).collect();
        match found.as_slice() {
            [] => Ok(None),
            [session] => Ok(Some(session)),
            several => Err(Error::Ambiguous {
                name: name.to_owned(),
                candidates: several.iter().map(|found| found.name.clone()).collect(),
            }),
        }
    }

    fn removed_session(&mut self, name: &str) -> Option<Change> {
        let (name, _) = self.sessions.remove_entry(name)?;
        Some(Change { name })
    }
}

fn own_key(host: &str, port: u16) -> (String, u16) {
    let host = host.strip_suffix('.').unwrap_or(host);
    (host.to_ascii_lowercase(), port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tests::sighting;

    fn with(names: &[&str]) -> Directory {
        let mut directory = Directory::default();
        for name in names {
            directory.seen(sighting(name, "h.local.", &[("10.0.0.1", 2)]));
        }
        directory
    }

    #[test]
    fn both_families_and_all_interfaces_are_one_entry() {
        let mut directory = Directory::default();
        let change = Some(Change {
            name: "Piano".to_owned(),
        });
        let first = sighting("Piano", "h.local.", &[("10.0.0.1", 2)]);
        assert_eq!(directory.seen(first.clone()), change);
        assert_eq!(directory.seen(first), None, "nothing new");
        let both = sighting("Piano", "h.local.", &[("10.0.0.1", 2), ("fe80::1", 3)]);
        assert_eq!(directory.seen(both), change);
        assert_eq!(directory.sessions().len(), 1);
        assert_eq!(directory.get("Piano").unwrap().addresses.len(), 2);
        assert_eq!(directory.removed("Piano"), change);
        assert_eq!(directory.removed("Piano"), None);
    }

    #[test]
    fn no_address_no_entry() {
        let mut directory = with(&["Piano"]);
        let nowhere = sighting("Piano", "h.local.", &[("fe80::1", 0)]);
        assert!(directory.seen(nowhere.clone()).is_some(), "gone");
        assert_eq!(directory.seen(nowhere), None);
        assert!(directory.sessions().is_empty());
        assert!(directory.is_taken("piano"), "its name is still in use");
    }

    #[test]
    fn ours_are_known_by_host_and_port_not_by_name() {
        let mut directory = Directory::default();
        directory.add_own("Mine-1.local.", 5004);
        let ours = sighting("Piano", "mine-1.local.", &[("10.0.0.9", 2)]);
        directory.heard("Piano");
        assert_eq!(directory.seen(ours), None);
        assert!(!directory.is_taken("Piano"), "by ourselves");
        let theirs = sighting("Piano", "theirs.local.", &[("10.0.0.1", 2)]);
        assert!(directory.seen(theirs).is_some());
        let mut other_port = sighting("Organ", "mine-1.local.", &[("10.0.0.9", 2)]);
        other_port.port = 6004;
        assert!(directory.seen(other_port).is_some());
        assert_eq!(directory.sessions().len(), 2);

        directory.withdraw_own("Piano", "Mine-1.local.", 5004);
        let echo = sighting("Old", "mine-1.local.", &[("10.0.0.9", 2)]);
        assert_eq!(directory.seen(echo), None, "still ours for a while");
        for number in 0..=MAX_WITHDRAWN as u16 {
            directory.add_own("x.local.", number);
            directory.withdraw_own("x", "x.local.", number);
        }
        assert!(!directory.is_own("mine-1.local.", 5004), "bounded");
    }

    #[test]
    fn there_is_a_bound() {
        let names: Vec<String> = (0..MAX_SESSIONS + 9).map(|n| format!("s{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut directory = with(&names);
        assert_eq!(directory.sessions().len(), MAX_SESSIONS);
        // Those that are there still change and go.
        assert!(
            directory
                .seen(sighting("s0", "h.local.", &[("10.0.0.2", 2)]))
                .is_some()
        );
        assert!(directory.removed("s0").is_some());
        assert!(
            directory
                .seen(sighting("late", "h.local.", &[("10.0.0.2", 2)]))
                .is_some()
        );
        for number in 0..9 * MAX_SESSIONS {
            directory.heard(&format!("h{number}"));
        }
        assert!(directory.heard.len() <= 2 * MAX_SESSIONS);
    }

    #[test]
    fn names_match_exactly_first_then_without_case() {
        let directory = with(&["Piano", "PIANO", "Orgel Ü"]);
        let find = |name: &str| {
            directory
                .find(name)
                .map(|found| found.map(|s| s.name.clone()))
        };
        assert_eq!(find("Piano").unwrap().as_deref(), Some("Piano"));
        assert_eq!(find("orgel ü").unwrap().as_deref(), Some("Orgel Ü"));
        assert_eq!(find("Pian").unwrap(), None);
        let Err(Error::Ambiguous { candidates, .. }) = find("piano") else {
            panic!("two of them differ in case only");
        };
        assert_eq!(candidates, ["PIANO", "Piano"]);
    }
}
