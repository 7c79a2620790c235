//! Header lines before the first message.

use core::fmt;

use bytes::{BufMut, Bytes, BytesMut};

/// A header has at most so many lines; the empty line at its end is not counted.
pub const MAX_HEADER_LINES: usize = 32;

/// A header has at most so many octets, with all line ends and the empty line; what stands later in
/// a stream is none.
pub const MAX_HEADER_OCTETS: usize = 4096;

/// The lines that a peer may send before its first message, as in HTTP: `MIDI/1.0`, and any number
/// of `Name: value`, up to [`MAX_HEADER_LINES`] and [`MAX_HEADER_OCTETS`].
///
/// They are 7-bit ASCII, so a peer that expects none, such as mido, takes them for data octets
/// without a status and ignores them. Nothing depends on them: they tell people who is there. Names
/// are compared without regard to case; of a name that comes several times every value is kept.
///
/// ```
/// use netmidi_tcp::Header;
///
/// let header = Header::new()
///     .field(Header::NAME, "Stage piano")?
///     .field(Header::SOFTWARE, "netmidi 0.1")?;
/// assert_eq!(header.get("name"), Some("Stage piano"));
/// assert_eq!(
///     header.to_bytes(),
///     "MIDI/1.0\r\nName: Stage piano\r\nSoftware: netmidi 0.1\r\n\r\n"
/// );
/// # Ok::<(), netmidi_tcp::HeaderError>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Header {
    version: Option<(u8, u8)>,
    fields: Vec<(Box<str>, Box<str>)>,
}

/// Why a field cannot be part of a header.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The name has no octet.
    #[error("a header field needs a name, such as `Software`")]
    EmptyName,
    /// An octet of the name is none of those that a token of HTTP has (RFC 9110 §5.6.2).
    #[error(
        "octet {found:02X} at {offset} of the header field name {name:?} cannot be sent: use letters, \
         digits and hyphens"
    )]
    NameOctet {
        /// The name.
        name: String,
        /// Where in the name, from 0.
        offset: usize,
        /// The octet.
        found: u8,
    },
    /// An octet of the value is neither printable ASCII nor a tab.
    #[error(
        "octet {found:02X} at {offset} of the value of header field `{name}` cannot be sent: use \
         printable ASCII"
    )]
    ValueOctet {
        /// The name.
        name: String,
        /// Where in the value, from 0.
        offset: usize,
        /// The octet.
        found: u8,
    },
    /// The value begins or ends with a space or a tab.
    #[error(
        "the value of header field `{name}` begins or ends with a blank, which its reader would not \
         see: leave the blank out"
    )]
    OuterBlank {
        /// The name.
        name: String,
    },
    /// The header has [`MAX_HEADER_LINES`] already.
    #[error(
        "header field `{name}` is one too many: a header has at most {MAX_HEADER_LINES} lines, leave \
         one out"
    )]
    TooManyLines {
        /// The name.
        name: String,
    },
    /// The header would have more than [`MAX_HEADER_OCTETS`].
    #[error(
        "with field `{name}` the header has {octets} octets, and at most {MAX_HEADER_OCTETS} are \
         allowed: shorten it"
    )]
    TooLong {
        /// The name.
        name: String,
        /// How many octets the header would have.
        octets: usize,
    },
}

impl Default for Header {
    fn default() -> Self {
        Self::new()
    }
}

impl Header {
    /// The field that says what the peer is called, for people: an instrument, a place on stage.
    pub const NAME: &'static str = "Name";
    /// The field that says which program the peer is, and its version.
    pub const SOFTWARE: &'static str = "Software";

    /// A header with the line `MIDI/1.0` and no fields.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            version: Some((1, 0)),
            fields: Vec::new(),
        }
    }

    /// A header of which no line was read yet.
    pub(crate) const fn unread() -> Self {
        Self {
            version: None,
            fields: Vec::new(),
        }
    }

    /// Adds a field, behind those that are there.
    ///
    /// # Errors
    /// When the name is not made of letters, digits and ``!#$%&'*+-.^_`|~``, when the value has
    /// octets other than printable ASCII and tabs or a blank at one of its ends, or when the header
    /// would be larger than it may be.
    pub fn field(mut self, name: &str, value: &str) -> Result<Self, HeaderError> {
        if name.is_empty() {
            return Err(HeaderError::EmptyName);
        }
        let octets = name.bytes().enumerate();
        for (offset, found) in octets {
            if !is_token_octet(found) {
                let name = name.to_owned();
                return Err(HeaderError::NameOctet {
                    name,
                    offset,
                    found,
                });
            }
        }
        for (offset, found) in value.bytes().enumerate() {
            if !is_value_octet(found) {
                let name = name.to_owned();
                return Err(HeaderError::ValueOctet {
                    name,
                    offset,
                    found,
                });
            }
        }
        if value.starts_with(BLANKS) || value.ends_with(BLANKS) {
            let name = name.to_owned();
            return Err(HeaderError::OuterBlank { name });
        }
        if self.line_count() >= MAX_HEADER_LINES {
            let name = name.to_owned();
            return Err(HeaderError::TooManyLines { name });
        }
        let octets = self.encoded_len() + field_len(name, value);
        if octets > MAX_HEADER_OCTETS {
            let name = name.to_owned();
            return Err(HeaderError::TooLong { name, octets });
        }
        self.fields.push((name.into(), value.into()));
        Ok(self)
    }

    /// The version of MIDI in the first line, major and minor; `None` if the peer sent no such line.
    #[must_use]
    pub const fn version(&self) -> Option<(u8, u8)> {
        self.version
    }

    /// The value of the first field of that name, in upper or lower case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Octets on the wire, the empty line included; never more than [`MAX_HEADER_OCTETS`].
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let fields: usize = self
            .iter()
            .map(|(name, value)| field_len(name, value))
            .sum();
        self.version.map_or(0, |_| VERSION_LEN) + fields + LINE_END.len()
    }

    /// Appends all lines and the empty line at the end.
    ///
    /// # Panics
    /// As every [`BufMut`], when it has a fixed size and less room than
    /// [`encoded_len`](Self::encoded_len).
    pub fn encode(&self, out: &mut impl BufMut) {
        if let Some((major, minor)) = self.version {
            out.put_slice(b"MIDI/");
            out.put_slice(&[b'0' + major, b'.', b'0' + minor]);
            out.put_slice(LINE_END);
        }
        for (name, value) in self.iter() {
            out.put_slice(name.as_bytes());
            out.put_slice(b": ");
            out.put_slice(value.as_bytes());
            out.put_slice(LINE_END);
        }
        out.put_slice(LINE_END);
    }

    /// All lines and the empty line at the end.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.encoded_len());
        self.encode(&mut out);
        out.freeze()
    }

    /// Whether there is not one line.
    pub(crate) fn is_empty(&self) -> bool {
        self.line_count() == 0
    }

    /// Reads a line, without its line end; `false` when it is no header line and nothing changed.
    pub(crate) fn read_line(&mut self, line: &[u8]) -> bool {
        if let Some(version) = version(line) {
            let first = self.is_empty();
            if first {
                self.version = Some(version);
            }
            return first;
        }
        let Some((name, value)) = field(line) else {
            return false;
        };
        let fits = self.line_count() < MAX_HEADER_LINES
            && self.encoded_len() + field_len(name, value) <= MAX_HEADER_OCTETS;
        if fits {
            self.fields.push((name.into(), value.into()));
        }
        fits
    }

    fn line_count(&self) -> usize {
        usize::from(self.version.is_some()) + self.fields.len()
    }
}

/// On one line, for logs: `MIDI/1.0, Name: Stage piano`.
impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if let Some((major, minor)) = self.version {
            write!(f, "MIDI/{major}.{minor}")?;
            separator = ", ";
        }
        for (name, value) in self.iter() {
            write!(f, "{separator}{name}: {value}")?;
            separator = ", ";
        }
        Ok(())
    }
}

const LINE_END: &[u8] = b"\r\n";
const VERSION_LEN: usize = b"MIDI/1.0\r\n".len();
const BLANKS: [char; 2] = [' ', '\t'];

fn field_len(name: &str, value: &str) -> usize {
    name.len() + b": ".len() + value.len() + LINE_END.len()
}

/// `MIDI/`, a digit, a dot and a digit.
fn version(line: &[u8]) -> Option<(u8, u8)> {
    let digit = |octet: u8| octet.is_ascii_digit().then(|| octet - b'0');
    match line.strip_prefix(b"MIDI/")? {
        [major, b'.', minor] => Some((digit(*major)?, digit(*minor)?)),
        _ => None,
    }
}

/// Name and value of a field, without the blanks around the value.
fn field(line: &[u8]) -> Option<(&str, &str)> {
    let (name, value) = str::from_utf8(line).ok()?.split_once(':')?;
    let whole =
        !name.is_empty() && name.bytes().all(is_token_octet) && value.bytes().all(is_value_octet);
    whole.then(|| (name, value.trim_matches(BLANKS)))
}

/// RFC 9110 §5.6.2, `tchar`.
fn is_token_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet)
}

fn is_value_octet(octet: u8) -> bool {
    octet == b'\t' || octet == b' ' || octet.is_ascii_graphic()
}
