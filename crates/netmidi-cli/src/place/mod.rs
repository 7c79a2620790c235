//! Places: where MIDI comes from and goes to. A command opens some, and a [`Hub`](crate::hub::Hub)
//! passes on between them.

mod file;
#[cfg(feature = "local-ports")]
mod local;
#[cfg(not(feature = "local-ports"))]
#[path = "no_local.rs"]
mod local;
mod rtp;
mod spec;
mod stdio;
mod tcp;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;
use netmidi::message::Message;
use netmidi::{IpNet, JournalPolicy};

use crate::event::{Event, Member};
use crate::failure::Failure;

pub(crate) use file::FilePlace;
pub(crate) use local::{LocalPlace, port_names};
pub(crate) use rtp::RtpPlace;
pub(crate) use spec::{Spec, listen};
pub(crate) use stdio::StdioPlace;
pub(crate) use tcp::{TcpClient, TcpServer};

/// How places are to be that are opened.
#[derive(Clone, Debug, PartialEq)]
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
    /// Whether standard output is for programs: then what is sent there are events, too.
    pub(crate) json: bool,
    /// Whether standard input is read where it is a place.
    pub(crate) reads: bool,
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
            json: false,
            reads: true,
        }
    }
}

/// A place that is open.
#[derive(Debug)]
pub(crate) enum Place {
    Rtp(Box<RtpPlace>),
    TcpServer(Box<TcpServer>),
    TcpClient(Box<TcpClient>),
    Local(Box<LocalPlace>),
    Stdio(Box<StdioPlace>),
    File(Box<FilePlace>),
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
            Spec::Stdio => Self::Stdio(Box::new(StdioPlace::open(number, options))),
            Spec::Port(name) => Self::Local(Box::new(LocalPlace::port(number, name).await?)),
            Spec::Virtual(name) => Self::Local(Box::new(LocalPlace::create(number, name).await?)),
            Spec::File(path) => Self::File(Box::new(FilePlace::open(number, path)?)),
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
            Self::Local(place) => place.poll_event(cx),
            Self::Stdio(place) => place.poll_event(cx),
            Self::File(place) => place.poll_event(cx),
        }
    }

    /// Sends to a member of this place without waiting; whether there was room.
    pub(crate) fn send(&mut self, to: &Member, message: Message<'_>) -> bool {
        match self {
            Self::Rtp(place) => place.send(to, message),
            Self::TcpServer(place) => place.send(to, message),
            Self::TcpClient(place) => place.send(message),
            Self::Local(place) => place.send(message),
            Self::Stdio(place) => place.send(message),
            // A file only plays.
            Self::File(_) => true,
        }
    }

    /// Gives a member of this place a message for later, if this place can keep it until then with its
    /// exact time; whether there was room.
    pub(crate) fn send_at(
        &mut self,
        to: &Member,
        at: Instant,
        message: Message<'_>,
    ) -> Option<bool> {
        match self {
            Self::Rtp(place) => Some(place.send_at(to, at, message)),
            _ => None,
        }
    }

    /// Takes back what a member was given for later.
    pub(crate) fn take_back(&mut self, to: &Member) {
        if let Self::Rtp(place) = self {
            place.take_back(to);
        }
    }

    /// Whether those here can be made to wait without losing anything: then no more is read of them
    /// while RTP-MIDI peers are behind.
    pub(crate) const fn can_wait(&self) -> bool {
        match self {
            Self::Rtp(_) | Self::Local(_) | Self::File(_) => false,
            Self::TcpServer(_) | Self::TcpClient(_) | Self::Stdio(_) => true,
        }
    }

    /// Done when what was sent before has gone out.
    pub(crate) fn flush(&self, members: &[Arc<Member>]) -> BoxFuture<'static, ()> {
        match self {
            Self::Rtp(place) => place.flush(members),
            Self::Local(place) => place.flush(),
            Self::Stdio(place) => place.flush(),
            Self::TcpServer(_) | Self::TcpClient(_) | Self::File(_) => {
                std::future::ready(()).boxed()
            }
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
            Self::Local(place) => place.close(),
            Self::Stdio(place) => place.close(),
            Self::File(place) => place.close(),
        }
    }

    /// Somebody of another place is there, to hear what is read here.
    pub(crate) fn begin(&mut self) {
        match self {
            Self::Stdio(place) => place.begin(),
            Self::File(place) => place.begin(),
            _ => {}
        }
    }

    /// After the last event: waits for what is left to be tidied up.
    pub(crate) async fn finish(self) {
        match self {
            Self::Rtp(place) => place.finish().await,
            Self::TcpServer(place) => place.finish().await,
            Self::Local(place) => place.finish().await,
            Self::Stdio(place) => place.finish().await,
            Self::TcpClient(_) | Self::File(_) => {}
        }
    }
}
