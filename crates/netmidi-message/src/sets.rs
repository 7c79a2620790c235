//! Messages that silence an instrument, in the sets that people send.

use crate::channel::ChannelMessage;
use crate::value::{Bend, Channel, Controller, U7};

/// All notes off (controller 123) on all sixteen channels: 16 messages.
///
/// Notes held by a pedal go on; see [`panic_messages`] and [`silence`].
pub fn all_notes_off() -> impl ExactSizeIterator<Item = ChannelMessage> + Clone {
    on_all_channels(Controller::ALL_NOTES_OFF)
}

/// What mido sends as `reset()`: all notes off (controller 123), then reset all controllers (121),
/// channel after channel. 32 messages.
pub fn reset_messages() -> impl Iterator<Item = ChannelMessage> + Clone {
    Channel::all().flat_map(|channel| {
        [Controller::ALL_NOTES_OFF, Controller::RESET_ALL_CONTROLLERS]
            .map(|control| ChannelMessage::control_change(channel, control, U7::MIN))
    })
}

/// What mido sends as `panic()`: all sound off (controller 120) on all sixteen channels, 16
/// messages.
pub fn panic_messages() -> impl ExactSizeIterator<Item = ChannelMessage> + Clone {
    on_all_channels(Controller::ALL_SOUND_OFF)
}

/// Everything that ends sound on one channel, for instruments that know only some of it: both
/// pedals up, all notes off, all sound off, controllers reset, pitch wheel at rest. 6 messages.
///
/// The pedals come first, because an instrument keeps the notes they hold through "all notes off".
///
/// ```
/// use netmidi_message::{Channel, silence};
///
/// assert_eq!(silence(Channel::C1).count(), 6);
/// ```
pub fn silence(channel: Channel) -> impl ExactSizeIterator<Item = ChannelMessage> + Clone {
    let control = |control| ChannelMessage::control_change(channel, control, U7::MIN);
    [
        control(Controller::SUSTAIN),
        control(Controller::SOSTENUTO),
        control(Controller::ALL_NOTES_OFF),
        control(Controller::ALL_SOUND_OFF),
        control(Controller::RESET_ALL_CONTROLLERS),
        ChannelMessage::PitchBend {
            channel,
            bend: Bend::CENTER,
        },
    ]
    .into_iter()
}

fn on_all_channels(control: Controller) -> impl ExactSizeIterator<Item = ChannelMessage> + Clone {
    Channel::all().map(move |channel| ChannelMessage::control_change(channel, control, U7::MIN))
}
