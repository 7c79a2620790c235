//! Standard input and output: a message a line.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use netmidi::Origin;
use netmidi::message::{Message, MessageBuf};
use serde_json::json;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::oneshot;

use super::Options;
use crate::event::{Event, Kind, Member, Reason};
use crate::stdin::{Line, Stdin};
use crate::text::hex;

/// Messages that wait for standard output to be read, at most.
const LINES: usize = 16 << 10;
/// So many octets are written at once, and some more.
const PIECE: usize = 64 << 10;

/// So long one who does not read holds up those who can wait, once.
const HOLDS_UP: Duration = Duration::from_millis(500);

/// What the thread that writes is told.
enum Work {
    Line(MessageBuf),
    /// All before it is to be told as written.
    Flush(oneshot::Sender<()>),
}

/// Lines that are read are what it plays, and what it hears is written, a message a line.
///
/// Whoever reads our output slowly holds up nobody: a thread writes, and what it has no room for is lost
/// to it, but for the end of what sounds.
#[derive(Debug)]
pub(crate) struct StdioPlace {
    member: Arc<Member>,
    stdin: Stdin,
    /// Told before anything else.
    pending: VecDeque<Event>,
    output: Option<mpsc::Sender<Work>>,
    /// Nothing was written for so long that nobody waits for it.
    stuck: Arc<AtomicBool>,
    /// Done when all is written.
    written: Option<oneshot::Receiver<()>>,
    here: bool,
}

impl StdioPlace {
    pub(crate) fn open(number: usize, options: &Options) -> Self {
        let member = Member::new(number, Kind::Stdio);
        let (output, lines) = mpsc::channel(LINES);
        let (done, written) = oneshot::channel();
        let json = options.json;
        let stuck = Arc::new(AtomicBool::new(false));
        let goes_on = Arc::clone(&stuck);
        // Not the runtime's: a write to a pipe that nobody reads lasts for ever.
        thread::spawn(move || {
            write(lines, json, &goes_on);
            let _ = done.send(());
        });
        Self {
            pending: VecDeque::from([Event::Connected {
                member: Arc::clone(&member),
            }]),
            member,
            stdin: match options.reads {
                true => Stdin::open(),
                false => Stdin::Nothing,
            },
            output: Some(output),
            stuck,
            written: Some(written),
            here: true,
        }
    }

    /// Reads from now on.
    pub(crate) fn begin(&mut self) {
        self.stdin.begin();
    }

    pub(crate) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if let Some(event) = self.pending.pop_front() {
            return Poll::Ready(Some(event));
        }
        if !self.here {
            return Poll::Ready(None);
        }
        let member = Arc::clone(&self.member);
        Poll::Ready(Some(match ready!(self.stdin.poll_next(cx)) {
            Some(Line::Message(message)) => Event::Midi {
                member,
                at: std::time::Instant::now(),
                message,
                origin: Origin::Live,
            },
            Some(Line::Bad(message)) => Event::Error { message },
            // It goes on to hear until the end.
            None => Event::EndOfInput,
        }))
    }

    pub(crate) fn send(&self, message: Message<'_>) -> bool {
        self.output.as_ref().is_none_or(|output| {
            !matches!(
                output.try_send(Work::Line(message.to_buf())),
                Err(TrySendError::Full(_))
            )
        })
    }

    /// Done when what was sent before is written, or the reader has gone, or has not read for a
    /// while: others wait for it until then, so that whoever reads at all loses nothing.
    pub(crate) fn flush(&self) -> BoxFuture<'static, ()> {
        let (done, written) = oneshot::channel();
        let (output, stuck) = (self.output.clone(), Arc::clone(&self.stuck));
        async move {
            let Some(output) = output else { return };
            if stuck.load(Ordering::Relaxed) {
                return;
            }
            let flushed = async {
                if output.send(Work::Flush(done)).await.is_ok() {
                    let _ = written.await;
                }
            };
            if tokio::time::timeout(HOLDS_UP, flushed).await.is_err() {
                stuck.store(true, Ordering::Relaxed);
            }
        }
        .boxed()
    }

    pub(crate) fn close(&mut self) {
        self.stdin = Stdin::Nothing;
        self.output = None;
        if self.here {
            self.here = false;
            self.pending.push_back(Event::Disconnected {
                member: Arc::clone(&self.member),
                reason: Reason::Local,
                detail: "ended here".to_owned(),
            });
        }
    }

    /// What was sent is written, if anybody reads it.
    pub(crate) async fn finish(mut self) {
        self.output = None;
        if let Some(written) = self.written.take() {
            let patience = Duration::from_secs(2);
            let _ = tokio::time::timeout(patience, written).await;
        }
    }
}

fn write(mut lines: mpsc::Receiver<Work>, json: bool, stuck: &AtomicBool) {
    let mut text = String::new();
    let mut flushed = Vec::new();
    while let Some(mut work) = lines.blocking_recv() {
        // What has come meanwhile goes out in one piece.
        loop {
            match work {
                Work::Line(message) if json => {
                    let message = json!({
                        "event": "sent",
                        "to": "-",
                        "hex": hex(&message.to_vec()),
                        "text": message.to_string(),
                    });
                    text.push_str(&message.to_string());
                    text.push('\n');
                }
                Work::Line(message) => {
                    text.push_str(&message.to_string());
                    text.push('\n');
                }
                Work::Flush(done) => flushed.push(done),
            }
            if text.len() >= PIECE {
                break;
            }
            match lines.try_recv() {
                Ok(more) => work = more,
                Err(_) => break,
            }
        }
        let mut out = io::stdout().lock();
        if out
            .write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .is_err()
        {
            // Nobody reads any more.
            return;
        }
        stuck.store(false, Ordering::Relaxed);
        text.clear();
        for done in flushed.drain(..) {
            let _ = done.send(());
        }
    }
}
