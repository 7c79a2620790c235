//! Runs tshark on a capture and reads what it shows of each packet, while it goes on.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::fields::{Field, Value};
use crate::pcap;

/// What tshark shows of one packet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    /// The fields of the journal, without those that only group others and those of no octets.
    pub(crate) fields: Vec<ShownField>,
    /// Whether it knows the packet as RTP-MIDI.
    pub(crate) known: bool,
    /// Whether it finds anything wrong with the packet.
    pub(crate) complaint: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct ShownField {
    pub(crate) name: String,
    /// The octet of the frame with which it begins.
    pub(crate) pos: usize,
    /// Hexadecimal: of numbers the digits that are needed, of octets all.
    pub(crate) value: String,
}

impl ShownField {
    pub(crate) fn is(&self, field: &Field) -> bool {
        let value = match &field.value {
            Value::Number(number) => u32::from_str_radix(&self.value, 16) == Ok(*number),
            Value::Octets(octets) => self.value == netmidi_testkit::to_hex(octets),
        };
        value && self.name == field.name && self.pos == pcap::HEADERS + RTP_HEADER + field.at
    }
}

/// Octets of the RTP header; fields are counted from behind it.
pub(crate) const RTP_HEADER: usize = 12;

/// The version of tshark, or `None` if there is none.
pub(crate) fn version() -> Option<String> {
    let output = Command::new("tshark").arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next()?;
    Some(line.split(" (").take(2).collect::<Vec<_>>().join(" ("))
}

/// Hands over what tshark shows of each packet of the capture, in order. Returns how many octets it
/// wrote.
pub(crate) fn read(capture: &Path, mut each: impl FnMut(Shown)) -> usize {
    let log = capture.with_extension("log");
    let last = pcap::FIRST_PORT + pcap::PORTS - 1;
    let mut tshark = Command::new("tshark")
        .arg("-r")
        .arg(capture)
        // No names of hosts, and no invitation needed to know what the ports carry.
        .args(["-n", "-d"])
        .arg(format!("udp.port=={}-{last},rtp", pcap::FIRST_PORT))
        .args(["-d", "rtp.pt==97,rtpmidi"])
        .args(["-T", "pdml", "-J", "rtpmidi _ws.malformed"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(&log).unwrap())
        .spawn()
        .expect("tshark starts");
    let mut lines = BufReader::with_capacity(1 << 16, tshark.stdout.take().expect("its output"));
    let mut total = 0;
    let mut line = String::new();
    let mut reader = Reader::default();
    loop {
        line.clear();
        let read = lines.read_line(&mut line).expect("text");
        if read == 0 {
            break;
        }
        total += read;
        if let Some(shown) = reader.line(&line) {
            each(shown);
        }
    }
    let status = tshark.wait().expect("tshark ends");
    assert!(
        status.success(),
        "tshark ended with {status}: {}",
        fs::read_to_string(log).unwrap_or_default()
    );
    total
}

/// Reads tshark's packet description, which has one element a line.
#[derive(Debug, Default)]
struct Reader {
    shown: Shown,
    place: Place,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Place {
    #[default]
    Elsewhere,
    /// In RTP-MIDI, in front of the journal.
    Commands,
    /// The journal is the last thing in RTP-MIDI.
    Journal,
}

impl Reader {
    fn line(&mut self, line: &str) -> Option<Shown> {
        let line = line.trim();
        if line == "</packet>" {
            self.place = Place::Elsewhere;
            return Some(core::mem::take(&mut self.shown));
        }
        if line == "</proto>" {
            self.place = Place::Elsewhere;
        }
        let name = attribute(line, " name=\"")?;
        if name.starts_with("_ws.") {
            self.shown.complaint = true;
            return None;
        }
        if line.starts_with("<proto") {
            if name == "rtpmidi" {
                self.place = Place::Commands;
                self.shown.known = true;
            }
            return None;
        }
        match self.place {
            Place::Elsewhere => {}
            Place::Commands => {
                if attribute(line, " show=\"") == Some("Journal Section") {
                    self.place = Place::Journal;
                }
            }
            // An element that is not closed here groups those that follow.
            Place::Journal if !line.ends_with("/>") => {}
            Place::Journal => {
                let name = name.strip_prefix("rtpmidi.").unwrap_or(name);
                let value = attribute(line, " value=\"").unwrap_or_default();
                if !name.is_empty() && !value.is_empty() {
                    self.shown.fields.push(ShownField {
                        name: name.to_owned(),
                        pos: attribute(line, " pos=\"")?.parse().ok()?,
                        value: value.to_owned(),
                    });
                }
            }
        }
        None
    }
}

/// The value behind ` name="`, which is given whole so that it is not put together for each line.
fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(name)?;
    rest.split_once('"').map(|(value, _)| value)
}
