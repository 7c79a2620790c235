//! Header lines: what is one, what is none, and what becomes of the rest.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use netmidi_message::Dialect;
use netmidi_tcp::{Header, HeaderError, MAX_HEADER_LINES, MAX_HEADER_OCTETS};
use netmidi_testkit::fuzz::{Read, Received, ReceivedHeader, receive};
use netmidi_testkit::to_hex;

const NOTE: &[u8] = &[0x90, 60, 64];

/// What comes of a stream in words: header lines in braces, messages in hex, discards in brackets
/// with offset and length. The same in every chunking.
fn read(octets: &[u8]) -> String {
    let read = Read::new(Dialect::Din);
    let whole = receive(read, [octets]).unwrap();
    for piece in [1, 2, 3, 7] {
        assert_eq!(receive(read, octets.chunks(piece)).unwrap(), whole);
    }
    let words: Vec<String> = whole.iter().map(in_words).collect();
    words.join(" ")
}

fn in_words(received: &Received) -> String {
    match received {
        Received::Header(ReceivedHeader { version, fields }) => {
            let version = version.map(|(major, minor)| format!("MIDI/{major}.{minor}"));
            let fields = fields.iter().map(|(name, value)| format!("{name}={value}"));
            let lines: Vec<String> = version.into_iter().chain(fields).collect();
            format!("{{{}}}", lines.join("|"))
        }
        Received::Message(message) => to_hex(&message.to_vec()),
        Received::Discarded(reason, offset, len, _) => {
            format!("[{} {offset}+{len}]", reason.code())
        }
    }
}

/// Like [`read`], with a note behind it that comes out in every case.
#[track_caller]
fn with_note(text: &str) -> String {
    let said = read(&[text.as_bytes(), NOTE].concat());
    said.strip_suffix("903c40").unwrap().trim_end().to_owned()
}

#[test]
fn a_stream_that_begins_with_a_status_has_no_header() {
    assert_eq!(read(NOTE), "903c40");
    assert_eq!(read(b"\xFEName: x\r\n\r\n"), "fe [stray-data 1+11]");
    assert_eq!(read(b""), "");
}

#[test]
fn header_lines_are_read() {
    assert_eq!(with_note("MIDI/1.0\r\n\r\n"), "{MIDI/1.0}");
    assert_eq!(
        with_note("MIDI/1.0\r\nName: Stage piano\r\nSoftware: x 1\r\n\r\n"),
        "{MIDI/1.0|Name=Stage piano|Software=x 1}"
    );
    // No version, line feeds alone, blanks around the value, none, an empty value, colons in it.
    assert_eq!(
        with_note("Name:x\nA: \t b\tc \n!#$%&'*+-.^_`|~9z:\nB: c: d\n\n"),
        "{Name=x|A=b\tc|!#$%&'*+-.^_`|~9z=|B=c: d}"
    );
    // A name that comes twice, and another version.
    assert_eq!(with_note("MIDI/2.1\nA: b\na: c\n\n"), "{MIDI/2.1|A=b|a=c}");
}

#[test]
fn a_status_octet_or_the_end_of_the_stream_ends_the_header() {
    assert_eq!(with_note("MIDI/1.0\r\nA: b\r\n"), "{MIDI/1.0|A=b}");
    assert_eq!(read(b"MIDI/1.0\r\nA: b\r\n"), "{MIDI/1.0|A=b}");
    // Real time is a status octet like the others.
    assert_eq!(
        read(b"MIDI/1.0\r\n\xF8A: b\r\n\r\n"),
        "{MIDI/1.0} f8 [stray-data 11+8]"
    );
    // So is an F7, and one that is not defined.
    assert_eq!(read(b"A: b\r\n\xF7"), "{A=b} [stray-end 6+1]");
    assert_eq!(read(b"A: b\r\n\xF4"), "{A=b} f4");
    // A line that is not complete is none.
    assert_eq!(with_note("A: b\r\nC: d"), "[stray-data 6+4] {A=b}");
    assert_eq!(with_note("A: b\r\nC: d\r"), "[stray-data 6+5] {A=b}");
    assert_eq!(read(b"A: b"), "[stray-data 0+4]");
}

#[test]
fn what_follows_the_empty_line_is_no_header() {
    assert_eq!(
        with_note("A: b\r\n\r\nC: d\r\n\r\n"),
        "{A=b} [stray-data 8+8]"
    );
    assert_eq!(with_note("\r\nA: b\r\n\r\n"), "[stray-data 0+10]");
    assert_eq!(with_note("\n\n"), "[stray-data 0+2]");
}

#[test]
fn lines_that_are_none_are_stray_and_the_others_count() {
    for line in [
        "no colon",
        ": x",
        "Na me: x",
        "Name : x",
        " Name: x",
        "(x): y",
        "Na\u{0}me: x",
        "A: \u{7}",
        "A: \u{7f}",
        "A: b\rc",
        "A: b\r",
        "MIDI/1",
        "MIDI/1.0 ",
        "midi/1.0",
        "MIDI/1.0.0",
        "\r",
        " ",
        "\t: x",
    ] {
        let len = line.len() + 2;
        assert_eq!(
            with_note(&format!("A: b\r\n{line}\r\nC: d\r\n\r\n")),
            format!("[stray-data 6+{len}] {{A=b|C=d}}"),
            "{line:?}"
        );
        assert_eq!(
            with_note(&format!("{line}\r\nMIDI/1.0\r\n\r\n")),
            format!("[stray-data 0+{len}] {{MIDI/1.0}}"),
            "{line:?}"
        );
    }
    // The version comes first or not at all.
    assert_eq!(
        with_note("A: b\r\nMIDI/1.0\r\n\r\n"),
        "[stray-data 6+10] {A=b}"
    );
    assert_eq!(
        with_note("MIDI/1.0\r\nMIDI/1.0\r\n\r\n"),
        "[stray-data 10+10] {MIDI/1.0}"
    );
}

#[test]
fn no_more_lines_than_the_bound() {
    let lines = |count: usize| -> String { (0..count).map(|i| format!("A: {i}\n")).collect() };
    let fits = lines(MAX_HEADER_LINES);
    let said = with_note(&format!("{fits}\n"));
    assert_eq!(said.matches("A=").count(), MAX_HEADER_LINES);
    assert!(said.starts_with('{') && said.ends_with('}'), "{said}");
    let said = with_note(&format!("{fits}B: x\n\n"));
    assert_eq!(said.matches("A=").count(), MAX_HEADER_LINES);
    assert!(
        said.starts_with(&format!("[stray-data {}+5] {{", fits.len())),
        "{said}"
    );
    // The version is a line.
    let said = with_note(&format!("MIDI/1.0\n{fits}\n"));
    assert_eq!(said.matches("A=").count(), MAX_HEADER_LINES - 1);
    assert!(said.starts_with("[stray-data "), "{said}");
}

#[test]
fn no_more_octets_than_the_bound() {
    let section = |len: usize| format!("A: {}\r\n\r\n", "x".repeat(len - 7));
    let fits = section(MAX_HEADER_OCTETS);
    assert_eq!(fits.len(), MAX_HEADER_OCTETS);
    assert!(with_note(&fits).starts_with("{A=x"));
    assert_eq!(
        with_note(&section(MAX_HEADER_OCTETS + 1)),
        format!("[stray-data 0+{}]", MAX_HEADER_OCTETS + 1)
    );
    // A header that is read can be written: with the blank and carriage returns it has its bound.
    let tight = format!("A:{}\n\n", "x".repeat(MAX_HEADER_OCTETS - 4));
    assert_eq!(tight.len(), MAX_HEADER_OCTETS);
    assert_eq!(
        with_note(&tight),
        format!("[stray-data 0+{MAX_HEADER_OCTETS}]")
    );
    // What stands beyond is none, and what was before counts.
    let long = format!("A: b\r\n{}\r\nC: d\r\n\r\n", "x".repeat(MAX_HEADER_OCTETS));
    assert_eq!(
        with_note(&long),
        format!(
            "[stray-data 6+{}] {{A=b}} [stray-data {}+16]",
            MAX_HEADER_OCTETS - 6,
            MAX_HEADER_OCTETS
        )
    );
    // Octets without a line end are told of as soon as the bound is reached, and then as they come.
    assert_eq!(with_note(&"x".repeat(100_000)), "[stray-data 0+100000]");
}

#[test]
fn a_header_is_written_as_it_is_read() {
    let header = Header::new()
        .field(Header::NAME, "Stage piano")
        .unwrap()
        .field(Header::SOFTWARE, "netmidi 0.1")
        .unwrap()
        .field("X-Empty", "")
        .unwrap();
    let octets = header.to_bytes();
    assert_eq!(
        octets,
        "MIDI/1.0\r\nName: Stage piano\r\nSoftware: netmidi 0.1\r\nX-Empty: \r\n\r\n"
    );
    assert_eq!(octets.len(), header.encoded_len());
    assert!(octets.is_ascii());
    assert_eq!(
        read(&octets),
        "{MIDI/1.0|Name=Stage piano|Software=netmidi 0.1|X-Empty=}"
    );
    let mut out = vec![1];
    header.encode(&mut out);
    assert_eq!(out[1..], octets);
    assert_eq!(
        header.to_string(),
        "MIDI/1.0, Name: Stage piano, Software: netmidi 0.1, X-Empty: "
    );
    assert_eq!(header.version(), Some((1, 0)));
    assert_eq!(header.get("SOFTWARE"), Some("netmidi 0.1"));
    assert_eq!(header.get("Missing"), None);
    assert_eq!(header.iter().len(), 3);
    assert_eq!(Header::default(), Header::new());
    assert_eq!(Header::new().to_bytes(), "MIDI/1.0\r\n\r\n");
}

#[test]
fn the_first_of_a_name_is_the_one_that_get_gives() {
    let header = Header::new().field("A", "1").unwrap();
    let header = header.field("a", "2").unwrap();
    assert_eq!(header.get("a"), Some("1"));
    let values: Vec<_> = header.iter().collect();
    assert_eq!(values, [("A", "1"), ("a", "2")]);
}

#[track_caller]
fn refused(name: &str, value: &str) -> String {
    Header::new().field(name, value).unwrap_err().to_string()
}

#[test]
fn a_field_that_cannot_be_sent_is_an_error_that_says_why() {
    assert_eq!(
        refused("", "x"),
        "a header field needs a name, such as `Software`"
    );
    assert_eq!(
        refused("Na me", "x"),
        "octet 20 at 2 of the header field name \"Na me\" cannot be sent: use letters, digits and hyphens"
    );
    assert_eq!(
        refused("A", "b\r\nC: d"),
        "octet 0D at 1 of the value of header field `A` cannot be sent: use printable ASCII"
    );
    // Not one octet above 7F, or it would be a message.
    assert_eq!(
        refused("Name", "Flügel"),
        "octet C3 at 2 of the value of header field `Name` cannot be sent: use printable ASCII"
    );
    assert_eq!(
        refused("A", "b "),
        "the value of header field `A` begins or ends with a blank, which its reader would not see: \
         leave the blank out"
    );
    assert!(matches!(
        Header::new().field("A", "\tb"),
        Err(HeaderError::OuterBlank { .. })
    ));
}

#[test]
fn a_header_that_grows_too_large_is_an_error() {
    let mut header = Header::new();
    for index in 1..MAX_HEADER_LINES {
        header = header.field("A", &index.to_string()).unwrap();
    }
    assert_eq!(
        header.field("B", "x").unwrap_err().to_string(),
        "header field `B` is one too many: a header has at most 32 lines, leave one out"
    );

    let room = MAX_HEADER_OCTETS - Header::new().encoded_len() - "A: \r\n".len();
    let full = Header::new().field("A", &"x".repeat(room)).unwrap();
    assert_eq!(full.encoded_len(), MAX_HEADER_OCTETS);
    assert!(read(&full.to_bytes()).starts_with("{MIDI/1.0|A=x"));
    assert_eq!(
        refused("A", &"x".repeat(room + 1)),
        "with field `A` the header has 4097 octets, and at most 4096 are allowed: shorten it"
    );
}
