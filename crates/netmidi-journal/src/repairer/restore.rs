//! An application that has missed messages, and what brings it back.

use alloc::boxed::Box;

use netmidi_message::Message;
use netmidi_wire::CommandSection;

use super::channel::ChannelModel;
use super::system::SystemModel;
use super::{ChannelModels, Repairer, Repairs, Stamp, channel_model, clear};

/// What an application holds of one sender's stream: its state, not its past.
///
/// Take one with [`Repairer::snapshot`] before the first message that is not delivered any more, and
/// give it to [`Repairer::restore`] when messages can be delivered again. If the room came to an end
/// in the middle of a repair, the snapshot is of the time before and what was delivered of that
/// goes to [`repaired`](Self::repaired); of a restoration, to [`restored`](Self::restored).
///
/// Memory: as much as the repairer, less what that remembers of system exclusive messages.
#[derive(Debug)]
pub struct Snapshot {
    /// Of the packet that was the last.
    stamp: Stamp,
    channels: ChannelModels,
    system: Box<SystemModel>,
}

/// What [`Repairer::restore`] did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Restored {
    /// Messages that were handed out.
    pub messages: u32,
    /// System exclusive messages that the application has missed for good. Full frames of time code
    /// and messages that reset everything are not among them: what they did is brought back.
    pub sysex_missed: u64,
    /// Values that could not be brought back: note-ons of a note that was struck more than 16 times
    /// without being let go, steps of parameters (controllers 96 and 97) beyond 128 for each and
    /// 1,024 in all, parameters beyond the last 256 of a channel, a song position beyond 98,303 MIDI
    /// clocks, F4 or F5 with more data than a journal could show.
    pub untold: u32,
}

impl Repairer {
    /// What an application holds to which everything was delivered so far.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            stamp: self.stamp,
            channels: self.channels.clone(),
            system: Box::new(
                self.system
                    .as_ref()
                    .map(|it| it.lasting())
                    .unwrap_or_default(),
            ),
        }
    }

    /// Hands out the messages that bring an application from what it holds to what the sender's
    /// stream has made of the instrument by now, in the order in which they are to be played. They
    /// need not be [observed](Self::observe).
    ///
    /// Notes that sound now are struck with their velocity however old they are, unlike those of a
    /// [`repair`](Self::repair): the sender still holds them, an instrument that had heard it all
    /// would sound them, and their note-offs are still to come. Orders that leave nothing behind
    /// (tune request, active sense, all sound off) are not repeated. What came before all notes
    /// were ended counts no more: pressures from then are not brought back.
    ///
    /// Where nothing has changed since the snapshot nothing is handed out.
    pub fn restore(&self, from: &Snapshot, emit: &mut dyn FnMut(Message<'_>)) -> Restored {
        let Ok(list) = CommandSection::parse(&[0], self.stamp.at) else {
            return Restored::default();
        };
        let mut out = Repairs::new(emit, &list, self.stamp);
        let mut restored = Restored::default();
        let mut was_reset = false;
        if let Some(now) = &self.system {
            let mut own = from.system.lasting();
            if let Some(by) = own.missed_reset(now) {
                was_reset = true;
                // Instruments differ in whether it ends notes.
                for model in from.channels.iter().flatten() {
                    let mut model = model.clone();
                    model.silence_notes(&mut out);
                }
                own.restore_reset(by, &mut out);
            }
            restored.sysex_missed = own.restore(now, &mut out);
        }
        for (now, own) in self.channels.iter().zip(&from.channels) {
            if let Some(now) = now {
                let mut own = match own {
                    Some(own) if !was_reset => own.clone(),
                    _ => Box::new(ChannelModel::new(now.channel)),
                };
                own.restore(now, &mut out);
            }
        }
        restored.messages = out.done.messages;
        restored.untold = out.untold;
        restored
    }
}

impl Snapshot {
    /// A message that a repair has handed out since was delivered after all.
    pub fn repaired(&mut self, message: Message<'_>) {
        let stamp = Stamp {
            ext: self.stamp.ext - 1,
            at: self.stamp.at,
        };
        self.execute(stamp, message);
    }

    /// A message was delivered that a restoration from this snapshot by `repairer` has handed out.
    ///
    /// Where there was room for some of its messages only: do so for each of those on a copy of the
    /// snapshot, and restore from the copy when there is room again.
    pub fn restored(&mut self, repairer: &Repairer, message: Message<'_>) {
        self.stamp = repairer.stamp;
        if self.execute(self.stamp, message)
            && let Some(now) = &repairer.system
        {
            self.system.is_reset_as(now);
        }
    }

    /// Returns whether the message resets the whole system.
    fn execute(&mut self, stamp: Stamp, message: Message<'_>) -> bool {
        let resets = match message {
            Message::Channel(message) => {
                channel_model(&mut self.channels, message.channel()).observe(stamp, message);
                false
            }
            Message::SysEx(sysex) => self.system.observe_sysex(sysex),
            _ => self.system.observe(stamp.ext, message),
        };
        if resets {
            clear(&mut self.channels);
        }
        resets
    }
}

impl Clone for Snapshot {
    fn clone(&self) -> Self {
        Self {
            stamp: self.stamp,
            channels: self.channels.clone(),
            system: Box::new(self.system.lasting()),
        }
    }
}
