//! Those whom we invite: where each is asked, and how far that is.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use netmidi_wire::{Ssrc, Token};

use crate::error::InviteError;
use crate::event::ParticipantId;
use crate::time::Time;
use crate::transmit::{PairId, Port};

/// Addresses at which one invitee is asked, at most: those that one name has.
pub const MAX_TARGETS: usize = 8;

/// Names somebody whom we invite, for as long as the session exists; never used twice.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct InviteeId(pub(crate) u64);

impl fmt::Display for InviteeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invitee {}", self.0)
    }
}

/// Where somebody is invited, and from which of our port pairs.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Target {
    /// The control port.
    pub control: SocketAddr,
    /// The data port.
    pub data: SocketAddr,
    /// Our side.
    pub pair: PairId,
}

impl Target {
    /// A control port, with the data port above it as is customary, asked from our first pair.
    ///
    /// `None` for port 0, which nobody listens on, and for 65,535, above which there is no port.
    #[must_use]
    pub const fn new(control: SocketAddr) -> Option<Self> {
        let mut data = control;
        let port = control.port();
        if port == 0 || port == u16::MAX {
            return None;
        }
        data.set_port(port + 1);
        Some(Self {
            control,
            data,
            pair: PairId(0),
        })
    }

    /// The same, asked from another pair of ours.
    #[must_use]
    pub const fn from(self, pair: PairId) -> Self {
        Self { pair, ..self }
    }
}

/// How long somebody is invited.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Persistence {
    /// Until withdrawn: again whenever the session ends or nobody answers.
    #[default]
    Forever,
    /// Until the first session ends, with one series of invitations.
    Once,
}

/// How far an invitation of ours is.
///
/// Its text is a sentence for the person who waits for the session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InviteeState {
    /// It is asked, and has not answered yet.
    Asking,
    /// A series of invitations to this port was not answered. It goes on all the same with
    /// [`Persistence::Forever`].
    Unanswered {
        /// Which port: `Data` when the control port did answer.
        port: Port,
        /// How many were sent.
        invitations: u32,
    },
    /// It answered NO.
    Refused {
        /// When it is asked again: never with [`Persistence::Once`].
        again_at: Option<Time>,
    },
    /// It is in the session.
    Joined {
        /// As whom.
        participant: ParticipantId,
    },
    /// It is invited no longer. No later event names it.
    Ended,
}

impl fmt::Display for InviteeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asking => f.write_str("invited, no answer yet"),
            Self::Unanswered {
                port: Port::Control,
                invitations,
            } => write!(
                f,
                "no answer from its control port after {invitations} invitations; see that it is on \
                 and shares a session, that address and port are right, and that no firewall stops \
                 UDP on that port"
            ),
            Self::Unanswered {
                port: Port::Data,
                invitations,
            } => write!(
                f,
                "its control port answers, its data port did not after {invitations} invitations; see \
                 that no firewall stops UDP on the port above the control port"
            ),
            Self::Refused { .. } => f.write_str(
                "it answered NO; see who may connect to it, whether it is full, and whether it still \
                 shows an old session with us",
            ),
            Self::Joined { .. } => f.write_str("connected"),
            Self::Ended => f.write_str("invited no longer"),
        }
    }
}

/// A series of invitations with one token.
#[derive(Clone, Debug)]
pub(crate) enum Asking {
    /// To the control ports of all targets.
    Control,
    /// To the data port of the one that answered.
    Data {
        target: Target,
        ssrc: Ssrc,
        name: String,
    },
}

/// What is going on with an invitee.
#[derive(Clone, Debug)]
pub(crate) enum Progress {
    Asking {
        token: Token,
        step: Asking,
        /// Invitations sent in this step.
        sent: u32,
    },
    /// It said NO, or ended session after session at once.
    Waiting,
    Joined(ParticipantId),
}

/// Somebody whom we invite.
#[derive(Clone, Debug)]
pub(crate) struct Invitee {
    pub(crate) targets: Vec<Target>,
    pub(crate) persistence: Persistence,
    pub(crate) progress: Progress,
    /// When its timer comes due, if it is in the table.
    pub(crate) due: Option<Time>,
    /// What the application heard last.
    pub(crate) told: InviteeState,
    /// Sessions in a row that ended right after they began.
    pub(crate) short_lives: u8,
    /// Data invitations in a row that were answered NO after the control port had said OK.
    pub(crate) half_refusals: u8,
}

/// All of them, and where answers and strangers find theirs.
#[derive(Debug, Default)]
pub(crate) struct Invitees {
    all: BTreeMap<InviteeId, Invitee>,
    tokens: BTreeMap<Token, InviteeId>,
    /// Control and data addresses of all targets.
    addresses: BTreeMap<(PairId, SocketAddr), InviteeId>,
    next: u64,
}

impl Invitees {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = InviteeId> {
        self.all.keys().copied()
    }

    pub(crate) fn get(&self, id: InviteeId) -> Option<&Invitee> {
        self.all.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: InviteeId) -> Option<&mut Invitee> {
        self.all.get_mut(&id)
    }

    /// Whose invitation an answer with this token answers.
    pub(crate) fn asked_with(&self, token: Token) -> Option<InviteeId> {
        self.tokens.get(&token).copied()
    }

    /// Who is invited at this address.
    pub(crate) fn at(&self, pair: PairId, address: SocketAddr) -> Option<InviteeId> {
        self.addresses.get(&(pair, address)).copied()
    }

    pub(crate) fn insert(
        &mut self,
        targets: &[Target],
        persistence: Persistence,
    ) -> Result<InviteeId, InviteError> {
        let targets = self.checked(targets, None)?;
        let id = InviteeId(self.next);
        self.next += 1;
        self.enter(id, &targets);
        self.all.insert(
            id,
            Invitee {
                targets,
                persistence,
                progress: Progress::Waiting,
                due: None,
                told: InviteeState::Asking,
                short_lives: 0,
                half_refusals: 0,
            },
        );
        Ok(id)
    }

    /// It is to be found elsewhere from now on.
    pub(crate) fn move_to(&mut self, id: InviteeId, targets: &[Target]) -> Result<(), InviteError> {
        let targets = self.checked(targets, Some(id))?;
        self.leave(id);
        self.enter(id, &targets);
        if let Some(invitee) = self.all.get_mut(&id) {
            invitee.targets = targets;
        }
        Ok(())
    }

    pub(crate) fn remove(&mut self, id: InviteeId) -> Option<Invitee> {
        self.forget_token(id);
        self.leave(id);
        self.all.remove(&id)
    }

    /// From now on answers with this token are this invitee's.
    pub(crate) fn remember_token(&mut self, id: InviteeId, token: Token) {
        self.tokens.insert(token, id);
    }

    /// The series of this invitee is over.
    pub(crate) fn forget_token(&mut self, id: InviteeId) {
        if let Some(Invitee {
            progress: Progress::Asking { token, .. },
            ..
        }) = self.all.get(&id)
            && self.tokens.get(token) == Some(&id)
        {
            self.tokens.remove(token);
        }
    }

    /// Whether an answer with such a token would be somebody's.
    pub(crate) fn is_token_used(&self, token: Token) -> bool {
        self.tokens.contains_key(&token)
    }

    fn checked(
        &self,
        targets: &[Target],
        of: Option<InviteeId>,
    ) -> Result<Vec<Target>, InviteError> {
        let mut distinct: Vec<Target> = Vec::with_capacity(targets.len().min(MAX_TARGETS));
        for target in targets {
            if !distinct.contains(target) && distinct.len() < MAX_TARGETS {
                distinct.push(*target);
            }
        }
        if distinct.is_empty() {
            return Err(InviteError::NoTarget);
        }
        let taken = distinct.iter().find_map(|target| {
            let invitee = self.at(target.pair, target.control)?;
            (Some(invitee) != of).then_some((invitee, target.control))
        });
        match taken {
            Some((invitee, address)) => Err(InviteError::AlreadyInvited { invitee, address }),
            None => Ok(distinct),
        }
    }

    fn enter(&mut self, id: InviteeId, targets: &[Target]) {
        for target in targets {
            self.addresses.insert((target.pair, target.control), id);
            self.addresses
                .entry((target.pair, target.data))
                .or_insert(id);
        }
    }

    fn leave(&mut self, id: InviteeId) {
        let Some(invitee) = self.all.get(&id) else {
            return;
        };
        for target in &invitee.targets {
            for address in [target.control, target.data] {
                if self.addresses.get(&(target.pair, address)) == Some(&id) {
                    self.addresses.remove(&(target.pair, address));
                }
            }
        }
    }
}
