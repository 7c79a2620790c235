//! Header lines before the first message.

/// Header lines that a peer sends before its first message.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Header {}
impl Header {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        Vec::new()
    }
}
