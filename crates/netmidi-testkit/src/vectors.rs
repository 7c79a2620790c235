//! The golden vectors: octets and what they mean, checked with an independent decoder.

use serde_json::Value;

use crate::hex::from_hex;

/// One vector of `vectors/*.json`.
#[derive(Clone, Debug)]
pub struct Vector {
    /// Unique within its file.
    pub name: String,
    /// `rtp-midi`, `applemidi`, `byte-stream` or `scenario`.
    pub kind: String,
    /// The input; empty for scenarios, which have `packets` in [`json`](Self::json).
    pub octets: Vec<u8>,
    /// What a decoder makes of it.
    pub expect: Value,
    /// Whether encoding the decoded fields gives exactly the input back.
    pub canonical: bool,
    /// The whole entry.
    pub json: Value,
}

/// Every vector of one file, named without its `.json`.
///
/// # Panics
/// When the file is missing, malformed, of another format or empty.
#[must_use]
pub fn vectors(file: &str) -> Vec<Vector> {
    let path = format!("{}/vectors/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let json: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!(json["format"], 1, "{path}: unknown format");
    let entries = json["vectors"]
        .as_array()
        .unwrap_or_else(|| panic!("{path}: no vectors"));
    assert!(!entries.is_empty(), "{path}: no vectors");
    entries
        .iter()
        .map(|entry| Vector {
            name: entry["name"].as_str().expect("a name").to_owned(),
            kind: entry["kind"].as_str().expect("a kind").to_owned(),
            octets: entry["hex"].as_str().map(from_hex).unwrap_or_default(),
            expect: entry["expect"].clone(),
            canonical: entry["canonical"] == true,
            json: entry.clone(),
        })
        .collect()
}
