//! Errors with the file and the place in it.

use std::fmt::{self, Display, Formatter};
use std::io;

/// A position in a text file, both numbers from 1. The column counts bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Line.
    pub line: u64,
    /// Column in bytes.
    pub column: u64,
}

impl Display for Position {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// A document that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}{}: {problem}", at(*.position))]
pub struct InputError {
    /// Name of the file.
    pub file: String,
    /// Place of the problem; `None` if it is not at one place.
    pub position: Option<Position>,
    /// The problem.
    pub problem: String,
    /// The cause, if reading failed.
    #[source]
    pub source: Option<io::Error>,
}

fn at(position: Option<Position>) -> String {
    position.map(|position| format!(", {position}")).unwrap_or_default()
}

impl InputError {
    /// A problem that concerns the whole file.
    pub(crate) fn whole(file: &str, problem: impl Into<String>) -> InputError {
        InputError { file: file.to_owned(), position: None, problem: problem.into(), source: None }
    }

    /// A problem at a place.
    pub(crate) fn at(file: &str, position: Position, problem: impl Into<String>) -> InputError {
        InputError { position: Some(position), ..InputError::whole(file, problem) }
    }

    /// The file cannot be read.
    pub(crate) fn read(file: &str, source: io::Error) -> InputError {
        InputError { source: Some(source), ..InputError::whole(file, "cannot read the file") }
    }
}
