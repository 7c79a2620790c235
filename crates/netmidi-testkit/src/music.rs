//! Music as it is played: who sends what, and when.

use core::time::Duration;

use netmidi_message::{Channel, ChannelMessage, Controller, Note, U7};

use crate::rng::Rng;

/// A message and when it is sent, counted from the beginning of the piece.
pub type Played = (Duration, ChannelMessage);

/// A sixteenth note of the piano piece, in milliseconds: 120 quarter notes a minute.
const SIXTEENTH: u64 = 125;
/// The major scale, in semitones above its root.
const SCALE: [u8; 7] = [0, 2, 4, 5, 7, 9, 11];
/// The degrees of the scale on which the chords of four bars stand.
const CHORDS: [usize; 4] = [0, 5, 3, 4];

/// A piano piece of this length on channel 1: a melody, chords and arpeggios below it, and the
/// sustain pedal; `seed` decides the details.
///
/// About 14 notes a second, up to 9 at once and more while the pedal is down. The notes of a chord
/// are up to 12 ms apart, as fingers are. The pedal is a continuous one and passes two values on
/// its way. Note-offs have the release velocity 64, as of keyboards that do not measure it. At the
/// end nothing sounds any more.
#[must_use]
pub fn piano(seed: u64, length: Duration) -> Vec<Played> {
    let mut rng = Rng::new(seed);
    let mut played = Vec::new();
    let steps = millis(length) / SIXTEENTH;
    let mut degree = 14;
    for step in 0..steps {
        let at = step * SIXTEENTH;
        let (bar, within) = (step / 16, step % 16);
        let root = CHORDS[(bar % 4) as usize];
        if within == 0 {
            pedal(&mut played, &mut rng, at);
        }
        // The melody: half of the sixteenths, by small steps; on the beat rather than beside it.
        let likely = if within.is_multiple_of(4) { 85 } else { 55 };
        if rng.percent(likely) {
            degree = (degree + rng.index(5)).saturating_sub(2).clamp(8, 24);
            let held = SIXTEENTH * (1 + u64::from(rng.below(3)));
            note(&mut played, &mut rng, at, degree, held);
        }
        // A chord on the first and third beat, in either hand.
        if within.is_multiple_of(8) {
            for third in 0..4 {
                note(
                    &mut played,
                    &mut rng,
                    at,
                    root + 7 + 2 * third,
                    SIXTEENTH * 7,
                );
            }
            note(&mut played, &mut rng, at, root, SIXTEENTH * 8);
        }
        // An arpeggio in eighths below.
        if within % 2 == 0 {
            let third = [0, 2, 4, 2][(within / 2 % 4) as usize];
            note(
                &mut played,
                &mut rng,
                at,
                root + third,
                SIXTEENTH + SIXTEENTH / 2,
            );
        }
    }
    let end = steps * SIXTEENTH + 1000;
    played.push((Duration::from_millis(end), control(0, 64, 0)));
    // What is sent first stands first; a note that is struck again is let go before.
    played.sort_by_key(|(at, _)| *at);
    played
}

/// The pedal is changed: up and down again.
fn pedal(played: &mut Vec<Played>, rng: &mut Rng, at: u64) {
    let late = u64::from(rng.below(20));
    for (after, value) in [(0, 80), (10, 30), (20, 0), (110, 40), (120, 90), (130, 127)] {
        let at = Duration::from_millis(at + late + after);
        played.push((at, control(0, 64, value)));
    }
}

/// A note of the scale, counted from the second C from below, with its end.
fn note(played: &mut Vec<Played>, rng: &mut Rng, at: u64, degree: usize, held: u64) {
    let key = 36 + 12 * (degree / 7) + usize::from(SCALE[degree % 7]);
    let key = Note::new(key as u8).unwrap();
    let velocity = U7::from_low_bits(40 + rng.below(60) as u8);
    let on = at + u64::from(rng.below(13));
    let off = on + held - u64::from(rng.below(20));
    let channel = Channel::C1;
    played.push((
        Duration::from_millis(on),
        ChannelMessage::note_on(channel, key, velocity),
    ));
    played.push((
        Duration::from_millis(off),
        ChannelMessage::note_off(channel, key, U7::from_low_bits(64)),
    ));
}

/// A controller with faders for 16 channels, for this long: each has level, panorama and two
/// sends; `seed` decides the details.
///
/// It looks at its faders 100 times a second. About half of the levels and one in eight of the
/// others are moving, so that about 14 messages go out at a time.
#[must_use]
pub fn faders(seed: u64, length: Duration) -> Vec<Played> {
    /// Level, panorama, reverb, chorus: how many of 100 move.
    const FADERS: [(u8, u32); 4] = [(7, 50), (10, 12), (91, 12), (93, 12)];
    let mut rng = Rng::new(seed);
    let mut played = Vec::new();
    let mut values = [[64u8; 4]; 16];
    let mut moving = [[false; 4]; 16];
    for scan in 0..millis(length) / 10 {
        let at = Duration::from_millis(scan * 10);
        // Whoever moves a fader goes on for half a second.
        if scan % 50 == 0 {
            for strip in &mut moving {
                for (fader, (_, likely)) in strip.iter_mut().zip(FADERS) {
                    *fader = rng.percent(likely);
                }
            }
        }
        for (channel, (strip, moving)) in values.iter_mut().zip(&moving).enumerate() {
            for ((value, moves), (controller, _)) in strip.iter_mut().zip(moving).zip(FADERS) {
                if *moves {
                    *value = (*value + 1 + rng.below(3) as u8) & 0x7F;
                    played.push((at, control(channel as u8, controller, *value)));
                }
            }
        }
    }
    played
}

fn control(channel: u8, controller: u8, value: u8) -> ChannelMessage {
    let channel = Channel::from_index(channel).unwrap();
    let controller = Controller::new(controller).unwrap();
    ChannelMessage::control_change(channel, controller, U7::from_low_bits(value))
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap()
}
