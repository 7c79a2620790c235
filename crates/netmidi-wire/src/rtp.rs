//! RTP packets.

use core::fmt;
use core::iter::FusedIterator;

use netmidi_message::BufferTooSmall;
use nom::Parser;
use nom::bytes::complete::take;
use nom::number::complete::be_u16;

use crate::commands::CommandSection;
use crate::encode::put_all;
use crate::error::ParseError;
use crate::parse;
use crate::seq::SeqNum;

/// The number by which a participant of a session is known (RFC 3550 §3), chosen by itself at
/// random.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Ssrc(pub u32);

impl fmt::Display for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// A moment on the clock of a sender, in units of that clock: 100 µs in AppleMIDI, where it is
/// the low half of the clock that CK packets show.
///
/// It wraps (after five days in AppleMIDI), so moments are not ordered, only a distance apart.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct RtpTimestamp(pub u32);

impl RtpTimestamp {
    /// The moment `units` later.
    #[must_use]
    #[inline]
    pub const fn wrapping_add(self, units: u32) -> Self {
        Self(self.0.wrapping_add(units))
    }

    /// How many units after `earlier` this moment is, the short way round; negative when before.
    #[must_use]
    #[inline]
    pub const fn distance_from(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }
}

/// What the payload of an RTP packet is, 0 to 127; 96 to 127 are agreed on by each session.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PayloadType(u8);

impl PayloadType {
    /// 97, RTP-MIDI in every AppleMIDI session.
    pub const APPLE_MIDI: Self = Self(97);

    /// The payload type, or `None` above 127.
    #[must_use]
    #[inline]
    pub const fn new(payload_type: u8) -> Option<Self> {
        if payload_type < 0x80 {
            Some(Self(payload_type))
        } else {
            None
        }
    }

    /// The number, 0 to 127.
    #[must_use]
    #[inline]
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// The fixed header of an RTP packet, as far as it says something (RFC 3550 §5.1).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |V=2|P|X|  CC   |M|     PT      |        sequence number        |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |                           timestamp                           |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |           synchronization source (SSRC) identifier            |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct RtpHeader {
    /// The marker M, which RFC 6295 §2.1 sets when the list of commands is not empty.
    ///
    /// macOS and the Windows driver rtpMIDI take no MIDI from packets that have it set: a
    /// receiver does well to ignore it, an AppleMIDI sender to leave it clear.
    pub marker: bool,
    /// What the payload is.
    pub payload_type: PayloadType,
    /// Number of the packet.
    pub seq: SeqNum,
    /// From when the delta times of the commands count.
    pub timestamp: RtpTimestamp,
    /// Who sent it.
    pub ssrc: Ssrc,
}

impl RtpHeader {
    /// Octets on the wire.
    pub const LEN: usize = 12;

    /// The header that AppleMIDI peers understand: marker clear, payload type 97.
    #[must_use]
    pub const fn midi(seq: SeqNum, timestamp: RtpTimestamp, ssrc: Ssrc) -> Self {
        Self {
            marker: false,
            payload_type: PayloadType::APPLE_MIDI,
            seq,
            timestamp,
            ssrc,
        }
    }

    /// Writes the header of a packet without padding, extension and contributing sources to the
    /// beginning of `out`, and returns [`LEN`](Self::LEN).
    ///
    /// # Errors
    /// When `out` is shorter than [`LEN`](Self::LEN); nothing is written then.
    #[inline]
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let available = out.len();
        let Some(out) = out.first_chunk_mut() else {
            return Err(BufferTooSmall {
                needed: Self::LEN,
                available,
            });
        };
        *out = self.to_octets(0);
        Ok(Self::LEN)
    }

    /// `flags` are P, X and CC.
    #[inline]
    fn to_octets(self, flags: u8) -> [u8; Self::LEN] {
        let marker = if self.marker { MARKER } else { 0 };
        let [s0, s1] = self.seq.0.to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp.0.to_be_bytes();
        let [i0, i1, i2, i3] = self.ssrc.0.to_be_bytes();
        let first = VERSION << 6 | flags;
        let second = marker | self.payload_type.0;
        [first, second, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3]
    }
}

/// An RTP packet whose headers and padding are in order (RFC 3550 §5.1).
///
/// ```text
/// fixed header | CSRC list | header extension | payload | padding
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RtpPacket<'a> {
    header: RtpHeader,
    csrc: Csrc<'a>,
    extension: Option<Extension<'a>>,
    payload: &'a [u8],
    /// 0 without padding, else its octets with the one that counts them.
    padding: u8,
}

impl<'a> RtpPacket<'a> {
    /// Reads the RTP layer of a datagram and leaves the payload alone.
    ///
    /// # Errors
    /// In this order: the fixed header is cut, the version is not 2, the list of contributing
    /// sources is cut, the extension is cut, the padding is impossible.
    #[inline]
    pub fn parse(octets: &'a [u8]) -> Result<Self, ParseError> {
        let end = octets.len();
        // Every packet comes this way: one look at the length is faster than five.
        let Some((fixed, rest)) = octets.split_first_chunk::<{ RtpHeader::LEN }>() else {
            return Err(ParseError::TruncatedRtpHeader { offset: end });
        };
        let [first, second, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3] = *fixed;
        if first >> 6 != VERSION {
            return Err(ParseError::BadRtpVersion {
                version: first >> 6,
            });
        }
        let header = RtpHeader {
            marker: second & MARKER != 0,
            payload_type: PayloadType(second & !MARKER),
            seq: SeqNum(u16::from_be_bytes([s0, s1])),
            timestamp: RtpTimestamp(u32::from_be_bytes([t0, t1, t2, t3])),
            ssrc: Ssrc(u32::from_be_bytes([i0, i1, i2, i3])),
        };
        let count = first & CSRC_COUNT;
        let (rest, csrc) = parse::fields(rest, take(usize::from(count) * 4), || {
            ParseError::TruncatedCsrc { offset: end, count }
        })?;
        let (rest, extension) = if first & EXTENSION == 0 {
            (rest, None)
        } else {
            let (rest, extension) = parse::fields(rest, Extension::fields, || {
                ParseError::TruncatedExtension { offset: end }
            })?;
            (rest, Some(extension))
        };
        let (payload, padding) = if first & PADDING == 0 {
            (rest, 0)
        } else {
            without_padding(rest, end)?
        };
        Ok(Self {
            header,
            csrc: Csrc { octets: csrc },
            extension,
            payload,
            padding,
        })
    }

    /// A packet to be encoded, without contributing sources, extension and padding.
    #[must_use]
    pub const fn new(header: RtpHeader, payload: &'a [u8]) -> Self {
        Self {
            header,
            csrc: Csrc { octets: &[] },
            extension: None,
            payload,
            padding: 0,
        }
    }

    /// The same with these contributing sources.
    #[must_use]
    pub const fn with_csrc(mut self, csrc: Csrc<'a>) -> Self {
        self.csrc = csrc;
        self
    }

    /// The same with this header extension.
    #[must_use]
    pub const fn with_extension(mut self, extension: Extension<'a>) -> Self {
        self.extension = Some(extension);
        self
    }

    /// The same with this many octets of padding, the last of which counts them; 0 for none.
    #[must_use]
    pub const fn with_padding(mut self, octets: u8) -> Self {
        self.padding = octets;
        self
    }

    /// The fixed header.
    #[must_use]
    #[inline]
    pub const fn header(&self) -> RtpHeader {
        self.header
    }

    /// The contributing sources: those whose streams a mixer has put together.
    #[must_use]
    pub const fn csrc(&self) -> Csrc<'a> {
        self.csrc
    }

    /// The header extension.
    #[must_use]
    pub const fn extension(&self) -> Option<Extension<'a>> {
        self.extension
    }

    /// Whether octets after the payload were there to fill the packet up.
    #[must_use]
    pub const fn is_padded(&self) -> bool {
        self.padding != 0
    }

    /// How many octets of padding there are, the one that counts them included.
    #[must_use]
    pub const fn padding(&self) -> u8 {
        self.padding
    }

    /// What the packet carries, without the padding.
    #[must_use]
    #[inline]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Reads the payload as RTP-MIDI.
    ///
    /// # Errors
    /// When the payload is no MIDI command section: see [`CommandSection::parse`]. The offset
    /// counts from the start of the datagram.
    #[inline]
    pub fn command_section(&self) -> Result<CommandSection<'a>, ParseError> {
        CommandSection::parse_at(self.payload, self.header.timestamp, self.payload_offset())
    }

    /// Octets on the wire.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.payload_offset() + self.payload.len() + usize::from(self.padding)
    }

    /// Writes the packet to the beginning of `out` and returns how many octets it took.
    ///
    /// # Errors
    /// When `out` is shorter than [`encoded_len`](Self::encoded_len); nothing is written then.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
        const ZEROS: [u8; 255] = [0; 255];
        let mut flags = (self.csrc.octets.len() / 4) as u8;
        if self.padding != 0 {
            flags |= PADDING;
        }
        let header = self.header.to_octets(flags);
        let (filling, count): (_, &[u8]) = match self.padding {
            0 => (0, &[]),
            octets => (octets - 1, &[octets]),
        };
        let filling = ZEROS.get(..filling.into()).unwrap_or_default();
        let Some(extension) = self.extension else {
            return put_all(
                out,
                &[&header, self.csrc.octets, self.payload, filling, count],
            );
        };
        let header = self.header.to_octets(flags | EXTENSION);
        let profile = extension.profile.to_be_bytes();
        let words = ((extension.data.len() / 4) as u16).to_be_bytes();
        put_all(
            out,
            &[
                &header,
                self.csrc.octets,
                &profile,
                &words,
                extension.data,
                self.payload,
                filling,
                count,
            ],
        )
    }

    /// The packet as octets.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn to_vec(&self) -> alloc::vec::Vec<u8> {
        crate::encode::to_vec(self.encoded_len(), |out| self.encode(out))
    }

    #[inline]
    fn payload_offset(&self) -> usize {
        let extension = self.extension.map_or(0, |it| it.data.len() + 4);
        RtpHeader::LEN + self.csrc.octets.len() + extension
    }
}

/// The contributing sources of an RTP packet, at most 15.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Csrc<'a> {
    octets: &'a [u8],
}

impl<'a> Csrc<'a> {
    /// The sources in their form on the wire, four octets each; `None` when it is not whole
    /// sources or more than 15.
    #[must_use]
    pub const fn new(octets: &'a [u8]) -> Option<Self> {
        if octets.len().is_multiple_of(4) && octets.len() <= 60 {
            Some(Self { octets })
        } else {
            None
        }
    }
}

impl Iterator for Csrc<'_> {
    type Item = Ssrc;

    fn next(&mut self) -> Option<Ssrc> {
        let (source, rest) = self.octets.split_first_chunk()?;
        self.octets = rest;
        Some(Ssrc(u32::from_be_bytes(*source)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.octets.len() / 4;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Csrc<'_> {}
impl FusedIterator for Csrc<'_> {}

/// The header extension of an RTP packet (RFC 3550 §5.3.1).
///
/// RTP-MIDI defines none: receivers step over it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Extension<'a> {
    profile: u16,
    data: &'a [u8],
}

impl<'a> Extension<'a> {
    /// An extension with these octets, or `None` when they are not whole words of four octets or
    /// more than 65,535 words.
    #[must_use]
    pub const fn new(profile: u16, data: &'a [u8]) -> Option<Self> {
        if data.len().is_multiple_of(4) && data.len() / 4 <= u16::MAX as usize {
            Some(Self { profile, data })
        } else {
            None
        }
    }

    /// The number that tells what the extension is.
    #[must_use]
    pub const fn profile(self) -> u16 {
        self.profile
    }

    /// Its octets, whole words of four, without profile and length.
    #[must_use]
    pub const fn data(self) -> &'a [u8] {
        self.data
    }

    fn fields(input: &'a [u8]) -> nom::IResult<&'a [u8], Self, ()> {
        let (rest, (profile, words)) = (be_u16, be_u16).parse(input)?;
        let (rest, data) = take(usize::from(words) * 4).parse(rest)?;
        Ok((rest, Self { profile, data }))
    }
}

const VERSION: u8 = 2;
const PADDING: u8 = 0x20;
const EXTENSION: u8 = 0x10;
const CSRC_COUNT: u8 = 0x0F;
const MARKER: u8 = 0x80;

/// Takes the padding off a datagram that ends at `end`.
fn without_padding(rest: &[u8], end: usize) -> Result<(&[u8], u8), ParseError> {
    let padding = rest.last().copied().unwrap_or_default();
    match rest.len().checked_sub(padding.into()) {
        Some(len) if padding != 0 => Ok((rest.get(..len).unwrap_or_default(), padding)),
        _ => Err(ParseError::BadPadding {
            offset: end - 1,
            padding,
            available: rest.len(),
        }),
    }
}
