//! Plays a song in time. It has no clock: it is told the time, and asked what is due.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use netmidi::message::{ChannelMessage, MessageBuf};

use super::chase::Chase;
use super::song::{Song, Timed};
use crate::filter::{Filter, Passed};

/// So long before their time messages are handed to those who can keep them until then.
pub(crate) const LEAD: Duration = Duration::from_millis(100);

/// What of a song is played, and how.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    /// The first moment that sounds.
    pub(crate) from: Duration,
    /// The moment at which it ends, if not at the end of the song.
    pub(crate) to: Option<Duration>,
    /// 2 is twice as fast.
    pub(crate) speed: f64,
    /// From the beginning again, for ever.
    pub(crate) repeat: bool,
    /// What of it is played; drums, on channel 10, are not transposed.
    pub(crate) filter: Filter,
}

impl Default for Selection {
    fn default() -> Self {
        Self {
            from: Duration::ZERO,
            to: None,
            speed: 1.0,
            repeat: false,
            filter: Filter::default(),
        }
    }
}

/// The channel of drums, in General MIDI.
const DRUMS: u8 = 9;

/// A song that is being played. All times are those of the caller's clock, from any epoch.
///
/// Messages come twice: [`poll_ahead`](Self::poll_ahead) gives each up to [`LEAD`] before its time,
/// for those who can be given messages for later, and [`poll_due`](Self::poll_due) when it is due,
/// for the others.
#[derive(Debug)]
pub(crate) struct Player {
    song: Arc<Song>,
    selection: Selection,
    /// When `from` sounds, in this round.
    origin: Duration,
    /// The next message of the song.
    next: usize,
    /// All rounds are handed out.
    exhausted: bool,
    /// When all is over.
    end: Duration,
    /// What is to be handed out before anything else.
    queue: VecDeque<Timed>,
    /// What was handed out and is not due yet.
    ahead: VecDeque<Timed>,
    /// What was handed out has led to this.
    handed: Chase,
    /// What is due has led to this.
    due: Chase,
    /// What brings instruments to where they are at `from`.
    opening: Vec<ChannelMessage>,
    /// Messages that were due.
    played: u64,
}

impl Player {
    /// Begins at `now`: the first moment of the selection sounds then.
    pub(crate) fn new(song: Arc<Song>, selection: Selection, now: Duration) -> Self {
        let mut player = Self {
            origin: now,
            next: 0,
            exhausted: false,
            end: now,
            queue: VecDeque::new(),
            ahead: VecDeque::new(),
            handed: Chase::default(),
            due: Chase::default(),
            opening: Vec::new(),
            played: 0,
            song,
            selection,
        };
        let mut opening = Chase::default();
        for timed in player.song.messages.iter().take(player.first()) {
            if let Some(message) = player.select(&timed.message) {
                opening.observe(&message.as_message());
            }
        }
        opening.bring(&mut player.opening);
        player.open();
        player
    }

    /// The next message that is to be given to those who can keep it, with its time.
    pub(crate) fn poll_ahead(&mut self, now: Duration) -> Option<Timed> {
        loop {
            if let Some(timed) = self.queue.pop_front() {
                self.handed.observe(&timed.message.as_message());
                self.ahead.push_back(timed.clone());
                return Some(timed);
            }
            if self.exhausted {
                return None;
            }
            let next = self.next_of_song();
            let at = self.moment(next.map_or_else(|| self.last(), |message| message.at));
            if at > now + LEAD {
                return None;
            }
            match next.map(|next| self.select(&next.message)) {
                Some(selected) => {
                    self.next += 1;
                    self.queue
                        .extend(selected.map(|message| Timed { at, message }));
                }
                None => self.close(at),
            }
        }
    }

    /// The next message that sounds now. Ask [`poll_ahead`](Self::poll_ahead) before.
    pub(crate) fn poll_due(&mut self, now: Duration) -> Option<MessageBuf> {
        if self.ahead.front()?.at > now {
            return None;
        }
        let timed = self.ahead.pop_front()?;
        self.due.observe(&timed.message.as_message());
        self.played += 1;
        Some(timed.message)
    }

    /// When to ask again.
    pub(crate) fn poll_timeout(&self) -> Duration {
        let due = self.ahead.front().map(|timed| timed.at);
        if self.exhausted && self.queue.is_empty() {
            return due.unwrap_or(self.end);
        }
        let next = self.next_of_song();
        let next = self.moment(next.map_or_else(|| self.last(), |message| message.at));
        let ahead = match self.queue.is_empty() {
            true => next.saturating_sub(LEAD),
            false => Duration::ZERO,
        };
        due.map_or(ahead, |due| due.min(ahead))
    }

    /// Whether the last message was handed out and the song is over.
    pub(crate) fn is_over(&self, now: Duration) -> bool {
        self.exhausted && self.queue.is_empty() && self.ahead.is_empty() && now >= self.end
    }

    /// What one who joins now is to be told: first the programs and controllers as they are, at once,
    /// then what the others were given for later.
    pub(crate) fn join(&self) -> (Vec<ChannelMessage>, impl Iterator<Item = &Timed>) {
        let mut out = Vec::new();
        self.due.bring(&mut out);
        (out, self.ahead.iter())
    }

    /// Stops: what lets go everything that was begun. Messages that were given for later are to be
    /// taken back before.
    pub(crate) fn stop(&mut self) -> Vec<ChannelMessage> {
        let mut out = Vec::new();
        self.due.rest(&mut out);
        let mut rest = Vec::new();
        // Some of what was given for later may have gone out already.
        self.handed.rest(&mut rest);
        rest.retain(|message| !out.contains(message));
        out.append(&mut rest);
        self.queue.clear();
        self.ahead.clear();
        self.exhausted = true;
        self.due = Chase::default();
        self.handed = Chase::default();
        out
    }

    /// Where in the song `now` is.
    pub(crate) fn position(&self, now: Duration) -> Duration {
        let gone = now.saturating_sub(self.origin);
        let position = self.selection.from + scaled(gone, self.selection.speed, 1.0);
        position.min(self.last())
    }

    /// Messages that were due so far.
    pub(crate) const fn played(&self) -> u64 {
        self.played
    }

    /// The last moment of the selection.
    fn last(&self) -> Duration {
        let length = self.song.length;
        let last = self.selection.to.map_or(length, |to| to.min(length));
        last.max(self.selection.from)
    }

    /// The first message of the selection.
    fn first(&self) -> usize {
        let messages = &self.song.messages;
        messages.partition_point(|message| message.at < self.selection.from)
    }

    /// The next message of this round.
    fn next_of_song(&self) -> Option<&Timed> {
        let next = self.song.messages.get(self.next)?;
        // Those at the very end of the song are part of it, those at a `to` are not.
        self.selection
            .to
            .is_none_or(|to| next.at < to)
            .then_some(next)
    }

    /// When a moment of the song sounds.
    fn moment(&self, at: Duration) -> Duration {
        let after = at.saturating_sub(self.selection.from);
        self.origin + scaled(after, 1.0, self.selection.speed)
    }

    /// A round begins.
    fn open(&mut self) {
        self.next = self.first();
        let at = self.origin;
        self.queue.extend(self.opening.iter().map(|message| Timed {
            at,
            message: (*message).into(),
        }));
    }

    /// A round ends: what hangs is let go.
    fn close(&mut self, at: Duration) {
        let mut rest = Vec::new();
        self.handed.rest(&mut rest);
        self.queue.extend(rest.into_iter().map(|message| Timed {
            at,
            message: message.into(),
        }));
        // A round that takes no time would have no end.
        if self.selection.repeat && at > self.origin {
            self.origin = at;
            self.open();
        } else {
            self.end = at;
            self.exhausted = true;
        }
    }

    /// The message as it is played, if it is.
    fn select(&self, message: &MessageBuf) -> Option<MessageBuf> {
        let is_drum = |it: &ChannelMessage| it.channel().index() == DRUMS;
        let passed = match message {
            MessageBuf::Channel(message) if is_drum(message) => {
                let filter = Filter {
                    transpose: 0,
                    ..self.selection.filter.clone()
                };
                filter.apply((*message).into())
            }
            other => self.selection.filter.apply(other.as_message()),
        };
        match passed {
            Passed::On(message) => Some(message.to_buf()),
            Passed::Nothing | Passed::LetGo => None,
        }
    }
}

/// A span of time at another speed; exact where the speed is the same.
fn scaled(span: Duration, by: f64, through: f64) -> Duration {
    #[allow(clippy::float_cmp, reason = "1 is exact")]
    if by == through {
        return span;
    }
    Duration::try_from_secs_f64(span.as_secs_f64() * by / through).unwrap_or(Duration::MAX / 4)
}
