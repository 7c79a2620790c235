//! What an endpoint tells its user.

use std::net::SocketAddr;
use std::sync::Arc;

use netmidi_message::{Message, MessageBuf};
use netmidi_session::{
    ClockEstimate, Inviter, LeaveReason, Origin, ParticipantId, RequestId, Role, Ssrc, Time,
};

use crate::address::PeerAddress;
use crate::invitation::{InvitationId, InvitationState};

/// Who is connected.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Peer {
    /// Its name in this endpoint, to send to.
    pub id: ParticipantId,
    /// The name it gave; empty when it gave none.
    pub name: String,
    /// Its identity in the session.
    pub ssrc: Ssrc,
    /// Where its control port is, as seen from here.
    pub control: SocketAddr,
    /// Where its data port is, as seen from here.
    pub data: SocketAddr,
    /// Our part: who invited whom.
    pub role: Role,
    /// Which invitation of ours led to it.
    pub invitation: Option<InvitationId>,
}

/// Something that happened on an endpoint.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A peer is connected on both ports.
    Connected {
        /// Who.
        peer: Arc<Peer>,
    },
    /// A peer played something.
    Message {
        /// Who.
        peer: Arc<Peer>,
        /// When it is meant to sound, on the endpoint's clock
        /// ([`Endpoint::clock`](crate::Endpoint::clock)).
        at: Time,
        /// What.
        message: MessageBuf,
        /// Whether it was played just now, puts right what a lost packet did, or silences what a
        /// peer left on when it left.
        origin: Origin,
    },
    /// Packets of a peer did not arrive. What puts right what they did came just before.
    Lost {
        /// Whose.
        peer: Arc<Peer>,
        /// How many.
        packets: u32,
        /// Whether the recovery journal covered them all. If not, notes were ended and pedals
        /// released to be safe, and other controllers may be wrong until they move again.
        covered: bool,
        /// How many messages that put something right came just before. More may follow, where a
        /// journal had no room for all.
        repaired: u32,
    },
    /// A peer and we have compared clocks. Told only with
    /// [`Config::clock_events`](crate::Config::clock_events).
    Synchronised {
        /// Who.
        peer: Arc<Peer>,
        /// Its clock as seen from ours.
        clock: ClockEstimate,
    },
    /// A message that was sent could not be passed on to a peer.
    NotSent {
        /// To whom.
        peer: Arc<Peer>,
        /// Why.
        error: netmidi_session::SendError,
    },
    /// Somebody asks to connect, and [`Handle::decide`](crate::Handle::decide) has to say whether it
    /// may ([`Admission::Ask`](crate::Admission::Ask)).
    Invited {
        /// Its name until it is decided.
        request: RequestId,
        /// Who asks.
        inviter: Box<Inviter>,
    },
    /// Somebody who asked to connect has given up.
    Withdrawn {
        /// Which request.
        request: RequestId,
    },
    /// How far an invitation is. That it led to a session is told by [`Event::Connected`].
    Invitation {
        /// Which.
        invitation: InvitationId,
        /// Where it goes.
        address: Arc<PeerAddress>,
        /// How far it is.
        state: InvitationState,
    },
    /// Others can see this endpoint in the local network, by this name: when that is so for the first
    /// time, and whenever the name changes. Show it to the user, because it is another one than was
    /// asked for when somebody else has that.
    Announced {
        /// The name.
        name: String,
    },
    /// Others cannot see this endpoint in the local network. It is tried again every ten seconds;
    /// meanwhile they can connect to its address.
    NotAnnounced {
        /// Why, in a sentence.
        reason: String,
    },
    /// A peer is gone. No later event names it.
    Disconnected {
        /// Who.
        peer: Arc<Peer>,
        /// Why.
        reason: LeaveReason,
    },
    /// Messages of a peer were dropped, because events were not taken fast enough. Those that take you
    /// from what you heard last to the true state follow, marked [`Origin::Restored`]; system exclusive
    /// messages among those dropped are lost.
    Overflow {
        /// Whose.
        peer: Arc<Peer>,
        /// How many events.
        dropped: u64,
    },
    /// There was no room to tell of messages that could not be passed on ([`Event::NotSent`]).
    NotSentUntold {
        /// How many.
        count: u64,
    },
}

/// For people who come from pymidi: methods that are called as things happen. See
/// [`Endpoint::run`](crate::Endpoint::run).
///
/// Every method does nothing unless it is written. To send, keep a [`Handle`](crate::Handle):
///
/// ```
/// use netmidi::message::Message;
/// use netmidi::{Endpoint, Handle, Handler, Peer, Time};
///
/// struct Echo(Handle);
///
/// impl Handler for Echo {
///     fn peer_connected(&mut self, peer: &Peer) {
///         println!("{} is here", peer.name);
///     }
///
///     fn midi(&mut self, peer: &Peer, at: Time, message: Message<'_>) {
///         println!("{at}: {} plays {message}", peer.name);
///         if let Err(error) = self.0.send(peer.id, message) {
///             println!("no echo: {error}");
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut endpoint = Endpoint::builder().listen("127.0.0.1:0".parse()?).bind().await?;
/// let mut echo = Echo(endpoint.handle());
/// # endpoint.handle().close();
/// endpoint.run(&mut echo).await;
/// # Ok(())
/// # }
/// ```
pub trait Handler {
    /// A peer is connected on both ports (pymidi: `on_peer_connected`).
    fn peer_connected(&mut self, peer: &Peer) {
        let _ = peer;
    }

    /// A peer is gone (pymidi: `on_peer_disconnected`).
    fn peer_disconnected(&mut self, peer: &Peer, reason: LeaveReason) {
        let _ = (peer, reason);
    }

    /// A peer played something, meant to sound at `at` (pymidi: `on_midi_commands`).
    fn midi(&mut self, peer: &Peer, at: Time, message: Message<'_>) {
        let _ = (peer, at, message);
    }

    /// Anything else.
    fn other(&mut self, event: &Event) {
        let _ = event;
    }
}
