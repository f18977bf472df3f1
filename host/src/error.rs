//! Errors that end a run: an exit code and a message.

use std::process::ExitCode;

/// The documented exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    /// The run failed.
    Failed = 1,
    /// The arguments, the configuration or a plugin are not valid. Nothing started.
    Usage = 2,
    /// The process lacks privileges.
    Privileges = 3,
    /// The kernel lacks a required feature.
    Kernel = 4,
    /// A probe that the command needs could not be loaded or attached.
    Probe = 5,
}

impl From<ExitStatus> for ExitCode {
    fn from(code: ExitStatus) -> ExitCode {
        ExitCode::from(code as u8)
    }
}

/// An error that ends the run.
#[derive(Debug)]
pub struct Failure {
    /// Exit code of the program.
    pub code: ExitStatus,
    /// The problem and, where possible, its correction.
    pub error: anyhow::Error,
}

impl Failure {
    /// Combines an error with an exit code.
    pub fn new(code: ExitStatus, error: impl Into<anyhow::Error>) -> Failure {
        Failure { code, error: error.into() }
    }
}
