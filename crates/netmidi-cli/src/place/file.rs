//! A Standard MIDI File that plays.

use std::collections::VecDeque;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use netmidi::Origin;
use tokio::time::Sleep;

use crate::event::{Event, Kind, Member, Reason};
use crate::failure::Failure;
use crate::smf::{Player, Selection, Song, load};

/// It plays from when there is somebody else to hear it, once, and is gone at its end.
#[derive(Debug)]
pub(crate) struct FilePlace {
    member: Arc<Member>,
    song: Arc<Song>,
    /// Times count from here.
    epoch: Instant,
    /// Since somebody hears it.
    player: Option<Player>,
    timer: Pin<Box<Sleep>>,
    /// Told before anything else.
    pending: VecDeque<Event>,
    here: bool,
}

impl FilePlace {
    pub(crate) fn open(number: usize, path: &Path) -> Result<Self, Failure> {
        let song = load(path, false)?;
        let name = path.display().to_string();
        let member = Member::new(number, Kind::File { name });
        Ok(Self {
            pending: VecDeque::from([Event::Connected {
                member: Arc::clone(&member),
            }]),
            member,
            song: Arc::new(song),
            epoch: Instant::now(),
            player: None,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            here: true,
        })
    }

    /// Plays from now on.
    pub(crate) fn begin(&mut self) {
        if self.player.is_none() {
            let now = self.epoch.elapsed();
            let song = Arc::clone(&self.song);
            self.player = Some(Player::new(song, Selection::default(), now));
        }
    }

    pub(crate) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if let Some(event) = self.pending.pop_front() {
            return Poll::Ready(Some(event));
        }
        if !self.here {
            return Poll::Ready(None);
        }
        loop {
            let Some(player) = &mut self.player else {
                // Whoever calls `begin` asks again.
                return Poll::Pending;
            };
            let now = self.epoch.elapsed();
            while player.poll_ahead(now).is_some() {}
            if let Some(message) = player.poll_due(now) {
                return Poll::Ready(Some(Event::Midi {
                    member: Arc::clone(&self.member),
                    at: self.epoch + now,
                    message,
                    origin: Origin::Live,
                }));
            }
            if player.is_over(now) {
                return Poll::Ready(Some(self.gone(Reason::Bye, "the end of the file")));
            }
            let due = self.epoch + player.poll_timeout();
            self.timer.as_mut().reset(due.into());
            ready!(self.timer.as_mut().poll(cx));
        }
    }

    fn gone(&mut self, reason: Reason, detail: &str) -> Event {
        self.here = false;
        Event::Disconnected {
            member: Arc::clone(&self.member),
            reason,
            detail: detail.to_owned(),
        }
    }

    pub(crate) fn close(&mut self) {
        self.player = None;
        if self.here {
            let event = self.gone(Reason::Local, "ended here");
            self.pending.push_back(event);
        }
    }
}
