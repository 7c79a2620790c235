//! Ports of this computer: those of ALSA, CoreMIDI and WinMM, or of JACK.
//!
//! Opening, listing and writing may wait for the system, so a thread of its own does that for each place.
//! What is played comes from a thread of the system, through a bounded queue.

use std::collections::VecDeque;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use midir::{Ignore, MidiIO, MidiInput, MidiInputConnection, MidiOutput, MidiOutputConnection};
use netmidi::Origin;
use netmidi::message::{HeapBuffer, Message, MessageBuf, RealTime, StreamEvent, StreamParser};
use netmidi_message::Sounding;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::oneshot;

use crate::event::{Event, Kind, Member, Reason};
use crate::failure::Failure;
use crate::text::tame;

/// How often it is looked whether ports have come or gone. midir tells nobody of it.
const LOOK: Duration = Duration::from_secs(1);
/// Messages that wait to be passed on, and those that wait to be written, at most.
const MESSAGES: usize = 4096;
/// So long others who can wait do so for a port that takes nothing.
const FLUSH_PATIENCE: Duration = Duration::from_millis(200);
/// How others see what belongs to us.
const CLIENT: &str = "netmidi";
/// What the system is called in sentences.
const SYSTEM: &str = if cfg!(feature = "jack") {
    "JACK"
} else if cfg!(target_os = "linux") {
    "ALSA"
} else {
    "the MIDI system"
};
const HINT: &str = if cfg!(feature = "jack") {
    "see that jackd runs, for the same user"
} else if cfg!(target_os = "linux") {
    "see that /dev/snd/seq is there (`modprobe snd-seq`) and that you may use it (group audio)"
} else {
    "restart the computer if other programs cannot use it either"
};

/// The names of the ports of this computer.
#[derive(Clone, Debug, Default)]
pub(crate) struct PortNames {
    /// Which we can hear.
    pub(crate) inputs: Vec<String>,
    /// Which we can play on.
    pub(crate) outputs: Vec<String>,
}

pub(crate) fn port_names() -> Result<PortNames, Failure> {
    Ok(Lists::open()?.names())
}

fn unavailable(error: impl Display) -> Failure {
    Failure::failed(format!(
        "cannot use the ports of {SYSTEM} ({error}); {HINT}"
    ))
}

/// To list ports, kept open: a new client for each look would be seen by others.
struct Lists {
    input: MidiInput,
    output: MidiOutput,
}

impl Lists {
    fn open() -> Result<Self, Failure> {
        Ok(Self {
            input: MidiInput::new(CLIENT).map_err(unavailable)?,
            output: MidiOutput::new(CLIENT).map_err(unavailable)?,
        })
    }

    fn names(&self) -> PortNames {
        PortNames {
            inputs: names(&self.input),
            outputs: names(&self.output),
        }
    }
}

fn names<P: MidiIO>(list: &P) -> Vec<String> {
    let ports = list.ports();
    ports
        .iter()
        .filter_map(|port| list.port_name(port).ok())
        .collect()
}

/// What of a list a name means.
#[derive(Debug, Eq, PartialEq)]
enum Found<'a> {
    One(&'a str),
    None,
    Several(Vec<&'a str>),
}

/// The port with this in its name, or the one that is called just so.
fn find<'a>(names: &'a [String], name: &str) -> Found<'a> {
    let wanted = name.to_lowercase();
    let mut found = Vec::new();
    for it in names {
        let lower = it.to_lowercase();
        if lower == wanted {
            return Found::One(it);
        }
        if lower.contains(&wanted) {
            found.push(it.as_str());
        }
    }
    match found.as_slice() {
        [] => Found::None,
        [one] => Found::One(one),
        _ => Found::Several(found),
    }
}

fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names = names.into_iter().map(|it| format!("`{}`", tame(it)));
    let names: Vec<String> = names.collect();
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    }
}

/// Why a name does not lead to ports.
fn check(names: &PortNames, name: &str) -> Result<(), String> {
    let found = [
        ("inputs", find(&names.inputs, name)),
        ("outputs", find(&names.outputs, name)),
    ];
    for (what, found) in &found {
        if let Found::Several(several) = found {
            return Err(format!(
                "port:{name} means several {what}: {}; write more of the name",
                listed(several.iter().copied())
            ));
        }
    }
    if found.iter().all(|(_, found)| *found == Found::None) {
        return Err(format!(
            "no port has `{name}` in its name; there are the inputs {} and the outputs {}",
            listed(names.inputs.iter().map(String::as_str)),
            listed(names.outputs.iter().map(String::as_str)),
        ));
    }
    Ok(())
}

/// What the thread is told.
enum Work {
    Send(Vec<u8>),
    /// All before it is to be told as written.
    Flush(oneshot::Sender<()>),
    /// Write what waits, then close.
    End,
}

/// What the thread tells.
enum Report {
    Here,
    Gone(String),
    Trouble(String),
}

/// A port of somebody else with its two directions, or one of our own.
#[derive(Debug)]
pub(crate) struct LocalPlace {
    number: usize,
    name: String,
    member: Option<Arc<Member>>,
    played: mpsc::Receiver<(Instant, MessageBuf)>,
    /// Messages that there was no room for.
    missed: Arc<AtomicU64>,
    missed_before: u64,
    /// What was handed on and not ended.
    sounding: Sounding,
    reports: mpsc::UnboundedReceiver<Report>,
    work: mpsc::Sender<Work>,
    thread_ended: Option<oneshot::Receiver<()>>,
    /// Told before anything else.
    pending: VecDeque<Event>,
    over: bool,
}

/// How the ports of a place are found.
#[derive(Clone, Debug)]
enum Way {
    Find(String),
    Create(String),
}

impl LocalPlace {
    /// The port with this in its name.
    pub(crate) async fn port(number: usize, name: &str) -> Result<Self, Failure> {
        Self::open(number, Way::Find(name.to_owned())).await
    }

    /// A port that others connect to.
    pub(crate) async fn create(number: usize, name: &str) -> Result<Self, Failure> {
        Self::open(number, Way::Create(name.to_owned())).await
    }

    async fn open(number: usize, way: Way) -> Result<Self, Failure> {
        let (play, played) = mpsc::channel(MESSAGES);
        let (report, reports) = mpsc::unbounded_channel();
        let (work, to_do) = mpsc::channel(MESSAGES);
        let (end, thread_ended) = oneshot::channel();
        let (opened, open) = oneshot::channel();
        let missed = Arc::new(AtomicU64::new(0));
        let ears = Ears {
            play,
            missed: Arc::clone(&missed),
        };
        let (Way::Find(name) | Way::Create(name)) = way.clone();
        let spawned = thread::Builder::new()
            .name("midi port".to_owned())
            .spawn(move || {
                match Worker::open(way, ears, report) {
                    Ok(worker) => {
                        let _ = opened.send(Ok(()));
                        worker.run(to_do);
                    }
                    Err(failure) => _ = opened.send(Err(failure)),
                }
                let _ = end.send(());
            });
        spawned.map_err(|error| Failure::failed(format!("cannot start a thread: {error}")))?;
        match open.await {
            Ok(done) => done?,
            Err(_) => return Err(unavailable("it failed to open them")),
        }
        Ok(Self {
            number,
            name,
            member: None,
            played,
            missed,
            missed_before: 0,
            sounding: Sounding::new(),
            reports,
            work,
            thread_ended: Some(thread_ended),
            pending: VecDeque::new(),
            over: false,
        })
    }

    pub(crate) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Poll::Ready(Some(event));
            }
            if self.over {
                return Poll::Ready(None);
            }
            if let Poll::Ready(report) = self.reports.poll_recv(cx) {
                self.hear(report);
                continue;
            }
            let Some(member) = &self.member else {
                return Poll::Pending;
            };
            let missed = self.missed.load(Ordering::Relaxed);
            if missed != self.missed_before && self.played.is_empty() {
                let count = missed - self.missed_before;
                self.missed_before = missed;
                let at = Instant::now();
                let ends: Vec<_> = self.sounding.releases().collect();
                self.sounding = Sounding::new();
                self.pending.push_back(Event::Error {
                    message: format!(
                        "{count} messages of {} were lost, because they came faster than they \
                         could be passed on; what sounds was ended",
                        member.name()
                    ),
                });
                self.pending.extend(ends.into_iter().map(|end| Event::Midi {
                    member: Arc::clone(member),
                    at,
                    message: end.into(),
                    origin: Origin::Silence,
                }));
                continue;
            }
            let Some((at, message)) = ready!(self.played.poll_recv(cx)) else {
                self.over = true;
                continue;
            };
            self.sounding.observe(&message.as_message());
            return Poll::Ready(Some(Event::Midi {
                member: Arc::clone(member),
                at,
                message,
                origin: Origin::Live,
            }));
        }
    }

    fn hear(&mut self, report: Option<Report>) {
        match report {
            Some(Report::Here) => {
                let name = self.name.clone();
                let member = Member::new(self.number, Kind::Port { name });
                self.sounding = Sounding::new();
                self.member = Some(Arc::clone(&member));
                self.pending.push_back(Event::Connected { member });
            }
            Some(Report::Gone(detail)) => self.gone(Reason::Error, detail),
            Some(Report::Trouble(message)) => self.pending.push_back(Event::Error { message }),
            None => {
                self.gone(Reason::Local, "ended here".to_owned());
                self.over = true;
            }
        }
    }

    fn gone(&mut self, reason: Reason, detail: String) {
        if let Some(member) = self.member.take() {
            self.pending.push_back(Event::Disconnected {
                member,
                reason,
                detail,
            });
        }
    }

    pub(crate) fn send(&self, message: Message<'_>) -> bool {
        !matches!(
            self.work.try_send(Work::Send(message.to_vec())),
            Err(TrySendError::Full(_))
        )
    }

    pub(crate) fn flush(&self) -> BoxFuture<'static, ()> {
        let work = self.work.clone();
        let (done, written) = oneshot::channel();
        async move {
            let sent = tokio::time::timeout(FLUSH_PATIENCE, work.send(Work::Flush(done))).await;
            if let Ok(Ok(())) = sent {
                let _ = tokio::time::timeout(FLUSH_PATIENCE, written).await;
            }
        }
        .boxed()
    }

    pub(crate) fn close(&mut self) {
        let work = self.work.clone();
        match work.try_send(Work::End) {
            Err(TrySendError::Full(end)) => {
                tokio::spawn(async move { work.send(end).await });
            }
            Ok(()) | Err(TrySendError::Closed(_)) => {}
        }
    }

    /// What was sent is written, if the system takes it.
    pub(crate) async fn finish(mut self) {
        if let Some(ended) = self.thread_ended.take() {
            let _ = tokio::time::timeout(Duration::from_secs(2), ended).await;
        }
    }
}

/// Where what is played goes, from the system's thread.
#[derive(Clone)]
struct Ears {
    play: mpsc::Sender<(Instant, MessageBuf)>,
    missed: Arc<AtomicU64>,
}

impl Ears {
    fn hear(&self, parser: &mut StreamParser<HeapBuffer>, octets: &[u8]) {
        parser.feed(octets, |event| {
            let StreamEvent::Message(message) = event else {
                return;
            };
            // It tells of one cable that it is there, and is of no use on another.
            if message == RealTime::ActiveSensing.into() {
                return;
            }
            let it = (Instant::now(), message.to_buf());
            if let Err(TrySendError::Full(_)) = self.play.try_send(it) {
                self.missed.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
}

type Input = MidiInputConnection<StreamParser<HeapBuffer>>;

/// The thread's own: what is open.
struct Worker {
    way: Way,
    ears: Ears,
    report: mpsc::UnboundedSender<Report>,
    lists: Option<Lists>,
    /// Each with the id of its port.
    input: Option<(String, Input)>,
    output: Option<(String, MidiOutputConnection)>,
    here: bool,
    /// A sentence that was told, so that it is not told every second.
    told: Option<String>,
    pace: Pace,
}

impl Worker {
    fn open(way: Way, ears: Ears, report: mpsc::UnboundedSender<Report>) -> Result<Self, Failure> {
        let mut worker = Self {
            lists: None,
            ears,
            report,
            input: None,
            output: None,
            here: false,
            told: None,
            pace: Pace::new(),
            way: way.clone(),
        };
        match way {
            Way::Find(name) => {
                let lists = Lists::open()?;
                check(&lists.names(), &name).map_err(Failure::Failed)?;
                worker.lists = Some(lists);
                worker.look();
                if let Some(trouble) = &worker.told {
                    return Err(Failure::failed(trouble));
                }
            }
            Way::Create(name) => worker.create(&name)?,
        }
        Ok(worker)
    }

    #[cfg(unix)]
    fn create(&mut self, name: &str) -> Result<(), Failure> {
        use midir::os::unix::{VirtualInput, VirtualOutput};

        let failed = |error: &dyn Display| {
            Failure::failed(format!(
                "cannot create the port virtual:{name} ({error}); {HINT}"
            ))
        };
        let mut input = MidiInput::new(name).map_err(unavailable)?;
        input.ignore(Ignore::None);
        let ears = self.ears.clone();
        let input = input
            .create_virtual(
                "in",
                move |_, octets, parser| ears.hear(parser, octets),
                StreamParser::new(),
            )
            .map_err(|error| failed(&error))?;
        let output = MidiOutput::new(name).map_err(unavailable)?;
        let output = output
            .create_virtual("out")
            .map_err(|error| failed(&error))?;
        self.input = Some((String::new(), input));
        self.output = Some((String::new(), output));
        self.tell_here();
        Ok(())
    }

    #[cfg(not(unix))]
    fn create(&mut self, name: &str) -> Result<(), Failure> {
        Err(Failure::failed(format!(
            "virtual:{name} cannot be created: this system has no ports of programs; make one with \
             a loopback driver such as loopMIDI, and use port:{name}"
        )))
    }

    /// Until it is told to end.
    fn run(mut self, mut work: mpsc::Receiver<Work>) {
        let finds = matches!(self.way, Way::Find(_));
        // A runtime of its own, for nothing but to wait for work and a time at once.
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
        else {
            return;
        };
        let mut look = Instant::now() + LOOK;
        loop {
            let next = runtime.block_on(async {
                match finds {
                    true => tokio::time::timeout_at(look.into(), work.recv()).await,
                    false => Ok(work.recv().await),
                }
            });
            match next {
                Ok(Some(Work::Send(octets))) => self.write(&octets),
                Ok(Some(Work::Flush(done))) => _ = done.send(()),
                Ok(Some(Work::End) | None) => break,
                Err(_) => {
                    self.look();
                    look = Instant::now() + LOOK;
                }
            }
        }
        self.pace.settle();
    }

    fn write(&mut self, octets: &[u8]) {
        let Some((_, output)) = &mut self.output else {
            return;
        };
        if let Err(refused) = self.pace.wait(octets.len()) {
            self.tell_trouble(refused);
            return;
        }
        if let Err(error) = output.send(octets) {
            let name = self.name();
            self.tell_trouble(format!("cannot write to {name}: {error}"));
        }
    }

    fn name(&self) -> String {
        let (Way::Find(name) | Way::Create(name)) = &self.way;
        tame(name).into_owned()
    }

    /// Closes what has gone, opens what is there.
    fn look(&mut self) {
        let (Some(lists), Way::Find(name)) = (&self.lists, &self.way) else {
            return;
        };
        let names = lists.names();
        if let Some((port, _)) = &self.input
            && !names.inputs.contains(port)
        {
            self.input = None;
        }
        if let Some((port, _)) = &self.output
            && !names.outputs.contains(port)
        {
            self.output = None;
        }
        let mut trouble = None;
        if self.input.is_none()
            && let Found::One(port) = find(&names.inputs, name)
        {
            match self.listen_to(port) {
                Ok(input) => self.input = Some((port.to_owned(), input)),
                Err(error) => trouble = Some(error),
            }
        }
        if self.output.is_none()
            && let Found::One(port) = find(&names.outputs, name)
        {
            match play_on(port) {
                Ok(output) => self.output = Some((port.to_owned(), output)),
                Err(error) => trouble = Some(error),
            }
        }
        let open = self.input.is_some() || self.output.is_some();
        let several = check(&names, name).err();
        if open {
            if !self.here {
                self.tell_here();
            }
        } else if self.here {
            self.here = false;
            let _ = self.report.send(Report::Gone(
                "the port is gone; it is opened again when it is back".to_owned(),
            ));
        } else if let Some(several) = several.filter(|it| it.starts_with("port:")) {
            trouble = Some(several);
        }
        match trouble {
            Some(trouble) => self.tell_trouble(trouble),
            None => self.told = None,
        }
    }

    fn listen_to(&self, port: &str) -> Result<Input, String> {
        let failed = |error: &dyn Display| format!("cannot listen to {}: {error}", tame(port));
        let mut input = MidiInput::new(CLIENT).map_err(|error| failed(&error))?;
        input.ignore(Ignore::None);
        let at = by_name(&input, port).ok_or_else(|| failed(&"it is gone"))?;
        let ears = self.ears.clone();
        input
            .connect(
                &at,
                "in",
                move |_, octets, parser| ears.hear(parser, octets),
                StreamParser::new(),
            )
            .map_err(|error| failed(&error))
    }

    fn tell_here(&mut self) {
        self.here = true;
        let _ = self.report.send(Report::Here);
    }

    /// Once, until it is something else.
    fn tell_trouble(&mut self, sentence: String) {
        if self.told.as_ref() != Some(&sentence) {
            self.told = Some(sentence.clone());
            let _ = self.report.send(Report::Trouble(sentence));
        }
    }
}

fn play_on(port: &str) -> Result<MidiOutputConnection, String> {
    let failed = |error: &dyn Display| format!("cannot play on {}: {error}", tame(port));
    let output = MidiOutput::new(CLIENT).map_err(|error| failed(&error))?;
    let at = by_name(&output, port).ok_or_else(|| failed(&"it is gone"))?;
    output.connect(&at, "out").map_err(|error| failed(&error))
}

fn by_name<P: MidiIO>(list: &P, name: &str) -> Option<P::Port> {
    let ports = list.ports();
    ports
        .into_iter()
        .find(|port| list.port_name(port).is_ok_and(|it| it == name))
}

/// midir gives JACK what is written through a ring of 16 KiB, empties it once a period, and counts on
/// nobody filling it. So JACK is given a part of that in the time of the longest usual period. Others
/// make the writer wait themselves.
struct Pace {
    since: Instant,
    octets: usize,
    messages: usize,
}

impl Pace {
    const WINDOW: Duration = Duration::from_millis(100);
    const OCTETS: usize = 8 << 10;
    const MESSAGES: usize = 512;

    fn new() -> Self {
        Self {
            since: Instant::now(),
            octets: 0,
            messages: 0,
        }
    }

    /// Waits until there is room for so many octets.
    fn wait(&mut self, octets: usize) -> Result<(), String> {
        if !cfg!(feature = "jack") {
            return Ok(());
        }
        if octets > Self::OCTETS {
            return Err(format!(
                "a message of {octets} octets is too long for a port of JACK, which takes {}",
                Self::OCTETS
            ));
        }
        if self.since.elapsed() >= Self::WINDOW {
            *self = Self::new();
        }
        if self.octets + octets > Self::OCTETS || self.messages >= Self::MESSAGES {
            thread::sleep(Self::WINDOW.saturating_sub(self.since.elapsed()));
            *self = Self::new();
        }
        self.octets += octets;
        self.messages += 1;
        Ok(())
    }

    /// Waits until what was written has been taken.
    fn settle(&self) {
        if cfg!(feature = "jack") && self.messages > 0 {
            thread::sleep(Self::WINDOW.saturating_sub(self.since.elapsed()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn ports_are_found_by_a_part_of_their_names() {
        let all = names(&[
            "Midi Through:Port-0 14:0",
            "Launchpad:A 24:0",
            "Launchpad:B 24:1",
        ]);
        assert_eq!(
            find(&all, "through"),
            Found::One("Midi Through:Port-0 14:0")
        );
        assert_eq!(find(&all, "launchpad:b"), Found::One("Launchpad:B 24:1"));
        assert_eq!(find(&all, "x"), Found::None);
        assert_eq!(
            find(&all, "Launchpad"),
            Found::Several(vec!["Launchpad:A 24:0", "Launchpad:B 24:1"])
        );
        assert_eq!(
            find(&names(&["Synth", "Synth 2"]), "synth"),
            Found::One("Synth"),
            "called just so"
        );
    }

    #[test]
    fn what_is_not_found_is_told_with_what_there_is() {
        let all = PortNames {
            inputs: names(&["Keys 1", "Keys 2"]),
            outputs: names(&["Synth"]),
        };
        assert_eq!(
            check(&all, "piano").unwrap_err(),
            "no port has `piano` in its name; there are the inputs `Keys 1`, `Keys 2` and the \
             outputs `Synth`"
        );
        assert_eq!(
            check(&all, "keys").unwrap_err(),
            "port:keys means several inputs: `Keys 1`, `Keys 2`; write more of the name"
        );
        assert_eq!(check(&all, "synth"), Ok(()));
    }
}
