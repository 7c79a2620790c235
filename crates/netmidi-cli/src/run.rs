//! What `serve`, `connect` and `tcp` have in common: their options, and the loop in which they run.

use std::future::pending;
#[cfg(unix)]
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use futures::FutureExt;
use futures::future::{BoxFuture, join};
use netmidi::bridge::Circles;
use netmidi::{InvitationState, IpNet, JournalPolicy, MAX_NAME_OCTETS};

use crate::attach::Attach;
use crate::console::Console;
use crate::event::{Event, Reason};
use crate::failure::Failure;
use crate::hub::{Hub, Ways};
use crate::metrics::Metrics;
use crate::output;
use crate::place::{Options, Place};
use crate::stdin::{Line, Stdin};
use crate::stop::Stop;

/// What is done with messages that come.
#[derive(Clone, Debug, Args)]
pub(crate) struct PlayArgs {
    /// Send each message back to the peer that it came from.
    #[arg(long)]
    pub(crate) echo: bool,
    /// Send each message to all other peers.
    #[arg(long)]
    pub(crate) forward: bool,
    /// Take no system exclusive messages.
    #[arg(long)]
    pub(crate) no_sysex: bool,
    /// Let `netmidi monitor --attach PATH` watch: a socket that only its owner can use.
    #[cfg(unix)]
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Print one JSON object a line, for programs.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Recovery journals.
#[derive(Clone, Debug, Args)]
pub(crate) struct JournalArgs {
    /// Whether peers are sent recovery journals, which repair what lost packets did: auto finds out
    /// what each peer can take, off is for peers that journals break.
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = journal)]
    journal: JournalPolicy,
    /// The same as --journal off.
    #[arg(long, conflicts_with = "journal")]
    no_journal: bool,
}

impl JournalArgs {
    pub(crate) const fn policy(&self) -> JournalPolicy {
        match self.no_journal {
            true => JournalPolicy::Off,
            false => self.journal,
        }
    }
}

fn journal(text: &str) -> Result<JournalPolicy, &'static str> {
    match text {
        "auto" => Ok(JournalPolicy::Auto),
        "full" => Ok(JournalPolicy::Full),
        "off" => Ok(JournalPolicy::Off),
        _ => Err("write auto, full or off"),
    }
}

/// Who may connect.
#[derive(Clone, Debug, Args)]
pub(crate) struct AdmissionArgs {
    /// Let in only those from these networks, such as 192.168.1.0/24. May be given more than once.
    #[arg(long, value_name = "CIDR", num_args = 1.., value_parser = network)]
    pub(crate) allow: Vec<IpNet>,
    /// How many may be connected at the same time.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_peers: u32,
}

impl AdmissionArgs {
    pub(crate) fn apply(&self, options: &mut Options) {
        options.allow.clone_from(&self.allow);
        options.max_peers = usize::try_from(self.max_peers).ok();
    }
}

impl PlayArgs {
    pub(crate) const fn ways(&self) -> Ways {
        Ways {
            across: self.forward,
            together: self.forward,
            echo: self.echo,
            deaf_to: Vec::new(),
            silent_for: Vec::new(),
        }
    }
}

/// A network, or one address.
pub(crate) fn network(text: &str) -> Result<IpNet, &'static str> {
    let alone = || text.parse::<std::net::IpAddr>().map(IpNet::from);
    (text.parse().or_else(|_| alone()))
        .map_err(|_| "write a network such as 192.168.1.0/24, or an address in numbers")
}

/// How long a command that connects goes on.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct EndArgs {
    /// End with the session instead of connecting again: with success if either side ended it, else
    /// with failure.
    #[arg(long)]
    pub(crate) once: bool,
    /// Give up if there is no session after so many seconds. Without it netmidi tries for ever.
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
}

/// A time in seconds; with a fraction, if need be.
pub(crate) fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse().ok().filter(|it| *it > 0.0);
    let time = seconds.and_then(|it| Duration::try_from_secs_f64(it).ok());
    time.filter(|it| *it <= LONGEST_TIME)
        .ok_or("write a number of seconds above 0, such as 10 or 0.5")
}

/// A thousand years are for ever, and no clock overflows.
const LONGEST_TIME: Duration = Duration::from_secs(1_000 * 365 * 86_400);

/// The name that others see.
pub(crate) fn name(text: &str) -> Result<String, String> {
    match text.len() {
        0..=MAX_NAME_OCTETS => Ok(text.to_owned()),
        octets => Err(format!(
            "it has {octets} octets; {MAX_NAME_OCTETS} is the most that others can show"
        )),
    }
}

/// What a command does when there is no more to be done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// It waits for others, until it is told to end.
    Never,
    /// It connects to so many, and ends after standard input; and as it was told to.
    Connecting { hosts: usize, args: EndArgs },
}

/// Octets of standard input that may wait to be sent, and what a message counts beyond its own.
const WINDOW: usize = 8 << 10;
const OVERHEAD: usize = 64;

/// So long one who takes nothing holds up what is read from standard input for the others.
const PATIENCE: Duration = Duration::from_secs(5);

/// At the end of standard input: how long peers are given to tell that they have it all, and how
/// long is waited at least, because BY travels on the other port and would overtake the last packets.
const MOST_WAIT: Duration = Duration::from_secs(2);
const LEAST_WAIT: Duration = Duration::from_millis(100);

/// Runs until it is told to end, or has come to its end.
pub(crate) async fn run(
    mut console: Console,
    stop: &mut Stop,
    place: Place,
    args: &PlayArgs,
    end: End,
    metrics: Option<Metrics>,
) -> Result<(), Failure> {
    #[cfg(unix)]
    let socket = args.socket.as_deref();
    #[cfg(not(unix))]
    let socket = None;
    let mut run = Run {
        metrics,
        attach: Attach::open(socket, console.started())?,
        hub: Hub::new(vec![place], args.ways(), Circles::Tell),
        end,
        connected: 0,
        ended: 0,
        broken: None,
        told_to_end: false,
        unheard: 0,
    };
    console = console.detached();
    let done = run.go_on(&mut console, stop).await;
    run.hub.close();
    let told_to_end = run.told_to_end;
    let finish = async {
        run.finish(&console).await;
        // Who has ended it does not wait for one who does not read; others do.
        if !told_to_end {
            output::written().await;
        }
    };
    // Being told to end once more is to end at once.
    tokio::select! {
        () = finish => {}
        () = stop.wait() => {}
    }
    done
}

/// A command that runs.
struct Run {
    attach: Attach,
    hub: Hub,
    metrics: Option<Metrics>,
    end: End,
    /// Sessions or connections that there were, and those that have ended.
    connected: usize,
    ended: usize,
    /// Messages of standard input that came while nobody was there.
    unheard: u64,
    /// How one of them ended that neither side has ended.
    broken: Option<String>,
    /// Whether a signal ended it.
    told_to_end: bool,
}

impl Run {
    async fn go_on(&mut self, console: &mut Console, stop: &mut Stop) -> Result<(), Failure> {
        let mut stdin = Stdin::open();
        // What is on its way of standard input.
        let mut behind = 0;
        let mut draining: Option<BoxFuture<'static, ()>> = None;
        let mut last: Option<BoxFuture<'static, ()>> = None;
        let limit = match self.end {
            End::Connecting { args, .. } => args.timeout,
            End::Never => None,
        };
        let mut patience = limit.map(|limit| tokio::time::sleep(limit).boxed());
        loop {
            tokio::select! {
                // Where nothing is passed on, peers are made to wait while nobody reads what they play.
                () = output::room(), if !self.hub.passes() && !output::has_room() => {}
                event = self.hub.next(), if self.hub.passes() || output::has_room() => {
                    let Some(event) = event else {
                        return self.verdict();
                    };
                    self.count(&event);
                    self.attach.tell(&event);
                    console.tell(&event)?;
                    if matches!(event, Event::Connected { .. }) {
                        self.tell_unheard(console)?;
                        stdin.begin();
                    }
                    if self.is_over(&event) {
                        return self.verdict();
                    }
                }
                line = stdin.next(), if draining.is_none() && last.is_none() => match line {
                    Some(Line::Message(message)) if self.hub.members().next().is_none() => {
                        tracing::debug!(%message, "nobody is there to hear it");
                        self.unheard += 1;
                        if self.unheard == 1 {
                            console.tell(&Event::Warning { message: NOBODY.to_owned() })?;
                        }
                    }
                    Some(Line::Message(message)) => {
                        self.hub.send_to_all(message.as_message());
                        behind += message.as_message().encoded_len() + OVERHEAD;
                        if behind > WINDOW {
                            behind = 0;
                            let drain = tokio::time::timeout(PATIENCE, self.hub.drain());
                            draining = Some(drain.map(|_| ()).boxed());
                        }
                    }
                    Some(Line::Bad(message)) => console.tell(&Event::Error { message })?,
                    None => match self.end {
                        End::Never => {}
                        End::Connecting { .. } => {
                            let told = tokio::time::timeout(MOST_WAIT, self.hub.delivered());
                            let least = tokio::time::sleep(LEAST_WAIT);
                            last = Some(join(told, least).map(|_| ()).boxed());
                        }
                    },
                },
                () = done(&mut draining) => draining = None,
                () = done(&mut last) => return Ok(()),
                () = done(&mut patience) => {
                    patience = None;
                    if self.connected == 0 {
                        return self.give_up(console, limit);
                    }
                    if self.is_over_without_others(console)? {
                        return self.verdict();
                    }
                }
                () = self.attach.due() => self.attach.count(&self.hub),
                () = console.reader_gone() => return Err(Failure::NobodyReads),
                () = stop.wait() => {
                    self.told_to_end = true;
                    return Ok(());
                }
            }
        }
    }

    fn count(&self, event: &Event) {
        if let Some(metrics) = &self.metrics {
            metrics.observe(event);
        }
    }

    /// Whether that was the last of those that are to end once.
    fn is_over(&mut self, event: &Event) -> bool {
        match event {
            Event::Connected { .. } => self.connected += 1,
            Event::Disconnected {
                member,
                reason,
                detail,
            } => {
                self.ended += 1;
                if !matches!(reason, Reason::Bye | Reason::Local) {
                    let sentence = format!("the session with {} broke: {detail}", member.name());
                    self.broken.get_or_insert(sentence);
                }
                if let End::Connecting { hosts, args } = self.end {
                    return args.once && self.ended >= hosts;
                }
            }
            _ => {}
        }
        false
    }

    /// The time is over in which those had to come who are to end once: the others are given up.
    /// Returns whether that is all.
    fn is_over_without_others(&mut self, console: &Console) -> Result<bool, Failure> {
        let End::Connecting { hosts, args } = &mut self.end else {
            return Ok(false);
        };
        if !args.once {
            return Ok(false);
        }
        *hosts = self.connected;
        for place in self.hub.places() {
            let Place::Rtp(place) = place else { continue };
            for invitation in place.invitations() {
                let state = invitation.state();
                // Whoever was there has been told of.
                if matches!(
                    state,
                    InvitationState::Connected { .. } | InvitationState::Ended
                ) {
                    continue;
                }
                let (to, reason) = (invitation.address().to_string(), Reason::Timeout);
                let detail = format!("given up: {}", without_session(&state));
                console.tell(&Event::NotConnected { to, reason, detail })?;
            }
            place.give_up(|it| !matches!(it.state(), InvitationState::Connected { .. }));
        }
        Ok(self.ended >= self.connected)
    }

    fn verdict(&mut self) -> Result<(), Failure> {
        match self.broken.take() {
            Some(sentence) => Err(Failure::failed(sentence)),
            None => Ok(()),
        }
    }

    /// Somebody is there again: how much of standard input nobody heard.
    fn tell_unheard(&mut self, console: &Console) -> Result<(), Failure> {
        let message = match std::mem::take(&mut self.unheard) {
            0 => return Ok(()),
            1 => "1 message of standard input was heard by nobody".to_owned(),
            count => format!("{count} messages of standard input were heard by nobody"),
        };
        console.tell(&Event::Warning { message })
    }

    /// Nobody came in time: says why.
    fn give_up(&self, console: &Console, limit: Option<Duration>) -> Result<(), Failure> {
        let mut why = Vec::new();
        for place in self.hub.places() {
            match place {
                Place::Rtp(place) => {
                    for invitation in place.invitations() {
                        let (to, state) = (invitation.address().to_string(), invitation.state());
                        let told = state.is_failure();
                        let detail = without_session(&state);
                        why.push(format!("{to}: {detail}"));
                        if !told {
                            let reason = Reason::Timeout;
                            console.tell(&Event::NotConnected { to, reason, detail })?;
                        }
                    }
                }
                Place::TcpClient(place) => why.extend(place.trouble()),
                _ => {}
            }
        }
        let seconds = limit.unwrap_or_default().as_secs_f64();
        let why = why.join("; ");
        Err(Failure::failed(format!(
            "no session within {seconds} s; {why}"
        )))
    }

    /// What is left to be told and to be tidied up.
    async fn finish(mut self, console: &Console) {
        while let Some(event) = self.hub.next().await {
            self.count(&event);
            self.attach.tell(&event);
            // Nobody reads any more: then it only ends.
            let _ = console.tell(&event);
        }
        self.hub.finish().await;
        self.attach.finish().await;
    }
}

const NOBODY: &str = "nobody is connected any more: what standard input says goes nowhere until \
    somebody is";
const NO_ANSWER: &str = "no answer so far; see that it is on and shares a session, that address and \
    port are right, and that no firewall stops UDP on that port";

/// Why there is no session yet.
fn without_session(state: &InvitationState) -> String {
    match state {
        InvitationState::Asking => NO_ANSWER.to_owned(),
        InvitationState::Resolving => NOT_FOUND.to_owned(),
        state => state.to_string(),
    }
}

const NOT_FOUND: &str = "nobody of that name was found so far; see what `netmidi discover` lists, or \
    use the address in numbers";

/// Waits for what is there, or for ever.
async fn done(what: &mut Option<BoxFuture<'static, ()>>) {
    match what {
        Some(what) => what.await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds() {
        assert_eq!(seconds("10"), Ok(Duration::from_secs(10)));
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["", "0", "-1", "nan", "inf", "1e300", "soon"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_as_long_as_others_can_show() {
        assert!(name(&"x".repeat(63)).is_ok());
        assert!(name(&"ö".repeat(32)).is_err());
    }
}
