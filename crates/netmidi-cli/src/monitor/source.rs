//! Where the monitor hears from: places of its own, a running `netmidi`, or lines.

use std::collections::VecDeque;
use std::io::{self, Read};
#[cfg(unix)]
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::told::Told;
use crate::hub::Hub;
use crate::numbers::{Numbers, ask};

/// How often counters are asked for.
const EVERY: Duration = Duration::from_secs(1);
/// A line that is longer is passed over.
const LONGEST: usize = 1 << 20;
/// What is read at once.
const PIECE: usize = 64 << 10;
/// Pieces that wait.
const PIECES: usize = 4;
/// How often a server that has gone is looked for.
#[cfg(unix)]
const AGAIN: Duration = Duration::from_secs(1);

/// What a source says.
#[derive(Debug)]
pub(crate) enum Said {
    Told(Told),
    /// From here on it tells everything from the beginning.
    Anew,
    /// There will be no more.
    End,
}

/// Where it is heard from.
pub(crate) enum Source {
    Hub(Box<Own>),
    Lines(Lines),
    #[cfg(unix)]
    Socket(Socket),
}

/// Places of our own.
pub(crate) struct Own {
    hub: Hub,
    started: Instant,
    every: Interval,
    asked: Option<BoxFuture<'static, Vec<Numbers>>>,
    pending: VecDeque<Told>,
}

impl Own {
    pub(crate) fn new(hub: Hub, started: Instant) -> Self {
        let mut every = interval(EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            hub,
            started,
            every,
            asked: None,
            pending: VecDeque::new(),
        }
    }

    async fn next(&mut self) -> Said {
        loop {
            if let Some(told) = self.pending.pop_front() {
                return Said::Told(told);
            }
            let somebody = self.hub.members().next().is_some();
            tokio::select! {
                event = self.hub.next() => match event {
                    Some(event) => {
                        if let Some(told) = Told::of(&event, self.started) {
                            return Said::Told(told);
                        }
                    }
                    None => return Said::End,
                },
                numbers = answer(&mut self.asked) => {
                    self.asked = None;
                    self.pending.extend(numbers.iter().map(Told::counted));
                }
                _ = self.every.tick(), if somebody && self.asked.is_none() => {
                    self.asked = Some(ask(&self.hub));
                }
            }
        }
    }
}

async fn answer(asked: &mut Option<BoxFuture<'static, Vec<Numbers>>>) -> Vec<Numbers> {
    match asked {
        Some(asked) => asked.await,
        None => std::future::pending().await,
    }
}

/// Lines on standard input.
pub(crate) struct Lines {
    pieces: mpsc::Receiver<io::Result<Vec<u8>>>,
    splitter: Splitter,
}

impl Lines {
    pub(crate) fn of_stdin() -> Self {
        let (sender, pieces) = mpsc::channel(PIECES);
        // A thread: a read of standard input cannot be cancelled.
        thread::spawn(move || {
            let mut stdin = io::stdin().lock();
            loop {
                let mut piece = vec![0; PIECE];
                let piece = match stdin.read(&mut piece) {
                    Ok(0) => return,
                    Ok(len) => {
                        piece.truncate(len);
                        Ok(piece)
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => Err(error),
                };
                let over = piece.is_err();
                if sender.blocking_send(piece).is_err() || over {
                    return;
                }
            }
        });
        Self {
            pieces,
            splitter: Splitter::default(),
        }
    }

    async fn next(&mut self) -> Said {
        loop {
            if let Some(told) = self.splitter.next() {
                return Said::Told(told);
            }
            match self.pieces.recv().await {
                Some(Ok(piece)) => self.splitter.feed(piece),
                Some(Err(error)) => {
                    return sentence(format!("standard input: {error}"));
                }
                None => return Said::End,
            }
        }
    }
}

/// A running `netmidi` with `--socket`.
#[cfg(unix)]
pub(crate) struct Socket {
    path: PathBuf,
    stream: Option<tokio::net::UnixStream>,
    splitter: Splitter,
    piece: Vec<u8>,
}

#[cfg(unix)]
impl Socket {
    pub(crate) async fn connect(path: PathBuf) -> Result<Self, crate::failure::Failure> {
        let stream = tokio::net::UnixStream::connect(&path).await;
        let stream = stream.map_err(|error| {
            crate::failure::Failure::failed(format!(
                "cannot attach to {}: {error}; is `netmidi serve --socket {}` running?",
                path.display(),
                path.display()
            ))
        })?;
        Ok(Self {
            path,
            stream: Some(stream),
            splitter: Splitter::default(),
            piece: vec![0; PIECE],
        })
    }

    async fn next(&mut self) -> Said {
        use tokio::io::AsyncReadExt;
        loop {
            if let Some(told) = self.splitter.next() {
                return Said::Told(told);
            }
            let Some(stream) = &mut self.stream else {
                tokio::time::sleep(AGAIN).await;
                if let Ok(stream) = tokio::net::UnixStream::connect(&self.path).await {
                    self.stream = Some(stream);
                    return sentence("attached again".to_owned());
                }
                continue;
            };
            match stream.read(&mut self.piece).await {
                Ok(len) if len > 0 => {
                    let piece = self.piece.get(..len).unwrap_or_default();
                    self.splitter.feed(piece.to_vec());
                }
                _ => {
                    self.stream = None;
                    self.splitter = Splitter::default();
                    return Said::Anew;
                }
            }
        }
    }
}

fn sentence(text: String) -> Said {
    Said::Told(Told::Sentence { text })
}

impl Source {
    /// What is said next. Cancel safe, but for a server that is looked for again.
    pub(crate) async fn next(&mut self) -> Said {
        match self {
            Self::Hub(own) => own.next().await,
            Self::Lines(lines) => lines.next().await,
            #[cfg(unix)]
            Self::Socket(socket) => socket.next().await,
        }
    }

    /// Ends sessions of our own.
    pub(crate) async fn close(self) {
        if let Self::Hub(own) = self {
            let mut hub = own.hub;
            hub.close();
            while hub.next().await.is_some() {}
            hub.finish().await;
        }
    }
}

/// Pieces of a stream, cut into lines.
#[derive(Debug, Default)]
struct Splitter {
    piece: Vec<u8>,
    at: usize,
    /// A line that has begun.
    begun: Vec<u8>,
    /// It was too long, and its rest is passed over.
    skipping: bool,
}

impl Splitter {
    /// After [`next`](Self::next) has given all of the last one.
    fn feed(&mut self, piece: Vec<u8>) {
        self.piece = piece;
        self.at = 0;
    }

    fn next(&mut self) -> Option<Told> {
        loop {
            let rest = self.piece.get(self.at..).unwrap_or_default();
            if rest.is_empty() {
                return None;
            }
            let end = rest.iter().position(|octet| *octet == b'\n');
            let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            self.at += line.len() + usize::from(end.is_some());
            if self.begun.len() + line.len() > LONGEST {
                self.skipping = true;
                self.begun = Vec::new();
            }
            if !self.skipping {
                self.begun.extend_from_slice(line);
            }
            end?;
            let line = std::mem::take(&mut self.begun);
            if std::mem::take(&mut self.skipping) {
                return Some(Told::Sentence {
                    text: format!("a line of more than {LONGEST} octets was passed over"),
                });
            }
            match Told::of_line(&line) {
                Ok(Some(told)) => return Some(told),
                Ok(None) => {}
                Err(text) => return Some(Told::Sentence { text }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_in_pieces_and_long_ones_are_passed_over() {
        let mut splitter = Splitter::default();
        let mut all = Vec::new();
        let line = |text: &str| format!("{{\"event\":\"error\",\"message\":\"{text}\"}}\n");
        let mut stream = line("one").into_bytes();
        stream.extend(line(&"x".repeat(3 << 20)).into_bytes());
        stream.extend(line("two").into_bytes());
        stream.extend(b"\n{\n");
        stream.extend(line("three").into_bytes());
        for piece in stream.chunks(1000) {
            splitter.feed(piece.to_vec());
            while let Some(told) = splitter.next() {
                let Told::Sentence { text } = told else {
                    panic!("{told:?}")
                };
                all.push(text);
            }
            assert!(splitter.begun.len() <= LONGEST);
        }
        assert_eq!(all.len(), 5, "{all:?}");
        assert_eq!((&*all[0], &*all[2], &*all[4]), ("one", "two", "three"));
        assert!(all[1].contains("passed over"), "{}", all[1]);
        assert!(all[3].contains("--json"), "{}", all[3]);
    }
}
