//! The plain chapters P, W, T and N, stated from the list of all that was sent, by going through it
//! anew for each packet.

use std::collections::BTreeMap;

use netmidi_testkit::OwnedJournal;

/// A command that went out, whole: packet, time in ticks, octets.
pub(crate) type Sent = (usize, u32, Vec<u8>);

/// What one channel is known to be at, each with the packet of the command.
#[derive(Debug, Default)]
struct Channel {
    program: Option<(usize, u8)>,
    wheel: Option<(usize, [u8; 2])>,
    pressure: Option<(usize, u8)>,
    /// Velocity, 0 for off, and when.
    notes: BTreeMap<u8, (usize, u8, u32)>,
    /// The packet of the last note-off, whatever came after it.
    off: Option<usize>,
}

/// Whether a system exclusive message resets everything: GM on, off, GM2 on, DLS on, off.
fn resets(octets: &[u8]) -> bool {
    octets == [0xFF]
        || matches!(octets, [0xF0, 0x7E, _, 9, 1..=3, 0xF7])
        || matches!(octets, [0xF0, 0x7E, _, 10, 1..=2, 0xF7])
}

fn state(sent: &[Sent]) -> [Channel; 16] {
    let mut channels: [Channel; 16] = Default::default();
    for (packet, time, octets) in sent {
        let packet = *packet;
        if resets(octets) {
            channels = Default::default();
            continue;
        }
        let channel = &mut channels[usize::from(octets[0] & 15)];
        match (octets[0] & 0xF0, &octets[1..]) {
            (0x80, &[note, _]) | (0x90, &[note, 0]) => {
                channel.notes.insert(note, (packet, 0, *time));
                channel.off = Some(packet);
            }
            (0x90, &[note, velocity]) => {
                channel.notes.insert(note, (packet, velocity, *time));
            }
            (0xB0, &[120 | 123..=127, _]) => {
                channel.notes.clear();
                channel.pressure = None;
            }
            (0xB0, &[121, _]) => {
                channel.wheel = None;
                channel.pressure = None;
            }
            (0xC0, &[program]) => channel.program = Some((packet, program)),
            (0xD0, &[pressure]) => channel.pressure = Some((packet, pressure)),
            (0xE0, &[first, second]) => channel.wheel = Some((packet, [first, second])),
            _ => {}
        }
    }
    channels
}

/// Compares the journal of packet `now`, at `time`, with what was sent in the packets before it.
///
/// `first` is the first one that it has to tell about; `None` if the recorder was free to leave
/// things out or to keep older ones, so that only what is told can be compared.
pub(crate) fn compare(
    journal: &OwnedJournal,
    sent: &[Sent],
    now: usize,
    time: u32,
    first: Option<usize>,
) -> Result<(), String> {
    let s = |packet: usize| packet + 1 != now;
    let required = |packet: usize| first.is_some_and(|first| packet >= first);
    for (index, channel) in state(sent).iter().enumerate() {
        let told = journal
            .channels
            .iter()
            .find(|it| usize::from(it.fixed.channel.index()) == index);
        let check = |chapter: &str, told: String, meant: String| {
            if told == meant {
                Ok(())
            } else {
                Err(format!(
                    "channel {index}, chapter {chapter}: told {told}, meant {meant}"
                ))
            }
        };

        // What must be told, and what is told although it need not be.
        let tells = |chapter: bool, packet: Option<usize>| match first {
            Some(_) => packet.is_some_and(required),
            None => chapter,
        };
        let program = told.and_then(|it| it.fixed.program);
        let meant = channel
            .program
            .filter(|it| tells(program.is_some(), Some(it.0)))
            .map(|(packet, program)| (s(packet), program));
        let program = program.map(|it| (it.s, it.program.get()));
        check("P", format!("{program:?}"), format!("{meant:?}"))?;

        let wheel = told.and_then(|it| it.fixed.wheel);
        let meant = channel
            .wheel
            .filter(|it| tells(wheel.is_some(), Some(it.0)))
            .map(|(packet, octets)| (s(packet), octets));
        let wheel = wheel.map(|it| {
            let bend = it.bend.to_u14();
            (it.s, [bend.lsb().get(), bend.msb().get()])
        });
        check("W", format!("{wheel:?}"), format!("{meant:?}"))?;

        let pressure = told.and_then(|it| it.fixed.pressure);
        let meant = channel
            .pressure
            .filter(|it| tells(pressure.is_some(), Some(it.0)))
            .map(|(packet, pressure)| (s(packet), pressure));
        let pressure = pressure.map(|it| (it.s, it.pressure.get()));
        check("T", format!("{pressure:?}"), format!("{meant:?}"))?;

        let mut on = BTreeMap::new();
        let mut off = Vec::new();
        let notes = told.and_then(|it| it.notes.as_ref());
        if let Some((b, logs, off_bits)) = notes {
            for log in logs {
                let told = (log.s, log.velocity.get(), log.play);
                on.insert(log.note.get(), told);
            }
            off.extend(off_bits.iter().map(|it| it.get()));
            // 0 exactly if the packet before held a note-off of this channel.
            let off_before = channel.off.is_some_and(|it| !s(it));
            check("N, B", b.to_string(), (!off_before).to_string())?;
        }
        let is_told = |note: &u8| on.contains_key(note) || off.contains(note);
        let mut meant_on = BTreeMap::new();
        let mut meant_off = Vec::new();
        for (note, &(packet, velocity, at)) in &channel.notes {
            if !tells(is_told(note), Some(packet)) {
                continue;
            }
            if velocity == 0 {
                meant_off.push(*note);
            } else {
                // 50 ms: so long a lost note is worth playing late.
                let play = time.wrapping_sub(at) <= 500;
                meant_on.insert(*note, (s(packet), velocity, play));
            }
        }
        check("N, logs", format!("{on:?}"), format!("{meant_on:?}"))?;
        check("N, OFFBITS", format!("{off:?}"), format!("{meant_off:?}"))?;
    }
    Ok(())
}
