//! Passing on what one peer plays to others.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use netmidi_message::{Channel, ChannelMessage, Controller, Message, Note, RealTime, U7};
use netmidi_session::ParticipantId;

use crate::event::Peer;
use crate::invitation::{Invitation, InvitationId};

/// Who hears what a peer plays, beside the application. Set with
/// [`Builder::route`](crate::Builder::route) or [`Handle::set_routes`](crate::Handle::set_routes).
///
/// A message is passed on by the endpoint's task in the same turn in which it was received, with the
/// present time as its timestamp:
///
/// - Once to each peer that any of the routes leads to, and to no other; a message that was passed on
///   is not routed again, so routes of one endpoint cannot form a circle.
/// - Never back to the peer that it came from, not even by another session with it: a peer with the
///   same SSRC and the same name is the same.
/// - Whatever its [`Origin`](crate::Origin): what puts right a lost packet here does so there, and
///   what silences a peer that left silences it there.
/// - System exclusive messages whole, so that those of several sources do not mix.
///
/// **A note that several peers hold** on the same channel ends when the last of them lets it go: an
/// earlier note-off is not passed on to those who hear another holder too, and so it is with the pedals
/// 64, 66 and 69. All notes off (123) becomes note-offs for the notes of that peer alone when others
/// hold some. Pressing again passes, with its velocity. All other controllers have the value that came
/// last; all sound off (120), reset all controllers (121), the modes (124 to 127) and system reset pass
/// as they are and end everybody's notes or pedals.
///
/// When a route is taken away, notes and pedals that were passed along it and are still down are let
/// go at its end. A peer that comes later does not hear what was played before, but may hear
/// the end of it.
///
/// **Circles over the network** are yours to avoid: two endpoints that have two sessions with each
/// other by way of third ones, or three that are connected in a ring and pass on everything, send a
/// message round for ever. Nothing in RTP-MIDI tells a message that returns from one that is played
/// anew. Connect such endpoints as a tree.
///
/// **Take the endpoint's events** as ever: when [`Config::max_queued_events`](crate::Config) of them
/// wait, passing on waits for the application, too. Afterwards the receivers are taken to the true
/// state as the application is ([`Event::Overflow`](crate::Event::Overflow)).
///
/// ```
/// use netmidi::{Party, Route};
///
/// // Everybody plays with everybody.
/// let band = Route::Everybody;
/// // Two keyboards into one expander.
/// let merge = Route::merge(["Upper", "Lower"], "Expander");
/// // A master keyboard to all others, whose own playing goes nowhere.
/// let conduct = Route::one_way("Master", Party::Anybody);
/// // A tablet and a synthesizer, both ways, and nobody else.
/// let pair = Route::both_ways("Tablet", "Synth");
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Route {
    /// What each peer plays goes to all others.
    Everybody,
    /// What one plays goes to another.
    OneWay {
        /// Who plays.
        from: Party,
        /// Who hears it.
        to: Party,
    },
    /// What each of two plays goes to the other.
    BothWays {
        /// The one.
        one: Party,
        /// The other.
        other: Party,
    },
    /// What several play goes to one.
    Merge {
        /// Who play.
        from: Vec<Party>,
        /// Who hears them.
        to: Party,
    },
}

/// One end of a [`Route`]: a peer, however it is known, now or when it comes.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Party {
    /// Every peer.
    Anybody,
    /// This one, as long as its session lasts.
    Participant(ParticipantId),
    /// Every peer that gives this name. Names are chosen by peers: whoever is let in can take any.
    Named(String),
    /// The peer that this invitation leads to, again whenever its session comes back.
    Invited(InvitationId),
}

impl Route {
    /// What `from` plays goes to `to`.
    pub fn one_way(from: impl Into<Party>, to: impl Into<Party>) -> Self {
        Self::OneWay {
            from: from.into(),
            to: to.into(),
        }
    }

    /// What each of the two plays goes to the other.
    pub fn both_ways(one: impl Into<Party>, other: impl Into<Party>) -> Self {
        Self::BothWays {
            one: one.into(),
            other: other.into(),
        }
    }

    /// What any of `from` plays goes to `to`.
    pub fn merge<P: Into<Party>>(from: impl IntoIterator<Item = P>, to: impl Into<Party>) -> Self {
        Self::Merge {
            from: from.into_iter().map(Into::into).collect(),
            to: to.into(),
        }
    }

    fn leads(&self, from: &Peer, to: &Peer) -> bool {
        match self {
            Self::Everybody => true,
            Self::OneWay { from: a, to: b } => a.is(from) && b.is(to),
            Self::BothWays { one, other } => {
                (one.is(from) && other.is(to)) || (other.is(from) && one.is(to))
            }
            Self::Merge { from: many, to: b } => b.is(to) && many.iter().any(|one| one.is(from)),
        }
    }
}

impl Party {
    fn is(&self, peer: &Peer) -> bool {
        match self {
            Self::Anybody => true,
            Self::Participant(id) => *id == peer.id,
            Self::Named(name) => *name == peer.name,
            Self::Invited(id) => Some(*id) == peer.invitation,
        }
    }
}

impl From<ParticipantId> for Party {
    fn from(id: ParticipantId) -> Self {
        Self::Participant(id)
    }
}

impl From<&Peer> for Party {
    fn from(peer: &Peer) -> Self {
        Self::Participant(peer.id)
    }
}

impl From<InvitationId> for Party {
    fn from(id: InvitationId) -> Self {
        Self::Invited(id)
    }
}

impl From<&Invitation> for Party {
    fn from(invitation: &Invitation) -> Self {
        Self::Invited(invitation.id())
    }
}

impl From<&str> for Party {
    fn from(name: &str) -> Self {
        Self::Named(name.to_owned())
    }
}

impl From<String> for Party {
    fn from(name: String) -> Self {
        Self::Named(name)
    }
}

/// What was passed on between peers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct RouteStats {
    /// Messages, counted once for each receiver.
    pub forwarded: u64,
    /// Note-offs and pedals let go that a receiver was spared, because another peer still held them.
    pub held_by_others: u64,
    /// Messages that a receiver's queue had no room for ([`Event::NotSent`](crate::Event::NotSent)).
    pub not_sent: u64,
}

/// Pedals that hold notes.
const PEDALS: [Controller; 3] = [
    Controller::SUSTAIN,
    Controller::SOSTENUTO,
    Controller::HOLD_2,
];
/// From this value on a pedal is down.
const DOWN: u8 = 64;
/// The release velocity of one who has none (MIDI 1.0).
const RELEASE: U7 = U7::from_low_bits(64);

const CHANNELS: usize = 16;
const NOTES: usize = 128;
const KEYS: usize = CHANNELS * NOTES;
const ITEMS: usize = KEYS + CHANNELS * PEDALS.len();

/// Something that is held down: a key or a pedal of a channel, below [`ITEMS`].
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Item(usize);

impl Item {
    fn key(channel: Channel, note: Note) -> Self {
        Self(usize::from(channel.index()) * NOTES + usize::from(note.get()))
    }

    fn pedal(channel: Channel, control: Controller) -> Option<Self> {
        let place = PEDALS.iter().position(|pedal| *pedal == control)?;
        Some(Self(
            KEYS + usize::from(channel.index()) * PEDALS.len() + place,
        ))
    }

    fn keys_of(channel: Channel) -> impl Iterator<Item = Self> {
        let first = usize::from(channel.index()) * NOTES;
        (first..first + NOTES).map(Self)
    }

    fn pedals_of(channel: Channel) -> impl Iterator<Item = Self> {
        let first = KEYS + usize::from(channel.index()) * PEDALS.len();
        (first..first + PEDALS.len()).map(Self)
    }

    fn all() -> impl Iterator<Item = Self> {
        (0..ITEMS).map(Self)
    }

    /// What lets it go.
    fn release(self) -> ChannelMessage {
        let low = |number: usize| u8::try_from(number).unwrap_or_default();
        match self.0.checked_sub(KEYS) {
            None => ChannelMessage::note_off(
                Channel::from_status(low(self.0 / NOTES)),
                Note::new(low(self.0 % NOTES)).unwrap_or_default(),
                RELEASE,
            ),
            Some(pedal) => ChannelMessage::control_change(
                Channel::from_status(low(pedal / PEDALS.len())),
                PEDALS
                    .get(pedal % PEDALS.len())
                    .copied()
                    .unwrap_or(Controller::SUSTAIN),
                U7::MIN,
            ),
        }
    }
}

/// What a message does to what is held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Effect {
    Press(Item),
    Release(Item),
    /// All notes off: of one source, as far as others go.
    NotesOff(Channel),
    /// All keys of a channel are up, whoever held them. Of others we go on to think that they hold theirs.
    KeysUp(Channel),
    /// The same of its pedals.
    PedalsUp(Channel),
    Reset,
    None,
}

impl Effect {
    fn of(message: &Message<'_>) -> Self {
        let message = match message {
            Message::Channel(message) => *message,
            Message::RealTime(RealTime::Reset) => return Self::Reset,
            _ => return Self::None,
        };
        match message {
            ChannelMessage::NoteOn { channel, note, .. }
            | ChannelMessage::NoteOff { channel, note, .. } => {
                let key = Item::key(channel, note);
                match message.is_note_off() {
                    true => Self::Release(key),
                    false => Self::Press(key),
                }
            }
            ChannelMessage::ControlChange {
                channel,
                control,
                value,
            } => match control {
                Controller::ALL_NOTES_OFF => Self::NotesOff(channel),
                Controller::RESET_ALL_CONTROLLERS => Self::PedalsUp(channel),
                Controller::ALL_SOUND_OFF
                | Controller::OMNI_OFF
                | Controller::OMNI_ON
                | Controller::MONO_ON
                | Controller::POLY_ON => Self::KeysUp(channel),
                _ => match Item::pedal(channel, control) {
                    Some(pedal) if value.get() >= DOWN => Self::Press(pedal),
                    Some(pedal) => Self::Release(pedal),
                    None => Self::None,
                },
            },
            _ => Self::None,
        }
    }
}

/// Who hears whom, for a [`Router`].
pub trait Routing {
    /// Names somebody.
    type Id: Copy + Ord;
    /// What is known of somebody.
    type Peer;

    /// Whether `to` hears what `from` plays. It is asked about both being the same one, too.
    fn leads(&self, from: &Self::Peer, to: &Self::Peer) -> bool;

    /// Whether nobody hears anybody: then nothing is remembered. Not unless it is written.
    fn is_empty(&self) -> bool {
        false
    }

    /// Whether all hear all: then nothing is remembered that would grow with the square of them. Not
    /// unless it is written.
    fn is_everybody(&self) -> bool {
        false
    }
}

/// The routes of an endpoint.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    all: Vec<Route>,
    everybody: bool,
}

impl From<Vec<Route>> for Routes {
    fn from(all: Vec<Route>) -> Self {
        let everybody = all.contains(&Route::Everybody);
        Self { all, everybody }
    }
}

impl Routing for Routes {
    type Id = ParticipantId;
    type Peer = Arc<Peer>;

    fn leads(&self, from: &Arc<Peer>, to: &Arc<Peer>) -> bool {
        !is_same(from, to) && self.all.iter().any(|route| route.leads(from, to))
    }

    fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn is_everybody(&self) -> bool {
        self.everybody
    }
}

/// Knows who is there and whom each of them is passed on to, and who holds which key and pedal, so that
/// one which several hold ends with the last of them. The rules are those of [`Route`].
///
/// Endpoints and bridges have one inside. It is for programs that join peers of several endpoints, or
/// peers with something else, such as local ports: it opens nothing and sends nothing itself, but calls
/// what it is given with the receiver and the message; that says whether there was room. A release
/// without room is [owed](Self::owes), and can be [paid](Self::pay) later.
///
/// Bounded by those who are there and the routes: what is held takes some octets for each key and pedal
/// that somebody has down.
///
/// ```
/// use netmidi::message::{Channel, ChannelMessage, Message, Note, U7};
/// use netmidi::{Router, Routing};
///
/// /// All hear all others.
/// struct Band;
///
/// impl Routing for Band {
///     type Id = u32;
///     type Peer = u32;
///
///     fn leads(&self, from: &u32, to: &u32) -> bool {
///         from != to
///     }
/// }
///
/// let mut router = Router::new(Band);
/// for player in 0..3 {
///     router.joined(player, player);
/// }
/// let mut heard = Vec::new();
/// let note = ChannelMessage::note_on(Channel::C1, Note::MIDDLE_C, U7::MAX);
/// router.forward(0, note.into(), &mut |to: u32, message: Message<'_>| {
///     heard.push((to, message.to_string()));
///     true
/// });
/// assert_eq!(heard.len(), 2);
/// // Who leaves lets go.
/// router.left(0, &mut |to: u32, message: Message<'_>| {
///     heard.push((to, message.to_string()));
///     true
/// });
/// assert_eq!(heard[2], (1, "note_off channel=0 note=60 velocity=64".to_owned()));
/// ```
pub struct Router<R: Routing> {
    routes: R,
    peers: BTreeMap<R::Id, R::Peer>,
    /// Whom a peer is passed on to, in order; found out when it first plays, forgotten whenever
    /// somebody comes or goes. Not used where all hear all, as it would grow with the square of them.
    targets: BTreeMap<R::Id, Vec<R::Id>>,
    /// Where all hear all: whom a message goes to.
    scratch: Vec<R::Id>,
    /// Who holds each [`Item`]. Empty as long as there are no routes.
    holders: Box<[Vec<R::Id>]>,
    /// Releases that a receiver's queue had no room for.
    owed: BTreeSet<(R::Id, Item)>,
    stats: RouteStats,
}

impl<R: Routing> Router<R> {
    /// Nobody is there yet.
    pub fn new(routes: R) -> Self {
        let mut router = Self {
            routes,
            peers: BTreeMap::new(),
            targets: BTreeMap::new(),
            scratch: Vec::new(),
            holders: Box::default(),
            owed: BTreeSet::new(),
            stats: RouteStats::default(),
        };
        router.begin_to_hold();
        router
    }

    /// What was passed on.
    #[must_use]
    pub const fn stats(&self) -> RouteStats {
        self.stats
    }

    /// Somebody is there from now on.
    pub fn joined(&mut self, id: R::Id, peer: R::Peer) {
        self.targets.clear();
        self.peers.insert(id, peer);
    }

    /// Takes a peer out; what it held is let go.
    pub fn left(&mut self, id: R::Id, send: &mut impl FnMut(R::Id, Message<'_>) -> bool) {
        if !self.holders.is_empty() {
            let targets = self.take_targets(id);
            for item in Item::all() {
                if self.lets_go(item, id) {
                    self.release(id, &targets, item, item.release().into(), send);
                }
            }
        }
        self.targets.clear();
        self.peers.remove(&id);
        self.owed.retain(|(to, _)| *to != id);
    }

    /// Other routes from now on. What was passed along those that are no more is let go.
    pub fn set_routes(&mut self, routes: R, send: &mut impl FnMut(R::Id, Message<'_>) -> bool) {
        let mut passed: BTreeSet<(R::Id, Item)> = BTreeSet::new();
        let held: Vec<(R::Id, Item)> = self
            .holders
            .iter()
            .zip(Item::all())
            .flat_map(|(holders, item)| holders.iter().map(move |id| (*id, item)))
            .collect();
        for (from, item) in held {
            let targets = self.take_targets(from);
            passed.extend(targets.iter().map(|to| (*to, item)));
            self.put_targets(from, targets);
        }
        self.routes = routes;
        self.targets.clear();
        self.begin_to_hold();
        for (to, item) in passed {
            let kept = self
                .holders
                .get(item.0)
                .is_some_and(|holders| holders.iter().any(|from| self.leads(*from, to)));
            if !kept && !send(to, item.release().into()) {
                self.owed.insert((to, item));
            }
        }
        if self.routes.is_empty() {
            self.holders = Box::default();
        }
    }

    fn begin_to_hold(&mut self) {
        if !self.routes.is_empty() && self.holders.is_empty() {
            self.holders = vec![Vec::new(); ITEMS].into_boxed_slice();
        }
    }

    /// Whether a message ends something that a peer holds, as far as is known here.
    pub fn is_release(&self, from: R::Id, message: &Message<'_>) -> bool {
        let holds = |item: Item| {
            let holders = self.holders.get(item.0);
            holders.is_some_and(|holders| holders.contains(&from))
        };
        match Effect::of(message) {
            Effect::Release(item) => holds(item),
            Effect::NotesOff(channel) | Effect::KeysUp(channel) => {
                Item::keys_of(channel).any(holds)
            }
            Effect::PedalsUp(channel) => Item::pedals_of(channel).any(holds),
            Effect::Press(_) | Effect::Reset | Effect::None => false,
        }
    }

    /// Passes on what a peer has played.
    pub fn forward(
        &mut self,
        from: R::Id,
        message: Message<'_>,
        send: &mut impl FnMut(R::Id, Message<'_>) -> bool,
    ) {
        if self.routes.is_empty() {
            return;
        }
        let targets = self.take_targets(from);
        match Effect::of(&message) {
            Effect::Press(item) => {
                if let Some(holders) = self.holders.get_mut(item.0)
                    && !holders.contains(&from)
                {
                    holders.push(from);
                }
                for to in &targets {
                    if self.pass(*to, message, send) && !self.owed.is_empty() {
                        self.owed.remove(&(*to, item));
                    }
                }
            }
            Effect::Release(item) => {
                self.lets_go(item, from);
                self.release(from, &targets, item, message, send);
            }
            Effect::NotesOff(channel) => self.notes_off(from, &targets, channel, message, send),
            Effect::KeysUp(channel) => {
                Item::keys_of(channel).for_each(|item| _ = self.lets_go(item, from));
                self.pass_all(&targets, message, send);
            }
            Effect::PedalsUp(channel) => {
                Item::pedals_of(channel).for_each(|item| _ = self.lets_go(item, from));
                self.pass_all(&targets, message, send);
            }
            Effect::Reset => {
                Item::all().for_each(|item| _ = self.lets_go(item, from));
                self.pass_all(&targets, message, send);
            }
            Effect::None => self.pass_all(&targets, message, send),
        }
        self.put_targets(from, targets);
    }

    /// A message that was taken for a receiver found no room after all.
    pub fn not_taken(&mut self, to: R::Id, message: &Message<'_>) {
        self.stats.forwarded -= 1;
        self.stats.not_sent += 1;
        if let Effect::Release(item) = Effect::of(message) {
            self.owed.insert((to, item));
        }
    }

    /// Whether there are releases to be tried again.
    #[must_use]
    pub fn owes(&self) -> bool {
        !self.owed.is_empty()
    }

    /// Tries again what there was no room for. Returns whether any of it went.
    pub fn pay(&mut self, send: &mut impl FnMut(R::Id, Message<'_>) -> bool) -> bool {
        let before = self.owed.len();
        let mut full = None;
        self.owed.retain(|(to, item)| {
            // In order of receivers: who has no room for one has none for the next.
            if full == Some(*to) {
                return true;
            }
            let sent = send(*to, item.release().into());
            if !sent {
                full = Some(*to);
            }
            !sent
        });
        self.owed.len() < before
    }

    /// Lets go what a source held of a channel, and no more.
    fn notes_off(
        &mut self,
        from: R::Id,
        targets: &[R::Id],
        channel: Channel,
        message: Message<'_>,
        send: &mut impl FnMut(R::Id, Message<'_>) -> bool,
    ) {
        let held: Vec<Item> = Item::keys_of(channel)
            .filter(|item| self.lets_go(*item, from))
            .collect();
        for to in targets {
            if Item::keys_of(channel).any(|item| self.is_held_for(*to, from, item)) {
                for item in &held {
                    self.release(from, &[*to], *item, item.release().into(), send);
                }
            } else if !self.pass(*to, message, send) {
                self.owed.extend(held.iter().map(|item| (*to, *item)));
            }
        }
    }

    /// Passes on a release to those for whom nobody else holds the item.
    fn release(
        &mut self,
        from: R::Id,
        targets: &[R::Id],
        item: Item,
        message: Message<'_>,
        send: &mut impl FnMut(R::Id, Message<'_>) -> bool,
    ) {
        for to in targets {
            if self.is_held_for(*to, from, item) {
                self.stats.held_by_others += 1;
            } else if !self.pass(*to, message, send) {
                self.owed.insert((*to, item));
            }
        }
    }

    fn pass_all(
        &mut self,
        targets: &[R::Id],
        message: Message<'_>,
        send: &mut impl FnMut(R::Id, Message<'_>) -> bool,
    ) {
        for to in targets {
            self.pass(*to, message, send);
        }
    }

    fn pass(
        &mut self,
        to: R::Id,
        message: Message<'_>,
        send: &mut impl FnMut(R::Id, Message<'_>) -> bool,
    ) -> bool {
        let sent = send(to, message);
        match sent {
            true => self.stats.forwarded += 1,
            false => self.stats.not_sent += 1,
        }
        sent
    }

    /// A source holds an item no longer. Whether it did.
    fn lets_go(&mut self, item: Item, from: R::Id) -> bool {
        let Some(holders) = self.holders.get_mut(item.0) else {
            return false;
        };
        let place = holders.iter().position(|holder| *holder == from);
        if let Some(place) = place {
            holders.swap_remove(place);
        }
        place.is_some()
    }

    /// Whether a receiver hears the item held by somebody but `from`.
    fn is_held_for(&self, to: R::Id, from: R::Id, item: Item) -> bool {
        self.holders.get(item.0).is_some_and(|holders| {
            holders
                .iter()
                .any(|holder| *holder != from && self.leads(*holder, to))
        })
    }

    fn leads(&self, from: R::Id, to: R::Id) -> bool {
        let (Some(from), Some(to)) = (self.peers.get(&from), self.peers.get(&to)) else {
            return false;
        };
        self.routes.leads(from, to)
    }

    /// Whom a peer is passed on to, to be given back with [`put_targets`](Self::put_targets).
    fn take_targets(&mut self, from: R::Id) -> Vec<R::Id> {
        if let Some(targets) = self.targets.get_mut(&from) {
            return std::mem::take(targets);
        }
        let mut targets = std::mem::take(&mut self.scratch);
        targets.clear();
        let all = self.peers.keys().copied();
        targets.extend(all.filter(|to| self.leads(from, *to)));
        targets
    }

    fn put_targets(&mut self, from: R::Id, targets: Vec<R::Id>) {
        if self.routes.is_everybody() {
            self.scratch = targets;
        } else {
            self.targets.insert(from, targets);
        }
    }
}

impl<R: Routing + fmt::Debug> fmt::Debug for Router<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("routes", &self.routes)
            .finish_non_exhaustive()
    }
}

/// Two sessions with the same peer, by two ports or address families. Devices that all have the SSRC of
/// their maker's example still have names of their own.
pub(crate) fn is_same(one: &Peer, other: &Peer) -> bool {
    one.id == other.id || (one.ssrc == other.ssrc && one.name == other.name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is a failed test")]
mod tests {
    use netmidi_session::{Config, Role, Session, Ssrc, Time};

    use super::*;

    /// Ids are given by sessions only: as many as are asked for, by invitations of that many peers.
    fn ids<const N: usize>() -> [ParticipantId; N] {
        use netmidi_session::{LocalPort, PairId};
        let mut session = Session::new(Config::new("x"), 1, Time::ZERO).unwrap();
        for number in 0..N {
            let number = u8::try_from(number).unwrap();
            let mut packet = b"\xFF\xFFIN\0\0\0\x02\0\0\0\x07\0\0\0".to_vec();
            packet.push(number);
            packet.extend(b"peer\0");
            let from = ([127, 0, 0, 1], 6000 + u16::from(number)).into();
            for port in [LocalPort::control(PairId(0)), LocalPort::data(PairId(0))] {
                session.handle_datagram(Time::ZERO, port, from, &packet);
            }
        }
        let mut found = session.participants().map(|(id, _)| id);
        std::array::from_fn(|_| found.next().unwrap())
    }

    fn peer(id: ParticipantId, name: &str, ssrc: u32) -> Arc<Peer> {
        Arc::new(Peer {
            id,
            name: name.to_owned(),
            ssrc: Ssrc(ssrc),
            control: ([127, 0, 0, 1], 5004).into(),
            data: ([127, 0, 0, 1], 5005).into(),
            role: Role::Participant,
            invitation: None,
        })
    }

    fn on(note: u8) -> Message<'static> {
        ChannelMessage::note_on(Channel::C1, Note::new(note).unwrap(), U7::MAX).into()
    }

    fn off(note: u8) -> Message<'static> {
        ChannelMessage::note_off(Channel::C1, Note::new(note).unwrap(), RELEASE).into()
    }

    /// What goes to whom.
    #[derive(Default)]
    struct Sent(Vec<(ParticipantId, String)>, Option<ParticipantId>);

    impl Sent {
        fn send(&mut self, to: ParticipantId, message: Message<'_>) -> bool {
            let room = self.1 != Some(to);
            if room {
                self.0.push((to, message.to_string()));
            }
            room
        }

        fn by(&mut self, router: &mut Router<Routes>, from: ParticipantId, message: Message<'_>) {
            router.forward(from, message, &mut |to, message| self.send(to, message));
        }

        fn take(&mut self) -> Vec<(ParticipantId, String)> {
            std::mem::take(&mut self.0)
        }
    }

    #[test]
    fn the_same_peer_twice_does_not_hear_itself() {
        let [a, again, b, copy] = ids();
        let mut router = Router::new(vec![Route::Everybody].into());
        router.joined(a, peer(a, "a", 1));
        router.joined(again, peer(again, "a", 1));
        router.joined(b, peer(b, "b", 2));
        // From another maker who copied the number.
        router.joined(copy, peer(copy, "copy", 1));
        let mut sent = Sent::default();
        sent.by(&mut router, a, on(60));
        let to: Vec<_> = sent.take().into_iter().map(|(to, _)| to).collect();
        assert_eq!(to, [b, copy]);
    }

    #[test]
    fn several_routes_to_one_receiver_bring_a_message_once() {
        let [a, b] = ids();
        let mut router = Router::new(
            vec![
                Route::one_way("a", "b"),
                Route::Everybody,
                Route::both_ways(a, Party::Anybody),
            ]
            .into(),
        );
        router.joined(a, peer(a, "a", 1));
        router.joined(b, peer(b, "b", 2));
        let mut sent = Sent::default();
        sent.by(&mut router, a, on(60));
        assert_eq!(sent.take(), [(b, on(60).to_string())]);
    }

    #[test]
    fn a_release_without_room_is_made_up_for() {
        let [a, b, c] = ids();
        let mut router = Router::new(vec![Route::Everybody].into());
        for (id, name, ssrc) in [(a, "a", 1), (b, "b", 2), (c, "c", 3)] {
            router.joined(id, peer(id, name, ssrc));
        }
        let mut sent = Sent::default();
        sent.by(&mut router, a, on(60));
        sent.by(&mut router, a, on(61));
        sent.take();
        sent.1 = Some(b);
        sent.by(&mut router, a, off(60));
        sent.by(&mut router, a, off(61));
        assert_eq!(
            sent.take(),
            [(c, off(60).to_string()), (c, off(61).to_string())]
        );
        assert!(router.owes());
        assert!(!router.pay(&mut |to, message| sent.send(to, message)));
        // Pressed again there: then it is not to be ended.
        sent.1 = None;
        sent.by(&mut router, c, on(60));
        sent.take();
        assert!(router.pay(&mut |to, message| sent.send(to, message)));
        assert_eq!(sent.take(), [(b, off(61).to_string())]);
        assert!(!router.owes());
    }

    #[test]
    fn who_hears_only_one_of_two_holders_hears_that_one_let_go() {
        let [a, b, c, d] = ids();
        let mut router =
            Router::new(vec![Route::one_way("a", "c"), Route::merge(["a", "b"], "d")].into());
        for (id, name, ssrc) in [(a, "a", 1), (b, "b", 2), (c, "c", 3), (d, "d", 4)] {
            router.joined(id, peer(id, name, ssrc));
        }
        let mut sent = Sent::default();
        sent.by(&mut router, a, on(60));
        sent.by(&mut router, b, on(60));
        sent.take();
        sent.by(&mut router, a, off(60));
        assert_eq!(sent.take(), [(c, off(60).to_string())]);
        router.left(b, &mut |to, message| sent.send(to, message));
        assert_eq!(sent.take(), [(d, off(60).to_string())]);
    }

    #[test]
    fn every_item_is_let_go_by_its_own_release() {
        for item in Item::all() {
            let release = Message::from(item.release());
            assert_eq!(Effect::of(&release), Effect::Release(item));
        }
    }
}
