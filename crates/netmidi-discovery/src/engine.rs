//! What is announced and seen, as a plain value: events and the time come in, requests for the
//! multicast DNS library come out.
//!
//! The library renames a service by itself when it meets a conflict while probing. It does so on
//! each interface apart, cuts names at their dots, and answers queries for the new name only in
//! part (0.21.7). So we do without it as far as we can: we listen before we choose a name, and where
//! a conflict comes up later, the service is withdrawn and registered again under a name of ours.

use core::task::Waker;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::announcement::{AnnouncementEvent, RenameReason};
use crate::directory::{Change, Directory};
use crate::interfaces::Families;
use crate::naming;
use crate::session::Sighting;
use crate::watch::Watch;

/// How long others are listened to before a name is chosen, and before a name that matches but for
/// its case is taken for the one that is meant. The library asks at once and after a second, and
/// a responder answers within 120 ms (RFC 6762 §6). The first question may get no answer when the
/// same one was answered just before: a record is multicast once a second.
pub(crate) const LISTEN: Duration = Duration::from_millis(1_300);

/// From one announcement to its repetition, and from a goodbye to the next announcement: a record is
/// multicast once a second (RFC 6762 §6), and the goodbye is repeated 120 ms after the first.
const SECOND: Duration = Duration::from_millis(1_250);

/// From the first address of a session to the answer of [`resolve`](crate::Discovery::resolve). IPv4
/// and IPv6 addresses come with datagrams of their own, up to 120 ms apart (RFC 6762 §6).
pub(crate) const GATHER: Duration = Duration::from_millis(150);

/// Until an announcement that has not gone out is asked for again.
const RETRY: Duration = Duration::from_secs(5);

/// From a new address to the next announcement. Its probing takes up to a second.
const SETTLE: Duration = Duration::from_millis(2_500);

/// How long the one of two with the greater host name waits for the other one to give way.
const YIELD: Duration = Duration::from_secs(3);

/// Names that were found in conflict and are not used again.
const MAX_REFUSED: usize = 256;

/// What the library is asked to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    /// Probe and announce; or announce again, if it was announced before.
    Register(Service),
    /// Say goodbye.
    Unregister(Service),
}

/// What is registered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Service {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) families: Families,
}

/// One of our announcements.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) wanted: String,
    /// `wanted` as the library can serve it.
    servable: String,
    /// Under which name peers can see it.
    pub(crate) announced: Option<String>,
    /// The name that its reader has heard of.
    told: Option<String>,
    pub(crate) waker: Option<Waker>,
    service: Service,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// Hearing which names are in use.
    Listening { until: Instant },
    /// The library asks whether somebody has the name, and announces it then.
    Probing { again: Instant },
    /// Peers see it.
    Announced {
        again: Option<Instant>,
        /// Somebody else has the name too; whether to give way is decided then.
        contested: Option<Instant>,
    },
    /// Said goodbye to a name; the next one comes then.
    Leaving { until: Instant },
}

#[derive(Debug, Default)]
pub(crate) struct Engine {
    pub(crate) directory: Directory,
    pub(crate) watches: BTreeMap<u64, Watch>,
    pub(crate) own: BTreeMap<u64, Own>,
    pub(crate) alarms: BTreeMap<u64, (Instant, Option<Waker>)>,
    /// When each session was seen first.
    first_seen: BTreeMap<String, Instant>,
    /// Since when others are heard.
    pub(crate) listening_since: Option<Instant>,
    /// The library has ended.
    pub(crate) ended: bool,
    refused: BTreeSet<String>,
    next_id: u64,
    actions: Vec<Action>,
    wakers: Vec<Waker>,
}

impl Engine {
    pub(crate) fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(crate) fn take_actions(&mut self) -> Vec<Action> {
        core::mem::take(&mut self.actions)
    }

    /// To be called when no lock is held.
    pub(crate) fn take_wakers(&mut self) -> Vec<Waker> {
        core::mem::take(&mut self.wakers)
    }

    /// Since when a name that is in use would have been heard.
    fn heard_enough_at(&self, now: Instant) -> Instant {
        self.listening_since.map_or(now, |since| since + LISTEN)
    }

    pub(crate) fn announce(
        &mut self,
        (name, port, families): (&str, u16, Families),
        random: u64,
        now: Instant,
    ) -> u64 {
        let id = self.new_id();
        let service = Service {
            id,
            name: naming::servable(name),
            host: naming::host(name, random),
            port,
            families,
        };
        self.directory.add_own(&service.host, port);
        let until = self.heard_enough_at(now).max(now);
        let own = Own {
            wanted: name.to_owned(),
            servable: service.name.clone(),
            announced: None,
            told: None,
            waker: None,
            service,
            phase: Phase::Listening { until },
        };
        self.own.insert(id, own);
        id
    }

    /// Ends an announcement; the service to say goodbye for, if peers may have seen it.
    pub(crate) fn withdraw(&mut self, id: u64) -> Option<Service> {
        let own = self.own.remove(&id)?;
        let service = own.service;
        self.directory
            .withdraw_own(&service.name, &service.host, service.port);
        match own.phase {
            Phase::Probing { .. } | Phase::Announced { .. } => Some(service),
            Phase::Listening { .. } | Phase::Leaving { .. } => None,
        }
    }

    /// The library could not take a request.
    pub(crate) fn not_registered(&mut self, id: u64, now: Instant) {
        if let Some(own) = self.own.get_mut(&id) {
            let soon = now + Duration::from_millis(100);
            match &mut own.phase {
                Phase::Probing { again } => *again = soon,
                Phase::Announced { again, .. } => *again = Some(soon),
                Phase::Listening { .. } | Phase::Leaving { .. } => {}
            }
        }
    }

    /// The library announced the service that it was given as `name`.
    pub(crate) fn announced(&mut self, name: &str, now: Instant) {
        let ours = self.own.values_mut();
        let mut ours = ours.filter(|own| naming::same(&own.service.name, name));
        if let Some(own) = ours.find(|own| matches!(own.phase, Phase::Probing { .. })) {
            own.phase = Phase::Announced {
                again: Some(now + SECOND),
                contested: None,
            };
            own.announced = Some(own.service.name.clone());
            self.wakers.extend(own.waker.take());
        }
    }

    /// The library met a conflict over `name` and found another one.
    pub(crate) fn name_refused(&mut self, name: &str, now: Instant) {
        self.refuse(name);
        let ours = self.own.values().filter(|own| {
            naming::same(&own.service.name, name)
                && matches!(own.phase, Phase::Probing { .. } | Phase::Announced { .. })
        });
        for id in ours.map(|own| own.service.id).collect::<Vec<_>>() {
            self.leave(id, now);
        }
    }

    /// The library met a conflict over the host name `host` and goes on as `new`.
    ///
    /// Ours are random, so it was our own echo: two interfaces with different networks on one
    /// cable. Another name would meet the same echo, so this one is only known as ours too.
    pub(crate) fn host_renamed(&mut self, host: &str, new: &str) {
        let ours = |own: &&Own| naming::same(&own.service.host, host);
        if let Some(own) = self.own.values().find(ours) {
            self.directory.add_own(new, own.service.port);
        }
    }

    /// This machine has another address, or one less.
    pub(crate) fn interfaces_changed(&mut self, now: Instant) {
        for own in self.own.values_mut() {
            if let Phase::Announced { again, .. } = &mut own.phase {
                *again = Some(now + SETTLE);
            }
        }
    }

    pub(crate) fn heard(&mut self, name: &str) {
        if !self.own.values().any(|own| own.holds(name)) {
            self.directory.heard(name);
        }
    }

    pub(crate) fn seen(&mut self, sighting: Sighting, now: Instant) {
        if !self.directory.is_own(&sighting.host, sighting.port) {
            for own in self.own.values_mut() {
                own.contest(&sighting, now);
            }
        }
        let name = sighting.name.clone();
        let change = self.directory.seen(sighting);
        if self.directory.get(&name).is_some() {
            self.first_seen.entry(name).or_insert(now);
        }
        self.note(change);
    }

    /// When all addresses of the session should be known.
    pub(crate) fn gathered_at(&self, name: &str, now: Instant) -> Instant {
        self.first_seen.get(name).map_or(now, |&seen| seen + GATHER)
    }

    pub(crate) fn removed(&mut self, name: &str) {
        let change = self.directory.removed(name);
        self.note(change);
    }

    /// What was heard so far may be out of date; it is asked for again.
    pub(crate) fn forget(&mut self) {
        let changes = self.directory.clear();
        self.note(changes);
    }

    pub(crate) fn end(&mut self) {
        self.ended = true;
        let own = self.own.values_mut().filter_map(|own| own.waker.take());
        self.wakers.extend(own);
        let watches = self.watches.values_mut();
        self.wakers.extend(watches.filter_map(Watch::take_waker));
        let alarms = self.alarms.values_mut();
        self.wakers
            .extend(alarms.filter_map(|(_, waker)| waker.take()));
    }

    /// Does what is due, and says when to come back.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Option<Instant> {
        for id in self.own.keys().copied().collect::<Vec<_>>() {
            self.step(id, now);
        }
        let alarms = self.alarms.values_mut().filter(|(at, _)| *at <= now);
        self.wakers
            .extend(alarms.filter_map(|(_, waker)| waker.take()));

        let own = self.own.values().filter_map(Own::deadline);
        let pending = self.alarms.values().filter(|(at, _)| *at > now);
        own.chain(pending.map(|(at, _)| *at)).min()
    }

    fn step(&mut self, id: u64, now: Instant) {
        let Some(own) = self.own.get_mut(&id) else {
            return;
        };
        match own.phase {
            Phase::Listening { until } | Phase::Leaving { until } if until <= now => {
                let name = self.choose(id);
                if let Some(own) = self.own.get_mut(&id) {
                    own.service.name = name;
                    own.phase = Phase::Probing { again: now + RETRY };
                    self.actions.push(Action::Register(own.service.clone()));
                }
            }
            Phase::Probing { again } if again <= now => {
                own.phase = Phase::Probing { again: now + RETRY };
                self.actions.push(Action::Register(own.service.clone()));
            }
            Phase::Announced {
                contested: Some(until),
                again,
            } if until <= now => {
                own.phase = Phase::Announced {
                    contested: None,
                    again,
                };
                let name = own.service.name.clone();
                if self.directory.is_foreign(&name) {
                    self.refuse(&name);
                    self.leave(id, now);
                }
            }
            Phase::Announced {
                again: Some(at),
                contested,
            } if at <= now => {
                own.phase = Phase::Announced {
                    again: None,
                    contested,
                };
                self.actions.push(Action::Register(own.service.clone()));
            }
            _ => {}
        }
    }

    /// The name under which `id` is announced next.
    fn choose(&self, id: u64) -> String {
        let servable = self.own.get(&id).map_or("", |own| own.servable.as_str());
        naming::first_free(servable, |name| {
            let mut others = self.own.values().filter(|own| own.service.id != id);
            self.directory.is_taken(name)
                || self
                    .refused
                    .iter()
                    .any(|refused| naming::same(refused, name))
                || others.any(|own| own.holds(name))
        })
    }

    /// Says goodbye to the present name and takes another one when it has passed.
    fn leave(&mut self, id: u64, now: Instant) {
        if let Some(own) = self.own.get_mut(&id) {
            self.actions.push(Action::Unregister(own.service.clone()));
            own.phase = Phase::Leaving {
                until: now + SECOND,
            };
        }
    }

    fn refuse(&mut self, name: &str) {
        if self.refused.len() < MAX_REFUSED {
            self.refused.insert(name.to_owned());
        }
    }

    fn note(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            if self.directory.get(&change.name).is_none() {
                self.first_seen.remove(&change.name);
            }
            let watches = self.watches.values_mut();
            self.wakers
                .extend(watches.filter_map(|watch| watch.note(&change)));
        }
    }
}

impl Own {
    /// What to tell the reader, unless it knows.
    pub(crate) fn take_event(&mut self) -> Option<AnnouncementEvent> {
        let name = self.announced.clone()?;
        if self.told.as_ref() == Some(&name) {
            return None;
        }
        self.told = Some(name.clone());
        if name == self.wanted {
            return Some(AnnouncementEvent::Announced { name });
        }
        Some(AnnouncementEvent::Renamed {
            reason: if name == self.servable {
                RenameReason::Dot
            } else {
                RenameReason::Taken
            },
            wanted: self.wanted.clone(),
            name,
        })
    }

    fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Listening { until } | Phase::Leaving { until } => Some(until),
            Phase::Probing { again } => Some(again),
            Phase::Announced { again, contested } => again.into_iter().chain(contested).min(),
        }
    }

    fn holds(&self, name: &str) -> bool {
        let registered = matches!(self.phase, Phase::Probing { .. } | Phase::Announced { .. });
        registered && naming::same(&self.service.name, name)
    }

    /// RFC 6762 §9: two who have the same name both see it; one of them gives way. The lesser host
    /// name does so at once, the other one if that did not help.
    fn contest(&mut self, other: &Sighting, now: Instant) {
        if let Phase::Announced { contested, .. } = &mut self.phase
            && contested.is_none()
            && naming::same(&self.service.name, &other.name)
        {
            let lesser = self.service.host < other.host.to_ascii_lowercase();
            *contested = Some(if lesser { now } else { now + YIELD });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tests::sighting;

    struct Bench {
        engine: Engine,
        now: Instant,
        log: Vec<String>,
    }

    impl Bench {
        fn new() -> Self {
            let now = Instant::now();
            let engine = Engine {
                listening_since: Some(now),
                ..Engine::default()
            };
            Self {
                engine,
                now,
                log: Vec::new(),
            }
        }

        fn announce(&mut self, name: &str) -> u64 {
            self.engine
                .announce((name, 5004, Families::Both), 7, self.now)
        }

        /// Lets time pass; gives what the library was asked to do.
        fn pass(&mut self, time: Duration) -> Vec<String> {
            let end = self.now + time;
            loop {
                let next = self.engine.handle_timeout(self.now);
                for action in self.engine.take_actions() {
                    self.log.push(match action {
                        Action::Register(service) => format!("+{}", service.name),
                        Action::Unregister(service) => format!("-{}", service.name),
                    });
                }
                match next {
                    Some(next) if next <= end => self.now = next,
                    _ => break,
                }
            }
            self.now = end;
            core::mem::take(&mut self.log)
        }

        fn name(&self, id: u64) -> Option<&str> {
            self.engine.own.get(&id)?.announced.as_deref()
        }
    }

    #[test]
    fn a_free_name_is_announced_twice() {
        let mut bench = Bench::new();
        let id = bench.announce("Piano");
        assert!(bench.pass(LISTEN / 2).is_empty(), "it listens first");
        assert_eq!(bench.pass(LISTEN), ["+Piano"]);
        assert_eq!(bench.name(id), None);
        bench.engine.announced("Piano", bench.now);
        assert_eq!(bench.name(id), Some("Piano"));
        assert_eq!(bench.pass(SECOND), ["+Piano"]);
        assert!(bench.pass(Duration::from_secs(3_600)).is_empty());
        assert_eq!(bench.engine.withdraw(id).unwrap().name, "Piano");
    }

    #[test]
    fn a_name_in_use_is_not_even_tried() {
        let mut bench = Bench::new();
        let id = bench.announce("Piano");
        bench.engine.heard("PIANO");
        assert_eq!(bench.pass(LISTEN), ["+Piano (2)"]);
        bench.engine.announced("Piano (2)", bench.now);
        assert_eq!(bench.name(id), Some("Piano (2)"));
        // A second one of ours, at once as the others are known by now.
        bench.announce("Piano");
        assert_eq!(bench.pass(Duration::ZERO), ["+Piano (3)"]);
    }

    #[test]
    fn the_reader_hears_the_name_and_why_it_is_another_one() {
        let mut bench = Bench::new();
        let names = ["Piano", "No.1", "Organ"];
        let ids = names.map(|name| bench.announce(name));
        bench.engine.heard("Organ");
        bench.pass(LISTEN);
        for name in ["Piano", "No-1", "Organ (2)"] {
            bench.engine.announced(name, bench.now);
        }
        let mut event = |id| bench.engine.own.get_mut(&id).unwrap().take_event();
        let renamed = |wanted: &str, name: &str, reason| {
            Some(AnnouncementEvent::Renamed {
                wanted: wanted.to_owned(),
                name: name.to_owned(),
                reason,
            })
        };
        let piano = AnnouncementEvent::Announced {
            name: "Piano".to_owned(),
        };
        assert_eq!(event(ids[0]), Some(piano));
        assert_eq!(event(ids[0]), None, "once");
        assert_eq!(event(ids[1]), renamed("No.1", "No-1", RenameReason::Dot));
        let taken = renamed("Organ", "Organ (2)", RenameReason::Taken);
        assert_eq!(event(ids[2]), taken);
    }

    #[test]
    fn a_conflict_while_probing_leads_to_the_next_name() {
        let mut bench = Bench::new();
        let id = bench.announce("Piano");
        bench.pass(LISTEN);
        bench.engine.name_refused("Piano", bench.now);
        assert_eq!(bench.pass(SECOND / 2), ["-Piano"]);
        assert_eq!(bench.pass(SECOND), ["+Piano (2)"]);
        bench.engine.announced("Piano (2)", bench.now);
        assert_eq!(bench.name(id), Some("Piano (2)"));
        // The second interface of the same conflict comes late.
        bench.engine.name_refused("Piano", bench.now);
        assert_eq!(bench.pass(RETRY), ["+Piano (2)"]);
    }

    #[test]
    fn who_comes_later_gives_way_whatever_the_host_names() {
        for (host, after) in [("zzz.local.", Duration::ZERO), ("aaa.local.", YIELD)] {
            let mut bench = Bench::new();
            let id = bench.announce("Piano");
            bench.pass(LISTEN);
            bench.engine.announced("Piano", bench.now);
            bench.pass(RETRY);
            let other = sighting("Piano", host, &[("10.0.0.1", 2)]);
            bench.engine.seen(other, bench.now);
            assert_eq!(bench.pass(after), ["-Piano"], "{host}");
            assert_eq!(bench.pass(SECOND), ["+Piano (2)"]);
            bench.engine.announced("Piano (2)", bench.now);
            assert_eq!(bench.name(id), Some("Piano (2)"));
            assert_eq!(bench.engine.directory.sessions().len(), 1);
        }
    }

    #[test]
    fn the_other_one_giving_way_is_enough() {
        let mut bench = Bench::new();
        bench.announce("Piano");
        bench.pass(LISTEN);
        bench.engine.announced("Piano", bench.now);
        bench.pass(RETRY);
        let other = sighting("Piano", "aaa.local.", &[("10.0.0.1", 2)]);
        bench.engine.seen(other, bench.now);
        bench.pass(YIELD / 2);
        bench.engine.removed("Piano");
        assert!(bench.pass(YIELD).is_empty());
    }

    #[test]
    fn addresses_are_gathered_from_the_first_sight_on() {
        let mut bench = Bench::new();
        let start = bench.now;
        let ipv6 = sighting("Piano", "h.local.", &[("fe80::1", 2)]);
        let both = sighting("Piano", "h.local.", &[("fe80::1", 2), ("10.0.0.1", 2)]);
        bench.engine.seen(ipv6.clone(), start);
        bench.pass(GATHER / 2);
        bench.engine.seen(both, bench.now);
        assert_eq!(bench.engine.gathered_at("Piano", bench.now), start + GATHER);
        bench.engine.removed("Piano");
        assert!(bench.engine.first_seen.is_empty());
        bench.engine.seen(ipv6, bench.now);
        let again = bench.engine.gathered_at("Piano", bench.now);
        assert_eq!(again, bench.now + GATHER);
    }

    #[test]
    fn what_did_not_go_out_is_asked_for_again() {
        let mut bench = Bench::new();
        let id = bench.announce("Piano");
        bench.pass(LISTEN);
        assert_eq!(bench.pass(RETRY), ["+Piano"]);
        bench.engine.not_registered(id, bench.now);
        assert_eq!(bench.pass(RETRY / 10), ["+Piano"]);
        bench.engine.announced("Piano", bench.now);
        bench.pass(SECOND);
        bench.engine.interfaces_changed(bench.now);
        assert_eq!(bench.pass(SETTLE), ["+Piano"], "a new address");
    }

    #[test]
    fn a_renamed_host_is_still_ours() {
        let mut bench = Bench::new();
        let id = bench.announce("Piano");
        bench.pass(LISTEN);
        bench.engine.announced("Piano", bench.now);
        bench.pass(RETRY);
        let host = bench.engine.own[&id].service.host.clone();
        bench.engine.host_renamed(&host, "renamed.local.");
        let echo = sighting("Piano", "renamed.local.", &[("10.0.0.1", 2)]);
        bench.engine.seen(echo, bench.now);
        assert!(bench.engine.directory.sessions().is_empty());
        assert!(bench.pass(RETRY).is_empty(), "and no conflict");
    }

    #[test]
    fn an_announcement_that_nobody_saw_needs_no_goodbye() {
        let mut bench = Bench::new();
        let id = bench.announce("Piano");
        assert_eq!(bench.engine.withdraw(id), None);
        assert!(bench.pass(RETRY).is_empty());
    }
}
