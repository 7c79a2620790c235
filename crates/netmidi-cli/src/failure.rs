//! How a command ends that does not succeed.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use crate::output::complain;

/// Why a command ended before its end: one sentence, with what to do next.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It failed; the exit code is 1.
    Failed(String),
    /// It was asked for something that makes no sense; the exit code is 2.
    Usage(String),
    /// Nobody reads what is printed any more (`netmidi serve | head`): that is no failure.
    NobodyReads,
    /// What is to be said has been said; the exit code is 1.
    Told,
}

impl Failure {
    pub(crate) fn failed(sentence: impl fmt::Display) -> Self {
        Self::Failed(sentence.to_string())
    }

    pub(crate) fn usage(sentence: impl fmt::Display) -> Self {
        Self::Usage(sentence.to_string())
    }

    /// An error with its causes, in one sentence.
    pub(crate) fn of(error: &dyn Error) -> Self {
        Self::Failed(sentence(error))
    }

    /// Tells it on standard error.
    pub(crate) fn report(self) -> ExitCode {
        match self {
            Self::Failed(sentence) => {
                complain(&sentence);
                ExitCode::from(1)
            }
            Self::Usage(sentence) => {
                complain(&sentence);
                ExitCode::from(2)
            }
            Self::NobodyReads => ExitCode::SUCCESS,
            Self::Told => ExitCode::from(1),
        }
    }
}

/// An error and its causes, as one sentence.
pub(crate) fn sentence(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

impl From<std::io::Error> for Failure {
    /// Of writing to standard output.
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::NobodyReads,
            _ => Self::Failed(format!("cannot write to standard output: {error}")),
        }
    }
}
