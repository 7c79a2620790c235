//! Packets without their journal, or without one chapter of it: to show that a test needs it.

use netmidi_journal::{Chapter, Journal};
use netmidi_wire::{Datagram, RtpPacket};

use crate::journals::{OwnedChannel, OwnedJournal, OwnedSystem};

/// The flag J of the command section.
const J: u8 = 0x40;

/// The packet without this chapter in its journal, or with `None` without any journal.
///
/// A channel or system journal that has no chapter left goes too; the header of the journal stays,
/// with the checkpoint, so that an empty journal still covers what it covered. S bits stay as they
/// are: one that is 0 for a chapter that is gone is never wrong.
///
/// What is no RTP-MIDI packet, has no journal or not this chapter comes back as it was.
///
/// # Panics
/// When the journal is malformed.
#[must_use]
pub fn strip(packet: &[u8], chapter: Option<Chapter>) -> Vec<u8> {
    stripped(packet, chapter).unwrap_or_else(|| packet.to_vec())
}

fn stripped(octets: &[u8], chapter: Option<Chapter>) -> Option<Vec<u8>> {
    let Ok(Datagram::Rtp(packet)) = Datagram::parse(octets) else {
        return None;
    };
    let journal = packet.command_section().ok()?.journal()?;
    let mut payload = packet.payload()[..packet.payload().len() - journal.len()].to_vec();
    match chapter {
        None => payload[0] &= !J,
        Some(chapter) => payload.extend(without(journal, chapter)?),
    }
    let mut again = RtpPacket::new(packet.header(), &payload)
        .with_csrc(packet.csrc())
        .with_padding(packet.padding());
    if let Some(extension) = packet.extension() {
        again = again.with_extension(extension);
    }
    Some(again.to_vec())
}

/// `None` if the chapter is not in it.
fn without(octets: &[u8], chapter: Chapter) -> Option<Vec<u8>> {
    let journal = Journal::parse(octets)
        .unwrap_or_else(|error| panic!("a malformed journal: {error}: {octets:02x?}"));
    let mut journal = OwnedJournal::read(&journal);
    let mut found = false;
    if let Some(system) = &mut journal.system {
        found |= remove_system(system, chapter);
        if found && system.with_view(|it| it.is_empty()) {
            journal.system = None;
        }
    }
    journal.channels.retain_mut(|channel| {
        let removed = remove_channel(channel, chapter);
        found |= removed;
        !removed || channel.with_view(|it| !it.is_empty())
    });
    found.then(|| journal.encode().expect("shorter than it was"))
}

fn remove_system(system: &mut OwnedSystem, chapter: Chapter) -> bool {
    match chapter {
        Chapter::D => system.simple.take().is_some(),
        Chapter::V => system.active_sense.take().is_some(),
        Chapter::Q => system.sequencer.take().is_some(),
        Chapter::F => system.timecode.take().is_some(),
        Chapter::X => system.sysex.take().is_some(),
        _ => false,
    }
}

fn remove_channel(channel: &mut OwnedChannel, chapter: Chapter) -> bool {
    match chapter {
        Chapter::P => channel.fixed.program.take().is_some(),
        Chapter::C => channel.controls.take().is_some(),
        Chapter::M => channel.parameters.take().is_some(),
        Chapter::W => channel.fixed.wheel.take().is_some(),
        Chapter::N => channel.notes.take().is_some(),
        Chapter::E => channel.extras.take().is_some(),
        Chapter::T => channel.fixed.pressure.take().is_some(),
        Chapter::A => channel.poly_pressure.take().is_some(),
        _ => false,
    }
}
