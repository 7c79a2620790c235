//! How a program ends: with a sentence when something is wrong.

use std::error::Error;
use std::process::ExitCode;

/// Success, or the error and its cause on standard error.
pub(crate) fn of(program: &str, result: Result<(), Box<dyn Error>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = error
                .source()
                .map(|cause| format!(" ({cause})"))
                .unwrap_or_default();
            eprintln!("{program}: {error}{cause}");
            ExitCode::FAILURE
        }
    }
}
