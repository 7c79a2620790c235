//! Ports of this computer without hardware: a private JACK server with the dummy driver, and ALSA's
//! sequencer where the machine has one.
//!
//! `player | JACK | bridge | RTP-MIDI | bridge | JACK | player`, each of the four a process of
//! `netmidi bridge`. What one player plays the other must hear, all of it, in order, both ways; and a
//! player that is gone and comes back is connected again.

use core::time::Duration;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Instant;

use crate::child::{Feed, Program, Read};
use crate::local_ports::{self, HOW_TO_GET_ALSA};
use crate::peers::free_even_port;
use crate::stage::{Stop, Verdict, cargo, need, run, target_dir};

/// How long something may take that happens soon.
const SOON: Duration = Duration::from_secs(20);
/// How long a list of messages may take.
const LIST_TIME: Duration = Duration::from_secs(60);
/// Messages each way.
const COUNT: usize = 600;
/// ALSA's sequencer.
const SEQUENCER: &str = "/dev/snd/seq";

pub(crate) fn check() -> Verdict {
    if !local_ports::can_build() {
        return Err(Stop::Skipped(format!(
            "ALSA's headers not found ({HOW_TO_GET_ALSA})"
        )));
    }
    need("jackd", "apt-get install jackd2")?;
    let place = target_dir().join("jack");
    fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    println!("logs in {}", place.display());
    let server = format!("netmidi-{}", std::process::id());
    let jack = System {
        program: build(
            &place,
            "netmidi-jack",
            &["--no-default-features", "--features", "jack"],
        )?,
        server: Some(server.clone()),
        place: place.clone(),
    };
    let mut jackd = Command::new("jackd");
    jackd.args(["--no-realtime", "-n", &server, "-d", "dummy"]);
    jackd.env("JACK_NO_AUDIO_RESERVATION", "1");
    let mut jackd = Program::start("jackd", &mut jackd, Read::Stdout, &place.join("jackd.log"))?;
    let done = jack.check("JACK");
    jackd.signal("TERM")?;
    jackd.wait(SOON)?;
    done?;
    if !Path::new(SEQUENCER).exists() {
        // A part of the kernel is nothing that a machine could be told to install.
        println!("note: {SEQUENCER} is not here: nothing was tried with the ports of ALSA");
        return Ok(());
    }
    let alsa = System {
        program: build(&place, "netmidi-alsa", &[])?,
        server: None,
        place,
    };
    alsa.check("ALSA")
}

/// Builds the tool, and keeps it under another name: the next build with other features would replace it.
fn build(place: &Path, name: &str, features: &[&str]) -> Result<PathBuf, Stop> {
    run(cargo(["build", "--package", "netmidi-cli"]).args(features))?;
    let built = format!("debug/netmidi{}", env::consts::EXE_SUFFIX);
    let program = place.join(name);
    fs::copy(target_dir().join(built), &program)
        .map_err(|error| format!("{}: {error}", program.display()))?;
    Ok(program)
}

/// Where ports are, and the tool that can use them.
struct System {
    program: PathBuf,
    /// The name of the JACK server.
    server: Option<String>,
    place: PathBuf,
}

impl System {
    fn netmidi(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args);
        if let Some(server) = &self.server {
            command.env("JACK_DEFAULT_SERVER", server);
            command.env("JACK_NO_START_SERVER", "1");
        }
        command
    }

    fn start(&self, name: &'static str, args: &[&str]) -> Result<(Program, Feed), Stop> {
        let log = self.place.join(format!("{name}.log"));
        Program::start_fed(name, &mut self.netmidi(args), Read::Stdout, &log)
    }

    /// Waits until both directions of a port are listed; with no name, until anything can be.
    fn wait_for_port(&self, name: Option<&str>) -> Verdict {
        let end = Instant::now() + SOON;
        loop {
            let output = self
                .netmidi(&["ports", "--json"])
                .stdin(Stdio::null())
                .output()
                .map_err(|error| format!("netmidi ports: {error}"))?;
            let listed = String::from_utf8_lossy(&output.stdout).into_owned();
            let there = name.is_none_or(|name| {
                let ports = listed.lines().filter(|line| line.contains(name));
                ports.count() == 2
            });
            if output.status.success() && there {
                return Ok(());
            }
            if Instant::now() > end {
                let told = String::from_utf8_lossy(&output.stderr).into_owned();
                let name = name.unwrap_or("of any name");
                return Err(format!("no port `{name}` within {SOON:?}: {listed}{told}").into());
            }
            sleep(Duration::from_millis(100));
        }
    }

    fn check(&self, what: &str) -> Verdict {
        let start = Instant::now();
        let control = free_even_port()?;
        let (listen, invite) = (
            format!("rtp-listen:127.0.0.1:{control}"),
            format!("rtp:127.0.0.1:{control}"),
        );
        self.wait_for_port(None)?;
        let mut left = self.player("left", "virtual:stage-left")?;
        self.wait_for_port(Some("stage-left"))?;
        let (mut far, _far_feed) = self.start(
            "far-bridge",
            &["bridge", "--json", &invite, "virtual:stage-right"],
        )?;
        self.wait_for_port(Some("stage-right"))?;
        let mut right = self.player("right", "port:stage-right")?;
        let (mut near, _near_feed) = self.start(
            "near-bridge",
            &[
                "bridge",
                "--json",
                "--no-announce",
                "port:stage-left",
                &listen,
            ],
        )?;
        wait_for(&near, &["\"connected\"", "stage-left"])?;
        wait_for(&near, &["\"connected\"", "\"ssrc\""])?;
        // Who plays before the other end is connected is not heard there, and a session holds back what
        // it is sent until it knows its peer.
        sleep(Duration::from_secs(2));

        let there = left.play_to(&right, 0)?;
        let back = right.play_to(&left, 1)?;

        // A player that is gone leaves no note on, and is connected again when it is back.
        left.feed.write("note_on channel=5 note=1 velocity=1\n")?;
        right.hears("note_on channel=5 note=1 velocity=1")?;
        left.end()?;
        right.hears("note_off channel=5 note=1 velocity=64")?;
        wait_for(&near, &["\"disconnected\"", "stage-left"])?;
        left = self.player("left-again", "virtual:stage-left")?;
        wait_for(&near, &["\"connected\"", "stage-left"])?;
        right.feed.write("note_on channel=5 note=2 velocity=1\n")?;
        left.hears("note_on channel=5 note=2 velocity=1")?;
        for bridge in [&mut near, &mut far] {
            bridge.signal("TERM")?;
            bridge.success(SOON)?;
        }
        // What the bridges had begun is ended with them.
        left.hears("note_off channel=5 note=2 velocity=64")?;
        left.end()?;
        right.end()?;
        println!(
            "{what}: {COUNT} messages there in {there:?} and back in {back:?}; a port gone and back; \
             {:.1} s in all",
            start.elapsed().as_secs_f64()
        );
        Ok(())
    }

    fn player(&self, name: &'static str, port: &str) -> Result<Player, Stop> {
        let (program, feed) = self.start(name, &["bridge", port, "-"])?;
        Ok(Player { program, feed })
    }
}

/// A port with lines in and out.
struct Player {
    program: Program,
    feed: Feed,
}

impl Player {
    /// Plays a list, which the other one must hear; how long that takes.
    fn play_to(&mut self, to: &Self, which: usize) -> Result<Duration, Stop> {
        let start = Instant::now();
        let messages = messages(which);
        self.feed.write(&format!("{}\n", messages.join("\n")))?;
        for message in &messages {
            to.hears(message)?;
        }
        Ok(start.elapsed())
    }

    fn hears(&self, message: &str) -> Verdict {
        let line = self.program.line(LIST_TIME)?;
        if line == message {
            Ok(())
        } else {
            Err(format!("a player heard `{line}` instead of `{message}`").into())
        }
    }

    fn end(mut self) -> Verdict {
        self.program.signal("TERM")?;
        self.program.success(SOON)
    }
}

/// What one plays: all that an instrument would, every note ended.
fn messages(which: usize) -> Vec<String> {
    let one = |number: usize| {
        let (channel, key) = (which + number / 7 % 8, number / 7 % 128);
        match number % 7 {
            0 => format!(
                "note_on channel={channel} note={key} velocity={}",
                1 + key % 100
            ),
            1 => format!("polytouch channel={channel} note={key} value={key}"),
            2 => format!("note_off channel={channel} note={key} velocity={key}"),
            3 => format!("control_change channel={channel} control=7 value={key}"),
            4 => format!("pitchwheel channel={channel} pitch={}", key * 60),
            5 => format!("program_change channel={channel} program={key}"),
            _ => {
                let data: Vec<String> = (0..key * 3).map(|it| (it % 128).to_string()).collect();
                format!("sysex data=({})", data.join(","))
            }
        }
    };
    (0..COUNT).map(one).collect()
}

/// The next line with all of these in it.
fn wait_for(program: &Program, words: &[&str]) -> Verdict {
    let end = Instant::now() + SOON;
    loop {
        let line = program.line(end.saturating_duration_since(Instant::now()))?;
        if words.iter().all(|word| line.contains(word)) {
            return Ok(());
        }
    }
}
