//! Streams with losses, and what a receiver must make of them.

use serde_json::Value;

use crate::hex::from_hex;
use crate::vectors::vectors;

/// One entry of `vectors/scenarios.json`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Scenario {
    /// Unique.
    pub name: String,
    /// Datagrams in the order in which they arrive, and whether they do: others are lost.
    pub packets: Vec<(Vec<u8>, bool)>,
    /// The messages that are executed, repairs among them, in their order.
    pub executed: Vec<Vec<u8>>,
}

/// Every scenario.
///
/// # Panics
/// When the file is missing or malformed.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let octets = |value: &Value| from_hex(value.as_str().expect("octets"));
    vectors("scenarios")
        .into_iter()
        .map(|vector| Scenario {
            packets: list(&vector.json["packets"])
                .iter()
                .map(|packet| (octets(&packet["hex"]), packet["delivered"] == true))
                .collect(),
            executed: list(&vector.expect["executed"])
                .iter()
                .map(octets)
                .collect(),
            name: vector.name,
        })
        .collect()
}
