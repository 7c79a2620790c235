//! What the monitor knows: what it was told and the time go in, what is shown comes out. It grows no
//! further than its bounds, whatever it is told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use netmidi::message::ChannelMessage;

use super::list::{List, Row, What};
use super::told::{Figures, Mark, Short, Told};

/// Sessions that are kept, of those who are here and are tried; further ones are only counted.
pub(crate) const MAX_HERE: usize = 256;
/// Sessions that are kept of those who are gone.
pub(crate) const MAX_GONE: usize = 16;
/// Places to connect to that are shown.
const MAX_LISTENING: usize = 8;
/// How long a struck channel glows.
const GLOW: Duration = Duration::from_millis(800);
/// A step of the roll.
const STEP: Duration = Duration::from_millis(100);
/// Steps that are kept.
pub(crate) const STEPS: usize = 64;
/// Messages a second are counted in parts of one.
const PART: Duration = Duration::from_millis(250);
/// Those of one second, and the one that is counted in.
const PARTS: usize = 5;
/// One that we ask every second for its clock is silent after so long, ...
const SILENT_OURS: Duration = Duration::from_secs(3);
/// ... one that asks us, every ten seconds, after so long.
const SILENT: Duration = Duration::from_secs(13);
/// How long a sentence stays.
const SENTENCE: Duration = Duration::from_secs(12);

/// Notes of each channel, a bit for each.
pub(crate) type Notes = [u128; 16];

/// How somebody is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum State {
    Inviting(String),
    Connected,
    Synchronised,
    /// Nothing was heard of it for some time.
    Silent,
    Gone {
        reason: String,
        detail: String,
    },
}

/// Somebody who plays, or did.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) name: Arc<str>,
    pub(crate) address: Arc<str>,
    pub(crate) state: State,
    pub(crate) latency_us: Option<u64>,
    pub(crate) jitter_us: Option<u64>,
    pub(crate) lost: Option<u64>,
    pub(crate) repaired: Option<u64>,
    pub(crate) messages: u64,
    ours: bool,
    order: u64,
    rate: Rate,
    held: Notes,
    /// Its counters grow as long as it is there; and when they last did.
    signs: u64,
    sign_at: Option<Duration>,
}

impl Session {
    fn new(name: Arc<str>, address: Arc<str>, state: State, order: u64) -> Self {
        Self {
            name,
            address,
            state,
            latency_us: None,
            jitter_us: None,
            lost: None,
            repaired: None,
            messages: 0,
            ours: false,
            order,
            rate: Rate::default(),
            held: [0; 16],
            signs: 0,
            sign_at: None,
        }
    }

    pub(crate) const fn is_gone(&self) -> bool {
        matches!(self.state, State::Gone { .. })
    }

    pub(crate) fn per_second(&self) -> u64 {
        self.rate.per_second()
    }
}

/// Messages a second, over the last one.
#[derive(Clone, Debug, Default)]
struct Rate {
    parts: [u64; PARTS],
    /// The part that is counted in now, counted from the beginning.
    part: u64,
    /// What was so far shown.
    shown: u64,
}

impl Rate {
    fn count(&mut self, now: Duration) {
        self.advance(now);
        if let Some(part) = self.parts.get_mut(place(self.part)) {
            *part += 1;
        }
    }

    fn advance(&mut self, now: Duration) {
        let part = steps(now, PART);
        for gone in 0..part.saturating_sub(self.part).min(PARTS as u64) {
            if let Some(part) = self.parts.get_mut(place(part - gone)) {
                *part = 0;
            }
        }
        if part > self.part {
            self.part = part;
            self.shown = self.parts.iter().sum();
        }
    }

    fn per_second(&self) -> u64 {
        self.shown
    }

    fn is_zero(&self) -> bool {
        self.shown == 0 && self.parts.iter().all(|part| *part == 0)
    }
}

fn place(part: u64) -> usize {
    usize::try_from(part % PARTS as u64).unwrap_or(0)
}

fn steps(now: Duration, step: Duration) -> u64 {
    u64::try_from(now.as_millis() / step.as_millis().max(1)).unwrap_or(u64::MAX)
}

/// How lively a channel is.
#[derive(Clone, Copy, Debug, Default)]
struct Glow {
    peak: u8,
    at: Duration,
}

/// All that is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    sessions: BTreeMap<Arc<str>, Session>,
    /// Sessions beyond those that are kept.
    untracked: u64,
    joined: u64,
    pub(crate) list: List,
    /// Messages that did not go into a list that is cleared.
    pub(crate) messages: u64,
    pub(crate) repaired: u64,
    listening: Vec<String>,
    sentence: Option<(Duration, String)>,
    glow: [Glow; 16],
    /// The last steps, the newest at the end.
    roll: VecDeque<Notes>,
    struck: Notes,
    step: u64,
    version: u64,
    /// When time passed last.
    ticked: Duration,
    /// How much earlier or later the process began that tells us, as far as is known: the times of
    /// messages count from there.
    ahead: Duration,
    behind: Duration,
}

impl Model {
    /// Takes what was told at this time; times only grow.
    pub(crate) fn hear(&mut self, now: Duration, told: Told) {
        self.version += 1;
        match told {
            Told::Began { at } => self.compare(now, at),
            Told::Listening { text } => {
                if !self.listening.contains(&text) && self.listening.len() < MAX_LISTENING {
                    self.listening.push(text);
                }
            }
            Told::Sentence { text } => {
                self.event(now, "", &text);
                self.sentence = Some((now, text));
            }
            Told::Trying { to, state } => {
                let next = State::Inviting(state);
                match self.sessions.get_mut(&to) {
                    Some(session) => session.state = next,
                    None => {
                        let text = Arc::clone(&to);
                        self.insert(to, text, "".into(), next);
                    }
                }
            }
            Told::Connected {
                key,
                name,
                address,
                ours,
            } => self.connected(now, key, name, address, ours),
            Told::Midi {
                key,
                at,
                short,
                mark,
            } => self.midi(now, key, at, short, mark),
            Told::Sync { key, latency_us } => {
                if let Some(session) = self.sessions.get_mut(&key)
                    && !session.is_gone()
                {
                    session.latency_us = Some(latency_us);
                    session.sign_at = Some(now);
                    session.state = State::Synchronised;
                }
            }
            Told::Loss { key, lost } => {
                let name = self.name(&key);
                self.event(now, &name, &format!("{lost} packets lost"));
                if let Some(session) = self.sessions.get_mut(&key) {
                    session.lost = Some(session.lost.unwrap_or(0).saturating_add(lost));
                }
            }
            Told::Disconnected {
                key,
                reason,
                detail,
            } => self.disconnected(now, &key, reason, detail),
            Told::Stats { key, numbers } => self.stats(now, &key, numbers),
        }
    }

    fn connected(
        &mut self,
        now: Duration,
        key: Arc<str>,
        name: Arc<str>,
        address: Arc<str>,
        ours: bool,
    ) {
        let tried = self.tried(&key, &address, ours);
        if let Some(tried) = tried {
            self.sessions.remove(&tried);
        }
        self.event(now, &name, &format!("connected, {address}"));
        match self.sessions.get_mut(&key) {
            Some(session) => {
                let order = session.order;
                *session = Session::new(name, address, State::Connected, order);
                session.ours = ours;
            }
            None => {
                self.insert(Arc::clone(&key), name, address, State::Connected);
                match self.sessions.get_mut(&key) {
                    Some(session) => session.ours = ours,
                    None => self.untracked += 1,
                }
            }
        }
    }

    /// Who was tried, and is this one now.
    fn tried(&self, key: &str, address: &str, ours: bool) -> Option<Arc<str>> {
        // Over TCP nobody says who began.
        if !ours && key != address {
            return None;
        }
        let port = |text: &str| text.rsplit_once(':').map(|(_, port)| port.to_owned());
        let tried = || {
            self.sessions.iter().filter(|(tried, session)| {
                matches!(session.state, State::Inviting(_)) && &***tried != key
            })
        };
        let same = tried().find(|(tried, _)| &***tried == address);
        let same = same.or_else(|| tried().find(|(tried, _)| port(tried) == port(address)));
        // By the name of a session, which says no port.
        let same = same.or_else(|| tried().find(|(tried, _)| ours && port(tried).is_none()));
        same.map(|(tried, _)| Arc::clone(tried))
    }

    fn disconnected(&mut self, now: Duration, key: &Arc<str>, reason: String, detail: String) {
        let name = self.name(key);
        let text = match detail.is_empty() {
            true => format!("disconnected: {reason}"),
            false => format!("disconnected: {detail}"),
        };
        self.event(now, &name, &text);
        let Some(session) = self.sessions.get_mut(key) else {
            self.untracked = self.untracked.saturating_sub(1);
            return;
        };
        session.state = State::Gone { reason, detail };
        session.held = [0; 16];
        // From now on it is ordered by when it went.
        self.joined += 1;
        session.order = self.joined;
        let gone = || self.sessions.iter().filter(|(_, it)| it.is_gone());
        if gone().count() > MAX_GONE
            && let Some(oldest) = gone().min_by_key(|(_, it)| it.order)
        {
            let oldest = Arc::clone(oldest.0);
            self.sessions.remove(&oldest);
        }
    }

    fn insert(&mut self, key: Arc<str>, name: Arc<str>, address: Arc<str>, state: State) {
        let here = self.sessions.values().filter(|it| !it.is_gone()).count();
        if here >= MAX_HERE {
            return;
        }
        self.joined += 1;
        self.sessions
            .insert(key, Session::new(name, address, state, self.joined));
    }

    fn midi(&mut self, now: Duration, key: Arc<str>, at: Duration, short: Short, mark: Mark) {
        self.compare(now, at);
        self.messages += 1;
        self.repaired += u64::from(mark == Mark::Repaired);
        if !self.sessions.contains_key(&key) && self.untracked == 0 {
            // Somebody who was here before we were.
            let name = Arc::clone(&key);
            self.insert(Arc::clone(&key), name, "".into(), State::Connected);
        }
        let mut who = key;
        if let Some(session) = self.sessions.get_mut(&who) {
            session.messages += 1;
            session.rate.count(now);
            session.sign_at = Some(now);
            if session.state == State::Silent {
                session.state = State::Connected;
            }
            if mark == Mark::Repaired {
                session.repaired = Some(session.repaired.unwrap_or(0) + 1);
            }
            if !session.is_gone() {
                hold(&mut session.held, &short);
            }
            who = Arc::clone(&session.name);
        }
        if let Short::Channel(message) = &short {
            let channel = usize::from(message.channel().index());
            let peak = match message {
                ChannelMessage::NoteOn { velocity, .. } => velocity.get(),
                // Somebody turns a knob.
                _ => 40,
            };
            if let Some(glow) = self.glow.get_mut(channel) {
                glow.peak = peak.max(level(*glow, now));
                glow.at = now;
            }
            if let ChannelMessage::NoteOn { note, .. } = message
                && !message.is_note_off()
                && let Some(struck) = self.struck.get_mut(channel)
            {
                *struck |= 1 << note.get();
            }
        }
        self.list.push(Row {
            at,
            who,
            what: What::Midi { short, mark },
        });
    }

    const fn compare(&mut self, now: Duration, at: Duration) {
        self.ahead = at.saturating_sub(now);
        self.behind = now.saturating_sub(at);
    }

    fn stats(&mut self, now: Duration, key: &str, numbers: Figures) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        if session.is_gone() {
            return;
        }
        session.latency_us = numbers.latency_us.or(session.latency_us);
        session.jitter_us = numbers.jitter_us;
        session.lost = numbers.lost.or(session.lost);
        session.repaired = numbers.repaired.or(session.repaired);
        if numbers.signs != session.signs || session.sign_at.is_none() {
            session.signs = numbers.signs;
            session.sign_at = Some(now);
        }
        let patience = if session.ours { SILENT_OURS } else { SILENT };
        let heard = session.sign_at.unwrap_or(now);
        session.state = match now.saturating_sub(heard) > patience && numbers.lost.is_some() {
            true => State::Silent,
            false if numbers.synchronised => State::Synchronised,
            false => State::Connected,
        };
    }

    fn name(&self, key: &Arc<str>) -> Arc<str> {
        let session = self.sessions.get(key);
        session.map_or_else(|| Arc::clone(key), |it| Arc::clone(&it.name))
    }

    fn event(&mut self, now: Duration, who: &str, text: &str) {
        self.list.push(Row {
            at: (now + self.ahead).saturating_sub(self.behind),
            who: who.into(),
            what: What::Event(text.into()),
        });
    }

    /// The source begins anew: nobody is here until it is told again.
    pub(crate) fn restart(&mut self, now: Duration) {
        self.version += 1;
        let keys: Vec<_> = self.sessions.keys().cloned().collect();
        for key in keys {
            if self.sessions.get(&key).is_some_and(|it| !it.is_gone()) {
                self.disconnected(
                    now,
                    &key,
                    "unknown".to_owned(),
                    "no longer watched".to_owned(),
                );
            }
        }
        self.untracked = 0;
        self.listening.clear();
    }

    /// Forgets messages and those who are gone.
    pub(crate) fn clear(&mut self) {
        self.version += 1;
        self.list.clear();
        self.sessions.retain(|_, session| !session.is_gone());
        self.roll.clear();
        self.struck = [0; 16];
        self.sentence = None;
    }

    /// Lets time pass.
    pub(crate) fn tick(&mut self, now: Duration) {
        self.ticked = now;
        for session in self.sessions.values_mut() {
            session.rate.advance(now);
        }
        if self
            .sentence
            .as_ref()
            .is_some_and(|(at, _)| now.saturating_sub(*at) > SENTENCE)
        {
            self.sentence = None;
        }
        let step = steps(now, STEP);
        let passed = step.saturating_sub(self.step);
        if passed > 0 {
            self.step = step;
            let mut first = self.held();
            for (all, struck) in first.iter_mut().zip(std::mem::take(&mut self.struck)) {
                *all |= struck;
            }
            let held = self.held();
            for index in 0..passed.min(STEPS as u64) {
                if self.roll.len() >= STEPS {
                    self.roll.pop_front();
                }
                self.roll.push_back(if index == 0 { first } else { held });
            }
        }
        self.version += 1;
    }

    /// When to let time pass next, because something that is shown changes by itself; none when
    /// nothing does.
    pub(crate) fn next_tick(&self, now: Duration) -> Option<Duration> {
        let glows = self.glow.iter().any(|glow| level(*glow, now) > 0);
        let rolls = self.struck != [0; 16]
            || self.roll.back().is_some_and(|last| {
                *last != self.held() || self.roll.iter().any(|step| step != last)
            })
            || (self.roll.is_empty() && self.held() != [0; 16]);
        let counts = self.sessions.values().any(|it| !it.rate.is_zero());
        let tick = (glows || rolls || counts).then(|| (self.ticked + STEP).max(now));
        let sentence = self.sentence.as_ref();
        let sentence = sentence.map(|(at, _)| (*at + SENTENCE + STEP).max(now));
        [tick, sentence].into_iter().flatten().min()
    }

    /// Changes whenever anything does.
    pub(crate) const fn version(&self) -> u64 {
        self.version
    }

    /// Those who are here first, in the order in which they came; then those who went last.
    pub(crate) fn sessions(&self) -> Vec<&Session> {
        let mut all: Vec<&Session> = self.sessions.values().collect();
        all.sort_by_key(|it| match it.is_gone() {
            false => (false, it.order),
            true => (true, u64::MAX - it.order),
        });
        all
    }

    pub(crate) const fn untracked(&self) -> u64 {
        self.untracked
    }

    pub(crate) fn listening(&self) -> &[String] {
        &self.listening
    }

    pub(crate) fn sentence(&self) -> Option<&str> {
        self.sentence.as_ref().map(|(_, text)| text.as_str())
    }

    /// Whether somebody has this in the name, in small letters.
    pub(crate) fn is_name(&self, part: &str) -> bool {
        let mut all = self.sessions.values();
        all.any(|it| it.name.to_lowercase().contains(part))
    }

    /// Keys that are down.
    pub(crate) fn held(&self) -> Notes {
        let mut all = [0; 16];
        for session in self.sessions.values() {
            for (all, held) in all.iter_mut().zip(session.held) {
                *all |= held;
            }
        }
        all
    }

    /// How lively a channel is, 0 to 127.
    pub(crate) fn level(&self, channel: usize, now: Duration) -> u8 {
        self.glow.get(channel).map_or(0, |glow| level(*glow, now))
    }

    /// The last steps, the newest first.
    pub(crate) fn roll(&self) -> impl Iterator<Item = &Notes> {
        self.roll.iter().rev()
    }
}

fn level(glow: Glow, now: Duration) -> u8 {
    let left = GLOW.saturating_sub(now.saturating_sub(glow.at));
    let level = u128::from(glow.peak) * left.as_millis() / GLOW.as_millis();
    u8::try_from(level).unwrap_or(127)
}

/// What a message does to the keys.
fn hold(held: &mut Notes, short: &Short) {
    let message = match short {
        Short::Channel(message) => message,
        Short::Other { status: 0xFF, .. } => {
            *held = [0; 16];
            return;
        }
        Short::Other { .. } => return,
    };
    let Some(keys) = held.get_mut(usize::from(message.channel().index())) else {
        return;
    };
    match message {
        ChannelMessage::NoteOn { note, .. } | ChannelMessage::NoteOff { note, .. } => {
            match message.is_note_off() {
                true => *keys &= !(1 << note.get()),
                false => *keys |= 1 << note.get(),
            }
        }
        ChannelMessage::ControlChange { control, .. }
            if matches!(control.get(), 120 | 123..=127) =>
        {
            *keys = 0;
        }
        _ => {}
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic is a failed test"
)]
mod tests {
    use netmidi::message::Message;

    use super::super::list::KEPT;
    use super::*;

    fn connected(key: &str, name: &str, ours: bool) -> Told {
        Told::Connected {
            key: key.into(),
            name: name.into(),
            address: "192.0.2.7:5004".into(),
            ours,
        }
    }

    fn midi(key: &str, octets: &[u8]) -> Told {
        Told::Midi {
            key: key.into(),
            at: Duration::ZERO,
            short: Short::of(&Message::parse(octets).unwrap()),
            mark: Mark::Live,
        }
    }

    fn gone(key: &str) -> Told {
        Told::Disconnected {
            key: key.into(),
            reason: "bye".into(),
            detail: "it left".into(),
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_invitation_becomes_the_session_that_it_led_to() {
        let mut model = Model::default();
        let trying = |to: &str| Told::Trying {
            to: to.into(),
            state: "no answer".into(),
        };
        model.hear(SECOND, trying("piano.local:5004"));
        model.hear(SECOND, trying("organ.local:5006"));
        assert!(matches!(model.sessions()[0].state, State::Inviting(_)));
        model.hear(SECOND, connected("0x1", "Piano", true));
        let names: Vec<_> = model
            .sessions()
            .iter()
            .map(|it| it.name.to_string())
            .collect();
        assert_eq!(names, ["organ.local:5006", "Piano"]);
        // Somebody who came by himself is none that we tried.
        model.hear(SECOND, connected("0x2", "Guest", false));
        assert_eq!(model.sessions().len(), 3);
    }

    #[test]
    fn states_follow_what_is_told() {
        let mut model = Model::default();
        model.hear(SECOND, connected("0x1", "Piano", true));
        assert_eq!(model.sessions()[0].state, State::Connected);
        let stats = |signs| Told::Stats {
            key: "0x1".into(),
            numbers: Figures {
                latency_us: Some(500),
                jitter_us: Some(20),
                lost: Some(3),
                repaired: Some(2),
                signs,
                synchronised: true,
            },
        };
        model.hear(SECOND * 2, stats(5));
        assert_eq!(model.sessions()[0].state, State::Synchronised);
        assert_eq!(model.sessions()[0].lost, Some(3));
        model.hear(SECOND * 4, stats(5));
        assert_eq!(model.sessions()[0].state, State::Synchronised);
        model.hear(SECOND * 6, stats(5));
        assert_eq!(model.sessions()[0].state, State::Silent);
        model.hear(SECOND * 7, stats(6));
        assert_eq!(model.sessions()[0].state, State::Synchronised);
        model.hear(SECOND * 8, gone("0x1"));
        assert!(model.sessions()[0].is_gone());
        // Counters that were asked for before.
        model.hear(SECOND * 8, stats(7));
        assert!(model.sessions()[0].is_gone());
        model.hear(SECOND * 9, connected("0x1", "Piano", true));
        assert_eq!(model.sessions()[0].state, State::Connected);
        assert_eq!(model.sessions()[0].lost, None);
    }

    #[test]
    fn keys_are_held_until_they_are_let_go() {
        let mut model = Model::default();
        model.hear(SECOND, connected("a", "A", false));
        model.hear(SECOND, connected("b", "B", false));
        model.hear(SECOND, midi("a", &[0x90, 60, 100]));
        model.hear(SECOND, midi("b", &[0x90, 60, 100]));
        model.hear(SECOND, midi("b", &[0x9F, 127, 1]));
        assert_eq!(model.held()[0], 1 << 60);
        model.hear(SECOND, midi("a", &[0x90, 60, 0]));
        assert_eq!(model.held()[0], 1 << 60, "b holds it still");
        model.hear(SECOND, gone("b"));
        assert_eq!(model.held(), [0; 16]);
        for ends in [&[0xB0, 123, 0][..], &[0xB0, 120, 0], &[0xFF], &[0x80, 1, 1]] {
            model.hear(SECOND, midi("a", &[0x90, 1, 1]));
            assert_eq!(model.held()[0], 2);
            model.hear(SECOND, midi("a", ends));
            assert_eq!(model.held()[0], 0, "{ends:?}");
        }
    }

    #[test]
    fn nothing_moves_when_nothing_happens() {
        let mut model = Model::default();
        assert_eq!(model.next_tick(SECOND), None);
        model.hear(SECOND, connected("a", "A", false));
        assert_eq!(model.next_tick(SECOND), None);
        model.hear(SECOND, midi("a", &[0x90, 60, 100]));
        assert!(model.level(0, SECOND) == 100);
        let mut now = SECOND;
        let mut ticks = 0;
        while let Some(next) = model.next_tick(now) {
            assert!(next >= now);
            now = next;
            model.tick(now);
            ticks += 1;
            assert!(ticks < 200, "a held key settles");
        }
        assert_eq!(model.level(0, now), 0);
        assert_eq!(model.sessions()[0].per_second(), 0);
        assert_eq!(model.roll().next().unwrap()[0], 1 << 60);
    }

    #[test]
    fn messages_a_second_are_counted() {
        let mut model = Model::default();
        for step in 0..4000u32 {
            let now = SECOND + Duration::from_millis(1) * step;
            model.hear(now, midi("a", &[0xF8]));
        }
        let now = SECOND * 5;
        model.tick(now);
        let rate = model.sessions()[0].per_second();
        assert!((990..=1000).contains(&rate), "{rate}");
        model.tick(now + SECOND * 2);
        assert_eq!(model.sessions()[0].per_second(), 0);
    }

    #[test]
    fn a_flood_and_a_million_peers_leave_it_small() {
        let mut model = Model::default();
        for number in 0..1_000_000u32 {
            let now = SECOND + Duration::from_micros(10) * number;
            let key = format!("{number:#010x}");
            model.hear(now, connected(&key, &format!("Peer {number}"), false));
            model.hear(now, midi(&key, &[0x90, 60, 100]));
            model.hear(now, gone(&key));
            if number % 1000 == 0 {
                model.tick(now);
            }
        }
        assert!(
            model.sessions.len() <= MAX_GONE + 1,
            "{}",
            model.sessions.len()
        );
        assert_eq!(model.list.len(), KEPT);
        assert_eq!(model.list.total(), 3_000_000);
        assert_eq!(model.messages, 1_000_000);
        assert!(model.roll.len() <= STEPS);
        assert_eq!(model.held(), [0; 16]);
        assert_eq!(model.untracked(), 0);
        // And those who stay.
        for number in 0..100_000u32 {
            model.hear(SECOND, connected(&format!("k{number}"), "x", false));
            model.hear(SECOND, midi(&format!("k{number}"), &[0x90, 60, 100]));
            let trying = Told::Trying {
                to: format!("t{number}").into(),
                state: String::new(),
            };
            model.hear(SECOND, trying);
            model.hear(
                SECOND,
                Told::Listening {
                    text: number.to_string(),
                },
            );
        }
        assert!(model.sessions.len() <= MAX_HERE + MAX_GONE);
        assert!(model.listening.len() <= MAX_LISTENING);
        assert!(model.untracked() > 90_000);
    }
}
