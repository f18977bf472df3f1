//! The file, pipe or terminal of an output.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crypto_tracer_system::fs_magic;
use crypto_tracer_system::shutdown::Shutdown;
use crypto_tracer_system::stdout_closed::check_standard_output;

/// Permissions of a new output file. It may contain the locations of secrets.
const NEW_FILE_MODE: u32 = 0o600;

/// The option that names the output.
pub(super) const OUTPUT: &str = "--output";
/// Interval between attempts to open a file that is temporarily unavailable.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);
/// The option that names the recording.
const RECORD: &str = "--record";

/// Permissions and group of a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewFile {
    /// Permissions, independent of the umask.
    pub mode: u32,
    /// Group; `None` for the default group of new files.
    pub gid: Option<u32>,
}

impl Default for NewFile {
    /// Read and write for the owner only.
    fn default() -> Self {
        NewFile { mode: NEW_FILE_MODE, gid: None }
    }
}

/// A file, a pipe or a terminal, open for writing.
#[derive(Debug)]
pub struct Target {
    pub(super) fd: OwnedFd,
    /// A regular file, which can be truncated to its last complete item.
    pub(super) regular: bool,
    /// A pipe or a socket, whose reader can close its end.
    pub(super) has_reader: bool,
    /// On a file system that depends on another machine or process, so that a write may block indefinitely.
    pub(super) is_remote: bool,
    pub(super) name: String,
}

impl From<Target> for OwnedFd {
    fn from(target: Target) -> OwnedFd {
        target.fd
    }
}

impl NewFile {
    pub(super) fn apply(self, file: &File) -> std::io::Result<()> {
        if let Some(gid) = self.gid {
            std::os::unix::fs::fchown(file, None, Some(gid))?;
        }
        file.set_permissions(std::fs::Permissions::from_mode(self.mode))
    }
}

/// Returns whether the last line of the file has no line end, for example after a power failure.
fn ends_in_partial_line(file: &File, path: &Path) -> std::io::Result<bool> {
    let metadata = file.metadata()?;
    let Some(last) = metadata.len().checked_sub(1).filter(|_| metadata.is_file()) else {
        return Ok(false);
    };
    // A separate open: appending does not need permission to read.
    let readable =
        File::options().read(true).custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK).open(path)?;
    let opened = readable.metadata()?;
    let mut byte = [0];
    readable.read_exact_at(&mut byte, last)?;
    Ok((opened.dev(), opened.ino()) == (metadata.dev(), metadata.ino()) && byte != *b"\n")
}

/// A file of the command line cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the file of {option} {}", path.display())]
pub struct OpenError {
    /// The option that names the file.
    pub option: &'static str,
    /// Path of the file.
    pub path: PathBuf,
    /// The cause.
    pub source: std::io::Error,
}

impl OpenError {
    /// Returns whether the error is temporary: a FIFO without a reader, or a file whose lease is being broken.
    fn is_temporary(&self) -> bool {
        match self.source.raw_os_error() {
            Some(libc::EWOULDBLOCK) => true,
            // Sockets and missing devices return it permanently.
            Some(libc::ENXIO) => {
                std::fs::metadata(&self.path).is_ok_and(|found| found.file_type().is_fifo())
            }
            _ => false,
        }
    }
}

impl Target {
    /// Returns standard output as a target.
    pub fn standard_output() -> std::io::Result<Target> {
        check_standard_output()?;
        Target::from_fd(
            std::io::stdout().as_fd().try_clone_to_owned()?,
            "standard output".to_owned(),
        )
    }

    /// Opens a file to append to it or to replace its content. Creates a missing file with the permissions of `new`.
    /// FIFOs, devices and links are followed. Never blocks: a FIFO without a reader is an error.
    pub fn open(path: &Path, append: bool, new: NewFile) -> Result<Target, OpenError> {
        let failed = |source| OpenError { option: OUTPUT, path: path.to_owned(), source };
        let mut options = File::options();
        // Without O_NONBLOCK, a FIFO blocks until it has a reader, and a shutdown request cannot interrupt that.
        options.append(append).write(true).custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK);
        // Accessible to the owner only until the group is set.
        let created = options.clone().create_new(true).mode(new.mode & NEW_FILE_MODE).open(path);
        let file = match created {
            Ok(file) => new.apply(&file).map(|()| file),
            // The file exists, or the path is a link: O_EXCL creates no file through a link.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                options.truncate(!append).create(true).mode(NEW_FILE_MODE).open(path)
            }
            Err(error) => Err(error),
        }
        .map_err(failed)?;
        if append && ends_in_partial_line(&file, path).unwrap_or(false) {
            (&file).write_all(b"\n").map_err(failed)?;
        }
        let flags = fcntl_getfl(&file).map_err(|error| failed(error.into()))?;
        fcntl_setfl(&file, flags - OFlags::NONBLOCK).map_err(|error| failed(error.into()))?;
        Target::from_fd(file.into(), path.display().to_string()).map_err(failed)
    }

    /// Opens like [`Target::open`], but waits for the reader of a FIFO. Returns `None` if a shutdown is requested.
    pub fn open_waiting(
        path: &Path,
        append: bool,
        new: NewFile,
        shutdown: &Shutdown,
    ) -> Result<Option<Target>, OpenError> {
        loop {
            match Target::open(path, append, new) {
                Err(error) if error.is_temporary() => {}
                opened => return opened.map(Some),
            }
            if shutdown.is_requested() {
                return Ok(None);
            }
            std::thread::sleep(RETRY_INTERVAL);
        }
    }

    /// Creates a regular file, accessible to its owner only.
    pub fn create_new(path: &Path) -> Result<Target, OpenError> {
        let failed = |source| OpenError { option: RECORD, path: path.to_owned(), source };
        let file = File::options()
            .write(true)
            .create_new(true)
            .mode(NEW_FILE_MODE)
            .open(path)
            .map_err(failed)?;
        Target::from_fd(file.into(), path.display().to_string()).map_err(failed)
    }

    /// Returns the target that another process opened with [`Target::open`] at `path`.
    ///
    /// # Errors
    /// The file cannot be examined.
    pub fn opened(fd: OwnedFd, path: &Path) -> std::io::Result<Target> {
        Target::from_fd(fd, path.display().to_string())
    }

    /// Checks whether [`Target::create_new`] can succeed, without creating the file.
    pub fn check_new(path: &Path) -> Result<(), OpenError> {
        match std::fs::symlink_metadata(path) {
            Ok(_) => {
                let source = std::io::Error::from_raw_os_error(libc::EEXIST);
                Err(OpenError { option: RECORD, path: path.to_owned(), source })
            }
            Err(_) => Ok(()),
        }
    }

    /// Checks whether [`Target::open`] can succeed, without creating the file.
    pub fn check(path: &Path) -> Result<(), OpenError> {
        let failed = |source| OpenError { option: OUTPUT, path: path.to_owned(), source };
        match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => Err(failed(std::io::ErrorKind::IsADirectory.into())),
            Ok(_) => Ok(()),
            Err(_) => {
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                let parent = std::fs::metadata(parent.unwrap_or(Path::new("."))).map_err(failed)?;
                if parent.is_dir() {
                    Ok(())
                } else {
                    Err(failed(std::io::ErrorKind::NotADirectory.into()))
                }
            }
        }
    }

    /// Returns the current offset of a regular file that is not in append mode.
    pub(super) fn offset(&self) -> Option<u64> {
        let flags = fcntl_getfl(&self.fd).ok()?;
        let is_seekable = self.regular && !flags.contains(OFlags::APPEND);
        let current = rustix::fs::SeekFrom::Current(0);
        is_seekable.then(|| rustix::fs::seek(&self.fd, current).ok()).flatten()
    }

    pub(super) fn from_fd(fd: OwnedFd, name: String) -> std::io::Result<Target> {
        let kind = File::from(fd.try_clone()?).metadata()?.file_type();
        let magic = rustix::fs::fstatfs(&fd).map(|found| found.f_type as u32);
        Ok(Target {
            is_remote: magic.is_ok_and(fs_magic::is_remote),
            fd,
            regular: kind.is_file(),
            has_reader: kind.is_fifo() || kind.is_socket(),
            name,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_recording_needs_a_path_that_does_not_exist() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.rec");
        assert!(Target::check_new(&path).is_ok());
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        let refused = Target::check_new(&path).unwrap_err();
        assert_eq!(refused.source.kind(), std::io::ErrorKind::AlreadyExists);
        assert!(Target::create_new(&path).is_err());
    }

    #[test]
    fn opening_waits_for_the_reader_of_a_fifo_until_shutdown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let new = NewFile::default();
        assert!(Target::open(&path, true, new).unwrap_err().is_temporary());
        let shutdown = Shutdown::default();
        let requested = shutdown.clone();
        let request = std::thread::spawn(move || {
            std::thread::sleep(3 * RETRY_INTERVAL);
            requested.request();
        });
        assert!(Target::open_waiting(&path, true, new, &shutdown).unwrap().is_none());
        request.join().unwrap();

        let fifo = path.clone();
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            File::open(fifo).unwrap().read_to_end(&mut bytes).unwrap();
            bytes
        });
        let target = Target::open_waiting(&path, true, new, &Shutdown::default()).unwrap().unwrap();
        assert!(target.has_reader);
        assert!(!fcntl_getfl(&target.fd).unwrap().contains(OFlags::NONBLOCK), "writes may block");
        rustix::io::write(&target.fd, b"x").unwrap();
        drop(target);
        assert_eq!(reader.join().unwrap(), b"x");
    }

    #[test]
    fn a_partial_last_line_is_ended_before_appending() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.json");
        for (before, after) in [("{\"a\":1", "{\"a\":1\n"), ("{}\n", "{}\n"), ("", "")] {
            std::fs::write(&path, before).unwrap();
            Target::open(&path, true, NewFile::default()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
        }
        std::fs::write(&path, "[1").unwrap();
        Target::open(&path, false, NewFile::default()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "", "an array replaces the content");
        for path in ["/dev/null", "/dev/full"] {
            Target::open(Path::new(path), true, NewFile::default()).unwrap();
        }
    }

    #[test]
    fn permanent_errors_are_returned_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        for path in [path.as_path(), dir.path()] {
            let opened = Target::open_waiting(path, true, NewFile::default(), &Shutdown::default());
            assert!(!opened.unwrap_err().is_temporary());
        }
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn own_gid(path: &Path) -> u32 {
        MetadataExt::gid(&std::fs::metadata(path).unwrap())
    }

    #[test]
    fn only_a_new_file_gets_permissions_and_group() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new");
        let target = Target::open(&path, true, NewFile::default()).unwrap();
        assert_eq!((mode(&path), target.regular, target.has_reader), (0o600, true, false));
        assert_eq!(target.name, path.display().to_string());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o604)).unwrap();
        Target::open(&path, false, NewFile { mode: 0o640, gid: None }).unwrap();
        assert_eq!(mode(&path), 0o604);
        let wide = dir.path().join("wide");
        let new = NewFile { mode: 0o664, gid: Some(own_gid(&path)) };
        Target::open(&wide, true, new).unwrap();
        assert_eq!((mode(&wide), own_gid(&wide)), (0o664, own_gid(&path)));
        // Only root may set a group that it is not in.
        if rustix::process::geteuid().is_root() {
            let given = dir.path().join("given");
            Target::open(&given, true, NewFile { mode: 0o640, gid: Some(4) }).unwrap();
            assert_eq!((mode(&given), own_gid(&given)), (0o640, 4));
        }
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path().join("target"), &link).unwrap();
        Target::open(&link, true, NewFile::default()).unwrap();
        assert!(link.is_symlink());
        assert_eq!(mode(&link), 0o600);
    }

    #[test]
    fn an_existing_file_is_appended_to_or_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, "before\n").unwrap();
        let appends = Target::open(&path, true, NewFile::default()).unwrap();
        assert_eq!(appends.offset(), None, "append mode");
        rustix::io::write(&appends.fd, b"+").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"before\n+");
        let replaces = Target::open(&path, false, NewFile::default()).unwrap();
        assert_eq!(replaces.offset(), Some(0));
        rustix::io::write(&replaces.fd, b"new").unwrap();
        assert_eq!((std::fs::read(&path).unwrap(), replaces.offset()), (b"new".to_vec(), Some(3)));
        let null = File::options().write(true).open("/dev/null").unwrap();
        let null = Target::from_fd(null.into(), "a device".to_owned()).unwrap();
        assert_eq!((null.offset(), null.regular, null.has_reader), (None, false, false));
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(Target::from_fd(one.into(), "a socket".to_owned()).unwrap().has_reader);
    }

    #[test]
    fn a_recording_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.rec");
        assert!(Target::create_new(&path).unwrap().regular);
        assert_eq!(mode(&path), 0o600);
        let error = Target::create_new(&path).unwrap_err();
        assert_eq!(error.source.kind(), std::io::ErrorKind::AlreadyExists);
        assert_eq!(error.option, "--record");
    }

    #[test]
    fn check_reports_what_open_would_refuse() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        for valid in [file.as_path(), &dir.path().join("new"), Path::new("new-in-this-folder")] {
            Target::check(valid).unwrap();
        }
        let kind = |path: &Path| Target::check(path).unwrap_err().source.kind();
        assert_eq!(kind(dir.path()), std::io::ErrorKind::IsADirectory);
        assert_eq!(kind(&file.join("x")), std::io::ErrorKind::NotADirectory);
        assert_eq!(kind(&dir.path().join("no/x")), std::io::ErrorKind::NotFound);
    }
}
