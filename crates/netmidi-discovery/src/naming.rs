//! Names of sessions (DNS-SD instance names) and of hosts.

use crate::error::Error;

/// The service type of RTP-MIDI sessions, in the domain of multicast DNS.
pub(crate) const SERVICE: &str = "_apple-midi._udp.local.";

/// The longest session name, in octets of UTF-8: a DNS label (RFC 6763 §4.1.1).
pub const MAX_NAME_OCTETS: usize = 63;

/// Octets of a session name that are kept in the host name.
const HOST_STEM: usize = 20;

/// Whether `name` may be announced.
pub(crate) fn check(name: &str) -> Result<(), Error> {
    if name.is_empty() {
        Err(Error::NameEmpty)
    } else if name.len() > MAX_NAME_OCTETS {
        Err(Error::NameTooLong {
            name: name.to_owned(),
        })
    } else if name.chars().any(char::is_control) {
        Err(Error::NameControl {
            name: name.to_owned(),
        })
    } else {
        Ok(())
    }
}

/// The instance name in `NAME._apple-midi._udp.local.`.
pub(crate) fn instance(fullname: &str) -> Option<&str> {
    fullname
        .strip_suffix(SERVICE)?
        .strip_suffix('.')
        .filter(|name| !name.is_empty())
}

/// The instance name in a full name as the multicast DNS library writes those that it was given:
/// with a backslash before dots and backslashes (RFC 6763 §4.3).
pub(crate) fn own_instance(fullname: &str) -> Option<String> {
    let mut name = String::new();
    let mut letters = instance(fullname)?.chars();
    while let Some(letter) = letters.next() {
        name.push(match letter {
            '\\' => letters.next()?,
            other => other,
        });
    }
    Some(name)
}

/// `name` with hyphens for dots and strokes for backslashes.
///
/// The multicast DNS library (0.21.7) announces names with dots, and then neither answers questions
/// about them nor defends them: peers would see the session for two minutes.
pub(crate) fn servable(name: &str) -> String {
    let name = name.replace(". ", " ").replace('.', "-");
    name.replace('\\', "/")
}

/// `wanted`, or else the first of "NAME (2)", "NAME (3)" ... that is not `taken` (RFC 6763
/// Appendix D). A number that is there already is counted on from.
pub(crate) fn first_free(wanted: &str, taken: impl Fn(&str) -> bool) -> String {
    if !taken(wanted) {
        return wanted.to_owned();
    }
    let (stem, mut number) = split_number(wanted);
    loop {
        number = number.saturating_add(1);
        let name = numbered(stem, number);
        // At the very last number there is nothing left to try.
        if number == u32::MAX || !taken(&name) {
            return name;
        }
    }
}

/// DNS names are the same when they differ in the case of ASCII letters only (RFC 6762 §16).
pub(crate) fn same(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right)
}

/// A host name of our own for the session `name`. `random` makes it unique, so that its addresses
/// are those of this session alone.
pub(crate) fn host(name: &str, random: u64) -> String {
    let mut stem = String::new();
    for letter in name.chars().map(|letter| letter.to_ascii_lowercase()) {
        if letter.is_ascii_alphanumeric() {
            stem.push(letter);
        } else if !stem.is_empty() && !stem.ends_with('-') {
            stem.push('-');
        }
        if stem.len() >= HOST_STEM {
            break;
        }
    }
    let stem = match stem.trim_end_matches('-') {
        "" => "netmidi",
        stem => stem,
    };
    // A letter at the end: a number would be counted up by whoever renames it.
    format!("{stem}-{random:016x}m.local.")
}

/// "Piano (2)" is "Piano" and 2; "Piano" is itself and 1.
fn split_number(name: &str) -> (&str, u32) {
    let parts = name
        .strip_suffix(')')
        .and_then(|rest| rest.rsplit_once(" ("));
    match parts.and_then(|(stem, number)| Some((stem, number.parse().ok()?))) {
        Some((stem, number)) if !stem.is_empty() && number >= 2 => (stem, number),
        _ => (name, 1),
    }
}

/// "STEM (NUMBER)" in a label's octets; the stem is cut at a character where it must.
fn numbered(stem: &str, number: u32) -> String {
    let suffix = format!(" ({number})");
    let mut end = stem.len().min(MAX_NAME_OCTETS.saturating_sub(suffix.len()));
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    let stem = stem.get(..end).unwrap_or_default().trim_end();
    format!("{stem}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(wanted: &str, taken: &[&str]) -> String {
        first_free(wanted, |name| taken.iter().any(|other| same(name, other)))
    }

    #[test]
    fn a_taken_name_gets_the_next_number() {
        assert_eq!(free("Piano", &[]), "Piano");
        assert_eq!(free("Piano", &["piano"]), "Piano (2)");
        assert_eq!(free("Piano", &["Piano", "Piano (2)"]), "Piano (3)");
        assert_eq!(free("Piano (2)", &["Piano (2)"]), "Piano (3)");
        assert_eq!(free("Piano (x)", &["Piano (x)"]), "Piano (x) (2)");
        assert_eq!(free("a.b", &["a.b"]), "a.b (2)");
    }

    #[test]
    fn a_numbered_name_still_fits_a_label() {
        let long = "é".repeat(31) + "x";
        let name = free(&long, &[&long]);
        assert!(name.len() <= MAX_NAME_OCTETS, "{}", name.len());
        assert_eq!(name, "é".repeat(29) + " (2)");
    }

    #[test]
    fn only_what_fits_a_label_is_announced() {
        assert!(check(&"x".repeat(63)).is_ok());
        assert!(check("Flügel · 调音").is_ok());
        assert!(matches!(check(""), Err(Error::NameEmpty)));
        assert!(matches!(
            check(&"é".repeat(32)),
            Err(Error::NameTooLong { .. })
        ));
        assert!(matches!(check("a\nb"), Err(Error::NameControl { .. })));
    }

    #[test]
    fn the_instance_is_what_stands_before_the_type() {
        assert_eq!(instance("A. B._apple-midi._udp.local."), Some("A. B"));
        assert_eq!(instance("_apple-midi._udp.local."), None);
        assert_eq!(instance("A._http._tcp.local."), None);
    }

    #[test]
    fn names_with_dots_are_announced_without() {
        assert_eq!(servable("Mr. Smith's v1.2"), "Mr Smith's v1-2");
        assert_eq!(servable(r"a\b"), "a/b");
        assert_eq!(servable("Flügel"), "Flügel");
    }

    #[test]
    fn our_own_names_come_back_escaped() {
        let name = own_instance(r"No\.1 \\ A._apple-midi._udp.local.");
        assert_eq!(name.as_deref(), Some(r"No.1 \ A"));
    }

    #[test]
    fn hosts_are_plain_dns_names() {
        assert_eq!(
            host("Stage Piano!", 0x1f),
            "stage-piano-000000000000001fm.local."
        );
        assert_eq!(host("钢琴", 1), "netmidi-0000000000000001m.local.");
        assert!(host(&"x".repeat(63), 1).len() < 63);
    }
}
