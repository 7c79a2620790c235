//! The terminal: taken for the time that we draw on it, and given back whatever happens.

use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};
use std::panic;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as std_mpsc;
use std::thread;
use std::time::Duration;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{self, Event};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::layout::{Position, Rect};
use ratatui::{Frame, Terminal};
use tokio::sync::mpsc;

use crate::failure::Failure;

/// How long a terminal may take to show the last picture before it is given back.
const PATIENCE: Duration = Duration::from_secs(1);
/// Keys and changes of size that wait.
const KEYS: usize = 64;

/// Whether the terminal is ours at the moment.
static OURS: AtomicBool = AtomicBool::new(false);

/// What is drawn, until it is written in one go.
#[derive(Clone, Debug, Default)]
struct Ink(Rc<RefCell<Vec<u8>>>);

impl Write for Ink {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The terminal that we draw on.
///
/// A thread of its own writes: a terminal that takes nothing for a while (Ctrl-S, a slow line) must not
/// hold up sessions. No picture is drawn before the last one is out, so nothing piles up.
pub(crate) struct Canvas {
    terminal: Terminal<CrosstermBackend<Ink>>,
    ink: Ink,
    pictures: std_mpsc::Sender<Vec<u8>>,
    written: mpsc::Receiver<io::Result<()>>,
    busy: bool,
}

impl Canvas {
    pub(crate) fn open() -> Result<Self, Failure> {
        if !io::stdout().is_terminal() {
            return Err(Failure::usage(
                "monitor draws on a terminal, and standard output is none; for programs there is \
                 `netmidi serve --json`",
            ));
        }
        let open = || -> io::Result<Self> {
            let ink = Ink::default();
            let terminal = Terminal::new(CrosstermBackend::new(ink.clone()))?;
            let (pictures, incoming) = std_mpsc::channel::<Vec<u8>>();
            let (done, written) = mpsc::channel(1);
            let mut out = output()?;
            thread::spawn(move || {
                for picture in incoming {
                    let wrote = out.write_all(&picture).and_then(|()| out.flush());
                    if done.blocking_send(wrote).is_err() {
                        return;
                    }
                }
            });
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                give_back();
                before(info);
            }));
            take()?;
            Ok(Self {
                terminal,
                ink,
                pictures,
                written,
                busy: false,
            })
        };
        open().map_err(|error| {
            give_back();
            Failure::failed(format!("cannot draw on this terminal: {error}"))
        })
    }

    /// Whether the last picture is not yet out.
    pub(crate) const fn is_busy(&self) -> bool {
        self.busy
    }

    /// Draws what has changed.
    pub(crate) fn draw(&mut self, picture: impl FnOnce(&mut Frame<'_>)) -> Result<(), Failure> {
        self.terminal.draw(picture).map_err(gone)?;
        let octets = std::mem::take(&mut *self.ink.0.borrow_mut());
        if !octets.is_empty() {
            self.busy = self.pictures.send(octets).is_ok();
        }
        Ok(())
    }

    /// Draws everything anew next time.
    pub(crate) fn repaint(&mut self) -> Result<(), Failure> {
        // Not `clear`: that asks the terminal where its cursor is, and the thread that reads keys
        // would get the answer.
        let size = self.terminal.size().map_err(gone)?;
        let area = Rect::from((Position::ORIGIN, size));
        self.terminal.resize(area).map_err(gone)
    }

    /// Waits until the picture is out; for ever if there is none. Cancel safe.
    pub(crate) async fn written(&mut self) -> Result<(), Failure> {
        if !self.busy {
            std::future::pending::<()>().await;
        }
        let written = self.written.recv().await;
        self.busy = false;
        match written {
            Some(written) => written.map_err(gone),
            None => Err(Failure::NobodyReads),
        }
    }

    /// Gives the terminal back after what is being written.
    pub(crate) async fn leave(&mut self) {
        if self.busy {
            let _ = tokio::time::timeout(PATIENCE, self.written()).await;
        }
        give_back();
    }

    /// Takes it again.
    pub(crate) fn enter(&mut self) -> Result<(), Failure> {
        take().map_err(gone)?;
        self.repaint()
    }
}

impl Drop for Canvas {
    fn drop(&mut self) {
        give_back();
    }
}

/// Its other end is closed: nobody is left who could be told anything.
fn gone(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::NobodyReads,
        // EIO: the terminal is closed.
        _ if error.raw_os_error() == Some(5) => Failure::NobodyReads,
        _ => Failure::failed(format!("cannot draw on this terminal: {error}")),
    }
}

/// Not through the lock of standard output: who writes a last word must not wait for this.
#[cfg(unix)]
fn output() -> io::Result<std::fs::File> {
    use std::os::fd::AsFd;
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

#[cfg(not(unix))]
fn output() -> io::Result<io::Stdout> {
    Ok(io::stdout())
}

fn take() -> io::Result<()> {
    OURS.store(true, Ordering::SeqCst);
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, Hide)
}

fn give_back() {
    if OURS.swap(false, Ordering::SeqCst) {
        // Nothing can be done about a terminal that is gone.
        let _ = disable_raw_mode();
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
    }
}

/// What is typed, and changes of size; ends with the terminal.
pub(crate) fn keys() -> mpsc::Receiver<Event> {
    let (sender, keys) = mpsc::channel(KEYS);
    // A thread: a read of the terminal cannot be cancelled.
    thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    });
    keys
}
