//! How a command is told to end.

use std::io;

use crate::failure::Failure;

/// Ctrl-C, or the wish of the system that the process ends; also the end of the terminal, so that
/// peers are told.
#[derive(Debug)]
pub(crate) struct Stop {
    #[cfg(unix)]
    signals: [tokio::signal::unix::Signal; 3],
    /// SIGHUP asks to read the configuration again, and does not end.
    #[cfg(unix)]
    reloads: bool,
}

/// What is wished from outside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wish {
    End,
    Reload,
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
                    reloads: false,
                })
            }
            #[cfg(not(unix))]
            Ok(Self {})
        };
        open().map_err(|error| Failure::failed(format!("cannot listen for signals: {error}")))
    }

    /// The same, where SIGHUP asks to read the configuration again.
    pub(crate) fn listen_for_reload() -> Result<Self, Failure> {
        #[cfg(unix)]
        return Ok(Self {
            reloads: true,
            ..Self::listen()?
        });
        #[cfg(not(unix))]
        Self::listen()
    }

    /// Waits until it is to end. Cancel safe.
    pub(crate) async fn wait(&mut self) {
        while self.next().await != Wish::End {}
    }

    /// Waits for the next wish. Cancel safe.
    pub(crate) async fn next(&mut self) -> Wish {
        #[cfg(unix)]
        {
            let reloads = self.reloads;
            let [interrupt, terminate, hangup] = &mut self.signals;
            tokio::select! {
                _ = interrupt.recv() => Wish::End,
                _ = terminate.recv() => Wish::End,
                _ = hangup.recv() => match reloads {
                    true => Wish::Reload,
                    false => Wish::End,
                },
            }
        }
        #[cfg(not(unix))]
        {
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
            Wish::End
        }
    }
}
