//! `netmidi monitor` on a terminal of 80 by 24: what people see and what their keys do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::child::{Feed, Program, Read};
use crate::peers::SOON;
use crate::stage::{Stop, Verdict, cargo, root, run, target_dir};
use crate::svg;
use crate::tmux::{self, Tmux};

/// Two keys that are one column in the roll, after five columns of margin.
const MIDDLE_C: usize = 5 + 60 / 2;

pub(crate) fn check() -> Verdict {
    tmux::need()?;
    let place = build()?;
    check_sessions(&place)?;
    check_ends(&place)?;
    check_attached(&place)?;
    check_lines(&place)
}

fn build() -> Result<PathBuf, Stop> {
    run(&mut cargo([
        "build",
        "--package",
        "netmidi-cli",
        "--no-default-features",
    ]))?;
    let place = target_dir().join("interop");
    fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    Ok(place)
}

fn netmidi() -> String {
    target_dir().join("debug/netmidi").display().to_string()
}

/// Somebody who connects and plays what he is fed.
fn player(place: &Path, name: &str, to: &str) -> Result<(Program, Feed), Stop> {
    let mut command = Command::new(netmidi());
    command.args(["connect", to, "--name", name]);
    let log = place.join(format!("monitor-{name}.log"));
    Program::start_fed("netmidi connect", &mut command, Read::Stdout, &log)
}

/// Starts a monitor that others connect to; gives its address.
fn listen(tmux: &Tmux) -> Result<String, Stop> {
    // Not with its path: the screen could not tell a command that is typed from what it does.
    tmux.enter(&format!(
        "'{}' monitor rtp-listen:127.0.0.1:0 --no-announce --name 'Front of house'",
        netmidi()
    ))?;
    address(tmux)
}

/// Where the monitor listens, from its first line.
fn address(tmux: &Tmux) -> Result<String, Stop> {
    let screen = tmux.until("the monitor says where it listens", |screen| {
        listening(screen).is_some()
    })?;
    Ok(listening(&screen).unwrap_or_default().to_owned())
}

fn listening(screen: &[String]) -> Option<&str> {
    let (_, rest) = screen
        .first()?
        .split_once("netmidi monitor  listening on ")?;
    rest.split(' ').next()
}

fn any(screen: &[String], text: &str) -> bool {
    screen.iter().any(|line| line.contains(text))
}

/// The line with the counts of held keys: the last but one.
fn held(screen: &[String]) -> &str {
    screen.get(22).map_or("", String::as_str)
}

fn check_sessions(place: &Path) -> Verdict {
    let tmux = Tmux::start("sessions")?;
    let at = listen(&tmux)?;
    tmux.shows("nobody is connected yet")?;
    let (mut piano, mut plays) = player(place, "Piano", &at)?;
    tmux.until("the session is there, and synchronised", |screen| {
        let row = screen.get(2).map_or("", String::as_str);
        row.starts_with("Piano ")
            && row.contains("127.0.0.1:")
            && row.contains("synchronised")
            && row.contains("ms")
    })?;

    plays.write("note_on channel=0 note=60 velocity=100\n")?;
    tmux.until("a note is listed, and its key held", |screen| {
        any(
            screen,
            "Piano            note_on channel=0 note=60 velocity=100",
        ) && held(screen).starts_with("1    .    .")
    })?;
    tmux.type_text("r")?;
    tmux.until("the key is in the roll", |screen| {
        let now = screen.iter().find(|line| line.starts_with(" now "));
        now.is_some_and(|line| line.chars().nth(MIDDLE_C) == Some('▌'))
            && screen
                .iter()
                .filter(|line| line.chars().nth(MIDDLE_C) == Some('▌'))
                .count()
                > 3
    })?;
    tmux.type_text("m")?;
    plays.write("note_off channel=0 note=60 velocity=0\n")?;
    tmux.until("the key is let go", |screen| {
        held(screen).starts_with(".    .")
    })?;

    plays.write("note_on channel=1 note=72 velocity=9\n")?;
    tmux.shows("note_on channel=1 note=72 velocity=9")?;
    tmux.type_text("/ch2 note")?;
    tmux.until("what is typed is seen", |screen| {
        screen
            .last()
            .is_some_and(|line| line.starts_with("/ch2 note"))
    })?;
    tmux.key("Enter")?;
    tmux.until("only the second channel is listed", |screen| {
        any(screen, "only: ch2 note") && any(screen, "channel=1 ") && !any(screen, "channel=0 ")
    })?;
    tmux.key("Escape")?;
    tmux.shows("channel=0 ")?;
    tmux.type_text("/ch99")?;
    tmux.key("Enter")?;
    tmux.shows("channels are 1 to 16")?;
    tmux.key("Escape")?;
    tmux.shows("q quit")?;

    tmux.type_text(" ")?;
    tmux.shows("PAUSED")?;
    plays.write("control_change channel=2 control=7 value=77\n")?;
    let paused = tmux.shows("1 came since")?;
    if any(&paused, "value=77") {
        return Err("a message is listed although the list is held"
            .to_owned()
            .into());
    }
    tmux.type_text(" ")?;
    tmux.shows("control_change channel=2 control=7 value=77")?;

    tmux.type_text("?")?;
    tmux.shows("any key closes it")?;
    tmux.type_text("x")?;
    tmux.until("the help is gone", |screen| {
        !any(screen, "any key closes it")
    })?;

    tmux.resize(40, 12)?;
    tmux.until("a smaller screen is used", |screen| {
        screen.len() <= 12 && any(screen, "Piano") && any(screen, "control_change")
    })?;
    tmux.resize(80, 24)?;
    tmux.shows("keys held below each")?;

    tmux.key("C-z")?;
    tmux.shows("Stopped")?;
    tmux.enter("stty -a | tr ' ;' '\\n\\n' | grep canon")?;
    tmux.until("the shell has its terminal", |screen| {
        screen.iter().any(|line| line == "icanon")
    })?;
    tmux.enter("fg")?;
    tmux.shows("value=77")?;

    drop(plays);
    piano.success(SOON)?;
    tmux.shows("gone: bye")?;
    tmux.type_text("q")?;
    tmux.is_given_back("0")
}

/// However it ends, the terminal is given back.
fn check_ends(place: &Path) -> Verdict {
    let tmux = Tmux::start("ends")?;
    listen(&tmux)?;
    tmux.key("C-c")?;
    tmux.is_given_back("0")?;
    let id = place.join("monitor.pid");
    let _old = fs::remove_file(&id);
    tmux.enter(&format!(
        "sh -c 'echo $$ > \"{}\"; exec \"{}\" monitor rtp-listen:127.0.0.1:0 --no-announce'",
        id.display(),
        netmidi()
    ))?;
    address(&tmux)?;
    let id = fs::read_to_string(&id).map_err(|error| format!("{}: {error}", id.display()))?;
    run(Command::new("sh").args(["-c", "kill -s TERM \"$1\"", "sh", id.trim()]))?;
    tmux.is_given_back("0")
}

fn check_attached(place: &Path) -> Verdict {
    let socket = place.join("monitor.sock");
    let serve = || -> Result<(Program, String), Stop> {
        let mut command = Command::new(netmidi());
        command.args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--no-announce",
            "--json",
        ]);
        command.arg("--socket").arg(&socket);
        let log = place.join("monitor-serve.log");
        let serve = Program::start("netmidi serve", &mut command, Read::Stdout, &log)?;
        let line = serve.line_with("{", SOON)?.text;
        let at = line
            .split_once("\"control\":\"")
            .and_then(|(_, rest)| rest.split('"').next());
        let at = at
            .ok_or_else(|| format!("no address in {line}"))?
            .to_owned();
        Ok((serve, at))
    };
    let (mut first, at) = serve()?;
    let (mut piano, mut plays) = player(place, "Piano", &at)?;
    plays.write("note_on channel=0 note=60 velocity=100\n")?;
    first.line_with("{\"event\":\"midi\"", SOON)?;
    let tmux = Tmux::start("attached")?;
    tmux.enter(&format!(
        "'{}' monitor --attach '{}'",
        netmidi(),
        socket.display()
    ))?;
    tmux.until(
        "the session that was there before is shown with its counters",
        |screen| {
            let row = screen.get(2).map_or("", String::as_str);
            row.starts_with("Piano ") && row.contains("synchronised") && row.contains("ms")
        },
    )?;
    plays.write("note_on channel=3 note=64 velocity=100\n")?;
    tmux.until("what is played is shown", |screen| {
        any(
            screen,
            "Piano            note_on channel=3 note=64 velocity=100",
        ) && held(screen).starts_with(".    .    .    1")
    })?;
    // The server goes, and comes back.
    first.signal("TERM")?;
    first.success(SOON)?;
    tmux.shows("has gone; waiting for it")?;
    drop(plays);
    piano.wait(SOON)?;
    let (mut second, _) = serve()?;
    tmux.shows("attached again")?;
    tmux.type_text("q")?;
    tmux.is_given_back("0")?;
    second.signal("TERM")?;
    second.success(SOON)
}

/// Lines of `--json` on standard input, keys from the terminal.
fn check_lines(place: &Path) -> Verdict {
    let lines = place.join("monitor.jsonl");
    let text = concat!(
        r#"{"event":"connected","peer":{"name":"Recorded","ssrc":"0x00000001","control":"192.0.2.7:5004","data":"192.0.2.7:5005","role":"participant"}}"#,
        "\n",
        r#"{"event":"midi","hex":"94 45 64","text":"","peer":"0x00000001","repaired":true,"time_us":1500000}"#,
        "\n",
    );
    fs::write(&lines, text).map_err(|error| format!("{}: {error}", lines.display()))?;
    let tmux = Tmux::start("lines")?;
    tmux.enter(&format!(
        "'{}' monitor - < '{}'",
        netmidi(),
        lines.display()
    ))?;
    tmux.shows("0:00:01.500  Recorded         note_on channel=4 note=69 velocity=100 repaired")?;
    tmux.shows("there is no more to come")?;
    tmux.type_text("q")?;
    tmux.is_given_back("0")
}

/// Makes the pictures of `docs/monitor.md` anew.
pub(crate) fn screenshot() -> Verdict {
    tmux::need()?;
    let place = build()?;
    let tmux = Tmux::start("picture")?;
    let at = listen(&tmux)?;
    let (_piano, mut piano) = player(&place, "Stage Piano", &at)?;
    tmux.shows("Stage Piano")?;
    let (_drums, mut drums) = player(&place, "Drum Pads", &at)?;
    tmux.shows("Drum Pads")?;
    let (mut guest, notes) = player(&place, "Guest", &at)?;
    tmux.shows("Guest")?;
    drop(notes);
    guest.success(SOON)?;
    tmux.until("all are as they will be", |screen| {
        screen
            .iter()
            .filter(|line| line.contains("synchronised"))
            .count()
            >= 2
            && any(screen, "gone: bye")
            // Counted, too.
            && screen.iter().filter(|line| line.ends_with("    0     0     0")).count() >= 2
    })?;
    let mut chord = |notes: &[u8], kind: &str| -> Verdict {
        for note in notes {
            piano.write(&format!("{kind} channel=0 note={note} velocity=100\n"))?;
        }
        Ok(())
    };
    chord(&[48, 55, 64], "note_on")?;
    tmux.until("the chord is held", |screen| held(screen).starts_with('3'))?;
    chord(&[55, 64], "note_off")?;
    chord(&[57, 60, 65], "note_on")?;
    drums.write(
        "note_on channel=9 note=36 velocity=120\ncontrol_change channel=9 control=7 value=99\n",
    )?;
    drums.write("note_on channel=4 note=76 velocity=70\n")?;
    tmux.until("the strip is alive", |screen| {
        held(screen).starts_with('4') && screen.get(20).is_some_and(|line| line.contains('█'))
    })?;
    write(
        "monitor.svg",
        &svg::of(&tmux.coloured()?, "netmidi monitor"),
    )?;
    tmux.type_text("r")?;
    tmux.until("the roll shows keys", |screen| {
        screen.iter().filter(|line| line.contains('▌')).count() > 3
    })?;
    write(
        "monitor-roll.svg",
        &svg::of(&tmux.coloured()?, "netmidi monitor"),
    )?;
    tmux.type_text("q")
}

fn write(name: &str, picture: &str) -> Verdict {
    let path = root().join("docs").join(name);
    fs::write(&path, picture).map_err(|error| format!("{}: {error}", path.display()))?;
    println!("docs/{name}");
    Ok(())
}
