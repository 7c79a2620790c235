//! MIDI messages as mido writes them, which is how the example server prints them.
//!
//! Written against the MIDI specification and not with our own crates: it judges them.

/// The text of the complete message in `bytes`, or `None` for what the interop list never holds.
pub(crate) fn text(bytes: &[u8]) -> Option<String> {
    let (&status, data) = bytes.split_first()?;
    let channel = status & 0x0f;
    Some(match (status & 0xf0, data) {
        (0x80, [note, velocity]) => {
            format!("note_off channel={channel} note={note} velocity={velocity}")
        }
        (0x90, [note, velocity]) => {
            format!("note_on channel={channel} note={note} velocity={velocity}")
        }
        (0xa0, [note, value]) => format!("polytouch channel={channel} note={note} value={value}"),
        (0xb0, [control, value]) => {
            format!("control_change channel={channel} control={control} value={value}")
        }
        (0xc0, [program]) => format!("program_change channel={channel} program={program}"),
        (0xd0, [value]) => format!("aftertouch channel={channel} value={value}"),
        (0xe0, [low, high]) => {
            let pitch = (i32::from(*high) << 7 | i32::from(*low)) - 8192;
            format!("pitchwheel channel={channel} pitch={pitch}")
        }
        (0xf0, [data @ .., 0xf7]) if status == 0xf0 => {
            let list: Vec<String> = data.iter().map(u8::to_string).collect();
            format!("sysex data=({})", list.join(","))
        }
        _ => return None,
    })
}

/// The octets of lower or upper case hex without blanks.
pub(crate) fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = hex
        .chars()
        .map(|c| c.to_digit(16).map(|d| d as u8))
        .collect::<Option<_>>()?;
    let octets = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some(high << 4 | low),
        _ => None,
    });
    octets.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_as_in_mido() {
        let of = |hex| text(&from_hex(hex).unwrap());
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            of("8f3c40"),
            some("note_off channel=15 note=60 velocity=64")
        );
        assert_eq!(of("903c64"), some("note_on channel=0 note=60 velocity=100"));
        assert_eq!(of("a13c05"), some("polytouch channel=1 note=60 value=5"));
        assert_eq!(
            of("b07b00"),
            some("control_change channel=0 control=123 value=0")
        );
        assert_eq!(of("c305"), some("program_change channel=3 program=5"));
        assert_eq!(of("d47f"), some("aftertouch channel=4 value=127"));
        assert_eq!(of("e00040"), some("pitchwheel channel=0 pitch=0"));
        assert_eq!(of("e00000"), some("pitchwheel channel=0 pitch=-8192"));
        assert_eq!(of("e07f7f"), some("pitchwheel channel=0 pitch=8191"));
        assert_eq!(of("f001027ff7"), some("sysex data=(1,2,127)"));
        assert_eq!(of("f0f7"), some("sysex data=()"));
        assert_eq!(of("903c"), None);
        assert_eq!(of("f001"), None);
        assert_eq!(from_hex("90c"), None);
        assert_eq!(from_hex("9g"), None);
    }
}
