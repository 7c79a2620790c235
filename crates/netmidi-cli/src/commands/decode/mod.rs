//! `netmidi decode`: the network detective.
//!
//! A packet goes this way: out of the file as a frame (`capture`), out of the frame as a datagram of UDP
//! (`link`, `fragments`), if it is MIDI (`flow`) as a [`Captured`] payload that is read once
//! ([`Reading`]), and then to everybody who listens ([`Listener`]): the printer, the diagnosis.

mod capture;
mod describe;
mod diagnosis;
mod filter;
mod flow;
mod fragments;
mod hex;
mod link;
mod live;
mod packet;
mod print;
mod print_verbose;
mod problem;
mod replay;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use netmidi::PeerAddress;

use crate::console::Console;
use crate::failure::Failure;
use crate::stop::Stop as StopSignal;

use self::capture::{Capture, Damage, Frame, NoCapture, Step};
use self::diagnosis::Diagnosis;
use self::filter::{Filter, Peer, What};
use self::flow::Finder;
use self::fragments::Fragments;
use self::link::{Content, Link, Udp};
use self::live::Live;
use self::packet::{Captured, Reading};
use self::print::{Form, Printer};
use self::replay::{Collector, ReplayArgs};

/// Explain the MIDI packets of a network capture, and what went wrong in it.
///
/// FILE is a capture by Wireshark, dumpcap or tcpdump (pcap or pcapng). Session packets of AppleMIDI are
/// found on any port, RTP-MIDI between those who exchanged them; name the port with --port where the
/// capture has no session packets.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  netmidi decode trouble.pcap                    each MIDI packet on a line, and what went wrong
  netmidi decode --verbose --peer 192.0.2.7 trouble.pcapng
  netmidi decode --replay synth.local trouble.pcap   play what was captured to somebody
  netmidi decode --json --hex packets.txt        each line of hex digits as a JSON object")]
pub(crate) struct Decode {
    /// The capture; `-` or nothing is standard input.
    file: Option<PathBuf>,
    /// Read lines of hex digits instead of a capture: each the payload of one UDP packet.
    #[arg(long)]
    hex: bool,
    /// Print one JSON object a packet, and one a session, for programs.
    #[arg(long)]
    json: bool,
    /// Show every field, down to the chapters of the recovery journal.
    #[arg(long, short)]
    verbose: bool,
    /// Print only the diagnosis, no packets.
    #[arg(long, conflicts_with_all = ["no_diagnosis", "verbose", "hex"])]
    summary: bool,
    /// Print only packets, no diagnosis.
    #[arg(long)]
    no_diagnosis: bool,
    /// Take what goes from or to this control port, and the data port after it, for RTP-MIDI. Can be
    /// given several times.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Vec<u16>,
    /// Take every UDP packet for RTP-MIDI that is in order as such, on any port.
    #[arg(long)]
    all_udp: bool,
    /// Print only packets from or to this IP address, address and port, or SSRC (0x9316668e). Can be
    /// given several times.
    #[arg(long, value_name = "ADDRESS")]
    peer: Vec<Peer>,
    /// Print only packets of these kinds.
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    only: Vec<What>,
    #[command(flatten)]
    replay: ReplayArgs,
}

/// Who is told of every packet that belongs to MIDI, in the order of the capture.
pub(crate) trait Listener {
    fn packet(&mut self, captured: &Captured<'_>, reading: &Reading<'_>) -> Result<(), Failure>;
}

/// Damages of a file that are told one by one.
const DAMAGES_TOLD: u64 = 20;

impl Decode {
    pub(crate) fn run(&self, console: &Console) -> Result<(), Failure> {
        let summary = self.summary || self.replay.replay.is_some();
        let form = match (summary, self.json, self.verbose) {
            (true, ..) => Form::Silent,
            (_, true, verbose) => Form::Json { verbose },
            (_, _, true) => Form::Verbose,
            (_, _, false) => Form::Lines,
        };
        let filter = Filter {
            peers: self.peer.clone(),
            only: self.only.clone(),
        };
        let colour = !self.json
            && anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
        let to = Box::new(io::stdout());
        let mut printer = Printer::new(to, form, filter, !self.hex, colour);
        let input = Live::new(self.open()?)?;
        if self.hex {
            return self.hex(input, &mut printer);
        }
        let mut run = Run {
            finder: Finder::new(self.port.clone(), self.all_udp),
            fragments: Fragments::default(),
            diagnosis: (!self.no_diagnosis && self.replay.replay.is_none())
                .then(Diagnosis::default),
            replay: self
                .replay
                .replay
                .is_some()
                .then(|| Collector::new(self.replay.session)),
            printer,
            counts: Counts::default(),
        };
        if let Some(path) = self.path().filter(|path| path.is_file()) {
            run.learn(File::open(path).map_err(|error| self.cannot_open(&error))?);
        }
        run.capture(input)
            .map_err(|why| why.into_failure(&self.name()))?;
        if let (Some(collector), Some(to)) = (run.replay.take(), self.replay.replay.clone()) {
            return self.replay(collector, to, console);
        }
        run.end(self.json, console)
    }

    /// Plays what was collected to a peer.
    fn replay(
        &self,
        collector: Collector,
        to: PeerAddress,
        console: &Console,
    ) -> Result<(), Failure> {
        let part = collector.into_part()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::failed(format!("cannot replay: {error}")))?;
        runtime.block_on(async {
            let mut stop = StopSignal::listen()?;
            part.play(to, self.replay.speed, console, stop.wait()).await
        })
    }

    fn path(&self) -> Option<&Path> {
        self.file.as_deref().filter(|path| *path != Path::new("-"))
    }

    fn name(&self) -> String {
        match self.path() {
            Some(path) => path.display().to_string(),
            None => "standard input".to_owned(),
        }
    }

    fn open(&self) -> Result<Box<dyn Read + Send>, Failure> {
        let Some(path) = self.path() else {
            if self.file.is_none() && io::stdin().is_terminal() {
                return Err(Failure::usage(
                    "nothing to decode; name a capture file, or give one on standard input",
                ));
            }
            return Ok(Box::new(io::stdin()));
        };
        match File::open(path) {
            Ok(file) if !path.is_dir() => Ok(Box::new(file)),
            Ok(_) => Err(self.cannot_open(&io::ErrorKind::IsADirectory.into())),
            Err(error) => Err(self.cannot_open(&error)),
        }
    }

    fn cannot_open(&self, error: &io::Error) -> Failure {
        let hint = match error.kind() {
            io::ErrorKind::NotFound => "; see that the name is right",
            io::ErrorKind::PermissionDenied => {
                "; captures often belong to root: sudo chown $USER FILE"
            }
            io::ErrorKind::IsADirectory => "; name the file in it",
            _ => "",
        };
        Failure::failed(format!("cannot read {}: {error}{hint}", self.name()))
    }

    /// Each line is a payload.
    fn hex(&self, input: impl Read, printer: &mut Printer) -> Result<(), Failure> {
        let mut input = BufReader::with_capacity(1 << 18, input);
        let mut line = Vec::new();
        let mut octets = Vec::new();
        for number in 1.. {
            if input.buffer().is_empty() {
                // Nobody waits for lines that have been decoded, while we wait for more.
                printer.flush()?;
            }
            line.clear();
            match read_line(&mut input, &mut line) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    printer.flush()?;
                    eprintln!(
                        "netmidi: cannot read {}, line {number}: {error}",
                        self.name()
                    );
                    break;
                }
            }
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            let result = match text.len() {
                ..MAX_LINE => hex::read(text, &mut octets),
                _ => Err(hex::BadHex::Long),
            };
            match result {
                Ok(()) => {
                    let captured = Captured {
                        number,
                        time: None,
                        from: None,
                        to: None,
                        payload: &octets,
                        missing: 0,
                    };
                    printer.packet(&captured, &Reading::of(&octets))?;
                }
                Err(why) => {
                    let sentence = format!("line {number} is not hex digits: {why}");
                    printer.no_packet(&sentence)?;
                    printer.flush()?;
                    eprintln!("netmidi: {sentence}");
                }
            }
        }
        printer.flush()
    }
}

/// Octets of a line of hex digits: more than the largest UDP payload takes with spaces.
const MAX_LINE: usize = 1 << 20;

/// Reads a line, of which no more than [`MAX_LINE`] octets are kept. 0 at the end.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    let mut read = 0;
    loop {
        let octets = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            octets => octets?,
        };
        let end = octets.iter().position(|&octet| octet == b'\n');
        let taken = end.map_or(octets.len(), |end| end + 1);
        let room = MAX_LINE.saturating_sub(line.len());
        line.extend(octets.iter().take(taken.min(room)));
        read += taken;
        input.consume(taken);
        if taken == 0 || end.is_some() {
            return Ok(read);
        }
    }
}

/// Going through a capture.
struct Run {
    finder: Finder,
    fragments: Fragments,
    diagnosis: Option<Diagnosis>,
    replay: Option<Collector>,
    printer: Printer,
    counts: Counts,
}

/// What a capture held.
#[derive(Debug, Default)]
struct Counts {
    frames: u64,
    session: u64,
    rtp: u64,
    malformed: u64,
    damages: u64,
    /// Frames of a kind that is not read, and the number of that kind.
    foreign_link: u64,
    link: Option<u32>,
}

/// Why a capture was not read to its end.
#[derive(Debug)]
enum Stop {
    NoCapture(NoCapture),
    Input(io::Error),
    Failure(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl Stop {
    fn into_failure(self, name: &str) -> Failure {
        let why = match self {
            Self::Failure(failure) => return failure,
            Self::Input(error) => {
                return Failure::failed(format!("cannot read {name}: {error}"));
            }
            Self::NoCapture(NoCapture::Empty) => {
                "it is empty; see that the capture was not stopped before its first packet"
            }
            Self::NoCapture(NoCapture::Compressed) => "it is compressed; unpack it first",
            Self::NoCapture(NoCapture::Unknown) => {
                "give a pcap or pcapng file, as Wireshark, dumpcap and tcpdump -w write them, or use --hex for lines of hex digits"
            }
        };
        Failure::failed(format!("{name} is no capture: {why}"))
    }
}

impl Run {
    /// Goes through a file once for who talks to whom, so that the packets before the first session
    /// packet are found, too.
    fn learn(&mut self, file: File) {
        let mut capture = Capture::new(file);
        loop {
            match capture.step() {
                Ok(Step::More) => {
                    // An error is told when the file is read for good.
                    let _ = capture.fill();
                }
                Ok(Step::Frame(frame)) => {
                    if let Content::Udp(udp) = frame.link.content(capture.octets(&frame)) {
                        self.finder.learn(&udp);
                    }
                }
                Ok(Step::Damage(_)) => {}
                Ok(Step::End) | Err(_) => return,
            }
        }
    }

    fn capture(&mut self, input: impl Read) -> Result<(), Stop> {
        let mut capture = Capture::new(input);
        loop {
            match capture.step().map_err(Stop::NoCapture)? {
                Step::More => {
                    self.printer.flush()?;
                    if let Err(error) = capture.fill() {
                        if self.counts.frames == 0 {
                            return Err(Stop::Input(error));
                        }
                        let frames = self.counts.frames;
                        eprintln!("netmidi: cannot read on behind frame {frames}: {error}");
                    }
                }
                Step::Frame(frame) => self.frame(&frame, capture.octets(&frame))?,
                Step::Damage(damage) => self.damage(&damage)?,
                Step::End => return Ok(()),
            }
        }
    }

    fn frame(&mut self, frame: &Frame, octets: &[u8]) -> Result<(), Failure> {
        self.counts.frames += 1;
        self.printer.begin(frame.time);
        match frame.link.content(octets) {
            Content::Udp(udp) => self.datagram(frame.number, frame.time, &udp),
            Content::Fragment(fragment) => {
                let mut fragments = std::mem::take(&mut self.fragments);
                let whole = fragments.add(frame.time, &fragment);
                let udp = whole.and_then(|octets| Udp::whole(&fragment.key, octets));
                let done = match udp {
                    Some(udp) => self.datagram(frame.number, frame.time, &udp),
                    None => Ok(()),
                };
                self.fragments = fragments;
                done
            }
            Content::Other => {
                if let Link::Other(number) = frame.link {
                    self.counts.foreign_link += 1;
                    self.counts.link = Some(number);
                }
                Ok(())
            }
        }
    }

    fn datagram(
        &mut self,
        number: u64,
        time: Option<Duration>,
        udp: &Udp<'_>,
    ) -> Result<(), Failure> {
        let Some(reading) = self.finder.read(udp) else {
            return Ok(());
        };
        let captured = Captured {
            number,
            time,
            from: Some(udp.from),
            to: Some(udp.to),
            payload: udp.payload,
            missing: udp.missing,
        };
        match reading {
            Reading::AppleMidi(_) => self.counts.session += 1,
            Reading::Rtp(_) => self.counts.rtp += 1,
        }
        if problem::Problem::of(&reading).is_some() {
            self.counts.malformed += 1;
        }
        self.printer.packet(&captured, &reading)?;
        if let Some(replay) = &mut self.replay {
            replay.packet(&captured, &reading)?;
        }
        match &mut self.diagnosis {
            Some(diagnosis) => diagnosis.packet(&captured, &reading),
            None => Ok(()),
        }
    }

    fn damage(&mut self, damage: &Damage) -> Result<(), Failure> {
        self.counts.damages += 1;
        // What comes before it is to be seen before it.
        self.printer.flush()?;
        if self.counts.damages <= DAMAGES_TOLD {
            eprintln!("netmidi: {damage}");
        }
        Ok(())
    }

    /// What is said behind the packets.
    fn end(&mut self, json: bool, console: &Console) -> Result<(), Failure> {
        if let Some(more) = self.counts.damages.checked_sub(DAMAGES_TOLD + 1) {
            self.printer.flush()?;
            eprintln!("netmidi: the file is damaged at {} more places", more + 1);
        }
        if let Some(diagnosis) = &self.diagnosis {
            match json {
                true => diagnosis.write_json(self.printer.output())?,
                false => diagnosis.write_plain(self.printer.output())?,
            }
        }
        let summary = self.counts.sentence(self.fragments.unfinished());
        if json {
            self.printer.flush()?;
            console.note(&summary);
            return Ok(());
        }
        writeln!(self.printer.output(), "{summary}")?;
        self.printer.flush()
    }
}

impl Counts {
    fn sentence(&self, fragments: u64) -> String {
        let Self {
            frames,
            session,
            rtp,
            malformed,
            ..
        } = self;
        let midi = session + rtp;
        let others = frames.saturating_sub(midi);
        let mut text = format!(
            "{frames} frames: {session} session packets, {rtp} RTP packets, {others} others"
        );
        let mut add = |more: String| {
            text.push_str("; ");
            text.push_str(&more);
        };
        if *malformed > 0 {
            add(format!("{malformed} are malformed"));
        }
        if fragments > 0 {
            add(format!(
                "of {fragments} packets that came in pieces not all pieces are there"
            ));
        }
        if let Some(link) = self.link {
            let frames = self.foreign_link;
            add(format!(
                "{frames} frames are of link type {link}, which is not read: capture on Ethernet, or on the interface `any` of Linux"
            ));
        }
        if midi == 0 && *frames > 0 {
            add("no MIDI: if the capture has no session packets, name the control port, for example --port 5004".to_owned());
        }
        text
    }
}
