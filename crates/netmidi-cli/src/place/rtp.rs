//! RTP-MIDI sessions.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use netmidi::message::Message;
use netmidi::{
    Admission, AllowList, Endpoint, Event as Facade, Handle, Invitation, InvitationState,
    LeaveReason, ParticipantId, PeerAddress, Persistence, SysExPolicy,
};

use super::Options;
use crate::event::{Event, Kind, Member, Reason};
use crate::failure::{Failure, sentence};

/// An endpoint with those who connect to it and those whom it invites.
#[derive(Debug)]
pub(crate) struct RtpPlace {
    number: usize,
    endpoint: Endpoint,
    handle: Handle,
    members: BTreeMap<ParticipantId, Arc<Member>>,
    invitations: Vec<Invitation>,
    /// Whether they go on when a session has ended.
    again: bool,
    /// Told before anything else.
    pending: VecDeque<Event>,
}

impl RtpPlace {
    pub(crate) async fn open(
        number: usize,
        listen: &[SocketAddr],
        invite: &[PeerAddress],
        options: &Options,
    ) -> Result<Self, Failure> {
        let mut builder = Endpoint::builder()
            .name(&options.name)
            .journal(options.journal)
            .configure(|config| config.clock_events = true);
        if listen.is_empty() && !invite.is_empty() {
            // Nobody knows these ports: whoever comes in is invited.
            builder = builder
                .listen((Ipv6Addr::UNSPECIFIED, 0).into())
                .configure(|config| config.admission = Admission::Nobody);
        } else {
            let everywhere = listen.is_empty();
            if options.announce && (everywhere || listen.iter().any(|it| !it.ip().is_loopback())) {
                builder = builder.announce(true);
            }
            if !options.allow.is_empty() {
                let networks = options.allow.iter().copied();
                let list = networks.fold(AllowList::new(), AllowList::network);
                builder = builder.configure(|config| config.admission = Admission::Listed(list));
            }
        }
        for address in listen {
            builder = builder.listen(*address);
        }
        if let Some(max) = options.max_peers {
            builder = builder.max_participants(max);
        }
        if !options.sysex {
            builder = builder.configure(|config| config.sysex = SysExPolicy::Drop);
        }
        let endpoint = builder.bind().await.map_err(|error| Failure::of(&error))?;
        let handle = endpoint.handle();
        let mut pending = VecDeque::new();
        if !listen.is_empty() || invite.is_empty() {
            pending.extend(endpoint.addresses().iter().map(|pair| Event::Listening {
                control: pair.control,
                data: pair.data,
                name: options.name.clone(),
            }));
        }
        let persistence = match options.again || options.until_there {
            true => Persistence::Forever,
            false => Persistence::Once,
        };
        let mut invitations = Vec::new();
        for peer in invite {
            let invitation = handle.invite(peer.clone(), persistence);
            invitations.push(invitation.map_err(|error| Failure::of(&error))?);
        }
        Ok(Self {
            number,
            endpoint,
            handle,
            members: BTreeMap::new(),
            invitations,
            again: options.again,
            pending,
        })
    }

    pub(crate) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Poll::Ready(Some(event));
            }
            let Some(event) = ready!(self.endpoint.poll_next_unpin(cx)) else {
                return Poll::Ready(None);
            };
            if let Some(event) = self.translate(event) {
                return Poll::Ready(Some(event));
            }
        }
    }

    fn translate(&mut self, event: Facade) -> Option<Event> {
        Some(match event {
            Facade::Connected { peer } => {
                let member = Member::new(self.number, Kind::Rtp(Arc::clone(&peer)));
                self.members.insert(peer.id, Arc::clone(&member));
                Event::Connected { member }
            }
            Facade::Message {
                peer,
                at,
                message,
                origin,
            } => Event::Midi {
                member: self.member(peer.id)?,
                at: self.endpoint.clock().instant(at),
                message,
                origin,
            },
            Facade::Lost {
                peer,
                packets,
                covered,
                repaired,
            } => Event::Loss {
                member: self.member(peer.id)?,
                lost: packets,
                repaired,
                covered,
            },
            Facade::Synchronised { peer, clock } => Event::Sync {
                member: self.member(peer.id)?,
                clock,
            },
            Facade::Disconnected { peer, reason } => {
                if !self.again {
                    self.give_up(|invitation| peer.invitation == Some(invitation.id()));
                }
                Event::Disconnected {
                    member: self.members.remove(&peer.id)?,
                    reason: word(reason),
                    detail: reason.to_string(),
                }
            }
            Facade::Invitation { address, state, .. } => {
                let (to, detail) = (address.to_string(), state.to_string());
                let reason = match state {
                    InvitationState::Connected { .. } | InvitationState::Ended => return None,
                    InvitationState::Refused { .. } => Reason::Refused,
                    InvitationState::Unanswered { .. } => Reason::Timeout,
                    InvitationState::Unreachable { .. } => Reason::Error,
                    _ => return Some(Event::Trying { to, state: detail }),
                };
                Event::NotConnected { to, reason, detail }
            }
            Facade::Announced { name } => Event::Announced { name },
            Facade::NotAnnounced { reason } => Event::Warning {
                message: format!("not shown in the network: {reason}"),
            },
            Facade::NotSent { peer, error } => {
                let name = self.member(peer.id)?.name();
                Event::Error {
                    message: format!("to {name}: {}", sentence(&error)),
                }
            }
            Facade::NotSentUntold { count } => Event::Error {
                message: format!("{count} more messages could not be sent"),
            },
            Facade::Overflow { peer, dropped } => {
                let name = self.member(peer.id)?.name();
                Event::Error {
                    message: format!(
                        "{dropped} events of {name} were dropped, because what is printed is not \
                         read fast enough; what sounds was put right"
                    ),
                }
            }
            other => {
                tracing::debug!(?other, "not told");
                return None;
            }
        })
    }

    fn member(&self, id: ParticipantId) -> Option<Arc<Member>> {
        self.members.get(&id).map(Arc::clone)
    }

    /// Invites those no longer.
    pub(crate) fn give_up(&self, which: impl Fn(&Invitation) -> bool) {
        for invitation in self.invitations.iter().filter(|it| which(it)) {
            // Or the endpoint is closed, and invites nobody.
            let _ = invitation.withdraw();
        }
    }

    /// How far each of those is who are invited.
    pub(crate) fn invitations(&self) -> &[Invitation] {
        &self.invitations
    }

    /// To ask for counters.
    pub(crate) const fn handle(&self) -> &Handle {
        &self.handle
    }

    pub(crate) fn send(&self, to: &Member, message: Message<'_>) -> bool {
        match &to.kind {
            // One who is gone needs nothing any more.
            Kind::Rtp(peer) => !matches!(
                self.handle.send(peer.id, message),
                Err(netmidi::SendError::Backlog { .. })
            ),
            _ => true,
        }
    }

    /// The message goes out when it is to sound.
    pub(crate) fn send_at(&self, to: &Member, at: Instant, message: Message<'_>) -> bool {
        match &to.kind {
            Kind::Rtp(peer) => {
                let at = self.endpoint.clock().time(at);
                !matches!(
                    self.handle.send_at(at, peer.id, message),
                    Err(netmidi::SendError::Backlog { .. })
                )
            }
            _ => true,
        }
    }

    /// What was given for later and has not gone out does not go out any more.
    pub(crate) fn take_back(&self, to: &Member) {
        if let Kind::Rtp(peer) = &to.kind {
            // Or it is closed, and nothing goes out.
            let _ = self.handle.cancel_scheduled(peer.id);
        }
    }

    pub(crate) fn flush(&self, members: &[Arc<Member>]) -> BoxFuture<'static, ()> {
        let (handle, ids) = (self.handle.clone(), ids(members));
        async move {
            // Or it is closed, and there is nothing to wait for.
            let _ = handle.flush(ids).await;
        }
        .boxed()
    }

    pub(crate) fn delivered(&self, members: &[Arc<Member>]) -> BoxFuture<'static, ()> {
        let (handle, ids) = (self.handle.clone(), ids(members));
        async move {
            // Or it is closed, and there is nothing to wait for.
            let _ = handle.delivered(ids).await;
        }
        .boxed()
    }

    pub(crate) fn close(&self) {
        self.handle.close();
    }

    pub(crate) async fn finish(self) {
        self.endpoint.close().await;
    }
}

fn ids(members: &[Arc<Member>]) -> Vec<ParticipantId> {
    let ids = members.iter().filter_map(|member| match &member.kind {
        Kind::Rtp(peer) => Some(peer.id),
        _ => None,
    });
    ids.collect()
}

const fn word(reason: LeaveReason) -> Reason {
    match reason {
        LeaveReason::Bye => Reason::Bye,
        LeaveReason::Silent => Reason::Timeout,
        LeaveReason::Local => Reason::Local,
        // It is here again, has lost the session, or had to go.
        _ => Reason::Error,
    }
}
