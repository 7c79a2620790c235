//! What can be changed while an endpoint runs, and messages for later.

use std::fmt;

use netmidi_message::Message;
use netmidi_session::{
    Admission, Pacing, ParticipantId, Playout, RequestId, Session, SysExPolicy, Time, Verdict,
};

use crate::endpoint::Handle;
use crate::error::SendError;
use crate::shared::{Recipient, Request};

/// A change of the session, at a moment.
type Change = dyn FnOnce(&mut Session, Time) + Send;

/// Something that the driver does to the session.
pub(crate) struct Task(pub(crate) Box<Change>);

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Task")
    }
}

impl Handle {
    /// Sends a message to one peer that is meant to sound at `at`, on the endpoint's clock
    /// ([`Endpoint::clock`](crate::Endpoint::clock)); at once when that is over.
    ///
    /// It waits here until then, or [`Config::send_ahead`](crate::Config::send_ahead) before, and goes
    /// out with that time as its timestamp. What is sent in the meantime goes before it.
    ///
    /// # Errors
    /// When the peer is not connected, the endpoint is closed, or its task gets no time to run. One
    /// further ahead than [`Config::max_schedule_ahead`](crate::Config::max_schedule_ahead) is told as
    /// [`Event::NotSent`](crate::Event::NotSent).
    pub fn send_at<'m>(
        &self,
        at: Time,
        to: ParticipantId,
        message: impl Into<Message<'m>>,
    ) -> Result<(), SendError> {
        let now = self.clock.now();
        self.shared
            .send(now, Some(at), Recipient::One(to), message.into())
    }

    /// Takes back what was given to [`send_at`](Self::send_at) for this peer and is not due yet. What
    /// ends a note that sounds is sent at once, so that none is left on.
    ///
    /// # Errors
    /// When the endpoint is closed.
    pub fn cancel_scheduled(&self, to: ParticipantId) -> Result<(), SendError> {
        self.set(move |session, now| {
            session.cancel_scheduled(now, to);
        })
    }

    /// When what one peer plays is handed out, instead of
    /// [`Config::playout`](crate::Config::playout).
    ///
    /// # Errors
    /// When the endpoint is closed. Nothing happens when the peer is gone.
    pub fn set_playout(&self, peer: ParticipantId, playout: Playout) -> Result<(), SendError> {
        self.set(move |session, now| {
            // Gone in the meantime.
            let _ = session.set_playout(now, peer, playout);
        })
    }

    /// How slowly one peer is sent MIDI, and in how small packets, instead of
    /// [`Config::pacing`](crate::Config::pacing).
    ///
    /// # Errors
    /// When the endpoint is closed. Nothing happens when the peer is gone.
    pub fn set_pacing(&self, peer: ParticipantId, pacing: Option<Pacing>) -> Result<(), SendError> {
        self.set(move |session, now| {
            // Gone in the meantime.
            let _ = session.set_pacing(now, peer, pacing);
        })
    }

    /// Which system exclusive messages of one peer are delivered, instead of
    /// [`Config::sysex`](crate::Config::sysex).
    ///
    /// # Errors
    /// When the endpoint is closed. Nothing happens when the peer is gone.
    pub fn set_sysex(&self, peer: ParticipantId, policy: SysExPolicy) -> Result<(), SendError> {
        self.set(move |session, now| {
            // Gone in the meantime.
            let _ = session.set_sysex(now, peer, policy);
        })
    }

    /// Who may connect from now on. Those who are connected stay.
    ///
    /// # Errors
    /// When the endpoint is closed.
    pub fn set_admission(&self, admission: Admission) -> Result<(), SendError> {
        self.set(move |session, now| session.set_admission(now, admission))
    }

    /// Lets somebody in who asks to connect ([`Event::Invited`](crate::Event::Invited)), or not. There
    /// is time to think: peers ask again for some seconds.
    ///
    /// # Errors
    /// When the endpoint is closed. Nothing happens when it has given up
    /// ([`Event::Withdrawn`](crate::Event::Withdrawn)).
    pub fn decide(&self, request: RequestId, verdict: Verdict) -> Result<(), SendError> {
        self.set(move |session, now| {
            // It has given up in the meantime.
            let _ = session.decide(now, request, verdict);
        })
    }

    fn set(&self, task: impl FnOnce(&mut Session, Time) + Send + 'static) -> Result<(), SendError> {
        self.shared.ask(Request::Do(Task(Box::new(task))))
    }
}
