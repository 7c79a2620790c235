//! A stream of music into our client, and what of it our server prints.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::child::{Feed, Line, Program};
use crate::list::Random;
use crate::sounding::Sounding;
use crate::stage::{Stop, Verdict};

/// Time between two messages, beside the ends of notes.
const STEP: Duration = Duration::from_millis(8);

/// Lines that were written before something happened may be read so much after it.
const LAG: Duration = Duration::from_millis(50);

/// Plays notes, controllers, pitch bends and programs on four channels, in a thread, until
/// [`end`](Self::end).
#[derive(Debug)]
pub(crate) struct Player {
    orders: Arc<Orders>,
    thread: JoinHandle<Result<Played, Stop>>,
}

#[derive(Debug, Default)]
struct Orders {
    settle: AtomicBool,
    end: AtomicBool,
}

/// What was played.
#[derive(Debug)]
pub(crate) struct Played {
    /// The client's standard input.
    pub(crate) feed: Feed,
    /// What an instrument holds that heard everything since [`Player::settle`].
    pub(crate) sounding: Sounding,
    pub(crate) messages: usize,
}

impl Player {
    pub(crate) fn start(feed: Feed, seed: u32) -> Self {
        let orders = Arc::new(Orders::default());
        let thread = thread::spawn({
            let orders = Arc::clone(&orders);
            move || play(feed, seed, &orders)
        });
        Self { orders, thread }
    }

    /// The network is as it stays: from now on every value counts.
    pub(crate) fn settle(&self) {
        self.orders.settle.store(true, Ordering::Relaxed);
    }

    /// Lifts every key and ends.
    pub(crate) fn end(self) -> Result<Played, Stop> {
        self.orders.end.store(true, Ordering::Relaxed);
        let broke = |_| Stop::Failed("the thread that plays broke".to_owned());
        self.thread.join().map_err(broke)?
    }
}

fn play(mut feed: Feed, seed: u32, orders: &Orders) -> Result<Played, Stop> {
    let mut random = Random::new(seed);
    let mut sounding = Sounding::default();
    let mut messages = 0;
    // Channel and note, and when the key is lifted.
    let mut keys: BTreeMap<(u8, u8), Instant> = BTreeMap::new();
    loop {
        let now = Instant::now();
        let ended = orders.end.load(Ordering::Relaxed);
        if orders.settle.swap(false, Ordering::Relaxed) {
            sounding.forget_values();
        }
        let mut lines = Vec::new();
        keys.retain(|(channel, note), until| {
            let lift = ended || *until <= now;
            if lift {
                lines.push(format!(
                    "note_off channel={channel} note={note} velocity=64"
                ));
            }
            !lift
        });
        if !ended {
            let channel = random.octet(4);
            lines.push(match random.below(10) {
                0..4 => {
                    let mut key = (channel, 30 + random.octet(60));
                    while keys.contains_key(&key) {
                        key.1 = 30 + random.octet(60);
                    }
                    let length = Duration::from_millis(30 + u64::from(random.below(700)));
                    keys.insert(key, now + length);
                    format!("note_on channel={channel} note={} velocity=90", key.1)
                }
                4..8 => {
                    let controls = [1, 7, 10, 11, 64, 74];
                    let control = controls.get(random.below(6) as usize).copied();
                    format!(
                        "control_change channel={channel} control={} value={}",
                        control.unwrap_or(7),
                        random.octet(128)
                    )
                }
                8 => {
                    let pitch = i64::from(random.below(16_384)) - 8_192;
                    format!("pitchwheel channel={channel} pitch={pitch}")
                }
                _ => format!(
                    "program_change channel={channel} program={}",
                    random.octet(128)
                ),
            });
        }
        for line in &lines {
            sounding.play(line);
        }
        messages += lines.len();
        if !lines.is_empty() {
            feed.write(&format!("{}\n", lines.join("\n")))?;
        }
        if ended {
            return Ok(Played {
                feed,
                sounding,
                messages,
            });
        }
        thread::sleep(STEP);
    }
}

/// The server, and the instrument that is played what it prints.
#[derive(Debug)]
pub(crate) struct Listener {
    server: Program,
    sounding: Sounding,
    /// How many lines of each kind it printed.
    kinds: BTreeMap<String, usize>,
    /// Sessions that it has just now. Two, for a moment, when the client comes in from elsewhere.
    sessions: usize,
    last_midi: Option<Instant>,
    longest_pause: Duration,
}

impl Listener {
    pub(crate) fn new(server: Program) -> Self {
        Self {
            server,
            sounding: Sounding::default(),
            kinds: BTreeMap::new(),
            sessions: 0,
            last_midi: None,
            longest_pause: Duration::ZERO,
        }
    }

    pub(crate) const fn server(&self) -> &Program {
        &self.server
    }

    /// Another server, which knows nothing of what was.
    pub(crate) fn replace(&mut self, server: Program) {
        self.server = server;
        self.sounding = Sounding::default();
        self.sessions = 0;
        self.last_midi = None;
    }

    /// Listens for so long.
    pub(crate) fn listen(&mut self, time: Duration) -> Verdict {
        let end = Instant::now() + time;
        while let Some(line) = self
            .server
            .next(end.saturating_duration_since(Instant::now()))
        {
            self.hear(&line)?;
        }
        Ok(())
    }

    /// How long after `since` MIDI flows, by the time that a line of it was read.
    pub(crate) fn until_midi(
        &mut self,
        what: &str,
        since: Instant,
        limit: Duration,
    ) -> Result<Duration, Stop> {
        // Longer than the limit, to tell how late it is.
        let end = since + limit + Duration::from_secs(10);
        while let Some(line) = self
            .server
            .next(end.saturating_duration_since(Instant::now()))
        {
            if self.hear(&line)? == "midi" && line.at > since + LAG {
                let time = line.at - since;
                return if time <= limit {
                    Ok(time)
                } else {
                    Err(format!("{what}: no MIDI for {time:.1?}, longer than {limit:?}").into())
                };
            }
        }
        Err(format!("{what}: no MIDI any more").into())
    }

    /// From now on pauses count.
    pub(crate) const fn forget_pauses(&mut self) {
        self.longest_pause = Duration::ZERO;
    }

    /// The longest time between two lines of MIDI since [`forget_pauses`](Self::forget_pauses).
    pub(crate) fn longest_pause(&self, what: &str, limit: Duration) -> Result<Duration, Stop> {
        let pause = self.longest_pause;
        if pause <= limit {
            Ok(pause)
        } else {
            Err(format!("{what}: a pause of {pause:.1?}, longer than {limit:?}").into())
        }
    }

    /// Listens until the instrument holds what `sender` does.
    pub(crate) fn until_same(&mut self, sender: &Sounding, limit: Duration) -> Verdict {
        let end = Instant::now() + limit;
        loop {
            let Some(difference) = self.sounding.difference(sender) else {
                return Ok(());
            };
            match self
                .server
                .next(end.saturating_duration_since(Instant::now()))
            {
                Some(line) => self.hear(&line)?,
                None => {
                    let keys: Vec<_> = self.sounding.keys().collect();
                    return Err(format!(
                        "at the end the server is wrong about {difference}; down: {keys:?}"
                    )
                    .into());
                }
            };
        }
    }

    /// The lines so far, by kind.
    pub(crate) fn counts(&self) -> String {
        let count = |(kind, count)| format!("{kind} {count}");
        let counts: Vec<String> = self.kinds.iter().map(count).collect();
        counts.join(", ")
    }

    fn hear<'l>(&mut self, line: &'l Line) -> Result<&'l str, Stop> {
        let kind = self.sounding.play_line(&line.text);
        *self.kinds.entry(kind.to_owned()).or_default() += 1;
        match kind {
            "midi" => {
                let last = self.last_midi.replace(line.at).unwrap_or(line.at);
                self.longest_pause = self.longest_pause.max(line.at - last);
            }
            "connected" => self.sessions += 1,
            "disconnected" => self.sessions = self.sessions.saturating_sub(1),
            _ => {}
        }
        if self.sessions == 0 && !self.sounding.is_silent() {
            let keys: Vec<_> = self.sounding.keys().collect();
            return Err(format!("nobody is there, and {keys:?} are down").into());
        }
        Ok(kind)
    }
}
