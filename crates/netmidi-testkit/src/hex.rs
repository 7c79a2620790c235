//! Octets as hexadecimal text.

/// Reads hex digits; white space between octets is allowed.
///
/// # Panics
/// When the text is not whole octets of hex digits.
#[must_use]
pub fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| u8::try_from(c.to_digit(16).expect("a hex digit")).unwrap())
        .collect();
    assert!(digits.len().is_multiple_of(2), "half an octet in {text:?}");
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// Writes lower-case hex digits without spaces.
#[must_use]
pub fn to_hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
