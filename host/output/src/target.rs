//! Where a stream goes.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crypto_tracer_system::shutdown::Shutdown;
use crypto_tracer_system::stdout_closed::check_standard_output;

/// Permissions of a new output file: it may tell secrets' places.
const NEW_FILE_MODE: u32 = 0o600;

/// The option that names the output.
pub(super) const OUTPUT: &str = "--output";
/// How often it is tried again to open what is not ready yet.
const AGAIN: Duration = Duration::from_millis(10);
/// The option that names the recording.
const RECORD: &str = "--record";

/// What a new file is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewFile {
    /// Permissions, whatever the umask is.
    pub mode: u32,
    /// Group; None: the one that new files have.
    pub gid: Option<u32>,
}

impl Default for NewFile {
    /// For its owner only.
    fn default() -> Self {
        NewFile { mode: NEW_FILE_MODE, gid: None }
    }
}

/// A file, a pipe or a terminal, open for writing.
#[derive(Debug)]
pub struct Target {
    pub(super) fd: OwnedFd,
    /// A regular file: it can be cut back to its last whole line.
    pub(super) regular: bool,
    /// A pipe or a socket: its reader can go away.
    pub(super) has_reader: bool,
    pub(super) name: String,
}

impl NewFile {
    pub(super) fn give(self, file: &File) -> std::io::Result<()> {
        if let Some(gid) = self.gid {
            std::os::unix::fs::fchown(file, None, Some(gid))?;
        }
        file.set_permissions(std::fs::Permissions::from_mode(self.mode))
    }
}

/// Whether what is appended would stand behind somebody's half line, as a machine that stopped leaves it.
fn ends_in_half_a_line(file: &File, path: &Path) -> std::io::Result<bool> {
    let there = file.metadata()?;
    let Some(last) = there.len().checked_sub(1).filter(|_| there.is_file()) else {
        return Ok(false);
    };
    // To append, nobody has to be allowed to read.
    let read =
        File::options().read(true).custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK).open(path)?;
    let found = read.metadata()?;
    let mut byte = [0];
    read.read_exact_at(&mut byte, last)?;
    Ok((found.dev(), found.ino()) == (there.dev(), there.ino()) && byte != *b"\n")
}

/// The output cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the file of {option} {}", path.display())]
pub struct OpenError {
    /// The option that named it.
    pub option: &'static str,
    /// Which file.
    pub path: PathBuf,
    /// Why.
    pub source: std::io::Error,
}

impl OpenError {
    /// Whether a FIFO has no reader yet, or somebody has to give up a lease of the file.
    fn is_for_now(&self) -> bool {
        match self.source.raw_os_error() {
            Some(libc::EWOULDBLOCK) => true,
            // Sockets and missing devices say the same, and stay so.
            Some(libc::ENXIO) => {
                std::fs::metadata(&self.path).is_ok_and(|found| found.file_type().is_fifo())
            }
            _ => false,
        }
    }
}

impl Target {
    /// Standard output.
    pub fn standard_output() -> std::io::Result<Target> {
        check_standard_output()?;
        Target::of(std::io::stdout().as_fd().try_clone_to_owned()?, "standard output".to_owned())
    }

    /// Opens a file to append to it, or to replace what is in it; one that is not there is made as `new` says. FIFOs,
    /// devices and links are written through. Waits for nothing: a FIFO without a reader is an error.
    pub fn open(path: &Path, append: bool, new: NewFile) -> Result<Target, OpenError> {
        let failed = |source| OpenError { option: OUTPUT, path: path.to_owned(), source };
        let mut options = File::options();
        // A FIFO would wait for its reader in the kernel, where no wish to end comes through.
        options.append(append).write(true).custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK);
        // For nobody else until it is given away.
        let made = options.clone().create_new(true).mode(new.mode & NEW_FILE_MODE).open(path);
        let file = match made {
            Ok(file) => new.give(&file).map(|()| file),
            // There already; or behind a link, which nothing is made new through with O_EXCL.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                options.truncate(!append).create(true).mode(NEW_FILE_MODE).open(path)
            }
            Err(error) => Err(error),
        }
        .map_err(failed)?;
        if append && ends_in_half_a_line(&file, path).unwrap_or(false) {
            (&file).write_all(b"\n").map_err(failed)?;
        }
        let flags = fcntl_getfl(&file).map_err(|error| failed(error.into()))?;
        fcntl_setfl(&file, flags - OFlags::NONBLOCK).map_err(|error| failed(error.into()))?;
        Target::of(file.into(), path.display().to_string()).map_err(failed)
    }

    /// [`Target::open`], waiting for the reader of a FIFO. None: the end was asked for meanwhile.
    pub fn open_waiting(
        path: &Path,
        append: bool,
        new: NewFile,
        shutdown: &Shutdown,
    ) -> Result<Option<Target>, OpenError> {
        loop {
            match Target::open(path, append, new) {
                Err(error) if error.is_for_now() => {}
                opened => return opened.map(Some),
            }
            if shutdown.is_requested() {
                return Ok(None);
            }
            std::thread::sleep(AGAIN);
        }
    }

    /// Makes a new regular file, for its owner only.
    pub fn create_new(path: &Path) -> Result<Target, OpenError> {
        let failed = |source| OpenError { option: RECORD, path: path.to_owned(), source };
        let file = File::options()
            .write(true)
            .create_new(true)
            .mode(NEW_FILE_MODE)
            .open(path)
            .map_err(failed)?;
        Target::of(file.into(), path.display().to_string()).map_err(failed)
    }

    /// Whether [`Target::create_new`] can succeed, as far as that is to know without making the file.
    pub fn check_new(path: &Path) -> Result<(), OpenError> {
        match std::fs::symlink_metadata(path) {
            Ok(_) => {
                let source = std::io::Error::from_raw_os_error(libc::EEXIST);
                Err(OpenError { option: RECORD, path: path.to_owned(), source })
            }
            Err(_) => Ok(()),
        }
    }

    /// Whether [`Target::open`] can succeed, as far as that is to know without making the file.
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

    /// Where a regular file is written next, unless that is always its end.
    pub(super) fn offset(&self) -> Option<u64> {
        let flags = fcntl_getfl(&self.fd).ok()?;
        let anywhere = self.regular && !flags.contains(OFlags::APPEND);
        let here = rustix::fs::SeekFrom::Current(0);
        anywhere.then(|| rustix::fs::seek(&self.fd, here).ok()).flatten()
    }

    pub(super) fn of(fd: OwnedFd, name: String) -> std::io::Result<Target> {
        let kind = File::from(fd.try_clone()?).metadata()?.file_type();
        Ok(Target {
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
    fn what_is_there_is_no_place_for_a_recording() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.rec");
        assert!(Target::check_new(&path).is_ok());
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        let refused = Target::check_new(&path).unwrap_err();
        assert_eq!(refused.source.kind(), std::io::ErrorKind::AlreadyExists);
        assert!(Target::create_new(&path).is_err());
    }

    #[test]
    fn a_fifo_without_a_reader_is_waited_for_until_the_end_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let new = NewFile::default();
        assert!(Target::open(&path, true, new).unwrap_err().is_for_now());
        let shutdown = Shutdown::default();
        let ending = shutdown.clone();
        let asks = std::thread::spawn(move || {
            std::thread::sleep(3 * AGAIN);
            ending.request();
        });
        assert!(Target::open_waiting(&path, true, new, &shutdown).unwrap().is_none());
        asks.join().unwrap();

        let there = path.clone();
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            File::open(there).unwrap().read_to_end(&mut bytes).unwrap();
            bytes
        });
        let target = Target::open_waiting(&path, true, new, &Shutdown::default()).unwrap().unwrap();
        assert!(target.has_reader);
        assert!(!fcntl_getfl(&target.fd).unwrap().contains(OFlags::NONBLOCK), "writes may wait");
        rustix::io::write(&target.fd, b"x").unwrap();
        drop(target);
        assert_eq!(reader.join().unwrap(), b"x");
    }

    #[test]
    fn half_a_line_is_ended_before_something_is_appended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.json");
        for (there, then) in [("{\"a\":1", "{\"a\":1\n"), ("{}\n", "{}\n"), ("", "")] {
            std::fs::write(&path, there).unwrap();
            Target::open(&path, true, NewFile::default()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), then);
        }
        std::fs::write(&path, "[1").unwrap();
        Target::open(&path, false, NewFile::default()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "", "an array replaces it");
        for path in ["/dev/null", "/dev/full"] {
            Target::open(Path::new(path), true, NewFile::default()).unwrap();
        }
    }

    #[test]
    fn what_will_never_open_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        for path in [path.as_path(), dir.path()] {
            let opened = Target::open_waiting(path, true, NewFile::default(), &Shutdown::default());
            assert!(!opened.unwrap_err().is_for_now());
        }
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn own_gid(path: &Path) -> u32 {
        MetadataExt::gid(&std::fs::metadata(path).unwrap())
    }

    #[test]
    fn a_new_file_is_given_away_and_one_that_is_there_stays_as_it_is() {
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
        // A group that it may not be given to: root may give it to any.
        if rustix::process::geteuid().is_root() {
            let given = dir.path().join("given");
            Target::open(&given, true, NewFile { mode: 0o640, gid: Some(4) }).unwrap();
            assert_eq!((mode(&given), own_gid(&given)), (0o640, 4));
        }
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path().join("behind"), &link).unwrap();
        Target::open(&link, true, NewFile::default()).unwrap();
        assert!(link.is_symlink());
        assert_eq!(mode(&link), 0o600);
    }

    #[test]
    fn what_is_there_is_appended_to_or_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, "before\n").unwrap();
        let appends = Target::open(&path, true, NewFile::default()).unwrap();
        assert_eq!(appends.offset(), None, "always at its end");
        rustix::io::write(&appends.fd, b"+").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"before\n+");
        let replaces = Target::open(&path, false, NewFile::default()).unwrap();
        assert_eq!(replaces.offset(), Some(0));
        rustix::io::write(&replaces.fd, b"new").unwrap();
        assert_eq!((std::fs::read(&path).unwrap(), replaces.offset()), (b"new".to_vec(), Some(3)));
        let null = File::options().write(true).open("/dev/null").unwrap();
        let null = Target::of(null.into(), "a device".to_owned()).unwrap();
        assert_eq!((null.offset(), null.regular, null.has_reader), (None, false, false));
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(Target::of(one.into(), "a socket".to_owned()).unwrap().has_reader);
    }

    #[test]
    fn a_recording_is_never_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.rec");
        assert!(Target::create_new(&path).unwrap().regular);
        assert_eq!(mode(&path), 0o600);
        let error = Target::create_new(&path).unwrap_err();
        assert_eq!(error.source.kind(), std::io::ErrorKind::AlreadyExists);
        assert_eq!(error.option, "--record");
    }

    #[test]
    fn what_cannot_be_opened_later_is_known_before() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        for fine in [file.as_path(), &dir.path().join("new"), Path::new("new-in-this-folder")] {
            Target::check(fine).unwrap();
        }
        let kind = |path: &Path| Target::check(path).unwrap_err().source.kind();
        assert_eq!(kind(dir.path()), std::io::ErrorKind::IsADirectory);
        assert_eq!(kind(&file.join("x")), std::io::ErrorKind::NotADirectory);
        assert_eq!(kind(&dir.path().join("no/x")), std::io::ErrorKind::NotFound);
    }
}
