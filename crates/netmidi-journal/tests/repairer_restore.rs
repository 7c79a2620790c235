//! An application that missed a stretch of messages is brought to the true state.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic here is a failed test"
)]

use netmidi_journal::{Arrival, Repairer, RepairerConfig, Restored, Snapshot};
use netmidi_message::{Message, MessageBuf, messages};
use netmidi_testkit::{CHAPTERS, Instrument, Script, ScriptMix, Tolerance, properties};
use netmidi_wire::{RtpTimestamp, SegmentKind, SeqNum, SysExSegment};
use proptest::prelude::*;

/// A stream whose messages all arrive, an instrument that hears them all, and an application that
/// hears them as long as nobody says otherwise.
struct Stand {
    repairer: Repairer,
    true_one: Instrument,
    application: Instrument,
    hears: bool,
    seq: u16,
    /// In the middle of a step a packet may end.
    in_packet: u32,
}

impl Stand {
    fn new() -> Self {
        Self {
            repairer: Repairer::new(RepairerConfig::default()),
            true_one: Instrument::new(),
            application: Instrument::new(),
            hears: true,
            seq: 0,
            in_packet: 0,
        }
    }

    fn play(&mut self, message: &Message<'_>) {
        let at = RtpTimestamp(u32::from(self.seq) * 100);
        if self.in_packet == 0 {
            let arrival = if self.seq == 0 {
                Arrival::First
            } else {
                Arrival::InOrder
            };
            self.seq += 1;
            self.repairer.begin(SeqNum(self.seq), at, arrival);
        }
        self.in_packet = (self.in_packet + 1) % 3;
        match message {
            Message::SysEx(sysex) => {
                let segment = SysExSegment::new(SegmentKind::Whole, sysex.data()).unwrap();
                self.repairer.join(segment);
            }
            _ => self.repairer.observe(at, *message),
        }
        self.true_one.play(message);
        if self.hears {
            self.application.play(message);
        }
    }

    fn play_octets(&mut self, octets: &[u8]) {
        for message in messages(octets).collect::<Vec<_>>() {
            self.play(&message.as_message());
        }
    }

    fn miss(&mut self) -> Snapshot {
        self.hears = false;
        self.repairer.snapshot()
    }

    fn restore(&mut self, from: &Snapshot) -> (Restored, Vec<MessageBuf>) {
        let mut handed_out = Vec::new();
        let restored = self.repairer.restore(from, &mut |message| {
            self.application.play(&message);
            handed_out.push(message.to_buf());
        });
        assert_eq!(restored.messages as usize, handed_out.len());
        self.hears = true;
        (restored, handed_out)
    }

    /// The true instrument in everything, but for system exclusive messages that were reported
    /// missing.
    fn difference(&self, restored: &Restored) -> Option<String> {
        let missing = usize::try_from(restored.sysex_missed).unwrap();
        let tolerance = Tolerance::STRICT.with_missing_sysex(missing);
        self.application.difference(&self.true_one, &tolerance)
    }

    /// What these octets make of an application that misses the second part.
    fn missed(before: &[u8], missed: &[u8]) -> (Restored, Vec<Vec<u8>>) {
        let mut stand = Self::new();
        stand.play_octets(before);
        let from = stand.miss();
        stand.play_octets(missed);
        let (restored, messages) = stand.restore(&from);
        assert_eq!(stand.difference(&restored), None);
        (restored, messages.iter().map(MessageBuf::to_vec).collect())
    }
}

fn mix(index: usize) -> ScriptMix {
    match CHAPTERS.get(index) {
        Some(chapter) => ScriptMix::chapter(*chapter),
        None => ScriptMix::everything(),
    }
}

proptest! {
    #![proptest_config(properties())]

    /// Whatever is missed, and wherever: what is handed out makes an instrument of the application
    /// that is the true one in everything, and stays so.
    #[test]
    fn a_missed_stretch_leaves_no_trace(
        // Everything at once twice as often as each chapter.
        index in 0..CHAPTERS.len() + 2,
        seed in any::<u64>(),
        begin in 0..300_usize,
        len in 0..300_usize,
        rest in 0..100_usize,
        quiet in any::<bool>(),
    ) {
        let mut mix = mix(index).with_messages(begin + len + rest + 1);
        if quiet {
            // In few resets there is more to bring back.
            mix.channels = 2;
            mix = mix.without_resets();
        }
        let script = Script::new(&mix, seed);
        let messages: Vec<_> = script.messages().collect();
        let mut stand = Stand::new();
        messages[..begin].iter().for_each(|it| stand.play(&it.as_message()));
        let from = stand.miss();
        messages[begin..begin + len].iter().for_each(|it| stand.play(&it.as_message()));
        let (restored, handed_out) = stand.restore(&from);
        prop_assert_eq!(restored.untold, 0);
        if let Some(difference) = stand.difference(&restored) {
            prop_assert!(false, "{} after {:?}", difference, handed_out);
        }
        prop_assert!(len > 0 || handed_out.is_empty(), "{:?}", handed_out);
        // Taken now, a snapshot has nothing to bring back.
        let (nothing, _) = stand.restore(&stand.repairer.snapshot());
        prop_assert_eq!(nothing, Restored::default());
        messages[begin + len..].iter().for_each(|it| stand.play(&it.as_message()));
        if let Some(difference) = stand.difference(&restored) {
            prop_assert!(false, "later: {} after {:?}", difference, handed_out);
        }
    }

    /// Messages may be missed again while they are brought back: what was delivered is known.
    #[test]
    fn a_restoration_can_be_taken_up_again(
        index in 0..CHAPTERS.len() + 2,
        seed in any::<u64>(),
        len in 1..300_usize,
        taken in 0..40_usize,
    ) {
        let script = Script::new(&mix(index).with_messages(2 * len), seed);
        let messages: Vec<_> = script.messages().collect();
        let mut stand = Stand::new();
        messages[..len].iter().for_each(|it| stand.play(&it.as_message()));
        let mut from = stand.miss();
        messages[len..].iter().for_each(|it| stand.play(&it.as_message()));
        let mut delivered = from.clone();
        let mut left = taken;
        let application = &mut stand.application;
        let first = stand.repairer.restore(&from, &mut |message| {
            if left > 0 {
                left -= 1;
                application.play(&message);
                delivered.restored(&stand.repairer, message);
            }
        });
        from = delivered;
        let (second, handed_out) = stand.restore(&from);
        prop_assert!(second.messages <= first.messages.saturating_sub(taken as u32) + 16,
            "{:?} then {:?}", first, second);
        if let Some(difference) = stand.difference(&second) {
            prop_assert!(false, "{} after {:?}", difference, handed_out);
        }
    }
}

#[test]
fn notes_end_and_those_that_are_held_are_struck() {
    let (_, messages) = Stand::missed(
        &[0x90, 60, 1, 0x90, 61, 2, 0x90, 62, 3],
        &[0x80, 60, 9, 0x80, 61, 9, 0x90, 61, 2, 0x90, 63, 4],
    );
    assert_eq!(
        messages,
        [[0x80, 60, 64], [0x80, 61, 64], [0x90, 61, 2], [0x90, 63, 4]]
    );
}

#[test]
fn what_resets_comes_first_and_ends_what_sounds() {
    let before = [0x90, 60, 1, 0xB0, 7, 90, 0xC0, 5, 0xF3, 4];
    let (_, messages) = Stand::missed(&before, &[0xFF, 0x90, 62, 3, 0xF3, 2]);
    let expected: [&[u8]; 4] = [&[0x80, 60, 64], &[0xFF], &[0xF3, 2], &[0x90, 62, 3]];
    assert_eq!(messages, expected);
    let gm_on = [0xF0, 0x7E, 0x7F, 9, 1, 0xF7];
    let (_, messages) = Stand::missed(&before, &[&[0xFF], gm_on.as_slice()].concat());
    assert_eq!(messages, [[0x80, 60, 64].as_slice(), &gm_on]);
}

#[test]
fn a_reset_of_controllers_stands_between_what_came_before_and_after_it() {
    let before = [0xB0, 1, 5, 0xB0, 11, 6, 0xE0, 1, 2];
    // Three commands are a packet.
    let old = [0xB0, 7, 90, 0xB0, 8, 1, 0xB0, 8, 2];
    let new = [0xB0, 121, 0, 0xB0, 11, 6, 0xD0, 3];
    let (_, messages) = Stand::missed(&before, &[&old[..], &new].concat());
    let expected: [&[u8]; 5] = [&old[..3], &old[6..], &new[..3], &new[3..6], &new[6..]];
    assert_eq!(messages, expected);
}

#[test]
fn a_program_comes_with_the_bank_that_it_was_chosen_from() {
    let (_, messages) = Stand::missed(
        &[0xB0, 0, 1, 0xB0, 32, 2, 0xC0, 3],
        &[0xB0, 0, 4, 0xC0, 3, 0xB0, 32, 5],
    );
    let expected: [&[u8]; 3] = [&[0xB0, 0, 4], &[0xC0, 3], &[0xB0, 32, 5]];
    assert_eq!(messages, expected);
}

#[test]
fn what_cannot_be_brought_back_is_counted() {
    let sysex = [0xF0, 1, 2, 3, 0xF7, 0xF0, 4, 5, 6, 0xF7];
    let full_frame = [0xF0, 0x7F, 0x7F, 1, 1, 1, 2, 3, 4, 0xF7];
    let orders = [0xF6, 0xFE, 0xF9];
    let (restored, messages) =
        Stand::missed(&[], &[sysex.as_slice(), &full_frame, &orders].concat());
    assert_eq!((restored.sysex_missed, restored.untold), (2, 0));
    assert_eq!(messages, [full_frame]);

    let mut stand = Stand::new();
    let from = stand.miss();
    stand.play_octets(&[0x90, 60, 100].repeat(20));
    stand.play_octets(&[0xB0, 101, 0, 0xB0, 100, 0]);
    stand.play_octets(&[0xB0, 96, 0].repeat(130));
    let (restored, messages) = stand.restore(&from);
    assert_eq!(restored.untold, 4 + 2);
    assert_eq!(messages.len(), 16 + 2 + 128);
}
