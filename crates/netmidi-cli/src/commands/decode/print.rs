//! What is printed of each packet: an object for programs, or a line for people.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use netmidi_journal::Journal;
use netmidi_wire::{
    Command, CommandSection, Control, ExchangeKind, SegmentKind, SeqNum, Ssrc, SysExSegment,
};

use super::Listener;
use super::describe::{Described, segment_word};
use super::filter::Filter;
use super::packet::{Captured, Reading, Rtp};
use super::print_verbose;
use super::problem::{Kind, Problem};
use crate::failure::Failure;
use crate::text::tame;

/// Printed octets are handed on when so many have come together.
const FULL: usize = 1 << 16;
/// Streams whose sequence numbers are followed for the notes on lost packets.
const MAX_STREAMS: usize = 4_096;
/// Data octets of a system exclusive message that a line shows.
const SYSEX_SHOWN: usize = 16;

/// How packets are printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Form {
    /// Nothing.
    Silent,
    /// One line for people.
    Lines,
    /// Down to every field.
    Verbose,
    /// One object for programs; with what is whole of damaged journals.
    Json { verbose: bool },
}

/// Prints packets.
pub(crate) struct Printer {
    /// Standard output, but for tests.
    to: Box<dyn Write>,
    form: Form,
    filter: Filter,
    /// Whether the packets come from a capture: then they have frames.
    framed: bool,
    colour: bool,
    /// When the capture began.
    begin: Option<Duration>,
    /// Of the widest addresses so far.
    width: usize,
    streams: HashMap<(Option<SocketAddr>, Option<SocketAddr>, Ssrc), SeqNum>,
    /// Text of one line while it is made.
    line: String,
    out: Vec<u8>,
}

impl Printer {
    pub(crate) fn new(
        to: Box<dyn Write>,
        form: Form,
        filter: Filter,
        framed: bool,
        colour: bool,
    ) -> Self {
        Self {
            to,
            form,
            filter,
            framed,
            colour,
            begin: None,
            width: 0,
            streams: HashMap::new(),
            line: String::new(),
            out: Vec::new(),
        }
    }

    /// Times count from here.
    pub(crate) fn begin(&mut self, time: Option<Duration>) {
        self.begin = self.begin.or(time);
    }

    /// Hands on what was printed.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.to.write_all(&self.out)?;
        self.out.clear();
        self.to.flush()?;
        Ok(())
    }

    /// A line of the input that is no packet, so that lines of the output stay those of the input.
    pub(crate) fn no_packet(&mut self, message: &str) -> Result<(), Failure> {
        if let Form::Json { .. } = self.form {
            let object = serde_json::json!({
                "error": { "layer": "input", "code": "bad-hex", "message": message }
            });
            serde_json::to_writer(&mut self.out, &object).map_err(io::Error::from)?;
            self.out.push(b'\n');
        }
        Ok(())
    }

    /// What comes after the packets.
    pub(crate) fn output(&mut self) -> &mut dyn Write {
        &mut self.out
    }

    fn object(
        &mut self,
        captured: &Captured<'_>,
        reading: &Reading<'_>,
        verbose: bool,
    ) -> io::Result<()> {
        let described = Described {
            captured,
            reading,
            framed: self.framed,
            verbose,
        };
        serde_json::to_writer(&mut self.out, &described)?;
        self.out.push(b'\n');
        Ok(())
    }

    /// Writes a line; writing to a String does not fail.
    fn line(&mut self, captured: &Captured<'_>, reading: &Reading<'_>) -> fmt::Result {
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        let (dim, end) = self.style(Style::new().dimmed());
        write!(line, "{dim}{:>6}{end}", captured.number)?;
        if let Some(time) = captured.time {
            let (sign, since) = match self.begin {
                Some(begin) if time < begin => ("-", begin - time),
                Some(begin) => ("", time - begin),
                None => ("", time),
            };
            let width = 5 - sign.len();
            let (seconds, micros) = (since.as_secs(), since.subsec_micros());
            write!(line, " {sign}{seconds:>width$}.{micros:06}")?;
        }
        if let (Some(from), Some(to)) = (captured.from, captured.to) {
            line.push_str("  ");
            let start = line.len();
            write!(line, "{from} > {to}")?;
            let len = line.len() - start;
            self.width = self.width.max(len);
            line.extend(std::iter::repeat_n(' ', self.width - len));
        }
        line.push_str("  ");
        match reading {
            Reading::AppleMidi(Ok(control)) => self.control(&mut line, control)?,
            Reading::AppleMidi(Err(_)) => self.word(&mut line, "???", AnsiColor::Red)?,
            Reading::Rtp(Ok(rtp)) => self.rtp(&mut line, captured, rtp)?,
            Reading::Rtp(Err(_)) => self.word(&mut line, "RTP", AnsiColor::Red)?,
        }
        if let Some(problem) = Problem::of(reading) {
            self.problem(&mut line, &problem)?;
        }
        if captured.missing > 0 {
            write!(
                line,
                "  ({} octets are not in the capture)",
                captured.missing
            )?;
        }
        line.push('\n');
        if self.form == Form::Verbose {
            print_verbose::packet(&mut line, reading)?;
        }
        self.out.extend_from_slice(line.as_bytes());
        self.line = line;
        Ok(())
    }

    fn control(&self, line: &mut String, control: &Control<'_>) -> fmt::Result {
        match control {
            Control::Exchange(it) => {
                let (word, colour) = match it.kind {
                    ExchangeKind::Invitation => ("IN ", AnsiColor::Cyan),
                    ExchangeKind::Accepted => ("OK ", AnsiColor::Green),
                    ExchangeKind::Rejected => ("NO ", AnsiColor::Red),
                    ExchangeKind::End => ("BY ", AnsiColor::Yellow),
                };
                self.word(line, word, colour)?;
                let what = match it.kind {
                    ExchangeKind::Invitation => "invitation",
                    ExchangeKind::Accepted => "accepted",
                    ExchangeKind::Rejected => "refused",
                    ExchangeKind::End => "end of the session",
                };
                write!(line, " {what}")?;
                if let Some(name) = it.name {
                    write!(line, " by {:?}", tame(&name.to_string()))?;
                }
                write!(line, ", ssrc {}, token {}", it.ssrc, it.token)
            }
            Control::Clock(it) => {
                let (word, shown) = match it.count as u8 {
                    0 => ("CK0", 1),
                    1 => ("CK1", 2),
                    _ => ("CK2", 3),
                };
                self.word(line, word, AnsiColor::Blue)?;
                write!(line, " clocks")?;
                for time in it.timestamps.iter().take(shown) {
                    write!(line, " {}", time.0)?;
                }
                write!(line, ", ssrc {}", it.ssrc)
            }
            Control::Feedback(it) => {
                self.word(line, "RS ", AnsiColor::Blue)?;
                write!(line, " received up to #{}, ssrc {}", it.seq.0, it.ssrc)
            }
            Control::BitrateLimit(it) => {
                self.word(line, "RL ", AnsiColor::Blue)?;
                let bits = it.bits_per_second;
                write!(line, " at most {bits} bit/s, ssrc {}", it.ssrc)
            }
        }
    }

    fn rtp(&mut self, line: &mut String, captured: &Captured<'_>, rtp: &Rtp<'_>) -> fmt::Result {
        let header = rtp.packet.header();
        self.word(line, "RTP", AnsiColor::White)?;
        write!(line, " #{:<5} ", header.seq.0)?;
        if let Ok(section) = &rtp.section {
            commands(line, section)?;
        }
        if let Some(Ok(salvaged)) = &rtp.journal {
            let (dim, end) = self.style(Style::new().dimmed());
            write!(line, "  {dim}[")?;
            journal(line, &salvaged.journal)?;
            write!(line, "]{end}")?;
        }
        let note = self.sequence(captured, header.ssrc, header.seq);
        if let Some(note) = note {
            let (style, end) = self.style(AnsiColor::Yellow.on_default());
            write!(line, "  {style}({note}){end}")?;
        }
        Ok(())
    }

    /// What is odd about the number of a packet.
    fn sequence(&mut self, captured: &Captured<'_>, ssrc: Ssrc, seq: SeqNum) -> Option<String> {
        let key = (captured.from, captured.to, ssrc);
        let full = self.streams.len() >= MAX_STREAMS;
        let last = match self.streams.get_mut(&key) {
            Some(last) => last,
            None if full => return None,
            None => {
                self.streams.insert(key, seq);
                return None;
            }
        };
        match seq.0.wrapping_sub(last.0).cast_signed() {
            0 => Some("repeated".to_owned()),
            1 => {
                *last = seq;
                None
            }
            ahead @ 2.. => {
                *last = seq;
                let lost = ahead - 1;
                let s = if lost == 1 { "" } else { "s" };
                Some(format!("{lost} packet{s} missing before it"))
            }
            _ => Some("late or repeated".to_owned()),
        }
    }

    fn problem(&self, line: &mut String, problem: &Problem) -> fmt::Result {
        let (style, end) = self.style(AnsiColor::Red.on_default().bold());
        match problem.kind {
            Kind::Packet(error) => write!(line, "  {style}malformed: {error}{end}"),
            Kind::Journal(error) => {
                let start = problem.offset.saturating_sub(error.offset());
                let begins = format_args!("malformed journal, which begins at byte {start}");
                write!(line, "  {style}{begins}: {error}{end}")
            }
        }
    }

    fn word(&self, line: &mut String, word: &str, colour: AnsiColor) -> fmt::Result {
        let (style, end) = self.style(colour.on_default().bold());
        write!(line, "{style}{word}{end}")
    }

    /// A style and its end; nothing where there are no colours.
    fn style(&self, style: Style) -> (Style, Style) {
        match self.colour {
            true => (style, style),
            false => (Style::new(), Style::new()),
        }
    }
}

impl Listener for Printer {
    fn packet(&mut self, captured: &Captured<'_>, reading: &Reading<'_>) -> Result<(), Failure> {
        if self.form == Form::Silent || !self.filter.shows(captured, reading) {
            return Ok(());
        }
        match self.form {
            Form::Json { verbose } => self.object(captured, reading, verbose)?,
            // Writing to a String does not fail.
            _ => self.line(captured, reading).unwrap_or_default(),
        }
        if self.out.len() >= FULL {
            self.flush()?;
        }
        Ok(())
    }
}

fn commands(line: &mut String, section: &CommandSection<'_>) -> fmt::Result {
    let mut first = true;
    for it in section.commands() {
        if !first {
            line.push_str("; ");
        }
        first = false;
        match (it.delta.get(), &it.command) {
            (0, _) => {}
            (delta, Some(_)) => write!(line, "+{delta} ")?,
            (delta, None) => write!(line, "+{delta}")?,
        }
        match it.command {
            None => {}
            Some(Command::Message(message)) => write!(line, "{message}")?,
            Some(Command::SysEx(segment)) => sysex(line, &segment, SYSEX_SHOWN)?,
        }
    }
    if first {
        line.push_str("no commands");
    }
    Ok(())
}

/// A segment with up to so many of its data octets.
pub(super) fn sysex(line: &mut String, segment: &SysExSegment<'_>, shown: usize) -> fmt::Result {
    line.push_str("sysex");
    if segment.kind() != SegmentKind::Whole {
        write!(line, " {}", segment_word(segment.kind()))?;
    }
    let data = segment.data();
    line.push_str(" data=(");
    for (index, octet) in data.iter().take(shown).enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(line, "{comma}{octet}")?;
    }
    match data.len() {
        len if len > shown => write!(line, ",… {len} octets)"),
        _ => line.write_char(')'),
    }
}

fn journal(line: &mut String, journal: &Journal<'_>) -> fmt::Result {
    write!(line, "journal since #{}", journal.checkpoint().0)?;
    let mut separator = ": ";
    if let Some(system) = journal.system() {
        write!(line, "{separator}system ")?;
        line.extend(system.toc().map(|chapter| chapter.letter()));
        separator = ", ";
    }
    for channel in journal.channels() {
        write!(line, "{separator}ch {} ", channel.channel.index())?;
        line.extend(channel.toc().map(|chapter| chapter.letter()));
        separator = ", ";
    }
    if journal.is_empty() {
        line.push_str(": nothing");
    }
    Ok(())
}
