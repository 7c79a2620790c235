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
    /// It was started by `nohup`, to go on after the terminal has gone.
    #[cfg(unix)]
    stays: bool,
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
                // Before we listen: that undoes it.
                let stays = is_hangup_ignored();
                Ok(Self {
                    stays,
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
            let (reloads, stays) = (self.reloads, self.stays);
            let [interrupt, terminate, hangup] = &mut self.signals;
            tokio::select! {
                _ = interrupt.recv() => Wish::End,
                _ = terminate.recv() => Wish::End,
                _ = hangup.recv(), if reloads || !stays => match reloads {
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

/// Whether SIGHUP was to be ignored when the process began, where the system tells.
#[cfg(unix)]
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    is_hangup_in(&status)
}

#[cfg(unix)]
fn is_hangup_in(status: &str) -> bool {
    let mask = status.lines().find_map(|it| it.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|it| u64::from_str_radix(it.trim(), 16).ok());
    // SIGHUP is 1, and bit 0.
    mask.is_some_and(|mask| mask & 1 != 0)
}

#[cfg(all(test, unix))]
mod tests {
    use super::is_hangup_in;

    #[test]
    fn what_is_ignored_is_read_from_the_system() {
        assert!(is_hangup_in(
            "SigBlk:\t0000000000000001\nSigIgn:\t0000000000001001\n"
        ));
        assert!(!is_hangup_in(
            "SigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\n"
        ));
        assert!(!is_hangup_in(""));
    }
}
