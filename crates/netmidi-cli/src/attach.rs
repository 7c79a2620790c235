//! `--socket PATH`: others of this computer watch what goes on. Each gets what `--json` tells, line by
//! line, and every second the counters of all peers. Nobody here waits for any of them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::event::{Event, Member, MemberId};
use crate::failure::Failure;
use crate::hub::Hub;
use crate::numbers;

/// How often counters are told.
const EVERY: Duration = Duration::from_secs(1);
/// Octets that may wait for one who watches; who is further behind is dropped, and may come again.
const BACKLOG: usize = 1 << 20;
/// So many may watch at the same time.
const WATCHERS: usize = 16;
/// How long the last events may take to be read, and how often that is looked at.
const PATIENCE: Duration = Duration::from_millis(200);
const STEP: Duration = Duration::from_millis(5);
/// Invitations that are remembered for those who come later.
const TRYING: usize = 64;

/// The socket, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Attach(Option<Open>);

#[derive(Debug)]
struct Open {
    path: PathBuf,
    /// What we have made, so that nothing else is removed at the end.
    inode: u64,
    shared: Arc<Shared>,
    accepting: AbortHandle,
    every: Interval,
}

#[derive(Debug)]
struct Shared {
    started: Instant,
    state: Mutex<State>,
    /// Somebody watches now.
    arrived: Notify,
}

/// What one who comes is told first, and who is here.
#[derive(Debug, Default)]
struct State {
    listening: Vec<Event>,
    trying: BTreeMap<String, Event>,
    members: BTreeMap<MemberId, Arc<Member>>,
    watchers: Vec<Arc<Watcher>>,
}

/// One who watches.
#[derive(Debug, Default)]
struct Watcher {
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    over: bool,
}

/// Nothing is ever left half done under a lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Attach {
    /// Opens the socket at this path, if one was asked for. Times count from `started`.
    pub(crate) fn open(path: Option<&Path>, started: Instant) -> Result<Self, Failure> {
        let Some(path) = path else {
            return Ok(Self(None));
        };
        let no = |error: io::Error| {
            Failure::failed(format!(
                "cannot open the socket {}: {error}; choose a path in a folder of your own",
                path.display()
            ))
        };
        let listener = match StdListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                remove_stale(path)?;
                StdListener::bind(path)
            }
            bound => bound,
        };
        let listener = listener.map_err(no)?;
        let opened = || -> io::Result<(UnixListener, u64, u32)> {
            fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
            let file = fs::symlink_metadata(path)?;
            listener.set_nonblocking(true)?;
            Ok((UnixListener::from_std(listener)?, file.ino(), file.uid()))
        };
        let (listener, inode, owner) = opened().map_err(no)?;
        let shared = Arc::new(Shared {
            started,
            state: Mutex::default(),
            arrived: Notify::new(),
        });
        let accepting = tokio::spawn(accept(listener, owner, Arc::clone(&shared)));
        let mut every = interval(EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self(Some(Open {
            path: path.to_owned(),
            inode,
            shared,
            accepting: accepting.abort_handle(),
            every,
        })))
    }

    /// Tells those who watch; never waits.
    pub(crate) fn tell(&self, event: &Event) {
        let Some(open) = &self.0 else {
            return;
        };
        let mut state = lock(&open.shared.state);
        state.remember(event);
        if !state.watchers.is_empty() {
            state.push(&event_line(event, open.shared.started));
        }
    }

    /// Waits until counters are to be told: [`count`](Self::count) does it. Cancel safe.
    pub(crate) async fn due(&mut self) {
        let Some(open) = &mut self.0 else {
            return std::future::pending().await;
        };
        if lock(&open.shared.state).watchers.is_empty() {
            open.shared.arrived.notified().await;
        } else {
            open.every.tick().await;
        }
    }

    /// After the last event: gives those who watch a moment to read it.
    pub(crate) async fn finish(self) {
        let Some(open) = &self.0 else {
            return;
        };
        let read = async {
            let is_waiting = |it: &Arc<Watcher>| !lock(&it.waiting).lines.is_empty();
            while lock(&open.shared.state).watchers.iter().any(is_waiting) {
                tokio::time::sleep(STEP).await;
            }
        };
        let _ = tokio::time::timeout(PATIENCE, read).await;
    }

    /// Tells the counters of all peers, as soon as they are known.
    pub(crate) fn count(&self, hub: &Hub) {
        let Some(open) = &self.0 else {
            return;
        };
        let (asked, shared) = (numbers::ask(hub), Arc::clone(&open.shared));
        tokio::spawn(async move {
            let all = asked.await;
            let mut state = lock(&shared.state);
            for numbers in all {
                state.tell(&numbers.to_json());
            }
        });
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.accepting.abort();
        let file = fs::symlink_metadata(&self.path);
        if file.is_ok_and(|file| file.ino() == self.inode) {
            // It is stale then, and removed by the next one.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl State {
    fn remember(&mut self, event: &Event) {
        match event {
            Event::Listening { .. } | Event::ListeningTcp { .. } => {
                self.listening.push(event.clone());
            }
            Event::Trying { to, .. }
                if self.trying.len() < TRYING || self.trying.contains_key(to) =>
            {
                self.trying.insert(to.clone(), event.clone());
            }
            Event::NotConnected { to, .. } => {
                self.trying.remove(to);
            }
            Event::Connected { member } => {
                self.members.insert(member.id, Arc::clone(member));
            }
            Event::Disconnected { member, .. } => {
                self.members.remove(&member.id);
            }
            _ => {}
        }
    }

    fn tell(&mut self, value: &Value) {
        self.push(&line(value));
    }

    fn push(&mut self, line: &[u8]) {
        self.watchers.retain(|watcher| watcher.push(line));
    }

    /// What one who comes is told first.
    fn beginning(&self, started: Instant) -> Vec<u8> {
        let since = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut lines = line(&json!({ "event": "attached", "time_us": since }));
        for event in self.listening.iter().chain(self.trying.values()) {
            lines.extend(event_line(event, started));
        }
        for member in self.members.values() {
            let member = Arc::clone(member);
            lines.extend(event_line(&Event::Connected { member }, started));
        }
        lines
    }
}

fn event_line(event: &Event, started: Instant) -> Vec<u8> {
    // Texts and numbers of our own making.
    let mut line = event.to_json(started).unwrap_or_default();
    line.push(b'\n');
    line
}

fn line(value: &Value) -> Vec<u8> {
    // Values of our own making.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}

impl Watcher {
    /// Whether it keeps up.
    fn push(&self, line: &[u8]) -> bool {
        let mut waiting = lock(&self.waiting);
        if waiting.lines.len() + line.len() > BACKLOG {
            waiting.over = true;
            waiting.lines = Vec::new();
        }
        if !waiting.over {
            waiting.lines.extend_from_slice(line);
        }
        self.wake.notify_one();
        !waiting.over
    }

    /// What waits; none when it is over.
    async fn lines(&self) -> Option<Vec<u8>> {
        loop {
            {
                let mut waiting = lock(&self.waiting);
                if waiting.over {
                    return None;
                }
                if !waiting.lines.is_empty() {
                    return Some(std::mem::take(&mut waiting.lines));
                }
            }
            self.wake.notified().await;
        }
    }

    /// Waits until it is over.
    async fn over(&self) {
        while !lock(&self.waiting).over {
            self.wake.notified().await;
        }
    }
}

async fn accept(listener: UnixListener, owner: u32, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Too many open files, most likely.
            tokio::time::sleep(EVERY).await;
            continue;
        };
        // Nobody else gets past the file's mode; only before it was set somebody may have.
        let allowed = |uid: u32| uid == owner || uid == 0;
        if !stream.peer_cred().is_ok_and(|peer| allowed(peer.uid())) {
            continue;
        }
        let watcher = Arc::new(Watcher::default());
        {
            let mut state = lock(&shared.state);
            if state.watchers.len() >= WATCHERS {
                continue;
            }
            lock(&watcher.waiting).lines = state.beginning(shared.started);
            state.watchers.push(Arc::clone(&watcher));
        }
        shared.arrived.notify_one();
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            serve(stream, &watcher).await;
            let mut state = lock(&shared.state);
            state.watchers.retain(|it| !Arc::ptr_eq(it, &watcher));
        });
    }
}

/// Writes until one of the two has enough.
async fn serve(mut stream: UnixStream, watcher: &Watcher) {
    let (mut from, mut to) = stream.split();
    // It has nothing to say; that it reads no more is told by an end.
    let gone = async {
        let mut said = [0; 64];
        while from.read(&mut said).await.is_ok_and(|len| len > 0) {}
    };
    let write = async {
        while let Some(lines) = watcher.lines().await {
            tokio::select! {
                written = to.write_all(&lines) => if written.is_err() {
                    return;
                },
                () = watcher.over() => return,
            }
        }
    };
    tokio::select! {
        () = gone => {}
        () = write => {}
    }
}

/// What a netmidi that was killed has left behind.
fn remove_stale(path: &Path) -> Result<(), Failure> {
    let shown = path.display();
    let file = fs::symlink_metadata(path);
    if !file.is_ok_and(|file| file.file_type().is_socket()) {
        return Err(Failure::failed(format!(
            "{shown} is there already and no socket, so it is left alone; choose another path for \
             --socket"
        )));
    }
    match StdStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| {
                Failure::failed(format!(
                    "cannot remove the old socket {shown}: {error}; choose another path for --socket"
                ))
            })
        }
        Err(error) => Err(Failure::failed(format!(
            "cannot tell whether the socket {shown} is used: {error}; choose another path for --socket"
        ))),
        Ok(_) => Err(Failure::failed(format!(
            "another program has the socket {shown}; watch it with `netmidi monitor --attach \
             {shown}`, or choose another path for --socket"
        ))),
    }
}
