//! Sockets that others watch by are not made on this system.

use std::path::Path;
use std::time::Instant;

use crate::event::Event;
use crate::failure::Failure;
use crate::hub::Hub;

/// None.
#[derive(Debug, Default)]
pub(crate) struct Attach;

impl Attach {
    pub(crate) fn open(_: Option<&Path>, _: Instant) -> Result<Self, Failure> {
        Ok(Self)
    }

    pub(crate) fn tell(&self, _: &Event) {}

    pub(crate) async fn due(&mut self) {
        std::future::pending().await
    }

    pub(crate) fn count(&self, _: &Hub) {}

    pub(crate) async fn finish(self) {}
}
