//! What a participant was left with by what was sent to it: keys that sound and pedals that are down.

use alloc::boxed::Box;

use netmidi_message::Message;

/// Keys and pedals that are down.
///
/// It takes memory with the first of them: many participants are never sent a note.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sounding(Option<Box<netmidi_message::Sounding>>);

impl Sounding {
    /// A message went out.
    pub(crate) fn observe(&mut self, message: &Message<'_>) {
        if let Some(it) = &mut self.0 {
            it.observe(message);
        } else if netmidi_message::Sounding::begins(message) {
            self.0.insert(Box::default()).observe(message);
        }
    }

    /// Whether a message ends something that sounds, or lets go a pedal that is down; it does so now.
    pub(crate) fn end(&mut self, message: &Message<'_>) -> bool {
        self.0.as_mut().is_some_and(|it| it.end(message))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn it_takes_memory_with_the_first_key_or_pedal() {
        let mut sounding = Sounding::default();
        for wire in [&[0xB0, 7, 127][..], &[0x80, 60, 0], &[0xFF]] {
            let message = Message::parse(wire).unwrap();
            sounding.observe(&message);
            assert!(!sounding.end(&message));
            assert!(sounding.0.is_none(), "{wire:02x?}");
        }
        sounding.observe(&Message::parse(&[0x90, 60, 1]).unwrap());
        assert!(sounding.0.is_some());
        assert!(sounding.end(&Message::parse(&[0x80, 60, 0]).unwrap()));
    }
}
