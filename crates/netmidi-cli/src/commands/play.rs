//! `netmidi play`: a Standard MIDI File to wherever MIDI can go.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use netmidi::bridge::Circles;
use serde_json::json;

use crate::console::Console;
use crate::event::Event;
use crate::failure::Failure;
use crate::filter::{self, Channels, Filter};
use crate::hub::{Hub, Ways};
use crate::place::{Options, Place, RtpPlace, Spec};
use crate::run::JournalArgs;
use crate::smf::{Player, Selection, Song, clock, inspect, load, time};
use crate::stop::Stop;
use crate::text::{hex, tame};

/// How often the progress is shown anew.
const REDRAW: Duration = Duration::from_millis(100);
/// How long the last messages may take to go out.
const PATIENCE: Duration = Duration::from_secs(2);
/// The end of a session travels on another port than its messages, and would overtake them.
const FAREWELL: Duration = Duration::from_millis(150);

/// Play Standard MIDI Files (.mid).
#[derive(Debug, Args)]
#[command(
    long_about = "Play Standard MIDI Files (.mid).\n\n\
        Without a PLACE others connect by RTP-MIDI, as with `netmidi serve`, and it begins \
        when the first one is there. Who comes later gets programs and controllers as they \
        are. However it ends, nothing that it began goes on sounding.\n\n\
        A PLACE is rtp:HOST[:PORT], rtp:SESSION-NAME, rtp-listen:[ADDR:]PORT, tcp:HOST:PORT, \
        tcp-listen:[ADDR:]PORT, port:NAME, virtual:NAME, or - for standard output.",
    after_help = "\
Examples:
  netmidi play song.mid rtp:piano.local    to an instrument in the network
  netmidi play song.mid --from 1:30 --speed 0.8 \"port:Digital Piano\"
  netmidi play --info song.mid             length, tracks and tempos; plays nothing"
)]
pub(crate) struct Play {
    /// The files, one after the other, and the places that hear them.
    #[arg(required = true, value_name = "FILE.mid|PLACE")]
    what: Vec<String>,
    /// Show what is in the files, and whether they are whole; play nothing.
    #[arg(long, visible_alias = "check")]
    info: bool,
    /// Show every message of the files with its time; play nothing.
    #[arg(long)]
    list: bool,
    /// Play what can be read of a damaged file.
    #[arg(long)]
    force: bool,
    /// Begin when so many peers are there; 0 begins at once.
    #[arg(long, value_name = "N", default_value_t = 1)]
    wait: usize,
    /// Begin at this time of the file: seconds, or minutes such as 1:30.5.
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Duration>,
    /// End at this time of the file.
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<Duration>,
    /// Play faster or slower: 2 is twice as fast; 0.05 to 20.
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = speed)]
    speed: f64,
    /// Begin again at the end, until told to end.
    #[arg(long = "loop")]
    repeat: bool,
    /// Play only these channels, such as 1-4,10.
    #[arg(long, value_name = "LIST", value_parser = filter::channels)]
    channels: Option<Channels>,
    /// Move notes by so many semitones, but for drums (channel 10).
    #[arg(long, value_name = "SEMITONES", value_parser = filter::transpose, allow_hyphen_values = true)]
    transpose: Option<i8>,
    /// The name that others see.
    #[arg(long, default_value = "netmidi")]
    name: String,
    #[command(flatten)]
    journal: JournalArgs,
    /// Print one JSON object a line, for programs.
    #[arg(long)]
    json: bool,
}

fn speed(text: &str) -> Result<f64, &'static str> {
    let speed = text.parse().ok().filter(|it| (0.05..=20.0).contains(it));
    speed.ok_or("write a factor from 0.05 to 20, such as 0.5")
}

/// Files and places, told apart.
pub(super) fn split(what: &[String]) -> Result<(Vec<PathBuf>, Vec<Spec>), Failure> {
    let (mut files, mut places) = (Vec::new(), Vec::new());
    for text in what {
        match text.parse() {
            Ok(Spec::File(path)) => files.push(path),
            Ok(place) => places.push(place),
            Err(_) if Path::new(text).is_file() => files.push(text.into()),
            Err(sentence) => return Err(Failure::usage(sentence)),
        }
    }
    Ok((files, places))
}

/// Opens the places, or one that listens as `netmidi serve` does.
pub(super) async fn open(places: &[Spec], options: &Options) -> Result<Vec<Place>, Failure> {
    let mut open = Vec::new();
    for (number, spec) in places.iter().enumerate() {
        open.push(Place::open(number, spec, options).await?);
    }
    if open.is_empty() {
        let place = RtpPlace::open(0, &[], &[], options).await?;
        open.push(Place::Rtp(Box::new(place)));
    }
    Ok(open)
}

impl Play {
    pub(crate) async fn run(self, console: Console) -> Result<(), Failure> {
        let console = console.json(self.json);
        let (files, places) = split(&self.what)?;
        if files.is_empty() {
            return Err(Failure::usage(
                "no file to play is named; write for example netmidi play song.mid",
            ));
        }
        if self.info || self.list {
            return show(&console, &files, self.list);
        }
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from >= to
        {
            return Err(Failure::usage("--to has to be later than --from"));
        }
        // All of them before anything sounds.
        let mut songs = Vec::new();
        for file in &files {
            let song = load(file, self.force)?;
            for damage in &song.damages {
                console.note(&format!("{} is damaged {damage}", file.display()));
            }
            if self.from.is_some_and(|from| from >= song.length) {
                return Err(Failure::failed(format!(
                    "{} ends at {}, before --from",
                    file.display(),
                    clock(song.length)
                )));
            }
            songs.push((file.display().to_string(), Arc::new(song)));
        }
        let mut stop = Stop::listen()?;
        let options = Options {
            name: self.name.clone(),
            journal: self.journal.policy(),
            json: self.json,
            reads: false,
            ..Options::default()
        };
        let places = open(&places, &options).await?;
        let mut show = Show {
            hub: Hub::new(places, Ways::default(), Circles::Tell),
            console,
            bar: None,
            epoch: Instant::now(),
        };
        let done = show.play_all(&self, &songs, &mut stop).await;
        show.end().await;
        done
    }

    fn selection(&self) -> Selection {
        let mut filter = Filter::default();
        if let Some(channels) = self.channels {
            filter.channels = channels;
        }
        filter.transpose = self.transpose.unwrap_or(0);
        Selection {
            from: self.from.unwrap_or_default(),
            to: self.to,
            speed: self.speed,
            repeat: self.repeat,
            filter,
        }
    }
}

/// Songs on their way to those who hear them.
struct Show {
    hub: Hub,
    console: Console,
    bar: Option<ProgressBar>,
    /// Times count from here.
    epoch: Instant,
}

/// Whether a song came to its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ended {
    Song,
    Early,
}

impl Show {
    async fn play_all(
        &mut self,
        args: &Play,
        songs: &[(String, Arc<Song>)],
        stop: &mut Stop,
    ) -> Result<(), Failure> {
        while self.hub.members().count() < args.wait {
            tokio::select! {
                event = self.hub.next() => match event {
                    Some(event) => self.tell(&event)?,
                    None => return Err(nobody()),
                },
                () = stop.wait() => return Ok(()),
            }
        }
        for (name, song) in songs {
            if self.play(args, name, song, stop).await? == Ended::Early {
                break;
            }
        }
        Ok(())
    }

    async fn play(
        &mut self,
        args: &Play,
        name: &str,
        song: &Arc<Song>,
        stop: &mut Stop,
    ) -> Result<Ended, Failure> {
        let object = json!({
            "file": name,
            "length_us": micros(song.length),
            "tracks": song.tracks.len(),
            "messages": song.messages.len(),
        });
        let shown = tame(name).into_owned();
        let line = format!("playing {shown}, {}", clock(song.length));
        self.console.report("playing", &object, &line)?;
        self.bar = self.console.shows_progress().then(|| bar(song.length));
        let mut player = Player::new(Arc::clone(song), args.selection(), self.epoch.elapsed());
        let ended = self.go_on(song, &mut player, stop).await;
        let position = player.position(self.epoch.elapsed());
        // What was given for later is taken back before what sounds is let go.
        let members: Vec<_> = self.hub.members().cloned().collect();
        if !matches!(ended, Ok(Ended::Song)) {
            members.iter().for_each(|it| self.hub.take_back(it));
        }
        for message in player.stop() {
            self.hub.send_to_all(message.into());
        }
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        let object = json!({
            "file": name,
            "messages": player.played(),
            "position_us": micros(position),
            "complete": matches!(ended, Ok(Ended::Song)),
        });
        let line = match ended {
            Ok(Ended::Song) => format!("played {shown}, {} messages", player.played()),
            _ => format!("stopped at {}", clock(position)),
        };
        let told = self.console.report("played", &object, &line);
        let lost = self.hub.stats().not_sent;
        if lost > 0 {
            self.console.note(&format!(
                "{lost} messages found no room on their way; play slower, or to fewer at once"
            ));
        }
        let ended = ended?;
        told.map(|()| ended)
    }

    async fn go_on(
        &mut self,
        song: &Song,
        player: &mut Player,
        stop: &mut Stop,
    ) -> Result<Ended, Failure> {
        loop {
            let now = self.epoch.elapsed();
            while let Some(timed) = player.poll_ahead(now) {
                let at = self.epoch + timed.at;
                let members: Vec<_> = self.hub.members().cloned().collect();
                for member in members {
                    self.hub.send_at(&member, at, timed.message.as_message());
                }
            }
            while let Some(message) = player.poll_due(now) {
                let members: Vec<_> = self.hub.members().cloned().collect();
                for member in members {
                    if !self.hub.keeps_time(&member) {
                        self.hub.send_to(&member, message.as_message());
                    }
                }
            }
            if player.is_over(now) {
                return Ok(Ended::Song);
            }
            let mut due = self.epoch + player.poll_timeout();
            if let Some(bar) = &self.bar {
                self.draw(bar, song, player.position(now));
                due = due.min(Instant::now() + REDRAW);
            }
            tokio::select! {
                () = tokio::time::sleep_until(due.into()) => {}
                event = self.hub.next() => {
                    let Some(event) = event else {
                        return Err(nobody());
                    };
                    if let Event::Connected { member } = &event {
                        let (state, ahead) = player.join();
                        for message in state {
                            self.hub.send_to(member, message.into());
                        }
                        for timed in ahead {
                            let at = self.epoch + timed.at;
                            self.hub.send_at(member, at, timed.message.as_message());
                        }
                    }
                    self.tell(&event)?;
                }
                () = stop.wait() => return Ok(Ended::Early),
            }
        }
    }

    fn draw(&self, bar: &ProgressBar, song: &Song, position: Duration) {
        let mut text = clock(position);
        if let Some(spot) = song.spot(position) {
            text = format!(
                "{text}  bar {} beat {}  {:.1} bpm",
                spot.bar, spot.beat, spot.bpm
            );
        }
        let peers = self.hub.members().count();
        bar.set_message(format!("{text}  {peers} listening"));
        bar.set_position(micros(position));
    }

    /// What is played to us is not for us.
    fn tell(&self, event: &Event) -> Result<(), Failure> {
        if matches!(event, Event::Midi { .. }) {
            return Ok(());
        }
        match &self.bar {
            Some(bar) => bar.suspend(|| self.console.tell(event)),
            None => self.console.tell(event),
        }
    }

    async fn end(mut self) {
        // Whoever takes nothing holds up the end so long.
        if tokio::time::timeout(PATIENCE, self.hub.flush())
            .await
            .is_ok()
        {
            tokio::time::sleep(FAREWELL).await;
        }
        self.hub.close();
        while let Some(event) = self.hub.next().await {
            // Nobody reads any more: then it only ends.
            let _ = self.tell(&event);
        }
        self.hub.finish().await;
    }
}

fn nobody() -> Failure {
    Failure::failed("nobody is left to play to; see that the places are right and on")
}

fn bar(length: Duration) -> ProgressBar {
    let bar = ProgressBar::new(micros(length));
    let style = ProgressStyle::with_template("{wide_bar} {msg}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// What is in files; fails when one is damaged.
fn show(console: &Console, files: &[PathBuf], each: bool) -> Result<(), Failure> {
    let mut whole = true;
    for file in files {
        let song = inspect(file)?;
        whole &= song.damages.is_empty();
        let tracks = song
            .tracks
            .iter()
            .map(|track| json!({ "name": track.name, "messages": track.messages }));
        let tempos = song
            .tempos
            .iter()
            .map(|tempo| json!({ "time_us": micros(tempo.at), "bpm": tempo.bpm() }));
        let damages = song.damages.iter().map(
            |damage| json!({ "offset": damage.offset, "track": damage.track, "what": damage.what }),
        );
        let object = json!({
            "file": file.display().to_string(),
            "format": song.format,
            "division": song.division,
            "length_us": micros(song.length),
            "messages": song.messages.len(),
            "tracks": tracks.collect::<Vec<_>>(),
            "tempos": tempos.collect::<Vec<_>>(),
            "damages": damages.collect::<Vec<_>>(),
        });
        console.report("file", &object, &describe(file, &song))?;
        for timed in song.messages.iter().filter(|_| each) {
            let object = json!({
                "time_us": micros(timed.at + Duration::from_nanos(500)),
                "hex": hex(&timed.message.to_vec()),
                "text": timed.message.to_string(),
            });
            let line = format!("  {:>12}  {}", clock(timed.at), timed.message);
            console.report("message", &object, &line)?;
        }
    }
    match whole {
        true => Ok(()),
        false => Err(Failure::failed(
            "not all could be read; what can be is played with --force",
        )),
    }
}

fn describe(file: &Path, song: &Song) -> String {
    /// Tempo changes that are shown.
    const TEMPOS: usize = 12;
    let mut lines = vec![format!(
        "{}: format {}, {}, {} messages, {}",
        tame(&file.display().to_string()),
        song.format,
        clock(song.length),
        song.messages.len(),
        song.division,
    )];
    for (number, track) in (1..).zip(&song.tracks) {
        let name = tame(&track.name);
        let line = format!("  track {number:<3} {:>8} messages  {name}", track.messages);
        lines.push(line.trim_end().to_owned());
    }
    for tempo in song.tempos.iter().take(TEMPOS) {
        lines.push(format!("  {:>10} {:.2} bpm", clock(tempo.at), tempo.bpm()));
    }
    if song.tempos.len() > TEMPOS {
        lines.push(format!("  and {} more tempos", song.tempos.len() - TEMPOS));
    }
    if song.discarded > 0 {
        lines.push(format!(
            "  {} pieces that are no MIDI are left out",
            song.discarded
        ));
    }
    for damage in &song.damages {
        lines.push(format!("  damaged {damage}"));
    }
    lines.join("\n")
}
