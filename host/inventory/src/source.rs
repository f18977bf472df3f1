//! The file of a document. Several readers of one file have a position each.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;

use crypto_tracer_system::shutdown::Shutdown;

use crate::error::InputError;

/// Maximum size of a document that is read from a pipe, in bytes. It is kept in a temporary file.
const MAX_PIPED: u64 = 16 << 30;

/// The file of a document, open for reading.
#[derive(Debug)]
pub struct Source {
    name: String,
    file: File,
    shutdown: Shutdown,
}

impl Source {
    /// A regular file. `name` is the one that errors show.
    pub fn new(name: impl Into<String>, file: File, shutdown: &Shutdown) -> Source {
        Source { name: name.into(), file, shutdown: shutdown.clone() }
    }

    /// A pipe or a device. Its content is copied to a temporary file without a name.
    ///
    /// # Errors
    /// Reading, or writing the copy, fails.
    pub fn of_pipe(
        name: impl Into<String>,
        input: impl Read,
        shutdown: &Shutdown,
    ) -> Result<Source, InputError> {
        let name = name.into();
        let copy = || -> io::Result<(File, u64)> {
            let mut file = tempfile::tempfile()?;
            let copied = io::copy(&mut input.take(MAX_PIPED + 1), &mut file)?;
            file.flush()?;
            Ok((file, copied))
        };
        match copy() {
            Ok((_, copied)) if copied > MAX_PIPED => {
                Err(InputError::whole(&name, format!("over {MAX_PIPED} bytes in a pipe")))
            }
            Ok((file, _)) => Ok(Source::new(name, file, shutdown)),
            Err(error) => Err(InputError::read(&name, error)),
        }
    }

    /// Name that errors show.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads from this offset on.
    pub(crate) fn reader(&self, offset: u64) -> SourceReader<'_> {
        SourceReader { source: self, offset }
    }

    /// Reads the whole document, at most `max` bytes.
    pub(crate) fn read_all(&self, max: u64) -> Result<Vec<u8>, InputError> {
        let mut bytes = Vec::new();
        let read = self.reader(0).take(max + 1).read_to_end(&mut bytes);
        match read {
            Err(error) => Err(InputError::read(&self.name, error)),
            Ok(length) if length as u64 > max => {
                let problem = format!("larger than {} MiB, which fit into memory", max >> 20);
                Err(InputError::whole(&self.name, problem))
            }
            Ok(_) => Ok(bytes),
        }
    }
}

/// Reads a [`Source`]. Fails once a shutdown is requested.
#[derive(Debug)]
pub(crate) struct SourceReader<'a> {
    source: &'a Source,
    offset: u64,
}

impl Read for SourceReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.source.shutdown.is_requested() {
            return Err(io::Error::other("shutdown was requested"));
        }
        let read = self.source.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}
