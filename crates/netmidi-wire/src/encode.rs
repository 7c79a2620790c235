//! Writing what consists of a few parts.

use netmidi_message::BufferTooSmall;

/// Writes the parts one after the other, or nothing when they do not all fit.
pub(crate) fn put_all(out: &mut [u8], parts: &[&[u8]]) -> Result<usize, BufferTooSmall> {
    let needed = parts.iter().map(|part| part.len()).sum();
    let available = out.len();
    if needed > available {
        return Err(BufferTooSmall { needed, available });
    }
    let mut out = out;
    for part in parts {
        let Some((to, rest)) = out.split_at_mut_checked(part.len()) else {
            return Err(BufferTooSmall { needed, available });
        };
        to.copy_from_slice(part);
        out = rest;
    }
    Ok(needed)
}

/// Lets `encode` fill a vector of exactly the length it asks for.
#[cfg(feature = "alloc")]
pub(crate) fn to_vec(
    len: usize,
    encode: impl FnOnce(&mut [u8]) -> Result<usize, BufferTooSmall>,
) -> alloc::vec::Vec<u8> {
    let mut out = alloc::vec![0; len];
    encode(&mut out).expect("the vector is as long as the encoder said");
    out
}
