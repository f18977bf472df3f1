//! How a run ends badly: an exit code and one line for people.

use std::process::ExitCode;

/// The documented exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    /// It failed while running.
    Failed = 1,
    /// Bad arguments, configuration or plugins: nothing started.
    Usage = 2,
    /// Privileges are missing.
    Privileges = 3,
    /// The kernel is too old.
    Kernel = 4,
    /// A probe that the command needs could not be loaded or attached.
    Probe = 5,
}

impl From<ExitStatus> for ExitCode {
    fn from(code: ExitStatus) -> ExitCode {
        ExitCode::from(code as u8)
    }
}

/// An error on its way to the operator.
#[derive(Debug)]
pub struct Failure {
    /// How the program ends.
    pub code: ExitStatus,
    /// What is wrong, and what is right.
    pub error: anyhow::Error,
}

impl Failure {
    /// An error with its code.
    pub fn new(code: ExitStatus, error: impl Into<anyhow::Error>) -> Failure {
        Failure { code, error: error.into() }
    }
}
