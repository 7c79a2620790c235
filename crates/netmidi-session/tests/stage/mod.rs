//! Hosts that play to each other while things befall them, and what is left of it.

#![allow(dead_code, reason = "every test takes what it needs")]

use core::time::Duration;
use std::collections::BTreeMap;

use netmidi_message::{Channel, ChannelMessage, Controller, Message, MessageBuf, U7};
use netmidi_session::{
    Config, Event, JournalPolicy, LeaveReason, Origin, ParticipantId, Port, Session, Time,
};
use netmidi_testkit::{HostId, Instrument, LinkQuality, Net, Rng, Script, ScriptMix, Tolerance};

/// What a session has to be back within, once everybody is up and can be reached.
pub(crate) const RETURN: Duration = Duration::from_secs(2);
/// How often it is looked at, and a probe sent each way.
const TICK: Duration = Duration::from_millis(10);
/// How long after the last message everything is compared.
const SETTLE: Duration = Duration::from_secs(2);
/// The controller of the probes, on the last channel.
const PROBE: u8 = 119;
/// Those that hold notes: no session may leave one of them on.
const PEDALS: [u8; 3] = [64, 66, 69];

/// What one host plays to one participant.
struct Play {
    script: Option<Script>,
    next: usize,
    due: Time,
    /// The instrument that has had all of it.
    truth: Instrument,
    probes: u8,
}

/// What one host hears from one participant.
struct Hearing {
    peer: HostId,
    instrument: Instrument,
    /// The first probe since they are sent.
    probe_at: Option<Time>,
}

/// All hosts with their players and listeners.
pub(crate) struct Stage {
    pub(crate) net: Net,
    pub(crate) hosts: Vec<HostId>,
    mix: Option<ScriptMix>,
    rng: Rng,
    plays: BTreeMap<(HostId, ParticipantId), Play>,
    hearings: BTreeMap<(HostId, ParticipantId), Hearing>,
    pub(crate) playing: bool,
    probing: bool,
    /// Whoever joins begins to play so much later.
    pub(crate) overture: Duration,
    /// What went wrong on the way.
    pub(crate) problems: Vec<String>,
    /// Whether journals are whole only once the peer has shown that it knows them.
    is_auto: bool,
    /// Ways at the end on which controllers and notes that are silent could not be judged.
    pub(crate) excused: u32,
    /// Why sessions ended, at whom.
    pub(crate) left: Vec<(Time, HostId, LeaveReason)>,
}

impl Stage {
    /// As many hosts, all off; `mix` is what they play, if anything.
    pub(crate) fn new(
        seed: u64,
        hosts: usize,
        v6: bool,
        quality: LinkQuality,
        mix: Option<ScriptMix>,
        configure: impl Fn(&mut Config),
    ) -> Self {
        let mut net = Net::new(seed, quality);
        let mut is_auto = false;
        let hosts = (0..hosts)
            .map(|n| {
                let mut config = Config::new(format!("{n}"));
                configure(&mut config);
                is_auto |= config.journal == JournalPolicy::Auto;
                net.add(config, address(v6, 1 + n as u16))
            })
            .collect();
        Self {
            net,
            hosts,
            mix,
            rng: Rng::new(!seed),
            plays: BTreeMap::new(),
            hearings: BTreeMap::new(),
            playing: mix.is_some(),
            probing: false,
            overture: Duration::ZERO,
            problems: Vec::new(),
            is_auto,
            excused: 0,
            left: Vec::new(),
        }
    }

    /// The session of a host vanishes, and with it what it played and heard.
    pub(crate) fn kill(&mut self, host: HostId) {
        self.net.kill(host);
        self.forget(host);
    }

    pub(crate) fn start(&mut self, host: HostId) {
        self.net.start(host);
        self.forget(host);
    }

    fn forget(&mut self, host: HostId) {
        self.plays.retain(|(it, _), _| *it != host);
        self.hearings.retain(|(it, _), _| *it != host);
    }

    /// Lets time pass, playing.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let until = self.net.now() + time;
        loop {
            let due = self.plays.values().filter_map(|play| {
                let script = play.script.as_ref()?;
                (self.playing && play.next < script.steps.len()).then_some(play.due)
            });
            let next = due.min().map_or(until, |due| due.min(until));
            // Whoever joins begins to play at once.
            while self.net.step(next) {
                if self.hear() {
                    break;
                }
            }
            self.play();
            if self.net.now() >= until {
                break;
            }
        }
        self.net.run_until(until);
        self.hear();
    }

    fn play(&mut self) {
        let now = self.net.now();
        for ((host, participant), play) in &mut self.plays {
            let Some(script) = play.script.as_ref().filter(|_| self.playing) else {
                continue;
            };
            if !self.net.is_up(*host) {
                // It goes on when its host does.
                play.due = now + TICK;
                continue;
            }
            while play.due <= now
                && let Some(step) = script.steps.get(play.next)
            {
                for message in &step.messages {
                    let message = message.as_message();
                    if self.net.send(*host, *participant, message).is_ok() {
                        play.truth.play(&message);
                    }
                }
                play.next += 1;
                if let Some(step) = script.steps.get(play.next) {
                    play.due = play.due + step.wait;
                }
            }
        }
    }

    /// Takes what the sessions have to tell. Returns whether somebody has joined.
    fn hear(&mut self) -> bool {
        let mut joined = false;
        for host in self.hosts.clone() {
            for (at, event) in self.net.take_events(host) {
                match event {
                    Event::Joined { participant, peer } => {
                        joined = true;
                        let peer = HostId(peer.name.parse().unwrap());
                        self.enter(host, participant, peer);
                    }
                    Event::Left {
                        participant,
                        reason,
                    } => {
                        self.left.push((at, host, reason));
                        self.plays.remove(&(host, participant));
                        let hearing = self.hearings.remove(&(host, participant));
                        if let Some(what) = hearing.and_then(|it| still_on(&it.instrument)) {
                            self.problems.push(format!(
                                "{at}: {participant} left host {} ({reason:?}) and {what}",
                                host.0
                            ));
                        }
                    }
                    Event::Message {
                        participant,
                        message,
                        origin,
                        ..
                    } => {
                        let Some(hearing) = self.hearings.get_mut(&(host, participant)) else {
                            self.problems
                                .push(format!("{at}: {participant} plays and is not here"));
                            continue;
                        };
                        hearing.instrument.play(&message.as_message());
                        if self.probing && origin != Origin::Silence && is_probe(&message) {
                            hearing.probe_at.get_or_insert(at);
                        }
                    }
                    Event::Overflow { dropped, .. } => {
                        self.problems
                            .push(format!("{at}: {dropped} events dropped"));
                    }
                    _ => {}
                }
            }
        }
        joined
    }

    fn enter(&mut self, host: HostId, participant: ParticipantId, peer: HostId) {
        let seed = self.rng.bits();
        let play = Play {
            script: self.mix.map(|mix| Script::new(&mix, seed)),
            next: 0,
            due: self.net.now() + self.overture,
            truth: Instrument::new(),
            probes: 0,
        };
        self.plays.insert((host, participant), play);
        let hearing = Hearing {
            peer,
            instrument: Instrument::new(),
            probe_at: None,
        };
        self.hearings.insert((host, participant), hearing);
    }

    /// The participants of a host that are another one, or were before it started again.
    fn participants(&self, host: HostId, peer: HostId) -> Vec<ParticipantId> {
        let all = self.hearings.iter();
        all.filter(|((it, _), hearing)| *it == host && hearing.peer == peer)
            .map(|((_, participant), _)| *participant)
            .filter(|participant| !self.is_ghost(host, *participant, peer))
            .collect()
    }

    /// Whether this is one who was killed right after it had come to where it is, and that started
    /// again elsewhere. Nothing it says now leads back to what it was: it has another identity at
    /// another address. So it stays until it has been silent for too long.
    fn is_ghost(&self, host: HostId, participant: ParticipantId, peer: HostId) -> bool {
        let session = self.net.session(host);
        let told = session.and_then(|it| it.participants().find(|(id, _)| *id == participant));
        let now = self.net.session(peer).map(Session::ssrc);
        told.is_some_and(|(_, told)| {
            Some(told.ssrc) != now
                && [(Port::Control, told.control), (Port::Data, told.data)]
                    .into_iter()
                    .all(|(port, at)| self.net.source(peer, port) != Some(at))
        })
    }

    fn has_ghosts(&self) -> bool {
        self.hearings
            .iter()
            .any(|((host, id), hearing)| self.is_ghost(*host, *id, hearing.peer))
    }

    /// How a host calls another, if it has exactly one session with it, as it is now.
    pub(crate) fn only(&self, host: HostId, peer: HostId) -> Result<ParticipantId, String> {
        let all = self.participants(host, peer);
        let [only] = all[..] else {
            let ids: Vec<_> = self.session_list(host);
            return Err(format!(
                "host {} has {} sessions with host {}: {ids:?}",
                host.0,
                all.len(),
                peer.0
            ));
        };
        let session = self.net.session(host).ok_or("off")?;
        let (_, told) = session
            .participants()
            .find(|(id, _)| *id == only)
            .ok_or_else(|| format!("host {} told of {only}, which has left", host.0))?;
        let now = self.net.session(peer).map(|it| it.ssrc());
        if Some(told.ssrc) == now {
            Ok(only)
        } else {
            Err(format!(
                "host {} has a session with an earlier host {}",
                host.0, peer.0
            ))
        }
    }

    fn session_list(&self, host: HostId) -> Vec<String> {
        let session = self.net.session(host).into_iter();
        session
            .flat_map(|it| it.participants())
            .map(|(id, peer)| format!("{id} {} {:?} {}", peer.name, peer.ssrc, peer.data))
            .collect()
    }

    /// Whether these two have one session, and MIDI has passed both ways in it.
    fn is_back(&self, one: HostId, other: HostId) -> Result<(), String> {
        for (host, peer) in [(one, other), (other, one)] {
            let id = self.only(host, peer)?;
            let hearing = &self.hearings[&(host, id)];
            if hearing.probe_at.is_none() {
                return Err(format!("host {} hears nothing of host {}", host.0, peer.0));
            }
        }
        Ok(())
    }

    fn probe(&mut self) {
        for ((host, participant), play) in &mut self.plays {
            play.probes = (play.probes + 1) % 128;
            let message = ChannelMessage::control_change(
                Channel::C16,
                Controller::new(PROBE).unwrap(),
                U7::new(play.probes).unwrap(),
            );
            let message = message.into();
            if self.net.send(*host, *participant, message).is_ok() {
                play.truth.play(&message);
            }
        }
    }

    /// Everybody is up: how long it takes until each of these pairs has one session in which MIDI
    /// passes both ways, for good. Playing stops on the way.
    pub(crate) fn returns(&mut self, pairs: &[(HostId, HostId)]) -> Result<Duration, String> {
        let beginning = self.net.now();
        let stop = beginning + Duration::from_millis(self.rng.below(1500).into());
        self.probing = true;
        for hearing in self.hearings.values_mut() {
            hearing.probe_at = None;
        }
        let mut since = None;
        let mut last = String::new();
        while self.net.now() < beginning + RETURN {
            self.probe();
            self.run_for(TICK);
            self.playing &= self.net.now() < stop;
            match pairs.iter().try_for_each(|(a, b)| self.is_back(*a, *b)) {
                Ok(()) => since = since.or(Some(self.net.now())),
                Err(what) => {
                    last = what;
                    since = None;
                }
            }
        }
        self.probing = false;
        self.playing = false;
        since
            .map(|since| since.since(beginning))
            .ok_or_else(|| format!("not back after {RETURN:?}: {last}"))
    }

    /// Whether after all every instrument is what the player's is.
    pub(crate) fn finish(&mut self, pairs: &[(HostId, HostId)]) -> Result<(), String> {
        self.run_for(SETTLE);
        for (one, other) in pairs.iter().copied() {
            for (from, to) in [(one, other), (other, one)] {
                let sender = &self.plays[&(from, self.only(from, to)?)].truth;
                let id = self.only(to, from)?;
                let receiver = &self.hearings[&(to, id)].instrument;
                let stats = |host, id| {
                    let session = self.net.session(host).unwrap();
                    session.participant_stats(id).unwrap()
                };
                let (received, sent) = (stats(to, id), stats(from, self.only(from, to)?));
                let lost = received.sysex_lost + received.sysex_abandoned + sent.sysex_unprotected;
                let tolerance = Tolerance::REPAIRED.with_missing_sysex(lost as usize);
                let missing: u32 = receiver
                    .missing_notes(sender)
                    .filter(|(.., untold)| !untold)
                    .map(|(_, _, times, _)| times)
                    .sum();
                // Nothing hangs, whatever happened.
                let hanging = receiver.hanging(sender);
                let silent = (u64::from(missing) > received.notes_skipped)
                    .then(|| format!("{missing} notes are silent"));
                let differs = || silent.or_else(|| receiver.difference(sender, &tolerance));
                // Packets of the session before, overtaken by the new one: what they said was the
                // latest word, but it is not of this session.
                let is_mixed = received.resynchronised + received.held_back > 0;
                // Lost before either knew that the other reads journals: told as not covered, or
                // before anything came at all.
                let arrived = received.packets_received + received.lost + received.reordered;
                let is_untold = received.uncovered_losses > 0 || sent.packets_sent > arrived;
                let is_untold = is_untold && self.is_auto;
                let excused = is_mixed || is_untold;
                self.excused += u32::from(excused);
                let what = hanging.or_else(|| differs().filter(|_| !excused));
                if let Some(what) = what {
                    return Err(format!("host {} hears host {}: {what}", to.0, from.0));
                }
            }
        }
        if self.has_ghosts() {
            self.run_for(Duration::from_secs(60));
            if self.has_ghosts() {
                return Err("somebody who is gone stays for more than a minute".into());
            }
        }
        match &self.problems[..] {
            [] => Ok(()),
            problems => Err(problems.join("; ")),
        }
    }
}

fn is_probe(message: &MessageBuf) -> bool {
    matches!(
        message.as_message(),
        Message::Channel(ChannelMessage::ControlChange { channel, control, .. })
            if channel == Channel::C16 && control.get() == PROBE
    )
}

/// What somebody who left has left on.
fn still_on(instrument: &Instrument) -> Option<String> {
    let notes = instrument.sounding_notes();
    if notes > 0 {
        return Some(format!("{notes} notes sound"));
    }
    (0..16).find_map(|channel| {
        let channel = Channel::from_index(channel)?;
        let held = PEDALS.into_iter().find(|pedal| {
            let pedal = Controller::new(*pedal).unwrap();
            instrument
                .control(channel, pedal)
                .is_some_and(|it| it >= 64)
        })?;
        Some(format!("controller {held} of {channel:?} is on"))
    })
}

/// An address of the network: the `n`th.
pub(crate) fn address(v6: bool, n: u16) -> core::net::IpAddr {
    if v6 {
        [0x2001, 0xdb8, 0, 0, 0, 0, 0, n].into()
    } else {
        let [high, low] = n.to_be_bytes();
        [198, 18, high, low].into()
    }
}

/// The slower half of all, and so on.
pub(crate) fn distribution(times: &mut [Duration]) -> String {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    format!(
        "{} times: median {:?}, 95 % {:?}, 99 % {:?}, longest {:?}",
        times.len(),
        at(50),
        at(95),
        at(99),
        at(100)
    )
}

/// Does this for each of the seeds, on two threads; prints the distribution of the times and fails
/// with the seeds that failed.
pub(crate) fn each(
    what: &str,
    seeds: impl IntoIterator<Item = u64>,
    run: impl Fn(u64) -> Result<Duration, String> + Sync,
) {
    let seeds: Vec<u64> = seeds.into_iter().collect();
    let half = seeds.len().div_ceil(2).max(1);
    let results: Vec<(u64, Result<Duration, String>)> = std::thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = seeds
            .chunks(half)
            .map(|seeds| {
                scope.spawn(move || -> Vec<_> { seeds.iter().map(|it| (*it, run(*it))).collect() })
            })
            .collect();
        let done = threads.into_iter().map(|it| it.join().unwrap());
        done.flatten().collect()
    });
    let mut times: Vec<Duration> = results
        .iter()
        .filter_map(|(_, it)| it.as_ref().ok().copied())
        .collect();
    if !times.is_empty() {
        let slowest = results
            .iter()
            .filter_map(|(seed, it)| Some((it.as_ref().ok()?, seed)));
        let (_, seed) = slowest.max().unwrap();
        println!("{what}: {}, of seed {seed}", distribution(&mut times));
    }
    let failed: Vec<String> = results
        .iter()
        .filter_map(|(seed, it)| Some(format!("seed {seed}: {}", it.as_ref().err()?)))
        .collect();
    let shown = failed.iter().take(10).cloned().collect::<Vec<_>>();
    assert!(
        failed.is_empty(),
        "{what}: {} of {} failed\n{}",
        failed.len(),
        results.len(),
        shown.join("\n")
    );
}

/// A number from the environment, to play one seed again or more of them.
pub(crate) fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(value) => value.parse().expect("a number"),
        Err(_) => default,
    }
}

/// The seeds from `NETMIDI_SEED` on, `NETMIDI_SCRIPTS` of them or as many as here.
pub(crate) fn seeds(count: u64) -> core::ops::Range<u64> {
    let first = number("NETMIDI_SEED", 1);
    first..first + number("NETMIDI_SCRIPTS", count)
}
