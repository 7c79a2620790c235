//! Standard MIDI Files: read, played in time, recorded and written.
//!
//! What decides when a message sounds is plain values that are told the time ([`Player`],
//! [`Recorder`]); the octets of a file are read and written by midly. [`Tape`] alone knows a disk.

mod chase;
mod player;
mod recorder;
mod song;
mod tape;
#[cfg(test)]
mod tests;

pub(crate) use player::{Player, Selection};
pub(crate) use recorder::{Piece, Recorder, Ticks};
pub(crate) use song::Song;
pub(crate) use tape::{Form, Tape};

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use crate::failure::Failure;

/// Reads a file that is to be played.
///
/// # Errors
/// When it cannot be read, or is damaged and that is not to be put up with; the sentence says where.
pub(crate) fn load(path: &Path, damaged_too: bool) -> Result<Song, Failure> {
    let song = inspect(path)?;
    match song.damages.first() {
        Some(damage) if !damaged_too => Err(Failure::failed(format!(
            "{} is damaged {damage}; what can be read of it is played with `netmidi play --force`",
            path.display()
        ))),
        _ => Ok(song),
    }
}

/// Reads a file as far as it can be read.
pub(crate) fn inspect(path: &Path) -> Result<Song, Failure> {
    let shown = path.display();
    let mut octets = Vec::new();
    let limit = song::MAX_FILE;
    let read = File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut octets));
    read.map_err(|error| {
        Failure::failed(format!(
            "cannot read {shown}: {error}; see that the name is right"
        ))
    })?;
    if octets.len() as u64 > limit {
        return Err(Failure::failed(format!(
            "{shown} is longer than {} MB; this is no Standard MIDI File that can be played",
            limit >> 20
        )));
    }
    Song::read(&octets)
        .map_err(|damage| Failure::failed(format!("{shown} cannot be played: {damage}")))
}

/// A time as people write it: `1:02.5` or seconds.
pub(crate) fn clock(time: Duration) -> String {
    let (seconds, millis) = (time.as_secs(), time.subsec_millis());
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}.{millis:03}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}.{millis:03}"),
    }
}

/// Reads `90`, `90.5`, `1:30.5` or `1:02:03`.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time; write seconds or minutes, such as 90.5 or 1:30.5");
    let mut parts = text.trim().rsplit(':');
    let seconds = parts.next().and_then(|it| it.parse::<f64>().ok());
    let mut total = seconds
        .filter(|it| (0.0..1e6).contains(it))
        .ok_or_else(wrong)?;
    let mut scale = 60.0;
    for part in parts {
        if scale > 3600.0 || total >= scale {
            return Err(wrong());
        }
        total += scale * f64::from(part.parse::<u16>().map_err(|_| wrong())?);
        scale *= 60.0;
    }
    Duration::try_from_secs_f64(total).map_err(|_| wrong())
}
