//! Files that are damaged in every way, read from one end to the other.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use netmidi_testkit::{CaptureFile, Container, Datagram, Framing, Rng, sessions};

use super::*;

/// What was printed.
#[derive(Clone, Debug, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hands out octets in pieces of any size, as a pipe does.
struct Pieces<'a> {
    rest: &'a [u8],
    rng: Rng,
}

impl Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let wanted = 1 + self.rng.index(10_000);
        let len = wanted.min(out.len()).min(self.rest.len());
        let (now, rest) = self.rest.split_at(len);
        out[..len].copy_from_slice(now);
        self.rest = rest;
        Ok(len)
    }
}

/// Reads a file from one end to the other; what was printed, and what it held.
fn read(octets: &[u8], form: Form, seed: u64) -> (String, Result<Counts, Stop>) {
    let paper = Paper::default();
    let to = Box::new(paper.clone());
    let mut run = Run {
        finder: Finder::new(Vec::new(), false),
        fragments: Fragments::default(),
        diagnosis: Some(Diagnosis::default()),
        replay: None,
        printer: Printer::new(to, form, Filter::default(), true, false),
        counts: Counts::default(),
    };
    let pieces = Pieces {
        rest: octets,
        rng: Rng::new(seed),
    };
    let done = run.capture(pieces);
    run.printer.flush().unwrap();
    let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
    let diagnosis = run.diagnosis.take().unwrap();
    let mut said = Vec::new();
    diagnosis.write_plain(&mut said).unwrap();
    diagnosis.write_json(&mut said).unwrap();
    // What is said of a damaged file is bounded, too.
    assert!(said.len() < 10 << 20, "{} octets of diagnosis", said.len());
    (text, done.map(|()| run.counts))
}

/// A file of that kind with a session, some foreign frames and packets in pieces.
fn file(container: Container, framing: Framing, datagrams: &[Datagram]) -> CaptureFile {
    let mut file = CaptureFile::new(container, framing);
    for (index, it) in datagrams.iter().enumerate() {
        file.datagram(it);
        match index % 20 {
            7 => file.frame(0, it.at, &[0x55; 90], 90),
            12 => file.fragments(it, 8, &[1, 0]),
            _ => {}
        }
    }
    file
}

fn damage(octets: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..1 + rng.below(4) {
        let at = rng.index(octets.len().max(1));
        let some = rng.index(40);
        match rng.below(7) {
            0 => octets.truncate(at),
            1 => {
                octets.drain(at..(at + some).min(octets.len()));
            }
            2 => {
                let more = rng.octets(some);
                octets.splice(at..at, more);
            }
            3 => octets.iter_mut().skip(at).take(4).for_each(|it| *it = 0xFF),
            4 => octets.iter_mut().skip(at).take(some).for_each(|it| *it = 0),
            _ => {
                for _ in 0..1 + rng.below(20) {
                    let at = rng.index(octets.len().max(1));
                    if let Some(octet) = octets.get_mut(at) {
                        *octet ^= 1 << rng.below(8);
                    }
                }
            }
        }
    }
}

/// Every kind of file and link, thousands of damages: it neither panics nor hangs, and nothing that the
/// file says makes it hold much.
#[test]
fn no_damage_stops_it() {
    let mut rng = Rng::new(1);
    let mut datagrams = sessions(1, 1_000);
    datagrams.drain(60..940);
    let mut read_something = 0;
    let mut files = 0;
    for container in Container::ALL {
        for framing in Framing::ALL {
            let whole = file(container, framing, &datagrams).into_octets();
            let forms = [Form::Lines, Form::Verbose, Form::Json { verbose: true }];
            for round in 0..60 {
                let mut octets = whole.clone();
                damage(&mut octets, &mut rng);
                let form = forms[round % 3];
                let (_, counts) = read(&octets, form, rng.bits());
                files += 1;
                match counts {
                    Ok(counts) => {
                        read_something += usize::from(counts.frames > 0);
                        // Each frame takes sixteen octets and more.
                        assert!(counts.frames <= octets.len() as u64 / 16);
                    }
                    Err(Stop::NoCapture(_)) => {
                        let header = octets.get(..28) != whole.get(..28);
                        assert!(header, "a capture with this header is one");
                    }
                    Err(other) => panic!("{other:?}"),
                }
            }
        }
    }
    assert_eq!(files, 3_840);
    assert!(read_something > files * 9 / 10, "{read_something}");
}

/// A damage of one frame costs that frame, and the one in front of it at most.
#[test]
fn a_damage_costs_what_it_hits() {
    let mut rng = Rng::new(2);
    let datagrams = sessions(2, 200);
    for container in Container::ALL {
        for framing in [Framing::Ethernet, Framing::Raw] {
            let mut whole = CaptureFile::new(container, framing);
            datagrams.iter().for_each(|it| whole.datagram(it));
            let starts = whole.starts().to_vec();
            let whole = whole.into_octets();
            let (text, _) = read(&whole, Form::Json { verbose: false }, 0);
            let whole_lines: Vec<_> = text.lines().map(strip_frame).collect();
            assert_eq!(whole_lines.len(), 200);
            for _ in 0..20 {
                let hit = 10 + rng.index(180);
                let mut octets = whole.clone();
                let end = starts.get(hit + 1).copied().unwrap_or(octets.len());
                let at = starts[hit] + rng.index(end - starts[hit]);
                octets[at] ^= 1 << rng.below(8);
                let (text, counts) = read(&octets, Form::Json { verbose: false }, 0);
                assert!(counts.is_ok());
                let lines: Vec<_> = text.lines().map(strip_frame).collect();
                let missing = whole_lines.iter().filter(|it| !lines.contains(it)).count();
                let context = format!("{container:?} {framing:?}, octet {at} of frame {hit}");
                assert!(missing <= 1, "{missing} lost: {context}");
                assert!(lines.len() <= 201, "{context}");
            }
        }
    }
}

/// Frames behind a damage are counted otherwise.
fn strip_frame(line: &str) -> &str {
    line.split_once(',').unwrap().1
}

/// What a file says about lengths is not believed.
#[test]
fn little_is_held_in_memory() {
    let datagrams = sessions(3, 50);
    for container in Container::ALL {
        let mut octets = file(container, Framing::Ethernet, &datagrams).into_octets();
        // Behind the session frames, block types and lengths of all kinds, over and over.
        let mut rng = Rng::new(3);
        for _ in 0..400_000 {
            let words = [6_u32, 1, 0x0A0D_0D0A, 262_144, 1_048_576, u32::MAX, 0, 60];
            let word = words[rng.index(words.len())];
            octets.extend(word.to_le_bytes());
        }
        let mut capture = Capture::new(&octets[..]);
        let mut steps = 0;
        loop {
            steps += 1;
            assert!(steps < octets.len(), "it goes in circles");
            assert!(capture.held() < 4 << 20, "{} octets", capture.held());
            match capture.step().unwrap() {
                Step::More => capture.fill().unwrap(),
                Step::End => break,
                Step::Frame(_) | Step::Damage(_) => {}
            }
        }
    }
}
