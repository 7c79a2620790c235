//! The little we need to know from the `Cargo.toml` files, read line by line.

use std::fs;
use std::path::Path;

use crate::stage::{Stop, root};

/// What one crate's `Cargo.toml` says.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Manifest {
    pub(crate) name: String,
    pub(crate) published: bool,
    /// The keys of `[features]`, without `default`.
    pub(crate) features: Vec<String>,
    /// The names of the `[[bench]]` tables.
    pub(crate) benches: Vec<String>,
    /// The names of the `[[bin]]` tables.
    pub(crate) bins: Vec<String>,
}

impl Manifest {
    pub(crate) fn read(path: &Path) -> Result<Self, Stop> {
        let text =
            fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let mut manifest = Self {
            published: true,
            ..Self::default()
        };
        let mut table = "";
        for line in text.lines().map(str::trim) {
            if line.starts_with('[') {
                table = line;
                continue;
            }
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            let (key, value) = (key.trim(), value.trim());
            let word = value.trim_matches('"').to_owned();
            match (table, key) {
                _ if line.starts_with('#') => {}
                ("[package]", "name") => manifest.name = word,
                ("[package]", "publish") => manifest.published = value != "false",
                ("[[bench]]", "name") => manifest.benches.push(word),
                ("[[bin]]", "name") => manifest.bins.push(word),
                ("[features]", "default") => {}
                ("[features]", feature) => manifest.features.push(feature.to_owned()),
                _ => {}
            }
        }
        manifest
    }
}

/// The crates of `crates/`, by name.
pub(crate) fn crates() -> Result<Vec<Manifest>, Stop> {
    let folder = root().join("crates");
    let entries = fs::read_dir(&folder).map_err(|error| format!("crates: {error}"))?;
    let mut manifests = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(|error| format!("crates: {error}"))?
            .path()
            .join("Cargo.toml");
        if path.exists() {
            manifests.push(Manifest::read(&path)?);
        }
    }
    manifests.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(manifests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read() {
        let text = "[package]\nname = \"a\"\npublish = false\n\n[features]\ndefault = [\"std\"]\n\
                    # old = []\nstd = [\n  \"alloc\",\n]\nalloc = []\n\n[[bench]]\nname = \"b\"\n\
                    harness = false\n\n[[bin]]\nname = \"c\"\n[dependencies]\nd = \"1\"\n";
        let expected = Manifest {
            name: "a".to_owned(),
            published: false,
            features: vec!["std".to_owned(), "alloc".to_owned()],
            benches: vec!["b".to_owned()],
            bins: vec!["c".to_owned()],
        };
        assert_eq!(Manifest::parse(text), expected);
    }
}
