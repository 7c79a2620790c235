//! When a participant is told what arrived.

use core::time::Duration;

use netmidi_wire::SeqNum;

use crate::time::Time;

/// Feedback goes out at once when the last was this long ago, else as soon as it is.
///
/// Fifty a second at most, and no more than packets come: sooner than the first guard packet of the
/// peer, so that none is sent where nothing was lost, and the peer's history holds what was played
/// during one round trip and a fiftieth of a second. 2,000 octets a second with all headers.
const INTERVAL: Duration = Duration::from_millis(20);

/// What the sender of a stream knows that we hold.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FeedbackState {
    /// The highest number received, once there is one.
    highest: Option<SeqNum>,
    told: Option<SeqNum>,
    told_at: Option<Time>,
}

impl FeedbackState {
    /// A packet was taken, with the highest number so far.
    pub(crate) const fn received(&mut self, seq: SeqNum) {
        self.highest = Some(seq);
    }

    /// When there is something to tell: the time to tell it.
    ///
    /// At once when the sender waits for it: after a repair, and while a system exclusive message
    /// is under way.
    pub(crate) fn due(&self, now: Time, urgent: bool) -> Option<Time> {
        if self.highest == self.told {
            return None;
        }
        match self.told_at {
            Some(at) if !urgent => Some(now.max(at + INTERVAL)),
            _ => Some(now),
        }
    }

    /// What to tell, which is told now.
    pub(crate) const fn tell(&mut self, now: Time) -> Option<SeqNum> {
        self.told = self.highest;
        self.told_at = Some(now);
        self.highest
    }
}
