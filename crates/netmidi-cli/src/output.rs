//! Standard output and standard error, as a command writes them that must not wait for whoever reads.
//!
//! A command that runs with peers has one thread for all: would it wait for a reader that has stopped
//! (a script that sleeps, Ctrl-S in a terminal), its sessions would be lost and no signal would end it.
//! So a thread of its own writes each of the two, and what it has no room for is left out and counted.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use anstream::AutoStream;
use serde_json::json;
use tokio::sync::Notify;

/// Octets that may wait for standard output to be read: some 15,000 messages for programs.
const BACKLOG: usize = 2 << 20;
/// And so many where what is told ends or changes something.
const BACKLOG_OF_ENDS: usize = 2 * BACKLOG;
/// The same for standard error.
const COMPLAINTS: usize = 256 << 10;
/// How long the last sentence may take to be read.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How much what is written matters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Weight {
    /// It may be left out when nobody reads.
    Light,
    /// Something ends by it that would last for whoever reads: it has more room.
    Heavy,
}

static OUT: OnceLock<Arc<Pipe>> = OnceLock::new();
static ERR: OnceLock<Arc<Pipe>> = OnceLock::new();

/// One of the two, and what waits for it.
#[derive(Debug, Default)]
struct Pipe {
    state: Mutex<State>,
    /// Something waits.
    filled: Condvar,
    /// Something was written.
    written: Condvar,
    /// The same, for those who do not block.
    moved: Notify,
    /// No more can be written.
    broke: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    is_writing: bool,
    /// Lines that were left out and not told yet.
    left_out: u64,
    /// Why no more can be written.
    broken: Option<(io::ErrorKind, String)>,
}

/// From now on nobody here waits for whoever reads.
pub(crate) fn detach(json: bool) {
    OUT.get_or_init(|| {
        Pipe::open(io::stdout(), move |count| {
            let message = format!(
                "{count} events were left out, because what is printed is not read fast enough; \
                 read it faster, or print less with --quiet"
            );
            complain(&message);
            match json {
                true => format!("{}\n", json!({ "event": "error", "message": message })),
                false => String::new(),
            }
        })
    });
    ERR.get_or_init(|| {
        Pipe::open(io::stderr(), |count| {
            format!("netmidi: {count} sentences were left out here, because they were not read\n")
        })
    });
}

/// A line with its colours on standard output, at once. They are taken out where they are not wanted.
pub(crate) fn line(line: &str, weight: Weight) -> io::Result<()> {
    let Some(pipe) = OUT.get() else {
        let mut out = anstream::stdout().lock();
        writeln!(out, "{line}")?;
        return out.flush();
    };
    pipe.push_text(line, AutoStream::choice(&io::stdout()), weight.room())
}

/// Octets of a line as they are, on standard output, at once.
pub(crate) fn raw(mut octets: Vec<u8>, weight: Weight) -> io::Result<()> {
    octets.push(b'\n');
    let Some(pipe) = OUT.get() else {
        let mut out = io::stdout().lock();
        out.write_all(&octets)?;
        return out.flush();
    };
    pipe.push(&octets, weight.room())
}

/// A line with its colours on standard error. Nobody may read it any more: then it is not heard.
pub(crate) fn aside(line: &str) {
    let _ = match ERR.get() {
        Some(pipe) => pipe.push_text(line, AutoStream::choice(&io::stderr()), COMPLAINTS),
        None => writeln!(anstream::stderr(), "{line}"),
    };
}

/// A sentence on standard error.
pub(crate) fn complain(sentence: &str) {
    aside(&format!("netmidi: {sentence}"));
}

/// Whether there is room on standard output for whatever comes.
pub(crate) fn has_room() -> bool {
    OUT.get()
        .is_none_or(|pipe| pipe.lock().waiting.len() < BACKLOG)
}

/// Waits until there is. Cancel safe; for one at a time.
pub(crate) async fn room() {
    if let Some(pipe) = OUT.get() {
        while !has_room() && !pipe.is_broken() {
            pipe.moved.notified().await;
        }
    }
}

/// Waits until nothing can be written to standard output any more. Cancel safe; for one at a time.
pub(crate) async fn broken() {
    let Some(pipe) = OUT.get() else {
        return std::future::pending().await;
    };
    while !pipe.is_broken() {
        pipe.broke.notified().await;
    }
}

/// Waits until standard output is written, or cannot be. Cancel safe; for one at a time.
pub(crate) async fn written() {
    if let Some(pipe) = OUT.get() {
        while !pipe.is_idle() {
            pipe.moved.notified().await;
        }
    }
}

/// At the end: what waits gets a moment to be read, standard error last. Returns why standard output
/// could not be written.
pub(crate) fn finish() -> Option<io::Error> {
    let out = OUT.get().and_then(|pipe| {
        pipe.wait(LAST_WORDS);
        pipe.lock().error()
    });
    if let Some(pipe) = ERR.get() {
        pipe.wait(LAST_WORDS);
    }
    out
}

impl Weight {
    const fn room(self) -> usize {
        match self {
            Self::Light => BACKLOG,
            Self::Heavy => BACKLOG_OF_ENDS,
        }
    }
}

impl Pipe {
    /// `left_out` says what is written where so many lines were left out.
    fn open(
        mut to: impl Write + Send + 'static,
        left_out: impl Fn(u64) -> String + Send + 'static,
    ) -> Arc<Self> {
        let pipe = Arc::new(Self::default());
        let shared = Arc::clone(&pipe);
        thread::spawn(move || {
            while let Some((mut octets, count)) = shared.take() {
                if count > 0 {
                    octets.extend_from_slice(left_out(count).as_bytes());
                }
                let done = to.write_all(&octets).and_then(|()| to.flush());
                if !shared.wrote(done) {
                    return;
                }
            }
        });
        pipe
    }

    /// Nothing is ever left half done under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push_text(&self, line: &str, colours: anstream::ColorChoice, most: usize) -> io::Result<()> {
        match colours {
            anstream::ColorChoice::Never => self.push(
                format!("{}\n", anstream::adapter::strip_str(line)).as_bytes(),
                most,
            ),
            _ => self.push(format!("{line}\n").as_bytes(), most),
        }
    }

    fn push(&self, octets: &[u8], most: usize) -> io::Result<()> {
        let mut state = self.lock();
        if let Some(error) = state.error() {
            return Err(error);
        }
        if !state.waiting.is_empty() && state.waiting.len() + octets.len() > most {
            state.left_out += 1;
        } else {
            state.waiting.extend_from_slice(octets);
            self.filled.notify_one();
        }
        Ok(())
    }

    /// What is to be written, and how many lines were left out behind it.
    fn take(&self) -> Option<(Vec<u8>, u64)> {
        let mut state = self.lock();
        while state.waiting.is_empty() && state.left_out == 0 {
            state = self
                .filled
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.is_writing = true;
        Some((
            std::mem::take(&mut state.waiting),
            std::mem::take(&mut state.left_out),
        ))
    }

    /// Whether it can go on.
    fn wrote(&self, done: io::Result<()>) -> bool {
        let mut state = self.lock();
        state.is_writing = false;
        if let Err(error) = done {
            state.broken = Some((error.kind(), error.to_string()));
            state.waiting = Vec::new();
        }
        let goes_on = state.broken.is_none();
        drop(state);
        self.written.notify_all();
        self.moved.notify_one();
        if !goes_on {
            self.broke.notify_one();
        }
        goes_on
    }

    fn is_idle(&self) -> bool {
        self.lock().is_idle()
    }

    fn is_broken(&self) -> bool {
        self.lock().broken.is_some()
    }

    /// Waits so long for what waits to be written.
    fn wait(&self, most: Duration) {
        let state = self.lock();
        // In time or not, there is nothing more to be done.
        let _ = self
            .written
            .wait_timeout_while(state, most, |it| !it.is_idle());
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.broken.is_some() || (self.waiting.is_empty() && !self.is_writing && self.left_out == 0)
    }

    fn error(&self) -> Option<io::Error> {
        let (kind, text) = self.broken.as_ref()?;
        Some(io::Error::new(*kind, text.clone()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is a failed test")]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Takes a piece whenever it is let.
    struct Slow(mpsc::Receiver<()>, mpsc::Sender<Vec<u8>>);

    impl Write for Slow {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            self.1.send(octets.to_vec()).unwrap();
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_has_no_room_is_counted_where_it_is_missing() {
        let ((lets, let_it), (writes, written)) = (mpsc::channel(), mpsc::channel());
        let pipe = Pipe::open(Slow(let_it, writes), |count| format!("({count})"));
        pipe.push(b"first ", 10).unwrap();
        // The thread has it, and waits.
        while !pipe.lock().waiting.is_empty() {
            thread::yield_now();
        }
        pipe.push(b"second ", 10).unwrap();
        pipe.push(b"light ", 10).unwrap();
        pipe.push(b"light ", 10).unwrap();
        pipe.push(b"heavy ", 20).unwrap();
        assert!(!pipe.is_idle());
        lets.send(()).unwrap();
        lets.send(()).unwrap();
        assert_eq!(written.recv().unwrap(), b"first ");
        assert_eq!(written.recv().unwrap(), b"second heavy (2)");
        pipe.wait(Duration::from_secs(60));
        assert!(pipe.is_idle());
        // Who reads is gone.
        drop(lets);
        pipe.push(b"more", 10).unwrap();
        pipe.wait(Duration::from_secs(60));
        let error = pipe.push(b"more", 10).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
