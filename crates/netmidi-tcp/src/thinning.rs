//! What a client that does not read misses, and what takes it to the right state nevertheless
//! ([`Overflow::Thin`](crate::Overflow::Thin)). No socket and no clock.
//!
//! While there is no room for it, a client hears only what ends a note or lets go a pedal that it
//! holds ([`Thinning::dropped`]). Of everything else that lasts, the last value is kept here and told
//! when there is room again ([`Thinning::settle`]), in an order that leaves the client as the whole
//! stream would have left it:
//!
//! - System reset (FF), then for each channel the mode messages (120 to 127), the program with the
//!   bank that was valid then and the bank that was chosen later, parameters, controllers, pitch
//!   bend and pressures; at last the song, its position and whether it plays.
//! - Of two halves of a controller (0 to 31 and 32 to 63), of a bank and of data entry, the one that
//!   came last is told last, because an upper half sets the lower one to 0.
//! - Parameters (RPN, NRPN) are selected for their last value one after the other, in the order in
//!   which they were set last; what was selected in the end is selected again. The data buttons (96,
//!   97) are pressed as often as it takes to get where they led since the last data entry, at most
//!   [`MAX_PRESSES`] times; without a parameter they are pressed as often as they were, up to the
//!   same bound. Of more than [`MAX_PARAMETERS`] parameters those set least recently are gone.
//! - Reset all controllers (121) undoes what RP-015 says: 1, 11, 64 to 67, pitch bend, pressures and
//!   the selected parameter. Parameters set before it are told before it; for that it may be told
//!   twice. System reset undoes everything.
//! - All sound off (120) goes through, too, when a note was heard on its channel since the last one,
//!   as what it silences may be a tail; so does what ends notes together with a mode (123 to 127).
//!
//! Gone is what leaves no state or none that is known: notes that were pressed meanwhile (their ends,
//! too, unless the client holds an older note of that key), clocks, active sensing, quarter frames,
//! tune requests, system exclusive messages and what MIDI 1.0 leaves undefined (F4, F5, F9, FD).
//! A sequencer that plays by clocks is behind by those that were dropped, as after any lost clock.

mod client;
mod owed;
#[cfg(test)]
mod tests;

use netmidi_message::{Message, RealTime};

use client::Client;
use owed::Owed;

/// So many times a key can be pressed without a release and is still released as often. An
/// instrument that counts would let it hang after more.
const MAX_STACKED: u8 = 15;
/// So many parameters, of all channels together, are told with their last values.
const MAX_PARAMETERS: usize = 128;
/// So many presses of the data buttons are made up for, for each parameter.
const MAX_PRESSES: u8 = 127;

/// The state of one client that misses messages, and what it is owed.
///
/// It takes about 2.5 kB. What is owed takes up to 12 kB more, from the first message dropped that
/// leaves a state until [`settle`](Self::settle).
#[derive(Debug)]
pub(crate) struct Thinning {
    /// As the client is when it has read all that is queued for it.
    client: Box<Client>,
    /// How it should be, as far as that is different; nothing outside an overflow.
    owed: Option<Box<Owed>>,
}

impl Thinning {
    /// What [`settle`](Self::settle) says and what [`dropped`](Self::dropped) lets through before it
    /// come to this many octets at most, each message with its status.
    #[cfg(test)]
    pub(crate) const MAX_OWED_OCTETS: usize = client::MAX_ENDS_OCTETS + owed::MAX_OCTETS;

    pub(crate) fn new() -> Self {
        Self {
            client: Box::default(),
            owed: None,
        }
    }

    /// A message goes to the client (it is queued); never between [`dropped`](Self::dropped) and
    /// [`settle`](Self::settle) while something is [owed](Self::owes).
    pub(crate) fn passed(&mut self, message: &Message<'_>) {
        self.client.hear(message);
    }

    /// There is no room for a message. Whether it has to go to the client nevertheless, because it
    /// ends a note or lets go a pedal that the client holds; it counts as passed then.
    ///
    /// From the first one on it is called for every message, with room or without, until
    /// [`settle`](Self::settle) unless nothing is [owed](Self::owes). Between two calls of `settle`
    /// it lets through at most as many messages as the client holds keys and pedals, and one for each
    /// channel more.
    pub(crate) fn dropped(&mut self, message: &Message<'_>) -> bool {
        let keeps = self.client.would_end(message);
        if keeps {
            self.client.hear(message);
        }
        if *message == Message::RealTime(RealTime::Reset) {
            self.owed = (!keeps).then(|| Box::new(Owed::system_reset()));
        } else if let Some(owed) = &mut self.owed {
            owed.follow(message, keeps);
        } else if !keeps && owed::lasts(message) {
            let mut owed = Box::new(Owed::new(&self.client));
            owed.follow(message, false);
            self.owed = Some(owed);
        }
        keeps
    }

    /// Whether [`settle`](Self::settle) has to come before anything else can pass. Now and then it
    /// turns out that there is nothing to say.
    pub(crate) const fn owes(&self) -> bool {
        self.owed.is_some()
    }

    /// There is room again: says what takes the client to the state in which the whole stream would
    /// have left it, all of which goes to the client.
    pub(crate) fn settle(&mut self, sink: impl FnMut(Message<'_>)) {
        if let Some(owed) = self.owed.take() {
            owed.tell(&mut self.client, sink);
        }
    }
}
