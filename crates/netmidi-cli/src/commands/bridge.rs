//! `netmidi bridge`: joins places, once or as a set from a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use futures::future::join;
use netmidi::{IpNet, JournalPolicy};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::attach::Attach;
use crate::config::{self, Bridges, MOST_MILLISECONDS};
use crate::console::Console;
use crate::event::Event;
use crate::failure::Failure;
use crate::filter::{self, Channels, Filter, Keys, Types};
use crate::hub::Hub;
use crate::metrics::{Metrics, MetricsArgs};
use crate::output;
use crate::place::{Options, Spec};
use crate::plan::{Direction, Plan};
use crate::run::{self, JournalArgs, network};
use crate::stop::{Stop, Wish};

/// At the end of standard input: how long others are given to tell that they have it all, and how long
/// is waited at least.
const MOST_WAIT: Duration = Duration::from_secs(2);
const LEAST_WAIT: Duration = Duration::from_millis(100);
/// How often it is told that messages found no room.
const LOSSES_PAUSE: Duration = Duration::from_secs(1);
/// When a bridge is tried again that could not be opened, at first and at last.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// With brackets that mean nothing to rustdoc.
const LONG_ABOUT: &str = "\
Join places: whoever is at one of them is heard at all others.

A place is one of
  rtp:HOST[:PORT]          an RTP-MIDI (AppleMIDI) peer, port 5004 unless it is given
  rtp:NAME                 the session of that name in the local network
  rtp-listen:[ADDR:]PORT   RTP-MIDI peers that connect here; 0 finds free ports
  tcp:HOST:PORT            a program that serves MIDI over TCP
  tcp-listen:[ADDR]:PORT   programs that connect here; without ADDR and colon from this machine only
  port:NAME                ports of this computer with this in their names (see `netmidi ports`)
  virtual:NAME             a port that programs of this computer connect to
  -                        standard input and output, a message a line

Peers, programs and ports that are lost are connected again when they are back. A note that several hold ends with the last of them, and whatever the bridge has begun ends with the bridge. With `-` it ends at the end of standard input.";

/// Join places: whoever is at one of them is heard at all others.
#[derive(Debug, Args)]
#[command(
    long_about = LONG_ABOUT,
    after_help = "\
Examples:
  netmidi bridge port:Launchpad rtp:piano.local
                                           a keyboard here plays a piano there, and hears it
  netmidi bridge rtp-listen:5004 tcp-listen:8080 --channels 1-4 --no-clock
  echo note_on note=60 | netmidi bridge - rtp:piano.local
  netmidi bridge --config bridges.toml     a set of bridges; SIGHUP reads the file again"
)]
pub(crate) struct Bridge {
    #[command(flatten)]
    metrics: MetricsArgs,
    /// Two places or more.
    #[arg(value_name = "PLACE", required_unless_present_any = ["config", "check"], num_args = 2..)]
    places: Vec<Spec>,
    /// Run the bridges of this file instead, each on its own. docs/bridge.md says what stands in it.
    #[arg(long, value_name = "FILE.toml", conflicts_with = "places")]
    config: Option<PathBuf>,
    /// Only see whether the file is right.
    #[arg(long, conflicts_with = "places")]
    check: bool,
    #[command(flatten)]
    own: Own,
    /// Print one JSON object a line, for programs.
    #[arg(long)]
    json: bool,
    /// Let `netmidi monitor --attach PATH` watch: a socket that only its owner can use.
    #[cfg(unix)]
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    socket: Option<PathBuf>,
}

/// What makes one bridge; a file has the same for each of its own.
#[derive(Debug, Args)]
struct Own {
    /// The first place plays, and the others hear it; nothing goes back.
    #[arg(long, conflicts_with_all = ["together", "config"])]
    one_way: bool,
    /// Those at the same place hear each other, too.
    #[arg(long, conflicts_with = "config")]
    together: bool,
    /// Pass on only these channels, such as 1-4,10. What has no channel passes.
    #[arg(long, conflicts_with = "config", value_name = "LIST", value_parser = filter::channels, help_heading = "Filter")]
    channels: Option<Channels>,
    /// Pass on only these types of messages: note, pressure, control, program, bend, sysex, clock,
    /// timecode, system.
    #[arg(long, conflicts_with = "config", value_name = "LIST", value_parser = filter::types, help_heading = "Filter")]
    types: Option<Types>,
    /// Pass on only these notes, by names or numbers, such as C3-C5 or 48-72. Middle C is C4, 60.
    #[arg(long, conflicts_with = "config", value_name = "FROM-TO", value_parser = filter::keys, help_heading = "Filter")]
    notes: Option<Keys>,
    /// Shift notes by so many semitones. Those that leave the range of MIDI are dropped.
    #[arg(long, conflicts_with = "config", value_name = "N", value_parser = filter::transpose, allow_hyphen_values = true, help_heading = "Filter")]
    transpose: Option<i8>,
    /// Pass on no timing clock, start, continue, stop and song position.
    #[arg(long, conflicts_with = "config", help_heading = "Filter")]
    no_clock: bool,
    /// Pass on no system exclusive messages.
    #[arg(long, conflicts_with = "config", help_heading = "Filter")]
    no_sysex: bool,
    /// Drop what comes back within so many milliseconds from somebody else. Without it that is done
    /// only while almost all that somebody plays comes back.
    #[arg(long, conflicts_with = "config", value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=MOST_MILLISECONDS), help_heading = "Filter")]
    break_circles: Option<u64>,
    /// The name that RTP-MIDI peers see.
    #[arg(long, conflicts_with = "config", default_value = "netmidi", value_parser = run::name)]
    name: String,
    /// Let in only those from these networks, such as 192.168.1.0/24. May be given more than once.
    #[arg(long, conflicts_with = "config", value_name = "CIDR", value_parser = network)]
    allow: Vec<IpNet>,
    /// How many may connect to each place that listens.
    #[arg(long, conflicts_with = "config", value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    max_peers: u32,
    /// Do not show sessions that listen in the local network.
    #[arg(long, conflicts_with = "config")]
    no_announce: bool,
    #[command(flatten)]
    journal: JournalArgs,
}

impl Own {
    fn plan(self, places: Vec<Spec>, json: bool) -> Plan {
        let all = Filter::default();
        let mut filter = Filter {
            channels: self.channels.unwrap_or(all.channels),
            types: self.types.unwrap_or(all.types),
            keys: self.notes.unwrap_or(all.keys),
            transpose: self.transpose.unwrap_or_default(),
        };
        if self.no_clock {
            filter = filter.without_clock();
        }
        if self.no_sysex {
            filter = filter.without_sysex();
        }
        Plan {
            places,
            direction: match self.one_way {
                true => Direction::OneWay { players: 1 },
                false => Direction::Between,
            },
            together: self.together,
            filter,
            break_circles: self.break_circles.map(Duration::from_millis),
            options: Options {
                name: self.name,
                journal: self.journal.policy(),
                sysex: !self.no_sysex,
                allow: self.allow,
                max_peers: usize::try_from(self.max_peers).ok(),
                announce: !self.no_announce,
                json,
                ..Options::default()
            },
        }
    }
}

impl Bridge {
    pub(crate) async fn run(self, console: Console) -> Result<(), Failure> {
        let console = console.json(self.json).hide_midi();
        if let Some(file) = self.config {
            if self.metrics.is_asked_for() {
                return Err(Failure::usage(
                    "--metrics counts one bridge, and not a set of them; leave out --config",
                ));
            }
            if self.own.journal.policy() != JournalPolicy::Auto {
                return Err(Failure::usage(
                    "--journal is for one bridge; with --config write `journal = ...` in the file",
                ));
            }
            return match self.check {
                true => check(&console, &file),
                false => Set::run(console, file).await,
            };
        }
        if self.check {
            return Err(Failure::usage(
                "--check is for a file; write --config FILE.toml --check",
            ));
        }
        let plan = self.own.plan(self.places, self.json);
        if let Some(twice) = plan.places.iter().enumerate().find_map(|(number, place)| {
            let before = plan.places.get(..number)?;
            before.contains(place).then_some(place)
        }) {
            return Err(Failure::usage(format!(
                "`{twice}` is given twice; give each place once (--together lets those at one \
                 place hear each other)"
            )));
        }
        let console = match plan.places.contains(&Spec::Stdio) {
            true => console.aside(),
            false => console,
        };
        let console = console.detached();
        let mut stop = Stop::listen()?;
        let hub = tokio::select! {
            hub = plan.open() => hub?,
            _ = stop.next() => return Ok(()),
        };
        let metrics = self.metrics.open(&console, hub.places()).await?;
        #[cfg(unix)]
        let socket = self.socket.as_deref();
        #[cfg(not(unix))]
        let socket = None;
        let attach = Attach::open(socket, console.started())?;
        let mut told_to_end = false;
        let end = async {
            tokio::select! {
                _ = stop.next() => {}
                () = console.reader_gone() => {}
            }
            told_to_end = true;
        };
        let done = go(&console, None, metrics.as_ref(), hub, attach, end).await;
        // Who has ended it does not wait for one who does not read; others do.
        if !told_to_end {
            tokio::select! {
                () = output::written() => {}
                () = stop.wait() => {}
            }
        }
        done
    }
}

/// Runs a bridge until `end`, the end of standard input, or that of the last place.
async fn go(
    console: &Console,
    name: Option<&str>,
    metrics: Option<&Metrics>,
    mut hub: Hub,
    mut attach: Attach,
    end: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let mut end = std::pin::pin!(end);
    let mut losses = Losses::default();
    let done = loop {
        tokio::select! {
            event = hub.next() => match event {
                Some(event) => {
                    attach.tell(&event);
                    metrics.inspect(|it| it.observe(&event));
                    if let Err(failure) = console.tell_of(name, &event) {
                        break Err(failure);
                    }
                    losses.look(&hub, console, name, LOSSES_PAUSE);
                    if matches!(event, Event::EndOfInput) {
                        let delivered = timeout(MOST_WAIT, hub.delivered());
                        tokio::select! {
                            _ = join(delivered, sleep(LEAST_WAIT)) => {}
                            () = &mut end => {}
                        }
                        break Ok(());
                    }
                }
                None => break Ok(()),
            },
            () = attach.due() => attach.count(&hub),
            () = &mut end => break Ok(()),
        }
    };
    hub.close();
    while let Some(event) = hub.next().await {
        attach.tell(&event);
        metrics.inspect(|it| it.observe(&event));
        // Nobody reads any more: then it only ends.
        let _ = console.tell_of(name, &event);
    }
    losses.look(&hub, console, name, Duration::ZERO);
    hub.finish().await;
    attach.finish().await;
    done
}

/// Messages that somebody had no room for, as far as they have been told.
#[derive(Debug, Default)]
struct Losses {
    told: u64,
    at: Option<Instant>,
}

impl Losses {
    /// Tells those that are new, if that was not done so short a time ago.
    fn look(&mut self, hub: &Hub, console: &Console, name: Option<&str>, pause: Duration) {
        let lost = hub.stats().not_sent;
        if lost == self.told || self.at.is_some_and(|at| at.elapsed() < pause) {
            return;
        }
        let count = lost - self.told;
        console.complain(
            name,
            &format!(
                "{count} messages found no room where they were to go, because they come faster \
                 than they can be sent; ends of notes are sent later"
            ),
        );
        (self.told, self.at) = (lost, Some(Instant::now()));
    }
}

/// Reads the file; what is wrong with it, each with its place.
fn read(file: &Path) -> Result<Bridges, Vec<String>> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| {
        let advice = match error.kind() {
            std::io::ErrorKind::InvalidData => "save it as UTF-8 text",
            _ => "see that the path is right",
        };
        vec![format!("cannot read {shown}: {error}; {advice}")]
    })?;
    config::read(&text).map_err(|problems| {
        let problems = problems.iter();
        problems.map(|it| format!("{shown}:{it}")).collect()
    })
}

fn check(console: &Console, file: &Path) -> Result<(), Failure> {
    let bridges = read(file).map_err(|problems| told(console, &problems))?;
    let names: Vec<&str> = bridges.keys().map(String::as_str).collect();
    console.say(
        &json!({ "event": "checked", "bridges": names }),
        &format!("{}: no error in {}", file.display(), names.join(", ")),
    )
}

fn told(console: &Console, problems: &[String]) -> Failure {
    for problem in problems {
        console.complain(None, problem);
    }
    Failure::Told
}

/// The bridges of a file that run.
struct Set {
    console: Arc<Console>,
    running: BTreeMap<String, Running>,
    failures: mpsc::UnboundedSender<Failure>,
}

struct Running {
    plan: Plan,
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Set {
    async fn run(console: Console, file: PathBuf) -> Result<(), Failure> {
        let mut stop = Stop::listen_for_reload()?;
        let bridges = read(&file).map_err(|problems| told(&console, &problems))?;
        let (failures, mut failed) = mpsc::unbounded_channel();
        let mut set = Self {
            console: Arc::new(console.detached()),
            running: BTreeMap::new(),
            failures,
        };
        for (name, plan) in bridges {
            set.start(name, plan);
        }
        let done = loop {
            tokio::select! {
                wish = stop.next() => match wish {
                    Wish::End => break Ok(()),
                    Wish::Reload => match read(&file) {
                        Ok(bridges) => {
                            if let Err(failure) = set.change(bridges).await {
                                break Err(failure);
                            }
                        }
                        Err(problems) => {
                            for problem in problems {
                                set.console.complain(None, &problem);
                            }
                            set.console.complain(None, "nothing was changed");
                        }
                    },
                },
                Some(failure) = failed.recv() => break Err(failure),
                () = set.console.reader_gone() => break Err(Failure::NobodyReads),
            }
        };
        let all = std::mem::take(&mut set.running);
        Self::end(all.into_values()).await;
        done
    }

    fn start(&mut self, name: String, plan: Plan) {
        let (end, ended) = oneshot::channel();
        let (console, failures) = (Arc::clone(&self.console), self.failures.clone());
        let (bridge, its_plan) = (name.clone(), plan.clone());
        let task = tokio::spawn(async move {
            if let Err(failure) = keep(&console, &bridge, &its_plan, ended).await {
                let _ = failures.send(failure);
            }
        });
        self.running.insert(name, Running { plan, end, task });
    }

    /// Ends some, all at the same time.
    async fn end(some: impl Iterator<Item = Running>) {
        let tasks = some.map(|it| {
            // Or it has ended by itself.
            let _ = it.end.send(());
            it.task
        });
        futures::future::join_all(tasks.collect::<Vec<_>>()).await;
    }

    /// Other bridges from now on. Those that are to be as they were are left alone.
    async fn change(&mut self, bridges: Bridges) -> Result<(), Failure> {
        let (mut kept, mut ended, mut restarted) = (Vec::new(), Vec::new(), Vec::new());
        for (name, running) in &self.running {
            match bridges.get(name) {
                Some(plan) if *plan == running.plan && !running.task.is_finished() => {
                    kept.push(name.clone());
                }
                Some(_) => restarted.push(name.clone()),
                None => ended.push(name.clone()),
            }
        }
        // First those that may hold a port that another one is to have.
        let names = ended.iter().chain(&restarted);
        let some: Vec<Running> = names.filter_map(|name| self.running.remove(name)).collect();
        Self::end(some.into_iter()).await;
        let mut started = Vec::new();
        for (name, plan) in bridges {
            if self.running.contains_key(&name) {
                continue;
            }
            if !restarted.contains(&name) {
                started.push(name.clone());
            }
            self.start(name, plan);
        }
        let list = |names: &[String]| match names.is_empty() {
            true => "none".to_owned(),
            false => names.join(", "),
        };
        self.console.say(
            &json!({
                "event": "reloaded",
                "kept": kept,
                "restarted": restarted,
                "ended": ended,
                "started": started,
            }),
            &format!(
                "read again; untouched: {}; restarted: {}; ended: {}; new: {}",
                list(&kept),
                list(&restarted),
                list(&ended),
                list(&started)
            ),
        )
    }
}

/// Runs a bridge until it is told to end, and tries again as long as it cannot be opened.
async fn keep(
    console: &Console,
    name: &str,
    plan: &Plan,
    mut ended: oneshot::Receiver<()>,
) -> Result<(), Failure> {
    let mut pause = FIRST_PAUSE;
    let mut told = String::new();
    loop {
        let opened = tokio::select! {
            opened = plan.open() => opened,
            _ = &mut ended => return Ok(()),
        };
        match opened {
            Ok(hub) => {
                let end = async { _ = (&mut ended).await };
                go(console, Some(name), None, hub, Attach::default(), end).await?;
                return Ok(());
            }
            Err(Failure::Failed(sentence) | Failure::Usage(sentence)) => {
                if sentence != told {
                    console.complain(Some(name), &format!("{sentence} (it is tried again)"));
                    told = sentence;
                }
            }
            Err(other) => return Err(other),
        }
        tokio::select! {
            () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            _ = &mut ended => return Ok(()),
        }
    }
}
