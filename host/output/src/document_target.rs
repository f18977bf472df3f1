//! Writes one document to a file, a pipe or a terminal.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

use super::escaped::{compact, pretty};
use super::target::OUTPUT;
use super::{NewFile, OpenError, Target};
use crypto_tracer_system::shutdown::Shutdown;

/// Time limit for writing to a full pipe after a shutdown request.
const SHUTDOWN_WRITE_TIMEOUT: Duration = Duration::from_millis(80);
/// Interval at which a waiting write checks for a shutdown request, in nanoseconds.
const POLL_NS: i64 = 10_000_000;

/// Maximum length of a file name in bytes.
const NAME_MAX: usize = 255;
/// Maximum number of temporary files that killed runs with the same process id may have left.
const MAX_LEFTOVERS: u32 = 100;

/// Layout of a JSON document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentShape {
    /// Indented.
    Pretty,
    /// On one line.
    Line,
    /// The only element of an array.
    Array,
}

/// Serialises the document as JSON.
///
/// # Errors
/// The document cannot be serialised. No document of this crate fails.
pub fn json(document: &impl Serialize, shape: DocumentShape) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match shape {
        DocumentShape::Pretty => pretty(&mut bytes, document)?,
        DocumentShape::Line => compact(&mut bytes, document)?,
        DocumentShape::Array => {
            bytes.extend_from_slice(b"[\n");
            compact(&mut bytes, document)?;
            bytes.extend_from_slice(b"\n]");
        }
    }
    bytes.push(b'\n');
    Ok(bytes)
}

/// The destination of a document.
#[derive(Debug)]
pub struct DocumentTarget {
    target: Target,
    /// Temporary path, and the path to which the complete document is renamed.
    rename: Option<(PathBuf, PathBuf)>,
}

/// The document was not written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the document to {name}")]
pub struct WriteError {
    /// Name of the target.
    pub name: String,
    /// The cause.
    pub source: io::Error,
}

impl DocumentTarget {
    /// Writes to standard output.
    pub fn standard_output() -> io::Result<DocumentTarget> {
        Ok(DocumentTarget { target: Target::standard_output()?, rename: None })
    }

    /// Writes to a file. A regular file is replaced when the document is complete; FIFOs, devices and links are followed.
    /// Returns `None` if a shutdown is requested while a FIFO has no reader.
    pub fn open(
        path: &Path,
        new: NewFile,
        shutdown: &Shutdown,
    ) -> Result<Option<DocumentTarget>, OpenError> {
        let failed = |source| OpenError { option: OUTPUT, path: path.to_owned(), source };
        let existing = path.symlink_metadata().ok();
        if existing.as_ref().is_some_and(|existing| !existing.is_file()) {
            let target = Target::open_waiting(path, false, new, shutdown)?;
            return Ok(target.map(|target| DocumentTarget { target, rename: None }));
        }
        let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        let (temporary, file) = create_temporary(path, name).map_err(failed)?;
        let new = match &existing {
            // Permissions and group of the replaced file are kept.
            Some(existing) => NewFile { mode: existing.mode() & 0o777, gid: Some(existing.gid()) },
            None => new,
        };
        if let Some(existing) = &existing {
            // Keeps the owner, if the program may set it.
            let _ = std::os::unix::fs::fchown(&file, Some(existing.uid()), None);
        }
        let name = path.display().to_string();
        match new.apply(&file).and_then(|()| Target::from_fd(file.into(), name)) {
            Ok(target) => {
                let rename = Some((temporary, path.to_owned()));
                Ok(Some(DocumentTarget { target, rename }))
            }
            Err(error) => {
                let _ = std::fs::remove_file(&temporary);
                Err(failed(error))
            }
        }
    }

    /// Duplicates the file descriptor of a pipe or socket, whose reader can close its end before the document is written.
    ///
    /// # Errors
    /// The file descriptor cannot be duplicated.
    pub fn pipe(&self) -> io::Result<Option<OwnedFd>> {
        self.target.has_reader.then(|| self.target.fd.try_clone()).transpose()
    }

    /// Writes the document. A file receives all of it or nothing. A pipe that its reader has closed is not an error.
    ///
    /// # Errors
    /// The document cannot be written, or the reader of a pipe does not read after a shutdown request.
    pub fn write(self, bytes: &[u8], shutdown: &Shutdown) -> Result<(), WriteError> {
        self.write_part(bytes, shutdown)?;
        self.complete()
    }

    /// Writes a part of a document that is too large for memory. [`DocumentTarget::complete`] follows the last part.
    ///
    /// # Errors
    /// As those of [`DocumentTarget::write`].
    pub fn write_part(&self, bytes: &[u8], shutdown: &Shutdown) -> Result<(), WriteError> {
        match self.write_bytes(bytes, shutdown) {
            Err(error) if self.target.has_reader && error.kind() == io::ErrorKind::BrokenPipe => {
                Ok(())
            }
            written => written.map_err(|source| self.failed(source)),
        }
    }

    /// Ends a document. Its parts replace the file; without this call the file is unchanged.
    ///
    /// # Errors
    /// The file cannot be replaced.
    pub fn complete(mut self) -> Result<(), WriteError> {
        if let Some((temporary, path)) = &self.rename {
            std::fs::rename(temporary, path).map_err(|source| self.failed(source))?;
        }
        self.rename = None;
        Ok(())
    }

    fn failed(&self, source: io::Error) -> WriteError {
        WriteError { name: self.target.name.clone(), source }
    }

    fn write_bytes(&self, bytes: &[u8], shutdown: &Shutdown) -> io::Result<()> {
        let fd = self.target.fd.as_fd();
        let mut rest = bytes;
        let mut shutdown_seen = None;
        while !rest.is_empty() {
            if !self.target.regular {
                let timeout = Timespec { tv_sec: 0, tv_nsec: POLL_NS };
                if poll(&mut [PollFd::new(&fd, PollFlags::OUT)], Some(&timeout)) == Ok(0) {
                    if shutdown.is_requested() {
                        let since = *shutdown_seen.get_or_insert_with(Instant::now);
                        if since.elapsed() >= SHUTDOWN_WRITE_TIMEOUT {
                            return Err(io::ErrorKind::TimedOut.into());
                        }
                    }
                    continue;
                }
            }
            // A pipe that is ready accepts PIPE_BUF bytes without blocking.
            let max = if self.target.regular { rest.len() } else { rest.len().min(libc::PIPE_BUF) };
            match rustix::io::write(fd, rest.get(..max).unwrap_or_default()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => rest = rest.get(n..).unwrap_or_default(),
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Creates a temporary file in the folder of `path`, accessible to its owner only. Files of killed runs are not touched.
fn create_temporary(path: &Path, name: &OsStr) -> io::Result<(PathBuf, File)> {
    let mut options = File::options();
    options.write(true).create_new(true).mode(0o600);
    let mut number = 0;
    loop {
        let suffix = format!(".{}.{number}.new", std::process::id());
        let name = name.as_bytes();
        let kept = NAME_MAX.saturating_sub(1 + suffix.len()).min(name.len());
        let hidden = [b".", name.get(..kept).unwrap_or_default(), suffix.as_bytes()].concat();
        let temporary = path.with_file_name(OsStr::from_bytes(&hidden));
        match options.open(&temporary) {
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists && number < MAX_LEFTOVERS =>
            {
                number += 1;
            }
            opened => return opened.map(|file| (temporary, file)),
        }
    }
}

impl Drop for DocumentTarget {
    /// Removes the temporary file of an incomplete document.
    fn drop(&mut self) {
        if let Some((temporary, _)) = &self.rename {
            let _ = std::fs::remove_file(temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn shapes_of_a_document() {
        let document = serde_json::json!({"a": 1});
        let text = |shape| String::from_utf8(json(&document, shape).unwrap()).unwrap();
        assert_eq!(text(DocumentShape::Pretty), "{\n  \"a\": 1\n}\n");
        assert_eq!(text(DocumentShape::Line), "{\"a\":1}\n");
        assert_eq!(text(DocumentShape::Array), "[\n{\"a\":1}\n]\n");
        let text = json(&serde_json::json!("\u{9b}2J"), DocumentShape::Pretty).unwrap();
        assert_eq!(text, b"\"\\u009b2J\"\n", "a terminal escape sequence");
    }

    #[test]
    fn a_file_is_replaced_when_the_document_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.json");
        let shutdown = Shutdown::default();
        let open = |path: &Path| {
            DocumentTarget::open(path, NewFile::default(), &shutdown).unwrap().unwrap()
        };
        let names = || {
            let mut names: Vec<_> = std::fs::read_dir(dir.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            names.sort();
            names
        };
        open(&path).write(b"one", &shutdown).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((std::fs::read(&path).unwrap(), mode(&path)), (b"one".to_vec(), 0o600));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let next = open(&path);
        assert_eq!(std::fs::read(&path).unwrap(), b"one", "the next document is incomplete");
        drop(next);
        assert_eq!(names(), ["x.json"], "no temporary file remains");
        open(&path).write(b"two", &shutdown).unwrap();
        assert_eq!((std::fs::read(&path).unwrap(), mode(&path)), (b"two".to_vec(), 0o644));
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        open(&link).write(b"3", &shutdown).unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read(&path).unwrap(), b"3");
        assert_eq!(names(), ["link", "x.json"]);
    }

    fn pipe() -> (File, DocumentTarget) {
        let (reads, writes) = rustix::pipe::pipe().unwrap();
        let target = Target::from_fd(writes, "a pipe".to_owned()).unwrap();
        (reads.into(), DocumentTarget { target, rename: None })
    }

    #[test]
    fn a_document_longer_than_a_pipe_is_written_completely() {
        let (mut reads, target) = pipe();
        assert!(target.pipe().unwrap().is_some(), "its reader can close it");
        let document: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            io::Read::read_to_end(&mut reads, &mut bytes).map(|_| bytes)
        });
        target.write(&document, &Shutdown::default()).unwrap();
        assert!(reader.join().unwrap().unwrap() == document);
    }

    #[test]
    fn a_full_device_is_an_error_and_a_closed_pipe_is_not() {
        let (reads, target) = pipe();
        drop(reads);
        target.write(b"x", &Shutdown::default()).unwrap();
        // Through a link: a bug that replaces the file would, as root, replace the machine's device.
        let dir = tempfile::tempdir().unwrap();
        let full = dir.path().join("full");
        std::os::unix::fs::symlink("/dev/full", &full).unwrap();
        let target = DocumentTarget::open(&full, NewFile::default(), &Shutdown::default()).unwrap();
        let target = target.unwrap();
        assert!(target.pipe().unwrap().is_none());
        let error = target.write(b"x", &Shutdown::default()).unwrap_err();
        assert_eq!(
            (error.name, error.source.raw_os_error()),
            (full.display().to_string(), Some(libc::ENOSPC))
        );
    }

    #[test]
    fn writing_to_a_full_pipe_times_out_after_a_shutdown_request() {
        let (mut reads, target) = pipe();
        let shutdown = Shutdown::default();
        shutdown.request();
        let start = Instant::now();
        let error = target.write(&vec![b'x'; 1 << 20], &shutdown).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::TimedOut);
        assert!(start.elapsed() >= SHUTDOWN_WRITE_TIMEOUT, "{:?}", start.elapsed());
        let mut read = Vec::new();
        io::Read::read_to_end(&mut reads, &mut read).unwrap();
        assert!(read.len() >= libc::PIPE_BUF, "the pipe was filled");
    }

    #[test]
    fn an_open_error_names_the_option_and_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let shutdown = Shutdown::default();
        let path = dir.path().join("no/x.json");
        let error = DocumentTarget::open(&path, NewFile::default(), &shutdown).unwrap_err();
        assert_eq!((error.option, &error.path), ("--output", &path));
        // A shutdown request while a FIFO has no reader is not an error.
        let fifo = dir.path().join("fifo");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        shutdown.request();
        assert!(DocumentTarget::open(&fifo, NewFile::default(), &shutdown).unwrap().is_none());
    }

    #[test]
    fn leftover_temporary_files_and_long_names_are_supported() {
        let dir = tempfile::tempdir().unwrap();
        let shutdown = Shutdown::default();
        for name in ["x.json".to_owned(), "x".repeat(255)] {
            let path = dir.path().join(name);
            let open =
                || DocumentTarget::open(&path, NewFile::default(), &shutdown).unwrap().unwrap();
            let killed = open();
            let leftover = killed.rename.as_ref().map(|(path, _)| path.clone()).unwrap();
            std::mem::forget(killed);
            open().write(b"whole", &shutdown).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), b"whole");
            assert_eq!(std::fs::read(leftover).unwrap(), b"", "it is not overwritten");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 4);
    }
}
