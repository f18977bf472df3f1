//! One document as bytes, and the bytes in a file, a pipe or a terminal.

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

/// How long a pipe that nobody reads may take when the end was asked for.
const LAST_WRITE: Duration = Duration::from_millis(80);
/// How often the wish to end is looked at while waiting.
const LOOK_NS: i64 = 10_000_000;

/// Longest file name in bytes.
const MOST_NAME: usize = 255;
/// Files of killed runs with the same process id that are got round.
const MOST_LEFT: u32 = 100;

/// How a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentShape {
    /// Indented.
    Pretty,
    /// On one line.
    Line,
    /// As the one element of an array.
    Array,
}

/// The document as JSON.
///
/// # Errors
/// What it is made of cannot be JSON; no document of ours is.
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

/// Where a document goes.
#[derive(Debug)]
pub struct DocumentTarget {
    target: Target,
    /// The file that it becomes when it is whole, and where it is until then.
    rename: Option<(PathBuf, PathBuf)>,
}

/// The document is not out.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the document to {name}")]
pub struct WriteError {
    /// Where to.
    pub name: String,
    /// Why.
    pub source: io::Error,
}

impl DocumentTarget {
    /// Standard output.
    pub fn standard_output() -> io::Result<DocumentTarget> {
        Ok(DocumentTarget { target: Target::standard_output()?, rename: None })
    }

    /// A file. A regular one is replaced when the document is whole; FIFOs, devices and links are written through.
    /// None: the end was asked for while a FIFO had no reader.
    pub fn open(
        path: &Path,
        new: NewFile,
        shutdown: &Shutdown,
    ) -> Result<Option<DocumentTarget>, OpenError> {
        let failed = |source| OpenError { option: OUTPUT, path: path.to_owned(), source };
        let there = path.symlink_metadata().ok();
        if there.as_ref().is_some_and(|there| !there.is_file()) {
            let target = Target::open_waiting(path, false, new, shutdown)?;
            return Ok(target.map(|target| DocumentTarget { target, rename: None }));
        }
        let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        let (part, file) = unfinished(path, name).map_err(failed)?;
        let new = match &there {
            // The file keeps who may read it.
            Some(there) => NewFile { mode: there.mode() & 0o777, gid: Some(there.gid()) },
            None => new,
        };
        if let Some(there) = &there {
            // Whose it was; root can, everybody else has only own ones.
            let _ = std::os::unix::fs::fchown(&file, Some(there.uid()), None);
        }
        let given =
            new.give(&file).and_then(|()| Target::of(file.into(), path.display().to_string()));
        match given {
            Ok(target) => {
                let rename = Some((part, path.to_owned()));
                Ok(Some(DocumentTarget { target, rename }))
            }
            Err(error) => {
                let _ = std::fs::remove_file(&part);
                Err(failed(error))
            }
        }
    }

    /// The pipe or socket whose reader can go away before the document is there.
    ///
    /// # Errors
    /// It cannot be watched.
    pub fn pipe(&self) -> io::Result<Option<OwnedFd>> {
        self.target.has_reader.then(|| self.target.fd.try_clone()).transpose()
    }

    /// Writes the document, whole or not at all where that is a file. A reader that went away is no error.
    ///
    /// # Errors
    /// It could not be written, or nobody took it when the end was asked for.
    pub fn write(mut self, bytes: &[u8], shutdown: &Shutdown) -> Result<(), WriteError> {
        let written = self.put(bytes, shutdown).and_then(|()| match &self.rename {
            Some((part, path)) => std::fs::rename(part, path),
            None => Ok(()),
        });
        match written {
            Err(error) if self.target.has_reader && error.kind() == io::ErrorKind::BrokenPipe => {
                Ok(())
            }
            Err(source) => Err(WriteError { name: self.target.name.clone(), source }),
            Ok(()) => {
                self.rename = None;
                Ok(())
            }
        }
    }

    fn put(&self, bytes: &[u8], shutdown: &Shutdown) -> io::Result<()> {
        let fd = self.target.fd.as_fd();
        let mut rest = bytes;
        let mut asked = None;
        while !rest.is_empty() {
            if !self.target.regular {
                let timeout = Timespec { tv_sec: 0, tv_nsec: LOOK_NS };
                if poll(&mut [PollFd::new(&fd, PollFlags::OUT)], Some(&timeout)) == Ok(0) {
                    if shutdown.is_requested() {
                        let since = *asked.get_or_insert_with(Instant::now);
                        if since.elapsed() >= LAST_WRITE {
                            return Err(io::ErrorKind::TimedOut.into());
                        }
                    }
                    continue;
                }
            }
            // A pipe that is ready takes this much without blocking.
            let most =
                if self.target.regular { rest.len() } else { rest.len().min(libc::PIPE_BUF) };
            match rustix::io::write(fd, rest.get(..most).unwrap_or_default()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => rest = rest.get(n..).unwrap_or_default(),
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// A new file beside `path`, for its owner only, for what is not whole yet. One that a killed run left is let alone.
fn unfinished(path: &Path, name: &OsStr) -> io::Result<(PathBuf, File)> {
    let mut options = File::options();
    options.write(true).create_new(true).mode(0o600);
    let mut number = 0;
    loop {
        let end = format!(".{}.{number}.new", std::process::id());
        let name = name.as_bytes();
        let room = MOST_NAME.saturating_sub(1 + end.len()).min(name.len());
        let hidden = [b".", name.get(..room).unwrap_or_default(), end.as_bytes()].concat();
        let part = path.with_file_name(OsStr::from_bytes(&hidden));
        match options.open(&part) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < MOST_LEFT => {
                number += 1;
            }
            opened => return opened.map(|file| (part, file)),
        }
    }
}

impl Drop for DocumentTarget {
    /// What is not whole does not stay.
    fn drop(&mut self) {
        if let Some((part, _)) = &self.rename {
            let _ = std::fs::remove_file(part);
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
        assert_eq!(text, b"\"\\u009b2J\"\n", "an order to the terminal");
    }

    #[test]
    fn a_file_is_replaced_when_the_document_is_whole() {
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
        assert_eq!(std::fs::read(&path).unwrap(), b"one", "until the next one is whole");
        drop(next);
        assert_eq!(names(), ["x.json"], "nothing half stays");
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
        let target = Target::of(writes, "a pipe".to_owned()).unwrap();
        (reads.into(), DocumentTarget { target, rename: None })
    }

    #[test]
    fn a_document_that_is_longer_than_a_pipe_comes_whole() {
        let (mut reads, target) = pipe();
        assert!(target.pipe().unwrap().is_some(), "its reader can go away");
        let document: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            io::Read::read_to_end(&mut reads, &mut bytes).map(|_| bytes)
        });
        target.write(&document, &Shutdown::default()).unwrap();
        assert!(reader.join().unwrap().unwrap() == document);
    }

    #[test]
    fn a_reader_that_went_away_is_no_error_and_a_full_device_is() {
        let (reads, target) = pipe();
        drop(reads);
        target.write(b"x", &Shutdown::default()).unwrap();
        // Through a link: what replaced it by mistake, as root, would replace the machine's own device.
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

    /// The end was asked for, and nobody reads: it is waited for a little, not for ever.
    #[test]
    fn a_reader_that_does_not_read_is_not_waited_for_once_the_end_was_asked_for() {
        let (mut reads, target) = pipe();
        let shutdown = Shutdown::default();
        shutdown.request();
        let begun = Instant::now();
        let error = target.write(&vec![b'x'; 1 << 20], &shutdown).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= LAST_WRITE, "it was waited for: {:?}", begun.elapsed());
        let mut taken = Vec::new();
        io::Read::read_to_end(&mut reads, &mut taken).unwrap();
        assert!(taken.len() >= libc::PIPE_BUF, "what fits is in it");
    }

    #[test]
    fn a_file_that_cannot_be_made_is_told_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let shutdown = Shutdown::default();
        let path = dir.path().join("no/x.json");
        let error = DocumentTarget::open(&path, NewFile::default(), &shutdown).unwrap_err();
        assert_eq!((error.option, &error.path), ("--output", &path));
        // An end that was asked for while nobody reads a FIFO is no failure.
        let fifo = dir.path().join("fifo");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        shutdown.request();
        assert!(DocumentTarget::open(&fifo, NewFile::default(), &shutdown).unwrap().is_none());
    }

    #[test]
    fn what_a_killed_run_left_and_a_long_name_are_no_hindrance() {
        let dir = tempfile::tempdir().unwrap();
        let shutdown = Shutdown::default();
        for name in ["x.json".to_owned(), "x".repeat(255)] {
            let path = dir.path().join(name);
            let open =
                || DocumentTarget::open(&path, NewFile::default(), &shutdown).unwrap().unwrap();
            let killed = open();
            let left = killed.rename.as_ref().map(|(part, _)| part.clone()).unwrap();
            std::mem::forget(killed);
            open().write(b"whole", &shutdown).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), b"whole");
            assert_eq!(std::fs::read(left).unwrap(), b"", "it is somebody else's");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 4);
    }
}
