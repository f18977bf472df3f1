//! Where a stream goes.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::closed::check_standard_output;

/// Permissions of a new output file: it may tell secrets' places.
const NEW_FILE_MODE: u32 = 0o600;

/// The option that names the output.
pub(super) const OUTPUT: &str = "--output";
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

impl Target {
    /// Standard output.
    pub fn standard_output() -> std::io::Result<Target> {
        check_standard_output()?;
        Target::of(std::io::stdout().as_fd().try_clone_to_owned()?, "standard output".to_owned())
    }

    /// Opens a file to append to it, or to replace what is in it; one that is not there is made as `new` says. FIFOs,
    /// devices and links are written through.
    pub fn open(path: &Path, append: bool, new: NewFile) -> Result<Target, OpenError> {
        let failed = |source| OpenError { option: OUTPUT, path: path.to_owned(), source };
        let mut options = File::options();
        options.append(append).write(true).custom_flags(libc::O_NOCTTY);
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
        Target::of(file.into(), path.display().to_string()).map_err(failed)
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
        let flags = rustix::fs::fcntl_getfl(&self.fd).ok()?;
        let anywhere = self.regular && !flags.contains(rustix::fs::OFlags::APPEND);
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
