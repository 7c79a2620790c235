//! In place of the ports of this computer, where netmidi was built without them.

use std::future::ready;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use netmidi::message::Message;

use crate::event::Event;
use crate::failure::Failure;

/// The names of the ports of this computer.
#[derive(Clone, Debug, Default)]
pub(crate) struct PortNames {
    pub(crate) inputs: Vec<String>,
    pub(crate) outputs: Vec<String>,
}

const MISSING: &str = "this netmidi was built without the ports of this computer; get one with \
    them by `cargo install --path crates/netmidi-cli` (on Debian and Ubuntu after `apt install \
    libasound2-dev pkg-config`), or with `--features jack` for the ports of JACK";

pub(crate) fn port_names() -> Result<PortNames, Failure> {
    Err(Failure::failed(MISSING))
}

/// There is none.
#[derive(Debug)]
pub(crate) enum LocalPlace {}

impl LocalPlace {
    pub(crate) async fn port(_: usize, _: &str) -> Result<Self, Failure> {
        Err(Failure::failed(MISSING))
    }

    pub(crate) async fn create(_: usize, _: &str) -> Result<Self, Failure> {
        Err(Failure::failed(MISSING))
    }

    pub(crate) const fn poll_event(&mut self, _: &mut Context<'_>) -> Poll<Option<Event>> {
        Poll::Ready(None)
    }

    pub(crate) const fn send(&self, _: Message<'_>) -> bool {
        true
    }

    pub(crate) fn flush(&self) -> BoxFuture<'static, ()> {
        ready(()).boxed()
    }

    pub(crate) const fn close(&mut self) {}

    pub(crate) async fn finish(self) {}
}
