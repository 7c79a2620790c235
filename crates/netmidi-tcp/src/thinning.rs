//! placeholder
use netmidi_message::Message;
#[derive(Debug, Default)]
pub(crate) struct Thinning;
impl Thinning {
    pub(crate) fn passed(&mut self, _message: &Message<'_>) {}
    pub(crate) fn dropped(&mut self, _message: &Message<'_>) -> bool {
        false
    }
    pub(crate) fn settle(&mut self, _sink: impl FnMut(Message<'_>)) {}
}
