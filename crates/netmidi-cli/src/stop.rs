//! How a command is told to end.

use std::io;

use crate::failure::Failure;

/// Ctrl-C, or the wish of the system that the process ends; also the end of the terminal, so that
/// peers are told.
#[derive(Debug)]
pub(crate) struct Stop {
    #[cfg(unix)]
    signals: [tokio::signal::unix::Signal; 3],
}

impl Stop {
    /// Listens from now on: make it before anything that has to be tidied up.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let open = || -> io::Result<Self> {
            #[cfg(unix)]
            {
                use tokio::signal::unix::{SignalKind, signal};
                Ok(Self {
                    signals: [
                        signal(SignalKind::interrupt())?,
                        signal(SignalKind::terminate())?,
                        signal(SignalKind::hangup())?,
                    ],
                })
            }
            #[cfg(not(unix))]
            Ok(Self {})
        };
        open().map_err(|error| Failure::failed(format!("cannot listen for signals: {error}")))
    }

    /// Waits until it is to end. Cancel safe.
    pub(crate) async fn wait(&mut self) {
        #[cfg(unix)]
        {
            let [interrupt, terminate, hangup] = &mut self.signals;
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
