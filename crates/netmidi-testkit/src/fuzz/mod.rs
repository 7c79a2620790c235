//! Bodies of the fuzz targets. Tests run them too, over the committed seeds.

mod wire;

pub use wire::{wire_datagram, wire_roundtrip};
