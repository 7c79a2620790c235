//! Messages that come back over the network.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, Hash, RandomState};
use std::time::{Duration, Instant};

use netmidi_message::{ChannelMessage, Message};

/// What is done about messages that come back over the network: because two bridges join the same two
/// sides, or because a program sends back what it hears.
///
/// Neither RTP-MIDI nor TCP marks a message with where it comes from. All that can be seen of one that
/// returns is that it is the same as one that was passed on just before, and that it comes from somebody
/// else than that one did. So it is with two people who play the same key equally hard at the same time.
/// Nothing tells the two cases apart for a single message, so by default nothing is dropped: a bridge that
/// loses notes is worse than one that tells you of a circle.
///
/// In both cases [`BridgeStats::returned`](super::BridgeStats::returned) counts such messages, and
/// [`BridgeEvent::Circle`](super::BridgeEvent::Circle) names who plays almost nothing else.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Circles {
    /// It is told, and nothing is dropped.
    #[default]
    Tell,
    /// A message is dropped that is the same as one which somebody else played, and which was passed on,
    /// not longer ago than this. Note-offs are the same whatever their velocity.
    ///
    /// Then two bridges that both do so can join the same two sides, and programs may echo: what is
    /// played comes to everybody once, if it takes less than this time to come back; 50 ms is a good
    /// value in one building. It costs one of two equal messages that different people play within that
    /// time. The end of a key or pedal that its player holds is never dropped, so that no note hangs.
    ///
    /// It does not help where a message comes back by the very connection that it first came from, as when
    /// both bridges are in a session with a hub that passes everything on: the same player may repeat what
    /// it likes. Connect such as a tree.
    Break {
        /// How long ago at most.
        within: Duration,
    },
}

/// How long ago at most where nothing is dropped.
const WITHIN: Duration = Duration::from_millis(50);
/// So many messages are remembered; the oldest is forgotten.
const MAX_REMEMBERED: usize = 4096;
/// From so many messages on that return, less those that do not, a member is suspected.
const SUSPECT: u32 = 16;
/// No suspicion takes longer to pass than so many messages.
const MOST: u32 = 64;

/// A message that was passed on.
#[derive(Debug)]
struct Seen<Id> {
    from: Id,
    at: Instant,
}

/// What was passed on a moment ago, to notice what comes back. A [`Bridge`](super::Bridge) has one
/// inside; this is for programs that have a [`Router`](crate::Router) of their own.
///
/// Ask it about a message that has come with [`judge`](Self::judge), unless its player ends something
/// with it that is held ([`Router::is_release`](crate::Router::is_release)), and tell it what was passed
/// on with [`remember`](Self::remember). It keeps 4,096 messages at most, and 8 octets or so for
/// everybody who plays.
#[derive(Debug)]
pub struct Memory<Id> {
    policy: Circles,
    /// By the message's hash and a running number.
    seen: BTreeMap<(u64, u64), Seen<Id>>,
    /// The keys of `seen`, the oldest first.
    order: VecDeque<(u64, u64)>,
    count: u64,
    hasher: RandomState,
    /// How much of what a member plays returns, and whether that was told.
    suspicion: BTreeMap<Id, (u32, bool)>,
}

/// What is known of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Verdict {
    /// Somebody else has just played it.
    pub returned: bool,
    /// It is not to be passed on.
    pub drop: bool,
    /// Its player is suspected, for the first time.
    pub circle: bool,
    /// Almost all that its player plays returns, and that is not over yet: for those who break circles
    /// only where there are some.
    pub suspected: bool,
}

impl<Id: Copy + Ord> Memory<Id> {
    /// Nothing was passed on yet.
    #[must_use]
    pub fn new(policy: Circles) -> Self {
        Self {
            policy,
            seen: BTreeMap::new(),
            order: VecDeque::new(),
            count: 0,
            hasher: RandomState::new(),
            suspicion: BTreeMap::new(),
        }
    }

    /// A message has come.
    pub fn judge(&mut self, from: Id, message: &Message<'_>, now: Instant) -> Verdict {
        self.expire(now);
        let hash = self.hash(message);
        let returned = self
            .seen
            .range((hash, 0)..=(hash, u64::MAX))
            .any(|(_, seen)| seen.from != from);
        let (score, told) = self.suspicion.entry(from).or_default();
        *score = match returned {
            true => (*score + 1).min(MOST),
            false => score.saturating_sub(1),
        };
        let circle = *score >= SUSPECT && !*told;
        *told = circle || (*told && *score > 0);
        Verdict {
            returned,
            drop: returned && self.policy != Circles::Tell,
            circle,
            suspected: *told,
        }
    }

    /// A message was passed on.
    pub fn remember(&mut self, from: Id, message: &Message<'_>, now: Instant) {
        if self.order.len() >= MAX_REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        let key = (self.hash(message), self.count);
        self.count += 1;
        self.seen.insert(key, Seen { from, at: now });
        self.order.push_back(key);
    }

    /// Somebody is gone.
    pub fn left(&mut self, member: Id) {
        self.suspicion.remove(&member);
    }

    fn expire(&mut self, now: Instant) {
        let within = match self.policy {
            Circles::Tell => WITHIN,
            Circles::Break { within } => within,
        };
        while let Some(oldest) = self.order.front()
            && self
                .seen
                .get(oldest)
                .is_none_or(|seen| now.saturating_duration_since(seen.at) > within)
        {
            self.seen.remove(oldest);
            self.order.pop_front();
        }
    }

    /// The same for all that mean the same. Keyed: nobody can make others collide.
    fn hash(&self, message: &Message<'_>) -> u64 {
        match message {
            Message::Channel(
                channel_message @ (ChannelMessage::NoteOff { channel, note, .. }
                | ChannelMessage::NoteOn { channel, note, .. }),
            ) if channel_message.is_note_off() => self.hasher.hash_one((channel, note)),
            _ => self.hasher.hash_one(message),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is a failed test")]
mod tests {
    use netmidi_message::{Channel, Note, RealTime, U7};

    use super::super::event::{MemberId, TcpId};
    use super::*;

    const A: MemberId = MemberId::Tcp(TcpId(1));
    const B: MemberId = MemberId::Tcp(TcpId(2));
    const BREAK: Circles = Circles::Break { within: WITHIN };

    fn on(velocity: u8) -> Message<'static> {
        ChannelMessage::note_on(Channel::C1, Note::MIDDLE_C, U7::new(velocity).unwrap()).into()
    }

    fn off(velocity: u8) -> Message<'static> {
        ChannelMessage::note_off(Channel::C1, Note::MIDDLE_C, U7::new(velocity).unwrap()).into()
    }

    #[test]
    fn only_the_same_of_somebody_else_within_the_time_returns() {
        let now = Instant::now();
        let mut memory = Memory::new(BREAK);
        memory.remember(A, &on(100), now);
        memory.remember(A, &off(64), now);
        assert!(!memory.judge(A, &on(100), now).drop, "its own repetition");
        assert!(!memory.judge(B, &on(99), now).drop, "another velocity");
        assert!(memory.judge(B, &on(100), now + WITHIN).drop);
        assert!(memory.judge(B, &off(0), now + WITHIN).drop);
        assert!(
            memory.judge(B, &on(0), now + WITHIN).drop,
            "the same as off"
        );
        let later = now + WITHIN + Duration::from_micros(1);
        assert!(!memory.judge(B, &on(100), later).drop);
        assert!(memory.seen.is_empty());
    }

    #[test]
    fn nothing_is_dropped_where_it_is_only_told() {
        let now = Instant::now();
        let mut memory = Memory::new(Circles::Tell);
        memory.remember(A, &on(100), now);
        let verdict = memory.judge(B, &on(100), now);
        assert!(verdict.returned && !verdict.drop);
    }

    #[test]
    fn a_circle_is_told_once_until_it_is_over() {
        let now = Instant::now();
        let mut memory = Memory::new(Circles::Tell);
        memory.remember(A, &on(100), now);
        let told = |memory: &mut Memory<MemberId>, message: Message<'_>| {
            (0..100)
                .filter(|_| memory.judge(B, &message, now).circle)
                .count()
        };
        assert_eq!(told(&mut memory, on(100)), 1);
        assert!(memory.judge(B, &on(100), now).suspected);
        assert_eq!(told(&mut memory, on(1)), 0);
        assert!(!memory.judge(B, &on(1), now).suspected);
        assert_eq!(told(&mut memory, on(100)), 1);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let now = Instant::now();
        let mut memory = Memory::new(BREAK);
        memory.remember(A, &on(100), now);
        for _ in 0..MAX_REMEMBERED {
            memory.remember(A, &RealTime::TimingClock.into(), now);
        }
        assert_eq!(memory.seen.len(), MAX_REMEMBERED);
        assert_eq!(memory.order.len(), MAX_REMEMBERED);
        assert!(!memory.judge(B, &on(100), now).drop, "forgotten");
    }
}
