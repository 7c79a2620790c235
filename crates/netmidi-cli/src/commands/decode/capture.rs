//! Capture files: frames out of pcap and pcapng, also of files that are cut or damaged.
//!
//! What the blocks mean is read by pcap-parser. Here is what it leaves to its users: how much is held in
//! memory, and how reading goes on behind a damage. Nothing that a file says makes us hold more than
//! [`MAX_BLOCK`] and what one read brings.

use std::fmt;
use std::io::{self, Read};
use std::ops::Range;
use std::time::Duration;

use pcap_parser::pcapng::{Block, parse_block_be, parse_block_le};
use pcap_parser::{OptionCode, PcapHeader, parse_pcap_header};

use super::link::Link;

/// The longest frame that is taken for one: what tcpdump and dumpcap write at most.
const MAX_FRAME: usize = 262_144;
/// The longest block of a pcapng file that is read.
const MAX_BLOCK: usize = 1 << 20;
/// Interfaces of one section; packets of further ones are taken for what their octets look like.
const MAX_INTERFACES: usize = 4_096;
/// Octets asked for at once.
const CHUNK: usize = 1 << 18;
/// Frames next to each other that are further apart in time than this many seconds are not looked for
/// behind a damage.
const NEAR: u32 = 86_400;

/// A capture while it is read.
#[derive(Debug)]
pub(crate) struct Capture<R> {
    input: R,
    buffer: Vec<u8>,
    /// Where in the buffer reading goes on.
    at: usize,
    /// Nothing in front of it is looked at again.
    keep: usize,
    /// Where in the file the buffer begins.
    offset: u64,
    /// Nothing follows what is in the buffer.
    ended: bool,
    format: Option<Format>,
    /// How many frames there were.
    frames: u64,
    /// What is searched for behind a damage, until it is found.
    search: Option<Search>,
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Step {
    Frame(Frame),
    /// Something of the file is not what it should be. Reading goes on.
    Damage(Damage),
    /// More has to be [read](Capture::fill) from the file.
    More,
    End,
}

/// A frame, whose octets [`Capture::octets`] shows.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// From 1.
    pub(crate) number: u64,
    /// Since 1970.
    pub(crate) time: Option<Duration>,
    pub(crate) link: Link,
    octets: Range<usize>,
}

/// Why a file is no capture.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NoCapture {
    Empty,
    Compressed,
    Unknown,
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Damage {
    /// The frame that should have come next.
    pub(crate) frame: u64,
    /// Where, in octets of the file.
    pub(crate) offset: u64,
    pub(crate) kind: DamageKind,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum DamageKind {
    /// The file ends inside a frame or block.
    Cut,
    /// Reading goes on behind so many octets that make no sense.
    Skipped { octets: u64 },
    /// So many octets up to the end make no sense.
    Lost { octets: u64 },
    /// A block that should say something is not in order.
    Block { kind: u32 },
    /// A packet belongs to an interface that the file does not describe.
    Interface { id: u32 },
}

#[derive(Clone, Debug)]
enum Format {
    Pcap(Pcap),
    PcapNg(Section),
}

#[derive(Clone, Copy, Debug)]
struct Pcap {
    big_endian: bool,
    /// Octets of the header of a frame.
    head: usize,
    /// Parts of a second in which time is counted.
    unit: u32,
    link: Link,
}

#[derive(Clone, Debug, Default)]
struct Section {
    big_endian: bool,
    interfaces: Vec<Interface>,
    /// The lowest interface that was missing has been told.
    told: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: Link,
    /// Parts of a second in which time is counted; none when nobody could say.
    unit: Option<u64>,
    /// Seconds to be added.
    offset: i64,
    /// How much of a packet is in the file; 0 for all.
    snaplen: u32,
}

/// Going through octets that make no sense.
#[derive(Clone, Copy, Debug)]
struct Search {
    /// Where in the file the damage was found.
    found_at: u64,
}

/// The header of a frame in a pcap file.
#[derive(Clone, Copy, Debug)]
struct FrameHead {
    seconds: u32,
    fraction: u32,
    len: usize,
    /// As long as it was on the network.
    original: u32,
}

impl<R: Read> Capture<R> {
    pub(crate) const fn new(input: R) -> Self {
        Self {
            input,
            buffer: Vec::new(),
            at: 0,
            keep: 0,
            offset: 0,
            ended: false,
            format: None,
            frames: 0,
            search: None,
        }
    }

    /// Reads from the file, perhaps after waiting for it. An error ends the file like its end, and is
    /// returned.
    pub(crate) fn fill(&mut self) -> io::Result<()> {
        // What has been read makes room when it is more than what is left.
        if self.keep > CHUNK && self.keep * 2 > self.buffer.len() {
            self.buffer.drain(..self.keep);
            self.at -= self.keep;
            self.offset += self.keep as u64;
            self.keep = 0;
        }
        let filled = self.buffer.len();
        self.buffer.resize(filled + CHUNK, 0);
        let read = loop {
            match self
                .input
                .read(self.buffer.get_mut(filled..).unwrap_or_default())
            {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(filled + *read.as_ref().unwrap_or(&0));
        self.ended = !matches!(read, Ok(1..));
        read.map(|_| ())
    }

    /// How many octets are held in memory.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.buffer.capacity()
    }

    /// The octets of the frame that came last.
    pub(crate) fn octets(&self, frame: &Frame) -> &[u8] {
        self.buffer.get(frame.octets.clone()).unwrap_or_default()
    }

    /// What comes next; an error at the beginning of what is no capture.
    pub(crate) fn step(&mut self) -> Result<Step, NoCapture> {
        let Some(format) = &self.format else {
            return self.begin();
        };
        Ok(match format {
            Format::Pcap(pcap) => {
                let pcap = *pcap;
                self.next_of_pcap(&pcap)
            }
            Format::PcapNg(_) => self.next_of_pcapng(),
        })
    }

    fn begin(&mut self) -> Result<Step, NoCapture> {
        let octets = &self.buffer;
        // As long as the longer of the two beginnings.
        if octets.len() < 28 && !self.ended {
            return Ok(Step::More);
        }
        if octets.starts_with(&SECTION_HEADER) {
            self.format = Some(Format::PcapNg(Section::default()));
            return self.step();
        }
        match parse_pcap_header(octets) {
            Ok((rest, header)) => {
                self.at = octets.len() - rest.len();
                self.format = Some(Format::Pcap(Pcap::of(&header)));
                self.step()
            }
            Err(_) if octets.is_empty() => Err(NoCapture::Empty),
            Err(_) if is_compressed(octets) => Err(NoCapture::Compressed),
            Err(_) if PCAP_MAGICS.iter().any(|magic| octets.starts_with(magic)) => {
                // Cut inside the header of the file: a capture without a frame.
                self.at = octets.len();
                self.format = Some(Format::PcapNg(Section::default()));
                Ok(Step::Damage(self.damage(0, DamageKind::Cut)))
            }
            Err(_) => Err(NoCapture::Unknown),
        }
    }

    fn next_of_pcap(&mut self, pcap: &Pcap) -> Step {
        if self.search.is_some() {
            return self.search_in_pcap(pcap);
        }
        let Some(head) = self.pcap_head(pcap, self.at) else {
            return match self.buffer.len() - self.at {
                _ if !self.ended => Step::More,
                0 => Step::End,
                _ => self.cut(),
            };
        };
        let start = self.at + pcap.head;
        let end = start + head.len;
        let strict = pcap.is_likely(&head);
        if head.len <= MAX_FRAME {
            if end > self.buffer.len() {
                if !self.ended {
                    return Step::More;
                }
            } else if strict {
                return self.take_frame(pcap, &head);
            } else {
                // An odd header is believed if a good one follows, or nothing.
                match self.pcap_head(pcap, end) {
                    Some(next) if pcap.is_likely(&next) => return self.take_frame(pcap, &head),
                    None if !self.ended => return Step::More,
                    None if end == self.buffer.len() => return self.take_frame(pcap, &head),
                    _ => {}
                }
            }
        }
        // The length of the frame before may be what is wrong: look behind its header.
        self.begin_search(self.keep.min(self.at) + 1)
    }

    fn take_frame(&mut self, pcap: &Pcap, head: &FrameHead) -> Step {
        let start = self.at + pcap.head;
        self.keep = self.at;
        self.at = start + head.len;
        let nanos = u64::from(head.fraction) * 1_000_000_000 / u64::from(pcap.unit);
        let time = Duration::from_secs(head.seconds.into()) + Duration::from_nanos(nanos);
        self.frame(Some(time), pcap.link, start..self.at)
    }

    fn frame(&mut self, time: Option<Duration>, link: Link, octets: Range<usize>) -> Step {
        self.frames += 1;
        Step::Frame(Frame {
            number: self.frames,
            time,
            link,
            octets,
        })
    }

    fn begin_search(&mut self, from: usize) -> Step {
        self.search = Some(Search {
            found_at: self.offset + self.at as u64,
        });
        self.at = from;
        match &self.format {
            Some(Format::Pcap(pcap)) => {
                let pcap = *pcap;
                self.search_in_pcap(&pcap)
            }
            _ => self.search_in_pcapng(),
        }
    }

    /// Goes on until two frames follow each other, or one and the end.
    fn search_in_pcap(&mut self, pcap: &Pcap) -> Step {
        loop {
            let at = self.at;
            self.keep = at;
            let Some(head) = self.pcap_head(pcap, at) else {
                if !self.ended {
                    return Step::More;
                }
                return self.search_failed();
            };
            if pcap.is_likely(&head) {
                let end = at + pcap.head + head.len;
                match self.pcap_head(pcap, end) {
                    Some(next) => {
                        let apart = next.seconds.abs_diff(head.seconds);
                        if pcap.is_likely(&next) && apart < NEAR {
                            return self.search_succeeded();
                        }
                    }
                    None if !self.ended => return Step::More,
                    None if end == self.buffer.len() => return self.search_succeeded(),
                    None => {}
                }
            }
            self.at += 1;
        }
    }

    fn search_succeeded(&mut self) -> Step {
        let here = self.offset + self.at as u64;
        let from = self.search.take().map_or(here, |search| search.found_at);
        let octets = here.saturating_sub(from);
        let mut damage = self.damage(self.at, DamageKind::Skipped { octets });
        damage.offset = from;
        Step::Damage(damage)
    }

    fn search_failed(&mut self) -> Step {
        let end = self.offset + self.buffer.len() as u64;
        let from = self.search.take().map_or(end, |search| search.found_at);
        self.at = self.buffer.len();
        let octets = end.saturating_sub(from);
        let mut damage = self.damage(self.at, DamageKind::Lost { octets });
        damage.offset = from;
        Step::Damage(damage)
    }

    /// The file ends too early.
    fn cut(&mut self) -> Step {
        let damage = self.damage(self.at, DamageKind::Cut);
        self.at = self.buffer.len();
        Step::Damage(damage)
    }

    const fn damage(&self, at: usize, kind: DamageKind) -> Damage {
        Damage {
            frame: self.frames + 1,
            offset: self.offset + at as u64,
            kind,
        }
    }

    fn pcap_head(&self, pcap: &Pcap, at: usize) -> Option<FrameHead> {
        let octets = self.buffer.get(at..)?.get(..pcap.head)?;
        let (words, _) = octets.as_chunks::<4>();
        let [seconds, fraction, len, original, ..] = *words else {
            return None;
        };
        let word = |octets| match pcap.big_endian {
            true => u32::from_be_bytes(octets),
            false => u32::from_le_bytes(octets),
        };
        Some(FrameHead {
            seconds: word(seconds),
            fraction: word(fraction),
            len: word(len) as usize,
            original: word(original),
        })
    }

    fn next_of_pcapng(&mut self) -> Step {
        if self.search.is_some() {
            return self.search_in_pcapng();
        }
        loop {
            let left = self.buffer.len() - self.at;
            if left < 12 {
                return match left {
                    _ if !self.ended => Step::More,
                    0 => Step::End,
                    _ => self.cut(),
                };
            }
            let Some((kind, len, big_endian)) = self.block_head(self.at) else {
                return self.begin_search(self.at + 1);
            };
            if left < len {
                if !self.ended {
                    return Step::More;
                }
                return self.begin_search(self.at + 1);
            }
            if !self.is_block(self.at, len, big_endian) {
                return self.begin_search(self.at + 1);
            }
            let block = self.at..self.at + len;
            self.keep = block.start;
            self.at = block.end;
            if let Some(next) = self.take_block(kind, block, big_endian) {
                return next;
            }
        }
    }

    /// Type, length and byte order of a block that is perhaps at `at`.
    fn block_head(&self, at: usize) -> Option<(u32, usize, bool)> {
        let octets = self.buffer.get(at..)?;
        let (words, _) = octets.get(..12)?.as_chunks::<4>();
        let [kind, len, magic] = *words else {
            return None;
        };
        let big_endian = match (kind == SECTION_HEADER, magic) {
            (true, [0x1A, 0x2B, 0x3C, 0x4D]) => true,
            (true, [0x4D, 0x3C, 0x2B, 0x1A]) => false,
            (true, _) => return None,
            (false, _) => match &self.format {
                Some(Format::PcapNg(section)) => section.big_endian,
                _ => false,
            },
        };
        let word = |octets| match big_endian {
            true => u32::from_be_bytes(octets),
            false => u32::from_le_bytes(octets),
        };
        let len = word(len) as usize;
        ((12..=MAX_BLOCK).contains(&len) && len.is_multiple_of(4)).then_some((
            word(kind),
            len,
            big_endian,
        ))
    }

    /// Whether a block that is in the buffer says at its end how long it is, too.
    fn is_block(&self, at: usize, len: usize, big_endian: bool) -> bool {
        let octets = self.buffer.get(at..).and_then(|it| it.get(..len));
        octets
            .and_then(<[u8]>::last_chunk)
            .is_some_and(|last: &[u8; 4]| {
                let last = match big_endian {
                    true => u32::from_be_bytes(*last),
                    false => u32::from_le_bytes(*last),
                };
                last as usize == len
            })
    }

    /// Goes on until there is a whole block of a kind that is known.
    fn search_in_pcapng(&mut self) -> Step {
        loop {
            let at = self.at;
            self.keep = at;
            if self.buffer.len() - at < 12 {
                return match self.ended {
                    true => self.search_failed(),
                    false => Step::More,
                };
            }
            if let Some((kind, len, big_endian)) = self.block_head(at)
                && KNOWN_BLOCKS.contains(&kind)
            {
                if self.buffer.len() - at < len && !self.ended {
                    return Step::More;
                }
                if self.is_block(at, len, big_endian) {
                    return self.search_succeeded();
                }
            }
            self.at += 1;
        }
    }

    /// Takes what a block says; returns what is to be told of it.
    fn take_block(&mut self, kind: u32, range: Range<usize>, big_endian: bool) -> Option<Step> {
        let octets = self.buffer.get(range.clone())?;
        let Some(Format::PcapNg(section)) = &mut self.format else {
            return None;
        };
        // It is parsed only if it says something that is needed: others may be what they like.
        if !READ_BLOCKS.contains(&kind) {
            return None;
        }
        if kind == OLD_PACKET {
            return self.take_old_packet(range, big_endian);
        }
        let parsed = match big_endian {
            true => parse_block_be(octets),
            false => parse_block_le(octets),
        };
        let (interface, ticks, data) = match parsed {
            Ok((_, Block::SectionHeader(_))) => {
                *section = Section {
                    big_endian,
                    ..Section::default()
                };
                return None;
            }
            Ok((_, Block::InterfaceDescription(block))) => {
                if section.interfaces.len() < MAX_INTERFACES {
                    let mut interface = Interface {
                        link: Link::of_type(block.linktype.0.cast_unsigned()),
                        unit: Some(1_000_000),
                        offset: 0,
                        snaplen: block.snaplen,
                    };
                    for option in &block.options {
                        let value = option.value();
                        match (option.code, value, value.first_chunk()) {
                            (OptionCode::IfTsresol, [exponent, ..], _) => {
                                interface.unit = unit(*exponent);
                            }
                            (OptionCode::IfTsoffset, _, Some(seconds)) => {
                                interface.offset = match big_endian {
                                    true => i64::from_be_bytes(*seconds),
                                    false => i64::from_le_bytes(*seconds),
                                };
                            }
                            _ => {}
                        }
                    }
                    section.interfaces.push(interface);
                }
                return None;
            }
            Ok((_, Block::EnhancedPacket(block))) => {
                let ticks = u64::from(block.ts_high) << 32 | u64::from(block.ts_low);
                let data = block.data.len().min(block.caplen as usize);
                (block.if_id, Some(ticks), (28, data))
            }
            Ok((_, Block::SimplePacket(block))) => {
                let snaplen = section.interfaces.first().map_or(0, |it| it.snaplen);
                let mut data = block.data.len().min(block.origlen as usize);
                if snaplen > 0 {
                    data = data.min(snaplen as usize);
                }
                (0, None, (12, data))
            }
            _ => {
                let damage = self.damage(range.start, DamageKind::Block { kind });
                return Some(Step::Damage(damage));
            }
        };
        self.packet(interface, ticks, range.start, data)
    }

    /// A packet block as they were before the enhanced ones, which pcap-parser does not read.
    fn take_old_packet(&mut self, range: Range<usize>, big_endian: bool) -> Option<Step> {
        let octets = self.buffer.get(range.clone())?;
        let (words, _) = octets.as_chunks::<4>();
        let word = |octets| match big_endian {
            true => u32::from_be_bytes(octets),
            false => u32::from_le_bytes(octets),
        };
        let [_, _, interface, high, low, len, _, _, ..] = *words else {
            let damage = self.damage(range.start, DamageKind::Block { kind: OLD_PACKET });
            return Some(Step::Damage(damage));
        };
        let [a, b, ..] = interface;
        let interface = match big_endian {
            true => u16::from_be_bytes([a, b]),
            false => u16::from_le_bytes([a, b]),
        };
        let ticks = u64::from(word(high)) << 32 | u64::from(word(low));
        let len = (word(len) as usize).min(range.len() - 32);
        self.packet(interface.into(), Some(ticks), range.start, (28, len))
    }

    /// A packet whose octets, so many, begin so many octets behind the start of its block.
    fn packet(
        &mut self,
        id: u32,
        ticks: Option<u64>,
        start: usize,
        (head, len): (usize, usize),
    ) -> Option<Step> {
        let Some(Format::PcapNg(section)) = &mut self.format else {
            return None;
        };
        let interface = usize::try_from(id)
            .ok()
            .and_then(|id| section.interfaces.get(id).copied());
        if interface.is_none() && section.told.is_none() {
            section.told = Some(id);
            // The packet itself comes next.
            self.at = start;
            return Some(Step::Damage(
                self.damage(start, DamageKind::Interface { id }),
            ));
        }
        let time = ticks.and_then(|ticks| match interface {
            Some(interface) => interface.time(ticks),
            None => Some(Duration::from_micros(ticks)),
        });
        let link = interface.map_or(Link::Unknown, |it| it.link);
        Some(self.frame(time, link, start + head..start + head + len))
    }
}

impl Pcap {
    fn of(header: &PcapHeader) -> Self {
        Self {
            big_endian: header.is_bigendian(),
            head: if header.is_modified_format() { 24 } else { 16 },
            unit: if header.is_nanosecond_precision() {
                1_000_000_000
            } else {
                1_000_000
            },
            // Above are flags: whether frames end with a check sum.
            link: Link::of_type(header.network.0.cast_unsigned() & 0xFFFF),
        }
    }

    /// Whether it looks like the header of a frame, not like anything else.
    const fn is_likely(&self, head: &FrameHead) -> bool {
        head.len > 0
            && head.len <= MAX_FRAME
            && head.len <= head.original as usize
            && head.original < 1 << 24
            && head.fraction < self.unit
    }
}

impl Interface {
    fn time(&self, ticks: u64) -> Option<Duration> {
        let unit = self.unit?;
        let seconds = ticks / unit;
        let nanos = u128::from(ticks % unit) * 1_000_000_000 / u128::from(unit);
        let seconds = seconds.saturating_add_signed(self.offset);
        Some(Duration::new(seconds, u32::try_from(nanos).unwrap_or(0)))
    }
}

/// Parts of a second in which time is counted, from the octet that says it (`if_tsresol`).
fn unit(exponent: u8) -> Option<u64> {
    match exponent {
        0x80.. => 1_u64.checked_shl((exponent & 0x7F).into()),
        _ => 10_u64.checked_pow(exponent.into()),
    }
}

/// The type of the block that begins a section; it reads the same both ways.
const SECTION_HEADER: [u8; 4] = [0x0A, 0x0D, 0x0D, 0x0A];
const OLD_PACKET: u32 = 2;
/// Section header, interface description, packets of the three kinds.
const READ_BLOCKS: [u32; 5] = [0x0A0D_0D0A, 1, OLD_PACKET, 3, 6];
/// Those, and name resolution, interface statistics, journal, secrets, custom ones.
const KNOWN_BLOCKS: [u32; 11] = [
    0x0A0D_0D0A,
    1,
    OLD_PACKET,
    3,
    4,
    5,
    6,
    9,
    0x0A,
    0x0BAD,
    0x4000_0BAD,
];
const PCAP_MAGICS: [[u8; 4]; 5] = [
    [0xA1, 0xB2, 0xC3, 0xD4],
    [0xD4, 0xC3, 0xB2, 0xA1],
    [0xA1, 0xB2, 0x3C, 0x4D],
    [0x4D, 0x3C, 0xB2, 0xA1],
    [0x34, 0xCD, 0xB2, 0xA1],
];

/// gzip, xz, zstd, lz4, bzip2.
fn is_compressed(octets: &[u8]) -> bool {
    let magics: [&[u8]; 5] = [
        &[0x1F, 0x8B],
        &[0xFD, b'7', b'z', b'X', b'Z'],
        &[0x28, 0xB5, 0x2F, 0xFD],
        &[0x04, 0x22, 0x4D, 0x18],
        b"BZh",
    ];
    magics.iter().any(|magic| octets.starts_with(magic))
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            frame,
            offset,
            kind,
        } = self;
        match kind {
            DamageKind::Cut => write!(f, "the file ends inside frame {frame}, at octet {offset}"),
            DamageKind::Skipped { octets } => write!(
                f,
                "the file is damaged at octet {offset}, where frame {frame} should begin; reading goes on {octets} octets later"
            ),
            DamageKind::Lost { octets } => write!(
                f,
                "the file is cut or damaged at octet {offset}, where frame {frame} should begin; its last {octets} octets cannot be read"
            ),
            DamageKind::Block { kind } => write!(
                f,
                "the file is damaged: the block of type {kind:#x} at octet {offset}, before frame {frame}, is left out"
            ),
            DamageKind::Interface { id } => write!(
                f,
                "the file does not say what interface {id} of frame {frame} is; its packets are taken for what they look like"
            ),
        }
    }
}
