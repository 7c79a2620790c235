//! A recording on its way to the disk.
//!
//! While it lasts there is `NAME.mid.part`: pieces of tracks one behind the other, each a track of its
//! own, counted in the head of the file after it was written. It is a whole Standard MIDI File all
//! the time, so whoever finds one after a power cut renames it and has the recording. At the end the
//! pieces are put together, and the whole file appears under its name at once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use midly::{EventIter, Format, MetaMessage, TrackEventKind};
use netmidi::message::MessageBuf;

use super::recorder::{MAX_TRACKS, Piece, Ticks, write_event, write_events};
use super::song::message_of;

/// The head of a file.
const HEAD: u64 = 14;
/// Where in it the number of tracks stands.
const COUNT: u64 = 10;
/// The head of a track.
const TRACK_HEAD: usize = 8;
/// The most pieces: one for the tempo and so many, as many as a file can count.
const MAX_PIECES: usize = u16::MAX as usize - 1;
/// From so many pieces on they are made longer, so that there is room for days.
const MANY_PIECES: usize = 8_192;
/// How long they are then, in events.
const LONG_PIECE: usize = 4_096;
/// Events that are put together at a time.
const BATCH: usize = 4_096;

/// What file it becomes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Form {
    /// Format 0: one track of all.
    Single,
    /// Format 1: a track for each.
    Tracks,
}

/// A recording that is being written.
#[derive(Debug)]
pub(crate) struct Tape {
    path: PathBuf,
    part: PathBuf,
    file: File,
    ticks: Ticks,
    force: bool,
    /// Where the next piece goes.
    end: u64,
    pieces: Vec<Place>,
    /// What waits to become a longer piece.
    waiting: Vec<Piece>,
}

/// Where a piece is.
#[derive(Clone, Copy, Debug)]
struct Place {
    track: u16,
    begin: u64,
    octets: u32,
}

impl Tape {
    /// Begins a recording that becomes the file `path`.
    ///
    /// # Errors
    /// When there is such a file and it is not to be replaced, when there is the rest of an earlier
    /// recording, or it cannot be written. The sentence says what to do.
    pub(crate) fn create(path: &Path, ticks: Ticks, force: bool) -> Result<Self, String> {
        let shown = path.display();
        if !force && path.try_exists().unwrap_or(true) {
            return Err(format!(
                "{shown} is there already; choose another name, or replace it with --force"
            ));
        }
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&part);
        let file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => format!(
                "{} is there: a recording that goes on, or one that was cut off; rename it to .mid \
                 to keep it, or delete it",
                part.display()
            ),
            _ => format!("cannot write {}: {error}", part.display()),
        })?;
        let mut tape = Self {
            path: path.to_owned(),
            part,
            file,
            ticks,
            force,
            end: HEAD,
            pieces: Vec::new(),
            waiting: Vec::new(),
        };
        match tape.begin() {
            Ok(()) => Ok(tape),
            Err(error) => {
                let sentence = format!("cannot write {}: {error}", tape.part.display());
                // Nothing is in it.
                let _ = fs::remove_file(&tape.part);
                Err(sentence)
            }
        }
    }

    /// Where the recording is until it is finished.
    pub(crate) fn part(&self) -> &Path {
        &self.part
    }

    fn begin(&mut self) -> io::Result<()> {
        let mut octets = Vec::new();
        let none = std::iter::empty::<std::slice::Iter<'_, midly::TrackEvent<'_>>>();
        let header = self.ticks.header(Format::Parallel);
        midly::write_std(&header, none, &mut octets)?;
        let mut track = Vec::new();
        for kind in self.ticks.opening() {
            write_event(self.ticks, 0, kind, &mut track)?;
        }
        end_track(self.ticks, &mut track)?;
        push_track(&track, &mut octets)?;
        self.file.write_all(&octets)?;
        self.end = octets.len() as u64;
        self.count(1)
    }

    /// So many tracks are whole: on the disk before they are counted, and counted there before this
    /// returns.
    fn count(&mut self, tracks: usize) -> io::Result<()> {
        self.file.sync_data()?;
        self.file.seek(SeekFrom::Start(COUNT))?;
        let tracks = u16::try_from(tracks).unwrap_or(u16::MAX);
        self.file.write_all(&tracks.to_be_bytes())?;
        self.file.sync_data()
    }

    /// Writes pieces down; they are on the disk afterwards.
    ///
    /// # Errors
    /// When the disk is full or gone. What was written before is still whole.
    pub(crate) fn write(&mut self, pieces: Vec<Piece>, names: &[String]) -> io::Result<()> {
        self.waiting.extend(pieces);
        let waiting: usize = self.waiting.iter().map(|piece| piece.events.len()).sum();
        if self.waiting.is_empty() || self.pieces.len() > MANY_PIECES && waiting < LONG_PIECE {
            return Ok(());
        }
        self.flush(names)
    }

    fn flush(&mut self, names: &[String]) -> io::Result<()> {
        let mut waiting = std::mem::take(&mut self.waiting);
        // Those of one track become one piece.
        waiting.sort_by_key(|piece| piece.track);
        let mut octets = Vec::new();
        let mut places = Vec::new();
        let mut pieces = waiting.into_iter().peekable();
        while let Some(Piece { track, mut events }) = pieces.next() {
            while let Some(more) = pieces.next_if(|next| next.track == track) {
                events.extend(more.events);
            }
            let mut body = Vec::new();
            let name = names.get(track).map_or("", String::as_str);
            write_name(self.ticks, name, &mut body)?;
            write_events(self.ticks, 0, &events, &mut body)?;
            end_track(self.ticks, &mut body)?;
            let begin = self.end + octets.len() as u64 + TRACK_HEAD as u64;
            push_track(&body, &mut octets)?;
            places.push(Place {
                track: u16::try_from(track).unwrap_or(u16::MAX),
                begin,
                octets: u32::try_from(body.len()).unwrap_or(u32::MAX),
            });
        }
        if self.pieces.len() + places.len() > MAX_PIECES {
            return Err(io::Error::other("the recording has become too long"));
        }
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(&octets)?;
        self.end += octets.len() as u64;
        self.pieces.extend(places);
        self.count(1 + self.pieces.len())
    }

    /// Puts the pieces together, and gives the file its name. Returns how long it is.
    ///
    /// # Errors
    /// When it cannot be written; the recording is in [`part`](Self::part) then.
    pub(crate) fn finish(
        mut self,
        form: Form,
        names: &[String],
        length: Duration,
    ) -> Result<u64, String> {
        let kept = format!("the recording is kept in {}", self.part.display());
        let done = self.flush(names).and_then(|()| self.assemble(form, names));
        let made = done.map_err(|error| {
            format!(
                "cannot write {}: {error}; {kept}, rename it to .mid",
                self.path.display()
            )
        })?;
        tracing::debug!(?length, pieces = self.pieces.len(), "put together");
        let octets = made.as_file().metadata().map_or(0, |it| it.len());
        let named = match self.force {
            true => made.persist(&self.path).map_err(|error| error.error),
            false => made
                .persist_noclobber(&self.path)
                .map_err(|error| error.error),
        };
        named.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => format!(
                "{} has appeared in the meantime; {kept}, rename it to .mid",
                self.path.display()
            ),
            _ => format!("cannot write {}: {error}; {kept}", self.path.display()),
        })?;
        sync_folder(&self.path);
        // The name is there; what is left over does no harm.
        let _ = fs::remove_file(&self.part);
        Ok(octets)
    }

    fn assemble(&self, form: Form, names: &[String]) -> io::Result<tempfile::NamedTempFile> {
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        // As any other file that is written, not as a secret.
        #[cfg(unix)]
        builder.permissions(self.file.metadata()?.permissions());
        let made = builder.prefix(".netmidi-").tempfile_in(folder)?;
        let mut out = BufWriter::new(made.as_file());
        let tracks: Vec<usize> = (0..names.len().min(MAX_TRACKS)).collect();
        let (format, groups): (_, Vec<&[usize]>) = match form {
            Form::Single => (Format::SingleTrack, vec![&tracks]),
            Form::Tracks => (Format::Parallel, tracks.chunks(1).collect()),
        };
        let count = match form {
            Form::Single => 1,
            Form::Tracks => 1 + groups.len(),
        };
        let mut head = Vec::new();
        let none = std::iter::empty::<std::slice::Iter<'_, midly::TrackEvent<'_>>>();
        midly::write_std(&self.ticks.header(format), none, &mut head)?;
        let count = u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes();
        let at = usize::try_from(COUNT).unwrap_or(0);
        if let Some(field) = head.get_mut(at..at + count.len()) {
            field.copy_from_slice(&count);
        }
        let mut opening = Vec::new();
        for kind in self.ticks.opening() {
            write_event(self.ticks, 0, kind, &mut opening)?;
        }
        out.write_all(&head)?;
        if form == Form::Tracks {
            end_track(self.ticks, &mut opening)?;
            let mut track = Vec::new();
            push_track(&opening, &mut track)?;
            out.write_all(&track)?;
            opening.clear();
        }
        for group in groups {
            let begin = out.stream_position()?;
            out.write_all(b"MTrk\0\0\0\0")?;
            let mut body = std::mem::take(&mut opening);
            if let ([track], Form::Tracks) = (group, form) {
                let name = names.get(*track).map_or("", String::as_str);
                write_name(self.ticks, name, &mut body)?;
            }
            let mut last = 0;
            let mut merge = Merge::new(self, group)?;
            loop {
                let events = merge.next(BATCH)?;
                let is_last = events.is_empty();
                last = write_events(self.ticks, last, &events, &mut body)?;
                if is_last {
                    end_track(self.ticks, &mut body)?;
                }
                out.write_all(&body)?;
                body.clear();
                if is_last {
                    break;
                }
            }
            let end = out.stream_position()?;
            let octets = u32::try_from(end - begin - TRACK_HEAD as u64)
                .map_err(|_| io::Error::other("a track is longer than 4 GB"))?;
            out.seek(SeekFrom::Start(begin + 4))?;
            out.write_all(&octets.to_be_bytes())?;
            out.seek(SeekFrom::Start(end))?;
        }
        out.flush()?;
        drop(out);
        made.as_file().sync_all()?;
        Ok(made)
    }

    /// The events of a piece.
    fn read(&self, place: Place) -> io::Result<Vec<(u64, MessageBuf)>> {
        let mut octets = vec![0; usize::try_from(place.octets).unwrap_or(0)];
        let mut file = &self.file;
        file.seek(SeekFrom::Start(place.begin))?;
        file.read_exact(&mut octets)?;
        let mut tick = 0;
        let mut events = Vec::new();
        for event in EventIter::new(&octets) {
            let event = event.map_err(io::Error::other)?;
            tick += u64::from(event.delta.as_int());
            events.extend(message_of(&event.kind).map(|message| (tick, message)));
        }
        Ok(events)
    }
}

/// The events of some tracks in one order, with one piece of each in memory.
struct Merge<'a> {
    tape: &'a Tape,
    lanes: Vec<Lane>,
}

/// What is left of a track.
struct Lane {
    track: usize,
    /// The number of its next piece.
    next: usize,
    events: std::iter::Peekable<std::vec::IntoIter<(u64, MessageBuf)>>,
}

impl<'a> Merge<'a> {
    fn new(tape: &'a Tape, tracks: &[usize]) -> io::Result<Self> {
        let lanes = tracks.iter().map(|track| Lane {
            track: *track,
            next: 0,
            events: Vec::new().into_iter().peekable(),
        });
        let mut merge = Self {
            tape,
            lanes: lanes.collect(),
        };
        for lane in &mut merge.lanes {
            lane.fill(tape)?;
        }
        Ok(merge)
    }

    /// Up to so many events; none at the end.
    fn next(&mut self, count: usize) -> io::Result<Vec<(u64, MessageBuf)>> {
        let mut events = Vec::with_capacity(count);
        while events.len() < count {
            let tick = |lane: &mut Lane| lane.events.peek().map(|(tick, _)| *tick);
            let lanes = self.lanes.iter_mut().enumerate();
            let first = lanes.filter_map(|(place, lane)| Some((tick(lane)?, place)));
            let Some((_, place)) = first.min() else {
                break;
            };
            if let Some(lane) = self.lanes.get_mut(place) {
                events.extend(lane.events.next());
                lane.fill(self.tape)?;
            }
        }
        Ok(events)
    }
}

impl Lane {
    /// Sees to it that the next event is there, if there is one.
    fn fill(&mut self, tape: &Tape) -> io::Result<()> {
        while self.events.peek().is_none() {
            let mut rest = tape.pieces.iter().enumerate().skip(self.next);
            let Some((number, place)) = rest.find(|it| usize::from(it.1.track) == self.track)
            else {
                self.next = usize::MAX;
                return Ok(());
            };
            self.next = number + 1;
            self.events = tape.read(*place)?.into_iter().peekable();
        }
        Ok(())
    }
}

fn write_name(ticks: Ticks, name: &str, out: &mut Vec<u8>) -> io::Result<()> {
    let name = MetaMessage::TrackName(name.as_bytes());
    write_event(ticks, 0, TrackEventKind::Meta(name), out)
}

fn end_track(ticks: Ticks, out: &mut Vec<u8>) -> io::Result<()> {
    write_event(ticks, 0, TrackEventKind::Meta(MetaMessage::EndOfTrack), out)
}

fn push_track(body: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let octets = u32::try_from(body.len()).map_err(io::Error::other)?;
    out.extend_from_slice(b"MTrk");
    out.extend_from_slice(&octets.to_be_bytes());
    out.extend_from_slice(body);
    Ok(())
}

/// The new name is on the disk as well.
fn sync_folder(path: &Path) {
    #[cfg(unix)]
    {
        let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
        if let Ok(folder) = File::open(folder.unwrap_or(Path::new("."))) {
            // The file is there in any case.
            let _ = folder.sync_all();
        }
    }
    #[cfg(not(unix))]
    let _ = path;
}
