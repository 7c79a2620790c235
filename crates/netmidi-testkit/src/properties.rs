//! How property tests run.

use proptest::test_runner::{Config, FileFailurePersistence};

/// The usual number of cases; a case that failed is written beside the test, in
/// `NAME.regressions`, to be committed and tried first from then on.
#[must_use]
pub fn properties() -> Config {
    Config {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..Config::default()
    }
}
