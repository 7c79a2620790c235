//! Bodies of the fuzz targets: each takes any octets and panics when something does not hold.
//!
//! The targets in `fuzz/` are one line each; plain tests run the same bodies over their seeds.

mod session;

pub use session::session_script;
