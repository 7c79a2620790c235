//! `netmidi record`: what is played, to a Standard MIDI File.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use netmidi::bridge::Circles;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::play::{micros, open};
use crate::console::Console;
use crate::event::Event;
use crate::failure::Failure;
use crate::hub::{Hub, Ways};
use crate::place::{Options, Spec};
use crate::run::JournalArgs;
use crate::smf::{Form, Piece, Recorder, Tape, Ticks, clock, time};
use crate::stop::Stop;
use crate::text::tame;

/// How often what was played is brought to the disk.
const FLUSH: Duration = Duration::from_secs(2);
/// So much of it waits at most until then, in octets of memory.
const PIECE: usize = 256 << 10;
/// Pieces that wait for a slow disk.
const PIECES: usize = 4;
/// Behind a disk that takes nothing at all so much waits before the recording is given up.
const MAX_WAITING: usize = 64 << 20;
/// How often the progress is shown anew.
const REDRAW: Duration = Duration::from_millis(200);

/// Record to a Standard MIDI File (.mid), until Ctrl-C.
#[derive(Debug, Args)]
#[command(
    long_about = "Record to a Standard MIDI File (.mid), until Ctrl-C.\n\n\
        Without a PLACE others connect by RTP-MIDI, as with `netmidi serve`. Each one who \
        plays gets a track. Every two seconds what was played is safe on the disk, in \
        FILE.mid.part: after a power cut rename that to .mid. Notes that are still down at \
        the end are let go there.\n\n\
        A PLACE is rtp:HOST[:PORT], rtp:SESSION-NAME, rtp-listen:[ADDR:]PORT, tcp:HOST:PORT, \
        tcp-listen:[ADDR:]PORT, port:NAME, virtual:NAME, or - for standard input.",
    after_help = "\
Examples:
  netmidi record take1.mid                 all who connect, a track for each
  netmidi record take1.mid rtp:piano.local \"port:Drum Pad\"
  netmidi record --max-length 1:00:00 --force rehearsal.mid"
)]
pub(crate) struct Record {
    /// The file; one that is there is not replaced without --force.
    #[arg(value_name = "FILE.mid")]
    file: PathBuf,
    /// Who is recorded.
    #[arg(value_name = "PLACE")]
    places: Vec<Spec>,
    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
    /// 1 gives each one a track of its own, 0 puts all into one track.
    #[arg(long, value_name = "0|1", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
    format: u8,
    /// What the file gives as its tempo, in beats a minute. It changes bars and beats, not when
    /// anything sounds.
    #[arg(long, value_name = "BPM", default_value = "120", value_parser = bpm)]
    tempo: f64,
    /// Begin now, and not with the first message.
    #[arg(long)]
    from_start: bool,
    /// End after this time: seconds, or minutes such as 1:30.
    #[arg(long, value_name = "TIME", value_parser = time)]
    max_length: Option<Duration>,
    /// The name that others see.
    #[arg(long, default_value = "netmidi")]
    name: String,
    #[command(flatten)]
    journal: JournalArgs,
    /// Print one JSON object a line, for programs.
    #[arg(long)]
    json: bool,
}

fn bpm(text: &str) -> Result<f64, &'static str> {
    let bpm = text.parse().ok().filter(|it| (4.0..=1000.0).contains(it));
    bpm.ok_or("write beats a minute from 4 to 1000, such as 120")
}

/// What the thread that writes is told.
enum Work {
    Write(Vec<Piece>, Vec<String>),
    Finish(Vec<String>, Duration),
}

/// The thread that writes: a disk that is slow must not make messages late.
struct Deck {
    work: mpsc::Sender<Work>,
    done: oneshot::Receiver<Result<u64, String>>,
}

impl Deck {
    fn start(mut tape: Tape, form: Form) -> Self {
        let (work, mut pieces) = mpsc::channel(PIECES);
        let (tell, done) = oneshot::channel();
        thread::spawn(move || {
            let mut result = Err("the recording was not finished".to_owned());
            while let Some(work) = pieces.blocking_recv() {
                match work {
                    Work::Write(pieces, names) => {
                        if let Err(error) = tape.write(pieces, &names) {
                            let part = tape.part().display();
                            result = Err(format!(
                                "cannot write {part}: {error}; what was recorded before is in it"
                            ));
                            break;
                        }
                    }
                    Work::Finish(names, length) => {
                        result = tape.finish(form, &names, length);
                        break;
                    }
                }
            }
            // Or nobody wants to know.
            let _ = tell.send(result);
        });
        Self { work, done }
    }
}

impl Record {
    pub(crate) async fn run(self, console: Console) -> Result<(), Failure> {
        let console = console.json(self.json);
        let mut stop = Stop::listen()?;
        let ticks = Ticks::at_tempo(self.tempo);
        let options = Options {
            name: self.name.clone(),
            journal: self.journal.policy(),
            json: self.json,
            ..Options::default()
        };
        let places = open(&self.places, &options).await?;
        let tape = Tape::create(&self.file, ticks, self.force).map_err(Failure::failed)?;
        let form = match self.format {
            0 => Form::Single,
            _ => Form::Tracks,
        };
        let epoch = Instant::now();
        let origin = self.from_start.then_some(Duration::ZERO);
        let mut session = Session {
            hub: Hub::new(places, Ways::default(), Circles::Tell),
            recorder: Recorder::new(ticks, origin),
            deck: Deck::start(tape, form),
            bar: console.shows_progress().then(bar),
            console,
            epoch,
        };
        session.hub.begin();
        let told = session.go_on(self.max_length, &mut stop).await;
        session.end(&self).await?;
        told
    }
}

struct Session {
    hub: Hub,
    recorder: Recorder,
    deck: Deck,
    bar: Option<ProgressBar>,
    console: Console,
    /// Times count from here.
    epoch: Instant,
}

impl Session {
    async fn go_on(&mut self, limit: Option<Duration>, stop: &mut Stop) -> Result<(), Failure> {
        let mut flush = tokio::time::interval(FLUSH);
        let mut redraw = tokio::time::interval(REDRAW);
        let end = limit.map(|limit| self.epoch + limit);
        loop {
            tokio::select! {
                event = self.hub.next() => match event {
                    Some(event) => {
                        self.take(&event);
                        self.tell(&event)?;
                        if matches!(event, Event::EndOfInput) && self.hub.places().count() == 1 {
                            return Ok(());
                        }
                        if self.recorder.waiting() > PIECE {
                            self.flush()?;
                        }
                    }
                    // All have ended.
                    None => return Ok(()),
                },
                _ = flush.tick() => self.flush()?,
                _ = redraw.tick(), if self.bar.is_some() => self.draw(),
                // It tells more when it is asked at the end.
                () = self.deck.work.closed() => return Ok(()),
                () = stop.wait() => return Ok(()),
                () = tokio::time::sleep_until(end.unwrap_or(self.epoch).into()), if end.is_some() => {
                    return Ok(());
                }
            }
        }
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::Connected { member } => self.recorder.joined(member.id.get(), &member.name()),
            Event::Disconnected { member, .. } => self.recorder.left(member.id.get()),
            Event::Midi {
                member,
                at,
                message,
                ..
            } => {
                let at = at.saturating_duration_since(self.epoch);
                let source = member.id.get();
                self.recorder.take(source, at, &message.as_message());
            }
            _ => {}
        }
    }

    fn names(&self) -> Vec<String> {
        self.recorder.tracks().map(|it| it.0.to_owned()).collect()
    }

    fn flush(&mut self) -> Result<(), Failure> {
        if self.recorder.waiting() == 0 {
            return Ok(());
        }
        let names = self.names();
        if let Ok(permit) = self.deck.work.try_reserve() {
            permit.send(Work::Write(self.recorder.pieces(), names));
        } else if self.recorder.waiting() > MAX_WAITING {
            return Err(Failure::failed(
                "the disk takes nothing any more; the recording ends here",
            ));
        }
        Ok(())
    }

    fn draw(&self) {
        let Some(bar) = &self.bar else {
            return;
        };
        let mut text = format!(
            "{}  {} messages",
            clock(self.recorder.length()),
            self.recorder.messages()
        );
        for (name, messages) in self.recorder.tracks().take(4) {
            text.push_str(&format!("  {name} {messages}"));
        }
        bar.set_message(text);
        bar.tick();
    }

    /// Messages are shown to programs, and counted for people.
    fn tell(&self, event: &Event) -> Result<(), Failure> {
        if matches!(event, Event::Midi { .. }) && !self.console.is_json() {
            return Ok(());
        }
        match &self.bar {
            Some(bar) => bar.suspend(|| self.console.tell(event)),
            None => self.console.tell(event),
        }
    }

    async fn end(mut self, args: &Record) -> Result<(), Failure> {
        let now = self.epoch.elapsed();
        let now = args.max_length.map_or(now, |limit| now.min(limit));
        self.recorder.end(now);
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        let (names, length) = (self.names(), self.recorder.length());
        let pieces = self.recorder.pieces();
        let Deck { work, done } = self.deck;
        let write = async {
            // If it has ended already it says why.
            let _ = work.send(Work::Write(pieces, names.clone())).await;
            let _ = work.send(Work::Finish(names.clone(), length)).await;
            done.await
                .unwrap_or_else(|_| Err("the recording was not finished".to_owned()))
        };
        let (hub, console) = (&mut self.hub, &self.console);
        hub.close();
        let leave = async {
            while let Some(event) = hub.next().await {
                if !matches!(event, Event::Midi { .. }) {
                    // Nobody reads any more: then it only ends.
                    let _ = console.tell(&event);
                }
            }
        };
        let (written, ()) = tokio::join!(write, leave);
        self.hub.finish().await;
        let octets = written.map_err(Failure::failed)?;
        let tracks = self.recorder.tracks();
        let tracks: Vec<_> = tracks
            .map(|(name, messages)| json!({ "name": name, "messages": messages }))
            .collect();
        let messages = self.recorder.messages();
        let object = json!({
            "file": args.file.display().to_string(),
            "messages": messages,
            "left_out": self.recorder.left_out(),
            "length_us": micros(length),
            "octets": octets,
            "tracks": tracks,
        });
        let mut line = format!(
            "recorded {}: {messages} messages, {}, {octets} octets",
            tame(&args.file.display().to_string()),
            clock(length)
        );
        for (name, messages) in self.recorder.tracks() {
            line.push_str(&format!("\n  {messages:>8}  {name}"));
        }
        self.console.report("recorded", &object, &line)
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg}");
    ProgressBar::new_spinner()
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}
