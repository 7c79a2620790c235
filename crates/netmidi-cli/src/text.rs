//! What comes from others, made fit to be shown.

use std::borrow::Cow;
use std::fmt::Write;

/// A name that somebody else chose: nothing in it may play tricks with the terminal.
pub(crate) fn tame(name: &str) -> Cow<'_, str> {
    if name.chars().any(is_trick) {
        let tamed = name
            .chars()
            .map(|c| if is_trick(c) { '\u{FFFD}' } else { c });
        Cow::Owned(tamed.collect())
    } else {
        Cow::Borrowed(name)
    }
}

fn is_trick(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Octets as people write them: `90 3c 64`.
pub(crate) fn hex(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len() * 3);
    for (index, octet) in octets.iter().enumerate() {
        let space = if index == 0 { "" } else { " " };
        // Writing to a String does not fail.
        let _ = write!(text, "{space}{octet:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_command_the_terminal() {
        assert_eq!(
            tame("Stage \u{1b}[2J\u{202e}x\n"),
            "Stage \u{FFFD}[2J\u{FFFD}x\u{FFFD}"
        );
        assert_eq!(tame("Örgel 🎹"), "Örgel 🎹");
    }

    #[test]
    fn octets_are_shown_apart() {
        assert_eq!(hex(&[0x90, 0x3c, 0x64]), "90 3c 64");
        assert_eq!(hex(&[]), "");
    }
}
