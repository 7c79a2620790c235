//! Writes a capture file: the classic format, each datagram in UDP, IPv4 and Ethernet.
//!
//! By hand, because it is forty octets of headers: the crates for it bring a second syn and
//! thiserror along.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Octets in front of the UDP payload: Ethernet, IPv4, UDP.
pub(crate) const HEADERS: usize = 14 + 20 + 8;

/// The ports are chosen out of these, as many as there may be sessions.
pub(crate) const FIRST_PORT: u16 = 20_000;
pub(crate) const PORTS: u16 = 8_000;

/// One datagram, from and to ports that no other session has.
#[derive(Clone, Debug)]
pub(crate) struct Datagram<'a> {
    pub(crate) session: usize,
    pub(crate) payload: &'a [u8],
}

pub(crate) fn write<'a>(
    path: &Path,
    datagrams: impl IntoIterator<Item = Datagram<'a>>,
) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    out.write_all(&0xA1B2_C3D4_u32.to_le_bytes())?; // times in microseconds
    out.write_all(&[2, 0, 4, 0])?; // version 2.4
    out.write_all(&[0; 8])?; // time zone, accuracy
    out.write_all(&65_535_u32.to_le_bytes())?; // longest packet
    out.write_all(&1_u32.to_le_bytes())?; // Ethernet
    for (number, datagram) in (0_u32..).zip(datagrams) {
        let payload = datagram.payload;
        let len = HEADERS + payload.len();
        for word in [number / 1000, number % 1000 * 1000, len as u32, len as u32] {
            out.write_all(&word.to_le_bytes())?;
        }
        out.write_all(&headers(datagram.session, payload.len()))?;
        out.write_all(payload)?;
    }
    out.flush()
}

fn headers(session: usize, payload: usize) -> Vec<u8> {
    let mut headers = Vec::with_capacity(HEADERS);
    headers.extend([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]); // local addresses
    headers.extend([0x08, 0x00]); // IPv4

    let mut ip = [0; 20];
    ip[0] = 0x45; // version 4, five words of header
    ip[2..4].copy_from_slice(&((20 + 8 + payload) as u16).to_be_bytes());
    ip[8] = 64; // hops
    ip[9] = 17; // UDP
    ip[12..16].copy_from_slice(&[127, 0, 0, 1]);
    ip[16..20].copy_from_slice(&[127, 0, 0, 1]);
    let words = ip
        .chunks(2)
        .map(|it| u32::from(it[0]) << 8 | u32::from(it[1]));
    let sum: u32 = words.sum();
    let checksum = !((sum & 0xFFFF) + (sum >> 16)) as u16;
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    headers.extend(ip);

    let port = FIRST_PORT + 2 * session as u16;
    headers.extend(port.to_be_bytes());
    headers.extend((port + 1).to_be_bytes());
    headers.extend(((8 + payload) as u16).to_be_bytes());
    headers.extend([0, 0]); // no checksum, as IPv4 permits
    headers
}
