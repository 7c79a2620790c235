//! The live view. What is known ([`model`]) and what is drawn of it ([`mod@draw`]) know no terminal and no
//! clock; here they are brought together.

mod draw;
mod filter;
mod fit;
mod list;
mod model;
mod screen;
mod source;
mod terminal;
mod told;

use std::env;
use std::time::{Duration, Instant};

use futures::FutureExt;
use ratatui::crossterm::event::{Event as Input, KeyEventKind};

use crate::failure::Failure;
use crate::stop::Stop;

use draw::{Look, draw};
use model::Model;
use screen::{Screen, Wish};
use source::Said;
use terminal::Canvas;

#[cfg(unix)]
pub(crate) use source::Socket;
pub(crate) use source::{Lines, Own, Source};

/// Between two pictures, at least.
const FRAME: Duration = Duration::from_millis(50);
/// What is taken at once of what is said.
const AT_ONCE: usize = 256;

/// Watches until it is told to end.
pub(crate) async fn watch(
    stop: &mut Stop,
    mut source: Source,
    started: Instant,
) -> Result<(), Failure> {
    let mut canvas = match Canvas::open() {
        Ok(canvas) => canvas,
        Err(failure) => {
            source.close().await;
            return Err(failure);
        }
    };
    let done = live(stop, &mut source, &mut canvas, started).await;
    canvas.leave().await;
    // Only now: peers may take a moment to say goodbye to.
    source.close().await;
    done
}

async fn live(
    stop: &mut Stop,
    source: &mut Source,
    canvas: &mut Canvas,
    started: Instant,
) -> Result<(), Failure> {
    let look = look();
    let mut keys = terminal::keys();
    let mut continued = Continued::listen()?;
    let mut model = Model::default();
    let mut screen = Screen::default();
    let mut over = false;
    // What the last picture shows, and when it was drawn.
    let mut drawn = None;
    let mut next_frame = Duration::ZERO;
    loop {
        let now = started.elapsed();
        let tick = model.next_tick(now);
        if tick.is_some_and(|tick| tick <= now) {
            model.tick(now);
        }
        let changed = drawn != Some(model.version());
        if changed && !canvas.is_busy() && now >= next_frame {
            canvas.draw(|frame| draw(frame, &model, &mut screen, now, look))?;
            drawn = Some(model.version());
            next_frame = now + FRAME;
        }
        let changed = drawn != Some(model.version());
        let frame = (changed && !canvas.is_busy()).then_some(next_frame);
        let wake = [model.next_tick(now), frame].into_iter().flatten().min();
        let wake = wake.map(|wake| started + wake);
        tokio::select! {
            said = source.next(), if !over => {
                over = hear(&mut model, started.elapsed(), said);
                // As much as is there, so that a flood is not a picture for each message.
                for _ in 0..AT_ONCE {
                    match source.next().now_or_never() {
                        Some(said) if !over => over = hear(&mut model, started.elapsed(), said),
                        _ => break,
                    }
                }
            }
            key = keys.recv() => {
                match key {
                    Some(Input::Key(key)) if key.kind != KeyEventKind::Release => {
                        match screen.key(key, &mut model) {
                            Wish::Nothing => {}
                            Wish::Quit => return Ok(()),
                            Wish::Interrupt => {
                                interrupt();
                                return Ok(());
                            }
                            Wish::Suspend => {
                                canvas.leave().await;
                                continued.suspend().await;
                                canvas.enter()?;
                            }
                            Wish::Repaint => canvas.repaint()?,
                        }
                    }
                    Some(Input::Resize(..)) => {}
                    Some(_) => continue,
                    // The terminal is gone.
                    None => return Err(Failure::NobodyReads),
                }
                drawn = None;
                next_frame = started.elapsed();
            }
            written = canvas.written() => written?,
            () = until(wake) => {}
            () = continued.wait() => {
                canvas.enter()?;
                drawn = None;
            }
            () = stop.wait() => return Ok(()),
        }
    }
}

/// Whether that was all.
fn hear(model: &mut Model, now: Duration, said: Said) -> bool {
    match said {
        Said::Told(told) => model.hear(now, told),
        Said::Anew => {
            model.restart(now);
            let text = "netmidi at the other end of the socket has gone; waiting for it".to_owned();
            model.hear(now, told::Told::Sentence { text });
        }
        Said::End => {
            let text = "there is no more to come; q quits".to_owned();
            model.hear(now, told::Told::Sentence { text });
            return true;
        }
    }
    false
}

async fn until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake.into()).await,
        None => std::future::pending().await,
    }
}

/// As the environment says.
fn look() -> Look {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let colour = match anstream::ColorChoice::global() {
        anstream::ColorChoice::Never => false,
        anstream::ColorChoice::Auto => set("NO_COLOR").is_none(),
        _ => true,
    };
    // The library would obey NO_COLOR although --color always was said.
    ratatui::crossterm::style::force_color_output(colour);
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| set(name));
    let locale = locale.map(|it| it.to_string_lossy().to_lowercase());
    let unicode = cfg!(windows)
        || locale.is_some_and(|locale| locale.contains("utf-8") || locale.contains("utf8"));
    Look { colour, unicode }
}

/// Ctrl-C goes to everybody of `netmidi serve --json | netmidi monitor -`, as from any terminal.
fn interrupt() {
    #[cfg(unix)]
    {
        use nix::sys::signal::{Signal, kill};
        // We listen for it, and end anyway.
        let _ = kill(nix::unistd::Pid::from_raw(0), Signal::SIGINT);
    }
}

/// Stopping and going on as a job of a shell.
struct Continued {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
}

impl Continued {
    fn listen() -> Result<Self, Failure> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let kind = SignalKind::from_raw(nix::sys::signal::Signal::SIGCONT as i32);
            let signal = signal(kind)
                .map_err(|error| Failure::failed(format!("cannot listen for signals: {error}")))?;
            Ok(Self { signal })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Waits until we were stopped and go on.
    async fn wait(&mut self) {
        #[cfg(unix)]
        let _ = self.signal.recv().await;
        #[cfg(not(unix))]
        std::future::pending::<()>().await;
    }

    /// Stops all of this job, as Ctrl-Z does.
    async fn suspend(&mut self) {
        #[cfg(unix)]
        {
            use nix::sys::signal::{Signal, kill};
            if kill(nix::unistd::Pid::from_raw(0), Signal::SIGTSTP).is_ok() {
                // Another thread may be the one that is stopped. And where no shell could let us go
                // on, the system does not stop us.
                let _ = tokio::time::timeout(Duration::from_millis(300), self.wait()).await;
            }
        }
    }
}
