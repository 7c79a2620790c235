//! Places: where MIDI comes from and goes to. A command opens some, and a [`Hub`](crate::hub::Hub)
//! passes on between them.

mod rtp;
mod spec;
mod tcp;

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use netmidi::message::Message;
use netmidi::{IpNet, JournalPolicy};

use crate::event::{Event, Member};
use crate::failure::Failure;

pub(crate) use rtp::RtpPlace;
pub(crate) use spec::{Spec, listen};
pub(crate) use tcp::{TcpClient, TcpServer};

/// How places are to be that are opened.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The name that RTP-MIDI peers see.
    pub(crate) name: String,
    pub(crate) journal: JournalPolicy,
    /// Whether system exclusive messages are received.
    pub(crate) sysex: bool,
    /// Who may connect; everybody if there is none.
    pub(crate) allow: Vec<IpNet>,
    /// How many may connect at the same time.
    pub(crate) max_peers: Option<usize>,
    /// Whether sessions that listen are shown in the local network.
    pub(crate) announce: bool,
    /// Whether those who are connected to are tried again after they have gone.
    pub(crate) again: bool,
    /// Whether they are tried until they are there, whatever [`again`](Self::again) says.
    pub(crate) until_there: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "netmidi".to_owned(),
            journal: JournalPolicy::Auto,
            sysex: true,
            allow: Vec::new(),
            max_peers: None,
            announce: true,
            again: true,
            until_there: true,
        }
    }
}

/// A place that is open.
#[derive(Debug)]
pub(crate) enum Place {
    Rtp(Box<RtpPlace>),
    TcpServer(Box<TcpServer>),
    TcpClient(Box<TcpClient>),
}

impl Place {
    /// Opens what was asked for; `number` is its own among the places of the command.
    pub(crate) async fn open(
        number: usize,
        spec: &Spec,
        options: &Options,
    ) -> Result<Self, Failure> {
        Ok(match spec {
            Spec::Rtp(peer) => {
                let peers = std::slice::from_ref(peer);
                Self::Rtp(Box::new(RtpPlace::open(number, &[], peers, options).await?))
            }
            Spec::RtpListen(address) => {
                let listen = std::slice::from_ref(address);
                Self::Rtp(Box::new(
                    RtpPlace::open(number, listen, &[], options).await?,
                ))
            }
            Spec::Tcp(address) => {
                Self::TcpClient(Box::new(TcpClient::open(number, address.clone(), options)))
            }
            Spec::TcpListen(address) => {
                let listen = std::slice::from_ref(address);
                Self::TcpServer(Box::new(TcpServer::open(number, listen, options).await?))
            }
        })
    }

    /// What happens next; none when nothing will happen here any more.
    pub(crate) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        match self {
            Self::Rtp(place) => place.poll_event(cx),
            Self::TcpServer(place) => place.poll_event(cx),
            Self::TcpClient(place) => place.poll_event(cx),
        }
    }

    /// Sends to a member of this place without waiting; whether there was room.
    pub(crate) fn send(&mut self, to: &Member, message: Message<'_>) -> bool {
        match self {
            Self::Rtp(place) => place.send(to, message),
            Self::TcpServer(place) => place.send(to, message),
            Self::TcpClient(place) => place.send(message),
        }
    }

    /// Whether those here can be made to wait without losing anything: then no more is read of them
    /// while RTP-MIDI peers are behind.
    pub(crate) const fn can_wait(&self) -> bool {
        match self {
            Self::Rtp(_) => false,
            Self::TcpServer(_) | Self::TcpClient(_) => true,
        }
    }

    /// Done when what was sent before has gone out.
    pub(crate) fn flush(&self, members: &[Arc<Member>]) -> BoxFuture<'static, ()> {
        match self {
            Self::Rtp(place) => place.flush(members),
            Self::TcpServer(_) | Self::TcpClient(_) => std::future::ready(()).boxed(),
        }
    }

    /// Done when what was sent before has left this process: for those who send faster than any
    /// peer may take.
    pub(crate) fn drain(&self, members: &[Arc<Member>]) -> BoxFuture<'static, ()> {
        match self {
            Self::TcpServer(place) => place.drain(),
            Self::TcpClient(place) => place.drain(),
            _ => self.flush(members),
        }
    }

    /// Done when these members have told that they have what was sent before, which some never do;
    /// where there is no such telling, when it has left this process.
    pub(crate) fn delivered(&self, members: &[Arc<Member>]) -> BoxFuture<'static, ()> {
        match self {
            Self::Rtp(place) => place.delivered(members),
            _ => self.drain(members),
        }
    }

    /// Begins to end: what was sent goes out, peers are told. Its events go on until there are none.
    pub(crate) fn close(&mut self) {
        match self {
            Self::Rtp(place) => place.close(),
            Self::TcpServer(place) => place.close(),
            Self::TcpClient(place) => place.close(),
        }
    }

    /// After the last event: waits for what is left to be tidied up.
    pub(crate) async fn finish(self) {
        match self {
            Self::Rtp(place) => place.finish().await,
            Self::TcpServer(place) => place.finish().await,
            Self::TcpClient(_) => {}
        }
    }
}
