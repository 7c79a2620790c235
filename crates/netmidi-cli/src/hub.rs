//! The hub: hears all places of a command, and passes on between them.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use netmidi::bridge::{Circles, Memory};
use netmidi::message::{Message, RealTime};
use netmidi::{Router, Routing};

use crate::event::{Event, Kind, Member, MemberId};
use crate::filter::{Filter, Passed};
use crate::place::Place;

/// So many octets of a place that can wait may be on their way to RTP-MIDI peers before no more is
/// read of it.
const WINDOW: usize = 8 << 10;
/// What a message counts beyond its octets.
const OVERHEAD: usize = 64;
/// When to try again to let go what somebody had no room for.
const PAY_AGAIN: Duration = Duration::from_millis(10);

/// Who hears whom, by the places that they are at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ways {
    /// What one plays at a place goes to the other places.
    pub(crate) across: bool,
    /// What one plays goes to all others at the same place.
    pub(crate) together: bool,
    /// What one plays goes back to it.
    pub(crate) echo: bool,
    /// The places that only hear, by their numbers.
    pub(crate) deaf_to: Vec<usize>,
    /// The places that only play, by their numbers.
    pub(crate) silent_for: Vec<usize>,
}

impl Routing for Ways {
    type Id = MemberId;
    type Peer = Arc<Member>;

    fn leads(&self, from: &Arc<Member>, to: &Arc<Member>) -> bool {
        if self.deaf_to.contains(&from.place) || self.silent_for.contains(&to.place) {
            return false;
        }
        if from.id == to.id {
            return self.echo;
        }
        match from.place == to.place {
            true => self.together && !is_same(from, to),
            false => self.across,
        }
    }

    fn is_empty(&self) -> bool {
        !self.across && !self.together && !self.echo
    }
}

/// Two sessions with the same peer, by two ports or address families.
fn is_same(one: &Member, other: &Member) -> bool {
    match (&one.kind, &other.kind) {
        (Kind::Rtp(one), Kind::Rtp(other)) => one.ssrc == other.ssrc && one.name == other.name,
        _ => false,
    }
}

/// What became of messages.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HubStats {
    /// Messages that somebody else had played just before.
    pub(crate) returned: u64,
    /// Those of them that were not passed on.
    pub(crate) dropped: u64,
    /// Messages that somebody had no room for.
    pub(crate) not_sent: u64,
    /// F4, F5, F9, FD and active sensing, which are of one connection only.
    pub(crate) not_passed: u64,
}

/// All places of a command.
pub(crate) struct Hub {
    places: Vec<Option<Place>>,
    members: BTreeMap<MemberId, Arc<Member>>,
    router: Router<Ways>,
    memory: Memory<MemberId>,
    /// Told before anything else.
    pending: VecDeque<Event>,
    /// Octets of each place that RTP-MIDI peers may not have been sent yet, and what is waited for
    /// before more of it is read.
    behind: Vec<(usize, Option<BoxFuture<'static, ()>>)>,
    pay: Option<BoxFuture<'static, ()>>,
    /// The place that is asked first.
    turn: usize,
    /// Whether anybody hears anybody.
    passes: bool,
    filter: Filter,
    /// Whether that is dropped which comes back by somebody who plays almost nothing else.
    breaks_circles: bool,
    stats: HubStats,
}

impl Hub {
    /// The place numbers are their places in the list.
    pub(crate) fn new(places: Vec<Place>, ways: Ways, circles: Circles) -> Self {
        Self {
            behind: places.iter().map(|_| (0, None)).collect(),
            places: places.into_iter().map(Some).collect(),
            passes: !ways.is_empty(),
            members: BTreeMap::new(),
            router: Router::new(ways),
            memory: Memory::new(circles),
            filter: Filter::default(),
            breaks_circles: false,
            pending: VecDeque::new(),
            pay: None,
            turn: 0,
            stats: HubStats::default(),
        }
    }

    /// Passes on only what the filter lets through.
    pub(crate) fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Breaks circles as soon as they are noticed.
    pub(crate) const fn break_circles(mut self) -> Self {
        self.breaks_circles = true;
        self
    }

    /// What happens next, passed on already; none when nothing will happen any more.
    ///
    /// Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| {
            let coop = std::task::ready!(tokio::task::coop::poll_proceed(cx));
            let next = self.poll_next(cx);
            if next.is_ready() {
                coop.made_progress();
            }
            next
        })
        .await
    }

    /// The places that are open.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Place> {
        self.places.iter().flatten()
    }

    /// Who is there.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.members.values()
    }

    pub(crate) const fn stats(&self) -> HubStats {
        self.stats
    }

    /// Whether anybody hears what others play.
    pub(crate) const fn passes(&self) -> bool {
        self.passes
    }

    /// Sends a message of ours to everybody.
    pub(crate) fn send_to_all(&mut self, message: Message<'_>) {
        for member in self.members.values() {
            let place = self.places.get_mut(member.place).and_then(Option::as_mut);
            if place.is_some_and(|place| !place.send(member, message)) {
                self.stats.not_sent += 1;
            }
        }
    }

    /// Sends a message of ours to one who is there.
    pub(crate) fn send_to(&mut self, member: &Member, message: Message<'_>) {
        let place = self.places.get_mut(member.place).and_then(Option::as_mut);
        if place.is_some_and(|place| !place.send(member, message)) {
            self.stats.not_sent += 1;
        }
    }

    /// Gives a message of ours that sounds later to one who can keep it until then, with its time;
    /// whether it can.
    pub(crate) fn send_at(&mut self, member: &Member, at: Instant, message: Message<'_>) -> bool {
        let place = self.places.get_mut(member.place).and_then(Option::as_mut);
        match place.and_then(|place| place.send_at(member, at, message)) {
            Some(true) => true,
            Some(false) => {
                self.stats.not_sent += 1;
                true
            }
            None => false,
        }
    }

    /// Whether one can be given messages for later.
    pub(crate) fn keeps_time(&self, member: &Member) -> bool {
        let place = self.places.get(member.place).and_then(Option::as_ref);
        matches!(place, Some(Place::Rtp(_)))
    }

    /// Takes back what one was given for later and has not gone out.
    pub(crate) fn take_back(&mut self, member: &Member) {
        if let Some(place) = self.places.get_mut(member.place).and_then(Option::as_mut) {
            place.take_back(member);
        }
    }

    /// Done when what was sent before has gone out to everybody.
    pub(crate) fn flush(&self) -> BoxFuture<'static, ()> {
        self.at_all(Place::flush)
    }

    /// Done when what was sent before has left this process, TCP included: not for what others play,
    /// because one who does not read would hold up itself.
    pub(crate) fn drain(&self) -> BoxFuture<'static, ()> {
        self.at_all(Place::drain)
    }

    /// Done when all have told that they have what was sent before, which some never do.
    pub(crate) fn delivered(&self) -> BoxFuture<'static, ()> {
        self.at_all(Place::delivered)
    }

    fn at_all(
        &self,
        what: impl Fn(&Place, &[Arc<Member>]) -> BoxFuture<'static, ()>,
    ) -> BoxFuture<'static, ()> {
        let members: Vec<Vec<Arc<Member>>> = (0..self.places.len())
            .map(|place| {
                self.members
                    .values()
                    .filter(|it| it.place == place)
                    .cloned()
                    .collect()
            })
            .collect();
        let all = self.places.iter().zip(&members);
        let all = all.filter_map(|(place, members)| Some(what(place.as_ref()?, members)));
        join_all(all.collect::<Vec<_>>()).map(|_| ()).boxed()
    }

    /// Begins to end: what is held is let go, what was sent goes out, peers are told. The events go on
    /// until there are none.
    pub(crate) fn close(&mut self) {
        // What comes from now on goes nowhere: nothing would end it.
        self.passes = false;
        let Self {
            router,
            members,
            places,
            ..
        } = self;
        router.set_routes(Ways::default(), &mut |to, message| {
            send(members, places, to, message)
        });
        self.behind.fill_with(Default::default);
        for place in self.places.iter_mut().flatten() {
            place.close();
        }
    }

    /// After the last event.
    pub(crate) async fn finish(self) {
        join_all(self.places.into_iter().flatten().map(Place::finish)).await;
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if let Some(event) = self.pending.pop_front() {
            return Poll::Ready(Some(event));
        }
        if let Some(pay) = &mut self.pay
            && pay.poll_unpin(cx).is_ready()
        {
            self.pay = None;
            let Self {
                router,
                members,
                places,
                ..
            } = self;
            router.pay(&mut |to, message| send(members, places, to, message));
        }
        if self.router.owes() && self.pay.is_none() {
            let mut pay = tokio::time::sleep(PAY_AGAIN).boxed();
            // It wakes us.
            let _ = pay.poll_unpin(cx);
            self.pay = Some(pay);
        }
        let count = self.places.len();
        let mut open = false;
        for step in 0..count {
            let number = (self.turn + step) % count;
            if let Some((_, flushing)) = self.behind.get_mut(number)
                && let Some(flush) = flushing
            {
                if flush.poll_unpin(cx).is_pending() {
                    open = true;
                    continue;
                }
                *flushing = None;
            }
            let Some(place) = self.places.get_mut(number).and_then(Option::as_mut) else {
                continue;
            };
            match place.poll_event(cx) {
                Poll::Ready(Some(event)) => {
                    self.turn = number + 1;
                    return Poll::Ready(Some(self.handle(event)));
                }
                // It stays, to be tidied up at the end.
                Poll::Ready(None) => {}
                Poll::Pending => open = true,
            }
        }
        match open {
            true => Poll::Pending,
            false => Poll::Ready(None),
        }
    }

    fn handle(&mut self, event: Event) -> Event {
        match &event {
            Event::Connected { member } => {
                for (number, place) in self.places.iter_mut().enumerate() {
                    let others = number != member.place
                        || self.members.values().any(|it| it.place != number);
                    if let Some(place) = place
                        && others
                    {
                        place.begin();
                    }
                }
                self.members.insert(member.id, Arc::clone(member));
                self.router.joined(member.id, Arc::clone(member));
            }
            Event::Midi {
                member, message, ..
            } => self.pass(&Arc::clone(member), message.as_message()),
            Event::Disconnected { member, .. } => {
                let id = member.id;
                self.let_go(id);
                self.members.remove(&id);
            }
            _ => {}
        }
        event
    }

    fn let_go(&mut self, id: MemberId) {
        let Self {
            router,
            members,
            places,
            ..
        } = self;
        router.left(id, &mut |to, message| send(members, places, to, message));
        self.memory.left(id);
    }

    /// Passes on what somebody has played.
    fn pass(&mut self, from: &Member, message: Message<'_>) {
        if !self.passes {
            return;
        }
        if message.is_undefined() || message == RealTime::ActiveSensing.into() {
            self.stats.not_passed += 1;
            return;
        }
        let message = match self.filter.apply(message) {
            Passed::On(message) => message,
            Passed::Nothing => return,
            Passed::LetGo => {
                self.let_go(from.id);
                if let Some(member) = self.members.get(&from.id) {
                    self.router.joined(from.id, Arc::clone(member));
                }
                return;
            }
        };
        let now = Instant::now();
        // What ends something that its player holds is his own.
        if !self.router.is_release(from.id, &message) {
            let verdict = self.memory.judge(from.id, &message, now);
            self.stats.returned += u64::from(verdict.returned);
            let drop =
                verdict.drop || (self.breaks_circles && verdict.returned && verdict.suspected);
            if verdict.circle {
                let dropped = if drop { " and is dropped" } else { "" };
                self.pending.push_back(Event::Warning {
                    message: format!(
                        "almost all that {} plays was played by others just before{dropped}: there \
                         is a circle in the network, or two who play the same",
                        from.name()
                    ),
                });
            }
            if drop {
                self.stats.dropped += 1;
                return;
            }
        }
        let before = self.router.stats();
        let Self {
            router,
            members,
            places,
            ..
        } = self;
        router.forward(from.id, message, &mut |to, message| {
            send(members, places, to, message)
        });
        let after = self.router.stats();
        self.stats.not_sent += after.not_sent - before.not_sent;
        if after.forwarded == before.forwarded {
            return;
        }
        // What nobody heard cannot come back.
        self.memory.remember(from.id, &message, now);
        let can_wait = self.places.get(from.place).and_then(Option::as_ref);
        if can_wait.is_some_and(Place::can_wait) {
            let octets = message.encoded_len() + OVERHEAD;
            let full = match self.behind.get_mut(from.place) {
                Some((behind, None)) => {
                    *behind += octets;
                    *behind > WINDOW
                }
                _ => false,
            };
            if full {
                let flush = self.flush();
                if let Some(place) = self.behind.get_mut(from.place) {
                    *place = (0, Some(flush));
                }
            }
        }
    }
}

fn send(
    members: &BTreeMap<MemberId, Arc<Member>>,
    places: &mut [Option<Place>],
    to: MemberId,
    message: Message<'_>,
) -> bool {
    let Some(member) = members.get(&to) else {
        return true;
    };
    let place = places.get_mut(member.place).and_then(Option::as_mut);
    place.is_none_or(|place| place.send(member, message))
}
