//! What tshark 4.0.17 takes wrongly in correct journals: one table.
//!
//! Each entry has a packet that shows it. The test puts it to the tshark that is installed; an entry
//! that this one no longer needs is not applied, so that a newer tshark is held to more.

use netmidi_journal::Journal;
use netmidi_message::{Message, SystemCommon};
use netmidi_testkit::{OwnedJournal, from_hex};
use netmidi_wire::{Command, CommandSection, RtpPacket, RtpTimestamp, SegmentKind};

use crate::fields::{Field, Layout, Value};
use crate::tshark::{RTP_HEADER, Shown};

#[derive(Debug)]
pub(crate) struct Defect {
    pub(crate) name: &'static str,
    /// What tshark does, where the journal has the shape.
    pub(crate) does: &'static str,
    /// Whether something of the journal stays without comparison.
    pub(crate) leaves_out: bool,
    /// Finds the shape, and changes what is expected into what tshark shows. Returns whether the
    /// shape was there.
    pub(crate) apply: fn(&mut Expected) -> bool,
    /// An RTP packet that shows the defect.
    pub(crate) packet: &'static str,
}

/// All of them, in the order in which they are applied.
pub(crate) const DEFECTS: [Defect; 10] = [
    Defect {
        name: "list: F1 at the end",
        does: "it reads an octet behind F1: malformed, if the packet ends there",
        leaves_out: true,
        apply: quarter_frame_at_the_end,
        packet: "80610102000013880badf00d02f107",
    },
    Defect {
        name: "list: SysEx cut",
        does: "it gives up at a first segment that ends inside the values of an MTC Full Frame or a \
               Master Volume; what follows is lost",
        leaves_out: true,
        apply: sysex_cut,
        packet: "80610102000013880badf00d47f07f7f010101f0a000f0800680050000",
    },
    Defect {
        name: "Q: S read as T",
        does: "it takes S for T: with S=1 it reads three octets of TIMETOOLS that are not there, and \
               what follows is lost",
        leaves_out: true,
        apply: sequencer_s_as_t,
        packet: "80610102000013880badf00d40c000f09005d00000",
    },
    Defect {
        name: "X: FIRST",
        does: "it gives up at FIRST of the first log; what follows is lost",
        leaves_out: true,
        apply: sysex_first,
        packet: "80610102000013880badf00d40c000f0840698876885",
    },
    Defect {
        name: "X: more logs",
        does: "it reads the first log only; the others show as data, without octets or as invalid",
        leaves_out: true,
        apply: sysex_more_logs,
        packet: "80610102000013880badf00d404000f0040e2f017d81a5023c03007d0283",
    },
    Defect {
        name: "X: last octet",
        does: "it leaves out the last octet of DATA",
        leaves_out: true,
        apply: sysex_last_octet,
        packet: "80610102000013880badf00d40c000f084068f7d0182",
    },
    Defect {
        name: "M: PENDING",
        does: "it does not count PENDING in LENGTH and reads one log too many; what follows is lost",
        leaves_out: true,
        apply: parameters_pending,
        packet: "80610102000013880badf00d402000f03806204003b5",
    },
    Defect {
        name: "M: LENGTH",
        does: "it reads the lower six bits of LENGTH only: from 64 octets on what follows is lost",
        leaves_out: true,
        apply: parameters_length,
        packet: "80610102000013880badf00d40a000f080452080428000820181008201820082018300820184\
                 00820185008201860082018700820188008201890082018a0082018b0082018c0082018d0082\
                 018e0082018f008201",
    },
    Defect {
        name: "N: logs for OFFBITS",
        does: "it takes the number of logs for that of OFFBITS octets; when the packet has fewer \
               octets left it is called malformed, and what follows is lost",
        leaves_out: true,
        apply: notes_logs_for_off_bits,
        packet: "80610102000013880badf00d40a000f0800a08827783e4bc4004",
    },
    Defect {
        name: "E, A: LEN",
        does: "it shows the note of the first log for LEN; the number of logs is right",
        leaves_out: false,
        apply: wrong_len,
        packet: "80610102000013880badf00d40a000f0800b0581bc02bd0380bc07",
    },
];

/// What tshark should show of a packet.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    /// The RTP payload.
    payload: Vec<u8>,
    pub(crate) has_journal: bool,
    /// No fields without a journal.
    pub(crate) layout: Layout,
    /// From this field on tshark is lost: it may show anything, and call the packet malformed.
    pub(crate) lost: Option<usize>,
    /// Places in [`DEFECTS`] of those that were applied.
    pub(crate) applied: Vec<usize>,
}

impl Expected {
    /// What is in an RTP packet.
    ///
    /// # Panics
    /// When the packet or the journal is malformed, or the fields do not make up the journal.
    pub(crate) fn of(packet: &[u8]) -> Self {
        let payload = packet[RTP_HEADER..].to_vec();
        let rtp = RtpPacket::parse(packet).unwrap();
        let journal = rtp.command_section().unwrap().journal();
        let layout = journal.map(|octets| {
            let journal = Journal::parse(octets).unwrap();
            assert!(journal.surplus().is_empty(), "octets behind the journal");
            let layout = Layout::of(&OwnedJournal::read(&journal), payload.len() - octets.len());
            assert_eq!(layout.end, payload.len(), "the fields make up the journal");
            layout
        });
        Self {
            payload,
            has_journal: journal.is_some(),
            layout: layout.unwrap_or_default(),
            lost: None,
            applied: Vec::new(),
        }
    }

    /// The same, as a tshark with these defects shows it.
    pub(crate) fn with(mut self, present: &[bool]) -> Self {
        for (index, defect) in DEFECTS.iter().enumerate() {
            if present[index] && (defect.apply)(&mut self) {
                self.applied.push(index);
            }
        }
        self
    }

    /// Whether anything of the journal is not compared.
    pub(crate) fn leaves_out(&self) -> bool {
        self.applied.iter().any(|&index| DEFECTS[index].leaves_out)
    }

    /// The chapters that are compared, at least as far as the defects allow.
    pub(crate) fn compared(&self) -> impl Iterator<Item = char> {
        let end = self.lost.unwrap_or(usize::MAX);
        let chapters = self.layout.chapters.iter();
        chapters
            .filter(move |it| it.end <= end)
            .map(|it| it.chapter)
    }

    /// The fields that are compared.
    pub(crate) fn fields(&self) -> &[Field] {
        let fields = &self.layout.fields[..];
        &fields[..self.lost.unwrap_or(fields.len())]
    }

    /// Compares, and says what differs.
    pub(crate) fn compare(&self, shown: &Shown) -> Result<(), String> {
        if !shown.known {
            return Err("not known as RTP-MIDI".to_owned());
        }
        let expected = self.fields();
        for (index, field) in expected.iter().enumerate() {
            match shown.fields.get(index) {
                Some(it) if it.is(field) => {}
                other => return Err(format!("expected {field:?}, shown {other:?}")),
            }
        }
        if self.lost.is_some() {
            return Ok(());
        }
        if shown.complaint {
            return Err("called malformed".to_owned());
        }
        match shown.fields.get(expected.len()) {
            Some(surplus) => Err(format!("expected no more, shown {surplus:?}")),
            None => Ok(()),
        }
    }

    /// Where this field is, at or behind `from`.
    fn find(&self, name: &str, from: usize) -> Option<usize> {
        let fields = self.layout.fields.iter().enumerate().skip(from);
        fields
            .filter(|(_, field)| field.name == name)
            .map(|(index, _)| index)
            .next()
    }

    /// Whether the list has a command like this.
    fn any_command(&self, shape: impl Fn(&Command<'_>, bool) -> bool) -> bool {
        let section = CommandSection::parse(&self.payload, RtpTimestamp(0)).unwrap();
        let mut commands = section.commands().peekable();
        while let Some(command) = commands.next() {
            let is_last = commands.peek().is_none();
            if command.command.is_some_and(|it| shape(&it, is_last)) {
                return true;
            }
        }
        false
    }

    fn is_set(&self, index: usize) -> bool {
        self.layout.fields[index].value == Value::Number(1)
    }

    fn lose(&mut self, from: usize) {
        self.lost = Some(self.lost.map_or(from, |lost| lost.min(from)));
    }

    /// Takes fields away that tshark does not show.
    fn remove(&mut self, start: usize, end: usize) {
        let count = end - start;
        self.layout.fields.drain(start..end);
        for span in &mut self.layout.chapters {
            if span.start >= end {
                span.start -= count;
            }
            if span.end >= end {
                span.end -= count;
            }
        }
    }

    /// The fields of this chapter.
    fn span(&self, chapter: char) -> Option<(usize, usize)> {
        let mut spans = self.layout.chapters.iter();
        let span = spans.find(|it| it.chapter == chapter)?;
        Some((span.start, span.end))
    }
}

fn quarter_frame_at_the_end(it: &mut Expected) -> bool {
    let shape = !it.has_journal
        && it.any_command(|command, is_last| {
            is_last
                && matches!(
                    command,
                    Command::Message(Message::Common(SystemCommon::QuarterFrame { .. }))
                )
        });
    if shape {
        it.lose(0);
    }
    shape
}

fn sysex_cut(it: &mut Expected) -> bool {
    let shape = it.any_command(|command, _| {
        let Command::SysEx(segment) = command else {
            return false;
        };
        let data = segment.data();
        let whole = match data {
            [0x7F, _, 1, 1, ..] => 8,
            [0x7F, _, 4, 1, ..] => 6,
            _ => 0,
        };
        segment.kind() == SegmentKind::First && data.len() < whole
    });
    if shape {
        it.lose(0);
    }
    shape
}

fn sequencer_s_as_t(it: &mut Expected) -> bool {
    let Some((start, _)) = it.span('Q') else {
        return false;
    };
    let shape = it.is_set(start);
    if shape {
        // Also the fields in front of T, if three octets more would be behind the packet.
        it.lose(start);
    }
    shape
}

fn sysex_first(it: &mut Expected) -> bool {
    let Some((start, end)) = it.span('X') else {
        return false;
    };
    let flag = it.find("sj_chapter_x_fflag", start);
    let shape = flag.is_some_and(|flag| it.is_set(flag));
    if shape {
        let fields = it.layout.fields[start..end].iter();
        let first = fields
            .take_while(|it| !it.name.starts_with("sj_chapter_x_first"))
            .count();
        it.lose(start + first);
    }
    shape
}

fn sysex_more_logs(it: &mut Expected) -> bool {
    let Some((start, end)) = it.span('X') else {
        return false;
    };
    let Some(second) = it.find("sj_chapter_x_sflag", start + 1) else {
        return false;
    };
    let data = it.find("sj_chapter_x_data", start);
    let has_data = data.is_some_and(|data| data < second);
    let at = it.layout.fields[second].at;
    let end_at = it.layout.fields.get(end).map_or(it.layout.end, |it| it.at);
    if has_data {
        it.remove(second, end);
    } else {
        // Without a first DATA, all that is left is shown as one piece.
        it.layout.fields[second] = Field {
            name: "sj_chapter_x_invalid_data",
            at,
            value: Value::Octets(it.payload[at..end_at].to_vec()),
        };
        it.remove(second + 1, end);
    }
    true
}

fn sysex_last_octet(it: &mut Expected) -> bool {
    let Some((start, _)) = it.span('X') else {
        return false;
    };
    let Some(data) = it.find("sj_chapter_x_data", start) else {
        return false;
    };
    if let Value::Octets(octets) = &mut it.layout.fields[data].value {
        octets.pop();
        if octets.is_empty() {
            it.remove(data, data + 1);
        }
    }
    true
}

fn parameters_pending(it: &mut Expected) -> bool {
    let Some(pending) = it.find("cj_chapter_m_pending", 0) else {
        return false;
    };
    it.lose(pending + 1);
    true
}

fn parameters_length(it: &mut Expected) -> bool {
    let mut from = 0;
    while let Some(start) = it.find("cj_chapter_m_sflag", from) {
        let Some(length) = it.find("cj_chapter_m_length", start) else {
            return false;
        };
        from = length;
        if matches!(it.layout.fields[length].value, Value::Number(64..)) {
            // Also the header, if the lower six bits are less than it takes.
            it.lose(start);
            return true;
        }
    }
    false
}

fn notes_logs_for_off_bits(it: &mut Expected) -> bool {
    let mut from = 0;
    while let Some(length) = it.find("cj_chapter_n_length", from) {
        from = length + 1;
        let spans = it.layout.chapters.iter();
        let end = spans.filter(|it| it.end > length).map(|it| it.end).min();
        let fields = &it.layout.fields[length..end.unwrap_or(length)];
        let octets = fields.iter().enumerate();
        let off = octets
            .filter(|(_, it)| it.name == "cj_chapter_n_log_octet")
            .map(|(index, it)| (index, it.at))
            .next();
        let logs = fields
            .iter()
            .filter(|it| it.name == "cj_chapter_n_log_note")
            .count();
        if let Some((index, at)) = off
            && at + logs > it.payload.len()
        {
            it.lose(length + index);
            return true;
        }
    }
    false
}

fn wrong_len(it: &mut Expected) -> bool {
    let mut shape = false;
    let end = it.fields().len();
    for field in &mut it.layout.fields[..end] {
        if matches!(field.name, "cj_chapter_e_length" | "cj_chapter_a_length") {
            // It reads two octets where there is one.
            let note = u32::from(it.payload[field.at + 1] & 0x7F);
            shape = true;
            field.value = Value::Number(note);
        }
    }
    shape
}

/// The packet of each entry.
pub(crate) fn packets() -> Vec<Vec<u8>> {
    DEFECTS.iter().map(|it| from_hex(it.packet)).collect()
}

/// Which defects this tshark has, by what it shows of the [`packets`]: the fewest that explain it.
///
/// # Panics
/// When it shows something that is neither right nor what the table says.
pub(crate) fn present(shown: &[Shown]) -> Vec<bool> {
    assert_eq!(shown.len(), DEFECTS.len(), "tshark shows all packets");
    let examples: Vec<_> = packets().iter().map(|it| Expected::of(it)).collect();
    let difference = |present: &[bool]| {
        let mut pairs = examples.iter().zip(shown).zip(&DEFECTS);
        pairs.find_map(|((example, shown), defect)| {
            let difference = example.clone().with(present).compare(shown).err()?;
            Some(format!("example of `{}`: {difference}", defect.name))
        })
    };
    let choices = (0..1_usize << DEFECTS.len())
        .map(|bits| (0..DEFECTS.len()).map(|it| bits >> it & 1 == 1).collect());
    let fitting = choices.filter(|it: &Vec<bool>| difference(it).is_none());
    fitting
        .min_by_key(|it| it.iter().filter(|it| **it).count())
        .unwrap_or_else(|| {
            let all = [true; DEFECTS.len()];
            panic!(
                "this tshark reads the examples neither right nor as the table says: {}",
                difference(&all).unwrap_or_default()
            )
        })
}

#[cfg(test)]
mod tests {
    use netmidi_testkit::to_hex;

    use super::*;
    use crate::pcap;
    use crate::tshark::ShownField;

    fn shown(expected: &Expected) -> Shown {
        let fields = expected.fields().iter().map(|field| ShownField {
            name: field.name.to_owned(),
            pos: pcap::HEADERS + RTP_HEADER + field.at,
            value: match &field.value {
                Value::Number(number) => format!("{number:X}"),
                Value::Octets(octets) => to_hex(octets),
            },
        });
        Shown {
            fields: fields.collect(),
            known: true,
            complaint: expected.lost.is_some(),
        }
    }

    #[test]
    fn every_example_shows_its_defect() {
        for (index, packet) in packets().iter().enumerate() {
            let expected = Expected::of(packet).with(&[true; DEFECTS.len()]);
            assert!(expected.applied.contains(&index), "{}", DEFECTS[index].name);
        }
    }

    #[test]
    fn what_a_tshark_does_not_do_is_not_excused() {
        for fixed in 0..DEFECTS.len() {
            let mut table = [true; DEFECTS.len()];
            table[fixed] = false;
            let examples: Vec<_> = packets()
                .iter()
                .map(|it| shown(&Expected::of(it).with(&table)))
                .collect();
            assert_eq!(present(&examples), table, "{}", DEFECTS[fixed].name);
        }
    }
}
